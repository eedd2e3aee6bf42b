/* test_vmath.c - vector exp, expm1, log1p, tanh, sigmoid, normal tail against the C library's double ones: the error in units
 * in the last place that vmath.h states, at every level of the kernels, and what becomes of NaN, Inf and zero.
 * tare-test: isa */
#include "testing_support.h"

#include "kernels/kernels.h"
#include "kernels/vmath.h"

#include <math.h>
#include <stdio.h>

enum { BATCH = 4096, STEP = 499 /* prime: visits all mantissas and exponents */ };

static float in[BATCH], out[BATCH], ones[BATCH];

/* ---- the functions, over in -> out ------------------------------------------------------------------------------- */

static void run_exp(void) {
    for (int i = 0; i < BATCH; i++) { out[i] = v_exp(in[i]); }
}

static void run_exp_neg(void) {
    for (int i = 0; i < BATCH; i++) { out[i] = v_exp_neg(in[i]); }
}

static void run_expm1(void) {
    for (int i = 0; i < BATCH; i++) { out[i] = v_expm1(in[i]); }
}

static void run_log1p(void) {
    for (int i = 0; i < BATCH; i++) { out[i] = v_log1p(in[i]); }
}

static void run_tail(void) {
    for (int i = 0; i < BATCH; i++) { out[i] = v_normal_tail(in[i], v_exp(-0.5f * in[i] * in[i])); }
}

/* Where a kernel is one of the functions, it is tested as compiled for this level. */
static void run_tanh(void) { tare__kernels()->tanh(BATCH, 0, in, out); }
static void run_sigmoid(void) { tare__kernels()->sigmoid(BATCH, 0, in, out); }
static void run_elu(void) { tare__kernels()->elu(BATCH, 1, in, out); }
static void run_elu_back(void) { tare__kernels()->elu_back(BATCH, 1, in, ones, out, false); }

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double tail(double x) { return 0.5 * erfc(x * sqrt(0.5)); }

/* ---- error ------------------------------------------------------------------------------------------------------- */

static double ulps(float got, double want) {
    if (isnan(got) || isnan(want)) { return isnan(got) && isnan(want) ? 0 : HUGE_VAL; }
    if (isinf(got)) { return want > 0x1.ffffffp127 && got > 0 ? 0 : HUGE_VAL; }
    int exponent;
    frexp(want, &exponent);
    return fabs((double)got - want) / ldexp(1, (exponent < -125 ? -125 : exponent) - 24);
}

static double no_more(double x) {
    (void)x;
    return 0;
}

static double half_square(double x) { return 0.5 * x * x; }

/* The error over the floats in [low, high] is at most limit + more(x). */
static void check(const char *name, void (*run)(void), double (*exact)(double), float low, float high, double limit,
                  double (*more)(double)) {
    double worst = 0;
    float worst_at = 0;
    int n = 0;
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += STEP) {
        float x = v_from_bits((uint32_t)bits);
        if (x >= low && x <= high) { in[n++] = x; }
        if (n < BATCH) { continue; }
        run();
        n = 0;
        for (int i = 0; i < BATCH; i++) {
            double error = ulps(out[i], exact((double)in[i])) - more((double)in[i]);
            if (error > worst) { worst = error, worst_at = in[i]; }
        }
    }
    print_message("%-16s %.3f ulp at %.9g\n", name, worst, (double)worst_at);
    if (!(worst <= limit)) { fail_msg("%s: %g ulp at %.9g, allowed %g", name, worst, (double)worst_at, limit); }
}

static void errors_are_as_stated(void **state) {
    (void)state;
    for (int i = 0; i < BATCH; i++) { ones[i] = 1; }
    check("v_exp", run_exp, exp, -86.6f, INFINITY, 1.1, no_more);
    check("v_exp_neg", run_exp_neg, exp, -87.3365402f, 0, 1.1, no_more);
    check("v_exp (kernel)", run_elu_back, exp, -87.3365402f, -0.0f, 1.1, no_more);
    check("v_expm1", run_expm1, expm1, -INFINITY, 0, 1.1, no_more);
    check("v_expm1 (kernel)", run_elu, expm1, -INFINITY, -0.0f, 1.1, no_more);
    check("v_log1p", run_log1p, log1p, 0, 1, 2.0, no_more);
    check("v_tanh", run_tanh, tanh, -INFINITY, INFINITY, 2.5, no_more);
    check("v_sigmoid", run_sigmoid, sigmoid, -87, INFINITY, 2.5, no_more);
    check("v_normal_tail", run_tail, tail, 0, 13, 6.5, half_square);
}

static void edges(void **state) {
    (void)state;
    assert_true(isnan(v_exp(NAN)) && isnan(v_expm1(NAN)) && isnan(v_log1p(NAN)) && isnan(v_tanh(NAN)));
    assert_true(isnan(v_sigmoid(NAN)) && isnan(v_normal_tail(NAN, NAN)));
    assert_true(isinf(v_exp(INFINITY)) && isinf(v_exp(1e30f)) && v_exp(-INFINITY) == 0 && v_exp(-1e30f) == 0);
    assert_true(v_exp(0) == 1 && v_exp(-0.0f) == 1);
    assert_true(v_exp(88.72283f) < INFINITY && isinf(v_exp(88.72284f)));
    assert_true(v_exp_neg(-INFINITY) == 0 && v_exp_neg(-1e30f) == 0 && v_exp_neg(0) == 1 && isnan(v_exp_neg(NAN)));
    assert_true(v_exp(-88.0f) == 0 && v_exp_neg(-88.0f) == 0); /* below the normal range: flushed */
    assert_true(v_expm1(0) == 0 && v_expm1(-INFINITY) == -1);
    assert_true(v_log1p(0) == 0);
    assert_true(v_tanh(INFINITY) == 1 && v_tanh(-INFINITY) == -1);
    assert_true(v_tanh(0.0f) == 0 && !signbit(v_tanh(0.0f)) && signbit(v_tanh(-0.0f)));
    assert_true(v_sigmoid(INFINITY) == 1 && v_sigmoid(-INFINITY) == 0 && v_sigmoid(0) == 0.5f);
    assert_true(v_normal_tail(INFINITY, 0) == 0);
    assert_near(v_normal_tail(0, 1), 0.5, 1e-7);
}

int main(void) {
    if (test_isa_missing()) { return 77; }
    const struct CMUnitTest tests[] = { cmocka_unit_test(errors_are_as_stated), cmocka_unit_test(edges) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
