/* test_pool.c - pooling against one loop per output that follows PyTorch's definition word by word, over many windows, with
 * ties, NaN and Inf; PyTorch's corner cases by hand; errors; any number of threads.   tare-test: double isa */
#include "testing_support.h"

#include <tare/layers.h>
#include <tare/norms.h>
#include <tare/ops.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static tare_rng rng;

static tare_tape *tape_new(void) {
    tare_tape *t = tare_tape_new((tare_tape_opt){ .training = true, .guard = true, .seed = 1 });
    assert_non_null(t);
    return t;
}

static tare_tensor *input(tare_tape *t, tare_shape shape, const tare_real *values) {
    tare_tensor *x = tare_input(t, shape, values);
    assert_non_null(x);
    x->requires_grad = true;
    return x;
}

/* ---- the plain way ----------------------------------------------------------------------------------------------- */

typedef struct walk {
    int64_t h, w, oh, ow, kh, kw, sh, sw, ph, pw;
    bool exclude_pad;
} walk;

/* torch/nn/functional: floor or ceil of (size + 2 pad - kernel) / stride, plus 1; under ceil a window that would start
 * beyond the input and the left padding is left out. */
static int64_t outputs(int64_t size, int64_t kernel, int64_t stride, int64_t pad, bool ceil_mode) {
    double steps = (double)(size + 2 * pad - kernel) / (double)stride;
    int64_t n = (int64_t)(ceil_mode ? ceil(steps) : floor(steps)) + 1;
    return ceil_mode && (n - 1) * stride >= size + pad ? n - 1 : n;
}

static walk walk_of(int64_t h, int64_t w, tare_pool2d_opt o) {
    walk p = { .h = h, .w = w, .kh = o.kernel, .ph = o.pad, .exclude_pad = o.exclude_pad };
    p.kw = o.kernel_w ? o.kernel_w : o.kernel;
    p.sh = o.stride ? o.stride : p.kh;
    p.sw = o.stride_w ? o.stride_w : o.stride ? o.stride : p.kw;
    p.pw = o.pad_w == -1 ? 0 : o.pad_w ? o.pad_w : o.pad;
    p.oh = outputs(h, p.kh, p.sh, p.ph, o.ceil);
    p.ow = outputs(w, p.kw, p.sw, p.pw, o.ceil);
    return p;
}

static bool inside(const walk *p, int64_t r, int64_t c) { return r >= 0 && r < p->h && c >= 0 && c < p->w; }

/* One output of one plane, and its gradient's way back: y is returned, dx is added to. */
static double max_plain(const walk *p, const tare_real *x, int64_t i, int64_t j, double dy, double *dx) {
    int64_t at = -1;
    for (int64_t r = i * p->sh - p->ph; r < i * p->sh - p->ph + p->kh; r++) {
        for (int64_t c = j * p->sw - p->pw; c < j * p->sw - p->pw + p->kw; c++) {
            if (!inside(p, r, c)) { continue; }
            tare_real v = x[r * p->w + c];
            if (at < 0 || v > x[at] || isnan(v)) { at = r * p->w + c; }
        }
    }
    dx[at] += dy;
    return (double)x[at];
}

static double avg_plain(const walk *p, const tare_real *x, int64_t i, int64_t j, double dy, double *dx) {
    int64_t top = i * p->sh - p->ph, left = j * p->sw - p->pw, within = 0;
    int64_t bottom = top + p->kh < p->h + p->ph ? top + p->kh : p->h + p->ph;
    int64_t right = left + p->kw < p->w + p->pw ? left + p->kw : p->w + p->pw;
    double sum = 0;
    for (int64_t r = top; r < bottom; r++) {
        for (int64_t c = left; c < right; c++) {
            if (inside(p, r, c)) { sum += (double)x[r * p->w + c], within++; }
        }
    }
    double count = (double)(p->exclude_pad ? within : (bottom - top) * (right - left));
    for (int64_t r = top; r < bottom; r++) {
        for (int64_t c = left; c < right; c++) {
            if (inside(p, r, c)) { dx[r * p->w + c] += dy / count; }
        }
    }
    return sum / count;
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

/* Values from few levels, so that there are ties, and now and then NaN, Inf and -Inf. */
static tare_real value(bool wild) {
    uint64_t pick = tare_rng_below(&rng, wild ? 60 : 57);
    if (pick == 57) { return (tare_real)NAN; }
    if (pick >= 58) { return (tare_real)(pick == 58 ? INFINITY : -INFINITY); }
    return (tare_real)((double)pick / 8 - 3.5);
}

static void same(const tare_real *got, const double *want, int64_t n, const char *what) {
    for (int64_t i = 0; i < n; i++) {
        double error = fabs((double)got[i] - want[i]), limit = test_tol(2e-6, 1e-14) * (1 + fabs(want[i]));
        bool equal = isnan(want[i]) ? isnan((double)got[i]) : (double)got[i] == want[i] || error <= limit;
        if (equal) { continue; }
        print_error("%s: [%lld] is %.9g, expected %.9g\n", what, (long long)i, (double)got[i], want[i]);
        fail();
    }
}

/* The pool of x, once or twice (then gradients are added), forward and backward. */
static void check_pool(bool max, int64_t planes, int64_t h, int64_t w, tare_pool2d_opt opt, bool twice, bool wild) {
    walk p = walk_of(h, w, opt);
    int64_t in = h * w, out = p.oh * p.ow;
    tare_real *x = calloc((size_t)(planes * in), sizeof *x), *dy = calloc((size_t)(planes * out), sizeof *dy);
    double *y = calloc((size_t)(planes * out), sizeof *y), *dx = calloc((size_t)(planes * in), sizeof *dx);
    for (int64_t i = 0; i < planes * in; i++) { x[i] = value(wild); }
    for (int64_t i = 0; i < planes * out; i++) { dy[i] = (tare_real)tare_rng_normal(&rng); }
    for (int64_t at = 0; at < planes * out; at++) {
        int64_t plane = at / out * in, i = at % out / p.ow, j = at % p.ow;
        y[at] = (max ? max_plain : avg_plain)(&p, x + plane, i, j, (double)dy[at] * (twice ? 2 : 1), dx + plane);
    }

    tare_tape *t = tape_new();
    tare_tensor *a = input(t, TARE_SHAPE(planes, 1, h, w), x);
    tare_tensor *b = (max ? tare_max_pool2d : tare_avg_pool2d)(t, a, opt);
    assert_string_equal(tare_tape_error(t), "");
    assert_true(tare_shape_equal(b->shape, TARE_SHAPE(planes, 1, p.oh, p.ow)));
    char what[160];
    snprintf(what, sizeof what, "%s %dx%d stride %dx%d pad %dx%d of %dx%d%s%s", max ? "max" : "avg", (int)p.kh,
             (int)p.kw, (int)p.sh, (int)p.sw, (int)p.ph, (int)p.pw, (int)h, (int)w, opt.ceil ? " ceil" : "",
             twice ? " twice" : "");
    same(b->data, y, planes * out, what);
    if (twice) { b = tare_add(t, b, (max ? tare_max_pool2d : tare_avg_pool2d)(t, a, opt)); }
    assert_ok(tare_backward_from(t, b, dy));
    assert_ok(tare_tape_guard(t));
    same(a->grad, dx, planes * in, what);
    tare_tape_free(t);
    free(x), free(dy), free(y), free(dx);
}

/* With ReLU in the pool: the bits of tare_relu and then the pool, once or twice. */
static void check_relu(int64_t planes, int64_t h, int64_t w, tare_pool2d_opt opt, bool twice) {
    tare_shape shape = TARE_SHAPE(planes, 1, h, w);
    tare_real *values = calloc((size_t)(planes * h * w), sizeof *values);
    for (int64_t i = 0; i < planes * h * w; i++) { values[i] = value(true); }
    tare_tape *t = tape_new();
    tare_tensor *x[2], *y[2];
    for (int fused = 0; fused < 2; fused++) {
        opt.relu = fused == 1;
        x[fused] = input(t, shape, values);
        tare_tensor *from = fused ? x[fused] : tare_relu(t, x[fused]);
        y[fused] = tare_max_pool2d(t, from, opt);
        if (twice) { y[fused] = tare_add(t, y[fused], tare_max_pool2d(t, from, opt)); }
    }
    tare_tensor *both = tare_concat(t, y, 2, 0);
    assert_string_equal(tare_tape_error(t), "");
    assert_memory_equal(y[0]->data, y[1]->data, (size_t)y[0]->numel * sizeof *values);
    tare_real *dy = calloc((size_t)both->numel, sizeof *dy);
    for (int64_t i = 0; i < y[0]->numel; i++) { dy[i] = dy[i + y[0]->numel] = (tare_real)tare_rng_normal(&rng); }
    assert_ok(tare_backward_from(t, both, dy));
    assert_ok(tare_tape_guard(t));
    assert_memory_equal(x[0]->grad, x[1]->grad, (size_t)x[0]->numel * sizeof *values);
    tare_tape_free(t);
    free(values), free(dy);
}

static void test_relu(void **state) {
    (void)state;
    for (int64_t w = 2; w < 40; w++) {
        for (int64_t h = 2; h < 6; h++) { check_relu(3, h, w, (tare_pool2d_opt){ .kernel = 2 }, w % 2); }
    }
    for (int64_t w = 3; w < 30; w++) {
        check_relu(2, 7, w, (tare_pool2d_opt){ .kernel = 3, .stride = 2, .pad = 1 }, w % 2);
        check_relu(2, 7, w, (tare_pool2d_opt){ .kernel = 2, .stride = 1 }, false);
        check_relu(2, 7, w, (tare_pool2d_opt){ .kernel = 3, .ceil = true }, false);
    }
}

static void see(void *context, const tare_layer *layer, const tare_tensor *x, const tare_tensor *y) {
    (void)context, (void)layer, (void)x, (void)y;
}

/* y, then the gradients of all parameters: of a small net, on a tape where nobody watches its layers, or somebody. */
static tare_real *run_net(const char *norm, bool watched, int64_t *ops, int64_t *n) {
    tare_params *ps = tare_params_new(1);
    tare_layer *layers[] = { tare_layer_conv2d(ps, "conv", 2, 6, 3, (tare_layer_conv2d_opt){ .pad = 1 }),
                             tare_norm_layer(ps, "norm", norm, TARE_SHAPE(6, 8, 9)), tare_layer_relu(ps, NULL),
                             tare_layer_max_pool2d(ps, NULL, (tare_pool2d_opt){ .kernel = 2 }),
                             tare_layer_dropout(ps, NULL, 0.5) };
    tare_layer *net = tare_layer_sequential(ps, "net", layers, 5);
    assert_ok(tare_params_status(ps));
    tare_tape *t = tape_new();
    tare_tape_watch_set(t, watched ? &(const tare_watch){ see, NULL } : NULL);
    tare_rng values = tare_rng_new(3, "net");
    tare_tensor *x = tare_input(t, TARE_SHAPE(3, 2, 8, 9), NULL);
    for (int64_t i = 0; i < x->numel; i++) { x->data[i] = (tare_real)tare_rng_normal(&values); }
    tare_tensor *y = tare_forward(net, t, x), *loss = tare_sum(t, tare_mul(t, y, y), 0, false);
    assert_string_equal(tare_tape_error(t), "");
    *ops = tare_tape_length(t);
    *n = y->numel + tare_params_flat_size(ps);
    tare_real *all = calloc((size_t)*n, sizeof *all);
    memcpy(all, y->data, (size_t)y->numel * sizeof *all);
    int64_t numel = y->numel;
    tare_params_zero_grad(ps);
    assert_ok(tare_backward(t, loss));
    tare_params_settle_grad(ps);
    memcpy(all + numel, tare_params_flat_grad(ps), (size_t)(*n - numel) * sizeof *all);
    tare_tape_free(t);
    tare_params_free(ps);
    return all;
}

/* In a sequential the pool does the ReLU before it, unless somebody wants to see both: an op less, the same bits, and the same random
 * numbers for the dropout behind. */
static void test_sequential(void **state) {
    (void)state;
    const char *const norms[] = { "none", "bn" };
    for (int i = 0; i < 2; i++) {
        int64_t ops[2], n[2];
        tare_real *fused = run_net(norms[i], false, &ops[0], &n[0]), *apart = run_net(norms[i], true, &ops[1], &n[1]);
        assert_int_equal(ops[0], ops[1] - 1);
        assert_int_equal(n[0], n[1]);
        assert_memory_equal(fused, apart, (size_t)n[0] * sizeof *fused);
        free(fused), free(apart);
    }
}

static void test_2x2(void **state) {
    (void)state;
    for (int64_t w = 2; w < 40; w++) {
        for (int64_t h = 2; h < 6; h++) {
            for (int variant = 0; variant < 4; variant++) {
                check_pool(true, 3, h, w, (tare_pool2d_opt){ .kernel = 2 }, variant & 1, variant & 2);
                check_pool(false, 3, h, w, (tare_pool2d_opt){ .kernel = 2 }, variant & 1, variant & 2);
            }
        }
    }
}

static void test_any_window(void **state) {
    (void)state;
    int tried = 0;
    for (int i = 0; i < 3000; i++) {
        tare_pool2d_opt o = { .kernel = 1 + (int)tare_rng_below(&rng, 5), .stride = (int)tare_rng_below(&rng, 5) };
        o.kernel_w = (int)tare_rng_below(&rng, 5);
        o.stride_w = (int)tare_rng_below(&rng, 4);
        o.pad = (int)tare_rng_below(&rng, 3);
        o.pad_w = (int)tare_rng_below(&rng, 4) - 1;
        o.ceil = tare_rng_below(&rng, 2);
        o.exclude_pad = tare_rng_below(&rng, 2);
        int64_t h = 1 + (int64_t)tare_rng_below(&rng, 12), w = 1 + (int64_t)tare_rng_below(&rng, 50);
        walk p = walk_of(h, w, o);
        if (2 * p.ph > p.kh || 2 * p.pw > p.kw || h + 2 * p.ph < p.kh || w + 2 * p.pw < p.kw) { continue; }
        check_pool(true, 2, h, w, o, i & 1, i & 2);
        check_pool(false, 2, h, w, o, i & 1, false);
        tried++;
    }
    assert_true(tried > 500);
}

/* ---- by hand ----------------------------------------------------------------------------------------------------- */

static void test_output_sizes(void **state) {
    (void)state;
    static const struct {
        int64_t size;
        tare_pool2d_opt opt;
        int64_t want;
    } rows[] = {
        { 5, { .kernel = 2 }, 2 },
        { 5, { .kernel = 2, .ceil = true }, 3 },
        /* ceil gives 3, but the third window would start at 3, beyond the input: torch.nn.MaxPool2d(2, 2, 1, ceil_mode=True) */
        { 3, { .kernel = 2, .pad = 1, .ceil = true }, 2 },
        { 6, { .kernel = 3, .stride = 2, .pad = 1, .ceil = true }, 4 },
        { 4, { .kernel = 1, .stride = 3, .ceil = true }, 2 },
        { 3, { .kernel = 2, .stride = 3, .ceil = true }, 1 },
        { 1, { .kernel = 2, .stride = 1, .pad = 1 }, 2 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tare_tape *t = tape_new();
        tare_tensor *x = tare_input(t, TARE_SHAPE(1, 1, rows[i].size, rows[i].size), NULL);
        for (int64_t k = 0; k < x->numel; k++) { x->data[k] = 1; }
        tare_tensor *y = tare_max_pool2d(t, x, rows[i].opt);
        assert_non_null(y);
        assert_int_equal(y->shape.dim[2], rows[i].want);
        assert_int_equal(y->shape.dim[3], rows[i].want);
        tare_tape_free(t);
    }
}

static void test_first_maximum_and_nan(void **state) {
    (void)state;
    const tare_real nan_ = (tare_real)NAN, inf = (tare_real)INFINITY;
    /* six 2x2 windows: a tie; all -Inf; one NaN; two NaN; NaN and Inf; plain */
    const tare_real x[24] = { 3, 3, -inf, -inf, nan_, 5, 1,    nan_, inf, nan_, 1, 2,
                              3, 3, -inf, -inf, 7,    9, nan_, 4,    inf, inf,  4, 3 };
    const double y[6] = { 3, -INFINITY, (double)NAN, (double)NAN, (double)NAN, 4 };
    const double dx[24] = { 1, 0, 2, 0, 3, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 6, 0 };
    tare_tape *t = tape_new();
    tare_tensor *a = input(t, TARE_SHAPE(1, 1, 2, 12), x);
    tare_tensor *b = tare_max_pool2d(t, a, (tare_pool2d_opt){ .kernel = 2 });
    same(b->data, y, 6, "max");
    assert_ok(tare_backward_from(t, b, (tare_real[]){ 1, 2, 3, 4, 5, 6 }));
    same(a->grad, dx, 24, "max gradient");
    tare_tape_free(t);
}

static void test_average_divisors(void **state) {
    (void)state;
    const tare_real x[9] = { 4, 8, 12, 16, 20, 24, 28, 32, 36 };
    static const struct {
        tare_pool2d_opt opt;
        double want[4];
    } rows[] = {
        { { .kernel = 2, .pad = 1 }, { 1, 5, 11, 28 } },
        { { .kernel = 2, .pad = 1, .exclude_pad = true }, { 4, 10, 22, 28 } },
        /* the last windows hang over the end: those cells never count */
        { { .kernel = 2, .ceil = true }, { 12, 18, 30, 36 } },
        { { .kernel = 2, .ceil = true, .exclude_pad = true }, { 12, 18, 30, 36 } },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tare_tape *t = tape_new();
        tare_tensor *y = tare_avg_pool2d(t, input(t, TARE_SHAPE(1, 1, 3, 3), x), rows[i].opt);
        assert_int_equal(y->numel, 4);
        same(y->data, rows[i].want, 4, "avg");
        tare_tape_free(t);
    }
}

static void test_global_average(void **state) {
    (void)state;
    tare_tape *t = tape_new();
    tare_tensor *a = input(t, TARE_SHAPE(1, 2, 2, 2), (tare_real[]){ 1, 2, 3, 6, (tare_real)NAN, 1, 1, 1 });
    tare_tensor *b = tare_global_avg_pool2d(t, a);
    same(b->data, (double[]){ 3, (double)NAN }, 2, "mean");
    tare_tensor *c = tare_add(t, b, tare_global_avg_pool2d(t, a));
    assert_ok(tare_backward_from(t, c, (tare_real[]){ 2, 4 }));
    same(a->grad, (double[]){ 1, 1, 1, 1, 2, 2, 2, 2 }, 8, "gradient");
    tare_tape_reset(t);
    /* a plane of ones and a large one: rounding must not grow with the plane */
    tare_tensor *big = tare_input(t, TARE_SHAPE(1, 1, 512, 512), NULL);
    for (int64_t i = 0; i < big->numel; i++) { big->data[i] = (tare_real)0.1; }
    assert_near(tare_item(tare_global_avg_pool2d(t, big)), 0.1, test_tol(1e-6, 1e-13));
    tare_tape_free(t);
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

static void test_errors(void **state) {
    (void)state;
    static const struct {
        tare_pool2d_opt opt;
        tare_status status;
        const char *words;
    } rows[] = {
        { { .kernel = 0 }, TARE_EINVAL, "kernel 0" },
        { { .kernel = 2, .kernel_w = -1 }, TARE_EINVAL, "kernel_w -1" },
        { { .kernel = 2, .stride = -1 }, TARE_EINVAL, "stride -1" },
        { { .kernel = 2, .pad = -1 }, TARE_EINVAL, "pad -1" },
        { { .kernel = 2, .pad_w = -2 }, TARE_EINVAL, "pad_w -2" },
        { { .kernel = 3, .pad = 2 }, TARE_EINVAL, "pad 2x2 is more than half of the kernel 3x3" },
        { { .kernel = 2, .pad = 1, .kernel_w = 1 }, TARE_EINVAL, "pad 1x1 is more than half of the kernel 2x1" },
        { { .kernel = 5 }, TARE_ESHAPE, "kernel 5x5 is larger than x [2,3,4,6] padded by 0x0" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tare_tape *t = tape_new();
        tare_tape_layer_set(t, "pool1");
        assert_null(tare_max_pool2d(t, tare_input(t, TARE_SHAPE(2, 3, 4, 6), NULL), rows[i].opt));
        assert_status(rows[i].status, tare_tape_status(t));
        assert_contains(tare_tape_error(t), "max_pool2d \"pool1\"");
        assert_contains(tare_tape_error(t), rows[i].words);
        tare_tape_reset(t);
        assert_null(tare_avg_pool2d(t, tare_input(t, TARE_SHAPE(2, 3, 4, 6), NULL), rows[i].opt));
        assert_status(rows[i].status, tare_tape_status(t));
        assert_contains(tare_tape_error(t), rows[i].words);
        tare_tape_free(t);
    }
    tare_tape *t = tape_new();
    assert_null(tare_avg_pool2d(t, tare_input(t, TARE_SHAPE(2, 3, 4, 6), NULL),
                                (tare_pool2d_opt){ .kernel = 2, .relu = true }));
    assert_status(TARE_EINVAL, tare_tape_status(t));
    assert_contains(tare_tape_error(t), "relu is for maxima alone");
    tare_tape_reset(t);
    assert_null(tare_max_pool2d(t, tare_input(t, TARE_SHAPE(3, 4, 6), NULL), (tare_pool2d_opt){ .kernel = 2 }));
    assert_status(TARE_ESHAPE, tare_tape_status(t));
    assert_contains(tare_tape_error(t), "x [3,4,6] is not [N,C,H,W]");
    tare_tape_reset(t);
    /* with padding a window would fit, and see nothing */
    assert_null(tare_max_pool2d(t, tare_input(t, TARE_SHAPE(1, 1, 0, 4), NULL), (tare_pool2d_opt){ 2, .pad = 1 }));
    assert_status(TARE_ESHAPE, tare_tape_status(t));
    tare_tape_reset(t);
    assert_null(tare_avg_pool2d(t, tare_input(t, TARE_SHAPE(1, 1, 0, 0), NULL), (tare_pool2d_opt){ 2, .pad = 1 }));
    assert_contains(tare_tape_error(t), "the planes of x [1,1,0,0] are empty");
    tare_tape_reset(t);
    assert_null(tare_global_avg_pool2d(t, tare_input(t, TARE_SHAPE(3, 4), NULL)));
    assert_contains(tare_tape_error(t), "global_avg_pool2d: x [3,4] is not [N,C,H,W]");
    tare_tape_free(t);
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

static tare_tensor *max2(tare_tape *t, tare_tensor *x) {
    return tare_max_pool2d(t, x, (tare_pool2d_opt){ .kernel = 2 });
}
static tare_tensor *max3(tare_tape *t, tare_tensor *x) {
    return tare_max_pool2d(t, x, (tare_pool2d_opt){ .kernel = 3, .stride = 1, .pad = 1 });
}
static tare_tensor *avg2(tare_tape *t, tare_tensor *x) {
    return tare_avg_pool2d(t, x, (tare_pool2d_opt){ .kernel = 2 });
}
static tare_tensor *avg3(tare_tape *t, tare_tensor *x) {
    return tare_avg_pool2d(t, x, (tare_pool2d_opt){ .kernel = 3, .stride = 2, .pad = 1 });
}

static void test_threads(void **state) {
    (void)state;
    tare_tensor *(*const pools[])(tare_tape *, tare_tensor *) = { max2, max3, avg2, avg3, tare_global_avg_pool2d };
    tare_shape shape = TARE_SHAPE(9, 31, 15, 22);
    size_t n = (size_t)tare_shape_numel(shape);
    tare_real *x = calloc(n, sizeof *x), *y = calloc(n, sizeof *y), *dx = calloc(n, sizeof *dx);
    for (size_t i = 0; i < n; i++) { x[i] = (tare_real)tare_rng_normal(&rng); }
    for (size_t k = 0; k < sizeof pools / sizeof *pools; k++) {
        for (int threads = 1; threads <= 3; threads++) {
            tare_threads_set(threads);
            tare_tape *t = tape_new();
            tare_tensor *a = input(t, shape, x), *b = pools[k](t, a);
            size_t out = (size_t)b->numel * sizeof *y;
            if (threads == 1) {
                memcpy(y, b->data, out);
            } else {
                assert_memory_equal(b->data, y, out);
            }
            assert_ok(tare_backward_from(t, b, x));
            if (threads == 1) {
                memcpy(dx, a->grad, n * sizeof *dx);
            } else {
                assert_memory_equal(a->grad, dx, n * sizeof *dx);
            }
            tare_tape_free(t);
        }
    }
    tare_threads_set(0);
    free(x), free(y), free(dx);
}

/* Without a backward to come no index is kept; the values are the same. */
static void test_no_grad(void **state) {
    (void)state;
    tare_real x[2 * 7 * 19];
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) { x[i] = (tare_real)tare_rng_normal(&rng); }
    tare_tape *with = tape_new(), *without = tare_tape_new((tare_tape_opt){ .no_grad = true, .guard = true });
    for (int kernel = 2; kernel <= 3; kernel++) {
        tare_tensor *a = tare_max_pool2d(with, input(with, TARE_SHAPE(1, 2, 7, 19), x),
                                         (tare_pool2d_opt){ .kernel = kernel, .stride = 2 });
        tare_tensor *b = tare_max_pool2d(without, input(without, TARE_SHAPE(1, 2, 7, 19), x),
                                         (tare_pool2d_opt){ .kernel = kernel, .stride = 2 });
        assert_non_null(a);
        assert_non_null(b);
        assert_memory_equal(a->data, b->data, (size_t)a->numel * sizeof(tare_real));
    }
    tare_tape_free(with);
    tare_tape_free(without);
}

int main(void) {
    if (test_isa_missing()) { return 77; }
    rng = tare_rng_new(7, "test_pool");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_2x2),
        cmocka_unit_test(test_relu),
        cmocka_unit_test(test_sequential),
        cmocka_unit_test(test_any_window),
        cmocka_unit_test(test_output_sizes),
        cmocka_unit_test(test_first_maximum_and_nan),
        cmocka_unit_test(test_average_divisors),
        cmocka_unit_test(test_global_average),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_no_grad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
