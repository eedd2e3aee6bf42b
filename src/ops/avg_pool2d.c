/* avg_pool2d.c - the mean of each window: over all its cells inside the padded input, or with exclude_pad over those
 * inside the input alone; never over the cells by which a last window under `ceil` hangs over, as PyTorch. */
#include "pool.h"

typedef struct job {
    tare__pool p;
    const tare_real *from;
    tare_real *to;
    bool add;
} job;

static tare_status check(tare_node *n) {
    const tare_pool2d_opt *opt = n->attr;
    tare_status status = tare__pool2d_check(n);
    if (status || !opt->relu) { return status; }
    return tare_node_fail(n, TARE_EINVAL, "the option relu is for maxima alone: call tare_relu before");
}

static void forward_planes(void *context, int64_t begin, int64_t end) {
    const job *w = context;
    const tare__pool *p = &w->p;
    const tare_real *x = w->from + begin * p->h * p->w;
    tare_real *y = w->to + begin * p->oh * p->ow;
    if (tare__pool_is_2x2(p)) {
        tare__kernels()->avg_pool_2x2(p, end - begin, x, y);
    } else {
        tare__kernels()->avg_pool(p, end - begin, x, y);
    }
}

static void forward(tare_node *n) {
    job w = { .p = tare__pool2d_walk(n), .from = n->in[0]->data, .to = n->out->data };
    int64_t planes = n->shape.dim[0] * n->shape.dim[1];
    tare_parallel_for(planes, tare__pool2d_grain(&w.p, planes), forward_planes, &w);
}

static void backward_planes(void *context, int64_t begin, int64_t end) {
    const job *w = context;
    const tare__pool *p = &w->p;
    const tare_real *dy = w->from + begin * p->oh * p->ow;
    tare_real *dx = w->to + begin * p->h * p->w;
    if (tare__pool_is_2x2(p)) {
        tare__kernels()->avg_pool_2x2_back(p, end - begin, dy, dx, w->add);
    } else {
        tare__kernels()->avg_pool_back(p, end - begin, dy, dx, w->add);
    }
}

static void backward(tare_node *n) {
    job w = { .p = tare__pool2d_walk(n), .from = n->out->grad, .to = tare_grad(n, 0) };
    if (!w.to) { return; }
    w.add = tare_grad_add(n, 0);
    int64_t planes = n->shape.dim[0] * n->shape.dim[1];
    tare_parallel_for(planes, tare__pool2d_grain(&w.p, planes), backward_planes, &w);
}

#define CASE(text, n, c, h, w, ...)                                                                                    \
    {                                                                                                                  \
        .name = text, .in = { { 4, { n, c, h, w } } }, .attr = &(const tare_pool2d_opt) { __VA_ARGS__ }                \
    }

static const tare_opcase cases[] = {
    CASE("k2", 2, 3, 6, 8, .kernel = 2),
    CASE("k2_wide", 1, 2, 4, 34, .kernel = 2),
    CASE("k2_odd", 2, 2, 7, 15, .kernel = 2),
    CASE("k2_odd_ceil", 2, 2, 5, 7, .kernel = 2, .ceil = true),
    CASE("k3_s2_p1", 2, 2, 7, 9, .kernel = 3, .stride = 2, .pad = 1),
    CASE("k3_s2_p1_exclude", 2, 2, 7, 9, .kernel = 3, .stride = 2, .pad = 1, .exclude_pad = true),
    CASE("k3_s2_p1_ceil", 1, 2, 8, 6, .kernel = 3, .stride = 2, .pad = 1, .ceil = true),
    CASE("k3_s2_p1_ceil_exclude", 1, 2, 8, 6, .kernel = 3, .stride = 2, .pad = 1, .ceil = true, .exclude_pad = true),
    CASE("k3_s1", 1, 2, 5, 6, .kernel = 3, .stride = 1),
    CASE("k3_s1_p1_wide", 1, 2, 4, 21, .kernel = 3, .stride = 1, .pad = 1),
    CASE("k3_s2_p1_wide", 1, 2, 5, 37, .kernel = 3, .stride = 2, .pad = 1),
    CASE("k2_s3", 1, 2, 8, 9, .kernel = 2, .stride = 3),
    CASE("k3x2_s2x1_p1x0", 2, 1, 6, 5, .kernel = 3, .stride = 2, .pad = 1, .kernel_w = 2, .stride_w = 1, .pad_w = -1),
    CASE("whole", 3, 2, 4, 5, .kernel = 4, .kernel_w = 5),
    { .name = NULL },
};

const tare_op tare_op_avg_pool2d = {
    .name = "avg_pool2d",
    .n_in = 1,
    .attr_size = sizeof(tare_pool2d_opt),
    .flags = TARE_OP_FRESH,
    .reads = TARE_READS_NOTHING,
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_avg_pool2d(tare_tape *t, tare_tensor *x, tare_pool2d_opt opt) {
    return tare_apply(t, &tare_op_avg_pool2d, &x, 1, &opt);
}
