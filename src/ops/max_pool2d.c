/* max_pool2d.c - the largest value of each window; the first one where several are equal, the last NaN where there is
 * one, as PyTorch. What backward needs is where each maximum was: a byte for 2 x 2 windows, else its place in the plane.
 * The maximum of relu(x) is relu of the maximum, so ReLU costs nothing here, and backward needs no mask: nothing goes back where
 * the result is 0. */
#include "pool.h"

static tare_status check(tare_node *n) {
    tare_status status = tare__pool2d_check(n);
    if (status) { return status; }
    tare__pool p = tare__pool2d_walk(n);
    int64_t outputs = n->shape.dim[0] * n->shape.dim[1] * p.oh * p.ow;
    n->besides = p.relu;
    n->saved_bytes = (size_t)outputs * (tare__pool_is_2x2(&p) ? sizeof(uint8_t) : sizeof(int32_t));
    return TARE_OK;
}

typedef struct job {
    tare__pool p;
    const tare_real *from;
    tare_real *to;
    void *index;
    bool add;
} job;

static void forward_planes(void *context, int64_t begin, int64_t end) {
    const job *w = context;
    const tare__pool *p = &w->p;
    int64_t in = begin * p->h * p->w, out = begin * p->oh * p->ow;
    if (tare__pool_is_2x2(p)) {
        uint8_t *index = w->index ? (uint8_t *)w->index + out : NULL;
        tare__kernels()->max_pool_2x2(p, end - begin, w->from + in, w->to + out, index);
    } else {
        int32_t *index = w->index ? (int32_t *)w->index + out : NULL;
        tare__kernels()->max_pool(p, end - begin, w->from + in, w->to + out, index);
    }
}

static void forward(tare_node *n) {
    job w = { .p = tare__pool2d_walk(n), .from = n->in[0]->data, .to = n->out->data, .index = n->saved };
    int64_t planes = n->shape.dim[0] * n->shape.dim[1];
    tare_parallel_for(planes, tare__pool2d_grain(&w.p, planes), forward_planes, &w);
}

static void backward_planes(void *context, int64_t begin, int64_t end) {
    const job *w = context;
    const tare__pool *p = &w->p;
    int64_t in = begin * p->h * p->w, out = begin * p->oh * p->ow;
    if (tare__pool_is_2x2(p)) {
        const uint8_t *index = (const uint8_t *)w->index + out;
        tare__kernels()->max_pool_2x2_back(p, end - begin, w->from + out, index, w->to + in, w->add);
    } else {
        const int32_t *index = (const int32_t *)w->index + out;
        tare__kernels()->max_pool_back(p, end - begin, w->from + out, index, w->to + in, w->add);
    }
}

static void backward(tare_node *n) {
    job w = { .p = tare__pool2d_walk(n), .from = n->out->grad, .to = tare_grad(n, 0), .index = n->saved };
    if (!w.to) { return; }
    w.add = tare_grad_add(n, 0);
    int64_t planes = n->shape.dim[0] * n->shape.dim[1];
    tare_parallel_for(planes, tare__pool2d_grain(&w.p, planes), backward_planes, &w);
}

#define CASE(text, n, c, h, w, ...)                                                                                    \
    {                                                                                                                  \
        .name = text, .in = { { 4, { n, c, h, w } } }, .fill = { { TARE_FILL_DISTINCT, 0, 0 } },                       \
        .attr = &(const tare_pool2d_opt) {                                                                             \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }

static const tare_opcase cases[] = {
    CASE("k2", 2, 3, 6, 8, .kernel = 2),
    CASE("k2_wide", 1, 2, 4, 34, .kernel = 2),
    CASE("k2_odd", 2, 2, 7, 15, .kernel = 2),
    CASE("k2_odd_ceil", 2, 2, 5, 7, .kernel = 2, .ceil = true),
    CASE("k3_s2_p1", 2, 2, 7, 9, .kernel = 3, .stride = 2, .pad = 1),
    CASE("k3_s2_p1_ceil", 1, 2, 8, 6, .kernel = 3, .stride = 2, .pad = 1, .ceil = true),
    CASE("k3_s1", 1, 2, 5, 6, .kernel = 3, .stride = 1),
    CASE("k3_s1_p1_wide", 1, 2, 4, 21, .kernel = 3, .stride = 1, .pad = 1),
    CASE("k3_s2_p1_wide", 1, 2, 5, 37, .kernel = 3, .stride = 2, .pad = 1),
    CASE("k2_s3", 1, 2, 8, 9, .kernel = 2, .stride = 3),
    CASE("k3x2_s2x1_p1x0", 2, 1, 6, 5, .kernel = 3, .stride = 2, .pad = 1, .kernel_w = 2, .stride_w = 1, .pad_w = -1),
    CASE("k1", 1, 2, 3, 3, .kernel = 1),
    CASE("k2_relu", 2, 3, 6, 8, .kernel = 2, .relu = true),
    CASE("k3_s2_p1_relu", 2, 2, 7, 9, .kernel = 3, .stride = 2, .pad = 1, .relu = true),
    CASE("whole", 3, 2, 4, 5, .kernel = 4, .kernel_w = 5),
    { .name = NULL },
};

const tare_op tare_op_max_pool2d = {
    .name = "max_pool2d",
    .n_in = 1,
    .attr_size = sizeof(tare_pool2d_opt),
    .flags = TARE_OP_FRESH,
    .reads = TARE_READS_NOTHING,
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_max_pool2d(tare_tape *t, tare_tensor *x, tare_pool2d_opt opt) {
    return tare_apply(t, &tare_op_max_pool2d, &x, 1, &opt);
}
