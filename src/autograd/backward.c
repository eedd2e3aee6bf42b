/* backward.c - one reverse loop over the tape. */
#include "tape_impl.h"

#include <string.h>

tare_real *tare_grad(const tare_node *n, int i) {
    const tare_tensor *x = n->in[i];
    return x && x->requires_grad ? x->grad : NULL;
}

bool tare_grad_add(const tare_node *n, int i) { return !n->in[i]->grad_fresh; }

/* ---- gradients of a node's inputs -------------------------------------------------------------------------------- */

static tare_status used_up(tare_node *n) {
    return tare_node_fail(n, TARE_EINVAL,
                          "its input has been through backward already: call backward once per step, on the sum of the "
                          "losses");
}

static tare_status open_gradient(tare_tape *t, tare_node *n, tare_tensor *x) {
    if (x->grad) { return TARE_OK; }
    if (x->node && x->node->done) { return used_up(n); }
    x->grad = tare__value_alloc(t, tare__bytes(x->numel));
    x->grad_fresh = true;
    return x->grad ? TARE_OK : TARE_ENOMEM;
}

static bool appears_twice(const tare_node *n, int i) {
    for (int k = 0; k < n->n_in; k++) {
        if (k != i && n->in[k] == n->in[i]) { return true; }
    }
    return false;
}

static tare_status open_gradients(tare_tape *t, tare_node *n) {
    for (int i = 0; i < n->n_in; i++) {
        tare_tensor *x = n->in[i];
        if (!x || !x->requires_grad) { continue; }
        tare_status status = open_gradient(t, n, x);
        if (status) { return status; }
        /* Ops that only ever add get zeros to add to; so does an input that is there twice, since both shares add up. */
        if (x->grad_fresh && (!(n->op->flags & TARE_OP_FRESH) || appears_twice(n, i))) {
            memset(x->grad, 0, tare__bytes(x->numel));
            x->grad_fresh = false;
        }
    }
    return TARE_OK;
}

/* Elementwise ops get the memory of their output's gradient for that of their first input that has none yet: nobody else wants it. */
static tare_tensor *lend_gradient(const tare_node *n) {
    const unsigned overwrites = TARE_OP_INPLACE | TARE_OP_FRESH;
    if ((n->op->flags & overwrites) != overwrites) { return NULL; }
    for (int i = 0; i < n->n_in; i++) {
        tare_tensor *x = n->in[i];
        if (!x || !x->requires_grad || x->grad || (x->node && x->node->done)) { continue; }
        if (x->numel != n->out->numel || appears_twice(n, i)) { continue; }
        x->grad = n->out->grad;
        x->grad_fresh = true;
        return x;
    }
    return NULL;
}

/* The last to read the values of its first input may put the gradient where they lie, unless that is added up of two shares. Parameters
 * and the caller's inputs stay as they are. */
static tare_tensor *lend_values(const tare_node *n) {
    const unsigned overwrites = TARE_OP_OVER_INPUT | TARE_OP_FRESH;
    tare_tensor *x = n->in[0], *owner = x ? tare__owner(x) : NULL;
    if ((n->op->flags & overwrites) != overwrites || !x || !x->requires_grad || x->grad) { return NULL; }
    if (!owner->node || !owner->data || owner->readers != 1 || x->node->done) { return NULL; }
    if (appears_twice(n, 0)) { return NULL; }
    x->grad = owner->data;
    x->grad_fresh = true;
    return x;
}

/* ---- one node ---------------------------------------------------------------------------------------------------- */

typedef struct add_job {
    tare_real *to;
    const tare_real *from;
} add_job;

static void add_range(void *context, int64_t begin, int64_t end) {
    const add_job *job = context;
    tare_real *to = job->to;
    for (int64_t i = begin; i < end; i++) { to[i] += job->from[i]; }
}

/* The output of an alias is its input under another shape, and so is its gradient: hand it over, or add it. */
static tare_status alias_backward(tare_tape *t, tare_node *n) {
    tare_tensor *x = n->in[0], *y = n->out;
    if (!x->grad && !(x->node && x->node->done)) {
        x->grad = y->grad;
        x->grad_fresh = false;
        y->grad = NULL;
        return TARE_OK;
    }
    tare_status status = open_gradient(t, n, x);
    if (status) { return status; }
    if (x->grad_fresh) {
        memcpy(x->grad, y->grad, tare__bytes(x->numel));
        x->grad_fresh = false;
        return TARE_OK;
    }
    tare_parallel_for(x->numel, 1 << 15, add_range, &(add_job){ x->grad, y->grad });
    return TARE_OK;
}

static tare_status values_again(tare_tape *t, tare_node *n, bool all);

static tare_status value_again(tare_tape *t, tare_tensor *x) {
    tare_node *n = x->node;
    tare_status status = values_again(t, n, true);
    if (status) { return status; }
    x->data = tare__value_alloc(t, tare__bytes(x->numel));
    if (!x->data) { return TARE_ENOMEM; }
    return tare__run_forward(t, n, true);
}

/* Compute again what went when it was released (TARE_OP_CHEAP): inputs of n, all of them or those that backward reads. They are
 * buried with their nodes, which come later. */
static tare_status values_again(tare_tape *t, tare_node *n, bool all) {
    for (int i = 0; i < n->n_in; i++) {
        if (!n->in[i] || !(all || tare__reads_input(n->op, i))) { continue; }
        tare_tensor *x = tare__owner(n->in[i]);
        if (!x->data && x->node) {
            tare_status status = x->node->done ? used_up(n) : value_again(t, x);
            if (status) { return status; }
        }
        n->in[i]->data = x->data; /* an alias points where the values were before */
    }
    return TARE_OK;
}

/* What was made without a gradient, and nobody reads any more, has no backward of its own that would give it back. */
static void done_reading(tare_tape *t, const tare_node *n) {
    tare__count_readers(n, -1);
    for (int i = 0; i < n->n_in; i++) {
        tare_tensor *x = n->in[i] ? tare__owner(n->in[i]) : NULL;
        if (!x || !x->node || x->node->grad || x->readers > 0 || x->handles > 0) { continue; }
        tare__value_free(t, x->data, tare__bytes(x->numel), x->node);
        x->data = NULL;
    }
}

static tare_status op_backward(tare_tape *t, tare_node *n) {
    const tare_tensor *lent = lend_gradient(n);
    tare_status status = values_again(t, n, false);
    if (status) { return status; }
    tare_tensor *over = lend_values(n);
    status = open_gradients(t, n);
    if (status) { return status; }
    if (n->grad_scratch_bytes) {
        n->scratch = tare__value_alloc(t, n->grad_scratch_bytes);
        if (!n->scratch) { return TARE_ENOMEM; }
    }
    if (t->trace) { t->trace->begin(t->trace->context, n, true); }
    n->op->backward(n);
    if (t->trace) { t->trace->end(t->trace->context, n, true); }
    tare__value_free(t, n->scratch, n->grad_scratch_bytes, n);
    n->scratch = NULL;
    for (int i = 0; i < n->n_in; i++) {
        if (n->in[i] && n->in[i]->requires_grad) { n->in[i]->grad_fresh = false; }
    }
    if (lent) { n->out->grad = NULL; }
    if (over) { over->data = tare__owner(over)->data = NULL; }
    done_reading(t, n);
    return t->status;
}

/* What a node computed is dead once all who read it have been through backward: its readers, which come later on the tape, and
 * itself if it is one. */
static void bury_result(tare_tape *t, tare_node *n, const tare_tensor *keep) {
    tare_tensor *y = n->out;
    if (tare__owner(y) == keep) { return; }
    if (!y->base) { tare__value_free(t, y->data, tare__bytes(y->numel), n); }
    y->data = NULL;
}

static void bury(tare_tape *t, tare_node *n) {
    tare_tensor *y = n->out;
    n->done = true;
    tare__value_free(t, y->grad, tare__bytes(y->numel), n);
    y->grad = NULL;
    tare__value_free(t, n->saved, n->saved_bytes, n);
    n->saved = NULL;
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

static tare_status run_backward(tare_tape *t, tare_tensor *y) {
    for (int64_t i = t->length - 1; i >= 0; i--) {
        tare_node *n = t->node[i];
        if (!n->out->grad || n->done) { continue; }
        const tare_tensor *keep = tare__owner(y);
        if (!tare__reads_result(n->op)) { bury_result(t, n, keep); } /* before it asks for memory */
        tare_status status = n->op->flags & TARE_OP_ALIAS ? alias_backward(t, n) : op_backward(t, n);
        if (status) { return status; }
        bury_result(t, n, keep);
        bury(t, n);
    }
    return t->status;
}

/* How much to let go from now on, after a step as large as any before; smaller ones say nothing. A step that keeps more takes as much
 * more at most, so none of its size passes the limit once the first has not. */
static void keep_to_limit(tare_tape *t) {
    if (!t->limit || t->made < t->most_made) { return; }
    size_t need = t->values.high + t->gone + (t->inner ? tare_tape_peak(t->inner) : 0);
    t->most_made = t->made;
    t->to_go = need > t->limit ? need - t->limit : 0;
}

static tare_status start_backward(tare_tape *t, tare_tensor *y, const tare_real *dy) {
    if (!y->requires_grad) {
        return tare_fail(TARE_EINVAL, "backward: nothing upstream of the loss requires a gradient");
    }
    if (!y->node || y->node->done) {
        return tare_fail(TARE_EINVAL,
                         "backward: the loss has been through backward already, or is no result of this tape");
    }
    y->grad = tare__value_alloc(t, tare__bytes(y->numel));
    if (!y->grad) { return TARE_ENOMEM; }
    memcpy(y->grad, dy, tare__bytes(y->numel));
    y->grad_fresh = false;
    tare_status status = run_backward(t, y);
    if (!status) { keep_to_limit(t); }
    return status;
}

tare_status tare_backward_from(tare_tape *t, tare_tensor *y, const tare_real *dy) {
    if (!t) { return tare_fail(TARE_EINVAL, "backward: the tape is NULL"); }
    if (t->status) { return tare_fail(t->status, "%s", t->error); }
    if (!y) { return tare_fail(TARE_EINVAL, "backward: the tensor is NULL"); }
    if (!dy) { return tare_fail(TARE_EINVAL, "backward: dy is NULL; it has as many values as the tensor"); }
    tare_status status = start_backward(t, y, dy);
    return status ? tare__tape_fail_last(t, status) : TARE_OK;
}

tare_status tare_backward(tare_tape *t, tare_tensor *loss) {
    if (t && !t->status && loss && loss->numel != 1) {
        tare_shape_buf buf;
        tare_fail(TARE_EINVAL, "backward: the loss is %s, not one value", tare_shape_text(loss->shape, &buf));
        return tare__tape_fail_last(t, TARE_EINVAL);
    }
    return tare_backward_from(t, loss, &(tare_real){ 1 });
}
