#!/usr/bin/env python3
"""Whole training steps beside PyTorch in one run:  bench/steps.py build/bin/bench_steps [--threads N]

Tare and PyTorch take turns, several rounds each; the table shows each side's median of the best round, in milliseconds. PyTorch
runs with its fused Adam, memory kept by malloc, threads bound and awake, and the faster of its two memory formats."""
import argparse
import math
import multiprocessing
import os
import subprocess
import sys
import time

SETTINGS = ("OMP_WAIT_POLICY", "OMP_PROC_BIND", "OMP_PLACES", "GLIBC_TUNABLES")
if "TARE_BENCH_ENV" not in os.environ:
    os.environ.setdefault("OMP_WAIT_POLICY", "active")
    os.environ.update(TARE_BENCH_ENV="1", OMP_PROC_BIND="true", OMP_PLACES="cores",
                      GLIBC_TUNABLES="glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=8589934592:"
                                     "glibc.malloc.top_pad=67108864:glibc.malloc.arena_max=1")
    os.execv(sys.executable, [sys.executable] + sys.argv)

BARE = {k: v for k, v in os.environ.items() if k not in SETTINGS}  # they bind a thread that Tare's workers would inherit from
CPUS = os.sched_getaffinity(0)

import torch
import torch.nn.functional as F
from torch import nn

NORMS = {"none": lambda s: [], "bn": lambda s: [nn.BatchNorm2d(s[0]) if len(s) > 1 else nn.BatchNorm1d(s[0])],
         "gn:8": lambda s: [nn.GroupNorm(8, s[0])], "in": lambda s: [nn.InstanceNorm2d(s[0], affine=True)],
         "ln": lambda s: [nn.LayerNorm(s)]}


def mlp(norm):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), *NORMS[norm]((256,)), nn.ReLU(), nn.Linear(256, 128),
                         *NORMS[norm]((128,)), nn.ReLU(), nn.Linear(128, 10))


def cnn(norm):
    layers, before, side = [], 1, 28
    for c in (32, 64, 128):
        layers += [nn.Conv2d(before, c, 3, padding=1), *NORMS[norm]((c, side, side)), nn.ReLU(), nn.MaxPool2d(2)]
        before, side = c, side // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(1152, 10))


def apart(function, *arguments):
    """Call it in a process of its own: PyTorch's threads stay awake after a step, and would take a core from the other side."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def time_torch(net, norm, batch, seconds, channels_last, threads):
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    model = {"mlp": mlp, "cnn": cnn}[net](norm)
    xs = [torch.randn(batch, 1, 28, 28) for _ in range(8)]
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        xs = [x.contiguous(memory_format=torch.channels_last) for x in xs]
    ys = [torch.randint(0, 10, (batch,)) for _ in range(8)]
    optim = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def step(i):
        optim.zero_grad(set_to_none=True)
        F.cross_entropy(model(xs[i % 8]), ys[i % 8]).backward()
        optim.step()

    for i in range(10):
        step(i)
    times, end = [], time.perf_counter() + seconds
    while len(times) < 10 or time.perf_counter() < end:
        start = time.perf_counter()
        step(len(times))
        times.append(time.perf_counter() - start)
    return 1e3 * sorted(times)[len(times) // 2]


def time_tare(program, net, norm, batch, seconds, threads):
    out = subprocess.run([program, net, norm, str(batch), str(seconds)], text=True, capture_output=True, check=True,
                         env={**BARE, "OMP_NUM_THREADS": str(threads)},
                         preexec_fn=lambda: os.sched_setaffinity(0, CPUS)).stdout.split()
    return float(out[0]), int(out[3])


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("program")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--seconds", type=float, default=1.5)
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--only", default="", help="net/norm/batch,...")
    a = ap.parse_args()
    os.sched_setaffinity(0, CPUS)  # which the other processes inherit
    cases = [("mlp", "none", 32), ("mlp", "none", 128)]
    cases += [("cnn", norm, 64) for norm in NORMS] + [("cnn", "bn", 8), ("cnn", "bn", 2)]
    if a.only:
        cases = [(n, m, int(b)) for n, m, b in (c.split("/") for c in a.only.split(","))]
    print(f"torch {torch.__version__}, {a.threads} threads, load {os.getloadavg()[0]:.1f}")
    print("| net | norm | batch | PyTorch ms | Tare ms | ratio | step memory MiB |\n|---|---|---|---|---|---|---|")
    for net, norm, batch in cases:
        theirs = ours = math.inf
        for _ in range(a.rounds):
            for channels_last in (False, True) if net == "cnn" else (False,):
                theirs = min(theirs, apart(time_torch, net, norm, batch, a.seconds, channels_last, a.threads))
            ms, peak = time_tare(a.program, net, norm, batch, a.seconds, a.threads)
            ours = min(ours, ms)
        print(f"| {net} | {norm} | {batch} | {theirs:.3f} | {ours:.3f} | {theirs / ours:.2f} | {peak / 2**20:.1f} |", flush=True)


if __name__ == "__main__":
    main()
