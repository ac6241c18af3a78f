"""Which sequence the row of a store belongs to, and at which position in it."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from aiterfix.source.loads import LOAD_PARAMETERS, KernelView, view_of, without
from aiterfix.source.logic import Prover
from aiterfix.source.names import names_in
from aiterfix.source.roles import PagingRoles
from aiterfix.source.sites import KernelAnalysis
from aiterfix.source.values import Value, atoms_below, integer
from aiterfix.source.walk import KernelWalk, StoreCall


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
        NotFollowedError: its address does not show that, or not that there is such a row.
    """
    found = view.walk.once(("row", id(store), roles), lambda: _row_or_reason(store, roles, view))
    if isinstance(found, Row):
        return found
    raise NotFollowedError(found)


def _row_or_reason(store: StoreCall, roles: PagingRoles, view: KernelView) -> Row | str:
    try:
        return _row(store, roles, view)
    except NotFollowedError as reason:
        return str(reason)


def _row(store: StoreCall, roles: PagingRoles, view: KernelView) -> Row:
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
    found = Row(batch, position, count)
    _in_range(found, store, roles, view)
    return found


def _in_range(row: Row, store: StoreCall, roles: PagingRoles, view: KernelView) -> None:
    """Raise `NotFollowedError` for a row that is not shown to be one of the output's.

    How many programs there are is taken for granted.
    """
    prover = Prover(view.walk.universe, assuming=True)

    def below(value: Value, limit: Value) -> bool:
        # A tiled kernel takes shares of the work off a number in a loop: that none is left over is not followed.
        known = roles.tiled or prover.is_size(value)
        return known and prover.follows(limit - value - integer(1), store.conditions)

    if not _an_axis(row.position, row.sequence) and not below(row.position, row.count):
        raise NotFollowedError(f"the row's position in its sequence is not shown to be below {roles.next_n}")
    if _an_axis(row.sequence, row.position):
        return
    if view.mentioned(roles.sequences):
        walked = roles.tiled and row.sequence.atom is not None and row.sequence.atom.op == "symbol"
        count = view.parameter(roles.sequences)
        if not walked and (count is None or not below(row.sequence, Value({(count,): 1}))):
            raise NotFollowedError(f"the row's sequence is not shown to be below {roles.sequences}")
    elif not _quotient(row.sequence):
        raise NotFollowedError("the row's sequence is not what is left of the program's number")


def _an_axis(value: Value, other: Value) -> bool:
    """Whether a number is the program's on an axis that the other part of the row is not made of."""
    atom = value.atom
    return atom is not None and atom.op == "program_id" and atom not in atoms_below(other)


def _quotient(value: Value) -> bool:
    atom = value.atom
    if atom is not None and atom.op == "floordiv":
        return _quotient(atom.operands[0])
    return atom is not None and atom.op == "program_id"


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


def length_name(walk: KernelWalk, roles: PagingRoles) -> str:
    """The one local name that holds nothing but lengths as they were loaded; empty where there is none, or several."""
    return walk.once(("length", roles), lambda: _only_length(walk, roles))


def _only_length(walk: KernelWalk, roles: PagingRoles) -> str:
    given: dict[str, list[bool]] = {}
    for a in view_of(walk).assignments.all:
        for name in a.names:
            given.setdefault(name, []).append(a.kind == "name" and _loads_length(a.value, walk, roles))
    names = [name for name, loaded in given.items() if any(loaded)]
    return names[0] if len(names) == 1 and all(given[names[0]]) else ""


def _loads_length(node: ast.expr | None, walk: KernelWalk, roles: PagingRoles) -> bool:
    if not isinstance(node, ast.Call) or walk.scope.triton(node.func) not in LOAD_PARAMETERS or not node.args:
        return False
    return names_in(node.args[0]).intersection(roles.lengths) == {roles.lengths[0]}
