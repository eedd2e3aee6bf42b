/* tare/linalg.h - eigenvalues and singular values, in double in both builds: for measurements and tests, not for training.
 *
 * Matrices are row-major. By LAPACK on the caller's thread. On failure outputs are untouched.
 */
#ifndef TARE_LINALG_H
#define TARE_LINALG_H

#include <tare/core.h>

#ifdef __cplusplus
extern "C" {
#endif

/* tare_symmetric_eigen - A = V diag(values) V'
 *   a [n,n], symmetric: only its lower triangle is read;  values [n], the smallest first;
 *   vectors [n,n] or NULL: row i is the unit vector that belongs to value i. It may be a.
 *   errors  TARE_ESHAPE: n < 1, or too large for LAPACK;  TARE_ENONFINITE: NaN or Inf in a, or the iteration does not converge;
 *           TARE_ENOMEM */
TARE_API tare_status tare_symmetric_eigen(int64_t n, const double *a, double *values, double *vectors);

/* tare_singular_values - of a [m,n];  values [min(m,n)], the largest first
 *   errors  TARE_ESHAPE: m or n < 1, or too large for LAPACK;  TARE_ENONFINITE, TARE_ENOMEM as above */
TARE_API tare_status tare_singular_values(int64_t m, int64_t n, const double *a, double *values);

#ifdef __cplusplus
}
#endif
#endif
