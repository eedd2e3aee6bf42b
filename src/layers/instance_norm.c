/* instance_norm.c - instance normalisation as a layer: no running statistics, the same in training and evaluation. */
#include <tare/norms.h>

#include <inttypes.h>

typedef struct instance_norm {
    tare_layer base;
    tare_tensor *gamma, *beta; /* NULL: 1 and 0 */
    double eps;
} instance_norm;

static tare_tensor *forward_act(tare_layer *self, tare_tape *tape, tare_tensor *x, tare_act act) {
    const instance_norm *in = (const instance_norm *)self;
    return tare_instance_norm(tape, x, in->gamma, in->beta, (tare_instance_norm_opt){ .eps = in->eps, .act = act });
}

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    return forward_act(self, tape, x, (tare_act){ TARE_ACT_NONE, 0 });
}

static const tare_layer_class instance_norm_class = { .name = "instance_norm",
                                                      .forward = forward,
                                                      .forward_act = forward_act };

tare_layer *tare_layer_instance_norm(tare_params *ps, const char *name, int64_t channels,
                                     tare_layer_instance_norm_opt opt) {
    if (!name) { name = instance_norm_class.name; }
    instance_norm *in = (instance_norm *)tare_layer_new(ps, name, &instance_norm_class, sizeof *in);
    if (!in) { return NULL; }
    if (channels < 1 || !(opt.eps >= 0)) {
        return tare_params_fail(ps, TARE_EINVAL,
                                "instance_norm \"%s\": %" PRId64 " channels, eps %g: both must be positive",
                                in->base.name, channels, opt.eps);
    }
    in->eps = opt.eps;
    if (opt.no_affine) { return &in->base; }
    tare_params_push(ps, name);
    in->gamma = tare_param(ps, "weight", TARE_SHAPE(channels), TARE_NO_DECAY);
    in->beta = tare_param(ps, "bias", TARE_SHAPE(channels), TARE_NO_DECAY);
    tare_params_pop(ps);
    tare_init_constant(ps, in->gamma, 1);
    return tare_params_status(ps) ? NULL : &in->base;
}
