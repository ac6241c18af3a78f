"""Reports for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aiterfix.assessment import ALL, Assessment, KernelFile
from aiterfix.cli.output import colour
from aiterfix.consumers import Found
from aiterfix.installation import Discovery, Installation
from aiterfix.places import patch_of
from aiterfix.provenance import Provenance, provenance
from aiterfix.report.advice import meaning, next_step, patch_line
from aiterfix.verdict import Verdict

_COLOURS = {
    Verdict.GUARDED: "32",
    Verdict.NOT_AFFECTED: "32",
    Verdict.VULNERABLE: "31;1",
    Verdict.UNKNOWN: "33;1",
    Verdict.NOT_INSTALLED: "33",
}


def shown(verdict: Verdict) -> str:
    """A verdict, coloured on a terminal."""
    return colour(verdict.value, _COLOURS[verdict])


def heading(installation: Installation) -> str:
    """One line on what and where an installation is."""
    name = installation.distribution or "aiter"
    version = installation.version or "(version not known)"
    details = [installation.kind.value]
    if installation.commit:
        details.append(f"commit {installation.commit[:12]}")
    if installation.shadowed:
        details.append("shadowed: import takes another one")
    return f"{name} {version}, {', '.join(details)}: {installation.package}"


def check_text(
    discovery: Discovery,
    assessments: Sequence[Assessment],
    verdict: Verdict,
    kernel: str,
    arguments: str,
    consumers: Sequence[Found] = (),
    *,
    advise: bool = True,
) -> str:
    """The report of `aiterfix check`.

    Args:
        discovery: what was searched and passed over.
        assessments: of everything found.
        verdict: on the whole.
        kernel: which path was asked about.
        arguments: how the installation was named, to repeat in advice.
        consumers: those found, where they are not judged.
        advise: whether to end with what to do next; not where a verdict on a pair follows, which has its own.
    """
    lines: list[str] = []
    for assessment in assessments:
        lines += [*_installation(assessment, arguments), ""]
    if not assessments:
        lines.append("no aiter found" + ("" if not discovery.doubts else ", but see below"))
        lines += [f"  searched {p}" for p in discovery.searched]
    for skipped in discovery.skipped:
        lines.append(f"{'could not be read' if skipped.doubt else 'passed over'}: {skipped.path}: {skipped.reason}")
    if discovery.skipped:
        lines.append("")
    lines += [
        f"{f.name} {f.version or '(version not known)'}: {f.package} (judge the pair: --for {f.name})"
        for f in consumers
    ]
    lines += [""] if consumers else []
    lines.append(f"verdict: {shown(verdict)}" + _scope(assessments, kernel))
    if advise:
        lines.append(f"next:    {next_step(discovery, assessments, verdict, arguments)}")
    return "\n".join(lines) + "\n"


def _scope(assessments: Sequence[Assessment], kernel: str) -> str:
    deciding = [a for a in assessments if not a.installation.shadowed]
    if len(deciding) != 1:
        return ""
    assessment = deciding[0]
    others = [f for f in assessment.fixes if f.id not in assessment.asked]
    asked = "" if kernel == ALL or not others else f" (kernels asked about: {_paths(assessment)})"
    return f": {meaning(assessment)}{asked}"


def _paths(assessment: Assessment) -> str:
    return ", ".join(dict.fromkeys(f.path for f in assessment.fixes if f.id in assessment.asked))


def _installation(assessment: Assessment, arguments: str) -> list[str]:
    lines = [heading(assessment.installation)]
    patched = patch_line(patch_of(assessment.installation), arguments)
    if patched:
        lines.append(f"  {patched}")
    for fix, prebuilt in assessment.prebuilt:
        use = "IN USE instead of the source" if prebuilt.enabled else "not in use"
        lines.append(
            f"  {prebuilt.code_objects} prebuilt code objects for {fix.id} in {prebuilt.directory}, {use} "
            f"({prebuilt.variable}{'=' + prebuilt.value if prebuilt.value is not None else ' is unset'})"
        )
    for doubt in assessment.doubts:
        lines.append(f"  could not be read: {doubt.path}: {doubt.reason}")
    origins = provenance(assessment)
    for file in assessment.files:
        lines += _file(assessment, file, origins.get(file))
    return lines


def _file(assessment: Assessment, file: KernelFile, origin: Provenance | None) -> list[str]:
    verdict = file.analysis.verdict
    path_of = {f.id: f.path for f in assessment.fixes}
    held = ", ".join(dict.fromkeys(path_of[k.fix] for k in file.analysis.kernels))
    lines = [f"  {file.relative}  [{held}]  sha256 {file.analysis.sha256[:12]}  {shown(verdict)}"]
    if origin is not None and origin.note:
        lines.append(f"    {origin.note}")
    elif origin is not None and assessment.installation.version is None:
        lines.append(f"    the same file as in {_span(origin.releases)}")
    for problem in file.analysis.all_problems:
        name = f"{problem.kernel}: " if problem.kernel else ""
        lines.append(f"    line {problem.line}: {name}{problem.message}")
    rows = [("line", "guard", "kernel", "column")]
    for site in file.analysis.sites:
        rows.append((str(site.line), site.guard.value, site.kernel, site.column))
    if len(rows) > 1:
        lines += [f"    {row}" for row in table(rows)]
    for site in file.analysis.sites:
        lines += [f"    line {site.line}: {f.message}" for f in site.findings]
        if site.obstacle and not site.guard.bounded:
            lines.append(f"    line {site.line}: cannot be edited: {site.obstacle}")
    return lines


def _span(releases: Sequence[str]) -> str:
    """Releases in a few words. Tags below a folder (archive/…) are named only where there is nothing else."""
    named = [r for r in releases if "/" not in r] or list(releases)
    return named[0] if len(named) == 1 else f"{named[0]} to {named[-1]}"


def table(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows of cells, each column as wide as its widest cell."""
    cells = [list(r) for r in rows]
    widths = [max(len(r[i]) for r in cells) for i in range(len(cells[0]))]
    return ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in cells]
