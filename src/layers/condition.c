/* condition.c - the classes of the samples to come, told to all layers that want to know. */
#include "condition.h"

#include <inttypes.h>
#include <tare/norms.h>

bool tare__condition_fits(tare_tape *t, const tare__conditioned *c, const tare_tensor *x) {
    if (c->given && c->samples == x->shape.dim[0]) { return true; }
    tare_shape_buf buf;
    tare_tape_fail(t, TARE_EINVAL,
                   "%s \"%s\": x %s, and the classes of %" PRId64
                   " samples: give as many with tare_condition before the forward",
                   c->base.cls->name, c->base.name, tare_shape_text(x->shape, &buf), c->given ? c->samples : 0);
    return false;
}

int tare_condition(tare_layer *model, const int32_t *classes, int64_t samples) {
    int n = 0;
    if (!model) { return 0; }
    if (model->cls == &tare__conditional_norm_class || model->cls == &tare__projection_class) {
        tare__conditioned *c = (tare__conditioned *)model;
        c->given = classes;
        c->samples = samples;
        n = 1;
    }
    for (int i = 0; i < model->n_children; i++) { n += tare_condition(model->children[i], classes, samples); }
    return n;
}
