/* mynorm.c - a norm that Tare does not have: y = s x with s = 1 / (mean |x| + 1e-5), over the features of a sample. */
#include <tare/tare.h>

#include <math.h>

static tare_status check(tare_node *n) { /* x [N,...] -> y of the same shape */
    n->shape = n->in[0]->shape;
    n->saved_bytes = (size_t)n->shape.dim[0] * sizeof(double); /* the s of each sample */
    return n->shape.ndim > 1 ? TARE_OK : tare_node_fail(n, TARE_ESHAPE, "x needs a dimension beside the batch");
}

static void forward(tare_node *n) {
    int64_t size = n->out->numel / n->shape.dim[0];
    for (int64_t i = 0; i < n->shape.dim[0]; i++) {
        const tare_real *x = n->in[0]->data + i * size;
        double sum = 0;
        for (int64_t k = 0; k < size; k++) { sum += fabs((double)x[k]); }
        double s = 1 / (sum / (double)size + 1e-5);
        if (n->grad) { ((double *)n->saved)[i] = s; }
        for (int64_t k = 0; k < size; k++) { n->out->data[i * size + k] = (tare_real)(x[k] * s); }
    }
}

static void backward(tare_node *n) { /* dx += s dy - s^2 sign(x) mean(dy x) */
    int64_t size = n->out->numel / n->shape.dim[0];
    for (int64_t i = 0; i < n->shape.dim[0]; i++) {
        const tare_real *x = n->in[0]->data + i * size, *dy = n->out->grad + i * size;
        double s = ((const double *)n->saved)[i], dot = 0;
        for (int64_t k = 0; k < size; k++) { dot += (double)dy[k] * (double)x[k] / (double)size; }
        tare_real *dx = tare_grad(n, 0) + i * size;
        for (int64_t k = 0; k < size; k++) { dx[k] += (tare_real)(s * dy[k] - s * s * dot * copysign(1, x[k])); }
    }
}

#define AWAY .fill = { { TARE_FILL_AWAY, 0.1, 0 } } /* |x| has a kink at 0, where differences mean nothing */
static const tare_opcase cases[] = { { .name = "features", .in = { { 2, { 3, 7 } } }, AWAY },
                                     { .name = "images", .in = { { 4, { 2, 3, 4, 5 } } }, AWAY },
                                     { .name = NULL } };
static const tare_op op = { "mynorm", 1, 0, 0, 0, TARE_READS_IN(0), check, forward, backward, cases };

static tare_tensor *mynorm(tare_tape *tape, tare_tensor *x) { return tare_apply(tape, &op, &x, 1, NULL); }
static tare_layer *make(tare_params *ps, const char *name, tare_shape features, const double *values) {
    return (void)features, (void)values, tare_layer_function(ps, name, mynorm);
}
static const tare_norm_kind kind = {
    .name = "mynorm", .title = "MyNorm", .over = "all features of a sample", .make = make
};
TARE_PLUGIN(.name = "mynorm", .ops = (const tare_op *const[]){ &op, NULL },
            .norms = (const tare_norm_kind *const[]){ &kind, NULL });
