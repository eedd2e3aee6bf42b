/* mlp.c - W1: 784-256-128-10 with ReLU, Adam. */
#include "../bench.h"

static tare_status make(bench *b) {
    tare_params *ps = b->params[0];
    tare_layer *layers[] = {
        tare_layer_linear(ps, "fc1", 784, 256, (tare_layer_linear_opt){ 0 }), tare_layer_relu(ps, NULL),
        tare_layer_linear(ps, "fc2", 256, 128, (tare_layer_linear_opt){ 0 }), tare_layer_relu(ps, NULL),
        tare_layer_linear(ps, "fc3", 128, 10, (tare_layer_linear_opt){ 0 }),
    };
    b->net[0] = tare_layer_sequential(ps, "mlp", layers, 5);
    b->optim[0] = tare_adam_new(ps, (tare_adam_opt){ .lr = 1e-3 });
    return bench_images(b, TARE_SHAPE(b->workload->batch, 784), b->workload->batch, 10);
}

const bench_workload bench_mlp[] = {
    { "W1-b32", "", 32, make, bench_classify },
    { "W1-b128", "", 128, make, bench_classify },
    { 0 },
};
