/* conv_depth.h - correlations of one plane with one 3 x 3 filter, which depthwise convolutions are made of. */
#ifndef TARE_KERNELS_CONV_DEPTH_H
#define TARE_KERNELS_CONV_DEPTH_H

#include <tare/core.h>

/* tare__depth - y[i][j] = sum over r, s of weight[r][s] x[i stride + r - pad_h][j stride + s - pad_w], x 0 outside; stride 1 or 2, pads
 * 0 to 2. */
typedef struct tare__depth {
    int64_t height, width, out_h, out_w; /* of x, of y */
    int64_t stride, pad_h, pad_w;
} tare__depth;

/* tare__plane - a plane of x or dy: it begins with number `first` of a tensor of `size` numbers, all of which may be read. */
typedef struct tare__plane {
    const tare_real *tensor;
    int64_t size, first;
} tare__plane;

/* tare__depth_sums - the planes of one channel in so many images, their first ones and what lies between them. */
typedef struct tare__depth_sums {
    tare__plane x, dy;
    int64_t images, x_step, dy_step;
} tare__depth_sums;

/* The widest x and y: places in a row are counted in tare_real. */
enum { TARE__DEPTH_WIDTH = 1 << 20 };

#endif
