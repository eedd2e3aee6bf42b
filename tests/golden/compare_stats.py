#!/usr/bin/env python3
"""compare_stats.py - prints the tables of tests/test_compare_stats.c: SciPy's values of what src/compare/stats.h computes.

    python3 tests/golden/compare_stats.py
"""
import numpy as np
from scipy import stats

print("/* SciPy", __import__("scipy").__version__, "*/")
print("/* stats.t.ppf((1 + level) / 2, df) */")
for df, level in [(1, .95), (2, .95), (5, .95), (5, .99), (9, .9), (29, .95), (100, .95), (1000, .999), (3, .5), (7, .9999)]:
    print(f"    {{ {df}, {level}, {stats.t.ppf((1 + level) / 2, df)!r} }},".replace("np.float64(", "").replace(")", ""))

samples = {
    "two": [1.5, 2.5],
    "three": [0.91, 0.89, 0.93],
    "six": [0.8712, 0.8651, 0.8733, 0.8699, 0.8801, 0.8675],
    "equal": [2.0, 2.0, 2.0, 2.0],
    "mixed": [-1.25, 3.5, 0.0, 12.75, -7.0, 2.125, 0.5],
    "large": [1000000.25, 1000000.5, 1000000.75, 1000001.0],
}
print("/* mean, sd and stats.t.interval(0.95, n - 1, mean, sem) */")
for name, x in samples.items():
    x = np.array(x)
    low, high = stats.t.interval(0.95, len(x) - 1, x.mean(), stats.sem(x))
    if name == "equal": low = high = x.mean()
    print(f'    {{ {len(x)}, {{ {", ".join(repr(float(v)) for v in x)} }}, {float(x.mean())!r}, {float(x.std(ddof=1))!r}, '
          f'{float(low)!r}, {float(high)!r} }},')

diffs = {
    "all up": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
    "one down": [0.1, 0.2, -0.3, 0.4, 0.5, 0.6],
    "ties": [1, 1, -1, 1, 1, 0, 1],
    "zeros": [0, 0, 0],
    "one": [3.0],
    "twelve": [0.012, -0.004, 0.021, 0.008, 0.015, -0.001, 0.009, 0.017, 0.003, -0.011, 0.006, 0.014],
    "tenths": [0.1, 0.2, -0.3, 0.1, -0.1, 0.3, 0.2],
}
print("/* stats.permutation_test((d, 0), mean of differences, permutation_type='samples', n_resamples=inf) */")
for name, d in diffs.items():
    d = np.array(d, dtype=float)
    if len(d) == 1 or not d.any():
        p = 1.0
    else:
        p = stats.permutation_test((d, np.zeros_like(d)), lambda a, b: np.mean(a - b), permutation_type="samples",
                                   n_resamples=np.inf, alternative="two-sided").pvalue
    print(f'    {{ {len(d)}, {{ {", ".join(repr(float(v)) for v in d)} }}, {float(p)!r} }},')

rng = np.random.default_rng(7)
long = np.round(rng.normal(0.3, 1, 24), 3)
p = stats.permutation_test((long, np.zeros_like(long)), lambda a, b, axis: np.mean(a - b, axis=axis), permutation_type="samples",
                           n_resamples=1000000, vectorized=True, batch=10000, random_state=1).pvalue
print("/* 24 differences: sampled, 1,000,000 resamples */")
print(", ".join(repr(float(v)) for v in long), "->", float(p))

print("/* Holm: by its definition; statsmodels says whether it agrees */")
def holm(p):
    p = np.array(p); order = np.argsort(p, kind="stable"); out = np.empty_like(p); m = len(p); run = 0.0
    for i, k in enumerate(order):
        run = max(run, min(1.0, (m - i) * p[k])); out[k] = run
    return out
for p in ([0.01, 0.04, 0.03, 0.005], [0.03125] * 4, [0.2, 0.9, 0.5], [0.001], [0.04, 0.001, 0.2, 0.02, 0.02, 0.7]):
    print(f'    {{ {len(p)}, {{ {", ".join(map(repr, p))} }}, {{ {", ".join(repr(float(v)) for v in holm(p))} }} }},')
try:
    from statsmodels.stats.multitest import multipletests
    print("statsmodels agrees:", all(np.allclose(multipletests(p, method="holm")[1], holm(p)) for p in
          ([0.01, 0.04, 0.03, 0.005], [0.03125] * 4, [0.2, 0.9, 0.5], [0.04, 0.001, 0.2, 0.02, 0.02, 0.7])))
except ImportError:
    print("(statsmodels, which has Holm too, is not installed)")
