/* thin.c - curves with fewer points that look the same: each stretch keeps its lowest and its highest value. */
#include "report.h"

#include <math.h>

/* The rows of the lowest and the highest value among those from..to; -1 where all are NaN. */
static void extremes(const double *value, int64_t from, int64_t to, int64_t *low, int64_t *high) {
    *low = *high = -1;
    for (int64_t i = from; i < to; i++) {
        if (isnan(value[i])) { continue; }
        if (*low < 0 || value[i] < value[*low]) { *low = i; }
        if (*high < 0 || value[i] > value[*high]) { *high = i; }
    }
}

static int64_t keep_all(const double *value, int64_t n, int64_t *index) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!isnan(value[i])) { index[count++] = i; }
    }
    return count;
}

int64_t tare__thin(const double *value, int64_t n, int64_t most, int64_t *index) {
    int64_t first = 0, last = n - 1, low, high;
    while (first < n && isnan(value[first])) { first++; }
    while (last > first && isnan(value[last])) { last--; }
    if (last - first < most) { /* this many rows fit, whichever of them have a value */
        int64_t count = first < n ? keep_all(value + first, last - first + 1, index) : 0;
        for (int64_t i = 0; i < count; i++) { index[i] += first; }
        return count;
    }
    int64_t stretches = (most - 2) / 2, inner = last - first - 1, count = 0;
    index[count++] = first;
    for (int64_t k = 0; k < stretches; k++) {
        extremes(value, first + 1 + inner * k / stretches, first + 1 + inner * (k + 1) / stretches, &low, &high);
        if (low < 0) { continue; }
        index[count++] = low < high ? low : high;
        if (low != high) { index[count++] = low < high ? high : low; }
    }
    index[count++] = last;
    return count;
}
