/* resnet20.c - W4: ResNet-20 with batch norm on 32x32 colour images (He et al. 2016, option A), SGD with momentum. */
#include "../bench.h"

static tare_layer *conv3x3(tare_params *ps, const char *name, int64_t in, int64_t out, int stride) {
    return tare_layer_conv2d(ps, name, in, out, 3,
                             (tare_layer_conv2d_opt){ .stride = stride, .pad = 1, .no_bias = true });
}

static tare_layer *block(tare_params *ps, const char *name, int64_t in, int64_t out, int64_t side) {
    int stride = in == out ? 1 : 2;
    tare_params_push(ps, name);
    tare_layer *layers[] = {
        conv3x3(ps, "conv1", in, out, stride),
        tare_norm_layer(ps, "norm1", "bn", TARE_SHAPE(out, side, side)),
        tare_layer_relu(ps, NULL),
        conv3x3(ps, "conv2", out, out, 1),
        tare_norm_layer(ps, "norm2", "bn", TARE_SHAPE(out, side, side)),
    };
    tare_layer *body = tare_layer_sequential(ps, NULL, layers, 5);
    tare_layer *shortcut = stride == 2 ? tare_layer_subsample(ps, NULL, out, stride) : NULL;
    tare_layer *made = tare_layer_residual(ps, NULL, body, shortcut, tare_layer_relu(ps, NULL));
    tare_params_pop(ps);
    return made;
}

static tare_status make(bench *b) {
    static const char *const names[] = { "stage1.0", "stage1.1", "stage1.2", "stage2.0", "stage2.1",
                                         "stage2.2", "stage3.0", "stage3.1", "stage3.2" };
    tare_params *ps = b->params[0];
    tare_layer *layers[15];
    int n = 0;
    layers[n++] = conv3x3(ps, "conv1", 3, 16, 1);
    layers[n++] = tare_norm_layer(ps, "norm1", "bn", TARE_SHAPE(16, 32, 32));
    layers[n++] = tare_layer_relu(ps, NULL);
    int64_t in = 16;
    for (int i = 0; i < 9; i++) {
        int64_t out = 16 << (i / 3);
        layers[n++] = block(ps, names[i], in, out, 32 >> (i / 3));
        in = out;
    }
    layers[n++] = tare_layer_global_avg_pool2d(ps, NULL);
    layers[n++] = tare_layer_flatten(ps, NULL);
    layers[n++] = tare_layer_linear(ps, "fc", 64, 10, (tare_layer_linear_opt){ 0 });
    b->net[0] = tare_layer_sequential(ps, "resnet20", layers, n);
    b->optim[0] = tare_sgd_new(ps, (tare_sgd_opt){ .lr = 0.1, .momentum = 0.9, .weight_decay = 1e-4 });
    return bench_images(b, TARE_SHAPE(b->workload->batch, 3, 32, 32), b->workload->batch, 10);
}

const bench_workload bench_resnet20[] = { { "W4", "", 128, make, bench_classify }, { 0 } };
