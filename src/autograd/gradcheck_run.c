/* gradcheck_run.c - one run of the graph under check: known inputs in, output and gradients out, everything else watched. */
#include "gradcheck.h"
#include "tape_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- what is said ------------------------------------------------------------------------------------------------ */

const char *tare_check_text(tare_check check) {
    switch (check) {
#define TARE_CHECK_TEXT(name, text)                                                                                    \
    case name: return text;
        TARE_CHECK_MAP(TARE_CHECK_TEXT)
#undef TARE_CHECK_TEXT
    }
    return "unknown";
}

tare_status tare__check_fail(tare__check *c, tare_check check, const char *format, ...) {
    char text[sizeof c->report->message];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    c->report->check = check;
    tare_fail(TARE_EINVAL, "%s: %s: %s", c->name, tare_check_text(check), text);
    snprintf(c->report->message, sizeof c->report->message, "%s", tare_error());
    return TARE_EINVAL;
}

/* The graph, or memory, has failed: hand its own status and words on. */
static tare_status cannot_run(tare__check *c, tare_status status, const char *why) {
    tare__check_fail(c, TARE_CHECK_ERROR, "%s", why);
    return status;
}

const char *tare__slot_text(const tare__check *c, int s, tare__slot_name *buffer) {
    if (s < c->inputs) {
        snprintf(buffer->text, sizeof buffer->text, "input %d", s);
    } else {
        snprintf(buffer->text, sizeof buffer->text, "parameter %s", c->slot[s].param->name);
    }
    return buffer->text;
}

/* ---- before the graph -------------------------------------------------------------------------------------------- */

static bool is_wanted(tare__run run, int s) { return (run.wanted >> s & 1) != 0; }

static void load_param(const tare__slot *slot, tare__run run, bool wanted) {
    tare_tensor *p = slot->param;
    memcpy(p->data, slot->value[run.set], tare__bytes(slot->numel));
    p->requires_grad = wanted;
    p->grad_fresh = run.mode == MODE_FRESH;
    if (run.mode == MODE_ADD) {
        memcpy(p->grad, slot->held, tare__bytes(slot->numel));
    } else {
        memset(p->grad, 0xFF, tare__bytes(slot->numel)); /* NaN: void */
    }
}

static tare_status start(tare__check *c, tare__run run, tare_tensor **in) {
    tare_tape_reset(c->tape);
    tare_tape_step_set(c->tape, 0); /* dropout draws the same numbers in every run */
    if (c->buffers) {
        size_t size = tare__bytes(tare_params_buffer_flat_size(c->opt.params));
        memcpy(tare_params_buffer_flat(c->opt.params), c->buffers, size);
    }
    for (int s = 0; s < c->slots; s++) {
        tare__slot *slot = &c->slot[s];
        if (slot->absent) {
            in[s] = NULL;
        } else if (slot->own && run.mode == MODE_FRESH) {
            in[s] = tare_input(c->tape, slot->shape, slot->value[run.set]);
            if (in[s]) { in[s]->requires_grad = is_wanted(run, s); }
        } else {
            load_param(slot, run, is_wanted(run, s));
            in[s] = slot->param;
        }
    }
    tare_status status = tare_tape_status(c->tape);
    return status ? cannot_run(c, status, tare_tape_error(c->tape)) : TARE_OK;
}

/* ---- after it ---------------------------------------------------------------------------------------------------- */

static tare_status look_at_tape(tare__check *c) {
    tare_status status = tare_tape_guard(c->tape);
    if (c->tape->overrun) { return tare__check_fail(c, TARE_CHECK_OVERRUN, "%s", tare_tape_error(c->tape)); }
    return status ? cannot_run(c, status, tare_tape_error(c->tape)) : TARE_OK;
}

/* The padding behind each parameter and its gradient is zero, as long as nobody writes there. */
static tare_status look_at_padding(tare__check *c, const tare_params *ps) {
    int count = ps ? tare_params_count(ps) : 0;
    for (int i = 0; i < count; i++) {
        int64_t from = tare_params_offset(ps, i) + tare_params_at(ps, i)->numel;
        int64_t to = i + 1 < count ? tare_params_offset(ps, i + 1) : tare_params_flat_size(ps);
        for (int64_t k = from; k < to; k++) {
            if (tare_params_flat(ps)[k] == 0 && tare_params_flat_grad(ps)[k] == 0) { continue; }
            return tare__check_fail(c, TARE_CHECK_OVERRUN, "%s %d, %lld values past its end",
                                    ps == c->own ? "input" : "parameter", i, (long long)(k - from));
        }
    }
    return TARE_OK;
}

static tare_status look_at_inputs(tare__check *c, tare__run run, tare_tensor **in, const char *when) {
    tare__slot_name name;
    for (int s = 0; s < c->slots; s++) {
        const tare__slot *slot = &c->slot[s];
        if (slot->absent || memcmp(in[s]->data, slot->value[run.set], tare__bytes(slot->numel)) == 0) { continue; }
        return tare__check_fail(c, TARE_CHECK_INPUT, "%s is not what it was before %s", tare__slot_text(c, s, &name),
                                when);
    }
    return TARE_OK;
}

static tare_status collect_gradients(tare__check *c, tare__run run, tare_tensor **in) {
    tare__slot_name name;
    for (int s = 0; s < c->slots; s++) {
        tare__slot *slot = &c->slot[s];
        if (slot->absent) { continue; }
        size_t size = tare__bytes(slot->numel);
        if (is_wanted(run, s)) {
            bool arrived = in[s]->grad && !in[s]->grad_fresh;
            if (arrived) {
                memcpy(slot->grad, in[s]->grad, size);
            } else {
                memset(slot->grad, 0, size);
            }
            continue;
        }
        bool untouched =
            run.mode == MODE_FRESH ? (!in[s]->grad || in[s]->grad_fresh) : memcmp(in[s]->grad, slot->held, size) == 0;
        if (!untouched) {
            return tare__check_fail(c, TARE_CHECK_UNWANTED, "that of %s, which needs none, was written",
                                    tare__slot_text(c, s, &name));
        }
    }
    return TARE_OK;
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

static tare_status take_output(tare__check *c, const tare_tensor *y) {
    if (c->n_out == 0) {
        c->n_out = y->numel;
        c->y = tare__check_array(c, y->numel);
        c->y_plus = tare__check_array(c, y->numel);
        c->y_first[0] = tare__check_array(c, y->numel);
        c->y_first[1] = tare__check_array(c, y->numel);
        c->dy = tare__check_array(c, y->numel);
        if (!c->y || !c->y_plus || !c->y_first[0] || !c->y_first[1] || !c->dy) {
            return cannot_run(c, TARE_ENOMEM, tare_error());
        }
        tare_rng rng = tare_rng_split_name(tare_rng_new(c->opt.seed, "gradcheck upstream"), c->name);
        tare_fill_values(&rng, (tare_fill){ TARE_FILL_NORMAL, 0, 1 }, c->dy, y->numel);
    }
    if (y->numel != c->n_out) {
        return tare__check_fail(c, TARE_CHECK_REPEAT, "the output has %lld values, a run before it had %lld",
                                (long long)y->numel, (long long)c->n_out);
    }
    memcpy(c->y, y->data, tare__bytes(y->numel));
    return TARE_OK;
}

static tare_status forward(tare__check *c, tare__run run, tare_tensor **in, tare_tensor **out) {
    tare_status status = start(c, run, in);
    if (status) { return status; }
    tare_tensor *y = *out = c->graph(c->tape, in, c->user);
    status = look_at_tape(c);
    if (status) { return status; }
    if (!y) { return cannot_run(c, TARE_EINVAL, "it returned NULL, but left no error on the tape"); }
    if (y->numel == 0) { return cannot_run(c, TARE_ESHAPE, "its output is empty"); }
    status = take_output(c, y);
    return status ? status : look_at_inputs(c, run, in, "forward");
}

tare_status tare__check_run(tare__check *c, tare__run run) {
    tare_tensor *in[CHECK_SLOTS], *y;
    tare_status status = forward(c, run, in, &y);
    if (!status && run.wanted) {
        status = tare_backward_from(c->tape, y, c->dy);
        if (status && !c->tape->overrun) { return cannot_run(c, status, tare_error()); }
        status = look_at_tape(c);
    }
    if (!status) { status = look_at_inputs(c, run, in, "backward"); }
    if (!status) { status = look_at_padding(c, c->own); }
    if (!status) { status = look_at_padding(c, c->opt.params); }
    return status ? status : collect_gradients(c, run, in);
}

tare_status tare__check_forward(tare__check *c, int set, tare_real *to) {
    tare_tensor *in[CHECK_SLOTS], *y;
    tare_status status = forward(c, (tare__run){ .set = set }, in, &y);
    if (!status) { memcpy(to, c->y, tare__bytes(c->n_out)); }
    return status;
}
