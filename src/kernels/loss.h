/* loss.h - what the cross-entropy kernels work on. */
#ifndef TARE_KERNELS_LOSS_H
#define TARE_KERNELS_LOSS_H

#include <tare/core.h>

/* Rows lie as softmax.h says: value j of row i at [i / inner][j][i % inner]. */
typedef struct tare__cross_entropy {
    int64_t k, inner;
    const tare_real *x; /* logits; forward alone */
    const int32_t *target;
    int32_t ignore;
    tare_real smoothing;
    /* kept for backward, or both NULL: e^(x - max), laid out as x, and 1 over their sum, one per row */
    tare_real *e, *inverse;
} tare__cross_entropy;

#endif
