/* gemm.c - a block of a matrix product on one thread, from register tiles.
 *
 * Packing costs as much as multiplying where a batch is small, so operands are read where they lie; V is copied only where
 * very many tiles will read the copy, and turned round where it lies the other way. */
#include "gemm_block.h"
#include "gemm_pack.h"

enum {
    KC = 512,     /* longest run of k: each run reads and writes C; a panel of V streams from L2 as fast as from L1 */
    S_ROWS = 112, /* most rows of S in one go: with the panels they fit L2 */
    PACK_ROWS = 256, /* copy V where at least so many rows of S will meet it */
    PANELS = 6,      /* most panels of V in one go */
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

/* Finished rows [i, i+rows) that do not lie in R as they were computed: turned round, or narrower than their vectors. */
static void put_rows(const tare__gemm_block *x, bool add, const tare_real *from, int64_t i, int64_t rows, int64_t j,
                     int64_t columns) {
    if (!x->r_columns) {
        for (int64_t l = 0; l < rows; l++) { put_line(x->r + (i + l) * x->r_step + j, from + l * NR, columns, add); }
        return;
    }
    _Alignas(64) tare_real turned[NR * VL];
    for (int64_t l = 0; l < rows; l += VL) {
        int64_t length = smaller(VL, rows - l);
        transpose_rows(from + l * NR, NR, length, NR, turned, VL);
        for (int64_t c = 0; c < columns; c++) {
            put_line(x->r + (j + c) * x->r_step + i + l, turned + c * VL, length, add);
        }
    }
}

/* V's columns [j, j+columns), columns <= NR, and rows [p, p+k), as a panel of its own: k rows of NR, zeros on the right. */
static void pack_panel(const tare__gemm_block *x, int64_t j, int64_t columns, int64_t p, int64_t k, tare_real *to) {
    if (x->v_columns) {
        for (int64_t c = 0; c < NR; c += VL) {
            int64_t have = columns - c > VL ? VL : columns - c;
            if (have > 0) { transpose_rows(x->v + (j + c) * x->v_step + p, x->v_step, have, k, to + c, NR); }
        }
        return;
    }
    const tare_real *from = x->v + p * x->v_step + j;
    for (int64_t q = 0; q < k; q++, from += x->v_step, to += NR) {
        if (columns == NR) {
            for (int v = 0; v < NV; v++) { vec_store(to + v * VL, vec_load(from + v * VL)); }
        } else {
            for (int64_t c = 0; c < NR; c++) { to[c] = c < columns ? from[c] : 0; }
        }
    }
}

/* Where the tiles find the panel at column j, rows from p on. */
static const tare_real *panel_of(const tare__gemm_block *x, int64_t j, int64_t p, int64_t k, bool pack, tare_real *room,
                                 int64_t *step) {
    int64_t columns = smaller(NR, x->columns - j);
    *step = NR;
    if (x->v_panel) { return x->v + j / NR * x->v_panel + p * NR; }
    if (pack || (columns != NR && columns != VL)) {
        pack_panel(x, j, columns, p, k, room);
        return room;
    }
    *step = x->v_step;
    return x->v + p * x->v_step + j;
}

/* One tile, all of its k: piece by piece, the sums between them in t->c. */
static void run_tile(const tare__gemm_block *x, const tile *t, int64_t pieces, tile_fn fn) {
    if (pieces == 1) {
        fn(t);
        return;
    }
    tile part = *t;
    for (int64_t q = 0; q < pieces; q++) {
        int64_t p = piece(t->k, pieces, q);
        part.k = piece(t->k, pieces, q + 1) - p;
        part.s = t->s + (x->s_columns ? p * t->s_step : p);
        part.v = t->v + p * t->v_step;
        fn(&part);
        part.add = true;
        part.bias_row = part.bias_column = NULL;
    }
}

/* All tiles of rows [i0, i1) in one panel. t.s is S at (i0, p). */
static void run_panel(const tare__gemm_block *x, tile t, int64_t pieces, int64_t i0, int64_t i1, int64_t j,
                      int64_t columns, bool first) {
    _Alignas(64) tare_real out[S_ROWS * NR], bias[NR];
    int64_t count = (i1 - i0 + MR - 1) / MR, least = (i1 - i0) / count, taller = (i1 - i0) % count;
    bool direct = !x->r_columns && (columns == VL || columns == NR), add = x->add || !first;
    t.alpha = x->alpha;
    t.add = direct && add;
    t.c = direct ? x->r + i0 * x->r_step + j : out;
    t.c_step = direct ? x->r_step : NR;
    t.bias_row = x->bias_row && first ? x->bias_row + i0 : NULL;
    if (x->bias_column && first) {
        for (int64_t c = 0; c < NR; c++) { bias[c] = c < columns ? x->bias_column[j + c] : 0; }
        t.bias_column = bias;
    }
    for (int64_t n = 0; n < count; n++) {
        int64_t rows = least + (n < taller);
        run_tile(x, &t, pieces, tile_fns[rows - 1][x->s_columns][columns > VL]);
        t.s += x->s_columns ? rows : rows * t.s_step;
        t.c += rows * t.c_step;
        t.bias_row += t.bias_row ? rows : 0;
    }
    if (!direct) { put_rows(x, add, out, i0, i1 - i0, j, columns); }
}

void TARE_K(gemm_block)(const tare__gemm_block *x) {
    _Alignas(64) tare_real panels[PANELS * KC * NR];
    int64_t row_pieces = (x->rows + S_ROWS - 1) / S_ROWS, k_pieces = (x->k + KC - 1) / KC;
    bool pack = x->v_columns || x->rows >= PACK_ROWS;
    /* Where each piece's tiles would be turned round: a tile goes through all of k first. */
    int64_t pieces = x->v_panel && x->r_columns ? k_pieces : 1;
    if (pieces > 1) { k_pieces = 1; }
    for (int64_t j0 = 0; j0 < x->columns; j0 += PANELS * NR) {
        int64_t j1 = smaller(j0 + PANELS * NR, x->columns);
        for (int64_t kp = 0; kp < k_pieces; kp++) {
            int64_t p = piece(x->k, k_pieces, kp), v_step[PANELS];
            tile t = { .k = piece(x->k, k_pieces, kp + 1) - p, .s_step = x->s_step };
            const tare_real *v[PANELS];
            for (int64_t j = j0, n = 0; j < j1; j += NR, n++) {
                v[n] = panel_of(x, j, p, t.k, pack, panels + n * KC * NR, &v_step[n]);
            }
            for (int64_t rp = 0; rp < row_pieces; rp++) {
                int64_t i0 = piece(x->rows, row_pieces, rp), i1 = piece(x->rows, row_pieces, rp + 1);
                t.s = x->s + (x->s_columns ? p * x->s_step + i0 : i0 * x->s_step + p);
                for (int64_t j = j0, n = 0; j < j1; j += NR, n++) {
                    t.v = v[n], t.v_step = v_step[n];
                    run_panel(x, t, pieces, i0, i1, j, smaller(NR, x->columns - j), kp == 0);
                }
            }
        }
    }
}

void TARE_K(gemm_turn)(const tare__gemm_block *x, int64_t j, tare_real *to) {
    pack_panel(x, j, smaller(NR, x->columns - j), 0, x->k, to);
}
