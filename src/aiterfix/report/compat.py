"""What is known of releases, for people: one release, or a table of all with what the columns mean."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence

from aiterfix.family.kernels import ENTRY
from aiterfix.faults.base import Fault, Presence
from aiterfix.faults.registry import Faults
from aiterfix.history.bounds import bounds_of
from aiterfix.history.compat import Compat
from aiterfix.history.milestones import Fix
from aiterfix.history.record import History, RefRecord
from aiterfix.history.siblings import every_fact, facts_of
from aiterfix.report.page import Page
from aiterfix.report.terminal import table, terminal_width

_WIDTH = 100
"""Of a line, at most."""


def releases_text(history: History, faults: Faults, fixes: Sequence[Fix]) -> Page:
    """Every release: how many kernels have each fault. Tags that are no releases are counted."""
    columns = fault_marks(faults)
    released = [r for r in history.refs if "/" not in r.ref]
    having = [r for r in (*released, *history.branches) if r.files or r.doubts]
    rows = [["release", "date", *columns]]
    rows += [[r.ref, r.date[:10], *(kernels_with(r, f) for f in columns.values())] for r in having]
    lines = [*table(rows, right=range(2, len(rows[0]))), "", *legend(columns), ""]
    without = [r for r in released if not r.files and not r.doubts]
    if without:
        lines.append(f"{len(without)} releases up to {without[-1].ref} hold none of the kernels.")
    others = len(history.refs) - len(released)
    if others:
        lines.append(f"{others} more tags (archive/… and the like) are known to `aiterfix compat TAG` and `--json`.")
    lines += ["", *fix_lines(fixes), "", *_fact_lines(map(str, every_fact()))]
    return Page([*lines, _date_line(history.newest, history.branches)])


def legend(marks: Mapping[str, Fault]) -> list[str]:
    """What the marks of faults mean, and the cells below them."""
    lines = ["How many kernels have a fault: - none, r refused wherever it is, ? not understood."]
    for decides, heading in ((True, "It makes logits wrong, or touches memory of others:"), (False, "Beside them:")):
        rows = [(f"  {m}", f.id, f.title) for m, f in marks.items() if f.consequence.decides is decides]
        lines += ["", heading, *table(rows)] if rows else []
    return lines


def fault_marks(faults: Faults) -> dict[str, Fault]:
    """A mark for each fault, those that make logits wrong first: the first letters of its name's first words."""
    ordered = sorted(faults.judged, key=lambda f: not f.consequence.decides)
    marks: dict[str, Fault] = {}
    for fault in ordered:
        initials = "".join(word[0] for word in fault.id.split("-")[:3])
        marks[initials if initials not in marks else fault.id] = fault
    return marks


def kernels_with(ref: RefRecord, fault: Fault) -> str:
    """How many kernels of a tree have a fault, as a cell."""
    presence = ref.presence((fault.id,))
    if presence is Presence.PRESENT:
        return str(ref.having(fault.id))
    return {Presence.ABSENT: "-", Presence.REFUSED: "r"}.get(presence, "?")


def fix_line(fix: Fix) -> str:
    """Since when releases are rid of a fault, in one line."""
    s = fix.standing
    first = s.first if s.first is not None else s.first_any
    if first is None:
        return "no release"
    text = f"since {first.ref} ({first.date[:10]})"
    if s.first_by_date is not None and s.first_by_date is not first:
        text += f", published first in {s.first_by_date.ref} ({s.first_by_date.date[:10]})"
    if s.last_without is not None:
        text += f"; last with it {s.last_without.ref}"
    if s.lost:
        text += f"; lost again in {_names(s.lost)}"
    if s.behind:
        text += f"; published later with it (older branch): {_names(s.behind)}"
    if s.unknown:
        text += f"; not understood: {_names(s.unknown)}"
    return text


def fix_lines(fixes: Sequence[Fix]) -> list[str]:
    """Since when releases are rid of each fault, in which kernels."""
    lines = ["Releases that are rid of a fault, by version, and the last one that has it:"]
    seen = ""
    for fix in sorted(fixes, key=lambda f: not f.fault.consequence.decides):
        if fix.fault.id != seen:
            lines.append(f"  {fix.fault.id}")
        seen = fix.fault.id
        lines += _wrapped(f"{fix_line(fix)}: {_kernels(fix.kernels)}", "    ")
    return [*lines, f"  (…: {ENTRY})"] if fixes else []


def _kernels(names: Iterable[str]) -> str:
    return ", ".join(name.replace(ENTRY, "…") for name in names)


def _names(refs: Iterable[RefRecord]) -> str:
    return ", ".join(r.ref for r in refs)


def _wrapped(text: str, indent: str) -> list[str]:
    width = min(_WIDTH, terminal_width() or _WIDTH)
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=f"{indent}  ", break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _fact_lines(facts: Iterable[str]) -> list[str]:
    lines = [line for fact in facts for line in _wrapped(fact, "  ")]
    return ["facts about other kernels, from reports, which nobody judges here:", *lines] if lines else []


def _date_line(newest: str, branches: Iterable[RefRecord] = ()) -> str:
    tips = "".join(f", and {b.ref} of {b.date[:10]}" for b in branches)
    return f"Facts from the source of every tag up to {newest[:10]}{tips}; `aiterfix check` reads what is there."


def compat_text(answer: Compat, faults: Faults, fixes: Sequence[Fix]) -> Page:
    """What is known of one release."""
    ref = answer.release
    if ref is None:
        lines = [f"{answer.asked}: not known, run `aiterfix check`: {answer.reason}."]
        if answer.closest is not None:
            verdict = answer.closest.verdict(faults.deciding).value
            lines.append(f"The release it is named after, {answer.closest.ref}, is {verdict}.")
    else:
        lines = [_heading(answer.asked, ref, faults), *_fault_lines(ref, faults, fixes)]
        lines += _fact_lines(map(str, facts_of(ref.ref)))
    if faults.not_judged:
        ids = ", ".join(f.id for f in faults.not_judged)
        lines.append(f"{len(faults.not_judged)} known faults are not judged yet: {ids}.")
    return Page([*lines, _date_line(answer.newest)])


def _heading(asked: str, ref: RefRecord, faults: Faults) -> str:
    name = asked if asked in (ref.ref, ref.ref.removeprefix("v")) else f"{asked}, that is {ref.ref}"
    return f"{name} ({ref.date[:10]}, commit {ref.commit[:12]}): {ref.verdict(faults.deciding).value}"


def _fault_lines(ref: RefRecord, faults: Faults, fixes: Sequence[Fix]) -> list[str]:
    kernels = sum(bool(k.counts.total) for f in ref.shipped for k in f.kernels)
    if not any(f.kernels or f.problems for f in ref.files) and not ref.doubts:
        return ["  holds none of the kernels"]
    lines = []
    wide = max(len(f.id) for f in faults.judged)
    for fault in sorted(faults.judged, key=lambda f: (not f.consequence.decides, f.id)):
        presence = ref.presence((fault.id,))
        text = f"  {fault.id:<{wide}}  {presence.value:<7}"
        if presence is Presence.PRESENT:
            text += f"  in {ref.having(fault.id)} of {kernels} kernels"
        lines.append(text.rstrip())
        if presence is Presence.PRESENT:
            lines += _wrapped(f"bites where {fault.trigger.sentence}", "    ")
        for bounds in bounds_of(faults):
            counts = ref.counts(bounds)
            if bounds.fault == fault and counts.total:
                lines.append(f"    {bounds.group.name}: {counts.bounded} of {counts.total} stores are bounded")
        if presence is Presence.PRESENT:
            here = [f for f in fixes if f.fault.id == fault.id and f.standing.first_any is not None]
            for fix in (f for f in here if _has(ref, f)):
                lines += _wrapped(f"gone {fix_line(fix)}: {_kernels(fix.kernels)}", "    ")
    lines += [f"  {f.path}  sha256 {f.sha256[:12]}" for f in ref.files if any(k.counts.total for k in f.kernels)]
    lines += [f"  {w.path}  sha256 {w.sha256[:12]}" for w in ref.launchers]
    lines += [f"  not understood: {f.path}: {p}" for f in ref.files for p in f.problems]
    return lines + [f"  not understood: {d}" for d in ref.doubts]


def _has(ref: RefRecord, fix: Fix) -> bool:
    kernels = (k for f in ref.shipped for k in f.kernels if k.kernel in fix.kernels)
    return any(k.presence.get(fix.fault.id) is Presence.PRESENT for k in kernels)
