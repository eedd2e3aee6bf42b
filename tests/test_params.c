/* test_params.c - named parameters and buffers: names, flat blocks, gradients, freezing, initialisation.
 * tare-test: double */
#include "testing_support.h"

#include <tare/params.h>

#include <math.h>
#include <stdio.h>

static int params_setup(void **state) {
    *state = tare_params_new(7);
    return *state ? 0 : -1;
}
static int params_teardown(void **state) {
    tare_params_free(*state);
    return 0;
}

static void names_nest(void **state) {
    tare_params *ps = *state;
    tare_params_push(ps, "layer1");
    tare_params_push(ps, "0");
    tare_tensor *w = tare_param(ps, "weight", TARE_SHAPE(2, 3), 0);
    tare_params_pop(ps);
    tare_tensor *b = tare_param(ps, "bias", TARE_SHAPE(3), TARE_NO_DECAY);
    tare_params_pop(ps);
    tare_params_pop(ps);              /* one too many does no harm */
    tare_params_push(ps, "layer2.1"); /* two levels at once go away at once */
    tare_params_pop(ps);
    tare_tensor *mean = tare_buffer(ps, "running_mean", TARE_SHAPE(5));
    assert_ok(tare_params_status(ps));
    assert_string_equal(w->name, "layer1.0.weight");
    assert_string_equal(b->name, "layer1.bias");
    assert_string_equal(mean->name, "running_mean");
    assert_ptr_equal(tare_params_find(ps, "layer1.0.weight"), w);
    assert_ptr_equal(tare_params_find(ps, "running_mean"), mean);
    assert_null(tare_params_find(ps, "weight"));
    assert_null(tare_params_find(ps, NULL));
    assert_int_equal(tare_params_count(ps), 2);
    assert_int_equal(tare_params_buffers(ps), 1);
    assert_ptr_equal(tare_params_at(ps, 1), b);
    assert_ptr_equal(tare_params_buffer_at(ps, 0), mean);
    assert_int_equal(tare_params_flags(ps, 0), 0);
    assert_int_equal(tare_params_flags(ps, 1), TARE_NO_DECAY);
    assert_int_equal(tare_params_numel(ps), 9);
    assert_true(w->is_param && w->requires_grad && !mean->is_param && !mean->requires_grad && !mean->grad);
}

static void errors_stick(void **state) {
    tare_params *ps = *state;
    assert_non_null(tare_param(ps, "w", TARE_SHAPE(2), 0));
    assert_null(tare_buffer(ps, "w", TARE_SHAPE(2)));
    assert_int_equal(tare_params_status(ps), TARE_EEXIST);
    assert_contains(tare_params_error(ps), "\"w\"");
    assert_null(tare_param(ps, "v", TARE_SHAPE(2), 0));
    assert_null(tare_params_fail(ps, TARE_EIO, "later"));
    assert_int_equal(tare_params_status(ps), TARE_EEXIST);
    assert_int_equal(tare_params_count(ps), 1);
    tare_params *other = tare_params_new(0);
    assert_null(tare_param(other, "v", TARE_SHAPE(2, 0), 0));
    assert_int_equal(tare_params_status(other), TARE_ESHAPE);
    assert_contains(tare_params_error(other), "[2,0]");
    tare_params_free(other);
    other = tare_params_new(0);
    assert_null(tare_param(other, "v", TARE_SHAPE((int64_t)1 << 40, (int64_t)1 << 40), 0));
    assert_contains(tare_params_error(other), "is no shape with a value, or has too many");
    tare_params_free(other);
    other = tare_params_new(0);
    tare_params_push(other, "net");
    assert_null(tare_param(other, NULL, TARE_SHAPE(2), 0));
    assert_contains(tare_params_error(other), "a parameter of \"net.\" has no name");
    tare_params_free(other);
    assert_null(tare_param(NULL, "v", TARE_SHAPE(2), 0));
    assert_int_equal(tare_params_status(NULL), TARE_ENOMEM);
    tare_params_free(NULL);
}

static void long_names_are_refused(void **state) {
    tare_params *ps = *state;
    char scope[200];
    memset(scope, 'a', sizeof scope - 1);
    scope[sizeof scope - 1] = 0;
    for (int i = 0; i < 4; i++) { tare_params_push(ps, scope); }
    assert_int_equal(tare_params_status(ps), TARE_EINVAL);
    assert_contains(tare_params_error(ps), "too long");
}

/* Added one by one, the block moves as it grows: each keeps its values, starts on a cache line, and padding is zero. */
static void blocks_grow_and_stay_aligned(void **state) {
    tare_params *ps = *state;
    enum { N = 100 };
    for (int i = 0; i < N; i++) {
        char name[16];
        snprintf(name, sizeof name, "p%d", i);
        tare_tensor *w = tare_param(ps, name, TARE_SHAPE(1 + i * 7 % 40), 0);
        tare_tensor *b = tare_buffer(ps, strcat(name, "b"), TARE_SHAPE(1 + i % 9));
        assert_true(w && b);
        for (int64_t k = 0; k < w->numel; k++) { w->data[k] = (tare_real)(i + 1), w->grad[k] = (tare_real) - (i + 1); }
        for (int64_t k = 0; k < b->numel; k++) { b->data[k] = (tare_real)(i + 1); }
    }
    int64_t numel = 0, nonzero = 0;
    for (int i = 0; i < N; i++) {
        const tare_tensor *w = tare_params_at(ps, i), *b = tare_params_buffer_at(ps, i);
        assert_int_equal((uintptr_t)w->data % 64, 0);
        assert_int_equal((uintptr_t)w->grad % 64, 0);
        assert_int_equal((uintptr_t)b->data % 64, 0);
        assert_ptr_equal(w->data, tare_params_flat(ps) + tare_params_offset(ps, i));
        assert_ptr_equal(w->grad, tare_params_flat_grad(ps) + tare_params_offset(ps, i));
        for (int64_t k = 0; k < w->numel; k++) { assert_true(w->data[k] == (tare_real)(i + 1)); }
        for (int64_t k = 0; k < w->numel; k++) { assert_true(w->grad[k] == (tare_real) - (i + 1)); }
        for (int64_t k = 0; k < b->numel; k++) { assert_true(b->data[k] == (tare_real)(i + 1)); }
        numel += w->numel;
    }
    assert_int_equal(tare_params_numel(ps), numel);
    for (int64_t k = 0; k < tare_params_flat_size(ps); k++) {
        nonzero += tare_params_flat(ps)[k] != 0;
        assert_true((tare_params_flat(ps)[k] != 0) == (tare_params_flat_grad(ps)[k] != 0));
    }
    assert_int_equal(nonzero, numel);
}

/* Large blocks move by pages: values and gradients come along whole, and what is new is zero. */
static void large_blocks_grow(void **state) {
    (void)state;
    enum { SIZE = 1100003, COUNT = 5 };
    tare_params *ps = tare_params_new(1);
    uint64_t live = tare_alloc_live();
    for (int i = 0; i < COUNT; i++) {
        char name[8];
        snprintf(name, sizeof name, "w%d", i);
        tare_tensor *w = tare_param(ps, name, TARE_SHAPE(SIZE), 0);
        assert_non_null(w);
        for (int64_t k = 0; k < SIZE; k++) { assert_true(w->data[k] == 0 && w->grad[k] == 0); }
        for (int64_t k = 0; k < SIZE; k++) { w->data[k] = (tare_real)(k % 977 + i), w->grad[k] = -w->data[k]; }
    }
    for (int i = 0; i < COUNT; i++) {
        const tare_tensor *w = tare_params_at(ps, i);
        for (int64_t k = 0; k < SIZE; k++) {
            assert_true(w->data[k] == (tare_real)(k % 977 + i) && w->grad[k] == -w->data[k]);
        }
    }
    assert_true(tare_alloc_live() < live + 6 * COUNT);
    tare_params_free(ps);
}

static void gradients_are_void_until_settled(void **state) {
    tare_params *ps = *state;
    tare_tensor *a = tare_param(ps, "a", TARE_SHAPE(3), 0), *b = tare_param(ps, "b", TARE_SHAPE(3), 0);
    assert_true(a->grad_fresh && b->grad_fresh);
    a->grad[1] = 5, a->grad_fresh = false;
    b->grad[1] = 5;
    tare_params_settle_grad(ps);
    assert_true(a->grad[1] == 5 && b->grad[1] == 0 && !b->grad_fresh);
    tare_params_zero_grad(ps);
    assert_true(a->grad_fresh && b->grad_fresh && a->grad[1] == 5);
    tare_params_settle_grad(ps);
    assert_true(a->grad[1] == 0);
}

static void frozen_parameters_want_no_gradient(void **state) {
    tare_params *ps = *state;
    tare_tensor *a = tare_param(ps, "a", TARE_SHAPE(3), 0);
    assert_false(tare_params_frozen(ps));
    tare_params_freeze(ps, true);
    tare_tensor *b = tare_param(ps, "b", TARE_SHAPE(3), 0);
    assert_true(tare_params_frozen(ps) && !a->requires_grad && !b->requires_grad);
    tare_params_freeze(ps, false);
    assert_true(!tare_params_frozen(ps) && a->requires_grad && b->requires_grad);
}

static void thawing_wakes_none_that_rested_before(void **state) {
    tare_params *ps = *state;
    tare_tensor *a = tare_param(ps, "a", TARE_SHAPE(3), TARE_NO_DECAY), *b = tare_param(ps, "b", TARE_SHAPE(3), 0);
    b->requires_grad = false;
    for (int i = 0; i < 4; i++) { /* said twice is said once */
        tare_params_freeze(ps, i < 2);
        assert_true(a->requires_grad == (i >= 2) && !b->requires_grad);
    }
    b->requires_grad = true;
    tare_params_freeze(ps, false);
    assert_true(a->requires_grad && b->requires_grad);
    assert_int_equal(TARE_NO_DECAY, tare_params_flags(ps, 0));
    assert_int_equal(0, tare_params_flags(ps, 1));
}

static void short_memory_sticks_and_leaks_nothing(void **state) {
    (void)state;
    uint64_t live = tare_alloc_live();
    bool finished = false;
    for (uint64_t n = 1; n < 200 && !finished; n++) {
        tare_alloc_fail_at(n);
        tare_params *ps = tare_params_new(1);
        for (int i = 0; i < 20; i++) {
            char name[16];
            snprintf(name, sizeof name, "p%d", i);
            (void)tare_param(ps, name, TARE_SHAPE(100), 0);
            (void)tare_buffer(ps, strcat(name, "b"), TARE_SHAPE(10));
        }
        (void)tare_params_own(ps, tare_malloc(10));
        tare_alloc_fail_at(0);
        finished = tare_params_status(ps) == TARE_OK;
        if (!finished) { assert_int_equal(tare_params_status(ps), TARE_ENOMEM); }
        tare_params_free(ps);
        assert_int_equal(tare_alloc_live(), live);
    }
    assert_true(finished);
}

/* ---- initialisation ---------------------------------------------------------------------------------------------- */

static void moments(const tare_tensor *w, double *mean, double *std, double *largest) {
    double sum = 0, square = 0;
    *largest = 0;
    for (int64_t i = 0; i < w->numel; i++) {
        sum += (double)w->data[i];
        square += (double)w->data[i] * (double)w->data[i];
        *largest = fmax(*largest, fabs((double)w->data[i]));
    }
    *mean = sum / (double)w->numel;
    *std = sqrt(square / (double)w->numel - *mean * *mean);
}

/* [40, 30, 3, 3]: fan_in 270, fan_out 360, 10800 values */
static void initialisers_have_their_spread(void **state) {
    tare_params *ps = *state;
    tare_tensor *w = tare_param(ps, "w", TARE_SHAPE(40, 30, 3, 3), 0), *bias = tare_param(ps, "b", TARE_SHAPE(4000), 0);
    double mean, std, largest, tol = 0.03;
    tare_init_constant(ps, w, 0.25);
    for (int64_t i = 0; i < w->numel; i++) { assert_true((double)w->data[i] == 0.25); }
    tare_init_uniform(ps, w, -3, 3);
    moments(w, &mean, &std, &largest);
    assert_near(mean, 0, 0.1);
    assert_near(std, sqrt(3), tol * sqrt(3));
    assert_true(largest <= 3 && largest > 2.99);
    tare_init_normal(ps, w, 1, 2);
    moments(w, &mean, &std, &largest);
    assert_near(mean, 1, 0.1);
    assert_near(std, 2, tol * 2);
    tare_init_trunc_normal(ps, w, 0, 1, -2, 2);
    moments(w, &mean, &std, &largest);
    assert_near(mean, 0, 0.05);
    assert_near(std, 0.8796, tol); /* of a normal cut at two sigma */
    assert_true(largest <= 2 && largest > 1.9);
    const double root2 = 1.4142135623730951;
    const struct {
        void (*init)(tare_params *, tare_tensor *, double);
        double std;
        bool uniform;
    } by_fan[] = {
        { tare_init_kaiming_uniform, root2 / 16.431676725154983, true }, /* sqrt(270) */
        { tare_init_kaiming_normal, root2 / 16.431676725154983, false },
        { tare_init_xavier_uniform, root2 * 0.0563436169819011, true }, /* sqrt(2 / 630) */
        { tare_init_xavier_normal, root2 * 0.0563436169819011, false },
    };
    for (int i = 0; i < 4; i++) {
        by_fan[i].init(ps, w, root2);
        moments(w, &mean, &std, &largest);
        assert_near(mean, 0, 0.03 * by_fan[i].std);
        assert_near(std, by_fan[i].std, tol * by_fan[i].std);
        if (by_fan[i].uniform) { assert_true(largest <= sqrt(3) * by_fan[i].std * 1.000001); }
        if (!by_fan[i].uniform) { assert_true(largest > 3 * by_fan[i].std); }
    }
    tare_init_default(ps, w, bias);
    moments(w, &mean, &std, &largest);
    assert_true(largest <= 1 / sqrt(270) && largest > 0.99 / sqrt(270));
    moments(bias, &mean, &std, &largest);
    assert_true(largest <= 1 / sqrt(270) && largest > 0.99 / sqrt(270));
    assert_near(std, 1 / sqrt(270) / sqrt(3), tol / sqrt(270));
    tare_init_default(ps, w, NULL);
    tare_init_normal(ps, NULL, 0, 1);
    assert_ok(tare_params_status(ps));
}

static void expect_orthogonal(tare_params *ps, const char *name, tare_shape shape, int64_t rows) {
    tare_tensor *w = tare_param(ps, name, shape, 0);
    tare_init_orthogonal(ps, w, 2);
    int64_t cols = w->numel / rows;
    bool by_row = rows <= cols;
    int64_t n = by_row ? rows : cols, length = by_row ? cols : rows;
    for (int64_t a = 0; a < n; a++) {
        for (int64_t b = 0; b <= a; b++) {
            double dot = 0;
            for (int64_t k = 0; k < length; k++) {
                dot += (double)w->data[by_row ? a * cols + k : k * cols + a] *
                       (double)w->data[by_row ? b * cols + k : k * cols + b];
            }
            assert_near(dot, a == b ? 4 : 0, test_tol(1e-5, 1e-12));
        }
    }
}

static void orthogonal_is_orthogonal(void **state) {
    tare_params *ps = *state;
    expect_orthogonal(ps, "square", TARE_SHAPE(20, 20), 20);
    expect_orthogonal(ps, "wide", TARE_SHAPE(5, 3, 3, 2), 5);
    expect_orthogonal(ps, "tall", TARE_SHAPE(30, 7), 30);
}

static void values_depend_on_seed_and_name_alone(void **state) {
    tare_params *ps = *state, *other = tare_params_new(7), *another = tare_params_new(8);
    tare_tensor *first = tare_param(ps, "head.weight", TARE_SHAPE(50), 0);
    (void)tare_param(other, "before", TARE_SHAPE(1000), 0);
    tare_init_normal(other, tare_params_at(other, 0), 0, 1);
    tare_params_push(other, "head");
    tare_tensor *second = tare_param(other, "weight", TARE_SHAPE(50), 0),
                *bias = tare_param(other, "bias", TARE_SHAPE(50), 0);
    tare_tensor *third = tare_param(another, "head.weight", TARE_SHAPE(50), 0);
    tare_init_normal(ps, first, 0, 1);
    tare_init_normal(other, second, 0, 1);
    tare_init_normal(other, bias, 0, 1);
    tare_init_normal(another, third, 0, 1);
    assert_memory_equal(first->data, second->data, 50 * sizeof *first->data);
    assert_memory_not_equal(first->data, bias->data, 50 * sizeof *first->data);
    assert_memory_not_equal(first->data, third->data, 50 * sizeof *first->data);
    tare_params_free(other);
    tare_params_free(another);
}

#define with_params(test) cmocka_unit_test_setup_teardown(test, params_setup, params_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        with_params(names_nest),
        with_params(errors_stick),
        with_params(long_names_are_refused),
        with_params(blocks_grow_and_stay_aligned),
        cmocka_unit_test(large_blocks_grow),
        with_params(gradients_are_void_until_settled),
        with_params(frozen_parameters_want_no_gradient),
        with_params(thawing_wakes_none_that_rested_before),
        with_params(short_memory_sticks_and_leaks_nothing),
        with_params(initialisers_have_their_spread),
        with_params(orthogonal_is_orthogonal),
        with_params(values_depend_on_seed_and_name_alone),
    };
    return cmocka_run_group_tests_name("params", tests, NULL, NULL);
}
