/* group_norm.c - normalise each sample over groups of channels; the row arithmetic that instance norm shares. */
#include "norm.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- rows: one per sample and group, `per` channels of `inner` values each -------------------------------------------- */

typedef struct work {
    int64_t groups, per, inner, rows;
    double eps;
    tare_act act;
    const tare_real *x, *gamma, *beta, *dy;
    tare_real *y, *dx;
    bool add;
    tare__norm_stat *stats; /* [rows], NULL where no backward comes */
    double *sum, *dot;      /* [rows, per]: of dy and dy x-hat */
    tare_real *masked;      /* where inner is 1 and there is an activation: the gradient before it */
} work;

static work work_of(const tare_node *n, int64_t groups, tare_act act) {
    const tare_tensor *x = n->in[0];
    tare__around a = tare__around_dim(x->shape, 1);
    return (work){ .groups = groups,
                   .per = a.size / groups,
                   .inner = a.inner,
                   .rows = a.outer * groups,
                   .act = act,
                   .x = x->data,
                   .gamma = tare__norm_data(n, 1),
                   .beta = tare__norm_data(n, 2),
                   .stats = n->saved };
}

/* Without positions a row has a scale for each value, and the activation goes over the row by itself. */
static bool by_value(tare__around a, tare_act act) { return a.inner == 1 && act.kind != TARE_ACT_NONE; }

tare_status tare__group_prepare(tare_node *n, int64_t groups, tare_act act) {
    tare__around a = tare__around_dim(n->in[0]->shape, 1);
    n->shape = n->in[0]->shape;
    n->saved_bytes = (size_t)(a.outer * groups) * sizeof(tare__norm_stat);
    n->grad_scratch_bytes = (size_t)(a.outer * a.size) * 2 * sizeof(double);
    if (by_value(a, act)) { n->grad_scratch_bytes += (size_t)(a.outer * a.size) * sizeof(tare_real); }
    return tare__norm_check_act(n, act);
}

/* So many planes, channels of samples, are handed to a kernel at a time. */
enum { PLANES = 32 };

/* Planes [first, first + count); `stat` and `back` (or NULL) are those of the rows from `row` on. */
static tare__norm_planes planes_of(const work *w, int64_t first, int64_t count, int64_t row,
                                   const tare__norm_stat *stat, const tare__norm_back *back, tare__norm_map *map) {
    int64_t at = first * w->inner, channels = w->groups * w->per, c = first % channels, next = w->per - first % w->per;
    for (int64_t i = 0, r = first / w->per - row; i < count; i++) {
        if (i == next) { r++, next += w->per; } /* no division for each */
        map[i] = tare__norm_map_of(stat[r], w->gamma ? w->gamma[c] : 1, w->beta ? w->beta[c] : 0,
                                   back ? back[r] : (tare__norm_back){ 0 });
        c = c + 1 < channels ? c + 1 : 0;
    }
    return (tare__norm_planes){ .rows = 1,
                                .planes = count,
                                .n = w->inner,
                                .map = map,
                                .act = (int)w->act.kind,
                                .slope = (tare_real)w->act.slope,
                                .x = w->x + at,
                                .y = w->y ? w->y + at : NULL,
                                .dy = w->dy ? w->dy + at : NULL,
                                .dx = w->dx ? w->dx + at : NULL,
                                .add = w->add };
}

static void scale_values(const work *w, int64_t row, const tare__norm_coef *coef, tare_real *y) {
    int64_t at = row * w->per, first = row % w->groups * w->per;
    tare__kernels()->norm_scale(w->x + at, y + at, w->per, coef, w->gamma ? w->gamma + first : NULL,
                                w->beta ? w->beta + first : NULL);
}

static void scale_row(const work *w, int64_t row, tare__norm_stat stat) {
    tare__norm_coef coef = tare__norm_coef_of(stat);
    scale_values(w, row, &coef, w->y);
    tare__norm_act(w->act, w->y + row * w->per, 1, w->per, w->per);
}

/* As many rows together as the first-level cache keeps. */
static int64_t few_of(int64_t length) {
    enum { VALUES = 4096 };
    return tare__max(1, tare__min(TARE__NORM_FEW, VALUES / tare__max(length, 1)));
}

/* Rows [begin, end). */
static void rows_stats(const work *w, int64_t begin, int64_t end, tare__norm_stat *stat) {
    double mean[TARE__NORM_FEW], m2[TARE__NORM_FEW];
    int64_t length = w->per * w->inner;
    tare__kernels()->norm_moments_each(w->x + begin * length, end - begin, length, mean, m2);
    for (int64_t i = 0; i < end - begin; i++) {
        stat[i] = tare__norm_stat_of(mean[i], m2[i], length, w->eps);
        if (w->stats) { w->stats[begin + i] = stat[i]; }
    }
}

static void rows_scale(const work *w, int64_t begin, int64_t end, const tare__norm_stat *stat) {
    for (int64_t r = begin; r < end && w->inner == 1; r++) { scale_row(w, r, stat[r - begin]); }
    for (int64_t i = begin * w->per; i < end * w->per && w->inner > 1; i += PLANES) {
        tare__norm_map map[PLANES];
        tare__norm_planes p = planes_of(w, i, tare__min(PLANES, end * w->per - i), begin, stat, NULL, map);
        tare__kernels()->norm_affine(&p);
    }
}

static void forward_rows(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    int64_t few = few_of(w->per * w->inner);
    for (int64_t row = begin, next; row < end; row = next) {
        tare__norm_stat stat[TARE__NORM_FEW];
        next = tare__min(row + few, end);
        rows_stats(w, row, next, stat);
        rows_scale(w, row, next, stat);
    }
}

void tare__group_forward(tare_node *n, int64_t groups, double eps, tare_act act) {
    work w = work_of(n, groups, act);
    w.eps = tare__norm_eps(eps);
    w.y = n->out->data;
    tare_parallel_for(w.rows, tare__grain_of(w.rows, 2.0 * (double)(w.per * w.inner)), forward_rows, &w);
}

/* The products of the channels of rows [begin, end), and from them what those rows' gradients take. */
static void rows_products(const work *w, int64_t begin, int64_t end, tare__norm_back *back) {
    for (int64_t i = begin * w->per; i < end * w->per; i += PLANES) {
        tare__norm_map map[PLANES];
        int64_t count = tare__min(PLANES, end * w->per - i);
        tare__norm_planes p = planes_of(w, i, count, begin, w->stats + begin, NULL, map);
        tare__kernels()->norm_products(&p, w->sum + i, w->dot + i);
    }
    for (int64_t row = begin; row < end; row++) {
        const tare_real *gamma = w->gamma ? w->gamma + row % w->groups * w->per : NULL;
        double sum = 0, dot = 0;
        for (int64_t c = 0; c < w->per; c++) {
            double g = gamma ? (double)gamma[c] : 1;
            dot += g * w->dot[row * w->per + c];
            sum += g * w->sum[row * w->per + c];
        }
        back[row - begin] = tare__norm_back_of(w->stats[row], sum, dot, w->per * w->inner);
    }
}

static void rows_gradient(const work *w, int64_t begin, int64_t end, const tare__norm_back *back) {
    for (int64_t i = begin * w->per; i < end * w->per && w->dx; i += PLANES) {
        tare__norm_map map[PLANES];
        int64_t count = tare__min(PLANES, end * w->per - i);
        tare__norm_planes p = planes_of(w, i, count, begin, w->stats + begin, back, map);
        tare__kernels()->norm_gradient(&p);
    }
}

/* From here on a row's gradient is the one before the activation. */
static void mask_rows(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    for (int64_t row = begin; row < end; row++) {
        tare__norm_coef coef = tare__norm_coef_of(w->stats[row]);
        scale_values(w, row, &coef, w->masked);
        tare__norm_act_back(w->act, w->masked + row * w->per, w->dy + row * w->per, 1, w->per, w->per);
    }
}

static void backward_rows(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    int64_t few = few_of(w->per * w->inner);
    for (int64_t row = begin, next; row < end; row = next) {
        tare__norm_back back[TARE__NORM_FEW];
        next = tare__min(row + few, end);
        rows_products(w, row, next, back);
        rows_gradient(w, row, next, back);
    }
}

void tare__group_backward(tare_node *n, int64_t groups, tare_act act) {
    work w = work_of(n, groups, act);
    w.dy = n->out->grad;
    w.dx = tare_grad(n, 0);
    w.add = tare_grad_add(n, 0);
    int64_t channels = w.groups * w.per, samples = w.rows / w.groups;
    w.sum = n->scratch;
    w.dot = w.sum + samples * channels;
    if (by_value(tare__around_dim(n->in[0]->shape, 1), act)) {
        w.masked = (tare_real *)(void *)(w.dot + samples * channels);
        tare_parallel_for(w.rows, tare__grain(2.0 * (double)w.per), mask_rows, &w);
        w.dy = w.masked;
        w.act.kind = TARE_ACT_NONE;
    }
    tare_parallel_for(w.rows, tare__grain_of(w.rows, 4.0 * (double)(w.per * w.inner)), backward_rows, &w);

    for (int64_t s = 1; s < samples; s++) {
        for (int64_t c = 0; c < channels; c++) {
            w.sum[c] += w.sum[s * channels + c];
            w.dot[c] += w.dot[s * channels + c];
        }
    }
    tare_real *dgamma = tare_grad(n, 1), *dbeta = tare_grad(n, 2);
    for (int64_t c = 0; c < channels; c++) {
        tare__norm_put(dgamma, dgamma && tare_grad_add(n, 1), c, samples > 0 ? w.dot[c] : 0);
        tare__norm_put(dbeta, dbeta && tare_grad_add(n, 2), c, samples > 0 ? w.sum[c] : 0);
    }
}

/* ---- the op ------------------------------------------------------------------------------------------------------ */

static tare_status check_groups(tare_node *n, int64_t channels, int64_t groups) {
    tare_shape_buf buf;
    if (groups < 1) { return tare_node_fail(n, TARE_EINVAL, "groups is %" PRId64 ", must be 1 or more", groups); }
    if (channels % groups == 0) { return TARE_OK; }
    char divisors[128] = "";
    size_t used = 0;
    for (int64_t d = 1; d <= channels && used + 24 < sizeof divisors; d++) {
        if (channels % d == 0) { used += (size_t)snprintf(divisors + used, sizeof divisors - used, " %" PRId64, d); }
    }
    return tare_node_fail(n, TARE_ESHAPE,
                          "%" PRId64 " groups do not divide the %" PRId64 " channels of x %s; these do:%s", groups,
                          channels, tare_shape_text(n->in[0]->shape, &buf), divisors);
}

static tare_status check(tare_node *n) {
    const tare_group_norm_opt *opt = n->attr;
    const tare_tensor *x = n->in[0];
    tare_shape_buf buf;
    if (x->shape.ndim < 2) {
        return tare_node_fail(n, TARE_ESHAPE, "x %s must be [N,C,...]", tare_shape_text(x->shape, &buf));
    }
    int64_t channels = x->shape.dim[1];
    tare__around a = tare__around_dim(x->shape, 1);
    tare_status status = check_groups(n, channels, opt->groups);
    if (!status) { status = tare__norm_check_eps(n, opt->eps); }
    if (!status) { status = tare__norm_check_shape(n, 1, "gamma", TARE_SHAPE(channels)); }
    if (!status) { status = tare__norm_check_shape(n, 2, "beta", TARE_SHAPE(channels)); }
    if (!status) {
        status = tare__norm_check_count(n, channels / opt->groups * a.inner, "sample and group", "use fewer groups");
    }
    return status ? status : tare__group_prepare(n, opt->groups, opt->act);
}

static void forward(tare_node *n) {
    const tare_group_norm_opt *opt = n->attr;
    tare__group_forward(n, opt->groups, opt->eps, opt->act);
}

static void backward(tare_node *n) {
    const tare_group_norm_opt *opt = n->attr;
    tare__group_backward(n, opt->groups, opt->act);
}

#define OPT(...)                                                                                                       \
    &(const tare_group_norm_opt) { __VA_ARGS__ }
static const tare_opcase cases[] = {
    { .name = "images", .in = { { 4, { 2, 6, 3, 5 } }, { 1, { 6 } }, { 1, { 6 } } }, .attr = OPT(.groups = 3) },
    { .name = "one_group",
      .in = { { 3, { 3, 4, 17 } }, { 1, { 4 } }, { 1, { 4 } } },
      .attr = OPT(.groups = 1, .eps = 0.1) },
    { .name = "features", .in = { { 2, { 3, 34 } }, { 1, { 34 } }, { 1, { 34 } } }, .attr = OPT(.groups = 2) },
    { .name = "plain", .in = { { 4, { 2, 4, 5, 5 } } }, .absent = 6, .attr = OPT(.groups = 2) },
    { .name = "no_beta", .in = { { 4, { 1, 4, 1, 3 } }, { 1, { 4 } } }, .absent = 4, .attr = OPT(.groups = 2) },
    { .name = "wide", .in = { { 4, { 1, 2, 9, 11 } }, { 1, { 2 } }, { 1, { 2 } } }, .attr = OPT(.groups = 2) },
    { .name = "relu",
      .in = { { 4, { 2, 6, 3, 5 } }, { 1, { 6 } }, { 1, { 6 } } },
      .attr = OPT(.groups = 3, .act = { TARE_ACT_RELU, 0 }) },
    { .name = "relu_features",
      .in = { { 2, { 3, 34 } }, { 1, { 34 } }, { 1, { 34 } } },
      .attr = OPT(.groups = 2, .act = { TARE_ACT_RELU, 0 }) },
    { .name = "leaky_relu",
      .in = { { 3, { 2, 4, 17 } }, { 1, { 4 } }, { 1, { 4 } } },
      .attr = OPT(.groups = 1, .act = { TARE_ACT_LEAKY_RELU, 0.2 }) },
    { .name = NULL },
};

const tare_op tare_op_group_norm = {
    .name = "group_norm",
    .n_in = 3,
    .n_optional = 2,
    .attr_size = sizeof(tare_group_norm_opt),
    .flags = TARE_OP_FRESH | TARE_OP_INPLACE | TARE_OP_AGAIN,
    .reads = TARE_READS_IN(0) | TARE_READS_IN(1) | TARE_READS_IN(2),
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_group_norm(tare_tape *t, tare_tensor *x, tare_tensor *gamma, tare_tensor *beta,
                             tare_group_norm_opt opt) {
    return x ? tare_apply(t, &tare_op_group_norm, (tare_tensor *[]){ x, gamma, beta }, 3, &opt) : NULL;
}
