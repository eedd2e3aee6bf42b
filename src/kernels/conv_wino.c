/* conv_wino.c - Winograd's minimal filtering from x to y. */
#include "conv_wino_strip.h"
#include "conv_wino_weights.h"

#define TILE_FNS(h)                                                                                                    \
    static void rows_##h##_1(const tile *t) { tile_run(t, h, 1, SIDE_ROWS, false); }                                   \
    static void rows_##h##_2(const tile *t) { tile_run(t, h, 2, SIDE_ROWS, false); }
#define ROWS_ENTRY(h) { rows_##h##_1, rows_##h##_2 },
TILE_EACH_HEIGHT(TILE_FNS)
static const tile_fn rows_fns[MR][NV] = { TILE_EACH_HEIGHT(ROWS_ENTRY) };

/* Rows of outputs, [columns][VL filters], to `filters` planes: `to` is the first one's first output. */
static ALWAYS_INLINE void put_row(const tare__wino *w, const tare_real *from, int64_t filters, int64_t columns,
                                  tare_real *to) {
    _Alignas(64) tare_real turned[VL * VL];
    for (int64_t j = 0; j < columns; j += VL, from += VL * VL, to += VL * w->y_column) {
        int64_t some = min64(VL, columns - j);
        if (some == VL && filters == VL && w->y_column == 1 && !w->add) {
            transpose_square(from, VL, VL, to, w->y_plane);
            continue;
        }
        transpose_square(from, VL, VL, turned, VL);
        for (int64_t k = 0; k < filters; k++) {
            tare_real *y = to + k * w->y_plane;
            if (w->y_column == 1) {
                put_line(y, turned + k * VL, some, w->add);
                continue;
            }
            for (int64_t e = 0; e < some; e++) {
                y[e * w->y_column] = turned[k * VL + e] + (w->add ? y[e * w->y_column] : 0);
            }
        }
    }
}

/* A strip's products m[position][tile][NR filters] to y, VL filters from k on. */
static ALWAYS_INLINE void strip_out(const tare__wino *w, const tare_real *m, int64_t step, int64_t k, const strip *s,
                                    const int taps) {
    _Alignas(64) tare_real half[TILE * HALF_ROWS * VL], y[TILE * STRIP_COLUMNS * VL], bias[VL] = { 0 };
    const int n = TILE + taps - 1;
    int64_t filters = min64(VL, w->filters - k);
    if (w->bias) { memcpy(bias, w->bias + k, (size_t)filters * sizeof *bias); }
    for (int64_t t = 0; t < s->count; t++, m += NR) {
        for (int64_t j = 0; j < n; j++) {
            line_out(m + j * step, n * step, half + j * VL, HALF_ROWS * VL, (vec){ 0 }, taps);
        }
        for (int64_t i = 0; i < TILE; i++) {
            line_out(half + i * HALF_ROWS * VL, VL, y + (i * STRIP_COLUMNS + t * TILE) * VL, VL, vec_load(bias), taps);
        }
    }
    int64_t rows = min64(TILE, w->out_h - s->i * TILE), columns = min64(s->count * TILE, w->out_w - s->j * TILE);
    tare_real *to = w->y + s->image * w->y_image + k * w->y_plane;
    for (int64_t i = 0; i < rows; i++) {
        put_row(w, y + i * STRIP_COLUMNS * VL, filters, columns,
                to + (s->i * TILE + i) * w->y_row + s->j * TILE * w->y_column);
    }
}

/* Transformed tiles, [position][tile][w->pitch], and weights, [position][channels of all phases][NR], from some channel on. */
typedef struct product {
    const tare_real *in, *weights;
    int64_t in_step, weight_step; /* from position to position */
    int64_t depth;                /* channels of all phases */
    int64_t tiles;
    bool wide, add; /* two vectors of filters; to what lies there */
} product;

/* out[position][tile][NR], from position to position out_step. */
static ALWAYS_INLINE void multiply(const tare__wino *w, const product *x, tare_real *out, int64_t out_step,
                                   const int taps) {
    const int positions = (TILE + taps - 1) * (TILE + taps - 1);
    int64_t strips = (x->tiles + MR - 1) / MR;
    for (int64_t p = 0; p < positions; p++) {
        tile t = { .k = x->depth, .s_step = w->pitch, .v_step = NR, .alpha = 1, .add = x->add, .c_step = NR };
        t.v = x->weights + p * x->weight_step;
        for (int64_t n = 0; n < strips; n++) {
            int64_t i = piece(x->tiles, strips, n), rows = piece(x->tiles, strips, n + 1) - i;
            t.s = x->in + p * x->in_step + i * w->pitch;
            t.c = out + p * out_step + i * NR;
            rows_fns[rows - 1][x->wide](&t);
        }
    }
}

/* The products of tiles [begin, end) for the panel of filters from k on, to y. */
static ALWAYS_INLINE void tiles_out(const tare__wino *w, int64_t begin, int64_t end, int64_t k, const tare_real *out,
                                    int64_t step, const int taps) {
    for (int64_t t = begin; t < end;) {
        strip s = strip_at(w, t, end);
        for (int64_t v = 0; v < NR && k + v < w->filters; v += VL) {
            strip_out(w, out + (t - begin) * NR + v, step, k + v, &s, taps);
        }
        t += s.count;
    }
}

static inline int64_t out_step_of(int64_t tiles) { return tiles * NR + TARE__WINO_LINE; }

/* ---- a block of tiles at a time ---------------------------------------------------------------------------------- */

static ALWAYS_INLINE void units_out(const tare__wino *w, int64_t begin, int64_t end, const int taps) {
    _Alignas(64) tare_real in[TARE__WINO_IN], out[TARE__WINO_OUT];
    int64_t all = tare__wino_tiles(w), panels = (w->filters + NR - 1) / NR;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t block = unit / w->parts, part = unit % w->parts;
        int64_t t0 = piece(all, w->blocks, block), t1 = piece(all, w->blocks, block + 1);
        product x = { .in = in, .in_step = (t1 - t0) * w->pitch + TARE__WINO_LINE, .tiles = t1 - t0 };
        x.weight_step = tare__wino_step(w, NR);
        x.depth = w->pitch;
        tiles_in(w, t0, t1, in, x.in_step, taps);
        for (int64_t p = piece(panels, w->parts, part); p < piece(panels, w->parts, part + 1); p++) {
            x.weights = w->panels + p * tare__wino_positions(w) * x.weight_step;
            x.wide = w->filters - p * NR > VL;
            multiply(w, &x, out, out_step_of(x.tiles), taps);
            tiles_out(w, t0, t1, p * NR, out, out_step_of(x.tiles), taps);
        }
    }
}

void TARE_K(wino)(const tare__wino *w, int64_t begin, int64_t end) {
    if (w->taps == 3) {
        units_out(w, begin, end, 3);
    } else {
        units_out(w, begin, end, 2);
    }
}

/* ---- all tiles first, then a panel of filters at a time ---------------------------------------------------------- */

/* The weights of the panel from k on for channels [c0, c1). */
static ALWAYS_INLINE void spread_panel(const tare__wino *w, int64_t k, int64_t c0, int64_t c1, tare_real *to,
                                       int64_t step, const int taps) {
    for (int64_t v = 0; v < NR && k + v < w->filters; v += VL) {
        for (int64_t c = c0; c < c1; c += TARE__WINO_CHANNELS) {
            weight_unit u = unit_of(w, k + v, c);
            u.channels = min64(u.channels, c1 - c);
            spread_unit(w, &u, to + pitch_at(w, c - c0, 0) * NR + v, step, taps);
        }
    }
}

/* Tiles [t0, t1): as many as `out` has room for, or, if there is one chunk of channels, any number. */
static ALWAYS_INLINE void panel_whole(const tare__wino *w, int64_t k, int64_t t0, int64_t t1, const int taps) {
    _Alignas(64) tare_real weights[TARE__WINO_WEIGHTS], out[TARE__WINO_OUT];
    int64_t most = (TARE__WINO_OUT / tare__wino_positions(w) - TARE__WINO_LINE) / NR, phases = w->stride * w->stride;
    int64_t blocks = (t1 - t0 + most - 1) / most;
    product x = { .weights = weights, .in_step = tare__wino_tiles(w) * w->pitch + TARE__WINO_LINE };
    x.wide = w->filters - k > VL;
    for (int64_t c = 0; c < w->channels; c += w->chunk) {
        int64_t end = min64(c + w->chunk, w->channels);
        x.depth = (end - c + VL - 1) / VL * VL * phases;
        x.weight_step = x.depth * NR + TARE__WINO_LINE;
        spread_panel(w, k, c, end, weights, x.weight_step, taps);
        x.add = c > 0;
        for (int64_t b = 0; b < blocks; b++) {
            int64_t i = t0 + piece(t1 - t0, blocks, b), i1 = t0 + piece(t1 - t0, blocks, b + 1);
            x.tiles = i1 - i;
            x.in = w->v + i * w->pitch + c * phases;
            multiply(w, &x, out, out_step_of(x.tiles), taps);
            if (end == w->channels) { tiles_out(w, i, i1, k, out, out_step_of(x.tiles), taps); }
        }
    }
}

void TARE_K(wino_whole)(const tare__wino *w, int64_t begin, int64_t end) {
    int64_t all = tare__wino_tiles(w);
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t panel = unit / w->parts, part = unit % w->parts;
        int64_t t0 = piece(all, w->parts, part), t1 = piece(all, w->parts, part + 1);
        if (w->taps == 3) {
            panel_whole(w, panel * NR, t0, t1, 3);
        } else {
            panel_whole(w, panel * NR, t0, t1, 2);
        }
    }
}
