/* conv2d.h - what a norm of weights needs to know of a convolution. */
#ifndef TARE_LAYERS_CONV2D_H
#define TARE_LAYERS_CONV2D_H

#include <tare/layers.h>

/* tare__conv2d_opt_of - the options of a conv2d layer; NULL for any other. */
const tare_conv2d_opt *tare__conv2d_opt_of(const tare_layer *layer);

#endif
