/* gradcheck_compare.c - what a gradient check compares: backward with differences, and runs with one another. */
#include "gradcheck.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Two ways to the same gradient in this precision: sums in another order differ by no more than this. */
#ifdef TARE_F64
static const double same_rtol = 1e-10;
static const char precision_note[] = "";
#else
static const double same_rtol = 1e-4;
static const char precision_note[] = " (in float: only gross errors show)";
#endif

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

static bool same_bits(const tare_real *a, const tare_real *b, int64_t n) {
    return memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

static double root_mean_square(const tare_real *x, int64_t n, double mean) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) { sum += ((double)x[i] - mean) * ((double)x[i] - mean); }
    return sqrt(sum / (double)n);
}

/* The size of a step along x: a part of how far its values lie apart, or of how large they are where they are all alike. */
static double step_size(const tare__check *c, const tare_real *x, int64_t n) {
    double mean = 0;
    for (int64_t i = 0; i < n; i++) { mean += (double)x[i] / (double)n; }
    double spread = root_mean_square(x, n, mean), size = root_mean_square(x, n, 0);
    return c->opt.step * (spread > 1e-3 * size ? spread : size > 0 ? size : 1);
}

/* ---- analytic against numeric ------------------------------------------------------------------------------------ */

typedef struct difference {
    int64_t element;
    double analytic, numeric, noise;
} difference;

/* d sum(dy * y) / d value[element], by the sum of differences rather than the difference of sums: what does not move
 * cancels exactly. The noise is what the rounding of y may contribute. */
static tare_status difference_at(tare__check *c, int set, tare__slot *slot, double step, difference *d) {
    tare_real *at = &slot->value[set][d->element], value = *at;
    tare_real plus = (tare_real)((double)value + step), minus = (tare_real)((double)value - step);
    *at = plus;
    tare_status status = tare__check_forward(c, set, c->y_plus);
    *at = minus;
    if (!status) { status = tare__check_forward(c, set, c->y); }
    *at = value;
    double sum = 0, noise = 0;
    for (int64_t i = 0; i < c->n_out && !status; i++) {
        double up = (double)c->y_plus[i], down = (double)c->y[i], dy = (double)c->dy[i];
        sum += dy * (up - down);
        if (up != down) { noise += fabs(dy) * (fabs(up) + fabs(down)); }
    }
    double width = (double)plus - (double)minus;
    d->numeric = sum / width;
    d->noise = 8 * TARE__EPS * noise / width;
    return status;
}

/* Is the gradient as a whole a multiple of the right one? Then the message says so: most slips are a sign or a factor. */
static void describe_ratio(const difference *d, int64_t n, char *text, size_t size) {
    double an = 0, nn = 0, rest = 0;
    for (int64_t i = 0; i < n; i++) {
        an += d[i].analytic * d[i].numeric;
        nn += d[i].numeric * d[i].numeric;
    }
    double ratio = nn > 0 ? an / nn : 0;
    for (int64_t i = 0; i < n; i++) { rest = fmax(rest, fabs(d[i].analytic - ratio * d[i].numeric)); }
    bool multiple = n > 1 && rest <= 1e-3 * fabs(ratio) * sqrt(nn / (double)n) && fabs(ratio - 1) > 1e-3;
    text[0] = 0;
    if (multiple) { snprintf(text, size, "; everywhere it is %.4g times the right one", ratio); }
}

/* All differences of one slot together. */
typedef struct overview {
    double largest;   /* of the analytic ones */
    double root_mean; /* square, of the numeric ones: the scale of errors */
    bool moves;       /* does any differ from 0 by more than noise? */
} overview;

static overview look_over(const difference *d, int64_t n) {
    overview o = { 0 };
    double square = 0;
    for (int64_t i = 0; i < n; i++) {
        square += d[i].numeric * d[i].numeric / (double)n;
        o.largest = fmax(o.largest, fabs(d[i].analytic));
        o.moves = o.moves || fabs(d[i].numeric) > d[i].noise;
    }
    o.root_mean = sqrt(square);
    return o;
}

/* A gradient that is zero throughout, or that the case says must be. TARE_OK: so it is to be, or it is not zero at all. */
static tare_status judge_zero(tare__check *c, int s, overview o) {
    bool flat = !o.moves && o.largest <= c->opt.rtol;
    tare__slot_name name;
    tare__slot_text(c, s, &name);
    if (c->opt.zero && !flat) {
        return tare__check_fail(c, TARE_CHECK_WRONG,
                                "that of %s is to be zero, but backward says up to %.3g, differences %.3g", name.text,
                                o.largest, o.root_mean);
    }
    if (flat && !c->opt.zero) {
        return tare__check_fail(c, TARE_CHECK_ZERO,
                                "the output does not depend on %s, so this proves nothing: choose other values, or set "
                                ".zero where it must be so",
                                name.text);
    }
    if (o.largest == 0 && !c->opt.zero) {
        return tare__check_fail(c, TARE_CHECK_ZERO, "backward leaves that of %s zero, differences give up to %.3g",
                                name.text, o.root_mean);
    }
    return TARE_OK;
}

static tare_status fail_element(tare__check *c, int set, int s, const difference *d, int64_t n, int64_t i, double off) {
    tare__slot_name name;
    tare_shape_buf shape;
    char ratio[96];
    tare__slot_text(c, s, &name);
    describe_ratio(d, n, ratio, sizeof ratio);
    return tare__check_fail(
        c, set == 0 ? TARE_CHECK_WRONG : TARE_CHECK_STALE,
        "%s%s, element %lld of %s: backward says %.9g, differences say %.9g, off by %.3g of it where "
        "%.1g is allowed%s%s",
        set == 0 ? "" : "right for a first input, not for the next through the same tape: ", name.text,
        (long long)d[i].element, tare_shape_text(c->slot[s].shape, &shape), d[i].analytic, d[i].numeric, off,
        c->opt.rtol, ratio, precision_note);
}

/* Look at the differences of one slot: the first that is too large fails. */
static tare_status judge(tare__check *c, int set, int s, const difference *d, int64_t n) {
    tare_gradcheck_report *r = c->report;
    overview o = look_over(d, n);
    tare_status status = judge_zero(c, s, o);
    if (status) { return status; }
    if (c->opt.zero) {
        r->compared += n;
        return TARE_OK;
    }
    for (int64_t i = 0; i < n; i++) {
        double error = fabs(d[i].analytic - d[i].numeric), unit = fabs(d[i].numeric) + o.root_mean;
        double allowed = c->opt.rtol * unit + d[i].noise, relative = c->opt.rtol * error / allowed;
        bool right = isfinite(unit) && error <= allowed; /* NaN is not */
        r->compared++;
        if (right && relative <= r->worst) { continue; }
        r->worst = relative;
        r->input = s;
        r->element = d[i].element;
        r->analytic = d[i].analytic;
        r->numeric = d[i].numeric;
        if (!right) { return fail_element(c, set, s, d, n, i, error / unit); }
    }
    return TARE_OK;
}

static tare_status compare_slot(tare__check *c, int set, int s, tare_rng *rng) {
    tare__slot *slot = &c->slot[s];
    int64_t n = slot->numel < c->opt.elements ? slot->numel : c->opt.elements;
    difference *d = tare_calloc((size_t)n, sizeof *d);
    if (!d) { return TARE_ENOMEM; }
    double step = step_size(c, slot->value[set], slot->numel);
    tare_status status = TARE_OK;
    for (int64_t i = 0; i < n && !status; i++) {
        d[i].element = n == slot->numel ? i : (int64_t)tare_rng_below(rng, (uint64_t)slot->numel);
        d[i].analytic = (double)slot->first[set][d[i].element];
        status = difference_at(c, set, slot, step, &d[i]);
    }
    if (!status) { status = judge(c, set, s, d, n); }
    tare_free(d);
    return status;
}

static tare_status compare_differences(tare__check *c, int set) {
    tare_rng rng = tare_rng_split_name(tare_rng_new(c->opt.seed, "gradcheck elements"), c->name);
    tare_status status = TARE_OK;
    for (int s = 0; s < c->slots && !status && !c->opt.bits; s++) {
        if (c->slot[s].wants) { status = compare_slot(c, set, s, &rng); }
    }
    return status;
}

/* ---- runs against one another ------------------------------------------------------------------------------------ */

static uint64_t all_wanted(const tare__check *c) {
    uint64_t all = 0;
    for (int s = 0; s < c->slots; s++) { all |= (uint64_t)c->slot[s].wants << s; }
    return all;
}

static tare_status check_finite(tare__check *c, const tare_real *x, int64_t n, const char *what) {
    for (int64_t i = 0; i < n; i++) {
        if (isfinite((double)x[i])) { continue; }
        return tare__check_fail(c, TARE_CHECK_NONFINITE, "%s, element %lld, is %g", what, (long long)i, (double)x[i]);
    }
    return TARE_OK;
}

static tare_status first_run(tare__check *c, int set) {
    tare_status status = tare__check_run(c, (tare__run){ set, all_wanted(c), MODE_FRESH });
    if (status) { return status; }
    status = check_finite(c, c->y, c->n_out, "the output");
    memcpy(c->y_first[set], c->y, (size_t)c->n_out * sizeof *c->y);
    for (int s = 0; s < c->slots && !status; s++) {
        tare__slot *slot = &c->slot[s];
        tare__slot_name name;
        if (!slot->wants) { continue; }
        char what[sizeof name.text + 32];
        snprintf(what, sizeof what, "the gradient of %s", tare__slot_text(c, s, &name));
        status = check_finite(c, slot->grad, slot->numel, what);
        memcpy(slot->first[set], slot->grad, (size_t)slot->numel * sizeof *slot->grad);
    }
    return status;
}

/* The first input once more: the same bits as at first, whatever came between and however many threads. */
static tare_status same_again(tare__check *c, tare_check verdict, const char *when) {
    tare_status status = tare__check_run(c, (tare__run){ 0, all_wanted(c), MODE_FRESH });
    if (status) { return status; }
    if (!same_bits(c->y, c->y_first[0], c->n_out)) {
        return tare__check_fail(c, verdict, "the output has other bits %s", when);
    }
    for (int s = 0; s < c->slots; s++) {
        tare__slot_name name;
        const tare__slot *slot = &c->slot[s];
        if (!slot->wants || same_bits(slot->grad, slot->first[0], slot->numel)) { continue; }
        return tare__check_fail(c, verdict, "the gradient of %s has other bits %s", tare__slot_text(c, s, &name), when);
    }
    return TARE_OK;
}

static tare_status check_threads(tare__check *c) {
    static const char *const when[] = { "with 1 thread", "with 2 threads than with 1", "with 3 threads than with 1" };
    tare_status status = TARE_OK;
    for (int threads = 2; threads <= 3 && !status; threads++) {
        tare_threads_set(threads);
        status = same_again(c, TARE_CHECK_THREADS, when[threads - 1]);
    }
    tare_threads_set(1);
    return status;
}

static void wanted_text(const tare__check *c, uint64_t wanted, char *text, size_t size) {
    size_t used = 0;
    tare__slot_name name;
    for (int s = 0; s < c->slots && used + sizeof name.text < size; s++) {
        if (!(wanted >> s & 1)) { continue; }
        used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "", tare__slot_text(c, s, &name));
    }
}

/* Gradients of a subset must be those of the first run, added to what was there in an adding one. */
static tare_status check_subset(tare__check *c, uint64_t wanted, tare__mode mode) {
    tare_status status = tare__check_run(c, (tare__run){ 0, wanted, mode });
    if (status) { return status; }
    char set[400] = "nothing";
    wanted_text(c, wanted, set, sizeof set);
    if (!same_bits(c->y, c->y_first[0], c->n_out)) {
        return tare__check_fail(c, TARE_CHECK_REPEAT, "the output has other bits where the gradient of %s is wanted",
                                set);
    }
    for (int s = 0; s < c->slots; s++) {
        const tare__slot *slot = &c->slot[s];
        if (!(wanted >> s & 1)) { continue; }
        double scale = root_mean_square(slot->first[0], slot->numel, 0);
        for (int64_t i = 0; i < slot->numel; i++) {
            double was = mode == MODE_ADD ? (double)slot->held[i] : 0, share = (double)slot->first[0][i];
            double got = (double)slot->grad[i];
            if (fabs(got - (was + share)) <= same_rtol * (fabs(was) + fabs(share) + scale)) { continue; }
            tare__slot_name name;
            tare__slot_text(c, s, &name);
            if (mode == MODE_FRESH) {
                return tare__check_fail(c, TARE_CHECK_SUBSET,
                                        "that of %s, element %lld, is %.9g where only that of %s is "
                                        "wanted, %.9g where all are",
                                        name.text, (long long)i, got, set, share);
            }
            return tare__check_fail(c, TARE_CHECK_NOT_ADDED,
                                    "that of %s, element %lld, was %.9g before and %.9g after, "
                                    "where %.9g was to be added",
                                    name.text, (long long)i, was, got, share);
        }
    }
    c->report->subsets += mode == MODE_FRESH;
    return TARE_OK;
}

/* The index-th subset to try, of the `n` things in `all`: every one up to five things, else none, all, each, all but each. */
static bool subset_at(uint64_t all, int index, uint64_t *subset) {
    uint64_t bit[CHECK_SLOTS];
    int n = 0;
    for (int s = 0; s < CHECK_SLOTS; s++) {
        if (all >> s & 1) { bit[n++] = (uint64_t)1 << s; }
    }
    *subset = 0;
    if (n <= 5) {
        for (int k = 0; k < n; k++) { *subset |= index >> k & 1 ? bit[k] : 0; }
        return index < 1 << n;
    }
    if (index == 1) { *subset = all; }
    if (index >= 2 && index < 2 + n) { *subset = bit[index - 2]; }
    if (index >= 2 + n && index < 2 + 2 * n) { *subset = all & ~bit[index - 2 - n]; }
    return index < 2 + 2 * n;
}

static tare_status check_subsets(tare__check *c) {
    tare_status status = TARE_OK;
    uint64_t subset;
    for (int i = 0; subset_at(all_wanted(c), i, &subset) && !status; i++) {
        status = check_subset(c, subset, MODE_FRESH);
        if (!status && subset) { status = check_subset(c, subset, MODE_ADD); }
    }
    return status;
}

tare_status tare__check_everything(tare__check *c) {
    tare_status status = first_run(c, 0);
    if (!status) { status = first_run(c, 1); }
    if (!status) { status = compare_differences(c, 0); }
    if (!status) { status = compare_differences(c, 1); }
    if (!status) { status = same_again(c, TARE_CHECK_REPEAT, "when it comes again, after another input"); }
    if (!status) { status = check_subsets(c); }
    return status ? status : check_threads(c);
}
