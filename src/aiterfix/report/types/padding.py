"""``aiterfix padding --json``: one answer, or a table of them."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated

from aiterfix.faults.base import Presence
from aiterfix.overshoot.results import Measured
from aiterfix.report.document import Body, Limits
from aiterfix.report.types.common import Count, Lengths, Positive
from aiterfix.storage.record import record


@record(frozen=True)
class PaddingRow:
    """How many columns one length and block size need.

    Attributes:
        columns: that each row needs behind `max_model_len`.
        exact: whether fewer would not do.
        assumption: what must hold; past it no padding is enough.
        kernel: names of the kernels that the answer is about.
        presence: of stores without an upper bound, in their source.
        safe_max_model_len: null where no columns are needed, or no length is known that needs none.
    """

    max_model_len: Positive
    block_size: Positive
    columns: Count
    reason: str
    evidence: Annotated[str, Limits(enum=["guarded", "measured", "bound"])]
    exact: bool
    assumption: str
    kernel: str
    presence: Presence
    safe_max_model_len: Lengths | None


@record(frozen=True)
class PaddingSource:
    """What the answers rest on.

    Attributes:
        source: where the kernels stand.
        measured: what `--measure` established.
    """

    source: str
    measured: tuple[Measured, ...]


@record(frozen=True)
class PaddingReport(PaddingRow, PaddingSource, Body):
    """One answer."""

    command = "padding"

    @classmethod
    def of(cls, source: str, measured: tuple[Measured, ...], row: PaddingRow) -> PaddingReport:
        """From an answer."""
        return cls(source, measured, *(getattr(row, f.name) for f in fields(row)))


@record(frozen=True)
class PaddingTable(PaddingSource, Body):
    """With `--table`: an answer for each length and block size."""

    command = "padding"

    rows: tuple[PaddingRow, ...]
