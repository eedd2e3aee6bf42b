/* plugin.h - what opening plugins and the option --plugin share. */
#ifndef TARE_RUN_PLUGIN_H
#define TARE_RUN_PLUGIN_H

#include <tare/plugin.h>

/* tare__plugin_path - the absolute path of a file that exists, tare_free it; NULL with the error set. */
char *tare__plugin_path(const char *path);

#endif
