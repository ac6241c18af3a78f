"""Symbolic values of kernel expressions, normalised so that equal sums compare equal.

A value is a polynomial with integer coefficients over *atoms*. An atom is a symbol (a parameter, a
loop variable, whatever could not be followed) or a pure operation on other values. Atoms are
interned, so two expressions that must hold the same number at run time have the same value, and
values that differ are simply not known to be equal. Nothing here knows about stores or masks.

A value has a width: the bits in which it is computed. Sums are over the integers whatever their width
(positions and sizes are far from 2^31), products are not: a product that is computed in 64 bits has a
marker among its factors, so it never passes for the one that wraps at 32.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

MAX_TERMS = 256
"""Products that would have more terms stay unexpanded: no kernel here has more than a dozen."""


ADAPTS, BIT, NARROW, UNKNOWN_WIDTH, WIDE = 0, 1, 32, 48, 64
"""Widths: a Python number takes the other operand's. In this order the larger one is an operation's result."""


class Rank(Enum):
    """Whether a value is known to be one number, known to be a tensor, or neither."""

    SCALAR = "scalar"
    TENSOR = "tensor"
    UNKNOWN = "unknown"

    @staticmethod
    def of(parts: Iterable[Rank]) -> Rank:
        """The rank of an element-wise combination of parts."""
        result = Rank.SCALAR
        for part in parts:
            if part is Rank.TENSOR:
                return part
            if part is Rank.UNKNOWN:
                result = part
        return result


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
        width: bits of the value, of a comparison those of a number made from it.
    """

    index: int
    op: str
    payload: str
    operands: tuple[Value, ...]
    rank: Rank
    mentions: frozenset[Atom]
    width: int = UNKNOWN_WIDTH

    def __repr__(self) -> str:
        return self.payload if self.op == "symbol" else f"{self.op}[{self.payload}]{list(self.operands)}"


Monomial = tuple[Atom, ...]


class Value:
    """An integer polynomial over atoms: ``{monomial: coefficient}`` with no zero coefficients."""

    __slots__ = ("_hash", "_mentions", "key", "terms", "width")

    def __init__(self, terms: Mapping[Monomial, int], width: int = ADAPTS) -> None:
        self.terms: dict[Monomial, int] = {m: c for m, c in terms.items() if c}
        self.width = width
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
        return Value(terms, max(self.width, other.width))

    def __neg__(self) -> Value:
        return Value({m: -c for m, c in self.terms.items()}, self.width)

    def of_width(self, width: int) -> Value:
        """The same number in other bits."""
        return self if width == self.width else Value(self.terms, width)

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
    return Value({(): number}, ADAPTS if abs(number) < 1 << 31 else WIDE)


_ELEMENTWISE = frozenset(
    "compare and or land lor not invert floordiv mod div lshift rshift xor mul min max abs select truth number "  # noqa: SIM905
    "float".split()
)
"""Operations that commute with added axes."""


class Universe:
    """Interns the atoms of one kernel."""

    def __init__(self) -> None:
        self._atoms: dict[tuple[str, str, tuple[Value, ...], tuple[int, ...]], Atom] = {}
        self._count = 2
        self.wide = Atom(0, "marker", "i64", (), Rank.SCALAR, frozenset(), WIDE)
        self.unsure = Atom(1, "marker", "i?", (), Rank.SCALAR, frozenset())
        self.strides: set[Atom] = set()
        """The strides of the output."""
        self.axioms: dict[Atom, tuple[Value, ...]] = {}
        """Per symbol, values that are known not to be negative."""
        self.least: dict[Atom, int] = {}
        """Per atom, a number that it takes in some execution, and none below."""
        self.sizes: dict[Atom, int] = {}
        """Symbols that are sizes, and the least that they can be: the width, 0; the end of an arange, 1."""
        self.assumed: set[Atom] = set()
        """Symbols that a proof may take not to be negative: integer parameters, and numbers loaded one at a time."""
        self.starts: dict[Atom, tuple[Value, Value]] = {}
        """Per loop counter, where its range starts and its step."""

    def symbol(self, name: str, rank: Rank, width: int = UNKNOWN_WIDTH) -> Value:
        """A new symbol, equal to nothing but itself. Names are for display."""
        self._count += 1
        holder: list[Atom] = []
        atom = Atom(self._count, "symbol", name, (), rank, frozenset(), width)
        holder.append(atom)
        object.__setattr__(atom, "mentions", frozenset(holder))
        return Value({(atom,): 1}, width)

    def operation(
        self, op: str, payload: str, operands: tuple[Value, ...], rank: Rank, width: int = UNKNOWN_WIDTH
    ) -> Value:
        """A pure operation: the same operands give the same atom."""
        # Equal values of other bits are told apart where a tuple gives them back.
        widths = tuple(o.width for o in operands) if op == "tuple" else ()
        key = (op, payload, operands, (width, *widths))
        atom = self._atoms.get(key)
        if atom is None:
            self._count += 1
            mentions: frozenset[Atom] = frozenset()
            # What decides is no part of what is chosen.
            for operand in operands[1:] if op == "select" else operands:
                mentions |= operand.mentions
            atom = self._atoms[key] = Atom(self._count, op, payload, operands, rank, mentions, width)
        return Value({(atom,): 1}, width)

    def select(self, condition: Value, left: Value, right: Value) -> Value:
        """``left`` where a condition holds, else ``right``."""
        if left == right and left.width == right.width:
            return left
        rank = left.rank if left.rank is right.rank else Rank.UNKNOWN
        if condition.rank is Rank.TENSOR:
            rank = Rank.TENSOR
        width = max(left.width, right.width)
        if width == WIDE and min(left.width, right.width) not in (ADAPTS, WIDE):
            width = UNKNOWN_WIDTH  # a branch converts nothing: which it is, the way taken decides
        return self.operation("select", "", (condition, left, right), rank, width)

    def product(self, left: Value, right: Value) -> Value:
        """The expanded product; unexpanded where it would have too many terms."""
        width = max(left.width, right.width)
        if len(left.terms) * len(right.terms) > MAX_TERMS:
            return self.operation("mul", "", (left, right), Rank.of((left.rank, right.rank)), width)
        marker = self.wide if width == WIDE else self.unsure if width == UNKNOWN_WIDTH else None
        terms: dict[Monomial, int] = {}
        for m1, c1 in left.terms.items():
            for m2, c2 in right.terms.items():
                m = tuple(sorted((*m1, *m2), key=lambda a: a.index))
                if marker is not None and m1 and m2:
                    # A row's place that is widened only now may have wrapped before.
                    wrapped = any(
                        v.width < UNKNOWN_WIDTH and len(n) > 1 and not self.strides.isdisjoint(n)
                        for v, n in ((left, m1), (right, m2))
                    )
                    mark = self.unsure if wrapped else marker
                    m = (mark, *(a for a in m if a is not mark))
                terms[m] = terms.get(m, 0) + c1 * c2
        return Value(terms, width)

    def broadcast(self, value: Value, index: str) -> Value:
        """``value[None, :]`` and the like: pushed down to the tensors inside, so that forms compare equal.

        Adding axes commutes with element-wise arithmetic and comparison, and leaves numbers alone.
        Where it is not known which parts are tensors, the subscript stays outside.
        """
        if value.rank is Rank.SCALAR:
            return value
        if any(a.rank is Rank.UNKNOWN for m in value.terms for a in m):
            return self.operation("subscript", index, (value,), Rank.TENSOR, value.width)
        total = ZERO
        for m, c in value.terms.items():
            markers = tuple(a for a in m if a.op == "marker")
            part = integer(c)
            for a in m[len(markers) :]:
                part = self.product(part, self._broadcast_atom(a, index))
            if markers:
                bare = {tuple(a for a in k if a.op != "marker"): n for k, n in part.terms.items()}
                part = Value({(*markers, *k): n for k, n in bare.items()})
            total = total + part
        return total.of_width(value.width)

    def _broadcast_atom(self, atom: Atom, index: str) -> Value:
        if atom.rank is Rank.SCALAR:
            return Value({(atom,): 1}, atom.width)
        if atom.op == "subscript":
            return self.operation("subscript", _composed(atom.payload, index), atom.operands, Rank.TENSOR, atom.width)
        if atom.op in _ELEMENTWISE and all(o.rank is not Rank.UNKNOWN for o in atom.operands):
            operands = tuple(self.broadcast(o, index) for o in atom.operands)
            return self.operation(atom.op, atom.payload, operands, atom.rank, atom.width)
        return self.operation("subscript", index, (Value({(atom,): 1}, atom.width),), Rank.TENSOR, atom.width)


def _composed(inner: str, outer: str) -> str:
    """One subscript of axes that does what two do, one after the other."""
    axes = inner.split(", ")
    taken = [axes.pop(0) if part == ":" and axes else part for part in outer.split(", ")]
    return ", ".join([*taken, *axes])


def atoms_below(value: Value) -> set[Atom]:
    """Every atom of a value, at any depth."""
    found: set[Atom] = set()
    pending = [value]
    while pending:
        for a in {a for m in pending.pop().terms for a in m} - found:
            found.add(a)
            pending += a.operands
    return found


def lanes_of(value: Value) -> set[Atom]:
    """The tensors that a value is made of, each with the axes it has there."""
    found: set[Atom] = set()
    pending, seen = [value], set[Atom]()
    while pending:
        for a in {a for m in pending.pop().terms for a in m if a.rank is not Rank.SCALAR} - seen:
            seen.add(a)
            if a.op == "subscript" or not a.operands or a.op == "arange":
                found.add(a)
            else:
                pending += a.operands
    return found
