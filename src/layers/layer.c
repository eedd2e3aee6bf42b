/* layer.c - what all layers share: making one, running one, its children and its weight transforms. */
#include <tare/layers.h>

#include <string.h>

tare_layer *tare_layer_new(tare_params *ps, const char *name, const tare_layer_class *cls, size_t size) {
    if (!ps || tare_params_status(ps)) { return NULL; }
    const char *full = tare_params_name(ps, name ? name : cls->name);
    tare_layer *layer = full ? tare_params_own(ps, tare_calloc(1, size)) : NULL;
    if (!layer) { return NULL; }
    layer->cls = cls;
    layer->name = full;
    layer->params = ps;
    return layer;
}

tare_status tare_layer_adopt(tare_layer *layer, tare_layer *const *children, int n) {
    if (!layer) { return TARE_ENOMEM; }
    tare_params *ps = layer->params;
    for (int i = 0; i < n; i++) {
        if (!children[i]) {
            tare_params_fail(ps, TARE_EINVAL, "%s \"%s\": layer %d of %d is NULL", layer->cls->name, layer->name, i, n);
        } else if (children[i]->params != ps) {
            tare_params_fail(ps, TARE_EINVAL, "%s \"%s\": layer \"%s\" belongs to another tare_params",
                             layer->cls->name, layer->name, children[i]->name);
        }
        if (tare_params_status(ps)) { return tare_params_status(ps); }
    }
    if (n < 1) { return TARE_OK; }
    tare_layer **copy = tare_params_own(ps, tare_calloc((size_t)n, sizeof(tare_layer *)));
    if (!copy) { return tare_params_status(ps); }
    memcpy(copy, children, (size_t)n * sizeof(tare_layer *));
    layer->children = copy;
    layer->n_children = n;
    return TARE_OK;
}

tare_tensor *tare_forward(tare_layer *layer, tare_tape *tape, tare_tensor *x) {
    if (!layer) {
        return tare_tape_fail(tape, TARE_EINVAL,
                              "forward: the layer is NULL; see tare_params_error for why it was not made");
    }
    if (!x) { return NULL; }
    const char *outer = tare_tape_layer_set(tape, layer->name);
    tare_tensor *y = layer->cls->forward(layer, tape, x);
    tare_tape_layer_set(tape, outer);
    const tare_watch *watch = tare_tape_watch(tape);
    if (y && watch) { watch->see(watch->context, layer, x, y); }
    return y;
}

tare_status tare_layer_add_transform(tare_layer *layer, tare_weight_transform *transform) {
    if (!layer || !transform) { return TARE_ENOMEM; }
    if (!layer->weight) {
        tare_params_fail(layer->params, TARE_EINVAL, "%s \"%s\" has no weight that %s could transform",
                         layer->cls->name, layer->name, transform->name);
        return TARE_EINVAL;
    }
    tare_weight_transform **end = &layer->transforms;
    while (*end) { end = &(*end)->next; }
    transform->next = NULL;
    *end = transform;
    return TARE_OK;
}

const char *tare_layer_own_name(const tare_layer *layer) {
    const char *dot = strrchr(layer->name, '.');
    return dot ? dot + 1 : layer->name;
}

tare_tensor *tare_layer_weight(tare_layer *layer, tare_tape *tape) {
    tare_tensor *w = layer->weight;
    for (tare_weight_transform *t = layer->transforms; t && w; t = t->next) { w = t->apply(t, layer, tape, w); }
    return w;
}

static bool is_param_of(const tare_layer *layer, const tare_tensor *w) {
    size_t n = strlen(layer->name);
    return strncmp(w->name, layer->name, n) == 0 && w->name[n] == '.' && !strchr(w->name + n + 1, '.');
}

/* Is parameter w one of this layer's or of a layer below? A layer met twice counts once, since w is asked for once. */
static bool holds(const tare_layer *layer, const tare_tensor *w) {
    if (is_param_of(layer, w)) { return true; }
    for (int i = 0; i < layer->n_children; i++) {
        if (holds(layer->children[i], w)) { return true; }
    }
    return false;
}

int64_t tare_layer_numel(const tare_layer *layer) {
    int64_t n = 0;
    for (int i = 0; layer && i < tare_params_count(layer->params); i++) {
        const tare_tensor *w = tare_params_at(layer->params, i);
        if (holds(layer, w)) { n += w->numel; }
    }
    return n;
}
