/* pool.c - pooling as layers. */
#include <tare/layers.h>

#include <stdio.h>

typedef struct pool {
    tare_layer base;
    tare_pool2d_opt opt;
} pool;

static tare_tensor *max_forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    return tare_max_pool2d(tape, x, ((const pool *)self)->opt);
}

static tare_tensor *max_relu_forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    tare_pool2d_opt opt = ((const pool *)self)->opt;
    opt.relu = true;
    return tare_max_pool2d(tape, x, opt);
}

static tare_tensor *avg_forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    return tare_avg_pool2d(tape, x, ((const pool *)self)->opt);
}

static tare_tensor *global_forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    (void)self;
    return tare_global_avg_pool2d(tape, x);
}

static void describe(const tare_layer *self, char *text, size_t size) {
    const tare_pool2d_opt *o = &((const pool *)self)->opt;
    int stride = o->stride ? o->stride : o->kernel;
    if (o->pad) {
        snprintf(text, size, "%dx%d, stride %d, pad %d", o->kernel, o->kernel_w ? o->kernel_w : o->kernel, stride,
                 o->pad);
    } else {
        snprintf(text, size, "%dx%d, stride %d", o->kernel, o->kernel_w ? o->kernel_w : o->kernel, stride);
    }
}

static const tare_layer_class max_class = {
    .name = "max_pool2d", .forward = max_forward, .describe = describe, .relu_forward = max_relu_forward
};
static const tare_layer_class avg_class = { .name = "avg_pool2d", .forward = avg_forward, .describe = describe };
static const tare_layer_class global_class = { .name = "global_avg_pool2d", .forward = global_forward };

static tare_layer *pool_new(tare_params *ps, const char *name, const tare_layer_class *cls, tare_pool2d_opt opt) {
    pool *p = (pool *)tare_layer_new(ps, name, cls, sizeof *p);
    if (!p) { return NULL; }
    p->opt = opt;
    return &p->base;
}

tare_layer *tare_layer_max_pool2d(tare_params *ps, const char *name, tare_pool2d_opt opt) {
    return pool_new(ps, name, &max_class, opt);
}

tare_layer *tare_layer_avg_pool2d(tare_params *ps, const char *name, tare_pool2d_opt opt) {
    return pool_new(ps, name, &avg_class, opt);
}

tare_layer *tare_layer_global_avg_pool2d(tare_params *ps, const char *name) {
    return tare_layer_new(ps, name, &global_class, sizeof(tare_layer));
}
