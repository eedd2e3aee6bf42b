/* test_norm_moments.c - mean and variance as the norm kernels take them, where their guess of the mean is bad.
 * tare-test: double isa */
#include "testing_support.h"

#include "kernels/kernels.h"

#include <tare/norms.h>
#include <tare/tape.h>

#include <math.h>

static tare_tensor *normal(tare_tape *t, int64_t n, double mean, double scale) {
    tare_tensor *x = tare_input(t, TARE_SHAPE(n), NULL);
    assert_non_null(x);
    tare_rng rng = tare_rng_new(3, "test");
    for (int64_t i = 0; i < n; i++) { x->data[i] = (tare_real)(mean + scale * tare_rng_normal(&rng)); }
    return x;
}

/* The kernels guess the mean from the first values of a set, then from the pieces before. A set that starts far from its mean, and
 * one that jumps half way, must come out as precisely as any other. */
static void bad_guesses_cost_no_digits(void **state) {
    (void)state;
    enum { SIZE = 12000 };
    const tare__kernel_table *k = tare__kernels();
    for (int kind = 0; kind < 3; kind++) {
        for (int64_t n = 40; n <= SIZE; n *= kind == 1 ? 3 : 17) {
            tare_tape *tape = tare_tape_new((tare_tape_opt){ 0 });
            tare_tensor *x = normal(tape, n, kind == 2 ? 1000 : 1, 1e-2);
            for (int64_t i = 0; i < (kind == 0 ? 16 : kind == 1 ? n / 2 : 0); i++) { x->data[i] += 300; }
            for (int64_t i = 0; kind == 2 && i < 16; i++) { x->data[i] = 0; }
            long double mean = 0, m2 = 0;
            for (int64_t i = 0; i < n; i++) { mean += (long double)x->data[i] / (long double)n; }
            for (int64_t i = 0; i < n; i++) { m2 += (x->data[i] - mean) * (x->data[i] - mean); }
            double got_mean, got_m2;
            k->norm_moments_each(x->data, 1, n, &got_mean, &got_m2);
            assert_near(got_mean, mean, test_tol(1e-6, 1e-13) * (double)fabsl(mean));
            assert_near(got_m2, m2, test_tol(1e-5, 1e-13) * (double)m2);
            tare_tape_free(tape);
        }
    }
}

/* A row is read once more where the four values that the guess is made of lie apart; the better guess is a float, so the mean lies
 * half a last place beside it, which at 1e6 is a tenth of what these values scatter. */
static void rows_looked_at_twice_are_as_precise(void **state) {
    (void)state;
    enum { N = 4000 };
    static const double steps[] = { 0, 1, 2, 3 };
    tare_tape *tape = tare_tape_new((tare_tape_opt){ 0 });
    tare_tensor *x = tare_input(tape, TARE_SHAPE(1, N), NULL);
    for (int i = 0; i < N; i++) { x->data[i] = (tare_real)(1e6 + steps[i * 7 % 4] / 16); }
    x->data[0] += 4, x->data[N / 4] += 4, x->data[N / 2] += 4, x->data[N - 1 - N / 4] += 4;
    double mean = 0, var = 0;
    for (int i = 0; i < N; i++) { mean += ((double)x->data[i] - 1e6) / N; }
    for (int i = 0; i < N; i++) { var += pow((double)x->data[i] - 1e6 - mean, 2) / N; }
    tare_tensor *y = tare_layer_norm(tape, x, NULL, NULL, (tare_layer_norm_opt){ .eps = 1e-5 });
    assert_non_null(y);
    for (int i = 0; i < 20; i++) {
        double want = ((double)x->data[i] - 1e6 - mean) / sqrt(var + 1e-5);
        assert_near(y->data[i], want, test_tol(2e-5, 1e-8) * (1 + fabs(want)));
    }
    tare_tape_free(tape);
}

int main(void) {
    if (test_isa_missing()) { return 77; }
    const struct CMUnitTest tests[] = { cmocka_unit_test(bad_guesses_cost_no_digits),
                                        cmocka_unit_test(rows_looked_at_twice_are_as_precise) };
    return cmocka_run_group_tests_name("norm_moments", tests, NULL, NULL);
}
