/* test_upsample.c - upsampling against one loop per output, over many sizes; any number of threads; the layer; errors.
 * tare-test: double isa */
#include "testing_support.h"

#include <tare/layers.h>

#include <math.h>

static tare_rng rng;

static tare_tape *tape_new(void) { return tare_tape_new((tare_tape_opt){ .training = true, .guard = true }); }

static tare_tensor *noise(tare_tape *t, tare_shape shape) {
    tare_tensor *x = tare_input(t, shape, NULL);
    for (int64_t i = 0; i < x->numel; i++) { x->data[i] = (tare_real)tare_rng_normal(&rng); }
    x->requires_grad = true;
    return x;
}

/* How much input i counts in output k of `in` -> `out` values. */
static double share(const tare_upsample2d_opt *o, int64_t in, int64_t out, int64_t k, int64_t i) {
    if (o->mode == TARE_UPSAMPLE_NEAREST) { return k * in / out == i; }
    double at = o->align_corners ? (out > 1 ? (double)(k * (in - 1)) / (double)(out - 1) : 0)
                                 : fmax(((double)k + 0.5) * (double)in / (double)out - 0.5, 0);
    at = fmin(at, (double)(in - 1)); /* beyond the last value there is the last value */
    return fmax(0, 1 - fabs(at - (double)i));
}

static void one_size(tare_upsample2d_opt o, tare_shape shape, int64_t oh, int64_t ow) {
    tare_tape *t = tape_new();
    tare_tensor *x = noise(t, shape), *y = tare_upsample2d(t, x, o);
    if (!y) { fail_msg("%s", tare_tape_error(t)); }
    assert_true(tare_shape_equal(y->shape, TARE_SHAPE(shape.dim[0], shape.dim[1], oh, ow)));
    int64_t h = shape.dim[2], w = shape.dim[3], planes = shape.dim[0] * shape.dim[1];
    double *want = calloc((size_t)y->numel, sizeof *want), *dx = calloc((size_t)x->numel, sizeof *dx);
    tare_real *dy = calloc((size_t)y->numel, sizeof *dy);
    for (int64_t i = 0; i < y->numel; i++) {
        dy[i] = (tare_real)tare_rng_normal(&rng);
        int64_t p = i / (oh * ow), r = i / ow % oh, c = i % ow;
        for (int64_t k = 0; k < h * w; k++) {
            double part = share(&o, h, oh, r, k / w) * share(&o, w, ow, c, k % w);
            want[i] += part * (double)x->data[p * h * w + k];
            dx[p * h * w + k] += part * (double)dy[i];
        }
    }
    assert_true(planes > 0);
    assert_all_near(y->data, want, y->numel, test_tol(1e-6, 1e-14));
    assert_ok(tare_backward_from(t, y, dy));
    assert_all_near(x->grad, dx, x->numel, test_tol(1e-6, 1e-14));
    assert_ok(tare_tape_guard(t));
    free(want), free(dx), free(dy);
    tare_tape_free(t);
}

static void sizes(void **state) {
    (void)state;
    const int64_t from[][2] = { { 1, 1 }, { 1, 5 }, { 3, 2 }, { 4, 9 }, { 2, 16 }, { 5, 33 } };
    for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
        int64_t h = from[i][0], w = from[i][1];
        for (int how = 0; how < 3; how++) {
            tare_upsample2d_opt o = { .mode = how ? TARE_UPSAMPLE_BILINEAR : TARE_UPSAMPLE_NEAREST,
                                      .align_corners = how == 2 };
            one_size(o, TARE_SHAPE(2, 3, h, w), 2 * h, 2 * w); /* times 2 unasked */
            o.scale = 3, o.scale_w = 1;
            one_size(o, TARE_SHAPE(1, 2, h, w), 3 * h, w);
            o.scale = o.scale_w = 0;
            for (int64_t oh = 1; oh < 9; oh += 2) {
                o.height = oh, o.width = 10 - oh;
                one_size(o, TARE_SHAPE(1, 2, h, w), oh, 10 - oh);
            }
        }
    }
}

static void threads_give_the_same_bits(void **state) {
    (void)state;
    enum { N = 4, C = 70, SIZE = 12 };
    static tare_real x[N * C * SIZE * SIZE], y[4 * N * C * SIZE * SIZE], dx[N * C * SIZE * SIZE];
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) { x[i] = (tare_real)tare_rng_normal(&rng); }
    for (int how = 0; how < 3; how++) {
        tare_upsample2d_opt o = { .mode = how ? TARE_UPSAMPLE_BILINEAR : TARE_UPSAMPLE_NEAREST,
                                  .align_corners = how == 2 };
        for (int threads = 1; threads <= 3; threads++) {
            tare_threads_set(threads);
            tare_tape *t = tape_new();
            tare_tensor *in = tare_input(t, TARE_SHAPE(N, C, SIZE, SIZE), x);
            in->requires_grad = true;
            tare_tensor *out = tare_upsample2d(t, in, o);
            if (threads == 1) { memcpy(y, out->data, sizeof y); }
            assert_memory_equal(y, out->data, sizeof y);
            assert_ok(tare_backward_from(t, out, y));
            if (threads == 1) { memcpy(dx, in->grad, sizeof dx); }
            assert_memory_equal(dx, in->grad, sizeof dx);
            tare_tape_free(t);
        }
    }
    tare_threads_set(0);
}

static void layer(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(1);
    tare_tape *t = tape_new();
    const struct {
        tare_upsample2d_opt opt;
        const char *words;
        tare_shape out;
    } cases[] = {
        { { 0 }, "nearest, times 2", TARE_SHAPE(1, 2, 6, 8) },
        { { .scale = 3, .scale_w = 2 }, "nearest, times 3x2", TARE_SHAPE(1, 2, 9, 8) },
        { { TARE_UPSAMPLE_BILINEAR, .height = 4, .width = 5 }, "bilinear, to 4x5", TARE_SHAPE(1, 2, 4, 5) },
        { { TARE_UPSAMPLE_BILINEAR, .align_corners = true }, "bilinear, aligned, times 2", TARE_SHAPE(1, 2, 6, 8) },
    };
    for (int i = 0; i < 4; i++) {
        tare_layer *up = tare_layer_upsample2d(ps, "up", cases[i].opt);
        tare_tensor *y = tare_forward(up, t, noise(t, TARE_SHAPE(1, 2, 3, 4)));
        assert_true(y && tare_shape_equal(y->shape, cases[i].out));
        char text[64];
        up->cls->describe(up, text, sizeof text);
        assert_string_equal(text, cases[i].words);
    }
    tare_tape_free(t);
    tare_params_free(ps);
}

static void errors(void **state) {
    (void)state;
    tare_tape *t = tape_new();
    const struct {
        tare_shape shape;
        tare_upsample2d_opt opt;
        tare_status status;
        const char *words;
    } cases[] = {
        { TARE_SHAPE(2, 3, 4), { 0 }, TARE_ESHAPE, "x [2,3,4] is not [N,C,H,W]" },
        { TARE_SHAPE(2, 3, 0, 4), { 0 }, TARE_ESHAPE, "the planes of x [2,3,0,4] are empty" },
        { TARE_SHAPE(1, 1, 2, 2), { .scale = -1 }, TARE_EINVAL, "scale -1" },
        { TARE_SHAPE(1, 1, 2, 2), { .scale = 2, .height = 4, .width = 4 }, TARE_EINVAL, "give a scale, or height" },
        { TARE_SHAPE(1, 1, 2, 2), { .height = 4 }, TARE_EINVAL, "height 4, width 0" },
        { TARE_SHAPE(1, 1, 2, 2), { .align_corners = true }, TARE_EINVAL, "goes with TARE_UPSAMPLE_BILINEAR" },
        { TARE_SHAPE(1, 1, 2, 2), { .mode = (tare_upsample_mode)9 }, TARE_EINVAL, "mode 9" },
        { TARE_SHAPE(1, 1, 2, 2), { .height = 1 << 20, .width = 1 << 20 }, TARE_ESHAPE, "more than 2^31 - 1 cells" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_null(tare_upsample2d(t, tare_input(t, cases[i].shape, NULL), cases[i].opt));
        assert_int_equal(cases[i].status, tare_tape_status(t));
        assert_contains(tare_tape_error(t), cases[i].words);
        tare_tape_reset(t);
    }
    tare_tape_free(t);
}

int main(void) {
    if (test_isa_missing()) { return 77; }
    rng = tare_rng_new(3, "test_upsample");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),
        cmocka_unit_test(threads_give_the_same_bits),
        cmocka_unit_test(layer),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests_name("upsample", tests, NULL, NULL);
}
