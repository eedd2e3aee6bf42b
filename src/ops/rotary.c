/* rotary.c - rotary positions: pairs of features turned by angles that grow with the position. Backward turns them back. */
#include "common.h"

#include <tare/sequence.h>

#include <inttypes.h>
#include <math.h>

static double base_of(const tare_rotary_opt *opt) { return opt->base != 0 ? opt->base : 10000; }

/* x as rows: `turned` vectors of `width` to turn, `rest` features behind them to copy; row i has position i % steps. */
typedef struct layout {
    int64_t rows, steps, width, turned, rest;
} layout;

static layout layout_of(const tare_node *n) {
    const tare_rotary_opt *opt = n->attr;
    tare_shape x = n->in[0]->shape;
    int64_t features = x.dim[x.ndim - 1];
    layout l = { .steps = x.dim[x.ndim - 2], .width = features, .turned = 1 };
    l.rows = features > 0 ? n->in[0]->numel / features : 0;
    if (opt->heads > 0) {
        l.width = features / (3 * opt->heads);
        l.turned = 2 * opt->heads;
        l.rest = opt->heads * l.width;
    }
    return l;
}

static tare_status check(tare_node *n) {
    const tare_rotary_opt *opt = n->attr;
    tare_shape x = n->in[0]->shape;
    tare_shape_buf text;
    tare_shape_text(x, &text);
    if (opt->heads < 0 || opt->offset < 0) {
        return tare_node_fail(n, TARE_EINVAL, "heads is %" PRId64 ", offset %" PRId64 ": neither may be negative",
                              opt->heads, opt->offset);
    }
    if (!(base_of(opt) > 0 && isfinite(base_of(opt)))) {
        return tare_node_fail(n, TARE_EINVAL, "base is %g, must be positive", opt->base);
    }
    if (x.ndim < 2) { return tare_node_fail(n, TARE_ESHAPE, "x %s must be [...,T,D]", text.text); }
    if (opt->heads && (x.ndim != 3 || x.dim[2] % (6 * opt->heads))) {
        return tare_node_fail(n, TARE_ESHAPE, "x %s must be [B,T,3*H*D] with %" PRId64 " heads and D even", text.text,
                              opt->heads);
    }
    if (!opt->heads && x.dim[x.ndim - 1] % 2) {
        return tare_node_fail(n, TARE_ESHAPE, "x %s must end in an even number of features: they turn in pairs",
                              text.text);
    }
    layout l = layout_of(n);
    n->shape = x;
    n->scratch_bytes = n->grad_scratch_bytes = (size_t)(l.steps * l.width) * sizeof(tare_real);
    return TARE_OK;
}

/* Cosines [T,D/2], then sines. From position to position each pair is turned on, in double: the error after a hundred thousand
 * steps is still below 1e-10. */
static void fill_angles(const tare_rotary_opt *opt, const layout *l, tare_real *cosine, tare_real *sine) {
    int64_t pairs = l->width / 2;
    for (int64_t i = 0; i < pairs; i++) {
        double angle = pow(base_of(opt), -2.0 * (double)i / (double)l->width);
        double c = cos(angle * (double)opt->offset), s = sin(angle * (double)opt->offset);
        double step_c = cos(angle), step_s = sin(angle);
        for (int64_t t = 0; t < l->steps; t++) {
            cosine[t * pairs + i] = (tare_real)c;
            sine[t * pairs + i] = (tare_real)s;
            double next = c * step_c - s * step_s;
            s = s * step_c + c * step_s;
            c = next;
        }
    }
}

typedef struct job {
    layout l;
    bool interleaved, add;
    const tare_real *cosine, *sine, *from;
    tare_real *to;
    tare_real sign;
} job;

static void turn_rows(void *context, int64_t begin, int64_t end) {
    const job *j = context;
    const tare__kernel_table *kernels = tare__kernels();
    int64_t pairs = j->l.width / 2, turned = j->l.turned * j->l.width, row = turned + j->l.rest;
    for (int64_t r = begin; r < end; r++) {
        int64_t angles = r % j->l.steps * pairs;
        const tare_real *from = j->from + r * row;
        tare_real *to = j->to + r * row;
        kernels->rotary(j->l.turned, pairs, j->interleaved, j->cosine + angles, j->sine + angles, j->sign, from, to,
                        j->add);
        if (j->l.rest) { kernels->copy(1, j->l.rest, from + turned, 0, 1, to + turned, 0, 1, j->add); }
    }
}

static void turn(const tare_node *n, const tare_real *from, tare_real *to, tare_real sign, bool add) {
    const tare_rotary_opt *opt = n->attr;
    job j = { .l = layout_of(n), .interleaved = opt->interleaved, .add = add, .from = from, .to = to, .sign = sign };
    if (n->in[0]->numel == 0) { return; }
    tare_real *cosine = n->scratch, *sine = cosine + j.l.steps * (j.l.width / 2);
    fill_angles(opt, &j.l, cosine, sine);
    j.cosine = cosine;
    j.sine = sine;
    tare_parallel_for(j.l.rows, tare__grain(2.0 * (double)(j.l.turned * j.l.width)), turn_rows, &j);
}

static void forward(tare_node *n) { turn(n, n->in[0]->data, n->out->data, 1, false); }

static void backward(tare_node *n) {
    tare_real *dx = tare_grad(n, 0);
    if (dx) { turn(n, n->out->grad, dx, -1, tare_grad_add(n, 0)); }
}

#define ATTR(...)                                                                                                      \
    .attr = &(const tare_rotary_opt) { __VA_ARGS__ }

static const tare_opcase cases[] = {
    { .name = "halves", .in = { { 4, { 2, 2, 5, 6 } } }, ATTR(.base = 0) },
    { .name = "interleaved", .in = { { 3, { 2, 5, 38 } } }, ATTR(.interleaved = true) },
    { .name = "offset", .in = { { 2, { 3, 4 } } }, ATTR(.offset = 1000, .base = 500) },
    { .name = "packed", .in = { { 3, { 2, 4, 24 } } }, ATTR(.heads = 2) },
    { .name = "packed_interleaved", .in = { { 3, { 1, 3, 18 } } }, ATTR(.heads = 1, .interleaved = true) },
    { .name = NULL },
};

const tare_op tare_op_rotary = {
    .name = "rotary",
    .n_in = 1,
    .attr_size = sizeof(tare_rotary_opt),
    .flags = TARE_OP_FRESH,
    .reads = TARE_READS_NOTHING,
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_rotary(tare_tape *t, tare_tensor *x, tare_rotary_opt opt) {
    return tare_apply(t, &tare_op_rotary, &x, 1, &opt);
}
