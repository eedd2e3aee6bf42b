/* optim.c - the update of each optimizer over a stretch of the flat parameter block, and what clipping needs. */
#include "kernels.h"
#include "optim.h"

#include <math.h>

#ifdef TARE_F64
#define ROOT sqrt
#else
#define ROOT sqrtf
#endif

/* m + take (d - m), the weighted mean of m and d; written from the nearer end, so that take = 1 gives d itself. */
#define MIX(m, d, keep, take) ((take) < (tare_real)0.5 ? (m) + (take) * ((d) - (m)) : (d) - (keep) * ((d) - (m)))

void TARE_K(sgd)(tare_real *p, const tare_real *g, tare_real *b, int64_t n, const struct tare__sgd *k) {
    const tare__sgd c = *k;
    if (!b) {
        TARE_SIMD
        for (int64_t i = 0; i < n; i++) { p[i] -= c.lr * (c.scale * g[i] + c.l2 * p[i]); }
        return;
    }
    TARE_SIMD
    for (int64_t i = 0; i < n; i++) {
        tare_real d = c.scale * g[i] + c.l2 * p[i];
        b[i] = c.momentum * b[i] + c.take * d;
        p[i] -= c.lr * (c.nesterov ? d + c.momentum * b[i] : b[i]);
    }
}

static inline void adam_values(tare_real *p, const tare_real *g, tare_real *m, tare_real *v, int64_t n, tare__adam c) {
    TARE_SIMD
    for (int64_t i = 0; i < n; i++) {
        tare_real d = c.scale * g[i] + c.l2 * p[i];
        m[i] = MIX(m[i], d, c.beta1, c.take1);
        v[i] = c.beta2 * v[i] + c.take2 * d * d;
        p[i] = c.shrink * p[i] - c.rate * m[i] / (ROOT(v[i]) * c.unbias + c.eps);
    }
}

/* Four streams from the shared cache: processors read ahead within a page of memory only, so we do it ourselves. */
void TARE_K(adam)(tare_real *p, const tare_real *g, tare_real *m, tare_real *v, int64_t n, const struct tare__adam *k) {
    enum { LINE = 64 / (int)sizeof(tare_real), AHEAD = 8 * LINE };
    const tare__adam c = *k;
    int64_t i = 0;
    for (; i + AHEAD + LINE <= n; i += LINE) {
        tare__fetch(p + i + AHEAD, LINE);
        tare__fetch(g + i + AHEAD, LINE);
        tare__fetch(m + i + AHEAD, LINE);
        tare__fetch(v + i + AHEAD, LINE);
        adam_values(p + i, g + i, m + i, v + i, LINE, c);
    }
    adam_values(p + i, g + i, m + i, v + i, n - i, c);
}

/* Called with constants for the two flags, so that each of the four loops is free of branches. */
static inline void rmsprop_loop(tare_real *p, const tare_real *g, tare_real *s, tare_real *a, tare_real *b, int64_t n,
                                tare__rmsprop c, bool centered, bool momentum) {
    TARE_SIMD
    for (int64_t i = 0; i < n; i++) {
        tare_real d = c.scale * g[i] + c.l2 * p[i];
        s[i] = c.alpha * s[i] + c.take * d * d;
        tare_real square = s[i];
        if (centered) {
            a[i] = MIX(a[i], d, c.alpha, c.take);
            square -= a[i] * a[i];
            square = square < 0 ? 0 : square; /* by rounding; NaN stays NaN */
        }
        tare_real step = d / (ROOT(square) + c.eps);
        if (momentum) { step = b[i] = c.momentum * b[i] + step; }
        p[i] -= c.lr * step;
    }
}

void TARE_K(rmsprop)(tare_real *p, const tare_real *g, tare_real *s, tare_real *a, tare_real *b, int64_t n,
                     const struct tare__rmsprop *k) {
    if (a && b) {
        rmsprop_loop(p, g, s, a, b, n, *k, true, true);
    } else if (a) {
        rmsprop_loop(p, g, s, a, b, n, *k, true, false);
    } else if (b) {
        rmsprop_loop(p, g, s, a, b, n, *k, false, true);
    } else {
        rmsprop_loop(p, g, s, a, b, n, *k, false, false);
    }
}

double TARE_K(sum_squares)(const tare_real *x, int64_t n) {
    /* Four sums side by side: additions need not wait for each other. */
    int64_t q = n / 4;
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    const tare_real *x1 = x + q, *x2 = x1 + q, *x3 = x2 + q;
    TARE_SIMD_SUM(s0, s1, s2, s3)
    for (int64_t i = 0; i < q; i++) {
        s0 += (double)x[i] * (double)x[i];
        s1 += (double)x1[i] * (double)x1[i];
        s2 += (double)x2[i] * (double)x2[i];
        s3 += (double)x3[i] * (double)x3[i];
    }
    for (int64_t i = 4 * q; i < n; i++) { s0 += (double)x[i] * (double)x[i]; }
    return (s0 + s1) + (s2 + s3);
}

void TARE_K(multiply)(tare_real *x, int64_t n, tare_real factor) {
    TARE_SIMD
    for (int64_t i = 0; i < n; i++) { x[i] *= factor; }
}

void TARE_K(mix)(tare_real *a, const tare_real *b, int64_t n, tare_real keep, tare_real take) {
    TARE_SIMD
    for (int64_t i = 0; i < n; i++) { a[i] = MIX(a[i], b[i], keep, take); }
}
