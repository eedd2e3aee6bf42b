/* apply.c - run one op and record it. */
#include "tape_impl.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- errors ------------------------------------------------------------------------------------------------------ */

tare_status tare_node_fail(tare_node *n, tare_status status, const char *format, ...) {
    char text[TARE__ERROR_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!n->layer) { return tare_fail(status, "%s: %s", n->op->name, text); }
    return tare_fail(status, "%s \"%s\": %s", n->op->name, n->layer, text);
}

/* ---- building a node --------------------------------------------------------------------------------------------- */

static tare_status check_inputs(tare_node *n, tare_tensor *const *in, int n_in) {
    const tare_op *op = n->op;
    int least = op->n_in < 0 ? 1 : op->n_in, most = op->n_in < 0 ? TARE_MAX_INPUTS : op->n_in;
    if (n_in < least || n_in > most) {
        if (least < most) { return tare_node_fail(n, TARE_EINVAL, "takes %d to %d inputs, not %d", least, most, n_in); }
        return tare_node_fail(n, TARE_EINVAL, "takes %d inputs, not %d", most, n_in);
    }
    for (int i = 0; i < n_in; i++) {
        if (!in[i]) {
            if (i >= n_in - op->n_optional) { continue; }
            return tare_node_fail(n, TARE_EINVAL, "input %d is NULL", i);
        }
        /* An alias still points at what its owner has given back. */
        if (!tare__owner(in[i])->data && in[i]->numel > 0) {
            return tare_node_fail(n, TARE_EINVAL, "input %d has no values: released, or used up by backward", i);
        }
    }
    return TARE_OK;
}

/* Node, input list and attributes lie in one record. */
static tare_node *node_new(tare_tape *t, const tare_op *op, tare_tensor *const *in, int n_in, const void *attr) {
    size_t list = (size_t)n_in * sizeof *in, attr_at = (sizeof(tare_node) + list + 15) / 16 * 16;
    char *record = tare__pool_alloc(&t->records, attr_at + op->attr_size);
    if (!record) { return NULL; }
    tare_node *n = (tare_node *)(void *)record;
    *n = (tare_node){ .op = op, .layer = t->layer, .n_in = n_in, .training = t->opt.training };
    n->in = (tare_tensor **)(void *)(record + sizeof *n);
    memcpy(n->in, in, list);
    if (op->attr_size) { n->attr = memcpy(record + attr_at, attr, op->attr_size); }
    for (int i = 0; i < n_in; i++) { n->grad = n->grad || (in[i] && in[i]->requires_grad && !t->opt.no_grad); }
    n->rng = tare_rng_split(t->step_rng, t->next);
    return n;
}

static bool tape_reserve(tare_tape *t) {
    if (t->length < t->room) { return true; }
    int64_t room = t->room ? 2 * t->room : 64;
    tare_node **larger = tare_malloc((size_t)room * sizeof *larger);
    if (!larger) { return false; }
    if (t->length) { memcpy(larger, t->node, (size_t)t->length * sizeof *larger); }
    tare_free(t->node);
    t->node = larger;
    t->room = room;
    return true;
}

/* The output, and memory for what the op saves. */
static tare_status make_output(tare_tape *t, tare_node *n) {
    int64_t numel = tare_shape_numel(n->shape);
    if (numel < 0) {
        tare_shape_buf buf;
        return tare_node_fail(n, TARE_ESHAPE, "the result %s is too large", tare_shape_text(n->shape, &buf));
    }
    tare_tensor *y = n->out = tare__tensor_new(t, n->shape, numel);
    if (!y) { return TARE_ENOMEM; }
    if (n->op->flags & TARE_OP_ALIAS) {
        y->data = n->in[0]->data;
        y->base = tare__owner(n->in[0]);
        y->base->handles++;
    } else {
        y->data = tare__value_alloc(t, tare__bytes(numel));
        if (!y->data) { return TARE_ENOMEM; }
    }
    if (n->grad && n->saved_bytes) {
        n->saved = tare__value_alloc(t, n->saved_bytes);
        if (!n->saved) { return TARE_ENOMEM; }
    }
    y->requires_grad = n->grad;
    t->made += tare__bytes(numel) + n->saved_bytes;
    return TARE_OK;
}

tare_status tare__run_forward(tare_tape *t, tare_node *n, bool again) {
    if (n->op->flags & TARE_OP_ALIAS) { return TARE_OK; }
    if (n->scratch_bytes) {
        n->scratch = tare__value_alloc(t, n->scratch_bytes);
        if (!n->scratch) { return TARE_ENOMEM; }
    }
    if (t->trace) { t->trace->begin(t->trace->context, n, again); }
    n->op->forward(n);
    if (t->trace) { t->trace->end(t->trace->context, n, again); }
    tare__value_free(t, n->scratch, n->scratch_bytes, n);
    n->scratch = NULL;
    return t->status;
}

/* Remember which values backward will want, so that tare_release can let the others go. */
static void mark_read(tare_node *n) {
    if (n->grad && !(n->op->flags & TARE_OP_ALIAS)) { tare__count_readers(n, 1); }
}

/* ---- looking for NaN and Inf ------------------------------------------------------------------------------------- */

static int64_t count_bad(const tare_tensor *x) {
    int64_t bad = 0;
    for (int64_t i = 0; i < x->numel; i++) { bad += !isfinite(x->data[i]); }
    return bad;
}

static void range_text(const tare_tensor *x, char *text, size_t size) {
    double low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < x->numel; i++) {
        low = fmin(low, (double)x->data[i]);
        high = fmax(high, (double)x->data[i]);
    }
    tare_shape_buf buf;
    snprintf(text, size, "%s%s%s in %.3g .. %.3g", x->name ? x->name : "", x->name ? " " : "",
             tare_shape_text(x->shape, &buf), low, high);
}

static tare_status check_inputs_finite(tare_node *n) {
    for (int i = 0; i < n->n_in; i++) {
        const tare_tensor *x = n->in[i];
        int64_t bad = x ? count_bad(x) : 0;
        if (!bad) { continue; }
        return tare_node_fail(n, TARE_ENONFINITE, "its input %s%sholds NaN or Inf in %" PRId64 " of %" PRId64 " values",
                              x->name ? x->name : "", x->name ? " " : "", bad, x->numel);
    }
    return TARE_OK;
}

/* Of its output, and of inputs that it writes: running statistics, which were finite before. */
static tare_status check_results_finite(tare_node *n) {
    const tare_tensor *made = n->out;
    int64_t bad = count_bad(made);
    for (int i = 0; !bad && i < n->n_in; i++) {
        if (!n->in[i]) { continue; }
        made = n->in[i];
        bad = count_bad(made);
    }
    if (!bad) { return TARE_OK; }
    char inputs[TARE__ERROR_SIZE / 2] = "";
    size_t used = 0;
    for (int i = 0; i < n->n_in && used + 96 < sizeof inputs; i++) {
        if (!n->in[i]) { continue; }
        char one[160];
        range_text(n->in[i], one, sizeof one);
        used += (size_t)snprintf(inputs + used, sizeof inputs - used, "%s%s", used ? ", " : "", one);
    }
    bool state = made != n->out;
    return tare_node_fail(n, TARE_ENONFINITE, "made NaN or Inf in %" PRId64 " of %" PRId64 " values%s%s from %s", bad,
                          made->numel, state ? " of " : "", state && made->name ? made->name : "", inputs);
}

/* ---- apply ------------------------------------------------------------------------------------------------------- */

static tare_status apply(tare_tape *t, tare_node *n) {
    const tare_op *op = n->op;
    if (n->grad && !op->backward && !(op->flags & TARE_OP_ALIAS)) {
        return tare_node_fail(n, TARE_ENOGRAD,
                              "has no backward, but a gradient through it is wanted; "
                              "use tare_detach on its inputs or a tape with no_grad");
    }
    tare_status status = op->check(n);
    if (!status) { status = make_output(t, n); }
    if (!status && t->check_finite) { status = check_inputs_finite(n); }
    if (!status) { status = tare__run_forward(t, n, false); }
    if (!status && t->check_finite) { status = check_results_finite(n); }
    if (!status && !tape_reserve(t)) { status = TARE_ENOMEM; }
    return status;
}

tare_tensor *tare_apply(tare_tape *t, const tare_op *op, tare_tensor *const *in, int n_in, const void *attr) {
    if (!t || t->status) { return NULL; }
    tare_node probe = { .op = op, .layer = t->layer };
    tare_status status = check_inputs(&probe, in, n_in);
    tare_node *n = status ? NULL : node_new(t, op, in, n_in, attr);
    if (!status) { status = n ? apply(t, n) : TARE_ENOMEM; }
    if (status) {
        tare__tape_fail_last(t, status);
        return NULL;
    }
    t->node[t->length++] = n;
    t->next += 1 + (uint64_t)n->besides;
    n->out->node = n;
    mark_read(n);
    return n->out;
}
