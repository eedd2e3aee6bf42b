/* tare/norms.h - normalisations: as ops, as layers, and by a spec string ("bn", "gn:8").
 *
 * All of them compute  y = gamma (x - mean) / sqrt(var + eps) + beta  with the biased variance (1/n) of some set of values; they
 * differ in the set:
 *     batch      each channel, over the batch and all positions          [N,C] [N,C,L] [N,C,H,W]
 *     layer      each sample, over its last dimensions (or its channels, position by position)
 *     instance   each sample and channel, over all positions             [N,C,L] [N,C,H,W]
 *     group      each sample and group of channels, over all positions   [N,C,...]
 *
 * gamma and beta may be NULL (1 and 0). eps has the unit of var(x); 0 stands for the default 1e-5. Where statistics are taken
 * of one value alone the result would be 0 whatever x is, so that is an error, in training and evaluation alike. NaN or Inf in
 * a set gives NaN in the whole set. Mean and variance are taken of x less a guess of the mean (a bad one is mended), in
 * pieces that are merged in double (Chan, Golub & LeVeque 1983), so large means and scales lose nothing: as far as
 * x - mean can be written as a tare_real at all. Values of both signs beyond 1.7e38 in a set of floats give Inf.
 *
 * Batch, group and instance norm can do a ReLU or leaky ReLU behind them too (opt.act; TARE_EINVAL: unknown, slope not finite):
 * nothing is stored in between, and backward takes the sign from x. In a tare_layer_sequential they do so by themselves.
 */
#ifndef TARE_NORMS_H
#define TARE_NORMS_H

#include <tare/layers.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- ops ----------------------------------------------------------------------------------------------------------- */

/* tare_batch_norm - normalise each channel over the batch and all positions
 *   y = gamma_c (x - mean_c) / sqrt(var_c + eps) + beta_c
 *   x [N,C], [N,C,L], [N,C,H,W];  gamma, beta [C] or NULL;  running_mean, running_var [C], both or neither
 *   On a training tape, or without running statistics, mean and var are the batch's (var biased). Then, on a training tape with
 *   running statistics and unless opt.keep_stats,
 *       running = (1 - stat_update) running + stat_update batch         (the variance tracked is the unbiased one, 1/(n-1))
 *   once per sub-batch, in order. Else mean and var are the running statistics.
 *   stat_update is the weight of the new batch. PyTorch and ONNX both say `momentum` and mean opposite things: PyTorch's 0.1 is
 *   our 0.1, ONNX's and Keras's 0.9 is our 0.1.
 *   errors  TARE_ESHAPE: rank, gamma, beta or statistics not [C], one value per channel where statistics are taken;
 *           TARE_EINVAL: eps < 0, stat_update outside [0, 1], one running statistic without the other
 *   source  Ioffe & Szegedy 2015, arXiv:1502.03167; sub-batches: Hoffer et al. 2017, arXiv:1705.08741 ("ghost batch norm") */
typedef struct tare_batch_norm_opt {
    double eps;         /* 0: 1e-5 */
    double stat_update; /* 0: 0.1 */
    int64_t sub_batch;  /* take statistics over this many samples at a time; 0: all. The last set may be smaller */
    bool cumulative;    /* stat_update is 1 / (number of sets so far): running statistics are the plain average */
    int64_t seen;       /* cumulative: how many sets there were before */
    bool keep_stats;    /* leave the running statistics as they are */
    bool use_stats;     /* normalise with the running statistics in training too (frozen batch norm) */
    tare_act act;       /* of the result */
} tare_batch_norm_opt;
TARE_API tare_tensor *tare_batch_norm(tare_tape *t, tare_tensor *x, tare_tensor *gamma, tare_tensor *beta,
                                      tare_tensor *running_mean, tare_tensor *running_var, tare_batch_norm_opt opt);

/* tare_layer_norm - normalise each sample over its last dimensions
 *   y_i = gamma_i (x_i - mean) / sqrt(var + eps) + beta_i
 *   x [..., d1..dk] with k = opt.dims;  gamma, beta [d1..dk] or NULL
 *   opt.channels: x [N,C,...] instead, mean and var over C at each position;  gamma, beta [C] or NULL
 *   errors  TARE_ESHAPE: rank, gamma or beta misshapen, one value to normalise;  TARE_EINVAL: eps < 0, dims < 0
 *   source  Ba et al. 2016, arXiv:1607.06450; channels: Liu et al. 2022, arXiv:2201.03545 (ConvNeXt) */
typedef struct tare_layer_norm_opt {
    int dims; /* how many of the last dimensions; 0: 1 */
    bool channels;
    double eps;
} tare_layer_norm_opt;
TARE_API tare_tensor *tare_layer_norm(tare_tape *t, tare_tensor *x, tare_tensor *gamma, tare_tensor *beta,
                                      tare_layer_norm_opt opt);

/* tare_group_norm - normalise each sample over groups of channels
 *   y = gamma_c (x - mean_g) / sqrt(var_g + eps) + beta_c
 *   x [N,C,...], C % groups == 0;  gamma, beta [C] or NULL;  opt.groups 1..C
 *   errors  TARE_ESHAPE: C % groups (the message lists divisors), gamma or beta not [C], one value per group;
 *           TARE_EINVAL: groups < 1, eps < 0
 *   source  Wu & He 2018, arXiv:1803.08494, eq. 1-4 */
typedef struct tare_group_norm_opt {
    int64_t groups;
    double eps;
    tare_act act; /* of the result */
} tare_group_norm_opt;
TARE_API tare_tensor *tare_group_norm(tare_tape *t, tare_tensor *x, tare_tensor *gamma, tare_tensor *beta,
                                      tare_group_norm_opt opt);

/* tare_instance_norm - normalise each channel of each sample: group norm with as many groups as channels, to the bit
 *   x [N,C,L], [N,C,H,W];  gamma, beta [C] or NULL
 *   errors  TARE_ESHAPE: rank, gamma or beta not [C], one value per channel;  TARE_EINVAL: eps < 0
 *   source  Ulyanov et al. 2016, arXiv:1607.08022 */
typedef struct tare_instance_norm_opt {
    double eps;
    tare_act act; /* of the result */
} tare_instance_norm_opt;
TARE_API tare_tensor *tare_instance_norm(tare_tape *t, tare_tensor *x, tare_tensor *gamma, tare_tensor *beta,
                                         tare_instance_norm_opt opt);

/* tare_rms_norm - divide each sample by the root of the mean of its squares, over its last dimensions
 *   y_i = gamma_i x_i / sqrt(mean(x^2) + eps)
 *   x [..., d1..dk] with k = opt.dims;  gamma [d1..dk] or NULL;  one value is enough, since no mean is taken off
 *   errors  TARE_ESHAPE: rank, gamma misshapen;  TARE_EINVAL: eps < 0, dims < 0
 *   source  Zhang & Sennrich 2019, arXiv:1910.07467 */
typedef struct tare_rms_norm_opt {
    int dims; /* how many of the last dimensions; 0: 1 */
    double eps;
} tare_rms_norm_opt;
TARE_API tare_tensor *tare_rms_norm(tare_tape *t, tare_tensor *x, tare_tensor *gamma, tare_rms_norm_opt opt);

/* The norms below are made of the ops above and plain arithmetic; eps 0 stands for the default named. Each fails the tape with
 * TARE_ESHAPE where x is not [N,C,...] or a vector is not [C]. */

/* tare_dyt - y = gamma tanh(alpha x) + beta, every shape by broadcasting;  alpha [1];  gamma, beta may be NULL (1 and 0)
 *   source  Zhu et al. 2025, arXiv:2503.10622 */
TARE_API tare_tensor *tare_dyt(tare_tape *t, tare_tensor *x, tare_tensor *alpha, tare_tensor *gamma, tare_tensor *beta);

/* tare_grn - y = gamma_c x n_nc + beta_c + x,  n_nc = |x_nc| / (mean over c of |x_nc| + eps),  |x_nc| = sqrt(sum of squares)
 *   x [N,C,...];  gamma, beta [C] or NULL (1 and 0);  eps 0: 1e-6.   source  Woo et al. 2023, arXiv:2301.00808 */
TARE_API tare_tensor *tare_grn(tare_tape *t, tare_tensor *x, tare_tensor *gamma, tare_tensor *beta, double eps);

/* tare_frn - y = max(gamma_c x / sqrt(mean square of x_nc + eps) + beta_c, tau_c)
 *   x [N,C,...];  gamma, beta [C] or NULL;  tau [C], or NULL for no maximum;  eps 0: 1e-6. Where a channel has one value, x over
 *   its own size is little more than its sign.   source  Singh & Krishnan 2020, arXiv:1911.09737 */
TARE_API tare_tensor *tare_frn(tare_tape *t, tare_tensor *x, tare_tensor *gamma, tare_tensor *beta, tare_tensor *tau,
                               double eps);

/* tare_adain - the content's channels with the style's mean and deviation, sample by sample
 *   y = s_nc (content - mean_nc) / sqrt(var_nc + eps) + m_nc,  m the style's mean, s = v / sqrt(v + eps) with its variance v
 *   content [N,C,...], style [N,C,...]: positions may differ, 2 or more in each;  eps 0: 1e-5
 *   source  Huang & Belongie 2017, arXiv:1703.06868, eq. 8 */
TARE_API tare_tensor *tare_adain(tare_tape *t, tare_tensor *content, tare_tensor *style, double eps);

/* ---- layers: parameters "weight" (gamma, 1) and "bias" (beta, 0), without weight decay ------------------------------- */

/* tare_layer_batch_norm - buffers "running_mean" (0), "running_var" (1) and "num_batches_tracked" (0, a scalar).
 *   While the tare_params are frozen the statistics stay as they are; a frozen layer (opt.frozen) has its weight and bias as
 *   buffers too, never changes, and normalises with its statistics in training as well.
 *   errors (sticky)  TARE_EINVAL: channels < 1, eps < 0, stat_update outside [0, 1], frozen without statistics */
typedef struct tare_layer_batch_norm_opt {
    double eps;         /* 0: 1e-5 */
    double stat_update; /* 0: 0.1 */
    int64_t sub_batch;  /* ghost batch; 0: whole batch */
    bool cumulative;    /* running statistics are the plain average of all batches so far, instead of stat_update */
    bool no_affine;     /* no weight and bias */
    bool no_stats;      /* no running statistics: the batch's, always */
    bool frozen;
} tare_layer_batch_norm_opt;
TARE_API tare_layer *tare_layer_batch_norm(tare_params *ps, const char *name, int64_t channels,
                                           tare_layer_batch_norm_opt opt);

/* tare_recalibrate_begin - from now on every batch norm in `model` that keeps running statistics normalises with the batch's,
 * whatever the tape and tare_params_freeze say, and its running statistics become the plain average of the sets of samples seen
 * since. So: begin, run the model forward over batches (no optimizer; an evaluation tape keeps dropout out of it), end.
 *   errors  TARE_EINVAL: there is no such batch norm
 * tare_recalibrate_end - back to normal.   errors  TARE_EINVAL: one of them saw no batch; its statistics are what they were
 *   source  Wu & Johnson 2021, arXiv:2105.07576 ("precise batch norm") */
TARE_API tare_status tare_recalibrate_begin(tare_layer *model);
TARE_API tare_status tare_recalibrate_end(tare_layer *model);

/* tare_batch_statistics - on: those batch norms normalise with the batch's statistics on evaluation tapes too, and leave the
 * running ones alone; off: back to normal. Accuracy both ways side by side tells whether the running statistics fit.
 * Returns how many there are: 0 means that it changes nothing. */
TARE_API int tare_batch_statistics(tare_layer *model, bool on);

/* tare_layer_layer_norm - over the dimensions `features`, the last ones of x; opt.channels: features is [C], at each position */
typedef struct tare_layer_layer_norm_opt {
    double eps;
    bool channels, no_affine;
} tare_layer_layer_norm_opt;
TARE_API tare_layer *tare_layer_layer_norm(tare_params *ps, const char *name, tare_shape features,
                                           tare_layer_layer_norm_opt opt);

/* tare_layer_group_norm
 *   errors (sticky)  TARE_EINVAL: groups do not divide channels (the message lists what does) */
typedef struct tare_layer_group_norm_opt {
    int64_t groups; /* 0: the largest divisor of channels up to 32 */
    double eps;
    bool no_affine;
} tare_layer_group_norm_opt;
TARE_API tare_layer *tare_layer_group_norm(tare_params *ps, const char *name, int64_t channels,
                                           tare_layer_group_norm_opt opt);

/* tare_layer_instance_norm - same in training and evaluation; has no running statistics. */
typedef struct tare_layer_instance_norm_opt {
    double eps;
    bool no_affine;
} tare_layer_instance_norm_opt;
TARE_API tare_layer *tare_layer_instance_norm(tare_params *ps, const char *name, int64_t channels,
                                              tare_layer_instance_norm_opt opt);

/* tare_layer_rms_norm - over the dimensions `features`, the last ones of x; "weight" only. */
typedef struct tare_layer_rms_norm_opt {
    double eps;
    bool no_affine;
} tare_layer_rms_norm_opt;
TARE_API tare_layer *tare_layer_rms_norm(tare_params *ps, const char *name, tare_shape features,
                                         tare_layer_rms_norm_opt opt);

/* tare_layer_dyt - for samples of shape `features` ([C], [C,L], [C,H,W], or [C] where x is [N,T,C]): a scale and a shift for each
 * channel, "weight" and "bias", and one "alpha" for all.   errors (sticky)  TARE_EINVAL: channels < 1 */
typedef struct tare_layer_dyt_opt {
    double alpha; /* to begin with; 0: 0.5 */
    bool no_affine;
} tare_layer_dyt_opt;
TARE_API tare_layer *tare_layer_dyt(tare_params *ps, const char *name, tare_shape features, tare_layer_dyt_opt opt);

/* tare_layer_grn - "weight" begins as 0 here, so that the layer begins as the identity
 *   errors (sticky)  TARE_EINVAL: channels < 1, eps < 0 */
typedef struct tare_layer_grn_opt {
    double eps; /* 0: 1e-6 */
} tare_layer_grn_opt;
TARE_API tare_layer *tare_layer_grn(tare_params *ps, const char *name, int64_t channels, tare_layer_grn_opt opt);

/* tare_layer_frn - with "tau" (0) beside "weight" and "bias": no ReLU should follow
 *   errors (sticky)  TARE_EINVAL: channels < 1, eps < 0 */
typedef struct tare_layer_frn_opt {
    double eps;        /* 0: 1e-6 */
    bool no_threshold; /* no tau */
} tare_layer_frn_opt;
TARE_API tare_layer *tare_layer_frn(tare_params *ps, const char *name, int64_t channels, tare_layer_frn_opt opt);

/* tare_layer_switchable_norm - gamma (x - mean) / sqrt(var + eps) + beta with mean = sum_k w_k mean_k, var = sum_k w'_k var_k over
 * the statistics k of instance, layer and batch norm; w, w' the softmax of "mean_weight" and "var_weight" [3] (1). Evaluation
 * takes the batch's from "running_mean" and "running_var" (the biased variance). x [N,C,...] with 2 positions or more; squares of
 * deviations must fit the number range.   errors (sticky)  TARE_EINVAL: channels < 1, eps < 0, stat_update outside [0, 1] */
typedef struct tare_layer_switchable_norm_opt {
    double eps;         /* 0: 1e-5 */
    double stat_update; /* 0: 0.1 */
} tare_layer_switchable_norm_opt;
TARE_API tare_layer *tare_layer_switchable_norm(tare_params *ps, const char *name, int64_t channels,
                                                tare_layer_switchable_norm_opt opt);

/* tare_layer_conditional_norm - gamma_k norm(x) + beta_k, k the class of the sample: "weight" (1) and "bias" (0), [classes, C].
 *   `norm` is any norm of [N,C,...] in the same tare_params, best one without scale and shift ("bn:affine=no", "in:affine=no").
 *   errors (sticky)  TARE_EINVAL: norm NULL, channels < 1, classes < 1;  when run: TARE_EINVAL, x has another number of samples
 *                    than tare_condition gave, or a class is out of range
 * tare_condition - the classes of the samples that the next forwards of `model` see, for all conditional norms in it; lent, not
 *   copied, until the next call. Projection layers (tare/gan.h) hear of them too. Returns how many have heard. */
TARE_API tare_layer *tare_layer_conditional_norm(tare_params *ps, const char *name, tare_layer *norm, int64_t channels,
                                                 int64_t classes);
TARE_API int tare_condition(tare_layer *model, const int32_t *classes, int64_t samples);

/* ---- of weights ---------------------------------------------------------------------------------------------------- */

/* These change the weight that a layer computes with (tare_layer_add_transform): of linear, conv2d and any layer that has a
 * weight and says which of its dimensions counts outputs. Call them under the scopes the layer was made under.
 *   errors (sticky)  TARE_EINVAL: the layer has no weight, an option is out of range;  TARE_EEXIST: done to it before */

/* tare_spectral_norm - w / sigma, sigma the largest singular value of w as a matrix [outputs, rest]
 *   Power iteration, in training alone and not while the tare_params are frozen; its vectors are the buffers "weight_u" and
 *   "weight_v", warm from the start. They are constants for the gradient. Of a convolution this is not the norm of the operator,
 *   only near it; with opt.height and width it is: sigma is the most that a conv2d or conv_transpose2d layer lengthens any image
 *   of that size, and the vectors are images. It costs a convolution and its backward each iteration, and grows with the image, little beyond 16 x 16.
 *   errors (sticky)  also TARE_ESHAPE: the kernel is larger than the padded image
 *   source  Miyato et al. 2018, arXiv:1802.05957; of the operator: Gouk et al. 2021, arXiv:1804.04368 */
typedef struct tare_spectral_norm_opt {
    int iterations; /* per forward; 0: 1 */
    double eps;     /* lengths below it do not divide; 0: 1e-12 */
    int64_t height,
        width; /* of the convolution itself, on such images; 0: of the weight as a matrix, as every layer's is */
} tare_spectral_norm_opt;
TARE_API tare_status tare_spectral_norm(tare_layer *layer, tare_spectral_norm_opt opt);

/* tare_weight_norm - g w / |w| for each output, with the parameter "weight_g", [out, 1, ...], which starts as |w|
 *   source  Salimans & Kingma 2016, arXiv:1602.07868 */
TARE_API tare_status tare_weight_norm(tare_layer *layer);

/* tare_weight_standardize - each output's weights to mean 0 and variance 1: (w - mean) / sqrt(var + eps)
 *   source  Qiao et al. 2019, arXiv:1903.10520 */
typedef struct tare_weight_standardize_opt {
    double eps; /* 0: 1e-5 */
} tare_weight_standardize_opt;
TARE_API tare_status tare_weight_standardize(tare_layer *layer, tare_weight_standardize_opt opt);

/* ---- by spec string ------------------------------------------------------------------------------------------------ */
/*
 *   spec    = norm { "+" norm }                one norm of activations at most, and any of weights, which apply in this order
 *   norm    = name [ ":" option { "," option } ]
 *   option  = key "=" value | value            the value alone where the norm's first option allows it, and then first
 *
 *   none   bn   bn:batch=4,eps=1e-3   ln:over=c   in   gn:8   gn:groups=auto   rms   sn   ws+gn:8
 */

/* A norm's option: a number, or one of some words. */
typedef struct tare_norm_option {
    const char *key;
    double initial; /* the value where it is not given; of words, the index */
    double lo, hi;  /* allowed numbers; lo > hi: words only */
    bool integer;
    bool bare;         /* the first option only: its value may stand without the key, as in "gn:8" */
    const char *words; /* "no|yes": value 0 and 1;  beside numbers: "auto" stands for `initial` */
    const char *help;
} tare_norm_option;

enum { TARE_NORM_OPTIONS = 8 };

/* tare_norm_kind - what stands behind a name in a spec. */
typedef struct tare_norm_kind {
    const char *name;   /* "gn" */
    const char *title;  /* "GroupNorm" */
    const char *over;   /* what it normalises over, in words */
    bool uses_batch;    /* do results depend on the other samples of the batch? */
    const char *advice; /* when to use it, one line */
    const char *source;
    tare_norm_option options[TARE_NORM_OPTIONS]; /* ends with a NULL key */
    /* The layer for samples of shape `features` ([C], [C,L] or [C,H,W]); values[i] belongs to options[i]. */
    tare_layer *(*make)(tare_params *ps, const char *name, tare_shape features, const double *values);
    /* Instead, a norm of weights. */
    tare_status (*transform)(tare_layer *layer, const double *values);
} tare_norm_kind;

/* tare_norm_kind_at - the known norms, those of open plugins last, NULL after them. tare_norm_kind_find - by name, or NULL. */
TARE_API const tare_norm_kind *tare_norm_kind_at(int index);
TARE_API const tare_norm_kind *tare_norm_kind_find(const char *name);

/* tare_norm_layer - the norm of activations in `spec` as a layer, for samples of shape `features` (without N); where the spec has
 * none, the identity.
 *   errors (sticky)  TARE_EINVAL: a message that points at the offending character, or lists the known norms;
 *                    those of the layer's own constructor */
TARE_API tare_layer *tare_norm_layer(tare_params *ps, const char *name, const char *spec, tare_shape features);

/* tare_norm_weight - do to the layer's weight what `spec` says of weights; nothing where it says nothing. Models call it on every
 * layer that a norm follows.   errors (sticky)  as above */
TARE_API tare_status tare_norm_weight(tare_layer *layer, const char *spec);

/* tare_norm_check - does `spec` parse? TARE_EINVAL with the same message if not; does not know shapes. */
TARE_API tare_status tare_norm_check(const char *spec);
/* tare_norm_canonical - the spec as Tare writes it: options in order, defaults left out. For checkpoints and config.json.
 *   errors  TARE_EINVAL as above, or the text does not fit */
TARE_API tare_status tare_norm_canonical(const char *spec, char *text, size_t size);
/* tare_norm_uses_batch - do results depend on the other samples of the batch? false for a spec that does not parse. */
TARE_API bool tare_norm_uses_batch(const char *spec);
/* tare_norm_batch - over how many samples statistics are taken where the batch has `batch`: 1 for per-sample norms and none. */
TARE_API int64_t tare_norm_batch(const char *spec, int64_t batch);

#ifdef __cplusplus
}
#endif
#endif
