/* pool.c - pooling over planes: 2 x 2 windows side by side in vector registers, any other window in plain loops. */
#include "kernels.h"
#include "pool.h"

#include <math.h>
#include <string.h>

/* ---- 2 x 2, stride 2 --------------------------------------------------------------------------------------------- */

/* Blocks of LANES outputs need not end where a row does. Such a block reads a little of the next row and spoils the
 * beginning of the next row of what it writes, and the next row, which comes later, puts that right. So rows of any
 * length go in whole vectors; only the last rows of a call, which nobody would put right, take the plain loop.
 *   x: [planes, h, w], y: [planes, oh, ow]; a block at row r, column j is allowed while r ow + j + LANES <= planes oh ow;
 *   as h >= 2 oh and w >= 2 ow, its reads then end inside x as well. */
#if defined(__GNUC__) && defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector) && __has_builtin(__builtin_convertvector)
#define POOL_VECTORS
#endif
#endif

enum { LANES = 8 };

#ifdef POOL_VECTORS
#ifdef TARE_F64
typedef int64_t lane_int;
#else
typedef int32_t lane_int;
#endif
/* Aligned as their elements are, since rows start anywhere. */
typedef tare_real reals __attribute__((vector_size(LANES * sizeof(tare_real)), aligned(sizeof(tare_real)), may_alias));
typedef lane_int masks __attribute__((vector_size(LANES * sizeof(tare_real)), aligned(sizeof(tare_real)), may_alias));
typedef uint8_t bytes __attribute__((vector_size(LANES), aligned(1), may_alias));

/* Macros, not functions: vectors wider than a level's registers cannot be passed without a warning. */
#define LOAD(p)            (*(const reals *)(p))
#define STORE(p)           (*(reals *)(p))
#define EVEN(a, b)         __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14)
#define ODD(a, b)          __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15)
#define FIRST(a, b)        __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define LAST(a, b)         __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define SELECT(mask, a, b) ((reals)(((masks)(a) & (mask)) | ((masks)(b) & ~(mask))))

static inline __attribute__((always_inline)) void max_block(const tare_real *top, const tare_real *bottom, tare_real *y,
                                                            uint8_t *index) {
    reals a = LOAD(top), b = LOAD(top + LANES), c = LOAD(bottom), d = LOAD(bottom + LANES);
    reals a0 = EVEN(a, b), a1 = ODD(a, b), b0 = EVEN(c, d), b1 = ODD(c, d);
    masks right_a = (a1 > a0) | (a1 != a1), right_b = (b1 > b0) | (b1 != b1);
    reals best_a = SELECT(right_a, a1, a0), best_b = SELECT(right_b, b1, b0);
    masks below = (best_b > best_a) | (best_b != best_b);
    STORE(y) = SELECT(below, best_b, best_a);
    if (index) {
        masks where = (below & (2 - right_b)) | (~below & -right_a);
        *(bytes *)index = __builtin_convertvector(where, bytes);
    }
}

static inline __attribute__((always_inline)) void max_back_block(const tare_real *dy, const uint8_t *index,
                                                                 tare_real *top, tare_real *bottom) {
    masks where = __builtin_convertvector(*(const bytes *)index, masks);
    masks g = (masks)LOAD(dy);
    reals a0 = (reals)(g & (where == 0)), a1 = (reals)(g & (where == 1));
    reals b0 = (reals)(g & (where == 2)), b1 = (reals)(g & (where == 3));
    STORE(top) = FIRST(a0, a1);
    STORE(top + LANES) = LAST(a0, a1);
    STORE(bottom) = FIRST(b0, b1);
    STORE(bottom + LANES) = LAST(b0, b1);
}

static inline __attribute__((always_inline)) void avg_block(const tare_real *top, const tare_real *bottom,
                                                            tare_real *y) {
    reals a = LOAD(top), b = LOAD(top + LANES), c = LOAD(bottom), d = LOAD(bottom + LANES);
    STORE(y) = (((EVEN(a, b) + ODD(a, b)) + EVEN(c, d)) + ODD(c, d)) * (tare_real)0.25;
}

static inline __attribute__((always_inline)) void avg_back_block(const tare_real *dy, tare_real *top,
                                                                 tare_real *bottom) {
    reals g = LOAD(dy) * (tare_real)0.25, first = FIRST(g, g), last = LAST(g, g);
    STORE(top) = first;
    STORE(top + LANES) = last;
    STORE(bottom) = first;
    STORE(bottom + LANES) = last;
}
#endif

/* How many outputs of a row may go through vectors where `left` outputs follow its start. */
static inline int64_t block_end(int64_t ow, int64_t left) {
#ifdef POOL_VECTORS
    int64_t whole = (ow + LANES - 1) / LANES * LANES;
    return whole <= left ? whole : left / LANES * LANES;
#else
    (void)ow, (void)left;
    return 0;
#endif
}

/* Where the two input rows of output row `row` (counted over all planes) begin. */
static inline int64_t row_start(const tare__pool *p, int64_t row) {
    return (row / p->oh * p->h + row % p->oh * 2) * p->w;
}

void TARE_K(max_pool_2x2)(const tare__pool *p, int64_t planes, const tare_real *x, tare_real *y, uint8_t *index) {
    int64_t total = planes * p->oh * p->ow, at = 0;
    for (int64_t row = 0; row < planes * p->oh; row++, at += p->ow) {
        const tare_real *top = x + row_start(p, row), *bottom = top + p->w;
        int64_t j = 0;
#ifdef POOL_VECTORS
        for (int64_t end = block_end(p->ow, total - at); j < end; j += LANES) {
            max_block(top + 2 * j, bottom + 2 * j, y + at + j, index ? index + at + j : NULL);
        }
#endif
        for (; j < p->ow; j++) {
            const tare_real cell[4] = { top[2 * j], top[2 * j + 1], bottom[2 * j], bottom[2 * j + 1] };
            int best = 0;
            for (int i = 1; i < 4; i++) {
                if (cell[i] > cell[best] || isnan(cell[i])) { best = i; }
            }
            y[at + j] = cell[best];
            if (index) { index[at + j] = (uint8_t)best; }
        }
    }
}

void TARE_K(avg_pool_2x2)(const tare__pool *p, int64_t planes, const tare_real *x, tare_real *y) {
    int64_t total = planes * p->oh * p->ow, at = 0;
    for (int64_t row = 0; row < planes * p->oh; row++, at += p->ow) {
        const tare_real *top = x + row_start(p, row), *bottom = top + p->w;
        int64_t j = 0;
#ifdef POOL_VECTORS
        for (int64_t end = block_end(p->ow, total - at); j < end; j += LANES) {
            avg_block(top + 2 * j, bottom + 2 * j, y + at + j);
        }
#endif
        for (; j < p->ow; j++) {
            y[at + j] = (top[2 * j] + top[2 * j + 1] + bottom[2 * j] + bottom[2 * j + 1]) * (tare_real)0.25;
        }
    }
}

/* The cells that no window covers, below and to the right of output row `row`, take no gradient. */
static inline void clear_uncovered(const tare__pool *p, int64_t row, tare_real *top) {
    for (int64_t j = 2 * p->ow; j < p->w; j++) { top[j] = top[p->w + j] = 0; }
    if (row % p->oh == p->oh - 1) { memset(top + 2 * p->w, 0, (size_t)((p->h - 2 * p->oh) * p->w) * sizeof *top); }
}

/* Within a row the blocks go from right to left: what the last one spoils at the beginning of `bottom`, the first one
 * puts right. Adding cannot be put right, so it takes the plain loop. */
void TARE_K(max_pool_2x2_back)(const tare__pool *p, int64_t planes, const tare_real *dy, const uint8_t *index,
                               tare_real *dx, bool add) {
    int64_t total = planes * p->oh * p->ow, at = 0;
    for (int64_t row = 0; row < planes * p->oh; row++, at += p->ow) {
        tare_real *top = dx + row_start(p, row), *bottom = top + p->w;
        int64_t end = add ? 0 : block_end(p->ow, total - at);
#ifdef POOL_VECTORS
        for (int64_t j = end - LANES; j >= 0; j -= LANES) {
            max_back_block(dy + at + j, index + at + j, top + 2 * j, bottom + 2 * j);
        }
#endif
        for (int64_t j = end; j < p->ow; j++) {
            tare_real *cell[4] = { top + 2 * j, top + 2 * j + 1, bottom + 2 * j, bottom + 2 * j + 1 };
            for (int i = 0; i < 4 && !add; i++) { *cell[i] = 0; }
            *cell[index[at + j]] += dy[at + j];
        }
        if (!add) { clear_uncovered(p, row, top); }
    }
}

void TARE_K(avg_pool_2x2_back)(const tare__pool *p, int64_t planes, const tare_real *dy, tare_real *dx, bool add) {
    int64_t total = planes * p->oh * p->ow, at = 0;
    for (int64_t row = 0; row < planes * p->oh; row++, at += p->ow) {
        tare_real *top = dx + row_start(p, row), *bottom = top + p->w;
        int64_t end = add ? 0 : block_end(p->ow, total - at);
#ifdef POOL_VECTORS
        for (int64_t j = end - LANES; j >= 0; j -= LANES) { avg_back_block(dy + at + j, top + 2 * j, bottom + 2 * j); }
#endif
        for (int64_t j = end; j < p->ow; j++) {
            tare_real g = dy[at + j] * (tare_real)0.25;
            tare_real *cell[4] = { top + 2 * j, top + 2 * j + 1, bottom + 2 * j, bottom + 2 * j + 1 };
            for (int i = 0; i < 4; i++) { *cell[i] = (add ? *cell[i] : 0) + g; }
        }
        if (!add) { clear_uncovered(p, row, top); }
    }
}

/* ---- any window -------------------------------------------------------------------------------------------------- */

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
/* LANES values, `stride` (1 or 2) apart, reading no further than the last of them. */
#define LOAD_STRIDED(p, stride)                                                                                        \
    ((stride) == 1 ? LOAD(p)                                                                                           \
                   : (reals)__builtin_shufflevector(LOAD(p), LOAD((p) + LANES - 1), 0, 2, 4, 6, 9, 11, 13, 15))

/* LANES neighbouring outputs, of which `first` is the left one, from windows that lie inside the rows of the input. */
static inline __attribute__((always_inline)) void max_lanes(const tare__pool *p, const tare_real *x, int64_t i,
                                                            int64_t first, int stride, tare_real *y, int32_t *index) {
    static const lane_int ramp[LANES] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    window in = window_at(p, i, first);
    reals best = LOAD_STRIDED(x + in.r0 * p->w + in.c0, stride);
    masks lane = *(const masks *)ramp * stride, where = lane + (lane_int)(in.r0 * p->w + in.c0);
    for (int64_t r = in.r0; r < in.r1; r++) {
        for (int64_t c = in.c0; c < in.c1; c++) {
            reals v = LOAD_STRIDED(x + r * p->w + c, stride);
            masks better = (v > best) | (v != v), here = lane + (lane_int)(r * p->w + c);
            best = SELECT(better, v, best);
            where = (better & here) | (~better & where);
        }
    }
    STORE(y) = best;
    for (int l = 0; index && l < LANES; l++) { index[l] = (int32_t)where[l]; }
}

static inline __attribute__((always_inline)) void avg_lanes(const tare__pool *p, const tare_real *x, int64_t i,
                                                            int64_t first, int stride, tare_real count, tare_real *y) {
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
    }
}

void TARE_K(max_pool_back)(const tare__pool *p, int64_t planes, const tare_real *dy, const int32_t *index,
                           tare_real *dx, bool add) {
    int64_t in = p->h * p->w, out = p->oh * p->ow;
    if (!add) { memset(dx, 0, (size_t)(planes * in) * sizeof *dx); }
    for (int64_t plane = 0; plane < planes; plane++, dx += in, dy += out, index += out) {
        for (int64_t j = 0; j < out; j++) { dx[index[j]] += dy[j]; }
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

void TARE_K(plane_mean)(int64_t planes, int64_t size, const tare_real *x, tare_real *y) {
    for (int64_t plane = 0; plane < planes; plane++, x += size) {
        /* Blocks keep the rounding error of large planes at that of a short sum. */
        double total = 0;
        for (int64_t begin = 0; begin < size; begin += 256) {
            int64_t end = at_most(begin + 256, size);
            tare_real sum = 0;
            TARE_SIMD_SUM(sum)
            for (int64_t j = begin; j < end; j++) { sum += x[j]; }
            total += (double)sum;
        }
        y[plane] = (tare_real)(total / (double)size);
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
