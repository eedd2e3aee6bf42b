"""Goldens of linear, matmul and the convolutions: cases as in src/ops/{linear,matmul,conv2d,conv_transpose2d}.c. See goldens.py."""
from goldens import F, normal, op


def linear(case, x, w, b):
    op("linear", case, lambda x, w, b: F.linear(x, w, b), normal(*x), normal(*w), normal(*b) if b else None)


linear("small", (3, 4), (5, 4), (5,))
linear("one", (1, 1), (1, 1), (1,))
linear("vector", (7,), (3, 7), (3,))
linear("no_bias", (4, 6), (2, 6), None)
linear("sequence", (2, 3, 5), (4, 5), (4,))
linear("panels", (17, 19), (35, 19), (35,))


def matmul(case, trans_a, trans_b, a, b):
    def product(a, b):
        return (a.mT if trans_a else a) @ (b.mT if trans_b else b)

    op("matmul", case, product, normal(*a), normal(*b))


matmul("plain", False, False, (3, 4), (4, 5))
matmul("trans_b", False, True, (3, 4), (5, 4))
matmul("trans_a", True, False, (4, 3), (4, 5))
matmul("trans_both", True, True, (4, 3), (5, 4))
matmul("one", False, False, (1, 1), (1, 1))
matmul("batch", False, True, (2, 3, 4, 5), (2, 3, 6, 5))
matmul("batch_trans_a", True, False, (3, 5, 4), (3, 5, 2))
matmul("one_b", False, True, (2, 3, 4), (5, 4))
matmul("one_a", False, False, (3, 4), (2, 4, 5))
matmul("one_b_trans_a", True, True, (2, 4, 3), (5, 4))
matmul("broadcast", False, False, (2, 1, 3, 4), (3, 4, 2))


def conv2d(case, x, w, bias=True, **how):
    op("conv2d", case, lambda x, w, b: F.conv2d(x, w, b, **how), normal(*x), normal(*w), normal(w[0]) if bias else None)


conv2d("k3", (2, 3, 5, 6), (4, 3, 3, 3))
conv2d("k3_p1", (2, 2, 5, 5), (3, 2, 3, 3), padding=1)
conv2d("k3_p1_one_channel", (2, 1, 6, 7), (5, 1, 3, 3), padding=1)
conv2d("k3_s2_p1", (2, 3, 7, 6), (4, 3, 3, 3), stride=2, padding=1)
conv2d("k1", (2, 3, 4, 5), (4, 3, 1, 1))
conv2d("k1_s2", (1, 3, 5, 6), (2, 3, 1, 1), stride=2)
conv2d("k2_s3", (1, 2, 8, 7), (3, 2, 2, 2), stride=3)
conv2d("k5_p2", (1, 2, 6, 6), (2, 2, 5, 5), padding=2)
conv2d("k3x2_s2x1_p1x0_d1x2", (2, 2, 7, 6), (3, 2, 3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2))
conv2d("dilation2", (1, 2, 8, 7), (3, 2, 3, 3), padding=2, dilation=2)
conv2d("dilation2_s2", (1, 2, 9, 8), (3, 2, 3, 3), stride=2, padding=1, dilation=2)
conv2d("dilation3_s2", (1, 1, 11, 10), (2, 1, 3, 3), stride=2, padding=3, dilation=3)
conv2d("wide_pad", (1, 2, 3, 2), (2, 2, 2, 3), padding=3)
conv2d("groups", (2, 4, 5, 5), (6, 2, 3, 3), padding=1, groups=2)
conv2d("depthwise", (2, 3, 5, 6), (3, 1, 3, 3), padding=1, groups=3)
conv2d("depthwise_s2", (1, 2, 6, 6), (4, 1, 3, 3), stride=2, padding=1, groups=2)
conv2d("whole", (3, 2, 4, 3), (5, 2, 4, 3))
conv2d("panels", (1, 17, 7, 9), (18, 17, 3, 3), padding=1)
conv2d("no_bias", (2, 2, 4, 4), (3, 2, 3, 3), bias=False, padding=1)


def conv_transpose2d(case, x, w, bias=True, **how):
    op("conv_transpose2d", case, lambda x, w, b: F.conv_transpose2d(x, w, b, **how), normal(*x), normal(*w),
       normal(w[1] * how.get("groups", 1)) if bias else None)


conv_transpose2d("k3", (2, 3, 4, 5), (3, 4, 3, 3))
conv_transpose2d("k3_p1", (2, 2, 5, 4), (2, 3, 3, 3), padding=1)
conv_transpose2d("k3_s2", (1, 3, 4, 3), (3, 2, 3, 3), stride=2)
conv_transpose2d("k3_s2_p1_o1", (2, 3, 3, 4), (3, 4, 3, 3), stride=2, padding=1, output_padding=1)
conv_transpose2d("k4_s2_p1", (2, 2, 3, 4), (2, 3, 4, 4), stride=2, padding=1)
conv_transpose2d("k1", (2, 3, 4, 5), (3, 4, 1, 1))
conv_transpose2d("k1_s2", (1, 3, 3, 4), (3, 2, 1, 1), stride=2)
conv_transpose2d("k2_s3_o2", (1, 2, 3, 2), (2, 3, 2, 2), stride=3, output_padding=2)
conv_transpose2d("k3x2_s2x1_p1x0_o1x0_d1x2", (2, 2, 4, 3), (2, 3, 3, 2), stride=(2, 1), padding=(1, 0), output_padding=(1, 0),
                 dilation=(1, 2))
conv_transpose2d("dilation2", (1, 2, 4, 5), (2, 3, 3, 3), padding=2, dilation=2)
conv_transpose2d("dilation3_s2_o2", (1, 2, 4, 3), (2, 2, 3, 2), stride=2, padding=1, output_padding=2, dilation=3)
conv_transpose2d("wide_pad", (1, 2, 6, 7), (2, 2, 2, 3), padding=3)
conv_transpose2d("groups", (2, 4, 4, 3), (4, 3, 3, 3), stride=2, padding=1, groups=2)
conv_transpose2d("depthwise", (2, 3, 4, 3), (3, 1, 3, 3), stride=2, padding=1, output_padding=1, groups=3)
conv_transpose2d("one_pixel", (3, 5, 1, 1), (5, 2, 4, 3), stride=7)
conv_transpose2d("panels", (1, 17, 5, 4), (17, 18, 3, 3), stride=2, padding=1)
conv_transpose2d("no_bias", (2, 2, 3, 3), (2, 3, 3, 3), bias=False, stride=2, padding=1)
