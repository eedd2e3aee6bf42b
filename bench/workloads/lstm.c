/* lstm.c - W7: an LSTM of 256 over 64 characters as one-hot vectors, a linear layer, Adam. */
#include "../bench.h"

#include <string.h>

enum { SYMBOLS = 65, HIDDEN = 256, LENGTH = 64 };

static void make(bench *b) {
    tare_params *ps = b->params[0];
    tare_layer *layers[] = {
        tare_layer_rnn(ps, "rnn", TARE_LSTM, SYMBOLS, HIDDEN, (tare_layer_rnn_opt){ 0 }),
        tare_layer_linear(ps, "fc", HIDDEN, SYMBOLS, (tare_layer_linear_opt){ 0 }),
    };
    b->net[0] = tare_layer_sequential(ps, "lstm", layers, 2);
    b->optim[0] = tare_adam_new(ps, (tare_adam_opt){ .lr = 2e-3 });
    bench_text(b, b->workload->batch, LENGTH, SYMBOLS, true);
}

static tare_tensor *one_hot(bench *b, const int32_t *index) {
    int64_t n = tare_shape_numel(b->input);
    tare_tensor *x = tare_input(b->tape, TARE_SHAPE(LENGTH, b->workload->batch, SYMBOLS), NULL);
    if (!x) { return NULL; }
    memset(x->data, 0, (size_t)x->numel * sizeof *x->data);
    for (int64_t i = 0; i < n; i++) { x->data[i * SYMBOLS + index[i]] = 1; }
    return x;
}

static tare_status step(bench *b, int64_t i) {
    int64_t p = i % BENCH_BATCHES;
    tare_tape_reset(b->tape);
    tare_tensor *logits = tare_forward(b->net[0], b->tape, one_hot(b, b->index[p]));
    logits = tare_reshape(b->tape, logits, TARE_SHAPE(-1, SYMBOLS));
    return bench_update(b, 0, tare_cross_entropy(b->tape, logits, b->target[p], (tare_cross_entropy_opt){ 0 }));
}

const bench_workload bench_lstm[] = { { "W7", "", 32, make, step }, { 0 } };
