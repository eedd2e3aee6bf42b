/* sngan.c - W6: one update of the discriminator and one of the generator of a GAN with spectral norm (Miyato et al. 2018) on
 * 32x32 grey images, hinge loss, Adam. Net 0 is the generator, net 1 the discriminator. */
#include "../bench.h"

enum { NOISE = 128 };

static tare_layer *generator(tare_params *ps, const char *norm) {
    tare_layer_conv_transpose2d_opt up = { .stride = 2, .pad = 1 };
    tare_layer *layers[] = {
        tare_norm_layer(ps, "norm1", norm, TARE_SHAPE(256, 4, 4)),
        tare_layer_relu(ps, NULL),
        tare_layer_conv_transpose2d(ps, "conv1", 256, 128, 4, up),
        tare_norm_layer(ps, "norm2", norm, TARE_SHAPE(128, 8, 8)),
        tare_layer_relu(ps, NULL),
        tare_layer_conv_transpose2d(ps, "conv2", 128, 64, 4, up),
        tare_norm_layer(ps, "norm3", norm, TARE_SHAPE(64, 16, 16)),
        tare_layer_relu(ps, NULL),
        tare_layer_conv_transpose2d(ps, "conv3", 64, 1, 4, up),
        tare_layer_activation(ps, NULL, "tanh"),
    };
    tare_layer *both[] = { tare_layer_linear(ps, "fc", NOISE, 4096, (tare_layer_linear_opt){ 0 }),
                           tare_layer_sequential(ps, "body", layers, sizeof layers / sizeof layers[0]) };
    return tare_layer_sequential(ps, "generator", both, 2);
}

static tare_layer *normed(tare_layer *layer) {
    if (layer) { tare_spectral_norm(layer, (tare_spectral_norm_opt){ 0 }); }
    return layer;
}

static tare_layer *discriminator(tare_params *ps) {
    tare_layer_conv2d_opt down = { .stride = 2, .pad = 1 };
    tare_layer *layers[] = {
        normed(tare_layer_conv2d(ps, "conv1", 1, 64, 4, down)),
        tare_layer_activation(ps, NULL, "leaky_relu:0.1"),
        normed(tare_layer_conv2d(ps, "conv2", 64, 128, 4, down)),
        tare_layer_activation(ps, NULL, "leaky_relu:0.1"),
        normed(tare_layer_conv2d(ps, "conv3", 128, 256, 4, down)),
        tare_layer_activation(ps, NULL, "leaky_relu:0.1"),
        tare_layer_flatten(ps, NULL),
        normed(tare_layer_linear(ps, "fc", 4096, 1, (tare_layer_linear_opt){ 0 })),
    };
    return tare_layer_sequential(ps, "discriminator", layers, sizeof layers / sizeof layers[0]);
}

static tare_status make(bench *b) {
    const tare_adam_opt opt = { .lr = 2e-4, .beta1 = TARE_ZERO, .beta2 = 0.9 };
    b->net[0] = generator(b->params[0], b->workload->variant);
    b->net[1] = discriminator(b->params[1]);
    for (int n = 0; n < 2; n++) { b->optim[n] = tare_adam_new(b->params[n], opt); }
    return bench_images(b, TARE_SHAPE(b->workload->batch, 1, 32, 32), 0, 0);
}

static tare_tensor *fake_images(bench *b, int64_t i) {
    int64_t batch = b->workload->batch;
    tare_tensor *z = tare_input(b->tape, TARE_SHAPE(batch, NOISE), NULL);
    if (!z) { return NULL; }
    tare_rng rng = tare_rng_split(tare_rng_new(1, "noise"), (uint64_t)i);
    tare_rng_fill_normal(&rng, 0, 1, z->numel, z->data);
    tare_tensor *h = tare_forward(b->net[0]->children[0], b->tape, z);
    tare_tensor *image = tare_reshape(b->tape, h, TARE_SHAPE(batch, 256, 4, 4));
    tare_tensor *y = tare_forward(b->net[0]->children[1], b->tape, image);
    tare_release(b->tape, h);
    tare_release(b->tape, image);
    return y;
}

/* mean(max(0, 1 - sign D(x))) */
static tare_tensor *hinge(bench *b, tare_tensor *x, double sign) {
    tare_tensor *score = tare_forward(b->net[1], b->tape, x);
    if (!score) { return NULL; }
    tare_tensor *wanted = tare_input(b->tape, score->shape, NULL);
    if (!wanted) { return NULL; }
    for (int64_t k = 0; k < wanted->numel; k++) { wanted->data[k] = (tare_real)sign; }
    return tare_hinge(b->tape, score, wanted, TARE_MEAN);
}

static tare_status step(bench *b, int64_t i) {
    tare_tape_reset(b->tape);
    tare_params_freeze(b->params[0], true);
    tare_tensor *real = tare_input_view(b->tape, b->input, b->x[i % BENCH_BATCHES]);
    tare_tensor *fake = fake_images(b, 2 * i);
    tare_status s = bench_update(b, 1, tare_add(b->tape, hinge(b, real, 1), hinge(b, fake, -1)));
    double loss = b->loss;
    tare_params_freeze(b->params[0], false);
    if (s != TARE_OK) { return s; }

    tare_tape_reset(b->tape);
    tare_params_freeze(b->params[1], true);
    tare_tensor *score = tare_forward(b->net[1], b->tape, fake_images(b, 2 * i + 1));
    s = bench_update(b, 0, tare_scale(b->tape, tare_mean(b->tape, score, 0, false), -1));
    tare_params_freeze(b->params[1], false);
    b->loss += loss;
    return s;
}

const bench_workload bench_sngan[] = { { "W6-in", "in", 64, make, step }, { "W6-bn", "bn", 64, make, step }, { 0 } };
