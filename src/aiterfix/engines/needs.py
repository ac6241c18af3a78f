"""How many padding columns the installed kernels need for what a caller passes, asked of `aiterfix.advice.padding`."""

from __future__ import annotations

import math
from dataclasses import replace

from aiterfix.advice.lengths import LONGEST
from aiterfix.advice.padding import ALL, STAGE1, Advice, Question, advise, held_kernels
from aiterfix.engines.model import Call, Entry, Known
from aiterfix.family.rounding import most_columns
from aiterfix.judge.judgement import Judgement
from aiterfix.storage.record import record

_BLOCKS = (1, 16, 32, 64, 128, 256)  # tokens; the wrapper takes 1 or multiples of 16 that fit a chunk


@record(frozen=True)
class Configuration:
    """What a call passes besides the width.

    Attributes:
        block: ``KVBlockSize``, tokens; None where it is decided at run time.
        chunk: ``ChunkK``, columns.
        preshuffle: ``Preshuffle``; None where it may be either.
        by_block: whether it is true exactly where a block has more than one token.
        kernel: which code path the call takes; empty where the one that is asked about.
    """

    block: int | None
    chunk: int
    preshuffle: bool | None
    kernel: str
    by_block: bool = False

    @property
    def blocks(self) -> tuple[int, ...]:
        """Every block size that the call may have."""
        if self.block is not None:
            return (self.block,)
        return tuple(b for b in _BLOCKS if self.chunk % b == 0 and (b > 1 or not self.preshuffle))

    def layouts(self, block: int) -> tuple[bool, ...]:
        """What ``Preshuffle`` may be for a block size."""
        if self.preshuffle is not None:
            return (self.preshuffle,)
        return (block > 1,) if self.by_block else (True, False)

    @property
    def period(self) -> int:
        """Columns after which rounding repeats itself."""
        return math.lcm(self.chunk, *self.blocks)


def configuration_of(call: Call, chunk: int, block: int | None) -> Configuration:
    """What a call passes, for a block size that the operator gave or the source states."""
    preshuffle = bool(call.preshuffle.value) if isinstance(call.preshuffle, Known) else None
    # Of the ragged forms, some releases have Gluon kernels and some plain ones.
    kernel = {Entry.LOGITS: "", Entry.STAGE1: STAGE1}.get(call.entry, ALL)
    return Configuration(block, chunk, preshuffle, kernel, call.shuffled_by_block)


class Needs:
    """Asks for advice on one installation.

    Args:
        judgement: of it.
        measured: whether stored measurements count (they are for one interpreter's Triton).
        kernel: which code path is asked about.
        heads: index heads.
        next_n: rows of a sequence.
    """

    def __init__(self, judgement: Judgement, *, measured: bool, kernel: str = "auto", heads: int = 64, next_n: int = 1):
        self._judgement, self._held = judgement, held_kernels(judgement)
        self._measured = measured
        self._question = Question(1, 1, next_n=next_n, heads=heads, kernel=kernel)
        self._known: dict[tuple[int, Configuration], Advice] = {}
        self._most: dict[tuple[int, Configuration], Advice] = {}

    def at(self, width: int, configuration: Configuration) -> Advice:
        """Columns at a width, for the block size that needs most."""
        key = width, configuration
        if key not in self._known:
            answers = (
                self._ask(width, replace(configuration, preshuffle=shuffled), block)
                for block in configuration.blocks
                for shuffled in configuration.layouts(block)
            )
            self._known[key] = max(answers, key=_severity)
        return self._known[key]

    def most(self, configuration: Configuration, multiple_of: int = 1) -> Advice:
        """Columns at the worst of all widths up to `LONGEST` that are multiples of a number.

        A bound repeats itself, so that the widths about `LONGEST` stand for all; what is measured for these holds for
        every shorter one.
        """
        key = multiple_of, configuration
        if key not in self._most:
            period = math.lcm(configuration.period, multiple_of)
            top = LONGEST // multiple_of * multiple_of
            most = max(most_columns(configuration.chunk, block) for block in configuration.blocks)
            worst: Advice | None = None
            for width in range(max(multiple_of, top - period + multiple_of), top + 1, multiple_of):
                advice = self.at(width, configuration)
                worst = max(worst or advice, advice, key=_severity)
                if _severity(worst) >= (most, True):
                    break  # no width needs more
            assert worst is not None
            self._most[key] = worst
        return self._most[key]

    def _ask(self, width: int, configuration: Configuration, block: int) -> Advice:
        asked = replace(
            self._question,
            max_model_len=width,
            kv_block_size=block,
            chunk_k=configuration.chunk,
            preshuffle=configuration.preshuffle,
            kernel=configuration.kernel or self._question.kernel,
        )
        return advise(asked, self._judgement, measured=self._measured, held=self._held)


def _severity(advice: Advice) -> tuple[int, bool]:
    return advice.columns, not advice.exact
