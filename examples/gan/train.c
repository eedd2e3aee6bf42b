/* train.c - a run: steps until there are enough, with a look at the samples now and then. */
#include "trainer.h"

#include <math.h>
#include <signal.h>

/* ---- steps ------------------------------------------------------------------------------------------------------- */

static tare_status nonfinite(trainer *t, player *who) {
    char why[1024];
    explain_nonfinite(t, who, why, sizeof why);
    tare_status s = name_nonfinite(t, why);
    return s != TARE_OK ? s
                        : tare_fail(TARE_ENONFINITE,
                                    "step %lld, %s: %s\nthe run as it was saved last is in %s; lower rates, or another "
                                    "norm, may keep it finite",
                                    (long long)t->step + 1, who == &t->d ? "discriminator" : "generator", why,
                                    tare_run_folder(t->run));
}

bool all_made(const trainer *t) { return t->step >= t->o->steps || (t->o->seconds > 0 && t->seconds >= t->o->seconds); }

static tare_status one_step(trainer *t) {
    player *who = NULL;
    double start = tare_clock();
    tare_status s = train_step(t, &who);
    if (s == TARE_ENONFINITE) { return nonfinite(t, who); }
    if (s != TARE_OK) { return s; }
    t->seconds += tare_clock() - start;
    tare_profile_enter(t->profile, TARE_PROFILE_REST);
    double d_n = (double)t->sums.d_n, g_n = (double)t->sums.g_n;
    tare_progress_step(t->progress, 1, "D %.3f  G %.3f  D(x) %.2f  D(G(z)) %.2f", t->sums.d_loss / d_n,
                       t->sums.g_loss / g_n, t->sums.d_real / d_n, t->sums.d_fake / d_n);
    bool last = all_made(t);
    if (t->step % LOG_EVERY == 0 || last) { s = log_train(t); }
    if (s == TARE_OK && (t->step % t->o->sample_every == 0 || last)) { s = look(t); }
    const char *profile = tare_profile_step(t->profile);
    if (profile) { tare_progress_print(t->progress, "%s", profile); }
    return s;
}

static tare_status train_steps(trainer *t) {
    if (all_made(t)) {
        const char *more = t->step >= t->o->steps ? "--steps N" : "--seconds S";
        tare_progress_print(t->progress, "all %lld steps are done; %s adds more", (long long)t->step, more);
        return TARE_OK;
    }
    const char *units = t->data.what.toy ? "modes" : "classes";
    tare_progress_heading(t->progress, "%8s %8s %8s %8s %9s %9s %8s %8s", "step", "D loss", "G loss", "D sigma",
                          t->data.what.toy ? "on modes" : "Frechet", t->data.what.toy ? "" : "inception", units,
                          "seconds");
    tare_progress_begin(t->progress, "", 0, t->o->steps, t->step);
    tare_status s = TARE_OK;
    while (s == TARE_OK && !all_made(t) && !tare_stop()) { s = one_step(t); }
    return s;
}

/* ---- ends -------------------------------------------------------------------------------------------------------- */

/* Interrupted: save what there is, and say how to go on. */
static int stop(trainer *t) {
    if (trainer_save(t) != TARE_OK) { return fail(1); }
    tare_run_log(t->run, "stop", TARE_FIELDS(TARE_NUMBER("step", t->step), TARE_NUMBER("signal", tare_stop())));
    tare_progress_print(t->progress, "\nstopped after step %lld; go on with:  tare gan --resume %s", (long long)t->step,
                        tare_run_word(t->run));
    return 128 + tare_stop();
}

static tare_status interpolate(trainer *t) {
    if (t->data.what.toy) { return TARE_OK; }
    tare_status s = picture_interpolation(&t->sampler, tare_run_path(t->run, "samples/interpolation.png"));
    if (s != TARE_OK) { return s; }
    return tare_run_log(t->run, "sample",
                        TARE_FIELDS(TARE_NUMBER("step", t->step), TARE_TEXT("file", "samples/interpolation.png")));
}

static tare_status log_end(trainer *t) {
    tare_field fields[METRIC_FIELDS + 8] = { TARE_NUMBER("step", t->step), TARE_NUMBER("d_loss", t->d_loss),
                                             TARE_NUMBER("g_loss", t->g_loss) };
    int n = metrics_fields(&t->last, &t->data.what, fields, 3);
    if (isfinite(t->best)) { fields[n++] = (tare_field)TARE_NUMBER("best", t->best); }
    fields[n++] = (tare_field)TARE_NUMBER("seconds", t->seconds);
    fields[n++] = (tare_field)TARE_NUMBER("peak_bytes", tare_peak_memory());
    return tare_run_log(t->run, "end", fields);
}

static int finish(trainer *t) {
    char text[256];
    tare_status s = interpolate(t);
    if (s == TARE_OK) { s = log_end(t); }
    if (s != TARE_OK) { return fail(1); }
    metrics_text(&t->last, &t->data.what, text, sizeof text);
    tare_progress_heading(t->progress, "\n%s", text);
    tare_progress_end(t->progress, t->seconds, NULL);
    tare_progress_print(t->progress, "pictures: %s/samples\ndraw more:  tare gan --eval %s --sample 64 --png more.png",
                        tare_run_folder(t->run), tare_run_word(t->run));
    return 0;
}

/* A run that was complete already when it was resumed is measured, since nothing else was. */
static tare_status measure_again(trainer *t) {
    tare_status s = sampler_take(&t->sampler, t->g.ps, t->ema);
    return s == TARE_OK ? judge_sampler(t->judge, &t->sampler, &t->last) : s;
}

int train(const options *o, const tare_options *args) {
    trainer t = { .o = o, .best = (double)NAN };
    tare_stop_catch();
    int code = trainer_begin(&t, args);
    if (code < 0) {
        bool complete = all_made(&t);
        tare_status s = train_steps(&t);
        if (s == TARE_OK && complete) { s = measure_again(&t); }
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
