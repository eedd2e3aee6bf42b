/* tape_ops.h - small ops to build graphs from, and a guarded tape for each test, for the tests of the tape. */
#ifndef TARE_TAPE_OPS_H
#define TARE_TAPE_OPS_H

#include "testing_support.h"

#include <tare/ops.h>
#include <tare/params.h>

static inline tare_status same_shape(tare_node *n) {
    n->shape = n->in[0]->shape;
    for (int i = 1; i < n->n_in; i++) {
        tare_shape_buf a, b;
        if (tare_shape_equal(n->shape, n->in[i]->shape)) { continue; }
        return tare_node_fail(n, TARE_ESHAPE, "%s and %s differ", tare_shape_text(n->shape, &a),
                              tare_shape_text(n->in[i]->shape, &b));
    }
    return TARE_OK;
}

static inline tare_status to_scalar(tare_node *n) {
    n->shape = TARE_SCALAR;
    return TARE_OK;
}

static inline void put(const tare_node *n, int i, int64_t k, tare_real value) {
    tare_real *g = tare_grad(n, i);
    bool overwrite = (n->op->flags & TARE_OP_FRESH) && !tare_grad_add(n, i);
    g[k] = overwrite ? value : g[k] + value;
}

static inline void square_forward(tare_node *n) {
    for (int64_t i = 0; i < n->out->numel; i++) { n->out->data[i] = n->in[0]->data[i] * n->in[0]->data[i]; }
}
static inline void square_backward(tare_node *n) {
    for (int64_t i = 0; i < n->out->numel; i++) { put(n, 0, i, 2 * n->in[0]->data[i] * n->out->grad[i]); }
}
static const tare_op square = { .name = "square",
                                .n_in = 1,
                                .flags = TARE_OP_FRESH,
                                .reads = TARE_READS_IN(0),
                                .check = same_shape,
                                .forward = square_forward,
                                .backward = square_backward };

static inline void times_forward(tare_node *n) {
    for (int64_t i = 0; i < n->out->numel; i++) { n->out->data[i] = n->in[0]->data[i] * n->in[1]->data[i]; }
}
static inline void times_backward(tare_node *n) {
    for (int64_t i = 0; i < n->out->numel; i++) {
        if (tare_grad(n, 0)) { put(n, 0, i, n->in[1]->data[i] * n->out->grad[i]); }
        if (tare_grad(n, 1)) { put(n, 1, i, n->in[0]->data[i] * n->out->grad[i]); }
    }
}
/* The same product twice: one that overwrites where it may, one that always adds. */
static const tare_op times = { .name = "times",
                               .n_in = 2,
                               .flags = TARE_OP_FRESH,
                               .check = same_shape,
                               .forward = times_forward,
                               .backward = times_backward };
static const tare_op times_adding = {
    .name = "times_adding", .n_in = 2, .check = same_shape, .forward = times_forward, .backward = times_backward
};

static inline void plus_forward(tare_node *n) {
    for (int64_t i = 0; i < n->out->numel; i++) { n->out->data[i] = n->in[0]->data[i] + n->in[1]->data[i]; }
}
static inline void plus_backward(tare_node *n) {
    for (int s = 0; s < 2; s++) {
        for (int64_t i = 0; tare_grad(n, s) && i < n->out->numel; i++) { put(n, s, i, n->out->grad[i]); }
    }
}
static const tare_op plus = { .name = "plus",
                              .n_in = 2,
                              .flags = TARE_OP_FRESH,
                              .reads = TARE_READS_NOTHING,
                              .check = same_shape,
                              .forward = plus_forward,
                              .backward = plus_backward };

static inline void total_forward(tare_node *n) {
    tare_real sum = 0;
    for (int64_t i = 0; i < n->in[0]->numel; i++) { sum += n->in[0]->data[i]; }
    n->out->data[0] = sum;
}
static inline void total_backward(tare_node *n) {
    for (int64_t i = 0; i < n->in[0]->numel; i++) { put(n, 0, i, n->out->grad[0]); }
}
static const tare_op total = { .name = "total",
                               .n_in = 1,
                               .reads = TARE_READS_NOTHING,
                               .check = to_scalar,
                               .forward = total_forward,
                               .backward = total_backward };

static inline tare_status as_row(tare_node *n) {
    n->shape = TARE_SHAPE(n->in[0]->numel);
    return TARE_OK;
}
static const tare_op row = { .name = "row", .n_in = 1, .flags = TARE_OP_ALIAS, .check = as_row };

static inline tare_tensor *apply1(tare_tape *t, const tare_op *op, tare_tensor *x) {
    return tare_apply(t, op, &x, 1, NULL);
}
static inline tare_tensor *apply2(tare_tape *t, const tare_op *op, tare_tensor *a, tare_tensor *b) {
    return tare_apply(t, op, (tare_tensor *[]){ a, b }, 2, NULL);
}

static inline tare_tensor *input(tare_tape *t, bool wants, tare_real a, tare_real b) {
    tare_tensor *x = tare_input(t, TARE_SHAPE(2), (tare_real[]){ a, b });
    assert_non_null(x);
    x->requires_grad = wants;
    return x;
}

static inline void expect(const tare_real *got, double a, double b) {
    assert_non_null(got);
    assert_near(got[0], a, 1e-5);
    assert_near(got[1], b, 1e-5);
}

/* A guarded tape for each test. */
static inline int tape_setup(void **state) {
    *state = tare_tape_new((tare_tape_opt){ .training = true, .guard = true, .seed = 5 });
    return *state ? 0 : -1;
}
static inline int tape_teardown(void **state) {
    tare_tape_free(*state);
    return 0;
}

#define with_tape(test) cmocka_unit_test_setup_teardown(test, tape_setup, tape_teardown)

#endif
