/* test_ops.c - every built-in op, driven by its own cases: gradient check, PyTorch's numbers, the same bits for any number
 * of threads; then a table of what each op has.   tare-test: double isa
 *
 * An op with a backward must have cases, and a case a golden (tests/golden/goldens.py tells how), unless `without_golden`
 * says why not. Differences are taken in the double build; the float build runs all the rest of the gradient check. */
#include "testing_support.h"

#include <tare/testing.h>

#include <math.h>
#include <stdio.h>

/* Cases that cannot have a golden; case "*": none of the op's. */
static const struct {
    const char *op, *name, *why;
} without_golden[] = {
    { "attention", "dropout", "its mask is Tare's own: test_sequence.c holds it to its laws" },
    { "attention", "dropout_apart", "the same" },
    { "dropout", "*", "its mask is Tare's own: test_dropout.c holds it to its laws" },
};

enum { MOST_OPS = 256, MOST_CASES = 4096 };

/* What the table at the end tells of an op. */
typedef struct line {
    const tare_op *op;
    int cases, golden, gradcheck;
    double golden_worst, gradcheck_worst;
} line;

typedef struct subject {
    line *line;
    const tare_opcase *opcase; /* NULL: the op as a whole */
    char name[96];
} subject;

static line lines[MOST_OPS];
static subject subjects[MOST_CASES];
static struct CMUnitTest tests[2 * MOST_CASES];

static const char *reason_without_golden(const char *op, const char *name) {
    for (size_t i = 0; i < sizeof without_golden / sizeof without_golden[0]; i++) {
        bool all = strcmp(without_golden[i].name, "*") == 0;
        if (strcmp(without_golden[i].op, op) == 0 && (all || strcmp(without_golden[i].name, name) == 0)) {
            return without_golden[i].why;
        }
    }
    return NULL;
}

/* ---- the op as a whole ------------------------------------------------------------------------------------------- */

static const tare_opcase *find_case(const tare_op *op, const char *name, size_t length) {
    for (const tare_opcase *c = op->cases; c && c->name; c++) {
        if (strlen(c->name) == length && strncmp(c->name, name, length) == 0) { return c; }
    }
    return NULL;
}

static void is_complete(void **state) {
    const subject *s = *state;
    const tare_op *op = s->line->op;
    assert_ptr_equal(tare_op_find(op->name), op);
    bool backward = op->backward || (op->flags & TARE_OP_ALIAS);
    if (backward && s->line->cases == 0) { fail_msg("%s has a backward, but no cases", op->name); }
    for (const tare_opcase *c = op->cases; c && c->name; c++) {
        if (find_case(op, c->name, strlen(c->name)) != c) { fail_msg("%s has two cases %s", op->name, c->name); }
        assert_true(c->attr || op->attr_size == 0);
    }
    /* A golden whose case is gone, or misspelt, would never be looked at. */
    golden *g = golden_open(op->name);
    for (int64_t i = 0; g && golden_key(g, i); i++) {
        const char *key = golden_key(g, i);
        if (!find_case(op, key, strcspn(key, "/"))) {
            fail_msg("golden %s: there is no such case of %s", key, op->name);
        }
    }
    golden_close(g);
}

/* ---- goldens ----------------------------------------------------------------------------------------------------- */

typedef struct golden_run {
    const char *op, *name;
    golden *g;
    double tol, worst;
} golden_run;

static const double *demand(const golden_run *r, const char *what, int index, tare_shape shape) {
    tare_shape there;
    char key[64];
    snprintf(key, sizeof key, index < 0 ? "%s" : "%s%d", what, index);
    const double *values = golden_get(r->g, &there, "%s/%s", r->name, key);
    if (!values) { fail_msg("%s/%s has no golden for %s; see tests/golden/goldens.py", r->op, r->name, key); }
    if (!tare_shape_equal(shape, there)) {
        tare_shape_buf a, b;
        fail_msg("%s/%s: %s is %s, in the golden %s", r->op, r->name, key, tare_shape_text(shape, &a),
                 tare_shape_text(there, &b));
    }
    return values;
}

static void compare(golden_run *r, const char *what, int index, const tare_real *got, tare_shape shape) {
    const double *want = demand(r, what, index, shape);
    assert_non_null(got);
    int64_t n = tare_shape_numel(shape);
    r->worst = fmax(r->worst, test_distance(got, want, n) / r->tol);
    if (test_distance(got, want, n) <= r->tol) { return; }
    print_error("%s/%s %s %d\n", r->op, r->name, what, index);
    assert_all_near(got, want, n, r->tol);
}

static void fill_from_golden(const golden_run *r, tare_tensor *x, int index) {
    const double *values = demand(r, "in", index, x->shape);
    for (int64_t i = 0; i < x->numel; i++) { x->data[i] = (tare_real)values[i]; }
}

static void agree_with_golden(golden_run *r, const tare_op *op, const tare_opcase *c, tare_tape *tape) {
    int n_in = c->n_in ? c->n_in : op->n_in;
    tare_tensor *in[TARE_CASE_INPUTS] = { 0 };
    bool any = false;
    for (int i = 0; i < n_in; i++) {
        if (c->absent >> i & 1) { continue; }
        in[i] = tare_input(tape, c->in[i], NULL);
        assert_non_null(in[i]);
        fill_from_golden(r, in[i], i);
        in[i]->requires_grad = !(c->nograd >> i & 1) && (op->backward || (op->flags & TARE_OP_ALIAS));
        any = any || in[i]->requires_grad;
    }
    tare_tensor *y = tare_apply(tape, op, in, n_in, c->attr);
    if (!y) { fail_msg("%s", tare_tape_error(tape)); }
    compare(r, "out", -1, y->data, y->shape);
    if (!any) { return; }
    const double *dout = demand(r, "dout", -1, y->shape);
    tare_real *dy = tare_malloc((size_t)y->numel * sizeof *dy);
    assert_non_null(dy);
    for (int64_t i = 0; i < y->numel; i++) { dy[i] = (tare_real)dout[i]; }
    assert_ok(tare_backward_from(tape, y, dy));
    tare_free(dy);
    for (int i = 0; i < n_in; i++) {
        if (in[i] && in[i]->requires_grad) { compare(r, "din", i, in[i]->grad, in[i]->shape); }
    }
    assert_ok(tare_tape_guard(tape));
}

static void as_pytorch(void **state) {
    const subject *s = *state;
    const tare_op *op = s->line->op;
    golden_run r = { op->name, s->opcase->name, golden_open(op->name), 0, 0 };
    if (!golden_get(r.g, NULL, "%s/out", r.name) && reason_without_golden(r.op, r.name)) {
        golden_close(r.g);
        skip();
    }
    if (!r.g) { fail_msg("%s has no goldens; see tests/golden/goldens.py", op->name); }
    r.tol = test_tol(1e-5, 1e-10) * *demand(&r, "tol", -1, TARE_SCALAR);
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = !s->opcase->eval, .guard = true });
    assert_non_null(tape);
    agree_with_golden(&r, op, s->opcase, tape);
    s->line->golden++;
    s->line->golden_worst = fmax(s->line->golden_worst, r.worst);
    tare_tape_free(tape);
    golden_close(r.g);
}

/* ---- gradients --------------------------------------------------------------------------------------------------- */

static void gradients_are_right(void **state) {
    const subject *s = *state;
    const tare_op *op = s->line->op;
    if (!op->backward && !(op->flags & TARE_OP_ALIAS)) { skip(); }
    tare_gradcheck_report report;
    const tare_gradcheck_opt opt = { .bits = sizeof(tare_real) == sizeof(float) };
    if (tare_gradcheck_op(op, s->opcase, &opt, &report)) { fail_msg("%s", report.message); }
    s->line->gradcheck++;
    s->line->gradcheck_worst = fmax(s->line->gradcheck_worst, report.worst);
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static void print_table(void) {
    printf("%-24s %-8s %-10s %-10s  %s\n", "op", "backward", "golden", "gradcheck",
           "worst golden (1 = allowed), worst gradient error");
    for (const line *l = lines; l->op; l++) {
        char goldens[32], gradcheck[32];
        snprintf(goldens, sizeof goldens, "%d of %d", l->golden, l->cases);
        snprintf(gradcheck, sizeof gradcheck, "%d of %d", l->gradcheck, l->cases);
        const char *backward = l->op->flags & TARE_OP_ALIAS ? "alias" : l->op->backward ? "yes" : "NO";
        printf("%-24s %-8s %-10s %-10s  %8.2g %8.2g\n", l->op->name, backward, goldens, gradcheck, l->golden_worst,
               l->gradcheck_worst);
    }
}

/* With names on the command line: only the tests whose name starts with one of them ("conv2d", "conv2d/stride2"). */
static bool selected(const char *name, int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (strncmp(name, argv[i], strlen(argv[i])) == 0) { return true; }
    }
    return argc < 2;
}

int main(int argc, char **argv) {
    if (test_isa_missing()) { return 77; }
    size_t n_tests = 0, n_subjects = 0;
    for (int i = 0; tare_op_at(i) && i < MOST_OPS - 1; i++) {
        line *l = &lines[i];
        *l = (line){ .op = tare_op_at(i) };
        for (const tare_opcase *c = l->op->cases; c && c->name; c++) { l->cases++; }
        for (int k = -1; k < l->cases && n_subjects < MOST_CASES; k++) {
            subject *s = &subjects[n_subjects++];
            *s = (subject){ .line = l, .opcase = k < 0 ? NULL : &l->op->cases[k] };
            snprintf(s->name, sizeof s->name, "%s%s%s", l->op->name, k < 0 ? "" : "/", k < 0 ? "" : s->opcase->name);
            if (!selected(s->name, argc, argv)) { continue; }
            struct CMUnitTest test = { s->name, k < 0 ? is_complete : as_pytorch, NULL, NULL, s };
            tests[n_tests++] = test;
            test.test_func = gradients_are_right;
            if (k >= 0) { tests[n_tests++] = test; }
        }
    }
    int failed = n_tests ? _cmocka_run_group_tests("ops", tests, n_tests, NULL, NULL) : 1;
    print_table();
    return failed != 0;
}
