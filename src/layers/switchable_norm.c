/* switchable_norm.c - a learned mix of the statistics of instance, layer and batch norm. Made of ops.
 * Luo et al. 2019, arXiv:1806.10779, eq. 2-5: layer's and batch's statistics come from the instances', which cost one pass. */
#include "norm_spec.h"
#include "planes.h"

#include <math.h>

typedef struct switchable_norm {
    tare_layer base;
    tare_tensor *gamma, *beta;
    tare_tensor *mean_weight, *var_weight; /* [3], before their softmax: instance, layer, batch */
    tare_tensor *mean, *var;               /* [C] running statistics of the batch */
    double eps, stat_update;
} switchable_norm;

/* Means and variances, each of a shape that meets [N,C,1]. */
typedef struct moments {
    tare_tensor *mean, *var;
} moments;

/* x is measured as (x - origin) scale. The origin is one of its values, so that far from 0 no mean loses digits; scale is 1, or a
 * power of 2 where squares would leave the range. The result depends on neither. */
typedef struct measure {
    double origin, scale;
} measure;

/* Where a variance overflows although no value is Inf or NaN: the scale at which values lie within -1..1. */
static double smaller_scale(const tare_tensor *x, double origin) {
    double most = 0;
    int exponent;
    for (int64_t i = 0; i < x->numel; i++) {
        double distance = fabs((double)x->data[i] - origin);
        if (!isfinite(distance)) { return 1; }
        if (distance > most) { most = distance; }
    }
    (void)frexp(most, &exponent);
    return ldexp(1, -exponent);
}

static bool all_finite(const tare_tensor *x) {
    for (int64_t i = 0; x && i < x->numel; i++) {
        if (!isfinite(x->data[i])) { return false; }
    }
    return true;
}

/* Of sets joined along the dimensions `dims`: the mean of means, the mean of variances and the variance of means. */
static moments joined(tare_tape *t, moments each, unsigned dims) {
    tare_tensor *mean = tare_mean(t, each.mean, dims, true), *off = tare_sub(t, each.mean, mean);
    return (moments){ mean, tare_mean(t, tare_add(t, each.var, tare_mul(t, off, off)), dims, true) };
}

/* weights_k moment_k, summed */
static tare_tensor *mix(tare_tape *t, tare_tensor *weights, tare_tensor *in, tare_tensor *ln, tare_tensor *bn) {
    tare_tensor *w = tare_softmax(t, weights, 0), *parts[] = { in, ln, bn }, *sum = NULL;
    for (int k = 0; k < 3; k++) {
        tare_tensor *part = tare_mul(t, parts[k], tare_slice(t, w, 0, k, k + 1, 1));
        sum = k ? tare_add(t, sum, part) : part;
    }
    return sum;
}

/* The variance kept is the biased one, so that evaluation mixes the same quantities as training. */
static void update(const switchable_norm *s, const moments *batch, const measure *m) {
    for (int64_t c = 0; batch->var && c < s->mean->numel; c++) {
        double mean = (double)batch->mean->data[c] / m->scale + m->origin, w = s->stat_update;
        double var = (double)batch->var->data[c] / (m->scale * m->scale);
        s->mean->data[c] = (tare_real)((1 - w) * (double)s->mean->data[c] + w * mean);
        s->var->data[c] = (tare_real)((1 - w) * (double)s->var->data[c] + w * var);
    }
}

/* The running statistics on the tape, [1,C,1]. */
static moments running(const switchable_norm *s, tare_tape *t, const measure *at) {
    tare_shape shape = TARE_SHAPE(1, s->mean->numel, 1);
    moments m = { tare_input(t, shape, s->mean->data), tare_input(t, shape, s->var->data) };
    for (int64_t c = 0; m.mean && c < s->mean->numel; c++) {
        m.mean->data[c] = (tare_real)(((double)s->mean->data[c] - at->origin) * at->scale);
        m.var->data[c] = (tare_real)((double)s->var->data[c] * at->scale * at->scale);
    }
    return m;
}

static bool fits(const switchable_norm *s, tare_tape *tape, const tare__planes *p) {
    tare_shape_buf buf;
    if (p->channels == s->mean->numel && p->positions >= 2) { return true; }
    tare_tape_fail(tape, TARE_ESHAPE,
                   "switchable_norm \"%s\": x %s must have %d channels and 2 positions or more in each", s->base.name,
                   tare_shape_text(p->shape, &buf), (int)s->mean->numel);
    return false;
}

/* A number as a tensor. */
static tare_tensor *number(tare_tape *t, double value) {
    tare_tensor *x = tare_input(t, TARE_SHAPE(1), NULL);
    if (x) { x->data[0] = (tare_real)value; }
    return x;
}

typedef struct statistics {
    tare_tensor *off; /* x less the mean of its plane, as measured */
    moments in, ln, bn;
} statistics;

static statistics statistics_of(const switchable_norm *s, tare_tape *t, const tare__planes *p, const measure *at) {
    tare_tensor *from = tare_sub(t, p->x, number(t, at->origin));
    if (at->scale < 1) { from = tare__use_up(t, from, tare_scale(t, from, at->scale)); }
    statistics all = { .in.mean = tare_mean(t, from, TARE_DIM(2), true) };
    all.off = tare__use_up(t, from, tare_sub(t, from, all.in.mean));
    tare_tensor *squares = tare_mul(t, all.off, all.off);
    all.in.var = tare__use_up(t, squares, tare_mean(t, squares, TARE_DIM(2), true));
    all.ln = joined(t, all.in, TARE_DIM(1));
    all.bn = tare_tape_training(t) ? joined(t, all.in, TARE_DIM(0)) : running(s, t, at);
    return all;
}

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    const switchable_norm *s = (const switchable_norm *)self;
    tare__planes p;
    if (!tare__planes_of(tape, "switchable_norm", x, &p) || !fits(s, tape, &p)) { return NULL; }
    measure at = { x->numel ? (double)x->data[0] : 0, 1 };
    statistics all = statistics_of(s, tape, &p, &at);
    if (!all_finite(all.in.var) || !all_finite(all.ln.var) || !all_finite(all.bn.var)) {
        at.scale = smaller_scale(x, at.origin);
        if (at.scale < 1) { all = statistics_of(s, tape, &p, &at); }
    }
    if (tare_tape_training(tape) && !tare_params_frozen(self->params) && !tare_tape_repeats(tape)) {
        update(s, &all.bn, &at);
    }

    tare_tensor *mean = mix(tape, s->mean_weight, all.in.mean, all.ln.mean, all.bn.mean);
    tare_tensor *var = mix(tape, s->var_weight, all.in.var, all.ln.var, all.bn.var);
    /* gamma (off - shift) / sqrt(var + eps) + beta, worked out where it is small: [N,C,1] */
    tare_shape by_channel = TARE_SHAPE(p.channels, 1);
    tare_tensor *scale = tare_div(tape, tare_reshape(tape, s->gamma, by_channel),
                                  tare_sqrt(tape, tare_add(tape, var, number(tape, s->eps * at.scale * at.scale))));
    tare_tensor *shift = tare_mul(tape, tare_sub(tape, mean, all.in.mean), scale);
    tare_tensor *beta = tare_sub(tape, tare_reshape(tape, s->beta, by_channel), shift);
    if (!scale || !beta) { return NULL; }
    return tare__planes_back(tape, &p, tare__planes_affine(tape, &p, all.off, scale, beta));
}

static const tare_layer_class switchable_norm_class = { .name = "switchable_norm", .forward = forward };

tare_layer *tare_layer_switchable_norm(tare_params *ps, const char *name, int64_t channels,
                                       tare_layer_switchable_norm_opt opt) {
    switchable_norm *s = (switchable_norm *)tare_layer_new(ps, name, &switchable_norm_class, sizeof *s);
    if (!s || !tare__norm_layer_ok(&s->base, channels, opt.eps)) { return NULL; }
    if (!(opt.stat_update >= 0 && opt.stat_update <= 1)) {
        return tare_params_fail(
            ps, TARE_EINVAL, "switchable_norm \"%s\": stat_update is %g, the weight of the new batch: must lie in 0..1",
            s->base.name, opt.stat_update);
    }
    s->eps = opt.eps > 0 ? opt.eps : 1e-5;
    s->stat_update = opt.stat_update > 0 ? opt.stat_update : 0.1;
    s->gamma = tare__norm_vector(&s->base, "weight", channels, 1);
    s->beta = tare__norm_vector(&s->base, "bias", channels, 0);
    s->mean_weight = tare__norm_vector(&s->base, "mean_weight", 3, 1);
    s->var_weight = tare__norm_vector(&s->base, "var_weight", 3, 1);
    tare_params_push(ps, tare_layer_own_name(&s->base));
    s->mean = tare_buffer(ps, "running_mean", TARE_SHAPE(channels));
    s->var = tare_buffer(ps, "running_var", TARE_SHAPE(channels));
    tare_params_pop(ps);
    tare_init_constant(ps, s->var, 1);
    return tare_params_status(ps) ? NULL : &s->base;
}

/* ---- by spec ----------------------------------------------------------------------------------------------------- */

static tare_layer *make(tare_params *ps, const char *name, tare_shape features, const double *values) {
    return tare_layer_switchable_norm(ps, name, features.ndim ? features.dim[0] : 0,
                                      (tare_layer_switchable_norm_opt){ .eps = values[0], .stat_update = values[1] });
}

const tare_norm_kind tare__norm_switch = {
    .name = "switch",
    .title = "Switchable Norm",
    .over = "a learned mix: positions (in), the sample (ln), the batch (bn)",
    .uses_batch = true,
    .advice = "to find out which norm a convolutional net would like; slower than any of the three",
    .source = "Luo et al. 2019, arXiv:1806.10779",
    .options = { { .key = "eps", .initial = 1e-5, .lo = 1e-20, .hi = 1e20, .help = "added to the variance" },
                 { .key = "stat_update",
                   .initial = 0.1,
                   .lo = 1e-6,
                   .hi = 1,
                   .help = "weight of the new batch in the running statistics" } },
    .make = make,
};
