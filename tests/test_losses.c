/* test_losses.c - softmax and the losses against plain loops in double, over many sizes and layouts; values by hand and
 * extremes; errors; any number of threads.   tare-test: double isa */
#include "testing_support.h"

#include <tare/ops.h>

#include <math.h>
#include <stdio.h>

static tare_rng rng;

static tare_tape *tape_new(void) {
    tare_tape *t = tare_tape_new((tare_tape_opt){ .training = true, .guard = true, .seed = 1 });
    assert_non_null(t);
    return t;
}

static tare_tensor *input(tare_tape *t, tare_shape shape, const tare_real *values) {
    tare_tensor *x = tare_input(t, shape, values);
    assert_non_null(x);
    x->requires_grad = true;
    return x;
}

static void same(const tare_real *got, const double *want, int64_t n, double tol, const char *what) {
    for (int64_t i = 0; i < n; i++) {
        double error = fabs((double)got[i] - want[i]);
        bool equal =
            isnan(want[i]) ? isnan((double)got[i]) : (double)got[i] == want[i] || error <= tol * (1 + fabs(want[i]));
        if (equal) { continue; }
        print_error("%s: [%lld] is %.9g, expected %.9g\n", what, (long long)i, (double)got[i], want[i]);
        fail();
    }
}

#define TOL test_tol(2e-6, 1e-13)

/* ---- softmax ----------------------------------------------------------------------------------------------------- */

/* Row i of [outer, k, inner]: where value j of it lies. */
static int64_t place(int64_t i, int64_t j, int64_t k, int64_t inner) { return (i / inner * k + j) * inner + i % inner; }

/* log-softmax of one row into out. */
static void log_softmax_plain(const tare_real *x, int64_t i, int64_t k, int64_t inner, double *out) {
    double max = -INFINITY, sum = 0;
    for (int64_t j = 0; j < k; j++) { max = fmax(max, (double)x[place(i, j, k, inner)]); }
    for (int64_t j = 0; j < k; j++) { sum += exp((double)x[place(i, j, k, inner)] - max); }
    for (int64_t j = 0; j < k; j++) {
        int64_t at = place(i, j, k, inner);
        out[at] = (double)x[at] - max - log(sum);
    }
}

static void softmax_gradient_plain(const double *log_p, const tare_real *dy, int64_t i, int64_t k, int64_t inner,
                                   bool log, double times, double *dx) {
    double sum = 0;
    for (int64_t j = 0; j < k; j++) {
        int64_t at = place(i, j, k, inner);
        sum += (double)dy[at] * (log ? 1 : exp(log_p[at]));
    }
    for (int64_t j = 0; j < k; j++) {
        int64_t at = place(i, j, k, inner);
        double p = exp(log_p[at]), g = (double)dy[at];
        dx[at] = times * (log ? g - p * sum : p * (g - sum));
    }
}

static void check_softmax(int64_t outer, int64_t k, int64_t inner, bool log, bool twice) {
    int64_t n = outer * k * inner;
    tare_real *x = calloc((size_t)n, sizeof *x), *dy = calloc((size_t)n, sizeof *dy);
    double *y = calloc((size_t)n, sizeof *y), *dx = calloc((size_t)n, sizeof *dx);
    for (int64_t i = 0; i < n; i++) {
        x[i] = (tare_real)(4 * tare_rng_normal(&rng));
        dy[i] = (tare_real)tare_rng_normal(&rng);
    }
    for (int64_t i = 0; i < outer * inner; i++) {
        log_softmax_plain(x, i, k, inner, y);
        softmax_gradient_plain(y, dy, i, k, inner, log, twice ? 2 : 1, dx);
    }
    for (int64_t i = 0; i < n && !log; i++) { y[i] = exp(y[i]); }
    char what[96];
    snprintf(what, sizeof what, "%ssoftmax [%d,%d,%d]", log ? "log_" : "", (int)outer, (int)k, (int)inner);

    tare_tape *t = tape_new();
    tare_tensor *a = input(t, TARE_SHAPE(outer, k, inner), x);
    tare_tensor *b = (log ? tare_log_softmax : tare_softmax)(t, a, 1);
    assert_string_equal(tare_tape_error(t), "");
    same(b->data, y, n, TOL, what);
    if (twice) { b = tare_add(t, b, (log ? tare_log_softmax : tare_softmax)(t, a, -2)); }
    assert_ok(tare_backward_from(t, b, dy));
    assert_ok(tare_tape_guard(t));
    same(a->grad, dx, n, 4 * TOL, what);
    tare_tape_free(t);
    free(x), free(dy), free(y), free(dx);
}

static void test_softmax_sizes(void **state) {
    (void)state;
    static const int64_t inner[] = { 1, 2, 15, 16, 17, 40 };
    for (int64_t k = 1; k < 70; k++) {
        for (int variant = 0; variant < 4; variant++) {
            size_t i = (size_t)tare_rng_below(&rng, sizeof inner / sizeof *inner);
            check_softmax(1 + (int64_t)tare_rng_below(&rng, 35), k, 1, variant & 1, variant & 2);
            check_softmax(1 + (int64_t)tare_rng_below(&rng, 3), k, inner[i], variant & 1, variant & 2);
        }
    }
    check_softmax(2, 1000, 1, false, false);
    check_softmax(2, 1003, 1, true, false);
}

static void test_softmax_by_hand(void **state) {
    (void)state;
    const tare_real inf = (tare_real)INFINITY, nan_ = (tare_real)NAN;
    /* large; large differences; -Inf is probability 0; all -Inf, Inf or a NaN: nothing sensible, so NaN */
    const tare_real x[] = {
        1e4, 1e4, 1e4, 1e4, -1e4, 0, -inf, 0, 0, -inf, -inf, -inf, inf, 0, 0, nan_, 1, 2, 1, nan_, 2
    };
    const double third = 1.0 / 3, nan2 = (double)NAN;
    const double y[] = { third, third, third, 1,    0,    0,    0,    0.5,  0.5,  nan2, nan2,
                         nan2,  nan2,  nan2,  nan2, nan2, nan2, nan2, nan2, nan2, nan2 };
    tare_tape *t = tape_new();
    same(tare_softmax(t, input(t, TARE_SHAPE(7, 3), x), -1)->data, y, 21, TOL, "softmax");
    const double l3 = -log(3), l2 = -log(2), inf2 = INFINITY;
    const double z[] = { l3, l3, l3, 0, -2e4, -1e4, -inf2, l2, l2, nan2, nan2, nan2 };
    same(tare_log_softmax(t, input(t, TARE_SHAPE(7, 3), x), -1)->data, z, 12, TOL, "log_softmax");
    /* side by side: the columns with NaN do not touch their neighbours */
    tare_tensor *c = tare_softmax(t, input(t, TARE_SHAPE(3, 7), x), 0);
    for (int64_t i = 0; i < 7; i++) {
        bool bad = i == 5 || i == 6 || i == 1;
        double sum = (double)c->data[i] + (double)c->data[7 + i] + (double)c->data[14 + i];
        tare_real a = x[i], b = x[7 + i], d = x[14 + i];
        bad = isnan(a) || isnan(b) || isnan(d) || isinf(fmax(fmax((double)a, (double)b), (double)d));
        assert_int_equal(isnan(sum), bad);
        if (!bad) { assert_near(sum, 1, 1e-6); }
    }
    /* long rows, where a NaN or Inf may sit anywhere */
    for (int64_t at = 0; at < 37; at++) {
        tare_real row[37] = { 0 };
        row[at] = at % 2 ? nan_ : inf;
        tare_tensor *y2 = tare_softmax(t, input(t, TARE_SHAPE(1, 37), row), 1);
        for (int64_t j = 0; j < 37; j++) { assert_true(isnan(y2->data[j])); }
        row[at] = -inf;
        assert_true(tare_softmax(t, input(t, TARE_SHAPE(1, 37), row), 1)->data[at] == 0);
    }
    tare_tape_free(t);
}

static void test_softmax_errors(void **state) {
    (void)state;
    tare_tape *t = tape_new();
    assert_null(tare_softmax(t, tare_input(t, TARE_SHAPE(2, 3), NULL), 2));
    assert_status(TARE_ESHAPE, tare_tape_status(t));
    assert_contains(tare_tape_error(t), "softmax: x [2,3] has no dimension 2");
    tare_tape_reset(t);
    assert_null(tare_log_softmax(t, tare_input(t, TARE_SHAPE(2, 3), NULL), -3));
    assert_contains(tare_tape_error(t), "log_softmax: x [2,3] has no dimension -3");
    tare_tape_free(t);
}

/* ---- cross-entropy ----------------------------------------------------------------------------------------------- */

static double cross_entropy_plain(const tare_real *x, const int32_t *target, int64_t rows, int64_t k, int64_t inner,
                                  tare_cross_entropy_opt o, double *dx) {
    int32_t ignore = o.has_ignore_index ? o.ignore_index : -100;
    double s = o.label_smoothing, loss = 0, count = 0;
    double *log_p = calloc((size_t)(rows * k), sizeof *log_p);
    for (int64_t i = 0; i < rows; i++) { count += target[i] != ignore; }
    double share = o.reduction == TARE_SUM ? 1 : 1 / count;
    for (int64_t i = 0; i < rows; i++) {
        if (target[i] == ignore) { continue; }
        log_softmax_plain(x, i, k, inner, log_p);
        for (int64_t j = 0; j < k; j++) {
            int64_t at = place(i, j, k, inner);
            double weight = (1 - s) * (j == target[i]) + s / (double)k;
            loss -= weight * log_p[at];
            dx[at] = share * (exp(log_p[at]) - weight);
        }
    }
    free(log_p);
    return loss * share;
}

static void check_cross_entropy(int64_t outer, int64_t k, int64_t inner, tare_cross_entropy_opt o, bool twice) {
    int64_t rows = outer * inner, n = rows * k;
    tare_real *x = calloc((size_t)n, sizeof *x);
    double *dx = calloc((size_t)n, sizeof *dx);
    int32_t *target = calloc((size_t)rows, sizeof *target);
    for (int64_t i = 0; i < n; i++) { x[i] = (tare_real)(3 * tare_rng_normal(&rng)); }
    for (int64_t i = 0; i < rows; i++) {
        target[i] = (int32_t)tare_rng_below(&rng, (uint64_t)k);
        if (i > 0 && tare_rng_below(&rng, 5) == 0) { target[i] = o.has_ignore_index ? o.ignore_index : -100; }
    }
    if (o.has_ignore_index && target[0] == o.ignore_index) { target[0] = (int32_t)((o.ignore_index + 1) % k); }
    double want = cross_entropy_plain(x, target, rows, k, inner, o, dx);
    for (int64_t i = 0; i < n; i++) { dx[i] *= twice ? 6 : 3; }
    char what[96];
    snprintf(what, sizeof what, "cross_entropy [%d,%d,%d]", (int)outer, (int)k, (int)inner);

    tare_tape *t = tape_new();
    tare_tensor *a = input(t, inner == 1 ? TARE_SHAPE(outer, k) : TARE_SHAPE(outer, k, inner), x);
    tare_tensor *b = tare_cross_entropy(t, a, target, o);
    assert_string_equal(tare_tape_error(t), "");
    assert_int_equal(b->shape.ndim, 0);
    assert_near(tare_item(b), want, TOL * (1 + fabs(want)));
    if (twice) { b = tare_add(t, b, tare_cross_entropy(t, a, target, o)); }
    memset(target, 0x7F, (size_t)rows * sizeof *target); /* forward has its own copy */
    assert_ok(tare_backward_from(t, b, &(tare_real){ 3 }));
    assert_ok(tare_tape_guard(t));
    same(a->grad, dx, n, 4 * TOL, what);
    tare_tape_free(t);
    free(x), free(dx), free(target);
}

static void test_cross_entropy_sizes(void **state) {
    (void)state;
    for (int64_t k = 2; k < 70; k++) {
        for (int variant = 0; variant < 16; variant++) {
            tare_cross_entropy_opt o = { .reduction = variant & 1 ? TARE_SUM : TARE_MEAN };
            o.label_smoothing = variant & 2 ? 0.1 : 0;
            o.has_ignore_index = variant & 4;
            o.ignore_index = variant & 1 ? 1 : -1;
            check_cross_entropy(1 + (int64_t)tare_rng_below(&rng, 40), k, 1, o, variant & 8);
            check_cross_entropy(1 + (int64_t)tare_rng_below(&rng, 3), k, 1 + (int64_t)tare_rng_below(&rng, 40), o,
                                variant & 8);
        }
    }
}

static double loss_of(const tare_real *x, tare_shape shape, const int32_t *target, tare_cross_entropy_opt o,
                      tare_real *dx) {
    tare_tape *t = tape_new();
    tare_tensor *a = input(t, shape, x), *b = tare_cross_entropy(t, a, target, o);
    assert_string_equal(tare_tape_error(t), "");
    double loss = tare_item(b);
    assert_ok(tare_backward(t, b));
    if (dx) { memcpy(dx, a->grad, (size_t)a->numel * sizeof *dx); }
    tare_tape_free(t);
    return loss;
}

static void test_cross_entropy_by_hand(void **state) {
    (void)state;
    const tare_cross_entropy_opt mean = { 0 }, sum = { .reduction = TARE_SUM };
    const tare_real inf = (tare_real)INFINITY;
    tare_real dx[6];
    /* one row of equal logits */
    assert_near(loss_of((tare_real[]){ 5, 5, 5, 5 }, TARE_SHAPE(1, 4), (int32_t[]){ 2 }, mean, dx), log(4), 1e-6);
    same(dx, (double[]){ 0.25, 0.25, -0.75, 0.25 }, 4, TOL, "gradient");
    /* a single class */
    assert_near(loss_of((tare_real[]){ 7, -3 }, TARE_SHAPE(2, 1), (int32_t[]){ 0, 0 }, mean, dx), 0, 0);
    same(dx, (double[]){ 0, 0 }, 2, 0, "gradient");
    /* far apart */
    assert_near(loss_of((tare_real[]){ 1e4, 0, -1e4 }, TARE_SHAPE(1, 3), (int32_t[]){ 2 }, mean, dx), 2e4, 0.01);
    same(dx, (double[]){ 1, 0, -1 }, 3, TOL, "gradient");
    assert_near(loss_of((tare_real[]){ 1e4, 0, -1e4 }, TARE_SHAPE(1, 3), (int32_t[]){ 0 }, mean, NULL), 0, 0);
    /* a target of probability 0, and a class of probability 0 that is not the target */
    const tare_real masked[] = { 1, -inf, 1 };
    assert_true(isinf(loss_of(masked, TARE_SHAPE(1, 3), (int32_t[]){ 1 }, mean, NULL)));
    assert_near(loss_of(masked, TARE_SHAPE(1, 3), (int32_t[]){ 0 }, mean, dx), log(2), 1e-6);
    same(dx, (double[]){ -0.5, 0, 0.5 }, 3, TOL, "gradient");
    /* NaN in, NaN out, with short rows and long ones */
    assert_true(isnan(loss_of((tare_real[]){ 1, (tare_real)NAN, 1 }, TARE_SHAPE(1, 3), (int32_t[]){ 0 }, mean, dx)));
    assert_true(isnan(dx[0]) && isnan(dx[1]) && isnan(dx[2]));
    tare_real row[50] = { [49] = (tare_real)NAN }, back[50];
    assert_true(isnan(loss_of(row, TARE_SHAPE(1, 50), (int32_t[]){ 3 }, mean, back)));
    for (int i = 0; i < 50; i++) { assert_true(isnan(back[i])); }
    /* all ignored: the mean over nothing is NaN, the sum 0, and no gradient flows */
    const int32_t none[] = { -100, -100 };
    const double zeros[6] = { 0 };
    const tare_real some[] = { 1, 2, 3, 4, 5, 6 };
    assert_true(isnan(loss_of(some, TARE_SHAPE(2, 3), none, mean, dx)));
    same(dx, zeros, 6, 0, "gradient of nothing");
    assert_near(loss_of(some, TARE_SHAPE(2, 3), none, sum, dx), 0, 0);
    same(dx, zeros, 6, 0, "gradient of nothing");
}

static void test_cross_entropy_errors(void **state) {
    (void)state;
    static const struct {
        tare_shape shape;
        int32_t target[4];
        tare_cross_entropy_opt opt;
        tare_status status;
        const char *words;
    } rows[] = {
        { { 2, { 4, 3 } },
          { 0, 1, 3, 2 },
          { 0 },
          TARE_EINVAL,
          "target 2 of 4 is 3, but logits [4,3] have classes 0 to 2" },
        { { 2, { 4, 3 } }, { 0, -1, 2, 2 }, { 0 }, TARE_EINVAL, "target 1 of 4 is -1" },
        { { 3, { 1, 3, 4 } }, { 0, 1, 2, 9 }, { 0 }, TARE_EINVAL, "target 3 of 4 is 9, but logits [1,3,4]" },
        /* with an index of its own to ignore, -100 is a mistake again */
        { { 2, { 4, 3 } },
          { 0, 7, -100, 2 },
          { .has_ignore_index = true, .ignore_index = 7 },
          TARE_EINVAL,
          "target 2 of 4 is -100" },
        { { 1, { 3 } }, { 0 }, { 0 }, TARE_ESHAPE, "logits [3] are not [N,K]" },
        { { 2, { 1, 3 } }, { 0 }, { .label_smoothing = 1.5 }, TARE_EINVAL, "label smoothing 1.5" },
        { { 2, { 1, 3 } }, { 0 }, { .label_smoothing = (double)NAN }, TARE_EINVAL, "label smoothing" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tare_tape *t = tape_new();
        assert_null(tare_cross_entropy(t, tare_input(t, rows[i].shape, NULL), rows[i].target, rows[i].opt));
        assert_status(rows[i].status, tare_tape_status(t));
        assert_contains(tare_tape_error(t), "cross_entropy: ");
        assert_contains(tare_tape_error(t), rows[i].words);
        tare_tape_free(t);
    }
    tare_tape *t = tape_new();
    assert_null(tare_cross_entropy(t, tare_input(t, TARE_SHAPE(1, 3), NULL), NULL, (tare_cross_entropy_opt){ 0 }));
    assert_contains(tare_tape_error(t), "target is NULL");
    tare_tape_free(t);
}

/* ---- value by value ---------------------------------------------------------------------------------------------- */

typedef tare_tensor *(*loss_fn)(tare_tape *, tare_tensor *, tare_tensor *, tare_reduction);

/* The summed loss of x and y, and its gradient to x. */
static double pair_loss(loss_fn loss, tare_reduction how, const tare_real *x, const tare_real *y, int64_t n,
                        tare_real *dx) {
    tare_tape *t = tape_new();
    tare_tensor *a = input(t, TARE_SHAPE(n), x);
    tare_tensor *b = loss(t, a, tare_input(t, TARE_SHAPE(n), y), how);
    assert_string_equal(tare_tape_error(t), "");
    double value = tare_item(b);
    assert_ok(tare_backward(t, b));
    assert_ok(tare_tape_guard(t));
    memcpy(dx, a->grad, (size_t)n * sizeof *dx);
    tare_tape_free(t);
    return value;
}

static void test_mse(void **state) {
    (void)state;
    tare_real dx[4];
    assert_near(pair_loss(tare_mse, TARE_MEAN, (tare_real[]){ 1, 2 }, (tare_real[]){ 4, 2 }, 2, dx), 4.5, 0);
    same(dx, (double[]){ -3, 0 }, 2, 0, "mean");
    assert_near(pair_loss(tare_mse, TARE_SUM, (tare_real[]){ 1, 2 }, (tare_real[]){ 4, 2 }, 2, dx), 9, 0);
    same(dx, (double[]){ -6, 0 }, 2, 0, "sum");
    assert_true(isnan(pair_loss(tare_mse, TARE_SUM, (tare_real[]){ (tare_real)NAN, 2 }, (tare_real[]){ 4, 2 }, 2, dx)));
    assert_true(isnan(dx[0]));
    /* both sides take a gradient, and the same tensor on both sides takes none */
    tare_tape *t = tape_new();
    tare_tensor *a = input(t, TARE_SHAPE(2), (tare_real[]){ 1, 2 }),
                *b = input(t, TARE_SHAPE(2), (tare_real[]){ 4, 2 });
    assert_ok(tare_backward(t, tare_add(t, tare_mse(t, a, b, TARE_SUM), tare_mse(t, a, a, TARE_SUM))));
    same(a->grad, (double[]){ -6, 0 }, 2, 0, "x");
    same(b->grad, (double[]){ 6, 0 }, 2, 0, "y");
    tare_tape_free(t);
}

static void test_bce_with_logits(void **state) {
    (void)state;
    const tare_real x[] = { 0, 1e4, -1e4, 1e4, -1e4, 2, -2, 30 }, y[] = { 1, 1, 0, 0, 1, 0.25, 0.75, 0 };
    const double want[] = { log(2), 0, 0, 1e4, 1e4, 1.5 + log1p(exp(-2)), 1.5 + log1p(exp(-2)), 30 + log1p(exp(-30)) };
    const double p2 = 1 / (1 + exp(-2));
    const double slope[] = { -0.5, 0, 0, 1, -1, p2 - 0.25, 1 - p2 - 0.75, 1 };
    tare_real dx[8];
    for (int i = 0; i < 8; i++) {
        assert_near(pair_loss(tare_bce_with_logits, TARE_MEAN, x + i, y + i, 1, dx), want[i], TOL * (1 + want[i]));
        same(dx, slope + i, 1, TOL, "gradient");
    }
    double sum = 0;
    for (int i = 0; i < 8; i++) { sum += want[i]; }
    assert_near(pair_loss(tare_bce_with_logits, TARE_SUM, x, y, 8, dx), sum, TOL * sum);
    same(dx, slope, 8, TOL, "gradient");
    const tare_real bad[] = { (tare_real)NAN };
    assert_true(isnan(pair_loss(tare_bce_with_logits, TARE_MEAN, bad, y, 1, dx)) && isnan(dx[0]));
    assert_true(isnan(pair_loss(tare_bce_with_logits, TARE_MEAN, x, bad, 1, dx)));
}

static void test_hinge(void **state) {
    (void)state;
    /* margins 2, 0.5, 0 (where the gradient is 0), -1 */
    const tare_real x[] = { 1, 0.5, 1, -2 }, y[] = { -1, 1, 1, -1 };
    tare_real dx[4];
    assert_near(pair_loss(tare_hinge, TARE_MEAN, x, y, 4, dx), 0.625, 0);
    same(dx, (double[]){ 0.25, -0.25, 0, 0 }, 4, 0, "mean");
    assert_near(pair_loss(tare_hinge, TARE_SUM, x, y, 4, dx), 2.5, 0);
    same(dx, (double[]){ 1, -1, 0, 0 }, 4, 0, "sum");
    assert_true(isnan(pair_loss(tare_hinge, TARE_SUM, (tare_real[]){ (tare_real)NAN }, y, 1, dx)) && isnan(dx[0]));
}

static void test_pair_errors(void **state) {
    (void)state;
    const loss_fn losses[] = { tare_mse, tare_bce_with_logits, tare_hinge };
    const char *const names[] = { "mse", "bce_with_logits", "hinge" };
    tare_tape *t = tape_new();
    for (int i = 0; i < 3; i++) {
        assert_null(losses[i](t, tare_input(t, TARE_SHAPE(4, 1), NULL), tare_input(t, TARE_SHAPE(4), NULL), TARE_MEAN));
        assert_status(TARE_ESHAPE, tare_tape_status(t));
        assert_contains(tare_tape_error(t), names[i]);
        assert_contains(tare_tape_error(t), "x [4,1] and y [4] differ in shape");
        tare_tape_reset(t);
        tare_tensor *y = input(t, TARE_SHAPE(1), (tare_real[]){ 1 });
        tare_tensor *loss = losses[i](t, input(t, TARE_SHAPE(1), (tare_real[]){ 1 }), y, TARE_MEAN);
        assert_int_equal(loss == NULL, i > 0);
        if (i > 0) {
            assert_status(TARE_ENOGRAD, tare_tape_status(t));
            assert_contains(tare_tape_error(t), "tare_detach");
        }
        tare_tape_reset(t);
        assert_null(
            losses[i](t, tare_input(t, TARE_SHAPE(1), NULL), tare_input(t, TARE_SHAPE(1), NULL), (tare_reduction)7));
        assert_contains(tare_tape_error(t), "reduction 7");
        tare_tape_reset(t);
    }
    tare_tape_free(t);
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

enum { ROWS = 311, CLASSES = 331 };
static int32_t targets[ROWS * CLASSES];
static tare_real other[ROWS * CLASSES];

static tare_tensor *pair(tare_tape *t, tare_tensor *x, loss_fn loss) {
    return loss(t, x, tare_input_view(t, x->shape, other), TARE_MEAN);
}
static tare_tensor *run_softmax(tare_tape *t, tare_tensor *x) { return tare_softmax(t, x, 1); }
static tare_tensor *run_columns(tare_tape *t, tare_tensor *x) { return tare_log_softmax(t, x, 0); }
static tare_tensor *run_cross_entropy(tare_tape *t, tare_tensor *x) {
    return tare_cross_entropy(t, x, targets, (tare_cross_entropy_opt){ .label_smoothing = 0.1 });
}
static tare_tensor *run_image(tare_tape *t, tare_tensor *x) {
    tare_tensor *image = tare_reshape(t, x, TARE_SHAPE(1, ROWS, CLASSES));
    return tare_cross_entropy(t, image, targets, (tare_cross_entropy_opt){ .reduction = TARE_SUM });
}
static tare_tensor *run_mse(tare_tape *t, tare_tensor *x) { return pair(t, x, tare_mse); }
static tare_tensor *run_bce(tare_tape *t, tare_tensor *x) { return pair(t, x, tare_bce_with_logits); }
static tare_tensor *run_hinge(tare_tape *t, tare_tensor *x) { return pair(t, x, tare_hinge); }

static void test_threads(void **state) {
    (void)state;
    tare_tensor *(*const runs[])(tare_tape *, tare_tensor *) = { run_softmax, run_columns, run_cross_entropy, run_image,
                                                                 run_mse,     run_bce,     run_hinge };
    size_t n = ROWS * CLASSES;
    tare_real *x = calloc(n, sizeof *x), *y = calloc(n, sizeof *y), *dx = calloc(n, sizeof *dx);
    for (size_t i = 0; i < n; i++) {
        x[i] = (tare_real)(3 * tare_rng_normal(&rng));
        other[i] = (tare_real)tare_rng_uniform(&rng);
        targets[i] = (int32_t)tare_rng_below(&rng, ROWS);
    }
    for (size_t k = 0; k < sizeof runs / sizeof *runs; k++) {
        for (int threads = 1; threads <= 3; threads++) {
            tare_threads_set(threads);
            tare_tape *t = tape_new();
            tare_tensor *a = input(t, TARE_SHAPE(ROWS, CLASSES), x), *b = runs[k](t, a);
            assert_string_equal(tare_tape_error(t), "");
            size_t out = (size_t)b->numel * sizeof *y;
            if (threads == 1) {
                memcpy(y, b->data, out);
            } else {
                assert_memory_equal(b->data, y, out);
            }
            assert_ok(tare_backward_from(t, b, x));
            if (threads == 1) {
                memcpy(dx, a->grad, n * sizeof *dx);
            } else {
                assert_memory_equal(a->grad, dx, n * sizeof *dx);
            }
            tare_tape_free(t);
        }
    }
    tare_threads_set(0);
    free(x), free(y), free(dx);
}

int main(void) {
    if (test_isa_missing()) { return 77; }
    rng = tare_rng_new(11, "test_losses");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_softmax_sizes),
        cmocka_unit_test(test_softmax_by_hand),
        cmocka_unit_test(test_softmax_errors),
        cmocka_unit_test(test_cross_entropy_sizes),
        cmocka_unit_test(test_cross_entropy_by_hand),
        cmocka_unit_test(test_cross_entropy_errors),
        cmocka_unit_test(test_mse),
        cmocka_unit_test(test_bce_with_logits),
        cmocka_unit_test(test_hinge),
        cmocka_unit_test(test_pair_errors),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
