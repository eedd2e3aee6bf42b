/* spectral_norm.c - a weight divided by its largest singular value, which power iteration follows from step to step.
 *
 * Miyato et al. 2018, arXiv:1802.05957. With u and v taken as constants sigma = u' W v, so the gradient through 1 / sigma comes
 * from ordinary ops; u v' is copied onto the tape, so that two forwards before one backward each keep their own. */
#include <tare/norms.h>

#include <math.h>

typedef struct spectral_norm {
    tare_weight_transform base;
    tare_tensor *u, *v; /* singular vectors: [rows], [cols] */
    int iterations;
    double eps;
} spectral_norm;

/* The weight as a matrix whose rows are outputs: element i lies in this row and column. `inner` is what one step along the
 * output dimension skips. */
typedef struct matrix {
    const tare_real *data;
    int64_t rows, cols, inner;
} matrix;

static matrix matrix_of(const tare_layer *layer) {
    const tare_tensor *w = layer->weight;
    matrix m = { .data = w->data, .rows = w->shape.dim[layer->out_dim], .inner = 1 };
    m.cols = w->numel / m.rows;
    for (int d = layer->out_dim + 1; d < w->shape.ndim; d++) { m.inner *= w->shape.dim[d]; }
    return m;
}

/* Where row r, column c lies. */
static int64_t at(const matrix *m, int64_t r, int64_t c) {
    return (c / m->inner * m->rows + r) * m->inner + c % m->inner;
}

static void normalise(tare_tensor *x, double eps) {
    double sum = 0;
    for (int64_t i = 0; i < x->numel; i++) { sum += (double)x->data[i] * (double)x->data[i]; }
    double scale = 1 / fmax(sqrt(sum), eps);
    for (int64_t i = 0; i < x->numel; i++) { x->data[i] = (tare_real)((double)x->data[i] * scale); }
}

/* v = W'u / |W'u|, u = W v / |W v| */
static void iterate(const matrix *m, tare_tensor *u, tare_tensor *v, double eps) {
    for (int64_t c = 0; c < m->cols; c++) { v->data[c] = 0; }
    for (int64_t r = 0; r < m->rows; r++) {
        for (int64_t c = 0; c < m->cols; c++) { v->data[c] += m->data[at(m, r, c)] * u->data[r]; }
    }
    normalise(v, eps);
    for (int64_t r = 0; r < m->rows; r++) {
        double sum = 0;
        for (int64_t c = 0; c < m->cols; c++) { sum += (double)m->data[at(m, r, c)] * (double)v->data[c]; }
        u->data[r] = (tare_real)sum;
    }
    normalise(u, eps);
}

static tare_tensor *apply(tare_weight_transform *self, tare_layer *layer, tare_tape *tape, tare_tensor *weight) {
    const spectral_norm *sn = (const spectral_norm *)self;
    matrix m = matrix_of(layer);
    m.data = weight->data;
    if (tare_tape_training(tape) && !tare_params_frozen(layer->params)) {
        for (int i = 0; i < sn->iterations; i++) { iterate(&m, sn->u, sn->v, sn->eps); }
    }
    tare_tensor *uv = tare_input(tape, weight->shape, NULL);
    for (int64_t r = 0; uv && r < m.rows; r++) {
        for (int64_t c = 0; c < m.cols; c++) { uv->data[at(&m, r, c)] = sn->u->data[r] * sn->v->data[c]; }
    }
    return tare_div(tape, weight, tare_sum(tape, tare_mul(tape, weight, uv), 0, false));
}

tare_status tare_spectral_norm(tare_layer *layer, tare_spectral_norm_opt opt) {
    if (!layer) { return TARE_ENOMEM; }
    tare_params *ps = layer->params;
    spectral_norm *sn = tare_params_own(ps, tare_calloc(1, sizeof *sn));
    if (!sn) { return tare_params_status(ps); }
    *sn = (spectral_norm){ .base = { .name = "spectral norm", .apply = apply },
                           .iterations = opt.iterations ? opt.iterations : 1,
                           .eps = opt.eps > 0 ? opt.eps : 1e-12 };
    tare_status status = tare_layer_add_transform(layer, &sn->base);
    if (status) { return status; }
    if (sn->iterations < 1 || !(opt.eps >= 0)) {
        tare_params_fail(ps, TARE_EINVAL, "spectral norm of \"%s\": %d iterations, eps %g: both must be positive",
                         layer->name, opt.iterations, opt.eps);
        return TARE_EINVAL;
    }
    matrix m = matrix_of(layer);
    tare_params_push(ps, tare_layer_own_name(layer));
    sn->u = tare_buffer(ps, "weight_u", TARE_SHAPE(m.rows));
    sn->v = tare_buffer(ps, "weight_v", TARE_SHAPE(m.cols));
    tare_params_pop(ps);
    if (tare_params_status(ps)) { return tare_params_status(ps); }
    tare_init_normal(ps, sn->u, 0, 1);
    normalise(sn->u, sn->eps);
    /* warm, so that evaluation before the first training step is right too */
    for (int i = 0; i < 15; i++) { iterate(&m, sn->u, sn->v, sn->eps); }
    return TARE_OK;
}
