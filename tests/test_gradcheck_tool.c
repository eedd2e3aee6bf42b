/* test_gradcheck_tool.c - `tare gradcheck` as a person runs it. */
#include "program_support.h"

static void says_how_it_went(void **state) {
    (void)state;
    const outcome *o = run("tare-gradcheck relu mse/mean");
    assert_code(0, o);
    assert_contains(o->out, "relu ");
    assert_contains(o->out, "mean ");
    assert_contains(o->out, ", 0 failed");
    assert_null(strstr(o->out, "FAILED"));
    assert_string_equal(o->err, "");
}

static void checks_all_of_them(void **state) {
    (void)state;
    const outcome *o = run("tare-gradcheck --all --seed 3");
    assert_code(0, o);
    assert_contains(o->out, "conv2d ");
    assert_contains(o->out, "batch_norm ");
    assert_contains(o->out, ", 0 failed");
}

static void answers_a_typo(void **state) {
    (void)state;
    const outcome *o = run("tare-gradcheck add rleu");
    assert_code(2, o);
    assert_string_equal(o->err, "tare gradcheck: there is no op \"rleu\"; did you mean \"relu\"?\n");
    assert_string_equal(o->out, "");
    o = run("tare-gradcheck mse/meam");
    assert_code(2, o);
    assert_contains(o->err, "mse has no case \"meam\"; did you mean \"mean\"?");
    o = run("tare-gradcheck zzzzzzzzzz");
    assert_code(2, o);
    assert_contains(o->err, "--list shows them all");
    assert_code(2, run("tare-gradcheck"));
    assert_code(2, run("tare-gradcheck --seed -1 relu"));
    assert_code(2, run("tare-gradcheck --nope"));
}

static void lists_what_there_is(void **state) {
    (void)state;
    const outcome *o = run("tare-gradcheck --list");
    assert_code(0, o);
    assert_contains(o->out, "by alias");
    assert_contains(o->out, "softmax ");
    o = run("tare-gradcheck --help");
    assert_code(0, o);
    assert_contains(o->out, "--all");
}

int main(void) {
    work = test_dir_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_how_it_went),
        cmocka_unit_test(checks_all_of_them),
        cmocka_unit_test(answers_a_typo),
        cmocka_unit_test(lists_what_there_is),
    };
    int failed = cmocka_run_group_tests_name("gradcheck_tool", tests, NULL, NULL);
    test_dir_remove(work);
    return failed;
}
