/* test_norm_errors.c - what the norms refuse, in which words, and what they make of nothing.
 * tare-test: double isa */
#include "norm_trial.h"

#include <math.h>

typedef tare_tensor *(*run_fn)(tare_tape *t, tare_tensor *x);

static tare_tensor *bn(tare_tape *t, tare_tensor *x) {
    return tare_batch_norm(t, x, NULL, NULL, NULL, NULL, (tare_batch_norm_opt){ 0 });
}
static tare_tensor *bn_gamma(tare_tape *t, tare_tensor *x) {
    return tare_batch_norm(t, x, filled(t, TARE_SHAPE(2), 0, 1, 1), NULL, NULL, NULL, (tare_batch_norm_opt){ 0 });
}
static tare_tensor *bn_half(tare_tape *t, tare_tensor *x) {
    return tare_batch_norm(t, x, NULL, NULL, x, NULL, (tare_batch_norm_opt){ 0 });
}
static tare_tensor *bn_eps(tare_tape *t, tare_tensor *x) {
    return tare_batch_norm(t, x, NULL, NULL, NULL, NULL, (tare_batch_norm_opt){ .eps = -1 });
}
static tare_tensor *bn_nan(tare_tape *t, tare_tensor *x) {
    return tare_batch_norm(t, x, NULL, NULL, NULL, NULL, (tare_batch_norm_opt){ .eps = (double)NAN });
}
static tare_tensor *bn_update(tare_tape *t, tare_tensor *x) {
    return tare_batch_norm(t, x, NULL, NULL, NULL, NULL, (tare_batch_norm_opt){ .stat_update = 1.5 });
}
static tare_tensor *bn_sub(tare_tape *t, tare_tensor *x) {
    return tare_batch_norm(t, x, NULL, NULL, NULL, NULL, (tare_batch_norm_opt){ .sub_batch = -2 });
}
static tare_tensor *bn_use(tare_tape *t, tare_tensor *x) {
    return tare_batch_norm(t, x, NULL, NULL, NULL, NULL, (tare_batch_norm_opt){ .use_stats = true });
}
static tare_tensor *ln(tare_tape *t, tare_tensor *x) {
    return tare_layer_norm(t, x, NULL, NULL, (tare_layer_norm_opt){ 0 });
}
static tare_tensor *ln_dims(tare_tape *t, tare_tensor *x) {
    return tare_layer_norm(t, x, NULL, NULL, (tare_layer_norm_opt){ .dims = 5 });
}
static tare_tensor *ln_negative(tare_tape *t, tare_tensor *x) {
    return tare_layer_norm(t, x, NULL, NULL, (tare_layer_norm_opt){ .dims = -1 });
}
static tare_tensor *ln_gamma(tare_tape *t, tare_tensor *x) {
    return tare_layer_norm(t, x, filled(t, TARE_SHAPE(2), 0, 1, 1), NULL, (tare_layer_norm_opt){ 0 });
}
static tare_tensor *ln_channels(tare_tape *t, tare_tensor *x) {
    return tare_layer_norm(t, x, NULL, NULL, (tare_layer_norm_opt){ .channels = true });
}
static tare_tensor *gn_5(tare_tape *t, tare_tensor *x) {
    return tare_group_norm(t, x, NULL, NULL, (tare_group_norm_opt){ .groups = 5 });
}
static tare_tensor *gn_0(tare_tape *t, tare_tensor *x) {
    return tare_group_norm(t, x, NULL, NULL, (tare_group_norm_opt){ 0 });
}
static tare_tensor *gn_12(tare_tape *t, tare_tensor *x) {
    return tare_group_norm(t, x, NULL, NULL, (tare_group_norm_opt){ .groups = 12 });
}
static tare_tensor *in(tare_tape *t, tare_tensor *x) {
    return tare_instance_norm(t, x, NULL, NULL, (tare_instance_norm_opt){ 0 });
}
static tare_tensor *in_beta(tare_tape *t, tare_tensor *x) {
    return tare_instance_norm(t, x, NULL, filled(t, TARE_SHAPE(2), 0, 1, 1), (tare_instance_norm_opt){ 0 });
}

/* Rows without columns have gradients without values, and no rows leave gamma's at zero. */
static void rows_of_nothing(void **state) {
    (void)state;
    for (int64_t rows = 0; rows < 2; rows++) {
        tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true, .guard = true });
        tare_tensor *x = filled(tape, rows ? TARE_SHAPE(3, 0) : TARE_SHAPE(0, 2), 0, 1, 1);
        tare_tensor *gamma = filled(tape, TARE_SHAPE(rows ? 0 : 2), 0, 1, 1);
        x->requires_grad = gamma->requires_grad = true;
        tare_tensor *y = tare_layer_norm(tape, x, gamma, NULL, (tare_layer_norm_opt){ 0 });
        assert_ok(tare_tape_status(tape));
        assert_ok(tare_backward_from(tape, y, &(tare_real){ 1 }));
        assert_ok(tare_tape_guard(tape));
        for (int64_t i = 0; i < gamma->numel; i++) { assert_true(gamma->grad[i] == 0); }
        tare_tape_free(tape);
    }
}

static void errors(void **state) {
    (void)state;
    const struct {
        run_fn run;
        tare_shape x;
        tare_status status;
        const char *words;
    } cases[] = {
        { bn, TARE_SHAPE(1, 3), TARE_ESHAPE, "batch_norm \"norm1\": x [1,3] has 1 value per channel" },
        { bn, TARE_SHAPE(1, 3, 1, 1), TARE_ESHAPE,
          "make the batch larger (drop the last one if it is short), or use a norm" },
        { bn, TARE_SHAPE(3), TARE_ESHAPE, "x [3] must be [N,C], [N,C,L] or [N,C,H,W]" },
        { bn_gamma, TARE_SHAPE(4, 3), TARE_ESHAPE, "gamma is [2], must be [3] for x [4,3]" },
        { bn_half, TARE_SHAPE(4, 3), TARE_EINVAL, "running_mean and running_var come together" },
        { bn_eps, TARE_SHAPE(4, 3), TARE_EINVAL, "eps is -1" },
        { bn_nan, TARE_SHAPE(4, 3), TARE_EINVAL, "eps is nan" },
        { bn_update, TARE_SHAPE(4, 3), TARE_EINVAL, "stat_update is 1.5" },
        { bn_sub, TARE_SHAPE(4, 3), TARE_EINVAL, "sub_batch is -2" },
        { bn_use, TARE_SHAPE(4, 3), TARE_EINVAL, "has none" },
        { ln, TARE_SHAPE(4, 1), TARE_ESHAPE, "x [4,1] has 1 value per sample" },
        { ln_dims, TARE_SHAPE(4, 3), TARE_ESHAPE, "x [4,3] has fewer than the 5 dimensions" },
        { ln_negative, TARE_SHAPE(4, 3), TARE_EINVAL, "dims is -1" },
        { ln_gamma, TARE_SHAPE(4, 3), TARE_ESHAPE, "gamma is [2], must be [3] for x [4,3]" },
        { ln_channels, TARE_SHAPE(3), TARE_ESHAPE, "x [3] must be [N,C,...]" },
        { ln_channels, TARE_SHAPE(2, 1, 4), TARE_ESHAPE, "x [2,1,4] has 1 value per position" },
        { gn_5, TARE_SHAPE(2, 12, 3), TARE_ESHAPE,
          "5 groups do not divide the 12 channels of x [2,12,3]; these do: 1 2 3 4 6 12" },
        { gn_0, TARE_SHAPE(2, 12, 3), TARE_EINVAL, "groups is 0" },
        { gn_12, TARE_SHAPE(2, 12), TARE_ESHAPE, "x [2,12] has 1 value per sample and group" },
        { in, TARE_SHAPE(2, 3), TARE_ESHAPE, "x [2,3] must be [N,C,L] or [N,C,H,W]" },
        { in, TARE_SHAPE(2, 3, 1, 1), TARE_ESHAPE,
          "instance_norm \"norm1\": x [2,3,1,1] has 1 value per sample and channel" },
        { in, TARE_SHAPE(2, 0, 4), TARE_ESHAPE, "x [2,0,4] has no channels" },
        { in_beta, TARE_SHAPE(2, 3, 4), TARE_ESHAPE, "beta is [2], must be [3]" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int training = 0; training < 2; training++) {
            tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = training });
            tare_tape_layer_set(tape, "norm1");
            assert_null(cases[i].run(tape, filled(tape, cases[i].x, 0, 1, 1)));
            assert_int_equal(cases[i].status, tare_tape_status(tape));
            assert_contains(tare_tape_error(tape), cases[i].words);
            tare_tape_free(tape);
        }
    }
}

static void null_gives_null(void **state) {
    (void)state;
    tare_tape *tape = tare_tape_new((tare_tape_opt){ 0 });
    const run_fn runs[] = { bn, ln, gn_5, in };
    for (int i = 0; i < 4; i++) { assert_null(runs[i](tape, NULL)); }
    assert_ok(tare_tape_status(tape)); /* what gave NULL has said why */
    tare_tape_free(tape);
}

int main(void) {
    if (test_isa_missing()) { return 77; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_nothing),
        cmocka_unit_test(errors),
        cmocka_unit_test(null_gives_null),
    };
    return cmocka_run_group_tests_name("norm errors", tests, NULL, NULL);
}
