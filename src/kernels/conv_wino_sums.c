/* conv_wino_sums.c - Winograd's minimal filtering from x and dy to the gradient of the weights, or to sums that become it. */
#include "conv_wino_strip.h"
#include "conv_wino_weights.h"

#define TILE_FNS(h)                                                                                                    \
    static void columns_##h##_1(const tile *t) { tile_run(t, h, 1, SIDE_COLUMNS, false); }                             \
    static void columns_##h##_2(const tile *t) { tile_run(t, h, 2, SIDE_COLUMNS, false); }
#define COLUMNS_ENTRY(h) { columns_##h##_1, columns_##h##_2 },
TILE_EACH_HEIGHT(TILE_FNS)
static const tile_fn columns_fns[MR][NV] = { TILE_EACH_HEIGHT(COLUMNS_ENTRY) };

/* Tiles [begin, end) of dy for filters [k0, k1): to[position][tile][w->part]; their sums to bias unless NULL. */
static ALWAYS_INLINE void tiles_dy(const tare__wino *w, int64_t begin, int64_t end, int64_t k0, int64_t k1,
                                   tare_real *to, int64_t step, double *bias, const int taps) {
    _Alignas(64) tare_real values[TILE * STRIP_COLUMNS * VL], sums[VL];
    for (int64_t t = begin; t < end;) {
        strip s = strip_at(w, t, end);
        for (int64_t k = k0; k < k1; k += VL) {
            planes p = { .channels = min64(VL, k1 - k), .height = w->out_h, .width = w->out_w };
            p.rows = w->out_h;
            p.columns = w->out_w;
            p.from = w->dy + (s.image * w->filters + k) * w->out_h * w->out_w;
            p.end = w->dy_end;
            p.first_row = s.i * TILE;
            p.first_column = s.j * TILE;
            look_ahead(w, &s, w->filters * w->out_h * w->out_w, 1, &p);
            strip_fill(&p, TILE, s.count * TILE, values);
            strip_transform(values, 1, s.count, to + (t - begin) * w->part + k - k0, step, w->part, taps, false);
            if (!bias) { continue; }
            vec even = { 0 }, odd = { 0 };
            for (int64_t i = 0; i < TILE; i++) {
                const tare_real *row = values + i * STRIP_COLUMNS * VL;
                for (int64_t j = 0; j < s.count * TILE; j += 2) {
                    even += vec_load(row + j * VL);
                    odd += vec_load(row + (j + 1) * VL);
                }
            }
            vec_store(sums, even + odd);
            for (int64_t e = 0; e < p.channels; e++) { bias[k + e] += (double)sums[e]; }
        }
        t += s.count;
    }
}

/* Transformed tiles of x, [position][tile][w->pitch] from some channel on, and of dy, [position][tile][w->part] from some filter on. */
typedef struct product {
    const tare_real *in, *dy;
    int64_t in_step, dy_step; /* from position to position */
    int64_t tiles, channels, filters;
    bool add;
} product;

/* sums[position][channel][pitch] (+)= in^T dy, positions `step` apart. */
static void multiply(const tare__wino *w, const product *x, tare_real *sums, int64_t step, int64_t pitch) {
    int64_t strips = (x->channels + MR - 1) / MR;
    for (int64_t p = 0; p < tare__wino_positions(w); p++) {
        tile t = { .k = x->tiles, .s_step = w->pitch, .v_step = w->part, .alpha = 1, .add = x->add, .c_step = pitch };
        for (int64_t k = 0; k < x->filters; k += NR) {
            t.v = x->dy + p * x->dy_step + k;
            for (int64_t s = 0; s < strips; s++) {
                int64_t c = piece(x->channels, strips, s), rows = piece(x->channels, strips, s + 1) - c;
                t.s = x->in + p * x->in_step + c;
                t.c = sums + p * step + c * pitch + k;
                columns_fns[rows - 1][x->filters - k > VL](&t);
            }
        }
    }
}

/* ---- a block of tiles at a time, all channels and a part of the filters ------------------------------------------ */

static ALWAYS_INLINE void units_sums(const tare__wino *w, int64_t begin, int64_t end, const int taps) {
    _Alignas(64) tare_real in[TARE__WINO_IN], dy[TARE__WINO_IN];
    int64_t all = tare__wino_tiles(w), room = w->parts * w->part, step = tare__wino_step(w, w->part);
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t share = unit / w->parts, part = unit % w->parts, k0 = part * w->part;
        int64_t k1 = min64(k0 + w->part, w->filters);
        tare_real *sums = w->sums + unit * tare__wino_positions(w) * step;
        double *bias = w->bias_sums ? w->bias_sums + share * room : NULL;
        for (int64_t k = k0; bias && k < k1; k++) { bias[k] = 0; }
        int64_t b0 = piece(w->blocks, w->shares, share);
        for (int64_t b = b0; b < piece(w->blocks, w->shares, share + 1); b++) {
            int64_t t0 = piece(all, w->blocks, b), t1 = piece(all, w->blocks, b + 1);
            product x = { .in = in, .dy = dy, .tiles = t1 - t0, .channels = w->pitch, .filters = k1 - k0 };
            x.in_step = x.tiles * w->pitch + TARE__WINO_LINE;
            x.dy_step = x.tiles * w->part + TARE__WINO_LINE;
            x.add = b > b0;
            tiles_in(w, t0, t1, in, x.in_step, taps);
            tiles_dy(w, t0, t1, k0, k1, dy, x.dy_step, bias, taps);
            multiply(w, &x, sums, step, w->part);
        }
    }
}

void TARE_K(wino_sums)(const tare__wino *w, int64_t begin, int64_t end) {
    if (w->taps == 3) {
        units_sums(w, begin, end, 3);
    } else {
        units_sums(w, begin, end, 2);
    }
}

/* ---- all tiles first, then a panel of filters and a chunk of channels at a time ---------------------------------- */

static ALWAYS_INLINE void units_in(const tare__wino *w, int64_t begin, int64_t end, const int taps) {
    int64_t all = tare__wino_tiles(w), step = all * w->pitch + TARE__WINO_LINE;
    for (int64_t b = begin; b < end; b++) {
        int64_t t0 = piece(all, w->blocks, b), t1 = piece(all, w->blocks, b + 1);
        double *bias = w->bias_sums ? w->bias_sums + b * w->part : NULL;
        tiles_in(w, t0, t1, w->v + t0 * w->pitch, step, taps);
        if (!w->dv) { continue; }
        for (int64_t k = 0; bias && k < w->filters; k++) { bias[k] = 0; }
        tiles_dy(w, t0, t1, 0, w->filters, w->dv + t0 * w->part, all * w->part + TARE__WINO_LINE, bias, taps);
    }
}

void TARE_K(wino_in)(const tare__wino *w, int64_t begin, int64_t end) {
    if (w->taps == 3) {
        units_in(w, begin, end, 3);
    } else {
        units_in(w, begin, end, 2);
    }
}

static ALWAYS_INLINE void panel_sums(const tare__wino_weights *to, int64_t k, int64_t c0, const int taps) {
    const tare__wino *w = to->w;
    _Alignas(64) tare_real sums[TARE__WINO_WEIGHTS];
    int64_t all = tare__wino_tiles(w), phases = w->stride * w->stride, channels = min64(w->chunk, w->channels - c0);
    product x = { .in = w->v + c0 * phases, .dy = w->dv + k, .tiles = all };
    x.in_step = all * w->pitch + TARE__WINO_LINE;
    x.dy_step = all * w->part + TARE__WINO_LINE;
    x.channels = (channels + VL - 1) / VL * VL * phases;
    x.filters = min64(NR, w->filters - k);
    position_sums s = { .step = x.channels * NR + TARE__WINO_LINE, .pitch = NR, .shares = 1 };
    multiply(w, &x, sums, s.step, NR);
    for (int64_t v = 0; v < x.filters; v += VL) {
        for (int64_t c = 0; c < channels; c += TARE__WINO_CHANNELS) {
            weight_unit u = unit_of(w, k + v, c0 + c);
            u.channels = min64(u.channels, channels - c);
            s.from = sums + pitch_at(w, c, 0) * NR + v;
            gather_unit(w, &u, &s, to->to, to->add, taps);
        }
    }
}

void TARE_K(wino_whole_sums)(const tare__wino_weights *to, int64_t begin, int64_t end) {
    const tare__wino *w = to->w;
    int64_t chunks = (w->channels + w->chunk - 1) / w->chunk;
    for (int64_t unit = begin; unit < end; unit++) {
        if (w->taps == 3) {
            panel_sums(to, unit / chunks * NR, unit % chunks * w->chunk, 3);
        } else {
            panel_sums(to, unit / chunks * NR, unit % chunks * w->chunk, 2);
        }
    }
}
