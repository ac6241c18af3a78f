"""Faults that nothing but the entry can take out: it raises in the case that its kernels cannot do."""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence
from dataclasses import dataclass

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
from aiterfix.source.tree import descend


@dataclass(frozen=True)
class Refusals:
    """What every function of a text that gets to one of some kernels should refuse.

    Attributes:
        kernels: their names.
        asked: the case.
    """

    kernels: Collection[str]
    asked: EntryTest

    def edits(self, text: bytes, analysis: SourceAnalysis, filename: str) -> tuple[list[Edit], list[EditedPlace]]:
        """A refusal at the top of each that has none yet."""
        if analysis.tree is None:
            return [], []
        lines = Lines(as_utf8(text))
        found: list[Edit] = []
        places: list[EditedPlace] = []
        reaching_it = reaching(analysis.tree, self.kernels, self.asked)
        for function in {n.entry: n.function for n in reaching_it if not n.refused and not n.told}.values():
            test = self._test(function, analysis.tree)
            if function is None or test is None:
                continue  # it stays as it is, and the judgement says so
            try:
                edit, place = refuse_first(function, lines, test, f"{function.name} {REFUSALS[self.asked.about]}")
            except NotExpressible:
                continue
            found.append(edit)
            places.append(place)
        return own_edits(text, found, filename), places

    def _test(self, function: ast.FunctionDef | None, tree: ast.Module) -> str | None:
        """What it would test, if every function that this calls by name is one of the module's."""
        test = self.asked.test(function) if function is not None else None
        calls = (n.func for n in descend(ast.parse(test or "0")) if isinstance(n, ast.Call))
        names = {a.asname or a.name for s in tree.body if isinstance(s, ast.ImportFrom) for a in s.names}
        return test if {f.id for f in calls if isinstance(f, ast.Name)} <= names else None

    def prove(
        self, before: SourceAnalysis, after: SourceAnalysis, edited: Sequence[EditedPlace], filename: str
    ) -> None:
        """Every edited function refuses, and nothing else differs.

        Raises:
            ProofError: that is not so.
        """
        prove_changes(before, after, edited, filename)
        names = {place.kernel for place in edited}
        for launch in reaching(after.tree, self.kernels, self.asked) if after.tree is not None else ():
            if launch.entry in names and not (launch.refused or launch.told):
                raise ProofError(filename, f"{launch.entry} gets to {launch.kernel} all the same")
