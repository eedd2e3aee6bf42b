/* test_recalibrate.c - running statistics taken anew, and batch statistics on request, against hand computation.
 * tare-test: double */
#include "testing_support.h"

#include <tare/norms.h>

#include <math.h>

/* A net whose second batch norm sees what the first one makes: fc is x -> 2 x. */
typedef struct net {
    tare_params *ps;
    tare_layer *model;
    tare_tape *tape;
    tare_real *mean[2], *var[2], *seen[2];
} net;

static net net_new(tare_layer_batch_norm_opt opt) {
    net n = { .ps = tare_params_new(1), .tape = tare_tape_new((tare_tape_opt){ .no_grad = true }) };
    tare_layer *layers[] = { tare_layer_batch_norm(n.ps, "a", 1, opt),
                             tare_layer_linear(n.ps, "fc", 1, 1, (tare_layer_linear_opt){ .no_bias = true }),
                             tare_layer_dropout(n.ps, "drop", 0.5), tare_layer_batch_norm(n.ps, "b", 1, opt) };
    n.model = tare_layer_sequential(n.ps, "net", layers, 4);
    assert_ok(tare_params_status(n.ps));
    tare_params_find(n.ps, "fc.weight")->data[0] = 2;
    for (int i = 0; i < 2; i++) {
        const char *names[2][3] = { { "a.running_mean", "a.running_var", "a.num_batches_tracked" },
                                    { "b.running_mean", "b.running_var", "b.num_batches_tracked" } };
        n.mean[i] = tare_params_find(n.ps, names[i][0])->data;
        n.var[i] = tare_params_find(n.ps, names[i][1])->data;
        n.seen[i] = tare_params_find(n.ps, names[i][2])->data;
        *n.mean[i] = 50, *n.var[i] = 60, *n.seen[i] = 70; /* stale */
    }
    return n;
}

static void net_free(net *n) {
    tare_tape_free(n->tape);
    tare_params_free(n->ps);
}

static tare_tensor *feed(net *n, int count, const double *values) {
    tare_tensor *x = tare_input(n->tape, TARE_SHAPE(count, 1), NULL);
    for (int i = 0; i < count; i++) { x->data[i] = (tare_real)values[i]; }
    tare_tensor *y = tare_forward(n->model, n->tape, x);
    if (!y) { fail_msg("%s", tare_tape_error(n->tape)); }
    return y;
}

/* means 3 and 2, unbiased variances 7 and 16/3, biased ones 14/3 and 4 */
static const double first[] = { 1, 2, 6 }, second[] = { 0, 4, 4, 0 };

static void the_average_of_the_batches(void **state) {
    (void)state;
    net n = net_new((tare_layer_batch_norm_opt){ .eps = 1e-12 });
    tare_real weight = tare_params_find(n.ps, "fc.weight")->data[0];
    tare_params_freeze(n.ps, true); /* weights stay; that does not keep statistics from being taken */
    assert_ok(tare_recalibrate_begin(n.model));
    tare_tensor *y = feed(&n, 3, first);
    assert_near(y->data[2], 3 / sqrt(14.0 / 3), 1e-6); /* normalised by its own batch */
    feed(&n, 4, second);
    assert_ok(tare_recalibrate_end(n.model));
    double tol = test_tol(1e-5, 1e-10);
    assert_near(*n.mean[0], 2.5, tol);
    assert_near(*n.var[0], (7 + 16.0 / 3) / 2, tol);
    assert_near(*n.seen[0], 2, 0);
    /* b sees variance 4 from both: unbiased 4 * 3/2 and 4 * 4/3 */
    assert_near(*n.mean[1], 0, tol);
    assert_near(*n.var[1], (6 + 16.0 / 3) / 2, tol);
    assert_true(weight == tare_params_find(n.ps, "fc.weight")->data[0]);
    /* and then they are used, and stay */
    y = feed(&n, 1, first);
    assert_near(y->data[0], 2 * (1 - 2.5) / sqrt(37.0 / 6) / sqrt(17.0 / 3), 1e-5);
    assert_near(*n.seen[0], 2, 0);
    assert_false(tare_tape_training(n.tape));
    net_free(&n);
}

static void sub_batches_count_each(void **state) {
    (void)state;
    const double both[] = { 1, 2, 6, 0, 4, 8 };
    net n = net_new((tare_layer_batch_norm_opt){ .sub_batch = 3 });
    assert_ok(tare_recalibrate_begin(n.model));
    feed(&n, 6, both);
    assert_ok(tare_recalibrate_end(n.model));
    assert_near(*n.mean[0], 3.5, 1e-5);
    assert_near(*n.var[0], (7 + 16.0) / 2, 1e-5);
    assert_near(*n.seen[0], 2, 0);
    net_free(&n);
}

/* A second recalibration starts from nothing. */
static void begins_anew(void **state) {
    (void)state;
    net n = net_new((tare_layer_batch_norm_opt){ 0 });
    for (int i = 0; i < 2; i++) {
        assert_ok(tare_recalibrate_begin(n.model));
        feed(&n, i ? 4 : 3, i ? second : first);
        assert_ok(tare_recalibrate_end(n.model));
    }
    assert_near(*n.mean[0], 2, 1e-6);
    assert_near(*n.var[0], 16.0 / 3, 1e-5);
    net_free(&n);
}

static void batch_statistics_on_request(void **state) {
    (void)state;
    net n = net_new((tare_layer_batch_norm_opt){ .eps = 1e-12 });
    assert_int_equal(2, tare_batch_statistics(n.model, true));
    tare_tensor *y = feed(&n, 4, second);
    for (int i = 0; i < 4; i++) { assert_near(y->data[i], second[i] > 2 ? 1 : -1, 1e-6); }
    assert_near(*n.mean[0], 50, 0);
    assert_near(*n.seen[1], 70, 0);
    assert_int_equal(2, tare_batch_statistics(n.model, false));
    y = feed(&n, 4, second);
    assert_near(y->data[0], (2 * -50 / sqrt(60) - 50) / sqrt(60), 1e-4);
    net_free(&n);
}

static void errors(void **state) {
    (void)state;
    net n = net_new((tare_layer_batch_norm_opt){ 0 });
    assert_ok(tare_recalibrate_begin(n.model));
    assert_status(TARE_EINVAL, tare_recalibrate_end(n.model));
    assert_contains(tare_error(), "recalibrate: no batch went through \"a\", whose statistics stay as they were");
    assert_near(*n.mean[0], 50, 0);
    net_free(&n);

    n = net_new((tare_layer_batch_norm_opt){ .frozen = true });
    assert_status(TARE_EINVAL, tare_recalibrate_begin(n.model));
    assert_contains(tare_error(), "\"net\" has no batch norm whose running statistics may change");
    assert_int_equal(0, tare_batch_statistics(n.model, true));
    net_free(&n);
    assert_status(TARE_EINVAL, tare_recalibrate_begin(NULL));
    assert_status(TARE_EINVAL, tare_recalibrate_end(NULL));
    assert_int_equal(0, tare_batch_statistics(NULL, true));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_average_of_the_batches),
        cmocka_unit_test(sub_batches_count_each),
        cmocka_unit_test(begins_anew),
        cmocka_unit_test(batch_statistics_on_request),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests_name("recalibrate", tests, NULL, NULL);
}
