/* conv2d.c - cross-correlation of images with filters: options, errors, the product from x to y; the op. */
#include "conv2d.h"

#include "conv2d_wino.h"

#include <inttypes.h>

tare__conv2d tare__conv2d_steps(const tare_conv2d_opt *opt) {
    tare__conv2d v = { .groups = opt->groups ? opt->groups : 1 };
    v.stride_h = opt->stride ? opt->stride : 1;
    v.stride_w = opt->stride_w ? opt->stride_w : v.stride_h;
    v.dil_h = opt->dilation ? opt->dilation : 1;
    v.dil_w = opt->dilation_w ? opt->dilation_w : v.dil_h;
    v.pad_h = opt->pad;
    v.pad_w = opt->pad_w == 0 ? opt->pad : opt->pad_w == -1 ? 0 : opt->pad_w;
    return v;
}

static tare__conv2d sizes_of(const tare_node *n) {
    const int64_t *x = n->in[0]->shape.dim, *w = n->in[1]->shape.dim;
    tare__conv2d v = tare__conv2d_steps(n->attr);
    v.n = x[0], v.h = x[2], v.w = x[3];
    v.k = w[0] / v.groups, v.c = w[1], v.r = w[2], v.s = w[3];
    int64_t room_h = v.h + 2 * v.pad_h - v.dil_h * (v.r - 1) - 1, room_w = v.w + 2 * v.pad_w - v.dil_w * (v.s - 1) - 1;
    v.oh = room_h < 0 ? 0 : room_h / v.stride_h + 1;
    v.ow = room_w < 0 ? 0 : room_w / v.stride_w + 1;
    /* A longer stride reaches no further, and backward has a phase for each step of it. */
    v.stride_h = tare__min(v.stride_h, tare__max(room_h + 1, 1));
    v.stride_w = tare__min(v.stride_w, tare__max(room_w + 1, 1));
    return v;
}

tare_status tare__conv2d_check_options(tare_node *n, const tare_conv2d_opt *o) {
    if (o->stride < 0 || o->stride_w < 0) {
        return tare_node_fail(n, TARE_EINVAL, "stride %d, stride_w %d: must be at least 1 (0: 1)", o->stride,
                              o->stride_w);
    }
    if (o->dilation < 0 || o->dilation_w < 0) {
        return tare_node_fail(n, TARE_EINVAL, "dilation %d, dilation_w %d: must be at least 1 (0: 1)", o->dilation,
                              o->dilation_w);
    }
    if (o->pad < 0 || o->pad_w < -1) {
        return tare_node_fail(n, TARE_EINVAL, "pad %d, pad_w %d: must be at least 0 (pad_w -1 for none)", o->pad,
                              o->pad_w);
    }
    if (o->groups < 0) { return tare_node_fail(n, TARE_EINVAL, "groups %d: must be at least 1 (0: 1)", o->groups); }
    return TARE_OK;
}

static tare_status check_shapes(tare_node *n) {
    tare_shape x = n->in[0]->shape, w = n->in[1]->shape;
    tare_shape_buf xt, wt, bt;
    const char *xs = tare_shape_text(x, &xt), *ws = tare_shape_text(w, &wt);
    int64_t groups = ((const tare_conv2d_opt *)n->attr)->groups;
    if (groups == 0) { groups = 1; }
    if (x.ndim != 4) { return tare_node_fail(n, TARE_ESHAPE, "x %s is not [N,C,H,W]", xs); }
    if (w.ndim != 4) { return tare_node_fail(n, TARE_ESHAPE, "weight %s is not [K,C/groups,R,S]", ws); }
    if (w.dim[0] < 1 || w.dim[1] < 1 || w.dim[2] < 1 || w.dim[3] < 1) {
        return tare_node_fail(n, TARE_ESHAPE, "weight %s has a dimension of 0", ws);
    }
    if (w.dim[0] % groups) {
        return tare_node_fail(n, TARE_ESHAPE, "%" PRId64 " groups do not divide the %" PRId64 " filters of weight %s",
                              groups, w.dim[0], ws);
    }
    if (x.dim[1] != w.dim[1] * groups) {
        return tare_node_fail(n, TARE_ESHAPE,
                              "x %s has %" PRId64 " channels, weight %s in %" PRId64 " group%s takes %" PRId64, xs,
                              x.dim[1], ws, groups, groups == 1 ? "" : "s", w.dim[1] * groups);
    }
    if (n->in[2] && (n->in[2]->shape.ndim != 1 || n->in[2]->shape.dim[0] != w.dim[0])) {
        return tare_node_fail(n, TARE_ESHAPE, "bias %s does not fit weight %s: must be [%" PRId64 "]",
                              tare_shape_text(n->in[2]->shape, &bt), ws, w.dim[0]);
    }
    return TARE_OK;
}

tare__conv tare__conv2d_conv(const tare__conv2d *v) {
    return (tare__conv){ .channels = v->c,
                         .height = v->h,
                         .width = v->w,
                         .filters = v->k,
                         .out_h = v->oh,
                         .out_w = v->ow,
                         .taps_h = v->r,
                         .taps_w = v->s,
                         .stride_h = v->stride_h,
                         .stride_w = v->stride_w,
                         .pad_h = v->pad_h,
                         .pad_w = v->pad_w,
                         .dil_h = v->dil_h,
                         .dil_w = v->dil_w,
                         .y_plane = v->oh * v->ow,
                         .y_row = v->ow,
                         .y_column = 1 };
}

static tare_status check(tare_node *n) {
    tare_status status = tare__conv2d_check_options(n, n->attr);
    if (!status) { status = check_shapes(n); }
    if (status) { return status; }
    tare__conv2d v = sizes_of(n);
    if (v.oh < 1 || v.ow < 1) {
        tare_shape_buf xt, wt;
        return tare_node_fail(n, TARE_ESHAPE,
                              "weight %s (dilation %" PRId64 "x%" PRId64 ") is larger than x %s padded by %" PRId64
                              "x%" PRId64 ": use more padding, or pool less often before",
                              tare_shape_text(n->in[1]->shape, &wt), v.dil_h, v.dil_w,
                              tare_shape_text(n->in[0]->shape, &xt), v.pad_h, v.pad_w);
    }
    n->shape = TARE_SHAPE(v.n, v.k * v.groups, v.oh, v.ow);
    n->macs = (double)tare_shape_numel(n->shape) * (double)(v.c * v.r * v.s);
    n->scratch_bytes = tare__conv2d_ahead_scratch(&v);
    /* One after the other, so in the same place. */
    size_t input = n->in[0]->requires_grad ? tare__conv2d_back_scratch(&v) : 0;
    size_t weight = n->in[1]->requires_grad ? tare__conv2d_weight_scratch(&v) : 0;
    n->grad_scratch_bytes = input > weight ? input : weight;
    return TARE_OK;
}

enum {
    CHUNK_MACS = 1 << 17, /* multiply-adds worth a chunk of their own */
    UNITS = 8,            /* pieces wanted of a small batch */
};

tare__conv2d_units tare__conv2d_units_of(int64_t images, int64_t rows, int64_t filters, double macs) {
    tare__conv2d_units u = { 1, 1, 1 };
    while (images * u.bands * u.parts < UNITS && macs / (double)(images * u.bands * u.parts) >= 2 * CHUNK_MACS) {
        /* A band takes its neighbours' edges along, a part copies the input again: both cost little while they are large. */
        if (rows / u.bands >= 8) {
            u.bands *= 2;
        } else if (filters / u.parts >= 64) {
            u.parts *= 2;
        } else {
            break;
        }
    }
    double unit = macs / (double)(tare__max(images, 1) * u.bands * u.parts);
    u.grain = unit >= CHUNK_MACS ? 1 : (int64_t)(CHUNK_MACS / tare__max((int64_t)unit, 1));
    return u;
}

/* ---- weights in panels ------------------------------------------------------------------------------------------- */

static int64_t panel_width(void) { return 2 * tare__kernels()->lanes; }

int64_t tare__conv2d_panels_size(int64_t groups, int64_t filters, int64_t taps) {
    return groups * tare__ceil_div(filters, panel_width()) * panel_width() * taps;
}

const tare_real *tare__conv2d_panels_at(const tare_real *panels, int64_t group, int64_t filters, int64_t taps) {
    return panels + tare__conv2d_panels_size(group, filters, taps);
}

static void fill_panels(void *context, int64_t begin, int64_t end) {
    const tare__conv2d_panels *p = context;
    int64_t width = panel_width(), count = tare__ceil_div(p->filters, width);
    for (int64_t n = begin; n < end; n++) {
        tare__gemm_block b = { .columns = p->filters, .k = p->taps, .v_step = p->taps, .v_columns = true };
        b.v = p->from + n / count * p->filters * p->taps;
        tare__kernels()->gemm_turn(&b, n % count * width, p->to + n * width * p->taps);
    }
}

void tare__conv2d_panels_fill(tare__conv2d_panels *p) {
    int64_t width = panel_width(), count = p->groups * tare__ceil_div(p->filters, width);
    tare_parallel_for(count, tare__grain((double)(width * p->taps) / 4), fill_panels, p);
}

tare__conv2d_part tare__conv2d_part_of(int64_t filters, int64_t parts, int64_t i) {
    int64_t width = panel_width(), count = tare__ceil_div(filters, width);
    return (tare__conv2d_part){ tare__piece(count, parts, i) * width,
                                tare__min(tare__piece(count, parts, i + 1) * width, filters) };
}

/* ---- from x to y ------------------------------------------------------------------------------------------------- */

typedef struct job {
    const tare__conv2d_pass *pass;
    tare__conv2d_units units;
    const tare_real *panels; /* or NULL */
} job;

static void ahead_units(void *context, int64_t begin, int64_t end) {
    const job *j = context;
    const tare__conv2d_pass *p = j->pass;
    const tare__conv2d *v = &p->v;
    const tare__conv2d_units *u = &j->units;
    tare__conv c = tare__conv2d_conv(v);
    c.x_end = p->from + v->n * v->groups * v->c * v->h * v->w;
    c.add = p->add;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t band = unit / u->parts % u->bands, image = unit / u->parts / u->bands, taps = v->c * v->r * v->s;
        int64_t i0 = tare__piece(v->oh, u->bands, band), i1 = tare__piece(v->oh, u->bands, band + 1);
        tare__conv2d_part part = tare__conv2d_part_of(v->k, u->parts, unit % u->parts);
        c.filters = part.end - part.begin;
        for (int64_t g = 0; g < v->groups; g++) {
            int64_t filter = g * v->k + part.begin;
            c.x = p->from + (image * v->groups + g) * v->c * v->h * v->w;
            c.bias = p->bias ? p->bias + filter : NULL;
            c.y = p->to + (image * v->groups * v->k + filter) * c.y_plane;
            if (j->panels) {
                c.weight = tare__conv2d_panels_at(j->panels, g, v->k, taps) + part.begin * taps;
                tare__kernels()->conv_wide(&c, i0, i1);
            } else {
                c.weight = p->weight + filter * taps;
                tare__kernels()->conv(&c, i0, i1);
            }
        }
    }
}

static bool ahead_by_wino(const tare__conv2d *v, tare__wino *w) {
    tare__conv c = tare__conv2d_conv(v);
    return v->groups == 1 && tare__wino_pass_of(&c, v->n, w);
}

static void ahead_wino(const tare__conv2d_pass *p, tare__wino *w) {
    const tare__conv2d *v = &p->v;
    w->x = p->from;
    w->x_end = p->from + v->n * v->c * v->h * v->w;
    w->bias = p->bias;
    w->y = p->to;
    w->add = p->add;
    w->weight = p->weight;
    w->weight_end = p->weight + v->k * v->c * v->r * v->s;
    tare__wino_pass(w, p->scratch);
}

void tare__conv2d_ahead(const tare__conv2d_pass *p) {
    const tare__conv2d *v = &p->v;
    tare__wino w;
    if (tare__conv2d_is_depth(v)) {
        tare__conv2d_depth_ahead(p);
        return;
    }
    if (ahead_by_wino(v, &w)) {
        ahead_wino(p, &w);
        return;
    }
    job j = { .pass = p, .units = tare__conv2d_units_of(v->n, v->oh, v->k, p->macs) };
    if (tare__conv2d_ahead_scratch(v)) {
        tare__conv2d_panels panels = { v->groups, v->k, v->c * v->r * v->s, p->weight, p->scratch };
        tare__conv2d_panels_fill(&panels);
        j.panels = panels.to;
    }
    tare_parallel_for(v->n * j.units.bands * j.units.parts, j.units.grain, ahead_units, &j);
}

size_t tare__conv2d_ahead_scratch(const tare__conv2d *v) {
    tare__conv c = tare__conv2d_conv(v);
    tare__wino w;
    if (tare__conv2d_is_depth(v)) { return 0; }
    if (ahead_by_wino(v, &w)) { return (size_t)tare__wino_pass_size(&w) * sizeof(tare_real); }
    if (!tare__kernels()->conv_prefers_wide(&c)) { return 0; }
    return (size_t)tare__conv2d_panels_size(v->groups, v->k, v->c * v->r * v->s) * sizeof(tare_real);
}

/* ---- the op ------------------------------------------------------------------------------------------------------ */

static void forward(tare_node *n) {
    tare__conv2d_pass p = { .v = sizes_of(n), .from = n->in[0]->data, .weight = n->in[1]->data, .to = n->out->data };
    p.bias = n->in[2] ? n->in[2]->data : NULL;
    p.macs = n->macs;
    p.scratch = n->scratch;
    tare__conv2d_ahead(&p);
}

static void backward(tare_node *n) {
    tare__conv2d v = sizes_of(n);
    const tare_real *dy = n->out->grad;
    tare_real *dx = tare_grad(n, 0), *dw = tare_grad(n, 1), *db = n->in[2] ? tare_grad(n, 2) : NULL;
    bool add_b = db && tare_grad_add(n, 2);
    if (dw) {
        tare__conv2d_sums s = { .v = v, .x = n->in[0]->data, .y = dy, .dw = dw, .db = db, .add_b = add_b };
        s.add_w = tare_grad_add(n, 1);
        s.scratch = n->scratch;
        tare__conv2d_weight(&s);
    } else if (db) {
        tare__conv2d_bias b = { v.n, v.groups * v.k, v.oh * v.ow, dy, db, add_b };
        tare__conv2d_bias_sum(&b);
    }
    if (dx) { /* last, since it may lie where x does */
        tare__conv2d_pass p = { .v = v, .from = dy, .weight = n->in[1]->data, .to = dx, .macs = n->macs };
        p.add = tare_grad_add(n, 0);
        p.scratch = n->scratch;
        tare__conv2d_back(&p);
    }
}

/* clang-format off */
#define CASE(text, n, c, h, w, k, cg, r, s, ...)                                                                       \
    { .name = text, .in = { { 4, { n, c, h, w } }, { 4, { k, cg, r, s } }, { 1, { k } } },                             \
      .attr = &(const tare_conv2d_opt){ __VA_ARGS__ } }

static const tare_opcase cases[] = {
    CASE("k3", 2, 3, 5, 6, 4, 3, 3, 3, .stride = 1),
    CASE("k3_p1", 2, 2, 5, 5, 3, 2, 3, 3, .pad = 1),
    CASE("k3_p1_one_channel", 2, 1, 6, 7, 5, 1, 3, 3, .pad = 1),
    CASE("k3_s2_p1", 2, 3, 7, 6, 4, 3, 3, 3, .stride = 2, .pad = 1),
    CASE("k1", 2, 3, 4, 5, 4, 3, 1, 1, .stride = 1),
    CASE("k1_s2", 1, 3, 5, 6, 2, 3, 1, 1, .stride = 2),
    CASE("k2_s3", 1, 2, 8, 7, 3, 2, 2, 2, .stride = 3),
    CASE("k5_p2", 1, 2, 6, 6, 2, 2, 5, 5, .pad = 2),
    CASE("k3x2_s2x1_p1x0_d1x2", 2, 2, 7, 6, 3, 2, 3, 2, .stride = 2, .pad = 1, .dilation = 1, .stride_w = 1, .pad_w = -1,
         .dilation_w = 2),
    CASE("dilation2", 1, 2, 8, 7, 3, 2, 3, 3, .pad = 2, .dilation = 2),
    CASE("dilation2_s2", 1, 2, 9, 8, 3, 2, 3, 3, .stride = 2, .pad = 1, .dilation = 2),
    CASE("dilation3_s2", 1, 1, 11, 10, 2, 1, 3, 3, .stride = 2, .pad = 3, .dilation = 3),
    CASE("wide_pad", 1, 2, 3, 2, 2, 2, 2, 3, .pad = 3),
    CASE("groups", 2, 4, 5, 5, 6, 2, 3, 3, .pad = 1, .groups = 2),
    CASE("depthwise", 2, 3, 5, 6, 3, 1, 3, 3, .pad = 1, .groups = 3),
    CASE("depthwise_s2", 1, 2, 6, 6, 4, 1, 3, 3, .stride = 2, .pad = 1, .groups = 2),
    CASE("whole", 3, 2, 4, 3, 5, 2, 4, 3, .stride = 1),
    CASE("panels", 1, 17, 7, 9, 18, 17, 3, 3, .pad = 1),
    { .name = "no_bias", .in = { { 4, { 2, 2, 4, 4 } }, { 4, { 3, 2, 3, 3 } } }, .absent = 4,
      .attr = &(const tare_conv2d_opt){ .pad = 1 } },
    { .name = NULL },
};
/* clang-format on */

const tare_op tare_op_conv2d = {
    .name = "conv2d",
    .n_in = 3,
    .n_optional = 1,
    .attr_size = sizeof(tare_conv2d_opt),
    .flags = TARE_OP_FRESH | TARE_OP_AGAIN | TARE_OP_OVER_INPUT,
    .reads = TARE_READS_IN(0) | TARE_READS_IN(1),
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_conv2d(tare_tape *t, tare_tensor *x, tare_tensor *w, tare_tensor *b, tare_conv2d_opt opt) {
    return tare_apply(t, &tare_op_conv2d, (tare_tensor *[]){ x, w, b }, 3, &opt);
}
