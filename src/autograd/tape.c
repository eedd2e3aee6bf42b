/* tape.c - life of a tape, its errors, inputs, and the values that are let go early. */
#include "tape_impl.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Bytes of 0xFF are a NaN: with opt.guard, what an op leaves unwritten shows. */
enum { GUARD_BYTES = 64, GUARD_PATTERN = 0xC5, POISON = 0xFF };

/* Smaller results are kept even where they are cheap: they are not what fills the memory. */
enum { AGAIN_BYTES = 1 << 20 };

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void start_step(tare_tape *t, uint64_t step) {
    t->step = step;
    t->step_rng = tare_rng_split(tare_rng_new(t->opt.seed, "tape"), step);
}

tare_tape *tare_tape_new(tare_tape_opt opt) {
    tare_tape *t = tare_calloc(1, sizeof *t);
    if (!t) { return NULL; }
    t->opt = opt;
    start_step(t, 0);
    return t;
}

void tare_tape_free(tare_tape *t) {
    if (!t) { return; }
    tare_tape_free(t->inner);
    tare__pool_destroy(&t->values);
    tare__pool_destroy(&t->records);
    tare_free(t->node);
    tare_free(t);
}

void tare_tape_reset(tare_tape *t) {
    tare__pool_reset(&t->values);
    tare__pool_reset(&t->records);
    t->length = 0;
    t->next = 0;
    t->layer = NULL;
    t->status = TARE_OK;
    t->error[0] = 0;
    t->overrun = false;
    t->made = t->gone = 0;
    start_step(t, t->step + 1);
}

bool tare_tape_training(const tare_tape *t) { return t->opt.training; }
void tare_tape_training_set(tare_tape *t, bool training) { t->opt.training = training; }
uint64_t tare_tape_step(const tare_tape *t) { return t->step; }
void tare_tape_step_set(tare_tape *t, uint64_t step) { start_step(t, step); }
/* What recomputes its stretches is taken to be at its largest at the same time as the rest, which is so nearly always. */
size_t tare_tape_peak(const tare_tape *t) {
    return t->values.peak + t->records.peak + (t->inner ? tare_tape_peak(t->inner) : 0);
}
size_t tare_tape_bytes(const tare_tape *t) { return t->values.used + (t->inner ? tare_tape_bytes(t->inner) : 0); }
void tare_tape_limit_set(tare_tape *t, size_t bytes) {
    t->limit = bytes;
    t->to_go = t->most_made = 0;
}
void tare_tape_check_finite(tare_tape *t, bool on) { t->check_finite = on; }

int64_t tare_tape_length(const tare_tape *t) { return t->length; }
const tare_node *tare_tape_node(const tare_tape *t, int64_t index) { return t->node[index]; }

const char *tare_tape_layer_set(tare_tape *t, const char *layer) {
    const char *before = t->layer;
    t->layer = layer;
    return before;
}

void tare_tape_watch_set(tare_tape *t, const tare_watch *watch) { t->watch = watch; }
void tare_tape_trace_set(tare_tape *t, const tare_trace *trace) { t->trace = trace; }
const tare_watch *tare_tape_watch(const tare_tape *t) { return t->watch; }
bool tare_tape_fuses(const tare_tape *t) { return !t->watch && !t->check_finite; }

/* ---- errors ------------------------------------------------------------------------------------------------------ */

tare_status tare_tape_status(const tare_tape *t) { return t ? t->status : TARE_ENOMEM; }
const char *tare_tape_error(const tare_tape *t) { return t ? t->error : tare_status_text(TARE_ENOMEM); }

tare_status tare__tape_fail_last(tare_tape *t, tare_status status) {
    if (t->status == TARE_OK) {
        t->status = status;
        snprintf(t->error, sizeof t->error, "%s", tare_error());
    }
    return status;
}

void *tare_tape_fail(tare_tape *t, tare_status status, const char *format, ...) {
    char text[TARE__ERROR_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    tare_fail(status, "%s", text);
    if (t) { tare__tape_fail_last(t, status); }
    return NULL;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

void *tare__value_alloc(tare_tape *t, size_t bytes) {
    if (!t->opt.guard) { return tare__pool_alloc(&t->values, bytes); }
    char *memory = tare__pool_alloc(&t->values, bytes + GUARD_BYTES);
    if (!memory) { return NULL; }
    memset(memory, POISON, bytes);
    memset(memory + bytes, GUARD_PATTERN, GUARD_BYTES);
    return memory;
}

static bool guard_intact(const void *memory, size_t bytes) {
    const unsigned char *guard = (const unsigned char *)memory + bytes;
    for (int i = 0; i < GUARD_BYTES; i++) {
        if (guard[i] != GUARD_PATTERN) { return false; }
    }
    return true;
}

static void guard_check(tare_tape *t, const void *memory, size_t bytes, const tare_node *n) {
    if (!t->opt.guard || !memory || guard_intact(memory, bytes)) { return; }
    t->overrun = true;
    tare_tape_fail(t, TARE_EINVAL, "%s \"%s\": a write past the end of a buffer of %zu bytes",
                   n ? n->op->name : "input", n && n->layer ? n->layer : "", bytes);
}

void tare__value_free(tare_tape *t, void *memory, size_t bytes, const tare_node *n) {
    if (!memory) { return; }
    guard_check(t, memory, bytes, n);
    if (t->opt.guard) { memset(memory, POISON, bytes); } /* so that whoever still reads it shows too */
    tare__pool_free(&t->values, memory, t->opt.guard ? bytes + GUARD_BYTES : bytes);
}

tare_status tare_tape_guard(tare_tape *t) {
    for (int64_t i = 0; i < t->length; i++) {
        const tare_node *n = t->node[i];
        const tare_tensor *y = n->out;
        if (!y->base) { guard_check(t, y->data, tare__bytes(y->numel), n); }
        guard_check(t, y->grad, tare__bytes(y->numel), n);
        if (n->saved) { guard_check(t, n->saved, n->saved_bytes, n); }
        for (int k = 0; k < n->n_in; k++) {
            const tare_tensor *x = n->in[k];
            if (!x || x->node || x->is_param) { continue; }
            guard_check(t, x->grad, tare__bytes(x->numel), n);
            if (tare__pool_holds(&t->values, x->data)) { guard_check(t, x->data, tare__bytes(x->numel), n); }
        }
    }
    return t->status;
}

/* All its inputs will be there in backward (values_again), which needs nothing beside them: none is gone before n's backward has read
 * it. */
static bool can_come_again(const tare_node *n) {
    if (!n->grad || tare__reads_result(n->op)) { return false; }
    for (int i = 0; i < n->n_in; i++) {
        const tare_tensor *in = n->in[i] ? tare__owner(n->in[i]) : NULL;
        if (in && in->node && !tare__reads_input(n->op, i)) { return false; }
    }
    return true;
}

/* Is this result, which backward will read, better computed again than kept? Where the tape has a limit the first of a step go, since
 * the last would be there again at once, as backward begins with them; and whatever a step makes beyond the largest so far. */
static bool comes_again(tare_tape *t, const tare_tensor *x) {
    size_t bytes = tare__bytes(x->numel);
    bool cheap = x->node->op->flags & TARE_OP_CHEAP, again = x->node->op->flags & TARE_OP_AGAIN;
    bool short_of_memory = t->limit && (t->gone < t->to_go || t->made > t->most_made);
    if (!(cheap && bytes >= AGAIN_BYTES) && !((cheap || again) && short_of_memory)) { return false; }
    if (!can_come_again(x->node)) { return false; }
    if (!cheap || bytes < AGAIN_BYTES) { t->gone += bytes; }
    return true;
}

void tare_release(tare_tape *t, tare_tensor *x) {
    if (!x || x->released || x->is_param) { return; }
    tare_tensor *owner = tare__owner(x);
    x->released = true;
    if (--owner->handles > 0 || !owner->node || (owner->readers && !comes_again(t, owner))) { return; }
    tare__value_free(t, owner->data, tare__bytes(owner->numel), owner->node);
    owner->data = x->data = NULL;
}

/* ---- inputs ------------------------------------------------------------------------------------------------------ */

tare_tensor *tare__tensor_new(tare_tape *t, tare_shape shape, int64_t numel) {
    tare_tensor *x = tare__pool_alloc(&t->records, sizeof *x);
    if (!x) {
        tare__tape_fail_last(t, TARE_ENOMEM);
        return NULL;
    }
    *x = (tare_tensor){ .shape = shape, .numel = numel, .handles = 1 };
    return x;
}

tare_tensor *tare_input_view(tare_tape *t, tare_shape shape, tare_real *data) {
    if (!t || t->status) { return NULL; }
    int64_t numel = tare_shape_numel(shape);
    tare_shape_buf buf;
    if (numel < 0) {
        return tare_tape_fail(t, TARE_ESHAPE, "input: %s is no shape, or has too many values",
                              tare_shape_text(shape, &buf));
    }
    tare_tensor *x = tare__tensor_new(t, shape, numel);
    if (x) { x->data = data; }
    return x;
}

tare_tensor *tare_input(tare_tape *t, tare_shape shape, const tare_real *data) {
    tare_tensor *x = tare_input_view(t, shape, NULL);
    if (!x) { return NULL; }
    x->data = tare__value_alloc(t, tare__bytes(x->numel));
    if (!x->data) {
        tare__tape_fail_last(t, TARE_ENOMEM);
        return NULL;
    }
    if (data) { memcpy(x->data, data, tare__bytes(x->numel)); }
    return x;
}

tare_tensor *tare_detach(tare_tape *t, tare_tensor *x) {
    if (!t || t->status || !x) { return NULL; }
    if (!tare__owner(x)->data && x->numel) {
        return tare_tape_fail(t, TARE_EINVAL, "detach: the tensor has no values any more");
    }
    return tare_input(t, x->shape, x->data);
}

double tare_item(const tare_tensor *x) {
    if (!x || x->numel != 1 || !(x->base ? x->base : x)->data) { return (double)NAN; }
    return (double)x->data[0];
}
