/* optim.c - what every optimizer is made of: options, state arrays, one pass over the flat block per step. */
#include "optim.h"

#include <math.h>
#include <string.h>
#include <tare/plugin.h>

/* Values per chunk; with its gradient and two moments that is 256 KB, which stays in L2. Less is done by one thread. */
enum { GRAIN = 16384 };

struct tare_optim {
    const tare_optim_class *cls;
    tare_params *ps;
    void *attr;
    double lr, weight_decay;
    bool decay_all;
    uint64_t steps;
    int64_t flat_size; /* of ps when the state arrays were made */
    tare_real *slot[TARE_OPTIM_SLOTS];
    tare__stretch *stretches; /* room for one per parameter */
};

/* ---- options ----------------------------------------------------------------------------------------------------- */

double tare__option(double value, double fallback) { return value == 0 && !signbit(value) ? fallback : value; }

tare_status tare__option_check(const char *optim, const char *option, double value, double lo, double hi) {
    if (value >= lo && value <= hi && isfinite(value)) { return TARE_OK; }
    if (hi < HUGE_VAL) {
        return tare_fail(TARE_EINVAL, "%s: %s is %g, expected a number from %g to %g", optim, option, value, lo, hi);
    }
    return tare_fail(TARE_EINVAL, "%s: %s is %g, expected a finite number not below %g", optim, option, value, lo);
}

static tare_status check_options(const tare_params *ps, const tare_optim_class *cls, double lr, double weight_decay,
                                 const void *attr) {
    if (!ps) { return tare_fail(TARE_EINVAL, "%s: no parameters given", cls->name); }
    if (cls->attr_size && !attr) {
        return tare_fail(TARE_EINVAL, "%s: no options given, and it has no defaults", cls->name);
    }
    tare_status status = tare_params_status(ps);
    if (status) { return tare_fail(status, "%s: the model is not whole: %s", cls->name, tare_params_error(ps)); }
    if (tare_params_count(ps) == 0) { return tare_fail(TARE_EINVAL, "%s: the model has no parameters", cls->name); }
    status = tare__option_check(cls->name, "lr", lr, 0, HUGE_VAL);
    if (!status) { status = tare__option_check(cls->name, "weight_decay", weight_decay, 0, HUGE_VAL); }
    if (!status && cls->check) { status = cls->check(attr); }
    return status;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static bool make_state(tare_optim *o, const void *attr) {
    const tare_optim_class *cls = o->cls;
    if (cls->attr_size) {
        o->attr = tare_malloc(cls->attr_size);
        if (!o->attr) { return false; }
        memcpy(o->attr, attr, cls->attr_size);
    }
    o->stretches = tare_calloc((size_t)tare_params_count(o->ps), sizeof *o->stretches);
    if (!o->stretches) { return false; }
    unsigned used = cls->slots ? cls->slots(o->attr) : ~0u;
    for (int i = 0; i < TARE_OPTIM_SLOTS && cls->slot[i]; i++) {
        if (!(used >> i & 1)) { continue; }
        o->slot[i] = tare_calloc((size_t)o->flat_size, sizeof(tare_real));
        if (!o->slot[i]) { return false; }
    }
    return true;
}

tare_optim *tare_optim_new(tare_params *ps, const tare_optim_class *cls, tare_optim_opt opt) {
    double lr = tare__option(opt.lr, cls->lr);
    const void *attr = opt.attr ? opt.attr : cls->attr;
    if (check_options(ps, cls, lr, opt.weight_decay, attr)) { return NULL; }
    tare_optim *o = tare_calloc(1, sizeof *o);
    if (!o) { return NULL; }
    o->cls = cls;
    o->ps = ps;
    o->lr = lr;
    o->weight_decay = opt.weight_decay;
    o->decay_all = opt.decay_all;
    o->flat_size = tare_params_flat_size(ps);
    if (!make_state(o, attr)) {
        tare_optim_free(o);
        return NULL;
    }
    return o;
}

void tare_optim_free(tare_optim *o) {
    if (!o) { return; }
    for (int i = 0; i < TARE_OPTIM_SLOTS; i++) { tare_free(o->slot[i]); }
    tare_free(o->stretches);
    tare_free(o->attr);
    tare_free(o);
}

/* ---- stepping ---------------------------------------------------------------------------------------------------- */

bool tare__stretch_next(const tare_params *ps, int *index, bool split, tare__stretch *out) {
    int i = *index, count = tare_params_count(ps);
    while (i < count && !tare_params_at(ps, i)->requires_grad) { i++; }
    if (i == count) { return false; }
    unsigned no_decay = tare_params_flags(ps, i) & TARE_NO_DECAY;
    out->begin = tare_params_offset(ps, i);
    out->decay = !no_decay;
    while (++i < count && tare_params_at(ps, i)->requires_grad &&
           (!split || (tare_params_flags(ps, i) & TARE_NO_DECAY) == no_decay)) {}
    out->end = i < count ? tare_params_offset(ps, i) : tare_params_flat_size(ps);
    *index = i;
    return true;
}

typedef struct job {
    const tare_optim *o;
    int64_t stretches;
    double grad_scale;
    double coef[TARE_OPTIM_COEFS];
} job;

static void update(const job *j, int64_t begin, int64_t end, bool decay) {
    const tare_optim *o = j->o;
    tare_optim_range range = {
        .data = tare_params_flat(o->ps) + begin,
        .grad = tare_params_flat_grad(o->ps) + begin,
        .n = end - begin,
        .lr = o->lr,
        .decay = decay ? o->weight_decay : 0,
        .grad_scale = j->grad_scale,
        .step = o->steps,
        .attr = o->attr,
        .coef = j->coef,
    };
    for (int i = 0; i < TARE_OPTIM_SLOTS; i++) { range.slot[i] = o->slot[i] ? o->slot[i] + begin : NULL; }
    o->cls->update(&range);
}

/* The part of each stretch that lies in [begin, end) of the flat block. */
static void update_chunk(void *context, int64_t begin, int64_t end) {
    const job *j = context;
    const tare__stretch *all = j->o->stretches;
    int64_t low = 0, high = j->stretches;
    while (low < high) { /* the first stretch that ends after `begin` */
        int64_t middle = (low + high) / 2;
        if (all[middle].end > begin) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    for (int64_t i = low; i < j->stretches && all[i].begin < end; i++) {
        int64_t from = all[i].begin > begin ? all[i].begin : begin;
        int64_t to = all[i].end < end ? all[i].end : end;
        update(j, from, to, all[i].decay);
    }
}

tare_status tare_optim_step_scaled(tare_optim *o, double scale) {
    if (!o) { return tare_fail(TARE_EINVAL, "the optimizer is NULL: it could not be made"); }
    if (tare_params_frozen(o->ps)) {
        return tare_fail(TARE_EINVAL, "%s: the parameters are frozen; tare_params_freeze(ps, false) lets them learn",
                         o->cls->name);
    }
    if (!tare_optim_fits(o)) {
        return tare_fail(TARE_EINVAL, "%s: parameters were added after the optimizer was made", o->cls->name);
    }
    if (!isfinite(scale)) { return tare_fail(TARE_EINVAL, "%s: gradient scale is %g", o->cls->name, scale); }
    tare_params_settle_grad(o->ps);
    job j = { .o = o, .grad_scale = scale };
    int next = 0;
    while (tare__stretch_next(o->ps, &next, !o->decay_all, &o->stretches[j.stretches])) {
        o->stretches[j.stretches].decay |= o->decay_all;
        j.stretches++;
    }
    o->steps++;
    if (o->cls->prepare) { o->cls->prepare(o->attr, o->steps, j.coef); }
    tare_parallel_for(o->flat_size, GRAIN, update_chunk, &j);
    return TARE_OK;
}

tare_status tare_optim_step(tare_optim *o) { return tare_optim_step_scaled(o, 1); }

tare_status tare_optim_step_clipped(tare_optim *o, double max_norm, double *norm) {
    if (!o) { return tare_optim_step_scaled(o, 1); }
    double total = tare_grad_norm(o->ps);
    if (norm) { *norm = total; }
    if (!isfinite(total)) {
        return tare_fail(TARE_ENONFINITE, "%s: the norm of the gradients is %g at step %llu", o->cls->name, fabs(total),
                         (unsigned long long)o->steps + 1); /* fabs: no "-nan" */
    }
    return tare_optim_step_scaled(o, tare_clip_scale(total, max_norm));
}

/* ---- looking at it ----------------------------------------------------------------------------------------------- */

double tare_optim_lr(const tare_optim *o) { return o->lr; }

tare_status tare_optim_lr_set(tare_optim *o, double lr) {
    tare_status status = tare__option_check(o->cls->name, "lr", lr, 0, HUGE_VAL);
    if (!status) { o->lr = lr; }
    return status;
}

const char *tare_optim_name(const tare_optim *o) { return o->cls->name; }
tare_params *tare_optim_params(const tare_optim *o) { return o->ps; }
bool tare_optim_fits(const tare_optim *o) { return tare_params_flat_size(o->ps) == o->flat_size; }
uint64_t tare_optim_steps(const tare_optim *o) { return o->steps; }
void tare_optim_steps_set(tare_optim *o, uint64_t steps) { o->steps = steps; }

/* Place of the index-th state array in use; TARE_OPTIM_SLOTS where there are not so many. */
static int slot_at(const tare_optim *o, int index) {
    int i = 0;
    for (; i < TARE_OPTIM_SLOTS; i++) {
        if (o->slot[i] && index-- == 0) { break; }
    }
    return i;
}

int tare_optim_slots(const tare_optim *o) {
    int n = 0;
    for (int i = 0; i < TARE_OPTIM_SLOTS; i++) { n += o->slot[i] != NULL; }
    return n;
}

const char *tare_optim_slot_name(const tare_optim *o, int index) {
    int i = slot_at(o, index);
    return i < TARE_OPTIM_SLOTS ? o->cls->slot[i] : NULL;
}

tare_real *tare_optim_slot(const tare_optim *o, int index) {
    int i = slot_at(o, index);
    return i < TARE_OPTIM_SLOTS ? o->slot[i] : NULL;
}

/* ---- by name ----------------------------------------------------------------------------------------------------- */

enum { CLASSES = 4 };

/* The index-th optimizer among those of all open plugins. */
static const tare_optim_class *plugin_class(int index) {
    const tare_plugin *p;
    for (int i = 0; (p = tare_plugin_at(i)); i++) {
        for (int k = 0; p->optimizers && p->optimizers[k]; k++) {
            if (index-- == 0) { return p->optimizers[k]; }
        }
    }
    return NULL;
}

const tare_optim_class *tare_optim_class_at(int index) {
    static const tare_optim_class *const all[CLASSES] = { &tare__class_sgd, &tare__class_adam, &tare__class_adamw,
                                                          &tare__class_rmsprop };
    if (index < 0) { return NULL; }
    return index < CLASSES ? all[index] : plugin_class(index - CLASSES);
}

const tare_optim_class *tare_optim_class_find(const char *name) {
    const tare_optim_class *cls = NULL;
    for (int i = 0; name && (cls = tare_optim_class_at(i)) && strcmp(cls->name, name) != 0; i++) {}
    return cls;
}
