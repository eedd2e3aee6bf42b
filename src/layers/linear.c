/* linear.c - y = x W^T + b as a layer. */
#include <tare/layers.h>

#include <inttypes.h>
#include <stdio.h>

typedef struct linear {
    tare_layer base;
    tare_tensor *bias;
} linear;

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    tare_tensor *w = tare_layer_weight(self, tape), *y = tare_linear(tape, x, w, ((linear *)self)->bias);
    tare_release(tape, w); /* what transforms have made */
    return y;
}

static void describe(const tare_layer *self, char *text, size_t size) {
    const tare_shape *w = &self->weight->shape;
    snprintf(text, size, "%" PRId64 " -> %" PRId64 "%s", w->dim[1], w->dim[0],
             ((const linear *)self)->bias ? "" : ", no bias");
}

static const tare_layer_class linear_class = { .name = "linear", .forward = forward, .describe = describe };

tare_layer *tare_layer_linear(tare_params *ps, const char *name, int64_t in, int64_t out, tare_layer_linear_opt opt) {
    if (!name) { name = linear_class.name; }
    linear *l = (linear *)tare_layer_new(ps, name, &linear_class, sizeof *l);
    if (!l) { return NULL; }
    tare_params_push(ps, name);
    l->base.weight = tare_param(ps, "weight", TARE_SHAPE(out, in), 0);
    if (!opt.no_bias) { l->bias = tare_param(ps, "bias", TARE_SHAPE(out), TARE_NO_DECAY); }
    tare_params_pop(ps);
    if (tare_params_status(ps)) { return NULL; }
    tare_init_default(ps, l->base.weight, l->bias);
    return &l->base;
}
