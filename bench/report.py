#!/usr/bin/env python3
"""From the figures that bench/run.py took to the tables in docs/benchmarks.md and a picture:  bench/report.py [docs/benchmarks.json]

Of the Markdown file only what stands between the two "steps" comments is written."""
import json
import math
import os
import sys

HEAD = ("| workload | PyTorch ms (p10 to p90) | variant | Tare ms (p10 to p90) | ratio | least | GFLOP/s, of peak | 1 to 2 threads |\n"
        "|---|---|---|---|---|---|---|---|")
MEMORY = ("| workload | step MiB | with state | PyTorch's tensors | process | PyTorch's | first step ms | PyTorch's | same bits |\n"
          "|---|---|---|---|---|---|---|---|---|")
NAMES = {"W1": "MLP 784-256-128-10, Adam", "W2": "PyTorch's MNIST example net, batch 64, Adam",
         "W3": "conv 32-64-128 + norm + ReLU + pool, Adam", "W4": "ResNet-20, 32x32, batch 128, SGD",
         "W5": "GPT 4x128, context 64, batch 12, AdamW; large: 6x384, context 256, batch 8",
         "W6": "SNGAN 64-128-256, batch 64, one D and one G step", "W7": "LSTM 256, sequence 64, batch 32, Adam"}
BARS = {"W1-b32": 4, "W1-b128": 2.5, "W2": 1.5, "W3-none-b64": 1.2, "W3-bn-b64": 1.4, "W3-gn8-b64": 1.4, "W3-in-b64": 1.4,
        "W3-ln-b64": 1.4, "W3": 2.5, "W4": 1.0, "W5-large": 1.0, "W5": 1.5, "W6": 1.5, "W7": 2}


def bar(name):
    """The ratio asked for in our own plan."""
    return BARS.get(name) or BARS[name.split("-")[0]]


def ratio(r):
    return r["torch"]["ms"] / r["tare"]["ms"] if "torch" in r else math.nan


def times(f):
    digits = 3 if f["ms"] < 10 else 1
    return f"{f['ms']:.{digits}f} ({f['p10']:.{digits}f} to {f['p90']:.{digits}f})"


def row(name, r):
    speed = r["gflop"] / r["tare"]["ms"] * 1e3
    theirs = [times(r["torch"]), r["torch"]["variant"].replace("contiguous", "NCHW" if name[1] in "2346" else "eager").replace("compile eager", "compile"),
              times(r["tare"]), f"{ratio(r):.2f}", f"{r['least']:.2f}"] if "torch" in r else ["", "", times(r["tare"]), "", ""]
    noisy = " *" if r["others"] > 0.03 else ""
    return (f"| {name}{noisy} | " + " | ".join(theirs) + f" | {speed:.0f}, {100 * speed / r['machine']['gflops']:.0f} % | "
            f"{r['tare_1']['ms'] / r['tare']['ms']:.2f} |")


def memory_row(name, r):
    mib = lambda key: f"{r[key] / 2**20:.1f}" if key in r else ""
    both = f"{(r['step_bytes'] + r['state_bytes']) / 2**20:.1f}"
    theirs = f"{1e3 * r['torch_first']:.0f}" if "torch_first" in r else ""
    return (f"| {name} | {mib('step_bytes')} | {both} | {mib('torch_tensor_bytes')} | {mib('process_bytes')} | "
            f"{mib('torch_process_bytes')} | {1e3 * r['first']:.0f} | {theirs} | {'yes' if r['same_bits'] else 'NO'} |")


def machine_text(all_results):
    r = max(all_results.values(), key=lambda r: r["date"])
    m = r["machine"]
    torch = f"; PyTorch {m['torch']}" if "torch" in m else ""
    peaks = [x["machine"]["gflops"] for x in all_results.values()]
    return (f"{m['cpu']}, {m['cores']} cores, {m['isa']} kernels, {r['threads']} threads, float; {m['compiler']}{torch}. Measured "
            f"peaks: {min(peaks):.0f} to {max(peaks):.0f} GFLOP/s of multiply-adds (each share is of its own run's); copies "
            f"{m['copy_near']:.0f} GB/s in a core's cache, {m['copy_middle']:.0f} in the shared one, {m['copy_far']:.0f} in memory.")


def order(results):
    return sorted(results, key=lambda n: (n.split("-")[0], -int(n.split("-b")[-1]) if n.startswith("W3") else 0))


def markdown(results):
    names = order(results)
    lines = [machine_text(results), "", HEAD] + [row(n, results[n]) for n in names]
    if any(results[n]["others"] > 0.03 for n in names):
        lines += ["", "\\* other processes took more than 3 % of the processors meanwhile."]
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
           f'<rect width="100%" height="100%" fill="white"/><text x="{left}" y="18" font-size="14">Training steps: how many '
           'times as fast as PyTorch</text>']
    for tick in (0.5, 1, 2, 4, 8):
        if tick <= most:
            out.append(f'<line x1="{x(tick):.0f}" y1="{top - 12}" x2="{x(tick):.0f}" y2="{height - 20}" '
                       f'stroke="{"#444" if tick == 1 else "#ddd"}"/>'
                       f'<text x="{x(tick):.0f}" y="{height - 6}" text-anchor="middle">{tick}</text>')
    for i, n in enumerate(names):
        y, value = top + step * i, ratio(results[n])
        a, b = sorted((x(1), x(max(value, 0.5))))
        out.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{n}</text><rect x="{a:.1f}" y="{y - 6}" '
                   f'width="{b - a:.1f}" height="11" fill="{"#2a7f62" if value >= 1 else "#b5483a"}"/>'
                   f'<line x1="{x(bar(n)):.1f}" y1="{y - 8}" x2="{x(bar(n)):.1f}" y2="{y + 7}" stroke="#111" stroke-width="2"/>'
                   f'<text x="{b + 5:.1f}" y="{y + 4}">{value:.1f}</text>')
    return "\n".join(out + [f'<text x="{left + width + 55}" y="{height - 6}" text-anchor="end">log scale; black: the bar set'
                            '</text></svg>']) + "\n"


def write(results, stem):
    """stem.md between its comments, and stem.svg."""
    with open(stem + ".svg", "w") as f:
        f.write(svg(results["workloads"]))
    begin, end = "<!-- steps -->", "<!-- /steps -->"
    text = open(stem + ".md").read() if os.path.exists(stem + ".md") else f"# Speed\n\n{begin}\n{end}\n"
    head, rest = text.split(begin, 1)
    with open(stem + ".md", "w") as f:
        f.write(head + begin + "\n" + markdown(results["workloads"]) + "\n" + end + rest.split(end, 1)[1])


if __name__ == "__main__":
    path = sys.argv[1] if len(sys.argv) > 1 else "docs/benchmarks.json"
    write(json.load(open(path)), os.path.splitext(path)[0])
