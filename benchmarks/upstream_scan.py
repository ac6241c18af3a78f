"""How long a scan of every tag takes: ``python -m benchmarks.upstream_scan CLONE [RUNS]``. The goal is 5 s."""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

from aiterfix.fixes import load_fixes
from aiterfix.upstream.gitrepo import Clone
from aiterfix.upstream.scan import scan

GOAL = 5.0


def main() -> int:
    """Scan as often as asked, print each time, exit 1 where the best misses the goal."""
    place = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("AITERFIX_AITER_REPO", "")
    if not place:
        print("Give the folder of a clone of ROCm/aiter, or set AITERFIX_AITER_REPO.", file=sys.stderr)
        return 2
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        result = scan(Clone(Path(place)), load_fixes())
        seconds = time.perf_counter() - start
        best = min(best, seconds)
        print(f"{len(result.refs)} tags, {result.sources} sources, {result.analysed} analysed: {seconds:.2f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    processor = sum(
        u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
    print(
        f"best {best:.2f} s, {processor / runs:.2f} s of processor a run, goal {GOAL:.0f} s, peak memory {peak:.0f} MiB"
    )
    return 0 if best < GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
