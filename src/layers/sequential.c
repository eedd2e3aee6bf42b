/* sequential.c - layers one after the other. */
#include <tare/layers.h>

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    tare_tensor *y = x;
    for (int i = 0; i < self->n_children; i++) {
        tare_tensor *next = tare_forward(self->children[i], tape, y);
        if (y != x && next != y) { tare_release(tape, y); }
        y = next;
    }
    return y;
}

static const tare_layer_class sequential_class = { .name = "sequential", .forward = forward, .container = true };

tare_layer *tare_layer_sequential(tare_params *ps, const char *name, tare_layer *const *layers, int n) {
    tare_layer *layer = tare_layer_new(ps, name, &sequential_class, sizeof *layer);
    if (!layer || tare_layer_adopt(layer, layers, n)) { return NULL; }
    return layer;
}
