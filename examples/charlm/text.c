/* text.c - files of text as tokens: reading, the vocabulary, what is held out. */
#include "charlm.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FORTUNES "/usr/share/games/fortunes"

enum { CODES = 0x110000 };

/* ---- vocabulary -------------------------------------------------------------------------------------------------- */

void vocabulary_free(vocabulary *v) {
    tare_free(v->code);
    *v = (vocabulary){ 0 };
}

/* The code points whose bit is set, in order. */
static tare_status from_set(vocabulary *v, const unsigned char *set) {
    int32_t size = 0;
    for (uint32_t c = 0; c < CODES; c++) { size += set[c / 8] >> (c % 8) & 1; }
    v->code = tare_calloc((size_t)size + 1, sizeof *v->code);
    if (!v->code) { return TARE_ENOMEM; }
    for (uint32_t c = 0; c < CODES; c++) {
        if (set[c / 8] >> (c % 8) & 1) { v->code[v->size++] = c; }
    }
    return TARE_OK;
}

static tare_status from_codes(vocabulary *v, const uint32_t *code, int64_t count) {
    unsigned char *set = tare_calloc(CODES / 8, 1);
    if (!set) { return TARE_ENOMEM; }
    for (int64_t i = 0; i < count; i++) { set[code[i] / 8] |= (unsigned char)(1 << (code[i] % 8)); }
    tare_status s = from_set(v, set);
    tare_free(set);
    return s;
}

static tare_status all_bytes(vocabulary *v) {
    uint32_t code[256];
    for (uint32_t i = 0; i < 256; i++) { code[i] = i; }
    v->bytes = true;
    return from_codes(v, code, 256);
}

tare_status vocabulary_read(vocabulary *v, bool bytes, const char *text) {
    *v = (vocabulary){ 0 };
    if (bytes) { return all_bytes(v); }
    size_t n = text ? strlen(text) : 0;
    uint32_t *code = tare_calloc(n + 1, sizeof *code);
    if (!code) { return TARE_ENOMEM; }
    int64_t count = 0;
    tare_status s = n > 0 ? TARE_OK : tare_fail(TARE_EFORMAT, "the model file has no vocabulary: not one of charlm's");
    for (size_t at = 0; s == TARE_OK && at < n;) {
        int size = utf8_get((const unsigned char *)text + at, n - at, &code[count++]);
        if (size == 0) { s = tare_fail(TARE_EFORMAT, "the model file's vocabulary is not UTF-8"); }
        at += (size_t)size;
    }
    if (s == TARE_OK) { s = from_codes(v, code, count); }
    tare_free(code);
    return s;
}

char *vocabulary_text(const vocabulary *v) {
    char *text = tare_calloc((size_t)v->size + 1, 4);
    size_t used = 0;
    for (int32_t i = 0; text && !v->bytes && i < v->size; i++) { used += (size_t)utf8_put(v->code[i], text + used); }
    return text;
}

int32_t vocabulary_find(const vocabulary *v, uint32_t code) {
    int32_t low = 0, high = v->size;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (v->code[middle] < code) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < v->size && v->code[low] == code ? low : -1;
}

int vocabulary_put(const vocabulary *v, int32_t token, char text[5]) {
    if (!v->bytes) { return utf8_put(v->code[token], text); }
    text[0] = (char)v->code[token];
    text[1] = '\0';
    return 1;
}

/* The next character (byte) of a text; 0 where it is none. */
static int next_code(bool bytes, const unsigned char *s, size_t n, uint32_t *code) {
    if (!bytes) { return utf8_get(s, n, code); }
    *code = s[0];
    return 1;
}

tare_status vocabulary_encode(const vocabulary *v, const char *text, int32_t gap, int32_t **tokens, int64_t *count) {
    size_t n = strlen(text);
    int32_t *list = tare_calloc(n + 1, sizeof *list);
    if (!list) { return TARE_ENOMEM; }
    tare_status s = TARE_OK;
    *count = 0;
    for (size_t at = 0; s == TARE_OK && at < n;) {
        uint32_t code = 0;
        utf8_name name;
        int size = next_code(v->bytes, (const unsigned char *)text + at, n - at, &code);
        int32_t token = size == 0 ? -1 : gap >= 0 && code == '_' ? gap : vocabulary_find(v, code);
        if (size == 0) {
            s = tare_fail(TARE_EINVAL, "--prompt is not UTF-8 text (byte %zu)", at + 1);
        } else if (token < 0) {
            s = tare_fail(TARE_EINVAL, "--prompt: the model has never seen %s; it knows %d characters",
                          utf8_describe(code, &name), (int)v->size);
        }
        list[(*count)++] = token;
        at += (size_t)size;
    }
    if (s == TARE_OK) {
        *tokens = list;
    } else {
        tare_free(list);
    }
    return s;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* All characters (bytes) of the files read so far, and where each file ends. */
typedef struct reading {
    bool bytes;
    uint32_t *code;
    int64_t count, room;
    int64_t *end;
    int64_t files;
} reading;

static tare_status make_room(reading *r, int64_t more) {
    if (r->count + more <= r->room) { return TARE_OK; }
    int64_t room = 2 * (r->count + more);
    uint32_t *larger = tare_calloc((size_t)room, sizeof *larger);
    if (!larger) { return TARE_ENOMEM; }
    if (r->count > 0) { memcpy(larger, r->code, (size_t)r->count * sizeof *larger); }
    tare_free(r->code);
    r->code = larger;
    r->room = room;
    return TARE_OK;
}

static int64_t line_of(const unsigned char *data, size_t at) {
    int64_t line = 1;
    for (size_t i = 0; i < at; i++) { line += data[i] == '\n'; }
    return line;
}

static tare_status add_text(reading *r, const char *path, const unsigned char *data, size_t n) {
    size_t at = !r->bytes && n >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; /* a byte order mark */
    while (at < n) {
        uint32_t code = 0;
        int size = next_code(r->bytes, data + at, n - at, &code);
        if (size == 0 || (code == 0 && !r->bytes)) {
            return tare_fail(TARE_EFORMAT,
                             "%s: no text in UTF-8: byte %zu (line %lld) is 0x%02x; convert it, or take --bytes", path,
                             at + 1, (long long)line_of(data, at), data[at]);
        }
        r->code[r->count++] = code;
        at += (size_t)size;
    }
    int64_t before = r->files > 0 ? r->end[r->files - 1] : 0;
    if (r->count == before) { return tare_fail(TARE_EFORMAT, "%s: has a byte order mark and no text", path); }
    r->end[r->files++] = r->count;
    return TARE_OK;
}

static tare_status cannot(const char *what, const char *path) {
    return tare_fail(errno == ENOENT ? TARE_ENOENT : TARE_EIO, "%s: cannot be %s: %s", path, what, strerror(errno));
}

static tare_status read_whole(const char *path, unsigned char **data, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file) { return cannot("opened", path); }
    tare_status s = TARE_OK;
    *data = NULL;
    *size = 0;
    for (size_t room = 0, got = 1; s == TARE_OK && got > 0; *size += got) {
        if (*size + 1 >= room) {
            room = 2 * room + (1 << 16);
            unsigned char *larger = tare_malloc(room);
            if (larger && *size > 0) { memcpy(larger, *data, *size); }
            tare_free(*data);
            *data = larger;
        }
        got = *data ? fread(*data + *size, 1, room - *size, file) : 0;
        s = !*data ? TARE_ENOMEM : ferror(file) ? cannot("read", path) : TARE_OK;
    }
    fclose(file);
    if (s == TARE_OK && *size == 0) { s = tare_fail(TARE_EFORMAT, "%s: is empty", path); }
    return s;
}

static tare_status read_file(reading *r, const char *path) {
    unsigned char *data = NULL;
    size_t size = 0;
    tare_status s = read_whole(path, &data, &size);
    if (s == TARE_OK) { s = make_room(r, (int64_t)size); }
    if (s == TARE_OK) { s = add_text(r, path, data, size); }
    tare_free(data);
    return s;
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

enum { NAME = 256, MOST_FORTUNES = 512 };

/* Debian's fortunes: plain files; NAME.dat is an index, NAME.u8 a link to NAME. */
static tare_status read_fortunes(reading *r) {
    static char name[MOST_FORTUNES][NAME];
    int count = 0;
    DIR *dir = opendir(FORTUNES);
    const struct dirent *entry;
    while (dir && count < MOST_FORTUNES && (entry = readdir(dir))) {
        if (!strchr(entry->d_name, '.')) { snprintf(name[count++], NAME, "%.255s", entry->d_name); }
    }
    if (dir) { closedir(dir); }
    if (count == 0) {
        return tare_fail(TARE_ENOENT,
                         "%s: Debian's fortunes are not installed (apt install fortunes, or script/setup "
                         "charlm); --text FILE takes a text of your own",
                         FORTUNES);
    }
    qsort(name, (size_t)count, NAME, by_name);
    r->end = tare_calloc((size_t)count, sizeof *r->end);
    tare_status s = r->end ? TARE_OK : TARE_ENOMEM;
    for (int i = 0; s == TARE_OK && i < count; i++) {
        char path[NAME + sizeof FORTUNES];
        snprintf(path, sizeof path, FORTUNES "/%.255s", name[i]);
        s = read_file(r, path);
    }
    return s;
}

static tare_status read_files(reading *r, const tare_files *files) {
    r->end = tare_calloc((size_t)files->count, sizeof *r->end);
    tare_status s = r->end ? TARE_OK : TARE_ENOMEM;
    for (int64_t i = 0; s == TARE_OK && i < files->count; i++) { s = read_file(r, files->name[i]); }
    return s;
}

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

void corpus_free(corpus *c) {
    vocabulary_free(&c->known);
    tare_free(c->train);
    tare_free(c->held);
    *c = (corpus){ 0 };
}

static tare_status unknown(const char *file, uint32_t code, int64_t index) {
    utf8_name name;
    return tare_fail(TARE_EFORMAT, "%s: character %lld is %s, which the model has never seen", file,
                     (long long)index + 1, utf8_describe(code, &name));
}

/* Each file's first nine tenths to train, its last tenth to test. */
static tare_status encode(corpus *c, const reading *r, const tare_files *files, bool all_held) {
    c->train = tare_calloc((size_t)r->count + 1, sizeof *c->train);
    c->held = tare_calloc((size_t)r->count + 1, sizeof *c->held);
    if (!c->train || !c->held) { return TARE_ENOMEM; }
    c->hash = 14695981039346656037u; /* FNV-1a */
    for (int64_t f = 0, i = 0; f < r->files; f++) {
        int64_t start = i, split = all_held ? start : start + (r->end[f] - start) * 9 / 10;
        for (; i < r->end[f]; i++) {
            int32_t token = vocabulary_find(&c->known, r->code[i]);
            if (token < 0) { return unknown(files->count > 0 ? files->name[f] : FORTUNES, r->code[i], i - start); }
            c->hash = (c->hash ^ r->code[i]) * 1099511628211u;
            if (i < split) {
                c->train[c->trained++] = token;
            } else {
                c->held[c->held_out++] = token;
            }
        }
    }
    return TARE_OK;
}

tare_status corpus_open(corpus *c, const options *o, const vocabulary *known, bool all_held) {
    *c = (corpus){ 0 };
    reading r = { .bytes = o->bytes };
    tare_status s = o->text.count > 0 ? read_files(&r, &o->text) : read_fortunes(&r);
    if (s == TARE_OK && o->bytes) {
        s = all_bytes(&c->known);
    } else if (s == TARE_OK) {
        s = known ? from_codes(&c->known, known->code, known->size) : from_codes(&c->known, r.code, r.count);
    }
    if (s == TARE_OK) { s = encode(c, &r, &o->text, all_held); }
    if (o->eval_limit > 0 && c->held_out > o->eval_limit) { c->held_out = o->eval_limit; }
    c->files = r.files;
    tare_free(r.code);
    tare_free(r.end);
    if (s != TARE_OK) { corpus_free(c); }
    return s;
}

tare_status corpus_testable(const corpus *c) {
    if (c->held_out >= 2) { return TARE_OK; }
    return tare_fail(
        TARE_EINVAL,
        "too little to test on: %lld characters are held out, 2 are needed; take a longer text, or a larger "
        "--eval-limit",
        (long long)c->held_out);
}
