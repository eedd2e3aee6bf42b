/* copy.c - one matrix of values into another (or added to it), both with any spacing; transposition goes tile by tile. */
#include "kernels.h"

#include <string.h>

enum { TILE = 16 };

static inline void copy_row(int64_t n, const tare_real *from, tare_real *to, bool add) {
    if (!add) {
        memcpy(to, from, (size_t)n * sizeof *to);
        return;
    }
    TARE_SIMD for (int64_t i = 0; i < n; i++) { to[i] += from[i]; }
}

static inline void copy_strided(int64_t n, const tare_real *from, int64_t from_step, tare_real *to, int64_t to_step,
                                bool add) {
    if (add) {
        for (int64_t i = 0; i < n; i++) { to[i * to_step] += from[i * from_step]; }
    } else {
        for (int64_t i = 0; i < n; i++) { to[i * to_step] = from[i * from_step]; }
    }
}

/* TILE x TILE values pass through a buffer in L1, so that both memories are walked along their rows. */
static inline void transpose_tile(const tare_real *from, int64_t from_col, tare_real *to, int64_t to_row, bool add) {
    tare_real tile[TILE][TILE];
    for (int64_t c = 0; c < TILE; c++) {
        for (int64_t r = 0; r < TILE; r++) { tile[r][c] = from[c * from_col + r]; }
    }
    for (int64_t r = 0; r < TILE; r++) { copy_row(TILE, tile[r], to + r * to_row, add); }
}

/* from: rows are neighbours (spacing 1); to: columns are. */
static void transpose(int64_t rows, int64_t cols, const tare_real *from, int64_t from_col, tare_real *to,
                      int64_t to_row, bool add) {
    int64_t full_rows = rows - rows % TILE, full_cols = cols - cols % TILE;
    for (int64_t r = 0; r < full_rows; r += TILE) {
        for (int64_t c = 0; c < full_cols; c += TILE) {
            transpose_tile(from + c * from_col + r, from_col, to + r * to_row + c, to_row, add);
        }
        for (int64_t i = r; i < r + TILE; i++) {
            copy_strided(cols - full_cols, from + full_cols * from_col + i, from_col, to + i * to_row + full_cols, 1,
                         add);
        }
    }
    for (int64_t r = full_rows; r < rows; r++) { copy_strided(cols, from + r, from_col, to + r * to_row, 1, add); }
}

void TARE_K(copy)(int64_t rows, int64_t cols, const tare_real *from, int64_t from_row, int64_t from_col, tare_real *to,
                  int64_t to_row, int64_t to_col, bool add) {
    if (from_row == 1 && to_col == 1 && from_col != 1) {
        transpose(rows, cols, from, from_col, to, to_row, add);
        return;
    }
    for (int64_t r = 0; r < rows; r++) {
        if (from_col == 1 && to_col == 1) {
            copy_row(cols, from + r * from_row, to + r * to_row, add);
        } else {
            copy_strided(cols, from + r * from_row, from_col, to + r * to_row, to_col, add);
        }
    }
}
