/* vact.h - activations of one value and their slopes, as straight-line code: for the activations and for gated units. */
#ifndef TARE_VACT_H
#define TARE_VACT_H

#include "vmath.h"

/* sigmoid(x), and its slope s (1 - s) without the cancellation in 1 - s */
static inline tare_real logistic(tare_real x, tare_real *slope) {
    tare_real e = v_exp_neg(-v_abs(x)), q = 1 / (1 + e);
    *slope = e * q * q;
    return x > 0 ? q : e * q;
}

static inline tare_real silu_slope(tare_real x) {
    tare_real slope, s = logistic(x, &slope);
    return s + x * slope;
}

/* x Phi(x) = max(x, 0) - |x| Phi(-|x|); beyond 13 the second term is below 1e-37, and |x| stays at 13: Inf times 0 is NaN */
static inline tare_real gelu(tare_real x) {
    tare_real size = v_abs(x);
    size = size < 13 ? size : 13;
    return (x < 0 ? 0 : x) - size * v_normal_tail(size, v_exp_near((tare_real)-0.5 * size * size));
}

static inline tare_real gelu_slope(tare_real x) {
    const tare_real peak = (tare_real)0.39894228040143267794; /* 1 / sqrt(2 pi) */
    tare_real e = v_exp_neg((tare_real)-0.5 * x * x), tail = v_normal_tail(v_abs(x), e);
    return (x < 0 ? tail : 1 - tail) + x * peak * e;
}

#endif
