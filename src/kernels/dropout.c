/* dropout.c - Philox bits for many blocks at once, and the masked scaling they decide. */
#include "kernels.h"

enum { LANES = 64 };

/* Blocks first .. first + LANES - 1 of `rng`: word[w][i] is word w of block first + i, as tare_rng_block gives it. */
static void philox(tare_rng rng, uint64_t first, uint32_t word[4][LANES]) {
    uint32_t *c0 = word[0], *c1 = word[1], *c2 = word[2], *c3 = word[3];
    uint32_t k0 = (uint32_t)rng.key, k1 = (uint32_t)(rng.key >> 32);
    TARE_SIMD for (int i = 0; i < LANES; i++) {
        uint64_t index = first + (uint64_t)i;
        uint32_t a = (uint32_t)index, b = (uint32_t)(index >> 32);
        uint32_t c = (uint32_t)rng.stream, d = (uint32_t)(rng.stream >> 32);
        uint32_t key0 = k0, key1 = k1;
        for (int round = 0; round < 10; round++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * a, p1 = (uint64_t)0xCD9E8D57u * c;
            a = (uint32_t)(p1 >> 32) ^ b ^ key0;
            b = (uint32_t)p1;
            c = (uint32_t)(p0 >> 32) ^ d ^ key1;
            d = (uint32_t)p0;
            key0 += 0x9E3779B9u;
            key1 += 0xBB67AE85u;
        }
        c0[i] = a, c1[i] = b, c2[i] = c, c3[i] = d;
    }
}

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
        philox(rng, (uint64_t)(at / 4), word);
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
