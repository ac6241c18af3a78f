"""What a patched import costs in private memory, in each process.

Run: ``python -m benchmarks memory TREE [ROUNDS]``. TREE holds the ``aiter`` of a release. Its kernel modules and its
wrapper are imported as they are; what else they import of ``aiter`` is a stand-in, since the real one needs a GPU. It
is measured with a stand-in for Triton, and with torch and Triton where they are installed, as in a server.

The hooked process is compared with one under ``AITERFIX=off``, both with the hook's start-up line. Counted is what is
private and written to (``Private_Dirty``): whether a file's mapped pages are shared depends on who else runs.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_SCRIPT = """\
import ast, contextlib, ctypes, dataclasses, datetime, functools, gc, hashlib, inspect, json, logging, pathlib, re, sys
import types, typing, zlib
from importlib.machinery import ModuleSpec, PathFinder

tree, real = sys.argv[1:3]
from aiterfix.startup import FAMILY, start_from_site
start_from_site()
claimed = ("aiter",) if real == "real" else ("aiter", "packaging", "torch", "triton")
parents = {name.rsplit(".", n)[0] for name in FAMILY for n in range(1, name.count(".") + 1)}


def jit(function):
    function.src = "".join(inspect.getsourcelines(function)[0])
    return function


class Anything(types.ModuleType):
    def __getattr__(self, name):
        if name == "__version__":
            return "3.7.0"
        if name.startswith("__"):
            raise AttributeError(name)
        return jit if name == "jit" else Anything(name)

    def __ge__(self, other):
        return True

    def __call__(self, *arguments, **named):
        return arguments[0] if len(arguments) == 1 and callable(arguments[0]) else Anything("called")


class Standins:
    @staticmethod
    def find_spec(name, path=None, target=None):
        mine = name.partition(".")[0] in claimed and name not in FAMILY
        return ModuleSpec(name, Standins, is_package=True) if mine else None

    @staticmethod
    def create_module(spec):
        module = Anything(spec.name)
        module.__path__ = ["/".join([tree, *spec.name.split(".")])] if spec.name in parents else []
        return module

    @staticmethod
    def exec_module(module):
        pass


sys.meta_path.insert(sys.meta_path.index(PathFinder), Standins)
if real == "real":
    import torch, triton
    import triton.experimental.gluon.language.amd.cdna3


def private():
    gc.collect()
    with open("/proc/self/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_Dirty"))


private()
before = private()
import aiter.ops.triton.attention.pa_mqa_logits
after = private()
patched = "aiterfix" in sys.modules["aiter.ops.triton.gluon.pa_mqa_logits"].__file__
print(after, after - before, int(patched))
"""


def measure(tree: Path, mode: str, *, real: bool) -> tuple[int, int]:
    """Private memory of a process that has imported the kernels, and how much of it came with the import; KiB.

    Args:
        tree: folder that holds ``aiter``.
        mode: value of ``AITERFIX``.
        real: whether with torch and Triton.

    Raises:
        RuntimeError: the kernels are not as they should be in that mode.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "AITER"))}
    source = str(Path(__file__).parents[1] / "src")
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(tree), "real" if real else "standin"],
        check=True, stdout=subprocess.PIPE, text=True, env={**kept, "PYTHONPATH": source, "AITERFIX": mode},
    )  # fmt: skip
    whole, taken, patched = map(int, done.stdout.split())
    if bool(patched) is (mode == "off"):
        raise RuntimeError(f"AITERFIX={mode}: the kernels are {'patched' if patched else 'as they were'}")
    return whole, taken


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    if not arguments:
        print("TREE, the folder of a released aiter, was not given: nothing is measured")
        return 0
    tree = Path(arguments[0]).resolve()
    rounds = int(arguments[1]) if len(arguments) > 1 else 5
    real = [False] + ([True] if importlib.util.find_spec("torch") and importlib.util.find_spec("triton") else [])
    for has_torch in real:
        rows = {mode: [measure(tree, mode, real=has_torch) for _ in range(rounds)] for mode in ("off", "auto")}
        print("with torch and Triton:" if has_torch else "with a stand-in for Triton:")
        for what, i in (("whole process", 0), ("since before the import", 1)):
            off, hooked = (statistics.median(row[i] for row in rows[mode]) for mode in ("off", "auto"))
            print(f"  {what}: off {off:.0f} KiB, hooked {hooked:.0f} KiB, difference {hooked - off:+.0f} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
