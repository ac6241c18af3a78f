"""Which function runs: from an installation's wrapper modules to the definitions of the kernels they launch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiterfix.family.wrapper import ENTRIES
from aiterfix.installation.kernelfiles import PackageText
from aiterfix.judge.launches import Launches
from aiterfix.judge.package import Definition, Package, UnresolvedName
from aiterfix.source.bindings import How, ModuleBindings


@dataclass(frozen=True)
class Resolution:
    """What the wrappers of one installation run.

    Attributes:
        running: definitions of declared kernels that a wrapper's names lead to.
        doubts: names that lead nowhere.
        read: files whose names were looked at.
        asked: modules that were looked for, and where they are: with the contents of those files, all that this
            depends on.
    """

    running: frozenset[Definition]
    doubts: tuple[UnresolvedName, ...]
    read: frozenset[Path] = frozenset()
    asked: Mapping[str, str] = field(default_factory=dict)


def resolve(
    folder: Path,
    sources: Mapping[Path, ModuleBindings | None],
    *,
    kernels: Collection[str],
    modules: Iterable[str],
    wrappers: Iterable[str],
    contents: PackageText | None = None,
) -> Resolution:
    """Follow every kernel name of the wrappers, and every import of a declared kernel, to what it is bound to.

    Args:
        sources: the files that name a kernel and what their names are bound to; None for one that does not parse.
        modules: dotted names of modules that hold kernels in some release.
        wrappers: dotted names of modules that launch them.
        contents: everything that was read of the package; by default files are read as they are asked for.
    """
    package = Package(folder, sources, contents)
    launches = Launches(package, frozenset(kernels))
    for path in package.present(wrappers):
        launches.wrapper(path)
    for path in package.present(modules):
        launches.kernel_file(path)
    for path, bindings in sources.items():
        if bindings is None:
            continue
        if any(b.how is How.DEFINITION for e in ENTRIES for b in bindings.of(e)):
            launches.wrapper(path)
        for name in sorted(kernels):
            for b in bindings.of(name):
                if b.how is How.IMPORT:
                    launches.accept(package.imported(path, name, b), path, b.line, handed=True)
    unread = [d for d in launches.running if d.path not in sources and not package.same_file(d.path, sources)]
    for d in sorted(unread, key=lambda d: (d.path, d.line)):
        package.doubt(d.path, d.line, d.name, "not-searched", "is launched, but its file was not found by the search")
    doubts = sorted(dict.fromkeys(package.doubts), key=lambda d: (d.path, d.problem.line, d.problem.message))
    return Resolution(
        frozenset(launches.running),
        tuple(doubts),
        frozenset(package.read),
        package.modules.asked,
    )
