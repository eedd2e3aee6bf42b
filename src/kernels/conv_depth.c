/* conv_depth.c - one plane, one 3 x 3 filter: y, the gradient to x, and to the filter.
 *
 * Outputs of a row go a vector at a time, column by column of such vectors. What lies beside the plane is cut off with masks as it is
 * loaded; nothing is copied. A vector may be stored over the end of its row, since what follows is written after it: columns go from
 * right to left, rows downwards. */
#include "conv_depth.h"
#include "gemm_pack.h"

enum {
    TAPS = 9,
    ADDITIONS = 256, /* numbers that a lane adds up, about, before they go on in double */
};

/* ---- rows of a plane, zeros around them -------------------------------------------------------------------------- */

#ifdef __GNUC__
typedef __typeof__((vec){ 0 } < (vec){ 0 }) mask;

/* Lanes e for which 0 <= column + e < width. */
static ALWAYS_INLINE mask inside(int64_t column, int64_t width) {
    static const tare_real ramp[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
    vec place = vec_load(ramp) + (tare_real)column;
    return (place >= 0) & (place < (tare_real)width);
}

static ALWAYS_INLINE vec keep(vec x, mask m) { return (vec)((mask)x & m); }
#else
typedef bool mask;
static inline mask inside(int64_t column, int64_t width) { return column >= 0 && column < width; }
static inline vec keep(vec x, mask m) { return m ? x : 0; }
#endif

typedef struct rows {
    tare__plane in;
    int64_t height, width;
} rows;

/* As far as vectors reach over the ends of a plane. */
enum { REACH = 2 * VL + 4 };

static inline bool is_inner(const rows *p) {
    return p->in.first >= REACH && p->in.first + p->height * p->width + REACH <= p->in.size;
}

/* Near an end of the tensor: number by number. */
static vec cut_close(const rows *p, int64_t at, mask m) {
    _Alignas(64) tare_real line[VL];
    for (int64_t e = 0; e < VL; e++) { line[e] = at + e >= 0 && at + e < p->in.size ? p->in.tensor[at + e] : 0; }
    return keep(vec_load(line), m);
}

/* VL numbers of a row from a column on, zeros outside the mask. */
static ALWAYS_INLINE vec cut(const rows *p, int64_t row, int64_t column, mask m, const bool inner) {
    int64_t at = p->in.first + row * p->width + column;
    if (inner || (at >= 0 && at + VL <= p->in.size)) { return keep(vec_load(p->in.tensor + at), m); }
    return cut_close(p, at, m);
}

/* What VL neighbouring outputs meet in a row of x, at each of the three taps: three vectors, or out of four where every second number
 * is taken. */
typedef struct cuts {
    int64_t column; /* of the first output's first tap */
    mask m[4];
} cuts;

static ALWAYS_INLINE cuts cuts_of(const tare__depth *d, int64_t j) {
    cuts c = { .column = j * d->stride - d->pad_w };
    for (int i = 0; i < 4; i++) { c.m[i] = inside(c.column + (d->stride == 1 ? i : i / 2 * VL + i % 2 * 2), d->width); }
    return c;
}

typedef struct taps {
    vec v[3];
} taps;

static ALWAYS_INLINE taps taps_of(const rows *p, const cuts *c, int64_t row, const int stride, const bool inner) {
    if (row < 0 || row >= p->height) { return (taps){ 0 }; }
    if (stride == 1) {
        return (taps){ { cut(p, row, c->column, c->m[0], inner), cut(p, row, c->column + 1, c->m[1], inner),
                         cut(p, row, c->column + 2, c->m[2], inner) } };
    }
    vec a = cut(p, row, c->column, c->m[0], inner), b = cut(p, row, c->column + VL, c->m[2], inner);
    vec far_a = cut(p, row, c->column + 2, c->m[1], inner), far_b = cut(p, row, c->column + 2 + VL, c->m[3], inner);
    return (taps){ { even_of(a, b), odd_of(a, b), even_of(far_a, far_b) } };
}

/* `count` numbers at y, or VL where there is room for as many before `end`. */
static ALWAYS_INLINE void put(tare_real *y, const tare_real *end, vec sum, int64_t count, bool add) {
    _Alignas(64) tare_real line[VL];
    if (end - y >= VL) {
        if (add) { sum = vec_load(y) + (count < VL ? keep(sum, inside(0, count)) : sum); }
        vec_store(y, sum);
    } else {
        vec_store(line, sum);
        put_line(y, line, count < VL ? count : VL, add);
    }
}

/* Where the last vector of a row of so many begins. */
static inline int64_t last_vector(int64_t width) { return (width - 1) / VL * VL; }

/* ---- to y -------------------------------------------------------------------------------------------------------- */

#define SUM_TAPS(x, r) (x).v[0] * w[3 * (r)] + (x).v[1] * w[3 * (r) + 1] + (x).v[2] * w[3 * (r) + 2]

static ALWAYS_INLINE void rows_out(const tare__depth *d, const rows *p, const tare_real *weight, tare_real bias,
                                   tare_real *y, bool add, const int stride, const bool inner) {
    const vec zero = { 0 };
    const vec w[TAPS] = { zero + weight[0], zero + weight[1], zero + weight[2], zero + weight[3], zero + weight[4],
                          zero + weight[5], zero + weight[6], zero + weight[7], zero + weight[8] };
    const tare_real *end = y + d->out_h * d->out_w;
    for (int64_t j = last_vector(d->out_w); j >= 0; j -= VL) {
        cuts c = cuts_of(d, j);
        int64_t row = -d->pad_h;
        taps top = taps_of(p, &c, row, stride, inner), middle = taps_of(p, &c, row + 1, stride, inner);
        for (int64_t i = 0; i < d->out_h; i++, row += stride) {
            if (stride == 2 && i > 0) { middle = taps_of(p, &c, row + 1, stride, inner); }
            taps bottom = taps_of(p, &c, row + 2, stride, inner);
            vec sum = (SUM_TAPS(top, 0) + bias) + (SUM_TAPS(middle, 1)) + (SUM_TAPS(bottom, 2));
            put(y + i * d->out_w + j, end, sum, d->out_w - j, add);
            top = stride == 1 ? middle : bottom;
            middle = bottom;
        }
    }
}

static ALWAYS_INLINE void plane_out(const tare__depth *d, const tare__plane *x, const tare_real *weight, tare_real bias,
                                    tare_real *y, bool add, const int stride) {
    const rows p = { *x, d->height, d->width };
    if (is_inner(&p)) {
        rows_out(d, &p, weight, bias, y, add, stride, true);
    } else {
        rows_out(d, &p, weight, bias, y, add, stride, false);
    }
}

void TARE_K(conv_depth)(const tare__depth *d, const tare__plane *x, const tare_real *weight, tare_real bias,
                        tare_real *y, bool add) {
    if (d->stride == 1) {
        plane_out(d, x, weight, bias, y, add, 1);
    } else {
        plane_out(d, x, weight, bias, y, add, 2);
    }
}

/* ---- to x -------------------------------------------------------------------------------------------------------- */

/* Under a stride of 2 a number of dx at an even distance from the padding's edge meets taps 0 and 2 along a side, at an odd one tap 1.
 * So neighbours in a row are sums of three products and of one, or the other way round, over the same two vectors of dy. */
static ALWAYS_INLINE void plane_back(const tare__depth *d, const rows *p, const tare_real *w, tare_real *dx, bool add,
                                     const bool inner) {
    const tare_real *end = dx + d->height * d->width;
    const int64_t odd = d->pad_w % 2, first = d->pad_w / 2;
    for (int64_t v = last_vector((d->width + 1) / 2); v >= 0; v -= VL) {
        int64_t j = v + first + odd, left = d->width - 2 * v;
        mask here = inside(j, d->out_w), before = inside(j - 1, d->out_w);
        for (int64_t h = 0; h < d->height; h++) {
            vec edge = { 0 }, middle = { 0 };
            for (int64_t r = (h + d->pad_h) % 2; r < 3; r += 2) {
                int64_t i = (h + d->pad_h - r) / 2;
                if (h + d->pad_h < r || i >= d->out_h) { continue; }
                vec a = cut(p, i, j, here, inner), b = cut(p, i, j - 1, before, inner);
                edge += a * w[3 * r] + b * w[3 * r + 2];
                middle += (odd ? b : a) * w[3 * r + 1];
            }
            vec one = odd ? middle : edge, other = odd ? edge : middle;
            tare_real *to = dx + h * d->width + 2 * v;
            if (left > VL) { put(to + VL, end, high_of(one, other), left - VL, add); }
            put(to, end, low_of(one, other), left, add);
        }
    }
}

void TARE_K(conv_depth_back)(const tare__depth *d, const tare__plane *dy, const tare_real *weight, tare_real *dx,
                             bool add) {
    const rows p = { *dy, d->out_h, d->out_w };
    if (d->stride == 2) {
        if (is_inner(&p)) {
            plane_back(d, &p, weight, dx, add, true);
        } else {
            plane_back(d, &p, weight, dx, add, false);
        }
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

typedef struct sums {
    taps row[3];
    vec all;
} sums;

static inline void sums_end(sums *s, double *to) {
    for (int n = 0; n < TAPS; n++) { to[n] += lanes_sum(s->row[n / 3].v[n % 3]); }
    to[TAPS] += lanes_sum(s->all);
    *s = (sums){ 0 };
}

#define ADD_TAPS(s, x) (s).v[0] += g * (x).v[0], (s).v[1] += g * (x).v[1], (s).v[2] += g * (x).v[2]

/* Rows [begin, end) of y from column j on. */
static ALWAYS_INLINE void rows_weight(const tare__depth *d, const rows *x, const rows *dy, int64_t j, int64_t begin,
                                      int64_t end, sums *to, const int stride, const bool inner) {
    sums s = *to;
    cuts c = cuts_of(d, j);
    mask columns = inside(j, d->out_w);
    int64_t row = begin * stride - d->pad_h;
    taps top = taps_of(x, &c, row, stride, inner), middle = taps_of(x, &c, row + 1, stride, inner);
    for (int64_t i = begin; i < end; i++, row += stride) {
        if (stride == 2 && i > begin) { middle = taps_of(x, &c, row + 1, stride, inner); }
        taps bottom = taps_of(x, &c, row + 2, stride, inner);
        vec g = cut(dy, i, j, columns, inner);
        ADD_TAPS(s.row[0], top);
        ADD_TAPS(s.row[1], middle);
        ADD_TAPS(s.row[2], bottom);
        s.all += g;
        top = stride == 1 ? middle : bottom;
        middle = bottom;
    }
    *to = s;
}

static ALWAYS_INLINE void planes_weight(const tare__depth *d, const tare__depth_sums *p, double *to, const int stride) {
    sums s = { 0 };
    rows x = { p->x, d->height, d->width }, dy = { p->dy, d->out_h, d->out_w };
    int64_t added = 0;
    for (int64_t n = 0; n < p->images; n++, x.in.first += p->x_step, dy.in.first += p->dy_step) {
        for (int64_t j = 0; j < d->out_w; j += VL) {
            for (int64_t i = 0, end; i < d->out_h; i = end) {
                end = i + ADDITIONS < d->out_h ? i + ADDITIONS : d->out_h;
                if (is_inner(&x) && is_inner(&dy)) {
                    rows_weight(d, &x, &dy, j, i, end, &s, stride, true);
                } else {
                    rows_weight(d, &x, &dy, j, i, end, &s, stride, false);
                }
                if ((added += end - i) < ADDITIONS) { continue; }
                sums_end(&s, to);
                added = 0;
            }
        }
    }
    sums_end(&s, to);
}

void TARE_K(conv_depth_weight)(const tare__depth *d, const tare__depth_sums *p, double *to) {
    if (d->stride == 1) {
        planes_weight(d, p, to, 1);
    } else {
        planes_weight(d, p, to, 2);
    }
}
