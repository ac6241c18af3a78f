"""What a kernel loads, with the address of each: the counterpart of its stores."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from aiterfix.source.assignments import Assignments
from aiterfix.source.logic import Comparison, clauses
from aiterfix.source.names import kept_parameters
from aiterfix.source.syntax import arguments, last_name
from aiterfix.source.tree import descend
from aiterfix.source.values import ZERO, Atom, Value
from aiterfix.source.walk import KernelWalk

LOAD_PARAMETERS: dict[str, tuple[str, ...]] = {
    "load": ("pointer", "mask", "other"),
    "buffer_load": ("ptr", "offsets", "mask", "other"),
}


@dataclass(frozen=True)
class LoadCall:
    """A load, evaluated where it stands.

    Attributes:
        node: the call.
        arguments: the argument nodes by parameter name.
        address: pointer and offsets together, as `KernelView.plain` has it.
        result: what it gives.
        helper: whether it stands in a function that the kernel calls.
    """

    node: ast.Call
    arguments: dict[str, ast.expr]
    address: Value
    result: Atom
    helper: bool = False


class KernelView:
    """What a walk through a kernel found, by what is asked of it: each thing is looked for once. See `view_of`.

    Args:
        walk: through the kernel.
    """

    def __init__(self, walk: KernelWalk) -> None:
        self.walk = walk
        self._plain: dict[Atom, Value] = {}

    @cached_property
    def calls(self) -> list[tuple[ast.Call, Value]]:
        """Every call with its value, those of functions that the kernel calls among them."""
        return [(n, v) for n, v in self.walk.values.items() if isinstance(n, ast.Call)]

    @cached_property
    def loads(self) -> tuple[LoadCall, ...]:
        """Every load that a store may hang on, in source order; those of functions that the kernel calls among them."""
        found = []
        walk = self.walk
        own = set(map(id, walk.nodes))
        for node, value in self.calls:
            atom, parameters = value.atom, LOAD_PARAMETERS.get(walk.scope.triton(node.func))
            if atom is None or atom not in walk.on_device or parameters is None:
                continue
            given = arguments(node, parameters)
            parts = [walk.values.get(n) for p in ("pointer", "ptr", "offsets") if (n := given.get(p)) is not None]
            address = sum((self.plain(p) for p in parts if p is not None), ZERO)
            found.append(LoadCall(node, given, address, atom, id(node) not in own))
        return tuple(sorted(found, key=lambda f: (f.node.lineno, f.node.col_offset)))

    @cached_property
    def _names(self) -> dict[str, Atom]:
        """What each name that is used holds first."""
        found: dict[str, Atom] = {}
        for node, value in self.walk.values.items():
            if isinstance(node, ast.Name) and value.atom is not None:
                found.setdefault(node.id, value.atom)
        return found

    @cached_property
    def _kept(self) -> frozenset[str]:
        return frozenset(kept_parameters(self.walk.function))

    @cached_property
    def _mentioned(self) -> frozenset[str]:
        body = (n for s in self.walk.function.body for n in descend(s))
        return frozenset(n.id for n in body if isinstance(n, ast.Name))

    @cached_property
    def assignments(self) -> Assignments:
        """What the kernel's own statements give to which names."""
        return Assignments(self.walk.function.body)

    def parameter(self, name: str) -> Atom | None:
        """The symbol of a parameter; None where there is none, nothing uses it, or its name is bound anew."""
        return self._names.get(name) if name in self._kept else None

    def mentioned(self, name: str) -> bool:
        """Whether the kernel's body uses a name at all."""
        return name in self._mentioned

    def plain(self, value: Value) -> Value:
        """The same number whatever its width and whatever axes were added: what two tensors have in common that differ
        in these alone."""
        total = ZERO
        for monomial, coefficient in value.terms.items():
            part = Value({(): coefficient})
            for atom in monomial:
                if atom.op != "marker":
                    part = product(part, self._of_atom(atom))
            total = total + part
        return total

    def _of_atom(self, atom: Atom) -> Value:
        if atom not in self._plain:
            if (atom.op == "subscript" and len(atom.operands) == 1) or atom.op == "expand_dims":
                found = self.plain(atom.operands[0])
            elif not atom.operands:
                found = Value({(atom,): 1})
            else:
                operands = tuple(self.plain(o) for o in atom.operands)
                universe = self.walk.universe
                found = universe.operation(atom.op, atom.payload, operands, atom.rank)
                if found.atom is not None and atom in universe.least:
                    universe.least.setdefault(found.atom, universe.least[atom])
            self._plain[atom] = found
        return self._plain[atom]

    @cached_property
    def comparisons(self) -> list[tuple[ast.Compare, tuple[Comparison, ...]]]:
        """Every comparison that the kernel itself spells, with what holds where it does."""
        own = ((n, self.walk.values.get(n)) for n in self.walk.nodes if isinstance(n, ast.Compare))
        return [(n, self.clauses(self.plain(v))) for n, v in own if v is not None]

    def clauses(self, condition: Value) -> tuple[Comparison, ...]:
        """The comparisons that hold where a plain condition does."""
        return tuple(c for c in clauses((condition, True)) if isinstance(c, Comparison))

    def made_of(self, condition: Value) -> tuple[list[Comparison], bool]:
        """The comparisons that all hold where a plain condition does, and whether it is made of these alone; none of
        one that is no conjunction of comparisons and their opposites."""
        parts = _conjuncts(condition)
        found = [self.clauses(part) for part in parts]
        return [c for clauses in found for c in clauses], bool(parts) and all(found)

    def spelled(self, name: str) -> ast.expr | None:
        """How the kernel itself calls a function of Triton; None where it does not."""
        calls = (n.func for n in self.walk.nodes if isinstance(n, ast.Call))
        return next((f for f in calls if last_name(f) == name and self.walk.scope.triton(f)), None)

    def calls_giving(self, atom: Atom) -> Iterator[ast.Call]:
        """The calls whose result a symbol is."""
        return (node for node, value in self.calls if value.atom is atom)


def view_of(walk: KernelWalk) -> KernelView:
    """The one view of a kernel, which all faults share."""
    return walk.once("view", lambda: KernelView(walk))


def _conjuncts(condition: Value) -> list[Value]:
    """The comparisons, or their opposites, all of which make a condition; none where it is made in another way."""
    atom = condition.atom
    inner = atom.operands[0].atom if atom is not None and atom.op in ("not", "invert") else atom
    if inner is not None and inner.op == "compare":
        return [condition]
    if atom is None or atom.op not in ("and", "land"):
        return []
    parts = [_conjuncts(o) for o in atom.operands]
    return [c for part in parts for c in part] if all(parts) else []


def product(left: Value, right: Value) -> Value:
    """The product of plain values."""
    terms: dict[tuple[Atom, ...], int] = {}
    for m, c in left.terms.items():
        for n, d in right.terms.items():
            key = tuple(sorted((*m, *n), key=lambda a: a.index))
            terms[key] = terms.get(key, 0) + c * d
    return Value(terms)


def without(value: Value, atom: Atom) -> tuple[Value, Value]:
    """The terms of a value that have a factor, with it taken out, and the others."""
    having: dict[tuple[Atom, ...], int] = {}
    others: dict[tuple[Atom, ...], int] = {}
    for monomial, coefficient in value.terms.items():
        if atom in monomial:
            rest = list(monomial)
            rest.remove(atom)
            having[tuple(rest)] = coefficient
        else:
            others[monomial] = coefficient
    return Value(having), Value(others)
