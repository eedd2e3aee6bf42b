/* gradcheck.c - gradient checks: what is asked for, and the set-up of the check. */
#include "gradcheck.h"

#include <stdio.h>
#include <string.h>

#ifdef TARE_F64
static const double default_rtol = 1e-6, default_step = 1e-5;
#else
static const double default_rtol = 0.02, default_step = 5e-3;
#endif

enum { DEFAULT_ELEMENTS = 200 };

/* ---- fills ------------------------------------------------------------------------------------------------------- */

static double fill_one(tare_rng *rng, tare_fill fill) {
    if (fill.kind == TARE_FILL_UNIFORM) {
        double lo = fill.lo, hi = fill.lo == 0 && fill.hi == 0 ? 1 : fill.hi;
        return lo + (hi - lo) * tare_rng_uniform(rng);
    }
    double x = tare_rng_normal(rng);
    if (fill.kind == TARE_FILL_AWAY) {
        double lo = fill.lo == 0 ? 0.1 : fill.lo;
        return x < 0 ? x - lo : x + lo;
    }
    return fill.lo + (fill.hi == 0 ? 1 : fill.hi) * x;
}

void tare_fill_values(tare_rng *rng, tare_fill fill, tare_real *data, int64_t n) {
    if (fill.kind != TARE_FILL_DISTINCT) {
        for (int64_t i = 0; i < n; i++) { data[i] = (tare_real)(float)fill_one(rng, fill); }
        return;
    }
    int64_t middle = n / 2;
    for (int64_t i = 0; i < n; i++) { data[i] = (tare_real)((double)(i - middle) * 0.125); }
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)tare_rng_below(rng, (uint64_t)i + 1);
        tare_real swap = data[i];
        data[i] = data[j];
        data[j] = swap;
    }
}

/* ---- set-up ------------------------------------------------------------------------------------------------------ */

tare_real *tare__check_array(tare__check *c, int64_t n) {
    return tare_params_own(c->own, tare_calloc((size_t)(n > 0 ? n : 1), sizeof(tare_real)));
}

/* Memory and numbers for one slot; a parameter of the caller's stays near its value, which matters to some layers. */
static tare_status fill_slot(tare__check *c, tare__slot *slot, tare_fill fill, tare_rng *rng) {
    for (int set = 0; set < CHECK_SETS; set++) {
        slot->value[set] = tare__check_array(c, slot->numel);
        slot->first[set] = tare__check_array(c, slot->numel);
    }
    slot->held = tare__check_array(c, slot->numel);
    slot->grad = tare__check_array(c, slot->numel);
    if (tare_params_status(c->own)) { return TARE_ENOMEM; }
    for (int set = 0; set < CHECK_SETS; set++) {
        tare_fill_values(rng, fill, slot->value[set], slot->numel);
        for (int64_t i = 0; slot->before && i < slot->numel; i++) { slot->value[set][i] += slot->before[i]; }
    }
    tare_fill_values(rng, (tare_fill){ TARE_FILL_NORMAL, 0, 1 }, slot->held, slot->numel);
    return TARE_OK;
}

static tare_status add_input(tare__check *c, const tare_gradcheck_input *in, tare_rng *rng) {
    tare__slot *slot = &c->slot[c->slots];
    char name[32];
    snprintf(name, sizeof name, "in%d", c->slots++);
    if (in->absent) {
        slot->absent = true;
        return TARE_OK;
    }
    slot->shape = in->shape;
    slot->own = true;
    slot->wants = !in->nograd;
    slot->param = tare_param(c->own, name, in->shape, 0);
    if (!slot->param) { return tare_params_status(c->own); }
    slot->numel = slot->param->numel;
    return fill_slot(c, slot, in->fill, rng);
}

static tare_status add_param(tare__check *c, tare_tensor *param, tare_rng *rng) {
    tare__slot *slot = &c->slot[c->slots++];
    slot->shape = param->shape;
    slot->numel = param->numel;
    slot->param = param;
    slot->wants = param->requires_grad;
    slot->before = tare__check_array(c, param->numel);
    if (!slot->before) { return TARE_ENOMEM; }
    memcpy(slot->before, param->data, (size_t)param->numel * sizeof *param->data);
    return fill_slot(c, slot, (tare_fill){ TARE_FILL_NORMAL, 0, 0.2 }, rng);
}

static tare_status add_params(tare__check *c, tare_rng *rng) {
    tare_params *ps = c->opt.params;
    tare_status status = TARE_OK;
    for (int i = 0; ps && i < tare_params_count(ps) && !status; i++) {
        status = add_param(c, tare_params_at(ps, i), rng);
    }
    int64_t buffers = ps ? tare_params_buffer_flat_size(ps) : 0;
    if (status || buffers == 0) { return status; }
    tare_real *copy = tare__check_array(c, buffers);
    if (!copy) { return TARE_ENOMEM; }
    c->buffers = memcpy(copy, tare_params_buffer_flat(ps), (size_t)buffers * sizeof *copy);
    return TARE_OK;
}

/* Parameters and buffers as the caller had them; their gradients are void. */
static void restore_params(tare__check *c) {
    for (int s = c->inputs; s < c->slots; s++) {
        tare__slot *slot = &c->slot[s];
        if (slot->before) { memcpy(slot->param->data, slot->before, (size_t)slot->numel * sizeof *slot->before); }
        slot->param->requires_grad = slot->wants;
        slot->param->grad_fresh = true;
    }
    if (c->buffers) {
        size_t size = (size_t)tare_params_buffer_flat_size(c->opt.params) * sizeof *c->buffers;
        memcpy(tare_params_buffer_flat(c->opt.params), c->buffers, size);
    }
}

static tare_status set_up_and_check(tare__check *c, const tare_gradcheck_input *in) {
    tare_rng rng = tare_rng_split_name(tare_rng_new(c->opt.seed, "gradcheck inputs"), c->name);
    bool any = false;
    tare_status status = TARE_OK;
    int n = c->inputs;
    for (int i = 0; i < n && !status; i++) { status = add_input(c, &in[i], &rng); }
    if (!status) { status = add_params(c, &rng); }
    if (status) {
        tare__check_fail(c, TARE_CHECK_ERROR, "%s", tare_error());
        return status;
    }
    for (int s = 0; s < c->slots; s++) { any = any || c->slot[s].wants; }
    if (!any) {
        return tare__check_fail(c, TARE_CHECK_ERROR,
                                "there is nothing to check: no input or parameter wants a gradient");
    }
    return tare__check_everything(c);
}

/* ---- what is asked ----------------------------------------------------------------------------------------------- */

static tare_gradcheck_opt with_defaults(const tare_gradcheck_opt *opt) {
    tare_gradcheck_opt o = opt ? *opt : (tare_gradcheck_opt){ 0 };
    if (o.rtol == 0) { o.rtol = default_rtol; }
    if (o.step == 0) { o.step = default_step; }
    if (o.elements == 0) { o.elements = DEFAULT_ELEMENTS; }
    return o;
}

tare_status tare_gradcheck(const char *name, tare_graph_fn graph, void *user, const tare_gradcheck_input *in, int n,
                           const tare_gradcheck_opt *opt, tare_gradcheck_report *report) {
    tare_gradcheck_report unread;
    if (!report) { report = &unread; }
    *report = (tare_gradcheck_report){ .check = TARE_CHECK_ERROR };
    tare__check *c = tare_calloc(1, sizeof *c);
    if (!c) { return TARE_ENOMEM; }
    *c = (tare__check){ .name = name, .graph = graph, .user = user, .opt = with_defaults(opt), .report = report };
    c->inputs = n;
    tare_status status = TARE_OK;
    int params = c->opt.params ? tare_params_count(c->opt.params) : 0;
    int threads = tare_threads();
    tare_threads_set(1);
    if (n < 0 || n > TARE_CASE_INPUTS || params > CHECK_SLOTS - TARE_CASE_INPUTS) {
        status = tare__check_fail(c, TARE_CHECK_ERROR, "%d inputs and %d parameters are more than %d and %d", n, params,
                                  TARE_CASE_INPUTS, CHECK_SLOTS - TARE_CASE_INPUTS);
    }
    if (!status) {
        c->own = tare_params_new(0);
        c->tape = tare_tape_new((tare_tape_opt){ .training = !c->opt.eval, .guard = true, .seed = c->opt.seed });
        status = c->own && c->tape ? set_up_and_check(c, in) : TARE_ENOMEM;
        restore_params(c);
    }
    if (!status) { report->check = TARE_CHECK_OK; }
    tare_threads_set(threads);
    tare_tape_free(c->tape);
    tare_params_free(c->own);
    tare_free(c);
    return status;
}

typedef struct op_graph {
    const tare_op *op;
    const tare_opcase *opcase;
    int n_in;
} op_graph;

static tare_tensor *apply_op(tare_tape *tape, tare_tensor *const *in, void *user) {
    const op_graph *g = user;
    return tare_apply(tape, g->op, in, g->n_in, g->opcase->attr);
}

static tare_status check_case(const tare_op *op, const tare_opcase *opcase, const tare_gradcheck_opt *opt,
                              tare_gradcheck_report *report) {
    char name[128];
    snprintf(name, sizeof name, "%s/%s", op->name, opcase->name);
    op_graph g = { op, opcase, opcase->n_in ? opcase->n_in : op->n_in };
    tare_gradcheck_input in[TARE_CASE_INPUTS] = { 0 };
    for (int i = 0; i < g.n_in && i < TARE_CASE_INPUTS; i++) {
        in[i] = (tare_gradcheck_input){ opcase->in[i], opcase->fill[i], (opcase->absent >> i & 1) != 0,
                                        (opcase->nograd >> i & 1) != 0 };
    }
    tare_gradcheck_opt o = with_defaults(opt);
    o.eval = o.eval || opcase->eval;
    o.zero = o.zero || opcase->zero;
    return tare_gradcheck(name, apply_op, &g, in, g.n_in, &o, report);
}

tare_status tare_gradcheck_op(const tare_op *op, const tare_opcase *opcase, const tare_gradcheck_opt *opt,
                              tare_gradcheck_report *report) {
    tare_gradcheck_report unread;
    if (!report) { report = &unread; }
    *report = (tare_gradcheck_report){ .check = TARE_CHECK_ERROR };
    tare_status status = TARE_OK;
    if (!op->backward && !(op->flags & TARE_OP_ALIAS)) {
        status = tare_fail(TARE_ENOGRAD, "%s: it has no backward", op->name);
    } else if (!opcase && !(op->cases && op->cases->name)) {
        status = tare_fail(TARE_ENOENT, "%s: it has a backward, but no cases to check it by", op->name);
    }
    if (status) {
        snprintf(report->message, sizeof report->message, "%s", tare_error());
        return status;
    }
    if (opcase) { return check_case(op, opcase, opt, report); }
    for (const tare_opcase *c = op->cases; c && c->name && !status; c++) { status = check_case(op, c, opt, report); }
    return status;
}
