"""What follows from a mask and the conditions on the way: a small prover over whole numbers.

A condition is taken apart into comparisons; a comparison is a polynomial that is not negative. To prove one, its
contrary is added and all variables are eliminated (Fourier and Motzkin): a contradiction is a proof. Products of two
variables count as variables. ``min``, ``max`` and choices are told apart case by case.

Arithmetic is that of the integers. What may wrap at 32 bits gives no comparison at all: a constant of 2^16 or more, a
factor of 2^8 or more (positions are below 2^23), a narrowing cast, a shift or xor. Sums and products of positions and
sizes themselves are taken not to wrap: they do not on any tensor that fits the device, and no kernel of this kind
tests for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import gcd

from aiterfix.source.values import ADAPTS, BIT, Atom, Monomial, Universe, Value, integer

_LARGEST_CONSTANT = 1 << 16
_LARGEST_FACTOR = 1 << 8
_ATTEMPTS = 48
"""Eliminations before a proof is given up: a conjunction needs one, each choice doubles them."""
_MOST_CONSTRAINTS = 80

Condition = tuple[Value, bool]
"""A value as a truth, and whether it is known to hold or known not to."""

_NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
_ONE_BIT: dict[tuple[str, int | None], bool] = {(">", 0): True, (">=", 1): True, ("<", 1): False, ("<=", 0): False}
_FLOATS = frozenset({"float", "fp", "div", "pow"})
_BOOLEAN = frozenset({"compare", "land", "lor", "not", "truth"})


@dataclass(frozen=True)
class Comparison:
    """``small < large``, or ``small <= large`` where it is not strict."""

    small: Value
    large: Value
    strict: bool

    @property
    def excess(self) -> Value:
        """What is not negative where the comparison holds."""
        return self.large - self.small - integer(int(self.strict))


Alternatives = tuple[list[Condition], ...]
Clause = Comparison | Alternatives
"""A comparison, or alternatives of which at least one holds."""


def is_boolean(value: Value) -> bool:
    """Whether a value is one bit, so that ``~`` negates it and ``*`` is ``&``."""
    if len(value.terms) != 1:
        return False
    ((monomial, coefficient),) = value.terms.items()
    return coefficient == 1 and bool(monomial) and all(_is_boolean_atom(a) for a in monomial if a.op != "marker")


def _is_boolean_atom(atom: Atom) -> bool:
    if atom.op in ("and", "or", "xor", "invert", "subscript"):
        return all(map(is_boolean, atom.operands))
    if atom.op == "select":
        return all(map(is_boolean, atom.operands[1:]))
    if atom.op == "symbol":
        return atom.width == BIT
    return atom.op in _BOOLEAN or (atom.op == "constant" and atom.payload in ("True", "False"))


def clauses(condition: Condition) -> Iterator[Clause]:
    """What holds where a condition does: each of what this yields. Nothing where it is not understood."""
    value, holds = condition
    constant = value.constant
    if constant is not None:
        if bool(constant) is not holds:
            yield ()
        return
    if len(value.terms) != 1:
        return
    ((monomial, coefficient),) = value.terms.items()
    factors = [a for a in monomial if a.op != "marker"]
    if coefficient != 1:
        return
    if len(factors) > 1:
        # Truths as numbers are 0 or 1: their product is no 0 where none of them is.
        if all(_is_boolean_atom(a) or a.op == "number" for a in factors):
            parts = tuple(Value({(a,): 1}) for a in factors)
            yield from _joined(parts, holds, conjunction=holds)
        return
    atom = factors[0]
    if atom.op == "compare":
        yield from _compared(atom, holds)
    elif atom.op in ("land", "lor"):
        yield from _joined(atom.operands, holds, conjunction=(atom.op == "land") is holds)
    elif atom.op in ("and", "or"):
        # Of numbers, `a & b` not zero says that both are not; nothing more.
        if holds or all(map(is_boolean, atom.operands)):
            yield from _joined(atom.operands, holds, conjunction=(atom.op == "and") is holds)
    elif atom.op == "not":
        yield from clauses((atom.operands[0], not holds))
    elif atom.op == "invert":
        if is_boolean(atom.operands[0]):
            yield from clauses((atom.operands[0], not holds))
    elif atom.op in ("truth", "number"):
        yield from clauses((atom.operands[0], holds))
    elif atom.op == "select":
        test, left, right = atom.operands
        yield [(test, True), (left, holds)], [(test, False), (right, holds)]
    elif atom.op == "constant" and atom.payload in ("True", "False") and (atom.payload == "True") is not holds:
        yield ()  # None says nothing: as a mask it lets everything through


def _joined(parts: Iterable[Value], holds: bool, *, conjunction: bool) -> Iterator[Clause]:
    if conjunction:
        for p in parts:
            yield from clauses((p, holds))
    else:
        yield tuple([(p, holds)] for p in parts)


def _compared(atom: Atom, holds: bool) -> Iterator[Clause]:
    left, right = map(_bare_truth, atom.operands)
    operator = atom.payload if holds else _NEGATED.get(atom.payload, "")
    if operator in ("==", "!=") and (is_boolean(left) or is_boolean(right)):
        truth, other = (left, right) if is_boolean(left) else (right, left)
        number = _bit(other)
        if number is not None:
            yield from clauses((truth, bool(number) is (operator == "==")))
        return
    if is_boolean(left) and (operator, right.constant) in _ONE_BIT:
        yield from clauses((left, _ONE_BIT[operator, right.constant]))
        return
    if operator == "!=" and right.constant == 0:
        yield from clauses((left, True)) if not _is_number(left) else ()
    if operator in (">", ">="):
        left, right, operator = right, left, operator.translate({ord(">"): "<"})
    if operator not in ("<", "<=", "=="):
        return
    strict = operator == "<"
    bare = _rounded(left), _rounded(right)
    if bare != (left, right):
        # Rounding to a float keeps order, but may make unequal numbers equal.
        if not strict or None in bare:
            return
        left, right = (v for v in bare if v is not None)
    if not (_cannot_wrap(left) and _cannot_wrap(right)):
        return
    yield Comparison(left, right, strict)
    if operator == "==":
        yield Comparison(right, left, strict=False)


def _bare_truth(value: Value) -> Value:
    """The truth that a number is, 1 or 0; the value itself where it is none."""
    return value.atom.operands[0] if value.atom is not None and value.atom.op == "number" else value


def _is_number(value: Value) -> bool:
    atom = value.atom
    return atom is None or atom.op not in (*_BOOLEAN, "and", "or", "select", "number")


def _bit(value: Value) -> int | None:
    atom = value.atom
    if atom is not None and atom.op == "constant" and atom.payload in ("True", "False"):
        return int(atom.payload == "True")
    return value.constant if value.constant in (0, 1) else None


def _rounded(value: Value) -> Value | None:
    """The whole number that was rounded to this float; the value itself where it is none."""
    atom = value.atom
    if atom is not None and atom.op == "float":
        return atom.operands[0]
    return None if any(a.op in _FLOATS or a.op == "constant" for m in value.terms for a in m) else value


def _cannot_wrap(value: Value) -> bool:
    return all(abs(c) < (_LARGEST_FACTOR if m else _LARGEST_CONSTANT) for m, c in value.terms.items())


# ---- proofs ---------------------------------------------------------------------------------


class Prover:
    """Proves comparisons in one kernel.

    Args:
        universe: of its values, with what is known of its symbols.
        assuming: take for granted that integer parameters of the kernel and numbers that it loads one at a time
            (sizes, lengths, shares of work) are not negative, that what divides is not 0, and that a row has a column.
    """

    def __init__(self, universe: Universe, *, assuming: bool = False) -> None:
        self.universe = universe
        self.assuming = assuming

    def follows(self, goal: Value, conditions: Iterable[Condition]) -> bool:
        """Whether a value cannot be negative where the conditions hold."""
        if not _cannot_wrap(goal):
            return False
        proof = _Proof(self.universe, self.assuming)
        return proof.refuted([Comparison(goal, integer(-1), strict=False)], list(conditions))

    def is_size(self, value: Value) -> bool:
        """Whether what a value is made of shows that it is not negative."""
        return _Proof(self.universe, self.assuming).is_size(value)


class _Proof:
    def __init__(self, universe: Universe, assuming: bool) -> None:
        self.universe = universe
        self.assuming = assuming
        self.left = _ATTEMPTS
        self._sizes: dict[Atom, bool] = {}

    def refuted(self, known: list[Comparison], conditions: list[Condition]) -> bool:
        """Whether comparisons and conditions cannot all hold."""
        return self._assuming([c.excess for c in known], [], frozenset(), conditions)

    def _search(self, facts: list[Value], choices: list[Alternatives], decided: frozenset[Atom]) -> bool:
        if () in choices:
            return True
        if self.left <= 0:
            return False
        self.left -= 1
        atoms = self._atoms_of(facts)
        known = [f for f in (*facts, *(f for a in atoms for f in self._axioms(a))) if _cannot_wrap(f)]
        if contradictory([v.terms for v in (*known, *self._products(known))]):
            return True
        if choices:
            first, rest = choices[0], choices[1:]
            return all(self._assuming(facts, rest, decided, branch) for branch in first)
        atom = next((a for a in sorted(atoms, key=lambda a: a.index) if a.op in _CASES and a not in decided), None)
        if atom is None:
            return False
        decided |= {atom}
        return all(self._assuming([*facts, *equal], choices, decided, found) for equal, found in _cases(atom))

    def _assuming(
        self,
        facts: list[Value],
        choices: list[Alternatives],
        decided: frozenset[Atom],
        conditions: list[Condition],
    ) -> bool:
        facts, choices = list(facts), list(choices)
        for condition in conditions:
            for clause in clauses(condition):
                if isinstance(clause, Comparison):
                    facts.append(clause.excess)
                else:
                    choices.append(clause)
        return self._search(facts, choices, decided)

    def _atoms_of(self, values: list[Value]) -> set[Atom]:
        """Atoms of some values, and of what is known of them."""
        found: set[Atom] = set()
        pending = list(values)
        while pending:
            for a in {a for m in pending.pop().terms for a in m} - found:
                found.add(a)
                pending += self.universe.axioms.get(a, ())
                if a.op in _DEFINED:
                    pending += a.operands[1:] if a.op == "select" else a.operands
        return found

    def _axioms(self, atom: Atom) -> Iterator[Value]:
        """What holds of an atom whatever else does."""
        yield from self.universe.axioms.get(atom, ())
        if atom in self.universe.least:
            yield Value({(atom,): 1}) - integer(self.universe.least[atom])
        elif atom in self.universe.sizes:
            yield Value({(atom,): 1}) - integer(1 if self.assuming else self.universe.sizes[atom])
        elif atom.op != "marker" and self._is_size(atom):
            yield Value({(atom,): 1})
        if self.assuming and atom in self.universe.starts:
            start, step = self.universe.starts[atom]
            if self.is_size(step):
                yield Value({(atom,): 1}) - start
        if atom.op in ("mod", "floordiv", "cdiv"):
            yield from self._divided(atom)
        if atom.op == "rshift" and self._is_size(atom):
            yield atom.operands[0] - Value({(atom,): 1})
        yield from axioms(atom)

    def _divided(self, atom: Atom) -> Iterator[Value]:
        """Bounds of a quotient or remainder: rounded towards zero, and of the dividend's sign."""
        number, divisor = atom.operands
        if not self.is_size(divisor):
            return
        it, one = Value({(atom,): 1}), integer(1)
        if atom.op == "mod":
            yield divisor - it - one
        if self.is_size(number):
            yield it
            if atom.op != "mod":
                whole = self.universe.product(it, divisor.of_width(ADAPTS))
                rest = number - whole if atom.op == "floordiv" else whole - number
                yield rest
                yield divisor - rest - one

    def is_size(self, value: Value) -> bool:
        """Whether a value is made of sizes by adding and multiplying: never negative, and no 0 divides."""
        return _cannot_wrap(value) and all(c > 0 and all(map(self._is_size, m)) for m, c in value.terms.items())

    def _is_size(self, atom: Atom) -> bool:
        if self.universe.least.get(atom, -1) >= 0 or atom in self.universe.sizes:
            return True
        if atom.op == "rshift":
            number, places = atom.operands
            return places.constant in range(31) and self.is_size(number)
        if not self.assuming:
            return False
        found = self._sizes.get(atom)
        if found is None:
            found = self._sizes[atom] = atom.op == "marker" or atom in self.universe.assumed or self._is_made(atom)
        return found

    def _is_made(self, atom: Atom) -> bool:
        """Whether an operation on sizes gives one; of a loop's counter, whether its range does."""
        if atom.op in ("min", "floordiv", "mod", "cdiv", "mul", "or"):
            return all(map(self.is_size, atom.operands))
        if atom.op == "max":
            return any(map(self.is_size, atom.operands))
        if atom.op == "select":
            return all(map(self.is_size, atom.operands[1:]))
        if atom.op in ("arange", "subscript"):
            return self.is_size(atom.operands[0])
        return atom.op == "abs" or (atom in self.universe.starts and all(map(self.is_size, self.universe.starts[atom])))

    def _products(self, known: list[Value]) -> Iterator[Value]:
        """Facts times a variable that is not negative, where the product occurs."""
        if self.assuming:
            products = {m for v in known for m in v.terms if len(m) > 1}
            yield from (Value({m: 1}) for m in products if all(map(self._is_size, m)))
        pairs = {m for v in known for m in v.terms if len(m) == 2 and m[0].op != "marker"}
        for pair in pairs:
            for factor, other in (pair, pair[::-1]):
                if self._is_size(factor):
                    for v in known:
                        if (other,) in v.terms and len(v.terms) <= 4 and all(len(m) < 2 for m in v.terms):
                            yield self.universe.product(v.of_width(0), Value({(factor,): 1}))


_CASES = frozenset({"min", "max", "select", "abs"})
_DEFINED = _CASES | {"reduce_max", "mod", "floordiv", "cdiv", "rshift", "arange"}


def _cases(atom: Atom) -> Iterator[tuple[list[Value], list[Condition]]]:
    """The alternatives of an atom: values that are not negative, and conditions."""
    it = Value({(atom,): 1})
    if atom.op == "select":
        test, left, right = atom.operands
        yield [it - left, left - it], [(test, True)]
        yield [it - right, right - it], [(test, False)]
    elif atom.op == "abs":
        (inner,) = atom.operands
        yield [it - inner, inner - it, inner], []
        yield [it + inner, -it - inner, -inner], []
    else:
        for operand in atom.operands:
            yield [it - operand, operand - it], []


def axioms(atom: Atom) -> Iterator[Value]:
    """What the operation of an atom says of it."""
    it = Value({(atom,): 1})
    if atom.op == "min":
        yield from (o - it for o in atom.operands)
    elif atom.op in ("max", "reduce_max"):
        yield from (it - o for o in atom.operands)
    elif atom.op == "abs":
        yield from (it - atom.operands[0], it + atom.operands[0])
    elif atom.op == "arange":
        start, end = atom.operands
        yield it - start
        yield end - it - integer(1)
    elif (
        atom.op == "subscript"
        and atom.payload
        and (inner := atom.operands[0].atom) is not None
        and inner.op == "arange"
    ):
        start, end = inner.operands
        yield it - start
        yield end - it - integer(1)


def contradictory(constraints: Iterable[dict[Monomial, int]]) -> bool:
    """Whether some polynomials cannot all be non-negative, with monomials as independent whole numbers."""
    rows = _tightened(constraints)
    while rows is not None and rows:
        signs: dict[Monomial, list[int]] = {}
        for key in rows:
            for m, c in key:
                signs.setdefault(m, [0, 0])[c > 0] += 1
        one_sided = {m for m, (below, above) in signs.items() if not (below and above)}
        if one_sided:  # whatever they are in can be met by making them large enough
            rows = {key: c for key, c in rows.items() if one_sided.isdisjoint(m for m, _ in key)}
            continue
        variable = min(signs, key=lambda m: signs[m][0] * signs[m][1])
        low: list[tuple[dict[Monomial, int], int]] = []
        high: list[tuple[dict[Monomial, int], int]] = []
        kept: list[dict[Monomial, int]] = []
        for key, constant in rows.items():
            row = dict(key)
            factor = row.get(variable, 0)
            if factor == 0:
                row[()] = constant
                kept.append(row)
            else:
                row[()] = constant
                (low if factor < 0 else high).append((row, abs(factor)))
        for a, fa in low:
            for b, fb in high:
                total = {m: c * fb for m, c in a.items()}
                for m, c in b.items():
                    total[m] = total.get(m, 0) + c * fa
                kept.append(total)
        if len(kept) > _MOST_CONSTRAINTS:
            return False
        rows = _tightened(kept)
    return rows is None


def _tightened(constraints: Iterable[dict[Monomial, int]]) -> dict[frozenset[tuple[Monomial, int]], int] | None:
    """Constraints without duplicates, divided by common factors; None where one can never hold."""
    rows: dict[frozenset[tuple[Monomial, int]], int] = {}
    for terms in constraints:
        factors = {m: c for m, c in terms.items() if m and c}
        constant = terms.get((), 0)
        if not factors:
            if constant < 0:
                return None
            continue
        divisor = gcd(*factors.values())
        key = frozenset((m, c // divisor) for m, c in factors.items())
        constant //= divisor
        rows[key] = min(constant, rows.get(key, constant))
    return rows
