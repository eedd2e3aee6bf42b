/* test_dropout.c - dropout's laws: which words of the random stream decide, how many are dropped, the same mask backward, on
 * any number of threads and at any instruction set; p = 0, p = 1 and evaluation.   tare-test: double isa */
#include "testing_support.h"

#include <tare/ops.h>

#include <math.h>

enum { N = 100003 };

static tare_tape *tape(bool training) {
    tare_tape *t = tare_tape_new((tare_tape_opt){ .training = training, .guard = true, .seed = 5 });
    assert_non_null(t);
    return t;
}

static tare_tensor *ones(tare_tape *t, int64_t n) {
    tare_tensor *x = tare_input(t, TARE_SHAPE(n), NULL);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) { x->data[i] = 1; }
    x->requires_grad = true;
    return x;
}

/* Value i goes by word i / 64 % 4 of block i / 256 * 64 + i % 64, the plain way. */
static bool kept(tare_rng rng, int64_t i, double p) {
    uint32_t word[4];
    tare_rng_block(rng, (uint64_t)(i / 256 * 64 + i % 64), word);
    return (double)word[i / 64 % 4] >= floor(p * 0x1p32);
}

static void mask_follows_the_stream(void **state) {
    (void)state;
    const double rates[] = { 0.5, 0.1, 0.999 };
    for (int r = 0; r < 3; r++) {
        tare_tape *t = tape(true);
        tare_tensor *x = ones(t, N), *y = tare_dropout(t, x, rates[r]);
        assert_non_null(y);
        tare_real grown = (tare_real)(1 / (1 - rates[r]));
        tare_rng rng = tare_tape_node(t, 0)->rng;
        int64_t dropped = 0;
        for (int64_t i = 0; i < N; i++) {
            bool stays = kept(rng, i, rates[r]);
            assert_true(y->data[i] == (stays ? grown : 0));
            dropped += !stays;
        }
        assert_near((double)dropped / N, rates[r], 5 * sqrt(rates[r] * (1 - rates[r]) / N));
        assert_ok(tare_backward_from(t, y, x->data)); /* dy = 1 */
        for (int64_t i = 0; i < N; i++) { assert_true(x->grad[i] == (kept(rng, i, rates[r]) ? grown : 0)); }
        assert_ok(tare_tape_guard(t));
        tare_tape_free(t);
    }
}

static void same_mask_on_any_threads_new_mask_each_step(void **state) {
    (void)state;
    static tare_real first[N];
    int before = tare_threads();
    for (int threads = 1; threads <= 3; threads++) {
        tare_threads_set(threads);
        tare_tape *t = tape(true);
        tare_tensor *y = tare_dropout(t, ones(t, N), 0.3);
        if (threads == 1) { memcpy(first, y->data, sizeof first); }
        assert_memory_equal(y->data, first, sizeof first);
        tare_tensor *again = tare_dropout(t, ones(t, N), 0.3);
        assert_memory_not_equal(again->data, first, sizeof first);
        tare_tape_reset(t);
        assert_memory_not_equal(tare_dropout(t, ones(t, N), 0.3)->data, first, sizeof first);
        tare_tape_reset(t);
        tare_tape_step_set(t, 0);
        assert_memory_equal(tare_dropout(t, ones(t, N), 0.3)->data, first, sizeof first);
        tare_tape_free(t);
    }
    tare_threads_set(before);
}

static void edges_are_exact(void **state) {
    (void)state;
    tare_tape *t = tape(true);
    tare_tensor *x = ones(t, 1000);
    x->data[3] = (tare_real)INFINITY;
    tare_tensor *all = tare_dropout(t, x, 0), *none = tare_dropout(t, x, 1);
    assert_memory_equal(all->data, x->data, 1000 * sizeof(tare_real));
    for (int i = 0; i < 1000; i++) { assert_true(none->data[i] == 0); }
    assert_ok(tare_backward(t, tare_sum(t, none, 0, false)));
    for (int i = 0; i < 1000; i++) { assert_true(x->grad[i] == 0); }
    tare_tape_free(t);
}

/* In evaluation: x itself, no copy, whoever is released first; gradients pass through. */
static void evaluation_is_the_identity(void **state) {
    (void)state;
    tare_tape *t = tape(false);
    tare_tensor *x = ones(t, 8), *h = tare_scale(t, x, 3), *y = tare_dropout(t, h, 0.5);
    assert_true(y && y->data == h->data);
    tare_release(t, h);
    assert_true(y->data[7] == 3);
    assert_ok(tare_backward(t, tare_sum(t, y, 0, false)));
    for (int i = 0; i < 8; i++) { assert_true(x->grad[i] == 3); }
    tare_tape_free(t);
}

/* A gradient that is there already is added to. */
static void gradients_add_up(void **state) {
    (void)state;
    const double rates[] = { 0, 0.5, 1 };
    for (int r = 0; r < 3; r++) {
        tare_tape *t = tape(true);
        tare_tensor *x = ones(t, 300), *y = tare_dropout(t, x, rates[r]);
        double *want = malloc(300 * sizeof *want);
        for (int i = 0; i < 300; i++) { want[i] = 1 + (double)y->data[i]; }
        assert_ok(tare_backward(t, tare_sum(t, tare_add(t, y, x), 0, false)));
        for (int i = 0; i < 300; i++) { assert_near(x->grad[i], want[i], 0); }
        free(want);
        tare_tape_free(t);
    }
}

static void refuses_what_is_no_probability(void **state) {
    (void)state;
    const double rates[] = { -0.1, 1.5, (double)NAN };
    for (int i = 0; i < 6; i++) {
        tare_tape *t = tape(i % 2);
        assert_null(tare_dropout(t, ones(t, 3), rates[i / 2]));
        assert_int_equal(tare_tape_status(t), TARE_EINVAL);
        assert_contains(tare_tape_error(t), "dropout: p is");
        tare_tape_free(t);
    }
}

int main(void) {
    if (test_isa_missing()) { return 77; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mask_follows_the_stream), cmocka_unit_test(same_mask_on_any_threads_new_mask_each_step),
        cmocka_unit_test(edges_are_exact),         cmocka_unit_test(evaluation_is_the_identity),
        cmocka_unit_test(gradients_add_up),        cmocka_unit_test(refuses_what_is_no_probability),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
