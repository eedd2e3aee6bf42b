/* setup.c - from options to everything that training needs: data, two nets, two optimizers, run folder. */
#include "trainer.h"

#include <stdlib.h>
#include <string.h>

/* ---- players ----------------------------------------------------------------------------------------------------- */

/* 0 is a value on the command line, and "the default" in an option struct. */
static double meant(double value) { return value == 0 ? TARE_ZERO : value; }

static tare_status make_player(player *p, const options *o, const subject *what, bool generator) {
    uint64_t seed = (uint64_t)o->run.seed;
    p->ps = tare_params_new(seed);
    if (!p->ps) { return TARE_ENOMEM; }
    tare_params_push(p->ps, generator ? "g" : "d");
    p->net = generator ? generator_new(p->ps, o, what) : discriminator_new(p->ps, o, what);
    tare_params_pop(p->ps);
    tare_status s = params_status(p->ps);
    if (s != TARE_OK) { return s; }
    p->optim = tare_adam_new(p->ps, (tare_adam_opt){ .lr = meant(generator ? o->lr_g : o->lr_d),
                                                     .beta1 = meant(o->beta1),
                                                     .beta2 = meant(o->beta2) });
    p->tape = tare_tape_new((tare_tape_opt){ .training = true, .seed = seed });
    return p->optim && p->tape ? TARE_OK : TARE_ENOMEM;
}

static void free_player(player *p) {
    tare_guard_free(p->guard);
    tare_tape_free(p->tape);
    tare_optim_free(p->optim);
    tare_params_free(p->ps);
}

static tare_status make_players(trainer *t) {
    const options *o = t->o;
    tare_status s = tare_gan_loss_parse(o->loss, &t->loss);
    if (s == TARE_OK) { s = make_player(&t->g, o, &t->data.what, true); }
    if (s == TARE_OK) { s = make_player(&t->d, o, &t->data.what, false); }
    if (s == TARE_OK) { s = sampler_new(&t->sampler, o, &t->data.what); }
    if (s != TARE_OK) { return s; }
    t->fake_tape = tare_tape_new((tare_tape_opt){ .training = true, .no_grad = true, .seed = (uint64_t)o->run.seed });
    t->z = tare_malloc((size_t)(o->batch * o->z_dim) * sizeof *t->z);
    t->labels = tare_malloc((size_t)o->batch * sizeof *t->labels);
    t->ema = o->ema > 0 ? tare_ema_new(t->g.ps, (tare_ema_opt){ .decay = o->ema }) : NULL;
    return t->fake_tape && t->z && t->labels && (o->ema <= 0 || t->ema) ? TARE_OK : TARE_ENOMEM;
}

/* Where there are fewer samples than --batch, D sees all of them at once; are those enough for what looks at a batch? */
static tare_status check_batch(const trainer *t, int64_t count) {
    const options *o = t->o;
    int64_t n = count < o->batch ? count : o->batch;
    const subject *what = &t->data.what;
    bool one_value = what->toy || (what->shape.dim[1] == 8 && what->shape.dim[2] == 8); /* in G's first layers */
    const char *norm = tare_norm_uses_batch(o->d_norm)                ? o->d_norm
                       : one_value && tare_norm_uses_batch(o->g_norm) ? o->g_norm
                                                                      : NULL;
    if (n == 1 && norm) {
        return tare_fail(TARE_EINVAL, "%s: one sample in a batch (%lld to train on, --batch %lld) has no variance; %s",
                         norm, (long long)count, (long long)o->batch,
                         count == 1 ? "take another norm" : "take --batch 2 or more");
    }
    if (o->minibatch_stddev && n > 4 && n % 4 != 0) {
        return tare_fail(TARE_EINVAL,
                         "--minibatch-stddev takes four samples at a time, and there are %lld to train on: take "
                         "--batch %lld",
                         (long long)count, (long long)(count / 4 * 4));
    }
    return TARE_OK;
}

static tare_status make_loader(trainer *t) {
    int64_t count = t->o->limit > 0 && t->o->limit < t->data.train->count ? t->o->limit : t->data.train->count;
    tare_status s = check_batch(t, count);
    if (s != TARE_OK) { return s; }
    tare_loader_opt opt = { .batch = t->o->batch,
                            .shuffle = true,
                            .drop_last = count >= t->o->batch,
                            .seed = (uint64_t)t->o->run.seed,
                            .limit = t->o->limit };
    return data_loader(&t->data, t->data.train, opt, &t->loader);
}

/* ---- state ------------------------------------------------------------------------------------------------------- */

static void bind_player(tare_checkpoint *c, player *p, const char *optim, const char *tape) {
    tare_checkpoint_params(c, "", p->ps); /* names begin with g. and d. */
    tare_checkpoint_optim(c, optim, p->optim);
    tare_checkpoint_tape(c, tape, p->tape);
}

static tare_status bind_state(trainer *t) {
    tare_checkpoint *c = t->state = tare_checkpoint_new();
    t->g.guard = tare_guard_new(t->g.ps, t->g.tape, NULL);
    t->d.guard = tare_guard_new(t->d.ps, t->d.tape, t->loader);
    if (!c || !t->g.guard || !t->d.guard) { return TARE_ENOMEM; }
    tare_status s = tare_guard_also(t->g.guard, &t->draws, sizeof t->draws);
    if (s == TARE_OK) { s = tare_guard_also(t->d.guard, &t->draws, sizeof t->draws); }
    bind_player(c, &t->g, "optim_g", "tape_g");
    bind_player(c, &t->d, "optim_d", "tape_d");
    if (t->ema) { tare_checkpoint_ema(c, "ema", t->ema); }
    tare_checkpoint_int(c, "step", &t->step);
    tare_checkpoint_int(c, "draws", &t->draws);
    tare_checkpoint_uint(c, "loader.epoch", &t->place.epoch);
    tare_checkpoint_int(c, "loader.position", &t->place.position);
    tare_checkpoint_double(c, "sums.d_loss", &t->sums.d_loss);
    tare_checkpoint_double(c, "sums.g_loss", &t->sums.g_loss);
    tare_checkpoint_double(c, "sums.d_real", &t->sums.d_real);
    tare_checkpoint_double(c, "sums.d_fake", &t->sums.d_fake);
    tare_checkpoint_double(c, "sums.d_grad", &t->sums.d_grad);
    tare_checkpoint_double(c, "sums.g_grad", &t->sums.g_grad);
    tare_checkpoint_int(c, "sums.d_n", &t->sums.d_n);
    tare_checkpoint_int(c, "sums.g_n", &t->sums.g_n);
    tare_checkpoint_int(c, "health.named", &t->health.named);
    tare_checkpoint_double(c, "health.d_grad", &t->health.d_grad);
    tare_checkpoint_double(c, "health.g_grad", &t->health.g_grad);
    tare_checkpoint_double(c, "d_loss", &t->d_loss);
    tare_checkpoint_double(c, "g_loss", &t->g_loss);
    tare_checkpoint_double(c, "best", &t->best);
    tare_checkpoint_double(c, "seconds", &t->seconds);
    return s;
}

tare_status trainer_save(trainer *t) {
    t->place = tare_loader_tell(t->loader);
    return tare_checkpoint_save(t->state, tare_run_path(t->run, "last.safetensors"));
}

/* The data must be what the run began with: same size, same classes. */
static tare_status check_subject(trainer *t) {
    subject stored = { 0 };
    tare_status s = subject_file(&stored, t->o, tare_run_path(t->run, "input.safetensors"), false);
    const char *names = t->data.what.class_names ? t->data.what.class_names : "";
    if (s == TARE_OK && !(tare_shape_equal(stored.shape, t->data.what.shape) &&
                          stored.classes == t->data.what.classes && strcmp(stored.class_names, names) == 0)) {
        s = tare_fail(TARE_EMISMATCH, "%s: the data is not what this run was trained on", t->o->data);
    }
    subject_free(&stored);
    return s;
}

static tare_status resume(trainer *t) {
    tare_status s = check_subject(t);
    if (s == TARE_OK) { s = tare_checkpoint_load(t->state, tare_run_path(t->run, "last.safetensors")); }
    if (s == TARE_OK) { s = tare_loader_seek(t->loader, t->place); }
    if (s != TARE_OK) { return s; }
    tare_progress_print(t->progress, "going on after step %lld\n", (long long)t->step);
    return tare_run_resumed(t->run, t->step);
}

static tare_status open_run(trainer *t, const tare_options *args) {
    char hint[128];
    const char *name = strrchr(t->o->data, '/');
    snprintf(hint, sizeof hint, "%s-%s-%s", name ? name + 1 : t->o->data, t->o->g_norm, t->o->d_norm);
    tare_status s = tare_run_open(&t->run, args, &t->o->run, hint);
    if (s != TARE_OK) { return s; }
    if (t->o->run.json) { tare_run_echo(t->run, stdout); }
    if (t->o->run.resume) { return resume(t); }
    s = subject_file(&t->data.what, t->o, tare_run_path(t->run, "input.safetensors"), true);
    if (s == TARE_OK) { s = tare_run_write(t->run, "summary.txt", t->summary); }
    if (s == TARE_OK) { s = trainer_save(t); }
    if (s != TARE_OK) { return s; }
    return tare_run_log(t->run, "start",
                        TARE_FIELDS(TARE_NUMBER("samples", tare_loader_samples(t->loader)),
                                    TARE_NUMBER("steps", t->o->steps),
                                    TARE_NUMBER("g_parameters", tare_params_numel(t->g.ps)),
                                    TARE_NUMBER("d_parameters", tare_params_numel(t->d.ps))));
}

/* ---- what is said before ----------------------------------------------------------------------------------------- */

/* One net behind the other, for the report. */
static tare_status add_summary(trainer *t, const char *title, const char *table) {
    const char *before = t->summary ? t->summary : "";
    size_t size = strlen(before) + strlen(title) + strlen(table) + 3;
    char *text = tare_malloc(size);
    if (!text) { return TARE_ENOMEM; }
    snprintf(text, size, "%s%s\n%s\n", before, title, table);
    tare_free(t->summary);
    t->summary = text;
    return TARE_OK;
}

static tare_status print_net(trainer *t, const char *title, tare_layer *net, tare_shape sample) {
    static const int32_t label[1] = { 0 };
    char *table = NULL;
    tare_condition(net, label, 1);
    tare_status s = tare_summary(net, sample, &table);
    if (s != TARE_OK) { return s; }
    tare_progress_print(t->progress, "%s\n%s", title, table);
    s = add_summary(t, title, table);
    tare_free(table);
    return s;
}

static tare_status print_start(trainer *t) {
    tare_machine m;
    tare_machine_get(&m);
    const toy *points = t->data.what.toy;
    tare_progress_print(t->progress, "%s%s%s", points ? points->name : t->data.train->about, points ? ": " : "",
                        points ? points->about : "");
    tare_progress_print(t->progress, "%d of %d cores, %s kernels, seed %lld\n", m.threads, m.cores, m.isa,
                        (long long)t->o->run.seed);
    tare_status s = print_net(t, "generator", t->g.net, TARE_SHAPE(t->o->z_dim));
    return s == TARE_OK ? print_net(t, "discriminator", t->d.net, t->data.what.shape) : s;
}

/* One step tells how much memory training takes. */
static tare_status print_dry_run(trainer *t, const tare_options *args) {
    player *who = NULL;
    tare_status s = train_step(t, &who);
    if (s != TARE_OK) { return s; }
    char *json = tare_options_json(args), *command = tare_options_command(args);
    int64_t values = tare_params_flat_size(t->g.ps) + tare_params_flat_size(t->d.ps);
    double state = (double)values * 4 * sizeof(tare_real); /* weights, gradients, two moments */
    double step = (double)(tare_tape_peak(t->g.tape) + tare_tape_peak(t->d.tape) + tare_tape_peak(t->fake_tape));
    if (json && command && t->o->run.json) {
        tare_event_print(
            stdout, "dry_run",
            TARE_FIELDS(TARE_NUMBER("steps", t->o->steps), TARE_NUMBER("g_parameters", tare_params_numel(t->g.ps)),
                        TARE_NUMBER("d_parameters", tare_params_numel(t->d.ps)), TARE_NUMBER("step_bytes", step),
                        TARE_NUMBER("state_bytes", state), TARE_TEXT("command", command)));
    } else if (json && command) {
        tare_progress_print(t->progress, "\noptions %s\ncommand: %s", json, command);
        tare_progress_print(t->progress,
                            "memory: %.1f MiB for a step of %lld samples, %.1f MiB for weights, gradients and "
                            "optimizers\nsteps: %lld\ndry run: nothing was trained or written",
                            step / 1048576.0, (long long)t->o->batch, state / 1048576.0, (long long)t->o->steps);
    }
    s = json && command ? TARE_OK : TARE_ENOMEM;
    tare_free(json);
    tare_free(command);
    return s;
}

static tare_status make_profile(trainer *t) {
    t->profile = tare_profile_new(&t->o->look, t->d.tape, t->d.optim);
    if (!t->profile) { return TARE_ENOMEM; }
    tare_status s = tare_profile_also(t->profile, t->g.tape, t->g.optim);
    return s == TARE_OK ? tare_profile_also(t->profile, t->fake_tape, NULL) : s;
}

/* ---- beginning and end ------------------------------------------------------------------------------------------- */

int trainer_begin(trainer *t, const tare_options *args) {
    const options *o = t->o;
    tare_status s = data_open(&t->data, o);
    if (s != TARE_OK) { return fail(1); }
    s = make_loader(t);
    if (s == TARE_OK) { s = make_players(t); }
    if (s != TARE_OK) { return fail(s == TARE_EINVAL ? EXIT_USAGE : 1); } /* groups that do not divide, ... */
    t->progress = tare_progress_new((tare_progress_opt){
        .stream = stdout, .quiet = o->run.quiet || o->run.json, .total = o->steps, .unit = "steps" });
    s = t->progress ? print_start(t) : TARE_ENOMEM;
    if (s == TARE_ESHAPE) { return fail(EXIT_USAGE); } /* a norm that the samples have no positions for, ... */
    if (s == TARE_OK) { s = make_profile(t); }
    if (s == TARE_OK) { s = bind_state(t); }
    if (s == TARE_OK && o->run.dry_run) { return print_dry_run(t, args) == TARE_OK ? 0 : fail(1); }
    if (s == TARE_OK) { s = open_run(t, args); }
    if (s == TARE_OK) { s = judge_open(&t->judge, &t->data, o, t->progress); }
    /* Stopped while the judge learns: train saves, and says how to go on. */
    if (s == TARE_EINTR) { return all_made(t) ? 128 + tare_stop() : -1; }
    return s == TARE_OK ? -1 : fail(s == TARE_EEXIST || s == TARE_EINVAL ? EXIT_USAGE : 1);
}

void trainer_end(trainer *t) {
    tare_run_close(t->run);
    tare_free(t->summary);
    tare_progress_free(t->progress);
    tare_profile_free(t->profile);
    tare_checkpoint_free(t->state);
    judge_free(t->judge);
    sampler_free(&t->sampler);
    tare_ema_free(t->ema);
    free_player(&t->g);
    free_player(&t->d);
    tare_tape_free(t->fake_tape);
    tare_loader_free(t->loader);
    tare_free(t->z);
    tare_free(t->labels);
    data_close(&t->data);
}
