"""What a kernel loads, with the address of each: the counterpart of its stores."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from aiterfix.source.logic import Comparison, clauses
from aiterfix.source.names import bound_names, function_parameters
from aiterfix.source.scope import is_triton
from aiterfix.source.values import ZERO, Atom, Value
from aiterfix.source.vocabulary import last_name
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
    """What a walk through a kernel found, by what is asked of it: each thing is looked for once.

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
        """See `loads_of`."""
        return loads_of(self)

    @property
    def _names(self) -> dict[str, Atom]:
        """What each name that is used holds first."""
        return self.walk.once("names", self._first_held)

    def _first_held(self) -> dict[str, Atom]:
        found: dict[str, Atom] = {}
        for node, value in self.walk.values.items():
            if isinstance(node, ast.Name) and value.atom is not None:
                found.setdefault(node.id, value.atom)
        return found

    @property
    def _bound(self) -> frozenset[str]:
        body = self.walk.function.body
        return self.walk.once("bound", lambda: frozenset(n for s in body for n in bound_names(s)))

    @property
    def _mentioned(self) -> frozenset[str]:
        body = (n for s in self.walk.function.body for n in ast.walk(s))
        return self.walk.once("mentioned", lambda: frozenset(n.id for n in body if isinstance(n, ast.Name)))

    def parameter(self, name: str) -> Atom | None:
        """The symbol of a parameter; None where there is none, nothing uses it, or its name is bound anew."""
        if name not in function_parameters(self.walk.function) or name in self._bound:
            return None
        return self._names.get(name)

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
                    part = _product(part, self._of_atom(atom))
            total = total + part
        return total

    def _of_atom(self, atom: Atom) -> Value:
        if atom not in self._plain:
            if atom.op == "subscript" and len(atom.operands) == 1:
                found = self.plain(atom.operands[0])
            elif not atom.operands:
                found = Value({(atom,): 1})
            else:
                operands = tuple(self.plain(o) for o in atom.operands)
                found = self.walk.universe.operation(atom.op, atom.payload, operands, atom.rank)
            self._plain[atom] = found
        return self._plain[atom]

    @cached_property
    def comparisons(self) -> list[tuple[ast.Compare, tuple[Comparison, ...]]]:
        """Every comparison that the kernel itself spells, with what holds where it does."""
        own = ((n, self.walk.values.get(n)) for n in ast.walk(self.walk.function) if isinstance(n, ast.Compare))
        return [(n, self.clauses(self.plain(v))) for n, v in own if v is not None]

    def clauses(self, condition: Value) -> tuple[Comparison, ...]:
        """The comparisons that hold where a plain condition does."""
        return tuple(c for c in clauses((condition, True)) if isinstance(c, Comparison))

    def spelled(self, name: str) -> ast.expr | None:
        """How the kernel itself calls a function of Triton; None where it does not."""
        calls = (n.func for n in ast.walk(self.walk.function) if isinstance(n, ast.Call))
        return next((f for f in calls if last_name(f) == name and is_triton(self.walk.scope.dotted(f))), None)

    def calls_giving(self, atom: Atom) -> Iterator[ast.Call]:
        """The calls whose result a symbol is."""
        return (node for node, value in self.calls if value.atom is atom)


def loads_of(view: KernelView) -> tuple[LoadCall, ...]:
    """Every load that a store may hang on, in source order; those of functions that the kernel calls among them."""
    found = []
    walk = view.walk
    own = {id(n) for n in ast.walk(walk.function)}
    for node, value in view.calls:
        atom = value.atom
        if atom is None or atom not in walk.on_device:
            continue
        parameters = LOAD_PARAMETERS.get((walk.scope.dotted(node.func) or "").rpartition(".")[2])
        if parameters is None or not is_triton(walk.scope.dotted(node.func)):
            continue
        arguments = dict(zip(parameters, node.args, strict=False))
        arguments |= {k.arg: k.value for k in node.keywords if k.arg is not None}
        parts = [walk.values.get(n) for p in ("pointer", "ptr", "offsets") if (n := arguments.get(p)) is not None]
        address = sum((view.plain(p) for p in parts if p is not None), ZERO)
        found.append(LoadCall(node, arguments, address, atom, id(node) not in own))
    return tuple(sorted(found, key=lambda f: (f.node.lineno, f.node.col_offset)))


def _product(left: Value, right: Value) -> Value:
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
