/* grid.c - the points of a plan's grid, what makes two plans the same, and the command that makes one again. */
#include <string.h>

#include <cjson/cJSON.h>

#include "../run/json.h"
#include "plan.h"

int64_t tare__plan_cells(const tare__plan *plan) {
    int64_t cells = 1;
    for (int i = 0; i < plan->axes && cells <= TARE__CELLS; i++) { cells *= plan->axis[i].values.count; }
    return cells;
}

void tare__plan_at(const tare__plan *plan, int64_t cell, int64_t at[TARE__AXES]) {
    for (int i = plan->axes - 1; i >= 0; i--) {
        at[i] = cell % plan->axis[i].values.count;
        cell /= plan->axis[i].values.count;
    }
}

char *tare__plan_cell_name(const tare__plan *plan, int64_t cell, int skip) {
    int64_t at[TARE__AXES];
    tare__plan_at(plan, cell, at);
    tare__text t = { 0 };
    for (int i = 0; i < plan->axes; i++) {
        if (i == skip) { continue; }
        tare__text_format(&t, "%s%s=%s", t.size > 0 ? "," : "", plan->axis[i].key, plan->axis[i].values.at[at[i]]);
    }
    return tare__text_take(&t);
}

/* ---- fixed options as name and value ----------------------------------------------------------------------------------- */

/* The next option from words[*i] on: "--name", or "--name=value", and the words up to the next one. */
static bool next_option(const tare__words *words, int64_t *i, tare__text *name, tare__text *value) {
    if (*i >= words->count) { return false; }
    const char *word = words->at[(*i)++];
    bool option = strncmp(word, "--", 2) == 0;
    size_t n = option ? strcspn(word, "=") : 0;
    tare__text_addn(name, word + (option ? 2 : 0), option ? n - 2 : 0);
    tare__text_add(value, !option ? word : word[n] ? word + n + 1 : "");
    for (bool first = value->size == 0; *i < words->count && strncmp(words->at[*i], "--", 2) != 0; first = false) {
        tare__text_format(value, "%s%s", first ? "" : " ", words->at[(*i)++]);
    }
    return true;
}

tare_status tare__plan_fixed_json(const tare__plan *plan, tare__text *t, const char *key) {
    tare__json_open(t, key, '{');
    bool good = true;
    for (int64_t i = 0; good;) {
        tare__text name = { 0 }, value = { 0 };
        bool more = next_option(&plan->fixed, &i, &name, &value);
        char *n = tare__text_take(&name), *v = tare__text_take(&value);
        good = n && v;
        if (good && more) { tare__json_string(t, n, v); }
        tare_free(n);
        tare_free(v);
        if (!more) { break; }
    }
    tare__json_close(t, '}');
    return good && !t->failed ? TARE_OK : TARE_ENOMEM;
}

/* ---- identity ------------------------------------------------------------------------------------------------------------ */

char *tare__plan_identity(const tare__plan *plan) {
    tare__text t = { 0 };
    tare__json_open(&t, NULL, '{');
    tare__json_string(&t, "format", "tare-plan");
    tare__json_string(&t, "version", TARE_VERSION);
    tare__json_string(&t, "program", plan->program);
    if (tare__plan_fixed_json(plan, &t, "fixed") != TARE_OK) { t.failed = true; }
    tare__json_open(&t, "vary", '[');
    for (int i = 0; i < plan->axes; i++) { tare__json_string(&t, NULL, plan->axis[i].key); }
    tare__json_close(&t, ']');
    tare__json_open(&t, "tune", '[');
    if (plan->tune.key) { tare__json_string(&t, NULL, plan->tune.key); }
    for (int64_t i = 0; i < plan->tune.values.count; i++) { tare__json_string(&t, NULL, plan->tune.values.at[i]); }
    tare__json_close(&t, ']');
    tare__json_close(&t, '}');
    return tare__text_take(&t);
}

static const char *text_of(const cJSON *object, const char *name) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return text ? text : "";
}

/* An option of `a` that `b` has not, or with another value. */
static bool fixed_differs(const cJSON *a, const cJSON *b, bool swapped, tare__text *t) {
    const cJSON *x;
    cJSON_ArrayForEach(x, a) {
        const cJSON *y = cJSON_GetObjectItemCaseSensitive(b, x->string);
        const char *p = cJSON_GetStringValue(x), *q = cJSON_GetStringValue(y);
        if (y && p && q && strcmp(p, q) == 0) { continue; }
        if (!y) {
            tare__text_format(t, "--%s%s%s is %s", x->string, p && *p ? " " : "", p ? p : "", swapped ? "new" : "gone");
        } else {
            tare__text_format(t, "--%s was %s, is %s", x->string, p ? p : "", q ? q : "");
        }
        return true;
    }
    return false;
}

static void list_text(const cJSON *list, tare__text *t) {
    const cJSON *item;
    cJSON_ArrayForEach(item, list) {
        const char *word = cJSON_GetStringValue(item);
        tare__text_format(t, "%s%s", item == list->child ? "" : " ", word ? word : "");
    }
    if (!list || !list->child) { tare__text_add(t, "nothing"); }
}

static bool list_differs(const cJSON *a, const cJSON *b, const char *name, tare__text *t) {
    const cJSON *x = cJSON_GetObjectItemCaseSensitive(a, name), *y = cJSON_GetObjectItemCaseSensitive(b, name);
    if (cJSON_Compare(x, y, true)) { return false; }
    tare__text_format(t, "--%s was ", name);
    list_text(x, t);
    tare__text_add(t, ", is ");
    list_text(y, t);
    return true;
}

char *tare__plan_difference(const char *before, const char *now) {
    tare__text t = { 0 };
    cJSON *a = cJSON_Parse(before), *b = cJSON_Parse(now);
    const cJSON *x = cJSON_GetObjectItemCaseSensitive(a, "fixed"), *y = cJSON_GetObjectItemCaseSensitive(b, "fixed");
    if (strcmp(text_of(a, "program"), text_of(b, "program")) != 0) {
        tare__text_format(&t, "the program was %s, is %s", text_of(a, "program"), text_of(b, "program"));
    } else if (!fixed_differs(x, y, false, &t) && !fixed_differs(y, x, true, &t) && !list_differs(a, b, "vary", &t) &&
               !list_differs(a, b, "tune", &t)) {
        const char *was = text_of(a, "version"), *is = text_of(b, "version");
        if (strcmp(was, is) != 0) { tare__text_format(&t, "Tare was %s, is %s", was, is); }
    }
    cJSON_Delete(a);
    cJSON_Delete(b);
    return tare__text_take(&t);
}

/* ---- the command ---------------------------------------------------------------------------------------------------------- */

static void add_axis(tare__text *t, const char *option, const tare__axis *axis) {
    char separator = ',';
    for (int64_t i = 0; i < axis->values.count; i++) {
        if (strchr(axis->values.at[i], ',')) { separator = ';'; }
    }
    tare__text word = { 0 };
    tare__text_format(&word, "%s=", axis->key);
    for (int64_t i = 0; i < axis->values.count; i++) {
        tare__text_add(&word, axis->values.at[i]);
        if (i + 1 < axis->values.count || separator == ';') { tare__text_addn(&word, &separator, 1); }
    }
    char *text = tare__text_take(&word);
    tare__text_format(t, " --%s ", option);
    if (text) { tare__text_quoted(t, text); }
    tare_free(text);
}

static void add_option(tare__text *t, const char *name, const char *value) {
    if (!value) { return; }
    tare__text_format(t, " --%s ", name);
    tare__text_quoted(t, value);
}

static void add_fixed(tare__text *t, const tare__plan *plan) {
    for (int64_t i = 0; i < plan->fixed.count - plan->budget.count; i++) { /* the budget stands at their end */
        tare__text_add(t, " ");
        tare__text_quoted(t, plan->fixed.at[i]);
    }
}

char *tare__plan_command(const tare__plan *plan) {
    tare__text t = { 0 };
    tare__text_format(&t, "tare compare %s", plan->program);
    if (!plan->dashes) { add_fixed(&t, plan); }
    for (int i = 0; i < plan->axes; i++) { add_axis(&t, "vary", &plan->axis[i]); }
    if (plan->tune.key) { add_axis(&t, "tune", &plan->tune); }
    tare__text_format(&t, " --seeds %lld", (long long)plan->opt.seeds);
    add_option(&t, "budget", plan->opt.budget);
    add_option(&t, "metric", plan->opt.metric);
    if (plan->opt.up || plan->opt.down) { tare__text_add(&t, plan->opt.up ? " --up" : " --down"); }
    add_option(&t, "versus", plan->opt.versus);
    add_option(&t, "out", plan->opt.out);
    if (plan->dashes) {
        tare__text_add(&t, " --");
        add_fixed(&t, plan);
    }
    return tare__text_take(&t);
}
