/* plugin.c - opens plugins, and refuses what would not work with a line that says why. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "plugin.h"

#include "../core/plugins.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tare/norms.h>
#include <tare/optim.h>

/* ---- loading ----------------------------------------------------------------------------------------------------- */

enum { OTHER_SIZE = sizeof(tare_real) == sizeof(float) ? sizeof(double) : sizeof(float) };

static const char *precision(uint64_t size) { return size == sizeof(float) ? "float" : "double"; }
static const char *library(uint64_t size) { return size == sizeof(float) ? "tare" : "tare_f64"; }

static tare_status wrong_precision(const char *path, uint64_t size) {
    return tare_fail(TARE_EABI, "%s: built for %s, this program works in %s; compile it with pkg-config's flags for %s",
                     path, precision(size), precision(sizeof(tare_real)), library(sizeof(tare_real)));
}

/* What dlopen has to say, the path once. Where the library of the other precision is not even found, *size tells so. */
static tare_status cannot_load(const char *path, uint64_t *size) {
    char other[32];
    const char *why = dlerror();
    size_t n = strlen(path);
    snprintf(other, sizeof other, "lib%s.so", library(OTHER_SIZE));
    if (strncmp(why, path, n) == 0 && strncmp(why + n, ": ", 2) == 0) { why += n + 2; }
    *size = strstr(why, other) ? OTHER_SIZE : 0;
    tare_fail(TARE_EFORMAT, "%s: not a shared object that can be loaded: %s", path, why);
    return TARE_EFORMAT;
}

static tare_status check_header(const char *path, const tare_plugin *p, uint64_t *size) {
    if (!p) {
        tare_fail(TARE_EFORMAT, "%s: no plugin: it exports no tare_plugin_entry; end its source with TARE_PLUGIN(...)",
                  path);
        return TARE_EFORMAT;
    }
    if (p->abi != TARE_ABI) {
        return tare_fail(TARE_EABI, "%s: built for ABI %" PRIu64 ", this is Tare %s with ABI %d; compile it anew", path,
                         p->abi, TARE_VERSION, TARE_ABI);
    }
    *size = p->real_size;
    return TARE_OK;
}

/* The entry of the shared object at `path` (absolute) if it is built for this version, and its precision, 0 if that cannot be
 * told.   mode  RTLD_LAZY or RTLD_NOW: when are the functions that it calls looked for? */
static tare_status load(const char *path, int mode, void **handle, const tare_plugin **plugin, uint64_t *size) {
    *size = 0;
    *handle = dlopen(path, mode | RTLD_LOCAL);
    if (!*handle) { return cannot_load(path, size); }
    *plugin = dlsym(*handle, "tare_plugin_entry");
    return check_header(path, *plugin, size);
}

char *tare__plugin_path(const char *path) {
    char *full = path ? realpath(path, NULL) : NULL; /* from the C library's own malloc */
    char *copy = tare_strdup(full);
    if (!full) { tare_fail(TARE_ENOENT, "%s: no such plugin", path ? path : "(no path)"); }
    free(full);
    return copy;
}

/* Looks at the entry and lets go of it again. Lazily: a plugin for another version is to be refused for that, and not for a
 * function that has gone since. */
static tare_status probe(const char *path, uint64_t *size) {
    void *handle = NULL;
    const tare_plugin *plugin = NULL;
    tare_status s = load(path, RTLD_LAZY, &handle, &plugin, size);
    if (handle) { dlclose(handle); }
    return s;
}

tare_status tare_plugin_precision(const char *path, size_t *size) {
    uint64_t found = 0;
    *size = 0;
    char *full = tare__plugin_path(path);
    if (!full) { return TARE_ENOENT; }
    tare_status s = probe(full, &found);
    tare_free(full);
    *size = (size_t)found;
    return found ? TARE_OK : s;
}

/* ---- what it brings ---------------------------------------------------------------------------------------------- */

static tare_status broken(const char *path, const char *kind, const char *name, const char *what) {
    return tare_fail(TARE_EFORMAT, "%s: %s \"%s\" %s", path, kind, name ? name : "(no name)", what);
}

static tare_status taken(const char *path, const char *kind, const char *name) {
    return tare_fail(TARE_EEXIST, "%s: the name \"%s\" is taken: there is such %s already; give yours another", path,
                     name, kind);
}

static tare_status check_ops(const char *path, const tare_plugin *p) {
    for (int i = 0; p->ops && p->ops[i]; i++) {
        const tare_op *op = p->ops[i];
        if (!op->name || !*op->name) { return broken(path, "op", op->name, "needs a name"); }
        if (strchr(op->name, '/')) { return broken(path, "op", op->name, "may have no slash in its name"); }
        if (!(op->flags & TARE_OP_ALIAS) && (!op->check || !op->forward)) {
            return broken(path, "op", op->name, "needs a check and a forward");
        }
        if (op->n_in > TARE_MAX_INPUTS) { return broken(path, "op", op->name, "has too many inputs"); }
        bool again = tare_op_find(op->name) != NULL;
        for (int k = 0; k < i; k++) { again = again || strcmp(p->ops[k]->name, op->name) == 0; }
        if (again) { return taken(path, "an op", op->name); }
    }
    return TARE_OK;
}

static tare_status check_layers(const char *path, const tare_plugin *p) {
    for (int i = 0; p->layers && p->layers[i]; i++) {
        const tare_layer_kind *kind = p->layers[i];
        if (!kind->name || !*kind->name) { return broken(path, "layer", kind->name, "needs a name"); }
        if (!kind->make) { return broken(path, "layer", kind->name, "needs a make"); }
        bool again = tare_layer_kind_find(kind->name) != NULL;
        for (int k = 0; k < i; k++) { again = again || strcmp(p->layers[k]->name, kind->name) == 0; }
        if (again) { return taken(path, "a layer", kind->name); }
    }
    return TARE_OK;
}

/* The spec of a kind with all its options fits what tare_norm_canonical has for it. */
static bool options_fit(const tare_norm_kind *kind) {
    size_t size = strlen(kind->name);
    for (int i = 0; i < TARE_NORM_OPTIONS && kind->options[i].key; i++) {
        const char *words = kind->options[i].words;
        size_t value = words && strlen(words) > 24 ? strlen(words) : 24;
        size += strlen(kind->options[i].key) + value + 2;
    }
    return size < 240 && !kind->options[TARE_NORM_OPTIONS - 1].key;
}

static tare_status check_norms(const char *path, const tare_plugin *p) {
    for (int i = 0; p->norms && p->norms[i]; i++) {
        const tare_norm_kind *kind = p->norms[i];
        if (!kind->name || !*kind->name || strpbrk(kind->name, ":,=+ ")) {
            return broken(path, "norm", kind->name, "needs a name without : , = + and blanks, for specs");
        }
        if (!kind->make == !kind->transform) {
            return broken(path, "norm", kind->name, "needs a make, or else a transform");
        }
        if (!options_fit(kind)) { return broken(path, "norm", kind->name, "has too many options, or too long ones"); }
        bool again = tare_norm_kind_find(kind->name) != NULL;
        for (int k = 0; k < i; k++) { again = again || strcmp(p->norms[k]->name, kind->name) == 0; }
        if (again) { return taken(path, "a norm", kind->name); }
    }
    return TARE_OK;
}

static tare_status check_optimizers(const char *path, const tare_plugin *p) {
    for (int i = 0; p->optimizers && p->optimizers[i]; i++) {
        const tare_optim_class *cls = p->optimizers[i];
        if (!cls->name || !*cls->name) { return broken(path, "optimizer", cls->name, "needs a name"); }
        if (!cls->update) { return broken(path, "optimizer", cls->name, "needs an update"); }
        bool again = tare_optim_class_find(cls->name) != NULL;
        for (int k = 0; k < i; k++) { again = again || strcmp(p->optimizers[k]->name, cls->name) == 0; }
        if (again) { return taken(path, "an optimizer", cls->name); }
    }
    return TARE_OK;
}

static tare_status check_contents(const char *path, const tare_plugin *p) {
    if (!p->name || !*p->name) { return tare_fail(TARE_EFORMAT, "%s: the plugin needs a .name", path); }
    tare_status s = check_ops(path, p);
    if (s == TARE_OK) { s = check_layers(path, p); }
    if (s == TARE_OK) { s = check_norms(path, p); }
    if (s == TARE_OK) { s = check_optimizers(path, p); }
    return s;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* Adds a loaded plugin to the open ones; *was_open where it is one of them. */
static tare_status add(const char *path, const tare_plugin *p, bool *was_open) {
    int i = 0;
    do {
        for (i = 0; i < TARE_MAX_PLUGINS && tare_plugin_at(i); i++) { *was_open = *was_open || tare_plugin_at(i) == p; }
        if (*was_open) { return TARE_OK; }
        tare_status s = check_contents(path, p);
        if (s != TARE_OK) { return s; }
        if (i == TARE_MAX_PLUGINS) { return tare_fail(TARE_ENOMEM, "%s: %d plugins are open, no more fit", path, i); }
    } while (!tare__plugins_add(i, p)); /* another thread opened one meanwhile: look at the names again */
    return TARE_OK;
}

static tare_status open_at(const char *path, const tare_plugin **plugin) {
    void *handle = NULL;
    const tare_plugin *p = NULL;
    bool was_open = false;
    uint64_t size = 0;
    tare_status s = probe(path, &size);
    if (size && size != sizeof(tare_real)) { s = wrong_precision(path, size); }
    /* Now for good: what it calls is looked for here, and not in the middle of a step. */
    if (s == TARE_OK) { s = load(path, RTLD_NOW, &handle, &p, &size); }
    if (s == TARE_OK) { s = add(path, p, &was_open); }
    if (handle && (s != TARE_OK || was_open)) { dlclose(handle); }
    if (s == TARE_OK && plugin) { *plugin = p; }
    return s;
}

tare_status tare_plugin_open(const char *path, const tare_plugin **plugin) {
    char *full = tare__plugin_path(path);
    if (!full) { return TARE_ENOENT; }
    tare_status s = open_at(full, plugin);
    tare_free(full);
    return s;
}
