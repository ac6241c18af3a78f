"""Which bounds a mask puts on a column: compares normalised sums, never text."""

from __future__ import annotations

from collections.abc import Iterator

from aiterfix.source.values import Atom, Value
from aiterfix.verdict import Guard

# A comparison is understood only where both sides differ from the column and its bound by a small
# constant: `col + 2**31 < bound + 2**31` overflows 32 bits and bounds nothing.
_SMALL = 1 << 16


def column_of(address: Value, output: Atom, strides: frozenset[Atom]) -> tuple[Value, bool]:
    """Split the address of a store into its column and the rest.

    Args:
        address: pointer and offsets together.
        output: the output parameter, which occurs in it once.
        strides: every stride of the output.

    Returns:
        The column: all additive terms except the output itself and products with a stride as a
        factor; and whether there was such a product.
    """
    column: dict[tuple[Atom, ...], int] = {}
    strided = False
    for monomial, coefficient in address.terms.items():
        if monomial == (output,):
            continue
        if not strides.isdisjoint(monomial):
            strided = True
            continue
        column[monomial] = coefficient
    return Value(column), strided


def conjuncts(mask: Value) -> Iterator[Value]:
    """The terms that must all hold for the mask to hold."""
    atom = mask.atom
    if atom is not None and atom.op == "and":
        for operand in atom.operands:
            yield from conjuncts(operand)
    else:
        yield mask


def classify(mask: Value | None, column: Value, bound: Atom) -> tuple[Guard, tuple[Value, ...]]:
    """Which bounds ``mask`` puts on ``column``.

    Returns:
        The guard, and the comparisons with the bound that are about another expression than the
        column, or are too weak to bound it. They do not count.
    """
    if mask is None:
        return Guard.NONE, ()
    limit = Value({(bound,): 1})
    lower = upper = False
    strange: list[Value] = []
    for term in conjuncts(mask):
        atom = term.atom
        if atom is not None and atom.op == "compare" and atom.payload in ("<", "<=", ">", ">="):
            small, large = atom.operands if atom.payload in ("<", "<=") else atom.operands[::-1]
            # Over the integers `a <= b` is `a < b + 1`: below, the comparison reads `excess > 0`.
            excess = large - small
            slack = (excess - (limit - column)).constant
            if slack is not None and abs(slack) < _SMALL:
                if slack + (1 if "=" in atom.payload else 0) <= 0:
                    upper = True
                    continue
            elif _bounds_below(large, column):
                lower = True
                continue
        if bound in term.mentions:
            strange.append(term)
    if lower and upper:
        return Guard.BOTH, tuple(strange)
    return (Guard.UPPER if upper else Guard.LOWER if lower else Guard.NONE), tuple(strange)


def _bounds_below(large: Value, column: Value) -> bool:
    """Whether the larger side of a comparison is the column, up to a small constant."""
    difference = (large - column).constant
    return difference is not None and abs(difference) < _SMALL
