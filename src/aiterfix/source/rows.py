"""How a store computes the address of its row: in the pointer or in the offsets, in how many bits."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from aiterfix.source.syntax import summands
from aiterfix.source.values import NARROW, WIDE, Atom, Monomial, Value
from aiterfix.source.vocabulary import POINTER_PARAMETER
from aiterfix.source.walk import KernelWalk, StoreCall


@dataclass(frozen=True)
class RowTerm:
    """One summand with a stride of the output as a factor, as the store's arguments spell it.

    Attributes:
        expression: its source, on one line; the local name that holds it where it has one.
        strides: the stride parameters in it.
        in_pointer: whether it is part of the pointer; else of the offsets, which CDNA's buffer instructions take
            as 32 bits whatever the source says.
        width: bits in which number × stride is multiplied: 64 only where a factor was widened before; None where
            that is not known.
        line: where it starts.
    """

    expression: str
    strides: tuple[str, ...]
    in_pointer: bool
    width: int | None
    line: int


@dataclass(frozen=True)
class RowAddress:
    """The rows' part of a store's address.

    Attributes:
        terms: in source order, those of the pointer first. None at all where no stride was found.
    """

    terms: tuple[RowTerm, ...]

    @property
    def in_pointer(self) -> bool:
        """Whether all of it is in the pointer."""
        return all(t.in_pointer for t in self.terms)

    @property
    def width(self) -> int | None:
        """The fewest bits of any of its products; None where one is not known and none has 32."""
        widths = {t.width for t in self.terms}
        return NARROW if NARROW in widths else None if None in widths or not widths else WIDE

    @property
    def expression(self) -> str:
        """The terms, as a sum."""
        return " + ".join(t.expression for t in self.terms)

    @property
    def lines(self) -> tuple[int, ...]:
        """Where they stand."""
        return tuple(t.line for t in self.terms)

    @property
    def reaches_everywhere(self) -> bool:
        """Whether every row is reached however large the output is."""
        return bool(self.terms) and self.in_pointer and self.width == WIDE


NO_ROW = RowAddress(())


def row_address(store: StoreCall, walk: KernelWalk) -> RowAddress:
    """Describe the rows' part of a store's address."""
    pointer = store.arguments[POINTER_PARAMETER[store.kind]]
    places = [(pointer, store.pointer, True)]
    if (offsets := store.arguments.get("offsets")) is not None:
        places.append((offsets, store.offsets, False))
    found = []
    for node, value, in_pointer in places:
        if store.helper:
            nodes = [node] if not walk.strides.isdisjoint(value.mentions) else []
            values = {node: value}
        else:
            nodes, values = list(row_nodes(node, walk)), walk.values
        for n in nodes:
            strides = sorted({a.payload for a in values[n].mentions & walk.strides})
            width = product_width(values[n], walk.strides)
            found.append(RowTerm(ast.unparse(n), tuple(strides), in_pointer, width, n.lineno))
    return RowAddress(tuple(found))


def row_nodes(node: ast.expr, walk: KernelWalk) -> Iterator[ast.expr]:
    """The smallest summands of an expression that hold a row term."""
    for n, _ in summands(node):
        value = walk.values.get(n)
        if value is not None and any(not walk.strides.isdisjoint(m) for m in value.terms):
            yield n


def product_width(value: Value, strides: frozenset[Atom]) -> int | None:
    """In how many bits the products with a stride are multiplied."""
    widths = {_width(m, c) for m, c in value.terms.items() if not strides.isdisjoint(m)}
    return NARROW if NARROW in widths else None if None in widths else WIDE


def _width(monomial: Monomial, coefficient: int) -> int | None:
    markers = [a for a in monomial if a.op == "marker"]
    if markers:
        return WIDE if all(a.width == WIDE for a in markers) else None
    # A stride alone is no product: it does not overflow.
    return WIDE if len(monomial) == 1 and coefficient == 1 else NARROW
