"""A store past the end of its row: its mask puts no upper bound on its column."""

from __future__ import annotations

from aiterfix.faults.base import Finding, Presence
from aiterfix.source.sites import KernelAnalysis, StoreSite


def findings(kernel: KernelAnalysis, text: bytes) -> tuple[Finding, ...]:
    """One finding a store, bounded or not."""
    return tuple(_finding(site) for site in kernel.sites)


def _finding(site: StoreSite) -> Finding:
    bounded = site.guard.bounded
    details = [("guard", site.guard.value), ("column", site.column), ("call", site.call), ("bound", site.bound)]
    if site.mask is not None:
        details.append(("mask", site.mask))
    if site.findings:
        details.append(("note", "; ".join(f.message for f in site.findings)))
    return Finding(
        "bounded-store" if bounded else "unbounded-store",
        f"column `{site.column}` is {'kept' if bounded else 'not kept'} below {site.bound}",
        site.line,
        site.end_line,
        Presence.ABSENT if bounded else Presence.PRESENT,
        "" if bounded else site.obstacle,
        tuple(details),
    )
