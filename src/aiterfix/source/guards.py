"""Which bounds hold for the column of a store: from its mask, and from the conditions on the way to it."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from aiterfix.source.logic import Comparison, Prover, clauses
from aiterfix.source.values import Atom, Value, atoms_below, integer
from aiterfix.source.walk import KernelWalk, StoreCall


class Guard(str, Enum):
    """Which bounds the mask of a store puts on its column."""

    NONE = "none"
    LOWER = "lower"
    UPPER = "upper"
    BOTH = "both"

    @property
    def bounded(self) -> bool:
        """Whether the store cannot reach past the end of its row."""
        return self in (Guard.UPPER, Guard.BOTH)


# Of a lower bound it is enough that there is one: `col >= start`, `col + 1 > start`.
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
    added: set[Atom] = set()
    subtracted: set[Atom] = set()
    for monomial, coefficient in address.terms.items():
        if monomial == (output,):
            continue
        if not strides.isdisjoint(monomial):
            (added if coefficient > 0 else subtracted).update(strides.intersection(monomial))
            continue
        column[monomial] = coefficient
    # Rows that are only subtracted lie before the output.
    return Value(column, address.width), bool(added) and subtracted <= added


def conjuncts(mask: Value) -> Iterator[Value]:
    """The terms that must all hold for the mask to hold."""
    atom = mask.atom
    if atom is not None and atom.op in ("and", "land"):
        for operand in atom.operands:
            yield from conjuncts(operand)
    else:
        yield mask


def classify(store: StoreCall, column: Value, walk: KernelWalk) -> tuple[Guard, tuple[Value, ...]]:
    """Which bounds hold for ``column`` wherever ``store`` writes.

    A lower bound is one that the mask spells: whether a column can be negative is asked elsewhere
    (`stays_positive`). An upper bound is whatever proves one.

    Returns:
        The guard, and the comparisons with the bound that are about another expression than the
        column, or are too weak to bound it. They do not count.
    """
    assert walk.bound is not None
    room = Value({(walk.bound,): 1}) - column - integer(1)
    lower = upper = False
    strange: list[Value] = []
    for term in conjuncts(store.mask) if store.mask is not None else ():
        useful = False
        for clause in clauses((term, True)):
            if isinstance(clause, Comparison):
                slack = (room - clause.excess).constant
                if slack is not None and slack >= 0:
                    upper = useful = True
                elif _is_small((clause.large - column).constant):
                    lower = useful = True
        if not useful and walk.bound in term.mentions:
            strange.append(term)
    if not upper and _bound_is_near(store, column, walk) and _proves(room, store, walk):
        upper, strange = True, []
    if lower and upper:
        return Guard.BOTH, tuple(strange)
    return (Guard.UPPER if upper else Guard.LOWER if lower else Guard.NONE), tuple(strange)


def _is_small(difference: int | None) -> bool:
    return difference is not None and abs(difference) < _SMALL


def bounds_below(term: Value, column: Value) -> bool:
    """Whether a term of a mask compares a column, give or take a constant, with something that it must not be below."""
    return any(isinstance(c, Comparison) and _is_small((c.large - column).constant) for c in clauses((term, True)))


def _proves(goal: Value, store: StoreCall, walk: KernelWalk, *, assuming: bool = False) -> bool:
    conditions = [*store.conditions] if store.mask is None else [(store.mask, True), *store.conditions]
    return Prover(walk.universe, assuming=assuming).follows(goal, conditions)


def _bound_is_near(store: StoreCall, column: Value, walk: KernelWalk) -> bool:
    """Whether anything that is known where the store stands says something of the bound: else no proof is tried."""
    values = [column, *(v for v, _ in store.conditions), *([store.mask] if store.mask is not None else [])]
    mentioned = set[Atom]().union(*(atoms_below(v) for v in values))
    axioms = walk.universe.axioms
    known = [v for a in mentioned if a in axioms for v in axioms[a]]
    return walk.bound in mentioned or any(walk.bound in atoms_below(v) for v in known)


def is_positive(column: Value, walk: KernelWalk) -> bool:
    """Whether what a column is made of shows that it is not negative: the quick way to `stays_positive`."""
    return Prover(walk.universe, assuming=True).is_size(column)


def stays_positive(store: StoreCall, column: Value, walk: KernelWalk) -> bool:
    """Whether it is proven that a column is not negative wherever ``store`` writes: nothing goes to the row before.

    Sizes and lengths are taken not to be negative, the width and what divides to be at least 1: the integer parameters
    of the kernel, and the numbers that it loads one at a time (context lengths, shares of the work). Without that no
    store of these kernels could be proven, and with anything else they do not work at all.
    """
    return _proves(column, store, walk, assuming=True)
