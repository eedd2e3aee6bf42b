/* conv2d_wino.h - when and how a convolution goes through Winograd's filtering (kernels/conv_wino.h). */
#ifndef TARE_OPS_CONV2D_WINO_H
#define TARE_OPS_CONV2D_WINO_H

#include "../kernels/conv_wino.h"
#include "conv2d.h"

/* tare__wino_pass_of - true where a batch of such correlations is quicker this way; *w then has all sizes, and where c's data are to
 * lie. tare__wino_sums_of - the same for the product of x and dy that gives the weight's gradient. Depends on sizes alone. */
bool tare__wino_pass_of(const tare__conv *c, int64_t images, tare__wino *w);
bool tare__wino_sums_of(const tare__conv *c, int64_t images, tare__wino *w);

/* Numbers of scratch that tare__wino_pass takes. */
int64_t tare__wino_pass_size(const tare__wino *w);
/* From w->x and w->weight to w->y. The steps through the weights are those of [filters][channels][taps stride][taps stride] unless
 * the caller has set others. */
void tare__wino_pass(tare__wino *w, tare_real *scratch);

/* Bytes that tare__wino_sum takes. */
size_t tare__wino_sums_scratch(const tare__wino *w);
/* From w->x and w->dy to dw, and to db unless NULL. */
void tare__wino_sum(tare__wino *w, const tare__conv2d_sums *s);

#endif
