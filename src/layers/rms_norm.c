/* rms_norm.c - RMS normalisation as a layer. */
#include <tare/norms.h>

typedef struct rms_norm {
    tare_layer base;
    tare_tensor *gamma; /* NULL: 1 */
    tare_rms_norm_opt opt;
} rms_norm;

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    const rms_norm *rms = (const rms_norm *)self;
    return tare_rms_norm(tape, x, rms->gamma, rms->opt);
}

static const tare_layer_class rms_norm_class = { .name = "rms_norm", .forward = forward };

tare_layer *tare_layer_rms_norm(tare_params *ps, const char *name, tare_shape features, tare_layer_rms_norm_opt opt) {
    if (!name) { name = rms_norm_class.name; }
    rms_norm *rms = (rms_norm *)tare_layer_new(ps, name, &rms_norm_class, sizeof *rms);
    tare_shape_buf buf;
    if (!rms) { return NULL; }
    if (features.ndim < 1 || tare_shape_numel(features) < 1 || !(opt.eps >= 0)) {
        return tare_params_fail(ps, TARE_EINVAL, "rms_norm \"%s\": cannot normalise over features %s with eps %g",
                                rms->base.name, tare_shape_text(features, &buf), opt.eps);
    }
    rms->opt = (tare_rms_norm_opt){ .dims = features.ndim, .eps = opt.eps };
    if (opt.no_affine) { return &rms->base; }
    tare_params_push(ps, name);
    rms->gamma = tare_param(ps, "weight", features, TARE_NO_DECAY);
    tare_params_pop(ps);
    tare_init_constant(ps, rms->gamma, 1);
    return tare_params_status(ps) ? NULL : &rms->base;
}
