/* spectral_norm.c - a weight divided by its largest singular value, which power iteration follows from step to step.
 *
 * Miyato et al. 2018, arXiv:1802.05957. With u and v taken as constants sigma = u' W v, so the gradient through 1 / sigma comes
 * from ordinary ops; u and v are copied onto the tape, so that two forwards before one backward each keep their own.
 *
 * Of a convolution, plain or transposed, W may also be the operator on images of a given size: W v is what it makes of an image
 * and W'u what its backward does. */
#include "conv2d.h"

#include <tare/norms.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

typedef struct spectral_norm {
    tare_weight_transform base;
    tare_tensor *u, *v; /* singular vectors: [rows], [cols], or images [1,K,H',W'], [1,C,H,W] */
    bool conv;          /* of the convolution itself */
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

/* The part of row r that covers columns c .. c + inner - 1 lies together. */
static int64_t at(const matrix *m, int64_t r, int64_t c) { return (c / m->inner * m->rows + r) * m->inner; }

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
        for (int64_t c = 0; c < m->cols; c += m->inner) {
            const tare_real *w = m->data + at(m, r, c), scale = u->data[r];
            tare_real *to = v->data + c;
            for (int64_t i = 0; i < m->inner; i++) { to[i] += w[i] * scale; }
        }
    }
    normalise(v, eps);
    for (int64_t r = 0; r < m->rows; r++) {
        double sum = 0;
        for (int64_t c = 0; c < m->cols; c += m->inner) {
            const tare_real *w = m->data + at(m, r, c), *from = v->data + c;
#pragma omp simd reduction(+ : sum)
            for (int64_t i = 0; i < m->inner; i++) { sum += (double)w[i] * (double)from[i]; }
        }
        u->data[r] = (tare_real)sum;
    }
    normalise(u, eps);
}

/* Many steps at once: u = W W'u / |W W'u| by the small matrix W W', which costs rows / 16 steps or so to make. Returns how many
 * steps it has made; the last one is left, since it is what makes v. */
static int iterate_small(const matrix *m, tare_tape *tape, tare_tensor *u, int steps, double eps) {
    int64_t n = m->rows;
    if (m->inner != m->cols || n > m->cols || steps < 3 + n / 16) { return 0; }
    tare_tensor *small = tare_input(tape, TARE_SHAPE(n + 1, n), NULL);
    if (!small) { return 0; }
    tare_gemm(false, true, n, n, m->cols, 1, m->data, m->cols, m->data, m->cols, 0, small->data, n);
    for (int step = 0; step + 1 < steps; step++) {
        tare_real *next = small->data + n * n;
        for (int64_t r = 0; r < n; r++) {
            const tare_real *row = small->data + r * n;
            double sum = 0;
#pragma omp simd reduction(+ : sum)
            for (int64_t i = 0; i < n; i++) { sum += (double)row[i] * (double)u->data[i]; }
            next[r] = (tare_real)sum;
        }
        memcpy(u->data, next, (size_t)n * sizeof *next);
        normalise(u, eps);
    }
    tare_release(tape, small);
    return steps - 1;
}

/* ---- the convolution itself --------------------------------------------------------------------------------------- */

/* What the layer makes of images without its bias. */
static tare_tensor *respond(const tare_layer *layer, tare_tape *tape, tare_tensor *images, tare_tensor *weight) {
    const tare_conv2d_opt *conv = tare__conv2d_opt_of(layer);
    if (conv) { return tare_conv2d(tape, images, weight, NULL, *conv); }
    return tare_conv_transpose2d(tape, images, weight, NULL, *tare__conv_transpose2d_opt_of(layer));
}

/* Can the layer's weight be an operator on images? And how many channels have they? */
static bool takes_images(const tare_layer *layer) {
    return tare__conv2d_opt_of(layer) || tare__conv_transpose2d_opt_of(layer);
}

static int64_t image_channels(const tare_layer *layer) {
    const tare_conv2d_opt *conv = tare__conv2d_opt_of(layer);
    const int64_t *dim = layer->weight->shape.dim;
    return !conv ? dim[0] : dim[1] * (conv->groups ? conv->groups : 1);
}

/* u = W v / |W v|, v = W'u / |W'u|, on a tape of its own, since the caller's would go backward through it. */
static tare_status iterate_conv(const spectral_norm *sn, const tare_layer *layer, const tare_tensor *weight) {
    tare_tape *tape = tare_tape_new((tare_tape_opt){ 0 });
    if (!tape) { return TARE_ENOMEM; }
    tare_tensor *w = tare_input_view(tape, weight->shape, weight->data);
    tare_tensor *x = tare_input(tape, sn->v->shape, sn->v->data);
    if (x) { x->requires_grad = true; }
    tare_tensor *y = respond(layer, tape, x, w);
    tare_status status = x && y ? TARE_OK : tare_tape_status(tape);
    if (x && y) {
        memcpy(sn->u->data, y->data, (size_t)y->numel * sizeof *y->data);
        normalise(sn->u, sn->eps);
        status = tare_backward_from(tape, y, sn->u->data);
    }
    if (x && y && !status) {
        memcpy(sn->v->data, x->grad, (size_t)x->numel * sizeof *x->grad);
        normalise(sn->v, sn->eps);
    }
    tare_tape_free(tape);
    return status;
}

/* What the convolution makes of an image: shape and error come from the op, which knows. */
static tare_status conv_shape(const tare_layer *layer, tare_shape image, tare_shape *out) {
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .no_grad = true });
    if (!tape) { return tare_fail(TARE_ENOMEM, "no memory for a tape"); }
    tare_tensor *x = tare_input(tape, image, NULL);
    if (x) { memset(x->data, 0, (size_t)x->numel * sizeof *x->data); }
    tare_tensor *y = respond(layer, tape, x, tare_input_view(tape, layer->weight->shape, layer->weight->data));
    tare_status status = tare_tape_status(tape);
    if (y) { *out = y->shape; }
    if (status) { tare_fail(status, "%s", tare_tape_error(tape)); }
    tare_tape_free(tape);
    return status;
}

/* The sum of a times b, whose product nobody reads again. */
static tare_tensor *dot(tare_tape *tape, tare_tensor *a, tare_tensor *b) {
    tare_tensor *product = tare_mul(tape, a, b), *sum = tare_sum(tape, product, 0, false);
    tare_release(tape, product);
    return sum;
}

static tare_tensor *sigma_conv(const spectral_norm *sn, const tare_layer *layer, tare_tape *tape, tare_tensor *weight) {
    tare_tensor *u = tare_input(tape, sn->u->shape, sn->u->data), *v = tare_input(tape, sn->v->shape, sn->v->data);
    tare_tensor *response = respond(layer, tape, v, weight);
    return dot(tape, response, u);
}

/* ---- as a transform ----------------------------------------------------------------------------------------------- */

/* Where a row lies together W v is a product, which keeps v and no matrix for backward. */
static tare_tensor *sigma_rows(const spectral_norm *sn, const matrix *m, tare_tape *tape, tare_tensor *weight) {
    tare_tensor *u = tare_input(tape, TARE_SHAPE(1, m->rows), sn->u->data);
    tare_tensor *v = tare_input(tape, TARE_SHAPE(1, m->cols), sn->v->data);
    return dot(tape, tare_linear(tape, v, tare_reshape(tape, weight, TARE_SHAPE(m->rows, m->cols)), NULL), u);
}

static tare_tensor *sigma_matrix(const spectral_norm *sn, const matrix *m, tare_tape *tape, tare_tensor *weight) {
    if (m->inner == m->cols) { return sigma_rows(sn, m, tape, weight); }
    tare_tensor *uv = tare_input(tape, weight->shape, NULL);
    for (int64_t r = 0; uv && r < m->rows; r++) {
        for (int64_t c = 0; c < m->cols; c += m->inner) {
            tare_real *to = uv->data + at(m, r, c), scale = sn->u->data[r];
            for (int64_t i = 0; i < m->inner; i++) { to[i] = scale * sn->v->data[c + i]; }
        }
    }
    return dot(tape, weight, uv);
}

static tare_tensor *apply(tare_weight_transform *self, tare_layer *layer, tare_tape *tape, tare_tensor *weight) {
    const spectral_norm *sn = (const spectral_norm *)self;
    matrix m = matrix_of(layer);
    m.data = weight->data;
    bool move = tare_tape_training(tape) && !tare_params_frozen(layer->params) && !tare_tape_repeats(tape);
    int done = move && !sn->conv ? iterate_small(&m, tape, sn->u, sn->iterations, sn->eps) : 0;
    for (int i = done; move && i < sn->iterations; i++) {
        tare_status status = TARE_OK;
        if (sn->conv) {
            status = iterate_conv(sn, layer, weight);
        } else {
            iterate(&m, sn->u, sn->v, sn->eps);
        }
        if (status) {
            return tare_tape_fail(tape, status, "spectral norm of \"%s\": no step of the power method: %s", layer->name,
                                  tare_status_text(status));
        }
    }
    return tare_div(tape, weight, sn->conv ? sigma_conv(sn, layer, tape, weight) : sigma_matrix(sn, &m, tape, weight));
}

/* ---- made ------------------------------------------------------------------------------------------------------------ */

static bool options_ok(const tare_layer *layer, const tare_spectral_norm_opt *opt) {
    if (opt->iterations < 0 || !(opt->eps >= 0)) {
        tare_params_fail(layer->params, TARE_EINVAL,
                         "spectral norm of \"%s\": %d iterations, eps %g: both must be positive", layer->name,
                         opt->iterations, opt->eps);
    } else if (opt->height < 0 || opt->width < 0 || !opt->height != !opt->width) {
        tare_params_fail(layer->params, TARE_EINVAL,
                         "spectral norm of \"%s\": an image of %" PRId64 " x %" PRId64 ": give both sizes, or neither",
                         layer->name, opt->height, opt->width);
    }
    return tare_params_status(layer->params) == TARE_OK;
}

/* u and v of the right shapes; the one that an iteration starts from is random. */
static tare_status make_vectors(spectral_norm *sn, const tare_layer *layer, const tare_spectral_norm_opt *opt) {
    tare_params *ps = layer->params;
    matrix m = matrix_of(layer);
    tare_shape u = TARE_SHAPE(m.rows), v = TARE_SHAPE(m.cols);
    sn->conv = opt->height && takes_images(layer);
    if (sn->conv) {
        v = TARE_SHAPE(1, image_channels(layer), opt->height, opt->width);
        tare_status status = conv_shape(layer, v, &u);
        if (status) {
            tare_params_fail(ps, status, "spectral norm of \"%s\": %s", layer->name, tare_error());
            return status;
        }
    }
    tare_params_push(ps, tare_layer_own_name(layer));
    sn->u = tare_buffer(ps, "weight_u", u);
    sn->v = tare_buffer(ps, "weight_v", v);
    tare_params_pop(ps);
    if (tare_params_status(ps)) { return tare_params_status(ps); }
    tare_init_normal(ps, sn->conv ? sn->v : sn->u, 0, 1);
    normalise(sn->conv ? sn->v : sn->u, sn->eps);
    return TARE_OK;
}

/* So many steps make the vectors warm, so that evaluation before the first training step is right too. Of a convolution, whose
 * low frequencies are all much alike, more are needed. */
static tare_status warm_up(const spectral_norm *sn, const tare_layer *layer) {
    matrix m = matrix_of(layer);
    tare_status status = TARE_OK;
    for (int i = 0; !status && i < (sn->conv ? 50 : 15); i++) {
        if (sn->conv) {
            status = iterate_conv(sn, layer, layer->weight);
        } else {
            iterate(&m, sn->u, sn->v, sn->eps);
        }
    }
    if (status) {
        tare_params_fail(layer->params, status, "spectral norm of \"%s\": %s", layer->name, tare_status_text(status));
    }
    return status;
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
    if (!options_ok(layer, &opt)) { return tare_params_status(ps); }
    status = make_vectors(sn, layer, &opt);
    return status ? status : warm_up(sn, layer);
}
