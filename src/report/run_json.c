/* run_json.c - a run's folder as one JSON object for the page. */
#include "report.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>

#include "../io/io.h"

enum { LARGEST_TEXT = 200000, MOST_TEXTS = 24, LONGEST_SAMPLE = 4000 };

static void add_number(tare__text *out, double value) {
    char text[32];
    if (!isfinite(value) || (value == floor(value) && fabs(value) < 1e15)) {
        tare__text_number(out, value);
        return;
    }
    snprintf(text, sizeof text, "%.6g", value);
    for (char *s = text; *s; s++) {
        if (*s == ',') { *s = '.'; } /* a locale's decimal comma */
    }
    tare__text_add(out, text);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static tare_status read_file(const char *folder, const char *file, char **text) {
    tare__text path = { 0 };
    unsigned char *bytes = NULL;
    size_t size = 0;
    tare__text_format(&path, "%s/%s", folder, file);
    char *name = tare__text_take(&path);
    tare_status s = name ? tare__file_load(name, &bytes, &size) : TARE_ENOMEM;
    tare_free(name);
    *text = (char *)bytes;
    return s == TARE_ENOENT ? TARE_OK : s;
}

tare_status tare__report_read(const char *folder, const char *file, cJSON **json) {
    char *text = NULL;
    *json = NULL;
    tare_status s = read_file(folder, file, &text);
    if (s != TARE_OK || !text) { return s; }
    cJSON *root = cJSON_Parse(text);
    tare_free(text);
    if (!cJSON_IsObject(root)) {
        cJSON_Delete(root);
        return tare_fail(TARE_EFORMAT, "%s/%s: no JSON object; was it cut short?", folder, file);
    }
    *json = root;
    return TARE_OK;
}

/* The value as it is, or null. */
static void add_value(tare__text *out, const char *key, const cJSON *value) {
    char *text = value ? cJSON_PrintUnformatted(value) : NULL;
    out->failed = out->failed || (value && !text);
    tare__json_raw(out, key, text ? text : "null");
    cJSON_free(text);
}

/* A file of JSON, null where it is not there; one that cannot be read is an error only if it `matters`. */
static tare_status add_json_file(tare__text *out, const char *folder, const char *file, const char *key, bool matters) {
    cJSON *json = NULL;
    tare_status s = tare__report_read(folder, file, &json);
    if (s == TARE_ENOMEM || (s != TARE_OK && matters)) { return s; }
    add_value(out, key, json);
    cJSON_Delete(json);
    return TARE_OK;
}

static tare_status add_summary(tare__text *out, const char *folder) {
    char *text = NULL;
    if (read_file(folder, "summary.txt", &text) == TARE_ENOMEM) { return TARE_ENOMEM; }
    if (text && strlen(text) > LARGEST_TEXT) { text[LARGEST_TEXT] = '\0'; }
    tare__json_string(out, "summary", text);
    tare_free(text);
    return TARE_OK;
}

/* ---- curves ------------------------------------------------------------------------------------------------------ */

static void add_picked(tare__text *out, const char *key, const double *value, const int64_t *index, int64_t n) {
    tare__json_open(out, key, '[');
    for (int64_t i = 0; i < n; i++) {
        if (i) { tare__text_add(out, ","); }
        add_number(out, value ? value[index[i]] : (double)index[i]);
    }
    tare__json_close(out, ']');
}

/* Where along the run; no curves of their own. */
static bool is_axis(const char *name) {
    return strcmp(name, "step") == 0 || strcmp(name, "seconds") == 0 || strcmp(name, "epoch") == 0;
}

static const double *values_of(const tare__series *s, const char *name) {
    const tare__column *c = tare__series_column(s, name);
    return c ? c->value : NULL;
}

/* {"name","step","seconds","value"} of each column; each has points of its own. */
static void add_curves(tare__text *out, const tare__series *s, int64_t most, int64_t *index) {
    const double *step = values_of(s, "step"), *seconds = values_of(s, "seconds");
    tare__json_open(out, NULL, '{');
    tare__json_string(out, "event", s->event);
    tare__json_int(out, "rows", s->rows);
    tare__json_open(out, "curves", '[');
    for (int64_t i = 0; i < s->columns; i++) {
        const tare__column *c = &s->column[i];
        int64_t n = is_axis(c->name) ? 0 : tare__thin(c->value, s->rows, most, index);
        if (n == 0) { continue; }
        tare__json_open(out, NULL, '{');
        tare__json_string(out, "name", c->name);
        add_picked(out, "step", step, index, n);
        if (seconds) { add_picked(out, "seconds", seconds, index, n); }
        add_picked(out, "value", c->value, index, n);
        tare__json_close(out, '}');
    }
    tare__json_close(out, ']');
    tare__json_close(out, '}');
}

static tare_status add_all_curves(tare__text *out, const tare__metrics *m, int64_t most) {
    int64_t *index = tare_malloc((size_t)(most + 1) * sizeof *index);
    if (!index) { return TARE_ENOMEM; }
    tare__json_open(out, "events", '[');
    for (int64_t i = 0; i < m->count; i++) {
        if (!m->series[i].of && m->series[i].rows > 0) { add_curves(out, &m->series[i], most, index); }
    }
    tare__json_close(out, ']');
    tare_free(index);
    return TARE_OK;
}

/* ---- statistics by layer ----------------------------------------------------------------------------------------- */

/* Evenly chosen rows, the same for all layers, so that they stand side by side. */
static void add_layer(tare__text *out, const tare__series *s, int64_t most, int64_t *index) {
    int64_t n = s->rows < most ? s->rows : most;
    for (int64_t i = 0; i < n; i++) { index[i] = n > 1 ? i * (s->rows - 1) / (n - 1) : 0; }
    tare__json_open(out, NULL, '{');
    tare__json_string(out, "event", s->event);
    tare__json_string(out, "name", s->of);
    tare__json_string(out, "kind", s->kind);
    add_picked(out, "step", values_of(s, "step"), index, n);
    tare__json_open(out, "values", '{');
    for (int64_t i = 0; i < s->columns; i++) {
        if (!is_axis(s->column[i].name)) { add_picked(out, s->column[i].name, s->column[i].value, index, n); }
    }
    tare__json_close(out, '}');
    tare__json_close(out, '}');
}

static tare_status add_layers(tare__text *out, const tare__metrics *m, int64_t most) {
    int64_t *index = tare_malloc((size_t)most * sizeof *index);
    if (!index) { return TARE_ENOMEM; }
    tare__json_open(out, "layers", '[');
    for (int64_t i = 0; i < m->count; i++) {
        if (m->series[i].of && m->series[i].rows > 0) { add_layer(out, &m->series[i], most, index); }
    }
    tare__json_close(out, ']');
    tare_free(index);
    return TARE_OK;
}

/* ---- words ------------------------------------------------------------------------------------------------------- */

/* Cuts long text where a character ends. */
static void shorten(char *text, size_t most) {
    if (strlen(text) <= most) { return; }
    while (most > 0 && ((unsigned char)text[most] & 0xc0) == 0x80) { most--; }
    text[most] = '\0';
}

/* The "sample" events that hold text, evenly chosen. */
static void add_texts(tare__text *out, const cJSON *texts) {
    int64_t count = 0, seen = 0;
    const cJSON *event;
    cJSON_ArrayForEach(event, texts) { count += cJSON_HasObjectItem(event, "text"); }
    tare__json_open(out, "texts", '[');
    cJSON_ArrayForEach(event, texts) {
        cJSON *text = cJSON_GetObjectItemCaseSensitive(event, "text");
        const cJSON *step = cJSON_GetObjectItemCaseSensitive(event, "step");
        if (!cJSON_IsString(text)) { continue; }
        int64_t k = seen++;
        bool chosen = count <= MOST_TEXTS || k == count - 1 ||
                      k * (MOST_TEXTS - 1) / (count - 1) != (k - 1) * (MOST_TEXTS - 1) / (count - 1) || k == 0;
        if (!chosen) { continue; }
        shorten(text->valuestring, LONGEST_SAMPLE);
        tare__json_open(out, NULL, '{');
        if (cJSON_IsNumber(step)) { tare__json_number(out, "step", step->valuedouble); }
        tare__json_string(out, "text", text->valuestring);
        tare__json_close(out, '}');
    }
    tare__json_close(out, ']');
    tare__json_int(out, "texts_in_all", count);
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

static tare_status add_details(tare__text *out, const char *folder, const tare__metrics *m, tare__budget *budget) {
    tare_status s = add_summary(out, folder);
    if (s == TARE_OK) { s = add_json_file(out, folder, "confusion.json", "confusion", false); }
    if (s == TARE_OK) { s = add_layers(out, m, budget->steps); }
    if (s != TARE_OK) { return s; }
    add_texts(out, m->texts);
    return tare__report_pictures(out, folder, m->texts, budget);
}

tare_status tare__report_run(tare__text *out, const char *folder, const char *name, tare__budget *budget) {
    tare__metrics m;
    tare__text path = { 0 };
    tare__text_format(&path, "%s/metrics.jsonl", folder);
    char *metrics = tare__text_take(&path);
    if (!metrics) { return TARE_ENOMEM; }
    tare_status s = tare__metrics_load(&m, metrics);
    tare_free(metrics);
    if (s == TARE_OK) {
        tare__json_open(out, NULL, '{');
        tare__json_string(out, "name", name);
        tare__json_string(out, "folder", folder);
        s = add_json_file(out, folder, "config.json", "config", true);
    }
    if (s == TARE_OK) {
        add_value(out, "notes", m.notes);
        s = add_all_curves(out, &m, budget->points);
    }
    if (s == TARE_OK && budget->details) { s = add_details(out, folder, &m, budget); }
    tare__json_close(out, '}');
    tare__metrics_free(&m);
    return s;
}
