/* frechet.c - how far apart two sets of features are, each taken as a Gaussian: Heusel et al. 2017, arXiv:1706.08500. */
#include "metrics.h"

#include <math.h>
#include <string.h>

void feature_moments(const tare_real *x, int64_t n, int64_t dim, double *mean, double *cov) {
    memset(mean, 0, (size_t)dim * sizeof *mean);
    memset(cov, 0, (size_t)(dim * dim) * sizeof *cov);
    for (int64_t i = 0; i < n * dim; i++) { mean[i % dim] += (double)x[i] / (double)n; }
    for (int64_t r = 0; r < n; r++) {
        const tare_real *row = x + r * dim;
        for (int64_t i = 0; i < dim; i++) {
            double d = ((double)row[i] - mean[i]) / (double)(n - 1);
            for (int64_t j = 0; j < dim; j++) { cov[i * dim + j] += d * ((double)row[j] - mean[j]); }
        }
    }
}

/* out = S m S with S = V sqrt(values) V', through `half` (both [dim,dim]). */
static void between_roots(int64_t n, const double *values, const double *vectors, const double *m, double *half,
                          double *out) {
    double *root = out; /* S, then overwritten */
    for (int64_t i = 0; i < n * n; i++) {
        double sum = 0;
        for (int64_t k = 0; k < n; k++) {
            sum += vectors[k * n + i / n] * sqrt(fmax(values[k], 0)) * vectors[k * n + i % n];
        }
        root[i] = sum;
    }
    for (int64_t i = 0; i < n * n; i++) {
        double sum = 0;
        for (int64_t k = 0; k < n; k++) { sum += root[i / n * n + k] * m[k * n + i % n]; }
        half[i] = sum;
    }
    double *row = half + n * n; /* room for one row more */
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < n; j++) {
            row[j] = 0;
            for (int64_t k = 0; k < n; k++) { row[j] += half[i * n + k] * root[k * n + j]; }
        }
        memcpy(half + i * n, row, (size_t)n * sizeof *row);
    }
    memcpy(out, half, (size_t)(n * n) * sizeof *out);
}

/* |a - b|^2 + tr A + tr B - 2 tr sqrt(sqrt(A) B sqrt(A)) */
tare_status frechet_distance(int64_t dim, const double *mean_a, const double *cov_a, const double *mean_b,
                             const double *cov_b, double *distance) {
    size_t square = (size_t)(dim * dim);
    double *values = tare_malloc((2 * (size_t)dim + 3 * square) * sizeof *values);
    if (!values) { return TARE_ENOMEM; }
    double *vectors = values + dim, *product = vectors + square, *half = product + square, sum = 0;
    tare_status s = tare_symmetric_eigen(dim, cov_a, values, vectors);
    if (s == TARE_OK) {
        between_roots(dim, values, vectors, cov_b, half, product);
        s = tare_symmetric_eigen(dim, product, values, NULL);
    }
    for (int64_t i = 0; s == TARE_OK && i < dim; i++) {
        double d = mean_a[i] - mean_b[i];
        sum += d * d + cov_a[i * dim + i] + cov_b[i * dim + i] - 2 * sqrt(fmax(values[i], 0));
    }
    if (s == TARE_OK) { *distance = sum; }
    tare_free(values);
    return s;
}
