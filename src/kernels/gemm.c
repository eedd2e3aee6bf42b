/* gemm.c - a block of a matrix product on one thread, from register tiles.
 *
 * Packing costs as much as multiplying where a batch is small, so operands are read where they lie as far as that works:
 * copied only where many tiles will read the copy, or where rows a power of two apart would evict each other. */
#include "gemm_block.h"
#include "gemm_pack.h"

#include <string.h>

enum {
    KC = 320,                          /* longest run of k, so that a panel of V stays in L1 */
    S_STEP = KC + 16,                  /* from row to row of a copied S: no power of two */
    S_ROWS = 168,                      /* most rows of S in one go: whole tiles for MR 14, 12 and 6 */
    COPY_PANELS = 4,                   /* copy S where at least so many panels of V will meet it */
    COPY_ROWS = 64,                    /* copy V where at least so many rows of S will meet it */
    BAD_STRIDE = 2048,                 /* bytes; rows a multiple of this apart fall into few cache sets */
    MR_FULL = (MR + VL - 1) / VL * VL, /* rows of a tile that can be turned round as whole squares */
};

#define TILE_FNS(h)                                                                                                    \
    static void rows_##h##_1(const tile *t) { tile_run(t, h, 1, SIDE_ROWS, false); }                                   \
    static void rows_##h##_2(const tile *t) { tile_run(t, h, 2, SIDE_ROWS, false); }                                   \
    static void columns_##h##_1(const tile *t) { tile_run(t, h, 1, SIDE_COLUMNS, false); }                             \
    static void columns_##h##_2(const tile *t) { tile_run(t, h, 2, SIDE_COLUMNS, false); }
#define TILE_ENTRY(h) { { rows_##h##_1, rows_##h##_2 }, { columns_##h##_1, columns_##h##_2 } },
TILE_EACH_HEIGHT(TILE_FNS)
static const tile_fn tile_fns[MR][2][NV] = { TILE_EACH_HEIGHT(TILE_ENTRY) };

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* Piece i of n things cut into `count` pieces as even as can be: [piece(i), piece(i+1)). */
static int64_t piece(int64_t n, int64_t count, int64_t i) { return n / count * i + smaller(n % count, i); }

/* Rows [i0, i0+rows) x columns [j0, j0+columns) of R from a finished tile, line by line as R lies. */
static void tile_put(const tare__gemm_block *x, bool first, const tare_real *from, int64_t i0, int64_t rows, int64_t j0,
                     int64_t columns) {
    const tare_real *bias_line = first ? (x->r_columns ? x->bias_column : x->bias_row) : NULL;
    const tare_real *bias_along = first ? (x->r_columns ? x->bias_row : x->bias_column) : NULL;
    int64_t line0 = i0, lines = rows, along0 = j0, length = columns, step = NR;
    tare_real turned[NR * MR_FULL];
    if (x->r_columns) {
        line0 = j0, lines = columns, along0 = i0, length = rows, step = MR_FULL;
        for (int i = 0; i < MR_FULL; i += VL) {
            for (int j = 0; j < NR; j += VL) {
                transpose_square(from + i * NR + j, NR, VL, turned + j * MR_FULL + i, MR_FULL);
            }
        }
        from = turned;
    }
    for (int64_t l = 0; l < lines; l++, from += step) {
        tare_real *r = x->r + (line0 + l) * x->r_step + along0;
        if (x->add || !first) {
            for (int64_t e = 0; e < length; e++) { r[e] += from[e]; }
        } else {
            tare_real bias = bias_line ? bias_line[line0 + l] : 0;
            for (int64_t e = 0; e < length; e++) { r[e] = from[e] + bias + (bias_along ? bias_along[along0 + e] : 0); }
        }
    }
}

/* V's panel of `columns` <= NR columns from j on and `k` rows from p on, as it lies or copied to `room`; its row step. */
static const tare_real *panel_of(const tare__gemm_block *x, int64_t j, int64_t columns, int64_t p, int64_t k, bool copy,
                                 tare_real *room, int64_t *step) {
    int64_t width = columns > VL ? NR : VL;
    *step = width;
    if (x->v_columns) {
        for (int64_t c = 0; c < width; c += VL) {
            int64_t have = columns - c < VL ? columns - c : VL;
            transpose_rows(x->v + (j + c) * x->v_step + p, x->v_step, have > 0 ? have : 0, k, room + c, width);
        }
        return room;
    }
    const tare_real *from = x->v + p * x->v_step + j;
    if (columns == width && !copy) {
        *step = x->v_step;
        return from;
    }
    for (int64_t q = 0; q < k; q++, from += x->v_step) {
        if (columns == NR) {
            for (int c = 0; c < NR; c++) { room[q * NR + c] = from[c]; }
        } else {
            for (int64_t c = 0; c < width; c++) { room[q * width + c] = c < columns ? from[c] : 0; }
        }
    }
    return room;
}

/* All tiles of rows [i0, i1) in one panel. `s` is S at (i0, p). */
static void run_panel(const tare__gemm_block *x, tile t, int64_t i0, int64_t i1, int64_t j, int64_t columns,
                      bool first) {
    _Alignas(64) tare_real out[MR_FULL * NR];
    const tare_real *s = t.s;
    int64_t count = (i1 - i0 + MR - 1) / MR;
    bool direct = !x->r_columns && (columns == VL || columns == NR);
    t.alpha = x->alpha;
    t.add = direct && (x->add || !first);
    t.bias_column = direct && x->bias_column ? x->bias_column + j : NULL;
    for (int64_t n = 0; n < count; n++) {
        int64_t i = piece(i1 - i0, count, n), rows = piece(i1 - i0, count, n + 1) - i;
        t.s = s + (x->s_columns ? i : i * t.s_step);
        t.c = direct ? x->r + (i0 + i) * x->r_step + j : out;
        t.c_step = direct ? x->r_step : NR;
        t.bias_row = direct && x->bias_row ? x->bias_row + i0 + i : NULL;
        tile_fns[rows - 1][x->s_columns][columns > VL](&t);
        if (!direct) { tile_put(x, first, out, i0 + i, rows, j, columns); }
    }
}

void TARE_K(gemm_block)(const tare__gemm_block *x) {
    _Alignas(64) tare_real panel[KC * NR];
    _Alignas(64) tare_real copy[S_ROWS * S_STEP];
    int64_t row_pieces = (x->rows + S_ROWS - 1) / S_ROWS, k_pieces = (x->k + KC - 1) / KC;
    bool copy_s = !x->s_columns &&
                  (x->columns > (COPY_PANELS - 1) * NR || x->s_step * (int64_t)sizeof(tare_real) % BAD_STRIDE == 0);
    for (int64_t rp = 0; rp < row_pieces; rp++) {
        int64_t i0 = piece(x->rows, row_pieces, rp), i1 = piece(x->rows, row_pieces, rp + 1);
        for (int64_t kp = 0; kp < k_pieces; kp++) {
            int64_t p = piece(x->k, k_pieces, kp), k = piece(x->k, k_pieces, kp + 1) - p;
            tile t = { .k = k, .s = x->s + (x->s_columns ? p * x->s_step + i0 : i0 * x->s_step + p) };
            t.s_step = x->s_step;
            if (copy_s) {
                for (int64_t i = 0; i < i1 - i0; i++) {
                    memcpy(copy + i * S_STEP, t.s + i * x->s_step, (size_t)k * sizeof *copy);
                }
                t.s = copy, t.s_step = S_STEP;
            }
            for (int64_t j = 0; j < x->columns; j += NR) {
                int64_t columns = smaller(NR, x->columns - j);
                t.v = panel_of(x, j, columns, p, k, i1 - i0 >= COPY_ROWS, panel, &t.v_step);
                run_panel(x, t, i0, i1, j, columns, kp == 0);
            }
        }
    }
}
