/* condition.h - what layers that know the classes of their samples have in common. */
#ifndef TARE_LAYERS_CONDITION_H
#define TARE_LAYERS_CONDITION_H

#include <tare/layers.h>

/* The head of every such layer. */
typedef struct tare__conditioned {
    tare_layer base;
    const int32_t *given; /* the classes of the samples to come, lent by the caller */
    int64_t samples;
} tare__conditioned;

extern const tare_layer_class tare__conditional_norm_class, tare__projection_class;

/* false, with the tape's error set, unless classes of as many samples as x has were given. */
bool tare__condition_fits(tare_tape *t, const tare__conditioned *c, const tare_tensor *x);

#endif
