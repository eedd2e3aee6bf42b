/* add.c - y = a + b with broadcasting. */
#include "binary.h"

static void forward(tare_node *n) { tare__binary_forward(n, tare__kernels()->add); }

/* A gradient made in place is there already. */
static void backward(tare_node *n) {
    for (int i = 0; i < 2; i++) {
        if (tare_grad(n, i) != n->out->grad) { tare__binary_pass(n, i, 1); }
    }
}

static const tare_opcase cases[] = {
    { .name = "same", .in = { { 2, { 3, 7 } }, { 2, { 3, 7 } } } },
    { .name = "bias", .in = { { 2, { 5, 7 } }, { 1, { 7 } } } },
    { .name = "channels", .in = { { 4, { 2, 3, 4, 5 } }, { 4, { 1, 3, 1, 1 } } } },
    { .name = "scalar_right", .in = { { 2, { 3, 5 } }, { 0, { 0 } } } },
    { .name = "scalar_left", .in = { { 0, { 0 } }, { 2, { 3, 5 } } } },
    { .name = "scalars", .in = { { 0, { 0 } }, { 0, { 0 } } } },
    { .name = "both_ways", .in = { { 3, { 4, 1, 5 } }, { 2, { 3, 1 } } } },
    { .name = "six_dims", .in = { { 6, { 2, 1, 3, 1, 2, 3 } }, { 6, { 1, 2, 3, 2, 1, 3 } } } },
    { .name = "column", .in = { { 2, { 7, 18 } }, { 2, { 7, 1 } } } },
    { .name = "row", .in = { { 2, { 19, 5 } }, { 2, { 1, 5 } } } },
    { .name = NULL },
};

const tare_op tare_op_add = {
    .name = "add",
    .n_in = 2,
    .flags = TARE_OP_FRESH | TARE_OP_INPLACE,
    .reads = TARE_READS_NOTHING,
    .check = tare__binary_check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_add(tare_tape *t, tare_tensor *a, tare_tensor *b) {
    return tare_apply(t, &tare_op_add, (tare_tensor *[]){ a, b }, 2, NULL);
}
