/* blas.h - matrix product on one thread: OpenBLAS, and the naive loop that is the oracle of everything faster. */
#ifndef TARE_BLAS_H
#define TARE_BLAS_H

#include <tare/core.h>

/* Both compute what tare_gemm documents, on the caller's thread. */
void tare__blas_gemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, tare_real alpha, const tare_real *a,
                     int64_t lda, const tare_real *b, int64_t ldb, tare_real beta, tare_real *c, int64_t ldc);
TARE_API void tare__naive_gemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, tare_real alpha,
                               const tare_real *a, int64_t lda, const tare_real *b, int64_t ldb, tare_real beta,
                               tare_real *c, int64_t ldc);

#endif
