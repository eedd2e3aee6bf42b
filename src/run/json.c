/* json.c - JSON objects, member by member, into growing text. */
#include "json.h"

#include <inttypes.h>

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
