/* conv2d.c - convolution as a layer. */
#include "conv2d.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct conv2d {
    tare_layer base;
    tare_tensor *bias;
    tare_conv2d_opt opt;
} conv2d;

static tare_tensor *forward(tare_layer *self, tare_tape *tape, tare_tensor *x) {
    const conv2d *c = (const conv2d *)self;
    tare_tensor *w = tare_layer_weight(self, tape), *y = tare_conv2d(tape, x, w, c->bias, c->opt);
    tare_release(tape, w); /* what transforms have made */
    return y;
}

void tare__conv2d_describe(const tare_layer *layer, const tare__conv2d_words *words, char *text, size_t size) {
    const tare_shape *w = &layer->weight->shape;
    int used = snprintf(text, size, "%" PRId64 "x%" PRId64, w->dim[2], w->dim[3]);
    const struct {
        const char *word;
        int value, usual;
    } parts[] = { { "stride", words->stride, 1 },
                  { "pad", words->pad, 0 },
                  { "output pad", words->output_pad, 0 },
                  { "dilation", words->dilation, 1 },
                  { "groups", words->groups, 1 } };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && used > 0 && (size_t)used < size; i++) {
        if (!parts[i].value || parts[i].value == parts[i].usual) { continue; }
        used += snprintf(text + used, size - (size_t)used, ", %s %d", parts[i].word, parts[i].value);
    }
}

static void describe(const tare_layer *self, char *text, size_t size) {
    const tare_conv2d_opt *o = &((const conv2d *)self)->opt;
    tare__conv2d_words words = { o->stride, o->pad, 0, o->dilation, o->groups };
    tare__conv2d_describe(self, &words, text, size);
}

static const tare_layer_class conv2d_class = { .name = "conv2d", .forward = forward, .describe = describe };

const tare_conv2d_opt *tare__conv2d_opt_of(const tare_layer *layer) {
    return layer->cls == &conv2d_class ? &((const conv2d *)layer)->opt : NULL;
}

tare_layer *tare_layer_conv2d(tare_params *ps, const char *name, int64_t in, int64_t out, int kernel,
                              tare_layer_conv2d_opt opt) {
    if (!name) { name = conv2d_class.name; }
    conv2d *c = (conv2d *)tare_layer_new(ps, name, &conv2d_class, sizeof *c);
    if (!c) { return NULL; }
    int groups = opt.groups ? opt.groups : 1;
    if (groups < 1 || in % groups || out % groups) {
        return tare_params_fail(ps, TARE_EINVAL,
                                "conv2d \"%s\": %d groups do not divide %" PRId64 " -> %" PRId64 " channels",
                                c->base.name, groups, in, out);
    }
    c->opt = (tare_conv2d_opt){ .stride = opt.stride,
                                .pad = opt.pad,
                                .dilation = opt.dilation,
                                .groups = opt.groups,
                                .stride_w = opt.stride_w,
                                .pad_w = opt.pad_w,
                                .dilation_w = opt.dilation_w };
    tare_params_push(ps, name);
    tare_shape shape = TARE_SHAPE(out, in / groups, kernel, opt.kernel_w ? opt.kernel_w : kernel);
    c->base.weight = tare_param(ps, "weight", shape, 0);
    if (!opt.no_bias) { c->bias = tare_param(ps, "bias", TARE_SHAPE(out), TARE_NO_DECAY); }
    tare_params_pop(ps);
    if (tare_params_status(ps)) { return NULL; }
    tare_init_default(ps, c->base.weight, c->bias);
    return &c->base;
}
