/* conv2d_depth.c - depthwise convolutions of 3 x 3: the three products, a plane and a filter at a time. */
#include "../kernels/conv_depth.h"
#include "conv2d.h"

enum { MOST_FILTERS = 4, COST = 2 }; /* of a channel; of an output, in element operations */

bool tare__conv2d_is_depth(const tare__conv2d *v) {
    bool filter = v->r == 3 && v->s == 3 && v->dil_h == 1 && v->dil_w == 1;
    bool walk = v->stride_h == v->stride_w && v->stride_h <= 2 && v->pad_h <= 2 && v->pad_w <= 2;
    bool size = v->w <= TARE__DEPTH_WIDTH && v->ow <= TARE__DEPTH_WIDTH && v->oh > 0 && v->ow > 0;
    return v->groups > 1 && v->c == 1 && v->k <= MOST_FILTERS && filter && walk && size;
}

static tare__depth sizes_of(const tare__conv2d *v) {
    return (tare__depth){ .height = v->h,
                          .width = v->w,
                          .out_h = v->oh,
                          .out_w = v->ow,
                          .stride = v->stride_h,
                          .pad_h = v->pad_h,
                          .pad_w = v->pad_w };
}

/* Planes of y, [image][channel][filter of the channel]. */
static void ahead(void *context, int64_t begin, int64_t end) {
    const tare__conv2d_pass *p = context;
    const tare__conv2d *v = &p->v;
    tare__depth d = sizes_of(v);
    for (int64_t plane = begin; plane < end; plane++) {
        int64_t filter = plane % (v->groups * v->k);
        tare__plane x = { p->from, v->n * v->groups * v->h * v->w, plane / v->k * v->h * v->w };
        tare__kernels()->conv_depth(&d, &x, p->weight + filter * 9, p->bias ? p->bias[filter] : 0,
                                    p->to + plane * v->oh * v->ow, p->add);
    }
}

void tare__conv2d_depth_ahead(const tare__conv2d_pass *p) {
    tare__conv2d_pass call = *p;
    const tare__conv2d *v = &p->v;
    tare_parallel_for(v->n * v->groups * v->k, tare__grain((double)(v->oh * v->ow * COST)), ahead, &call);
}

/* Planes of x, [image][channel]. */
static void back(void *context, int64_t begin, int64_t end) {
    const tare__conv2d_pass *p = context;
    const tare__conv2d *v = &p->v;
    tare__depth d = sizes_of(v);
    for (int64_t plane = begin; plane < end; plane++) {
        int64_t channel = plane % v->groups, size = v->h * v->w;
        tare_real *to = p->to + plane * size;
        for (int64_t i = 0; p->bias && i < size; i++) { to[i] = p->bias[channel]; }
        for (int64_t k = 0; k < v->k; k++) {
            tare__plane dy = { p->from, v->n * v->groups * v->k * v->oh * v->ow, (plane * v->k + k) * v->oh * v->ow };
            tare__kernels()->conv_depth_back(&d, &dy, p->weight + (channel * v->k + k) * 9, to,
                                             p->add || p->bias || k > 0);
        }
    }
}

void tare__conv2d_depth_back(const tare__conv2d_pass *p) {
    tare__conv2d_pass call = *p;
    const tare__conv2d *v = &p->v;
    double work = (double)(v->h * v->w * v->k * COST);
    tare_parallel_for(v->n * v->groups, tare__grain(work), back, &call);
}

/* Filters of all channels, each over the whole batch. */
static void weights(void *context, int64_t begin, int64_t end) {
    const tare__conv2d_sums *p = context;
    const tare__conv2d *v = &p->v;
    tare__depth d = sizes_of(v);
    tare__depth_sums s = { .images = v->n, .x_step = v->groups * v->h * v->w };
    s.dy_step = v->groups * v->k * v->oh * v->ow;
    for (int64_t filter = begin; filter < end; filter++) {
        double sums[10] = { 0 };
        s.x = (tare__plane){ p->x, v->n * s.x_step, filter / v->k * v->h * v->w };
        s.dy = (tare__plane){ p->y, v->n * s.dy_step, filter * v->oh * v->ow };
        tare__kernels()->conv_depth_weight(&d, &s, sums);
        tare_real *dw = p->dw + filter * 9;
        for (int i = 0; i < 9; i++) { dw[i] = (tare_real)sums[i] + (p->add_w ? dw[i] : 0); }
        if (p->db) { p->db[filter] = (tare_real)sums[9] + (p->add_b ? p->db[filter] : 0); }
    }
}

void tare__conv2d_depth_weight(const tare__conv2d_sums *p) {
    tare__conv2d_sums call = *p;
    const tare__conv2d *v = &p->v;
    double work = (double)(v->n * v->oh * v->ow * COST);
    tare_parallel_for(v->groups * v->k, tare__grain(work), weights, &call);
}
