/* grn.c - global response norm: channels compete by their share of the response. Made of ops.
 * Woo et al. 2023, arXiv:2301.00808 (ConvNeXt V2), section 3.2 */
#include "norm_spec.h"
#include "planes.h"

#include <math.h>

/* The length of each plane, [N,C,1]: mean(x x-hat) is its root mean square, where x-hat is x over that. A square root would
 * have no slope at a plane of zeros; this has slope 0 there, and 1e30 does not overflow. */
static tare_tensor *lengths(tare_tape *t, const tare__planes *p) {
    tare_tensor *hat = tare_rms_norm(t, p->x, NULL, (tare_rms_norm_opt){ .dims = 1, .eps = 1e-30 });
    tare_tensor *products = tare__use_up(t, hat, tare_mul(t, p->x, hat));
    tare_tensor *rms = tare__use_up(t, products, tare_mean(t, products, TARE_DIM(2), true));
    return tare_scale(t, rms, sqrt((double)p->positions));
}

/* A number as a tensor. */
static tare_tensor *number(tare_tape *t, double value) {
    tare_tensor *x = tare_input(t, TARE_SHAPE(1), NULL);
    if (x) { x->data[0] = (tare_real)value; }
    return x;
}

tare_tensor *tare_grn(tare_tape *t, tare_tensor *x, tare_tensor *gamma, tare_tensor *beta, double eps) {
    tare__planes p;
    if (!tare__planes_of(t, "grn", x, &p) || !tare__planes_fits(t, &p, "gamma", gamma) ||
        !tare__planes_fits(t, &p, "beta", beta)) {
        return NULL;
    }
    tare_tensor *g = lengths(t, &p), *least = number(t, eps > 0 ? eps : 1e-6);
    tare_tensor *share = tare_div(t, g, tare_add(t, tare_mean(t, g, TARE_DIM(1), true), least)); /* [N,C,1] */
    if (gamma) { share = tare_mul(t, share, tare_reshape(t, gamma, TARE_SHAPE(p.channels, 1))); }
    share = tare_add(t, share, number(t, 1));
    return share ? tare__planes_back(t, &p, tare__planes_affine(t, &p, p.x, share, beta)) : NULL;
}

/* ---- layer ------------------------------------------------------------------------------------------------------- */

typedef struct grn {
    tare_layer base;
    tare_tensor *gamma, *beta;
    double eps;
} grn;

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    const grn *g = (const grn *)self;
    return tare_grn(tape, x, g->gamma, g->beta, g->eps);
}

static const tare_layer_class grn_class = { .name = "grn", .forward = forward };

tare_layer *tare_layer_grn(tare_params *ps, const char *name, int64_t channels, tare_layer_grn_opt opt) {
    grn *g = (grn *)tare_layer_new(ps, name, &grn_class, sizeof *g);
    if (!g || !tare__norm_layer_ok(&g->base, channels, opt.eps)) { return NULL; }
    g->eps = opt.eps;
    g->gamma = tare__norm_vector(&g->base, "weight", channels, 0); /* to begin with y = x */
    g->beta = tare__norm_vector(&g->base, "bias", channels, 0);
    return tare_params_status(ps) ? NULL : &g->base;
}

/* ---- by spec ----------------------------------------------------------------------------------------------------- */

static tare_layer *make(tare_params *ps, const char *name, tare_shape features, const double *values) {
    return tare_layer_grn(ps, name, features.ndim ? features.dim[0] : 0, (tare_layer_grn_opt){ .eps = values[0] });
}

const tare_norm_kind tare__norm_grn = {
    .name = "grn",
    .title = "Global Response Norm",
    .over = "the lengths of a sample's channels, by their mean",
    .advice = "after the wide layer of ConvNeXt blocks, beside ln; it divides no activations by their spread",
    .source = "Woo et al. 2023, arXiv:2301.00808",
    .options = { { .key = "eps", .initial = 1e-6, .lo = 1e-20, .hi = 1e20, .help = "added to the mean length" } },
    .make = make,
};
