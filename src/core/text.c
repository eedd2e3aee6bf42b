/* text.c - text that grows, and numbers as text whatever the locale. */
#include "text.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- growing ----------------------------------------------------------------------------------------------------- */

static bool reserve(tare__text *t, size_t more) {
    if (t->failed) { return false; }
    if (t->size + more < t->room) { return true; }
    size_t room = (t->size + more + 1) * 2;
    char *data = tare_malloc(room);
    if (!data) {
        t->failed = true;
        return false;
    }
    if (t->data) { memcpy(data, t->data, t->size + 1); }
    tare_free(t->data);
    t->data = data;
    t->room = room;
    return true;
}

void tare__text_addn(tare__text *t, const char *text, size_t n) {
    if (!reserve(t, n)) { return; }
    memcpy(t->data + t->size, text, n);
    t->size += n;
    t->data[t->size] = '\0';
}

void tare__text_add(tare__text *t, const char *text) { tare__text_addn(t, text, strlen(text)); }

static void vformat(tare__text *t, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (n < 0 || !reserve(t, (size_t)n)) { return; }
    vsnprintf(t->data + t->size, (size_t)n + 1, format, args);
    t->size += (size_t)n;
}

void tare__text_format(tare__text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vformat(t, format, args);
    va_end(args);
}

char *tare__text_take(tare__text *t) {
    tare__text_add(t, "");
    char *data = t->data;
    if (t->failed) {
        tare_free(data);
        data = NULL;
    }
    *t = (tare__text){ 0 };
    return data;
}

/* ---- quoting ----------------------------------------------------------------------------------------------------- */

/* Bytes of the UTF-8 character that starts here; 0 where none does (RFC 3629: no overlong forms, no surrogates). */
static size_t utf8_length(const unsigned char *s) {
    if (s[0] < 0x80) { return 1; }
    size_t n = s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) { return 0; }
    }
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool beyond = (s[0] == 0xed && s[1] >= 0xa0) || (s[0] == 0xf4 && s[1] >= 0x90);
    return overlong || beyond ? 0 : n;
}

void tare__text_json(tare__text *t, const char *text) {
    tare__text_add(t, "\"");
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        size_t n = utf8_length(s);
        if (*s == '"' || *s == '\\') {
            tare__text_format(t, "\\%c", *s);
        } else if (*s < 0x20) {
            tare__text_format(t, "\\u%04x", *s);
        } else if (n == 0) {
            tare__text_add(t, "\\ufffd");
        } else {
            tare__text_addn(t, (const char *)s, n);
        }
        s += n > 0 ? n : 1;
    }
    tare__text_add(t, "\"");
}

void tare__text_quoted(tare__text *t, const char *text) {
    bool plain = *text != '\0';
    for (const char *s = text; *s; s++) { plain = plain && (isalnum((unsigned char)*s) || strchr("-_=+:,./@%", *s)); }
    if (plain) {
        tare__text_add(t, text);
        return;
    }
    tare__text_add(t, "'");
    for (const char *s = text; *s; s++) {
        if (*s == '\'') {
            tare__text_add(t, "'\\''");
        } else {
            tare__text_addn(t, s, 1);
        }
    }
    tare__text_add(t, "'");
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

const char *tare__number_text(double value, tare__number_buf *buffer) {
    char *out = buffer->text;
    if (!isfinite(value)) {
        snprintf(out, sizeof buffer->text, "null");
    } else if (fabs(value) < 9007199254740992.0 && value == floor(value)) {
        snprintf(out, sizeof buffer->text, "%lld", (long long)value);
    } else {
        for (int digits = 15; digits <= 17; digits++) {
            snprintf(out, sizeof buffer->text, "%.*g", digits, value);
            if (strtod(out, NULL) == value) { break; }
        }
        for (char *s = out; *s; s++) {
            if (*s == ',') { *s = '.'; } /* a locale's decimal comma */
        }
    }
    return out;
}

void tare__text_number(tare__text *t, double value) {
    tare__number_buf buffer = { 0 };
    tare__text_add(t, tare__number_text(value, &buffer));
}

/* The decimal point the locale expects, so that "0.5" means a half everywhere. */
static char decimal_point(void) {
    char half[8];
    snprintf(half, sizeof half, "%.1f", 0.5);
    return half[1];
}

bool tare__number_parse(const char *text, double *value) {
    char local[64];
    size_t n = strlen(text);
    if (n == 0 || n >= sizeof local || isspace((unsigned char)text[0])) { return false; }
    char point = decimal_point();
    for (size_t i = 0; i <= n; i++) {
        if (text[i] && !strchr("0123456789+-.eE", text[i])) { return false; } /* no hexadecimal, no "inf", no "nan" */
        local[i] = text[i] == '.' ? point : text[i];
    }
    char *end;
    double x = strtod(local, &end);
    if (end == local || *end || !isfinite(x)) { return false; }
    *value = x;
    return true;
}
