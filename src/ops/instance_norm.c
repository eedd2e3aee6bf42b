/* instance_norm.c - normalise each channel of each sample: group norm with a group for each channel. */
#include "norm.h"

static int64_t channels_of(const tare_node *n) { return n->in[0]->shape.dim[1]; }

static tare_status check(tare_node *n) {
    const tare_instance_norm_opt *opt = n->attr;
    const tare_tensor *x = n->in[0];
    tare_shape_buf buf;
    if (x->shape.ndim < 3) {
        return tare_node_fail(n, TARE_ESHAPE, "x %s must be [N,C,L] or [N,C,H,W]: it normalises over positions",
                              tare_shape_text(x->shape, &buf));
    }
    if (channels_of(n) == 0) {
        return tare_node_fail(n, TARE_ESHAPE, "x %s has no channels", tare_shape_text(x->shape, &buf));
    }
    tare_shape per_channel = TARE_SHAPE(channels_of(n));
    tare_status status = tare__norm_check_eps(n, opt->eps);
    if (!status) { status = tare__norm_check_shape(n, 1, "gamma", per_channel); }
    if (!status) { status = tare__norm_check_shape(n, 2, "beta", per_channel); }
    if (!status) {
        status = tare__norm_check_count(n, tare__around_dim(x->shape, 1).inner, "sample and channel",
                                        "give it larger images, or use layer or group norm here");
    }
    return status ? status : tare__group_prepare(n, channels_of(n), opt->act);
}

static void forward(tare_node *n) {
    const tare_instance_norm_opt *opt = n->attr;
    tare__group_forward(n, channels_of(n), opt->eps, opt->act);
}

static void backward(tare_node *n) {
    const tare_instance_norm_opt *opt = n->attr;
    tare__group_backward(n, channels_of(n), opt->act);
}

#define OPT(...)                                                                                                       \
    &(const tare_instance_norm_opt) { __VA_ARGS__ }
static const tare_opcase cases[] = {
    { .name = "images", .in = { { 4, { 2, 3, 4, 5 } }, { 1, { 3 } }, { 1, { 3 } } }, .attr = OPT(.eps = 1e-5) },
    { .name = "sequences", .in = { { 3, { 3, 2, 33 } }, { 1, { 2 } }, { 1, { 2 } } }, .attr = OPT(.eps = 0.1) },
    { .name = "plain", .in = { { 4, { 2, 2, 3, 3 } } }, .absent = 6, .attr = OPT(.eps = 1e-3) },
    { .name = "pairs", .in = { { 4, { 1, 3, 1, 2 } }, { 1, { 3 } }, { 1, { 3 } } }, .attr = OPT(.eps = 0.5) },
    { .name = "relu",
      .in = { { 4, { 2, 3, 4, 5 } }, { 1, { 3 } }, { 1, { 3 } } },
      .attr = OPT(.act = { TARE_ACT_RELU, 0 }) },
    { .name = "leaky_relu",
      .in = { { 3, { 2, 2, 33 } }, { 1, { 2 } }, { 1, { 2 } } },
      .attr = OPT(.act = { TARE_ACT_LEAKY_RELU, 0.2 }) },
    { .name = NULL },
};

const tare_op tare_op_instance_norm = {
    .name = "instance_norm",
    .n_in = 3,
    .n_optional = 2,
    .attr_size = sizeof(tare_instance_norm_opt),
    .flags = TARE_OP_FRESH | TARE_OP_INPLACE | TARE_OP_AGAIN,
    .reads = TARE_READS_IN(0) | TARE_READS_IN(1) | TARE_READS_IN(2),
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_instance_norm(tare_tape *t, tare_tensor *x, tare_tensor *gamma, tare_tensor *beta,
                                tare_instance_norm_opt opt) {
    return x ? tare_apply(t, &tare_op_instance_norm, (tare_tensor *[]){ x, gamma, beta }, 3, &opt) : NULL;
}
