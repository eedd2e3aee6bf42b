/* rnn_back.c - backpropagation through time: step by step back to the gradients of the sums of all gates, the sequences of the
 * batch shared out among the threads; then one product each for the weights and for x. */
#include "rnn.h"

#include <string.h>

typedef struct back_job {
    tare__rnn r;
    const tare_real *dy, *zeros;
    tare_real *dh, *dc; /* [B,H]: what reaches the states at the step at hand from the one after */
} back_job;

/* ---- step by step ------------------------------------------------------------------------------------------------ */

static void cells_back(const back_job *j, int64_t step, int64_t row, int64_t rows) {
    const tare__kernel_table *kernels = tare__kernels();
    const tare__rnn *r = &j->r;
    int64_t at = step * r->batch + row, width = r->width;
    tare_real *gates = r->gates + at * r->sums, *dh = j->dh + row * width;
    const tare_real *dy = j->dy + at * width, *y = r->y + at * width;
    if (r->kind == TARE_LSTM) {
        const tare_real *before = step ? r->cells + (at - r->batch) * width : (r->c0 ? r->c0 : j->zeros) + row * width;
        kernels->lstm_back(rows, width, gates, before, r->cells + at * width, dy, dh, j->dc + row * width);
    } else if (r->kind == TARE_GRU) {
        const tare_real *before = step ? r->y + (at - r->batch) * width : (r->h0 ? r->h0 : j->zeros) + row * width;
        kernels->gru_back(rows, width, gates, r->cells + at * width, before, dy, dh);
    } else {
        kernels->copy(1, rows * width, dy, 0, 1, dh, 0, 1, true);
        (r->kind == TARE_RNN_TANH ? kernels->tanh_back : kernels->relu_back)(rows * width, 0, y, dh, gates, false);
    }
}

/* What reaches the state before a step through its product with W_hh. */
static void state_back(const back_job *j, int64_t step, int64_t begin, int64_t end) {
    const tare__rnn *r = &j->r;
    int64_t at = step * r->batch + begin, rows = end - begin, width = r->width;
    const tare_real *sums = r->gates + at * r->sums;
    tare_real *dh = j->dh + begin * width;
    if (r->kind == TARE_GRU) {
        tare_gemm(false, false, rows, width, 2 * width, 1, sums, r->sums, r->w_hh, width, 1, dh, width);
        tare_gemm(false, false, rows, width, width, 1, r->cells + at * width, width, r->w_hh + 2 * width * width, width,
                  1, dh, width);
    } else {
        tare_gemm(false, false, rows, width, r->sums, 1, sums, r->sums, r->w_hh, width, 0, dh, width);
    }
}

/* Behind its end nothing reaches a sequence. */
static void row_back(const back_job *j, int64_t step, int64_t row) {
    const tare__rnn *r = &j->r;
    int64_t at = step * r->batch + row;
    if (tare__rnn_runs(r, step, row)) {
        cells_back(j, step, row, 1);
        return;
    }
    memset(r->gates + at * r->sums, 0, (size_t)r->sums * sizeof *r->gates);
    if (r->kind == TARE_GRU) { memset(r->cells + at * r->width, 0, (size_t)r->width * sizeof *r->cells); }
}

static void backward_rows(void *context, int64_t begin, int64_t end) {
    const back_job *j = context;
    for (int64_t step = j->r.steps - 1; step >= 0; step--) {
        if (!j->r.lengths) {
            cells_back(j, step, begin, end - begin);
        } else {
            for (int64_t row = begin; row < end; row++) { row_back(j, step, row); }
        }
        state_back(j, step, begin, end);
    }
}

/* ---- weights, inputs, states ------------------------------------------------------------------------------------- */

/* Rows [first, first + rows) of dW_hh, from gradients of their sums: [T,B,...], `pitch` apart. */
static void recurrent_weight(const tare_node *n, const tare__rnn *r, const tare_real *sums, int64_t pitch,
                             int64_t first, int64_t rows) {
    tare_real *dw = tare_grad(n, RNN_W_HH) + first * r->width;
    tare_gemm(true, false, rows, r->width, (r->steps - 1) * r->batch, 1, sums + r->batch * pitch, pitch, r->y, r->width,
              tare_grad_add(n, RNN_W_HH), dw, r->width);
    if (r->h0) { tare_gemm(true, false, rows, r->width, r->batch, 1, sums, pitch, r->h0, r->width, 1, dw, r->width); }
}

typedef struct columns_job {
    int64_t rows, pitch;
    const tare_real *from;
    tare_real *to;
    bool add;
} columns_job;

enum { COLUMNS = 64 };

static void sum_columns(void *context, int64_t begin, int64_t end) {
    const columns_job *j = context;
    for (; begin < end; begin += COLUMNS) {
        double sums[COLUMNS] = { 0 };
        int64_t columns = tare__min(COLUMNS, end - begin);
        tare__kernels()->sum_cols(j->rows, columns, j->from + begin, j->pitch, sums);
        for (int64_t c = 0; c < columns; c++) {
            j->to[begin + c] = (tare_real)sums[c] + (j->add ? j->to[begin + c] : 0);
        }
    }
}

static void bias(const tare_node *n, int input, const tare__rnn *r, const tare_real *sums, int64_t pitch, int64_t first,
                 int64_t columns) {
    tare_real *db = n->in[input] ? tare_grad(n, input) : NULL;
    if (!db) { return; }
    columns_job job = { r->steps * r->batch, pitch, sums, db + first, tare_grad_add(n, input) };
    tare_parallel_for(columns, tare__ceil_div(tare__grain((double)job.rows), COLUMNS) * COLUMNS, sum_columns, &job);
}

static void copy_gradient(const tare_node *n, int input, const tare_real *from) {
    tare_real *to = n->in[input] ? tare_grad(n, input) : NULL;
    if (to) { tare__kernels()->copy(1, n->in[input]->numel, from, 0, 1, to, 0, 1, tare_grad_add(n, input)); }
}

static void inputs(const tare_node *n, const tare__rnn *r) {
    int64_t rows = r->steps * r->batch;
    tare_real *dx = tare_grad(n, RNN_X), *dw = n->in[RNN_W_IH] ? tare_grad(n, RNN_W_IH) : NULL;
    if (!r->w_ih) {
        copy_gradient(n, RNN_X, r->gates);
    } else if (dx) {
        tare_gemm(false, false, rows, r->in, r->sums, 1, r->gates, r->sums, r->w_ih, r->in, tare_grad_add(n, RNN_X), dx,
                  r->in);
    }
    if (dw) {
        tare_gemm(true, false, r->sums, r->in, rows, 1, r->gates, r->sums, r->x, r->in, tare_grad_add(n, RNN_W_IH), dw,
                  r->in);
    }
    bias(n, RNN_B_IH, r, r->gates, r->sums, 0, r->sums);
}

/* The GRU's n has a sum of its own on the side of the state. */
static void recurrent(const tare_node *n, const tare__rnn *r) {
    int64_t joint = r->kind == TARE_GRU ? 2 * r->width : r->sums;
    bool wanted = tare_grad(n, RNN_W_HH) != NULL;
    if (wanted) { recurrent_weight(n, r, r->gates, r->sums, 0, joint); }
    bias(n, RNN_B_HH, r, r->gates, r->sums, 0, joint);
    if (r->kind != TARE_GRU) { return; }
    if (wanted) { recurrent_weight(n, r, r->cells, r->width, joint, r->width); }
    bias(n, RNN_B_HH, r, r->cells, r->width, joint, r->width);
}

void tare__rnn_backward(tare_node *n) {
    back_job j = { .r = tare__rnn_of(n), .dy = n->out->grad };
    tare__rnn *r = &j.r;
    int64_t state = r->batch * r->width;
    memset(n->scratch, 0, (size_t)(3 * state) * sizeof(tare_real));
    tare_real *scratch = n->scratch;
    j.dh = scratch, j.dc = scratch + state, j.zeros = scratch + 2 * state;
    if (r->lengths) {
        r->lengths =
            (const int32_t *)(const void *)(r->gates + r->steps * r->batch * (r->sums + (r->cells ? r->width : 0)));
    }
    tare_parallel_for(r->batch, tare__rnn_chunk(r->batch), backward_rows, &j);
    inputs(n, r);
    recurrent(n, r);
    copy_gradient(n, RNN_H0, j.dh);
    copy_gradient(n, RNN_C0, j.dc);
}
