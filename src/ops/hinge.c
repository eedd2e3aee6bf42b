/* hinge.c - max(0, 1 - x y); the gradient at x y = 1 is 0. */
#include "loss.h"

static void forward(tare_node *n) { tare__loss_forward(n, tare__kernels()->hinge); }

static void backward(tare_node *n) { tare__loss_backward(n, 0, tare__kernels()->hinge_back); }

/* Targets between 0.5 and 1 stand for 1: some margins are kept, some are not. */
#define TARGETS                                                                                                        \
    { TARE_FILL_UNIFORM, 0.5, 1 }
#define SCORES                                                                                                         \
    { TARE_FILL_NORMAL, 0.5, 2 }
#define INSIDE                                                                                                         \
    { TARE_FILL_UNIFORM, -1, 0.5 } /* the margin of a single value must be positive, or all gradients are 0 */
#define CASE(text, how, scores, ...)                                                                                   \
    {                                                                                                                  \
        .name = text, .in = { __VA_ARGS__, __VA_ARGS__ }, .nograd = 2, .fill = { scores, TARGETS },                    \
        .attr = &(const tare__loss_attr){ how },                                                                       \
    }

static const tare_opcase cases[] = {
    CASE("mean", TARE_MEAN, SCORES, { 2, { 3, 5 } }),
    CASE("sum", TARE_SUM, SCORES, { 3, { 2, 3, 4 } }),
    CASE("one", TARE_MEAN, INSIDE, { 1, { 1 } }),
    CASE("blocks", TARE_MEAN, SCORES, { 2, { 3, 180 } }),
    { .name = NULL },
};

const tare_op tare_op_hinge = {
    .name = "hinge",
    .n_in = 2,
    .attr_size = sizeof(tare__loss_attr),
    .flags = TARE_OP_FRESH,
    .reads = TARE_READS_IN(0) | TARE_READS_IN(1),
    .check = tare__loss_check_target,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_hinge(tare_tape *t, tare_tensor *x, tare_tensor *y, tare_reduction reduction) {
    return tare_apply(t, &tare_op_hinge, (tare_tensor *[]){ x, y }, 2, &(tare__loss_attr){ reduction });
}
