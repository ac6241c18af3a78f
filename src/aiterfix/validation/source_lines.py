"""From the line that a compiler attributes an instruction to, to the line where its statement begins.

Triton attributes a call that spans lines to the line of one of its arguments. Reports name the statement's first
line, which is the one that reading the source finds too.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from pathlib import PurePath

from aiterfix.family.signature import parse
from aiterfix.validation.execution import Execution


@dataclass(frozen=True)
class SourceLines:
    """First lines of the simple statements of one file.

    Attributes:
        filename: last part of the file's name, as line tables show it.
        first: line -> first line of the statement that it belongs to.
    """

    filename: str
    first: dict[int, int]

    @classmethod
    def of(cls, source: bytes, filename: str) -> SourceLines:
        """Read a kernel file.

        Raises:
            NotUnderstoodError: it is not Python.
        """
        first: dict[int, int] = {}
        for node in ast.walk(parse(source, filename)):
            if isinstance(node, ast.stmt) and not hasattr(node, "body"):
                first.update(dict.fromkeys(range(node.lineno, (node.end_lineno or node.lineno) + 1), node.lineno))
        return cls(PurePath(filename).name, first)

    def located(self, execution: Execution) -> Execution:
        """The same execution, with the places of accesses outside allocations as :meth:`locate` gives them."""
        outside = tuple(replace(access, source=self.locate(access.source)) for access in execution.outside)
        return replace(execution, outside=outside)

    def locate(self, place: str) -> str:
        """``file:line`` with the statement's first line; anything else as it is."""
        name, separator, line = place.rpartition(":")
        if not separator or PurePath(name).name != self.filename or not line.isdigit():
            return place
        return f"{name}:{self.first.get(int(line), int(line))}"
