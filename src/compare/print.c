/* print.c - a comparison's tables for people: cells ranked, pairs, what failed, how many seeds it would take. */
#include <math.h>
#include <string.h>

#include "../core/columns.h"
#include "comparison.h"

enum { PAIRS_SHOWN = 30, FIRST = 15, PAIR = 26, NUMBER = TARE__SHORT };

const char *tare__short_number(double value, char text[TARE__SHORT]) {
    double size = fabs(value);
    if (!isfinite(value)) {
        snprintf(text, NUMBER, "-");
    } else if (size != 0 && (size < 1e-3 || size >= 1e6)) {
        snprintf(text, NUMBER, "%.2e", value);
    } else {
        snprintf(text, NUMBER, "%.*f", size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : size >= 1 ? 3 : 4, value);
    }
    return text;
}

static const char *interval(const tare__summary *s, char text[64]) {
    char low[NUMBER], high[NUMBER];
    snprintf(text, 64, "%s .. %s", tare__short_number(s->low, low), tare__short_number(s->high, high));
    if (!isfinite(s->low)) { snprintf(text, 64, "-"); }
    return text;
}

/* "batch=8" for the axes but the first; "" where there is but one. */
static void print_setting(const tare__comparison *c, int64_t cell, FILE *stream) {
    char *name = tare__plan_cell_name(c->plan, cell, 0);
    if (name && *name) { fprintf(stream, "\n%s\n", name); }
    tare_free(name);
}

/* ---- cells -------------------------------------------------------------------------------------------------------------- */

static void print_cell(const tare__comparison *c, const tare__ranking *r, int64_t at, FILE *stream) {
    static const char *const against[] = { "worse", "same", "better", "base" };
    const tare__cell *cell = &c->cell[r->cell[at]];
    char mean[NUMBER], range[64], best[NUMBER], seconds[NUMBER], memory[NUMBER], good[NUMBER];
    tare__cell_buf value;
    double took = isfinite(cell->seconds) ? cell->seconds : cell->wall_seconds;
    snprintf(good, sizeof good, "%lld/%lld", (long long)cell->count[TARE__FINISHED], (long long)c->seeds);
    snprintf(memory, sizeof memory, isfinite(cell->peak_bytes) ? "%.0f" : "-", cell->peak_bytes / 1048576.0);
    snprintf(seconds, sizeof seconds, isfinite(took) ? "%.1f" : "-", took);
    fprintf(stream, "%s %5s %8s %21s %8s %7s %4s %s\n",
            tare__cell_text(tare__cell_value(c, r->cell[at], 0), FIRST, &value), good,
            tare__short_number(cell->value.mean, mean), interval(&cell->value, range),
            tare__short_number(cell->best, best), seconds, memory,
            c->plan->opt.versus ? against[r->against[at] + 1] : r->letters[at]);
}

static void print_cells(const tare__comparison *c, FILE *stream) {
    tare__cell_buf key;
    fprintf(stream, "%s %5s %8s %21s %8s %7s %4s %s\n", tare__cell_text(c->plan->axis[0].key, FIRST, &key), "ok",
            "mean", "95% interval", "best", "seconds", "MiB", c->plan->opt.versus ? "vs" : "group");
    for (int64_t i = 0; i < c->rankings; i++) {
        print_setting(c, c->ranking[i].cell[0], stream);
        for (int64_t k = 0; k < c->ranking[i].count; k++) { print_cell(c, &c->ranking[i], k, stream); }
    }
    if (!c->plan->opt.versus && c->pairs > 0) {
        fprintf(stream, "\nWhat shares a letter cannot be told apart (p < 0.05, Holm over %lld pair%s).\n",
                (long long)c->pairs, c->pairs == 1 ? "" : "s");
    }
}

static void print_tuned(const tare__comparison *c, FILE *stream) {
    if (!c->plan->tune.key) { return; }
    fprintf(stream, "\n--%s, the best of %lld on seed 0:\n", c->plan->tune.key, (long long)c->plan->tune.values.count);
    for (int64_t k = 0; k < c->cells; k++) {
        tare__cell_buf name;
        if (!c->cell[k].tuned) { continue; }
        fprintf(stream, "  %s %s\n", tare__cell_text(c->cell[k].name, 40, &name), c->cell[k].tuned);
    }
}

static void print_failures(const tare__comparison *c, FILE *stream) {
    for (int fate = TARE__DIVERGED; fate < TARE__FATES; fate++) {
        for (int64_t k = 0; k < c->cells; k++) {
            const tare__cell *cell = &c->cell[k];
            if (cell->count[fate] == 0) { continue; }
            const char *reason = "";
            for (int64_t i = 0; i < c->seeds; i++) {
                if (cell->task[i].fate == (tare__fate)fate) { reason = cell->task[i].reason; }
            }
            fprintf(stream, "%s: %lld of %lld of %s%s%s\n", tare__fate_name[fate], (long long)cell->count[fate],
                    (long long)c->seeds, cell->name, *reason ? ", " : "", reason);
        }
    }
}

/* ---- pairs -------------------------------------------------------------------------------------------------------------- */

static const char *p_text(double p, char text[NUMBER]) {
    snprintf(text, NUMBER, !isfinite(p) ? "-" : p < 0.0005 ? "%.0e" : "%.3f", p);
    return text;
}

static void print_pair(const tare__comparison *c, const tare__pair *pair, FILE *stream) {
    tare__cell_buf a, b, cell;
    char names[2 * sizeof a.text], d[NUMBER], range[64], p[NUMBER], holm[NUMBER], wins[NUMBER];
    snprintf(names, sizeof names, "%s - %s", tare__cell_cut(tare__cell_value(c, pair->a, 0), 12, &a),
             tare__cell_cut(tare__cell_value(c, pair->b, 0), 11, &b));
    snprintf(wins, sizeof wins, "%lld/%lld", (long long)pair->wins, (long long)pair->tested);
    fprintf(stream, "%s %9s %21s %6s %6s %5s%s\n", tare__cell_text(names, PAIR, &cell),
            tare__short_number(pair->difference.mean, d), interval(&pair->difference, range), p_text(pair->p, p),
            p_text(pair->p_holm, holm), wins, pair->better >= 0 ? " *" : "");
}

static void print_pairs(const tare__comparison *c, FILE *stream) {
    if (c->pairs == 0) { return; }
    bool all = c->pairs <= PAIRS_SHOWN, sampled = false;
    int64_t hidden = 0;
    fprintf(stream, "\n%-*s %9s %21s %6s %6s %5s\n", PAIR, "difference", "mean", "95% interval", "p", "Holm", "wins");
    for (int64_t i = 0, setting = -1; i < c->pairs; i++) {
        const tare__pair *pair = &c->pair[i];
        sampled = sampled || (pair->tested > 0 && !pair->exact);
        hidden += !all && pair->better < 0;
        if (!all && pair->better < 0) { continue; }
        int64_t at = pair->a % c->rankings;
        if (at != setting) { print_setting(c, pair->a, stream); }
        setting = at;
        print_pair(c, pair, stream);
    }
    if (hidden > 0) { fprintf(stream, "%lld pairs that cannot be told apart are in pairs.csv\n", (long long)hidden); }
    fprintf(stream, "\np: %s sign-flip test over seeds, two-sided; * p < 0.05 after Holm.\n",
            sampled ? "sampled (100,000 patterns)" : "exact");
}

static void print_needed(const tare__comparison *c, FILE *stream) {
    if (c->needed == 0) { return; }
    fprintf(stream,
            "%lld seed%s cannot reach p < 0.05 over %lld pair%s, however large the difference;\n--seeds %lld could",
            (long long)c->seeds, c->seeds == 1 ? "" : "s", (long long)c->pairs, c->pairs == 1 ? "" : "s",
            (long long)c->needed);
    int64_t fewer = c->rankings * (c->plan->axis[0].values.count - 1);
    int64_t enough = tare__seeds_needed(fewer, TARE__ALPHA);
    if (!c->plan->opt.versus && enough < c->needed) {
        fprintf(stream, ", or %lld with --versus VALUE", (long long)enough);
    }
    fprintf(stream, " (the runs there are will be kept).\n");
}

void tare__comparison_print(const tare__comparison *c, FILE *stream) {
    fprintf(stream, "%s of %s, %s is better\n\n", c->plan->metric.text, c->plan->program,
            c->plan->metric.up ? "more" : "less");
    print_cells(c, stream);
    print_tuned(c, stream);
    print_pairs(c, stream);
    print_needed(c, stream);
    print_failures(c, stream);
    int64_t missing = tare__comparison_missing(c);
    if (missing > 0) {
        fprintf(stream, "missing: %lld runs; the same command goes on with them\n", (long long)missing);
    }
}
