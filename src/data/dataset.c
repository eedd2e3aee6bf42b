/* dataset.c - the labelled images themselves: making, naming, measuring, freeing. */
#include "data/internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

char *tare__text(const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = length < 0 ? NULL : tare_malloc((size_t)length + 1);
    if (!text) { return NULL; }
    va_start(args, format);
    vsnprintf(text, (size_t)length + 1, format, args);
    va_end(args);
    return text;
}

void tare_dataset_free(tare_dataset *ds) {
    if (!ds) { return; }
    for (int64_t i = 0; ds->class_names && i < ds->classes; i++) { tare_free(ds->class_names[i]); }
    tare_free(ds->class_names);
    tare_free(ds->images);
    tare_free(ds->labels);
    tare_free(ds->about);
    tare_free(ds);
}

tare_status tare__dataset_name_class(tare_dataset *ds, int64_t index, const char *name) {
    char *copy = tare_strdup(name);
    if (!copy) { return TARE_ENOMEM; }
    tare_free(ds->class_names[index]);
    ds->class_names[index] = copy;
    return TARE_OK;
}

tare_status tare__dataset_about(tare_dataset *ds, char *text) {
    if (!text) { return TARE_ENOMEM; }
    tare_free(ds->about);
    ds->about = text;
    return TARE_OK;
}

/* Class names and the line about it; `ds` has its counts already. */
static tare_status name_all(tare_dataset *ds) {
    if (ds->classes > 0) { ds->class_names = tare_calloc((size_t)ds->classes, sizeof *ds->class_names); }
    if (ds->classes > 0 && !ds->class_names) { return TARE_ENOMEM; }
    for (int64_t i = 0; i < ds->classes; i++) {
        char digits[24];
        snprintf(digits, sizeof digits, "%lld", (long long)i);
        if (tare__dataset_name_class(ds, i, digits) != TARE_OK) { return TARE_ENOMEM; }
    }
    return tare__dataset_about(ds, tare__text("%lld samples", (long long)ds->count));
}

tare_status tare__dataset_wrap(tare_dataset like, uint8_t *images, int32_t *labels, tare_dataset **out) {
    tare_dataset *ds = tare_calloc(1, sizeof *ds);
    if (!ds) { return TARE_ENOMEM; }
    *ds = like;
    for (int c = 0; c < TARE_DATA_CHANNELS; c++) { ds->std[c] = 1; }
    if (name_all(ds) != TARE_OK) {
        tare_dataset_free(ds);
        return TARE_ENOMEM;
    }
    ds->images = images;
    ds->labels = labels;
    *out = ds;
    return TARE_OK;
}

tare_status tare_dataset_new(int64_t count, int64_t channels, int64_t height, int64_t width, int64_t classes,
                             tare_dataset **out) {
    const tare_shape shape = TARE_SHAPE(count, channels, height, width);
    const int64_t bytes = tare_shape_numel(shape);
    tare_shape_buf buf;
    if (count < 1 || channels < 1 || height < 1 || width < 1 || classes < 1 || bytes < 1) {
        return tare_fail(TARE_EINVAL, "data set: images %s in %lld classes: every size must be at least 1",
                         tare_shape_text(shape, &buf), (long long)classes);
    }
    if (channels > TARE_DATA_CHANNELS || count > INT32_MAX || classes > INT32_MAX) {
        return tare_fail(TARE_EINVAL, "data set: images %s in %lld classes: at most %d channels and 2^31 - 1 images",
                         tare_shape_text(shape, &buf), (long long)classes, TARE_DATA_CHANNELS);
    }
    const tare_dataset like = {
        .count = count, .channels = channels, .height = height, .width = width, .classes = classes
    };
    uint8_t *images = tare_calloc((size_t)bytes, 1);
    int32_t *labels = tare_calloc((size_t)count, sizeof *labels);
    if (!images || !labels || tare__dataset_wrap(like, images, labels, out) != TARE_OK) {
        tare_free(images);
        tare_free(labels);
        return TARE_ENOMEM;
    }
    return TARE_OK;
}

/* Is `shape` the shape of one sample's part: none (ndim 0), or of at least one value, with room for the batch in front? */
static bool part_ok(tare_shape shape) {
    return shape.ndim >= 0 && shape.ndim < TARE_MAX_DIMS && tare_shape_numel(shape) >= 1;
}

tare_status tare_dataset_custom(const tare_data_source *source, tare_dataset **out) {
    if (!source->fill || source->count < 1 || source->count > INT32_MAX || source->classes < 0) {
        return tare_fail(TARE_EINVAL, "data source: count %lld, classes %lld, fill %s: count and fill are needed",
                         (long long)source->count, (long long)source->classes, source->fill ? "given" : "NULL");
    }
    tare_shape_buf x, target, labels;
    const bool any = source->x.ndim > 0 || source->target.ndim > 0 || source->labels.ndim > 0;
    if (!any || !part_ok(source->x) || !part_ok(source->target) || !part_ok(source->labels)) {
        return tare_fail(
            TARE_ESHAPE,
            "data source: x %s, target %s, labels %s: expected one part at least, each of 1 to %d dimensions >= 1",
            tare_shape_text(source->x, &x), tare_shape_text(source->target, &target),
            tare_shape_text(source->labels, &labels), TARE_MAX_DIMS - 1);
    }
    const tare_dataset like = { .count = source->count, .classes = source->classes, .source = *source };
    return tare__dataset_wrap(like, NULL, NULL, out);
}

/* ---- mean and standard deviation ----------------------------------------------------------------------------------- */

typedef struct census {
    const tare_dataset *ds;
    _Atomic int64_t sum[TARE_DATA_CHANNELS], squares[TARE_DATA_CHANNELS];
} census;

/* Integers, so the order in which threads add does not matter. */
static void take_census(void *context, int64_t begin, int64_t end) {
    enum { BLOCK = 65536 }; /* 255^2 times this fits 32 bits */
    census *all = context;
    const int64_t plane = all->ds->height * all->ds->width, channels = all->ds->channels;
    for (int64_t p = begin; p < end; p++) {
        const uint8_t *pixel = all->ds->images + p * plane;
        int64_t sum = 0, squares = 0;
        for (int64_t i = 0; i < plane; i += BLOCK) {
            const int64_t n = plane - i < BLOCK ? plane - i : BLOCK;
            uint32_t s = 0, q = 0;
            for (int64_t j = i; j < i + n; j++) {
                s += pixel[j];
                q += (uint32_t)pixel[j] * pixel[j];
            }
            sum += s;
            squares += q;
        }
        all->sum[p % channels] += sum;
        all->squares[p % channels] += squares;
    }
}

void tare_dataset_measure(tare_dataset *ds) {
    if (!ds->images) { return; }
    census all = { .ds = ds };
    tare_parallel_for(ds->count * ds->channels, 1024, take_census, &all);
    const double n = (double)(ds->count * ds->height * ds->width);
    for (int64_t c = 0; c < ds->channels; c++) {
        const double mean = (double)all.sum[c] / n;
        const double variance = (double)all.squares[c] / n - mean * mean;
        ds->mean[c] = mean / 255;
        ds->std[c] = variance > 0 ? sqrt(variance) / 255 : 1;
    }
}
