/* plan.c - a comparison from its command line. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include "program.h"

/* ---- whose word is it? --------------------------------------------------------------------------------------------- */

/* The words of the command line, by whom they are for. */
typedef struct sorted {
    tare__words own, program, fixed, vary, tune;
    bool dashes;
} sorted;

static const tare_option *own_option(const char *word) {
    size_t n = strcspn(word + 2, "=");
    for (const tare_option *row = tare__compare_options; row->help; row++) {
        if (row->name && *row->name && strlen(row->name) == n && strncmp(row->name, word + 2, n) == 0) { return row; }
    }
    return NULL;
}

static bool is_option(const char *word) { return strncmp(word, "--", 2) == 0; }

static bool is_question(const char *word) {
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "--version") == 0 ||
           strcmp(word, "--describe") == 0;
}

/* The words behind argv[*i] up to the next option; leaves *i at the last of them. */
static tare_status take_words(tare__words *to, int argc, char **argv, int *i) {
    tare_status s = TARE_OK;
    while (s == TARE_OK && *i + 1 < argc && !is_option(argv[*i + 1])) { s = tare__words_add(to, argv[++*i]); }
    return s;
}

static tare_status take_axes(tare__words *to, int argc, char **argv, int *i) {
    const char *equals = strchr(argv[*i], '=');
    int64_t before = to->count;
    const char *name = argv[*i];
    tare_status s = equals ? tare__words_add(to, equals + 1) : take_words(to, argc, argv, i);
    if (s == TARE_OK && to->count == before) { s = tare_fail(TARE_EINVAL, "%s needs KEY=A,B", name); }
    return s;
}

static tare_status take_own(const tare_option *row, sorted *to, int argc, char **argv, int *i) {
    if (strcmp(row->name, "vary") == 0) { return take_axes(&to->vary, argc, argv, i); }
    if (strcmp(row->name, "tune") == 0) { return take_axes(&to->tune, argc, argv, i); }
    tare_status s = tare__words_add(&to->own, argv[*i]);
    bool value_follows = row->kind != TARE_OPTION_FLAG && !strchr(argv[*i], '=') && *i + 1 < argc;
    return s == TARE_OK && value_follows ? tare__words_add(&to->own, argv[++*i]) : s;
}

static tare_status take_fixed(sorted *to, int argc, char **argv, int *i) {
    static const char *const ours[] = { "--seed", "--resume" };
    for (int k = 0; k < 2; k++) {
        size_t n = strlen(ours[k]);
        if (strncmp(argv[*i], ours[k], n) == 0 && (argv[*i][n] == '\0' || argv[*i][n] == '=')) {
            return tare_fail(TARE_EINVAL, "%s: each run gets its own; %s", ours[k],
                             k == 0 ? "--seeds N says how many"
                                    : "the same comparison again goes on with what is missing");
        }
    }
    tare_status s = tare__words_add(&to->fixed, argv[*i]);
    return s == TARE_OK ? take_words(&to->fixed, argc, argv, i) : s;
}

static tare_status sort_words(sorted *to, int argc, char **argv) {
    tare_status s = tare__words_add(&to->own, argv[0]);
    for (int i = 1; s == TARE_OK && i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            to->dashes = true;
            while (s == TARE_OK && ++i < argc) { s = tare__words_add(&to->fixed, argv[i]); }
        } else if (is_question(argv[i])) {
            s = tare__words_add(&to->own, argv[i]);
        } else if (!is_option(argv[i])) {
            s = tare__words_add(&to->program, argv[i]);
        } else {
            const tare_option *row = own_option(argv[i]);
            s = row ? take_own(row, to, argc, argv, &i) : take_fixed(to, argc, argv, &i);
        }
    }
    return s;
}

static void sorted_free(sorted *w) {
    tare__words_free(&w->own);
    tare__words_free(&w->program);
    tare__words_free(&w->fixed);
    tare__words_free(&w->vary);
    tare__words_free(&w->tune);
}

/* ---- what the words say -------------------------------------------------------------------------------------------- */

static bool is_fixed(const tare__words *fixed, const char *key) {
    size_t n = strlen(key);
    for (int64_t i = 0; i < fixed->count; i++) {
        const char *word = fixed->at[i];
        if (is_option(word) && strncmp(word + 2, key, n) == 0 && (word[2 + n] == '\0' || word[2 + n] == '=')) {
            return true;
        }
    }
    return false;
}

/* "norm=bn,ln" */
static tare_status parse_axis(tare__axis *axis, const char *option, const char *text) {
    size_t n = strcspn(text, "=");
    while (*text == '-' && n > 0) { text++, n--; } /* --vary --norm=bn,ln */
    if (n == 0 || text[n] != '=') {
        return tare_fail(TARE_EINVAL, "%s: \"%s\" is not KEY=A,B, an option of the program and its values", option,
                         text);
    }
    axis->key = tare_strdup(text);
    if (!axis->key) { return tare_fail(TARE_ENOMEM, "out of memory: an axis"); }
    axis->key[n] = '\0';
    tare_status s = tare__words_values(&axis->values, text + n + 1);
    if (s != TARE_OK) { return tare_fail(s, "%s %s: %s", option, axis->key, tare_error()); }
    if (axis->values.count > TARE__VALUES) {
        return tare_fail(TARE_EINVAL, "%s %s: %lld values, more than %d", option, axis->key,
                         (long long)axis->values.count, TARE__VALUES);
    }
    return TARE_OK;
}

static tare_status check_key(const tare__plan *plan, const char *option, const char *key, int before) {
    if (strcmp(key, "seed") == 0 || strcmp(key, "out") == 0) {
        return tare_fail(TARE_EINVAL, "%s %s: each run gets its own; --seeds N and --out say which", option, key);
    }
    if (is_fixed(&plan->fixed, key)) {
        return tare_fail(TARE_EINVAL, "--%s is given for all runs and by %s: choose one", key, option);
    }
    for (int i = 0; i < before; i++) {
        if (strcmp(plan->axis[i].key, key) == 0) { return tare_fail(TARE_EINVAL, "%s %s is there twice", option, key); }
    }
    return TARE_OK;
}

static tare_status read_axes(tare__plan *plan, const sorted *words) {
    if (words->vary.count == 0) {
        return tare_fail(TARE_EINVAL, "--vary KEY=A,B is missing: which option of the program takes which values?");
    }
    if (words->vary.count > TARE__AXES) { return tare_fail(TARE_EINVAL, "--vary: more than %d axes", TARE__AXES); }
    tare_status s = TARE_OK;
    for (int64_t i = 0; s == TARE_OK && i < words->vary.count; i++) {
        tare__axis *axis = &plan->axis[plan->axes++];
        s = parse_axis(axis, "--vary", words->vary.at[i]);
        if (s == TARE_OK) { s = check_key(plan, "--vary", axis->key, plan->axes - 1); }
    }
    if (s == TARE_OK && words->tune.count > 1) { s = tare_fail(TARE_EINVAL, "--tune: one option alone can be tuned"); }
    if (s == TARE_OK && words->tune.count == 1) {
        s = parse_axis(&plan->tune, "--tune", words->tune.at[0]);
        if (s == TARE_OK) { s = check_key(plan, "--tune", plan->tune.key, plan->axes); }
    }
    if (s == TARE_OK && tare__plan_cells(plan) > TARE__CELLS) {
        s = tare_fail(TARE_EINVAL, "--vary: a grid of %lld points, more than %d", (long long)tare__plan_cells(plan),
                      TARE__CELLS);
    }
    return s;
}

/* "steps=400" becomes --steps 400 of every run. */
static tare_status read_budget(tare__plan *plan) {
    const char *text = plan->opt.budget;
    if (!text) { return TARE_OK; }
    static const char *const units[] = { "steps", "epochs", "seconds" };
    size_t n = strcspn(text, "=");
    double amount;
    bool known = false;
    for (int i = 0; i < 3; i++) { known = known || (strlen(units[i]) == n && strncmp(units[i], text, n) == 0); }
    if (!known || !text[n] || !tare__number_parse(text + n + 1, &amount) || amount <= 0) {
        return tare_fail(TARE_EINVAL, "--budget: \"%s\" is none of steps=N, epochs=N, seconds=S", text);
    }
    char option[16];
    snprintf(option, sizeof option, "--%.*s", (int)n, text);
    if (is_fixed(&plan->fixed, option + 2)) {
        return tare_fail(TARE_EINVAL, "%s and --budget %s: choose one", option, text);
    }
    tare_status s = tare__words_add(&plan->budget, option + 2);
    if (s == TARE_OK) { s = tare__words_add(&plan->budget, text + n + 1); }
    if (s == TARE_OK) { s = tare__words_add(&plan->fixed, option); }
    return s == TARE_OK ? tare__words_add(&plan->fixed, text + n + 1) : s;
}

static tare_status read_metric(tare__plan *plan) {
    static const char *const usual[][2] = { { "mnist", "test_accuracy" },
                                            { "charlm", "val_loss" },
                                            { "gan", "frechet" } };
    const char *metric = plan->opt.metric;
    for (int i = 0; i < 3 && !metric; i++) {
        if (strcmp(plan->program, usual[i][0]) == 0) { metric = usual[i][1]; }
    }
    if (!metric) {
        return tare_fail(TARE_EINVAL, "--metric NAME is missing: which number of %s to compare?", plan->program);
    }
    if (plan->opt.up && plan->opt.down) { return tare_fail(TARE_EINVAL, "--up and --down: choose one"); }
    return tare__metric_parse(&plan->metric, metric, plan->opt.up ? 1 : plan->opt.down ? -1 : 0);
}

static tare_status read_versus(const tare__plan *plan) {
    const char *versus = plan->opt.versus;
    if (!versus) { return TARE_OK; }
    const tare__axis *axis = &plan->axis[0];
    for (int64_t i = 0; i < axis->values.count; i++) {
        if (strcmp(axis->values.at[i], versus) == 0) { return TARE_OK; }
    }
    return tare_fail(TARE_EINVAL, "--versus %s: not among the values of --vary %s", versus, axis->key);
}

static tare_status read_program(tare__plan *plan, const tare__words *words) {
    if (words->count == 0) {
        return tare_fail(TARE_EINVAL, "which program? mnist, charlm, gan, or a command of yours comes first");
    }
    tare__text all = { 0 };
    for (int64_t i = 0; i < words->count; i++) { tare__text_format(&all, "%s%s", i ? " " : "", words->at[i]); }
    plan->program = tare__text_take(&all);
    if (!plan->program) { return tare_fail(TARE_ENOMEM, "out of memory: the program's name"); }
    return tare__program_find(plan->program, &plan->start);
}

static tare_status read_plan(tare__plan *plan, const sorted *words) {
    tare_status s = tare_options_parse(plan->args, (int)words->own.count, words->own.at);
    if (s != TARE_OK || tare_options_text(plan->args)) { return s; }
    s = read_program(plan, &words->program);
    plan->dashes = words->dashes;
    if (s == TARE_OK) { s = tare__words_copy(&plan->fixed, &words->fixed); }
    if (s == TARE_OK) { s = read_budget(plan); }
    if (s == TARE_OK) { s = read_axes(plan, words); }
    if (s == TARE_OK) { s = read_metric(plan); }
    return s == TARE_OK ? read_versus(plan) : s;
}

tare_status tare__plan_parse(tare__plan *plan, const char *about, int argc, char **argv) {
    *plan = (tare__plan){ 0 };
    sorted words = { .dashes = false };
    plan->args = tare_options_new("compare", about);
    tare_status s = plan->args ? tare_options_add(plan->args, tare__compare_options, &plan->opt) : TARE_ENOMEM;
    if (s == TARE_OK) { s = sort_words(&words, argc, argv); }
    if (s == TARE_OK) { s = read_plan(plan, &words); }
    sorted_free(&words);
    return s;
}

void tare__plan_free(tare__plan *plan) {
    tare_free(plan->program);
    tare__words_free(&plan->start);
    tare__words_free(&plan->fixed);
    tare__words_free(&plan->budget);
    for (int i = 0; i < plan->axes; i++) {
        tare_free(plan->axis[i].key);
        tare__words_free(&plan->axis[i].values);
    }
    tare_free(plan->tune.key);
    tare__words_free(&plan->tune.values);
    tare_options_free(plan->args);
    *plan = (tare__plan){ 0 };
}
