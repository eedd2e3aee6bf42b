/* conv_wino_weights.c - weights to Winograd's panels, and sums over positions to the gradient of the weights.
 *
 * A unit is a vector of filters by TARE__WINO_CHANNELS channels; units go through all channels of one vector of filters first. */
#include "conv_wino.h"
#include "conv_wino_lines.h"
#include "gemm_pack.h"

#include <string.h>

enum { N = 6, MOST = TARE__WINO_CHANNELS * 16 }; /* positions on a side, weights of a unit's channels, at most */

/* Filters [k, k + filters) and channels [c0, c0 + channels) that a unit is made of, `size` weights for each pair. */
typedef struct unit {
    int64_t k, filters, c0, channels, size;
} unit;

static unit unit_at(const tare__wino *w, int64_t index) {
    int64_t ranges = (w->channels + TARE__WINO_CHANNELS - 1) / TARE__WINO_CHANNELS;
    unit u = { .k = index / ranges * VL, .c0 = index % ranges * TARE__WINO_CHANNELS };
    u.filters = w->filters - u.k < VL ? w->filters - u.k : VL;
    u.channels = w->channels - u.c0 < TARE__WINO_CHANNELS ? w->channels - u.c0 : TARE__WINO_CHANNELS;
    u.size = w->taps * w->taps * w->stride * w->stride;
    return u;
}

/* ---- to panels --------------------------------------------------------------------------------------------------- */

/* One channel's weights of one phase, g[taps][taps] in steps of `row` and `column`, to positions `step` apart. */
static ALWAYS_INLINE void spread(const tare_real *g, int64_t row, int64_t column, tare_real *to, int64_t step,
                                 const int taps) {
    _Alignas(64) tare_real half[N * 3 * VL];
    const int n = taps + TARE__WINO_TILE - 1;
    for (int j = 0; j < taps; j++) { line_weight(g + j * column, row, half + j * VL, 3 * VL, taps); }
    for (int i = 0; i < n; i++) { line_weight(half + i * 3 * VL, VL, to + i * n * step, step, taps); }
}

/* Channels of a phase that are there only to fill a vector have weights of 0. */
static void clear_rest(const tare__wino *w, const unit *u, tare_real *to) {
    int64_t n = tare__wino_n(w), phases = w->stride * w->stride, one = w->pitch / phases;
    if (u->c0 + u->channels < w->channels) { return; }
    for (int64_t p = 0; p < n * n; p++) {
        for (int64_t c = 0; c < w->pitch; c++) {
            if (c % one >= w->channels) { vec_store(to + p * tare__wino_step(w, NR) + c * NR, (vec){ 0 }); }
        }
    }
}

void TARE_K(wino_weights)(const tare__wino_weights *x, int64_t begin, int64_t end) {
    const tare__wino *w = x->w;
    _Alignas(64) tare_real turned[MOST * VL];
    int64_t n = tare__wino_n(w), phases = w->stride * w->stride, side = w->taps * w->stride;
    for (int64_t index = begin; index < end; index++) {
        unit u = unit_at(w, index);
        int64_t all = w->channels * u.size;
        tare_real *panel = x->to + u.k / NR * n * n * tare__wino_step(w, NR) + u.k % NR;
        transpose_rows(x->from + u.k * all + u.c0 * u.size, all, u.filters, u.channels * u.size, turned, VL);
        for (int64_t e = 0; e < u.channels * phases; e++) {
            int64_t c = e / phases, a = e % phases / w->stride, b = e % w->stride;
            const tare_real *g = turned + (c * u.size + a * side + b) * VL;
            tare_real *to = panel + ((e % phases) * (w->pitch / phases) + u.c0 + c) * NR;
            if (w->taps == 3) {
                spread(g, w->stride * side * VL, w->stride * VL, to, tare__wino_step(w, NR), 3);
            } else {
                spread(g, w->stride * side * VL, w->stride * VL, to, tare__wino_step(w, NR), 2);
            }
        }
        clear_rest(w, &u, panel);
    }
}

/* ---- from sums --------------------------------------------------------------------------------------------------- */

/* The sums of all shares for one vector of filters and one channel of one phase, to its weights' gradients. */
static ALWAYS_INLINE void gather(const tare__wino *w, const tare_real *from, tare_real *g, int64_t row, int64_t column,
                                 const int taps) {
    _Alignas(64) tare_real sums[N * N * VL], half[3 * N * VL];
    const int n = taps + TARE__WINO_TILE - 1;
    int64_t step = tare__wino_step(w, w->part), share = n * n * step * w->parts;
    for (int p = 0; p < n * n; p++) {
        vec sum = vec_load(from + p * step);
        for (int64_t s = 1; s < w->shares; s++) { sum += vec_load(from + s * share + p * step); }
        vec_store(sums + p * VL, sum);
    }
    for (int j = 0; j < n; j++) { line_dw(sums + j * VL, n * VL, half + j * VL, N * VL, taps); }
    for (int i = 0; i < taps; i++) { line_dw(half + i * N * VL, VL, g + i * row, column, taps); }
}

/* turned[weight][VL filters] to, or added to, the filters' own rows. */
static void put_weights(const tare_real *turned, int64_t count, int64_t filters, tare_real *to, int64_t all, bool add) {
    for (int64_t k = 0; k < filters; k++, to += all) {
        for (int64_t e = 0; e < count; e++) { to[e] = turned[e * VL + k] + (add ? to[e] : 0); }
    }
}

void TARE_K(wino_gather)(const tare__wino_weights *x, int64_t begin, int64_t end) {
    const tare__wino *w = x->w;
    _Alignas(64) tare_real turned[MOST * VL];
    int64_t n = tare__wino_n(w), phases = w->stride * w->stride, side = w->taps * w->stride;
    for (int64_t index = begin; index < end; index++) {
        unit u = unit_at(w, index);
        int64_t part = u.k / w->part, all = w->channels * u.size;
        const tare_real *sums = x->from + part * n * n * tare__wino_step(w, w->part) + u.k % w->part;
        for (int64_t e = 0; e < u.channels * phases; e++) {
            int64_t c = e / phases, a = e % phases / w->stride, b = e % w->stride;
            const tare_real *from = sums + ((e % phases) * (w->pitch / phases) + u.c0 + c) * w->part;
            tare_real *g = turned + (c * u.size + a * side + b) * VL;
            if (w->taps == 3) {
                gather(w, from, g, w->stride * side * VL, w->stride * VL, 3);
            } else {
                gather(w, from, g, w->stride * side * VL, w->stride * VL, 2);
            }
        }
        put_weights(turned, u.channels * u.size, u.filters, x->to + u.k * all + u.c0 * u.size, all, x->add);
    }
}
