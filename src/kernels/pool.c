/* pool.c - pooling over planes with any window, and the mean of whole planes. Outputs whose windows lie inside the rows of the
 * input go in vectors where the stride is 1 or 2; the plain functions *_one compute the rest. */
#include "pool_vectors.h"

#include <math.h>
#include <string.h>

static inline int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }

/* The part of a window that lies inside the input: rows [r0, r1), columns [c0, c1). */
typedef struct window {
    int64_t r0, r1, c0, c1;
} window;

static inline window window_at(const tare__pool *p, int64_t i, int64_t j) {
    int64_t top = i * p->stride_h - p->pad_h, left = j * p->stride_w - p->pad_w;
    return (window){ at_least(top, 0), at_most(top + p->kernel_h, p->h), at_least(left, 0),
                     at_most(left + p->kernel_w, p->w) };
}

/* The outputs [begin, end) of a row whose windows reach neither over the left nor the right edge. */
typedef struct span {
    int64_t begin, end;
} span;

static inline span inner_span(const tare__pool *p) {
    int64_t begin = at_most((p->pad_w + p->stride_w - 1) / p->stride_w, p->ow), room = p->w + p->pad_w - p->kernel_w;
    int64_t end = room < 0 ? 0 : at_most(room / p->stride_w + 1, p->ow);
    return (span){ begin, at_least(begin, end) };
}

static void max_one(const tare__pool *p, const tare_real *x, int64_t i, int64_t j, tare_real *y, int32_t *index) {
    window in = window_at(p, i, j);
    int64_t where = in.r0 * p->w + in.c0;
    tare_real best = x[where];
    for (int64_t r = in.r0; r < in.r1; r++) {
        for (int64_t c = in.c0; c < in.c1; c++) {
            tare_real v = x[r * p->w + c];
            if (v > best || isnan(v)) { best = v, where = r * p->w + c; }
        }
    }
    *y = best;
    if (index) { *index = (int32_t)where; }
}

static void avg_one(const tare__pool *p, const tare_real *x, int64_t i, int64_t j, tare_real count, tare_real *y) {
    window in = window_at(p, i, j);
    tare_real sum = 0;
    for (int64_t r = in.r0; r < in.r1; r++) {
        for (int64_t c = in.c0; c < in.c1; c++) { sum += x[r * p->w + c]; }
    }
    *y = sum / count;
}

#ifdef POOL_VECTORS
/* LANES neighbouring outputs, of which `first` is the left one, from windows that lie inside the rows of the input. */
POOL_INLINE void max_lanes(const tare__pool *p, const tare_real *x, int64_t i, int64_t first, int stride, tare_real *y,
                           int32_t *index) {
    static const lane_int ramp[LANES] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    window in = window_at(p, i, first);
    reals best = LOAD_STRIDED(x + in.r0 * p->w + in.c0, stride);
    masks lane = *(const masks *)ramp * stride, where = lane + (lane_int)(in.r0 * p->w + in.c0);
    for (int64_t r = in.r0; r < in.r1; r++) {
        for (int64_t c = in.c0; c < in.c1; c++) {
            reals v = LOAD_STRIDED(x + r * p->w + c, stride);
            masks better = (v > best) | IS_NAN(v), here = lane + (lane_int)(r * p->w + c);
            best = SELECT(better, v, best);
            where = (better & here) | (~better & where);
        }
    }
    STORE(y) = best;
    for (int l = 0; index && l < LANES; l++) { index[l] = (int32_t)where[l]; }
}

POOL_INLINE void avg_lanes(const tare__pool *p, const tare_real *x, int64_t i, int64_t first, int stride,
                           tare_real count, tare_real *y) {
    window in = window_at(p, i, first);
    reals sum = { 0 };
    for (int64_t r = in.r0; r < in.r1; r++) {
        for (int64_t c = in.c0; c < in.c1; c++) { sum += LOAD_STRIDED(x + r * p->w + c, stride); }
    }
    STORE(y) = sum / count;
}
#endif

/* Can outputs [begin, end) of a row go LANES at a time? The last such group may overlap the one before. */
static inline bool in_lanes(const tare__pool *p, span s) {
#ifdef POOL_VECTORS
    return p->stride_w <= 2 && s.end - s.begin >= LANES;
#else
    (void)p, (void)s;
    return false;
#endif
}

static void max_row(const tare__pool *p, span s, const tare_real *x, int64_t i, tare_real *y, int32_t *index) {
    if (!in_lanes(p, s)) { s = (span){ 0, 0 }; }
    for (int64_t j = 0; j < s.begin; j++) { max_one(p, x, i, j, y + j, index ? index + j : NULL); }
#ifdef POOL_VECTORS
    for (int64_t at = s.begin; at < s.end; at += LANES) {
        int64_t j = at_most(at, s.end - LANES);
        int32_t *to = index ? index + j : NULL;
        if (p->stride_w == 1) {
            max_lanes(p, x, i, j, 1, y + j, to);
        } else {
            max_lanes(p, x, i, j, 2, y + j, to);
        }
    }
#endif
    for (int64_t j = s.end; j < p->ow; j++) { max_one(p, x, i, j, y + j, index ? index + j : NULL); }
}

void TARE_K(max_pool)(const tare__pool *p, int64_t planes, const tare_real *x, tare_real *y, int32_t *index) {
    span s = inner_span(p);
    for (int64_t row = 0; row < planes * p->oh; row++) {
        int64_t at = row * p->ow;
        max_row(p, s, x + row / p->oh * p->h * p->w, row % p->oh, y + at, index ? index + at : NULL);
        for (int64_t j = at; p->relu && j < at + p->ow; j++) {
            if (!(y[j] <= 0)) { continue; }
            y[j] = 0;
            if (index) { index[j] = TARE__POOL_NOWHERE; }
        }
    }
}

void TARE_K(max_pool_back)(const tare__pool *p, int64_t planes, const tare_real *dy, const int32_t *index,
                           tare_real *dx, bool add) {
    int64_t in = p->h * p->w, out = p->oh * p->ow;
    if (!add) { memset(dx, 0, (size_t)(planes * in) * sizeof *dx); }
    for (int64_t plane = 0; plane < planes; plane++, dx += in, dy += out, index += out) {
        for (int64_t j = 0; j < out; j++) {
            if (index[j] != TARE__POOL_NOWHERE) { dx[index[j]] += dy[j]; }
        }
    }
}

/* How many cells of a window count along one dimension: those inside the input, or those inside the padded input. */
static inline int64_t cells(int64_t i, int64_t size, int64_t kernel, int64_t stride, int64_t pad, bool exclude_pad) {
    int64_t begin = i * stride - pad, end = at_most(begin + kernel, size + pad);
    return exclude_pad ? at_most(end, size) - at_least(begin, 0) : end - begin;
}

static inline int64_t rows_counted(const tare__pool *p, int64_t i) {
    return cells(i, p->h, p->kernel_h, p->stride_h, p->pad_h, p->exclude_pad);
}

/* What output j of a row is divided by, where `rows` rows count. */
static inline tare_real divisor(const tare__pool *p, int64_t rows, int64_t j) {
    return (tare_real)(rows * cells(j, p->w, p->kernel_w, p->stride_w, p->pad_w, p->exclude_pad));
}

static void avg_row(const tare__pool *p, span s, const tare_real *x, int64_t i, tare_real *y) {
    int64_t rows = rows_counted(p, i);
    if (!in_lanes(p, s)) { s = (span){ 0, 0 }; }
    for (int64_t j = 0; j < s.begin; j++) { avg_one(p, x, i, j, divisor(p, rows, j), y + j); }
#ifdef POOL_VECTORS
    tare_real count = (tare_real)(rows * p->kernel_w);
    for (int64_t at = s.begin; at < s.end; at += LANES) {
        int64_t j = at_most(at, s.end - LANES);
        if (p->stride_w == 1) {
            avg_lanes(p, x, i, j, 1, count, y + j);
        } else {
            avg_lanes(p, x, i, j, 2, count, y + j);
        }
    }
#endif
    for (int64_t j = s.end; j < p->ow; j++) { avg_one(p, x, i, j, divisor(p, rows, j), y + j); }
}

void TARE_K(avg_pool)(const tare__pool *p, int64_t planes, const tare_real *x, tare_real *y) {
    span s = inner_span(p);
    for (int64_t row = 0; row < planes * p->oh; row++) {
        avg_row(p, s, x + row / p->oh * p->h * p->w, row % p->oh, y + row * p->ow);
    }
}

/* Spread one output's gradient over its window. */
static void avg_back_one(const tare__pool *p, tare_real g, int64_t i, int64_t j, tare_real *dx) {
    window in = window_at(p, i, j);
    for (int64_t r = in.r0; r < in.r1; r++) {
        for (int64_t c = in.c0; c < in.c1; c++) { dx[r * p->w + c] += g; }
    }
}

/* The same for n neighbours from windows inside the rows of the input, one cell of all windows at a time: neighbours then
 * write to different places. */
static void avg_back_many(const tare__pool *p, const tare_real *g, int64_t i, int64_t first, int64_t n, tare_real *dx) {
    window in = window_at(p, i, first);
    for (int64_t r = in.r0; r < in.r1; r++) {
        for (int64_t c = in.c0; c < in.c1; c++) {
            tare_real *to = dx + r * p->w + c;
            if (p->stride_w == 1) {
                TARE_SIMD
                for (int64_t j = 0; j < n; j++) { to[j] += g[j]; }
            } else {
                for (int64_t j = 0; j < n; j++) { to[j * p->stride_w] += g[j]; }
            }
        }
    }
}

static void avg_back_row(const tare__pool *p, span s, const tare_real *dy, int64_t i, tare_real *dx) {
    enum { MANY = 64 };
    int64_t rows = rows_counted(p, i);
    tare_real g[MANY], count = (tare_real)(rows * p->kernel_w);
    for (int64_t j = 0; j < s.begin; j++) { avg_back_one(p, dy[j] / divisor(p, rows, j), i, j, dx); }
    for (int64_t first = s.begin; first < s.end; first += MANY) {
        int64_t n = at_most(s.end - first, MANY);
        for (int64_t j = 0; j < n; j++) { g[j] = dy[first + j] / count; }
        avg_back_many(p, g, i, first, n, dx);
    }
    for (int64_t j = s.end; j < p->ow; j++) { avg_back_one(p, dy[j] / divisor(p, rows, j), i, j, dx); }
}

void TARE_K(avg_pool_back)(const tare__pool *p, int64_t planes, const tare_real *dy, tare_real *dx, bool add) {
    if (!add) { memset(dx, 0, (size_t)(planes * p->h * p->w) * sizeof *dx); }
    span s = inner_span(p);
    for (int64_t row = 0; row < planes * p->oh; row++) {
        avg_back_row(p, s, dy + row * p->ow, row % p->oh, dx + row / p->oh * p->h * p->w);
    }
}

/* ---- the whole plane --------------------------------------------------------------------------------------------- */

static inline tare_real sum_of(const tare_real *x, int64_t n) {
    tare_real sum = 0;
    TARE_SIMD_SUM(sum)
    for (int64_t j = 0; j < n; j++) { sum += x[j]; }
    return sum;
}

void TARE_K(plane_mean)(int64_t planes, int64_t size, const tare_real *x, tare_real *y) {
    enum { BLOCK = 256 }; /* keeps the rounding error of large planes at that of a short sum */
    double share = 1 / (double)size;
    for (int64_t plane = 0; plane < planes; plane++, x += size) {
        double total = 0;
        for (int64_t j = 0; j < size; j += BLOCK) { total += (double)sum_of(x + j, at_most(size - j, BLOCK)); }
        y[plane] = (tare_real)(total * share);
    }
}

void TARE_K(plane_mean_back)(int64_t planes, int64_t size, const tare_real *dy, tare_real *dx, bool add) {
    for (int64_t plane = 0; plane < planes; plane++, dx += size) {
        tare_real g = dy[plane] / (tare_real)size;
        if (add) {
            for (int64_t j = 0; j < size; j++) { dx[j] += g; }
        } else {
            for (int64_t j = 0; j < size; j++) { dx[j] = g; }
        }
    }
}
