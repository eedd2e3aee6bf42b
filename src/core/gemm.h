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
    bool whole; /* not cut into chunks: the caller is one of many that work side by side */
} tare__gemm_args;

TARE_API void tare__gemm(const tare__gemm_args *args);

/* ---- one matrix, many products with few rows each ------------------------------------------------------------------- */

/* op(W) [k,n] in the order the kernels read it. */
typedef struct tare__gemm_weight {
    int64_t k, n;
    const tare_real *data;
} tare__gemm_weight;

/* R [rows,columns] = S W[:, first..], or += where add; or plus bias[first + j]. first is a multiple of tare__gemm_panel. */
typedef struct tare__gemm_rows {
    int64_t rows, first, columns;
    const tare_real *s;
    int64_t s_step;
    tare_real *r;
    int64_t r_step;
    bool add;
    const tare_real *bias; /* [n] or NULL; not with add */
} tare__gemm_rows;

int64_t tare__gemm_panel(void);
/* Numbers that tare__gemm_weight_of wants room for. */
int64_t tare__gemm_weight_size(int64_t k, int64_t n);
/* W is [n,k] if trans, else [k,n]; rows ldw apart. */
tare__gemm_weight tare__gemm_weight_of(bool trans, int64_t k, int64_t n, const tare_real *w, int64_t ldw,
                                       tare_real *room);
/* On the calling thread. */
void tare__gemm_weight_multiply(const tare__gemm_weight *w, const tare__gemm_rows *x);

#endif
