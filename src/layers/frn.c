/* frn.c - filter response norm with its thresholded linear unit. Made of ops.   Singh & Krishnan 2020, arXiv:1911.09737 */
#include "norm_spec.h"
#include "planes.h"

tare_tensor *tare_frn(tare_tape *t, tare_tensor *x, tare_tensor *gamma, tare_tensor *beta, tare_tensor *tau,
                      double eps) {
    tare__planes p;
    if (!tare__planes_of(t, "frn", x, &p) || !tare__planes_fits(t, &p, "gamma", gamma) ||
        !tare__planes_fits(t, &p, "beta", beta) || !tare__planes_fits(t, &p, "tau", tau)) {
        return NULL;
    }
    tare_tensor *y = tare_rms_norm(t, p.x, NULL, (tare_rms_norm_opt){ .dims = 1, .eps = eps > 0 ? eps : 1e-6 });
    /* max(z + beta, tau) = relu(z + (beta - tau)) + tau */
    if (tau) { beta = beta ? tare_sub(t, beta, tau) : tare_scale(t, tau, -1); }
    y = tare__planes_affine(t, &p, y, gamma, beta);
    if (tau) { y = tare__planes_affine(t, &p, tare__use_up(t, y, tare_relu(t, y)), NULL, tau); }
    return tare__planes_back(t, &p, y);
}

/* ---- layer ------------------------------------------------------------------------------------------------------- */

typedef struct frn {
    tare_layer base;
    tare_tensor *gamma, *beta, *tau; /* tau NULL: no threshold */
    double eps;
} frn;

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    const frn *f = (const frn *)self;
    return tare_frn(tape, x, f->gamma, f->beta, f->tau, f->eps);
}

static const tare_layer_class frn_class = { .name = "frn", .forward = forward };

tare_layer *tare_layer_frn(tare_params *ps, const char *name, int64_t channels, tare_layer_frn_opt opt) {
    frn *f = (frn *)tare_layer_new(ps, name, &frn_class, sizeof *f);
    if (!f || !tare__norm_layer_ok(&f->base, channels, opt.eps)) { return NULL; }
    f->eps = opt.eps;
    f->gamma = tare__norm_vector(&f->base, "weight", channels, 1);
    f->beta = tare__norm_vector(&f->base, "bias", channels, 0);
    if (!opt.no_threshold) { f->tau = tare__norm_vector(&f->base, "tau", channels, 0); }
    return tare_params_status(ps) ? NULL : &f->base;
}

/* ---- by spec ----------------------------------------------------------------------------------------------------- */

static tare_layer *make(tare_params *ps, const char *name, tare_shape features, const double *values) {
    return tare_layer_frn(ps, name, features.ndim ? features.dim[0] : 0,
                          (tare_layer_frn_opt){ .eps = values[0], .no_threshold = values[1] == 0 });
}

const tare_norm_kind tare__norm_frn = {
    .name = "frn",
    .title = "Filter Response Norm",
    .over = "all positions, for each sample and channel, whose mean it leaves",
    .advice = "convolutional nets with tiny batches, in place of bn and ReLU both; not on 1x1 images",
    .source = "Singh & Krishnan 2020, arXiv:1911.09737",
    .options = { { .key = "eps", .initial = 1e-6, .lo = 1e-20, .hi = 1e20, .help = "added to the mean square" },
                 { .key = "tlu",
                   .initial = 1,
                   .lo = 1,
                   .words = "no|yes",
                   .help = "learn the threshold that follows" } },
    .make = make,
};
