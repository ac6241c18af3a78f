"""What the import hook costs: every interpreter start, and the import of a patched module.

Run by hand: ``python -m benchmarks.hook [STARTS] [IMPORTS] [KERNEL_FILE]``. Starts are paired, with and without
the start-up file in turn, so that the machine's mood falls on both alike. Without KERNEL_FILE the import is that of
the sample package, with stand-ins for Triton; with it, of that text (a real kernel module, say).
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from aiterfix.demo import write_sample
from aiterfix.importing.sitefiles import PTH_NAME, PTH_TEXT

_STANDIN = """\
import inspect, sys, types
def jit(function):
    function.src = "".join(inspect.getsourcelines(function)[0])
    return function
class Anything(types.ModuleType):
    __path__ = []
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return jit if name == "jit" else Anything(name)
    def __call__(self, *a, **k):
        return Anything("called")
for name in ("triton", "triton.language", "triton.experimental", "triton.experimental.gluon",
             "triton.experimental.gluon.language", "triton.experimental.gluon.language.amd",
             "triton.experimental.gluon.language.amd.cdna3", "aiter.ops.triton.gluon.pa_decode_gluon",
             "aiter.ops.triton.utils._triton.kernel_repr"):
    sys.modules[name] = Anything(name)
sys.modules["triton"].language = sys.modules["triton.language"]
"""
# What a process that imports aiter has imported long before, through torch.
_PRELOADED = "import ast, contextlib, dataclasses, functools, hashlib, inspect, logging, pathlib, re, typing"
_MODULE = "aiter.ops.triton.gluon.pa_mqa_logits"


def venv(folder: Path) -> Path:
    """An environment without pip, whose site-packages can import this aiterfix."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return next(folder.glob("lib/python*/site-packages"))


def start_seconds(python: Path) -> tuple[float, float]:
    """Wall time and processor time of one interpreter start."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run([str(python), "-c", "pass"], check=True, env=clean())
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def clean() -> dict[str, str]:
    """The environment without what would change a start."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "AITERFIX"))}


def import_seconds(python: Path, way: str) -> tuple[float, float]:
    """Wall time and processor time that one import of the kernel module takes in a fresh process."""
    script = f"{_STANDIN}\n{_PRELOADED}\nimport aiter.ops.triton.gluon, importlib, time\n"
    if way == "patched":
        script += "from aiterfix.startup import start; start('pth')\n"
    script += f"t, c = time.perf_counter(), time.process_time()\nm = importlib.import_module({_MODULE!r})\n"
    script += "t, c = time.perf_counter() - t, time.process_time() - c\n"
    script += f"assert ('aiterfix' in m.__file__) is {way == 'patched'}; print(t, c)\n"
    done = subprocess.run([str(python), "-c", script], check=True, env=clean(), capture_output=True, text=True)
    wall, processor = done.stdout.split()
    return float(wall), float(processor)


def report(name: str, plain: list[tuple[float, float]], hooked: list[tuple[float, float]]) -> None:
    """Wall time is what people wait for; processor time is steadier on a busy machine."""
    for i, kind in enumerate(("wall", "processor")):
        print(row(f"{name}, {kind}", [p[i] for p in plain], [h[i] for h in hooked]))


def row(name: str, plain: list[float], hooked: list[float]) -> str:
    """One line of the report: medians, and the difference as the median of pairs and between the minima."""
    differences = sorted(h - p for p, h in zip(plain, hooked, strict=True))
    return (
        f"{name:<28} plain {1e3 * statistics.median(plain):8.3f} ms  hooked {1e3 * statistics.median(hooked):8.3f} ms  "
        f"difference: median {1e3 * statistics.median(differences):+7.3f} ms, "
        f"of minima {1e3 * (min(hooked) - min(plain)):+7.3f} ms   ({len(plain)} pairs)"
    )


def main(arguments: list[str]) -> int:
    """Measure and print."""
    starts = int(arguments[0]) if arguments else 200
    imports = int(arguments[1]) if len(arguments) > 1 else 20
    source = Path(__file__).parents[1] / "src"
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        pythons = {}
        for name in ("plain", "hooked"):
            site = venv(root / name)
            (site / "_aiterfix.pth").write_text(f"{source}\n")
            if name == "hooked":
                (site / PTH_NAME).write_bytes(PTH_TEXT)
            pythons[name] = root / name / "bin" / "python"
            write_sample(site)
            if len(arguments) > 2:
                (site / "aiter/ops/triton/gluon/pa_mqa_logits.py").write_bytes(Path(arguments[2]).read_bytes())
            start_seconds(pythons[name])
        times: dict[str, list[tuple[float, float]]] = {"plain": [], "hooked": []}
        for i in range(starts):
            for name in ("plain", "hooked") if i % 2 else ("hooked", "plain"):
                times[name].append(start_seconds(pythons[name]))
        report("interpreter start", times["plain"], times["hooked"])
        for way in ("plain", "patched"):
            import_seconds(pythons["plain"], way)
        taken: dict[str, list[tuple[float, float]]] = {"plain": [], "patched": []}
        for _ in range(imports):
            for way in ("plain", "patched"):
                taken[way].append(import_seconds(pythons["plain"], way))
        report("kernel import", taken["plain"], taken["patched"])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
