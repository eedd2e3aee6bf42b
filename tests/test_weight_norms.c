/* test_weight_norms.c - spectral norm, weight norm and weight standardisation of a convolution's weight.
 * tare-test: double */
#include "weight_bench.h"

static bench bench_new(const char *spec) {
    bench b = { .ps = tare_params_new(3), .tape = tare_tape_new((tare_tape_opt){ .training = true }) };
    tare_params_push(b.ps, "net");
    b.layer = tare_layer_conv2d(b.ps, "conv", 3, 5, 3, (tare_layer_conv2d_opt){ .no_bias = true });
    assert_non_null(b.layer);
    assert_ok(tare_norm_weight(b.layer, spec));
    tare_params_pop(b.ps);
    return b;
}

enum { ROWS = 5, COLS = 27 };

static void spectral_norm_is_one(void **state) {
    (void)state;
    bench b = bench_new("sn");
    /* from the start, in evaluation */
    tare_tape_training_set(b.tape, false);
    assert_near(sigma_of(tare_layer_weight(b.layer, b.tape)->data, ROWS, COLS), 1, 0.01);
    tare_tape_training_set(b.tape, true);
    /* and along with a weight that moves */
    for (int step = 0; step < 60; step++) {
        tare_tape_reset(b.tape);
        for (int64_t i = 0; i < b.layer->weight->numel; i++) {
            b.layer->weight->data[i] += (tare_real)(0.001 * sin(1.7 * (double)i));
        }
        assert_non_null(tare_layer_weight(b.layer, b.tape));
    }
    assert_near(sigma_of(tare_layer_weight(b.layer, b.tape)->data, ROWS, COLS), 1, 0.01);
    bench_free(&b);
}

/* Many steps in one forward, which go by the small matrix W W', are as many forwards of one step. */
static void many_steps_are_steps(void **state) {
    (void)state;
    bench one = bench_new("sn"), many = bench_new("sn:iterations=9");
    for (int64_t i = 0; i < one.layer->weight->numel; i++) {
        double moved = 0.3 * sin(1.7 * (double)i); /* away from what the vectors began with */
        one.layer->weight->data[i] += (tare_real)moved;
        many.layer->weight->data[i] += (tare_real)moved;
    }
    for (int step = 0; step < 9; step++) { assert_non_null(tare_layer_weight(one.layer, one.tape)); }
    assert_non_null(tare_layer_weight(many.layer, many.tape));
    static const char *const names[] = { "net.conv.weight_u", "net.conv.weight_v" };
    for (int k = 0; k < 2; k++) {
        const tare_tensor *a = tare_params_find(one.ps, names[k]), *b = tare_params_find(many.ps, names[k]);
        for (int64_t i = 0; i < a->numel; i++) { assert_near(a->data[i], b->data[i], 1e-5); }
    }
    bench_free(&one);
    bench_free(&many);
}

/* Another output dimension, as a transposed convolution's: the matrix is the one with that dimension's rows. */
static void output_dimension_is_obeyed(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(4);
    tare_tape *tape = tare_tape_new((tare_tape_opt){ 0 });
    tare_layer *layer = tare_layer_conv2d(ps, "conv", 4, 6, 2, (tare_layer_conv2d_opt){ 0 }); /* weight [6, 4, 2, 2] */
    layer->out_dim = 1;
    assert_ok(tare_spectral_norm(layer, (tare_spectral_norm_opt){ .iterations = 3 }));
    assert_true(tare_shape_equal(TARE_SHAPE(4), tare_params_find(ps, "conv.weight_u")->shape));
    assert_true(tare_shape_equal(TARE_SHAPE(24), tare_params_find(ps, "conv.weight_v")->shape));
    tare_real turned[96];
    const tare_tensor *w = tare_layer_weight(layer, tape);
    for (int o = 0; o < 4; o++) {
        for (int i = 0; i < 6; i++) { memcpy(turned + (o * 6 + i) * 4, w->data + (i * 4 + o) * 4, 4 * sizeof *turned); }
    }
    assert_near(sigma_of(turned, 4, 24), 1, 0.02);
    assert_ok(tare_weight_standardize(layer, (tare_weight_standardize_opt){ 0 }));
    w = tare_layer_weight(layer, tape);
    assert_true(tare_shape_equal(TARE_SHAPE(6, 4, 2, 2), w->shape));
    for (int o = 0; o < 4; o++) {
        double sum = 0;
        for (int i = 0; i < 6; i++) {
            for (int k = 0; k < 4; k++) { sum += (double)w->data[(i * 4 + o) * 4 + k]; }
        }
        assert_near(sum, 0, 1e-4);
    }
    tare_tape_free(tape);
    tare_params_free(ps);
}

/* ---- in training, and the gradients ------------------------------------------------------------------------------ */

static void power_iteration_only_in_training(void **state) {
    (void)state;
    bench b = bench_new("sn");
    tare_tensor *u = tare_params_find(b.ps, "net.conv.weight_u"), *v = tare_params_find(b.ps, "net.conv.weight_v");
    assert_non_null(u);
    assert_non_null(v);
    tare_real before[ROWS];
    u->data[0] += (tare_real)0.5;
    memcpy(before, u->data, sizeof before);
    tare_tape_training_set(b.tape, false);
    tare_layer_weight(b.layer, b.tape);
    assert_memory_equal(before, u->data, sizeof before);
    tare_tape_training_set(b.tape, true);
    tare_params_freeze(b.ps, true);
    tare_layer_weight(b.layer, b.tape);
    assert_memory_equal(before, u->data, sizeof before);
    tare_params_freeze(b.ps, false);
    tare_layer_weight(b.layer, b.tape);
    assert_memory_not_equal(before, u->data, sizeof before);
    bench_free(&b);
}

/* dW = (G - <G, W/sigma> u v') / sigma, summed over two forwards whose u and v differ: real and fake. */
static void two_forwards_before_one_backward(void **state) {
    (void)state;
    bench b = bench_new("sn");
    tare_tensor *u = tare_params_find(b.ps, "net.conv.weight_u"), *v = tare_params_find(b.ps, "net.conv.weight_v");
    for (int i = 0; i < ROWS; i++) { u->data[i] = (tare_real)(i == 0); } /* far from converged: each forward moves it */
    double want[ROWS * COLS] = { 0 };
    tare_tensor *loss = NULL;
    tare_params_zero_grad(b.ps);
    for (int pass = 0; pass < 2; pass++) {
        tare_tensor *g = tare_input(b.tape, b.layer->weight->shape, NULL);
        for (int i = 0; i < ROWS * COLS; i++) { g->data[i] = (tare_real)sin(i + 10.0 * pass); }
        tare_tensor *l = tare_sum(b.tape, tare_mul(b.tape, tare_layer_weight(b.layer, b.tape), g), 0, false);
        loss = loss ? tare_add(b.tape, loss, l) : l;
        double sigma = 0, along = 0;
        const tare_real *w = b.layer->weight->data;
        for (int i = 0; i < ROWS * COLS; i++) {
            sigma += (double)w[i] * (double)u->data[i / COLS] * (double)v->data[i % COLS];
            along += (double)w[i] * (double)g->data[i];
        }
        for (int i = 0; i < ROWS * COLS; i++) {
            double uv = (double)u->data[i / COLS] * (double)v->data[i % COLS];
            want[i] += ((double)g->data[i] - along / sigma * uv) / sigma;
        }
    }
    assert_ok(tare_backward(b.tape, loss));
    assert_all_near(b.layer->weight->grad, want, ROWS * COLS, test_tol(1e-5, 1e-12));
    bench_free(&b);
}

static void weight_norm_starts_as_the_weight(void **state) {
    (void)state;
    bench b = bench_new("wn");
    tare_tensor *g = tare_params_find(b.ps, "net.conv.weight_g");
    assert_true(tare_shape_equal(TARE_SHAPE(5, 1, 1, 1), g->shape));
    assert_int_equal(TARE_NO_DECAY, tare_params_flags(b.ps, 1));
    double want[ROWS * COLS];
    for (int i = 0; i < ROWS * COLS; i++) { want[i] = (double)b.layer->weight->data[i]; }
    assert_all_near(tare_layer_weight(b.layer, b.tape)->data, want, ROWS * COLS, test_tol(1e-6, 1e-13));
    /* the weight's own length no longer matters, g's does */
    for (int i = 0; i < COLS; i++) {
        b.layer->weight->data[2 * COLS + i] *= 7;
        want[2 * COLS + i] *= 3;
    }
    g->data[2] *= 3;
    assert_all_near(tare_layer_weight(b.layer, b.tape)->data, want, ROWS * COLS, test_tol(1e-6, 1e-13));
    bench_free(&b);
}

static void standardised_weights(void **state) {
    (void)state;
    bench b = bench_new("ws:eps=1e-10");
    const tare_tensor *w = tare_layer_weight(b.layer, b.tape);
    for (int r = 0; r < ROWS; r++) {
        double sum = 0, square = 0;
        for (int c = 0; c < COLS; c++) {
            double x = (double)w->data[r * COLS + c];
            sum += x, square += x * x;
        }
        assert_near(sum, 0, 1e-5);
        assert_near(square / COLS, 1, 1e-5);
    }
    bench_free(&b);
}

/* Central differences through a layer: every transform, and all of them together. */
#ifdef TARE_F64
static double loss_of(bench *b, bool backward) {
    tare_tape_reset(b->tape);
    tare_tape_training_set(b->tape, false); /* u and v stay */
    tare_tensor *x = tare_input(b->tape, TARE_SHAPE(2, 3, 4, 4), NULL);
    for (int64_t i = 0; i < x->numel; i++) { x->data[i] = sin(0.7 * (double)i); }
    tare_tensor *loss = tare_sum(b->tape, tare_tanh(b->tape, tare_forward(b->layer, b->tape, x)), 0, false);
    double value = tare_item(loss);
    if (backward) { assert_ok(tare_backward(b->tape, loss)); }
    return value;
}

static void differences(void **state) {
    (void)state;
    const char *specs[] = { "wn", "ws", "ws+wn", "sn" };
    for (int s = 0; s < 4; s++) {
        bench b = bench_new(specs[s]);
        tare_params_zero_grad(b.ps);
        loss_of(&b, true);
        double most = 0;
        for (int p = 0; p < tare_params_count(b.ps); p++) {
            tare_tensor *w = tare_params_at(b.ps, p);
            for (int64_t i = 0; i < w->numel; i += 3) {
                double keep = w->data[i], h = 1e-5;
                w->data[i] = keep + h;
                double up = loss_of(&b, false);
                w->data[i] = keep - h;
                double down = loss_of(&b, false);
                w->data[i] = keep;
                assert_near(w->grad[i], (up - down) / (2 * h), 1e-7);
                most = fmax(most, fabs(w->grad[i]));
            }
        }
        assert_true(most > 1e-3);
        bench_free(&b);
    }
}
#endif

static void errors(void **state) {
    (void)state;
    bench b = bench_new("sn");
    tare_params_push(b.ps, "net");
    assert_status(TARE_EEXIST, tare_norm_weight(b.layer, "sn"));
    assert_contains(tare_params_error(b.ps), "\"net.conv.weight_u\" exists already");
    bench_free(&b);

    b = bench_new("none");
    assert_status(TARE_EINVAL, tare_norm_weight(b.layer, "sz"));
    assert_contains(tare_params_error(b.ps), "norm \"sz\", character 1");
    bench_free(&b);

    b = bench_new("gn:8");
    assert_null(b.layer->transforms);
    assert_status(TARE_EINVAL, tare_norm_weight(tare_layer_relu(b.ps, "act"), "ws"));
    assert_contains(tare_params_error(b.ps),
                    "activation \"act\" has no weight that weight standardisation could transform");
    bench_free(&b);

    b = bench_new("none");
    assert_status(TARE_EINVAL, tare_spectral_norm(b.layer, (tare_spectral_norm_opt){ .iterations = -1 }));
    assert_contains(tare_params_error(b.ps), "spectral norm of \"net.conv\": -1 iterations");
    bench_free(&b);

    b = bench_new("none");
    assert_status(TARE_EINVAL, tare_weight_standardize(b.layer, (tare_weight_standardize_opt){ .eps = -1 }));
    bench_free(&b);
    assert_status(TARE_ENOMEM, tare_norm_weight(NULL, "sn"));
}

static void short_memory(void **state) {
    (void)state;
    uint64_t live = tare_alloc_live();
    const char *specs[] = { "sn", "wn", "ws" };
    for (int s = 0; s < 3; s++) {
        tare_status status = TARE_ENOMEM;
        for (uint64_t n = 1; status; n++) {
            assert_true(n < 100);
            tare_params *ps = tare_params_new(1);
            tare_layer *fc = tare_layer_linear(ps, "fc", 3, 4, (tare_layer_linear_opt){ 0 });
            tare_alloc_fail_at(n);
            status = tare_norm_weight(fc, specs[s]);
            tare_alloc_fail_at(0);
            assert_int_equal(status, tare_params_status(ps));
            tare_params_free(ps);
            assert_true(live == tare_alloc_live());
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spectral_norm_is_one),
        cmocka_unit_test(many_steps_are_steps),
        cmocka_unit_test(output_dimension_is_obeyed),
        cmocka_unit_test(power_iteration_only_in_training),
        cmocka_unit_test(two_forwards_before_one_backward),
        cmocka_unit_test(weight_norm_starts_as_the_weight),
        cmocka_unit_test(standardised_weights),
#ifdef TARE_F64
        cmocka_unit_test(differences),
#endif
        cmocka_unit_test(errors),
        cmocka_unit_test(short_memory),
    };
    return cmocka_run_group_tests_name("weight norms", tests, NULL, NULL);
}
