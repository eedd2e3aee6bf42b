/* rnn.c - recurrent nets over whole sequences as one op: shapes and cases. rnn_forward.c and rnn_back.c do the work, rnn_walk.c
 * shares it out. */
#include "rnn.h"

#include <inttypes.h>

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

static const tare_real *data(const tare_node *n, int i) { return n->in[i] ? n->in[i]->data : NULL; }

int64_t tare__rnn_values(const tare__rnn *r) {
    return r->steps * r->batch * (r->pitch + (tare__rnn_has_cells(r->kind) ? r->width : 0));
}

/* Rows of the gates are no power of two apart: that would put a whole column into one set of the cache. */
static int64_t pitch_of(int64_t sums) { return sums % 256 == 0 ? sums + 16 : sums; }

tare__rnn tare__rnn_of(const tare_node *n) {
    const tare__rnn_attr *attr = n->attr;
    const tare_rnn_opt *opt = &attr->opt;
    const int64_t *x = n->in[RNN_X]->shape.dim, *w = n->in[RNN_W_HH]->shape.dim;
    tare__rnn r = { .kind = attr->kind, .width = w[1], .sums = w[0], .pitch = pitch_of(w[0]) };
    r.steps = opt->index ? opt->steps : x[0], r.batch = opt->index ? opt->batch : x[1], r.in = opt->index ? x[0] : x[2];
    r.x = data(n, RNN_X), r.w_ih = data(n, RNN_W_IH), r.w_hh = data(n, RNN_W_HH);
    r.b_ih = data(n, RNN_B_IH), r.b_hh = data(n, RNN_B_HH), r.h0 = data(n, RNN_H0), r.c0 = data(n, RNN_C0);
    r.lengths = opt->lengths;
    r.index = opt->index;
    r.index_step = opt->batch_first ? 1 : r.batch, r.index_row = opt->batch_first ? r.steps : 1;
    r.gates = n->saved ? n->saved : n->scratch;
    r.cells = r.gates && tare__rnn_has_cells(r.kind) ? r.gates + r.steps * r.batch * r.pitch : NULL;
    r.y = n->out ? n->out->data : NULL;
    return r;
}

void tare__rnn_kept(tare__rnn *r) {
    const int32_t *kept = (const int32_t *)(const void *)(r->gates + tare__rnn_values(r));
    if (r->index) { r->index = kept + (r->lengths ? r->batch : 0); }
    if (r->lengths) { r->lengths = kept; }
}

static tare_status check_input(tare_node *n, int i, const char *what, tare_shape wanted) {
    tare_shape_buf is, must;
    if (!n->in[i] || tare_shape_equal(n->in[i]->shape, wanted)) { return TARE_OK; }
    return tare_node_fail(n, TARE_ESHAPE, "%s is %s, must be %s", what, tare_shape_text(n->in[i]->shape, &is),
                          tare_shape_text(wanted, &must));
}

/* x as a table and an index into it: what sizes they make. */
static tare_status check_index(tare_node *n, const tare_rnn_opt *opt, tare_shape *x) {
    tare_shape_buf text;
    if (n->in[RNN_W_IH] || x->ndim != 2 || opt->steps < 1 || opt->batch < 1) {
        return tare_node_fail(n, TARE_ESHAPE,
                              "x %s must be a table [rows,G*H] for an index [%" PRId64 ",%" PRId64 "], without w_ih",
                              tare_shape_text(*x, &text), opt->steps, opt->batch);
    }
    for (int64_t i = 0; i < opt->steps * opt->batch; i++) {
        if (opt->index[i] < 0 || opt->index[i] >= x->dim[0]) {
            return tare_node_fail(n, TARE_EINVAL,
                                  "index %d at position %" PRId64 " is outside the table of %" PRId64 " rows",
                                  (int)opt->index[i], i, x->dim[0]);
        }
    }
    *x = TARE_SHAPE(opt->steps, opt->batch, x->dim[1]);
    return TARE_OK;
}

static tare_status check_shapes(tare_node *n, tare_rnn_kind kind) {
    tare_shape x = n->in[RNN_X]->shape, w = n->in[RNN_W_HH]->shape;
    const tare_rnn_opt *opt = &((const tare__rnn_attr *)n->attr)->opt;
    tare_shape_buf text;
    tare_status status = opt->index ? check_index(n, opt, &x) : TARE_OK;
    if (status) { return status; }
    if (x.ndim != 3 || x.dim[0] < 1 || x.dim[1] < 1) {
        return tare_node_fail(n, TARE_ESHAPE, "x %s must be [T,B,in], with a step and a sequence at least",
                              tare_shape_text(x, &text));
    }
    int64_t gates = tare__rnn_gates(kind);
    if (w.ndim != 2 || w.dim[1] < 1 || w.dim[0] != gates * w.dim[1]) {
        return tare_node_fail(n, TARE_ESHAPE, "w_hh %s must be [%" PRId64 "*H,H]", tare_shape_text(w, &text), gates);
    }
    int64_t sums = w.dim[0];
    if (!n->in[RNN_W_IH] && x.dim[2] != sums) {
        return tare_node_fail(n, TARE_ESHAPE, "without w_ih x %s must end in %" PRId64 ", the sums that w_hh makes",
                              tare_shape_text(x, &text), sums);
    }
    tare_shape state = TARE_SHAPE(x.dim[1], w.dim[1]);
    status = check_input(n, RNN_W_IH, "w_ih", TARE_SHAPE(sums, x.dim[2]));
    if (!status) { status = check_input(n, RNN_B_IH, "b_ih", TARE_SHAPE(sums)); }
    if (!status) { status = check_input(n, RNN_B_HH, "b_hh", TARE_SHAPE(sums)); }
    if (!status) { status = check_input(n, RNN_H0, "h0", state); }
    if (!status) { status = check_input(n, RNN_C0, "c0", state); }
    n->shape = TARE_SHAPE(x.dim[0], x.dim[1], w.dim[1]);
    return status;
}

static tare_status check(tare_node *n) {
    const tare__rnn_attr *attr = n->attr;
    if (attr->kind < TARE_RNN_TANH || attr->kind > TARE_LSTM) {
        return tare_node_fail(n, TARE_EINVAL, "there is no kind %d", (int)attr->kind);
    }
    if (attr->kind != TARE_LSTM && (n->in[RNN_C0] || attr->opt.c_last)) {
        return tare_node_fail(n, TARE_EINVAL, "only an LSTM has a state c");
    }
    tare_status status = check_shapes(n, attr->kind);
    if (status) { return status; }
    tare__rnn r = tare__rnn_of(n);
    for (int64_t b = 0; r.lengths && b < r.batch; b++) {
        if (r.lengths[b] < 1 || r.lengths[b] > r.steps) {
            return tare_node_fail(n, TARE_EINVAL, "length %d of sequence %" PRId64 " must lie in 1..%" PRId64,
                                  (int)r.lengths[b], b, r.steps);
        }
    }
    size_t kept = (r.lengths ? (size_t)r.batch : 0) + (r.index ? (size_t)(r.steps * r.batch) : 0);
    n->saved_bytes = (size_t)tare__rnn_values(&r) * sizeof(tare_real) + kept * sizeof(int32_t);
    n->scratch_bytes = (size_t)tare__rnn_forward_room(&r, n->grad) * sizeof(tare_real);
    n->grad_scratch_bytes = (size_t)tare__rnn_backward_room(&r) * sizeof(tare_real);
    n->macs = (double)(r.steps * r.batch) * (double)r.sums * (double)(r.width + (n->in[RNN_W_IH] ? r.in : 0));
    n->grad_macs = 2 * n->macs; /* to states and weights */
    if (n->in[RNN_W_IH] && !(n->in[RNN_X] && n->in[RNN_X]->requires_grad)) {
        n->grad_macs -= (double)(r.steps * r.batch) * (double)r.sums * (double)r.in;
    }
    return TARE_OK;
}

/* ---- cases ------------------------------------------------------------------------------------------------------- */

static const int32_t lengths[] = { 2, 5, 3 };
static const int32_t indices[] = { 3, 1, 1, 0, 3, 3, 1, 0, 1, 3 };

#define INPUTS(t, b, i, h, g)                                                                                          \
    .in = { { 3, { t, b, i } },   { 2, { (g) * (h), h } }, { 2, { (g) * (h), i } }, { 1, { (g) * (h) } },              \
            { 1, { (g) * (h) } }, { 2, { b, h } },         { 2, { b, h } } }
#define ATTR(k, ...)                                                                                                   \
    .attr = &(const tare__rnn_attr) {                                                                                  \
        .kind = (k), .opt = { __VA_ARGS__ }                                                                            \
    }
enum { NO_W_IH = 4, NO_BIAS = 8 | 16, NO_H0 = 32, NO_C0 = 64, NO_STATE = NO_H0 | NO_C0 };

static const tare_opcase cases[] = {
    { .name = "tanh", INPUTS(4, 3, 2, 5, 1), .absent = NO_C0, ATTR(TARE_RNN_TANH, .lengths = NULL) },
    { .name = "relu", INPUTS(3, 2, 4, 3, 1), .absent = NO_STATE, ATTR(TARE_RNN_RELU, .lengths = NULL) },
    { .name = "tanh_lengths", INPUTS(5, 3, 2, 4, 1), .absent = NO_C0, ATTR(TARE_RNN_TANH, .lengths = lengths) },
    { .name = "gru", INPUTS(4, 3, 2, 5, 3), .absent = NO_C0, ATTR(TARE_GRU, .lengths = NULL) },
    { .name = "gru_plain", INPUTS(3, 2, 3, 4, 3), .absent = NO_BIAS | NO_STATE, ATTR(TARE_GRU, .lengths = NULL) },
    { .name = "gru_lengths", INPUTS(5, 3, 2, 4, 3), .absent = NO_C0, ATTR(TARE_GRU, .lengths = lengths) },
    { .name = "gru_summed", INPUTS(3, 2, 12, 4, 3), .absent = NO_W_IH | NO_C0, ATTR(TARE_GRU, .lengths = NULL) },
    { .name = "lstm", INPUTS(4, 3, 2, 5, 4), ATTR(TARE_LSTM, .lengths = NULL) },
    { .name = "lstm_plain", INPUTS(3, 2, 3, 4, 4), .absent = NO_BIAS | NO_STATE, ATTR(TARE_LSTM, .lengths = NULL) },
    { .name = "lstm_lengths", INPUTS(5, 3, 2, 4, 4), ATTR(TARE_LSTM, .lengths = lengths) },
    { .name = "lstm_summed",
      INPUTS(3, 2, 16, 4, 4),
      .absent = NO_W_IH | NO_BIAS | NO_STATE,
      ATTR(TARE_LSTM, .lengths = NULL) },
    { .name = "lstm_wide", INPUTS(2, 19, 3, 17, 4), .absent = NO_C0, ATTR(TARE_LSTM, .lengths = NULL) },
    { .name = "lstm_one_step", INPUTS(1, 2, 3, 4, 4), ATTR(TARE_LSTM, .lengths = NULL) },
    { .name = "lstm_table",
      .in = { { 2, { 4, 12 } }, { 2, { 12, 3 } }, { 0, { 0 } }, { 1, { 12 } }, { 1, { 12 } }, { 2, { 2, 3 } } },
      .absent = NO_W_IH | NO_C0,
      ATTR(TARE_LSTM, .index = indices, .steps = 5, .batch = 2) },
    { .name = "gru_table",
      .in = { { 2, { 4, 9 } }, { 2, { 9, 3 } }, { 0, { 0 } }, { 1, { 9 } }, { 1, { 9 } } },
      .absent = NO_W_IH | NO_STATE,
      ATTR(TARE_GRU, .index = indices, .steps = 5, .batch = 2, .batch_first = true) },
    { .name = "relu_table",
      .in = { { 2, { 4, 3 } }, { 2, { 3, 3 } } },
      .absent = NO_W_IH | NO_BIAS | NO_STATE,
      ATTR(TARE_RNN_RELU, .index = indices, .steps = 5, .batch = 2) },
    { .name = NULL },
};

const tare_op tare_op_rnn = {
    .name = "rnn",
    .n_in = RNN_INPUTS,
    .n_optional = 5,
    .attr_size = sizeof(tare__rnn_attr),
    .flags = TARE_OP_FRESH,
    .reads = TARE_READS_IN(RNN_X) | TARE_READS_IN(RNN_W_HH) | TARE_READS_IN(RNN_W_IH) | TARE_READS_IN(RNN_H0) |
             TARE_READS_IN(RNN_C0) | TARE_READS_OUT,
    .check = check,
    .forward = tare__rnn_forward,
    .backward = tare__rnn_backward,
    .cases = cases,
};

tare_tensor *tare_rnn(tare_tape *t, tare_rnn_kind kind, tare_tensor *x, tare_rnn_weights w, tare_tensor *h0,
                      tare_tensor *c0, tare_rnn_opt opt) {
    if (!x) { return NULL; }
    return tare_apply(t, &tare_op_rnn, (tare_tensor *[]){ x, w.w_hh, w.w_ih, w.b_ih, w.b_hh, h0, c0 }, RNN_INPUTS,
                      &(tare__rnn_attr){ kind, opt });
}
