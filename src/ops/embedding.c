/* embedding.c - rows of a table by index. The gradient adds each upstream row to its table row, in order of position:
 * threads split the columns, so the order never depends on them. */
#include "common.h"

#include <inttypes.h>
#include <string.h>

typedef struct attributes {
    const int32_t *index;
    tare_shape shape; /* of index */
} attributes;

static tare_status check(tare_node *n) {
    const attributes *a = n->attr;
    const tare_tensor *w = n->in[0];
    tare_shape_buf buf;
    if (w->shape.ndim != 2) {
        return tare_node_fail(n, TARE_ESHAPE, "the table is %s, not [rows, features]", tare_shape_text(w->shape, &buf));
    }
    int64_t count = tare_shape_numel(a->shape);
    if (count < 0 || a->shape.ndim >= TARE_MAX_DIMS) {
        return tare_node_fail(n, TARE_ESHAPE, "%s is no shape for indices", tare_shape_text(a->shape, &buf));
    }
    if (!a->index && count > 0) { return tare_node_fail(n, TARE_EINVAL, "index is NULL"); }
    for (int64_t i = 0; i < count; i++) {
        if (a->index[i] < 0 || a->index[i] >= w->shape.dim[0]) {
            return tare_node_fail(n, TARE_EINVAL,
                                  "index %d at position %" PRId64 " is outside the table of %" PRId64 " rows",
                                  (int)a->index[i], i, w->shape.dim[0]);
        }
    }
    n->shape = a->shape;
    n->shape.dim[n->shape.ndim++] = w->shape.dim[1];
    n->saved_bytes = (size_t)count * sizeof *a->index;
    return TARE_OK;
}

typedef struct job {
    const tare_real *from;
    tare_real *to;
    const int32_t *index;
    int64_t count, width;
} job;

static void gather(void *context, int64_t begin, int64_t end) {
    const job *w = context;
    for (int64_t i = begin; i < end; i++) {
        memcpy(w->to + i * w->width, w->from + w->index[i] * w->width, (size_t)w->width * sizeof *w->to);
    }
}

static void forward(tare_node *n) {
    const attributes *a = n->attr;
    int64_t count = tare_shape_numel(a->shape), width = n->in[0]->shape.dim[1];
    if (count == 0) { return; }
    /* The caller's indices need not outlive the call. */
    if (n->saved) { memcpy(n->saved, a->index, (size_t)count * sizeof *a->index); }
    job w = { n->in[0]->data, n->out->data, a->index, count, width };
    tare_parallel_for(count, tare__grain((double)width), gather, &w);
}

static void scatter(void *context, int64_t begin, int64_t end) {
    const job *w = context;
    const tare__kernel_table *kernels = tare__kernels();
    for (int64_t i = 0; i < w->count; i++) {
        const tare_real *from = w->from + i * w->width + begin;
        kernels->copy(1, end - begin, from, 0, 1, w->to + w->index[i] * w->width + begin, 0, 1, true);
    }
}

static void backward(tare_node *n) {
    const attributes *a = n->attr;
    job w = { n->out->grad, tare_grad(n, 0), n->saved, tare_shape_numel(a->shape), n->in[0]->shape.dim[1] };
    if (!w.to || w.count == 0) { return; }
    /* Whole cache lines of columns, so that no two threads write to the same one. */
    int64_t grain = tare__ceil_div(tare__grain((double)w.count), 16) * 16;
    tare_parallel_for(w.width, grain, scatter, &w);
}

static const int32_t twice[] = { 4, 0, 4, 2, 1, 4 };

static const tare_opcase cases[] = {
    { .name = "matrix", .in = { { 2, { 5, 3 } } }, .attr = &(const attributes){ twice, { 2, { 2, 3 } } } },
    { .name = "vector", .in = { { 2, { 5, 1 } } }, .attr = &(const attributes){ twice, { 1, { 4 } } } },
    { .name = "one", .in = { { 2, { 5, 4 } } }, .attr = &(const attributes){ twice, { 0, { 0 } } } },
    { .name = NULL },
};

const tare_op tare_op_embedding = {
    .name = "embedding",
    .n_in = 1,
    .attr_size = sizeof(attributes),
    .reads = TARE_READS_NOTHING,
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_embedding(tare_tape *t, tare_tensor *w, const int32_t *index, tare_shape shape) {
    return tare_apply(t, &tare_op_embedding, &w, 1, &(attributes){ index, shape });
}

tare_tensor *tare_embedding_of(const tare_tensor *x, const int32_t **index) {
    const tare_node *n = x ? x->node : NULL;
    if (!n || n->op != &tare_op_embedding || !n->saved) { return NULL; }
    *index = n->saved;
    return n->in[0];
}
