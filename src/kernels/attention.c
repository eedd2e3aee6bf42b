/* attention.c - what attention does with a tile of scores between its matrix products. Query r of a tile sees the first
 * `seen + r * step` of its keys (within 0..cols), the others get probability 0. */
#include "softmax.h"

static inline int64_t visible(int64_t seen, int64_t cols) { return seen < 0 ? 0 : seen > cols ? cols : seen; }

static inline tare_real short_max(const tare_real *x, int64_t k) {
    tare_real max = x[0];
    for (int64_t j = 1; j < k; j++) { max = x[j] > max ? x[j] : max; }
    return max;
}

static inline tare_real short_exp(tare_real *x, int64_t k, tare_real max) {
    tare_real sum = 0;
    for (int64_t j = 0; j < k; j++) { sum += x[j] = v_exp(x[j] - max); }
    return sum;
}

void TARE_K(attention_exp)(int64_t rows, int64_t cols, int64_t seen, int64_t step, tare_real *s, tare_real *max,
                           tare_real *sum, tare_real *rescale) {
    for (int64_t r = 0; r < rows; r++, s += cols) {
        int64_t k = visible(seen + r * step, cols);
        for (int64_t j = k; j < cols; j++) { s[j] = 0; }
        rescale[r] = 1;
        if (k == 0) { continue; }
        tare_real most = k >= LANES ? row_max(s, k) : short_max(s, k);
        if (max[r] > most) {
            most = max[r];
        } else {
            rescale[r] = v_exp(max[r] - most);
        }
        tare_real added = k >= LANES ? row_exp(s, k, most, s) : short_exp(s, k, most);
        sum[r] = sum[r] * rescale[r] + added;
        max[r] = most;
    }
}

void TARE_K(attention_again)(int64_t rows, int64_t cols, int64_t seen, int64_t step, tare_real *s,
                             const tare_real *lse) {
    for (int64_t r = 0; r < rows; r++, s += cols) {
        int64_t k = visible(seen + r * step, cols);
        const tare_real norm = lse[r];
        V_SIMD
        for (int64_t j = 0; j < k; j++) { s[j] = v_exp(s[j] - norm); }
        for (int64_t j = k; j < cols; j++) { s[j] = 0; }
    }
}

void TARE_K(attention_back)(int64_t rows, int64_t cols, const tare_real *p, const tare_real *dot, const uint8_t *kept,
                            tare_real growth, tare_real scale, tare_real *dp) {
    for (int64_t r = 0; r < rows; r++, p += cols, dp += cols) {
        const tare_real mean = dot[r];
        if (kept) {
            const uint8_t *keep = kept + r * cols;
            TARE_SIMD
            for (int64_t j = 0; j < cols; j++) {
                tare_real d = keep[j] ? growth * dp[j] : 0;
                dp[j] = scale * p[j] * (d - mean);
            }
        } else {
            TARE_SIMD
            for (int64_t j = 0; j < cols; j++) { dp[j] = scale * p[j] * (dp[j] - mean); }
        }
    }
}

void TARE_K(row_dots)(int64_t rows, int64_t cols, const tare_real *a, int64_t a_step, const tare_real *b,
                      int64_t b_step, tare_real *dot) {
    for (int64_t r = 0; r < rows; r++, a += a_step, b += b_step) {
        tare_real sum = 0;
        TARE_SIMD_SUM(sum)
        for (int64_t j = 0; j < cols; j++) { sum += a[j] * b[j]; }
        dot[r] = sum;
    }
}

void TARE_K(row_scale)(int64_t rows, int64_t cols, const tare_real *factor, tare_real *x, int64_t step) {
    for (int64_t r = 0; r < rows; r++, x += step) {
        const tare_real f = factor[r];
        TARE_SIMD
        for (int64_t j = 0; j < cols; j++) { x[j] *= f; }
    }
}
