"""Reports for people: the answer first, in a few lines; what it rests on with ``-v``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aiterfix.engines import Found
from aiterfix.faults.base import Presence
from aiterfix.installation.target import Installation
from aiterfix.judge.judgement import FaultAnswer, JudgedText, Judgement
from aiterfix.judge.verdict import Verdict
from aiterfix.judge.whole import Whole
from aiterfix.patching.installed import evidence_in, patch_status
from aiterfix.report.advice import (
    answer_line,
    bites,
    fault_line,
    ignored_lines,
    next_step,
    not_asked,
    not_judged,
    other_kernels,
)
from aiterfix.report.page import Coloured, Page, Row
from aiterfix.report.provenance import Provenance, digest, provenance, sibling_facts
from aiterfix.report.steps import Steps
from aiterfix.report.terminal import colour, hanging, table
from aiterfix.report.types.common import Located

if TYPE_CHECKING:
    from aiterfix.validation.evidence import Evidence

_COLOURS = {
    Verdict.CLEAN: "32",
    Verdict.AFFECTED: "31;1",
    Verdict.UNKNOWN: "33;1",
    Verdict.NOT_INSTALLED: "33",
}
_GUARDS = {
    "none": "nothing bounds the column",
    "lower": "the column is bounded from below only",
    "upper": "bounded from above",
    "both": "bounded from both sides",
}
"""What the words of a store's ``guard`` say to whoever does not know them."""


def shown(verdict: Verdict) -> Coloured:
    """A verdict, coloured on a terminal."""
    return colour(verdict.value, _COLOURS[verdict])


def heading(installation: Installation | Located, kernels_of: str = "") -> str:
    """One line on what and where an installation is.

    Args:
        kernels_of: the releases that its kernels are those of, where no version is known.
    """
    name = installation.distribution or "aiter"
    version = installation.version or "(version not known)"
    details = [installation.kind.value]
    if installation.commit:
        details.append(f"commit {installation.commit[:12]}")
    if kernels_of and installation.version is None:
        details.append(f"kernels as in {kernels_of}")
    if installation.shadowed:
        details.append("shadowed: import takes another one")
    return f"{name} {version}, {', '.join(details)}: {installation.package}"


def check_text(
    whole: Whole,
    steps: Steps,
    engines: Sequence[tuple[Found, str]] = (),
    *,
    advise: bool = True,
    verbose: bool = False,
) -> Page:
    """The report of `aiterfix check`.

    Args:
        engines: those found, where they are not judged, and how the command line named where.
        advise: whether to say what to do next; not where a verdict on a pair follows, which has its own.
        verbose: whether to name every place that is not understood, not the first alone.
    """
    lines: list[Row] = []
    for disk, running in zip(whole.on_disk, whole.running, strict=True):
        lines += _installation(disk, steps, verbose=verbose)
        if running is not disk:
            lines.append(
                ("  on disk ", shown(disk.verdict), f"; the hook mends it in every process ({whole.hook.way})")
            )
        elif len(whole.on_disk) > 1:
            lines.append(("  ", shown(disk.verdict)))
    if not whole.on_disk:
        lines.append("no aiter found" + ("" if not whole.discovery.doubts else ", but see below"))
        lines += [f"  searched {p}" for p in whole.discovery.searched]
    lines += _passed_over(whole)
    said = answer_line(whole)
    lines.append(("verdict: ", shown(whole.verdict), f": {said}" if said else ""))
    there = [a for a in whole.answers() if a.asked and a.presence is Presence.PRESENT and not a.compiler_unknown]
    wide = max((len(a.fault.id) for a in there), default=0)
    lines += [line for a in there for line in hanging(f"  {a.fault.id:<{wide}}  ", bites(a))]
    told = len(sibling_facts(whole))
    for aside in (*ignored_lines(whole), not_asked(whole), not_judged(whole), other_kernels(whole, told)):
        lines += hanging(" " * len("verdict: "), aside) if aside else []
    lines += [
        f"{f.name} {f.version or '(version not known)'}: {f.package} "
        f"(judge the pair: aiterfix check --for {f.name}{where})"
        for f, where in engines
    ]
    if advise:
        lines.append(f"next:    {next_step(whole, steps)}")  # one line, to be copied
    return Page(lines)


def _installation(judgement: Judgement, steps: Steps, *, verbose: bool) -> list[str]:
    """What an installation is, and what has to be said of it whoever asks."""
    assert judgement.installation is not None
    origins = provenance(judgement)
    lines = [heading(judgement.installation, _common(list(origins.values())))]
    patched = steps.undo(patch_status(judgement.installation))
    if patched:
        lines.append(f"  {patched}")
    for group, prebuilt in judgement.prebuilt:
        use = "IN USE instead of the source" if prebuilt.enabled else "not in use"
        lines.append(
            f"  {prebuilt.code_objects} prebuilt code objects for the {group} kernels in {prebuilt.directory}, {use} "
            f"({prebuilt.variable}{'=' + prebuilt.value if prebuilt.value is not None else ' is unset'})"
        )
    lines += [f"  in doubt: {doubt}" for doubt in judgement.doubts]
    for text in judgement.texts:
        lines += [f"  {line}" for line in _few(_problems(text, judgement), _FEW, "places", verbose=verbose)]
    noted = [(t.relative, origins[t.path].note) for t in judgement.texts if t.path in origins]
    notes = [f"  {relative}: {note}" for relative, note in noted if note]
    return lines + _few(notes, 1, "files that are not as released", verbose=verbose, indent="  ")


def in_doubt(whole: Whole) -> list[str]:
    """What keeps an answer from being certain, a line each: what could not be read, and places not understood; and what
    was passed over."""
    lines = []
    for judgement in whole.on_disk:
        lines += [f"in doubt: {doubt}" for doubt in judgement.doubts]
        lines += [line for text in judgement.texts for line in _problems(text, judgement)]
    return lines + _passed_over(whole)


def _passed_over(whole: Whole) -> list[str]:
    return [
        f"{'could not be read' if s.doubt else 'passed over'}: {s.path}: {s.reason}" for s in whole.discovery.skipped
    ]


_FEW = 3


def _few(lines: list[str], most: int, what: str, *, verbose: bool, indent: str = "") -> list[str]:
    """The first of some lines, and how many more there are."""
    left = len(lines) - most
    return lines if verbose or left <= 0 else [*lines[:most], f"{indent}… and {left} more {what} (-v)"]


def _problems(text: JudgedText, judgement: Judgement) -> list[str]:
    """Where a file is not understood."""
    seen = {(p.line, p.message): None for p in text.diagnosis.problems}
    for unit in text.diagnosis.units:
        for diagnosis in unit.diagnoses if judgement.question.covers(unit) else ():
            if diagnosis.fault in judgement.question.faults:
                found = (f for f in diagnosis.findings if f.presence is Presence.UNKNOWN)
                seen |= {(f.line, f"{unit.name}: {f.message}"): None for f in found}
    return [f"{text.relative}:{line}: {message}" for line, message in seen]


def check_in_full(whole: Whole) -> Page:
    """Below the answer, for ``-v``: every fault, what runs have shown, and every finding, those that matter first."""
    lines = ["", *table(_faults(whole.answers()))] if whole.live else []
    for judgement in whole.on_disk:
        assert judgement.installation is not None
        origins = provenance(judgement)
        for text in judgement.texts:
            origin = origins.get(text.path) if text.path is not None else None
            lines += ["", *_file(text, origin, evidence_in(judgement.installation))]
        if judgement.siblings:
            lines += ["", "not judged, as no known fault is about them:"]
            lines += table(judgement.siblings, indent=2)
    facts = sibling_facts(whole)
    if facts:
        lines += ["", "told of these kernels elsewhere, and not judged:"]
        lines += [line for fact in facts for line in hanging("  ", str(fact))]
    return Page(lines)


def _faults(answers: Sequence[FaultAnswer]) -> list[tuple[str, str, str, str]]:
    head = ("fault", "presence", "decides", "what")
    return [head, *((a.fault.id, a.presence.value, "yes" if a.asked else "no", fault_line(a)) for a in answers)]


def _file(text: JudgedText, origin: Provenance | None, noted: str) -> list[str]:
    """A file: which it is, what runs of it have shown, and every finding."""
    from aiterfix.validation.evidence import evidence_of

    releases = f", as in {_span(origin.releases)}" if origin is not None and origin.releases else ""
    lines = [f"{text.relative}  {f'sha256 {known[:12]}' if (known := digest(text)) else 'not read'}{releases}"]
    for e in evidence_of(text.sha256, noted=noted):
        lines += hanging("  ", f"{_outcome(e)} on {e.device}, Triton {e.triton}{_without_fusion(e)}, {e.date}")
    rows = [("line", "fault", "presence", "kernel", "what")]
    found = [(u.name, d.fault, f) for u in text.diagnosis.units for d in u.diagnoses for f in d.findings]
    for name, fault, finding in sorted(found, key=lambda row: (row[2].presence.harmless, row[2].line)):
        guard = dict(finding.details).get("guard")
        what = f"{finding.message} ({_GUARDS.get(guard, guard)})" if guard else finding.message
        notes = [value for key, value in finding.details if key == "note"]
        notes += [f"cannot be edited: {finding.obstacle}"] if finding.obstacle else []
        rows.append((str(finding.line), fault, finding.presence.value, name, "; ".join([what, *notes])))
    return [*lines, *table(rows, indent=2)] if len(rows) > 1 else lines


def _without_fusion(run: Evidence) -> str:
    return " without FP fusion" if run.fp_fusion is False else ""


def _outcome(run: Evidence) -> str:
    """What a run came to. A scenario that a known fault fails is no failure of the run, and is not called a pass."""
    there = ", ".join(fault for fault, said in run.faults if said in ("failed", "no code"))
    if not run.scenarios:
        return f"no code, by {there},"
    if run.failed:
        return f"failed: {run.failed} of {run.scenarios} {run.suite} scenarios"
    return f"passed: {run.scenarios} {run.suite} scenarios" + (f", but for those of {there}," if there else "")


def _common(origins: Sequence[Provenance]) -> str:
    """The releases that have all of these files; empty where there is none."""
    shared = [r for r in origins[0].releases if all(r in o.releases for o in origins)] if origins else []
    return _span(shared) if shared else ""


def _span(releases: Sequence[str]) -> str:
    """Releases in a few words. Tags below a folder (archive/…) are named only where there is nothing else."""
    named = [r for r in releases if "/" not in r] or list(releases)
    return named[0] if len(named) == 1 else f"{named[0]} to {named[-1]}"
