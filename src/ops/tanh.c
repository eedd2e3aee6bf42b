/* tanh.c - y = tanh(x); dx = dy (1 - y^2). */
#include "activation.h"

enum { WORK = 3 };

static void forward(tare_node *n) { tare__activation_forward(n, tare__kernels()->tanh, 0, WORK); }
static void backward(tare_node *n) { tare__activation_backward(n, tare__kernels()->tanh_back, 0, WORK); }

static const tare_opcase cases[] = {
    { .name = "odd", .in = { { 2, { 3, 7 } } } },
    { .name = "scalar", .in = { { 0, { 0 } } } },
    { .name = "six_dims", .in = { { 6, { 2, 1, 3, 2, 1, 2 } } } },
    { .name = "large", .in = { { 1, { 37 } } }, .fill = { { TARE_FILL_UNIFORM, -6, 6 } } },
    { .name = NULL },
};

const tare_op tare_op_tanh = {
    .name = "tanh",
    .n_in = 1,
    .flags = TARE_OP_FRESH | TARE_OP_INPLACE,
    .reads = TARE_READS_OUT,
    .check = tare__activation_check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_tanh(tare_tape *t, tare_tensor *x) { return tare_apply(t, &tare_op_tanh, &x, 1, NULL); }
