/* activation.c - activations, and any function of one tensor, as layers. */
#include <tare/layers.h>

#include "number.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct kind {
    const char *name;
    tare_tensor *(*plain)(tare_tape *tape, tare_tensor *x);
    tare_tensor *(*with)(tare_tape *tape, tare_tensor *x, double number);
    double initial;
    const char *meaning; /* of the number */
} kind;

typedef struct activation {
    tare_layer base;
    const kind *kind;
    double number;
} activation;

static tare_tensor *same(tare_tape *tape, tare_tensor *x) {
    (void)tape;
    return x;
}

static const kind kinds[] = {
    { .name = "identity", .plain = same },
    { .name = "relu", .plain = tare_relu },
    { .name = "leaky_relu", .with = tare_leaky_relu, .initial = 0.01, .meaning = "slope" },
    { .name = "elu", .with = tare_elu, .initial = 1, .meaning = "alpha" },
    { .name = "sigmoid", .plain = tare_sigmoid },
    { .name = "tanh", .plain = tare_tanh },
    { .name = "gelu", .plain = tare_gelu },
    { .name = "gelu_tanh", .plain = tare_gelu_tanh },
    { .name = "silu", .plain = tare_silu },
    { .name = "softplus", .with = tare_softplus, .initial = 1, .meaning = "beta" },
};

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    const activation *a = (const activation *)self;
    return a->kind->plain ? a->kind->plain(tape, x) : a->kind->with(tape, x, a->number);
}

static void describe(const tare_layer *self, char *text, size_t size) {
    const activation *a = (const activation *)self;
    if (a->kind->with) {
        snprintf(text, size, "%s, %s %g", a->kind->name, a->kind->meaning, a->number);
    } else {
        snprintf(text, size, "%s", a->kind->name);
    }
}

static tare_act act(const tare_layer *self) {
    const activation *a = (const activation *)self;
    if (a->kind->plain == tare_relu) { return (tare_act){ TARE_ACT_RELU, 0 }; }
    if (a->kind->with == tare_leaky_relu) { return (tare_act){ TARE_ACT_LEAKY_RELU, a->number }; }
    return (tare_act){ TARE_ACT_NONE, 0 };
}

static const tare_layer_class activation_class = {
    .name = "activation", .forward = forward, .describe = describe, .act = act
};

static tare_layer *unknown(tare_params *ps, const tare_layer *layer, const char *wanted) {
    char known[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", kinds[i].name);
    }
    return tare_params_fail(ps, TARE_EINVAL, "activation \"%s\": there is no \"%s\"; known: %s", layer->name, wanted,
                            known);
}

tare_layer *tare_layer_activation(tare_params *ps, const char *name, const char *wanted) {
    activation *a = (activation *)tare_layer_new(ps, name ? name : wanted, &activation_class, sizeof *a);
    if (!a) { return NULL; }
    if (!wanted) { wanted = ""; }
    size_t word = strcspn(wanted, ":");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strlen(kinds[i].name) == word && strncmp(kinds[i].name, wanted, word) == 0) { a->kind = &kinds[i]; }
    }
    if (!a->kind) { return unknown(ps, &a->base, wanted); }
    a->number = a->kind->initial;
    if (!wanted[word]) { return &a->base; }
    size_t used = a->kind->with ? tare__number(wanted + word + 1, &a->number) : 0;
    if (used == 0 || wanted[word + 1 + used] || !isfinite(a->number)) {
        return tare_params_fail(ps, TARE_EINVAL, "activation \"%s\": \"%s\" %s", a->base.name, wanted,
                                a->kind->with ? "does not end in a number" : "takes no number");
    }
    return &a->base;
}

tare_layer *tare_layer_relu(tare_params *ps, const char *name) { return tare_layer_activation(ps, name, "relu"); }

/* ---- any function ------------------------------------------------------------------------------------------------ */

typedef struct function {
    tare_layer base;
    tare_tensor *(*function)(tare_tape *tape, tare_tensor *x);
} function;

static tare_tensor *function_forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    return ((const function *)self)->function(tape, x);
}

static const tare_layer_class function_class = { .name = "function", .forward = function_forward };

tare_layer *tare_layer_function(tare_params *ps, const char *name, tare_tensor *(*f)(tare_tape *tape, tare_tensor *x)) {
    function *l = (function *)tare_layer_new(ps, name, &function_class, sizeof *l);
    if (!l) { return NULL; }
    if (!f) { return tare_params_fail(ps, TARE_EINVAL, "function \"%s\" is NULL", l->base.name); }
    l->function = f;
    return &l->base;
}
