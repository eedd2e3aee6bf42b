"""Goldens of upsampling."""
from goldens import op, normal, F

CASES = {
    "2x": ((2, 3, 4, 5), dict(scale_factor=2)),
    "2x_wide": ((1, 2, 3, 37), dict(scale_factor=2)),
    "3x": ((2, 2, 3, 4), dict(scale_factor=3)),
    "2x3": ((1, 3, 4, 3), dict(scale_factor=(2, 3))),
    "to_7x5": ((2, 2, 3, 4), dict(size=(7, 5))),
    "down_to_3x2": ((2, 2, 5, 7), dict(size=(3, 2))),
    "same": ((1, 2, 3, 3), dict(scale_factor=1)),
    "bilinear_2x": ((2, 3, 4, 5), dict(scale_factor=2)),
    "bilinear_2x_wide": ((1, 2, 3, 21), dict(scale_factor=2)),
    "bilinear_2x3": ((1, 3, 4, 3), dict(scale_factor=(2, 3))),
    "bilinear_to_7x5": ((2, 2, 3, 4), dict(size=(7, 5))),
    "bilinear_down_to_3x2": ((2, 2, 5, 7), dict(size=(3, 2))),
    "bilinear_of_one": ((2, 3, 1, 1), dict(scale_factor=3)),
    "aligned_2x": ((2, 3, 4, 5), dict(scale_factor=2)),
    "aligned_to_7x5": ((2, 2, 3, 4), dict(size=(7, 5))),
    "aligned_to_1x3": ((2, 2, 4, 4), dict(size=(1, 3))),
}
for name, (shape, how) in CASES.items():
    if name.startswith("bilinear"):
        how = dict(how, mode="bilinear")
    if name.startswith("aligned"):
        how = dict(how, mode="bilinear", align_corners=True)
    op("upsample2d", name, lambda x, how=how: F.interpolate(x, **how), normal(*shape))
