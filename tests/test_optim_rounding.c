/* test_optim_rounding.c - what rounding could do to optimizers and averages, and does not.
 * tare-test: double isa */
#include "testing_support.h"

#include "kernels/kernels.h"

#include <tare/optim.h>

#include <math.h>

/* One parameter of n values with this gradient, each value's a tenth more than the one before. */
static tare_params *params_with_grads(int64_t n, double grad) {
    tare_params *ps = tare_params_new(1);
    tare_tensor *w = tare_param(ps, "w", TARE_SHAPE(n), 0);
    assert_non_null(w);
    for (int64_t i = 0; i < n; i++) {
        w->data[i] = (tare_real)i;
        w->grad[i] = (tare_real)grad;
        grad *= 1.1;
    }
    w->grad_fresh = false;
    return ps;
}

/* Centred RMSprop divides by the root of mean square minus squared mean: nothing where gradients stay as they are, so that rounding
 * alone decides on which side of zero it comes out. */
static void steady_gradients_keep_centred_rmsprop_finite(void **state) {
    (void)state;
    enum { N = 67 };
    tare_params *ps = params_with_grads(N, 0.013);
    tare_optim *o = tare_rmsprop_new(ps, (tare_rmsprop_opt){ .lr = 1e-6, .alpha = 0.9, .centered = true });
    for (int step = 0; step < 500; step++) { assert_ok(tare_optim_step(o)); }
    for (int i = 0; i < N; i++) { assert_true(isfinite(tare_params_at(ps, 0)->data[i])); }
    tare_optim_free(o);
    tare_params_free(ps);
}

/* The last few values of a stretch that four do not divide count, too. */
static void every_value_is_in_the_sum_of_squares(void **state) {
    (void)state;
    tare_real x[40];
    for (int n = 0; n <= 40; n++) {
        double want = 0;
        for (int i = 0; i < n; i++) {
            x[i] = (tare_real)(i + 1);
            want += (i + 1.0) * (i + 1.0);
        }
        assert_near(tare__kernels()->sum_squares(x, n), want, 0);
    }
}

/* What is taken whole is a copy, to the last bit, however large that is which it replaces. */
static void a_mean_that_keeps_nothing_is_a_copy(void **state) {
    (void)state;
    enum { N = 37 };
    tare_real a[N], b[N];
    for (int i = 0; i < N; i++) {
        a[i] = (tare_real)(1e12 * (i + 1));
        b[i] = (tare_real)(0.1 * (i + 1));
    }
    tare__kernels()->mix(a, b, N, 0, 1);
    assert_memory_equal(a, b, sizeof b);
}

int main(void) {
    if (test_isa_missing()) { return 77; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steady_gradients_keep_centred_rmsprop_finite),
        cmocka_unit_test(every_value_is_in_the_sum_of_squares),
        cmocka_unit_test(a_mean_that_keeps_nothing_is_a_copy),
    };
    return cmocka_run_group_tests_name("optim_rounding", tests, NULL, NULL);
}
