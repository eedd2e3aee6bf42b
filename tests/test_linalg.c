/* test_linalg.c - eigenvalues and singular values beside numpy's; vectors by their laws; what is refused.
 * tare-test: double */
#include "testing_support.h"

#include <tare/linalg.h>

#include <math.h>
#include <stdio.h>

enum { MOST = 64 };

static void assert_close(const double *got, const double *want, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) { most = fmax(most, fabs(want[i])); }
    for (int64_t i = 0; i < n; i++) { assert_near(got[i], want[i], 1e-12 * most); }
}

static void eigenvalues(void **state) {
    (void)state;
    golden *g = golden_open("linalg");
    assert_non_null(g);
    const int sizes[] = { 1, 2, 17, 60 };
    for (int k = 0; k < 4; k++) {
        int64_t n = sizes[k];
        const double *a = golden_get(g, NULL, "eigen%d/a", sizes[k]);
        const double *want = golden_get(g, NULL, "eigen%d/values", sizes[k]);
        double values[MOST], v[MOST * MOST];
        assert_ok(tare_symmetric_eigen(n, a, values, NULL));
        assert_close(values, want, n);
        assert_ok(tare_symmetric_eigen(n, a, values, v));
        assert_close(values, want, n);
        for (int64_t i = 0; i < n; i++) {
            for (int64_t r = 0; r < n; r++) { /* A v = value v, v_i v_r = (i == r) */
                double av = 0, vv = 0;
                for (int64_t c = 0; c < n; c++) {
                    av += a[r * n + c] * v[i * n + c];
                    vv += v[i * n + c] * v[r * n + c];
                }
                assert_near(av, values[i] * v[i * n + r], 1e-12 * (double)n * fabs(want[n - 1]));
                assert_near(vv, i == r, 1e-13 * (double)n);
            }
        }
    }
    golden_close(g);
}

/* The lower triangle alone is read; vectors may overwrite the matrix. */
static void eigen_reads_the_lower_triangle(void **state) {
    (void)state;
    double a[] = { 2, 99, 1, 2 }, values[2];
    assert_ok(tare_symmetric_eigen(2, a, values, a));
    assert_near(values[0], 1, 1e-14);
    assert_near(values[1], 3, 1e-14);
    assert_near(fabs(a[2]), sqrt(0.5), 1e-14);
    assert_near(a[2], a[3], 1e-14);
}

static void singular_values(void **state) {
    (void)state;
    golden *g = golden_open("linalg");
    const int sizes[][2] = { { 1, 1 }, { 5, 3 }, { 3, 5 }, { 40, 40 }, { 1, 9 }, { 64, 27 } };
    for (int k = 0; k < 6; k++) {
        int m = sizes[k][0], n = sizes[k][1];
        double values[MOST];
        assert_ok(tare_singular_values(m, n, golden_get(g, NULL, "svd%dx%d/a", m, n), values));
        assert_close(values, golden_get(g, NULL, "svd%dx%d/values", m, n), m < n ? m : n);
    }
    golden_close(g);
}

static void refused(void **state) {
    (void)state;
    double a[] = { 1, 0, NAN, 1 }, values[2] = { 7, 7 };
    assert_status(TARE_ENONFINITE, tare_symmetric_eigen(2, a, values, NULL));
    assert_contains(tare_error(), "symmetric_eigen: row 1, column 0 is nan");
    assert_status(TARE_ENONFINITE, tare_singular_values(2, 2, a, values));
    assert_status(TARE_ESHAPE, tare_symmetric_eigen(0, a, values, NULL));
    assert_contains(tare_error(), "a matrix [0,0]: sizes must be 1 to");
    assert_status(TARE_ESHAPE, tare_singular_values(2, 100000, a, values));
    a[2] = 0;
    tare_alloc_fail_at(1);
    assert_status(TARE_ENOMEM, tare_symmetric_eigen(2, a, values, NULL));
    tare_alloc_fail_at(1);
    assert_status(TARE_ENOMEM, tare_singular_values(2, 2, a, values));
    tare_alloc_fail_at(0);
    assert_true(values[0] == 7 && values[1] == 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eigenvalues),
        cmocka_unit_test(eigen_reads_the_lower_triangle),
        cmocka_unit_test(singular_values),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests_name("linalg", tests, NULL, NULL);
}
