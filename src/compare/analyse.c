/* analyse.c - from the runs' numbers to cells, pairs and rankings. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "comparison.h"

#define UNKNOWN (double)NAN

/* ---- cells ------------------------------------------------------------------------------------------------------------ */

/* Mean of the known ones; NaN where none is. */
static double mean(const double *x, int64_t n) {
    double sum = 0;
    int64_t known = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) { continue; }
        sum += x[i];
        known++;
    }
    return known > 0 ? sum / (double)known : UNKNOWN;
}

static void analyse_cell(const tare__comparison *c, tare__cell *cell, double *room) {
    double *value = room, *seconds = room + c->seeds, *wall = room + 2 * c->seeds;
    int64_t n = 0;
    memset(cell->count, 0, sizeof cell->count);
    cell->best = cell->peak_bytes = UNKNOWN;
    for (int64_t i = 0; i < c->seeds; i++) {
        const tare__task *t = &cell->task[i];
        cell->count[t->fate]++;
        if (t->fate != TARE__FINISHED) { continue; }
        value[n] = t->value;
        seconds[n] = t->seconds;
        wall[n++] = t->wall_seconds;
        cell->peak_bytes = fmax(cell->peak_bytes, t->peak_bytes); /* fmax passes NaN over */
        cell->best = c->plan->metric.up ? fmax(cell->best, t->value) : fmin(cell->best, t->value);
    }
    cell->value = tare__summarise(value, n, 1 - TARE__ALPHA);
    cell->seconds = mean(seconds, n);
    cell->wall_seconds = mean(wall, n);
}

/* What a run without a value counts as: beyond the worst value of any run, by a hundredth of all values' range. NaN: none finished. */
static double worst_value(const tare__comparison *c) {
    double low = UNKNOWN, high = UNKNOWN;
    for (int64_t i = 0; i < c->cells * c->seeds; i++) {
        if (c->task[i].fate != TARE__FINISHED) { continue; }
        low = fmin(low, c->task[i].value); /* passes NaN over */
        high = fmax(high, c->task[i].value);
    }
    double beyond = high > low ? 0.01 * (high - low) : 1;
    return c->plan->metric.up ? low - beyond : high + beyond;
}

/* ---- pairs ------------------------------------------------------------------------------------------------------------ */

static void analyse_pair(const tare__comparison *c, tare__pair *pair, double worst, double *room) {
    const tare__cell *a = &c->cell[pair->a], *b = &c->cell[pair->b];
    double *both = room, *all = room + c->seeds;
    int64_t n = 0;
    for (int64_t i = 0; i < c->seeds; i++) {
        const tare__task *x = &a->task[i], *y = &b->task[i];
        if (x->fate == TARE__MISSING || y->fate == TARE__MISSING) { continue; }
        bool good_x = x->fate == TARE__FINISHED, good_y = y->fate == TARE__FINISHED;
        double d = (good_x ? x->value : worst) - (good_y ? y->value : worst);
        if (!good_x && !good_y) { d = 0; } /* also where nothing finished and there is no worst */
        if (good_x && good_y) { both[n++] = d; }
        double gain = good_x != good_y ? (good_x ? 1 : -1) : c->plan->metric.up ? d : -d;
        pair->wins += gain > 0;
        pair->losses += gain < 0;
        pair->ties += gain == 0;
        all[pair->tested++] = d;
    }
    pair->difference = tare__summarise(both, n, 1 - TARE__ALPHA);
    pair->p = pair->tested > 0 ? tare__sign_flip(all, pair->tested, &pair->exact) : UNKNOWN;
    pair->p_holm = UNKNOWN;
    double sum = 0;
    for (int64_t i = 0; i < pair->tested; i++) { sum += all[i]; }
    pair->better = (sum > 0) == c->plan->metric.up ? pair->a : pair->b; /* if it passes the correction */
}

/* The settings of all axes but the first are the cells with the first value; cell k with value v is v * stride + k. */
static int64_t stride(const tare__comparison *c) { return c->cells / c->plan->axis[0].values.count; }

static int64_t versus_at(const tare__comparison *c) {
    const tare__axis *axis = &c->plan->axis[0];
    for (int64_t i = 0; c->plan->opt.versus && i < axis->values.count; i++) {
        if (strcmp(axis->values.at[i], c->plan->opt.versus) == 0) { return i; }
    }
    return -1;
}

static void list_pairs(tare__comparison *c) {
    int64_t values = c->plan->axis[0].values.count, settings = stride(c), base = versus_at(c);
    c->pairs = 0;
    for (int64_t k = 0; k < settings; k++) {
        for (int64_t i = 0; i < values; i++) {
            for (int64_t j = i + 1; j < values; j++) {
                if (base >= 0 && i != base && j != base) { continue; }
                int64_t a = i == base ? j : i, b = i == base ? i : j; /* the baseline is what is taken away */
                c->pair[c->pairs++] = (tare__pair){ .a = a * settings + k, .b = b * settings + k };
            }
        }
    }
}

static tare_status correct(tare__comparison *c) {
    double *p = tare_malloc((size_t)(2 * c->pairs + 1) * sizeof *p), *adjusted = p + c->pairs;
    int64_t m = 0;
    for (int64_t i = 0; p && i < c->pairs; i++) {
        if (isfinite(c->pair[i].p)) { p[m++] = c->pair[i].p; }
    }
    if (!p || !tare__holm(p, m, adjusted)) {
        tare_free(p);
        return tare_fail(TARE_ENOMEM, "out of memory: the statistics");
    }
    c->pairs_tested = m;
    for (int64_t i = 0, k = 0; i < c->pairs; i++) {
        if (isfinite(c->pair[i].p)) { c->pair[i].p_holm = adjusted[k++]; }
        if (!(c->pair[i].p_holm < TARE__ALPHA)) { c->pair[i].better = -1; }
    }
    tare_free(p);
    int64_t needed = tare__seeds_needed(c->pairs, TARE__ALPHA);
    c->needed = c->pairs > 0 && needed > c->seeds ? needed : 0;
    return TARE_OK;
}

/* ---- rankings ----------------------------------------------------------------------------------------------------------- */

static const tare__pair *find_pair(const tare__comparison *c, int64_t a, int64_t b) {
    for (int64_t i = 0; i < c->pairs; i++) {
        const tare__pair *p = &c->pair[i];
        if ((p->a == a && p->b == b) || (p->a == b && p->b == a)) { return p; }
    }
    return NULL;
}

/* What a cell is ranked by: its mean, with the runs that failed as `worst`, as in the tests; else the one seed that a setting
 * survives could put it first. NaN: it has no result. */
static double standing(const tare__comparison *c, int64_t cell, double worst) {
    double sum = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < c->seeds; i++) {
        const tare__task *t = &c->cell[cell].task[i];
        if (t->fate == TARE__MISSING) { continue; }
        sum += t->fate == TARE__FINISHED ? t->value : worst;
        n++;
    }
    return c->cell[cell].count[TARE__FINISHED] > 0 ? sum / (double)n : UNKNOWN;
}

/* Does cell a come before cell b? Those without any result come last. */
static bool before(const tare__comparison *c, int64_t a, int64_t b, double worst) {
    double x = standing(c, a, worst), y = standing(c, b, worst);
    if (isfinite(x) != isfinite(y)) { return isfinite(x); }
    return c->plan->metric.up ? x > y : x < y;
}

static void rank(const tare__comparison *c, tare__ranking *r, int64_t setting, double worst) {
    int64_t settings = stride(c), base = versus_at(c);
    r->count = c->plan->axis[0].values.count;
    for (int64_t i = 0; i < r->count; i++) { /* insertion: values that tie stay in the order they were given */
        int64_t cell = i * settings + setting, at = i;
        for (; at > 0 && before(c, cell, r->cell[at - 1], worst); at--) { r->cell[at] = r->cell[at - 1]; }
        r->cell[at] = cell;
    }
    bool apart[TARE__VALUES * TARE__VALUES];
    for (int64_t i = 0; i < r->count; i++) {
        for (int64_t j = 0; j < r->count; j++) {
            const tare__pair *pair = i == j ? NULL : find_pair(c, r->cell[i], r->cell[j]);
            apart[i * r->count + j] = pair && pair->better >= 0;
        }
        const tare__pair *pair = base < 0 ? NULL : find_pair(c, r->cell[i], base * settings + setting);
        r->against[i] = !pair ? 2 : pair->better < 0 ? 0 : pair->better == r->cell[i] ? 1 : -1;
    }
    if (base < 0) { tare__letters(apart, (int)r->count, r->letters); }
}

/* ---- all ---------------------------------------------------------------------------------------------------------------- */

tare_status tare__comparison_analyse(tare__comparison *c) {
    int64_t values = c->plan->axis[0].values.count, most = stride(c) * values * (values - 1) / 2;
    tare_free(c->pair);
    tare_free(c->ranking);
    c->rankings = stride(c);
    c->pair = tare_calloc((size_t)most + 1, sizeof *c->pair);
    c->ranking = tare_calloc((size_t)c->rankings, sizeof *c->ranking);
    double *room = tare_malloc((size_t)(3 * c->seeds) * sizeof *room);
    if (!c->pair || !c->ranking || !room) {
        tare_free(room);
        return tare_fail(TARE_ENOMEM, "out of memory: the statistics");
    }
    for (int64_t k = 0; k < c->cells; k++) { analyse_cell(c, &c->cell[k], room); }
    list_pairs(c);
    double worst = worst_value(c);
    for (int64_t i = 0; i < c->pairs; i++) { analyse_pair(c, &c->pair[i], worst, room); }
    tare_free(room);
    tare_status s = correct(c);
    for (int64_t k = 0; s == TARE_OK && k < c->rankings; k++) { rank(c, &c->ranking[k], k, worst); }
    return s;
}
