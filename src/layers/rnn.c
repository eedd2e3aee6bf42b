/* rnn.c - recurrent nets of several layers, their states between stretches of a sequence, and their norms. */
#include "rnn.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_LAYERS = 8 };

typedef struct rnn {
    tare_layer base; /* children: the norms */
    tare__rnn_layer layer[MOST_LAYERS];
    tare_rnn_kind kind;
    int layers;
    int64_t in, hidden;
    double dropout;
    bool batch_first;
    const tare_sequence *sequence;
    tare_rnn_state *state; /* the caller's, or NULL */
} rnn;

struct tare_rnn_state {
    const tare_layer *layer;
    int64_t batch, count; /* count: numbers of one kind in one layer */
    int layers;
    tare_real *h, *c; /* [layers,B,hidden]; c: NULL but for an LSTM */
};

static int64_t gates_of(tare_rnn_kind kind) { return kind == TARE_LSTM ? 4 : kind == TARE_GRU ? 3 : 1; }

static const char *const kind_names[] = { "tanh", "relu", "gru", "lstm" };

/* ---- forward ----------------------------------------------------------------------------------------------------- */

static tare_tensor *normed_input(const tare__rnn_layer *l, tare_tape *tape, tare_tensor *x) {
    tare_tensor *rows = tare_reshape(tape, x, TARE_SHAPE(-1, x->shape.dim[2]));
    tare_tensor *sums = tare_forward(l->norm_ih, tape, tare_linear(tape, rows, l->w.w_ih, NULL));
    return tare_reshape(tape, sums, TARE_SHAPE(x->shape.dim[0], x->shape.dim[1], -1));
}

/* The states that layer i starts from; opt says where its last ones go. */
static void carried(const rnn *r, int i, tare_tape *tape, tare_rnn_opt *opt, tare_tensor **h0, tare_tensor **c0) {
    tare_rnn_state *s = r->state;
    opt->lengths = r->sequence ? r->sequence->lengths : NULL;
    *h0 = *c0 = NULL;
    if (!s) { return; }
    if (tare_tape_repeats(tape)) {
        tare_tape_fail(tape, TARE_EINVAL, "rnn \"%s\": its state has moved on, so it cannot be recomputed",
                       r->base.name);
        return;
    }
    tare_shape shape = TARE_SHAPE(s->batch, r->hidden);
    opt->h_last = s->h + i * s->count;
    opt->c_last = s->c ? s->c + i * s->count : NULL;
    *h0 = tare_input(tape, shape, opt->h_last);
    *c0 = s->c ? tare_input(tape, shape, opt->c_last) : NULL;
}

static tare_rnn_weights without_input(tare_rnn_weights w) {
    w.w_ih = NULL;
    return w;
}

/* The first layer where x holds rows of an embedding: W_ih times the table, once, in place of W_ih times every step's row.
 * NULL where it does not, or where the table has more rows than would save much. */
static tare_tensor *run_table(const rnn *r, tare_tape *tape, tare_tensor *x) {
    const tare__rnn_layer *l = &r->layer[0];
    tare_rnn_opt opt = { .batch_first = r->batch_first };
    tare_tensor *h0, *c0, *table = l->norm_ih || l->norm_hh ? NULL : tare_embedding_of(x, &opt.index);
    opt.steps = x->shape.dim[r->batch_first], opt.batch = x->shape.dim[!r->batch_first];
    if (!table || 2 * table->shape.dim[0] > opt.steps * opt.batch) { return NULL; }
    carried(r, 0, tape, &opt, &h0, &c0);
    tare_tensor *sums = tare_linear(tape, table, l->w.w_ih, NULL);
    return tare_rnn(tape, r->kind, sums, without_input(l->w), h0, c0, opt);
}

static tare_tensor *run_layer(const rnn *r, int i, tare_tape *tape, tare_tensor *x) {
    const tare__rnn_layer *l = &r->layer[i];
    tare_rnn_opt opt = { 0 };
    tare_tensor *h0, *c0;
    carried(r, i, tape, &opt, &h0, &c0);
    if (l->norm_hh) { return tare__rnn_cells(l, tape, x, h0, c0, opt); }
    if (!l->norm_ih) { return tare_rnn(tape, r->kind, x, l->w, h0, c0, opt); }
    tare_tensor *sums = normed_input(l, tape, x);
    tare_tensor *y = tare_rnn(tape, r->kind, sums, without_input(l->w), h0, c0, opt);
    tare_release(tape, sums);
    return y;
}

/* All layers, steps first; `done`: what the first one returned, or NULL. */
static tare_tensor *run_layers(const rnn *r, tare_tape *tape, tare_tensor *x, tare_tensor *done) {
    tare_tensor *y = x;
    for (int i = 0; i < r->layers && y; i++) {
        tare_tensor *from = y;
        y = i == 0 && done ? done : run_layer(r, i, tape, from);
        if (from != x) { tare_release(tape, from); }
        if (r->dropout > 0 && i + 1 < r->layers) {
            tare_tensor *left = tare_dropout(tape, y, r->dropout);
            tare_release(tape, y);
            y = left;
        }
    }
    return y;
}

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    const rnn *r = (const rnn *)self;
    tare_shape_buf text;
    if (x->shape.ndim != 3 || x->shape.dim[2] != r->in) {
        return tare_tape_fail(tape, TARE_ESHAPE, "rnn \"%s\": x %s must be [%s,%" PRId64 "]", self->name,
                              tare_shape_text(x->shape, &text), r->batch_first ? "B,T" : "T,B", r->in);
    }
    int64_t batch = x->shape.dim[r->batch_first ? 0 : 1];
    if (r->state && r->state->batch != batch) {
        return tare_tape_fail(tape, TARE_ESHAPE,
                              "rnn \"%s\": x %s has %" PRId64 " sequences, the state carried %" PRId64, self->name,
                              tare_shape_text(x->shape, &text), batch, r->state->batch);
    }
    tare_tensor *first = run_table(r, tape, x);
    if (!r->batch_first) { return run_layers(r, tape, x, first); }
    tare_tensor *turned = first ? x : tare_transpose(tape, x, 0, 1), *y = run_layers(r, tape, turned, first);
    if (turned != x) { tare_release(tape, turned); }
    tare_tensor *out = tare_transpose(tape, y, 0, 1);
    tare_release(tape, y);
    return out;
}

static void describe(const tare_layer *self, char *text, size_t size) {
    const rnn *r = (const rnn *)self;
    snprintf(text, size, "%s, %" PRId64 " -> %" PRId64 ", %d layer%s", kind_names[r->kind], r->in, r->hidden, r->layers,
             r->layers > 1 ? "s" : "");
}

static const tare_layer_class rnn_class = { .name = "rnn", .forward = forward, .describe = describe };

/* ---- making one -------------------------------------------------------------------------------------------------- */

/* A norm of activations: one of weights would be passed over in silence. */
static bool norm_ok(tare_params *ps, const char *name, const char *spec) {
    if (!spec) { return true; }
    if (tare_norm_check(spec)) {
        tare_params_fail(ps, TARE_EINVAL, "%s", tare_error());
        return false;
    }
    char first[16];
    snprintf(first, sizeof first, "%.*s", (int)strcspn(spec, ":+"), spec);
    const tare_norm_kind *kind = tare_norm_kind_find(first);
    if (strchr(spec, '+') || (kind && kind->transform)) {
        tare_params_fail(ps, TARE_EINVAL, "rnn \"%s\": \"%s\" normalises weights, which is not to be had here", name,
                         spec);
    }
    return tare_params_status(ps) == TARE_OK;
}

static bool options_ok(tare_params *ps, const rnn *r, const tare_layer_rnn_opt *opt) {
    const char *name = r->base.name;
    if (r->kind < TARE_RNN_TANH || r->kind > TARE_LSTM) {
        tare_params_fail(ps, TARE_EINVAL, "rnn \"%s\": there is no kind %d", name, (int)r->kind);
    } else if (r->in < 1 || r->hidden < 1) {
        tare_params_fail(ps, TARE_EINVAL, "rnn \"%s\": %" PRId64 " -> %" PRId64 ", both must be 1 or more", name, r->in,
                         r->hidden);
    } else if (r->layers < 1 || r->layers > MOST_LAYERS) {
        tare_params_fail(ps, TARE_EINVAL, "rnn \"%s\": %d layers, must be 1..%d", name, r->layers, MOST_LAYERS);
    } else if (!(r->dropout >= 0 && r->dropout <= 1)) {
        tare_params_fail(ps, TARE_EINVAL, "rnn \"%s\": dropout is %g, must lie in 0..1", name, r->dropout);
    } else if (opt->input_norm && opt->cell_norm) {
        tare_params_fail(ps, TARE_EINVAL, "rnn \"%s\": input_norm and cell_norm exclude each other", name);
    }
    return tare_params_status(ps) == TARE_OK && norm_ok(ps, name, opt->input_norm) && norm_ok(ps, name, opt->cell_norm);
}

/* "weight_ih_l" and 1: the parameter weight_ih_l1. */
static tare_tensor *param(tare_params *ps, const char *stem, int i, tare_shape shape, unsigned flags, int64_t hidden) {
    char name[32];
    snprintf(name, sizeof name, "%s%d", stem, i);
    tare_tensor *w = tare_param(ps, name, shape, flags);
    double bound = 1 / sqrt((double)hidden);
    tare_init_uniform(ps, w, -bound, bound);
    return w;
}

static tare_layer *norm_layer(tare_params *ps, const char *stem, int i, const char *spec, int64_t width) {
    char name[32];
    snprintf(name, sizeof name, "%s%d", stem, i);
    return spec ? tare_norm_layer(ps, name, spec, TARE_SHAPE(width)) : NULL;
}

static void make_layer(tare_params *ps, rnn *r, int i, const tare_layer_rnn_opt *opt) {
    tare__rnn_layer *l = &r->layer[i];
    int64_t sums = gates_of(r->kind) * r->hidden, in = i ? r->hidden : r->in;
    *l = (tare__rnn_layer){ .kind = r->kind, .hidden = r->hidden };
    l->w.w_ih = param(ps, "weight_ih_l", i, TARE_SHAPE(sums, in), 0, r->hidden);
    l->w.w_hh = param(ps, "weight_hh_l", i, TARE_SHAPE(sums, r->hidden), 0, r->hidden);
    if (!opt->no_bias) {
        l->w.b_ih = param(ps, "bias_ih_l", i, TARE_SHAPE(sums), TARE_NO_DECAY, r->hidden);
        l->w.b_hh = param(ps, "bias_hh_l", i, TARE_SHAPE(sums), TARE_NO_DECAY, r->hidden);
    }
    l->norm_ih = norm_layer(ps, "norm_ih_l", i, opt->cell_norm ? opt->cell_norm : opt->input_norm, sums);
    l->norm_hh = norm_layer(ps, "norm_hh_l", i, opt->cell_norm, sums);
    l->norm_c = r->kind == TARE_LSTM ? norm_layer(ps, "norm_c_l", i, opt->cell_norm, r->hidden) : NULL;
}

tare_layer *tare_layer_rnn(tare_params *ps, const char *name, tare_rnn_kind kind, int64_t in, int64_t hidden,
                           tare_layer_rnn_opt opt) {
    if (!name) { name = rnn_class.name; }
    rnn *r = (rnn *)tare_layer_new(ps, name, &rnn_class, sizeof *r);
    if (!r) { return NULL; }
    r->kind = kind, r->in = in, r->hidden = hidden;
    r->layers = opt.layers ? opt.layers : 1;
    r->dropout = opt.dropout;
    r->batch_first = opt.batch_first;
    r->sequence = opt.sequence;
    if (!options_ok(ps, r, &opt)) { return NULL; }
    tare_layer *norms[3 * MOST_LAYERS];
    int n = 0;
    tare_params_push(ps, name);
    for (int i = 0; i < r->layers && !tare_params_status(ps); i++) {
        make_layer(ps, r, i, &opt);
        if (r->layer[i].norm_ih) { norms[n++] = r->layer[i].norm_ih; }
        if (r->layer[i].norm_hh) { norms[n++] = r->layer[i].norm_hh; }
        if (r->layer[i].norm_c) { norms[n++] = r->layer[i].norm_c; }
    }
    tare_params_pop(ps);
    return tare_params_status(ps) || tare_layer_adopt(&r->base, norms, n) ? NULL : &r->base;
}

/* ---- states ------------------------------------------------------------------------------------------------------ */

tare_rnn_state *tare_rnn_state_new(const tare_layer *layer, int64_t batch) {
    if (!layer || layer->cls != &rnn_class || batch < 1) {
        tare_fail(TARE_EINVAL, "rnn state: %" PRId64 " sequences of \"%s\", which must be a recurrent net", batch,
                  layer ? layer->name : "NULL");
        return NULL;
    }
    const rnn *r = (const rnn *)layer;
    int kinds = r->kind == TARE_LSTM ? 2 : 1;
    int64_t count = tare_shape_numel(TARE_SHAPE(batch, r->hidden));
    tare_rnn_state *s = tare_calloc(1, sizeof *s);
    if (!s) { return NULL; }
    *s = (tare_rnn_state){ .layer = layer, .batch = batch, .count = count, .layers = r->layers };
    s->h = count > 0 ? tare_calloc((size_t)count, (size_t)(kinds * r->layers) * sizeof *s->h) : NULL;
    if (!s->h) {
        tare_free(s);
        return NULL;
    }
    s->c = kinds == 2 ? s->h + r->layers * count : NULL;
    return s;
}

void tare_rnn_state_free(tare_rnn_state *state) {
    if (!state) { return; }
    tare_free(state->h);
    tare_free(state);
}

tare_real *tare_rnn_state_data(tare_rnn_state *state, int64_t *count) {
    *count = state->layers * state->count * (state->c ? 2 : 1);
    return state->h;
}

void tare_rnn_state_zero(tare_rnn_state *state) {
    int64_t count;
    tare_real *data = tare_rnn_state_data(state, &count);
    memset(data, 0, (size_t)count * sizeof *data);
}

tare_status tare_layer_rnn_carry(tare_layer *layer, tare_rnn_state *state) {
    if (!layer || layer->cls != &rnn_class || (state && state->layer != layer)) {
        return tare_fail(TARE_EINVAL, "rnn carry: the state was not made for \"%s\"", layer ? layer->name : "NULL");
    }
    ((rnn *)layer)->state = state;
    return TARE_OK;
}
