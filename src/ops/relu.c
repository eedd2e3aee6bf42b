/* relu.c - y = max(x, 0). Backward reads y alone, so that the memory of x is free again. */
#include "activation.h"

enum { WORK = 1 };

static void forward(tare_node *n) { tare__activation_forward(n, tare__kernels()->relu, 0, WORK); }
static void backward(tare_node *n) { tare__activation_backward(n, tare__kernels()->relu_back, 0, WORK); }

#define AWAY_FROM_KINK                                                                                                 \
    { TARE_FILL_AWAY, 0.1, 0 }

static const tare_opcase cases[] = {
    { .name = "odd", .in = { { 2, { 3, 7 } } }, .fill = { AWAY_FROM_KINK } },
    { .name = "scalar", .in = { { 0, { 0 } } }, .fill = { { TARE_FILL_UNIFORM, 0.5, 2 } } },
    { .name = "six_dims", .in = { { 6, { 2, 1, 3, 2, 1, 2 } } }, .fill = { AWAY_FROM_KINK } },
    { .name = NULL },
};

const tare_op tare_op_relu = {
    .name = "relu",
    .n_in = 1,
    .flags = TARE_OP_FRESH | TARE_OP_INPLACE,
    .reads = TARE_READS_OUT,
    .check = tare__activation_check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_relu(tare_tape *t, tare_tensor *x) { return tare_apply(t, &tare_op_relu, &x, 1, NULL); }
