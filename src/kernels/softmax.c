/* softmax.c - softmax and log-softmax, forward and backward, over rows [begin, end); how they lie: softmax.h. */
#include "softmax.h"

/* ---- forward ----------------------------------------------------------------------------------------------------- */

/* Contiguous rows of LANES values or more. */
static void softmax_rows(const tare_real *x, int64_t k, int64_t count, tare_real *y, bool log) {
    tare_real max[LANES], sum[LANES];
    rows_exp(x, k, count, log ? NULL : y, max, sum);
    V_SIMD
    for (int64_t l = 0; l < count; l++) { sum[l] = log ? log_of_sum(sum[l]) : 1 / sum[l]; }
    for (int64_t l = 0; l < count; l++, x += k, y += k) {
        if (log) {
            TARE_SIMD
            for (int64_t j = 0; j < k; j++) { y[j] = x[j] - max[l] - sum[l]; }
        } else {
            TARE_SIMD
            for (int64_t j = 0; j < k; j++) { y[j] *= sum[l]; }
        }
    }
}

static inline void softmax_columns(const tare_real *x, int64_t k, int64_t step, int64_t count, tare_real *y, bool log) {
    tare_real max[COLUMNS], sum[COLUMNS];
    columns_exp(x, k, step, count, log ? NULL : y, max, sum);
    V_SIMD
    for (int64_t l = 0; l < count; l++) { sum[l] = log ? log_of_sum(sum[l]) : 1 / sum[l]; }
    for (int64_t j = 0; j < k; j++, x += step, y += step) {
        if (log) {
            TARE_SIMD
            for (int64_t l = 0; l < count; l++) { y[l] = x[l] - max[l] - sum[l]; }
        } else {
            TARE_SIMD
            for (int64_t l = 0; l < count; l++) { y[l] *= sum[l]; }
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
            softmax_columns(x + c.at, k, inner, c.count, y + c.at, log);
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

static void softmax_columns_back(const tare_real *y, const tare_real *dy, int64_t k, int64_t step, int64_t count,
                                 tare_real *dx, bool add) {
    tare_real sum[COLUMNS] = { 0 };
    for (int64_t j = 0; j < k; j++) {
        TARE_SIMD
        for (int64_t l = 0; l < count; l++) { sum[l] += y[j * step + l] * dy[j * step + l]; }
    }
    for (int64_t j = 0; j < k; j++, y += step, dy += step, dx += step) {
        if (add) {
            TARE_SIMD
            for (int64_t l = 0; l < count; l++) { dx[l] += y[l] * (dy[l] - sum[l]); }
        } else {
            TARE_SIMD
            for (int64_t l = 0; l < count; l++) { dx[l] = y[l] * (dy[l] - sum[l]); }
        }
    }
}

static void log_softmax_columns_back(const tare_real *y, const tare_real *dy, int64_t k, int64_t step, int64_t count,
                                     tare_real *dx, bool add) {
    tare_real sum[COLUMNS] = { 0 };
    for (int64_t j = 0; j < k; j++) {
        TARE_SIMD
        for (int64_t l = 0; l < count; l++) { sum[l] += dy[j * step + l]; }
    }
    for (int64_t j = 0; j < k; j++, y += step, dy += step, dx += step) {
        if (add) {
            V_SIMD
            for (int64_t l = 0; l < count; l++) { dx[l] += dy[l] - v_exp(y[l]) * sum[l]; }
        } else {
            V_SIMD
            for (int64_t l = 0; l < count; l++) { dx[l] = dy[l] - v_exp(y[l]) * sum[l]; }
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
        (log ? log_softmax_columns_back : softmax_columns_back)(y + c.at, dy + c.at, k, inner, c.count, dx + c.at, add);
        i += c.count;
    }
}
