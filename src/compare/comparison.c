/* comparison.c - the runs of a plan: which there are, tuning, running them. */
#include "comparison.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "folder.h"

const char *tare__cell_value(const tare__comparison *c, int64_t cell, int axis) {
    return c->plan->axis[axis].values.at[c->cell[cell].at[axis]];
}

/* ---- tasks ----------------------------------------------------------------------------------------------------------- */

/* A cell's name as part of a path: what a shell or a file system minds becomes '_', and then a hash tells names apart. */
static void add_slug(tare__text *t, const char *name) {
    char slug[97];
    size_t n = 0;
    bool lossy = strlen(name) > 80;
    uint32_t hash = 2166136261u;
    for (const char *s = name; *s; s++) {
        hash = (hash ^ (unsigned char)*s) * 16777619u;
        bool plain =
            (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || strchr("=,:.+-_", *s);
        lossy = lossy || !plain;
        if (n < 80) { slug[n++] = plain ? *s : '_'; }
    }
    slug[n] = '\0';
    tare__text_add(t, slug);
    if (lossy) { tare__text_format(t, "-%08x", (unsigned)hash); }
}

static tare_status add_option(tare__words *argv, const char *key, const char *value) {
    tare__text t = { 0 };
    tare__text_format(&t, "--%s", key);
    char *option = tare__text_take(&t);
    tare_status s = option ? tare__words_add(argv, option) : tare_fail(TARE_ENOMEM, "out of memory: a command");
    tare_free(option);
    return s == TARE_OK ? tare__words_add(argv, value) : s;
}

/* LAUNCHER PROGRAM --out FOLDER | FIXED --norm bn --batch 8 [--lr 1e-3] --seed 3 */
static tare_status make_command(const tare__comparison *c, tare__task *task, int64_t cell, const char *tuned,
                                int64_t seed) {
    const tare__plan *plan = c->plan;
    tare__words *argv = &task->argv;
    char number[24];
    tare__words_free(argv);
    snprintf(number, sizeof number, "%lld", (long long)seed);
    tare_status s = plan->opt.launcher ? tare__words_split(argv, plan->opt.launcher) : TARE_OK;
    if (s == TARE_OK) { s = tare__words_copy(argv, &plan->start); }
    if (s == TARE_OK) { s = add_option(argv, "out", task->folder); }
    task->identity = argv->count;
    if (s == TARE_OK) { s = tare__words_copy(argv, &plan->fixed); }
    for (int i = 0; s == TARE_OK && i < plan->axes; i++) {
        s = add_option(argv, plan->axis[i].key, tare__cell_value(c, cell, i));
    }
    if (s == TARE_OK && tuned) { s = add_option(argv, plan->tune.key, tuned); }
    return s == TARE_OK ? add_option(argv, "seed", number) : s;
}

static tare_status make_trial(const tare__comparison *c, int64_t cell, int64_t i) {
    tare__task *task = &c->cell[cell].trial[i];
    const char *value = c->plan->tune.values.at[i];
    tare__text folder = { 0 }, label = { 0 }, name = { 0 };
    tare__text_format(&folder, "%s/tune/", c->folder);
    add_slug(&folder, c->cell[cell].name);
    tare__text_add(&folder, "/");
    tare__text_format(&name, "%s=%s", c->plan->tune.key, value);
    char *last = tare__text_take(&name);
    if (last) { add_slug(&folder, last); }
    tare__text_format(&label, "tune %s, %s", c->cell[cell].name, last ? last : "");
    tare_free(last);
    task->folder = tare__text_take(&folder);
    task->label = tare__text_take(&label);
    if (!task->folder || !task->label) { return tare_fail(TARE_ENOMEM, "out of memory: the runs"); }
    return make_command(c, task, cell, value, 0);
}

static tare_status make_task(const tare__comparison *c, int64_t cell, int64_t i) {
    tare__task *task = &c->cell[cell].task[i];
    tare__text folder = { 0 }, label = { 0 };
    tare__text_format(&folder, "%s/", c->folder);
    add_slug(&folder, c->cell[cell].name);
    tare__text_format(&folder, "/seed-%lld", (long long)i + 1);
    tare__text_format(&label, "%s, seed %lld", c->cell[cell].name, (long long)i + 1);
    task->folder = tare__text_take(&folder);
    task->label = tare__text_take(&label);
    if (!task->folder || !task->label) { return tare_fail(TARE_ENOMEM, "out of memory: the runs"); }
    return make_command(c, task, cell, c->cell[cell].tuned, i + 1);
}

static tare_status make_cells(tare__comparison *c) {
    const tare__plan *plan = c->plan;
    int64_t trials = plan->tune.values.count;
    c->cells = tare__plan_cells(plan);
    c->seeds = plan->opt.seeds;
    c->trials = c->cells * trials;
    c->cell = tare_calloc((size_t)c->cells, sizeof *c->cell);
    c->task = tare_calloc((size_t)(c->cells * c->seeds), sizeof *c->task);
    c->trial = tare_calloc((size_t)(c->trials + 1), sizeof *c->trial);
    if (!c->cell || !c->task || !c->trial) { return tare_fail(TARE_ENOMEM, "out of memory: the runs"); }
    tare_status s = TARE_OK;
    for (int64_t k = 0; s == TARE_OK && k < c->cells; k++) {
        tare__cell *cell = &c->cell[k];
        tare__plan_at(plan, k, cell->at);
        cell->name = tare__plan_cell_name(plan, k, -1);
        cell->task = c->task + k * c->seeds;
        cell->trial = c->trial + k * trials;
        if (!cell->name) { return tare_fail(TARE_ENOMEM, "out of memory: the runs"); }
        for (int64_t i = 0; s == TARE_OK && i < trials; i++) { s = make_trial(c, k, i); }
        for (int64_t i = 0; s == TARE_OK && i < c->seeds; i++) { s = make_task(c, k, i); }
    }
    return s;
}

static void cells_free(tare__comparison *c) {
    for (int64_t i = 0; c->cell && i < c->cells; i++) { tare_free(c->cell[i].name); }
    for (int64_t i = 0; c->task && i < c->cells * c->seeds; i++) { tare__task_free(&c->task[i]); }
    for (int64_t i = 0; c->trial && i < c->trials; i++) { tare__task_free(&c->trial[i]); }
    tare_free(c->cell);
    tare_free(c->task);
    tare_free(c->trial);
}

/* ---- what is there --------------------------------------------------------------------------------------------------- */

static tare_status look(tare__comparison *c, tare__task *task, int64_t count) {
    const tare__compare_opt *opt = &c->plan->opt;
    tare_status s = TARE_OK;
    if (opt->force && opt->dry_run) { return s; } /* --force would have cleared them */
    for (int64_t i = 0; s == TARE_OK && i < count; i++) { s = tare__task_look(&task[i], &c->plan->metric, opt->retry); }
    return s;
}

static int64_t unfinished(const tare__task *task, int64_t count) {
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++) { n += task[i].state != TARE__TASK_DONE; }
    return n;
}

int64_t tare__comparison_missing(const tare__comparison *c) {
    return unfinished(c->trial, c->trials) + unfinished(c->task, c->cells * c->seeds);
}

static bool is_better(const tare__metric *m, double a, double b) { return m->up ? a > b : a < b; }

/* The tuned values from the trials' results; false where a trial is missing. */
static bool choose(tare__comparison *c) {
    const tare__words *values = &c->plan->tune.values;
    if (unfinished(c->trial, c->trials) > 0) { return false; }
    for (int64_t k = 0; values->count > 0 && k < c->cells; k++) {
        int64_t chosen = -1;
        for (int64_t i = 0; i < values->count; i++) {
            const tare__task *t = &c->cell[k].trial[i];
            bool candidate = t->fate == TARE__FINISHED;
            if (candidate && (chosen < 0 || is_better(&c->plan->metric, t->value, c->cell[k].trial[chosen].value))) {
                chosen = i;
            }
        }
        c->cell[k].tuned = values->at[chosen < 0 ? 0 : chosen]; /* none finished: the runs will show it */
    }
    return true;
}

/* With tuned values known, the commands are; and so is what is there of them. */
static tare_status settle_tasks(tare__comparison *c) {
    tare_status s = TARE_OK;
    if (!choose(c)) { return TARE_OK; }
    for (int64_t k = 0; s == TARE_OK && c->trials > 0 && k < c->cells; k++) {
        for (int64_t i = 0; s == TARE_OK && i < c->seeds; i++) {
            s = make_command(c, &c->cell[k].task[i], k, c->cell[k].tuned, i + 1);
        }
    }
    return s == TARE_OK ? look(c, c->task, c->cells * c->seeds) : s;
}

static void divide_cores(tare__comparison *c) {
    tare_machine machine;
    tare_machine_get(&machine);
    int64_t most = c->trials > c->cells * c->seeds ? c->trials : c->cells * c->seeds;
    c->jobs = c->plan->opt.jobs > 0 ? c->plan->opt.jobs : machine.cores;
    if (c->jobs > most) { c->jobs = most; }
    c->threads = c->plan->opt.launcher ? 0 : machine.cores / c->jobs > 1 ? machine.cores / c->jobs : 1;
}

tare_status tare__comparison_open(tare__comparison *c, tare__plan *plan, char **note) {
    *c = (tare__comparison){ .plan = plan, .lock = -1 };
    *note = NULL;
    tare_status s = tare__folder_open(c, note);
    if (s == TARE_OK) { s = make_cells(c); }
    if (s == TARE_OK) { s = look(c, c->trial, c->trials); }
    if (s == TARE_OK) { s = settle_tasks(c); }
    if (s == TARE_OK) { divide_cores(c); }
    return s;
}

void tare__comparison_close(tare__comparison *c) {
    cells_free(c);
    tare_free(c->folder);
    tare_free(c->pair);
    tare_free(c->ranking);
    if (c->lock >= 0) { close(c->lock); }
    *c = (tare__comparison){ .lock = -1 };
}

/* ---- running ---------------------------------------------------------------------------------------------------------- */

tare_status tare__comparison_run(tare__comparison *c, const tare__runner_opt *how) {
    tare__runner_opt opt = *how;
    opt.usage_is_fatal = tare__plan_is_ours(c->plan);
    opt.jobs = c->jobs;
    opt.rows = c->cells; /* seed by seed */
    opt.threads = c->threads;
    opt.retry = c->plan->opt.retry;
    opt.time_limit = c->plan->opt.time_limit;
    opt.metric = &c->plan->metric;
    tare_status s = TARE_OK;
    if (unfinished(c->trial, c->trials) > 0) {
        s = tare__run_tasks(c->trial, c->trials, &opt);
        if (s == TARE_OK && !tare_stop()) { s = settle_tasks(c); }
    }
    bool go = s == TARE_OK && !tare_stop() && unfinished(c->trial, c->trials) == 0;
    return go ? tare__run_tasks(c->task, c->cells * c->seeds, &opt) : s;
}
