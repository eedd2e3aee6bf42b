/* binary.h - two operands under broadcasting: walking both at once, and summing gradients back over what was repeated. */
#ifndef TARE_OPS_BINARY_H
#define TARE_OPS_BINARY_H

#include "common.h"

/* y = a op b, or y += a op b, over rows and columns: the kernels add, sub, mul, div. */
typedef void (*tare__binary_fn)(int64_t rows, int64_t cols, tare__view a, tare__view b, tare_real *y, int64_t y_row,
                                bool add);

/* y (+)= factor * a, where a broadcasts to y's shape. */
void tare__repeat(tare_shape shape, const tare_real *a, tare_shape a_shape, double factor, tare_real *y, bool add);

/* ---- ops of two operands ----------------------------------------------------------------------------------------- */

/* The common shape, and scratch for the sums of backward. */
tare_status tare__binary_check(tare_node *n);
void tare__binary_forward(const tare_node *n, tare__binary_fn f);
/* gradient of input i: the sum over its repetitions of factor * dy */
void tare__binary_pass(const tare_node *n, int i, double factor);
/* gradient of input i: the sum over its repetitions of f(dy, other) */
void tare__binary_apply(const tare_node *n, int i, tare__binary_fn f, const tare_tensor *other);
/* Was input i repeated? */
static inline bool tare__binary_repeats(const tare_node *n, int i) { return n->in[i]->numel != n->out->numel; }

#endif
