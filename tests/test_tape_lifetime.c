/* test_tape_lifetime.c - what of a step stays and what goes, and the memory it takes.   tare-test: double */
#include "tape_ops.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        with_tape(after_backward),
        with_tape(released_values_make_room),
        with_tape(release_waits_for_backward),
        with_tape(release_knows_aliases),
        with_tape(inputs_are_copied_or_viewed),
        with_tape(a_step_allocates_nothing_from_the_third_on),
        with_tape(all_memory_comes_back),
        with_tape(short_memory_is_an_error_not_a_crash),
    };
    return cmocka_run_group_tests_name("tape lifetime", tests, NULL, NULL);
}
