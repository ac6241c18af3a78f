"""``aiterfix check --json``, but for pairs with an engine (`aiterfix.report.types.pairs`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from aiterfix.faults.base import Consequence, Presence, Reach
from aiterfix.history.siblings import SiblingFact
from aiterfix.judge.verdict import Verdict
from aiterfix.patching.status import Content, PatchState
from aiterfix.report.document import Body, Limits
from aiterfix.report.types.common import Count, Located, Positive, Skipped
from aiterfix.storage.record import record
from aiterfix.validation.evidence import Outcome, Shown


@record(frozen=True)
class MendReport:
    """What takes a fault out.

    Attributes:
        kind: an edit, a clear error in place of the launch that would compute nonsense, or nothing; of a fault that is
            not there, what takes it out where it is.
        available: whether it can be made in what is installed.
        shown: whether recorded runs failed before it and passed after it, of every text that it is made in. Where one
            failed after it, it is not offered.
        remedy: what to do, for people.
    """

    kind: Literal["edit", "refusal", "none"]
    available: bool
    shown: Shown
    remedy: str


@record(frozen=True)
class FaultReport:
    """One fault that was asked about, over everything that import would take.

    Attributes:
        decides: whether the verdict hangs on it.
        trigger: the condition on a launch under which it bites, for people.
        reach_facts: what `depends` hangs on.
    """

    id: str
    title: str
    consequence: Consequence
    decides: bool
    presence: Presence
    trigger: str
    reach: Reach
    reach_facts: tuple[str, ...]
    mend: MendReport


@record(frozen=True)
class IgnoredReport:
    """A fault that is ignored: it does not decide.

    Attributes:
        id: of the fault.
        reason: as whoever ignores it gave it.
        by: where that is said: `--ignore`, or a file.
        presence: whether the fault is there.
        in_vain: whether ignoring it changes nothing: it is not there, or would not decide.
    """

    id: str
    reason: str
    by: str
    presence: Presence
    in_vain: bool


@record(frozen=True)
class KnownFault:
    """A fault that is known and for which there is no module yet."""

    id: str
    title: str


@record(frozen=True)
class OtherKernel:
    """A kernel beside the family that was not judged."""

    path: Path
    what: str


@record(frozen=True)
class FaultPresence:
    """Whether a fault is there."""

    id: str
    presence: Presence


@record(frozen=True)
class FindingReport:
    """One thing that was seen.

    Attributes:
        fault: its id.
        code: stable name of the kind of finding.
        details: more, by the kind of fault; of a store: call, column, mask, bound, guard.
    """

    fault: str
    line: Count
    end_line: Count
    presence: Presence
    code: str
    message: str
    details: Mapping[str, str]


@record(frozen=True)
class UnitReport:
    """A kernel, or a public entry of the wrapper."""

    name: str
    line: Count
    kind: Literal["kernel", "entry"]
    code_path: str
    faults: tuple[FaultPresence, ...]
    findings: tuple[FindingReport, ...]


@record(frozen=True)
class ProblemReport:
    """Why a file or kernel is not understood.

    Attributes:
        kernel: which; empty for the whole file.
    """

    code: str
    message: str
    line: Count
    kernel: str


@record(frozen=True)
class EvidenceOfFault:
    """What the scenarios of one fault came to."""

    id: str
    outcome: Outcome


@record(frozen=True)
class EvidenceReport:
    """A run of a whole suite over this very text, by this user or shipped with the package.

    Attributes:
        mends: ids of the faults that had been taken out of it.
        device: what executed it: `emulator`, or the name of a GPU.
        scenarios: how many were run.
        failed: how many did not pass that no known fault explains.
        faults: of each fault that a scenario was there to show, what they came to.
        fp_fusion: whether the compiler made one instruction of a multiplication and an addition; null where that was
            not noted, or nothing was compiled.
    """

    mends: tuple[str, ...]
    triton: str
    device: str
    suite: str
    scenarios: Count
    failed: Count
    outcome: Literal["passed", "failed"]
    faults: tuple[EvidenceOfFault, ...]
    date: str
    fp_fusion: bool | None = None


@record(frozen=True)
class FileReport:
    """A file with units of the family.

    Attributes:
        sha256: of its bytes; empty where they could not be read.
        evidence: what runs of it have shown.
        releases: those that ship the same file; null for one that aiterfix has patched.
        note: on where it comes from; may be empty.
    """

    path: Path
    sha256: Annotated[str, Limits(pattern="^([0-9a-f]{64})?$")]
    releases: tuple[str, ...] | None
    note: str
    problems: tuple[ProblemReport, ...]
    evidence: tuple[EvidenceReport, ...]
    units: tuple[UnitReport, ...]


@record(frozen=True)
class PatchedFileReport:
    """A file of the journal, and what it holds."""

    path: Path
    content: Content


@record(frozen=True)
class PatchReport:
    """What aiterfix has done on disk.

    Attributes:
        version: the distribution's when it was patched.
    """

    state: PatchState
    detail: str
    version: str | None
    files: tuple[PatchedFileReport, ...]


@record(frozen=True)
class PrebuiltReport:
    """Code objects that stand beside the source.

    Attributes:
        faults: of which the source says nothing where these are used.
        variable: of the environment; decides whether they are.
        enabled: whether they are used here.
    """

    faults: tuple[str, ...]
    directory: Path
    code_objects: Positive
    variable: str
    value: str | None
    enabled: bool


@record(frozen=True)
class RunsReport:
    """What runs, beside what is on disk.

    Attributes:
        in_processes: verdict on what processes of this interpreter run.
        by: what `in_processes` rests on.
    """

    on_disk: Verdict
    in_processes: Verdict
    by: Literal["disk", "hook"]


@record(frozen=True)
class InstallationReport(Located):
    """One installation, judged.

    Attributes:
        verdict: over the faults that decide.
        unreadable: what keeps the answer from being complete.
    """

    verdict: Verdict
    runs: RunsReport
    patch: PatchReport
    prebuilt: tuple[PrebuiltReport, ...]
    unreadable: tuple[Skipped, ...]
    faults: tuple[FaultPresence, ...]
    files: tuple[FileReport, ...]


@record(frozen=True)
class HookState:
    """The import hook, where the installation is.

    Attributes:
        active: whether it starts in every process of the interpreter.
        counted: whether the verdict and the exit code count it.
        way: by what it starts.
    """

    active: bool
    counted: bool
    way: str
    detail: str


@record(frozen=True)
class EngineReport:
    """An engine installed beside it."""

    name: str
    version: str | None
    package: Path


@record(frozen=True)
class CheckReport(Body):
    """Everything found, judged.

    Attributes:
        verdict: the worst of what import would take, over the faults that decide.
        asked: ids of the faults asked about.
        ignored: faults that do not decide because somebody gave a reason.
        not_judged: known faults without a module yet.
        not_judged_kernels: kernels beside the family that no fault is about.
        facts: what was told of some of them, in reports.
        searched: folders whose contents were listed.
        skipped: what was passed over, and with `doubt` what could not be read.
    """

    command = "check"

    verdict: Verdict
    asked: tuple[str, ...]
    faults: tuple[FaultReport, ...]
    ignored: tuple[IgnoredReport, ...]
    not_judged: tuple[KnownFault, ...]
    not_judged_kernels: tuple[OtherKernel, ...]
    facts: tuple[SiblingFact, ...]
    installations: tuple[InstallationReport, ...]
    hook: HookState
    engines: tuple[EngineReport, ...]
    searched: tuple[Path, ...]
    skipped: tuple[Skipped, ...]
