/* weight_norm.c - weight normalisation and weight standardisation: norms of each output's weights, made of existing ops. */
#include <tare/norms.h>

#include <math.h>

/* Outputs first, where the layer counts them along another dimension; and back. */
static tare_tensor *outputs_first(const tare_layer *layer, tare_tape *tape, tare_tensor *w) {
    return layer->out_dim && w ? tare_transpose(tape, w, 0, layer->out_dim) : w;
}

/* ---- w = g v / |v|  (Salimans & Kingma 2016, arXiv:1602.07868) ----------------------------------------------------- */

typedef struct weight_norm {
    tare_weight_transform base;
    tare_tensor *g; /* [out, 1, ...]: the length of each output's weights */
} weight_norm;

static tare_tensor *apply_norm(tare_weight_transform *self, tare_layer *layer, tare_tape *tape, tare_tensor *weight) {
    const weight_norm *wn = (const weight_norm *)self;
    tare_tensor *v = outputs_first(layer, tape, weight);
    if (!v) { return NULL; }
    /* v / |v| is the root-mean-square norm over sqrt(values) */
    int64_t values = v->numel / v->shape.dim[0];
    tare_tensor *direction =
        tare_rms_norm(tape, v, NULL, (tare_rms_norm_opt){ .dims = v->shape.ndim - 1, .eps = 1e-20 });
    return outputs_first(layer, tape, tare_mul(tape, direction, tare_scale(tape, wn->g, 1 / sqrt((double)values))));
}

static void fill_lengths(const tare_layer *layer, tare_tensor *g) {
    const tare_tensor *w = layer->weight;
    int64_t inner = 1, rows = w->shape.dim[layer->out_dim];
    for (int d = layer->out_dim + 1; d < w->shape.ndim; d++) { inner *= w->shape.dim[d]; }
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0;
        for (int64_t i = 0; i < w->numel; i++) {
            if (i / inner % rows == r) { sum += (double)w->data[i] * (double)w->data[i]; }
        }
        g->data[r] = (tare_real)sqrt(sum);
    }
}

tare_status tare_weight_norm(tare_layer *layer) {
    if (!layer) { return TARE_ENOMEM; }
    tare_params *ps = layer->params;
    weight_norm *wn = tare_params_own(ps, tare_calloc(1, sizeof *wn));
    if (!wn) { return tare_params_status(ps); }
    wn->base = (tare_weight_transform){ .name = "weight norm", .apply = apply_norm };
    tare_status status = tare_layer_add_transform(layer, &wn->base);
    if (status) { return status; }
    tare_shape shape = { .ndim = layer->weight->shape.ndim,
                         .dim = { layer->weight->shape.dim[layer->out_dim], 1, 1, 1, 1, 1 } };
    tare_params_push(ps, tare_layer_own_name(layer));
    wn->g = tare_param(ps, "weight_g", shape, TARE_NO_DECAY);
    tare_params_pop(ps);
    if (!wn->g) { return tare_params_status(ps); }
    fill_lengths(layer, wn->g); /* to begin with, the weight is what it was */
    return TARE_OK;
}

/* ---- each output's weights to mean 0 and variance 1  (Qiao et al. 2019, arXiv:1903.10520) --------------------------- */

typedef struct weight_standardize {
    tare_weight_transform base;
    double eps;
} weight_standardize;

static tare_tensor *apply_standardize(tare_weight_transform *self, tare_layer *layer, tare_tape *tape,
                                      tare_tensor *weight) {
    tare_tensor *w = outputs_first(layer, tape, weight);
    if (!w) { return NULL; }
    double eps = ((const weight_standardize *)self)->eps;
    w = tare_layer_norm(tape, w, NULL, NULL, (tare_layer_norm_opt){ .dims = w->shape.ndim - 1, .eps = eps });
    return outputs_first(layer, tape, w);
}

tare_status tare_weight_standardize(tare_layer *layer, tare_weight_standardize_opt opt) {
    if (!layer) { return TARE_ENOMEM; }
    if (!(opt.eps >= 0)) {
        tare_params_fail(layer->params, TARE_EINVAL,
                         "weight standardisation of \"%s\": eps is %g, must be positive (0: 1e-5)", layer->name,
                         opt.eps);
        return TARE_EINVAL;
    }
    weight_standardize *ws = tare_params_own(layer->params, tare_calloc(1, sizeof *ws));
    if (!ws) { return tare_params_status(layer->params); }
    *ws = (weight_standardize){ .base = { .name = "weight standardisation", .apply = apply_standardize },
                                .eps = opt.eps };
    return tare_layer_add_transform(layer, &ws->base);
}
