/* write.c - a model writes: one character after the other, each chosen by what the model makes of those before it. */
#include "charlm.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* What the model has seen: keys and values for attention, states for a recurrent net. */
typedef struct writer {
    const request *r;
    net *net;
    tare_kv_cache *cache;
    tare_rnn_state *state;
    int32_t *seen; /* gpt: the tokens in the cache, `context` at most */
    int64_t n;
    double *scores, *order; /* [tokens] */
    tare_rng rng;
} writer;

static tare_status writer_new(writer *w, const request *r) {
    net *n = r->net;
    *w = (writer){ .r = r, .net = n, .rng = r->rng };
    if (n->rnn) {
        w->state = tare_rnn_state_new(n->rnn, 1);
    } else {
        w->cache = tare_kv_cache_new(n->whole, 1, n->o->context);
        w->seen = tare_calloc((size_t)n->o->context, sizeof *w->seen);
    }
    w->scores = tare_calloc((size_t)n->tokens, 2 * sizeof *w->scores);
    if (!w->scores || !(w->state || (w->cache && w->seen))) { return TARE_ENOMEM; }
    w->order = w->scores + n->tokens;
    n->sequence.cache = w->cache;
    return n->rnn ? tare_layer_rnn_carry(n->rnn, w->state) : TARE_OK;
}

/* The net is again as it was. */
static void writer_free(writer *w) {
    w->net->sequence = (tare_sequence){ 0 };
    if (w->net->rnn) { tare_layer_rnn_carry(w->net->rnn, w->net->state); }
    tare_kv_cache_free(w->cache);
    tare_rnn_state_free(w->state);
    tare_free(w->seen);
    tare_free(w->scores);
}

/* Runs `count` tokens behind those seen; scores are of what follows the last. */
static tare_status see(writer *w, const int32_t *tokens, int64_t count) {
    tare_tape *tape = w->r->tape;
    tare_tape_reset(tape);
    w->net->sequence.offset = w->net->rnn ? 0 : w->n;
    tare_tensor *logits = net_logits(w->net, tape, tokens, w->net->rnn ? TARE_SHAPE(count, 1) : TARE_SHAPE(1, count));
    if (!logits) { return tare_fail(tare_tape_status(tape), "%s", tare_tape_error(tape)); }
    const tare_real *last = logits->data + (count - 1) * w->net->tokens;
    for (int64_t i = 0; i < w->net->tokens; i++) { w->scores[i] = (double)last[i]; }
    if (!w->seen) { return TARE_OK; }
    memcpy(w->seen + w->n, tokens, (size_t)count * sizeof *tokens);
    w->n += count;
    return TARE_OK;
}

/* Where the context is full its second half becomes the first: seen once more, from position 0 on. */
static tare_status go_on(writer *w, int32_t token) {
    int64_t context = w->net->o->context, half = context / 2;
    if (w->net->rnn || w->n < context) { return see(w, &token, 1); }
    w->n = 0;
    if (half > 1) {
        int32_t *kept = w->seen + context - (half - 1);
        tare_status s = see(w, kept, half - 1);
        if (s != TARE_OK) { return s; }
    }
    return see(w, &token, 1);
}

static int larger_first(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* The likeliest at temperature 0, else by chance in proportion to exp(score / temperature), among the top k if told so. */
static int32_t choose(writer *w) {
    int64_t n = w->net->tokens, k = w->r->top_k;
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++) {
        if (w->scores[i] > w->scores[best]) { best = i; }
    }
    if (!(w->r->temperature > 0)) { return (int32_t)best; }
    double least = -INFINITY, top = w->scores[best], sum = 0;
    if (k > 0 && k < n) {
        memcpy(w->order, w->scores, (size_t)n * sizeof *w->order);
        qsort(w->order, (size_t)n, sizeof *w->order, larger_first);
        least = w->order[k - 1];
    }
    for (int64_t i = 0; i < n; i++) {
        w->order[i] = w->scores[i] >= least ? exp((w->scores[i] - top) / w->r->temperature) : 0;
        sum += w->order[i];
    }
    double at = tare_rng_uniform(&w->rng) * sum;
    for (int64_t i = 0; i < n; i++) {
        at -= w->order[i];
        if (at < 0 && w->order[i] > 0) { return (int32_t)i; }
    }
    return (int32_t)best; /* rounding: at is the sum itself */
}

static bool put_token(const request *r, int32_t token) {
    char text[5];
    int size = vocabulary_put(r->known, token, text);
    return r->put(r->user, text, size);
}

static tare_status write_on(writer *w) {
    const request *r = w->r;
    tare_status s = see(w, r->prompt, r->prompted);
    for (int64_t i = 0; s == TARE_OK && i < r->count; i++) {
        int32_t token = choose(w);
        if (!put_token(r, token)) { break; }
        if (i + 1 < r->count) { s = go_on(w, token); }
    }
    return s;
}

/* bert: all gaps at once, each by itself. */
static tare_status fill_gaps(const request *r) {
    net *n = r->net;
    writer w = { .r = r, .net = n, .rng = r->rng };
    tare_tape_reset(r->tape);
    tare_tensor *logits = net_logits(n, r->tape, r->prompt, TARE_SHAPE(1, r->prompted));
    if (!logits) { return tare_fail(tare_tape_status(r->tape), "%s", tare_tape_error(r->tape)); }
    w.scores = tare_calloc((size_t)n->tokens, 2 * sizeof *w.scores);
    if (!w.scores) { return TARE_ENOMEM; }
    w.order = w.scores + n->tokens;
    bool more = true;
    for (int64_t i = 0; more && i < r->prompted; i++) {
        int32_t token = r->prompt[i];
        for (int64_t k = 0; k < n->tokens; k++) { w.scores[k] = (double)logits->data[i * n->tokens + k]; }
        w.scores[net_mask(n)] = -INFINITY;
        more = put_token(r, token == net_mask(n) ? choose(&w) : token);
    }
    tare_free(w.scores);
    return TARE_OK;
}

tare_status write_text(const request *r) {
    if (is_bert(r->net->o)) { return fill_gaps(r); }
    writer w;
    tare_status s = writer_new(&w, r);
    if (s == TARE_OK) { s = write_on(&w); }
    writer_free(&w);
    return s;
}

tare_rng sample_rng(const options *o) {
    return tare_rng_split(tare_rng_new((uint64_t)o->run.seed, "sample"), (uint64_t)o->sample_seed);
}

tare_status prompt_read(const options *o, const vocabulary *v, int32_t gap, int32_t **tokens, int64_t *count) {
    if (!o->prompt) {
        int32_t line = vocabulary_find(v, '\n');
        *tokens = tare_calloc(1, sizeof **tokens);
        *count = 1;
        if (*tokens) { **tokens = line < 0 ? 0 : line; }
        return *tokens ? TARE_OK : TARE_ENOMEM;
    }
    tare_status s = vocabulary_encode(v, o->prompt, gap, tokens, count);
    if (s == TARE_OK && !is_recurrent(o) && *count > o->context) {
        s = tare_fail(TARE_EINVAL, "--prompt has %lld characters, but the model sees %lld at once (--context)",
                      (long long)*count, (long long)o->context);
        tare_free(*tokens);
        *tokens = NULL;
    }
    return s;
}

/* ---- with a finished run ----------------------------------------------------------------------------------------- */

typedef struct output {
    bool json;
    char *text; /* with --json: all of it */
    size_t used, room;
    int64_t written;
} output;

static bool collect(output *out, const char *text, int size) {
    for (int i = 0; i < size && out->used + 1 < out->room; i++) {
        out->text[out->used++] = text[i] ? text[i] : '?'; /* JSON's text ends at a 0 byte */
    }
    return true;
}

/* To the terminal at once. Nobody there to read any more is a reason to stop, as Ctrl-C is. */
static bool put(void *user, const char *text, int size) {
    output *out = user;
    out->written++;
    if (out->json) { return collect(out, text, size) && !tare_stop(); }
    bool good = fwrite(text, 1, (size_t)size, stdout) == (size_t)size && fflush(stdout) == 0;
    if (!good && errno == EPIPE) { tare_stop_ask(SIGPIPE); }
    return good && !tare_stop();
}

static void report(const options *o, output *out, double seconds) {
    double rate = (double)out->written / (seconds > 1e-9 ? seconds : 1e-9);
    if (out->json) {
        tare_event_print(stdout, "sample",
                         TARE_FIELDS(TARE_TEXT("text", out->text), TARE_NUMBER("tokens", out->written),
                                     TARE_NUMBER("seconds", seconds), TARE_NUMBER("tokens_per_second", rate)));
        return;
    }
    putchar('\n');
    fflush(stdout); /* before what stderr says */
    if (!o->run.quiet) {
        fprintf(stderr, "%lld tokens in %.2f s: %.0f tokens/s\n", (long long)out->written, seconds, rate);
    }
}

static tare_status write_finished(finished *f, const options *o, output *out) {
    int32_t *prompt = NULL;
    int64_t prompted = 0;
    tare_status s = prompt_read(o, &f->known, net_mask(&f->net), &prompt, &prompted);
    if (s != TARE_OK) { return s; }
    out->json = o->run.json;
    out->room = 4 * (size_t)(is_bert(o) ? prompted : o->sample) + 1;
    out->text = out->json ? tare_calloc(out->room, 1) : NULL;
    if (o->prompt && !is_bert(o) && !out->json) { fputs(o->prompt, stdout); }
    double start = tare_clock();
    request r = { .net = &f->net,
                  .tape = f->tape,
                  .known = &f->known,
                  .prompt = prompt,
                  .prompted = prompted,
                  .count = o->sample,
                  .temperature = o->temperature,
                  .top_k = o->top_k,
                  .rng = sample_rng(o),
                  .put = put,
                  .user = out };
    s = out->json && !out->text ? TARE_ENOMEM : write_text(&r);
    if (s == TARE_OK && tare_stop() != SIGPIPE) { report(o, out, tare_clock() - start); }
    tare_free(prompt);
    tare_free(out->text);
    return s;
}

int write_run(const options *o) {
    finished f;
    output out = { .written = 0 };
    tare_stop_catch();
    tare_status s = finished_load(&f, o);
    if (s == TARE_OK) { s = write_finished(&f, o, &out); }
    finished_free(&f);
    if (s != TARE_OK) { return fail(s == TARE_EINVAL ? EXIT_USAGE : s == TARE_ENONFINITE ? EXIT_NONFINITE : 1); }
    return tare_stop() ? 128 + tare_stop() : 0;
}
