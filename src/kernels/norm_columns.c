/* norm_columns.c - statistics down columns side by side: BatchNorm of [N,C], LayerNorm over the channels of [N,C,H,W].
 *
 * A call handles at most TARE__NORM_COLUMNS columns; row r starts at x + r * stride. Parts of a few vectors stay in registers
 * while the rows go by. The last part of a row overlaps the one before: columns are computed twice rather than one by one. */
#include "norm.h"
#include "norm_vec.h"

#include <math.h>

enum { BLOCK_ROWS = 64, MAX = TARE__NORM_COLUMNS, WIDE = VL == 16 ? 8 : 4 };

/* Columns [at, at + vecs * VL), of which the last `fresh` of its last vector were in no part before. */
typedef struct part {
    int64_t at;
    int vecs;
    int64_t fresh;
} part;

/* From { 0 } on; cols >= VL. */
static inline bool next_part(part *p, int64_t cols, int most) {
    p->at += p->vecs * VL;
    int64_t left = cols - p->at;
    p->vecs = left >= most * VL ? most : left >= 4 * VL ? 4 : 1;
    p->fresh = left < VL ? left : VL;
    if (left > 0 && left < VL) { p->at = cols - VL; }
    return left > 0;
}

/* Run f(..., vecs) with a constant number of vectors. */
#define CONSTANT_VECS(vecs, f, ...)                                                                                    \
    do {                                                                                                               \
        if ((vecs) == 1) {                                                                                             \
            f(__VA_ARGS__, 1);                                                                                         \
        } else if ((vecs) == 4) {                                                                                      \
            f(__VA_ARGS__, 4);                                                                                         \
        } else {                                                                                                       \
            f(__VA_ARGS__, WIDE);                                                                                      \
        }                                                                                                              \
    } while (0)

/* ---- moments ----------------------------------------------------------------------------------------------------- */

NORM_INLINE void centred_part(const tare_real *x, int64_t rows, int64_t stride, const tare_real *k, tare_real *sum,
                              tare_real *square, const int vecs) {
    vec c[WIDE], s[WIDE], q[WIDE];
    for (int v = 0; v < vecs; v++) { c[v] = LOAD(k + v * VL), s[v] = q[v] = (vec){ 0 }; }
    for (int64_t r = 0; r < rows; r++) {
        for (int v = 0; v < vecs; v++) {
            vec d = LOAD(x + r * stride + v * VL) - c[v];
            s[v] += d, q[v] += d * d;
        }
    }
    for (int v = 0; v < vecs; v++) { STORE(sum + v * VL) = s[v], STORE(square + v * VL) = q[v]; }
}

/* sum[j], square[j]: sums of x - k and its square down `rows` rows. */
static void block_centred(const tare_real *x, int64_t rows, int64_t cols, int64_t stride, const tare_real *k,
                          tare_real *sum, tare_real *square) {
    if (cols >= VL) {
        for (part p = { 0 }; next_part(&p, cols, WIDE);) {
            CONSTANT_VECS(p.vecs, centred_part, x + p.at, rows, stride, k + p.at, sum + p.at, square + p.at);
        }
        return;
    }
    for (int64_t j = 0; j < cols; j++) { sum[j] = square[j] = 0; }
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t j = 0; j < cols; j++) {
            tare_real d = x[r * stride + j] - k[j];
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

/* From sums of x - k and its square to moments; true where k lies so far from a mean that digits have cancelled. */
static bool settle(int64_t rows, int64_t cols, const tare_real *k, const tare_real *sum, const tare_real *square,
                   double *mean, double *m2) {
    const double far = 8, count = (double)rows; /* far: in variances */
    double doubt[MAX];
    for (int64_t j = 0; j < cols; j++) {
        double off = (double)sum[j] / count, apart = off * off * count, rest = (double)square[j] - apart;
        mean[j] = (double)k[j] + off;
        m2[j] = rest < 0 ? 0 : rest;
        doubt[j] = apart - far * m2[j];
    }
    bool any = false;
    for (int64_t j = 0; j < cols; j++) { any |= doubt[j] > 0; }
    return any;
}

/* Moments of a few rows, which are read once: k is the mean of four of them. Where that is far from a column's mean,
 * all columns are read once more, with a better k. */
static void block_moments(const tare_real *x, int64_t rows, int64_t cols, int64_t stride, double *mean, double *m2) {
    tare_real k[MAX], sum[MAX], square[MAX];
    const tare_real *a = x, *b = x + rows / 4 * stride, *c = x + rows / 2 * stride,
                    *d = x + (rows - 1 - rows / 4) * stride;
    for (int64_t j = 0; j < cols; j++) { k[j] = (tare_real)0.25 * ((a[j] + b[j]) + (c[j] + d[j])); }
    block_centred(x, rows, cols, stride, k, sum, square);
    if (settle(rows, cols, k, sum, square, mean, m2)) {
        for (int64_t j = 0; j < cols; j++) { k[j] = (tare_real)mean[j]; }
        block_centred(x, rows, cols, stride, k, sum, square);
        (void)settle(rows, cols, k, sum, square, mean, m2);
    }
    for (int64_t j = 0; j < cols; j++) {
        if (!isfinite(m2[j])) { column_in_double(x + j, rows, stride, &mean[j], &m2[j]); }
    }
}

/* Mean and sum of squared deviations of each column. */
void TARE_K(norm_col_moments)(const tare_real *x, int64_t rows, int64_t cols, int64_t stride, double *mean,
                              double *m2) {
    for (int64_t j = 0; j < cols; j++) { mean[j] = m2[j] = 0; }
    for (int64_t r = 0; r < rows; r += BLOCK_ROWS) {
        double block_mean[MAX], block_m2[MAX];
        int64_t n = rows - r < BLOCK_ROWS ? rows - r : BLOCK_ROWS;
        block_moments(x + r * stride, n, cols, stride, block_mean, block_m2);
        double share = (double)n / (double)(r + n), weight = (double)r * share;
        for (int64_t j = 0; j < cols; j++) {
            double apart = block_mean[j] - mean[j];
            m2[j] += block_m2[j] + apart * apart * weight;
            mean[j] += apart * share;
        }
    }
}

/* What is saved of each column of `count` values, and what loops need. */
void TARE_K(norm_col_stats)(int64_t cols, int64_t count, double eps, const double *mean, const double *m2,
                            tare__norm_stat *stats, tare__norm_coef *coef) {
    double rstd[MAX];
    for (int64_t j = 0; j < cols; j++) { rstd[j] = 1 / sqrt(m2[j] / (double)count + eps); }
    for (int64_t j = 0; j < cols; j++) {
        tare__norm_stat stat = { mean[j], rstd[j] };
        if (stats) { stats[j] = stat; }
        coef[j] = tare__norm_coef_of(stat);
    }
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

/* Coefficients column by column. */
typedef struct columns {
    tare_real k[MAX], a[MAX], b[MAX]; /* x-hat = (x - k) a + b */
} columns;

static void spread(columns *to, const tare__norm_coef *c, int64_t cols) {
    for (int64_t j = 0; j < cols; j++) { to->k[j] = c[j].k, to->a[j] = c[j].rstd, to->b[j] = c[j].shift; }
}

NORM_INLINE void scale_part(const tare_real *restrict x, tare_real *restrict y, int64_t rows, int64_t stride,
                            const columns *c, int64_t at, const tare_real *gamma, const tare_real *beta,
                            const int vecs) {
    vec k[WIDE], a[WIDE], b[WIDE];
    for (int v = 0; v < vecs; v++) {
        k[v] = LOAD(c->k + at + v * VL), a[v] = LOAD(c->a + at + v * VL), b[v] = LOAD(c->b + at + v * VL);
    }
    for (int64_t r = 0; r < rows; r++) {
        tare_real g = gamma ? gamma[r] : 1, h = beta ? beta[r] : 0;
        for (int v = 0; v < vecs; v++) {
            int64_t i = r * stride + at + v * VL;
            STORE(y + i) = ((LOAD(x + i) - k[v]) * a[v] + b[v]) * g + h;
        }
    }
}

/* y = x-hat gamma_r + beta_r, coefficients per column, gamma and beta (or NULL) per row. */
void TARE_K(norm_col_scale)(const tare_real *x, tare_real *y, int64_t rows, int64_t cols, int64_t stride,
                            const tare__norm_coef *coef, const tare_real *gamma, const tare_real *beta) {
    columns c;
    spread(&c, coef, cols);
    if (cols >= VL) {
        for (part p = { 0 }; next_part(&p, cols, WIDE);) {
            CONSTANT_VECS(p.vecs, scale_part, x, y, rows, stride, &c, p.at, gamma, beta);
        }
        return;
    }
    for (int64_t r = 0; r < rows; r++) {
        tare_real g = gamma ? gamma[r] : 1, h = beta ? beta[r] : 0;
        for (int64_t j = 0; j < cols; j++) {
            y[r * stride + j] = ((x[r * stride + j] - c.k[j]) * c.a[j] + c.b[j]) * g + h;
        }
    }
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

NORM_INLINE void products_part(const tare_real *restrict x, const tare_real *restrict dy, int64_t rows, int64_t stride,
                               const columns *c, part p, const tare_real *gamma, tare_real *sum, tare_real *dot,
                               tare_real *along, int64_t all_rows, const int vecs) {
    vec k[4], a[4], b[4], s[4], d[4];
    for (int v = 0; v < vecs; v++) {
        k[v] = LOAD(c->k + p.at + v * VL), a[v] = LOAD(c->a + p.at + v * VL), b[v] = LOAD(c->b + p.at + v * VL);
        s[v] = d[v] = (vec){ 0 };
    }
    for (int64_t r = 0; r < rows; r++) {
        tare_real g = gamma ? gamma[r] : 1;
        vec all = { 0 }, all_dot = { 0 };
        for (int v = 0; v < vecs; v++) {
            int64_t i = r * stride + p.at + v * VL;
            vec up = LOAD(dy + i), h = up * ((LOAD(x + i) - k[v]) * a[v] + b[v]);
            s[v] += up * g, d[v] += h * g;
            all += up, all_dot += h;
        }
        if (along) {
            if (p.fresh < VL) { all = LAST_LANES(all, p.fresh), all_dot = LAST_LANES(all_dot, p.fresh); }
            STORE(along + r * TARE__NORM_LANES) += all_dot;
            STORE(along + (all_rows + r) * TARE__NORM_LANES) += all;
        }
    }
    for (int v = 0; v < vecs; v++) { STORE(sum + p.at + v * VL) = s[v], STORE(dot + p.at + v * VL) = d[v]; }
}

static void products_plain(const tare_real *x, const tare_real *dy, int64_t rows, int64_t cols, int64_t stride,
                           const columns *c, const tare_real *gamma, tare_real *sum, tare_real *dot, tare_real *along,
                           int64_t all_rows) {
    for (int64_t j = 0; j < cols; j++) { sum[j] = dot[j] = 0; }
    for (int64_t r = 0; r < rows; r++) {
        tare_real g = gamma ? gamma[r] : 1;
        for (int64_t j = 0; j < cols; j++) {
            tare_real up = dy[r * stride + j], h = up * ((x[r * stride + j] - c->k[j]) * c->a[j] + c->b[j]);
            sum[j] += up * g;
            dot[j] += h * g;
            if (along) { along[r * TARE__NORM_LANES] += h, along[(all_rows + r) * TARE__NORM_LANES] += up; }
        }
    }
}

/* Down each column: sum = Sum g, dot = Sum g x-hat with g = dy gamma_r. Along each row, unless NULL, to be summed over lanes
 * at the end: along[0][r] += dy x-hat, along[1][r] += dy; [2][rows] vectors, for norm_col_along. */
void TARE_K(norm_col_products)(const tare_real *x, const tare_real *dy, int64_t rows, int64_t cols, int64_t stride,
                               const tare__norm_coef *coef, const tare_real *gamma, double *sum, double *dot,
                               tare_real *along) {
    tare_real s[MAX], d[MAX];
    columns c;
    spread(&c, coef, cols);
    for (int64_t j = 0; j < cols; j++) { sum[j] = dot[j] = 0; }
    for (int64_t r = 0; r < rows; r += BLOCK_ROWS) {
        int64_t n = rows - r < BLOCK_ROWS ? rows - r : BLOCK_ROWS;
        const tare_real *in = x + r * stride, *up = dy + r * stride, *g = gamma ? gamma + r : NULL;
        tare_real *to = along ? along + r * TARE__NORM_LANES : NULL;
        if (cols < VL) { products_plain(in, up, n, cols, stride, &c, g, s, d, to, rows); }
        for (part p = { 0 }; cols >= VL && next_part(&p, cols, 4);) {
            if (p.vecs == 4) {
                products_part(in, up, n, stride, &c, p, g, s, d, to, rows, 4);
            } else {
                products_part(in, up, n, stride, &c, p, g, s, d, to, rows, 1);
            }
        }
        for (int64_t j = 0; j < cols; j++) { sum[j] += (double)s[j], dot[j] += (double)d[j]; }
    }
}

/* sum[i - first] += what norm_col_products has left in the lanes of row i. */
void TARE_K(norm_col_along)(const tare_real *along, int64_t first, int64_t last, double *sum) {
    for (int64_t i = first; i < last; i++) {
        vec v = LOAD(along + i * TARE__NORM_LANES);
        sum[i - first] += (double)lane_sum(&v);
    }
}

NORM_INLINE void gradient_part(const tare_real *restrict x, const tare_real *dy, tare_real *dx, int64_t rows,
                               int64_t stride, const columns *c, part p, const tare_real *gamma, const tare_real *pqt,
                               const bool add, const int vecs) {
    vec k[4], a[4], b[4], f[4], q[4], t[4];
    for (int v = 0; v < vecs; v++) {
        int64_t j = p.at + v * VL;
        k[v] = LOAD(c->k + j), a[v] = LOAD(c->a + j), b[v] = LOAD(c->b + j);
        f[v] = LOAD(pqt + j), q[v] = LOAD(pqt + MAX + j), t[v] = LOAD(pqt + 2 * MAX + j);
    }
    for (int64_t r = 0; r < rows; r++) {
        tare_real g = gamma ? gamma[r] : 1;
        for (int v = 0; v < vecs; v++) {
            int64_t i = r * stride + p.at + v * VL;
            vec down = LOAD(dy + i) * g * f[v] + (((LOAD(x + i) - k[v]) * a[v] + b[v]) * q[v] + t[v]);
            if (add) {
                if (p.fresh < VL) { down = LAST_LANES(down, p.fresh); }
                down += LOAD(dx + i);
            } else if (p.fresh < VL) { /* the others were made of a dy that may be gone */
                for (int64_t l = VL - p.fresh; l < VL; l++) { dx[i + l] = LANE(down, l); }
                continue;
            }
            STORE(dx + i) = down;
        }
    }
}

/* dx = p_j dy gamma_r + q_j x-hat + t_j, or the same added to dx, which may be dy; pqt: p, q, t of TARE__NORM_COLUMNS values each. */
void TARE_K(norm_col_gradient)(const tare_real *x, const tare_real *dy, tare_real *dx, int64_t rows, int64_t cols,
                               int64_t stride, const tare__norm_coef *coef, const tare_real *gamma,
                               const tare_real *pqt, bool add) {
    columns c;
    spread(&c, coef, cols);
    for (part p = { 0 }; cols >= VL && next_part(&p, cols, 4);) {
        if (add) {
            for (int v = 0; v < p.vecs; v++) {
                part one = { p.at + v * VL, 1, p.fresh };
                gradient_part(x, dy, dx, rows, stride, &c, one, gamma, pqt, true, 1);
            }
        } else if (p.vecs == 4) {
            gradient_part(x, dy, dx, rows, stride, &c, p, gamma, pqt, false, 4);
        } else {
            gradient_part(x, dy, dx, rows, stride, &c, p, gamma, pqt, false, 1);
        }
    }
    for (int64_t r = 0; r < rows && cols < VL; r++) {
        tare_real g = gamma ? gamma[r] : 1;
        for (int64_t j = 0; j < cols; j++) {
            tare_real h = (x[r * stride + j] - c.k[j]) * c.a[j] + c.b[j];
            tare_real to = dy[r * stride + j] * g * pqt[j] + (h * pqt[MAX + j] + pqt[2 * MAX + j]);
            dx[r * stride + j] = add ? dx[r * stride + j] + to : to;
        }
    }
}
