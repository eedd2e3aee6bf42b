/* gpt.c - W5: a GPT of characters: learned positions, pre-norm blocks without biases in the linear maps, tied head; AdamW. */
#include "../bench.h"

#include <string.h>

enum { SYMBOLS = 65 };

typedef struct sizes {
    int layers;
    int64_t width, heads, context;
    const char *act;
} sizes;

static sizes sizes_of(const bench *b) {
    if (strcmp(b->workload->variant, "large") == 0) { return (sizes){ 6, 384, 6, 256, "gelu" }; }
    return (sizes){ 4, 128, 4, 64, b->workload->variant };
}

static tare_status make(bench *b) {
    static const char *const names[] = { "blocks.0", "blocks.1", "blocks.2", "blocks.3", "blocks.4", "blocks.5" };
    tare_params *ps = b->params[0];
    sizes s = sizes_of(b);
    tare_layer *embedding = tare_layer_embedding(ps, "embedding", SYMBOLS, s.width);
    if (embedding) { tare_init_normal(ps, embedding->weight, 0, 0.02); }
    tare_layer *layers[9] = { tare_layer_positions(ps, "positions", s.context, s.width,
                                                   (tare_layer_positions_opt){ 0 }) };
    int n = 1;
    for (int i = 0; i < s.layers; i++) {
        layers[n++] = tare_layer_transformer(
            ps, names[i], s.width,
            (tare_layer_transformer_opt){ .heads = s.heads, .causal = true, .no_bias = true, .act = s.act });
    }
    layers[n++] = tare_norm_layer(ps, "norm", "ln", TARE_SHAPE(s.width));
    layers[n++] = tare_layer_tied(ps, "head", embedding);
    tare_layer *both[] = { embedding, tare_layer_sequential(ps, "body", layers, n) };
    b->net[0] = tare_layer_sequential(ps, "gpt", both, 2);
    b->optim[0] = tare_adamw_new(ps, (tare_adam_opt){ .lr = 1e-3, .beta2 = 0.99, .weight_decay = 0.1 });
    return bench_text(b, b->workload->batch, s.context, SYMBOLS, false);
}

static tare_status step(bench *b, int64_t i) {
    int64_t p = i % BENCH_BATCHES;
    tare_layer *embedding = b->net[0]->children[0], *body = b->net[0]->children[1];
    tare_tape_reset(b->tape);
    tare_tensor *x = tare_layer_embed(embedding, b->tape, b->index[p], b->input);
    tare_tensor *logits = tare_forward(body, b->tape, x);
    logits = tare_reshape(b->tape, logits, TARE_SHAPE(-1, SYMBOLS));
    return bench_update(b, 0, tare_cross_entropy(b->tape, logits, b->target[p], (tare_cross_entropy_opt){ 0 }));
}

const bench_workload bench_gpt[] = {
    { "W5-gelu", "gelu", 12, make, step },
    { "W5-swiglu", "swiglu", 12, make, step },
    { "W5-large", "large", 8, make, step },
    { 0 },
};
