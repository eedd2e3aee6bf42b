#!/usr/bin/env python3
"""From the figures that bench/run.py took to the tables in docs/benchmarks.md and a picture:  bench/report.py [docs/benchmarks.json]

Of the Markdown file only what stands between the pairs of comments "steps", "scaling", "norms" and "conv" is written."""
import json
import math
import os
import re
import sys

HEAD = ("| workload | PyTorch ms (p10 to p90) | variant | Tare ms (p10 to p90) | ratio | least | GFLOP/s, of peak | 1 to 2 threads |\n"
        "|---|---|---|---|---|---|---|---|")
MEMORY = ("| workload | step MiB | with state | tensors | PyTorch's | process | PyTorch's | start ms | first step ms | PyTorch's start | "
          "first step | same bits |\n" + "|---" * 12 + "|")
SCALING = ("| net | Tare ms (p10 to p90) | per unit | of the least | PyTorch ms | per unit | of the least |\n"
           "|---|---|---|---|---|---|---|")
UNITS = {"batch": ("W3-bn, batch {}", "us a sample", 1e3), "layers": ("W5-gelu, {} layers", "ns a token and layer", 1e6 / 768)}
THREADS = ("| workload | 1 thread ms | two such processes at once | 2 threads | 3 threads | 8 threads |\n"
           "|---|---|---|---|---|---|")
PASSES = ("norms", "conv")
NORMS = ("| norm | shape | pass | PyTorch us | variant | Tare us (p10 to p90) | ratio | least | GB/s, of a copy (of the bare bytes) |\n"
         "|---|---|---|---|---|---|---|---|---|")
CONV = ("| layer | pass | PyTorch us | variant | Tare us (p10 to p90) | ratio | least | GFLOP/s, of peak |\n"
        "|---|---|---|---|---|---|---|---|")
BARS = {"W1-b32": 4, "W1-b128": 2.5, "W2": 1.5, "W3-none-b64": 1.2, "W3-bn-b64": 1.4, "W3-gn8-b64": 1.4, "W3-in-b64": 1.4,
        "W3-ln-b64": 1.4, "W3": 2.5, "W4": 1.0, "W5-large": 1.0, "W5-large-limit": 1.0, "W5": 1.5, "W6": 1.5, "W7": 2}


def family(name):
    return name.split("-")[0]


def is_pass(name):
    return family(name) in PASSES


def is_step(name):
    return name.startswith("W")


def bar(name):
    """The ratio asked for in our own plan."""
    return BARS.get(name) or BARS[family(name)]


def ratio(r):
    return r["torch"]["ms"] / r["tare"]["ms"] if "torch" in r else math.nan


def times(f):
    digits = 3 if f["ms"] < 10 else 1
    return f"{f['ms']:.{digits}f} ({f['p10']:.{digits}f} to {f['p90']:.{digits}f})"


def variant(name, r):
    formats = name[:2] in ("W2", "W3", "W4", "W6") or len(sizes(name)) == 4
    words = r["torch"]["variant"].replace("contiguous", "NCHW" if formats else "eager").replace("compile eager", "compile")
    return words + " †" * (is_step(name) and not r["torch"]["compile"])


def against(name, r, times):
    """PyTorch's time and variant, Tare's, and ratios."""
    if "torch" not in r:
        return ["", "", times(r["tare"]), "", ""]
    return [times(r["torch"]), variant(name, r), times(r["tare"]), f"{ratio(r):.2f}", f"{r['least']:.2f}"]


def noisy(r):
    return " *" if r["others"] > 0.03 else ""


def row(name, r):
    speed = r["gflop"] / r["tare"]["ms"] * 1e3
    return (f"| {name}{noisy(r)} | " + " | ".join(against(name, r, times)) + f" | {speed:.0f}, "
            f"{100 * speed / r['machine']['gflops']:.0f} % | {r['tare_1']['ms'] / r['tare']['ms']:.2f} |")


def line(name, r):
    """For whoever waits."""
    if family(name) == "threads":
        return f"{name:32} {r['alone']['ms']:9.3f} ms alone, {r['both']['ms']:.3f} beside another{noisy(r)}"
    theirs = f"  PyTorch {r['torch']['ms']:9.3f} ms  {ratio(r):5.2f} times ({variant(name, r)})" if "torch" in r else ""
    return f"{name:32} {r['tare']['ms']:9.3f} ms{theirs}{noisy(r)}"


def memory_row(name, r):
    mib = lambda key: f"{r[key] / 2**20:.1f}" if key in r else ""
    both = f"{(r['step_bytes'] + r['state_bytes']) / 2**20:.1f}"
    ms = lambda key: f"{1e3 * r[key]:.0f}" if key in r else ""
    held = f"{(r['held_bytes'] + r['state_bytes']) / 2**20:.1f}" if "held_bytes" in r else ""
    return (f"| {name} | {mib('step_bytes')} | {both} | {held} | {mib('torch_tensor_bytes')} | {mib('process_bytes')} | "
            f"{mib('torch_process_bytes')} | {ms('start')} | {ms('first')} | {ms('torch_start')} | {ms('torch_first')} | "
            f"{'yes' if r['same_bits'] else 'NO'} |")


# ---- passes -----------------------------------------------------------------------------------------------------------------


def sizes(name):
    """norms-bn-64x32x28x28-fwd: [64, 32, 28, 28]"""
    return [int(n) for n in name.split("-")[-2].split("x")] if is_pass(name) else []


def microseconds(f):
    digits = 0 if f["ms"] >= 1 else 1
    p50, p10, p90 = (f"{1e3 * f[k]:.{digits}f}" for k in ("ms", "p10", "p90"))
    return f"{p50} ({p10} to {p90})"


def bandwidth(name, r):
    """GB/s. Forward reads x and writes y; with backward x, y, and then x, dy, dx."""
    arrays = 5 if name.endswith("fwdbwd") else 2
    return arrays * 4 * math.prod(sizes(name)) / r["tare"]["ms"] * 1e-6


def pass_cells(name, r):
    cells = against(name, r, microseconds)
    return [cells[0].split(" ")[0]] + cells[1:]


def norm_row(name, r, results):
    _, norm, shape, direction = name.split("-")
    speed = bandwidth(name, r)
    copies = {n.split("-")[-1]: bandwidth(n, x) for n, x in results.items()
              if "-copy-" in n and math.prod(sizes(n)) == math.prod(sizes(name))}
    share = f", {100 * speed / copies['fwd']:.0f} %" if "fwd" in copies else ""
    share += f" ({100 * speed / copies['fwdbwd']:.0f} %)" if direction == "fwdbwd" and "fwdbwd" in copies else ""
    direction = direction.replace("fwdbwd", "fwd+bwd")
    return f"| {norm}{noisy(r)} | {shape} | {direction} | " + " | ".join(pass_cells(name, r)) + f" | {speed:.0f}{share} |"


def conv_row(name, r):
    *kind, _, direction = name.split("-")
    batch, c, side, _ = sizes(name)
    options = {key: int(n) for key, n in re.findall("-(k|s|g|to)(\\d+)", "-".join(kind))}
    taps, stride, groups = (options.get(key, otherwise) for key, otherwise in (("k", 3), ("s", 1), ("g", 1)))
    title = f"{taps} x {taps}" + (f", stride {stride}" if stride > 1 else "")
    title += "" if groups == 1 else ", depthwise" if groups == c else f", {groups} groups"
    title += f": {c} to {options.get('to', 2 * c)} at {side}x{side}, batch {batch}{noisy(r)}"
    speed = r["gflop"] / r["tare"]["ms"] * 1e3
    return (f"| {title} | {direction.replace('fwdbwd', 'fwd+bwd')} | " + " | ".join(pass_cells(name, r)) + f" | {speed:.0f}, {100 * speed / r['machine']['gflops']:.0f} % |")


def norms_text(results):
    names = [n for n in results if family(n) == "norms"]
    lines = [NORMS] + [norm_row(n, results[n], results) for n in names]
    ratios = [ratio(results[n]) for n in names if "torch" in results[n] and "-copy-" not in n]
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        lines += ["", f"Geometric mean of the norms' ratios {mean:.2f}, least {min(ratios):.2f}."]
    return "\n".join(lines)


def conv_text(results):
    return "\n".join([CONV] + [conv_row(n, results[n]) for n in results if family(n) == "conv"])


# ---- larger batches, more layers, more processes, more threads ------------------------------------------------------------------


def scaling_rows(results, kind):
    """The time of a step over what it has of the unit; flat is 1.00 from top to bottom."""
    title, unit, factor = UNITS[kind]
    sizes_of = {n: int(n.split("-")[-1]) for n in results if n.startswith(f"scaling-{kind}-")}
    sides = [s for s in ("tare", "torch") if all(s in results[n] for n in sizes_of)]
    each = {(n, s): factor * results[n][s]["ms"] / sizes_of[n] for n in sizes_of for s in sides}
    lines = []
    for n in sorted(sizes_of, key=sizes_of.get):
        cells = [title.format(sizes_of[n]) + noisy(results[n])]
        for s in ("tare", "torch"):
            if s not in sides:
                cells += ["", "", ""]
                continue
            least = min(v for (_, side), v in each.items() if side == s)
            f = results[n][s]
            cells += [times(f) if s == "tare" else times(f).split(" ")[0], f"{each[n, s]:.1f} {unit}", f"{each[n, s] / least:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def threads_row(name, r):
    ratio_to = lambda f, base: f"{times(f)}, {f['ms'] / base['ms']:.2f}"
    two = r["teams"]["2"]
    return (f"| {name.removeprefix('threads-')}{noisy(r)} | {times(r['alone'])} | {ratio_to(r['both'], r['alone'])} | {times(two)} | "
            + " | ".join(ratio_to(f, two) for t, f in r["teams"].items() if t != "2") + " |")


def scaling_text(results):
    lines = [SCALING] + scaling_rows(results, "batch") + scaling_rows(results, "layers")
    crowded = [n for n in results if family(n) == "threads"]
    if crowded:
        lines += ["", "Behind each time: over that of one process alone, or of two threads.", "", THREADS]
    return "\n".join(lines + [threads_row(n, results[n]) for n in crowded])


# ---- steps ------------------------------------------------------------------------------------------------------------------


def machine_text(all_results):
    r = max(all_results.values(), key=lambda r: r["date"])
    m = r["machine"]
    torch = f"; PyTorch {m['torch']}" if "torch" in m else ""
    peaks = [x["machine"]["gflops"] for x in all_results.values()]
    return (f"{m['cpu']}, {m['cores']} cores, {m['isa']} kernels, {r['threads']} threads, float; {m['compiler']}{torch}. Measured "
            f"peaks: {min(peaks):.0f} to {max(peaks):.0f} GFLOP/s of multiply-adds (each share is of its own run's); copies "
            f"{m['copy_near']:.0f} GB/s in a core's cache, {m['copy_middle']:.0f} in the shared one, {m['copy_far']:.0f} in memory.")


def order(results):
    return sorted((n for n in results if is_step(n)), key=lambda n: (n.split("-")[0], -int(n.split("-b")[-1]) if n.startswith("W3") else 0))


def steps_text(results):
    names = order(results)
    lines = [machine_text({n: results[n] for n in names} or results), "", HEAD] + [row(n, results[n]) for n in names]
    if any(noisy(r) for r in results.values()):
        lines += ["", "\\* other processes took more than 3 % of the processors meanwhile."]
    if any("†" in variant(n, results[n]) for n in names if "torch" in results[n]):
        lines += ["", "† without torch.compile, which took no part in this row."]
    failed = [f"{n} ({', '.join(results[n]['torch']['failed'])})" for n in names if results[n].get("torch", {}).get("failed")]
    if failed:
        lines += ["", f"torch.compile failed, and took no part, in {'; '.join(failed)}."]
    lines += ["", "![ratios](benchmarks.svg)", "", "### Memory, start, bits", "", MEMORY]
    return "\n".join(lines + [memory_row(n, results[n]) for n in names])


# ---- picture ----------------------------------------------------------------------------------------------------------------


def svg(results):
    names = [n for n in order(results) if "torch" in results[n]]
    left, width, step, top = 130, 460, 18, 44
    most = max([ratio(results[n]) for n in names] + [1])
    x = lambda value: left + width * math.log2(value / 0.5) / math.log2(most / 0.5)
    height = top + step * len(names) + 24
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 60}" height="{height}" '
           f'font-family="sans-serif" font-size="12">',
           f'<rect width="100%" height="100%" fill="white"/><text x="8" y="18" font-size="14">Training steps: how many '
           'times as fast as PyTorch</text>']
    for tick in (0.5, 1, 2, 4, 8):
        if tick <= most:
            out.append(f'<line x1="{x(tick):.0f}" y1="{top - 12}" x2="{x(tick):.0f}" y2="{height - 20}" '
                       f'stroke="{"#444" if tick == 1 else "#ddd"}"/>'
                       f'<text x="{x(tick):.0f}" y="{height - 6}" text-anchor="middle">{tick}</text>')
    for i, n in enumerate(names):
        y, value = top + step * i, ratio(results[n])
        a, b = sorted((x(1), x(max(value, 0.5))))
        text = x(bar(n)) + 4 if -2 < x(bar(n)) - b < 26 else b + 5  # beside the mark, not under it
        out.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{n}</text><rect x="{a:.1f}" y="{y - 6}" '
                   f'width="{b - a:.1f}" height="11" fill="{"#2a7f62" if value >= 1 else "#b5483a"}"/>'
                   f'<line x1="{x(bar(n)):.1f}" y1="{y - 8}" x2="{x(bar(n)):.1f}" y2="{y + 7}" stroke="#111" stroke-width="2"/>'
                   f'<text x="{text:.1f}" y="{y + 4}">{value:.1f}</text>')
    return "\n".join(out + [f'<text x="{left + width + 55}" y="18" text-anchor="end">log scale; black: the bar set'
                            '</text></svg>']) + "\n"


def write(results, stem):
    """stem.md between its comments, and stem.svg."""
    results = results["workloads"]
    with open(stem + ".svg", "w") as f:
        f.write(svg(results))
    text = open(stem + ".md").read() if os.path.exists(stem + ".md") else "# Speed\n"
    for key, make in (("steps", steps_text), ("scaling", scaling_text), ("norms", norms_text), ("conv", conv_text)):
        begin, end = f"<!-- {key} -->", f"<!-- /{key} -->"
        if begin not in text:
            text += f"\n{begin}\n{end}\n"
        head, rest = text.split(begin, 1)
        text = head + begin + "\n" + make(results) + "\n" + end + rest.split(end, 1)[1]
    with open(stem + ".md", "w") as f:
        f.write(text)


if __name__ == "__main__":
    path = sys.argv[1] if len(sys.argv) > 1 else "docs/benchmarks.json"
    write(json.load(open(path)), os.path.splitext(path)[0])
