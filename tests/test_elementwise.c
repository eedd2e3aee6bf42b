/* test_elementwise.c - arithmetic under broadcasting, activations and sums against plain loops in double: random and large
 * shapes, the same tensor twice, any number of threads, NaN and Inf, errors.   tare-test: double isa */
#include "testing_support.h"

#include <tare/ops.h>

#include <math.h>
#include <stdio.h>

typedef tare_tensor *(*binary_fn)(tare_tape *, tare_tensor *, tare_tensor *);

static tare_rng rng;

static tare_tensor *input(tare_tape *t, tare_shape shape, double low, double high) {
    tare_tensor *x = tare_input(t, shape, NULL);
    assert_non_null(x);
    for (int64_t i = 0; i < x->numel; i++) { x->data[i] = (tare_real)(low + (high - low) * tare_rng_uniform(&rng)); }
    x->requires_grad = true;
    return x;
}

static tare_tape *tape(void) {
    tare_tape *t = tare_tape_new((tare_tape_opt){ .training = true, .guard = true, .seed = 1 });
    assert_non_null(t);
    return t;
}

static double *zeros(int64_t n) {
    double *x = calloc((size_t)n + 1, sizeof *x);
    assert_non_null(x);
    return x;
}

/* ---- broadcasting, the plain way --------------------------------------------------------------------------------- */

/* Where the value of `x` lies that index `flat` of `shape` meets. */
static int64_t seen_at(tare_shape shape, int64_t flat, tare_shape x) {
    int64_t at = 0, step = 1;
    for (int back = 1; back <= shape.ndim; back++) {
        int64_t index = flat % shape.dim[shape.ndim - back];
        flat /= shape.dim[shape.ndim - back];
        if (back > x.ndim) { continue; }
        int64_t size = x.dim[x.ndim - back];
        at += size == 1 ? 0 : index * step;
        step *= size;
    }
    return at;
}

static void plain(char op, double a, double b, double dy, double result[3]) {
    result[0] = op == '+' ? a + b : op == '-' ? a - b : op == '*' ? a * b : a / b;
    result[1] = op == '*' ? dy * b : op == '/' ? dy / b : dy;
    result[2] = op == '+' ? dy : op == '-' ? -dy : op == '*' ? dy * a : -dy * a / (b * b);
}

/* Sums may differ by rounding: tolerance relative to the sum of |terms|. */
static void compare(const tare_real *got, const double *want, const double *size, int64_t n, const char *what) {
    for (int64_t i = 0; i < n; i++) {
        double error = fabs((double)got[i] - want[i]);
        if (!(error <= test_tol(2e-6, 1e-13) * (size[i] + 1e-3))) {
            fail_msg("%s[%lld] is %.9g, expected %.9g", what, (long long)i, (double)got[i], want[i]);
        }
    }
}

static void check_binary(char op, tare_shape sa, tare_shape sb) {
    const binary_fn fn = op == '+' ? tare_add : op == '-' ? tare_sub : op == '*' ? tare_mul : tare_div;
    tare_tape *t = tape();
    tare_tensor *a = input(t, sa, -1, 1), *b = input(t, sb, 0.5, 2);
    tare_tensor *y = fn(t, a, b);
    if (!y) { fail_msg("%s", tare_tape_error(t)); }
    tare_real *dy = malloc(((size_t)y->numel + 1) * sizeof *dy);
    double *da = zeros(a->numel), *db = zeros(b->numel), *size_a = zeros(a->numel), *size_b = zeros(b->numel);
    for (int64_t i = 0; i < y->numel; i++) {
        int64_t ia = seen_at(y->shape, i, sa), ib = seen_at(y->shape, i, sb);
        dy[i] = (tare_real)(2 * tare_rng_uniform(&rng) - 1);
        double want[3];
        plain(op, (double)a->data[ia], (double)b->data[ib], (double)dy[i], want);
        assert_near(y->data[i], want[0], test_tol(2e-7, 1e-15) * (1 + fabs(want[0])));
        da[ia] += want[1], size_a[ia] += fabs(want[1]);
        db[ib] += want[2], size_b[ib] += fabs(want[2]);
    }
    assert_ok(tare_backward_from(t, y, dy));
    compare(a->grad, da, size_a, a->numel, "da");
    compare(b->grad, db, size_b, b->numel, "db");
    assert_ok(tare_tape_guard(t));
    free(dy), free(da), free(db), free(size_a), free(size_b);
    tare_tape_free(t);
}

static void check_all(tare_shape a, tare_shape b) {
    for (const char *op = "+-*/"; *op; op++) { check_binary(*op, a, b); }
}

/* Two shapes that broadcast: sizes 1 to 4, now and then 0, each side shortened or set to 1 at random. */
static void random_pair(tare_shape *a, tare_shape *b) {
    tare_shape both = { .ndim = (int)tare_rng_below(&rng, 7) };
    for (int d = 0; d < both.ndim; d++) {
        both.dim[d] = tare_rng_below(&rng, 40) == 0 ? 0 : 1 + (int64_t)tare_rng_below(&rng, 4);
    }
    tare_shape *side[2] = { a, b };
    for (int i = 0; i < 2; i++) {
        int drop = tare_rng_below(&rng, 3) ? 0 : (int)tare_rng_below(&rng, (uint64_t)both.ndim + 1);
        *side[i] = (tare_shape){ .ndim = both.ndim - drop };
        for (int d = drop; d < both.ndim; d++) { side[i]->dim[d - drop] = tare_rng_below(&rng, 3) ? both.dim[d] : 1; }
    }
}

static void random_shapes(void **state) {
    (void)state;
    for (int i = 0; i < 300; i++) {
        tare_shape a, b;
        random_pair(&a, &b);
        check_all(a, b);
    }
}

/* Large enough for many chunks, lane blocks and parts, and uneven. */
static void large_shapes(void **state) {
    (void)state;
    check_all(TARE_SHAPE(300, 701), TARE_SHAPE(701));
    check_all(TARE_SHAPE(701, 300), TARE_SHAPE(701, 1));
    check_all(TARE_SHAPE(16, 32, 13, 29), TARE_SHAPE(32, 1, 1));
    check_all(TARE_SHAPE(16, 3, 64, 67), TARE_SHAPE(1, 3, 1, 1));
    check_all(TARE_SHAPE(200003), TARE_SCALAR);
    check_all(TARE_SCALAR, TARE_SHAPE(3, 50001));
    check_all(TARE_SHAPE(70001, 3), TARE_SHAPE(3));
    check_all(TARE_SHAPE(70001, 3), TARE_SHAPE(70001, 1));
    check_all(TARE_SHAPE(131, 2, 257), TARE_SHAPE(131, 1, 257));
    check_all(TARE_SHAPE(400, 1), TARE_SHAPE(1, 301));
    /* cut differently by what it is multiplied with, so that one sum needs scratch and another does not */
    check_all(TARE_SHAPE(32, 4), TARE_SHAPE(4096, 32, 1));
    check_all(TARE_SHAPE(2051, 32, 1), TARE_SHAPE(1, 32, 4));
    check_all(TARE_SHAPE(100000), TARE_SHAPE(100000));
    check_all(TARE_SHAPE(2, 0, 3), TARE_SHAPE(1, 3));
    check_all(TARE_SHAPE(0), TARE_SHAPE(1));
}

static void same_tensor_twice(void **state) {
    (void)state;
    const binary_fn fns[] = { tare_add, tare_sub, tare_mul, tare_div };
    for (int f = 0; f < 4; f++) {
        tare_tape *t = tape();
        tare_tensor *x = input(t, TARE_SHAPE(1000), 0.5, 2);
        assert_ok(tare_backward(t, tare_sum(t, fns[f](t, x, x), 0, false)));
        for (int i = 0; i < 1000; i++) {
            double want[] = { 2, 0, 2 * (double)x->data[i], 0 };
            assert_near(x->grad[i], want[f], test_tol(1e-6, 1e-15));
        }
        tare_tape_free(t);
    }
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

static void sums_stay_exact(void **state) {
    (void)state;
    enum { N = 10000000 };
    tare_tape *t = tare_tape_new((tare_tape_opt){ .no_grad = true });
    tare_tensor *x = tare_input(t, TARE_SHAPE(N), NULL);
    assert_non_null(x);
    for (int kind = 0; kind < 3; kind++) {
        double exact = 0, size = 0;
        for (int i = 0; i < N; i++) {
            double value = kind == 0   ? 0.1
                           : kind == 1 ? (double)((i * 7919LL) % 10007) / 10007
                                       : 1000 + 1.0 / (1 + i % 97);
            x->data[i] = (tare_real)value;
            exact += (double)x->data[i];
            size += fabs((double)x->data[i]);
        }
        tare_tensor *sum = tare_sum(t, x, 0, false), *mean = tare_mean(t, x, 0, false);
        tare_tensor *columns = tare_sum(t, tare_reshape(t, x, TARE_SHAPE(N / 10, 10)), TARE_DIM(0), false);
        tare_tensor *rows = tare_sum(t, tare_reshape(t, x, TARE_SHAPE(10, N / 10)), TARE_DIM(1), false);
        assert_near(tare_item(sum), exact, test_tol(1e-6, 1e-9) * size);
        assert_near(tare_item(mean), exact / N, test_tol(1e-6, 1e-9) * size / N);
        double of_columns = 0, of_rows = 0;
        for (int i = 0; i < 10; i++) { of_columns += (double)columns->data[i], of_rows += (double)rows->data[i]; }
        assert_near(of_columns, exact, test_tol(1e-6, 1e-9) * size);
        assert_near(of_rows, exact, test_tol(1e-6, 1e-9) * size);
    }
    tare_tape_free(t);
}

static void sums_of_random_dims(void **state) {
    (void)state;
    for (int round = 0; round < 300; round++) {
        tare_tape *t = tape();
        tare_shape shape, unused;
        random_pair(&shape, &unused);
        tare_tensor *x = input(t, shape, -1, 1);
        unsigned dims = (unsigned)tare_rng_below(&rng, 1u << shape.ndim);
        bool mean = tare_rng_below(&rng, 2), keepdim = tare_rng_below(&rng, 2);
        tare_shape kept = shape, squeezed = TARE_SCALAR;
        double count = 1;
        for (int d = 0; d < shape.ndim; d++) {
            if (!dims || (dims & TARE_DIM(d))) {
                kept.dim[d] = 1;
                count *= (double)shape.dim[d];
            } else {
                squeezed.dim[squeezed.ndim++] = shape.dim[d];
            }
        }
        tare_tensor *y = (mean ? tare_mean : tare_sum)(t, x, dims, keepdim);
        if (!y) { fail_msg("%s", tare_tape_error(t)); }
        assert_true(tare_shape_equal(y->shape, keepdim ? kept : squeezed));
        double *want = zeros(y->numel);
        for (int64_t i = 0; i < x->numel; i++) { want[seen_at(shape, i, kept)] += (double)x->data[i]; }
        for (int64_t i = 0; i < y->numel; i++) { want[i] /= mean ? count : 1; }
        assert_true(y->numel == 0 || test_distance(y->data, want, y->numel) < test_tol(1e-5, 1e-12));
        assert_ok(tare_backward_from(t, y, y->data)); /* dx is y again, spread out */
        for (int64_t i = 0; i < x->numel; i++) {
            assert_near(x->grad[i], want[seen_at(shape, i, kept)] / (mean ? count : 1), test_tol(1e-5, 1e-12));
        }
        free(want);
        tare_tape_free(t);
    }
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

static tare_tensor *chain(tare_tape *t, tare_tensor *x, tare_tensor *gain, tare_tensor *bias) {
    tare_tensor *y = tare_gelu(t, tare_add(t, tare_mul(t, x, gain), bias));
    return tare_mean(t, tare_div(t, tare_silu(t, y), tare_softplus(t, tare_sum(t, x, TARE_DIM(0), true), 1)), 0, false);
}

static void same_bits_on_any_threads(void **state) {
    (void)state;
    enum { ROWS = 700, COLS = 333 };
    tare_real *first = malloc((ROWS * COLS + COLS + 2) * sizeof *first);
    int before = tare_threads();
    for (int threads = 1; threads <= 4; threads++) {
        tare_threads_set(threads);
        rng = tare_rng_new(3, "threads");
        tare_tape *t = tape();
        tare_tensor *x = input(t, TARE_SHAPE(ROWS, COLS), -1, 1), *gain = input(t, TARE_SCALAR, 1, 2);
        tare_tensor *bias = input(t, TARE_SHAPE(COLS), -1, 1), *y = chain(t, x, gain, bias);
        tare_real value = y ? y->data[0] : 0;
        assert_ok(tare_backward(t, y));
        tare_real *now = threads == 1 ? first : malloc((ROWS * COLS + COLS + 2) * sizeof *now);
        memcpy(now, x->grad, ROWS * COLS * sizeof *now);
        memcpy(now + ROWS * COLS, bias->grad, COLS * sizeof *now);
        now[ROWS * COLS + COLS] = gain->grad[0];
        now[ROWS * COLS + COLS + 1] = value;
        assert_memory_equal(now, first, (ROWS * COLS + COLS + 2) * sizeof *now);
        if (now != first) { free(now); }
        tare_tape_free(t);
    }
    tare_threads_set(before);
    free(first);
}

/* ---- activations ------------------------------------------------------------------------------------------------- */

static tare_tensor *leaky(tare_tape *t, tare_tensor *x) { return tare_leaky_relu(t, x, 0.01); }
static tare_tensor *elu(tare_tape *t, tare_tensor *x) { return tare_elu(t, x, 1); }
static tare_tensor *softplus(tare_tape *t, tare_tensor *x) { return tare_softplus(t, x, 1); }

static double phi(double x) { return 0.5 * erfc(-x * sqrt(0.5)); }
static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double pi(void) { return acos(-1.0); }
static double u(double x) { return sqrt(2 / pi()) * (x + 0.044715 * x * x * x); }

static double f_relu(double x) { return x > 0 ? x : 0; }
static double d_relu(double x) { return x > 0; }
static double f_leaky(double x) { return x > 0 ? x : 0.01 * x; }
static double d_leaky(double x) { return x > 0 ? 1 : 0.01; }
static double f_elu(double x) { return x > 0 ? x : expm1(x); }
static double d_elu(double x) { return x > 0 ? 1 : exp(x); }
static double d_sigmoid(double x) { return sigmoid(x) * sigmoid(-x); }
static double d_tanh(double x) { return 1 / (cosh(x) * cosh(x)); }
static double f_gelu(double x) { return x * phi(x); }
static double d_gelu(double x) { return phi(x) + x * exp(-0.5 * x * x) / sqrt(2 * pi()); }
static double f_gelu_tanh(double x) { return x * sigmoid(2 * u(x)); }
static double d_gelu_tanh(double x) {
    double s = sigmoid(2 * u(x)), slope = 2 * sqrt(2 / pi()) * (1 + 3 * 0.044715 * x * x);
    return s + x * s * sigmoid(-2 * u(x)) * slope;
}
static double f_silu(double x) { return x * sigmoid(x); }
static double d_silu(double x) { return sigmoid(x) * (1 + x * sigmoid(-x)); }
static double f_softplus(double x) { return x > 20 ? x : log1p(exp(x)); }
static double d_softplus(double x) { return x > 20 ? 1 : sigmoid(x); }

static const struct {
    const char *name;
    tare_tensor *(*op)(tare_tape *, tare_tensor *);
    double (*value)(double), (*slope)(double);
    double at_minus_inf; /* NaN: -Inf times 0, as PyTorch */
} activations[] = {
    { "relu", tare_relu, f_relu, d_relu, 0 },
    { "leaky_relu", leaky, f_leaky, d_leaky, -INFINITY },
    { "elu", elu, f_elu, d_elu, -1 },
    { "sigmoid", tare_sigmoid, sigmoid, d_sigmoid, 0 },
    { "tanh", tare_tanh, tanh, d_tanh, -1 },
    { "gelu", tare_gelu, f_gelu, d_gelu, 0 },
    { "gelu_tanh", tare_gelu_tanh, f_gelu_tanh, d_gelu_tanh, NAN },
    { "silu", tare_silu, f_silu, d_silu, NAN },
    { "softplus", softplus, f_softplus, d_softplus, 0 },
};

static void activations_are_accurate(void **state) {
    (void)state;
    enum { N = 20011 };
    for (size_t a = 0; a < sizeof activations / sizeof activations[0]; a++) {
        tare_tape *t = tape();
        tare_tensor *x = input(t, TARE_SHAPE(N), 0, 1);
        for (int i = 0; i < N; i++) { x->data[i] = (tare_real)(-25 + 50.0 * i / (N - 1) + 1e-4); }
        tare_tensor *y = activations[a].op(t, x);
        assert_non_null(y);
        static tare_real one[N];
        for (int i = 0; i < N; i++) {
            double want = activations[a].value((double)x->data[i]);
            assert_near(y->data[i], want, test_tol(1e-6, 1e-14) * (1 + fabs(want)));
            one[i] = 1;
        }
        assert_ok(tare_backward_from(t, y, one));
        for (int i = 0; i < N; i++) {
            assert_near(x->grad[i], activations[a].slope((double)x->data[i]), test_tol(1e-6, 1e-12));
        }
        tare_tape_free(t);
    }
}

/* NaN goes through, in any lane; Inf becomes what PyTorch makes of it. */
static void activations_of_nan_and_inf(void **state) {
    (void)state;
    for (size_t a = 0; a < sizeof activations / sizeof activations[0]; a++) {
        tare_tape *t = tape();
        tare_real values[37], dy[37];
        for (int i = 0; i < 37; i++) {
            values[i] = (tare_real)(i % 3 == 0 ? NAN : 0.5);
            dy[i] = 1;
        }
        values[35] = (tare_real)INFINITY, values[34] = (tare_real)-INFINITY;
        tare_tensor *x = tare_input(t, TARE_SHAPE(37), values);
        x->requires_grad = true;
        tare_tensor *y = activations[a].op(t, x);
        for (int i = 0; i < 34; i++) { assert_int_equal(isnan(y->data[i]) != 0, i % 3 == 0); }
        bool bounded = a == 3 || a == 4;
        assert_true(bounded ? y->data[35] == 1 : isinf(y->data[35]) && y->data[35] > 0);
        double minus = activations[a].at_minus_inf;
        double got = (double)y->data[34];
        assert_true(isnan(minus) ? isnan(got) : got == minus || fabs(got - minus) < 1e-36);
        assert_ok(tare_backward_from(t, y, dy));
        for (int i = 0; i < 34; i++) { assert_true(i % 3 == 0 || isfinite(x->grad[i])); }
        tare_tape_free(t);
    }
}

static void relu_at_zero_has_no_gradient(void **state) {
    (void)state;
    tare_tape *t = tape();
    tare_tensor *x = tare_input(t, TARE_SHAPE(3), (tare_real[]){ 0, (tare_real)-0.0, (tare_real)NAN });
    x->requires_grad = true;
    assert_ok(tare_backward_from(t, tare_relu(t, x), (tare_real[]){ 1, 1, 5 }));
    assert_true(x->grad[0] == 0 && x->grad[1] == 0 && x->grad[2] == 5);
    tare_tape_free(t);
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

static void refuses(tare_tape *t, tare_tensor *y, tare_status status, const char *words) {
    assert_null(y);
    assert_int_equal(tare_tape_status(t), status);
    assert_contains(tare_tape_error(t), words);
    tare_tape_reset(t);
}

static void errors_name_op_and_shapes(void **state) {
    (void)state;
    tare_tape *t = tape();
#define X input(t, TARE_SHAPE(2, 3), 0, 1)
    refuses(t, tare_add(t, X, input(t, TARE_SHAPE(2), 0, 1)), TARE_ESHAPE,
            "add: shapes [2,3] and [2] do not broadcast");
    refuses(t, tare_div(t, X, input(t, TARE_SHAPE(4, 1, 2, 3, 4), 0, 1)), TARE_ESHAPE,
            "div: shapes [2,3] and [4,1,2,3,4]");
    refuses(t, tare_leaky_relu(t, X, (double)NAN), TARE_EINVAL, "leaky_relu: slope is nan");
    refuses(t, tare_elu(t, X, (double)INFINITY), TARE_EINVAL, "elu: alpha is inf");
    refuses(t, tare_softplus(t, X, 0), TARE_EINVAL, "softplus: beta is 0");
    refuses(t, tare_scale(t, X, (double)NAN), TARE_EINVAL, "scale: factor is nan");
    refuses(t, tare_sum(t, X, TARE_DIM(2), false), TARE_ESHAPE, "[2,3]");
    refuses(t, tare_mean(t, input(t, TARE_SCALAR, 0, 1), TARE_DIM(0), true), TARE_ESHAPE, "mean");
#undef X
    tare_tape_free(t);
}

static int start(void **state) {
    (void)state;
    rng = tare_rng_new(7, "elementwise");
    return 0;
}

int main(void) {
    if (test_isa_missing()) { return 77; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(random_shapes, start),
        cmocka_unit_test_setup(large_shapes, start),
        cmocka_unit_test_setup(same_tensor_twice, start),
        cmocka_unit_test(sums_stay_exact),
        cmocka_unit_test_setup(sums_of_random_dims, start),
        cmocka_unit_test(same_bits_on_any_threads),
        cmocka_unit_test_setup(activations_are_accurate, start),
        cmocka_unit_test(activations_of_nan_and_inf),
        cmocka_unit_test(relu_at_zero_has_no_gradient),
        cmocka_unit_test_setup(errors_name_op_and_shapes, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
