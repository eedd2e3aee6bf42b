/* test_gradcheck_self.c - does the gradient check notice? An op with one fault at a time, each to be rejected for the right
 * reason, and its correct twin, to be passed.   tare-test: double
 *
 *   y_i = w_i d_i^2,  d_i = x_i - mean(x);    dx_i = 2 (w_i d_i dy_i - mean_j(w_j d_j dy_j)),  dw_i = d_i^2 dy_i
 */
#include "testing_support.h"

#include <tare/testing.h>

#include <math.h>

typedef enum fault {
    NO_FAULT,
    CONSTANT,
    WRONG_SIGN,
    TWICE_AS_LARGE,
    MISSING_TERM,
    ONE_ELEMENT,
    WRONG_INPUT,
    OVERWRITES,
    ADDS_TO_VOID,
    ALL_ZERO,
    NAN_GRADIENT,
    INF_GRADIENT,
    NAN_OUTPUT,
    UNWRITTEN_OUTPUT,
    PAST_OUTPUT,
    PAST_SAVED,
    PAST_GRADIENT,
    PAST_SCRATCH,
    PAST_INPUT,
    CHANGES_INPUT,
    CHANGES_INPUT_LATER,
    NEEDS_BOTH,
    WRITES_UNWANTED,
    OLD_STATE,
    COUNTS_CALLS,
    OTHER_WITHOUT_GRAD,
    COUNTS_THREADS,
} fault;

/* What a faulty op keeps between calls. */
static int calls;
static tare_real old_state[64];

static fault fault_of(const tare_node *n) { return *(const fault *)n->attr; }

static tare_status check(tare_node *n) {
    n->shape = n->in[0]->shape;
    n->saved_bytes = (size_t)n->in[0]->numel * sizeof(tare_real);
    n->scratch_bytes = n->grad_scratch_bytes = n->saved_bytes;
    return TARE_OK;
}

static void forward(tare_node *n) {
    const fault f = fault_of(n);
    const int64_t size = n->out->numel;
    tare_real *x = n->in[0]->data, *w = n->in[1]->data, *y = n->out->data, *d = n->scratch, *saved = n->saved;
    tare_real mean = 0;
    for (int64_t i = 0; i < size; i++) { mean += x[i] / (tare_real)size; }
    for (int64_t i = 0; i < size; i++) {
        d[i] = x[i] - mean;
        if (f != UNWRITTEN_OUTPUT || i + 1 < size) { y[i] = w[i] * d[i] * d[i]; }
        if (saved) { saved[i] = d[i]; }
    }
    calls += saved != NULL;
    if (f == OLD_STATE && calls == 1) { memcpy(old_state, d, (size_t)size * sizeof *d); }
    for (int64_t i = 0; i < size && f == CONSTANT; i++) { y[i] = 1; }
    if (f == NAN_OUTPUT) { y[1] = (tare_real)NAN; }
    if (f == PAST_OUTPUT) { y[size] = 1; }
    if (f == PAST_SAVED && saved) { saved[size] = 1; }
    if (f == PAST_SCRATCH) { d[size] = 1; }
    if (f == PAST_INPUT) { x[size] = 1; }
    if (f == CHANGES_INPUT) { w[0] += 1; }
    if (f == COUNTS_CALLS && calls > 2) { y[0] += (tare_real)0.001; }
    if (f == OTHER_WITHOUT_GRAD && !n->grad) { y[0] += (tare_real)0.001; }
    if (f == COUNTS_THREADS) { y[0] += (tare_real)0.001 * (tare_real)tare_threads(); }
}

static void put(const tare_node *n, int i, int64_t k, tare_real value) {
    const fault f = fault_of(n);
    bool fresh_op = (n->op->flags & TARE_OP_FRESH) != 0;
    bool add = !fresh_op || tare_grad_add(n, i);
    if (f == OVERWRITES) { add = false; }
    if (f == ADDS_TO_VOID) { add = true; }
    tare_real *g = tare_grad(n, i);
    g[k] = add ? g[k] + value : value;
}

static tare_real factor_of(fault f) {
    switch (f) {
    case WRONG_SIGN: return -1;
    case TWICE_AS_LARGE: return 2;
    case CONSTANT:
    case ALL_ZERO: return 0;
    default: return 1;
    }
}

static void input_gradient(tare_node *n, int i, const tare_real *values) {
    const fault f = fault_of(n);
    const int64_t size = n->out->numel;
    for (int64_t k = 0; k < size; k++) {
        tare_real value = factor_of(f) * values[k];
        if (f == ONE_ELEMENT && i == 1 && k == size - 1) { value *= 2; }
        if (f == NAN_GRADIENT && k == 2) { value = (tare_real)NAN; }
        if (f == INF_GRADIENT && k == 2) { value = (tare_real)INFINITY; }
        put(n, i, k, value);
    }
    if (f == PAST_GRADIENT) { tare_grad(n, i)[size] = 1; }
}

static void backward(tare_node *n) {
    const fault f = fault_of(n);
    const int64_t size = n->out->numel;
    const tare_real *dy = n->out->grad, *w = n->in[1]->data, *d = f == OLD_STATE ? old_state : n->saved;
    tare_real *value = n->scratch, mean = 0;
    int first = f == WRONG_INPUT ? 1 : 0;
    for (int64_t i = 0; i < size; i++) { mean += w[i] * d[i] * dy[i] / (tare_real)size; }
    if (f == MISSING_TERM) { mean = 0; }
    if (f == CHANGES_INPUT_LATER) { n->in[0]->data[0] += 1; }
    if (f == NEEDS_BOTH && !tare_grad(n, 0)) { return; }
    for (int64_t i = 0; i < size; i++) { value[i] = 2 * (w[i] * d[i] * dy[i] - mean); }
    if (tare_grad(n, first)) { input_gradient(n, first, value); }
    for (int64_t i = 0; i < size; i++) { value[i] = d[i] * d[i] * dy[i]; }
    if (tare_grad(n, 1 - first)) { input_gradient(n, 1 - first, value); }
    tare_real *bypass = n->in[1]->grad;
    if (f == WRITES_UNWANTED && !tare_grad(n, 1) && bypass) { bypass[0] += 1; }
}

/* ---- what each fault is called ----------------------------------------------------------------------------------- */

enum {
    FRESH = 1, /* the op that may overwrite, rather than the one that always adds */
    ZERO = 2,  /* the case promises that every gradient is zero */
};

typedef struct verdict {
    const char *name;
    fault fault;
    unsigned how;
    tare_check check;
    const char *words;
} verdict;

static const verdict verdicts[] = {
    { "correct", NO_FAULT, 0, TARE_CHECK_OK, "" },
    { "correct_fresh", NO_FAULT, FRESH, TARE_CHECK_OK, "" },
    { "constant", CONSTANT, ZERO, TARE_CHECK_OK, "" },
    { "constant_not_promised", CONSTANT, 0, TARE_CHECK_ZERO, "does not depend on input 0" },
    { "zero_promised", NO_FAULT, ZERO, TARE_CHECK_WRONG, "is to be zero" },
    { "sign", WRONG_SIGN, 0, TARE_CHECK_WRONG, "everywhere it is -1 times the right one" },
    { "factor", TWICE_AS_LARGE, FRESH, TARE_CHECK_WRONG, "everywhere it is 2 times the right one" },
    { "missing_term", MISSING_TERM, 0, TARE_CHECK_WRONG, "input 0" },
    { "one_element", ONE_ELEMENT, 0, TARE_CHECK_WRONG, "input 1, element 11 of [3,4]" },
    { "wrong_input", WRONG_INPUT, 0, TARE_CHECK_WRONG, "input 0" },
    { "overwrites", OVERWRITES, 0, TARE_CHECK_NOT_ADDED, "was to be added" },
    { "overwrites_fresh", OVERWRITES, FRESH, TARE_CHECK_NOT_ADDED, "was to be added" },
    { "adds_to_void", ADDS_TO_VOID, FRESH, TARE_CHECK_NONFINITE, "the gradient of input 0" },
    { "zero", ALL_ZERO, 0, TARE_CHECK_ZERO, "backward leaves that of input 0 zero" },
    { "nan_gradient", NAN_GRADIENT, 0, TARE_CHECK_NONFINITE, "element 2" },
    { "inf_gradient", INF_GRADIENT, 0, TARE_CHECK_NONFINITE, "element 2" },
    { "nan_output", NAN_OUTPUT, 0, TARE_CHECK_NONFINITE, "the output, element 1" },
    { "unwritten_output", UNWRITTEN_OUTPUT, 0, TARE_CHECK_NONFINITE, "the output, element 11" },
    { "past_output", PAST_OUTPUT, 0, TARE_CHECK_OVERRUN, "past the end" },
    { "past_saved", PAST_SAVED, 0, TARE_CHECK_OVERRUN, "past the end" },
    { "past_gradient", PAST_GRADIENT, 0, TARE_CHECK_OVERRUN, "past" },
    { "past_scratch", PAST_SCRATCH, 0, TARE_CHECK_OVERRUN, "past the end" },
    { "past_input", PAST_INPUT, 0, TARE_CHECK_OVERRUN, "past the end" },
    { "changes_input", CHANGES_INPUT, 0, TARE_CHECK_INPUT, "input 1 is not what it was before forward" },
    { "changes_input_later", CHANGES_INPUT_LATER, 0, TARE_CHECK_INPUT, "input 0 is not what it was before backward" },
    { "needs_both", NEEDS_BOTH, 0, TARE_CHECK_SUBSET, "input 1" },
    { "writes_unwanted", WRITES_UNWANTED, 0, TARE_CHECK_UNWANTED, "input 1" },
    { "old_state", OLD_STATE, 0, TARE_CHECK_STALE, "for the next through the same tape" },
    { "counts_calls", COUNTS_CALLS, 0, TARE_CHECK_REPEAT, "after another input" },
    { "other_without_grad", OTHER_WITHOUT_GRAD, 0, TARE_CHECK_REPEAT, "the gradient of nothing is wanted" },
    { "counts_threads", COUNTS_THREADS, 0, TARE_CHECK_THREADS, "with 2 threads" },
};

static void judged_rightly(void **state) {
    const verdict *v = *state;
    const tare_opcase cases[] = { { .name = v->name,
                                    .in = { TARE_SHAPE(3, 4), TARE_SHAPE(3, 4) },
                                    .attr = &v->fault,
                                    .zero = (v->how & ZERO) != 0 },
                                  { 0 } };
    const tare_op op = { .name = "twin",
                         .n_in = 2,
                         .attr_size = sizeof v->fault,
                         .flags = v->how & FRESH ? TARE_OP_FRESH : 0,
                         .check = check,
                         .forward = forward,
                         .backward = backward,
                         .cases = cases };
    tare_gradcheck_report report;
    calls = 0;
    int threads = tare_threads();
    tare_status status = tare_gradcheck_op(&op, NULL, NULL, &report);
    if (report.check != v->check) { print_error("found: %s\n", report.message); }
    assert_string_equal(tare_check_text(report.check), tare_check_text(v->check));
    assert_int_equal(status, v->check == TARE_CHECK_OK ? TARE_OK : TARE_EINVAL);
    assert_contains(report.message, v->words);
    assert_int_equal(tare_threads(), threads);
    if (v->check != TARE_CHECK_OK) { return; }
    assert_string_equal(report.message, "");
    assert_int_equal(report.subsets, 4);
    assert_int_equal(report.compared, 48);
    assert_true(report.worst <= test_tol(0.02, 1e-7));
}

/* ---- what cannot be checked -------------------------------------------------------------------------------------- */

static const fault fine = NO_FAULT;
static const tare_opcase no_cases[] = { { 0 } };
static const tare_opcase one_case[] = { { .name = "plain", .in = { { 1, { 5 } }, { 1, { 5 } } }, .attr = &fine },
                                        { 0 } };

static void refused(void **state) {
    (void)state;
    tare_gradcheck_report report;
    tare_op op = {
        .name = "oneway", .n_in = 2, .attr_size = sizeof(fault), .check = check, .forward = forward, .cases = one_case
    };
    assert_status(TARE_ENOGRAD, tare_gradcheck_op(&op, NULL, NULL, &report));
    assert_contains(report.message, "oneway: it has no backward");
    op.backward = backward;
    op.cases = no_cases;
    assert_status(TARE_ENOENT, tare_gradcheck_op(&op, NULL, NULL, &report));
    assert_contains(report.message, "no cases");
    op.cases = NULL;
    assert_status(TARE_ENOENT, tare_gradcheck_op(&op, NULL, NULL, NULL));
}

static tare_status refuse(tare_node *n) { return tare_node_fail(n, TARE_ESHAPE, "I will not"); }

static void own_error_is_handed_on(void **state) {
    (void)state;
    tare_gradcheck_report report;
    const tare_op op = { .name = "shy",
                         .n_in = 2,
                         .attr_size = sizeof(fault),
                         .check = refuse,
                         .forward = forward,
                         .backward = backward,
                         .cases = one_case };
    assert_status(TARE_ESHAPE, tare_gradcheck_op(&op, NULL, NULL, &report));
    assert_int_equal(report.check, TARE_CHECK_ERROR);
    assert_contains(report.message, "shy: I will not");
}

/* ---- graphs ------------------------------------------------------------------------------------------------------ */

static const tare_op twin = {
    .name = "twin", .n_in = 2, .attr_size = sizeof(fault), .check = check, .forward = forward, .backward = backward
};

typedef struct model {
    tare_tensor *w, *memory;
} model;

/* Uses x twice and its parameter too, and keeps a running sum as BatchNorm does. */
static tare_tensor *graph(tare_tape *tape, tare_tensor *const *in, void *user) {
    model *m = user;
    tare_tensor *h = tare_apply(tape, &twin, (tare_tensor *[]){ in[0], m->w }, 2, &fine);
    if (h) { m->memory->data[0] += h->data[0]; }
    return tare_apply(tape, &twin, (tare_tensor *[]){ h, in[0] }, 2, &fine);
}

static tare_tensor *graph_without_input(tare_tape *tape, tare_tensor *const *in, void *user) {
    (void)in;
    model *m = user;
    return tare_apply(tape, &twin, (tare_tensor *[]){ m->w, m->w }, 2, &fine);
}

static tare_tensor *graph_of_memory(tare_tape *tape, tare_tensor *const *in, void *user) {
    model *m = user;
    m->w->data[0] += 1;
    return graph(tape, in, user);
}

static void graph_with_parameters(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(1);
    model m = { tare_param(ps, "w", TARE_SHAPE(2, 3), 0), tare_buffer(ps, "memory", TARE_SHAPE(1)) };
    assert_ok(tare_params_status(ps));
    for (int i = 0; i < 6; i++) { m.w->data[i] = (tare_real)(i + 1); }
    m.memory->data[0] = 7;
    const tare_gradcheck_input in = { .shape = TARE_SHAPE(2, 3) };
    tare_gradcheck_report report;
    assert_ok(tare_gradcheck("model", graph, &m, &in, 1, &(tare_gradcheck_opt){ .params = ps }, &report));
    assert_int_equal(report.subsets, 4);
    assert_int_equal(report.compared, 24);
    for (int i = 0; i < 6; i++) { assert_near(m.w->data[i], i + 1, 0); }
    assert_near(m.memory->data[0], 7, 0);
    assert_true(m.w->requires_grad && m.w->grad_fresh);

    assert_status(TARE_EINVAL, tare_gradcheck("blind", graph_without_input, &m, &in, 1,
                                              &(tare_gradcheck_opt){ .params = ps }, &report));
    assert_int_equal(report.check, TARE_CHECK_ZERO);
    assert_contains(report.message, "does not depend on input 0");

    assert_status(TARE_EINVAL, tare_gradcheck("greedy", graph_of_memory, &m, &in, 1,
                                              &(tare_gradcheck_opt){ .params = ps }, &report));
    assert_int_equal(report.check, TARE_CHECK_INPUT);
    assert_contains(report.message, "parameter w");
    tare_params_free(ps);
}

static void fills_are_what_they_say(void **state) {
    (void)state;
    enum { N = 2000 };
    static tare_real x[N];
    tare_rng rng = tare_rng_new(1, "fills");
    tare_fill_values(&rng, (tare_fill){ TARE_FILL_UNIFORM, 2, 3 }, x, N);
    for (int i = 0; i < N; i++) { assert_true(x[i] >= 2 && x[i] <= 3); }
    tare_fill_values(&rng, (tare_fill){ TARE_FILL_AWAY, 0.25, 0 }, x, N);
    int negative = 0;
    for (int i = 0; i < N; i++) {
        assert_true(fabs((double)x[i]) >= 0.25);
        negative += x[i] < 0;
    }
    assert_in_range(negative, 900, 1100);
    tare_fill_values(&rng, (tare_fill){ TARE_FILL_NORMAL, 5, 2 }, x, N);
    double mean = 0, square = 0;
    for (int i = 0; i < N; i++) { mean += (double)x[i] / N; }
    for (int i = 0; i < N; i++) { square += ((double)x[i] - mean) * ((double)x[i] - mean) / N; }
    assert_near(mean, 5, 0.2);
    assert_near(sqrt(square), 2, 0.2);
    tare_fill_values(&rng, (tare_fill){ TARE_FILL_DISTINCT, 0, 0 }, x, 100);
    for (int i = 0; i < 100; i++) {
        for (int k = 0; k < i; k++) { assert_true(fabs((double)(x[i] - x[k])) >= 0.1); }
    }
}

int main(void) {
    enum { N = sizeof verdicts / sizeof verdicts[0] };
    struct CMUnitTest tests[N + 4];
    for (int i = 0; i < N; i++) {
        tests[i] = (struct CMUnitTest){ verdicts[i].name, judged_rightly, NULL, NULL, (void *)(uintptr_t)&verdicts[i] };
    }
    tests[N] = (struct CMUnitTest)cmocka_unit_test(refused);
    tests[N + 1] = (struct CMUnitTest)cmocka_unit_test(own_error_is_handed_on);
    tests[N + 2] = (struct CMUnitTest)cmocka_unit_test(graph_with_parameters);
    tests[N + 3] = (struct CMUnitTest)cmocka_unit_test(fills_are_what_they_say);
    return cmocka_run_group_tests_name("gradcheck_self", tests, NULL, NULL);
}
