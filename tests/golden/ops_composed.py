"""Goldens of norms made of ops: closed forms in float64, read by tests/test_composed_norms.c."""
from goldens import normal, op, torch


def by_channel(x, w):
    return w.reshape((-1,) + (1,) * (x.dim() - 2))


def positions(x):
    return tuple(range(2, x.dim()))


def dyt(x, alpha, gamma, beta):
    return gamma * torch.tanh(alpha * x) + beta


op("dyt", "features", dyt, normal(4, 9), normal(1), normal(9), normal(9))
op("dyt", "images", dyt, normal(2, 3, 4, 5), normal(1), normal(3, 1, 1), normal(3, 1, 1))


def grn(eps):
    def f(x, gamma, beta):
        length = (x * x).sum(positions(x), keepdim=True).sqrt() if x.dim() > 2 else x.abs()
        share = length / (length.mean(1, keepdim=True) + eps)
        return by_channel(x, gamma) * x * share + by_channel(x, beta) + x

    return f


op("grn", "images", grn(1e-6), normal(2, 3, 4, 5), normal(3), normal(3))
op("grn", "sequences", grn(0.5), normal(3, 4, 7), normal(4), normal(4))
op("grn", "features", grn(1e-6), normal(4, 6), normal(6), normal(6))


def frn(eps):
    def f(x, gamma, beta, tau):
        square = (x * x).mean(positions(x), keepdim=True) if x.dim() > 2 else x * x
        y = by_channel(x, gamma) * x / (square + eps).sqrt() + by_channel(x, beta)
        return torch.maximum(y, by_channel(x, tau)) if tau is not None else y

    return f


op("frn", "images", frn(1e-6), normal(2, 3, 4, 5), normal(3), normal(3), normal(3))
op("frn", "sequences", frn(0.5), normal(3, 4, 7), normal(4), normal(4), normal(4))
op("frn", "features", frn(0.1), normal(4, 6), normal(6), normal(6), normal(6))
op("frn", "no_threshold", frn(1e-3), normal(2, 3, 5), normal(3), normal(3), None)
