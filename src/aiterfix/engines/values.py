"""Values as the reader knows them: sums of products of things that are not known more closely, and tensors."""

from __future__ import annotations

import ast
import math
import re
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiterfix.engines.package import FunctionNode, Source


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
        several: of an attribute's (kind ``field``), what it may be.
    """

    kind: str
    key: Hashable
    text: str = field(compare=False)
    parts: tuple[Number, ...] = ()
    several: tuple[Value, ...] = field(default=(), compare=False, repr=False)


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
        return factor != 0 and all(c % factor == 0 and not Counter(wanted) - Counter(a) for a, c in self.terms)

    def at(self, length: int, stated: Mapping[str, int]) -> int | None:
        """Its value for an operator's length and what else is stated of `ROLES`; None where that does not decide it."""
        total = 0
        for atoms, coefficient in self.terms:
            values = [_value(atom, length, stated) for atom in atoms]
            known = [v for v in values if v is not None]
            if len(known) < len(values):
                return None
            total += coefficient * math.prod(known)
        return total

    def replaced(self, values: Mapping[Atom, Number]) -> Number:
        """With numbers in place of atoms."""
        result = ZERO
        for atoms, coefficient in self.terms:
            product = constant(coefficient)
            for atom in atoms:
                new = values.get(atom)
                if new is None:
                    inner = tuple(p.replaced(values) for p in atom.parts)
                    new = made(atom.kind, inner) if inner else of(atom)
                product = times(product, new)
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
    """What a tuple, list, dictionary or object holds.

    Attributes:
        items: of each item, what it may be.
        keys: of a dictionary, what its items are asked for by; of an object, their names; empty of the others.
        fixed: whether nothing can put another item in its place.
    """

    items: tuple[tuple[Value, ...], ...]
    keys: tuple[Hashable, ...] = ()
    fixed: bool = True

    def at(self, key: Hashable) -> tuple[Value, ...] | None:
        """What may be under a key, or in a place counted from 0, or back from -1; None where there is nothing."""
        if self.keys:
            return self.items[self.keys.index(key)] if key in self.keys else None
        if isinstance(key, int) and -len(self.items) <= key < len(self.items):
            return self.items[key]
        return None


@dataclass(frozen=True)
class Nothing:
    """``None``."""


@dataclass(frozen=True)
class Thing:
    """A module, class, function or object of the package, or what has a dotted name elsewhere.

    Attributes:
        kind: ``module``, ``class``, ``function``, ``method``, ``object`` (of a class), ``elsewhere``, or ``config``:
            what states the operator's length.
        name: dotted, of what is elsewhere.
        source: where it is defined.
        node: the definition; of an object, its class's.
        held: of an object that is made at hand, its fields; of a method, those of its object; of a function, what
            ``partial`` has bound, by place and by name; None where that is not known.
    """

    kind: str
    name: str = ""
    source: Source | None = field(default=None, repr=False)
    node: ast.AST | None = field(default=None, repr=False)
    held: Items | None = None


@dataclass(frozen=True)
class Frame:
    """Where an expression is looked at from.

    Attributes:
        source: the file.
        function: whose body it stands in; None for a module's level.
        arguments: of a call that is followed into; None where parameters stand for themselves.
        key: tells what is read here from what another call reads at the same place.
    """

    source: Source = field(repr=False)
    function: FunctionNode | None
    arguments: Mapping[str, tuple[Value, ...]] | None = None
    key: tuple[object, ...] = ()


Value = Number | Tensor | Items | Nothing | Thing
ROLES = {
    "ratio": re.compile(r"compress\w*_(?:ratio|rate|factor)|kpool$").search,
    "ranks": re.compile(
        r"(?:dcp|decode_context_parallel)(?:_group\(\)|_config)?[._]?(?:world_)?(?:size|ranks)$"
    ).search,
}
"""What an operator may state, and how sources name it: by what a model divides the context that its indexer scores, and
the ranks of decode context parallelism."""
ANY = dict.fromkeys(ROLES, 1)
"""All of it stated, to ask whether that would decide."""


def _least(atom: Atom) -> int:
    return math.gcd(*(p.multiple for p in atom.parts)) if atom.kind in ("min", "max") else 1


def role(number: Number) -> str | None:
    """Which of `ROLES` a number is as it stands, by its name."""
    atom = number.atom
    if atom is not None and atom.kind == "max":  # at least one, as there are layers without
        known, others = [p for p in atom.parts if p.constant is not None], [p for p in atom.parts if p.constant is None]
        return role(others[0]) if len(others) == 1 and all((p.constant or 0) <= 1 for p in known) else None
    text = atom.text.lower() if atom is not None and atom.kind in ("other", "parameter") else ""
    text = text.partition(":")[0].strip()  # a reason may follow
    if re.split(r"\W+", text)[-1] == "ratio":  # alone; not any name with it, such as a share of memory
        return "ratio"
    return next((r for r, named in ROLES.items() if named(text)), None)


def _value(atom: Atom, length: int, stated: Mapping[str, int]) -> int | None:
    own = role(of(atom))
    if atom.kind == "length" or own in stated:
        return length if atom.kind == "length" else stated[str(own)]
    values = [p.at(length, stated) for p in atom.parts]
    known = [v for v in values if v is not None]
    if not known or len(known) < len(values):
        return None
    if atom.kind == "floor":
        return known[0] // known[1] if known[1] else None
    return min(known) if atom.kind == "min" else max(known) if atom.kind == "max" else int(known[0] > 1)


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
    texts = [p.text for p in parts]
    top = texts[0] if parts[0].atom is not None else f"({texts[0]})"
    text = {"floor": f"{top} // {texts[-1]}", "many": f"{texts[0]} > 1"}.get(kind, f"{kind}({', '.join(texts)})")
    return of(Atom(kind, None, text, parts))


def atoms_of(value: Value) -> frozenset[Atom]:
    """What a value is made of."""
    if isinstance(value, Number):
        return value.atoms
    if isinstance(value, Tensor):
        return value.columns.atoms | value.stride.atoms
    return frozenset().union(*map(atoms_of, inside(value)))


def sequence(value: Value) -> Items | None:
    """The items of a tuple, a named one too, or a list; None of anything else."""
    if isinstance(value, Thing) and value.held is not None and value.held.fixed and value.kind == "object":
        return Items(value.held.items)
    return value if isinstance(value, Items) and not value.keys else None


def inside(value: Value) -> tuple[Value, ...]:
    """What it may hold."""
    held = value.held if isinstance(value, Thing) else value
    return tuple(v for item in held.items for v in item) if isinstance(held, Items) else ()


def changeable(value: Value) -> bool:
    """Whether who has it may make it, or what it holds, another: a tensor's shape, an item of a list, a field."""
    held = value.held if isinstance(value, Thing) else value
    return (
        isinstance(value, Tensor) or (isinstance(held, Items) and not held.fixed) or any(map(changeable, inside(value)))
    )


def has_parameter(value: Value, of_function: tuple[object, ...] = ()) -> bool:
    """Whether a value hangs on a parameter, perhaps of one function."""
    found = (a for a in atoms_of(value) if a.kind == "parameter" and isinstance(a.key, tuple))
    return any(a.key[: len(of_function)] == of_function for a in found)  # type: ignore[index]


def with_values(value: Value, bound: Mapping[Atom, Value], unknown: Number) -> Value:
    """A value with others in place of atoms; ``unknown`` in place of what is no number, but where that is all it is."""
    numbers = {a: v if isinstance(v, Number) else unknown for a, v in bound.items()}
    if isinstance(value, Number):
        return bound[value.atom] if value.atom in bound else value.replaced(numbers)  # type: ignore[index]
    if isinstance(value, Tensor):
        return Tensor(value.columns.replaced(numbers), value.stride.replaced(numbers), value.rank)
    if isinstance(value, Items):
        items = tuple(tuple(with_values(v, bound, unknown) for v in item) for item in value.items)
        return replace(value, items=items)
    if isinstance(value, Thing) and value.held is not None:
        return replace(value, held=with_values(value.held, bound, unknown))  # type: ignore[arg-type]
    return value


def absolute(value: Value) -> bool:
    """Whether it is the same for every object: made of the operator's length alone."""
    return all(a.kind in ("length", "floor", "min", "max") for a in atoms_of(value))


def placed(value: Value, place: Hashable) -> Value:
    """A value of one object, told from the same of another: what is not known of it is known by this place alone."""
    apart = {
        atom: of(Atom(atom.kind, (place, atom.key), atom.text, (), atom.several))
        for atom in atoms_of(value)
        if not atom.parts and atom.kind != "length"
    }
    return with_values(value, apart, ZERO) if apart else value
