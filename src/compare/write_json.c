/* write_json.c - comparison.json, as docs/comparison-format.md describes it. */
#include <math.h>
#include <string.h>

#include "../run/json.h"
#include "comparison.h"

static void add_known(tare__text *t, const char *key, double value) {
    if (isfinite(value)) { tare__json_number(t, key, value); }
}

/* Paths are relative to the comparison's folder. */
static void add_path(const tare__comparison *c, tare__text *t, const char *key, const char *path, const char *ending) {
    tare__text p = { 0 };
    tare__text_format(&p, "%s%s", path + strlen(c->folder) + 1, ending);
    char *text = tare__text_take(&p);
    if (text) { tare__json_string(t, key, text); }
    tare_free(text);
}

static void add_machine(const tare__comparison *c, tare__text *t) {
    tare_machine m;
    tare_machine_get(&m);
    tare__json_open(t, "machine", '{');
    tare__json_string(t, "cpu", m.cpu);
    tare__json_string(t, "isa", m.isa);
    tare__json_int(t, "cores", m.cores);
    tare__json_int(t, "memory", m.memory);
    tare__json_int(t, "jobs", c->jobs);
    tare__json_close(t, '}');
}

static void add_axes(const tare__plan *plan, tare__text *t) {
    tare__json_open(t, "axes", '[');
    for (int i = 0; i < plan->axes; i++) {
        tare__json_open(t, NULL, '{');
        tare__json_string(t, "key", plan->axis[i].key);
        tare__json_open(t, "values", '[');
        for (int64_t k = 0; k < plan->axis[i].values.count; k++) {
            tare__json_string(t, NULL, plan->axis[i].values.at[k]);
        }
        tare__json_close(t, ']');
        tare__json_close(t, '}');
    }
    tare__json_close(t, ']');
    tare__json_string(t, "compared", plan->axis[0].key);
    if (plan->opt.versus) { tare__json_string(t, "versus", plan->opt.versus); }
}

/* ---- cells -------------------------------------------------------------------------------------------------------------- */

static void add_run(const tare__comparison *c, const tare__task *task, int64_t seed, tare__text *t) {
    tare__json_open(t, NULL, '{');
    tare__json_int(t, "seed", seed);
    tare__json_string(t, "status", tare__fate_name[task->fate]);
    if (task->fate == TARE__FINISHED) { tare__json_number(t, "value", task->value); }
    if (task->fate == TARE__FINISHED && task->not_reached) { tare__json_bool(t, "not_reached", true); }
    if (task->fate != TARE__MISSING) {
        add_path(c, t, "folder", task->folder, "");
        add_path(c, t, "log", task->folder, ".log");
        tare__json_string(t, "reason", task->reason);
        add_known(t, "seconds", task->seconds);
        add_known(t, "wall_seconds", task->wall_seconds);
        add_known(t, "peak_bytes", task->peak_bytes);
    }
    tare__json_close(t, '}');
}

static void add_stats(const tare__comparison *c, const tare__cell *cell, tare__text *t) {
    tare__json_open(t, "stats", '{');
    tare__json_int(t, "n", c->seeds);
    static const tare__fate order[] = { TARE__FINISHED, TARE__DIVERGED, TARE__CRASHED, TARE__KILLED, TARE__MISSING };
    for (int i = 0; i < TARE__FATES; i++) { tare__json_int(t, tare__fate_name[order[i]], cell->count[order[i]]); }
    add_known(t, "mean", cell->value.mean);
    add_known(t, "sd", cell->value.sd);
    add_known(t, "low", cell->value.low);
    add_known(t, "high", cell->value.high);
    add_known(t, "best", cell->best);
    add_known(t, "seconds", cell->seconds);
    add_known(t, "wall_seconds", cell->wall_seconds);
    add_known(t, "peak_bytes", cell->peak_bytes);
    tare__json_close(t, '}');
}

static void add_cell(const tare__comparison *c, int64_t k, tare__text *t) {
    const tare__cell *cell = &c->cell[k];
    tare__json_open(t, NULL, '{');
    tare__json_int(t, "id", k);
    tare__json_open(t, "at", '[');
    for (int i = 0; i < c->plan->axes; i++) { tare__json_string(t, NULL, tare__cell_value(c, k, i)); }
    tare__json_close(t, ']');
    tare__json_string(t, "name", cell->name);
    if (cell->tuned) {
        tare__json_open(t, "tuned", '{');
        tare__json_string(t, c->plan->tune.key, cell->tuned);
        tare__json_close(t, '}');
    }
    tare__json_open(t, "runs", '[');
    for (int64_t i = 0; i < c->seeds; i++) { add_run(c, &cell->task[i], i + 1, t); }
    tare__json_close(t, ']');
    add_stats(c, cell, t);
    tare__json_close(t, '}');
}

static void add_tune(const tare__comparison *c, tare__text *t) {
    const tare__axis *tune = &c->plan->tune;
    if (!tune->key) { return; }
    tare__json_open(t, "tune", '{');
    tare__json_string(t, "key", tune->key);
    tare__json_open(t, "values", '[');
    for (int64_t i = 0; i < tune->values.count; i++) { tare__json_string(t, NULL, tune->values.at[i]); }
    tare__json_close(t, ']');
    tare__json_int(t, "seed", 0);
    tare__json_open(t, "cells", '[');
    for (int64_t k = 0; k < c->cells; k++) {
        tare__json_open(t, NULL, '{');
        tare__json_int(t, "cell", k);
        if (c->cell[k].tuned) { tare__json_string(t, "chosen", c->cell[k].tuned); }
        tare__json_open(t, "runs", '[');
        for (int64_t i = 0; i < tune->values.count; i++) {
            const tare__task *task = &c->cell[k].trial[i];
            tare__json_open(t, NULL, '{');
            tare__json_string(t, "value", tune->values.at[i]);
            if (task->fate == TARE__FINISHED) { tare__json_number(t, "score", task->value); }
            tare__json_string(t, "status", tare__fate_name[task->fate]);
            add_path(c, t, "folder", task->folder, "");
            tare__json_close(t, '}');
        }
        tare__json_close(t, ']');
        tare__json_close(t, '}');
    }
    tare__json_close(t, ']');
    tare__json_close(t, '}');
}

/* ---- pairs and rankings ---------------------------------------------------------------------------------------------------- */

static void add_setting(const tare__comparison *c, int64_t cell, tare__text *t) {
    tare__json_open(t, "at", '[');
    for (int i = 1; i < c->plan->axes; i++) { tare__json_string(t, NULL, tare__cell_value(c, cell, i)); }
    tare__json_close(t, ']');
}

static void add_pair(const tare__comparison *c, const tare__pair *pair, tare__text *t) {
    tare__json_open(t, NULL, '{');
    tare__json_string(t, "a", tare__cell_value(c, pair->a, 0));
    tare__json_string(t, "b", tare__cell_value(c, pair->b, 0));
    add_setting(c, pair->a, t);
    tare__json_open(t, "cells", '[');
    tare__json_int(t, NULL, pair->a);
    tare__json_int(t, NULL, pair->b);
    tare__json_close(t, ']');
    tare__json_int(t, "n", pair->difference.n);
    tare__json_int(t, "tested", pair->tested);
    add_known(t, "difference", pair->difference.mean);
    add_known(t, "low", pair->difference.low);
    add_known(t, "high", pair->difference.high);
    add_known(t, "p", pair->p);
    if (pair->tested > 0) { tare__json_bool(t, "exact", pair->exact); }
    add_known(t, "p_holm", pair->p_holm);
    tare__json_int(t, "wins", pair->wins);
    tare__json_int(t, "losses", pair->losses);
    tare__json_int(t, "ties", pair->ties);
    if (pair->better >= 0) { tare__json_string(t, "better", tare__cell_value(c, pair->better, 0)); }
    tare__json_close(t, '}');
}

static void add_ranking(const tare__comparison *c, const tare__ranking *r, tare__text *t) {
    static const char *const against[] = { "worse", "same", "better" };
    tare__json_open(t, NULL, '{');
    add_setting(c, r->cell[0], t);
    tare__json_open(t, "order", '[');
    for (int64_t i = 0; i < r->count; i++) {
        tare__json_open(t, NULL, '{');
        tare__json_int(t, "cell", r->cell[i]);
        tare__json_string(t, "value", tare__cell_value(c, r->cell[i], 0));
        if (!c->plan->opt.versus) { tare__json_string(t, "groups", r->letters[i]); }
        if (c->plan->opt.versus && r->against[i] <= 1) { tare__json_string(t, "against", against[r->against[i] + 1]); }
        tare__json_close(t, '}');
    }
    tare__json_close(t, ']');
    tare__json_close(t, '}');
}

static void add_head(const tare__comparison *c, tare__text *t) {
    const tare__plan *plan = c->plan;
    char *command = tare__plan_command(plan);
    tare__json_string(t, "format", "tare-comparison");
    tare__json_int(t, "format_version", 1);
    tare__json_string(t, "version", TARE_VERSION);
    tare__json_string(t, "command", command ? command : "");
    tare_free(command);
    tare__json_string(t, "program", plan->program);
    tare__json_string(t, "state", tare__comparison_missing(c) > 0 ? "partial" : "complete");
    add_machine(c, t);
    tare__json_open(t, "metric", '{');
    tare__json_string(t, "name", plan->metric.text);
    tare__json_bool(t, "up", plan->metric.up);
    tare__json_close(t, '}');
    if (tare__plan_fixed_json(plan, t, "fixed") != TARE_OK) { t->failed = true; }
    if (plan->budget.count == 2) {
        tare__json_open(t, "budget", '{');
        tare__json_string(t, plan->budget.at[0], plan->budget.at[1]);
        tare__json_close(t, '}');
    }
}

char *tare__comparison_json(const tare__comparison *c) {
    tare__text t = { 0 };
    tare__json_open(&t, NULL, '{');
    add_head(c, &t);
    add_axes(c->plan, &t);
    tare__json_open(&t, "seeds", '[');
    for (int64_t i = 1; i <= c->seeds; i++) { tare__json_int(&t, NULL, i); }
    tare__json_close(&t, ']');
    tare__json_number(&t, "alpha", TARE__ALPHA);
    add_tune(c, &t);
    tare__json_open(&t, "cells", '[');
    for (int64_t k = 0; k < c->cells; k++) { add_cell(c, k, &t); }
    tare__json_close(&t, ']');
    tare__json_open(&t, "pairs", '[');
    for (int64_t i = 0; i < c->pairs; i++) { add_pair(c, &c->pair[i], &t); }
    tare__json_close(&t, ']');
    tare__json_open(&t, "rankings", '[');
    for (int64_t i = 0; i < c->rankings; i++) { add_ranking(c, &c->ranking[i], &t); }
    tare__json_close(&t, ']');
    if (c->needed > 0) { tare__json_int(&t, "seeds_needed", c->needed); }
    tare__json_close(&t, '}');
    tare__text_add(&t, "\n");
    return tare__text_take(&t);
}
