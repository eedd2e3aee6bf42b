/* test_schedule.c - learning-rate schedules against PyTorch's, their text form, their errors.
 * tare-test: double */
#include "testing_support.h"

#include <tare/optim.h>

#include <math.h>

enum { STEPS = 30 };

static void test_against_pytorch(void **state) {
    (void)state;
    const char *const specs[] = { "constant", "cosine:min=0.01", "linear:min=0.01", "step:every=7,gamma=0.5" };
    golden *gold = golden_open("schedule");
    assert_non_null(gold);
    for (int i = 0; i < 4; i++) {
        for (int warmup = 0; warmup <= 5; warmup += 5) {
            tare_schedule s = { .lr = 0.2, .steps = STEPS, .warmup = warmup };
            assert_ok(tare_schedule_parse(&s, specs[i]));
            assert_ok(tare_schedule_check(&s));
            const char *name = tare_schedule_name(s.kind);
            const double *want = golden_get(gold, NULL, warmup ? "%s_warmup" : "%s", name);
            assert_non_null(want);
            for (int t = 0; t < STEPS; t++) {
                double got = tare_schedule_at(&s, t);
                if (!(fabs(got - want[t]) <= 1e-14)) { fail_msg("%s at %d: %.17g, not %.17g", name, t, got, want[t]); }
            }
        }
    }
    golden_close(gold);
}

static void test_shape(void **state) {
    (void)state;
    tare_schedule s = { .kind = TARE_SCHEDULE_COSINE, .lr = 1, .min = 0.1, .steps = 100, .warmup = 10 };
    assert_near(tare_schedule_at(&s, 0), 1.0 / 11, 1e-15);
    assert_near(tare_schedule_at(&s, 10), 1, 0);
    assert_near(tare_schedule_at(&s, 55), 0.55, 1e-15);
    assert_near(tare_schedule_at(&s, 100), 0.1, 1e-15);
    assert_near(tare_schedule_at(&s, 1000000), 0.1, 1e-15); /* stays there */
    s.kind = TARE_SCHEDULE_LINEAR;
    assert_near(tare_schedule_at(&s, 1000000), 0.1, 1e-15);
    /* shares of the run, and the defaults: a third, a tenth */
    tare_schedule step = { .kind = TARE_SCHEDULE_STEP, .lr = 1, .steps = 90 };
    assert_near(tare_schedule_at(&step, 29), 1, 0);
    assert_near(tare_schedule_at(&step, 30), 0.1, 1e-16);
    assert_near(tare_schedule_at(&step, 60), 0.01, 1e-17);
    step.every = 0.5;
    assert_near(tare_schedule_at(&step, 44), 1, 0);
    assert_near(tare_schedule_at(&step, 45), 0.1, 1e-16);
    step.every = 0.33, step.steps = 20; /* 6.6 steps: the nearest number of them */
    assert_near(tare_schedule_at(&step, 6), 1, 0);
    assert_near(tare_schedule_at(&step, 7), 0.1, 1e-16);
    /* no length at all */
    tare_schedule none = { .kind = TARE_SCHEDULE_COSINE, .lr = 1, .min = 0.5 };
    assert_near(tare_schedule_at(&none, 0), 1, 0);
    assert_near(tare_schedule_at(&none, 7), 0.5, 0);
}

static void test_parse(void **state) {
    (void)state;
    const char *const texts[] = { "constant", "cosine:min=1e-05", "step:every=1000,gamma=0.5",
                                  "linear:min=0.25,warmup=100" };
    for (int i = 0; i < 4; i++) {
        tare_schedule s = { .lr = 3, .steps = 1000 };
        tare_schedule_buf buf;
        assert_ok(tare_schedule_parse(&s, texts[i]));
        assert_string_equal(tare_schedule_text(&s, &buf), texts[i]);
        assert_true(s.lr == 3 && s.steps == 1000);
    }
    /* the longest text fits */
    tare_schedule s = { TARE_SCHEDULE_STEP, 1, 0, 1, 9007199254740992, 1e300 / 3, 2e-300 / 3 },
                  back = { .kind = TARE_SCHEDULE_CONSTANT };
    tare_schedule_buf buf;
    assert_ok(tare_schedule_parse(&back, tare_schedule_text(&s, &buf)));
    assert_true(back.warmup == s.warmup && back.every == s.every && back.gamma == s.gamma);
}

static void test_parse_errors(void **state) {
    (void)state;
    const char *const bad[][2] = {
        { "cosin", "unknown schedule \"cosin\"; known are constant" },
        { "", "unknown schedule" },
        { "cosine:", "KEY=NUMBER" },
        { "cosine:min", "KEY=NUMBER" },
        { "cosine:min=", "KEY=NUMBER" },
        { "cosine:min=1x", "KEY=NUMBER" },
        { "cosine:min=nan", "KEY=NUMBER" },
        { "cosine:min=-1", "min is -1" },
        { "cosine:gamma=0.5", "cosine has no gamma; step does" },
        { "constant:min=0.1", "constant has no min; cosine and linear do" },
        { "step:min=0.1", "step has no min" },
        { "step:every=0", "every is 0" },
        { "step:gamma=0", "gamma is 0" },
        { "cosine:max=1", "unknown key \"max\"; known are min" },
        { "cosine:min=1,", "KEY=NUMBER" },
        { "cosine:warmup=1.5", "warmup" },
        { "cosine:warmup=1e300", "warmup" },
        { "step:every=0000000000000000000000000000000000000000000000000000000000000000000000000007", "too long" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tare_schedule s = { .kind = TARE_SCHEDULE_STEP, .lr = 1, .min = 2 }, before = s;
        assert_status(TARE_EINVAL, tare_schedule_parse(&s, bad[i][0]));
        assert_contains(tare_error(), bad[i][1]);
        assert_true(s.kind == before.kind && s.min == before.min && s.warmup == before.warmup);
    }
}

static void test_check(void **state) {
    (void)state;
    const tare_schedule bad[] = {
        { .lr = -1 },
        { .lr = (double)NAN },
        { .lr = (double)INFINITY },
        { .min = -1 },
        { .every = -1 },
        { .gamma = (double)NAN },
        { .warmup = -1 },
        { .steps = -1 },
        { .steps = 5, .warmup = 6 },
        { .kind = (tare_schedule_kind)9 },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) { assert_status(TARE_EINVAL, tare_schedule_check(&bad[i])); }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_pytorch), cmocka_unit_test(test_shape), cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_errors),    cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
