"""The sentences that go with a verdict: what it means, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence

from aiterfix.faults.base import Presence
from aiterfix.judge.judgement import FaultAnswer, Ignored
from aiterfix.judge.verdict import Verdict
from aiterfix.judge.whole import Whole
from aiterfix.report.steps import Steps

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


def answer_line(whole: Whole) -> str:
    """Behind the verdict's word where the faults that are present follow, a line each (`bites`)."""
    asked = [a for a in whole.answers() if a.asked]
    present = [a for a in asked if a.presence is Presence.PRESENT and not a.compiler_unknown]
    if whole.verdict is not Verdict.AFFECTED or not present:
        return "; ".join([meaning(whole), *([f"beside that {_counted(present, asked)}"] if present else [])])
    return _counted(present, asked)


def _counted(present: Sequence[FaultAnswer], asked: Sequence[FaultAnswer]) -> str:
    one = len(present) == 1
    of = present[0].fault.id if len(asked) == 1 else f"{len(present)} of the {len(asked)} faults asked about"
    return f"{of} {'is' if one else 'are'} present, and {'bites' if one else 'each bites'} when:"


def bites(answer: FaultAnswer) -> str:
    """When a fault that is present bites, and whether it stays."""
    left = f"; it cannot be mended here: {answer.obstacle}" if answer.obstacle else ""
    return f"{answer.fault.trigger.sentence}{left}"


def not_asked(whole: Whole) -> str:
    """Faults that are judged, not absent, and were not asked about; empty where there are none."""
    aside = {i.fault for i in ignored(whole)}
    left = [
        f"{a.fault.id} ({_unasked(a)})"
        for a in whole.answers()
        if not a.asked and not a.presence.harmless and a.fault.id not in aside
    ]
    return f"not asked about: {', '.join(left)}" if left else ""


def ignored(whole: Whole) -> tuple[Ignored, ...]:
    """Faults that are ignored for a reason, whether there or not."""
    return next((j.question.ignored for j in whole.live), ())


def ignored_lines(whole: Whole) -> list[str]:
    """A line on each of them: what it keeps from deciding, and why; or that it is ignored in vain."""
    answers = {a.fault.id: a for a in whole.answers()}
    lines = []
    for one in ignored(whole):
        presence = answers[one.fault].presence
        if one.asked and not presence.harmless:
            lines.append(f"ignored: {one.fault} ({presence.value}): {one.reason} ({one.by})")
        else:
            why = f"it is {presence.value}" if one.asked else "it decides nothing here"
            lines.append(f"ignored in vain: {one.fault}: {why}, so drop it ({one.by})")
    return lines


def _unasked(answer: FaultAnswer) -> str:
    if answer.presence is Presence.PRESENT and answer.compiler_unknown:
        return "depends on the Triton that compiles the kernels; none was found beside them"
    return answer.presence.value


def not_judged(whole: Whole) -> str:
    """How many known faults are not judged, and which; empty where all are."""
    known = next((j.known.not_judged for j in whole.on_disk), ())
    if not known:
        return ""
    ids = ", ".join(f.id for f in known)
    return f"{len(known)} known fault{'' if len(known) == 1 else 's'} not judged yet: {ids}"


def other_kernels(whole: Whole, told: int = 0) -> str:
    """Kernels beside the family, which nobody judges; of those that engines call in the place of ours, what they
    are. ``told``: how many facts are told of them elsewhere."""
    files = [what for j in whole.live for _, what in j.siblings]
    if not files:
        return ""
    paged = ", ".join(dict.fromkeys(what for what in files if "paged" in what))
    more = f", among them {paged}" if paged else ""
    facts = f"; {told} fact{'' if told == 1 else 's'} told of them" if told else ""
    return f"kernels not judged: {len(files)} file{'' if len(files) == 1 else 's'}{facts} (check -v names them){more}"


def fault_line(answer: FaultAnswer) -> str:
    """One line on a fault: what it is, and when it bites where it is present."""
    if answer.presence is Presence.PRESENT:
        return f"{answer.fault.title}; it bites when: {bites(answer)}"
    return answer.fault.title


def next_step(whole: Whole, steps: Steps) -> str:
    """What a person should do now."""
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
        return _unread(whole) or REPORT_IT
    if verdict is Verdict.AFFECTED:
        stuck = [a for a in whole.answers() if a.asked and a.presence is Presence.PRESENT and a.obstacle]
        ways = steps.apply()
        if stuck:
            ids = ", ".join(a.fault.id for a in stuck)
            rest = REPORT_IT if any(not a.fault.by_compiler for a in stuck) else stuck[0].obstacle
            if all(a in stuck for a in whole.answers() if a.asked and a.presence is Presence.PRESENT):
                return f"{ids} stays: {rest}"
            return f"{ways} for what can be mended; {ids} stays: {rest}"
        return ways
    if not_judged(whole):
        return "nothing against what is judged; the faults that are not judged yet may be there"
    return _left(whole, steps) or "nothing"


_KEEP = "until then keep (or add) 256 padding columns in the caller, which is enough against stores past a row"
_BROKEN = frozenset({"encoding", "syntax", "too-deep", "unreadable"})


def _unread(whole: Whole) -> str:
    """What to do about a file that could not be read, or is no Python: nobody else can say what is in it. Empty where
    there is none."""
    for judgement in whole.live:
        for doubt in judgement.doubts:
            if not doubt.line:
                return f"have {doubt.where} readable ({doubt.reason}), or install aiter again; {_KEEP}"
        for text in judgement.texts:
            if any(p.code in _BROKEN for p in text.diagnosis.problems):
                return f"mend {text.relative}, which does not parse, or install aiter again; {_KEEP}"
    return ""


def _left(whole: Whole, steps: Steps) -> str:
    """What can be done about faults that were not asked about; empty where none is there. Those that the question
    leaves out are named, and stay."""
    there = [a for a in whole.answers() if not a.asked and a.presence is Presence.PRESENT]
    left_out = {fault for j in whole.live for fault in j.question.left_out}
    kept = [a.fault.id for a in there if a.fault.id in left_out]
    left = [a for a in there if a.fault.id not in left_out]
    mended = "".join(f" --fault {a.fault.id}" for a in left if not a.obstacle)
    ways = [f"to take out what is left, {steps.apply(mended)}"] if mended else []
    open_ones = [a.fault.id for a in left if a.obstacle and a.compiler_unknown]
    ways += [f"see which Triton compiles the kernels ({', '.join(open_ones)})"] if open_ones else []
    ways += [f"left in on purpose: {', '.join(kept)}"] if kept else []
    return f"nothing that the verdict hangs on; {'; '.join(ways)}" if ways else ""
