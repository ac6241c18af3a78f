"""Faults that nothing but the entry can take out: it raises in the case that its kernels cannot do."""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence

from aiterfix.family.entries import REFUSALS
from aiterfix.source.columns import NotExpressible
from aiterfix.source.encoding import as_utf8
from aiterfix.source.entry_tests import EntryTest, reaching
from aiterfix.source.locate import Edit, Lines
from aiterfix.source.proof import ProofError
from aiterfix.source.rebuilt import EditedPlace, prove_changes
from aiterfix.source.refusal_edits import refuse_first
from aiterfix.source.rewrite import own_edits
from aiterfix.source.sites import SourceAnalysis


def refusing_edits(
    text: bytes, analysis: SourceAnalysis, filename: str, kernels: Collection[str], asked: EntryTest
) -> tuple[list[Edit], list[EditedPlace]]:
    """A refusal at the top of every function of a text that gets to one of some kernels and has none yet."""
    if analysis.tree is None:
        return [], []
    lines = Lines(as_utf8(text))
    found: list[Edit] = []
    places: list[EditedPlace] = []
    open_ones = {n.entry: n.function for n in reaching(analysis.tree, kernels, asked) if not n.refused and not n.told}
    for function in open_ones.values():
        test = asked.test(function) if function is not None and _bound(function, asked, analysis.tree) else None
        if function is None or test is None:
            continue  # it stays as it is, and the judgement says so
        try:
            edit, place = refuse_first(function, lines, test, f"{function.name} {REFUSALS[asked.about]}")
        except NotExpressible:
            continue
        found.append(edit)
        places.append(place)
    return own_edits(text, found, filename), places


def _bound(function: ast.FunctionDef, asked: EntryTest, tree: ast.Module) -> bool:
    """Whether every function that the test calls by name is one of the module's."""
    test = asked.test(function)
    called = {
        n.func.id for n in ast.walk(ast.parse(test or "0")) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    }
    names = {a.asname or a.name for s in tree.body if isinstance(s, ast.ImportFrom) for a in s.names}
    return called <= names


def prove_refusals(
    before: SourceAnalysis,
    after: SourceAnalysis,
    edited: Sequence[EditedPlace],
    filename: str,
    kernels: Collection[str],
    asked: EntryTest,
) -> None:
    """Every edited function refuses, and nothing else differs.

    Raises:
        ProofError: that is not so.
    """
    prove_changes(before, after, edited, filename)
    names = {place.kernel for place in edited}
    for launch in reaching(after.tree, kernels, asked) if after.tree is not None else ():
        if launch.entry in names and not (launch.refused or launch.told):
            raise ProofError(filename, f"{launch.entry} gets to {launch.kernel} all the same")
