/* norm.c - statistics of rows of values, and planes that have one scale and shift each: BatchNorm's channels, GroupNorm's groups.
 *
 * Mean and variance: blocks that fit the first-level cache give the sums of x - k and of its square in one pass, where k is the mean of
 * the blocks before (at first, of a few values); where k was a bad guess, in a second one. They are merged in double (Chan, Golub &
 * LeVeque 1983). */
#include "norm.h"
#include "norm_vec.h"

#include <math.h>

enum { BLOCK = 16384 / (int)sizeof(tare_real) };

/* ---- moments ----------------------------------------------------------------------------------------------------- */

/* Sums of x - k and of its square. */
static void block_centred(const tare_real *x, int64_t rows, int64_t cols, int64_t stride, tare_real k, tare_real *sum,
                          tare_real *square) {
    vec s0 = { 0 }, s1 = { 0 }, s2 = { 0 }, s3 = { 0 }, q0 = { 0 }, q1 = { 0 }, q2 = { 0 }, q3 = { 0 };
    for (int64_t r = 0; r < rows; r++) {
        const tare_real *p = x + r * stride;
        int64_t i = 0;
        for (; i + 4 * VL <= cols; i += 4 * VL) {
            vec d0 = LOAD(p + i) - k, d1 = LOAD(p + i + VL) - k;
            vec d2 = LOAD(p + i + 2 * VL) - k, d3 = LOAD(p + i + 3 * VL) - k;
            s0 += d0, s1 += d1, s2 += d2, s3 += d3;
            q0 += d0 * d0, q1 += d1 * d1, q2 += d2 * d2, q3 += d3 * d3;
        }
        for (; i + VL <= cols; i += VL) {
            vec d = LOAD(p + i) - k;
            s0 += d, q0 += d * d;
        }
        if (i < cols) {
            vec tail;
            load_tail(&tail, p, cols);
            vec d = LAST_LANES(tail - k, cols - i);
            s1 += d, q1 += d * d;
        }
    }
    s0 = (s0 + s1) + (s2 + s3), q0 = (q0 + q1) + (q2 + q3);
    *sum = lane_sum(&s0);
    *square = lane_sum(&q0);
}

typedef struct moments {
    double n, mean, m2; /* m2: sum of squared deviations */
} moments;

static void merge(moments *a, moments b) {
    double n = a->n + b.n, apart = b.mean - a->mean;
    if (a->n == 0) {
        *a = b;
        return;
    }
    a->mean += apart * (b.n / n);
    a->m2 += b.m2 + apart * apart * (a->n * b.n / n);
    a->n = n;
}

/* Where squares leave a float's range; and NaN and Inf, which stay what they are. */
static moments block_in_double(const tare_real *x, int64_t rows, int64_t cols, int64_t stride) {
    double n = (double)rows * (double)cols, sum = 0, m2 = 0;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t i = 0; i < cols; i++) { sum += (double)x[r * stride + i]; }
    }
    double mean = sum / n;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t i = 0; i < cols; i++) {
            double d = (double)x[r * stride + i] - mean;
            m2 += d * d;
        }
    }
    return (moments){ n, mean, m2 };
}

/* Something near the mean, from the values that x begins with. */
static inline tare_real first_guess(const tare_real *x, int64_t cols) {
    if (cols < 1) { return 0; }
    tare_real guess = x[0];
    if (cols >= VL) {
        vec first = LOAD(x);
        guess = lane_sum(&first) / (tare_real)VL;
    }
    return isfinite(guess) ? guess : 0;
}

/* From the sums of x - k and its square, k a guess of the mean. A guess more than two deviations off costs digits: then what was
 * found serves as k once more. */
static inline moments settle(const tare_real *x, int64_t rows, int64_t cols, int64_t stride, tare_real k, tare_real sum,
                             tare_real square) {
    double n = (double)rows * (double)cols, off = (double)sum / n;
    if (!((double)sum * off * 5 <= (double)square * 4)) {
        k += (tare_real)off;
        block_centred(x, rows, cols, stride, k, &sum, &square);
        off = (double)sum / n;
    }
    if (!isfinite(square)) { return block_in_double(x, rows, cols, stride); }
    double m2 = (double)square - (double)sum * off;
    return (moments){ n, (double)k + off, m2 > 0 ? m2 : 0 };
}

/* Mean and sum of squared deviations of rows x cols values, rows `stride` apart. */
static inline moments all_moments(const tare_real *x, int64_t rows, int64_t cols, int64_t stride) {
    moments m = { .mean = (double)first_guess(x, rows > 0 ? cols : 0) };
    /* a long row is cut into blocks, of short ones several make one */
    int64_t step = cols < BLOCK && cols > 0 ? BLOCK / cols : 1, width = cols < BLOCK ? cols : BLOCK;
    for (int64_t r = 0; r < rows; r += step) {
        int64_t high = rows - r < step ? rows - r : step;
        for (int64_t i = 0; i < cols; i += width) {
            int64_t wide = cols - i < width ? cols - i : width;
            const tare_real *block = x + r * stride + i;
            tare_real k = (tare_real)m.mean, sum, square;
            block_centred(block, high, wide, stride, k, &sum, &square);
            merge(&m, settle(block, high, wide, stride, k, sum, square));
        }
    }
    return m;
}

void TARE_K(norm_moments)(const tare_real *x, int64_t rows, int64_t cols, int64_t stride, double *mean, double *m2) {
    moments m = all_moments(x, rows, cols, stride);
    *mean = m.mean;
    *m2 = m.m2;
}

/* Moments of each of `sets` rows of n values, one after the other. A few go together: what one waits for at the end of its sums
 * the others' sums fill. */
void TARE_K(norm_moments_each)(const tare_real *x, int64_t sets, int64_t n, double *mean, double *m2) {
    enum { FEW = 8 };
    tare_real k[FEW], sum[FEW], square[FEW];
    for (int64_t begin = 0; begin < sets; begin += FEW) {
        int64_t few = sets - begin < FEW ? sets - begin : FEW;
        const tare_real *row = x + begin * n;
        if (n > BLOCK / 2) { /* long enough to keep busy alone */
            for (int64_t s = 0; s < few; s++) {
                moments m = all_moments(row + s * n, 1, n, n);
                mean[begin + s] = m.mean, m2[begin + s] = m.m2;
            }
            continue;
        }
        for (int64_t s = 0; s < few; s++) { k[s] = first_guess(row + s * n, n); }
        for (int64_t s = 0; s < few; s++) { block_centred(row + s * n, 1, n, n, k[s], &sum[s], &square[s]); }
        for (int64_t s = 0; s < few; s++) {
            moments m = settle(row + s * n, 1, n, n, k[s], sum[s], square[s]);
            mean[begin + s] = m.mean, m2[begin + s] = m.m2;
        }
    }
}

/* ---- activations behind the affine map: the bits of relu and leaky_relu in unary.c ------------------------------------ */

NORM_INLINE void act_vec(vec *y, int act, tare_real slope) {
    const vec zero = { 0 }, v = *y;
    if (act == TARE__NORM_RELU) { *y = CHOOSE(v <= zero, zero, v); }
    if (act == TARE__NORM_LEAKY) { *y = CHOOSE(v > zero, v, slope * v); }
}

/* The gradient g of what the activation made of v, turned into that of v. */
NORM_INLINE void act_back_vec(vec *g, const vec *v, int act, tare_real slope) {
    const vec zero = { 0 };
    if (act == TARE__NORM_RELU) { *g = CHOOSE(*v <= zero, zero, *g); }
    if (act == TARE__NORM_LEAKY) { *g = CHOOSE(*v > zero, *g, slope * *g); }
}

NORM_INLINE tare_real act_one(tare_real v, int act, tare_real slope) {
    if (act == TARE__NORM_RELU) { return v <= 0 ? 0 : v; }
    return act == TARE__NORM_LEAKY && !(v > 0) ? slope * v : v;
}

NORM_INLINE tare_real act_back_one(tare_real g, tare_real v, int act, tare_real slope) {
    if (act == TARE__NORM_RELU) { return v <= 0 ? 0 : g; }
    return act == TARE__NORM_LEAKY && !(v > 0) ? slope * g : g;
}

/* A function of its own for each activation: f(..., act), act a constant. */
#define FOR_EACH_ACT(act, f, ...)                                                                                      \
    do {                                                                                                               \
        if ((act) == TARE__NORM_RELU) {                                                                                \
            f(__VA_ARGS__, TARE__NORM_RELU);                                                                           \
        } else if ((act) == TARE__NORM_LEAKY) {                                                                        \
            f(__VA_ARGS__, TARE__NORM_LEAKY);                                                                          \
        } else {                                                                                                       \
            f(__VA_ARGS__, TARE__NORM_PLAIN);                                                                          \
        }                                                                                                              \
    } while (0)

/* ---- one scale and shift for a whole plane ----------------------------------------------------------------------- */

/* The last vector overlaps the one before, which does no harm: y is not x. */
NORM_INLINE void affine_plane(const tare_real *restrict x, tare_real *restrict y, int64_t n, tare__norm_map m,
                              tare_real slope, const int act) {
    if (n < VL) {
        for (int64_t i = 0; i < n; i++) { y[i] = act_one((x[i] - m.k) * m.a + m.b, act, slope); }
        return;
    }
    for (int64_t i = 0; i < n; i += VL) {
        int64_t at = i + VL <= n ? i : n - VL;
        vec v = (LOAD(x + at) - m.k) * m.a + m.b;
        act_vec(&v, act, slope);
        STORE(y + at) = v;
    }
}

NORM_INLINE void affine(const tare__norm_planes w, const int act) {
    for (int64_t c = 0; c < w.planes; c++) {
        const tare__norm_map m = w.map[c];
        for (int64_t r = w.rows - 1; r >= 0; r--) {
            int64_t at = r * w.stride + c * w.n;
            affine_plane(w.x + at, w.y + at, w.n, m, w.slope, act);
        }
    }
}

/* Last rows first here and in norm_gradient: what was read last, when the statistics were taken, is still near. */
void TARE_K(norm_affine)(const tare__norm_planes *w) { FOR_EACH_ACT(w->act, affine, *w); }

/* ---- its backward ------------------------------------------------------------------------------------------------ */

/* From x and the gradient behind the activation: *h is x-hat, *g the gradient before it. */
NORM_INLINE void hat_vec(vec *h, vec *g, tare__norm_map m, tare_real slope, const int act) {
    vec d = *h - m.k, v = d * m.a + m.b;
    act_back_vec(g, &v, act, slope);
    *h = d * m.rstd + m.shift;
}

/* Sums of g and of g x-hat over n values of a plane in each of `rows` rows, lane by lane. */
NORM_INLINE void product_sums(const tare_real *x, const tare_real *dy, int64_t rows, int64_t n, int64_t stride,
                              tare__norm_map m, tare_real slope, vec *sum, vec *dot, const int act) {
    vec s0 = { 0 }, s1 = { 0 }, s2 = { 0 }, s3 = { 0 }, q0 = { 0 }, q1 = { 0 }, q2 = { 0 }, q3 = { 0 };
    for (; rows > 0; rows--, x += stride, dy += stride) {
        int64_t i = 0;
        for (; i + 4 * VL <= n; i += 4 * VL) {
            vec g0 = LOAD(dy + i), g1 = LOAD(dy + i + VL), g2 = LOAD(dy + i + 2 * VL), g3 = LOAD(dy + i + 3 * VL);
            vec h0 = LOAD(x + i), h1 = LOAD(x + i + VL), h2 = LOAD(x + i + 2 * VL), h3 = LOAD(x + i + 3 * VL);
            hat_vec(&h0, &g0, m, slope, act);
            hat_vec(&h1, &g1, m, slope, act);
            hat_vec(&h2, &g2, m, slope, act);
            hat_vec(&h3, &g3, m, slope, act);
            s0 += g0, s1 += g1, s2 += g2, s3 += g3;
            q0 += g0 * h0, q1 += g1 * h1, q2 += g2 * h2, q3 += g3 * h3;
        }
        for (; i + VL <= n; i += VL) {
            vec g0 = LOAD(dy + i), h0 = LOAD(x + i);
            hat_vec(&h0, &g0, m, slope, act);
            s0 += g0, q0 += g0 * h0;
        }
        if (i < n) {
            vec h, g;
            load_tail(&h, x, n);
            load_tail(&g, dy, n);
            hat_vec(&h, &g, m, slope, act);
            h = g * h;
            s1 += LAST_LANES(g, n - i), q1 += LAST_LANES(h, n - i);
        }
    }
    *sum = (s0 + s1) + (s2 + s3), *dot = (q0 + q1) + (q2 + q3);
}

/* Of one plane in all rows. A long one is cut into blocks, of short ones several make one. */
NORM_INLINE void plane_products(const tare__norm_planes *w, int64_t c, double *sum, double *dot, const int act) {
    int64_t step = w->n < BLOCK && w->n > 0 ? BLOCK / w->n : 1;
    for (int64_t r = 0; r < w->rows; r += step) {
        int64_t rows = w->rows - r < step ? w->rows - r : step;
        for (int64_t i = 0; i < w->n; i += BLOCK) {
            int64_t at = r * w->stride + c * w->n + i, n = w->n - i < BLOCK ? w->n - i : BLOCK;
            vec s, d;
            product_sums(w->x + at, w->dy + at, rows, n, w->stride, w->map[c], w->slope, &s, &d, act);
            *sum += (double)lane_sum(&s), *dot += (double)lane_sum(&d);
        }
    }
}

/* Of up to MANY short planes, one after the other in one row. */
NORM_INLINE void few_products(const tare__norm_planes *w, int64_t c, int64_t few, double *sum, double *dot,
                              const int act) {
    _Alignas(64) tare_real all[2 * MANY];
    vec v[2 * MANY];
    for (int64_t j = 0; j < few; j++) {
        int64_t at = (c + j) * w->n;
        product_sums(w->x + at, w->dy + at, 1, w->n, 0, w->map[c + j], w->slope, &v[j], &v[MANY + j], act);
    }
    no_sums(v, few);
    lane_sums(v, all);
    for (int64_t j = 0; j < few; j++) { sum[j] = (double)all[j], dot[j] = (double)all[MANY + j]; }
}

NORM_INLINE void products(const tare__norm_planes *w, double *sum, double *dot, const int act) {
    const bool together = w->rows == 1 && w->planes > 1 && w->n <= BLOCK;
    for (int64_t c = 0; c < w->planes; c += together ? MANY : 1) {
        if (together) {
            few_products(w, c, w->planes - c < MANY ? w->planes - c : MANY, sum + c, dot + c, act);
        } else {
            plane_products(w, c, sum + c, dot + c, act);
        }
    }
}

/* sum[c] = Sum g, dot[c] = Sum g x-hat over plane c of all rows. */
void TARE_K(norm_products)(const tare__norm_planes *w, double *sum, double *dot) {
    for (int64_t c = 0; c < w->planes; c++) { sum[c] = dot[c] = 0; }
    FOR_EACH_ACT(w->act, products, w, sum, dot);
}

NORM_INLINE void gradient_vec(const tare_real *x, const tare_real *dy, vec *dx, tare__norm_map m, tare_real slope,
                              const int act) {
    vec h = LOAD(x), g = LOAD(dy);
    hat_vec(&h, &g, m, slope, act);
    *dx = g * m.a + (h * m.q + m.t);
}

NORM_INLINE tare_real gradient_one(tare_real x, tare_real dy, tare__norm_map m, tare_real slope, const int act) {
    tare_real d = x - m.k, g = act_back_one(dy, d * m.a + m.b, act, slope);
    return g * m.a + ((d * m.rstd + m.shift) * m.q + m.t);
}

/* dx may be dy, so the last vector, which overlaps the one before, is made first. */
NORM_INLINE void gradient_plane(const tare_real *restrict x, const tare_real *dy, tare_real *dx, int64_t n,
                                tare__norm_map m, tare_real slope, const bool add, const int act) {
    int64_t i = 0;
    vec v, last;
    bool overlaps = n % VL && n >= VL && !add;
    if (overlaps) { gradient_vec(x + n - VL, dy + n - VL, &last, m, slope, act); }
    for (; i + VL <= n; i += VL) {
        gradient_vec(x + i, dy + i, &v, m, slope, act);
        if (add) { v += LOAD(dx + i); }
        STORE(dx + i) = v;
    }
    if (overlaps) {
        STORE(dx + n - VL) = last;
        return;
    }
    for (; i < n; i++) {
        tare_real one = gradient_one(x[i], dy[i], m, slope, act);
        dx[i] = add ? dx[i] + one : one;
    }
}

NORM_INLINE void gradient(const tare__norm_planes w, const bool add, const int act) {
    for (int64_t c = 0; c < w.planes; c++) {
        const tare__norm_map m = w.map[c];
        for (int64_t r = w.rows - 1; r >= 0; r--) {
            int64_t at = r * w.stride + c * w.n;
            gradient_plane(w.x + at, w.dy + at, w.dx + at, w.n, m, w.slope, add, act);
        }
    }
}

/* dx = a g + q x-hat + t, or the same added to dx. */
void TARE_K(norm_gradient)(const tare__norm_planes *w) {
    if (w->add) {
        FOR_EACH_ACT(w->act, gradient, *w, true);
    } else {
        FOR_EACH_ACT(w->act, gradient, *w, false);
    }
}
