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

/* The widest x and y: some rows of either must fit on the stack. */
enum { TARE__DEPTH_WIDTH = 4096 };

#endif
