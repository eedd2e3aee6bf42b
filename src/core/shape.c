/* shape.c - sizes of tensors. */
#include <tare/core.h>

#include <inttypes.h>
#include <stdio.h>

int64_t tare_shape_numel(tare_shape shape) {
    if (shape.ndim < 0 || shape.ndim > TARE_MAX_DIMS) { return -1; }
    bool empty = false;
    for (int d = 0; d < shape.ndim; d++) {
        if (shape.dim[d] < 0) { return -1; }
        empty = empty || shape.dim[d] == 0;
    }
    if (empty) { return 0; }
    /* The bound leaves room for a byte count in an int64_t. */
    const int64_t most = INT64_MAX / (int64_t)sizeof(double);
    int64_t n = 1;
    for (int d = 0; d < shape.ndim; d++) {
        if (shape.dim[d] > most / n) { return -1; }
        n *= shape.dim[d];
    }
    return n;
}

bool tare_shape_equal(tare_shape a, tare_shape b) {
    if (a.ndim != b.ndim) { return false; }
    for (int d = 0; d < a.ndim; d++) {
        if (a.dim[d] != b.dim[d]) { return false; }
    }
    return true;
}

const char *tare_shape_text(tare_shape shape, tare_shape_buf *buffer) {
    size_t room = sizeof buffer->text, used = 0;
    used += (size_t)snprintf(buffer->text, room, "[");
    for (int d = 0; d < shape.ndim && d < TARE_MAX_DIMS && used < room; d++) {
        used += (size_t)snprintf(buffer->text + used, room - used, "%s%" PRId64, d ? "," : "", shape.dim[d]);
    }
    if (used < room) { snprintf(buffer->text + used, room - used, "]"); }
    return buffer->text;
}
