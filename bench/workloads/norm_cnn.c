/* norm_cnn.c - W3: three blocks of convolution, norm, ReLU and pooling, 32-64-128 channels, as `tare mnist` has them; Adam. And
 * the same with batch norm for batches of 16 to 512. */
#include "../bench.h"

static tare_status make(bench *b) {
    static const int64_t channels[] = { 1, 32, 64, 128 };
    static const char *const scope[] = { "block1", "block2", "block3" };
    tare_params *ps = b->params[0];
    tare_layer *layers[14];
    int n = 0;
    for (int i = 0; i < 3; i++) {
        int64_t side = 28 >> i, c = channels[i + 1];
        tare_params_push(ps, scope[i]);
        layers[n++] = tare_layer_conv2d(ps, "conv", channels[i], c, 3, (tare_layer_conv2d_opt){ .pad = 1 });
        layers[n++] = tare_norm_layer(ps, "norm", b->workload->variant, TARE_SHAPE(c, side, side));
        layers[n++] = tare_layer_relu(ps, NULL);
        layers[n++] = tare_layer_max_pool2d(ps, NULL, (tare_pool2d_opt){ .kernel = 2 });
        tare_params_pop(ps);
    }
    layers[n++] = tare_layer_flatten(ps, NULL);
    layers[n++] = tare_layer_linear(ps, "fc", 1152, 10, (tare_layer_linear_opt){ 0 });
    b->net[0] = tare_layer_sequential(ps, "cnn", layers, n);
    b->optim[0] = tare_adam_new(ps, (tare_adam_opt){ .lr = 1e-3 });
    return bench_images(b, TARE_SHAPE(b->workload->batch, 1, 28, 28), b->workload->batch, 10);
}

#define EACH_BATCH(name, spec)                                                                                         \
    { "W3-" name "-b64", spec, 64, make, bench_classify }, { "W3-" name "-b8", spec, 8, make, bench_classify }, {      \
        "W3-" name "-b2", spec, 2, make, bench_classify                                                                \
    }
const bench_workload bench_norm_cnn[] = {
    EACH_BATCH("none", "none"), EACH_BATCH("bn", "bn"), EACH_BATCH("gn8", "gn:8"),
    EACH_BATCH("in", "in"),     EACH_BATCH("ln", "ln"), { 0 },
};

#define OF_BATCH(n)                                                                                                    \
    { "scaling-batch-" #n, "bn", n, make, bench_classify }
const bench_workload bench_batches[] = { OF_BATCH(16),  OF_BATCH(32),  OF_BATCH(64), OF_BATCH(128),
                                         OF_BATCH(256), OF_BATCH(512), { 0 } };
