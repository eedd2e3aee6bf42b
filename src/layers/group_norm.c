/* group_norm.c - group normalisation as a layer. */
#include <tare/norms.h>

#include <inttypes.h>
#include <stdio.h>

typedef struct group_norm {
    tare_layer base;
    tare_tensor *gamma, *beta; /* NULL: 1 and 0 */
    int64_t groups;
    double eps;
} group_norm;

static tare_tensor *forward_act(tare_layer *self, tare_tape *tape, tare_tensor *x, tare_act act) {
    const group_norm *gn = (const group_norm *)self;
    tare_group_norm_opt opt = { .groups = gn->groups, .eps = gn->eps, .act = act };
    return tare_group_norm(tape, x, gn->gamma, gn->beta, opt);
}

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    return forward_act(self, tape, x, (tare_act){ TARE_ACT_NONE, 0 });
}

static void describe(const tare_layer *self, char *text, size_t size) {
    int64_t groups = ((const group_norm *)self)->groups;
    snprintf(text, size, "%" PRId64 " group%s", groups, groups == 1 ? "" : "s");
}

static const tare_layer_class group_norm_class = {
    .name = "group_norm", .forward = forward, .describe = describe, .forward_act = forward_act
};

/* The largest divisor up to 32, the paper's choice. */
static int64_t groups_for(int64_t channels) {
    int64_t best = 1;
    for (int64_t g = 2; g <= 32; g++) {
        if (channels % g == 0) { best = g; }
    }
    return best;
}

static void *bad_groups(tare_params *ps, const tare_layer *layer, int64_t channels, int64_t groups) {
    char divisors[160] = "";
    size_t used = 0;
    for (int64_t d = 1; d <= channels && used + 24 < sizeof divisors; d++) {
        if (channels % d) { continue; }
        used += (size_t)snprintf(divisors + used, sizeof divisors - used, "%s%" PRId64, used ? ", " : "", d);
    }
    return tare_params_fail(ps, TARE_EINVAL,
                            "group_norm \"%s\": %" PRId64 " groups do not divide %" PRId64 " channels; these do: %s",
                            layer->name, groups, channels, divisors);
}

tare_layer *tare_layer_group_norm(tare_params *ps, const char *name, int64_t channels, tare_layer_group_norm_opt opt) {
    if (!name) { name = group_norm_class.name; }
    group_norm *gn = (group_norm *)tare_layer_new(ps, name, &group_norm_class, sizeof *gn);
    if (!gn) { return NULL; }
    if (channels < 1 || !(opt.eps >= 0)) {
        return tare_params_fail(ps, TARE_EINVAL,
                                "group_norm \"%s\": %" PRId64 " channels, eps %g: both must be positive", gn->base.name,
                                channels, opt.eps);
    }
    int64_t groups = opt.groups ? opt.groups : groups_for(channels);
    if (groups < 1 || channels % groups) { return bad_groups(ps, &gn->base, channels, groups); }
    gn->groups = groups;
    gn->eps = opt.eps;
    if (opt.no_affine) { return &gn->base; }
    tare_params_push(ps, name);
    gn->gamma = tare_param(ps, "weight", TARE_SHAPE(channels), TARE_NO_DECAY);
    gn->beta = tare_param(ps, "bias", TARE_SHAPE(channels), TARE_NO_DECAY);
    tare_params_pop(ps);
    tare_init_constant(ps, gn->gamma, 1);
    return tare_params_status(ps) ? NULL : &gn->base;
}
