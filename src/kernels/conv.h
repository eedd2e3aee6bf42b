/* conv.h - one dense correlation: what the convolution kernels work on. */
#ifndef TARE_KERNELS_CONV_H
#define TARE_KERNELS_CONV_H

#include <tare/core.h>

/* tare__conv - one image, one group:
 *   y[k][i][j] (+)= bias[k] + sum over c, r, s of weight[k][c][r][s] x[c][i stride_h + r dil_h - pad_h][j stride_w + ...]
 * x is 0 outside [0, height) x [0, width); a pad may be negative. The gradient to x is made of such correlations too: of dy
 * with the weights turned round, one for each phase of the stride, whose results lie y_row and y_column apart. */
typedef struct tare__conv {
    int64_t channels, height, width;
    int64_t filters, out_h, out_w;
    int64_t taps_h, taps_w;
    int64_t stride_h, stride_w, pad_h, pad_w, dil_h, dil_w;
    const tare_real *x;      /* channels one after the other */
    const tare_real *x_end;  /* end of the tensor x lies in */
    const tare_real *weight; /* [filters][channels][taps_h][taps_w]; conv_wide: gemm_turn's panels of it */
    const tare_real *bias;   /* or NULL */
    tare_real *y;
    int64_t y_plane, y_row, y_column;
    bool add;
} tare__conv;

/* tare__conv_sums - where one image's share of the gradient to weight and bias is added up. */
typedef struct tare__conv_sums {
    const tare_real *dy; /* [filters][out_h][out_w] */
    tare_real *weight;   /* [channels][taps_h][taps_w][step]: the filters lie side by side */
    int64_t step;        /* filters, rounded up to whole vectors */
    double *bias;        /* [filters], or NULL */
} tare__conv_sums;

#endif
