/* conv2d_back.c - the product from y to x, the gradient to conv2d's input: each phase of the stride is a correlation of dy with those
 * taps that reach it, turned round. Under a stride of 2 four phases go together. */
#include "conv2d.h"

#include "../kernels/conv_back.h"
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
    tare__conv_back back; /* of four phases together */
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

/* ---- the phases of a stride of 2 together ------------------------------------------------------------------------ */

/* Of two phases the one with number 0 goes first. The window that holds the taps of both: its pad, its taps, its outputs. */
static void pair_of(const phase *one, const phase *other, tare__back_phase *to, int64_t *pad, int64_t *taps,
                    int64_t *outputs) {
    const phase *of[2] = { one, other };
    int64_t begin = INT64_MAX, end = INT64_MIN;
    for (int i = 0; i < 2; i++) {
        if (of[i]->taps == 0) { continue; }
        begin = tare__min(begin, -of[i]->pad);
        end = tare__max(end, (of[i]->taps - 1) * of[i]->dil - of[i]->pad);
    }
    for (int i = 0; i < 2; i++) {
        to[of[i]->start] = (tare__back_phase){ of[i]->taps, -of[i]->pad - begin, of[i]->dil, of[i]->count };
    }
    *pad = -begin;
    *taps = end - begin + 1;
    *outputs = to[0].count;
}

static bool is_pair(const phase *one, const phase *other) { return one->start + other->start == 1; }

/* Whether the four phases go together, and how: not where Winograd's filtering serves all, nor where dx has few channels. */
static bool together_of(const tare__conv2d *v, tare__conv_back *to) {
    if (v->stride_h != 2 || v->stride_w != 2 || 2 * v->c < tare__kernels()->lanes) { return false; }
    phase a[2], b[2];
    int wino = 0;
    for (int i = 0; i < 2; i++) {
        a[i] = phase_of(i, v->h, v->r, 2, v->pad_h, v->dil_h);
        b[i] = phase_of(i, v->w, v->s, 2, v->pad_w, v->dil_w);
    }
    for (int i = 0; i < 4; i++) {
        tare__wino w;
        wino += phase_is_wino(v, &a[i / 2], &b[i % 2], &w);
    }
    if (wino == 4 || !is_pair(&a[0], &a[1]) || !is_pair(&b[0], &b[1])) { return false; }
    *to = (tare__conv_back){ .window = { .channels = v->k, .height = v->oh, .width = v->ow, .filters = v->c } };
    tare__conv *c = &to->window;
    pair_of(&a[0], &a[1], to->rows, &c->pad_h, &c->taps_h, &c->out_h);
    pair_of(&b[0], &b[1], to->columns, &c->pad_w, &c->taps_w, &c->out_w);
    c->stride_h = c->stride_w = c->dil_h = c->dil_w = 1;
    c->y_plane = v->h * v->w;
    c->y_row = v->w;
    c->y_column = 1;
    return tare__kernels()->conv_back_fits(to);
}

static void together_panels(input_job *j) {
    const tare__conv2d *v = &j->pass->v;
    tare_real *turned = j->turned;
    for (int i = 0; i < 4; i++) {
        phase a = phase_of(i / 2, v->h, v->r, 2, v->pad_h, v->dil_h),
              b = phase_of(i % 2, v->w, v->s, 2, v->pad_w, v->dil_w);
        tare__conv2d_panels p = { v->groups, v->c, v->k * a.taps * b.taps, turned, phase_panels(j, turned) };
        if (p.taps > 0) { tare__conv2d_panels_fill(&p); }
        j->back.panels[a.start][b.start] = p.to;
        turned += v->groups * v->c * p.taps;
    }
}

static void together_units(void *context, int64_t begin, int64_t end) {
    const input_job *j = context;
    const tare__conv2d_pass *p = j->pass;
    const tare__conv2d *v = &p->v;
    const tare__conv2d_units *u = &j->units;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t band = unit / u->parts % u->bands, image = unit / u->parts / u->bands, pairs = j->back.window.out_h;
        tare__conv2d_part part = tare__conv2d_part_of(v->c, u->parts, unit % u->parts);
        tare__conv_back b = j->back;
        b.window.filters = part.end - part.begin;
        b.window.x_end = p->from + v->n * v->groups * v->k * v->oh * v->ow;
        b.window.add = p->add;
        for (int64_t g = 0; g < v->groups; g++) {
            int64_t channel = g * v->c + part.begin;
            b.window.x = p->from + (image * v->groups + g) * v->k * v->oh * v->ow;
            b.window.y = p->to + (image * v->groups * v->c + channel) * v->h * v->w;
            b.window.bias = p->bias ? p->bias + channel : NULL;
            for (int i = 0; i < 4; i++) {
                int64_t taps = v->k * b.rows[i / 2].taps * b.columns[i % 2].taps;
                const tare_real *panels = tare__conv2d_panels_at(j->back.panels[i / 2][i % 2], g, v->c, taps);
                b.panels[i / 2][i % 2] = panels + part.begin * taps;
            }
            tare__kernels()->conv_back(&b, tare__piece(pairs, u->bands, band), tare__piece(pairs, u->bands, band + 1));
        }
    }
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
    bool together = together_of(v, &j.back);
    if (!together) {
        each_phase(&j, wino_phase, 0);
        if (!others) { return; }
    }
    tare_parallel_for(v->groups * v->c, tare__grain((double)(v->k * v->r * v->s)), turn_channels, &j);
    if (together) {
        together_panels(&j);
    } else {
        each_phase(&j, panel_phase, 0);
    }
    int64_t units = v->n * j.units.bands * j.units.parts;
    tare_parallel_for(units, j.units.grain, together ? together_units : input_units, &j);
}

size_t tare__conv2d_back_scratch(const tare__conv2d *v) {
    bool others;
    if (tare__conv2d_is_depth(v)) { return 0; }
    return (size_t)(turned_size(v) + panels_size(v, &others)) * sizeof(tare_real);
}
