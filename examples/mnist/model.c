/* model.c - three nets, each with the normalisation that --norm names. */
#include "mnist.h"

#include <string.h>

/* A norm brings its own shift, so that a bias in front of it would do nothing. */
static bool has_norm(const options *o) { return strcmp(o->norm, "none") != 0; }

/* 784 - 256 - 128 - 10, norm and ReLU between. */
static tare_layer *mlp(tare_params *ps, const options *o, tare_shape image, int64_t classes) {
    bool no_bias = has_norm(o);
    if (o->recompute) { return tare_params_fail(ps, TARE_EINVAL, "--recompute: mlp has no blocks; cnn, resnet20 do"); }
    if (tare_norm_uses_batch(o->norm) && tare_norm_batch(o->norm, o->batch) == 1) {
        return tare_params_fail(
            ps, TARE_EINVAL,
            "--norm %s: one image in a batch has no variance; take --batch 2 or more, or a norm that "
            "looks at each image alone, such as ln",
            o->norm);
    }
    tare_layer *layers[] = {
        tare_layer_flatten(ps, NULL),
        tare_layer_linear(ps, "fc1", tare_shape_numel(image), 256, (tare_layer_linear_opt){ .no_bias = no_bias }),
        tare_norm_layer(ps, "norm1", o->norm, TARE_SHAPE(256)),
        tare_layer_relu(ps, NULL),
        tare_layer_linear(ps, "fc2", 256, 128, (tare_layer_linear_opt){ .no_bias = no_bias }),
        tare_norm_layer(ps, "norm2", o->norm, TARE_SHAPE(128)),
        tare_layer_relu(ps, NULL),
        tare_layer_dropout(ps, NULL, o->dropout),
        tare_layer_linear(ps, "fc3", 128, classes, (tare_layer_linear_opt){ 0 }),
    };
    return tare_layer_sequential(ps, NULL, layers, sizeof layers / sizeof layers[0]);
}

/* 3x3 convolution, norm, ReLU, 2x2 max pooling: [N,in,H,W] -> [N,out,H/2,W/2] */
static tare_layer *cnn_block(tare_params *ps, const options *o, const char *name, int64_t in, int64_t out,
                             int64_t height, int64_t width) {
    tare_params_push(ps, name);
    tare_layer *layers[] = {
        tare_layer_conv2d(ps, "conv", in, out, 3, (tare_layer_conv2d_opt){ .pad = 1, .no_bias = has_norm(o) }),
        tare_norm_layer(ps, "norm", o->norm, TARE_SHAPE(out, height, width)),
        tare_layer_relu(ps, NULL),
        tare_layer_max_pool2d(ps, NULL, (tare_pool2d_opt){ .kernel = 2 }),
    };
    tare_layer *block = tare_layer_sequential(ps, NULL, layers, sizeof layers / sizeof layers[0]);
    tare_params_pop(ps);
    return o->recompute ? tare_layer_recompute(ps, block) : block;
}

/* Three blocks of 32, 64 and 128 channels, then a linear layer. */
static tare_layer *cnn(tare_params *ps, const options *o, tare_shape image, int64_t classes) {
    int64_t h = image.dim[1], w = image.dim[2];
    tare_layer *layers[] = {
        cnn_block(ps, o, "block1", image.dim[0], 32, h, w),
        cnn_block(ps, o, "block2", 32, 64, h / 2, w / 2),
        cnn_block(ps, o, "block3", 64, 128, h / 4, w / 4),
        tare_layer_flatten(ps, NULL),
        tare_layer_dropout(ps, NULL, o->dropout),
        tare_layer_linear(ps, "fc", 128 * (h / 8) * (w / 8), classes, (tare_layer_linear_opt){ 0 }),
    };
    return tare_layer_sequential(ps, NULL, layers, sizeof layers / sizeof layers[0]);
}

/* 3x3 convolution with He et al.'s initialisation. */
static tare_layer *conv3x3(tare_params *ps, const options *o, const char *name, int64_t in, int64_t out, int stride) {
    tare_layer *conv = tare_layer_conv2d(ps, name, in, out, 3,
                                         (tare_layer_conv2d_opt){ .stride = stride, .pad = 1, .no_bias = has_norm(o) });
    if (conv) { tare_init_kaiming_normal(ps, conv->weight, 1.4142135623730951); }
    return conv;
}

/* relu(norm(conv(relu(norm(conv(x))))) + x), where x is subsampled and padded with zero channels if the block widens. */
static tare_layer *resnet_block(tare_params *ps, const options *o, const char *name, int64_t in, int64_t out,
                                int64_t size) {
    int stride = in == out ? 1 : 2;
    tare_params_push(ps, name);
    tare_layer *layers[] = {
        conv3x3(ps, o, "conv1", in, out, stride),
        tare_norm_layer(ps, "norm1", o->norm, TARE_SHAPE(out, size, size)),
        tare_layer_relu(ps, NULL),
        conv3x3(ps, o, "conv2", out, out, 1),
        tare_norm_layer(ps, "norm2", o->norm, TARE_SHAPE(out, size, size)),
    };
    tare_layer *body = tare_layer_sequential(ps, NULL, layers, sizeof layers / sizeof layers[0]);
    tare_layer *shortcut = stride == 2 ? tare_layer_subsample(ps, NULL, out, stride) : NULL;
    tare_layer *block = tare_layer_residual(ps, NULL, body, shortcut, tare_layer_relu(ps, NULL));
    tare_params_pop(ps);
    return o->recompute ? tare_layer_recompute(ps, block) : block;
}

/* ResNet-20 for 32x32 images: He et al. 2016, arXiv:1512.03385, section 4.2. */
static tare_layer *resnet20(tare_params *ps, const options *o, tare_shape image, int64_t classes) {
    static const char *const names[] = { "stage1.0", "stage1.1", "stage1.2", "stage2.0", "stage2.1",
                                         "stage2.2", "stage3.0", "stage3.1", "stage3.2" };
    tare_layer *layers[16];
    int n = 0;
    layers[n++] = conv3x3(ps, o, "conv1", image.dim[0], 16, 1);
    layers[n++] = tare_norm_layer(ps, "norm1", o->norm, TARE_SHAPE(16, 32, 32));
    layers[n++] = tare_layer_relu(ps, NULL);
    int64_t channels = 16;
    for (int i = 0; i < 9; i++) {
        int64_t out = 16 << (i / 3), size = 32 >> (i / 3);
        layers[n++] = resnet_block(ps, o, names[i], channels, out, size);
        channels = out;
    }
    layers[n++] = tare_layer_global_avg_pool2d(ps, NULL);
    layers[n++] = tare_layer_flatten(ps, NULL);
    layers[n++] = tare_layer_dropout(ps, NULL, o->dropout);
    layers[n++] = tare_layer_linear(ps, "fc", 64, classes, (tare_layer_linear_opt){ 0 });
    return tare_layer_sequential(ps, NULL, layers, n);
}

/* ResNet-20 wants 32x32: smaller images get a black border, larger ones lose theirs. */
tare_shape image_shape(const options *o, const input_spec *in) {
    bool resnet = strcmp(o->arch, "resnet20") == 0;
    return resnet ? TARE_SHAPE(in->channels, 32, 32) : TARE_SHAPE(in->channels, in->height, in->width);
}

tare_layer *model_new(tare_params *ps, const options *o, const input_spec *in) {
    tare_shape image = image_shape(o, in);
    if (strcmp(o->arch, "mlp") == 0) { return mlp(ps, o, image, in->classes); }
    if (strcmp(o->arch, "resnet20") == 0) { return resnet20(ps, o, image, in->classes); }
    if (image.dim[1] < 8 || image.dim[2] < 8) {
        return tare_params_fail(ps, TARE_EINVAL, "--arch cnn: images are %lldx%lld, it needs 8x8 at least",
                                (long long)image.dim[1], (long long)image.dim[2]);
    }
    return cnn(ps, o, image, in->classes);
}
