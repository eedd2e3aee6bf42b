/* norm_rows.c - rows whose scale and shift differ from column to column: LayerNorm. */
#include "norm.h"
#include "norm_vec.h"

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
        TARE_K(norm_affine)(x, y, 1, n, n, &(tare__norm_map){ .k = coef->k, .a = coef->rstd, .b = coef->shift });
    }
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

/* *sum = Sum g, *dot = Sum g x-hat with g = dy gamma; dgamma += dy x-hat, dbeta += dy unless NULL. */
static inline void row_products(const tare_real *restrict x, const tare_real *restrict dy, int64_t n, tare__norm_coef c,
                                const tare_real *restrict gamma, tare_real *restrict dgamma, tare_real *restrict dbeta,
                                double *sum, double *dot) {
    vec s0 = { 0 }, q0 = { 0 }, s1 = { 0 }, q1 = { 0 };
    int64_t i = 0;
    for (; i + 2 * VL <= n; i += 2 * VL) {
        vec h0 = (LOAD(x + i) - c.k) * c.rstd + c.shift, h1 = (LOAD(x + i + VL) - c.k) * c.rstd + c.shift;
        vec d0 = LOAD(dy + i), d1 = LOAD(dy + i + VL);
        vec g0 = d0 * LOAD(gamma + i), g1 = d1 * LOAD(gamma + i + VL);
        STORE(dgamma + i) += d0 * h0, STORE(dgamma + i + VL) += d1 * h1;
        STORE(dbeta + i) += d0, STORE(dbeta + i + VL) += d1;
        s0 += g0, q0 += g0 * h0, s1 += g1, q1 += g1 * h1;
    }
    tare_real s = 0, q = 0;
    for (; i < n; i++) {
        tare_real h = (x[i] - c.k) * c.rstd + c.shift, g = dy[i] * gamma[i];
        dgamma[i] += dy[i] * h;
        dbeta[i] += dy[i];
        s += g, q += g * h;
    }
    s0 += s1, q0 += q1;
    *sum += (double)(lane_sum(&s0) + s);
    *dot += (double)(lane_sum(&q0) + q);
}

void TARE_K(norm_scale_products)(const tare_real *x, const tare_real *dy, int64_t n, const tare__norm_coef *coef,
                                 const tare_real *gamma, tare_real *dgamma, tare_real *dbeta, double *sum,
                                 double *dot) {
    enum { BLOCK = 4096 };
    *sum = *dot = 0;
    for (int64_t i = 0; i < n; i += BLOCK) {
        int64_t m = n - i < BLOCK ? n - i : BLOCK;
        row_products(x + i, dy + i, m, *coef, gamma + i, dgamma + i, dbeta + i, sum, dot);
    }
}

/* dx = p dy gamma + q x-hat + t, or the same added to dx. */
void TARE_K(norm_scale_gradient)(const tare_real *restrict x, const tare_real *restrict dy, tare_real *restrict dx,
                                 int64_t n, const tare__norm_coef *coef, const tare_real *restrict gamma, tare_real p,
                                 tare_real q, tare_real t, bool add) {
    tare__norm_coef c = *coef;
    int64_t i = 0;
    if (add) {
        for (; i + VL <= n; i += VL) {
            vec h = (LOAD(x + i) - c.k) * c.rstd + c.shift;
            STORE(dx + i) += LOAD(dy + i) * LOAD(gamma + i) * p + (h * q + t);
        }
        for (; i < n; i++) { dx[i] += dy[i] * gamma[i] * p + (((x[i] - c.k) * c.rstd + c.shift) * q + t); }
        return;
    }
    for (; i + VL <= n; i += VL) {
        vec h = (LOAD(x + i) - c.k) * c.rstd + c.shift;
        STORE(dx + i) = LOAD(dy + i) * LOAD(gamma + i) * p + (h * q + t);
    }
    for (; i < n; i++) { dx[i] = dy[i] * gamma[i] * p + (((x[i] - c.k) * c.rstd + c.shift) * q + t); }
}

/* ---- backward of rows so wide that their columns are shared out ------------------------------------------------------ */

/* *sum = Sum g, *dot = Sum g x-hat with g = dy gamma. */
void TARE_K(norm_scale_sums)(const tare_real *restrict x, const tare_real *restrict dy, int64_t n,
                             const tare__norm_coef *coef, const tare_real *restrict gamma, double *sum, double *dot) {
    enum { BLOCK = 4096 };
    tare__norm_coef c = *coef;
    *sum = *dot = 0;
    for (int64_t begin = 0; begin < n; begin += BLOCK) {
        int64_t end = n - begin < BLOCK ? n : begin + BLOCK, i = begin;
        vec s0 = { 0 }, q0 = { 0 }, s1 = { 0 }, q1 = { 0 };
        for (; i + 2 * VL <= end; i += 2 * VL) {
            vec g0 = LOAD(dy + i) * LOAD(gamma + i), g1 = LOAD(dy + i + VL) * LOAD(gamma + i + VL);
            s0 += g0, q0 += g0 * ((LOAD(x + i) - c.k) * c.rstd + c.shift);
            s1 += g1, q1 += g1 * ((LOAD(x + i + VL) - c.k) * c.rstd + c.shift);
        }
        tare_real s = 0, q = 0;
        for (; i < end; i++) {
            tare_real g = dy[i] * gamma[i];
            s += g, q += g * ((x[i] - c.k) * c.rstd + c.shift);
        }
        s0 += s1, q0 += q1;
        *sum += (double)(lane_sum(&s0) + s);
        *dot += (double)(lane_sum(&q0) + q);
    }
}

/* One row's share of dgamma and dbeta, and its dx unless that is NULL. */
static inline void wide_row(const tare_real *restrict x, const tare_real *restrict dy, tare_real *restrict dx,
                            int64_t n, tare__norm_row row, const tare_real *restrict gamma, tare_real *restrict dgamma,
                            tare_real *restrict dbeta) {
    tare__norm_coef c = row.coef;
    int64_t i = 0;
    for (; i + VL <= n; i += VL) {
        vec h = (LOAD(x + i) - c.k) * c.rstd + c.shift, d = LOAD(dy + i);
        STORE(dgamma + i) += d * h;
        STORE(dbeta + i) += d;
        if (dx) { STORE(dx + i) = d * LOAD(gamma + i) * c.rstd + (h * row.q + row.t); }
    }
    for (; i < n; i++) {
        tare_real h = (x[i] - c.k) * c.rstd + c.shift;
        dgamma[i] += dy[i] * h;
        dbeta[i] += dy[i];
        if (dx) { dx[i] = dy[i] * gamma[i] * c.rstd + (h * row.q + row.t); }
    }
}

/* The columns given of all rows: dgamma and dbeta are added to, dx is overwritten, or added to. */
void TARE_K(norm_scale_columns)(const tare_real *x, const tare_real *dy, tare_real *dx, int64_t rows, int64_t cols,
                                int64_t stride, const tare__norm_row *row, const tare_real *gamma, tare_real *dgamma,
                                tare_real *dbeta, bool add) {
    for (int64_t r = 0; r < rows; r++) {
        const tare_real *p = x + r * stride, *up = dy + r * stride;
        wide_row(p, up, dx && !add ? dx + r * stride : NULL, cols, row[r], gamma, dgamma, dbeta);
        if (dx && add) {
            TARE_K(norm_scale_gradient)
            (p, up, dx + r * stride, cols, &row[r].coef, gamma, row[r].coef.rstd, row[r].q, row[r].t, true);
        }
    }
}
