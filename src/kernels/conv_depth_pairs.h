/* conv_depth_pairs.h - the same as conv_depth.c under a stride of 2 where rows are so short that a vector holds two: one in each half. */
#ifndef TARE_CONV_DEPTH_PAIRS_H
#define TARE_CONV_DEPTH_PAIRS_H

#include "conv_depth_rows.h"

/* The widest row of outputs of which two go together; 0: none. */
#ifdef PACK_LANES
enum { PAIR = VL / 2 };
#else
enum { PAIR = 0 };
#endif

/* A row of x from the column of the first output's first tap on, and from that of its third. */
typedef struct ends {
    vec first, third;
} ends;

static ALWAYS_INLINE ends ends_of(const rows *p, const cuts *c, int64_t row, const bool inner) {
    if (row < 0 || row >= p->height) { return (ends){ 0 }; }
    return (ends){ cut(p, row, c->column, c->m[0], inner), cut(p, row, c->column + 2, c->m[1], inner) };
}

/* What the outputs of two rows meet at three taps. */
static ALWAYS_INLINE taps taps_of_pair(ends a, ends b) {
    return (taps){ { even_of(a.first, b.first), odd_of(a.first, b.first), even_of(a.third, b.third) } };
}

/* The same for all rows of taps under a pair of rows of y, the first of which begins with `row`; `top` has been read. */
typedef struct pair_taps {
    taps row[3];
    ends last;
} pair_taps;

static ALWAYS_INLINE pair_taps under_pair(const rows *x, const cuts *c, ends top, int64_t row, const bool inner) {
    ends a = ends_of(x, c, row + 1, inner), b = ends_of(x, c, row + 2, inner), e = ends_of(x, c, row + 3, inner);
    ends last = ends_of(x, c, row + 4, inner);
    return (pair_taps){ { taps_of_pair(top, b), taps_of_pair(a, e), taps_of_pair(b, last) }, last };
}

/* The rows in the halves of a vector, `step` apart. */
static ALWAYS_INLINE void put_pair(tare_real *y, int64_t step, const tare_real *end, vec sum, int64_t count, bool both,
                                   bool add) {
    _Alignas(64) tare_real line[VL + 16];
    vec_store(line, sum);
    if (!add && end - y >= step + PAIR) {
        put_line(y, line, PAIR, false);
        put_line(y + step, line + PAIR, PAIR, false);
        return;
    }
    put_line(y, line, count, add);
    if (both) { put_line(y + step, line + PAIR, count, add); }
}

static ALWAYS_INLINE void pairs_out(const tare__depth *d, const rows *p, const tare_real *weight, tare_real bias,
                                    tare_real *y, bool add, const bool inner) {
    const vec zero = { 0 };
    const vec w[9] = { zero + weight[0], zero + weight[1], zero + weight[2], zero + weight[3], zero + weight[4],
                       zero + weight[5], zero + weight[6], zero + weight[7], zero + weight[8] };
    const tare_real *end = y + d->out_h * d->out_w;
    cuts c = cuts_of(d, 0);
    int64_t row = -d->pad_h;
    ends top = ends_of(p, &c, row, inner);
    for (int64_t i = 0; i < d->out_h; i += 2, row += 4) {
        pair_taps x = under_pair(p, &c, top, row, inner);
        vec sum = (SUM_TAPS(x.row[0], 0) + bias) + (SUM_TAPS(x.row[1], 1)) + (SUM_TAPS(x.row[2], 2));
        put_pair(y + i * d->out_w, d->out_w, end, sum, d->out_w, i + 1 < d->out_h, add);
        top = x.last;
    }
}

/* A row of dy, from a column and from the one before. */
typedef struct near {
    vec here, before;
} near;

typedef struct near_cuts {
    int64_t column;
    mask here, before;
} near_cuts;

static ALWAYS_INLINE near near_of(const rows *p, const near_cuts *c, int64_t row, const bool inner) {
    if (row < 0 || row >= p->height) { return (near){ 0 }; }
    return (near){ cut(p, row, c->column, c->here, inner), cut(p, row, c->column - 1, c->before, inner) };
}

static ALWAYS_INLINE near near_pair(near a, near b) {
    return (near){ halves_of(a.here, b.here), halves_of(a.before, b.before) };
}

/* Row h of dx, if there is one. */
static ALWAYS_INLINE void put_row(const tare__depth *d, tare_real *dx, int64_t h, vec x, bool add) {
    if (h >= 0 && h < d->height) { put(dx + h * d->width, dx + d->height * d->width, x, d->width, add); }
}

/* To x: rows i and i + 1 of dy, with the one before, make the rows 2i to 2i + 3 counted from the padding's edge. */
static ALWAYS_INLINE void pairs_back(const tare__depth *d, const rows *p, const tare_real *w, tare_real *dx, bool add,
                                     const bool inner) {
    const int64_t odd = d->pad_w % 2, column = d->pad_w / 2 + odd;
    const near_cuts c = { column, inside(column, d->out_w), inside(column - 1, d->out_w) };
    near last = near_of(p, &c, d->pad_h / 2 - 1, inner);
    for (int64_t i = d->pad_h / 2; 2 * i - d->pad_h < d->height; i += 2) {
        near first = near_of(p, &c, i, inner), second = near_of(p, &c, i + 1, inner);
        near x = near_pair(first, second), above = near_pair(last, first);
        vec edge = (x.here * w[0] + x.before * w[2]) + (above.here * w[6] + above.before * w[8]);
        vec middle = (odd ? x.before : x.here) * w[1] + (odd ? above.before : above.here) * w[7];
        vec edge_1 = x.here * w[3] + x.before * w[5], middle_1 = (odd ? x.before : x.here) * w[4];
        vec one = odd ? middle : edge, other = odd ? edge : middle;
        vec one_1 = odd ? middle_1 : edge_1, other_1 = odd ? edge_1 : middle_1;
        int64_t h = 2 * i - d->pad_h;
        put_row(d, dx, h, low_of(one, other), add);
        put_row(d, dx, h + 1, low_of(one_1, other_1), add);
        put_row(d, dx, h + 2, high_of(one, other), add);
        put_row(d, dx, h + 3, high_of(one_1, other_1), add);
        last = second;
    }
}

/* To the filter, rows [begin, end) of y. */
static ALWAYS_INLINE void pairs_weight(const tare__depth *d, const rows *x, const rows *dy, int64_t begin, int64_t end,
                                       sums *to, const bool inner) {
    sums s = *to;
    const cuts c = cuts_of(d, 0);
    const mask columns = inside(0, d->out_w);
    int64_t row = 2 * begin - d->pad_h;
    ends top = ends_of(x, &c, row, inner);
    for (int64_t i = begin; i < end; i += 2, row += 4) {
        vec next = i + 1 < end ? cut(dy, i + 1, 0, columns, inner) : (vec){ 0 };
        vec g = halves_of(cut(dy, i, 0, columns, inner), next);
        pair_taps t = under_pair(x, &c, top, row, inner);
        ADD_TAPS(s.row[0], t.row[0]);
        ADD_TAPS(s.row[1], t.row[1]);
        ADD_TAPS(s.row[2], t.row[2]);
        s.all += g;
        top = t.last;
    }
    *to = s;
}

#endif
