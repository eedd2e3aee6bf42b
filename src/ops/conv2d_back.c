/* conv2d_back.c - the product from y to x, the gradient to conv2d's input: each phase of the stride is a correlation of dy with those
 * taps that reach it, turned round. */
#include "conv2d.h"

#include "conv2d_wino.h"

/* Along one dimension, the inputs congruent to `phase` under the stride and the taps that reach them. */
typedef struct phase {
    int64_t taps, first, step; /* taps first, first + step, ... of the kernel */
    int64_t dil, pad;          /* of the correlation with dy */
    int64_t start, count;      /* the inputs start, start + stride, ... */
} phase;

static phase phase_of(int64_t index, int64_t size, int64_t taps, int64_t stride, int64_t pad, int64_t dil) {
    phase p = { .first = -1 };
    for (int64_t r = 0; r < taps; r++) {
        if (r * dil % stride != index) { continue; }
        if (p.taps == 0) { p.first = r; }
        if (p.taps == 1) { p.step = r - p.first; }
        p.taps++;
    }
    /* Input u stride + index - pad >= 0 meets dy[u - (r dil - index) / stride]. */
    int64_t u = pad > index ? (pad - index + stride - 1) / stride : 0;
    p.start = u * stride + index - pad;
    p.count = p.start < size ? (size - p.start - 1) / stride + 1 : 0;
    p.dil = p.taps > 1 ? p.step * dil / stride : 1;
    p.pad = p.taps ? (p.first * dil - index) / stride + (p.taps - 1) * p.dil - u : 0;
    return p;
}

typedef struct input_job {
    const tare__conv2d_pass *pass;
    tare__conv2d_units units;
    tare_real *turned, *panels;
} input_job;

/* The weights of phase (a, b), as [groups][c][k][taps of a][taps of b], lie behind those of the phases before. */
static void turn_weight(const tare__conv2d *v, const phase *a, const phase *b, const tare_real *from, tare_real *to,
                        int64_t channel) {
    int64_t g = channel / v->c, c = channel % v->c;
    to += channel * v->k * a->taps * b->taps;
    for (int64_t k = 0; k < v->k; k++) {
        const tare_real *w = from + ((g * v->k + k) * v->c + c) * v->r * v->s;
        for (int64_t i = a->taps - 1; i >= 0; i--) {
            for (int64_t j = b->taps - 1; j >= 0; j--) {
                *to++ = w[(a->first + i * a->step) * v->s + b->first + j * b->step];
            }
        }
    }
}

/* Room for the turned weights of all phases, so that what follows is aligned. */
static int64_t turned_size(const tare__conv2d *v) {
    return tare__ceil_div(v->groups * v->k * v->c * v->r * v->s, 16) * 16;
}

typedef void (*phase_fn)(const input_job *j, const phase *a, const phase *b, tare_real *turned, int64_t which);

/* fn for each phase that has inputs. */
static void each_phase(const input_job *j, phase_fn fn, int64_t which) {
    const tare__conv2d *v = &j->pass->v;
    tare_real *turned = j->turned;
    for (int64_t ia = 0; ia < v->stride_h; ia++) {
        phase a = phase_of(ia, v->h, v->r, v->stride_h, v->pad_h, v->dil_h);
        for (int64_t ib = 0; ib < v->stride_w; ib++) {
            phase b = phase_of(ib, v->w, v->s, v->stride_w, v->pad_w, v->dil_w);
            fn(j, &a, &b, turned, which);
            turned += v->groups * v->c * v->k * a.taps * b.taps;
        }
    }
}

static void turn_phase(const input_job *j, const phase *a, const phase *b, tare_real *turned, int64_t channel) {
    turn_weight(&j->pass->v, a, b, j->pass->weight, turned, channel);
}

static void turn_channels(void *context, int64_t begin, int64_t end) {
    for (int64_t channel = begin; channel < end; channel++) { each_phase(context, turn_phase, channel); }
}

/* Outputs that no tap reaches: the bias alone, or 0. */
static void fill_phase(const tare__conv *c, int64_t begin, int64_t end) {
    for (int64_t k = 0; k < c->filters; k++) {
        tare_real value = c->bias ? c->bias[k] : 0;
        for (int64_t i = begin; i < end; i++) {
            for (int64_t j = 0; j < c->out_w; j++) { c->y[k * c->y_plane + i * c->y_row + j * c->y_column] = value; }
        }
    }
}

/* The correlation that gives phase (a, b); where its data lie is still to be filled in. */
static tare__conv phase_conv(const tare__conv2d *v, const phase *a, const phase *b) {
    return (tare__conv){ .channels = v->k,
                         .height = v->oh,
                         .width = v->ow,
                         .filters = v->c,
                         .out_h = a->count,
                         .out_w = b->count,
                         .taps_h = a->taps,
                         .taps_w = b->taps,
                         .stride_h = 1,
                         .stride_w = 1,
                         .pad_h = a->pad,
                         .pad_w = b->pad,
                         .dil_h = a->dil,
                         .dil_w = b->dil,
                         .y_plane = v->h * v->w,
                         .y_row = v->stride_h * v->w,
                         .y_column = v->stride_w };
}

static bool phase_is_empty(const phase *a, const phase *b) { return a->taps == 0 || b->taps == 0; }

static bool phase_is_wino(const tare__conv2d *v, const phase *a, const phase *b, tare__wino *w) {
    tare__conv c = phase_conv(v, a, b);
    bool fits = v->groups == 1 && v->r * v->s <= TARE__WINO_MOST_TAPS && a->count > 0 && b->count > 0;
    return fits && tare__wino_pass_of(&c, v->n, w);
}

static bool phase_is_wide(const tare__conv2d *v, const phase *a, const phase *b) {
    tare__conv c = phase_conv(v, a, b);
    return !phase_is_empty(a, b) && a->count > 0 && b->count > 0 && tare__kernels()->conv_prefers_wide(&c);
}

/* The panels of a phase lie as far behind the start as its turned weights do, counted in whole panels of channels. */
static tare_real *phase_panels(const input_job *j, const tare_real *turned) {
    int64_t c = j->pass->v.c;
    return j->panels + tare__conv2d_panels_size(1, c, (turned - j->turned) / c);
}

static void panel_phase(const input_job *j, const phase *a, const phase *b, tare_real *turned, int64_t none) {
    (void)none;
    const tare__conv2d *v = &j->pass->v;
    tare__wino w;
    if (phase_is_wino(v, a, b, &w) || !phase_is_wide(v, a, b)) { return; }
    tare__conv2d_panels p = { v->groups, v->c, v->k * a->taps * b->taps, turned, phase_panels(j, turned) };
    tare__conv2d_panels_fill(&p);
}

/* A whole phase by Winograd's filtering, one after the other: they share the room for panels. The weights are turned round as they
 * are read. */
static void wino_phase(const input_job *j, const phase *a, const phase *b, tare_real *turned, int64_t none) {
    (void)turned, (void)none;
    const tare__conv2d_pass *p = j->pass;
    const tare__conv2d *v = &p->v;
    tare__wino w;
    if (!phase_is_wino(v, a, b, &w)) { return; }
    w.x = p->from;
    w.x_end = p->from + v->n * v->k * v->oh * v->ow;
    w.bias = p->bias;
    w.y = p->to + a->start * v->w + b->start;
    w.add = p->add;
    w.weight = p->weight;
    w.weight_end = p->weight + v->k * v->c * v->r * v->s;
    w.w_size = v->r * v->s;
    w.w_filter = w.w_size;
    w.w_channel = w.w_size * v->c;
    w.w_first = (a->first + (a->taps - 1) * a->step) * v->s + b->first + (b->taps - 1) * b->step;
    w.w_row = -a->step * v->s;
    w.w_column = -b->step;
    tare__wino_pass(&w, j->panels);
}

static void input_phase(const input_job *j, const phase *a, const phase *b, tare_real *turned, int64_t unit) {
    const tare__conv2d_pass *p = j->pass;
    const tare__conv2d *v = &p->v;
    const tare__conv2d_units *u = &j->units;
    int64_t band = unit / u->parts % u->bands, image = unit / u->parts / u->bands, taps = v->k * a->taps * b->taps;
    int64_t begin = tare__piece(a->count, u->bands, band), end = tare__piece(a->count, u->bands, band + 1);
    tare__wino w;
    if (begin == end || b->count == 0 || phase_is_wino(v, a, b, &w)) { return; }
    bool wide = phase_is_wide(v, a, b);
    tare__conv2d_part part = tare__conv2d_part_of(v->c, u->parts, unit % u->parts);
    tare__conv c = phase_conv(v, a, b);
    c.filters = part.end - part.begin;
    c.x_end = p->from + v->n * v->groups * v->k * v->oh * v->ow;
    c.add = p->add;
    for (int64_t g = 0; g < v->groups; g++) {
        int64_t channel = g * v->c + part.begin;
        c.x = p->from + (image * v->groups + g) * v->k * v->oh * v->ow;
        c.bias = p->bias ? p->bias + channel : NULL;
        c.y = p->to + (image * v->groups * v->c + channel) * c.y_plane + a->start * v->w + b->start;
        if (wide) {
            c.weight = tare__conv2d_panels_at(phase_panels(j, turned), g, v->c, taps) + part.begin * taps;
            tare__kernels()->conv_wide(&c, begin, end);
        } else if (!phase_is_empty(a, b)) {
            c.weight = turned + channel * taps;
            tare__kernels()->conv(&c, begin, end);
        } else if (!p->add) {
            fill_phase(&c, begin, end);
        }
    }
}

static void input_units(void *context, int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; unit++) { each_phase(context, input_phase, unit); }
}

/* The panels' room, and whether there are phases that Winograd's filtering does not serve. */
static int64_t panels_size(const tare__conv2d *v, bool *others) {
    int64_t size = tare__conv2d_panels_size(v->groups, v->c, v->k * v->r * v->s);
    *others = false;
    for (int64_t ia = 0; ia < v->stride_h; ia++) {
        phase a = phase_of(ia, v->h, v->r, v->stride_h, v->pad_h, v->dil_h);
        for (int64_t ib = 0; ib < v->stride_w; ib++) {
            phase b = phase_of(ib, v->w, v->s, v->stride_w, v->pad_w, v->dil_w);
            tare__wino w;
            if (phase_is_wino(v, &a, &b, &w)) {
                size = tare__max(size, tare__wino_pass_size(&w));
            } else {
                *others = true;
            }
        }
    }
    return size;
}

void tare__conv2d_back(const tare__conv2d_pass *p) {
    const tare__conv2d *v = &p->v;
    if (tare__conv2d_is_depth(v)) {
        tare__conv2d_depth_back(p);
        return;
    }
    input_job j = { .pass = p, .turned = p->scratch };
    bool others;
    panels_size(v, &others);
    j.panels = j.turned + turned_size(v);
    j.units = tare__conv2d_units_of(v->n, v->h / v->stride_h, v->c, p->macs);
    each_phase(&j, wino_phase, 0);
    if (!others) { return; }
    tare_parallel_for(v->groups * v->c, tare__grain((double)(v->k * v->r * v->s)), turn_channels, &j);
    each_phase(&j, panel_phase, 0);
    tare_parallel_for(v->n * j.units.bands * j.units.parts, j.units.grain, input_units, &j);
}

size_t tare__conv2d_back_scratch(const tare__conv2d *v) {
    bool others;
    if (tare__conv2d_is_depth(v)) { return 0; }
    return (size_t)(turned_size(v) + panels_size(v, &others)) * sizeof(tare_real);
}
