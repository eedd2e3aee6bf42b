/* elu.c - y = x > 0 ? x : alpha (e^x - 1). Clevert, Unterthiner, Hochreiter 2016, arXiv:1511.07289. */
#include "activation.h"

enum { WORK = 3 };

static double number(const tare_node *n) { return ((const tare__activation_opt *)n->attr)->k; }

static tare_status check(tare_node *n) { return tare__activation_check_k(n, "alpha"); }

static void forward(tare_node *n) { tare__activation_forward(n, tare__kernels()->elu, number(n), WORK); }
static void backward(tare_node *n) { tare__activation_backward(n, tare__kernels()->elu_back, number(n), WORK); }

#define AWAY_FROM_KINK                                                                                                 \
    { TARE_FILL_AWAY, 0.1, 0 }

static const tare_opcase cases[] = {
    { .name = "odd",
      .in = { { 2, { 3, 7 } } },
      .fill = { AWAY_FROM_KINK },
      .attr = &(const tare__activation_opt){ 1 } },
    { .name = "scalar",
      .in = { { 0, { 0 } } },
      .fill = { AWAY_FROM_KINK },
      .attr = &(const tare__activation_opt){ 0.5 } },
    { .name = "six_dims",
      .in = { { 6, { 2, 1, 3, 2, 1, 2 } } },
      .fill = { AWAY_FROM_KINK },
      .attr = &(const tare__activation_opt){ 1.5 } },
    { .name = "negative_alpha",
      .in = { { 1, { 5 } } },
      .fill = { AWAY_FROM_KINK },
      .attr = &(const tare__activation_opt){ -0.5 } },
    { .name = NULL },
};

const tare_op tare_op_elu = {
    .name = "elu",
    .n_in = 1,
    .attr_size = sizeof(tare__activation_opt),
    .flags = TARE_OP_FRESH | TARE_OP_INPLACE,
    .reads = TARE_READS_IN(0),
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_elu(tare_tape *t, tare_tensor *x, double alpha) {
    return tare_apply(t, &tare_op_elu, &x, 1, &(tare__activation_opt){ alpha });
}
