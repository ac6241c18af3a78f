"""Launches built to hurt, each with a name by which it can be replayed alone.

A scenario is a specification; its inputs follow from its name (the seed) and are made in ``inputs.py``. One scenario
is one launch with many sequences, because the emulator's speed is in its width. What each is for:

``edges``      lengths around every multiple of 16, block, stage and chunk that decides a branch, up to the last column
``full``       all rows as long as ``max_model_len``, row stride equal to it: the damage a consumer would see
``splits``     1 split to more splits than there are chunks
``empty``      context length 0 among and after other sequences (graph padding puts them after)
``wide``       every finite fp8 value, scales over twenty binades
``long``       many chunks for one program, so that the pipelined loop runs more than twice
``everylength`` every length from 1 to 2048
``far-rows``   few columns in rows so wide apart that the last ones begin at 2^31 bytes: an output past 2 GiB
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

from aiterfix.errors import UsageError
from aiterfix.family.inputs import LaunchInputs, make_inputs
from aiterfix.family.portable import Portable, check_portable, portable_configs
from aiterfix.family.signature import Kernel, KernelConfig

Suite = Literal["quick", "full"]
AnyKernel = Kernel | Portable

GAP = 385
"""Sentinel columns between rows: more than any overshoot below two stages of block 256, and odd, so that no two rows
are aligned alike."""

FAR_ROWS = "far-rows"
"""Title of the scenarios with rows past 2^31 bytes."""

_FAR_ROWS_TOO: dict[AnyKernel, tuple[KernelConfig, ...]] = {
    Kernel.PRESHUFFLE_VARCTX: (KernelConfig(kv_block_size=256),)
}
"""Configurations beside the quick set's in which a kernel has stores of their own: each has to be reached once."""
_CHUNK = 256
_STAGE = 128
_FAR_STRIDE = 1 << 20
"""Elements: 512 rows of these are 2^31 bytes."""


@dataclass(frozen=True)
class Scenario:
    """One launch.

    Attributes:
        kernel: which kernel.
        config: what it is compiled for.
        title: what the scenario is for.
        context_lengths: tokens of each sequence.
        next_n: rows of a sequence.
        max_model_len: columns.
        gap: row stride less ``max_model_len``.
        splits: programs that share a row (fixed kernels); for the schedule kernel, programs in the grid. On a GPU, what
            the wrapper is told of the device follows from it; 0 leaves that to the wrapper.
        wide: whether inputs span all of fp8.
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

    @property
    def name(self) -> str:
        """The name by which this launch can be repeated alone."""
        shape = f"n{self.next_n}-len{self.max_model_len}-gap{self.gap}-split{self.splits or 'auto'}"
        return f"{self.kernel.value}/{self.config.name}/{self.title}/{shape}"

    @property
    def seed(self) -> int:
        """Seed of the inputs."""
        return zlib.crc32(self.name.encode())

    @property
    def rows(self) -> int:
        """Rows of the output."""
        return len(self.context_lengths) * self.next_n

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
        return self.splits if self.kernel is Kernel.PRESHUFFLE_VARCTX else self.rows * self.splits

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
            KernelConfig(heads=32, kv_block_size=1, aligned_cache=False),
        )
    elif kernel is Kernel.PRESHUFFLE:
        quick = (KernelConfig(), KernelConfig(kv_block_size=256))
        more = (
            *(KernelConfig(kv_block_size=size) for size in (16, 32, 128, 512)),
            *(KernelConfig(heads=32, kv_block_size=size) for size in (64, 256)),
        )
    else:
        quick = (KernelConfig(),)
        more = (
            *(KernelConfig(kv_block_size=size) for size in (16, 128, 256, 512)),
            *(KernelConfig(heads=32, kv_block_size=size) for size in (64, 256)),
        )
    return quick if suite == "quick" else (*quick, *more)


def scenarios(
    suite: Suite,
    kernels: Iterable[AnyKernel] = tuple(Kernel),
    configs: Iterable[KernelConfig] | None = None,
) -> tuple[Scenario, ...]:
    """The scenarios of a suite in the order they run.

    Args:
        suite: ``quick`` (seconds) or ``full``.
        kernels: which kernels.
        configs: configurations instead of the suite's own; those that do not suit a kernel are left out for it.
    """
    found: dict[str, Scenario] = {}
    for kernel in kernels:
        chosen = default_configs(kernel, suite) if configs is None else tuple(c for c in configs if suits(kernel, c))
        for config in chosen:
            made = _quick(kernel, config) if suite == "quick" else _full(kernel, config)
            for scenario in made:
                found.setdefault(scenario.name, scenario)
        for config in _FAR_ROWS_TOO.get(kernel, ()) if configs is None else ():
            scenario = far_rows(kernel, config)
            found.setdefault(scenario.name, scenario)
    return tuple(found.values())


def suits(kernel: AnyKernel, config: KernelConfig) -> bool:
    """Whether a kernel can be compiled for a configuration."""
    if isinstance(kernel, Portable):
        try:
            check_portable(kernel, config)
        except UsageError:
            return False
        return True
    return (config.kv_block_size == 1) == (kernel is Kernel.BASE)


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
        config: gives block and chunk.
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
    return next_n * max(len(lengths) + 1, sum(min(splits, -(-length // _CHUNK)) for length in lengths))


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
) -> Scenario:
    programs = _programs(kernel, lengths, next_n, splits)
    return Scenario(kernel, config, title, lengths, next_n, max_model_len, gap, programs, wide)


def _quick(kernel: AnyKernel, config: KernelConfig) -> Iterator[Scenario]:
    # One program for a whole row: a stage boundary inside its loop is masked by other code than its last chunk.
    for next_n, width, splits in ((2, 1000, 3), (4, 1024, 1), (1, 300, 3)):
        lengths = edge_lengths(config, next_n, width, dense=False)
        yield _scenario(kernel, config, "edges", lengths, next_n=next_n, max_model_len=width, splits=splits)
    yield _scenario(kernel, config, "full", (1000,) * 4, next_n=2, max_model_len=1000, gap=0)
    yield _scenario(kernel, config, "splits", (1100, 1, 300, 700), next_n=2, max_model_len=1111, splits=1)
    yield _scenario(kernel, config, "splits", (1100, 1, 300, 700), next_n=2, max_model_len=1111, splits=9)
    yield _scenario(kernel, config, "empty", (517, 40, 0, 0), next_n=2, max_model_len=520)
    yield _scenario(kernel, config, "wide", (515, 256, 130), next_n=1, max_model_len=600, wide=True)
    if isinstance(kernel, Kernel):
        yield far_rows(kernel, config)


def _full(kernel: AnyKernel, config: KernelConfig) -> Iterator[Scenario]:
    yield from _quick(kernel, config)
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
        lengths = (300, 0, 517, 0, 1, 40, 0)
        yield _scenario(kernel, config, "empty", lengths, next_n=next_n, max_model_len=520)
    yield _scenario(kernel, config, "long", (5000, 4097, 3), next_n=2, max_model_len=5001, splits=1)


def every_length(kernel: AnyKernel, config: KernelConfig, longest: int = 2048) -> Scenario:
    """Every length from 1 to ``longest``, one sequence each."""
    lengths = tuple(range(1, longest + 1))
    return _scenario(kernel, config, "everylength", lengths, next_n=1, max_model_len=longest, splits=1)


def far_rows(kernel: AnyKernel, config: KernelConfig) -> Scenario:
    """520 rows of 2^20 columns, few of them used: rows from 512 on begin past 2^31 bytes.

    The two sequences there are long enough for a loop's stores and the tail's. The width is a multiple of every
    rounding unit, so that nothing but a row's address decides.
    """
    lengths = (*(5,) * 128, 900, 300)
    gap = _FAR_STRIDE - 1024
    return _scenario(kernel, config, FAR_ROWS, lengths, next_n=4, max_model_len=1024, gap=gap, splits=1)
