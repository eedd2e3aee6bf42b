/* vmath.h - exp, log1p, tanh, sigmoid and the normal distribution as straight-line code that vectorises in `omp simd`.
 *
 * Float: polynomials (coefficients from vmath_fit.py). Largest error in units in the last place, at every instruction-set level
 * (tests/test_vmath.c asserts these figures):
 *   v_exp, v_exp_neg 1.1   v_expm1 1.1   v_log1p 2.0   v_tanh 2.5   v_sigmoid 2.5 (x > -87)   v_normal_tail 6.5 + x^2 / 2
 * Double: the C library's functions; that build is the oracle, and speed is not its purpose.
 * NaN gives NaN; overflow gives Inf; e^x below 1.2e-38 to 2.5e-38, where floats lose bits, is 0. */
#ifndef TARE_VMATH_H
#define TARE_VMATH_H

#include <tare/core.h>

#ifdef TARE_F64

#include <math.h>

#define V_SIMD /* nothing: calls to the C library do not vectorise */

static inline double v_abs(double x) { return fabs(x); }
static inline double v_exp(double x) { return exp(x); }
static inline double v_exp_near(double x) { return exp(x); }
static inline double v_exp_neg(double x) { return exp(x); }
static inline double v_expm1(double x) { return expm1(x); }
static inline double v_log1p(double x) { return log1p(x); }
static inline double v_tanh(double x) { return tanh(x); }
static inline double v_normal_tail(double x, double e) {
    (void)e;
    return 0.5 * erfc(x * 0.70710678118654752440);
}

#else

#include <string.h>

#define V_SIMD _Pragma("omp simd")

static inline uint32_t v_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float v_from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline float v_abs(float x) { return v_from_bits(v_bits(x) & 0x7FFFFFFFu); }

/* x = n ln 2 + r with |r| <= ln 2 / 2; returns e^r - 1 and 2^(n + offset). For -126 <= n + offset <= 127; anything beyond. */
static inline float v_reduce(float x, float offset, float *scale) {
    const float round =
        0x1.8p23f + 127.0f; /* adding it rounds to an integer, which then stands, biased, in the low bits */
    float shifted = x * 1.442695041f + (round + offset);
    float whole = shifted - (round + offset);
    float r = x - whole * 0.693359375f; /* exact: ln 2 in two parts, the first of 9 bits */
    r = r + whole * 2.12194440e-4f;
    float p = 1.388252281e-3f;
    p = p * r + 8.366513937e-3f;
    p = p * r + 4.166719965e-2f;
    p = p * r + 0.1666654367f;
    p = p * r + 0.4999999816f;
    *scale = v_from_bits(v_bits(shifted) << 23);
    return r + r * r * p;
}

/* e^x */
static inline float v_exp(float x) {
    float half, p = v_reduce(x, -1.0f, &half);
    float y = 2.0f * (half * p + half); /* so that 2^128 is within reach */
    y = x > 88.7228394f ? v_from_bits(0x7F800000u) : y;
    return x < -86.6f ? 0.0f : y;
}

/* e^x for -87 <= x <= 0, in less time */
static inline float v_exp_near(float x) {
    float scale, p = v_reduce(x, 0.0f, &scale);
    return scale * p + scale;
}

/* e^x for x <= 0 */
static inline float v_exp_neg(float x) {
    float y = v_exp_near(x);
    return x < -87.3365402f ? 0.0f : y;
}

/* e^x - 1 for x <= 0, accurate near 0 */
static inline float v_expm1(float x) {
    x = x < -20.0f ? -20.0f : x; /* -1 */
    float scale, p = v_reduce(x, 0.0f, &scale);
    return scale * p + (scale - 1.0f);
}

/* log(1 + x) for 0 <= x <= 1:  log(1 + x) = 2 atanh(s),  s = x / (2 + x) */
static inline float v_log1p(float x) {
    float s = x / (2.0f + x), z = s * s;
    float q = 0.1401223204f;
    q = q * z + 0.1399956996f;
    q = q * z + 0.2001084957f;
    q = q * z + 0.3333320657f;
    return 2.0f * (s + s * z * q);
}

/* tanh|x| = |e / (e + 2)|,  e = exp(-2|x|) - 1;  the sign is put back */
static inline float v_tanh(float x) {
    float e = v_expm1(-2.0f * v_abs(x));
    return v_from_bits(v_bits(v_abs(e / (e + 2.0f))) | (v_bits(x) & 0x80000000u));
}

/* The chance that a standard normal variable exceeds x >= 0; `e` is exp(-x^2 / 2), which the caller mostly has. */
static inline float v_normal_tail(float x, float e) {
    float t = 1.0f / (1.0f + 0.34f * x);
    float q = -0.02612050529f;
    q = q * t + 0.1394996375f;
    q = q * t - 0.2731330376f;
    q = q * t + 0.202182994f;
    q = q * t - 0.04471865995f;
    q = q * t + 0.1153592438f;
    q = q * t + 0.1151976404f;
    q = q * t + 0.1361121989f;
    q = q * t + 0.1356205034f;
    return e * t * q;
}

#endif

/* 1 / (1 + e^-x) */
static inline tare_real v_sigmoid(tare_real x) { return 1 / (1 + v_exp(-x)); }

#endif
