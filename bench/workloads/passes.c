/* passes.c - single layers in the middle of a net, forward and forward with backward: "norms" on the shapes of convolutional
 * nets and transformers, with a plain copy of as many numbers beside them, and "conv", 3 x 3 convolutions from C to 2 C channels.
 * Shape and direction are in the name. */
#include "../bench.h"

#include <stdlib.h>
#include <string.h>

enum { X, DY, DX, ARRAYS };

static bool goes_backward(const bench *b) { return strstr(b->workload->name, "-fwdbwd") != NULL; }

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

static tare_status make_conv(bench *b) {
    tare_shape out = b->input = shape_of(b);
    out.dim[1] *= 2;
    tare_layer_conv2d_opt opt = { .pad = 1, .no_bias = true };
    b->net[0] = tare_layer_conv2d(b->params[0], "conv", b->input.dim[1], out.dim[1], 3, opt);
    return make_arrays(b, out);
}

/* The op's backward as the tape runs it in the middle of a net; tare_backward_from would copy dy first. */
static tare_status backward(bench *b, tare_tensor *x, tare_tensor *y) {
    tare_node *n = y->node;
    if (n->in[0] != x) { return tare_fail(TARE_EINVAL, "%s is more than one op", b->workload->name); }
    if (!b->scratch && !(b->scratch = tare_malloc(n->grad_scratch_bytes + 1))) { return TARE_ENOMEM; }
    n->scratch = b->scratch;
    y->grad = b->x[DY];
    x->grad = b->x[DX];
    x->grad_fresh = true;
    n->op->backward(n);
    x->grad = y->grad = NULL;
    n->scratch = NULL;
    return TARE_OK;
}

static tare_status pass(bench *b, int64_t i) {
    (void)i;
    tare_tape_reset(b->tape);
    tare_params_zero_grad(b->params[0]);
    tare_tensor *x = tare_input_view(b->tape, b->input, b->x[X]);
    if (x) { x->requires_grad = goes_backward(b); }
    tare_tensor *y = tare_forward(b->net[0], b->tape, x);
    if (!y) { return tare_fail(tare_tape_status(b->tape), "%s", tare_tape_error(b->tape)); }
    if (b->look) { b->look(b->tape, b->context); }
    return goes_backward(b) ? backward(b, x, y) : TARE_OK;
}

static tare_status make_copy(bench *b) {
    b->input = shape_of(b);
    return make_arrays(b, b->input);
}

static void copy_range(void *context, int64_t begin, int64_t end) {
    const bench *b = context;
    memcpy(b->x[DX] + begin, b->x[X] + begin, (size_t)(end - begin) * sizeof(tare_real));
}

/* Forward y = x, backward dx = x + dy: what a norm must move, and next to nothing to compute. */
static tare_status copy(bench *b, int64_t i) {
    (void)i;
    tare_parallel_for(tare_shape_numel(b->input), 1 << 14, copy_range, b);
    if (!goes_backward(b)) { return TARE_OK; }
    tare_tape_reset(b->tape);
    tare_tensor *x = tare_input_view(b->tape, b->input, b->x[X]), *dy = tare_input_view(b->tape, b->input, b->x[DY]);
    return tare_add(b->tape, x, dy) ? TARE_OK : tare_fail(tare_tape_status(b->tape), "%s", tare_tape_error(b->tape));
}

#define BOTH(name, spec, make)                                                                                         \
    { name "-fwd", spec, 0, make, pass }, { name "-fwdbwd", spec, 0, make, pass }
#define NORM(name, spec) BOTH("norms-" name, spec, make_norm)
#define IMAGES(shape)                                                                                                  \
    NORM("bn-" shape, "bn"), NORM("gn8-" shape, "gn:8"), NORM("in-" shape, "in"), NORM("lnchw-" shape, "ln")
#define ROWS(shape) NORM("ln-" shape, "ln"), NORM("rms-" shape, "rms")
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
    { 0 },
};
