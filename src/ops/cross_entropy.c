/* cross_entropy.c - softmax and negative log-likelihood in one, with class indices, ignore_index and label smoothing.
 *
 * Forward keeps e^(x - max) and 1 over their sum, so backward is one multiplication per value (the exponentials cost more
 * than the memory they take) and the logits need not stay. */
#include "../kernels/loss.h"
#include "common.h"

#include <inttypes.h>
#include <string.h>

typedef struct cross_entropy_attr {
    const int32_t *target; /* the caller's: read by check and forward alone */
    tare_cross_entropy_opt opt;
} cross_entropy_attr;

static int32_t ignored(const cross_entropy_attr *attr) {
    return attr->opt.has_ignore_index ? attr->opt.ignore_index : -100;
}

/* ---- check ------------------------------------------------------------------------------------------------------- */

static tare_status check_options(tare_node *n) {
    const cross_entropy_attr *attr = n->attr;
    double s = attr->opt.label_smoothing;
    if (!attr->target) { return tare_node_fail(n, TARE_EINVAL, "target is NULL"); }
    if (!(s >= 0 && s <= 1)) { return tare_node_fail(n, TARE_EINVAL, "label smoothing %g is not between 0 and 1", s); }
    if (attr->opt.reduction != TARE_MEAN && attr->opt.reduction != TARE_SUM) {
        return tare_node_fail(n, TARE_EINVAL, "reduction %d is neither TARE_MEAN nor TARE_SUM",
                              (int)attr->opt.reduction);
    }
    return TARE_OK;
}

static tare_status check_targets(tare_node *n, int64_t rows, int64_t classes) {
    const cross_entropy_attr *attr = n->attr;
    int32_t ignore = ignored(attr);
    for (int64_t i = 0; i < rows; i++) {
        int32_t target = attr->target[i];
        if ((target >= 0 && target < classes) || target == ignore) { continue; }
        tare_shape_buf text;
        return tare_node_fail(n, TARE_EINVAL,
                              "target %" PRId64 " of %" PRId64 " is %" PRId32
                              ", but logits %s have classes 0 to %" PRId64 " (and %" PRId32 " is ignored)",
                              i, rows, target, tare_shape_text(n->in[0]->shape, &text), classes - 1, ignore);
    }
    return TARE_OK;
}

static int64_t grain(int64_t classes) { return tare__grain(4.0 * (double)classes); }

static tare_status check(tare_node *n) {
    tare_shape x = n->in[0]->shape;
    tare_shape_buf text;
    if (x.ndim < 2) {
        return tare_node_fail(n, TARE_ESHAPE, "logits %s are not [N,K] or [N,K,...]; tare_reshape makes a batch of one",
                              tare_shape_text(x, &text));
    }
    tare_status status = check_options(n);
    if (status) { return status; }
    tare__around a = tare__around_dim(x, 1);
    if (a.size < 1) { return tare_node_fail(n, TARE_ESHAPE, "logits %s have no classes", tare_shape_text(x, &text)); }
    int64_t rows = a.outer * a.inner;
    status = check_targets(n, rows, a.size);
    if (status) { return status; }
    n->shape = TARE_SCALAR;
    n->saved_bytes = (size_t)(n->in[0]->numel + rows) * sizeof(tare_real) + (size_t)rows * sizeof(int32_t);
    n->scratch_bytes = (size_t)tare__ceil_div(rows, grain(a.size)) * sizeof(double);
    return TARE_OK;
}

/* ---- forward and backward ---------------------------------------------------------------------------------------- */

typedef struct job {
    tare__cross_entropy c;
    int64_t rows, grain;
    double *partial;
    tare_real dy;
    tare_real *dx;
    bool add;
} job;

/* Saved holds e, inverse and target, one after the other. */
static int32_t *saved_target(const job *w) { return (int32_t *)(void *)(w->c.inverse + w->rows); }

/* What forward and backward both need. */
static job job_of(const tare_node *n) {
    const cross_entropy_attr *attr = n->attr;
    tare__around a = tare__around_dim(n->in[0]->shape, 1);
    job w = { .rows = a.outer * a.inner, .grain = grain(a.size) };
    w.c = (tare__cross_entropy){ .k = a.size, .inner = a.inner, .target = attr->target, .ignore = ignored(attr) };
    w.c.smoothing = (tare_real)attr->opt.label_smoothing;
    if (n->saved) {
        w.c.e = n->saved;
        w.c.inverse = w.c.e + n->in[0]->numel;
        w.c.target = saved_target(&w);
    }
    return w;
}

/* What the sum is divided by. */
static double divisor(const tare_node *n, const job *w) {
    const cross_entropy_attr *attr = n->attr;
    if (attr->opt.reduction == TARE_SUM) { return 1; }
    int64_t count = 0;
    for (int64_t i = 0; i < w->rows; i++) { count += w->c.target[i] != w->c.ignore; }
    return (double)count;
}

static void sum_rows(void *context, int64_t begin, int64_t end) {
    const job *w = context;
    w->partial[begin / w->grain] = tare__kernels()->cross_entropy(&w->c, begin, end);
}

static void forward(tare_node *n) {
    const cross_entropy_attr *attr = n->attr;
    job w = job_of(n);
    w.c.x = n->in[0]->data;
    w.partial = n->scratch;
    if (n->saved) { memcpy(saved_target(&w), attr->target, (size_t)w.rows * sizeof(int32_t)); }
    tare_parallel_for(w.rows, w.grain, sum_rows, &w);
    double total = 0;
    for (int64_t chunk = 0; chunk * w.grain < w.rows; chunk++) { total += w.partial[chunk]; }
    n->out->data[0] = (tare_real)(total / divisor(n, &w));
}

static void backward_rows(void *context, int64_t begin, int64_t end) {
    const job *w = context;
    tare__kernels()->cross_entropy_back(&w->c, begin, end, w->dy, w->dx, w->add);
}

static void backward(tare_node *n) {
    job w = job_of(n);
    w.dx = tare_grad(n, 0);
    if (!w.dx) { return; }
    w.add = tare_grad_add(n, 0);
    w.dy = (tare_real)((double)n->out->grad[0] / divisor(n, &w));
    tare_parallel_for(w.rows, w.grain, backward_rows, &w);
}

/* ---- the op ------------------------------------------------------------------------------------------------------ */

static const int32_t few[] = { 2, 0, 3, -100, 1 };
static const int32_t seven[] = { 6, 0, 3, 3, 5, 1, 2 };
static const int32_t wide[] = { 36, 0, 17 };
static const int32_t pixels[] = { 0, 1, 2, 2, 1, 0, 255, 1, 0, 2, 1, 2, 0, 0, 1, 1, 2, 255, 2,  0,
                                  1, 0, 0, 1, 2, 2, 0,   1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2,   255 };
static const int32_t twenty[] = { 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 4, 3, 2, 1, 0, 4, 3, 2, 1, 0 };

#define CASE(text, indices, shape, ...)                                                                                \
    { .name = text, .in = { shape }, .attr = &(const cross_entropy_attr){ .target = indices, .opt = { __VA_ARGS__ } }, }
#define ROWS(n, k)                                                                                                     \
    {                                                                                                                  \
        2, { n, k }                                                                                                    \
    }
#define IMAGE(n, k, ...)                                                                                               \
    {                                                                                                                  \
        4, { n, k, __VA_ARGS__ }                                                                                       \
    }

static const tare_opcase cases[] = {
    CASE("mean", few, ROWS(5, 4), .reduction = TARE_MEAN),
    CASE("sum", few, ROWS(5, 4), .reduction = TARE_SUM),
    CASE("smoothing", few, ROWS(5, 4), .label_smoothing = 0.1),
    CASE("smoothing_sum", few, ROWS(5, 4), .reduction = TARE_SUM, .label_smoothing = 0.3),
    CASE("ignore", seven, ROWS(7, 7), .has_ignore_index = true, .ignore_index = 3),
    CASE("wide", wide, ROWS(3, 37), .reduction = TARE_MEAN),
    CASE("wide_smoothing", wide, ROWS(3, 37), .label_smoothing = 0.2),
    CASE("many_rows", twenty, ROWS(20, 5), .reduction = TARE_MEAN),
    CASE("image", pixels, IMAGE(1, 3, 3, 13), .has_ignore_index = true, .ignore_index = 255),
    CASE("image_smoothing", pixels, IMAGE(3, 3, 1, 13), .has_ignore_index = true, .ignore_index = 255,
         .label_smoothing = 0.1),
    CASE("row", seven, ROWS(1, 7), .reduction = TARE_MEAN),
    { .name = NULL },
};

const tare_op tare_op_cross_entropy = {
    .name = "cross_entropy",
    .n_in = 1,
    .attr_size = sizeof(cross_entropy_attr),
    .flags = TARE_OP_FRESH,
    .reads = TARE_READS_NOTHING,
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_cross_entropy(tare_tape *t, tare_tensor *logits, const int32_t *target, tare_cross_entropy_opt opt) {
    return tare_apply(t, &tare_op_cross_entropy, &logits, 1, &(cross_entropy_attr){ .target = target, .opt = opt });
}
