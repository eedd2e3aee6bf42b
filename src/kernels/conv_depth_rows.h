/* conv_depth_rows.h - rows of a plane, zeros around them, as depthwise kernels read and write them.
 *
 * What lies beside the plane is cut off with masks as it is loaded; nothing is copied. A vector may be stored over the end of its row,
 * where what follows is written after it. */
#ifndef TARE_CONV_DEPTH_ROWS_H
#define TARE_CONV_DEPTH_ROWS_H

#include "conv_depth.h"
#include "gemm_pack.h"

#ifdef __GNUC__
typedef __typeof__((vec){ 0 } < (vec){ 0 }) mask;

/* Lanes e for which 0 <= column + e < width. */
static ALWAYS_INLINE mask inside(int64_t column, int64_t width) {
    static const tare_real ramp[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
    vec place = vec_load(ramp) + (tare_real)column;
    return (place >= 0) & (place < (tare_real)width);
}

static ALWAYS_INLINE vec keep(vec x, mask m) { return (vec)((mask)x & m); }
#else
typedef bool mask;
static inline mask inside(int64_t column, int64_t width) { return column >= 0 && column < width; }
static inline vec keep(vec x, mask m) { return m ? x : 0; }
#endif

typedef struct rows {
    tare__plane in;
    int64_t height, width;
} rows;

/* As far as vectors reach over the ends of a plane. */
enum { REACH = 2 * VL + 4 };

static inline bool is_inner(const rows *p) {
    return p->in.first >= REACH && p->in.first + p->height * p->width + REACH <= p->in.size;
}

/* Near an end of the tensor: number by number. */
static vec cut_close(const rows *p, int64_t at, mask m) {
    _Alignas(64) tare_real line[VL];
    for (int64_t e = 0; e < VL; e++) { line[e] = at + e >= 0 && at + e < p->in.size ? p->in.tensor[at + e] : 0; }
    return keep(vec_load(line), m);
}

/* VL numbers of a row from a column on, zeros outside the mask. */
static ALWAYS_INLINE vec cut(const rows *p, int64_t row, int64_t column, mask m, const bool inner) {
    int64_t at = p->in.first + row * p->width + column;
    if (inner || (at >= 0 && at + VL <= p->in.size)) { return keep(vec_load(p->in.tensor + at), m); }
    return cut_close(p, at, m);
}

/* What VL neighbouring outputs meet in a row of x, at each of the three taps: three vectors, or out of four where every second number
 * is taken. */
typedef struct cuts {
    int64_t column; /* of the first output's first tap */
    mask m[4];
} cuts;

static ALWAYS_INLINE cuts cuts_of(const tare__depth *d, int64_t j) {
    cuts c = { .column = j * d->stride - d->pad_w };
    int64_t reach = reach_of(d->width, d->out_w, d->stride, 3, d->pad_w);
    for (int i = 0; i < 4; i++) { c.m[i] = inside(c.column + (d->stride == 1 ? i : i / 2 * VL + i % 2 * 2), reach); }
    return c;
}

typedef struct taps {
    vec v[3];
} taps;

static ALWAYS_INLINE taps taps_of(const rows *p, const cuts *c, int64_t row, const int stride, const bool inner) {
    if (row < 0 || row >= p->height) { return (taps){ 0 }; }
    if (stride == 1) {
        return (taps){ { cut(p, row, c->column, c->m[0], inner), cut(p, row, c->column + 1, c->m[1], inner),
                         cut(p, row, c->column + 2, c->m[2], inner) } };
    }
    vec a = cut(p, row, c->column, c->m[0], inner), b = cut(p, row, c->column + VL, c->m[2], inner);
    vec far_a = cut(p, row, c->column + 2, c->m[1], inner), far_b = cut(p, row, c->column + 2 + VL, c->m[3], inner);
    return (taps){ { even_of(a, b), odd_of(a, b), even_of(far_a, far_b) } };
}

/* The sum over a row of taps, of the weights w. */
#define SUM_TAPS(x, r) (x).v[0] * w[3 * (r)] + (x).v[1] * w[3 * (r) + 1] + (x).v[2] * w[3 * (r) + 2]

/* To the filter: sums of nine taps, and of dy; g is dy. */
typedef struct sums {
    taps row[3];
    vec all;
} sums;

#define ADD_TAPS(s, x) (s).v[0] += g * (x).v[0], (s).v[1] += g * (x).v[1], (s).v[2] += g * (x).v[2]

/* `count` numbers at y, or VL where there is room for as many before `end`. */
static ALWAYS_INLINE void put(tare_real *y, const tare_real *end, vec sum, int64_t count, bool add) {
    _Alignas(64) tare_real line[VL];
    if (end - y >= VL) {
        if (add) { sum = vec_load(y) + (count < VL ? keep(sum, inside(0, count)) : sum); }
        vec_store(y, sum);
    } else {
        vec_store(line, sum);
        put_line(y, line, count < VL ? count : VL, add);
    }
}

/* Where the last vector of a row of so many begins. */
static inline int64_t last_vector(int64_t width) { return (width - 1) / VL * VL; }

#endif
