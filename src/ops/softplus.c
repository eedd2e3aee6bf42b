/* softplus.c - y = log(1 + e^(beta x)) / beta, and x where beta x > 20. */
#include "activation.h"

enum { WORK = 6 };

static double number(const tare_node *n) { return ((const tare__activation_opt *)n->attr)->k; }

static tare_status check(tare_node *n) {
    if (number(n) == 0) { return tare_node_fail(n, TARE_EINVAL, "beta is 0"); }
    return tare__activation_check_k(n, "beta");
}

static void forward(tare_node *n) { tare__activation_forward(n, tare__kernels()->softplus, number(n), WORK); }
static void backward(tare_node *n) { tare__activation_backward(n, tare__kernels()->softplus_back, number(n), WORK); }

static const tare_opcase cases[] = {
    { .name = "odd", .in = { { 2, { 3, 7 } } }, .attr = &(const tare__activation_opt){ 1 } },
    { .name = "scalar", .in = { { 0, { 0 } } }, .attr = &(const tare__activation_opt){ 2 } },
    { .name = "six_dims", .in = { { 6, { 2, 1, 3, 2, 1, 2 } } }, .attr = &(const tare__activation_opt){ 0.5 } },
    { .name = "beyond_20", .in = { { 1, { 17 } } }, .attr = &(const tare__activation_opt){ 30 } },
    { .name = NULL },
};

const tare_op tare_op_softplus = {
    .name = "softplus",
    .n_in = 1,
    .attr_size = sizeof(tare__activation_opt),
    .flags = TARE_OP_FRESH | TARE_OP_INPLACE,
    .reads = TARE_READS_IN(0),
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_softplus(tare_tape *t, tare_tensor *x, double beta) {
    return tare_apply(t, &tare_op_softplus, &x, 1, &(tare__activation_opt){ beta });
}
