/* sum.c - sum and mean over any dimensions. */
#include "reduce.h"

typedef struct sum_opt {
    unsigned dims; /* bit d: over dimension d; none: over all */
    bool keepdim;
} sum_opt;

/* The input's shape with each summed dimension as 1. */
static tare_shape kept_shape(const tare_node *n) {
    unsigned dims = ((const sum_opt *)n->attr)->dims;
    tare_shape shape = n->in[0]->shape;
    for (int d = 0; d < shape.ndim; d++) {
        if (dims == 0 || (dims & TARE_DIM(d))) { shape.dim[d] = 1; }
    }
    return shape;
}

static tare_status check(tare_node *n) {
    const sum_opt *opt = n->attr;
    tare_shape in = n->in[0]->shape, kept = kept_shape(n);
    tare_shape_buf buf;
    if (opt->dims >> in.ndim) {
        return tare_node_fail(n, TARE_ESHAPE, "dims 0x%x name a dimension that x %s has not", opt->dims,
                              tare_shape_text(in, &buf));
    }
    n->shape = opt->keepdim ? kept : TARE_SCALAR;
    for (int d = 0; !opt->keepdim && d < in.ndim; d++) {
        if (opt->dims && !(opt->dims & TARE_DIM(d))) { n->shape.dim[n->shape.ndim++] = in.dim[d]; }
    }
    tare__reduction r = tare__reduction_plan(in, kept, TARE_SCALAR);
    n->scratch_bytes = tare__reduction_scratch(&r);
    return TARE_OK;
}

static double mean_factor(const tare__reduction *r) { return 1.0 / (double)r->indices; }

static void sum_forward(const tare_node *n, bool mean) {
    tare__reduction r = tare__reduction_plan(n->in[0]->shape, kept_shape(n), TARE_SCALAR);
    tare__reduce(
        &r, (tare__sum){
                .x = n->in[0]->data, .factor = mean ? mean_factor(&r) : 1, .to = n->out->data, .scratch = n->scratch });
}

static void sum_backward(const tare_node *n, bool mean) {
    tare_real *dx = tare_grad(n, 0);
    if (!dx) { return; }
    tare_shape in = n->in[0]->shape, kept = kept_shape(n);
    tare__reduction r = tare__reduction_plan(in, kept, TARE_SCALAR);
    tare__repeat(in, n->out->grad, kept, mean ? mean_factor(&r) : 1, dx, tare_grad_add(n, 0));
}

static void forward(tare_node *n) { sum_forward(n, false); }
static void backward(tare_node *n) { sum_backward(n, false); }
static void mean_forward(tare_node *n) { sum_forward(n, true); }
static void mean_backward(tare_node *n) { sum_backward(n, true); }

#define ATTR(...)                                                                                                      \
    .attr = &(const sum_opt) { __VA_ARGS__ }

static const tare_opcase cases[] = {
    { .name = "all", .in = { { 3, { 3, 5, 7 } } }, ATTR(.dims = 0) },
    { .name = "all_keepdim", .in = { { 2, { 3, 5 } } }, ATTR(.dims = 0, .keepdim = true) },
    { .name = "scalar", .in = { { 0, { 0 } } }, ATTR(.dims = 0) },
    { .name = "first", .in = { { 3, { 3, 5, 7 } } }, ATTR(.dims = TARE_DIM(0)) },
    { .name = "middle", .in = { { 3, { 3, 5, 7 } } }, ATTR(.dims = TARE_DIM(1)) },
    { .name = "last", .in = { { 3, { 3, 5, 7 } } }, ATTR(.dims = TARE_DIM(2), .keepdim = true) },
    { .name = "batch_and_space",
      .in = { { 4, { 2, 3, 4, 5 } } },
      ATTR(.dims = TARE_DIM(0) | TARE_DIM(2) | TARE_DIM(3), .keepdim = true) },
    { .name = "alternating",
      .in = { { 6, { 2, 3, 2, 3, 2, 3 } } },
      ATTR(.dims = TARE_DIM(0) | TARE_DIM(2) | TARE_DIM(4)) },
    { .name = "alternating_odd",
      .in = { { 6, { 2, 3, 2, 3, 2, 3 } } },
      ATTR(.dims = TARE_DIM(1) | TARE_DIM(3) | TARE_DIM(5)) },
    { .name = NULL },
};

const tare_op tare_op_sum = {
    .name = "sum",
    .n_in = 1,
    .attr_size = sizeof(sum_opt),
    .flags = TARE_OP_FRESH,
    .reads = TARE_READS_NOTHING,
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

const tare_op tare_op_mean = {
    .name = "mean",
    .n_in = 1,
    .attr_size = sizeof(sum_opt),
    .flags = TARE_OP_FRESH,
    .reads = TARE_READS_NOTHING,
    .check = check,
    .forward = mean_forward,
    .backward = mean_backward,
    .cases = cases,
};

tare_tensor *tare_sum(tare_tape *t, tare_tensor *x, unsigned dims, bool keepdim) {
    return tare_apply(t, &tare_op_sum, &x, 1, &(sum_opt){ dims, keepdim });
}

tare_tensor *tare_mean(tare_tape *t, tare_tensor *x, unsigned dims, bool keepdim) {
    return tare_apply(t, &tare_op_mean, &x, 1, &(sum_opt){ dims, keepdim });
}
