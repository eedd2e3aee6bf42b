/* leaky_relu.c - y = x > 0 ? x : slope x. Backward reads y, whose sign is that of x, so that the memory of x is free again; where the
 * slope is negative it is not, and x is kept. */
#include "activation.h"

#include <string.h>

enum { WORK = 1 };

static double number(const tare_node *n) { return ((const tare__activation_opt *)n->attr)->k; }

static tare_status check(tare_node *n) {
    if (number(n) < 0) { n->saved_bytes = (size_t)n->in[0]->numel * sizeof(tare_real); }
    return tare__activation_check_k(n, "slope");
}

static void forward(tare_node *n) {
    tare__activation_forward(n, tare__kernels()->leaky_relu, number(n), WORK);
    if (n->saved) { memcpy(n->saved, n->in[0]->data, n->saved_bytes); }
}

static void backward(tare_node *n) { tare__activation_backward(n, tare__kernels()->leaky_relu_back, number(n), WORK); }

#define AWAY_FROM_KINK                                                                                                 \
    { TARE_FILL_AWAY, 0.1, 0 }

static const tare_opcase cases[] = {
    { .name = "odd",
      .in = { { 2, { 3, 7 } } },
      .fill = { AWAY_FROM_KINK },
      .attr = &(const tare__activation_opt){ 0.01 } },
    { .name = "scalar",
      .in = { { 0, { 0 } } },
      .fill = { AWAY_FROM_KINK },
      .attr = &(const tare__activation_opt){ 0.2 } },
    { .name = "six_dims",
      .in = { { 6, { 2, 1, 3, 2, 1, 2 } } },
      .fill = { AWAY_FROM_KINK },
      .attr = &(const tare__activation_opt){ 0.1 } },
    { .name = "negative_slope",
      .in = { { 1, { 5 } } },
      .fill = { AWAY_FROM_KINK },
      .attr = &(const tare__activation_opt){ -0.5 } },
    { .name = "zero_slope",
      .in = { { 1, { 9 } } },
      .fill = { AWAY_FROM_KINK },
      .attr = &(const tare__activation_opt){ 0 } },
    { .name = NULL },
};

const tare_op tare_op_leaky_relu = {
    .name = "leaky_relu",
    .n_in = 1,
    .attr_size = sizeof(tare__activation_opt),
    .flags = TARE_OP_FRESH | TARE_OP_INPLACE,
    .reads = TARE_READS_OUT,
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_leaky_relu(tare_tape *t, tare_tensor *x, double slope) {
    return tare_apply(t, &tare_op_leaky_relu, &x, 1, &(tare__activation_opt){ slope });
}
