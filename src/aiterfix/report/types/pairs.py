"""What ``aiterfix check --for ENGINE --json`` adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated

from aiterfix.engines.model import Entry, Known, RunTime, Setting, Width, WidthKind
from aiterfix.engines.pairing import CallVerdict, Operator, Pair, PairVerdict, SizeLimit, exit_code, tightest
from aiterfix.errors import ExitCode
from aiterfix.report.document import Limits
from aiterfix.report.types.check import CheckReport
from aiterfix.report.types.common import Lengths, Skipped
from aiterfix.storage.record import record


@record(frozen=True)
class SettingReport:
    """An argument of a call.

    Attributes:
        known: false where it is not understood.
        value: where the source states it.
        text: from what it is decided at run time, or why it is not understood.
    """

    known: bool
    value: int | None
    text: str | None

    @classmethod
    def of(cls, setting: Setting) -> SettingReport:
        """From what was read."""
        if isinstance(setting, Known):
            return cls(True, setting.value, None)
        runtime = isinstance(setting, RunTime)
        return cls(runtime, None, setting.text if isinstance(setting, RunTime) else setting.reason)


@record(frozen=True)
class WidthReport:
    """One way in which a width comes to a call.

    Attributes:
        value: of a fixed width, in columns; of a fraction, the divisor; of a multiple, of what it is one, null where of
            the block size.
        block: ``KVBlockSize`` of the calls with this width, where the source states it.
    """

    kind: WidthKind
    text: str
    file: str
    line: int
    value: int | None
    block: int | None

    @classmethod
    def of(cls, width: Width) -> WidthReport:
        """From what was read."""
        return cls(width.kind, width.text, width.file, width.line, width.value, width.block)


@record(frozen=True)
class CallReport:
    """One call.

    Attributes:
        may_change: what must not happen for the widths to be as they are.
        conditions: sizes that were not stated, within which the verdict holds.
        block_size: that the judgement is for.
        columns_needed: padding columns at the length given, or at worst.
        evidence: for `columns_needed`.
        bytes_back: memory that dropping them gives back for `rows` rows.
        safe_max_model_len: where not all are safe.
    """

    file: str
    line: int
    function: str
    entry: Entry
    verdict: PairVerdict
    reason: str
    padding: SettingReport
    widths: Annotated[tuple[WidthReport, ...], Limits(minItems=1)]
    may_change: tuple[str, ...]
    conditions: tuple[SizeLimit, ...]
    kv_block_size: SettingReport
    chunk_k: SettingReport
    preshuffle: SettingReport
    wave_per_eu: SettingReport
    block_size: int | None
    columns_needed: int | None
    evidence: Annotated[str | None, Limits(enum=["guarded", "measured", "bound", None])]
    columns_droppable: int
    bytes_back: int
    rows: int
    safe_max_model_len: Lengths | None

    @classmethod
    def of(cls, judged: CallVerdict) -> CallReport:
        """From the judgement."""
        call, lengths = judged.call, judged.lengths
        return cls(
            file=call.file,
            line=call.line,
            function=call.function,
            entry=call.entry,
            verdict=judged.verdict,
            reason=judged.reason,
            padding=SettingReport.of(call.padding),
            widths=tuple(map(WidthReport.of, call.widths)),
            may_change=call.conditions,
            conditions=judged.limits,
            kv_block_size=SettingReport.of(call.kv_block_size),
            chunk_k=SettingReport.of(call.chunk_k),
            preshuffle=SettingReport.of(call.preshuffle),
            wave_per_eu=SettingReport.of(call.wave_per_eu),
            block_size=judged.block_size,
            columns_needed=judged.needed,
            evidence=judged.evidence,
            columns_droppable=judged.droppable,
            bytes_back=judged.bytes_back,
            rows=judged.rows,
            safe_max_model_len=None if lengths is None else Lengths(lengths.step, lengths.below, lengths.above),
        )


@record(frozen=True)
class PairReport:
    """An installation and an engine."""

    installation: Path
    consumer: Path
    verdict: PairVerdict
    unreadable: tuple[Skipped, ...]
    calls: tuple[CallReport, ...]

    @classmethod
    def of(cls, pair: Pair) -> PairReport:
        """From the judgement."""
        return cls(
            pair.installation,
            pair.consumer.path,
            pair.verdict,
            tuple(pair.consumer.doubts),
            tuple(map(CallReport.of, pair.calls)),
        )


@record(frozen=True)
class PairsReport:
    """The pairs asked about.

    Attributes:
        pair_verdict: on all of them; where there are conditions, within these alone.
        conditions: sizes that were not stated, within which the verdict holds.
        assumed: what was taken for the deployment.
    """

    pair_verdict: PairVerdict
    conditions: tuple[SizeLimit, ...]
    assumed: Operator
    pairs: tuple[PairReport, ...]

    @classmethod
    def of(cls, pairs: Sequence[Pair], verdict: PairVerdict, operator: Operator) -> PairsReport:
        """From the judgements."""
        limits = tightest(pairs) if exit_code(verdict) is ExitCode.OK else ()
        return cls(verdict, limits, operator, tuple(map(PairReport.of, pairs)))


@record(frozen=True)
class PairedCheckReport(PairsReport, CheckReport):
    """The same with an engine's calls judged."""

    @classmethod
    def with_pairs(cls, report: CheckReport, pairs: PairsReport) -> PairedCheckReport:
        """Both in one object."""
        parts: tuple[CheckReport | PairsReport, ...] = (report, pairs)
        return cls(**{f.name: getattr(part, f.name) for part in parts for f in fields(part)})
