/* recompute.c - a stretch of the graph that keeps its input alone and is run again when backward needs the rest. */
#include "tape_impl.h"

#include <string.h>

/* What both passes share. The stretch runs on a tape of its own, under the numbers that its nodes would have on this one: dropout
 * draws the same there, and again the second time. */
typedef struct attr {
    tare_recompute_fn fn;
    void *context;
    tare_tape *tape;
    const char *layer;
    uint64_t first;     /* number of its first node */
    const tare_real *y; /* the result of the first pass, on the inner tape */
    tare_shape shape;
} attr;

/* Run the stretch on the inner tape; `again`: for backward, with gradients and without effects on the model's state. */
static tare_tensor *run(const attr *a, tare_tensor *x, bool again, tare_tensor **input) {
    tare_tape *t = a->tape, *in = t->inner;
    tare_tape_reset(in);
    in->opt.training = t->opt.training;
    in->opt.no_grad = !again;
    in->repeats = again || t->repeats;
    in->check_finite = t->check_finite;
    in->watch = again ? NULL : t->watch;
    in->trace = t->trace;
    in->layer = a->layer;
    in->step_rng = t->step_rng;
    in->next = a->first;
    *input = tare_input_view(in, x->shape, x->data);
    if (*input) { (*input)->requires_grad = again && x->requires_grad; }
    return a->fn(a->context, in, *input);
}

static tare_status check(tare_node *n) {
    n->shape = ((const attr *)n->attr)->shape;
    return TARE_OK;
}

static void forward(tare_node *n) { memcpy(n->out->data, ((const attr *)n->attr)->y, tare__bytes(n->out->numel)); }

static void give_gradient(const tare_node *n, const tare_tensor *input) {
    tare_real *dx = tare_grad(n, 0);
    if (!dx) { return; }
    bool add = tare_grad_add(n, 0);
    if (!input->grad) {
        if (!add) { memset(dx, 0, tare__bytes(input->numel)); }
    } else if (!add) {
        memcpy(dx, input->grad, tare__bytes(input->numel));
    } else {
        for (int64_t i = 0; i < input->numel; i++) { dx[i] += input->grad[i]; }
    }
}

/* Parameters get their gradients straight from the inner tape. */
static void backward(tare_node *n) {
    const attr *a = n->attr;
    tare_tensor *input, *y = run(a, n->in[0], true, &input);
    tare_tape *in = a->tape->inner;
    tare_status status = y ? tare_backward_from(in, y, n->out->grad) : in->status;
    if (status) {
        tare_tape_fail(a->tape, status, "%s", in->error);
        return;
    }
    give_gradient(n, input);
}

/* Input 1 is one of the parameters inside: it stands for all, so that backward comes here even where x wants no gradient. */
static const tare_op recompute_op = {
    .name = "recompute",
    .n_in = 2,
    .n_optional = 1,
    .attr_size = sizeof(attr),
    .flags = TARE_OP_FRESH,
    .reads = TARE_READS_IN(0),
    .check = check,
    .forward = forward,
    .backward = backward,
};

static tare_tensor *first_parameter(const tare_tape *t) {
    for (int64_t i = 0; i < t->length; i++) {
        const tare_node *n = t->node[i];
        for (int k = 0; k < n->n_in; k++) {
            if (n->in[k] && n->in[k]->is_param && n->in[k]->requires_grad) { return n->in[k]; }
        }
    }
    return NULL;
}

tare_tensor *tare_recompute(tare_tape *t, tare_recompute_fn fn, void *context, tare_tensor *x) {
    if (!t || t->status || !x) { return NULL; }
    if (t->opt.no_grad) { return fn(context, t, x); }
    if (!t->inner) { t->inner = tare_tape_new((tare_tape_opt){ .guard = t->opt.guard, .seed = t->opt.seed }); }
    if (!t->inner) { return tare_tape_fail(t, TARE_ENOMEM, "%s", tare_error()); }
    attr a = { .fn = fn, .context = context, .tape = t, .layer = t->layer, .first = t->next };
    tare_tensor *input, *y = run(&a, x, false, &input);
    if (!y) { return tare_tape_fail(t, t->inner->status, "%s", t->inner->error); }
    a.y = y->data;
    a.shape = y->shape;
    uint64_t next = t->inner->next;
    tare_tensor *in[] = { x, first_parameter(t->inner) };
    tare_tensor *out = tare_apply(t, &recompute_op, in, 2, &a);
    t->next = next;
    return out;
}

bool tare_tape_repeats(const tare_tape *t) { return t->repeats; }
