/* global_avg_pool2d.c - the mean of each plane: [N,C,H,W] -> [N,C,1,1]. */
#include "common.h"

static tare_status check(tare_node *n) {
    tare_shape x = n->in[0]->shape;
    tare_shape_buf text;
    if (x.ndim != 4) { return tare_node_fail(n, TARE_ESHAPE, "x %s is not [N,C,H,W]", tare_shape_text(x, &text)); }
    if (x.dim[2] == 0 || x.dim[3] == 0) {
        return tare_node_fail(n, TARE_ESHAPE, "the planes of x %s are empty and have no mean",
                              tare_shape_text(x, &text));
    }
    n->shape = TARE_SHAPE(x.dim[0], x.dim[1], 1, 1);
    return TARE_OK;
}

typedef struct job {
    int64_t size;
    const tare_real *from;
    tare_real *to;
    bool add;
} job;

static job job_of(const tare_node *n, const tare_real *from, tare_real *to) {
    const int64_t *dim = n->in[0]->shape.dim;
    return (job){ .size = dim[2] * dim[3], .from = from, .to = to };
}

static void forward_planes(void *context, int64_t begin, int64_t end) {
    const job *w = context;
    tare__kernels()->plane_mean(end - begin, w->size, w->from + begin * w->size, w->to + begin);
}

static void forward(tare_node *n) {
    job w = job_of(n, n->in[0]->data, n->out->data);
    tare_parallel_for(n->out->numel, tare__grain((double)w.size), forward_planes, &w);
}

static void backward_planes(void *context, int64_t begin, int64_t end) {
    const job *w = context;
    tare__kernels()->plane_mean_back(end - begin, w->size, w->from + begin, w->to + begin * w->size, w->add);
}

static void backward(tare_node *n) {
    job w = job_of(n, n->out->grad, tare_grad(n, 0));
    if (!w.to) { return; }
    w.add = tare_grad_add(n, 0);
    tare_parallel_for(n->out->numel, tare__grain((double)w.size), backward_planes, &w);
}

static const tare_opcase cases[] = {
    { .name = "3x5", .in = { { 4, { 2, 3, 3, 5 } } } },
    { .name = "1x1", .in = { { 4, { 1, 4, 1, 1 } } } },
    { .name = "8x8", .in = { { 4, { 3, 2, 8, 8 } } } },
    { .name = "blocks", .in = { { 4, { 1, 1, 17, 61 } } } },
    { .name = NULL },
};

const tare_op tare_op_global_avg_pool2d = {
    .name = "global_avg_pool2d",
    .n_in = 1,
    .flags = TARE_OP_FRESH,
    .reads = TARE_READS_NOTHING,
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_global_avg_pool2d(tare_tape *t, tare_tensor *x) {
    return tare_apply(t, &tare_op_global_avg_pool2d, &x, 1, NULL);
}
