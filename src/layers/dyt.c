/* dyt.c - dynamic tanh: what a transformer can have in place of a norm. Made of ops.   Zhu et al. 2025, arXiv:2503.10622 */
#include "norm_spec.h"
#include "planes.h"

tare_tensor *tare_dyt(tare_tape *t, tare_tensor *x, tare_tensor *alpha, tare_tensor *gamma, tare_tensor *beta) {
    if (!x) { return NULL; }
    tare_tensor *y = tare_mul(t, x, alpha);
    y = tare__use_up(t, y, tare_tanh(t, y));
    if (gamma) { y = tare__use_up(t, y, tare_mul(t, y, gamma)); }
    return beta ? tare__use_up(t, y, tare_add(t, y, beta)) : y;
}

/* ---- layer ------------------------------------------------------------------------------------------------------- */

typedef struct dyt {
    tare_layer base;
    tare_tensor *alpha, *gamma, *beta; /* [1], [C], [C]; gamma and beta may be NULL */
    tare_shape by_channel;             /* [C,1,...]: as they meet x */
} dyt;

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    const dyt *d = (const dyt *)self;
    int64_t channels = d->by_channel.dim[0];
    int at = x->shape.ndim - d->by_channel.ndim;
    if (at < 0 || x->shape.dim[at] != channels) {
        tare_shape_buf buf, want;
        return tare_tape_fail(tape, TARE_ESHAPE, "dyt \"%s\": x %s must end in dimensions as %s", self->name,
                              tare_shape_text(x->shape, &buf), tare_shape_text(d->by_channel, &want));
    }
    tare_tensor *gamma = d->gamma ? tare_reshape(tape, d->gamma, d->by_channel) : NULL;
    tare_tensor *beta = d->beta ? tare_reshape(tape, d->beta, d->by_channel) : NULL;
    return tare_dyt(tape, x, d->alpha, gamma, beta);
}

static const tare_layer_class dyt_class = { .name = "dyt", .forward = forward };

tare_layer *tare_layer_dyt(tare_params *ps, const char *name, tare_shape features, tare_layer_dyt_opt opt) {
    dyt *d = (dyt *)tare_layer_new(ps, name, &dyt_class, sizeof *d);
    int64_t channels = features.ndim ? features.dim[0] : 0;
    if (!d || !tare__norm_layer_ok(&d->base, channels, 0)) { return NULL; }
    d->by_channel = features;
    for (int i = 1; i < features.ndim; i++) { d->by_channel.dim[i] = 1; }
    d->alpha = tare__norm_vector(&d->base, "alpha", 1, opt.alpha != 0 ? opt.alpha : 0.5);
    if (!opt.no_affine) {
        d->gamma = tare__norm_vector(&d->base, "weight", channels, 1);
        d->beta = tare__norm_vector(&d->base, "bias", channels, 0);
    }
    return tare_params_status(ps) ? NULL : &d->base;
}

/* ---- by spec ----------------------------------------------------------------------------------------------------- */

static tare_layer *make(tare_params *ps, const char *name, tare_shape features, const double *values) {
    return tare_layer_dyt(ps, name, features, (tare_layer_dyt_opt){ .alpha = values[0], .no_affine = values[1] == 0 });
}

const tare_norm_kind tare__norm_dyt = {
    .name = "dyt",
    .title = "DyT",
    .over = "nothing: a learned tanh of each value takes a norm's place",
    .advice = "transformers, where statistics are a cost; set alpha with care, and not in convolutional nets",
    .source = "Zhu et al. 2025, arXiv:2503.10622",
    .options = { { .key = "alpha", .initial = 0.5, .lo = 1e-6, .hi = 1e6, .help = "the slope to begin with" },
                 { .key = "affine", .initial = 1, .lo = 1, .words = "no|yes", .help = "learn a scale and a shift" } },
    .make = make,
};
