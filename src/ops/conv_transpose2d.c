/* conv_transpose2d.c - transposed convolution: conv2d's own three products with input and output exchanged.
 *
 * Below, v are the sizes of that conv2d: its x is this op's output, its y this op's input, its weight the same one. */
#include "conv2d.h"

#include <inttypes.h>

static tare_conv2d_opt steps_of(const tare_conv_transpose2d_opt *o) {
    return (tare_conv2d_opt){ .stride = o->stride,
                              .pad = o->pad,
                              .dilation = o->dilation,
                              .groups = o->groups,
                              .stride_w = o->stride_w,
                              .pad_w = o->pad_w,
                              .dilation_w = o->dilation_w };
}

/* The output's size along one dimension. */
static int64_t size_of(int64_t size, int64_t taps, int64_t stride, int64_t pad, int64_t dil, int64_t output_pad) {
    return (size - 1) * stride - 2 * pad + dil * (taps - 1) + output_pad + 1;
}

static int64_t output_pad_w(const tare_conv_transpose2d_opt *o) {
    return o->output_pad_w == 0 ? o->output_pad : o->output_pad_w == -1 ? 0 : o->output_pad_w;
}

static tare__conv2d sizes_of(const tare_node *n) {
    const tare_conv_transpose2d_opt *opt = n->attr;
    const int64_t *x = n->in[0]->shape.dim, *w = n->in[1]->shape.dim;
    tare_conv2d_opt steps = steps_of(opt);
    tare__conv2d v = tare__conv2d_steps(&steps);
    v.n = x[0], v.oh = x[2], v.ow = x[3];
    v.k = w[0] / v.groups, v.c = w[1], v.r = w[2], v.s = w[3];
    v.h = size_of(v.oh, v.r, v.stride_h, v.pad_h, v.dil_h, opt->output_pad);
    v.w = size_of(v.ow, v.s, v.stride_w, v.pad_w, v.dil_w, output_pad_w(opt));
    /* A single input takes no step, and there is a phase for each step of the stride. */
    if (v.oh == 1) { v.stride_h = tare__min(v.stride_h, v.dil_h * (v.r - 1) + 1); }
    if (v.ow == 1) { v.stride_w = tare__min(v.stride_w, v.dil_w * (v.s - 1) + 1); }
    return v;
}

static tare_status check_options(tare_node *n) {
    const tare_conv_transpose2d_opt *o = n->attr;
    tare_conv2d_opt steps = steps_of(o);
    tare_status status = tare__conv2d_check_options(n, &steps);
    if (status) { return status; }
    if (o->output_pad < 0 || o->output_pad_w < -1) {
        return tare_node_fail(n, TARE_EINVAL,
                              "output_pad %d, output_pad_w %d: must be at least 0 (output_pad_w -1 for none)",
                              o->output_pad, o->output_pad_w);
    }
    tare__conv2d v = tare__conv2d_steps(&steps);
    int64_t most_h = tare__max(v.stride_h, v.dil_h), most_w = tare__max(v.stride_w, v.dil_w);
    if (o->output_pad >= most_h || output_pad_w(o) >= most_w) {
        return tare_node_fail(n, TARE_EINVAL,
                              "output_pad %dx%" PRId64 " must be smaller than stride %" PRId64 "x%" PRId64
                              " or dilation %" PRId64 "x%" PRId64,
                              o->output_pad, output_pad_w(o), v.stride_h, v.stride_w, v.dil_h, v.dil_w);
    }
    return TARE_OK;
}

static tare_status check_shapes(tare_node *n) {
    tare_shape x = n->in[0]->shape, w = n->in[1]->shape;
    tare_shape_buf xt, wt, bt;
    const char *xs = tare_shape_text(x, &xt), *ws = tare_shape_text(w, &wt);
    int64_t groups = ((const tare_conv_transpose2d_opt *)n->attr)->groups;
    if (groups == 0) { groups = 1; }
    if (x.ndim != 4 || x.dim[2] < 1 || x.dim[3] < 1) {
        return tare_node_fail(n, TARE_ESHAPE, "x %s (weight %s) is not [N,C,H,W] with H and W at least 1", xs, ws);
    }
    if (w.ndim != 4) { return tare_node_fail(n, TARE_ESHAPE, "weight %s (x %s) is not [C,K/groups,R,S]", ws, xs); }
    if (w.dim[0] < 1 || w.dim[1] < 1 || w.dim[2] < 1 || w.dim[3] < 1) {
        return tare_node_fail(n, TARE_ESHAPE, "weight %s has a dimension of 0", ws);
    }
    if (x.dim[1] != w.dim[0]) {
        return tare_node_fail(n, TARE_ESHAPE,
                              "x %s has %" PRId64 " channels, weight %s takes %" PRId64
                              ": its shape is [C,K/groups,R,S], inputs first",
                              xs, x.dim[1], ws, w.dim[0]);
    }
    if (w.dim[0] % groups) {
        return tare_node_fail(n, TARE_ESHAPE,
                              "%" PRId64 " groups do not divide the %" PRId64 " channels of x %s and weight %s", groups,
                              w.dim[0], xs, ws);
    }
    if (n->in[2] && (n->in[2]->shape.ndim != 1 || n->in[2]->shape.dim[0] != w.dim[1] * groups)) {
        return tare_node_fail(
            n, TARE_ESHAPE, "bias %s does not fit weight %s in %" PRId64 " group%s: must be [%" PRId64 "]",
            tare_shape_text(n->in[2]->shape, &bt), ws, groups, groups == 1 ? "" : "s", w.dim[1] * groups);
    }
    return TARE_OK;
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static tare_status check(tare_node *n) {
    tare_status status = check_options(n);
    if (!status) { status = check_shapes(n); }
    if (status) { return status; }
    tare__conv2d v = sizes_of(n);
    if (v.h < 1 || v.w < 1) {
        tare_shape_buf xt, wt;
        return tare_node_fail(n, TARE_ESHAPE,
                              "x %s and weight %s less a padding of %" PRId64 "x%" PRId64 " give an output of %" PRId64
                              " x %" PRId64 ": use less padding",
                              tare_shape_text(n->in[0]->shape, &xt), tare_shape_text(n->in[1]->shape, &wt), v.pad_h,
                              v.pad_w, v.h, v.w);
    }
    n->shape = TARE_SHAPE(v.n, v.c * v.groups, v.h, v.w);
    n->macs = (double)n->in[0]->numel * (double)(v.c * v.r * v.s);
    n->scratch_bytes = tare__conv2d_back_scratch(&v);
    /* One after the other, so in the same place. */
    n->grad_scratch_bytes = larger(n->in[0]->requires_grad ? tare__conv2d_ahead_scratch(&v) : 0,
                                   n->in[1]->requires_grad ? tare__conv2d_weight_scratch(&v) : 0);
    return TARE_OK;
}

static void forward(tare_node *n) {
    tare__conv2d_pass p = { .v = sizes_of(n), .from = n->in[0]->data, .weight = n->in[1]->data, .to = n->out->data };
    p.bias = n->in[2] ? n->in[2]->data : NULL;
    p.macs = n->macs;
    p.scratch = n->scratch;
    tare__conv2d_back(&p);
}

static void backward(tare_node *n) {
    tare__conv2d v = sizes_of(n);
    const tare_real *dy = n->out->grad;
    tare_real *dx = tare_grad(n, 0), *dw = tare_grad(n, 1), *db = n->in[2] ? tare_grad(n, 2) : NULL;
    if (dw) {
        tare__conv2d_sums s = { .v = v, .x = dy, .y = n->in[0]->data, .dw = dw, .add_w = tare_grad_add(n, 1) };
        s.scratch = n->scratch;
        tare__conv2d_weight(&s);
    }
    if (db) {
        tare__conv2d_bias b = { v.n, v.groups * v.c, v.h * v.w, dy, db, tare_grad_add(n, 2) };
        tare__conv2d_bias_sum(&b);
    }
    if (dx) { /* last, since it may lie where x does */
        tare__conv2d_pass p = { .v = v, .from = dy, .weight = n->in[1]->data, .to = dx, .macs = n->macs };
        p.add = tare_grad_add(n, 0);
        p.scratch = n->scratch;
        tare__conv2d_ahead(&p);
    }
}

/* clang-format off */
#define CASE(text, n, c, h, w, kg, r, s, k, ...)                                                                       \
    { .name = text, .in = { { 4, { n, c, h, w } }, { 4, { c, kg, r, s } }, { 1, { k } } },                             \
      .attr = &(const tare_conv_transpose2d_opt){ __VA_ARGS__ } }

static const tare_opcase cases[] = {
    CASE("k3", 2, 3, 4, 5, 4, 3, 3, 4, .stride = 1),
    CASE("k3_p1", 2, 2, 5, 4, 3, 3, 3, 3, .pad = 1),
    CASE("k3_s2", 1, 3, 4, 3, 2, 3, 3, 2, .stride = 2),
    CASE("k3_s2_p1_o1", 2, 3, 3, 4, 4, 3, 3, 4, .stride = 2, .pad = 1, .output_pad = 1),
    CASE("k4_s2_p1", 2, 2, 3, 4, 3, 4, 4, 3, .stride = 2, .pad = 1),
    CASE("k1", 2, 3, 4, 5, 4, 1, 1, 4, .stride = 1),
    CASE("k1_s2", 1, 3, 3, 4, 2, 1, 1, 2, .stride = 2),
    CASE("k2_s3_o2", 1, 2, 3, 2, 3, 2, 2, 3, .stride = 3, .output_pad = 2),
    CASE("k3x2_s2x1_p1x0_o1x0_d1x2", 2, 2, 4, 3, 3, 3, 2, 3, .stride = 2, .pad = 1, .output_pad = 1, .dilation = 1,
         .stride_w = 1, .pad_w = -1, .output_pad_w = -1, .dilation_w = 2),
    CASE("dilation2", 1, 2, 4, 5, 3, 3, 3, 3, .pad = 2, .dilation = 2),
    CASE("dilation3_s2_o2", 1, 2, 4, 3, 2, 3, 2, 2, .stride = 2, .pad = 1, .output_pad = 2, .dilation = 3),
    CASE("wide_pad", 1, 2, 6, 7, 2, 2, 3, 2, .pad = 3),
    CASE("groups", 2, 4, 4, 3, 3, 3, 3, 6, .stride = 2, .pad = 1, .groups = 2),
    CASE("depthwise", 2, 3, 4, 3, 1, 3, 3, 3, .stride = 2, .pad = 1, .output_pad = 1, .groups = 3),
    CASE("one_pixel", 3, 5, 1, 1, 2, 4, 3, 2, .stride = 7),
    CASE("panels", 1, 17, 5, 4, 18, 3, 3, 18, .stride = 2, .pad = 1),
    { .name = "no_bias", .in = { { 4, { 2, 2, 3, 3 } }, { 4, { 2, 3, 3, 3 } } }, .absent = 4,
      .attr = &(const tare_conv_transpose2d_opt){ .stride = 2, .pad = 1 } },
    { .name = NULL },
};
/* clang-format on */

const tare_op tare_op_conv_transpose2d = {
    .name = "conv_transpose2d",
    .n_in = 3,
    .n_optional = 1,
    .attr_size = sizeof(tare_conv_transpose2d_opt),
    .flags = TARE_OP_FRESH | TARE_OP_AGAIN | TARE_OP_OVER_INPUT,
    .reads = TARE_READS_IN(0) | TARE_READS_IN(1),
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_conv_transpose2d(tare_tape *t, tare_tensor *x, tare_tensor *w, tare_tensor *b,
                                   tare_conv_transpose2d_opt opt) {
    return tare_apply(t, &tare_op_conv_transpose2d, (tare_tensor *[]){ x, w, b }, 3, &opt);
}
