/* planes.c - what the norms made of ops share. */
#include "planes.h"

#include <inttypes.h>

static const char *layer_of(tare_tape *t) {
    const char *name = tare_tape_layer_set(t, NULL);
    tare_tape_layer_set(t, name);
    return name ? name : "";
}

bool tare__planes_of(tare_tape *t, const char *norm, tare_tensor *x, tare__planes *out) {
    if (!x) { return false; }
    *out = (tare__planes){ .norm = norm, .shape = x->shape, .channels = x->shape.dim[1], .positions = 1 };
    if (x->shape.ndim < 2) {
        tare_shape_buf buf;
        tare_tape_fail(t, TARE_ESHAPE, "%s \"%s\": x %s must be [N,C,...]", norm, layer_of(t),
                       tare_shape_text(x->shape, &buf));
        return false;
    }
    for (int d = 2; d < x->shape.ndim; d++) { out->positions *= x->shape.dim[d]; }
    out->x = tare_reshape(t, x, TARE_SHAPE(x->shape.dim[0], out->channels, out->positions));
    return out->x != NULL;
}

tare_tensor *tare__planes_scale(tare_tape *t, const tare__planes *p, const char *what, tare_tensor *w, bool each) {
    if (!w) { return NULL; }
    int64_t samples = p->shape.dim[0];
    tare_shape want = each ? TARE_SHAPE(samples, p->channels) : TARE_SHAPE(p->channels);
    if (!tare_shape_equal(w->shape, want)) {
        tare_shape_buf got, must, x;
        return tare_tape_fail(t, TARE_ESHAPE, "%s \"%s\": %s is %s, must be %s for x %s", p->norm, layer_of(t), what,
                              tare_shape_text(w->shape, &got), tare_shape_text(want, &must),
                              tare_shape_text(p->shape, &x));
    }
    return tare_reshape(t, w, each ? TARE_SHAPE(samples, p->channels, 1) : TARE_SHAPE(p->channels, 1));
}

tare_tensor *tare__planes_affine(tare_tape *t, const tare__planes *p, tare_tensor *y, tare_tensor *gamma,
                                 tare_tensor *beta, bool each) {
    if (gamma) { y = tare__use_up(t, y, tare_mul(t, y, tare__planes_scale(t, p, "gamma", gamma, each))); }
    if (beta) { y = tare__use_up(t, y, tare_add(t, y, tare__planes_scale(t, p, "beta", beta, each))); }
    return y ? tare_reshape(t, y, p->shape) : NULL;
}

bool tare__norm_layer_ok(const tare_layer *layer, int64_t channels, double eps) {
    if (channels < 1 || !(eps >= 0)) {
        tare_params_fail(layer->params, TARE_EINVAL, "%s \"%s\": %" PRId64 " channels, eps %g: both must be positive",
                         layer->cls->name, layer->name, channels, eps);
    }
    return tare_params_status(layer->params) == TARE_OK;
}

tare_tensor *tare__norm_vector(tare_layer *layer, const char *name, int64_t size, double value) {
    tare_params_push(layer->params, tare_layer_own_name(layer));
    tare_tensor *w = tare_param(layer->params, name, TARE_SHAPE(size), TARE_NO_DECAY);
    tare_params_pop(layer->params);
    tare_init_constant(layer->params, w, value);
    return w;
}
