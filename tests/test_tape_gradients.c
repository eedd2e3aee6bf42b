/* test_tape_gradients.c - backward: how gradients add up, through aliases too, and who gets one.   tare-test: double */
#include "tape_ops.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        with_tape(the_same_tensor_twice),
        with_tape(diamonds_add_up),
        with_tape(alias_chains),
        with_tape(only_what_is_wanted_gets_a_gradient),
        with_tape(detach_cuts),
        with_tape(backward_from_any_tensor),
        with_tape(parameters_add_up_until_zeroed),
        with_tape(two_losses_of_their_own),
    };
    return cmocka_run_group_tests_name("tape gradients", tests, NULL, NULL);
}
