#!/usr/bin/env python3
"""The workloads of bench/workloads in PyTorch, each in several variants (memory format, torch.compile); bench/run.py times them.

  torch_workloads.py serve THREADS [--compile]  for each line "load NAME" on standard input warm up and print the variants, and behind
                                            a semicolon those that failed; then for each "SECONDS VARIANT" so many seconds' worth
                                            of times of a step in microseconds
  torch_workloads.py NAME THREADS           the clock before and after the first step, memory of process and tensors, as JSON"""
import gc
import json
import re
import sys
import time
import weakref

import torch
import torch.nn.functional as F
from torch import nn

BATCHES = 8
BETAS_ADAM = (0.9, 0.999)


# ---- nets -----------------------------------------------------------------------------------------------------------


def norm(spec, c, side):
    return {"none": lambda: [], "bn": lambda: [nn.BatchNorm2d(c)], "gn8": lambda: [nn.GroupNorm(8, c)],
            "in": lambda: [nn.InstanceNorm2d(c, affine=True)], "ln": lambda: [nn.LayerNorm([c, side, side])]}[spec]()


def mlp():
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))


def mnist_cnn(spec):
    return nn.Sequential(nn.Conv2d(1, 32, 3), *norm(spec, 32, 26), nn.ReLU(inplace=True), nn.Conv2d(32, 64, 3),
                         *norm(spec, 64, 24), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten(),
                         nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))


def norm_cnn(spec):
    layers, before, side = [], 1, 28
    for c in (32, 64, 128):
        layers += [nn.Conv2d(before, c, 3, padding=1), *norm(spec, c, side), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        before, side = c, side // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(1152, 10))


class Block(nn.Module):
    def __init__(self, before, c):
        super().__init__()
        stride = 1 if before == c else 2
        self.conv1, self.norm1 = nn.Conv2d(before, c, 3, stride, 1, bias=False), nn.BatchNorm2d(c)
        self.conv2, self.norm2 = nn.Conv2d(c, c, 3, 1, 1, bias=False), nn.BatchNorm2d(c)
        self.pad = (c - before) // 2

    def forward(self, x):
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)), inplace=True)))
        if self.pad:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(y + x, inplace=True)


def resnet20():
    layers, before = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)], 16
    for c in (16, 16, 16, 32, 32, 32, 64, 64, 64):
        layers.append(Block(before, c))
        before = c
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


class Transformer(nn.Module):
    def __init__(self, width, heads, act):
        super().__init__()
        hidden = 4 * width if act == "gelu" else (8 * width // 3 + 7) // 8 * 8
        self.heads, self.act = heads, act
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False) if act != "gelu" else None

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (s.view(b, t, self.heads, c // self.heads).transpose(1, 2) for s in self.qkv(self.norm1(x)).split(c, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
        h = self.norm2(x)
        return x + self.down(F.gelu(self.up(h)) if self.gate is None else F.silu(self.gate(h)) * self.up(h))


class GPT(nn.Module):
    def __init__(self, layers, width, heads, context, act):
        super().__init__()
        self.embedding, self.positions = nn.Embedding(65, width), nn.Parameter(torch.randn(context, width))
        self.blocks = nn.Sequential(*[Transformer(width, heads, act) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 65, bias=False)
        nn.init.normal_(self.embedding.weight, 0, 0.02)
        self.head.weight = self.embedding.weight

    def forward(self, index):
        return self.head(self.norm(self.blocks(self.embedding(index) + self.positions))).flatten(0, 1)


class LSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.rnn, self.fc = nn.Embedding(65, 65), nn.LSTM(65, 256), nn.Linear(256, 65)

    def forward(self, index):
        return self.fc(self.rnn(self.embedding(index))[0]).flatten(0, 1)


def generator(spec):
    up = lambda a, b: nn.ConvTranspose2d(a, b, 4, 2, 1)
    return nn.Sequential(nn.Linear(128, 4096), nn.Unflatten(1, (256, 4, 4)), *norm(spec, 256, 4), nn.ReLU(True), up(256, 128),
                         *norm(spec, 128, 8), nn.ReLU(True), up(128, 64), *norm(spec, 64, 16), nn.ReLU(True), up(64, 1),
                         nn.Tanh())


def discriminator():
    down = lambda a, b: nn.utils.spectral_norm(nn.Conv2d(a, b, 4, 2, 1))
    leaky = lambda: nn.LeakyReLU(0.1, True)
    return nn.Sequential(down(1, 64), leaky(), down(64, 128), leaky(), down(128, 256), leaky(), nn.Flatten(),
                         nn.utils.spectral_norm(nn.Linear(4096, 1)))


# ---- steps ------------------------------------------------------------------------------------------------------------


def compiled(net, variant):
    return torch.compile(net) if "compile" in variant else net


def formatted(net, xs, variant):
    if "channels_last" not in variant:
        return net, xs
    return net.to(memory_format=torch.channels_last), [x.contiguous(memory_format=torch.channels_last) for x in xs]


def classifier(net, xs, ys, optim, variant):
    if xs[0].dim() == 4:
        net, xs = formatted(net, xs, variant)
    net.train()
    forward = compiled(net, variant)
    i = 0

    def step():
        nonlocal i
        i += 1
        optim.zero_grad(set_to_none=True)
        F.cross_entropy(forward(xs[i % BATCHES]), ys[i % BATCHES]).backward()
        optim.step()

    return step


def adam(net, lr=1e-3, betas=BETAS_ADAM):
    return torch.optim.Adam(net.parameters(), lr=lr, betas=betas, fused=True)


def images(net, optim, shape):
    def make(variant):
        model = net()
        xs = [torch.rand(shape) * 2 - 1 for _ in range(BATCHES)]
        ys = [torch.randint(0, 10, shape[:1]) for _ in range(BATCHES)]
        return classifier(model, xs, ys, optim(model), variant)

    formats = ["contiguous", "channels_last"] if len(shape) == 4 else ["contiguous"]
    return make, formats + ["compile " + f for f in formats]


def text(net, optim, shape):
    def make(variant):
        model = net()
        xs = [torch.randint(0, 65, shape) for _ in range(BATCHES)]
        ys = [torch.randint(0, 65, shape).flatten() for _ in range(BATCHES)]
        return classifier(model, xs, ys, optim(model), variant)

    return make, ["contiguous", "compile contiguous"]


def gan(spec, batch=64):
    def make(variant):
        xs = [torch.rand(batch, 1, 32, 32) * 2 - 1 for _ in range(BATCHES)]
        g, xs = formatted(generator(spec).train(), xs, variant)
        d, _ = formatted(discriminator().train(), [], variant)
        optim_g, optim_d = adam(g, 2e-4, (0.0, 0.9)), adam(d, 2e-4, (0.0, 0.9))
        run_g, run_d, i = compiled(g, variant), d, 0  # torch.compile cannot differentiate spectral_norm's buffers

        def step():
            nonlocal i
            i += 1
            with torch.no_grad():
                fake = run_g(torch.randn(batch, 128))
            optim_d.zero_grad(set_to_none=True)
            (F.relu(1 - run_d(xs[i % BATCHES])).mean() + F.relu(1 + run_d(fake)).mean()).backward()
            optim_d.step()
            for p in d.parameters():
                p.requires_grad_(False)
            optim_g.zero_grad(set_to_none=True)
            (-run_d(run_g(torch.randn(batch, 128))).mean()).backward()
            optim_g.step()
            for p in d.parameters():
                p.requires_grad_(True)

        return step

    return make, ["contiguous", "channels_last", "compile contiguous", "compile channels_last"]


def adamw(net):
    return torch.optim.AdamW(net.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1, fused=True)


def sgd(net):
    return torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, fused=True)


# ---- passes through a layer --------------------------------------------------------------------------------------------


class OverChannels(nn.LayerNorm):
    """LayerNorm over C of [N,C,H,W], as ConvNeXt writes it."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def copy_pass(shape, backward):
    """What a norm must move that writes dx over dy, and next to nothing to compute: y = x, and dy += x."""
    x, dy, y = (torch.randn(shape) for _ in range(3))

    def run():
        y.copy_(x)
        if backward:
            dy.add_(x)

    return lambda variant: run, ["contiguous"]


def convolution(name):
    """From conv-k1-s2-g4-to256-32x64x14x14-fwd: taps (3), stride (1), groups (1), channels that come out (2 C)."""
    option = lambda key, otherwise: int((re.search(f"-{key}(\\d+)", name) or [0, otherwise])[1])
    taps = option("k", 3)
    return lambda s: nn.Conv2d(s[1], option("to", 2 * s[1]), taps, option("s", 1), taps // 2, groups=option("g", 1), bias=False)


LAYERS = {"bn": lambda s: nn.BatchNorm2d(s[1]), "gn8": lambda s: nn.GroupNorm(8, s[1]),
          "in": lambda s: nn.InstanceNorm2d(s[1], affine=True), "lnchw": lambda s: nn.LayerNorm(s[1:]),
          "lnc": lambda s: OverChannels(s[1]), "ln": lambda s: nn.LayerNorm(s[1]), "rms": lambda s: nn.RMSNorm(s[1], 1e-5)}


def layer_pass(name):
    *_, kind, sizes, direction = name.split("-")
    conv = name.startswith("conv")
    shape, backward = tuple(map(int, sizes.split("x"))), direction == "fwdbwd"
    if kind == "copy":
        return copy_pass(shape, backward)

    def make(variant):
        layer, (x,) = formatted((convolution(name) if conv else LAYERS[kind])(shape), [torch.randn(shape)], variant)
        run = compiled(layer, variant)
        x.requires_grad_(backward and (not conv or shape[1] > 3))  # up to three channels are a net's input
        with torch.no_grad():
            dy = torch.randn_like(layer(x))

        def forward():
            with torch.no_grad():
                run(x)

        def both():
            x.grad = None
            for p in layer.parameters():
                p.grad = None
            run(x).backward(dy)

        return both if backward else forward

    variants = ["contiguous", "channels_last"] if len(shape) == 4 else ["contiguous"]
    return make, variants + ["compile " + v for v in variants] * conv


NORM_PASSES = {"64x32x28x28": ["bn", "gn8", "in", "lnchw"], "64x128x14x14": ["bn", "gn8", "in", "lnchw", "lnc"],
               "8x64x56x56": ["bn", "gn8", "in", "lnchw"], "768x128": ["ln", "rms"], "2048x384": ["ln", "rms"]}
PASSES = [f"norms-{kind}-{shape}-{d}" for shape, kinds in NORM_PASSES.items() for kind in kinds for d in ("fwd", "fwdbwd")]
PASSES += [f"norms-copy-{shape}-{d}" for shape in ("64x32x28x28", "768x128", "2048x384") for d in ("fwd", "fwdbwd")]
PASSES += [f"conv-{shape}-{d}" for shape in ("64x32x28x28", "64x64x14x14") for d in ("fwd", "fwdbwd")]
PASSES += [f"conv-{kind}-fwdbwd" for kind in (
    "s2-64x32x28x28", "s2-64x64x14x14", "k1-to256-32x64x14x14", "k1-to64-32x256x14x14", "k1-to512-32x128x7x7",
    "k1-s2-to256-32x64x14x14", "g32-to32-64x32x28x28", "s2-g32-to32-64x32x28x28", "g128-to128-32x128x14x14",
    "s2-g128-to128-32x128x14x14", "g32-to128-32x128x14x14", "to32-64x1x28x28", "to16-128x3x32x32", "k7-s2-to64-32x3x64x64")]

WORKLOADS = {
    "W1-b32": images(mlp, adam, (32, 784)),
    "W1-b128": images(mlp, adam, (128, 784)),
    **{f"W2-{s}": images(lambda s=s: mnist_cnn(s), adam, (64, 1, 28, 28)) for s in ("none", "bn", "gn8")},
    **{f"W3-{s}-b{b}": images(lambda s=s: norm_cnn(s), adam, (b, 1, 28, 28))
       for s in ("none", "bn", "gn8", "in", "ln") for b in (64, 8, 2)},
    "W4": images(resnet20, sgd, (128, 3, 32, 32)),
    "W5-gelu": text(lambda: GPT(4, 128, 4, 64, "gelu"), adamw, (12, 64)),
    "W5-swiglu": text(lambda: GPT(4, 128, 4, 64, "swiglu"), adamw, (12, 64)),
    "W5-large": text(lambda: GPT(6, 384, 6, 256, "gelu"), adamw, (8, 256)),
    "W5-large-limit": text(lambda: GPT(6, 384, 6, 256, "gelu"), adamw, (8, 256)),  # nothing of the kind for PyTorch: the same net
    "W6-in": gan("in"),
    "W6-bn": gan("bn"),
    "W7": text(LSTM, lambda net: adam(net, 2e-3), (64, 32)),
    **{f"scaling-batch-{b}": images(lambda: norm_cnn("bn"), adam, (b, 1, 28, 28)) for b in (16, 32, 64, 128, 256, 512)},
    **{f"scaling-layers-{n}": text(lambda n=n: GPT(n, 128, 4, 64, "gelu"), adamw, (12, 64)) for n in (2, 4, 8, 16)},
    **{name: layer_pass(name) for name in PASSES},
}


# ---- memory -------------------------------------------------------------------------------------------------------------


class TensorPeak(torch.utils._python_dispatch.TorchDispatchMode):
    """Most bytes that tensors held at once while it was on. What kernels take for themselves is not seen."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.seen = set()

    def watch(self, x):
        storage = x.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self.seen:
            return
        self.seen.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self.drop, key, size)

    def drop(self, key, size):
        self.seen.discard(key)
        self.now -= size

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for x in torch.utils._pytree.tree_leaves((args, out)):
            if isinstance(x, torch.Tensor):
                self.watch(x)
        return out


def process_bytes():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))


def first(step):
    start = time.monotonic()
    step()
    clock = time.monotonic()
    for _ in range(2):
        step()
    process = process_bytes()
    mode = TensorPeak()
    with mode:
        step()  # meets the optimizer's state
        mode.peak = mode.now
        step()
    print(json.dumps({"start": start, "clock": clock, "process_bytes": process, "tensor_bytes": mode.peak}))


# ---- serving --------------------------------------------------------------------------------------------------------------


def warm_up(make, variant):
    step = make(variant)
    end = time.perf_counter() + 0.1
    n = 0
    while n < 4 or (time.perf_counter() < end and n < 200):
        step()
        n += 1
    return step


def load(name, compile_too):
    """The steps of a workload's variants, and the variants that failed; what was there before is gone by then."""
    gc.collect()
    if compile_too:
        torch._dynamo.reset()  # which else gives up compiling nets that it thinks are one
    make, variants = WORKLOADS[name]
    steps, failed = {}, []
    for variant in variants:
        if "compile" in variant and not compile_too:
            continue
        try:
            torch.manual_seed(1)
            steps[variant] = warm_up(make, variant)
        except Exception as error:  # torch.compile does not know everything
            print(f"{name}, {variant}: {(str(error) or repr(error)).splitlines()[0]}", file=sys.stderr)
            failed.append(variant)
    return steps, failed


def serve(compile_too):
    steps = {}
    for line in sys.stdin:
        what, which = line.rstrip("\n").split(" ", 1)
        if what == "load":
            steps = {}
            steps, failed = load(which, compile_too)
            print(",".join(steps) + ";" + ",".join(failed), flush=True)
            continue
        step, times, end = steps[which], [], time.perf_counter() + float(what)
        while len(times) < 3 or (time.perf_counter() < end and len(times) < 20000):
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
        print(*(f"{1e6 * t:.2f}" for t in times), flush=True)


def main():
    torch.set_num_threads(int(sys.argv[2]))
    if sys.argv[1] == "serve":
        serve("--compile" in sys.argv)
    else:
        first(WORKLOADS[sys.argv[1]][0]("contiguous"))


if __name__ == "__main__":
    main()
