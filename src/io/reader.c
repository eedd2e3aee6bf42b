/* reader.c - a safetensors file in memory: nothing in it is believed before it has been checked. */
#include "io.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX = 8, MAX_DEPTH = 3, MAX_LIST = 64 };

struct tare_reader {
    char *path;
    unsigned char *bytes;
    size_t size;
    cJSON *header;       /* owns the names and texts */
    const cJSON *meta;   /* in it, or NULL */
    tare_entry *entries; /* in order of the data */
    tare_entry **sorted; /* the same by name */
    int64_t count;
};

const char *tare__show(const char *name, tare__shown *buffer) {
    enum { ROOM = sizeof buffer->text };
    size_t n = 0;
    for (; name[n] && n + 4 < ROOM; n++) {
        unsigned char c = (unsigned char)name[n];
        buffer->text[n] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    memcpy(buffer->text + n, name[n] ? "..." : "", name[n] ? 4 : 1);
    return buffer->text;
}

/* ---- the header as JSON ------------------------------------------------------------------------------------------ */

/* What cJSON would take too patiently: deep nesting, endless lists, zero bytes in the text or, escaped, in a string. */
static const char *header_fault(const unsigned char *text, size_t size) {
    int depth = 0, items = 0;
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = text[i];
        if (c == 0) { return "it holds a zero byte"; }
        if (quoted) {
            if (c == '\\' && size - i > 5 && memcmp(text + i + 1, "u0000", 5) == 0) { return "a string holds a zero"; }
            if (c == '\\') { i++; }
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > MAX_DEPTH) { return "it is nested too deep"; }
            items = 0;
        } else if (c == '}' || c == ']') {
            depth--;
        } else if (c == ',' && depth == MAX_DEPTH && ++items >= MAX_LIST) {
            return "a list in it is too long";
        }
    }
    return quoted ? "a string in it has no end" : NULL;
}

static tare_status parse_header(tare_reader *r, size_t *data_at) {
    uint64_t length = 0;
    if (r->size < PREFIX) {
        return tare_fail(TARE_EFORMAT, "%s: not a safetensors file: %zu bytes, fewer than 8", r->path, r->size);
    }
    for (int i = 0; i < PREFIX; i++) { length |= (uint64_t)r->bytes[i] << (8 * i); }
    if (length > TARE__MAX_HEADER || length > r->size - PREFIX) {
        return tare_fail(TARE_EFORMAT,
                         "%s: not a safetensors file, or cut short: a header of %llu bytes in a file of %zu", r->path,
                         (unsigned long long)length, r->size);
    }
    const char *text = (const char *)r->bytes + PREFIX, *end = NULL;
    const char *fault = header_fault(r->bytes + PREFIX, (size_t)length);
    if (fault) { return tare_fail(TARE_EFORMAT, "%s: bad header: %s", r->path, fault); }
    r->header = length ? cJSON_ParseWithLengthOpts(text, (size_t)length, &end, false) : NULL;
    if (!cJSON_IsObject(r->header)) { return tare_fail(TARE_EFORMAT, "%s: the header is not a JSON object", r->path); }
    for (; end < text + length; end++) {
        if (*end != ' ' && *end != '\n' && *end != '\r' && *end != '\t') {
            return tare_fail(TARE_EFORMAT, "%s: bad header: text after its end", r->path);
        }
    }
    *data_at = PREFIX + (size_t)length;
    return TARE_OK;
}

static tare_status check_meta(tare_reader *r, const cJSON *meta) {
    const cJSON *pair;
    if (r->meta) { return tare_fail(TARE_EFORMAT, "%s: \"__metadata__\" is there twice", r->path); }
    if (!cJSON_IsObject(meta)) { return tare_fail(TARE_EFORMAT, "%s: \"__metadata__\" is not an object", r->path); }
    cJSON_ArrayForEach(pair, meta) {
        tare__shown shown;
        if (!cJSON_IsString(pair)) {
            return tare_fail(TARE_EFORMAT, "%s: \"__metadata__\": \"%s\" is not a string", r->path,
                             tare__show(pair->string, &shown));
        }
    }
    r->meta = meta;
    return TARE_OK;
}

/* ---- one tensor -------------------------------------------------------------------------------------------------- */

static tare_status bad_entry(const tare_reader *r, const cJSON *json, const char *fault) {
    tare__shown shown;
    return tare_fail(TARE_EFORMAT, "%s: tensor \"%s\": %s", r->path, tare__show(json->string, &shown), fault);
}

/* A whole number from 0 to 2^53, up to where doubles, which cJSON keeps, are exact. */
static bool whole_number(const cJSON *json, uint64_t *out) {
    if (!cJSON_IsNumber(json) || !(json->valuedouble >= 0 && json->valuedouble <= 0x1p53)) { return false; }
    *out = (uint64_t)json->valuedouble;
    return (double)*out == json->valuedouble;
}

static const char *parse_dtype(const cJSON *json, tare_dtype *out) {
    static const tare_dtype all[] = {
#define DTYPE_VALUE(name, bytes) TARE_DTYPE_##name,
        TARE_DTYPE_MAP(DTYPE_VALUE)
#undef DTYPE_VALUE
    };
    if (!cJSON_IsString(json)) { return "dtype is not a string"; }
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (strcmp(tare_dtype_name(all[i]), json->valuestring) == 0) {
            *out = all[i];
            return NULL;
        }
    }
    return "unknown dtype";
}

static const char *parse_shape(const cJSON *json, tare_shape *out) {
    const cJSON *item;
    if (!cJSON_IsArray(json)) { return "shape is not a list"; }
    *out = TARE_SCALAR;
    cJSON_ArrayForEach(item, json) {
        uint64_t n;
        if (out->ndim == TARE_MAX_DIMS) { return "more than 6 dimensions"; }
        if (!whole_number(item, &n)) { return "shape holds something that is not a whole number"; }
        out->dim[out->ndim++] = (int64_t)n;
    }
    return NULL;
}

static const char *parse_offsets(const cJSON *json, uint64_t data_size, uint64_t *begin, uint64_t *end) {
    if (!cJSON_IsArray(json) || cJSON_GetArraySize(json) != 2 || !whole_number(json->child, begin) ||
        !whole_number(json->child->next, end)) {
        return "data_offsets is not a pair of whole numbers";
    }
    if (*begin > *end) { return "data_offsets run backwards"; }
    return *end > data_size ? "data_offsets lie beyond the end of the file" : NULL;
}

static tare_status parse_entry(const tare_reader *r, const cJSON *json, size_t data_at, tare_entry *out) {
    static const char *const keys[] = { "dtype", "shape", "data_offsets" };
    const cJSON *member[3];
    if (!cJSON_IsObject(json)) { return bad_entry(r, json, "not an object"); }
    for (int i = 0; i < 3; i++) {
        member[i] = cJSON_GetObjectItemCaseSensitive(json, keys[i]);
        if (!member[i]) { return bad_entry(r, json, "dtype, shape or data_offsets is missing"); }
    }
    if (cJSON_GetArraySize(json) != 3) { return bad_entry(r, json, "more than dtype, shape and data_offsets"); }
    uint64_t begin = 0, end = 0;
    const char *fault = parse_dtype(member[0], &out->dtype);
    if (!fault) { fault = parse_shape(member[1], &out->shape); }
    if (!fault) { fault = parse_offsets(member[2], r->size - data_at, &begin, &end); }
    if (fault) { return bad_entry(r, json, fault); }
    int64_t size = tare_dtype_size(out->dtype);
    out->name = json->string;
    out->numel = tare_shape_numel(out->shape);
    if (out->numel < 0 || out->numel > INT64_MAX / size) { return bad_entry(r, json, "the shape is absurdly large"); }
    if ((uint64_t)(out->numel * size) != end - begin) {
        return bad_entry(r, json, "shape and dtype do not give the bytes between data_offsets");
    }
    out->data = r->bytes + data_at + begin;
    return TARE_OK;
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static int by_place(const void *left, const void *right) {
    const tare_entry *a = left, *b = right;
    const unsigned char *p = a->data, *q = b->data;
    if (p != q) { return p < q ? -1 : 1; }
    return (a->numel > 0) - (b->numel > 0); /* an empty tensor before the one that starts there */
}

static int by_name(const void *left, const void *right) {
    return strcmp((*(tare_entry *const *)left)->name, (*(tare_entry *const *)right)->name);
}

/* The data must be covered without gap or overlap. */
static tare_status check_places(const tare_reader *r, size_t data_at) {
    const unsigned char *at = r->bytes + data_at, *end = r->bytes + r->size;
    for (int64_t i = 0; i < r->count; i++) {
        const tare_entry *e = &r->entries[i];
        tare__shown shown;
        if ((const unsigned char *)e->data != at) {
            return tare_fail(TARE_EFORMAT, "%s: tensor \"%s\": %s", r->path, tare__show(e->name, &shown),
                             (const unsigned char *)e->data < at ? "its data overlaps another's"
                                                                 : "there is a hole before its data");
        }
        at += e->numel * tare_dtype_size(e->dtype);
    }
    if (at != end) {
        return tare_fail(TARE_EFORMAT, "%s: %lld bytes after the last tensor", r->path, (long long)(end - at));
    }
    return TARE_OK;
}

static tare_status check_names(const tare_reader *r) {
    for (int64_t i = 1; i < r->count; i++) {
        tare__shown shown;
        if (by_name(&r->sorted[i - 1], &r->sorted[i]) == 0) {
            return tare_fail(TARE_EFORMAT, "%s: tensor \"%s\" is there twice", r->path,
                             tare__show(r->sorted[i]->name, &shown));
        }
    }
    return TARE_OK;
}

static tare_status parse(tare_reader *r) {
    size_t data_at = 0;
    tare_status status = parse_header(r, &data_at);
    if (status) { return status; }
    size_t members = (size_t)cJSON_GetArraySize(r->header);
    r->entries = tare_calloc(members + 1, sizeof *r->entries);
    r->sorted = tare_calloc(members + 1, sizeof(tare_entry *));
    if (!r->entries || !r->sorted) { return tare_fail(TARE_ENOMEM, "%s: out of memory", r->path); }
    const cJSON *json;
    cJSON_ArrayForEach(json, r->header) {
        bool meta = strcmp(json->string, "__metadata__") == 0;
        status = meta ? check_meta(r, json) : parse_entry(r, json, data_at, &r->entries[r->count]);
        if (status) { return status; }
        r->count += !meta;
    }
    qsort(r->entries, (size_t)r->count, sizeof *r->entries, by_place);
    for (int64_t i = 0; i < r->count; i++) { r->sorted[i] = &r->entries[i]; }
    qsort(r->sorted, (size_t)r->count, sizeof(tare_entry *), by_name);
    status = check_names(r);
    return status ? status : check_places(r, data_at);
}

/* ---- the public side --------------------------------------------------------------------------------------------- */

void tare_reader_free(tare_reader *r) {
    if (!r) { return; }
    cJSON_Delete(r->header);
    tare_free(r->entries);
    tare_free(r->sorted);
    tare_free(r->bytes);
    tare_free(r->path);
    tare_free(r);
}

/* Takes over `bytes`. */
static tare_status make_reader(const char *path, unsigned char *bytes, size_t size, tare_reader **reader) {
    tare_reader *r = tare_calloc(1, sizeof *r);
    if (!r) {
        tare_free(bytes);
        return TARE_ENOMEM;
    }
    r->bytes = bytes;
    r->size = size;
    r->path = tare_strdup(path);
    tare_status status = r->path ? parse(r) : TARE_ENOMEM;
    if (status) {
        tare_reader_free(r);
    } else {
        *reader = r;
    }
    return status;
}

tare_status tare_reader_open(const char *path, tare_reader **reader) {
    unsigned char *bytes = NULL;
    size_t size = 0;
    tare_status status = tare__file_load(path, &bytes, &size);
    return status ? status : make_reader(path, bytes, size, reader);
}

tare_status tare_reader_memory(const char *name, const void *bytes, size_t size, tare_reader **reader) {
    unsigned char *copy = tare_malloc(size + 1);
    if (!copy) { return TARE_ENOMEM; }
    if (size) { memcpy(copy, bytes, size); }
    copy[size] = 0;
    return make_reader(name, copy, size, reader);
}

const char *tare_reader_path(const tare_reader *r) { return r->path; }
int64_t tare_reader_count(const tare_reader *r) { return r->count; }

const tare_entry *tare_reader_at(const tare_reader *r, int64_t index) {
    return index >= 0 && index < r->count ? &r->entries[index] : NULL;
}

const tare_entry *tare_reader_find(const tare_reader *r, const char *name) {
    int64_t low = 0, high = r->count;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        int order = strcmp(r->sorted[middle]->name, name);
        if (order == 0) { return r->sorted[middle]; }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

const char *tare_reader_meta(const tare_reader *r, const char *key) {
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(r->meta, key);
    return cJSON_IsString(text) ? text->valuestring : NULL;
}

const char *tare_reader_meta_at(const tare_reader *r, int64_t index, const char **key) {
    const cJSON *pair = r->meta ? r->meta->child : NULL;
    for (; pair && index > 0; index--) { pair = pair->next; }
    if (!pair || index < 0) { return NULL; }
    *key = pair->string;
    return pair->valuestring;
}
