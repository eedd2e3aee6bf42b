"""Write tests/golden/data/<op>.gold for the ops named (none: all) from the ops_*.py beside this file; see goldens.py."""
import glob
import importlib
import os
import sys

import goldens


def main(names):
    for path in sorted(glob.glob(os.path.join(goldens.HERE, "ops_*.py"))):
        importlib.import_module(os.path.basename(path)[:-3])
    unknown = [name for name in names if name not in goldens.OPS]
    if unknown:
        raise SystemExit(f"no such op: {', '.join(unknown)}; there are: {', '.join(sorted(goldens.OPS))}")
    folder = os.path.join(goldens.HERE, "data")
    os.makedirs(folder, exist_ok=True)
    for name in sorted(names or goldens.OPS):
        entries = {}
        for case in goldens.OPS[name]:
            entries.update(goldens.compute(name, case))
        size = goldens.write(os.path.join(folder, name + ".gold"), entries)
        print(f"{name:24} {len(goldens.OPS[name]):3} cases {size:8} bytes")
    total = sum(os.path.getsize(path) for path in glob.glob(os.path.join(folder, "*.gold")))
    print(f"all goldens: {total / 1024:.0f} KiB")


if __name__ == "__main__":
    main(sys.argv[1:])
