/* test_recompute.c - stretches that are computed again for backward: the same bits, less memory, no second effect.
 * tare-test: double */
#include "testing_support.h"

#include <tare/tare.h>

#include <math.h>

enum { BLOCKS = 6, CHANNELS = 8, SIDE = 12, BATCH = 4, STEPS = 4 };

typedef struct outcome {
    double loss[STEPS];
    tare_real *values, *buffers; /* after the last step */
    int64_t n_values, n_buffers;
    size_t peak;
} outcome;

/* Convolution, batch norm, dropout: everything that a second pass could disturb. */
static tare_layer *block(tare_params *ps, int i, bool again) {
    static const char *const names[] = { "0", "1", "2", "3", "4", "5" };
    tare_params_push(ps, names[i]);
    tare_layer *layers[] = {
        tare_layer_conv2d(ps, "conv", CHANNELS, CHANNELS, 3, (tare_layer_conv2d_opt){ .pad = 1 }),
        tare_norm_layer(ps, "norm", "bn", TARE_SHAPE(CHANNELS, SIDE, SIDE)),
        tare_layer_activation(ps, NULL, "gelu"),
        tare_layer_dropout(ps, NULL, 0.3),
    };
    tare_layer *made = tare_layer_residual(ps, NULL, tare_layer_sequential(ps, NULL, layers, 4), NULL, NULL);
    tare_params_pop(ps);
    return again ? tare_layer_recompute(ps, made) : made;
}

static tare_layer *net_of(tare_params *ps, bool again) {
    tare_layer *layers[BLOCKS + 2];
    for (int i = 0; i < BLOCKS; i++) { layers[i] = block(ps, i, again); }
    layers[BLOCKS] = tare_layer_flatten(ps, NULL);
    layers[BLOCKS + 1] = tare_layer_linear(ps, "fc", CHANNELS * SIDE * SIDE, 3, (tare_layer_linear_opt){ 0 });
    return tare_layer_sequential(ps, "net", layers, BLOCKS + 2);
}

static tare_real *copy(const tare_real *from, int64_t n) {
    tare_real *to = malloc((size_t)n * sizeof *to);
    memcpy(to, from, (size_t)n * sizeof *to);
    return to;
}

static outcome train(bool again, bool input_grad) {
    static const int32_t labels[BATCH] = { 0, 1, 2, 1 };
    outcome o = { 0 };
    tare_params *ps = tare_params_new(3);
    tare_layer *net = net_of(ps, again);
    tare_optim *optim = tare_adam_new(ps, (tare_adam_opt){ .lr = 1e-2 });
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true, .seed = 5, .guard = true });
    for (int step = 0; step < STEPS; step++) {
        tare_tape_reset(tape);
        tare_tensor *x = tare_input(tape, TARE_SHAPE(BATCH, CHANNELS, SIDE, SIDE), NULL);
        tare_rng rng = tare_rng_split(tare_rng_new(1, "test"), (uint64_t)step);
        for (int64_t i = 0; i < x->numel; i++) { x->data[i] = (tare_real)tare_rng_normal(&rng); }
        x->requires_grad = input_grad;
        tare_tensor *loss = tare_cross_entropy(tape, tare_forward(net, tape, x), labels, (tare_cross_entropy_opt){ 0 });
        tare_params_zero_grad(ps);
        assert_ok(tare_backward(tape, loss));
        assert_ok(tare_tape_guard(tape));
        if (input_grad) { assert_non_null(x->grad); }
        o.loss[step] = tare_item(loss) + (input_grad ? (double)x->grad[7] : 0);
        assert_ok(tare_optim_step(optim));
    }
    o.n_values = tare_params_flat_size(ps);
    o.n_buffers = tare_params_buffer_flat_size(ps);
    o.values = copy(tare_params_flat(ps), o.n_values);
    o.buffers = copy(tare_params_buffer_flat(ps), o.n_buffers);
    o.peak = tare_tape_peak(tape);
    tare_tape_free(tape);
    tare_optim_free(optim);
    tare_params_free(ps);
    return o;
}

/* Losses, weights and running statistics after some steps; with and without a gradient to the first block's input. */
static void nothing_changes_but_memory(void **state) {
    (void)state;
    for (int input_grad = 0; input_grad < 2; input_grad++) {
        outcome kept = train(false, input_grad), again = train(true, input_grad);
        assert_memory_equal(kept.loss, again.loss, sizeof kept.loss);
        assert_int_equal(kept.n_values, again.n_values);
        assert_memory_equal(kept.values, again.values, (size_t)kept.n_values * sizeof(tare_real));
        assert_memory_equal(kept.buffers, again.buffers, (size_t)kept.n_buffers * sizeof(tare_real));
        assert_true(again.peak < 2 * kept.peak / 3);
        free(kept.values);
        free(kept.buffers);
        free(again.values);
        free(again.buffers);
    }
}

static int64_t runs;

static tare_tensor *counted(void *context, tare_tape *tape, tare_tensor *x) {
    (void)context;
    runs++;
    tare_tensor *y = tare_tanh(tape, x);
    return tare_mul(tape, y, y);
}

static tare_tensor *nested(void *context, tare_tape *tape, tare_tensor *x) {
    return tare_recompute(tape, counted, context, tare_scale(tape, x, 2));
}

/* L = sum tanh(2x)^2:  dL/dx = 4 tanh(2x) (1 - tanh(2x)^2) */
static void a_stretch_within_a_stretch(void **state) {
    (void)state;
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
    tare_tensor *x = tare_input(tape, TARE_SHAPE(2), (tare_real[]){ (tare_real)0.3, (tare_real)-0.7 });
    x->requires_grad = true;
    assert_ok(tare_backward(tape, tare_sum(tape, tare_recompute(tape, nested, NULL, x), 0, false)));
    for (int i = 0; i < 2; i++) {
        double t = tanh(i ? -1.4 : 0.6);
        assert_near(x->grad[i], 4 * t * (1 - t * t), test_tol(1e-6, 1e-14));
    }
    tare_tape_free(tape);
}

static void without_gradients_it_runs_once(void **state) {
    (void)state;
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .no_grad = true });
    runs = 0;
    assert_non_null(tare_recompute(tape, counted, NULL, tare_input(tape, TARE_SHAPE(2), (tare_real[]){ 1, 2 })));
    assert_int_equal(runs, 1);
    tare_tape_free(tape);
}

static tare_tensor *wrong(void *context, tare_tape *tape, tare_tensor *x) {
    (void)context;
    return tare_matmul(tape, x, x, (tare_matmul_opt){ 0 });
}

static void an_error_inside_is_the_tapes(void **state) {
    (void)state;
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
    tare_tensor *x = tare_input(tape, TARE_SHAPE(2, 3), (tare_real[6]){ 0 });
    assert_null(tare_recompute(tape, wrong, NULL, x));
    assert_int_equal(tare_tape_status(tape), TARE_ESHAPE);
    assert_contains(tare_tape_error(tape), "matmul");
    tare_tape_free(tape);
}

/* The state has moved on when backward comes: an error, not a wrong gradient. */
static void a_carried_state_cannot_be_recomputed(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(1);
    tare_layer *rnn = tare_layer_rnn(ps, "rnn", TARE_GRU, 3, 4, (tare_layer_rnn_opt){ 0 });
    tare_layer *again = tare_layer_recompute(ps, rnn);
    tare_rnn_state *carried = tare_rnn_state_new(rnn, 2);
    assert_ok(tare_layer_rnn_carry(rnn, carried));
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
    tare_tensor *x = tare_input(tape, TARE_SHAPE(5, 2, 3), (tare_real[30]){ 0 });
    tare_tensor *loss = tare_sum(tape, tare_forward(again, tape, x), 0, false);
    assert_status(TARE_EINVAL, tare_backward(tape, loss));
    assert_contains(tare_tape_error(tape), "cannot be recomputed");
    tare_tape_free(tape);
    tare_rnn_state_free(carried);
    tare_params_free(ps);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_changes_but_memory),           cmocka_unit_test(a_stretch_within_a_stretch),
        cmocka_unit_test(without_gradients_it_runs_once),       cmocka_unit_test(an_error_inside_is_the_tapes),
        cmocka_unit_test(a_carried_state_cannot_be_recomputed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
