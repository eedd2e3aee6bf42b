/* model.c - the two nets: convolutions for pictures, linear layers for points; a norm where each option says so.
 *
 * Pictures: Radford et al. 2016, arXiv:1511.06434 (DCGAN), three doublings and three halvings; the discriminator's first
 * layer has no norm of activations, nor has the generator's last. */
#include "gan.h"

#include <string.h>

#define SLOPE "leaky_relu:0.1"

tare_status params_status(const tare_params *ps) {
    tare_status s = tare_params_status(ps);
    return s == TARE_OK ? s : tare_fail(s, "%s", tare_params_error(ps));
}

tare_status tape_status(const tare_tape *tape) {
    tare_status s = tare_tape_status(tape);
    return s == TARE_OK ? s : tare_fail(s, "%s", tare_tape_error(tape));
}

/* ---- [N,C*H*W] -> [N,C,H,W] -------------------------------------------------------------------------------------- */

typedef struct unflatten {
    tare_layer base;
    tare_shape to;
} unflatten;

static tare_tensor *unflatten_forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    tare_shape to = ((unflatten *)self)->to;
    return tare_reshape(tape, x, TARE_SHAPE(x->shape.dim[0], to.dim[0], to.dim[1], to.dim[2]));
}

static tare_layer *unflatten_new(tare_params *ps, tare_shape to) {
    static const tare_layer_class class = { .name = "unflatten", .forward = unflatten_forward };
    unflatten *u = (unflatten *)tare_layer_new(ps, NULL, &class, sizeof *u);
    if (!u) { return NULL; }
    u->to = to;
    return &u->base;
}

/* ---- norms ------------------------------------------------------------------------------------------------------- */

typedef struct norm {
    const char *spec;
    int64_t classes; /* 0: unconditional */
} norm;

/* The norm of activations in a spec, its scale and shift switched off where it lets them: those come from the class.
 * Returns false where there is none. */
static bool without_affine(const char *spec, char *text, size_t size) {
    for (const char *s = spec; *s;) {
        size_t n = strcspn(s, "+"), name_size = strcspn(s, ":+");
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)name_size, s);
        const tare_norm_kind *kind = tare_norm_kind_find(name);
        bool has_affine = false;
        for (int i = 0; kind && i < TARE_NORM_OPTIONS && kind->options[i].key; i++) {
            has_affine = has_affine || strcmp(kind->options[i].key, "affine") == 0;
        }
        if (kind && !kind->transform && strcmp(name, "none") != 0) {
            bool given = strstr(s, "affine=") != NULL;
            snprintf(text, size, "%.*s%s%s", (int)n, s,
                     !has_affine || given ? ""
                     : name_size < n      ? ","
                                          : ":",
                     !has_affine || given ? "" : "affine=no");
            return true;
        }
        s += n + (s[n] == '+');
    }
    return false;
}

/* A norm brings its own shift, so that a bias in front of it would do nothing. */
static bool has_norm(const char *spec) {
    char text[256];
    return without_affine(spec, text, sizeof text);
}

static tare_layer *norm_layer(tare_params *ps, const char *name, norm how, tare_shape features) {
    char spec[256];
    if (how.classes == 0 || !without_affine(how.spec, spec, sizeof spec)) {
        return tare_norm_layer(ps, name, how.spec, features);
    }
    tare_params_push(ps, name);
    tare_layer *plain = tare_norm_layer(ps, "plain", spec, features);
    tare_params_pop(ps);
    return tare_layer_conditional_norm(ps, name, plain, features.dim[0], how.classes);
}

static tare_layer *linear(tare_params *ps, const char *name, int64_t in, int64_t out, const char *spec, bool normed) {
    tare_layer *l =
        tare_layer_linear(ps, name, in, out, (tare_layer_linear_opt){ .no_bias = normed && has_norm(spec) });
    if (l) { tare_norm_weight(l, spec); }
    return l;
}

/* The layers of a net, one after the other. */
typedef struct stack {
    tare_params *ps;
    norm how;
    const char *activation;
    tare_layer *layer[24];
    int n;
} stack;

static void push(stack *s, tare_layer *layer) { s->layer[s->n++] = layer; }

/* What follows a hidden layer: its norm, unless there is none or it goes without, and the activation. */
static void push_after(stack *s, const char *number, bool normed, tare_shape features) {
    char name[16];
    snprintf(name, sizeof name, "norm%s", number);
    if (normed && has_norm(s->how.spec)) { push(s, norm_layer(s->ps, name, s->how, features)); }
    snprintf(name, sizeof name, "act%s", number);
    push(s, tare_layer_activation(s->ps, name, s->activation));
}

static tare_layer *finish(stack *s) { return tare_layer_sequential(s->ps, NULL, s->layer, s->n); }

/* ---- points ------------------------------------------------------------------------------------------------------ */

/* Scores from features [N,C,...]: one number for each sample, by class where D is told the class. */
static void push_scores(stack *s, const options *o, const subject *what, tare_shape features) {
    if (o->minibatch_stddev) {
        push(s, tare_layer_minibatch_stddev(s->ps, NULL, 0));
        features.dim[0]++;
    }
    if (features.ndim > 1) { push(s, tare_layer_flatten(s->ps, NULL)); }
    int64_t n = tare_shape_numel(features);
    push(s, o->classes ? tare_layer_projection(s->ps, "fc", n, what->classes, s->how.spec)
                       : linear(s->ps, "fc", n, 1, s->how.spec, false));
}

/* Three hidden layers; a norm of activations behind each of G's, and behind D's but the first. */
static void push_hidden(stack *s, int64_t in, int64_t width, bool discriminator) {
    static const char *const fc[] = { "fc1", "fc2", "fc3" }, *const number[] = { "1", "2", "3" };
    for (int i = 0; i < 3; i++) {
        bool normed = i > 0 || !discriminator;
        push(s, linear(s->ps, fc[i], i ? width : in, width, s->how.spec, normed));
        push_after(s, number[i], normed, TARE_SHAPE(width));
    }
}

/* ---- pictures ---------------------------------------------------------------------------------------------------- */

/* Twice the height and width. */
static void push_double(stack *s, const options *o, const char *name, int64_t in, int64_t out, bool normed) {
    bool no_bias = normed && has_norm(o->g_norm), bilinear = strcmp(o->upsample, "bilinear") == 0;
    tare_layer *conv;
    if (strcmp(o->upsample, "transpose") == 0) {
        conv = tare_layer_conv_transpose2d(
            s->ps, name, in, out, 4, (tare_layer_conv_transpose2d_opt){ .stride = 2, .pad = 1, .no_bias = no_bias });
    } else {
        tare_upsample2d_opt up = { .mode = bilinear ? TARE_UPSAMPLE_BILINEAR : TARE_UPSAMPLE_NEAREST };
        push(s, tare_layer_upsample2d(s->ps, NULL, up));
        conv = tare_layer_conv2d(s->ps, name, in, out, 3, (tare_layer_conv2d_opt){ .pad = 1, .no_bias = no_bias });
    }
    if (conv) { tare_norm_weight(conv, o->g_norm); }
    push(s, conv);
}

static tare_layer *picture_generator(stack *s, const options *o, tare_shape image) {
    int64_t w = o->width, h = image.dim[1] / 8, l = image.dim[2] / 8;
    push(s, linear(s->ps, "fc", o->z_dim, 4 * w * h * l, o->g_norm, true));
    push(s, unflatten_new(s->ps, TARE_SHAPE(4 * w, h, l)));
    push_after(s, "1", true, TARE_SHAPE(4 * w, h, l));
    push_double(s, o, "up1", 4 * w, 2 * w, true);
    push_after(s, "2", true, TARE_SHAPE(2 * w, 2 * h, 2 * l));
    push_double(s, o, "up2", 2 * w, w, true);
    push_after(s, "3", true, TARE_SHAPE(w, 4 * h, 4 * l));
    push_double(s, o, "up3", w, image.dim[0], false);
    push(s, tare_layer_activation(s->ps, "tanh", "tanh"));
    return finish(s);
}

/* Half the height and width. */
static void push_half(stack *s, const char *name, int64_t in, int64_t out, bool normed) {
    tare_layer *conv =
        tare_layer_conv2d(s->ps, name, in, out, 4,
                          (tare_layer_conv2d_opt){ .stride = 2, .pad = 1, .no_bias = normed && has_norm(s->how.spec) });
    if (conv) { tare_norm_weight(conv, s->how.spec); }
    push(s, conv);
}

static tare_layer *picture_discriminator(stack *s, const options *o, const subject *what) {
    int64_t w = o->width, h = what->shape.dim[1] / 8, l = what->shape.dim[2] / 8;
    push_half(s, "conv1", what->shape.dim[0], w, false);
    push_after(s, "1", false, TARE_SHAPE(w, 4 * h, 4 * l));
    push_half(s, "conv2", w, 2 * w, true);
    push_after(s, "2", true, TARE_SHAPE(2 * w, 2 * h, 2 * l));
    push_half(s, "conv3", 2 * w, 4 * w, true);
    push_after(s, "3", true, TARE_SHAPE(4 * w, h, l));
    push_scores(s, o, what, TARE_SHAPE(4 * w, h, l));
    return finish(s);
}

/* ---- either ------------------------------------------------------------------------------------------------------ */

tare_layer *generator_new(tare_params *ps, const options *o, const subject *what) {
    stack s = { .ps = ps, .how = { o->g_norm, o->classes ? what->classes : 0 }, .activation = "relu" };
    if (o->classes && !has_norm(o->g_norm)) {
        return tare_params_fail(ps, TARE_EINVAL,
                                "--classes: G learns the class in its norms, and --g-norm %s has none of activations; "
                                "take bn, in or gn:8",
                                o->g_norm);
    }
    if (!what->toy) { return picture_generator(&s, o, what->shape); }
    push_hidden(&s, o->z_dim, o->width, false);
    push(&s, linear(ps, "fc4", o->width, 2, o->g_norm, false));
    return finish(&s);
}

tare_layer *discriminator_new(tare_params *ps, const options *o, const subject *what) {
    stack s = { .ps = ps, .how = { .spec = o->d_norm }, .activation = SLOPE };
    if (!what->toy) { return picture_discriminator(&s, o, what); }
    push_hidden(&s, 2, o->width, true);
    push_scores(&s, o, what, TARE_SHAPE(o->width));
    return finish(&s);
}

tare_tensor *net_forward(tare_layer *net, tare_tape *tape, tare_tensor *x, const int32_t *labels) {
    tare_condition(net, labels, x ? x->shape.dim[0] : 0);
    return tare_forward(net, tape, x);
}
