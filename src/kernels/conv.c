/* conv.c - correlation of one image as a product of the weights with an im2col matrix that is never made: the register
 * tiles read its rows straight from a padded copy of the image (conv_patch.h). */
#include "conv_patch.h"

enum {
    KC = 320,                   /* longest run of taps at a time */
    W_STEP = KC + 16,           /* from row to row of copied weights: no power of two */
    BAD_STRIDE = 1024,          /* bytes; rows a multiple of this apart fall into few cache sets and are copied */
    OUT_STEP = PATCH_FLAT + NR, /* from filter to filter of the flat outputs */
};

#define TILE_FNS(h)                                                                                                    \
    static void tile_##h##_1(const tile *t) { tile_run(t, h, 1, SIDE_ROWS, true); }                                    \
    static void tile_##h##_2(const tile *t) { tile_run(t, h, 2, SIDE_ROWS, true); }
#define TILE_ENTRY(h) { tile_##h##_1, tile_##h##_2 },
TILE_EACH_HEIGHT(TILE_FNS)
static const tile_fn tile_fns[MR][NV] = { TILE_EACH_HEIGHT(TILE_ENTRY) };

/* One filter's outputs from the flat run into y, gaps left out. */
static void put_filter(const tare__conv *c, const patch *p, const tare_real *from, int64_t filter, bool add) {
    tare_real *y = c->y + filter * c->y_plane + p->i0 * c->y_row + p->j0 * c->y_column;
    tare_real *end = y + (p->rows - 1) * c->y_row + p->columns;
    for (int64_t i = 0; i < p->rows; i++, y += c->y_row, from += p->row) {
        if (c->y_column != 1) {
            for (int64_t j = 0; j < p->columns; j++) {
                tare_real *to = y + j * c->y_column;
                *to = add ? *to + from[j] : from[j];
            }
        } else if (!add && c->y_row == p->columns && y + p->columns + VL <= end) {
            /* What runs over the end of this row is written over by the next. */
            for (int64_t j = 0; j < p->columns; j += VL) { vec_store(y + j, vec_load(from + j)); }
        } else {
            put_line(y, from, p->columns, add);
        }
    }
}

/* All filters' outputs of one patch, from `channels` channels starting with c0. */
static void run_patch(const tare__conv *c, const patch *p, const tare_real *in, int64_t c0, int64_t channels,
                      void *none) {
    (void)none;
    _Alignas(64) tare_real weight[MR * W_STEP];
    _Alignas(64) tare_real out[MR * OUT_STEP + VL];
    int64_t offsets[PATCH_TAPS], taps = c->taps_h * c->taps_w, k = channels * taps;
    int64_t strips = (c->filters + MR - 1) / MR, blocks = (k + KC - 1) / KC;
    bool copy = c->channels * taps * (int64_t)sizeof *weight % BAD_STRIDE == 0;
    patch_offsets(c, p, 0, k, offsets);
    for (int64_t n = 0; n < strips; n++) {
        int64_t m = piece(c->filters, strips, n), rows = piece(c->filters, strips, n + 1) - m;
        for (int64_t b = 0; b < blocks; b++) {
            int64_t q = piece(k, blocks, b);
            const tare_real *w = c->weight + m * c->channels * taps + c0 * taps + q;
            tile t = { .k = piece(k, blocks, b + 1) - q, .s = w, .s_step = c->channels * taps, .v_rows = offsets + q };
            t.alpha = 1;
            t.add = b > 0;
            t.bias_row = c->bias && c0 == 0 && b == 0 ? c->bias + m : NULL;
            t.c_step = OUT_STEP;
            if (copy) {
                for (int64_t i = 0; i < rows; i++) {
                    memcpy(weight + i * W_STEP, w + i * t.s_step, (size_t)t.k * sizeof *w);
                }
                t.s = weight;
                t.s_step = W_STEP;
            }
            for (int64_t f = 0; f < p->flat; f += NR) {
                t.v = in + f;
                t.c = out + f;
                tile_fns[rows - 1][p->flat - f > VL](&t);
            }
        }
        for (int64_t i = 0; i < rows; i++) { put_filter(c, p, out + i * OUT_STEP, m + i, c->add || c0 > 0); }
    }
}

/* One tap, no stride, no padding: the input's planes are the im2col matrix as they lie. */
static void run_matrix(const tare__conv *c, int64_t begin, int64_t end) {
    tare__gemm_block b = { .rows = c->filters, .columns = (end - begin) * c->out_w, .k = c->channels, .alpha = 1 };
    b.s = c->weight;
    b.s_step = c->channels;
    b.v = c->x + begin * c->width;
    b.v_step = c->height * c->width;
    b.r = c->y + begin * c->y_row;
    b.r_step = c->y_plane;
    b.add = c->add;
    b.bias_row = c->bias;
    TARE_K(gemm_block)(&b);
}

void TARE_K(conv)(const tare__conv *c, int64_t begin, int64_t end) {
    _Alignas(64) tare_real in[PATCH_SIZE + PATCH_SLACK];
    if (patch_is_matrix(c) && c->y_column == 1 && c->y_row == c->out_w) {
        run_matrix(c, begin, end);
    } else if (patch_cut_of(c, true, end - begin).rows == 0) {
        TARE_K(conv_plain)(c, begin, end);
    } else {
        patch_walk(c, true, begin, end, in, run_patch, NULL);
    }
}
