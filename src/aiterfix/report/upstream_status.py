"""The status as text."""

from __future__ import annotations

from collections.abc import Sequence

from aiterfix.history.record import RefRecord
from aiterfix.report.page import Page
from aiterfix.upstream.explain import Explanation
from aiterfix.upstream.sentences import FaultStory
from aiterfix.upstream.status import StatusResult


def status_text(
    result: StatusResult,
    stories: Sequence[FaultStory],
    explanations: Sequence[Explanation],
    refs: Sequence[RefRecord],
) -> Page:
    """For people."""
    lines: list[str] = []
    for told in stories:
        lines += [f"{told.fault.id}: {told.fault.title}"]
        lines += [f"  {place}" for place in told.places]
        lines += [f"  {sentence.text}" for sentence in told.pulls]
        lines.append("")
    for e in explanations:
        lines.append(e.bounds.name)
        lines += [f"  {line}" for line in (e.summary, *e.warnings) if line]
        lines += [f"  {s.text}" for s in e.subjects]
        lines.append("")
    sources = dict.fromkeys(s.source for told in stories for s in told.pulls)
    for source in sources:
        named = [s for told in stories for s in told.pulls if s.source == source]
        few = f" ({', '.join(dict.fromkeys(f'#{s.request.number}' for s in named))})" if len(sources) > 1 else ""
        lines.append(f"States{few}: {source}.")
    newest = max(refs, key=lambda r: r.when, default=None)
    lines += [f"Releases by the source of every tag up to {newest.date[:10]}."] if newest is not None else []
    lines += result.notes
    return Page(lines)
