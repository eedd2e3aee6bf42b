/* test_compare_stats.c - the statistics of a comparison against SciPy's (tests/golden/compare_stats.py prints the tables).
 * tare-test: compare */
#include "testing_support.h"

#include <math.h>

#include "compare/stats.h"

static void test_t_quantile(void **state) {
    (void)state;
    static const struct {
        double df, level, t;
    } cases[] = { /* scipy.stats.t.ppf((1 + level) / 2, df), SciPy 1.17.1 */
                  { 1, 0.95, 12.706204736174694 },   { 2, 0.95, 4.302652729749462 },
                  { 5, 0.95, 2.5705818356363146 },   { 5, 0.99, 4.032142983555228 },
                  { 9, 0.9, 1.833112932656237 },     { 29, 0.95, 2.045229642132703 },
                  { 100, 0.95, 1.9839715185235518 }, { 1000, 0.999, 3.300282648423944 },
                  { 3, 0.5, 0.7648923284043444 },    { 7, 0.9999, 7.884584262416738 }
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_near(tare__t_quantile(cases[i].df, cases[i].level), cases[i].t, 1e-10 * cases[i].t);
    }
}

static void test_summary(void **state) {
    (void)state;
    static const struct {
        int64_t n;
        double x[8], mean, sd, low, high;
    } cases[] = { /* numpy's mean and std(ddof=1), scipy.stats.t.interval */
                  { 2, { 1.5, 2.5 }, 2.0, 0.7071067811865476, -4.353102368087347, 8.353102368087347 },
                  { 3, { 0.91, 0.89, 0.93 }, 0.91, 0.020000000000000018, 0.8603172457649934, 0.9596827542350067 },
                  { 6,
                    { 0.8712, 0.8651, 0.8733, 0.8699, 0.8801, 0.8675 },
                    0.8711833333333332,
                    0.005219355004851326,
                    0.8657059561739727,
                    0.8766607104926937 },
                  { 4, { 2, 2, 2, 2 }, 2, 0, 2, 2 },
                  { 7,
                    { -1.25, 3.5, 0, 12.75, -7, 2.125, 0.5 },
                    1.5178571428571428,
                    5.972344498563675,
                    -4.005640274130135,
                    7.04135455984442 },
                  { 4,
                    { 1000000.25, 1000000.5, 1000000.75, 1000001 },
                    1000000.625,
                    0.3227486121839514,
                    1000000.1114349358,
                    1000001.1385650642 }
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tare__summary s = tare__summarise(cases[i].x, cases[i].n, 0.95);
        double tol = 1e-10 * (fabs(cases[i].mean) + cases[i].sd);
        assert_int_equal(s.n, cases[i].n);
        assert_near(s.mean, cases[i].mean, tol);
        assert_near(s.sd, cases[i].sd, tol);
        assert_near(s.low, cases[i].low, tol);
        assert_near(s.high, cases[i].high, tol);
    }
    tare__summary one = tare__summarise((double[]){ 3 }, 1, 0.95), none = tare__summarise(NULL, 0, 0.95);
    assert_near(one.mean, 3, 0);
    assert_true(isnan(one.sd) && isnan(one.low) && isnan(one.high)); /* one value has no spread */
    assert_true(isnan(none.mean));
}

static void test_sign_flip(void **state) {
    (void)state;
    static const struct {
        int64_t n;
        double d[12], p;
    } cases[] = {
        /* scipy.stats.permutation_test, samples exchanged in pairs, all patterns */
        { 6, { 0.1, 0.2, 0.3, 0.4, 0.5, 0.6 }, 0.03125 },
        { 6, { 0.1, 0.2, -0.3, 0.4, 0.5, 0.6 }, 0.15625 },
        { 7, { 1, 1, -1, 1, 1, 0, 1 }, 0.21875 },
        { 3, { 0, 0, 0 }, 1 },
        { 1, { 3 }, 1 },
        { 12, { 0.012, -0.004, 0.021, 0.008, 0.015, -0.001, 0.009, 0.017, 0.003, -0.011, 0.006, 0.014 }, 0.0244140625 },
        { 7, { 0.1, 0.2, -0.3, 0.1, -0.1, 0.3, 0.2 }, 0.484375 }
    };
    bool exact;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_near(tare__sign_flip(cases[i].d, cases[i].n, &exact), cases[i].p, 1e-15);
        assert_true(exact);
    }
    assert_near(tare__sign_flip(NULL, 0, &exact), 1, 0);
}

/* Beyond 20 seeds a sample of the patterns: SciPy's million resamples say 0.583. The standard error here is 0.0016. */
static void test_sign_flip_sampled(void **state) {
    (void)state;
    static const double d[] = { 0.301,  0.599,  0.026,  -0.591, -0.155, -0.692, 0.36,   1.64,
                                -0.192, -0.32,  0.79,   0.657,  0.405,  -0.63,  0.271,  0.995,
                                -1.044, -0.158, -1.601, -0.99,  -1.542, 0.065,  -0.967, 0.571 };
    bool exact;
    double p = tare__sign_flip(d, 24, &exact);
    assert_false(exact);
    assert_near(p, 0.5829634, 0.006);
    assert_near(tare__sign_flip(d, 24, &exact), p, 0); /* the same patterns each time */
    double up[24];
    for (int i = 0; i < 24; i++) { up[i] = 1 + i; }
    assert_near(tare__sign_flip(up, 24, &exact), 1e-5, 1e-12); /* never 0: the observed pattern counts */
}

static void test_holm(void **state) {
    (void)state;
    static const struct {
        int64_t m;
        double p[6], adjusted[6];
    } cases[] = { /* statsmodels 0.14, multipletests(p, method="holm") */
                  { 4, { 0.01, 0.04, 0.03, 0.005 }, { 0.03, 0.06, 0.06, 0.02 } },
                  { 4, { 0.03125, 0.03125, 0.03125, 0.03125 }, { 0.125, 0.125, 0.125, 0.125 } },
                  { 3, { 0.2, 0.9, 0.5 }, { 0.6, 1, 1 } },
                  { 1, { 0.001 }, { 0.001 } },
                  { 6, { 0.04, 0.001, 0.2, 0.02, 0.02, 0.7 }, { 0.12, 0.006, 0.4, 0.1, 0.1, 0.7 } }
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double adjusted[6];
        assert_true(tare__holm(cases[i].p, cases[i].m, adjusted));
        for (int64_t k = 0; k < cases[i].m; k++) { assert_near(adjusted[k], cases[i].adjusted[k], 1e-15); }
    }
}

/* All seeds agreeing gives p = 2 / 2^n, times the number of pairs. */
static void test_seeds_needed(void **state) {
    (void)state;
    static const struct { int64_t pairs, seeds; } cases[] = { { 1, 6 }, { 2, 7 }, { 3, 7 }, { 10, 9 }, { 30, 11 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t n = cases[i].seeds;
        assert_int_equal(tare__seeds_needed(cases[i].pairs, 0.05), n);
        assert_true(ldexp(2.0 * (double)cases[i].pairs, -(int)n) < 0.05 &&
                    ldexp(2.0 * (double)cases[i].pairs, 1 - (int)n) >= 0.05);
    }
    assert_int_equal(tare__seeds_needed(1, 0.0625), 6); /* p must be below alpha: 2 / 2^5 is not */
}

/* ---- letters: two items share one exactly where they are not apart ------------------------------------------------------ */

static bool share(const char *a, const char *b) { return strpbrk(a, b) != NULL; }

static void check_letters(const bool *apart, int n) {
    static char letters[64][TARE__LETTERS];
    tare__letters(apart, n, letters);
    for (int i = 0; i < n; i++) {
        assert_true(*letters[i] != '\0');
        for (int j = i + 1; j < n; j++) { assert_int_equal(share(letters[i], letters[j]), !apart[i * n + j]); }
    }
}

static void test_letters(void **state) {
    (void)state;
    char letters[4][TARE__LETTERS];
    const bool chain[16] = { 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0 }; /* only neighbours are alike */
    tare__letters(chain, 4, letters);
    assert_string_equal(letters[0], "a");
    assert_string_equal(letters[1], "ab");
    assert_string_equal(letters[2], "bc");
    assert_string_equal(letters[3], "c");
    const bool around[16] = {
        0, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0
    }; /* no letter for {2,3}, which {0,2,3} has */
    tare__letters(around, 4, letters);
    assert_string_equal(letters[0], "a");
    assert_string_equal(letters[1], "b");
    assert_string_equal(letters[2], "a");
    assert_string_equal(letters[3], "ab");
    static bool apart[64 * 64];
    for (uint32_t pattern = 0; pattern < 1024; pattern++) { /* every relation of five items */
        uint32_t bits = pattern;
        memset(apart, 0, sizeof apart);
        for (int i = 0; i < 5; i++) {
            for (int j = i + 1; j < 5; j++, bits >>= 1) { apart[i * 5 + j] = apart[j * 5 + i] = bits & 1; }
        }
        check_letters(apart, 5);
    }
    memset(apart, 0, sizeof apart);
    check_letters(apart, 64);
    for (int i = 0; i < 20; i++) {
        for (int j = 0; j < 20; j++) { apart[i * 20 + j] = i / 4 != j / 4; }
    }
    check_letters(apart, 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_t_quantile),        cmocka_unit_test(test_summary), cmocka_unit_test(test_sign_flip),
        cmocka_unit_test(test_sign_flip_sampled), cmocka_unit_test(test_holm),    cmocka_unit_test(test_seeds_needed),
        cmocka_unit_test(test_letters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
