/* gemm_tile.h - the innermost loop under every product: a tile of C held in registers while k runs.
 *
 * A tile is `mr` rows by `nv` vectors. Each step of k broadcasts one number per row from the scalar side S and multiplies
 * it with the vectors of one row of the vector side V. Neither side need be packed: S may be read along its rows or its
 * columns, V through a fixed stride or an array of offsets (a convolution's taps). */
#ifndef TARE_GEMM_TILE_H
#define TARE_GEMM_TILE_H

#include "kernels.h"

/* MR rows of two vectors fill the registers, with room for the row of V and one number of S. */
#if defined(__AVX512F__)
#define VEC_BYTES 64
#define MR        14
#elif defined(__aarch64__)
#define VEC_BYTES 16
#define MR        12
#elif defined(__AVX2__)
#define VEC_BYTES 32
#define MR        6
#else
#define VEC_BYTES 16
#define MR        6
#endif

/* X(h) for every height of a tile. */
#if MR == 14
#define TILE_EACH_HEIGHT(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#elif MR == 12
#define TILE_EACH_HEIGHT(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)
#else
#define TILE_EACH_HEIGHT(X) X(1) X(2) X(3) X(4) X(5) X(6)
#endif

#if defined(__GNUC__)
#define ALWAYS_INLINE inline __attribute__((always_inline))
/* One vector register; aligned as its elements are, since rows start anywhere. */
typedef tare_real vec __attribute__((vector_size(VEC_BYTES), aligned(sizeof(tare_real)), may_alias));
enum { VL = VEC_BYTES / (int)sizeof(tare_real) };
#else
#define ALWAYS_INLINE inline
typedef tare_real vec;
enum { VL = 1 };
#endif

/* The widest tile: NV vectors, NR columns. */
enum { NV = 2, NR = NV * VL };

typedef struct tile {
    int64_t k;
    const tare_real *s;                /* scalar side, mr rows */
    int64_t s_step;                    /* from row to row (SIDE_ROWS) or from column to column (SIDE_COLUMNS) */
    const int64_t *s_rows, *s_columns; /* SIDE_TABLES: row i, column p is s[s_rows[i] + s_columns[p]] */
    const tare_real *v;                /* vector side, k rows of nv vectors */
    int64_t v_step;                    /* from row to row, or */
    const int64_t *v_rows;             /* where each row starts, not NULL where the tile was made with offsets */
    tare_real alpha;
    bool add;                                /* c += alpha s v, else c = alpha s v; plus bias */
    const tare_real *bias_row, *bias_column; /* one number per row or per column of the tile, or NULL */
    tare_real *c;
    int64_t c_step;
} tile;

typedef void (*tile_fn)(const tile *t);

/* How the scalar side lies in memory: by rows, by columns, or as tables say. */
enum { SIDE_ROWS, SIDE_COLUMNS, SIDE_TABLES };

static ALWAYS_INLINE vec vec_load(const tare_real *p) { return *(const vec *)p; }
static ALWAYS_INLINE void vec_store(tare_real *p, vec x) { *(vec *)p = x; }

/* X(i) for every row a tile can have; written out, so that indices are constants and acc lives in registers. */
#define TILE_EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13)

/* One step of k. Rows 3j, 3j+1, 3j+2 share the pointer sp[j]: addressing then needs few registers. */
#define TILE_STEP_ROW(i)                                                                                               \
    if ((i) < mr) {                                                                                                    \
        tare_real x = side == SIDE_ROWS     ? sp[(i) / 3][(i) % 3 * t->s_step]                                         \
                      : side == SIDE_TABLES ? sp[0][t->s_rows[i]]                                                      \
                                            : sp[0][i];                                                                \
        acc[i][0] += x * v0;                                                                                           \
        if (nv > 1) { acc[i][1] += x * v1; }                                                                           \
    }

#define TILE_END_ROW(i)                                                                                                \
    if ((i) < mr) {                                                                                                    \
        tile_end(t, t->c + (i)*t->c_step, i, 0, acc[i][0]);                                                            \
        if (nv > 1) { tile_end(t, t->c + (i)*t->c_step + VL, i, 1, acc[i][1]); }                                       \
    }

#define TILE_STORE_ROW(i)                                                                                              \
    if ((i) < mr) {                                                                                                    \
        vec_store(t->c + (i)*t->c_step, acc[i][0]);                                                                    \
        if (nv > 1) { vec_store(t->c + (i)*t->c_step + VL, acc[i][1]); }                                               \
    }

static ALWAYS_INLINE void tile_end(const tile *t, tare_real *c, int row, int column, vec sum) {
    sum *= t->alpha;
    if (t->add) { sum += vec_load(c); }
    if (t->bias_column) { sum += vec_load(t->bias_column + column * VL); }
    if (t->bias_row) { sum += t->bias_row[row]; }
    vec_store(c, sum);
}

static ALWAYS_INLINE void tile_run(const tile *t, const int mr, const int nv, const int side, const bool offsets) {
    vec acc[14][2] = { 0 };
    const tare_real *sp[5] = { t->s, t->s, t->s, t->s, t->s };
    const tare_real *v = t->v;
    if (side == SIDE_ROWS) {
        for (int j = 1; j < 5; j++) { sp[j] = sp[j - 1] + 3 * t->s_step; }
    }
    for (int64_t p = 0; p < t->k; p++) {
        if (side == SIDE_TABLES) { sp[0] = t->s + t->s_columns[p]; }
        const tare_real *row = offsets ? t->v + t->v_rows[p] : v;
        vec v0 = vec_load(row), v1 = v0;
        if (nv > 1) { v1 = vec_load(row + VL); }
        TILE_EACH_ROW(TILE_STEP_ROW)
        for (int j = 0; j < 5; j++) { sp[j] += side == SIDE_COLUMNS ? t->s_step : 1; }
        v += t->v_step;
    }
    if (t->alpha == 1 && !t->add && !t->bias_column && !t->bias_row) {
        TILE_EACH_ROW(TILE_STORE_ROW)
    } else {
        TILE_EACH_ROW(TILE_END_ROW)
    }
}

/* r[0..length) = from, or += from: in powers of two, since most lines are shorter than a register is wide. */
static ALWAYS_INLINE void put_line(tare_real *r, const tare_real *from, int64_t length, bool add) {
    int64_t e = 0;
#ifdef __GNUC__
#define PUT_PART(n)                                                                                                    \
    for (; e + (n) <= length; e += (n)) {                                                                              \
        typedef tare_real part                                                                                         \
            __attribute__((vector_size((n) * sizeof(tare_real)), aligned(sizeof(tare_real)), may_alias));              \
        part sum = *(const part *)(from + e);                                                                          \
        if (add) { sum += *(const part *)(r + e); }                                                                    \
        *(part *)(r + e) = sum;                                                                                        \
    }
    PUT_PART(16)
    PUT_PART(8)
    PUT_PART(4)
    PUT_PART(2)
#undef PUT_PART
#endif
    for (; e < length; e++) { r[e] = add ? r[e] + from[e] : from[e]; }
}

static inline int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

/* How many numbers of a side windows read: an Inf behind them must do no harm. */
static inline int64_t reach_of(int64_t size, int64_t outputs, int64_t stride, int64_t taps, int64_t pad) {
    return min64((outputs - 1) * stride + taps - pad, size);
}

/* Piece i of n things cut into `count` pieces as even as can be: [piece(i), piece(i + 1)). */
static inline int64_t piece(int64_t n, int64_t count, int64_t i) {
    int64_t more = n % count;
    return n / count * i + (i < more ? i : more);
}

#endif
