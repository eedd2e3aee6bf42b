/* div.c - y = a / b with broadcasting; da = dy / b, db = -dy y / b. */
#include "reduce.h"

static void forward(tare_node *n) { tare__binary_forward(n, tare__kernels()->div); }

/* db where b is not repeated, through a buffer in L1 */
static void quotient_range(void *context, int64_t begin, int64_t end) {
    enum { TILE = 1024 };
    const tare_node *n = context;
    const tare__kernel_table *k = tare__kernels();
    const tare_real *dy = n->out->grad, *y = n->out->data, *b = n->in[1]->data, minus = -1;
    tare_real tile[TILE];
    for (int64_t i = begin; i < end; i += TILE) {
        int64_t size = tare__min(TILE, end - i);
        k->mul(1, size, (tare__view){ dy + i, 0, 1 }, (tare__view){ y + i, 0, 1 }, tile, size, false);
        k->div(1, size, (tare__view){ tile, 0, 1 }, (tare__view){ b + i, 0, 1 }, tile, size, false);
        k->mul(1, size, (tare__view){ tile, 0, 1 }, (tare__view){ &minus, 0, 0 }, tare_grad(n, 1) + i, size,
               tare_grad_add(n, 1));
    }
}

static void backward(tare_node *n) {
    tare__binary_apply(n, 0, tare__kernels()->div, n->in[1]);
    if (!tare_grad(n, 1)) { return; }
    if (!tare__binary_repeats(n, 1)) {
        tare_parallel_for(n->out->numel, tare__grain(2), quotient_range, n);
        return;
    }
    tare__reduction r = tare__reduction_plan(n->shape, n->in[1]->shape, n->shape);
    tare__reduce(&r, (tare__sum){ .x = n->out->grad,
                                  .f = tare__kernels()->mul,
                                  .other = n->out->data,
                                  .factor = -1,
                                  .divisor = n->in[1]->data,
                                  .to = tare_grad(n, 1),
                                  .add = tare_grad_add(n, 1),
                                  .scratch = n->scratch });
}

#define AWAY_FROM_0                                                                                                    \
    { TARE_FILL_AWAY, 0.5, 0 }

static const tare_opcase cases[] = {
    { .name = "same", .in = { { 2, { 3, 7 } }, { 2, { 3, 7 } } }, .fill = { { 0, 0, 0 }, AWAY_FROM_0 } },
    { .name = "bias", .in = { { 2, { 5, 7 } }, { 1, { 7 } } }, .fill = { { 0, 0, 0 }, AWAY_FROM_0 } },
    { .name = "channels",
      .in = { { 4, { 2, 3, 4, 5 } }, { 4, { 1, 3, 1, 1 } } },
      .fill = { { 0, 0, 0 }, AWAY_FROM_0 } },
    { .name = "scalar_right", .in = { { 2, { 3, 5 } }, { 0, { 0 } } }, .fill = { { 0, 0, 0 }, AWAY_FROM_0 } },
    { .name = "scalar_left", .in = { { 0, { 0 } }, { 2, { 3, 5 } } }, .fill = { { 0, 0, 0 }, AWAY_FROM_0 } },
    { .name = "scalars", .in = { { 0, { 0 } }, { 0, { 0 } } }, .fill = { { 0, 0, 0 }, AWAY_FROM_0 } },
    { .name = "both_ways", .in = { { 3, { 4, 1, 5 } }, { 2, { 3, 1 } } }, .fill = { { 0, 0, 0 }, AWAY_FROM_0 } },
    { .name = "six_dims",
      .in = { { 6, { 2, 1, 3, 1, 2, 3 } }, { 6, { 1, 2, 3, 2, 1, 3 } } },
      .fill = { { 0, 0, 0 }, AWAY_FROM_0 } },
    { .name = "column", .in = { { 2, { 7, 18 } }, { 2, { 7, 1 } } }, .fill = { { 0, 0, 0 }, AWAY_FROM_0 } },
    { .name = "row", .in = { { 2, { 19, 5 } }, { 2, { 1, 5 } } }, .fill = { { 0, 0, 0 }, AWAY_FROM_0 } },
    { .name = "wide", .in = { { 1, { 130 } }, { 1, { 130 } } }, .fill = { { 0, 0, 0 }, AWAY_FROM_0 } },
    { .name = NULL },
};

const tare_op tare_op_div = {
    .name = "div",
    .n_in = 2,
    .flags = TARE_OP_FRESH,
    .reads = TARE_READS_IN(1) | TARE_READS_OUT,
    .check = tare__binary_check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_div(tare_tape *t, tare_tensor *a, tare_tensor *b) {
    return tare_apply(t, &tare_op_div, (tare_tensor *[]){ a, b }, 2, NULL);
}
