/* test_shape_ops.c - reshape, flatten, permute, transpose, concat, slice, pad against plain index arithmetic, for random and
 * large shapes; what they refuse.   tare-test: double isa */
#include "testing_support.h"

#include <tare/ops.h>

#include <math.h>
#include <stdio.h>

static tare_rng rng;

static int64_t below(int64_t n) { return (int64_t)tare_rng_below(&rng, (uint64_t)n); }

/* Distinct values, so that a misplaced one shows. */
static tare_tensor *ladder(tare_tape *t, tare_shape shape) {
    tare_tensor *x = tare_input(t, shape, NULL);
    assert_non_null(x);
    for (int64_t i = 0; i < x->numel; i++) { x->data[i] = (tare_real)(i + 1); }
    x->requires_grad = true;
    return x;
}

static tare_shape random_shape(int least_ndim) {
    tare_shape s = { .ndim = least_ndim + (int)below(7 - least_ndim) };
    for (int d = 0; d < s.ndim; d++) { s.dim[d] = below(30) == 0 ? 0 : 1 + below(4); }
    return s;
}

static void unfold(tare_shape shape, int64_t flat, int64_t index[TARE_MAX_DIMS]) {
    for (int d = shape.ndim - 1; d >= 0; d--) {
        index[d] = flat % shape.dim[d];
        flat /= shape.dim[d];
    }
}

static int64_t fold(tare_shape shape, const int64_t index[TARE_MAX_DIMS]) {
    int64_t flat = 0;
    for (int d = 0; d < shape.ndim; d++) { flat = flat * shape.dim[d] + index[d]; }
    return flat;
}

/* y's value i is x's value from[i] (or `value` where that is -1), and the gradient goes the same way back, times the number
 * of times a value was read. */
static void check_moves(tare_tape *t, tare_tensor *x, tare_tensor *y, const int64_t *from, double value) {
    if (!y) { fail_msg("%s", tare_tape_error(t)); }
    double *dx = calloc((size_t)x->numel + 1, sizeof *dx);
    tare_real *dy = malloc(((size_t)y->numel + 1) * sizeof *dy);
    for (int64_t i = 0; i < y->numel; i++) {
        double want = from[i] < 0 ? value : (double)(from[i] + 1);
        if ((double)y->data[i] != want) {
            fail_msg("y[%lld] is %g, expected %g", (long long)i, (double)y->data[i], want);
        }
        dy[i] = (tare_real)(1 + i % 1001);
        if (from[i] >= 0) { dx[from[i]] += (double)dy[i]; }
    }
    assert_ok(tare_backward_from(t, y, dy));
    for (int64_t i = 0; i < x->numel; i++) {
        if ((double)x->grad[i] != dx[i]) {
            fail_msg("dx[%lld] is %g, not %g", (long long)i, (double)x->grad[i], dx[i]);
        }
    }
    assert_ok(tare_tape_guard(t));
    free(dx), free(dy);
}

static tare_tape *tape(void) {
    tare_tape *t = tare_tape_new((tare_tape_opt){ .training = true, .guard = true });
    assert_non_null(t);
    return t;
}

/* ---- permute ----------------------------------------------------------------------------------------------------- */

static void check_permute(tare_shape shape, const int *order) {
    tare_tape *t = tape();
    tare_tensor *x = ladder(t, shape), *y = tare_permute(t, x, order);
    if (!y) { fail_msg("%s", tare_tape_error(t)); }
    int64_t *from = malloc(((size_t)y->numel + 1) * sizeof *from);
    for (int64_t i = 0; i < y->numel; i++) {
        int64_t at[TARE_MAX_DIMS], source[TARE_MAX_DIMS];
        unfold(y->shape, i, at);
        for (int d = 0; d < shape.ndim; d++) { source[order[d]] = at[d]; }
        from[i] = fold(shape, source);
    }
    check_moves(t, x, y, from, 0);
    free(from);
    tare_tape_free(t);
}

static void permutes(void **state) {
    (void)state;
    for (int round = 0; round < 400; round++) {
        tare_shape shape = random_shape(0);
        int order[TARE_MAX_DIMS] = { 0, 1, 2, 3, 4, 5 };
        for (int i = shape.ndim - 1; i > 0; i--) {
            int j = (int)below(i + 1), swap = order[i];
            order[i] = order[j], order[j] = swap;
        }
        check_permute(shape, order);
    }
    check_permute(TARE_SHAPE(701, 333), (const int[]){ 1, 0 });
    check_permute(TARE_SHAPE(100001, 3), (const int[]){ 1, 0 });
    check_permute(TARE_SHAPE(3, 100001), (const int[]){ 1, 0 });
    check_permute(TARE_SHAPE(8, 64, 4, 33), (const int[]){ 0, 2, 1, 3 });
    check_permute(TARE_SHAPE(8, 17, 28, 29), (const int[]){ 0, 2, 3, 1 });
    check_permute(TARE_SHAPE(2, 2, 100, 2, 100), (const int[]){ 3, 4, 0, 2, 1 });
}

static void transposes(void **state) {
    (void)state;
    tare_tape *t = tape();
    tare_tensor *x = ladder(t, TARE_SHAPE(2, 3, 4)), *y = tare_transpose(t, x, -1, 0);
    assert_true(y && tare_shape_equal(y->shape, TARE_SHAPE(4, 3, 2)));
    assert_true(y->data[1] == x->data[12] && y->data[6] == x->data[1]);
    assert_true(tare_shape_equal(tare_transpose(t, x, 1, 1)->shape, x->shape));
    tare_tape_free(t);
}

/* ---- slice, pad, concat ------------------------------------------------------------------------------------------ */

static void check_slice(tare_shape shape, int dim, int64_t begin, int64_t end, int64_t step) {
    tare_tape *t = tape();
    bool negative = below(2);
    int64_t size = shape.dim[dim];
    tare_tensor *x = ladder(t, shape);
    tare_tensor *y =
        tare_slice(t, x, negative ? dim - shape.ndim : dim, negative && begin < size ? begin - size : begin,
                   negative && end < size ? end - size : end, step);
    if (!y) { fail_msg("%s", tare_tape_error(t)); }
    assert_int_equal(y->shape.dim[dim], (end - begin + step - 1) / step);
    int64_t *from = malloc(((size_t)y->numel + 1) * sizeof *from);
    for (int64_t i = 0; i < y->numel; i++) {
        int64_t at[TARE_MAX_DIMS];
        unfold(y->shape, i, at);
        at[dim] = begin + at[dim] * step;
        from[i] = fold(shape, at);
    }
    check_moves(t, x, y, from, 0);
    free(from);
    tare_tape_free(t);
}

static void slices(void **state) {
    (void)state;
    for (int round = 0; round < 400; round++) {
        tare_shape shape = random_shape(1);
        int dim = (int)below(shape.ndim);
        int64_t begin = below(shape.dim[dim] + 1), end = begin + below(shape.dim[dim] - begin + 1);
        check_slice(shape, dim, begin, end, 1 + below(3));
    }
    check_slice(TARE_SHAPE(2, 5), 1, 1, 5, INT64_MAX / 8);
    check_slice(TARE_SHAPE(300, 401), 1, 7, 390, 1);
    check_slice(TARE_SHAPE(300, 401), 1, 7, 390, 3);
    check_slice(TARE_SHAPE(301, 400), 0, 100, 300, 2);
    check_slice(TARE_SHAPE(100000), 0, 3, 99990, 1);
}

static void check_pad(tare_shape shape, tare_pad_opt opt) {
    tare_tape *t = tape();
    tare_tensor *x = ladder(t, shape), *y = tare_pad(t, x, opt);
    if (!y) { fail_msg("%s", tare_tape_error(t)); }
    int64_t *from = malloc(((size_t)y->numel + 1) * sizeof *from);
    for (int64_t i = 0; i < y->numel; i++) {
        int64_t at[TARE_MAX_DIMS];
        bool inside = true;
        unfold(y->shape, i, at);
        for (int d = 0; d < shape.ndim; d++) {
            at[d] -= opt.before[d];
            inside = inside && at[d] >= 0 && at[d] < shape.dim[d];
        }
        from[i] = inside ? fold(shape, at) : -1;
    }
    check_moves(t, x, y, from, opt.value);
    free(from);
    tare_tape_free(t);
}

static void pads(void **state) {
    (void)state;
    for (int round = 0; round < 300; round++) {
        tare_shape shape = random_shape(0);
        tare_pad_opt opt = { .value = round % 2 ? -0.5 : 0 };
        for (int d = 0; d < shape.ndim; d++) { opt.before[d] = below(3), opt.after[d] = below(3); }
        check_pad(shape, opt);
    }
    check_pad(TARE_SHAPE(8, 3, 60, 61),
              (tare_pad_opt){ .before = { 0, 0, 2, 1 }, .after = { 0, 0, 1, 3 }, .value = 7 });
    check_pad(TARE_SHAPE(100000), (tare_pad_opt){ .before = { 5 }, .after = { 70000 } });
}

static void concats(void **state) {
    (void)state;
    for (int round = 0; round < 300; round++) {
        tare_tape *t = tape();
        tare_shape shape = random_shape(1);
        int dim = (int)below(shape.ndim), n = 1 + (int)below(4);
        tare_tensor *in[4];
        int64_t total = 0, start[5] = { 0 };
        for (int i = 0; i < n; i++) {
            shape.dim[dim] = round % 50 ? below(5) : 40000;
            in[i] = ladder(t, shape);
            start[i + 1] = total += shape.dim[dim];
        }
        tare_tensor *y = tare_concat(t, in, n, round % 2 ? dim : dim - shape.ndim);
        if (!y) { fail_msg("%s", tare_tape_error(t)); }
        assert_int_equal(y->shape.dim[dim], total);
        tare_real *dy = malloc(((size_t)y->numel + 1) * sizeof *dy);
        for (int64_t i = 0; i < y->numel; i++) { dy[i] = (tare_real)(1 + i % 1009); }
        tare_shape result = y->shape;
        for (int pass = 0; pass < 2; pass++) { /* values, then gradients */
            for (int64_t i = 0; i < tare_shape_numel(result); i++) {
                int64_t at[TARE_MAX_DIMS];
                int k = 0;
                unfold(result, i, at);
                while (at[dim] >= start[k + 1]) { k++; }
                at[dim] -= start[k];
                int64_t source = fold(in[k]->shape, at);
                if (pass == 0 ? y->data[i] != in[k]->data[source] : in[k]->grad[source] != dy[i]) {
                    fail_msg("%s %lld is not that of input %d", pass ? "gradient" : "value", (long long)i, k);
                }
            }
            if (pass == 0) { assert_ok(tare_backward_from(t, y, dy)); }
        }
        assert_ok(tare_tape_guard(t));
        free(dy);
        tare_tape_free(t);
    }
}

static void concat_of_one_tensor_twice(void **state) {
    (void)state;
    tare_tape *t = tape();
    tare_tensor *x = ladder(t, TARE_SHAPE(2, 2));
    tare_tensor *y = tare_concat(t, (tare_tensor *[]){ x, x }, 2, 1);
    assert_ok(tare_backward_from(t, y, (tare_real[]){ 1, 2, 3, 4, 5, 6, 7, 8 }));
    assert_memory_equal(x->grad, ((tare_real[]){ 4, 6, 12, 14 }), 4 * sizeof(tare_real));
    tare_tape_free(t);
}

/* ---- reshape ----------------------------------------------------------------------------------------------------- */

static void reshape_shares_memory(void **state) {
    (void)state;
    tare_tape *t = tape();
    tare_tensor *x = ladder(t, TARE_SHAPE(2, 3, 4));
    tare_tensor *y = tare_reshape(t, x, TARE_SHAPE(4, -1)), *z = tare_flatten(t, x, 1), *all = tare_flatten(t, x, -3);
    assert_true(y && y->data == x->data && tare_shape_equal(y->shape, TARE_SHAPE(4, 6)));
    assert_true(z && z->data == x->data && tare_shape_equal(z->shape, TARE_SHAPE(2, 12)));
    assert_true(all && tare_shape_equal(all->shape, TARE_SHAPE(24)));
    assert_true(tare_shape_equal(tare_flatten(t, x, -1)->shape, x->shape));
    tare_tensor *sum = tare_sum(t, tare_add(t, tare_flatten(t, y, 0), all), 0, false);
    assert_ok(tare_backward(t, sum));
    for (int i = 0; i < 24; i++) { assert_true(x->grad[i] == 2); }
    tare_tape_free(t);
}

static void reshape_of_nothing(void **state) {
    (void)state;
    tare_tape *t = tape();
    tare_tensor *x = ladder(t, TARE_SHAPE(0, 3));
    assert_true(tare_shape_equal(tare_reshape(t, x, TARE_SHAPE(5, 0))->shape, TARE_SHAPE(5, 0)));
    assert_true(tare_shape_equal(tare_reshape(t, x, TARE_SHAPE(-1, 3))->shape, TARE_SHAPE(0, 3)));
    assert_true(tare_shape_equal(tare_flatten(t, x, 0)->shape, TARE_SHAPE(0)));
    assert_ok(tare_tape_status(t));
    tare_tape_free(t);
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

static void refuses(tare_tape *t, tare_tensor *y, tare_status status, const char *words) {
    assert_null(y);
    assert_int_equal(tare_tape_status(t), status);
    assert_contains(tare_tape_error(t), words);
    tare_tape_reset(t);
}

static void errors(void **state) {
    (void)state;
    tare_tape *t = tape();
#define X ladder(t, TARE_SHAPE(2, 3))
    refuses(t, tare_reshape(t, X, TARE_SHAPE(4, 2)), TARE_ESHAPE, "x [2,3] has 6 values, which do not fill [4,2]");
    refuses(t, tare_reshape(t, X, TARE_SHAPE(-1, -1)), TARE_ESHAPE, "only one dimension may be -1");
    refuses(t, tare_reshape(t, X, TARE_SHAPE(4, -1)), TARE_ESHAPE, "[2,3]");
    refuses(t, tare_reshape(t, X, TARE_SHAPE(-2, -3)), TARE_ESHAPE, "[2,3]");
    refuses(t, tare_reshape(t, X, TARE_SHAPE(INT64_MAX, INT64_MAX, -1)), TARE_ESHAPE, "[2,3]");
    refuses(t, tare_reshape(t, X, (tare_shape){ .ndim = 7 }), TARE_ESHAPE, "7 dimensions");
    refuses(t, tare_reshape(t, X, (tare_shape){ .ndim = -1 }), TARE_ESHAPE, "-1 dimensions");
    refuses(t, tare_flatten(t, X, 2), TARE_ESHAPE, "flatten: x [2,3] has no dimension 2");
    refuses(t, tare_permute(t, X, (const int[]){ 0, 0 }), TARE_ESHAPE, "permute: order[1] is 0");
    refuses(t, tare_permute(t, X, (const int[]){ 1, 2 }), TARE_ESHAPE, "order[1] is 2");
    refuses(t, tare_transpose(t, X, 0, -3), TARE_ESHAPE, "transpose: x [2,3] has no dimension -3");
    refuses(t, tare_slice(t, X, 1, 1, 4, 1), TARE_ESHAPE, "slice: dimension 1, 1:4:1 does not lie in x [2,3]");
    refuses(t, tare_slice(t, X, 2, 0, 1, 1), TARE_ESHAPE, "dimension 2");
    refuses(t, tare_slice(t, X, 0, 2, 1, 1), TARE_ESHAPE, "2:1:1");
    refuses(t, tare_slice(t, X, 0, 0, 2, -1), TARE_ESHAPE, "0:2:-1");
    refuses(t, tare_slice(t, X, 0, INT64_MIN, 2, 1), TARE_ESHAPE, "[2,3]");
    refuses(t, tare_pad(t, X, (tare_pad_opt){ .before = { 0, -1 } }), TARE_EINVAL, "dimension 1: before -1");
    refuses(t, tare_pad(t, X, (tare_pad_opt){ .after = { 0, 0, 1 } }), TARE_ESHAPE, "x [2,3] has no dimension 2");
    refuses(t, tare_pad(t, X, (tare_pad_opt){ .after = { INT64_MAX } }), TARE_ESHAPE, "too large");
    tare_tensor *mixed[] = { X, ladder(t, TARE_SHAPE(2, 3, 1)), ladder(t, TARE_SHAPE(3, 3)) };
    refuses(t, tare_concat(t, mixed, 2, 0), TARE_ESHAPE,
            "concat: input 1 [2,3,1] and input 0 [2,3] may differ in dimension 0");
    mixed[0] = X, mixed[1] = ladder(t, TARE_SHAPE(3, 3));
    refuses(t, tare_concat(t, mixed, 2, 1), TARE_ESHAPE, "input 1 [3,3] and input 0 [2,3]");
    refuses(t, tare_concat(t, (tare_tensor *[]){ X }, 1, 5), TARE_ESHAPE, "input 0 [2,3] has no dimension 5");
#undef X
    tare_tape_free(t);
}

static int start(void **state) {
    (void)state;
    rng = tare_rng_new(11, "shapes");
    return 0;
}

int main(void) {
    if (test_isa_missing()) { return 77; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(permutes, start),
        cmocka_unit_test(transposes),
        cmocka_unit_test_setup(slices, start),
        cmocka_unit_test_setup(pads, start),
        cmocka_unit_test_setup(concats, start),
        cmocka_unit_test(concat_of_one_tensor_twice),
        cmocka_unit_test(reshape_shares_memory),
        cmocka_unit_test(reshape_of_nothing),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
