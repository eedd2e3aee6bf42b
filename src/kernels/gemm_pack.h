/* gemm_pack.h - transposing small blocks in registers, for operands and results that lie the other way round. */
#ifndef TARE_GEMM_PACK_H
#define TARE_GEMM_PACK_H

#include "gemm_tile.h"

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector) && defined(TARE_F64)
#define PACK_LANES (VEC_BYTES / 8)
#elif __has_builtin(__builtin_shufflevector)
#define PACK_LANES (VEC_BYTES / 4)
#endif
#endif

#ifdef PACK_LANES
/* The lower (upper) halves of a and b, element by element in turn. */
#if PACK_LANES == 16
#define ZIP_LOW(a, b)  __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif PACK_LANES == 8
#define ZIP_LOW(a, b)  __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#elif PACK_LANES == 4
#define ZIP_LOW(a, b)  __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#else
#define ZIP_LOW(a, b)  __builtin_shufflevector(a, b, 0, 2)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 1, 3)
#endif

/* The first half of a and then that of b. */
#if PACK_LANES == 16
#define HALVES(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
#elif PACK_LANES == 8
#define HALVES(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11)
#elif PACK_LANES == 4
#define HALVES(a, b) __builtin_shufflevector(a, b, 0, 1, 4, 5)
#else
#define HALVES(a, b) __builtin_shufflevector(a, b, 0, 2)
#endif

/* The elements of a and then b at even (odd) places. */
#if PACK_LANES == 16
#define UNZIP_EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
#define UNZIP_ODD(a, b)  __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)
#elif PACK_LANES == 8
#define UNZIP_EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14)
#define UNZIP_ODD(a, b)  __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15)
#elif PACK_LANES == 4
#define UNZIP_EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6)
#define UNZIP_ODD(a, b)  __builtin_shufflevector(a, b, 1, 3, 5, 7)
#else
#define UNZIP_EVEN(a, b) __builtin_shufflevector(a, b, 0, 2)
#define UNZIP_ODD(a, b)  __builtin_shufflevector(a, b, 1, 3)
#endif

/* Zipping row i with row i + VL/2, log2(VL) times over, transposes VL x VL. */
static ALWAYS_INLINE void zip_all(vec *to, const vec *from) {
    for (int i = 0; i < VL / 2; i++) {
        to[2 * i] = ZIP_LOW(from[i], from[i + VL / 2]);
        to[2 * i + 1] = ZIP_HIGH(from[i], from[i + VL / 2]);
    }
}

/* to[j][i] = from[i][j] for i in [0, rows), j in [0, VL); columns rows.. of `to` become zero. */
static ALWAYS_INLINE void transpose_square(const tare_real *from, int64_t from_step, int64_t rows, tare_real *to,
                                           int64_t to_step) {
    vec x[VL], y[VL];
    for (int i = 0; i < VL; i++) { x[i] = i < rows ? vec_load(from + i * from_step) : (vec){ 0 }; }
    zip_all(y, x);
    if (VL > 2) { zip_all(x, y); }
    if (VL > 4) { zip_all(y, x); }
    if (VL > 8) { zip_all(x, y); }
    const vec *end = VL == 2 || VL == 8 ? y : x;
    for (int j = 0; j < VL; j++) { vec_store(to + j * to_step, end[j]); }
}
#else
static ALWAYS_INLINE void transpose_square(const tare_real *from, int64_t from_step, int64_t rows, tare_real *to,
                                           int64_t to_step) {
    for (int j = 0; j < VL; j++) {
        for (int i = 0; i < VL; i++) { to[j * to_step + i] = i < rows ? from[i * from_step + j] : 0; }
    }
}
#endif

/* The numbers of a and then b at even (odd) places; and a and b in turn, first and second half. */
#ifdef PACK_LANES
static ALWAYS_INLINE vec even_of(vec a, vec b) { return UNZIP_EVEN(a, b); }
static ALWAYS_INLINE vec odd_of(vec a, vec b) { return UNZIP_ODD(a, b); }
static ALWAYS_INLINE vec low_of(vec a, vec b) { return ZIP_LOW(a, b); }
static ALWAYS_INLINE vec high_of(vec a, vec b) { return ZIP_HIGH(a, b); }
static ALWAYS_INLINE vec halves_of(vec a, vec b) { return HALVES(a, b); }
#else
/* Every `step`th of 2 VL numbers, of which a and b lie `apart`. */
static inline vec dealt(vec a, vec b, int apart, int first, int step) {
    tare_real line[2 * VL], some[VL];
    for (int e = 0; e < VL; e++) { line[e * apart] = ((tare_real *)&a)[e]; }
    for (int e = 0; e < VL; e++) { line[apart == 1 ? VL + e : 2 * e + 1] = ((tare_real *)&b)[e]; }
    for (int e = 0; e < VL; e++) { some[e] = line[first + e * step]; }
    return vec_load(some);
}
static inline vec even_of(vec a, vec b) { return dealt(a, b, 1, 0, 2); }
static inline vec odd_of(vec a, vec b) { return dealt(a, b, 1, 1, 2); }
static inline vec low_of(vec a, vec b) { return dealt(a, b, 2, 0, 1); }
static inline vec high_of(vec a, vec b) { return dealt(a, b, 2, VL, 1); }
static inline vec halves_of(vec a, vec b) { return VL == 1 ? a : b; } /* not used: there are no halves */
#endif

/* to[j][i] = from[i][j] for i in [0, rows), j in [0, columns), rows <= VL; columns rows..VL of `to` become zero. */
static inline void transpose_rows(const tare_real *from, int64_t from_step, int64_t rows, int64_t columns,
                                  tare_real *to, int64_t to_step) {
    int64_t j = 0;
    if (rows == VL) {
        for (; j + VL <= columns; j += VL) { transpose_square(from + j, from_step, VL, to + j * to_step, to_step); }
    } else {
        for (; j + VL <= columns; j += VL) { transpose_square(from + j, from_step, rows, to + j * to_step, to_step); }
    }
    for (; j < columns; j++) {
        for (int i = 0; i < VL; i++) { to[j * to_step + i] = i < rows ? from[i * from_step + j] : 0; }
    }
}

/* Rows of a tile rounded up to whole squares. */
enum { MR_FULL = (MR + VL - 1) / VL * VL };

/* turned[j][i] = tile[i][j] for all of a tile MR_FULL x NR; from row to row of `turned` it is MR_FULL. */
static ALWAYS_INLINE void turn_tile(const tare_real *from, tare_real *turned) {
    for (int i = 0; i < MR_FULL; i += VL) {
        for (int j = 0; j < NR; j += VL) {
            transpose_square(from + i * NR + j, NR, VL, turned + j * MR_FULL + i, MR_FULL);
        }
    }
}

#endif
