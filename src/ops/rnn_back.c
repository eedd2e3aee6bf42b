/* rnn_back.c - backpropagation through time: step by step back to the gradients of the sums of all gates; then one product each for
 * the weights and for x. */
#include "rnn.h"

#include <string.h>

typedef struct back_job {
    tare__rnn r;
    const tare_real *dy, *zeros;
    tare__gemm_weight joint, apart; /* W_hh as it lies; the GRU's n, whose sums are apart on this side */
    tare_real *dh, *dc;             /* [B,H]: what reaches the states at the step at hand from the one after */
} back_job;

/* Rows of W_hh whose sums' gradients lie with the gates. */
static int64_t joint_sums(const tare__rnn *r) { return r->kind == TARE_GRU ? 2 * r->width : r->sums; }

/* ---- memory ------------------------------------------------------------------------------------------------------ */

typedef struct room {
    int64_t dh, dc, zeros, joint, apart, table, all;
} room;

static int64_t lines(int64_t numbers) { return tare__ceil_div(numbers, 16) * 16; }

static room room_of(const tare__rnn *r) {
    int64_t state = lines(r->batch * r->width), joint = joint_sums(r);
    room m = { .dh = 0, .dc = state, .zeros = 2 * state, .joint = 3 * state };
    m.apart = m.joint + lines(tare__gemm_weight_size(joint, r->width));
    m.table = m.apart + lines(tare__gemm_weight_size(r->sums - joint, r->width));
    m.all = m.table + (r->index ? r->in * r->sums : 0);
    return m;
}

int64_t tare__rnn_backward_room(const tare__rnn *r) { return room_of(r).all; }

/* ---- step by step ------------------------------------------------------------------------------------------------ */

/* What reaches the state before a step through its product with W_hh. */
static void state_back(const back_job *j, int64_t step, tare__rnn_part p) {
    const tare__rnn *r = &j->r;
    int64_t at = step * r->batch + p.row;
    tare__gemm_rows x = { .rows = p.rows, .first = p.col, .columns = p.cols, .r_step = r->width };
    x.s = r->gates + at * r->pitch, x.s_step = r->pitch;
    x.r = j->dh + p.row * r->width + p.col;
    x.add = r->kind == TARE_GRU;
    tare__gemm_weight_multiply(&j->joint, &x);
    if (r->kind == TARE_GRU) {
        x.s = r->cells + at * r->width, x.s_step = r->width;
        tare__gemm_weight_multiply(&j->apart, &x);
    }
}

static void cells_back(const back_job *j, int64_t step, tare__rnn_part p) {
    const tare__kernel_table *kernels = tare__kernels();
    const tare__rnn *r = &j->r;
    int64_t row = step * r->batch + p.row, width = r->width, at = row * width + p.col, first = p.row * width + p.col;
    tare_real *gates = r->gates + row * r->pitch + p.col, *dh = j->dh + first;
    const tare_real *dy = j->dy + at, *y = r->y + at;
    if (r->kind == TARE_LSTM) {
        const tare_real *before = step ? r->cells + at - r->batch * width : (r->c0 ? r->c0 : j->zeros) + first;
        kernels->lstm_back(p.rows, p.cols, width, gates, r->pitch, before, r->cells + at, dy, dh, j->dc + first);
    } else if (r->kind == TARE_GRU) {
        const tare_real *before = step ? y - r->batch * width : (r->h0 ? r->h0 : j->zeros) + first;
        kernels->gru_back(p.rows, p.cols, width, gates, r->pitch, r->cells + at, before, dy, dh);
    } else {
        kernels->copy(p.rows, p.cols, dy, width, 1, dh, width, 1, true);
        for (int64_t i = 0; i < p.rows; i++) {
            (r->kind == TARE_RNN_TANH ? kernels->tanh_back : kernels->relu_back)(
                p.cols, 0, y + i * width, dh + i * width, gates + i * r->pitch, false);
        }
    }
}

/* Behind its end nothing reaches a sequence. */
static void row_back(const back_job *j, int64_t step, tare__rnn_part p) {
    const tare__rnn *r = &j->r;
    int64_t at = step * r->batch + p.row;
    size_t bytes = (size_t)p.cols * sizeof(tare_real);
    if (tare__rnn_runs(r, step, p.row)) {
        cells_back(j, step, p);
        return;
    }
    for (int64_t g = 0; g < r->sums; g += r->width) { memset(r->gates + at * r->pitch + g + p.col, 0, bytes); }
    if (r->kind == TARE_GRU) { memset(r->cells + at * r->width + p.col, 0, bytes); }
}

static void backward_step(const void *context, int64_t step, tare__rnn_part p) {
    const back_job *j = context;
    if (step + 1 < j->r.steps) { state_back(j, step + 1, p); }
    if (step < 0) { return; }
    if (!j->r.lengths) {
        cells_back(j, step, p);
        return;
    }
    for (int64_t b = p.row; b < p.row + p.rows; b++) { row_back(j, step, (tare__rnn_part){ b, 1, p.col, p.cols }); }
}

/* ---- biases ------------------------------------------------------------------------------------------------------- */

typedef struct columns_job {
    int64_t rows, pitch;
    const tare_real *from;
    tare_real *to, *too; /* too: a second bias of the same sums, or NULL */
    bool add, add_too;
} columns_job;

enum { COLUMNS = 64 };

static void sum_columns(void *context, int64_t begin, int64_t end) {
    const columns_job *j = context;
    for (; begin < end; begin += COLUMNS) {
        double sums[COLUMNS] = { 0 };
        int64_t columns = tare__min(COLUMNS, end - begin);
        tare__kernels()->sum_cols(j->rows, columns, j->from + begin, j->pitch, sums);
        for (int64_t c = 0; c < columns; c++) {
            if (j->to) { j->to[begin + c] = (tare_real)sums[c] + (j->add ? j->to[begin + c] : 0); }
            if (j->too) { j->too[begin + c] = (tare_real)sums[c] + (j->add_too ? j->too[begin + c] : 0); }
        }
    }
}

static void add_up(columns_job job, int64_t columns) {
    if (!job.to && !job.too) { return; }
    tare_parallel_for(columns, tare__ceil_div(tare__grain((double)job.rows), COLUMNS) * COLUMNS, sum_columns, &job);
}

static tare_real *bias_gradient(const tare_node *n, int input, int64_t first) {
    tare_real *db = n->in[input] ? tare_grad(n, input) : NULL;
    return db ? db + first : NULL;
}

/* Both biases of a sum have the same gradient, but for the GRU's n. With an index it is added up from the table's rows. */
static void biases(const tare_node *n, const tare__rnn *r, const tare_real *table) {
    int64_t rows = r->steps * r->batch, joint = joint_sums(r);
    columns_job job = { rows, r->pitch, r->gates, bias_gradient(n, RNN_B_IH, 0), bias_gradient(n, RNN_B_HH, 0), 0, 0 };
    job.add = job.to && tare_grad_add(n, RNN_B_IH);
    job.add_too = job.too && tare_grad_add(n, RNN_B_HH);
    if (table) { job.rows = r->in, job.pitch = r->sums, job.from = table; }
    add_up(job, joint);
    if (joint == r->sums) { return; }
    columns_job fresh = job, recurrent = { rows, r->width, r->cells, NULL, job.too ? job.too + joint : NULL, 0, 0 };
    fresh.from += joint;
    fresh.to = job.to ? job.to + joint : NULL;
    fresh.too = NULL;
    recurrent.add_too = job.add_too;
    add_up(fresh, r->sums - joint);
    add_up(recurrent, r->sums - joint);
}

/* ---- weights, inputs, states ------------------------------------------------------------------------------------- */

/* Rows [first, first + rows) of dW_hh, from gradients of their sums: [T,B,...], `pitch` apart. */
static void recurrent_weight(const tare_node *n, const tare__rnn *r, const tare_real *sums, int64_t pitch,
                             int64_t first, int64_t rows) {
    if (!tare_grad(n, RNN_W_HH)) { return; }
    tare_real *dw = tare_grad(n, RNN_W_HH) + first * r->width;
    tare_gemm(true, false, rows, r->width, (r->steps - 1) * r->batch, 1, sums + r->batch * pitch, pitch, r->y, r->width,
              tare_grad_add(n, RNN_W_HH), dw, r->width);
    if (r->h0) { tare_gemm(true, false, rows, r->width, r->batch, 1, sums, pitch, r->h0, r->width, 1, dw, r->width); }
}

enum { SCATTER_AHEAD = 6 };     /* rows */
enum { SCATTER_COLUMNS = 128 }; /* whole runs of cache lines, and a table of some dozens of rows stays in L1 */

typedef struct scatter_job {
    const tare__rnn *r;
    tare_real *to;
} scatter_job;

/* Columns [begin, end) of all steps, each added to its row of the table, in order. */
static void scatter(void *context, int64_t begin, int64_t end) {
    const scatter_job *j = context;
    const tare__rnn *r = j->r;
    const int64_t rows = r->steps * r->batch, columns = end - begin;
    const tare__kernel_table *kernels = tare__kernels();
    for (int64_t row = 0; row < r->in; row++) {
        memset(j->to + row * r->sums + begin, 0, (size_t)columns * sizeof *j->to);
    }
    for (int64_t step = 0, i = 0; step < r->steps; step++) {
        for (int64_t b = 0; b < r->batch; b++, i++) {
            int64_t row = r->index[step * r->index_step + b * r->index_row];
            const tare_real *from = r->gates + i * r->pitch + begin;
            if (i + SCATTER_AHEAD < rows) { tare__fetch(from + SCATTER_AHEAD * r->pitch, columns); }
            kernels->copy(1, columns, from, 0, 1, j->to + row * r->sums + begin, 0, 1, true);
        }
    }
}

static void copy_rows(const tare_node *n, int input, int64_t rows, int64_t cols, const tare_real *from, int64_t pitch) {
    tare_real *to = n->in[input] ? tare_grad(n, input) : NULL;
    if (to) { tare__kernels()->copy(rows, cols, from, pitch, 1, to, cols, 1, tare_grad_add(n, input)); }
}

static void inputs(const tare_node *n, const tare__rnn *r, tare_real *table) {
    int64_t rows = r->steps * r->batch;
    tare_real *dx = tare_grad(n, RNN_X), *dw = n->in[RNN_W_IH] ? tare_grad(n, RNN_W_IH) : NULL;
    if (table) {
        tare_parallel_for(r->sums, SCATTER_COLUMNS, scatter, &(scatter_job){ r, table });
        copy_rows(n, RNN_X, r->in, r->sums, table, r->sums);
    } else if (!r->w_ih) {
        copy_rows(n, RNN_X, rows, r->sums, r->gates, r->pitch);
    } else if (dx) {
        tare_gemm(false, false, rows, r->in, r->sums, 1, r->gates, r->pitch, r->w_ih, r->in, tare_grad_add(n, RNN_X),
                  dx, r->in);
    }
    if (dw) {
        tare_gemm(true, false, r->sums, r->in, rows, 1, r->gates, r->pitch, r->x, r->in, tare_grad_add(n, RNN_W_IH), dw,
                  r->in);
    }
}

void tare__rnn_backward(tare_node *n) {
    back_job j = { .r = tare__rnn_of(n), .dy = n->out->grad };
    tare__rnn *r = &j.r;
    tare_real *scratch = n->scratch;
    room m = room_of(r);
    int64_t joint = joint_sums(r), width = r->width;
    tare_real *table = r->index ? scratch + m.table : NULL;
    memset(scratch, 0, (size_t)m.joint * sizeof *scratch);
    j.dh = scratch + m.dh, j.dc = scratch + m.dc, j.zeros = scratch + m.zeros;
    tare__rnn_kept(r);
    j.joint = tare__gemm_weight_of(false, joint, width, r->w_hh, width, scratch + m.joint);
    j.apart = tare__gemm_weight_of(false, r->sums - joint, width, r->w_hh + joint * width, width, scratch + m.apart);
    bool first_state = r->h0 && tare_grad(n, RNN_H0);
    tare__rnn_walk(r, r->steps - 1, first_state ? -1 : 0, backward_step, &j);
    inputs(n, r, table);
    biases(n, r, table);
    recurrent_weight(n, r, r->gates, r->pitch, 0, joint);
    if (joint < r->sums) { recurrent_weight(n, r, r->cells, width, joint, width); }
    copy_rows(n, RNN_H0, 1, r->batch * width, j.dh, 0);
    copy_rows(n, RNN_C0, 1, r->batch * width, j.dc, 0);
}
