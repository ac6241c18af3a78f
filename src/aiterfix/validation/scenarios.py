"""Launches built to hurt, each with a name by which it can be replayed alone.

A scenario is a specification; its inputs follow from its name (the seed) and are made in ``inputs.py``. One scenario
is one launch with many sequences, because the emulator's speed is in its width. What each is for:

``edges``      lengths around every multiple of 16, block, stage and chunk that decides a branch, up to the last column
``full``       all rows as long as ``max_model_len``, row stride equal to it: the damage a consumer would see
``splits``     1 split to more splits than there are chunks
``empty``      context length 0 after other sequences, where graph padding puts it
``wide``       every finite fp8 value, scales over twenty binades
``long``       many chunks for one program, so that the pipelined loop runs more than twice
``everylength`` every length from 1 to 2048

Each of these shows one fault of ``patches/`` (:data:`SCENARIOS_OF_FAULT`), and this project's kernel runs those of the
function that it stands in for:

``far-rows``   few columns in rows so far apart that the last ones begin past 2^31 bytes: an output past 2 GiB
``far-blocks`` two sequences in a cache past 2 GiB, the first below 2^31 bytes, the second above
``paged``      plain kernels on blocks of 64 tokens
``flat``       the base kernel, and this project's, on a cache that is not shuffled, in blocks of 64 tokens
``ragged``     ragged kernels with four rows a sequence
``empty-first`` context length 0 before other sequences
``hidden``     the columns that a row may not see fill the last stage of a loop
``small-chunk`` chunks of 64 columns
``compiled``   two short sequences: whether there is code at all, and whether it is right

And calls of a wrapper's functions, that launch nothing (:mod:`aiterfix.validation.calls`):

``entry-rank`` an output of (heads, rows, columns): the row stride that the kernel is handed
``entry-arguments`` as many arguments as the kernel has parameters
``entry-blocks`` blocks of 64 tokens, for kernels that are not told of any
``entry-chunk`` chunks of 64 columns
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Literal

from aiterfix.errors import UsageError
from aiterfix.family.inputs import LaunchInputs, make_inputs
from aiterfix.family.portable import AnyKernel, Portable, check_portable, portable_configs
from aiterfix.family.signature import OUTPUT, Kernel, KernelConfig
from aiterfix.family.splits import head_tiles, split_of
from aiterfix.validation.report import NO_CODE, AccessOutside

Suite = Literal["quick", "full"]

GAP = 385
"""Sentinel columns between rows: more than any overshoot below two stages of block 256, and odd, so that no two rows
are aligned alike."""

_CHUNK = 256
_STAGE = 128
_2GIB = 1 << 31
_SMALL_CHUNK = 64
_RARE_HEADS = (16, 128)
"""Numbers of heads that no known model has: of these the quick set will do. The Gluon kernels do not compile for 16."""


@dataclass(frozen=True)
class Scenario:
    """One launch.

    Attributes:
        context_lengths: tokens of each sequence.
        next_n: rows of a sequence.
        max_model_len: columns.
        gap: row stride less ``max_model_len``.
        splits: programs that share a row (fixed kernels); for the schedule kernel, programs in the grid. On a GPU, what
            the wrapper is told of the device follows from it; 0 leaves that to the wrapper.
        wide: whether inputs span all of fp8.
        block_stride: bytes from one cache block to the next; 0 where blocks stand as close as they can.
        first_block: id of the first cache block that is used; those below take no memory.
    """

    kernel: AnyKernel
    config: KernelConfig
    title: str
    context_lengths: tuple[int, ...]
    next_n: int
    max_model_len: int
    gap: int
    splits: int
    wide: bool = False
    block_stride: int = 0
    first_block: int = 0

    @property
    def name(self) -> str:
        """The name by which this launch can be repeated alone."""
        shape = f"n{self.next_n}-len{self.max_model_len}-gap{self.gap}-split{self.splits or 'auto'}"
        if self.block_stride or self.first_block:
            shape += f"-stride{self.block_stride or 'tight'}-from{self.first_block}"
        return f"{self.kernel.value}/{self.config.name}/{self.title}/{shape}"

    @property
    def seed(self) -> int:
        """Seed of the inputs."""
        return zlib.crc32(self.name.encode())

    @property
    def call(self) -> bool:
        """Whether it is a call of a wrapper's function, and no launch."""
        return self.title in _CALLED

    @property
    def rows(self) -> int:
        """Rows of the output."""
        return len(self.context_lengths) * self.next_n

    @property
    def outputs(self) -> int:
        """Outputs of that many rows, one behind the other: one a head where a kernel leaves the sum to its caller."""
        return self.config.heads if isinstance(self.kernel, Portable) and self.kernel.by_head else 1

    def within_rows(self, access: AccessOutside) -> AccessOutside:
        """An access to the output behind the last of several, as one behind the last row."""
        before = (self.outputs - 1) * self.rows * self.row_stride
        first, last = access.first_element, access.last_element
        if access.allocation != OUTPUT or first is None or last is None or first < 0:
            return access
        return replace(access, first_element=first - before, last_element=last - before)

    @property
    def row_stride(self) -> int:
        """Elements from one row to the next."""
        return self.max_model_len + self.gap

    @property
    def window(self) -> int:
        """Columns of a row, from its first on, that are looked at one by one; whatever of a row lies behind them is
        only asked whether it was written to at all."""
        return min(self.row_stride, self.max_model_len + GAP)

    @property
    def sparse(self) -> bool:
        """Whether most of the output is never looked at one by one: it may be larger than memory."""
        return self.window < self.row_stride

    @property
    def workgroups(self) -> int:
        """Programs in the grid."""
        if isinstance(self.kernel, Portable):
            return self.rows * self.head_tiles * self.split_constant(self.splits * self.rows)
        return self.splits if self.kernel is Kernel.PRESHUFFLE_VARCTX else self.rows * self.splits

    @property
    def head_tiles(self) -> int:
        """Programs that share the heads of a row."""
        return head_tiles(self.kernel, self.config)

    def split_constant(self, processors: int) -> int:
        """``SplitKV`` of the plain kernels as their wrappers compute it.

        Args:
            processors: multiprocessors that the wrapper is told of.
        """
        return split_of(self.kernel, self.rows * self.head_tiles, self.config.waves_per_eu, processors)

    def safe_chunks(self) -> int:
        """What the schedule kernel of ``aiter`` stores for these lengths: fewest chunks a program takes that fit.

        Programs are shared out as the wrapper does it, ``splits // next_n`` for all sequences together.
        """
        chunks = [-(-length // self.config.chunk_k) for length in self.context_lengths]
        units = self.splits // self.next_n
        for count in range(1, max(2, max(chunks) + 1)):
            if sum(-(-value // count) for value in chunks) <= units:
                return count
        raise UsageError(f"{self.name}: {self.splits} programs are too few for {len(chunks)} sequences")


def inputs_of(scenario: Scenario) -> LaunchInputs:
    """The inputs of a scenario; the same for the same name."""
    return make_inputs(
        context_lengths=scenario.context_lengths,
        next_n=scenario.next_n,
        heads=scenario.config.heads,
        hidden=scenario.config.hidden,
        kv_block_size=scenario.config.kv_block_size,
        max_model_len=scenario.max_model_len,
        row_stride=scenario.row_stride,
        seed=scenario.seed,
        wide=scenario.wide,
        first_block=scenario.first_block,
    )


def default_configs(kernel: AnyKernel, suite: Suite) -> tuple[KernelConfig, ...]:
    """The configurations that a suite runs a kernel in."""
    quick: tuple[KernelConfig, ...]
    more: tuple[KernelConfig, ...]
    if isinstance(kernel, Portable):
        return portable_configs(kernel, suite)
    if kernel is Kernel.BASE:
        quick = (KernelConfig(kv_block_size=1, aligned_cache=False),)
        more = (
            KernelConfig(kv_block_size=1, aligned_cache=True),
            *(KernelConfig(heads=heads, kv_block_size=1, aligned_cache=False) for heads in (32, 128)),
        )
    elif kernel is Kernel.PRESHUFFLE:
        quick = (KernelConfig(), KernelConfig(kv_block_size=256))
        more = (
            *(KernelConfig(kv_block_size=size) for size in (16, 32, 128, 512)),
            *(KernelConfig(heads=32, kv_block_size=size) for size in (64, 256)),
            KernelConfig(heads=128),
        )
    else:
        quick = (KernelConfig(),)
        more = (
            *(KernelConfig(kv_block_size=size) for size in (16, 128, 256, 512)),
            *(KernelConfig(heads=32, kv_block_size=size) for size in (64, 256)),
            KernelConfig(heads=128),
        )
    return quick if suite == "quick" else (*quick, *more)


def scenarios(
    suite: Suite,
    kernels: Iterable[AnyKernel] = tuple(Kernel),
    configs: Collection[KernelConfig] | None = None,
) -> tuple[Scenario, ...]:
    """The scenarios of a suite in the order they run.

    Args:
        suite: ``quick`` (seconds) or ``full``.
        configs: configurations instead of the suite's own; those that do not suit a kernel are left out for it.
    """
    found: dict[str, Scenario] = {}
    for kernel in kernels:
        chosen = default_configs(kernel, suite) if configs is None else tuple(c for c in configs if suits(kernel, c))
        for config in chosen:
            made = _quick(kernel, config) if suite == "quick" else _full(kernel, config)
            for scenario in made:
                found.setdefault(scenario.name, scenario)
        for scenario in _of_faults(kernel, configs):
            found.setdefault(scenario.name, scenario)
    return tuple(found.values())


def suits(kernel: AnyKernel, config: KernelConfig) -> bool:
    """Whether a kernel is meant for a configuration; the base one is not for blocks of several tokens, though it is
    compiled for them: ``flat`` is about that."""
    if not isinstance(kernel, Portable):
        return (config.kv_block_size == 1) == (kernel is Kernel.BASE)
    try:
        check_portable(kernel, config)
    except UsageError:
        return False
    return True


def select(pattern: str, candidates: Iterable[Scenario]) -> tuple[Scenario, ...]:
    """The scenarios whose name is ``pattern``, or matches it as a shell pattern.

    Raises:
        UsageError: none does.
    """
    candidates = tuple(candidates)
    chosen = tuple(s for s in candidates if s.name == pattern) or tuple(
        s for s in candidates if fnmatchcase(s.name, pattern)
    )
    if not chosen:
        raise UsageError(
            f"no scenario is called {pattern!r}",
            remedy="use a name from a report, or a pattern such as 'preshuffle/h64-b64/*'",
        )
    return chosen


def edge_lengths(config: KernelConfig, next_n: int, max_model_len: int, *, dense: bool) -> tuple[int, ...]:
    """Lengths that decide a branch: around multiples of tile, block, stage and chunk, both ends, and ``next_n``.

    Args:
        next_n: rows of a sequence; its tail straddles an edge when the length is up to ``next_n`` past it.
        max_model_len: largest length.
        dense: every edge instead of the first, second and last of each kind.
    """
    wanted = {1, 2, next_n, next_n + 1, max_model_len - 1, max_model_len}
    for step in {16, config.kv_block_size, _STAGE, config.chunk_k}:
        if step == 1:
            continue
        edges = list(range(step, max_model_len + step, step))
        for edge in edges if dense else {edges[0], edges[min(1, len(edges) - 1)], edges[-1]}:
            wanted.update(range(edge - 1, edge + max(2, next_n)))
    # The longest first: the first sequence is where offsets start at 0, and below 0 for columns that are masked off.
    return (max_model_len, *sorted(length for length in wanted if 0 < length < max_model_len))


def _programs(kernel: AnyKernel, lengths: tuple[int, ...], next_n: int, splits: int) -> int:
    """Splits as the kernel takes them: per row, or for the whole grid, as many as give each row that many."""
    if kernel is not Kernel.PRESHUFFLE_VARCTX:
        return splits
    units = next_n * max(len(lengths) + 1, sum(min(splits, -(-length // _CHUNK)) for length in lengths))
    return units + units % 2  # the wrapper's grid is its multiprocessors times two


def _scenario(
    kernel: AnyKernel,
    config: KernelConfig,
    title: str,
    lengths: tuple[int, ...],
    *,
    next_n: int,
    max_model_len: int,
    gap: int = GAP,
    splits: int = 3,
    wide: bool = False,
    block_stride: int = 0,
    first_block: int = 0,
) -> Scenario:
    programs = _programs(kernel, lengths, next_n, splits)
    return Scenario(
        kernel, config, title, lengths, next_n, max_model_len, gap, programs, wide, block_stride, first_block
    )


def _quick(kernel: AnyKernel, config: KernelConfig) -> Iterator[Scenario]:
    if isinstance(kernel, Portable) and not kernel.own:
        yield from _quick_plain(kernel, config)
        return
    # One program for a whole row: a stage boundary inside its loop is masked by other code than its last chunk.
    for next_n, width, splits in ((2, 1000, 3), (4, 1024, 1), (1, 300, 3)):
        lengths = edge_lengths(config, next_n, width, dense=False)
        yield _scenario(kernel, config, "edges", lengths, next_n=next_n, max_model_len=width, splits=splits)
    yield full_rows(kernel, config)
    yield _scenario(kernel, config, "splits", (1100, 1, 300, 700), next_n=2, max_model_len=1111, splits=1)
    yield _scenario(kernel, config, "splits", (1100, 1, 300, 700), next_n=2, max_model_len=1111, splits=9)
    yield _scenario(kernel, config, "empty", (517, 40, 0, 0), next_n=2, max_model_len=520)
    yield _scenario(kernel, config, "wide", (515, 256, 130), next_n=1, max_model_len=600, wide=True)


def _quick_plain(kernel: Portable, config: KernelConfig) -> Iterator[Scenario]:
    """Most launches are compiled anew; what the siblings of stage1 share with it is left to the full set."""
    yield full_rows(kernel, config)
    if kernel is Portable.STAGE1:
        lengths = edge_lengths(config, 2, 300, dense=False)
        yield _scenario(kernel, config, "edges", lengths, next_n=2, max_model_len=300)
        yield _scenario(kernel, config, "empty", (517, 40, 0, 0), next_n=2, max_model_len=520)


def _full(kernel: AnyKernel, config: KernelConfig) -> Iterator[Scenario]:
    yield from _quick(kernel, config)
    if isinstance(kernel, Portable) and not kernel.own:
        # Slow, with an output a head, and compiled anew for most launches.
        for scenario in _short(kernel, config) if config in default_configs(kernel, "quick") else ():
            yield replace(scenario, next_n=1) if kernel.ragged else scenario  # more rows are what `ragged` is about
        return
    if config.heads in _RARE_HEADS:
        return
    yield from _short(kernel, config)
    if replace(config, out_stride="auto") not in default_configs(kernel, "quick"):
        return
    for next_n in (1, 2, 4):
        for width, splits in ((1024, 3), (777, 1), (777, 3)):
            lengths = edge_lengths(config, next_n, width, dense=width == 777)
            yield _scenario(kernel, config, "edges", lengths, next_n=next_n, max_model_len=width, splits=splits)
        for width in (1024, 1000, 300):
            yield _scenario(kernel, config, "full", (width,) * 3, next_n=next_n, max_model_len=width, gap=0)
        for splits in (2, 4, 5):
            yield _scenario(kernel, config, "splits", _UNEVEN, next_n=next_n, max_model_len=1111, splits=splits)
        yield _scenario(kernel, config, "wide", (515, 256, 130), next_n=next_n, max_model_len=600, gap=0, wide=True)
    yield _scenario(kernel, config, "long", (5000, 4097, 3), next_n=2, max_model_len=5001, splits=4)
    if replace(config, out_stride="auto") == KernelConfig() and kernel is Kernel.PRESHUFFLE:
        yield every_length(kernel, config)


_UNEVEN = (1100, 1, 255, 300, 513, 900)


def _short(kernel: AnyKernel, config: KernelConfig) -> Iterator[Scenario]:
    """What every configuration of the full set runs beyond the quick set."""
    for next_n in (1, 2, 4):
        for width, splits in ((1024, 1), (1000, 3), (77, 3)):
            lengths = edge_lengths(config, next_n, width, dense=False)
            yield _scenario(kernel, config, "edges", lengths, next_n=next_n, max_model_len=width, splits=splits)
        for splits in (1, 20):
            yield _scenario(kernel, config, "splits", _UNEVEN, next_n=next_n, max_model_len=1111, splits=splits)
        yield empty_first(kernel, config, next_n)
    yield _scenario(kernel, config, "long", (5000, 4097, 3), next_n=2, max_model_len=5001, splits=1)


def every_length(kernel: AnyKernel, config: KernelConfig) -> Scenario:
    """Every length from 1 to 2048, one sequence each."""
    return _scenario(kernel, config, "everylength", tuple(range(1, 2049)), next_n=1, max_model_len=2048, splits=1)


def full_rows(kernel: AnyKernel, config: KernelConfig) -> Scenario:
    """Rows as long as they are wide, back to back, and no whole number of blocks: what is past one is another's."""
    next_n = 1 if isinstance(kernel, Portable) and kernel.ragged else 2
    return _scenario(kernel, config, "full", (1000,) * 4, next_n=next_n, max_model_len=1000, gap=0)


def far_rows(kernel: AnyKernel, config: KernelConfig) -> Scenario:
    """Few columns of rows that are far apart. The width is a multiple of every rounding unit, so that nothing but a
    row's address decides.

    The Gluon kernels' offsets are in bytes: of 136 rows of 2^22 columns those from 128 on begin past 2^31. The two
    sequences there are long enough for a loop's stores and the tail's. The plain ones count in elements: the last of
    nine rows, or with an output a head, the last heads.
    """
    lengths: tuple[int, ...] = (*(5,) * 32, 900, 300)
    next_n, stride = 4, 1 << 22
    if isinstance(kernel, Portable):
        lengths, next_n, stride = (300, *(5,) * 7, 900), 1, 1 << (22 if kernel.by_head else 28)
    return _scenario(
        kernel, config, "far-rows", lengths, next_n=next_n, max_model_len=1024, gap=stride - 1024, splits=1
    )


def far_blocks(kernel: AnyKernel, config: KernelConfig, block_stride: int = 0) -> Scenario:
    """Two sequences of 300 tokens: the first in the last blocks that end below 2^31 bytes, the second in the first
    that begin above. The default stride is that of a layer's blocks in a cache that vLLM shares among layers."""
    stride = block_stride or (config.block_bytes if config.kv_block_size == 1 else 1_002_240)
    first = _2GIB // stride - 1 - -(-300 // config.kv_block_size)
    lengths = (300, 300)
    return _scenario(
        kernel, config, "far-blocks", lengths, next_n=1, max_model_len=512, block_stride=stride, first_block=first
    )


def in_blocks(kernel: AnyKernel, config: KernelConfig) -> Scenario:
    """Sequences of many blocks, with a compact table, in a cache that is not shuffled."""
    title = "flat" if kernel is Kernel.BASE or kernel is Portable.OWN else "paged"
    return _scenario(kernel, config, title, (1500, 700, 300), next_n=1, max_model_len=1536)


def empty_first(kernel: AnyKernel, config: KernelConfig, next_n: int = 2) -> Scenario:
    """Sequences of length 0 before, between and after others."""
    lengths = (0, 300, 0, 517, 0, 1, 40, 0)
    return _scenario(kernel, config, "empty-first", lengths, next_n=next_n, max_model_len=768)


def ragged_rows(kernel: AnyKernel, config: KernelConfig) -> Scenario:
    """Four rows a sequence, which see one column more each."""
    return _scenario(kernel, config, "ragged", (257, 100), next_n=4, max_model_len=320)


def hidden(kernel: AnyKernel, config: KernelConfig) -> Scenario:
    """Lengths one past a stage, so that what some rows may not see lies on both sides of its boundary."""
    return _scenario(kernel, config, "hidden", (257, 513), next_n=4, max_model_len=768, splits=1)


def small_chunk(kernel: AnyKernel, config: KernelConfig) -> Scenario:
    """Chunks of 64 columns."""
    config = replace(config, chunk_k=_SMALL_CHUNK)
    return _scenario(kernel, config, "small-chunk", (300, 77), next_n=1, max_model_len=320)


def compiled(kernel: AnyKernel, config: KernelConfig) -> Scenario:
    """Little that any fault of a text bites in: what goes wrong here, compiler and text do not agree on."""
    return _scenario(kernel, config, "compiled", (300, 77), next_n=1, max_model_len=512)


_CALLED = {
    "entry-rank": "output-rank",
    "entry-arguments": "launch-arguments",
    "entry-blocks": "block-paging",
    "entry-chunk": "small-chunk",
}
"""Titles of calls, and the fault that each shows."""


def _called(title: str, kernel: AnyKernel, config: KernelConfig) -> Scenario:
    return Scenario(kernel, config, title, (5,), next_n=2, max_model_len=256, gap=0, splits=1)


_TOKENS = KernelConfig(kv_block_size=1, aligned_cache=False)
_RAGGED = replace(_TOKENS, chunk_k=64)
_B16, _B64, _B128, _B256 = (KernelConfig(kv_block_size=size) for size in (16, 64, 128, 256))
_FIXED, _VARCTX = Kernel.PRESHUFFLE, Kernel.PRESHUFFLE_VARCTX
_ON_TOKENS: Mapping[AnyKernel, tuple[KernelConfig, ...]] = {
    **dict.fromkeys((Kernel.BASE, Portable.STAGE1, Portable.REDUCING), (_TOKENS,)),
    **dict.fromkeys((Portable.STAGE1_RAGGED, Portable.REDUCING_RAGGED), (_RAGGED,)),
}
_SHOWN: Mapping[
    str, tuple[Callable[[AnyKernel, KernelConfig], Scenario], Mapping[AnyKernel, tuple[KernelConfig, ...]]]
] = {
    "column-bound": (full_rows, {_FIXED: (_B64,), _VARCTX: (_B64,), **_ON_TOKENS}),
    # Varctx has stores of its own for blocks that are larger than a stage.
    "row-offset-32": (far_rows, {_FIXED: (_B64, _B256), _VARCTX: (_B64, _B256), **_ON_TOKENS}),
    "cache-offset-32": (far_blocks, {_FIXED: (_B16, _B64, _B128, _B256), _VARCTX: (_B64, _B256), **_ON_TOKENS}),
    "block-paging": (in_blocks, dict.fromkeys((Kernel.BASE, Portable.STAGE1, Portable.REDUCING), (_B64,))),
    "ragged-causal-bound": (ragged_rows, dict.fromkeys((Portable.STAGE1_RAGGED, Portable.REDUCING_RAGGED), (_RAGGED,))),
    "hidden-columns": (hidden, {_FIXED: (_B128, _B256), _VARCTX: (_B256,)}),
    "empty-sequence-schedule": (empty_first, {_VARCTX: (_B64,)}),
    "small-chunk": (small_chunk, {_FIXED: (_B64,), _VARCTX: (_B64,)}),
    "instruction-shape": (compiled, {Kernel.BASE: (_TOKENS,), _FIXED: (_B64,), _VARCTX: (_B64,)}),
    "triton-3-5-1": (compiled, {_FIXED: (_B64,), _VARCTX: (_B64,)}),
}
"""Fault to what makes a scenario that shows it, and the kernels and configurations that it is made for."""

_IN_CALLS: Mapping[AnyKernel, KernelConfig] = {
    _FIXED: _B64,
    _VARCTX: _B64,
    **{kernel: configs[0] for kernel, configs in _ON_TOKENS.items()},
}
_CALLS: Mapping[str, Mapping[AnyKernel, KernelConfig]] = {
    # Stage1 hands on both strides of its own output, which has heads.
    "entry-rank": {k: c for k, c in _IN_CALLS.items() if k not in (Portable.STAGE1, Portable.STAGE1_RAGGED)},
    "entry-arguments": _IN_CALLS,
    "entry-blocks": {k: _B64 for k in _ON_TOKENS if isinstance(k, Portable)},
    "entry-chunk": {k: replace(_B64, chunk_k=_SMALL_CHUNK) for k in (_FIXED, _VARCTX)},
}

CALLS_OF_FAULT: Mapping[str, tuple[Scenario, ...]] = MappingProxyType(
    {_CALLED[title]: tuple(_called(title, k, c) for k, c in where.items()) for title, where in _CALLS.items()}
)
"""Fault to the calls of wrappers that show it, where a wrapper's text is at hand; they are part of every suite, but for
those of small chunks."""

SCENARIOS_OF_FAULT: Mapping[str, tuple[Scenario, ...]] = MappingProxyType(
    {
        fault: tuple(make(kernel, config) for kernel, configs in where.items() for config in configs)
        for fault, (make, where) in _SHOWN.items()
    }
)
"""Fault to the scenarios that fail where a kernel has it; they are part of the quick set."""


_FLAT, _SHUFFLED = Portable.OWN, Portable.OWN_PRESHUFFLE
_OWN: tuple[tuple[Callable[[AnyKernel, KernelConfig], Scenario], Mapping[AnyKernel, tuple[KernelConfig, ...]]], ...] = (
    (far_rows, {_FLAT: (_B64,), _SHUFFLED: (_B64,)}),
    (far_blocks, {_FLAT: (_TOKENS, _B16, _B64), _SHUFFLED: (_B16, _B64, _B256)}),
    (in_blocks, {_FLAT: (_B64,)}),
    (empty_first, {_FLAT: (_TOKENS,), _SHUFFLED: (_B64,)}),
    (hidden, {_FLAT: (_TOKENS,), _SHUFFLED: (_B128, _B256)}),
    (small_chunk, {_SHUFFLED: (_B64,)}),
)
"""The same launches for this project's kernel, which has none of the faults."""


def _of_faults(kernel: AnyKernel, configs: Collection[KernelConfig] | None) -> Iterator[Scenario]:
    """The scenarios of all faults for a kernel; in these configurations, as far as theirs have the same block sizes."""
    for make, where in (*_SHOWN.values(), *_OWN):
        for config in where.get(kernel, ()):
            if configs is None:
                yield make(kernel, config)
            for chosen in configs or ():
                if chosen.kv_block_size == config.kv_block_size and (kernel is Kernel.BASE or suits(kernel, chosen)):
                    yield make(kernel, chosen)


FINDINGS_OF_FAULT: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "hidden-columns": frozenset({"unseen-columns-finite"}),
        "ragged-causal-bound": frozenset({"unseen-columns-finite"}),
    }
)
"""Fault to findings that show it though every visible logit is right."""


def shows(scenario: Scenario, fault: str) -> bool:
    """Whether a scenario is one of those that are there to show a fault."""
    those = (*SCENARIOS_OF_FAULT.get(fault, ()), *CALLS_OF_FAULT.get(fault, ()))
    return any(s.title == scenario.title and s.kernel is scenario.kernel for s in those)


OF_COMPILER = "triton-3-5-1"
"""The fault that the compiler has and no text: it may show in whatever the kernels for a cache in tiles are run in."""
_BY_TITLE = MappingProxyType(
    {
        s.title: fault
        for fault, shown in SCENARIOS_OF_FAULT.items()
        for s in shown
        if fault not in ("column-bound", NO_CODE, OF_COMPILER)
    }
)


def faults_shown(scenario: Scenario) -> tuple[str, ...]:
    """The faults that a scenario shows where it fails: in one of no other fault, stores past a row's end. This
    project's kernel has no known fault: nothing explains its failures."""
    if isinstance(scenario.kernel, Portable) and scenario.kernel.own:
        return ()
    if scenario.call:
        return (_CALLED[scenario.title],)
    found = [_BY_TITLE.get(scenario.title, "column-bound")]
    if scenario.config.kv_block_size > 1 and not scenario.kernel.preshuffled and "block-paging" not in found:
        found.append("block-paging")
    if isinstance(scenario.kernel, Kernel) and scenario.kernel.preshuffled:
        found.append(OF_COMPILER)
    return tuple(found)
