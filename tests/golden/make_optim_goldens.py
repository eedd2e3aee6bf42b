"""Write tests/golden/data/optim.gold and schedule.gold: what PyTorch's optimizers and schedulers do, in float64.

Each optimizer case starts from the same two parameters, "weight" [3, 5] and "bias" [5], and takes ten steps with the
gradients given; golden is both parameters, one after the other, after each step. tests/test_optim.c has the same table.
"""
import os

import numpy as np
import torch
from torch.optim import lr_scheduler

import goldens

STEPS, SHAPES = 10, ((3, 5), (5,))
SIZE = sum(int(np.prod(s)) for s in SHAPES)

SGD, ADAM, ADAMW, RMSPROP = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop
CASES = {
    "sgd": (SGD, dict(lr=0.1)),
    "sgd_decay": (SGD, dict(lr=0.1, weight_decay=0.05)),
    "sgd_momentum": (SGD, dict(lr=0.1, momentum=0.9)),
    "sgd_momentum_decay": (SGD, dict(lr=0.1, momentum=0.9, weight_decay=0.05)),
    "sgd_dampening": (SGD, dict(lr=0.1, momentum=0.9, dampening=0.3)),
    "sgd_nesterov": (SGD, dict(lr=0.1, momentum=0.9, nesterov=True)),
    "sgd_nesterov_decay": (SGD, dict(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.05)),
    "adam": (ADAM, dict(lr=0.01)),
    "adam_decay": (ADAM, dict(lr=0.01, weight_decay=0.1)),
    "adam_betas": (ADAM, dict(lr=0.01, betas=(0.3, 0.9), eps=1e-3)),
    "adam_beta1_zero": (ADAM, dict(lr=0.01, betas=(0.0, 0.9))),
    "adamw": (ADAMW, dict(lr=0.01, weight_decay=0.0)),
    "adamw_decay": (ADAMW, dict(lr=0.01, weight_decay=0.1)),
    "adamw_betas": (ADAMW, dict(lr=0.01, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1)),
    "rmsprop": (RMSPROP, dict(lr=0.01)),
    "rmsprop_decay": (RMSPROP, dict(lr=0.01, weight_decay=0.1)),
    "rmsprop_centered": (RMSPROP, dict(lr=0.01, centered=True)),
    "rmsprop_momentum": (RMSPROP, dict(lr=0.01, momentum=0.9)),
    "rmsprop_all": (RMSPROP, dict(lr=0.01, alpha=0.9, eps=1e-3, momentum=0.5, centered=True, weight_decay=0.1)),
}
# Clipping to norm 1 before each AdamW step; decay for the weight alone.
CLIPPED, DECAY_MASK = "adamw_clipped", "adamw_decay_mask"


def split(flat):
    parts, at = [], 0
    for shape in SHAPES:
        n = int(np.prod(shape))
        parts.append(torch.tensor(flat[at:at + n].reshape(shape)))
        at += n
    return parts


def trajectory(make, start, grads, clip=None):
    params = [torch.nn.Parameter(p) for p in split(start)]
    optim, rows, norms = make(params), [], []
    for grad in grads:
        for p, g in zip(params, split(grad)):
            p.grad = g.clone()
        if clip:
            norms.append(torch.nn.utils.clip_grad_norm_(params, clip).item())
        optim.step()
        rows.append(torch.cat([p.detach().flatten() for p in params]).numpy())
    return np.stack(rows), np.array(norms)


def optimizers():
    rng = goldens.seeded("optim")
    start = goldens.exact_float(rng.standard_normal(SIZE))
    grads = goldens.exact_float(rng.standard_normal((STEPS, SIZE)) * np.exp(rng.uniform(-3, 1, (STEPS, 1))))
    entries = {"start": start, "grads": grads}
    for name, (cls, options) in CASES.items():
        entries[name], _ = trajectory(lambda params: cls(params, **options), start, grads)
    entries[CLIPPED], entries["norms"] = trajectory(lambda params: ADAMW(params, lr=0.01, weight_decay=0.1), start, grads, 1.0)
    entries[DECAY_MASK], _ = trajectory(
        lambda p: ADAMW([dict(params=p[:1], weight_decay=0.1), dict(params=p[1:], weight_decay=0.0)], lr=0.01), start, grads)
    return entries


def rates(steps, *make):
    """The rates of each step under one scheduler, or warm-up followed by another."""
    optim = SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    schedulers = [m(optim) for m in make]
    if len(schedulers) == 2:
        warmup = schedulers[0].total_iters
        schedulers = [lr_scheduler.SequentialLR(optim, schedulers, milestones=[warmup])]
    out = []
    for _ in range(steps):
        out.append(optim.param_groups[0]["lr"])
        optim.step()
        schedulers[0].step()
    return np.array(out)


def schedules():
    def warmup(w):
        return lambda o: lr_scheduler.LinearLR(o, start_factor=1 / (w + 1), total_iters=w)

    cosine = lambda t: lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=t, eta_min=0.01)  # noqa: E731
    linear = lambda t: lambda o: lr_scheduler.LinearLR(o, 1.0, 0.01 / 0.2, t)  # noqa: E731
    step = lambda n: lambda o: lr_scheduler.StepLR(o, n, gamma=0.5)  # noqa: E731
    constant = lambda o: lr_scheduler.ConstantLR(o, 1.0, 1)  # noqa: E731
    return {
        "constant": rates(30, constant),
        "cosine": rates(30, cosine(30)),
        "linear": rates(30, linear(30)),
        "step": rates(30, step(7)),
        "constant_warmup": rates(30, warmup(5), constant),
        "cosine_warmup": rates(30, warmup(5), cosine(25)),
        "linear_warmup": rates(30, warmup(5), linear(25)),
        "step_warmup": rates(30, warmup(5), step(7)),
    }


if __name__ == "__main__":
    for name, entries in (("optim", optimizers()), ("schedule", schedules())):
        size = goldens.write(os.path.join(goldens.HERE, "data", name + ".gold"), entries)
        print(f"{name}: {len(entries)} entries, {size} bytes")
