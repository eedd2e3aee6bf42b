/* bench_sequence.c - times whole training steps of sequence models (forward, loss, backward, clipping to 1, AdamW):
 *   bench_sequence gpt-small-gelu|gpt-small-swiglu|gpt-large-gelu|gpt-large-swiglu|lstm [SECONDS [LAYERS]]
 * Prints the median, the 10th and the 90th percentile in milliseconds, the peak bytes of a step, the peak bytes of the process,
 * seconds from the start of main to the end of the first step, and the tenth step's loss, bits and all. bench/sequence.py has
 * the same models in PyTorch. */
#include <tare/tare.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB = 65, POOL = 8, WARM_UP = 10, MOST_STEPS = 20000, MOST_LAYERS = 32 };

typedef struct setting {
    const char *name, *act; /* act: of the feed-forward nets; NULL: a recurrent net */
    int64_t layers, heads, width, steps, batch;
} setting;

static const setting settings[] = {
    { "gpt-small-gelu", "gelu", 4, 4, 128, 64, 12 },
    { "gpt-small-swiglu", "swiglu", 4, 4, 128, 64, 12 },
    { "gpt-large-gelu", "gelu", 6, 6, 384, 256, 8 },
    { "gpt-large-swiglu", "swiglu", 6, 6, 384, 256, 8 },
    { "lstm", NULL, 1, 0, 256, 64, 32 },
};
enum { SETTINGS = sizeof settings / sizeof *settings };

typedef struct bench {
    setting set;
    tare_params *ps;
    tare_layer *embedding, *body, *head;
    tare_optim *optim;
    tare_tape *tape;
    int32_t *text[POOL], *next[POOL];
} bench;

/* nanoGPT: learned positions, pre-norm blocks without biases, the embedding's weight for the logits too. */
static void make_gpt(bench *b) {
    const setting *s = &b->set;
    tare_layer *layer[MOST_LAYERS + 2];
    int n = 0;
    b->embedding = tare_layer_embedding(b->ps, "wte", VOCAB, s->width);
    layer[n++] = tare_layer_positions(b->ps, "wpe", s->steps, s->width, (tare_layer_positions_opt){ 0 });
    for (int64_t i = 0; i < s->layers; i++) {
        char name[32];
        snprintf(name, sizeof name, "h%" PRId64, i);
        layer[n++] = tare_layer_transformer(
            b->ps, name, s->width,
            (tare_layer_transformer_opt){ .heads = s->heads, .causal = true, .no_bias = true, .act = s->act });
    }
    layer[n++] = tare_norm_layer(b->ps, "ln_f", "ln", TARE_SHAPE(s->width));
    b->body = tare_layer_sequential(b->ps, "gpt", layer, n);
    b->head = tare_layer_tied(b->ps, "lm_head", b->embedding);
}

static void make_lstm(bench *b) {
    b->embedding = tare_layer_embedding(b->ps, "embedding", VOCAB, VOCAB);
    b->body = tare_layer_rnn(b->ps, "lstm", TARE_LSTM, VOCAB, b->set.width,
                             (tare_layer_rnn_opt){ .layers = (int)b->set.layers });
    b->head = tare_layer_linear(b->ps, "head", b->set.width, VOCAB, (tare_layer_linear_opt){ 0 });
}

/* Attention wants [B,T], recurrent nets [T,B]. */
static tare_status step(bench *b, int i, tare_real *value) {
    const setting *s = &b->set;
    tare_tape_reset(b->tape);
    tare_shape shape = s->act ? TARE_SHAPE(s->batch, s->steps) : TARE_SHAPE(s->steps, s->batch);
    tare_tensor *x = tare_layer_embed(b->embedding, b->tape, b->text[i % POOL], shape);
    tare_tensor *y = tare_forward(b->body, b->tape, x);
    tare_tensor *rows = tare_reshape(b->tape, y, TARE_SHAPE(-1, s->width));
    tare_tensor *logits = tare_forward(b->head, b->tape, rows);
    tare_tensor *loss = tare_cross_entropy(b->tape, logits, b->next[i % POOL], (tare_cross_entropy_opt){ 0 });
    if (loss) { *value = loss->data[0]; }
    tare_params_zero_grad(b->ps);
    tare_status status = tare_backward(b->tape, loss);
    return status ? status : tare_optim_step_clipped(b->optim, 1, NULL);
}

static bool setup(bench *b) {
    const setting *s = &b->set;
    b->ps = tare_params_new(1);
    (s->act ? make_gpt : make_lstm)(b);
    b->optim = tare_adamw_new(b->ps, (tare_adam_opt){ .lr = s->act ? 1e-3 : 2e-3, .beta2 = 0.99, .weight_decay = 0.1 });
    b->tape = tare_tape_new((tare_tape_opt){ .training = true });
    tare_rng rng = tare_rng_new(1, "bench");
    for (int p = 0; p < POOL; p++) {
        size_t count = (size_t)(s->steps * s->batch);
        b->text[p] = tare_malloc(count * sizeof(int32_t));
        b->next[p] = tare_malloc(count * sizeof(int32_t));
        if (!b->text[p] || !b->next[p]) { return false; }
        for (size_t i = 0; i < count; i++) {
            b->text[p][i] = (int32_t)tare_rng_below(&rng, VOCAB);
            b->next[p][i] = (int32_t)tare_rng_below(&rng, VOCAB);
        }
    }
    return b->head && b->body && b->embedding && b->optim && b->tape;
}

static void clear(bench *b) {
    for (int p = 0; p < POOL; p++) {
        tare_free(b->text[p]);
        tare_free(b->next[p]);
    }
    tare_tape_free(b->tape);
    tare_optim_free(b->optim);
    tare_params_free(b->ps);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Milliseconds of single steps; how many there are, or 0 after an error. */
static int workload(bench *b, double seconds, double *ms, double *first_step, tare_real *loss) {
    double start = tare_clock();
    int n = 0;
    bool ok = setup(b) && step(b, 0, loss) == TARE_OK;
    *first_step = tare_clock() - start;
    for (int i = 1; ok && i < WARM_UP; i++) { ok = step(b, i, loss) == TARE_OK; }
    double end = tare_clock() + seconds;
    while (ok && n < MOST_STEPS && (n < 10 || tare_clock() < end)) {
        tare_real value;
        double before = tare_clock();
        ok = step(b, n, &value) == TARE_OK;
        ms[n++] = 1e3 * (tare_clock() - before);
    }
    qsort(ms, (size_t)n, sizeof *ms, by_size);
    return ok ? n : 0;
}

int main(int argc, char **argv) {
    static double ms[MOST_STEPS];
    bench b = { 0 };
    double first_step;
    tare_real loss = 0;
    for (int i = 0; i < SETTINGS && argc >= 2; i++) {
        if (strcmp(argv[1], settings[i].name) == 0) { b.set = settings[i]; }
    }
    if (argc == 4) { b.set.layers = strtoll(argv[3], NULL, 10); }
    if (!b.set.name || argc > 4 || b.set.layers < 1 || b.set.layers > MOST_LAYERS) {
        fprintf(stderr, "usage: bench_sequence SETTING [SECONDS [LAYERS]]; settings:");
        for (int i = 0; i < SETTINGS; i++) { fprintf(stderr, " %s", settings[i].name); }
        fprintf(stderr, "\n");
        return 2;
    }
    int n = workload(&b, argc > 2 ? strtod(argv[2], NULL) : 2, ms, &first_step, &loss);
    if (n == 0) {
        fprintf(stderr, "bench_sequence: %s\n", tare_error());
    } else {
        printf("%.4f %.4f %.4f %zu %" PRId64 " %.4f %a\n", ms[n / 2], ms[n / 10], ms[n - 1 - n / 10],
               tare_tape_peak(b.tape), tare_peak_memory(), first_step, (double)loss);
    }
    clear(&b);
    return n == 0;
}
