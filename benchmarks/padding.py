"""What the advice costs: the first call in a process, and later calls.

Run: ``python -m benchmarks padding [ROUNDS [TREE]]``.

TREE holds an ``aiter``; without one the sample package is asked about, whose kernels are of no release and have to be
analysed. Then the same where there is no ``aiter`` at all.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from aiterfix.demo import write_sample

_SCRIPT = """\
import sys, time
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    __import__(name)
import aiterfix
t = time.perf_counter(); aiterfix.required_padding(1000, 64); first = time.perf_counter() - t
t = time.perf_counter()
for _ in range(2000):
    aiterfix.required_padding(1000, 64)
print(first * 1e3, (time.perf_counter() - t) / 2000 * 1e6)
"""


def _report(where: str, words: list[str], rounds: int) -> None:
    rows = []
    for _ in range(rounds + 1):
        command = [sys.executable, "-c", _SCRIPT, *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=words[0])
        rows.append([float(word) for word in done.stdout.split()])
    first, later = ([row[i] for row in rows[1:]] for i in (0, 1))
    print(f"{where}:")
    print(f"  first call: median {statistics.median(first):.1f} ms, least {min(first):.1f} ms, imports included")
    print(f"  later calls: median {statistics.median(later):.1f} us, least {min(later):.1f} us")


def main(arguments: list[str]) -> int:
    """Measure and print."""
    rounds = int(arguments[0]) if arguments else 10
    with tempfile.TemporaryDirectory() as folder:
        if len(arguments) > 1:
            tree = Path(arguments[1]).resolve()
        else:
            tree = Path(folder)
            write_sample(tree)
        _report("in a bare interpreter", [str(tree)], rounds)
        if importlib.util.find_spec("torch") is not None:
            # As in a server, which has torch and with it most of the standard library.
            _report("in a process that has torch", [str(tree), "torch"], max(3, rounds // 3))
    with tempfile.TemporaryDirectory() as folder:
        os.utime(folder, (0, 0))  # what was changed just now is not remembered
        _report("where aiter is missing", [folder], rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
