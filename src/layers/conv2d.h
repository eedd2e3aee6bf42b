/* conv2d.h - what a norm of weights needs to know of a convolution, and what both kinds of it say of themselves. */
#ifndef TARE_LAYERS_CONV2D_H
#define TARE_LAYERS_CONV2D_H

#include <tare/layers.h>

/* tare__conv2d_opt_of - the options of a conv2d layer; NULL for any other. */
const tare_conv2d_opt *tare__conv2d_opt_of(const tare_layer *layer);
/* tare__conv_transpose2d_opt_of - of a conv_transpose2d layer. */
const tare_conv_transpose2d_opt *tare__conv_transpose2d_opt_of(const tare_layer *layer);

/* tare__conv2d_describe - "3x3, stride 2, pad 1": the kernel and what differs from its default. */
typedef struct tare__conv2d_words {
    int stride, pad, output_pad, dilation, groups;
} tare__conv2d_words;

void tare__conv2d_describe(const tare_layer *layer, const tare__conv2d_words *words, char *text, size_t size);

#endif
