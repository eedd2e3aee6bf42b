/* linalg.c - eigenvalues of symmetric matrices and singular values: checks, copies and workspace around LAPACK. */
#include <tare/linalg.h>

#include "blas.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* LAPACK counts in int, workspaces included. */
enum { MOST = 16384 };

static tare_status check(const char *what, int64_t m, int64_t n, const double *a) {
    if (m < 1 || n < 1 || m > MOST || n > MOST) {
        return tare_fail(TARE_ESHAPE, "%s: a matrix [%" PRId64 ",%" PRId64 "]: sizes must be 1 to %d", what, m, n,
                         MOST);
    }
    for (int64_t i = 0; i < m * n; i++) {
        if (!isfinite(a[i])) {
            return tare_fail(TARE_ENONFINITE, "%s: row %" PRId64 ", column %" PRId64 " is %g", what, i / n, i % n,
                             a[i]);
        }
    }
    return TARE_OK;
}

static tare_status finish(const char *what, int info) {
    return info ? tare_fail(TARE_ENONFINITE, "%s: does not converge (LAPACK says %d)", what, info) : TARE_OK;
}

tare_status tare_symmetric_eigen(int64_t n, const double *a, double *values, double *vectors) {
    const char *what = "symmetric_eigen";
    tare_status status = check(what, n, n, a);
    if (status) { return status; }
    size_t room = tare__lapack_eigen_room(n);
    double *copy = tare_calloc((size_t)(n * n) + (size_t)n + room, sizeof *copy);
    if (!copy) { return tare_fail(TARE_ENOMEM, "%s: out of memory", what); }
    double *found = copy + n * n;
    memcpy(copy, a, (size_t)(n * n) * sizeof *copy);
    /* Our rows are LAPACK's columns: our lower triangle is its upper one, its eigenvectors are our rows. */
    int info = tare__lapack_eigen(n, copy, vectors != NULL, found, found + n, room);
    if (!info) { memcpy(values, found, (size_t)n * sizeof *values); }
    if (!info && vectors) { memcpy(vectors, copy, (size_t)(n * n) * sizeof *vectors); }
    tare_free(copy);
    return finish(what, info);
}

tare_status tare_singular_values(int64_t m, int64_t n, const double *a, double *values) {
    const char *what = "singular_values";
    tare_status status = check(what, m, n, a);
    if (status) { return status; }
    int64_t least = m < n ? m : n;
    size_t room = tare__lapack_singular_room(m, n);
    double *copy = tare_calloc((size_t)(m * n + least) + room, sizeof *copy);
    if (!copy) { return tare_fail(TARE_ENOMEM, "%s: out of memory", what); }
    double *found = copy + m * n;
    memcpy(copy, a, (size_t)(m * n) * sizeof *copy);
    int info = tare__lapack_singular(m, n, copy, found, found + least, room); /* of the transpose: the same */
    if (!info) { memcpy(values, found, (size_t)least * sizeof *values); }
    tare_free(copy);
    return finish(what, info);
}
