/* gemm.c - tare_gemm: the product cut into tiles whose size depends on the shape alone, spread over the threads. */
#include "blas.h"

enum { TILE_M = 128, TILE_N = 256, SMALL = 64 * 64 * 64 };

typedef struct product {
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
    int64_t tile_m, tile_n, columns;
} product;

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static void run_tiles(void *context, int64_t begin, int64_t end) {
    const product *p = context;
    for (int64_t tile = begin; tile < end; tile++) {
        int64_t i = tile / p->columns * p->tile_m, j = tile % p->columns * p->tile_n;
        tare__blas_gemm(p->trans_a, p->trans_b, smaller(p->tile_m, p->m - i), smaller(p->tile_n, p->n - j), p->k,
                        p->alpha, p->a + (p->trans_a ? i : i * p->lda), p->lda, p->b + (p->trans_b ? j * p->ldb : j),
                        p->ldb, p->beta, p->c + i * p->ldc + j, p->ldc);
    }
}

void tare_gemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, tare_real alpha, const tare_real *a,
               int64_t lda, const tare_real *b, int64_t ldb, tare_real beta, tare_real *c, int64_t ldc) {
    if (m <= 0 || n <= 0) { return; }
    bool small = m * n * k <= SMALL;
    product p = {
        trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, small ? m : TILE_M, small ? n : TILE_N, 0
    };
    p.columns = (n - 1) / p.tile_n + 1;
    tare_parallel_for(((m - 1) / p.tile_m + 1) * p.columns, 1, run_tiles, &p);
}
