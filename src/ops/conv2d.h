/* conv2d.h - the sizes of a convolution and its three products, which conv2d and conv_transpose2d are made of. */
#ifndef TARE_OPS_CONV2D_H
#define TARE_OPS_CONV2D_H

#include "common.h"

/* All sizes; c and k count the channels and filters of one group. */
typedef struct tare__conv2d {
    int64_t n, groups, c, h, w;
    int64_t k, oh, ow, r, s;
    int64_t stride_h, stride_w, pad_h, pad_w, dil_h, dil_w;
} tare__conv2d;

/* tare__conv2d_steps - stride, pad, dilation and groups of these options, defaults filled in; all else 0. */
tare__conv2d tare__conv2d_steps(const tare_conv2d_opt *opt);
tare_status tare__conv2d_check_options(tare_node *n, const tare_conv2d_opt *opt);

/* tare__conv2d_conv - the correlation of one image and group; where its data lie is still to be filled in. */
tare__conv tare__conv2d_conv(const tare__conv2d *v);

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

/* ---- products ---------------------------------------------------------------------------------------------------- */

/* tare__conv2d_pass - a batch of images x [n][groups c][h][w] on one side, y [n][groups k][oh][ow] on the other, and the
 * weight [groups k][c][r][s] between them. `macs` are the multiply-adds of the whole. */
typedef struct tare__conv2d_pass {
    tare__conv2d v;
    const tare_real *from, *weight, *bias; /* bias: of what is computed, or NULL */
    tare_real *to;
    bool add; /* to what lies there; without a bias */
    double macs;
    void *scratch; /* as many bytes as the product's _scratch says; NULL where that is 0 */
} tare__conv2d_pass;

/* From x to y: the correlation itself. */
void tare__conv2d_ahead(const tare__conv2d_pass *p);
size_t tare__conv2d_ahead_scratch(const tare__conv2d *v);

/* conv2d_back.c. From y to x, what the correlation's transpose does: the gradient to its input. */
void tare__conv2d_back(const tare__conv2d_pass *p);
size_t tare__conv2d_back_scratch(const tare__conv2d *v);

/* conv2d_weight.c. tare__conv2d_sums - from x and y (its gradient) to the gradient of the weight, and of a bias on y unless db is NULL. */
typedef struct tare__conv2d_sums {
    tare__conv2d v;
    const tare_real *x, *y;
    tare_real *dw, *db;
    bool add_w, add_b;
    void *scratch;
} tare__conv2d_sums;

void tare__conv2d_weight(const tare__conv2d_sums *p);
size_t tare__conv2d_weight_scratch(const tare__conv2d *v);

/* conv2d_depth.c. One channel and few filters in each group, 3 x 3, stride 1 or 2: the three products, which take no scratch. */
bool tare__conv2d_is_depth(const tare__conv2d *v);
void tare__conv2d_depth_ahead(const tare__conv2d_pass *p);
void tare__conv2d_depth_back(const tare__conv2d_pass *p);
void tare__conv2d_depth_weight(const tare__conv2d_sums *p);

/* tare__conv2d_bias - sums over the batch of each plane: dy [images][filters][plane] to db [filters]. */
typedef struct tare__conv2d_bias {
    int64_t images, filters, plane;
    const tare_real *dy;
    tare_real *db;
    bool add;
} tare__conv2d_bias;

void tare__conv2d_bias_sum(tare__conv2d_bias *p);

#endif
