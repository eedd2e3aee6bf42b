/* norm_rows.c - rows that are normalised each by itself, with a scale and shift per column: layer norm, and RMS norm, which
 * differs in not taking the mean off. */
#include "norm.h"

#include <string.h>

/* Gradients of gamma and beta sum over rows: each chunk of rows sums its own, and the few chunks are added in order. */
enum { MAX_CHUNKS = 16, CHUNK_VALUES = 8192 };

/* Wide rows have so many columns that these are shared out instead, in blocks: what is per column then stays in a first-level
 * cache while rows pass by. It costs another look at x (and dy), so those should be near, or rows longer than a second-level
 * cache can serve. */
enum { COLUMNS = 1024, WIDE = 4096, WIDEST = 32768, NEAR_VALUES = 1 << 22 };

typedef struct work {
    tare__norm_rows r;
    int64_t rows, chunk, chunks; /* rows per chunk, how many chunks */
    tare_real *partial;          /* [chunks, 2, cols]: gradients of gamma and beta */
    tare_real *dgamma, *dbeta;
    bool add_gamma, add_beta;
    bool wide; /* columns are shared out, not rows, in blocks: */
    int64_t blocks;
    tare__norm_coef *coef; /* [rows] */
    tare__norm_row *row;   /* [rows] */
    double *sums;          /* [blocks, 2, rows] */
} work;

static work work_of(const tare_node *n, int dims) {
    const tare_tensor *x = n->in[0];
    work w = { .rows = 1,
               .r = { .cols = 1,
                      .x = x->data,
                      .gamma = tare__norm_data(n, 1),
                      .beta = tare__norm_data(n, 2),
                      .stats = n->saved } };
    for (int d = 0; d < x->shape.ndim; d++) { *(d < x->shape.ndim - dims ? &w.rows : &w.r.cols) *= x->shape.dim[d]; }
    int64_t cols = tare__max(w.r.cols, 1), rows = tare__max(w.rows, 1);
    w.wide = cols >= WIDE && (cols >= WIDEST || rows * cols <= NEAR_VALUES);
    w.chunk = w.wide ? rows : tare__max(tare__ceil_div(CHUNK_VALUES, cols), tare__ceil_div(rows, MAX_CHUNKS));
    w.chunks = tare__ceil_div(rows, w.chunk);
    w.blocks = tare__ceil_div(cols, COLUMNS);
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
    n->grad_scratch_bytes = (size_t)((w.chunks * 2 + 1) * w.r.cols) * sizeof(tare_real); /* partial, and ones */
    if (w.wide) {
        n->scratch_bytes = (size_t)w.rows * sizeof(tare__norm_coef);
        n->grad_scratch_bytes += (size_t)w.rows * (sizeof(tare__norm_coef) + sizeof(tare__norm_row)) +
                                 (size_t)(w.blocks * w.rows) * 2 * sizeof(double);
    }
    if (!w.r.gamma && !w.r.beta) { n->grad_scratch_bytes = 0; }
    return status;
}

int64_t tare__rows_cols(const tare_node *n, int dims) { return work_of(n, dims).r.cols; }

/* ---- forward ----------------------------------------------------------------------------------------------------- */

static void forward_rows(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    const tare__kernel_table *k = tare__kernels();
    int64_t most = tare__norm_together(w->r.cols, w->r.cols < WIDE ? 4096 : 65536);
    for (int64_t row = begin, next; row < end; row = next) {
        tare__norm_coef coef[TARE__NORM_ROWS];
        next = tare__min(row + most, end);
        k->norm_rows_stats(&w->r, row, next, coef);
        k->norm_rows_scale(&w->r, row, next, 0, w->r.cols, coef);
    }
}

static void wide_stats(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    tare__kernels()->norm_rows_stats(&w->r, begin, end, w->coef + begin);
}

static void wide_scale(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    for (int64_t b = begin; b < end; b++) {
        int64_t last = tare__min((b + 1) * COLUMNS, w->r.cols);
        tare__kernels()->norm_rows_scale(&w->r, 0, w->rows, b * COLUMNS, last, w->coef);
    }
}

void tare__rows_forward(tare_node *n, int dims, double eps, bool centred) {
    work w = work_of(n, dims);
    w.r.eps = eps;
    w.r.centred = centred;
    w.r.y = n->out->data;
    w.coef = n->scratch;
    if (w.r.cols == 0) { return; } /* no value to look at */
    if (w.wide) {
        tare_parallel_for(w.rows, tare__grain_of(w.rows, (double)w.r.cols), wide_stats, &w);
        tare_parallel_for(w.blocks, tare__grain_of(w.blocks, (double)(w.rows * COLUMNS)), wide_scale, &w);
    } else {
        tare_parallel_for(w.rows, tare__grain(2.0 * (double)w.r.cols), forward_rows, &w);
    }
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

/* Without gamma and beta. */
static void backward_plain(void *context, int64_t begin, int64_t end) {
    const tare__norm_rows *w = &((const work *)context)->r;
    const tare__kernel_table *k = tare__kernels();
    for (int64_t row = begin; row < end; row++) {
        int64_t at = row * w->cols;
        tare__norm_map map = tare__norm_map_of(w->stats[row], 1, 0, (tare__norm_back){ 0 });
        tare__norm_planes p = { .rows = 1, .planes = 1, .n = w->cols, .map = &map, .add = w->add };
        p.x = w->x + at, p.dy = w->dy + at, p.dx = w->dx + at;
        double sum, dot;
        k->norm_products(&p, &sum, &dot);
        tare__norm_back back = tare__norm_back_of(w->stats[row], w->centred ? sum : 0, dot, w->cols);
        map.q = back.q, map.t = back.t;
        k->norm_gradient(&p);
    }
}

static tare__norm_row row_of(const work *w, int64_t row, tare__norm_coef coef, double sum, double dot) {
    double share = -w->r.stats[row].rstd / (double)w->r.cols;
    return (tare__norm_row){ coef, (tare_real)(share * dot), w->r.centred ? (tare_real)(share * sum) : 0 };
}

static void backward_few(const work *w, int64_t row, int64_t end, tare_real *dgamma, tare_real *dbeta) {
    const tare__kernel_table *k = tare__kernels();
    tare__norm_coef coef[TARE__NORM_ROWS];
    tare__norm_row few[TARE__NORM_ROWS];
    double sum[TARE__NORM_ROWS], dot[TARE__NORM_ROWS];
    for (int64_t r = row; r < end; r++) { coef[r - row] = tare__norm_coef_of(w->r.stats[r]); }
    k->norm_rows_sums(&w->r, row, end, 0, w->r.cols, coef, sum, dot);
    for (int64_t r = row; r < end; r++) { few[r - row] = row_of(w, r, coef[r - row], sum[r - row], dot[r - row]); }
    k->norm_rows_gradient(&w->r, row, end, 0, w->r.cols, few, dgamma, dbeta);
}

static void backward_chunks(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    int64_t cols = w->r.cols, most = tare__norm_together(cols, 3072);
    for (int64_t chunk = begin; chunk < end; chunk++) {
        tare_real *dgamma = w->partial + chunk * 2 * cols, *dbeta = dgamma + cols;
        memset(dgamma, 0, (size_t)(2 * cols) * sizeof *dgamma);
        int64_t last = tare__min((chunk + 1) * w->chunk, w->rows);
        for (int64_t row = chunk * w->chunk; row < last; row += most) {
            backward_few(w, row, tare__min(row + most, last), dgamma, dbeta);
        }
    }
}

static void add_chunks(const work *w, tare_real *grad, bool add, int64_t part, int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; j++) { grad[j] = add ? grad[j] : 0; }
    for (int64_t chunk = 0; chunk < w->chunks; chunk++) {
        const tare_real *from = w->partial + (chunk * 2 + part) * w->r.cols;
        for (int64_t j = begin; j < end; j++) { grad[j] += from[j]; }
    }
}

static void reduce_columns(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    if (w->dgamma) { add_chunks(w, w->dgamma, w->add_gamma, 0, begin, end); }
    if (w->dbeta) { add_chunks(w, w->dbeta, w->add_beta, 1, begin, end); }
}

/* ---- wide rows --------------------------------------------------------------------------------------------------- */

static void wide_sums(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    for (int64_t b = begin; b < end; b++) {
        int64_t last = tare__min((b + 1) * COLUMNS, w->r.cols);
        double *sum = w->sums + b * 2 * w->rows;
        tare__kernels()->norm_rows_sums(&w->r, 0, w->rows, b * COLUMNS, last, w->coef, sum, sum + w->rows);
    }
}

static void wide_gradient(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    for (int64_t at = begin * COLUMNS; at < tare__min(end * COLUMNS, w->r.cols); at += COLUMNS) {
        int64_t last = tare__min(at + COLUMNS, w->r.cols);
        tare_real *dgamma = w->partial, *dbeta = dgamma + w->r.cols;
        memset(dgamma + at, 0, (size_t)(last - at) * sizeof *dgamma);
        memset(dbeta + at, 0, (size_t)(last - at) * sizeof *dbeta);
        tare__kernels()->norm_rows_gradient(&w->r, 0, w->rows, at, last, w->row, dgamma, dbeta);
        reduce_columns(context, at, last); /* not before: a single row's dy may lie where one of them goes */
    }
}

static void wide_backward(work *w) {
    for (int64_t r = 0; r < w->rows; r++) { w->coef[r] = tare__norm_coef_of(w->r.stats[r]); }
    tare_parallel_for(w->blocks, tare__grain_of(w->blocks, 2.0 * (double)(w->rows * COLUMNS)), wide_sums, w);
    for (int64_t r = 0; r < w->rows; r++) {
        double sum = 0, dot = 0;
        for (int64_t b = 0; b < w->blocks; b++) {
            sum += w->sums[b * 2 * w->rows + r];
            dot += w->sums[(b * 2 + 1) * w->rows + r];
        }
        w->row[r] = row_of(w, r, w->coef[r], sum, dot);
    }
    tare_parallel_for(w->blocks, tare__grain_of(w->blocks, 3.0 * (double)(w->rows * COLUMNS)), wide_gradient, w);
}

/* ---- which way --------------------------------------------------------------------------------------------------- */

void tare__rows_backward(tare_node *n, int dims, bool centred) {
    work w = work_of(n, dims);
    int64_t cols = w.r.cols;
    if (cols == 0) { return; } /* no gradient has a value */
    w.r.centred = centred;
    w.r.dy = n->out->grad;
    w.r.dx = tare_grad(n, 0);
    w.r.add = w.r.dx && tare_grad_add(n, 0);
    double work_per_row = 4.0 * (double)cols;
    if (!w.r.gamma && !w.r.beta) {
        tare_parallel_for(w.rows, tare__grain(work_per_row), backward_plain, &w);
        return;
    }
    w.dgamma = tare_grad(n, 1);
    w.dbeta = n->n_in > 2 ? tare_grad(n, 2) : NULL;
    w.add_gamma = w.dgamma && tare_grad_add(n, 1);
    w.add_beta = w.dbeta && tare_grad_add(n, 2);
    w.sums = n->scratch; /* doubles first */
    w.row = (tare__norm_row *)(w.sums + (w.wide ? w.blocks * 2 * w.rows : 0));
    w.coef = (tare__norm_coef *)(w.row + (w.wide ? w.rows : 0));
    w.partial = (tare_real *)(w.coef + (w.wide ? w.rows : 0));
    tare_real *ones = w.partial + w.chunks * 2 * cols;
    for (int64_t j = 0; !w.r.gamma && j < cols; j++) { ones[j] = 1; }
    if (!w.r.gamma) { w.r.gamma = ones; }
    if (w.wide) {
        wide_backward(&w);
        return;
    }
    tare_parallel_for(w.chunks, tare__grain(work_per_row * (double)w.chunk), backward_chunks, &w);
    tare_parallel_for(cols, tare__grain((double)(2 * w.chunks)), reduce_columns, &w);
}
