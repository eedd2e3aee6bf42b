/* norm.h - what the normalisation ops share: checks, and the one way from moments to mean and rstd. */
#ifndef TARE_OPS_NORM_H
#define TARE_OPS_NORM_H

#include <tare/norms.h>

#include "../kernels/norm.h"
#include "common.h"

/* ---- checks ------------------------------------------------------------------------------------------------------ */

/* tare__norm_check_count - one value has no variance: normalised it would be 0 whatever it is. `per` says of what ("channel"),
 * `remedy` what the user can do. The only place where this is decided. */
tare_status tare__norm_check_count(tare_node *n, int64_t count, const char *per, const char *remedy);
/* Input i, if it is there, has this shape. */
tare_status tare__norm_check_shape(tare_node *n, int i, const char *what, tare_shape shape);
/* eps is 0 (the default) or more; and, where statistics are taken from data, the default makes it positive. */
tare_status tare__norm_check_eps(tare_node *n, double eps);

static inline double tare__norm_eps(double eps) { return eps > 0 ? eps : 1e-5; }

/* ---- an activation behind ------------------------------------------------------------------------------------------ */

/* Is it one? Then the node does another op's work besides its own. */
tare_status tare__norm_check_act(tare_node *n, tare_act act);

/* In place, for those kernels that have no activation of their own: rows x cols values, rows `stride` apart. */
void tare__norm_act(tare_act act, tare_real *y, int64_t rows, int64_t cols, int64_t stride);
/* v, what the activation took, becomes the gradient before it; dy is the one behind. */
void tare__norm_act_back(tare_act act, tare_real *v, const tare_real *dy, int64_t rows, int64_t cols, int64_t stride);

/* ---- statistics -------------------------------------------------------------------------------------------------- */

/* So many sets go together: the end of one is hidden by the next. */
enum { TARE__NORM_FEW = 8 };

/* From the sum of squared deviations of `count` values: var is the biased variance. */
tare__norm_stat tare__norm_stat_of(double mean, double m2, int64_t count, double eps);

/* What backward subtracts: dx = rstd gamma dy + q x-hat + t with q = -rstd mean(g x-hat), t = -rstd mean(g) and g = dy gamma, where
 * sum and dot are the sums of g and g x-hat over `count` values. */
typedef struct tare__norm_back {
    tare_real q, t;
} tare__norm_back;
tare__norm_back tare__norm_back_of(tare__norm_stat s, double sum, double dot, int64_t count);

/* All that a plane's loops need; `back` is forward's { 0 }. */
static inline tare__norm_map tare__norm_map_of(tare__norm_stat s, tare_real gamma, tare_real beta,
                                               tare__norm_back back) {
    tare__norm_coef c = tare__norm_coef_of(s);
    return (tare__norm_map){ .k = c.k,
                             .a = c.rstd * gamma,
                             .b = c.shift * gamma + beta,
                             .rstd = c.rstd,
                             .shift = c.shift,
                             .q = back.q,
                             .t = back.t };
}

/* The gradient of gamma (input 1) or beta (input 2) takes `value` at index c. */
static inline void tare__norm_put(tare_real *grad, bool add, int64_t c, double value) {
    if (grad) { grad[c] = add ? grad[c] + (tare_real)value : (tare_real)value; }
}

static inline const tare_real *tare__norm_data(const tare_node *n, int i) {
    return i < n->n_in && n->in[i] ? n->in[i]->data : NULL;
}

/* ---- group norm, which instance norm is too ---------------------------------------------------------------------- */

/* x [N,C,...] in `groups` groups; sizes and scratch are set, ranks and counts have been checked. */
tare_status tare__group_prepare(tare_node *n, int64_t groups, tare_act act);
void tare__group_forward(tare_node *n, int64_t groups, double eps, tare_act act);
void tare__group_backward(tare_node *n, int64_t groups, tare_act act);

/* ---- rows of the last `dims` dimensions: layer norm and RMS norm (norm_rows.c) --------------------------------------- */

/* Ranks, the shapes of gamma and beta; sets shape, saved and scratch sizes. */
tare_status tare__rows_check(tare_node *n, int dims);
int64_t tare__rows_cols(const tare_node *n, int dims);
/* centred: the mean is taken off */
void tare__rows_forward(tare_node *n, int dims, double eps, bool centred);
void tare__rows_backward(tare_node *n, int dims, bool centred);

/* ---- layer norm over the channels of [N,C,...] (layer_norm_channels.c) ------------------------------------------------ */

void tare__channels_prepare(tare_node *n);
void tare__channels_forward(tare_node *n, double eps);
void tare__channels_backward(tare_node *n);

#endif
