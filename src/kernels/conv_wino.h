/* conv_wino.h - convolution by Winograd's minimal filtering: what its kernels and their callers agree on.
 *
 * Outputs are made in tiles of 4 x 4 from n x n inputs, n = 3 + taps: with polynomials in place of sums, a tile takes n^2
 * products of numbers (36 for 3 x 3, 25 for 2 x 2) where the sum as written takes 16 taps^2 (144, 64). Input, weights and output
 * are transformed before and after; between, for each of the n^2 positions, is a plain product [tiles, channels] x [channels,
 * filters]. The polynomials are evaluated at 0, +-3/4, +-3/2 (3/2 for 2 x 2) and infinity, which keeps the rounding error at
 * about twice that of the plain sum (docs/kernels.md).
 * Either tiles are transformed, multiplied and transformed back a block at a time, with the weights of all filters laid down
 * before ("panels"); or, where tiles are few and weights many, all tiles first and then the weights of a panel of filters at
 * a time, which stay in the thread's own cache ("whole").
 *   Winograd 1980, Arithmetic Complexity of Computations; Lavin & Gray 2016, arXiv:1509.09308 */
#ifndef TARE_KERNELS_CONV_WINO_H
#define TARE_KERNELS_CONV_WINO_H

#include <tare/core.h>

/* tare__wino - a batch of correlations of stride 1, taps x taps (2 or 3); or of stride 2, 2 taps x 2 taps, which is one of
 * stride 1 over the four phases of the input. */
typedef struct tare__wino {
    int64_t taps, stride;
    int64_t images, channels, height, width, filters, out_h, out_w, pad_h, pad_w;
    int64_t pitch;         /* channels of all phases, rounded up to whole vectors: [vector of channels][phase][lane] */
    int64_t blocks, parts; /* of the tiles of the batch, of the panels of filters */
    const tare_real *x, *x_end;
    int64_t x_image; /* from image to image */
    /* whole */
    bool whole;
    int64_t chunk; /* channels whose weights are transformed at a time: whole vectors, or all */
    tare_real *v,
        *dv; /* transformed tiles of x: [n^2][tiles][pitch], and of dy: [n^2][tiles][part], a line between positions */
    /* weights: tap (i, j) of phase (a, b), filter k and channel c is weight[k w_filter + c w_channel + w_first + i w_row +
     * j w_column + a w_side + b]; for each pair w_size numbers lie together */
    const tare_real *weight, *weight_end;
    int64_t w_filter, w_channel, w_first, w_row, w_column, w_side, w_size;
    int64_t taps_h, taps_w; /* how many there are, all phases counted; the others are 0 */
    /* from x to y */
    const tare_real
        *panels; /* the transformed weights: [panel][n^2][pitch][2 vectors of filters], a line between positions */
    const tare_real *bias; /* or NULL */
    tare_real *y;
    int64_t y_image, y_plane, y_row, y_column;
    bool add;
    /* from x and dy to the weight; dy is [images][filters][out_h][out_w] */
    const tare_real *dy, *dy_end;
    tare_real *sums;   /* [shares][part][n^2][pitch][filters of a part], a line between positions */
    int64_t shares;    /* of the blocks */
    int64_t part;      /* filters of a part, whole panels; whole: all, in whole vectors */
    double *bias_sums; /* [shares][filters of all parts], or NULL */
} tare__wino;

enum {
    TARE__WINO_TILE = 4,                                /* outputs along each side of a tile */
    TARE__WINO_IN = (1 << 20) / sizeof(tare_real),      /* numbers of transformed input, */
    TARE__WINO_OUT = 66 << 10,                          /* and of a panel's products, at a time */
    TARE__WINO_LINE = 16,                               /* between positions, against a power of two */
    TARE__WINO_TILES = 56,                              /* most tiles at a time */
    TARE__WINO_WEIGHTS = (1 << 19) / sizeof(tare_real), /* numbers of a panel's transformed weights at a time, whole */
    TARE__WINO_MOST_TAPS = 36,                          /* most weights of a filter and channel, w_size */
};

static inline int64_t tare__wino_n(const tare__wino *w) { return w->taps + TARE__WINO_TILE - 1; }
static inline int64_t tare__wino_across(int64_t out) { return (out + TARE__WINO_TILE - 1) / TARE__WINO_TILE; }
static inline int64_t tare__wino_tiles(const tare__wino *w) {
    return w->images * tare__wino_across(w->out_h) * tare__wino_across(w->out_w);
}

/* Positions on both sides. */
static inline int64_t tare__wino_positions(const tare__wino *w) { return tare__wino_n(w) * tare__wino_n(w); }

/* tare__wino_step - from position to position in panels and sums that are `width` filters wide. */
static inline int64_t tare__wino_step(const tare__wino *w, int64_t width) { return w->pitch * width + TARE__WINO_LINE; }

/* tare__wino_weights - w's weights to panels, or sums to the gradient of weights [filters][channels][taps stride][taps stride]. */
typedef struct tare__wino_weights {
    const tare__wino *w;
    const tare_real *from; /* sums */
    tare_real *to;
    bool add;
} tare__wino_weights;

/* Channels that a unit of tare__wino_weights takes of one vector of filters. */
enum { TARE__WINO_CHANNELS = 16 };

#endif
