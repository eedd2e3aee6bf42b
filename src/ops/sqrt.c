/* sqrt.c - y = sqrt(x); the slope at 0 is Inf. */
#include "common.h"

#include <math.h>

#ifdef TARE_F64
#define ROOT sqrt
#else
#define ROOT sqrtf
#endif

static tare_status check(tare_node *n) {
    n->shape = n->in[0]->shape;
    return TARE_OK;
}

static void forward_part(void *context, int64_t begin, int64_t end) {
    const tare_node *n = context;
    const tare_real *x = n->in[0]->data;
    tare_real *y = n->out->data;
    for (int64_t i = begin; i < end; i++) { y[i] = ROOT(x[i]); }
}

static void forward(tare_node *n) { tare_parallel_for(n->out->numel, tare__grain(4), forward_part, n); }

static void backward_part(void *context, int64_t begin, int64_t end) {
    const tare_node *n = context;
    const tare_real *y = n->out->data, *dy = n->out->grad;
    tare_real *dx = tare_grad(n, 0);
    bool add = tare_grad_add(n, 0);
    for (int64_t i = begin; i < end; i++) {
        tare_real d = dy[i] / (2 * y[i]);
        dx[i] = add ? dx[i] + d : d;
    }
}

static void backward(tare_node *n) {
    if (tare_grad(n, 0)) { tare_parallel_for(n->out->numel, tare__grain(4), backward_part, n); }
}

static const tare_opcase cases[] = {
    { .name = "odd", .in = { { 2, { 3, 7 } } }, .fill = { { TARE_FILL_UNIFORM, 0.5, 4 } } },
    { .name = "scalar", .in = { { 0, { 0 } } }, .fill = { { TARE_FILL_UNIFORM, 0.5, 4 } } },
    { .name = "six_dims", .in = { { 6, { 2, 1, 3, 2, 1, 2 } } }, .fill = { { TARE_FILL_UNIFORM, 0.5, 4 } } },
    { .name = NULL },
};

const tare_op tare_op_sqrt = {
    .name = "sqrt",
    .n_in = 1,
    .flags = TARE_OP_FRESH,
    .reads = TARE_READS_OUT,
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_sqrt(tare_tape *t, tare_tensor *x) { return tare_apply(t, &tare_op_sqrt, &x, 1, NULL); }
