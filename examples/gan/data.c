/* data.c - what is to be imitated: pictures of a data set or a folder, or points of a mixture. */
#include "gan.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* Does the folder hold folders, or MNIST's files? Then it has classes; else it is pictures alone. */
static bool has_classes(const char *folder) {
    DIR *stream = opendir(folder);
    bool found = !stream; /* tare_data_open says what is wrong */
    for (const struct dirent *e; stream && !found && (e = readdir(stream));) {
        char path[4096];
        struct stat status;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        found = e->d_name[0] != '.' &&
                ((stat(path, &status) == 0 && S_ISDIR(status.st_mode)) || strstr(e->d_name, "-ubyte"));
    }
    if (stream) { closedir(stream); }
    return found;
}

static char *join_names(const tare_dataset *ds) {
    size_t size = 1;
    for (int64_t k = 0; k < ds->classes; k++) { size += strlen(ds->class_names[k]) + 1; }
    char *text = tare_calloc(size, 1), *end = text;
    for (int64_t k = 0; text && k < ds->classes; k++) {
        end += snprintf(end, size - (size_t)(end - text), "%s%s", k > 0 ? "\n" : "", ds->class_names[k]);
    }
    return text;
}

/* Sides that three halvings divide: MNIST's 28 become 32, with black around. */
static int64_t padded(int64_t side) { return (side + 7) / 8 * 8; }

static tare_status open_pictures(data *d, const options *o) {
    tare_data_opt opt = { .height = o->size, .width = o->size };
    tare_status s;
    if (strcmp(o->data, "mnist") == 0 || strcmp(o->data, "fashion-mnist") == 0 || has_classes(o->data)) {
        s = tare_data_open(o->data, opt, &d->train, &d->test);
    } else {
        opt.unlabelled = true;
        s = tare_data_image_folder(o->data, opt, &d->train);
    }
    if (s != TARE_OK) { return s; }
    d->what.shape = TARE_SHAPE(d->train->channels, padded(d->train->height), padded(d->train->width));
    d->what.classes = d->train->classes;
    d->what.class_names = join_names(d->train);
    return d->what.class_names ? TARE_OK : TARE_ENOMEM;
}

tare_status data_open(data *d, const options *o) {
    d->what.toy = toy_find(o->data);
    if (!d->what.toy) {
        tare_status s = open_pictures(d, o);
        return s == TARE_ENOENT ? tare_fail(s, "%s; points are ring8 and grid25", tare_error()) : s;
    }
    d->what.shape = TARE_SHAPE(2);
    d->what.classes = d->what.toy->modes;
    return toy_dataset(d->what.toy, &d->train);
}

void data_close(data *d) {
    tare_dataset_free(d->train);
    tare_dataset_free(d->test);
    subject_free(&d->what);
}

tare_status data_loader(const data *d, const tare_dataset *of, tare_loader_opt opt, tare_loader **out) {
    if (!d->what.toy) {
        opt.height = d->what.shape.dim[1];
        opt.width = d->what.shape.dim[2];
        opt.scaling = TARE_SCALE_SIGNED;
    }
    return tare_loader_new(of, opt, out);
}

/* ---- what a run remembers ---------------------------------------------------------------------------------------- */

/* Writes or reads input.safetensors, a checkpoint of numbers and names alone. */
tare_status subject_file(subject *s, const options *o, const char *path, bool save) {
    tare_checkpoint *c = tare_checkpoint_new();
    if (!c) { return TARE_ENOMEM; }
    int64_t ndim = s->shape.ndim;
    tare_checkpoint_int(c, "ndim", &ndim);
    tare_checkpoint_int(c, "channels", &s->shape.dim[0]);
    tare_checkpoint_int(c, "height", &s->shape.dim[1]);
    tare_checkpoint_int(c, "width", &s->shape.dim[2]);
    tare_checkpoint_int(c, "classes", &s->classes);
    tare_checkpoint_text(c, "class_names", &s->class_names);
    tare_status status = save ? tare_checkpoint_save(c, path) : tare_checkpoint_load(c, path);
    tare_checkpoint_free(c);
    s->shape.ndim = (int)ndim;
    s->toy = toy_find(o->data);
    return status;
}

void subject_free(subject *s) { tare_free(s->class_names); }

const char *class_name(const subject *s, int64_t k, char *buffer, size_t size) {
    const char *name = s->class_names ? s->class_names : "";
    for (int64_t i = 0; i < k && *name; i++) { name += strcspn(name, "\n") + (name[strcspn(name, "\n")] != '\0'); }
    snprintf(buffer, size, "%.*s", (int)strcspn(name, "\n"), name);
    if (!*buffer) { snprintf(buffer, size, "%lld", (long long)k); }
    return buffer;
}
