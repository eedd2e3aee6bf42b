/* upsample2d.c - images of another size, by the nearest value or bilinear: [N,C,H,W] -> [N,C,H',W'], as PyTorch's Upsample. */
#include "../kernels/upsample.h"
#include "common.h"

#include <inttypes.h>
#include <math.h>

typedef struct job {
    tare__upsample u;
    bool bilinear, twice;
    const tare_real *from;
    tare_real *to;
    bool add;
} job;

/* ---- options and sizes ----------------------------------------------------------------------------------------------- */

static tare_status check_options(tare_node *n) {
    const tare_upsample2d_opt *o = n->attr;
    if (o->mode != TARE_UPSAMPLE_NEAREST && o->mode != TARE_UPSAMPLE_BILINEAR) {
        return tare_node_fail(n, TARE_EINVAL, "mode %d is neither TARE_UPSAMPLE_NEAREST nor TARE_UPSAMPLE_BILINEAR",
                              (int)o->mode);
    }
    if (o->align_corners && o->mode == TARE_UPSAMPLE_NEAREST) {
        return tare_node_fail(n, TARE_EINVAL, "align_corners goes with TARE_UPSAMPLE_BILINEAR");
    }
    if (o->scale < 0 || o->scale_w < 0 || o->height < 0 || o->width < 0) {
        return tare_node_fail(n, TARE_EINVAL,
                              "scale %d, scale_w %d, height %" PRId64 ", width %" PRId64 ": none may be negative",
                              o->scale, o->scale_w, o->height, o->width);
    }
    if (!o->height != !o->width || (o->height && (o->scale || o->scale_w))) {
        return tare_node_fail(n, TARE_EINVAL,
                              "scale %d, scale_w %d, height %" PRId64 ", width %" PRId64
                              ": give a scale, or height and width",
                              o->scale, o->scale_w, o->height, o->width);
    }
    return TARE_OK;
}

static void sizes_of(const tare_node *n, tare__upsample *u) {
    const tare_upsample2d_opt *o = n->attr;
    int64_t scale = o->scale ? o->scale : 2, scale_w = o->scale_w ? o->scale_w : scale;
    u->h = n->in[0]->shape.dim[2], u->w = n->in[0]->shape.dim[3];
    u->oh = o->height ? o->height : u->h * scale;
    u->ow = o->width ? o->width : u->w * scale_w;
}

static bool is_twice(const tare_node *n, const tare__upsample *u) {
    return ((const tare_upsample2d_opt *)n->attr)->mode == TARE_UPSAMPLE_NEAREST && u->oh == 2 * u->h &&
           u->ow == 2 * u->w;
}

static tare_status check(tare_node *n) {
    tare_shape x = n->in[0]->shape;
    tare_shape_buf text;
    if (x.ndim != 4) { return tare_node_fail(n, TARE_ESHAPE, "x %s is not [N,C,H,W]", tare_shape_text(x, &text)); }
    if (x.dim[2] == 0 || x.dim[3] == 0) {
        return tare_node_fail(n, TARE_ESHAPE, "the planes of x %s are empty", tare_shape_text(x, &text));
    }
    tare_status status = check_options(n);
    if (status) { return status; }
    tare__upsample u;
    sizes_of(n, &u);
    if (u.h > INT32_MAX / u.w || u.oh > INT32_MAX / u.ow) {
        return tare_node_fail(n, TARE_ESHAPE, "a plane of x %s, or of what it becomes, has more than 2^31 - 1 cells",
                              tare_shape_text(x, &text));
    }
    n->shape = TARE_SHAPE(x.dim[0], x.dim[1], u.oh, u.ow);
    n->scratch_bytes = (size_t)(u.oh + u.ow) * (sizeof(tare_real) + 2 * sizeof(int32_t));
    n->grad_scratch_bytes = n->scratch_bytes;
    return TARE_OK;
}

/* ---- where values come from -------------------------------------------------------------------------------------------- */

/* The place of output i among `in` values, `out` of which there shall be. */
static double place(int64_t i, int64_t in, int64_t out, bool align) {
    if (align) { return out > 1 ? (double)i * (double)(in - 1) / (double)(out - 1) : 0; }
    return fmax(((double)i + 0.5) * (double)in / (double)out - 0.5, 0);
}

static tare__taps taps(int64_t in, int64_t out, const tare_upsample2d_opt *o, tare_real *weight, int32_t *low) {
    int32_t *high = low + out;
    for (int64_t i = 0; i < out; i++) {
        if (o->mode == TARE_UPSAMPLE_NEAREST) {
            low[i] = high[i] = (int32_t)(i * in / out);
            weight[i] = 0;
            continue;
        }
        double at = place(i, in, out, o->align_corners);
        low[i] = (int32_t)tare__min((int64_t)at, in - 1);
        high[i] = (int32_t)tare__min(low[i] + 1, in - 1);
        weight[i] = (tare_real)(at - (double)low[i]);
    }
    return (tare__taps){ low, high, weight };
}

static job job_of(const tare_node *n, const tare_real *from, tare_real *to) {
    const tare_upsample2d_opt *o = n->attr;
    job w = { .bilinear = o->mode == TARE_UPSAMPLE_BILINEAR, .from = from, .to = to };
    sizes_of(n, &w.u);
    w.twice = is_twice(n, &w.u);
    tare_real *weights = n->scratch;
    int32_t *index = (int32_t *)(weights + w.u.oh + w.u.ow);
    if (!w.twice) {
        w.u.rows = taps(w.u.h, w.u.oh, o, weights, index);
        w.u.cols = taps(w.u.w, w.u.ow, o, weights + w.u.oh, index + 2 * w.u.oh);
    }
    return w;
}

/* ---- both ways ------------------------------------------------------------------------------------------------------- */

static int64_t grain(const tare__upsample *u, bool bilinear) {
    return tare__grain((bilinear ? 4 : 1) * (double)tare__max(u->oh * u->ow, u->h * u->w));
}

static void forward_planes(void *context, int64_t begin, int64_t end) {
    const job *w = context;
    const tare__upsample *u = &w->u;
    const tare_real *x = w->from + begin * u->h * u->w;
    tare_real *y = w->to + begin * u->oh * u->ow;
    if (w->twice) {
        tare__kernels()->upsample_2x(end - begin, u->h, u->w, x, y);
    } else if (w->bilinear) {
        tare__kernels()->upsample_bilinear(u, end - begin, x, y);
    } else {
        tare__kernels()->upsample_nearest(u, end - begin, x, y);
    }
}

static void forward(tare_node *n) {
    job w = job_of(n, n->in[0]->data, n->out->data);
    tare_parallel_for(n->shape.dim[0] * n->shape.dim[1], grain(&w.u, w.bilinear), forward_planes, &w);
}

static void backward_planes(void *context, int64_t begin, int64_t end) {
    const job *w = context;
    const tare__upsample *u = &w->u;
    const tare_real *dy = w->from + begin * u->oh * u->ow;
    tare_real *dx = w->to + begin * u->h * u->w;
    if (w->twice) {
        tare__kernels()->upsample_2x_back(end - begin, u->h, u->w, dy, dx, w->add);
    } else if (w->bilinear) {
        tare__kernels()->upsample_bilinear_back(u, end - begin, dy, dx, w->add);
    } else {
        tare__kernels()->upsample_nearest_back(u, end - begin, dy, dx, w->add);
    }
}

static void backward(tare_node *n) {
    if (!tare_grad(n, 0)) { return; }
    job w = job_of(n, n->out->grad, tare_grad(n, 0));
    w.add = tare_grad_add(n, 0);
    tare_parallel_for(n->shape.dim[0] * n->shape.dim[1], grain(&w.u, w.bilinear), backward_planes, &w);
}

#define CASE(text, n, c, h, w, ...)                                                                                    \
    {                                                                                                                  \
        .name = text, .in = { { 4, { n, c, h, w } } }, .attr = &(const tare_upsample2d_opt) { __VA_ARGS__ }            \
    }

static const tare_opcase cases[] = {
    CASE("2x", 2, 3, 4, 5, .mode = TARE_UPSAMPLE_NEAREST),
    CASE("2x_wide", 1, 2, 3, 37, .scale = 2),
    CASE("3x", 2, 2, 3, 4, .scale = 3),
    CASE("2x3", 1, 3, 4, 3, .scale = 2, .scale_w = 3),
    CASE("to_7x5", 2, 2, 3, 4, .height = 7, .width = 5),
    CASE("down_to_3x2", 2, 2, 5, 7, .height = 3, .width = 2),
    CASE("same", 1, 2, 3, 3, .scale = 1),
    CASE("bilinear_2x", 2, 3, 4, 5, .mode = TARE_UPSAMPLE_BILINEAR),
    CASE("bilinear_2x_wide", 1, 2, 3, 21, .mode = TARE_UPSAMPLE_BILINEAR, .scale = 2),
    CASE("bilinear_2x3", 1, 3, 4, 3, .mode = TARE_UPSAMPLE_BILINEAR, .scale = 2, .scale_w = 3),
    CASE("bilinear_to_7x5", 2, 2, 3, 4, .mode = TARE_UPSAMPLE_BILINEAR, .height = 7, .width = 5),
    CASE("bilinear_down_to_3x2", 2, 2, 5, 7, .mode = TARE_UPSAMPLE_BILINEAR, .height = 3, .width = 2),
    CASE("bilinear_of_one", 2, 3, 1, 1, .mode = TARE_UPSAMPLE_BILINEAR, .scale = 3),
    CASE("aligned_2x", 2, 3, 4, 5, .mode = TARE_UPSAMPLE_BILINEAR, .align_corners = true),
    CASE("aligned_to_7x5", 2, 2, 3, 4, .mode = TARE_UPSAMPLE_BILINEAR, .height = 7, .width = 5, .align_corners = true),
    CASE("aligned_to_1x3", 2, 2, 4, 4, .mode = TARE_UPSAMPLE_BILINEAR, .height = 1, .width = 3, .align_corners = true),
    { .name = NULL },
};

const tare_op tare_op_upsample2d = {
    .name = "upsample2d",
    .n_in = 1,
    .attr_size = sizeof(tare_upsample2d_opt),
    .flags = TARE_OP_FRESH,
    .reads = TARE_READS_NOTHING,
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_upsample2d(tare_tape *t, tare_tensor *x, tare_upsample2d_opt opt) {
    return tare_apply(t, &tare_op_upsample2d, &x, 1, &opt);
}
