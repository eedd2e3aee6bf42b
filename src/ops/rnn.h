/* rnn.h - sizes and memory of a recurrent net, for both directions. */
#ifndef TARE_OPS_RNN_H
#define TARE_OPS_RNN_H

#include "common.h"

#include <tare/sequence.h>

enum { RNN_X, RNN_W_HH, RNN_W_IH, RNN_B_IH, RNN_B_HH, RNN_H0, RNN_C0, RNN_INPUTS };

typedef struct tare__rnn_attr {
    tare_rnn_kind kind;
    tare_rnn_opt opt;
} tare__rnn_attr;

typedef struct tare__rnn {
    tare_rnn_kind kind;
    int64_t steps, batch, in, width, sums; /* T B in H, and G*H */
    const tare_real *x, *w_ih, *w_hh, *b_ih, *b_hh, *h0, *c0;
    const int32_t *lengths; /* or NULL */
    tare_real *gates;       /* [T,B,G*H]: sums, then values of gates, then gradients of sums */
    tare_real *cells;       /* [T,B,H]: LSTM c; GRU h_n', then its gradient; else NULL */
    tare_real *y;
} tare__rnn;

/* Sizes and inputs; gates and cells in n->saved, or, where no backward follows, first in n->scratch. */
tare__rnn tare__rnn_of(const tare_node *n);
void tare__rnn_backward(tare_node *n);

/* Sequences that one thread takes through all steps. No thread then waits for another within a step; 8 rows are enough for the
 * product to be bound by arithmetic, not by reading the weights, and few enough to lie in registers. */
static inline int64_t tare__rnn_chunk(int64_t batch) { return tare__min(8, tare__max(4, tare__ceil_div(batch, 2))); }

/* Rows of the turned W_hh are so far apart: a power of two would put a whole column of it into one set of the cache. */
static inline int64_t tare__rnn_pitch(int64_t sums) { return sums + 16; }

static inline bool tare__rnn_runs(const tare__rnn *r, int64_t step, int64_t row) {
    return !r->lengths || step < r->lengths[row];
}

#endif
