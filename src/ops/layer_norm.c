/* layer_norm.c - normalise each sample over its last dimensions. */
#include "norm.h"

#include <inttypes.h>
#include <string.h>

/* Gradients of gamma and beta sum over rows: each chunk of rows sums its own, and the few chunks are added in order. */
enum { MAX_CHUNKS = 16, CHUNK_VALUES = 8192 };

typedef struct work {
    int64_t rows, cols, chunk, chunks; /* rows per chunk, how many chunks */
    double eps;
    const tare_real *x, *gamma, *beta, *dy;
    tare_real *y, *dx;
    bool add;
    tare__norm_stat *stats; /* [rows] */
    tare_real *partial;     /* [chunks, 2, cols]: gradients of gamma and beta */
    const tare_real *ones;  /* [cols], gamma where there is none but beta wants a gradient */
    tare_real *dgamma, *dbeta;
    bool add_gamma, add_beta;
} work;

static work work_of(const tare_node *n) {
    const tare_layer_norm_opt *opt = n->attr;
    const tare_tensor *x = n->in[0];
    work w = { .rows = 1,
               .cols = 1,
               .x = x->data,
               .gamma = tare__norm_data(n, 1),
               .beta = tare__norm_data(n, 2),
               .stats = n->saved };
    int dims = opt->dims ? opt->dims : 1;
    for (int d = 0; d < x->shape.ndim; d++) { *(d < x->shape.ndim - dims ? &w.rows : &w.cols) *= x->shape.dim[d]; }
    int64_t cols = tare__max(w.cols, 1), rows = tare__max(w.rows, 1);
    w.chunk = tare__max(tare__ceil_div(CHUNK_VALUES, cols), tare__ceil_div(rows, MAX_CHUNKS));
    w.chunks = tare__ceil_div(rows, w.chunk);
    return w;
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

static void forward_rows(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    const tare__kernel_table *k = tare__kernels();
    for (int64_t row = begin; row < end; row++) {
        const tare_real *x = w->x + row * w->cols;
        double mean, m2;
        k->norm_moments(x, 1, w->cols, w->cols, &mean, &m2);
        tare__norm_stat stat = tare__norm_stat_of(mean, m2, w->cols, w->eps);
        if (w->stats) { w->stats[row] = stat; }
        tare__norm_coef coef = tare__norm_coef_of(stat);
        k->norm_scale(x, w->y + row * w->cols, w->cols, &coef, w->gamma, w->beta);
    }
}

static void forward(tare_node *n) {
    const tare_layer_norm_opt *opt = n->attr;
    if (opt->channels) {
        tare__channels_forward(n, tare__norm_eps(opt->eps));
        return;
    }
    work w = work_of(n);
    w.eps = tare__norm_eps(opt->eps);
    w.y = n->out->data;
    tare_parallel_for(w.rows, tare__grain(2.0 * (double)w.cols), forward_rows, &w);
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

/* Without gamma and beta. */
static void backward_plain(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    const tare__kernel_table *k = tare__kernels();
    for (int64_t row = begin; row < end; row++) {
        int64_t at = row * w->cols;
        tare__norm_coef coef = tare__norm_coef_of(w->stats[row]);
        double sum, dot;
        k->norm_products(w->x + at, w->dy + at, 1, w->cols, w->cols, &coef, &sum, &dot);
        tare__norm_back back = tare__norm_back_of(w->stats[row], sum, dot, w->cols);
        k->norm_gradient(w->x + at, w->dy + at, w->dx + at, 1, w->cols, w->cols, &coef, coef.rstd, back.q, back.t,
                         w->add);
    }
}

static void backward_chunks(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    const tare__kernel_table *k = tare__kernels();
    const tare_real *gamma = w->gamma ? w->gamma : w->ones;
    for (int64_t chunk = begin; chunk < end; chunk++) {
        tare_real *dgamma = w->partial + chunk * 2 * w->cols, *dbeta = dgamma + w->cols;
        memset(dgamma, 0, (size_t)(2 * w->cols) * sizeof *dgamma);
        for (int64_t row = chunk * w->chunk; row < tare__min((chunk + 1) * w->chunk, w->rows); row++) {
            int64_t at = row * w->cols;
            tare__norm_coef coef = tare__norm_coef_of(w->stats[row]);
            double sum, dot;
            k->norm_scale_products(w->x + at, w->dy + at, w->cols, &coef, gamma, dgamma, dbeta, &sum, &dot);
            if (!w->dx) { continue; }
            tare__norm_back back = tare__norm_back_of(w->stats[row], sum, dot, w->cols);
            k->norm_scale_gradient(w->x + at, w->dy + at, w->dx + at, w->cols, &coef, gamma, coef.rstd, back.q, back.t,
                                   w->add);
        }
    }
}

static void add_chunks(const work *w, tare_real *grad, bool add, int64_t part, int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; j++) { grad[j] = add ? grad[j] : 0; }
    for (int64_t chunk = 0; chunk < w->chunks; chunk++) {
        const tare_real *from = w->partial + (chunk * 2 + part) * w->cols;
        for (int64_t j = begin; j < end; j++) { grad[j] += from[j]; }
    }
}

static void reduce_columns(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    if (w->dgamma) { add_chunks(w, w->dgamma, w->add_gamma, 0, begin, end); }
    if (w->dbeta) { add_chunks(w, w->dbeta, w->add_beta, 1, begin, end); }
}

static void backward(tare_node *n) {
    if (((const tare_layer_norm_opt *)n->attr)->channels) {
        tare__channels_backward(n);
        return;
    }
    work w = work_of(n);
    w.dy = n->out->grad;
    w.dx = tare_grad(n, 0);
    w.add = w.dx && tare_grad_add(n, 0);
    double work_per_row = 4.0 * (double)w.cols;
    if (!w.gamma && !w.beta) {
        tare_parallel_for(w.rows, tare__grain(work_per_row), backward_plain, &w);
        return;
    }
    w.dgamma = tare_grad(n, 1);
    w.dbeta = tare_grad(n, 2);
    w.add_gamma = w.dgamma && tare_grad_add(n, 1);
    w.add_beta = w.dbeta && tare_grad_add(n, 2);
    w.partial = n->scratch;
    tare_real *ones = w.partial + w.chunks * 2 * w.cols;
    for (int64_t j = 0; !w.gamma && j < w.cols; j++) { ones[j] = 1; }
    w.ones = ones;
    tare_parallel_for(w.chunks, tare__grain(work_per_row * (double)w.chunk), backward_chunks, &w);
    tare_parallel_for(w.cols, tare__grain((double)(2 * w.chunks)), reduce_columns, &w);
}

/* ---- the op ------------------------------------------------------------------------------------------------------ */

static tare_status check_channels(tare_node *n) {
    const tare_tensor *x = n->in[0];
    tare_shape_buf buf;
    if (x->shape.ndim < 2) {
        return tare_node_fail(n, TARE_ESHAPE, "x %s must be [N,C,...] to be normalised over channels",
                              tare_shape_text(x->shape, &buf));
    }
    int64_t channels = x->shape.dim[1];
    tare_status status = tare__norm_check_shape(n, 1, "gamma", TARE_SHAPE(channels));
    if (!status) { status = tare__norm_check_shape(n, 2, "beta", TARE_SHAPE(channels)); }
    if (!status) {
        status = tare__norm_check_count(n, channels, "position", "normalise over chw, or use more channels");
    }
    if (!status) { tare__channels_prepare(n); }
    return status;
}

static tare_status check_rows(tare_node *n, int dims) {
    const tare_tensor *x = n->in[0];
    tare_shape_buf buf;
    if (dims < 0) { return tare_node_fail(n, TARE_EINVAL, "dims is %d, must be 1 or more", dims); }
    dims = dims ? dims : 1;
    if (x->shape.ndim < dims) {
        return tare_node_fail(n, TARE_ESHAPE, "x %s has fewer than the %d dimensions to normalise over",
                              tare_shape_text(x->shape, &buf), dims);
    }
    tare_shape last = { .ndim = dims };
    for (int d = 0; d < dims; d++) { last.dim[d] = x->shape.dim[x->shape.ndim - dims + d]; }
    tare_status status = tare__norm_check_shape(n, 1, "gamma", last);
    if (!status) { status = tare__norm_check_shape(n, 2, "beta", last); }
    work w = work_of(n);
    if (!status) { status = tare__norm_check_count(n, w.cols, "sample", "normalise over more dimensions"); }
    n->shape = x->shape;
    n->saved_bytes = (size_t)w.rows * sizeof(tare__norm_stat);
    bool affine = n->in[1] || n->in[2];
    n->grad_scratch_bytes = affine ? (size_t)((w.chunks * 2 + 1) * w.cols) * sizeof(tare_real) : 0;
    return status;
}

static tare_status check(tare_node *n) {
    const tare_layer_norm_opt *opt = n->attr;
    tare_status status = tare__norm_check_eps(n, opt->eps);
    if (status) { return status; }
    return opt->channels ? check_channels(n) : check_rows(n, opt->dims);
}

#define OPT(...)                                                                                                       \
    &(const tare_layer_norm_opt) { __VA_ARGS__ }
static const tare_opcase cases[] = {
    { .name = "features", .in = { { 2, { 5, 37 } }, { 1, { 37 } }, { 1, { 37 } } }, .attr = OPT(.eps = 1e-5) },
    { .name = "sequences", .in = { { 3, { 2, 3, 8 } }, { 1, { 8 } }, { 1, { 8 } } }, .attr = OPT(.eps = 0.1) },
    { .name = "images",
      .in = { { 4, { 3, 2, 3, 3 } }, { 3, { 2, 3, 3 } }, { 3, { 2, 3, 3 } } },
      .attr = OPT(.dims = 3) },
    { .name = "one_row", .in = { { 1, { 70 } }, { 1, { 70 } }, { 1, { 70 } } }, .attr = OPT(.eps = 1e-3) },
    { .name = "pairs", .in = { { 2, { 6, 2 } }, { 1, { 2 } }, { 1, { 2 } } }, .attr = OPT(.eps = 0.5) },
    { .name = "plain", .in = { { 2, { 3, 33 } } }, .absent = 6, .attr = OPT(.eps = 1e-5) },
    { .name = "no_beta", .in = { { 2, { 3, 5 } }, { 1, { 5 } } }, .absent = 4, .attr = OPT(.eps = 1e-2) },
    { .name = "no_gamma", .in = { { 2, { 3, 5 } }, { 0 }, { 1, { 5 } } }, .absent = 2, .attr = OPT(.eps = 1e-2) },
    { .name = "over_channels",
      .in = { { 4, { 2, 5, 3, 4 } }, { 1, { 5 } }, { 1, { 5 } } },
      .attr = OPT(.channels = true) },
    { .name = "over_channels_plain",
      .in = { { 3, { 1, 3, 131 } } },
      .absent = 6,
      .attr = OPT(.channels = true, .eps = 0.1) },
    { .name = NULL },
};

const tare_op tare_op_layer_norm = {
    .name = "layer_norm",
    .n_in = 3,
    .n_optional = 2,
    .attr_size = sizeof(tare_layer_norm_opt),
    .flags = TARE_OP_FRESH,
    .reads = TARE_READS_IN(0) | TARE_READS_IN(1),
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_layer_norm(tare_tape *t, tare_tensor *x, tare_tensor *gamma, tare_tensor *beta,
                             tare_layer_norm_opt opt) {
    return x ? tare_apply(t, &tare_op_layer_norm, (tare_tensor *[]){ x, gamma, beta }, 3, &opt) : NULL;
}
