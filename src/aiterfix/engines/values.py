"""Values as the reader knows them: sums of products of things that are not known more closely, and tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Atom:
    """Something that a number is made of.

    Attributes:
        kind: ``length``: the operator's ``max_model_len``; ``parameter``: of a function (``key``); ``floor``: the first
            of ``parts`` over the second, rounded down; ``min``, ``max``: of ``parts``; ``many``: 1 where the only part
            is more than 1, else 0; ``other``: what is read at one place (``key``) as the program runs.
        key: what tells it from others.
        text: for people.
        parts: numbers that it is made of.
    """

    kind: str
    key: Hashable
    text: str = field(compare=False)
    parts: tuple[Number, ...] = ()


@dataclass(frozen=True)
class Number:
    """A sum of products of atoms: coefficient by product."""

    terms: tuple[tuple[tuple[Atom, ...], int], ...]

    @property
    def constant(self) -> int | None:
        """The value, where it is known."""
        if not self.terms:
            return 0
        return self.terms[0][1] if len(self.terms) == 1 and not self.terms[0][0] else None

    @property
    def atom(self) -> Atom | None:
        """The atom, where it is one as it stands."""
        if len(self.terms) == 1 and len(self.terms[0][0]) == 1 and self.terms[0][1] == 1:
            return self.terms[0][0][0]
        return None

    @property
    def multiple(self) -> int:
        """A number that it is a multiple of whatever its atoms are; 0 for 0."""
        return math.gcd(*(abs(c) * math.prod(map(_least, atoms)) for atoms, c in self.terms)) if self.terms else 0

    @property
    def atoms(self) -> frozenset[Atom]:
        """Every atom, also those within others."""
        direct = {a for atoms, _ in self.terms for a in atoms}
        return frozenset(direct.union(*(p.atoms for a in direct for p in a.parts)))

    @property
    def text(self) -> str:
        """For people."""
        products = [" * ".join([*([str(c)] if c != 1 or not a else []), *(x.text for x in a)]) for a, c in self.terms]
        return " + ".join(products) or "0"

    def divisible_by(self, other: Number) -> bool:
        """Whether it is a multiple of another, whatever their atoms are."""
        if len(other.terms) != 1:
            return False
        ((wanted, factor),) = other.terms
        return factor != 0 and all(c % factor == 0 and _holds(atoms, wanted) for atoms, c in self.terms)

    def at(self, length: int, ratio: int | None) -> int | None:
        """Its value for an operator's length; None where that does not decide it."""
        total = 0
        for atoms, coefficient in self.terms:
            for atom in atoms:
                value = _value(atom, length, ratio)
                if value is None:
                    return None
                coefficient *= value
            total += coefficient
        return total

    def replaced(self, values: Mapping[Atom, Number]) -> Number:
        """With numbers in place of atoms."""
        result = ZERO
        for atoms, coefficient in self.terms:
            product = constant(coefficient)
            for atom in atoms:
                if atom in values:
                    product = times(product, values[atom])
                elif atom.parts:
                    product = times(product, made(atom.kind, tuple(p.replaced(values) for p in atom.parts)))
                else:
                    product = times(product, of(atom))
            result = plus(result, product)
        return result


@dataclass(frozen=True)
class Tensor:
    """A tensor whose columns lie side by side.

    Attributes:
        columns: of a row as it is seen.
        stride: elements from one row to the next.
        rank: dimensions.
    """

    columns: Number
    stride: Number
    rank: int


@dataclass(frozen=True)
class Items:
    """A tuple or list, with what each item may be."""

    items: tuple[tuple[Value, ...], ...]


@dataclass(frozen=True)
class Nothing:
    """``None``."""


Value = Number | Tensor | Items | Nothing
RATIOS = ("ratio", "kpool", "compress")
"""By a number of such a name a model divides the context that its indexer scores."""


def _least(atom: Atom) -> int:
    return math.gcd(*(p.multiple for p in atom.parts)) if atom.kind in ("min", "max") else 1


def _holds(atoms: tuple[Atom, ...], wanted: tuple[Atom, ...]) -> bool:
    left = list(atoms)
    for atom in wanted:
        if atom not in left:
            return False
        left.remove(atom)
    return True


def is_ratio(number: Number) -> bool:
    """Whether a number is a model's compress ratio as it stands, by its name."""
    atom = number.atom
    return atom is not None and atom.kind in ("other", "max") and any(w in atom.text.lower() for w in RATIOS)


def _value(atom: Atom, length: int, ratio: int | None) -> int | None:
    if atom.kind == "length":
        return length
    if atom.kind == "floor":
        top = atom.parts[0].at(length, ratio)
        bottom = ratio if is_ratio(atom.parts[1]) else atom.parts[1].at(length, ratio)
        return top // bottom if top is not None and bottom else None
    if atom.kind in ("min", "max"):
        values = [p.at(length, ratio) for p in atom.parts]
        known = [v for v in values if v is not None]
        pick: Callable[[list[int]], int] = min if atom.kind == "min" else max
        return pick(known) if len(known) == len(values) else None
    return None


def of(atom: Atom) -> Number:
    """An atom as a number."""
    return Number((((atom,), 1),))


def constant(value: int) -> Number:
    """A number that is known."""
    return Number((((), value),) if value else ())


ZERO = constant(0)
LENGTH = of(Atom("length", None, "max_model_len"))


def _sum(terms: Mapping[tuple[Atom, ...], int]) -> Number:
    return Number(tuple(sorted(((a, c) for a, c in terms.items() if c), key=repr)))


def plus(left: Number, right: Number, factor: int = 1) -> Number:
    """``left + factor * right``."""
    terms = dict(left.terms)
    for atoms, coefficient in right.terms:
        terms[atoms] = terms.get(atoms, 0) + factor * coefficient
    return _sum(terms)


def times(left: Number, right: Number) -> Number:
    """The product."""
    terms: dict[tuple[Atom, ...], int] = {}
    for atoms, coefficient in left.terms:
        for more, other in right.terms:
            both = tuple(sorted((*atoms, *more), key=repr))
            terms[both] = terms.get(both, 0) + coefficient * other
    return _sum(terms)


def made(kind: str, parts: tuple[Number, ...]) -> Number:
    """``floor``, ``min``, ``max`` or ``many`` of numbers."""
    values = [p.constant for p in parts]
    known = [v for v in values if v is not None]
    if kind == "floor" and parts[0] == LENGTH and values[1] == 1:
        return LENGTH
    if len(known) == len(values) and (kind != "floor" or known[1]):
        if kind == "floor":
            return constant(known[0] // known[1])
        return constant(int(known[0] > 1) if kind == "many" else min(known) if kind == "min" else max(known))
    atom = parts[-1].atom
    given = kind == "floor" and parts[0] == LENGTH and atom is not None and atom.kind == "parameter"
    if given and atom is not None and any(w in atom.text.lower() for w in RATIOS):
        # Which ratio a model has is for the operator to say, so callers are not asked for it.
        parts = LENGTH, of(Atom("other", ("ratio", atom.key), atom.text))
    texts = [p.text for p in parts]
    text = f"({texts[0]}) // {texts[1]}" if kind == "floor" else f"{kind}({', '.join(texts)})"
    if kind == "floor" and parts[0].atom is not None:
        text = f"{texts[0]} // {texts[1]}"
    if kind == "many":
        text = f"{texts[0]} > 1"
    return of(Atom(kind, None, text, parts))
