/* test_gemm.c - the matrix product against the naive loop: odd shapes, transposes, alpha, beta, bias, NaN, threads.
 * tare-test: double isa */
#include "testing_support.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#include "core/blas.h"
#include "core/gemm.h"

/* Sizes around the tiles (6, 12, 14 rows; 2 to 32 columns), primes, and enough for several chunks and blocks of k. */
static const int64_t sizes[] = { 1, 2, 3, 5, 7, 8, 13, 14, 15, 16, 17, 29, 31, 32, 33, 64, 97, 131, 256, 331, 701 };

typedef struct problem {
    tare__gemm_args args;
    tare_real *a, *b, *c, *row, *column;
    int64_t size_c;
} problem;

static tare_real *random_values(tare_rng *rng, int64_t n) {
    tare_real *values = tare_malloc((size_t)(n + 1) * sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < n; i++) { values[i] = (tare_real)(2 * tare_rng_uniform(rng) - 1); }
    return values;
}

static problem problem_new(tare_rng *rng, int64_t m, int64_t n, int64_t k, bool trans_a, bool trans_b) {
    problem p = { .args = { .trans_a = trans_a, .trans_b = trans_b, .m = m, .n = n, .k = k, .alpha = 1 } };
    p.args.lda = (trans_a ? m : k) + (int64_t)tare_rng_below(rng, 3);
    p.args.ldb = (trans_b ? k : n) + (int64_t)tare_rng_below(rng, 3);
    p.args.ldc = n + (int64_t)tare_rng_below(rng, 3);
    p.size_c = m * p.args.ldc;
    p.args.a = p.a = random_values(rng, p.args.lda * (trans_a ? k : m));
    p.args.b = p.b = random_values(rng, p.args.ldb * (trans_b ? n : k));
    p.args.c = p.c = random_values(rng, p.size_c);
    p.row = random_values(rng, m);
    p.column = random_values(rng, n);
    return p;
}

static void problem_free(problem *p) {
    tare_free(p->a);
    tare_free(p->b);
    tare_free(p->c);
    tare_free(p->row);
    tare_free(p->column);
}

static tare_real *copy_of(const tare_real *from, int64_t n) {
    tare_real *copy = tare_malloc((size_t)(n + 1) * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, from, (size_t)n * sizeof *copy);
    return copy;
}

/* C as the naive loop has it, bias included. */
static tare_real *expected(const problem *p) {
    const tare__gemm_args *x = &p->args;
    tare_real *c = copy_of(p->c, p->size_c);
    tare__naive_gemm(x->trans_a, x->trans_b, x->m, x->n, x->k, x->alpha, x->a, x->lda, x->b, x->ldb, x->beta, c,
                     x->ldc);
    for (int64_t i = 0; i < x->m; i++) {
        for (int64_t j = 0; j < x->n; j++) {
            c[i * x->ldc + j] += (x->bias_row ? x->bias_row[i] : 0) + (x->bias_column ? x->bias_column[j] : 0);
        }
    }
    return c;
}

static tare_real *computed(const problem *p, int threads) {
    tare__gemm_args x = p->args;
    x.c = copy_of(p->c, p->size_c);
    tare_threads_set(threads);
    tare__gemm(&x);
    tare_threads_set(0);
    return x.c;
}

static void check(const problem *p) {
    const tare__gemm_args *x = &p->args;
    tare_real *want = expected(p), *got = computed(p, 1);
    double tolerance = test_tol(2e-6, 2e-14) * (2 + sqrt((double)x->k));
    for (int64_t i = 0; i < x->m; i++) {
        for (int64_t j = 0; j < x->ldc; j++) {
            double error = fabs((double)got[i * x->ldc + j] - (double)want[i * x->ldc + j]);
            /* What lies between the rows of C must not change at all. */
            if (!(error <= (j < x->n ? tolerance : 0))) {
                fail_msg("[%d,%d] k %d, trans %d %d, alpha %g, beta %g: C[%d][%d] is %g, not %g", (int)x->m, (int)x->n,
                         (int)x->k, x->trans_a, x->trans_b, (double)x->alpha, (double)x->beta, (int)i, (int)j,
                         (double)got[i * x->ldc + j], (double)want[i * x->ldc + j]);
            }
        }
    }
    for (int threads = 2; threads <= 3; threads++) {
        tare_real *again = computed(p, threads);
        assert_memory_equal(again, got, (size_t)p->size_c * sizeof *got);
        tare_free(again);
    }
    tare_free(want);
    tare_free(got);
}

static void test_random_shapes(void **state) {
    (void)state;
    tare_rng rng = tare_rng_new(1, "gemm");
    const tare_real factors[] = { 1, 0, -1, (tare_real)0.5 };
    for (int round = 0; round < 600; round++) {
        int64_t count = sizeof sizes / sizeof sizes[0];
        int64_t m = sizes[tare_rng_below(&rng, (uint64_t)count)], n = sizes[tare_rng_below(&rng, (uint64_t)count)];
        int64_t k = sizes[tare_rng_below(&rng, (uint64_t)count)];
        if (m * n * k > 1 << 24) { k = 17; }
        problem p = problem_new(&rng, m, n, k, round & 1, round & 2);
        p.args.alpha = factors[tare_rng_below(&rng, 4)];
        p.args.beta = factors[tare_rng_below(&rng, 4)];
        if (p.args.beta == 0 && round & 4) { p.args.bias_row = p.row; }
        if (p.args.beta == 0 && round & 8) { p.args.bias_column = p.column; }
        check(&p);
        problem_free(&p);
    }
}

/* The shapes of real layers: several chunks, panels turned round beforehand, rows a power of two apart. The last two come to
 * three panels of k values that need the room for them thrice, to the last number. */
static void test_layer_shapes(void **state) {
    (void)state;
    static const int64_t shapes[][3] = { { 32, 256, 784 },  { 784, 32, 256 },  { 128, 10, 1152 }, { 64, 128, 9216 },
                                         { 512, 128, 768 }, { 32, 256, 1024 }, { 1, 512, 300 },   { 700, 1, 300 },
                                         { 64, 48, 8192 },  { 64, 96, 4096 } };
    tare_rng rng = tare_rng_new(2, "gemm");
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        for (int trans = 0; trans < 4; trans++) {
            problem p = problem_new(&rng, shapes[s][0], shapes[s][1], shapes[s][2], trans & 1, trans & 2);
            p.args.beta = trans == 3;
            check(&p);
            problem_free(&p);
        }
    }
}

static void test_empty(void **state) {
    (void)state;
    tare_real a[4] = { 1, 2, 3, 4 }, c[4] = { 5, (tare_real)NAN, 7, 8 };
    tare_gemm(false, false, 0, 2, 2, 1, a, 2, a, 2, 0, c, 2);
    tare_gemm(false, false, 2, 0, 2, 1, a, 2, a, 2, 0, c, 2);
    assert_true(c[0] == 5 && isnan((double)c[1]) && c[2] == 7 && c[3] == 8);
    tare_gemm(false, false, 2, 2, 0, 1, a, 2, a, 2, 0, c, 2);
    assert_true(c[0] == 0 && c[1] == 0 && c[2] == 0 && c[3] == 0);
    c[2] = 6;
    tare_gemm(false, false, 2, 2, 0, 1, a, 2, a, 2, (tare_real)0.5, c, 2);
    assert_true(c[2] == 3);
}

/* beta 0 forgets NaN in C; a zero does not hide NaN or Inf in A or B. */
static void test_nan(void **state) {
    (void)state;
    static const int64_t shapes[][3] = { { 3, 5, 4 }, { 33, 35, 64 }, { 128, 97, 300 } };
    tare_rng rng = tare_rng_new(3, "gemm");
    for (int trans = 0; trans < 4; trans++) {
        for (int s = 0; s < 3; s++) {
            int64_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2], i = m / 2, j = n / 2, q = k - 1;
            problem p = problem_new(&rng, m, n, k, trans & 1, trans & 2);
            for (int64_t e = 0; e < p.size_c; e++) { p.c[e] = (tare_real)NAN; }
            tare_real *at_a = &p.a[trans & 1 ? q * p.args.lda + i : i * p.args.lda + q];
            tare_real *at_b = &p.b[trans & 2 ? j * p.args.ldb + q : q * p.args.ldb + j];
            tare_real *c = computed(&p, 2);
            for (int64_t e = 0; e < m * n; e++) { assert_true(isfinite((double)c[e / n * p.args.ldc + e % n])); }
            tare_free(c);
            *at_a = 0;
            *at_b = (tare_real)INFINITY;
            c = computed(&p, 2);
            for (int64_t e = 0; e < m * n; e++) {
                double value = (double)c[e / n * p.args.ldc + e % n];
                assert_true(e % n == j ? !isfinite(value) : isfinite(value));
                if (e / n == i && e % n == j) { assert_true(isnan(value)); }
            }
            tare_free(c);
            problem_free(&p);
        }
    }
}

typedef struct inside {
    const problem *p;
    tare_real *c[4];
} inside;

static void multiply_inside(void *context, int64_t begin, int64_t end) {
    inside *x = context;
    for (int64_t i = begin; i < end; i++) {
        tare__gemm_args args = x->p->args;
        args.c = x->c[i];
        tare__gemm(&args);
    }
}

/* Inside a parallel region: on the caller's thread, with the same bits. */
static void test_inside_parallel(void **state) {
    (void)state;
    tare_rng rng = tare_rng_new(4, "gemm");
    problem p = problem_new(&rng, 200, 190, 333, false, true);
    tare_real *want = computed(&p, 2);
    inside x = { .p = &p };
    for (int i = 0; i < 4; i++) { x.c[i] = copy_of(p.c, p.size_c); }
    tare_threads_set(3);
    tare_parallel_for(4, 1, multiply_inside, &x);
    tare_threads_set(0);
    for (int i = 0; i < 4; i++) {
        assert_memory_equal(x.c[i], want, (size_t)p.size_c * sizeof *want);
        tare_free(x.c[i]);
    }
    tare_free(want);
    problem_free(&p);
}

/* Each number of [0, n) is visited once, in chunks that lie where grain says, whatever the number of threads. */
static void count_visits(void *context, int64_t begin, int64_t end) {
    int *visits = context;
    if (begin % 7 != 0 || end - begin > 7) { return; }
    for (int64_t i = begin; i < end; i++) { visits[i]++; }
}

static void test_parallel_for(void **state) {
    (void)state;
    for (int threads = 1; threads <= 8; threads++) {
        tare_threads_set(threads);
        assert_int_equal(tare_threads(), threads);
        for (int64_t n = 0; n < 100; n += 9) {
            int visits[100] = { 0 };
            tare_parallel_for(n, 7, count_visits, visits);
            for (int64_t i = 0; i < 100; i++) { assert_int_equal(visits[i], i < n); }
        }
    }
    tare_threads_set(0);
    assert_true(tare_threads() >= 1);
}

/* Chunks that sleep end sooner with several threads, on however busy a machine: the workers do take part. */
static void sleep_a_while(void *context, int64_t begin, int64_t end) {
    (void)context, (void)begin, (void)end;
    nanosleep(&(struct timespec){ .tv_nsec = 40000000 }, NULL);
}

static double slept(int threads) {
    struct timespec from, to;
    tare_threads_set(threads);
    clock_gettime(CLOCK_MONOTONIC, &from);
    tare_parallel_for(8, 1, sleep_a_while, NULL);
    clock_gettime(CLOCK_MONOTONIC, &to);
    tare_threads_set(0);
    return (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
}

static void test_workers_work(void **state) {
    (void)state;
    assert_true(slept(1) >= 0.32);
    assert_true(slept(4) < 0.32);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_shapes),   cmocka_unit_test(test_layer_shapes),
        cmocka_unit_test(test_empty),           cmocka_unit_test(test_nan),
        cmocka_unit_test(test_inside_parallel), cmocka_unit_test(test_parallel_for),
        cmocka_unit_test(test_workers_work),
    };
    if (test_isa_missing()) { return 77; }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
