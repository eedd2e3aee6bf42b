/* attention.c - what attention does with a tile of scores between its matrix products. Rows are `pitch` apart, a multiple of
 * LANES and at least cols; query r sees the first `seen + r * step` of the tile's keys (within 0..cols), the others get
 * probability 0, and so does what lies between cols and pitch. */
#include "gemm_pack.h"
#include "softmax.h"

#include <string.h>

static inline int64_t visible(int64_t seen, int64_t cols) { return seen < 0 ? 0 : seen > cols ? cols : seen; }

/* Row s of which k values are seen: how many to go through, in whole vectors. What fills the last one up gets no probability,
 * and the rest has none. */
static inline int64_t fill_up(tare_real *s, int64_t k, int64_t pitch) {
    int64_t whole = (k + LANES - 1) / LANES * LANES;
    for (int64_t j = k; j < whole; j++) { s[j] = -(tare_real)INFINITY; }
    for (int64_t j = whole; j < pitch; j++) { s[j] = 0; }
    return whole;
}

/* Rows are short, so LANES of them are reduced together: each one's lanes are a row of `lanes`, which is then turned round. */
static inline void turn_lanes(tare_real *lanes) {
    tare_real turned[LANES * LANES];
    for (int64_t r = 0; r < LANES; r += VL) {
        for (int64_t l = 0; l < LANES; l += VL) {
            transpose_rows(lanes + r * LANES + l, LANES, VL, VL, turned + l * LANES + r, LANES);
        }
    }
    memcpy(lanes, turned, sizeof turned);
}

static inline void lanes_max(const tare_real *s, int64_t n, tare_real *lanes) {
    for (int64_t l = 0; l < LANES; l++) { lanes[l] = -(tare_real)INFINITY; }
    for (int64_t j = 0; j < n; j += LANES) {
        TARE_SIMD
        for (int64_t l = 0; l < LANES; l++) { lanes[l] = s[j + l] > lanes[l] ? s[j + l] : lanes[l]; }
    }
}

static inline void lanes_exp(tare_real *s, int64_t n, tare_real max, tare_real *lanes) {
    for (int64_t l = 0; l < LANES; l++) { lanes[l] = 0; }
    for (int64_t j = 0; j < n; j += LANES) {
        V_SIMD
        for (int64_t l = 0; l < LANES; l++) { lanes[l] += s[j + l] = v_exp_neg(s[j + l] - max); }
    }
}

/* A row's largest value so far, and what its sums so far are to be multiplied with for that. */
static inline void raise_max(const tare_real *lanes, tare_real *max, tare_real *rescale) {
    V_SIMD
    for (int64_t r = 0; r < LANES; r++) {
        tare_real most = max[r];
        for (int64_t l = 0; l < LANES; l++) { most = lanes[l * LANES + r] > most ? lanes[l * LANES + r] : most; }
        rescale[r] = most > max[r] ? v_exp_neg(max[r] - most) : 1;
        max[r] = most;
    }
}

static inline void add_sums(const tare_real *lanes, const tare_real *rescale, tare_real *sum) {
    TARE_SIMD
    for (int64_t r = 0; r < LANES; r++) {
        tare_real more = 0;
        for (int64_t l = 0; l < LANES; l++) { more += lanes[l * LANES + r]; }
        sum[r] = sum[r] * rescale[r] + more;
    }
}

/* max, sum and rescale have room for a multiple of LANES rows. */
void TARE_K(attention_exp)(int64_t rows, int64_t cols, int64_t pitch, int64_t seen, int64_t step, tare_real *s,
                           tare_real *max, tare_real *sum, tare_real *rescale) {
    _Alignas(64) tare_real lanes[LANES * LANES] = { 0 };
    int64_t whole[LANES];
    for (int64_t first = 0; first < rows; first += LANES, s += LANES * pitch) {
        int64_t count = rows - first < LANES ? rows - first : LANES;
        for (int64_t r = 0; r < count; r++) {
            whole[r] = fill_up(s + r * pitch, visible(seen + (first + r) * step, cols), pitch);
            lanes_max(s + r * pitch, whole[r], lanes + r * LANES);
        }
        turn_lanes(lanes);
        raise_max(lanes, max + first, rescale + first);
        for (int64_t r = 0; r < count; r++) { lanes_exp(s + r * pitch, whole[r], max[first + r], lanes + r * LANES); }
        turn_lanes(lanes);
        add_sums(lanes, rescale + first, sum + first);
    }
}

void TARE_K(attention_again)(int64_t rows, int64_t cols, int64_t pitch, int64_t seen, int64_t step, tare_real *s,
                             const tare_real *lse) {
    for (int64_t r = 0; r < rows; r++, s += pitch) {
        int64_t whole = fill_up(s, visible(seen + r * step, cols), pitch);
        const tare_real all = lse[r];
        for (int64_t j = 0; j < whole; j += LANES) {
            V_SIMD
            for (int64_t l = 0; l < LANES; l++) { s[j + l] = v_exp_neg(s[j + l] - all); }
        }
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
