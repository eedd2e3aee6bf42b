/* sign_flip.c - the paired permutation test: under the null hypothesis each difference might as well have the other sign. */
#include "stats.h"

#include <math.h>

#include <tare/core.h>

enum { EXACT_MOST = 20, HALF = EXACT_MOST / 2, SAMPLES = 99999 };

/* Every sum of +-d[0..n) into sums[0..2^n). */
static void all_sums(const double *d, int n, double *sums) {
    sums[0] = 0;
    for (int i = 0, count = 1; i < n; i++, count *= 2) {
        for (int k = 0; k < count; k++) {
            sums[count + k] = sums[k] - d[i];
            sums[k] += d[i];
        }
    }
}

/* Two halves of the signs, each enumerated once: a pattern's sum is then a single addition, and equal patterns tie exactly. */
static double exact_share(const double *d, int n, double observed) {
    double first[1 << HALF], second[1 << HALF];
    int a = n / 2, b = n - n / 2;
    all_sums(d, a, first);
    all_sums(d + a, b, second);
    int64_t extreme = 0;
    for (int i = 0; i < 1 << a; i++) {
        for (int k = 0; k < 1 << b; k++) { extreme += fabs(first[i] + second[k]) >= observed; }
    }
    return (double)extreme / (double)((int64_t)1 << n);
}

static double sampled_share(const double *d, int64_t n, double observed) {
    tare_rng rng = tare_rng_new(0, "sign flip");
    int64_t extreme = 1; /* the observed pattern is one of them */
    for (int sample = 0; sample < SAMPLES; sample++) {
        double sum = 0;
        uint32_t bits = 0;
        for (int64_t i = 0; i < n; i++) {
            if (i % 32 == 0) { bits = tare_rng_u32(&rng); }
            sum += bits >> i % 32 & 1 ? d[i] : -d[i];
        }
        extreme += fabs(sum) >= observed;
    }
    return (double)extreme / (SAMPLES + 1);
}

double tare__sign_flip(const double *d, int64_t n, bool *exact) {
    double sum = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += d[i];
        size += fabs(d[i]);
    }
    double observed = fabs(sum) - 1e-12 * size; /* so that rounding splits no tie */
    *exact = n <= EXACT_MOST;
    if (n < 1) { return 1; }
    return *exact ? exact_share(d, (int)n, observed) : sampled_share(d, n, observed);
}
