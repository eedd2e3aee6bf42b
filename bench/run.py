#!/usr/bin/env python3
"""Training steps and passes of Tare beside PyTorch:  bench/run.py build/bin/bench_steps [NAME...]

NAME picks workloads by the beginning of their names (W5, W3-bn, norms, conv, scaling, threads); none: all. Each side works in a process of its own,
stopped while the other is measured; they take turns, so that what the machine does meanwhile falls on both. PyTorch runs with
threads bound and awake, malloc keeping its memory, fused optimizers, in both memory formats, with --compile also as torch.compile
has them: the fastest counts. Results go into the JSON file, beside those of workloads that were not asked for, and from there
into tables and picture."""
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
TEAMS = [2, 3, 8]  # threads of the teams in the rows "threads-..."
CROWDED = ["W1-b128", "W3-bn-b64", "W4", "W5-gelu"]  # where processes and threads outnumber cores: the rows "threads-..."
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


class Patience:
    """Waits for a quiet machine, so many seconds in the whole run and no more."""

    def __init__(self, seconds):
        self.left = seconds

    def wait(self):
        start = time.monotonic()
        while True:
            load = Load([])
            time.sleep(0.1)
            if load.share() <= QUIET or self.left < time.monotonic() - start:
                break
        self.left -= max(0, time.monotonic() - start - 0.15)


# ---- one side -------------------------------------------------------------------------------------------------------------


class Died(Exception):
    """A side that gave no answer."""


class Side:
    """A process that answers with times of a step; stopped unless it is asked."""

    def __init__(self, command, env):
        self.command, self.samples, self.turns = command, {}, {}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, **env})

    def answer(self):
        line = self.process.stdout.readline().strip()
        if not line:
            raise Died(f"bench: {' '.join(self.command)} failed")
        self.process.send_signal(signal.SIGSTOP)
        return line

    def begin(self, line):
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def ask(self, line):
        self.begin(line)
        return self.answer()

    def turn(self, seconds, variant=""):
        self.keep(variant, self.ask(f"{seconds} {variant}"))

    def keep(self, variant, answer):
        times = [float(x) for x in answer.split()]
        self.samples.setdefault(variant, []).extend(times)
        self.turns.setdefault(variant, []).append(statistics.median(times))

    def median(self, variant):
        return statistics.median(self.samples[variant])

    def close(self):
        self.process.kill()
        self.process.wait()


class Tare(Side):
    def __init__(self, a, name, threads):
        super().__init__([a.program, name], {"OMP_NUM_THREADS": str(threads)})
        self.answer()


class Torch(Side):
    """One process for a family of workloads, since it starts slowly."""

    def __init__(self, a, compiles):
        script = os.path.join(HERE, "torch_workloads.py")
        super().__init__([a.python, script, "serve", str(a.threads)] + ["--compile"] * compiles,
                         {**TORCH_ENV, "OMP_NUM_THREADS": str(a.threads)})

    def load(self, name):
        self.samples, self.turns = {}, {}
        self.variants, self.failed = ([v for v in part.split(",") if v] for part in self.ask("load " + name).split(";"))

    def promising(self):
        if not self.samples:
            return self.variants
        least = min(self.median(v) for v in self.samples)
        return [v for v in self.samples if self.median(v) <= CLOSE * least]

    def best(self):
        return min(self.samples, key=self.median)


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, round(p * (len(values) - 1)))]


def figures(samples):
    return {k: round(percentile(samples, p) / 1e3, 4) for k, p in (("ms", 0.5), ("p10", 0.1), ("p90", 0.9))}


# ---- a workload -----------------------------------------------------------------------------------------------------------


def first_step(command, env, runs):
    """Seconds from the start of the process to the beginning of the first step and to its end, medians of some runs; and what the
    last of them says."""
    starts, ends = [], []
    for _ in range(runs):
        start = time.monotonic()
        out = subprocess.run(command, text=True, capture_output=True, env={**os.environ, **env})
        if out.returncode:
            raise SystemExit(f"bench: {' '.join(command)}: {out.stderr}")
        result = json.loads(out.stdout)
        starts.append(result["start"] - start)
        ends.append(result["clock"] - start)
    return statistics.median(starts), statistics.median(ends), result


def same_bits(program, name):
    losses = {t: subprocess.run([program, name, "--bits", "3"], text=True, capture_output=True, check=True,
                                env={**os.environ, "OMP_NUM_THREADS": str(t), "TARE_CROWD": "1"}).stdout for t in (1, 2, 3, 8)}
    return len(set(losses.values())) == 1


def take_turns(a, sides, theirs):
    """The loads during the turns."""
    loads, everyone = [], sides + ([theirs] if theirs else [])
    for turn in range(a.turns):
        a.patience.wait()
        load = Load([s.process.pid for s in everyone])
        for n, s in enumerate(sides):
            if n == 0 or turn < 3:
                s.turn(a.seconds)
        for v in theirs.promising() if theirs else []:
            theirs.turn(a.seconds, v)
        loads.append(load.share())
    return loads


def starts(a, name, theirs):
    """The first step, memory, and whether bits depend on threads: what a training step has and a pass has not."""
    start, first, own = first_step([a.program, name, "--first"], {"OMP_NUM_THREADS": str(a.threads)}, 5)
    result = {"step_bytes": own["step_bytes"], "held_bytes": own["held_bytes"], "state_bytes": own["state_bytes"], "process_bytes": own["process_bytes"],
              "start": start, "first": first, "same_bits": same_bits(a.program, name), "gflop": own["flops"] / 1e9}
    if theirs:
        start, first, other = first_step([a.python, os.path.join(HERE, "torch_workloads.py"), name, str(a.threads)],
                                  {"OMP_NUM_THREADS": str(a.threads)}, 1)
        result.update(torch_start=start, torch_first=first, torch_process_bytes=other["process_bytes"], torch_tensor_bytes=other["tensor_bytes"])
    return result


def stamp(a, loads):
    return {"date": datetime.date.today().isoformat(), "machine": a.machine, "threads": a.threads,
            "others": round(statistics.median(loads), 3)}


def compare(a, name, sides, theirs):
    ours = sides[0]
    loads = take_turns(a, sides, theirs)
    result = {**stamp(a, loads), "tare": figures(ours.samples[""])}
    if len(sides) > 1:
        result["tare_1"] = figures(sides[1].samples[""])
    if theirs:
        best = theirs.best()
        result["torch"] = {**figures(theirs.samples[best]), "variant": best, "failed": theirs.failed,
                           "compile": any("compile" in v for v in theirs.samples),
                           "variants": {v: figures(theirs.samples[v])["ms"] for v in theirs.samples}}
        result["least"] = round(min(t / o for t, o in zip(theirs.turns[best], ours.turns[""])), 2)
    if report.is_step(name):
        result.update(starts(a, name, theirs))
    else:
        result["gflop"] = first_step([a.program, name, "--first"], {"OMP_NUM_THREADS": str(a.threads)}, 1)[2]["flops"] / 1e9
    return result


def crowd(a, sides):
    """One thread alone and two processes of one thread each at once; then 2, 3 and 8 threads in turn, none more than once at a
    time. Pairs of the first are cores enough for both."""
    one, two, *teams = sides
    loads = []
    for _ in range(a.turns):
        a.patience.wait()
        load = Load([s.process.pid for s in sides])
        one.turn(a.seconds, "alone")
        for s in (one, two):
            s.begin(f"{a.seconds}")
        for s in (one, two):
            s.keep("both", s.answer())
        for s in teams:
            s.turn(a.seconds)
        loads.append(load.share())
    return {**stamp(a, loads), "alone": figures(one.samples["alone"]), "both": figures(one.samples["both"] + two.samples["both"]),
            "teams": {str(t): figures(s.samples[""]) for t, s in zip(TEAMS, teams)}}


def measure(a, name, theirs):
    sides = []
    try:
        crowded = report.family(name) == "threads"
        for threads in [1, 1, *TEAMS] if crowded else [a.threads, 1] if report.is_step(name) else [a.threads]:
            sides.append(Tare(a, name.removeprefix("threads-"), threads))
        return crowd(a, sides) if crowded else compare(a, name, sides, theirs)
    finally:
        for s in sides:
            s.close()


class Opponent:
    """The process of PyTorch, started anew for each family, and without torch.compile for a workload that it died of."""

    def __init__(self, a):
        self.a, self.side, self.family = a, None, None

    def load(self, name):
        """The side with this workload loaded; None where there is no PyTorch, or nothing to compare."""
        if not self.a.python or report.family(name) == "threads":
            return None
        if report.family(name) != self.family:
            self.close()
            self.side, self.family = Torch(self.a, self.a.compile), report.family(name)
        try:
            self.side.load(name)
        except Died:
            self.close()
            if not self.a.compile:
                raise
            print(f"bench: {name}: PyTorch died of torch.compile; on without it", file=sys.stderr)
            self.side = Torch(self.a, False)
            self.side.load(name)
            self.side.failed = ["compile"]
        return self.side

    def close(self):
        if self.side:
            self.side.close()
        self.side = self.family = None


# ---- all of them ------------------------------------------------------------------------------------------------------------


def names_wanted(a):
    known = subprocess.run([a.program, "--list"], text=True, capture_output=True, check=True).stdout.split()
    known += ["threads-" + n for n in CROWDED]
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


def measure_families(a, names, results):
    """Row by row into the JSON file, so that a run that is cut short has not been for nothing."""
    opponent = Opponent(a)
    try:
        for name in names:
            results.setdefault("workloads", {})[name] = measure(a, name, opponent.load(name))
            print(report.line(name, results["workloads"][name]), flush=True)
            with open(a.out + ".new", "w") as f:
                json.dump(results, f, indent=1)
            os.replace(a.out + ".new", a.out)
    except Died as what:
        raise SystemExit(str(what)) from None
    finally:
        opponent.close()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("program", help="build/bin/bench_steps")
    ap.add_argument("names", nargs="*", metavar="NAME")
    ap.add_argument("--python", default="", help="a Python that has torch; none: Tare alone")
    ap.add_argument("--compile", action="store_true", help="torch.compile takes part too: minutes a workload, the first time")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--turns", type=int, default=5)
    ap.add_argument("--seconds", type=float, default=0.2, help="that a turn takes")
    ap.add_argument("--wait", type=float, default=60, help="seconds to wait for a quiet machine, in all")
    ap.add_argument("--out", default="docs/benchmarks.json")
    a = ap.parse_intermixed_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that stopped processes go too
    start = time.monotonic()
    names = names_wanted(a)
    results = json.load(open(a.out)) if os.path.exists(a.out) else {}
    a.patience = Patience(a.wait)
    a.machine = {**json.loads(subprocess.run([a.program, "--machine"], text=True, capture_output=True, check=True,
                                             env={**os.environ, "OMP_NUM_THREADS": str(a.threads)}).stdout), **versions(a)}
    try:
        measure_families(a, names, results)
    finally:
        if results.get("workloads"):
            report.write(results, os.path.splitext(a.out)[0])
    seconds = round(time.monotonic() - start)
    print(f"{len(names)} workloads in {seconds // 60} min {seconds % 60} s; {os.path.splitext(a.out)[0]}.md has the tables")


if __name__ == "__main__":
    main()
