/* layer_norm.c - normalise each sample over its last dimensions, or over its channels at each position. */
#include "norm.h"

static int dims_of(const tare_layer_norm_opt *opt) { return opt->dims ? opt->dims : 1; }

static tare_status check_channels(tare_node *n) {
    const tare_tensor *x = n->in[0];
    tare_shape_buf buf;
    if (x->shape.ndim < 2) {
        return tare_node_fail(n, TARE_ESHAPE, "x %s must be [N,C,...] to be normalised over channels",
                              tare_shape_text(x->shape, &buf));
    }
    int64_t channels = x->shape.dim[1];
    tare_status status = tare__norm_check_shape(n, 1, "gamma", TARE_SHAPE(channels));
    if (!status) { status = tare__norm_check_shape(n, 2, "beta", TARE_SHAPE(channels)); }
    if (!status) {
        status = tare__norm_check_count(n, channels, "position", "normalise over chw, or use more channels");
    }
    if (!status) { tare__channels_prepare(n); }
    return status;
}

static tare_status check_rows(tare_node *n, int dims) {
    tare_status status = tare__rows_check(n, dims);
    if (status) { return status; }
    return tare__norm_check_count(n, tare__rows_cols(n, dims), "sample", "normalise over more dimensions");
}

static tare_status check(tare_node *n) {
    const tare_layer_norm_opt *opt = n->attr;
    tare_status status = tare__norm_check_eps(n, opt->eps);
    if (status) { return status; }
    return opt->channels ? check_channels(n) : check_rows(n, dims_of(opt));
}

static void forward(tare_node *n) {
    const tare_layer_norm_opt *opt = n->attr;
    if (opt->channels) {
        tare__channels_forward(n, tare__norm_eps(opt->eps));
    } else {
        tare__rows_forward(n, dims_of(opt), tare__norm_eps(opt->eps), true);
    }
}

static void backward(tare_node *n) {
    const tare_layer_norm_opt *opt = n->attr;
    if (opt->channels) {
        tare__channels_backward(n);
    } else {
        tare__rows_backward(n, dims_of(opt), true);
    }
}

#define OPT(...)                                                                                                       \
    &(const tare_layer_norm_opt) { __VA_ARGS__ }
static const tare_opcase cases[] = {
    { .name = "features", .in = { { 2, { 5, 37 } }, { 1, { 37 } }, { 1, { 37 } } }, .attr = OPT(.eps = 1e-5) },
    { .name = "sequences", .in = { { 3, { 2, 3, 8 } }, { 1, { 8 } }, { 1, { 8 } } }, .attr = OPT(.eps = 0.1) },
    { .name = "images",
      .in = { { 4, { 3, 2, 3, 3 } }, { 3, { 2, 3, 3 } }, { 3, { 2, 3, 3 } } },
      .attr = OPT(.dims = 3) },
    { .name = "one_row", .in = { { 1, { 70 } }, { 1, { 70 } }, { 1, { 70 } } }, .attr = OPT(.eps = 1e-3) },
    { .name = "pairs", .in = { { 2, { 6, 2 } }, { 1, { 2 } }, { 1, { 2 } } }, .attr = OPT(.eps = 0.5) },
    { .name = "plain", .in = { { 2, { 3, 33 } } }, .absent = 6, .attr = OPT(.eps = 1e-5) },
    { .name = "no_beta", .in = { { 2, { 3, 5 } }, { 1, { 5 } } }, .absent = 4, .attr = OPT(.eps = 1e-2) },
    { .name = "no_gamma", .in = { { 2, { 3, 5 } }, { 0 }, { 1, { 5 } } }, .absent = 2, .attr = OPT(.eps = 1e-2) },
    { .name = "over_channels",
      .in = { { 4, { 2, 5, 3, 4 } }, { 1, { 5 } }, { 1, { 5 } } },
      .attr = OPT(.channels = true) },
    { .name = "over_channels_plain",
      .in = { { 3, { 1, 3, 131 } } },
      .absent = 6,
      .attr = OPT(.channels = true, .eps = 0.1) },
    { .name = NULL },
};

const tare_op tare_op_layer_norm = {
    .name = "layer_norm",
    .n_in = 3,
    .n_optional = 2,
    .attr_size = sizeof(tare_layer_norm_opt),
    .flags = TARE_OP_FRESH | TARE_OP_INPLACE | TARE_OP_CHEAP,
    .reads = TARE_READS_IN(0) | TARE_READS_IN(1),
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_layer_norm(tare_tape *t, tare_tensor *x, tare_tensor *gamma, tare_tensor *beta,
                             tare_layer_norm_opt opt) {
    return x ? tare_apply(t, &tare_op_layer_norm, (tare_tensor *[]){ x, gamma, beta }, 3, &opt) : NULL;
}
