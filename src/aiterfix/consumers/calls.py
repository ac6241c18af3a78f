"""A call as an expression: its arguments, built-in functions, and torch's; others are handed on."""

# Visitors are named after the classes of `ast`.
# ruff: noqa: N802

from __future__ import annotations

import ast
from collections.abc import Sequence

from aiterfix.consumers import tensors
from aiterfix.consumers.arithmetic import PURE, apply_pure, whole
from aiterfix.consumers.core import ENTRIES, Core
from aiterfix.consumers.state import Alternatives, Arguments, Frame, chosen_of, product, unite
from aiterfix.consumers.syntax import terminal
from aiterfix.consumers.trees import text_of
from aiterfix.consumers.values import Cache, EntryPoint, Imported, Module, Nothing, Row, Sum, Table, Text, Value, fresh


class Calls(Core):
    """``f(...)``."""

    def _Call(self, node: ast.Call, frame: Frame) -> Alternatives:
        result = self._result(node, frame)
        self.changed_by(node, frame)
        return result

    def _result(self, node: ast.Call, frame: Frame) -> Alternatives:
        bases: Alternatives = ()
        if isinstance(node.func, ast.Attribute):
            bases = self.evaluate(node.func.value, frame)
            callee = self.access(bases, node.func, frame)
        else:
            callee = self.evaluate(node.func, frame)
        arguments = self.arguments(node, frame)
        taken = self._special(node, arguments, frame)
        if taken is not None:
            return taken
        followed = self.call(node, callee, arguments, frame)
        if followed is not None:
            return followed
        name = terminal(node.func)
        if isinstance(node.func, ast.Attribute):
            if name in tensors.METHODS:
                bases = self.forced(bases)
            return unite(*(self._method(b, name, *chosen, node) for b in bases for chosen in chosen_of(arguments)))
        made = self._function(name, callee, arguments, frame)
        return (fresh(text_of(node)),) if made is None else made

    def arguments(self, node: ast.Call, frame: Frame) -> Arguments:
        """The arguments of a call, evaluated."""
        positional: list[Alternatives] = []
        keywords: dict[str, Alternatives] = {}
        complete = True
        for part in node.args:
            if isinstance(part, ast.Starred):
                values = self.evaluate(part.value, frame)
                if len(values) == 1 and isinstance(values[0], Row):
                    positional += [(v,) for v in values[0].items]
                else:
                    complete = False
                    break
            else:
                positional.append(self.evaluate(part, frame))
        for keyword in node.keywords:
            values = self.evaluate(keyword.value, frame)
            if keyword.arg is not None:
                keywords[keyword.arg] = values
            elif len(values) == 1 and isinstance(values[0], Table):
                keywords.update({k: (v,) for k, v in values[0].items})
            else:
                complete = False
        return Arguments(tuple(positional), keywords, complete)

    def _special(self, node: ast.Call, arguments: Arguments, frame: Frame) -> Alternatives | None:
        """Built-in ways to come by a function."""
        name = terminal(node.func)
        if name == "getattr" and len(arguments.positional) >= 2:
            results: list[Value] = []
            for wanted in arguments.positional[1]:
                if isinstance(wanted, Text) and wanted.value in ENTRIES:
                    results.append(EntryPoint(wanted.value))
                elif isinstance(wanted, Text) and wanted.value.isidentifier():
                    access = ast.Attribute(node.args[0], wanted.value, ast.Load())
                    ast.copy_location(access, node)
                    results += self.access(self.evaluate(node.args[0], frame), access, frame)
                else:
                    results.append(fresh(text_of(node)))
            return unite(results, *arguments.positional[2:])
        if name == "partial" and arguments.positional:
            heads = [v for v in arguments.positional[0] if isinstance(v, EntryPoint)]
            if heads and arguments.complete:
                rest, keywords = Arguments(arguments.positional[1:], arguments.keywords).single()
                return unite(
                    EntryPoint(h.name, (*h.arguments, *rest), tuple({**dict(h.keywords), **keywords}.items()))
                    for h in heads
                )
        if name == "dict" and not arguments.positional and arguments.complete and arguments.keywords:
            return (Table(tuple(arguments.single()[1].items())),)
        if name == "type" and len(arguments.positional) == 1:
            return arguments.positional[0]  # attributes that a class has are looked up as its instance's
        if name in ("tuple", "list") and len(arguments.positional) == 1 and not arguments.keywords:
            return arguments.positional[0]
        if name == "int" and len(arguments.positional) == 1 and not arguments.keywords:
            return unite(whole(v) if isinstance(v, Sum) else fresh(text_of(node)) for v in arguments.positional[0])
        if name == "bool" and len(arguments.positional) == 1:
            return arguments.positional[0]
        if name == "import_module" and arguments.positional:
            return unite(
                Module(v.value) if isinstance(v, Text) and v.value else fresh(text_of(node))
                for v in arguments.positional[0]
            )
        return None

    def _function(self, name: str, callee: Alternatives, arguments: Arguments, frame: Frame) -> Alternatives | None:
        if name in PURE and arguments.complete and not arguments.keywords:
            return unite(apply_pure(name, chosen) for chosen in product(list(arguments.positional)))
        if any(isinstance(v, Imported) and v.module == "torch" for v in callee):
            return self._torch(name, arguments)
        return None

    def _torch(self, name: str, arguments: Arguments) -> Alternatives | None:
        if not arguments.complete:
            return None
        made = [tensors.construct(name, positional, keywords) for positional, keywords in chosen_of(arguments)]
        return unite(m for m in made if m is not None) if made and None not in made else None

    def _method(
        self, base: Value, name: str, positional: Sequence[Value], keywords: dict[str, Value], node: ast.Call
    ) -> Alternatives:
        unknown = (fresh(text_of(node)),)
        if isinstance(base, Cache):
            if name in ("get", "pop"):
                key = positional[0] if positional else Nothing()
                return unite(self.stored(base, key), positional[1:2] or (Nothing(),))
            if name == "setdefault" and len(positional) == 2:
                self.stores[base.key] = unite(self.stores.get(base.key, ()), positional[1:])
                return self.stored(base, positional[0])
            return unknown
        made: Value | None = None
        if isinstance(base, Module):
            if base.name == "torch":
                made = tensors.construct(name, positional, keywords)
            elif name in PURE and not keywords:
                return (apply_pure(name, positional),)
        elif isinstance(base, Imported):
            made = apply_pure(name, positional) if name in PURE and not keywords else None
        else:
            made = tensors.method(base, name, positional, keywords)
        made = (
            made or tensors.construct_new(name, positional, keywords) or tensors.workspace(name, positional, keywords)
        )
        return unknown if made is None else (made,)
