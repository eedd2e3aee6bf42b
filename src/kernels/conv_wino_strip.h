/* conv_wino_strip.h - pieces of images with a vector of channels side by side, as Winograd's transforms read them.
 *
 * A strip is up to STRIP tiles beside each other in one row of tiles. Its values are turned round in registers, zeros around the
 * image put in, and lie as [row][column][VL channels]. */
#ifndef TARE_CONV_WINO_STRIP_H
#define TARE_CONV_WINO_STRIP_H

#include "conv_wino.h"
#include "conv_wino_lines.h"
#include "gemm_pack.h"

#include <string.h>

enum {
    TILE = TARE__WINO_TILE,
    STRIP = 8,
    HALF_ROWS = TILE + 2,                            /* of transformed lines */
    STRIP_ROWS = 2 * (TILE + 1),                     /* of values: those of 3 taps, or two phases of 2 */
    STRIP_COLUMNS = 2 * TILE * (STRIP / 2) + 2 + VL, /* room for a last vector that runs over */
};

typedef struct strip {
    int64_t image, i, j, count; /* tiles j .. j + count - 1 of row i of tiles */
} strip;

/* The strip that begins with tile t of the batch and does not reach `end`. */
static inline strip strip_at(const tare__wino *w, int64_t t, int64_t end) {
    int64_t across = tare__wino_across(w->out_w), down = tare__wino_across(w->out_h);
    strip s = { .image = t / (across * down), .i = t / across % down, .j = t % across };
    s.count = across - s.j;
    if (s.count > end - t) { s.count = end - t; }
    if (s.count > STRIP / w->stride) { s.count = STRIP / w->stride; }
    return s;
}

/* Planes that a strip is cut from: `channels` (at most VL) of them; `first_row` and `first_column` are where the strip begins,
 * perhaps outside. */
typedef struct planes {
    const tare_real *from, *end; /* end of the tensor */
    int64_t channels, height, width, first_row, first_column;
    int64_t rows, columns; /* those of the plane that count; the others are taken for 0 */
    int64_t ahead;         /* how far behind a row lies one that is read ahead */
} planes;

/* Where rows are read ahead: in the row of tiles below or, under the last one, at the beginning of the next image. */
static inline void look_ahead(const tare__wino *w, const strip *s, int64_t image, int64_t stride, planes *p) {
    bool last = s->i + 1 == tare__wino_across(w->out_h);
    p->ahead = last ? image - p->first_row * p->width : TILE * stride * p->width;
}

/* Have `count` values read ahead: rows of many planes are no stream that a processor foresees. */
static ALWAYS_INLINE void prefetch(const tare_real *from, int64_t count) {
#ifdef __GNUC__
    for (int64_t j = 0; j < count; j += 64 / (int64_t)sizeof *from) { __builtin_prefetch(from + j); }
#else
    (void)from, (void)count;
#endif
}

/* `count` values of each channel from `from` on: to[value][channel]. */
static inline void strip_run(const planes *p, const tare_real *from, int64_t count, tare_real *to) {
    _Alignas(64) tare_real close[VL * STRIP_COLUMNS];
    int64_t plane = p->height * p->width;
    if (from + (p->channels - 1) * plane + (count + VL - 1) / VL * VL > p->end) {
        for (int64_t c = 0; c < p->channels; c++) {
            memcpy(close + c * STRIP_COLUMNS, from + c * plane, (size_t)count * sizeof *to);
            memset(close + c * STRIP_COLUMNS + count, 0, (size_t)(STRIP_COLUMNS - count) * sizeof *to);
        }
        from = close, plane = STRIP_COLUMNS;
    }
    if (p->channels == VL) {
        for (int64_t c = 0; c < VL; c++) { prefetch(from + c * plane + p->ahead, count); }
        for (int64_t j = 0; j < count; j += VL) { transpose_square(from + j, plane, VL, to + j * VL, VL); }
    } else {
        for (int64_t j = 0; j < count; j += VL) { transpose_square(from + j, plane, p->channels, to + j * VL, VL); }
    }
}

/* `rows` rows of `columns` values each into to[row][STRIP_COLUMNS][VL]. */
static inline void strip_fill(const planes *p, int64_t rows, int64_t columns, tare_real *to) {
    int64_t left = p->first_column < 0 ? -p->first_column : 0, end = p->columns - p->first_column;
    if (left > columns) { left = columns; }
    if (end > columns) { end = columns; }
    for (int64_t r = 0; r < rows; r++, to += STRIP_COLUMNS * VL) {
        int64_t row = p->first_row + r;
        if (row < 0 || row >= p->rows || end <= left) {
            memset(to, 0, (size_t)(columns * VL) * sizeof *to);
            continue;
        }
        strip_run(p, p->from + row * p->width + p->first_column + left, end - left, to + left * VL);
        for (int64_t j = 0; j < left; j++) { vec_store(to + j * VL, (vec){ 0 }); }
        for (int64_t j = end; j < columns; j++) { vec_store(to + j * VL, (vec){ 0 }); }
    }
}

/* The transformed tiles of a strip lie at to[position][tile][channel]; from position to position it is `step`, from tile to tile
 * `pitch`. Of the values, every `stride`th is taken. `in` says whether they are the correlation's input or its dy. */
static ALWAYS_INLINE void strip_transform(const tare_real *from, int64_t stride, int64_t tiles, tare_real *to,
                                          int64_t step, int64_t pitch, const int taps, const bool in) {
    _Alignas(64) tare_real half[HALF_ROWS * STRIP_COLUMNS * VL];
    const int n = TILE + taps - 1;
    int64_t columns = tiles * TILE + (in ? taps - 1 : 0);
    for (int64_t j = 0; j < columns; j++) {
        if (in) {
            line_in(from + j * stride * VL, stride * STRIP_COLUMNS * VL, half + j * VL, STRIP_COLUMNS * VL, taps);
        } else {
            line_dy(from + j * stride * VL, stride * STRIP_COLUMNS * VL, half + j * VL, STRIP_COLUMNS * VL, taps);
        }
    }
    for (int64_t t = 0; t < tiles; t++, to += pitch) {
        for (int64_t i = 0; i < n; i++) {
            const tare_real *line = half + (i * STRIP_COLUMNS + t * TILE) * VL;
            if (in) {
                line_in(line, VL, to + i * n * step, step, taps);
            } else {
                line_dy(line, VL, to + i * n * step, step, taps);
            }
        }
    }
}

/* Tiles [begin, end) of the input: to[position][tile][w->pitch]. */
static ALWAYS_INLINE void tiles_in(const tare__wino *w, int64_t begin, int64_t end, tare_real *to, int64_t step,
                                   const int taps) {
    _Alignas(64) tare_real values[STRIP_ROWS * STRIP_COLUMNS * VL];
    int64_t phases = w->stride * w->stride;
    for (int64_t t = begin; t < end;) {
        strip s = strip_at(w, t, end);
        const tare_real *image = w->x + s.image * w->x_image;
        for (int64_t c = 0; c < w->channels; c += VL) {
            planes p = { .from = image + c * w->height * w->width, .end = w->x_end, .channels = w->channels - c };
            if (p.channels > VL) { p.channels = VL; }
            p.height = w->height;
            p.width = w->width;
            p.rows = reach_of(w->height, w->out_h, w->stride, w->taps_h, w->pad_h);
            p.columns = reach_of(w->width, w->out_w, w->stride, w->taps_w, w->pad_w);
            p.first_row = s.i * TILE * w->stride - w->pad_h;
            p.first_column = s.j * TILE * w->stride - w->pad_w;
            look_ahead(w, &s, w->x_image, w->stride, &p);
            strip_fill(&p, (TILE + taps - 1) * w->stride, (s.count * TILE + taps - 1) * w->stride, values);
            for (int64_t phase = 0; phase < phases; phase++) {
                const tare_real *from = values + (phase / w->stride * STRIP_COLUMNS + phase % w->stride) * VL;
                strip_transform(from, w->stride, s.count, to + (t - begin) * w->pitch + c * phases + phase * VL, step,
                                w->pitch, taps, true);
            }
        }
        t += s.count;
    }
}

#endif
