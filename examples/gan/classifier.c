/* classifier.c - the judge's own net: trained once for a data set, kept in the cache folder, the same for every run. */
#include "metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Raise VERSION with anything that changes what the net or its training is. */
enum { VERSION = 1, BATCH = 128, LEAST_UPDATES = 300, EPOCHS = 2 };

/* ---- the net ----------------------------------------------------------------------------------------------------- */

static tare_status make_net(judge *j) {
    tare_params *ps = j->ps = tare_params_new(1);
    j->tape = tare_tape_new((tare_tape_opt){ .training = true, .seed = 1 });
    j->mean = tare_malloc((FEATURES + FEATURES * FEATURES) * sizeof *j->mean);
    if (!ps || !j->tape || !j->mean) { return TARE_ENOMEM; }
    j->cov = j->mean + FEATURES;
    static const char *const convs[] = { "conv1", "conv2", "conv3" }, *const norms[] = { "norm1", "norm2", "norm3" };
    tare_shape image = j->d->what.shape;
    tare_layer *layers[16];
    int n = 0;
    for (int i = 0; i < 3; i++) {
        int64_t in = i ? 8 << i : image.dim[0], out = 16 << i;
        layers[n++] = tare_layer_conv2d(ps, convs[i], in, out, 4,
                                        (tare_layer_conv2d_opt){ .stride = 2, .pad = 1, .no_bias = true });
        layers[n++] = tare_layer_batch_norm(ps, norms[i], out, (tare_layer_batch_norm_opt){ 0 });
        layers[n++] = tare_layer_relu(ps, NULL);
    }
    layers[n++] = tare_layer_flatten(ps, NULL);
    layers[n++] = tare_layer_linear(ps, "features", 64 * image.dim[1] / 8 * image.dim[2] / 8, FEATURES,
                                    (tare_layer_linear_opt){ 0 });
    j->features = tare_layer_sequential(ps, NULL, layers, n);
    tare_layer *head[] = { tare_layer_relu(ps, NULL), tare_layer_linear(ps, "classes", FEATURES, j->d->what.classes,
                                                                        (tare_layer_linear_opt){ 0 }) };
    j->head = tare_layer_sequential(ps, NULL, head, 2);
    return params_status(ps);
}

tare_status classifier_run(judge *j, const tare_real *x, int64_t n, tare_real *features, tare_real *probability) {
    tare_shape image = j->d->what.shape;
    int64_t sample = tare_shape_numel(image), classes = j->d->what.classes;
    for (int64_t i = 0; i < n; i += BATCH) {
        int64_t count = n - i < BATCH ? n - i : BATCH;
        tare_tape_reset(j->tape);
        tare_tensor *in =
            tare_input(j->tape, TARE_SHAPE(count, image.dim[0], image.dim[1], image.dim[2]), x + i * sample);
        tare_tensor *f = tare_forward(j->features, j->tape, in);
        tare_tensor *p = tare_softmax(j->tape, tare_forward(j->head, j->tape, f), 1);
        if (!p) { return tape_status(j->tape); }
        memcpy(features + i * FEATURES, f->data, (size_t)(count * FEATURES) * sizeof *features);
        memcpy(probability + i * classes, p->data, (size_t)(count * classes) * sizeof *probability);
    }
    return TARE_OK;
}

/* ---- training ---------------------------------------------------------------------------------------------------- */

static tare_status update(judge *j, const tare_batch *b, tare_optim *optim) {
    tare_tape_reset(j->tape);
    tare_tensor *f = tare_forward(j->features, j->tape, tare_input_view(j->tape, b->shape, b->x));
    tare_tensor *loss =
        tare_cross_entropy(j->tape, tare_forward(j->head, j->tape, f), b->labels, (tare_cross_entropy_opt){ 0 });
    tare_params_zero_grad(j->ps);
    tare_status s = tare_backward(j->tape, loss);
    return s == TARE_OK ? tare_optim_step(optim) : s;
}

static tare_status learn(judge *j) {
    tare_loader *loader = NULL;
    tare_batch b;
    tare_optim *optim = tare_adam_new(j->ps, (tare_adam_opt){ 0 });
    tare_status s =
        optim ? data_loader(j->d, j->d->train,
                            (tare_loader_opt){ .batch = BATCH, .shuffle = true, .avoid_single = true }, &loader)
              : TARE_ENOMEM;
    int64_t updates = s == TARE_OK ? EPOCHS * tare_loader_batches(loader) : 0;
    if (updates < LEAST_UPDATES) { updates = LEAST_UPDATES; }
    tare_schedule schedule = { .kind = TARE_SCHEDULE_COSINE, .lr = 2e-3, .steps = updates };
    for (int64_t i = 0; s == TARE_OK && i < updates; i++) {
        if (tare_stop()) { s = tare_fail(TARE_EINTR, "stopped before the first step"); }
        if (s == TARE_OK && !tare_loader_next(loader, &b) && !tare_loader_next(loader, &b)) {
            s = tare_loader_status(loader);
            break;
        }
        if (s == TARE_OK) { s = tare_optim_lr_set(optim, tare_schedule_at(&schedule, i)); }
        if (s == TARE_OK) { s = update(j, &b, optim); }
    }
    tare_optim_free(optim);
    tare_loader_free(loader);
    return s;
}

/* Features of all of a data set, in order; the share that is classified right. */
static tare_status run_all(judge *j, const tare_dataset *of, tare_real *features, double *accuracy) {
    int64_t classes = j->d->what.classes, right = 0, done = 0;
    tare_loader *loader = NULL;
    tare_batch b;
    tare_real *p = tare_malloc((size_t)(BATCH * classes) * sizeof *p);
    tare_status s = p ? data_loader(j->d, of, (tare_loader_opt){ .batch = BATCH }, &loader) : TARE_ENOMEM;
    for (; s == TARE_OK && tare_loader_next(loader, &b); done += b.n) {
        s = classifier_run(j, b.x, b.n, features + done * FEATURES, p);
        for (int64_t i = 0; s == TARE_OK && i < b.n; i++) {
            int64_t best = 0;
            for (int64_t k = 1; k < classes; k++) { best = p[i * classes + k] > p[i * classes + best] ? k : best; }
            right += best == b.labels[i];
        }
    }
    tare_loader_free(loader);
    tare_free(p);
    *accuracy = (double)right / (double)of->count;
    return s;
}

/* What the training pictures look like to the net, rounded to what the file can hold: a run that reads it gets the same. */
static tare_status settle(judge *j, tare_real *moments) {
    const tare_dataset *train = j->d->train, *test = j->d->test;
    int64_t n = train->count > test->count ? train->count : test->count;
    tare_real *features = tare_malloc((size_t)(n * FEATURES) * sizeof *features);
    tare_tape_training_set(j->tape, false);
    tare_status s = features ? run_all(j, test, features, &j->accuracy) : TARE_ENOMEM;
    double unused = 0;
    if (s == TARE_OK) { s = run_all(j, train, features, &unused); }
    if (s == TARE_OK) { s = tare_moments(train->count, FEATURES, features, j->mean, j->cov); }
    if (s == TARE_OK) {
        for (int i = 0; i < FEATURES + FEATURES * FEATURES; i++) { moments[i] = (tare_real)j->mean[i]; }
    }
    tare_free(features);
    return s;
}

/* ---- the cache --------------------------------------------------------------------------------------------------- */

static uint64_t fnv(uint64_t hash, const void *bytes, size_t size) {
    const uint8_t *b = bytes;
    for (size_t i = 0; i < size; i++) { hash = (hash ^ b[i]) * 1099511628211u; } /* NOLINT(clang-analyzer-core.*) */
    return hash;
}

static uint64_t hash_of(const tare_dataset *ds, uint64_t hash) {
    const int64_t sizes[] = { ds->count, ds->channels, ds->height, ds->width, ds->classes };
    hash = fnv(hash, sizes, sizeof sizes);
    hash = fnv(hash, ds->labels, (size_t)ds->count * sizeof *ds->labels);
    return fnv(hash, ds->images, (size_t)(ds->count * ds->channels * ds->height * ds->width));
}

/* The file for this data, its folder made; false: there is no place for it. */
static bool cache_path(const judge *j, char *path, size_t size) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    uint64_t hash = hash_of(j->d->test, hash_of(j->d->train, 14695981039346656037u));
    int n = cache && *cache == '/' ? snprintf(path, size, "%s", cache)
            : home && *home == '/' ? snprintf(path, size, "%s/.cache", home)
                                   : -1;
    if (n < 0 || (size_t)n + 64 > size || (mkdir(path, 0777) != 0 && errno != EEXIST)) { return false; }
    n += snprintf(path + n, size - (size_t)n, "/tare");
    if (mkdir(path, 0777) != 0 && errno != EEXIST) { return false; }
    snprintf(path + n, size - (size_t)n, "/judge%d-%zu-%016llx.safetensors", VERSION, sizeof(tare_real) * 8,
             (unsigned long long)hash);
    return true;
}

/* Of everything in the file: a bit that has turned would change every measurement, and nobody would know. */
static uint64_t sum_of(const judge *j, const tare_real *moments) {
    const tare_params *ps = j->ps;
    uint64_t hash = fnv(14695981039346656037u, moments, (FEATURES + FEATURES * FEATURES) * sizeof *moments);
    hash = fnv(hash, tare_params_flat(ps), (size_t)tare_params_flat_size(ps) * sizeof *moments);
    hash = fnv(hash, tare_params_buffer_flat(ps), (size_t)tare_params_buffer_flat_size(ps) * sizeof *moments);
    return fnv(hash, &j->accuracy, sizeof j->accuracy);
}

static tare_checkpoint *contents(judge *j, tare_real *moments, uint64_t *sum) {
    tare_checkpoint *c = tare_checkpoint_new();
    if (!c) { return NULL; }
    tare_checkpoint_uint(c, "sum", sum);
    tare_checkpoint_params(c, "", j->ps);
    tare_checkpoint_tensor(c, "mean", TARE_SHAPE(FEATURES), moments);
    tare_checkpoint_tensor(c, "cov", TARE_SHAPE(FEATURES, FEATURES), moments + FEATURES);
    tare_checkpoint_double(c, "accuracy", &j->accuracy);
    return c;
}

static void free_net(judge *j) {
    tare_tape_free(j->tape);
    tare_params_free(j->ps);
    tare_free(j->mean);
    j->tape = NULL;
    j->ps = NULL;
    j->mean = NULL;
}

static bool load(judge *j, tare_real *moments, const char *path) {
    uint64_t sum = 0;
    tare_checkpoint *c = contents(j, moments, &sum);
    bool loaded = c && tare_checkpoint_load(c, path) == TARE_OK && sum == sum_of(j, moments);
    tare_checkpoint_free(c);
    return loaded;
}

static bool keep(judge *j, tare_real *moments, const char *path) {
    uint64_t sum = sum_of(j, moments);
    tare_checkpoint *c = contents(j, moments, &sum);
    bool kept = c && tare_checkpoint_save(c, path) == TARE_OK;
    tare_checkpoint_free(c);
    return kept;
}

static tare_status train_and_keep(judge *j, tare_real *moments, const char *path, tare_progress *progress) {
    tare_progress_print(progress, "training a small classifier to judge samples by, once for this data");
    double start = tare_clock();
    free_net(j); /* a damaged file may have been read into it */
    tare_status s = make_net(j);
    if (s == TARE_OK) { s = learn(j); }
    if (s == TARE_OK) { s = settle(j, moments); }
    if (s != TARE_OK) { return s; }
    bool kept = path && keep(j, moments, path);
    tare_progress_print(progress, "  %.1f s; %s%s", tare_clock() - start, kept ? "kept in " : "not kept: ",
                        kept   ? path
                        : path ? tare_error()
                               : "neither XDG_CACHE_HOME nor HOME has a place for it");
    return TARE_OK;
}

tare_status classifier_open(judge *j, tare_progress *progress) {
    char path[4096];
    tare_status s = make_net(j);
    if (s != TARE_OK) { return s; }
    tare_real *moments = tare_malloc((FEATURES + FEATURES * FEATURES) * sizeof *moments);
    if (!moments) { return TARE_ENOMEM; }
    bool place = cache_path(j, path, sizeof path);
    if (!place || !load(j, moments, path)) { s = train_and_keep(j, moments, place ? path : NULL, progress); }
    for (int i = 0; s == TARE_OK && i < FEATURES + FEATURES * FEATURES; i++) { j->mean[i] = (double)moments[i]; }
    tare_free(moments);
    tare_tape_free(j->tape);
    j->tape = tare_tape_new((tare_tape_opt){ .no_grad = true });
    return s != TARE_OK ? s : j->tape ? TARE_OK : TARE_ENOMEM;
}
