"""What `aiterfix check` found as Markdown, for a job's summary or a comment on a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from aiterfix.judge.whole import Whole
from aiterfix.report.advice import bites, ignored_lines, meaning, next_step, not_asked, not_judged, other_kernels
from aiterfix.report.page import Page
from aiterfix.report.steps import Steps
from aiterfix.report.text import heading, in_doubt

_MOST = 20  # places that are not understood


def check_markdown(whole: Whole, steps: Steps, *, advise: bool = True) -> Page:
    """The report of ``aiterfix check --format markdown``; arguments as of `check_text`."""
    said = meaning(whole)
    lines = [f"## aiterfix check: {whole.verdict.value}", "", *([escaped(said), ""] if said else [])]
    for judgement in whole.running:
        assert judgement.installation is not None
        lines.append(f"- {code(heading(judgement.installation))}: **{judgement.verdict.value}**")
    doubts = in_doubt(whole)
    lines += [f"- {code(line)}" for line in doubts[:_MOST]]
    lines += [f"- … and {len(doubts) - _MOST} more"] if len(doubts) > _MOST else []
    rows = [
        (f"`{a.fault.id}`", a.presence.value, "yes" if a.asked else "no", "" if a.presence.harmless else bites(a))
        for a in whole.answers()
    ]
    lines += ["", *table(("fault", "presence", "decides", "bites when"), rows)] if rows else []
    asides = [*map(code, ignored_lines(whole))]
    asides += [escaped(line) for line in (not_asked(whole), not_judged(whole), other_kernels(whole)) if line]
    lines += ["", *(f"- {line}" for line in asides)] if asides else []
    if advise:
        lines += ["", f"Next: {code(next_step(whole, steps))}"]
    return Page(lines)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table's lines. Cells hold text, and code where they begin with a backtick."""
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines += [f"| {' | '.join(c if c.startswith('`') else escaped(c) for c in row)} |" for row in rows]
    return lines


def code(text: str) -> str:
    """Text of others, such as a path, a version or a reason: literally, and mentioning nobody."""
    return f"`{text.replace('`', chr(39))}`"


def escaped(text: str) -> str:
    """Text in which nothing is taken for Markdown or HTML."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#!&~" else c for c in text)
