/* test_bench_tool.c - `tare bench` as a person runs it; figures themselves are nobody's promise. */
#include "program_support.h"

static void times_an_op_with_the_shapes_given(void **state) {
    (void)state;
    const outcome *o = run("tare-bench --op linear --shape 8x4 16x4 16 --seconds 0.01");
    assert_code(0, o);
    assert_contains(o->out, "[8,4] [16,4] [16]");
    assert_contains(o->out, "\nforward ");
    assert_contains(o->out, "\nforward, backward ");
    assert_string_equal(o->err, "");
}

static void times_a_case_of_the_ops_own(void **state) {
    (void)state;
    const outcome *o = run("tare-bench --op mse --case mean --seconds 0.01");
    assert_code(0, o);
    assert_contains(o->out, "mse, case \"mean\"");
}

static void alone_it_measures_the_machine(void **state) {
    (void)state;
    const outcome *o = run("tare-bench --threads 1");
    assert_code(0, o);
    assert_contains(o->out, "1 thread: at most ");
    assert_contains(o->out, "GFLOP/s");
}

static void says_what_is_wrong(void **state) {
    (void)state;
    const outcome *o = run("tare-bench --op nope");
    assert_code(2, o);
    assert_contains(o->err, "there is no op \"nope\"");
    o = run("tare-bench --op relu --case nope");
    assert_code(2, o);
    assert_contains(o->err, "relu has no case \"nope\"");
    o = run("tare-bench --op linear --shape 8x4 16x5 - --seconds 0.01");
    assert_code(2, o);
    assert_contains(o->err, "linear");
    assert_string_equal(o->out, ""); /* told before anything is measured */
    o = run("tare-bench --op linear --shape 8x4");
    assert_code(2, o);
    assert_contains(o->err, "no case of linear has 1 input, the first has 3; - leaves an optional one out");
    o = run("tare-bench --op relu --shape 3000000000x3000000000x3000000000");
    assert_code(2, o);
    assert_contains(o->err, "more values than can be counted");
    o = run("tare-bench --op relu --shape 8y4");
    assert_code(2, o);
    assert_contains(o->err, "\"8y4\" is not a shape");
}

int main(void) {
    work = test_dir_new();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_an_op_with_the_shapes_given),
        cmocka_unit_test(times_a_case_of_the_ops_own),
        cmocka_unit_test(alone_it_measures_the_machine),
        cmocka_unit_test(says_what_is_wrong),
    };
    int failed = cmocka_run_group_tests_name("bench_tool", tests, NULL, NULL);
    test_dir_remove(work);
    return failed;
}
