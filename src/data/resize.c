/* resize.c - bytes from one size to another, one axis after the other. */
#include "data/internal.h"

#include <math.h>

/* How one axis is resampled: output i is the sum of weight[i * taps + k] * input[first[i] + k]. */
typedef struct axis {
    int64_t out, taps;
    int64_t *first;
    double *weight;
} axis;

static void axis_free(axis *a) {
    tare_free(a->first);
    tare_free(a->weight);
}

/* Shrinking: output i covers the stretch [i, i + 1) * in / out of the input; each pixel counts by how much of it lies inside. */
static void area_taps(axis *a, int64_t in, int64_t i) {
    const double scale = (double)in / (double)a->out, begin = (double)i * scale, end = begin + scale;
    const int64_t first = (int64_t)begin;
    a->first[i] = first;
    for (int64_t k = 0; k < a->taps; k++) {
        const double lo = fmax(begin, (double)(first + k)), hi = fmin(end, (double)(first + k + 1));
        a->weight[i * a->taps + k] = first + k < in && hi > lo ? (hi - lo) / scale : 0;
    }
}

/* Growing: output centre i + 1/2 lies at (i + 1/2) * in / out; linear between the two nearest centres, flat at the ends. */
static void linear_taps(axis *a, int64_t in, int64_t i) {
    const double at = fmin(fmax(((double)i + 0.5) * (double)in / (double)a->out - 0.5, 0), (double)(in - 1));
    const int64_t first = (int64_t)at;
    a->first[i] = first;
    a->weight[i * a->taps] = first + 1 < in ? 1 - (at - (double)first) : 1;
    a->weight[i * a->taps + 1] = first + 1 < in ? at - (double)first : 0;
}

static tare_status axis_init(axis *a, int64_t in, int64_t out) {
    a->out = out;
    a->taps = in > out ? in / out + 2 : 2;
    a->first = tare_malloc((size_t)out * sizeof *a->first);
    a->weight = tare_malloc((size_t)(out * a->taps) * sizeof *a->weight);
    if (!a->first || !a->weight) { return TARE_ENOMEM; }
    for (int64_t i = 0; i < out; i++) {
        if (in > out) {
            area_taps(a, in, i);
        } else {
            linear_taps(a, in, i);
        }
    }
    return TARE_OK;
}

/* Weights beyond the input are 0, and nothing is read there. */
static int64_t taps_at(const axis *a, int64_t i, int64_t in) {
    return a->first[i] + a->taps <= in ? a->taps : in - a->first[i];
}

static void resize_plane(const uint8_t *in, int64_t in_height, int64_t in_width, const axis *down, const axis *across,
                         double *rows, uint8_t *out) {
    for (int64_t y = 0; y < in_height; y++) {
        for (int64_t x = 0; x < across->out; x++) {
            const uint8_t *from = in + y * in_width + across->first[x];
            const int64_t taps = taps_at(across, x, in_width);
            double sum = 0;
            for (int64_t k = 0; k < taps; k++) { sum += across->weight[x * across->taps + k] * from[k]; }
            rows[y * across->out + x] = sum;
        }
    }
    for (int64_t y = 0; y < down->out; y++) {
        const int64_t taps = taps_at(down, y, in_height);
        for (int64_t x = 0; x < across->out; x++) {
            double sum = 0.5;
            for (int64_t k = 0; k < taps; k++) {
                sum += down->weight[y * down->taps + k] * rows[(down->first[y] + k) * across->out + x];
            }
            /* weights sum to 1 up to rounding: 255.5 can be passed by a few ulp alone */
            out[y * across->out + x] = (uint8_t)fmin(sum, 255);
        }
    }
}

tare_status tare_image_resize(const uint8_t *in, int64_t channels, int64_t in_height, int64_t in_width, int64_t height,
                              int64_t width, uint8_t *out) {
    if (channels < 1 || in_height < 1 || in_width < 1 || height < 1 || width < 1) {
        return tare_fail(TARE_EINVAL, "image resize: [%lld,%lld,%lld] to %lld x %lld: every size must be at least 1",
                         (long long)channels, (long long)in_height, (long long)in_width, (long long)height,
                         (long long)width);
    }
    axis down = { .first = NULL }, across = { .first = NULL };
    double *rows = tare_malloc((size_t)(in_height * width) * sizeof *rows);
    tare_status status = rows ? TARE_OK : TARE_ENOMEM;
    if (status == TARE_OK) { status = axis_init(&down, in_height, height); }
    if (status == TARE_OK) { status = axis_init(&across, in_width, width); }
    for (int64_t c = 0; status == TARE_OK && c < channels; c++) {
        resize_plane(in + c * in_height * in_width, in_height, in_width, &down, &across, rows,
                     out + c * height * width);
    }
    axis_free(&down);
    axis_free(&across);
    tare_free(rows);
    return status;
}
