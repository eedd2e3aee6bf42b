"""Goldens of arithmetic, activations, sums and shapes; format and rules in goldens.py."""
from goldens import F, away, normal, op, torch, uniform

# ---- add, sub, mul, div ----------------------------------------------------------------------------------------------

BROADCASTS = {
    "same": ((3, 7), (3, 7)),
    "bias": ((5, 7), (7,)),
    "channels": ((2, 3, 4, 5), (1, 3, 1, 1)),
    "scalar_right": ((3, 5), ()),
    "scalar_left": ((), (3, 5)),
    "scalars": ((), ()),
    "both_ways": ((4, 1, 5), (3, 1)),
    "six_dims": ((2, 1, 3, 1, 2, 3), (1, 2, 3, 2, 1, 3)),
    "column": ((7, 18), (7, 1)),
    "row": ((19, 5), (1, 5)),
}
for case, (a, b) in BROADCASTS.items():
    op("add", case, torch.add, normal(*a), normal(*b))
    op("sub", case, torch.sub, normal(*a), normal(*b))
    op("mul", case, torch.mul, normal(*a), normal(*b))
    op("div", case, torch.div, normal(*a), away(*b, lo=0.5))
op("div", "wide", torch.div, normal(130), away(130, lo=0.5))

op("scale", "odd", lambda x: -1.5 * x, normal(3, 7))
op("scale", "scalar", lambda x: 0.25 * x, normal())
op("scale", "six_dims", lambda x: 3 * x, normal(2, 1, 3, 2, 1, 2))

# ---- activations -----------------------------------------------------------------------------------------------------

SHAPES = {"odd": (3, 7), "scalar": (), "six_dims": (2, 1, 3, 2, 1, 2)}
for name, function in {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
}.items():
    for case, shape in SHAPES.items():
        op(name, case, function, normal(*shape))
    op(name, "large", function, uniform(37, lo=-6, hi=6))
for case, shape in SHAPES.items():
    op("relu", case, F.relu, away(*shape) if shape else uniform(lo=0.5, hi=2))

for case, shape, slope in (("odd", (3, 7), 0.01), ("scalar", (), 0.2), ("six_dims", (2, 1, 3, 2, 1, 2), 0.1),
                           ("negative_slope", (5,), -0.5), ("zero_slope", (9,), 0.0)):
    op("leaky_relu", case, lambda x, k=slope: F.leaky_relu(x, k), away(*shape))
for case, shape, alpha in (("odd", (3, 7), 1), ("scalar", (), 0.5), ("six_dims", (2, 1, 3, 2, 1, 2), 1.5),
                           ("negative_alpha", (5,), -0.5)):
    op("elu", case, lambda x, k=alpha: F.elu(x, k), away(*shape))
for case, shape, beta in (("odd", (3, 7), 1), ("scalar", (), 2), ("six_dims", (2, 1, 3, 2, 1, 2), 0.5),
                          ("beyond_20", (17,), 30)):
    op("softplus", case, lambda x, k=beta: F.softplus(x, k), normal(*shape))

# ---- sums ------------------------------------------------------------------------------------------------------------

for name, function in (("sum", torch.sum), ("mean", torch.mean)):
    op(name, "all", lambda x, f=function: f(x), normal(3, 5, 7))
    op(name, "all_keepdim", lambda x, f=function: f(x, (0, 1), keepdim=True), normal(3, 5))
    op(name, "scalar", lambda x, f=function: f(x), normal())
    op(name, "first", lambda x, f=function: f(x, 0), normal(3, 5, 7))
    op(name, "middle", lambda x, f=function: f(x, 1), normal(3, 5, 7))
    op(name, "last", lambda x, f=function: f(x, 2, keepdim=True), normal(3, 5, 7))
    op(name, "batch_and_space", lambda x, f=function: f(x, (0, 2, 3), keepdim=True), normal(2, 3, 4, 5))
    op(name, "alternating", lambda x, f=function: f(x, (0, 2, 4)), normal(2, 3, 2, 3, 2, 3))
    op(name, "alternating_odd", lambda x, f=function: f(x, (1, 3, 5)), normal(2, 3, 2, 3, 2, 3))

for case, shape in (("odd", (3, 7)), ("scalar", ()), ("six_dims", (2, 1, 3, 2, 1, 2))):
    op("sqrt", case, torch.sqrt, uniform(*shape, lo=0.5, hi=4.0))

# ---- shapes ----------------------------------------------------------------------------------------------------------

for case, shape, order in (("matrix", (3, 7), (1, 0)), ("tiles", (37, 18), (1, 0)), ("nothing", (3, 7), (0, 1)),
                           ("scalar", (), ()), ("heads", (2, 5, 3, 4), (0, 2, 1, 3)),
                           ("heads_transposed", (2, 5, 3, 4), (0, 2, 3, 1)), ("channels_last", (2, 3, 4, 5), (0, 2, 3, 1)),
                           ("reversed", (2, 3, 1, 4, 2, 3), (5, 4, 3, 2, 1, 0))):
    op("permute", case, lambda x, o=order: x.permute(o), normal(*shape))

op("reshape", "matrix", lambda x: x.reshape(6, 4), normal(3, 8))
op("reshape", "open", lambda x: x.reshape(2, -1, 5), normal(2, 3, 2, 5))
op("reshape", "scalar", lambda x: x.reshape(()), normal(1, 1))

op("concat", "rows", lambda a, b: torch.cat((a, b), 0), normal(3, 5), normal(2, 5))
op("concat", "columns", lambda a, b, c: torch.cat((a, b, c), -1), normal(3, 5), normal(3, 1), normal(3, 4))
op("concat", "channels", lambda a, b: torch.cat((a, b), 1), normal(2, 3, 2, 3), normal(2, 1, 2, 3))
op("concat", "one", lambda a: torch.cat((a,), 0), normal(5))
op("concat", "six_dims", lambda a, b: torch.cat((a, b), 3), normal(2, 1, 3, 2, 1, 2), normal(2, 1, 3, 1, 1, 2))

op("slice", "rows", lambda x: x[1:4], normal(5, 3))
op("slice", "columns", lambda x: x[:, 2:-1], normal(3, 7))
op("slice", "step", lambda x: x[:, 1:8:3], normal(3, 8))
op("slice", "from_the_end", lambda x: x[-4:-1:2], normal(9))
op("slice", "whole", lambda x: x[:, 0:4], normal(3, 4))
op("slice", "step_of_sequence", lambda x: x[:, 3:4], normal(2, 5, 3))
op("slice", "six_dims", lambda x: x[:, :, :, 0:4:2], normal(2, 1, 3, 4, 1, 2))

# F.pad counts from the last dimension
op("pad", "image", lambda x: F.pad(x, (2, 1, 1, 2)), normal(2, 2, 3, 4))
op("pad", "value", lambda x: F.pad(x, (0, 3, 1, 0), value=-2.5), normal(3, 5))
op("pad", "nothing", lambda x: x.clone(), normal(7))
op("pad", "scalar", lambda x: x.clone(), normal())
op("pad", "six_dims", lambda x: F.pad(x, (1, 0, 0, 1, 2, 1, 0, 0, 0, 1, 1, 0), value=0.5), normal(2, 1, 2, 1, 2, 1))
