"""What the advice costs: the first call in a process, later calls. Run: ``python -m benchmarks padding [ROUNDS]``."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from aiterfix.demo import write_sample

_SCRIPT = """\
import sys, time
sys.path.insert(0, sys.argv[1])
import aiterfix
t = time.perf_counter(); aiterfix.required_padding(1000, 64); first = time.perf_counter() - t
t = time.perf_counter()
for _ in range(2000):
    aiterfix.required_padding(1000, 64)
print(first * 1e3, (time.perf_counter() - t) / 2000 * 1e6)
"""


def main(arguments: list[str]) -> int:
    """Measure and print."""
    rounds = int(arguments[0]) if arguments else 10
    kernel = Path(arguments[1]).read_bytes() if len(arguments) > 1 else None
    with tempfile.TemporaryDirectory() as folder:
        write_sample(Path(folder))
        if kernel is not None:
            (Path(folder) / "aiter/ops/triton/gluon/pa_mqa_logits.py").write_bytes(kernel)
        rows = []
        for _ in range(rounds + 1):
            done = subprocess.run([sys.executable, "-c", _SCRIPT, folder], check=True, capture_output=True, text=True)
            rows.append([float(word) for word in done.stdout.split()])
    first, later = ([row[i] for row in rows[1:]] for i in (0, 1))
    print(f"first call: median {statistics.median(first):.1f} ms, least {min(first):.1f} ms, imports included")
    print(f"later calls: median {statistics.median(later):.1f} us, least {min(later):.1f} us")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
