/* loss.h - what the losses share that compare x and y value by value: check, sum in fixed blocks, mean, backward. */
#ifndef TARE_OPS_LOSS_H
#define TARE_OPS_LOSS_H

#include "common.h"

typedef struct tare__loss_attr {
    tare_reduction reduction;
} tare__loss_attr;

typedef double (*tare__loss_sum)(int64_t n, const tare_real *x, const tare_real *y);
typedef void (*tare__loss_back)(int64_t n, const tare_real *x, const tare_real *y, tare_real dy, tare_real *dx,
                                bool add);

/* Equal shapes; sets a scalar output and room for partial sums. */
tare_status tare__loss_check(tare_node *n);
/* The same, and fails where a gradient to y is wanted. */
tare_status tare__loss_check_target(tare_node *n);
void tare__loss_forward(tare_node *n, tare__loss_sum sum);
/* The gradient to input `to`: back is called with that input first. */
void tare__loss_backward(tare_node *n, int to, tare__loss_back back);

#endif
