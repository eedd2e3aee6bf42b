#!/usr/bin/env python3
"""Training steps of Tare beside PyTorch:  bench/run.py build/bin/bench_steps [NAME...]

NAME picks workloads by the beginning of their names (W5, W3-bn); none: all. Each side works in a process of its own, stopped while
the other is measured; they take turns, so that what the machine does meanwhile falls on both. PyTorch runs with threads bound and
awake, malloc keeping its memory, fused optimizers, in both memory formats, with --compile also as torch.compile has them: the fastest counts.
Results go into the JSON file, beside those of workloads that were not asked for, and from there into table and picture."""
import argparse
import datetime
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time

import report

HERE = os.path.dirname(os.path.abspath(__file__))
TORCH_ENV = {"OMP_WAIT_POLICY": "active", "OMP_PROC_BIND": "true", "OMP_PLACES": "cores",
             "GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=8589934592:"
                               "glibc.malloc.top_pad=67108864:glibc.malloc.arena_max=1"}
CLOSE = 1.1  # variants of PyTorch within this of the best keep taking turns
QUIET, NOISY = 0.02, 0.03  # share of the processors that others may take: before a turn, during the turns


# ---- the machine --------------------------------------------------------------------------------------------------------


def busy_ticks():
    """Of all processors, all processes."""
    with open("/proc/stat") as f:
        v = [int(x) for x in f.readline().split()[1:9]]
    return v[0] + v[1] + v[2] + v[5] + v[6] + v[7]


def process_ticks(pid):
    with open(f"/proc/{pid}/stat") as f:
        v = f.read().rsplit(")", 1)[1].split()
    return int(v[11]) + int(v[12])


class Load:
    """The share of the processors that others take between two looks, beside the processes named."""

    def __init__(self, pids):
        self.pids = [os.getpid()] + pids
        self.start, self.ticks = time.monotonic(), self.others()

    def others(self):
        return busy_ticks() - sum(process_ticks(p) for p in self.pids)

    def share(self):
        room = (time.monotonic() - self.start) * os.sysconf("SC_CLK_TCK") * os.cpu_count()
        return max(0, self.others() - self.ticks) / max(room, 1)


def wait_for_quiet(limit):
    end = time.monotonic() + limit
    while True:
        load = Load([])
        time.sleep(0.3)
        if load.share() <= QUIET or time.monotonic() > end:
            return


# ---- one side -------------------------------------------------------------------------------------------------------------


class Side:
    """A process that answers with times of a step; stopped unless it is asked."""

    def __init__(self, command, env):
        self.samples, self.turns = {}, {}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, **env})
        self.ready = self.process.stdout.readline().strip()
        if not self.ready:
            raise SystemExit(f"bench: {' '.join(command)} failed")
        self.stop()

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)

    def turn(self, seconds, variant=""):
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(f"{seconds} {variant}\n")
        self.process.stdin.flush()
        times = [float(x) for x in self.process.stdout.readline().split()]
        self.stop()
        self.samples.setdefault(variant, []).extend(times)
        self.turns.setdefault(variant, []).append(statistics.median(times))

    def best(self):
        return min(self.samples, key=lambda v: statistics.median(self.samples[v]))

    def close(self):
        self.process.kill()
        self.process.wait()


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, round(p * (len(values) - 1)))]


def figures(samples):
    return {k: round(percentile(samples, p) / 1e3, 4) for k, p in (("ms", 0.5), ("p10", 0.1), ("p90", 0.9))}


# ---- a workload -----------------------------------------------------------------------------------------------------------


def first_step(command, env, runs):
    """Seconds from start to the end of the first step, the median of some runs; and what the last of them says."""
    seconds = []
    for _ in range(runs):
        start = time.monotonic()
        out = subprocess.run(command, text=True, capture_output=True, env={**os.environ, **env})
        if out.returncode:
            raise SystemExit(f"bench: {' '.join(command)}: {out.stderr}")
        result = json.loads(out.stdout)
        seconds.append(result["clock"] - start)
    return statistics.median(seconds), result


def same_bits(program, name):
    losses = {t: subprocess.run([program, name, "--bits", "3"], text=True, capture_output=True, check=True,
                                env={**os.environ, "OMP_NUM_THREADS": str(t)}).stdout for t in (1, 2, 3, 8)}
    return len(set(losses.values())) == 1


def torch_command(a, name):
    return [a.python, os.path.join(HERE, "torch_workloads.py"), name, str(a.threads)] + ["--compile"] * a.compile


def take_turns(a, sides, theirs):
    """The loads during the turns."""
    loads = []
    for turn in range(a.turns):
        wait_for_quiet(a.wait if turn == 0 else 1)
        load = Load([s.process.pid for s in sides + ([theirs] if theirs else [])])
        for s in sides:
            s.turn(a.seconds)
        if theirs:
            variants = theirs.ready.split(",")
            if turn > 0:
                medians = {v: statistics.median(theirs.samples[v]) for v in variants if v in theirs.samples}
                variants = [v for v in medians if medians[v] <= CLOSE * min(medians.values())]
            for v in variants:
                theirs.turn(a.seconds, v)
        loads.append(load.share())
    return loads


def compare(a, name, machine, sides, theirs):
    ours, one = sides
    loads = take_turns(a, sides, theirs)
    start, own = first_step([a.program, name, "--first"], {"OMP_NUM_THREADS": str(a.threads)}, 3)
    result = {"date": datetime.date.today().isoformat(), "machine": machine, "threads": a.threads,
              "tare": figures(ours.samples[""]), "tare_1": figures(one.samples[""]), "gflop": own["flops"] / 1e9,
              "step_bytes": own["step_bytes"], "state_bytes": own["state_bytes"], "process_bytes": own["process_bytes"],
              "first": start, "same_bits": same_bits(a.program, name), "others": round(statistics.median(loads), 3)}
    if theirs:
        best = theirs.best()
        result["torch"] = {**figures(theirs.samples[best]), "variant": best, "compile": a.compile}
        result["least"] = round(min(t / o for t, o in zip(theirs.turns[best], ours.turns[""])), 2)
        start, other = first_step(torch_command(a, name) + ["--first"], {"OMP_NUM_THREADS": str(a.threads)}, 1)
        result.update(torch_first=start, torch_process_bytes=other["process_bytes"], torch_tensor_bytes=other["tensor_bytes"])
    return result


def measure(a, name, machine):
    sides = []
    try:
        for threads in (a.threads, 1):
            sides.append(Side([a.program, name], {"OMP_NUM_THREADS": str(threads)}))
        if a.python:
            sides.append(Side(torch_command(a, name), {**TORCH_ENV, "OMP_NUM_THREADS": str(a.threads)}))
        return compare(a, name, machine, sides[:2], sides[2] if a.python else None)
    finally:
        for s in sides:
            s.close()


# ---- all of them ------------------------------------------------------------------------------------------------------------


def names_wanted(a):
    known = subprocess.run([a.program, "--list"], text=True, capture_output=True, check=True).stdout.split()
    for n in a.names:
        if not any(k.startswith(n) for k in known):
            raise SystemExit(f"bench: no workload begins with {n}; there are {' '.join(known)}")
    return [k for k in known if not a.names or any(k.startswith(n) for n in a.names)]


def versions(a):
    out = {"tare": subprocess.run([a.program, "--version"], text=True, capture_output=True, check=True).stdout.strip(),
           "system": platform.platform()}
    if a.python:
        out["torch"] = subprocess.run([a.python, "-c", "import torch; print(torch.__version__)"], text=True,
                                      capture_output=True, check=True).stdout.strip()
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("program", help="build/bin/bench_steps")
    ap.add_argument("names", nargs="*")
    ap.add_argument("--python", default="", help="a Python that has torch; none: Tare alone")
    ap.add_argument("--compile", action="store_true", help="torch.compile takes part too: minutes a workload, the first time")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--turns", type=int, default=5)
    ap.add_argument("--seconds", type=float, default=0.4, help="that a turn takes")
    ap.add_argument("--wait", type=float, default=30, help="seconds to wait for a quiet machine, at most")
    ap.add_argument("--out", default="docs/benchmarks.json")
    a = ap.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that stopped processes go too
    results = json.load(open(a.out)) if os.path.exists(a.out) else {}
    machine = {**json.loads(subprocess.run([a.program, "--machine"], text=True, capture_output=True, check=True,
                                           env={**os.environ, "OMP_NUM_THREADS": str(a.threads)}).stdout), **versions(a)}
    print(report.HEAD)
    for name in names_wanted(a):
        results.setdefault("workloads", {})[name] = measure(a, name, machine)
        print(report.row(name, results["workloads"][name]), flush=True)
        with open(a.out + ".new", "w") as f:
            json.dump(results, f, indent=1)
        os.replace(a.out + ".new", a.out)
    report.write(results, os.path.splitext(a.out)[0])


if __name__ == "__main__":
    main()
