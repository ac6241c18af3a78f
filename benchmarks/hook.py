"""What the import hook costs: every interpreter start, the import of a patched module, and a call that is watched.

Run by hand: ``python -m benchmarks.hook [STARTS] [IMPORTS] [KERNEL_FILE]``, or ``python -m benchmarks.hook calls
[ROUNDS]`` for a call of a watched function against the same one bare, with torch's tensors on the CPU. Starts are
paired, with and without the start-up file in turn, so that the machine's mood falls on both alike. Without KERNEL_FILE
the import is that of the sample package, with stand-ins for Triton; with it, of that text (a real kernel module, say).
"""

from __future__ import annotations

import json
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
# The function takes what the real one takes, and launches nothing: what is measured is the guard alone.
_WRAPPER = """\
from aiter.ops.triton.gluon.pa_mqa_logits import _gluon_deepgemm_fp8_paged_mqa_logits_preshuffle


def deepgemm_fp8_paged_mqa_logits(q_fp8, kv_cache, weights, out_logits, context_lens, kv_indices, max_model_len,
                                  Preshuffle=False, KVBlockSize=1, ChunkK=256, TotalCuCount=None, WavePerEU=2,
                                  VarCtxSchedule=None):
    return None
"""
_CALLS = """\
import timeit, torch
import aiter.ops.triton.attention.pa_mqa_logits as wrapper
from aiterfix.importing import guard, seen
assert guard.stand(wrapper)
watched = wrapper.deepgemm_fp8_paged_mqa_logits
bare = watched.__wrapped__
q, cache = torch.zeros(4, 2, 64, 128, dtype=torch.uint8), torch.zeros(512, 64, 1, 132, dtype=torch.uint8)
weights, lengths, table = torch.zeros(8, 64), torch.zeros(4, dtype=torch.int32), torch.zeros(4, 64, dtype=torch.int32)
def call(function, width=WIDTH, out=torch.zeros(8, WIDTH + 256)[:, :WIDTH]):
    return lambda: function(q, cache, weights, out, lengths, table, width, Preshuffle=True, KVBlockSize=64, ChunkK=256)
import time
began = time.perf_counter(); call(watched)(); first = time.perf_counter() - began
began = time.perf_counter(); call(watched, WIDTH - 1)(); other = time.perf_counter() - began
# Loops shorter than a share of the processor: the least of many is one that nobody interrupted.
number, loops = 500, 200
pairs = []
for i in range(ROUNDS):
    order = (bare, watched) if i % 2 else (watched, bare)
    taken = {f: min(timeit.repeat(call(f), number=number, repeat=loops)) / number for f in order}
    pairs.append((taken[bare], taken[watched]))
assert len(seen.launches().seen) == 2
import json; print(json.dumps([first, other, pairs, torch.__version__]))
"""


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


def calls(rounds: int) -> int:
    """A call after the first of its combination, watched and bare in turn in one process."""
    with tempfile.TemporaryDirectory() as temporary:
        site = Path(temporary)
        write_sample(site)
        for folder in ("", "attention"):
            (site / "aiter/ops/triton" / folder / "__init__.py").write_text("")
        (site / "aiter/ops/triton/attention/pa_mqa_logits.py").write_text(_WRAPPER)
        source = Path(__file__).parents[1] / "src"
        path = os.pathsep.join([str(source), str(site)])
        script = f"import torch\nWIDTH, ROUNDS = 4000, {rounds}\n{_STANDIN}\n{_CALLS}"
        done = subprocess.run(
            [sys.executable, "-c", script], check=True, env={**clean(), "PYTHONPATH": path}, stdout=subprocess.PIPE
        )
    first, other, pairs, version = json.loads(done.stdout)
    bare, watched = [p[0] for p in pairs], [p[1] for p in pairs]
    more = [w - b for b, w in pairs]
    print(f"a call, torch {version} on the CPU, {rounds} rounds, in each the least of 200 loops of 500 calls:")
    print(
        f"  bare {1e6 * min(bare):.3f} us  watched {1e6 * min(watched):.3f} us  more: least {1e6 * min(more):.3f}, "
        f"median {1e6 * statistics.median(more):.3f}, most {1e6 * max(more):.3f} us"
    )
    print(f"  the first of all {1e3 * first:.2f} ms, of another combination {1e3 * other:.2f} ms")
    return 0


def main(arguments: list[str]) -> int:
    """Measure and print."""
    if arguments[:1] == ["calls"]:
        return calls(int(arguments[1]) if len(arguments) > 1 else 15)
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
