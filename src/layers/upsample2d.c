/* upsample2d.c - upsampling as a layer. */
#include <tare/layers.h>

#include <inttypes.h>
#include <stdio.h>

typedef struct upsample2d {
    tare_layer base;
    tare_upsample2d_opt opt;
} upsample2d;

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    return tare_upsample2d(tape, x, ((const upsample2d *)self)->opt);
}

static void describe(const tare_layer *self, char *text, size_t size) {
    const tare_upsample2d_opt *o = &((const upsample2d *)self)->opt;
    const char *mode = o->mode == TARE_UPSAMPLE_NEAREST ? "nearest"
                       : o->align_corners               ? "bilinear, aligned"
                                                        : "bilinear";
    int scale = o->scale ? o->scale : 2, scale_w = o->scale_w ? o->scale_w : scale;
    if (o->height) {
        snprintf(text, size, "%s, to %" PRId64 "x%" PRId64, mode, o->height, o->width);
    } else if (scale == scale_w) {
        snprintf(text, size, "%s, times %d", mode, scale);
    } else {
        snprintf(text, size, "%s, times %dx%d", mode, scale, scale_w);
    }
}

static const tare_layer_class upsample2d_class = { .name = "upsample2d", .forward = forward, .describe = describe };

tare_layer *tare_layer_upsample2d(tare_params *ps, const char *name, tare_upsample2d_opt opt) {
    upsample2d *u = (upsample2d *)tare_layer_new(ps, name, &upsample2d_class, sizeof *u);
    if (!u) { return NULL; }
    u->opt = opt;
    return &u->base;
}
