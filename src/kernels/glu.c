/* glu.c - gated linear units: y = value * act(gate), rows [begin, end), and both gradients in one pass. */
#include "glu.h"
#include "kernels.h"
#include "vact.h"

static inline tare_real sigmoid_slope(tare_real x) {
    tare_real slope;
    logistic(x, &slope);
    return slope;
}

#define KIND(name, act, slope)                                                                                         \
    static void forward_##name(int64_t n, const tare_real *value, const tare_real *gate, tare_real *y) {               \
        V_SIMD for (int64_t i = 0; i < n; i++) {                                                                       \
            const tare_real g = gate[i];                                                                               \
            y[i] = value[i] * (act);                                                                                   \
        }                                                                                                              \
    }                                                                                                                  \
    static void value_##name(int64_t n, const tare_real *gate, const tare_real *dy, tare_real *dvalue, bool add) {     \
        if (add) {                                                                                                     \
            V_SIMD for (int64_t i = 0; i < n; i++) {                                                                   \
                const tare_real g = gate[i];                                                                           \
                dvalue[i] += dy[i] * (act);                                                                            \
            }                                                                                                          \
        } else {                                                                                                       \
            V_SIMD for (int64_t i = 0; i < n; i++) {                                                                   \
                const tare_real g = gate[i];                                                                           \
                dvalue[i] = dy[i] * (act);                                                                             \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    static void gate_##name(int64_t n, const tare_real *value, const tare_real *gate, const tare_real *dy,             \
                            tare_real *dgate, bool add) {                                                              \
        (void)gate;                                                                                                    \
        if (add) {                                                                                                     \
            V_SIMD for (int64_t i = 0; i < n; i++) {                                                                   \
                const tare_real g = gate[i];                                                                           \
                (void)g;                                                                                               \
                dgate[i] += dy[i] * value[i] * (slope);                                                                \
            }                                                                                                          \
        } else {                                                                                                       \
            V_SIMD for (int64_t i = 0; i < n; i++) {                                                                   \
                const tare_real g = gate[i];                                                                           \
                (void)g;                                                                                               \
                dgate[i] = dy[i] * value[i] * (slope);                                                                 \
            }                                                                                                          \
        }                                                                                                              \
    }

TARE__GLU_KINDS(KIND)

void TARE_K(glu)(const tare__glu *x, int64_t begin, int64_t end) {
#define FORWARD(name, act, slope) forward_##name,
    void (*const forward[])(int64_t, const tare_real *, const tare_real *, tare_real *) = { TARE__GLU_KINDS(FORWARD) };
    for (int64_t r = begin; r < end; r++) {
        forward[x->kind](x->cols, x->value + r * x->step, x->gate + r * x->step, x->y + r * x->cols);
    }
}

void TARE_K(glu_back)(const tare__glu *x, int64_t begin, int64_t end) {
#define VALUE(name, act, slope) value_##name,
#define GATE(name, act, slope)  gate_##name,
    void (*const value[])(int64_t, const tare_real *, const tare_real *, tare_real *,
                          bool) = { TARE__GLU_KINDS(VALUE) };
    void (*const gate[])(int64_t, const tare_real *, const tare_real *, const tare_real *, tare_real *,
                         bool) = { TARE__GLU_KINDS(GATE) };
    for (int64_t r = begin; r < end; r++) {
        const tare_real *dy = x->dy + r * x->cols;
        int64_t at = r * x->step;
        if (x->dvalue) { value[x->kind](x->cols, x->gate + at, dy, x->dvalue + at, x->add_value); }
        if (x->dgate) { gate[x->kind](x->cols, x->value + at, x->gate + at, dy, x->dgate + at, x->add_gate); }
    }
}
