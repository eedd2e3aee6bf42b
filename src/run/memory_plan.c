/* memory_plan.c - --memory: where a step's memory goes. */
#include "profile.h"

#include <string.h>

#define MIB(bytes) ((double)(bytes) / 1048576.0)

static int64_t bytes_of_all(const tare_profile *p) {
    size_t sum = 0;
    for (int i = 0; i < p->tapes; i++) { sum += tare_tape_bytes(p->tape[i].tape); }
    return (int64_t)sum;
}

/* What has come or gone since the last event is the doing of the layer that ran last. */
static void settle(tare_profile *p, int64_t now) {
    if (p->plans > 0) { p->plan[p->current].keeps += now - p->in_use; }
    p->in_use = now;
}

/* What the tape has made for a node's forward: its result, what it saves, room to work in. */
static int64_t made_for(const tare_node *n) {
    size_t saved = n->saved ? n->saved_bytes : 0;
    return n->out->numel * (int64_t)sizeof(tare_real) + (int64_t)(saved + n->scratch_bytes);
}

static int row_of(tare_profile *p, const char *layer) {
    for (int i = 0; i < p->plans; i++) {
        if (strcmp(p->plan[i].layer, layer) == 0) { return i; }
    }
    int i = p->plans < PLAN_ROWS - 1 ? p->plans++ : PLAN_ROWS - 1;
    p->plan[i] = (tare__plan_row){ layer, 0, -1 };
    return i;
}

void tare__plan_begin(tare__profile_tape *from, const tare_node *n, bool backward) {
    tare_profile *p = from->profile;
    if (backward) { return; }
    int64_t before = bytes_of_all(p) - made_for(n);
    if (from->step == tare_tape_step(from->tape)) {
        settle(p, before);
    } else { /* the tape begins anew: what the reset took away was no layer's doing */
        from->step = tare_tape_step(from->tape);
        p->in_use = before;
    }
}

void tare__plan_end(tare__profile_tape *from, const tare_node *n, bool backward) {
    tare_profile *p = from->profile;
    int64_t now = bytes_of_all(p);
    if (now > p->peak_bytes) {
        p->peak_bytes = now;
        p->peak_backward = backward;
        p->peak_op = n->op->name;
        p->peak_layer = n->layer;
    }
    int row = row_of(p, n->layer ? n->layer : "(loss)");
    if (backward) {
        p->plan[row].after = now;
        return;
    }
    p->current = row;
    settle(p, now - (int64_t)n->scratch_bytes);
}

void tare__plan_print(tare_profile *p) {
    double values = 0, states = 0;
    for (int i = 0; i < p->optims; i++) {
        const tare_optim *o = p->optim[i].optim;
        double bytes = (double)tare_params_flat_size(tare_optim_params(o)) * sizeof(tare_real);
        values += bytes;
        states += bytes * tare_optim_slots(o);
    }
    tare__profile_line(p, "\nmemory of a step, in MiB\n%-44s %12s %18s\n", "layer", "it keeps", "left by backward");
    for (int i = 0; i < p->plans; i++) {
        const tare__plan_row *r = &p->plan[i];
        char after[24] = "";
        if (r->after >= 0) { snprintf(after, sizeof after, "%.2f", MIB(r->after)); }
        tare__profile_line(p, "%-44.44s %12.2f %18s\n", r->layer, MIB(r->keeps), after);
    }
    tare__profile_line(
        p,
        "most at once: %.2f MiB, %s of %s%s%s\nparameters %.2f, gradients %.2f, optimizer %.2f: with the "
        "step %.2f MiB\n",
        MIB(p->peak_bytes), p->peak_backward ? "backward" : "forward", p->peak_op, p->peak_layer ? " in " : "",
        p->peak_layer ? p->peak_layer : "", MIB(values), MIB(values), MIB(states),
        MIB(2 * values + states + (double)p->peak_bytes));
}
