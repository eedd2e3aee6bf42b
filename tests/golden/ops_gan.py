"""Goldens of tare/gan.h, read by tests/test_gan.c."""
from goldens import op, normal, F, torch

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


def minibatch_stddev(group):
    def f(x):
        n = x.shape[0]
        y = x.reshape(group, n // group, -1)
        spread = (((y - y.mean(0)) ** 2).mean(0) + 1e-8).sqrt().mean(1)
        shape = (n, 1) + tuple(x.shape[2:])
        return torch.cat([x, spread.repeat(group).reshape((n,) + (1,) * (x.dim() - 1)).expand(shape)], 1)

    return f


op("minibatch_stddev", "images", minibatch_stddev(4), normal(8, 3, 2, 3))
op("minibatch_stddev", "small", minibatch_stddev(3), normal(3, 2, 2, 2))  # groups of 4, but 3 samples
op("minibatch_stddev", "features", minibatch_stddev(2), normal(6, 5))
