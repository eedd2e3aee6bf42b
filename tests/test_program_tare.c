/* test_program_tare.c - the launcher, tare info, and the example of the README. */
#include "program_support.h"

#include <tare/tare.h>

/* ---- a folder of strangers on PATH ----------------------------------------------------------------------------------- */

static void write_script(const char *name, const char *text, mode_t mode) {
    const char *path = test_path(work, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static int make_strangers(void **state) {
    (void)state;
    work = test_dir_new();
    char script[8192], path[8192];
    snprintf(script, sizeof script, "#!/bin/sh\ntouch %s/was-run\necho \"stranger got $# words: $1 $2\"\nexit 7\n",
             work);
    write_script("tare-stranger", script, 0755);
    write_script("tare-polite", "#!/bin/sh\n# tare-describe: says good day\nexit 0\n", 0755);
    write_script("tare-shy", "#!/bin/sh\n# tare-describe: -part of polite\nexit 0\n", 0755);
    write_script("tare-notes", "no program\n", 0644);
    snprintf(path, sizeof path, "%s:%s", work, getenv("PATH"));
    return setenv("PATH", path, 1);
}

static int remove_strangers(void **state) {
    (void)state;
    test_dir_remove(work);
    return 0;
}

/* ---- the launcher ---------------------------------------------------------------------------------------------------- */

static void test_list(void **state) {
    (void)state;
    static const char *const calls[] = { "tare", "tare --help", "tare -h" };
    for (int i = 0; i < 3; i++) {
        const outcome *o = run("%s", calls[i]);
        assert_code(0, o);
        assert_contains(o->out, "mnist        trains an image classifier");
        assert_contains(o->out, "info         this machine");
        const char *strangers = strstr(o->out, "On your PATH");
        assert_non_null(strangers);
        assert_contains(strangers, "polite       says good day");
        assert_contains(strangers, "stranger ");
        assert_null(strstr(o->out, "notes")); /* cannot be executed */
        assert_null(strstr(o->out, "shy"));   /* asks not to be listed */
        assert_null(strstr(o->out, "gradcheck-f32"));
        for (const char *s = o->out; *s; s += strcspn(s, "\n") + 1) { assert_true(strcspn(s, "\n") <= 80); }
    }
    assert_false(exists(test_path(work, "was-run"))); /* listing runs nobody's program */
}

static void test_launch(void **state) {
    (void)state;
    const outcome *o = run("tare stranger one --two");
    assert_code(7, o);
    assert_contains(o->out, "stranger got 2 words: one --two");
    o = run("tare mnist --version");
    assert_code(0, o);
    assert_contains(o->out, "tare-mnist " TARE_VERSION);
    o = run("tare --version");
    assert_code(0, o);
    assert_contains(o->out, "tare " TARE_VERSION);
    o = run("tare help info");
    assert_code(0, o);
    assert_contains(o->out, "Usage: tare info [OPTION...] [RUN|FILE...]\n");
    o = run("tare help mnist");
    assert_code(0, o);
    assert_contains(o->out, "Usage: tare mnist");
}

static void test_typos(void **state) {
    (void)state;
    static const struct {
        const char *call, *words;
    } cases[] = {
        { "tare mnsit", "did you mean \"tare mnist\"?" },
        { "tare inof", "did you mean \"tare info\"?" },
        { "tare strangr", "did you mean \"tare stranger\"?" },
        { "tare notes", "there is no program \"notes\"" },
        { "tare zzzzzzzz", "`tare` alone lists" },
        { "tare ../tare-mnist", "there is no program" },
        { "tare --verbose", "unknown option --verbose" },
        { "tare help mnsit", "did you mean \"tare mnist\"?" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const outcome *o = run("%s", cases[i].call);
        assert_code(2, o);
        assert_contains(o->err, cases[i].words);
        assert_string_equal(o->out, "");
    }
}

/* A result that did not reach its file is no success. */
static void test_full_disk(void **state) {
    (void)state;
    static const char *const calls[] = { "tare",
                                         "tare --version",
                                         "tare info",
                                         "tare norms bn",
                                         "tare gradcheck --list",
                                         "tare claims --list",
                                         "tare mnist --help",
                                         "tare bench --seconds 0.001" };
    if (access("/dev/full", W_OK) != 0) { skip(); }
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        const outcome *o = run_limited((start){ .out = "/dev/full" }, "%s", calls[i]);
        assert_code(1, o);
        assert_contains(o->err, "standard output could not be written whole");
    }
}

/* ---- tare info ------------------------------------------------------------------------------------------------------- */

static void test_info(void **state) {
    (void)state;
    const outcome *o = run("tare info");
    assert_code(0, o);
    assert_contains(o->out, "kernels");
    assert_contains(o->out, "OpenBLAS");
    assert_contains(o->out, TARE_VERSION);

    setenv("TARE_ISA", "avx3", 1); /* a slip, and a level that is there on every machine */
    assert_contains(run("tare info")->out, "  (TARE_ISA=avx3: not here; known: baseline, avx2, avx512)\n");
    setenv("TARE_ISA", "baseline", 1);
    assert_contains(run("tare info")->out, "kernels    baseline  (TARE_ISA=baseline)\n");
    unsetenv("TARE_ISA");

    tare_params *ps = tare_params_new(1);
    tare_layer_linear(ps, "fc", 3, 2, (tare_layer_linear_opt){ 0 });
    const char *path = test_path(work, "last.safetensors");
    assert_ok(tare_params_save(ps, path));
    tare_params_free(ps);
    o = run("tare info %s/last.safetensors", work);
    assert_code(0, o);
    assert_contains(o->out, "fc.weight");
    assert_contains(o->out, "[2,3]");
    assert_contains(o->out, "2 tensors, 8 values");
    o = run("tare info %s", work); /* a folder stands for the checkpoints in it */
    assert_code(0, o);
    assert_contains(o->out, "fc.bias");
    o = run("tare info %s/tare-notes", work);
    assert_code(1, o);
    assert_contains(o->err, "tare-notes");
    assert_code(1, run("tare info %s/nothing", work));
    assert_code(2, run("tare info --nonsense"));
}

/* ---- hello ------------------------------------------------------------------------------------------------------------ */

static void test_hello(void **state) {
    (void)state;
    const outcome *o = run("hello");
    assert_code(0, o);
    const char *last = strstr(o->out, "step 300  loss ");
    assert_non_null(last);
    double loss = strtod(last + strlen("step 300  loss "), NULL);
    if (!(loss < 0.05)) { fail_msg("loss %g", loss); }
}

int main(void) {
    if (access(TARE_TEST_BIN "/tare", X_OK) != 0) { return 77; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),      cmocka_unit_test(test_launch), cmocka_unit_test(test_typos),
        cmocka_unit_test(test_full_disk), cmocka_unit_test(test_info),   cmocka_unit_test(test_hello),
    };
    return cmocka_run_group_tests(tests, make_strangers, remove_strangers);
}
