/* conv_wino_lines.h - Winograd's transforms along one line, a vector of channels or filters at a time, for 2 and 3 taps.
 *
 * With the points p of conv_wino.h: inputs take the coefficients of the product of (x - q) over all other points q, weights their
 * value at p divided by that product at p, outputs and dy powers of p. Lines are read and written with any step. */
#ifndef TARE_CONV_WINO_LINES_H
#define TARE_CONV_WINO_LINES_H

#include "gemm_tile.h"

#define A  ((tare_real)0.75)
#define B  ((tare_real)1.5)
#define A2 ((tare_real)0.5625)
#define B2 ((tare_real)2.25)
#define A3 ((tare_real)0.421875)
#define B3 ((tare_real)3.375)

/* n inputs to n values. */
static ALWAYS_INLINE void line_in(const tare_real *d, int64_t step, tare_real *v, int64_t to, const int taps) {
    vec d0 = vec_load(d), d1 = vec_load(d + step), d2 = vec_load(d + 2 * step), d3 = vec_load(d + 3 * step);
    vec d4 = vec_load(d + 4 * step);
    if (taps == 3) {
        vec d5 = vec_load(d + 5 * step);
        vec even = d4 - d2 * B2, odd = (d3 - d1 * B2) * A;
        vec far_even = d4 - d2 * A2, far_odd = (d3 - d1 * A2) * B;
        vec_store(v, d4 - d2 * (A2 + B2) + d0 * (A2 * B2));
        vec_store(v + to, even + odd);
        vec_store(v + 2 * to, even - odd);
        vec_store(v + 3 * to, far_even + far_odd);
        vec_store(v + 4 * to, far_even - far_odd);
        vec_store(v + 5 * to, d5 - d3 * (A2 + B2) + d1 * (A2 * B2));
    } else {
        vec s0 = d1 - d0 * B, s1 = d2 - d1 * B, s2 = d3 - d2 * B, s3 = d4 - d3 * B;
        vec_store(v, s2 - s0 * A2);
        vec_store(v + to, s2 + s1 * A);
        vec_store(v + 2 * to, s2 - s1 * A);
        vec_store(v + 3 * to, d3 - d1 * A2);
        vec_store(v + 4 * to, s3 - s1 * A2);
    }
}

/* n values to 4 outputs, to each of which `more` is added. */
static ALWAYS_INLINE void line_out(const tare_real *m, int64_t step, tare_real *y, int64_t to, vec more,
                                   const int taps) {
    vec m0 = vec_load(m), m1 = vec_load(m + step), m2 = vec_load(m + 2 * step), m3 = vec_load(m + 3 * step);
    vec m4 = vec_load(m + 4 * step), even = m1 + m2, odd = m1 - m2;
    if (taps == 3) {
        vec far_even = m3 + m4, far_odd = m3 - m4;
        vec_store(y, m0 + even + far_even + more);
        vec_store(y + to, odd * A + far_odd * B + more);
        vec_store(y + 2 * to, even * A2 + far_even * B2 + more);
        vec_store(y + 3 * to, odd * A3 + far_odd * B3 + vec_load(m + 5 * step) + more);
    } else {
        vec_store(y, m0 + even + m3 + more);
        vec_store(y + to, odd * A + m3 * B + more);
        vec_store(y + 2 * to, even * A2 + m3 * B2 + more);
        vec_store(y + 3 * to, odd * A3 + m3 * B3 + m4 + more);
    }
}

/* 4 numbers of dy to n values: what line_out does, transposed. */
static ALWAYS_INLINE void line_dy(const tare_real *d, int64_t step, tare_real *v, int64_t to, const int taps) {
    vec d0 = vec_load(d), d1 = vec_load(d + step), d2 = vec_load(d + 2 * step), d3 = vec_load(d + 3 * step);
    vec even = d0 + d2 * A2, odd = d1 * A + d3 * A3, far_even = d0 + d2 * B2, far_odd = d1 * B + d3 * B3;
    vec_store(v, d0);
    vec_store(v + to, even + odd);
    vec_store(v + 2 * to, even - odd);
    vec_store(v + 3 * to, far_even + far_odd);
    if (taps == 3) {
        vec_store(v + 4 * to, far_even - far_odd);
        vec_store(v + 5 * to, d3);
    } else {
        vec_store(v + 4 * to, d3);
    }
}

/* 1 over the product of (p - q) over all other points q, at 0, 3/4, -3/4, 3/2. */
#define AT_0(taps)       ((tare_real)((taps) == 3 ? 64.0 / 81 : 32.0 / 27))
#define AT_A(taps)       ((tare_real)((taps) == 3 ? -128.0 / 243 : -32.0 / 27))
#define AT_MINUS_A(taps) ((tare_real)((taps) == 3 ? -128.0 / 243 : -32.0 / 81))
#define AT_B(taps)       ((tare_real)((taps) == 3 ? 32.0 / 243 : 32.0 / 81))

/* `taps` weights, of which the first `some` are there and the others are 0, to n values. */
static ALWAYS_INLINE void line_weight(const tare_real *g, int64_t step, int64_t some, tare_real *v, int64_t to,
                                      const int taps) {
    const vec zero = { 0 };
    vec g0 = some > 0 ? vec_load(g) : zero, g1 = some > 1 ? vec_load(g + step) : zero;
    if (taps == 3) {
        vec g2 = some > 2 ? vec_load(g + 2 * step) : zero;
        vec even = (g0 + g2 * A2) * AT_A(3), odd = g1 * (A * AT_A(3));
        vec far_even = (g0 + g2 * B2) * AT_B(3), far_odd = g1 * (B * AT_B(3));
        vec_store(v, g0 * AT_0(3));
        vec_store(v + to, even + odd);
        vec_store(v + 2 * to, even - odd);
        vec_store(v + 3 * to, far_even + far_odd);
        vec_store(v + 4 * to, far_even - far_odd);
        vec_store(v + 5 * to, g2);
    } else {
        vec_store(v, g0 * AT_0(2));
        vec_store(v + to, (g0 + g1 * A) * AT_A(2));
        vec_store(v + 2 * to, (g0 - g1 * A) * AT_MINUS_A(2));
        vec_store(v + 3 * to, (g0 + g1 * B) * AT_B(2));
        vec_store(v + 4 * to, g1);
    }
}

/* n sums to the gradients of the first `some` of `taps` weights: line_weight, transposed. */
static ALWAYS_INLINE void line_dw(const tare_real *s, int64_t step, tare_real *g, int64_t to, int64_t some,
                                  const int taps) {
    vec s0 = vec_load(s) * AT_0(taps), s1 = vec_load(s + step) * AT_A(taps);
    vec s2 = vec_load(s + 2 * step) * AT_MINUS_A(taps), s3 = vec_load(s + 3 * step) * AT_B(taps);
    vec s4 = vec_load(s + 4 * step), even = s1 + s2, odd = s1 - s2;
    if (taps == 3) {
        s4 *= AT_B(3);
        vec far_even = s3 + s4, far_odd = s3 - s4;
        vec_store(g, s0 + even + far_even);
        if (some > 1) { vec_store(g + to, odd * A + far_odd * B); }
        if (some > 2) { vec_store(g + 2 * to, even * A2 + far_even * B2 + vec_load(s + 5 * step)); }
    } else {
        vec_store(g, s0 + even + s3);
        if (some > 1) { vec_store(g + to, odd * A + s3 * B + s4); }
    }
}

#endif
