/* plugins.c - the plugins that are open in this process: a list that only grows, read without a lock. */
#include "plugins.h"

#include <stdatomic.h>

static _Atomic(const tare_plugin *) plugins[TARE_MAX_PLUGINS];

const tare_plugin *tare_plugin_at(int index) {
    return index >= 0 && index < TARE_MAX_PLUGINS ? atomic_load(&plugins[index]) : NULL;
}

bool tare__plugins_add(int index, const tare_plugin *plugin) {
    const tare_plugin *nobody = NULL;
    return atomic_compare_exchange_strong(&plugins[index], &nobody, plugin);
}
