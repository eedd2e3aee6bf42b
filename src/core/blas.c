/* blas.c - the only file that knows CBLAS and LAPACK: OpenBLAS on one thread, and the naive twin of its product. */
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

/* ---- LAPACK, which OpenBLAS brings -------------------------------------------------------------------------------- */

/* Fortran: everything by address, the lengths of texts at the end. */
void dsyev_(const char *jobz, const char *uplo, const blasint *n, double *a, const blasint *lda, double *w,
            double *work, const blasint *lwork, blasint *info, size_t jobz_length, size_t uplo_length);
void dgesdd_(const char *jobz, const blasint *m, const blasint *n, double *a, const blasint *lda, double *s, double *u,
             const blasint *ldu, double *vt, const blasint *ldvt, double *work, const blasint *lwork, blasint *iwork,
             blasint *info, size_t jobz_length);

size_t tare__lapack_eigen_room(int64_t n) { return (size_t)(34 * n); } /* 3 n - 1 at least; blocks of 32 like more */

int tare__lapack_eigen(int64_t n, double *a, bool vectors, double *values, double *work, size_t room) {
    one_thread_only();
    blasint size = (blasint)n, lwork = (blasint)room, info = 0;
    dsyev_(vectors ? "V" : "N", "U", &size, a, &size, values, work, &lwork, &info, 1, 1);
    return (int)info;
}

/* Without vectors 3 min + max(max, 7 min) at least, and 8 min integers, which lie behind the first numbers. */
size_t tare__lapack_singular_room(int64_t m, int64_t n) {
    int64_t least = m < n ? m : n, most = m < n ? n : m;
    return (size_t)(10 * least + 34 * (most + least) + 8 * least);
}

int tare__lapack_singular(int64_t m, int64_t n, double *a, double *values, double *work, size_t room) {
    one_thread_only();
    size_t integers = 8 * (size_t)(m < n ? m : n);
    blasint rows = (blasint)n, cols = (blasint)m, one = 1, lwork = (blasint)(room - integers), info = 0;
    blasint *iwork = (blasint *)(void *)(work + (room - integers));
    double none = 0; /* no vectors: U and V' are not looked at */
    dgesdd_("N", &rows, &cols, a, &rows, values, &none, &one, &none, &one, work, &lwork, iwork, &info, 1);
    return (int)info;
}

const char *tare__blas_config(void) { return openblas_get_config(); }
