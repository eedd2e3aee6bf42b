/* batch_norm.c - normalise each channel over the batch and all positions. */
#include "norm.h"

#include <inttypes.h>

/* A channel is N planes of `inner` values, `stride` apart; its samples are taken in sets of `batch`. Where inner is 1
 * ([N,C]) many channels lie side by side and go together as columns. */
typedef struct work {
    int64_t samples, channels, inner, stride, batch, sets;
    bool own; /* statistics are the batch's own, not the running ones */
    double eps;
    const tare_batch_norm_opt *opt;
    const tare_real *x, *gamma, *beta, *dy;
    tare_real *y, *dx, *dgamma, *dbeta;
    bool add, add_gamma, add_beta;
    tare_real *mean, *var;  /* running, or NULL */
    bool update;            /* them */
    tare__norm_stat *stats; /* [sets, channels] */
    tare_real *masked;      /* columns alone: the gradient before the activation */
} work;

static work work_of(const tare_node *n) {
    const tare_tensor *x = n->in[0];
    const tare_batch_norm_opt *opt = n->attr;
    tare__around a = tare__around_dim(x->shape, 1);
    work w = { .samples = a.outer, .channels = a.size, .inner = a.inner, .stride = a.size * a.inner, .opt = opt };
    w.mean = n->in[3] ? n->in[3]->data : NULL;
    w.var = n->in[4] ? n->in[4]->data : NULL;
    w.own = !w.mean || (n->training && !opt->use_stats);
    w.update = w.own && w.mean && n->training && !opt->keep_stats && x->numel > 0;
    w.eps = tare__norm_eps(opt->eps);
    w.batch = w.own && opt->sub_batch > 0 ? tare__min(opt->sub_batch, a.outer) : a.outer;
    w.sets = w.batch > 0 ? tare__ceil_div(a.outer, w.batch) : 0;
    w.x = x->data;
    w.gamma = tare__norm_data(n, 1);
    w.beta = tare__norm_data(n, 2);
    return w;
}

static int64_t set_size(const work *w, int64_t set) { return tare__min(w->batch, w->samples - set * w->batch); }

static tare__norm_map map_of(const work *w, int64_t c, tare__norm_stat stat, tare__norm_back back) {
    return tare__norm_map_of(stat, w->gamma ? w->gamma[c] : 1, w->beta ? w->beta[c] : 0, back);
}

/* Channel c of a set. */
static tare__norm_planes planes_of(const work *w, int64_t set, int64_t c, const tare__norm_map *map) {
    int64_t at = set * w->batch * w->stride + c * w->inner;
    return (tare__norm_planes){ .rows = set_size(w, set),
                                .planes = 1,
                                .n = w->inner,
                                .stride = w->stride,
                                .map = map,
                                .act = (int)w->opt->act.kind,
                                .slope = (tare_real)w->opt->act.slope,
                                .x = w->x + at,
                                .y = w->y ? w->y + at : NULL,
                                .dy = w->dy ? w->dy + at : NULL,
                                .dx = w->dx ? w->dx + at : NULL,
                                .add = w->add };
}

/* ---- statistics -------------------------------------------------------------------------------------------------- */

/* running = (1 - u) running + u batch, with the unbiased variance */
static void update_running(const work *w, int64_t set, int64_t c, double mean, double m2) {
    int64_t count = set_size(w, set) * w->inner;
    double u = w->opt->stat_update > 0 ? w->opt->stat_update : 0.1;
    if (w->opt->cumulative) { u = 1 / (double)(w->opt->seen + set + 1); }
    w->mean[c] = (tare_real)((1 - u) * (double)w->mean[c] + u * mean);
    w->var[c] = (tare_real)((1 - u) * (double)w->var[c] + u * (m2 / (double)(count - 1)));
}

/* Takes note of what was found for (set, c), and gives what to normalise with. */
static tare__norm_stat settle(const work *w, int64_t set, int64_t c, double mean, double m2) {
    tare__norm_stat stat;
    if (w->own) {
        stat = tare__norm_stat_of(mean, m2, set_size(w, set) * w->inner, w->eps);
    } else {
        stat = tare__norm_stat_of((double)w->mean[c], (double)w->var[c], 1, w->eps);
    }
    if (w->update) { update_running(w, set, c, mean, m2); }
    if (w->stats) { w->stats[set * w->channels + c] = stat; }
    return stat;
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

static void forward_channels(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    for (int64_t c = begin; c < end; c++) {
        for (int64_t set = 0; set < w->sets; set++) {
            tare__norm_map map;
            tare__norm_planes p = planes_of(w, set, c, &map);
            double mean = 0, m2 = 0;
            if (w->own) { tare__kernels()->norm_moments(p.x, p.rows, p.n, p.stride, &mean, &m2); }
            map = map_of(w, c, settle(w, set, c, mean, m2), (tare__norm_back){ 0 });
            tare__kernels()->norm_affine(&p);
        }
    }
}

static tare__norm_coef as_coef(tare__norm_map m) { return (tare__norm_coef){ .k = m.k, .rstd = m.a, .shift = m.b }; }

static void forward_columns(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    const tare__kernel_table *k = tare__kernels();
    for (int64_t c0 = begin * TARE__NORM_COLUMNS; c0 < tare__min(end * TARE__NORM_COLUMNS, w->channels);
         c0 += TARE__NORM_COLUMNS) {
        int64_t cols = tare__min(TARE__NORM_COLUMNS, w->channels - c0);
        for (int64_t set = 0; set < w->sets; set++) {
            int64_t at = set * w->batch * w->stride + c0, n = set_size(w, set);
            double mean[TARE__NORM_COLUMNS] = { 0 }, m2[TARE__NORM_COLUMNS] = { 0 };
            if (w->own) { k->norm_col_moments(w->x + at, n, cols, w->stride, mean, m2); }
            tare__norm_coef coef[TARE__NORM_COLUMNS];
            for (int64_t j = 0; j < cols; j++) {
                coef[j] = as_coef(map_of(w, c0 + j, settle(w, set, c0 + j, mean[j], m2[j]), (tare__norm_back){ 0 }));
            }
            k->norm_col_scale(w->x + at, w->y + at, n, cols, w->stride, coef, NULL, NULL);
            tare__norm_act(w->opt->act, w->y + at, n, cols, w->stride);
        }
    }
}

static void run(const work *w, double cost, tare_range_fn channels, tare_range_fn columns) {
    work copy = *w;
    cost *= (double)(w->samples * w->inner);
    if (w->inner == 1) {
        int64_t blocks = tare__ceil_div(w->channels, TARE__NORM_COLUMNS);
        tare_parallel_for(blocks, tare__grain_of(blocks, cost * TARE__NORM_COLUMNS), columns, &copy);
    } else {
        tare_parallel_for(w->channels, tare__grain_of(w->channels, cost), channels, &copy);
    }
}

static void forward(tare_node *n) {
    work w = work_of(n);
    w.y = n->out->data;
    w.stats = n->saved;
    run(&w, 2, forward_channels, forward_columns);
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

/* What dx = p dy + q x-hat + t takes for (set, c); without statistics of its own the mean and variance are constants. */
static tare__norm_back slopes(const work *w, int64_t set, int64_t c, tare_real g, double sum, double dot) {
    if (!w->own) { return (tare__norm_back){ 0, 0 }; }
    int64_t count = set_size(w, set) * w->inner;
    return tare__norm_back_of(w->stats[set * w->channels + c], sum * (double)g, dot * (double)g, count);
}

static void put(const work *w, int64_t c, double sum, double dot) {
    tare__norm_put(w->dgamma, w->add_gamma, c, dot);
    tare__norm_put(w->dbeta, w->add_beta, c, sum);
}

static void backward_channels(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    bool products = w->own || w->dgamma || w->dbeta;
    for (int64_t c = begin; c < end; c++) {
        tare_real g = w->gamma ? w->gamma[c] : 1;
        double all_sum = 0, all_dot = 0;
        for (int64_t set = 0; set < w->sets; set++) {
            tare__norm_stat stat = w->stats[set * w->channels + c];
            tare__norm_map map = map_of(w, c, stat, (tare__norm_back){ 0 });
            tare__norm_planes p = planes_of(w, set, c, &map);
            double sum = 0, dot = 0;
            if (products) { tare__kernels()->norm_products(&p, &sum, &dot); }
            all_sum += sum;
            all_dot += dot;
            map = map_of(w, c, stat, slopes(w, set, c, g, sum, dot));
            if (w->dx) { tare__kernels()->norm_gradient(&p); }
        }
        put(w, c, all_sum, all_dot);
    }
}

/* The gradient of a block of columns before the activation, in w->masked. */
static void mask_block(const work *w, int64_t at, int64_t n, int64_t c0, int64_t cols, const tare__norm_stat *stats) {
    tare__norm_coef scaled[TARE__NORM_COLUMNS];
    for (int64_t j = 0; j < cols; j++) { scaled[j] = as_coef(map_of(w, c0 + j, stats[j], (tare__norm_back){ 0 })); }
    tare__kernels()->norm_col_scale(w->x + at, w->masked + at, n, cols, w->stride, scaled, NULL, NULL);
    tare__norm_act_back(w->opt->act, w->masked + at, w->dy + at, n, cols, w->stride);
}

/* One set of one block of columns; adds to all_sum and all_dot. */
static void backward_block(const work *w, int64_t set, int64_t c0, int64_t cols, double *all_sum, double *all_dot) {
    const tare__kernel_table *k = tare__kernels();
    int64_t at = set * w->batch * w->stride + c0, n = set_size(w, set);
    tare__norm_coef coef[TARE__NORM_COLUMNS];
    double sum[TARE__NORM_COLUMNS], dot[TARE__NORM_COLUMNS];
    tare_real pqt[3 * TARE__NORM_COLUMNS];
    for (int64_t j = 0; j < cols; j++) { coef[j] = tare__norm_coef_of(w->stats[set * w->channels + c0 + j]); }
    const tare_real *dy = (w->masked ? w->masked : w->dy) + at;
    if (w->masked) { mask_block(w, at, n, c0, cols, w->stats + set * w->channels + c0); }
    k->norm_col_products(w->x + at, dy, n, cols, w->stride, coef, NULL, sum, dot, NULL);
    for (int64_t j = 0; j < cols; j++) {
        tare_real g = w->gamma ? w->gamma[c0 + j] : 1;
        tare__norm_back back = slopes(w, set, c0 + j, g, sum[j], dot[j]);
        pqt[j] = coef[j].rstd * g;
        pqt[TARE__NORM_COLUMNS + j] = back.q;
        pqt[2 * TARE__NORM_COLUMNS + j] = back.t;
        all_sum[j] += sum[j];
        all_dot[j] += dot[j];
    }
    if (w->dx) { k->norm_col_gradient(w->x + at, dy, w->dx + at, n, cols, w->stride, coef, NULL, pqt, w->add); }
}

static void backward_columns(void *context, int64_t begin, int64_t end) {
    const work *w = context;
    for (int64_t c0 = begin * TARE__NORM_COLUMNS; c0 < tare__min(end * TARE__NORM_COLUMNS, w->channels);
         c0 += TARE__NORM_COLUMNS) {
        int64_t cols = tare__min(TARE__NORM_COLUMNS, w->channels - c0);
        double sum[TARE__NORM_COLUMNS] = { 0 }, dot[TARE__NORM_COLUMNS] = { 0 };
        for (int64_t set = 0; set < w->sets; set++) { backward_block(w, set, c0, cols, sum, dot); }
        for (int64_t j = 0; j < cols; j++) { put(w, c0 + j, sum[j], dot[j]); }
    }
}

static void backward(tare_node *n) {
    work w = work_of(n);
    w.dy = n->out->grad;
    w.masked = n->scratch;
    w.stats = n->saved;
    w.dx = tare_grad(n, 0);
    w.dgamma = tare_grad(n, 1);
    w.dbeta = tare_grad(n, 2);
    w.add = w.dx && tare_grad_add(n, 0);
    w.add_gamma = w.dgamma && tare_grad_add(n, 1);
    w.add_beta = w.dbeta && tare_grad_add(n, 2);
    run(&w, 4, backward_channels, backward_columns);
}

/* ---- the op ------------------------------------------------------------------------------------------------------ */

static tare_status check_options(tare_node *n, const tare_batch_norm_opt *opt) {
    tare_status status = tare__norm_check_eps(n, opt->eps);
    if (!status && !(opt->stat_update >= 0 && opt->stat_update <= 1)) {
        status = tare_node_fail(n, TARE_EINVAL, "stat_update is %g, the weight of the new batch: must lie in 0..1",
                                opt->stat_update);
    }
    if (!status && opt->sub_batch < 0) {
        status = tare_node_fail(n, TARE_EINVAL, "sub_batch is %" PRId64 ", must be positive (0: the whole batch)",
                                opt->sub_batch);
    }
    return status;
}

static tare_status check_running(tare_node *n, const tare_batch_norm_opt *opt) {
    if (!n->in[3] != !n->in[4]) {
        return tare_node_fail(n, TARE_EINVAL, "running_mean and running_var come together or not at all");
    }
    if (!n->in[3] && opt->use_stats) {
        return tare_node_fail(n, TARE_EINVAL, "is to use running statistics, but has none");
    }
    if (n->in[3] && (n->in[3]->requires_grad || n->in[4]->requires_grad)) {
        return tare_node_fail(n, TARE_EINVAL, "running statistics take no gradient");
    }
    return TARE_OK;
}

static tare_status check_shapes(tare_node *n) {
    const tare_tensor *x = n->in[0];
    tare_shape_buf buf;
    if (x->shape.ndim < 2) {
        return tare_node_fail(n, TARE_ESHAPE, "x %s must be [N,C], [N,C,L] or [N,C,H,W]",
                              tare_shape_text(x->shape, &buf));
    }
    static const char *const what[] = { NULL, "gamma", "beta", "running_mean", "running_var" };
    tare_status status = TARE_OK;
    for (int i = 1; i < 5 && !status; i++) {
        status = tare__norm_check_shape(n, i, what[i], TARE_SHAPE(x->shape.dim[1]));
    }
    return status;
}

static tare_status check(tare_node *n) {
    const tare_batch_norm_opt *opt = n->attr;
    tare_status status = check_options(n, opt);
    if (!status) { status = check_running(n, opt); }
    if (!status) { status = check_shapes(n); }
    if (status) { return status; }
    work w = work_of(n);
    if (w.own) {
        int64_t smallest = w.sets ? set_size(&w, w.sets - 1) * w.inner : 0;
        status = tare__norm_check_count(n, smallest, w.sets > 1 ? "channel in its last sub-batch" : "channel",
                                        "make the batch larger (drop the last one if it is short), or use a norm "
                                        "that does not look at the batch, such as gn");
    }
    n->shape = n->in[0]->shape;
    n->saved_bytes = (size_t)(w.sets * w.channels) * sizeof(tare__norm_stat);
    if (w.inner == 1 && opt->act.kind) { n->grad_scratch_bytes = (size_t)n->in[0]->numel * sizeof(tare_real); }
    return status ? status : tare__norm_check_act(n, opt->act);
}

#define OPT(...)                                                                                                       \
    &(const tare_batch_norm_opt) { __VA_ARGS__ }
#define CHANNELS(c)                                                                                                    \
    { 1, { c } }, {                                                                                                    \
        1, { c }                                                                                                       \
    }
#define RELU                                                                                                           \
    { TARE_ACT_RELU, 0 }
#define LEAKY                                                                                                          \
    { TARE_ACT_LEAKY_RELU, 0.2 }
/* running statistics: any mean, a variance above 0; keep_stats, since an op checked may not change its inputs */
#define STATS                                                                                                          \
    {                                                                                                                  \
        { 0 }, { 0 }, { 0 }, { 0 }, { TARE_FILL_UNIFORM, 0.5, 1.5 }                                                    \
    }
static const tare_opcase cases[] = {
    { .name = "images", .in = { { 4, { 3, 4, 5, 3 } }, CHANNELS(4) }, .absent = 24, .attr = OPT(.eps = 1e-5) },
    { .name = "sequences", .in = { { 3, { 2, 3, 19 } }, CHANNELS(3) }, .absent = 24, .attr = OPT(.eps = 0.1) },
    { .name = "features", .in = { { 2, { 5, 7 } }, CHANNELS(7) }, .absent = 24, .attr = OPT(.eps = 1e-5) },
    { .name = "many_features", .in = { { 2, { 3, 131 } }, CHANNELS(131) }, .absent = 24, .attr = OPT(.eps = 1e-2) },
    { .name = "plain", .in = { { 4, { 2, 3, 2, 2 } } }, .absent = 30, .attr = OPT(.eps = 1e-3) },
    { .name = "sub_batch", .in = { { 4, { 5, 2, 3, 3 } }, CHANNELS(2) }, .absent = 24, .attr = OPT(.sub_batch = 2) },
    { .name = "sub_batch_features",
      .in = { { 2, { 7, 3 } }, CHANNELS(3) },
      .absent = 24,
      .attr = OPT(.eps = 0.5, .sub_batch = 4) },
    { .name = "training",
      .in = { { 4, { 3, 2, 2, 2 } }, CHANNELS(2), CHANNELS(2) },
      .nograd = 24,
      .fill = STATS,
      .attr = OPT(.keep_stats = true) },
    { .name = "eval",
      .in = { { 4, { 3, 2, 2, 2 } }, CHANNELS(2), CHANNELS(2) },
      .nograd = 24,
      .fill = STATS,
      .eval = true,
      .attr = OPT(.eps = 1e-5) },
    { .name = "eval_features",
      .in = { { 2, { 1, 5 } }, CHANNELS(5), CHANNELS(5) },
      .nograd = 24,
      .fill = STATS,
      .eval = true,
      .attr = OPT(.eps = 0.1) },
    { .name = "frozen",
      .in = { { 3, { 2, 3, 4 } }, CHANNELS(3), CHANNELS(3) },
      .nograd = 24,
      .fill = STATS,
      .attr = OPT(.use_stats = true) },
    { .name = "relu", .in = { { 4, { 3, 4, 5, 3 } }, CHANNELS(4) }, .absent = 24, .attr = OPT(.act = RELU) },
    { .name = "relu_features", .in = { { 2, { 5, 7 } }, CHANNELS(7) }, .absent = 24, .attr = OPT(.act = RELU) },
    { .name = "leaky_relu", .in = { { 3, { 3, 2, 19 } }, CHANNELS(2) }, .absent = 24, .attr = OPT(.act = LEAKY) },
    { .name = "relu_eval",
      .in = { { 4, { 3, 2, 2, 2 } }, CHANNELS(2), CHANNELS(2) },
      .nograd = 24,
      .fill = STATS,
      .eval = true,
      .attr = OPT(.act = RELU) },
    { .name = NULL },
};

const tare_op tare_op_batch_norm = {
    .name = "batch_norm",
    .n_in = 5,
    .n_optional = 4,
    .attr_size = sizeof(tare_batch_norm_opt),
    .flags = TARE_OP_FRESH | TARE_OP_INPLACE,
    .reads = TARE_READS_IN(0) | TARE_READS_IN(1) | TARE_READS_IN(2),
    .check = check,
    .forward = forward,
    .backward = backward,
    .cases = cases,
};

tare_tensor *tare_batch_norm(tare_tape *t, tare_tensor *x, tare_tensor *gamma, tare_tensor *beta,
                             tare_tensor *running_mean, tare_tensor *running_var, tare_batch_norm_opt opt) {
    tare_tensor *in[] = { x, gamma, beta, running_mean, running_var };
    return x ? tare_apply(t, &tare_op_batch_norm, in, 5, &opt) : NULL;
}
