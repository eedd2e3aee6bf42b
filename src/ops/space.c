/* space.c - iteration spaces with as few dimensions as the strides allow. */
#include "common.h"

#include <string.h>

enum { LAST = TARE_MAX_DIMS - 1 };

tare__space tare__space_empty(void) {
    tare__space s = { .dim = { 0 } };
    for (int d = 0; d < TARE_MAX_DIMS; d++) { s.dim[d] = 1; }
    return s;
}

static bool continues(const tare__space *s, int64_t dim, const int64_t stride[TARE__WALKERS]) {
    for (int t = 0; t < TARE__WALKERS; t++) {
        if (s->stride[t][LAST] != stride[t] * dim) { return false; }
    }
    return s->dim[LAST] != 1;
}

void tare__space_add(tare__space *s, int64_t dim, const int64_t stride[TARE__WALKERS]) {
    if (dim == 1) { return; }
    if (continues(s, dim, stride)) {
        s->dim[LAST] *= dim;
    } else {
        memmove(&s->dim[0], &s->dim[1], LAST * sizeof s->dim[0]);
        for (int t = 0; t < TARE__WALKERS; t++) {
            memmove(&s->stride[t][0], &s->stride[t][1], LAST * sizeof s->stride[t][0]);
        }
        s->dim[LAST] = dim;
    }
    for (int t = 0; t < TARE__WALKERS; t++) { s->stride[t][LAST] = stride[t]; }
}

tare__space tare__space_of(tare_shape shape, int64_t stride[TARE__WALKERS][TARE_MAX_DIMS]) {
    tare__space s = tare__space_empty();
    for (int d = 0; d < shape.ndim; d++) {
        tare__space_add(&s, shape.dim[d], (const int64_t[]){ stride[0][d], stride[1][d], stride[2][d] });
    }
    return s;
}

void tare__space_seek(const tare__space *s, int dims, int64_t flat, int64_t at[TARE__WALKERS]) {
    for (int d = dims - 1; d >= 0 && flat > 0; d--) {
        int64_t index = flat % s->dim[d];
        flat /= s->dim[d];
        for (int t = 0; t < TARE__WALKERS; t++) { at[t] += index * s->stride[t][d]; }
    }
}
