/* common.h - what the op files share: dimensions, broadcasting, how work is cut. */
#ifndef TARE_OPS_COMMON_H
#define TARE_OPS_COMMON_H

#include <tare/ops.h>

#include "../kernels/kernels.h"

#define TARE_OP(name) extern const tare_op tare_op_##name;
#include "ops.def"
#undef TARE_OP

/* ---- small numbers ----------------------------------------------------------------------------------------------- */

static inline int64_t tare__min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t tare__max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t tare__ceil_div(int64_t a, int64_t b) { return a / b + (a % b > 0); }

/* ---- dimensions -------------------------------------------------------------------------------------------------- */

/* tare__dim - `dim` counted from the front (-1 is the last), or -1 where there is no such dimension. */
static inline int tare__dim(int dim, int ndim) {
    if (dim < 0) { dim += ndim; }
    return dim >= 0 && dim < ndim ? dim : -1;
}

/* tare__around - a shape seen from one dimension: [outer, size, inner]. */
typedef struct tare__around {
    int64_t outer, size, inner;
} tare__around;

static inline tare__around tare__around_dim(tare_shape shape, int dim) {
    tare__around a = { 1, shape.dim[dim], 1 };
    for (int d = 0; d < dim; d++) { a.outer *= shape.dim[d]; }
    for (int d = dim + 1; d < shape.ndim; d++) { a.inner *= shape.dim[d]; }
    return a;
}

/* ---- cutting work ------------------------------------------------------------------------------------------------ */

/* So many simple operations on values in cache are a chunk; handing one to a waiting thread costs a fifth of the least, 0.5 us. */
enum { TARE__CHUNK_WORK = 32768, TARE__CHUNK_LEAST = 8192 };

/* tare__grain - how many items a tare_parallel_for chunk takes where each costs about `work` element operations (one
 * load, a little arithmetic, one store; 4 multiply-adds of a dense product). Depends on the shape alone. */
static inline int64_t tare__grain(double work) {
    double grain = TARE__CHUNK_WORK / (work < 1 ? 1 : work);
    return grain < 1 ? 1 : (int64_t)grain;
}

/* tare__grain_of - the same where there are `items` in all: fewer in a chunk where they would make less than eight. */
static inline int64_t tare__grain_of(int64_t items, double work) {
    double few = (double)items * work / 8, chunk = few < TARE__CHUNK_WORK ? few : TARE__CHUNK_WORK;
    double grain = (chunk > TARE__CHUNK_LEAST ? chunk : TARE__CHUNK_LEAST) / (work < 1 ? 1 : work);
    return grain < 1 ? 1 : (int64_t)grain;
}

/* ---- broadcasting ------------------------------------------------------------------------------------------------ */

/* tare__broadcast - the common shape of a and b, aligned at the right; false where they do not fit. */
bool tare__broadcast(tare_shape a, tare_shape b, tare_shape *common);

/* tare__broadcast_check - the same as an op's check: sets *common or fails with both shapes in the message. */
tare_status tare__broadcast_check(tare_node *n, tare_shape a, tare_shape b, tare_shape *common);

/* tare__strides - how far apart neighbours along each dimension of `common` lie in a contiguous tensor of `shape`, which
 * broadcasts to it: 0 where the tensor is repeated. */
void tare__strides(tare_shape shape, tare_shape common, int64_t stride[TARE_MAX_DIMS]);

/* ---- iteration spaces -------------------------------------------------------------------------------------------- */

enum { TARE__WALKERS = 3 };

/* tare__space - a block of indices that up to three tensors are walked by, each with strides of its own. It always has
 * TARE_MAX_DIMS dimensions: those of size 1 are gone, neighbours that can be walked as one are merged, and dimensions of
 * size 1 and stride 0 fill up the front. */
typedef struct tare__space {
    int64_t dim[TARE_MAX_DIMS];
    int64_t stride[TARE__WALKERS][TARE_MAX_DIMS];
} tare__space;

/* tare__space_add - put a dimension behind the last one. */
void tare__space_add(tare__space *s, int64_t dim, const int64_t stride[TARE__WALKERS]);
/* tare__space_of - the dimensions of `shape`; stride[t][d] is tensor t's along dimension d. */
tare__space tare__space_of(tare_shape shape, int64_t stride[TARE__WALKERS][TARE_MAX_DIMS]);
/* tare__space_empty - no dimensions yet: one index, 0. */
tare__space tare__space_empty(void);
/* tare__space_seek - add to at[t] tensor t's offset of the flat index over the first `dims` dimensions. */
void tare__space_seek(const tare__space *s, int dims, int64_t flat, int64_t at[TARE__WALKERS]);

#endif
