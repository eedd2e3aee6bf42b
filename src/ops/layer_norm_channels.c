/* layer_norm_channels.c - layer norm over the channels of [N,C,...], position by position, without permuting copies:
 * the positions of a sample are columns, and blocks of columns go together. */
#include "norm.h"

#include <string.h>

/* Gradients of gamma and beta sum over positions: each chunk of blocks sums its own, in so few additions that float will do. */
enum { MAX_CHUNKS = 16, MAX_BLOCKS = 64 };

typedef struct work {
    int64_t samples, channels, inner, blocks; /* blocks of columns per sample */
    double eps;
    const tare_real *x, *gamma, *beta, *dy;
    tare_real *y, *dx;
    bool add;
    tare__norm_stat *stats; /* [samples, inner] */
    int64_t chunk, chunks;  /* blocks of all samples per chunk, how many chunks */
    tare_real *along;       /* [chunks, 2, channels, lanes]: sums along rows of dy x-hat and dy */
} work;

static work work_of(const tare_node *n) {
    tare__around a = tare__around_dim(n->in[0]->shape, 1);
    int64_t blocks = tare__ceil_div(a.inner, TARE__NORM_COLUMNS), all = tare__max(a.outer * blocks, 1);
    int64_t chunk = tare__min(tare__ceil_div(all, MAX_CHUNKS), MAX_BLOCKS);
    return (work){ .samples = a.outer,
                   .channels = a.size,
                   .inner = a.inner,
                   .blocks = blocks,
                   .chunk = chunk,
                   .chunks = tare__ceil_div(all, chunk),
                   .x = n->in[0]->data,
                   .gamma = tare__norm_data(n, 1),
                   .beta = tare__norm_data(n, 2),
                   .stats = n->saved };
}

void tare__channels_prepare(tare_node *n) {
    work w = work_of(n);
    n->shape = n->in[0]->shape;
    n->saved_bytes = (size_t)(w.samples * w.inner) * sizeof(tare__norm_stat);
    bool affine = n->in[1] || n->in[2];
    n->grad_scratch_bytes = affine ? (size_t)(w.chunks * 2 * w.channels * TARE__NORM_LANES) * sizeof(tare_real) : 0;
}

/* Where block b of all samples' blocks lies: its first value, its first column, its columns. */
static int64_t locate(const work *w, int64_t b, int64_t *column, int64_t *cols) {
    int64_t sample = b / w->blocks, first = b % w->blocks * TARE__NORM_COLUMNS;
    *column = sample * w->inner + first;
    *cols = tare__min(TARE__NORM_COLUMNS, w->inner - first);
    return sample * w->channels * w->inner + first;
}

static void forward_blocks(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    const tare__kernel_table *k = tare__kernels();
    for (int64_t b = begin; b < end; b++) {
        int64_t column, cols, at = locate(w, b, &column, &cols);
        double mean[TARE__NORM_COLUMNS], m2[TARE__NORM_COLUMNS];
        tare__norm_coef coef[TARE__NORM_COLUMNS];
        k->norm_col_moments(w->x + at, w->channels, cols, w->inner, mean, m2);
        k->norm_col_stats(cols, w->channels, w->eps, mean, m2, w->stats ? w->stats + column : NULL, coef);
        k->norm_col_scale(w->x + at, w->y + at, w->channels, cols, w->inner, coef, w->gamma, w->beta);
    }
}

static int64_t grain(const work *w, double cost) {
    return tare__grain(cost * (double)w->channels * (double)tare__min(TARE__NORM_COLUMNS, w->inner));
}

void tare__channels_forward(tare_node *n, double eps) {
    work w = work_of(n);
    w.eps = eps;
    w.y = n->out->data;
    tare_parallel_for(w.samples * w.blocks, grain(&w, 2), forward_blocks, &w);
}

static void backward_block(const work *w, int64_t b, tare_real *along) {
    const tare__kernel_table *k = tare__kernels();
    int64_t column, cols, at = locate(w, b, &column, &cols);
    tare__norm_coef coef[TARE__NORM_COLUMNS];
    double sum[TARE__NORM_COLUMNS], dot[TARE__NORM_COLUMNS], share = 1 / (double)w->channels;
    tare_real pqt[3 * TARE__NORM_COLUMNS];
    for (int64_t j = 0; j < cols; j++) { coef[j] = tare__norm_coef_of(w->stats[column + j]); }
    k->norm_col_products(w->x + at, w->dy + at, w->channels, cols, w->inner, coef, w->gamma, sum, dot, along);
    if (!w->dx) { return; }
    for (int64_t j = 0; j < cols; j++) {
        double part = -w->stats[column + j].rstd * share;
        pqt[j] = coef[j].rstd;
        pqt[TARE__NORM_COLUMNS + j] = (tare_real)(part * dot[j]);
        pqt[2 * TARE__NORM_COLUMNS + j] = (tare_real)(part * sum[j]);
    }
    k->norm_col_gradient(w->x + at, w->dy + at, w->dx + at, w->channels, cols, w->inner, coef, w->gamma, pqt, w->add);
}

static void backward_chunks(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    for (int64_t chunk = begin; chunk < end; chunk++) {
        int64_t values = 2 * w->channels * TARE__NORM_LANES;
        tare_real *along = w->along ? w->along + chunk * values : NULL;
        if (along) { memset(along, 0, (size_t)values * sizeof *along); }
        for (int64_t b = chunk * w->chunk; b < tare__min((chunk + 1) * w->chunk, w->samples * w->blocks); b++) {
            backward_block(w, b, along);
        }
    }
}

/* Channels [first, last) of a gradient, from the chunks' sums. */
static void add_chunks(const work *w, tare_real *grad, bool add, int64_t part, int64_t first, int64_t last) {
    double sum[TARE__NORM_COLUMNS] = { 0 };
    for (int64_t chunk = 0; grad && chunk < w->chunks; chunk++) {
        const tare_real *along = w->along + (chunk * 2 + part) * w->channels * TARE__NORM_LANES;
        tare__kernels()->norm_col_along(along, first, last, sum);
    }
    for (int64_t c = first; grad && c < last; c++) { tare__norm_put(grad, add, c, sum[c - first]); }
}

void tare__channels_backward(tare_node *n) {
    work w = work_of(n);
    w.dy = n->out->grad;
    w.dx = tare_grad(n, 0);
    w.add = w.dx && tare_grad_add(n, 0);
    w.along = n->scratch;
    tare_parallel_for(w.chunks, tare__max(1, grain(&w, 4) / w.chunk), backward_chunks, &w);

    tare_real *dgamma = tare_grad(n, 1), *dbeta = tare_grad(n, 2);
    for (int64_t c = 0; c < w.channels; c += TARE__NORM_COLUMNS) {
        int64_t last = tare__min(c + TARE__NORM_COLUMNS, w.channels);
        add_chunks(&w, dgamma, dgamma && tare_grad_add(n, 1), 0, c, last);
        add_chunks(&w, dbeta, dbeta && tare_grad_add(n, 2), 1, c, last);
    }
}
