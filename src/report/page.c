/* page.c - the template with title, style, script and data filled in: the whole report in one file. */
#include "report.h"

#include <string.h>

#include "../io/io.h"
#include "page_files.h"

static void add_bytes(tare__text *out, const unsigned char *bytes, size_t size) {
    tare__text_addn(out, (const char *)bytes, size);
}

/* Text between tags. */
static void add_escaped(tare__text *out, const char *text) {
    for (const char *s = text; *s; s++) {
        switch (*s) {
        case '<': tare__text_add(out, "&lt;"); break;
        case '>': tare__text_add(out, "&gt;"); break;
        case '&': tare__text_add(out, "&amp;"); break;
        default: tare__text_addn(out, s, 1);
        }
    }
}

/* JSON inside a <script>: no text in it may end the element or open a comment. These only occur within strings. */
static void add_data(tare__text *out, const char *json) {
    for (const char *s = json; *s;) {
        size_t n = strcspn(s, "<>&");
        tare__text_addn(out, s, n);
        s += n;
        if (*s) { tare__text_format(out, "\\u%04x", (unsigned)*s++); }
    }
}

static bool write_text(FILE *file, const void *context) {
    const char *text = context;
    return fputs(text, file) >= 0;
}

tare_status tare__report_page(const char *path, const char *title, const char *json) {
    static const char *const marks[] = { "{{title}}", "{{style}}", "{{data}}", "{{script}}" };
    tare__text out = { 0 };
    const char *rest = (const char *)tare__page_html;
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        const char *mark = strstr(rest, marks[i]);
        if (!mark) { break; }
        tare__text_addn(&out, rest, (size_t)(mark - rest));
        switch (i) {
        case 0: add_escaped(&out, title); break;
        case 1: add_bytes(&out, tare__page_css, tare__page_css_size); break;
        case 2: add_data(&out, json); break;
        default: add_bytes(&out, tare__page_js, tare__page_js_size); break;
        }
        rest = mark + strlen(marks[i]);
    }
    tare__text_add(&out, rest);
    char *page = tare__text_take(&out);
    tare_status s = page ? tare__file_replace(path, write_text, page) : TARE_ENOMEM;
    tare_free(page);
    return s == TARE_ENOMEM ? tare_fail(s, "%s: out of memory", path) : s;
}
