/* loader.c - samples in an order fixed by seed and epoch, a batch at a time, in memory taken once. */
#include "data/internal.h"

#include <stdio.h>
#include <string.h>

enum { IGNORED_LABEL = -100, GRAIN = 1 << 16 /* numbers a thread writes at a time */ };

struct tare_loader {
    const tare_dataset *ds;
    tare_loader_opt opt;
    bool custom;
    tare__picture picture; /* images alone */

    int64_t total;            /* samples that may be given: all, or limit */
    int64_t samples, batches; /* per epoch */
    uint32_t *subset;         /* [total] with a limit, else NULL */
    uint32_t *order;          /* [total] of order_epoch */
    bool ordered;
    uint64_t order_epoch;
    tare_loader_state at;

    tare_shape x_shape, target_shape, labels_shape; /* of one sample */
    int64_t x_size, target_size, labels_size;       /* numbers in them, 0: there is none */
    tare_real *x, *target;
    int32_t *labels;
    int64_t *index;
    bool *failed; /* [batch], a custom source's samples */

    tare_status status;
    char error[1024];
};

/* ---- what an epoch gives ------------------------------------------------------------------------------------------- */

/* Samples in the batch that begins where `left` are left: all the rules about last batches are here. */
static int64_t batch_size(const tare_loader_opt *opt, int64_t left) {
    if (left >= opt->batch) { return opt->batch; }
    if (opt->drop_last || (opt->avoid_single && left == 1)) { return 0; }
    return left;
}

static tare_status plan_epoch(tare_loader *l) {
    const int64_t full = l->total / l->opt.batch, rest = batch_size(&l->opt, l->total % l->opt.batch);
    l->samples = full * l->opt.batch + rest;
    l->batches = full + (rest > 0);
    if (l->batches > 0) { return TARE_OK; }
    const char *why = l->opt.drop_last ? "drop_last wants a whole one; take more samples, or smaller batches"
                                       : "a batch norm has no variance over one; take more samples, or another norm";
    return tare_fail(TARE_EINVAL, "loader: no batch of %lld from %lld sample%s: %s", (long long)l->opt.batch,
                     (long long)l->total, l->total == 1 ? "" : "s", why);
}

/* ---- making -------------------------------------------------------------------------------------------------------- */

static tare_shape with_batch(int64_t n, tare_shape sample) {
    tare_shape shape = { .ndim = sample.ndim ? sample.ndim + 1 : 0 };
    shape.dim[0] = n;
    for (int i = 0; i < sample.ndim; i++) { shape.dim[i + 1] = sample.dim[i]; }
    return shape.ndim ? shape : (tare_shape){ .ndim = 1 };
}

static tare_status check_custom(const tare_loader_opt *opt) {
    const tare_augment a = opt->augment;
    if (!opt->height && !opt->width && !opt->channels && opt->scaling == TARE_SCALE_STANDARD && !a.flip && !a.shift &&
        !a.crop) {
        return TARE_OK;
    }
    return tare_fail(TARE_EINVAL, "loader: sizes, scaling and augmentation are for images; a data source does its own");
}

static tare_status set_shapes(tare_loader *l) {
    if (l->custom) {
        const tare_data_source *source = &l->ds->source;
        l->x_shape = source->x, l->target_shape = source->target, l->labels_shape = source->labels;
        l->x_size = source->x.ndim ? tare_shape_numel(source->x) : 0;
        l->target_size = source->target.ndim ? tare_shape_numel(source->target) : 0;
        l->labels_size = source->labels.ndim ? tare_shape_numel(source->labels) : 0;
        return check_custom(&l->opt);
    }
    tare_status status = tare__picture_init(&l->picture, l->ds, &l->opt);
    l->x_shape = TARE_SHAPE(l->picture.out_channels, l->picture.out_height, l->picture.out_width);
    l->x_size = tare_shape_numel(l->x_shape);
    l->labels_shape = TARE_SHAPE(1);
    l->labels_size = 1;
    return status;
}

/* `count` samples' parts of `size` numbers each; none where size is 0. */
static tare_status take(void **out, int64_t count, int64_t size, size_t bytes) {
    if (size == 0) { return TARE_OK; }
    const int64_t numbers = tare_shape_numel(TARE_SHAPE(count, size));
    *out = numbers < 0 ? NULL : tare_calloc((size_t)numbers, bytes);
    if (numbers < 0) {
        tare_fail(TARE_ENOMEM, "loader: a batch of %lld times %lld numbers", (long long)count, (long long)size);
    }
    return *out ? TARE_OK : TARE_ENOMEM;
}

static tare_status take_memory(tare_loader *l) {
    const int64_t n = l->opt.batch < l->total ? l->opt.batch : l->total;
    void *x = NULL, *target = NULL, *labels = NULL;
    tare_status status = take(&x, n, l->x_size, sizeof *l->x);
    if (status == TARE_OK) { status = take(&target, n, l->target_size, sizeof *l->target); }
    if (status == TARE_OK) { status = take(&labels, n, l->labels_size, sizeof *l->labels); }
    l->x = x, l->target = target, l->labels = labels;
    if (status != TARE_OK) { return status; }
    l->index = tare_calloc((size_t)n, sizeof *l->index);
    l->failed = tare_calloc((size_t)n, sizeof *l->failed);
    l->order = tare_calloc((size_t)l->total, sizeof *l->order);
    return l->index && l->failed && l->order ? TARE_OK : TARE_ENOMEM;
}

/* The first `limit` of one fixed permutation of all samples. */
static tare_status choose_subset(tare_loader *l) {
    const int64_t count = l->ds->count;
    l->total = l->opt.limit && l->opt.limit < count ? l->opt.limit : count;
    if (l->total == count) { return TARE_OK; }
    uint32_t *all = tare_malloc((size_t)count * sizeof *all);
    l->subset = tare_malloc((size_t)l->total * sizeof *l->subset);
    if (!all || !l->subset) {
        tare_free(all);
        return TARE_ENOMEM;
    }
    for (int64_t i = 0; i < count; i++) { all[i] = (uint32_t)i; }
    tare_rng rng = tare_rng_new(0, "limit");
    tare_rng_shuffle(&rng, all, count);
    memcpy(l->subset, all, (size_t)l->total * sizeof *l->subset);
    tare_free(all);
    return TARE_OK;
}

static tare_status init(tare_loader *l, const tare_dataset *ds, tare_loader_opt opt) {
    l->ds = ds;
    l->opt = opt;
    l->custom = ds->source.fill != NULL;
    if (opt.batch < 0 || opt.limit < 0 || opt.height < 0 || opt.width < 0 || opt.channels < 0) {
        return tare_fail(TARE_EINVAL, "loader: batch %lld, limit %lld, x [%lld,%lld,%lld]: nothing may be negative",
                         (long long)opt.batch, (long long)opt.limit, (long long)opt.channels, (long long)opt.height,
                         (long long)opt.width);
    }
    if (opt.batch == 0) { l->opt.batch = 64; }
    tare_status status = set_shapes(l);
    if (status == TARE_OK) { status = choose_subset(l); }
    if (status == TARE_OK) { status = plan_epoch(l); }
    return status == TARE_OK ? take_memory(l) : status;
}

tare_status tare_loader_new(const tare_dataset *ds, tare_loader_opt opt, tare_loader **out) {
    tare_loader *l = tare_calloc(1, sizeof *l);
    if (!l) { return TARE_ENOMEM; }
    tare_status status = init(l, ds, opt);
    if (status != TARE_OK) {
        tare_loader_free(l);
        return status;
    }
    *out = l;
    return TARE_OK;
}

void tare_loader_free(tare_loader *l) {
    if (!l) { return; }
    tare_free(l->subset);
    tare_free(l->order);
    tare_free(l->x);
    tare_free(l->target);
    tare_free(l->labels);
    tare_free(l->index);
    tare_free(l->failed);
    tare_free(l);
}

/* ---- giving -------------------------------------------------------------------------------------------------------- */

static void put_in_order(tare_loader *l) {
    if (l->ordered && (!l->opt.shuffle || l->order_epoch == l->at.epoch)) { return; }
    for (int64_t i = 0; i < l->total; i++) { l->order[i] = l->subset ? l->subset[i] : (uint32_t)i; }
    if (l->opt.shuffle) {
        tare_rng rng = tare_rng_split(tare_rng_new(l->opt.seed, "order"), l->at.epoch);
        tare_rng_shuffle(&rng, l->order, l->total);
    }
    l->ordered = true;
    l->order_epoch = l->at.epoch;
}

/* A sample's own generator: the same whoever asks, and when. */
static tare_rng sample_rng(const tare_loader *l, int64_t sample) {
    return tare_rng_split(tare_rng_split(tare_rng_new(l->opt.seed, "augment"), l->at.epoch), (uint64_t)sample);
}

/* Shuffled images lie far apart in memory: asking for one a few samples early halves the time of a batch (31 us to 14 us
 * for 64 of 28 x 28). The rest of a large one the hardware fetches in time. A macro, since GCC takes a function that does
 * nothing else for one without effect and drops it. */
enum { AHEAD = 4, LINE = 64, MOST = 4096 };
#if defined(__GNUC__)
#define FETCH(address) __builtin_prefetch(address)
#else
#define FETCH(address) ((void)(address))
#endif

static void give_images(void *context, int64_t begin, int64_t end) {
    tare_loader *l = context;
    const tare_augment augment = l->opt.augment;
    const bool drawn = augment.flip || augment.shift > 0 || augment.crop;
    const int64_t bytes = l->ds->channels * l->ds->height * l->ds->width;
    for (int64_t i = begin; i < end; i++) {
        const int64_t sample = l->index[i];
        for (int64_t k = 0; i + AHEAD < end && k < bytes && k < MOST; k += LINE) {
            FETCH(l->ds->images + l->index[i + AHEAD] * bytes + k);
        }
        const tare__window window =
            drawn ? tare__picture_draw(&l->picture, sample_rng(l, sample)) : tare__picture_centre(&l->picture);
        tare__picture_convert(&l->picture, l->ds->images + sample * bytes, window, l->x + i * l->x_size);
        l->labels[i] = l->ds->labels[sample];
    }
}

static tare_status give_custom_one(tare_loader *l, int64_t i) {
    const tare_data_source *source = &l->ds->source;
    const int64_t sample = l->index[i];
    int32_t *labels = l->labels ? l->labels + i * l->labels_size : NULL;
    tare_status status = source->fill(source->user, sample, sample_rng(l, sample), l->x ? l->x + i * l->x_size : NULL,
                                      l->target ? l->target + i * l->target_size : NULL, labels);
    const int64_t checked = labels && source->classes > 0 ? l->labels_size : 0;
    for (int64_t k = 0; status == TARE_OK && k < checked; k++) {
        if ((labels[k] < 0 || labels[k] >= source->classes) && labels[k] != IGNORED_LABEL) {
            status =
                tare_fail(TARE_EINVAL, "data source: sample %lld has label %d at position %lld, out of range 0..%lld",
                          (long long)sample, (int)labels[k], (long long)k, (long long)source->classes - 1);
        }
    }
    return status;
}

static void give_custom(void *context, int64_t begin, int64_t end) {
    tare_loader *l = context;
    for (int64_t i = begin; i < end; i++) { l->failed[i] = give_custom_one(l, i) != TARE_OK; }
}

/* A message belongs to the thread that failed, so the first sample that failed is asked for again here, for its message. */
static tare_status give_all_custom(tare_loader *l, int64_t n) {
    tare_status status = TARE_OK;
    if (!l->ds->source.threads) {
        for (int64_t i = 0; status == TARE_OK && i < n; i++) { status = give_custom_one(l, i); }
        return status;
    }
    tare_parallel_for(n, GRAIN / (l->x_size + 1) + 1, give_custom, l);
    for (int64_t i = 0; status == TARE_OK && i < n; i++) {
        if (l->failed[i]) { status = give_custom_one(l, i); }
    }
    return status;
}

static bool fail_batch(tare_loader *l, tare_status status) {
    l->status = status;
    snprintf(l->error, sizeof l->error, "%s", tare_error());
    return false;
}

bool tare_loader_next(tare_loader *l, tare_batch *batch) {
    *batch = (tare_batch){ .n = 0 };
    if (l->status != TARE_OK) { return false; }
    const int64_t n = batch_size(&l->opt, l->total - l->at.position);
    if (n == 0) {
        l->at = (tare_loader_state){ .epoch = l->at.epoch + 1 };
        return false;
    }
    put_in_order(l);
    for (int64_t i = 0; i < n; i++) { l->index[i] = l->order[l->at.position + i]; }
    if (l->custom) {
        tare_status status = give_all_custom(l, n);
        if (status != TARE_OK) { return fail_batch(l, status); }
    } else {
        tare_parallel_for(n, GRAIN / (l->x_size + 1) + 1, give_images, l);
    }
    l->at.position += n;
    *batch = (tare_batch){ .n = n,
                           .shape = with_batch(n, l->x_shape),
                           .x = l->x,
                           .target_shape = with_batch(n, l->target_shape),
                           .target = l->target,
                           .labels_shape = with_batch(n, l->labels_shape),
                           .labels = l->labels,
                           .index = l->index };
    return true;
}

/* ---- asking -------------------------------------------------------------------------------------------------------- */

tare_status tare_loader_status(const tare_loader *l) { return l->status; }
const char *tare_loader_error(const tare_loader *l) { return l->error; }
int64_t tare_loader_samples(const tare_loader *l) { return l->samples; }
int64_t tare_loader_batches(const tare_loader *l) { return l->batches; }
int64_t tare_loader_dropped(const tare_loader *l) { return l->total - l->samples; }
tare_shape tare_loader_shape(const tare_loader *l) { return with_batch(l->opt.batch, l->x_shape); }
tare_loader_state tare_loader_tell(const tare_loader *l) { return l->at; }

tare_status tare_loader_seek(tare_loader *l, tare_loader_state state) {
    if (state.position < 0 || state.position > l->total) {
        return tare_fail(TARE_EINVAL, "loader: position %lld of an epoch of %lld samples: was the data changed?",
                         (long long)state.position, (long long)l->total);
    }
    l->at = state;
    l->status = TARE_OK;
    l->error[0] = 0;
    return TARE_OK;
}

tare_status tare_loader_convert(const tare_loader *l, const uint8_t *image, tare_real *x) {
    if (l->custom) { return tare_fail(TARE_EINVAL, "loader: a data source of your own has no images to convert"); }
    tare__picture_convert(&l->picture, image, tare__picture_centre(&l->picture), x);
    return TARE_OK;
}
