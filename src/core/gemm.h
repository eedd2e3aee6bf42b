/* gemm.h - the matrix product with its epilogue, for the operations built on it. */
#ifndef TARE_CORE_GEMM_H
#define TARE_CORE_GEMM_H

#include <tare/core.h>

/* As tare_gemm; where beta is 0 a bias may be added: bias_row[i] and bias_column[j] to C[i][j], each NULL or given. */
typedef struct tare__gemm_args {
    bool trans_a, trans_b;
    int64_t m, n, k;
    tare_real alpha;
    const tare_real *a;
    int64_t lda;
    const tare_real *b;
    int64_t ldb;
    tare_real beta;
    tare_real *c;
    int64_t ldc;
    const tare_real *bias_row, *bias_column;
} tare__gemm_args;

TARE_API void tare__gemm(const tare__gemm_args *args);

#endif
