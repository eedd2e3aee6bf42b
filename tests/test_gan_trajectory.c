/* test_gan_trajectory.c - ten steps of one D and G pair beside PyTorch: spectral norm in D, batch or instance norm in G, hinge
 * loss, Adam; the same bits for any number of threads, no allocation once seen.   tare-test: double isa */
#include "testing_support.h"

#include <tare/gan.h>

#include <math.h>
#include <stdio.h>

enum { STEPS = 10, BATCH = 4, Z = 6, PIXELS = 64 };

typedef struct pair {
    const char *norm;
    tare_params *g_ps, *d_ps;
    tare_layer *g_fc, *g_rest, *d;
    tare_optim *g_optim, *d_optim;
    tare_tape *tape;
} pair;

/* fc to [8,2,2], norm, ReLU, upsampling, conv, norm, ReLU, transposed conv, tanh */
static void make_g(pair *p) {
    tare_params *ps = p->g_ps = tare_params_new(1);
    p->g_fc = tare_layer_linear(ps, "fc", Z, 32, (tare_layer_linear_opt){ 0 });
    tare_layer *layers[] = {
        tare_norm_layer(ps, "norm1", p->norm, TARE_SHAPE(8, 2, 2)),
        tare_layer_relu(ps, NULL),
        tare_layer_upsample2d(ps, "up", (tare_upsample2d_opt){ .scale = 2 }),
        tare_layer_conv2d(ps, "conv1", 8, 6, 3, (tare_layer_conv2d_opt){ .pad = 1, .no_bias = true }),
        tare_norm_layer(ps, "norm2", p->norm, TARE_SHAPE(6, 4, 4)),
        tare_layer_relu(ps, NULL),
        tare_layer_conv_transpose2d(ps, "conv2", 6, 1, 4, (tare_layer_conv_transpose2d_opt){ .stride = 2, .pad = 1 }),
        tare_layer_activation(ps, NULL, "tanh"),
    };
    p->g_rest = tare_layer_sequential(ps, "g", layers, 8);
    assert_ok(tare_params_status(ps));
}

static void make_d(pair *p) {
    tare_params *ps = p->d_ps = tare_params_new(2);
    tare_layer *layers[] = {
        tare_layer_conv2d(ps, "conv1", 1, 6, 3, (tare_layer_conv2d_opt){ .stride = 2, .pad = 1 }),
        tare_layer_activation(ps, NULL, "leaky_relu:0.1"),
        tare_layer_conv2d(ps, "conv2", 6, 8, 3, (tare_layer_conv2d_opt){ .stride = 2, .pad = 1 }),
        tare_layer_activation(ps, NULL, "leaky_relu:0.1"),
        tare_layer_flatten(ps, NULL),
        tare_layer_linear(ps, "fc", 32, 1, (tare_layer_linear_opt){ 0 }),
    };
    for (int i = 0; i < 6; i++) {
        if (layers[i] && layers[i]->weight) { assert_ok(tare_norm_weight(layers[i], "sn")); }
    }
    p->d = tare_layer_sequential(ps, "d", layers, 6);
    assert_ok(tare_params_status(ps));
}

static pair pair_new(const char *norm) {
    pair p = { .norm = norm, .tape = tare_tape_new((tare_tape_opt){ .training = true, .guard = true }) };
    make_g(&p);
    make_d(&p);
    const tare_adam_opt opt = { .lr = 5e-3, .beta1 = TARE_ZERO, .beta2 = 0.9 };
    p.g_optim = tare_adam_new(p.g_ps, opt);
    p.d_optim = tare_adam_new(p.d_ps, opt);
    assert_true(p.g_optim && p.d_optim);
    return p;
}

static void pair_free(pair *p) {
    tare_tape_free(p->tape);
    tare_optim_free(p->g_optim), tare_optim_free(p->d_optim);
    tare_params_free(p->g_ps), tare_params_free(p->d_ps);
}

static tare_tensor *generate(const pair *p, const tare_real *z) {
    tare_tensor *h = tare_forward(p->g_fc, p->tape, tare_input(p->tape, TARE_SHAPE(BATCH, Z), z));
    return tare_forward(p->g_rest, p->tape, tare_reshape(p->tape, h, TARE_SHAPE(BATCH, 8, 2, 2)));
}

/* One step of each: z holds two batches. */
static void step(pair *p, const tare_real *real, const tare_real *z, double loss[2]) {
    tare_tape_reset(p->tape);
    tare_params_zero_grad(p->d_ps);
    tare_params_freeze(p->g_ps, true);
    tare_tensor *fake = tare_detach(p->tape, generate(p, z));
    tare_params_freeze(p->g_ps, false);
    tare_tensor *of_real = tare_forward(p->d, p->tape, tare_input(p->tape, TARE_SHAPE(BATCH, 1, 8, 8), real));
    tare_tensor *of_fake = tare_forward(p->d, p->tape, fake);
    tare_tensor *l = tare_add(p->tape, tare_gan_loss(p->tape, of_real, TARE_GAN_HINGE, TARE_GAN_D_REAL),
                              tare_gan_loss(p->tape, of_fake, TARE_GAN_HINGE, TARE_GAN_D_FAKE));
    assert_ok(tare_backward(p->tape, l));
    loss[0] = tare_item(l);
    assert_ok(tare_optim_step(p->d_optim));

    tare_tape_reset(p->tape);
    tare_params_zero_grad(p->g_ps);
    tare_params_freeze(p->d_ps, true);
    l = tare_gan_loss(p->tape, tare_forward(p->d, p->tape, generate(p, z + BATCH * Z)), TARE_GAN_HINGE, TARE_GAN_G);
    assert_ok(tare_backward(p->tape, l));
    loss[1] = tare_item(l);
    assert_ok(tare_optim_step(p->g_optim));
    tare_params_freeze(p->d_ps, false);
    assert_ok(tare_tape_guard(p->tape));
}

/* ---- beside PyTorch ---------------------------------------------------------------------------------------------------- */

/* Load every value of a player, or compare it. Statistics and counters start as they do here. */
static void each_value(const golden *g, const char *net, const char *who, tare_params *ps, bool load) {
    int params = tare_params_count(ps);
    for (int i = 0; i < params + tare_params_buffers(ps); i++) {
        tare_tensor *w = i < params ? tare_params_at(ps, i) : tare_params_buffer_at(ps, i - params);
        const double *want = golden_get(g, NULL, "%s/%s/%s/%s", net, who, load ? "init" : "final", w->name);
        if (!want && load && strstr(w->name, "norm")) { continue; }
        if (!want) { fail_msg("no golden %s/%s/%s", net, who, w->name); }
        for (int64_t k = 0; k < w->numel && load; k++) { w->data[k] = (tare_real)want[k]; }
        if (load) { continue; }
        double distance = test_distance(w->data, want, w->numel);
        if (!(distance <= test_tol(5e-3, 1e-8))) { fail_msg("%s %s: off by %g", who, w->name, distance); }
    }
}

static void numbers(const golden *g, const char *net, const char *what, int64_t at, int64_t n, tare_real *out) {
    const double *values = golden_get(g, NULL, "%s/%s", net, what);
    assert_non_null(values);
    for (int64_t i = 0; i < n; i++) { out[i] = (tare_real)values[at + i]; }
}

static void ten_steps_as_pytorch(void **state) {
    const char *net = *state;
    golden *g = golden_open("gan_trajectory");
    assert_non_null(g);
    pair p = pair_new(net);
    each_value(g, net, "g", p.g_ps, true);
    each_value(g, net, "d", p.d_ps, true);
    const double *d_loss = golden_get(g, NULL, "%s/d_loss", net), *g_loss = golden_get(g, NULL, "%s/g_loss", net);
    double worst = 0;
    for (int s = 0; s < STEPS; s++) {
        tare_real real[BATCH * PIXELS], z[2 * BATCH * Z];
        double loss[2];
        numbers(g, net, "real", s * BATCH * PIXELS, BATCH * PIXELS, real);
        numbers(g, net, "z", 2 * s * BATCH * Z, 2 * BATCH * Z, z);
        step(&p, real, z, loss);
        worst = fmax(worst, fmax(fabs(loss[0] - d_loss[s]), fabs(loss[1] - g_loss[s])));
        assert_near(loss[0], d_loss[s], test_tol(2e-4, 1e-9));
        assert_near(loss[1], g_loss[s], test_tol(2e-4, 1e-9));
    }
    each_value(g, net, "g", p.g_ps, false);
    each_value(g, net, "d", p.d_ps, false);
    printf("%s: largest error of a loss over %d steps: %.2g\n", net, STEPS, worst);
    pair_free(&p);
    golden_close(g);
}

/* ---- the same bits, and memory ------------------------------------------------------------------------------------------- */

static void fill(tare_real *real, tare_real *z, int s) {
    for (int i = 0; i < BATCH * PIXELS; i++) { real[i] = (tare_real)sin(0.37 * i + s); }
    for (int i = 0; i < 2 * BATCH * Z; i++) { z[i] = (tare_real)cos(1.3 * i - s); }
}

static void same_bits_and_no_memory(void **state) {
    tare_real real[BATCH * PIXELS], z[2 * BATCH * Z];
    double first[STEPS][2], loss[2];
    int before = tare_threads();
    for (int threads = 1; threads <= 3; threads++) {
        tare_threads_set(threads);
        pair p = pair_new(*state);
        uint64_t count = 0;
        for (int s = 0; s < STEPS; s++) {
            fill(real, z, s);
            if (s == 2) { count = tare_alloc_count(); }
            step(&p, real, z, loss);
            if (threads == 1) { memcpy(first[s], loss, sizeof loss); }
            assert_memory_equal(first[s], loss, sizeof loss);
        }
        assert_true(count == tare_alloc_count());
        pair_free(&p);
    }
    tare_threads_set(before);
    assert_true(first[0][0] != first[1][0] && first[0][1] != first[1][1]);
}

int main(void) {
    if (test_isa_missing()) { return 77; }
    static char bn[] = "bn", in[] = "in";
    const struct CMUnitTest tests[] = {
        { "bn_as_pytorch", ten_steps_as_pytorch, NULL, NULL, bn },
        { "in_as_pytorch", ten_steps_as_pytorch, NULL, NULL, in },
        { "bn_bits_and_memory", same_bits_and_no_memory, NULL, NULL, bn },
        { "in_bits_and_memory", same_bits_and_no_memory, NULL, NULL, in },
    };
    return cmocka_run_group_tests_name("gan trajectory", tests, NULL, NULL);
}
