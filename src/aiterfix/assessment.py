"""Judge what is installed: an `Installation` and the fixes in, verdicts with their evidence out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from aiterfix.errors import ExitCode, UsageError
from aiterfix.fixes import Fix
from aiterfix.installation import (
    Discovery,
    Installation,
    PrebuiltCodeObjects,
    Skipped,
    find_kernel_files,
    find_prebuilt,
)
from aiterfix.source.sites import SourceAnalysis, analyse, may_define, needles
from aiterfix.verdict import Verdict, worst

AUTO = "auto"
ALL = "all"


@dataclass(frozen=True)
class KernelFile:
    """One file of a package that holds declared kernels, or mentions their output.

    Attributes:
        path: where it is.
        relative: its path from the folder that holds the package, with forward slashes.
        text: its bytes, as they were analysed.
        analysis: judgement on the text, for every fix.
    """

    path: Path
    relative: str
    text: bytes = field(repr=False)
    analysis: SourceAnalysis


@dataclass(frozen=True)
class Assessment:
    """Everything that `check` knows of one installation.

    Attributes:
        installation: where and what it is.
        fixes: the fixes asked about.
        files: kernel files, by path.
        prebuilt: prebuilt (AOT) code objects that stand in for the source of a fix, present or switched on.
        doubts: what could not be read, so that the verdict is unknown.
        asked: ids of the fixes that decide the verdict.
    """

    installation: Installation
    fixes: tuple[Fix, ...]
    files: tuple[KernelFile, ...]
    prebuilt: tuple[tuple[Fix, PrebuiltCodeObjects], ...]
    doubts: tuple[Skipped, ...]
    asked: frozenset[str]

    def file_verdict(self, file: KernelFile) -> Verdict:
        """Judgement on one file, for the kernels asked about."""
        return file.analysis.select(self.asked).verdict

    @property
    def source_verdict(self) -> Verdict:
        """Judgement by source alone, prebuilt code objects aside."""
        if self.doubts:
            return Verdict.UNKNOWN
        return worst(map(self.file_verdict, self.files), empty=Verdict.NOT_AFFECTED)

    @property
    def prebuilt_in_use(self) -> tuple[PrebuiltCodeObjects, ...]:
        """Prebuilt code objects that run instead of a source asked about."""
        return tuple(p for fix, p in self.prebuilt if p.enabled and fix.id in self.asked)

    @property
    def verdict(self) -> Verdict:
        """Judgement on the installation: unknown where something runs that source says nothing about."""
        return Verdict.UNKNOWN if self.prebuilt_in_use else self.source_verdict


def assess(
    installation: Installation,
    fixes: Sequence[Fix],
    kernel: str = ALL,
    known: Mapping[str, SourceAnalysis] | None = None,
) -> Assessment:
    """Read and judge every kernel file of an installation.

    Args:
        installation: as found by `aiterfix.installation`.
        fixes: every fix to look for.
        kernel: which code path decides the verdict: "auto", "all", or a fix's ``path``.
        known: analyses of texts for these same fixes, by digest: a file that holds one is not analysed again.

    Raises:
        UsageError: no fix has this path.
    """
    search = find_kernel_files(installation.package, needles(fixes), image_root=installation.image_root)
    doubts = [s for s in search.unreadable if s.doubt]
    files = []
    for path in search.files:
        try:
            text = path.read_bytes()
        except OSError as error:
            doubts.append(Skipped(path, f"cannot be read: {error.strerror}", True))
            continue
        if not may_define(text, fixes):
            continue
        analysis = known.get(sha256(text).hexdigest()) if known else None
        analysis = analysis or analyse(text, fixes)
        if analysis.kernels or analysis.problems:
            relative = path.relative_to(installation.root).as_posix()
            files.append(KernelFile(path, relative, text, analysis))
    prebuilt = []
    for fix in fixes:
        if fix.aot is not None:
            found = find_prebuilt(installation.package, fix.aot.directory, fix.aot.enabled_by)
            if found.present or found.enabled:
                prebuilt.append((fix, found))
    asked = _asked(kernel, fixes, files)
    return Assessment(installation, tuple(fixes), tuple(files), tuple(prebuilt), tuple(doubts), asked)


def paths(fixes: Iterable[Fix]) -> tuple[str, ...]:
    """Every value that asks for one code path."""
    return tuple(dict.fromkeys(f.path for f in fixes))


def _asked(kernel: str, fixes: Sequence[Fix], files: Iterable[KernelFile]) -> frozenset[str]:
    if kernel == ALL:
        return frozenset(f.id for f in fixes)
    if kernel == AUTO:
        by_id = {f.id: f for f in fixes}
        installed = {by_id[k.fix].path for f in files for k in f.analysis.kernels if k.sites or k.problems}
        return frozenset(f.id for f in fixes if f.superseded_by not in installed)
    if kernel not in paths(fixes):
        raise UsageError(
            f"no kernels are known by the name {kernel!r}",
            remedy=f"Use one of: {', '.join((AUTO, ALL, *paths(fixes)))}.",
        )
    return frozenset(f.id for f in fixes if f.path == kernel)


def overall(discovery: Discovery, assessments: Sequence[Assessment]) -> Verdict:
    """One verdict for everything a search found.

    Installations that another one shadows do not run, so they do not decide. A search that could not
    look everywhere leaves a doubt, whatever else it found.
    """
    deciding = [a.verdict for a in assessments if not a.installation.shadowed]
    if discovery.doubts or (assessments and not deciding):
        # Where everything is shadowed, import takes something that is not AMD's aiter, or not whole.
        return Verdict.UNKNOWN
    return worst(deciding, empty=Verdict.NOT_INSTALLED)


_EXIT = {
    Verdict.GUARDED: ExitCode.OK,
    Verdict.NOT_AFFECTED: ExitCode.OK,
    Verdict.VULNERABLE: ExitCode.ACTION,
    Verdict.UNKNOWN: ExitCode.NOT_UNDERSTOOD,
    Verdict.NOT_INSTALLED: ExitCode.ENVIRONMENT,
}


def exit_code(verdict: Verdict) -> ExitCode:
    """The exit status that a verdict makes."""
    return _EXIT[verdict]
