/* norm_rows.c - rows whose scale and shift differ from column to column: LayerNorm. */
#include "norm.h"
#include "norm_vec.h"

#include <math.h>

/* y = x-hat gamma + beta; without gamma and beta, 1 and 0. */
static inline void scale_row(const tare_real *restrict x, tare_real *restrict y, int64_t n, tare__norm_coef c,
                             const tare_real *restrict gamma, const tare_real *restrict beta) {
    int64_t i = 0;
    if (beta) {
        for (; i + VL <= n; i += VL) {
            STORE(y + i) = ((LOAD(x + i) - c.k) * c.rstd + c.shift) * LOAD(gamma + i) + LOAD(beta + i);
        }
        for (; i < n; i++) { y[i] = ((x[i] - c.k) * c.rstd + c.shift) * gamma[i] + beta[i]; }
        return;
    }
    for (; i + VL <= n; i += VL) { STORE(y + i) = ((LOAD(x + i) - c.k) * c.rstd + c.shift) * LOAD(gamma + i); }
    for (; i < n; i++) { y[i] = ((x[i] - c.k) * c.rstd + c.shift) * gamma[i]; }
}

static inline void shift_row(const tare_real *restrict x, tare_real *restrict y, int64_t n, tare__norm_coef c,
                             const tare_real *restrict beta) {
    for (int64_t i = 0; i < n; i++) { y[i] = ((x[i] - c.k) * c.rstd + c.shift) + beta[i]; }
}

void TARE_K(norm_scale)(const tare_real *x, tare_real *y, int64_t n, const tare__norm_coef *coef,
                        const tare_real *gamma, const tare_real *beta) {
    if (gamma) {
        scale_row(x, y, n, *coef, gamma, beta);
    } else if (beta) {
        shift_row(x, y, n, *coef, beta);
    } else {
        const tare__norm_map map = { .k = coef->k, .a = coef->rstd, .b = coef->shift };
        TARE_K(norm_affine)(&(tare__norm_planes){ .rows = 1, .planes = 1, .n = n, .map = &map, .x = x, .y = y });
    }
}

/* ---- sums of a few sets at once -------------------------------------------------------------------------------------- */

enum { FEW = 4, BLOCK = 4096 };

/* Sums of x - k and of its square, lane by lane. */
static inline void centred_sums(const tare_real *x, int64_t n, tare_real k, vec *sum, vec *square) {
    vec s0 = { 0 }, s1 = { 0 }, s2 = { 0 }, s3 = { 0 }, q0 = { 0 }, q1 = { 0 }, q2 = { 0 }, q3 = { 0 };
    int64_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL) {
        vec d0 = LOAD(x + i) - k, d1 = LOAD(x + i + VL) - k;
        vec d2 = LOAD(x + i + 2 * VL) - k, d3 = LOAD(x + i + 3 * VL) - k;
        s0 += d0, s1 += d1, s2 += d2, s3 += d3;
        q0 += d0 * d0, q1 += d1 * d1, q2 += d2 * d2, q3 += d3 * d3;
    }
    for (; i + VL <= n; i += VL) {
        vec d = LOAD(x + i) - k;
        s0 += d, q0 += d * d;
    }
    if (i < n) {
        vec d;
        load_tail(&d, x, n);
        d = LAST_LANES(d - k, n - i);
        s1 += d, q1 += d * d;
    }
    *sum = (s0 + s1) + (s2 + s3), *square = (q0 + q1) + (q2 + q3);
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

/* Of one set: where squares leave a float's range; and NaN and Inf, which stay what they are. */
static void set_in_double(const tare_real *x, int64_t n, bool centred, double *mean, double *m2) {
    double sum = 0;
    for (int64_t i = 0; centred && i < n; i++) { sum += (double)x[i]; }
    *mean = sum / (double)n, *m2 = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = (double)x[i] - *mean;
        *m2 += d * d;
    }
}

/* Another look at a set, with a better k. */
static void set_again(const tare_real *x, int64_t n, double *mean, double *m2) {
    tare_real k = (tare_real)*mean;
    vec sum, square;
    centred_sums(x, n, k, &sum, &square);
    double off = (double)lane_sum(&sum) / (double)n, all = (double)lane_sum(&square);
    *mean = (double)k + off;
    *m2 = all - off * off * (double)n;
}

/* Mean and sum of squared deviations of up to MANY sets of n values, one after the other; not centred: 0 and the sum of
 * squares. A set is read once: k is the mean of four of its values. Where that lies so far from the mean that digits
 * would cancel, the set is read once more. */
static void set_moments(const tare_real *x, int64_t sets, int64_t n, bool centred, double *mean, double *m2) {
    const double far = 8; /* variances: what the square of the distance may be */
    _Alignas(64) tare_real sum[2 * MANY];
    tare_real k[MANY] = { 0 };
    vec v[2 * MANY];
    double count = (double)n, doubt[MANY];
    for (int64_t s = 0; s < sets; s++) {
        const tare_real *p = x + s * n;
        if (centred) { k[s] = (tare_real)0.25 * ((p[0] + p[n / 4]) + (p[n / 2] + p[n - 1 - n / 4])); }
        centred_sums(p, n, k[s], &v[s], &v[MANY + s]);
    }
    no_sums(v, sets);
    lane_sums(v, sum);
    for (int s = 0; s < MANY; s++) {
        double off = centred ? (double)sum[s] / count : 0, square = (double)sum[MANY + s];
        double apart = off * off * count, rest = square - apart;
        mean[s] = (double)k[s] + off;
        m2[s] = rest < 0 ? 0 : rest;    /* NaN stays NaN */
        doubt[s] = apart - far * m2[s]; /* > 0: too far */
    }
    for (int64_t s = 0; s < sets; s++) {
        if (doubt[s] > 0 && isfinite(m2[s])) { set_again(x + s * n, n, &mean[s], &m2[s]); }
        if (!isfinite(m2[s])) { set_in_double(x + s * n, n, centred, &mean[s], &m2[s]); }
    }
}

/* The same of one long row, whose blocks are merged (Chan, Golub & LeVeque 1983). */
static void row_moments(const tare_real *x, int64_t n, bool centred, double *mean, double *m2) {
    double seen = 0;
    *mean = *m2 = 0;
    for (int64_t i = 0; i < n;) {
        double mean_of[MANY], m2_of[MANY];
        int64_t size = n - i < BLOCK ? n - i : BLOCK, sets = (n - i) / size < MANY ? (n - i) / size : MANY;
        set_moments(x + i, sets, size, centred, mean_of, m2_of);
        for (int64_t s = 0; s < sets; s++, i += size, seen += (double)size) {
            double apart = mean_of[s] - *mean, all = seen + (double)size;
            *m2 += m2_of[s] + apart * apart * (seen * (double)size / all);
            *mean += apart * ((double)size / all);
        }
    }
}

/* Mean and rstd of rows [begin, end), as saved and as loops need them: coef[0] is that of row `begin`. */
void TARE_K(norm_rows_stats)(const tare__norm_rows *w, int64_t begin, int64_t end, tare__norm_coef *coef) {
    int64_t n = w->cols;
    for (int64_t row = begin; row < end; row += MANY, coef += MANY) {
        double mean[MANY] = { 0 }, m2[MANY] = { 0 }, rstd[MANY];
        const tare_real *x = w->x + row * n;
        int64_t few = end - row < MANY ? end - row : MANY;
        if (n <= BLOCK) {
            set_moments(x, few, n, w->centred, mean, m2);
        } else {
            for (int64_t s = 0; s < few; s++) { row_moments(x + s * n, n, w->centred, &mean[s], &m2[s]); }
        }
        for (int s = 0; s < MANY; s++) { rstd[s] = 1 / sqrt(m2[s] / (double)n + w->eps); }
        for (int64_t s = 0; s < few; s++) {
            tare__norm_stat stat = { mean[s], rstd[s] };
            if (w->stats) { w->stats[row + s] = stat; }
            coef[s] = tare__norm_coef_of(stat);
        }
    }
}

/* y = x-hat gamma + beta of `rows` rows in columns [first, last). */
NORM_INLINE void scale_few(const tare__norm_rows *w, int64_t row, const int rows, int64_t first, int64_t last,
                           const tare__norm_coef *coef, const bool shift) {
    int64_t n = w->cols, i = first;
    const tare_real *restrict x = w->x + row * n, *restrict gamma = w->gamma, *restrict beta = w->beta;
    tare_real *restrict y = w->y + row * n;
    tare__norm_coef c[FEW];
    for (int r = 0; r < rows; r++) { c[r] = coef[r]; }
    for (; i + VL <= last; i += VL) {
        vec g = LOAD(gamma + i), b = { 0 };
        if (shift) { b = LOAD(beta + i); }
        for (int r = 0; r < rows; r++) {
            STORE(y + r * n + i) = ((LOAD(x + r * n + i) - c[r].k) * c[r].rstd + c[r].shift) * g + b;
        }
    }
    for (; i < last; i++) {
        for (int r = 0; r < rows; r++) {
            tare_real h = (x[r * n + i] - c[r].k) * c[r].rstd + c[r].shift;
            y[r * n + i] = h * gamma[i] + (shift ? beta[i] : 0);
        }
    }
}

NORM_INLINE void scale_rows(const tare__norm_rows *w, int64_t begin, int64_t end, int64_t first, int64_t last,
                            const tare__norm_coef *coef, const bool shift) {
    int64_t r = begin;
    for (; r + FEW <= end; r += FEW, coef += FEW) { scale_few(w, r, FEW, first, last, coef, shift); }
    for (; r < end; r++, coef++) { scale_few(w, r, 1, first, last, coef, shift); }
}

/* Rows [begin, end) in columns [first, last). */
void TARE_K(norm_rows_scale)(const tare__norm_rows *w, int64_t begin, int64_t end, int64_t first, int64_t last,
                             const tare__norm_coef *coef) {
    if (w->gamma && w->beta) {
        scale_rows(w, begin, end, first, last, coef, true);
    } else if (w->gamma) {
        scale_rows(w, begin, end, first, last, coef, false);
    } else {
        for (int64_t row = begin; row < end; row++, coef++) {
            int64_t at = row * w->cols + first;
            TARE_K(norm_scale)(w->x + at, w->y + at, last - first, coef, NULL, w->beta ? w->beta + first : NULL);
        }
    }
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

/* Sums of g = dy gamma and of g (x - k), lane by lane. */
static inline void product_sums(const tare_real *x, const tare_real *dy, const tare_real *gamma, int64_t n, tare_real k,
                                vec *sum, vec *dot) {
    vec s0 = { 0 }, q0 = { 0 }, s1 = { 0 }, q1 = { 0 };
    int64_t i = 0;
    for (; i + 2 * VL <= n; i += 2 * VL) {
        vec g0 = LOAD(dy + i) * LOAD(gamma + i), g1 = LOAD(dy + i + VL) * LOAD(gamma + i + VL);
        s0 += g0, q0 += g0 * (LOAD(x + i) - k);
        s1 += g1, q1 += g1 * (LOAD(x + i + VL) - k);
    }
    for (; i + VL <= n; i += VL) {
        vec g = LOAD(dy + i) * LOAD(gamma + i);
        s0 += g, q0 += g * (LOAD(x + i) - k);
    }
    if (i < n) {
        vec h, d, g;
        load_tail(&h, x, n);
        load_tail(&d, dy, n);
        load_tail(&g, gamma, n);
        g *= d;
        h = g * (h - k);
        s1 += LAST_LANES(g, n - i), q1 += LAST_LANES(h, n - i);
    }
    *sum = s0 + s1, *dot = q0 + q1;
}

/* Rows [begin, end) in columns [first, last): sum[0], dot[0] are row begin's Sum g and Sum g x-hat with g = dy gamma. */
void TARE_K(norm_rows_sums)(const tare__norm_rows *w, int64_t begin, int64_t end, int64_t first, int64_t last,
                            const tare__norm_coef *coef, double *sum, double *dot) {
    for (int64_t row = begin; row < end; row += MANY, coef += MANY, sum += MANY, dot += MANY) {
        int64_t few = end - row < MANY ? end - row : MANY;
        for (int64_t i = first; i < last; i += BLOCK) {
            _Alignas(64) tare_real all[2 * MANY];
            vec v[2 * MANY];
            int64_t n = last - i < BLOCK ? last - i : BLOCK;
            for (int64_t s = 0; s < few; s++) {
                int64_t at = (row + s) * w->cols + i;
                product_sums(w->x + at, w->dy + at, w->gamma + i, n, coef[s].k, &v[s], &v[MANY + s]);
            }
            no_sums(v, few);
            lane_sums(v, all);
            for (int64_t s = 0; s < few; s++) {
                double g = (double)all[s], h = (double)all[MANY + s];
                h = h * (double)coef[s].rstd + g * (double)coef[s].shift;
                sum[s] = i > first ? sum[s] + g : g;
                dot[s] = i > first ? dot[s] + h : h;
            }
        }
    }
}

/* A few rows' share of dgamma and dbeta, and dx = rstd gamma dy + q x-hat + t, in columns [first, last); dx may be dy. */
NORM_INLINE void gradient_few(const tare__norm_rows *w, int64_t begin, const int rows, int64_t first, int64_t last,
                              const tare__norm_row *row, tare_real *restrict dgamma, tare_real *restrict dbeta,
                              const bool out, const bool add) {
    int64_t n = w->cols, at = begin * n, i = first;
    const tare_real *restrict x = w->x + at, *restrict gamma = w->gamma, *dy = w->dy + at;
    tare_real *dx = out ? w->dx + at : NULL;
    tare__norm_row c[FEW];
    for (int r = 0; r < rows; r++) { c[r] = row[r]; }
    for (; i + VL <= last; i += VL) {
        vec g = LOAD(gamma + i), a = LOAD(dgamma + i), b = LOAD(dbeta + i);
        for (int r = 0; r < rows; r++) {
            vec h = (LOAD(x + r * n + i) - c[r].coef.k) * c[r].coef.rstd + c[r].coef.shift, d = LOAD(dy + r * n + i);
            a += d * h;
            b += d;
            if (out) {
                vec to = d * (g * c[r].coef.rstd) + (h * c[r].q + c[r].t);
                if (add) { to += LOAD(dx + r * n + i); }
                STORE(dx + r * n + i) = to;
            }
        }
        STORE(dgamma + i) = a;
        STORE(dbeta + i) = b;
    }
    for (; i < last; i++) {
        for (int r = 0; r < rows; r++) {
            tare_real h = (x[r * n + i] - c[r].coef.k) * c[r].coef.rstd + c[r].coef.shift, d = dy[r * n + i];
            dgamma[i] += d * h;
            dbeta[i] += d;
            if (out) {
                tare_real to = d * (gamma[i] * c[r].coef.rstd) + (h * c[r].q + c[r].t);
                dx[r * n + i] = add ? dx[r * n + i] + to : to;
            }
        }
    }
}

NORM_INLINE void gradient_rows(const tare__norm_rows *w, int64_t begin, int64_t end, int64_t first, int64_t last,
                               const tare__norm_row *row, tare_real *dgamma, tare_real *dbeta, const bool out,
                               const bool add) {
    int64_t r = begin;
    for (; r + FEW <= end; r += FEW, row += FEW) { gradient_few(w, r, FEW, first, last, row, dgamma, dbeta, out, add); }
    for (; r < end; r++, row++) { gradient_few(w, r, 1, first, last, row, dgamma, dbeta, out, add); }
}

/* Rows [begin, end) in columns [first, last): dgamma and dbeta are added to, dx is overwritten, or added to. */
void TARE_K(norm_rows_gradient)(const tare__norm_rows *w, int64_t begin, int64_t end, int64_t first, int64_t last,
                                const tare__norm_row *row, tare_real *dgamma, tare_real *dbeta) {
    if (!w->dx) {
        gradient_rows(w, begin, end, first, last, row, dgamma, dbeta, false, false);
    } else if (w->add) {
        gradient_rows(w, begin, end, first, last, row, dgamma, dbeta, true, true);
    } else {
        gradient_rows(w, begin, end, first, last, row, dgamma, dbeta, true, false);
    }
}
