/* layer_norm.c - layer normalisation as a layer. */
#include <tare/norms.h>

#include <stdio.h>

typedef struct layer_norm {
    tare_layer base;
    tare_tensor *gamma, *beta; /* NULL: 1 and 0 */
    tare_shape features;
    tare_layer_norm_opt opt;
} layer_norm;

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    const layer_norm *ln = (const layer_norm *)self;
    return tare_layer_norm(tape, x, ln->gamma, ln->beta, ln->opt);
}

static void describe(const tare_layer *self, char *text, size_t size) {
    const layer_norm *ln = (const layer_norm *)self;
    tare_shape_buf buf;
    if (ln->opt.channels) {
        snprintf(text, size, "over channels");
    } else {
        snprintf(text, size, "over %s", tare_shape_text(ln->features, &buf));
    }
}

static const tare_layer_class layer_norm_class = { .name = "layer_norm", .forward = forward, .describe = describe };

tare_layer *tare_layer_layer_norm(tare_params *ps, const char *name, tare_shape features,
                                  tare_layer_layer_norm_opt opt) {
    if (!name) { name = layer_norm_class.name; }
    layer_norm *ln = (layer_norm *)tare_layer_new(ps, name, &layer_norm_class, sizeof *ln);
    tare_shape_buf buf;
    if (!ln) { return NULL; }
    if (!(opt.eps >= 0)) {
        return tare_params_fail(ps, TARE_EINVAL, "layer_norm \"%s\": eps is %g, must be positive (0: 1e-5)",
                                ln->base.name, opt.eps);
    }
    if (features.ndim < 1 || tare_shape_numel(features) < 1 || (opt.channels && features.ndim != 1)) {
        return tare_params_fail(ps, TARE_EINVAL, "layer_norm \"%s\": cannot normalise over features %s%s",
                                ln->base.name, tare_shape_text(features, &buf),
                                opt.channels ? ": over channels it must be [C]" : "");
    }
    ln->features = features;
    ln->opt = (tare_layer_norm_opt){ .dims = features.ndim, .channels = opt.channels, .eps = opt.eps };
    if (opt.no_affine) { return &ln->base; }
    tare_params_push(ps, name);
    ln->gamma = tare_param(ps, "weight", features, TARE_NO_DECAY);
    ln->beta = tare_param(ps, "bias", features, TARE_NO_DECAY);
    tare_params_pop(ps);
    tare_init_constant(ps, ln->gamma, 1);
    return tare_params_status(ps) ? NULL : &ln->base;
}
