/* slice.c - x[begin:end:step] along one dimension. */
#include "box.h"

#include <inttypes.h>

typedef struct slice_opt {
    int dim;
    int64_t begin, end, step;
} slice_opt;

/* The options with everything counted from the front; an empty range has end == begin. False where a bound lies outside. */
static bool resolve(const tare_node *n, slice_opt *opt) {
    tare_shape in = n->in[0]->shape;
    *opt = *(const slice_opt *)n->attr;
    opt->dim = tare__dim(opt->dim, in.ndim);
    if (opt->dim < 0) { return false; }
    int64_t size = in.dim[opt->dim];
    opt->begin += opt->begin < 0 ? size : 0;
    opt->end += opt->end < 0 ? size : 0;
    opt->step = opt->step == 0 ? 1 : tare__min(opt->step, tare__max(size, 1)); /* longer steps reach no further */
    return opt->begin >= 0 && opt->begin <= opt->end && opt->end <= size && opt->step >= 1;
}

static tare_status check(tare_node *n) {
    slice_opt opt;
    n->shape = n->in[0]->shape;
    if (!resolve(n, &opt)) {
        const slice_opt *given = n->attr;
        tare_shape_buf buf;
        return tare_node_fail(n, TARE_ESHAPE, "dimension %d, %" PRId64 ":%" PRId64 ":%" PRId64 " does not lie in x %s",
                              given->dim, given->begin, given->end, given->step, tare_shape_text(n->shape, &buf));
    }
    n->shape.dim[opt.dim] = tare__ceil_div(opt.end - opt.begin, opt.step);
    return TARE_OK;
}

static int64_t strides(const tare_node *n, int64_t x[TARE_MAX_DIMS], int64_t y[TARE_MAX_DIMS]) {
    slice_opt opt;
    resolve(n, &opt);
    tare__strides(n->shape, n->shape, y);
    tare__strides(n->in[0]->shape, n->in[0]->shape, x);
    int64_t offset = opt.begin * x[opt.dim];
    x[opt.dim] *= opt.step;
    return offset;
}

static void forward(tare_node *n) {
    tare__box b = { .shape = n->shape, .to = n->out->data };
    b.from = n->in[0]->data + strides(n, b.from_stride, b.to_stride);
    tare__box_copy(&b, false);
}

/* Always adds: what lies outside the slice keeps what it has. */
static void backward(tare_node *n) {
    tare__box b = { .shape = n->shape, .from = n->out->grad, .to = tare_grad(n, 0) };
    if (!b.to) { return; }
    b.to += strides(n, b.to_stride, b.from_stride);
    tare__box_copy(&b, true);
}

#define ATTR(...)                                                                                                      \
    .attr = &(const slice_opt) { __VA_ARGS__ }

static const tare_opcase cases[] = {
    { .name = "rows", .in = { { 2, { 5, 3 } } }, ATTR(0, 1, 4, 1) },
    { .name = "columns", .in = { { 2, { 3, 7 } } }, ATTR(-1, 2, -1, 0) },
    { .name = "step", .in = { { 2, { 3, 8 } } }, ATTR(1, 1, 8, 3) },
    { .name = "from_the_end", .in = { { 1, { 9 } } }, ATTR(0, -4, -1, 2) },
    { .name = "whole", .in = { { 2, { 3, 4 } } }, ATTR(1, 0, 4, 1) },
    { .name = "step_of_sequence", .in = { { 3, { 2, 5, 3 } } }, ATTR(1, 3, 4, 1) },
    { .name = "six_dims", .in = { { 6, { 2, 1, 3, 4, 1, 2 } } }, ATTR(3, 0, 4, 2) },
    { .name = NULL },
};

const tare_op tare_op_slice = {
    .name = "slice",
    .n_in = 1,
    .attr_size = sizeof(slice_opt),
    .reads = TARE_READS_NOTHING,
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_slice(tare_tape *t, tare_tensor *x, int dim, int64_t begin, int64_t end, int64_t step) {
    return tare_apply(t, &tare_op_slice, &x, 1, &(slice_opt){ dim, begin, end, step });
}
