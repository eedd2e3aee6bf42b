/* test_trajectory.c - whole training runs: ten steps of small nets beside PyTorch's, the same bits for any number of threads,
 * no allocation once a step has been seen twice.   tare-test: double isa */
#include "nets.h"

#include <math.h>
#include <stdio.h>

enum { MOST_X = 4096, MOST_N = 64, STEPS = 10 };

static const net_kind *kind_of(void **state) { return *state; }

/* ---- beside PyTorch ---------------------------------------------------------------------------------------------- */

static const double *demand(const golden *g, const char *net_name, const char *what, const char *name,
                            tare_shape shape) {
    tare_shape there;
    const double *values = golden_get(g, &there, "%s/%s%s%s", net_name, what, name ? "/" : "", name ? name : "");
    if (!values) { fail_msg("no golden %s/%s/%s", net_name, what, name ? name : ""); }
    assert_true(tare_shape_equal(shape, there) || tare_shape_numel(shape) == tare_shape_numel(there));
    return values;
}

static void load_weights(net *n, const golden *g) {
    for (int i = 0; i < tare_params_count(n->ps); i++) {
        tare_tensor *w = tare_params_at(n->ps, i);
        const double *values = demand(g, n->kind->name, "init", w->name, w->shape);
        for (int64_t k = 0; k < w->numel; k++) { w->data[k] = (tare_real)values[k]; }
    }
}

static void load_batch(const net *n, const golden *g, int64_t batch, tare_real *x, int32_t *target) {
    tare_shape shape;
    const double *xs = golden_get(g, &shape, "%s/x", n->kind->name);
    const double *targets = golden_get(g, NULL, "%s/target", n->kind->name);
    int64_t numel = tare_shape_numel(net_batch_shape(n));
    assert_true(xs && targets && tare_shape_numel(shape) == numel * shape.dim[0] && batch < shape.dim[0]);
    for (int64_t i = 0; i < numel; i++) { x[i] = (tare_real)xs[batch * numel + i]; }
    for (int64_t i = 0; i < n->kind->batch; i++) { target[i] = (int32_t)targets[batch * n->kind->batch + i]; }
}

static void compare_final(const net *n, const golden *g, const tare_tensor *w) {
    const double *want = demand(g, n->kind->name, "final", w->name, w->shape);
    double distance = test_distance(w->data, want, w->numel);
    if (!(distance <= test_tol(2e-3, 1e-8))) { print_error("%s after the last step: %g\n", w->name, distance); }
    assert_true(distance <= test_tol(2e-3, 1e-8));
}

static void ten_steps_as_pytorch(void **state) {
    golden *g = golden_open("trajectory");
    assert_non_null(g);
    net n;
    assert_ok(net_new(&n, kind_of(state)->name, 1));
    load_weights(&n, g);
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true, .guard = true });
    tare_real x[MOST_X];
    int32_t target[MOST_N];
    const double *losses = demand(g, n.kind->name, "loss", NULL, TARE_SHAPE(STEPS));
    double worst = 0;
    for (int step = 0; step < STEPS; step++) {
        double loss;
        load_batch(&n, g, step % 4, x, target);
        assert_ok(net_step(&n, tape, x, target, &loss));
        assert_ok(tare_tape_guard(tape));
        worst = fmax(worst, fabs(loss - losses[step]) / losses[step]);
        assert_near(loss, losses[step], test_tol(1e-4, 1e-9) * losses[step]);
    }
    tare_tape_reset(tape);
    tare_tape_training_set(tape, false);
    load_batch(&n, g, 0, x, target);
    double want = *demand(g, n.kind->name, "eval", NULL, TARE_SCALAR);
    assert_near(tare_item(net_loss(&n, tape, x, target)), want, test_tol(3e-4, 1e-9) * want);
    for (int i = 0; i < tare_params_count(n.ps); i++) { compare_final(&n, g, tare_params_at(n.ps, i)); }
    for (int i = 0; i < tare_params_buffers(n.ps); i++) { compare_final(&n, g, tare_params_buffer_at(n.ps, i)); }
    printf("%-16s worst relative error of the loss over %d steps: %.2g\n", n.kind->name, STEPS, worst);
    tare_tape_free(tape);
    net_free(&n);
    golden_close(g);
}

/* ---- the same bits ----------------------------------------------------------------------------------------------- */

static void train(net *n, int steps, double *losses) {
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true, .seed = 3 });
    tare_real x[MOST_X];
    int32_t target[MOST_N];
    for (int step = 0; step < steps; step++) {
        net_fill(n, (uint64_t)step, x, target);
        assert_ok(net_step(n, tape, x, target, &losses[step]));
    }
    tare_tape_free(tape);
}

static void any_number_of_threads_gives_the_same_bits(void **state) {
    enum { THREADS = 3, LONG = 20 };
    double losses[THREADS][LONG];
    net nets[THREADS];
    int before = tare_threads();
    for (int i = 0; i < THREADS; i++) {
        tare_threads_set(i + 1);
        assert_ok(net_new(&nets[i], kind_of(state)->name, 9));
        train(&nets[i], LONG, losses[i]);
    }
    tare_threads_set(before);
    size_t bytes = (size_t)tare_params_flat_size(nets[0].ps) * sizeof(tare_real);
    size_t buffer_bytes = (size_t)tare_params_buffer_flat_size(nets[0].ps) * sizeof(tare_real);
    for (int i = 1; i < THREADS; i++) {
        assert_memory_equal(losses[0], losses[i], sizeof losses[0]);
        assert_memory_equal(tare_params_flat(nets[0].ps), tare_params_flat(nets[i].ps), bytes);
        if (buffer_bytes) {
            assert_memory_equal(tare_params_buffer_flat(nets[0].ps), tare_params_buffer_flat(nets[i].ps), buffer_bytes);
        }
    }
    assert_true(losses[0][0] != losses[0][1]);
    for (int i = 0; i < THREADS; i++) { net_free(&nets[i]); }
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static void no_allocation_from_the_third_step_on(void **state) {
    net n;
    assert_ok(net_new(&n, kind_of(state)->name, 1));
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
    tare_real x[MOST_X];
    int32_t target[MOST_N];
    net_fill(&n, 1, x, target);
    uint64_t count = 0;
    for (int step = 1; step <= 52; step++) {
        if (step == 3) { count = tare_alloc_count(); }
        assert_ok(net_step(&n, tape, x, target, NULL));
    }
    assert_int_equal(tare_alloc_count(), count);
    assert_true(tare_tape_peak(tape) > 0);
    tare_tape_free(tape);
    net_free(&n);
}

int main(void) {
    if (test_isa_missing()) { return 77; }
    enum { MOST = 64 };
    struct CMUnitTest tests[MOST];
    static char names[MOST][64];
    size_t count = 0;
    for (const net_kind *k = net_kinds; k->name; k++) {
        const struct {
            const char *what;
            CMUnitTestFunction run;
        } each[] = {
            { "as_pytorch", k->dropout > 0 ? NULL : ten_steps_as_pytorch },
            { "threads", any_number_of_threads_gives_the_same_bits },
            { "allocations", no_allocation_from_the_third_step_on },
        };
        for (size_t i = 0; i < 3; i++) {
            if (!each[i].run) { continue; }
            snprintf(names[count], sizeof names[count], "%s_%s", k->name, each[i].what);
            tests[count] = (struct CMUnitTest){ names[count], each[i].run, NULL, NULL, (void *)(uintptr_t)k };
            count++;
        }
    }
    return _cmocka_run_group_tests("trajectory", tests, count, NULL, NULL);
}
