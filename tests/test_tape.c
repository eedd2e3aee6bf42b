/* test_tape.c - the tape: sticky errors, the order of gradients, what stays and what goes, memory, guards, NaN hunting.
 * The ops are small ones of the test's own.   tare-test: double */
#include "testing_support.h"

#include <tare/ops.h>
#include <tare/params.h>

#include <math.h>

/* ---- ops to build graphs from ------------------------------------------------------------------------------------ */

static tare_status same_shape(tare_node *n) {
    n->shape = n->in[0]->shape;
    for (int i = 1; i < n->n_in; i++) {
        tare_shape_buf a, b;
        if (tare_shape_equal(n->shape, n->in[i]->shape)) { continue; }
        return tare_node_fail(n, TARE_ESHAPE, "%s and %s differ", tare_shape_text(n->shape, &a),
                              tare_shape_text(n->in[i]->shape, &b));
    }
    return TARE_OK;
}

static tare_status to_scalar(tare_node *n) {
    n->shape = TARE_SCALAR;
    return TARE_OK;
}

static void put(const tare_node *n, int i, int64_t k, tare_real value) {
    tare_real *g = tare_grad(n, i);
    bool overwrite = (n->op->flags & TARE_OP_FRESH) && !tare_grad_add(n, i);
    g[k] = overwrite ? value : g[k] + value;
}

static void square_forward(tare_node *n) {
    for (int64_t i = 0; i < n->out->numel; i++) { n->out->data[i] = n->in[0]->data[i] * n->in[0]->data[i]; }
}
static void square_backward(tare_node *n) {
    for (int64_t i = 0; i < n->out->numel; i++) { put(n, 0, i, 2 * n->in[0]->data[i] * n->out->grad[i]); }
}
static const tare_op square = { .name = "square",
                                .n_in = 1,
                                .flags = TARE_OP_FRESH,
                                .reads = TARE_READS_IN(0),
                                .check = same_shape,
                                .forward = square_forward,
                                .backward = square_backward };

static void times_forward(tare_node *n) {
    for (int64_t i = 0; i < n->out->numel; i++) { n->out->data[i] = n->in[0]->data[i] * n->in[1]->data[i]; }
}
static void times_backward(tare_node *n) {
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

static void plus_forward(tare_node *n) {
    for (int64_t i = 0; i < n->out->numel; i++) { n->out->data[i] = n->in[0]->data[i] + n->in[1]->data[i]; }
}
static void plus_backward(tare_node *n) {
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

static void total_forward(tare_node *n) {
    tare_real sum = 0;
    for (int64_t i = 0; i < n->in[0]->numel; i++) { sum += n->in[0]->data[i]; }
    n->out->data[0] = sum;
}
static void total_backward(tare_node *n) {
    for (int64_t i = 0; i < n->in[0]->numel; i++) { put(n, 0, i, n->out->grad[0]); }
}
static const tare_op total = { .name = "total",
                               .n_in = 1,
                               .reads = TARE_READS_NOTHING,
                               .check = to_scalar,
                               .forward = total_forward,
                               .backward = total_backward };

static tare_status as_row(tare_node *n) {
    n->shape = TARE_SHAPE(n->in[0]->numel);
    return TARE_OK;
}
static const tare_op row = { .name = "row", .n_in = 1, .flags = TARE_OP_ALIAS, .check = as_row };
static const tare_op oneway = { .name = "oneway", .n_in = 1, .check = same_shape, .forward = square_forward };

/* y = x + noise of the node's own stream. */
static void noise_forward(tare_node *n) {
    tare_rng rng = n->rng;
    for (int64_t i = 0; i < n->out->numel; i++) {
        n->out->data[i] = n->in[0]->data[i] + (tare_real)tare_rng_normal(&rng);
    }
}
static const tare_op noise = { .name = "noise", .n_in = 1, .check = same_shape, .forward = noise_forward };

static tare_tensor *apply1(tare_tape *t, const tare_op *op, tare_tensor *x) { return tare_apply(t, op, &x, 1, NULL); }
static tare_tensor *apply2(tare_tape *t, const tare_op *op, tare_tensor *a, tare_tensor *b) {
    return tare_apply(t, op, (tare_tensor *[]){ a, b }, 2, NULL);
}

static tare_tensor *input(tare_tape *t, bool wants, tare_real a, tare_real b) {
    tare_tensor *x = tare_input(t, TARE_SHAPE(2), (tare_real[]){ a, b });
    assert_non_null(x);
    x->requires_grad = wants;
    return x;
}

static void expect(const tare_real *got, double a, double b) {
    assert_non_null(got);
    assert_near(got[0], a, 1e-5);
    assert_near(got[1], b, 1e-5);
}

/* A guarded tape for each test. */
static int tape_setup(void **state) {
    *state = tare_tape_new((tare_tape_opt){ .training = true, .guard = true, .seed = 5 });
    return *state ? 0 : -1;
}
static int tape_teardown(void **state) {
    tare_tape_free(*state);
    return 0;
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

static void the_first_error_sticks(void **state) {
    tare_tape *t = *state;
    tare_tensor *a = input(t, true, 1, 2), *b = tare_input(t, TARE_SHAPE(3), NULL);
    assert_string_equal(tare_tape_error(t), "");
    tare_tape_layer_set(t, "features.0");
    assert_null(apply2(t, &plus, a, b));
    assert_int_equal(tare_tape_status(t), TARE_ESHAPE);
    assert_string_equal(tare_tape_error(t), "plus \"features.0\": [2] and [3] differ");
    /* From here on nothing runs, whatever it is given, and the message stays. */
    int64_t length = tare_tape_length(t);
    assert_null(apply1(t, &square, a));
    assert_null(apply1(t, &square, NULL));
    assert_null(tare_input(t, TARE_SHAPE(2), NULL));
    assert_null(tare_detach(t, a));
    assert_null(tare_tape_fail(t, TARE_EIO, "another"));
    assert_int_equal(tare_tape_length(t), length);
    assert_status(TARE_ESHAPE, tare_backward(t, a));
    assert_contains(tare_error(), "features.0");
    assert_string_equal(tare_tape_error(t), "plus \"features.0\": [2] and [3] differ");
    tare_tape_reset(t);
    assert_ok(tare_tape_status(t));
    assert_string_equal(tare_tape_error(t), "");
    expect(apply1(t, &square, input(t, false, 3, 4))->data, 9, 16);
}

static void null_in_gives_null_out(void **state) {
    tare_tape *t = *state;
    tare_tensor *x = input(t, true, 1, 2);
    assert_null(apply1(t, &square, NULL));
    assert_int_equal(tare_tape_status(t), TARE_EINVAL);
    assert_contains(tare_tape_error(t), "square: input 0 is NULL");
    tare_tape_reset(t);
    x = input(t, true, 1, 2);
    assert_null(apply2(t, &plus, x, NULL));
    assert_contains(tare_tape_error(t), "plus: input 1 is NULL");
    assert_null(apply1(NULL, &square, NULL));
    assert_null(tare_input(NULL, TARE_SHAPE(1), NULL));
    assert_true(isnan(tare_item(NULL)));
    tare_release(t, NULL);
    assert_int_not_equal(tare_backward(NULL, NULL), TARE_OK);
    tare_tape_free(NULL);
}

static void one_without_backward_is_refused_by_name(void **state) {
    tare_tape *t = *state;
    tare_tape_layer_set(t, "head");
    assert_null(apply1(t, &oneway, input(t, true, 1, 2)));
    assert_int_equal(tare_tape_status(t), TARE_ENOGRAD);
    assert_contains(tare_tape_error(t), "oneway \"head\": has no backward");
    tare_tape_reset(t);
    /* Where nobody wants a gradient it runs, behind a detach too. */
    assert_non_null(apply1(t, &oneway, input(t, false, 1, 2)));
    assert_non_null(apply1(t, &oneway, tare_detach(t, input(t, true, 1, 2))));
    tare_tape *eval = tare_tape_new((tare_tape_opt){ .no_grad = true });
    assert_non_null(apply1(eval, &oneway, input(eval, true, 1, 2)));
    tare_tape_free(eval);
}

static void backward_says_what_it_will_not_do(void **state) {
    tare_tape *t = *state;
    tare_tensor *x = input(t, true, 1, 2);
    assert_status(TARE_EINVAL, tare_backward(t, apply1(t, &square, x)));
    assert_contains(tare_error(), "the loss is [2], not one value");
    tare_tape_reset(t);
    assert_status(TARE_EINVAL, tare_backward(t, apply1(t, &total, input(t, false, 1, 2))));
    assert_contains(tare_error(), "requires a gradient");
    tare_tape_reset(t);
    x = tare_input(t, TARE_SCALAR, (tare_real[]){ 1 });
    x->requires_grad = true;
    assert_status(TARE_EINVAL, tare_backward(t, x));
    tare_tape_reset(t);
    assert_status(TARE_EINVAL, tare_backward(t, NULL));
    tare_tape_reset(t);
    tare_tensor *loss = apply1(t, &total, apply1(t, &square, input(t, true, 1, 2)));
    assert_ok(tare_backward(t, loss));
    assert_status(TARE_EINVAL, tare_backward(t, loss));
    assert_contains(tare_error(), "already");
    /* A second loss that leads into what the first has used up. */
    tare_tape_reset(t);
    tare_tensor *h = apply1(t, &square, input(t, true, 1, 2));
    loss = apply1(t, &total, h);
    tare_tensor *other = apply1(t, &total, apply1(t, &row, h));
    assert_ok(tare_backward(t, loss));
    assert_status(TARE_EINVAL, tare_backward(t, other));
    assert_contains(tare_error(), "has been through backward already");
}

static void used_up_values_are_refused(void **state) {
    tare_tape *t = *state;
    tare_tensor *h = apply1(t, &square, input(t, true, 1, 2));
    assert_ok(tare_backward(t, apply1(t, &total, h)));
    assert_null(h->data);
    assert_null(apply1(t, &square, h));
    assert_contains(tare_tape_error(t), "square: input 0 has no values");
    assert_true(isnan(tare_item(h)));
}

/* An alias still has the address of what its owner has given back. */
static void used_up_aliases_are_refused(void **state) {
    tare_tape *t = *state;
    tare_tensor *h = apply1(t, &square, input(t, true, 1, 2)), *aside = apply1(t, &row, h);
    tare_tensor *loss = apply1(t, &total, h), *one = tare_reshape(t, loss, TARE_SHAPE(1));
    assert_ok(tare_backward(t, loss));
    assert_near(tare_item(one), 5, 1e-6); /* the loss stays, and so does its alias */
    assert_null(tare_detach(t, aside));
    assert_contains(tare_tape_error(t), "has no values");
    tare_tape_reset(t);
    tare_tensor *x = input(t, true, 3, -4), *sum = apply2(t, &plus, x, x), *a = apply1(t, &row, sum);
    tare_tensor *scalar = tare_reshape(t, apply1(t, &total, sum), TARE_SHAPE(1));
    tare_release(t, a);
    tare_release(t, sum);
    assert_near(tare_item(scalar), -2, 1e-6);
    assert_null(apply1(t, &square, a));
    assert_contains(tare_tape_error(t), "square: input 0 has no values");
}

/* ---- gradients --------------------------------------------------------------------------------------------------- */

static void the_same_tensor_twice(void **state) {
    tare_tape *t = *state;
    const tare_op *both[] = { &times, &times_adding };
    for (int i = 0; i < 2; i++) {
        tare_tape_reset(t);
        tare_tensor *x = input(t, true, 3, -4);
        assert_ok(tare_backward(t, apply1(t, &total, apply2(t, both[i], x, x))));
        expect(x->grad, 6, -8);
    }
}

/* loss = sum(h * h + h),  h = x * x:  a diamond whose middle is reached three times;  dx = (2 h + 1) 2 x */
static void diamonds_add_up(void **state) {
    tare_tape *t = *state;
    const tare_op *both[] = { &times, &times_adding };
    for (int i = 0; i < 2; i++) {
        tare_tape_reset(t);
        tare_tensor *x = input(t, true, 3, -4), *h = apply1(t, &square, x);
        tare_tensor *loss = apply1(t, &total, apply2(t, &plus, apply2(t, both[i], h, h), h));
        assert_near(tare_item(loss), 81 + 9 + 256 + 16, 1e-3);
        assert_ok(tare_backward(t, loss));
        assert_near(x->grad[0], 19 * 6, 1e-3);
        assert_near(x->grad[1], 33 * -8, 1e-3);
    }
}

static void alias_chains(void **state) {
    tare_tape *t = *state;
    /* input -> alias -> alias -> square; the alias is used beside its base */
    tare_tensor *x = tare_input(t, TARE_SHAPE(1, 2), (tare_real[]){ 3, -4 });
    x->requires_grad = true;
    tare_tensor *flat = apply1(t, &row, apply1(t, &row, x));
    assert_ptr_equal(flat->data, x->data);
    assert_ptr_equal(flat->base, x);
    tare_tensor *loss = apply2(t, &plus, apply1(t, &total, apply1(t, &square, flat)), apply1(t, &total, x));
    assert_ok(tare_backward(t, loss));
    assert_near(x->grad[0], 7, 1e-5);
    assert_near(x->grad[1], -7, 1e-5);

    /* computed -> alias twice, both used, and the base too */
    tare_tape_reset(t);
    x = input(t, true, 3, -4);
    tare_tensor *h = apply1(t, &square, x), *a = apply1(t, &row, h), *b = apply1(t, &row, h);
    loss = apply1(t, &total, apply2(t, &plus, apply2(t, &times, a, b), h));
    assert_ok(tare_backward(t, loss));
    assert_near(x->grad[0], 19 * 6, 1e-3);
    assert_near(x->grad[1], 33 * -8, 1e-3);

    /* the loss itself an alias */
    tare_tape_reset(t);
    x = input(t, true, 3, -4);
    loss = apply1(t, &row, apply1(t, &total, apply1(t, &square, x)));
    assert_ok(tare_backward(t, loss));
    expect(x->grad, 6, -8);
    assert_near(tare_item(loss), 25, 0);

    /* an alias of a parameter adds to the parameter's gradient */
    tare_tape_reset(t);
    tare_params *ps = tare_params_new(0);
    tare_tensor *w = tare_param(ps, "w", TARE_SHAPE(2), 0);
    w->data[0] = 3, w->data[1] = -4;
    for (int pass = 1; pass <= 2; pass++) {
        assert_ok(tare_backward(t, apply1(t, &total, apply1(t, &square, apply1(t, &row, w)))));
        expect(w->grad, pass * 6, pass * -8);
        assert_ok(tare_tape_guard(t));
        tare_tape_reset(t);
    }
    tare_params_free(ps);
}

static void only_what_is_wanted_gets_a_gradient(void **state) {
    tare_tape *t = *state;
    tare_tensor *x = input(t, true, 3, -4), *c = input(t, false, 2, 5), *unused = input(t, true, 0, 0);
    tare_tensor *side = apply1(t, &square, c);
    assert_false(side->requires_grad);
    tare_tensor *dead = apply1(t, &square, x); /* leads nowhere */
    assert_true(dead->requires_grad);
    assert_ok(tare_backward(t, apply1(t, &total, apply2(t, &times, x, side))));
    expect(x->grad, 4, 25);
    assert_null(c->grad);
    assert_null(unused->grad);
    assert_null(dead->grad);
}

static void detach_cuts(void **state) {
    tare_tape *t = *state;
    tare_tensor *x = input(t, true, 3, -4), *h = apply1(t, &square, x), *cut = tare_detach(t, h);
    assert_false(cut->requires_grad);
    assert_ptr_not_equal(cut->data, h->data);
    expect(cut->data, 9, 16);
    assert_ok(tare_backward(t, apply1(t, &total, apply2(t, &times, cut, x))));
    expect(x->grad, 9, 16); /* the path through h would add 2 x^2 */
}

static void backward_from_any_tensor(void **state) {
    tare_tape *t = *state;
    tare_tensor *x = input(t, true, 3, -4), *y = apply1(t, &square, x);
    assert_ok(tare_backward_from(t, y, (tare_real[]){ 10, 100 }));
    expect(x->grad, 60, -800);
    expect(y->data, 9, 16); /* what backward started from stays readable */
}

static void parameters_add_up_until_zeroed(void **state) {
    tare_tape *t = *state;
    tare_params *ps = tare_params_new(0);
    tare_tensor *w = tare_param(ps, "w", TARE_SHAPE(2), 0);
    w->data[0] = 3, w->data[1] = -4;
    for (int step = 0; step < 4; step++) {
        if (step == 2) { tare_params_zero_grad(ps); }
        assert_ok(tare_backward(t, apply1(t, &total, apply1(t, &square, w))));
        int share = step % 2 + 1;
        expect(w->grad, 6 * share, -8 * share);
        assert_non_null(w->data);
        tare_tape_reset(t);
    }
    /* Frozen, it is a constant. */
    tare_params_freeze(ps, true);
    assert_false(apply1(t, &square, w)->requires_grad);
    tare_params_freeze(ps, false);
    tare_params_free(ps);
}

static void two_losses_of_their_own(void **state) {
    tare_tape *t = *state;
    tare_tensor *x = input(t, true, 3, -4), *z = input(t, true, 1, 2);
    tare_tensor *first = apply1(t, &total, apply1(t, &square, x)), *second = apply1(t, &total, apply1(t, &square, z));
    assert_ok(tare_backward(t, second));
    assert_ok(tare_backward(t, first));
    expect(x->grad, 6, -8);
    expect(z->grad, 2, 4);
}

/* ---- what stays, what goes --------------------------------------------------------------------------------------- */

static void after_backward(void **state) {
    tare_tape *t = *state;
    tare_tensor *x = input(t, true, 3, -4), *h = apply1(t, &square, x), *a = apply1(t, &row, h);
    tare_tensor *loss = apply1(t, &total, apply1(t, &square, a));
    double before = tare_item(loss);
    assert_ok(tare_backward(t, loss));
    assert_null(h->data);
    assert_null(a->data);
    assert_null(h->grad);
    expect(x->data, 3, -4);
    assert_non_null(x->grad);
    assert_true(tare_item(loss) == before);
    assert_ok(tare_tape_guard(t));
}

static void released_values_make_room(void **state) {
    (void)state;
    enum { N = 1 << 18, DEPTH = 16 };
    size_t peak[2];
    for (int release = 0; release < 2; release++) {
        tare_tape *t = tare_tape_new((tare_tape_opt){ .no_grad = true });
        tare_tensor *h = tare_input(t, TARE_SHAPE(N), NULL);
        memset(h->data, 0, N * sizeof *h->data);
        for (int i = 0; i < DEPTH; i++) {
            tare_tensor *next = apply1(t, &square, h);
            if (release) { tare_release(t, h); }
            h = next;
        }
        assert_ok(tare_tape_status(t));
        peak[release] = tare_tape_peak(t);
        tare_tape_free(t);
    }
    assert_true(peak[0] >= (DEPTH + 1) * N * sizeof(tare_real));
    assert_true(peak[1] <= 4 * N * sizeof(tare_real));
}

static void release_waits_for_backward(void **state) {
    tare_tape *t = *state;
    tare_tensor *x = input(t, true, 3, -4), *h = apply1(t, &square, x), *y = apply1(t, &square, h);
    tare_release(t, h);
    tare_release(t, h); /* once is enough, twice does no harm */
    tare_tensor *filler = input(t, false, 99, 99);
    (void)filler;
    assert_ok(tare_backward(t, apply1(t, &total, y))); /* x^4 */
    assert_near(x->grad[0], 4 * 27, 1e-3);
    assert_near(x->grad[1], 4 * -64, 1e-3);
    /* What no backward reads goes at once, and cannot be used again. */
    tare_tape_reset(t);
    x = input(t, true, 3, -4);
    tare_tensor *sum = apply2(t, &plus, x, x), *all = apply1(t, &total, sum);
    tare_release(t, sum);
    assert_null(sum->data);
    assert_ok(tare_backward(t, all));
    expect(x->grad, 2, 2);
    assert_null(apply1(t, &square, sum));
    assert_contains(tare_tape_error(t), "input 0 has no values");
}

static void release_knows_aliases(void **state) {
    tare_tape *t = *state;
    tare_tensor *x = input(t, true, 3, -4), *sum = apply2(t, &plus, x, x), *a = apply1(t, &row, sum);
    tare_release(t, sum);
    expect(a->data, 6, -8); /* still shown by the alias */
    tare_tensor *loss = apply1(t, &total, apply1(t, &square, a));
    tare_release(t, a);
    assert_ok(tare_backward(t, loss));
    expect(x->grad, 2 * 2 * 6, 2 * 2 * -8);
}

static void inputs_are_copied_or_viewed(void **state) {
    tare_tape *t = *state;
    tare_real mine[2] = { 1, 2 };
    tare_tensor *copy = tare_input(t, TARE_SHAPE(2), mine), *view = tare_input_view(t, TARE_SHAPE(2), mine);
    mine[0] = 7;
    expect(copy->data, 1, 2);
    expect(view->data, 7, 2);
    assert_ptr_equal(view->data, mine);
    tare_release(t, view);
    tare_tape_reset(t);
    assert_near(mine[0], 7, 0);
    assert_null(tare_input(t, (tare_shape){ .ndim = 1, .dim = { -1 } }, NULL));
    assert_int_equal(tare_tape_status(t), TARE_ESHAPE);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static void random_step(tare_tape *t, tare_params *ps, int64_t n) {
    tare_tape_reset(t);
    tare_tensor *h = tare_input(t, TARE_SHAPE(n), NULL);
    for (int64_t i = 0; i < n; i++) { h->data[i] = (tare_real)0.5; }
    for (int i = 0; i < 20; i++) {
        tare_tensor *w = tare_params_at(ps, 0), *next = apply2(t, i % 2 ? &times : &plus, h, w);
        if (i % 3 == 0) { tare_release(t, h); }
        h = apply1(t, &row, next);
    }
    tare_params_zero_grad(ps);
    assert_ok(tare_backward(t, apply1(t, &total, h)));
}

static void a_step_allocates_nothing_from_the_third_on(void **state) {
    tare_tape *t = *state;
    tare_params *ps = tare_params_new(0);
    (void)tare_param(ps, "w", TARE_SHAPE(100003), 0);
    assert_ok(tare_params_status(ps));
    uint64_t count = 0;
    size_t peak = 0;
    for (int step = 1; step <= 52; step++) {
        if (step == 3) { count = tare_alloc_count(), peak = tare_tape_peak(t); }
        random_step(t, ps, 100003);
    }
    assert_int_equal(tare_alloc_count(), count);
    assert_int_equal(tare_tape_peak(t), peak);
    assert_true(peak >= 10 * 100003 * sizeof(tare_real) && peak <= 60 * 100003 * sizeof(tare_real));
    tare_params_free(ps);
}

static void all_memory_comes_back(void **state) {
    (void)state;
    uint64_t live = tare_alloc_live();
    tare_tape *t = tare_tape_new((tare_tape_opt){ .guard = true });
    for (int i = 0; i < 3; i++) {
        tare_tensor *x = tare_input(t, TARE_SHAPE(300000 * (i + 1)), NULL);
        memset(x->data, 0, (size_t)x->numel * sizeof *x->data);
        x->requires_grad = true;
        assert_ok(tare_backward(t, apply1(t, &total, apply1(t, &square, x))));
        if (i < 2) { tare_tape_reset(t); }
    }
    tare_tape_free(t);
    assert_int_equal(tare_alloc_live(), live);
}

static void short_memory_is_an_error_not_a_crash(void **state) {
    (void)state;
    uint64_t live = tare_alloc_live();
    bool finished = false;
    for (uint64_t n = 1; n < 200 && !finished; n++) {
        tare_alloc_fail_at(n);
        tare_tape *t = tare_tape_new((tare_tape_opt){ .guard = true });
        tare_tensor *x = tare_input(t, TARE_SHAPE(200000), NULL);
        if (x) {
            memset(x->data, 0, (size_t)x->numel * sizeof *x->data);
            x->requires_grad = true;
        }
        tare_tensor *h = apply1(t, &square, x);
        tare_status status = tare_backward(t, apply1(t, &total, apply2(t, &times, h, apply1(t, &row, h))));
        tare_alloc_fail_at(0);
        finished = status == TARE_OK;
        if (!finished) {
            if (t) { assert_int_equal(tare_tape_status(t), TARE_ENOMEM); }
            if (t) { assert_contains(tare_tape_error(t), "memory"); }
        }
        /* And the tape is as good as new. */
        if (t) {
            tare_tape_reset(t);
            expect(apply1(t, &square, input(t, false, 3, 4))->data, 9, 16);
        }
        tare_tape_free(t);
        assert_int_equal(tare_alloc_live(), live);
    }
    assert_true(finished);
}

/* ---- modes, steps, layers ---------------------------------------------------------------------------------------- */

static void the_step_fixes_the_random_stream(void **state) {
    tare_tape *t = *state;
    tare_real first[2][2];
    assert_int_equal(tare_tape_step(t), 0);
    for (int step = 0; step < 2; step++) {
        tare_tensor *x = input(t, false, 0, 0), *a = apply1(t, &noise, x), *b = apply1(t, &noise, x);
        assert_true(a->data[0] != b->data[0]); /* each node its own stream */
        memcpy(first[step], a->data, sizeof first[step]);
        tare_tape_reset(t);
        assert_int_equal(tare_tape_step(t), step + 1);
    }
    assert_true(first[0][0] != first[1][0]);
    for (int step = 1; step >= 0; step--) {
        tare_tape_step_set(t, (uint64_t)step);
        assert_memory_equal(apply1(t, &noise, input(t, false, 0, 0))->data, first[step], sizeof first[step]);
        tare_tape_reset(t);
    }
    tare_tape *other = tare_tape_new((tare_tape_opt){ .seed = 6 });
    assert_memory_not_equal(apply1(other, &noise, input(other, false, 0, 0))->data, first[0], sizeof first[0]);
    tare_tape_free(other);
}

static void nodes_can_be_looked_at(void **state) {
    tare_tape *t = *state;
    assert_true(tare_tape_training(t));
    tare_tensor *x = input(t, true, 1, 2);
    assert_null(tare_tape_layer_set(t, "one"));
    tare_tensor *y = apply1(t, &square, x);
    assert_string_equal(tare_tape_layer_set(t, NULL), "one");
    tare_tape_training_set(t, false);
    (void)apply1(t, &square, tare_detach(t, y));
    assert_int_equal(tare_tape_length(t), 2);
    const tare_node *first = tare_tape_node(t, 0), *second = tare_tape_node(t, 1);
    assert_string_equal(first->layer, "one");
    assert_null(second->layer);
    assert_true(first->training && first->grad && !second->training && !second->grad);
    assert_ptr_equal(first->out, y);
    assert_ptr_equal(y->node, first);
    assert_ptr_equal(first->in[0], x);
    assert_false(tare_tape_training(t));
}

static void wrong_number_of_inputs(void **state) {
    tare_tape *t = *state;
    tare_tensor *x = input(t, true, 1, 2);
    assert_null(tare_apply(t, &square, (tare_tensor *[]){ x, x }, 2, NULL));
    assert_contains(tare_tape_error(t), "square: takes 1 inputs, not 2");
}

/* ---- guards and NaN ---------------------------------------------------------------------------------------------- */

static void spill_forward(tare_node *n) {
    square_forward(n);
    n->out->data[n->out->numel] = 1;
}
static void spill_backward(tare_node *n) {
    square_backward(n);
    tare_grad(n, 0)[n->out->numel] = 1;
}
static void lazy_forward(tare_node *n) { n->out->data[0] = 1; }

static void guards_see_writes_past_the_end(void **state) {
    tare_tape *t = *state;
    const tare_op spill = {
        .name = "spill", .n_in = 1, .check = same_shape, .forward = spill_forward, .backward = square_backward
    };
    const tare_op drip = {
        .name = "drip", .n_in = 1, .check = same_shape, .forward = square_forward, .backward = spill_backward
    };
    tare_tape_layer_set(t, "leak");
    tare_tensor *y = apply1(t, &spill, input(t, true, 1, 2));
    (void)y;
    assert_status(TARE_EINVAL, tare_tape_guard(t));
    assert_contains(tare_tape_error(t), "spill \"leak\": a write past the end");
    tare_tape_reset(t);
    tare_tensor *x = input(t, true, 1, 2);
    (void)tare_backward(t, apply1(t, &total, apply1(t, &drip, apply1(t, &square, x))));
    assert_status(TARE_EINVAL, tare_tape_guard(t));
    assert_contains(tare_tape_error(t), "past the end");
    tare_tape_reset(t);
    assert_ok(tare_backward(t, apply1(t, &total, apply1(t, &square, input(t, true, 1, 2)))));
    assert_ok(tare_tape_guard(t));
    /* What an op leaves unwritten is NaN under a guard. */
    const tare_op lazy = { .name = "lazy", .n_in = 1, .check = same_shape, .forward = lazy_forward };
    assert_true(isnan((double)apply1(t, &lazy, input(t, false, 1, 2))->data[1]));
}

static void root_forward(tare_node *n) {
    for (int64_t i = 0; i < n->out->numel; i++) { n->out->data[i] = (tare_real)sqrt((double)n->in[0]->data[i]); }
}

static void finite_checks_name_the_culprit(void **state) {
    tare_tape *t = *state;
    const tare_op root = { .name = "root", .n_in = 1, .check = same_shape, .forward = root_forward };
    tare_tape_check_finite(t, true);
    tare_tape_layer_set(t, "scale.3");
    tare_tensor *x = input(t, false, 4, -2);
    assert_null(apply1(t, &square, apply1(t, &root, x)));
    assert_int_equal(tare_tape_status(t), TARE_ENONFINITE);
    assert_contains(tare_tape_error(t), "root \"scale.3\": made NaN or Inf in 1 of 2 values from [2] in -2 .. 4");
    tare_tape_reset(t);
    assert_null(apply1(t, &square, input(t, false, 1, (tare_real)INFINITY)));
    assert_contains(tare_tape_error(t), "square: its input holds NaN or Inf in 1 of 2 values");
    tare_tape_reset(t);
    tare_params *ps = tare_params_new(0);
    tare_tensor *w = tare_param(ps, "conv1.weight", TARE_SHAPE(2), 0);
    w->data[1] = (tare_real)NAN;
    assert_null(apply1(t, &square, w));
    assert_contains(tare_tape_error(t), "conv1.weight");
    tare_tape_reset(t);
    tare_tape_check_finite(t, false);
    assert_non_null(apply1(t, &square, w));
    tare_params_free(ps);
}

#define with_tape(test) cmocka_unit_test_setup_teardown(test, tape_setup, tape_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        with_tape(the_first_error_sticks),
        with_tape(null_in_gives_null_out),
        with_tape(one_without_backward_is_refused_by_name),
        with_tape(backward_says_what_it_will_not_do),
        with_tape(used_up_values_are_refused),
        with_tape(used_up_aliases_are_refused),
        with_tape(the_same_tensor_twice),
        with_tape(diamonds_add_up),
        with_tape(alias_chains),
        with_tape(only_what_is_wanted_gets_a_gradient),
        with_tape(detach_cuts),
        with_tape(backward_from_any_tensor),
        with_tape(parameters_add_up_until_zeroed),
        with_tape(two_losses_of_their_own),
        with_tape(after_backward),
        with_tape(released_values_make_room),
        with_tape(release_waits_for_backward),
        with_tape(release_knows_aliases),
        with_tape(inputs_are_copied_or_viewed),
        with_tape(a_step_allocates_nothing_from_the_third_on),
        with_tape(all_memory_comes_back),
        with_tape(short_memory_is_an_error_not_a_crash),
        with_tape(the_step_fixes_the_random_stream),
        with_tape(nodes_can_be_looked_at),
        with_tape(wrong_number_of_inputs),
        with_tape(guards_see_writes_past_the_end),
        with_tape(finite_checks_name_the_culprit),
    };
    return cmocka_run_group_tests_name("tape", tests, NULL, NULL);
}
