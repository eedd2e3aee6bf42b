/* kernels.h - the table of hot loops, one per instruction-set level, chosen once at run time. */
#ifndef TARE_KERNELS_H
#define TARE_KERNELS_H

#include <tare/core.h>

#include "conv.h"
#include "gemm_block.h"

#define TARE_JOIN_(a, b) a##b
#define TARE_JOIN(a, b)  TARE_JOIN_(a, b)
/* The name of a kernel at the level being compiled: TARE_K(relu) is tare__relu_avx2 in the avx2 object. */
#ifndef TARE_LEVEL
#define TARE_LEVEL _baseline
#endif
#define TARE_K(name) TARE_JOIN(tare__##name, TARE_LEVEL)

#define TARE_SIMD          _Pragma("omp simd")
#define TARE_SIMD_SUM(...) TARE_PRAGMA(omp simd reduction(+ : __VA_ARGS__))
#define TARE_PRAGMA(...)   _Pragma(#__VA_ARGS__)

struct tare__wino; /* conv_wino.h */
struct tare__wino_weights;
struct tare__conv_back; /* conv_back.h */
struct tare__depth;     /* conv_depth.h */
struct tare__plane;
struct tare__depth_sums;
struct tare__pool;          /* pool.h */
struct tare__upsample;      /* upsample.h */
struct tare__cross_entropy; /* loss.h */
struct tare__glu;           /* glu.h */
struct tare__sgd;           /* optim.h */
struct tare__adam;
struct tare__rmsprop;
struct tare__norm_coef; /* norm.h */
struct tare__norm_planes;
struct tare__norm_row;
struct tare__norm_stat;
struct tare__norm_rows;

/* Values as rows and columns: (r, c) lies at data[r * row + c * col]; col is 1, or 0 where one value serves a whole row. */
typedef struct tare__view {
    const tare_real *data;
    int64_t row, col;
} tare__view;

typedef struct tare__kernel_table {
    const char *level; /* "baseline", "avx2", "avx512" */
    int lanes;         /* tare_real values in one vector register */
#define KERNEL(result, name, args) result(*name) args;
#include "kernels.def"
#undef KERNEL
} tare__kernel_table;

/* Asks for the cache lines of x[0..n) ahead of their use, where a processor would not foresee it. */
static inline void tare__fetch(const tare_real *x, int64_t n) {
#ifdef __GNUC__
    for (int64_t j = 0; j < n; j += 64 / (int64_t)sizeof *x) { __builtin_prefetch(x + j); }
#else
    (void)x, (void)n;
#endif
}

/* The table for this machine, or for TARE_ISA=baseline|avx2|avx512 where that is lower. */
const tare__kernel_table *tare__kernels(void);

#define KERNEL(result, name, args) result TARE_K(name) args;
#include "kernels.def"
#undef KERNEL

#endif
