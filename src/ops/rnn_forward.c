/* rnn_forward.c - forward of recurrent nets: the inputs of all steps in one product, then step by step the product with the state
 * before and the cell (kernels/rnn.c). */
#include "rnn.h"

#include <string.h>

typedef struct forward_job {
    tare__rnn r;
    const tare_real *bias, *zeros, *table; /* table: x + bias, where there is an index */
    tare__gemm_weight
        weight[RNN_GATES]; /* W_hh^T, all gates in the first where that leaves no gaps; none for one step */
    bool joint;
    tare_real *hidden; /* the GRU's h' */
} forward_job;

/* ---- memory ------------------------------------------------------------------------------------------------------- */

/* Offsets of its parts, in numbers; whole cache lines. */
typedef struct room {
    int64_t zeros, bias, table, weight, hidden, all;
} room;

static int64_t lines(int64_t numbers) { return tare__ceil_div(numbers, 16) * 16; }

/* Whether the panels of one gate end where those of the next begin. */
static bool joint_gates(const tare__rnn *r) { return r->width % tare__gemm_panel() == 0; }

static room room_of(const tare__rnn *r, bool grad) {
    int64_t gates = r->sums / r->width, weight = joint_gates(r) ? tare__gemm_weight_size(r->width, r->sums)
                                                                : gates * tare__gemm_weight_size(r->width, r->width);
    room m = { .zeros = grad ? 0 : lines(tare__rnn_values(r)) };
    m.bias = m.zeros + lines(r->batch * r->width);
    m.table = m.bias + lines(r->sums);
    m.weight = m.table + (r->index ? lines(r->in * r->sums) : 0);
    m.hidden = m.weight + (r->steps > 1 ? lines(weight) : 0);
    m.all = m.hidden + (r->kind == TARE_GRU ? r->batch * r->sums : 0);
    return m;
}

int64_t tare__rnn_forward_room(const tare__rnn *r, bool grad) { return room_of(r, grad).all; }

/* ---- the inputs of all steps ------------------------------------------------------------------------------------- */

/* The GRU's b_hh stands inside r (...), so it cannot join the other. */
static void fill_bias(const tare__rnn *r, tare_real *bias) {
    for (int64_t s = 0; s < r->sums; s++) {
        bias[s] = (r->b_ih ? r->b_ih[s] : 0) + (r->b_hh && r->kind != TARE_GRU ? r->b_hh[s] : 0);
    }
}

typedef struct bias_job {
    int64_t sums, pitch;
    const tare_real *x, *bias;
    tare_real *to;
} bias_job;

static void add_bias(void *context, int64_t begin, int64_t end) {
    const bias_job *j = context;
    tare__kernels()->add(end - begin, j->sums, (tare__view){ j->x + begin * j->sums, j->sums, 1 },
                         (tare__view){ j->bias, 0, 1 }, j->to + begin * j->pitch, j->pitch, false);
}

/* Into the gates of all steps, or once for each row of the table. */
static void sum_inputs(const forward_job *j, tare_real *table) {
    const tare__rnn *r = &j->r;
    int64_t rows = r->steps * r->batch, grain = tare__grain((double)r->sums);
    if (r->index) {
        tare_parallel_for(r->in, grain, add_bias, &(bias_job){ r->sums, r->sums, r->x, j->bias, table });
    } else if (!r->w_ih) {
        tare_parallel_for(rows, grain, add_bias, &(bias_job){ r->sums, r->pitch, r->x, j->bias, r->gates });
    } else {
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
                                       .ldc = r->pitch,
                                       .bias_column = j->bias });
    }
}

static void turn_weights(forward_job *j, tare_real *to) {
    const tare__rnn *r = &j->r;
    j->joint = joint_gates(r);
    if (j->joint) {
        j->weight[0] = tare__gemm_weight_of(true, r->width, r->sums, r->w_hh, r->width, to);
        return;
    }
    int64_t size = tare__gemm_weight_size(r->width, r->width);
    for (int64_t g = 0; g < r->sums / r->width; g++) {
        j->weight[g] =
            tare__gemm_weight_of(true, r->width, r->width, r->w_hh + g * r->width * r->width, r->width, to + g * size);
    }
}

/* ---- step by step ------------------------------------------------------------------------------------------------ */

/* The row of the table that sequence b wants now. */
static const tare_real *row_of_table(const forward_job *j, int64_t step, int64_t b) {
    const tare__rnn *r = &j->r;
    return j->table + r->index[step * r->index_step + b * r->index_row] * r->sums;
}

static void gather(const forward_job *j, int64_t step, tare__rnn_part p) {
    const tare__rnn *r = &j->r;
    for (int64_t b = p.row; b < p.row + p.rows; b++) {
        const tare_real *from = row_of_table(j, step, b) + p.col;
        tare_real *to = r->gates + (step * r->batch + b) * r->pitch + p.col;
        for (int64_t g = 0; g < r->sums; g += r->width) { memcpy(to + g, from + g, (size_t)p.cols * sizeof *to); }
    }
}

/* An LSTM's cells add the table's rows themselves where a product writes the gates: nothing is gathered there first. */
static bool cells_gather(const tare__rnn *r, int64_t step) {
    return r->index && r->kind == TARE_LSTM && !r->lengths && r->steps > 1 && (step || r->h0);
}

/* h W_hh^T, for the GRU with b_hh into `hidden`, else added to the gates or, where cells_gather, put there. h: the part's first row. */
static void multiply_state(const forward_job *j, int64_t step, tare__rnn_part p, const tare_real *h) {
    const tare__rnn *r = &j->r;
    bool gru = r->kind == TARE_GRU, add = !gru && !cells_gather(r, step);
    int64_t to_step = gru ? r->sums : r->pitch;
    tare_real *to = gru ? j->hidden + p.row * r->sums : r->gates + (step * r->batch + p.row) * r->pitch;
    const tare_real *bias = gru ? r->b_hh : NULL;
    if (r->steps == 1) {
        tare__gemm(&(tare__gemm_args){ .trans_b = true,
                                       .m = p.rows,
                                       .n = r->sums,
                                       .k = r->width,
                                       .alpha = 1,
                                       .a = h,
                                       .lda = r->width,
                                       .b = r->w_hh,
                                       .ldb = r->width,
                                       .beta = add,
                                       .c = to,
                                       .ldc = to_step,
                                       .bias_column = bias });
        return;
    }
    tare__gemm_rows x = { p.rows, p.col, p.cols, h, r->width, to + p.col, to_step, add, bias };
    if (j->joint && p.cols == r->width) { /* side by side: one product */
        x.columns = r->sums;
        tare__gemm_weight_multiply(&j->weight[0], &x);
        return;
    }
    for (int64_t g = 0; g < r->sums / r->width; g++) {
        x.first = p.col + (j->joint ? g * r->width : 0);
        x.bias = bias && !j->joint ? bias + g * r->width : bias;
        x.r = to + g * r->width + p.col;
        tare__gemm_weight_multiply(&j->weight[j->joint ? 0 : g], &x);
    }
}

/* h: the state before of the part's first row. */
static void run_cells(const forward_job *j, int64_t step, tare__rnn_part p, const tare_real *h) {
    const tare__kernel_table *kernels = tare__kernels();
    const tare__rnn *r = &j->r;
    int64_t row = step * r->batch + p.row, width = r->width, at = row * width + p.col;
    tare_real *gates = r->gates + row * r->pitch + p.col, *y = r->y + at;
    if (r->kind == TARE_LSTM) {
        const tare_real *first = (r->c0 ? r->c0 : j->zeros) + p.row * width + p.col;
        const tare_real *before = step ? r->cells + at - r->batch * width : first;
        if (!cells_gather(r, step)) {
            kernels->lstm(p.rows, p.cols, width, gates, r->pitch, NULL, before, r->cells + at, y);
            return;
        }
        for (int64_t i = 0; i < p.rows; i++) {
            const tare_real *x = row_of_table(j, step, p.row + i) + p.col;
            kernels->lstm(1, p.cols, width, gates + i * r->pitch, r->pitch, x, before + i * width,
                          r->cells + at + i * width, y + i * width);
        }
    } else if (r->kind == TARE_GRU) {
        kernels->gru(p.rows, p.cols, width, gates, r->pitch, j->hidden + p.row * r->sums + p.col, h + p.col,
                     r->cells + at, y);
    } else {
        for (int64_t i = 0; i < p.rows; i++) {
            (r->kind == TARE_RNN_TANH ? kernels->tanh : kernels->relu)(p.cols, 0, gates + i * r->pitch, y + i * width);
        }
    }
}

static void forward_step(const void *context, int64_t step, tare__rnn_part p) {
    const forward_job *j = context;
    const tare__rnn *r = &j->r;
    int64_t width = r->width;
    const tare_real *h =
        step ? r->y + ((step - 1) * r->batch + p.row) * width : (r->h0 ? r->h0 : j->zeros) + p.row * width;
    if (r->index && !cells_gather(r, step)) { gather(j, step, p); }
    if (step || r->h0 || r->kind == TARE_GRU) { multiply_state(j, step, p, h); }
    if (!r->lengths) {
        run_cells(j, step, p, h);
        return;
    }
    for (int64_t b = p.row; b < p.row + p.rows; b++) {
        if (tare__rnn_runs(r, step, b)) {
            run_cells(j, step, (tare__rnn_part){ b, 1, p.col, p.cols }, h + (b - p.row) * width);
        } else {
            memset(r->y + (step * r->batch + b) * width + p.col, 0, (size_t)p.cols * sizeof *r->y);
        }
    }
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

/* The caller's lengths and index need not outlive the call. */
static void keep(const tare__rnn *r) {
    int32_t *to = (int32_t *)(void *)(r->gates + tare__rnn_values(r));
    if (r->lengths) {
        memcpy(to, r->lengths, (size_t)r->batch * sizeof *to);
        to += r->batch;
    }
    if (r->index) { memcpy(to, r->index, (size_t)(r->steps * r->batch) * sizeof *to); }
}

static void copy_last(const tare__rnn *r, const tare_rnn_opt *opt) {
    size_t bytes = (size_t)r->width * sizeof(tare_real);
    for (int64_t b = 0; b < r->batch; b++) {
        int64_t last = (((r->lengths ? r->lengths[b] : r->steps) - 1) * r->batch + b) * r->width;
        if (opt->h_last) { memcpy(opt->h_last + b * r->width, r->y + last, bytes); }
        if (opt->c_last) { memcpy(opt->c_last + b * r->width, r->cells + last, bytes); }
    }
}

void tare__rnn_forward(tare_node *n) {
    forward_job j = { .r = tare__rnn_of(n) };
    tare__rnn *r = &j.r;
    room m = room_of(r, n->grad);
    tare_real *scratch = n->scratch, *bias = scratch + m.bias;
    j.zeros = memset(scratch + m.zeros, 0, (size_t)(r->batch * r->width) * sizeof *scratch);
    fill_bias(r, bias);
    j.bias = bias;
    j.table = scratch + m.table;
    j.hidden = scratch + m.hidden;
    if (n->saved) { keep(r); }
    sum_inputs(&j, scratch + m.table);
    if (r->steps > 1) { turn_weights(&j, scratch + m.weight); }
    tare__rnn_walk(r, 0, r->steps - 1, forward_step, &j);
    copy_last(r, &((const tare__rnn_attr *)n->attr)->opt);
}
