"""The status as text."""

from __future__ import annotations

from collections.abc import Sequence

from aiterfix.history.record import RefRecord
from aiterfix.report.page import Page
from aiterfix.upstream.explain import Explanation
from aiterfix.upstream.status import Origin, StatusResult

_ORIGINS = {
    Origin.GITHUB: "GitHub, {}",
    Origin.CACHE: "last known: GitHub, {}",
    Origin.PACKAGE: "last known: recorded with this version of aiterfix, {}",
    Origin.NOWHERE: "not known",
}


def status_text(result: StatusResult, explanations: Sequence[Explanation], refs: Sequence[RefRecord]) -> Page:
    """For people."""
    lines = []
    for report in result.reports:
        pull = report.pull
        state = pull.state.value if pull else "state not known"
        name = f"{report.request.repository}#{report.request.number}"
        lines.append(f"{name}: {state} ({_ORIGINS[report.origin].format(report.as_of)})")
        lines.append(f"  {report.request.role}")
        if pull is not None and pull.title:
            lines.append(f"  title: {pull.title}")
        if pull is not None and pull.head:
            merge = f", merged as {pull.merge[:12]}" if pull.merge else ""
            lines.append(f"  head {pull.head[:12]}{merge}{f', {pull.changed[:10]}' if pull.changed else ''}")
        if report.head_source is not None:
            for e in explanations:
                counts = report.head_source.counts(e.bounds)
                if counts.total:
                    lines.append(
                        f"  its head by source: {e.bounds.name}: {counts.bounded} of {counts.total} stores bounded"
                    )
    for e in explanations:
        lines += ["", e.bounds.name]
        lines += [f"  {line}" for line in (e.summary, *e.warnings) if line]
        lines += [f"  {s.text}" for s in e.subjects]
    newest = max(refs, key=lambda r: r.when, default=None)
    lines += ["", f"Releases by the source of every tag up to {newest.date[:10]}."] if newest is not None else []
    lines += result.notes
    return Page(lines)
