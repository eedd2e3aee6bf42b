/* plugins.h - the list of open plugins, for src/run/plugin.c alone to add to. */
#ifndef TARE_CORE_PLUGINS_H
#define TARE_CORE_PLUGINS_H

#include <tare/plugin.h>

/* tare__plugins_add - put it at `index`, which must be the first free place; false where another thread was there first. */
bool tare__plugins_add(int index, const tare_plugin *plugin);

#endif
