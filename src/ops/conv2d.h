/* conv2d.h - the sizes of a convolution, shared by its forward and backward. */
#ifndef TARE_OPS_CONV2D_H
#define TARE_OPS_CONV2D_H

#include "common.h"

/* All sizes; c and k count the channels and filters of one group. */
typedef struct tare__conv2d {
    int64_t n, groups, c, h, w;
    int64_t k, oh, ow, r, s;
    int64_t stride_h, stride_w, pad_h, pad_w, dil_h, dil_w;
} tare__conv2d;

tare__conv2d tare__conv2d_of(const tare_node *n);

/* tare__conv2d_units - into how many pieces each image is cut so that a small batch serves several threads. */
typedef struct tare__conv2d_units {
    int64_t bands; /* of output rows */
    int64_t parts; /* of filters */
    int64_t grain; /* images x bands x parts for one chunk */
} tare__conv2d_units;

tare__conv2d_units tare__conv2d_units_of(int64_t images, int64_t rows, int64_t filters, double macs);

/* tare__piece - piece i of n things cut into `count` pieces as even as can be is [piece(i), piece(i + 1)). */
static inline int64_t tare__piece(int64_t n, int64_t count, int64_t i) {
    return n / count * i + tare__min(n % count, i);
}

/* conv2d_back.c */
size_t tare__conv2d_grad_scratch(const tare__conv2d *v, bool input, bool weight);
void tare__conv2d_backward(tare_node *n);

#endif
