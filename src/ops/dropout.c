/* dropout.c - y = x / (1 - p) or, with probability p, 0. Value i is decided by word i / 64 % 4 of block i / 256 * 64 + i % 64
 * of the node's random stream, so the mask is the same however the work is split; backward keeps it, a byte per value: one
 * more byte read costs less than drawing ten rounds again. */
#include "binary.h"

#include <math.h>
#include <string.h>

enum { STRIP = 256, WORK = 12 }; /* values whose words are drawn together */

typedef struct dropout_opt {
    double p;
} dropout_opt;

static double probability(const tare_node *n) { return ((const dropout_opt *)n->attr)->p; }

static tare_status check(tare_node *n) {
    double p = probability(n);
    if (!(p >= 0 && p <= 1)) { return tare_node_fail(n, TARE_EINVAL, "p is %g, must lie in 0..1", p); }
    n->shape = n->in[0]->shape;
    n->saved_bytes = n->training && p > 0 && p < 1 ? (size_t)n->in[0]->numel : 0;
    return TARE_OK;
}

/* What is kept grows by 1 / (1 - p): the mean stays. */
static tare_real growth(const tare_node *n) { return n->training ? (tare_real)(1 / (1 - probability(n))) : 1; }

static void drop_strips(void *context, int64_t begin, int64_t end) {
    const tare_node *n = context;
    double below = n->training ? probability(n) * 0x1p32 : 0;
    int64_t last = tare__min(end * STRIP, n->out->numel);
    tare__kernels()->dropout(n->rng, begin * STRIP, last, (uint32_t)fmin(below, UINT32_MAX), growth(n), n->in[0]->data,
                             n->out->data, n->saved);
}

static void forward(tare_node *n) {
    int64_t numel = n->out->numel;
    if (n->training && probability(n) == 1) {
        memset(n->out->data, 0, (size_t)numel * sizeof(tare_real));
        return;
    }
    tare_parallel_for(tare__ceil_div(numel, STRIP), tare__grain(WORK * STRIP), drop_strips, n);
}

typedef struct back_job {
    const tare_node *n;
    tare_real growth;
    tare_real *dx;
    bool add;
} back_job;

static void back_range(void *context, int64_t begin, int64_t end) {
    const back_job *j = context;
    const uint8_t *kept = j->n->saved;
    tare__kernels()->dropout_back(end - begin, j->growth, kept + begin, j->n->out->grad + begin, j->dx + begin, j->add);
}

static void backward(tare_node *n) {
    back_job j = { .n = n, .growth = growth(n), .dx = tare_grad(n, 0) };
    if (!j.dx) { return; }
    j.add = tare_grad_add(n, 0);
    if (n->saved) {
        tare_parallel_for(n->out->numel, tare__grain(1), back_range, &j);
    } else if (!n->training || probability(n) == 0) {
        tare__repeat(n->shape, n->out->grad, n->shape, 1, j.dx, j.add);
    } else if (!j.add) {
        memset(j.dx, 0, (size_t)n->out->numel * sizeof(tare_real));
    }
}

#define ATTR(p)                                                                                                        \
    .attr = &(const dropout_opt) { p }

static const tare_opcase cases[] = {
    { .name = "half", .in = { { 2, { 5, 7 } } }, ATTR(0.5) },
    { .name = "strips", .in = { { 3, { 2, 3, 100 } } }, ATTR(0.1) },
    { .name = "scalar", .in = { { 0, { 0 } } }, ATTR(0) },
    { .name = "none", .in = { { 1, { 9 } } }, ATTR(0) },
    { .name = "eval", .in = { { 2, { 5, 7 } } }, ATTR(0.5), .eval = true },
    { .name = NULL },
};

const tare_op tare_op_dropout = {
    .name = "dropout",
    .n_in = 1,
    .attr_size = sizeof(dropout_opt),
    .flags = TARE_OP_FRESH | TARE_OP_INPLACE,
    .reads = TARE_READS_NOTHING,
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

/* Where nothing is dropped, x under another name: no pass over the data. */
static const tare_op dropout_idle = {
    .name = "dropout",
    .n_in = 1,
    .attr_size = sizeof(dropout_opt),
    .flags = TARE_OP_ALIAS,
    .reads = TARE_READS_NOTHING,
    .check = check,
};

tare_tensor *tare_dropout(tare_tape *t, tare_tensor *x, double p) {
    bool idle = t && (!tare_tape_training(t) || p == 0);
    return tare_apply(t, idle ? &dropout_idle : &tare_op_dropout, &x, 1, &(dropout_opt){ p });
}
