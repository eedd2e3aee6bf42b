/* train.c - the training loop: a step, an epoch, a run. */
#include "trainer.h"

#include <math.h>

/* ---- a step ------------------------------------------------------------------------------------------------------ */

/* Forward and backward of one batch, whose mean loss counts as `share` of the update's. */
static tare_status forward_backward(trainer *t, const tare_batch *b, double share) {
    tare_tape_reset(t->tape);
    tare_tensor *x = tare_input_view(t->tape, b->shape, b->x);
    tare_tensor *logits = tare_forward(t->model, t->tape, x);
    tare_tensor *loss = tare_cross_entropy(t->tape, logits, b->labels,
                                           (tare_cross_entropy_opt){ .label_smoothing = t->o->label_smoothing });
    if (!loss) { return tare_fail(tare_tape_status(t->tape), "%s", tare_tape_error(t->tape)); }
    if (!isfinite(tare_item(loss))) { return tare_fail(TARE_ENONFINITE, "the loss is %g", tare_item(loss)); }
    t->sums.loss += tare_item(loss) * (double)b->n;
    t->sums.correct += count_correct(logits, b->labels, NULL);
    t->sums.seen += b->n;
    return tare_backward(t->tape, share < 1 ? tare_scale(t->tape, loss, share) : loss);
}

/* At the end of an epoch the first batch of the next one. */
static tare_status next_batch(trainer *t, tare_batch *b) {
    tare_profile_enter(t->profile, TARE_PROFILE_DATA);
    bool there = tare_loader_next(t->loader, b);
    if (!there) { there = tare_loader_next(t->loader, b); }
    tare_profile_enter(t->profile, TARE_PROFILE_TAPE);
    return there ? TARE_OK : tare_loader_status(t->loader);
}

/* One update from `accumulate` batches, or from what is left of the epoch. */
static tare_status train_step(trainer *t) {
    tare_status s = tare_optim_lr_set(t->optim, tare_schedule_at(&t->schedule, t->step));
    tare_params_zero_grad(t->ps);
    int64_t left = tare_loader_samples(t->loader) - t->sums.seen;
    int64_t wanted = t->o->batch * t->o->accumulate, size = left < wanted ? left : wanted;
    tare_batch b;
    for (int64_t done = 0; s == TARE_OK && done < size; done += b.n) {
        s = next_batch(t, &b);
        if (s == TARE_OK) { s = forward_backward(t, &b, (double)b.n / (double)size); }
    }
    if (s == TARE_OK) { s = tare_norm_stats_log(t->stats, t->run, t->step); }
    /* Without --clip nothing is clipped, but a gradient of NaN or Inf is still found before it reaches the weights. */
    tare_profile_enter(t->profile, TARE_PROFILE_OPTIMIZER);
    double limit = t->o->learn.clip > 0 ? t->o->learn.clip : INFINITY;
    if (s == TARE_OK) { s = tare_optim_step_clipped(t->optim, limit, &t->grad_norm); }
    tare_profile_enter(t->profile, TARE_PROFILE_REST);
    if (s == TARE_OK) { t->step++; }
    return s;
}

typedef struct replay {
    trainer *t;
    epoch_sums before;
} replay;

static tare_status step_again(void *user) {
    replay *r = user;
    r->t->sums = r->before;
    return train_step(r->t);
}

/* The very step that went wrong, once more, to learn why; then back to the state before it, which is saved. */
static tare_status explain_nonfinite(trainer *t, epoch_sums before) {
    char why[1024];
    tare_status s = tare_guard_explain(t->guard, step_again, &(replay){ t, before }, why, sizeof why);
    t->sums = before;
    if (s == TARE_OK) { s = trainer_save(t, "last.safetensors"); }
    tare_run_log(t->run, "nonfinite", TARE_FIELDS(TARE_NUMBER("step", t->step + 1), TARE_TEXT("reason", why)));
    return tare_fail(TARE_ENONFINITE, "step %lld: %s\n%s %s", (long long)t->step + 1, why,
                     s == TARE_OK ? "the state before this step is saved in" : "the last checkpoint stays as it was in",
                     tare_run_folder(t->run));
}

/* ---- an epoch ---------------------------------------------------------------------------------------------------- */

/* Some 200 times in a run, at the same steps whether it was resumed or not: how the step went that was just made. */
static tare_status log_step(trainer *t, epoch_sums before) {
    int64_t every = (t->schedule.steps + 199) / 200;
    if (t->step % every != 0) { return TARE_OK; }
    double loss = (t->sums.loss - before.loss) / (double)(t->sums.seen - before.seen);
    return tare_run_log(t->run, "train",
                        TARE_FIELDS(TARE_NUMBER("step", t->step), TARE_NUMBER("loss", loss),
                                    TARE_NUMBER("lr", tare_optim_lr(t->optim)), TARE_NUMBER("grad_norm", t->grad_norm),
                                    TARE_NUMBER("seconds", t->total_seconds + t->sums.seconds)));
}

/* --eval-every: how good it is in between; no part of the time that training takes. */
static tare_status test_between(trainer *t) {
    if (t->o->eval_every == 0 || t->step % t->o->eval_every != 0) { return TARE_OK; }
    score test;
    tare_status s = evaluate(t->model, t->test_tape, t->test_loader, NULL, &test);
    if (s != TARE_OK) { return s; }
    return tare_run_log(t->run, "eval",
                        TARE_FIELDS(TARE_NUMBER("step", t->step), TARE_NUMBER("test_loss", test.loss),
                                    TARE_NUMBER("test_accuracy", test.accuracy),
                                    TARE_NUMBER("seconds", t->total_seconds + t->sums.seconds)));
}

static bool out_of_time(const trainer *t) {
    return t->o->seconds > 0 && t->total_seconds + t->sums.seconds >= t->o->seconds;
}

static bool all_made(const trainer *t) { return t->step >= t->steps || out_of_time(t); }

/* Until the epoch's images are used up, all updates are made, or somebody asks to stop. */
static tare_status train_images(trainer *t) {
    char title[32];
    int64_t samples = tare_loader_samples(t->loader);
    double start = tare_clock();
    snprintf(title, sizeof title, "epoch %lld/%lld", (long long)t->epoch + 1, (long long)t->epochs);
    tare_progress_begin(t->progress, title, t->epoch * samples, samples, t->sums.seen);
    while (t->sums.seen < samples && !all_made(t) && !tare_stop()) {
        epoch_sums before = t->sums;
        tare_guard_keep(t->guard);
        if (t->o->norm_stats > 0 && t->step % t->o->norm_stats == 0) { tare_norm_stats_begin(t->stats); }
        tare_status s = train_step(t);
        if (s == TARE_ENONFINITE) { return explain_nonfinite(t, before); }
        if (s != TARE_OK) { return s; }
        t->sums.seconds += tare_clock() - start;
        s = log_step(t, before);
        if (s == TARE_OK) { s = test_between(t); }
        if (s != TARE_OK) { return s; }
        start = tare_clock();
        tare_progress_step(t->progress, t->sums.seen - before.seen, "loss %.4f  accuracy %.2f%%",
                           t->sums.loss / (double)t->sums.seen, 100.0 * (double)t->sums.correct / (double)t->sums.seen);
        tare_memory_limit_look(t->o->memory_limit, t->tape, t->optim, t->progress, &t->over_limit);
        const char *profile = tare_profile_step(t->profile);
        if (profile) { tare_progress_print(t->progress, "%s", profile); }
    }
    return TARE_OK;
}

/* Test, log, print a row of the table, save. */
static tare_status finish_epoch(trainer *t) {
    score test;
    tare_status s = evaluate(t->model, t->test_tape, t->test_loader, t->confusion, &test);
    if (s != TARE_OK) { return s; }
    double n = (double)t->sums.seen, loss = t->sums.loss / n, accuracy = (double)t->sums.correct / n;
    double rate = n / fmax(t->sums.seconds, 1e-9);
    bool best = test.accuracy > t->best;
    t->epoch++;
    t->total_seconds += t->sums.seconds;
    t->test_accuracy = test.accuracy;
    if (best) { t->best = test.accuracy; }
    s = tare_run_log(t->run, "epoch",
                     TARE_FIELDS(TARE_NUMBER("epoch", t->epoch), TARE_NUMBER("step", t->step),
                                 TARE_NUMBER("lr", tare_optim_lr(t->optim)), TARE_NUMBER("loss", loss),
                                 TARE_NUMBER("accuracy", accuracy), TARE_NUMBER("test_loss", test.loss),
                                 TARE_NUMBER("test_accuracy", test.accuracy), TARE_NUMBER("best", t->best),
                                 TARE_NUMBER("seconds", t->total_seconds), TARE_NUMBER("images_per_second", rate)));
    tare_progress_print(t->progress, "%5lld/%-5lld %8.4f %9.2f%% %11.4f %9.2f%%%s %9.0f %8.1f", (long long)t->epoch,
                        (long long)t->epochs, loss, 100 * accuracy, test.loss, 100 * test.accuracy, best ? "*" : " ",
                        rate, t->sums.seconds);
    t->sums = (epoch_sums){ 0 };
    if (s == TARE_OK) { s = trainer_save(t, "last.safetensors"); }
    if (s == TARE_OK && best) { s = trainer_save(t, "best.safetensors"); }
    return s;
}

/* ---- a run ------------------------------------------------------------------------------------------------------- */

static tare_status train_epochs(trainer *t) {
    tare_status s = TARE_OK;
    if (t->epoch < t->epochs) {
        tare_progress_heading(t->progress, "%11s %8s %10s %11s %10s  %9s %8s", "epoch", "loss", "accuracy", "test loss",
                              "test acc.", "images/s", "seconds");
    } else {
        tare_progress_print(t->progress, "all %lld epochs are done; --epochs N adds more", (long long)t->epoch);
    }
    /* A resumed run may have an epoch begun and no time left: that is tested, and ends. */
    while (s == TARE_OK && t->epoch < t->epochs && (!all_made(t) || t->sums.seen > 0)) {
        s = train_images(t);
        if (s != TARE_OK) { return s; }
        if (t->sums.seen < tare_loader_samples(t->loader) && !all_made(t)) { break; } /* asked to stop */
        s = finish_epoch(t);
    }
    return s;
}

/* Interrupted: save what there is, and say how to go on. */
static int stop(trainer *t) {
    if (trainer_save(t, "last.safetensors") != TARE_OK) { return fail(1); }
    tare_run_log(t->run, "stop", TARE_FIELDS(TARE_NUMBER("step", t->step), TARE_NUMBER("signal", tare_stop())));
    tare_progress_print(t->progress, "\nstopped after step %lld; go on with:  tare mnist --resume %s",
                        (long long)t->step, tare_run_word(t->run));
    return 128 + tare_stop();
}

/* Batch norm both ways, of the last weights; nothing for other norms. */
static tare_status compare_statistics(trainer *t) {
    double by_batch;
    char text[256];
    tare_status s = evaluate_by_batch(t->model, t->test_tape, t->norm_loader, &by_batch);
    if (s != TARE_OK || !isfinite(by_batch)) { return s; }
    compare_text(t->test_accuracy, by_batch, text, sizeof text);
    tare_progress_print(t->progress, "%s", text);
    return tare_run_log(t->run, "batch_norm", COMPARE_FIELDS(t->test_accuracy, by_batch));
}

/* --test-contrast */
static tare_status test_contrast(trainer *t) {
    double c = t->o->test_contrast, accuracy;
    if (c == 1) { return TARE_OK; }
    tare_status s = evaluate_contrast(t->model, t->test_tape, t->test_loader, c, &accuracy);
    if (s != TARE_OK) { return s; }
    tare_progress_print(t->progress, "with %g times the contrast %.2f%%", c, 100 * accuracy);
    return tare_run_log(t->run, "contrast",
                        TARE_FIELDS(TARE_NUMBER("contrast", c), TARE_NUMBER("contrast_accuracy", accuracy)));
}

static int finish(trainer *t) {
    tare_status s = compare_statistics(t);
    if (s == TARE_OK) { s = test_contrast(t); }
    if (s == TARE_OK) { s = tare_confusion_write(t->confusion, t->run, t->test); }
    if (s != TARE_OK) { return fail(1); }
    s = tare_run_log(t->run, "end",
                     TARE_FIELDS(TARE_NUMBER("epoch", t->epoch), TARE_NUMBER("step", t->step),
                                 TARE_NUMBER("test_accuracy", t->test_accuracy), TARE_NUMBER("best", t->best),
                                 TARE_NUMBER("seconds", t->total_seconds),
                                 TARE_NUMBER("step_bytes", tare_tape_peak(t->tape)),
                                 TARE_NUMBER("peak_bytes", tare_peak_memory())));
    if (s != TARE_OK) { return fail(1); }
    tare_progress_heading(t->progress, "\ntest accuracy %.2f%%, best %.2f%%", 100 * t->test_accuracy, 100 * t->best);
    tare_progress_end(t->progress, t->total_seconds, t->tape);
    tare_progress_print(t->progress, "run folder: %s\nclassify pictures:  tare mnist --eval %s --predict FILE...",
                        tare_run_folder(t->run), tare_run_word(t->run));
    return 0;
}

int train(const options *o, const tare_options *args) {
    trainer t = { .o = o };
    tare_stop_catch();
    int code = trainer_begin(&t, args);
    if (code < 0) {
        tare_status s = train_epochs(&t);
        code = s == TARE_ENONFINITE ? EXIT_NONFINITE : s != TARE_OK ? 1 : 0;
        if (code != 0) {
            tare_progress_clear(t.progress);
            fail(code);
        } else {
            code = t.epoch < t.epochs && !all_made(&t) ? stop(&t) : finish(&t);
        }
    }
    trainer_end(&t);
    return code;
}
