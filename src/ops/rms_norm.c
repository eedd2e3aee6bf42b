/* rms_norm.c - divide each sample by its root mean square: layer norm without the mean. */
#include "norm.h"

static int dims_of(const tare_node *n) {
    const tare_rms_norm_opt *opt = n->attr;
    return opt->dims ? opt->dims : 1;
}

static tare_status check(tare_node *n) {
    tare_status status = tare__norm_check_eps(n, ((const tare_rms_norm_opt *)n->attr)->eps);
    return status ? status : tare__rows_check(n, dims_of(n));
}

static void forward(tare_node *n) {
    tare__rows_forward(n, dims_of(n), tare__norm_eps(((const tare_rms_norm_opt *)n->attr)->eps), false);
}

static void backward(tare_node *n) { tare__rows_backward(n, dims_of(n), false); }

#define OPT(...)                                                                                                       \
    &(const tare_rms_norm_opt) { __VA_ARGS__ }
static const tare_opcase cases[] = {
    { .name = "features", .in = { { 2, { 5, 37 } }, { 1, { 37 } } }, .attr = OPT(.eps = 1e-5) },
    { .name = "images", .in = { { 4, { 3, 2, 3, 3 } }, { 3, { 2, 3, 3 } } }, .attr = OPT(.dims = 3, .eps = 0.1) },
    { .name = "plain", .in = { { 3, { 2, 3, 9 } } }, .absent = 2, .attr = OPT(.eps = 1e-3) },
    { .name = "one_value", .in = { { 2, { 3, 1 } }, { 1, { 1 } } }, .attr = OPT(.eps = 0.5) },
    { .name = NULL },
};

const tare_op tare_op_rms_norm = {
    .name = "rms_norm",
    .n_in = 2,
    .n_optional = 1,
    .attr_size = sizeof(tare_rms_norm_opt),
    .flags = TARE_OP_FRESH | TARE_OP_INPLACE | TARE_OP_CHEAP,
    .reads = TARE_READS_IN(0) | TARE_READS_IN(1),
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_rms_norm(tare_tape *t, tare_tensor *x, tare_tensor *gamma, tare_rms_norm_opt opt) {
    return x ? tare_apply(t, &tare_op_rms_norm, (tare_tensor *[]){ x, gamma }, 2, &opt) : NULL;
}
