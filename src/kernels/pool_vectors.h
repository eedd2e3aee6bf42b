/* pool_vectors.h - LANES neighbours at a time, in the vectors GCC and Clang know; elsewhere POOL_VECTORS is not defined. LANES is 8
 * unless who includes this has defined POOL_LANES as 16. */
#ifndef TARE_KERNELS_POOL_VECTORS_H
#define TARE_KERNELS_POOL_VECTORS_H

#include "kernels.h"
#include "pool.h"

#if defined(__GNUC__) && defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector) && __has_builtin(__builtin_convertvector)
#define POOL_VECTORS
#endif
#endif

#ifndef POOL_LANES
#define POOL_LANES 8
#endif
enum { LANES = POOL_LANES };

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
typedef uint16_t halves __attribute__((vector_size(LANES * sizeof(uint16_t)), aligned(2), may_alias));
typedef uint32_t words __attribute__((vector_size(LANES * sizeof(uint32_t)), aligned(4), may_alias));

/* Macros, not functions: vectors wider than a level's registers cannot be passed without a warning. */
#define LOAD(p)  (*(const reals *)(p))
#define STORE(p) (*(reals *)(p))
#define CONVERT  __builtin_convertvector
/* Twice as wide at a time: gcc 12 takes longer steps one number after the other. */
#define TO_MASKS(b)        CONVERT(CONVERT(CONVERT(b, halves), words), masks)
#define IS_NAN(v)          ((v) != (v))
#define SELECT(mask, a, b) ((reals)(((masks)(a) & (mask)) | ((masks)(b) & ~(mask))))
#if POOL_LANES == 16
#define EVEN(a, b)  __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
#define ODD(a, b)   __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)
#define FIRST(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define LAST(a, b)  __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#else
#define EVEN(a, b)  __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14)
#define ODD(a, b)   __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15)
#define FIRST(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define LAST(a, b)  __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#endif
/* LANES values, `stride` (1 or 2) apart, reading no further than the last of them. */
#define LOAD_STRIDED(p, stride)                                                                                        \
    ((stride) == 1 ? LOAD(p)                                                                                           \
                   : (reals)__builtin_shufflevector(LOAD(p), LOAD((p) + LANES - 1), 0, 2, 4, 6, 9, 11, 13, 15))

#define POOL_INLINE static inline __attribute__((always_inline))
#endif

#endif
