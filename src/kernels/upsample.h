/* upsample.h - where the values of a resized plane come from. */
#ifndef TARE_KERNELS_UPSAMPLE_H
#define TARE_KERNELS_UPSAMPLE_H

#include <tare/core.h>

/* Along one dimension: output i is (1 - weight[i]) x[low[i]] + weight[i] x[high[i]]; nearest looks at low alone. */
typedef struct tare__taps {
    const int32_t *low, *high;
    const tare_real *weight;
} tare__taps;

typedef struct tare__upsample {
    int64_t h, w, oh, ow;
    tare__taps rows, cols;
} tare__upsample;

#endif
