/* box.h - copies between blocks of two tensors: what permute, slice, concat and pad are made of. */
#ifndef TARE_OPS_BOX_H
#define TARE_OPS_BOX_H

#include "common.h"

/* A block of `shape` indices: index i lies at from[sum i_d from_stride_d] and to[sum i_d to_stride_d]. */
typedef struct tare__box {
    tare_shape shape;
    const tare_real *from;
    int64_t from_stride[TARE_MAX_DIMS];
    tare_real *to;
    int64_t to_stride[TARE_MAX_DIMS];
} tare__box;

/* to = from, or to += from where add. A from_stride may be 0 (fill), a to_stride not. */
void tare__box_copy(const tare__box *box, bool add);

#endif
