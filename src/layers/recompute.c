/* recompute.c - a layer that forgets what it computed and computes it again for backward. */
#include <tare/layers.h>

static tare_tensor *run(void *context, tare_tape *tape, tare_tensor *x) { return tare_forward(context, tape, x); }

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    return tare_recompute(tape, run, self->children[0], x);
}

static const tare_layer_class recompute_class = { .name = "recompute", .forward = forward, .container = true };

tare_layer *tare_layer_recompute(tare_params *ps, tare_layer *layer) {
    tare_layer *self = tare_layer_new(ps, NULL, &recompute_class, sizeof *self);
    if (!self || tare_layer_adopt(self, &layer, 1)) { return NULL; }
    return self;
}
