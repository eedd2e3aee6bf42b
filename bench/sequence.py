#!/usr/bin/env python3
"""Training steps of sequence models beside PyTorch in one run:  bench/sequence.py build/bin/bench_sequence [--threads N]

Tare and PyTorch take turns, several rounds each, every round in a process of its own; the table shows each side's median of the
best round, in milliseconds. PyTorch runs with its fused AdamW and attention, memory kept by malloc, threads bound and awake,
as it is and through torch.compile; the faster of the two counts."""
import argparse
import json
import math
import os
import subprocess
import sys
import time

SETTINGS = ("OMP_WAIT_POLICY", "OMP_PROC_BIND", "OMP_PLACES", "GLIBC_TUNABLES")
BEST = {"OMP_WAIT_POLICY": "active", "OMP_PROC_BIND": "true", "OMP_PLACES": "cores",
        "GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=8589934592:"
                          "glibc.malloc.top_pad=67108864:glibc.malloc.arena_max=1"}
VOCAB = 65
GPT = {"gpt-small-gelu": (4, 4, 128, 64, 12, "gelu"), "gpt-small-swiglu": (4, 4, 128, 64, 12, "swiglu"),
       "gpt-large-gelu": (6, 6, 384, 256, 8, "gelu"), "gpt-large-swiglu": (6, 6, 384, 256, 8, "swiglu")}
CASES = [*GPT, "lstm"]


def gpt(torch, layers, heads, width, steps, act):
    nn, f = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
            hidden = 4 * width if act == "gelu" else 8 * ((width + 2) // 3)
            self.up = nn.Linear(width, hidden if act == "gelu" else 2 * hidden, bias=False)
            self.down = nn.Linear(hidden, width, bias=False)

        def forward(self, x):
            b, t, c = x.shape
            q, k, v = (p.view(b, t, heads, c // heads).transpose(1, 2) for p in self.qkv(self.norm1(x)).split(c, dim=2))
            y = f.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
            h = self.up(self.norm2(x))
            if act == "gelu":
                h = f.gelu(h)
            else:
                value, gate = h.chunk(2, dim=-1)
                h = value * f.silu(gate)
            return x + self.down(h)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.places = nn.Embedding(VOCAB, width), nn.Parameter(0.02 * torch.randn(steps, width))
            self.blocks, self.norm = nn.Sequential(*(Block() for _ in range(layers))), nn.LayerNorm(width)
            for p in self.parameters():
                if p.dim() > 1:
                    nn.init.normal_(p, 0, 0.02)

        def forward(self, x):
            return f.linear(self.norm(self.blocks(self.tokens(x) + self.places)), self.tokens.weight).flatten(0, 1)

    return Model()


def lstm(torch):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.lstm = torch.nn.Embedding(VOCAB, 65), torch.nn.LSTM(65, 256)
            self.head = torch.nn.Linear(256, VOCAB)

        def forward(self, x):
            return self.head(self.lstm(self.tokens(x))[0]).flatten(0, 1)

    return Model()


def time_torch(case, seconds, threads, compiled):
    """One round, in this process: prints what `main` reads."""
    start = time.perf_counter()
    import torch
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    if case in GPT:
        layers, heads, width, steps, batch, act = GPT[case]
        model, shape, lr = gpt(torch, layers, heads, width, steps, act), (batch, steps), 1e-3
    else:
        model, shape, lr = lstm(torch), (64, 32), 2e-3
    parameters = list(model.parameters())
    optim = torch.optim.AdamW(parameters, lr=lr, betas=(0.9, 0.99), weight_decay=0.1, fused=True)
    xs, ys = ([torch.randint(0, VOCAB, shape) for _ in range(8)] for _ in range(2))
    run = torch.compile(model) if compiled else model

    def step(i):
        optim.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(run(xs[i % 8]), ys[i % 8].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optim.step()

    step(0)
    first = time.perf_counter() - start
    for i in range(1, 10):
        step(i)
    times, end = [], time.perf_counter() + seconds
    while len(times) < 10 or time.perf_counter() < end:
        before = time.perf_counter()
        step(len(times))
        times.append(1e3 * (time.perf_counter() - before))
    times.sort()
    with open("/proc/self/status") as status:
        peak = next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    print(json.dumps([times[len(times) // 2], times[len(times) // 10], times[-1 - len(times) // 10], peak, first]))


def torch_round(case, a, compiled):
    command = [sys.executable, __file__, a.program, "--torch", case, "--seconds", str(a.seconds), "--threads", str(a.threads)]
    out = subprocess.run(command + (["--compiled"] if compiled else []), text=True, capture_output=True,
                         env={**os.environ, **BEST, "OMP_NUM_THREADS": str(a.threads)})
    if out.returncode:
        print(f"PyTorch{' compiled' if compiled else ''} failed on {case}: {out.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return [math.inf] * 5
    return json.loads(out.stdout.splitlines()[-1])


def tare_round(case, a):
    bare = {k: v for k, v in os.environ.items() if k not in SETTINGS}
    out = subprocess.run([a.program, case, str(a.seconds)], text=True, capture_output=True, check=True,
                         env={**bare, "OMP_NUM_THREADS": str(a.threads)}).stdout.split()
    return [float(x) for x in out[:6]]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("program")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--seconds", type=float, default=1.5)
    ap.add_argument("--rounds", type=int, default=2)
    ap.add_argument("--only", default=",".join(CASES))
    ap.add_argument("--eager", action="store_true", help="leave torch.compile out")
    ap.add_argument("--torch", help=argparse.SUPPRESS)
    ap.add_argument("--compiled", action="store_true", help=argparse.SUPPRESS)
    a = ap.parse_args()
    if a.torch:
        time_torch(a.torch, a.seconds, a.threads, a.compiled)
        return
    print(f"{a.threads} threads, load {os.getloadavg()[0]:.1f}")
    print("| model | PyTorch ms | compiled | Tare ms (p10, p90) | ratio | process MiB, theirs and ours | first step s |\n"
          "|---|---|---|---|---|---|---|")
    for case in a.only.split(","):
        eager, fused, ours = [[math.inf] * 5], [[math.inf] * 5], []
        for _ in range(a.rounds):
            eager.append(torch_round(case, a, False))
            if not a.eager:
                fused.append(torch_round(case, a, True))
            ours.append(tare_round(case, a))
        e, c, o = min(eager), min(fused), min(ours)
        print(f"| {case} | {e[0]:.2f} | {c[0]:.2f} | {o[0]:.2f} ({o[1]:.2f}, {o[2]:.2f}) | {min(e, c)[0] / o[0]:.2f} "
              f"| {min(e, c)[3] / 2**20:.0f}, {o[4] / 2**20:.0f} | {min(e, c)[4]:.2f}, {o[5]:.3f} |", flush=True)


if __name__ == "__main__":
    main()
