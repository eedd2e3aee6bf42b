/* ema.c - an exponential moving average of a model's weights, with its buffers. */
#include "../kernels/kernels.h"
#include "optim.h"

#include <math.h>
#include <string.h>

enum { GRAIN = 16384 };

struct tare_ema {
    tare_params *ps;
    tare_real *flat, *buffers;
    int64_t flat_size, buffer_size;
    double decay;
    bool warmup, swapped;
    uint64_t updates;
};

static void copy(tare_real *to, const tare_real *from, int64_t n) {
    if (n) { memcpy(to, from, (size_t)n * sizeof *to); }
}

tare_ema *tare_ema_new(tare_params *ps, tare_ema_opt opt) {
    double decay = tare__option(opt.decay, 0.999);
    if (tare__option_check("ema", "decay", decay, 0, 1)) { return NULL; }
    if (!ps || tare_params_status(ps)) {
        tare_fail(TARE_EINVAL, "ema: %s", ps ? tare_params_error(ps) : "the parameters are NULL");
        return NULL;
    }
    tare_ema *e = tare_calloc(1, sizeof *e);
    if (!e) { return NULL; }
    *e = (tare_ema){ .ps = ps, .decay = decay, .warmup = opt.warmup };
    e->flat_size = tare_params_flat_size(ps);
    e->buffer_size = tare_params_buffer_flat_size(ps);
    e->flat = tare_calloc((size_t)e->flat_size + 1, sizeof *e->flat);
    e->buffers = tare_calloc((size_t)e->buffer_size + 1, sizeof *e->buffers);
    if (!e->flat || !e->buffers) {
        tare_ema_free(e);
        return NULL;
    }
    copy(e->flat, tare_params_flat(ps), e->flat_size);
    copy(e->buffers, tare_params_buffer_flat(ps), e->buffer_size);
    return e;
}

void tare_ema_free(tare_ema *e) {
    if (!e) { return; }
    tare_free(e->flat);
    tare_free(e->buffers);
    tare_free(e);
}

bool tare_ema_fits(const tare_ema *e) {
    return tare_params_flat_size(e->ps) == e->flat_size && tare_params_buffer_flat_size(e->ps) == e->buffer_size;
}

static tare_status check(const tare_ema *e) {
    if (tare_ema_fits(e)) { return TARE_OK; }
    return tare_fail(TARE_EINVAL, "ema: parameters were added since it was made; make it after the whole model");
}

/* ---- update ---------------------------------------------------------------------------------------------------------- */

typedef struct mix_job {
    tare_real *to;
    const tare_real *from;
    tare_real keep, take;
} mix_job;

static void mix_chunk(void *context, int64_t begin, int64_t end) {
    const mix_job *j = context;
    tare__kernels()->mix(j->to + begin, j->from + begin, end - begin, j->keep, j->take);
}

tare_status tare_ema_update(tare_ema *e) {
    tare_status status = check(e);
    if (status) { return status; }
    if (e->swapped) {
        return tare_fail(TARE_EINVAL,
                         "ema: the average is swapped in; tare_ema_swap once more before training goes on");
    }
    double decay = e->decay, t = (double)e->updates;
    if (e->warmup) { decay = fmin(decay, (1 + t) / (10 + t)); }
    mix_job j = { e->flat, tare_params_flat(e->ps), (tare_real)decay, (tare_real)(1 - decay) };
    tare_parallel_for(e->flat_size, GRAIN, mix_chunk, &j);
    copy(e->buffers, tare_params_buffer_flat(e->ps), e->buffer_size);
    e->updates++;
    return TARE_OK;
}

/* ---- swap ------------------------------------------------------------------------------------------------------------ */

static void exchange(tare_real *a, tare_real *b, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        tare_real keep = a[i];
        a[i] = b[i];
        b[i] = keep;
    }
}

tare_status tare_ema_swap(tare_ema *e) {
    tare_status status = check(e);
    if (status) { return status; }
    exchange(e->flat, tare_params_flat(e->ps), e->flat_size);
    exchange(e->buffers, tare_params_buffer_flat(e->ps), e->buffer_size);
    e->swapped = !e->swapped;
    return TARE_OK;
}

bool tare_ema_swapped(const tare_ema *e) { return e->swapped; }
tare_params *tare_ema_params(const tare_ema *e) { return e->ps; }
tare_real *tare_ema_flat(const tare_ema *e) { return e->flat; }
tare_real *tare_ema_buffer_flat(const tare_ema *e) { return e->buffers; }
uint64_t tare_ema_updates(const tare_ema *e) { return e->updates; }
void tare_ema_updates_set(tare_ema *e, uint64_t updates) { e->updates = updates; }
