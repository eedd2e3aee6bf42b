/* params.c - named parameters and buffers, each kind in one flat block that grows while the model is being built. */
#include <tare/params.h>

#include "grow.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PAD = 64 / sizeof(tare_real) }; /* each tensor starts on a cache line */
enum { LEARNS = 1 << 30 };             /* a flag of ours: requires a gradient while nothing is frozen */
enum { SCOPE_SIZE = 512, SCOPE_DEPTH = 64, ERROR_SIZE = 1024 };

/* One kind of tensor: parameters (with gradients) or buffers (without). */
typedef struct block {
    tare_tensor **tensor;
    unsigned *flags;
    int64_t *offset;
    int count, room;
    tare_real *data, *grad;
    int64_t size, capacity;
    bool has_grad;
} block;

struct tare_params {
    uint64_t seed;
    block params, buffers;
    void **owned;
    int owned_count, owned_room;
    char scope[SCOPE_SIZE];
    size_t scope_end[SCOPE_DEPTH]; /* how long it was before each push */
    int scopes;
    bool frozen;
    tare_status status;
    char error[ERROR_SIZE];
};

/* ---- life and errors --------------------------------------------------------------------------------------------- */

tare_params *tare_params_new(uint64_t seed) {
    tare_params *ps = tare_calloc(1, sizeof *ps);
    if (!ps) { return NULL; }
    ps->seed = seed;
    ps->params.has_grad = true;
    return ps;
}

static void block_free(block *b) {
    for (int i = 0; i < b->count; i++) { tare_free(b->tensor[i]); }
    tare_free(b->tensor);
    tare_free(b->flags);
    tare_free(b->offset);
    tare_free(b->data);
    tare_free(b->grad);
}

void tare_params_free(tare_params *ps) {
    if (!ps) { return; }
    block_free(&ps->params);
    block_free(&ps->buffers);
    while (ps->owned_count) { tare_free(ps->owned[--ps->owned_count]); }
    tare_free(ps->owned);
    tare_free(ps);
}

tare_status tare_params_status(const tare_params *ps) { return ps ? ps->status : TARE_ENOMEM; }
const char *tare_params_error(const tare_params *ps) { return ps ? ps->error : tare_status_text(TARE_ENOMEM); }

void *tare_params_fail(tare_params *ps, tare_status status, const char *format, ...) {
    char text[ERROR_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    tare_fail(status, "%s", text);
    if (ps && ps->status == TARE_OK) {
        ps->status = status;
        memcpy(ps->error, text, sizeof text);
    }
    return NULL;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

void tare_params_push(tare_params *ps, const char *scope) {
    if (!ps) { return; }
    size_t used = strlen(ps->scope);
    if (ps->scopes < SCOPE_DEPTH) { ps->scope_end[ps->scopes] = used; }
    int wrote = snprintf(ps->scope + used, SCOPE_SIZE - used, "%s.", scope);
    if (wrote < 0 || (size_t)wrote >= SCOPE_SIZE - used || ps->scopes >= SCOPE_DEPTH) {
        ps->scope[used] = 0;
        tare_params_fail(ps, TARE_EINVAL, "scope \"%s\" is too long or too deep", scope);
    }
    ps->scopes++; /* even then, so that the matching pop takes nothing else away */
}

void tare_params_pop(tare_params *ps) {
    if (!ps || ps->scopes == 0) { return; }
    ps->scopes--;
    if (ps->scopes < SCOPE_DEPTH) { ps->scope[ps->scope_end[ps->scopes]] = 0; }
}

const char *tare_params_name(tare_params *ps, const char *name) {
    if (!ps || ps->status) { return NULL; }
    if (!name) { return tare_params_fail(ps, TARE_EINVAL, "a parameter of \"%s\" has no name: NULL", ps->scope); }
    size_t size = strlen(ps->scope) + strlen(name) + 1;
    char *full = tare_params_own(ps, tare_malloc(size));
    if (full) { snprintf(full, size, "%s%s", ps->scope, name); }
    return full;
}

static tare_tensor *block_find(const block *b, const char *name) {
    for (int i = 0; i < b->count; i++) {
        if (strcmp(b->tensor[i]->name, name) == 0) { return b->tensor[i]; }
    }
    return NULL;
}

tare_tensor *tare_params_find(const tare_params *ps, const char *full_name) {
    if (!ps || !full_name) { return NULL; }
    tare_tensor *found = block_find(&ps->params, full_name);
    return found ? found : block_find(&ps->buffers, full_name);
}

/* ---- growth ------------------------------------------------------------------------------------------------------ */

/* Replace *array by a larger copy; false, with nothing changed, when memory is short. */
static bool grow(void *array_address, size_t used, size_t room, size_t size) {
    void *old, *larger;
    memcpy(&old, array_address, sizeof old);
    larger = tare__grow(old, used * size, room, size);
    if (!larger) { return false; }
    memcpy(array_address, &larger, sizeof larger);
    return true;
}

static bool block_reserve(block *b, int64_t more) {
    if (b->count == b->room) {
        size_t n = (size_t)b->count, room = b->room ? 2 * (size_t)b->room : 16;
        if (!grow(&b->tensor, n, room, sizeof *b->tensor) || !grow(&b->flags, n, room, sizeof *b->flags) ||
            !grow(&b->offset, n, room, sizeof *b->offset)) {
            return false;
        }
        b->room = (int)room;
    }
    if (b->size + more > b->capacity) {
        int64_t capacity = b->size + more > 2 * b->capacity ? b->size + more : 2 * b->capacity;
        if (!grow(&b->data, (size_t)b->size, (size_t)capacity, sizeof(tare_real))) { return false; }
        for (int i = 0; i < b->count; i++) { b->tensor[i]->data = b->data + b->offset[i]; }
        if (b->has_grad) {
            if (!grow(&b->grad, (size_t)b->size, (size_t)capacity, sizeof(tare_real))) { return false; }
            for (int i = 0; i < b->count; i++) { b->tensor[i]->grad = b->grad + b->offset[i]; }
        }
        b->capacity = capacity;
    }
    return true;
}

static tare_tensor *block_add(tare_params *ps, block *b, const char *name, tare_shape shape, unsigned flags) {
    const char *full = tare_params_name(ps, name);
    if (!full) { return NULL; }
    if (tare_params_find(ps, full)) {
        return tare_params_fail(ps, TARE_EEXIST, "parameter \"%s\" exists already", full);
    }
    int64_t numel = tare_shape_numel(shape);
    if (numel <= 0) {
        tare_shape_buf buf;
        return tare_params_fail(ps, TARE_ESHAPE, "parameter \"%s\": %s is no shape with a value, or has too many", full,
                                tare_shape_text(shape, &buf));
    }
    int64_t padded = (numel + PAD - 1) / PAD * PAD;
    tare_tensor *w = tare_calloc(1, sizeof *w);
    if (!w || !block_reserve(b, padded)) {
        tare_free(w);
        return tare_params_fail(ps, TARE_ENOMEM, "out of memory for parameter \"%s\"", full);
    }
    *w = (tare_tensor){ .shape = shape, .numel = numel, .name = full, .is_param = b->has_grad };
    w->data = b->data + b->size;
    w->grad = b->has_grad ? b->grad + b->size : NULL;
    w->requires_grad = b->has_grad && !ps->frozen;
    w->grad_fresh = b->has_grad;
    b->tensor[b->count] = w;
    b->flags[b->count] = flags | LEARNS;
    b->offset[b->count++] = b->size;
    b->size += padded;
    return w;
}

tare_tensor *tare_param(tare_params *ps, const char *name, tare_shape shape, unsigned flags) {
    return ps ? block_add(ps, &ps->params, name, shape, flags) : NULL;
}

tare_tensor *tare_buffer(tare_params *ps, const char *name, tare_shape shape) {
    return ps ? block_add(ps, &ps->buffers, name, shape, 0) : NULL;
}

void *tare_params_own(tare_params *ps, void *memory) {
    if (!ps || !memory) {
        tare_free(memory);
        return tare_params_fail(ps, TARE_ENOMEM, "out of memory while building the model");
    }
    if (ps->owned_count == ps->owned_room) {
        int room = ps->owned_room ? 2 * ps->owned_room : 32;
        if (!grow(&ps->owned, (size_t)ps->owned_count, (size_t)room, sizeof *ps->owned)) {
            tare_free(memory);
            return tare_params_fail(ps, TARE_ENOMEM, "out of memory while building the model");
        }
        ps->owned_room = room;
    }
    return ps->owned[ps->owned_count++] = memory;
}

tare_rng tare_params_rng(const tare_params *ps, const char *full_name) {
    return tare_rng_split_name(tare_rng_new(ps->seed, "init"), full_name);
}

/* ---- looking at them --------------------------------------------------------------------------------------------- */

int tare_params_count(const tare_params *ps) { return ps->params.count; }
tare_tensor *tare_params_at(const tare_params *ps, int i) { return ps->params.tensor[i]; }
unsigned tare_params_flags(const tare_params *ps, int i) { return ps->params.flags[i] & ~(unsigned)LEARNS; }
int64_t tare_params_offset(const tare_params *ps, int i) { return ps->params.offset[i]; }
int64_t tare_params_flat_size(const tare_params *ps) { return ps->params.size; }
tare_real *tare_params_flat(const tare_params *ps) { return ps->params.data; }
tare_real *tare_params_flat_grad(const tare_params *ps) { return ps->params.grad; }
int tare_params_buffers(const tare_params *ps) { return ps->buffers.count; }
tare_tensor *tare_params_buffer_at(const tare_params *ps, int i) { return ps->buffers.tensor[i]; }
int64_t tare_params_buffer_flat_size(const tare_params *ps) { return ps->buffers.size; }
tare_real *tare_params_buffer_flat(const tare_params *ps) { return ps->buffers.data; }

int64_t tare_params_numel(const tare_params *ps) {
    int64_t n = 0;
    for (int i = 0; i < ps->params.count; i++) { n += ps->params.tensor[i]->numel; }
    return n;
}

/* ---- gradients --------------------------------------------------------------------------------------------------- */

void tare_params_zero_grad(tare_params *ps) {
    for (int i = 0; i < ps->params.count; i++) { ps->params.tensor[i]->grad_fresh = true; }
}

void tare_params_settle_grad(tare_params *ps) {
    for (int i = 0; i < ps->params.count; i++) {
        tare_tensor *w = ps->params.tensor[i];
        if (w->grad_fresh) { memset(w->grad, 0, (size_t)w->numel * sizeof *w->grad); }
        w->grad_fresh = false;
    }
}

void tare_params_freeze(tare_params *ps, bool frozen) {
    if (ps->frozen == frozen) { return; }
    ps->frozen = frozen;
    for (int i = 0; i < ps->params.count; i++) {
        bool *wanted = &ps->params.tensor[i]->requires_grad;
        unsigned *flags = &ps->params.flags[i];
        if (frozen) { *flags = (*flags & ~(unsigned)LEARNS) | (*wanted ? (unsigned)LEARNS : 0); }
        *wanted = !frozen && (*flags & LEARNS);
    }
}

bool tare_params_frozen(const tare_params *ps) { return ps->frozen; }
