/* train.c - the training loop: a step, the stretch between two tests, a run. */
#include "trainer.h"

#include <math.h>
#include <string.h>

/* ---- a step ------------------------------------------------------------------------------------------------------ */

tare_tensor *trainer_loss(trainer *t) {
    tare_profile_enter(t->profile, TARE_PROFILE_DATA);
    if (feeder_fill(&t->feeder, t->step) && t->net.state) { tare_rnn_state_zero(t->net.state); }
    tare_profile_enter(t->profile, TARE_PROFILE_TAPE);
    tare_tape_reset(t->tape);
    tare_tensor *logits = net_logits(&t->net, t->tape, t->feeder.x, t->feeder.shape);
    return tare_cross_entropy(t->tape, logits, t->feeder.y, (tare_cross_entropy_opt){ 0 });
}

static tare_status train_step(trainer *t, double *out) {
    tare_status s = tare_optim_lr_set(t->optim, tare_schedule_at(&t->schedule, t->step));
    if (s != TARE_OK) { return s; }
    tare_params_zero_grad(t->ps);
    tare_tensor *loss = trainer_loss(t);
    if (!loss) { return tare_fail(tare_tape_status(t->tape), "%s", tare_tape_error(t->tape)); }
    *out = tare_item(loss);
    if (!isfinite(*out)) { return tare_fail(TARE_ENONFINITE, "the loss is %g", *out); }
    s = tare_backward(t->tape, loss);
    if (s == TARE_OK) { s = tare_norm_stats_log(t->stats, t->run, t->step); }
    /* Without --clip nothing is clipped, but a gradient of NaN or Inf is still found before it reaches the weights. */
    tare_profile_enter(t->profile, TARE_PROFILE_OPTIMIZER);
    double limit = t->o->learn.clip > 0 ? t->o->learn.clip : INFINITY;
    return s == TARE_OK ? tare_optim_step_clipped(t->optim, limit, &t->grad_norm) : s;
}

static tare_status step_again(void *user) {
    double loss = 0;
    return train_step(user, &loss);
}

/* The very step that went wrong, once more, to learn why; then back to the state before it, which is saved. */
static tare_status explain_nonfinite(trainer *t) {
    char why[1024];
    tare_status s = tare_guard_explain(t->guard, step_again, t, why, sizeof why);
    if (s == TARE_OK) { s = trainer_save(t, "last.safetensors"); }
    tare_run_log(t->run, "nonfinite", TARE_FIELDS(TARE_NUMBER("step", t->step + 1), TARE_TEXT("reason", why)));
    return tare_fail(TARE_ENONFINITE, "step %lld: %s; a lower --lr may help\n%s %s", (long long)t->step + 1, why,
                     s == TARE_OK ? "the state before this step is saved in" : "the last checkpoint stays as it was in",
                     tare_run_folder(t->run));
}

/* One step and what is to be noted of it. */
static tare_status step_forward(trainer *t) {
    double loss = 0;
    tare_guard_keep(t->guard);
    if (t->o->norm_stats > 0 && t->step % t->o->norm_stats == 0) { tare_norm_stats_begin(t->stats); }
    tare_status s = train_step(t, &loss);
    if (s == TARE_ENONFINITE) { return explain_nonfinite(t); }
    if (s != TARE_OK) { return s; }
    tare_profile_enter(t->profile, TARE_PROFILE_REST);
    t->step++;
    t->loss_sum += loss;
    t->loss_count++;
    t->log_sum += loss;
    t->log_count++;
    return TARE_OK;
}

/* ---- between two tests ------------------------------------------------------------------------------------------- */

static tare_status log_training(trainer *t) {
    if (t->step % t->o->log_every != 0) { return TARE_OK; }
    double loss = t->log_sum / (double)t->log_count;
    t->log_sum = 0;
    t->log_count = 0;
    return tare_run_log(t->run, "train",
                        TARE_FIELDS(TARE_NUMBER("step", t->step), TARE_NUMBER("loss", loss),
                                    TARE_NUMBER("lr", tare_optim_lr(t->optim)), TARE_NUMBER("grad_norm", t->grad_norm),
                                    TARE_NUMBER("seconds", t->seconds)));
}

static bool all_made(const trainer *t) {
    return t->step >= t->o->steps || (t->o->seconds > 0 && t->seconds >= t->o->seconds);
}

/* Until step `end`, until the time is up, or until somebody asks to stop. */
static tare_status train_until(trainer *t, int64_t end) {
    char title[48];
    int64_t size = tare_shape_numel(t->feeder.shape), begin = end - 1 - (end - 1) % t->o->eval_every;
    double start = tare_clock(), before = t->seconds;
    snprintf(title, sizeof title, "to step %lld/%lld", (long long)end, (long long)t->o->steps);
    tare_progress_begin(t->progress, title, begin * size, (end - begin) * size, (t->step - begin) * size);
    while (t->step < end && !all_made(t) && !tare_stop()) {
        tare_status s = step_forward(t);
        t->seconds = before + tare_clock() - start;
        if (s == TARE_OK) { s = log_training(t); }
        if (s != TARE_OK) { return s; }
        tare_progress_step(t->progress, size, "loss %.4f", t->loss_sum / (double)t->loss_count);
        tare_memory_limit_look(t->o->memory_limit, t->tape, t->optim, t->progress, &t->over_limit);
        const char *profile = tare_profile_step(t->profile);
        if (profile) { tare_progress_print(t->progress, "%s", profile); }
    }
    return TARE_OK;
}

/* ---- samples ----------------------------------------------------------------------------------------------------- */

typedef struct collected {
    char *text;
    size_t used, room;
} collected;

/* A 0 byte would end the text. */
static bool collect(void *user, const char *text, int size) {
    collected *c = user;
    for (int i = 0; i < size && c->used + 1 < c->room; i++) { c->text[c->used++] = text[i] ? text[i] : '?'; }
    return true;
}

/* What bert is to fill in where no prompt says so: held-out text with holes. The length. */
static int64_t held_out_gaps(trainer *t, int32_t *x) {
    int64_t n = t->o->sample < t->o->context ? t->o->sample : t->o->context;
    if (n > t->text.held_out) { n = t->text.held_out; }
    int32_t *y = x + t->o->context;
    memcpy(x, t->text.held, (size_t)n * sizeof *x);
    hide(tare_rng_new(0, "held-out mask"), net_mask(&t->net), n, x, y);
    for (int64_t i = 0; i < n; i++) { x[i] = y[i] == -100 ? x[i] : net_mask(&t->net); }
    return n;
}

/* A line of it for the table: what a screen shows, line breaks as " / ", wide characters counted as two columns. */
static void print_excerpt(trainer *t, const char *text) {
    char line[320];
    size_t used = 0, n = strlen(text);
    for (size_t at = 0, columns = 0; at < n && columns < 70;) {
        uint32_t code = 0;
        int size = utf8_get((const unsigned char *)text + at, n - at, &code);
        bool shown = size > 0 && code >= 0x20 && !(code >= 0x7f && code < 0xa0);
        if (code == '\n' && used > 0) {
            used += (size_t)snprintf(line + used, sizeof line - used, " / ");
            columns += 3;
        } else if (shown) {
            memcpy(line + used, text + at, (size_t)size);
            used += (size_t)size;
            columns += code < 0x1100 ? 1 : 2;
        }
        at += size > 0 ? (size_t)size : 1;
    }
    tare_progress_print(t->progress, "  | %.*s", (int)used, line);
}

static tare_status write_sample(trainer *t) {
    if (t->o->sample == 0) { return TARE_OK; }
    bool gaps = is_bert(t->o) && !t->o->prompt;
    int32_t *x = tare_calloc((size_t)t->o->context, 2 * sizeof *x);
    collected c = { .room = 4 * (size_t)(t->o->sample + t->prompted + t->o->context) + 1 };
    c.text = tare_calloc(c.room, 1);
    if (!x || !c.text) {
        tare_free(x);
        return TARE_ENOMEM;
    }
    request r = { .net = &t->net,
                  .tape = t->test_tape,
                  .known = &t->text.known,
                  .prompt = gaps ? x : t->prompt,
                  .prompted = gaps ? held_out_gaps(t, x) : t->prompted,
                  .count = t->o->sample,
                  .temperature = t->o->temperature,
                  .top_k = t->o->top_k,
                  .rng = tare_rng_split(sample_rng(t->o), (uint64_t)t->step),
                  .put = collect,
                  .user = &c };
    tare_status s = write_text(&r);
    if (s == TARE_OK) {
        print_excerpt(t, c.text);
        s = tare_run_log(t->run, "sample", TARE_FIELDS(TARE_NUMBER("step", t->step), TARE_TEXT("text", c.text)));
    }
    tare_free(x);
    tare_free(c.text);
    return s;
}

/* ---- a test ------------------------------------------------------------------------------------------------------ */

/* Weights that make no step's loss NaN may still fail on text they have not seen. */
static tare_status test_failed(trainer *t, double loss) {
    char why[80];
    snprintf(why, sizeof why, "the loss on the text held out is %s", isnan(loss) ? "NaN" : "infinite");
    tare_run_log(t->run, "nonfinite", TARE_FIELDS(TARE_NUMBER("step", t->step), TARE_TEXT("reason", why)));
    return tare_fail(TARE_ENONFINITE, "step %lld: %s; a lower --lr may help\nthe last checkpoint stays as it was in %s",
                     (long long)t->step, why, tare_run_folder(t->run));
}

/* Test, log, print a row of the table, write a sample, save. */
static tare_status test(trainer *t) {
    score result;
    tare_status s = evaluate(&t->net, t->test_tape, &t->text, &result);
    if (s != TARE_OK) { return s; }
    if (!isfinite(result.loss)) { return test_failed(t, result.loss); }
    bool best = t->tests == 0 || result.loss < t->best;
    double loss = t->loss_sum / (double)t->loss_count, spent = t->seconds - t->tested_at;
    double rate = (double)(t->loss_count * tare_shape_numel(t->feeder.shape)) / fmax(spent, 1e-9);
    t->val_loss = result.loss;
    if (best) { t->best = result.loss; }
    t->tests++;
    s = tare_run_log(t->run, "eval",
                     TARE_FIELDS(TARE_NUMBER("step", t->step), TARE_NUMBER("loss", loss),
                                 TARE_NUMBER("val_loss", t->val_loss),
                                 TARE_NUMBER(bits_name(t->o), t->val_loss / log(2)), TARE_NUMBER("best", t->best),
                                 TARE_NUMBER("lr", tare_optim_lr(t->optim)), TARE_NUMBER("seconds", t->seconds),
                                 TARE_NUMBER("tokens_per_second", rate)));
    tare_progress_print(t->progress, "%7lld/%-7lld %8.4f %10.4f%s %9.4f %10.0f %8.1f", (long long)t->step,
                        (long long)t->o->steps, loss, t->val_loss, best ? "*" : " ", t->val_loss / log(2), rate,
                        t->seconds);
    t->loss_sum = 0;
    t->loss_count = 0;
    t->tested_at = t->seconds;
    if (s == TARE_OK) { s = write_sample(t); }
    if (s == TARE_OK) { s = trainer_save(t, "last.safetensors"); }
    if (s == TARE_OK && best) { s = trainer_save(t, "best.safetensors"); }
    return s;
}

/* ---- a run ------------------------------------------------------------------------------------------------------- */

static tare_status train_steps(trainer *t) {
    tare_status s = TARE_OK;
    if (all_made(t) && t->loss_count == 0) {
        const char *more = t->step >= t->o->steps ? "--steps N" : "--seconds S";
        tare_progress_print(t->progress, "all %lld steps are done; %s adds more", (long long)t->step, more);
        return s;
    }
    tare_progress_heading(t->progress, "%15s %8s %11s %9s %10s %8s", "step", "loss", "val. loss",
                          is_bert(t->o) ? "bits/gap"
                          : t->o->bytes ? "bits/byte"
                                        : "bits/char",
                          "tokens/s", "seconds");
    do { /* also where the time is up but what was trained last is not tested */
        int64_t every = t->o->eval_every, end = (t->step / every + 1) * every;
        if (end > t->o->steps) { end = t->o->steps; }
        s = train_until(t, end);
        if (s != TARE_OK || (t->step < end && !all_made(t))) { break; } /* asked to stop */
        s = test(t);
    } while (s == TARE_OK && !all_made(t));
    return s;
}

/* Interrupted: save what there is, and say how to go on. */
static int stop(trainer *t) {
    if (trainer_save(t, "last.safetensors") != TARE_OK) { return fail(1); }
    tare_run_log(t->run, "stop", TARE_FIELDS(TARE_NUMBER("step", t->step), TARE_NUMBER("signal", tare_stop())));
    tare_progress_print(t->progress, "\nstopped after step %lld; go on with:  tare charlm --resume %s",
                        (long long)t->step, tare_run_word(t->run));
    return 128 + tare_stop();
}

static int finish(trainer *t) {
    const char *bits = bits_words(t->o);
    tare_status s =
        tare_run_log(t->run, "end",
                     TARE_FIELDS(TARE_NUMBER("step", t->step), TARE_NUMBER("val_loss", t->val_loss),
                                 TARE_NUMBER(bits_name(t->o), t->val_loss / log(2)), TARE_NUMBER("best", t->best),
                                 TARE_NUMBER("seconds", t->seconds), TARE_NUMBER("step_bytes", tare_tape_peak(t->tape)),
                                 TARE_NUMBER("peak_bytes", tare_peak_memory())));
    if (s != TARE_OK) { return fail(1); }
    tare_progress_heading(t->progress, "\nvalidation loss %.4f nats, %.4f %s; best %.4f", t->val_loss,
                          t->val_loss / log(2), bits, t->best);
    tare_progress_end(t->progress, t->seconds, t->tape);
    tare_progress_print(t->progress, "run folder: %s\n%s  tare charlm --eval %s %s", tare_run_folder(t->run),
                        is_bert(t->o) ? "let it fill gaps:" : "let it write:", tare_run_word(t->run),
                        is_bert(t->o) ? "--prompt \"to be or n_t\"" : "--sample 500");
    return 0;
}

int train(const options *o, const tare_options *args) {
    trainer t = { .o = o };
    tare_stop_catch();
    int code = trainer_begin(&t, args);
    if (code < 0) {
        tare_status s = train_steps(&t);
        code = s == TARE_ENONFINITE ? EXIT_NONFINITE : s != TARE_OK ? 1 : 0;
        if (code != 0) {
            tare_progress_clear(t.progress);
            fail(code);
        } else {
            code = all_made(&t) ? finish(&t) : stop(&t);
        }
    }
    trainer_end(&t);
    return code;
}
