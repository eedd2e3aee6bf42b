/* loss.c - cross-entropy with its softmax in one, and the losses that go value by value. */
#include "loss.h"
#include "softmax.h"

/* ---- cross-entropy ----------------------------------------------------------------------------------------------- */

/* Up to LANES rows, or COLUMNS where they lie side by side: value j of row first + l is x[l * row + j * step]. */
typedef struct group {
    int64_t first, count;
    int64_t at, row, step;
} group;

static inline group group_from(int64_t i, int64_t end, int64_t k, int64_t inner) {
    if (inner == 1) { return (group){ i, end - i < LANES ? end - i : LANES, i * k, k, 1 }; }
    columns c = columns_from(i, end, k, inner);
    return (group){ i, c.count, c.at, 1, inner };
}

static void tile_exp(const tare_real *x, int64_t k, int64_t count, tare_real *e, tare_real *max, tare_real *sum) {
    tare_real in[LANES * LANES], out[LANES * LANES];
    tile_load(x, k, count, in);
    columns_exp(in, k, LANES, LANES, out, max, sum);
    if (e) { tile_store(out, k, count, e); }
}

static void group_exp(const tare__cross_entropy *c, group g, tare_real *max, tare_real *sum) {
    const tare_real *x = c->x + g.at;
    tare_real *e = c->e ? c->e + g.at : NULL;
    if (c->inner == 1) {
        (c->k < LANES ? tile_exp : rows_exp)(x, c->k, g.count, e, max, sum);
    } else {
        columns_exp(x, c->k, c->inner, g.count, e, max, sum);
    }
}

/* The mean over the classes of x - max. */
static tare_real mean_below(const tare_real *x, int64_t k, int64_t step, tare_real max) {
    tare_real sum = 0;
    for (int64_t j = 0; j < k; j++) { sum += x[j * step] - max; }
    return sum / (tare_real)k;
}

static double group_loss(const tare__cross_entropy *c, group g, const tare_real *max, const tare_real *log_sum) {
    double total = 0;
    for (int64_t l = 0; l < g.count; l++) {
        int32_t target = c->target[g.first + l];
        if (target == c->ignore) { continue; }
        const tare_real *x = c->x + g.at + l * g.row;
        tare_real loss = log_sum[l] + (max[l] - x[target * g.step]);
        if (c->smoothing > 0) {
            tare_real uniform = log_sum[l] - mean_below(x, c->k, g.step, max[l]);
            loss = (1 - c->smoothing) * loss + c->smoothing * uniform;
        }
        total += (double)loss;
    }
    return total;
}

double TARE_K(cross_entropy)(const tare__cross_entropy *c, int64_t begin, int64_t end) {
    double total = 0;
    for (int64_t i = begin; i < end;) {
        group g = group_from(i, end, c->k, c->inner);
        tare_real max[COLUMNS], sum[COLUMNS], log_sum[COLUMNS];
        group_exp(c, g, max, sum);
        V_SIMD
        for (int64_t l = 0; l < g.count; l++) { log_sum[l] = log_of_sum(sum[l]); }
        for (int64_t l = 0; c->inverse && l < g.count; l++) { c->inverse[i + l] = 1 / sum[l]; }
        total += group_loss(c, g, max, log_sum);
        i += g.count;
    }
    return total;
}

/* dx = e * scale - shift, for one row or for rows side by side. */
static void row_gradient(const tare_real *e, int64_t k, tare_real scale, tare_real shift, tare_real *dx, bool add) {
    if (add) {
        TARE_SIMD
        for (int64_t j = 0; j < k; j++) { dx[j] += e[j] * scale - shift; }
    } else {
        TARE_SIMD
        for (int64_t j = 0; j < k; j++) { dx[j] = e[j] * scale - shift; }
    }
}

static void column_gradient(const tare_real *e, int64_t k, int64_t step, int64_t count, const tare_real *scale,
                            const tare_real *shift, tare_real *dx, bool add) {
    for (int64_t j = 0; j < k; j++, e += step, dx += step) {
        if (add) {
            TARE_SIMD
            for (int64_t l = 0; l < count; l++) { dx[l] += e[l] * scale[l] - shift[l]; }
        } else {
            TARE_SIMD
            for (int64_t l = 0; l < count; l++) { dx[l] = e[l] * scale[l] - shift[l]; }
        }
    }
}

/* Per row:  dx_j = dy (softmax_j - smoothing / k - (1 - smoothing) [j is the target]),  0 where the target is ignored. */
void TARE_K(cross_entropy_back)(const tare__cross_entropy *c, int64_t begin, int64_t end, tare_real dy, tare_real *dx,
                                bool add) {
    for (int64_t i = begin; i < end;) {
        group g = group_from(i, end, c->k, c->inner);
        tare_real scale[COLUMNS], shift[COLUMNS], *to = dx + g.at;
        for (int64_t l = 0; l < g.count; l++) {
            tare_real wanted = c->target[i + l] == c->ignore ? 0 : dy;
            scale[l] = c->inverse[i + l] * wanted;
            shift[l] = wanted * c->smoothing / (tare_real)c->k;
        }
        if (c->inner == 1) {
            for (int64_t l = 0; l < g.count; l++) {
                row_gradient(c->e + g.at + l * g.row, c->k, scale[l], shift[l], to + l * g.row, add);
            }
        } else {
            column_gradient(c->e + g.at, c->k, g.step, g.count, scale, shift, to, add);
        }
        for (int64_t l = 0; l < g.count; l++) {
            int32_t target = c->target[i + l];
            if (target != c->ignore) { to[l * g.row + target * g.step] -= dy * (1 - c->smoothing); }
        }
        i += g.count;
    }
}

/* ---- value by value ---------------------------------------------------------------------------------------------- */

/* Sums go in blocks, so that single precision inside a block loses nothing that matters. */
enum { BLOCK = 512 };

#define LOSS_SUM(name, ...)                                                                                            \
    double TARE_K(name)(int64_t n, const tare_real *x, const tare_real *y) {                                           \
        double total = 0;                                                                                              \
        for (int64_t begin = 0; begin < n; begin += BLOCK) {                                                           \
            int64_t end = n - begin < BLOCK ? n : begin + BLOCK;                                                       \
            tare_real sum = 0;                                                                                         \
            V_SIMD_SUM(sum)                                                                                            \
            for (int64_t i = begin; i < end; i++) { sum += __VA_ARGS__; }                                              \
            total += (double)sum;                                                                                      \
        }                                                                                                              \
        return total;                                                                                                  \
    }

#define LOSS_BACK(name, ...)                                                                                           \
    void TARE_K(name)(int64_t n, const tare_real *x, const tare_real *y, tare_real dy, tare_real *dx, bool add) {      \
        if (add) {                                                                                                     \
            V_SIMD                                                                                                     \
            for (int64_t i = 0; i < n; i++) { dx[i] += dy * __VA_ARGS__; }                                             \
        } else {                                                                                                       \
            V_SIMD                                                                                                     \
            for (int64_t i = 0; i < n; i++) { dx[i] = dy * __VA_ARGS__; }                                              \
        }                                                                                                              \
    }

static inline tare_real squared(tare_real x, tare_real y) { return (x - y) * (x - y); }

static inline tare_real logistic(tare_real x, tare_real y) {
    tare_real above = x > 0 ? x : 0, size = x > 0 ? x : -x;
    return above - x * y + v_log1p(v_exp(-size));
}

/* Comparisons so that NaN gives NaN. */
static inline tare_real hinged(tare_real x, tare_real y) {
    tare_real margin = 1 - x * y;
    return margin <= 0 ? 0 : margin;
}

static inline tare_real hinged_slope(tare_real x, tare_real y) {
    tare_real margin = 1 - x * y, slope = margin > 0 ? -y : margin;
    return margin <= 0 ? 0 : slope;
}

LOSS_SUM(mse, squared(x[i], y[i]))
LOSS_BACK(mse_back, (2 * (x[i] - y[i])))
LOSS_SUM(bce_with_logits, logistic(x[i], y[i]))
LOSS_BACK(bce_with_logits_back, (v_sigmoid(x[i]) - y[i]))
LOSS_SUM(hinge, hinged(x[i], y[i]))
LOSS_BACK(hinge_back, hinged_slope(x[i], y[i]))
