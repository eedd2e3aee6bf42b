/* norm_columns.c - statistics down columns side by side: BatchNorm of [N,C], LayerNorm over the channels of [N,C,H,W].
 *
 * A call handles at most TARE__NORM_COLUMNS columns; row r starts at x + r * stride. The loops over columns are what the
 * compiler vectorises; each column's arithmetic is that of a row in norm.c. */
#include "norm.h"
#include "norm_vec.h"

#include <math.h>

enum { BLOCK_ROWS = 64, MAX = TARE__NORM_COLUMNS };

/* sum[j], square[j]: sums of x - k and its square down `rows` rows. */
static void block_centred(const tare_real *x, int64_t rows, int64_t cols, int64_t stride, const tare_real *restrict k,
                          tare_real *restrict sum, tare_real *restrict square) {
    for (int64_t j = 0; j < cols; j++) { sum[j] = square[j] = 0; }
    for (int64_t r = 0; r < rows; r++) {
        const tare_real *restrict p = x + r * stride;
        TARE_SIMD
        for (int64_t j = 0; j < cols; j++) {
            tare_real d = p[j] - k[j];
            sum[j] += d;
            square[j] += d * d;
        }
    }
}

static void column_in_double(const tare_real *x, int64_t rows, int64_t stride, double *mean, double *m2) {
    double sum = 0;
    for (int64_t r = 0; r < rows; r++) { sum += (double)x[r * stride]; }
    *mean = sum / (double)rows;
    *m2 = 0;
    for (int64_t r = 0; r < rows; r++) {
        double d = (double)x[r * stride] - *mean;
        *m2 += d * d;
    }
}

/* Mean and sum of squared deviations of each column. */
void TARE_K(norm_col_moments)(const tare_real *x, int64_t rows, int64_t cols, int64_t stride, double *mean,
                              double *m2) {
    tare_real k[MAX], sum[MAX], square[MAX];
    for (int64_t j = 0; j < cols; j++) { mean[j] = m2[j] = 0; }
    for (int64_t r = 0; r < rows; r += BLOCK_ROWS) {
        int64_t n = rows - r < BLOCK_ROWS ? rows - r : BLOCK_ROWS;
        const tare_real *block = x + r * stride;
        for (int64_t j = 0; j < cols; j++) { k[j] = 0; }
        block_centred(block, n, cols, stride, k, sum, square);
        for (int64_t j = 0; j < cols; j++) { k[j] = sum[j] / (tare_real)n; }
        block_centred(block, n, cols, stride, k, sum, square);
        double before = (double)r, all = (double)(r + n), share = (double)n / all;
        for (int64_t j = 0; j < cols; j++) {
            double off = (double)sum[j] / (double)n, block_mean = (double)k[j] + off;
            double block_m2 = (double)square[j] - (double)sum[j] * off;
            if (!isfinite(square[j])) { column_in_double(block + j, n, stride, &block_mean, &block_m2); }
            double apart = block_mean - mean[j];
            if (block_m2 < 0) { block_m2 = 0; }
            m2[j] += block_m2 + (r ? apart * apart * (before * share) : 0);
            mean[j] = r ? mean[j] + apart * share : block_mean;
        }
    }
}

/* y = x-hat gamma_r + beta_r, coefficients per column, gamma and beta (or NULL) per row. */
void TARE_K(norm_col_scale)(const tare_real *x, tare_real *y, int64_t rows, int64_t cols, int64_t stride,
                            const tare__norm_coef *c, const tare_real *gamma, const tare_real *beta) {
    tare_real k[MAX], a[MAX], b[MAX];
    for (int64_t j = 0; j < cols; j++) { k[j] = c[j].k, a[j] = c[j].rstd, b[j] = c[j].shift; }
    for (int64_t r = 0; r < rows; r++) {
        const tare_real *restrict p = x + r * stride;
        tare_real *restrict q = y + r * stride, g = gamma ? gamma[r] : 1, h = beta ? beta[r] : 0;
        TARE_SIMD
        for (int64_t j = 0; j < cols; j++) { q[j] = ((p[j] - k[j]) * a[j] + b[j]) * g + h; }
    }
}

/* Down each column: sum = Sum g, dot = Sum g x-hat with g = dy gamma_r. Along each row, unless NULL: row_dot = Sum dy x-hat,
 * row_sum = Sum dy. */
void TARE_K(norm_col_products)(const tare_real *x, const tare_real *dy, int64_t rows, int64_t cols, int64_t stride,
                               const tare__norm_coef *c, const tare_real *gamma, double *sum, double *dot,
                               tare_real *row_dot, tare_real *row_sum) {
    tare_real k[MAX], a[MAX], b[MAX], s[MAX], d[MAX];
    for (int64_t j = 0; j < cols; j++) {
        k[j] = c[j].k, a[j] = c[j].rstd, b[j] = c[j].shift;
        sum[j] = dot[j] = 0;
    }
    for (int64_t r0 = 0; r0 < rows; r0 += BLOCK_ROWS) {
        int64_t end = rows - r0 < BLOCK_ROWS ? rows : r0 + BLOCK_ROWS;
        for (int64_t j = 0; j < cols; j++) { s[j] = d[j] = 0; }
        for (int64_t r = r0; r < end; r++) {
            const tare_real *restrict p = x + r * stride, *restrict up = dy + r * stride;
            tare_real gr = gamma ? gamma[r] : 1, along = 0, along_dot = 0;
            TARE_SIMD_SUM(along, along_dot)
            for (int64_t j = 0; j < cols; j++) {
                tare_real h = (p[j] - k[j]) * a[j] + b[j], g = up[j] * gr;
                s[j] += g;
                d[j] += g * h;
                along += up[j];
                along_dot += up[j] * h;
            }
            if (row_dot) { row_dot[r] = along_dot, row_sum[r] = along; }
        }
        for (int64_t j = 0; j < cols; j++) { sum[j] += (double)s[j], dot[j] += (double)d[j]; }
    }
}

/* dx = p_j dy gamma_r + q_j x-hat + t_j, or the same added to dx; pqt: p, q, t of TARE__NORM_COLUMNS values each. */
void TARE_K(norm_col_gradient)(const tare_real *x, const tare_real *dy, tare_real *dx, int64_t rows, int64_t cols,
                               int64_t stride, const tare__norm_coef *c, const tare_real *gamma, const tare_real *pqt,
                               bool add) {
    tare_real k[MAX], a[MAX], b[MAX];
    const tare_real *restrict p = pqt, *restrict q = pqt + MAX, *restrict t = pqt + 2 * MAX;
    for (int64_t j = 0; j < cols; j++) { k[j] = c[j].k, a[j] = c[j].rstd, b[j] = c[j].shift; }
    for (int64_t r = 0; r < rows; r++) {
        const tare_real *restrict in = x + r * stride, *restrict up = dy + r * stride;
        tare_real *restrict down = dx + r * stride, g = gamma ? gamma[r] : 1;
        if (add) {
            TARE_SIMD
            for (int64_t j = 0; j < cols; j++) {
                down[j] += up[j] * g * p[j] + (((in[j] - k[j]) * a[j] + b[j]) * q[j] + t[j]);
            }
        } else {
            TARE_SIMD
            for (int64_t j = 0; j < cols; j++) {
                down[j] = up[j] * g * p[j] + (((in[j] - k[j]) * a[j] + b[j]) * q[j] + t[j]);
            }
        }
    }
}
