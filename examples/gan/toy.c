/* toy.c - mixtures of Gaussians in the plane, on which a GAN trains in seconds and every mode can be counted. */
#include "gan.h"

#include <math.h>
#include <string.h>

enum { EPOCH = 16384 }; /* points before the loader begins anew; every epoch draws other ones */

/* Forty deviations from middle to mode, as is usual. The unit matters to a spectrally normalised D, whose slope is 1 at most: with
 * a ring of radius 2 no two modes could differ in score by the hinge loss's margin; here, as with pictures, they can. */
static const toy toys[] = {
    { "ring8", "8 Gaussians on a ring of radius 20, deviation 0.5", 8, 20, 0.5 },
    { "grid25", "25 Gaussians on a grid, 10 apart, deviation 0.25", 25, 10, 0.25 },
};

const toy *toy_find(const char *name) {
    for (size_t i = 0; i < sizeof toys / sizeof toys[0]; i++) {
        if (strcmp(toys[i].name, name) == 0) { return &toys[i]; }
    }
    return NULL;
}

void toy_centre(const toy *t, int64_t mode, double centre[2]) {
    if (t->modes == 25) {
        int64_t column = mode % 5, row = mode / 5;
        centre[0] = t->spacing * (double)(column - 2);
        centre[1] = t->spacing * (double)(row - 2);
    } else {
        double angle = 6.283185307179586 * (double)mode / (double)t->modes;
        centre[0] = t->spacing * cos(angle);
        centre[1] = t->spacing * sin(angle);
    }
}

static tare_status fill(void *user, int64_t index, tare_rng rng, tare_real *x, tare_real *target, int32_t *labels) {
    (void)index;
    (void)target;
    const toy *t = user;
    double centre[2];
    int64_t mode = (int64_t)tare_rng_below(&rng, (uint64_t)t->modes);
    toy_centre(t, mode, centre);
    for (int i = 0; i < 2; i++) { x[i] = (tare_real)(centre[i] + t->sigma * tare_rng_normal(&rng)); }
    labels[0] = (int32_t)mode;
    return TARE_OK;
}

tare_status toy_dataset(const toy *t, tare_dataset **out) {
    tare_data_source source = { .count = EPOCH,
                                .x = TARE_SHAPE(2),
                                .labels = TARE_SHAPE(1),
                                .classes = t->modes,
                                .threads = true,
                                .fill = fill,
                                .user = (void *)(uintptr_t)t }; /* NOLINT(performance-no-int-to-ptr): read only */
    return tare_dataset_custom(&source, out);
}
