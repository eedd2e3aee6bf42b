/* options_json.c - options and config.json: all values as JSON, as a command line, and back from a run's folder. */
#include "json.h"
#include "options.h"

#include <cjson/cJSON.h>
#include <string.h>

/* ---- out --------------------------------------------------------------------------------------------------------- */

static bool is_saved(const tare__option_entry *e) {
    return e->row->kind != TARE_OPTION_GROUP && !(e->row->flags & TARE_OPTION_LOCAL);
}

static void add_member(tare__text *t, const tare__option_entry *e) {
    const char *key = e->row->name;
    const void *value = e->values + e->row->at;
    switch (e->row->kind) {
    case TARE_OPTION_FLAG: tare__json_bool(t, key, *(const bool *)value); break;
    case TARE_OPTION_INT: tare__json_int(t, key, *(const int64_t *)value); break;
    case TARE_OPTION_REAL: tare__json_number(t, key, *(const double *)value); break;
    case TARE_OPTION_STRING:
    case TARE_OPTION_CHOICE:
    case TARE_OPTION_NORM: tare__json_string(t, key, *(const char *const *)value); break;
    case TARE_OPTION_FILES:
    case TARE_OPTION_PLUGINS:
        tare__json_open(t, key, '[');
        for (int64_t i = 0; i < tare__option_files(e)->count; i++) {
            tare__json_string(t, NULL, tare__option_files(e)->name[i]);
        }
        tare__json_close(t, ']');
        break;
    case TARE_OPTION_GROUP: break;
    }
}

void tare__options_json(const tare_options *o, tare__text *t, const char *key) {
    tare__json_open(t, key, '{');
    for (int i = 0; i < o->count; i++) {
        if (is_saved(&o->option[i])) { add_member(t, &o->option[i]); }
    }
    tare__json_close(t, '}');
}

char *tare_options_json(const tare_options *o) {
    tare__text t = { 0 };
    tare__options_json(o, &t, NULL);
    char *json = tare__text_take(&t), *lines = json ? tare__json_indented(json) : NULL;
    tare_free(json);
    return lines;
}

static void add_word(tare__text *t, const tare__option_entry *e) {
    tare__text value = { 0 };
    tare__option_text(e, &value);
    char *text = tare__text_take(&value);
    t->failed = t->failed || !text;
    if (text && strcmp(text, e->fallback ? e->fallback : "") != 0) {
        tare__text_format(t, " --%s%s", e->row->name, e->row->kind == TARE_OPTION_FLAG ? "=" : " ");
        tare__text_quoted(t, text);
    }
    tare_free(text);
}

char *tare_options_command(const tare_options *o) {
    tare__text t = { 0 };
    tare__text_format(&t, "tare %s", o->name);
    for (int i = 0; i < o->count; i++) {
        const tare__option_entry *e = &o->option[i];
        if (!is_saved(e)) { continue; }
        if (!tare__option_is_list(e)) {
            bool unset_flag = e->row->kind == TARE_OPTION_FLAG && !*(const bool *)(e->values + e->row->at);
            if (!(unset_flag && !e->fallback)) { add_word(&t, e); }
            continue;
        }
        const tare_files *files = tare__option_files(e);
        if (files->count > 0 && *e->row->name) { tare__text_format(&t, " --%s", e->row->name); }
        for (int64_t k = 0; k < files->count; k++) {
            tare__text_add(&t, " ");
            tare__text_quoted(&t, files->name[k]);
        }
    }
    return tare__text_take(&t);
}

/* ---- back -------------------------------------------------------------------------------------------------------- */

enum { LARGEST_CONFIG = 1 << 20 };

static tare_status read_file(const char *path, char **text) {
    FILE *file = fopen(path, "rb");
    if (!file) { return tare_fail(TARE_ENOENT, "%s: no such file, so no run to take options from", path); }
    char *data = tare_malloc(LARGEST_CONFIG + 1);
    size_t n = data ? fread(data, 1, LARGEST_CONFIG + 1, file) : 0;
    bool bad = ferror(file) != 0;
    fclose(file);
    if (!data) { return TARE_ENOMEM; }
    if (bad || n > LARGEST_CONFIG) {
        tare_free(data);
        return bad ? tare_fail(TARE_EIO, "%s: cannot be read", path)
                   : tare_fail(TARE_EFORMAT, "%s: larger than any config.json", path);
    }
    data[n] = '\0';
    *text = data;
    return TARE_OK;
}

/* A member of "options" as the text that the command line would have given. */
static bool member_text(const cJSON *member, tare__text *t) {
    if (cJSON_IsBool(member)) {
        tare__text_add(t, cJSON_IsTrue(member) ? "yes" : "no");
    } else if (cJSON_IsNumber(member)) {
        tare__text_number(t, member->valuedouble);
    } else if (cJSON_IsString(member)) {
        tare__text_add(t, member->valuestring);
    } else {
        return cJSON_IsNull(member);
    }
    return true;
}

static tare_status adopt_files(tare__option_entry *e, const cJSON *member, const char *path) {
    const char *name[256];
    int64_t count = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, member) {
        if (!cJSON_IsString(item) || count == 256) {
            return tare_fail(TARE_EFORMAT, "%s: \"%s\" is not a list of files", path, e->row->name);
        }
        name[count++] = item->valuestring;
    }
    return tare__option_set_files(e, count, name);
}

/* The command line gave the option: that must be allowed, or say the same. */
static tare_status check_given(const tare__option_entry *e, const char *stored, const char *path, unsigned may) {
    if (e->row->flags & may) { return TARE_OK; }
    tare__text value = { 0 };
    tare__option_text(e, &value);
    char *text = tare__text_take(&value);
    if (!text) { return TARE_ENOMEM; }
    bool same = strcmp(text, stored) == 0;
    tare_free(text);
    if (same) { return TARE_OK; }
    return tare_fail(TARE_EINVAL, "--%s cannot change: %s says \"%s\"; leave it out, or start a new run", e->row->name,
                     path, stored);
}

static tare_status adopt_text(tare__option_entry *e, const char *stored, const char *path, unsigned may) {
    if (e->given) { return check_given(e, stored, path, may); }
    if (!*stored) { return TARE_OK; }
    char source[512];
    snprintf(source, sizeof source, "%s: ", path);
    return tare__option_set(e, stored, source);
}

static tare_status adopt_member(tare_options *o, const cJSON *member, const char *path, unsigned may) {
    tare__option_entry *e = tare__option_find(o, member->string, strlen(member->string));
    if (!e || !is_saved(e)) {
        return tare_fail(TARE_EINVAL, "%s: option \"%s\" is not known to this version (%s)", path, member->string,
                         TARE_VERSION);
    }
    if (tare__option_is_list(e)) { return e->given ? TARE_OK : adopt_files(e, member, path); }
    tare__text value = { 0 };
    bool scalar = member_text(member, &value);
    char *stored = tare__text_take(&value);
    tare_status s = TARE_ENOMEM;
    if (stored) {
        s = scalar ? adopt_text(e, stored, path, may)
                   : tare_fail(TARE_EFORMAT, "%s: \"%s\" is not a plain value", path, member->string);
    }
    tare_free(stored);
    return s;
}

/* The members that are plugins, or all others. */
static tare_status adopt_members(tare_options *o, const cJSON *options, bool plugins, const char *path, unsigned may) {
    tare_status s = TARE_OK;
    const cJSON *member;
    cJSON_ArrayForEach(member, options) {
        const tare__option_entry *e = tare__option_find(o, member->string, strlen(member->string));
        bool plugin = e && e->row->kind == TARE_OPTION_PLUGINS;
        if (s == TARE_OK && plugin == plugins) { s = adopt_member(o, member, path, may); }
    }
    return s;
}

tare_status tare_options_adopt(tare_options *o, const char *path, unsigned may) {
    char *text = NULL;
    tare_status s = read_file(path, &text);
    if (s != TARE_OK) { return s; }
    cJSON *root = cJSON_Parse(text);
    tare_free(text);
    const cJSON *program = cJSON_GetObjectItemCaseSensitive(root, "program");
    const cJSON *options = cJSON_GetObjectItemCaseSensitive(root, "options");
    if (!cJSON_IsString(program) || !cJSON_IsObject(options)) {
        s = tare_fail(TARE_EFORMAT, "%s: not the config.json of a run", path);
    } else if (strcmp(program->valuestring, o->name) != 0) {
        s = tare_fail(TARE_EMISMATCH, "%s: a run of %s, not of %s", path, program->valuestring, o->name);
    }
    if (s == TARE_OK) { s = adopt_members(o, options, true, path, may); }
    if (s == TARE_OK) { s = adopt_members(o, options, false, path, may); }
    cJSON_Delete(root);
    return s;
}
