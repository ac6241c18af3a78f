"""A scan as JSON, as a table, and as Markdown."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from aiterfix.history.record import FileRecord, FixState, RefRecord
from aiterfix.upstream.milestones import Goal, Milestone, OldKernels, goals, milestone, old_kernels
from aiterfix.upstream.scan import ScanResult
from aiterfix.verdict import Guard

_SHOWN = {
    FixState.NOT_AFFECTED: "-",
    FixState.NEEDED: "needed",
    FixState.PARTLY: "half",
    FixState.THERE: "there",
    FixState.UNKNOWN: "unknown",
}


def scan_facts(result: ScanResult) -> dict[str, Any]:
    """For ``--json``."""
    return {
        "shallow": result.shallow,
        "partial": result.partial,
        "skipped": list(result.skipped),
        "sources": result.sources,
        "analysed": result.analysed,
        "refs": [_ref_facts(r, result) for r in result.refs],
        "milestones": [_milestone_facts(m) for m in _milestones(result)],
        "old_kernels": [
            {"fix": f.id, "ref": o.release.ref, "kernels_since": o.since.ref, "newer_kernels_in": o.newer.ref}
            for f in result.fixes
            for o in old_kernels(f.id, result.refs)
        ],
    }


def _ref_facts(ref: RefRecord, result: ScanResult) -> dict[str, Any]:
    return {
        "ref": ref.ref,
        "date": ref.date,
        "commit": ref.commit,
        "verdict": ref.verdict.value,
        "fixes": [
            {
                "id": f.id,
                "state": ref.state(f.id).value,
                "stores": ref.counts(f.id).total,
                "bounded": ref.counts(f.id).bounded,
            }
            for f in result.fixes
        ],
        "files": [file_facts(f) for f in ref.files],
        "doubts": list(ref.doubts),
    }


def file_facts(file: FileRecord) -> dict[str, Any]:
    """A kernel file: ``sites`` by kernel and guard."""
    return {
        "path": file.path,
        "sha256": file.sha256,
        "in_package": file.in_package,
        "verdict": file.verdict.value,
        "sites": {k.kernel: {g.value: k.counts.count(g) for g in Guard} for k in file.kernels},
        "problems": list(file.problems),
    }


def _milestone_facts(m: Milestone) -> dict[str, Any]:
    def name(ref: RefRecord | None) -> str | None:
        return ref.ref if ref is not None else None

    return {
        "fix": m.goal.fix,
        "goal": m.goal.label,
        "pull_requests": [f"{p.repository}#{p.number}" for p in m.goal.pulls],
        "first": name(m.first),
        "first_with_prereleases": name(m.first_any),
        "first_by_date": name(m.first_by_date),
        "last_without": name(m.last_without),
        "last_without_by_date": name(m.last_without_by_date),
        "lost": [r.ref for r in m.lost],
        "behind": [r.ref for r in m.behind],
        "unknown": [r.ref for r in m.unknown],
        "newest": name(m.newest),
        "newest_remaining": m.newest_remaining,
    }


def _milestones(result: ScanResult) -> list[Milestone]:
    return [milestone(g, result.refs) for f in result.fixes for g in goals(f)]


def scan_text(result: ScanResult) -> str:
    """The table and what it means, for a terminal."""
    header, rows = _rows(result)
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in [header, *rows]]
    return "\n".join([*lines, "", *_summary(result)]) + "\n"


def scan_markdown(result: ScanResult) -> str:
    """The same in Markdown."""
    header, rows = _rows(result)

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"

    table = [line(header), line("---" for _ in header), *(line(row) for row in rows)]
    summary = [f"- {s.strip()}" if s.startswith("  ") else f"\n**{s}**\n" if s else "" for s in _summary(result)]
    return "\n".join([*table, *summary]) + "\n"


def _rows(result: ScanResult) -> tuple[list[str], list[list[str]]]:
    header = ["ref", "date", *(f.path for f in result.fixes), "sha256"]
    rows = []
    for ref in result.refs:
        if not ref.shipped and not ref.doubts:
            continue
        cells = []
        for f in result.fixes:
            counts = ref.counts(f.id)
            cells.append(f"{_SHOWN[ref.state(f.id)]} {counts.bounded}/{counts.total}" if counts.total else "-")
            if ref.state(f.id) is FixState.UNKNOWN:
                cells[-1] = _SHOWN[FixState.UNKNOWN]
        digests = [f.sha256[:12] for f in ref.shipped if f.problems or any(k.counts.total for k in f.kernels)]
        rows.append([ref.ref, ref.date[:10], *cells, " ".join(digests)])
    return header, rows


def _summary(result: ScanResult) -> list[str]:
    lines = []
    without = sum(not r.shipped and not r.doubts for r in result.refs)
    if without:
        lines += [f"{without} of {len(result.refs)} references hold none of the kernels.", ""]
    for f in result.fixes:
        lines.append(f"{f.id} ({f.path}): {f.title}")
        for g in goals(f):
            lines += _goal_lines(g, milestone(g, result.refs))
        lines += [_old_line(o) for o in old_kernels(f.id, result.refs)]
        lines.append("")
    lines += [f"{r.ref}: unknown: {d}" for r in result.refs for d in r.doubts]
    unread = [(r.ref, f.path, p) for r in result.refs for f in r.shipped for p in f.problems]
    lines += [f"{ref}: unknown: {path}: {problem}" for ref, path, problem in unread]
    if any(problem.startswith("syntax ") for _, _, problem in unread):
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
