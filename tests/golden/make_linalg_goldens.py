"""Write tests/golden/data/linalg.gold: eigenvalues and singular values by numpy, in float64 (format: goldens.py)."""
import os

import numpy as np

import goldens

entries = {}
for n in (1, 2, 17, 60):
    a = goldens.exact_float(goldens.seeded(f"linalg/eigen{n}").standard_normal((n, n)))
    entries[f"eigen{n}/a"] = a + a.T
    entries[f"eigen{n}/values"] = np.linalg.eigvalsh(a + a.T)
for m, n in ((1, 1), (5, 3), (3, 5), (40, 40), (1, 9), (64, 27)):
    a = goldens.exact_float(goldens.seeded(f"linalg/svd{m}x{n}").standard_normal((m, n)))
    entries[f"svd{m}x{n}/a"] = a
    entries[f"svd{m}x{n}/values"] = np.linalg.svd(a, compute_uv=False)
print(goldens.write(os.path.join(goldens.HERE, "data", "linalg.gold"), entries), "bytes")
