"""Goldens of tare/gan.h, read by tests/test_gan.c."""
from goldens import op, normal, uniform, F, torch

LOSSES = {
    "hinge": (lambda s: F.relu(1 - s), lambda s: F.relu(1 + s), lambda s: -s),
    "logistic": (lambda s: F.softplus(-s), lambda s: F.softplus(s), lambda s: F.softplus(-s)),
    "least_squares": (lambda s: 0.5 * (s - 1) ** 2, lambda s: 0.5 * s**2, lambda s: 0.5 * (s - 1) ** 2),
    "wasserstein": (lambda s: -s, lambda s: s, lambda s: -s),
}
SHAPES = {"d_real": (7, 1), "d_fake": (5,), "g": (2, 1, 3, 4)}

for kind, roles in LOSSES.items():
    for (role, shape), f in zip(SHAPES.items(), roles):
        op("gan_loss", f"{kind}_{role}", lambda s, f=f: f(s).mean(), normal(*shape, std=1.5))
