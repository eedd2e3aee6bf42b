/* composed.c - a norm made of ops that Tare has, so there is no backward to write: y = tanh(a layer_norm(x)), a learnt. */
#include <tare/tare.h>

typedef struct tanh_norm {
    tare_layer base;
    tare_tensor *a; /* one value */
} tanh_norm;

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    tare_layer_norm_opt opt = { .dims = x->shape.ndim - 1, .eps = 1e-5 };
    return tare_tanh(tape, tare_mul(tape, tare_layer_norm(tape, x, NULL, NULL, opt), ((tanh_norm *)self)->a));
}
static const tare_layer_class class = { .name = "tanh_norm", .forward = forward };

static tare_layer *make(tare_params *ps, const char *name, tare_shape features, const double *values) {
    tanh_norm *l = (tanh_norm *)tare_layer_new(ps, name, &class, sizeof *l);
    tare_params_push(ps, name);
    tare_tensor *a = l && features.ndim ? tare_param(ps, "a", TARE_SHAPE(1), TARE_NO_DECAY) : NULL;
    tare_params_pop(ps);
    tare_init_constant(ps, a, values[0]);
    return a ? (l->a = a, &l->base) : NULL;
}

static const tare_norm_kind kind = {
    .name = "tanhnorm",
    .title = "tanh of LayerNorm",
    .over = "all features of a sample",
    .options = { { .key = "a", .initial = 1, .lo = 0.01, .hi = 100, .bare = true, .help = "where a starts" } },
    .make = make,
};
TARE_PLUGIN(.name = "composed", .norms = (const tare_norm_kind *const[]){ &kind, NULL });
