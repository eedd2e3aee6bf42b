/* conv_wino_weights.c - all weights to Winograd's panels, and the sums of all shares to the gradient of the weights.
 *
 * A unit is a vector of filters by TARE__WINO_CHANNELS channels; units go through all channels of one vector of filters first. */
#include "conv_wino_weights.h"

static weight_unit unit_at(const tare__wino *w, int64_t index) {
    int64_t ranges = (w->channels + TARE__WINO_CHANNELS - 1) / TARE__WINO_CHANNELS;
    return unit_of(w, index / ranges * VL, index % ranges * TARE__WINO_CHANNELS);
}

void TARE_K(wino_weights)(const tare__wino_weights *x, int64_t begin, int64_t end) {
    const tare__wino *w = x->w;
    int64_t step = tare__wino_step(w, NR);
    for (int64_t index = begin; index < end; index++) {
        weight_unit u = unit_at(w, index);
        tare_real *to = x->to + u.k / NR * tare__wino_positions(w) * step + u.k % NR;
        to += pitch_at(w, u.c0, 0) * NR;
        if (w->taps == 3) {
            spread_unit(w, &u, to, step, 3);
        } else {
            spread_unit(w, &u, to, step, 2);
        }
    }
}

void TARE_K(wino_gather)(const tare__wino_weights *x, int64_t begin, int64_t end) {
    const tare__wino *w = x->w;
    position_sums s = { .step = tare__wino_step(w, w->part), .pitch = w->part, .shares = w->shares };
    int64_t all = tare__wino_positions(w) * s.step;
    s.share = all * w->parts;
    for (int64_t index = begin; index < end; index++) {
        weight_unit u = unit_at(w, index);
        s.from = x->from + u.k / w->part * all + u.k % w->part + pitch_at(w, u.c0, 0) * s.pitch;
        if (w->taps == 3) {
            gather_unit(w, &u, &s, x->to, x->add, 3);
        } else {
            gather_unit(w, &u, &s, x->to, x->add, 2);
        }
    }
}
