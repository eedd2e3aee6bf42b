/* norm.c - what the normalisation ops share. */
#include "norm.h"

#include <inttypes.h>
#include <math.h>

tare_status tare__norm_check_count(tare_node *n, int64_t count, const char *per, const char *remedy) {
    if (count >= 2 || n->in[0]->numel == 0) { return TARE_OK; }
    tare_shape_buf buf;
    return tare_node_fail(n, TARE_ESHAPE, "x %s has 1 value per %s, and one value has no variance: %s",
                          tare_shape_text(n->in[0]->shape, &buf), per, remedy);
}

tare_status tare__norm_check_shape(tare_node *n, int i, const char *what, tare_shape shape) {
    if (i >= n->n_in || !n->in[i] || tare_shape_equal(n->in[i]->shape, shape)) { return TARE_OK; }
    tare_shape_buf x, got, want;
    return tare_node_fail(n, TARE_ESHAPE, "%s is %s, must be %s for x %s", what, tare_shape_text(n->in[i]->shape, &got),
                          tare_shape_text(shape, &want), tare_shape_text(n->in[0]->shape, &x));
}

tare_status tare__norm_check_eps(tare_node *n, double eps) {
    if (eps >= 0 && isfinite(eps)) { return TARE_OK; }
    return tare_node_fail(n, TARE_EINVAL, "eps is %g, must be positive (0: 1e-5)", eps);
}

tare_status tare__norm_check_act(tare_node *n, tare_act act) {
    if (act.kind != TARE_ACT_NONE && act.kind != TARE_ACT_RELU && act.kind != TARE_ACT_LEAKY_RELU) {
        return tare_node_fail(n, TARE_EINVAL, "act.kind is %d, no tare_act_kind", (int)act.kind);
    }
    if (act.kind == TARE_ACT_LEAKY_RELU && !isfinite(act.slope)) {
        return tare_node_fail(n, TARE_EINVAL, "act.slope is %g, must be finite", act.slope);
    }
    n->besides = act.kind != TARE_ACT_NONE;
    return TARE_OK;
}

void tare__norm_act(tare_act act, tare_real *y, int64_t rows, int64_t cols, int64_t stride) {
    const tare__kernel_table *k = tare__kernels();
    if (act.kind == TARE_ACT_NONE) { return; }
    for (int64_t r = 0; r < rows; r++, y += stride) {
        (act.kind == TARE_ACT_RELU ? k->relu : k->leaky_relu)(cols, (tare_real)act.slope, y, y);
    }
}

void tare__norm_act_back(tare_act act, tare_real *v, const tare_real *dy, int64_t rows, int64_t cols, int64_t stride) {
    const tare__kernel_table *k = tare__kernels();
    for (int64_t r = 0; r < rows; r++, v += stride, dy += stride) {
        (act.kind == TARE_ACT_RELU ? k->relu_back : k->leaky_relu_back)(cols, (tare_real)act.slope, v, dy, v, false);
    }
}

tare__norm_stat tare__norm_stat_of(double mean, double m2, int64_t count, double eps) {
    return (tare__norm_stat){ .mean = mean, .rstd = 1 / sqrt(m2 / (double)count + eps) };
}

tare__norm_back tare__norm_back_of(tare__norm_stat s, double sum, double dot, int64_t count) {
    return (tare__norm_back){ .q = (tare_real)(-s.rstd * (dot / (double)count)),
                              .t = (tare_real)(-s.rstd * (sum / (double)count)) };
}
