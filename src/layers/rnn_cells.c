/* rnn_cells.c - recurrent cells with norms inside, from single ops: what each step does is plain to see, and slow. */
#include "rnn.h"

#include <inttypes.h>
#include <string.h>

/* The states, and the zeros they start from. */
typedef struct states {
    tare_tensor *h, *c;
} states;

static tare_tensor *zeros(tare_tape *tape, tare_shape shape) {
    tare_tensor *x = tare_input(tape, shape, NULL);
    if (x) { memset(x->data, 0, (size_t)x->numel * sizeof *x->data); }
    return x;
}

/* Gate g of sums [B,G*H]. */
static tare_tensor *gate(const tare__rnn_layer *l, tare_tape *tape, tare_tensor *sums, int64_t g) {
    return tare_slice(tape, sums, 1, g * l->hidden, (g + 1) * l->hidden, 1);
}

static tare_tensor *norm(tare_layer *layer, tare_tape *tape, tare_tensor *x) {
    return layer ? tare_forward(layer, tape, x) : x;
}

static tare_tensor *with_bias(tare_tape *tape, tare_tensor *x, tare_tensor *bias) {
    return bias ? tare_add(tape, x, bias) : x;
}

static states lstm(const tare__rnn_layer *l, tare_tape *tape, tare_tensor *x, tare_tensor *h, states s) {
    tare_tensor *sums = tare_add(tape, x, h);
    tare_tensor *in = tare_sigmoid(tape, gate(l, tape, sums, 0)), *keep = tare_sigmoid(tape, gate(l, tape, sums, 1));
    tare_tensor *fresh = tare_tanh(tape, gate(l, tape, sums, 2)), *out = tare_sigmoid(tape, gate(l, tape, sums, 3));
    s.c = tare_add(tape, tare_mul(tape, keep, s.c), tare_mul(tape, in, fresh));
    s.h = tare_mul(tape, out, tare_tanh(tape, norm(l->norm_c, tape, s.c)));
    return s;
}

static states gru(const tare__rnn_layer *l, tare_tape *tape, tare_tensor *x, tare_tensor *h, states s) {
    tare_tensor *reset = tare_sigmoid(tape, tare_add(tape, gate(l, tape, x, 0), gate(l, tape, h, 0)));
    tare_tensor *update = tare_sigmoid(tape, tare_add(tape, gate(l, tape, x, 1), gate(l, tape, h, 1)));
    tare_tensor *recurrent = tare_mul(tape, reset, gate(l, tape, h, 2));
    tare_tensor *fresh = tare_tanh(tape, tare_add(tape, gate(l, tape, x, 2), recurrent));
    s.h = tare_add(tape, fresh, tare_mul(tape, update, tare_sub(tape, s.h, fresh)));
    return s;
}

/* x [B,G*H]: the sums of the inputs at this step. */
static states cell(const tare__rnn_layer *l, tare_tape *tape, tare_tensor *x, states s) {
    tare_tensor *h = norm(l->norm_hh, tape, tare_linear(tape, s.h, l->w.w_hh, NULL));
    h = with_bias(tape, h, l->w.b_hh);
    switch (l->kind) {
    case TARE_LSTM: return lstm(l, tape, x, h, s);
    case TARE_GRU: return gru(l, tape, x, h, s);
    case TARE_RNN_RELU: s.h = tare_relu(tape, tare_add(tape, x, h)); break;
    case TARE_RNN_TANH: s.h = tare_tanh(tape, tare_add(tape, x, h)); break;
    }
    return s;
}

/* The last states of the sequences that end with this step. */
static void keep_last(const tare_rnn_opt *opt, states s, int64_t step, int64_t steps) {
    if (!s.h) { return; }
    int64_t width = s.h->shape.dim[1];
    for (int64_t b = 0; b < s.h->shape.dim[0]; b++) {
        if (step + 1 != (opt->lengths ? opt->lengths[b] : steps)) { continue; }
        size_t bytes = (size_t)width * sizeof(tare_real);
        if (opt->h_last) { memcpy(opt->h_last + b * width, s.h->data + b * width, bytes); }
        if (opt->c_last && s.c) { memcpy(opt->c_last + b * width, s.c->data + b * width, bytes); }
    }
}

/* 0 behind the end of each sequence. */
static tare_tensor *cut_off(tare_tape *tape, tare_tensor *y, const int32_t *lengths) {
    if (!lengths || !y) { return y; }
    int64_t steps = y->shape.dim[0], batch = y->shape.dim[1];
    tare_tensor *mask = tare_input(tape, TARE_SHAPE(steps, batch, 1), NULL);
    for (int64_t i = 0; mask && i < mask->numel; i++) { mask->data[i] = i / batch < lengths[i % batch]; }
    return tare_mul(tape, y, mask);
}

static tare_tensor *sums_of_inputs(const tare__rnn_layer *l, tare_tape *tape, tare_tensor *x) {
    int64_t steps = x->shape.dim[0], batch = x->shape.dim[1];
    tare_tensor *sums = tare_linear(tape, tare_reshape(tape, x, TARE_SHAPE(steps * batch, -1)), l->w.w_ih, NULL);
    sums = with_bias(tape, norm(l->norm_ih, tape, sums), l->w.b_ih);
    return tare_reshape(tape, sums, TARE_SHAPE(steps, batch, -1));
}

static bool check(const tare__rnn_layer *l, tare_tape *tape, tare_tensor *x, const tare_rnn_opt *opt) {
    tare_shape_buf text;
    int64_t steps = x->shape.ndim == 3 ? x->shape.dim[0] : 0;
    if (steps < 1 || steps > TARE_MAX_INPUTS * TARE_MAX_INPUTS || x->shape.dim[1] < 1) {
        tare_tape_fail(tape, TARE_ESHAPE, "rnn: x %s must be [T,B,in], with T in 1..%d where norms are within the cell",
                       tare_shape_text(x->shape, &text), TARE_MAX_INPUTS * TARE_MAX_INPUTS);
        return false;
    }
    for (int64_t b = 0; opt->lengths && b < x->shape.dim[1]; b++) {
        if (opt->lengths[b] >= 1 && opt->lengths[b] <= steps) { continue; }
        tare_tape_fail(tape, TARE_EINVAL, "rnn: length %d of sequence %" PRId64 " must lie in 1..%" PRId64,
                       (int)opt->lengths[b], b, steps);
        return false;
    }
    return l->hidden > 0;
}

tare_tensor *tare__rnn_cells(const tare__rnn_layer *l, tare_tape *tape, tare_tensor *x, tare_tensor *h0,
                             tare_tensor *c0, tare_rnn_opt opt) {
    if (!check(l, tape, x, &opt)) { return NULL; }
    int64_t steps = x->shape.dim[0], batch = x->shape.dim[1];
    tare_shape state = TARE_SHAPE(batch, l->hidden);
    tare_tensor *sums = sums_of_inputs(l, tape, x), *part[TARE_MAX_INPUTS], *group[TARE_MAX_INPUTS];
    states s = { h0 ? h0 : zeros(tape, state), c0 ? c0 : zeros(tape, state) };
    int groups = 0, parts = 0;
    for (int64_t t = 0; t < steps; t++) {
        tare_tensor *at = tare_reshape(tape, tare_slice(tape, sums, 0, t, t + 1, 1), TARE_SHAPE(batch, -1));
        s = cell(l, tape, at, s);
        keep_last(&opt, s, t, steps);
        part[parts++] = tare_reshape(tape, s.h, TARE_SHAPE(1, batch, l->hidden));
        if (parts == TARE_MAX_INPUTS || t == steps - 1) {
            group[groups++] = tare_concat(tape, part, parts, 0);
            parts = 0;
        }
    }
    return cut_off(tape, groups == 1 ? group[0] : tare_concat(tape, group, groups, 0), opt.lengths);
}
