/* rotary.c - turn the pairs of each of `count` vectors, which lie one after the other, by the same angles. */
#include "kernels.h"

/* Pair i of a vector is x[i * step], x[i * step + apart]; turned the other way where sign is -1. */
static inline void turn(int64_t pairs, int64_t step, int64_t apart, const tare_real *cosine, const tare_real *sine,
                        tare_real sign, const tare_real *x, tare_real *y, bool add) {
    TARE_SIMD
    for (int64_t i = 0; i < pairs; i++) {
        const tare_real a = x[i * step], b = x[i * step + apart], s = sign * sine[i];
        const tare_real u = a * cosine[i] - b * s, v = b * cosine[i] + a * s;
        y[i * step] = add ? y[i * step] + u : u;
        y[i * step + apart] = add ? y[i * step + apart] + v : v;
    }
}

void TARE_K(rotary)(int64_t count, int64_t pairs, bool interleaved, const tare_real *cosine, const tare_real *sine,
                    tare_real sign, const tare_real *x, tare_real *y, bool add) {
    for (int64_t c = 0; c < count; c++, x += 2 * pairs, y += 2 * pairs) {
        if (interleaved) {
            turn(pairs, 2, 1, cosine, sine, sign, x, y, add);
        } else {
            turn(pairs, 1, pairs, cosine, sine, sign, x, y, add);
        }
    }
}
