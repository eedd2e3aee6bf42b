/* test_gan_layers.c - what discriminators are made of, run twice before one backward, beside PyTorch; what a player who is
 * frozen keeps.   tare-test: double isa */
#include "testing_support.h"

#include <tare/gan.h>
#include <tare/testing.h>

#include <math.h>
#include <stdio.h>

static tare_tape *tape_new(void) { return tare_tape_new((tare_tape_opt){ .training = true, .guard = true }); }

static const double *demand(const golden *g, const char *name, const char *what, tare_shape *shape) {
    const double *values = golden_get(g, shape, "%s/%s", name, what);
    if (!values) { fail_msg("no golden %s/%s", name, what); }
    return values;
}

static tare_tensor *from_golden(tare_tape *t, const golden *g, const char *name, const char *what) {
    tare_shape shape;
    const double *values = demand(g, name, what, &shape);
    tare_tensor *x = tare_input(t, shape, NULL);
    for (int64_t i = 0; i < x->numel; i++) { x->data[i] = (tare_real)values[i]; }
    x->requires_grad = true;
    return x;
}

/* ---- run twice, then backward ------------------------------------------------------------------------------------------ */

static const int32_t classes[] = { 2, 0, 4 };

static tare_layer *sn_linear(tare_params *ps) { return tare_layer_linear(ps, "n", 5, 4, (tare_layer_linear_opt){ 0 }); }
static tare_layer *sn_conv2d(tare_params *ps) {
    return tare_layer_conv2d(ps, "n", 2, 4, 3, (tare_layer_conv2d_opt){ .pad = 1 });
}
static tare_layer *sn_conv_transpose2d(tare_params *ps) {
    return tare_layer_conv_transpose2d(ps, "n", 3, 2, 4, (tare_layer_conv_transpose2d_opt){ .stride = 2, .pad = 1 });
}
static tare_layer *projection(tare_params *ps) { return tare_layer_projection(ps, "n", 4, 5, NULL); }
static tare_layer *projection_sn(tare_params *ps) { return tare_layer_projection(ps, "n", 4, 5, "sn"); }

static const struct {
    const char *name;
    tare_layer *(*make)(tare_params *ps);
    const char *norm;
} twice[] = {
    { "sn_linear", sn_linear, "sn" },
    { "sn_conv2d", sn_conv2d, "sn" },
    { "sn_two_steps", sn_linear, "sn:iterations=2" },
    { "sn_conv_transpose2d", sn_conv_transpose2d, "sn" },
    { "projection", projection, "none" },
    { "projection_sn", projection_sn, "none" },
};

/* Every parameter and buffer of the layer "n" as the golden has it, or compared with it. */
static void each_value(const golden *g, const char *name, const char *kind, tare_params *ps, bool load) {
    double tol = test_tol(2e-5, 1e-10);
    bool grads = strcmp(kind, "grad") == 0;
    int params = tare_params_count(ps), all = params + (grads ? 0 : tare_params_buffers(ps));
    for (int i = strcmp(kind, "final") == 0 ? params : 0; i < all; i++) {
        tare_tensor *w = i < params ? tare_params_at(ps, i) : tare_params_buffer_at(ps, i - params);
        const double *want = golden_get(g, NULL, "%s/%s/%s", name, kind, w->name + 2);
        if (!want) { fail_msg("no golden %s/%s/%s", name, kind, w->name + 2); }
        for (int64_t k = 0; k < w->numel && load; k++) { w->data[k] = (tare_real)want[k]; }
        if (!load) { assert_all_near(grads ? w->grad : w->data, want, w->numel, tol); }
    }
}

static void run_twice_as_pytorch(void **state) {
    (void)state;
    double tol = test_tol(2e-5, 1e-10);
    golden *g = golden_open("gan");
    assert_non_null(g);
    for (size_t c = 0; c < sizeof twice / sizeof *twice; c++) {
        const char *name = twice[c].name;
        tare_params *ps = tare_params_new(1);
        tare_layer *layer = twice[c].make(ps);
        tare_norm_weight(layer, twice[c].norm);
        if (tare_params_status(ps)) { fail_msg("%s: %s", name, tare_params_error(ps)); }
        each_value(g, name, "init", ps, true);
        tare_condition(layer, classes, 3);
        tare_tape *t = tape_new();
        tare_tensor *x[2] = { from_golden(t, g, name, "x0"), from_golden(t, g, name, "x1") }, *sum[2];
        for (int i = 0; i < 2; i++) {
            tare_tensor *y = tare_forward(layer, t, x[i]);
            if (!y) { fail_msg("%s: %s", name, tare_tape_error(t)); }
            assert_all_near(y->data, demand(g, name, i ? "y1" : "y0", NULL), y->numel, tol);
            tare_tensor *dy = from_golden(t, g, name, i ? "dy1" : "dy0");
            dy->requires_grad = false;
            sum[i] = tare_sum(t, tare_mul(t, y, dy), 0, false);
        }
        assert_ok(tare_backward(t, tare_add(t, sum[0], sum[1])));
        assert_ok(tare_tape_guard(t));
        assert_all_near(x[0]->grad, demand(g, name, "dx0", NULL), x[0]->numel, tol);
        assert_all_near(x[1]->grad, demand(g, name, "dx1", NULL), x[1]->numel, tol);
        each_value(g, name, "grad", ps, false);
        each_value(g, name, "final", ps, false);
        tare_tape_free(t);
        tare_params_free(ps);
    }
    golden_close(g);
}

/* ---- projection -------------------------------------------------------------------------------------------------------- */

static tare_tensor *run_layer(tare_tape *t, tare_tensor *const *in, void *layer) {
    return tare_forward(layer, t, in[0]);
}

static void projection_gradients(void **state) {
    (void)state;
    for (int c = 0; c < 3; c++) {
        tare_params *ps = tare_params_new(1);
        tare_layer *layer = tare_layer_projection(ps, "n", 4, c ? 5 : 0, c == 2 ? "sn" : NULL);
        tare_condition(layer, classes, 3);
        tare_gradcheck_input in = { .shape = c ? TARE_SHAPE(3, 4, 2, 3) : TARE_SHAPE(3, 4) };
        tare_gradcheck_opt opt = { .params = ps, .eval = true, .bits = test_tol(true, false) };
        assert_ok(tare_gradcheck("projection", run_layer, layer, &in, 1, &opt, NULL));
        tare_params_free(ps);
    }
}

static void projection_errors(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(1);
    tare_tape *t = tape_new();
    tare_layer *layer = tare_layer_projection(ps, "head", 4, 5, "sn");
    assert_ok(tare_params_status(ps));
    assert_null(tare_forward(layer, t, tare_input(t, TARE_SHAPE(2, 3), NULL)));
    assert_contains(tare_tape_error(t), "projection \"head\": x [2,3] is not [N,4,...]");
    tare_tape_reset(t);
    tare_tensor *x = tare_input(t, TARE_SHAPE(2, 4), (tare_real[8]){ 1, 2, 3, 4, 5, 6, 7, 8 });
    assert_null(tare_forward(layer, t, x));
    assert_contains(tare_tape_error(t), "projection \"head\": x [2,4], and the classes of 0 samples");
    tare_tape_free(t);
    assert_null(tare_layer_projection(ps, "other", 0, 5, NULL));
    assert_contains(tare_params_error(ps), "projection \"other\": 0 channels, 5 classes");
    tare_params_free(ps);
    ps = tare_params_new(1);
    assert_null(tare_layer_projection(ps, "head", 4, 5, "snn"));
    assert_int_equal(TARE_EINVAL, tare_params_status(ps));
    tare_params_free(ps);
}

/* ---- minibatch stddev -------------------------------------------------------------------------------------------------- */

static tare_tensor *stddev_graph(tare_tape *t, tare_tensor *const *in, void *group) {
    return tare_minibatch_stddev(t, in[0], *(int64_t *)group);
}

static void stddev_as_pytorch(void **state) {
    (void)state;
    const struct {
        const char *name;
        int64_t group;
    } cases[] = { { "images", 0 }, { "small", 4 }, { "features", 2 } };
    golden *g = golden_open("minibatch_stddev");
    assert_non_null(g);
    for (int c = 0; c < 3; c++) {
        int64_t group = cases[c].group;
        tare_tape *t = tape_new();
        tare_tensor *x = from_golden(t, g, cases[c].name, "in0"), *dy = from_golden(t, g, cases[c].name, "dout");
        tare_tensor *y = stddev_graph(t, &x, &group);
        if (!y) { fail_msg("%s", tare_tape_error(t)); }
        assert_all_near(y->data, demand(g, cases[c].name, "out", NULL), y->numel, test_tol(1e-5, 1e-10));
        assert_ok(tare_backward_from(t, y, dy->data));
        assert_all_near(x->grad, demand(g, cases[c].name, "din0", NULL), x->numel, test_tol(1e-5, 1e-10));
        tare_gradcheck_input in = { .shape = x->shape };
        tare_gradcheck_opt opt = { .bits = test_tol(true, false) };
        assert_ok(tare_gradcheck("minibatch_stddev", stddev_graph, &group, &in, 1, &opt, NULL));
        tare_tape_free(t);
    }
    golden_close(g);
}

/* Samples all alike: the root of the small number that keeps its slope finite. */
static void stddev_of_copies_and_errors(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(1);
    tare_layer *layer = tare_layer_minibatch_stddev(ps, "std", 2);
    tare_tape *t = tape_new();
    tare_tensor *x = tare_input(t, TARE_SHAPE(4, 1), (tare_real[4]){ 3, 5, 3, 5 }); /* 0 and 2 are a group */
    x->requires_grad = true;
    tare_tensor *y = tare_forward(layer, t, x);
    assert_true(y && tare_shape_equal(y->shape, TARE_SHAPE(4, 2)));
    for (int i = 0; i < 4; i++) {
        assert_near(y->data[2 * i], i % 2 ? 5 : 3, 0);
        assert_near(y->data[2 * i + 1], 1e-4, 1e-9);
    }
    assert_ok(tare_backward_from(t, y, (tare_real[8]){ 0, 1, 0, 1, 0, 1, 0, 1 }));
    for (int i = 0; i < 4; i++) { assert_near(x->grad[i], 0, 1e-6); }
    assert_null(tare_minibatch_stddev(t, tare_input(t, TARE_SHAPE(6, 2), NULL), 0));
    assert_contains(tare_tape_error(t), "groups of 4 do not divide the 6 samples of x [6,2]");
    tare_tape_reset(t);
    assert_null(tare_minibatch_stddev(t, tare_input(t, TARE_SHAPE(6), NULL), 2));
    assert_contains(tare_tape_error(t), "x [6] is not [N,C,...]");
    assert_null(tare_layer_minibatch_stddev(ps, "std", -1));
    assert_contains(tare_params_error(ps), "groups of -1");
    tare_tape_free(t);
    tare_params_free(ps);
}

/* ---- whose turn is it? ------------------------------------------------------------------------------------------------- */

typedef struct pair {
    tare_params *g_ps, *d_ps;
    tare_layer *g, *d;
    tare_optim *g_optim, *d_optim;
    tare_tape *tape;
    tare_real *kept; /* of one player: parameters, then buffers */
} pair;

static tare_layer *player(tare_params *ps, int64_t in, int64_t out, const char *spec) {
    tare_layer *layers[] = {
        tare_layer_linear(ps, "fc1", in, 16, (tare_layer_linear_opt){ 0 }),
        tare_norm_layer(ps, "norm", spec, TARE_SHAPE(16)),
        tare_layer_activation(ps, "act", "leaky_relu:0.2"),
        tare_layer_linear(ps, "fc2", 16, out, (tare_layer_linear_opt){ 0 }),
    };
    tare_norm_weight(layers[0], spec);
    tare_norm_weight(layers[3], spec);
    return tare_layer_sequential(ps, "net", layers, 4);
}

static pair pair_new(void) {
    pair p = { .g_ps = tare_params_new(1), .d_ps = tare_params_new(2), .tape = tape_new() };
    p.g = player(p.g_ps, 3, 2, "bn");
    p.d = player(p.d_ps, 2, 1, "sn+bn");
    p.g_optim = tare_adam_new(p.g_ps, (tare_adam_opt){ .lr = 0.01, .beta1 = TARE_ZERO });
    p.d_optim = tare_adam_new(p.d_ps, (tare_adam_opt){ .lr = 0.01, .beta1 = TARE_ZERO });
    assert_non_null(p.g_optim);
    assert_non_null(p.d_optim);
    return p;
}

static void pair_free(pair *p) {
    tare_tape_free(p->tape);
    tare_optim_free(p->g_optim), tare_optim_free(p->d_optim);
    tare_params_free(p->g_ps), tare_params_free(p->d_ps);
    free(p->kept);
}

static tare_tensor *waves(tare_tape *t, int64_t width, double by) {
    tare_tensor *x = tare_input(t, TARE_SHAPE(8, width), NULL);
    for (int64_t i = 0; i < x->numel; i++) { x->data[i] = (tare_real)sin(by * (double)(i + 1)); }
    return x;
}

static void keep(pair *p, tare_params *ps) {
    size_t n = (size_t)tare_params_flat_size(ps), m = (size_t)tare_params_buffer_flat_size(ps);
    free(p->kept);
    p->kept = calloc(n + m, sizeof *p->kept);
    memcpy(p->kept, tare_params_flat(ps), n * sizeof *p->kept);
    memcpy(p->kept + n, tare_params_buffer_flat(ps), m * sizeof *p->kept);
}

/* How many of the tensors whose name ends so have other values than were kept. */
static int moved(const pair *p, tare_params *ps, const char *ending) {
    int count = 0, params = tare_params_count(ps);
    for (int i = 0; i < params + tare_params_buffers(ps); i++) {
        const tare_tensor *w = i < params ? tare_params_at(ps, i) : tare_params_buffer_at(ps, i - params);
        const tare_real *old = i < params
                                   ? p->kept + (w->data - tare_params_flat(ps))
                                   : p->kept + tare_params_flat_size(ps) + (w->data - tare_params_buffer_flat(ps));
        size_t all = strlen(w->name), end = strlen(ending);
        if (all < end || strcmp(w->name + all - end, ending) != 0) { continue; }
        count += memcmp(old, w->data, (size_t)w->numel * sizeof *old) != 0;
    }
    return count;
}

static void g_step(pair *p, bool freeze) {
    tare_tape_reset(p->tape);
    tare_params_zero_grad(p->g_ps);
    if (freeze) { tare_params_freeze(p->d_ps, true); }
    tare_tensor *scores = tare_forward(p->d, p->tape, tare_forward(p->g, p->tape, waves(p->tape, 3, 0.7)));
    assert_ok(tare_backward(p->tape, tare_gan_loss(p->tape, scores, TARE_GAN_LOGISTIC, TARE_GAN_G)));
    assert_ok(tare_optim_step(p->g_optim));
    tare_params_freeze(p->d_ps, false);
}

static void frozen_d_keeps_weights_statistics_and_vectors(void **state) {
    (void)state;
    pair p = pair_new();
    keep(&p, p.d_ps);
    tare_params_settle_grad(p.d_ps);
    g_step(&p, true);
    assert_int_equal(0, moved(&p, p.d_ps, ""));
    assert_near(tare_grad_norm(p.d_ps), 0, 0); /* and D's gradients, which its own step will use */
    assert_true(tare_grad_norm(p.g_ps) > 0);
    assert_true(tare_params_find(p.d_ps, "fc1.weight")->requires_grad);
    g_step(&p, false); /* not frozen, all but the weights would move */
    assert_int_equal(0, moved(&p, p.d_ps, ".weight"));
    assert_int_equal(1, moved(&p, p.d_ps, ".running_mean"));
    assert_int_equal(1, moved(&p, p.d_ps, ".weight_u")); /* fc2 has one output: its vectors are there at once */
    assert_int_equal(1, moved(&p, p.d_ps, ".weight_v"));
    assert_true(tare_grad_norm(p.d_ps) > 0);
    pair_free(&p);
}

static void d_step_leaves_g_alone(void **state) {
    (void)state;
    pair p = pair_new();
    for (int how = 0; how < 2; how++) { /* detached; detached and frozen */
        keep(&p, p.g_ps);
        tare_tape_reset(p.tape);
        tare_params_zero_grad(p.d_ps);
        tare_params_settle_grad(p.g_ps);
        if (how) { tare_params_freeze(p.g_ps, true); }
        tare_tensor *fake = tare_detach(p.tape, tare_forward(p.g, p.tape, waves(p.tape, 3, 0.7)));
        tare_tensor *of_real = tare_forward(p.d, p.tape, waves(p.tape, 2, 1.3));
        tare_tensor *of_fake = tare_forward(p.d, p.tape, fake);
        tare_tensor *loss = tare_add(p.tape, tare_gan_loss(p.tape, of_real, TARE_GAN_HINGE, TARE_GAN_D_REAL),
                                     tare_gan_loss(p.tape, of_fake, TARE_GAN_HINGE, TARE_GAN_D_FAKE));
        assert_ok(tare_backward(p.tape, loss));
        assert_ok(tare_optim_step(p.d_optim));
        tare_params_freeze(p.g_ps, false);
        assert_near(tare_grad_norm(p.g_ps), 0, 0);
        assert_int_equal(how ? 0 : 1, moved(&p, p.g_ps, ".running_mean"));
        assert_int_equal(0, moved(&p, p.g_ps, ".weight"));
        assert_true(tare_grad_norm(p.d_ps) > 0);
    }
    pair_free(&p);
}

/* Whatever allocation fails, in building or in a step: the error is there, and nothing is left behind. */
static void short_memory(void **state) {
    (void)state;
    uint64_t live = tare_alloc_live();
    tare_status status = TARE_ENOMEM;
    for (uint64_t n = 1; status; n++) {
        assert_true(n < 3000);
        tare_alloc_fail_at(n);
        tare_params *ps = tare_params_new(1);
        tare_tape *t = tare_tape_new((tare_tape_opt){ .training = true });
        tare_layer *layers[] = { tare_layer_upsample2d(ps, "up", (tare_upsample2d_opt){ 0 }),
                                 tare_layer_minibatch_stddev(ps, "std", 3),
                                 tare_layer_projection(ps, "head", 5, 5, "sn") };
        tare_layer *net = tare_layer_sequential(ps, "net", layers, 3);
        status = tare_params_status(ps);
        tare_condition(net, classes, 3);
        if (!status && !t) { status = TARE_ENOMEM; }
        if (!status) {
            tare_tensor *x = tare_input(t, TARE_SHAPE(3, 4, 2, 2), NULL);
            for (int64_t i = 0; x && i < x->numel; i++) { x->data[i] = (tare_real)sin((double)i); }
            tare_tensor *loss = tare_gan_loss(t, tare_forward(net, t, x), TARE_GAN_HINGE, TARE_GAN_D_REAL);
            tare_tensor *p = tare_gradient_penalty(t, net, x, (tare_gradient_penalty_opt){ 0 });
            status = tare_backward(t, tare_add(t, loss, p));
            assert_true(!tare_params_frozen(ps) && tare_tape_training(t));
        }
        tare_alloc_fail_at(0);
        assert_true(status == TARE_OK || status == TARE_ENOMEM);
        tare_tape_free(t);
        tare_params_free(ps);
        assert_true(live == tare_alloc_live());
    }
}

int main(void) {
    if (test_isa_missing()) { return 77; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_twice_as_pytorch),        cmocka_unit_test(projection_gradients),
        cmocka_unit_test(projection_errors),           cmocka_unit_test(stddev_as_pytorch),
        cmocka_unit_test(stddev_of_copies_and_errors), cmocka_unit_test(frozen_d_keeps_weights_statistics_and_vectors),
        cmocka_unit_test(d_step_leaves_g_alone),       cmocka_unit_test(short_memory),
    };
    return cmocka_run_group_tests_name("gan layers", tests, NULL, NULL);
}
