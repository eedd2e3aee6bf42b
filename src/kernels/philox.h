/* philox.h - Philox4x32-10 for many blocks at once, for kernels that draw as they go; src/core/rng.c has it plain. */
#ifndef TARE_PHILOX_H
#define TARE_PHILOX_H

#include "kernels.h"

enum { TARE__PHILOX_BLOCKS = 64 };

/* Blocks first .. first + 63 of `rng`: word[w][i] is word w of block first + i, as tare_rng_block gives it. */
static inline void tare__philox_blocks(tare_rng rng, uint64_t first, uint32_t word[4][TARE__PHILOX_BLOCKS]) {
    uint32_t *c0 = word[0], *c1 = word[1], *c2 = word[2], *c3 = word[3];
    uint32_t k0 = (uint32_t)rng.key, k1 = (uint32_t)(rng.key >> 32);
    TARE_SIMD for (int i = 0; i < TARE__PHILOX_BLOCKS; i++) {
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

#endif
