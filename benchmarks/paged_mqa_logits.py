"""Speed of kernels/paged_mqa_logits.py on a CUDA GPU, against others in the same run.

    python benchmarks/paged_mqa_logits.py --vllm-source .../vllm/v1/attention/ops/rocm_aiter_mla_sparse.py
    python benchmarks/paged_mqa_logits.py --vllm-source ... --deep-gemm .../vllm/third_party --sweep

``--vllm-source`` is that file of an unpacked vLLM wheel (0.33.0): its Triton kernel is read from there, and
launched as its wrapper launches it. ``--deep-gemm`` is the folder that holds the package ``deep_gemm`` (the
wheel carries one; it compiles with nvcc at run time).

Method. Each candidate's launches are captured into one CUDA graph that goes round enough input sets to
overflow the L2 cache several times; the graphs of all candidates are replayed in turn, and the median of a
candidate's replays, over the launches in a graph, is its time: a launch's gap is inside. Rates are *least
necessary bytes* over time: keys and scales once per sequence, queries, weights, block table and lengths
read once, logits written once. The copy rate (bytes read plus bytes written of a large device-to-device
copy) is measured in the same run.

Replayed without a pause, the larger shapes take an H200 to its power limit (700 W) and its clock from 1980 MHz
down to 1300 to 1700: kernels are then compared by what they do with the power. ``--pause 0.01`` compares them at full
clock. ``--sweep`` measures one tuning after another, with what capturing a graph takes in between.

*Bounds* is the kernel's time against that of its source with the mask of the main store taken out. Differences of
a third of a microsecond are none: two captures of one and the same launch differ by as much.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

KERNEL = Path(__file__).parents[1] / "kernels" / "paged_mqa_logits.py"
HEADS, HEAD_SIZE, BLOCK_SIZE = 64, 128, 64
ROTATION_BYTES = 400 << 20
"""Bytes that a round through the input sets reads: several times the 60 MB of an H200's L2."""

STORE_MASK = """                mask=(column >= 0)[:, None]
                & (column < max_model_len)[:, None]
                & (column[:, None] < scored[dot][None, :]),
"""
"""The kernel's bounds, as its source has them: taken out to measure what they cost."""


@dataclass(frozen=True)
class Shape:
    """Sequences, query rows of each, and tokens of each (or one length a sequence)."""

    batch: int
    next_n: int
    context: int
    ragged: bool = False
    max_model_len: int = 0

    @property
    def width(self) -> int:
        """Columns of the output."""
        return self.max_model_len or self.context

    @property
    def label(self) -> str:
        """``batch x next_n x context``."""
        extra = " ragged" if self.ragged else ""
        wide = f" of {self.max_model_len}" if self.max_model_len else ""
        return f"({self.batch},{self.next_n},{self.context}{wide}){extra}"

    def lengths(self) -> torch.Tensor:
        """Context lengths, on the CPU. Ragged: from 1/16 of the context up to all of it."""
        if not self.ragged:
            return torch.full((self.batch,), self.context, dtype=torch.int32)
        steps = torch.linspace(0, 1, self.batch) ** 3
        lengths = (self.context * (1 / 16 + 15 / 16 * steps)).int()
        return lengths[torch.randperm(self.batch, generator=torch.Generator().manual_seed(1))]

    def least_bytes(self) -> int:
        """Bytes that any kernel must move."""
        tokens = int(self.lengths().sum())
        rows = self.batch * self.next_n
        queries = rows * HEADS * (HEAD_SIZE + 4)
        table = 4 * int((-(-self.lengths() // BLOCK_SIZE)).sum()) + 4 * self.batch
        return tokens * (HEAD_SIZE + 4) + queries + table + 4 * tokens * self.next_n


SHAPES = (
    Shape(1, 1, 8192),
    Shape(1, 2, 131072),
    Shape(16, 1, 32768),
    Shape(64, 2, 16384),
    Shape(64, 2, 65536),
    Shape(128, 4, 8192),
)
EXTRA_SHAPES = (
    Shape(64, 2, 65536, ragged=True),
    Shape(64, 2, 8192, max_model_len=163840),
    Shape(256, 1, 4096),
    Shape(8, 1, 4096),
)


@dataclass(frozen=True)
class InputSet:
    """The tensors of one launch."""

    q: torch.Tensor
    weights: torch.Tensor
    lengths: torch.Tensor
    table: torch.Tensor
    out: torch.Tensor


@dataclass(frozen=True)
class Problem:
    """A cache and the input sets that go round in it."""

    shape: Shape
    cache: torch.Tensor
    sets: tuple[InputSet, ...]


Launch = Callable[[Problem, InputSet], None]


def make_problem(shape: Shape) -> Problem:
    """Random values, every set with blocks of its own."""
    lengths = shape.lengths()
    blocks = -(-lengths // BLOCK_SIZE)
    per_set = int(blocks.sum())
    count = max(2, min(256, -(-ROTATION_BYTES // shape.least_bytes())))
    total = per_set * count
    cache = torch.empty((total, BLOCK_SIZE * (HEAD_SIZE + 4)), dtype=torch.uint8, device="cuda")
    keys = BLOCK_SIZE * HEAD_SIZE
    for at in range(0, total, 16384):
        part = cache[at : at + 16384]
        part[:, :keys] = torch.randn((len(part), keys), device="cuda").to(torch.float8_e4m3fn).view(torch.uint8)
        part[:, keys:] = (torch.rand((len(part), BLOCK_SIZE), device="cuda") + 0.5).view(torch.uint8)
    order = torch.randperm(total, device="cuda").int()
    rows = shape.batch * shape.next_n
    sets = []
    for i in range(count):
        table = torch.zeros((shape.batch, -(-shape.width // BLOCK_SIZE)), dtype=torch.int32, device="cuda")
        at = i * per_set
        for sequence, used in enumerate(blocks.tolist()):
            table[sequence, :used] = order[at : at + used]
            at += used
        sets.append(
            InputSet(
                q=torch.randn((shape.batch, shape.next_n, HEADS, HEAD_SIZE), device="cuda").to(torch.float8_e4m3fn),
                weights=torch.randn((rows, HEADS), device="cuda"),
                lengths=lengths.cuda(),
                table=table,
                out=torch.empty((rows, shape.width), device="cuda"),
            )
        )
    return Problem(shape, cache.view(total, BLOCK_SIZE, 1, HEAD_SIZE + 4), tuple(sets))


def import_file(path: Path, name: str) -> ModuleType:
    """A module from its file."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def our_launch(kernel: Any, tuning: Any = None) -> Launch:
    """Our kernel, with its own tunings or with the one given."""

    def launch(problem: Problem, s: InputSet) -> None:
        kept = kernel.TUNINGS
        if tuning is not None:
            kernel.TUNINGS = (tuning,)
        try:
            kernel.deepgemm_fp8_paged_mqa_logits(
                s.q,
                problem.cache,
                s.weights,
                s.out,
                s.lengths,
                s.table,
                problem.shape.width,
                KVBlockSize=BLOCK_SIZE,
            )
        finally:
            kernel.TUNINGS = kept

    return launch


def without_bounds(folder: Path) -> ModuleType:
    """Our kernel's source with the bounds of its stores taken out; for measuring only."""
    source = KERNEL.read_text(encoding="utf-8")
    if source.count(STORE_MASK) != 1:
        raise RuntimeError("the kernel's store mask is not what this benchmark expects: update STORE_MASK")
    path = folder / "paged_mqa_logits_unbounded.py"
    path.write_text(source.replace(STORE_MASK, ""), encoding="utf-8")
    return import_file(path, "paged_mqa_logits_unbounded")


def vllm_launch(source: Path, folder: Path) -> Launch:
    """vLLM's Triton kernel out of its file, launched with the wrapper's own arithmetic."""
    name = "_fp8_paged_mqa_logits_decode_kernel"
    text = source.read_text(encoding="utf-8")
    function = next(n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef) and n.name == name)
    first = function.decorator_list[0].lineno - 1
    body = "\n".join(text.splitlines()[first : function.end_lineno])
    path = folder / "vllm_kernel.py"
    path.write_text(f"import triton\nimport triton.language as tl\n\n\n{body}\n", encoding="utf-8")
    kernel = getattr(import_file(path, "vllm_kernel"), name)
    multiprocessors = torch.cuda.get_device_properties(0).multi_processor_count

    def launch(problem: Problem, s: InputSet) -> None:
        shape = problem.shape
        rows = shape.batch * shape.next_n
        splits = max(1, min(multiprocessors, -(-shape.width // 64), 1024 // rows))
        flat = problem.cache.reshape(problem.cache.shape[0], -1)
        keys, scales = flat.view(torch.float8_e4m3fn), flat.view(torch.float32)
        kernel[(rows, splits)](
            s.q,
            keys,
            scales,
            s.weights,
            s.lengths,
            s.table,
            s.out,
            s.q.stride(0),
            s.q.stride(1),
            s.q.stride(2),
            s.weights.stride(0),
            keys.stride(0),
            scales.stride(0),
            BLOCK_SIZE * HEAD_SIZE // 4,
            s.table.stride(0),
            s.out.stride(0),
            s.table.shape[1],
            shape.width,
            NUM_HEADS=HEADS,
            HEAD_SIZE=HEAD_SIZE,
            BLOCK_SIZE=BLOCK_SIZE,
            BLOCK_KV=64,
            N_SPLITS=splits,
            NEXT_N=shape.next_n,
            CTX_PER_ROW=shape.next_n == 1,
            num_warps=4,
            num_stages=2,
        )

    return launch


def deep_gemm_launch(folder: Path) -> Launch:
    """DeepGEMM's kernel. Its schedule is made before the clock starts, as its users do once a step."""
    sys.path.insert(0, str(folder))
    deep_gemm = importlib.import_module("deep_gemm")
    multiprocessors = torch.cuda.get_device_properties(0).multi_processor_count
    schedules: dict[int, tuple[InputSet, torch.Tensor, torch.Tensor]] = {}

    def launch(problem: Problem, s: InputSet) -> None:
        shape = problem.shape
        known = schedules.get(id(s))
        if known is None or known[0] is not s:
            # A length a row, and half the slots for four rows: what the kernel asks for on Hopper.
            back = torch.arange(shape.next_n - 1, -1, -1, device="cuda", dtype=torch.int32)
            lengths = (s.lengths[:, None] - back).contiguous()
            slots = multiprocessors // (2 if shape.next_n == 4 else 1)
            known = s, lengths, deep_gemm.get_paged_mqa_logits_metadata(lengths, BLOCK_SIZE, slots)
            schedules[id(s)] = known
        _, lengths, schedule = known
        deep_gemm.fp8_fp4_paged_mqa_logits(
            (s.q, None), problem.cache, s.weights, lengths, s.table, schedule, shape.width
        )

    return launch


def capture(problem: Problem, launch: Launch, launches: int) -> Any:
    """A graph of that many launches, going round the input sets."""
    for s in problem.sets:
        launch(problem, s)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(launches):
            launch(problem, problem.sets[i % len(problem.sets)])
    return graph


def measure(
    problem: Problem, candidates: dict[str, Launch], rounds: int = 15, pause: float = 0.0
) -> dict[str, list[float]]:
    """Seconds a launch, one figure a round, of every candidate; replayed in turn, ``pause`` seconds apart."""
    floor = problem.shape.least_bytes() / 4e12
    launches = max(len(problem.sets), min(400, int(1.5e-3 / (floor + 5e-6))))
    launches = -(-launches // len(problem.sets)) * len(problem.sets)
    graphs = {name: capture(problem, launch, launches) for name, launch in candidates.items()}
    times: dict[str, list[float]] = {name: [] for name in graphs}
    for round_number in range(rounds + 2):
        # Not always in the same order: at its power limit a GPU's clock depends on what ran before.
        order = list(graphs.items())
        random.shuffle(order)
        for name, graph in order:
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            time.sleep(pause)
            start.record()
            graph.replay()
            end.record()
            end.synchronize()
            if round_number >= 2:
                times[name].append(start.elapsed_time(end) / 1e3 / launches)
    return times


def copy_rate() -> float:
    """Bytes a second of a large device-to-device copy, read plus written."""
    source = torch.randint(0, 255, (4 << 30,), dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    times = []
    for _ in range(12):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        target.copy_(source)
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return float(2 * source.numel() / statistics.median(times[2:]))


def agree(problem: Problem, ours: Launch, theirs: Launch) -> float:
    """Relative distance of two kernels' logits on the columns that every row may see."""
    s = problem.sets[0]
    s.out.fill_(float("nan"))
    ours(problem, s)
    mine = s.out.clone()
    s.out.fill_(float("nan"))
    theirs(problem, s)
    shape = problem.shape
    rows = torch.arange(shape.batch * shape.next_n, device="cuda")
    seen = s.lengths[rows // shape.next_n] - shape.next_n + rows % shape.next_n + 1
    columns = torch.arange(shape.width, device="cuda")[None, :] < seen[:, None]
    difference = torch.where(columns, mine - s.out, 0).double().norm()
    return float(difference / torch.where(columns, s.out, 0).double().norm())


def sweep_tunings(kernel: ModuleType, columns: int) -> list[Any]:
    """Tunings to try for a class of shapes; those that differ in ``programs`` alone share one compiled kernel."""
    found = []
    for tile, dot, warps, depth, early, programs in product(
        (64, 128), (64, 128, 256), (4, 8), (1, 2, 3, 4), (True, False), (1, 2, 3, 4, 5, 6, 8)
    ):
        if dot > columns or (warps == 8 and tile * dot < 128 * 64) or (early and BLOCK_SIZE % tile):
            continue
        if warps * programs > 32 or (columns >= 256 and programs > 4) or (columns < 256 and programs == 1):
            continue
        found.append(kernel.Tuning("cuda", 1 << 30, tile, dot, warps, depth, early, programs, 0, 0, "sweep"))
        if tile == BLOCK_SIZE and warps == 4 and programs > 1:
            # Registers, so that as many programs fit: 65536 on a multiprocessor, handed out by eights.
            fitting = min(255, 65536 // (128 * programs) // 8 * 8)
            for lead in (0,) if early else (0, 8, 12, 16):
                found.append(
                    kernel.Tuning("hopper", 1 << 30, tile, dot, warps, depth, early, programs, fitting, lead, "sweep")
                )
    return found


def compile_ahead(shapes: Sequence[Shape], processes: int) -> None:
    """Fill Triton's cache from several processes: compiling is most of a sweep's time."""
    columns = sorted({shape.next_n for shape in shapes})
    command = [sys.executable, __file__, "--compile-part"]
    children = [
        subprocess.Popen([*command, f"{part}/{processes}/{','.join(map(str, columns))}"], stdout=subprocess.DEVNULL)
        for part in range(processes)
    ]
    for child in children:
        child.wait()


def compile_part(kernel: ModuleType, part: int, parts: int, rows: Sequence[int]) -> None:
    """Compile every ``parts``-th build of a sweep by launching it on a small problem."""
    for next_n in rows:
        builds = list({replace(t, programs=2): None for t in sweep_tunings(kernel, next_n * HEADS)})
        problem = make_problem(Shape(1, next_n, 128))
        for tuning in builds[part::parts]:
            with contextlib.suppress(triton_errors()):
                our_launch(kernel, tuning)(problem, problem.sets[0])


def triton_errors() -> type[Exception]:
    """What Triton raises for a build that does not fit the GPU."""
    errors: type[Exception] = importlib.import_module("triton.runtime.errors").OutOfResources
    return errors


def sweep(kernel: ModuleType, shapes: Sequence[Shape]) -> list[dict[str, Any]]:
    """Every tuning of a class on its shapes; best first."""
    results = []
    for shape in shapes:
        problem = make_problem(shape)
        found = []
        for tuning in sweep_tunings(kernel, shape.next_n * HEADS):
            try:
                times = measure(problem, {"ours": our_launch(kernel, tuning)}, rounds=5)["ours"]
            except triton_errors() as error:  # a tuning that does not fit the GPU is a result
                found.append((float("inf"), tuning, type(error).__name__))
                continue
            found.append((statistics.median(times), tuning, ""))
        found.sort(key=lambda item: item[0])
        rate = shape.least_bytes() / 1e12
        print(f"sweep {shape.label}, {len(found)} tunings")
        for seconds, t, name in found[:8]:
            print(
                f"  {t.architecture} tile {t.tile} dot {t.dot_columns} warps {t.warps} depth {t.depth} "
                f"early {t.early:d} programs {t.programs} registers {t.registers} lead {t.lead}: "
                f"{seconds * 1e6:.1f} us {rate / seconds:.2f} TB/s {name}"
            )
        for seconds, t, name in found:
            results.append({"shape": shape.label, "seconds": seconds, "error": name, **asdict(t)})
        del problem
        torch.cuda.empty_cache()
    return results


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vllm-source", type=Path, help="vLLM's rocm_aiter_mla_sparse.py")
    parser.add_argument("--deep-gemm", type=Path, help="folder that holds the package deep_gemm")
    parser.add_argument("--sweep", action="store_true", help="try many tunings first")
    parser.add_argument(
        "--pause", type=float, default=0.0, help="seconds between replays, for a GPU to cool (default 0)"
    )
    parser.add_argument("--extra", action="store_true", help="also shapes beyond the six")
    parser.add_argument("--out", type=Path, help="write all figures here as JSON")
    parser.add_argument("--compile-part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.manual_seed(0)
    kernel = import_file(KERNEL, "paged_mqa_logits")
    if options.compile_part:
        part, parts, rows = options.compile_part.split("/")
        compile_part(kernel, int(part), int(parts), [int(n) for n in rows.split(",")])
        return
    record: dict[str, Any] = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "triton": importlib.import_module("triton").__version__,
    }
    if options.sweep:
        compile_ahead(SHAPES, max(1, (os.cpu_count() or 1) - 1))
        record["sweep"] = sweep(kernel, SHAPES)
    copy = copy_rate()
    record["copy"] = copy
    print(f"{record['device']}, torch {record['torch']}, triton {record['triton']}: copies at {copy / 1e12:.2f} TB/s")
    with tempfile.TemporaryDirectory() as name:
        candidates: dict[str, Launch] = {
            "ours": our_launch(kernel),
            "unbounded": our_launch(without_bounds(Path(name))),
        }
        if options.vllm_source:
            candidates["vllm"] = vllm_launch(options.vllm_source, Path(name))
        if options.deep_gemm:
            candidates["deepgemm"] = deep_gemm_launch(options.deep_gemm)
        rows = []
        for shape in SHAPES + (EXTRA_SHAPES if options.extra else ()):
            problem = make_problem(shape)
            for other in ("deepgemm",):
                if other in candidates:
                    try:
                        candidates[other](problem, problem.sets[0])
                        torch.cuda.synchronize()
                    except RuntimeError as error:
                        print(f"{other} left out from {shape.label} on: {str(error)[:300]}")
                        del candidates[other]
            distance = agree(problem, candidates["ours"], candidates["vllm"]) if "vllm" in candidates else None
            times = measure(problem, candidates, pause=options.pause)
            medians = {k: statistics.median(v) for k, v in times.items()}
            spread = {k: (max(v) - min(v)) / medians[k] for k, v in times.items()}
            least = shape.least_bytes()
            row: dict[str, Any] = {
                "shape": shape.label,
                "least_bytes": least,
                "seconds": medians,
                "spread": spread,
                "distance_from_vllm": distance,
                "of_copy": least / medians["ours"] / copy,
                "bound_cost": medians["ours"] / medians["unbounded"] - 1,
            }
            rows.append(row)
            text = " ".join(f"{k} {v * 1e6:.1f} us {least / v / 1e12:.2f} TB/s," for k, v in medians.items())
            print(f"{shape.label}: {text} {row['of_copy']:.0%} of copy, bounds {row['bound_cost']:+.2%}", end="")
            for other in ("vllm", "deepgemm"):
                if other in medians:
                    print(f", {medians[other] / medians['ours']:.2f}x {other}", end="")
            print(f" (spread {max(spread.values()):.1%}, distance {distance})")
            del problem
            torch.cuda.empty_cache()
    record["shapes"] = rows
    if options.out:
        options.out.write_text(json.dumps(record, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
