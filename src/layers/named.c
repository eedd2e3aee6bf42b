/* named.c - layers by name: those that open plugins bring. */
#include <tare/layers.h>
#include <tare/plugin.h>

#include <stdio.h>
#include <string.h>

const tare_layer_kind *tare_layer_kind_at(int index) {
    const tare_plugin *p;
    for (int i = 0; index >= 0 && (p = tare_plugin_at(i)); i++) {
        for (int k = 0; p->layers && p->layers[k]; k++) {
            if (index-- == 0) { return p->layers[k]; }
        }
    }
    return NULL;
}

const tare_layer_kind *tare_layer_kind_find(const char *name) {
    const tare_layer_kind *kind = NULL;
    for (int i = 0; name && (kind = tare_layer_kind_at(i)) && strcmp(kind->name, name) != 0; i++) {}
    return kind;
}

tare_layer *tare_layer_named(tare_params *ps, const char *name, const char *kind, tare_shape features) {
    if (!ps || tare_params_status(ps)) { return NULL; }
    const tare_layer_kind *found = tare_layer_kind_find(kind);
    if (found) { return found->make(ps, name ? name : found->name, features); }
    char known[256] = "";
    size_t used = 0;
    for (int i = 0; (found = tare_layer_kind_at(i)) && used < sizeof known; i++) {
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", found->name);
    }
    return tare_params_fail(ps, TARE_EINVAL, "no plugin that is open brings a layer \"%s\"%s%s", kind ? kind : "(NULL)",
                            used ? "; there are: " : "", known);
}
