#!/usr/bin/env python3
"""Each norm beside PyTorch, forward and forward + backward, in one run:  bench/norms.py build/bin/bench_norms [--threads N]

Tare and PyTorch take turns, several rounds each; the table shows each side's best round's 10th percentile (what others on the
machine disturb least), the ratio, and how near Tare is to the copy bandwidth for the bytes it must move (forward: x and y;
with backward: x, y, x, dy, dx)."""
import argparse
import math
import multiprocessing
import os
import subprocess
import sys
import time

SETTINGS = ("OMP_WAIT_POLICY", "OMP_PROC_BIND", "OMP_PLACES", "GLIBC_TUNABLES")
if "TARE_BENCH_ENV" not in os.environ:  # PyTorch at its best: memory kept, threads bound and awake
    os.environ.setdefault("OMP_WAIT_POLICY", "active")
    os.environ.update(TARE_BENCH_ENV="1", OMP_PROC_BIND="true", OMP_PLACES="cores",
                      GLIBC_TUNABLES="glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=8589934592:"
                                     "glibc.malloc.top_pad=67108864:glibc.malloc.arena_max=1")
    os.execv(sys.executable, [sys.executable] + sys.argv)

BARE = {k: v for k, v in os.environ.items() if k not in SETTINGS}  # they bind a thread that Tare's workers would inherit from
CPUS = os.sched_getaffinity(0)  # before OpenMP binds this thread to one of them, which child processes would inherit

import torch
from torch import nn

IMAGES = [(64, 32, 28, 28), (64, 128, 14, 14), (8, 64, 56, 56)]
ROWS = [(768, 128), (2048, 384)]
NORMS = {"bn": lambda s: nn.BatchNorm2d(s[1]), "gn8": lambda s: nn.GroupNorm(8, s[1]),
         "in": lambda s: nn.InstanceNorm2d(s[1], affine=True), "lnchw": lambda s: nn.LayerNorm(s[1:])}


class OverChannels(nn.LayerNorm):
    """LayerNorm over C of [N,C,H,W], as ConvNeXt writes it."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


CASES = [(op, make, s) for s in IMAGES for op, make in NORMS.items()]
CASES += [("lnc", lambda s: OverChannels(s[1]), IMAGES[1])]
CASES += [("ln", lambda s: nn.LayerNorm(s[1]), s) for s in ROWS] + [("rms", lambda s: nn.RMSNorm(s[1], 1e-5), s) for s in ROWS]


def apart(function, *arguments):
    """Call it in a process of its own: PyTorch's threads stay awake after a pass, and would take a core from the other side."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def time_torch(case, backward, seconds, threads):
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    _, make, shape = CASES[case]
    layer, x, dy = make(shape), torch.randn(shape), torch.randn(shape)
    x.requires_grad_(backward)

    def run():
        if not backward:
            with torch.no_grad():
                layer(x)
            return
        x.grad = None
        for p in layer.parameters():
            p.grad = None
        layer(x).backward(dy)

    for _ in range(5):
        run()
    times, start = [], time.perf_counter()
    while len(times) < 20 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        run()
        times.append(time.perf_counter() - before)
    return 1e6 * sorted(times)[len(times) // 10]


def time_tare(program, op, shape, backward, seconds, threads):
    out = subprocess.run([program, op, "fwdbwd" if backward else "fwd", str(seconds), *map(str, shape)], text=True,
                         env={**BARE, "OMP_NUM_THREADS": str(threads)}, capture_output=True, check=True,
                         preexec_fn=lambda: os.sched_setaffinity(0, CPUS))
    return float(out.stdout.split()[1])


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("program")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--seconds", type=float, default=0.15)
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--only", default="")
    a = ap.parse_args()
    os.sched_setaffinity(0, CPUS)  # which the other processes inherit
    print(f"torch {torch.__version__}, {a.threads} threads, microseconds")
    print(f"{'norm':6} {'shape':18} {'pass':7} {'torch':>9} {'tare':>9} {'ratio':>6}  {'of copy bandwidth':>17}")
    ratios, bandwidth = [], {}
    for case, (op, _, shape) in enumerate(CASES):
        if a.only and op not in a.only.split(","):
            continue
        numel = math.prod(shape)
        if numel not in bandwidth:
            us = min(time_tare(a.program, "copy", shape, False, a.seconds, a.threads) for _ in range(a.rounds))
            bandwidth[numel] = 2 * 4 * numel / us  # bytes per microsecond
        for backward in (False, True):
            theirs, ours = math.inf, math.inf
            for _ in range(a.rounds):
                theirs = min(theirs, apart(time_torch, case, backward, a.seconds, a.threads))
                ours = min(ours, time_tare(a.program, op, shape, backward, a.seconds, a.threads))
            share = (5 if backward else 2) * 4 * numel / ours / bandwidth[numel]
            ratios.append(theirs / ours)
            print(f"{op:6} {'x'.join(map(str, shape)):18} {'fwd+bwd' if backward else 'fwd':7} {theirs:9.1f} {ours:9.1f} "
                  f"{theirs / ours:6.2f}  {100 * share:15.0f} %", flush=True)
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    print(f"geometric mean {mean:.2f}, least {min(ratios):.2f}")


if __name__ == "__main__":
    main()
