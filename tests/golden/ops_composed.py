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


def adain(eps):
    def f(content, style):
        def moments(x):
            mean = x.mean(positions(x), keepdim=True)
            return mean, ((x - mean) ** 2).mean(positions(x), keepdim=True)

        (m, v), (ms, vs) = moments(content), moments(style)
        return vs / (vs + eps).sqrt() * (content - m) / (v + eps).sqrt() + ms

    return f


op("adain", "images", adain(1e-5), normal(2, 3, 4, 5), normal(2, 3, 3, 3, mean=1))
op("adain", "sequences", adain(0.5), normal(2, 3, 7), normal(2, 3, 4))


def switchable(eps, running=None):
    def f(x, gamma, beta, mean_weight, var_weight):
        wm, wv, axes = mean_weight.softmax(0), var_weight.softmax(0), positions(x)
        mean, var = 0, 0
        for k, over in enumerate((axes, (1,) + axes, (0,) + axes)):
            m = x.mean(over, keepdim=True)
            v = ((x - m) ** 2).mean(over, keepdim=True)
            if k == 2 and running:
                m, v = (by_channel(x, torch.tensor(r, dtype=torch.float64)) for r in running)
            mean, var = mean + wm[k] * m, var + wv[k] * v
        return by_channel(x, gamma) * (x - mean) / (var + eps).sqrt() + by_channel(x, beta)

    return f


weights = (normal(3), normal(3), normal(3), normal(3))
op("switchable_norm", "training", switchable(1e-5), normal(2, 3, 4, 5), *weights)
op("switchable_norm", "sequences", switchable(0.5), normal(3, 3, 7, mean=2), *weights)
op("switchable_norm", "evaluation", switchable(1e-5, ([0.5, -0.25, 0.125], [1.5, 0.5, 2.0])), normal(2, 3, 4, 5), *weights)


def conditional(eps, over):
    def f(x, gamma, beta):
        classes = torch.tensor([2, 0, 2])
        mean = x.mean(over, keepdim=True)
        hat = (x - mean) / (((x - mean) ** 2).mean(over, keepdim=True) + eps).sqrt()
        return gamma[classes][:, :, None, None] * hat + beta[classes][:, :, None, None]

    return f


def conditional_running(x, gamma, beta):
    classes, (mean, var) = torch.tensor([2, 0, 2]), (by_channel(x, torch.tensor(r, dtype=torch.float64)) for r in RUNNING)
    return gamma[classes][:, :, None, None] * (x - mean) / (var + 1e-5).sqrt() + beta[classes][:, :, None, None]


RUNNING = ([0.5, -0.25], [1.5, 0.5])
op("conditional_norm", "evaluation", conditional_running, normal(3, 2, 3, 4), normal(4, 2), normal(4, 2))
op("conditional_norm", "bn", conditional(1e-5, (0, 2, 3)), normal(3, 2, 3, 4), normal(4, 2), normal(4, 2))
op("conditional_norm", "in", conditional(0.1, (2, 3)), normal(3, 2, 3, 4), normal(4, 2), normal(4, 2))
