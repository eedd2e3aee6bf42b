/* scale.c - y = factor x. */
#include "binary.h"

#include <math.h>

typedef struct scale_opt {
    double factor;
} scale_opt;

static double factor(const tare_node *n) { return ((const scale_opt *)n->attr)->factor; }

static tare_status check(tare_node *n) {
    if (!isfinite(factor(n))) { return tare_node_fail(n, TARE_EINVAL, "factor is %g, must be finite", factor(n)); }
    n->shape = n->in[0]->shape;
    return TARE_OK;
}

static void forward(tare_node *n) { tare__repeat(n->shape, n->in[0]->data, n->shape, factor(n), n->out->data, false); }

static void backward(tare_node *n) {
    tare_real *dx = tare_grad(n, 0);
    if (dx) { tare__repeat(n->shape, n->out->grad, n->shape, factor(n), dx, tare_grad_add(n, 0)); }
}

static const tare_opcase cases[] = {
    { .name = "odd", .in = { { 2, { 3, 7 } } }, .attr = &(const scale_opt){ -1.5 } },
    { .name = "scalar", .in = { { 0, { 0 } } }, .attr = &(const scale_opt){ 0.25 } },
    { .name = "six_dims", .in = { { 6, { 2, 1, 3, 2, 1, 2 } } }, .attr = &(const scale_opt){ 3 } },
    { .name = NULL },
};

const tare_op tare_op_scale = {
    .name = "scale",
    .n_in = 1,
    .attr_size = sizeof(scale_opt),
    .flags = TARE_OP_FRESH | TARE_OP_INPLACE,
    .reads = TARE_READS_NOTHING,
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_scale(tare_tape *t, tare_tensor *x, double by) {
    return tare_apply(t, &tare_op_scale, &x, 1, &(scale_opt){ by });
}
