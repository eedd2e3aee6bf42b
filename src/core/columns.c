/* columns.c - text in columns. */
#include "columns.h"

#include <stdio.h>
#include <string.h>

/* Bytes 10xxxxxx go on with a character that began before them (RFC 3629). */
static bool begins_one(char byte) { return ((unsigned char)byte & 0xc0) != 0x80; }

int tare__columns(const char *s, size_t n) {
    int count = 0;
    for (size_t i = 0; i < n; i++) { count += begins_one(s[i]); }
    return count;
}

size_t tare__columns_bytes(const char *s, int columns) {
    size_t n = 0;
    for (int seen = 0; s[n]; n++) {
        seen += begins_one(s[n]);
        if (seen > columns) { break; }
    }
    return n;
}

const char *tare__cell_cut(const char *s, int width, tare__cell_buf *buffer) {
    bool whole = tare__columns(s, strlen(s)) <= width;
    size_t n = tare__columns_bytes(s, whole ? width : width - 2);
    snprintf(buffer->text, sizeof buffer->text, "%.*s%s", (int)n, s, whole ? "" : "..");
    return buffer->text;
}

const char *tare__cell_text(const char *s, int width, tare__cell_buf *buffer) {
    tare__cell_cut(s, width, buffer);
    size_t n = strlen(buffer->text);
    snprintf(buffer->text + n, sizeof buffer->text - n, "%*s", width - tare__columns(buffer->text, n), "");
    return buffer->text;
}

void tare__text_wrap(tare__text *t, const char *text, int at, int indent) {
    enum { WIDTH = 80 };
    for (const char *s = text; *s;) {
        size_t n = strcspn(s, " ");
        int wide = tare__columns(s, n);
        if (at + 1 + wide > WIDTH && at > indent) {
            tare__text_format(t, "\n%*s", indent, "");
            at = indent;
        } else if (s != text) {
            tare__text_add(t, " ");
            at++;
        }
        tare__text_addn(t, s, n);
        at += wide;
        s += n;
        s += strspn(s, " ");
    }
    tare__text_add(t, "\n");
}
