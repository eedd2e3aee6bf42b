/* passes.c - single layers in the middle of a net, forward and forward with backward: "norms" on the shapes of convolutional
 * nets and transformers, with a plain copy of as many numbers beside them, and "conv", convolutions of many kinds. Kind, shape and
 * direction are in the name. */
#include "../bench.h"

#include <stdlib.h>
#include <string.h>

enum { X, DY, DX, KEPT, ARRAYS };
enum { AGAIN = 64 }; /* passes after which a dy that dx was written over is set right */

static bool goes_backward(const bench *b) { return strstr(b->workload->name, "-fwdbwd") != NULL; }

/* Up to three channels are a net's input, to which there is no gradient. */
static bool wants_dx(const bench *b) { return goes_backward(b) && (b->input.ndim != 4 || b->input.dim[1] > 3); }

/* norms-bn-64x32x28x28-fwd: 64 x 32 x 28 x 28 */
static tare_shape shape_of(const bench *b) {
    tare_shape shape = { 0 };
    for (const char *s = b->workload->name; (s = strpbrk(s, "-x")) && shape.ndim < TARE_MAX_DIMS;) {
        long long size = strtoll(++s, NULL, 10);
        if (size > 0) { shape.dim[shape.ndim++] = size; }
    }
    return shape;
}

static tare_status make_arrays(bench *b, tare_shape out) {
    tare_rng rng = tare_rng_new(1, "bench");
    for (int a = 0; a < ARRAYS; a++) {
        int64_t n = tare_shape_numel(a == DY ? out : b->input);
        b->x[a] = tare_malloc((size_t)n * sizeof(tare_real));
        if (!b->x[a]) { return TARE_ENOMEM; }
        tare_rng_fill_normal(&rng, 0, 1, n, b->x[a]);
    }
    if (goes_backward(b)) { return TARE_OK; }
    tare_tape_free(b->tape);
    b->tape = tare_tape_new((tare_tape_opt){ .training = true, .no_grad = true });
    return b->tape ? TARE_OK : TARE_ENOMEM;
}

static tare_status make_norm(bench *b) {
    b->input = shape_of(b);
    tare_shape sample = { .ndim = b->input.ndim - 1 };
    for (int d = 0; d < sample.ndim; d++) { sample.dim[d] = b->input.dim[d + 1]; }
    b->net[0] = tare_norm_layer(b->params[0], "norm", b->workload->variant, sample);
    return make_arrays(b, b->input);
}

/* The number behind `key` in a workload's name. */
static int option_of(const bench *b, const char *key, int otherwise) {
    const char *at = strstr(b->workload->name, key);
    return at ? (int)strtol(at + strlen(key), NULL, 10) : otherwise;
}

/* conv-k1-s2-g4-to256-32x64x14x14-fwd: taps 1 x 1 (else 3 x 3), stride 2 (1), 4 groups (1), to 256 channels (twice as many). */
static tare_status make_conv(bench *b) {
    tare_shape out = b->input = shape_of(b);
    int taps = option_of(b, "-k", 3), stride = option_of(b, "-s", 1);
    out.dim[1] = option_of(b, "-to", (int)(2 * out.dim[1]));
    for (int d = 2; d < 4; d++) { out.dim[d] = (out.dim[d] + 2 * (taps / 2) - taps) / stride + 1; }
    tare_layer_conv2d_opt opt = { .stride = stride, .pad = taps / 2, .groups = option_of(b, "-g", 1), .no_bias = true };
    b->net[0] = tare_layer_conv2d(b->params[0], "conv", b->input.dim[1], out.dim[1], taps, opt);
    return make_arrays(b, out);
}

/* The op's backward as the tape runs it in the middle of a net, dx over dy where the op can; tare_backward_from would copy dy first. */
static tare_status backward(bench *b, tare_tensor *x, tare_tensor *y, int64_t i) {
    tare_node *n = y->node;
    if (n->in[0] != x) { return tare_fail(TARE_EINVAL, "%s is more than one op", b->workload->name); }
    if (!b->scratch && !(b->scratch = tare_malloc(n->grad_scratch_bytes + 1))) { return TARE_ENOMEM; }
    n->scratch = b->scratch;
    bool over = n->op->flags & TARE_OP_INPLACE;
    if (over && i % AGAIN == 0) { memcpy(b->x[DY], b->x[KEPT], (size_t)y->numel * sizeof(tare_real)); }
    y->grad = b->x[DY];
    x->grad = b->x[over ? DY : DX];
    x->grad_fresh = true;
    n->op->backward(n);
    x->grad = y->grad = NULL;
    n->scratch = NULL;
    return TARE_OK;
}

static tare_status pass(bench *b, int64_t i) {
    tare_tape_reset(b->tape);
    tare_params_zero_grad(b->params[0]);
    tare_tensor *x = tare_input_view(b->tape, b->input, b->x[X]);
    if (x) { x->requires_grad = wants_dx(b); }
    tare_tensor *y = tare_forward(b->net[0], b->tape, x);
    if (!y) { return tare_fail(tare_tape_status(b->tape), "%s", tare_tape_error(b->tape)); }
    if (b->look) { b->look(b->tape, b->context); }
    return goes_backward(b) ? backward(b, x, y, i) : TARE_OK;
}

static tare_status make_copy(bench *b) {
    b->input = shape_of(b);
    return make_arrays(b, b->input);
}

static void copy_range(void *context, int64_t begin, int64_t end) {
    const bench *b = context;
    memcpy(b->x[DX] + begin, b->x[X] + begin, (size_t)(end - begin) * sizeof(tare_real));
}

static void add_range(void *context, int64_t begin, int64_t end) {
    const bench *b = context;
    const tare_real *restrict x = b->x[X];
    tare_real *restrict dy = b->x[DY];
    for (int64_t i = begin; i < end; i++) { dy[i] += x[i]; }
}

/* Forward y = x, backward dy += x: what a norm must move that writes dx over dy, and next to nothing to compute. */
static tare_status copy(bench *b, int64_t i) {
    if (goes_backward(b) && i % AGAIN == 0) {
        memcpy(b->x[DY], b->x[KEPT], (size_t)tare_shape_numel(b->input) * sizeof(tare_real));
    }
    tare_parallel_for(tare_shape_numel(b->input), 1 << 14, copy_range, b);
    if (goes_backward(b)) { tare_parallel_for(tare_shape_numel(b->input), 1 << 14, add_range, b); }
    return TARE_OK;
}

#define BOTH(name, spec, make)                                                                                         \
    { name "-fwd", spec, 0, make, pass }, { name "-fwdbwd", spec, 0, make, pass }
#define NORM(name, spec) BOTH("norms-" name, spec, make_norm)
#define IMAGES(shape)                                                                                                  \
    NORM("bn-" shape, "bn"), NORM("gn8-" shape, "gn:8"), NORM("in-" shape, "in"), NORM("lnchw-" shape, "ln")
#define ROWS(shape) NORM("ln-" shape, "ln"), NORM("rms-" shape, "rms")
#define CONV(kind)                                                                                                     \
    { "conv-" kind "-fwdbwd", "", 0, make_conv, pass }
#define COPY(shape)                                                                                                    \
    { "norms-copy-" shape "-fwd", "", 0, make_copy, copy }, { "norms-copy-" shape "-fwdbwd", "", 0, make_copy, copy }

const bench_workload bench_norms[] = {
    COPY("64x32x28x28"),    IMAGES("64x32x28x28"),
    IMAGES("64x128x14x14"), NORM("lnc-64x128x14x14", "ln:over=c"),
    IMAGES("8x64x56x56"),   COPY("768x128"),
    ROWS("768x128"),        COPY("2048x384"),
    ROWS("2048x384"),       { 0 },
};

const bench_workload bench_conv[] = {
    BOTH("conv-64x32x28x28", "", make_conv),
    BOTH("conv-64x64x14x14", "", make_conv),
    CONV("s2-64x32x28x28"),
    CONV("s2-64x64x14x14"),
    CONV("k1-to256-32x64x14x14"),
    CONV("k1-to64-32x256x14x14"),
    CONV("k1-to512-32x128x7x7"),
    CONV("k1-s2-to256-32x64x14x14"),
    CONV("g32-to32-64x32x28x28"),
    CONV("s2-g32-to32-64x32x28x28"),
    CONV("g128-to128-32x128x14x14"),
    CONV("s2-g128-to128-32x128x14x14"),
    CONV("g32-to128-32x128x14x14"),
    CONV("to32-64x1x28x28"),
    CONV("to16-128x3x32x32"),
    CONV("k7-s2-to64-32x3x64x64"),
    { 0 },
};
