"""Judge what is installed: an `Installation` and the known faults in, a `Judgement` out. Nothing is imported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aiterfix.family.kernels import ENTRIES, NOT_JUDGED, SIBLING_MARK
from aiterfix.family.paging import PAGING
from aiterfix.faults.diagnosis import TextDiagnosis, diagnose
from aiterfix.faults.registry import Faults
from aiterfix.history.known import diagnosis_of, resolves
from aiterfix.installation.aot import PrebuiltCodeObjects, find_prebuilt
from aiterfix.installation.kernelfiles import PackageText
from aiterfix.installation.target import Installation
from aiterfix.installation.view import View
from aiterfix.judge.compiler import compiler_beside
from aiterfix.judge.judgement import Doubt, JudgedText, Judgement, Question, everything
from aiterfix.judge.refusals import NamedLaunch, launches_in, open_kernels, with_refusals
from aiterfix.source.replaced import replaced_names
from aiterfix.source.search import may_define, needles
from aiterfix.storage.digest import sha256_hex

if TYPE_CHECKING:
    from aiterfix.judge.package import UnresolvedName
    from aiterfix.judge.resolution import Resolution
    from aiterfix.source.bindings import ModuleBindings


def judge_installation(
    installation: Installation,
    known: Faults,
    question: Question | None = None,
    diagnosed: Mapping[str, TextDiagnosis] | None = None,
    *,
    in_full: bool = True,
) -> Judgement:
    """Read and judge every kernel file of an installation.

    Args:
        question: what decides; every deciding fault in every kernel by default.
        diagnosed: diagnoses of texts for these same faults, by digest: a file that holds one is not analysed again.
        in_full: whether findings are wanted. Else a released text, or the mended text of one, is not analysed: it has
            the diagnosis that is recorded.
    """
    contents = PackageText(installation.package, installation.image_root)
    search = contents.naming(needles(known.kernels))
    doubts = [Doubt(str(s.path), s.reason) for s in search.unreadable if s.doubt]
    read: dict[Path, tuple[bytes, TextDiagnosis]] = {}
    for path in search.files:
        text = contents.read(path)
        digest = sha256_hex(text)
        diagnosis = (diagnosed or {}).get(digest) or (None if in_full else diagnosis_of(digest, known))
        if diagnosis is None and not may_define(text, known.kernels):
            continue
        read[path] = text, diagnosis or diagnose(text, known.judged)
    judged = []
    unresolved = _name_doubts(installation.package, read, known, contents)
    for path, (text, diagnosis) in _with_doubts(read, unresolved, contents).items():
        relative = path.relative_to(installation.root).as_posix()
        judged.append(JudgedText(str(path), relative, text, diagnosis, diagnosis.sha256, path))
    texts, launchers = settled(judged, known)
    prebuilt = _prebuilt(installation, known, contents.view)
    doubts += [Doubt(str(s.path), s.reason) for s in contents.view.refused if s.doubt]
    doubts += _replacing(contents.contents)
    return Judgement(
        installation,
        known,
        question or everything(known),
        texts,
        tuple(dict.fromkeys(doubts)),
        prebuilt,
        siblings=_siblings(installation.root, contents.contents),
        launch=compiler_beside(installation, contents.view),
        launchers=launchers,
    )


def settled(
    judged: Sequence[JudgedText],
    known: Faults,
    launches_of: Callable[[str, bytes], Iterable[NamedLaunch]] = launches_in,
) -> tuple[tuple[JudgedText, ...], tuple[JudgedText, ...]]:
    """Texts of kernels, with what their launchers refuse; and the texts without kernels that launch some.

    Args:
        judged: every text of a package that names a kernel.
        launches_of: gives the launches of a text, by what people call it and its bytes.
    """
    launchers = tuple(t for t in judged if not t.diagnosis.units)
    texts = [t for t in judged if t.diagnosis.units or t.diagnosis.problems]
    opened = any(open_kernels(t.diagnosis, known) for t in texts)
    # A text of kernels that was read may launch some itself; none that is recorded does.
    asked = (t for t in judged if opened or not t.diagnosis.units or t.diagnosis.analysis is not None)
    launches = [n for t in asked for n in launches_of(t.relative or t.where, t.text)]
    return tuple(replace(t, diagnosis=with_refusals(t.text, t.diagnosis, launches, known)) for t in texts), launchers


def _name_doubts(
    package: Path, read: Mapping[Path, tuple[bytes, TextDiagnosis]], known: Faults, contents: PackageText
) -> tuple[UnresolvedName, ...]:
    """Names that wrappers launch kernels by and that lead nowhere. A package that is the same as a recorded one, in
    every file and folder that was looked at there, has none."""
    sources = {path.relative_to(package).as_posix(): d.sha256 for path, (_, d) in read.items()}
    if resolves(package, sources, known, contents):
        return ()
    return resolution_of(package, read, known, contents).doubts


def resolution_of(
    package: Path,
    read: Mapping[Path, tuple[bytes, TextDiagnosis]],
    known: Faults,
    contents: PackageText | None = None,
) -> Resolution:
    """Which functions the wrappers of a package run.

    Args:
        read: the files that name a kernel, with their texts and diagnoses.
        contents: everything that was read of it; by default it is read on the way.
    """
    from aiterfix.judge.resolution import resolve

    return resolve(
        package,
        {path: _bindings(text, diagnosis) for path, (text, diagnosis) in read.items()},
        kernels=[k.name for k in known.kernels],
        modules=dict.fromkeys(m for g in known.groups for m in g.modules),
        wrappers=dict.fromkeys(w for g in known.groups for w in g.wrappers),
        contents=contents,
    )


def _bindings(text: bytes, diagnosis: TextDiagnosis) -> ModuleBindings | None:
    """What a file's names are bound to; None where it does not parse."""
    if diagnosis.analysis is not None:
        return diagnosis.analysis.bindings
    import ast

    from aiterfix.source.bindings import ModuleBindings

    try:
        return ModuleBindings(ast.parse(text), text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _with_doubts(
    read: Mapping[Path, tuple[bytes, TextDiagnosis]], doubts: Iterable[UnresolvedName], contents: PackageText
) -> dict[Path, tuple[bytes, TextDiagnosis]]:
    """Files and their diagnoses, in order of their paths, each doubt among the problems of the file it stands in."""
    found = dict(read)
    for d in doubts:
        text, diagnosis = found.get(d.path) or _unread(d.path, contents)
        same = [p for p in diagnosis.problems if p.line == d.problem.line]
        if not any(d.problem.kernel in ("", p.kernel) or p.code == d.problem.code for p in same):
            found[d.path] = text, replace(diagnosis, problems=(*diagnosis.problems, d.problem))
    return dict(sorted(found.items()))


def _unread(path: Path, contents: PackageText) -> tuple[bytes, TextDiagnosis]:
    """A file that names no kernel."""
    try:
        text = contents.read(path) if path.suffix == ".py" else b""
    except OSError:
        text = b""
    return text, TextDiagnosis(sha256_hex(text), (), ())


def _prebuilt(installation: Installation, known: Faults, view: View) -> tuple[tuple[str, PrebuiltCodeObjects], ...]:
    package = installation.package
    found = [
        (group.name, find_prebuilt(package, group.prebuilt.directory, group.prebuilt.enabled_by, view=view))
        for group in known.groups
        if group.prebuilt is not None
    ]
    return tuple((name, p) for name, p in found if p.present or p.enabled)


def _replacing(contents: Mapping[str, bytes]) -> Iterator[Doubt]:
    """Where files of a package replace an entry of the wrappers, or a kernel."""
    names = (*ENTRIES, *PAGING)
    for path, text in contents.items():
        if SIBLING_MARK in text:
            for line, name in replaced_names(text, names):
                yield Doubt(path, f"it replaces {name}, and what then runs is not understood", line)


def _siblings(root: Path, contents: Mapping[str, bytes]) -> tuple[tuple[str, str], ...]:
    """Kernels beside the family that are not judged, by the names that they are known by."""
    found = []
    for path, text in contents.items():
        if SIBLING_MARK not in text:
            continue
        for mark, what in NOT_JUDGED:
            if mark in text:
                found.append((Path(path).relative_to(root).as_posix(), what))
                break
    return tuple(sorted(found))
