/* clip.c - the norm of all gradients, and clipping to it; clipping of the weights themselves. */
#include "../kernels/kernels.h"
#include "optim.h"

#include <math.h>

enum { GRAIN = 16384, MAX_CHUNKS = 256 };

typedef struct sum_job {
    const tare_real *x;
    int64_t grain;
    double part[MAX_CHUNKS];
} sum_job;

static void sum_chunk(void *context, int64_t begin, int64_t end) {
    sum_job *j = context;
    j->part[begin / j->grain] = tare__kernels()->sum_squares(j->x + begin, end - begin);
}

/* Chunks depend on n alone and their sums are added in order: the same bits for any number of threads. */
static double sum_squares(const tare_real *x, int64_t n) {
    sum_job j = { .x = x, .grain = GRAIN };
    while ((n - 1) / j.grain >= MAX_CHUNKS) { j.grain *= 2; }
    tare_parallel_for(n, j.grain, sum_chunk, &j);
    double sum = 0;
    for (int64_t i = 0; i * j.grain < n; i++) { sum += j.part[i]; }
    return sum;
}

double tare_grad_norm(tare_params *ps) {
    tare_params_settle_grad(ps);
    tare__stretch s;
    double sum = 0;
    for (int i = 0; tare__stretch_next(ps, &i, false, &s);) {
        sum += sum_squares(tare_params_flat_grad(ps) + s.begin, s.end - s.begin);
    }
    return sqrt(sum);
}

double tare_clip_scale(double norm, double max_norm) {
    if (!isfinite(norm) || !(max_norm > 0)) { return 1; }
    return fmin(max_norm / (norm + 1e-6), 1);
}

typedef struct scale_job {
    tare_real *x;
    tare_real factor;
} scale_job;

static void scale_chunk(void *context, int64_t begin, int64_t end) {
    const scale_job *j = context;
    tare__kernels()->multiply(j->x + begin, end - begin, j->factor);
}

double tare_clip_grad_norm(tare_params *ps, double max_norm) {
    double norm = tare_grad_norm(ps), scale = tare_clip_scale(norm, max_norm);
    tare__stretch s;
    for (int i = 0; scale < 1 && tare__stretch_next(ps, &i, false, &s);) {
        scale_job j = { tare_params_flat_grad(ps) + s.begin, (tare_real)scale };
        tare_parallel_for(s.end - s.begin, GRAIN, scale_chunk, &j);
    }
    return norm;
}

/* ---- weights ------------------------------------------------------------------------------------------------------- */

/* NaN stays, so that it is found. */
static void clamp_chunk(void *context, int64_t begin, int64_t end) {
    const scale_job *j = context;
    for (int64_t i = begin; i < end; i++) {
        tare_real x = j->x[i], low = x < -j->factor ? -j->factor : x;
        j->x[i] = low > j->factor ? j->factor : low;
    }
}

tare_status tare_clip_weights(tare_params *ps, double limit) {
    if (!(limit > 0)) { return tare_fail(TARE_EINVAL, "clip_weights: the limit is %g, and must be above 0", limit); }
    tare__stretch s;
    for (int i = 0; tare__stretch_next(ps, &i, false, &s);) {
        scale_job j = { tare_params_flat(ps) + s.begin, (tare_real)limit };
        tare_parallel_for(s.end - s.begin, GRAIN, clamp_chunk, &j);
    }
    return TARE_OK;
}
