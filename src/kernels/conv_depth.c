/* conv_depth.c - one plane, one 3 x 3 filter: y, the gradient to x, and to the filter.
 *
 * Outputs of a row go a vector at a time, column by column of such vectors, from right to left, rows downwards. */
#include "conv_depth_pairs.h"

enum {
    TAPS = 9,
    ADDITIONS = 256, /* numbers that a lane adds up, about, before they go on in double */
};

/* ---- to y -------------------------------------------------------------------------------------------------------- */

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
    } else if (d->out_w <= PAIR) {
        const rows p = { *x, d->height, d->width };
        if (is_inner(&p)) {
            pairs_out(d, &p, weight, bias, y, add, true);
        } else {
            pairs_out(d, &p, weight, bias, y, add, false);
        }
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
    if (d->stride == 2 && (d->width + 1) / 2 <= PAIR) {
        if (is_inner(&p)) {
            pairs_back(d, &p, weight, dx, add, true);
        } else {
            pairs_back(d, &p, weight, dx, add, false);
        }
        return;
    }
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

static inline void sums_end(sums *s, double *to) {
    for (int n = 0; n < TAPS; n++) { to[n] += lanes_sum(s->row[n / 3].v[n % 3]); }
    to[TAPS] += lanes_sum(s->all);
    *s = (sums){ 0 };
}

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
    rows x = { p->x, reach_of(d->height, d->out_h, stride, 3, d->pad_h), d->width }, dy = { p->dy, d->out_h, d->out_w };
    int64_t added = 0;
    for (int64_t n = 0; n < p->images; n++, x.in.first += p->x_step, dy.in.first += p->dy_step) {
        for (int64_t j = 0; j < d->out_w; j += VL) {
            for (int64_t i = 0, end; i < d->out_h; i = end) {
                end = i + ADDITIONS < d->out_h ? i + ADDITIONS : d->out_h;
                bool inner = is_inner(&x) && is_inner(&dy);
                if (stride == 2 && d->out_w <= PAIR) {
                    if (inner) {
                        pairs_weight(d, &x, &dy, i, end, &s, true);
                    } else {
                        pairs_weight(d, &x, &dy, i, end, &s, false);
                    }
                } else if (inner) {
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
