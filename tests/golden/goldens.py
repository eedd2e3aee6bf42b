"""Goldens: what PyTorch computes in float64 for the cases of Tare's ops, in small files that tests read without Python.

Add yours in two minutes
  1. Your op's C file has its `cases`, each with a name, the shapes of its inputs and its attributes.
  2. Make tests/golden/ops_<family>.py beside this file, with one line per case, under the same op and case names:

        from goldens import op, normal, uniform, away, distinct, values, fixed, F, torch

        op("conv2d", "stride2", lambda x, w, b: F.conv2d(x, w, b, stride=2), normal(2, 3, 5, 5), normal(4, 3, 3, 3), normal(4))
        op("conv2d", "no_bias", lambda x, w, b: F.conv2d(x, w), normal(2, 3, 5, 5), normal(4, 3, 3, 3), None)
        op("mse", "mean", lambda x, y: F.mse_loss(x, y), normal(3, 4), fixed(normal(3, 4)))

     Inputs, in the op's order: their shape must be the case's; None where the case marks one absent; fixed(...) where it
     marks one nograd.
       normal(*shape, mean=0, std=1)   uniform(*shape, lo=0, hi=1)   away(*shape, lo=0.1): |x| >= lo
       distinct(*shape): no two values within 0.1                    values([...]): these, as you wrote them
     The lambda takes as many float64 tensors (None for absent ones) and returns one tensor. Closed forms are welcome where
     PyTorch has no such op. Attributes (class indices, strides) are written out in the lambda as they are in the C case.
  3. python3 tests/golden/make_goldens.py conv2d mse      (names of ops; none: all)
     writes tests/golden/data/conv2d.gold; commit it with your module. test_ops finds it by the op's name.

Random values depend on the op's and the case's name alone, so adding a case changes no other. They are rounded to float32,
so that the float and the double build compute from the very same numbers. The upstream gradient is random too.

How they are compared: |got - golden| <= tol * max|golden| over each tensor (out, and each gradient), tol 1e-5 in the float
build and 1e-10 in the double one. op(..., tol=10) multiplies both, for a case that needs it: say why in a comment.

File format (little-endian), one entry after the other, every part a multiple of 8 bytes:
  "TAREGOLD"   then   u32 bytes of name, u16 ndim, u16 bytes of a number, i64 dim[ndim], name and data padded with 0 to 8
Numbers are float64, or float32 where that holds every one of them exactly (inputs, upstream gradients).
Keys: <case>/in0 .., <case>/dout, <case>/out, <case>/din0 .., <case>/tol (a scalar, the multiplier).
"""
import hashlib
import os
import struct

import numpy as np
import torch
import torch.nn.functional as F  # noqa: F401  (for the modules that import it from here)

HERE = os.path.dirname(os.path.abspath(__file__))
OPS = {}


class Fill:
    def __init__(self, shape, make, grad=True):
        self.shape, self.make, self.grad = shape, make, grad


def normal(*shape, mean=0.0, std=1.0):
    return Fill(shape, lambda rng: mean + std * rng.standard_normal(shape))


def uniform(*shape, lo=0.0, hi=1.0):
    return Fill(shape, lambda rng: rng.uniform(lo, hi, shape))


def away(*shape, lo=0.1):
    def make(rng):
        x = rng.standard_normal(shape)
        return np.where(x < 0, -1.0, 1.0) * np.maximum(np.abs(x), lo + 0.5 * np.abs(x))

    return Fill(shape, make)


def distinct(*shape):
    n = int(np.prod(shape))
    return Fill(shape, lambda rng: 0.125 * (rng.permutation(n).reshape(shape) - n // 2))


def values(array):
    array = np.asarray(array, dtype=np.float64)
    return Fill(array.shape, lambda rng: array)


def fixed(fill):
    """The same input, without a gradient."""
    return Fill(fill.shape, fill.make, grad=False)


def seeded(name):
    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")))


def op(name, case, function, *inputs, tol=1.0):
    cases = OPS.setdefault(name, {})
    if case in cases:
        raise SystemExit(f"{name}/{case} is there twice")
    cases[case] = (function, inputs, tol)


def exact_float(array):
    return np.asarray(array, dtype=np.float64).astype(np.float32).astype(np.float64)


def compute(name, case):
    """The entries of one case."""
    function, inputs, tol = OPS[name][case]
    entries, tensors = {f"{case}/tol": np.float64(tol)}, []
    for i, fill in enumerate(inputs):
        if fill is None:
            tensors.append(None)
            continue
        array = exact_float(fill.make(seeded(f"{name}/{case}/in{i}")))
        entries[f"{case}/in{i}"] = array
        tensors.append(torch.tensor(array, dtype=torch.float64, requires_grad=fill.grad))
    out = function(*tensors)
    dout = exact_float(seeded(f"{name}/{case}/dout").standard_normal(tuple(out.shape)))
    entries[f"{case}/dout"] = dout
    entries[f"{case}/out"] = out.detach().numpy()
    wanted = [(i, x) for i, x in enumerate(tensors) if x is not None and x.requires_grad]
    if out.requires_grad:
        grads = torch.autograd.grad(out, [x for _, x in wanted], torch.tensor(dout))
        entries.update({f"{case}/din{i}": g.numpy() for (i, _), g in zip(wanted, grads)})
    return entries


def write(path, entries):
    """entries: name -> array, in order. Returns the bytes written."""
    blob = b"TAREGOLD"
    for name, array in entries.items():
        array = np.asarray(array, dtype="<f8", order="C")
        if np.array_equal(exact_float(array), array):
            array = array.astype("<f4")
        raw, data = name.encode(), array.tobytes()
        blob += struct.pack("<IHH", len(raw), array.ndim, array.itemsize) + struct.pack(f"<{array.ndim}q", *array.shape)
        blob += raw + b"\0" * (-len(raw) % 8) + data + b"\0" * (-len(data) % 8)
    with open(path, "wb") as file:
        file.write(blob)
    return len(blob)
