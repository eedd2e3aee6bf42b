/* projection.c - the head of a discriminator that is told classes: a score, and how well the features fit the class.
 * Miyato & Koyama 2018, arXiv:1802.05637 */
#include "condition.h"

#include <inttypes.h>
#include <stdio.h>
#include <tare/gan.h>
#include <tare/sequence.h>

typedef struct projection {
    tare__conditioned head;
    tare_layer *score, *embed; /* embed NULL: no classes */
    int64_t channels;
} projection;

/* [N,C,...] summed over positions: [N,C]. */
static tare_tensor *pool(const projection *p, tare_tape *t, tare_tensor *x) {
    if (x->shape.ndim < 2 || x->shape.dim[1] != p->channels) {
        tare_shape_buf buf;
        return tare_tape_fail(t, TARE_ESHAPE, "projection \"%s\": x %s is not [N,%" PRId64 ",...]", p->head.base.name,
                              tare_shape_text(x->shape, &buf), p->channels);
    }
    unsigned positions = 0;
    for (int d = 2; d < x->shape.ndim; d++) { positions |= TARE_DIM(d); }
    return positions ? tare_sum(t, x, positions, false) : x;
}

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    const projection *p = (const projection *)self;
    tare_tensor *h = pool(p, tape, x);
    if (!h || !p->embed) { return tare_forward(p->score, tape, h); }
    if (!tare__condition_fits(tape, &p->head, x)) { return NULL; }
    tare_tensor *score = tare_forward(p->score, tape, h);
    tare_tensor *rows = tare_layer_embed(p->embed, tape, p->head.given, TARE_SHAPE(p->head.samples));
    return tare_add(tape, score, tare_sum(tape, tare_mul(tape, rows, h), TARE_DIM(1), true));
}

static void describe(const tare_layer *self, char *text, size_t size) {
    const projection *p = (const projection *)self;
    if (p->embed) { snprintf(text, size, "%" PRId64 " classes", p->embed->weight->shape.dim[0]); }
}

const tare_layer_class tare__projection_class = { .name = "projection", .forward = forward, .describe = describe };

tare_layer *tare_layer_projection(tare_params *ps, const char *name, int64_t channels, int64_t classes,
                                  const char *norm) {
    projection *p = (projection *)tare_layer_new(ps, name, &tare__projection_class, sizeof *p);
    if (!p) { return NULL; }
    if (channels < 1 || classes < 0) {
        return tare_params_fail(ps, TARE_EINVAL,
                                "projection \"%s\": %" PRId64 " channels, %" PRId64
                                " classes: give 1 channel or more, and 0 classes for none",
                                p->head.base.name, channels, classes);
    }
    p->channels = channels;
    tare_params_push(ps, tare_layer_own_name(&p->head.base));
    p->score = tare_layer_linear(ps, "linear", channels, 1, (tare_layer_linear_opt){ 0 });
    tare_norm_weight(p->score, norm ? norm : "none");
    if (classes) {
        p->embed = tare_layer_embedding(ps, "embed", classes, channels);
        tare_norm_weight(p->embed, norm ? norm : "none");
    }
    tare_params_pop(ps);
    tare_layer *children[] = { p->score, p->embed };
    return tare_layer_adopt(&p->head.base, children, classes ? 2 : 1) ? NULL : &p->head.base;
}
