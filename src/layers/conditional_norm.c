/* conditional_norm.c - a norm whose scale and shift each class has of its own: conditional batch and instance norm.
 * Dumoulin et al. 2017, arXiv:1610.07629 (instance norm, by style); de Vries et al. 2017, arXiv:1707.00683 (batch norm) */
#include "condition.h"
#include "planes.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct conditional_norm {
    tare__conditioned head;
    tare_layer *norm;
    tare_tensor *gamma, *beta; /* [classes,C] */
} conditional_norm;

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    const conditional_norm *c = (const conditional_norm *)self;
    tare__planes p;
    if (!tare__planes_of(tape, "conditional_norm", x, &p)) { return NULL; }
    if (!tare__condition_fits(tape, &c->head, x)) { return NULL; }
    tare_tensor *gamma = tare_embedding(tape, c->gamma, c->head.given, TARE_SHAPE(c->head.samples));
    tare_tensor *beta = tare_embedding(tape, c->beta, c->head.given, TARE_SHAPE(c->head.samples));
    tare_tensor *y = tare_forward(c->norm, tape, x);
    if (!y || !gamma || !beta) { return NULL; }
    tare_tensor *flat = tare_reshape(tape, y, p.x->shape);
    return tare__planes_back(tape, &p, tare__planes_affine(tape, &p, flat, gamma, beta));
}

static void describe(const tare_layer *self, char *text, size_t size) {
    snprintf(text, size, "%" PRId64 " classes", ((const conditional_norm *)self)->gamma->shape.dim[0]);
}

const tare_layer_class tare__conditional_norm_class = { .name = "conditional_norm",
                                                        .forward = forward,
                                                        .describe = describe };

tare_layer *tare_layer_conditional_norm(tare_params *ps, const char *name, tare_layer *norm, int64_t channels,
                                        int64_t classes) {
    conditional_norm *c = (conditional_norm *)tare_layer_new(ps, name, &tare__conditional_norm_class, sizeof *c);
    if (!c || tare_layer_adopt(&c->head.base, &norm, 1)) { return NULL; }
    if (channels < 1 || classes < 1) {
        return tare_params_fail(ps, TARE_EINVAL,
                                "conditional_norm \"%s\": %" PRId64 " channels, %" PRId64
                                " classes: both must be 1 or more",
                                c->head.base.name, channels, classes);
    }
    c->norm = norm;
    tare_params_push(ps, tare_layer_own_name(&c->head.base));
    c->gamma = tare_param(ps, "weight", TARE_SHAPE(classes, channels), TARE_NO_DECAY);
    c->beta = tare_param(ps, "bias", TARE_SHAPE(classes, channels), TARE_NO_DECAY);
    tare_params_pop(ps);
    tare_init_constant(ps, c->gamma, 1);
    return tare_params_status(ps) ? NULL : &c->head.base;
}
