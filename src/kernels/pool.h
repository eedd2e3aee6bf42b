/* pool.h - how a pooling window walks over a plane: shared by the pooling ops and their kernels. */
#ifndef TARE_KERNELS_POOL_H
#define TARE_KERNELS_POOL_H

#include <tare/core.h>

typedef struct tare__pool {
    int64_t h, w, oh, ow; /* a plane of the input, of the output */
    int64_t kernel_h, stride_h, pad_h;
    int64_t kernel_w, stride_w, pad_w;
    bool exclude_pad; /* averages only: divide by the cells inside the input */
    bool relu;        /* maxima only: of max(x, 0); where that is 0 nothing goes back, and the index says nowhere */
} tare__pool;

enum { TARE__POOL_NOWHERE = -1, TARE__POOL_NOWHERE_2X2 = 4 };

/* tare__pool_is_2x2 - windows of 2 x 2 side by side, none of them over the edge: the fast path. */
static inline bool tare__pool_is_2x2(const tare__pool *p) {
    return p->kernel_h == 2 && p->kernel_w == 2 && p->stride_h == 2 && p->stride_w == 2 && p->pad_h == 0 &&
           p->pad_w == 0 && 2 * p->oh <= p->h && 2 * p->ow <= p->w;
}

#endif
