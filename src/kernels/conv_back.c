/* conv_back.c - the gradient to the input of a correlation of stride 2, or that correlation's transpose: rows whole, both phases of
 * the columns at a time.
 *
 * Of dx every second number along a side meets the same taps. So four products, one for each phase of rows and columns, read one
 * patch of dy (conv_patch.h), with channels of dx along the vector as in conv_wide.c. Tiles of the columns' two phases are turned
 * round, put in turn and stored as pieces of rows. */
#include "conv_back.h"
#include "conv_tables.h"

bool TARE_K(conv_back_fits)(const tare__conv_back *b) {
    return patch_cut_of(&b->window, false, b->window.out_h).rows > 0;
}

/* A phase of dx: even or odd rows, even or odd columns. */
enum { PHASES = 4 };

/* Where the taps of each phase, and the outputs, lie in the patch. */
typedef struct job {
    const tare__conv_back *back;
    int64_t taps[PHASES][PATCH_TAPS], outputs[PATCH_FLAT];
} job;

static void tap_places(const patch *p, const tare__back_phase *rows, const tare__back_phase *columns, int64_t channels,
                       int64_t *places) {
    int64_t taps = rows->taps * columns->taps;
    for (int64_t n = 0; n < taps; n++) {
        int64_t i = rows->first + n / columns->taps * rows->dil, j = columns->first + n % columns->taps * columns->dil;
        places[n] = i * p->row + j;
    }
    for (int64_t n = taps; n < channels * taps; n++) { places[n] = places[n - taps] + p->channel; }
}

/* A piece of dx: `rows` pairs of rows of `some` numbers each, made from tiles in which each phase's row has `columns` outputs; the
 * last pair may lack its second row. */
typedef struct piece_of_dx {
    int64_t pairs, columns, rows, some;
    bool over; /* whole vectors may be stored: what lies behind is written later */
    bool add;
} piece_of_dx;

/* Both phases of a row's columns, in turn. */
static ALWAYS_INLINE void put_row(const tare_real *even, const tare_real *odd, const piece_of_dx *d, tare_real *to) {
    _Alignas(64) tare_real line[2 * MR_FULL + 16];
    for (int64_t j = 0; j < d->columns; j += VL) {
        tare_real *place = d->over ? to : line;
        vec e = vec_load(even + j), o = vec_load(odd + j);
        vec_store(place + 2 * j, low_of(e, o));
        if (2 * j + VL < d->some) { vec_store(place + 2 * j + VL, high_of(e, o)); }
    }
    if (!d->over) { put_line(to, line, d->some, d->add); }
}

/* Four tiles, one of each phase, for `filters` channels of dx. */
static void put_tiles(const tare__conv *c, tare_real (*tiles)[MR_FULL * NR], const piece_of_dx *d, int64_t filters,
                      tare_real *to) {
    _Alignas(64) tare_real turned[PHASES][NR * MR_FULL + VL];
    for (int n = 0; n < PHASES; n++) { turn_tile(tiles[n], turned[n]); }
    for (int64_t k = 0; k < filters; k++, to += c->y_plane) {
        for (int64_t i = 0; i < d->rows; i++) {
            const tare_real *even = turned[i % 2 * 2], *odd = turned[i % 2 * 2 + 1];
            int64_t from = k * MR_FULL + i / 2 * d->columns;
            put_row(even + from, odd + from, d, to + i * c->y_row);
        }
    }
}

/* Rows of dx from `channels` channels starting with c0, for the panel of dx's channels from k on. */
static void run_panel(const job *x, const patch *p, const tare_real *in, int64_t c0, int64_t channels, int64_t k) {
    _Alignas(64) tare_real out[PHASES][MR_FULL * NR], bias[NR] = { 0 };
    const tare__conv_back *b = x->back;
    const tare__conv *c = &b->window;
    int64_t filters = min64(NR, c->filters - k), width = b->columns[0].count + b->columns[1].count;
    int64_t height = min64(b->rows[0].count + b->rows[1].count, 2 * (p->i0 + p->rows));
    int64_t high = max64(1, MR / p->columns), pieces = (p->columns + MR - 1) / MR;
    tile t = { .s = in, .v_step = NR, .alpha = 1, .c_step = NR };
    if (c->bias && c0 == 0) {
        memcpy(bias, c->bias + k, (size_t)filters * sizeof *bias);
        t.bias_column = bias;
    }
    for (int64_t i = 0; i < p->rows; i += high) {
        for (int64_t n = 0; n < pieces; n++) {
            int64_t j = piece(p->columns, pieces, n), row = 2 * (p->i0 + i), column = 2 * (p->j0 + j);
            piece_of_dx d = { .pairs = min64(high, p->rows - i), .columns = piece(p->columns, pieces, n + 1) - j };
            d.rows = min64(2 * d.pairs, height - row);
            d.some = min64(2 * d.columns, width - column);
            d.add = c->add || c0 > 0;
            d.over = !d.add && p->columns == c->out_w && (pieces == 1 || n + 1 < pieces) &&
                     (row + d.rows - 1) * width + column + d.some + 2 * VL <= height * width;
            t.s_rows = x->outputs + i * p->columns + j;
            for (int phase = 0; phase < PHASES; phase++) {
                int64_t taps = b->rows[phase / 2].taps * b->columns[phase % 2].taps;
                t.k = channels * taps;
                t.s_columns = x->taps[phase];
                t.v = b->panels[phase / 2][phase % 2] + (k * c->channels + c0 * NR) * taps;
                t.c = out[phase];
                tile_fns[d.pairs * d.columns - 1][filters > VL](&t);
            }
            put_tiles(c, out, &d, filters, c->y + k * c->y_plane + row * c->y_row + column);
        }
    }
}

static void run_patch(const tare__conv *c, const patch *p, const tare_real *in, int64_t c0, int64_t channels,
                      void *context) {
    job *x = context;
    const tare__conv_back *b = x->back;
    patch_places(p, x->outputs);
    for (int n = 0; n < PHASES; n++) { tap_places(p, &b->rows[n / 2], &b->columns[n % 2], channels, x->taps[n]); }
    for (int64_t k = 0; k < c->filters; k += NR) { run_panel(x, p, in, c0, channels, k); }
}

void TARE_K(conv_back)(const tare__conv_back *b, int64_t begin, int64_t end) {
    _Alignas(64) tare_real in[PATCH_SIZE + PATCH_SLACK];
    job x;
    x.back = b;
    patch_walk(&b->window, false, begin, end, in, run_patch, &x);
}
