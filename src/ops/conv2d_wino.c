/* conv2d_wino.c - convolutions through Winograd's filtering: which ones, how the work is cut, the three products. */
#include "conv2d_wino.h"

enum {
    UNITS = 8,             /* pieces wanted of a batch, so that threads share evenly */
    TILES = 14,            /* fewest tiles worth a piece */
    SUMS_SIZE = 96 << 10,  /* numbers of a part's sums, which ought to stay in the second-level cache */
    SHARES_SIZE = 1 << 21, /* most numbers in the sums of all shares */
    IN_COST = 200,         /* cycles, roughly: transforming a tile of a vector of channels, */
    OUT_COST = 200,        /* of filters, */
    WEIGHT_COST = 100,     /* one channel's weights for a vector of filters */
};

static int64_t lanes_of(void) { return tare__kernels()->lanes; }

static bool shape_fits(const tare__conv *c) {
    if (c->dil_h != 1 || c->dil_w != 1 || c->taps_h != c->taps_w || c->stride_h != c->stride_w) { return false; }
    return c->stride_h == 1 ? c->taps_h == 2 || c->taps_h == 3 : c->stride_h == 2 && c->taps_h == 4;
}

static void sizes_of(const tare__conv *c, int64_t images, tare__wino *w) {
    *w = (tare__wino){ .taps = c->taps_h / c->stride_h,
                       .stride = c->stride_h,
                       .images = images,
                       .channels = c->channels,
                       .height = c->height,
                       .width = c->width,
                       .filters = c->filters,
                       .out_h = c->out_h,
                       .out_w = c->out_w,
                       .pad_h = c->pad_h,
                       .pad_w = c->pad_w,
                       .x_image = c->channels * c->height * c->width,
                       .y_image = c->filters * c->y_plane,
                       .y_plane = c->y_plane,
                       .y_row = c->y_row,
                       .y_column = c->y_column };
    w->pitch = w->stride * w->stride * tare__ceil_div(w->channels, lanes_of()) * lanes_of();
}

static int64_t positions(const tare__wino *w) { return tare__wino_n(w) * tare__wino_n(w); }

/* How many tiles of `width` channels or filters fit at a time. */
static int64_t tiles_that_fit(const tare__wino *w, int64_t width) {
    return tare__min(TARE__WINO_TILES, (TARE__WINO_IN / positions(w) - TARE__WINO_LINE) / width);
}

/* Cycles as the sum is written, and this way, but for what `extra` says. */
static bool is_quicker(const tare__wino *w, double in_times, double extra) {
    double tiles = (double)tare__wino_tiles(w), vectors = (double)tare__ceil_div(w->filters, lanes_of());
    double outputs = (double)(w->images * w->out_h * w->out_w),
           area = (double)(w->taps * w->taps * w->stride * w->stride);
    double direct = outputs * area * (double)w->channels * (double)w->filters / (double)lanes_of() * 0.6;
    double product = tiles * (double)positions(w) * (double)w->pitch * vectors * 0.55;
    double around = tiles * ((double)(w->pitch / lanes_of()) * IN_COST * in_times + vectors * OUT_COST);
    return product + around + extra < direct;
}

/* ---- from x to y ------------------------------------------------------------------------------------------------- */

bool tare__wino_pass_of(const tare__conv *c, int64_t images, tare__wino *w) {
    if (!shape_fits(c) || images < 1) { return false; }
    sizes_of(c, images, w);
    int64_t all = tare__wino_tiles(w), fit = tiles_that_fit(w, w->pitch);
    int64_t panels = tare__ceil_div(w->filters, 2 * lanes_of());
    if (fit < TILES / 2) { return false; }
    w->blocks = tare__max(tare__ceil_div(all, fit), tare__min(UNITS, tare__ceil_div(all, TILES)));
    w->parts = 1;
    while (w->blocks * w->parts < UNITS / 2 && panels >= 2 * w->parts) { w->parts *= 2; }
    double weights =
        (double)(w->channels * w->stride * w->stride * tare__ceil_div(w->filters, lanes_of())) * WEIGHT_COST;
    return is_quicker(w, (double)w->parts, weights);
}

int64_t tare__wino_panels_size(const tare__wino *w) {
    int64_t width = 2 * lanes_of();
    return tare__ceil_div(w->filters, width) * positions(w) * tare__wino_step(w, width);
}

static int64_t weight_units(const tare__wino *w) {
    return tare__ceil_div(w->filters, lanes_of()) * tare__ceil_div(w->channels, TARE__WINO_CHANNELS);
}

static void weights_range(void *context, int64_t begin, int64_t end) {
    tare__kernels()->wino_weights(context, begin, end);
}
static void pass_range(void *context, int64_t begin, int64_t end) { tare__kernels()->wino(context, begin, end); }

void tare__wino_pass(tare__wino *w, const tare_real *weight, tare_real *panels) {
    tare__wino_weights x = { .w = w, .from = weight, .to = panels };
    tare_parallel_for(weight_units(w), 2, weights_range, &x);
    w->panels = panels;
    tare_parallel_for(w->blocks * w->parts, 1, pass_range, w);
}

/* ---- from x and dy to the weight --------------------------------------------------------------------------------- */

bool tare__wino_sums_of(const tare__conv *c, int64_t images, tare__wino *w) {
    if (!shape_fits(c) || images < 1) { return false; }
    sizes_of(c, images, w);
    int64_t width = 2 * lanes_of(), panels = tare__ceil_div(w->filters, width), all = tare__wino_tiles(w);
    int64_t most = tare__max(1, SUMS_SIZE / (positions(w) * w->pitch * width));
    w->parts = tare__ceil_div(panels, most);
    w->part = tare__ceil_div(panels, w->parts) * width;
    w->parts = tare__ceil_div(w->filters, w->part);
    int64_t fit = tiles_that_fit(w, tare__max(w->pitch, w->part));
    if (fit < TILES / 2) { return false; }
    w->shares = tare__max(1, tare__min(UNITS / w->parts, tare__ceil_div(all, TILES)));
    int64_t size = positions(w) * w->pitch * w->parts * w->part;
    while (w->shares > 1 && w->shares * size > SHARES_SIZE) { w->shares /= 2; }
    w->blocks = tare__ceil_div(tare__ceil_div(all, fit), w->shares) * w->shares;
    double sums = (double)size / (double)lanes_of() * (double)(2 * w->blocks + 4);
    return is_quicker(w, (double)w->parts, sums);
}

static int64_t bias_room(const tare__wino *w) { return tare__ceil_div(w->shares * w->parts * w->part, 8) * 8; }

size_t tare__wino_sums_scratch(const tare__wino *w) {
    return (size_t)bias_room(w) * sizeof(double) +
           (size_t)(w->shares * w->parts * positions(w) * tare__wino_step(w, w->part)) * sizeof(tare_real);
}

static void sums_range(void *context, int64_t begin, int64_t end) { tare__kernels()->wino_sums(context, begin, end); }
static void gather_range(void *context, int64_t begin, int64_t end) {
    tare__kernels()->wino_gather(context, begin, end);
}

void tare__wino_sum(tare__wino *w, const tare__conv2d_sums *s) {
    double *bias = s->scratch;
    w->bias_sums = s->db ? bias : NULL;
    w->sums = (tare_real *)(bias + bias_room(w));
    tare_parallel_for(w->shares * w->parts, 1, sums_range, w);
    tare__wino_weights x = { .w = w, .from = w->sums, .to = s->dw, .add = s->add_w };
    tare_parallel_for(weight_units(w), 2, gather_range, &x);
    for (int64_t k = 0; s->db && k < w->filters; k++) {
        double sum = 0;
        for (int64_t share = 0; share < w->shares; share++) { sum += bias[share * w->parts * w->part + k]; }
        s->db[k] = (tare_real)sum + (s->add_b ? s->db[k] : 0);
    }
}
