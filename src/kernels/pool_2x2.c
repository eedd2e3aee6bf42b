/* pool_2x2.c - pooling with windows of 2 x 2 side by side: the common case, in vector registers.
 *
 * Blocks of LANES outputs need not end where a row does. Such a block reads a little of the next row and spoils the
 * beginning of the next row of what it writes, and the next row, which comes later, puts that right. So rows of any
 * length go in whole vectors; only the last rows of a call, which nobody would put right, take the plain loop.
 * With ReLU the index is TARE__POOL_NOWHERE_2X2 where the result is 0: no cell of the four takes the gradient.
 *   x: [planes, h, w], y: [planes, oh, ow]; a block at row r, column j is allowed while r ow + j + LANES <= planes oh ow;
 *   as h >= 2 oh and w >= 2 ow, its reads then end inside x as well. */
#if defined(__AVX512F__) && !defined(TARE_F64)
#define POOL_LANES 16
#endif
#include "pool_vectors.h"

#include <math.h>
#include <string.h>

#ifdef POOL_VECTORS
POOL_INLINE void max_block(const tare_real *top, const tare_real *bottom, tare_real *y, uint8_t *index,
                           const bool relu) {
    reals a = LOAD(top), b = LOAD(top + LANES), c = LOAD(bottom), d = LOAD(bottom + LANES);
    reals a0 = EVEN(a, b), a1 = ODD(a, b), b0 = EVEN(c, d), b1 = ODD(c, d);
    masks right_a = (a1 > a0) | IS_NAN(a1), right_b = (b1 > b0) | IS_NAN(b1);
    reals best_a = SELECT(right_a, a1, a0), best_b = SELECT(right_b, b1, b0);
    masks below = (best_b > best_a) | IS_NAN(best_b);
    reals best = SELECT(below, best_b, best_a);
    masks none = best <= 0;
    STORE(y) = relu ? (reals)((masks)best & ~none) : best;
    if (index) {
        masks where = (below & (2 - right_b)) | (~below & -right_a);
        if (relu) { where = (none & TARE__POOL_NOWHERE_2X2) | (~none & where); }
        *(bytes *)index = CONVERT(where, bytes);
    }
}

POOL_INLINE void max_back_block(const tare_real *dy, const uint8_t *index, tare_real *top, tare_real *bottom) {
    masks where = TO_MASKS(*(const bytes *)index);
    masks g = (masks)LOAD(dy);
    reals a0 = (reals)(g & (where == 0)), a1 = (reals)(g & (where == 1));
    reals b0 = (reals)(g & (where == 2)), b1 = (reals)(g & (where == 3));
    STORE(top) = FIRST(a0, a1);
    STORE(top + LANES) = LAST(a0, a1);
    STORE(bottom) = FIRST(b0, b1);
    STORE(bottom + LANES) = LAST(b0, b1);
}

POOL_INLINE void avg_block(const tare_real *top, const tare_real *bottom, tare_real *y) {
    reals a = LOAD(top), b = LOAD(top + LANES), c = LOAD(bottom), d = LOAD(bottom + LANES);
    STORE(y) = (((EVEN(a, b) + ODD(a, b)) + EVEN(c, d)) + ODD(c, d)) * (tare_real)0.25;
}

POOL_INLINE void avg_back_block(const tare_real *dy, tare_real *top, tare_real *bottom) {
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

static inline void max_rows(const tare__pool *p, int64_t planes, const tare_real *x, tare_real *y, uint8_t *index,
                            const bool relu) {
    int64_t total = planes * p->oh * p->ow, at = 0;
    for (int64_t row = 0; row < planes * p->oh; row++, at += p->ow) {
        const tare_real *top = x + row_start(p, row), *bottom = top + p->w;
        int64_t end = block_end(p->ow, total - at);
#ifdef POOL_VECTORS
        for (int64_t j = 0; j < end; j += LANES) {
            max_block(top + 2 * j, bottom + 2 * j, y + at + j, index ? index + at + j : NULL, relu);
        }
#endif
        for (int64_t j = end; j < p->ow; j++) {
            const tare_real cell[4] = { top[2 * j], top[2 * j + 1], bottom[2 * j], bottom[2 * j + 1] };
            int best = 0;
            for (int i = 1; i < 4; i++) {
                if (cell[i] > cell[best] || isnan(cell[i])) { best = i; }
            }
            bool none = relu && cell[best] <= 0;
            y[at + j] = none ? 0 : cell[best];
            if (index) { index[at + j] = (uint8_t)(none ? TARE__POOL_NOWHERE_2X2 : best); }
        }
    }
}

void TARE_K(max_pool_2x2)(const tare__pool *p, int64_t planes, const tare_real *x, tare_real *y, uint8_t *index) {
    if (p->relu) {
        max_rows(p, planes, x, y, index, true);
    } else {
        max_rows(p, planes, x, y, index, false);
    }
}

void TARE_K(avg_pool_2x2)(const tare__pool *p, int64_t planes, const tare_real *x, tare_real *y) {
    int64_t total = planes * p->oh * p->ow, at = 0;
    for (int64_t row = 0; row < planes * p->oh; row++, at += p->ow) {
        const tare_real *top = x + row_start(p, row), *bottom = top + p->w;
        int64_t end = block_end(p->ow, total - at);
#ifdef POOL_VECTORS
        for (int64_t j = 0; j < end; j += LANES) { avg_block(top + 2 * j, bottom + 2 * j, y + at + j); }
#endif
        for (int64_t j = end; j < p->ow; j++) {
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
            if (index[at + j] != TARE__POOL_NOWHERE_2X2) { *cell[index[at + j]] += dy[at + j]; }
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
