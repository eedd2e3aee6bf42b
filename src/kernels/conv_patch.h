/* conv_patch.h - the copy of a piece of the input that makes every row of the im2col matrix a plain run of memory.
 *
 * Rows of the input, zeros around them, lie one after the other, so the outputs of several rows form one run too ("flat"),
 * with a gap between rows; tap (c, r, s) of output f is patch[offset(c, r, s) + f]. Nothing is ever repeated in memory.
 * Where vectors of outputs are read, a stride has the input dealt out to stride_h x stride_w phases, each of which then has
 * stride 1. Where outputs are read one by one, it lies as it is, and tables say where. Where there is padding on both sides,
 * the zeros on the right of a row are those on the left of the next. */
#ifndef TARE_CONV_PATCH_H
#define TARE_CONV_PATCH_H

#include "conv.h"
#include "gemm_pack.h"

#include <string.h>

enum {
    PATCH_SIZE = 1 << 16, /* numbers: 256 KiB of float */
    PATCH_SLACK = 3 * NR, /* behind the last plane: gaps and whole vectors may reach so far */
    PATCH_TAPS = 2048,    /* most rows of the im2col matrix at a time */
    PATCH_FLAT = 1152,    /* most outputs of one filter at a time, gaps counted */
    ENOUGH_TAPS = 256,    /* sums so long need no longer ones: rather fewer channels at a time than fewer rows */
};

typedef struct patch {
    int64_t i0, j0;        /* output row and column it starts at */
    int64_t rows, columns; /* outputs */
    int64_t phases_h, phases_w;
    int64_t deal_h, deal_w;  /* rows and columns of the input from one to the next of a phase: the stride, or 1 */
    int64_t step_h, step_w;  /* and those of a phase from output to output */
    int64_t plane_rows, row; /* of each phase: rows, and from row to row */
    int64_t plane, channel;  /* from phase to phase, from channel to channel */
    int64_t flat;            /* dealt: outputs and the gaps between them */
    bool in_place;           /* the patch is the input as it lies */
} patch;

/* One tap, no padding: what is read is the input, and lies in it. */
static inline bool patch_is_input(const tare__conv *c) {
    return c->taps_h == 1 && c->taps_w == 1 && c->pad_h == 0 && c->pad_w == 0 &&
           (c->out_h - 1) * c->stride_h < c->height && (c->out_w - 1) * c->stride_w < c->width;
}

/* `deal`: into phases. */
static inline patch patch_of(const tare__conv *c, bool deal, int64_t i0, int64_t rows, int64_t j0, int64_t columns) {
    int64_t reach_h = (c->taps_h - 1) * c->dil_h, reach_w = (c->taps_w - 1) * c->dil_w;
    patch p = { .i0 = i0, .j0 = j0, .rows = rows, .columns = columns };
    p.phases_h = deal ? min64(c->stride_h, reach_h + 1) : 1;
    p.phases_w = deal ? min64(c->stride_w, reach_w + 1) : 1;
    p.deal_h = deal ? c->stride_h : 1;
    p.deal_w = deal ? c->stride_w : 1;
    p.step_h = c->stride_h / p.deal_h;
    p.step_w = c->stride_w / p.deal_w;
    p.plane_rows = (rows - 1) * p.step_h + 1 + reach_h / p.deal_h;
    p.row = (columns - 1) * p.step_w + 1 + reach_w / p.deal_w;
    if (p.deal_w == 1 && columns == c->out_w) {
        int64_t right = p.row - c->pad_w - c->width;
        p.row -= max64(0, min64(min64(c->pad_w, right), min64(reach_w, NR)));
    }
    p.plane = p.plane_rows * p.row;
    p.channel = p.plane * p.phases_h * p.phases_w;
    p.flat = (rows - 1) * p.row + columns;
    p.in_place = !deal && patch_is_input(c);
    if (p.in_place) {
        p.row = c->width;
        p.plane = p.channel = c->height * c->width;
    }
    return p;
}

/* One tap, no stride, no padding: the input's planes are the im2col matrix as they lie. */
static inline bool patch_is_matrix(const tare__conv *c) {
    return c->taps_h == 1 && c->taps_w == 1 && c->stride_h == 1 && c->stride_w == 1 && c->pad_h == 0 && c->pad_w == 0 &&
           c->out_h == c->height && c->out_w == c->width;
}

/* How many output rows, columns and input channels go through a patch at a time. */
typedef struct patch_cut {
    int64_t rows, columns, channels;
} patch_cut;

/* rows 0 where not even one output's input fits. Depends on sizes alone. */
static inline patch_cut patch_cut_of(const tare__conv *c, bool deal, int64_t rows) {
    int64_t taps = c->taps_h * c->taps_w, pieces = (c->out_w + PATCH_FLAT - 1) / PATCH_FLAT;
    patch_cut cut = { min64(rows, PATCH_FLAT), (c->out_w + pieces - 1) / pieces, 0 };
    if (taps > PATCH_TAPS) { return (patch_cut){ 0, 0, 0 }; }
    for (;;) {
        patch p = patch_of(c, deal, 0, cut.rows, 0, cut.columns);
        int64_t fit = min64(p.in_place ? PATCH_TAPS : PATCH_SIZE / p.channel, PATCH_TAPS / taps);
        if ((deal ? p.flat : p.rows * p.columns) > PATCH_FLAT) { fit = 0; }
        cut.channels = min64(fit, c->channels);
        if (cut.channels == c->channels || cut.channels * taps >= ENOUGH_TAPS) { break; }
        if (cut.rows > 1) {
            cut.rows = (cut.rows + 1) / 2;
        } else if (cut.channels > 0) {
            break;
        } else if (cut.columns > 1) {
            cut.columns = (cut.columns + 1) / 2;
        } else {
            return (patch_cut){ 0, 0, 0 };
        }
    }
    return cut;
}

/* Where tap (channel, r, s) of output 0 lies. */
static inline int64_t patch_offset(const tare__conv *c, const patch *p, int64_t channel, int64_t r, int64_t s) {
    int64_t y = r * c->dil_h, x = s * c->dil_w;
    return channel * p->channel + (y % p->deal_h * p->phases_w + x % p->deal_w) * p->plane + y / p->deal_h * p->row +
           x / p->deal_w;
}

/* offsets[i] of the taps [begin, end) in the order of the weights: channel, r, s. */
static inline void patch_offsets(const tare__conv *c, const patch *p, int64_t begin, int64_t end, int64_t *offsets) {
    int64_t s = begin % c->taps_w, r = begin / c->taps_w % c->taps_h, channel = begin / c->taps_w / c->taps_h;
    for (int64_t i = begin; i < end; i++) {
        *offsets++ = patch_offset(c, p, channel, r, s);
        if (++s == c->taps_w) {
            s = 0;
            if (++r == c->taps_h) { r = 0, channel++; }
        }
    }
}

/* Where output i of the patch, gaps not counted, lies behind the first. */
static inline void patch_places(const patch *p, int64_t *places) {
    for (int64_t i = 0; i < p->rows; i++) {
        for (int64_t j = 0; j < p->columns; j++) { *places++ = i * p->step_h * p->row + j * p->step_w; }
    }
}

/* `count` zeros, or more where they are few. */
static inline void put_zeros(tare_real *to, int64_t count) {
    for (int64_t j = 0; j < count; j += VL) { vec_store(to + j, (vec){ 0 }); }
}

/* One plane whose rows are not dealt out: of its rows those in [y0, y1) lie in the input, the first at `from`; in each `left` zeros,
 * `some` numbers, zeros. What a vector writes too much is written over by what follows. */
static inline void patch_plane(const tare__conv *c, const patch *p, tare_real *to, int64_t y0, int64_t y1,
                               const tare_real *from, int64_t left, int64_t some) {
    int64_t right = p->row - left - some, step = p->deal_h * c->width;
    memset(to, 0, (size_t)(y0 * p->row) * sizeof *to);
    to += y0 * p->row;
    for (int64_t i = y0; i < y1; i++, from += step, to += p->row) {
        tare_real *data = to + left;
        put_zeros(to, left);
        if (from + some + VL <= c->x_end) {
            for (int64_t j = 0; j < some; j += VL) { vec_store(data + j, vec_load(from + j)); }
        } else {
            memcpy(data, from, (size_t)some * sizeof *to);
        }
        put_zeros(data + some, right);
    }
    memset(to, 0, (size_t)((p->plane_rows - y1) * p->row) * sizeof *to);
}

/* One row of a phase under a stride: element j is from[j stride_w + first], or 0 outside the input's row. */
static inline void patch_strided_row(const tare__conv *c, tare_real *to, int64_t length, const tare_real *from,
                                     int64_t first) {
    int64_t left = max64(0, min64(first < 0 ? (-first + c->stride_w - 1) / c->stride_w : 0, length));
    int64_t end = max64(left, min64((c->width - first + c->stride_w - 1) / c->stride_w, length));
    from += first;
    for (int64_t j = 0; j < left; j++) { to[j] = 0; }
    if (c->stride_w == 2) {
        for (int64_t j = left; j < end; j++) { to[j] = from[2 * j]; }
    } else {
        for (int64_t j = left; j < end; j++) { to[j] = from[j * c->stride_w]; }
    }
    for (int64_t j = end; j < length; j++) { to[j] = 0; }
}

/* Where the columns of the input at even (or odd) places lie in a row of their phase, under a stride of 2. */
typedef struct patch_half {
    tare_real *to;       /* the row */
    int64_t left, count; /* zeros before them; how many of them */
} patch_half;

static inline patch_half patch_half_of(const tare__conv *c, const patch *p, tare_real *to, int odd) {
    patch_half h = { .left = (c->pad_w + odd) / 2, .count = (c->width + 1 - odd) / 2 };
    h.to = to + (c->pad_w + odd) % 2 * p->plane;
    h.count = max64(0, min64(h.count, p->row - h.left));
    return h;
}

#ifdef PACK_LANES
/* Both halves of a row. What a vector writes too much is written over by what follows; where nothing would, `close` is set. */
static inline void patch_deal_row(const patch *p, const tare_real *from, patch_half even, patch_half odd, bool close) {
    _Alignas(64) tare_real line[2 * VL];
    for (int64_t j = 0; j < max64(even.count, odd.count); j += VL) {
        vec a = vec_load(from + 2 * j), b = vec_load(from + 2 * j + VL);
        vec x = UNZIP_EVEN(a, b), y = UNZIP_ODD(a, b);
        if (close) {
            vec_store(line, x);
            vec_store(line + VL, y);
            put_line(even.to + even.left + j, line, max64(0, min64(VL, even.count - j)), false);
            put_line(odd.to + odd.left + j, line + VL, max64(0, min64(VL, odd.count - j)), false);
        } else {
            vec_store(even.to + even.left + j, x);
            vec_store(odd.to + odd.left + j, y);
        }
    }
    for (int64_t j = 0; j < even.left; j++) { even.to[j] = 0; }
    for (int64_t j = even.left + even.count; j < p->row; j++) { even.to[j] = 0; }
    for (int64_t j = 0; j < odd.left; j++) { odd.to[j] = 0; }
    for (int64_t j = odd.left + odd.count; j < p->row; j++) { odd.to[j] = 0; }
}

static inline bool patch_deals(const tare__conv *c, const patch *p) {
    return c->stride_w == 2 && p->phases_w == 2 && p->j0 == 0 && p->columns == c->out_w && c->pad_w >= 0;
}
#else
static inline void patch_deal_row(const patch *p, const tare_real *from, patch_half even, patch_half odd, bool close) {
    (void)p, (void)from, (void)even, (void)odd, (void)close;
}
static inline bool patch_deals(const tare__conv *c, const patch *p) {
    (void)c, (void)p;
    return false;
}
#endif

/* Two planes, of both phases along the columns: rows [y0, y1) lie in the input, the first at `from`. */
static inline void patch_deal(const tare__conv *c, const patch *p, tare_real *to, int64_t y0, int64_t y1,
                              const tare_real *from) {
    for (int64_t i = 0; i < p->plane_rows; i++, to += p->row) {
        if (i < y0 || i >= y1) {
            memset(to, 0, (size_t)p->row * sizeof *to);
            memset(to + p->plane, 0, (size_t)p->row * sizeof *to);
            continue;
        }
        patch_half even = patch_half_of(c, p, to, 0), odd = patch_half_of(c, p, to, 1);
        if (from + 2 * (max64(even.count, odd.count) + VL) <= c->x_end) {
            patch_deal_row(p, from, even, odd, (p->plane_rows - 1 - i) * p->row < VL);
        } else {
            patch_strided_row(c, to, p->row, from, -c->pad_w);
            patch_strided_row(c, to + p->plane, p->row, from, 1 - c->pad_w);
        }
        from += c->stride_h * c->width;
    }
}

/* Fill the patch with `channels` channels from c0 on. */
static inline void patch_fill(const tare__conv *c, const patch *p, int64_t c0, int64_t channels, tare_real *to) {
    int64_t phases = p->phases_h * p->phases_w;
    for (int64_t n = 0; n < channels * phases; n++, to += p->plane) {
        const tare_real *x = c->x + (c0 + n / phases) * c->height * c->width;
        int64_t a = n % phases / p->phases_w, b = n % phases % p->phases_w;
        int64_t step = p->deal_h, top = p->i0 * c->stride_h + a - c->pad_h, first = p->j0 * c->stride_w + b - c->pad_w;
        /* Rows y0 .. y1 - 1 of the plane are rows of the input. */
        int64_t y0 = min64(top < 0 ? (-top + step - 1) / step : 0, p->plane_rows);
        int64_t y1 = max64(y0, min64((c->height - top + step - 1) / step, p->plane_rows));
        if (patch_deals(c, p)) {
            if (b == 0) { patch_deal(c, p, to, y0, y1, x + (top + y0 * step) * c->width); }
            continue;
        }
        if (p->deal_w == 1) {
            int64_t left = max64(0, min64(-first, p->row));
            int64_t some = max64(0, min64(c->width - first, p->row) - left);
            patch_plane(c, p, to, y0, y1, x + (top + y0 * step) * c->width + first + left, left, some);
            continue;
        }
        for (int64_t i = 0; i < p->plane_rows; i++) {
            if (i >= y0 && i < y1) {
                patch_strided_row(c, to + i * p->row, p->row, x + (top + i * step) * c->width, first);
            } else {
                memset(to + i * p->row, 0, (size_t)p->row * sizeof *to);
            }
        }
    }
    memset(to, 0, PATCH_SLACK * sizeof *to);
}

/* What is done with a patch: channels [c0, c0 + channels) of the input lie in `in`. */
typedef void (*patch_fn)(const tare__conv *c, const patch *p, const tare_real *in, int64_t c0, int64_t channels,
                         void *context);

/* Fill `in` with and call fn for every patch of output rows [begin, end). There must be a cut. */
static inline void patch_walk(const tare__conv *c, bool deal, int64_t begin, int64_t end, tare_real *in, patch_fn fn,
                              void *context) {
    patch_cut cut = patch_cut_of(c, deal, end - begin);
    int64_t pieces = (end - begin + cut.rows - 1) / cut.rows;
    for (int64_t n = 0; n < pieces; n++) {
        int64_t i = begin + piece(end - begin, pieces, n), i1 = begin + piece(end - begin, pieces, n + 1);
        for (int64_t j = 0; j < c->out_w; j += cut.columns) {
            patch p = patch_of(c, deal, i, i1 - i, j, min64(cut.columns, c->out_w - j));
            for (int64_t c0 = 0; c0 < c->channels; c0 += cut.channels) {
                int64_t channels = min64(cut.channels, c->channels - c0);
                const tare_real *from = c->x + c0 * p.channel + i * c->stride_h * c->width + j * c->stride_w;
                if (!p.in_place) {
                    patch_fill(c, &p, c0, channels, in);
                    from = in;
                }
                fn(c, &p, from, c0, channels, context);
            }
        }
    }
}

#endif
