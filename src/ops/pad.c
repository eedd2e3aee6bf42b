/* pad.c - a constant around a tensor. */
#include "box.h"

#include <inttypes.h>

static tare_status check(tare_node *n) {
    const tare_pad_opt *opt = n->attr;
    n->shape = n->in[0]->shape;
    for (int d = 0; d < TARE_MAX_DIMS; d++) {
        int64_t before = opt->before[d], after = opt->after[d];
        tare_shape_buf buf;
        if (before < 0 || after < 0) {
            return tare_node_fail(n, TARE_EINVAL, "dimension %d: before %" PRId64 " and after %" PRId64 " must be >= 0",
                                  d, before, after);
        }
        if (d >= n->shape.ndim && (before || after)) {
            return tare_node_fail(n, TARE_ESHAPE, "x %s has no dimension %d", tare_shape_text(n->shape, &buf), d);
        }
        if (before > INT64_MAX - after || before + after > INT64_MAX - n->shape.dim[d]) {
            return tare_node_fail(n, TARE_ESHAPE, "dimension %d: the padding is too large", d);
        }
        if (d < n->shape.ndim) { n->shape.dim[d] += before + after; }
    }
    return TARE_OK;
}

/* Where x begins in the output. */
static int64_t strides(const tare_node *n, int64_t x[TARE_MAX_DIMS], int64_t y[TARE_MAX_DIMS]) {
    const tare_pad_opt *opt = n->attr;
    tare__strides(n->in[0]->shape, n->in[0]->shape, x);
    tare__strides(n->shape, n->shape, y);
    int64_t offset = 0;
    for (int d = 0; d < n->shape.ndim; d++) { offset += opt->before[d] * y[d]; }
    return offset;
}

/* The margins along dimension d, over what x spans in the dimensions before it and all of those after it. */
static void fill_margins(const tare_node *n, const int64_t y[TARE_MAX_DIMS]) {
    const tare_pad_opt *opt = n->attr;
    const tare_real value = (tare_real)opt->value;
    tare__box b = { .shape = n->shape, .from = &value };
    int64_t offset = 0;
    for (int d = 0; d < n->shape.ndim; d++) { b.to_stride[d] = y[d]; }
    for (int d = 0; d < n->shape.ndim; d++) {
        int64_t size = n->in[0]->shape.dim[d];
        b.shape.dim[d] = opt->before[d];
        b.to = n->out->data + offset;
        tare__box_copy(&b, false);
        b.shape.dim[d] = opt->after[d];
        b.to = n->out->data + offset + (opt->before[d] + size) * y[d];
        tare__box_copy(&b, false);
        b.shape.dim[d] = size;
        offset += opt->before[d] * y[d];
    }
}

static void forward(tare_node *n) {
    tare__box b = { .shape = n->in[0]->shape, .from = n->in[0]->data };
    b.to = n->out->data + strides(n, b.from_stride, b.to_stride);
    fill_margins(n, b.to_stride);
    tare__box_copy(&b, false);
}

static void backward(tare_node *n) {
    tare__box b = { .shape = n->in[0]->shape, .to = tare_grad(n, 0) };
    if (!b.to) { return; }
    b.from = n->out->grad + strides(n, b.to_stride, b.from_stride);
    tare__box_copy(&b, tare_grad_add(n, 0));
}

#define ATTR(...)                                                                                                      \
    .attr = &(const tare_pad_opt) { __VA_ARGS__ }

static const tare_opcase cases[] = {
    { .name = "image", .in = { { 4, { 2, 2, 3, 4 } } }, ATTR(.before = { 0, 0, 1, 2 }, .after = { 0, 0, 2, 1 }) },
    { .name = "value", .in = { { 2, { 3, 5 } } }, ATTR(.before = { 1, 0 }, .after = { 0, 3 }, .value = -2.5) },
    { .name = "nothing", .in = { { 1, { 7 } } }, ATTR(.value = 1) },
    { .name = "scalar", .in = { { 0, { 0 } } }, ATTR(.value = 1) },
    { .name = "six_dims",
      .in = { { 6, { 2, 1, 2, 1, 2, 1 } } },
      ATTR({ 1, 0, 0, 2, 0, 1 }, { 0, 1, 0, 1, 1, 0 }, 0.5) },
    { .name = NULL },
};

const tare_op tare_op_pad = {
    .name = "pad",
    .n_in = 1,
    .attr_size = sizeof(tare_pad_opt),
    .flags = TARE_OP_FRESH,
    .reads = TARE_READS_NOTHING,
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_pad(tare_tape *t, tare_tensor *x, tare_pad_opt opt) {
    return tare_apply(t, &tare_op_pad, &x, 1, &opt);
}
