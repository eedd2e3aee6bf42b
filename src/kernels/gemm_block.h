/* gemm_block.h - what a block of a matrix product is to the kernel that computes it. */
#ifndef TARE_GEMM_BLOCK_H
#define TARE_GEMM_BLOCK_H

#include <tare/core.h>

/* R = alpha S V, added to what is there or plus bias. One of the operands is the scalar side S [rows,k], whose numbers are
 * broadcast, the other the vector side V [k,columns]. Where that is cheaper the product is computed transposed: then S is
 * op(B)^T, V is op(A)^T and R is C^T. */
typedef struct tare__gemm_block {
    int64_t rows, columns, k;
    const tare_real *s;
    int64_t s_step;
    bool s_columns; /* S lies column by column (row by row if false), s_step apart */
    const tare_real *v;
    int64_t v_step;
    bool v_columns;  /* V lies column by column: it is turned round on the way */
    int64_t v_panel; /* not 0: V lies in panels of two vectors' columns, so far apart (gemm_turn) */
    tare_real *r;
    int64_t r_step;
    bool r_columns; /* R lies column by column */
    tare_real alpha;
    bool add;
    const tare_real *bias_row, *bias_column; /* [rows], [columns] or NULL; not with add */
} tare__gemm_block;

#endif
