/* test_program_mnist_resume.c - tare mnist stopped, killed, out of time, looked into, and gone on with: nothing is lost or changed. */
#include "mnist_stripes.h"

/* ---- resuming ------------------------------------------------------------------------------------------------------ */

static void assert_same_epoch(const char *a, const char *b) {
    static const char *const names[] = { "step", "lr", "loss", "accuracy", "test_loss", "test_accuracy", "best" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        double x = metric(a, "epoch", names[i]), y = metric(b, "epoch", names[i]);
        if (!(x == y)) { fail_msg("%s: %.17g and %.17g", names[i], x, y); }
    }
}

#define RANDOM "--arch cnn --norm bn --dropout 0.3 --augment both --label-smoothing 0.1 --weight-decay 0.05 --clip 1 "

static void test_resume(void **state) {
    (void)state;
    const char *whole = place("whole"), *parts = place("parts");
    assert_code(0, run("tare-mnist " SMALL RANDOM "--schedule constant --epochs 4 --out %s", work, whole));
    assert_code(0, run("tare-mnist " SMALL RANDOM "--schedule constant --epochs 2 --out %s", work, parts));
    assert_code(0, run("tare-mnist --resume %s --epochs 4 --threads 2", parts));
    assert_same_model(whole, parts);
    assert_same_epoch(whole, parts);
    /* finished is finished */
    assert_code(0, run("tare-mnist --resume %s", parts));
    assert_same_model(whole, parts);
    const outcome *o = run("tare-mnist --resume %s --norm gn:8", parts);
    assert_code(2, o);
    assert_contains(o->err, "--norm cannot change");
}

/* Killed after steps that no checkpoint knows of: they are made again, and stand in metrics.jsonl once. */
static void test_steps_made_again(void **state) {
    (void)state;
    const char *folder = place("killed");
    assert_code(0, run("tare-mnist " SMALL RANDOM "--epochs 2 --schedule constant --out %s", work, folder));
    assert_int_equal(rename(test_path(folder, "last.safetensors"), place("kept")), 0);
    assert_code(0, run("tare-mnist " SMALL RANDOM "--epochs 4 --schedule constant --force --out %s", work, folder));
    int64_t steps = count_of(folder, "{\"event\":\"train\"");
    assert_true(steps > 30);
    assert_int_equal(rename(place("kept"), test_path(folder, "last.safetensors")), 0);
    assert_code(0, run("tare-mnist --resume %s", folder));
    assert_int_equal(count_of(folder, "{\"event\":\"train\""), steps);
    assert_int_equal(count_of(folder, "{\"event\":\"resume\""), 1);
    assert_int_equal(count_of(folder, "{\"event\":\"epoch\""), 4);
    assert_int_equal(count_of(folder, "{\"event\":\"end\""), 1);
    double before = 0;
    for (const char *s = metrics_of(folder); (s = strstr(s, "{\"event\":\"train\",\"step\":")); s++) {
        double step = strtod(s + strlen("{\"event\":\"train\",\"step\":"), NULL);
        assert_true(step > before);
        before = step;
    }
}

/* Ctrl-C in the middle of an epoch, then --resume: as if nothing had happened. */
static void test_interrupt(void **state) {
    (void)state;
    const char *whole = place("calm"), *parts = place("stopped"), *out = place("stopped.txt");
    char line[16384];
    assert_code(0, run("tare-mnist " SMALL RANDOM "--epochs 8 --out %s", work, whole));
    snprintf(line, sizeof line, "tare-mnist " SMALL RANDOM "--epochs 8 --out %s", work, parts);
    pid_t child = spawn(&(start){ .out = out, .err = out }, line);
    assert_true(wait_for(test_path(parts, "metrics.jsonl"), "\"epoch\":1,"));
    assert_int_equal(kill(child, SIGINT), 0);
    assert_int_equal(wait_code(child), 130);
    char said[4096];
    read_text(out, said, sizeof said);
    assert_contains(said, "--resume");
    assert_true(metric(parts, "stop", "step") >= 15);
    assert_true(metric(parts, "stop", "step") < 8 * 15);
    assert_code(0, run("tare-mnist --resume %s --quiet", parts));
    assert_same_model(whole, parts);
    assert_same_epoch(whole, parts);
}

/* Stopped within the first epoch, resumed with no time left: the epoch so far is tested, no accuracy is made up. */
static void test_no_time_left(void **state) {
    (void)state;
    const char *folder = place("hurried"), *out = place("hurried.txt");
    char line[16384];
    snprintf(line, sizeof line, "tare-mnist " SMALL "--arch resnet20 --limit 0 --epochs 1 --out %s", work, folder);
    pid_t child = spawn(&(start){ .out = out, .err = out }, line);
    assert_true(wait_for(test_path(folder, "metrics.jsonl"), "\"event\":\"train\""));
    assert_int_equal(kill(child, SIGINT), 0);
    assert_int_equal(wait_code(child), 130);
    assert_code(0, run("tare-mnist --resume %s --seconds 0.0001", folder));
    assert_int_equal(metric(folder, "end", "epoch"), 1);
    assert_true(metric(folder, "end", "test_accuracy") > 0);
    assert_int_equal(count_of(folder, "\"event\":\"epoch\""), 1);
}

/* ---- looking into steps -------------------------------------------------------------------------------------------- */

/* --norm-stats changes no weight; every tenth step of 26 is logged, once each, whether the run is resumed in between or not. */
static void test_norm_stats(void **state) {
    (void)state;
    const char *without = place("unseen"), *with = place("seen");
    const char *common = RANDOM "--schedule constant --limit 256";
    assert_code(0, run("tare-mnist " SMALL "%s --epochs 2 --out %s", work, common, without));
    assert_code(0, run("tare-mnist " SMALL "%s --epochs 1 --norm-stats 10 --out %s", work, common, with));
    assert_code(0, run("tare-mnist --resume %s --epochs 2", with));
    assert_same_model(without, with);
    assert_int_equal(metric(with, "epoch", "step"), 26);
    assert_int_equal(count_of(without, "_stats\""), 0);
    for (int step = 0; step < 26; step++) {
        char words[64];
        snprintf(words, sizeof words, "\"step\":%d,\"layer\":\"block1.norm\"", step);
        assert_int_equal(count_of(with, words), step % 10 == 0);
    }
    assert_int_equal(metric(with, "norm_stats", "step"), 20);
    assert_true(metric(with, "weight_stats", "grad_norm") > 0);
    /* evaluation and another interval on resuming */
    assert_code(0, run("tare-mnist --eval %s --quiet", with));
    assert_code(0, run("tare-mnist --resume %s --epochs 3 --norm-stats 0 --quiet", with));
    assert_int_equal(metric(with, "epoch", "step"), 39);
    assert_int_equal(metric(with, "norm_stats", "step"), 20);
}

int main(void) {
    if (access(TARE_TEST_BIN "/tare-mnist", X_OK) != 0) { return 77; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resume),       cmocka_unit_test(test_steps_made_again), cmocka_unit_test(test_interrupt),
        cmocka_unit_test(test_no_time_left), cmocka_unit_test(test_norm_stats),
    };
    return cmocka_run_group_tests(tests, make_data, remove_data);
}
