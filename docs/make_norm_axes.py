"""Draw docs/norm_axes.svg: which values each norm takes its statistics of.   python3 docs/make_norm_axes.py"""
import os

SAMPLES, CHANNELS, SIDE = 4, 6, 3  # x [N,C,H,W]
CELL, GAP = 6, 5  # a value, and the space between channels
STEP = SIDE * CELL + GAP
WIDTH, HEIGHT = CHANNELS * STEP - GAP, SAMPLES * STEP - GAP
LEFT, TOP, BETWEEN, CAPTION = 44, 40, 76, 34

# spec, title, and: does value (sample, channel, position) belong to the set shown?
PANELS = [
    ("bn", "BatchNorm", lambda n, c, p: c == 1),
    ("bn:batch=2", "BatchNorm, ghost batch of 2", lambda n, c, p: c == 1 and n < 2),
    ("ln, rms", "LayerNorm, RMSNorm", lambda n, c, p: n == 1),
    ("ln:over=c", "LayerNorm at each position", lambda n, c, p: n == 1 and p == 4),
    ("in, frn", "InstanceNorm, FilterResponseNorm", lambda n, c, p: n == 1 and c == 1),
    ("gn:2", "GroupNorm, 2 groups", lambda n, c, p: n == 1 and c < CHANNELS // 2),
]
COLUMNS = 3


def panel(x0, y0, spec, title, chosen):
    out = [f'<text x="{x0}" y="{y0 - 22}" class="spec">{spec}</text>', f'<text x="{x0}" y="{y0 - 8}">{title}</text>']
    path = {"set": "", "rest": ""}
    for n in range(SAMPLES):
        for c in range(CHANNELS):
            for p in range(SIDE * SIDE):
                x, y = x0 + c * STEP + p % SIDE * CELL, y0 + n * STEP + p // SIDE * CELL
                path["set" if chosen(n, c, p) else "rest"] += f"M{x} {y}h5v5h-5z"
    out += [f'<path d="{d}" class="{kind}"/>' for kind, d in path.items()]
    return out


def axes(x0, y0):
    """Said once: rows are samples, columns channels, small squares positions."""
    middle = y0 + HEIGHT / 2
    return [f'<text x="{x0 - 14}" y="{middle}" transform="rotate(-90 {x0 - 14} {middle})" class="axis">samples N</text>',
            f'<text x="{x0 + WIDTH / 2}" y="{y0 + HEIGHT + 16}" class="axis">channels C</text>']


def main():
    rows = -(-len(PANELS) // COLUMNS)
    width = LEFT + COLUMNS * (WIDTH + BETWEEN)
    height = rows * (TOP + HEIGHT + CAPTION)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
           "<title>Which values each norm takes its statistics of, in x [N,C,H,W]</title>",
           "<style>text{font:11px sans-serif;fill:#222}.spec{font:bold 12px monospace}.axis{text-anchor:middle;fill:#777}"
           ".set{fill:#c2410c}.rest{fill:#d4d4d4}</style>",
           f'<rect width="{width}" height="{height}" fill="#fff"/>']
    for i, (spec, title, chosen) in enumerate(PANELS):
        x0, y0 = LEFT + i % COLUMNS * (WIDTH + BETWEEN), TOP + i // COLUMNS * (TOP + HEIGHT + CAPTION)
        out += panel(x0, y0, spec, title, chosen) + axes(x0, y0)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "norm_axes.svg")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(out + ["</svg>", ""]))


if __name__ == "__main__":
    main()
