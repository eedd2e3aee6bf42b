/* claim.c - contrasts, and what they decide. */
#include "claim.h"

#include <math.h>
#include <string.h>

const char *const tare__verdict_name[TARE__VERDICTS] = { "undecided", "holds", "does not hold here" };

/* ---- one value a seed -------------------------------------------------------------------------------------------------- */

static bool matches(const tare__comparison *c, int64_t cell, const tare__term *term) {
    for (int64_t i = 0; i < term->keys.count; i++) {
        bool found = false;
        for (int k = 0; k < c->plan->axes; k++) {
            found = found || (strcmp(c->plan->axis[k].key, term->keys.at[i]) == 0 &&
                              strcmp(tare__cell_value(c, cell, k), term->values.at[i]) == 0);
        }
        if (!found) { return false; }
    }
    return true;
}

/* A run's number: the comparison's metric, or the term's own. NaN where the run has none; *failed where it ended without. What was
 * largest, or first, has a value in a run that diverged, too. */
static tare_status run_value(const tare__task *task, const tare__term *term, double *value, bool *failed) {
    bool ended = task->fate == TARE__FINISHED;
    bool partial = term->own_metric && term->metric.kind != TARE__METRIC_LAST && task->fate == TARE__DIVERGED;
    *failed = !ended && task->fate != TARE__MISSING;
    *value = ended ? task->value : (double)NAN;
    if (!term->own_metric || !(ended || partial)) { return TARE_OK; }
    tare__story story;
    tare_status s = tare__story_read(&story, task->folder, &term->metric);
    if (s == TARE_OK && ended && !story.has_value) {
        s = tare_fail(TARE_EINVAL, "no event of %s has \"%s\"", task->folder, term->metric.name);
    }
    *failed = s == TARE_OK && !isfinite(story.value);
    *value = story.value;
    return s;
}

/* What a term has gathered at one seed. */
typedef struct gathered {
    double sum;
    int64_t n, failed;
} gathered;

/* NaN where a run is missing, or where it failed and failures have no value. */
static tare_status gather(const tare__claim *claim, const tare__comparison *c, const tare__term *term, int64_t seed,
                          gathered *out) {
    for (int64_t k = 0; k < c->cells; k++) {
        if (!matches(c, k, term)) { continue; }
        double one;
        bool failed;
        tare_status s = run_value(&c->cell[k].task[seed], term, &one, &failed);
        if (s != TARE_OK) { return s; }
        out->failed += failed;
        out->sum += failed ? claim->failed_as : one;
        out->n++;
    }
    return TARE_OK;
}

static tare_status contrast_value(const tare__claim *claim, tare__contrast *k, const tare__comparison *c, int64_t count,
                                  int64_t seed, double *value) {
    *value = 0;
    for (int i = 0; i < k->terms; i++) {
        const tare__term *term = &k->term[i];
        gathered found = { 0 };
        for (int at = 0; at < term->ins; at++) {
            if (term->in[at] < 0 || term->in[at] >= count) {
                return tare_fail(TARE_EFORMAT, "claim %lld: a term is in comparison %lld of %lld",
                                 (long long)claim->number, (long long)term->in[at], (long long)count);
            }
            tare_status s = gather(claim, &c[term->in[at]], term, seed, &found);
            if (s != TARE_OK) { return s; }
        }
        if (found.n == 0) {
            return tare_fail(TARE_EFORMAT, "claim %lld: a term of \"%s\" matches no point of its grid",
                             (long long)claim->number, k->name);
        }
        k->failed += found.failed;
        *value += term->weight * (found.sum / (double)found.n);
    }
    return TARE_OK;
}

/* ---- verdicts ------------------------------------------------------------------------------------------------------------ */

static tare__verdict judge(const tare__contrast *k) {
    const tare__summary *v = &k->value;
    bool sure = k->p < TARE__ALPHA;
    if (!isfinite(v->low)) { return TARE__UNDECIDED; }
    switch (k->expect) {
    case TARE__ABOVE:
        if (sure && v->mean > 0) { return TARE__HOLDS; }
        return (sure && v->mean < 0) || v->high < k->margin ? TARE__FAILS
                                                            : TARE__UNDECIDED; /* false where margin is NaN */
    case TARE__WITHIN:
        if (v->low > -k->margin && v->high < k->margin) { return TARE__HOLDS; }
        return v->low > k->margin || v->high < -k->margin ? TARE__FAILS : TARE__UNDECIDED;
    case TARE__AT_MOST: return v->high < k->margin ? TARE__HOLDS : v->low > k->margin ? TARE__FAILS : TARE__UNDECIDED;
    }
    return TARE__UNDECIDED;
}

void tare__contrast_judge(tare__contrast *k, const double *value, int64_t n) {
    k->value = tare__summarise(value, n, 1 - TARE__ALPHA);
    k->p = n > 0 ? tare__sign_flip(value, n, &k->exact) : (double)NAN;
    k->verdict = judge(k);
}

tare_status tare__claim_judge(tare__claim *claim, const tare__comparison *c, int64_t count) {
    int64_t seeds = c[0].seeds;
    for (int64_t i = 1; i < count; i++) { seeds = c[i].seeds < seeds ? c[i].seeds : seeds; }
    double *value = tare_malloc((size_t)seeds * sizeof *value);
    tare_status s = value ? TARE_OK : tare_fail(TARE_ENOMEM, "out of memory: a claim");
    claim->verdict = TARE__HOLDS;
    for (int i = 0; s == TARE_OK && i < claim->contrasts; i++) {
        tare__contrast *k = &claim->contrast[i];
        int64_t n = 0;
        k->failed = 0;
        for (int64_t seed = 0; s == TARE_OK && seed < seeds; seed++) {
            s = contrast_value(claim, k, c, count, seed, &value[n]);
            n += s == TARE_OK && isfinite(value[n]);
        }
        if (s != TARE_OK) { break; }
        tare__contrast_judge(k, value, n);
        if (k->also || k->verdict == TARE__HOLDS) { continue; }
        if (claim->verdict != TARE__FAILS) { claim->verdict = k->verdict; }
    }
    tare_free(value);
    return s;
}
