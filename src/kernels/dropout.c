/* dropout.c - Philox bits for many blocks at once, and the masked scaling they decide. */
#include "philox.h"

enum { LANES = TARE__PHILOX_BLOCKS };

/* One strip of at most LANES values and their words. */
static inline void drop(int64_t n, const uint32_t *word, uint32_t threshold, tare_real scale, const tare_real *x,
                        tare_real *y, uint8_t *kept) {
    TARE_SIMD for (int64_t i = 0; i < n; i++) { y[i] = word[i] < threshold ? 0 : x[i] * scale; }
    if (kept) {
        TARE_SIMD for (int64_t i = 0; i < n; i++) { kept[i] = word[i] >= threshold; }
    }
}

void TARE_K(dropout)(tare_rng rng, int64_t begin, int64_t end, uint32_t threshold, tare_real scale, const tare_real *x,
                     tare_real *y, uint8_t *kept) {
    uint32_t word[4][LANES];
    for (int64_t at = begin; at < end; at += 4 * LANES) {
        tare__philox_blocks(rng, (uint64_t)(at / 4), word);
        for (int64_t w = 0; w < 4; w++) {
            int64_t i = at + w * LANES, n = end - i < LANES ? end - i : LANES;
            if (n > 0) { drop(n, word[w], threshold, scale, x + i, y + i, kept ? kept + i : NULL); }
        }
    }
}

void TARE_K(dropout_back)(int64_t n, tare_real scale, const uint8_t *kept, const tare_real *dy, tare_real *dx,
                          bool add) {
    if (add) {
        TARE_SIMD for (int64_t i = 0; i < n; i++) { dx[i] += kept[i] ? dy[i] * scale : 0; }
    } else {
        TARE_SIMD for (int64_t i = 0; i < n; i++) { dx[i] = kept[i] ? dy[i] * scale : 0; }
    }
}
