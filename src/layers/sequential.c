/* sequential.c - layers one after the other. */
#include <tare/layers.h>

/* What child i can do of the next one's work: an activation. */
static tare_act next_act(const tare_layer *self, int i, const tare_tape *tape) {
    const tare_layer *next = i + 1 < self->n_children ? self->children[i + 1] : NULL;
    bool can = next && next->cls->act && self->children[i]->cls->forward_act && tare_tape_fuses(tape);
    return can ? next->cls->act(next) : (tare_act){ TARE_ACT_NONE, 0 };
}

static tare_tensor *forward_act(tare_layer *layer, tare_tape *tape, tare_tensor *x, tare_act act) {
    if (!x) { return NULL; }
    const char *outer = tare_tape_layer_set(tape, layer->name);
    tare_tensor *y = layer->cls->forward_act(layer, tape, x, act);
    tare_tape_layer_set(tape, outer);
    return y;
}

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    tare_tensor *y = x;
    for (int i = 0; i < self->n_children; i++) {
        tare_layer *layer = self->children[i];
        tare_act act = next_act(self, i, tape);
        tare_tensor *next = act.kind ? forward_act(layer, tape, y, act) : tare_forward(layer, tape, y);
        i += act.kind != TARE_ACT_NONE;
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
