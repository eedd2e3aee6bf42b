"""Goldens of the normalisations."""
from goldens import F, fixed, normal, op, torch, uniform


def batch(eps=1e-5):
    return lambda x, w, b, m, v: F.batch_norm(x, m, v, w, b, training=True, eps=eps)


def running(eps=1e-5):
    return lambda x, w, b, m, v: F.batch_norm(x, m, v, w, b, training=False, eps=eps)


def in_sets(size, eps=1e-5):
    """Statistics over `size` samples at a time."""
    return lambda x, w, b, m, v: torch.cat([F.batch_norm(s, None, None, w, b, training=True, eps=eps) for s in x.split(size)])


def keep(f):
    """The same without touching the running statistics, which F.batch_norm updates in place."""
    return lambda x, w, b, m, v: f(x, w, b, m.clone(), v.clone())


def stats(c):
    return fixed(normal(c)), fixed(uniform(c, lo=0.5, hi=1.5))


op("batch_norm", "images", batch(), normal(3, 4, 5, 3), normal(4), normal(4), None, None)
op("batch_norm", "sequences", batch(0.1), normal(2, 3, 19), normal(3), normal(3), None, None)
op("batch_norm", "features", batch(), normal(5, 7), normal(7), normal(7), None, None)
op("batch_norm", "many_features", batch(1e-2), normal(3, 131), normal(131), normal(131), None, None)
op("batch_norm", "plain", batch(1e-3), normal(2, 3, 2, 2), None, None, None, None)
op("batch_norm", "sub_batch", in_sets(2), normal(5, 2, 3, 3), normal(2), normal(2), None, None)
op("batch_norm", "sub_batch_features", in_sets(4, 0.5), normal(7, 3), normal(3), normal(3), None, None)
op("batch_norm", "training", keep(batch()), normal(3, 2, 2, 2), normal(2), normal(2), *stats(2))
op("batch_norm", "eval", running(), normal(3, 2, 2, 2), normal(2), normal(2), *stats(2))
op("batch_norm", "eval_features", running(0.1), normal(1, 5), normal(5), normal(5), *stats(5))
op("batch_norm", "frozen", running(), normal(2, 3, 4), normal(3), normal(3), *stats(3))


def relu(f, slope=0.0):
    return lambda *x: F.leaky_relu(f(*x), slope)


op("batch_norm", "relu", relu(batch()), normal(3, 4, 5, 3), normal(4), normal(4), None, None)
op("batch_norm", "relu_features", relu(batch()), normal(5, 7), normal(7), normal(7), None, None)
op("batch_norm", "leaky_relu", relu(batch(), 0.2), normal(3, 2, 19), normal(2), normal(2), None, None)
op("batch_norm", "relu_eval", relu(running()), normal(3, 2, 2, 2), normal(2), normal(2), *stats(2))


def layer(dims=1, eps=1e-5):
    return lambda x, w, b: F.layer_norm(x, x.shape[-dims:], w, b, eps)


def over_channels(eps=1e-5):
    def f(x, w, b):
        return F.layer_norm(x.movedim(1, -1), x.shape[1:2], w, b, eps).movedim(-1, 1)

    return f


op("layer_norm", "features", layer(), normal(5, 37), normal(37), normal(37))
op("layer_norm", "sequences", layer(eps=0.1), normal(2, 3, 8), normal(8), normal(8))
op("layer_norm", "images", layer(3), normal(3, 2, 3, 3), normal(2, 3, 3), normal(2, 3, 3))
op("layer_norm", "one_row", layer(eps=1e-3), normal(70), normal(70), normal(70))
op("layer_norm", "pairs", layer(eps=0.5), normal(6, 2), normal(2), normal(2))
op("layer_norm", "plain", layer(), normal(3, 33), None, None)
op("layer_norm", "no_beta", layer(eps=1e-2), normal(3, 5), normal(5), None)
op("layer_norm", "no_gamma", layer(eps=1e-2), normal(3, 5), None, normal(5))
op("layer_norm", "over_channels", over_channels(), normal(2, 5, 3, 4), normal(5), normal(5))
op("layer_norm", "over_channels_plain", over_channels(0.1), normal(1, 3, 131), None, None)


def group(groups, eps=1e-5):
    return lambda x, w, b: F.group_norm(x, groups, w, b, eps)


op("group_norm", "images", group(3), normal(2, 6, 3, 5), normal(6), normal(6))
op("group_norm", "one_group", group(1, 0.1), normal(3, 4, 17), normal(4), normal(4))
op("group_norm", "features", group(2), normal(3, 34), normal(34), normal(34))
op("group_norm", "plain", group(2), normal(2, 4, 5, 5), None, None)
op("group_norm", "no_beta", group(2), normal(1, 4, 1, 3), normal(4), None)
op("group_norm", "wide", group(2), normal(1, 2, 9, 11), normal(2), normal(2))
op("group_norm", "relu", relu(group(3)), normal(2, 6, 3, 5), normal(6), normal(6))
op("group_norm", "relu_features", relu(group(2)), normal(3, 34), normal(34), normal(34))
op("group_norm", "leaky_relu", relu(group(1), 0.2), normal(2, 4, 17), normal(4), normal(4))


def instance(eps=1e-5):
    return lambda x, w, b: F.instance_norm(x, weight=w, bias=b, eps=eps)


op("instance_norm", "images", instance(), normal(2, 3, 4, 5), normal(3), normal(3))
op("instance_norm", "sequences", instance(0.1), normal(3, 2, 33), normal(2), normal(2))
op("instance_norm", "plain", instance(1e-3), normal(2, 2, 3, 3), None, None)
op("instance_norm", "pairs", instance(0.5), normal(1, 3, 1, 2), normal(3), normal(3))
op("instance_norm", "relu", relu(instance()), normal(2, 3, 4, 5), normal(3), normal(3))
op("instance_norm", "leaky_relu", relu(instance(), 0.2), normal(2, 2, 33), normal(2), normal(2))


def rms(dims=1, eps=1e-5):
    return lambda x, w: F.rms_norm(x, x.shape[-dims:], w, eps)


op("rms_norm", "features", rms(), normal(5, 37), normal(37))
op("rms_norm", "images", rms(3, 0.1), normal(3, 2, 3, 3), normal(2, 3, 3))
op("rms_norm", "plain", rms(eps=1e-3), normal(2, 3, 9), None)
op("rms_norm", "one_value", rms(eps=0.5), normal(3, 1), normal(1))
