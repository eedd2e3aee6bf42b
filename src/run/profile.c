/* profile.c - --profile: where the time of a step goes; --memory: what a step keeps, layer by layer. */
#include "profile.h"

#include <stdarg.h>
#include <string.h>

enum { WARM_UP = 3, LINE = 96 };

/* ---- the clock --------------------------------------------------------------------------------------------------- */

/* What has passed since the last event belongs to what was going on. */
static void tick(tare_profile *p) {
    double now = tare_clock();
    int top = p->depth < PROFILE_DEPTH ? p->depth : PROFILE_DEPTH - 1;
    if (p->timing) { *p->place[top] += now - p->last; }
    p->last = now;
}

static tare__profile_row *row_of(tare_profile *p, const tare_op *op) {
    for (int i = 0; i < p->rows; i++) {
        if (p->row[i].op == op) { return &p->row[i]; }
    }
    tare__profile_row *r = &p->row[p->rows < PROFILE_ROWS - 1 ? p->rows++ : PROFILE_ROWS - 1];
    r->op = op;
    return r;
}

static void count(tare_profile *p, tare__profile_row *r, const tare_node *n, bool backward) {
    tare_cost c = tare_node_cost(n, backward);
    double arithmetic = c.flops / p->peak.flops, traffic = c.bytes / tare_peak_copy(&p->peak, c.bytes);
    r->calls += !backward;
    r->flops += c.flops;
    r->bytes += c.bytes;
    r->least += arithmetic > traffic ? arithmetic : traffic;
}

static void begin(void *context, const tare_node *n, bool backward) {
    tare__profile_tape *from = context;
    tare_profile *p = from->profile;
    if (p->planning) { tare__plan_begin(from, n, backward); }
    if (!p->timing) { return; }
    tick(p);
    /* Recomputed stretches lie within each other, a few at most; deeper ones count for the last that has room. */
    if (p->depth + 1 < PROFILE_DEPTH) { p->place[p->depth + 1] = &row_of(p, n->op)->seconds[backward]; }
    p->depth++;
}

static void end(void *context, const tare_node *n, bool backward) {
    tare__profile_tape *from = context;
    tare_profile *p = from->profile;
    if (p->planning) { tare__plan_end(from, n, backward); }
    if (!p->timing || p->depth == 0) { return; }
    tick(p);
    p->depth--;
    count(p, row_of(p, n->op), n, backward);
}

void tare_profile_enter(tare_profile *p, tare_profile_part part) {
    if (!p || !p->timing) { return; }
    tick(p);
    p->place[0] = &p->part[part];
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

void tare__profile_line(tare_profile *p, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (p->used < p->room) { vsnprintf(p->text + p->used, p->room - p->used, format, args); }
    va_end(args);
    p->used += strlen(p->text + p->used);
}

static double row_seconds(const tare__profile_row *r) { return r->seconds[0] + r->seconds[1]; }

static int by_time(const void *a, const void *b) {
    double x = row_seconds(a), y = row_seconds(b);
    return (x < y) - (x > y);
}

static void print_row(tare_profile *p, const tare__profile_row *r, double total) {
    double steps = (double)p->steps, s = row_seconds(r);
    char flops[16] = "";
    if (r->flops > 0) { snprintf(flops, sizeof flops, "%.0f", 1e-9 * r->flops / s); }
    tare__profile_line(p, "%-20.20s %6.0f %9.3f %9.3f %6.1f %8s %7.1f %6.0f%%\n", r->op->name, (double)r->calls / steps,
                       1e3 * r->seconds[0] / steps, 1e3 * r->seconds[1] / steps, 100 * s / total, flops,
                       1e-9 * r->bytes / s, 100 * r->least / s);
}

/* An optimizer reads values, gradients and state, and writes values and state. */
static double optimizer_least(const tare_profile *p) {
    double seconds = 0;
    for (int i = 0; i < p->optims; i++) {
        const tare_optim *o = p->optim[i].optim;
        double bytes =
            (double)tare_params_flat_size(tare_optim_params(o)) * (3 + 2 * tare_optim_slots(o)) * sizeof(tare_real);
        seconds += bytes / tare_peak_copy(&p->peak, bytes) * (double)(tare_optim_steps(o) - p->optim[i].before);
    }
    return seconds;
}

static void print_parts(tare_profile *p, double total) {
    static const char *const names[] = { "(tape)", "(data)", "(optimizer)", "(the rest)" };
    for (int i = 0; i < PROFILE_PARTS; i++) {
        double s = p->part[i];
        char roof[16] = "";
        if (i == TARE_PROFILE_OPTIMIZER && s > 0) {
            snprintf(roof, sizeof roof, "%.0f%%", 100 * optimizer_least(p) / s);
        }
        tare__profile_line(p, "%-20s %6s %9.3f %9s %6.1f %8s %7s %7s\n", names[i], "", 1e3 * s / (double)p->steps, "",
                           100 * s / total, "", "", roof);
    }
}

static void print_profile(tare_profile *p) {
    double total = 0;
    for (int i = 0; i < p->rows; i++) { total += row_seconds(&p->row[i]); }
    for (int i = 0; i < PROFILE_PARTS; i++) { total += p->part[i]; }
    qsort(p->row, (size_t)p->rows, sizeof *p->row, by_time);
    tare__profile_line(p, "\na step takes %.3f ms (%lld steps on %d threads)\n", 1e3 * total / (double)p->steps,
                       (long long)p->steps, p->peak.threads);
    tare__profile_line(p, "%-20s %6s %9s %9s %6s %8s %7s %7s\n", "op", "calls", "forward", "backward", "%", "GFLOP/s",
                       "GB/s", "of roof");
    for (int i = 0; i < p->rows; i++) {
        if (row_seconds(&p->row[i]) > 0) { print_row(p, &p->row[i], total); }
    }
    print_parts(p, total);
    tare__profile_line(
        p,
        "times in ms a step. The roof: %.0f GFLOP/s of multiply-adds, copies of %.0f, %.0f and %.0f GB/s "
        "in\na core's cache, in the shared one and in memory, whichever holds an op's data\n",
        1e-9 * p->peak.flops, 1e-9 * p->peak.copy_near, 1e-9 * p->peak.copy_middle, 1e-9 * p->peak.copy_far);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void attach(tare_profile *p, bool on) {
    for (int i = 0; i < p->tapes; i++) { tare_tape_trace_set(p->tape[i].tape, on ? &p->tape[i].trace : NULL); }
    for (int i = 0; i < p->optims; i++) { p->optim[i].before = tare_optim_steps(p->optim[i].optim); }
}

tare_profile *tare_profile_new(const tare_profile_opt *opt, tare_tape *tape, const tare_optim *optim) {
    tare_profile *p = tare_calloc(1, sizeof *p);
    if (!p) { return NULL; }
    p->steps = opt->profile;
    p->memory = opt->memory;
    p->place[0] = &p->part[TARE_PROFILE_REST];
    p->room = (PROFILE_ROWS + PLAN_ROWS + 24) * LINE;
    if ((p->steps || p->memory) && !(p->text = tare_malloc(p->room))) {
        tare_free(p);
        return NULL;
    }
    (void)tare_profile_also(p, tape, optim); /* the first find room */
    return p;
}

tare_status tare_profile_also(tare_profile *p, tare_tape *tape, const tare_optim *optim) {
    if (p->tapes + !!tape > PROFILE_PLAYERS || p->optims + !!optim > PROFILE_PLAYERS) {
        return tare_fail(TARE_EINVAL, "profile: at most %d tapes and as many optimizers", PROFILE_PLAYERS);
    }
    if (tape) {
        tare__profile_tape *t = &p->tape[p->tapes++];
        *t = (tare__profile_tape){ .profile = p, .tape = tape, .trace = { begin, end, t }, .step = UINT64_MAX };
    }
    if (optim) { p->optim[p->optims++] = (tare__profile_optim){ .optim = optim }; }
    return TARE_OK;
}

void tare_profile_free(tare_profile *p) {
    if (!p) { return; }
    tare_free(p->text);
    tare_free(p);
}

/* Step 1 makes memory; step 2 is as all others: that one is planned. Times begin when all is warm. */
const char *tare_profile_step(tare_profile *p) {
    if (!p->steps && !p->memory) { return NULL; }
    int64_t done = ++p->done;
    p->used = 0;
    p->text[0] = '\0';
    if (p->memory && done == 1) {
        p->planning = true;
        attach(p, true);
    } else if (p->planning) {
        p->planning = false;
        attach(p, false);
        tare__plan_print(p);
    }
    if (p->steps && done == WARM_UP) {
        if (tare_peak_measure(&p->peak, 0.4) != TARE_OK) { return NULL; }
        attach(p, p->timing = true);
        p->last = tare_clock();
    } else if (p->steps && done == WARM_UP + p->steps) {
        tick(p);
        p->timing = false;
        print_profile(p);
        attach(p, false);
    }
    return p->used ? p->text : NULL;
}
