/* matmul.c - batched matrix product, either side transposed, batch dimensions broadcast. */
#include "common.h"

/* The batch as walked: product o of `batch` takes a at a_step's place, b at b_step's (0 along repeated dimensions). */
typedef struct plan {
    bool trans_a, trans_b;
    int64_t m, n, k, batch;
    tare_shape common;
    int64_t a_step[TARE_MAX_DIMS], b_step[TARE_MAX_DIMS]; /* in matrices */
    bool a_repeats, b_repeats;
} plan;

static tare_shape batch_of(tare_shape shape) {
    shape.ndim -= 2;
    return shape;
}

static plan plan_of(const tare_node *node) {
    const tare_matmul_opt *opt = node->attr;
    tare_shape a = node->in[0]->shape, b = node->in[1]->shape;
    const int64_t *da = a.dim + a.ndim - 2, *db = b.dim + b.ndim - 2;
    plan p = { .trans_a = opt->trans_a, .trans_b = opt->trans_b };
    p.m = da[opt->trans_a ? 1 : 0];
    p.k = da[opt->trans_a ? 0 : 1];
    p.n = db[opt->trans_b ? 0 : 1];
    tare__broadcast(batch_of(a), batch_of(b), &p.common);
    p.batch = tare_shape_numel(p.common);
    int64_t a_batch = tare_shape_numel(batch_of(a)), b_batch = tare_shape_numel(batch_of(b));
    if (b_batch == 1 && !p.trans_a && p.batch == a_batch) {
        /* One b for all: the rows of all batches are the rows of one matrix. */
        p.m *= p.batch;
        p.batch = 1;
        p.common = TARE_SCALAR;
        return p;
    }
    tare__strides(batch_of(a), p.common, p.a_step);
    tare__strides(batch_of(b), p.common, p.b_step);
    p.a_repeats = a_batch != p.batch;
    p.b_repeats = b_batch != p.batch;
    return p;
}

static tare_status check(tare_node *n) {
    const tare_matmul_opt *opt = n->attr;
    tare_shape a = n->in[0]->shape, b = n->in[1]->shape;
    tare_shape_buf at, bt;
    tare_shape_text(a, &at);
    tare_shape_text(b, &bt);
    if (a.ndim < 2 || b.ndim < 2) {
        return tare_node_fail(n, TARE_ESHAPE, "%s and %s must each have at least 2 dimensions", at.text, bt.text);
    }
    if (a.dim[a.ndim - (opt->trans_a ? 2 : 1)] != b.dim[b.ndim - (opt->trans_b ? 1 : 2)]) {
        return tare_node_fail(n, TARE_ESHAPE, "inner sizes of %s%s and %s%s differ", at.text,
                              opt->trans_a ? " transposed" : "", bt.text, opt->trans_b ? " transposed" : "");
    }
    tare_shape common;
    tare_status status = tare__broadcast_check(n, batch_of(a), batch_of(b), &common);
    if (status) { return status; }
    n->shape = common;
    n->shape.ndim += 2;
    n->shape.dim[common.ndim] = a.dim[a.ndim - (opt->trans_a ? 1 : 2)];
    n->shape.dim[common.ndim + 1] = b.dim[b.ndim - (opt->trans_b ? 2 : 1)];
    plan p = plan_of(n);
    n->macs = (double)p.batch * (double)p.m * (double)p.n * (double)p.k;
    return TARE_OK;
}

/* How many matrices into the tensor product o finds its own. */
static int64_t place(const plan *p, const int64_t *step, int64_t o) {
    int64_t at = 0;
    for (int d = p->common.ndim - 1; d >= 0; d--) {
        at += o % p->common.dim[d] * step[d];
        o /= p->common.dim[d];
    }
    return at;
}

typedef struct job {
    plan p;
    const tare_real *a, *b, *dc;
    tare_real *to;
    tare_real beta;
} job;

static void multiply(void *context, int64_t begin, int64_t end) {
    const job *j = context;
    const plan *p = &j->p;
    for (int64_t o = begin; o < end; o++) {
        tare_gemm(p->trans_a, p->trans_b, p->m, p->n, p->k, 1, j->a + place(p, p->a_step, o) * p->m * p->k,
                  p->trans_a ? p->m : p->k, j->b + place(p, p->b_step, o) * p->k * p->n, p->trans_b ? p->k : p->n, 0,
                  j->to + o * p->m * p->n, p->n);
    }
}

/* dA = dC op(B)^T, or its transpose op(B) dC^T where a is stored transposed. */
static void grad_a(void *context, int64_t begin, int64_t end) {
    const job *j = context;
    const plan *p = &j->p;
    int64_t ldb = p->trans_b ? p->k : p->n;
    for (int64_t o = begin; o < end; o++) {
        const tare_real *dc = j->dc + o * p->m * p->n, *b = j->b + place(p, p->b_step, o) * p->k * p->n;
        tare_real *da = j->to + place(p, p->a_step, o) * p->m * p->k;
        if (p->trans_a) {
            tare_gemm(p->trans_b, true, p->k, p->m, p->n, 1, b, ldb, dc, p->n, j->beta, da, p->m);
        } else {
            tare_gemm(false, !p->trans_b, p->m, p->k, p->n, 1, dc, p->n, b, ldb, j->beta, da, p->k);
        }
    }
}

/* dB = op(A)^T dC, or its transpose dC^T op(A). */
static void grad_b(void *context, int64_t begin, int64_t end) {
    const job *j = context;
    const plan *p = &j->p;
    int64_t lda = p->trans_a ? p->m : p->k;
    for (int64_t o = begin; o < end; o++) {
        const tare_real *dc = j->dc + o * p->m * p->n, *a = j->a + place(p, p->a_step, o) * p->m * p->k;
        tare_real *db = j->to + place(p, p->b_step, o) * p->k * p->n;
        if (p->trans_b) {
            tare_gemm(true, p->trans_a, p->n, p->k, p->m, 1, dc, p->n, a, lda, j->beta, db, p->k);
        } else {
            tare_gemm(!p->trans_a, false, p->k, p->n, p->m, 1, a, lda, dc, p->n, j->beta, db, p->n);
        }
    }
}

/* Small products are spread over the threads whole; large ones, and those that share a result, each within itself. */
static void run(const job *j, tare_range_fn fn, bool shared) {
    double macs = (double)j->p.m * (double)j->p.n * (double)j->p.k;
    if (shared || (macs > 1 << 22 && j->p.batch < 8)) {
        for (int64_t o = 0; o < j->p.batch; o++) { fn((void *)j, o, o + 1); }
    } else {
        tare_parallel_for(j->p.batch, tare__grain(macs / 4), fn, (void *)j);
    }
}

static void forward(tare_node *n) {
    job j = { .p = plan_of(n), .a = n->in[0]->data, .b = n->in[1]->data, .to = n->out->data };
    run(&j, multiply, false);
}

static void backward_one(tare_node *n, int i, tare_range_fn fn) {
    job j = { .p = plan_of(n), .a = n->in[0]->data, .b = n->in[1]->data, .dc = n->out->grad, .to = tare_grad(n, i) };
    if (!j.to) { return; }
    bool shared = i == 0 ? j.p.a_repeats : j.p.b_repeats;
    j.beta = tare_grad_add(n, i);
    if (shared && j.beta == 0) {
        for (int64_t e = 0; e < n->in[i]->numel; e++) { j.to[e] = 0; }
        j.beta = 1;
    }
    run(&j, fn, shared);
}

static void backward(tare_node *n) {
    backward_one(n, 0, grad_a);
    backward_one(n, 1, grad_b);
}

#define CASE(text, ta, tb, ...)                                                                                        \
    {                                                                                                                  \
        .name = text, .in = { __VA_ARGS__ }, .attr = &(const tare_matmul_opt) { ta, tb }                               \
    }

static const tare_opcase cases[] = {
    CASE("plain", false, false, { 2, { 3, 4 } }, { 2, { 4, 5 } }),
    CASE("trans_b", false, true, { 2, { 3, 4 } }, { 2, { 5, 4 } }),
    CASE("trans_a", true, false, { 2, { 4, 3 } }, { 2, { 4, 5 } }),
    CASE("trans_both", true, true, { 2, { 4, 3 } }, { 2, { 5, 4 } }),
    CASE("one", false, false, { 2, { 1, 1 } }, { 2, { 1, 1 } }),
    CASE("batch", false, true, { 4, { 2, 3, 4, 5 } }, { 4, { 2, 3, 6, 5 } }),
    CASE("batch_trans_a", true, false, { 3, { 3, 5, 4 } }, { 3, { 3, 5, 2 } }),
    CASE("one_b", false, true, { 3, { 2, 3, 4 } }, { 2, { 5, 4 } }),
    CASE("one_a", false, false, { 2, { 3, 4 } }, { 3, { 2, 4, 5 } }),
    CASE("one_b_trans_a", true, true, { 3, { 2, 4, 3 } }, { 2, { 5, 4 } }),
    CASE("broadcast", false, false, { 4, { 2, 1, 3, 4 } }, { 3, { 3, 4, 2 } }),
    { .name = NULL },
};

const tare_op tare_op_matmul = {
    .name = "matmul",
    .n_in = 2,
    .attr_size = sizeof(tare_matmul_opt),
    .flags = TARE_OP_FRESH | TARE_OP_AGAIN,
    .reads = TARE_READS_IN(0) | TARE_READS_IN(1),
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_matmul(tare_tape *t, tare_tensor *a, tare_tensor *b, tare_matmul_opt opt) {
    return tare_apply(t, &tare_op_matmul, (tare_tensor *[]){ a, b }, 2, &opt);
}
