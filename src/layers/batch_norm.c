/* batch_norm.c - batch normalisation as a layer, with its running statistics. */
#include <tare/norms.h>

#include <inttypes.h>
#include <stdio.h>

/* Whose statistics: as the tape says; the batch's, leaving the running ones; the batch's, averaging them anew. */
typedef enum stat_source { AS_TAPE, BATCH, RECALIBRATE } stat_source;

typedef struct batch_norm {
    tare_layer base;
    tare_tensor *gamma, *beta;      /* NULL: 1 and 0 */
    tare_tensor *mean, *var, *seen; /* running statistics, or NULL */
    tare_layer_batch_norm_opt opt;
    stat_source source;
    int64_t sets; /* of samples since recalibration began */
} batch_norm;

/* How many sets of samples one call takes statistics of. */
static int64_t sets_of(const batch_norm *bn, const tare_tensor *x) {
    int64_t n = x->shape.dim[0], each = bn->opt.sub_batch;
    return each > 0 && each < n ? (n + each - 1) / each : 1;
}

static tare_tensor *run(const batch_norm *bn, tare_tape *tape, tare_tensor *x, bool update, tare_act act) {
    const tare_layer_batch_norm_opt *opt = &bn->opt;
    bool anew = bn->source == RECALIBRATE;
    return tare_batch_norm(tape, x, bn->gamma, bn->beta, bn->mean, bn->var,
                           (tare_batch_norm_opt){ .eps = opt->eps,
                                                  .stat_update = opt->stat_update,
                                                  .sub_batch = opt->sub_batch,
                                                  .cumulative = opt->cumulative || anew,
                                                  .seen = anew       ? bn->sets
                                                          : bn->seen ? (int64_t)bn->seen->data[0]
                                                                     : 0,
                                                  .keep_stats = !update,
                                                  .use_stats = opt->frozen,
                                                  .act = act });
}

static tare_tensor *forward_act(tare_layer *self, tare_tape *tape, tare_tensor *x, tare_act act) {
    batch_norm *bn = (batch_norm *)self;
    bool training = tare_tape_training(tape);
    bool update = bn->source == RECALIBRATE || (bn->source == AS_TAPE && bn->seen && !bn->opt.frozen && training &&
                                                !tare_params_frozen(self->params) && !tare_tape_repeats(tape));
    if (bn->source != AS_TAPE) { tare_tape_training_set(tape, true); }
    tare_tensor *y = run(bn, tape, x, update, act);
    tare_tape_training_set(tape, training);
    if (!y || !update || y->numel == 0) { return y; }
    bn->sets += sets_of(bn, x);
    bn->seen->data[0] = bn->source == RECALIBRATE ? (tare_real)bn->sets : bn->seen->data[0] + (tare_real)sets_of(bn, x);
    return y;
}

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    return forward_act(self, tape, x, (tare_act){ TARE_ACT_NONE, 0 });
}

static void describe(const tare_layer *self, char *text, size_t size) {
    const batch_norm *bn = (const batch_norm *)self;
    if (bn->opt.sub_batch) {
        snprintf(text, size, "batches of %" PRId64, bn->opt.sub_batch);
    } else if (bn->opt.frozen) {
        snprintf(text, size, "frozen");
    }
}

static const tare_layer_class batch_norm_class = {
    .name = "batch_norm", .forward = forward, .describe = describe, .forward_act = forward_act
};

static bool options_ok(tare_params *ps, const tare_layer *layer, int64_t channels,
                       const tare_layer_batch_norm_opt *opt) {
    const char *name = layer->name;
    if (channels < 1) {
        tare_params_fail(ps, TARE_EINVAL, "batch_norm \"%s\": %" PRId64 " channels, must be 1 or more", name, channels);
    } else if (!(opt->eps >= 0)) {
        tare_params_fail(ps, TARE_EINVAL, "batch_norm \"%s\": eps is %g, must be positive (0: 1e-5)", name, opt->eps);
    } else if (!(opt->stat_update >= 0 && opt->stat_update <= 1)) {
        tare_params_fail(ps, TARE_EINVAL,
                         "batch_norm \"%s\": stat_update is %g, the weight of the new batch: must lie in 0..1", name,
                         opt->stat_update);
    } else if (opt->sub_batch < 0) {
        tare_params_fail(ps, TARE_EINVAL,
                         "batch_norm \"%s\": sub_batch is %" PRId64 ", must be positive (0: the whole batch)", name,
                         opt->sub_batch);
    } else if (opt->frozen && opt->no_stats) {
        tare_params_fail(ps, TARE_EINVAL, "batch_norm \"%s\": frozen, it needs running statistics", name);
    }
    return tare_params_status(ps) == TARE_OK;
}

/* A frozen layer's scale and shift are buffers: no optimizer will find them. */
static tare_tensor *scale_or_shift(tare_params *ps, const char *name, int64_t channels, bool frozen, double value) {
    tare_shape shape = TARE_SHAPE(channels);
    tare_tensor *w = frozen ? tare_buffer(ps, name, shape) : tare_param(ps, name, shape, TARE_NO_DECAY);
    tare_init_constant(ps, w, value);
    return w;
}

tare_layer *tare_layer_batch_norm(tare_params *ps, const char *name, int64_t channels, tare_layer_batch_norm_opt opt) {
    if (!name) { name = batch_norm_class.name; }
    batch_norm *bn = (batch_norm *)tare_layer_new(ps, name, &batch_norm_class, sizeof *bn);
    if (!bn || !options_ok(ps, &bn->base, channels, &opt)) { return NULL; }
    bn->opt = opt;
    tare_params_push(ps, name);
    if (!opt.no_affine) {
        bn->gamma = scale_or_shift(ps, "weight", channels, opt.frozen, 1);
        bn->beta = scale_or_shift(ps, "bias", channels, opt.frozen, 0);
    }
    if (!opt.no_stats) {
        bn->mean = tare_buffer(ps, "running_mean", TARE_SHAPE(channels));
        bn->var = tare_buffer(ps, "running_var", TARE_SHAPE(channels));
        bn->seen = tare_buffer(ps, "num_batches_tracked", TARE_SCALAR);
        tare_init_constant(ps, bn->var, 1);
    }
    tare_params_pop(ps);
    return tare_params_status(ps) ? NULL : &bn->base;
}

/* ---- statistics on request --------------------------------------------------------------------------------------- */

/* How many batch norms there are at `layer` and below that have running statistics to change; each is put to `source`. A layer
 * met twice is counted twice, which nobody minds. */
static int set_source(tare_layer *layer, stat_source source) {
    int n = 0;
    if (layer->cls == &batch_norm_class) {
        batch_norm *bn = (batch_norm *)layer;
        if (bn->seen && !bn->opt.frozen) {
            bn->source = source;
            bn->sets = 0;
            n = 1;
        }
    }
    for (int i = 0; i < layer->n_children; i++) { n += set_source(layer->children[i], source); }
    return n;
}

int tare_batch_statistics(tare_layer *model, bool on) { return model ? set_source(model, on ? BATCH : AS_TAPE) : 0; }

tare_status tare_recalibrate_begin(tare_layer *model) {
    if (!model) { return tare_fail(TARE_EINVAL, "recalibrate: the model is NULL"); }
    if (set_source(model, RECALIBRATE) > 0) { return TARE_OK; }
    return tare_fail(TARE_EINVAL, "recalibrate: \"%s\" has no batch norm whose running statistics may change",
                     model->name);
}

/* The first batch norm that no batch went through, or NULL. */
static const tare_layer *unfed(const tare_layer *layer) {
    if (layer->cls == &batch_norm_class) {
        const batch_norm *bn = (const batch_norm *)layer;
        if (bn->source == RECALIBRATE && bn->sets == 0) { return layer; }
    }
    for (int i = 0; i < layer->n_children; i++) {
        const tare_layer *found = unfed(layer->children[i]);
        if (found) { return found; }
    }
    return NULL;
}

tare_status tare_recalibrate_end(tare_layer *model) {
    if (!model) { return tare_fail(TARE_EINVAL, "recalibrate: the model is NULL"); }
    const tare_layer *hungry = unfed(model);
    set_source(model, AS_TAPE);
    if (!hungry) { return TARE_OK; }
    return tare_fail(TARE_EINVAL, "recalibrate: no batch went through \"%s\", whose statistics stay as they were",
                     hungry->name);
}
