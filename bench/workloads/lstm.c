/* lstm.c - W7: an LSTM of 256 over 64 characters, each embedded into 65 features, a linear layer, Adam. */
#include "../bench.h"

enum { SYMBOLS = 65, HIDDEN = 256, LENGTH = 64 };

static tare_status make(bench *b) {
    tare_params *ps = b->params[0];
    tare_layer *layers[] = {
        tare_layer_embedding(ps, "embedding", SYMBOLS, SYMBOLS),
        tare_layer_rnn(ps, "rnn", TARE_LSTM, SYMBOLS, HIDDEN, (tare_layer_rnn_opt){ 0 }),
        tare_layer_linear(ps, "fc", HIDDEN, SYMBOLS, (tare_layer_linear_opt){ 0 }),
    };
    b->net[0] = tare_layer_sequential(ps, "lstm", layers, 3);
    b->optim[0] = tare_adam_new(ps, (tare_adam_opt){ .lr = 2e-3 });
    return bench_text(b, b->workload->batch, LENGTH, SYMBOLS, true);
}

static tare_status step(bench *b, int64_t i) {
    int64_t p = i % BENCH_BATCHES;
    tare_layer **layers = b->net[0]->children;
    tare_tape_reset(b->tape);
    tare_tensor *x = tare_layer_embed(layers[0], b->tape, b->index[p], b->input);
    tare_tensor *rows = tare_reshape(b->tape, tare_forward(layers[1], b->tape, x), TARE_SHAPE(-1, HIDDEN));
    tare_tensor *logits = tare_forward(layers[2], b->tape, rows);
    return bench_update(b, 0, tare_cross_entropy(b->tape, logits, b->target[p], (tare_cross_entropy_opt){ 0 }));
}

const bench_workload bench_lstm[] = { { "W7", "", 32, make, step }, { 0 } };
