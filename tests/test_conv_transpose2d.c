/* test_conv_transpose2d.c - transposed convolution against seven plain loops: every option, threads, errors; its layer.
 * tare-test: double isa */
#include "testing_support.h"

#include <tare/layers.h>

#include <math.h>

typedef struct sizes {
    int64_t n, c, h, w, kg, r, s; /* kg: output channels of a group */
    tare_conv_transpose2d_opt opt;
    bool no_bias;
} sizes;

typedef struct conv {
    sizes z;
    int64_t groups, k, stride[2], pad[2], dil[2], oh, ow;
    int64_t nx, nw, ny;
    tare_real *x, *w, *b, *dy;
} conv;

static tare_real *random_values(tare_rng *rng, int64_t n) {
    tare_real *values = tare_malloc((size_t)n * sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < n; i++) { values[i] = (tare_real)(2 * tare_rng_uniform(rng) - 1); }
    return values;
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t along_w(int width, int height) { return width == 0 ? height : width == -1 ? 0 : width; }

static int64_t size_of(const conv *v, int64_t size, int64_t taps, int d, int64_t output_pad) {
    return (size - 1) * v->stride[d] - 2 * v->pad[d] + v->dil[d] * (taps - 1) + output_pad + 1;
}

/* Without values: oh and ow may be below 1. */
static conv conv_sized(const sizes *z) {
    const tare_conv_transpose2d_opt *o = &z->opt;
    conv v = { .z = *z, .groups = o->groups ? o->groups : 1 };
    v.k = z->kg * v.groups;
    v.stride[0] = o->stride ? o->stride : 1;
    v.stride[1] = o->stride_w ? o->stride_w : v.stride[0];
    v.dil[0] = o->dilation ? o->dilation : 1;
    v.dil[1] = o->dilation_w ? o->dilation_w : v.dil[0];
    v.pad[0] = o->pad;
    v.pad[1] = along_w(o->pad_w, o->pad);
    v.oh = size_of(&v, z->h, z->r, 0, o->output_pad);
    v.ow = size_of(&v, z->w, z->s, 1, along_w(o->output_pad_w, o->output_pad));
    v.nx = z->n * z->c * z->h * z->w;
    v.nw = z->c * z->kg * z->r * z->s;
    v.ny = z->n * v.k * v.oh * v.ow;
    return v;
}

static conv conv_new(const sizes *z) {
    tare_rng rng = tare_rng_new(5, "conv");
    conv v = conv_sized(z);
    v.x = random_values(&rng, v.nx);
    v.w = random_values(&rng, v.nw);
    v.b = random_values(&rng, v.k);
    v.dy = random_values(&rng, v.ny);
    return v;
}

static void conv_free(conv *v) {
    tare_free(v->x);
    tare_free(v->w);
    tare_free(v->b);
    tare_free(v->dy);
}

typedef struct grads {
    double *y, *dx, *dw, *db;
} grads;

static double *zeros(int64_t n) {
    double *values = tare_calloc((size_t)n, sizeof *values);
    assert_non_null(values);
    return values;
}

static void grads_free(grads *g) {
    tare_free(g->y);
    tare_free(g->dx);
    tare_free(g->dw);
    tare_free(g->db);
}

/* x at (n, c, i, j) spread over its window of y, and what comes back from there. */
static void naive_input(const conv *v, grads *g, int64_t n, int64_t c, int64_t i, int64_t j) {
    const sizes *z = &v->z;
    int64_t group = c / (z->c / v->groups), at_x = ((n * z->c + c) * z->h + i) * z->w + j;
    for (int64_t k = 0; k < z->kg; k++) {
        for (int64_t r = 0; r < z->r; r++) {
            for (int64_t s = 0; s < z->s; s++) {
                int64_t oh = i * v->stride[0] + r * v->dil[0] - v->pad[0],
                        ow = j * v->stride[1] + s * v->dil[1] - v->pad[1];
                if (oh < 0 || oh >= v->oh || ow < 0 || ow >= v->ow) { continue; }
                int64_t at_y = ((n * v->k + group * z->kg + k) * v->oh + oh) * v->ow + ow;
                int64_t at_w = ((c * z->kg + k) * z->r + r) * z->s + s;
                g->y[at_y] += (double)v->x[at_x] * (double)v->w[at_w];
                g->dx[at_x] += (double)v->w[at_w] * (double)v->dy[at_y];
                g->dw[at_w] += (double)v->x[at_x] * (double)v->dy[at_y];
            }
        }
    }
}

static grads naive(const conv *v) {
    grads g = { zeros(v->ny), zeros(v->nx), zeros(v->nw), zeros(v->k) };
    for (int64_t i = 0; i < v->ny; i++) {
        int64_t k = i / (v->oh * v->ow) % v->k;
        g.y[i] = v->z.no_bias ? 0 : (double)v->b[k];
        g.db[k] += (double)v->dy[i];
    }
    for (int64_t n = 0; n < v->z.n; n++) {
        for (int64_t c = 0; c < v->z.c; c++) {
            for (int64_t i = 0; i < v->z.h; i++) {
                for (int64_t j = 0; j < v->z.w; j++) { naive_input(v, &g, n, c, i, j); }
            }
        }
    }
    return g;
}

typedef struct run {
    tare_tape *tape;
    tare_tensor *x, *w, *b, *y;
} run;

static run run_new(const conv *v, int threads) {
    const sizes *z = &v->z;
    run r = { .tape = tare_tape_new((tare_tape_opt){ .training = true, .guard = true }) };
    assert_non_null(r.tape);
    tare_threads_set(threads);
    r.x = tare_input(r.tape, TARE_SHAPE(z->n, z->c, z->h, z->w), v->x);
    r.w = tare_input(r.tape, TARE_SHAPE(z->c, z->kg, z->r, z->s), v->w);
    r.b = z->no_bias ? NULL : tare_input(r.tape, TARE_SHAPE(v->k), v->b);
    r.x->requires_grad = r.w->requires_grad = true;
    if (r.b) { r.b->requires_grad = true; }
    r.y = tare_conv_transpose2d(r.tape, r.x, r.w, r.b, z->opt);
    assert_ok(tare_tape_status(r.tape));
    assert_true(tare_shape_equal(TARE_SHAPE(z->n, v->k, v->oh, v->ow), r.y->shape));
    return r;
}

static void check(const sizes *z) {
    double tol = test_tol(5e-6, 1e-13);
    conv v = conv_new(z);
    grads want = naive(&v);
    tare_real *y = tare_malloc((size_t)v.ny * sizeof *y);
    run first = { 0 };
    assert_non_null(y);
    for (int threads = 1; threads <= 3; threads++) {
        run r = run_new(&v, threads);
        if (threads == 1) {
            assert_all_near(r.y->data, want.y, v.ny, tol);
            memcpy(y, r.y->data, (size_t)v.ny * sizeof *y);
        }
        assert_memory_equal(r.y->data, y, (size_t)v.ny * sizeof *y);
        assert_ok(tare_backward_from(r.tape, r.y, v.dy));
        assert_ok(tare_tape_guard(r.tape));
        if (threads == 1) {
            assert_all_near(r.x->grad, want.dx, v.nx, tol);
            assert_all_near(r.w->grad, want.dw, v.nw, tol);
            if (r.b) { assert_all_near(r.b->grad, want.db, v.k, tol); }
            first = r;
            continue;
        }
        assert_memory_equal(r.x->grad, first.x->grad, (size_t)v.nx * sizeof *y);
        assert_memory_equal(r.w->grad, first.w->grad, (size_t)v.nw * sizeof *y);
        if (r.b) { assert_memory_equal(r.b->grad, first.b->grad, (size_t)v.k * sizeof *y); }
        tare_tape_free(r.tape);
    }
    tare_tape_free(first.tape);
    tare_threads_set(0);
    tare_free(y);
    grads_free(&want);
    conv_free(&v);
}

/* The layers of small generators and decoders, and what does not fit one patch: many channels, wide rows, far dilations. */
static void test_shapes(void **state) {
    (void)state;
    static const sizes cases[] = {
        { 3, 40, 1, 1, 32, 7, 7, { 0 }, false },
        { 2, 32, 7, 7, 17, 4, 4, { .stride = 2, .pad = 1 }, false },
        { 9, 16, 14, 14, 1, 4, 4, { .stride = 2, .pad = 1 }, true },
        { 2, 16, 9, 8, 32, 3, 3, { .stride = 2, .pad = 1, .output_pad = 1 }, false },
        { 3, 19, 14, 14, 35, 1, 1, { 0 }, false },
        { 2, 5, 6, 7, 4, 2, 2, { .stride = 4, .output_pad = 3 }, false },
        { 1, 300, 6, 6, 17, 3, 3, { .pad = 1 }, false },
        { 1, 2, 3, 1500, 3, 3, 3, { .stride = 2, .pad = 1 }, false },
        { 2, 17, 8, 8, 1, 3, 3, { .stride = 2, .pad = 1, .groups = 17 }, false },
        { 1, 2, 20, 20, 2, 3, 3, { .pad = 19, .dilation = 19, .output_pad = 18 }, false },
        { 1, 2, 4, 4, 3, 3, 3, { .pad = 600, .stride = 500, .dilation = 300 }, false },
        { 2, 3, 1, 1, 2, 3, 2, { .stride = INT32_MAX, .dilation = 2 }, false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) { check(&cases[i]); }
}

/* Any legal combination of small sizes and options. */
static void test_random(void **state) {
    (void)state;
    tare_rng rng = tare_rng_new(6, "conv");
    int done = 0;
#define DRAW(low, high) ((low) + (int)tare_rng_below(&rng, (uint64_t)((high) - (low) + 1)))
    for (int round = 0; round < 300; round++) {
        int groups = DRAW(0, 3) ? 1 : DRAW(1, 4);
        sizes z = { DRAW(1, 3),  groups * DRAW(1, 18),
                    DRAW(1, 9),  DRAW(1, 11),
                    DRAW(1, 18), DRAW(1, 4),
                    DRAW(1, 4),  { .stride = DRAW(1, 3), .pad = DRAW(0, 3), .dilation = DRAW(1, 3), .groups = groups },
                    DRAW(0, 1) };
        z.opt.output_pad = DRAW(0, 2);
        if (DRAW(0, 1)) {
            z.opt.stride_w = DRAW(1, 3), z.opt.pad_w = DRAW(-1, 4), z.opt.dilation_w = DRAW(1, 3);
            z.opt.output_pad_w = DRAW(-1, 2);
        }
        conv v = conv_sized(&z);
        bool small = z.opt.output_pad < larger(v.stride[0], v.dil[0]) &&
                     along_w(z.opt.output_pad_w, z.opt.output_pad) < larger(v.stride[1], v.dil[1]);
        if (!small || v.oh < 1 || v.ow < 1) { continue; }
        check(&z);
        done++;
    }
#undef DRAW
    assert_true(done > 150);
}

/* An empty batch: y is empty, and the gradients of the parameters are zero, not void. */
static void test_no_images(void **state) {
    (void)state;
    tare_tape *t = tare_tape_new((tare_tape_opt){ .training = true });
    const tare_real values[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    tare_tensor *w = tare_input(t, TARE_SHAPE(1, 2, 2, 2), values), *b = tare_input(t, TARE_SHAPE(2), values);
    w->requires_grad = b->requires_grad = true;
    tare_tensor *x = tare_input(t, TARE_SHAPE(0, 1, 3, 3), values);
    tare_tensor *y = tare_conv_transpose2d(t, x, w, b, (tare_conv_transpose2d_opt){ 0 });
    assert_ok(tare_tape_status(t));
    assert_int_equal(y->numel, 0);
    assert_ok(tare_backward_from(t, y, values));
    for (int i = 0; i < 8; i++) { assert_true(w->grad[i] == 0); }
    assert_true(b->grad[0] == 0 && b->grad[1] == 0);
    tare_tape_free(t);
}

/* Only what is asked for, and added where something lies already: x, w and b are each used twice. */
static void test_gradients_add_up(void **state) {
    (void)state;
    const sizes z = { 2, 3, 4, 5, 4, 3, 3, { .stride = 2, .pad = 1 }, false };
    conv v = conv_new(&z);
    grads want = naive(&v);
    for (int which = 0; which < 3; which++) {
        tare_tape *t = tare_tape_new((tare_tape_opt){ .training = true, .guard = true });
        tare_tensor *x = tare_input(t, TARE_SHAPE(2, 3, 4, 5), v.x), *w = tare_input(t, TARE_SHAPE(3, 4, 3, 3), v.w),
                    *b = tare_input(t, TARE_SHAPE(4), v.b);
        tare_tensor *one = which == 0 ? x : which == 1 ? w : b;
        const double *from = which == 0 ? want.dx : which == 1 ? want.dw : want.db;
        one->requires_grad = true;
        tare_tensor *y = tare_conv_transpose2d(t, x, w, b, z.opt);
        y = tare_add(t, y, tare_scale(t, tare_conv_transpose2d(t, x, w, b, z.opt), 3));
        assert_ok(tare_backward_from(t, y, v.dy));
        assert_ok(tare_tape_guard(t));
        double *sum = zeros(one->numel);
        for (int64_t i = 0; i < one->numel; i++) { sum[i] = 4 * from[i]; }
        assert_all_near(one->grad, sum, one->numel, test_tol(5e-6, 1e-13));
        tare_free(sum);
        tare_tape_free(t);
    }
    grads_free(&want);
    conv_free(&v);
}

typedef tare_conv_transpose2d_opt opts;

static void expect_error(tare_status status, const char *words, const char *more, tare_shape x, tare_shape w,
                         tare_shape b, opts opt) {
    tare_tape *t = tare_tape_new((tare_tape_opt){ .training = true });
    tare_tape_layer_set(t, "decoder.0");
    tare_tensor *bias = b.ndim ? tare_input(t, b, NULL) : NULL;
    assert_null(tare_conv_transpose2d(t, tare_input(t, x, NULL), tare_input(t, w, NULL), bias, opt));
    assert_status(status, tare_tape_status(t));
    assert_contains(tare_tape_error(t), "conv_transpose2d \"decoder.0\"");
    assert_contains(tare_tape_error(t), words);
    assert_contains(tare_tape_error(t), more);
    tare_tape_free(t);
}

static void test_errors(void **state) {
    (void)state;
    tare_shape x = TARE_SHAPE(2, 4, 5, 6), w = TARE_SHAPE(4, 6, 3, 3), none = TARE_SCALAR;
    const char *xs = "[2,4,5,6]", *ws = "[4,6,3,3]";
    expect_error(TARE_ESHAPE, "[4,5,6]", ws, TARE_SHAPE(4, 5, 6), w, none, (opts){ 0 });
    expect_error(TARE_ESHAPE, "[2,4,0,6]", ws, TARE_SHAPE(2, 4, 0, 6), w, none, (opts){ 0 });
    expect_error(TARE_ESHAPE, "[4,54]", xs, x, TARE_SHAPE(4, 54), none, (opts){ 0 });
    expect_error(TARE_ESHAPE, "weight [6,4,3,3] takes 6", xs, x, TARE_SHAPE(6, 4, 3, 3), none, (opts){ 0 });
    expect_error(TARE_ESHAPE, "3 groups", ws, x, w, none, (opts){ .groups = 3 });
    expect_error(TARE_ESHAPE, "bias [6]", "must be [12]", x, w, TARE_SHAPE(6), (opts){ .groups = 2 });
    expect_error(TARE_ESHAPE, xs, ws, x, w, none, (opts){ .pad = 4 });
    expect_error(TARE_ESHAPE, "output of -1 x 0", "less padding", x, w, none, (opts){ .pad = 4 });
    expect_error(TARE_EINVAL, "stride", "-1", x, w, none, (opts){ .stride = -1 });
    expect_error(TARE_EINVAL, "dilation_w", "-1", x, w, none, (opts){ .dilation_w = -1 });
    expect_error(TARE_EINVAL, "pad -1", "", x, w, none, (opts){ .pad = -1 });
    expect_error(TARE_EINVAL, "groups", "-2", x, w, none, (opts){ .groups = -2 });
    expect_error(TARE_EINVAL, "output_pad -1", "", x, w, none, (opts){ .output_pad = -1 });
    expect_error(TARE_EINVAL, "output_pad 2x2", "stride 2x2", x, w, none, (opts){ .stride = 2, .output_pad = 2 });
    expect_error(TARE_EINVAL, "output_pad 1x1", "stride 2x1", x, w, none,
                 (opts){ .stride = 2, .stride_w = 1, .output_pad = 1 });
}

static void test_layer(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(7);
    tare_tape *t = tare_tape_new((tare_tape_opt){ 0 });
    tare_params_push(ps, "decoder");
    tare_layer *l = tare_layer_conv_transpose2d(
        ps, "up", 32, 16, 4,
        (tare_layer_conv_transpose2d_opt){ .stride = 2, .pad = 1, .output_pad = 1, .groups = 4, .kernel_w = 3 });
    tare_params_pop(ps);
    assert_ok(tare_params_status(ps));
    assert_string_equal("decoder.up.weight", tare_params_at(ps, 0)->name);
    assert_string_equal("decoder.up.bias", tare_params_at(ps, 1)->name);
    assert_int_equal(TARE_NO_DECAY, tare_params_flags(ps, 1));
    assert_true(tare_shape_equal(TARE_SHAPE(32, 4, 4, 3), l->weight->shape));
    assert_true(tare_shape_equal(TARE_SHAPE(16), tare_params_at(ps, 1)->shape));
    assert_int_equal(1, l->out_dim);
    double bound = 1 / sqrt(4 * 4 * 3), most = 0; /* weight.size(1) * kernel */
    for (int64_t i = 0; i < l->weight->numel; i++) { most = fmax(most, fabs((double)l->weight->data[i])); }
    assert_true(most <= bound && most > 0.98 * bound);
    char text[64];
    l->cls->describe(l, text, sizeof text);
    assert_string_equal("4x3, stride 2, pad 1, output pad 1, groups 4", text);
    tare_tensor *y = tare_forward(l, t, tare_input(t, TARE_SHAPE(2, 32, 5, 6), NULL));
    assert_ok(tare_tape_status(t));
    assert_true(tare_shape_equal(TARE_SHAPE(2, 16, 11, 12), y->shape));
    assert_null(tare_layer_conv_transpose2d(ps, "odd", 4, 6, 3, (tare_layer_conv_transpose2d_opt){ .groups = 4 }));
    assert_contains(tare_params_error(ps), "conv_transpose2d \"odd\": 4 groups do not divide 4 -> 6 channels");
    tare_tape_free(t);
    tare_params_free(ps);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),           cmocka_unit_test(test_random), cmocka_unit_test(test_no_images),
        cmocka_unit_test(test_gradients_add_up), cmocka_unit_test(test_errors), cmocka_unit_test(test_layer),
    };
    if (test_isa_missing()) { return 77; }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
