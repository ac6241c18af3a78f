"""Which sequence the row of a store belongs to, and at which position in it."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from aiterfix.source.loads import KernelView, without
from aiterfix.source.roles import PagingRoles
from aiterfix.source.sites import KernelAnalysis
from aiterfix.source.values import Value, integer
from aiterfix.source.walk import StoreCall


class NotFollowedError(Exception):
    """Its message says what is not, and its line where, if that is known."""

    def __init__(self, message: str, node: ast.AST | None = None) -> None:
        super().__init__(message)
        self.line = getattr(node, "lineno", 0)


@dataclass(frozen=True)
class Row:
    """A row of the output, taken apart.

    Attributes:
        sequence: the number of its sequence.
        position: in the sequence, from 0.
        count: rows of a sequence, ``next_n``.
    """

    sequence: Value
    position: Value
    count: Value


def row_of(store: StoreCall, roles: PagingRoles, view: KernelView) -> Row:
    """The row of a store.

    Raises:
        NotFollowedError: its address does not show that.
    """
    stride, next_n = view.parameter(roles.row_stride), view.parameter(roles.next_n)
    if stride is None or next_n is None:
        raise NotFollowedError(f"{roles.row_stride} or {roles.next_n} is no parameter that keeps its value")
    row, _ = without(view.plain(store.address), stride)
    count = Value({(next_n,): 1})
    batch, position = without(row, next_n)
    if not batch.terms and row.terms:
        # The row's number itself, taken apart where it is used.
        parts = (view.walk.universe.operation(op, "", (row, count), row.rank) for op in ("floordiv", "mod"))
        batch, position = (view.plain(p) for p in parts)
    if not batch.terms or not position.terms:
        raise NotFollowedError(f"its row is not made of a sequence, {roles.next_n} and a position")
    return Row(batch, position, count)


def one_row(kernel: KernelAnalysis, roles: PagingRoles, view: KernelView) -> Row | None:
    """The row that all stores of a kernel are about; None where that is not seen."""
    try:
        rows = {row_of(syntax.store, roles, view) for syntax in kernel.syntax}
    except NotFollowedError:
        return None
    return rows.pop() if len(rows) == 1 else None


def lengths_of(sequence: Value, roles: PagingRoles, view: KernelView) -> set[Value]:
    """Values that are the context length of a sequence; none where it is loaded in no way that is understood."""
    found: set[Value] = set()
    starts: list[Value] = []
    ends: list[Value] = []
    for load in view.loads:
        for name in roles.lengths:
            pointer = view.parameter(name)
            if pointer is None or load.address.terms.get((pointer,)) != 1:
                continue
            index, result = load.address - Value({(pointer,): 1}), Value({(load.result,): 1})
            if name == roles.lengths[0]:
                found |= {result} if index == sequence else set()
            else:
                starts += [result] if index == sequence else []
                ends += [result] if index == sequence + integer(1) else []
    return found | {end - start for start in starts for end in ends}
