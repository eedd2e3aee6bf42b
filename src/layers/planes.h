/* planes.h - x [N,C,...] as [N,C,positions] with [C] vectors beside it: what the norms made of ops share. */
#ifndef TARE_LAYERS_PLANES_H
#define TARE_LAYERS_PLANES_H

#include <tare/norms.h>

typedef struct tare__planes {
    const char *norm; /* who asks, for messages */
    tare_tensor *x;   /* [N,C,positions], the same memory */
    tare_shape shape; /* as it was */
    int64_t channels, positions;
} tare__planes;

/* tare__planes_of - false with the tape's error set where x is not [N,C,...]; NULL x is false without one. */
bool tare__planes_of(tare_tape *t, const char *norm, tare_tensor *x, tare__planes *out);
/* tare__planes_fits - is w, if there is one, [C]? false with the tape's error set where not. */
bool tare__planes_fits(tare_tape *t, const tare__planes *p, const char *what, const tare_tensor *w);
/* tare__planes_affine - gamma y + beta for y [N,C,positions]; gamma of C or N C values, whatever its shape, beta of as many, or of C;
 * either may be NULL. y is used up, unless it is p->x or both are NULL. */
tare_tensor *tare__planes_affine(tare_tape *t, const tare__planes *p, tare_tensor *y, tare_tensor *gamma,
                                 tare_tensor *beta);
/* tare__planes_back - y [N,C,positions] under the shape that x had; NULL for NULL. */
tare_tensor *tare__planes_back(tare_tape *t, const tare__planes *p, tare_tensor *y);

/* tare__use_up - passes on `y`, made from `x`, which nobody reads again. */
static inline tare_tensor *tare__use_up(tare_tape *t, tare_tensor *x, tare_tensor *y) {
    if (x && x != y) { tare_release(t, x); }
    return y;
}

/* tare__norm_layer_ok - the checks that every layer over channels makes: 1 channel or more, eps not negative. */
bool tare__norm_layer_ok(const tare_layer *layer, int64_t channels, double eps);
/* tare__norm_vector - a parameter of the layer, [size], all `value`, without weight decay. */
tare_tensor *tare__norm_vector(tare_layer *layer, const char *name, int64_t size, double value);

#endif
