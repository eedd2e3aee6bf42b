/* setup.c - from options to everything that training needs: text, model, optimizer, run folder. */
#include "trainer.h"

#include <string.h>

/* ---- model and optimizer ----------------------------------------------------------------------------------------- */

static tare_status make_model(trainer *t) {
    uint64_t seed = (uint64_t)t->o->run.seed;
    t->ps = tare_params_new(seed);
    if (!t->ps) { return TARE_ENOMEM; }
    net_new(&t->net, t->ps, t->o, &t->text.known);
    tare_status s = tare_params_status(t->ps);
    if (s != TARE_OK) { return tare_fail(s, "%s", tare_params_error(t->ps)); }
    t->optim = tare_learn_optim(&t->o->learn, t->ps);
    t->tape = tare_tape_new((tare_tape_opt){ .training = true, .seed = seed });
    t->test_tape = tare_tape_new((tare_tape_opt){ .no_grad = true });
    if (!t->optim || !t->tape || !t->test_tape) { return TARE_ENOMEM; }
    s = tare_memory_limit(t->o->memory_limit, t->tape, t->optim);
    if (s != TARE_OK) { return s; }
    s = feeder_new(&t->feeder, t->o, &t->text, net_mask(&t->net));
    if (s == TARE_OK) { s = tare_learn_schedule(&t->o->learn, t->o->steps, &t->schedule); }
    return s == TARE_OK ? prompt_read(t->o, &t->text.known, net_mask(&t->net), &t->prompt, &t->prompted) : s;
}

/* After the summary, whose one sample is no batch. */
static tare_status make_state(trainer *t) {
    if (!t->net.rnn) { return TARE_OK; }
    t->net.state = tare_rnn_state_new(t->net.rnn, t->o->batch);
    return t->net.state ? tare_layer_rnn_carry(t->net.rnn, t->net.state) : TARE_ENOMEM;
}

static tare_status make_guard(trainer *t) {
    t->guard = tare_guard_new(t->ps, t->tape, NULL);
    t->stats = tare_norm_stats_new(t->ps, t->tape);
    t->profile = tare_profile_new(&t->o->look, t->tape, t->optim);
    if (!t->guard || !t->stats || !t->profile) { return TARE_ENOMEM; }
    if (!t->net.state) { return TARE_OK; }
    int64_t count;
    tare_real *data = tare_rnn_state_data(t->net.state, &count);
    return tare_guard_also(t->guard, data, (size_t)count * sizeof *data);
}

/* ---- state ------------------------------------------------------------------------------------------------------- */

static tare_status bind_state(trainer *t) {
    tare_checkpoint *c = t->state = tare_checkpoint_new();
    t->vocabulary = vocabulary_text(&t->text.known);
    t->text_hash = t->text.hash;
    if (!c || !t->vocabulary) { return TARE_ENOMEM; }
    tare_checkpoint_params(c, "", t->ps);
    tare_checkpoint_optim(c, "optim", t->optim);
    tare_checkpoint_tape(c, "tape", t->tape);
    if (t->net.state) {
        int64_t count;
        tare_real *data = tare_rnn_state_data(t->net.state, &count);
        tare_checkpoint_tensor(c, "carried", TARE_SHAPE(count), data);
    }
    tare_checkpoint_text(c, "vocabulary", &t->vocabulary);
    tare_checkpoint_uint(c, "text_hash", &t->text_hash);
    tare_checkpoint_int(c, "step", &t->step);
    tare_checkpoint_int(c, "tests", &t->tests);
    tare_checkpoint_double(c, "loss_sum", &t->loss_sum);
    tare_checkpoint_int(c, "loss_count", &t->loss_count);
    tare_checkpoint_double(c, "log_sum", &t->log_sum);
    tare_checkpoint_int(c, "log_count", &t->log_count);
    tare_checkpoint_double(c, "val_loss", &t->val_loss);
    tare_checkpoint_double(c, "best", &t->best);
    tare_checkpoint_double(c, "seconds", &t->seconds);
    tare_checkpoint_double(c, "tested_at", &t->tested_at);
    return TARE_OK;
}

tare_status trainer_save(trainer *t, const char *file) {
    return tare_checkpoint_save(t->state, tare_run_path(t->run, file));
}

static tare_status resume(trainer *t) {
    tare_status s = tare_checkpoint_load(t->state, tare_run_path(t->run, "last.safetensors"));
    if (s != TARE_OK) { return s; }
    if (t->text_hash != t->text.hash) {
        return tare_fail(TARE_EMISMATCH, "the text is not what this run was trained on; --text names it, if it moved");
    }
    tare_progress_print(t->progress, "going on after step %lld\n", (long long)t->step);
    return tare_run_resumed(t->run, t->step);
}

static tare_status open_run(trainer *t, const tare_options *args) {
    char hint[64];
    snprintf(hint, sizeof hint, "%s-%s", t->o->arch, t->o->norm);
    tare_status s = tare_run_open(&t->run, args, &t->o->run, hint);
    if (s != TARE_OK) { return s; }
    if (t->o->run.json) { tare_run_echo(t->run, stdout); }
    if (t->o->run.resume) { return resume(t); }
    s = tare_run_write(t->run, "summary.txt", t->summary);
    if (s == TARE_OK) { s = trainer_save(t, "last.safetensors"); }
    if (s != TARE_OK) { return s; }
    return tare_run_log(t->run, "start",
                        TARE_FIELDS(TARE_NUMBER("characters", t->text.trained),
                                    TARE_NUMBER("held_out", t->text.held_out),
                                    TARE_NUMBER("vocabulary", t->text.known.size), TARE_NUMBER("steps", t->o->steps),
                                    TARE_NUMBER("tokens_per_step", tare_shape_numel(t->feeder.shape)),
                                    TARE_NUMBER("parameters", tare_params_numel(t->ps))));
}

/* ---- what is said before ----------------------------------------------------------------------------------------- */

static tare_status print_start(trainer *t) {
    tare_machine m;
    tare_machine_get(&m);
    tare_status s = tare_summary(t->net.whole, TARE_SHAPE(t->o->context), &t->summary);
    if (s != TARE_OK) { return s; }
    tare_progress_print(t->progress, "%lld %s of text to learn from, %lld to test on, %d different",
                        (long long)t->text.trained, t->o->bytes ? "bytes" : "characters", (long long)t->text.held_out,
                        (int)t->text.known.size);
    tare_progress_print(t->progress, "%d of %d cores, %s kernels, seed %lld\n", m.threads, m.cores, m.isa,
                        (long long)t->o->run.seed);
    tare_progress_print(t->progress, "%s", t->summary);
    return TARE_OK;
}

/* --dry-run: one step tells how much memory training takes. */
static tare_status print_dry_run(trainer *t, const tare_options *args) {
    tare_status s = tare_backward(t->tape, trainer_loss(t));
    char batch[48];
    snprintf(batch, sizeof batch, "%lld tokens", (long long)tare_shape_numel(t->feeder.shape));
    if (s != TARE_OK) { return s; }
    return tare_run_describe(args, &t->o->run, t->progress,
                             (tare_run_facts){ t->tape, t->ps, t->optim, t->o->steps, batch, stdout });
}

/* ---- beginning and end ------------------------------------------------------------------------------------------- */

int trainer_begin(trainer *t, const tare_options *args) {
    const options *o = t->o;
    tare_status s = corpus_open(&t->text, o, NULL, false);
    if (s != TARE_OK) { return fail(1); }
    s = make_model(t);
    if (s == TARE_OK) { s = corpus_testable(&t->text); }
    if (s != TARE_OK) { return fail(s == TARE_EINVAL ? EXIT_USAGE : 1); }
    t->progress = tare_progress_new((tare_progress_opt){ .stream = stdout,
                                                         .quiet = o->run.quiet || o->run.json,
                                                         .unit = "tokens",
                                                         .total = o->steps * tare_shape_numel(t->feeder.shape) });
    s = t->progress ? print_start(t) : TARE_ENOMEM;
    if (s == TARE_OK) { s = make_state(t); }
    if (s == TARE_OK && o->run.dry_run) { return print_dry_run(t, args) == TARE_OK ? 0 : fail(1); }
    if (s == TARE_OK) { s = make_guard(t); }
    if (s == TARE_OK) { s = bind_state(t); }
    if (s == TARE_OK) { s = open_run(t, args); }
    return s == TARE_OK ? -1 : fail(s == TARE_EEXIST || s == TARE_EINVAL ? EXIT_USAGE : 1);
}

void trainer_end(trainer *t) {
    tare_run_close(t->run);
    tare_progress_free(t->progress);
    tare_checkpoint_free(t->state);
    tare_guard_free(t->guard);
    tare_norm_stats_free(t->stats);
    tare_profile_free(t->profile);
    tare_tape_free(t->tape);
    tare_tape_free(t->test_tape);
    tare_optim_free(t->optim);
    net_free(&t->net);
    tare_params_free(t->ps);
    feeder_free(&t->feeder);
    corpus_free(&t->text);
    tare_free(t->prompt);
    tare_free(t->summary);
    tare_free(t->vocabulary);
}
