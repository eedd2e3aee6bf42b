/* bce_with_logits.c - max(x,0) - x y + log(1 + e^-|x|), which is binary cross-entropy of sigmoid(x) without overflow. */
#include "loss.h"

static void forward(tare_node *n) { tare__loss_forward(n, tare__kernels()->bce_with_logits); }

static void backward(tare_node *n) { tare__loss_backward(n, 0, tare__kernels()->bce_with_logits_back); }

#define LOGITS                                                                                                         \
    { TARE_FILL_NORMAL, 0, 2 }
#define TARGETS                                                                                                        \
    { TARE_FILL_UNIFORM, 0, 1 }
#define CASE(text, how, ...)                                                                                           \
    {                                                                                                                  \
        .name = text, .in = { __VA_ARGS__, __VA_ARGS__ }, .nograd = 2, .fill = { LOGITS, TARGETS },                    \
        .attr = &(const tare__loss_attr){ how },                                                                       \
    }

static const tare_opcase cases[] = {
    CASE("mean", TARE_MEAN, { 2, { 3, 5 } }),
    CASE("sum", TARE_SUM, { 3, { 2, 3, 4 } }),
    CASE("one", TARE_MEAN, { 1, { 1 } }),
    CASE("blocks", TARE_MEAN, { 2, { 3, 180 } }),
    { .name = NULL },
};

const tare_op tare_op_bce_with_logits = {
    .name = "bce_with_logits",
    .n_in = 2,
    .attr_size = sizeof(tare__loss_attr),
    .flags = TARE_OP_FRESH,
    .reads = TARE_READS_IN(0) | TARE_READS_IN(1),
    .check = tare__loss_check_target,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_bce_with_logits(tare_tape *t, tare_tensor *x, tare_tensor *y, tare_reduction reduction) {
    return tare_apply(t, &tare_op_bce_with_logits, (tare_tensor *[]){ x, y }, 2, &(tare__loss_attr){ reduction });
}
