/* linear.c - y = x W^T + b, all leading dimensions of x taken as one batch. */
#include "common.h"

#include "../core/gemm.h"

#include <inttypes.h>

typedef struct sizes {
    int64_t rows, in, out;
} sizes;

static sizes sizes_of(const tare_node *n) {
    const int64_t *w = n->in[1]->shape.dim;
    sizes s = { 1, w[1], w[0] };
    const tare_shape *x = &n->in[0]->shape;
    for (int d = 0; d < x->ndim - 1; d++) { s.rows *= x->dim[d]; }
    return s;
}

static tare_status check(tare_node *n) {
    tare_shape x = n->in[0]->shape, w = n->in[1]->shape;
    tare_shape_buf xt, wt, bt;
    tare_shape_text(x, &xt);
    tare_shape_text(w, &wt);
    if (w.ndim != 2) { return tare_node_fail(n, TARE_ESHAPE, "weight %s is not [out,in]", wt.text); }
    if (x.ndim < 1 || x.dim[x.ndim - 1] != w.dim[1]) {
        return tare_node_fail(n, TARE_ESHAPE, "x %s does not end with the %" PRId64 " features that weight %s takes",
                              xt.text, w.dim[1], wt.text);
    }
    if (n->in[2] && (n->in[2]->shape.ndim != 1 || n->in[2]->shape.dim[0] != w.dim[0])) {
        return tare_node_fail(n, TARE_ESHAPE, "bias %s does not fit weight %s: must be [%" PRId64 "]",
                              tare_shape_text(n->in[2]->shape, &bt), wt.text, w.dim[0]);
    }
    n->shape = x;
    n->shape.dim[x.ndim - 1] = w.dim[0];
    sizes s = sizes_of(n);
    n->macs = (double)s.rows * (double)s.in * (double)s.out;
    return TARE_OK;
}

static void forward(tare_node *n) {
    sizes s = sizes_of(n);
    tare__gemm(&(tare__gemm_args){ .trans_b = true,
                                   .m = s.rows,
                                   .n = s.out,
                                   .k = s.in,
                                   .alpha = 1,
                                   .a = n->in[0]->data,
                                   .lda = s.in,
                                   .b = n->in[1]->data,
                                   .ldb = s.in,
                                   .c = n->out->data,
                                   .ldc = s.out,
                                   .bias_column = n->in[2] ? n->in[2]->data : NULL });
}

enum { BIAS_COLUMNS = 64 };

typedef struct bias_job {
    sizes size;
    const tare_real *dy;
    tare_real *db;
    bool add;
} bias_job;

static void sum_columns(void *context, int64_t begin, int64_t end) {
    const bias_job *j = context;
    for (; begin < end; begin += BIAS_COLUMNS) {
        double sums[BIAS_COLUMNS] = { 0 };
        int64_t columns = tare__min(BIAS_COLUMNS, end - begin);
        tare__kernels()->sum_cols(j->size.rows, columns, j->dy + begin, j->size.out, sums);
        for (int64_t c = 0; c < columns; c++) {
            j->db[begin + c] = (tare_real)sums[c] + (j->add ? j->db[begin + c] : 0);
        }
    }
}

static void backward(tare_node *n) {
    sizes s = sizes_of(n);
    const tare_real *dy = n->out->grad;
    tare_real *dx = tare_grad(n, 0), *dw = tare_grad(n, 1), *db = n->in[2] ? tare_grad(n, 2) : NULL;
    if (dw) {
        tare_gemm(true, false, s.out, s.in, s.rows, 1, dy, s.out, n->in[0]->data, s.in, tare_grad_add(n, 1), dw, s.in);
    }
    if (dx) { /* after dw, since it may lie where x does */
        tare_gemm(false, false, s.rows, s.in, s.out, 1, dy, s.out, n->in[1]->data, s.in, tare_grad_add(n, 0), dx, s.in);
    }
    if (db) {
        bias_job job = { s, dy, db, tare_grad_add(n, 2) };
        int64_t columns = tare__ceil_div(tare__grain((double)s.rows), BIAS_COLUMNS) * BIAS_COLUMNS;
        tare_parallel_for(s.out, columns, sum_columns, &job);
    }
}

static const tare_opcase cases[] = {
    { .name = "small", .in = { { 2, { 3, 4 } }, { 2, { 5, 4 } }, { 1, { 5 } } } },
    { .name = "one", .in = { { 2, { 1, 1 } }, { 2, { 1, 1 } }, { 1, { 1 } } } },
    { .name = "vector", .in = { { 1, { 7 } }, { 2, { 3, 7 } }, { 1, { 3 } } } },
    { .name = "no_bias", .in = { { 2, { 4, 6 } }, { 2, { 2, 6 } } }, .absent = 4 },
    { .name = "sequence", .in = { { 3, { 2, 3, 5 } }, { 2, { 4, 5 } }, { 1, { 4 } } } },
    { .name = "panels", .in = { { 2, { 17, 19 } }, { 2, { 35, 19 } }, { 1, { 35 } } } },
    { .name = NULL },
};

const tare_op tare_op_linear = {
    .name = "linear",
    .n_in = 3,
    .n_optional = 1,
    .flags = TARE_OP_FRESH | TARE_OP_AGAIN | TARE_OP_OVER_INPUT,
    .reads = TARE_READS_IN(0) | TARE_READS_IN(1),
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_linear(tare_tape *t, tare_tensor *x, tare_tensor *w, tare_tensor *b) {
    return tare_apply(t, &tare_op_linear, (tare_tensor *[]){ x, w, b }, 3, NULL);
}
