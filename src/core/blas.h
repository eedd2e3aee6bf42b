/* blas.h - matrix product on one thread: OpenBLAS, and the naive loop that is the oracle of everything faster; eigenvalues and
 * singular values, by LAPACK. */
#ifndef TARE_BLAS_H
#define TARE_BLAS_H

#include <tare/core.h>

/* Both compute what tare_gemm documents, on the caller's thread. */
void tare__blas_gemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, tare_real alpha, const tare_real *a,
                     int64_t lda, const tare_real *b, int64_t ldb, tare_real beta, tare_real *c, int64_t ldc);
TARE_API void tare__naive_gemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, tare_real alpha,
                               const tare_real *a, int64_t lda, const tare_real *b, int64_t ldb, tare_real beta,
                               tare_real *c, int64_t ldc);

/* Eigenvalues of a symmetric matrix, smallest first, and singular values, largest first. LAPACK's order of columns: what it takes
 * for the upper triangle is the lower one of a row-major matrix, and its eigenvectors, which replace a, are rows. `work` has `room`
 * doubles, as many as asked for. Returns LAPACK's info: 0 where all is well. */
size_t tare__lapack_eigen_room(int64_t n);
int tare__lapack_eigen(int64_t n, double *a, bool vectors, double *values, double *work, size_t room);
size_t tare__lapack_singular_room(int64_t m, int64_t n);
int tare__lapack_singular(int64_t m, int64_t n, double *a, double *values, double *work, size_t room);

#endif
