/* embedding.c - a table of vectors as a layer, and the linear map that shares its weight. */
#include <tare/sequence.h>

#include <inttypes.h>
#include <stdio.h>

/* Row numbers arrive as tensor values; the tape lends memory for them as integers. */
static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    tare_tensor *room = tare_input(tape, x->shape, NULL);
    if (!room) { return NULL; }
    if (!x->data && x->numel) {
        return tare_tape_fail(tape, TARE_EINVAL, "embedding \"%s\": x has no values any more", self->name);
    }
    int32_t *index = (int32_t *)(void *)room->data;
    int64_t rows = self->weight->shape.dim[0];
    for (int64_t i = 0; i < x->numel; i++) {
        double row = (double)x->data[i];
        if (!(row >= 0 && row < (double)rows && row == (double)(int64_t)row)) {
            return tare_tape_fail(tape, TARE_EINVAL,
                                  "embedding \"%s\": %g at position %" PRId64 " names none of %" PRId64 " rows",
                                  self->name, row, i, rows);
        }
        index[i] = (int32_t)row;
    }
    return tare_embedding(tape, tare_layer_weight(self, tape), index, x->shape);
}

static void describe(const tare_layer *self, char *text, size_t size) {
    const int64_t *dim = self->weight->shape.dim;
    snprintf(text, size, "%" PRId64 " rows of %" PRId64, dim[0], dim[1]);
}

static const tare_layer_class embedding_class = { .name = "embedding", .forward = forward, .describe = describe };

tare_layer *tare_layer_embedding(tare_params *ps, const char *name, int64_t rows, int64_t width) {
    if (!name) { name = embedding_class.name; }
    tare_layer *layer = tare_layer_new(ps, name, &embedding_class, sizeof *layer);
    if (!layer) { return NULL; }
    if (rows > INT32_MAX) {
        return tare_params_fail(ps, TARE_EINVAL, "embedding \"%s\": %" PRId64 " rows are more than %d", layer->name,
                                rows, INT32_MAX);
    }
    tare_params_push(ps, name);
    layer->weight = tare_param(ps, "weight", TARE_SHAPE(rows, width), 0);
    tare_params_pop(ps);
    if (tare_params_status(ps)) { return NULL; }
    tare_init_normal(ps, layer->weight, 0, 1);
    return layer;
}

tare_tensor *tare_layer_embed(tare_layer *layer, tare_tape *tape, const int32_t *index, tare_shape shape) {
    if (!layer || layer->cls != &embedding_class) {
        return tare_tape_fail(tape, TARE_EINVAL, "embed: the layer is no embedding, or NULL; see tare_params_error");
    }
    const char *outer = tare_tape_layer_set(tape, layer->name);
    tare_tensor *y = tare_embedding(tape, tare_layer_weight(layer, tape), index, shape);
    tare_tape_layer_set(tape, outer);
    return y;
}

/* ---- tied ---------------------------------------------------------------------------------------------------------- */

typedef struct tied {
    tare_layer base;
    tare_layer *other;
} tied;

static tare_tensor *tied_forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    return tare_linear(tape, x, tare_layer_weight(((tied *)self)->other, tape), NULL);
}

static void tied_describe(const tare_layer *self, char *text, size_t size) {
    snprintf(text, size, "weight of %s", ((const tied *)self)->other->name);
}

static const tare_layer_class tied_class = { .name = "tied", .forward = tied_forward, .describe = tied_describe };

tare_layer *tare_layer_tied(tare_params *ps, const char *name, tare_layer *other) {
    tied *l = (tied *)tare_layer_new(ps, name, &tied_class, sizeof *l);
    if (!l) { return NULL; }
    if (!other || other->params != ps || !other->weight || other->weight->shape.ndim != 2) {
        return tare_params_fail(ps, TARE_EINVAL, "tied \"%s\": \"%s\" has no matrix of weights here to share",
                                l->base.name, other ? other->name : "NULL");
    }
    l->other = other;
    return &l->base;
}
