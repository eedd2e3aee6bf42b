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

/* Weights [groups][filters][taps] as the panels that the kernel conv_wide reads: how many numbers, and from where to where. */
typedef struct tare__conv2d_panels {
    int64_t groups, filters, taps;
    const tare_real *from;
    tare_real *to;
} tare__conv2d_panels;

int64_t tare__conv2d_panels_size(int64_t groups, int64_t filters, int64_t taps);
void tare__conv2d_panels_fill(tare__conv2d_panels *p);
/* Where the panels of a group begin. */
const tare_real *tare__conv2d_panels_at(const tare_real *panels, int64_t group, int64_t filters, int64_t taps);

/* tare__conv2d_part - filters [begin, end) of part i: whole panels. */
typedef struct tare__conv2d_part {
    int64_t begin, end;
} tare__conv2d_part;

tare__conv2d_part tare__conv2d_part_of(int64_t filters, int64_t parts, int64_t i);

/* conv2d_back.c */
size_t tare__conv2d_grad_scratch(const tare__conv2d *v, bool input, bool weight);
void tare__conv2d_backward(tare_node *n);

#endif
