/* test_running_stats.c - the running statistics of batch norm: which they are, and when they stay.
 * tare-test: double isa */
#include "testing_support.h"

#include <tare/norms.h>

#include <math.h>

typedef struct model {
    tare_params *ps;
    tare_layer *bn;
    tare_tape *tape;
    tare_real *mean, *var, *seen;
} model;

static model model_new(tare_layer_batch_norm_opt opt) {
    model m = { .ps = tare_params_new(1), .tape = tare_tape_new((tare_tape_opt){ .training = true }) };
    m.bn = tare_layer_batch_norm(m.ps, "bn", 1, opt);
    assert_ok(tare_params_status(m.ps));
    m.mean = tare_params_find(m.ps, "bn.running_mean")->data;
    m.var = tare_params_find(m.ps, "bn.running_var")->data;
    m.seen = tare_params_find(m.ps, "bn.num_batches_tracked")->data;
    return m;
}

static void model_free(model *m) {
    tare_tape_free(m->tape);
    tare_params_free(m->ps);
}

static void feed(model *m, int n, const double *data) {
    tare_tensor *x = tare_input(m->tape, TARE_SHAPE(n, 1), NULL);
    for (int i = 0; i < n; i++) { x->data[i] = (tare_real)data[i]; }
    assert_non_null(tare_forward(m->bn, m->tape, x));
}

static const double one_batch[] = { 1, 2, 6 },
                    other_batch[] = { 0, 4, 4, 0 }; /* means 3 and 2, unbiased variances 7 and 16/3 */

static void statistics_are_the_unbiased_ones(void **state) {
    (void)state;
    model m = model_new((tare_layer_batch_norm_opt){ .eps = 0.1 });
    feed(&m, 3, one_batch);
    assert_near(m.mean[0], 0.1 * 3, 1e-6);
    assert_near(m.var[0], 0.9 + 0.1 * 7, 1e-6);
    feed(&m, 4, other_batch);
    assert_near(m.mean[0], 0.9 * 0.3 + 0.1 * 2, 1e-6);
    assert_near(m.var[0], 0.9 * 1.6 + 0.1 * 16 / 3, 1e-6);
    assert_near(m.seen[0], 2, 0);
    model_free(&m);

    m = model_new((tare_layer_batch_norm_opt){ .stat_update = 1 });
    feed(&m, 3, one_batch);
    assert_near(m.mean[0], 3, 1e-6);
    assert_near(m.var[0], 7, 1e-6);
    model_free(&m);
}

static void cumulative_statistics_are_the_average(void **state) {
    (void)state;
    model m = model_new((tare_layer_batch_norm_opt){ .cumulative = true });
    feed(&m, 3, one_batch);
    feed(&m, 4, other_batch);
    assert_near(m.mean[0], 2.5, 1e-6);
    assert_near(m.var[0], (7 + 16.0 / 3) / 2, 1e-6);
    model_free(&m);

    m = model_new((tare_layer_batch_norm_opt){ .cumulative = true, .sub_batch = 2 }); /* of all sets of all batches */
    feed(&m, 4, (const double[]){ 1, 3, 5, 9 });
    feed(&m, 2, (const double[]){ 12, 14 });
    assert_near(m.mean[0], (2 + 7 + 13) / 3.0, 1e-6);
    assert_near(m.var[0], (2 + 8 + 2) / 3.0, 1e-6);
    model_free(&m);
}

static void sub_batches_update_in_turn(void **state) {
    (void)state;
    const double both[] = { 1, 2, 6, 0, 4, 4, 0 };
    model apart = model_new((tare_layer_batch_norm_opt){ 0 }),
          together = model_new((tare_layer_batch_norm_opt){ .sub_batch = 3 });
    feed(&apart, 3, both);
    feed(&apart, 3, both + 3);
    feed(&together, 6, both);
    assert_near(together.mean[0], apart.mean[0], 1e-7);
    assert_near(together.var[0], apart.var[0], 1e-7);
    assert_near(together.seen[0], 2, 0);
    /* seven samples leave one alone */
    tare_tensor *x = tare_input(together.tape, TARE_SHAPE(7, 1), NULL);
    assert_null(tare_forward(together.bn, together.tape, x));
    assert_contains(tare_tape_error(together.tape),
                    "batch_norm \"bn\": x [7,1] has 1 value per channel in its last sub-batch");
    model_free(&apart);
    model_free(&together);
}

static void statistics_stay_when_frozen(void **state) {
    (void)state;
    model m = model_new((tare_layer_batch_norm_opt){ 0 });
    feed(&m, 3, one_batch);
    tare_real mean = m.mean[0], var = m.var[0];
    tare_params_freeze(m.ps, true);
    feed(&m, 4, other_batch);
    tare_params_freeze(m.ps, false);
    tare_tape_training_set(m.tape, false);
    feed(&m, 4, other_batch);
    assert_true(mean == m.mean[0] && var == m.var[0] && m.seen[0] == 1);
    /* an op that fails counts for nothing */
    tare_tape_training_set(m.tape, true);
    assert_null(tare_forward(m.bn, m.tape, tare_input(m.tape, TARE_SHAPE(1, 1), NULL)));
    assert_true(m.seen[0] == 1);
    /* and so does a batch of nothing, whose mean is none */
    tare_tape_reset(m.tape);
    assert_non_null(tare_forward(m.bn, m.tape, tare_input(m.tape, TARE_SHAPE(3, 1, 0), NULL)));
    assert_non_null(tare_forward(m.bn, m.tape, tare_input(m.tape, TARE_SHAPE(0, 1), NULL)));
    assert_true(mean == m.mean[0] && var == m.var[0] && m.seen[0] == 1);
    model_free(&m);
}

static void a_frozen_layer_never_changes(void **state) {
    (void)state;
    model m = model_new((tare_layer_batch_norm_opt){ .frozen = true });
    assert_int_equal(0, tare_params_count(m.ps));
    assert_int_equal(5, tare_params_buffers(m.ps));
    m.mean[0] = 1;
    m.var[0] = 4;
    tare_real value = 5; /* one value: fine, since no statistics are taken */
    tare_tensor *y = tare_forward(m.bn, m.tape, tare_input(m.tape, TARE_SHAPE(1, 1), &value));
    assert_near(tare_item(y), 4 / sqrt(4 + 1e-5), 1e-6);
    assert_near(m.mean[0], 1, 0);
    model_free(&m);
}

int main(void) {
    if (test_isa_missing()) { return 77; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statistics_are_the_unbiased_ones), cmocka_unit_test(cumulative_statistics_are_the_average),
        cmocka_unit_test(sub_batches_update_in_turn),       cmocka_unit_test(statistics_stay_when_frozen),
        cmocka_unit_test(a_frozen_layer_never_changes),
    };
    return cmocka_run_group_tests_name("running statistics", tests, NULL, NULL);
}
