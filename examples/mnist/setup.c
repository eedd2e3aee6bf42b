/* setup.c - from options to everything that training needs: data, model, optimizer, run folder. */
#include "trainer.h"

#include <stdlib.h>
#include <string.h>

/* ---- data -------------------------------------------------------------------------------------------------------- */

static char *join_names(const tare_dataset *data) {
    size_t size = 0;
    for (int64_t k = 0; k < data->classes; k++) { size += strlen(data->class_names[k]) + 1; }
    char *text = tare_malloc(size), *end = text;
    for (int64_t k = 0; text && k < data->classes; k++) {
        end += snprintf(end, size - (size_t)(end - text), "%s%s", k > 0 ? "\n" : "", data->class_names[k]);
    }
    return text;
}

static tare_status open_data(trainer *t) {
    tare_status s = tare_data_open(t->o->data, (tare_data_opt){ 0 }, &t->train, &t->test);
    if (s != TARE_OK) { return s; }
    t->in = (input_spec){ t->train->channels, t->train->height, t->train->width, t->train->classes,
                          .class_names = join_names(t->train) };
    memcpy(t->in.mean, t->train->mean, sizeof t->in.mean);
    memcpy(t->in.std, t->train->std, sizeof t->in.std);
    return t->in.class_names ? TARE_OK : TARE_ENOMEM;
}

static tare_status make_loaders(trainer *t) {
    const options *o = t->o;
    tare_shape image = image_shape(o, &t->in);
    bool both = strcmp(o->augment, "both") == 0;
    tare_augment augment = { .shift = both || strcmp(o->augment, "shift") == 0 ? 2 : 0,
                             .flip = both || strcmp(o->augment, "flip") == 0 };
    tare_loader_opt training = { .batch = o->batch,
                                 .shuffle = true,
                                 .seed = (uint64_t)o->run.seed,
                                 .limit = o->limit,
                                 .avoid_single = tare_norm_uses_batch(o->norm),
                                 .augment = augment,
                                 .height = image.dim[1],
                                 .width = image.dim[2] };
    tare_status s = tare_loader_new(t->train, training, &t->loader);
    if (s == TARE_OK) { s = test_loader_new(o, &t->in, t->test, TEST_BATCH, &t->test_loader); }
    return s == TARE_OK ? test_loader_new(o, &t->in, t->test, o->test_norm_batch, &t->norm_loader) : s;
}

/* ---- model and optimizer ----------------------------------------------------------------------------------------- */

static tare_status make_model(trainer *t) {
    uint64_t seed = (uint64_t)t->o->run.seed;
    t->ps = tare_params_new(seed);
    if (!t->ps) { return TARE_ENOMEM; }
    t->model = model_new(t->ps, t->o, &t->in);
    tare_status s = tare_params_status(t->ps);
    if (s != TARE_OK) { return tare_fail(s, "%s", tare_params_error(t->ps)); }
    t->optim = tare_learn_optim(&t->o->learn, t->ps);
    t->tape = tare_tape_new((tare_tape_opt){ .training = true, .seed = seed });
    t->test_tape = tare_tape_new((tare_tape_opt){ .no_grad = true });
    if (!t->optim || !t->tape || !t->test_tape) { return TARE_ENOMEM; }
    return tare_memory_limit(t->o->memory_limit, t->tape, t->optim);
}

static tare_status make_schedule(trainer *t) {
    int64_t update = t->o->batch * t->o->accumulate, samples = tare_loader_samples(t->loader);
    int64_t epoch = (samples + update - 1) / update;
    t->steps = t->o->steps > 0 ? t->o->steps : epoch * t->o->epochs;
    t->epochs = (t->steps + epoch - 1) / epoch;
    return tare_learn_schedule(&t->o->learn, t->steps, &t->schedule);
}

/* ---- state ------------------------------------------------------------------------------------------------------- */

static tare_status bind_state(trainer *t) {
    tare_checkpoint *c = t->state = tare_checkpoint_new();
    if (!c) { return TARE_ENOMEM; }
    tare_checkpoint_params(c, "", t->ps);
    tare_checkpoint_optim(c, "optim", t->optim);
    tare_checkpoint_tape(c, "tape", t->tape);
    tare_checkpoint_int(c, "epoch", &t->epoch);
    tare_checkpoint_int(c, "step", &t->step);
    tare_checkpoint_uint(c, "loader.epoch", &t->place.epoch);
    tare_checkpoint_int(c, "loader.position", &t->place.position);
    tare_checkpoint_double(c, "sums.loss", &t->sums.loss);
    tare_checkpoint_double(c, "sums.seconds", &t->sums.seconds);
    tare_checkpoint_int(c, "sums.correct", &t->sums.correct);
    tare_checkpoint_int(c, "sums.seen", &t->sums.seen);
    tare_checkpoint_double(c, "test_accuracy", &t->test_accuracy);
    tare_checkpoint_double(c, "best", &t->best);
    tare_checkpoint_double(c, "total_seconds", &t->total_seconds);
    return TARE_OK;
}

tare_status trainer_save(trainer *t, const char *file) {
    t->place = tare_loader_tell(t->loader);
    return tare_checkpoint_save(t->state, tare_run_path(t->run, file));
}

static bool same_input(const input_spec *a, const input_spec *b) {
    bool same = a->channels == b->channels && a->height == b->height && a->width == b->width;
    for (int i = 0; i < TARE_DATA_CHANNELS; i++) { same = same && a->mean[i] == b->mean[i] && a->std[i] == b->std[i]; }
    return same && a->classes == b->classes && strcmp(a->class_names, b->class_names) == 0;
}

/* The data must be what the run began with: same size, same classes, same brightness. */
static tare_status check_input(trainer *t, const char *path) {
    input_spec stored = { 0 };
    tare_status s = input_spec_file(&stored, path, false);
    if (s == TARE_OK && !(stored.class_names && same_input(&stored, &t->in))) {
        s = tare_fail(TARE_EMISMATCH, "%s: the images are not those that this run was trained on", t->o->data);
    }
    tare_free(stored.class_names);
    return s;
}

static tare_status resume(trainer *t) {
    tare_status s = check_input(t, tare_run_path(t->run, "input.safetensors"));
    if (s == TARE_OK) { s = tare_checkpoint_load(t->state, tare_run_path(t->run, "last.safetensors")); }
    if (s == TARE_OK) { s = tare_loader_seek(t->loader, t->place); }
    if (s != TARE_OK) { return s; }
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
    s = input_spec_file(&t->in, tare_run_path(t->run, "input.safetensors"), true);
    if (s == TARE_OK) { s = tare_run_write(t->run, "summary.txt", t->summary); }
    if (s == TARE_OK) { s = trainer_save(t, "last.safetensors"); }
    if (s != TARE_OK) { return s; }
    return tare_run_log(t->run, "start",
                        TARE_FIELDS(TARE_NUMBER("images", tare_loader_samples(t->loader)),
                                    TARE_NUMBER("parameters", tare_params_numel(t->ps))));
}

/* ---- what is said before ----------------------------------------------------------------------------------------- */

static tare_status print_start(trainer *t) {
    const options *o = t->o;
    tare_machine m;
    tare_machine_get(&m);
    tare_status s = tare_summary(t->model, image_shape(o, &t->in), &t->summary);
    if (s != TARE_OK) { return s; }
    tare_progress_print(t->progress, "%s", t->train->about);
    tare_progress_print(t->progress, "%d of %d cores, %s kernels, seed %lld\n", m.threads, m.cores, m.isa,
                        (long long)o->run.seed);
    tare_progress_print(t->progress, "%s", t->summary);
    int64_t norm_batch = tare_norm_batch(o->norm, o->batch), update = o->batch * o->accumulate;
    if (o->accumulate > 1 || (tare_norm_uses_batch(o->norm) && norm_batch != o->batch)) {
        tare_progress_print(t->progress, "effective batch %lld, norm batch %lld", (long long)update,
                            (long long)norm_batch);
    }
    if (tare_loader_dropped(t->loader) > 0) {
        tare_progress_print(
            t->progress,
            "note: a last batch of one image is left out of each epoch, since BatchNorm has no variance there");
    }
    return TARE_OK;
}

/* --dry-run: one step on a batch of zeros tells how much memory training takes. */
static tare_status print_dry_run(trainer *t, const tare_options *args) {
    tare_shape image = image_shape(t->o, &t->in);
    tare_shape shape = TARE_SHAPE(t->o->batch, image.dim[0], image.dim[1], image.dim[2]);
    int32_t *labels = tare_calloc((size_t)t->o->batch, sizeof *labels);
    tare_tensor *x = labels ? tare_input(t->tape, shape, NULL) : NULL;
    if (x) { memset(x->data, 0, (size_t)x->numel * sizeof *x->data); }
    tare_tensor *loss =
        tare_cross_entropy(t->tape, tare_forward(t->model, t->tape, x), labels, (tare_cross_entropy_opt){ 0 });
    tare_status s = labels ? tare_backward(t->tape, loss) : TARE_ENOMEM;
    tare_free(labels);
    char batch[48];
    snprintf(batch, sizeof batch, "%lld images", (long long)t->o->batch);
    return s != TARE_OK
               ? s
               : tare_run_describe(args, &t->o->run, t->progress,
                                   (tare_run_facts){ t->tape, t->ps, t->optim, t->schedule.steps, batch, stdout });
}

/* ---- beginning and end ------------------------------------------------------------------------------------------- */

int trainer_begin(trainer *t, const tare_options *args) {
    const options *o = t->o;
    tare_progress_opt progress = { .stream = stdout, .quiet = o->run.quiet || o->run.json, .unit = "images" };
    tare_status s = open_data(t);
    if (s == TARE_OK) { s = make_loaders(t); }
    if (s != TARE_OK) { return fail(1); }
    s = make_model(t);
    if (s == TARE_OK) { s = make_schedule(t); }
    if (s != TARE_OK) {
        return fail(s == TARE_EINVAL ? EXIT_USAGE : 1);
    } /* groups that do not divide the channels, ... */
    progress.total = tare_loader_samples(t->loader) * t->epochs;
    t->progress = tare_progress_new(progress);
    s = t->progress ? print_start(t) : TARE_ENOMEM;
    if (s == TARE_OK && o->run.dry_run) { return print_dry_run(t, args) == TARE_OK ? 0 : fail(1); }
    t->guard = tare_guard_new(t->ps, t->tape, t->loader);
    t->stats = tare_norm_stats_new(t->ps, t->tape);
    t->profile = tare_profile_new(&o->look, t->tape, t->optim);
    t->confusion = tare_confusion_new(t->in.classes);
    if (s == TARE_OK) { s = t->guard && t->stats && t->profile && t->confusion ? bind_state(t) : TARE_ENOMEM; }
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
    tare_confusion_free(t->confusion);
    tare_tape_free(t->tape);
    tare_tape_free(t->test_tape);
    tare_optim_free(t->optim);
    tare_params_free(t->ps);
    tare_loader_free(t->loader);
    tare_loader_free(t->test_loader);
    tare_loader_free(t->norm_loader);
    tare_dataset_free(t->train);
    tare_dataset_free(t->test);
    tare_free(t->in.class_names);
    tare_free(t->summary);
}
