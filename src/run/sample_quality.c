/* sample_quality.c - how near generated samples are to real ones, by the features or the guesses of a classifier. */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <tare/gan.h>
#include <tare/linalg.h>

/* ---- moments --------------------------------------------------------------------------------------------------------- */

typedef struct moments_job {
    int64_t n, d;
    const tare_real *x;
    const double *mean;
    double *cov;
} moments_job;

/* Rows [begin, end) of the covariance, samples in order. */
static void cov_rows(void *context, int64_t begin, int64_t end) {
    const moments_job *j = context;
    for (int64_t s = 0; s < j->n; s++) {
        const tare_real *x = j->x + s * j->d;
        for (int64_t r = begin; r < end; r++) {
            double *row = j->cov + r * j->d, off = (double)x[r] - j->mean[r];
            for (int64_t c = 0; c < j->d; c++) { row[c] += off * ((double)x[c] - j->mean[c]); }
        }
    }
}

tare_status tare_moments(int64_t n, int64_t d, const tare_real *features, double *mean, double *cov) {
    if (n < 2 || d < 1) {
        return tare_fail(TARE_ESHAPE, "moments: features [%" PRId64 ",%" PRId64 "]: 2 samples or more are needed", n,
                         d);
    }
    memset(mean, 0, (size_t)d * sizeof *mean);
    memset(cov, 0, (size_t)(d * d) * sizeof *cov);
    for (int64_t s = 0; s < n; s++) {
        for (int64_t c = 0; c < d; c++) { mean[c] += (double)features[s * d + c] / (double)n; }
    }
    moments_job j = { n, d, features, mean, cov };
    tare_parallel_for(d, 8, cov_rows, &j);
    for (int64_t i = 0; i < d * d; i++) { cov[i] /= (double)(n - 1); }
    return TARE_OK;
}

/* ---- Frechet distance ------------------------------------------------------------------------------------------------ */

typedef struct product_job {
    int64_t d;
    const double *a, *b;
    double *c;
} product_job;

static void product_rows(void *context, int64_t begin, int64_t end) {
    const product_job *j = context;
    for (int64_t r = begin; r < end; r++) {
        double *row = j->c + r * j->d;
        memset(row, 0, (size_t)j->d * sizeof *row);
        for (int64_t k = 0; k < j->d; k++) {
            double a = j->a[r * j->d + k];
            for (int64_t c = 0; c < j->d; c++) { row[c] += a * j->b[k * j->d + c]; }
        }
    }
}

/* c = a b, all [d,d] */
static void product(int64_t d, const double *a, const double *b, double *c) {
    tare_parallel_for(d, 8, product_rows, &(product_job){ d, a, b, c });
}

/* The root of a covariance: V' diag(sqrt(values)) V, V's rows being the eigenvectors. room: 2 d^2 + d. */
static tare_status root(int64_t d, const double *cov, double *out, double *room) {
    double *v = room, *scaled = room + d * d, *values = room + 2 * d * d;
    tare_status status = tare_symmetric_eigen(d, cov, values, v);
    for (int64_t i = 0; i < d * d && !status; i++) {
        scaled[i % d * d + i / d] = v[i] * sqrt(fmax(values[i / d], 0)); /* transposed */
    }
    if (!status) { product(d, scaled, v, out); }
    return status;
}

/* tr (A C2 A)^(1/2), A = C1^(1/2); room: 3 d^2 + d */
static tare_status root_trace(int64_t d, const double *cov1, const double *cov2, double *room, double *trace) {
    double *a = room, *rest = room + d * d, *product1 = rest, *product2 = rest + d * d, *values = rest + 2 * d * d;
    tare_status status = root(d, cov1, a, rest);
    if (status) { return status; }
    product(d, a, cov2, product1);
    product(d, product1, a, product2);
    status = tare_symmetric_eigen(d, product2, values, NULL);
    *trace = 0;
    for (int64_t i = 0; i < d && !status; i++) { *trace += sqrt(fmax(values[i], 0)); }
    return status;
}

tare_status tare_frechet(int64_t d, const double *mean1, const double *cov1, const double *mean2, const double *cov2,
                         double *distance) {
    if (d < 1) { return tare_fail(TARE_ESHAPE, "frechet: %" PRId64 " features", d); }
    double sum = 0, trace, *room = tare_calloc((size_t)(3 * d * d + d), sizeof *room);
    if (!room) { return tare_fail(TARE_ENOMEM, "frechet: out of memory"); }
    tare_status status = root_trace(d, cov1, cov2, room, &trace);
    tare_free(room);
    if (status) { return status; }
    for (int64_t i = 0; i < d; i++) {
        sum += (mean1[i] - mean2[i]) * (mean1[i] - mean2[i]) + cov1[i * d + i] + cov2[i * d + i];
    }
    if (!isfinite(sum)) { return tare_fail(TARE_ENONFINITE, "frechet: a mean is NaN or Inf"); }
    *distance = sum - 2 * trace;
    return TARE_OK;
}

tare_status tare_frechet_distance(int64_t d, int64_t n1, const tare_real *features1, int64_t n2,
                                  const tare_real *features2, double *distance) {
    if (d < 1) { return tare_fail(TARE_ESHAPE, "frechet: %" PRId64 " features", d); }
    size_t half = (size_t)(d * d + d);
    double *m1 = tare_calloc(2 * half, sizeof *m1), *m2 = m1 ? m1 + half : NULL;
    if (!m1) { return tare_fail(TARE_ENOMEM, "frechet: out of memory"); }
    tare_status status = tare_moments(n1, d, features1, m1, m1 + d);
    if (!status) { status = tare_moments(n2, d, features2, m2, m2 + d); }
    if (!status) { status = tare_frechet(d, m1, m1 + d, m2, m2 + d, distance); }
    tare_free(m1);
    return status;
}

/* ---- inception score ------------------------------------------------------------------------------------------------- */

static tare_status check_probabilities(int64_t n, int64_t k, const tare_real *p, int64_t splits) {
    if (k < 1 || splits < 1 || splits > n) {
        return tare_fail(TARE_ESHAPE, "inception_score: probabilities [%" PRId64 ",%" PRId64 "] in %" PRId64 " parts",
                         n, k, splits);
    }
    for (int64_t i = 0; i < n * k; i++) {
        if (!(p[i] >= 0 && p[i] <= (tare_real)1.001)) {
            return tare_fail(TARE_ENONFINITE,
                             "inception_score: sample %" PRId64 ", class %" PRId64
                             " is %g, no probability: softmax first",
                             i / k, i % k, (double)p[i]);
        }
    }
    return TARE_OK;
}

/* exp of the mean of sum_y p(y|x) (log p(y|x) - log p(y)), 0 log 0 being 0 */
static double score_of(int64_t n, int64_t k, const tare_real *p, double *mean) {
    memset(mean, 0, (size_t)k * sizeof *mean);
    for (int64_t i = 0; i < n * k; i++) { mean[i % k] += (double)p[i] / (double)n; }
    double sum = 0;
    for (int64_t i = 0; i < n * k; i++) {
        if (p[i] > 0) { sum += (double)p[i] * (log((double)p[i]) - log(mean[i % k])) / (double)n; }
    }
    return exp(sum);
}

tare_status tare_inception_score(int64_t n, int64_t k, const tare_real *probabilities, int64_t splits, double *mean,
                                 double *std) {
    tare_status status = check_probabilities(n, k, probabilities, splits);
    if (status) { return status; }
    double *marginal = tare_calloc((size_t)k, sizeof *marginal), sum = 0, square = 0;
    if (!marginal) { return tare_fail(TARE_ENOMEM, "inception_score: out of memory"); }
    for (int64_t s = 0; s < splits; s++) {
        int64_t begin = s * n / splits, end = (s + 1) * n / splits;
        double score = score_of(end - begin, k, probabilities + begin * k, marginal);
        sum += score;
        square += score * score;
    }
    tare_free(marginal);
    *mean = sum / (double)splits;
    if (std) { *std = sqrt(fmax(square / (double)splits - *mean * *mean, 0)); }
    return TARE_OK;
}
