/* json.c - JSON objects, member by member, into growing text. */
#include "json.h"

#include <cjson/cJSON.h>

#include <inttypes.h>
#include <string.h>

static void begin(tare__text *t, const char *key) {
    char last = t->size > 0 ? t->data[t->size - 1] : '{';
    if (last != '{' && last != '[') { tare__text_add(t, ","); }
    if (key) {
        tare__text_json(t, key);
        tare__text_add(t, ":");
    }
}

void tare__json_open(tare__text *t, const char *key, char bracket) {
    begin(t, key);
    tare__text_addn(t, &bracket, 1);
}

void tare__json_close(tare__text *t, char bracket) { tare__text_addn(t, &bracket, 1); }

void tare__json_string(tare__text *t, const char *key, const char *text) {
    begin(t, key);
    if (text) {
        tare__text_json(t, text);
    } else {
        tare__text_add(t, "null");
    }
}

void tare__json_number(tare__text *t, const char *key, double value) {
    begin(t, key);
    tare__text_number(t, value);
}

void tare__json_int(tare__text *t, const char *key, int64_t value) {
    begin(t, key);
    tare__text_format(t, "%" PRId64, value);
}

void tare__json_bool(tare__text *t, const char *key, bool value) {
    begin(t, key);
    tare__text_add(t, value ? "true" : "false");
}

void tare__json_raw(tare__text *t, const char *key, const char *json) {
    begin(t, key);
    tare__text_add(t, json);
}

char *tare__json_indented(const char *json) {
    tare__text t = { 0 };
    int depth = 0, lists = 0; /* lists stay on their line */
    bool quoted = false;
    for (const char *s = json; *s; s++) {
        if (quoted && *s == '\\') {
            tare__text_addn(&t, s++, 1);
        } /* what is escaped ends no string */
        else if (*s == '"') {
            quoted = !quoted;
        }
        bool opens = !quoted && *s == '{', closes = !quoted && *s == '}';
        depth += opens - closes;
        lists += !quoted && *s == '[';
        lists -= !quoted && *s == ']';
        if (closes) { tare__text_format(&t, "\n%*s", 2 * depth, ""); }
        tare__text_addn(&t, s, 1);
        bool comma = !quoted && *s == ',';
        if (opens || (comma && lists == 0)) { tare__text_format(&t, "\n%*s", 2 * depth, ""); }
        if ((comma && lists > 0) || (!quoted && *s == ':')) { tare__text_add(&t, " "); }
    }
    return tare__text_take(&t);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* How long a number is that JSON has not, but Python writes; 0: none begins here. */
static size_t strange_number(const char *s) {
    static const char *const words[] = { "NaN", "Infinity", "-Infinity" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strncmp(s, words[i], strlen(words[i])) == 0) { return strlen(words[i]); }
    }
    return 0;
}

cJSON *tare__json_event(const char *line) {
    cJSON *event = cJSON_Parse(line);
    if (event || (!strstr(line, "NaN") && !strstr(line, "Infinity"))) { return event; }
    tare__text t = { 0 };
    bool quoted = false;
    for (const char *s = line; *s;) {
        size_t strange = quoted ? 0 : strange_number(s), n = strange ? strange : *s == '\\' && s[1] ? 2 : 1;
        if (*s == '"') { quoted = !quoted; }
        tare__text_addn(&t, strange ? "null" : s, strange ? 4 : n);
        s += n;
    }
    char *text = tare__text_take(&t);
    event = text ? cJSON_Parse(text) : NULL;
    tare_free(text);
    return event;
}
