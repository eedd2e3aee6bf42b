/* test_tape_guards.c - guards see writes past the end, and checks name the op that first made NaN or Inf.
 * tare-test: double */
#include "tape_ops.h"

#include <math.h>

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

int main(void) {
    const struct CMUnitTest tests[] = {
        with_tape(guards_see_writes_past_the_end),
        with_tape(finite_checks_name_the_culprit),
    };
    return cmocka_run_group_tests_name("tape guards", tests, NULL, NULL);
}
