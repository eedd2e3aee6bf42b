/* norm_kinds.c - what each name in a norm spec stands for: its options and its layer. */
#include "norm_spec.h"

#include <inttypes.h>
#include <math.h>

/* Options that several norms have. eps: 0 is no value of it, since statistics are taken from data. */
#define EPS                                                                                                            \
    { .key = "eps", .initial = 1e-5, .lo = 1e-20, .hi = 1e20, .help = "added to the variance" }
#define AFFINE                                                                                                         \
    { .key = "affine", .initial = 1, .lo = 1, .words = "no|yes", .help = "learn a scale and a shift" }
#define NOT(value) ((value) == 0)

static int64_t channels_of(tare_shape features) { return features.ndim ? features.dim[0] : 0; }

/* ---- none -------------------------------------------------------------------------------------------------------- */

static tare_layer *make_none(tare_params *ps, const char *name, tare_shape features, const double *values) {
    (void)features, (void)values;
    return tare_layer_identity(ps, name);
}

const tare_norm_kind tare__norm_none = {
    .name = "none",
    .title = "no normalisation",
    .over = "nothing",
    .advice = "to see what a norm is worth",
    .source = "",
    .make = make_none,
};

/* ---- bn ---------------------------------------------------------------------------------------------------------- */

enum { BN_BATCH, BN_EPS, BN_UPDATE, BN_AFFINE, BN_STATS, BN_FROZEN };

static tare_layer *make_bn(tare_params *ps, const char *name, tare_shape features, const double *values) {
    return tare_layer_batch_norm(ps, name, channels_of(features),
                                 (tare_layer_batch_norm_opt){ .sub_batch = (int64_t)values[BN_BATCH],
                                                              .eps = values[BN_EPS],
                                                              .stat_update = values[BN_UPDATE],
                                                              .cumulative = NOT(values[BN_UPDATE]),
                                                              .no_affine = NOT(values[BN_AFFINE]),
                                                              .no_stats = NOT(values[BN_STATS]),
                                                              .frozen = !NOT(values[BN_FROZEN]) });
}

const tare_norm_kind tare__norm_bn = {
    .name = "bn",
    .title = "BatchNorm",
    .over = "the batch and all positions, for each channel",
    .uses_batch = true,
    .advice = "convolutional and dense nets with batches of 16 or more; not with few samples, not in recurrent nets",
    .source = "Ioffe & Szegedy 2015, arXiv:1502.03167",
    .options = { { .key = "batch",
                   .initial = 0,
                   .lo = 1,
                   .hi = 1e9,
                   .integer = true,
                   .words = "all",
                   .help = "take statistics over this many samples at a time" },
                 EPS,
                 { .key = "stat_update",
                   .initial = 0.1,
                   .lo = 0,
                   .hi = 1,
                   .help = "weight of the new batch in the running statistics; 0: plain average of all batches" },
                 AFFINE,
                 { .key = "stats",
                   .initial = 1,
                   .lo = 1,
                   .words = "no|yes",
                   .help = "keep running statistics for evaluation" },
                 { .key = "frozen",
                   .initial = 0,
                   .lo = 1,
                   .words = "no|yes",
                   .help = "never change scale, shift or statistics" } },
    .make = make_bn,
};

/* ---- ln ---------------------------------------------------------------------------------------------------------- */

enum { LN_OVER, LN_EPS, LN_AFFINE };

static tare_layer *make_ln(tare_params *ps, const char *name, tare_shape features, const double *values) {
    bool channels = values[LN_OVER] != 0 && features.ndim > 1;
    return tare_layer_layer_norm(ps, name, channels ? TARE_SHAPE(channels_of(features)) : features,
                                 (tare_layer_layer_norm_opt){ .eps = values[LN_EPS],
                                                              .channels = channels,
                                                              .no_affine = NOT(values[LN_AFFINE]) });
}

const tare_norm_kind tare__norm_ln = {
    .name = "ln",
    .title = "LayerNorm",
    .over = "all features of a sample",
    .advice = "transformers and recurrent nets, any batch size; weaker than bn and gn in convolutional nets",
    .source = "Ba et al. 2016, arXiv:1607.06450",
    .options = { { .key = "over",
                   .initial = 0,
                   .lo = 1,
                   .words = "chw|c",
                   .help = "images: over channels and positions, or over the channels at each position" },
                 EPS,
                 AFFINE },
    .make = make_ln,
};

/* ---- in ---------------------------------------------------------------------------------------------------------- */

enum { IN_EPS, IN_AFFINE };

static tare_layer *make_in(tare_params *ps, const char *name, tare_shape features, const double *values) {
    return tare_layer_instance_norm(
        ps, name, channels_of(features),
        (tare_layer_instance_norm_opt){ .eps = values[IN_EPS], .no_affine = NOT(values[IN_AFFINE]) });
}

const tare_norm_kind tare__norm_in = {
    .name = "in",
    .title = "InstanceNorm",
    .over = "all positions, for each sample and channel",
    .advice = "style transfer and image generators; it removes contrast, which classifiers may need",
    .source = "Ulyanov et al. 2016, arXiv:1607.08022",
    .options = { EPS, AFFINE },
    .make = make_in,
};

/* ---- gn ---------------------------------------------------------------------------------------------------------- */

enum { GN_GROUPS, GN_EPS, GN_AFFINE };

static tare_layer *make_gn(tare_params *ps, const char *name, tare_shape features, const double *values) {
    return tare_layer_group_norm(ps, name, channels_of(features),
                                 (tare_layer_group_norm_opt){ .groups = (int64_t)values[GN_GROUPS],
                                                              .eps = values[GN_EPS],
                                                              .no_affine = NOT(values[GN_AFFINE]) });
}

const tare_norm_kind tare__norm_gn = {
    .name = "gn",
    .title = "GroupNorm",
    .over = "groups of channels and all positions, for each sample",
    .advice = "convolutional nets with small batches: detection, segmentation, video",
    .source = "Wu & He 2018, arXiv:1803.08494",
    .options = { { .key = "groups",
                   .bare = true,
                   .initial = 0,
                   .lo = 1,
                   .hi = 1e9,
                   .integer = true,
                   .words = "auto",
                   .help = "how many; auto: the largest divisor of the channels up to 32" },
                 EPS,
                 AFFINE },
    .make = make_gn,
};

/* ---- rms --------------------------------------------------------------------------------------------------------- */

enum { RMS_EPS, RMS_AFFINE };

static tare_layer *make_rms(tare_params *ps, const char *name, tare_shape features, const double *values) {
    return tare_layer_rms_norm(
        ps, name, features, (tare_layer_rms_norm_opt){ .eps = values[RMS_EPS], .no_affine = NOT(values[RMS_AFFINE]) });
}

const tare_norm_kind tare__norm_rms = {
    .name = "rms",
    .title = "RMSNorm",
    .over = "all features of a sample, whose mean it leaves",
    .advice = "transformers: as good as ln there, and cheaper",
    .source = "Zhang & Sennrich 2019, arXiv:1910.07467",
    .options = { EPS, { .key = "affine", .initial = 1, .lo = 1, .words = "no|yes", .help = "learn a scale" } },
    .make = make_rms,
};

/* ---- of weights -------------------------------------------------------------------------------------------------- */

enum { SN_ITERATIONS, SN_EPS, SN_MODE, SN_SIZE, SN_USUAL_SIZE = 16 };

static tare_status do_sn(tare_layer *layer, const double *values) {
    bool conv = values[SN_MODE] != 0;
    int64_t size = (int64_t)values[SN_SIZE];
    if (!conv && size != SN_USUAL_SIZE && layer) {
        tare_params_fail(layer->params, TARE_EINVAL, "spectral norm of \"%s\": size=%" PRId64 " goes with mode=conv",
                         layer->name, size);
        return TARE_EINVAL;
    }
    return tare_spectral_norm(layer, (tare_spectral_norm_opt){ .iterations = (int)values[SN_ITERATIONS],
                                                               .eps = values[SN_EPS],
                                                               .height = conv ? size : 0,
                                                               .width = conv ? size : 0 });
}

const tare_norm_kind tare__norm_sn = {
    .name = "sn",
    .title = "SpectralNorm",
    .over = "the weight: its largest singular value becomes 1",
    .advice = "discriminators of GANs",
    .source = "Miyato et al. 2018, arXiv:1802.05957",
    .options = { { .key = "iterations",
                   .initial = 1,
                   .lo = 1,
                   .hi = 1000,
                   .integer = true,
                   .help = "of the power method, each step" },
                 { .key = "eps", .initial = 1e-12, .lo = 1e-20, .hi = 1, .help = "lengths below it do not divide" },
                 { .key = "mode",
                   .initial = 0,
                   .lo = 1,
                   .words = "kernel|conv",
                   .help = "of the kernel as a matrix, or of the convolution itself" },
                 { .key = "size",
                   .initial = SN_USUAL_SIZE,
                   .lo = 1,
                   .hi = 4096,
                   .integer = true,
                   .help = "mode=conv: height and width of the images" } },
    .transform = do_sn,
};

static tare_status do_wn(tare_layer *layer, const double *values) {
    (void)values;
    return tare_weight_norm(layer);
}

const tare_norm_kind tare__norm_wn = {
    .name = "wn",
    .title = "WeightNorm",
    .over = "each output's weights: their length is learned apart from their direction",
    .advice = "recurrent nets and generators, where statistics of a batch disturb",
    .source = "Salimans & Kingma 2016, arXiv:1602.07868",
    .transform = do_wn,
};

static tare_status do_ws(tare_layer *layer, const double *values) {
    return tare_weight_standardize(layer, (tare_weight_standardize_opt){ .eps = values[0] });
}

const tare_norm_kind tare__norm_ws = {
    .name = "ws",
    .title = "Weight Standardization",
    .over = "each output's weights: mean 0, variance 1",
    .advice = "with gn in convolutional nets and small batches (ws+gn)",
    .source = "Qiao et al. 2019, arXiv:1903.10520",
    .options = { EPS },
    .transform = do_ws,
};
