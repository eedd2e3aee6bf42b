/* metrics.c - metrics.jsonl in columns, an event's numbers side by side. */
#include "report.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../io/io.h"
#include "../run/json.h"

enum { MOST_NOTES = 200, MOST_LIST = 16, MOST_COLUMNS = 64, MOST_SERIES = 4096 };

/* ---- columns ----------------------------------------------------------------------------------------------------- */

static int64_t find_column(const tare__series *s, const char *name) {
    int64_t i = 0;
    while (i < s->columns && strcmp(s->column[i].name, name) != 0) { i++; }
    return i;
}

const tare__column *tare__series_column(const tare__series *s, const char *name) {
    int64_t i = find_column(s, name);
    return i < s->columns ? &s->column[i] : NULL;
}

static bool grow_rows(tare__series *s) {
    int64_t room = s->room ? 2 * s->room : 64;
    for (int64_t i = 0; i < s->columns; i++) {
        double *larger = tare_malloc((size_t)room * sizeof *larger);
        if (!larger) { return false; }
        memcpy(larger, s->column[i].value, (size_t)s->rows * sizeof *larger);
        tare_free(s->column[i].value);
        s->column[i].value = larger;
    }
    s->room = room;
    return true;
}

/* A column of that name, made where there is none: NaN in all rows and the one that comes. NULL: out of memory, or too many. */
static tare__column *column_of(tare__series *s, const char *name) {
    int64_t found = find_column(s, name);
    if (found < s->columns) { return &s->column[found]; }
    if (s->columns == MOST_COLUMNS) { return NULL; }
    if (!s->column) { s->column = tare_calloc(MOST_COLUMNS, sizeof *s->column); }
    if (!s->column) { return NULL; }
    tare__column made = { tare_strdup(name), tare_malloc((size_t)s->room * sizeof(double)) };
    if (!made.name || !made.value) {
        tare_free(made.name);
        tare_free(made.value);
        return NULL;
    }
    for (int64_t i = 0; i <= s->rows; i++) { made.value[i] = (double)NAN; }
    s->column[s->columns] = made;
    return &s->column[s->columns++];
}

static bool same(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }

static char *copy(const char *text) { return text ? tare_strdup(text) : NULL; }

/* NULL: out of memory, or more kinds of events than any report shows. */
static tare__series *series_of(tare__metrics *m, const char *event, const char *of, const char *kind) {
    for (int64_t i = 0; i < m->count; i++) {
        if (same(m->series[i].event, event) && same(m->series[i].of, of)) { return &m->series[i]; }
    }
    if (m->count == MOST_SERIES) { return NULL; }
    if ((m->count & (m->count - 1)) == 0) { /* full at each power of two */
        tare__series *larger = tare_calloc((size_t)(m->count ? 2 * m->count : 1), sizeof *larger);
        if (!larger) { return NULL; }
        if (m->count) { memcpy(larger, m->series, (size_t)m->count * sizeof *larger); }
        tare_free(m->series);
        m->series = larger;
    }
    tare__series *s = &m->series[m->count];
    *s = (tare__series){ .event = tare_strdup(event), .of = copy(of), .kind = copy(kind) };
    m->count++;
    return s->event && (s->of || !of) && grow_rows(s) ? s : NULL;
}

/* ---- a line ------------------------------------------------------------------------------------------------------ */

static const char *text_of(const cJSON *event, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(event, name);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

/* What is told in words, or only once. */
static bool is_note(const cJSON *event, const char *name) {
    static const char *const once[] = { "start", "end", "resume", "stop", "nonfinite", "diverged", "batch_norm" };
    for (size_t i = 0; i < sizeof once / sizeof once[0]; i++) {
        if (strcmp(name, once[i]) == 0) { return true; }
    }
    const cJSON *item;
    cJSON_ArrayForEach(item, event) {
        bool words = strcmp(item->string, "event") != 0 && strcmp(item->string, "layer") != 0 &&
                     strcmp(item->string, "parameter") != 0 && strcmp(item->string, "kind") != 0;
        if (words && cJSON_IsString(item)) { return true; }
    }
    return false;
}

static bool put(tare__series *s, const char *name, const cJSON *item) {
    tare__column *c = column_of(s, name);
    if (c && cJSON_IsNumber(item) && isfinite(item->valuedouble)) { c->value[s->rows] = item->valuedouble; }
    return c || s->columns == MOST_COLUMNS;
}

static bool put_list(tare__series *s, const cJSON *list) {
    char name[128];
    bool good = true;
    int k = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, list) {
        snprintf(name, sizeof name, "%.100s[%d]", list->string, k++);
        if (k <= MOST_LIST) { good = good && put(s, name, item); }
    }
    return good;
}

static tare_status add_row(tare__metrics *m, const cJSON *event, const char *name) {
    const char *of = text_of(event, "layer");
    tare__series *s = series_of(m, name, of ? of : text_of(event, "parameter"), text_of(event, "kind"));
    if (!s) { return m->count == MOST_SERIES ? TARE_OK : TARE_ENOMEM; }
    if (s->rows == s->room && !grow_rows(s)) { return TARE_ENOMEM; }
    for (int64_t i = 0; i < s->columns; i++) { s->column[i].value[s->rows] = (double)NAN; }
    bool good = true;
    const cJSON *item;
    cJSON_ArrayForEach(item, event) {
        if (cJSON_IsNumber(item) || cJSON_IsNull(item)) { good = good && put(s, item->string, item); }
        if (cJSON_IsArray(item)) { good = good && put_list(s, item); }
    }
    s->rows++;
    return good ? TARE_OK : TARE_ENOMEM;
}

/* ---- resumed runs ------------------------------------------------------------------------------------------------ */

/* What came after the checkpoint that a run went on from happened again: the first telling goes. */
static void forget_after(tare__metrics *m, double step) {
    for (int64_t i = 0; i < m->count; i++) {
        tare__series *s = &m->series[i];
        const tare__column *at = tare__series_column(s, "step");
        while (at && s->rows > 0 && at->value[s->rows - 1] > step) { s->rows--; }
    }
    for (int k = cJSON_GetArraySize(m->texts) - 1; k >= 0; k--) {
        const cJSON *at = cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(m->texts, k), "step");
        if (cJSON_IsNumber(at) && at->valuedouble > step) { cJSON_DeleteItemFromArray(m->texts, k); }
    }
}

/* Takes the event over where it is kept. */
static tare_status add_event(tare__metrics *m, cJSON *event) {
    const char *name = text_of(event, "event");
    const cJSON *step = cJSON_GetObjectItemCaseSensitive(event, "step");
    tare_status s = TARE_OK;
    bool sample = name && strcmp(name, "sample") == 0, note = name && !sample && is_note(event, name);
    if (name && strcmp(name, "resume") == 0 && cJSON_IsNumber(step)) { forget_after(m, step->valuedouble); }
    if (sample) {
        cJSON_AddItemToArray(m->texts, event);
        return TARE_OK;
    }
    if (note) {
        if (cJSON_GetArraySize(m->notes) == MOST_NOTES) { /* the first and the newest stay */
            cJSON_DeleteItemFromArray(m->notes, MOST_NOTES / 2);
            m->notes_left_out++;
        }
        cJSON_AddItemToArray(m->notes, event);
        return TARE_OK;
    }
    if (name) { s = add_row(m, event, name); }
    cJSON_Delete(event);
    return s;
}

tare_status tare__metrics_load(tare__metrics *m, const char *path) {
    unsigned char *bytes = NULL;
    size_t size = 0;
    *m = (tare__metrics){ .texts = cJSON_CreateArray(), .notes = cJSON_CreateArray() };
    if (!m->texts || !m->notes) { return tare_fail(TARE_ENOMEM, "%s: out of memory", path); }
    tare_status s = tare__file_load(path, &bytes, &size);
    if (s == TARE_ENOENT) { return TARE_OK; }
    for (char *line = (char *)bytes; s == TARE_OK && line && *line;) {
        size_t length = strcspn(line, "\n");
        bool more = line[length] == '\n';
        line[length] = '\0';
        cJSON *event = tare__json_event(line);
        if (cJSON_IsObject(event)) {
            s = add_event(m, event);
        } else {
            cJSON_Delete(event);
        }
        line += length + more;
    }
    tare_free(bytes);
    return s == TARE_ENOMEM ? tare_fail(s, "%s: out of memory", path) : s;
}

void tare__metrics_free(tare__metrics *m) {
    for (int64_t i = 0; i < m->count; i++) {
        tare__series *s = &m->series[i];
        for (int64_t k = 0; k < s->columns; k++) {
            tare_free(s->column[k].name);
            tare_free(s->column[k].value);
        }
        tare_free(s->column);
        tare_free(s->event);
        tare_free(s->of);
        tare_free(s->kind);
    }
    tare_free(m->series);
    cJSON_Delete(m->texts);
    cJSON_Delete(m->notes);
}
