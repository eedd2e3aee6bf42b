/* checkpoint.c - the state of a run, object by object, in one file; loaded all or not at all. */
#include "io.h"

#include <string.h>

enum { MAX_NUMBERS = 3 };

typedef struct bind_kind bind_kind;

typedef struct binding {
    const bind_kind *kind;
    char *name;
    void *object;
    const tare_params *ps; /* flat: the layout */
    int64_t flat_size;     /* flat: how many numbers that was when it was bound */
    tare_shape shape;      /* tensor */
} binding;

/* What a file says about one binding, read and checked before anything is changed. */
typedef struct staged {
    uint64_t number[MAX_NUMBERS];
    int64_t whole;
    double real;
    char *text;
} staged;

/* What the kinds of objects have in common. NULL: nothing of that sort to do. */
struct bind_kind {
    void (*visit)(const binding *b, tare__visitor *v);                       /* its tensors */
    void (*save)(const binding *b, tare_writer *w);                          /* its numbers */
    tare_status (*stage)(const binding *b, const tare_reader *r, staged *s); /* read them and check them */
    void (*commit)(const binding *b, staged *s);                             /* put them in place; cannot fail */
};

struct tare_checkpoint {
    binding *bindings;
    size_t count, room;
    tare_status status;
    char error[256];
};

/* ---- numbers in the metadata ------------------------------------------------------------------------------------- */

typedef struct key_buf {
    char text[256];
} key_buf;

/* "name.part", or "name" where there is no part. */
static const char *key_of(const binding *b, const char *part, key_buf *buffer) {
    snprintf(buffer->text, sizeof buffer->text, "%s%s%s", b->name, part ? "." : "", part ? part : "");
    return buffer->text;
}

static void save_text(const binding *b, tare_writer *w, const char *part, const char *text) {
    key_buf key = { "" };
    tare_writer_meta(w, key_of(b, part, &key), text);
}

static void save_uint(const binding *b, tare_writer *w, const char *part, uint64_t value) {
    tare__exact text = { "" };
    save_text(b, w, part, tare__exact_uint(value, &text));
}

static tare_status stage_text(const binding *b, const tare_reader *r, const char *part, const char **out) {
    key_buf key = { "" };
    *out = tare_reader_meta(r, key_of(b, part, &key));
    if (*out) { return TARE_OK; }
    return tare_fail(TARE_EMISMATCH, "%s: has no \"%s\": written by another program or version", tare_reader_path(r),
                     key.text);
}

static tare_status not_number(const binding *b, const tare_reader *r, const char *part, const char *text) {
    key_buf key = { "" };
    tare__shown shown;
    return tare_fail(TARE_EFORMAT, "%s: \"%s\" is \"%s\", which is no such number", tare_reader_path(r),
                     key_of(b, part, &key), tare__show(text, &shown));
}

static tare_status stage_uint(const binding *b, const tare_reader *r, const char *part, uint64_t *out) {
    const char *text;
    tare_status status = stage_text(b, r, part, &text);
    if (status) { return status; }
    return tare__exact_parse_uint(text, out) ? TARE_OK : not_number(b, r, part, text);
}

static tare_status stage_double(const binding *b, const tare_reader *r, const char *part, double *out) {
    const char *text;
    tare_status status = stage_text(b, r, part, &text);
    if (status) { return status; }
    return tare__exact_parse_double(text, out) ? TARE_OK : not_number(b, r, part, text);
}

/* ---- models and tensors ------------------------------------------------------------------------------------------ */

static void params_visit(const binding *b, tare__visitor *v) { tare__visit_params(v, b->name, b->object); }
static const bind_kind params_kind = { .visit = params_visit };

/* "@name", or "@name.part". */
static const char *state_name(const binding *b, const char *part, key_buf *buffer) {
    snprintf(buffer->text, sizeof buffer->text, "@%s%s%s", b->name, part ? "." : "", part ? part : "");
    return buffer->text;
}

static void flat_visit(const binding *b, tare__visitor *v) {
    key_buf name = { "" };
    tare__visit_flat(v, state_name(b, NULL, &name), b->ps, b->object);
}
static const bind_kind flat_kind = { .visit = flat_visit };

static void tensor_visit(const binding *b, tare__visitor *v) {
    key_buf name = { "" };
    v->visit(v->context, state_name(b, NULL, &name), b->shape, b->object);
}
static const bind_kind tensor_kind = { .visit = tensor_visit };

/* ---- averages of weights ------------------------------------------------------------------------------------------- */

static void ema_visit(const binding *b, tare__visitor *v) {
    const tare_ema *e = b->object;
    key_buf name = { "" };
    tare__visit_flat(v, state_name(b, NULL, &name), tare_ema_params(e), tare_ema_flat(e));
    tare__visit_buffers(v, state_name(b, NULL, &name), tare_ema_params(e), tare_ema_buffer_flat(e));
}
static void ema_save(const binding *b, tare_writer *w) { save_uint(b, w, "updates", tare_ema_updates(b->object)); }
static tare_status ema_stage(const binding *b, const tare_reader *r, staged *s) {
    return stage_uint(b, r, "updates", &s->number[0]);
}
static void ema_commit(const binding *b, staged *s) { tare_ema_updates_set(b->object, s->number[0]); }
static const bind_kind ema_kind = { ema_visit, ema_save, ema_stage, ema_commit };

/* ---- optimizers -------------------------------------------------------------------------------------------------- */

static void optim_visit(const binding *b, tare__visitor *v) {
    const tare_optim *o = b->object;
    for (int i = 0; i < tare_optim_slots(o); i++) {
        key_buf name = { "" };
        tare__visit_flat(v, state_name(b, tare_optim_slot_name(o, i), &name), tare_optim_params(o),
                         tare_optim_slot(o, i));
    }
}

static void optim_save(const binding *b, tare_writer *w) {
    const tare_optim *o = b->object;
    tare__exact text = { "" };
    save_text(b, w, "name", tare_optim_name(o));
    save_uint(b, w, "steps", tare_optim_steps(o));
    save_text(b, w, "lr", tare__exact_double(tare_optim_lr(o), &text));
}

static tare_status optim_stage(const binding *b, const tare_reader *r, staged *s) {
    const char *name, *ours = tare_optim_name(b->object);
    tare_status status = stage_text(b, r, "name", &name);
    tare__shown shown;
    if (!status && strcmp(name, ours) != 0) {
        status = tare_fail(TARE_EMISMATCH, "%s: \"%s\" was saved from %s and cannot go on as %s", tare_reader_path(r),
                           b->name, tare__show(name, &shown), ours);
    }
    if (!status) { status = stage_uint(b, r, "steps", &s->number[0]); }
    if (!status) { status = stage_double(b, r, "lr", &s->real); }
    if (!status && !(s->real >= 0 && s->real - s->real == 0)) {
        status =
            tare_fail(TARE_EFORMAT, "%s: the learning rate of \"%s\" is %g", tare_reader_path(r), b->name, s->real);
    }
    return status;
}

static void optim_commit(const binding *b, staged *s) {
    tare_optim_steps_set(b->object, s->number[0]);
    tare_optim_lr_set(b->object, s->real); /* stage has seen that it is one */
}
static const bind_kind optim_kind = { optim_visit, optim_save, optim_stage, optim_commit };

/* ---- tapes and generators ---------------------------------------------------------------------------------------- */

static void tape_save(const binding *b, tare_writer *w) { save_uint(b, w, "step", tare_tape_step(b->object)); }
static tare_status tape_stage(const binding *b, const tare_reader *r, staged *s) {
    return stage_uint(b, r, "step", &s->number[0]);
}
static void tape_commit(const binding *b, staged *s) { tare_tape_step_set(b->object, s->number[0]); }
static const bind_kind tape_kind = { NULL, tape_save, tape_stage, tape_commit };

static void rng_save(const binding *b, tare_writer *w) {
    const tare_rng *rng = b->object;
    save_uint(b, w, "key", rng->key);
    save_uint(b, w, "stream", rng->stream);
    save_uint(b, w, "counter", rng->counter);
}
static tare_status rng_stage(const binding *b, const tare_reader *r, staged *s) {
    tare_status status = stage_uint(b, r, "key", &s->number[0]);
    if (!status) { status = stage_uint(b, r, "stream", &s->number[1]); }
    return status ? status : stage_uint(b, r, "counter", &s->number[2]);
}
static void rng_commit(const binding *b, staged *s) {
    *(tare_rng *)b->object = (tare_rng){ .key = s->number[0], .stream = s->number[1], .counter = s->number[2] };
}
static const bind_kind rng_kind = { NULL, rng_save, rng_stage, rng_commit };

/* ---- single numbers and texts ------------------------------------------------------------------------------------ */

static void int_save(const binding *b, tare_writer *w) {
    tare__exact text = { "" };
    save_text(b, w, NULL, tare__exact_int(*(int64_t *)b->object, &text));
}
static tare_status int_stage(const binding *b, const tare_reader *r, staged *s) {
    const char *text;
    tare_status status = stage_text(b, r, NULL, &text);
    if (status) { return status; }
    return tare__exact_parse_int(text, &s->whole) ? TARE_OK : not_number(b, r, NULL, text);
}
static void int_commit(const binding *b, staged *s) { *(int64_t *)b->object = s->whole; }
static const bind_kind int_kind = { NULL, int_save, int_stage, int_commit };

static void uint_save(const binding *b, tare_writer *w) { save_uint(b, w, NULL, *(uint64_t *)b->object); }
static tare_status uint_stage(const binding *b, const tare_reader *r, staged *s) {
    return stage_uint(b, r, NULL, &s->number[0]);
}
static void uint_commit(const binding *b, staged *s) { *(uint64_t *)b->object = s->number[0]; }
static const bind_kind uint_kind = { NULL, uint_save, uint_stage, uint_commit };

static void double_save(const binding *b, tare_writer *w) {
    tare__exact text = { "" };
    save_text(b, w, NULL, tare__exact_double(*(double *)b->object, &text));
}
static tare_status double_stage(const binding *b, const tare_reader *r, staged *s) {
    return stage_double(b, r, NULL, &s->real);
}
static void double_commit(const binding *b, staged *s) { *(double *)b->object = s->real; }
static const bind_kind double_kind = { NULL, double_save, double_stage, double_commit };

static void text_save(const binding *b, tare_writer *w) {
    const char *text = *(char **)b->object;
    save_text(b, w, NULL, text ? text : "");
}
static tare_status text_stage(const binding *b, const tare_reader *r, staged *s) {
    const char *text;
    tare_status status = stage_text(b, r, NULL, &text);
    if (status) { return status; }
    s->text = tare_strdup(text);
    return s->text ? TARE_OK : TARE_ENOMEM;
}
static void text_commit(const binding *b, staged *s) {
    char **text = b->object;
    tare_free(*text);
    *text = s->text;
    s->text = NULL;
}
static const bind_kind text_kind = { NULL, text_save, text_stage, text_commit };

/* ---- binding ----------------------------------------------------------------------------------------------------- */

tare_checkpoint *tare_checkpoint_new(void) { return tare_calloc(1, sizeof(tare_checkpoint)); }

void tare_checkpoint_free(tare_checkpoint *c) {
    if (!c) { return; }
    for (size_t i = 0; i < c->count; i++) { tare_free(c->bindings[i].name); }
    tare_free(c->bindings);
    tare_free(c);
}

/* Keep the message of the tare_fail that has just been. */
static void stick(tare_checkpoint *c, tare_status status) {
    c->status = status;
    snprintf(c->error, sizeof c->error, "%s", tare_error());
}

static bool make_room(tare_checkpoint *c) {
    if (c->count < c->room) { return true; }
    size_t room = c->room ? 2 * c->room : 16;
    binding *bindings = tare_calloc(room, sizeof *bindings);
    if (!bindings) { return false; }
    if (c->count) { memcpy(bindings, c->bindings, c->count * sizeof *bindings); }
    tare_free(c->bindings);
    c->bindings = bindings;
    c->room = room;
    return true;
}

static void bind(tare_checkpoint *c, const char *name, binding b) {
    if (!c || c->status) { return; }
    if (!b.object || (b.kind == &flat_kind && !b.ps)) {
        stick(c, tare_fail(TARE_EINVAL, "checkpoint: nothing given for \"%s\"", name));
    } else if (strlen(name) > 100) {
        stick(c, tare_fail(TARE_EINVAL, "checkpoint: the name \"%.40s...\" is longer than 100 characters", name));
    } else if (b.name = tare_strdup(name), !b.name || !make_room(c)) {
        tare_free(b.name);
        stick(c, TARE_ENOMEM);
    } else {
        c->bindings[c->count++] = b;
    }
}

void tare_checkpoint_params(tare_checkpoint *c, const char *name, tare_params *ps) {
    bind(c, name, (binding){ .kind = &params_kind, .object = ps });
}
void tare_checkpoint_optim(tare_checkpoint *c, const char *name, tare_optim *o) {
    bind(c, name, (binding){ .kind = &optim_kind, .object = o });
}
void tare_checkpoint_flat(tare_checkpoint *c, const char *name, const tare_params *ps, tare_real *flat) {
    int64_t size = ps ? tare_params_flat_size(ps) : 0;
    bind(c, name, (binding){ .kind = &flat_kind, .object = flat, .ps = ps, .flat_size = size });
}
void tare_checkpoint_ema(tare_checkpoint *c, const char *name, tare_ema *e) {
    bind(c, name, (binding){ .kind = &ema_kind, .object = e });
}
void tare_checkpoint_tensor(tare_checkpoint *c, const char *name, tare_shape shape, tare_real *data) {
    bind(c, name, (binding){ .kind = &tensor_kind, .object = data, .shape = shape });
}
void tare_checkpoint_tape(tare_checkpoint *c, const char *name, tare_tape *tape) {
    bind(c, name, (binding){ .kind = &tape_kind, .object = tape });
}
void tare_checkpoint_rng(tare_checkpoint *c, const char *name, tare_rng *rng) {
    bind(c, name, (binding){ .kind = &rng_kind, .object = rng });
}
void tare_checkpoint_int(tare_checkpoint *c, const char *name, int64_t *value) {
    bind(c, name, (binding){ .kind = &int_kind, .object = value });
}
void tare_checkpoint_uint(tare_checkpoint *c, const char *name, uint64_t *value) {
    bind(c, name, (binding){ .kind = &uint_kind, .object = value });
}
void tare_checkpoint_double(tare_checkpoint *c, const char *name, double *value) {
    bind(c, name, (binding){ .kind = &double_kind, .object = value });
}
void tare_checkpoint_text(tare_checkpoint *c, const char *name, char **text) {
    bind(c, name, (binding){ .kind = &text_kind, .object = text });
}

/* ---- saving and loading ------------------------------------------------------------------------------------------ */

static tare_status check(const tare_checkpoint *c, const char *path) {
    if (!c) { return tare_fail(TARE_ENOMEM, "%s: out of memory", path); }
    if (c->status) { return tare_fail(c->status, "%s: %s", path, c->error); }
    for (size_t i = 0; i < c->count; i++) {
        const binding *b = &c->bindings[i];
        bool optim = b->kind == &optim_kind, flat = b->kind == &flat_kind, ema = b->kind == &ema_kind;
        if (ema && tare_ema_swapped(b->object)) {
            return tare_fail(TARE_EINVAL, "%s: the average \"%s\" is swapped in; swap it out before", path, b->name);
        }
        if ((!optim || tare_optim_fits(b->object)) && (!flat || tare_params_flat_size(b->ps) == b->flat_size) &&
            (!ema || tare_ema_fits(b->object))) {
            continue;
        }
        return tare_fail(TARE_EINVAL, "%s: \"%s\" has no room for parameters added after it was %s", path, b->name,
                         flat ? "bound" : "made");
    }
    return TARE_OK;
}

static void visit_all(const tare_checkpoint *c, tare__visitor *v) {
    for (size_t i = 0; i < c->count; i++) {
        const binding *b = &c->bindings[i];
        if (b->kind->visit) { b->kind->visit(b, v); }
    }
}

tare_status tare_checkpoint_save(const tare_checkpoint *c, const char *path) {
    tare_status status = check(c, path);
    if (status) { return status; }
    tare_writer *w = tare_writer_new();
    tare__visitor v = { .visit = tare__save_tensor, .context = w };
    tare_writer_meta(w, TARE__FORMAT_KEY, TARE__FORMAT);
    tare_writer_meta(w, "tare.version", TARE_VERSION);
    tare_writer_meta(w, "tare.checkpoint", "1");
    for (size_t i = 0; i < c->count; i++) {
        const binding *b = &c->bindings[i];
        if (b->kind->save) { b->kind->save(b, w); }
    }
    visit_all(c, &v);
    status = v.name.failed ? tare_fail(TARE_ENOMEM, "%s: out of memory", path) : tare_writer_save(w, path);
    tare_free(v.name.data);
    tare_writer_free(w);
    return status;
}

/* Do all tensors fit, and is no model's tensor left over? */
static tare_status check_tensors(const tare_checkpoint *c, tare__fit *fit, tare__visitor *v) {
    v->visit = tare__fit_want;
    v->context = fit;
    visit_all(c, v);
    tare__fit_rest(fit, "");
    return v->name.failed ? TARE_ENOMEM : tare__fit_status(fit);
}

static tare_status load(const tare_checkpoint *c, const tare_reader *r, staged *all) {
    tare__fit fit;
    tare__visitor v = { 0 };
    tare_status status = tare__fit_begin(&fit, r, false);
    for (size_t i = 0; i < c->count && !status; i++) {
        const binding *b = &c->bindings[i];
        if (b->kind->stage) { status = b->kind->stage(b, r, &all[i]); }
    }
    if (!status) { status = check_tensors(c, &fit, &v); }
    if (!status) { /* from here on nothing can fail: `v` has room for every name already */
        v.visit = tare__fit_copy;
        visit_all(c, &v);
        for (size_t i = 0; i < c->count; i++) {
            const binding *b = &c->bindings[i];
            if (b->kind->commit) { b->kind->commit(b, &all[i]); }
        }
    }
    tare_free(v.name.data);
    tare__fit_free(&fit);
    return status;
}

tare_status tare_checkpoint_load(const tare_checkpoint *c, const char *path) {
    tare_reader *r = NULL;
    tare_status status = check(c, path);
    if (!status) { status = tare_reader_open(path, &r); }
    if (!status) { status = tare__format_check(r); }
    if (!status && !tare_reader_meta(r, "tare.checkpoint")) {
        status = tare_fail(TARE_EMISMATCH, "%s: holds no training state; tare_params_load takes its weights", path);
    }
    if (!status) {
        staged *all = tare_calloc(c->count + 1, sizeof *all);
        status = all ? load(c, r, all) : TARE_ENOMEM;
        for (size_t i = 0; all && i < c->count; i++) { tare_free(all[i].text); }
        tare_free(all);
    }
    tare_reader_free(r);
    return status;
}
