/* gemm.c - tare_gemm: the product cut into chunks whose size depends on the shape alone, spread over the threads. */
#include "gemm.h"

#include "../kernels/kernels.h"
#include "blas.h"

enum {
    ONE_CHUNK = 1 << 19, /* multiply-adds; less than this is not worth a second thread */
    BIG_CHUNK = 1 << 22, /* multiply-adds per chunk of a large product */
    MANY_CHUNKS = 8,     /* chunks until they reach that size */
    BLAS_TILE_M = 128,
    BLAS_TILE_N = 256,
};

typedef struct job {
    const tare__gemm_args *args;
    const tare__kernel_table *kernels;
    tare__gemm_block block; /* the whole product */
    int64_t rows, columns;  /* of a chunk, in the block's terms */
    int64_t per_row;        /* chunks side by side */
    bool blas;
} job;

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* c = beta c + bias, never reading c where beta is 0. */
static void prepare(const tare__gemm_args *x, int64_t i0, int64_t j0, int64_t m, int64_t n) {
    for (int64_t i = i0; i < i0 + m; i++) {
        tare_real *c = x->c + i * x->ldc, row = x->bias_row ? x->bias_row[i] : 0;
        for (int64_t j = j0; j < j0 + n; j++) {
            tare_real bias = row + (x->bias_column ? x->bias_column[j] : 0);
            c[j] = x->beta == 0 ? bias : x->beta * c[j];
        }
    }
}

static void run_blas(const tare__gemm_args *x, int64_t i, int64_t j, int64_t m, int64_t n) {
    bool bias = x->bias_row || x->bias_column;
    if (bias && x->beta == 0) { prepare(x, i, j, m, n); }
    tare__blas_gemm(x->trans_a, x->trans_b, m, n, x->k, x->alpha, x->a + (x->trans_a ? i : i * x->lda), x->lda,
                    x->b + (x->trans_b ? j * x->ldb : j), x->ldb, bias ? 1 : x->beta, x->c + i * x->ldc + j, x->ldc);
}

static void run_chunks(void *context, int64_t begin, int64_t end) {
    const job *w = context;
    for (int64_t chunk = begin; chunk < end; chunk++) {
        tare__gemm_block b = w->block;
        int64_t i = chunk / w->per_row * w->rows, j = chunk % w->per_row * w->columns;
        b.rows = smaller(w->rows, b.rows - i);
        b.columns = smaller(w->columns, b.columns - j);
        if (w->blas) {
            run_blas(w->args, i, j, b.rows, b.columns);
            continue;
        }
        if (w->args->beta != 0 && w->args->beta != 1) {
            if (b.r_columns) {
                prepare(w->args, j, i, b.columns, b.rows);
            } else {
                prepare(w->args, i, j, b.rows, b.columns);
            }
        }
        b.s += b.s_columns ? i : i * b.s_step;
        b.v += b.v_columns ? j * b.v_step : j;
        b.r += b.r_columns ? j * b.r_step + i : i * b.r_step + j;
        b.bias_row = b.bias_row ? b.bias_row + i : NULL;
        b.bias_column = b.bias_column ? b.bias_column + j : NULL;
        w->kernels->gemm_block(&b);
    }
}

/* Cycles per step of k, roughly, for `rows` on the scalar side: full vectors of `columns`, and turning V round. */
static double side_cost(int64_t rows, int64_t columns, bool turn_v, int64_t chunks, int lanes) {
    double multiply = (double)rows * (double)ceil_div(columns, lanes) / 2;
    return multiply + (turn_v ? 8.0 : 2.0) * (double)columns * (double)chunks / lanes;
}

static tare__gemm_block choose_sides(const tare__gemm_args *x, int lanes) {
    bool add = x->beta != 0;
    tare__gemm_block plain = { x->m,       x->n, x->k,   x->a,  x->lda,   x->trans_a, x->b,        x->ldb,
                               x->trans_b, x->c, x->ldc, false, x->alpha, add,        x->bias_row, x->bias_column };
    tare__gemm_block swapped = { x->n,        x->m, x->k,   x->b, x->ldb,   !x->trans_b, x->a,           x->lda,
                                 !x->trans_a, x->c, x->ldc, true, x->alpha, add,         x->bias_column, x->bias_row };
    double turn_back = 0.5 * (double)x->m * (double)x->n / (double)x->k;
    return side_cost(x->m, x->n, x->trans_b, 1, lanes) <= side_cost(x->n, x->m, !x->trans_a, 1, lanes) + turn_back
               ? plain
               : swapped;
}

/* The cheapest way to cut rows and columns into at least `want` chunks. */
static void choose_chunks(job *w, int64_t want, int lanes) {
    const tare__gemm_block *b = &w->block;
    double best = -1;
    for (int64_t down = 1; down <= want; down *= 2) {
        int64_t across = ceil_div(want, down);
        int64_t rows = ceil_div(b->rows, down), columns = ceil_div(ceil_div(b->columns, across), 2 * lanes) * 2 * lanes;
        int64_t chunks = ceil_div(b->rows, rows) * ceil_div(b->columns, columns);
        /* The time of all chunks, and how evenly they can be shared out between two or more. */
        double cost =
            (double)chunks * side_cost(rows, columns, b->v_columns, 1, lanes) + (double)(across * b->rows) / 8;
        if (chunks < want) { cost *= (double)want / (double)chunks; }
        if (best < 0 || cost < best) {
            best = cost;
            w->rows = rows;
            w->columns = columns;
        }
    }
}

static int64_t chunks_wanted(double work) {
    if (work < 2.0 * ONE_CHUNK) { return 1; }
    if (work < (double)MANY_CHUNKS * BIG_CHUNK) { return smaller((int64_t)(work / ONE_CHUNK), MANY_CHUNKS); }
    return smaller((int64_t)(work / BIG_CHUNK), 64);
}

void tare__gemm(const tare__gemm_args *x) {
    if (x->m <= 0 || x->n <= 0) { return; }
    if (x->k <= 0 || x->alpha == 0) {
        if (x->beta != 1) { prepare(x, 0, 0, x->m, x->n); }
        return;
    }
    job w = { .args = x, .kernels = tare__kernels() };
    double work = (double)x->m * (double)x->n * (double)x->k;
    int lanes = w.kernels->lanes;
    /* The narrow vectors of the baseline are ours only where calling OpenBLAS costs more than the product. */
    w.blas = lanes * (int)sizeof(tare_real) == 16 && work > 32 * 32 * 32;
    if (w.blas) {
        w.block = (tare__gemm_block){ .rows = x->m, .columns = x->n };
        w.rows = work < 2.0 * ONE_CHUNK ? x->m : BLAS_TILE_M;
        w.columns = work < 2.0 * ONE_CHUNK ? x->n : BLAS_TILE_N;
    } else {
        w.block = choose_sides(x, lanes);
        choose_chunks(&w, chunks_wanted(work), lanes);
    }
    w.per_row = ceil_div(w.block.columns, w.columns);
    tare_parallel_for(ceil_div(w.block.rows, w.rows) * w.per_row, 1, run_chunks, &w);
}

void tare_gemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, tare_real alpha, const tare_real *a,
               int64_t lda, const tare_real *b, int64_t ldb, tare_real beta, tare_real *c, int64_t ldc) {
    const tare__gemm_args args = { trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, NULL, NULL };
    tare__gemm(&args);
}
