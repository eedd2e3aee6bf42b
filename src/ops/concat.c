/* concat.c - tensors one after the other along one dimension. */
#include "box.h"

#include <inttypes.h>

typedef struct concat_opt {
    int dim;
} concat_opt;

static int concat_dim(const tare_node *n) {
    return tare__dim(((const concat_opt *)n->attr)->dim, n->in[0]->shape.ndim);
}

static tare_status check(tare_node *n) {
    tare_shape first = n->in[0]->shape;
    int dim = concat_dim(n);
    tare_shape_buf a, b;
    if (dim < 0) {
        return tare_node_fail(n, TARE_ESHAPE, "input 0 %s has no dimension %d", tare_shape_text(first, &a),
                              ((const concat_opt *)n->attr)->dim);
    }
    n->shape = first;
    for (int i = 1; i < n->n_in; i++) {
        tare_shape other = n->in[i]->shape, same = other;
        if (other.ndim == first.ndim) { same.dim[dim] = first.dim[dim]; }
        if (!tare_shape_equal(same, first)) {
            return tare_node_fail(n, TARE_ESHAPE, "input %d %s and input 0 %s may differ in dimension %d alone", i,
                                  tare_shape_text(other, &b), tare_shape_text(first, &a), dim);
        }
        n->shape.dim[dim] += other.dim[dim];
    }
    return TARE_OK;
}

/* Where input i's block lies in the output: `offset` dimensions of `dim` precede it. */
static int64_t strides(const tare_node *n, int i, int64_t x[TARE_MAX_DIMS], int64_t y[TARE_MAX_DIMS]) {
    int dim = concat_dim(n);
    int64_t before = 0;
    for (int k = 0; k < i; k++) { before += n->in[k]->shape.dim[dim]; }
    tare__strides(n->in[i]->shape, n->in[i]->shape, x);
    tare__strides(n->shape, n->shape, y);
    return before * tare__around_dim(n->shape, dim).inner;
}

static void forward(tare_node *n) {
    for (int i = 0; i < n->n_in; i++) {
        tare__box b = { .shape = n->in[i]->shape, .from = n->in[i]->data };
        b.to = n->out->data + strides(n, i, b.from_stride, b.to_stride);
        tare__box_copy(&b, false);
    }
}

static void backward(tare_node *n) {
    for (int i = 0; i < n->n_in; i++) {
        tare__box b = { .shape = n->in[i]->shape, .to = tare_grad(n, i) };
        if (!b.to) { continue; }
        b.from = n->out->grad + strides(n, i, b.to_stride, b.from_stride);
        tare__box_copy(&b, tare_grad_add(n, i));
    }
}

#define ATTR(d)                                                                                                        \
    .attr = &(const concat_opt) { d }

static const tare_opcase cases[] = {
    { .name = "rows", .in = { { 2, { 3, 5 } }, { 2, { 2, 5 } } }, .n_in = 2, ATTR(0) },
    { .name = "columns", .in = { { 2, { 3, 5 } }, { 2, { 3, 1 } }, { 2, { 3, 4 } } }, .n_in = 3, ATTR(-1) },
    { .name = "channels", .in = { { 4, { 2, 3, 2, 3 } }, { 4, { 2, 1, 2, 3 } } }, .n_in = 2, ATTR(1) },
    { .name = "one", .in = { { 1, { 5 } } }, .n_in = 1, ATTR(0) },
    { .name = "six_dims", .in = { { 6, { 2, 1, 3, 2, 1, 2 } }, { 6, { 2, 1, 3, 1, 1, 2 } } }, .n_in = 2, ATTR(3) },
    { .name = NULL },
};

const tare_op tare_op_concat = {
    .name = "concat",
    .n_in = -1,
    .attr_size = sizeof(concat_opt),
    .flags = TARE_OP_FRESH,
    .reads = TARE_READS_NOTHING,
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_concat(tare_tape *t, tare_tensor *const *xs, int n, int dim) {
    return tare_apply(t, &tare_op_concat, xs, n, &(concat_opt){ dim });
}
