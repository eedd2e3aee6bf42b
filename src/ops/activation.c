/* activation.c - one kernel over all values of a tensor, each way. */
#include "activation.h"

#include <math.h>

typedef struct job {
    tare__activation_fn forward;
    tare__activation_back_fn backward;
    tare_real k;
    const tare_real *values, *dy;
    tare_real *to;
    bool add;
} job;

tare_status tare__activation_check(tare_node *n) {
    n->shape = n->in[0]->shape;
    return TARE_OK;
}

tare_status tare__activation_check_k(tare_node *n, const char *what) {
    double k = ((const tare__activation_opt *)n->attr)->k;
    if (!isfinite(k)) { return tare_node_fail(n, TARE_EINVAL, "%s is %g, must be finite", what, k); }
    return tare__activation_check(n);
}

static void forward_range(void *context, int64_t begin, int64_t end) {
    const job *j = context;
    j->forward(end - begin, j->k, j->values + begin, j->to + begin);
}

void tare__activation_forward(const tare_node *n, tare__activation_fn f, double k, double work) {
    job j = { .forward = f, .k = (tare_real)k, .values = n->in[0]->data, .to = n->out->data };
    tare_parallel_for(n->out->numel, tare__grain_of(n->out->numel, work), forward_range, &j);
}

static void backward_range(void *context, int64_t begin, int64_t end) {
    const job *j = context;
    j->backward(end - begin, j->k, j->values + begin, j->dy + begin, j->to + begin, j->add);
}

void tare__activation_backward(const tare_node *n, tare__activation_back_fn f, double k, double work) {
    const tare_tensor *read = n->op->reads & TARE_READS_OUT ? n->out : n->in[0];
    const tare_real *values = n->saved ? n->saved : read->data;
    job j = { .backward = f, .k = (tare_real)k, .values = values, .dy = n->out->grad, .to = tare_grad(n, 0) };
    if (!j.to) { return; }
    j.add = tare_grad_add(n, 0);
    tare_parallel_for(n->out->numel, tare__grain_of(n->out->numel, work), backward_range, &j);
}
