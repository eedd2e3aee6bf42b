/* pool.c - options of two-dimensional pooling: defaults, output size by floor or ceil, errors. As PyTorch's. */
#include "pool.h"

#include <inttypes.h>

/* Outputs along one dimension. With `ceil` a last window may hang over the end, if it starts inside the input or the
 * padding before it. */
static int64_t output_size(int64_t size, int64_t kernel, int64_t stride, int64_t pad, bool ceil) {
    int64_t room = size + 2 * pad - kernel;
    if (room < 0) { return 0; }
    if (!ceil) { return room / stride + 1; }
    int64_t count = (room + stride - 1) / stride + 1;
    return (count - 1) * stride >= size + pad ? count - 1 : count;
}

tare__pool tare__pool2d_walk(const tare_node *n) {
    const tare_pool2d_opt *opt = n->attr;
    const int64_t *dim = n->in[0]->shape.dim;
    int64_t pad_w = opt->pad_w == 0 ? opt->pad : opt->pad_w == -1 ? 0 : opt->pad_w;
    tare__pool p = { .h = dim[2], .w = dim[3], .pad_h = opt->pad, .pad_w = pad_w };
    p.exclude_pad = opt->exclude_pad;
    p.relu = opt->relu;
    p.kernel_h = opt->kernel;
    p.kernel_w = opt->kernel_w ? opt->kernel_w : opt->kernel;
    p.stride_h = opt->stride ? opt->stride : p.kernel_h;
    p.stride_w = opt->stride_w ? opt->stride_w : opt->stride ? opt->stride : p.kernel_w;
    p.oh = output_size(p.h, p.kernel_h, p.stride_h, p.pad_h, opt->ceil);
    p.ow = output_size(p.w, p.kernel_w, p.stride_w, p.pad_w, opt->ceil);
    return p;
}

static tare_status check_options(tare_node *n) {
    const tare_pool2d_opt *opt = n->attr;
    if (opt->kernel < 1 || opt->kernel_w < 0) {
        return tare_node_fail(n, TARE_EINVAL, "kernel %d, kernel_w %d: must be at least 1", opt->kernel, opt->kernel_w);
    }
    if (opt->stride < 0 || opt->stride_w < 0) {
        return tare_node_fail(n, TARE_EINVAL, "stride %d, stride_w %d: must be at least 1, or 0 for the kernel's size",
                              opt->stride, opt->stride_w);
    }
    if (opt->pad < 0 || opt->pad_w < -1) {
        return tare_node_fail(n, TARE_EINVAL, "pad %d, pad_w %d: must be at least 0 (pad_w -1 for none)", opt->pad,
                              opt->pad_w);
    }
    return TARE_OK;
}

tare_status tare__pool2d_check(tare_node *n) {
    tare_shape x = n->in[0]->shape;
    tare_shape_buf text;
    if (x.ndim != 4) { return tare_node_fail(n, TARE_ESHAPE, "x %s is not [N,C,H,W]", tare_shape_text(x, &text)); }
    if (x.dim[2] == 0 || x.dim[3] == 0) {
        return tare_node_fail(n, TARE_ESHAPE, "the planes of x %s are empty", tare_shape_text(x, &text));
    }
    tare_status status = check_options(n);
    if (status) { return status; }
    tare__pool p = tare__pool2d_walk(n);
    if (2 * p.pad_h > p.kernel_h || 2 * p.pad_w > p.kernel_w) {
        return tare_node_fail(n, TARE_EINVAL,
                              "pad %" PRId64 "x%" PRId64 " is more than half of the kernel %" PRId64 "x%" PRId64
                              ": use a smaller pad, or tare_pad before pooling",
                              p.pad_h, p.pad_w, p.kernel_h, p.kernel_w);
    }
    if (p.oh < 1 || p.ow < 1) {
        return tare_node_fail(n, TARE_ESHAPE,
                              "kernel %" PRId64 "x%" PRId64 " is larger than x %s padded by %" PRId64 "x%" PRId64
                              ": use a smaller kernel, or pool less often before",
                              p.kernel_h, p.kernel_w, tare_shape_text(x, &text), p.pad_h, p.pad_w);
    }
    if (p.h > INT32_MAX / p.w) {
        return tare_node_fail(n, TARE_ESHAPE, "a plane of x %s has more than 2^31 - 1 cells",
                              tare_shape_text(x, &text));
    }
    n->shape = TARE_SHAPE(x.dim[0], x.dim[1], p.oh, p.ow);
    return TARE_OK;
}
