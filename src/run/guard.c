/* guard.c - the state before a step, to go back to where the step made NaN or Inf. */
#include <tare/run.h>

#include <math.h>
#include <string.h>

enum { MOST_ALSO = 4 };

typedef struct also {
    void *memory, *copy;
    size_t bytes;
} also;

struct tare_guard {
    tare_params *ps;
    tare_tape *tape;
    tare_loader *loader;
    tare_real *buffers; /* copy of ps's, NULL where it has none */
    uint64_t tape_step;
    tare_loader_state place;
    also also[MOST_ALSO];
    int alsos;
};

static size_t buffer_bytes(const tare_params *ps) {
    return (size_t)tare_params_buffer_flat_size(ps) * sizeof(tare_real);
}

tare_guard *tare_guard_new(tare_params *ps, tare_tape *tape, tare_loader *loader) {
    tare_guard *g = tare_calloc(1, sizeof *g);
    if (!g) { return NULL; }
    *g = (tare_guard){ .ps = ps, .tape = tape, .loader = loader };
    if (buffer_bytes(ps) > 0 && !(g->buffers = tare_malloc(buffer_bytes(ps)))) {
        tare_free(g);
        return NULL;
    }
    tare_guard_keep(g);
    return g;
}

void tare_guard_free(tare_guard *g) {
    if (!g) { return; }
    for (int i = 0; i < g->alsos; i++) { tare_free(g->also[i].copy); }
    tare_free(g->buffers);
    tare_free(g);
}

tare_status tare_guard_also(tare_guard *g, void *memory, size_t bytes) {
    if (g->alsos == MOST_ALSO) { return tare_fail(TARE_EINVAL, "guard: %d things are kept, no more fit", g->alsos); }
    void *copy = tare_malloc(bytes);
    if (!copy) { return TARE_ENOMEM; }
    memcpy(copy, memory, bytes);
    g->also[g->alsos++] = (also){ memory, copy, bytes };
    return TARE_OK;
}

void tare_guard_keep(tare_guard *g) {
    for (int i = 0; i < g->alsos; i++) { memcpy(g->also[i].copy, g->also[i].memory, g->also[i].bytes); }
    if (g->buffers) { memcpy(g->buffers, tare_params_buffer_flat(g->ps), buffer_bytes(g->ps)); }
    if (g->tape) { g->tape_step = tare_tape_step(g->tape); }
    if (g->loader) { g->place = tare_loader_tell(g->loader); }
}

tare_status tare_guard_restore(tare_guard *g) {
    for (int i = 0; i < g->alsos; i++) { memcpy(g->also[i].memory, g->also[i].copy, g->also[i].bytes); }
    if (g->buffers) { memcpy(tare_params_buffer_flat(g->ps), g->buffers, buffer_bytes(g->ps)); }
    tare_params_zero_grad(g->ps);
    if (g->tape) {
        tare_tape_reset(g->tape);
        tare_tape_step_set(g->tape, g->tape_step);
    }
    return g->loader ? tare_loader_seek(g->loader, g->place) : TARE_OK;
}

tare_status tare_guard_explain(tare_guard *g, tare_status (*step)(void *user), void *user, char *why, size_t size) {
    snprintf(why, size, "%s", tare_error());
    tare_status s = tare_guard_restore(g);
    if (g->tape) { tare_tape_check_finite(g->tape, true); }
    if (s == TARE_OK && step(user) == TARE_ENONFINITE) { snprintf(why, size, "%s", tare_error()); }
    if (g->tape) { tare_tape_check_finite(g->tape, false); }
    if (s == TARE_OK) { s = tare_guard_restore(g); }
    return s == TARE_OK ? tare_params_check_finite(g->ps) : s;
}

static tare_status check_tensor(const tare_tensor *w) {
    for (int64_t i = 0; i < w->numel; i++) {
        if (!isfinite((double)w->data[i])) {
            return tare_fail(TARE_ENONFINITE, "%s holds %g at %lld of %lld", w->name, (double)w->data[i], (long long)i,
                             (long long)w->numel);
        }
    }
    return TARE_OK;
}

tare_status tare_params_check_finite(const tare_params *ps) {
    tare_status s = TARE_OK;
    for (int i = 0; s == TARE_OK && i < tare_params_count(ps); i++) { s = check_tensor(tare_params_at(ps, i)); }
    for (int i = 0; s == TARE_OK && i < tare_params_buffers(ps); i++) {
        s = check_tensor(tare_params_buffer_at(ps, i));
    }
    return s;
}

tare_status tare_params_load_finite(tare_params *ps, const char *path, tare_load_opt opt) {
    tare_status s = tare_params_load(ps, path, opt);
    if (s == TARE_OK && (s = tare_params_check_finite(ps)) != TARE_OK) {
        return tare_fail(s, "%s: %s; a model that holds NaN or Inf says nothing", path, tare_error());
    }
    return s;
}
