/* conv_wide.c - correlation with the filters, not the outputs, side by side in a vector.
 *
 * Where rows are short the flat runs of conv.c lose much to their gaps (a 14 x 14 plane fills 7 panels of 32 with 196
 * outputs). Here a tile takes the plane's outputs one after the other, wherever tables say that the patch has them, so that
 * nothing in it is wasted and a stride costs nothing; the price is that it must be turned round on its way to y. The weights
 * come as panels of NR filters (gemm_turn). */
#include "conv_tables.h"

/* Roughly, in cycles: turning a tile round, per output and vector of filters; storing a row of conv.c's flat run. */
enum { TURN_COST = 12, ROW_COST = 8 };

bool TARE_K(conv_prefers_wide)(const tare__conv *c) {
    patch_cut cut = patch_cut_of(c, true, c->out_h);
    if (cut.rows == 0 || patch_cut_of(c, false, c->out_h).rows == 0) { return false; }
    patch p = patch_of(c, true, 0, cut.rows, 0, cut.columns);
    double k = (double)(c->channels * c->taps_h * c->taps_w), outputs = (double)(cut.rows * cut.columns);
    double flat = (double)c->filters * ((double)((p.flat + VL - 1) / VL) * k / 2 + (double)cut.rows * ROW_COST);
    double wide = (double)((c->filters + VL - 1) / VL) * outputs * (k / 2 + TURN_COST);
    return wide < flat;
}

/* A tile of `rows` outputs by `filters` filters into y; `to` is the first output of the first filter. `over`: whole vectors may be
 * stored, since what lies behind the tile is written after it. */
static void put_tile(const tare__conv *c, const tare_real *from, int64_t rows, int64_t filters, tare_real *to, bool add,
                     bool over) {
    _Alignas(64) tare_real turned[NR * MR_FULL];
    if (over && !add && filters % VL == 0) {
        for (int64_t k = 0; k < filters; k += VL) {
            for (int64_t j = 0; j < MR_FULL; j += VL) {
                transpose_square(from + j * NR + k, NR, VL, to + k * c->y_plane + j, c->y_plane);
            }
        }
        return;
    }
    turn_tile(from, turned);
    for (int64_t k = 0; k < filters; k++, to += c->y_plane) {
        const tare_real *line = turned + k * MR_FULL;
        if (c->y_column == 1) {
            put_line(to, line, rows, add);
        } else {
            for (int64_t j = 0; j < rows; j++) { to[j * c->y_column] = line[j] + (add ? to[j * c->y_column] : 0); }
        }
    }
}

/* Where the taps, and the outputs, of a patch lie in it. */
typedef struct tables {
    int64_t taps[PATCH_TAPS], outputs[PATCH_FLAT];
} tables;

/* All outputs of one patch from `channels` channels starting with c0, for the panel of filters from k on. */
static void run_panel(const tare__conv *c, const patch *p, const tare_real *in, const tables *at, int64_t c0,
                      int64_t channels, int64_t k) {
    _Alignas(64) tare_real out[MR_FULL * NR], bias[NR] = { 0 };
    int64_t taps = c->taps_h * c->taps_w, filters = min64(NR, c->filters - k);
    /* Rows of y without gaps are one row. */
    bool close = c->y_column == 1 && c->y_row == p->columns;
    int64_t lines = close ? 1 : p->rows, columns = p->rows * p->columns / lines;
    int64_t pieces = (columns + MR - 1) / MR, last = columns - MR_FULL;
    tile t = { .k = channels * taps, .s = in, .s_columns = at->taps, .v_step = NR, .alpha = 1, .c = out, .c_step = NR };
    t.v = c->weight + k * c->channels * taps + c0 * taps * NR;
    if (c->bias && c0 == 0) {
        memcpy(bias, c->bias + k, (size_t)filters * sizeof *bias);
        t.bias_column = bias;
    }
    for (int64_t i = 0; i < lines; i++) {
        tare_real *y = c->y + k * c->y_plane + (p->i0 + i) * c->y_row + p->j0 * c->y_column;
        for (int64_t n = 0; n < pieces; n++) {
            int64_t j = piece(columns, pieces, n), rows = piece(columns, pieces, n + 1) - j;
            t.s_rows = at->outputs + i * columns + j;
            tile_fns[rows - 1][filters > VL](&t);
            put_tile(c, out, rows, filters, y + j * c->y_column, c->add || c0 > 0, close && j <= last);
        }
    }
}

static void run_patch(const tare__conv *c, const patch *p, const tare_real *in, int64_t c0, int64_t channels,
                      void *none) {
    (void)none;
    tables at;
    patch_offsets(c, p, 0, channels * c->taps_h * c->taps_w, at.taps);
    patch_places(p, at.outputs);
    for (int64_t k = 0; k < c->filters; k += NR) { run_panel(c, p, in, &at, c0, channels, k); }
}

void TARE_K(conv_wide)(const tare__conv *c, int64_t begin, int64_t end) {
    _Alignas(64) tare_real in[PATCH_SIZE + PATCH_SLACK];
    patch_walk(c, false, begin, end, in, run_patch, NULL);
}
