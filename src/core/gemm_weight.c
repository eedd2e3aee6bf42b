/* gemm_weight.c - a matrix laid into panels once, for many products with few rows each: the steps of a recurrent net. */
#include "gemm.h"

#include "../kernels/kernels.h"

/* The narrow vectors of the baseline leave products to OpenBLAS (gemm.c), which wants rows. */
static bool in_rows(const tare__kernel_table *kernels) { return kernels->lanes * (int)sizeof(tare_real) == 16; }

int64_t tare__gemm_panel(void) {
    const tare__kernel_table *kernels = tare__kernels();
    return in_rows(kernels) ? 1 : 2 * kernels->lanes;
}

int64_t tare__gemm_weight_size(int64_t k, int64_t n) {
    int64_t panel = tare__gemm_panel();
    return k * ((n + panel - 1) / panel * panel);
}

typedef struct turn_job {
    const tare__kernel_table *kernels;
    tare__gemm_block block;
    int64_t panel;
    tare_real *to;
} turn_job;

static void turn_panels(void *context, int64_t begin, int64_t end) {
    const turn_job *j = context;
    for (int64_t p = begin; p < end; p++) {
        j->kernels->gemm_turn(&j->block, p * j->panel, j->to + p * j->panel * j->block.k);
    }
}

static void turn_rows(void *context, int64_t begin, int64_t end) {
    const turn_job *j = context;
    const tare__gemm_block *b = &j->block;
    j->kernels->copy(end - begin, b->columns, b->v + begin * (b->v_columns ? 1 : b->v_step),
                     b->v_columns ? 1 : b->v_step, b->v_columns ? b->v_step : 1, j->to + begin * b->columns, b->columns,
                     1, false);
}

tare__gemm_weight tare__gemm_weight_of(bool trans, int64_t k, int64_t n, const tare_real *w, int64_t ldw,
                                       tare_real *room) {
    turn_job job = { .kernels = tare__kernels(), .panel = tare__gemm_panel(), .to = room };
    job.block = (tare__gemm_block){ .columns = n, .k = k, .v = w, .v_step = ldw, .v_columns = trans };
    if (in_rows(job.kernels)) {
        tare_parallel_for(k, 16, turn_rows, &job);
    } else {
        tare_parallel_for((n + job.panel - 1) / job.panel, 1, turn_panels, &job);
    }
    return (tare__gemm_weight){ k, n, room };
}

void tare__gemm_weight_multiply(const tare__gemm_weight *w, const tare__gemm_rows *x) {
    const tare__kernel_table *kernels = tare__kernels();
    const tare_real *bias = x->bias ? x->bias + x->first : NULL;
    if (in_rows(kernels)) {
        tare__gemm(&(tare__gemm_args){ .m = x->rows,
                                       .n = x->columns,
                                       .k = w->k,
                                       .alpha = 1,
                                       .a = x->s,
                                       .lda = x->s_step,
                                       .b = w->data + x->first,
                                       .ldb = w->n,
                                       .beta = x->add,
                                       .c = x->r,
                                       .ldc = x->r_step,
                                       .bias_column = bias });
        return;
    }
    int64_t panel = 2 * kernels->lanes;
    kernels->gemm_block(&(tare__gemm_block){ .rows = x->rows,
                                             .columns = x->columns,
                                             .k = w->k,
                                             .s = x->s,
                                             .s_step = x->s_step,
                                             .v = w->data + x->first * w->k,
                                             .v_panel = panel * w->k,
                                             .r = x->r,
                                             .r_step = x->r_step,
                                             .alpha = 1,
                                             .add = x->add,
                                             .bias_column = bias });
}
