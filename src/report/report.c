/* report.c - tare_report_write: a folder of a run or of a comparison becomes a page. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "report.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ALL_POINTS: of one measure, over all runs of a comparison. LARGEST_DATA: bytes, the page itself aside. */
enum {
    MOST_POINTS = 500,
    ALL_POINTS = 12000,
    MOST_STEPS = 80,
    MOST_DETAILED = 12,
    PICTURE_BYTES = 2500000,
    LARGEST_DATA = 4900000
};

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

/* All that the page counts on being there. */
static bool is_comparison(const cJSON *c) {
    static const char *const lists[] = { "axes", "cells", "pairs", "rankings", "seeds" };
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(c, "format_version"), *cell;
    bool good = cJSON_IsNumber(version) && version->valuedouble == 1 &&
                cJSON_IsString(cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(c, "metric"), "name"));
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        good = good && cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(c, lists[i]));
    }
    cJSON_ArrayForEach(cell, cJSON_GetObjectItemCaseSensitive(c, "cells")) {
        good = good && cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(cell, "at")) &&
               cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(cell, "runs")) &&
               cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(cell, "stats"));
    }
    return good && cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(c, "axes")) > 0;
}

/* ---- a comparison ------------------------------------------------------------------------------------------------ */

static const char *text_of(const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

/* A run of the comparison, called by its folder's path in it. Only a run that is broken itself is left out. */
static tare_status add_member(tare__text *json, const char *folder, const char *run, tare__budget *budget) {
    tare__text path = { 0 }, one = { 0 };
    tare__text_format(&path, "%s/%s", folder, run);
    char *full = tare__text_take(&path);
    tare_status s = full ? tare__report_run(&one, full, run, budget) : TARE_ENOMEM;
    char *text = tare__text_take(&one);
    if (s == TARE_OK && text) { tare__json_raw(json, NULL, text); }
    tare_free(text);
    tare_free(full);
    return s == TARE_OK && !text ? TARE_ENOMEM : s == TARE_ENOMEM ? s : TARE_OK;
}

/* All runs of a cell with their curves; the first that is ok in full. */
static tare_status add_cell(tare__text *json, const char *folder, const cJSON *cell, tare__budget *budget,
                            int64_t *detailed) {
    tare_status s = TARE_OK;
    bool done = *detailed >= MOST_DETAILED;
    const cJSON *run;
    cJSON_ArrayForEach(run, cJSON_GetObjectItemCaseSensitive(cell, "runs")) {
        const char *path = text_of(run, "folder"), *status = text_of(run, "status");
        if (s != TARE_OK || !path || !status || strcmp(status, "missing") == 0) { continue; }
        budget->details = !done && strcmp(status, "ok") == 0;
        *detailed += budget->details;
        done = done || budget->details;
        s = add_member(json, folder, path, budget);
    }
    return s;
}

static int64_t count_runs(const cJSON *cells) {
    int64_t count = 0;
    const cJSON *cell;
    cJSON_ArrayForEach(cell, cells) { count += cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(cell, "runs")); }
    return count;
}

static tare_status add_comparison(tare__text *json, const char *folder, const cJSON *comparison, int64_t shrink) {
    const cJSON *cells = cJSON_GetObjectItemCaseSensitive(comparison, "cells"), *cell;
    int64_t runs = count_runs(cells), points = runs > 0 ? ALL_POINTS / runs : MOST_POINTS, detailed = 0;
    points = (points > MOST_POINTS ? MOST_POINTS : points) / shrink;
    tare__budget budget = { points < 8 ? 8 : points, MOST_STEPS / 2 / shrink, PICTURE_BYTES / shrink, false };
    char *own = cJSON_PrintUnformatted(comparison);
    tare_status s = own ? TARE_OK : TARE_ENOMEM;
    if (own) { tare__json_raw(json, "comparison", own); }
    cJSON_free(own);
    tare__json_open(json, "runs", '[');
    cJSON_ArrayForEach(cell, cells) {
        if (s == TARE_OK) { s = add_cell(json, folder, cell, &budget, &detailed); }
    }
    tare__json_close(json, ']');
    return s;
}

/* ---- the page ---------------------------------------------------------------------------------------------------- */

static tare_status add_single(tare__text *json, const char *folder, const char *name, int64_t shrink) {
    tare__budget budget = { MOST_POINTS / shrink, MOST_STEPS / shrink, PICTURE_BYTES / shrink, true };
    tare__json_open(json, "runs", '[');
    tare_status s = tare__report_run(json, folder, name, &budget);
    tare__json_close(json, ']');
    return s;
}

/* The page's data; a comparison where there is one, else a run. `shrink`: how much less than usual is shown. */
static tare_status collect(const char *folder, const char *name, const cJSON *comparison, int64_t shrink, char **data) {
    tare__text json = { 0 };
    tare__json_open(&json, NULL, '{');
    tare__json_string(&json, "tare", TARE_VERSION);
    tare__json_string(&json, "kind", comparison ? "comparison" : "run");
    tare__json_string(&json, "name", name);
    tare_status s =
        comparison ? add_comparison(&json, folder, comparison, shrink) : add_single(&json, folder, name, shrink);
    tare__json_close(&json, '}');
    *data = tare__text_take(&json);
    return s == TARE_OK && !*data ? TARE_ENOMEM : s;
}

/* The same with less and less until it is small enough. */
static tare_status write_page(const char *folder, const char *name, const cJSON *comparison, const char *path) {
    char *data = NULL;
    tare_status s = collect(folder, name, comparison, 1, &data);
    for (int64_t shrink = 2; s == TARE_OK && strlen(data) > LARGEST_DATA && shrink <= 16; shrink *= 2) {
        tare_free(data);
        s = collect(folder, name, comparison, shrink, &data);
    }
    tare__text title = { 0 };
    tare__text_format(&title, "%s - Tare", name);
    char *words = tare__text_take(&title);
    if (s == TARE_OK) { s = words ? tare__report_page(path, words, data) : TARE_ENOMEM; }
    tare_free(data);
    tare_free(words);
    return s == TARE_ENOMEM ? tare_fail(s, "%s: out of memory", path) : s;
}

tare_status tare_report_write(const char *folder, const char *path) {
    cJSON *comparison = NULL;
    tare_status s = tare__report_read(folder, "comparison.json", &comparison);
    if (s == TARE_OK && comparison && !is_comparison(comparison)) {
        s = tare_fail(TARE_EFORMAT, "%s/comparison.json: not what this version of tare compare writes", folder);
    }
    if (s == TARE_OK && !comparison && !has(folder, "config.json") && !has(folder, "metrics.jsonl")) {
        s = tare_fail(TARE_ENOENT,
                      "%s: no run and no comparison: config.json, metrics.jsonl and comparison.json are missing",
                      folder);
    }
    tare__text joined = { 0 };
    tare__text_format(&joined, "%s/report.html", folder);
    char *own = tare__text_take(&joined), *name = name_of(folder);
    if (s == TARE_OK) { s = own && name ? write_page(folder, name, comparison, path ? path : own) : TARE_ENOMEM; }
    tare_free(own);
    tare_free(name);
    cJSON_Delete(comparison);
    return s;
}
