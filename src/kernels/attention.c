/* attention.c - what attention does with a tile of scores between its matrix products. Rows are `pitch` apart, a multiple of
 * LANES and at least cols; query r sees the first `seen + r * step` of the tile's keys (within 0..cols), the others get
 * probability 0, and so does what lies between cols and pitch. */
#include "softmax.h"

static inline int64_t visible(int64_t seen, int64_t cols) { return seen < 0 ? 0 : seen > cols ? cols : seen; }

/* Whole vectors: what fills the last one up is never seen. */
static inline int64_t fill_up(tare_real *s, int64_t k) {
    int64_t whole = (k + LANES - 1) / LANES * LANES;
    for (int64_t j = k; j < whole; j++) { s[j] = -(tare_real)INFINITY; }
    return whole;
}

static inline tare_real exp_row(tare_real *s, int64_t n, tare_real max) {
    tare_real sum = 0;
    V_SIMD_SUM(sum)
    for (int64_t j = 0; j < n; j++) { sum += s[j] = v_exp_neg(s[j] - max); }
    return sum;
}

void TARE_K(attention_exp)(int64_t rows, int64_t cols, int64_t pitch, int64_t seen, int64_t step, tare_real *s,
                           tare_real *max, tare_real *sum, tare_real *rescale) {
    for (int64_t r = 0; r < rows; r++, s += pitch) {
        int64_t k = visible(seen + r * step, cols), whole = fill_up(s, k);
        for (int64_t j = whole; j < pitch; j++) { s[j] = 0; }
        rescale[r] = 1;
        if (k == 0) { continue; }
        tare_real most = row_max(s, whole);
        if (max[r] > most) {
            most = max[r];
        } else {
            rescale[r] = v_exp_neg(max[r] - most);
        }
        sum[r] = sum[r] * rescale[r] + exp_row(s, whole, most);
        max[r] = most;
    }
}

void TARE_K(attention_again)(int64_t rows, int64_t cols, int64_t pitch, int64_t seen, int64_t step, tare_real *s,
                             const tare_real *lse) {
    for (int64_t r = 0; r < rows; r++, s += pitch) {
        int64_t whole = fill_up(s, visible(seen + r * step, cols));
        exp_row(s, whole, lse[r]);
        for (int64_t j = whole; j < pitch; j++) { s[j] = 0; }
    }
}

void TARE_K(attention_back)(int64_t rows, int64_t cols, int64_t pitch, const tare_real *p, const tare_real *dot,
                            const uint8_t *kept, tare_real growth, tare_real scale, tare_real *dp) {
    for (int64_t r = 0; r < rows; r++, p += pitch, dp += pitch) {
        const tare_real mean = dot[r];
        if (kept) {
            const uint8_t *keep = kept + r * pitch;
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
