/* glu.h - what the op and the kernel of gated linear units both know. */
#ifndef TARE_KERNELS_GLU_H
#define TARE_KERNELS_GLU_H

#include <tare/core.h>

/* y = value * act(gate), row by row. Values and gates are `step` apart from row to row, y and dy lie without gaps. */
typedef struct tare__glu {
    int kind; /* tare_glu_kind */
    int64_t cols, step;
    const tare_real *value, *gate;
    tare_real *y;
    const tare_real *dy;
    tare_real *dvalue, *dgate; /* steps as value and gate; either may be NULL */
    bool add_value, add_gate;
} tare__glu;

/* In the order of tare_glu_kind: name of the kind, act(g), its slope. */
#define TARE__GLU_KINDS(X)                                                                                             \
    X(glu, v_sigmoid(g), sigmoid_slope(g))                                                                             \
    X(swiglu, g *v_sigmoid(g), silu_slope(g))                                                                          \
    X(geglu, gelu(g), gelu_slope(g))                                                                                   \
    X(reglu, (g <= 0 ? 0 : g), (tare_real)(g <= 0 ? 0 : 1))                                                            \
    X(bilinear, g, (tare_real)1)

#endif
