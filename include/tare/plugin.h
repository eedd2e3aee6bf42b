/* tare/plugin.h - a shared object that brings ops, layers, norms and optimizers, used by name like the built-in ones.
 *
 * One C file, which ends with what it brings, each list ended by NULL:
 *     TARE_PLUGIN(.name = "mynorm", .ops = (const tare_op *const[]){ &op, NULL },
 *                 .norms = (const tare_norm_kind *const[]){ &kind, NULL });
 * docs/extending.md walks through one.
 */
#ifndef TARE_PLUGIN_H
#define TARE_PLUGIN_H

#include <tare/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tare_layer_kind;
struct tare_norm_kind;
struct tare_optim_class;

/* tare_plugin - what a plugin is. The first two members stay where they are in every version. */
typedef struct tare_plugin {
    uint64_t abi;       /* TARE_ABI of the headers that it was built with */
    uint64_t real_size; /* sizeof(tare_real) */
    const char *name;   /* "mynorm" */
    /* NULL, or lists ended by NULL */
    const tare_op *const *ops;
    const struct tare_layer_kind *const *layers;
    const struct tare_norm_kind *const *norms;
    const struct tare_optim_class *const *optimizers;
} tare_plugin;

/* TARE_PLUGIN(.name = ..., ...) - the entry point of a plugin. Once, at the end of its file. */
#define TARE_PLUGIN(...)                                                                                               \
    TARE_API extern const tare_plugin tare_plugin_entry;                                                               \
    const tare_plugin tare_plugin_entry = { .abi = TARE_ABI, .real_size = sizeof(tare_real), __VA_ARGS__ }

/* tare_plugin_open - load the shared object at `path`; tare_op_find, tare_layer_named, tare_norm_layer and all that takes a
 * norm's spec, tare_optim_class_find and their kin know what it brings from then on, for the life of the process. A plugin that is
 * open already is left as it is. All or nothing: one that is refused leaves nothing behind.
 *   plugin  may be NULL
 *   errors  TARE_ENOENT: no such file;  TARE_EFORMAT: not a shared object that can be loaded, no entry point, or an entry
 *           in a list is not whole;  TARE_EABI: built for another ABI version, or for the other precision;
 *           TARE_EEXIST: a name in it is taken;  TARE_ENOMEM: TARE_MAX_PLUGINS are open */
TARE_API tare_status tare_plugin_open(const char *path, const tare_plugin **plugin);

/* tare_plugin_precision - sizeof(tare_real) that the plugin at `path` was built with, whatever this process uses: 4 or 8.
 *   errors  TARE_ENOENT, TARE_EFORMAT and TARE_EABI (another version) as above; *size is 0 then */
TARE_API tare_status tare_plugin_precision(const char *path, size_t *size);

enum { TARE_MAX_PLUGINS = 64 };

/* tare_plugin_at - the open plugins in order, NULL after the last. */
TARE_API const tare_plugin *tare_plugin_at(int index);

#ifdef __cplusplus
}
#endif
#endif
