/* test_run.c - the run folder, the options that programs share, the guard. */
#include "testing_support.h"

#include <tare/tare.h>

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct values {
    tare_run_opt run;
    tare_learn_opt learn;
} values;

static tare_options *parser(values *v) {
    *v = (values){ 0 };
    tare_options *o = tare_options_new("demo", "about");
    assert_non_null(o);
    assert_ok(tare_options_add(o, tare_learn_options, &v->learn));
    assert_ok(tare_options_add(o, tare_run_options, &v->run));
    return o;
}

static char *read_all(const char *path) {
    static char text[65536];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = '\0';
    fclose(file);
    return text;
}

static void write_all(const char *path, const char *text) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* ---- the folder -------------------------------------------------------------------------------------------------- */

static void test_folder(void **state) {
    (void)state;
    char *dir = test_dir_new();
    values v;
    tare_options *o = parser(&v);
    tare_run *run;
    assert_ok(tare_learn_resolve(&v.learn, false));
    v.learn.schedule = "a\"b\\"; /* for config.json's sake */
    v.run.out = test_path(dir, "a/b/run");
    assert_ok(tare_run_open(&run, o, &v.run, "hint"));
    assert_string_equal(tare_run_folder(run), v.run.out);
    assert_ok(tare_run_log(run, "epoch",
                           TARE_FIELDS(TARE_NUMBER("loss", 0.1), TARE_NUMBER("step", 3), TARE_NUMBER("bad", NAN),
                                       TARE_TEXT("why", "a \"b\"\n"), TARE_LIST("v", ((double[]){ 1, 2.5 }), 2))));
    assert_string_equal(
        read_all(tare_run_path(run, "metrics.jsonl")),
        "{\"event\":\"epoch\",\"loss\":0.1,\"step\":3,\"bad\":null,\"why\":\"a \\\"b\\\"\\u000a\",\"v\":[1,2.5]}\n");
    char *config = read_all(tare_run_path(run, "config.json"));
    static const char *const words[] = { "\"program\": \"demo\"",
                                         "\"version\": \"" TARE_VERSION "\"",
                                         "\"command\": \"tare demo --lr 0.001 --schedule 'a\\\"b\\\\'\"",
                                         "\"cpu\": ",
                                         "\"isa\": ",
                                         "\"blas\": ",
                                         "\"threads\": ",
                                         "\"seed\": 1",
                                         "\"optimizer\": \"adamw\"" };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) { assert_contains(config, words[i]); }
    tare_run_close(run);
    tare_options_free(o);
    test_dir_remove(dir);
}

static void test_refused(void **state) {
    (void)state;
    char *dir = test_dir_new();
    values v;
    tare_options *o = parser(&v);
    tare_run *run;
    char out[4096];
    snprintf(out, sizeof out, "%s/run", dir);
    v.run.out = out;
    assert_ok(tare_run_open(&run, o, &v.run, NULL));
    assert_ok(tare_run_log(run, "start", TARE_FIELDS(TARE_NUMBER("x", 1))));
    tare_run_close(run);
    write_all(test_path(v.run.out, "notes.txt"), "mine");
    assert_int_equal(mkdir(test_path(v.run.out, "samples"), 0777), 0);
    write_all(test_path(v.run.out, "samples/step-9.png"), "old");
    write_all(test_path(v.run.out, "samples/mine.txt"), "mine");
    assert_status(TARE_EEXIST, tare_run_open(&run, o, &v.run, NULL));
    assert_null(run);
    assert_contains(tare_error(), "--resume");
    assert_contains(tare_error(), "--force");
    assert_contains(read_all(test_path(v.run.out, "metrics.jsonl")), "start");

    v.run.force = true; /* clears the run and nothing else */
    assert_ok(tare_run_open(&run, o, &v.run, NULL));
    tare_run_close(run);
    assert_string_equal(read_all(test_path(v.run.out, "metrics.jsonl")), "");
    assert_string_equal(read_all(test_path(v.run.out, "notes.txt")), "mine");
    assert_int_equal(access(test_path(v.run.out, "samples/step-9.png"), F_OK), -1);
    assert_string_equal(read_all(test_path(v.run.out, "samples/mine.txt")), "mine");

    v.run = (tare_run_opt){ .out = test_path(dir, "run/notes.txt/x") };
    assert_status(TARE_EIO, tare_run_open(&run, o, &v.run, NULL));
    v.run = (tare_run_opt){ .resume = test_path(dir, "nothing") };
    assert_status(TARE_ENOENT, tare_run_open(&run, o, &v.run, NULL));
    assert_contains(tare_error(), "nothing");
    tare_options_free(o);
    test_dir_remove(dir);
}

/* Resuming appends, and begins a line of its own where a crash has cut the last one. */
static void test_append(void **state) {
    (void)state;
    char *dir = test_dir_new();
    values v;
    tare_options *o = parser(&v);
    tare_run *run;
    write_all(test_path(dir, "metrics.jsonl"), "{\"event\":\"one\"}\n{\"eve");
    write_all(test_path(dir, "config.json"), "before");
    v.run.resume = dir;
    assert_ok(tare_run_open(&run, o, &v.run, NULL));
    assert_string_equal(read_all(test_path(dir, "config.json")), "before"); /* until something has come of it */
    assert_ok(tare_run_log(run, "two", TARE_FIELDS(TARE_NUMBER("x", 1))));
    assert_contains(read_all(test_path(dir, "config.json")), "\"seed\": 1");
    assert_string_equal(read_all(test_path(dir, "metrics.jsonl")),
                        "{\"event\":\"one\"}\n{\"eve\n{\"event\":\"two\",\"x\":1}\n");
    /* a second process keeps out */
    pid_t child = fork();
    if (child == 0) {
        tare_run *other;
        bool kept_out =
            tare_run_open(&other, o, &v.run, NULL) == TARE_EEXIST && strstr(tare_error(), "another process");
        v.run = (tare_run_opt){ .out = dir, .force = true }; /* nor may it clear what is being written */
        kept_out = kept_out && tare_run_open(&other, o, &v.run, NULL) == TARE_EEXIST &&
                   strstr(tare_error(), "another process");
        _exit(kept_out ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_contains(read_all(test_path(dir, "metrics.jsonl")), "two");
    assert_contains(read_all(test_path(dir, "config.json")), "seed");
    tare_run_close(run);
    tare_options_free(o);
    test_dir_remove(dir);
}

static void test_default_name(void **state) {
    (void)state;
    char *dir = test_dir_new(), here[4096];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(dir), 0);
    values v;
    tare_options *o = parser(&v);
    tare_run *one, *two;
    assert_ok(tare_run_open(&one, o, &v.run, "cnn-gn:8"));
    assert_ok(tare_run_open(&two, o, &v.run, "cnn-gn:8"));
    assert_contains(tare_run_folder(one), "runs/demo-cnn-gn_8-2");
    assert_string_not_equal(tare_run_folder(one), tare_run_folder(two));
    tare_run_close(one);
    tare_run_close(two);
    tare_options_free(o);
    assert_int_equal(chdir(here), 0);
    test_dir_remove(dir);
}

/* What a program suggests to type next works for folders with spaces in their names. */
static void test_word(void **state) {
    (void)state;
    static const char *const names[][2] = { { "plain", "/plain" }, { "two words", "/two words'" } };
    char *dir = test_dir_new();
    for (int i = 0; i < 2; i++) {
        values v;
        tare_options *o = parser(&v);
        tare_run *run;
        v.run.out = test_path(dir, names[i][0]);
        assert_ok(tare_run_open(&run, o, &v.run, NULL));
        assert_contains(tare_run_word(run), names[i][1]);
        assert_int_equal(tare_run_word(run)[0], i == 0 ? dir[0] : '\'');
        tare_run_close(run);
        tare_options_free(o);
    }
    test_dir_remove(dir);
}

/* A disk without room is an error, and the old file is still there. */
static void test_full_disk(void **state) {
    (void)state;
    struct stat device;
    if (stat("/dev/full", &device) != 0) { skip(); }
    char *dir = test_dir_new();
    values v;
    tare_options *o = parser(&v);
    tare_run *run;
    assert_int_equal(symlink("/dev/full", test_path(dir, "metrics.jsonl")), 0);
    v.run.resume = dir;
    assert_ok(tare_run_open(&run, o, &v.run, NULL));
    assert_status(TARE_EIO, tare_run_log(run, "epoch", TARE_FIELDS(TARE_NUMBER("x", 1))));
    assert_contains(tare_error(), "metrics.jsonl");
    tare_run_close(run);
    tare_options_free(o);
    test_dir_remove(dir);
}

/* ---- options that programs share --------------------------------------------------------------------------------- */

static void test_learn(void **state) {
    (void)state;
    values v;
    tare_options *o = parser(&v);
    tare_params *ps = tare_params_new(1);
    tare_param(ps, "w", TARE_SHAPE(4), 0);
    static const struct {
        const char *optimizer;
        double lr;
    } kinds[] = { { "sgd", 1e-3 }, { "adam", 1e-3 }, { "adamw", 1e-3 }, { "rmsprop", 1e-2 } };
    for (int i = 0; i < 4; i++) {
        v.learn.optimizer = kinds[i].optimizer;
        assert_ok(tare_learn_resolve(&v.learn, false));
        assert_near(v.learn.lr, kinds[i].lr, 0);
        tare_optim *optim = tare_learn_optim(&v.learn, ps);
        assert_non_null(optim);
        assert_string_equal(tare_optim_name(optim), kinds[i].optimizer);
        assert_near(tare_optim_lr(optim), kinds[i].lr, 0);
        tare_optim_free(optim);
    }
    v.learn.lr = 0; /* given as 0, it is 0 */
    assert_ok(tare_learn_resolve(&v.learn, true));
    tare_optim *optim = tare_learn_optim(&v.learn, ps);
    assert_near(tare_optim_lr(optim), 0, 0);
    tare_optim_free(optim);

    v.learn.optimizer = "adamv";
    assert_status(TARE_EINVAL, tare_learn_resolve(&v.learn, true));
    assert_contains(tare_error(), "did you mean \"adam");
    v.learn.optimizer = "adam";
    v.learn.momentum = 0.9;
    assert_status(TARE_EINVAL, tare_learn_resolve(&v.learn, true));
    assert_contains(tare_error(), "--momentum");
    v.learn.momentum = 0;
    v.learn.schedule = "cosinus";
    assert_status(TARE_EINVAL, tare_learn_resolve(&v.learn, true));
    assert_contains(tare_error(), "--schedule");
    v.learn.schedule = "cosine:min=1";
    assert_status(TARE_EINVAL, tare_learn_resolve(&v.learn, true));
    assert_contains(tare_error(), "--schedule: min is 1, above the rate");
    v.learn.schedule = "cosine:warmup=3";
    v.learn.warmup = 11;
    assert_status(TARE_EINVAL, tare_learn_resolve(&v.learn, true));
    assert_contains(tare_error(), "choose one");
    v.learn.schedule = "cosine";
    tare_schedule s;
    assert_status(TARE_EINVAL, tare_learn_schedule(&v.learn, 10, &s));
    assert_contains(tare_error(), "--warmup");
    v.learn.warmup = 5;
    v.learn.lr = 0.5;
    assert_ok(tare_learn_schedule(&v.learn, 10, &s));
    assert_near(tare_schedule_at(&s, 5), 0.5, 0);
    tare_params_free(ps);
    tare_options_free(o);
}

/* ---- the guard --------------------------------------------------------------------------------------------------- */

static void test_guard(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(1);
    tare_tensor *w = tare_param(ps, "w", TARE_SHAPE(3), 0), *b = tare_buffer(ps, "mean", TARE_SHAPE(2));
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
    b->data[0] = 1;
    b->data[1] = 2;
    tare_tape_step_set(tape, 7);
    tare_guard *g = tare_guard_new(ps, tape, NULL);
    assert_non_null(g);
    assert_ok(tare_params_check_finite(ps));
    tare_tape_reset(tape);
    b->data[1] = (tare_real)NAN;
    assert_status(TARE_ENONFINITE, tare_params_check_finite(ps));
    assert_contains(tare_error(), "mean");
    assert_ok(tare_guard_restore(g));
    assert_near(b->data[1], 2, 0);
    assert_int_equal(tare_tape_step(tape), 7);
    w->data[2] = (tare_real)INFINITY;
    assert_status(TARE_ENONFINITE, tare_params_check_finite(ps));
    assert_contains(tare_error(), "w holds inf at 2 of 3");
    tare_guard_free(g);
    tare_tape_free(tape);
    tare_params_free(ps);
}

static void test_machine(void **state) {
    (void)state;
    tare_machine m;
    tare_machine_get(&m);
    assert_true(m.cores >= 1 && m.threads >= 1);
    assert_true(strlen(m.cpu) > 0 && strlen(m.isa) > 0);
    assert_contains(m.blas, "OpenBLAS");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folder), cmocka_unit_test(test_refused),      cmocka_unit_test(test_append),
        cmocka_unit_test(test_learn),  cmocka_unit_test(test_default_name), cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_word),   cmocka_unit_test(test_guard),        cmocka_unit_test(test_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
