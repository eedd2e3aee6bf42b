/* pool.h - what max_pool2d and avg_pool2d share: options made into the walk of a window. */
#ifndef TARE_OPS_POOL_H
#define TARE_OPS_POOL_H

#include "../kernels/pool.h"
#include "common.h"

/* tare__pool2d_walk - how the window of n's attributes (a tare_pool2d_opt) walks over n->in[0], which has been checked. */
tare__pool tare__pool2d_walk(const tare_node *n);

/* tare__pool2d_check - an op's check: rank, options, output size; sets n->shape. */
tare_status tare__pool2d_check(tare_node *n);

/* tare__pool2d_grain - planes per chunk, of so many. */
static inline int64_t tare__pool2d_grain(const tare__pool *p, int64_t planes) {
    double window = tare__pool_is_2x2(p) ? 4 : (double)(p->kernel_h * p->kernel_w) + 2;
    return tare__grain_of(planes, window * (double)(p->oh * p->ow));
}

#endif
