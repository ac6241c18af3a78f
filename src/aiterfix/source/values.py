"""Symbolic values of kernel expressions, normalised so that equal sums compare equal.

A value is a polynomial with integer coefficients over *atoms*. An atom is a symbol (a parameter, a
loop variable, whatever could not be followed) or a pure operation on other values. Atoms are
interned, so two expressions that must hold the same number at run time have the same value, and
values that differ are simply not known to be equal. Nothing here knows about stores or masks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

MAX_TERMS = 256
"""Products that would have more terms stay unexpanded: no kernel here has more than a dozen."""


class Rank(Enum):
    """Whether a value is known to be one number, known to be a tensor, or neither."""

    SCALAR = "scalar"
    TENSOR = "tensor"
    UNKNOWN = "unknown"

    @staticmethod
    def of(parts: Iterable[Rank]) -> Rank:
        """The rank of an element-wise combination of parts."""
        seen = set(parts)
        if Rank.TENSOR in seen:
            return Rank.TENSOR
        return Rank.UNKNOWN if Rank.UNKNOWN in seen else Rank.SCALAR


@dataclass(frozen=True, eq=False)
class Atom:
    """A factor that is not taken apart. Compared by identity: `Universe` hands out one object each.

    Attributes:
        index: position in its universe; orders factors inside a monomial.
        op: "symbol", or the operation ("call:tl.arange", "floordiv", "compare", "and", ...).
        payload: what tells operations of one kind apart (name, operator, subscript text).
        operands: values operated on.
        rank: scalar, tensor or unknown.
        mentions: every symbol below this atom, itself included.
    """

    index: int
    op: str
    payload: str
    operands: tuple[Value, ...]
    rank: Rank
    mentions: frozenset[Atom]

    def __repr__(self) -> str:
        return self.payload if self.op == "symbol" else f"{self.op}[{self.payload}]{list(self.operands)}"


Monomial = tuple[Atom, ...]


class Value:
    """An integer polynomial over atoms: ``{monomial: coefficient}`` with no zero coefficients."""

    __slots__ = ("_hash", "_mentions", "key", "terms")

    def __init__(self, terms: Mapping[Monomial, int]) -> None:
        self.terms: dict[Monomial, int] = {m: c for m, c in terms.items() if c}
        self.key = frozenset(self.terms.items())
        self._hash = hash(self.key)
        self._mentions: frozenset[Atom] | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Value) and self.key == other.key

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        if not self.terms:
            return "0"
        return " + ".join(
            "*".join([*([str(c)] if c != 1 or not m else []), *map(repr, m)]) for m, c in self.terms.items()
        )

    def __add__(self, other: Value) -> Value:
        terms = dict(self.terms)
        for m, c in other.terms.items():
            terms[m] = terms.get(m, 0) + c
        return Value(terms)

    def __neg__(self) -> Value:
        return Value({m: -c for m, c in self.terms.items()})

    def __sub__(self, other: Value) -> Value:
        return self + (-other)

    @property
    def atom(self) -> Atom | None:
        """The atom this value consists of, where it is just one."""
        if len(self.terms) == 1:
            ((m, c),) = self.terms.items()
            if c == 1 and len(m) == 1:
                return m[0]
        return None

    @property
    def constant(self) -> int | None:
        """The integer this value is, where it is one."""
        if not self.terms:
            return 0
        if len(self.terms) == 1 and () in self.terms:
            return self.terms[()]
        return None

    @property
    def rank(self) -> Rank:
        """Rank of the sum."""
        return Rank.of(a.rank for m in self.terms for a in m)

    @property
    def mentions(self) -> frozenset[Atom]:
        """Every symbol that occurs in this value, at any depth."""
        if self._mentions is None:
            self._mentions = frozenset().union(*(a.mentions for m in self.terms for a in m))
        return self._mentions


ZERO = Value({})


def integer(number: int) -> Value:
    """The constant polynomial."""
    return Value({(): number})


class Universe:
    """Interns the atoms of one kernel."""

    def __init__(self) -> None:
        self._atoms: dict[tuple[str, str, tuple[Value, ...]], Atom] = {}
        self._count = 0

    def symbol(self, name: str, rank: Rank) -> Value:
        """A new symbol, equal to nothing but itself. Names are for display."""
        self._count += 1
        holder: list[Atom] = []
        atom = Atom(self._count, "symbol", name, (), rank, frozenset())
        holder.append(atom)
        object.__setattr__(atom, "mentions", frozenset(holder))
        return Value({(atom,): 1})

    def operation(self, op: str, payload: str, operands: tuple[Value, ...], rank: Rank) -> Value:
        """A pure operation: the same operands give the same atom."""
        key = (op, payload, operands)
        atom = self._atoms.get(key)
        if atom is None:
            self._count += 1
            mentions: frozenset[Atom] = frozenset()
            for operand in operands:
                mentions |= operand.mentions
            atom = self._atoms[key] = Atom(self._count, op, payload, operands, rank, mentions)
        return Value({(atom,): 1})

    def product(self, left: Value, right: Value) -> Value:
        """The expanded product; unexpanded where it would have too many terms."""
        if len(left.terms) * len(right.terms) > MAX_TERMS:
            return self.operation("mul", "", (left, right), Rank.of((left.rank, right.rank)))
        terms: dict[Monomial, int] = {}
        for m1, c1 in left.terms.items():
            for m2, c2 in right.terms.items():
                m = tuple(sorted((*m1, *m2), key=lambda a: a.index))
                terms[m] = terms.get(m, 0) + c1 * c2
        return Value(terms)

    def broadcast(self, value: Value, index: str) -> Value:
        """``value[None, :]`` and the like: pushed down to the tensors inside, so that forms compare equal.

        Adding axes commutes with element-wise arithmetic and comparison, and leaves numbers alone.
        Where it is not known which parts are tensors, the subscript stays outside.
        """
        if value.rank is Rank.SCALAR:
            return value
        if any(a.rank is Rank.UNKNOWN for m in value.terms for a in m):
            return self.operation("subscript", index, (value,), Rank.TENSOR)
        total = ZERO
        for m, c in value.terms.items():
            part = integer(c)
            for a in m:
                part = self.product(part, self._broadcast_atom(a, index))
            total = total + part
        return total

    def _broadcast_atom(self, atom: Atom, index: str) -> Value:
        if atom.rank is Rank.SCALAR:
            return Value({(atom,): 1})
        elementwise = atom.op in ("compare", "and", "or", "not", "floordiv", "mod", "mul")
        if elementwise and all(o.rank is not Rank.UNKNOWN for o in atom.operands):
            operands = tuple(self.broadcast(o, index) for o in atom.operands)
            return self.operation(atom.op, atom.payload, operands, atom.rank)
        return self.operation("subscript", index, (Value({(atom,): 1}),), Rank.TENSOR)
