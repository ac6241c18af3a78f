"""The sentences that go with a verdict: what it means, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiterfix.faults.base import Presence
from aiterfix.judge.judgement import FaultAnswer
from aiterfix.judge.verdict import Verdict
from aiterfix.judge.whole import Whole
from aiterfix.patching.annotations import noted_faults, noted_version

if TYPE_CHECKING:
    from aiterfix.patching import PatchStatus

REPORT_IT = (
    "keep (or add) 256 padding columns in the caller, which is enough against stores past a row, and report the file's "
    "digest to the aiterfix project"
)


def meaning(whole: Whole) -> str:
    """What the verdict says, and of what it says nothing: one line behind the verdict's word."""
    if not whole.live:
        return "nothing that import would take" if whole.on_disk else ""
    if prebuilt := next((p for j in whole.live for p in j.prebuilt_in_use), None):
        return (
            f"{prebuilt.variable}=1 makes prebuilt code objects run instead of the source: the source says nothing "
            "about them"
        )
    asked = [a for a in whole.answers() if a.asked]
    present = [a.fault.id for a in asked if a.presence is Presence.PRESENT and not a.compiler_unknown]
    unknown = [a.fault.id for a in asked if a.presence is Presence.UNKNOWN]
    if unknown:
        return f"not understood, so nothing may be concluded ({', '.join(unknown)})"
    if left := [a.fault.id for a in asked if a.presence is Presence.PRESENT and a.compiler_unknown]:
        return f"it is not known which Triton compiles the kernels, by which {', '.join(left)} bites or does not"
    if present:
        return f"{', '.join(present)} {'is' if len(present) == 1 else 'are'} present"
    if not any(t.diagnosis.units for j in whole.live for t in j.texts):
        return "the package has none of the kernels"
    words = [(p, [a.fault.id for a in asked if a.presence is p]) for p in (Presence.ABSENT, Presence.REFUSED)]
    return "; ".join(f"{', '.join(ids)}: {p.value}" for p, ids in words if ids)


def not_asked(whole: Whole) -> str:
    """Faults that are judged, not absent, and were not asked about; empty where there are none."""
    left = [f"{a.fault.id} ({_unasked(a)})" for a in whole.answers() if not a.asked and not a.presence.harmless]
    return f"not asked about: {', '.join(left)}" if left else ""


def _unasked(answer: FaultAnswer) -> str:
    if answer.presence is Presence.PRESENT and answer.compiler_unknown:
        return "depends on the Triton that compiles the kernels, which was not found beside them"
    return answer.presence.value


def not_judged(whole: Whole) -> str:
    """How many known faults are not judged, and which; empty where all are."""
    known = next((j.known.not_judged for j in whole.on_disk), ())
    if not known:
        return ""
    ids = ", ".join(f.id for f in known)
    return f"{len(known)} known fault{'' if len(known) == 1 else 's'} not judged yet: {ids}"


def fault_line(answer: FaultAnswer) -> str:
    """One line on a fault: what it is, and when it bites where it is present."""
    if answer.presence is Presence.PRESENT:
        left = f"; cannot be mended here: {answer.obstacle}" if answer.obstacle else ""
        return f"{answer.fault.title}: bites where {answer.fault.trigger.sentence}{left}"
    return answer.fault.title


def next_step(whole: Whole, arguments: str) -> str:
    """What a person should do now.

    Args:
        whole: the judgement.
        arguments: how the installation was named on the command line, to repeat it.
    """
    verdict = whole.verdict
    if verdict is Verdict.NOT_INSTALLED:
        return "name the installation with --path DIR or --python EXE, or install amd-aiter"
    if verdict is Verdict.UNKNOWN:
        if any(j.prebuilt_in_use for j in whole.live):
            return "unset the variable so that the source is compiled, or keep 256 padding columns in the caller"
        if whole.discovery.doubts and not any(j.source_verdict is Verdict.UNKNOWN for j in whole.live):
            return "look at what could not be read (above), or name one installation with --path"
        if whole.on_disk and not whole.live:
            return "remove what shadows aiter (passed over, above), or name one installation with --path"
        return REPORT_IT
    if verdict is Verdict.AFFECTED:
        stuck = [a for a in whole.answers() if a.asked and a.presence is Presence.PRESENT and a.obstacle]
        ways = f"aiterfix apply{arguments}"
        if stuck:
            ids = ", ".join(a.fault.id for a in stuck)
            rest = REPORT_IT if any(not a.fault.by_compiler for a in stuck) else stuck[0].obstacle
            if all(a in stuck for a in whole.answers() if a.asked and a.presence is Presence.PRESENT):
                return f"{ids} stays: {rest}"
            return f"{ways} for what can be mended; {ids} stays: {rest}"
        return ways
    if not_judged(whole):
        return "nothing against what is judged; the faults that are not judged yet may be there"
    return _left(whole, arguments) or "nothing"


def _left(whole: Whole, arguments: str) -> str:
    """What can be done about faults that were not asked about; empty where none is there."""
    left = [a for a in whole.answers() if not a.asked and a.presence is Presence.PRESENT]
    mended = "".join(f" --fault {a.fault.id}" for a in left if not a.obstacle)
    ways = [f"aiterfix apply{arguments}{mended} takes out what is left"] if mended else []
    open_ones = [a.fault.id for a in left if a.obstacle and a.compiler_unknown]
    ways += [f"see which Triton compiles the kernels ({', '.join(open_ones)})"] if open_ones else []
    return f"nothing that the verdict hangs on; {'; '.join(ways)}" if ways else ""


def patch_line(patch: PatchStatus | None, arguments: str) -> str:
    """One line on what aiterfix itself has done to an installation; empty for nothing. ``arguments`` as above."""
    if patch is None or patch.kind.value == "none":
        return ""
    if patch.kind.value == "applied":
        applied = noted_version(patch.annotations)
        asked = ", ".join(noted_faults(patch.annotations))
        by = f"by aiterfix {applied}" if applied else "by aiterfix"
        by += f", asked to mend {asked}" if asked else ""
        return f"patched on disk {by}; originals in {patch.state_dir}; undo with `aiterfix revert{arguments}`"
    if patch.kind.value == "interrupted":
        ways = " or ".join(f"`aiterfix {command}{arguments}`" for command in ("apply", "revert"))
        return f"an interrupted run left something behind: {patch.detail} (run {ways})"
    return f"{patch.kind.value}: {patch.detail}"
