/* evaluate.c - how well a model foretells text it has not learned from. */
#include "charlm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WINDOWS = 64, STREAMS = 32, STRETCH = 64, LEAST_STREAM = 256 };

const char *bits_name(const options *o) {
    return is_bert(o) ? "bits_per_masked_char" : o->bytes ? "bits_per_byte" : "bits_per_char";
}

const char *bits_words(const options *o) {
    return is_bert(o) ? "bits per hidden character" : o->bytes ? "bits per byte" : "bits per character";
}

/* ---- over the held-out text -------------------------------------------------------------------------------------- */

/* Adds one batch: `count` of its targets are of interest. */
static tare_status add_batch(net *n, tare_tape *tape, const int32_t *x, const int32_t *y, tare_shape shape,
                             int64_t count, score *sum) {
    tare_tape_reset(tape);
    tare_tensor *logits = net_logits(n, tape, x, shape);
    tare_tensor *loss = tare_cross_entropy(tape, logits, y, (tare_cross_entropy_opt){ 0 });
    if (!loss) { return tare_fail(tare_tape_status(tape), "%s", tare_tape_error(tape)); }
    sum->loss += tare_item(loss) * (double)count;
    sum->tokens += count;
    return TARE_OK;
}

/* `rows` windows of `steps` characters from `at` on, side by side; what bert must find there is always the same. */
static tare_status add_windows(net *n, tare_tape *tape, const corpus *text, int64_t at, int64_t rows, int64_t steps,
                               int32_t *x, int32_t *y, score *sum) {
    int64_t count = rows * steps;
    memcpy(x, text->held + at, (size_t)count * sizeof *x);
    if (is_bert(n->o)) {
        tare_rng rng = tare_rng_split(tare_rng_new(0, "held-out mask"), (uint64_t)at);
        count = hide(rng, net_mask(n), count, x, y);
    } else {
        memcpy(y, text->held + at + 1, (size_t)count * sizeof *y);
    }
    return add_batch(n, tape, x, y, TARE_SHAPE(rows, steps), count, sum);
}

/* Side by side, the last one shorter, so that each character is foretold once. */
static tare_status windows(net *n, tare_tape *tape, const corpus *text, int32_t *x, int32_t *y, score *sum) {
    int64_t steps = n->o->context, end = text->held_out - (is_bert(n->o) ? 0 : 1);
    tare_status s = TARE_OK;
    for (int64_t at = 0; s == TARE_OK && at < end;) {
        int64_t rows = (end - at) / steps < WINDOWS ? (end - at) / steps : WINDOWS;
        int64_t size = rows > 0 ? steps : end - at;
        if (rows == 0) { rows = 1; }
        s = add_windows(n, tape, text, at, rows, size, x, y, sum);
        at += rows * size;
    }
    return s;
}

/* Long streams, from states of zeros on; the few characters that do not fill a last row of them are left out. */
static tare_status streams(net *n, tare_tape *tape, const corpus *text, int64_t rows, int32_t *x, int32_t *y,
                           score *sum) {
    int64_t length = (text->held_out - 1) / rows;
    tare_status s = TARE_OK;
    for (int64_t at = 0; s == TARE_OK && at < length; at += STRETCH) {
        int64_t steps = length - at < STRETCH ? length - at : STRETCH;
        for (int64_t i = 0; i < steps * rows; i++) {
            const int32_t *from = text->held + i % rows * length + at + i / rows;
            x[i] = from[0];
            y[i] = from[1];
        }
        s = add_batch(n, tape, x, y, TARE_SHAPE(steps, rows), steps * rows, sum);
    }
    return s;
}

static tare_status recurrent(net *n, tare_tape *tape, const corpus *text, int32_t *x, int32_t *y, score *sum) {
    int64_t rows = (text->held_out - 1) / LEAST_STREAM;
    rows = rows < 1 ? 1 : rows > STREAMS ? STREAMS : rows;
    tare_rnn_state *state = tare_rnn_state_new(n->rnn, rows);
    tare_status s = state ? tare_layer_rnn_carry(n->rnn, state) : TARE_ENOMEM;
    if (s == TARE_OK) { s = streams(n, tape, text, rows, x, y, sum); }
    tare_layer_rnn_carry(n->rnn, n->state);
    tare_rnn_state_free(state);
    return s;
}

tare_status evaluate(net *n, tare_tape *tape, const corpus *text, score *out) {
    *out = (score){ 0 };
    tare_status s = corpus_testable(text);
    if (s != TARE_OK) { return s; }
    int64_t room = is_recurrent(n->o) ? STREAMS * STRETCH : WINDOWS * n->o->context;
    int32_t *x = tare_calloc((size_t)room, 2 * sizeof *x);
    if (!x) { return TARE_ENOMEM; }
    s = (is_recurrent(n->o) ? recurrent : windows)(n, tape, text, x, x + room, out);
    tare_free(x);
    if (s == TARE_OK) { out->loss /= (double)out->tokens; }
    return s;
}

/* ---- a finished run ---------------------------------------------------------------------------------------------- */

void finished_free(finished *f) {
    tare_tape_free(f->tape);
    net_free(&f->net);
    tare_params_free(f->ps);
    vocabulary_free(&f->known);
}

static tare_status read_vocabulary(finished *f, const options *o, const char *path) {
    tare_reader *r = NULL;
    tare_status s = tare_reader_open(path, &r);
    if (s == TARE_OK) { s = vocabulary_read(&f->known, o->bytes, tare_reader_meta(r, "vocabulary")); }
    const char *hash = s == TARE_OK ? tare_reader_meta(r, "text_hash") : NULL;
    f->text_hash = hash ? strtoull(hash, NULL, 10) : 0;
    tare_reader_free(r);
    return s;
}

/* With its best weights, or the last ones where it has not been tested yet. */
tare_status finished_load(finished *f, const options *o) {
    char path[4096];
    *f = (finished){ .ps = NULL };
    snprintf(path, sizeof path, "%s/best.safetensors", o->eval);
    if (access(path, R_OK) != 0) { snprintf(path, sizeof path, "%s/last.safetensors", o->eval); }
    tare_status s = read_vocabulary(f, o, path);
    if (s != TARE_OK) { return s; }
    f->ps = tare_params_new((uint64_t)o->run.seed);
    f->tape = tare_tape_new((tare_tape_opt){ .no_grad = true });
    if (!f->ps || !f->tape) { return TARE_ENOMEM; }
    net_new(&f->net, f->ps, o, &f->known);
    s = tare_params_status(f->ps);
    if (s != TARE_OK) { return tare_fail(s, "%s", tare_params_error(f->ps)); }
    return tare_params_load_finite(f->ps, path, (tare_load_opt){ 0 });
}

static void print_score(const options *o, const score *s) {
    double bits = s->loss / log(2);
    if (o->run.json) {
        tare_event_print(stdout, "eval",
                         TARE_FIELDS(TARE_NUMBER("val_loss", s->loss), TARE_NUMBER(bits_name(o), bits),
                                     TARE_NUMBER("tokens", s->tokens)));
    } else if (!o->run.quiet) {
        printf("validation loss %.4f nats, %.4f %s, over %lld\n", s->loss, bits, bits_words(o), (long long)s->tokens);
    }
}

int evaluate_run(const options *o) {
    finished f;
    corpus text = { .files = 0 };
    score result;
    tare_status s = finished_load(&f, o);
    if (s == TARE_OK) { s = corpus_open(&text, o, &f.known, o->other_text); }
    if (s == TARE_OK && !o->other_text && text.hash != f.text_hash) {
        s = tare_fail(TARE_EMISMATCH, "the text is not what this run was trained on; --text FILE tests on another");
    }
    if (s == TARE_OK) { s = evaluate(&f.net, f.tape, &text, &result); }
    if (s == TARE_OK && !isfinite(result.loss)) {
        s = tare_fail(TARE_ENONFINITE, "the loss on the text is %g: the model makes no sense of it", result.loss);
    }
    if (s == TARE_OK) { print_score(o, &result); }
    corpus_free(&text);
    finished_free(&f);
    return s == TARE_OK ? 0 : fail(s == TARE_ENONFINITE ? EXIT_NONFINITE : 1);
}
