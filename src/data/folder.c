/* folder.c - images in folders, one folder per class. Names are sorted by their bytes, so the order is the same everywhere. */
#include "data/internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- lists of names ------------------------------------------------------------------------------------------------ */

typedef struct names {
    int64_t count, room;
    char **name;
} names;

static void names_free(names *list) {
    for (int64_t i = 0; i < list->count; i++) { tare_free(list->name[i]); }
    tare_free(list->name);
}

/* `name` (which may be NULL, for out of memory) moves to the list, or is freed where that fails. */
static tare_status names_add(names *list, char *name) {
    if (name && list->count == list->room) {
        const int64_t room = list->room ? list->room * 2 : 64;
        char **grown = tare_malloc((size_t)room * sizeof *grown);
        if (grown) {
            if (list->count) { memcpy(grown, list->name, (size_t)list->count * sizeof *grown); }
            tare_free(list->name);
            list->name = grown;
            list->room = room;
        }
    }
    if (!name || list->count == list->room) {
        tare_free(name);
        return TARE_ENOMEM;
    }
    list->name[list->count++] = name;
    return TARE_OK;
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* What a folder holds, hidden entries passed over. */
static tare_status names_read(names *list, const char *dir) {
    DIR *stream = opendir(dir);
    if (!stream) { return tare__fail_errno("open", dir, errno); }
    tare_status status = TARE_OK;
    errno = 0;
    for (struct dirent *entry; status == TARE_OK && (entry = readdir(stream));) {
        if (entry->d_name[0] != '.') { status = names_add(list, tare_strdup(entry->d_name)); }
        if (status == TARE_OK) { errno = 0; }
    }
    if (status == TARE_OK && errno) { status = tare__fail_errno("read", dir, errno); }
    closedir(stream);
    if (status == TARE_OK && list->count > 1) { qsort(list->name, (size_t)list->count, sizeof *list->name, by_bytes); }
    return status;
}

/* ---- classes and their files --------------------------------------------------------------------------------------- */

typedef struct listing {
    names classes;
    names paths;
    int64_t label_room;
    int32_t *labels; /* [paths.count] */
} listing;

static void listing_free(listing *list) {
    names_free(&list->classes);
    names_free(&list->paths);
    tare_free(list->labels);
}

static tare_status listing_add(listing *list, char *path, int32_t label) {
    const int64_t at = list->paths.count;
    if (at >= INT32_MAX) {
        tare_free(path);
        return tare_fail(TARE_EINVAL, "more than 2^31 - 1 images");
    }
    tare_status status = names_add(&list->paths, path);
    if (status != TARE_OK) { return status; }
    if (list->label_room < list->paths.room) {
        int32_t *grown = tare_malloc((size_t)list->paths.room * sizeof *grown);
        if (!grown) { return TARE_ENOMEM; }
        if (at) { memcpy(grown, list->labels, (size_t)at * sizeof *grown); }
        tare_free(list->labels);
        list->labels = grown;
        list->label_room = list->paths.room;
    }
    list->labels[at] = label;
    return TARE_OK;
}

/* The files of one class. */
static tare_status scan_class(listing *list, const char *dir, int32_t label) {
    names files = { .count = 0 };
    tare_status status = names_read(&files, dir);
    if (status == TARE_OK && files.count == 0) { status = tare_fail(TARE_EFORMAT, "%s: holds no image", dir); }
    for (int64_t i = 0; status == TARE_OK && i < files.count; i++) {
        char *path = tare__path_join(dir, files.name[i]);
        if (path && tare__path_is_dir(path)) {
            status = tare_fail(TARE_EFORMAT, "%s: is a folder where an image was expected", path);
            tare_free(path);
        } else {
            status = listing_add(list, path, label);
        }
    }
    names_free(&files);
    return status;
}

/* Label of the class `name`: its place among `known` classes, or -1. */
static int64_t find_name(const names *known, const char *name) {
    for (int64_t i = 0; i < known->count; i++) {
        if (strcmp(known->name[i], name) == 0) { return i; }
    }
    return -1;
}

/* Classes and files below `dir`. With `known` classes (those of the training set) no other may turn up. */
static tare_status scan(const char *dir, const names *known, listing *list) {
    tare_status status = names_read(&list->classes, dir);
    if (status == TARE_OK && list->classes.count == 0) {
        status = tare_fail(TARE_EFORMAT, "%s: is empty: expected one folder of images per class", dir);
    }
    for (int64_t i = 0; status == TARE_OK && i < list->classes.count; i++) {
        const char *name = list->classes.name[i];
        const int64_t label = known ? find_name(known, name) : i;
        char *path = tare__path_join(dir, name);
        if (!path) {
            status = TARE_ENOMEM;
        } else if (!tare__path_is_dir(path)) {
            status = tare_fail(TARE_EFORMAT, "%s: is a file where one folder per class was expected", path);
        } else if (label < 0) {
            status = tare_fail(TARE_EFORMAT, "%s: the training images have no class of this name", path);
        } else {
            status = scan_class(list, path, (int32_t)label);
        }
        tare_free(path);
    }
    if (status == TARE_OK && !known && list->classes.count == 1) {
        status = tare_fail(TARE_EINVAL, "%s: has one class only (%s): there is nothing to tell apart", dir,
                           list->classes.name[0]);
    }
    return status;
}

/* ---- reading the images -------------------------------------------------------------------------------------------- */

typedef struct job {
    const listing *list;
    int64_t channels, height, width;
    uint8_t *images;
    uint8_t *failed; /* [count] */
} job;

static tare_status load_one(const job *all, int64_t i) {
    uint8_t *to = all->images + i * all->channels * all->height * all->width;
    return tare_image_load(all->list->paths.name[i], all->channels, all->height, all->width, to);
}

static void load_range(void *context, int64_t begin, int64_t end) {
    const job *all = context;
    for (int64_t i = begin; i < end; i++) { all->failed[i] = load_one(all, i) != TARE_OK; }
}

/* A message belongs to the thread that failed, so the first image that failed is read again here, for its message. */
static tare_status load_all(job *all) {
    tare_parallel_for(all->list->paths.count, 8, load_range, all);
    tare_status status = TARE_OK;
    for (int64_t i = 0; status == TARE_OK && i < all->list->paths.count; i++) {
        if (all->failed[i]) { status = load_one(all, i); }
    }
    return status;
}

/* What the options leave open is as in the first image. */
static tare_status settle(tare_data_opt *opt, const listing *list) {
    if (opt->channels < 0 || opt->channels == 2 || opt->channels > 3 || opt->height < 0 || opt->width < 0) {
        return tare_fail(TARE_EINVAL,
                         "images wanted as [%lld,%lld,%lld]: expected 1 or 3 channels and sides of at least 1",
                         (long long)opt->channels, (long long)opt->height, (long long)opt->width);
    }
    if (opt->channels && opt->height && opt->width) { return TARE_OK; }
    int64_t channels = 0, height = 0, width = 0;
    tare_status status = tare_image_size(list->paths.name[0], &channels, &height, &width);
    if (status != TARE_OK) { return status; }
    if (!opt->channels) { opt->channels = channels >= 3 ? 3 : 1; }
    if (!opt->height) { opt->height = height; }
    if (!opt->width) { opt->width = width; }
    return TARE_OK;
}

/* The images of `list` as a data set; classes are those of `classes`. `opt` is settled. */
static tare_status load(const listing *list, const names *classes, tare_data_opt opt, tare_dataset **out) {
    tare_dataset *ds = NULL;
    tare_status status = tare_dataset_new(list->paths.count, opt.channels, opt.height, opt.width, classes->count, &ds);
    if (status != TARE_OK) { return status; }
    memcpy(ds->labels, list->labels, (size_t)ds->count * sizeof *ds->labels);
    for (int64_t i = 0; status == TARE_OK && i < ds->classes; i++) {
        status = tare__dataset_name_class(ds, i, classes->name[i]);
    }
    job all = { list, opt.channels, opt.height, opt.width, ds->images, NULL };
    if (status == TARE_OK) {
        all.failed = tare_calloc((size_t)ds->count, 1);
        status = all.failed ? load_all(&all) : TARE_ENOMEM;
    }
    tare_free(all.failed);
    if (status != TARE_OK) {
        tare_dataset_free(ds);
        return status;
    }
    *out = ds;
    return TARE_OK;
}

tare_status tare_data_image_folder(const char *dir, tare_data_opt opt, tare_dataset **out) {
    listing list = { .labels = NULL };
    tare_dataset *ds = NULL;
    tare_status status = TARE_OK;
    if (opt.unlabelled) {
        status = names_add(&list.classes, tare_strdup("image"));
        if (status == TARE_OK) { status = scan_class(&list, dir, 0); }
    } else {
        status = scan(dir, NULL, &list);
    }
    if (status == TARE_OK) { status = settle(&opt, &list); }
    if (status == TARE_OK) { status = load(&list, &list.classes, opt, &ds); }
    if (status == TARE_OK) {
        status = tare__dataset_about(
            ds, tare__text("%s: %lld images in %lld classes", dir, (long long)ds->count, (long long)ds->classes));
    }
    listing_free(&list);
    if (status != TARE_OK) {
        tare_dataset_free(ds);
        return status;
    }
    tare_dataset_measure(ds);
    *out = ds;
    return TARE_OK;
}

/* ---- training and test set ----------------------------------------------------------------------------------------- */

/* FNV-1a of the last two parts of a path, "class/file". */
static uint64_t hash_tail(const char *path) {
    const char *tail = path + strlen(path);
    for (int slashes = 0; tail > path && (slashes += tail[-1] == '/') < 2;) { tail--; }
    uint64_t hash = 14695981039346656037u;
    for (; *tail; tail++) { hash = (hash ^ (uint8_t)*tail) * 1099511628211u; }
    return hash;
}

/* Every sixth image, chosen by the hash of its name, moves from `all` to `test`. */
static tare_status split(const char *dir, listing *all, listing *test) {
    tare_status status = TARE_OK;
    int64_t kept = 0, i = 0;
    for (; status == TARE_OK && i < all->paths.count; i++) {
        char *path = all->paths.name[i];
        if (hash_tail(path) % 6 == 0) {
            status = listing_add(test, path, all->labels[i]);
        } else {
            all->labels[kept] = all->labels[i];
            all->paths.name[kept++] = path;
        }
    }
    for (; i < all->paths.count; i++) { all->paths.name[kept++] = all->paths.name[i]; }
    all->paths.count = kept;
    if (status == TARE_OK && (kept == 0 || test->paths.count == 0)) {
        status = tare_fail(TARE_EINVAL, "%s: too few images to hold every sixth out for testing: make train/ and test/",
                           dir);
    }
    return status;
}

static tare_status scan_two(const char *dir, bool apart, listing *train, listing *test) {
    if (!apart) {
        tare_status status = scan(dir, NULL, train);
        return status == TARE_OK ? split(dir, train, test) : status;
    }
    char *train_dir = tare__path_join(dir, "train"), *test_dir = tare__path_join(dir, "test");
    tare_status status = train_dir && test_dir ? scan(train_dir, NULL, train) : TARE_ENOMEM;
    if (status == TARE_OK) { status = scan(test_dir, &train->classes, test); }
    tare_free(train_dir);
    tare_free(test_dir);
    return status;
}

/* Are there dir/train and dir/test? One without the other would be taken for a class. */
static tare_status look(const char *dir, bool *apart) {
    bool has[2] = { false, false };
    for (int i = 0; i < 2; i++) {
        char *path = tare__path_join(dir, i ? "test" : "train");
        if (!path) { return TARE_ENOMEM; }
        has[i] = tare__path_is_dir(path);
        tare_free(path);
    }
    *apart = has[0] && has[1];
    if (has[0] == has[1]) { return TARE_OK; }
    return tare_fail(TARE_ENOENT, "%s: has %s but no %s", dir, has[0] ? "train/" : "test/",
                     has[0] ? "test/" : "train/");
}

tare_status tare__folder_pair(const char *dir, tare_data_opt opt, bool *by_hash, tare_dataset **train,
                              tare_dataset **test) {
    listing one = { .labels = NULL }, two = { .labels = NULL };
    tare_dataset *first = NULL, *second = NULL;
    bool apart = false;
    tare_status status = look(dir, &apart);
    if (status == TARE_OK) { status = scan_two(dir, apart, &one, &two); }
    if (status == TARE_OK) { status = settle(&opt, &one); }
    if (status == TARE_OK) { status = load(&one, &one.classes, opt, &first); }
    if (status == TARE_OK) { status = load(&two, &one.classes, opt, &second); }
    listing_free(&one);
    listing_free(&two);
    if (status != TARE_OK) {
        tare_dataset_free(first);
        tare_dataset_free(second);
        return status;
    }
    *by_hash = !apart;
    *train = first;
    *test = second;
    return TARE_OK;
}
