/* test_alloc_failure.c - a training step in which the n-th allocation fails, for every n: TARE_ENOMEM or success, never a
 * crash or a leak, and nothing half done.   (ASan and LeakSanitizer make this test sharper.) */
#include "nets.h"

#include <tare/testing.h>

#include <stdio.h>

enum { MOST_X = 4096, MOST_N = 64, STEPS = 3 };

static const char *net_name(void **state) { return ((const net_kind *)*state)->name; }

static tare_status whole_run(const char *name, const tare_real *x, const int32_t *target) {
    net n;
    tare_status status = net_new(&n, name, 1);
    if (status) { return status; }
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
    status = tape ? TARE_OK : TARE_ENOMEM;
    for (int step = 0; step < STEPS && !status; step++) { status = net_step(&n, tape, x, target, NULL); }
    tare_tape_free(tape);
    net_free(&n);
    return status;
}

static void batch_for(const char *name, tare_real *x, int32_t *target) {
    net n;
    assert_ok(net_new(&n, name, 1));
    net_fill(&n, 1, x, target);
    net_free(&n);
}

/* Building the model, its optimizer and tape, and training. */
static void anywhere_in_a_run(void **state) {
    tare_real x[MOST_X];
    int32_t target[MOST_N];
    batch_for(net_name(state), x, target);
    uint64_t live = tare_alloc_live(), count = tare_alloc_count();
    assert_ok(whole_run(net_name(state), x, target));
    uint64_t allocations = tare_alloc_count() - count;
    assert_true(allocations > 20);
    for (uint64_t n = 1; n <= allocations; n++) {
        tare_alloc_fail_at(n);
        tare_status status = whole_run(net_name(state), x, target);
        tare_alloc_fail_at(0);
        if (status != TARE_ENOMEM) { print_error("allocation %d of %d failed\n", (int)n, (int)allocations); }
        assert_status(TARE_ENOMEM, status);
        assert_contains(tare_error(), "memory");
        assert_int_equal(tare_alloc_live(), live);
    }
    assert_ok(whole_run(net_name(state), x, target));
}

/* A step that fails leaves parameters and optimizer as they were: once memory is back, the run goes on to the very bits of
 * one that was never disturbed. (Only BatchNorm's running statistics have seen the batch twice.) */
static void a_failed_step_can_be_repeated(void **state) {
    tare_real x[MOST_X];
    int32_t target[MOST_N];
    batch_for(net_name(state), x, target);
    net calm;
    double want = 0, got = 0;
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
    assert_ok(net_new(&calm, net_name(state), 1));
    tare_tape_step_set(tape, 0);
    assert_ok(net_step(&calm, tape, x, target, &want));
    tare_tape_free(tape);
    int failures = 0;
    for (uint64_t at = 1; at < 100; at++) {
        net n;
        assert_ok(net_new(&n, net_name(state), 1));
        tape = tare_tape_new((tare_tape_opt){ .training = true });
        tare_alloc_fail_at(at);
        tare_status status = net_step(&n, tape, x, target, &got);
        tare_alloc_fail_at(0);
        if (status) {
            failures++;
            assert_status(TARE_ENOMEM, status);
            tare_tape_step_set(tape, 0);
            assert_ok(net_step(&n, tape, x, target, &got));
        }
        assert_true(got == want);
        assert_memory_equal(tare_params_flat(n.ps), tare_params_flat(calm.ps),
                            (size_t)tare_params_flat_size(n.ps) * sizeof(tare_real));
        tare_tape_free(tape);
        net_free(&n);
        if (!status) { break; }
    }
    assert_true(failures > 3);
    net_free(&calm);
}

static tare_tensor *loss_graph(tare_tape *tape, tare_tensor *const *in, void *user) {
    static const int32_t target[MOST_N];
    const net *n = user;
    return tare_cross_entropy(tape, tare_forward(n->model, tape, in[0]), target, (tare_cross_entropy_opt){ 0 });
}

static void in_a_gradient_check(void **state) {
    net n;
    assert_ok(net_new(&n, net_name(state), 1));
    const tare_gradcheck_input in = { .shape = net_batch_shape(&n), .nograd = true };
    const tare_gradcheck_opt opt = { .bits = true, .params = n.ps };
    uint64_t live = tare_alloc_live(), count = tare_alloc_count();
    assert_ok(tare_gradcheck("net", loss_graph, &n, &in, 1, &opt, NULL));
    uint64_t allocations = tare_alloc_count() - count;
    for (uint64_t k = 1; k <= allocations; k++) {
        tare_gradcheck_report report;
        tare_alloc_fail_at(k);
        tare_status status = tare_gradcheck("net", loss_graph, &n, &in, 1, &opt, &report);
        tare_alloc_fail_at(0);
        assert_status(TARE_ENOMEM, status);
        assert_int_equal(report.check, TARE_CHECK_ERROR);
        assert_int_equal(tare_alloc_live(), live);
    }
    net_free(&n);
}

int main(void) {
    const CMUnitTestFunction run[] = { anywhere_in_a_run, a_failed_step_can_be_repeated, in_a_gradient_check };
    static const char *const what[] = { "anywhere", "repeated", "gradcheck" };
    enum { MOST = 64 };
    struct CMUnitTest tests[MOST];
    static char names[MOST][64];
    size_t count = 0;
    for (const net_kind *k = net_kinds; k->name; k++) {
        for (size_t i = 0; i < 3; i++) {
            snprintf(names[count], sizeof names[count], "%s_%s", k->name, what[i]);
            tests[count] = (struct CMUnitTest){ names[count], run[i], NULL, NULL, (void *)(uintptr_t)k };
            count++;
        }
    }
    return _cmocka_run_group_tests("alloc_failure", tests, count, NULL, NULL);
}
