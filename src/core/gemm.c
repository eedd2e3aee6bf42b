/* gemm.c - tare_gemm: the product cut into chunks whose size depends on the shape alone, spread over the threads. */
#include "gemm.h"

#include "../kernels/kernels.h"
#include "blas.h"
#include "stack.h"

enum {
    ONE_CHUNK = 1 << 19, /* multiply-adds; less than this is not worth a second thread */
    MANY_CHUNKS = 64,    /* never more */
    CHUNK_COST = 1000,   /* cycles to hand a chunk to a thread */
    FAR = 1 << 18,       /* numbers of S that no second-level cache holds */
    TURNED = 1 << 17,    /* numbers of V turned round at a time, on the stack */
    TURNED_PANELS = 8,   /* most panels that are turned round before the product rather than within it */
    BLAS_TILE_M = 128,
    BLAS_TILE_N = 256,
};

typedef struct job {
    const tare__gemm_args *args;
    const tare__kernel_table *kernels;
    tare__gemm_block block; /* the whole product, or the part of k at hand */
    int64_t rows, columns;  /* of a chunk, in the block's terms */
    int64_t per_row;        /* chunks side by side */
    int64_t panel;          /* columns of a panel of V */
    tare_real *turned;      /* V's panels, turned round */
    bool blas;
    bool scale; /* beta is neither 0 nor 1, and C still to be multiplied with it */
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
        if (w->scale) {
            if (b.r_columns) {
                prepare(w->args, j, i, b.columns, b.rows);
            } else {
                prepare(w->args, i, j, b.rows, b.columns);
            }
        }
        b.s += b.s_columns ? i : i * b.s_step;
        b.v += b.v_panel ? j / w->panel * b.v_panel : b.v_columns ? j * b.v_step : j;
        b.r += b.r_columns ? j * b.r_step + i : i * b.r_step + j;
        b.bias_row = b.bias_row ? b.bias_row + i : NULL;
        b.bias_column = b.bias_column ? b.bias_column + j : NULL;
        w->kernels->gemm_block(&b);
    }
}

/* Cycles of a block, roughly: full vectors multiplied at two a cycle, V turned round or copied, S copied, R turned. */
static double block_cost(const tare__gemm_block *b, int64_t rows, int64_t columns, int lanes, bool turn_v) {
    double vectors = (double)ceil_div(columns, lanes), k = (double)b->k;
    double turn = turn_v ? 8 * vectors * k : 1 * vectors * k;
    double copy = b->s_columns ? 0 : 2 * (double)rows * k / lanes;
    double store = (b->r_columns ? 8 : 2) * (double)rows * vectors;
    return (double)rows * vectors * k / 2 + turn + copy + store + CHUNK_COST;
}

static tare__gemm_block choose_sides(const tare__gemm_args *x, int lanes) {
    bool add = x->beta != 0;
    tare__gemm_block plain = { x->m, x->n, x->k,   x->a,  x->lda,   x->trans_a, x->b,        x->ldb,        x->trans_b,
                               0,    x->c, x->ldc, false, x->alpha, add,        x->bias_row, x->bias_column };
    tare__gemm_block swapped = { x->n,   x->m,           x->k,       x->b, x->ldb, !x->trans_b, x->a,
                                 x->lda, !x->trans_a,    0,          x->c, x->ldc, true,        x->alpha,
                                 add,    x->bias_column, x->bias_row };
    return block_cost(&plain, x->m, x->n, lanes, x->trans_b) <= block_cost(&swapped, x->n, x->m, lanes, !x->trans_a)
               ? plain
               : swapped;
}

/* S so large is read from afar for every chunk, and one lies across it by columns: columns in few places, and V copied again. */
static double far_cost(const tare__gemm_block *b, int64_t rows, int64_t columns) {
    if (!b->s_columns || b->rows * b->k < FAR) { return 0; }
    return (double)b->k * (0.04 * (double)rows + 0.19 * (double)columns);
}

/* The cut into chunks that is quickest on two cores and on eight, both counted. */
static void choose_chunks(job *w, int lanes, bool turn_v) {
    const tare__gemm_block *b = &w->block;
    double best = -1;
    for (int64_t across = 1; across <= MANY_CHUNKS; across *= 2) {
        int64_t columns = ceil_div(ceil_div(b->columns, across), 2 * lanes) * 2 * lanes;
        int64_t wide = smaller(columns, b->columns), per_row = ceil_div(b->columns, columns);
        for (int64_t down = 1; across * down <= MANY_CHUNKS; down *= 2) {
            int64_t rows = ceil_div(b->rows, down), chunks = ceil_div(b->rows, rows) * per_row;
            double cost = (block_cost(b, rows, wide, lanes, turn_v) + far_cost(b, rows, wide)) *
                          (double)(ceil_div(chunks, 2) + 2 * ceil_div(chunks, 8));
            if (best < 0 || cost <= best) { /* of equals the one with more rows */
                best = cost;
                w->rows = rows;
                w->columns = columns;
            }
            if (rows == 1) { break; }
        }
        if (columns == 2 * lanes) { break; }
    }
}

static void multiply(job *w) {
    w->per_row = ceil_div(w->block.columns, w->columns);
    tare_parallel_for(ceil_div(w->block.rows, w->rows) * w->per_row, 1, run_chunks, w);
}

static void turn_panels(void *context, int64_t begin, int64_t end) {
    const job *w = context;
    for (int64_t n = begin; n < end; n++) {
        w->kernels->gemm_turn(&w->block, n * w->panel, w->turned + n * w->panel * w->block.k);
    }
}

/* Several chunks meet the same columns of V: turn V round once for all of them, as much of k at a time as there is room. */
static void multiply_turned(const job *all) {
    _Alignas(64) tare_real turned[TURNED];
    const int64_t k = all->block.k, panels = ceil_div(all->block.columns, all->panel);
    const int64_t room = TURNED / (panels * all->panel), step = ceil_div(k, ceil_div(k, room)); /* step <= room */
    for (int64_t p = 0; p < k; p += step) {
        job w = *all;
        w.turned = turned;
        w.block.k = smaller(step, k - p);
        w.block.v += p;
        tare_parallel_for(panels, 1, turn_panels, &w);
        w.block.s += w.block.s_columns ? p * w.block.s_step : p;
        w.block.v = turned;
        w.block.v_columns = false;
        w.block.v_panel = w.panel * w.block.k;
        if (p > 0) {
            w.block.add = true;
            w.block.bias_row = w.block.bias_column = NULL;
            w.scale = false;
        }
        multiply(&w);
    }
}

static void one_turned(void *context, int64_t begin, int64_t end) {
    (void)begin, (void)end;
    multiply_turned(context);
}

/* A thread with a small stack has another do it, alone. */
static void turned_where_there_is_room(job *w) {
    if (tare__stack_is_large()) {
        multiply_turned(w);
    } else {
        tare_parallel_for(1, 1, one_turned, w);
    }
}

static void multiply_blas(job *w, bool small) {
    w->blas = true;
    w->block = (tare__gemm_block){ .rows = w->args->m, .columns = w->args->n };
    w->rows = small ? w->args->m : BLAS_TILE_M;
    w->columns = small ? w->args->n : BLAS_TILE_N;
    multiply(w);
}

void tare__gemm(const tare__gemm_args *x) {
    if (x->m <= 0 || x->n <= 0) { return; }
    if (x->k <= 0 || x->alpha == 0) {
        if (x->beta != 1) { prepare(x, 0, 0, x->m, x->n); }
        return;
    }
    job w = { .args = x, .kernels = tare__kernels(), .scale = x->beta != 0 && x->beta != 1 };
    double work = (double)x->m * (double)x->n * (double)x->k;
    int lanes = w.kernels->lanes;
    /* The narrow vectors of the baseline are ours only where calling OpenBLAS costs more than the product. */
    if (lanes * (int)sizeof(tare_real) == 16 && work > 32 * 32 * 32) {
        multiply_blas(&w, work < ONE_CHUNK || x->whole);
        return;
    }
    w.block = choose_sides(x, lanes);
    w.panel = 2 * lanes;
    w.rows = w.block.rows;
    w.columns = w.block.columns;
    bool cut = work >= ONE_CHUNK && !x->whole;
    bool turn_once = w.block.v_columns && cut && ceil_div(w.block.columns, w.panel) <= TURNED_PANELS;
    if (cut) { choose_chunks(&w, lanes, w.block.v_columns && !turn_once); }
    if (turn_once && w.rows < w.block.rows) {
        turned_where_there_is_room(&w);
    } else {
        multiply(&w);
    }
}

void tare_gemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, tare_real alpha, const tare_real *a,
               int64_t lda, const tare_real *b, int64_t ldb, tare_real beta, tare_real *c, int64_t ldc) {
    const tare__gemm_args args = { trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, NULL, NULL, false };
    tare__gemm(&args);
}
