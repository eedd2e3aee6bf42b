/* reduce.h - sums over any dimensions: the same bits for any number of threads, with an error near one rounding. */
#ifndef TARE_OPS_REDUCE_H
#define TARE_OPS_REDUCE_H

#include "binary.h"

/* tare__reduction - how a sum is cut, from the shapes alone. The innermost dimension that is kept is the lane, the innermost
 * one that is summed the run; one of the two is the innermost of all, so x is read along its memory. A unit of work is a
 * block of lanes of one outer kept index over one part of the summed indices. */
typedef struct tare__reduction {
    tare__space kept, summed; /* the outer dimensions of each kind; tensors: x, other */
    int64_t lanes, block, lane_x, lane_other;
    int64_t run, run_x, run_other;
    bool lane_inner;
    int64_t units, parts, indices; /* indices: how many values are summed into each result */
    int64_t results;
} tare__reduction;

/* From x of shape `from` to a tensor of shape `to`, which broadcasts to it; `other` broadcasts to it too. */
tare__reduction tare__reduction_plan(tare_shape from, tare_shape to, tare_shape other);
/* Bytes of scratch the sum needs (0 for most). */
size_t tare__reduction_scratch(const tare__reduction *r);

/* to (+)= factor * sum of x, or of f(x, other), each result divided by its `divisor` where there is one. */
typedef struct tare__sum {
    const tare_real *x;
    tare__binary_fn f; /* NULL: x itself */
    const tare_real *other;
    double factor;
    const tare_real *divisor; /* NULL: none */
    tare_real *to;
    bool add;
    void *scratch;
} tare__sum;

void tare__reduce(const tare__reduction *r, tare__sum sum);

#endif
