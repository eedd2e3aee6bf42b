/* gpt.c - W5: a GPT of characters: learned positions, pre-norm blocks without biases in the linear maps, tied head; AdamW. And the
 * large one with a limit of memory, the small one with 2 to 16 layers. */
#include "../bench.h"

#include <stdlib.h>
#include <string.h>

enum { SYMBOLS = 65, MOST_LAYERS = 16, LIMIT = 110 << 20 /* bytes of a step */ };

typedef struct sizes {
    int layers;
    int64_t width, heads, context;
    const char *act;
} sizes;

static sizes sizes_of(const bench *b) {
    if (strncmp(b->workload->variant, "large", 5) == 0) { return (sizes){ 6, 384, 6, 256, "gelu" }; }
    int layers = atoi(b->workload->variant);
    if (layers > 0) { return (sizes){ layers, 128, 4, 64, "gelu" }; }
    return (sizes){ 4, 128, 4, 64, b->workload->variant };
}

static tare_status make(bench *b) {
    tare_params *ps = b->params[0];
    sizes s = sizes_of(b);
    if (strcmp(b->workload->variant, "large limited") == 0) { tare_tape_limit_set(b->tape, LIMIT); }
    tare_layer *embedding = tare_layer_embedding(ps, "embedding", SYMBOLS, s.width);
    if (embedding) { tare_init_normal(ps, embedding->weight, 0, 0.02); }
    tare_layer *layers[MOST_LAYERS + 3] = { tare_layer_positions(ps, "positions", s.context, s.width,
                                                                 (tare_layer_positions_opt){ 0 }) };
    int n = 1;
    for (int i = 0; i < s.layers; i++) {
        char name[24];
        snprintf(name, sizeof name, "blocks.%d", i);
        layers[n++] = tare_layer_transformer(
            ps, name, s.width,
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
    { "W5-large-limit", "large limited", 8, make, step },
    { 0 },
};

const bench_workload bench_depths[] = {
    { "scaling-layers-2", "2", 12, make, step },
    { "scaling-layers-4", "4", 12, make, step },
    { "scaling-layers-8", "8", 12, make, step },
    { "scaling-layers-16", "16", 12, make, step },
    { 0 },
};
