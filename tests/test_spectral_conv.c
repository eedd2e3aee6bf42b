/* test_spectral_conv.c - the spectral norm of a convolution itself, against LAPACK's singular values of the matrix it is.
 * tare-test: double */
#include "testing_support.h"

#include <tare/linalg.h>
#include <tare/norms.h>

#include <math.h>

enum { C = 2, K = 3, SIZE = 6, IMAGE = C * SIZE * SIZE, OUT = 512 };

/* The largest singular value of a, [n, m] by rows. */
static double largest(const double *a, int m, int n) {
    double s[OUT];
    assert_ok(tare_singular_values(n, m, a, s));
    return s[0];
}

typedef struct bench {
    tare_params *ps;
    tare_tape *tape;
    tare_layer *layer;
} bench;

static bench bench_new(tare_layer_conv2d_opt opt, const char *spec) {
    bench b = { .ps = tare_params_new(3), .tape = tare_tape_new((tare_tape_opt){ .training = true }) };
    opt.no_bias = true;
    b.layer = tare_layer_conv2d(b.ps, "conv", C, K * (opt.groups ? opt.groups : 1), 3, opt);
    if (tare_norm_weight(b.layer, spec)) { fail_msg("%s", tare_params_error(b.ps)); }
    return b;
}

static bench bench_transposed(tare_layer_conv_transpose2d_opt opt, const char *spec) {
    bench b = { .ps = tare_params_new(3), .tape = tare_tape_new((tare_tape_opt){ .training = true }) };
    opt.no_bias = true;
    b.layer = tare_layer_conv_transpose2d(b.ps, "conv", C, K * (opt.groups ? opt.groups : 1), 3, opt);
    if (tare_norm_weight(b.layer, spec)) { fail_msg("%s", tare_params_error(b.ps)); }
    return b;
}

static void bench_free(bench *b) {
    tare_tape_free(b->tape);
    tare_params_free(b->ps);
}

/* The layer as a matrix, column by column: what it makes of each image that is 1 in one place. Then its largest singular value. */
static double norm_of(bench *b, int size) {
    int image = C * size * size, out = 0;
    double *a = NULL;
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .no_grad = true });
    for (int i = 0; i < image; i++) {
        tare_tape_reset(tape);
        tare_tensor *x = tare_input(tape, TARE_SHAPE(1, C, size, size), NULL);
        for (int j = 0; j < image; j++) { x->data[j] = i == j; }
        tare_tensor *y = tare_forward(b->layer, tape, x);
        assert_non_null(y);
        out = (int)y->numel;
        assert_true(out <= OUT);
        if (!a) { a = calloc((size_t)image * (size_t)out, sizeof *a); }
        for (int j = 0; j < out; j++) { a[i * out + j] = (double)y->data[j]; }
    }
    double sigma = largest(a, out, image);
    free(a);
    tare_tape_free(tape);
    return sigma;
}

static double sigma_used(bench *b) {
    tare_tape_training_set(b->tape, false);
    double sigma = (double)b->layer->weight->data[0] / (double)tare_layer_weight(b->layer, b->tape)->data[0];
    tare_tape_training_set(b->tape, true);
    return sigma;
}

static void iterate(bench *b, int steps) {
    for (int i = 0; i < steps; i++) {
        tare_tape_reset(b->tape);
        assert_non_null(tare_layer_weight(b->layer, b->tape));
    }
}

static const tare_layer_conv2d_opt kinds[] = {
    { .pad = 1 }, { .pad = 1, .stride = 2 }, { 0 }, { .pad = 2, .dilation = 2 }, { .pad = 1, .groups = 2 },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void sigma_is_lapacks(void **state) {
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        bench plain = bench_new(kinds[k], "none"), b = bench_new(kinds[k], "sn:mode=conv,size=6,iterations=20");
        double want = norm_of(&plain, SIZE);
        assert_near(sigma_used(&b), want, 0.01 * want); /* warm from the start */
        assert_near(norm_of(&b, SIZE), 1, 0.01);
        iterate(&b, 300);
        assert_near(sigma_used(&b), want, test_tol(2e-5, 1e-6) * want);
        bench_free(&plain);
        bench_free(&b);
    }
}

/* The transposed kind, by the same name: images go in at the size given, and come out larger. */
static void transposed_sigma_is_lapacks(void **state) {
    (void)state;
    const tare_layer_conv_transpose2d_opt opts[] = {
        { .pad = 1 }, { .pad = 1, .stride = 2, .output_pad = 1 }, { 0 }, { .pad = 1, .groups = 2 }
    };
    for (int k = 0; k < 4; k++) {
        bench plain = bench_transposed(opts[k], "none");
        bench b = bench_transposed(opts[k], "sn:mode=conv,size=6,iterations=20");
        double want = norm_of(&plain, SIZE);
        assert_near(sigma_used(&b), want, 0.01 * want);
        iterate(&b, 300);
        assert_near(sigma_used(&b), want, 2e-5 * want);
        assert_near(norm_of(&b, SIZE), 1, 1e-4);
        assert_true(tare_shape_equal(TARE_SHAPE(1, C, SIZE, SIZE), tare_params_find(b.ps, "conv.weight_v")->shape));
        bench_free(&plain);
        bench_free(&b);
    }
}

/* The kernel as a matrix has another norm, so the two modes do differ. */
static void the_kernels_norm_is_another(void **state) {
    (void)state;
    bench b = bench_new(kinds[0], "sn");
    double a[K * C * 9];
    for (int i = 0; i < K * C * 9; i++) { a[i] = (double)b.layer->weight->data[i]; }
    double matrix = largest(a, C * 9, K);
    iterate(&b, 100);
    assert_near(sigma_used(&b), matrix, 1e-4 * matrix);
    assert_true(norm_of(&b, SIZE) > 1.05);
    bench_free(&b);
}

static void follows_a_moving_weight(void **state) {
    (void)state;
    bench b = bench_new(kinds[0], "sn:mode=conv,size=6");
    for (int step = 0; step < 60; step++) {
        for (int64_t i = 0; i < b.layer->weight->numel; i++) {
            b.layer->weight->data[i] += (tare_real)(0.001 * sin(1.7 * (double)i));
        }
        iterate(&b, 1);
    }
    assert_near(norm_of(&b, SIZE), 1, 0.01);
    bench_free(&b);
}

static void vectors_are_images_that_rest(void **state) {
    (void)state;
    bench b = bench_new((tare_layer_conv2d_opt){ .pad = 1, .stride = 2 }, "sn:mode=conv,size=6");
    tare_tensor *u = tare_params_find(b.ps, "conv.weight_u"), *v = tare_params_find(b.ps, "conv.weight_v");
    assert_true(tare_shape_equal(TARE_SHAPE(1, C, 6, 6), v->shape));
    assert_true(tare_shape_equal(TARE_SHAPE(1, K, 3, 3), u->shape));
    v->data[0] += (tare_real)0.5;
    tare_real before[IMAGE];
    memcpy(before, v->data, sizeof before);
    tare_tape_training_set(b.tape, false);
    iterate(&b, 2);
    assert_memory_equal(before, v->data, sizeof before);
    tare_tape_training_set(b.tape, true);
    tare_params_freeze(b.ps, true);
    iterate(&b, 2);
    assert_memory_equal(before, v->data, sizeof before);
    tare_params_freeze(b.ps, false);
    iterate(&b, 1);
    assert_memory_not_equal(before, v->data, sizeof before);
    bench_free(&b);
}

#ifdef TARE_F64
static double loss_of(bench *b, bool backward) {
    tare_tape_reset(b->tape);
    tare_tape_training_set(b->tape, false); /* u and v stay */
    tare_tensor *x = tare_input(b->tape, TARE_SHAPE(2, C, 4, 4), NULL);
    for (int64_t i = 0; i < x->numel; i++) { x->data[i] = sin(0.7 * (double)i); }
    tare_tensor *loss = tare_sum(b->tape, tare_tanh(b->tape, tare_forward(b->layer, b->tape, x)), 0, false);
    double value = tare_item(loss);
    if (backward) { assert_ok(tare_backward(b->tape, loss)); }
    return value;
}

static void differences(void **state) {
    (void)state;
    bench b = bench_new(kinds[0], "sn:mode=conv,size=6");
    tare_params_zero_grad(b.ps);
    loss_of(&b, true);
    for (int64_t i = 0; i < b.layer->weight->numel; i++) {
        double keep = b.layer->weight->data[i], h = 1e-5;
        b.layer->weight->data[i] = keep + h;
        double up = loss_of(&b, false);
        b.layer->weight->data[i] = keep - h;
        double down = loss_of(&b, false);
        b.layer->weight->data[i] = keep;
        assert_near(b.layer->weight->grad[i], (up - down) / (2 * h), 1e-7);
    }
    bench_free(&b);
}
#endif

static void errors(void **state) {
    (void)state;
    const struct {
        const char *spec;
        tare_status status;
        const char *words;
    } cases[] = {
        { "sn:mode=conv,size=2", TARE_ESHAPE, "spectral norm of \"conv\": conv2d" },
        { "sn:size=8", TARE_EINVAL, "spectral norm of \"conv\": size=8 goes with mode=conv" },
    };
    for (int c = 0; c < 2; c++) {
        bench b = bench_new((tare_layer_conv2d_opt){ 0 }, "none");
        assert_status(cases[c].status, tare_norm_weight(b.layer, cases[c].spec));
        assert_contains(tare_params_error(b.ps), cases[c].words);
        bench_free(&b);
    }
    bench b = bench_new((tare_layer_conv2d_opt){ 0 }, "none");
    assert_status(TARE_EINVAL, tare_spectral_norm(b.layer, (tare_spectral_norm_opt){ .height = 8 }));
    assert_contains(tare_params_error(b.ps), "an image of 8 x 0: give both sizes, or neither");
    bench_free(&b);
    /* a linear layer is its matrix in either mode */
    b = bench_new((tare_layer_conv2d_opt){ 0 }, "none");
    assert_ok(tare_norm_weight(tare_layer_linear(b.ps, "fc", 5, 4, (tare_layer_linear_opt){ 0 }), "sn:mode=conv"));
    assert_true(tare_shape_equal(TARE_SHAPE(5), tare_params_find(b.ps, "fc.weight_v")->shape));
    bench_free(&b);
}

static void short_memory(void **state) {
    (void)state;
    uint64_t live = tare_alloc_live();
    tare_status status = TARE_ENOMEM;
    for (uint64_t n = 1; status; n++) {
        assert_true(n < 3000);
        tare_params *ps = tare_params_new(1);
        tare_layer *conv = tare_layer_conv2d(ps, "conv", C, K, 3, (tare_layer_conv2d_opt){ 0 });
        tare_alloc_fail_at(n);
        status = tare_norm_weight(conv, "sn:mode=conv,size=6");
        tare_alloc_fail_at(0);
        assert_int_equal(status, tare_params_status(ps));
        tare_params_free(ps);
        assert_true(live == tare_alloc_live());
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sigma_is_lapacks),
        cmocka_unit_test(transposed_sigma_is_lapacks),
        cmocka_unit_test(the_kernels_norm_is_another),
        cmocka_unit_test(follows_a_moving_weight),
        cmocka_unit_test(vectors_are_images_that_rest),
#ifdef TARE_F64
        cmocka_unit_test(differences),
#endif
        cmocka_unit_test(errors),
        cmocka_unit_test(short_memory),
    };
    return cmocka_run_group_tests_name("spectral norm of convolutions", tests, NULL, NULL);
}
