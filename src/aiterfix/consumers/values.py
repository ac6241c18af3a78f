"""Symbolic values: integers as sums of products of atoms, tensors as shapes and strides, and references.

Two values are equal exactly when they are known to be the same thing at run time; an unknown result gets an atom of
its own (``fresh``), so that it is equal to nothing else.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass


@dataclass(frozen=True)
class Atom:
    """Something that is not taken apart further.

    Attributes:
        kind: "parameter", "attribute", "item", "pure" (a function of its parts alone), or "opaque".
        text: how the source says it.
        parts: what it is made of; for parameters the function's identity; for opaque ones a serial number.
    """

    kind: str
    text: str
    parts: tuple[object, ...] = ()


@dataclass(frozen=True)
class Sum:
    """An integer: products of atoms with coefficients, sorted; an opaque thing is a sum of its one atom."""

    terms: tuple[tuple[tuple[Atom, ...], int], ...] = ()

    @property
    def constant(self) -> int | None:
        """The number, where it is one."""
        if not self.terms:
            return 0
        if len(self.terms) == 1 and not self.terms[0][0]:
            return self.terms[0][1]
        return None

    @property
    def atom(self) -> Atom | None:
        """The one atom that this is."""
        if len(self.terms) == 1:
            product, factor = self.terms[0]
            if factor == 1 and len(product) == 1:
                return product[0]
        return None


@dataclass(frozen=True)
class Flag:
    """True, False, or a comparison of two integers."""

    value: bool | None
    operator: str = ""
    left: Sum | None = None
    right: Sum | None = None


@dataclass(frozen=True)
class Text:
    """A string."""

    value: str


@dataclass(frozen=True)
class Nothing:
    """None."""


@dataclass(frozen=True)
class Row:
    """A tuple, list, or shape of known length."""

    items: tuple[Value, ...]


@dataclass(frozen=True)
class Table:
    """A dict with string keys, for ``**arguments``."""

    items: tuple[tuple[str, Value], ...]


@dataclass(frozen=True)
class Tensor:
    """Shape and strides in elements; strides are None where the memory's layout is not known."""

    shape: tuple[Sum, ...]
    strides: tuple[Sum, ...] | None
    why: str = ""


@dataclass(frozen=True)
class EntryPoint:
    """A function of aiter's wrapper, perhaps with some arguments bound."""

    name: str
    arguments: tuple[Value, ...] = ()
    keywords: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True)
class Module:
    """An imported module, by dotted name."""

    name: str


@dataclass(frozen=True)
class Imported:
    """A name taken from a module that has not been looked into."""

    module: str
    name: str


@dataclass(frozen=True)
class Local:
    """A function of this package, by identity (see ``Program``); ``owner`` is bound as the first argument."""

    identity: str
    owner: Sum | None = None


@dataclass(frozen=True)
class Cache:
    """A dict or variable that lives longer than a call, by the key under which its stores are kept."""

    key: str


Value = Sum | Flag | Text | Nothing | Row | Table | Tensor | EntryPoint | Module | Imported | Local | Cache

_serial = itertools.count(1)
_SHORT = 80  # characters of a text that a person reads


def number(value: int) -> Sum:
    """A constant."""
    return Sum((((), value),)) if value else Sum()


def single(atom: Atom) -> Sum:
    """An atom as a value."""
    return Sum((((atom,), 1),))


def fresh(text: str) -> Sum:
    """Something that is known to equal nothing else."""
    return single(Atom("opaque", text[:_SHORT], (next(_serial),)))


def pure(name: str, *parts: Value) -> Sum:
    """A function of its arguments alone."""
    return single(Atom("pure", f"{name}({', '.join(map(describe, parts))})"[:_SHORT], (name, *parts)))


def _collect(terms: dict[tuple[Atom, ...], int]) -> Sum:
    return Sum(tuple(sorted(((k, v) for k, v in terms.items() if v), key=repr)))


def add(left: Sum, right: Sum, sign: int = 1) -> Sum:
    """``left + sign * right``."""
    terms = dict(left.terms)
    for product, factor in right.terms:
        terms[product] = terms.get(product, 0) + sign * factor
    return _collect(terms)


def multiply(left: Sum, right: Sum) -> Sum:
    """The product of two integers."""
    terms: dict[tuple[Atom, ...], int] = {}
    for a, m in left.terms:
        for b, n in right.terms:
            key = tuple(sorted((*a, *b), key=repr))
            terms[key] = terms.get(key, 0) + m * n
    return _collect(terms)


def divide(left: Sum, right: Sum) -> Sum:
    """``left // right``."""
    a, b = left.constant, right.constant
    if a is not None and b:
        return number(a // b)
    if b == 1:
        return left
    return single(Atom("pure", f"{describe(left)} // {describe(right)}"[:_SHORT], ("//", left, right)))


def is_multiple(value: Sum, of: Sum) -> bool:
    """Whether ``value`` is certainly a whole multiple of ``of``."""
    if value == of or not value.terms:
        return True
    divisor = of.constant
    if divisor is not None:
        return divisor != 0 and all(
            factor % divisor == 0 or any(_rounded(atom, of) for atom in product) for product, factor in value.terms
        )
    if len(of.terms) != 1:
        return False
    wanted, scale = of.terms[0]
    for product, factor in value.terms:
        if len(value.terms) == 1 and any(_rounded(atom, of) for atom in product):
            continue
        rest = list(product)
        for atom in wanted:
            if atom not in rest:
                return False
            rest.remove(atom)
        if factor % scale:
            return False
    return True


def _rounded(atom: Atom, to: Sum) -> bool:
    return atom.kind == "pure" and len(atom.parts) == 3 and atom.parts[0] == "round_up" and atom.parts[2] == to


def contiguous(shape: tuple[Sum, ...], why: str = "") -> Tensor:
    """A tensor whose rows follow each other without a gap."""
    strides: list[Sum] = []
    step = number(1)
    for size in reversed(shape):
        strides.insert(0, step)
        step = multiply(step, size)
    return Tensor(shape, tuple(strides), why)


def describe(value: object) -> str:
    """A value as a person would write it."""
    if isinstance(value, Sum):
        if value.constant is not None:
            return str(value.constant)
        out = ""
        # What is named comes before what is added to it.
        for product, factor in sorted(value.terms, key=lambda term: not term[0]):
            text = " * ".join(_atom_text(atom) for atom in product)
            size = "" if abs(factor) == 1 and product else str(abs(factor)) + (" * " if product else "")
            sign = (" - " if factor < 0 else " + ") if out else ("-" if factor < 0 else "")
            out += sign + size + text
        return out
    if isinstance(value, Flag):
        if value.value is not None:
            return str(value.value)
        return f"{describe(value.left)} {value.operator} {describe(value.right)}"
    if isinstance(value, Text):
        return repr(value.value)
    if isinstance(value, Row):
        return "(" + ", ".join(map(describe, value.items)) + ")"
    if isinstance(value, Tensor):
        return "tensor" + describe(Row(value.shape))
    if isinstance(value, (EntryPoint, Imported, Module)):
        return value.name
    if isinstance(value, Local):
        return value.identity.rpartition(":")[2]
    if isinstance(value, Cache):
        return value.key.rpartition(":")[2]
    return "None" if isinstance(value, Nothing) else "a table"


def _atom_text(atom: Atom) -> str:
    return f"({atom.text})" if atom.kind == "pure" and " // " in atom.text else atom.text


def _tail(text: str) -> str:
    """The end of a long text: what is asked of a thing says more than how it is reached."""
    return text if len(text) <= _SHORT else "…" + text[1 - _SHORT :]


def attribute(value: Value, name: str) -> Value | None:
    """``value.name`` where the value itself says; None where only its holder can."""
    if isinstance(value, Tensor):
        if name == "shape":
            return Row(value.shape)
        if name == "ndim":
            return number(len(value.shape))
        return fresh(f"a tensor's {name}")
    if isinstance(value, Sum):
        return single(Atom("attribute", _tail(f"{describe(value)}.{name}"), (value, name)))
    return None


def item(value: Value, index: int) -> Value:
    """``value[index]`` of a sequence."""
    if isinstance(value, Row) and -len(value.items) <= index < len(value.items):
        return value.items[index]
    if isinstance(value, Sum):
        return single(Atom("item", _tail(f"{describe(value)}[{index}]"), (value, index)))
    return fresh(f"{describe(value)}[{index}]")


Bindings = dict[Atom, Value]


def substitute(value: Value, bindings: Bindings) -> Value:
    """The value with atoms replaced: what a function's parameters are for one of its callers."""
    if isinstance(value, Sum):
        if value.atom is not None:
            return _substitute_atom(value.atom, bindings)
        total = number(0)
        for product, factor in value.terms:
            part = number(factor)
            for atom in product:
                replaced = _substitute_atom(atom, bindings)
                part = multiply(part, replaced if isinstance(replaced, Sum) else fresh(atom.text))
            total = add(total, part)
        return total
    if isinstance(value, Tensor):
        shape = tuple(as_sum(substitute(size, bindings)) for size in value.shape)
        strides = None if value.strides is None else tuple(as_sum(substitute(s, bindings)) for s in value.strides)
        return Tensor(shape, strides, value.why)
    if isinstance(value, Row):
        return Row(tuple(substitute(part, bindings) for part in value.items))
    if isinstance(value, Flag) and value.left is not None and value.right is not None:
        return compare(
            value.operator, as_sum(substitute(value.left, bindings)), as_sum(substitute(value.right, bindings))
        )
    return value


def as_sum(value: Value) -> Sum:
    """The value where an integer is wanted."""
    return value if isinstance(value, Sum) else fresh(describe(value))


def _substitute_atom(atom: Atom, bindings: Bindings) -> Value:
    if atom in bindings:
        return bindings[atom]
    if atom.kind == "attribute":
        base, name = atom.parts
        assert isinstance(name, str)
        new = substitute(base, bindings)  # type: ignore[arg-type]
        if new != base:
            found = attribute(new, name)
            return fresh(atom.text) if found is None else found
    elif atom.kind == "item":
        base, index = atom.parts
        assert isinstance(index, int)
        new = substitute(base, bindings)  # type: ignore[arg-type]
        if new != base:
            return item(new, index)
    elif atom.kind == "pure":
        name, *parts = atom.parts
        replaced = [substitute(part, bindings) for part in parts]  # type: ignore[arg-type]
        if replaced != parts:
            if name == "//" and all(isinstance(part, Sum) for part in replaced):
                return divide(as_sum(replaced[0]), as_sum(replaced[1]))
            return pure(str(name), *replaced)
    return single(atom)


_COMPARISONS = {
    "<": int.__lt__,
    "<=": int.__le__,
    ">": int.__gt__,
    ">=": int.__ge__,
    "==": int.__eq__,
    "!=": int.__ne__,
}


def compare(operator: str, left: Sum, right: Sum) -> Flag:
    """A comparison of two integers, decided where it can be."""
    difference = add(left, right, -1).constant
    if difference is not None and operator in _COMPARISONS:
        return Flag(bool(_COMPARISONS[operator](difference, 0)))
    return Flag(None, operator, left, right)


def atoms(value: Value) -> set[Atom]:
    """Every atom in a value, those inside other atoms too."""
    found: set[Atom] = set()
    pending: list[object] = [value]
    while pending:
        here = pending.pop()
        if isinstance(here, Sum):
            pending += [atom for product, _ in here.terms for atom in product]
        elif isinstance(here, Atom):
            if here not in found:
                found.add(here)
                pending += here.parts
        elif isinstance(here, Tensor):
            pending += [*here.shape, *(here.strides or ())]
        elif isinstance(here, Row):
            pending += here.items
        elif isinstance(here, Flag):
            pending += [here.left, here.right]
    return found
