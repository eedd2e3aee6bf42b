"""Goldens of pooling, softmax and the losses."""
from goldens import op, normal, uniform, distinct, fixed, F, torch

# ---- pooling -----------------------------------------------------------------------------------------------------------

WALKS = {
    "k2": ((2, 3, 6, 8), dict(kernel_size=2)),
    "k2_wide": ((1, 2, 4, 34), dict(kernel_size=2)),
    "k2_odd": ((2, 2, 7, 15), dict(kernel_size=2)),
    "k2_odd_ceil": ((2, 2, 5, 7), dict(kernel_size=2, ceil_mode=True)),
    "k3_s2_p1": ((2, 2, 7, 9), dict(kernel_size=3, stride=2, padding=1)),
    "k3_s2_p1_ceil": ((1, 2, 8, 6), dict(kernel_size=3, stride=2, padding=1, ceil_mode=True)),
    "k3_s1": ((1, 2, 5, 6), dict(kernel_size=3, stride=1)),
    "k3_s1_p1_wide": ((1, 2, 4, 21), dict(kernel_size=3, stride=1, padding=1)),
    "k3_s2_p1_wide": ((1, 2, 5, 37), dict(kernel_size=3, stride=2, padding=1)),
    "k2_s3": ((1, 2, 8, 9), dict(kernel_size=2, stride=3)),
    "k3x2_s2x1_p1x0": ((2, 1, 6, 5), dict(kernel_size=(3, 2), stride=(2, 1), padding=(1, 0))),
    "whole": ((3, 2, 4, 5), dict(kernel_size=(4, 5))),
}

for name, (shape, how) in WALKS.items():
    op("max_pool2d", name, lambda x, how=how: F.max_pool2d(x, **how), distinct(*shape))
    op("avg_pool2d", name, lambda x, how=how: F.avg_pool2d(x, **how), normal(*shape))
op("max_pool2d", "k2_relu", lambda x: F.max_pool2d(F.relu(x), 2), distinct(2, 3, 6, 8))
op("max_pool2d", "k3_s2_p1_relu", lambda x: F.max_pool2d(F.relu(x), 3, 2, 1), distinct(2, 2, 7, 9))
op("max_pool2d", "k1", lambda x: F.max_pool2d(x, 1), distinct(1, 2, 3, 3))
for name in ("k3_s2_p1", "k3_s2_p1_ceil"):
    shape, how = WALKS[name]
    op("avg_pool2d", name + "_exclude", lambda x, how=how: F.avg_pool2d(x, count_include_pad=False, **how), normal(*shape))

for name, shape in {"3x5": (2, 3, 3, 5), "1x1": (1, 4, 1, 1), "8x8": (3, 2, 8, 8), "blocks": (1, 1, 17, 61)}.items():
    op("global_avg_pool2d", name, lambda x: F.adaptive_avg_pool2d(x, 1), normal(*shape))

# ---- softmax -----------------------------------------------------------------------------------------------------------

ROWS = {
    "last": ((5, 7), -1),
    "last_wide": ((3, 37), 1),
    "last_16": ((2, 16), 1),
    "first": ((6, 5), 0),
    "middle": ((2, 5, 19), 1),
    "middle_16": ((1, 3, 32), -2),
    "one": ((4,), 0),
}
for name, (shape, dim) in ROWS.items():
    op("softmax", name, lambda x, dim=dim: F.softmax(x, dim), normal(*shape))
    op("log_softmax", name, lambda x, dim=dim: F.log_softmax(x, dim), normal(*shape))

# ---- losses ------------------------------------------------------------------------------------------------------------

FEW = [2, 0, 3, -100, 1]
SEVEN = [6, 0, 3, 3, 5, 1, 2]
WIDE = [36, 0, 17]
PIXELS = [0, 1, 2, 2, 1, 0, 255, 1, 0, 2, 1, 2, 0, 0, 1, 1, 2, 255, 2, 0, 1, 0, 0, 1, 2, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0,
          1, 2, 255]
TWENTY = [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 4, 3, 2, 1, 0, 4, 3, 2, 1, 0]


def cross_entropy(name, shape, target, **how):
    where = (shape[0],) + shape[2:]
    t = torch.tensor(target, dtype=torch.int64)[: int(torch.tensor(where).prod())].reshape(where)
    op("cross_entropy", name, lambda x: F.cross_entropy(x, t, **how), normal(*shape))


cross_entropy("mean", (5, 4), FEW)
cross_entropy("sum", (5, 4), FEW, reduction="sum")
cross_entropy("smoothing", (5, 4), FEW, label_smoothing=0.1)
cross_entropy("smoothing_sum", (5, 4), FEW, reduction="sum", label_smoothing=0.3)
cross_entropy("ignore", (7, 7), SEVEN, ignore_index=3)
cross_entropy("wide", (3, 37), WIDE)
cross_entropy("wide_smoothing", (3, 37), WIDE, label_smoothing=0.2)
cross_entropy("many_rows", (20, 5), TWENTY)
cross_entropy("image", (1, 3, 3, 13), PIXELS, ignore_index=255)
cross_entropy("image_smoothing", (3, 3, 1, 13), PIXELS, ignore_index=255, label_smoothing=0.1)
cross_entropy("row", (1, 7), SEVEN)

SHAPES = {"mean": (3, 5), "sum": (2, 3, 4), "one": (1,), "blocks": (3, 180)}
for name, shape in SHAPES.items():
    how = "sum" if name == "sum" else "mean"
    op("mse", name, lambda x, y, how=how: F.mse_loss(x, y, reduction=how), normal(*shape), normal(*shape))
    op("bce_with_logits", name, lambda x, y, how=how: F.binary_cross_entropy_with_logits(x, y, reduction=how),
       normal(*shape, std=2), fixed(uniform(*shape)))
    op("hinge", name, lambda x, y, how=how: getattr((1 - x * y).clamp(min=0), how)(),
       normal(*shape, mean=0.5, std=2) if name != "one" else uniform(*shape, lo=-1, hi=0.5), fixed(uniform(*shape, lo=0.5)))
