/* stats.h - the statistics of a comparison; every function is checked against SciPy in tests/test_compare_stats.c. */
#ifndef TARE_COMPARE_STATS_H
#define TARE_COMPARE_STATS_H

#include <stdbool.h>
#include <stdint.h>

/* tare__t_quantile - the t with P(|T| <= t) = level for Student's T of df degrees of freedom;  df >= 1, 0 < level < 1 */
double tare__t_quantile(double df, double level);

/* Mean, standard deviation (n - 1) and the t-interval of the mean. Where n < 2 sd, low and high are NaN; where n < 1 all are. */
typedef struct tare__summary {
    int64_t n;
    double mean, sd, low, high;
} tare__summary;
tare__summary tare__summarise(const double *x, int64_t n, double level);

/* tare__sign_flip - two-sided p-value of sum(d) against the same sum with random signs: the share of sign patterns whose |sum|
 * is as large or larger. All 2^n patterns up to n = 20 (*exact); beyond, 99,999 counted-random ones and the observed.
 * 1 where n < 1. */
double tare__sign_flip(const double *d, int64_t n, bool *exact);

/* tare__holm - Holm's step-down correction of m p-values (Holm 1979), into adjusted, which may not be p.  false: memory */
bool tare__holm(const double *p, int64_t m, double *adjusted);

/* tare__seeds_needed - the fewest paired seeds with which the smallest of m Holm-corrected p-values can be below alpha: 2^n > 2m/alpha
 */
int64_t tare__seeds_needed(int64_t m, double alpha);

/* tare__letters - groups of what cannot be told apart (Piepho 2004, insert and absorb). n <= 64 items, best first;
 * apart[i * n + j] where i and j differ. letters[i] gets the item's letters, "ab". */
enum { TARE__LETTERS = 64 };
void tare__letters(const bool *apart, int n, char letters[][TARE__LETTERS]);

#endif
