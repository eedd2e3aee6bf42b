/* reshape.c - the same memory under another shape. */
#include "common.h"

#include <inttypes.h>

typedef struct reshape_opt {
    tare_shape shape; /* one dimension may be -1 */
} reshape_opt;

static tare_status check(tare_node *n) {
    tare_shape wanted = ((const reshape_opt *)n->attr)->shape, shape = wanted;
    const tare_tensor *x = n->in[0];
    int open = -1, opens = 0;
    int64_t known = 1;
    if (shape.ndim < 0 || shape.ndim > TARE_MAX_DIMS) {
        return tare_node_fail(n, TARE_ESHAPE, "a shape of %d dimensions is wanted, %d are possible", shape.ndim,
                              TARE_MAX_DIMS);
    }
    for (int d = 0; d < shape.ndim; d++) {
        if (shape.dim[d] == -1) {
            open = d, opens++;
        } else if (shape.dim[d] != 0 && known > INT64_MAX / shape.dim[d]) {
            known = -1;
            break;
        } else {
            known *= shape.dim[d];
        }
    }
    if (opens == 1 && known > 0 && x->numel % known == 0) { shape.dim[open] = x->numel / known; }
    if (opens > 1 || tare_shape_numel(shape) != x->numel) {
        tare_shape_buf from, to;
        return tare_node_fail(n, TARE_ESHAPE, "x %s has %" PRId64 " values, which do not fill %s%s",
                              tare_shape_text(x->shape, &from), x->numel, tare_shape_text(wanted, &to),
                              opens > 1 ? ": only one dimension may be -1" : "");
    }
    n->shape = shape;
    return TARE_OK;
}

#define ATTR(...)                                                                                                      \
    .attr = &(const reshape_opt) { __VA_ARGS__ }

static const tare_opcase cases[] = {
    { .name = "matrix", .in = { { 2, { 3, 8 } } }, ATTR({ 2, { 6, 4 } }) },
    { .name = "open", .in = { { 4, { 2, 3, 2, 5 } } }, ATTR({ 3, { 2, -1, 5 } }) },
    { .name = "scalar", .in = { { 2, { 1, 1 } } }, ATTR({ 0, { 0 } }) },
    { .name = NULL },
};

const tare_op tare_op_reshape = {
    .name = "reshape",
    .n_in = 1,
    .attr_size = sizeof(reshape_opt),
    .flags = TARE_OP_ALIAS,
    .reads = TARE_READS_NOTHING,
    .check = check,
    .cases = cases,
};

tare_tensor *tare_reshape(tare_tape *t, tare_tensor *x, tare_shape shape) {
    return tare_apply(t, &tare_op_reshape, &x, 1, &(reshape_opt){ shape });
}

tare_tensor *tare_flatten(tare_tape *t, tare_tensor *x, int dim) {
    tare_shape shape = TARE_SCALAR;
    if (x) {
        int first = tare__dim(dim, x->shape.ndim);
        if (first < 0) {
            tare_shape_buf buf;
            return tare_tape_fail(t, TARE_ESHAPE, "flatten: x %s has no dimension %d", tare_shape_text(x->shape, &buf),
                                  dim);
        }
        tare__around a = tare__around_dim(x->shape, first);
        shape = x->shape;
        shape.dim[first] = a.size * a.inner;
        shape.ndim = first + 1;
    }
    return tare_reshape(t, x, shape);
}
