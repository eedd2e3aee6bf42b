/* softmax.c - softmax and log-softmax, forward and backward, over rows [begin, end); how they lie: softmax.h. */
#include "softmax.h"

/* ---- forward ----------------------------------------------------------------------------------------------------- */

/* Contiguous rows of LANES values or more. */
static void softmax_rows(const tare_real *x, int64_t k, int64_t count, tare_real *y, bool log) {
    tare_real max[LANES], sum[LANES];
    rows_exp(x, k, count, log ? NULL : y, max, sum);
    for (int64_t l = 0; l < count; l++, x += k, y += k) {
        if (log) {
            tare_real log_sum = log_of_sum(sum[l]);
            TARE_SIMD
            for (int64_t j = 0; j < k; j++) { y[j] = x[j] - max[l] - log_sum; }
        } else {
            tare_real scale = 1 / sum[l];
            TARE_SIMD
            for (int64_t j = 0; j < k; j++) { y[j] *= scale; }
        }
    }
}

static inline void softmax_columns(const tare_real *x, int64_t k, int64_t step, int64_t count, tare_real *y, bool log) {
    tare_real max[LANES], sum[LANES];
    columns_exp(x, k, step, count, log ? NULL : y, max, sum);
    V_SIMD
    for (int64_t l = 0; l < count; l++) { sum[l] = log ? log_of_sum(sum[l]) : 1 / sum[l]; }
    for (int64_t j = 0; j < k; j++) {
        TARE_SIMD
        for (int64_t l = 0; l < count; l++) {
            int64_t at = j * step + l;
            y[at] = log ? x[at] - max[l] - sum[l] : y[at] * sum[l];
        }
    }
}

static void softmax_tile(const tare_real *x, int64_t k, int64_t count, tare_real *y, bool log) {
    tare_real in[LANES * LANES], out[LANES * LANES];
    tile_load(x, k, count, in);
    softmax_columns(in, k, LANES, LANES, out, log);
    tile_store(out, k, count, y);
}

void TARE_K(softmax)(int64_t k, int64_t inner, int64_t begin, int64_t end, const tare_real *x, tare_real *y, bool log) {
    if (inner == 1) {
        for (int64_t i = begin; i < end; i += LANES) {
            int64_t count = end - i < LANES ? end - i : LANES;
            (k < LANES ? softmax_tile : softmax_rows)(x + i * k, k, count, y + i * k, log);
        }
    } else {
        for (int64_t i = begin; i < end;) {
            columns c = columns_from(i, end, k, inner);
            if (c.count == LANES) {
                softmax_columns(x + c.at, k, inner, LANES, y + c.at, log); /* a constant: whole vectors */
            } else {
                softmax_columns(x + c.at, k, inner, c.count, y + c.at, log);
            }
            i += c.count;
        }
    }
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

/* softmax:      dx = y (dy - sum_j y_j dy_j)
 * log-softmax:  dx = dy - e^y sum_j dy_j */

static void softmax_row_back(const tare_real *y, const tare_real *dy, int64_t k, tare_real *dx, bool add) {
    tare_real sum = 0;
    TARE_SIMD_SUM(sum)
    for (int64_t j = 0; j < k; j++) { sum += y[j] * dy[j]; }
    if (add) {
        TARE_SIMD
        for (int64_t j = 0; j < k; j++) { dx[j] += y[j] * (dy[j] - sum); }
    } else {
        TARE_SIMD
        for (int64_t j = 0; j < k; j++) { dx[j] = y[j] * (dy[j] - sum); }
    }
}

static inline void log_softmax_part(const tare_real *y, const tare_real *dy, int64_t begin, int64_t end, tare_real sum,
                                    tare_real *dx, bool add) {
    if (add) {
        V_SIMD
        for (int64_t j = begin; j < end; j++) { dx[j] += dy[j] - v_exp(y[j]) * sum; }
    } else {
        V_SIMD
        for (int64_t j = begin; j < end; j++) { dx[j] = dy[j] - v_exp(y[j]) * sum; }
    }
}

static void log_softmax_row_back(const tare_real *y, const tare_real *dy, int64_t k, tare_real *dx, bool add) {
    tare_real sum = 0;
    TARE_SIMD_SUM(sum)
    for (int64_t j = 0; j < k; j++) { sum += dy[j]; }
    int64_t whole = k / LANES * LANES;
    log_softmax_part(y, dy, 0, whole, sum, dx, add);
    if (whole == k) { return; }
    /* One vector costs less than a few single values: where nothing is added, some values are computed once more. */
    log_softmax_part(y, dy, add || k < LANES ? whole : k - LANES, k, sum, dx, add);
}

static inline void softmax_columns_back(const tare_real *y, const tare_real *dy, int64_t k, int64_t step, int64_t count,
                                        tare_real *dx, bool add, bool log) {
    tare_real sum[LANES] = { 0 };
    for (int64_t j = 0; j < k; j++) {
        TARE_SIMD
        for (int64_t l = 0; l < count; l++) { sum[l] += log ? dy[j * step + l] : y[j * step + l] * dy[j * step + l]; }
    }
    for (int64_t j = 0; j < k; j++) {
        V_SIMD
        for (int64_t l = 0; l < count; l++) {
            int64_t at = j * step + l;
            tare_real v = log ? dy[at] - v_exp(y[at]) * sum[l] : y[at] * (dy[at] - sum[l]);
            dx[at] = add ? dx[at] + v : v;
        }
    }
}

void TARE_K(softmax_back)(int64_t k, int64_t inner, int64_t begin, int64_t end, const tare_real *y, const tare_real *dy,
                          tare_real *dx, bool add, bool log) {
    if (inner == 1) {
        for (int64_t i = begin; i < end; i++) {
            (log ? log_softmax_row_back : softmax_row_back)(y + i * k, dy + i * k, k, dx + i * k, add);
        }
        return;
    }
    for (int64_t i = begin; i < end;) {
        columns c = columns_from(i, end, k, inner);
        if (c.count == LANES) {
            softmax_columns_back(y + c.at, dy + c.at, k, inner, LANES, dx + c.at, add, log);
        } else {
            softmax_columns_back(y + c.at, dy + c.at, k, inner, c.count, dx + c.at, add, log);
        }
        i += c.count;
    }
}
