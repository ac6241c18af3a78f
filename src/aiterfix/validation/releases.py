"""Make the package's evidence: run the scenarios over the kernel files of releases, as they are and with faults mended.

    python -m aiterfix.validation.releases --out evidence --repo CLONE
    python -m aiterfix.validation.releases --out evidence TREE...

Of a clone every tag and the newest commit is taken, without checking any of them out (extra ``upstream``). A tree is a
folder that holds ``aiter/``, as ``pip download amd-aiter --no-deps`` gives. Mended is what `apply` mends, all together;
``--alone`` and ``--pairs`` add more. Of texts that several releases share, and of sets of mends that come to one text,
each is run once. What is recorded stays, and is not run again: a run that was ended is taken up where it was. Some
wrappers are written for Python 3.12 or later: another ``--python`` may compile.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from aiterfix.errors import AiterfixError, ExitCode, NotUnderstoodError
from aiterfix.family.kernels import GROUPS, WRAPPERS
from aiterfix.family.signature import read_wrapper
from aiterfix.faults.registry import Faults, load_faults
from aiterfix.validation.calls import TOLD
from aiterfix.validation.choice import kernel_file, wrapper_files
from aiterfix.validation.emulator import Emulator
from aiterfix.validation.evidence import CALLED, Evidence, drop, evidence_of, keep
from aiterfix.validation.pipeline import evidence_from, validate
from aiterfix.validation.report import Report, SourceFacts
from aiterfix.validation.scenarios import Suite
from aiterfix.validation.selection import Selection
from aiterfix.validation.source import AiterSource
from aiterfix.validation.spread import default_jobs


def mend_sets(known: Faults, *, alone: bool = False, pairs: bool = False) -> tuple[frozenset[str], ...]:
    """No mend, each alone and in pairs where that is wanted, and all together."""
    single = sorted(known.deciding)
    sizes = (0, *((1,) if alone else ()), *((2,) if pairs else ()))
    found = [frozenset(chosen) for size in sizes for chosen in combinations(single, size)]
    return tuple(dict.fromkeys((*found, frozenset(single))))


Release = Mapping[str, bytes]
"""The kernel files and wrappers of one release, by path."""
_PATHS = tuple(
    dict.fromkeys(
        f"{module.replace('.', '/')}.py" for module in (*(m for group in GROUPS for m in group.modules), *WRAPPERS)
    )
)
_CALLS = "*/entry-[!c]*"
"""Names the calls of a suite: all but those of small chunks, see `choose_scenarios`."""
_WRAPPER_PATHS = tuple(f"{module.replace('.', '/')}.py" for module in WRAPPERS)


def tree_release(tree: Path) -> Release:
    """What a folder that holds ``aiter/`` has."""
    return {path: (tree / path).read_bytes() for path in _PATHS if (tree / path).is_file()}


def clone_releases(repository: Path) -> Iterator[Release]:
    """What every tag of a clone has, and its newest commit; each distinct set of files once.

    Raises:
        EnvironmentProblem: it cannot be read, or the extra ``upstream`` is not installed.
    """
    from aiterfix.upstream.gitrepo import Clone

    clone = Clone(repository)
    commits = dict.fromkeys(commit for commit in (*(t.commit for t in clone.tags()), clone.resolve("HEAD")) if commit)
    seen: set[tuple[tuple[str, str], ...]] = set()
    for commit in commits:
        listed = (line.split() for line in clone.text("ls-tree", commit, "--", *_PATHS).splitlines())
        files = tuple((path, oid) for _, kind, oid, path in listed if kind == "blob")
        if files and files not in seen:
            seen.add(files)
            yield {path: clone.output("cat-file", "blob", oid) for path, oid in files}


def release_source(release: Release, known: Faults, wanted: frozenset[str]) -> AiterSource:
    """The kernel files of a release with these faults mended, and its wrapper.

    Raises:
        NotUnderstoodError: a text is not understood, or an edit did not come out as intended.
    """
    launchers = tuple((path, text) for path, text in release.items() if path in _WRAPPER_PATHS)
    wrappers = wrapper_files(launchers, known, wanted)
    files = tuple(
        kernel_file((text, path, path, None), known, wanted, wrappers)
        for path, text in release.items()
        if path not in _WRAPPER_PATHS
    )
    facts = next((found for path, text in launchers if (found := read_wrapper(text, path))), None)
    return AiterSource(tuple(file for file in files if file.kernels), facts, wrappers)


def runs(
    releases: Iterable[Release], known: Faults, sets: Collection[frozenset[str]]
) -> Iterator[AiterSource | NotUnderstoodError]:
    """What is to be run, so that each text is; or why a release is not, as one that this Python is too old for."""
    seen: set[tuple[bytes, frozenset[str]]] = set()
    ran: set[bytes] = set()
    for release in releases:
        for wanted in sets:
            asked = {(text, wanted) for text in release.values()}
            if asked <= seen:
                continue
            try:
                source = release_source(release, known, wanted)
            except NotUnderstoodError as error:
                yield error
                break
            seen |= asked
            texts = {file.text for file in source.files} | {wrapper.text for wrapper in source.called}
            if not texts <= ran:
                ran |= texts
                yield source


def left_to_run(
    source: AiterSource, folder: Path, report: Report, suite: Suite, *, calls: bool = False
) -> tuple[Selection, ...]:
    """What a store has not of a source's texts: a whole suite, that of some kernels, the calls of its wrapper.

    Args:
        folder: of the store.
        report: of what would run them.
        calls: whether nothing but calls is wanted.
    """

    def held(text: SourceFacts) -> bool:
        ran = (TOLD, None, suite) if text.wrapper else (report.triton, report.fp_fusion, suite)
        return any((e.triton, e.fp_fusion, e.suite) == ran for e in evidence_of(text.sha256, [folder]))

    missing = [] if calls else [file for file in source.files if not held(file.facts)]
    if missing and len(missing) == len(source.files):
        return (Selection(suite=suite),)
    kernels = tuple(k for file in missing for k in file.kernels)
    found = (Selection(kernels=kernels, suite=suite),) if kernels else ()
    return found if all(held(file.facts) for file in source.called) else (*found, _calls(suite))


def _calls(suite: Suite) -> Selection:
    return Selection(suite=suite, pattern=_CALLS)


def _recorded(source: AiterSource, emulator: Emulator, selection: Selection, suite: Suite) -> Iterator[Evidence]:
    """What running a selection shows of the texts that it runs whole."""
    report = replace(validate(source, emulator, selection, record=False), suite=suite)
    for record in evidence_from(report):
        called = record.device == CALLED
        if selection.whole or called is (selection.pattern is not None):
            yield record


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Record what the scenarios show of the kernel files of releases.")
    parser.add_argument("trees", nargs="*", type=Path, metavar="TREE", help="a folder that holds aiter/")
    parser.add_argument("--repo", type=Path, metavar="CLONE", help="a clone of ROCm/aiter: every tag, and HEAD")
    parser.add_argument("--out", type=Path, required=True, help="the store to add to: evidence/ of a checkout")
    parser.add_argument("--python", metavar="EXE", help="the interpreter whose Triton compiles (default: this one)")
    parser.add_argument("--full", action="store_const", const="full", default="quick", dest="suite")
    parser.add_argument("--alone", action="store_true", help="each mend alone too")
    parser.add_argument("--pairs", action="store_true", help="mends in pairs too")
    parser.add_argument("--calls", action="store_true", help="the calls of wrappers alone, which take seconds each")
    parser.add_argument("--again", action="store_true", help="run what the store has already")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes at most (default: as many as there are cores)")
    parser.add_argument(
        "--only",
        action="store_true",
        help="drop records of other texts, and of the same runs by another compiler, if all ran",
    )
    options = parser.parse_args(arguments)
    known = load_faults()
    emulator = Emulator(python=options.python, jobs=options.jobs or default_jobs())
    releases = [tree_release(tree) for tree in options.trees]
    if options.repo is not None:
        releases += clone_releases(options.repo)
    sets = mend_sets(known, alone=options.alone, pairs=options.pairs)
    failed = 0
    there: set[str] = set()
    made: list[Evidence] = []
    for number, source in enumerate(runs(releases, known, sets), 1):
        if isinstance(source, NotUnderstoodError):
            _say(f"[{number}] a release is left out: {source.what}: {source.why}")
            failed += 1
            continue
        clock = time.monotonic()
        files = source.facts
        there |= {file.sha256 for file in files}
        mends = sorted({mend for file in files for mend in file.mends or ()})
        digests = ", ".join(f"{file.original_sha256[:12]} {file.path}" for file in files)
        name = f"[{number}, at most {len(releases) * len(sets)}] {digests}, with {', '.join(mends) or 'nothing'} mended"
        with emulator.prepare(source) as prepared:
            ready = prepared.report()
        left: tuple[Selection, ...] = (_calls(options.suite) if options.calls else Selection(suite=options.suite),)
        if not options.again:
            left = left_to_run(source, options.out, ready, options.suite, calls=options.calls)
        if not left:
            _say(f"{name}: recorded already")
            continue
        try:
            records = [r for selection in left for r in _recorded(source, emulator, selection, options.suite)]
        except AiterfixError as error:
            _say(f"{name}: {error.what}")
            failed += 1
            continue
        for record in records:
            keep(record, options.out)
        made += records
        failed += sum(record.failed > 0 for record in records)
        unexplained = sum(r.failed for r in records)
        seconds = time.monotonic() - clock
        _say(f"{name}: {len(records)} records, {unexplained} unexplained failures, {seconds:.0f} s")
    if options.only and not failed:
        _say(f"{drop(options.out, there, made)} records of other texts and compilers dropped")
    return ExitCode.ACTION if failed else ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
