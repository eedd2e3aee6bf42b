/* augment.c - a picture of bytes to numbers, through a window that may be moved and mirrored. */
#include "data/internal.h"

static void set_scaling(tare__picture *p, const tare_dataset *ds, tare_scaling scaling) {
    for (int64_t c = 0; c < p->channels; c++) {
        double mean = ds->mean[c], std = ds->std[c];
        if (scaling != TARE_SCALE_STANDARD) {
            mean = scaling == TARE_SCALE_SIGNED ? 0.5 : 0;
            std = scaling == TARE_SCALE_SIGNED ? 0.5 : 1;
        }
        p->scale[c] = (tare_real)(1 / (255 * std));
        p->offset[c] = (tare_real)(-mean / std);
    }
}

tare_status tare__picture_init(tare__picture *p, const tare_dataset *ds, const tare_loader_opt *opt) {
    *p = (tare__picture){ .channels = ds->channels,
                          .height = ds->height,
                          .width = ds->width,
                          .out_channels = opt->channels ? opt->channels : ds->channels,
                          .out_height = opt->height ? opt->height : ds->height,
                          .out_width = opt->width ? opt->width : ds->width,
                          .augment = opt->augment };
    if (p->out_channels < 1 || p->out_height < 1 || p->out_width < 1) {
        return tare_fail(TARE_EINVAL, "loader: x of [%lld,%lld,%lld]: sizes must be positive",
                         (long long)p->out_channels, (long long)p->out_height, (long long)p->out_width);
    }
    if (p->out_channels != p->channels && p->channels != 1) {
        return tare_fail(TARE_ESHAPE,
                         "loader: images have %lld channels, %lld are wanted: only grey ones can be repeated",
                         (long long)p->channels, (long long)p->out_channels);
    }
    const int64_t shift = opt->augment.shift;
    if (shift < 0 || shift >= p->out_height || shift >= p->out_width) {
        return tare_fail(TARE_EINVAL, "loader: shift %lld: expected 0 or more and less than x's sides, %lld and %lld",
                         (long long)shift, (long long)p->out_height, (long long)p->out_width);
    }
    if (opt->scaling != TARE_SCALE_STANDARD && opt->scaling != TARE_SCALE_SIGNED && opt->scaling != TARE_SCALE_UNIT) {
        return tare_fail(TARE_EINVAL, "loader: scaling %d is not known", (int)opt->scaling);
    }
    set_scaling(p, ds, opt->scaling);
    return TARE_OK;
}

tare__window tare__picture_centre(const tare__picture *p) {
    return (tare__window){ .top = (p->height - p->out_height) / 2, .left = (p->width - p->out_width) / 2 };
}

static int64_t draw_below(tare_rng *rng, int64_t n) { return (int64_t)tare_rng_below(rng, (uint64_t)n); }

/* All five values are drawn whatever is asked for, so that one option does not change what another does. */
tare__window tare__picture_draw(const tare__picture *p, tare_rng rng) {
    const tare_augment want = p->augment;
    tare__window window = tare__picture_centre(p);
    const int64_t spare_y = p->height - p->out_height, spare_x = p->width - p->out_width;
    const bool flip = tare_rng_u32(&rng) & 1;
    const int64_t top = draw_below(&rng, spare_y > 0 ? spare_y + 1 : 1);
    const int64_t left = draw_below(&rng, spare_x > 0 ? spare_x + 1 : 1);
    if (want.crop && spare_y > 0) { window.top = top; }
    if (want.crop && spare_x > 0) { window.left = left; }
    window.top += draw_below(&rng, 2 * want.shift + 1) - want.shift;
    window.left += draw_below(&rng, 2 * want.shift + 1) - want.shift;
    window.flip = want.flip && flip;
    return window;
}

static void fill(tare_real *x, int64_t n, tare_real value) {
    for (int64_t i = 0; i < n; i++) { x[i] = value; }
}

static void convert(const uint8_t *restrict byte, int64_t n, tare_real scale, tare_real offset, tare_real *restrict x) {
    for (int64_t i = 0; i < n; i++) { x[i] = scale * (tare_real)byte[i] + offset; }
}

static void convert_mirrored(const uint8_t *restrict byte, int64_t n, tare_real scale, tare_real offset,
                             tare_real *restrict x) {
    for (int64_t i = 0; i < n; i++) { x[n - 1 - i] = scale * (tare_real)byte[i] + offset; }
}

/* One row of a plane: black up to `begin`, the image's bytes up to `end`, black again; the mirror image if flipped. */
static void convert_row(const uint8_t *byte, int64_t begin, int64_t end, int64_t n, tare_real scale, tare_real offset,
                        bool flip, tare_real *x) {
    const int64_t before = flip ? n - end : begin, inside = end - begin;
    fill(x, before, offset);
    if (flip) {
        convert_mirrored(byte, inside, scale, offset, x + before);
    } else {
        convert(byte, inside, scale, offset, x + before);
    }
    fill(x + before + inside, n - before - inside, offset);
}

static int64_t clamp(int64_t value, int64_t lo, int64_t hi) { return value < lo ? lo : value > hi ? hi : value; }

static void convert_plane(const tare__picture *p, const uint8_t *plane, tare__window window, int64_t channel,
                          tare_real *x) {
    const tare_real scale = p->scale[channel], offset = p->offset[channel];
    const int64_t columns = p->out_width;
    const int64_t begin = clamp(-window.left, 0, columns), end = clamp(p->width - window.left, begin, columns);
    for (int64_t y = 0; y < p->out_height; y++, x += columns) {
        const int64_t row = y + window.top;
        if (row < 0 || row >= p->height || begin == end) {
            fill(x, columns, offset);
        } else {
            convert_row(plane + row * p->width + window.left + begin, begin, end, columns, scale, offset, window.flip,
                        x);
        }
    }
}

void tare__picture_convert(const tare__picture *p, const uint8_t *image, tare__window window, tare_real *x) {
    const int64_t plane = p->height * p->width, out_plane = p->out_height * p->out_width;
    const bool whole =
        window.top == 0 && window.left == 0 && !window.flip && p->height == p->out_height && p->width == p->out_width;
    for (int64_t c = 0; c < p->out_channels; c++) {
        const int64_t from = p->channels == 1 ? 0 : c;
        if (whole) {
            convert(image + from * plane, plane, p->scale[from], p->offset[from], x + c * out_plane);
        } else {
            convert_plane(p, image + from * plane, window, from, x + c * out_plane);
        }
    }
}
