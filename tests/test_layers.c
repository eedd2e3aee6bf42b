/* test_layers.c - layers: names, parameters, results as their ops', errors that stick, and what a failure leaves.
 * tare-test: double */
#include "testing_support.h"

#include <tare/norms.h>

#include <math.h>

typedef struct bench {
    tare_params *ps;
    tare_tape *tape;
} bench;

static bench *bench_new(bool training) {
    bench *b = tare_calloc(1, sizeof *b);
    b->ps = tare_params_new(7);
    b->tape = tare_tape_new((tare_tape_opt){ .training = training });
    return b;
}

static void bench_free(bench *b) {
    tare_tape_free(b->tape);
    tare_params_free(b->ps);
    tare_free(b);
}

static tare_tensor *random_input(tare_tape *tape, tare_shape shape) {
    tare_tensor *x = tare_input(tape, shape, NULL);
    tare_rng rng = tare_rng_new(3, "test");
    for (int64_t i = 0; i < x->numel; i++) { x->data[i] = (tare_real)tare_rng_normal(&rng); }
    return x;
}

/* ---- names and parameters ---------------------------------------------------------------------------------------- */

static void names_as_pytorchs(void **state) {
    (void)state;
    bench *b = bench_new(false);
    tare_params_push(b->ps, "layer1");
    tare_params_push(b->ps, "0");
    tare_layer *conv =
        tare_layer_conv2d(b->ps, "conv1", 3, 8, 3, (tare_layer_conv2d_opt){ .groups = 1, .kernel_w = 5 });
    tare_layer *norm = tare_layer_batch_norm(b->ps, "bn1", 8, (tare_layer_batch_norm_opt){ 0 });
    tare_params_pop(b->ps);
    tare_params_pop(b->ps);
    tare_layer *fc = tare_layer_linear(b->ps, "fc", 8, 10, (tare_layer_linear_opt){ 0 });
    tare_layer *pool = tare_layer_max_pool2d(b->ps, NULL, (tare_pool2d_opt){ .kernel = 2 });
    assert_ok(tare_params_status(b->ps));
    assert_string_equal("layer1.0.conv1", conv->name);
    assert_string_equal("layer1.0.bn1", norm->name);
    assert_string_equal("fc", fc->name);
    assert_string_equal("max_pool2d", pool->name);
    const char *names[] = { "layer1.0.conv1.weight", "layer1.0.conv1.bias", "layer1.0.bn1.weight",
                            "layer1.0.bn1.bias",     "fc.weight",           "fc.bias" };
    assert_int_equal(6, tare_params_count(b->ps));
    for (int i = 0; i < 6; i++) {
        assert_string_equal(names[i], tare_params_at(b->ps, i)->name);
        bool decays = !(tare_params_flags(b->ps, i) & TARE_NO_DECAY);
        assert_int_equal(strcmp(names[i], "layer1.0.conv1.weight") == 0 || strcmp(names[i], "fc.weight") == 0, decays);
    }
    assert_true(tare_shape_equal(TARE_SHAPE(8, 3, 3, 5), conv->weight->shape));
    assert_int_equal(0, conv->out_dim);
    assert_int_equal(3, tare_params_buffers(b->ps));
    assert_non_null(tare_params_find(b->ps, "layer1.0.bn1.running_mean"));
    assert_near(tare_params_find(b->ps, "layer1.0.bn1.running_var")->data[7], 1, 0);
    assert_int_equal(0, tare_params_find(b->ps, "layer1.0.bn1.num_batches_tracked")->shape.ndim);
    assert_int_equal(8 * 45 + 8, tare_layer_numel(conv));
    bench_free(b);
}

static void initialised_as_pytorch(void **state) {
    (void)state;
    bench *b = bench_new(false);
    tare_layer *conv = tare_layer_conv2d(b->ps, "conv", 16, 32, 3, (tare_layer_conv2d_opt){ .groups = 4 });
    double bound = 1 / sqrt(4 * 9), most = 0;
    for (int64_t i = 0; i < conv->weight->numel; i++) { most = fmax(most, fabs((double)conv->weight->data[i])); }
    assert_true(most <= bound && most > 0.98 * bound);
    bench_free(b);
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

static void same_as_the_ops(void **state) {
    (void)state;
    bench *b = bench_new(true);
    tare_layer *conv = tare_layer_conv2d(b->ps, "conv", 2, 4, 3, (tare_layer_conv2d_opt){ .stride = 2, .pad = 1 });
    tare_layer *fc = tare_layer_linear(b->ps, "fc", 16, 5, (tare_layer_linear_opt){ 0 });
    tare_layer *net = tare_layer_sequential(
        b->ps, "net",
        (tare_layer *[]){ conv, tare_layer_activation(b->ps, "act", "leaky_relu:0.2"),
                          tare_layer_avg_pool2d(b->ps, "pool", (tare_pool2d_opt){ .kernel = 2 }),
                          tare_layer_flatten(b->ps, "flat"), fc, tare_layer_identity(b->ps, "id") },
        6);
    assert_ok(tare_params_status(b->ps));
    tare_tensor *x = random_input(b->tape, TARE_SHAPE(3, 2, 7, 8));
    tare_tensor *got = tare_forward(net, b->tape, x);
    tare_tensor *y = tare_conv2d(b->tape, x, conv->weight, tare_params_find(b->ps, "conv.bias"),
                                 (tare_conv2d_opt){ .stride = 2, .pad = 1 });
    y = tare_avg_pool2d(b->tape, tare_leaky_relu(b->tape, y, 0.2), (tare_pool2d_opt){ .kernel = 2 });
    y = tare_linear(b->tape, tare_flatten(b->tape, y, 1), fc->weight, tare_params_find(b->ps, "fc.bias"));
    assert_ok(tare_tape_status(b->tape));
    assert_true(tare_shape_equal(TARE_SHAPE(3, 5), got->shape));
    assert_memory_equal(y->data, got->data, 15 * sizeof(tare_real));
    assert_non_null(x->data); /* its own input a sequential does not release */
    bench_free(b);
}

static void every_activation(void **state) {
    (void)state;
    const struct {
        const char *spec;
        double at; /* of -0.5 */
    } cases[] = { { "identity", -0.5 },
                  { "relu", 0 },
                  { "leaky_relu", -0.005 },
                  { "leaky_relu:0.2", -0.1 },
                  { "elu", -0.3934693402873666 },
                  { "elu:2", -0.7869386805747332 },
                  { "sigmoid", 0.3775406687981454 },
                  { "tanh", -0.46211715726000973 },
                  { "gelu", -0.15426876936299344 },
                  { "gelu_tanh", -0.15428599017516514 },
                  { "silu", -0.1887703343990727 },
                  { "softplus", 0.4740769841801067 },
                  { "softplus:2", 0.1566308437591114 } };
    bench *b = bench_new(false);
    tare_real half = (tare_real)-0.5;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tare_layer *layer = tare_layer_activation(b->ps, NULL, cases[i].spec);
        assert_ok(tare_params_status(b->ps));
        assert_near(tare_item(tare_forward(layer, b->tape, tare_input(b->tape, TARE_SHAPE(1), &half))), cases[i].at,
                    test_tol(1e-6, 1e-12));
    }
    bench_free(b);
}

static void residual_adds(void **state) {
    (void)state;
    bench *b = bench_new(false);
    tare_layer *fc = tare_layer_linear(b->ps, "fc", 4, 4, (tare_layer_linear_opt){ .no_bias = true });
    tare_layer *plain = tare_layer_residual(b->ps, "plain", fc, NULL, NULL);
    tare_layer *full =
        tare_layer_residual(b->ps, "full", tare_layer_identity(b->ps, "id"), fc, tare_layer_relu(b->ps, "a"));
    tare_tensor *x = random_input(b->tape, TARE_SHAPE(2, 4));
    tare_tensor *y = tare_forward(plain, b->tape, x), *z = tare_forward(full, b->tape, x);
    tare_tensor *want = tare_add(b->tape, tare_linear(b->tape, x, fc->weight, NULL), x);
    assert_ok(tare_tape_status(b->tape));
    for (int i = 0; i < 8; i++) {
        assert_near(y->data[i], want->data[i], 1e-6);
        assert_near(z->data[i], fmax((double)want->data[i], 0), 1e-6);
    }
    bench_free(b);
}

static void subsample_pads_channels(void **state) {
    (void)state;
    bench *b = bench_new(false);
    tare_layer *layer = tare_layer_subsample(b->ps, "short", 5, 2);
    tare_tensor *x = random_input(b->tape, TARE_SHAPE(1, 2, 3, 4));
    tare_tensor *y = tare_forward(layer, b->tape, x);
    assert_ok(tare_tape_status(b->tape));
    assert_true(tare_shape_equal(TARE_SHAPE(1, 5, 2, 2), y->shape));
    for (int c = 0; c < 5; c++) {
        for (int i = 0; i < 4; i++) {
            bool there = c == 1 || c == 2; /* three more: one before, two after */
            double want = there ? (double)x->data[(c - 1) * 12 + i / 2 * 8 + i % 2 * 2] : 0;
            assert_near(y->data[c * 4 + i], want, 0);
        }
    }
    assert_null(tare_forward(tare_layer_subsample(b->ps, "narrow", 1, 1), b->tape, x));
    assert_contains(tare_tape_error(b->tape), "narrow");
    bench_free(b);
}

/* A layer of our own: another function, and a class with a child. */
static tare_tensor *twice(tare_tape *tape, tare_tensor *x) { return tare_scale(tape, x, 2); }

static void functions_are_layers(void **state) {
    (void)state;
    bench *b = bench_new(false);
    tare_tensor *x = random_input(b->tape, TARE_SHAPE(3));
    tare_tensor *y = tare_forward(tare_layer_function(b->ps, "twice", twice), b->tape, x);
    assert_near(y->data[2], 2 * (double)x->data[2], 1e-6);
    assert_string_equal("twice", y->node->layer);
    bench_free(b);
}

static void dropout_only_in_training(void **state) {
    (void)state;
    bench *b = bench_new(true);
    tare_layer *drop = tare_layer_dropout(b->ps, "drop", 0.5);
    tare_tensor *x = random_input(b->tape, TARE_SHAPE(200)), *y = tare_forward(drop, b->tape, x);
    int zeros = 0;
    for (int i = 0; i < 200; i++) { zeros += y->data[i] == 0; }
    assert_in_range(zeros, 60, 140);
    tare_tape_training_set(b->tape, false);
    y = tare_forward(drop, b->tape, x);
    assert_memory_equal(x->data, y->data, 200 * sizeof(tare_real));
    bench_free(b);
}

/* Two uses of one layer on a tape: its gradient is the sum. */
static void shared_weights(void **state) {
    (void)state;
    bench *b = bench_new(true);
    tare_layer *fc = tare_layer_linear(b->ps, "fc", 3, 3, (tare_layer_linear_opt){ 0 });
    tare_real separate[9] = { 0 };
    for (int use = 0; use < 3; use++) { /* 0: first alone, 1: second alone, 2: both */
        tare_tape_reset(b->tape);
        tare_params_zero_grad(b->ps);
        tare_tensor *x = random_input(b->tape, TARE_SHAPE(2, 3)), *z = tare_scale(b->tape, x, -3);
        tare_tensor *y = use == 1 ? NULL : tare_forward(fc, b->tape, x),
                    *v = use == 0 ? NULL : tare_forward(fc, b->tape, z);
        tare_tensor *both =
            y && v ? tare_add(b->tape, tare_tanh(b->tape, y), tare_tanh(b->tape, v)) : tare_tanh(b->tape, y ? y : v);
        assert_ok(tare_backward(b->tape, tare_sum(b->tape, both, 0, false)));
        for (int i = 0; i < 9; i++) {
            if (use < 2) {
                separate[i] += fc->weight->grad[i];
            } else {
                assert_near(fc->weight->grad[i], separate[i], test_tol(1e-5, 1e-12));
            }
        }
    }
    bench_free(b);
}

/* ---- weight transforms ------------------------------------------------------------------------------------------- */

static tare_tensor *scale_weight(tare_weight_transform *self, tare_layer *layer, tare_tape *tape, tare_tensor *weight) {
    (void)layer;
    return tare_scale(tape, weight, strcmp(self->name, "half") == 0 ? 0.5 : 3);
}

static void transforms_apply_in_order(void **state) {
    (void)state;
    bench *b = bench_new(true);
    tare_layer *fc = tare_layer_linear(b->ps, "fc", 2, 2, (tare_layer_linear_opt){ .no_bias = true });
    tare_weight_transform half = { .name = "half", .apply = scale_weight },
                          more = { .name = "more", .apply = scale_weight };
    tare_tensor *x = random_input(b->tape, TARE_SHAPE(1, 2));
    tare_tensor *plain = tare_forward(fc, b->tape, x);
    assert_ok(tare_layer_add_transform(fc, &half));
    assert_ok(tare_layer_add_transform(fc, &more));
    tare_tensor *y = tare_forward(fc, b->tape, x);
    for (int i = 0; i < 2; i++) { assert_near(y->data[i], 1.5 * (double)plain->data[i], 1e-6); }
    assert_status(TARE_EINVAL, tare_layer_add_transform(tare_layer_relu(b->ps, "act"), &half));
    assert_contains(tare_params_error(b->ps), "activation \"act\" has no weight that half could transform");
    bench_free(b);
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

typedef tare_layer *(*build_fn)(tare_params *ps);

static tare_layer *bad_groups(tare_params *ps) {
    return tare_layer_conv2d(ps, "c", 6, 8, 3, (tare_layer_conv2d_opt){ .groups = 4 });
}
static tare_layer *bad_size(tare_params *ps) { return tare_layer_linear(ps, "f", 0, 3, (tare_layer_linear_opt){ 0 }); }
static tare_layer *bad_dropout(tare_params *ps) { return tare_layer_dropout(ps, "d", 1.5); }
static tare_layer *nan_dropout(tare_params *ps) { return tare_layer_dropout(ps, "d", (double)NAN); }
static tare_layer *no_such_activation(tare_params *ps) { return tare_layer_activation(ps, "a", "rleu"); }
static tare_layer *number_to_relu(tare_params *ps) { return tare_layer_activation(ps, "a", "relu:2"); }
static tare_layer *no_number(tare_params *ps) { return tare_layer_activation(ps, "a", "elu:x"); }
static tare_layer *no_function(tare_params *ps) { return tare_layer_function(ps, "f", NULL); }
static tare_layer *bad_stride(tare_params *ps) { return tare_layer_subsample(ps, "s", 4, 0); }
static tare_layer *null_child(tare_params *ps) {
    return tare_layer_sequential(ps, "net", (tare_layer *[]){ tare_layer_relu(ps, "a"), NULL }, 2);
}
static tare_layer *same_name_twice(tare_params *ps) {
    tare_layer_linear(ps, "f", 2, 3, (tare_layer_linear_opt){ 0 });
    return tare_layer_linear(ps, "f", 2, 3, (tare_layer_linear_opt){ 0 });
}

static void construction_errors(void **state) {
    (void)state;
    const struct {
        build_fn build;
        tare_status status;
        const char *words;
    } cases[] = { { bad_groups, TARE_EINVAL, "conv2d \"c\": 4 groups do not divide 6 -> 8 channels" },
                  { bad_size, TARE_ESHAPE, "\"f.weight\": [3,0]" },
                  { bad_dropout, TARE_EINVAL, "dropout \"d\": p is 1.5" },
                  { nan_dropout, TARE_EINVAL, "dropout \"d\": p is nan" },
                  { no_such_activation, TARE_EINVAL, "there is no \"rleu\"; known: identity, relu, leaky_relu" },
                  { number_to_relu, TARE_EINVAL, "\"relu:2\" takes no number" },
                  { no_number, TARE_EINVAL, "\"elu:x\" does not end in a number" },
                  { no_function, TARE_EINVAL, "function \"f\" is NULL" },
                  { bad_stride, TARE_EINVAL, "subsample \"s\"" },
                  { null_child, TARE_EINVAL, "sequential \"net\": layer 1 of 2 is NULL" },
                  { same_name_twice, TARE_EEXIST, "\"f.weight\" exists already" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tare_params *ps = tare_params_new(1);
        assert_null(cases[i].build(ps));
        assert_int_equal(cases[i].status, tare_params_status(ps));
        assert_contains(tare_params_error(ps), cases[i].words);
        /* it sticks */
        assert_null(tare_layer_relu(ps, "later"));
        assert_contains(tare_params_error(ps), cases[i].words);
        tare_params_free(ps);
    }
}

static void a_child_of_another_model(void **state) {
    (void)state;
    bench *a = bench_new(false), *b = bench_new(false);
    tare_layer *stranger = tare_layer_relu(a->ps, "stranger");
    assert_null(tare_layer_sequential(b->ps, "net", &stranger, 1));
    assert_contains(tare_params_error(b->ps), "\"stranger\" belongs to another tare_params");
    bench_free(a);
    bench_free(b);
}

static void null_layers_run_into_the_tape(void **state) {
    (void)state;
    bench *b = bench_new(false);
    tare_tensor *x = random_input(b->tape, TARE_SHAPE(1, 2));
    assert_null(tare_forward(NULL, b->tape, x));
    assert_int_equal(TARE_EINVAL, tare_tape_status(b->tape));
    assert_null(tare_forward(tare_layer_relu(b->ps, "a"), b->tape, NULL));
    assert_null(tare_layer_linear(NULL, "f", 1, 1, (tare_layer_linear_opt){ 0 }));
    bench_free(b);
}

static void errors_name_the_layer(void **state) {
    (void)state;
    bench *b = bench_new(false);
    tare_params_push(b->ps, "body");
    tare_layer *fc = tare_layer_linear(b->ps, "fc", 3, 3, (tare_layer_linear_opt){ 0 });
    tare_layer *net = tare_layer_sequential(b->ps, "net", &fc, 1);
    assert_null(tare_forward(net, b->tape, random_input(b->tape, TARE_SHAPE(1, 2))));
    assert_contains(tare_tape_error(b->tape), "linear \"body.fc\"");
    assert_null(tare_tape_layer_set(b->tape, NULL)); /* what was there before is there again */
    bench_free(b);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static tare_layer *build_everything(tare_params *ps) {
    tare_layer *conv = tare_layer_conv2d(ps, "conv", 2, 4, 3, (tare_layer_conv2d_opt){ .pad = 1 });
    tare_layer *body =
        tare_layer_sequential(ps, "body",
                              (tare_layer *[]){ tare_layer_conv2d(ps, "conv2", 4, 4, 1, (tare_layer_conv2d_opt){ 0 }),
                                                tare_norm_layer(ps, "bn", "bn", TARE_SHAPE(4, 6, 6)),
                                                tare_norm_layer(ps, "gn", "gn:2", TARE_SHAPE(4, 6, 6)),
                                                tare_norm_layer(ps, "in", "in", TARE_SHAPE(4, 6, 6)),
                                                tare_norm_layer(ps, "ln", "ln", TARE_SHAPE(4, 6, 6)) },
                              5);
    tare_layer *block = tare_layer_residual(ps, "block", body, NULL, tare_layer_relu(ps, "relu"));
    return tare_layer_sequential(ps, "net",
                                 (tare_layer *[]){ conv, block, tare_layer_global_avg_pool2d(ps, "pool"),
                                                   tare_layer_flatten(ps, "flat"), tare_layer_dropout(ps, "drop", 0.1),
                                                   tare_layer_linear(ps, "fc", 4, 3, (tare_layer_linear_opt){ 0 }) },
                                 6);
}

static void constructors_survive_short_memory(void **state) {
    (void)state;
    test_short_memory(build_everything);
}

static void no_allocation_after_the_second_step(void **state) {
    (void)state;
    bench *b = bench_new(true);
    tare_layer *net = build_everything(b->ps);
    uint64_t before = 0;
    for (int step = 0; step < 6; step++) {
        if (step == 2) { before = tare_alloc_count(); }
        tare_tape_reset(b->tape);
        tare_params_zero_grad(b->ps);
        tare_tensor *y = tare_forward(net, b->tape, random_input(b->tape, TARE_SHAPE(4, 2, 6, 6)));
        assert_ok(tare_backward(b->tape, tare_mean(b->tape, y, 0, false)));
    }
    assert_true(before == tare_alloc_count());
    bench_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_as_pytorchs),
        cmocka_unit_test(initialised_as_pytorch),
        cmocka_unit_test(same_as_the_ops),
        cmocka_unit_test(every_activation),
        cmocka_unit_test(residual_adds),
        cmocka_unit_test(subsample_pads_channels),
        cmocka_unit_test(functions_are_layers),
        cmocka_unit_test(dropout_only_in_training),
        cmocka_unit_test(shared_weights),
        cmocka_unit_test(transforms_apply_in_order),
        cmocka_unit_test(construction_errors),
        cmocka_unit_test(a_child_of_another_model),
        cmocka_unit_test(null_layers_run_into_the_tape),
        cmocka_unit_test(errors_name_the_layer),
        cmocka_unit_test(constructors_survive_short_memory),
        cmocka_unit_test(no_allocation_after_the_second_step),
    };
    return cmocka_run_group_tests_name("layers", tests, NULL, NULL);
}
