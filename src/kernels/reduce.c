/* reduce.c - sums of rows and of columns, added to double sums. Short runs are added pairwise in tare_real first, so the
 * error stays near one rounding whatever the length. */
#include "kernels.h"

enum { STRIP = 64, BLOCK = 8 * STRIP, SHORT = 16 };

static inline double sum_row(int64_t n, const tare_real *x) {
    double sum = 0;
    if (n < SHORT) {
        for (int64_t j = 0; j < n; j++) { sum += (double)x[j]; }
        return sum;
    }
    int64_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK) {
        const tare_real *p = x + i;
        tare_real part = 0;
        TARE_SIMD_SUM(part)
        for (int64_t j = 0; j < STRIP; j++) {
            part += ((p[j] + p[j + STRIP]) + (p[j + 2 * STRIP] + p[j + 3 * STRIP])) +
                    ((p[j + 4 * STRIP] + p[j + 5 * STRIP]) + (p[j + 6 * STRIP] + p[j + 7 * STRIP]));
        }
        sum += (double)part;
    }
    tare_real rest = 0;
    TARE_SIMD_SUM(rest)
    for (int64_t j = i; j < n; j++) { rest += x[j]; }
    return sum + (double)rest;
}

void TARE_K(sum_rows)(int64_t rows, int64_t cols, const tare_real *x, int64_t x_row, double *sums) {
    for (int64_t row = 0; row < rows; row++) { sums[row] += sum_row(cols, x + row * x_row); }
}

void TARE_K(sum_cols)(int64_t rows, int64_t cols, const tare_real *x, int64_t x_row, double *sums) {
    int64_t row = 0;
    for (; row + 8 <= rows; row += 8) {
        const tare_real *p = x + row * x_row;
        TARE_SIMD for (int64_t j = 0; j < cols; j++) {
            sums[j] += (double)(((p[j] + p[j + x_row]) + (p[j + 2 * x_row] + p[j + 3 * x_row])) +
                                ((p[j + 4 * x_row] + p[j + 5 * x_row]) + (p[j + 6 * x_row] + p[j + 7 * x_row])));
        }
    }
    for (; row < rows; row++) {
        TARE_SIMD for (int64_t j = 0; j < cols; j++) { sums[j] += (double)x[row * x_row + j]; }
    }
}
