/* test_tape.c - the tape: errors that stay until it is reset, its step and modes, its nodes.   tare-test: double */
#include "tape_ops.h"

#include <math.h>

static const tare_op oneway = { .name = "oneway", .n_in = 1, .check = same_shape, .forward = square_forward };

/* y = x + noise of the node's own stream. */
static void noise_forward(tare_node *n) {
    tare_rng rng = n->rng;
    for (int64_t i = 0; i < n->out->numel; i++) {
        n->out->data[i] = n->in[0]->data[i] + (tare_real)tare_rng_normal(&rng);
    }
}
static const tare_op noise = { .name = "noise", .n_in = 1, .check = same_shape, .forward = noise_forward };

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
    assert_status(TARE_EINVAL, tare_backward_from(t, apply1(t, &square, input(t, true, 1, 2)), NULL));
    assert_contains(tare_error(), "dy is NULL");
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

int main(void) {
    const struct CMUnitTest tests[] = {
        with_tape(the_first_error_sticks),
        with_tape(null_in_gives_null_out),
        with_tape(one_without_backward_is_refused_by_name),
        with_tape(backward_says_what_it_will_not_do),
        with_tape(used_up_values_are_refused),
        with_tape(used_up_aliases_are_refused),
        with_tape(the_step_fixes_the_random_stream),
        with_tape(nodes_can_be_looked_at),
        with_tape(wrong_number_of_inputs),
    };
    return cmocka_run_group_tests_name("tape", tests, NULL, NULL);
}
