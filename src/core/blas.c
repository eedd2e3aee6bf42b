/* blas.c - the only file that knows CBLAS: OpenBLAS on one thread, and its naive twin. */
#include "blas.h"
#include "machine.h"

#include <cblas.h>

#ifdef TARE_F64
#define CBLAS_GEMM cblas_dgemm
#else
#define CBLAS_GEMM cblas_sgemm
#endif

/* Threads are ours to start: OpenBLAS must stay on the caller's. Its OpenMP build asks OpenMP how many to use, which counts
 * for each thread of ours apart: so each says so once. */
static void one_thread_only(void) {
    static _Thread_local bool done;
    if (!done) { openblas_set_num_threads(1); }
    done = true;
}

void tare__blas_gemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, tare_real alpha, const tare_real *a,
                     int64_t lda, const tare_real *b, int64_t ldb, tare_real beta, tare_real *c, int64_t ldc) {
    one_thread_only();
    CBLAS_GEMM(CblasRowMajor, trans_a ? CblasTrans : CblasNoTrans, trans_b ? CblasTrans : CblasNoTrans, (blasint)m,
               (blasint)n, (blasint)k, alpha, a, (blasint)lda, b, (blasint)ldb, beta, c, (blasint)ldc);
}

void tare__naive_gemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, tare_real alpha, const tare_real *a,
                      int64_t lda, const tare_real *b, int64_t ldb, tare_real beta, tare_real *c, int64_t ldc) {
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t p = 0; p < k; p++) {
                sum += (double)a[trans_a ? p * lda + i : i * lda + p] * (double)b[trans_b ? j * ldb + p : p * ldb + j];
            }
            double old = beta == 0 ? 0 : (double)beta * (double)c[i * ldc + j];
            c[i * ldc + j] = (tare_real)((double)alpha * sum + old);
        }
    }
}

const char *tare__blas_config(void) { return openblas_get_config(); }
