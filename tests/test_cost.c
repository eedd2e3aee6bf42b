/* test_cost.c - how much work a node is said to be, and what the machine can do. */
#include "testing_support.h"

#include <tare/tare.h>

/* y = x W^T with x [2,3] and W [4,3]: 24 multiply-adds, and as many again for each gradient. */
static void products_cost_their_multiply_adds(void **state) {
    (void)state;
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
    tare_params *ps = tare_params_new(1);
    tare_tensor *w = tare_param(ps, "w", TARE_SHAPE(4, 3), 0);
    for (int wants = 0; wants < 2; wants++) {
        tare_tape_reset(tape);
        tare_tensor *x = tare_input(tape, TARE_SHAPE(2, 3), NULL);
        x->requires_grad = wants;
        tare_linear(tape, x, w, NULL);
        const tare_node *n = tare_tape_node(tape, 0);
        assert_near(tare_node_cost(n, false).flops, 48, 0);
        assert_near(tare_node_cost(n, true).flops, wants ? 96 : 48, 0);
    }
    tare_params_free(ps);
    tare_tape_free(tape);
}

/* relu reads x and writes y; its backward reads y (or x) and dy and writes dx. A reshape moves nothing. */
static void other_ops_cost_the_bytes_they_move(void **state) {
    (void)state;
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
    tare_tensor *x = tare_input(tape, TARE_SHAPE(10, 10), NULL);
    x->requires_grad = true;
    memset(x->data, 0, 100 * sizeof(tare_real));
    tare_reshape(tape, tare_relu(tape, x), TARE_SHAPE(100));
    const tare_node *relu = tare_tape_node(tape, 0), *reshape = tare_tape_node(tape, 1);
    assert_near(tare_node_cost(relu, false).bytes, 200 * sizeof(tare_real), 0);
    assert_near(tare_node_cost(relu, true).bytes, 300 * sizeof(tare_real), 0);
    assert_near(tare_node_cost(relu, true).flops, 0, 0);
    assert_near(tare_node_cost(reshape, false).bytes + tare_node_cost(reshape, true).bytes, 0, 0);
    tare_tape_free(tape);
}

static void without_a_gradient_backward_costs_nothing(void **state) {
    (void)state;
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .no_grad = true });
    tare_tensor *x = tare_input(tape, TARE_SHAPE(4), NULL);
    memset(x->data, 0, 4 * sizeof(tare_real));
    tare_relu(tape, x);
    assert_near(tare_node_cost(tare_tape_node(tape, 0), true).bytes, 0, 0);
    tare_tape_free(tape);
}

/* A causal query sees half of the keys and half a key more. */
static void causal_attention_costs_what_is_seen(void **state) {
    (void)state;
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
    for (int causal = 0; causal < 2; causal++) {
        tare_tape_reset(tape);
        tare_tensor *x = tare_input(tape, TARE_SHAPE(1, 8, 3 * 16), NULL);
        memset(x->data, 0, (size_t)x->numel * sizeof(tare_real));
        x->requires_grad = true;
        tare_attention_packed(tape, x, 2, (tare_attention_opt){ .causal = causal });
        double forward = 2 * 2 * 16 * 8 * (causal ? 4.5 : 8);
        assert_near(tare_node_cost(tare_tape_node(tape, 0), false).flops, forward, 0);
        assert_near(tare_node_cost(tare_tape_node(tape, 0), true).flops, 2 * forward, 0);
    }
    tare_tape_free(tape);
}

static void the_machine_has_peaks(void **state) {
    (void)state;
    tare_peak peak;
    assert_int_equal(tare_peak_measure(&peak, 0.05), TARE_OK);
    assert_int_equal(peak.threads, tare_threads());
    assert_true(peak.flops > 1e7 && peak.flops < 1e15);
    assert_true(peak.copy_near > 1e7 && peak.copy_middle > 1e7 && peak.copy_far > 1e7);
    assert_true(tare_peak_copy(&peak, 1000) == peak.copy_near && tare_peak_copy(&peak, 1e9) == peak.copy_far);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_cost_their_multiply_adds),
        cmocka_unit_test(other_ops_cost_the_bytes_they_move),
        cmocka_unit_test(without_a_gradient_backward_costs_nothing),
        cmocka_unit_test(causal_attention_costs_what_is_seen),
        cmocka_unit_test(the_machine_has_peaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
