/* rnn.h - one layer of a recurrent net. */
#ifndef TARE_LAYERS_RNN_H
#define TARE_LAYERS_RNN_H

#include <tare/sequence.h>

typedef struct tare__rnn_layer {
    tare_rnn_kind kind;
    int64_t hidden;
    tare_rnn_weights w;
    tare_layer *norm_ih, *norm_hh, *norm_c; /* NULL: none */
} tare__rnn_layer;

/* tare__rnn_cells - the layer with its norms within the cell, from single ops: x [T,B,in] -> [T,B,hidden]. h0 and c0 may be NULL;
 * opt as for tare_rnn. */
tare_tensor *tare__rnn_cells(const tare__rnn_layer *l, tare_tape *tape, tare_tensor *x, tare_tensor *h0,
                             tare_tensor *c0, tare_rnn_opt opt);

#endif
