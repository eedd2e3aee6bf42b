/* rnn.c - recurrent nets over whole sequences: one product for the inputs of all steps, then step by step the product with the
 * state before and the cell (kernels/rnn.c). The sequences of a batch are shared out among the threads, each of which walks all
 * steps with its own. rnn_back.c has the other direction. */
#include "rnn.h"

#include "../core/gemm.h"

#include <inttypes.h>
#include <string.h>

static int64_t gates_of(tare_rnn_kind kind) { return kind == TARE_LSTM ? 4 : kind == TARE_GRU ? 3 : 1; }
static bool has_cells(tare_rnn_kind kind) { return kind == TARE_LSTM || kind == TARE_GRU; }

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

static const tare_real *data(const tare_node *n, int i) { return n->in[i] ? n->in[i]->data : NULL; }

tare__rnn tare__rnn_of(const tare_node *n) {
    const tare__rnn_attr *attr = n->attr;
    const int64_t *x = n->in[RNN_X]->shape.dim, *w = n->in[RNN_W_HH]->shape.dim;
    tare__rnn r = { .kind = attr->kind, .steps = x[0], .batch = x[1], .in = x[2], .width = w[1], .sums = w[0] };
    r.x = data(n, RNN_X), r.w_ih = data(n, RNN_W_IH), r.w_hh = data(n, RNN_W_HH);
    r.b_ih = data(n, RNN_B_IH), r.b_hh = data(n, RNN_B_HH), r.h0 = data(n, RNN_H0), r.c0 = data(n, RNN_C0);
    r.lengths = attr->opt.lengths;
    r.gates = n->saved ? n->saved : n->scratch;
    r.cells = r.gates && has_cells(r.kind) ? r.gates + r.steps * r.batch * r.sums : NULL;
    r.y = n->out ? n->out->data : NULL;
    return r;
}

static tare_status check_input(tare_node *n, int i, const char *what, tare_shape wanted) {
    tare_shape_buf is, must;
    if (!n->in[i] || tare_shape_equal(n->in[i]->shape, wanted)) { return TARE_OK; }
    return tare_node_fail(n, TARE_ESHAPE, "%s is %s, must be %s", what, tare_shape_text(n->in[i]->shape, &is),
                          tare_shape_text(wanted, &must));
}

static tare_status check_shapes(tare_node *n, tare_rnn_kind kind) {
    tare_shape x = n->in[RNN_X]->shape, w = n->in[RNN_W_HH]->shape;
    tare_shape_buf text;
    if (x.ndim != 3 || x.dim[0] < 1 || x.dim[1] < 1) {
        return tare_node_fail(n, TARE_ESHAPE, "x %s must be [T,B,in], with a step and a sequence at least",
                              tare_shape_text(x, &text));
    }
    int64_t gates = gates_of(kind);
    if (w.ndim != 2 || w.dim[1] < 1 || w.dim[0] != gates * w.dim[1]) {
        return tare_node_fail(n, TARE_ESHAPE, "w_hh %s must be [%" PRId64 "*H,H]", tare_shape_text(w, &text), gates);
    }
    int64_t sums = w.dim[0];
    if (!n->in[RNN_W_IH] && x.dim[2] != sums) {
        return tare_node_fail(n, TARE_ESHAPE, "without w_ih x %s must end in %" PRId64 ", the sums that w_hh makes",
                              tare_shape_text(x, &text), sums);
    }
    tare_shape state = TARE_SHAPE(x.dim[1], w.dim[1]);
    tare_status status = check_input(n, RNN_W_IH, "w_ih", TARE_SHAPE(sums, x.dim[2]));
    if (!status) { status = check_input(n, RNN_B_IH, "b_ih", TARE_SHAPE(sums)); }
    if (!status) { status = check_input(n, RNN_B_HH, "b_hh", TARE_SHAPE(sums)); }
    if (!status) { status = check_input(n, RNN_H0, "h0", state); }
    if (!status) { status = check_input(n, RNN_C0, "c0", state); }
    n->shape = TARE_SHAPE(x.dim[0], x.dim[1], w.dim[1]);
    return status;
}

/* What forward works with beside the gates: zeros for states that were not given, a bias, W_hh turned, and the GRU's h'. */
typedef struct forward_room {
    int64_t zeros, bias, turned, hidden, all;
} forward_room;

static forward_room room_of(const tare__rnn *r, bool grad) {
    forward_room m = { 0 };
    int64_t steps = r->steps * r->batch;
    m.zeros = grad ? 0 : steps * (r->sums + (has_cells(r->kind) ? r->width : 0));
    m.bias = m.zeros + r->batch * r->width;
    m.turned = m.bias + r->sums;
    m.hidden = m.turned + (r->steps > 1 ? tare__rnn_pitch(r->sums) * r->width : 0);
    m.all = m.hidden + (r->kind == TARE_GRU ? r->batch * r->sums : 0);
    return m;
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
    int64_t steps = r.steps * r.batch, state = r.batch * r.width;
    size_t values = (size_t)(steps * (r.sums + (has_cells(r.kind) ? r.width : 0)));
    n->saved_bytes = values * sizeof(tare_real) + (r.lengths ? (size_t)r.batch * sizeof *r.lengths : 0);
    n->scratch_bytes = (size_t)room_of(&r, n->grad).all * sizeof(tare_real);
    n->grad_scratch_bytes = (size_t)(3 * state) * sizeof(tare_real);
    n->macs = (double)steps * (double)r.sums * (double)(r.width + (n->in[RNN_W_IH] ? r.in : 0));
    return TARE_OK;
}

/* ---- the inputs of all steps ------------------------------------------------------------------------------------- */

typedef struct forward_job {
    tare__rnn r;
    const tare_real *bias, *zeros, *turned;
    tare_real *hidden;
    const tare_rnn_opt *opt;
} forward_job;

static void add_bias(void *context, int64_t begin, int64_t end) {
    const forward_job *j = context;
    int64_t at = begin * j->r.sums;
    tare__kernels()->add(end - begin, j->r.sums, (tare__view){ j->r.x + at, j->r.sums, 1 },
                         (tare__view){ j->bias, 0, 1 }, j->r.gates + at, j->r.sums, false);
}

static void sum_inputs(const forward_job *j) {
    const tare__rnn *r = &j->r;
    int64_t rows = r->steps * r->batch;
    if (!r->w_ih) {
        tare_parallel_for(rows, tare__grain((double)r->sums), add_bias, (void *)j);
        return;
    }
    tare__gemm(&(tare__gemm_args){ .trans_b = true,
                                   .m = rows,
                                   .n = r->sums,
                                   .k = r->in,
                                   .alpha = 1,
                                   .a = r->x,
                                   .lda = r->in,
                                   .b = r->w_ih,
                                   .ldb = r->in,
                                   .c = r->gates,
                                   .ldc = r->sums,
                                   .bias_column = j->bias });
}

/* The GRU's b_hh stands inside r (...), so it cannot join the other. */
static void fill_bias(const tare__rnn *r, tare_real *bias) {
    for (int64_t s = 0; s < r->sums; s++) {
        bias[s] = (r->b_ih ? r->b_ih[s] : 0) + (r->b_hh && r->kind != TARE_GRU ? r->b_hh[s] : 0);
    }
}

typedef struct turn_job {
    const tare__rnn *r;
    tare_real *to;
} turn_job;

/* Rows [begin, end) of W_hh^T: many products are worth one transposition. */
static void turn_weight(void *context, int64_t begin, int64_t end) {
    const turn_job *j = context;
    int64_t width = j->r->width, pitch = tare__rnn_pitch(j->r->sums);
    tare__kernels()->copy(end - begin, j->r->sums, j->r->w_hh + begin, 1, width, j->to + begin * pitch, pitch, 1,
                          false);
}

/* ---- step by step ------------------------------------------------------------------------------------------------ */

/* to (+)= h W_hh^T of `rows` sequences */
static void multiply_state(const forward_job *j, int64_t rows, const tare_real *h, tare_real *to) {
    const tare__rnn *r = &j->r;
    bool gru = r->kind == TARE_GRU;
    tare__gemm(&(tare__gemm_args){ .trans_b = !j->turned,
                                   .m = rows,
                                   .n = r->sums,
                                   .k = r->width,
                                   .alpha = 1,
                                   .a = h,
                                   .lda = r->width,
                                   .b = j->turned ? j->turned : r->w_hh,
                                   .ldb = j->turned ? tare__rnn_pitch(r->sums) : r->width,
                                   .beta = !gru,
                                   .c = to,
                                   .ldc = r->sums,
                                   .bias_column = gru ? r->b_hh : NULL });
}

/* The cells of rows [row, row + rows) at a step. */
static void run_cells(const forward_job *j, int64_t step, int64_t row, int64_t rows, const tare_real *h) {
    const tare__kernel_table *kernels = tare__kernels();
    const tare__rnn *r = &j->r;
    int64_t at = step * r->batch + row, width = r->width;
    tare_real *gates = r->gates + at * r->sums, *y = r->y + at * width;
    if (r->kind == TARE_LSTM) {
        const tare_real *before = step ? r->cells + (at - r->batch) * width : (r->c0 ? r->c0 : j->zeros) + row * width;
        kernels->lstm(rows, width, gates, before, r->cells + at * width, y);
    } else if (r->kind == TARE_GRU) {
        kernels->gru(rows, width, gates, j->hidden + row * r->sums, h, r->cells + at * width, y);
    } else {
        (r->kind == TARE_RNN_TANH ? kernels->tanh : kernels->relu)(rows * width, 0, gates, y);
    }
}

static void forward_step(const forward_job *j, int64_t step, int64_t begin, int64_t end) {
    const tare__rnn *r = &j->r;
    int64_t at = step * r->batch + begin, width = r->width;
    const tare_real *h = step ? r->y + (at - r->batch) * width : (r->h0 ? r->h0 : j->zeros) + begin * width;
    multiply_state(j, end - begin, h, r->kind == TARE_GRU ? j->hidden + begin * r->sums : r->gates + at * r->sums);
    if (!r->lengths) {
        run_cells(j, step, begin, end - begin, h);
        return;
    }
    for (int64_t row = begin; row < end; row++) {
        if (tare__rnn_runs(r, step, row)) {
            run_cells(j, step, row, 1, h + (row - begin) * width);
        } else {
            memset(r->y + (step * r->batch + row) * width, 0, (size_t)width * sizeof *r->y);
        }
    }
}

static void forward_rows(void *context, int64_t begin, int64_t end) {
    const forward_job *j = context;
    const tare__rnn *r = &j->r;
    for (int64_t step = 0; step < r->steps; step++) { forward_step(j, step, begin, end); }
    for (int64_t row = begin; row < end; row++) {
        int64_t last = ((r->lengths ? r->lengths[row] : r->steps) - 1) * r->batch + row;
        size_t bytes = (size_t)r->width * sizeof(tare_real);
        if (j->opt->h_last) { memcpy(j->opt->h_last + row * r->width, r->y + last * r->width, bytes); }
        if (j->opt->c_last) { memcpy(j->opt->c_last + row * r->width, r->cells + last * r->width, bytes); }
    }
}

static void forward(tare_node *n) {
    forward_job j = { .r = tare__rnn_of(n), .opt = &((const tare__rnn_attr *)n->attr)->opt };
    tare__rnn *r = &j.r;
    forward_room m = room_of(r, n->grad);
    tare_real *scratch = n->scratch, *bias = scratch + m.bias;
    j.hidden = scratch + m.hidden;
    j.zeros = memset(scratch + m.zeros, 0, (size_t)(r->batch * r->width) * sizeof *scratch);
    fill_bias(r, bias);
    j.bias = bias;
    if (n->saved && r->lengths) { /* the caller's need not outlive the call */
        memcpy(r->gates + r->steps * r->batch * (r->sums + (r->cells ? r->width : 0)), r->lengths,
               (size_t)r->batch * sizeof *r->lengths);
    }
    sum_inputs(&j);
    if (r->steps > 1) {
        j.turned = scratch + m.turned;
        tare_parallel_for(r->width, 16, turn_weight, &(turn_job){ r, scratch + m.turned });
    }
    tare_parallel_for(r->batch, tare__rnn_chunk(r->batch), forward_rows, &j);
}

/* ---- cases ------------------------------------------------------------------------------------------------------- */

static const int32_t lengths[] = { 2, 5, 3 };

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
    .forward = forward,
    .backward = tare__rnn_backward,
    .cases = cases,
};

tare_tensor *tare_rnn(tare_tape *t, tare_rnn_kind kind, tare_tensor *x, tare_rnn_weights w, tare_tensor *h0,
                      tare_tensor *c0, tare_rnn_opt opt) {
    if (!x) { return NULL; }
    return tare_apply(t, &tare_op_rnn, (tare_tensor *[]){ x, w.w_hh, w.w_ih, w.b_ih, w.b_hh, h0, c0 }, RNN_INPUTS,
                      &(tare__rnn_attr){ kind, opt });
}
