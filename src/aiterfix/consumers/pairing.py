"""The verdict on a pair: an ``aiter`` installation, and the calls that a consumer makes of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from aiterfix.assessment import ALL, AUTO, Assessment
from aiterfix.consumers.lengths import Lengths, safe_lengths
from aiterfix.consumers.model import Call, Consumer, Entry, Known, RunTime, Unknown, Width, WidthKind
from aiterfix.errors import ExitCode
from aiterfix.verdict import Verdict

BYTES = 4  # float32
STAGE1 = "stage1"  # the code path of that name, see the fix files


class PairVerdict(str, Enum):
    """Judgement on an ``aiter`` and one call, or a whole consumer."""

    NO_CALLS = "no-calls"
    """The consumer does not call the kernels (or none that was asked about)."""
    SAFE = "safe"
    """No row is overshot, whatever length the operator chooses (or for the one that was given)."""
    DROP_PADDING = "padding-may-be-dropped"
    """Safe, and with more padding than is needed."""
    SAFE_LENGTHS = "safe-for-some-lengths"
    """Safe only where the width is a multiple of the block size."""
    UNSAFE = "unsafe-until-apply"
    """Rows are overshot at the length given, or may be at any."""
    UNKNOWN = "unknown"
    """Not understood. Never to be treated as safe."""


_SEVERITY = tuple(PairVerdict)
_EXIT = {
    PairVerdict.NO_CALLS: ExitCode.OK,
    PairVerdict.SAFE: ExitCode.OK,
    PairVerdict.DROP_PADDING: ExitCode.OK,
    PairVerdict.SAFE_LENGTHS: ExitCode.ACTION,
    PairVerdict.UNSAFE: ExitCode.ACTION,
    PairVerdict.UNKNOWN: ExitCode.NOT_UNDERSTOOD,
}


@dataclass(frozen=True)
class Operator:
    """What the operator says of their own deployment.

    Attributes:
        max_model_len: ``--max-model-len``, tokens.
        block_size: KV block size, tokens.
        max_num_seqs: sequences in a batch.
        next_n: rows a sequence, 1 + speculative tokens.
        compress_ratio: by which the model divides the context that its indexer scores; 1 for DeepSeek V3.2, GLM-5.
    """

    max_model_len: int | None = None
    block_size: int | None = None
    max_num_seqs: int | None = None
    next_n: int = 1
    compress_ratio: int = 1

    @property
    def rows(self) -> int:
        """Rows of the logits tensor; 1 where the number of sequences is not given."""
        return (self.max_num_seqs or 1) * self.next_n


@dataclass(frozen=True)
class Need:
    """How many padding columns a row needs; None where that is not known."""

    columns: int | None
    reason: str


class ColumnsNeeded(Protocol):
    """How many padding columns the installed kernels need."""

    def __call__(self, max_model_len: int, kv_block_size: int, chunk_k: int, preshuffle: bool | None) -> Need:
        """Columns for one width, in columns, and one configuration."""


@dataclass(frozen=True)
class CallVerdict:
    """Judgement on one call.

    Attributes:
        call: the call.
        verdict: the judgement.
        reason: why, one sentence.
        needed: padding columns needed at the length given, or at worst; None where not known.
        droppable: padding columns that may go.
        bytes_back: memory that gives back for ``rows`` rows.
        rows: see ``Operator.rows``.
        block_size: that the judgement is for; None where it is not known.
        lengths: ``--max-model-len`` values that are safe, where not all are.
    """

    call: Call
    verdict: PairVerdict
    reason: str
    needed: int | None = None
    droppable: int = 0
    bytes_back: int = 0
    rows: int = 1
    block_size: int | None = None
    lengths: Lengths | None = None


@dataclass(frozen=True)
class Pair:
    """Judgement on an installation and a consumer: every call of kernels that were asked about."""

    assessment: Assessment
    consumer: Consumer
    calls: tuple[CallVerdict, ...]
    verdict: PairVerdict


def exit_code(verdict: PairVerdict) -> ExitCode:
    """The exit status that a verdict on a pair makes."""
    return _EXIT[verdict]


def worst(verdicts: Iterable[PairVerdict], *, empty: PairVerdict) -> PairVerdict:
    """The verdict on a whole; every doubt outranks every answer."""
    return max(verdicts, key=_SEVERITY.index, default=empty)


def judge_pair(
    assessment: Assessment, consumer: Consumer, operator: Operator, needed: ColumnsNeeded, kernel: str = AUTO
) -> Pair:
    """Judge a consumer's calls against an installation.

    Args:
        assessment: of the installation.
        consumer: as read from its source.
        operator: what is known of the deployment.
        needed: columns that unpatched kernels need.
        kernel: which code path is asked about; "auto" takes the calls that gfx942 and gfx950 make: of the wrapper's
            main function where the consumer calls it, else of stage1.
    """
    main = any(c.entry is Entry.LOGITS for c in consumer.calls)
    judged = []
    for call in consumer.calls:
        if call.entry is Entry.STAGE1:
            if (kernel == AUTO and main) or kernel not in (AUTO, ALL, STAGE1):
                continue
            ids = frozenset(f.id for f in assessment.fixes if f.path == STAGE1)
            judged.append(_judge(call, replace(assessment, asked=ids), operator, needed))
        else:
            judged.append(_judge(call, assessment, operator, needed))
    verdicts = [c.verdict for c in judged]
    if consumer.doubts:
        verdicts.append(PairVerdict.UNKNOWN)
    return Pair(assessment, consumer, tuple(judged), worst(verdicts, empty=PairVerdict.NO_CALLS))


def _judge(call: Call, assessment: Assessment, operator: Operator, needed: ColumnsNeeded) -> CallVerdict:
    verdict = assessment.verdict
    if verdict.safe:
        return _spare(call, operator, 0, "no store of the installed kernels can leave its row")
    block = _block(call, operator)
    if verdict is not Verdict.VULNERABLE:
        reason = "aiter itself is not understood, so the padding that is there must stay"
        return CallVerdict(call, PairVerdict.UNKNOWN, reason, block_size=block)
    if isinstance(call.padding, Unknown):
        reason = f"its row padding is not known: {call.padding.reason}"
        return CallVerdict(call, PairVerdict.UNKNOWN, reason, block_size=block)
    if not isinstance(call.chunk_k, Known) or call.chunk_k.value < 1:
        return CallVerdict(call, PairVerdict.UNKNOWN, f"ChunkK is not known: {_why(call.chunk_k)}", block_size=block)
    case = _Case(call, call.padding.value, block, call.chunk_k.value, operator, needed)
    return max((_judge_width(case, w) for w in call.widths), key=lambda v: _SEVERITY.index(v.verdict))


@dataclass(frozen=True)
class _Case:
    call: Call
    padding: int
    block: int | None
    chunk: int
    operator: Operator
    needed: ColumnsNeeded

    @property
    def granule(self) -> int:
        """Columns to which the kernels round at most; whole chunks where the block size is not known."""
        if self.call.entry is Entry.STAGE1 or not self.block or self.block == 1 or self.chunk % self.block:
            return self.chunk
        return self.block

    def need(self, columns: int) -> Need:
        """Padding columns at a width."""
        # Without a block size, the largest rounding there is.
        return self.needed(columns, self.block or self.chunk, self.chunk, _preshuffle(self.call, self.block))

    def doubt(self, verdict: PairVerdict, reason: str, lengths: Lengths | None = None) -> CallVerdict:
        """A judgement other than safe, at worst."""
        return CallVerdict(
            self.call, verdict, reason, self.chunk - 1, rows=self.operator.rows, block_size=self.block, lengths=lengths
        )


def _judge_width(case: _Case, width: Width) -> CallVerdict:
    operator, padding = case.operator, case.padding
    most = case.chunk - 1  # of what is rounded to whole chunks
    where = f"{width.text} ({width.file}:{width.line})"
    if width.kind is WidthKind.UNKNOWN and padding < most:
        return case.doubt(PairVerdict.UNKNOWN, f"what width reaches it is not understood: {where}")
    if width.kind is WidthKind.MULTIPLE:
        # A path on which blocks are one token is taken unless the operator says that theirs are not.
        block = case.block or width.value
        if block is not None and block != 1 and case.chunk % block and block % case.chunk:
            reason = f"the kernel rounds up to whole chunks of {case.chunk}, of which blocks of {block} are no divisor"
            return case.doubt(PairVerdict.UNKNOWN, f"{reason}: {where}")
        if block != 1:
            return _spare(case.call, operator, 0, f"its width is always a multiple of the block size: {where}")
        if all(case.need(case.chunk + more).columns == 0 for more in (1, case.chunk // 2 + 1, case.chunk - 1)):
            return _spare(case.call, operator, 0, "at a block size of 1 the kernel does not round up")
        if padding < most:
            reason = f"at a block size of 1, whether the kernel rounds the width up is not established: {where}"
            return case.doubt(PairVerdict.UNKNOWN, reason)
    columns = _width_in_columns(width, operator)
    if columns is None:
        if padding >= most:
            reason = f"of its {padding} padding columns at most {most} are needed"
            return _spare(case.call, operator, most, reason)
        lengths = safe_lengths(None, case.granule, _scale(width, operator))
        hint = "" if case.block else f" at every block size; give --block-size ({_why(case.call.kv_block_size)})"
        return case.doubt(PairVerdict.SAFE_LENGTHS, f"{lengths.text}{hint}; its width is {where}", lengths)
    need = case.need(columns)
    if need.columns is None:
        return case.doubt(PairVerdict.UNKNOWN, need.reason)
    if need.columns <= padding:
        return _spare(case.call, operator, need.columns, f"at width {columns}: {need.reason}")
    lengths = safe_lengths(operator.max_model_len, case.granule, _scale(width, operator))
    hint = "" if case.block else f"; its block size is decided at run time ({_why(case.call.kv_block_size)})"
    reason = f"at width {columns} a row has {padding} padding columns: {need.reason}{hint}"
    return replace(case.doubt(PairVerdict.UNSAFE, reason, lengths), needed=need.columns)


def _scale(width: Width, operator: Operator) -> int:
    return (width.value or operator.compress_ratio) if width.kind is WidthKind.FRACTION else 1


def _width_in_columns(width: Width, operator: Operator) -> int | None:
    if width.kind is WidthKind.FIXED:
        return width.value
    if operator.max_model_len is None or width.kind not in (WidthKind.OPERATOR, WidthKind.FRACTION):
        return None
    if width.kind is WidthKind.FRACTION:
        return operator.max_model_len // _scale(width, operator)
    return operator.max_model_len


def _block(call: Call, operator: Operator) -> int | None:
    if call.entry is Entry.LOGITS and isinstance(call.kv_block_size, Known):
        return call.kv_block_size.value
    return operator.block_size


def _preshuffle(call: Call, block: int | None) -> bool | None:
    if isinstance(call.preshuffle, Known):
        return bool(call.preshuffle.value)
    if isinstance(call.preshuffle, RunTime) and call.preshuffle.text.endswith(" > 1") and block is not None:
        return block > 1
    return None


def _spare(call: Call, operator: Operator, needed: int, reason: str) -> CallVerdict:
    block = _block(call, operator)
    if isinstance(call.padding, Known) and call.padding.value > needed:
        spare = call.padding.value - needed
        return CallVerdict(
            call,
            PairVerdict.DROP_PADDING,
            reason,
            needed,
            spare,
            operator.rows * spare * BYTES,
            operator.rows,
            block,
        )
    return CallVerdict(call, PairVerdict.SAFE, reason, needed, rows=operator.rows, block_size=block)


def _why(setting: Known | RunTime | Unknown) -> str:
    return setting.reason if isinstance(setting, Unknown) else str(getattr(setting, "text", ""))
