/* tare/ops.h - the differentiable operations. Each returns a tensor owned by the tape, or NULL with the tape's error set.
 *
 * Broadcasting (add, sub, mul, div): shapes are aligned at the right; a dimension of 1, or one that is missing, is repeated.
 * Dimensions given as an argument may be negative: -1 is the last. Options left 0 take the default stated.
 */
#ifndef TARE_OPS_H
#define TARE_OPS_H

#include <tare/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- arithmetic -------------------------------------------------------------------------------------------------- */

/*   a + b,  a - b,  a * b,  a / b   with broadcasting.   errors  TARE_ESHAPE: shapes do not broadcast */
TARE_API tare_tensor *tare_add(tare_tape *t, tare_tensor *a, tare_tensor *b);
TARE_API tare_tensor *tare_sub(tare_tape *t, tare_tensor *a, tare_tensor *b);
TARE_API tare_tensor *tare_mul(tare_tape *t, tare_tensor *a, tare_tensor *b);
TARE_API tare_tensor *tare_div(tare_tape *t, tare_tensor *a, tare_tensor *b);
/*   factor * x */
TARE_API tare_tensor *tare_scale(tare_tape *t, tare_tensor *x, double factor);
/*   sqrt(x);  NaN below 0, and the gradient at 0 is Inf: add a little first */
TARE_API tare_tensor *tare_sqrt(tare_tape *t, tare_tensor *x);

/* tare_matmul - op(a) op(b) over the last two dimensions; the ones before are batch dimensions and broadcast
 *   a [..., m, k] or [..., k, m] with trans_a;  b [..., k, n] or [..., n, k] with trans_b;  returns [..., m, n]
 *   errors  TARE_ESHAPE: fewer than 2 dimensions, inner sizes differ, batch dimensions do not broadcast */
typedef struct tare_matmul_opt {
    bool trans_a, trans_b;
} tare_matmul_opt;
TARE_API tare_tensor *tare_matmul(tare_tape *t, tare_tensor *a, tare_tensor *b, tare_matmul_opt opt);

/* tare_linear - y = x W^T + b
 *   x [..., in];  w [out, in];  b [out] or NULL;  returns [..., out]
 *   errors  TARE_ESHAPE: last dimension of x is not in, b is not [out] */
TARE_API tare_tensor *tare_linear(tare_tape *t, tare_tensor *x, tare_tensor *w, tare_tensor *b);

/* tare_conv2d - cross-correlation, as torch.nn.functional.conv2d
 *   x [N, C, H, W];  w [K, C/groups, R, S];  b [K] or NULL;  returns [N, K, H', W'],
 *   H' = floor((H + 2 pad - dilation (R-1) - 1) / stride) + 1
 *   3 x 3 and the like may go through Winograd's filtering, as sizes say: errors are then about twice those of the plain sum
 *   (docs/kernels.md), an Inf reaches its neighbours' outputs as NaN, and a sample's last bits depend on the batch's size
 *   errors  TARE_ESHAPE: ranks, channels against groups, kernel larger than the padded input;  TARE_EINVAL: option < 0 */
typedef struct tare_conv2d_opt {
    int stride, pad, dilation, groups; /* defaults 1, 0, 1, 1; the same for height and width */
    int stride_w, pad_w, dilation_w;   /* 0: as above;  pad_w -1: no padding along the width */
} tare_conv2d_opt;
TARE_API tare_tensor *tare_conv2d(tare_tape *t, tare_tensor *x, tare_tensor *w, tare_tensor *b, tare_conv2d_opt opt);

/* tare_conv_transpose2d - what the gradient of a conv2d does to its input, as torch.nn.functional.conv_transpose2d
 *   x [N, C, H, W];  w [C, K/groups, R, S] (inputs first);  b [K] or NULL;  returns [N, K, H', W'],
 *   H' = (H - 1) stride - 2 pad + dilation (R-1) + output_pad + 1:  each x is spread over a window of y, windows stride apart
 *   errors  TARE_ESHAPE: ranks, channels against weight and groups, H or W 0, nothing left of the output after padding;
 *           TARE_EINVAL: option < 0, output_pad as large as both stride and dilation, or larger */
typedef struct tare_conv_transpose2d_opt {
    int stride, pad, output_pad, dilation, groups; /* defaults 1, 0, 0, 1, 1; the same for height and width */
    int stride_w, pad_w, output_pad_w, dilation_w; /* 0: as above;  pad_w, output_pad_w -1: none along the width */
} tare_conv_transpose2d_opt;
TARE_API tare_tensor *tare_conv_transpose2d(tare_tape *t, tare_tensor *x, tare_tensor *w, tare_tensor *b,
                                            tare_conv_transpose2d_opt opt);

/* tare_embedding - rows of a table: y[i..., :] = w[index[i...], :]
 *   w [rows, D];  index: as many as `shape` has elements, each in 0..rows-1 (copied);  returns [shape..., D]
 *   errors  TARE_ESHAPE: w not a matrix, shape of more than 5 dimensions;  TARE_EINVAL: an index out of range */
TARE_API tare_tensor *tare_embedding(tare_tape *t, tare_tensor *w, const int32_t *index, tare_shape shape);
/* tare_embedding_of - the table that x holds rows of, and *index which; NULL where x is no result of tare_embedding that has its
 * backward before it. For those who can do with the table what they would else do with every row; *index holds until backward. */
TARE_API tare_tensor *tare_embedding_of(const tare_tensor *x, const int32_t **index);

/* ---- pooling: x [N, C, H, W] ------------------------------------------------------------------------------------- */

typedef struct tare_pool2d_opt {
    int kernel, stride, pad;       /* stride 0: as kernel;  pad at most kernel / 2 */
    int kernel_w, stride_w, pad_w; /* 0: as above;  pad_w -1: none */
    bool ceil;        /* round the output size up; the last window must still start inside input or left pad */
    bool exclude_pad; /* average only: divide by the cells inside the input, not by the window */
    bool relu; /* maximum only: of relu(x); bits and gradients are those of tare_relu and then this, in one pass */
} tare_pool2d_opt;
/* With opt.relu, where windows overlap and x has another gradient besides, that and theirs add up in another order than apart. */
TARE_API tare_tensor *tare_max_pool2d(tare_tape *t, tare_tensor *x,
                                      tare_pool2d_opt opt); /* first maximum wins; NaN wins */
TARE_API tare_tensor *tare_avg_pool2d(tare_tape *t, tare_tensor *x, tare_pool2d_opt opt);
/* mean over H and W: returns [N, C, 1, 1] */
TARE_API tare_tensor *tare_global_avg_pool2d(tare_tape *t, tare_tensor *x);

/* tare_upsample2d - another size for images: [N,C,H,W] -> [N,C,H',W'], as torch.nn.Upsample
 *   nearest   y_i = x at floor(i H / H')        (whole numbers; PyTorch multiplies floats)
 *   bilinear  the mean of the two nearest rows and columns, weighed by distance from (i + 0.5) H / H' - 0.5, at least 0;
 *             with align_corners from i (H - 1) / (H' - 1), so that corners stay corners
 *   errors  TARE_ESHAPE: rank, an empty plane, a plane of 2^31 cells;  TARE_EINVAL: an option negative, a scale and a size both
 *           given, align_corners with nearest */
typedef enum tare_upsample_mode { TARE_UPSAMPLE_NEAREST, TARE_UPSAMPLE_BILINEAR } tare_upsample_mode;
typedef struct tare_upsample2d_opt {
    tare_upsample_mode mode;
    int scale, scale_w;    /* 2; 0: as scale */
    int64_t height, width; /* H' and W' instead of a scale; 0: by the scale */
    bool align_corners;
} tare_upsample2d_opt;
TARE_API tare_tensor *tare_upsample2d(tare_tape *t, tare_tensor *x, tare_upsample2d_opt opt);

/* ---- activations ------------------------------------------------------------------------------------------------- */

TARE_API tare_tensor *tare_relu(tare_tape *t, tare_tensor *x);                     /* max(x, 0); gradient at 0 is 0 */
TARE_API tare_tensor *tare_leaky_relu(tare_tape *t, tare_tensor *x, double slope); /* x > 0 ? x : slope x */
TARE_API tare_tensor *tare_elu(tare_tape *t, tare_tensor *x, double alpha);        /* x > 0 ? x : alpha (e^x - 1) */
TARE_API tare_tensor *tare_sigmoid(tare_tape *t, tare_tensor *x);                  /* 1 / (1 + e^-x) */
TARE_API tare_tensor *tare_tanh(tare_tape *t, tare_tensor *x);
TARE_API tare_tensor *tare_gelu(tare_tape *t, tare_tensor *x);      /* x Phi(x), by erf */
TARE_API tare_tensor *tare_gelu_tanh(tare_tape *t, tare_tensor *x); /* its tanh approximation */
TARE_API tare_tensor *tare_silu(tare_tape *t, tare_tensor *x);      /* x sigmoid(x) */
TARE_API tare_tensor *tare_softplus(tare_tape *t, tare_tensor *x,
                                    double beta); /* log(1 + e^(beta x)) / beta; beta x > 20: x */

/* tare_act - an activation that an op does to its result before it stores it, where its options have an `act`: bits, gradients and
 * later random numbers are those of the op and tare_relu or tare_leaky_relu behind it, in less time. {0}: none. */
typedef enum tare_act_kind { TARE_ACT_NONE, TARE_ACT_RELU, TARE_ACT_LEAKY_RELU } tare_act_kind;
typedef struct tare_act {
    tare_act_kind kind;
    double slope; /* of leaky_relu, finite */
} tare_act;

/* ---- softmax and losses ------------------------------------------------------------------------------------------ */

TARE_API tare_tensor *tare_softmax(tare_tape *t, tare_tensor *x, int dim);
TARE_API tare_tensor *tare_log_softmax(tare_tape *t, tare_tensor *x, int dim);

typedef enum tare_reduction { TARE_MEAN, TARE_SUM } tare_reduction;

/* tare_cross_entropy - softmax and negative log-likelihood in one
 *   logits [N, K] or [N, K, d...];  target: N * prod(d) class indices in 0..K-1 (copied), or ignore_index
 *   label smoothing s: (1-s) times the loss of the target + s times the mean loss over all classes
 *   returns a scalar; the mean is over the targets not ignored (NaN if there is none, as PyTorch)
 *   errors  TARE_ESHAPE: rank;  TARE_EINVAL: a target out of range (the message says which), smoothing outside [0, 1] */
typedef struct tare_cross_entropy_opt {
    tare_reduction reduction;
    double label_smoothing;
    bool has_ignore_index; /* false: -100 is ignored */
    int32_t ignore_index;
} tare_cross_entropy_opt;
TARE_API tare_tensor *tare_cross_entropy(tare_tape *t, tare_tensor *logits, const int32_t *target,
                                         tare_cross_entropy_opt opt);

/*   (x - y)^2,  x and y of one shape;  returns a scalar */
TARE_API tare_tensor *tare_mse(tare_tape *t, tare_tensor *x, tare_tensor *y, tare_reduction reduction);
/*   max(x,0) - x y + log(1 + e^-|x|),  y in [0, 1] takes no gradient;  returns a scalar */
TARE_API tare_tensor *tare_bce_with_logits(tare_tape *t, tare_tensor *x, tare_tensor *y, tare_reduction reduction);
/*   max(0, 1 - x y),  y is +1 or -1 and takes no gradient;  returns a scalar */
TARE_API tare_tensor *tare_hinge(tare_tape *t, tare_tensor *x, tare_tensor *y, tare_reduction reduction);

/* tare_dropout - in training each value is 0 with probability p, else divided by 1 - p; in evaluation x itself.
 *   errors  TARE_EINVAL: p outside [0, 1] */
TARE_API tare_tensor *tare_dropout(tare_tape *t, tare_tensor *x, double p);

/* ---- reductions and shapes --------------------------------------------------------------------------------------- */

/* tare_sum, tare_mean - over the dimensions whose bits are set: TARE_DIM(0) | TARE_DIM(2); 0 = all.
 *   keepdim leaves them with size 1.   errors  TARE_ESHAPE: a bit beyond the rank */
#define TARE_DIM(d) (1u << (d))
TARE_API tare_tensor *tare_sum(tare_tape *t, tare_tensor *x, unsigned dims, bool keepdim);
TARE_API tare_tensor *tare_mean(tare_tape *t, tare_tensor *x, unsigned dims, bool keepdim);

/* tare_reshape - the same numbers under another shape, no copy; one dimension may be -1 and is worked out. */
TARE_API tare_tensor *tare_reshape(tare_tape *t, tare_tensor *x, tare_shape shape);
/* tare_flatten - dimensions from `dim` on become one: [N,C,H,W] from 1 -> [N, C*H*W]. */
TARE_API tare_tensor *tare_flatten(tare_tape *t, tare_tensor *x, int dim);
/* tare_transpose - exchange two dimensions (copies). tare_permute - output dimension i is input dimension order[i]. */
TARE_API tare_tensor *tare_transpose(tare_tape *t, tare_tensor *x, int dim0, int dim1);
TARE_API tare_tensor *tare_permute(tare_tape *t, tare_tensor *x, const int *order);
/* tare_concat - 1..TARE_MAX_INPUTS tensors one after the other along `dim`; all other sizes equal. */
TARE_API tare_tensor *tare_concat(tare_tape *t, tare_tensor *const *xs, int n, int dim);
/* tare_slice - x[begin:end:step] along dim; negative begin and end count from the end; step >= 1 (0: 1). */
TARE_API tare_tensor *tare_slice(tare_tape *t, tare_tensor *x, int dim, int64_t begin, int64_t end, int64_t step);
/* tare_pad - `value` around x: before[d] and after[d] of them (>= 0) along dimension d. */
typedef struct tare_pad_opt {
    int64_t before[TARE_MAX_DIMS], after[TARE_MAX_DIMS];
    double value;
} tare_pad_opt;
TARE_API tare_tensor *tare_pad(tare_tape *t, tare_tensor *x, tare_pad_opt opt);

#ifdef __cplusplus
}
#endif
#endif
