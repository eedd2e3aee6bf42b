/* writer.c - a safetensors file from a list of tensors and texts. */
#include "io.h"

#include <stdlib.h>
#include <string.h>

typedef struct item {
    char *name;
    char *text; /* of the metadata; NULL for a tensor */
    tare_dtype dtype;
    tare_shape shape;
    int64_t numel;
    const void *data;
} item;

struct tare_writer {
    item *items;
    size_t count, room;
    tare_status status;
    char error[256];
};

tare_writer *tare_writer_new(void) { return tare_calloc(1, sizeof(tare_writer)); }

void tare_writer_free(tare_writer *w) {
    if (!w) { return; }
    for (size_t i = 0; i < w->count; i++) {
        tare_free(w->items[i].name);
        tare_free(w->items[i].text);
    }
    tare_free(w->items);
    tare_free(w);
}

/* Keep the message of the tare_fail that has just been. */
static void stick(tare_writer *w, tare_status status) {
    if (w->status) { return; }
    w->status = status;
    snprintf(w->error, sizeof w->error, "%s", tare_error());
}

/* Takes over x.name and x.text. */
static void add(tare_writer *w, item x) {
    if (w->count == w->room) {
        size_t room = w->room ? 2 * w->room : 64;
        item *items = tare_calloc(room, sizeof *items);
        if (!items) {
            stick(w, TARE_ENOMEM);
            tare_free(x.name);
            tare_free(x.text);
            return;
        }
        if (w->count) { memcpy(items, w->items, w->count * sizeof *items); }
        tare_free(w->items);
        w->items = items;
        w->room = room;
    }
    w->items[w->count++] = x;
}

void tare_writer_tensor(tare_writer *w, const char *name, tare_dtype dtype, tare_shape shape, const void *data) {
    if (!w || w->status) { return; }
    tare__shown shown;
    tare_shape_buf buf;
    int64_t numel = tare_shape_numel(shape), size = tare_dtype_size(dtype);
    if (size == 0 || strcmp(name, "__metadata__") == 0 || (!data && numel > 0)) {
        stick(w, tare_fail(TARE_EINVAL, "cannot save tensor \"%s\": %s", tare__show(name, &shown),
                           size == 0 ? "unknown dtype"
                           : data    ? "the name is reserved"
                                     : "no data"));
        return;
    }
    if (numel < 0 || numel > INT64_MAX / size) {
        stick(w, tare_fail(TARE_ESHAPE, "cannot save tensor \"%s\" of shape %s", tare__show(name, &shown),
                           tare_shape_text(shape, &buf)));
        return;
    }
    char *copy = tare_strdup(name);
    if (!copy) {
        stick(w, TARE_ENOMEM);
        return;
    }
    add(w, (item){ .name = copy, .dtype = dtype, .shape = shape, .numel = numel, .data = data });
}

void tare_writer_meta(tare_writer *w, const char *key, const char *text) {
    if (!w || w->status) { return; }
    char *name = tare_strdup(key), *copy = tare_strdup(text);
    if (!name || !copy) {
        tare_free(name);
        tare_free(copy);
        stick(w, text ? TARE_ENOMEM : tare_fail(TARE_EINVAL, "cannot save \"%s\": no text", key));
        return;
    }
    add(w, (item){ .name = name, .text = copy });
}

/* ---- header ------------------------------------------------------------------------------------------------------ */

/* Tensors before texts, each by name. */
static int by_name(const void *left, const void *right) {
    const item *a = *(const item *const *)left, *b = *(const item *const *)right;
    if (!a->text != !b->text) { return a->text ? 1 : -1; }
    return strcmp(a->name, b->name);
}

static tare_status check_names(const tare_writer *w) {
    if (w->count == 0) { return TARE_OK; }
    const item **sorted = tare_calloc(w->count, sizeof(item *));
    if (!sorted) { return TARE_ENOMEM; }
    for (size_t i = 0; i < w->count; i++) { sorted[i] = &w->items[i]; }
    qsort(sorted, w->count, sizeof(item *), by_name);
    tare_status status = TARE_OK;
    for (size_t i = 1; i < w->count && !status; i++) {
        tare__shown shown;
        if (by_name(&sorted[i - 1], &sorted[i]) == 0) {
            status = tare_fail(TARE_EEXIST, "cannot save: the name \"%s\" is there twice",
                               tare__show(sorted[i]->name, &shown));
        }
    }
    tare_free(sorted);
    return status;
}

static void header_tensor(tare__text *t, const item *x, int64_t *offset) {
    int64_t end = *offset + x->numel * tare_dtype_size(x->dtype);
    tare__text_json(t, x->name);
    tare__text_format(t, ":{\"dtype\":\"%s\",\"shape\":[", tare_dtype_name(x->dtype));
    for (int i = 0; i < x->shape.ndim; i++) {
        tare__text_format(t, "%s%lld", i ? "," : "", (long long)x->shape.dim[i]);
    }
    tare__text_format(t, "],\"data_offsets\":[%lld,%lld]}", (long long)*offset, (long long)end);
    *offset = end;
}

static void header_text(tare__text *t, const tare_writer *w) {
    const char *comma = "";
    tare__text_add(t, "{\"__metadata__\":{");
    for (size_t i = 0; i < w->count; i++) {
        if (!w->items[i].text) { continue; }
        tare__text_add(t, comma);
        tare__text_json(t, w->items[i].name);
        tare__text_add(t, ":");
        tare__text_json(t, w->items[i].text);
        comma = ",";
    }
    tare__text_add(t, "}");
    int64_t offset = 0;
    for (size_t i = 0; i < w->count; i++) {
        if (w->items[i].text) { continue; }
        tare__text_add(t, ",");
        header_tensor(t, &w->items[i], &offset);
    }
    tare__text_add(t, "}");
    while (t->size % 8 && !t->failed) { tare__text_add(t, " "); } /* so that the numbers begin at a multiple of 8 */
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

typedef struct contents {
    const tare_writer *w;
    const tare__text *header;
} contents;

static bool write_numbers(FILE *file, const item *x) {
    size_t size = (size_t)tare_dtype_size(x->dtype), n = (size_t)x->numel;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    const unsigned char *p = x->data;
    for (size_t i = 0; i < n; i++) {
        for (size_t byte = size; byte-- > 0;) {
            if (putc(p[i * size + byte], file) == EOF) { return false; }
        }
    }
    return true;
#else
    return n == 0 || fwrite(x->data, size, n, file) == n;
#endif
}

static bool fill(FILE *file, const void *context) {
    const contents *c = context;
    for (int i = 0; i < 8; i++) {
        if (putc((int)(c->header->size >> (8 * i) & 255), file) == EOF) { return false; }
    }
    if (fwrite(c->header->data, 1, c->header->size, file) != c->header->size) { return false; }
    for (size_t i = 0; i < c->w->count; i++) {
        const item *x = &c->w->items[i];
        if (!x->text && !write_numbers(file, x)) { return false; }
    }
    return true;
}

tare_status tare_writer_save(const tare_writer *w, const char *path) {
    if (!w) { return tare_fail(TARE_ENOMEM, "%s: out of memory", path); }
    if (w->status) { return tare_fail(w->status, "%s: %s", path, w->error); }
    tare_status status = check_names(w);
    if (status) { return status; }
    tare__text header = { 0 };
    header_text(&header, w);
    if (header.failed) {
        status = tare_fail(TARE_ENOMEM, "%s: out of memory for the header", path);
    } else if (header.size > TARE__MAX_HEADER) {
        status = tare_fail(TARE_EINVAL, "%s: the names are too long: a header of %zu bytes, %d are allowed", path,
                           header.size, TARE__MAX_HEADER);
    } else {
        status = tare__file_replace(path, fill, &(contents){ w, &header });
    }
    tare_free(header.data);
    return status;
}
