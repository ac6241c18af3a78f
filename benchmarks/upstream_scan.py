"""How long a scan of every tag takes: ``python -m benchmarks upstream_scan CLONE [RUNS]``. The goal is 5 s."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Sequence
from pathlib import Path

from aiterfix.faults.registry import load_faults
from aiterfix.upstream.gitrepo import Clone
from aiterfix.upstream.scan import scan

GOAL = 5.0


def main(arguments: Sequence[str]) -> int:
    """Scan as often as asked, print each time; 1 where the best misses the goal."""
    place = arguments[0] if arguments else os.environ.get("AITERFIX_AITER_REPO", "")
    if not place:
        print("left out: name the folder of a clone of ROCm/aiter, or set AITERFIX_AITER_REPO")
        return 0
    runs = int(arguments[1]) if len(arguments) > 1 else 3
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        result = scan(Clone(Path(place)), load_faults())
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
