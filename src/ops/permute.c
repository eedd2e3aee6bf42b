/* permute.c - dimensions in another order; transpose is the exchange of two. */
#include "box.h"

#include <string.h>

typedef struct permute_opt {
    int order[TARE_MAX_DIMS]; /* output dimension i is input dimension order[i] */
} permute_opt;

static tare_status check(tare_node *n) {
    const permute_opt *opt = n->attr;
    tare_shape in = n->in[0]->shape;
    unsigned seen = 0;
    n->shape.ndim = in.ndim;
    for (int i = 0; i < in.ndim; i++) {
        int d = tare__dim(opt->order[i], in.ndim);
        if (d < 0 || (seen & TARE_DIM(d))) {
            tare_shape_buf buf;
            return tare_node_fail(n, TARE_ESHAPE,
                                  "order[%d] is %d: each of the %d dimensions of x %s must be there once", i,
                                  opt->order[i], in.ndim, tare_shape_text(in, &buf));
        }
        seen |= TARE_DIM(d);
        n->shape.dim[i] = in.dim[d];
    }
    return TARE_OK;
}

/* The output's indices, with x's strides in the output's order. */
static void strides(const tare_node *n, int64_t x[TARE_MAX_DIMS], int64_t y[TARE_MAX_DIMS]) {
    const permute_opt *opt = n->attr;
    tare_shape in = n->in[0]->shape;
    int64_t plain[TARE_MAX_DIMS];
    tare__strides(in, in, plain);
    tare__strides(n->shape, n->shape, y);
    for (int i = 0; i < in.ndim; i++) { x[i] = plain[tare__dim(opt->order[i], in.ndim)]; }
}

static void forward(tare_node *n) {
    tare__box b = { .shape = n->shape, .from = n->in[0]->data, .to = n->out->data };
    strides(n, b.from_stride, b.to_stride);
    tare__box_copy(&b, false);
}

static void backward(tare_node *n) {
    tare__box b = { .shape = n->shape, .from = n->out->grad, .to = tare_grad(n, 0) };
    if (!b.to) { return; }
    strides(n, b.to_stride, b.from_stride);
    tare__box_copy(&b, tare_grad_add(n, 0));
}

#define ATTR(...)                                                                                                      \
    .attr = &(const permute_opt) {                                                                                     \
        { __VA_ARGS__ }                                                                                                \
    }

static const tare_opcase cases[] = {
    { .name = "matrix", .in = { { 2, { 3, 7 } } }, ATTR(1, 0) },
    { .name = "tiles", .in = { { 2, { 37, 18 } } }, ATTR(1, 0) },
    { .name = "nothing", .in = { { 2, { 3, 7 } } }, ATTR(0, 1) },
    { .name = "scalar", .in = { { 0, { 0 } } }, ATTR(0) },
    { .name = "heads", .in = { { 4, { 2, 5, 3, 4 } } }, ATTR(0, 2, 1, 3) },
    { .name = "heads_transposed", .in = { { 4, { 2, 5, 3, 4 } } }, ATTR(0, 2, 3, 1) },
    { .name = "channels_last", .in = { { 4, { 2, 3, 4, 5 } } }, ATTR(0, -2, -1, -3) },
    { .name = "reversed", .in = { { 6, { 2, 3, 1, 4, 2, 3 } } }, ATTR(5, 4, 3, 2, 1, 0) },
    { .name = NULL },
};

const tare_op tare_op_permute = {
    .name = "permute",
    .n_in = 1,
    .attr_size = sizeof(permute_opt),
    .flags = TARE_OP_FRESH,
    .reads = TARE_READS_NOTHING,
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_permute(tare_tape *t, tare_tensor *x, const int *order) {
    permute_opt opt = { { 0 } };
    if (x) { memcpy(opt.order, order, (size_t)x->shape.ndim * sizeof *order); }
    return tare_apply(t, &tare_op_permute, &x, 1, &opt);
}

tare_tensor *tare_transpose(tare_tape *t, tare_tensor *x, int dim0, int dim1) {
    permute_opt opt = { { 0, 1, 2, 3, 4, 5 } };
    if (x) {
        int a = tare__dim(dim0, x->shape.ndim), b = tare__dim(dim1, x->shape.ndim);
        if (a < 0 || b < 0) {
            tare_shape_buf buf;
            return tare_tape_fail(t, TARE_ESHAPE, "transpose: x %s has no dimension %d",
                                  tare_shape_text(x->shape, &buf), a < 0 ? dim0 : dim1);
        }
        opt.order[a] = b;
        opt.order[b] = a;
    }
    return tare_apply(t, &tare_op_permute, &x, 1, &opt);
}
