/* conv2d_wino.c - convolutions through Winograd's filtering: which ones, how the work is cut, the three products. */
#include "conv2d_wino.h"

enum {
    UNITS = 8,             /* pieces wanted of a batch, so that threads share evenly */
    TILES = 14,            /* fewest tiles worth a piece */
    SUMS_SIZE = 96 << 10,  /* numbers of a part's sums, which ought to stay in the second-level cache */
    SHARES_SIZE = 1 << 21, /* most numbers in the sums of all shares */
    IN_COST = 200,         /* cycles, roughly: transforming a tile of a vector of channels, */
    OUT_COST = 200,        /* of filters, */
    WEIGHT_COST = 100,     /* one channel's weights for a vector of filters, */
    OUTPUT_COST = 20,      /* an output of the plain sum under a stride of 2, beside its products, for such a vector, */
    OUTPUT_COST_DW = 40,   /* the same where dW is summed, */
    TRAFFIC_COST = 3,      /* ten numbers to or from the third-level cache */
};

static int64_t lanes_of(void) { return tare__kernels()->lanes; }

static int64_t taps_of(const tare__conv *c) { return tare__ceil_div(tare__max(c->taps_h, c->taps_w), c->stride_h); }

static bool shape_fits(const tare__conv *c) {
    if (c->dil_h != 1 || c->dil_w != 1 || c->taps_h < 1 || c->taps_w < 1 || c->stride_h != c->stride_w) {
        return false;
    }
    return c->stride_h == 1 ? taps_of(c) == 2 || taps_of(c) == 3 : c->stride_h == 2 && taps_of(c) == 2;
}

static void sizes_of(const tare__conv *c, int64_t images, tare__wino *w) {
    *w = (tare__wino){ .taps = taps_of(c),
                       .taps_h = c->taps_h,
                       .taps_w = c->taps_w,
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
                       .y_column = c->y_column,
                       .w_size = c->taps_h * c->taps_w,
                       .w_side = c->taps_w,
                       .w_row = c->stride_h * c->taps_w,
                       .w_column = c->stride_w };
    w->w_channel = w->w_size;
    w->w_filter = w->w_channel * c->channels;
    w->pitch = w->stride * w->stride * tare__ceil_div(w->channels, lanes_of()) * lanes_of();
}

static int64_t positions(const tare__wino *w) { return tare__wino_n(w) * tare__wino_n(w); }

/* How many tiles of `width` channels or filters fit at a time. */
static int64_t tiles_that_fit(const tare__wino *w, int64_t width) {
    return tare__min(TARE__WINO_TILES, (TARE__WINO_IN / positions(w) - TARE__WINO_LINE) / width);
}

/* Cycles as the sum is written, `output` of them for each output under a stride, and this way, but for what `extra` says. */
static double direct_cost(const tare__wino *w, double output) {
    double outputs = (double)(w->images * w->out_h * w->out_w), area = (double)(w->taps_h * w->taps_w);
    double each = area * (double)w->channels * 0.6 + (w->stride == 1 ? 0 : output);
    return outputs * (double)w->filters / (double)lanes_of() * each;
}

static double wino_cost(const tare__wino *w, double in_times, double extra) {
    double tiles = (double)tare__wino_tiles(w), vectors = (double)tare__ceil_div(w->filters, lanes_of());
    double product = tiles * (double)positions(w) * (double)w->pitch * vectors * 0.55;
    double lines = (double)w->pitch / (double)lanes_of();
    double around = tiles * (lines * IN_COST * in_times + vectors * OUT_COST);
    return product + around + extra;
}

static double traffic_cost(double numbers) { return numbers * TRAFFIC_COST / 10; }

/* Channels whose weights, or sums, for a panel of filters are at hand at a time where all tiles are transformed first. */
static int64_t chunk_of(const tare__wino *w) {
    int64_t width = 2 * lanes_of() * w->stride * w->stride;
    int64_t most = (TARE__WINO_WEIGHTS / positions(w) - TARE__WINO_LINE) / width / lanes_of() * lanes_of();
    int64_t chunks = tare__ceil_div(w->channels, most);
    return tare__ceil_div(tare__ceil_div(w->channels, chunks), lanes_of()) * lanes_of();
}

/* Numbers of all transformed tiles, `width` channels or filters each. */
static int64_t whole_size(const tare__wino *w, int64_t width) {
    return positions(w) * (tare__wino_tiles(w) * width + TARE__WINO_LINE);
}

/* ---- from x to y ------------------------------------------------------------------------------------------------- */

static int64_t panels_of(const tare__wino *w) { return tare__ceil_div(w->filters, 2 * lanes_of()); }

static int64_t panels_size(const tare__wino *w) {
    return panels_of(w) * positions(w) * tare__wino_step(w, 2 * lanes_of());
}

/* Numbers of weights in and out of one pass through all filters' panels. */
static double weights_cost(const tare__wino *w) {
    return (double)(w->channels * w->stride * w->stride * tare__ceil_div(w->filters, lanes_of())) * WEIGHT_COST;
}

/* A block of tiles at a time; false where hardly any fit. */
static bool plan_blocks(tare__wino *w, double *cost) {
    int64_t all = tare__wino_tiles(w), fit = tiles_that_fit(w, w->pitch);
    if (fit < TILES / 2) { return false; }
    w->whole = false;
    w->blocks = tare__max(tare__ceil_div(all, fit), tare__min(UNITS, tare__ceil_div(all, TILES)));
    w->parts = 1;
    while (w->blocks * w->parts < UNITS / 2 && panels_of(w) >= 2 * w->parts) { w->parts *= 2; }
    double traffic = traffic_cost((double)panels_size(w) * (double)(2 + w->blocks));
    *cost = wino_cost(w, (double)w->parts, weights_cost(w) + traffic);
    return true;
}

/* All tiles first, then parts of them for each panel of filters. */
static void plan_whole(tare__wino *w, double *cost) {
    int64_t all = tare__wino_tiles(w), fit = (TARE__WINO_OUT / positions(w) - TARE__WINO_LINE) / (2 * lanes_of());
    w->whole = true;
    w->blocks = tare__max(1, tare__min(UNITS, all / 4));
    w->chunk = chunk_of(w);
    w->parts = w->chunk >= w->channels ? 1 : tare__ceil_div(all, fit);
    while (panels_of(w) * w->parts < UNITS / 2 && all / w->parts >= 2 * TILES) { w->parts *= 2; }
    double traffic = traffic_cost((double)whole_size(w, w->pitch) * (double)(2 + panels_of(w)));
    *cost = wino_cost(w, 1, weights_cost(w) * (double)w->parts + traffic);
}

bool tare__wino_pass_of(const tare__conv *c, int64_t images, tare__wino *w) {
    if (!shape_fits(c) || images < 1) { return false; }
    double blocks_cost = 0, whole_cost;
    sizes_of(c, images, w);
    tare__wino whole = *w;
    bool fits = plan_blocks(w, &blocks_cost);
    plan_whole(&whole, &whole_cost);
    if (!fits || whole_cost < blocks_cost) {
        *w = whole;
        blocks_cost = whole_cost;
    }
    return blocks_cost < direct_cost(w, OUTPUT_COST);
}

int64_t tare__wino_pass_size(const tare__wino *w) { return w->whole ? whole_size(w, w->pitch) : panels_size(w); }

static int64_t weight_units(const tare__wino *w) {
    return tare__ceil_div(w->filters, lanes_of()) * tare__ceil_div(w->channels, TARE__WINO_CHANNELS);
}

static void weights_range(void *context, int64_t begin, int64_t end) {
    tare__kernels()->wino_weights(context, begin, end);
}
static void pass_range(void *context, int64_t begin, int64_t end) { tare__kernels()->wino(context, begin, end); }

static void in_range(void *context, int64_t begin, int64_t end) { tare__kernels()->wino_in(context, begin, end); }
static void whole_range(void *context, int64_t begin, int64_t end) { tare__kernels()->wino_whole(context, begin, end); }

void tare__wino_pass(tare__wino *w, tare_real *scratch) {
    if (w->whole) {
        w->v = scratch;
        tare_parallel_for(w->blocks, 1, in_range, w);
        tare_parallel_for(panels_of(w) * w->parts, 1, whole_range, w);
        return;
    }
    tare__wino_weights x = { .w = w, .to = scratch };
    tare_parallel_for(weight_units(w), 2, weights_range, &x);
    w->panels = scratch;
    tare_parallel_for(w->blocks * w->parts, 1, pass_range, w);
}

/* ---- from x and dy to the weight --------------------------------------------------------------------------------- */

/* A block of tiles at a time; false where hardly any fit. */
static bool plan_shares(tare__wino *w, double *cost) {
    int64_t width = 2 * lanes_of(), panels = panels_of(w), all = tare__wino_tiles(w);
    int64_t most = tare__max(1, SUMS_SIZE / (positions(w) * w->pitch * width));
    w->whole = false;
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
    double traffic = traffic_cost((double)size * (double)(2 * w->shares));
    *cost = wino_cost(w, (double)w->parts, sums + traffic);
    return true;
}

/* All tiles first. */
static void plan_whole_sums(tare__wino *w, double *cost) {
    int64_t all = tare__wino_tiles(w);
    w->whole = true;
    w->blocks = tare__max(1, tare__min(UNITS, all / 4));
    w->shares = w->blocks;
    w->parts = 1;
    w->part = tare__ceil_div(w->filters, lanes_of()) * lanes_of();
    w->chunk = chunk_of(w);
    while (panels_of(w) * tare__ceil_div(w->channels, w->chunk) < UNITS / 2 && w->chunk >= 2 * TARE__WINO_CHANNELS) {
        w->chunk = tare__ceil_div(w->chunk / 2, lanes_of()) * lanes_of();
    }
    double chunks = (double)tare__ceil_div(w->channels, w->chunk), panels = (double)panels_of(w);
    double sums = (double)(positions(w) * w->pitch * w->part) / (double)lanes_of() * 4;
    double traffic = (double)whole_size(w, w->pitch) * (2 + panels) + (double)whole_size(w, w->part) * (2 + chunks);
    *cost = wino_cost(w, 1, sums + traffic_cost(traffic));
}

bool tare__wino_sums_of(const tare__conv *c, int64_t images, tare__wino *w) {
    if (!shape_fits(c) || images < 1) { return false; }
    double shares_cost = 0, whole_cost;
    sizes_of(c, images, w);
    tare__wino whole = *w;
    bool fits = plan_shares(w, &shares_cost);
    plan_whole_sums(&whole, &whole_cost);
    if (!fits || whole_cost < shares_cost) {
        *w = whole;
        shares_cost = whole_cost;
    }
    return shares_cost < direct_cost(w, OUTPUT_COST_DW);
}

static int64_t bias_room(const tare__wino *w) { return tare__ceil_div(w->shares * w->parts * w->part, 8) * 8; }

static int64_t sums_size(const tare__wino *w) {
    return w->whole ? whole_size(w, w->pitch) + whole_size(w, w->part)
                    : w->shares * w->parts * positions(w) * tare__wino_step(w, w->part);
}

size_t tare__wino_sums_scratch(const tare__wino *w) {
    return (size_t)bias_room(w) * sizeof(double) + (size_t)sums_size(w) * sizeof(tare_real);
}

static void sums_range(void *context, int64_t begin, int64_t end) { tare__kernels()->wino_sums(context, begin, end); }
static void gather_range(void *context, int64_t begin, int64_t end) {
    tare__kernels()->wino_gather(context, begin, end);
}

static void whole_sums_range(void *context, int64_t begin, int64_t end) {
    tare__kernels()->wino_whole_sums(context, begin, end);
}

void tare__wino_sum(tare__wino *w, const tare__conv2d_sums *s) {
    double *bias = s->scratch;
    w->bias_sums = s->db ? bias : NULL;
    tare__wino_weights x = { .w = w, .to = s->dw, .add = s->add_w };
    if (w->whole) {
        w->v = (tare_real *)(bias + bias_room(w));
        w->dv = w->v + whole_size(w, w->pitch);
        tare_parallel_for(w->blocks, 1, in_range, w);
        tare_parallel_for(panels_of(w) * tare__ceil_div(w->channels, w->chunk), 1, whole_sums_range, &x);
    } else {
        x.from = w->sums = (tare_real *)(bias + bias_room(w));
        tare_parallel_for(w->shares * w->parts, 1, sums_range, w);
        tare_parallel_for(weight_units(w), 2, gather_range, &x);
    }
    for (int64_t k = 0; s->db && k < w->filters; k++) {
        double sum = 0;
        for (int64_t share = 0; share < w->shares; share++) { sum += bias[share * w->parts * w->part + k]; }
        s->db[k] = (tare_real)sum + (s->add_b ? s->db[k] : 0);
    }
}
