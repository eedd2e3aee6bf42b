/* norm.h - what the norm kernels and the norm ops agree on. */
#ifndef TARE_KERNELS_NORM_H
#define TARE_KERNELS_NORM_H

#include <tare/core.h>

/* tare__norm_stat - mean and 1 / sqrt(var + eps) of one set of values, as saved from forward to backward. */
typedef struct tare__norm_stat {
    double mean, rstd;
} tare__norm_stat;

/* tare__norm_coef - the same as what a loop needs: x-hat = (x - k) rstd + shift. k is the mean rounded, which x - k takes
 * off without error where it matters, and shift carries the rest of it: a mean of 1e4 costs a deviation of 0.1 nothing. */
typedef struct tare__norm_coef {
    tare_real k, rstd, shift;
} tare__norm_coef;

static inline tare__norm_coef tare__norm_coef_of(tare__norm_stat s) {
    tare_real k = (tare_real)s.mean;
    return (tare__norm_coef){ .k = k, .rstd = (tare_real)s.rstd, .shift = (tare_real)(((double)k - s.mean) * s.rstd) };
}

/* tare__norm_map - what loops over a plane, whose values share one scale and shift, need: y = act((x - k) a + b), an activation of what
 * is normalised, scaled and shifted; x-hat = (x - k) rstd + shift; dx = a g + q x-hat + t, g the gradient before the activation.
 * Backward asks for y's argument once more, the same bits, to see where the activation let through. */
enum { TARE__NORM_PLAIN, TARE__NORM_RELU, TARE__NORM_LEAKY }; /* as tare_act_kind */
typedef struct tare__norm_map {
    tare_real k, a, b, rstd, shift, q, t;
} tare__norm_map;

/* tare__norm_planes - rows, `stride` apart, of planes of n values, one after the other: samples and their channels. */
typedef struct tare__norm_planes {
    int64_t rows, planes, n, stride;
    const tare__norm_map *map; /* [planes] */
    int act;
    tare_real slope;
    const tare_real *x, *dy;
    tare_real *y, *dx; /* dx may be dy */
    bool add;          /* to dx, which else is overwritten */
} tare__norm_planes;

/* tare__norm_row - what the gradient of a row takes: dx = rstd gamma dy + q x-hat + t. */
typedef struct tare__norm_row {
    tare__norm_coef coef;
    tare_real q, t;
} tare__norm_row;

/* tare__norm_rows - rows of `cols` values one after the other, with a scale and a shift per column. Forward takes gamma and
 * beta where they are there; backward's gamma must be (ones else), and dx is NULL where nobody wants it. */
typedef struct tare__norm_rows {
    int64_t cols;
    double eps;
    bool centred; /* the mean is taken off */
    const tare_real *x, *gamma, *beta, *dy;
    tare_real *y, *dx;
    bool add;               /* to dx, which else is overwritten */
    tare__norm_stat *stats; /* [rows]; forward: NULL where nobody wants them */
} tare__norm_rows;

/* So many rows go together: what one waits for at its end the others' work fills. */
enum { TARE__NORM_ROWS = 8 };

/* How many, so that they stay in a first-level cache between two looks at them. */
static inline int64_t tare__norm_together(int64_t cols, int64_t values) {
    int64_t rows = cols > 0 ? values / cols : TARE__NORM_ROWS;
    return rows < 1 ? 1 : rows > TARE__NORM_ROWS ? TARE__NORM_ROWS : rows;
}

/* A kernel over columns takes at most so many at a time; what it sums along rows it keeps in at most so many lanes. */
enum { TARE__NORM_COLUMNS = 128, TARE__NORM_LANES = 16 };

#endif
