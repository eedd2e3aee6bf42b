/* conv_wino_weights.h - weights to Winograd's positions, and sums over positions to the gradient of the weights, for one vector
 * of filters and some channels at a time. */
#ifndef TARE_CONV_WINO_WEIGHTS_H
#define TARE_CONV_WINO_WEIGHTS_H

#include "conv_wino.h"
#include "conv_wino_lines.h"
#include "gemm_pack.h"

#include <string.h>

enum {
    N = 6, /* positions on a side, at most */
    MOST_TAPS = TARE__WINO_MOST_TAPS,
    TURNED = (TARE__WINO_CHANNELS * MOST_TAPS + VL) * VL,
};

/* Filters [k, k + filters) of one vector and channels [c0, c0 + channels). */
typedef struct weight_unit {
    int64_t k, filters, c0, channels;
} weight_unit;

static inline weight_unit unit_of(const tare__wino *w, int64_t k, int64_t c0) {
    weight_unit u = { .k = k, .c0 = c0, .filters = w->filters - k, .channels = w->channels - c0 };
    if (u.filters > VL) { u.filters = VL; }
    if (u.channels > TARE__WINO_CHANNELS) { u.channels = TARE__WINO_CHANNELS; }
    return u;
}

/* Where channel c of a phase lies among the channels of all phases. */
static inline int64_t pitch_at(const tare__wino *w, int64_t c, int64_t phase) {
    return c / VL * VL * w->stride * w->stride + phase * VL + c % VL;
}

/* ---- weights to positions ---------------------------------------------------------------------------------------- */

/* A unit's weights as [channel][w_size][VL filters]; what is written behind them is of no account. */
static inline void turn_unit(const tare__wino *w, const weight_unit *u, tare_real *to) {
    _Alignas(64) tare_real close[VL * (MOST_TAPS + VL)];
    const tare_real *from = w->weight + u->k * w->w_filter + u->c0 * w->w_channel;
    if (w->w_channel == w->w_size) {
        transpose_rows(from, w->w_filter, u->filters, u->channels * w->w_size, to, VL);
        return;
    }
    for (int64_t c = 0; c < u->channels; c++, from += w->w_channel, to += w->w_size * VL) {
        const tare_real *rows = from;
        int64_t step = w->w_filter;
        if (from + (u->filters - 1) * step + (w->w_size + VL - 1) / VL * VL > w->weight_end) {
            step = MOST_TAPS + VL;
            for (int64_t k = 0; k < u->filters; k++) {
                memcpy(close + k * step, from + k * w->w_filter, (size_t)w->w_size * sizeof *to);
                memset(close + k * step + w->w_size, 0, VL * sizeof *to);
            }
            rows = close;
        }
        for (int64_t j = 0; j < w->w_size; j += VL) { transpose_square(rows + j, step, u->filters, to + j * VL, VL); }
    }
}

/* One channel's weights of one phase: tap (i, j) at i row + j column, those of so many rows and columns; the others are 0. */
typedef struct phase_taps {
    int64_t first, row, column, rows, columns;
} phase_taps;

/* Of a window whose rows lie `side` apart. */
static inline phase_taps taps_of(const tare__wino *w, int64_t phase, int64_t side, int64_t first, int64_t row,
                                 int64_t column) {
    int64_t a = phase / w->stride, b = phase % w->stride;
    return (phase_taps){ .first = first + a * side + b,
                         .row = row,
                         .column = column,
                         .rows = (w->taps_h - a + w->stride - 1) / w->stride,
                         .columns = (w->taps_w - b + w->stride - 1) / w->stride };
}

/* One channel's weights of one phase to positions `step` apart. */
static ALWAYS_INLINE void spread(const tare_real *g, const phase_taps *t, tare_real *to, int64_t step, const int taps) {
    _Alignas(64) tare_real half[N * 3 * VL];
    const int n = taps + TARE__WINO_TILE - 1;
    for (int j = 0; j < taps; j++) {
        line_weight(g + j * t->column * VL, t->row * VL, j < t->columns ? t->rows : 0, half + j * VL, 3 * VL, taps);
    }
    for (int i = 0; i < n; i++) { line_weight(half + i * 3 * VL, VL, t->columns, to + i * n * step, step, taps); }
}

/* A unit's transformed weights: to[position][channels of all phases from c0 on][NR], positions `step` apart. Channels that are
 * there only to fill a vector have weights of 0. */
static ALWAYS_INLINE void spread_unit(const tare__wino *w, const weight_unit *u, tare_real *to, int64_t step,
                                      const int taps) {
    _Alignas(64) tare_real turned[TURNED];
    int64_t phases = w->stride * w->stride, full = (u->channels + VL - 1) / VL * VL;
    turn_unit(w, u, turned);
    for (int64_t phase = 0; phase < phases; phase++) {
        phase_taps t = taps_of(w, phase, w->w_side, w->w_first, w->w_row, w->w_column);
        for (int64_t c = 0; c < u->channels; c++) {
            const tare_real *g = turned + (c * w->w_size + t.first) * VL;
            spread(g, &t, to + pitch_at(w, c, phase) * NR, step, taps);
        }
        for (int64_t c = u->channels; c < full; c++) {
            tare_real *rest = to + pitch_at(w, c, phase) * NR;
            for (int64_t p = 0; p < tare__wino_positions(w); p++) { vec_store(rest + p * step, (vec){ 0 }); }
        }
    }
}

/* ---- sums to the gradient of the weights ------------------------------------------------------------------------- */

/* Sums of one vector of filters over positions `step` apart, in `shares` shares. */
typedef struct position_sums {
    const tare_real *from;
    int64_t step, pitch; /* from position to position, from channel to channel */
    int64_t shares, share;
} position_sums;

/* The sums of all shares for one channel of one phase, to its weights' gradients. */
static ALWAYS_INLINE void gather(const position_sums *s, const tare_real *from, tare_real *g, const phase_taps *t,
                                 const int taps) {
    _Alignas(64) tare_real sums[N * N * VL], half[3 * N * VL];
    const int n = taps + TARE__WINO_TILE - 1;
    for (int p = 0; p < n * n; p++) {
        vec sum = vec_load(from + p * s->step);
        for (int64_t i = 1; i < s->shares; i++) { sum += vec_load(from + i * s->share + p * s->step); }
        vec_store(sums + p * VL, sum);
    }
    for (int j = 0; j < n; j++) { line_dw(sums + j * VL, n * VL, half + j * VL, N * VL, taps, taps); }
    for (int i = 0; i < t->rows; i++) {
        line_dw(half + i * N * VL, VL, g + i * t->row * VL, t->column * VL, t->columns, taps);
    }
}

/* turned[weight][VL filters] to, or added to, the filters' own rows. */
static inline void put_weights(const tare_real *turned, int64_t count, int64_t filters, tare_real *to, int64_t all,
                               bool add) {
    if (filters < VL) {
        for (int64_t k = 0; k < filters; k++, to += all) {
            for (int64_t e = 0; e < count; e++) { to[e] = turned[e * VL + k] + (add ? to[e] : 0); }
        }
        return;
    }
    _Alignas(64) tare_real square[VL * VL];
    for (int64_t e = 0; e < count; e += VL) {
        transpose_square(turned + e * VL, VL, VL, square, VL);
        for (int64_t k = 0; k < VL; k++) {
            put_line(to + k * all + e, square + k * VL, count - e < VL ? count - e : VL, add);
        }
    }
}

/* A unit's sums to its part of `to`, the gradient of the whole weight. */
static ALWAYS_INLINE void gather_unit(const tare__wino *w, const weight_unit *u, const position_sums *s, tare_real *to,
                                      bool add, const int taps) {
    _Alignas(64) tare_real turned[TURNED];
    int64_t phases = w->stride * w->stride, size = w->taps_h * w->taps_w;
    for (int64_t phase = 0; phase < phases; phase++) {
        phase_taps t = taps_of(w, phase, w->taps_w, 0, w->stride * w->taps_w, w->stride);
        for (int64_t c = 0; c < u->channels; c++) {
            gather(s, s->from + pitch_at(w, c, phase) * s->pitch, turned + (c * size + t.first) * VL, &t, taps);
        }
    }
    put_weights(turned, u->channels * size, u->filters, to + u->k * w->channels * size + u->c0 * size,
                w->channels * size, add);
}

#endif
