/* test_composed_norms.c - norms made of ops: closed forms in float64, gradients, their layers and specs.
 * tare-test: double */
#include "testing_support.h"

#include <tare/norms.h>
#include <tare/testing.h>

#include <math.h>
#include <stdio.h>

/* ---- goldens and gradients --------------------------------------------------------------------------------------- */

static tare_tensor *dyt(tare_tape *t, tare_tensor *const *in, void *eps) {
    (void)eps;
    return tare_dyt(t, in[0], in[1], in[2], in[3]);
}
static tare_tensor *grn(tare_tape *t, tare_tensor *const *in, void *eps) {
    return tare_grn(t, in[0], in[1], in[2], *(double *)eps);
}
static tare_tensor *frn(tare_tape *t, tare_tensor *const *in, void *eps) {
    return tare_frn(t, in[0], in[1], in[2], in[3], *(double *)eps);
}

typedef struct golden_case {
    const char *norm, *name;
    tare_graph_fn graph;
    double eps;
} golden_case;

static const golden_case golden_cases[] = {
    { "dyt", "features", dyt, 0 },    { "dyt", "images", dyt, 0 },     { "grn", "images", grn, 0 },
    { "grn", "sequences", grn, 0.5 }, { "grn", "features", grn, 0 },   { "frn", "images", frn, 0 },
    { "frn", "sequences", frn, 0.5 }, { "frn", "features", frn, 0.1 }, { "frn", "no_threshold", frn, 1e-3 },
};
enum { GOLDEN_CASES = sizeof golden_cases / sizeof *golden_cases, INPUTS = 5 };

static tare_tensor *from_golden(tare_tape *t, const golden *g, const char *name, int i) {
    tare_shape shape;
    const double *values = golden_get(g, &shape, "%s/in%d", name, i);
    tare_tensor *x = values ? tare_input(t, shape, NULL) : NULL;
    for (int64_t k = 0; x && k < x->numel; k++) { x->data[k] = (tare_real)values[k]; }
    if (x) { x->requires_grad = golden_get(g, NULL, "%s/din%d", name, i) != NULL; }
    return x;
}

static void goldens(void **state) {
    (void)state;
    double tol = test_tol(1e-5, 1e-10);
    for (int c = 0; c < GOLDEN_CASES; c++) {
        const golden_case *k = &golden_cases[c];
        double eps = k->eps;
        golden *g = golden_open(k->norm);
        assert_non_null(g);
        tare_tape *t = tare_tape_new((tare_tape_opt){ .training = true, .guard = true });
        tare_tensor *in[INPUTS];
        for (int i = 0; i < INPUTS; i++) { in[i] = from_golden(t, g, k->name, i); }
        tare_tensor *y = k->graph(t, in, &eps);
        if (!y) { fail_msg("%s/%s: %s", k->norm, k->name, tare_tape_error(t)); }
        tare_shape shape;
        const double *want = golden_get(g, &shape, "%s/out", k->name), *dout = golden_get(g, NULL, "%s/dout", k->name);
        assert_true(tare_shape_equal(shape, y->shape));
        assert_all_near(y->data, want, y->numel, tol);
        tare_real *dy = tare_malloc((size_t)y->numel * sizeof *dy);
        for (int64_t i = 0; i < y->numel; i++) { dy[i] = (tare_real)dout[i]; }
        assert_ok(tare_backward_from(t, y, dy));
        assert_ok(tare_tape_guard(t));
        for (int i = 0; i < INPUTS; i++) {
            if (!in[i] || !in[i]->requires_grad) { continue; }
            assert_all_near(in[i]->grad, golden_get(g, NULL, "%s/din%d", k->name, i), in[i]->numel, tol);
        }
        tare_free(dy);
        tare_tape_free(t);
        golden_close(g);
    }
}

static void gradients(void **state) {
    (void)state;
    for (int c = 0; c < GOLDEN_CASES; c++) {
        const golden_case *k = &golden_cases[c];
        double eps = k->eps;
        golden *g = golden_open(k->norm);
        tare_gradcheck_input in[INPUTS] = { 0 };
        for (int i = 0; i < INPUTS; i++) { in[i].absent = !golden_get(g, &in[i].shape, "%s/in%d", k->name, i); }
        in[0].fill = (tare_fill){ TARE_FILL_AWAY, 0.5, 0 };         /* a plane of one value has a kink at 0 */
        tare_gradcheck_opt opt = { .bits = test_tol(true, false) }; /* in float tau's kink is a step wide */
        tare_gradcheck_report report;
        assert_ok(tare_gradcheck(k->norm, k->graph, &eps, in, INPUTS, &opt, &report));
        golden_close(g);
    }
}

/* ---- layers ------------------------------------------------------------------------------------------------------ */

typedef struct model {
    tare_params *ps;
    tare_layer *norm;
    tare_tape *tape;
} model;

static model model_new(const char *spec, tare_shape features) {
    model m = { .ps = tare_params_new(5), .tape = tare_tape_new((tare_tape_opt){ .training = true }) };
    m.norm = tare_norm_layer(m.ps, "norm", spec, features);
    if (!m.norm) { fail_msg("%s: %s", spec, tare_params_error(m.ps)); }
    return m;
}

static void model_free(model *m) {
    tare_tape_free(m->tape);
    tare_params_free(m->ps);
}

static tare_tensor *waves(tare_tape *t, tare_shape shape, double scale) {
    tare_tensor *x = tare_input(t, shape, NULL);
    for (int64_t i = 0; i < x->numel; i++) { x->data[i] = (tare_real)(scale * sin(1.3 * (double)i)); }
    x->requires_grad = true;
    return x;
}

static void layers_begin_as_they_should(void **state) {
    (void)state;
    const struct {
        const char *spec, *names;
    } cases[] = { { "dyt", "norm.alpha norm.weight norm.bias " },
                  { "dyt:affine=no", "norm.alpha " },
                  { "grn", "norm.weight norm.bias " },
                  { "frn", "norm.weight norm.bias norm.tau " },
                  { "frn:tlu=no", "norm.weight norm.bias " } };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        model m = model_new(cases[c].spec, TARE_SHAPE(3, 4, 5));
        char names[128] = "";
        for (int i = 0; i < tare_params_count(m.ps); i++) {
            strcat(strcat(names, tare_params_at(m.ps, i)->name), " ");
            assert_int_equal(TARE_NO_DECAY, tare_params_flags(m.ps, i));
        }
        assert_string_equal(cases[c].names, names);
        tare_tensor *x = waves(m.tape, TARE_SHAPE(2, 3, 4, 5), 1), *y = tare_forward(m.norm, m.tape, x);
        assert_non_null(y);
        assert_true(tare_shape_equal(x->shape, y->shape));
        double square = 0;
        for (int i = 0; i < 20; i++) { square += (double)x->data[i] * (double)x->data[i] / 20; }
        for (int i = 0; i < 20; i++) {
            double v = (double)x->data[i], hat = v / sqrt(square + 1e-6);
            double want = cases[c].spec[0] == 'd'   ? tanh(v / 2)
                          : cases[c].spec[0] == 'g' ? v
                          : cases[c].spec[3]        ? hat
                                                    : fmax(hat, 0);
            assert_near(y->data[i], want, 1e-6);
        }
        model_free(&m);
    }
}

/* A transformer's features come last, an image's channels come before its positions. */
static void dyt_finds_its_channels(void **state) {
    (void)state;
    model m = model_new("dyt", TARE_SHAPE(3));
    tare_params_find(m.ps, "norm.bias")->data[2] = 7;
    tare_tensor *y = tare_forward(m.norm, m.tape, waves(m.tape, TARE_SHAPE(2, 4, 3), 0));
    assert_near(y->data[2], 7, 0);
    assert_near(y->data[1], 0, 0);
    assert_null(tare_forward(m.norm, m.tape, waves(m.tape, TARE_SHAPE(2, 3, 4), 1)));
    assert_contains(tare_tape_error(m.tape), "dyt \"norm\": x [2,3,4] must end in dimensions as [3]");
    model_free(&m);
}

/* Lengths, not squares: nothing overflows, and a plane of zeros has a gradient. */
static void extreme_values(void **state) {
    (void)state;
    const char *specs[] = { "dyt", "grn", "frn", "frn:tlu=no" };
    const double scales[] = { 1e30, 1e-30, 1e-42, 0 };
    for (int s = 0; s < 4; s++) {
        for (int c = 0; c < 4; c++) {
            model m = model_new(specs[s], TARE_SHAPE(3, 4, 5));
            tare_tensor *w = tare_params_find(m.ps, "norm.weight");
            for (int i = 0; i < 3; i++) { w->data[i] = 2; }
            tare_tensor *x = waves(m.tape, TARE_SHAPE(2, 3, 4, 5), scales[c]);
            tare_tensor *loss = tare_sum(m.tape, tare_forward(m.norm, m.tape, x), 0, false);
            assert_true(isfinite(tare_item(loss)));
            assert_ok(tare_backward(m.tape, loss));
            for (int64_t i = 0; i < x->numel; i++) { assert_true(isfinite((double)x->grad[i])); }
            model_free(&m);
        }
    }
}

static void not_finite_shows(void **state) {
    (void)state;
    const char *specs[] = { "dyt", "grn", "frn" };
    for (int s = 0; s < 3; s++) {
        model m = model_new(specs[s], TARE_SHAPE(3, 4, 5));
        tare_tensor *x = waves(m.tape, TARE_SHAPE(2, 3, 4, 5), 1);
        x->data[7] = (tare_real)NAN;
        tare_tensor *y = tare_forward(m.norm, m.tape, x);
        assert_true(isnan((double)y->data[7]));
        assert_true(isfinite((double)y->data[61])); /* the other sample */
        model_free(&m);
    }
}

static void errors(void **state) {
    (void)state;
    const struct {
        const char *spec;
        tare_shape features, x;
        const char *words;
    } cases[] = {
        { "grn", TARE_SHAPE(3), TARE_SHAPE(3), "grn \"norm\": x [3] must be [N,C,...]" },
        { "grn", TARE_SHAPE(3), TARE_SHAPE(2, 4, 5), "grn \"norm\": gamma is [3], must be [4] for x [2,4,5]" },
        { "frn", TARE_SHAPE(3), TARE_SHAPE(2, 4, 5), "frn \"norm\": gamma is [3], must be [4] for x [2,4,5]" },
        { "frn", TARE_SHAPE(3), TARE_SHAPE(3), "frn \"norm\": x [3] must be [N,C,...]" },
        { "dyt", TARE_SHAPE(3, 2, 2), TARE_SHAPE(2, 3), "dyt \"norm\": x [2,3] must end in dimensions as [3,1,1]" },
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        model m = model_new(cases[c].spec, cases[c].features);
        assert_null(tare_forward(m.norm, m.tape, waves(m.tape, cases[c].x, 1)));
        assert_int_equal(TARE_ESHAPE, tare_tape_status(m.tape));
        assert_contains(tare_tape_error(m.tape), cases[c].words);
        model_free(&m);
    }
    const char *specs[] = { "dyt", "grn", "frn" };
    for (int s = 0; s < 3; s++) {
        tare_params *ps = tare_params_new(1);
        assert_null(tare_norm_layer(ps, "n", specs[s], TARE_SCALAR));
        assert_contains(tare_params_error(ps), "\"n\": 0 channels, eps");
        tare_params_free(ps);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goldens),
        cmocka_unit_test(gradients),
        cmocka_unit_test(layers_begin_as_they_should),
        cmocka_unit_test(dyt_finds_its_channels),
        cmocka_unit_test(extreme_values),
        cmocka_unit_test(not_finite_shows),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests_name("composed norms", tests, NULL, NULL);
}
