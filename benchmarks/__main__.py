"""Run one benchmark by name, or list them. Each module has ``main(arguments) -> int``."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path


def names() -> list[str]:
    """Benchmarks there are."""
    found = (m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return sorted(n for n in found if not n.startswith("_") and n != "timing")


def main() -> int:
    """Run what the command line names; all that need no special machine without arguments."""
    wanted = sys.argv[1:2]
    if wanted and wanted[0] not in names():
        print(f"benchmarks: {', '.join(names())}")
        return 2
    status = 0
    for name in wanted or names():
        print(f"== {name}")
        status = max(status, int(importlib.import_module(f"benchmarks.{name}").main(sys.argv[2:])))
    return status


if __name__ == "__main__":
    sys.exit(main())
