/* dropout.c - dropout as a layer. */
#include <tare/layers.h>

#include <stdio.h>

typedef struct dropout {
    tare_layer base;
    double p;
} dropout;

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    return tare_dropout(tape, x, ((const dropout *)self)->p);
}

static void describe(const tare_layer *self, char *text, size_t size) {
    snprintf(text, size, "p %g", ((const dropout *)self)->p);
}

static const tare_layer_class dropout_class = { .name = "dropout", .forward = forward, .describe = describe };

tare_layer *tare_layer_dropout(tare_params *ps, const char *name, double p) {
    dropout *d = (dropout *)tare_layer_new(ps, name, &dropout_class, sizeof *d);
    if (!d) { return NULL; }
    if (!(p >= 0 && p <= 1)) {
        return tare_params_fail(ps, TARE_EINVAL, "dropout \"%s\": p is %g, must lie in 0..1", d->base.name, p);
    }
    d->p = p;
    return &d->base;
}
