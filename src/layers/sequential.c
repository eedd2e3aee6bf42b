/* sequential.c - layers one after the other. */
#include <tare/layers.h>

/* Is child i a ReLU that the next one, a maximum, does along with its own work? That goes before a norm that could do the ReLU: the
 * norm's backward then needs no mask. */
static bool goes_to_next(const tare_layer *self, int i, const tare_tape *tape) {
    if (i + 1 >= self->n_children || !tare_tape_fuses(tape)) { return false; }
    const tare_layer *layer = self->children[i];
    return layer->cls->act && self->children[i + 1]->cls->relu_forward && layer->cls->act(layer).kind == TARE_ACT_RELU;
}

/* What child i can do of the next one's work: an activation. */
static tare_act next_act(const tare_layer *self, int i, const tare_tape *tape) {
    const tare_layer *next = i + 1 < self->n_children ? self->children[i + 1] : NULL;
    bool can = next && next->cls->act && self->children[i]->cls->forward_act && tare_tape_fuses(tape);
    can = can && !goes_to_next(self, i + 1, tape);
    return can ? next->cls->act(next) : (tare_act){ TARE_ACT_NONE, 0 };
}

/* Child *i, and the one behind it where one op does both; *i is then moved on. */
static tare_tensor *run(const tare_layer *self, int *i, tare_tape *tape, tare_tensor *x) {
    bool maximum = goes_to_next(self, *i, tape);
    tare_act act = next_act(self, *i, tape);
    tare_layer *layer = self->children[maximum ? *i + 1 : *i];
    if (!maximum && act.kind == TARE_ACT_NONE) { return tare_forward(layer, tape, x); }
    ++*i;
    if (!x) { return NULL; }
    const char *outer = tare_tape_layer_set(tape, layer->name);
    tare_tensor *y = maximum ? layer->cls->relu_forward(layer, tape, x) : layer->cls->forward_act(layer, tape, x, act);
    tare_tape_layer_set(tape, outer);
    return y;
}

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    tare_tensor *y = x;
    for (int i = 0; i < self->n_children; i++) {
        tare_tensor *next = run(self, &i, tape, y);
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
