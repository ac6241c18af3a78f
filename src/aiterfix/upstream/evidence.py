"""What validation measured, for the pull-request text. Bound to the source by digest: nothing is taken on trust.

A report is the JSON of ``aiterfix validate``. Its ``source.sha256`` says whether it is about the file before the
patch or after it; a report on any other source is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiterfix.errors import EnvironmentProblem, NotUnderstoodError, UsageError
from aiterfix.storage import codec
from aiterfix.storage.codec import StoredError
from aiterfix.storage.held import RefusedFileError, read_file
from aiterfix.storage.text import printable

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
        wrong: wrong logits.
        instructions: executed, a wave each.
    """

    name: str
    kernel: str
    overshoot: int
    wrong: int
    instructions: int


@dataclass(frozen=True)
class RunReport:
    """One report.

    Attributes:
        sha256: of the source that was run.
        device: what ran it.
        triton: the compiler's version.
        passed: whether everything was right.
        scenarios: by name.
    """

    sha256: str
    device: str
    triton: str
    passed: bool
    scenarios: Mapping[str, RunScenario]


@dataclass(frozen=True)
class RunReports:
    """The reports at hand, sorted by what they are about."""

    before: tuple[RunReport, ...]
    after: tuple[RunReport, ...]

    def pairs(self) -> list[tuple[RunScenario, RunScenario]]:
        """The same launch before and after, for launches that both have, run by the same device and compiler."""
        found = []
        for b in self.before:
            for a in self.after:
                if (b.device, b.triton) == (a.device, a.triton):
                    found += [(b.scenarios[n], a.scenarios[n]) for n in b.scenarios if n in a.scenarios]
        return found


def read_evidence(paths: Sequence[Path], before: Sequence[str], after: Sequence[str]) -> RunReports:
    """Read reports and sort them.

    Args:
        paths: report files.
        before: digests of the files that the patch changes.
        after: digests of what it makes of them.

    Raises:
        EvidenceError: a file is no report.
        UsageError: a report is about another source.
    """
    old: list[RunReport] = []
    new: list[RunReport] = []
    for path in paths:
        evidence = _read(path)
        if evidence.sha256 in before:
            old.append(evidence)
        elif evidence.sha256 in after:
            new.append(evidence)
        else:
            raise UsageError(
                f"{path} is about another source (sha256 {evidence.sha256[:12] or 'not stated'})",
                remedy="Validate the file that the patch changes, or what it becomes: their digests are "
                + ", ".join(d[:12] for d in (*before, *after))
                + ".",
            )
    return RunReports(tuple(old), tuple(new))


def _read(path: Path) -> RunReport:
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
        if body["schema_version"] != 1:
            raise EvidenceError(path, f"its schema version is {body['schema_version']!r}, not 1")
        scenarios = {
            _text(s["name"]): RunScenario(
                _text(s["name"]),
                _text(s["kernel"]),
                _count(s["overshoot_columns"]),
                _count(s["wrong_logits"]),
                _count(s["wave_instructions"]),
            )
            for s in body["scenarios"]
        }
        if not isinstance(body["passed"], bool):
            raise TypeError("`passed` is not true or false")
        ran = body["executed_by"]
        digest = _text(body["source"]["sha256"])
        return RunReport(digest, _text(ran["device"]), _text(ran["triton"]), body["passed"], scenarios)
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
