/* mnist_cnn.c - W2: the net of PyTorch's MNIST example (github.com/pytorch/examples), with a norm behind each convolution; Adam. */
#include "../bench.h"

static tare_status make(bench *b) {
    tare_params *ps = b->params[0];
    const char *norm = b->workload->variant;
    tare_layer *layers[] = {
        tare_layer_conv2d(ps, "conv1", 1, 32, 3, (tare_layer_conv2d_opt){ 0 }),
        tare_norm_layer(ps, "norm1", norm, TARE_SHAPE(32, 26, 26)),
        tare_layer_relu(ps, NULL),
        tare_layer_conv2d(ps, "conv2", 32, 64, 3, (tare_layer_conv2d_opt){ 0 }),
        tare_norm_layer(ps, "norm2", norm, TARE_SHAPE(64, 24, 24)),
        tare_layer_relu(ps, NULL),
        tare_layer_max_pool2d(ps, NULL, (tare_pool2d_opt){ .kernel = 2 }),
        tare_layer_dropout(ps, NULL, 0.25),
        tare_layer_flatten(ps, NULL),
        tare_layer_linear(ps, "fc1", 9216, 128, (tare_layer_linear_opt){ 0 }),
        tare_layer_relu(ps, NULL),
        tare_layer_dropout(ps, NULL, 0.5),
        tare_layer_linear(ps, "fc2", 128, 10, (tare_layer_linear_opt){ 0 }),
    };
    b->net[0] = tare_layer_sequential(ps, "net", layers, sizeof layers / sizeof layers[0]);
    b->optim[0] = tare_adam_new(ps, (tare_adam_opt){ .lr = 1e-3 });
    return bench_images(b, TARE_SHAPE(b->workload->batch, 1, 28, 28), b->workload->batch, 10);
}

const bench_workload bench_mnist_cnn[] = {
    { "W2-none", "none", 64, make, bench_classify },
    { "W2-bn", "bn", 64, make, bench_classify },
    { "W2-gn8", "gn:8", 64, make, bench_classify },
    { 0 },
};
