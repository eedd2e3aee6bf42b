/* layer_norm_channels.c - layer norm over the channels of [N,C,...], position by position, without permuting copies:
 * the positions of a sample are columns, and blocks of columns go together. */
#include "norm.h"

typedef struct work {
    int64_t samples, channels, inner, blocks; /* blocks of columns per sample */
    double eps;
    const tare_real *x, *gamma, *beta, *dy;
    tare_real *y, *dx;
    bool add;
    tare__norm_stat *stats; /* [samples, inner] */
    tare_real *products;    /* [samples, blocks, 2, channels]: sums along rows of dy x-hat and dy */
} work;

static work work_of(const tare_node *n) {
    tare__around a = tare__around_dim(n->in[0]->shape, 1);
    return (work){ .samples = a.outer,
                   .channels = a.size,
                   .inner = a.inner,
                   .blocks = tare__ceil_div(a.inner, TARE__NORM_COLUMNS),
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
    n->grad_scratch_bytes = affine ? (size_t)(w.samples * w.blocks * 2 * w.channels) * sizeof(tare_real) : 0;
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
        for (int64_t j = 0; j < cols; j++) {
            tare__norm_stat stat = tare__norm_stat_of(mean[j], m2[j], w->channels, w->eps);
            if (w->stats) { w->stats[column + j] = stat; }
            coef[j] = tare__norm_coef_of(stat);
        }
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

static void backward_blocks(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    const tare__kernel_table *k = tare__kernels();
    for (int64_t b = begin; b < end; b++) {
        int64_t column, cols, at = locate(w, b, &column, &cols);
        tare__norm_coef coef[TARE__NORM_COLUMNS];
        double sum[TARE__NORM_COLUMNS], dot[TARE__NORM_COLUMNS];
        tare_real pqt[3 * TARE__NORM_COLUMNS];
        for (int64_t j = 0; j < cols; j++) { coef[j] = tare__norm_coef_of(w->stats[column + j]); }
        tare_real *row_dot = w->products ? w->products + b * 2 * w->channels : NULL;
        k->norm_col_products(w->x + at, w->dy + at, w->channels, cols, w->inner, coef, w->gamma, sum, dot, row_dot,
                             row_dot ? row_dot + w->channels : NULL);
        if (!w->dx) { continue; }
        for (int64_t j = 0; j < cols; j++) {
            tare__norm_back back = tare__norm_back_of(w->stats[column + j], sum[j], dot[j], w->channels);
            pqt[j] = coef[j].rstd;
            pqt[TARE__NORM_COLUMNS + j] = back.q;
            pqt[2 * TARE__NORM_COLUMNS + j] = back.t;
        }
        k->norm_col_gradient(w->x + at, w->dy + at, w->dx + at, w->channels, cols, w->inner, coef, w->gamma, pqt,
                             w->add);
    }
}

void tare__channels_backward(tare_node *n) {
    work w = work_of(n);
    w.dy = n->out->grad;
    w.dx = tare_grad(n, 0);
    w.add = w.dx && tare_grad_add(n, 0);
    w.products = n->scratch;
    tare_parallel_for(w.samples * w.blocks, grain(&w, 4), backward_blocks, &w);

    tare_real *dgamma = tare_grad(n, 1), *dbeta = tare_grad(n, 2);
    for (int64_t c = 0; c < w.channels && (dgamma || dbeta); c++) {
        double dot = 0, sum = 0;
        for (int64_t b = 0; b < w.samples * w.blocks; b++) {
            dot += (double)w.products[b * 2 * w.channels + c];
            sum += (double)w.products[(b * 2 + 1) * w.channels + c];
        }
        tare__norm_put(dgamma, dgamma && tare_grad_add(n, 1), c, dot);
        tare__norm_put(dbeta, dbeta && tare_grad_add(n, 2), c, sum);
    }
}
