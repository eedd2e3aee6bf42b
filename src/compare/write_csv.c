/* write_csv.c - the tables of a comparison: runs, cells and pairs are the same bytes whenever the runs are the same; seconds and memory,
 * which never are, have a table of their own. */
#include <math.h>
#include <string.h>

#include "comparison.h"

/* RFC 4180: quotes where a comma, a quote or a line break is in it. */
static void add_text(tare__text *t, const char *text) {
    if (!strpbrk(text, ",\"\r\n")) {
        tare__text_add(t, text);
        return;
    }
    tare__text_add(t, "\"");
    for (const char *s = text; *s; s++) {
        if (*s == '"') { tare__text_add(t, "\""); }
        tare__text_addn(t, s, 1);
    }
    tare__text_add(t, "\"");
}

/* An unknown number is an empty field. */
static void add_number(tare__text *t, double value) {
    tare__text_add(t, ",");
    if (isfinite(value)) { tare__text_number(t, value); }
}

static void add_int(tare__text *t, int64_t value) { tare__text_format(t, ",%lld", (long long)value); }

static void add_keys(const tare__comparison *c, tare__text *t, int first) {
    for (int i = first; i < c->plan->axes; i++) {
        add_text(t, c->plan->axis[i].key);
        tare__text_add(t, ",");
    }
}

static void add_values(const tare__comparison *c, tare__text *t, int64_t cell, int first) {
    for (int i = first; i < c->plan->axes; i++) {
        add_text(t, tare__cell_value(c, cell, i));
        tare__text_add(t, ",");
    }
}

static void add_tuned(const tare__comparison *c, tare__text *t, int64_t cell) {
    if (!c->plan->tune.key) { return; }
    tare__text_add(t, ",");
    add_text(t, cell < 0 ? c->plan->tune.key : c->cell[cell].tuned ? c->cell[cell].tuned : "");
}

static void runs_table(const tare__comparison *c, tare__text *t) {
    add_keys(c, t, 0);
    tare__text_add(t, "seed,status,reason,");
    add_text(t, c->plan->metric.text);
    add_tuned(c, t, -1);
    tare__text_add(t, "\n");
    for (int64_t k = 0; k < c->cells; k++) {
        for (int64_t i = 0; i < c->seeds; i++) {
            const tare__task *task = &c->cell[k].task[i];
            add_values(c, t, k, 0);
            tare__text_format(t, "%lld,%s,", (long long)i + 1, tare__fate_name[task->fate]);
            add_text(t, task->fate == TARE__FINISHED && task->not_reached ? "not reached" : task->reason);
            add_number(t, task->fate == TARE__FINISHED ? task->value : (double)NAN);
            add_tuned(c, t, k);
            tare__text_add(t, "\n");
        }
    }
}

static void cells_table(const tare__comparison *c, tare__text *t) {
    add_keys(c, t, 0);
    tare__text_add(t, "n,ok,diverged,crashed,killed,missing,mean,sd,low,high,best");
    add_tuned(c, t, -1);
    tare__text_add(t, "\n");
    for (int64_t k = 0; k < c->cells; k++) {
        const tare__cell *cell = &c->cell[k];
        add_values(c, t, k, 0);
        tare__text_format(t, "%lld", (long long)c->seeds);
        static const tare__fate order[] = { TARE__FINISHED, TARE__DIVERGED, TARE__CRASHED, TARE__KILLED,
                                            TARE__MISSING };
        for (int i = 0; i < TARE__FATES; i++) { add_int(t, cell->count[order[i]]); }
        add_number(t, cell->value.mean);
        add_number(t, cell->value.sd);
        add_number(t, cell->value.low);
        add_number(t, cell->value.high);
        add_number(t, cell->best);
        add_tuned(c, t, k);
        tare__text_add(t, "\n");
    }
}

static void pairs_table(const tare__comparison *c, tare__text *t) {
    add_keys(c, t, 1);
    tare__text_add(t, "a,b,n,difference,low,high,p,exact,p_holm,wins,losses,ties,better\n");
    for (int64_t i = 0; i < c->pairs; i++) {
        const tare__pair *pair = &c->pair[i];
        add_values(c, t, pair->a, 1);
        add_text(t, tare__cell_value(c, pair->a, 0));
        tare__text_add(t, ",");
        add_text(t, tare__cell_value(c, pair->b, 0));
        add_int(t, pair->difference.n);
        add_number(t, pair->difference.mean);
        add_number(t, pair->difference.low);
        add_number(t, pair->difference.high);
        add_number(t, pair->p);
        tare__text_add(t, pair->tested == 0 ? "," : pair->exact ? ",yes" : ",no");
        add_number(t, pair->p_holm);
        add_int(t, pair->wins);
        add_int(t, pair->losses);
        add_int(t, pair->ties);
        tare__text_add(t, ",");
        if (pair->better >= 0) { add_text(t, tare__cell_value(c, pair->better, 0)); }
        tare__text_add(t, "\n");
    }
}

static void timings_table(const tare__comparison *c, tare__text *t) {
    add_keys(c, t, 0);
    tare__text_add(t, "seed,seconds,wall_seconds,peak_bytes\n");
    for (int64_t k = 0; k < c->cells; k++) {
        for (int64_t i = 0; i < c->seeds; i++) {
            const tare__task *task = &c->cell[k].task[i];
            if (task->fate == TARE__MISSING) { continue; }
            add_values(c, t, k, 0);
            tare__text_format(t, "%lld", (long long)i + 1);
            add_number(t, task->seconds);
            add_number(t, task->wall_seconds);
            add_number(t, task->peak_bytes);
            tare__text_add(t, "\n");
        }
    }
}

static tare_status write_text(const tare__comparison *c, const char *name, tare__text *t) {
    tare__text p = { 0 };
    tare__text_format(&p, "%s/%s", c->folder, name);
    char *path = tare__text_take(&p), *text = tare__text_take(t);
    tare_status s = path && text ? tare__write_file(path, text) : tare_fail(TARE_ENOMEM, "out of memory: %s", name);
    tare_free(text);
    tare_free(path);
    return s;
}

tare_status tare__comparison_write(const tare__comparison *c) {
    static const struct {
        const char *name;
        void (*make)(const tare__comparison *, tare__text *);
    } tables[] = { { "runs.csv", runs_table },
                   { "cells.csv", cells_table },
                   { "pairs.csv", pairs_table },
                   { "timings.csv", timings_table } };
    tare_status s = TARE_OK;
    for (size_t i = 0; s == TARE_OK && i < sizeof tables / sizeof *tables; i++) {
        tare__text t = { 0 };
        tables[i].make(c, &t);
        s = write_text(c, tables[i].name, &t);
    }
    tare__text json = { 0 };
    char *text = tare__comparison_json(c);
    tare__text_add(&json, text ? text : "");
    json.failed = json.failed || !text;
    tare_free(text);
    if (s == TARE_OK) {
        s = write_text(c, "comparison.json", &json);
    } else {
        tare_free(tare__text_take(&json));
    }
    return s;
}
