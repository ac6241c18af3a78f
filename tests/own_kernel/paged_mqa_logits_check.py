"""Run the kernel over scenarios and compare with a reference: on a GPU, or on a CPU through Triton's interpreter.

    TRITON_INTERPRET=1 python tests/own_kernel/paged_mqa_logits_check.py --device cpu
    python tests/own_kernel/paged_mqa_logits_check.py --device cuda --large

Prints one JSON object a kernel; exits 1 if a scenario failed. The tests run it in a child process, because the
interpreter is switched on before triton is imported.

Every scenario proves three things: what a row may see is right; every other column below the context is
``-inf``; every other float of the output's memory (columns past the context, the gap between rows, redzones
before and behind) still holds the sentinel it was filled with. Blocks and tokens that no context names hold
NaN, and the block table names blocks far outside the cache where it should not be read.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import mmap
import resource
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

KERNEL = Path(__file__).parents[2] / "kernels" / "paged_mqa_logits.py"
SENTINEL = 0x7FC0BEEF
"""Bits of a NaN that no arithmetic gives."""
REDZONE = 512
"""Floats of sentinel before the first row and behind the last."""
NO_BLOCK = 1 << 30
"""Block id in the table's unused entries: reading it would leave the cache."""


@dataclass(frozen=True)
class Scenario:
    """One launch. ``contexts`` are lengths in tokens, one a sequence, or one a row if ``per_row``."""

    contexts: tuple[int, ...]
    next_n: int = 1
    heads: int = 64
    head_size: int = 128
    block_size: int = 64
    preshuffle: bool = False
    max_model_len: int = 256
    gap: int = 40
    """Columns between the end of a row and the next row."""
    per_row: bool = False
    fnuz: bool = False
    cache_padding: int = 0
    """Bytes a token more than head size + 4."""
    table_dtype: torch.dtype = torch.int32
    far_blocks: bool = False
    """Use the last blocks of a cache larger than 2^32 bytes."""
    table_width: int = 0
    """Blocks that the table has room for, if fewer than the context needs: what it does not name is seen by nobody."""
    strided: bool = False
    """Queries, weights, block table and cache blocks with room between their rows."""
    tuning: tuple[tuple[str, int], ...] = ()
    """Fields of the tuning to replace."""
    slack_blocks: int = 3

    @property
    def batch(self) -> int:
        """Sequences."""
        return len(self.contexts) // (self.next_n if self.per_row else 1)


def load_kernel(path: Path = KERNEL) -> ModuleType:
    """The kernel's module, from its file."""
    spec = importlib.util.spec_from_file_location("paged_mqa_logits", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["paged_mqa_logits"] = module
    spec.loader.exec_module(module)
    return module


def let_interpreter_read_scalars() -> None:
    """Triton's interpreter calls ``int`` on arrays of one element, which NumPy refuses from 2.4 on."""
    from triton.runtime import interpreter

    patch_tensor = interpreter._patch_lang_tensor

    def patch(tensor: Any, *scope: Any) -> None:
        patch_tensor(tensor, *scope)
        # Triton 3.5 writes its patches itself; later ones keep them in a scope, to take them back.
        write = scope[0].set_attr if scope else setattr
        write(tensor, "__index__", lambda self: int(self.handle.data.item()))

    interpreter._patch_lang_tensor = patch


def sparse(count: int, dtype: torch.dtype, device: str) -> torch.Tensor:
    """Zeros in one dimension; on the CPU, memory that exists only where it is written."""
    if device != "cpu":
        return torch.zeros(count, dtype=dtype, device=device)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
    return torch.frombuffer(mmap.mmap(-1, count * dtype.itemsize, flags=flags), dtype=dtype)


def spaced(shape: tuple[int, int], room: int, dtype: torch.dtype, device: str) -> torch.Tensor:
    """A matrix with ``room`` elements between its rows."""
    rows, columns = shape
    return sparse(rows * (columns + room), dtype, device).view(rows, columns + room)[:, :columns]


def shuffled(keys: torch.Tensor) -> torch.Tensor:
    """``(blocks, tokens, features)`` to the preshuffled order: 16 tokens by 16 features at a time."""
    blocks, tokens, features = keys.shape
    tiles = keys.reshape(blocks, tokens // 16, 16, features // 16, 16)
    return tiles.permute(0, 1, 3, 2, 4).reshape(blocks, tokens, features)


@dataclass(frozen=True)
class Inputs:
    """Tensors of one launch, and the plain values behind them."""

    q: torch.Tensor
    cache: torch.Tensor
    weights: torch.Tensor
    lengths: torch.Tensor
    table: torch.Tensor
    keys: list[torch.Tensor]
    """Per sequence ``(tokens, head size)`` fp8."""
    scales: list[torch.Tensor]


def make_inputs(scenario: Scenario, device: str, seed: int) -> Inputs:
    """Random inputs with everything unused poisoned."""
    s = scenario
    generator = torch.Generator(device=device).manual_seed(seed)
    fp8 = torch.float8_e4m3fnuz if s.fnuz else torch.float8_e4m3fn
    nan_byte = 0x80 if s.fnuz else 0x7F

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, device=device)

    rows = s.next_n if s.per_row else 1
    longest = [max(s.contexts[i * rows : (i + 1) * rows]) for i in range(s.batch)]
    # A context past the row's end may be given; only what fits is asked for.
    width = s.table_width or max(1, -(-max([s.max_model_len, *longest]) // s.block_size))
    needed = [min(width, -(-min(c, s.max_model_len) // s.block_size)) for c in longest]
    item = s.head_size + 4 + s.cache_padding
    first = 1
    block_bytes = s.block_size * item
    if s.far_blocks:
        first = -(-(2**32) // block_bytes) + 1
    total = first + sum(needed) + s.slack_blocks
    cache = spaced((total, block_bytes), 16 if s.strided else 0, torch.uint8, device)
    poisoned = cache[first - 1 :] if s.far_blocks else cache
    poisoned.fill_(nan_byte)
    poisoned[:, s.block_size * s.head_size :].view(torch.float32).fill_(float("nan"))
    order = first + torch.randperm(total - first, generator=generator, device=device)

    table = spaced((s.batch, width), 3 if s.strided else 0, s.table_dtype, device).fill_(NO_BLOCK)
    keys, scales, used = [], [], 0
    for i, count in enumerate(needed):
        ids = order[used : used + count]
        used += count
        table[i, :count] = ids.to(s.table_dtype)
        length = min(longest[i], s.max_model_len, count * s.block_size)
        key = normal(length, s.head_size).to(fp8)
        scale = torch.rand(length, generator=generator, device=device) * 2 + 0.25
        keys.append(key)
        scales.append(scale)
        if not count:
            continue
        block_keys = torch.full((count * s.block_size, s.head_size), nan_byte, dtype=torch.uint8, device=device)
        block_keys[:length] = key.view(torch.uint8)
        block_keys = block_keys.view(count, s.block_size, s.head_size)
        if s.preshuffle:
            block_keys = shuffled(block_keys)
        block_scales = torch.full((count * s.block_size,), float("nan"), device=device)
        block_scales[:length] = scale
        cache[ids, : s.block_size * s.head_size] = block_keys.reshape(count, -1)
        start = s.block_size * s.head_size
        cache[ids, start : start + 4 * s.block_size] = block_scales.view(count, -1).view(torch.uint8)
    q = normal(s.batch, s.next_n, s.heads, s.head_size).to(fp8)
    weights = normal(s.batch * s.next_n, s.heads)
    if s.strided:
        roomy = torch.full((s.batch, s.next_n + 1, s.heads + 2, s.head_size + 16), nan_byte, dtype=torch.uint8)
        roomy = roomy.to(device).view(fp8)[:, : s.next_n, : s.heads, : s.head_size]
        q = roomy.copy_(q)
        weights = spaced((s.batch * s.next_n, s.heads), 5, torch.float32, device).copy_(weights)
    return Inputs(
        q=q,
        cache=cache.unflatten(1, (s.block_size, 1, item)),
        weights=weights,
        lengths=torch.tensor(s.contexts, dtype=torch.int32, device=device),
        table=table,
        keys=keys,
        scales=scales,
    )


def seen_and_context(scenario: Scenario) -> Iterator[tuple[int, int, int]]:
    """``(sequence, columns that the row may see, columns of the result)`` of every row."""
    s = scenario
    for row in range(s.batch * s.next_n):
        sequence, n = divmod(row, s.next_n)
        if s.per_row:
            lengths = s.contexts[sequence * s.next_n : (sequence + 1) * s.next_n]
            seen, context = lengths[n], max(lengths)
        else:
            context = s.contexts[sequence]
            seen = max(0, context - s.next_n + n + 1)
        named = s.table_width * s.block_size if s.table_width else seen
        yield sequence, min(seen, named, s.max_model_len), min(context, s.max_model_len)


UNIT = 2.0**-24
"""Unit roundoff of float32."""
GROUP = 32
"""Products that an fp8 matrix unit adds in one step."""
KEPT = 2.0**-13
"""What such a step keeps of a term, in parts of the power of two below its largest."""


@dataclass(frozen=True)
class Expected:
    """What a row must hold in the columns that it may see, in float64."""

    logits: torch.Tensor
    bound: torch.Tensor
    """The largest error that rounding explains."""
    size: torch.Tensor
    """The sum over heads, without regard to the weights' signs."""


def reference_row(inputs: Inputs, row: int, next_n: int, seen: int) -> Expected:
    """The logits of a row's visible columns.

    A score that nearly cancels has the error of its terms, however small it is, and with one head no other score
    hides that: the bound goes by the products, not by their sum. ReLU widens no error. After it follow a product with
    the weight, the sum over heads, and a product with the scale, in float32.
    """
    sequence, n = divmod(row, next_n)
    query, key = inputs.q[sequence, n].double(), inputs.keys[sequence][:seen].double()
    weight, scale = inputs.weights[row].double(), inputs.scales[sequence][:seen].double()
    scores = torch.relu(key @ query.T)
    sizes = key.abs() @ query.abs().T
    # The interpreter and the emulator add in float32, as gfx950 does.
    errors = fp8_unit_error(query, key) if query.is_cuda else query.shape[1] * UNIT * sizes
    bound = (errors + (len(weight) + 4) * UNIT * (scores + errors)) @ weight.abs() * scale
    return Expected(scores @ weight * scale, bound, scores @ weight.abs() * scale)


def fp8_unit_error(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """The most that the fp8 matrix units of Ada and Hopper can be off in ``key @ query.T``, (tokens, heads).

    They add 32 products at a time to the running sum: each of the 33 is shifted to the exponent of the largest and cut
    13 bits below it, and so is the result (the DeepSeek-V3 report, section 3.5.2, measured about 14 bits). A product of
    two fp8 numbers has 8 bits, so that only those 6 binades below the largest lose anything, and none more than itself.
    """
    step = max(1, 2**22 // (len(query) * GROUP))
    return torch.cat([_fp8_unit_error(query, part) for part in key.split(step)]) if len(key) else key[:, : len(query)]


def _fp8_unit_error(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    total = torch.zeros(len(key), len(query), dtype=torch.float64, device=key.device)
    error = torch.zeros_like(total)
    for begin in range(0, query.shape[1], GROUP):
        products = key[:, None, begin : begin + GROUP] * query[None, :, begin : begin + GROUP]
        sizes = products.abs()
        largest = torch.maximum(sizes.amax(2), total.abs() + error)
        lost = torch.minimum(sizes, KEPT * largest[:, :, None]).masked_fill_(sizes >= largest[:, :, None] / 64, 0.0)
        total += products.sum(2)
        error += lost.sum(2) + KEPT * largest
        error += KEPT * (total.abs() + error)
    return error


LaunchFunction = Callable[[Inputs, torch.Tensor], None]
"""Runs the kernel on inputs, into an output of ``(rows, row stride)``."""


def direct_launch(kernel: ModuleType, scenario: Scenario) -> LaunchFunction:
    """Call the public function."""

    def launch(inputs: Inputs, out: torch.Tensor) -> None:
        with replaced_tunings(kernel, scenario):
            kernel.deepgemm_fp8_paged_mqa_logits(
                inputs.q,
                inputs.cache,
                inputs.weights,
                out,
                inputs.lengths,
                inputs.table,
                scenario.max_model_len,
                Preshuffle=scenario.preshuffle,
                KVBlockSize=scenario.block_size,
            )

    return launch


@contextlib.contextmanager
def replaced_tunings(kernel: Any, scenario: Scenario) -> Iterator[None]:
    """The scenario's tuning in place of the kernel's own."""
    tunings = kernel.TUNINGS
    kernel.TUNINGS = tuple(replace(t, **dict(scenario.tuning)) for t in tunings)
    try:
        yield
    finally:
        kernel.TUNINGS = tunings


def captured_launch(launch: LaunchFunction) -> LaunchFunction:
    """Run, capture, and replay on fresh sentinels: a synchronisation or an allocation would be refused or show."""

    def captured(inputs: Inputs, out: torch.Tensor) -> None:
        before = torch.empty_strided(out.shape, out.stride(), dtype=out.dtype, device=out.device).copy_(out)
        torch.cuda.set_sync_debug_mode("error")
        try:
            launch(inputs, out)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        recorded = torch.cuda.CUDAGraph()
        with torch.cuda.graph(recorded):
            launch(inputs, out)
        out.copy_(before)
        recorded.replay()

    return captured


def check(scenario: Scenario, device: str, seed: int, launch: LaunchFunction) -> dict[str, object]:
    """Run one scenario; what went wrong, or nothing, and the largest error."""
    s = scenario
    inputs = make_inputs(s, device, seed)
    rows, stride = s.batch * s.next_n, s.max_model_len + s.gap
    memory = sparse(2 * REDZONE + rows * stride, torch.int32, device)
    # Of a gap too large to look at, its two ends.
    watched = min(s.gap, max(REDZONE, 2**20))
    for row in range(rows + 1):
        begin = REDZONE + row * stride
        memory[begin - (REDZONE if row in (0, rows) else min(REDZONE, s.gap)) : begin].fill_(SENTINEL)
        memory[begin : begin + (s.max_model_len + watched if row < rows else REDZONE)].fill_(SENTINEL)
    out = memory.view(torch.float32)[REDZONE : REDZONE + rows * stride].view(rows, stride)
    launch(inputs, out)

    wrong: list[str] = []
    worst = of_bound = 0.0
    for row, (_, seen, context) in enumerate(seen_and_context(s)):
        if seen:
            expected = reference_row(inputs, row, s.next_n, seen)
            error = (out[row, :seen].double() - expected.logits).abs()
            worst = max(worst, ratio(error.norm(), expected.size.norm()))
            of_bound = max(of_bound, ratio(error, expected.bound))
        hidden = out[row, seen:context]
        if not bool((hidden == float("-inf")).all()):
            wrong.append(
                f"row {row}: {int((hidden != float('-inf')).sum())} of {context - seen} hidden columns not -inf"
            )
        outside = memory[REDZONE + row * stride + context : REDZONE + row * stride + s.max_model_len + watched]
        if not bool((outside == SENTINEL).all()):
            column = context + int((outside != SENTINEL).nonzero()[0])
            wrong.append(f"row {row}: written at column {column}, context {context}, max_model_len {s.max_model_len}")
    before = REDZONE if s.gap > 2**20 else 0
    zones = [(f"before row {row}", memory[row * stride : row * stride + before]) for row in range(1, rows)]
    for name, zone in (*zones, ("before", memory[:REDZONE]), ("behind", memory[-REDZONE:])):
        if not bool((zone == SENTINEL).all()):
            wrong.append(f"written {name}")
    # Of a whole row errors and scores average out, and less is allowed than all roundings in the worst way give.
    limit = 2e-3 if device == "cuda" else 1e-6
    if not (of_bound <= 1.0 and worst <= limit):
        explained = f"one logit's is {of_bound:.3g} times what rounding explains"
        wrong.append(f"relative error {worst:.2e} in a row's norm, {limit:.0e} allowed; {explained}")
    return {"wrong": wrong[:8], "relative_error": worst, "error_of_bound": of_bound}


def ratio(error: torch.Tensor, size: torch.Tensor) -> float:
    """The largest of ``error / size``; infinite where one is no number."""
    largest = float((error / size.clamp_min(1e-30)).max())
    return largest if largest == largest else float("inf")


def scenarios() -> list[Scenario]:
    """Small ones, for the interpreter and a GPU alike."""
    base = Scenario(contexts=(100,))
    layouts = (
        (1, False), (2, False), (3, False), (16, False), (16, True), (48, True), (64, False), (64, True),
        (100, False), (128, False), (128, True), (256, False), (256, True), (512, False), (512, True),
    )  # fmt: skip
    edges = (((0, 1, 63, 64, 65), 200), ((129, 130, 3, 255), 257), ((127, 128, 2, 0), 131))
    found = [
        # Block sizes, with contexts around the edges of tiles, blocks and rows; every next_n with every edge.
        replace(base, block_size=b, preshuffle=p, next_n=n, contexts=edges[at][0], max_model_len=edges[at][1])
        for i, (b, p) in enumerate(layouts)
        for at, n in ((i % 3, 1 + i % 5), ((i + 1) % 3, 1 + (i + 2) % 5))
    ]
    found += [
        # The tail of a sequence across an edge: the hidden columns that aiter's kernels left finite.
        replace(base, next_n=4, block_size=128, preshuffle=True, contexts=(129, 127, 128, 130), max_model_len=512),
        replace(base, next_n=4, block_size=256, preshuffle=True, contexts=(257, 256, 1, 2), max_model_len=300),
        # Rows that end where max_model_len is no multiple of anything, with no gap between them.
        replace(base, contexts=(299, 300, 300), max_model_len=300, gap=0, preshuffle=True),
        replace(base, contexts=(125, 127), max_model_len=127, gap=0, next_n=2),
        # A context past max_model_len must not be followed past the row.
        replace(base, contexts=(300, 64), max_model_len=190, gap=100),
        # Heads and head sizes; queries that are too many for one program.
        replace(base, heads=16, head_size=64),
        replace(base, heads=128, next_n=3, contexts=(70, 131)),
        replace(base, heads=24, head_size=64, next_n=2, contexts=(70, 131), block_size=16, preshuffle=True),
        replace(base, heads=100, contexts=(70, 131), next_n=2),
        replace(base, heads=48, head_size=64, contexts=(70,), block_size=512),
        replace(base, heads=1, head_size=32, contexts=(70,)),
        replace(base, heads=32, next_n=5, contexts=(70, 3)),
        replace(base, heads=128, next_n=11, contexts=(90,), max_model_len=100),
        # A length a row: the rows of a sequence see different amounts, in any order.
        replace(base, next_n=2, per_row=True, contexts=(70, 71, 130, 64, 0, 0), max_model_len=133),
        replace(base, next_n=3, per_row=True, contexts=(5, 90, 64), max_model_len=100, block_size=16),
        # A length a row, some past the row's end.
        replace(base, next_n=2, per_row=True, contexts=(500, 60, 61, 500), max_model_len=130, gap=0),
        # Layout of the cache and of the table.
        replace(base, strided=True, contexts=(100, 30), next_n=3),
        replace(base, strided=True, contexts=(100, 30), block_size=16, preshuffle=True, gap=0, heads=32, head_size=64),
        replace(base, table_width=1, contexts=(100, 30), next_n=2),
        replace(base, table_width=70, block_size=1, contexts=(100, 30)),
        # Past 2^31 elements of output and 2^32 bytes of cache.
        replace(base, contexts=(70, 130, 1), max_model_len=133, gap=2**30, next_n=2),
        replace(base, contexts=(70, 130), far_blocks=True),
        replace(base, contexts=(70, 130), far_blocks=True, block_size=16, preshuffle=True, next_n=2),
        replace(base, contexts=(70, 3), far_blocks=True, block_size=1),
        replace(base, cache_padding=12, contexts=(100, 30)),
        replace(base, block_size=1, cache_padding=12, contexts=(100, 30)),
        replace(base, table_dtype=torch.int64, contexts=(100, 30)),
        # Tiles larger and smaller than a block, and products one after another.
        replace(base, next_n=2, contexts=(200, 77), tuning=(("tile", 128),)),
        replace(base, next_n=2, contexts=(200, 77), tuning=(("tile", 32),), preshuffle=True),
        replace(base, next_n=4, contexts=(200, 77), tuning=(("dot_columns", 64),)),
        replace(base, next_n=3, contexts=(200, 77), tuning=(("dot_columns", 128),)),
        # Many programs a sequence: of equal shares, and of shares that fall.
        *(
            replace(
                base, next_n=2, contexts=(1400, 65, 700), max_model_len=1400, tuning=(("programs", p), ("lead", lead))
            )
            for p, lead in ((23, 0), (23, 1), (14, 24), (66, 64))
        ),
    ]
    return found


def revealing_scenarios() -> list[Scenario]:
    """A few in which hidden columns, a row's end past the context's and large offsets all occur."""
    base = Scenario(contexts=(100,), max_model_len=133)
    return [
        replace(base, contexts=(129, 200), next_n=4),
        replace(base, contexts=(70, 130), gap=2**30, next_n=2),
        replace(base, contexts=(70,), far_blocks=True, block_size=16),
        replace(base, contexts=(700,), max_model_len=700, block_size=128, tuning=(("programs", 3), ("lead", 8))),
    ]


def large_scenarios() -> list[Scenario]:
    """What needs a GPU: long contexts, an output and a cache past 2 GiB."""
    return [
        Scenario(contexts=(131072, 131071, 1), next_n=2, max_model_len=131072, gap=0),
        Scenario(contexts=(131072,), next_n=4, max_model_len=131072, block_size=1, gap=3),
        Scenario(contexts=(131009,), next_n=1, max_model_len=131072, preshuffle=True, gap=0),
        # 1100 rows of 2 MiB: 2.15 GiB of output; the last rows lie past 2^31 bytes, and past 2^29 floats.
        Scenario(contexts=(70,) * 1090 + (524288, 1, 524287, 65) + (130,) * 6, max_model_len=524288, gap=0),
        Scenario(contexts=(4000, 1000), next_n=2, max_model_len=4096, far_blocks=True),
        Scenario(contexts=(4000, 1000), next_n=2, max_model_len=4096, far_blocks=True, block_size=16, preshuffle=True),
        Scenario(contexts=tuple(range(1, 300)), next_n=2, max_model_len=333),
    ]


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True)
    parser.add_argument("--large", action="store_true", help="also what needs gigabytes (cuda)")
    parser.add_argument(
        "--graph",
        action="store_true",
        help="synchronisations are errors; capture every launch, judge its replay (cuda)",
    )
    parser.add_argument("--kernel", type=Path, nargs="+", default=[KERNEL], help="files of kernels, each judged alone")
    parser.add_argument("--faults", action="store_true", help="only scenarios in which a fault of the kernel must show")
    parser.add_argument(
        "--only", type=int, nargs=2, metavar=("PART", "PARTS"), help="every PARTS-th scenario from PART"
    )
    options = parser.parse_args()
    if options.device == "cpu":
        let_interpreter_read_scalars()
    # A kernel with a fault may end the process, and its memory is large.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    chosen = revealing_scenarios() if options.faults else scenarios() + (large_scenarios() if options.large else [])
    if options.only:
        chosen = chosen[options.only[0] :: options.only[1]]
    reports = [report_on(path, chosen, options.device, options.graph) for path in options.kernel]
    for report in reports:
        print(json.dumps(report))  # noqa: T201
    return 1 if any(report["failed"] for report in reports) else 0


def report_on(path: Path, chosen: list[Scenario], device: str, graph: bool) -> dict[str, object]:
    """Every scenario on one kernel."""
    kernel = load_kernel(path)
    failures, worst, of_bound = [], 0.0, 0.0
    for seed, scenario in enumerate(chosen):
        launch = direct_launch(kernel, scenario)
        result = check(scenario, device, seed, captured_launch(launch) if graph else launch)
        worst = max(worst, float(str(result["relative_error"])))
        of_bound = max(of_bound, float(str(result["error_of_bound"])))
        if result["wrong"]:
            failures.append({"scenario": {k: str(v)[:200] for k, v in asdict(scenario).items()}, **result})
    return {
        "kernel": path.name,
        "device": device,
        "scenarios": len(chosen),
        "failed": len(failures),
        "relative_error": worst,
        "error_of_bound": of_bound,
        "failures": failures,
    }


if __name__ == "__main__":
    sys.exit(main())
