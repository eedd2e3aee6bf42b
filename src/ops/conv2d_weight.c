/* conv2d_weight.c - the products from x and y to the weight and to a bias: shares of a fixed number of image ranges, added in order. */
#include "conv2d.h"

#include "../kernels/gemm_block.h"
#include "conv2d_wino.h"

#include <string.h>

enum {
    SHARES = 8,            /* most shares of the batch added up on their own */
    SHARES_SIZE = 1 << 21, /* most numbers in all shares together, unless one share alone is larger */
    BLOCK_CHANNELS = 16,   /* fewest channels worth a chunk of their own */
};

typedef struct weight_job {
    tare__conv2d v;
    const tare__conv2d_sums *call;
    int64_t shares, blocks; /* of the batch, of the channels */
    int64_t step, size;     /* from tap to tap in a share; numbers of a share */
    bool matrix;            /* a share is the product of y and x as they lie */
    bool by_filter;         /* of which x, whose channels are fewer, is turned round */
    tare_real *sums;        /* [shares][groups][c][r][s][step], or by filter [shares][groups][k][c] */
    double *bias;           /* [shares][groups][k] */
} weight_job;

/* One tap, no stride, no padding; a transposed convolution may still have been padded on one side. */
static bool is_matrix(const tare__conv2d *v) {
    bool plain = v->r == 1 && v->s == 1 && v->stride_h == 1 && v->stride_w == 1 && v->pad_h == 0 && v->pad_w == 0;
    return plain && v->n > 0 && v->oh == v->h && v->ow == v->w;
}

static weight_job weight_plan(const tare__conv2d *v) {
    weight_job j = { .v = *v, .matrix = is_matrix(v) };
    j.by_filter = j.matrix && v->c < v->k;
    int64_t lanes = tare__kernels()->lanes;
    j.step = tare__ceil_div(v->k, lanes) * lanes;
    j.size = v->groups * v->c * (j.by_filter ? v->k : v->r * v->s * j.step);
    j.shares = tare__max(1, tare__min(SHARES, v->n));
    while (j.shares > 1 && j.shares * j.size > SHARES_SIZE) { j.shares /= 2; }
    j.blocks = tare__max(1, tare__min(SHARES / j.shares, v->c / BLOCK_CHANNELS));
    return j;
}

static void share_of(const weight_job *j, int64_t share, int64_t block, int64_t image) {
    const tare__conv2d *v = &j->v;
    int64_t c0 = tare__piece(v->c, j->blocks, block), taps = v->r * v->s;
    tare__conv c = tare__conv2d_conv(v);
    c.channels = tare__piece(v->c, j->blocks, block + 1) - c0;
    c.x_end = j->call->x + v->n * v->groups * v->c * v->h * v->w;
    for (int64_t g = 0; g < v->groups; g++) {
        tare__conv_sums s = { .dy = j->call->y + (image * v->groups + g) * v->k * v->oh * v->ow, .step = j->step };
        s.weight = j->sums + share * j->size + (g * v->c + c0) * taps * j->step;
        s.bias = j->call->db && block == 0 ? j->bias + (share * v->groups + g) * v->k : NULL;
        c.x = j->call->x + ((image * v->groups + g) * v->c + c0) * v->h * v->w;
        tare__kernels()->conv_weight(&c, &s);
    }
}

/* The same of a matrix: it begins anew, or adds to the images before. The smaller of x and y is turned round. */
static void share_matrix(const weight_job *j, int64_t share, int64_t block, int64_t image, bool add) {
    const tare__conv2d *v = &j->v;
    int64_t c0 = tare__piece(v->c, j->blocks, block), c1 = tare__piece(v->c, j->blocks, block + 1);
    int64_t plane = v->oh * v->ow;
    tare__gemm_block b = { .k = plane, .s_step = plane, .v_step = plane, .v_columns = true, .alpha = 1, .add = add };
    b.rows = j->by_filter ? v->k : c1 - c0;
    b.columns = j->by_filter ? c1 - c0 : v->k;
    b.r_step = j->by_filter ? v->c : j->step;
    for (int64_t g = 0; g < v->groups; g++) {
        const tare_real *y = j->call->y + (image * v->groups + g) * v->k * plane;
        const tare_real *x = j->call->x + ((image * v->groups + g) * v->c + c0) * plane;
        b.s = j->by_filter ? y : x;
        b.v = j->by_filter ? x : y;
        b.r = j->sums + share * j->size + (j->by_filter ? g * v->k * v->c + c0 : (g * v->c + c0) * j->step);
        tare__kernels()->gemm_block(&b);
        if (j->call->db && block == 0) {
            tare__kernels()->sum_rows(v->k, plane, y, plane, j->bias + (share * v->groups + g) * v->k);
        }
    }
}

static void weight_shares(void *context, int64_t begin, int64_t end) {
    const weight_job *j = context;
    const tare__conv2d *v = &j->v;
    for (int64_t chunk = begin; chunk < end; chunk++) {
        int64_t share = chunk / j->blocks, block = chunk % j->blocks, taps = v->r * v->s * j->step;
        int64_t c0 = tare__piece(v->c, j->blocks, block), c1 = tare__piece(v->c, j->blocks, block + 1);
        for (int64_t g = 0; !j->matrix && g < v->groups; g++) {
            memset(j->sums + share * j->size + (g * v->c + c0) * taps, 0, (size_t)((c1 - c0) * taps) * sizeof *j->sums);
        }
        if (block == 0) { memset(j->bias + share * v->groups * v->k, 0, (size_t)(v->groups * v->k) * sizeof *j->bias); }
        int64_t first = tare__piece(v->n, j->shares, share);
        for (int64_t i = first; i < tare__piece(v->n, j->shares, share + 1); i++) {
            if (j->matrix) {
                share_matrix(j, share, block, i, i > first);
            } else {
                share_of(j, share, block, i);
            }
        }
    }
}

/* Filters [begin, end), counted through all groups: the shares in order, turned into the weight's own layout. */
static void add_shares(void *context, int64_t begin, int64_t end) {
    const weight_job *j = context;
    const tare__conv2d_sums *call = j->call;
    const tare__conv2d *v = &j->v;
    int64_t taps = v->c * v->r * v->s;
    while (begin < end) {
        int64_t g = begin / v->k, k = begin % v->k, count = tare__min(tare__min(end - begin, v->k - k), 16);
        for (int64_t tap = 0; tap < taps; tap++) {
            tare_real sum[16] = { 0 }, *dw = call->dw + begin * taps + tap;
            const tare_real *from = j->sums + (g * taps + tap) * j->step + k;
            for (int64_t share = 0; share < j->shares; share++, from += j->size) {
                for (int64_t e = 0; e < count; e++) { sum[e] += from[e]; }
            }
            for (int64_t e = 0; e < count; e++) { dw[e * taps] = sum[e] + (call->add_w ? dw[e * taps] : 0); }
        }
        begin += count;
    }
}

/* The same by filter, where the layout is the weight's. */
static void add_by_filter(void *context, int64_t begin, int64_t end) {
    const weight_job *j = context;
    const tare__conv2d_sums *call = j->call;
    for (int64_t i = begin * j->v.c; i < end * j->v.c; i++) {
        tare_real sum = j->sums[i];
        for (int64_t share = 1; share < j->shares; share++) { sum += j->sums[share * j->size + i]; }
        call->dw[i] = sum + (call->add_w ? call->dw[i] : 0);
    }
}

static void add_biases(const weight_job *j) {
    const tare__conv2d_sums *call = j->call;
    int64_t filters = j->v.groups * j->v.k;
    for (int64_t k = 0; k < filters; k++) {
        double sum = 0;
        for (int64_t share = 0; share < j->shares; share++) { sum += j->bias[share * filters + k]; }
        call->db[k] = (tare_real)sum + (call->add_b ? call->db[k] : 0);
    }
}

static bool weight_by_wino(const tare__conv2d *v, tare__wino *w) {
    tare__conv c = tare__conv2d_conv(v);
    return v->groups == 1 && tare__wino_sums_of(&c, v->n, w);
}

static void weight_wino(const tare__conv2d_sums *p, tare__wino *w) {
    const tare__conv2d *v = &p->v;
    w->x = p->x;
    w->x_end = p->x + v->n * v->c * v->h * v->w;
    w->dy = p->y;
    w->dy_end = p->y + v->n * v->k * v->oh * v->ow;
    tare__wino_sum(w, p);
}

void tare__conv2d_weight(const tare__conv2d_sums *p) {
    const tare__conv2d *v = &p->v;
    tare__wino w;
    if (tare__conv2d_is_depth(v)) {
        tare__conv2d_depth_weight(p);
        return;
    }
    if (weight_by_wino(v, &w)) {
        weight_wino(p, &w);
        return;
    }
    weight_job j = weight_plan(v);
    j.call = p;
    j.bias = p->scratch;
    j.sums = (tare_real *)(j.bias + tare__ceil_div(j.shares * v->groups * v->k, 8) * 8);
    tare_parallel_for(j.shares * j.blocks, 1, weight_shares, &j);
    int64_t filters = v->groups * v->k, work = j.shares * v->c * v->r * v->s;
    int64_t grain = tare__ceil_div(tare__grain_of(filters, (double)work), 16) * 16;
    tare_parallel_for(filters, grain, j.by_filter ? add_by_filter : add_shares, &j);
    if (p->db) { add_biases(&j); }
}

size_t tare__conv2d_weight_scratch(const tare__conv2d *v) {
    tare__wino w;
    if (tare__conv2d_is_depth(v)) { return 0; }
    if (weight_by_wino(v, &w)) { return tare__wino_sums_scratch(&w); }
    weight_job j = weight_plan(v);
    return (size_t)(j.shares * j.size) * sizeof(tare_real) +
           (size_t)tare__ceil_div(j.shares * v->groups * v->k, 8) * 8 * sizeof(double);
}

/* ---- to a bias alone --------------------------------------------------------------------------------------------- */

static void sum_planes(void *context, int64_t begin, int64_t end) {
    const tare__conv2d_bias *p = context;
    for (int64_t k = begin; k < end; k++) {
        double sum = 0;
        for (int64_t image = 0; image < p->images; image++) {
            tare__kernels()->sum_rows(1, p->plane, p->dy + (image * p->filters + k) * p->plane, p->plane, &sum);
        }
        p->db[k] = (tare_real)sum + (p->add ? p->db[k] : 0);
    }
}

void tare__conv2d_bias_sum(tare__conv2d_bias *p) {
    tare_parallel_for(p->filters, tare__grain((double)(p->images * p->plane)), sum_planes, p);
}
