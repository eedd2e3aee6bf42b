/* upsample.c - planes made larger (or smaller) by repeating or mixing neighbours, and the sums that go back. */
#include "upsample.h"
#include "kernels.h"

#include <string.h>

/* ---- twice as high and wide: each value four times ----------------------------------------------------------------- */

void TARE_K(upsample_2x)(int64_t planes, int64_t h, int64_t w, const tare_real *x, tare_real *y) {
    for (int64_t row = 0; row < planes * h; row++) {
        const tare_real *from = x + row * w;
        tare_real *to = y + row * 4 * w;
        TARE_SIMD for (int64_t j = 0; j < w; j++) {
            to[2 * j] = from[j];
            to[2 * j + 1] = from[j];
        }
        memcpy(to + 2 * w, to, (size_t)(2 * w) * sizeof *to);
    }
}

void TARE_K(upsample_2x_back)(int64_t planes, int64_t h, int64_t w, const tare_real *dy, tare_real *dx, bool add) {
    for (int64_t row = 0; row < planes * h; row++) {
        const tare_real *top = dy + row * 4 * w, *bottom = top + 2 * w;
        tare_real *to = dx + row * w;
        if (add) {
            TARE_SIMD for (int64_t j = 0; j < w; j++) {
                to[j] += (top[2 * j] + top[2 * j + 1]) + (bottom[2 * j] + bottom[2 * j + 1]);
            }
        } else {
            TARE_SIMD for (int64_t j = 0; j < w; j++) {
                to[j] = (top[2 * j] + top[2 * j + 1]) + (bottom[2 * j] + bottom[2 * j + 1]);
            }
        }
    }
}

/* ---- nearest, any size --------------------------------------------------------------------------------------------- */

void TARE_K(upsample_nearest)(const tare__upsample *u, int64_t planes, const tare_real *x, tare_real *y) {
    for (int64_t p = 0; p < planes; p++, x += u->h * u->w) {
        for (int64_t i = 0; i < u->oh; i++, y += u->ow) {
            if (i > 0 && u->rows.low[i] == u->rows.low[i - 1]) {
                memcpy(y, y - u->ow, (size_t)u->ow * sizeof *y);
                continue;
            }
            const tare_real *from = x + u->rows.low[i] * u->w;
            for (int64_t j = 0; j < u->ow; j++) { y[j] = from[u->cols.low[j]]; }
        }
    }
}

void TARE_K(upsample_nearest_back)(const tare__upsample *u, int64_t planes, const tare_real *dy, tare_real *dx,
                                   bool add) {
    if (!add) { memset(dx, 0, (size_t)(planes * u->h * u->w) * sizeof *dx); }
    for (int64_t p = 0; p < planes; p++, dx += u->h * u->w) {
        for (int64_t i = 0; i < u->oh; i++, dy += u->ow) {
            tare_real *to = dx + u->rows.low[i] * u->w;
            for (int64_t j = 0; j < u->ow; j++) { to[u->cols.low[j]] += dy[j]; }
        }
    }
}

/* ---- bilinear ------------------------------------------------------------------------------------------------------ */

void TARE_K(upsample_bilinear)(const tare__upsample *u, int64_t planes, const tare_real *x, tare_real *y) {
    const int32_t *low = u->cols.low, *high = u->cols.high;
    const tare_real *weight = u->cols.weight;
    for (int64_t p = 0; p < planes; p++, x += u->h * u->w) {
        for (int64_t i = 0; i < u->oh; i++, y += u->ow) {
            const tare_real *top = x + u->rows.low[i] * u->w, *bottom = x + u->rows.high[i] * u->w;
            tare_real down = u->rows.weight[i], up = 1 - down;
            TARE_SIMD for (int64_t j = 0; j < u->ow; j++) {
                tare_real left = up * top[low[j]] + down * bottom[low[j]];
                tare_real right = up * top[high[j]] + down * bottom[high[j]];
                y[j] = (1 - weight[j]) * left + weight[j] * right;
            }
        }
    }
}

void TARE_K(upsample_bilinear_back)(const tare__upsample *u, int64_t planes, const tare_real *dy, tare_real *dx,
                                    bool add) {
    if (!add) { memset(dx, 0, (size_t)(planes * u->h * u->w) * sizeof *dx); }
    for (int64_t p = 0; p < planes; p++, dx += u->h * u->w) {
        for (int64_t i = 0; i < u->oh; i++, dy += u->ow) {
            tare_real *top = dx + u->rows.low[i] * u->w, *bottom = dx + u->rows.high[i] * u->w;
            tare_real down = u->rows.weight[i], up = 1 - down;
            for (int64_t j = 0; j < u->ow; j++) {
                tare_real right = u->cols.weight[j] * dy[j], left = dy[j] - right;
                top[u->cols.low[j]] += up * left;
                top[u->cols.high[j]] += up * right;
                bottom[u->cols.low[j]] += down * left;
                bottom[u->cols.high[j]] += down * right;
            }
        }
    }
}
