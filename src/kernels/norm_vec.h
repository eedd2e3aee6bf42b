/* norm_vec.h - vectors for the norm kernels: one register wide, with whole-vector tails, and a scalar twin without them. */
#ifndef TARE_NORM_VEC_H
#define TARE_NORM_VEC_H

#include "kernels.h"
#include "norm.h"

#include <string.h>

#if defined(__GNUC__)

#if defined(__AVX512F__)
#define VEC_BYTES 64
#elif defined(__AVX2__)
#define VEC_BYTES 32
#else
#define VEC_BYTES 16
#endif
#ifdef TARE_F64
typedef int64_t lane_int;
#else
typedef int32_t lane_int;
#endif
/* Aligned as their elements are, since rows start anywhere. */
typedef tare_real vec __attribute__((vector_size(VEC_BYTES), aligned(sizeof(tare_real)), may_alias));
typedef lane_int ivec __attribute__((vector_size(VEC_BYTES), aligned(sizeof(tare_real)), may_alias));
enum { VL = VEC_BYTES / (int)sizeof(tare_real) };

/* VL zeros, VL ones: read from `r` on it keeps the last r lanes. */
static const lane_int tail_mask[2 * VL] = {
#define ONES(n) [VL + (n)] = -1
    ONES(0), ONES(1),
#if VEC_BYTES > 16 || !defined(TARE_F64)
    ONES(2), ONES(3),
#endif
#if VEC_BYTES > 32 || (VEC_BYTES > 16 && !defined(TARE_F64))
    ONES(4), ONES(5), ONES(6),  ONES(7),
#endif
#if VEC_BYTES > 32 && !defined(TARE_F64)
    ONES(8), ONES(9), ONES(10), ONES(11), ONES(12), ONES(13), ONES(14), ONES(15),
#endif
#undef ONES
};
/* v with all but its last r lanes 0: a row of n >= VL values ends in the vector at n - VL, of which the first lanes
 * have been seen already. */
#define LAST_LANES(v, r) ((vec)((ivec)(v) & *(const ivec *)(tail_mask + (r))))
#define LANE(v, j)       ((v)[j])
/* a where the comparison `where` holds, else b */
#define CHOOSE(where, a, b) ((vec)(((ivec)(where) & (ivec)(a)) | (~(ivec)(where) & (ivec)(b))))

#else

typedef tare_real vec;
enum { VL = 1 };
#define LAST_LANES(v, r)    ((void)(r), (v))
#define LANE(v, j)          ((void)(j), (v))
#define CHOOSE(where, a, b) ((where) ? (a) : (b))

#endif

/* For bodies of which a constant argument makes several loops. */
#if defined(__GNUC__)
#define NORM_INLINE static inline __attribute__((always_inline))
#else
#define NORM_INLINE static inline
#endif

#define LOAD(p)  (*(const vec *)(p))
#define STORE(p) (*(vec *)(p))

/* The vector that a row of n > 0 values ends with: its last n % VL lanes are those that whole vectors left over. */
static inline void load_tail(vec *v, const tare_real *p, int64_t n) {
    if (n >= VL) {
        *v = LOAD(p + n - VL);
        return;
    }
    tare_real a[VL] = { 0 };
    for (int64_t i = 0; i < n; i++) { a[VL - n + i] = p[i]; }
    *v = LOAD(a);
}

/* The sum over a vector's lanes, in pairs. */
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define LANE_SHUFFLES
#endif
#endif
#ifdef LANE_SHUFFLES
#define TURN(v, ...) ((v) + __builtin_shufflevector(v, v, __VA_ARGS__))
static inline tare_real lane_sum(const vec *p) {
    vec v = *p;
#if VEC_BYTES == 64 && !defined(TARE_F64)
    v = TURN(v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    v = TURN(v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
    v = TURN(v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    v = TURN(v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
#elif VEC_BYTES == 64 || (VEC_BYTES == 32 && !defined(TARE_F64))
    v = TURN(v, 4, 5, 6, 7, 0, 1, 2, 3);
    v = TURN(v, 2, 3, 0, 1, 6, 7, 4, 5);
    v = TURN(v, 1, 0, 3, 2, 5, 4, 7, 6);
#elif VEC_BYTES == 32 || !defined(TARE_F64)
    v = TURN(v, 2, 3, 0, 1);
    v = TURN(v, 1, 0, 3, 2);
#else
    v = TURN(v, 1, 0);
#endif
    return LANE(v, 0);
}
#else
static inline tare_real lane_sum(const vec *v) {
    tare_real a[VL];
    memcpy(a, v, sizeof a);
    for (int half = VL / 2; half > 0; half /= 2) {
        for (int j = 0; j < half; j++) { a[j] += a[j + half]; }
    }
    return a[0];
}
#endif

/* ---- sums of a few sets at once -------------------------------------------------------------------------------------- */

enum { MANY = TARE__NORM_ROWS }; /* each with two vectors of sums */

/* Zeros for the sets from `few` on, which are not there; to clear all of them first takes as long as a short row. */
static inline void no_sums(vec *v, int64_t few) {
    for (; few < MANY; few++) { v[few] = v[MANY + few] = (vec){ 0 }; }
}

#if defined(LANE_SHUFFLES) && VEC_BYTES == 64 && !defined(TARE_F64)
#define PAIRS(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#define HALVES(a, b)                                                                                                   \
    (PAIRS(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +                                             \
     PAIRS(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
#define QUARTERS(a, b)                                                                                                 \
    (PAIRS(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +                                           \
     PAIRS(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31))
#define TWOS(a, b)                                                                                                     \
    (PAIRS(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +                                           \
     PAIRS(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31))
#define ONES(a, b)                                                                                                     \
    (PAIRS(a, b, 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30) +                                          \
     PAIRS(a, b, 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31))

/* out[i]: the sum over the lanes of v[i]; vectors are added up while they are turned round. */
static inline void lane_sums(const vec *v, tare_real *out) {
    vec four[4];
    for (int i = 0; i < 4; i++) {
        vec a = HALVES(v[i], v[4 + i]), b = HALVES(v[8 + i], v[12 + i]);
        four[i] = QUARTERS(a, b);
    }
    vec a = TWOS(four[0], four[1]), b = TWOS(four[2], four[3]);
    STORE(out) = ONES(a, b);
}
#else
static inline void lane_sums(const vec *v, tare_real *out) {
    for (int i = 0; i < 2 * MANY; i++) { out[i] = lane_sum(&v[i]); }
}
#endif

#endif
