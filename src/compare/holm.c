/* holm.c - many p-values at once: Holm's correction, and how many seeds it takes to pass it. */
#include "stats.h"

#include <math.h>
#include <stdlib.h>

#include <tare/core.h>

typedef struct ranked {
    double p;
    int64_t at;
} ranked;

static int by_p(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->p != y->p) { return x->p < y->p ? -1 : 1; }
    return (x->at > y->at) - (x->at < y->at);
}

bool tare__holm(const double *p, int64_t m, double *adjusted) {
    if (m < 1) { return true; }
    ranked *order = tare_malloc((size_t)m * sizeof *order);
    if (!order) { return false; }
    for (int64_t i = 0; i < m; i++) { order[i] = (ranked){ p[i], i }; }
    qsort(order, (size_t)m, sizeof *order, by_p);
    double largest = 0;
    for (int64_t i = 0; i < m; i++) {
        largest = fmax(largest, fmin(1, (double)(m - i) * order[i].p));
        adjusted[order[i].at] = largest;
    }
    tare_free(order);
    return true;
}

int64_t tare__seeds_needed(int64_t m, double alpha) {
    int64_t n = 1;
    while (ldexp(2.0 * (double)(m < 1 ? 1 : m), -(int)n) >= alpha) { n++; }
    return n;
}
