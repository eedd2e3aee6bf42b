/* open.c - what --data names: a known data set, looked for in a few places, or a folder. */
#include "data/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const FASHION[10] = { "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                         "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot" };

typedef struct known {
    const char *name, *advice;
} known;

static const known KNOWN[] = {
    { "fashion-mnist",
      "apt-get install dataset-fashion-mnist, or set TARE_DATA to the folder that holds fashion-mnist/" },
    { "mnist",
      "put the four files train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and "
      "t10k-labels-idx1-ubyte.gz there, or set TARE_DATA to the folder that holds mnist/" },
};

static const known *find_known(const char *spec) {
    for (size_t i = 0; i < sizeof KNOWN / sizeof KNOWN[0]; i++) {
        if (strcmp(spec, KNOWN[i].name) == 0) { return &KNOWN[i]; }
    }
    return NULL;
}

/* Where known data sets may lie; $TARE_DATA comes first where it is set. */
enum { PLACES = 4 };
static const char *place(int i) {
    static const char *const fixed[PLACES] = { NULL, "data", "../shared/data", "/usr/share/datasets" };
    return i ? fixed[i] : getenv("TARE_DATA");
}

static tare_status fail_missing(const known *what) {
    char text[1024] = "";
    size_t used = 0;
    for (int i = 0; i < PLACES; i++) {
        const char *dir = place(i);
        if (!dir || used >= sizeof text) { continue; }
        const int more = snprintf(text + used, sizeof text - used, "%s%s/%s", used ? ", " : "", dir, what->name);
        used += more > 0 ? (size_t)more : 0;
    }
    return tare_fail(TARE_ENOENT, "%s is not here (looked in %s): %s", what->name, text, what->advice);
}

/* The first place that has one of its files, to tare_free. */
static tare_status find(const known *what, char **out) {
    for (int i = 0; i < PLACES; i++) {
        if (!place(i)) { continue; }
        char *dir = tare__path_join(place(i), what->name);
        bool has = false;
        tare_status status = dir ? tare__idx_folder_has(dir, &has) : TARE_ENOMEM;
        if (status == TARE_OK && has) {
            *out = dir;
            return TARE_OK;
        }
        tare_free(dir);
        if (status != TARE_OK) { return status; }
    }
    return fail_missing(what);
}

/* Is the last part of the path fashion-mnist? */
static bool is_fashion(const char *dir) {
    size_t end = strlen(dir);
    while (end && dir[end - 1] == '/') { end--; }
    size_t begin = end;
    while (begin && dir[begin - 1] != '/') { begin--; }
    return end - begin == 13 && memcmp(dir + begin, "fashion-mnist", 13) == 0;
}

/* A folder of IDX files; `classes` 0: as many as the training labels show. */
static tare_status open_idx(const char *dir, int64_t classes, tare_dataset **train, tare_dataset **test) {
    tare_status status = tare__idx_folder(dir, is_fashion(dir) ? 10 : classes, train, test);
    for (int i = 0; status == TARE_OK && is_fashion(dir) && i < 10; i++) {
        status = tare__dataset_name_class(*train, i, FASHION[i]);
        if (status == TARE_OK) { status = tare__dataset_name_class(*test, i, FASHION[i]); }
    }
    return status;
}

static tare_status open_folder(const char *dir, tare_data_opt opt, bool *split, tare_dataset **train,
                               tare_dataset **test) {
    if (!tare__path_exists(dir)) {
        return tare_fail(TARE_ENOENT, "%s: no such folder (data is fashion-mnist, mnist, or a folder)", dir);
    }
    if (!tare__path_is_dir(dir)) { return tare_fail(TARE_EIO, "%s: is a file, not a folder of data", dir); }
    bool has = false;
    tare_status status = tare__idx_folder_has(dir, &has);
    if (status != TARE_OK) { return status; }
    return has ? open_idx(dir, 0, train, test) : tare__folder_pair(dir, opt, split, train, test);
}

static tare_status describe(const char *dir, bool split, tare_dataset *train, tare_dataset *test) {
    const tare_shape image = TARE_SHAPE(train->channels, train->height, train->width);
    const char *how =
        split ? " (without train/ and test/: every 6th image, by the hash of its name, is for testing)" : "";
    tare_shape_buf buf;
    char *line = tare__text("%s: %lld training and %lld test images %s, %lld classes%s", dir, (long long)train->count,
                            (long long)test->count, tare_shape_text(image, &buf), (long long)train->classes, how);
    tare_status status = tare__dataset_about(train, line);
    return status == TARE_OK ? tare__dataset_about(test, tare_strdup(train->about)) : status;
}

tare_status tare_data_open(const char *spec, tare_data_opt opt, tare_dataset **train, tare_dataset **test) {
    const known *what = find_known(spec);
    tare_dataset *first = NULL, *second = NULL;
    char *dir = NULL;
    bool split = false;
    tare_status status = TARE_OK;
    if (what) {
        status = find(what, &dir);
        if (status == TARE_OK) { status = open_idx(dir, 10, &first, &second); }
    } else {
        status = open_folder(spec, opt, &split, &first, &second);
    }
    if (status == TARE_OK) { status = describe(dir ? dir : spec, split, first, second); }
    tare_free(dir);
    if (status != TARE_OK) {
        tare_dataset_free(first);
        tare_dataset_free(second);
        return status;
    }
    tare_dataset_measure(first);
    memcpy(second->mean, first->mean, sizeof first->mean);
    memcpy(second->std, first->std, sizeof first->std);
    *train = first;
    *test = second;
    return TARE_OK;
}
