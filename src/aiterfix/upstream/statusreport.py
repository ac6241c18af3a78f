"""The status as JSON and as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiterfix.fixes import Fix
from aiterfix.history.record import RefRecord
from aiterfix.upstream.explain import Explanation, SubjectAnswer
from aiterfix.upstream.status import Origin, PullReport, StatusResult

_ORIGINS = {
    Origin.GITHUB: "GitHub, {}",
    Origin.CACHE: "last known: GitHub, {}",
    Origin.PACKAGE: "last known: recorded with this version of aiterfix, {}",
    Origin.NOWHERE: "not known",
}


def status_facts(
    result: StatusResult, explanations: Sequence[Explanation], fixes: Sequence[Fix], refs: Sequence[RefRecord]
) -> dict[str, Any]:
    """For ``--json``. ``refs`` are the judged tags that the explanations rest on."""
    return {
        "releases_up_to": max(refs, key=lambda r: r.when).date if refs else "",
        "pull_requests": [_pull_facts(r, fixes) for r in result.reports],
        "fixes": [
            {
                "id": e.fix,
                "summary": e.summary,
                "warnings": list(e.warnings),
                "subjects": [_subject_facts(s) for s in e.subjects],
            }
            for e in explanations
        ],
        "trouble": [
            {"code": t.code, "what": t.what, "why": t.why, "remedy": t.remedy, "exit_code": int(t.exit_code)}
            for t in result.trouble
        ],
        "notes": list(result.notes),
    }


def _pull_facts(report: PullReport, fixes: Sequence[Fix]) -> dict[str, Any]:
    pull, head = report.pull, report.head_source
    return {
        "repository": report.request.repository,
        "number": report.request.number,
        "role": report.request.role,
        "state": pull.state.value if pull else None,
        "title": pull.title if pull else "",
        "head": pull.head if pull else "",
        "merge": pull.merge if pull else "",
        "changed": pull.changed if pull else "",
        "origin": report.origin.value,
        "as_of": report.as_of,
        "carried_by": list(report.carried_by),
        "head_source": None
        if head is None
        else [
            {
                "fix": f.id,
                "state": head.state(f.id).value,
                "stores": head.counts(f.id).total,
                "bounded": head.counts(f.id).bounded,
            }
            for f in fixes
        ],
    }


def _subject_facts(subject: SubjectAnswer) -> dict[str, Any]:
    return {
        "name": subject.name,
        "state": subject.state.value,
        "stores": subject.stores,
        "bounded": subject.bounded,
        "contains": {f"{p.repository}#{p.number}": has for p, has in subject.contains},
    }


def status_text(result: StatusResult, explanations: Sequence[Explanation], refs: Sequence[RefRecord]) -> str:
    """For people. Everything from outside has been made printable before it gets here."""
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
                counts = report.head_source.counts(e.fix)
                if counts.total:
                    lines.append(f"  its head by source: {e.fix}: {counts.bounded} of {counts.total} stores bounded")
    for e in explanations:
        lines += ["", e.fix]
        lines += [f"  {line}" for line in (e.summary, *e.warnings) if line]
        lines += [f"  {s.text}" for s in e.subjects]
    newest = max(refs, key=lambda r: r.when, default=None)
    lines += ["", f"Releases by the source of every tag up to {newest.date[:10]}."] if newest is not None else []
    lines += result.notes
    return "\n".join(lines) + "\n"
