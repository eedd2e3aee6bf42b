/* conv_transpose2d.c - transposed convolution as a layer. */
#include "conv2d.h"

#include <inttypes.h>

typedef struct conv_transpose2d {
    tare_layer base;
    tare_tensor *bias;
    tare_conv_transpose2d_opt opt;
} conv_transpose2d;

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    const conv_transpose2d *c = (const conv_transpose2d *)self;
    tare_tensor *w = tare_layer_weight(self, tape), *y = tare_conv_transpose2d(tape, x, w, c->bias, c->opt);
    tare_release(tape, w); /* what transforms have made */
    return y;
}

static void describe(const tare_layer *self, char *text, size_t size) {
    const tare_conv_transpose2d_opt *o = &((const conv_transpose2d *)self)->opt;
    tare__conv2d_words words = { o->stride, o->pad, o->output_pad, o->dilation, o->groups };
    tare__conv2d_describe(self, &words, text, size);
}

static const tare_layer_class conv_transpose2d_class = { .name = "conv_transpose2d",
                                                         .forward = forward,
                                                         .describe = describe };

const tare_conv_transpose2d_opt *tare__conv_transpose2d_opt_of(const tare_layer *layer) {
    return layer->cls == &conv_transpose2d_class ? &((const conv_transpose2d *)layer)->opt : NULL;
}

tare_layer *tare_layer_conv_transpose2d(tare_params *ps, const char *name, int64_t in, int64_t out, int kernel,
                                        tare_layer_conv_transpose2d_opt opt) {
    if (!name) { name = conv_transpose2d_class.name; }
    conv_transpose2d *c = (conv_transpose2d *)tare_layer_new(ps, name, &conv_transpose2d_class, sizeof *c);
    if (!c) { return NULL; }
    int groups = opt.groups ? opt.groups : 1;
    if (groups < 1 || in % groups || out % groups) {
        return tare_params_fail(ps, TARE_EINVAL,
                                "conv_transpose2d \"%s\": %d groups do not divide %" PRId64 " -> %" PRId64 " channels",
                                c->base.name, groups, in, out);
    }
    c->opt = (tare_conv_transpose2d_opt){ .stride = opt.stride,
                                          .pad = opt.pad,
                                          .output_pad = opt.output_pad,
                                          .dilation = opt.dilation,
                                          .groups = opt.groups,
                                          .stride_w = opt.stride_w,
                                          .pad_w = opt.pad_w,
                                          .output_pad_w = opt.output_pad_w,
                                          .dilation_w = opt.dilation_w };
    tare_params_push(ps, name);
    tare_shape shape = TARE_SHAPE(in, out / groups, kernel, opt.kernel_w ? opt.kernel_w : kernel);
    c->base.weight = tare_param(ps, "weight", shape, 0);
    c->base.out_dim = 1;
    if (!opt.no_bias) { c->bias = tare_param(ps, "bias", TARE_SHAPE(out), TARE_NO_DECAY); }
    tare_params_pop(ps);
    if (tare_params_status(ps)) { return NULL; }
    tare_init_default(ps, c->base.weight, c->bias); /* fan_in: dimension 1 times the kernel, as PyTorch counts too */
    return &c->base;
}
