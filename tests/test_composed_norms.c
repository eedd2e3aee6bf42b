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

static tare_tensor *adain(tare_tape *t, tare_tensor *const *in, void *eps) {
    return tare_adain(t, in[0], in[1], *(double *)eps);
}

typedef struct golden_case {
    const char *norm, *name;
    tare_graph_fn graph;
    double eps;
} golden_case;

static const golden_case golden_cases[] = {
    { "dyt", "features", dyt, 0 },    { "dyt", "images", dyt, 0 },          { "grn", "images", grn, 0 },
    { "grn", "sequences", grn, 0.5 }, { "grn", "features", grn, 0 },        { "frn", "images", frn, 0 },
    { "frn", "sequences", frn, 0.5 }, { "frn", "features", frn, 0.1 },      { "frn", "no_threshold", frn, 1e-3 },
    { "adain", "images", adain, 0 },  { "adain", "sequences", adain, 0.5 },
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

/* Layers whose parameters the golden's inputs 1, 2, .. are. */
typedef struct layer_case {
    const char *norm, *name, *spec; /* of the layer, or of the one within */
    bool eval;
} layer_case;

static const int32_t some_classes[] = { 2, 0, 2 };
static const char *const switch_params[] = { "weight", "bias", "mean_weight", "var_weight" };

static tare_layer *layer_of(tare_params *ps, const layer_case *c, int64_t channels) {
    tare_layer *norm = tare_norm_layer(ps, c->norm[0] == 'c' ? "inner" : "n", c->spec, TARE_SHAPE(channels, 4, 5));
    if (c->norm[0] != 'c') { return norm; }
    tare_layer *conditional = tare_layer_conditional_norm(ps, "n", norm, channels, 4);
    assert_int_equal(1, tare_condition(conditional, some_classes, 3));
    return conditional;
}

static void set_running(tare_params *ps) {
    const double mean[] = { 0.5, -0.25, 0.125 }, var[] = { 1.5, 0.5, 2 };
    tare_tensor *m = tare_params_find(ps, "n.running_mean"), *v = tare_params_find(ps, "n.running_var");
    if (!m) { m = tare_params_find(ps, "inner.running_mean"), v = tare_params_find(ps, "inner.running_var"); }
    for (int64_t i = 0; i < m->numel; i++) {
        m->data[i] = (tare_real)mean[i];
        v->data[i] = (tare_real)var[i];
    }
}

static tare_tensor *run_layer(tare_tape *t, tare_tensor *const *in, void *layer) {
    return tare_forward(layer, t, in[0]);
}

static void against_golden(const layer_case *c) {
    double tol = test_tol(1e-5, 1e-10);
    tare_shape shape;
    golden *g = golden_open(c->norm);
    tare_params *ps = tare_params_new(1);
    tare_tape *t = tare_tape_new((tare_tape_opt){ .training = !c->eval, .guard = true });
    tare_tensor *x = from_golden(t, g, c->name, 0);
    tare_layer *layer = layer_of(ps, c, x->shape.dim[1]);
    if (!layer) { fail_msg("%s", tare_params_error(ps)); }
    if (c->eval) { set_running(ps); }
    const double *values;
    char name[32];
    for (int i = 1; (values = golden_get(g, &shape, "%s/in%d", c->name, i)); i++) {
        snprintf(name, sizeof name, "n.%s", switch_params[i - 1]);
        tare_tensor *w = tare_params_find(ps, name);
        assert_true(tare_shape_equal(shape, w->shape));
        for (int64_t k = 0; k < w->numel; k++) { w->data[k] = (tare_real)values[k]; }
    }
    tare_tensor *y = tare_forward(layer, t, x);
    if (!y) { fail_msg("%s/%s: %s", c->norm, c->name, tare_tape_error(t)); }
    assert_all_near(y->data, golden_get(g, NULL, "%s/out", c->name), y->numel, tol);
    tare_real *dy = tare_malloc((size_t)y->numel * sizeof *dy);
    values = golden_get(g, NULL, "%s/dout", c->name);
    for (int64_t i = 0; i < y->numel; i++) { dy[i] = (tare_real)values[i]; }
    assert_ok(tare_backward_from(t, y, dy));
    assert_ok(tare_tape_guard(t));
    assert_all_near(x->grad, golden_get(g, NULL, "%s/din0", c->name), x->numel, tol);
    for (int i = 1; (values = golden_get(g, NULL, "%s/din%d", c->name, i)); i++) {
        snprintf(name, sizeof name, "n.%s", switch_params[i - 1]);
        assert_all_near(tare_params_find(ps, name)->grad, values, tare_params_find(ps, name)->numel, tol);
    }
    tare_gradcheck_input in = { .shape = x->shape };
    tare_gradcheck_opt opt = { .params = ps, .eval = c->eval, .bits = test_tol(true, false) };
    assert_ok(tare_gradcheck(c->norm, run_layer, layer, &in, 1, &opt, NULL));
    tare_free(dy);
    tare_tape_free(t);
    tare_params_free(ps);
    golden_close(g);
}

static void layer_goldens(void **state) {
    (void)state;
    const layer_case cases[] = {
        { "switchable_norm", "training", "switch", false },
        { "switchable_norm", "sequences", "switch:eps=0.5", false },
        { "switchable_norm", "evaluation", "switch", true },
        { "conditional_norm", "bn", "bn:affine=no", false },
        { "conditional_norm", "in", "in:affine=no,eps=0.1", false },
        { "conditional_norm", "evaluation", "bn:affine=no", true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) { against_golden(&cases[i]); }
}

/* Biased variances and means of the batch, as hand computation has them; not in evaluation, not while frozen. */
static void switchable_statistics(void **state) {
    (void)state;
    model m = model_new("switch:stat_update=0.25", TARE_SHAPE(1, 2));
    const tare_real values[] = { 1, 3, 5, 7 }; /* mean 4, variance 5 */
    const tare_tensor *mean = tare_params_find(m.ps, "norm.running_mean"),
                      *var = tare_params_find(m.ps, "norm.running_var");
    for (int round = 0; round < 3; round++) {
        tare_tape_training_set(m.tape, round != 1);
        tare_params_freeze(m.ps, round == 2);
        assert_non_null(tare_forward(m.norm, m.tape, tare_input(m.tape, TARE_SHAPE(2, 1, 2), values)));
        assert_near(mean->data[0], 1, 1e-6);
        assert_near(var->data[0], 0.75 + 0.25 * 5, 1e-6);
    }
    model_free(&m);
}

/* Far from 0 the mix still has its digits. */
static void switchable_far_from_zero(void **state) {
    (void)state;
    model m = model_new("switch", TARE_SHAPE(2, 8, 8));
    tare_tensor *near = tare_input(m.tape, TARE_SHAPE(2, 2, 8, 8), NULL), *far = tare_input(m.tape, near->shape, NULL);
    for (int64_t i = 0; i < near->numel; i++) {
        near->data[i] = (tare_real)(floor(64 * sin(1.3 * (double)i)) / 1024); /* exact when 8192 is added */
        far->data[i] = near->data[i] + 8192;
    }
    const tare_tensor *a = tare_forward(m.norm, m.tape, near), *b = tare_forward(m.norm, m.tape, far);
    double want[256];
    for (int64_t i = 0; i < near->numel; i++) { want[i] = (double)a->data[i]; }
    assert_all_near(b->data, want, near->numel, test_tol(1e-5, 1e-12));
    model_free(&m);
}

static void conditions(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(1);
    tare_tape *t = tare_tape_new((tare_tape_opt){ .training = true });
    tare_layer *layers[] = {
        tare_layer_conditional_norm(ps, "c", tare_norm_layer(ps, "in", "in:affine=no", TARE_SHAPE(2, 3)), 2, 3),
        tare_layer_relu(ps, "act"),
        tare_layer_conditional_norm(ps, "d", tare_norm_layer(ps, "bn", "bn:affine=no", TARE_SHAPE(2, 3)), 2, 3),
    };
    tare_layer *net = tare_layer_sequential(ps, "net", layers, 3);
    assert_ok(tare_params_status(ps));
    assert_null(tare_forward(net, t, waves(t, TARE_SHAPE(2, 2, 3), 1)));
    assert_contains(tare_tape_error(t), "conditional_norm \"c\": x [2,2,3], and the classes of 0 samples");
    tare_tape_reset(t);
    const int32_t classes[] = { 1, 2 }, wrong[] = { 1, 3 };
    assert_int_equal(2, tare_condition(net, classes, 2));
    tare_params_find(ps, "d.bias")->data[1 * 2 + 0] = 100; /* class 1, channel 0: the first sample's */
    tare_tensor *y = tare_forward(net, t, waves(t, TARE_SHAPE(2, 2, 3), 1));
    assert_true(y->data[0] > 90 && y->data[3] < 10 && y->data[6] < 10);
    assert_null(tare_forward(net, t, waves(t, TARE_SHAPE(3, 2, 3), 1)));
    assert_contains(tare_tape_error(t), "the classes of 2 samples");
    tare_tape_reset(t);
    tare_condition(net, wrong, 2);
    assert_null(tare_forward(net, t, waves(t, TARE_SHAPE(2, 2, 3), 1)));
    assert_int_equal(TARE_EINVAL, tare_tape_status(t));
    assert_int_equal(0, tare_condition(NULL, classes, 2));
    assert_null(tare_layer_conditional_norm(ps, "e", layers[1], 2, 0));
    assert_contains(tare_params_error(ps), "conditional_norm \"e\": 2 channels, 0 classes");
    tare_tape_free(t);
    tare_params_free(ps);
}

/* Its own style changes an image by no more than eps does; any style gives its mean and deviation. */
static void adain_takes_the_style(void **state) {
    (void)state;
    tare_tape *t = tare_tape_new((tare_tape_opt){ 0 });
    tare_tensor *x = waves(t, TARE_SHAPE(1, 2, 3, 3), 1), *style = waves(t, TARE_SHAPE(1, 2, 4, 4), 1e20);
    double want[18];
    for (int i = 0; i < 18; i++) { want[i] = (double)x->data[i]; }
    assert_all_near(tare_adain(t, x, x, 1e-9)->data, want, 18, 1e-6);
    const tare_tensor *y = tare_adain(t, x, style, 0);
    for (int c = 0; c < 2; c++) {
        double mean = 0, square = 0, style_mean = 0, style_square = 0;
        for (int i = 0; i < 9; i++) { mean += (double)y->data[c * 9 + i] / 9; }
        for (int i = 0; i < 9; i++) { square += pow((double)y->data[c * 9 + i] - mean, 2) / 9; }
        for (int i = 0; i < 16; i++) { style_mean += (double)style->data[c * 16 + i] / 16; }
        for (int i = 0; i < 16; i++) { style_square += pow((double)style->data[c * 16 + i] - style_mean, 2) / 16; }
        assert_near(mean / 1e20, style_mean / 1e20, 1e-4);
        assert_near(sqrt(square) / 1e20, sqrt(style_square) / 1e20, 1e-4);
    }
    assert_null(tare_adain(t, x, waves(t, TARE_SHAPE(1, 3, 4, 4), 1), 0));
    assert_contains(tare_tape_error(t), "adain: content [1,2,3,3] and style [1,3,4,4] must agree");
    tare_tape_free(t);
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

/* Squares of what x is do not fit a float: the result is that of x made smaller, and gradients flow. */
static void switchable_at_any_scale(void **state) {
    (void)state;
    tare_real *want = NULL;
    const double scales[] = { 0x1p20, 0x1p66, 0x1p100 };
    for (size_t c = 0; c < 3; c++) {
        model m = model_new("switch", TARE_SHAPE(3, 4, 5));
        tare_tensor *x = waves(m.tape, TARE_SHAPE(2, 3, 4, 5), scales[c]);
        x->requires_grad = true;
        tare_tensor *y = tare_forward(m.norm, m.tape, x);
        assert_non_null(y);
        if (!want) {
            want = tare_malloc((size_t)y->numel * sizeof *want);
            memcpy(want, y->data, (size_t)y->numel * sizeof *want);
        }
        for (int64_t i = 0; i < y->numel; i++) { assert_near(y->data[i], want[i], test_tol(2e-6, 1e-12)); }
        assert_ok(tare_backward(m.tape, tare_sum(m.tape, tare_mul(m.tape, y, y), 0, false)));
        for (int64_t i = 0; i < x->numel; i++) { assert_true(isfinite(x->grad[i])); }
        model_free(&m);
    }
    tare_free(want);
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

/* Where nothing goes backward memory is used again, but not the caller's. */
static void inputs_stay(void **state) {
    (void)state;
    const char *specs[] = { "dyt", "grn", "frn", "switch" };
    for (int s = 0; s < 4; s++) {
        model m = model_new(specs[s], TARE_SHAPE(3, 4, 5));
        tare_tape *t = tare_tape_new((tare_tape_opt){ .no_grad = true, .guard = true });
        tare_tensor *from = waves(t, TARE_SHAPE(2, 3, 4, 5), 1), *x = tare_scale(t, from, 1);
        tare_real first[120];
        memcpy(first, tare_forward(m.norm, t, x)->data, sizeof first);
        const tare_tensor *again = tare_forward(m.norm, t, x);
        assert_memory_equal(from->data, x->data, sizeof first);
        assert_memory_equal(first, again->data, sizeof first);
        assert_ok(tare_tape_guard(t));
        tare_tape_free(t);
        model_free(&m);
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
        { "switch", TARE_SHAPE(3, 2, 2), TARE_SHAPE(2, 3, 1, 1),
          "switchable_norm \"norm\": x [2,3,1,1] must have 3 channels and 2 positions or more in each" },
        { "dyt", TARE_SHAPE(3, 2, 2), TARE_SHAPE(2, 3), "dyt \"norm\": x [2,3] must end in dimensions as [3,1,1]" },
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        model m = model_new(cases[c].spec, cases[c].features);
        assert_null(tare_forward(m.norm, m.tape, waves(m.tape, cases[c].x, 1)));
        assert_int_equal(TARE_ESHAPE, tare_tape_status(m.tape));
        assert_contains(tare_tape_error(m.tape), cases[c].words);
        model_free(&m);
    }
    const char *specs[] = { "dyt", "grn", "frn", "switch" };
    for (int s = 0; s < 4; s++) {
        tare_params *ps = tare_params_new(1);
        assert_null(tare_norm_layer(ps, "n", specs[s], TARE_SCALAR));
        assert_contains(tare_params_error(ps), "\"n\": 0 channels, eps");
        tare_params_free(ps);
    }
}

/* Whatever allocation fails, making, running and going back fails with TARE_ENOMEM and leaks nothing. */
static void short_memory(void **state) {
    (void)state;
    uint64_t live = tare_alloc_live();
    const char *specs[] = { "dyt", "grn", "frn", "switch" };
    for (int s = 0; s < 4; s++) {
        tare_status status = TARE_ENOMEM;
        for (uint64_t n = 1; status; n++) {
            assert_true(n < 3000);
            tare_params *ps = tare_params_new(1);
            tare_tape *t = tare_tape_new((tare_tape_opt){ .training = true });
            tare_tensor *x = waves(t, TARE_SHAPE(2, 3, 4, 5), 1);
            tare_alloc_fail_at(n);
            tare_layer *norm = tare_norm_layer(ps, "norm", specs[s], TARE_SHAPE(3, 4, 5));
            tare_tensor *y = norm ? tare_forward(norm, t, x) : NULL;
            status = norm ? tare_backward(t, tare_sum(t, y, 0, false)) : tare_params_status(ps);
            tare_alloc_fail_at(0);
            assert_true(status == TARE_OK || status == TARE_ENOMEM);
            tare_tape_free(t);
            tare_params_free(ps);
            assert_true(live == tare_alloc_live());
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goldens),
        cmocka_unit_test(gradients),
        cmocka_unit_test(layer_goldens),
        cmocka_unit_test(switchable_statistics),
        cmocka_unit_test(switchable_far_from_zero),
        cmocka_unit_test(switchable_at_any_scale),
        cmocka_unit_test(conditions),
        cmocka_unit_test(adain_takes_the_style),
        cmocka_unit_test(layers_begin_as_they_should),
        cmocka_unit_test(dyt_finds_its_channels),
        cmocka_unit_test(extreme_values),
        cmocka_unit_test(inputs_stay),
        cmocka_unit_test(not_finite_shows),
        cmocka_unit_test(errors),
        cmocka_unit_test(short_memory),
    };
    return cmocka_run_group_tests_name("composed norms", tests, NULL, NULL);
}
