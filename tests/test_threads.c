/* test_threads.c - the same bits with 1, 2 and 3 threads at sizes where the work really is shared out: two training steps of
 * nets as large as the examples', with each norm.   tare-test: isa */
#include "testing_support.h"

#include <tare/layers.h>
#include <tare/norms.h>
#include <tare/optim.h>
#include <tare/testing.h>

enum { BATCH = 24, SIDE = 28, CLASSES = 10, STEPS = 2, THREADS = 3 };

typedef struct outcome {
    tare_params *ps;
    double loss[STEPS];
} outcome;

static tare_layer *stage(tare_params *ps, const char *name, const char *norm, int64_t in, int64_t out, int64_t side) {
    tare_params_push(ps, name);
    tare_layer *layers[] = {
        tare_layer_conv2d(ps, "conv", in, out, 3, (tare_layer_conv2d_opt){ .pad = 1 }),
        tare_norm_layer(ps, "norm", norm, TARE_SHAPE(out, side, side)),
        tare_layer_activation(ps, NULL, "gelu"),
        tare_layer_max_pool2d(ps, NULL, (tare_pool2d_opt){ .kernel = 2 }),
    };
    tare_layer *all = tare_layer_sequential(ps, "stage", layers, 4);
    tare_params_pop(ps);
    return all;
}

static tare_layer *make_cnn(tare_params *ps, const char *norm) {
    tare_layer *layers[] = {
        stage(ps, "a", norm, 1, 32, SIDE),
        stage(ps, "b", norm, 32, 64, SIDE / 2),
        tare_layer_flatten(ps, NULL),
        tare_layer_dropout(ps, NULL, 0.2),
        tare_layer_linear(ps, "hidden", (int64_t)64 * (SIDE / 4) * (SIDE / 4), 256, (tare_layer_linear_opt){ 0 }),
        tare_layer_relu(ps, NULL),
        tare_layer_linear(ps, "fc", 256, CLASSES, (tare_layer_linear_opt){ 0 }),
    };
    return tare_layer_sequential(ps, "cnn", layers, sizeof layers / sizeof layers[0]);
}

static void step(outcome *o, tare_layer *model, tare_optim *optim, tare_tape *tape, int index) {
    static tare_real x[BATCH * SIDE * SIDE];
    int32_t target[BATCH];
    tare_rng rng = tare_rng_split(tare_rng_new(1, "batch"), (uint64_t)index);
    tare_fill_values(&rng, (tare_fill){ TARE_FILL_NORMAL, 0, 1 }, x, BATCH * SIDE * SIDE);
    for (int i = 0; i < BATCH; i++) { target[i] = (int32_t)tare_rng_below(&rng, CLASSES); }
    tare_tape_reset(tape);
    tare_params_zero_grad(o->ps);
    tare_tensor *logits = tare_forward(model, tape, tare_input(tape, TARE_SHAPE(BATCH, 1, SIDE, SIDE), x));
    tare_tensor *loss = tare_cross_entropy(tape, logits, target, (tare_cross_entropy_opt){ 0 });
    assert_ok(tare_backward(tape, loss));
    o->loss[index] = tare_item(loss);
    assert_ok(tare_optim_step_clipped(optim, 1, NULL));
}

static void train(outcome *o, const char *norm) {
    o->ps = tare_params_new(1);
    tare_layer *model = make_cnn(o->ps, norm);
    assert_ok(tare_params_status(o->ps));
    tare_optim *optim = tare_adamw_new(o->ps, (tare_adam_opt){ .weight_decay = 0.1 });
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true, .seed = 2 });
    assert_true(optim && tape);
    for (int i = 0; i < STEPS; i++) { step(o, model, optim, tape, i); }
    tare_tape_free(tape);
    tare_optim_free(optim);
}

static void same_bits(const outcome *a, const outcome *b) {
    assert_memory_equal(a->loss, b->loss, sizeof a->loss);
    for (int i = 0; i < tare_params_count(a->ps); i++) {
        const tare_tensor *v = tare_params_at(a->ps, i), *w = tare_params_at(b->ps, i);
        if (memcmp(v->data, w->data, (size_t)v->numel * sizeof *v->data) != 0) {
            fail_msg("%s has other bits", v->name);
        }
        if (memcmp(v->grad, w->grad, (size_t)v->numel * sizeof *v->grad) != 0) {
            fail_msg("d %s has other bits", v->name);
        }
    }
    for (int i = 0; i < tare_params_buffers(a->ps); i++) {
        const tare_tensor *v = tare_params_buffer_at(a->ps, i), *w = tare_params_buffer_at(b->ps, i);
        if (memcmp(v->data, w->data, (size_t)v->numel * sizeof *v->data) != 0) {
            fail_msg("%s has other bits", v->name);
        }
    }
}

static void any_number_of_threads(void **state) {
    outcome o[THREADS];
    int before = tare_threads();
    for (int i = 0; i < THREADS; i++) {
        tare_threads_set(i + 1);
        train(&o[i], *state);
    }
    tare_threads_set(before);
    for (int i = 1; i < THREADS; i++) { same_bits(&o[0], &o[i]); }
    for (int i = 0; i < THREADS; i++) { tare_params_free(o[i].ps); }
}

int main(void) {
    if (test_isa_missing()) { return 77; }
    static char *const norms[] = { "none", "bn", "ln", "ln:over=c", "in", "gn:8" };
    enum { N = sizeof norms / sizeof norms[0] };
    struct CMUnitTest tests[N];
    for (int i = 0; i < N; i++) {
        tests[i] = (struct CMUnitTest){ norms[i], any_number_of_threads, NULL, NULL, norms[i] };
    }
    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
