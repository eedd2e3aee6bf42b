/* conv_back.h - the transpose of a correlation of stride 2: what its kernel and its caller agree on. */
#ifndef TARE_KERNELS_CONV_BACK_H
#define TARE_KERNELS_CONV_BACK_H

#include "conv.h"

/* Along one side, the numbers 0, 2, ... or 1, 3, ... of dx, `count` of them: number u meets tap t at first + t dil + u in the window's
 * reach. */
typedef struct tare__back_phase {
    int64_t taps, first, dil, count;
} tare__back_phase;

/* tare__conv_back - `window` is a correlation of dy, stride 1, so wide that it holds the taps of all phases, with out_h x out_w the
 * larger counts; its y is dx, its filters are channels of dx. `panels` are gemm_turn's of each phase's weights
 * [filters][channels][taps][taps]. */
typedef struct tare__conv_back {
    tare__conv window;
    tare__back_phase rows[2], columns[2];
    const tare_real *panels[2][2];
} tare__conv_back;

#endif
