/* test_norm_stats.c - tare_norm_stats against sums and singular values worked out by hand.   tare-test: double */
#include "testing_support.h"

#include <tare/tare.h>

#include <math.h>
#include <stdio.h>

enum { N = 4, IN = 3, OUT = 2 };

/* fc = linear 3 -> 2, norm, relu, in a sequential: W = [3 0 0; 0 4 0], no bias. */
typedef struct bench {
    char *dir;
    tare_options *options;
    tare_run_opt opt;
    tare_run *run;
    tare_params *ps;
    tare_tape *tape;
    tare_layer *model;
    tare_norm_stats *stats;
} bench;

static const tare_real weight[OUT * IN] = { 3, 0, 0, 0, 4, 0 };
static const tare_real input[N * IN] = { 1, 2, 3, -1, 0, 5, 4, 4, -4, 0, 1, 1000 };

static void bench_new(bench *b, const char *spec) {
    *b = (bench){ .dir = test_dir_new(), .options = tare_options_new("demo", "about") };
    assert_ok(tare_options_add(b->options, tare_run_options, &b->opt));
    b->opt.out = test_path(b->dir, "run");
    assert_ok(tare_run_open(&b->run, b->options, &b->opt, NULL));
    tare_params *ps = b->ps = tare_params_new(1);
    tare_layer *fc = tare_layer_linear(ps, "fc", IN, OUT, (tare_layer_linear_opt){ .no_bias = true });
    tare_norm_weight(fc, spec);
    tare_layer *layers[] = { fc, tare_norm_layer(ps, "norm", spec, TARE_SHAPE(OUT)), tare_layer_relu(ps, "relu") };
    b->model = tare_layer_sequential(ps, "net", layers, 3);
    b->tape = tare_tape_new((tare_tape_opt){ .training = true });
    b->stats = tare_norm_stats_new(ps, b->tape);
    assert_true(b->model && b->tape && b->stats);
    memcpy(tare_params_find(ps, "fc.weight")->data, weight, sizeof weight);
}

static void bench_free(bench *b) {
    tare_norm_stats_free(b->stats);
    tare_tape_free(b->tape);
    tare_params_free(b->ps);
    tare_run_close(b->run);
    tare_options_free(b->options);
    test_dir_remove(b->dir);
}

/* Forward and backward of the sum of all outputs, of `n` rows from row `first`. */
static void pass(bench *b, int64_t first, int64_t n) {
    tare_tape_reset(b->tape);
    tare_tensor *y = tare_forward(b->model, b->tape, tare_input(b->tape, TARE_SHAPE(n, IN), input + first * IN));
    assert_ok(tare_backward(b->tape, tare_sum(b->tape, y, 0, false)));
}

/* The number behind "key": on the first line that holds `what`; Inf where it is null, NaN where there is none. */
static double logged(const bench *b, const char *what, const char *key) {
    char text[16384], quoted[64];
    FILE *file = fopen(tare_run_path(b->run, "metrics.jsonl"), "rb");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *line = strstr(text, what), *value = line ? strstr(line, quoted) : NULL;
    if (!value || value > line + strcspn(line, "\n")) { return (double)NAN; }
    value += strlen(quoted);
    return strncmp(value, "null", 4) == 0 ? (double)INFINITY : strtod(value, NULL);
}

static void mean_var(const double *x, int n, double *mean, double *var) {
    *mean = *var = 0;
    for (int i = 0; i < n; i++) { *mean += x[i] / n; }
    for (int i = 0; i < n; i++) { *var += (x[i] - *mean) * (x[i] - *mean) / n; }
}

static void assert_moments(const bench *b, const char *layer, const char *side, const double *x, int n) {
    double mean, var;
    char what[64], key[64];
    mean_var(x, n, &mean, &var);
    snprintf(what, sizeof what, "\"layer\":\"%s\"", layer);
    snprintf(key, sizeof key, "%s_mean", side);
    assert_near(logged(b, what, key), mean, test_tol(1e-5, 1e-9) * (fabs(mean) + sqrt(var)));
    snprintf(key, sizeof key, "%s_var", side);
    assert_near(logged(b, what, key), var, test_tol(1e-5, 1e-9) * var);
}

/* What fc gives, the norm makes of it ([N,2] over the batch, eps 1e-5), and relu of that, in double. */
static void by_hand(double *x, double *fc, double *norm, double *relu) {
    for (int i = 0; i < N * IN; i++) { x[i] = (double)input[i]; }
    for (int i = 0; i < N; i++) {
        fc[2 * i] = 3 * x[IN * i];
        fc[2 * i + 1] = 4 * x[IN * i + 1];
    }
    for (int c = 0; c < OUT; c++) {
        double column[N], mean, var;
        for (int i = 0; i < N; i++) { column[i] = fc[2 * i + c]; }
        mean_var(column, N, &mean, &var);
        for (int i = 0; i < N; i++) { norm[2 * i + c] = (column[i] - mean) / sqrt(var + 1e-5); }
    }
    for (int i = 0; i < N * OUT; i++) { relu[i] = norm[i] > 0 ? norm[i] : 0; }
}

static void test_activations(void **state) {
    (void)state;
    bench b;
    double x[N * IN], fc[N * OUT], norm[N * OUT], relu[N * OUT];
    by_hand(x, fc, norm, relu);
    bench_new(&b, "bn");
    pass(&b, 0, N); /* not looked at */
    assert_ok(tare_norm_stats_log(b.stats, b.run, 6));
    assert_true(isnan(logged(&b, "norm_stats", "step")));
    tare_norm_stats_begin(b.stats);
    pass(&b, 0, N);
    assert_ok(tare_norm_stats_log(b.stats, b.run, 7));
    assert_near(logged(&b, "{\"event\":\"norm_stats\"", "step"), 7, 0);
    assert_moments(&b, "fc", "in", x, N * IN);
    assert_moments(&b, "fc", "out", fc, N * OUT);
    assert_moments(&b, "norm", "in", fc, N * OUT);
    assert_near(logged(&b, "\"kind\":\"batch_norm\"", "out_mean"), 0, 1e-6);
    assert_near(logged(&b, "\"layer\":\"norm\"", "out_var"), 1, 1e-5);
    assert_moments(&b, "relu", "out", relu, N * OUT);
    assert_true(isnan(logged(&b, "\"layer\":\"net\"", "in_mean"))); /* a container only passes on */
    bench_free(&b);
}

/* Two passes of two rows are described as one of four. */
static void test_passes_together(void **state) {
    (void)state;
    bench b;
    double x[N * IN], fc[N * OUT], norm[N * OUT], relu[N * OUT];
    by_hand(x, fc, norm, relu);
    bench_new(&b, "ln");
    tare_norm_stats_begin(b.stats);
    pass(&b, 1, 1); /* forgotten */
    tare_norm_stats_begin(b.stats);
    pass(&b, 0, 2);
    pass(&b, 2, 2);
    assert_ok(tare_norm_stats_log(b.stats, b.run, 0));
    assert_moments(&b, "fc", "in", x, N * IN);
    assert_moments(&b, "norm", "in", fc, N * OUT);
    bench_free(&b);
}

/* norm = none: the gradient of fc.weight is, for each output, the sum of the inputs for which it is positive. */
static void test_gradients(void **state) {
    (void)state;
    bench b;
    bench_new(&b, "none");
    tare_norm_stats_begin(b.stats);
    pass(&b, 0, N);
    assert_ok(tare_norm_stats_log(b.stats, b.run, 0));
    double sum = 0;
    for (int o = 0; o < OUT; o++) {
        for (int i = 0; i < IN; i++) {
            double g = 0;
            for (int n = 0; n < N; n++) { g += input[n * IN + o] > 0 ? (double)input[n * IN + i] : 0; }
            sum += g * g;
        }
    }
    assert_near(logged(&b, "fc.weight", "grad_norm"), sqrt(sum), test_tol(1e-5, 1e-9) * sqrt(sum));
    assert_near(logged(&b, "fc.weight", "sigma"), 4, 1e-6);
    assert_true(isnan(logged(&b, "fc.weight", "in_mean")));

    /* without a backward since zero_grad the gradient is 0, not what it was before */
    tare_params_zero_grad(b.ps);
    tare_norm_stats_begin(b.stats);
    assert_ok(tare_norm_stats_log(b.stats, b.run, 9));
    assert_near(logged(&b, "{\"event\":\"weight_stats\",\"step\":9", "grad_norm"), 0, 0);
    bench_free(&b);
}

/* ---- sigma ------------------------------------------------------------------------------------------------------- */

static tare_tensor *nothing(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    (void)self, (void)tape;
    return x;
}

static const tare_layer_class odd_class = { .name = "odd", .forward = nothing };

/* W = 5 a r' + 4.9 c d' with a, c among outputs and r, d among the rest, all of length 1: sigma is 5. It lies as [2,3,2] with the
 * outputs in the middle, where only the layer can tell; without one the first dimension counts them. */
static void test_sigma(void **state) {
    (void)state;
    bench b;
    bench_new(&b, "sn");
    tare_layer *odd = tare_layer_new(b.ps, "odd", &odd_class, sizeof *odd);
    tare_tensor *middle = odd->weight = tare_param(b.ps, "odd.weight", TARE_SHAPE(2, 3, 2), 0);
    odd->out_dim = 1;
    tare_param(b.ps, "zero", TARE_SHAPE(3, 3), 0);
    tare_tensor *plain = tare_param(b.ps, "plain", TARE_SHAPE(2, 3, 2), 0),
                *bad = tare_param(b.ps, "bad", TARE_SHAPE(2, 2), 0);
    assert_int_equal(tare_params_status(b.ps), TARE_OK);
    const double a[3] = { 2.0 / 3, 2.0 / 3, 1.0 / 3 }, c[3] = { 1 / sqrt(2), -1 / sqrt(2), 0 };
    const double r[4] = { 0.5, 0.5, 0.5, 0.5 }, d[4] = { 0.5, -0.5, 0.5, -0.5 };
    for (int p = 0; p < 2; p++) {
        for (int o = 0; o < 3; o++) {
            for (int i = 0; i < 2; i++) {
                double w = 5 * a[o] * r[2 * p + i] + 4.9 * c[o] * d[2 * p + i];
                middle->data[(p * 3 + o) * 2 + i] = plain->data[(p * 3 + o) * 2 + i] = (tare_real)w;
            }
        }
    }
    bad->data[1] = (tare_real)NAN;
    tare_norm_stats_begin(b.stats);
    tare_forward(odd, b.tape, tare_input(b.tape, TARE_SHAPE(1), &(tare_real){ 1 }));
    assert_ok(tare_norm_stats_log(b.stats, b.run, 0));
    assert_near(logged(&b, "\"odd.weight\"", "sigma"), 5, test_tol(1e-5, 1e-8));
    /* both halves are alike, so [2,6] has rank one, and its length is sigma */
    assert_near(logged(&b, "\"plain\"", "sigma"), sqrt(25 + 4.9 * 4.9), test_tol(1e-5, 1e-8));
    assert_near(logged(&b, "\"zero\"", "sigma"), 0, 0);
    assert_near(logged(&b, "\"bad\"", "grad_norm"), 0, 0);
    assert_true(isinf(logged(&b, "\"bad\"", "sigma")));
    assert_near(logged(&b, "\"fc.weight\"", "sigma"), 4, 1e-6); /* the parameter's, before spectral norm */
    bench_free(&b);
}

/* ---- nothing changes --------------------------------------------------------------------------------------------- */

static void train(bench *b, bool look) {
    tare_optim *sgd = tare_sgd_new(b->ps, (tare_sgd_opt){ .lr = 0.01 });
    assert_non_null(sgd);
    for (int step = 0; step < 6; step++) {
        tare_params_zero_grad(b->ps);
        if (look && step % 2 == 0) { tare_norm_stats_begin(b->stats); }
        pass(b, 0, N);
        assert_ok(tare_norm_stats_log(b->stats, b->run, step));
        assert_ok(tare_optim_step(sgd));
    }
    tare_optim_free(sgd);
}

static void test_changes_nothing(void **state) {
    (void)state;
    bench a, b;
    bench_new(&a, "bn+sn");
    bench_new(&b, "bn+sn");
    train(&a, false);
    train(&b, true);
    size_t weights = (size_t)tare_params_flat_size(a.ps), buffers = (size_t)tare_params_buffer_flat_size(a.ps);
    assert_memory_equal(tare_params_flat(a.ps), tare_params_flat(b.ps), weights * sizeof(tare_real));
    assert_memory_equal(tare_params_buffer_flat(a.ps), tare_params_buffer_flat(b.ps), buffers * sizeof(tare_real));
    assert_true(tare_tape_peak(a.tape) <= tare_tape_peak(b.tape)); /* norm and ReLU are two ops while somebody looks */
    assert_true(isnan(logged(&a, "norm_stats", "step")));
    assert_near(logged(&b, "{\"event\":\"norm_stats\",\"step\":4", "step"), 4, 0);
    assert_true(isnan(logged(&b, "{\"event\":\"norm_stats\",\"step\":3", "step")));
    bench_free(&a);
    bench_free(&b);
}

/* Memory that runs out is an error of the log, and the next look is whole again. */
static void test_no_memory(void **state) {
    (void)state;
    bench b;
    bench_new(&b, "bn");
    pass(&b, 0, N);
    pass(&b, 0, N);
    pass(&b, 0, N); /* from here on a step allocates nothing */
    tare_norm_stats_begin(b.stats);
    tare_alloc_fail_at(1);
    pass(&b, 0, N);
    tare_alloc_fail_at(0);
    assert_status(TARE_ENOMEM, tare_norm_stats_log(b.stats, b.run, 0));
    assert_null(tare_tape_watch(b.tape));
    tare_norm_stats_begin(b.stats);
    pass(&b, 0, N);
    assert_ok(tare_norm_stats_log(b.stats, b.run, 1));
    assert_true(logged(&b, "{\"event\":\"norm_stats\",\"step\":1,\"layer\":\"relu\"", "out_var") > 0);
    bench_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_activations), cmocka_unit_test(test_passes_together), cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_sigma),       cmocka_unit_test(test_changes_nothing), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
