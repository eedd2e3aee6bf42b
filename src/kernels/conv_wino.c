/* conv_wino.c - Winograd's minimal filtering from x to y, and from x and dy to sums that become the weight's gradient. */
#include "conv_wino_strip.h"

#define TILE_FNS(h)                                                                                                    \
    static void rows_##h##_1(const tile *t) { tile_run(t, h, 1, SIDE_ROWS, false); }                                   \
    static void rows_##h##_2(const tile *t) { tile_run(t, h, 2, SIDE_ROWS, false); }                                   \
    static void columns_##h##_1(const tile *t) { tile_run(t, h, 1, SIDE_COLUMNS, false); }                             \
    static void columns_##h##_2(const tile *t) { tile_run(t, h, 2, SIDE_COLUMNS, false); }
#define ROWS_ENTRY(h)    { rows_##h##_1, rows_##h##_2 },
#define COLUMNS_ENTRY(h) { columns_##h##_1, columns_##h##_2 },
TILE_EACH_HEIGHT(TILE_FNS)
static const tile_fn rows_fns[MR][NV] = { TILE_EACH_HEIGHT(ROWS_ENTRY) };
static const tile_fn columns_fns[MR][NV] = { TILE_EACH_HEIGHT(COLUMNS_ENTRY) };

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* ---- from x to y ------------------------------------------------------------------------------------------------- */

/* Rows of outputs, [columns][VL filters], to `filters` planes: `to` is the first one's first output. */
static ALWAYS_INLINE void put_row(const tare__wino *w, const tare_real *from, int64_t filters, int64_t columns,
                                  tare_real *to) {
    _Alignas(64) tare_real turned[VL * VL];
    for (int64_t j = 0; j < columns; j += VL, from += VL * VL, to += VL * w->y_column) {
        int64_t some = least(VL, columns - j);
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
    int64_t filters = least(VL, w->filters - k);
    if (w->bias) { memcpy(bias, w->bias + k, (size_t)filters * sizeof *bias); }
    for (int64_t t = 0; t < s->count; t++, m += NR) {
        for (int64_t j = 0; j < n; j++) {
            line_out(m + j * step, n * step, half + j * VL, HALF_ROWS * VL, (vec){ 0 }, taps);
        }
        for (int64_t i = 0; i < TILE; i++) {
            line_out(half + i * HALF_ROWS * VL, VL, y + (i * STRIP_COLUMNS + t * TILE) * VL, VL, vec_load(bias), taps);
        }
    }
    int64_t rows = least(TILE, w->out_h - s->i * TILE), columns = least(s->count * TILE, w->out_w - s->j * TILE);
    tare_real *to = w->y + s->image * w->y_image + k * w->y_plane;
    for (int64_t i = 0; i < rows; i++) {
        put_row(w, y + i * STRIP_COLUMNS * VL, filters, columns,
                to + (s->i * TILE + i) * w->y_row + s->j * TILE * w->y_column);
    }
}

/* The products of all positions for the panel of filters from k on, and their way to y. */
static ALWAYS_INLINE void panel_out(const tare__wino *w, const tare_real *in, int64_t in_step, int64_t begin,
                                    int64_t end, int64_t k, tare_real *out, const int taps) {
    const int positions = (TILE + taps - 1) * (TILE + taps - 1);
    int64_t tiles = end - begin, strips = (tiles + MR - 1) / MR, step = tiles * NR + TARE__WINO_LINE;
    const tare_real *weights = w->panels + k / NR * positions * tare__wino_step(w, NR);
    for (int64_t p = 0; p < positions; p++) {
        tile x = { .k = w->pitch, .s_step = w->pitch, .v_step = NR, .alpha = 1, .c_step = NR };
        x.v = weights + p * tare__wino_step(w, NR);
        for (int64_t n = 0; n < strips; n++) {
            int64_t t = piece(tiles, strips, n), rows = piece(tiles, strips, n + 1) - t;
            x.s = in + p * in_step + t * w->pitch;
            x.c = out + p * step + t * NR;
            rows_fns[rows - 1][w->filters - k > VL](&x);
        }
    }
    for (int64_t t = 0; t < tiles;) {
        strip s = strip_at(w, begin + t, end);
        for (int64_t v = 0; v < NR && k + v < w->filters; v += VL) {
            strip_out(w, out + t * NR + v, step, k + v, &s, taps);
        }
        t += s.count;
    }
}

static ALWAYS_INLINE void units_out(const tare__wino *w, int64_t begin, int64_t end, const int taps) {
    _Alignas(64) tare_real in[TARE__WINO_IN], out[TARE__WINO_OUT];
    int64_t all = tare__wino_tiles(w), panels = (w->filters + NR - 1) / NR;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t block = unit / w->parts, part = unit % w->parts;
        int64_t t0 = piece(all, w->blocks, block), t1 = piece(all, w->blocks, block + 1);
        int64_t step = (t1 - t0) * w->pitch + TARE__WINO_LINE;
        tiles_in(w, t0, t1, in, step, taps);
        for (int64_t p = piece(panels, w->parts, part); p < piece(panels, w->parts, part + 1); p++) {
            panel_out(w, in, step, t0, t1, p * NR, out, taps);
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

/* ---- from x and dy to sums --------------------------------------------------------------------------------------- */

/* Tiles [begin, end) of dy for filters [k0, k1): to[position][tile][w->part]; their sums to bias unless NULL. */
static ALWAYS_INLINE void tiles_dy(const tare__wino *w, int64_t begin, int64_t end, int64_t k0, int64_t k1,
                                   tare_real *to, int64_t step, double *bias, const int taps) {
    _Alignas(64) tare_real values[TILE * STRIP_COLUMNS * VL], sums[VL];
    for (int64_t t = begin; t < end;) {
        strip s = strip_at(w, t, end);
        for (int64_t k = k0; k < k1; k += VL) {
            planes p = { .channels = least(VL, k1 - k), .height = w->out_h, .width = w->out_w };
            p.from = w->dy + (s.image * w->filters + k) * w->out_h * w->out_w;
            p.end = w->dy_end;
            p.first_row = s.i * TILE;
            p.first_column = s.j * TILE;
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

/* sums[position][w->pitch][w->part] (+)= in^T dy over `tiles` tiles. */
static void multiply(const tare__wino *w, const tare_real *in, const tare_real *dy, int64_t in_step, int64_t dy_step,
                     int64_t tiles, int64_t filters, tare_real *sums, bool add) {
    int64_t n = tare__wino_n(w), strips = (w->pitch + MR - 1) / MR;
    for (int64_t p = 0; p < n * n; p++) {
        tile x = { .k = tiles, .s_step = w->pitch, .v_step = w->part, .alpha = 1, .add = add, .c_step = w->part };
        for (int64_t k = 0; k < filters; k += NR) {
            x.v = dy + p * dy_step + k;
            for (int64_t s = 0; s < strips; s++) {
                int64_t c = piece(w->pitch, strips, s), rows = piece(w->pitch, strips, s + 1) - c;
                x.s = in + p * in_step + c;
                x.c = sums + p * tare__wino_step(w, w->part) + c * w->part + k;
                columns_fns[rows - 1][filters - k > VL](&x);
            }
        }
    }
}

static ALWAYS_INLINE void units_sums(const tare__wino *w, int64_t begin, int64_t end, const int taps) {
    _Alignas(64) tare_real in[TARE__WINO_IN], dy[TARE__WINO_IN];
    int64_t all = tare__wino_tiles(w), n = tare__wino_n(w), room = w->parts * w->part;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t share = unit / w->parts, part = unit % w->parts, k0 = part * w->part;
        int64_t k1 = least(k0 + w->part, w->filters);
        tare_real *sums = w->sums + unit * n * n * tare__wino_step(w, w->part);
        double *bias = w->bias_sums ? w->bias_sums + share * room : NULL;
        for (int64_t k = k0; bias && k < k1; k++) { bias[k] = 0; }
        int64_t b0 = piece(w->blocks, w->shares, share);
        for (int64_t b = b0; b < piece(w->blocks, w->shares, share + 1); b++) {
            int64_t t0 = piece(all, w->blocks, b), t1 = piece(all, w->blocks, b + 1);
            int64_t in_step = (t1 - t0) * w->pitch + TARE__WINO_LINE, dy_step = (t1 - t0) * w->part + TARE__WINO_LINE;
            tiles_in(w, t0, t1, in, in_step, taps);
            tiles_dy(w, t0, t1, k0, k1, dy, dy_step, bias, taps);
            multiply(w, in, dy, in_step, dy_step, t1 - t0, k1 - k0, sums, b > b0);
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
