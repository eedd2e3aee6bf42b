/* kv_cache.c - keys and values of what came before, so that a causal model answers one more step without doing the others again. */
#include "attention.h"

#include <inttypes.h>
#include <string.h>

typedef struct slot {
    const tare_layer *layer;
    tare_real *k, *v; /* [B,H,context,D] */
} slot;

struct tare_kv_cache {
    int64_t batch, context;
    int slots;
    slot *slot;
    int32_t *lengths; /* [B] */
};

/* ---- life -------------------------------------------------------------------------------------------------------- */

/* How many attention layers there are in this layer and below; slots, if not NULL, get them in order. */
static int find_layers(const tare_layer *layer, slot *slots) {
    int n = 0;
    if (layer->cls == &tare__attention_class) {
        if (slots) { slots[0].layer = layer; }
        n = 1;
    }
    for (int i = 0; i < layer->n_children; i++) { n += find_layers(layer->children[i], slots ? slots + n : NULL); }
    return n;
}

static int64_t slot_numel(const tare_kv_cache *c, const tare_layer *layer) {
    return tare_shape_numel(TARE_SHAPE(c->batch, c->context, layer->weight->shape.dim[1]));
}

static bool allocate(tare_kv_cache *c) {
    c->lengths = tare_calloc((size_t)c->batch, sizeof *c->lengths);
    bool whole = c->lengths != NULL;
    for (int i = 0; whole && i < c->slots; i++) {
        int64_t numel = slot_numel(c, c->slot[i].layer);
        c->slot[i].k = numel > 0 ? tare_calloc((size_t)numel, 2 * sizeof(tare_real)) : NULL;
        whole = c->slot[i].k != NULL;
        if (whole) { c->slot[i].v = c->slot[i].k + numel; }
    }
    return whole;
}

tare_kv_cache *tare_kv_cache_new(const tare_layer *model, int64_t batch, int64_t context) {
    int slots = model ? find_layers(model, NULL) : 0;
    if (slots < 1 || batch < 1 || context < 1 || context > INT32_MAX) {
        tare_fail(TARE_EINVAL,
                  "kv_cache: %" PRId64 " sequences of %" PRId64 " positions in %d attention layers of \"%s\"", batch,
                  context, slots, model ? model->name : "NULL");
        return NULL;
    }
    tare_kv_cache *c = tare_calloc(1, sizeof *c);
    if (!c) { return NULL; }
    *c = (tare_kv_cache){ .batch = batch, .context = context, .slots = slots };
    c->slot = tare_calloc((size_t)slots, sizeof *c->slot);
    if (c->slot) { find_layers(model, c->slot); }
    if (!c->slot || !allocate(c)) {
        tare_kv_cache_free(c);
        return NULL;
    }
    return c;
}

void tare_kv_cache_free(tare_kv_cache *cache) {
    if (!cache) { return; }
    for (int i = 0; cache->slot && i < cache->slots; i++) { tare_free(cache->slot[i].k); }
    tare_free(cache->slot);
    tare_free(cache->lengths);
    tare_free(cache);
}

/* ---- use --------------------------------------------------------------------------------------------------------- */

static slot *slot_of(tare_kv_cache *c, const tare_layer *layer) {
    for (int i = 0; i < c->slots; i++) {
        if (c->slot[i].layer == layer) { return &c->slot[i]; }
    }
    return NULL;
}

static tare_status check(tare_kv_cache *c, const tare__attention_layer *a, tare_tape *tape, const tare_tensor *qkv) {
    const char *name = a->base.name;
    const tare_sequence *s = a->opt.sequence;
    int64_t batch = qkv->shape.dim[0], steps = qkv->shape.dim[1];
    if (tare_tape_training(tape) || !a->opt.causal || s->lengths) {
        tare_tape_fail(tape, TARE_EINVAL,
                       "attention \"%s\": keys and values are kept in evaluation, of causal layers, without lengths",
                       name);
    } else if (!slot_of(c, &a->base) || batch != c->batch) {
        tare_tape_fail(tape, TARE_EINVAL,
                       "attention \"%s\": the cache of %" PRId64 " sequences was not made for it and %" PRId64, name,
                       c->batch, batch);
    } else if (s->offset > 0 && steps != 1) {
        tare_tape_fail(tape, TARE_EINVAL,
                       "attention \"%s\": %" PRId64 " steps at position %" PRId64 "; several at once only at 0", name,
                       steps, s->offset);
    } else if (s->offset < 0 || steps > c->context - s->offset) {
        tare_tape_fail(tape, TARE_ESHAPE,
                       "attention \"%s\": %" PRId64 " steps at position %" PRId64
                       " leave the cache's context of %" PRId64,
                       name, steps, s->offset, c->context);
    }
    return tare_tape_status(tape);
}

tare_status tare__kv_cache_keep(tare_kv_cache *cache, const tare__attention_layer *a, tare_tape *tape,
                                const tare_tensor *qkv) {
    tare_status status = check(cache, a, tape, qkv);
    if (status) { return status; }
    const slot *s = slot_of(cache, &a->base);
    int64_t steps = qkv->shape.dim[1], width = qkv->shape.dim[2] / 3, heads = a->opt.heads, d = width / heads;
    for (int64_t i = 0; i < cache->batch * steps * heads; i++) {
        int64_t head = i % heads, step = i / heads % steps, b = i / heads / steps;
        const tare_real *from = qkv->data + (b * steps + step) * 3 * width + width + head * d;
        int64_t to = ((b * heads + head) * cache->context + a->opt.sequence->offset + step) * d;
        memcpy(s->k + to, from, (size_t)d * sizeof *from);
        memcpy(s->v + to, from + width, (size_t)d * sizeof *from);
    }
    return TARE_OK;
}

tare_tensor *tare__kv_cache_attend(tare_kv_cache *cache, const tare__attention_layer *a, tare_tape *tape,
                                   tare_tensor *qkv) {
    const slot *s = slot_of(cache, &a->base);
    int64_t width = qkv->shape.dim[2] / 3, heads = a->opt.heads, d = width / heads;
    tare_shape kept = TARE_SHAPE(cache->batch, heads, cache->context, d);
    for (int64_t b = 0; b < cache->batch; b++) { cache->lengths[b] = (int32_t)(a->opt.sequence->offset + 1); }
    tare_tensor *q = tare_slice(tape, qkv, 2, 0, width, 1);
    q = tare_reshape(tape, q, TARE_SHAPE(cache->batch, heads, 1, d));
    tare_tensor *y = tare_attention(tape, q, tare_input_view(tape, kept, s->k), tare_input_view(tape, kept, s->v),
                                    (tare_attention_opt){ .lengths = cache->lengths });
    return tare_reshape(tape, y, TARE_SHAPE(cache->batch, 1, width));
}
