/* run_folder.h - what a program's run has left in its folder: events, weights. */
#ifndef TARE_RUN_FOLDER_H
#define TARE_RUN_FOLDER_H

#include "program_support.h"

#include <tare/io.h>

#include <math.h>

/* A place below the tests' folder; the text stays. */
static inline const char *place(const char *name) {
    static char kept[64][4096];
    static int next;
    char *path = kept[next++ % 64];
    snprintf(path, sizeof kept[0], "%s/%s", work, name);
    return path;
}

/* The folder's metrics.jsonl; holds until the next. */
static inline const char *metrics_of(const char *folder) {
    static char text[1 << 18];
    read_text(test_path(folder, "metrics.jsonl"), text, sizeof text);
    return text;
}

/* From the last event of this kind on, or NULL. */
static inline const char *last_event(const char *folder, const char *event) {
    char key[64];
    snprintf(key, sizeof key, "{\"event\":\"%s\"", event);
    const char *line = NULL;
    for (const char *s = metrics_of(folder); (s = strstr(s, key)); s++) { line = s; }
    return line;
}

/* The number behind "name": in the last event of this kind, or NaN. */
static inline double metric(const char *folder, const char *event, const char *name) {
    char key[64];
    const char *line = last_event(folder, event);
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *s = line ? strstr(line, key) : NULL;
    if (!s || s >= line + strcspn(line, "\n")) { return (double)NAN; }
    return strncmp(s + strlen(key), "null", 4) == 0 ? (double)NAN
                                                    : strtod(s + strlen(key), NULL); /* null: not finite */
}

static inline void assert_same_model(const char *a, const char *b) {
    tare_reader *x = NULL, *y = NULL;
    assert_ok(tare_reader_open(test_path(a, "last.safetensors"), &x));
    assert_ok(tare_reader_open(test_path(b, "last.safetensors"), &y));
    assert_int_equal(tare_reader_count(x), tare_reader_count(y));
    assert_true(tare_reader_count(x) > 10); /* weights, statistics and moments */
    for (int64_t i = 0; i < tare_reader_count(x); i++) {
        const tare_entry *e = tare_reader_at(x, i), *f = tare_reader_find(y, e->name);
        assert_non_null(f);
        assert_true(tare_shape_equal(e->shape, f->shape));
        if (memcmp(e->data, f->data, (size_t)e->numel * sizeof(tare_real)) != 0) { fail_msg("%s differs", e->name); }
    }
    tare_reader_free(x);
    tare_reader_free(y);
}

/* Puts a NaN where the file has a model's first value. */
static inline void spoil(const char *folder, const char *file) {
    static char header[1 << 18];
    const uint8_t nan_bytes[8] = { 0, 0, sizeof(tare_real) == 4 ? 0xc0 : 0, 0x7f, 0, 0, 0xf8, 0x7f };
    uint8_t size[8];
    FILE *f = fopen(test_path(folder, file), "r+b");
    assert_non_null(f);
    assert_int_equal(fread(size, 1, sizeof size, f), sizeof size);
    long length = size[0] + 256L * size[1] + 65536L * size[2]; /* little-endian, and short enough */
    assert_true(length < (long)sizeof header);
    header[fread(header, 1, (size_t)length, f)] = '\0';
    const char *entry = strstr(header, "},\"") + 3; /* after the metadata */
    while (*entry == '@') { entry = strstr(entry, "},\"") + 3; }
    const char *offset = strstr(entry, "\"data_offsets\":[");
    assert_non_null(offset);
    fseek(f, 8 + length + strtol(offset + strlen("\"data_offsets\":["), NULL, 10), SEEK_SET);
    fwrite(nan_bytes, 1, sizeof(tare_real), f);
    assert_int_equal(fclose(f), 0);
}

/* How often these words stand in the run's log. */
static inline int64_t count_of(const char *folder, const char *words) {
    int64_t n = 0;
    for (const char *s = metrics_of(folder); (s = strstr(s, words)); s++) { n++; }
    return n;
}

#endif
