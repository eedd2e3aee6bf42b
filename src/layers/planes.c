/* planes.c - what the norms made of ops share. */
#include "planes.h"

#include <inttypes.h>
#include <string.h>

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

bool tare__planes_fits(tare_tape *t, const tare__planes *p, const char *what, const tare_tensor *w) {
    if (!w || tare_shape_equal(w->shape, TARE_SHAPE(p->channels))) { return true; }
    tare_shape_buf got, must, x;
    tare_tape_fail(t, TARE_ESHAPE, "%s \"%s\": %s is %s, must be %s for x %s", p->norm, layer_of(t), what,
                   tare_shape_text(w->shape, &got), tare_shape_text(TARE_SHAPE(p->channels), &must),
                   tare_shape_text(p->shape, &x));
    return false;
}

/* Zeros of the shape [n]. */
static tare_tensor *zeros(tare_tape *t, int64_t n) {
    tare_tensor *x = tare_input(t, TARE_SHAPE(n), NULL);
    if (x) { memset(x->data, 0, (size_t)x->numel * sizeof *x->data); }
    return x;
}

/* Batch norm by statistics of 0 with eps 1 is the plain affine map, in one pass each way. */
tare_tensor *tare__planes_affine(tare_tape *t, const tare__planes *p, tare_tensor *y, tare_tensor *gamma,
                                 tare_tensor *beta) {
    if (!y || (!gamma && !beta)) { return y; }
    int64_t rows = gamma ? gamma->numel : p->channels; /* C, or N C: for each channel of each sample */
    if (rows == 0) { return y; }
    tare_tensor *planes = tare_reshape(t, y, TARE_SHAPE(p->shape.dim[0] * p->channels / rows, rows, p->positions));
    tare_tensor *z = zeros(t, rows);
    if (gamma) { gamma = tare_reshape(t, gamma, TARE_SHAPE(rows)); }
    if (beta && beta->numel < rows) { /* the same shift in every sample */
        beta = tare_add(t, tare_reshape(t, z, TARE_SHAPE(rows / p->channels, p->channels)),
                        tare_reshape(t, beta, TARE_SHAPE(p->channels)));
    }
    if (beta) { beta = tare_reshape(t, beta, TARE_SHAPE(rows)); }
    if (tare_tape_status(t)) { return NULL; }
    tare_batch_norm_opt opt = { .eps = 1, .use_stats = true, .keep_stats = true };
    tare_tensor *out = tare_batch_norm(t, planes, gamma, beta, z, z, opt);
    if (y != p->x) { tare_release(t, y); }
    return out ? tare_reshape(t, out, p->x->shape) : NULL;
}

tare_tensor *tare__planes_back(tare_tape *t, const tare__planes *p, tare_tensor *y) {
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
