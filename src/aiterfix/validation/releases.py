"""Make the package's evidence: run the scenarios over the kernel files of releases, as they are and with faults mended.

    python -m aiterfix.validation.releases --out evidence TREE...

A tree is a folder that holds ``aiter/``. Mended is what `apply` mends, all together; ``--alone`` and ``--pairs`` add
more. Of texts that several trees share, and of sets of mends that come to one text, each is run once.
``git show TAG:aiter/…`` or ``pip download amd-aiter --no-deps`` gives trees.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterator, Sequence
from itertools import combinations
from pathlib import Path

from aiterfix.errors import AiterfixError, ExitCode
from aiterfix.family.kernels import GROUPS, WRAPPERS
from aiterfix.family.signature import read_wrapper
from aiterfix.faults.registry import Faults, load_faults
from aiterfix.validation.choice import kernel_file
from aiterfix.validation.emulator import Emulator
from aiterfix.validation.evidence import evidence_of, keep
from aiterfix.validation.kernel_file import KernelFile
from aiterfix.validation.pipeline import evidence_from, validate
from aiterfix.validation.scenarios import Suite
from aiterfix.validation.selection import Selection
from aiterfix.validation.source import AiterSource


def mend_sets(known: Faults, *, alone: bool = False, pairs: bool = False) -> tuple[frozenset[str], ...]:
    """No mend, each alone and in pairs where that is wanted, and all together."""
    single = sorted(known.deciding)
    sizes = (0, *((1,) if alone else ()), *((2,) if pairs else ()))
    found = [frozenset(chosen) for size in sizes for chosen in combinations(single, size)]
    return tuple(dict.fromkeys((*found, frozenset(single))))


def tree_source(tree: Path, known: Faults, wanted: frozenset[str]) -> AiterSource:
    """The kernel files of a tree with these faults mended, and its wrapper.

    Raises:
        NotUnderstoodError: a text is not understood, or an edit did not come out as intended.
    """
    modules = dict.fromkeys(module for group in GROUPS for module in group.modules)
    wrappers = [path for path in (_path(tree, module) for module in WRAPPERS) if path.is_file()]
    launchers = tuple((path.relative_to(tree).as_posix(), path.read_bytes()) for path in wrappers)
    files = []
    for path in (_path(tree, module) for module in modules):
        if path.is_file():
            text, relative = path.read_bytes(), path.relative_to(tree).as_posix()
            files.append(kernel_file((text, relative, str(path), None), known, wanted, launchers))
    facts = next((found for name, text in launchers if (found := read_wrapper(text, name))), None)
    return AiterSource(tuple(file for file in files if file.kernels), facts)


def _path(tree: Path, module: str) -> Path:
    return tree.joinpath(*module.split(".")).with_suffix(".py")


def runs(trees: Sequence[Path], known: Faults, sets: Collection[frozenset[str]]) -> Iterator[AiterSource]:
    """What is to be run: each set of texts once."""
    seen: set[tuple[bytes, ...]] = set()
    for tree in trees:
        for wanted in sets:
            source = tree_source(tree, known, wanted)
            texts = tuple(file.text for file in source.files)
            if texts and texts not in seen:
                seen.add(texts)
                yield source


def shown_already(files: Sequence[KernelFile], folder: Path, triton: str, suite: Suite) -> bool:
    """Whether a store holds this run of every text."""
    return all(
        any((e.triton, e.suite) == (triton, suite) for e in evidence_of(file.facts.sha256, [folder])) for file in files
    )


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Record what the scenarios show of the kernel files of releases.")
    parser.add_argument("trees", nargs="+", type=Path, metavar="TREE", help="a folder that holds aiter/")
    parser.add_argument("--out", type=Path, required=True, help="the store to add to: evidence/ of a checkout")
    parser.add_argument("--python", metavar="EXE", help="the interpreter whose Triton compiles (default: this one)")
    parser.add_argument("--full", action="store_const", const="full", default="quick", dest="suite")
    parser.add_argument("--alone", action="store_true", help="each mend alone too")
    parser.add_argument("--pairs", action="store_true", help="mends in pairs too")
    parser.add_argument("--again", action="store_true", help="run what the store has already")
    options = parser.parse_args(arguments)
    known, emulator = load_faults(), Emulator(python=options.python)
    failed = 0
    for source in runs(options.trees, known, mend_sets(known, alone=options.alone, pairs=options.pairs)):
        mends = sorted({mend for file in source.files for mend in file.mends or ()})
        name = f"{source.files[0].shown} with {', '.join(mends) or 'nothing'} mended"
        with emulator.prepare(source) as prepared:
            triton = prepared.report().triton
        if not options.again and shown_already(source.files, options.out, triton, options.suite):
            _say(f"{name}: recorded already")
            continue
        try:
            report = validate(source, emulator, Selection(suite=options.suite), record=False)
        except AiterfixError as error:
            _say(f"{name}: {error.what}")
            failed += 1
            continue
        records = tuple(evidence_from(report))
        for record in records:
            keep(record, options.out)
        failed += sum(record.failed > 0 for record in records)
        _say(f"{name}: {len(records)} records, {sum(r.failed for r in records)} unexplained failures")
    return ExitCode.ACTION if failed else ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
