/* conv_depth.c - one plane, one 3 x 3 filter: y, the gradient to x, and to the filter.
 *
 * Rows are copied with zeros around them, under stride 2 columns of even and odd places apart, so that every tap of a vector of
 * neighbouring outputs is a vector of neighbours too. Four rows of outputs share what they read. */
#include "conv_depth.h"
#include "gemm_tile.h"

#include <string.h>

enum {
    TAPS = 9,
    ROWS = 4,
    MARGIN = VL < 2 ? 2 : VL, /* behind the last vector of a row: taps reach so far */
    SIZE = 6 * 2 * (TARE__DEPTH_WIDTH + 2 * MARGIN),
    ADDITIONS = 256,
};

/* Rows of a plane with zeros around them: element q of row r is row r - top, column q - left of the plane. */
typedef struct lines {
    const tare_real *from;
    int64_t height, width, top, left;
    int64_t pitch; /* of a row's columns of one phase, whole vectors, zeros at the end */
} lines;

static inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t whole_vectors(int64_t n) { return (n + VL - 1) / VL * VL; }

/* The first `count` lanes of x, zeros in the others. */
static ALWAYS_INLINE vec first_lanes(vec x, int64_t count) {
#ifdef __GNUC__
    static const tare_real ramp[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
    typedef __typeof__((vec){ 0 } < (vec){ 0 }) mask;
    mask keep = vec_load(ramp) < (vec){ 0 } + (tare_real)count;
    return (vec)((mask)x & keep);
#else
    return count > 0 ? x : 0;
#endif
}

/* `some` numbers of a row with `left` zeros before them and zeros behind up to `length`, in whole vectors: what is written behind
 * the row is of no account. `open`: as much can be read behind the numbers. */
static ALWAYS_INLINE void fill_row(tare_real *to, int64_t left, const tare_real *from, int64_t some, int64_t length,
                                   bool open) {
    for (int64_t q = 0; q < left; q++) { to[q] = 0; }
    to += left;
    for (int64_t q = 0; q < length - left; q += VL) {
        bool reads = q + VL <= some || (open && q < some);
        vec x = { 0 };
        if (reads) { x = first_lanes(vec_load(from + q), some - q); }
        vec_store(to + q, x);
    }
    if (!open) { put_line(to + some / VL * VL, from + some / VL * VL, some % VL, false); }
}

/* Rows [begin, end) to `to`, [row][phase][pitch]. */
static ALWAYS_INLINE void fill(const lines *l, int64_t begin, int64_t end, tare_real *to, const int stride) {
    _Alignas(64) tare_real row[2 * (TARE__DEPTH_WIDTH + 2 * MARGIN) + VL];
    int64_t length = stride * l->pitch, some = least(l->width, length - l->left);
    for (int64_t r = begin; r < end; r++, to += length) {
        int64_t i = r - l->top;
        bool inside = i >= 0 && i < l->height;
        tare_real *whole = stride == 1 ? to : row;
        fill_row(whole, l->left, l->from + (inside ? i * l->width : 0), inside ? some : 0, length,
                 i + 1 < l->height && l->width >= VL);
        if (stride == 1) { continue; }
        tare_real *odd = to + l->pitch;
        for (int64_t q = 0; q < l->pitch; q++) { to[q] = row[2 * q], odd[q] = row[2 * q + 1]; }
    }
}

static inline lines lines_of(const tare__depth *d, const tare_real *x) {
    return (lines){ x, d->height, d->width, d->pad_h, d->pad_w, whole_vectors(d->out_w) + MARGIN };
}

/* How many rows of outputs at a time, so that what they read fits: whole blocks of ROWS. */
static inline int64_t band_of(const tare__depth *d, int64_t pitch) {
    int64_t rows = (SIZE / (d->stride * pitch) - 3) / d->stride + 1;
    return most(1, rows / ROWS * ROWS);
}

static ALWAYS_INLINE void put(tare_real *y, vec sum, int64_t columns, bool add) {
    _Alignas(64) tare_real line[VL];
    if (columns >= VL) {
        if (add) { sum += vec_load(y); }
        vec_store(y, sum);
    } else {
        vec_store(line, sum);
        put_line(y, line, columns, add);
    }
}

/* ---- to y -------------------------------------------------------------------------------------------------------- */

/* What line q of the input adds to row i of the outputs; written out, so that sums and weights live in registers. */
#define ADD_TO(i, q)                                                                                                   \
    if ((i) < rows && (q) >= (i)*stride && (q) - (i)*stride <= 2) {                                                    \
        sum[i] += w[3 * ((q) - (i)*stride)] * v0;                                                                      \
        sum[i] += w[3 * ((q) - (i)*stride) + 1] * v1;                                                                  \
        sum[i] += w[3 * ((q) - (i)*stride) + 2] * v2;                                                                  \
    }
#define ADD_LINE(q)                                                                                                    \
    if ((q) < (rows - 1) * stride + 3) {                                                                               \
        const tare_real *line = in + (q)*stride * pitch + j;                                                           \
        vec v0 = vec_load(line), v1 = vec_load(line + second), v2 = vec_load(line + 2 / stride);                       \
        ADD_TO(0, q) ADD_TO(1, q) ADD_TO(2, q) ADD_TO(3, q)                                                            \
    }

/* `rows` rows of outputs, of which the first reads from `in` on. */
static ALWAYS_INLINE void rows_out(const tare__depth *d, const tare_real *in, int64_t pitch, const tare_real *weight,
                                   tare_real bias, tare_real *y, bool add, const int stride, const int rows) {
    const vec zero = { 0 };
    const vec w[TAPS] = { zero + weight[0], zero + weight[1], zero + weight[2], zero + weight[3], zero + weight[4],
                          zero + weight[5], zero + weight[6], zero + weight[7], zero + weight[8] };
    int64_t second = 1 % stride * pitch + 1 / stride;
    for (int64_t j = 0; j < d->out_w; j += VL) {
        vec sum[ROWS] = { zero + bias, zero + bias, zero + bias, zero + bias };
        ADD_LINE(0)
        ADD_LINE(1)
        ADD_LINE(2)
        ADD_LINE(3) ADD_LINE(4) ADD_LINE(5) ADD_LINE(6) ADD_LINE(7) ADD_LINE(8) put(y + j, sum[0], d->out_w - j, add);
        if (rows == 1) { continue; }
        put(y + d->out_w + j, sum[1], d->out_w - j, add);
        put(y + 2 * d->out_w + j, sum[2], d->out_w - j, add);
        put(y + 3 * d->out_w + j, sum[3], d->out_w - j, add);
    }
}

static ALWAYS_INLINE void plane_out(const tare__depth *d, const tare_real *x, const tare_real *weight, tare_real bias,
                                    tare_real *y, bool add, const int stride) {
    _Alignas(64) tare_real in[SIZE + VL];
    lines l = lines_of(d, x);
    int64_t band = band_of(d, l.pitch), row = stride * l.pitch;
    for (int64_t i0 = 0; i0 < d->out_h; i0 += band) {
        int64_t i1 = least(i0 + band, d->out_h), i = i0;
        fill(&l, i0 * stride, (i1 - 1) * stride + 3, in, stride);
        for (; i + ROWS <= i1; i += ROWS) {
            rows_out(d, in + (i - i0) * stride * row, l.pitch, weight, bias, y + i * d->out_w, add, stride, ROWS);
        }
        for (; i < i1; i++) {
            rows_out(d, in + (i - i0) * stride * row, l.pitch, weight, bias, y + i * d->out_w, add, stride, 1);
        }
    }
}

void TARE_K(conv_depth)(const tare__depth *d, const tare_real *x, const tare_real *weight, tare_real bias, tare_real *y,
                        bool add) {
    if (d->stride == 1) {
        plane_out(d, x, weight, bias, y, add, 1);
    } else {
        plane_out(d, x, weight, bias, y, add, 2);
    }
}

/* ---- to x -------------------------------------------------------------------------------------------------------- */

/* Rows of dy from i0 on, `pitch` apart, whose columns stand apart with zeros between them. */
typedef struct wide_lines {
    const tare_real *at;
    int64_t i0, pitch;
} wide_lines;

/* Row u of dx under stride 2 meets one or two rows of dy. */
static void row_back(const tare__depth *d, const wide_lines *wide, const tare_real *weight, int64_t u, tare_real *dx,
                     bool add) {
    int64_t first = (u + d->pad_h) % 2;
    for (int64_t v = 0; v < d->width; v += VL) {
        vec sum = { 0 };
        for (int64_t r = first; r < 3; r += 2) {
            int64_t i = (u + d->pad_h - r) / 2;
            if (u + d->pad_h < r || i >= d->out_h) { continue; }
            const tare_real *line = wide->at + (i - wide->i0) * wide->pitch + v + d->pad_w, *w = weight + 3 * r;
            sum += w[0] * vec_load(line + 2);
            sum += w[1] * vec_load(line + 1);
            sum += w[2] * vec_load(line);
        }
        put(dx + v, sum, d->width - v, add);
    }
}

/* Column j of dy at 2 j + 2. */
static void widen(const tare__depth *d, const tare_real *dy, int64_t pitch, tare_real *to) {
    int64_t some = least(d->out_w, (pitch - 2) / 2);
    to[0] = to[1] = 0;
    for (int64_t j = 0; j < some; j++) { to[2 * j + 2] = dy[j], to[2 * j + 3] = 0; }
    for (int64_t q = 2 * some + 2; q < pitch; q++) { to[q] = 0; }
}

static void plane_back(const tare__depth *d, const tare_real *dy, const tare_real *weight, tare_real *dx, bool add) {
    _Alignas(64) tare_real wide[SIZE];
    int64_t pitch = whole_vectors(most(d->width + 4, 2 * d->out_w + 2)) + MARGIN, band = SIZE / pitch - 2;
    for (int64_t u0 = 0; u0 < d->height; u0 += band) {
        int64_t u1 = least(u0 + band, d->height), i0 = most(0, (u0 + d->pad_h - 1) / 2);
        int64_t i1 = least(d->out_h, (u1 - 1 + d->pad_h) / 2 + 1);
        for (int64_t i = i0; i < i1; i++) { widen(d, dy + i * d->out_w, pitch, wide + (i - i0) * pitch); }
        wide_lines rows = { wide, i0, pitch };
        for (int64_t u = u0; u < u1; u++) { row_back(d, &rows, weight, u, dx + u * d->width, add); }
    }
}

void TARE_K(conv_depth_back)(const tare__depth *d, const tare_real *dy, const tare_real *weight, tare_real *dx,
                             bool add) {
    if (d->stride == 2) {
        plane_back(d, dy, weight, dx, add);
        return;
    }
    tare_real turned[TAPS];
    for (int i = 0; i < TAPS; i++) { turned[i] = weight[TAPS - 1 - i]; }
    tare__depth back = { .height = d->out_h, .width = d->out_w, .out_h = d->height, .out_w = d->width, .stride = 1 };
    back.pad_h = 2 - d->pad_h;
    back.pad_w = 2 - d->pad_w;
    plane_out(&back, dy, turned, 0, dx, add, 1);
}

/* ---- to the filter ----------------------------------------------------------------------------------------------- */

static inline double lanes_sum(vec x) {
    _Alignas(64) tare_real lane[VL];
    double sum = 0;
    vec_store(lane, x);
    for (int e = 0; e < VL; e++) { sum += (double)lane[e]; }
    return sum;
}

/* Columns [j, j + VL) of a row of dy, zeros behind its end. */
static ALWAYS_INLINE vec load_dy(const tare__depth *d, const tare_real *row, int64_t j, bool last_row) {
    _Alignas(64) tare_real line[VL];
    int64_t count = d->out_w - j;
    if (count >= VL) { return vec_load(row + j); }
    if (!last_row && d->out_w >= VL) { return first_lanes(vec_load(row + j), count); }
    vec_store(line, (vec){ 0 });
    put_line(line, row + j, count, false);
    return vec_load(line);
}

/* Rows of dy from i on, of which the first meets the lines from `top` on: sums[tap] += x at the tap times dy; sums[TAPS] += dy. */
static ALWAYS_INLINE void rows_weight(const tare__depth *d, const tare_real *top, int64_t pitch, const tare_real *dy,
                                      int64_t i, int64_t rows, double *sums, const int stride) {
    vec a0 = { 0 }, a1 = a0, a2 = a0, b0 = a0, b1 = a0, b2 = a0, c0 = a0, c1 = a0, c2 = a0, all = a0;
    int64_t second = 1 % stride * pitch + 1 / stride, third = 2 / stride, row = stride * pitch;
    for (int64_t end = i + rows; i < end; i++, top += stride * row) {
        const tare_real *middle = top + row, *bottom = middle + row;
        for (int64_t j = 0; j < d->out_w; j += VL) {
            vec g = load_dy(d, dy + i * d->out_w, j, i + 1 == d->out_h);
            a0 += g * vec_load(top + j), a1 += g * vec_load(top + j + second), a2 += g * vec_load(top + j + third);
            b0 += g * vec_load(middle + j), b1 += g * vec_load(middle + j + second);
            b2 += g * vec_load(middle + j + third);
            c0 += g * vec_load(bottom + j), c1 += g * vec_load(bottom + j + second);
            c2 += g * vec_load(bottom + j + third);
            all += g;
        }
    }
    const vec sum[TAPS + 1] = { a0, a1, a2, b0, b1, b2, c0, c1, c2, all };
    for (int n = 0; n <= TAPS; n++) { sums[n] += lanes_sum(sum[n]); }
}

/* A few rows at a time, so that no lane adds up more than about ADDITIONS numbers before they go on in double. */
static ALWAYS_INLINE void plane_weight(const tare__depth *d, const tare_real *x, const tare_real *dy, double *sums,
                                       const int stride) {
    _Alignas(64) tare_real in[SIZE + VL];
    lines l = lines_of(d, x);
    int64_t band = band_of(d, l.pitch), row = stride * l.pitch;
    int64_t few = most(1, ADDITIONS / (whole_vectors(d->out_w) / VL));
    for (int64_t i0 = 0; i0 < d->out_h; i0 += band) {
        int64_t i1 = least(i0 + band, d->out_h);
        fill(&l, i0 * stride, (i1 - 1) * stride + 3, in, stride);
        for (int64_t i = i0; i < i1; i += few) {
            rows_weight(d, in + (i - i0) * stride * row, l.pitch, dy, i, least(few, i1 - i), sums, stride);
        }
    }
}

void TARE_K(conv_depth_weight)(const tare__depth *d, const tare_real *x, const tare_real *dy, double *sums) {
    if (d->stride == 1) {
        plane_weight(d, x, dy, sums, 1);
    } else {
        plane_weight(d, x, dy, sums, 2);
    }
}
