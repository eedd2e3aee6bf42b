/* test_language.c - the nets of tare charlm as they train: ten steps beside PyTorch's from the same weights, the same bits for any
 * number of threads, no allocation once a step has been seen twice.   tare-test: double isa */
#include "../examples/charlm/charlm.h"

/* The program's own, which prints. Before cmocka, which has a macro of this name. */
int fail(int code) { return code; }

#include "../examples/charlm/model.c"
#include "../examples/charlm/options.c"

#include "testing_support.h"

enum { STEPS = 10, MOST = 64 };

/* ---- nets ---------------------------------------------------------------------------------------------------------- */

typedef struct setting {
    const char *name;
    options o;
} setting;

#define COMMON .context = 8, .tied = "auto", .nonlinearity = "tanh"
static const setting settings[] = {
    { "gpt",
      { .arch = "gpt",
        .batch = 3,
        .layers = 2,
        .heads = 2,
        .width = 16,
        .norm = "ln",
        .norm_place = "pre",
        .ffn = "gelu",
        .positions = "learned",
        .bias = true,
        COMMON } },
    { "lstm",
      { .arch = "lstm",
        .batch = 4,
        .layers = 1,
        .width = 12,
        .embedding = 6,
        .norm = "none",
        .norm_place = "cell",
        COMMON } },
    { "gpt_swiglu",
      { .arch = "gpt",
        .batch = 3,
        .layers = 2,
        .heads = 2,
        .width = 16,
        .norm = "rms",
        .norm_place = "pre",
        .ffn = "swiglu",
        .positions = "rotary",
        .dropout = 0.1,
        COMMON } },
    { "bert",
      { .arch = "bert",
        .batch = 3,
        .layers = 2,
        .heads = 2,
        .width = 16,
        .norm = "bn",
        .norm_place = "post",
        .ffn = "relu",
        .positions = "sinusoidal",
        COMMON } },
    { "gru_ln",
      { .arch = "gru",
        .batch = 4,
        .layers = 2,
        .width = 12,
        .norm = "ln",
        .norm_place = "cell",
        .dropout = 0.1,
        COMMON } },
    { "rnn_bn", { .arch = "rnn", .batch = 4, .layers = 1, .width = 12, .norm = "bn", .norm_place = "input", COMMON } },
};

typedef struct pupil {
    const setting *s;
    tare_params *ps;
    net net;
    tare_optim *optim;
    tare_tape *tape;
    tare_shape shape;
} pupil;

static void pupil_new(pupil *p, const setting *s) {
    uint32_t code[13] = { 0 };
    vocabulary v = { .size = 13, .code = code };
    *p = (pupil){ .s = s, .ps = tare_params_new(7) };
    p->shape = is_recurrent(&s->o) ? TARE_SHAPE(8, s->o.batch) : TARE_SHAPE(s->o.batch, 8);
    net_new(&p->net, p->ps, &s->o, &v);
    assert_ok(tare_params_status(p->ps));
    if (p->net.rnn) {
        p->net.state = tare_rnn_state_new(p->net.rnn, s->o.batch);
        assert_ok(tare_layer_rnn_carry(p->net.rnn, p->net.state));
    }
    p->optim = tare_adamw_new(p->ps, (tare_adam_opt){ .beta2 = 0.99, .weight_decay = 0.1 });
    p->tape = tare_tape_new((tare_tape_opt){ .training = true, .guard = true, .seed = 7 });
    assert_non_null(p->optim);
    assert_non_null(p->tape);
}

static void pupil_free(pupil *p) {
    tare_tape_free(p->tape);
    tare_optim_free(p->optim);
    net_free(&p->net);
    tare_params_free(p->ps);
}

static double step(pupil *p, const int32_t *x, const int32_t *y, double lr, double *norm) {
    assert_ok(tare_optim_lr_set(p->optim, lr));
    tare_params_zero_grad(p->ps);
    tare_tape_reset(p->tape);
    tare_tensor *loss =
        tare_cross_entropy(p->tape, net_logits(&p->net, p->tape, x, p->shape), y, (tare_cross_entropy_opt){ 0 });
    assert_ok(tare_backward(p->tape, loss));
    assert_ok(tare_optim_step_clipped(p->optim, 1, norm));
    return tare_item(loss);
}

/* Tokens that depend on the number of the step alone; what is to come out follows from them. */
static double random_step(pupil *p, int64_t index) {
    int32_t x[MOST], y[MOST];
    tare_rng rng = tare_rng_split(tare_rng_new(5, "tokens"), (uint64_t)index);
    for (int64_t i = 0; i < tare_shape_numel(p->shape); i++) {
        x[i] = (int32_t)tare_rng_below(&rng, 13);
        y[i] = (x[i] * x[i] + 1) % 13;
    }
    return step(p, x, y, 3e-3, NULL);
}

/* ---- beside PyTorch ------------------------------------------------------------------------------------------------ */

static const double *demand(const golden *g, const char *name, const char *what, const char *param, int64_t numel) {
    tare_shape shape;
    const double *values = golden_get(g, &shape, "%s/%s%s%s", name, what, *param ? "/" : "", param);
    if (!values) { fail_msg("no golden %s/%s/%s", name, what, param); }
    assert_int_equal(numel, tare_shape_numel(shape));
    return values;
}

static void as_pytorch(void **state) {
    golden *g = golden_open("language");
    assert_non_null(g);
    pupil p;
    pupil_new(&p, *state);
    const char *name = p.s->name;
    int64_t tokens = tare_shape_numel(p.shape);
    for (int i = 0; i < tare_params_count(p.ps); i++) {
        tare_tensor *w = tare_params_at(p.ps, i);
        const double *init = demand(g, name, "init", w->name, w->numel);
        for (int64_t k = 0; k < w->numel; k++) { w->data[k] = (tare_real)init[k]; }
    }
    const double *xs = demand(g, name, "x", "", STEPS * tokens), *ys = demand(g, name, "y", "", STEPS * tokens);
    const double *lr = demand(g, name, "lr", "", STEPS), *losses = demand(g, name, "loss", "", STEPS);
    const double *norms = demand(g, name, "norm", "", STEPS);
    const tare_schedule schedule = { TARE_SCHEDULE_COSINE, .lr = 5e-3, .min = 1e-4, .steps = STEPS, .warmup = 3 };
    for (int i = 0; i < STEPS; i++) {
        int32_t x[MOST], y[MOST];
        double norm;
        for (int64_t k = 0; k < tokens; k++) {
            x[k] = (int32_t)xs[i * tokens + k];
            y[k] = (int32_t)ys[i * tokens + k];
        }
        assert_near(tare_schedule_at(&schedule, i), lr[i], 1e-12);
        double loss = step(&p, x, y, tare_schedule_at(&schedule, i), &norm);
        assert_near(loss, losses[i], test_tol(1e-4, 1e-9) * losses[i]);
        assert_near(norm, norms[i], test_tol(1e-4, 1e-9) * norms[i]);
    }
    for (int i = 0; i < tare_params_count(p.ps); i++) {
        const tare_tensor *w = tare_params_at(p.ps, i);
        double distance = test_distance(w->data, demand(g, name, "final", w->name, w->numel), w->numel);
        /* The keys' bias changes no probability: its gradient is rounding alone, which Adam takes for a direction. */
        double most = strstr(w->name, "in_proj_bias") ? test_tol(1e-2, 1e-8) : test_tol(2e-3, 1e-8);
        if (!(distance <= most)) { fail_msg("%s after the last step: %g", w->name, distance); }
    }
    pupil_free(&p);
    golden_close(g);
}

/* ---- the same bits ------------------------------------------------------------------------------------------------- */

static void any_number_of_threads(void **state) {
    enum { THREADS = 3 };
    double losses[THREADS][STEPS];
    pupil p[THREADS];
    int before = tare_threads();
    for (int i = 0; i < THREADS; i++) {
        tare_threads_set(i + 1);
        pupil_new(&p[i], *state);
        for (int k = 0; k < STEPS; k++) { losses[i][k] = random_step(&p[i], k); }
    }
    tare_threads_set(before);
    size_t bytes = (size_t)tare_params_flat_size(p[0].ps) * sizeof(tare_real);
    for (int i = 1; i < THREADS; i++) {
        assert_memory_equal(losses[0], losses[i], sizeof losses[0]);
        assert_memory_equal(tare_params_flat(p[0].ps), tare_params_flat(p[i].ps), bytes);
    }
    assert_true(losses[0][STEPS - 1] != losses[0][0]);
    for (int i = 0; i < THREADS; i++) { pupil_free(&p[i]); }
}

/* ---- memory -------------------------------------------------------------------------------------------------------- */

static void no_allocation_from_the_third_step_on(void **state) {
    pupil p;
    pupil_new(&p, *state);
    uint64_t count = 0;
    for (int i = 1; i <= 30; i++) {
        if (i == 3) { count = tare_alloc_count(); }
        random_step(&p, i);
    }
    assert_int_equal(tare_alloc_count(), count);
    pupil_free(&p);
}

/* ---- the start ----------------------------------------------------------------------------------------------------- */

static double deviation(const tare_tensor *w) {
    double sum = 0;
    for (int64_t i = 0; i < w->numel; i++) { sum += (double)w->data[i] * (double)w->data[i]; }
    return sqrt(sum / (double)w->numel);
}

/* normal(0, 0.02), what adds to the residual stream smaller by sqrt(2 layers), biases 0; weight norm's lengths fit. */
static void gpt_starts_small(void **state) {
    (void)state;
    setting s = settings[0];
    s.o.norm = "wn+ln";
    s.o.width = 64;
    pupil p;
    pupil_new(&p, &s);
    assert_near(deviation(tare_params_find(p.ps, "layers.1.self_attn.in_proj_weight")), 0.02, 0.001);
    assert_near(deviation(tare_params_find(p.ps, "positions.weight")), 0.02, 0.003);
    assert_near(deviation(tare_params_find(p.ps, "layers.1.linear2.weight")), 0.01, 0.001);
    assert_near(deviation(tare_params_find(p.ps, "layers.0.self_attn.out_proj.weight")), 0.01, 0.001);
    assert_near(deviation(tare_params_find(p.ps, "layers.0.linear1.bias")), 0, 0);
    assert_near(deviation(tare_params_find(p.ps, "layers.0.norm1.weight")), 1, 0);
    const tare_tensor *w = tare_params_find(p.ps, "layers.0.linear1.weight"),
                      *g = tare_params_find(p.ps, "layers.0.linear1.weight_g");
    double sum = 0;
    for (int i = 0; i < 64; i++) { sum += (double)w->data[64 + i] * (double)w->data[64 + i]; }
    assert_near(g->data[1], sqrt(sum), 1e-6);
    pupil_free(&p);
}

int main(void) {
    if (test_isa_missing()) { return 77; }
    static char names[32][48];
    struct CMUnitTest tests[32] = { cmocka_unit_test(gpt_starts_small) };
    size_t count = 1;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        const CMUnitTestFunction each[] = { i < 2 ? as_pytorch : NULL, any_number_of_threads,
                                            no_allocation_from_the_third_step_on };
        static const char *const what[] = { "as_pytorch", "threads", "allocations" };
        for (size_t k = 0; k < 3; k++) {
            if (!each[k]) { continue; }
            snprintf(names[count], sizeof names[count], "%s_%s", settings[i].name, what[k]);
            tests[count] = (struct CMUnitTest){ names[count], each[k], NULL, NULL, (void *)(uintptr_t)&settings[i] };
            count++;
        }
    }
    return _cmocka_run_group_tests("language", tests, count, NULL, NULL);
}
