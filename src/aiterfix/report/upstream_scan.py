"""A scan as a table, and as Markdown."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from aiterfix.history.bounds import BoundState
from aiterfix.history.milestones import fixes
from aiterfix.history.record import RefRecord
from aiterfix.report.compat import fault_marks, fix_lines, kernels_with, legend
from aiterfix.report.page import Page
from aiterfix.report.terminal import table
from aiterfix.upstream.milestones import Goal, Milestone, OldKernels, goals, milestone, old_kernels
from aiterfix.upstream.scan import ScanResult


def scan_text(result: ScanResult) -> Page:
    """The table and what it means, for a terminal."""
    header, rows = _rows(result)
    return Page([*table([header, *rows]), "", *_summary(result)])


def scan_markdown(result: ScanResult) -> Page:
    """The same in Markdown."""
    header, rows = _rows(result)

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"

    lines = [line(header), line("---" for _ in header), *(line(row) for row in rows)]
    for s in _summary(result):
        lines += [f"- {s.strip()}"] if s.startswith("  ") else ["", f"**{s}**", ""] if s else [""]
    return Page(lines)


def _rows(result: ScanResult) -> tuple[list[str], list[list[str]]]:
    marks = fault_marks(result.faults)
    header = ["ref", "date", *(b.group.name for b in result.bounds), *marks, "sha256"]
    rows = []
    for ref in result.refs:
        if not ref.shipped and not ref.doubts:
            continue
        cells = []
        for b in result.bounds:
            state, counts = ref.state(b), ref.counts(b)
            shown = {BoundState.UNKNOWN: state.value, BoundState.NO_STORES: "-"}
            cells.append(shown.get(state, f"{state.value} {counts.bounded}/{counts.total}"))
        cells += [kernels_with(ref, f) for f in marks.values()]
        digests = [f.sha256[:12] for f in ref.shipped if f.problems or any(k.counts.total for k in f.kernels)]
        rows.append([ref.ref, ref.date[:10], *cells, " ".join(digests)])
    return header, rows


def _summary(result: ScanResult) -> list[str]:
    lines = [*legend(fault_marks(result.faults)), ""]
    without = sum(not r.shipped and not r.doubts for r in result.refs)
    if without:
        lines += [f"{without} of {len(result.refs)} references hold none of the kernels.", ""]
    for b in result.bounds:
        lines.append(f"{b.name}: {b.fault.title}")
        for g in goals(b):
            lines += _goal_lines(g, milestone(g, result.refs))
        lines += [_old_line(o) for o in old_kernels(b, result.refs)]
        lines.append("")
    lines += [*fix_lines(fixes(result.refs, result.faults.judged)), ""]
    lines += [f"{r.ref}: unknown: {d}" for r in result.refs for d in r.doubts]
    unread = [(r.ref, f.path, p) for r in result.refs for f in r.shipped for p in f.problems]
    lines += [f"{ref}: unknown: {path}: {problem}" for ref, path, problem in unread]
    if any(problem.startswith("syntax ") and "Python" not in problem for _, _, problem in unread):
        mine = ".".join(map(str, sys.version_info[:2]))
        lines.append(f"Syntax is that of Python {mine}, which runs this: a newer one may understand more.")
    if result.shallow:
        lines.append("This clone is shallow: what is first here may not be first upstream.")
    if result.partial:
        lines.append("This clone is partial: files that it lacks make their references unknown.")
    if result.skipped:
        lines.append(f"Tags that name no commit: {_list(result.skipped)}.")
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _goal_lines(goal: Goal, m: Milestone) -> list[str]:
    pulls = ", ".join(f"#{p.number}" for p in goal.pulls)
    title = f"  {goal.label}{f' ({pulls})' if pulls else ''}: "
    if m.newest is None:
        return [title + "no release that can be judged has these kernels"]
    if m.first_any is None:
        stores = "1 store" if m.newest_remaining == 1 else f"{m.newest_remaining} stores"
        return [title + f"no release; {m.newest.ref} has {stores} in the way"]
    first = m.first if m.first is not None else m.first_any
    text = f"first in {_dated(first)}"
    if m.first_any is not first:
        text += f" (pre-release {m.first_any.ref})"
    if m.first_by_date is not None and m.first_by_date not in (first, m.first_any):
        text += f", published first in {_dated(m.first_by_date)}"
    if m.last_without is not None:
        text += f"; last without it: {m.last_without.ref}"
        if m.last_without_by_date is not None and m.last_without_by_date is not m.last_without:
            text += f", by date {m.last_without_by_date.ref}"
    lines = [title + text]
    if m.lost:
        lines.append(f"  lost again in: {_list([r.ref for r in m.lost])}")
    if m.behind:
        lines.append(f"  without it though published later (older branch): {_list([r.ref for r in m.behind])}")
    if m.unknown:
        lines.append(f"  could not be judged: {_list([r.ref for r in m.unknown])}")
    return lines


def _old_line(o: OldKernels) -> str:
    return (
        f"  {_dated(o.release)} has the kernels of {o.since.ref}, older than those of {_dated(o.newer)} "
        "published before it"
    )


def _dated(ref: RefRecord) -> str:
    return f"{ref.ref} ({ref.date[:10]})"


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
