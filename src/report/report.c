/* report.c - tare_report_write: a run's folder becomes a page. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "report.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_POINTS = 500, PICTURE_BYTES = 2500000 };

static bool has(const char *folder, const char *file) {
    tare__text path = { 0 };
    tare__text_format(&path, "%s/%s", folder, file);
    char *name = tare__text_take(&path);
    bool there = name && access(name, F_OK) == 0;
    tare_free(name);
    return there;
}

/* The folder's own name, whatever way led to it. */
static char *name_of(const char *folder) {
    char *path = realpath(folder, NULL), *slash = path ? strrchr(path, '/') : NULL;
    char *name = tare_strdup(slash && slash[1] ? slash + 1 : folder);
    free(path);
    return name;
}

static tare_status write_run(const char *folder, const char *name, const char *path) {
    tare__budget budget = { MOST_POINTS, PICTURE_BYTES, true };
    tare__text json = { 0 }, title = { 0 };
    tare__json_open(&json, NULL, '{');
    tare__json_string(&json, "tare", TARE_VERSION);
    tare__json_string(&json, "kind", "run");
    tare__json_open(&json, "runs", '[');
    tare_status s = tare__report_run(&json, folder, name, &budget);
    tare__json_close(&json, ']');
    tare__json_close(&json, '}');
    tare__text_format(&title, "%s - Tare", name);
    char *data = tare__text_take(&json), *words = tare__text_take(&title);
    if (s == TARE_OK) { s = data && words ? tare__report_page(path, words, data) : TARE_ENOMEM; }
    tare_free(data);
    tare_free(words);
    return s;
}

tare_status tare_report_write(const char *folder, const char *path) {
    if (!has(folder, "config.json") && !has(folder, "metrics.jsonl")) {
        return tare_fail(TARE_ENOENT, "%s: no run: neither config.json nor metrics.jsonl is in it", folder);
    }
    tare__text joined = { 0 };
    tare__text_format(&joined, "%s/report.html", folder);
    char *own = tare__text_take(&joined), *name = name_of(folder);
    tare_status s = own && name ? write_run(folder, name, path ? path : own) : TARE_ENOMEM;
    tare_free(own);
    tare_free(name);
    return s;
}
