/* conditional_norm.c - a norm whose scale and shift each class has of its own: conditional batch and instance norm.
 * Dumoulin et al. 2017, arXiv:1610.07629 (instance norm, by style); de Vries et al. 2017, arXiv:1707.00683 (batch norm) */
#include "planes.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct conditional_norm {
    tare_layer base;
    tare_layer *norm;
    tare_tensor *gamma, *beta; /* [classes,C] */
    const int32_t *given;      /* the classes of the samples to come, lent by the caller */
    int64_t samples;
} conditional_norm;

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    const conditional_norm *c = (const conditional_norm *)self;
    tare__planes p;
    if (!tare__planes_of(tape, "conditional_norm", x, &p)) { return NULL; }
    if (!c->given || c->samples != x->shape.dim[0]) {
        tare_shape_buf buf;
        return tare_tape_fail(tape, TARE_EINVAL,
                              "conditional_norm \"%s\": x %s, and the classes of %" PRId64
                              " samples: give as many with tare_condition before the forward",
                              self->name, tare_shape_text(x->shape, &buf), c->given ? c->samples : 0);
    }
    tare_tensor *gamma = tare_embedding(tape, c->gamma, c->given, TARE_SHAPE(c->samples));
    tare_tensor *beta = tare_embedding(tape, c->beta, c->given, TARE_SHAPE(c->samples));
    tare_tensor *y = tare_forward(c->norm, tape, x);
    if (!y || !gamma || !beta) { return NULL; }
    tare_tensor *flat = tare_reshape(tape, y, p.x->shape);
    return tare__planes_back(tape, &p, tare__planes_affine(tape, &p, flat, gamma, beta));
}

static void describe(const tare_layer *self, char *text, size_t size) {
    snprintf(text, size, "%" PRId64 " classes", ((const conditional_norm *)self)->gamma->shape.dim[0]);
}

static const tare_layer_class conditional_norm_class = { .name = "conditional_norm",
                                                         .forward = forward,
                                                         .describe = describe };

tare_layer *tare_layer_conditional_norm(tare_params *ps, const char *name, tare_layer *norm, int64_t channels,
                                        int64_t classes) {
    conditional_norm *c = (conditional_norm *)tare_layer_new(ps, name, &conditional_norm_class, sizeof *c);
    if (!c || tare_layer_adopt(&c->base, &norm, 1)) { return NULL; }
    if (channels < 1 || classes < 1) {
        return tare_params_fail(ps, TARE_EINVAL,
                                "conditional_norm \"%s\": %" PRId64 " channels, %" PRId64
                                " classes: both must be 1 or more",
                                c->base.name, channels, classes);
    }
    c->norm = norm;
    tare_params_push(ps, tare_layer_own_name(&c->base));
    c->gamma = tare_param(ps, "weight", TARE_SHAPE(classes, channels), TARE_NO_DECAY);
    c->beta = tare_param(ps, "bias", TARE_SHAPE(classes, channels), TARE_NO_DECAY);
    tare_params_pop(ps);
    tare_init_constant(ps, c->gamma, 1);
    return tare_params_status(ps) ? NULL : &c->base;
}

int tare_condition(tare_layer *model, const int32_t *classes, int64_t samples) {
    int n = 0;
    if (!model) { return 0; }
    if (model->cls == &conditional_norm_class) {
        ((conditional_norm *)model)->given = classes;
        ((conditional_norm *)model)->samples = samples;
        n = 1;
    }
    for (int i = 0; i < model->n_children; i++) { n += tare_condition(model->children[i], classes, samples); }
    return n;
}
