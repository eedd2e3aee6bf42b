/* rnn.h - sizes, memory and order of work of a recurrent net, for both directions. */
#ifndef TARE_OPS_RNN_H
#define TARE_OPS_RNN_H

#include "common.h"

#include "../core/gemm.h"

#include <tare/sequence.h>

enum { RNN_X, RNN_W_HH, RNN_W_IH, RNN_B_IH, RNN_B_HH, RNN_H0, RNN_C0, RNN_INPUTS };

enum { RNN_GATES = 4 }; /* most there are */

typedef struct tare__rnn_attr {
    tare_rnn_kind kind;
    tare_rnn_opt opt;
} tare__rnn_attr;

typedef struct tare__rnn {
    tare_rnn_kind kind;
    int64_t steps, batch, in, width, sums; /* T B in H, and G*H */
    int64_t pitch;                         /* of gates */
    const tare_real *x, *w_ih, *w_hh, *b_ih, *b_hh, *h0, *c0;
    const int32_t *lengths; /* or NULL */
    const int32_t *index;   /* [T,B] (batch_first: [B,T]): rows of x, or NULL */
    int64_t index_step, index_row;
    tare_real *gates; /* [T,B,pitch]: sums, then values of gates, then gradients of sums */
    tare_real *cells; /* [T,B,H]: LSTM c; GRU h_n', then its gradient; else NULL */
    tare_real *y;
} tare__rnn;

/* Sizes and inputs; gates and cells in n->saved, or, where no backward follows, first in n->scratch. */
tare__rnn tare__rnn_of(const tare_node *n);
/* Numbers in gates and cells. */
int64_t tare__rnn_values(const tare__rnn *r);
/* Take lengths and index from what was kept of them behind those. */
void tare__rnn_kept(tare__rnn *r);

/* What forward works with beside the gates. */
int64_t tare__rnn_forward_room(const tare__rnn *r, bool grad);
int64_t tare__rnn_backward_room(const tare__rnn *r);
void tare__rnn_forward(tare_node *n);
void tare__rnn_backward(tare_node *n);

static inline int64_t tare__rnn_gates(tare_rnn_kind kind) { return kind == TARE_LSTM ? 4 : kind == TARE_GRU ? 3 : 1; }
static inline bool tare__rnn_has_cells(tare_rnn_kind kind) { return kind == TARE_LSTM || kind == TARE_GRU; }

static inline bool tare__rnn_runs(const tare__rnn *r, int64_t step, int64_t row) {
    return !r->lengths || step < r->lengths[row];
}

/* ---- the order of work (rnn_walk.c) ------------------------------------------------------------------------------- */

/* Sequences, and features of their state. */
typedef struct tare__rnn_part {
    int64_t row, rows, col, cols;
} tare__rnn_part;

typedef void (*tare__rnn_step_fn)(const void *job, int64_t step, tare__rnn_part part);

/* All parts at step `first`, then all at the next one, up to `last` (or down to it). */
void tare__rnn_walk(const tare__rnn *r, int64_t first, int64_t last, tare__rnn_step_fn f, const void *job);

#endif
