"""What validation measured, for the pull-request text. Bound to the source by digest: nothing is taken on trust.

A report is the JSON of ``aiterfix validate``. The digests of its sources say whether it is about the files before the
patch or after it; a report on any other source is refused. What this package brings of recorded runs is said beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiterfix.errors import EnvironmentProblem, NotUnderstoodError, UsageError
from aiterfix.report.document import version_of
from aiterfix.storage import codec
from aiterfix.storage.codec import StoredError
from aiterfix.storage.held import RefusedFileError, read_file
from aiterfix.storage.text import printable
from aiterfix.validation import evidence as store
from aiterfix.validation import stores

_MOST_BYTES = 64 << 20


class EvidenceError(NotUnderstoodError):
    """A file of evidence that is not a validation report."""

    code = "evidence"

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"{path} cannot be used as evidence: {problem}",
            remedy="Give the output of `aiterfix validate --json` on the file before or after the patch.",
        )


@dataclass(frozen=True)
class RunScenario:
    """One launch that was run.

    Attributes:
        overshoot: columns written at or past ``max_model_len``.
        instructions: executed, a wave each.
    """

    name: str
    overshoot: int
    wrong: int
    instructions: int


@dataclass(frozen=True)
class RunReport:
    """One report.

    Attributes:
        sha256: of those of its sources that the patch changes, or has changed.
        pair: of a report on one fault, what its scenarios came to before its mend and after; None of others.
    """

    sha256: tuple[str, ...]
    device: str
    triton: str
    passed: bool
    scenarios: Mapping[str, RunScenario]
    pair: tuple[str, str] | None


@dataclass(frozen=True)
class RecordedRun:
    """A run that this package has a record of.

    Attributes:
        sha256: of the text that ran, or that was mended for it.
        scenarios: of the whole suite.
        outcome: of the fault's own scenarios.
    """

    sha256: str
    mends: tuple[str, ...]
    triton: str
    device: str
    scenarios: int
    outcome: str


@dataclass(frozen=True)
class RunReports:
    """The reports at hand, sorted by what they are about, and what is recorded of the text before the patch."""

    before: tuple[RunReport, ...]
    after: tuple[RunReport, ...]
    recorded: tuple[RecordedRun, ...] = ()

    def pairs(self) -> list[tuple[RunScenario, RunScenario]]:
        """The same launch before and after, for launches that both have, run by the same device and compiler."""
        found = []
        for b in self.before:
            for a in self.after:
                if (b.device, b.triton) == (a.device, a.triton):
                    found += [(b.scenarios[n], a.scenarios[n]) for n in b.scenarios if n in a.scenarios]
        return found


def read_evidence(paths: Sequence[Path], fault: str, before: Sequence[str], after: Sequence[str]) -> RunReports:
    """Read reports and sort them.

    Args:
        before: digests of the files that the patch changes.
        after: digests of what it makes of them.

    Raises:
        EvidenceError: a file is no report.
        UsageError: a report is about another source, or about both.
    """
    old: list[RunReport] = []
    new: list[RunReport] = []
    for path in paths:
        evidence, digests = _read(path, fault, {*before, *after})
        about = [any(d in digests for d in side) for side in (before, after)]
        if sum(about) != 1:
            named = ", ".join(d[:12] or "not stated" for d in digests)
            raise UsageError(
                f"{path} is about {'both texts' if all(about) else f'another source (sha256 {named})'}",
                remedy="Validate the files that the patch changes, or what they become: their digests are "
                + ", ".join(d[:12] for d in (*before, *after))
                + ".",
            )
        (old if about[0] else new).append(evidence)
    recorded = tuple(
        RecordedRun(e.original_sha256, e.mends, e.triton, e.device, e.scenarios, str(e.of_fault(fault)))
        for digest in before
        for e in store.read_evidence(digest, [stores.shipped_folder()])
        if e.of_fault(fault) is not None and (not e.mends or fault in e.mends) and e.original_sha256 == digest
    )
    return RunReports(tuple(old), tuple(new), recorded)


def _read(path: Path, fault: str, wanted: set[str]) -> tuple[RunReport, tuple[str, ...]]:
    """A report, and the digests of all its sources."""
    try:
        data = read_file(path, most=_MOST_BYTES)
    except RefusedFileError as error:
        raise EvidenceError(path, f"it {error.strerror}") from error
    except OSError as error:
        raise EnvironmentProblem(f"{path} cannot be read: {error.strerror}") from error
    try:
        body = codec.parse(data, path, most_bytes=_MOST_BYTES)
    except StoredError as error:
        raise EvidenceError(path, error.detail) from error
    try:
        if body["schema_version"] != version_of("validate"):
            raise EvidenceError(path, f"its schema version is {body['schema_version']!r}, not {version_of('validate')}")
        scenarios = {
            _text(s["name"]): RunScenario(
                _text(s["name"]),
                _count(s["overshoot_columns"]),
                _count(s["wrong_logits"]),
                _count(s["wave_instructions"]),
            )
            for s in body["scenarios"]
        }
        if not isinstance(body["passed"], bool):
            raise TypeError("`passed` is not true or false")
        ran = body["executed_by"]
        digests = tuple(_text(s["sha256"]) for s in body["sources"])
        said = body.get("fault")
        pair = (_text(said["before"]), _text(said["after"])) if said and said["id"] == fault else None
        ours = tuple(d for d in digests if d in wanted)
        device, triton = _text(ran["device"]), _text(ran["triton"])
        return RunReport(ours, device, triton, body["passed"], scenarios, pair), digests
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EvidenceError(path, f"it is not a validation report ({type(error).__name__}: {error})") from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return printable(value)


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{value!r} is not a count")
    return value
