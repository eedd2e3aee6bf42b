/* conv_plain.c - correlation as it is written down: the oracle of the fast kernels, and what serves windows so far spread
 * out that no patch holds them. */
#include "kernels.h"

/* x at the tap (channel, r, s) of output (i, j). */
static tare_real tap(const tare__conv *c, int64_t channel, int64_t i, int64_t j, int64_t r, int64_t s) {
    int64_t y = i * c->stride_h + r * c->dil_h - c->pad_h, x = j * c->stride_w + s * c->dil_w - c->pad_w;
    return y >= 0 && y < c->height && x >= 0 && x < c->width ? c->x[(channel * c->height + y) * c->width + x] : 0;
}

static tare_real output(const tare__conv *c, int64_t filter, int64_t i, int64_t j) {
    double sum = c->bias ? (double)c->bias[filter] : 0;
    const tare_real *w = c->weight + filter * c->channels * c->taps_h * c->taps_w;
    for (int64_t channel = 0; channel < c->channels; channel++) {
        for (int64_t r = 0; r < c->taps_h; r++) {
            for (int64_t s = 0; s < c->taps_w; s++) { sum += (double)*w++ * (double)tap(c, channel, i, j, r, s); }
        }
    }
    return (tare_real)sum;
}

void TARE_K(conv_plain)(const tare__conv *c, int64_t begin, int64_t end) {
    for (int64_t filter = 0; filter < c->filters; filter++) {
        for (int64_t i = begin; i < end; i++) {
            for (int64_t j = 0; j < c->out_w; j++) {
                tare_real *y = c->y + filter * c->y_plane + i * c->y_row + j * c->y_column;
                *y = output(c, filter, i, j) + (c->add ? *y : 0);
            }
        }
    }
}

static double weight_sum(const tare__conv *c, const tare_real *dy, int64_t channel, int64_t r, int64_t s) {
    double sum = 0;
    for (int64_t i = 0; i < c->out_h; i++) {
        for (int64_t j = 0; j < c->out_w; j++) { sum += (double)*dy++ * (double)tap(c, channel, i, j, r, s); }
    }
    return sum;
}

void TARE_K(conv_weight_plain)(const tare__conv *c, const tare__conv_sums *sums) {
    int64_t size = c->out_h * c->out_w;
    for (int64_t filter = 0; filter < c->filters; filter++) {
        const tare_real *dy = sums->dy + filter * size;
        tare_real *dw = sums->weight + filter;
        for (int64_t channel = 0; channel < c->channels; channel++) {
            for (int64_t r = 0; r < c->taps_h; r++) {
                for (int64_t s = 0; s < c->taps_w; s++, dw += sums->step) {
                    *dw += (tare_real)weight_sum(c, dy, channel, r, s);
                }
            }
        }
        for (int64_t i = 0; sums->bias && i < size; i++) { sums->bias[filter] += (double)dy[i]; }
    }
}
