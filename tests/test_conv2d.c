/* test_conv2d.c - convolution against seven plain loops: every option, shapes larger than a patch, threads, errors.
 * tare-test: double isa */
#include "testing_support.h"

#include <tare/ops.h>

#include <math.h>
#include <stdio.h>

typedef struct sizes {
    int64_t n, c, h, w, k, r, s;
    tare_conv2d_opt opt;
    bool no_bias;
} sizes;

typedef struct conv {
    sizes z;
    int64_t groups, stride[2], pad[2], dil[2], oh, ow;
    int64_t nx, nw, ny;
    tare_real *x, *w, *b, *dy;
} conv;

static tare_real *random_values(tare_rng *rng, int64_t n) {
    tare_real *values = tare_malloc((size_t)n * sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < n; i++) { values[i] = (tare_real)(2 * tare_rng_uniform(rng) - 1); }
    return values;
}

static conv conv_new(const sizes *z) {
    tare_rng rng = tare_rng_new(5, "conv");
    const tare_conv2d_opt *o = &z->opt;
    conv v = { .z = *z, .groups = o->groups ? o->groups : 1 };
    v.stride[0] = o->stride ? o->stride : 1;
    v.stride[1] = o->stride_w ? o->stride_w : v.stride[0];
    v.dil[0] = o->dilation ? o->dilation : 1;
    v.dil[1] = o->dilation_w ? o->dilation_w : v.dil[0];
    v.pad[0] = o->pad;
    v.pad[1] = o->pad_w == 0 ? o->pad : o->pad_w == -1 ? 0 : o->pad_w;
    v.oh = (z->h + 2 * v.pad[0] - v.dil[0] * (z->r - 1) - 1) / v.stride[0] + 1;
    v.ow = (z->w + 2 * v.pad[1] - v.dil[1] * (z->s - 1) - 1) / v.stride[1] + 1;
    v.nx = z->n * z->c * z->h * z->w;
    v.nw = z->k * (z->c / v.groups) * z->r * z->s;
    v.ny = z->n * z->k * v.oh * v.ow;
    v.x = random_values(&rng, v.nx);
    v.w = random_values(&rng, v.nw);
    v.b = random_values(&rng, z->k);
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

/* All taps of output (n, k, i, j): its value, and what its gradient adds to dx and dw. */
static void naive_output(const conv *v, grads *g, int64_t n, int64_t k, int64_t i, int64_t j) {
    const sizes *z = &v->z;
    int64_t cg = z->c / v->groups, group = k / (z->k / v->groups), at = ((n * z->k + k) * v->oh + i) * v->ow + j;
    double dy = (double)v->dy[at];
    g->y[at] = z->no_bias ? 0 : (double)v->b[k];
    g->db[k] += dy;
    for (int64_t c = 0; c < cg; c++) {
        for (int64_t r = 0; r < z->r; r++) {
            for (int64_t s = 0; s < z->s; s++) {
                int64_t ih = i * v->stride[0] + r * v->dil[0] - v->pad[0],
                        iw = j * v->stride[1] + s * v->dil[1] - v->pad[1];
                if (ih < 0 || ih >= z->h || iw < 0 || iw >= z->w) { continue; }
                int64_t at_x = ((n * z->c + group * cg + c) * z->h + ih) * z->w + iw;
                int64_t at_w = ((k * cg + c) * z->r + r) * z->s + s;
                g->y[at] += (double)v->x[at_x] * (double)v->w[at_w];
                g->dx[at_x] += (double)v->w[at_w] * dy;
                g->dw[at_w] += (double)v->x[at_x] * dy;
            }
        }
    }
}

static grads naive(const conv *v) {
    grads g = { zeros(v->ny), zeros(v->nx), zeros(v->nw), zeros(v->z.k) };
    for (int64_t n = 0; n < v->z.n; n++) {
        for (int64_t k = 0; k < v->z.k; k++) {
            for (int64_t i = 0; i < v->oh; i++) {
                for (int64_t j = 0; j < v->ow; j++) { naive_output(v, &g, n, k, i, j); }
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
    r.w = tare_input(r.tape, TARE_SHAPE(z->k, z->c / v->groups, z->r, z->s), v->w);
    r.b = z->no_bias ? NULL : tare_input(r.tape, TARE_SHAPE(z->k), v->b);
    r.x->requires_grad = r.w->requires_grad = true;
    if (r.b) { r.b->requires_grad = true; }
    r.y = tare_conv2d(r.tape, r.x, r.w, r.b, z->opt);
    assert_ok(tare_tape_status(r.tape));
    return r;
}

static void check_conv(const conv *given) {
    double tol = test_tol(5e-6, 1e-13);
    const conv v = *given;
    const sizes *z = &v.z;
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
            if (r.b) { assert_all_near(r.b->grad, want.db, z->k, tol); }
            first = r;
            continue;
        }
        assert_memory_equal(r.x->grad, first.x->grad, (size_t)v.nx * sizeof *y);
        assert_memory_equal(r.w->grad, first.w->grad, (size_t)v.nw * sizeof *y);
        if (r.b) { assert_memory_equal(r.b->grad, first.b->grad, (size_t)z->k * sizeof *y); }
        tare_tape_free(r.tape);
    }
    tare_tape_free(first.tape);
    tare_threads_set(0);
    tare_free(y);
    grads_free(&want);
}

static void check(const sizes *z) {
    conv v = conv_new(z);
    check_conv(&v);
    conv_free(&v);
}

/* The layers of the example nets, and what does not fit one patch: many channels, wide rows, far dilations. */
static void test_shapes(void **state) {
    (void)state;
    static const sizes cases[] = {
        { 3, 1, 28, 28, 32, 3, 3, { .pad = 1 }, false },
        { 2, 32, 28, 28, 33, 3, 3, { .pad = 1 }, false },
        { 9, 3, 9, 9, 16, 3, 3, { .pad = 1 }, true },
        { 2, 16, 16, 16, 32, 3, 3, { .stride = 2, .pad = 1 }, false },
        { 2, 16, 15, 17, 20, 1, 1, { .stride = 2 }, true },
        { 3, 19, 14, 14, 35, 1, 1, { 0 }, false },
        { 3, 40, 14, 14, 64, 1, 1, { 0 }, false },
        { 9, 129, 7, 7, 100, 1, 1, { .groups = 1 }, true },
        { 2, 34, 5, 9, 96, 1, 1, { .groups = 2 }, false },
        { 1, 2100, 3, 6, 40, 1, 1, { 0 }, false },
        { 2, 64, 12, 10, 70, 1, 1, { .stride = 2 }, false },
        { 1, 300, 14, 14, 17, 3, 3, { .pad = 1 }, false },
        { 1, 2, 5, 1500, 3, 3, 3, { .pad = 1 }, false },
        { 1, 2, 5, 1500, 3, 2, 3, { .stride = 2, .pad = 1 }, false },
        { 1, 3, 90, 90, 5, 5, 5, { .pad = 2 }, false },
        { 1, 8, 24, 24, 6, 3, 3, { .pad = 1, .groups = 2 }, false },
        /* stride 2: odd and even columns dealt out */
        { 2, 20, 28, 28, 40, 3, 3, { .stride = 2, .pad = 1 }, false },
        { 2, 7, 31, 33, 16, 5, 5, { .stride = 2, .pad = 2 }, false },
        { 1, 3, 9, 70, 5, 3, 3, { .stride = 2 }, true },
        /* and many channels: the four phases of dx together */
        { 2, 24, 29, 61, 9, 3, 3, { .stride = 2, .pad = 1 }, false },
        { 1, 40, 17, 9, 6, 5, 4, { .stride = 2, .pad = 2, .dilation = 3 }, true },
        { 2, 20, 1, 30, 8, 1, 3, { .stride = 2, .pad = 1 }, false },
        { 1, 16, 13, 12, 600, 3, 3, { .stride = 2, .pad = 1 }, false },
        { 2, 32, 9, 11, 24, 3, 3, { .stride = 2, .pad = 1, .groups = 2 }, true },
        { 3, 4, 6, 5, 9, 3, 3, { .stride = 2, .pad = 3 }, false },
        { 2, 17, 8, 8, 17, 3, 3, { .pad = 1, .groups = 17 }, false },
        { 1, 2, 40, 40, 2, 3, 3, { .pad = 19, .dilation = 19 }, false },
        { 1, 2, 4, 4, 3, 3, 3, { .pad = 600, .stride = 500, .dilation = 300 }, false },
        { 1, 1, 50, 50, 2, 50, 50, { .pad = 1 }, false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) { check(&cases[i]); }
}

/* Where Winograd's filtering serves: whole tiles and cut ones, channels and filters that fill no vector, more of them than go
 * together, shifted windows; 4 x 4 with stride 2, whose phases are 2 x 2. */
static void test_winograd(void **state) {
    (void)state;
    static const sizes cases[] = {
        { 2, 16, 16, 16, 16, 3, 3, { .pad = 1 }, true },
        { 5, 32, 7, 7, 33, 3, 3, { .pad = 1 }, false },
        { 2, 31, 14, 13, 64, 3, 3, { 0 }, false },
        { 1, 48, 9, 50, 40, 3, 3, { .pad = 2 }, false },
        { 3, 64, 8, 8, 130, 3, 3, { .pad = 1 }, false },
        { 1, 270, 10, 6, 34, 3, 3, { .pad = 1, .pad_w = 3 }, true },
        { 4, 32, 16, 16, 48, 4, 4, { .stride = 2, .pad = 1 }, false },
        { 2, 20, 11, 13, 32, 4, 4, { .stride = 2 }, false },
        { 9, 64, 8, 8, 100, 4, 4, { .stride = 2, .pad = 1 }, true },
        { 3, 32, 9, 12, 32, 2, 2, { .pad = 1 }, false },
        /* few tiles, many weights: all tiles first, then weights a chunk of channels at a time */
        { 4, 136, 8, 8, 160, 4, 4, { .stride = 2, .pad = 1 }, false },
        { 2, 250, 7, 7, 70, 3, 3, { .pad = 1 }, false },
        { 9, 150, 5, 6, 40, 2, 2, { .pad = 1 }, true },
        /* many tiles, few weights: a block of tiles at a time */
        { 8, 32, 29, 31, 36, 3, 3, { .pad = 1 }, false },
        { 5, 28, 60, 50, 32, 4, 4, { .stride = 2, .pad = 1 }, false },
        /* windows that a side of taps is missing in, of which dX has more than one kind */
        { 4, 32, 16, 16, 64, 3, 3, { .stride = 2, .pad = 1 }, false },
        { 3, 64, 15, 13, 70, 3, 3, { .stride = 2 }, true },
        { 2, 130, 14, 14, 160, 3, 3, { .stride = 2, .pad = 1 }, false },
        { 2, 48, 12, 17, 64, 3, 4, { .stride = 2, .pad = 2 }, false },
        { 2, 48, 13, 16, 64, 2, 3, { .pad = 1 }, false },
        { 2, 48, 13, 16, 64, 3, 1, { .pad = 1 }, true },
        { 4, 64, 28, 28, 64, 5, 5, { .stride = 2, .pad = 2 }, false },
        { 4, 64, 27, 28, 64, 6, 6, { .stride = 2, .pad = 2 }, false },
        { 4, 48, 27, 28, 48, 7, 7, { .stride = 3, .pad = 3 }, false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) { check(&cases[i]); }
}

/* One channel in each group, 3 x 3: rows that fill no vector, more of them than fit at a time, one or more filters a channel. */
static void test_depthwise(void **state) {
    (void)state;
    for (int stride = 1; stride <= 2; stride++) {
        for (int pad = 0; pad <= 2; pad++) {
            static const int64_t side[][2] = { { 3, 3 }, { 4, 17 }, { 9, 8 }, { 14, 14 }, { 16, 31 }, { 28, 33 } };
            for (size_t i = 0; i < sizeof side / sizeof side[0]; i++) {
                int filters = 1 + (int)i % 3, channels = 2 + (int)i % 4;
                sizes z = { 3,
                            channels,
                            side[i][0],
                            side[i][1],
                            channels * filters,
                            3,
                            3,
                            { .stride = stride, .pad = pad, .groups = channels },
                            i % 2 };
                check(&z);
            }
        }
        const sizes wide = { 1, 2, 23, 4000, 2, 3, 3, { .stride = stride, .pad = 1, .pad_w = 2, .groups = 2 }, false };
        check(&wide);
    }
}

/* The gradient of a filter sums over large planes, all of one sign, without the error growing with them. */
static void test_depthwise_large(void **state) {
    (void)state;
    enum { SIDE = 600, PLANE = SIDE * SIDE };
    tare_tape *t = tare_tape_new((tare_tape_opt){ .training = true });
    tare_tensor *x = tare_input(t, TARE_SHAPE(1, 2, SIDE, SIDE), NULL), *b = tare_input(t, TARE_SHAPE(2), NULL);
    tare_tensor *w = tare_input(t, TARE_SHAPE(2, 1, 3, 3), NULL);
    w->requires_grad = b->requires_grad = true;
    tare_real *dy = tare_malloc(2 * PLANE * sizeof *dy);
    tare_rng rng = tare_rng_new(9, "planes");
    tare_rng_fill_uniform(&rng, 0, 2, 2 * PLANE, x->data);
    tare_rng_fill_uniform(&rng, 0, 2, 2 * PLANE, dy);
    memset(w->data, 0, 18 * sizeof *w->data);
    memset(b->data, 0, 2 * sizeof *b->data);
    tare_tensor *y = tare_conv2d(t, x, w, b, (tare_conv2d_opt){ .pad = 1, .groups = 2 });
    assert_ok(tare_backward_from(t, y, dy));
    for (int c = 0; c < 2; c++) {
        double middle = 0, sum = 0;
        for (int64_t i = c * PLANE; i < (c + 1) * PLANE; i++) {
            middle += (double)x->data[i] * (double)dy[i];
            sum += (double)dy[i];
        }
        assert_near(w->grad[9 * c + 4] / middle, 1, test_tol(2e-7, 1e-12));
        assert_near(b->grad[c] / sum, 1, test_tol(2e-7, 1e-12));
    }
    tare_free(dy);
    tare_tape_free(t);
}

/* Any legal combination of small sizes and options. */
static void test_random(void **state) {
    (void)state;
    tare_rng rng = tare_rng_new(6, "conv");
    int done = 0;
#define DRAW(low, high) ((low) + (int)tare_rng_below(&rng, (uint64_t)((high) - (low) + 1)))
    for (int round = 0; round < 400; round++) {
        int groups = DRAW(0, 3) ? 1 : DRAW(1, 4);
        sizes z = { DRAW(0, 3),
                    groups * DRAW(1, 5),
                    DRAW(1, 17),
                    DRAW(1, 19),
                    groups * DRAW(1, 18),
                    DRAW(1, 4),
                    DRAW(1, 4),
                    { .stride = DRAW(1, 3), .pad = DRAW(0, 3), .dilation = DRAW(1, 3), .groups = groups },
                    DRAW(0, 1) };
        if (DRAW(0, 1)) { z.opt.stride_w = DRAW(1, 3), z.opt.pad_w = DRAW(-1, 4), z.opt.dilation_w = DRAW(1, 3); }
        int64_t pad_w = z.opt.pad_w == 0 ? z.opt.pad : z.opt.pad_w == -1 ? 0 : z.opt.pad_w;
        int64_t dil_w = z.opt.dilation_w ? z.opt.dilation_w : z.opt.dilation;
        if (z.n == 0 || z.h + 2 * z.opt.pad < z.opt.dilation * (z.r - 1) + 1 ||
            z.w + 2 * pad_w < dil_w * (z.s - 1) + 1) {
            continue;
        }
        check(&z);
        done++;
    }
#undef DRAW
    assert_true(done > 200);
}

/* An empty batch: y is empty, and the gradients of the parameters are zero, not void. */
static void test_no_images(void **state) {
    (void)state;
    tare_tape *t = tare_tape_new((tare_tape_opt){ .training = true });
    const tare_real values[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    tare_tensor *w = tare_input(t, TARE_SHAPE(2, 1, 2, 2), values);
    w->requires_grad = true;
    tare_tensor *y = tare_conv2d(t, tare_input(t, TARE_SHAPE(0, 1, 3, 3), values), w, NULL, (tare_conv2d_opt){ 0 });
    assert_ok(tare_tape_status(t));
    assert_int_equal(y->numel, 0);
    assert_ok(tare_backward_from(t, y, values));
    for (int i = 0; i < 8; i++) { assert_true(w->grad[i] == 0); }
    tare_tape_free(t);
}

/* What no window reads does no harm, be it Inf. */
static void test_unread(void **state) {
    (void)state;
    static const sizes cases[] = {
        { 2, 3, 8, 10, 5, 3, 3, { .stride = 2 }, false },
        { 2, 20, 16, 16, 20, 3, 3, { .stride = 2 }, true },
        { 4, 32, 32, 18, 48, 3, 3, { .stride = 2 }, false },
        { 2, 16, 7, 7, 17, 4, 4, { .stride = 2 }, false },
        { 4, 32, 33, 33, 48, 4, 4, { .stride = 2 }, false },
        { 2, 16, 8, 8, 20, 1, 1, { .stride = 2 }, false },
        { 2, 6, 14, 16, 6, 3, 3, { .stride = 2, .groups = 6 }, false },
        { 2, 6, 40, 36, 6, 3, 3, { .stride = 2, .groups = 6 }, false },
    };
    for (size_t n = 0; n < sizeof cases / sizeof cases[0]; n++) {
        conv v = conv_new(&cases[n]);
        const sizes *z = &v.z;
        for (int64_t i = 0; i < v.nx; i++) {
            bool below = i / z->w % z->h == z->h - 1, right = i % z->w == z->w - 1;
            if (below || right) { v.x[i] = INFINITY; }
        }
        check_conv(&v);
        conv_free(&v);
    }
}

/* A stride that leaves the image is as good as one that just does, and no slower. */
static void test_far_stride(void **state) {
    (void)state;
    const sizes far = { 2, 2, 5, 6, 3, 3, 2, { .stride = INT32_MAX, .pad = 1 }, true };
    check(&far);
    const sizes along = { 1, 1, 7, 5, 2, 3, 3, { .stride = 1, .stride_w = INT32_MAX, .pad = 1 }, false };
    check(&along);
}

static void expect_error(tare_status status, const char *words, tare_shape x, tare_shape w, tare_shape b,
                         tare_conv2d_opt opt) {
    tare_tape *t = tare_tape_new((tare_tape_opt){ .training = true });
    tare_tape_layer_set(t, "features.0");
    tare_tensor *bias = b.ndim ? tare_input(t, b, NULL) : NULL;
    assert_null(tare_conv2d(t, tare_input(t, x, NULL), tare_input(t, w, NULL), bias, opt));
    assert_status(status, tare_tape_status(t));
    assert_contains(tare_tape_error(t), "features.0");
    assert_contains(tare_tape_error(t), words);
    tare_tape_free(t);
}

static void test_errors(void **state) {
    (void)state;
    tare_shape x = TARE_SHAPE(2, 4, 5, 6), w = TARE_SHAPE(6, 4, 3, 3), none = TARE_SCALAR;
    expect_error(TARE_ESHAPE, "[4,5,6]", TARE_SHAPE(4, 5, 6), w, none, (tare_conv2d_opt){ 0 });
    expect_error(TARE_ESHAPE, "[6,36]", x, TARE_SHAPE(6, 36), none, (tare_conv2d_opt){ 0 });
    expect_error(TARE_ESHAPE, "weight [6,3,3,3]", x, TARE_SHAPE(6, 3, 3, 3), none, (tare_conv2d_opt){ 0 });
    expect_error(TARE_ESHAPE, "x [2,4,5,6]", x, TARE_SHAPE(6, 3, 3, 3), none, (tare_conv2d_opt){ 0 });
    expect_error(TARE_ESHAPE, "4 groups", x, TARE_SHAPE(6, 1, 3, 3), none, (tare_conv2d_opt){ .groups = 4 });
    expect_error(TARE_ESHAPE, "bias [5]", x, w, TARE_SHAPE(5), (tare_conv2d_opt){ 0 });
    expect_error(TARE_ESHAPE, "larger than x", x, TARE_SHAPE(6, 4, 7, 3), none, (tare_conv2d_opt){ 0 });
    expect_error(TARE_ESHAPE, "larger than x", x, w, none, (tare_conv2d_opt){ .dilation = 3 });
    expect_error(TARE_EINVAL, "stride", x, w, none, (tare_conv2d_opt){ .stride = -1 });
    expect_error(TARE_EINVAL, "dilation", x, w, none, (tare_conv2d_opt){ .dilation_w = -1 });
    expect_error(TARE_EINVAL, "pad", x, w, none, (tare_conv2d_opt){ .pad = -1 });
    expect_error(TARE_EINVAL, "groups", x, w, none, (tare_conv2d_opt){ .groups = -2 });
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),          cmocka_unit_test(test_winograd),   cmocka_unit_test(test_depthwise),
        cmocka_unit_test(test_depthwise_large), cmocka_unit_test(test_random),     cmocka_unit_test(test_no_images),
        cmocka_unit_test(test_unread),          cmocka_unit_test(test_far_stride), cmocka_unit_test(test_errors),
    };
    if (test_isa_missing()) { return 77; }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
