/* norm_spec.h - a norm spec, taken apart. */
#ifndef TARE_LAYERS_NORM_SPEC_H
#define TARE_LAYERS_NORM_SPEC_H

#include <tare/norms.h>

#define NORM(name) extern const tare_norm_kind tare__norm_##name;
#include "norms.def"
#undef NORM

typedef struct tare__norm_part {
    const tare_norm_kind *kind;
    double values[TARE_NORM_OPTIONS]; /* one for each of the kind's options */
} tare__norm_part;

enum { TARE__NORM_PARTS = 4 };

/* Norms of weights in the order they apply, then the one of activations, which is `none` where the spec has none. */
typedef struct tare__norm_spec {
    tare__norm_part part[TARE__NORM_PARTS];
    int n;
} tare__norm_spec;

static inline const tare__norm_part *tare__norm_of_activations(const tare__norm_spec *s) { return &s->part[s->n - 1]; }

#endif
