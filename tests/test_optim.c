/* test_optim.c - optimizers against PyTorch's trajectories, clipping, what decays, state, errors.
 * tare-test: double isa */
#include "testing_support.h"

#include <tare/optim.h>

#include <math.h>
#include <stdio.h>

enum { STEPS = 10, WEIGHT = 15, BIAS = 5, SIZE = WEIGHT + BIAS };

static golden *gold;

static int open_golden(void **state) {
    (void)state;
    gold = golden_open("optim");
    return gold ? 0 : -1;
}

static int close_golden(void **state) {
    (void)state;
    golden_close(gold);
    return 0;
}

/* "weight" [3,5] and "bias" [5] (which does not decay), from the golden start. */
static tare_params *make_params(void) {
    tare_params *ps = tare_params_new(1);
    tare_tensor *w = tare_param(ps, "weight", TARE_SHAPE(3, 5), 0);
    tare_tensor *b = tare_param(ps, "bias", TARE_SHAPE(5), TARE_NO_DECAY);
    const double *start = golden_get(gold, NULL, "start");
    if (!start || tare_params_status(ps)) { return ps; }
    for (int i = 0; i < WEIGHT; i++) { w->data[i] = (tare_real)start[i]; }
    for (int i = 0; i < BIAS; i++) { b->data[i] = (tare_real)start[WEIGHT + i]; }
    return ps;
}

static void set_grads(tare_params *ps, const double *grads) {
    tare_params_zero_grad(ps);
    for (int i = 0; i < tare_params_count(ps); i++) {
        tare_tensor *p = tare_params_at(ps, i);
        for (int64_t j = 0; j < p->numel; j++) { p->grad[j] = (tare_real)*grads++; }
        p->grad_fresh = false;
    }
}

static void get_values(const tare_params *ps, tare_real *out) {
    for (int i = 0; i < tare_params_count(ps); i++) {
        const tare_tensor *p = tare_params_at(ps, i);
        memcpy(out, p->data, (size_t)p->numel * sizeof *out);
        out += p->numel;
    }
}

static void assert_padding_zero(const tare_params *ps) {
    for (int i = 0; i < tare_params_count(ps); i++) {
        int64_t end = i + 1 < tare_params_count(ps) ? tare_params_offset(ps, i + 1) : tare_params_flat_size(ps);
        for (int64_t j = tare_params_offset(ps, i) + tare_params_at(ps, i)->numel; j < end; j++) {
            assert_true(tare_params_flat(ps)[j] == 0);
        }
    }
}

/* ---- trajectories ------------------------------------------------------------------------------------------------ */

/* Ten steps of `o` are the golden ten of `name`; with clip, by tare_optim_step_clipped. Frees both. */
static void check_trajectory(const char *name, tare_params *ps, tare_optim *o, double clip) {
    const double *want = golden_get(gold, NULL, "%s", name), *grads = golden_get(gold, NULL, "grads");
    const double *norms = golden_get(gold, NULL, "norms");
    assert_non_null(o);
    assert_non_null(want);
    for (int t = 0; t < STEPS; t++) {
        tare_real got[SIZE];
        double norm = 0;
        set_grads(ps, grads + t * SIZE);
        assert_ok(clip > 0 ? tare_optim_step_clipped(o, clip, &norm) : tare_optim_step(o));
        if (clip > 0) { assert_near(norm, norms[t], 1e-12 * norms[t]); }
        get_values(ps, got);
        double off = test_distance(got, want + t * SIZE, SIZE);
        if (!(off <= test_tol(1e-6, 1e-14))) { fail_msg("%s: step %d is off by %g", name, t + 1, off); }
        assert_int_equal(tare_optim_steps(o), t + 1);
        assert_padding_zero(ps);
    }
    tare_optim_free(o);
    tare_params_free(ps);
}

static void test_sgd(void **state) {
    (void)state;
    const struct {
        const char *name;
        tare_sgd_opt opt;
    } cases[] = {
        { "sgd", { .lr = 0.1 } },
        { "sgd_decay", { .lr = 0.1, .weight_decay = 0.05 } },
        { "sgd_momentum", { .lr = 0.1, .momentum = 0.9 } },
        { "sgd_momentum_decay", { .lr = 0.1, .momentum = 0.9, .weight_decay = 0.05 } },
        { "sgd_dampening", { .lr = 0.1, .momentum = 0.9, .dampening = 0.3 } },
        { "sgd_nesterov", { .lr = 0.1, .momentum = 0.9, .nesterov = true } },
        { "sgd_nesterov_decay", { .lr = 0.1, .momentum = 0.9, .nesterov = true, .weight_decay = 0.05 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tare_params *ps = make_params();
        tare_sgd_opt opt = cases[i].opt;
        opt.decay_all = true;
        check_trajectory(cases[i].name, ps, tare_sgd_new(ps, opt), 0);
    }
}

static void test_adam(void **state) {
    (void)state;
    const struct {
        const char *name;
        tare_optim *(*make)(tare_params *, tare_adam_opt);
        tare_adam_opt opt;
    } cases[] = {
        { "adam", tare_adam_new, { .lr = 0.01 } },
        { "adam_decay", tare_adam_new, { .lr = 0.01, .weight_decay = 0.1 } },
        { "adam_betas", tare_adam_new, { .lr = 0.01, .beta1 = 0.3, .beta2 = 0.9, .eps = 1e-3 } },
        { "adam_beta1_zero", tare_adam_new, { .lr = 0.01, .beta1 = TARE_ZERO, .beta2 = 0.9 } },
        { "adamw", tare_adamw_new, { .lr = 0.01 } },
        { "adamw_decay", tare_adamw_new, { .lr = 0.01, .weight_decay = 0.1 } },
        { "adamw_betas",
          tare_adamw_new,
          { .lr = 0.01, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-4, .weight_decay = 0.1 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tare_params *ps = make_params();
        tare_adam_opt opt = cases[i].opt;
        opt.decay_all = true;
        check_trajectory(cases[i].name, ps, cases[i].make(ps, opt), 0);
    }
}

static void test_rmsprop(void **state) {
    (void)state;
    const struct {
        const char *name;
        tare_rmsprop_opt opt;
    } cases[] = {
        { "rmsprop", { .lr = 0.01 } },
        { "rmsprop_decay", { .lr = 0.01, .weight_decay = 0.1 } },
        { "rmsprop_centered", { .lr = 0.01, .centered = true } },
        { "rmsprop_momentum", { .lr = 0.01, .momentum = 0.9 } },
        { "rmsprop_all",
          { .lr = 0.01, .alpha = 0.9, .eps = 1e-3, .momentum = 0.5, .centered = true, .weight_decay = 0.1 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tare_params *ps = make_params();
        tare_rmsprop_opt opt = cases[i].opt;
        opt.decay_all = true;
        check_trajectory(cases[i].name, ps, tare_rmsprop_new(ps, opt), 0);
    }
}

static void test_decay_mask(void **state) {
    (void)state;
    tare_params *ps = make_params();
    check_trajectory("adamw_decay_mask", ps, tare_adamw_new(ps, (tare_adam_opt){ .lr = 0.01, .weight_decay = 0.1 }), 0);
}

static void test_defaults(void **state) {
    (void)state;
    tare_params *ps = make_params();
    tare_optim *o = tare_sgd_new(ps, (tare_sgd_opt){ 0 });
    assert_true(tare_optim_lr(o) == 1e-3);
    assert_int_equal(tare_optim_slots(o), 0);
    tare_optim_free(o);
    o = tare_rmsprop_new(ps, (tare_rmsprop_opt){ .centered = true });
    assert_true(tare_optim_lr(o) == 1e-2);
    assert_int_equal(tare_optim_slots(o), 2);
    assert_string_equal(tare_optim_slot_name(o, 1), "grad_avg");
    assert_null(tare_optim_slot_name(o, 2));
    assert_null(tare_optim_slot(o, 2));
    tare_optim_free(o);
    o = tare_adam_new(ps, (tare_adam_opt){ .lr = TARE_ZERO });
    assert_true(tare_optim_lr(o) == 0);
    assert_ok(tare_optim_lr_set(o, 0.5));
    assert_true(tare_optim_lr(o) == 0.5);
    tare_optim_free(o);
    assert_string_equal(tare_optim_class_find("adamw")->name, "adamw");
    assert_null(tare_optim_class_find("adamx"));
    assert_null(tare_optim_class_at(4));
    tare_params_free(ps);
}

/* ---- clipping ---------------------------------------------------------------------------------------------------- */

static void test_clipped_step(void **state) {
    (void)state;
    tare_params *ps = make_params();
    tare_adam_opt opt = { .lr = 0.01, .weight_decay = 0.1, .decay_all = true };
    check_trajectory("adamw_clipped", ps, tare_adamw_new(ps, opt), 1.0);
}

static void test_clip_in_place(void **state) {
    (void)state;
    tare_params *ps = make_params();
    double grads[SIZE] = { 0 };
    grads[1] = 3, grads[SIZE - 1] = -4;
    set_grads(ps, grads);
    assert_true(tare_grad_norm(ps) == 5);
    assert_true(tare_clip_grad_norm(ps, 5.5) == 5);
    assert_true(tare_params_at(ps, 0)->grad[1] == 3);
    assert_true(tare_clip_grad_norm(ps, 0) == 5); /* 0: no clipping */
    assert_true(tare_params_at(ps, 0)->grad[1] == 3);
    assert_true(tare_clip_grad_norm(ps, 2) == 5);
    assert_near(tare_params_at(ps, 0)->grad[1], 3 * 2 / (5 + 1e-6), test_tol(1e-7, 1e-15));
    assert_near(tare_params_at(ps, 1)->grad[BIAS - 1], -4 * 2 / (5 + 1e-6), test_tol(1.5e-7, 1e-15));
    /* a gradient that backward has not reached counts as zero, whatever lies there */
    tare_params_at(ps, 1)->grad_fresh = true;
    assert_near(tare_grad_norm(ps), 3 * 2 / (5 + 1e-6), 1e-6);
    /* so does one that is not wanted */
    tare_params_at(ps, 0)->requires_grad = false;
    assert_true(tare_grad_norm(ps) == 0);
    tare_params_free(ps);
}

static void test_clip_extremes(void **state) {
    (void)state;
    const double bad[] = { (double)NAN, (double)INFINITY, -(double)INFINITY };
    for (int i = 0; i < 3; i++) {
        tare_params *ps = make_params();
        tare_optim *o = tare_adam_new(ps, (tare_adam_opt){ 0 });
        double grads[SIZE] = { 1, 2, bad[i], 3 }, norm = 0;
        set_grads(ps, grads);
        assert_true(isnan(bad[i]) ? isnan(tare_clip_grad_norm(ps, 1)) : isinf(tare_clip_grad_norm(ps, 1)));
        assert_true(tare_params_at(ps, 0)->grad[1] == 2);
        tare_real before[SIZE], after[SIZE];
        get_values(ps, before);
        assert_status(TARE_ENONFINITE, tare_optim_step_clipped(o, 1, &norm));
        assert_contains(tare_error(), "step 1");
        assert_true(!isfinite(norm));
        get_values(ps, after);
        assert_memory_equal(before, after, sizeof before);
        assert_int_equal(tare_optim_steps(o), 0);
        tare_optim_free(o);
        tare_params_free(ps);
    }
    /* squares overflow a float, not the sum in double */
    tare_params *ps = make_params();
    double huge[SIZE] = { 3e30, 4e30 };
    set_grads(ps, huge);
    assert_near(tare_grad_norm(ps), 5e30, 1e24);
    tare_params_free(ps);
}

/* ---- large blocks: parts and threads ------------------------------------------------------------------------------- */

/* A model whose block takes several chunks, with stretches that begin and end inside them; values from a generator. */
static tare_params *make_large(void) {
    tare_params *ps = tare_params_new(7);
    for (int i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof name, "p%d", i);
        tare_param(ps, name, TARE_SHAPE(1 + (i * 977) % 5000), i % 3 == 0 ? TARE_NO_DECAY : 0);
    }
    tare_rng rng = tare_rng_new(3, "test");
    for (int i = 0; i < tare_params_count(ps); i++) {
        tare_tensor *p = tare_params_at(ps, i);
        for (int64_t j = 0; j < p->numel; j++) {
            p->data[j] = (tare_real)tare_rng_normal(&rng);
            p->grad[j] = (tare_real)tare_rng_normal(&rng);
        }
        p->grad_fresh = false;
        p->requires_grad = i % 7 != 5;
    }
    return ps;
}

static double run_large(tare_params *ps, int threads) {
    tare_threads_set(threads);
    tare_optim *o = tare_adamw_new(ps, (tare_adam_opt){ .lr = 0.1, .weight_decay = 0.5 });
    assert_non_null(o);
    double norm = 0;
    for (int t = 0; t < 3; t++) { assert_ok(tare_optim_step_clipped(o, 10, &norm)); }
    tare_optim_free(o);
    tare_threads_set(0);
    return norm;
}

static void test_threads(void **state) {
    (void)state;
    tare_params *one = make_large(), *many = make_large();
    assert_true(tare_params_flat_size(one) > 4 * 16384);
    double norm_one = run_large(one, 1), norm_many = run_large(many, 3);
    assert_memory_equal(&norm_one, &norm_many, sizeof norm_one);
    assert_memory_equal(tare_params_flat(one), tare_params_flat(many),
                        (size_t)tare_params_flat_size(one) * sizeof(tare_real));
    tare_params_free(one);
    tare_params_free(many);
}

/* Every parameter gets its update once, whatever chunk it lies in; those that are not to learn stay. */
static void test_parts(void **state) {
    (void)state;
    tare_params *ps = make_large(), *before = make_large();
    const double lr = 0.1, decay = 0.5;
    tare_optim *o = tare_sgd_new(ps, (tare_sgd_opt){ .lr = lr, .weight_decay = decay });
    double sum = 0;
    for (int i = 0; i < tare_params_count(ps); i++) {
        const tare_tensor *p = tare_params_at(ps, i);
        for (int64_t j = 0; p->requires_grad && j < p->numel; j++) { sum += (double)p->grad[j] * (double)p->grad[j]; }
    }
    assert_near(tare_grad_norm(ps), sqrt(sum), 1e-10);
    assert_ok(tare_optim_step_scaled(o, 0.25));
    for (int i = 0; i < tare_params_count(ps); i++) {
        const tare_tensor *p = tare_params_at(ps, i), *q = tare_params_at(before, i);
        double l2 = tare_params_flags(ps, i) & TARE_NO_DECAY ? 0 : decay;
        for (int64_t j = 0; j < p->numel; j++) {
            double x = (double)q->data[j], want = x - lr * (0.25 * (double)q->grad[j] + l2 * x);
            if (!p->requires_grad) { want = x; }
            if (!(fabs((double)p->data[j] - want) <= test_tol(1e-6, 1e-14))) { fail_msg("%s[%d]", p->name, (int)j); }
        }
        assert_memory_equal(p->grad, q->grad, (size_t)p->numel * sizeof *p->grad);
    }
    assert_padding_zero(ps);
    tare_optim_free(o);
    tare_params_free(ps);
    tare_params_free(before);
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

static void assert_refused(tare_optim *o, const char *words) {
    assert_null(o);
    assert_contains(tare_error(), words);
}

static void test_bad_options(void **state) {
    (void)state;
    tare_params *ps = make_params(), *empty = tare_params_new(1);
    const double nan = (double)NAN, inf = (double)INFINITY;
    assert_refused(tare_sgd_new(ps, (tare_sgd_opt){ .lr = -0.1 }), "sgd: lr is -0.1");
    assert_refused(tare_sgd_new(ps, (tare_sgd_opt){ .lr = nan }), "sgd: lr is");
    assert_refused(tare_sgd_new(ps, (tare_sgd_opt){ .lr = inf }), "sgd: lr is");
    assert_refused(tare_sgd_new(ps, (tare_sgd_opt){ .momentum = -1 }), "momentum");
    assert_refused(tare_sgd_new(ps, (tare_sgd_opt){ .dampening = nan }), "dampening");
    assert_refused(tare_sgd_new(ps, (tare_sgd_opt){ .weight_decay = -1 }), "weight_decay");
    assert_refused(tare_sgd_new(ps, (tare_sgd_opt){ .nesterov = true }), "nesterov");
    assert_refused(tare_sgd_new(ps, (tare_sgd_opt){ .nesterov = true, .momentum = 0.9, .dampening = 0.1 }), "nesterov");
    assert_refused(tare_adam_new(ps, (tare_adam_opt){ .beta1 = 1 }), "adam: beta1 is 1");
    assert_refused(tare_adamw_new(ps, (tare_adam_opt){ .beta2 = -0.5 }), "adamw: beta2 is -0.5");
    assert_refused(tare_adam_new(ps, (tare_adam_opt){ .beta2 = nan }), "beta2");
    assert_refused(tare_adam_new(ps, (tare_adam_opt){ .eps = TARE_ZERO }), "eps");
    assert_refused(tare_adam_new(ps, (tare_adam_opt){ .eps = -1e-8 }), "eps");
    assert_refused(tare_rmsprop_new(ps, (tare_rmsprop_opt){ .alpha = 1.5 }), "rmsprop: alpha is 1.5");
    assert_refused(tare_rmsprop_new(ps, (tare_rmsprop_opt){ .momentum = inf }), "momentum");
    assert_refused(tare_rmsprop_new(ps, (tare_rmsprop_opt){ .eps = nan }), "eps");
    assert_refused(tare_sgd_new(NULL, (tare_sgd_opt){ 0 }), "no parameters given");
    assert_refused(tare_sgd_new(empty, (tare_sgd_opt){ 0 }), "the model has no parameters");
    tare_param(empty, "bad", TARE_SHAPE(0), 0);
    assert_refused(tare_sgd_new(empty, (tare_sgd_opt){ 0 }), "bad");
    tare_params_free(ps);
    tare_params_free(empty);
}

static void test_bad_steps(void **state) {
    (void)state;
    tare_params *ps = make_params();
    tare_optim *o = tare_adam_new(ps, (tare_adam_opt){ 0 });
    tare_real before[SIZE], after[SIZE];
    get_values(ps, before);
    assert_status(TARE_EINVAL, tare_optim_lr_set(o, -1));
    assert_status(TARE_EINVAL, tare_optim_lr_set(o, (double)NAN));
    assert_true(tare_optim_lr(o) == 1e-3);
    assert_status(TARE_EINVAL, tare_optim_step_scaled(o, (double)NAN));
    assert_status(TARE_EINVAL, tare_optim_step(NULL)); /* it could not be made, and nobody looked */
    assert_status(TARE_EINVAL, tare_optim_step_clipped(NULL, 1, NULL));
    assert_contains(tare_error(), "the optimizer is NULL");
    tare_params_freeze(ps, true);
    assert_status(TARE_EINVAL, tare_optim_step(o));
    assert_contains(tare_error(), "frozen");
    tare_params_freeze(ps, false);
    assert_int_equal(tare_optim_steps(o), 0);
    get_values(ps, after);
    assert_memory_equal(before, after, sizeof before);
    tare_param(ps, "late", TARE_SHAPE(3), 0);
    assert_status(TARE_EINVAL, tare_optim_step(o));
    assert_contains(tare_error(), "added after");
    tare_optim_free(o);
    tare_optim_free(NULL);
    tare_params_free(ps);
}

static void test_no_memory(void **state) {
    (void)state;
    tare_params *ps = make_params();
    uint64_t live = tare_alloc_live();
    int failed = 0;
    for (uint64_t n = 1;; n++) {
        tare_alloc_fail_at(n);
        tare_optim *o = tare_rmsprop_new(ps, (tare_rmsprop_opt){ .centered = true, .momentum = 0.5 });
        tare_alloc_fail_at(0);
        if (!o) {
            assert_contains(tare_error(), "out of memory");
            assert_int_equal(tare_alloc_live(), live);
            failed++;
            continue;
        }
        uint64_t count = tare_alloc_count();
        assert_ok(tare_optim_step_clipped(o, 1, NULL));
        assert_int_equal(tare_alloc_count(), count); /* a step allocates nothing */
        tare_optim_free(o);
        break;
    }
    assert_int_equal(failed, 6); /* itself, options, stretches, three state arrays */
    assert_int_equal(tare_alloc_live(), live);
    tare_params_free(ps);
}

/* ---- an optimizer of one's own ------------------------------------------------------------------------------------- */

/* signSGD with momentum m = a m + g: enough to see every field that update is given. */
typedef struct sign_opt {
    double momentum;
} sign_opt;

static tare_status sign_check(const void *attr) {
    double m = ((const sign_opt *)attr)->momentum;
    return m >= 0 && m < 1 ? TARE_OK : tare_fail(TARE_EINVAL, "sign: momentum is %g", m);
}

static void sign_prepare(const void *attr, uint64_t step, double *coef) {
    coef[0] = ((const sign_opt *)attr)->momentum;
    coef[1] = (double)step;
}

static void sign_update(const tare_optim_range *r) {
    assert_true(r->coef[1] == (double)r->step);
    for (int64_t i = 0; i < r->n; i++) {
        r->slot[0][i] = (tare_real)r->coef[0] * r->slot[0][i] + (tare_real)r->grad_scale * r->grad[i];
        tare_real sign = (tare_real)((r->slot[0][i] > 0) - (r->slot[0][i] < 0));
        r->data[i] -= (tare_real)r->lr * (sign + (tare_real)r->decay * r->data[i]);
    }
}

static void test_own_class(void **state) {
    (void)state;
    const tare_optim_class sign = {
        .name = "sign",
        .lr = 0.5,
        .slot = { "velocity" },
        .attr_size = sizeof(sign_opt),
        .attr = &(const sign_opt){ .momentum = 0.5 },
        .check = sign_check,
        .prepare = sign_prepare,
        .update = sign_update,
    };
    tare_params *ps = make_params();
    assert_refused(tare_optim_new(ps, &sign, (tare_optim_opt){ .attr = &(sign_opt){ 2 } }), "sign: momentum is 2");
    tare_optim *o = tare_optim_new(ps, &sign, (tare_optim_opt){ .weight_decay = 0.1 });
    assert_string_equal(tare_optim_name(o), "sign");
    assert_ptr_equal(tare_optim_params(o), ps);
    assert_string_equal(tare_optim_slot_name(o, 0), "velocity");
    double grads[SIZE] = { 0 };
    grads[0] = 2, grads[WEIGHT] = -3;
    tare_tensor *w = tare_params_at(ps, 0), *b = tare_params_at(ps, 1);
    w->data[0] = 1, b->data[0] = 1;
    set_grads(ps, grads);
    assert_ok(tare_optim_step_scaled(o, 0.5));
    assert_near(w->data[0], 1 - 0.5 * (1 + 0.1), 1e-7);
    assert_near(b->data[0], 1 + 0.5, 1e-7); /* no decay */
    set_grads(ps, grads);
    assert_ok(tare_optim_step(o));
    assert_near(tare_optim_slot(o, 0)[0], 0.5 * 1 + 2, 1e-7);
    assert_near(tare_optim_slot(o, 0)[tare_params_offset(ps, 1)], 0.5 * -1.5 - 3, 1e-7);
    tare_optim_free(o);
    tare_params_free(ps);
}

int main(void) {
    if (test_isa_missing()) { return 77; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sgd),           cmocka_unit_test(test_adam),          cmocka_unit_test(test_rmsprop),
        cmocka_unit_test(test_decay_mask),    cmocka_unit_test(test_defaults),      cmocka_unit_test(test_clipped_step),
        cmocka_unit_test(test_clip_in_place), cmocka_unit_test(test_clip_extremes), cmocka_unit_test(test_threads),
        cmocka_unit_test(test_parts),         cmocka_unit_test(test_bad_options),   cmocka_unit_test(test_bad_steps),
        cmocka_unit_test(test_no_memory),     cmocka_unit_test(test_own_class),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
