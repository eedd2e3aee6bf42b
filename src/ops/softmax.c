/* softmax.c - softmax and log-softmax along one dimension:
 *   softmax e^x / sum e^x;  log-softmax x - log sum e^x;  x is taken less its maximum, so that nothing overflows. */
#include "common.h"

typedef struct softmax_attr {
    int dim;
} softmax_attr;

static tare_status check(tare_node *n) {
    const softmax_attr *attr = n->attr;
    tare_shape x = n->in[0]->shape;
    if (tare__dim(attr->dim, x.ndim) < 0) {
        tare_shape_buf text;
        return tare_node_fail(n, TARE_ESHAPE, "x %s has no dimension %d", tare_shape_text(x, &text), attr->dim);
    }
    n->shape = x;
    return TARE_OK;
}

typedef struct job {
    tare__around around;
    bool log;
    const tare_real *x, *dy;
    tare_real *to;
    bool add;
} job;

static job job_of(const tare_node *n) {
    const softmax_attr *attr = n->attr;
    tare_shape shape = n->in[0]->shape;
    int dim = attr->dim < 0 ? attr->dim + shape.ndim : attr->dim;
    return (job){ .around = tare__around_dim(shape, dim), .log = n->op == &tare_op_log_softmax };
}

/* A row is what is normalised together; with the exponential a value costs about four simple operations. */
static void over_rows(job *w, tare_range_fn fn) {
    tare_parallel_for(w->around.outer * w->around.inner, tare__grain(4.0 * (double)w->around.size), fn, w);
}

static void forward_rows(void *context, int64_t begin, int64_t end) {
    const job *w = context;
    tare__kernels()->softmax(w->around.size, w->around.inner, begin, end, w->x, w->to, w->log);
}

static void forward(tare_node *n) {
    job w = job_of(n);
    w.x = n->in[0]->data;
    w.to = n->out->data;
    over_rows(&w, forward_rows);
}

static void backward_rows(void *context, int64_t begin, int64_t end) {
    const job *w = context;
    tare__kernels()->softmax_back(w->around.size, w->around.inner, begin, end, w->x, w->dy, w->to, w->add, w->log);
}

static void backward(tare_node *n) {
    job w = job_of(n);
    w.x = n->out->data;
    w.dy = n->out->grad;
    w.to = tare_grad(n, 0);
    if (!w.to) { return; }
    w.add = tare_grad_add(n, 0);
    over_rows(&w, backward_rows);
}

#define CASE(text, d, ...)                                                                                             \
    {                                                                                                                  \
        .name = text, .in = { __VA_ARGS__ }, .attr = &(const softmax_attr) { .dim = (d) }                              \
    }

static const tare_opcase cases[] = {
    CASE("last", -1, { 2, { 5, 7 } }),      CASE("last_wide", 1, { 2, { 3, 37 } }),
    CASE("last_16", 1, { 2, { 2, 16 } }),   CASE("first", 0, { 2, { 6, 5 } }),
    CASE("middle", 1, { 3, { 2, 5, 19 } }), CASE("middle_16", -2, { 3, { 1, 3, 32 } }),
    CASE("one", 0, { 1, { 4 } }),           { .name = NULL },
};

#define OP(text)                                                                                                       \
    {                                                                                                                  \
        .name = text, .n_in = 1, .attr_size = sizeof(softmax_attr), .flags = TARE_OP_FRESH, .reads = TARE_READS_OUT,   \
        .check = check, .forward = forward, .backward = backward, .cases = cases                                       \
    }

const tare_op tare_op_softmax = OP("softmax");
const tare_op tare_op_log_softmax = OP("log_softmax");

tare_tensor *tare_softmax(tare_tape *t, tare_tensor *x, int dim) {
    return tare_apply(t, &tare_op_softmax, &x, 1, &(softmax_attr){ .dim = dim });
}

tare_tensor *tare_log_softmax(tare_tape *t, tare_tensor *x, int dim) {
    return tare_apply(t, &tare_op_log_softmax, &x, 1, &(softmax_attr){ .dim = dim });
}
