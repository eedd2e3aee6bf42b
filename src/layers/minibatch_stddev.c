/* minibatch_stddev.c - how much samples differ from each other, as one more feature map: a discriminator sees a generator that
 * makes the same image over and over. Karras et al. 2018, arXiv:1710.10196, section 3; in groups: 2019, arXiv:1812.04948 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <tare/gan.h>

/* Zeros of x's shape with one channel. */
static tare_tensor *zeros_map(tare_tape *t, const tare_tensor *x) {
    tare_shape shape = x->shape;
    shape.dim[1] = 1;
    tare_tensor *z = tare_input(t, shape, NULL);
    if (z) { memset(z->data, 0, (size_t)z->numel * sizeof *z->data); }
    return z;
}

/* The mean over all features of the deviation in each group: [1,M,1] from [G,M,F]. */
static tare_tensor *spread(tare_tape *t, tare_tensor *groups) {
    tare_tensor *eps = tare_input(t, TARE_SHAPE(1), NULL);
    if (!eps) { return NULL; }
    eps->data[0] = (tare_real)1e-8;
    tare_tensor *off = tare_sub(t, groups, tare_mean(t, groups, TARE_DIM(0), true));
    tare_tensor *var = tare_mean(t, tare_mul(t, off, off), TARE_DIM(0), true);
    return tare_mean(t, tare_sqrt(t, tare_add(t, var, eps)), TARE_DIM(2), true);
}

tare_tensor *tare_minibatch_stddev(tare_tape *t, tare_tensor *x, int64_t group) {
    if (!x) { return NULL; }
    int64_t n = x->shape.dim[0];
    tare_shape_buf buf;
    if (x->shape.ndim < 2 || x->numel == 0) {
        return tare_tape_fail(t, TARE_ESHAPE, "minibatch_stddev: x %s is not [N,C,...]",
                              tare_shape_text(x->shape, &buf));
    }
    int64_t size = group < 0 ? 0 : group == 0 ? 4 : group;
    if (size > n) { size = n; }
    if (size < 1 || n % size) {
        return tare_tape_fail(t, TARE_EINVAL,
                              "minibatch_stddev: groups of %" PRId64 " do not divide the %" PRId64 " samples of x %s",
                              group ? group : 4, n, tare_shape_text(x->shape, &buf));
    }
    int64_t sets = n / size; /* sample i belongs to group i % sets */
    tare_tensor *map = zeros_map(t, x);
    if (!map) { return NULL; }
    tare_tensor *groups = tare_reshape(t, x, TARE_SHAPE(size, sets, x->numel / n));
    tare_tensor *flat = tare_reshape(t, map, TARE_SHAPE(size, sets, map->numel / n));
    tare_tensor *filled = tare_reshape(t, tare_add(t, flat, spread(t, groups)), map->shape);
    return tare_concat(t, (tare_tensor *[]){ x, filled }, 2, 1);
}

/* ---- layer ----------------------------------------------------------------------------------------------------------- */

typedef struct minibatch_stddev {
    tare_layer base;
    int64_t group;
} minibatch_stddev;

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    return tare_minibatch_stddev(tape, x, ((const minibatch_stddev *)self)->group);
}

static void describe(const tare_layer *self, char *text, size_t size) {
    int64_t group = ((const minibatch_stddev *)self)->group;
    snprintf(text, size, "groups of %" PRId64, group ? group : 4);
}

static const tare_layer_class minibatch_stddev_class = { .name = "minibatch_stddev",
                                                         .forward = forward,
                                                         .describe = describe };

tare_layer *tare_layer_minibatch_stddev(tare_params *ps, const char *name, int64_t group) {
    minibatch_stddev *m = (minibatch_stddev *)tare_layer_new(ps, name, &minibatch_stddev_class, sizeof *m);
    if (!m) { return NULL; }
    if (group < 0) {
        return tare_params_fail(ps, TARE_EINVAL, "minibatch_stddev \"%s\": groups of %" PRId64 ", must be positive",
                                m->base.name, group);
    }
    m->group = group;
    return &m->base;
}
