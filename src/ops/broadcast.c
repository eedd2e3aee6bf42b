/* broadcast.c - the one broadcasting rule: align at the right, repeat what is 1 or missing. */
#include "common.h"

bool tare__broadcast(tare_shape a, tare_shape b, tare_shape *common) {
    tare_shape out = { .ndim = a.ndim > b.ndim ? a.ndim : b.ndim };
    for (int back = 1; back <= out.ndim; back++) {
        int64_t da = back <= a.ndim ? a.dim[a.ndim - back] : 1;
        int64_t db = back <= b.ndim ? b.dim[b.ndim - back] : 1;
        if (da != db && da != 1 && db != 1) { return false; }
        out.dim[out.ndim - back] = da == 1 ? db : da;
    }
    *common = out;
    return true;
}

tare_status tare__broadcast_check(tare_node *n, tare_shape a, tare_shape b, tare_shape *common) {
    tare_shape out;
    bool fits = tare__broadcast(a, b, &out);
    if (fits && tare_shape_numel(out) >= 0) {
        *common = out;
        return TARE_OK;
    }
    tare_shape_buf left, right;
    return tare_node_fail(n, TARE_ESHAPE, "shapes %s and %s do not broadcast: %s", tare_shape_text(a, &left),
                          tare_shape_text(b, &right),
                          fits ? "the result is too large" : "aligned at the right, sizes must be equal or 1");
}

void tare__strides(tare_shape shape, tare_shape common, int64_t stride[TARE_MAX_DIMS]) {
    int64_t step = 1;
    for (int back = 1; back <= common.ndim; back++) {
        int d = common.ndim - back;
        int64_t size = back <= shape.ndim ? shape.dim[shape.ndim - back] : 1;
        stride[d] = size == 1 ? 0 : step;
        step *= size;
    }
}
