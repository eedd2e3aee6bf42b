/* flatten.c - [N, ...] -> [N, all the rest] as a layer. */
#include <tare/layers.h>

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    (void)self;
    return tare_flatten(tape, x, 1);
}

static const tare_layer_class flatten_class = { .name = "flatten", .forward = forward };

tare_layer *tare_layer_flatten(tare_params *ps, const char *name) {
    return tare_layer_new(ps, name, &flatten_class, sizeof(tare_layer));
}
