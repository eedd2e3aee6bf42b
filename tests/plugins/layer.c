/* layer.c - a plugin that brings a layer: y = x * sigmoid(x W^T) over the last dimension. */
#include <tare/tare.h>

typedef struct gate {
    tare_layer base;
    tare_layer *linear;
} gate;

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    return tare_mul(tape, x, tare_sigmoid(tape, tare_forward(((gate *)self)->linear, tape, x)));
}

static const tare_layer_class class = { .name = "gate", .forward = forward };

static tare_layer *make(tare_params *ps, const char *name, tare_shape features) {
    gate *g = (gate *)tare_layer_new(ps, name, &class, sizeof *g);
    if (!g) { return NULL; }
    int64_t width = features.dim[features.ndim - 1];
    tare_params_push(ps, name);
    g->linear = tare_layer_linear(ps, "linear", width, width, (tare_layer_linear_opt){ .no_bias = true });
    tare_params_pop(ps);
    return tare_layer_adopt(&g->base, &g->linear, 1) ? NULL : &g->base;
}

static const tare_layer_kind kind = { .name = "gate", .make = make };
TARE_PLUGIN(.name = "layer", .layers = (const tare_layer_kind *const[]){ &kind, NULL });
