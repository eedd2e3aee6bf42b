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
    STRIP_ROWS = TILE + 2,
    STRIP_COLUMNS = STRIP * TILE + 2 + VL, /* room for a last vector that runs over */
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
    if (s.count > STRIP) { s.count = STRIP; }
    return s;
}

/* Planes that a strip is cut from: `channels` (at most VL) of them, `stride` steps from value to value, `first_row` and
 * `first_column` where the strip begins, perhaps outside. */
typedef struct planes {
    const tare_real *from, *end; /* end of the tensor */
    int64_t channels, height, width, stride, first_row, first_column;
} planes;

/* `count` values, `stride` apart, of each channel from `from` on: to[value][channel]. */
static inline void strip_run(const planes *p, const tare_real *from, int64_t count, tare_real *to) {
    _Alignas(64) tare_real close[VL * STRIP_COLUMNS];
    int64_t plane = p->height * p->width;
    const tare_real *last = from + (p->channels - 1) * plane + (count + VL - 1) / VL * VL;
    if (p->stride != 1 || last > p->end) {
        for (int64_t c = 0; c < p->channels; c++) {
            tare_real *line = close + c * STRIP_COLUMNS;
            if (p->stride == 2) {
                for (int64_t j = 0; j < count; j++) { line[j] = from[c * plane + 2 * j]; }
            } else {
                for (int64_t j = 0; j < count; j++) { line[j] = from[c * plane + j]; }
            }
            for (int64_t j = count; j % VL; j++) { line[j] = 0; }
        }
        from = close, plane = STRIP_COLUMNS;
    }
    if (p->channels == VL) {
        for (int64_t j = 0; j < count; j += VL) { transpose_square(from + j, plane, VL, to + j * VL, VL); }
    } else {
        for (int64_t j = 0; j < count; j += VL) { transpose_square(from + j, plane, p->channels, to + j * VL, VL); }
    }
}

/* `rows` rows of `columns` values each into to[row][STRIP_COLUMNS][VL]. */
static inline void strip_fill(const planes *p, int64_t rows, int64_t columns, tare_real *to) {
    int64_t left = p->first_column < 0 ? (-p->first_column + p->stride - 1) / p->stride : 0;
    int64_t end = (p->width - p->first_column + p->stride - 1) / p->stride;
    if (left > columns) { left = columns; }
    if (end > columns) { end = columns; }
    for (int64_t r = 0; r < rows; r++, to += STRIP_COLUMNS * VL) {
        int64_t row = p->first_row + r * p->stride;
        if (row < 0 || row >= p->height || end <= left) {
            memset(to, 0, (size_t)(columns * VL) * sizeof *to);
            continue;
        }
        const tare_real *from = p->from + row * p->width + p->first_column + left * p->stride;
        strip_run(p, from, end - left, to + left * VL);
        for (int64_t j = 0; j < left; j++) { vec_store(to + j * VL, (vec){ 0 }); }
        for (int64_t j = end; j < columns; j++) { vec_store(to + j * VL, (vec){ 0 }); }
    }
}

/* The transformed tiles of a strip lie at to[position][tile][channel]; from position to position it is `step`, from tile to tile
 * `pitch`. `in` says whether they are the correlation's input or its dy. */
static ALWAYS_INLINE void strip_transform(const tare_real *from, int64_t tiles, tare_real *to, int64_t step,
                                          int64_t pitch, const int taps, const bool in) {
    _Alignas(64) tare_real half[STRIP_ROWS * STRIP_COLUMNS * VL];
    const int n = TILE + taps - 1;
    int64_t columns = tiles * TILE + (in ? taps - 1 : 0);
    for (int64_t j = 0; j < columns; j++) {
        if (in) {
            line_in(from + j * VL, STRIP_COLUMNS * VL, half + j * VL, STRIP_COLUMNS * VL, taps);
        } else {
            line_dy(from + j * VL, STRIP_COLUMNS * VL, half + j * VL, STRIP_COLUMNS * VL, taps);
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
    int64_t phases = w->stride * w->stride, one = w->pitch / phases;
    for (int64_t t = begin; t < end;) {
        strip s = strip_at(w, t, end);
        const tare_real *image = w->x + s.image * w->x_image;
        for (int64_t c = 0; c < w->pitch; c += VL) {
            int64_t phase = c / one, channel = c % one;
            planes p = { image + channel * w->height * w->width,
                         w->x_end,
                         w->channels - channel,
                         w->height,
                         w->width,
                         w->stride,
                         0,
                         0 };
            if (p.channels > VL) { p.channels = VL; }
            p.first_row = s.i * TILE * w->stride + phase / w->stride - w->pad_h;
            p.first_column = s.j * TILE * w->stride + phase % w->stride - w->pad_w;
            strip_fill(&p, TILE + taps - 1, s.count * TILE + taps - 1, values);
            strip_transform(values, s.count, to + (t - begin) * w->pitch + c, step, w->pitch, taps, true);
        }
        t += s.count;
    }
}

#endif
