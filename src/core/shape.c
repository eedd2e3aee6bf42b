/* shape.c - sizes of tensors. */
#include <tare/core.h>

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

static char *put_number(char *to, int64_t value) {
    char digits[20];
    int n = 0;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do { digits[n++] = (char)('0' + rest % 10); } while (rest /= 10);
    if (value < 0) { *to++ = '-'; }
    while (n > 0) { *to++ = digits[--n]; }
    return to;
}

/* Without snprintf, which takes 0.3 us: ops ask for texts before they know whether anything is wrong. Numbers that find no room are
 * those of shapes beyond all memory. */
const char *tare_shape_text(tare_shape shape, tare_shape_buf *buffer) {
    enum { LONGEST = 20 + 3 }; /* a number and a comma before it, a bracket and the end behind */
    char *to = buffer->text;
    const char *last = to + sizeof buffer->text - LONGEST;
    *to++ = '[';
    for (int d = 0; d < shape.ndim && d < TARE_MAX_DIMS && to <= last; d++) {
        if (d) { *to++ = ','; }
        to = put_number(to, shape.dim[d]);
    }
    *to++ = ']';
    *to = 0;
    return buffer->text;
}
