/* test_gradient_penalty.c - its value and gradient beside PyTorch's derivatives of derivatives, and beside differences of the true
 * penalty; what it leaves alone; what it refuses.   tare-test: double */
#include "testing_support.h"

#include <tare/gan.h>

#include <math.h>
#include <stdio.h>

static tare_tape *tape_new(void) { return tare_tape_new((tare_tape_opt){ .training = true, .guard = true }); }

typedef struct critic {
    tare_params *ps;
    tare_layer *net;
    tare_tape *tape;
} critic;

/* conv, layer norm, SiLU, minibatch stddev (or not), conv, softplus, linear; `weights`, of both convolutions, and `norm` as specs */
static critic critic_new(bool stddev, const char *norm, const char *weights, const char *act) {
    critic c = { .ps = tare_params_new(1), .tape = tape_new() };
    tare_layer *layers[] = {
        tare_layer_conv2d(c.ps, "conv1", 1, 4, 3, (tare_layer_conv2d_opt){ .stride = 2, .pad = 1 }),
        tare_norm_layer(c.ps, "norm1", norm, TARE_SHAPE(4, 3, 3)),
        tare_layer_activation(c.ps, "act1", act),
        stddev ? tare_layer_minibatch_stddev(c.ps, "std", 2) : tare_layer_identity(c.ps, "std"),
        tare_layer_conv2d(c.ps, "conv2", 4 + stddev, 3, 3, (tare_layer_conv2d_opt){ 0 }),
        tare_layer_activation(c.ps, "act2", "softplus"),
        tare_layer_dropout(c.ps, "drop", 0.5), /* which rests meanwhile */
        tare_layer_flatten(c.ps, "flatten"),
        tare_layer_linear(c.ps, "fc", 3, 1, (tare_layer_linear_opt){ 0 }),
    };
    tare_norm_weight(layers[0], weights);
    tare_norm_weight(layers[4], weights);
    c.net = tare_layer_sequential(c.ps, "critic", layers, 9);
    if (!c.net) { fail_msg("%s", tare_params_error(c.ps)); }
    return c;
}

static void critic_free(critic *c) {
    tare_tape_free(c->tape);
    tare_params_free(c->ps);
}

static tare_tensor *images(tare_tape *t, const double *values) {
    tare_tensor *x = tare_input(t, TARE_SHAPE(4, 1, 6, 6), NULL);
    for (int64_t i = 0; i < x->numel; i++) {
        x->data[i] = (tare_real)(values ? values[i] : sin(1.7 * (double)i) + 0.3 * cos(0.11 * (double)(i * i)));
    }
    return x;
}

/* The value; backward too if asked. */
static double run(critic *c, const double *x, tare_gradient_penalty_opt opt, bool backward) {
    tare_tape_reset(c->tape);
    tare_params_zero_grad(c->ps);
    tare_tensor *p = tare_gradient_penalty(c->tape, c->net, images(c->tape, x), opt);
    if (!p) { fail_msg("%s", tare_tape_error(c->tape)); }
    double value = tare_item(p);
    if (backward) { assert_ok(tare_backward(c->tape, p)); }
    assert_ok(tare_tape_guard(c->tape));
    return value;
}

/* ---- beside PyTorch ---------------------------------------------------------------------------------------------------- */

static void load(const golden *g, const char *name, tare_params *ps) {
    for (int i = 0; i < tare_params_count(ps); i++) {
        tare_tensor *w = tare_params_at(ps, i);
        const double *values = golden_get(g, NULL, "%s/init/%s", name, w->name);
        if (!values) { fail_msg("no golden %s/init/%s", name, w->name); }
        for (int64_t k = 0; k < w->numel; k++) { w->data[k] = (tare_real)values[k]; }
    }
}

static void as_derivatives_of_derivatives(void **state) {
    (void)state;
    golden *g = golden_open("gan");
    assert_non_null(g);
    const char *const names[] = { "r1", "wgan_gp", "r1_stddev" };
    for (int i = 0; i < 3; i++) {
        critic c = critic_new(i == 2, "ln", "none", "silu");
        load(g, names[i], c.ps);
        tare_gradient_penalty_opt opt = { .kind = i == 1 ? TARE_PENALTY_WGAN_GP : TARE_PENALTY_R1 };
        double value = run(&c, golden_get(g, NULL, "%s/x", names[i]), opt, true);
        double want = *golden_get(g, NULL, "%s/penalty", names[i]);
        assert_near(value, want, test_tol(1e-4, 1e-11) * want);
        double largest = 0, worst = 0;
        for (int k = 0; k < tare_params_count(c.ps); k++) {
            const tare_tensor *w = tare_params_at(c.ps, k);
            const double *grad = golden_get(g, NULL, "%s/grad/%s", names[i], w->name);
            for (int64_t j = 0; j < w->numel; j++) { largest = fmax(largest, fabs(grad[j])); }
        }
        for (int k = 0; k < tare_params_count(c.ps); k++) {
            const tare_tensor *w = tare_params_at(c.ps, k);
            const double *grad = golden_get(g, NULL, "%s/grad/%s", names[i], w->name);
            for (int64_t j = 0; j < w->numel; j++) {
                double off = fabs((double)w->grad[j] - grad[j]) / largest;
                worst = fmax(worst, off);
                assert_near(off, 0, test_tol(i == 2 ? 2e-2 : 1e-3, 1e-6)); /* in pairs, deviations bend sharply */
            }
        }
        printf("%-10s gradient off by %.2g of its largest value\n", names[i], worst);
        critic_free(&c);
    }
    golden_close(g);
}

/* ---- beside differences of the penalty itself ---------------------------------------------------------------------------- */

#ifdef TARE_F64
static void as_differences(void **state) {
    (void)state;
    const struct {
        const char *norm, *weights, *act;
        bool stddev;
    } cases[] = { { "ln", "none", "silu", false }, { "in", "sn", "tanh", false }, { "gn:2", "sn", "softplus", true } };
    for (int k = 0; k < 6; k++) {
        critic c = critic_new(cases[k / 2].stddev, cases[k / 2].norm, cases[k / 2].weights, cases[k / 2].act);
        tare_gradient_penalty_opt opt = { .kind = k % 2 ? TARE_PENALTY_WGAN_GP : TARE_PENALTY_R1, .weight = 3 };
        run(&c, NULL, opt, true);
        double norm = tare_grad_norm(c.ps);
        int64_t size = tare_params_flat_size(c.ps);
        double *grad = calloc((size_t)size, sizeof *grad), *w = tare_params_flat(c.ps), h = 1e-5, worst = 0;
        memcpy(grad, tare_params_flat_grad(c.ps), (size_t)size * sizeof *grad);
        for (int64_t i = 0; i < size; i++) {
            double keep = w[i];
            w[i] = keep + h;
            double up = run(&c, NULL, opt, false);
            w[i] = keep - h;
            double numeric = (up - run(&c, NULL, opt, false)) / (2 * h);
            w[i] = keep;
            worst = fmax(worst, fabs(grad[i] - numeric) / norm);
        }
        if (!(worst < 1e-6)) { fail_msg("case %d: off by %g of the gradient's norm", k, worst); }
        free(grad);
        critic_free(&c);
    }
}
#endif

/* By hand: D(x) = w x, so r1 is weight / 2 w^2 whatever x is; wgan_gp is weight (|w| - 1)^2. */
static void by_hand(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(1);
    tare_layer *d = tare_layer_linear(ps, "d", 1, 1, (tare_layer_linear_opt){ 0 });
    tare_tape *t = tape_new();
    d->weight->data[0] = -3;
    for (int kind = 0; kind < 2; kind++) {
        tare_tape_reset(t);
        tare_params_zero_grad(ps);
        tare_tensor *x = tare_input(t, TARE_SHAPE(2, 1), (tare_real[2]){ 1, 2 });
        tare_gradient_penalty_opt opt = { .kind = (tare_gradient_penalty_kind)kind, .weight = 4 };
        tare_tensor *p = tare_gradient_penalty(t, d, x, opt);
        assert_near(tare_item(p), kind ? 4 * 4 : 2 * 9, 1e-5);
        assert_ok(tare_backward(t, p));
        assert_near(d->weight->grad[0], kind ? 4 * 2 * (3 - 1) * -1 : 4 * -3, test_tol(1e-3, 1e-8));
        assert_null(x->grad);
    }
    /* no slope at all, and all zeros */
    d->weight->data[0] = 0;
    tare_tape_reset(t);
    tare_params_zero_grad(ps);
    tare_tensor *x = tare_input(t, TARE_SHAPE(2, 1), (tare_real[2]){ 0, 0 });
    tare_tensor *p = tare_gradient_penalty(t, d, x, (tare_gradient_penalty_opt){ .kind = TARE_PENALTY_WGAN_GP });
    assert_near(tare_item(p), 10, 1e-5);
    assert_ok(tare_backward(t, p));
    assert_near(d->weight->grad[0], 0, 0);
    tare_tape_free(t);
    tare_params_free(ps);
}

/* ---- what it leaves alone ------------------------------------------------------------------------------------------------ */

static void leaves_no_trace(void **state) {
    (void)state;
    critic c = critic_new(false, "in", "sn", "silu");
    size_t bytes = (size_t)tare_params_buffer_flat_size(c.ps) * sizeof(tare_real);
    tare_real *before = malloc(bytes);
    memcpy(before, tare_params_buffer_flat(c.ps), bytes);
    tare_tensor *rests = tare_params_find(c.ps, "conv1.bias");
    rests->requires_grad = false;
    run(&c, NULL, (tare_gradient_penalty_opt){ 0 }, true);
    assert_memory_equal(before, tare_params_buffer_flat(c.ps), bytes); /* u and v stay */
    assert_true(tare_tape_training(c.tape));
    assert_true(!tare_params_frozen(c.ps) && !rests->requires_grad);
    assert_true(tare_params_find(c.ps, "conv1.weight")->requires_grad);
    /* added to a loss, with the same gradient */
    tare_real *alone = malloc((size_t)tare_params_flat_size(c.ps) * sizeof *alone);
    memcpy(alone, tare_params_find(c.ps, "conv2.weight")->grad, 108 * sizeof *alone);
    tare_tape_reset(c.tape);
    tare_params_zero_grad(c.ps);
    tare_tensor *x = images(c.tape, NULL);
    tare_tensor *scores = tare_scale(c.tape, tare_forward(c.net, c.tape, x), 0);
    tare_tensor *loss = tare_gan_loss(c.tape, scores, TARE_GAN_WASSERSTEIN, TARE_GAN_D_REAL);
    memcpy(tare_params_buffer_flat(c.ps), before, bytes); /* that forward has moved them */
    loss = tare_add(c.tape, loss, tare_gradient_penalty(c.tape, c.net, x, (tare_gradient_penalty_opt){ 0 }));
    assert_ok(tare_backward(c.tape, loss));
    assert_memory_equal(alone, tare_params_find(c.ps, "conv2.weight")->grad, 108 * sizeof *alone);
    free(before), free(alone);
    critic_free(&c);
}

static void allocates_nothing_once_seen(void **state) {
    (void)state;
    critic c = critic_new(true, "ln", "sn", "silu");
    uint64_t count = 0;
    for (int step = 0; step < 8; step++) {
        if (step == 3) { count = tare_alloc_count(); }
        run(&c, NULL, (tare_gradient_penalty_opt){ .kind = TARE_PENALTY_WGAN_GP }, true);
    }
    assert_true(count == tare_alloc_count());
    critic_free(&c);
}

/* ---- what it refuses ------------------------------------------------------------------------------------------------------ */

static void errors(void **state) {
    (void)state;
    const char *const batch[] = { "bn", "switch" };
    for (int i = 0; i < 2; i++) {
        critic c = critic_new(false, batch[i], "none", "silu");
        assert_null(tare_gradient_penalty(c.tape, c.net, images(c.tape, NULL), (tare_gradient_penalty_opt){ 0 }));
        assert_int_equal(TARE_EINVAL, tare_tape_status(c.tape));
        assert_contains(tare_tape_error(c.tape),
                        i ? "switchable_norm \"norm1\"" : "batch_norm \"norm1\" ties the score");
        assert_contains(tare_tape_error(c.tape), "use another norm in D");
        critic_free(&c);
    }
    critic c = critic_new(false, "ln", "none", "silu");
    const tare_gradient_penalty_opt wrong[] = {
        { .kind = (tare_gradient_penalty_kind)5 }, { .weight = -1 }, { .step = -1 }, { .weight = NAN }
    };
    for (int i = 0; i < 4; i++) {
        assert_null(tare_gradient_penalty(c.tape, c.net, images(c.tape, NULL), wrong[i]));
        assert_int_equal(TARE_EINVAL, tare_tape_status(c.tape));
        tare_tape_reset(c.tape);
    }
    tare_tensor *flat = tare_input(c.tape, TARE_SHAPE(3), NULL);
    assert_null(tare_gradient_penalty(c.tape, c.net, flat, (tare_gradient_penalty_opt){ 0 }));
    assert_contains(tare_tape_error(c.tape), "x [3] is not [N,...]");
    tare_tape_reset(c.tape);
    assert_null(tare_gradient_penalty(c.tape, NULL, images(c.tape, NULL), (tare_gradient_penalty_opt){ 0 }));
    assert_contains(tare_tape_error(c.tape), "D is NULL");
    tare_tape *no_grad = tare_tape_new((tare_tape_opt){ .no_grad = true });
    assert_null(tare_gradient_penalty(no_grad, c.net, images(no_grad, NULL), (tare_gradient_penalty_opt){ 0 }));
    assert_int_equal(TARE_EINVAL, tare_tape_status(no_grad));
    tare_tape_free(no_grad);
    critic_free(&c);
}

static void mixes_sample_by_sample(void **state) {
    (void)state;
    tare_tape *t = tape_new();
    enum { N = 2000 };
    static tare_real zeros[2 * N], ones[2 * N];
    for (int i = 0; i < 2 * N; i++) { ones[i] = 1; }
    tare_tensor *a = tare_input(t, TARE_SHAPE(N, 2), zeros), *b = tare_input(t, TARE_SHAPE(N, 2), ones);
    tare_rng rng = tare_rng_new(1, "mix"), again = rng;
    tare_tensor *m = tare_mix(t, a, b, &rng), *same = tare_mix(t, a, b, &again);
    assert_memory_equal(m->data, same->data, sizeof zeros);
    double mean = 0;
    for (int i = 0; i < N; i++) {
        assert_true(m->data[2 * i] == m->data[2 * i + 1] && m->data[2 * i] >= 0 && m->data[2 * i] <= 1);
        mean += (double)m->data[2 * i] / N;
    }
    assert_near(mean, 0.5, 0.03);
    assert_true(m->data[0] != m->data[2]);
    assert_null(tare_mix(t, a, tare_input(t, TARE_SHAPE(N, 3), NULL), &rng));
    assert_contains(tare_tape_error(t), "mix: x [2000,2] and y [2000,3]");
    tare_tape_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_derivatives_of_derivatives),
#ifdef TARE_F64
        cmocka_unit_test(as_differences),
#endif
        cmocka_unit_test(by_hand),
        cmocka_unit_test(leaves_no_trace),
        cmocka_unit_test(allocates_nothing_once_seen),
        cmocka_unit_test(errors),
        cmocka_unit_test(mixes_sample_by_sample),
    };
    return cmocka_run_group_tests_name("gradient penalty", tests, NULL, NULL);
}
