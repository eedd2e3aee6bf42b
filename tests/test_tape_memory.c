/* test_tape_memory.c - what a step holds at most: gradients in place, results gone as soon as they may, large cheap ones made twice,
 * others where there is a limit.
 * tare-test: double */
#include "testing_support.h"

#include <tare/tare.h>

#include <math.h>
#include <string.h>

enum { N = 3 << 18 }; /* 3 MiB of float */

static tare_tape *tape_new(void) { return tare_tape_new((tare_tape_opt){ .training = true }); }

/* Values that are not all alike, half of them negative; its gradient is wanted. */
static tare_tensor *input_of(tare_tape *t, tare_shape shape) {
    tare_tensor *x = tare_input(t, shape, NULL);
    assert_non_null(x);
    for (int64_t i = 0; i < x->numel; i++) { x->data[i] = (tare_real)(i % 11 - 5) / 4; }
    x->requires_grad = true;
    return x;
}

static tare_tensor *input(tare_tape *t, int64_t rows, int64_t cols) { return input_of(t, TARE_SHAPE(rows, cols)); }

static void backward(tare_tape *t, tare_tensor *y) { assert_ok(tare_backward(t, tare_sum(t, y, 0, false))); }

/* ---- gradients in place ------------------------------------------------------------------------------------------ */

/* Eight results are kept for backward, which needs room for one gradient beside them: each is made where the one before lay. */
static void activations_make_gradients_in_place(void **state) {
    (void)state;
    enum { DEPTH = 8 };
    tare_tensor *(*const ops[])(tare_tape *, tare_tensor *) = { tare_relu, tare_tanh, tare_sigmoid, tare_gelu };
    for (size_t k = 0; k < sizeof ops / sizeof ops[0]; k++) {
        tare_tape *t = tape_new();
        tare_tensor *x = input(t, 1, N), *y = x;
        for (int i = 0; i < DEPTH; i++) { y = ops[k](t, y); }
        backward(t, y);
        assert_non_null(x->grad);
        assert_true(tare_tape_peak(t) <= ((DEPTH + 2) * (size_t)N + 4096) * sizeof(tare_real) + 8192);
        tare_tape_free(t);
    }
}

typedef struct norm {
    const char *op;
    int n_in;
    bool scaled; /* with gamma, and beta where there is one, as long as the last dimension */
    const void *opt;
} norm;

static const norm norms[] = {
    { "batch_norm", 5, false, &(const tare_batch_norm_opt){ 0 } },
    { "group_norm", 3, false, &(const tare_group_norm_opt){ .groups = 2 } },
    { "instance_norm", 3, false, &(const tare_instance_norm_opt){ 0 } },
    { "layer_norm", 3, false, &(const tare_layer_norm_opt){ .channels = true } },
    { "layer_norm", 3, false, &(const tare_layer_norm_opt){ 0 } },
    { "layer_norm", 3, true, &(const tare_layer_norm_opt){ 0 } },
    { "rms_norm", 2, true, &(const tare_rms_norm_opt){ 0 } },
};
enum { NORMS = sizeof norms / sizeof *norms, SCALED = NORMS - 2 };

/* The gradients of x, gamma and beta, one after the other; `held`: x has one already, to which the norm's is added. */
static size_t through_norm(const norm *kind, tare_shape shape, bool held, bool promises, tare_real *grads) {
    tare_tape *t = tape_new();
    tare_op op = *tare_op_find(kind->op);
    if (!promises) { op.flags &= ~(unsigned)TARE_OP_INPLACE; }
    tare_tensor *in[5] = { input_of(t, shape) };
    int with_grad = kind->scaled ? kind->n_in : 1;
    for (int i = 1; i < with_grad; i++) { in[i] = input_of(t, TARE_SHAPE(shape.dim[shape.ndim - 1])); }
    tare_tensor *y = tare_apply(t, &op, in, kind->n_in, kind->opt), *dy = tare_scale(t, tare_mul(t, in[0], in[0]), 0.5);
    assert_ok(tare_backward_from(t, held ? tare_add(t, y, in[0]) : y, dy->data));
    for (int i = 0; i < with_grad; grads += in[i++]->numel) {
        memcpy(grads, in[i]->grad, (size_t)in[i]->numel * sizeof *grads);
    }
    size_t peak = tare_tape_peak(t);
    tare_tape_free(t);
    return peak;
}

static void in_place_as_beside(const norm *kind, tare_shape shape, bool held) {
    size_t bytes = (size_t)(3 * tare_shape_numel(shape)) * sizeof(tare_real);
    tare_real *a = calloc(1, bytes), *b = calloc(1, bytes);
    size_t in_place = through_norm(kind, shape, held, true, a), beside = through_norm(kind, shape, held, false, b);
    assert_memory_equal(a, b, bytes);
    assert_true(in_place < beside);
    free(a);
    free(b);
}

/* A norm's gradient goes where the one behind it lay; the same values in less memory, for rows and columns of all lengths. */
static void norms_make_gradients_in_place(void **state) {
    (void)state;
    for (int kind = 0; kind < NORMS; kind++) {
        for (int64_t size = 2; size < 70; size++) {
            in_place_as_beside(&norms[kind], TARE_SHAPE(4, 4, size), false);
            if (kind != 2) { in_place_as_beside(&norms[kind], TARE_SHAPE(16, 2 * size), false); }
        }
        in_place_as_beside(&norms[kind], TARE_SHAPE(2, 8, 5001), false); /* wide: columns are shared out */
    }
}

/* That of a single row's gamma too, which is as long, where x has a gradient already. */
static void scales_make_gradients_in_place(void **state) {
    (void)state;
    const int64_t sizes[] = { 3, 70, 1024, 4096, 5001 };
    for (int kind = SCALED; kind < NORMS; kind++) {
        for (int i = 0; i < 5; i++) { in_place_as_beside(&norms[kind], TARE_SHAPE(sizes[i]), true); }
    }
}

/* a + b hands its gradient to one of them; the other one has its own, which may hold something already. */
static void sums_share_nothing(void **state) {
    (void)state;
    for (int order = 0; order < 2; order++) {
        tare_tape *t = tape_new();
        tare_tensor *x = input(t, 5, 7), *a = tare_scale(t, x, 2), *b = tare_scale(t, x, 3);
        tare_tensor *sum = order ? tare_add(t, a, b) : tare_add(t, b, a);
        tare_tensor *also = tare_mul(t, a, a); /* its backward comes first, so a has a gradient when the sum's comes */
        backward(t, tare_add(t, sum, also));
        for (int64_t i = 0; i < x->numel; i++) {
            double v = (double)(i % 11 - 5) / 4;
            assert_near(x->grad[i], 2 * (1 + 2 * 2 * v) + 3, 1e-5);
        }
        tare_tape_free(t);
    }
    tare_tape *t = tape_new();
    tare_tensor *x = input(t, 5, 7);
    backward(t, tare_add(t, x, x));
    for (int64_t i = 0; i < x->numel; i++) { assert_near(x->grad[i], 2, 0); }
    tare_tape_free(t);
}

static tare_status halve_check(tare_node *n) {
    n->shape = n->in[0]->shape;
    return TARE_OK;
}

static void halve_forward(tare_node *n) {
    for (int64_t i = 0; i < n->out->numel; i++) { n->out->data[i] = n->in[0]->data[i] / 2; }
}

static void halve_backward(tare_node *n) {
    for (int64_t i = 0; i < n->out->numel; i++) { tare_grad(n, 0)[i] += n->out->grad[i] / 2; }
}

/* An op that always adds wants zeros to add to, which would lie on the gradient it reads. */
static void ops_that_add_have_memory_of_their_own(void **state) {
    (void)state;
    const tare_op halve = { .name = "halve",
                            .n_in = 1,
                            .flags = TARE_OP_INPLACE,
                            .reads = TARE_READS_NOTHING,
                            .check = halve_check,
                            .forward = halve_forward,
                            .backward = halve_backward };
    tare_tape *t = tape_new();
    tare_tensor *x = input(t, 5, 7);
    backward(t, tare_apply(t, &halve, &x, 1, NULL));
    for (int64_t i = 0; i < x->numel; i++) { assert_near(x->grad[i], 0.5, 0); }
    tare_tape_free(t);
}

/* Eight linear maps keep eight inputs, and backward needs room for one gradient beside them: each is made where the input lay. */
static void products_make_gradients_over_their_inputs(void **state) {
    (void)state;
    enum { DEPTH = 8, COLS = 64 };
    tare_tape *t = tape_new();
    tare_tensor *x = input(t, N / COLS, COLS), *w = input(t, COLS, COLS), *y = x;
    for (int i = 0; i < DEPTH; i++) { y = tare_linear(t, y, w, NULL); }
    backward(t, y);
    assert_non_null(x->grad);
    assert_true(tare_tape_peak(t) <= ((DEPTH + 2) * (size_t)N + 3 * COLS * COLS) * sizeof(tare_real) + 8192);
    tare_tape_free(t);
}

/* y = s W' reads what sigmoid keeps for itself, what another product reads, or the same under another shape: with s' = s (1 - s) and
 * W = I, dL/dx is s' times how many products there are. */
static void values_that_others_read_are_not_written_over(void **state) {
    (void)state;
    for (int products = 1; products <= 3; products++) {
        tare_tape *t = tape_new();
        tare_tensor *x = input(t, 6, 2), *w = tare_input(t, TARE_SHAPE(2, 2), (tare_real[]){ 1, 0, 0, 1 });
        tare_tensor *half = tare_scale(t, x, 1), *s = tare_sigmoid(t, half), *sum = NULL;
        w->requires_grad = true;
        for (int i = 0; i < products; i++) {
            tare_tensor *in = i == 1 ? tare_reshape(t, s, TARE_SHAPE(3, 2, 2)) : s;
            tare_tensor *y = tare_reshape(t, tare_linear(t, in, w, NULL), TARE_SHAPE(6, 2));
            sum = sum ? tare_add(t, sum, y) : y;
        }
        backward(t, sum);
        double dw = 0;
        for (int64_t i = 0; i < x->numel; i++) {
            double v = 1 / (1 + exp(-(double)(i % 11 - 5) / 4));
            assert_near(x->grad[i], products * v * (1 - v), 1e-6);
            if (i % 2 == 0) { dw += products * v; }
        }
        assert_near(w->grad[0], dw, 1e-5);
        tare_tape_free(t);
    }
}

/* y = W h + h: two shares of one gradient add up, and dW still reads h. */
static void a_product_with_its_input_as_bias_keeps_it(void **state) {
    (void)state;
    tare_tape *t = tape_new();
    tare_tensor *x = tare_input(t, TARE_SHAPE(3), (tare_real[]){ 1, 2, 3 });
    tare_tensor *w = tare_input(t, TARE_SHAPE(3, 3), (tare_real[]){ 1, 2, 3, 4, 5, 6, 7, 8, 9 });
    x->requires_grad = w->requires_grad = true;
    tare_tensor *h = tare_scale(t, x, 2);
    backward(t, tare_linear(t, h, w, h));
    for (int64_t i = 0; i < 9; i++) { assert_near(w->grad[i], 2 * (i % 3 + 1), 0); }
    for (int64_t i = 0; i < 3; i++) { assert_near(x->grad[i], 2 * (12 + 3 * i + 1), 0); }
    tare_tape_free(t);
}

/* ---- what backward does not read --------------------------------------------------------------------------------- */

/* The sign of y tells that of x, unless the slope is negative: then leaky_relu keeps x itself. */
static void leaky_relu_lets_its_input_go(void **state) {
    (void)state;
    const double slopes[] = { 0.1, -0.5 };
    for (int k = 0; k < 2; k++) {
        tare_tape *t = tape_new();
        tare_tensor *x = input(t, 5, 7), *h = tare_scale(t, x, 1), *y = tare_leaky_relu(t, h, slopes[k]);
        tare_release(t, h);
        assert_null(h->data);
        backward(t, y);
        for (int64_t i = 0; i < x->numel; i++) { assert_near(x->grad[i], i % 11 > 5 ? 1 : slopes[k], 1e-6); }
        tare_tape_free(t);
    }
}

/* Values that no gradient goes through have no backward to be freed by: they go when all who read them have been through theirs. */
static void values_without_a_gradient_go_too(void **state) {
    (void)state;
    tare_tape *t = tape_new();
    tare_tensor *x = input(t, 4, 4), *frozen = tare_input(t, TARE_SHAPE(4, 4), (tare_real[16]){ 1 });
    tare_tensor *seen = tare_scale(t, frozen, 2), *released = tare_scale(t, frozen, 3);
    tare_tensor *y = tare_add(t, tare_mul(t, x, seen), tare_mul(t, x, released));
    tare_release(t, released);
    assert_non_null(released->data);
    backward(t, y);
    assert_non_null(seen->data);
    assert_null(released->data);
    assert_near(x->grad[0], 5, 0);
    tare_tape_free(t);
}

/* ---- computed again ---------------------------------------------------------------------------------------------- */

typedef struct outcome {
    tare_real dx[64], dw[64]; /* of the first values */
    size_t peak;
    bool gone; /* were the cheap results gone after their release? */
} outcome;

/* x -> layer norm -> gelu -> (another shape) -> linear, the results released or not. */
static outcome through_cheap_ops(int64_t rows, bool release) {
    enum { COLS = 256 };
    outcome o = { 0 };
    tare_tape *t = tape_new();
    tare_tensor *x = input(t, rows, COLS), *w = input(t, 8, COLS), *first = tare_scale(t, x, 0.5);
    tare_tensor *h = tare_layer_norm(t, first, NULL, NULL, (tare_layer_norm_opt){ 0 }), *g = tare_gelu(t, h);
    tare_tensor *shaped = tare_reshape(t, g, TARE_SHAPE(rows / 4, 4, COLS)), *y = tare_linear(t, shaped, w, NULL);
    if (release) {
        tare_release(t, g);
        tare_release(t, shaped);
        tare_release(t, h); /* last, so that what g is made of goes after g */
        o.gone = !g->data && !h->data;
    }
    backward(t, tare_mul(t, y, y));
    assert_ok(tare_tape_status(t));
    memcpy(o.dx, x->grad, sizeof o.dx);
    memcpy(o.dw, w->grad, sizeof o.dw);
    o.peak = tare_tape_peak(t);
    tare_tape_free(t);
    return o;
}

static void large_cheap_results_are_made_twice(void **state) {
    (void)state;
    const int64_t rows = N / 256;
    outcome kept = through_cheap_ops(rows, false), again = through_cheap_ops(rows, true);
    assert_true(again.gone);
    assert_memory_equal(kept.dx, again.dx, sizeof kept.dx);
    assert_memory_equal(kept.dw, again.dw, sizeof kept.dw);
    assert_true(again.peak <= kept.peak);
}

/* A second loss that would compute again from what the first has used up. */
static void what_is_gone_for_good_is_an_error(void **state) {
    (void)state;
    tare_tape *t = tape_new();
    tare_tensor *x = input(t, N / 256, 256), *w = input(t, 8, 256), *h = tare_scale(t, x, 2), *g = tare_gelu(t, h);
    tare_tensor *first = tare_sum(t, tare_mul(t, h, h), 0, false), *y = tare_linear(t, g, w, NULL);
    tare_release(t, g);
    assert_ok(tare_backward(t, first));
    assert_status(TARE_EINVAL, tare_backward(t, tare_sum(t, y, 0, false)));
    assert_contains(tare_tape_error(t), "has been through backward already");
    tare_tape_free(t);
}

static void small_ones_are_kept(void **state) {
    (void)state;
    outcome kept = through_cheap_ops(16, false), released = through_cheap_ops(16, true);
    assert_false(released.gone);
    assert_memory_equal(kept.dx, released.dx, sizeof kept.dx);
}

/* Four blocks of norm, gelu and linear: without the norms' and gelus' results the step is smaller by nearly as much. */
static void a_net_takes_less(void **state) {
    (void)state;
    enum { BLOCKS = 4, COLS = 256 };
    size_t peak[2];
    for (int release = 0; release < 2; release++) {
        tare_tape *t = tape_new();
        tare_tensor *x = input(t, N / COLS, COLS), *w = input(t, COLS, COLS);
        for (int i = 0; i < BLOCKS; i++) {
            tare_tensor *h = tare_rms_norm(t, x, NULL, (tare_rms_norm_opt){ 0 }), *g = tare_gelu(t, h);
            if (release) { tare_release(t, h); }
            x = tare_linear(t, g, w, NULL);
            if (release) { tare_release(t, g); }
        }
        backward(t, x);
        peak[release] = tare_tape_peak(t);
        tare_tape_free(t);
    }
    assert_true(peak[1] + (2 * BLOCKS - 3) * (size_t)N * sizeof(tare_real) <= peak[0]);
}

/* ---- a limit ----------------------------------------------------------------------------------------------------- */

typedef struct run {
    tare_real *dw;
    size_t most[5]; /* in each step and those before */
} run;

/* Steps of blocks of a product and gelu over 400 rows; step `small` of four rows alone. */
static run train(size_t limit, int small) {
    enum { BLOCKS = 8, COLS = 64, STEPS = 5 };
    run r = { .dw = calloc(COLS * COLS, sizeof(tare_real)) };
    tare_tape *t = tare_tape_new((tare_tape_opt){ .training = true, .guard = true });
    tare_tape_limit_set(t, limit);
    assert_non_null(r.dw);
    for (int step = 0; step < STEPS; step++) {
        tare_tape_reset(t);
        tare_tensor *x = input(t, step == small ? 4 : 400, COLS), *w = input(t, COLS, COLS);
        for (int i = 0; i < BLOCKS; i++) {
            tare_tensor *h = tare_linear(t, x, w, NULL), *g = tare_gelu(t, h);
            tare_release(t, h);
            tare_tensor *sum = tare_scale(t, tare_add(t, x, g), 0.1);
            tare_release(t, g);
            x = sum;
        }
        backward(t, x);
        assert_ok(tare_tape_guard(t));
        for (int i = 0; i < COLS * COLS; i++) { r.dw[i] += w->grad[i]; }
        r.most[step] = tare_tape_peak(t);
    }
    tare_tape_free(t);
    return r;
}

static void a_limit_costs_time_and_no_bit(void **state) {
    (void)state;
    for (int small = 2; small >= 0; small -= 2) {
        run free_ = train(0, small), least = train(1, small);
        size_t most = free_.most[4];
        assert_true(least.most[4] < most * 3 / 4);
        for (size_t limit = least.most[4]; limit < most; limit += (most - least.most[4]) / 4) {
            run r = train(limit, small);
            for (int step = 0; step < 5; step++) { assert_true(r.most[step] <= limit + 16384); }
            assert_true(r.most[4] >= r.most[0]); /* what there is room for is kept */
            if (limit > least.most[4]) { assert_true(r.most[4] > least.most[4]); }
            assert_memory_equal(free_.dw, r.dw, 64 * 64 * sizeof(tare_real));
            free(r.dw);
        }
        free(free_.dw);
        free(least.dw);
    }
}

/* ---- all together ------------------------------------------------------------------------------------------------ */

enum { OPS = 11, LAST_OF_ONE = 7, FIRST_PRODUCT = 9, DEPTH = 14, LIVE = 4, WIDTH = 256 };

/* Elementwise ops, two of them of two inputs, and products; with their promises, or as if they made none. */
static void choose_ops(tare_op *ops, bool promises) {
    static const char *const names[OPS] = { "relu", "sigmoid", "tanh", "silu",   "gelu",  "gelu_tanh",
                                            "sqrt", "add",     "mul",  "linear", "linear" };
    for (int i = 0; i < OPS; i++) {
        const tare_op *found = tare_op_find(names[i]);
        assert_non_null(found);
        ops[i] = *found;
        if (!promises) {
            ops[i].flags &= ~(unsigned)(TARE_OP_INPLACE | TARE_OP_CHEAP | TARE_OP_AGAIN | TARE_OP_OVER_INPUT);
        }
    }
}

/* The gradients of x and of a weight through a net drawn from `seed`, whose results are used once, twice or never, and released after
 * that; every other net has no memory to spare. */
static void through_a_random_net(uint64_t seed, int64_t rows, bool promises, tare_real *grads) {
    tare_op ops[OPS];
    choose_ops(ops, promises);
    tare_rng rng = tare_rng_new(seed, "net");
    tare_tape *t = tare_tape_new((tare_tape_opt){ .training = true, .guard = rows < 100 });
    tare_tape_limit_set(t, seed % 2);
    tare_tensor *x = input(t, rows, WIDTH), *w = input(t, WIDTH, WIDTH);
    tare_tensor *live[LIVE] = { x, tare_scale(t, x, 0.5), tare_sigmoid(t, x), x }, *weight = tare_scale(t, w, 0.05);
    for (int i = 0; i < DEPTH; i++) {
        uint32_t op = tare_rng_u32(&rng) % OPS, a = tare_rng_u32(&rng) % LIVE, b = tare_rng_u32(&rng) % LIVE;
        tare_tensor *in[] = { live[a], op < FIRST_PRODUCT ? live[b] : weight, NULL }, *old = live[i % LIVE];
        if (op == LAST_OF_ONE - 1) { in[0] = tare_sigmoid(t, in[0]); } /* a root of what is above zero */
        live[i % LIVE] = tare_apply(t, &ops[op], in, ops[op].n_in, NULL);
        if (i >= LIVE) { tare_release(t, old); }
    }
    tare_tensor *y = live[0];
    for (int i = 1; i < LIVE; i++) { y = tare_add(t, y, live[i]); }
    backward(t, y);
    assert_ok(tare_tape_guard(t));
    memcpy(grads, x->grad, (size_t)x->numel * sizeof *grads);
    if (w->grad) { memcpy(grads + x->numel, w->grad, (size_t)w->numel * sizeof *grads); }
    tare_tape_free(t);
}

static void promises_change_no_bit(void **state) {
    (void)state;
    const struct {
        int64_t rows;
        uint64_t nets;
    } cases[] = { { 3, 200 }, { N / 256, 6 } };
    for (int c = 0; c < 2; c++) {
        size_t bytes = (size_t)(cases[c].rows + WIDTH) * WIDTH * sizeof(tare_real);
        tare_real *plain = calloc(1, bytes), *kept = calloc(1, bytes);
        assert_true(plain && kept);
        for (uint64_t seed = 0; seed < cases[c].nets; seed++) {
            through_a_random_net(seed, cases[c].rows, false, plain);
            through_a_random_net(seed, cases[c].rows, true, kept);
            assert_memory_equal(plain, kept, bytes);
        }
        free(plain);
        free(kept);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations_make_gradients_in_place),
        cmocka_unit_test(norms_make_gradients_in_place),
        cmocka_unit_test(scales_make_gradients_in_place),
        cmocka_unit_test(sums_share_nothing),
        cmocka_unit_test(ops_that_add_have_memory_of_their_own),
        cmocka_unit_test(products_make_gradients_over_their_inputs),
        cmocka_unit_test(values_that_others_read_are_not_written_over),
        cmocka_unit_test(a_product_with_its_input_as_bias_keeps_it),
        cmocka_unit_test(leaky_relu_lets_its_input_go),
        cmocka_unit_test(values_without_a_gradient_go_too),
        cmocka_unit_test(large_cheap_results_are_made_twice),
        cmocka_unit_test(what_is_gone_for_good_is_an_error),
        cmocka_unit_test(small_ones_are_kept),
        cmocka_unit_test(a_net_takes_less),
        cmocka_unit_test(a_limit_costs_time_and_no_bit),
        cmocka_unit_test(promises_change_no_bit),
    };
    return cmocka_run_group_tests_name("tape_memory", tests, NULL, NULL);
}
