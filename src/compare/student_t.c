/* student_t.c - Student's t: quantiles by bisection of the incomplete beta function, and the interval of a mean. */
#include "stats.h"

#include <math.h>

/* The continued fraction of I_x(a,b), by Lentz's method; converges fast for x < (a + 1) / (a + b + 2).
 * Source: DLMF 8.17.22 */
static double beta_fraction(double x, double a, double b) {
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double f = d;
    for (int m = 1; m < 500; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        double change = 1;
        for (int half = 0; half < 2; half++) {
            double term = half ? odd : even;
            d = 1 + term * d;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = 1 + term / c;
            if (fabs(c) < tiny) { c = tiny; }
            change *= c * d;
        }
        f *= change;
        if (fabs(change - 1) < 1e-16) { break; }
    }
    return f;
}

/* The regularised incomplete beta function I_x(a,b). */
static double beta_share(double x, double a, double b) {
    if (x <= 0) { return 0; }
    if (x >= 1) { return 1; }
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2)) { return front * beta_fraction(x, a, b) / a; }
    return 1 - front * beta_fraction(1 - x, b, a) / b;
}

/* P(|T| > t), which keeps its digits where t is large. */
static double tails(double t, double df) { return beta_share(df / (df + t * t), df / 2, 0.5); }

double tare__t_quantile(double df, double level) {
    double low = 0, high = 1;
    while (tails(high, df) > 1 - level && high < 1e300) { high *= 2; }
    for (int i = 0; i < 200 && high - low > 1e-16 * high; i++) {
        double middle = low + (high - low) / 2;
        if (tails(middle, df) > 1 - level) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low + (high - low) / 2;
}

tare__summary tare__summarise(const double *x, int64_t n, double level) {
    tare__summary s = { n, (double)NAN, (double)NAN, (double)NAN, (double)NAN };
    if (n < 1) { return s; }
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) { sum += x[i]; }
    s.mean = sum / (double)n;
    if (n < 2) { return s; }
    for (int64_t i = 0; i < n; i++) { squares += (x[i] - s.mean) * (x[i] - s.mean); }
    s.sd = sqrt(squares / (double)(n - 1));
    double half = tare__t_quantile((double)(n - 1), level) * s.sd / sqrt((double)n);
    s.low = s.mean - half;
    s.high = s.mean + half;
    return s;
}
