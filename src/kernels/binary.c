/* binary.c - a op b over rows, either side as rows, as one column of values or as a single value (broadcasting). */
#include "kernels.h"

/* One row: which sides vary along it is decided outside the loop. */
#define ROW(assign, op)                                                                                                \
    if (a.col && b.col) {                                                                                              \
        TARE_SIMD for (int64_t i = 0; i < cols; i++) { out[i] assign left[i] op right[i]; }                            \
    } else if (a.col) {                                                                                                \
        const tare_real value = *right;                                                                                \
        TARE_SIMD for (int64_t i = 0; i < cols; i++) { out[i] assign left[i] op value; }                               \
    } else if (b.col) {                                                                                                \
        const tare_real value = *left;                                                                                 \
        TARE_SIMD for (int64_t i = 0; i < cols; i++) { out[i] assign value op right[i]; }                              \
    } else {                                                                                                           \
        const tare_real value = *left op * right;                                                                      \
        TARE_SIMD for (int64_t i = 0; i < cols; i++) { out[i] assign value; }                                          \
    }

#define BINARY(name, op)                                                                                               \
    void TARE_K(name)(int64_t rows, int64_t cols, tare__view a, tare__view b, tare_real * y, int64_t y_row,            \
                      bool add) {                                                                                      \
        for (int64_t row = 0; row < rows; row++) {                                                                     \
            const tare_real *left = a.data + row * a.row, *right = b.data + row * b.row;                               \
            tare_real *out = y + row * y_row;                                                                          \
            if (add) {                                                                                                 \
                ROW(+=, op)                                                                                            \
            } else {                                                                                                   \
                ROW(=, op)                                                                                             \
            }                                                                                                          \
        }                                                                                                              \
    }

BINARY(add, +)
BINARY(sub, -)
BINARY(mul, *)
BINARY(div, /)
