/* tare/layers.h - layers: an op with its parameters and a name, put together into models.
 *
 * A layer belongs to the tare_params it was made in, as do its parameters. Errors stick: a constructor that fails returns
 * NULL and leaves its message in the tare_params, constructors given NULL layers return NULL, and running a NULL layer
 * fails the tape. So a model is built without checks and tare_params_status is asked once.
 *
 * Names: parameters are called as PyTorch calls them. `name` below goes under the scopes pushed (tare_params_push), so
 *     tare_params_push(ps, "layer1");  tare_layer_conv2d(ps, "conv1", ...);  tare_params_pop(ps);
 * makes the layer "layer1.conv1" with the parameters "layer1.conv1.weight" and "layer1.conv1.bias". NULL: the class's name;
 * good for layers without parameters.
 */
#ifndef TARE_LAYERS_H
#define TARE_LAYERS_H

#include <tare/ops.h>
#include <tare/params.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tare_layer tare_layer;
typedef struct tare_layer_class tare_layer_class;
typedef struct tare_weight_transform tare_weight_transform;

/* ---- what a layer is ----------------------------------------------------------------------------------------------- */

/* tare_layer_class - what all layers of a kind share. Identity is the pointer. */
struct tare_layer_class {
    const char *name; /* "conv2d" */
    /* Run on x and return the result, owned by the tape. Never called with a NULL x. */
    tare_tensor *(*forward)(tare_layer *self, tare_tape *tape, tare_tensor *x);
    /* A few words for the summary, as "3x3, stride 2", into text; NULL: nothing to say. */
    void (*describe)(const tare_layer *self, char *text, size_t size);
    bool container; /* only passes x through its children: summaries show those instead */
    /* May be NULL: what forward does, and then `act` (never none), in one op; bits and gradients must be those of the two. */
    tare_tensor *(*forward_act)(tare_layer *self, tare_tape *tape, tare_tensor *x, tare_act act);
    /* May be NULL: what ReLU and then forward do, in one op; bits as the ops' header says (tare_pool2d_opt.relu). */
    tare_tensor *(*relu_forward)(tare_layer *self, tare_tape *tape, tare_tensor *x);
    /* May be NULL: the activation that this layer is, if another may do it in its stead. */
    tare_act (*act)(const tare_layer *self);
};

/* tare_layer - the head of every layer; a layer with more to remember has this as its first member. */
struct tare_layer {
    const tare_layer_class *cls;
    const char *name;    /* in full: "layer1.0.conv1" */
    tare_params *params; /* what it belongs to */
    tare_layer **children;
    int n_children;
    tare_tensor *weight; /* what weight transforms act on; NULL where there is nothing to transform */
    int out_dim; /* the dimension of weight that counts outputs: 0 in linear and conv2d, 1 in conv_transpose2d */
    tare_weight_transform *transforms;
};

/* tare_layer_new - `size` zeroed bytes that begin with a tare_layer of this class, owned by ps. NULL where ps has an error
 * already, or memory is short. This is where every constructor starts, yours too. */
TARE_API tare_layer *tare_layer_new(tare_params *ps, const char *name, const tare_layer_class *cls, size_t size);

/* tare_layer_adopt - make `children` (copied) the children of `layer`.
 *   errors (sticky)  TARE_EINVAL: a child is NULL, or belongs to another tare_params */
TARE_API tare_status tare_layer_adopt(tare_layer *layer, tare_layer *const *children, int n);

/* tare_forward - run a layer: its name is on every op recorded meanwhile. NULL x gives NULL. */
TARE_API tare_tensor *tare_forward(tare_layer *layer, tare_tape *tape, tare_tensor *x);

/* tare_weight_transform - turns a layer's weight into the one it computes with: spectral norm, weight norm, standardisation.
 * Transforms apply in the order they were added. Differentiable, since it is made of ops. */
struct tare_weight_transform {
    const char *name;
    tare_tensor *(*apply)(tare_weight_transform *self, tare_layer *layer, tare_tape *tape, tare_tensor *weight);
    tare_weight_transform *next;
};

/* tare_layer_add_transform - append; the transform must live as long as the layer (tare_params_own).
 *   errors (sticky)  TARE_EINVAL: the layer has no weight */
TARE_API tare_status tare_layer_add_transform(tare_layer *layer, tare_weight_transform *transform);
/* tare_layer_own_name - the last part of the layer's name: what a transform pushes to add to the layer's own parameters, where it
 * is called under the scopes that the layer was made under. */
TARE_API const char *tare_layer_own_name(const tare_layer *layer);
/* tare_layer_weight - the weight after its transforms: what a layer's forward uses in place of self->weight. */
TARE_API tare_tensor *tare_layer_weight(tare_layer *layer, tare_tape *tape);

/* ---- layers with weights: PyTorch's default initialisation, biases without weight decay ----------------------------- */

/* tare_layer_linear - y = x W^T + b:  weight [out, in], bias [out];  x [..., in] -> [..., out] */
typedef struct tare_layer_linear_opt {
    bool no_bias;
} tare_layer_linear_opt;
TARE_API tare_layer *tare_layer_linear(tare_params *ps, const char *name, int64_t in, int64_t out,
                                       tare_layer_linear_opt opt);

/* tare_layer_conv2d - weight [out, in/groups, kernel, kernel_w], bias [out];  x [N,in,H,W] -> [N,out,H',W'], see tare_conv2d
 *   errors (sticky)  TARE_EINVAL: groups do not divide in and out */
typedef struct tare_layer_conv2d_opt {
    int stride, pad, dilation, groups;         /* as tare_conv2d_opt */
    int kernel_w, stride_w, pad_w, dilation_w; /* 0: as the height's;  pad_w -1: none */
    bool no_bias;
} tare_layer_conv2d_opt;
TARE_API tare_layer *tare_layer_conv2d(tare_params *ps, const char *name, int64_t in, int64_t out, int kernel,
                                       tare_layer_conv2d_opt opt);

/* tare_layer_conv_transpose2d - weight [in, out/groups, kernel, kernel_w], bias [out];  x [N,in,H,W] -> [N,out,H',W'], see
 * tare_conv_transpose2d. fan_in is out/groups * kernel * kernel_w, as PyTorch counts it. out_dim is 1: with groups, norms of
 * the weight take output k of every group as one.
 *   errors (sticky)  TARE_EINVAL: groups do not divide in and out */
typedef struct tare_layer_conv_transpose2d_opt {
    int stride, pad, output_pad, dilation, groups;           /* as tare_conv_transpose2d_opt */
    int kernel_w, stride_w, pad_w, output_pad_w, dilation_w; /* 0: as the height's;  pad_w, output_pad_w -1: none */
    bool no_bias;
} tare_layer_conv_transpose2d_opt;
TARE_API tare_layer *tare_layer_conv_transpose2d(tare_params *ps, const char *name, int64_t in, int64_t out, int kernel,
                                                 tare_layer_conv_transpose2d_opt opt);

/* ---- layers without ------------------------------------------------------------------------------------------------ */

TARE_API tare_layer *tare_layer_max_pool2d(tare_params *ps, const char *name, tare_pool2d_opt opt);
TARE_API tare_layer *tare_layer_avg_pool2d(tare_params *ps, const char *name, tare_pool2d_opt opt);
TARE_API tare_layer *tare_layer_global_avg_pool2d(tare_params *ps, const char *name); /* [N,C,H,W] -> [N,C,1,1] */
TARE_API tare_layer *tare_layer_upsample2d(tare_params *ps, const char *name, tare_upsample2d_opt opt);
TARE_API tare_layer *tare_layer_flatten(tare_params *ps, const char *name); /* [N,...] -> [N,*] */
TARE_API tare_layer *tare_layer_dropout(tare_params *ps, const char *name, double p);
TARE_API tare_layer *tare_layer_identity(tare_params *ps, const char *name);
TARE_API tare_layer *tare_layer_relu(tare_params *ps, const char *name);

/* tare_layer_activation - by name: identity, relu, leaky_relu, elu, sigmoid, tanh, gelu, gelu_tanh, silu, softplus. The slope
 * of leaky_relu (0.01), alpha of elu (1) and beta of softplus (1) may follow a colon: "leaky_relu:0.2".
 *   errors (sticky)  TARE_EINVAL: unknown (the message lists the known ones), or the number is not one */
TARE_API tare_layer *tare_layer_activation(tare_params *ps, const char *name, const char *activation);

/* tare_layer_function - any function of one tensor as a layer:  tare_layer_function(ps, "act", tare_silu) */
TARE_API tare_layer *tare_layer_function(tare_params *ps, const char *name,
                                         tare_tensor *(*function)(tare_tape *tape, tare_tensor *x));

/* ---- layers made of layers ----------------------------------------------------------------------------------------- */

/* tare_layer_sequential - one after the other; values in between are released as soon as they are used, x is not. Where a layer that
 * can (forward_act: batch, group and instance norm) has a ReLU or leaky ReLU behind it, or one (relu_forward: max pooling) a ReLU
 * before it, one op does both (tare_tape_fuses). */
TARE_API tare_layer *tare_layer_sequential(tare_params *ps, const char *name, tare_layer *const *layers, int n);

/* tare_layer_residual - y = after(body(x) + shortcut(x));  shortcut NULL: x itself;  after NULL: nothing, else an activation.
 *   He et al. 2016, arXiv:1512.03385 */
TARE_API tare_layer *tare_layer_residual(tare_params *ps, const char *name, tare_layer *body, tare_layer *shortcut,
                                         tare_layer *after);

/* tare_layer_recompute - the same layer, but in training it keeps only what goes in and what comes out, and backward runs it again
 * (tare_recompute). The same bits for less memory and about a third more time; best put around the blocks of a deep net. A layer
 * that carries a state from batch to batch (tare_layer_rnn_carry) cannot go in; spectral norm must not run twice in a step there. */
TARE_API tare_layer *tare_layer_recompute(tare_params *ps, tare_layer *layer);

/* tare_layer_subsample - parameter-free shortcut where a block halves the image and widens it: every stride-th row and column,
 * then zero channels before and after until there are `channels`: [N,C,H,W] -> [N,channels,H/stride,W/stride] (option A of
 * He et al. 2016). The number of channels added may be odd: the extra one comes last. */
TARE_API tare_layer *tare_layer_subsample(tare_params *ps, const char *name, int64_t channels, int stride);

/* ---- layers by name --------------------------------------------------------------------------------------------------- */

/* tare_layer_kind - a layer as a plugin brings it: made for samples of shape `features` (without N). */
typedef struct tare_layer_kind {
    const char *name;
    tare_layer *(*make)(tare_params *ps, const char *name, tare_shape features);
} tare_layer_kind;

/* The layers of open plugins, NULL after the last; one by name, or NULL. */
TARE_API const tare_layer_kind *tare_layer_kind_at(int index);
TARE_API const tare_layer_kind *tare_layer_kind_find(const char *name);

/* tare_layer_named - the layer that an open plugin has under the name `kind`.
 *   errors (sticky)  TARE_EINVAL: there is none (the message lists those that there are);  those of its make */
TARE_API tare_layer *tare_layer_named(tare_params *ps, const char *name, const char *kind, tare_shape features);

/* ---- looking at a model -------------------------------------------------------------------------------------------- */

/* tare_layer_numel - trainable values in the layer and its children. */
TARE_API int64_t tare_layer_numel(const tare_layer *layer);

/* tare_summary - a table of the layers: name, output shape, parameters, multiply-adds, which parameters weight decay passes
 * over; totals; at most 80 columns. Runs one sample of shape `sample` (without N: TARE_SHAPE(1, 28, 28)) in evaluation mode,
 * so no statistics move. *text is the caller's: tare_free it.
 *   errors  those of running the model */
TARE_API tare_status tare_summary(tare_layer *model, tare_shape sample, char **text);

#ifdef __cplusplus
}
#endif
#endif
