/* picture.c - PNG files as data URIs, so that the page needs no other file. */
#include "report.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "../io/io.h"

enum { MOST_PICTURES = 16, MOST_FILES = 100000, LARGEST_PICTURE = 1 << 20 };

/* ---- which ------------------------------------------------------------------------------------------------------- */

typedef struct names {
    char **name;
    int64_t count, room;
} names;

static bool is_png(const char *name) {
    size_t n = strlen(name);
    return n > 4 && name[0] != '.' && strcmp(name + n - 4, ".png") == 0;
}

static bool add_name(names *list, const char *name) {
    if (list->count == list->room) {
        int64_t room = list->room ? 2 * list->room : 64;
        char **larger = tare_malloc((size_t)room * sizeof *larger);
        if (!larger) { return false; }
        if (list->count) { memcpy(larger, list->name, (size_t)list->count * sizeof *larger); }
        tare_free(list->name);
        list->name = larger;
        list->room = room;
    }
    list->name[list->count] = tare_strdup(name);
    return list->name[list->count++] != NULL;
}

/* Numbers within names count as numbers: step-20 comes before step-100. */
static int by_name(const void *a, const void *b) {
    const char *s = *(char *const *)a, *t = *(char *const *)b;
    while (*s && *t) {
        if (*s >= '0' && *s <= '9' && *t >= '0' && *t <= '9') {
            char *s_end, *t_end;
            unsigned long long m = strtoull(s, &s_end, 10), n = strtoull(t, &t_end, 10);
            if (m != n) { return m < n ? -1 : 1; }
            s = s_end;
            t = t_end;
        } else if (*s != *t) {
            return *s < *t ? -1 : 1;
        } else {
            s++;
            t++;
        }
    }
    return (*s != '\0') - (*t != '\0');
}

static tare_status list_pictures(const char *folder, names *list) {
    DIR *dir = opendir(folder);
    bool good = true;
    const struct dirent *entry;
    while (good && dir && list->count < MOST_FILES && (entry = readdir(dir))) {
        if (is_png(entry->d_name)) { good = add_name(list, entry->d_name); }
    }
    if (dir) { closedir(dir); }
    if (list->count > 1) { qsort(list->name, (size_t)list->count, sizeof *list->name, by_name); }
    return good ? TARE_OK : tare_fail(TARE_ENOMEM, "%s: out of memory", folder);
}

/* ---- as text ----------------------------------------------------------------------------------------------------- */

/* RFC 4648. */
static void add_base64(tare__text *out, const unsigned char *bytes, size_t size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        unsigned bits = (unsigned)bytes[i] << 16;
        if (left > 1) { bits |= (unsigned)bytes[i + 1] << 8; }
        if (left > 2) { bits |= bytes[i + 2]; }
        char four[4] = { digits[bits >> 18], digits[bits >> 12 & 63], left > 1 ? digits[bits >> 6 & 63] : '=',
                         left > 2 ? digits[bits & 63] : '=' };
        tare__text_addn(out, four, sizeof four);
    }
}

/* The step that a "sample" event names for this file; NULL: none does. */
static const cJSON *step_of(const cJSON *events, const char *name) {
    const cJSON *event;
    cJSON_ArrayForEach(event, events) {
        const cJSON *file = cJSON_GetObjectItemCaseSensitive(event, "file");
        if (!cJSON_IsString(file)) { continue; }
        const char *slash = strrchr(file->valuestring, '/');
        if (strcmp(slash ? slash + 1 : file->valuestring, name) == 0) {
            return cJSON_GetObjectItemCaseSensitive(event, "step");
        }
    }
    return NULL;
}

/* false: too large, or no PNG; nothing is added then. */
static bool add_picture(tare__text *out, const char *folder, const char *name, const cJSON *events,
                        tare__budget *budget) {
    static const unsigned char magic[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };
    tare__text joined = { 0 };
    tare__text_format(&joined, "%s/%s", folder, name);
    char *path = tare__text_take(&joined);
    unsigned char *bytes = NULL;
    size_t size = 0;
    bool good = path && tare__file_load(path, &bytes, &size) == TARE_OK && size > sizeof magic &&
                size <= LARGEST_PICTURE && (int64_t)(size / 3 * 4) <= budget->picture_bytes &&
                memcmp(bytes, magic, sizeof magic) == 0;
    if (good) {
        const cJSON *step = step_of(events, name);
        tare__json_open(out, NULL, '{');
        tare__json_string(out, "file", name);
        if (cJSON_IsNumber(step)) { tare__json_number(out, "step", step->valuedouble); }
        tare__text_add(out, ",\"uri\":\"data:image/png;base64,");
        add_base64(out, bytes, size);
        tare__text_add(out, "\"}");
        budget->picture_bytes -= (int64_t)(size / 3 * 4);
    }
    tare_free(bytes);
    tare_free(path);
    return good;
}

tare_status tare__report_pictures(tare__text *out, const char *folder, const cJSON *events, tare__budget *budget) {
    names list = { 0 };
    tare__text joined = { 0 };
    tare__text_format(&joined, "%s/samples", folder);
    char *samples = tare__text_take(&joined);
    tare_status s = samples ? list_pictures(samples, &list) : TARE_ENOMEM;
    int64_t wanted = list.count < MOST_PICTURES ? list.count : MOST_PICTURES;
    tare__json_open(out, "pictures", '[');
    for (int64_t i = 0; s == TARE_OK && i < wanted; i++) { /* the last first: it matters most where room is short */
        int64_t at = wanted > 1 ? (wanted - 1 - i) * (list.count - 1) / (wanted - 1) : 0;
        add_picture(out, samples, list.name[at], events, budget);
    }
    tare__json_close(out, ']');
    tare__json_int(out, "pictures_in_all", list.count);
    for (int64_t i = 0; i < list.count; i++) { tare_free(list.name[i]); }
    tare_free(list.name);
    tare_free(samples);
    return s;
}
