/* norm_rows.c - rows that are normalised each by itself, with a scale and shift per column: layer norm, and RMS norm, which
 * differs in not taking the mean off. */
#include "norm.h"

#include <string.h>

/* Gradients of gamma and beta sum over rows: each chunk of rows sums its own, and the few chunks are added in order. */
enum { MAX_CHUNKS = 16, CHUNK_VALUES = 8192 };

/* Wide rows have so many columns that these can be shared out instead, in blocks of this many. */
enum { COLUMNS = 512 };

typedef struct work {
    int64_t rows, cols, chunk, chunks; /* rows per chunk, how many chunks */
    double eps;
    bool centred; /* the mean is taken off */
    const tare_real *x, *gamma, *beta, *dy;
    tare_real *y, *dx;
    bool add;
    tare__norm_stat *stats; /* [rows] */
    tare_real *partial;     /* [chunks, 2, cols]: gradients of gamma and beta */
    const tare_real *scale; /* [cols], gamma, or ones where there is none but beta wants a gradient */
    tare_real *dgamma, *dbeta;
    bool add_gamma, add_beta;
    bool wide;           /* columns are shared out, not rows: then instead of partial */
    tare__norm_row *row; /* [rows] */
} work;

static work work_of(const tare_node *n, int dims) {
    const tare_tensor *x = n->in[0];
    work w = { .rows = 1,
               .cols = 1,
               .x = x->data,
               .gamma = tare__norm_data(n, 1),
               .beta = tare__norm_data(n, 2),
               .stats = n->saved };
    for (int d = 0; d < x->shape.ndim; d++) { *(d < x->shape.ndim - dims ? &w.rows : &w.cols) *= x->shape.dim[d]; }
    int64_t cols = tare__max(w.cols, 1), rows = tare__max(w.rows, 1);
    w.chunk = tare__max(tare__ceil_div(CHUNK_VALUES, cols), tare__ceil_div(rows, MAX_CHUNKS));
    w.chunks = tare__ceil_div(rows, w.chunk);
    w.wide = cols >= 8 * COLUMNS;
    return w;
}

tare_status tare__rows_check(tare_node *n, int dims) {
    const tare_tensor *x = n->in[0];
    tare_shape_buf buf;
    if (dims < 1) { return tare_node_fail(n, TARE_EINVAL, "dims is %d, must be 1 or more", dims); }
    if (x->shape.ndim < dims) {
        return tare_node_fail(n, TARE_ESHAPE, "x %s has fewer than the %d dimensions to normalise over",
                              tare_shape_text(x->shape, &buf), dims);
    }
    tare_shape last = { .ndim = dims };
    for (int d = 0; d < dims; d++) { last.dim[d] = x->shape.dim[x->shape.ndim - dims + d]; }
    tare_status status = tare__norm_check_shape(n, 1, "gamma", last);
    if (!status) { status = tare__norm_check_shape(n, 2, "beta", last); }
    work w = work_of(n, dims);
    n->shape = x->shape;
    n->saved_bytes = (size_t)w.rows * sizeof(tare__norm_stat);
    /* gradients in parts, or where they are not wanted; and ones */
    n->grad_scratch_bytes = (size_t)(((w.wide ? 1 : w.chunks) * 2 + 1) * w.cols) * sizeof(tare_real);
    if (w.wide) { n->grad_scratch_bytes += (size_t)w.rows * sizeof(tare__norm_row); }
    if (!w.gamma && !w.beta) { n->grad_scratch_bytes = 0; }
    return status;
}

int64_t tare__rows_cols(const tare_node *n, int dims) { return work_of(n, dims).cols; }

/* ---- forward ----------------------------------------------------------------------------------------------------- */

static void forward_rows(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    const tare__kernel_table *k = tare__kernels();
    int64_t few = w->cols > 4096 ? 1 : TARE__NORM_FEW; /* long rows one by one, while they are in the cache */
    for (int64_t row = begin; row < end; row += few) {
        double mean[TARE__NORM_FEW], m2[TARE__NORM_FEW];
        few = tare__min(few, end - row);
        k->norm_moments_each(w->x + row * w->cols, few, w->cols, mean, m2);
        for (int64_t i = 0; i < few; i++) {
            if (!w->centred) { m2[i] += mean[i] * mean[i] * (double)w->cols, mean[i] = 0; }
            tare__norm_stat stat = tare__norm_stat_of(mean[i], m2[i], w->cols, w->eps);
            if (w->stats) { w->stats[row + i] = stat; }
            tare__norm_coef coef = tare__norm_coef_of(stat);
            int64_t at = (row + i) * w->cols;
            k->norm_scale(w->x + at, w->y + at, w->cols, &coef, w->gamma, w->beta);
        }
    }
}

void tare__rows_forward(tare_node *n, int dims, double eps, bool centred) {
    work w = work_of(n, dims);
    w.eps = eps;
    w.centred = centred;
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
        k->norm_products(w->x + at, w->dy + at, 1, w->cols, w->cols, &coef, NULL, &sum, &dot);
        tare__norm_back back = tare__norm_back_of(w->stats[row], w->centred ? sum : 0, dot, w->cols);
        k->norm_gradient(w->x + at, w->dy + at, w->dx + at, 1, w->cols, w->cols, &coef, NULL, coef.rstd, back.q, back.t,
                         w->add);
    }
}

static void backward_chunks(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    const tare__kernel_table *k = tare__kernels();
    for (int64_t chunk = begin; chunk < end; chunk++) {
        tare_real *dgamma = w->partial + chunk * 2 * w->cols, *dbeta = dgamma + w->cols;
        memset(dgamma, 0, (size_t)(2 * w->cols) * sizeof *dgamma);
        for (int64_t row = chunk * w->chunk; row < tare__min((chunk + 1) * w->chunk, w->rows); row++) {
            int64_t at = row * w->cols;
            tare__norm_coef coef = tare__norm_coef_of(w->stats[row]);
            double sum, dot;
            k->norm_scale_products(w->x + at, w->dy + at, w->cols, &coef, w->scale, dgamma, dbeta, &sum, &dot);
            if (!w->dx) { continue; }
            tare__norm_back back = tare__norm_back_of(w->stats[row], w->centred ? sum : 0, dot, w->cols);
            k->norm_scale_gradient(w->x + at, w->dy + at, w->dx + at, w->cols, &coef, w->scale, coef.rstd, back.q,
                                   back.t, w->add);
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

/* ---- wide rows --------------------------------------------------------------------------------------------------- */

static void backward_sums(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    for (int64_t row = begin; row < end; row++) {
        int64_t at = row * w->cols;
        double sum, dot;
        tare__norm_coef coef = tare__norm_coef_of(w->stats[row]);
        tare__kernels()->norm_scale_sums(w->x + at, w->dy + at, w->cols, &coef, w->scale, &sum, &dot);
        tare__norm_back back = tare__norm_back_of(w->stats[row], w->centred ? sum : 0, dot, w->cols);
        w->row[row] = (tare__norm_row){ coef, back.q, back.t };
    }
}

static void backward_columns(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    for (int64_t at = begin * COLUMNS; at < tare__min(end * COLUMNS, w->cols); at += COLUMNS) {
        int64_t cols = tare__min(COLUMNS, w->cols - at);
        if (!w->add_gamma) { memset(w->dgamma + at, 0, (size_t)cols * sizeof *w->dgamma); }
        if (!w->add_beta) { memset(w->dbeta + at, 0, (size_t)cols * sizeof *w->dbeta); }
        tare__kernels()->norm_scale_columns(w->x + at, w->dy + at, w->dx ? w->dx + at : NULL, w->rows, cols, w->cols,
                                            w->row, w->scale + at, w->dgamma + at, w->dbeta + at, w->add);
    }
}

/* ---- which way --------------------------------------------------------------------------------------------------- */

void tare__rows_backward(tare_node *n, int dims, bool centred) {
    work w = work_of(n, dims);
    if (w.cols == 0) { return; } /* no gradient has a value */
    w.centred = centred;
    w.dy = n->out->grad;
    w.dx = tare_grad(n, 0);
    w.add = w.dx && tare_grad_add(n, 0);
    double work_per_row = 4.0 * (double)w.cols;
    if (!w.gamma && !w.beta) {
        tare_parallel_for(w.rows, tare__grain(work_per_row), backward_plain, &w);
        return;
    }
    w.dgamma = tare_grad(n, 1);
    w.dbeta = n->n_in > 2 ? tare_grad(n, 2) : NULL;
    w.add_gamma = w.dgamma && tare_grad_add(n, 1);
    w.add_beta = w.dbeta && tare_grad_add(n, 2);
    w.partial = n->scratch;
    tare_real *after = w.partial + (w.wide ? 1 : w.chunks) * 2 * w.cols;
    for (int64_t j = 0; !w.gamma && j < w.cols; j++) { after[j] = 1; }
    w.scale = w.gamma ? w.gamma : after;
    if (!w.wide) {
        tare_parallel_for(w.chunks, tare__grain(work_per_row * (double)w.chunk), backward_chunks, &w);
        tare_parallel_for(w.cols, tare__grain((double)(2 * w.chunks)), reduce_columns, &w);
        return;
    }
    w.row = (tare__norm_row *)(void *)(after + w.cols);
    if (!w.dgamma) { w.dgamma = w.partial; }
    if (!w.dbeta) { w.dbeta = w.partial + w.cols; }
    tare_parallel_for(w.rows, tare__grain(work_per_row / 2), backward_sums, &w);
    tare_parallel_for(tare__ceil_div(w.cols, COLUMNS), tare__grain(3.0 * (double)(w.rows * COLUMNS)), backward_columns,
                      &w);
}
