"""Statements that give names, attributes and items a meaning, or change a thing in place."""

# Visitors are named after the classes of `ast`.
# ruff: noqa: N802, N815

from __future__ import annotations

import ast
from dataclasses import replace

from aiterfix.consumers import tensors
from aiterfix.consumers.core import ENTRIES, Core
from aiterfix.consumers.functions import TRANSPARENT
from aiterfix.consumers.program import MUTATORS, absolute_module, parameters
from aiterfix.consumers.state import Alternatives, Arguments, Frame, captured, one, unite
from aiterfix.consumers.syntax import decorator, handed_on, terminal
from aiterfix.consumers.values import (
    Atom,
    Cache,
    EntryPoint,
    Imported,
    Local,
    Module,
    Row,
    Table,
    Tensor,
    Value,
    fresh,
    item,
    single,
)

_EMPTY_DICTS = frozenset({"dict", "OrderedDict", "defaultdict", "WeakKeyDictionary", "WeakValueDictionary"})


class Assignments(Core):
    """``a = b``, ``a.b = c``, ``a[b] = c``, imports and definitions."""

    def changed_by(self, node: ast.Call, frame: Frame) -> None:
        """A call of a method that changes its object in place."""
        if isinstance(node.func, ast.Attribute):
            name = node.func.attr
            in_place = name.endswith("_") and not name.startswith("_") and name not in tensors.METHODS
            if name in MUTATORS or in_place:
                self.changed(node.func.value, frame)

    def changed(self, node: ast.expr, frame: Frame) -> None:
        """Something was changed in place: all that may stand for it means something unknown now."""
        if isinstance(node, ast.Name):
            values: Alternatives = frame.state.names.get(node.id, ())
        elif isinstance(node, ast.Attribute):
            values = self.evaluate(node, frame)
        else:
            return
        old = {v for v in values if isinstance(v, (Row, Table, Tensor))}
        if old:
            for names in (frame.state.names, self.stores):
                for other, held in names.items():
                    if not old.isdisjoint(held):
                        names[other] = (fresh(f"{other}, changed in place"),)

    def _do_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef, frame: Frame) -> None:
        prefix = f"{frame.qualified}.<locals>." if frame.function is not None else ""
        identity = f"{frame.source.dotted}:{prefix}{node.name}"
        function = frame.source.functions.get(identity)
        while function is not None and function.node is not node:
            identity += "'"
            function = frame.source.functions.get(identity)
        if function is None:
            frame.state.names[node.name] = (fresh(node.name),)
            return
        if all(decorator(d) in TRANSPARENT for d in node.decorator_list):
            frame.state.names[node.name] = (Local(identity),)
        else:
            frame.state.names[node.name] = (single(Atom("global", node.name, (identity,))),)
        if frame.function is not None and self.stands_in_relevant(frame):
            # It may be called from anywhere: what it does is followed where it is defined.
            leaves = handed_on(node.name, frame.function)
            outer = frame
            if leaves:
                outer = replace(frame, state=captured(frame))
            else:
                self.supposed += 1
            try:
                self.enter(function, Arguments((), {}, False), None, outer=outer)
            finally:
                self.supposed -= not leaves

    _do_AsyncFunctionDef = _do_FunctionDef

    def _do_ClassDef(self, node: ast.ClassDef, frame: Frame) -> None:
        frame.state.names[node.name] = (single(Atom("class", node.name, (frame.source.dotted, node.name))),)

    def _do_Global(self, node: ast.Global, frame: Frame) -> None:
        frame.globals.update(node.names)

    def _do_Import(self, node: ast.Import, frame: Frame) -> None:
        for alias in node.names:
            name = alias.name if alias.asname else alias.name.partition(".")[0]
            frame.state.names[alias.asname or name] = (Module(name),)

    def _do_ImportFrom(self, node: ast.ImportFrom, frame: Frame) -> None:
        module = absolute_module(frame.source, node)
        own = module.partition(".")[0] == self.program.package.name
        for alias in node.names:
            value: Value = Imported(module, alias.name)
            if alias.name in ENTRIES and not own:
                value = EntryPoint(alias.name)
            elif own:
                value = self.own_import(module, alias.name)
            frame.state.names[alias.asname or alias.name] = (value,)

    def own_import(self, module: str, name: str) -> Value:
        """What a name imported from the package itself stands for."""
        if name in ENTRIES:
            source = self.program.module(module)
            found = () if source is None else self.global_name(name, source)
            return one(found) if found else EntryPoint(name)
        if self.program.place_of(f"{module}.{name}") is not None:
            return Module(f"{module}.{name}")
        if name in self.watched:
            source = self.program.module(module)
            for value in self.module_names(source).get(name, ()) if source is not None else ():
                if isinstance(value, EntryPoint):
                    return value
        return Imported(module, name)

    def _do_Assign(self, node: ast.Assign, frame: Frame) -> None:
        values = self._assigned(node, frame)
        for target in node.targets:
            self.store(target, values, frame, node.lineno)

    def _assigned(self, node: ast.Assign, frame: Frame) -> Alternatives:
        target = node.targets[0]
        value = node.value
        empty = (isinstance(value, ast.Dict) and not value.keys) or (
            isinstance(value, ast.Call) and terminal(value.func) in _EMPTY_DICTS and not value.keywords
        )
        if frame.function is None and isinstance(target, ast.Name) and empty:
            return (Cache(f"{frame.source.dotted}:{target.id}"),)
        return self.evaluate(value, frame)

    def _do_AnnAssign(self, node: ast.AnnAssign, frame: Frame) -> None:
        if node.value is not None:
            assign = ast.Assign([node.target], node.value)
            ast.copy_location(assign, node)
            self._do_Assign(assign, frame)

    def _do_AugAssign(self, node: ast.AugAssign, frame: Frame) -> None:
        read = ast.copy_location(ast.Name("_", ast.Load()), node)
        if isinstance(node.target, ast.Name):
            read.id = node.target.id
            made = self.evaluate(ast.copy_location(ast.BinOp(read, node.op, node.value), node), frame)
            self.changed(node.target, frame)
            self.store(node.target, made, frame, node.lineno)
        else:
            self.evaluate(node.value, frame)
            self.store(node.target, (fresh("changed in place"),), frame, node.lineno)

    def store(self, target: ast.expr, values: Alternatives, frame: Frame, line: int) -> None:
        """Give a name, an attribute, an item or several of them a value."""
        if isinstance(target, ast.Name):
            if target.id in frame.globals:
                key = f"{frame.source.dotted}:{target.id}"
                self.stores[key] = unite(self.stores.get(key, ()), values)
            else:
                frame.state.names[target.id] = values
        elif isinstance(target, (ast.Tuple, ast.List)):
            self._unpack(target, self.forced(values), frame, line)
        elif isinstance(target, ast.Starred):
            self.store(target.value, (fresh("several values"),), frame, line)
        elif isinstance(target, ast.Attribute):
            self._store_attribute(target, values, frame, line)
        elif isinstance(target, ast.Subscript):
            for base in self.evaluate(target.value, frame):
                if isinstance(base, Cache):
                    self.stores[base.key] = unite(self.stores.get(base.key, ()), values)
                else:
                    for value in values:
                        self.escape(value, line, frame, "is put into a container")
            if not any(isinstance(v, Tensor) for v in self.evaluate(target.value, frame)):
                self.changed(target.value, frame)

    def _store_attribute(self, target: ast.Attribute, values: Alternatives, frame: Frame, line: int) -> None:
        function = frame.function
        if isinstance(target.value, ast.Name):
            self.changed(target.value, frame)
            if (
                function is not None
                and function.class_name is not None
                and parameters(function.node)[:1] == [target.value.id]
            ):
                key = f"{frame.source.dotted}:{function.class_name}.{target.attr}"
                self.stores[key] = unite(self.stores.get(key, ()), values)
        for value in values:
            self.escape(value, line, frame, f"is kept as attribute {target.attr}")

    def _unpack(self, target: ast.Tuple | ast.List, values: Alternatives, frame: Frame, line: int) -> None:
        starred = [i for i, t in enumerate(target.elts) if isinstance(t, ast.Starred)]
        count = len(target.elts)
        for index, part in enumerate(target.elts):
            if starred and index == starred[0]:
                chosen: Alternatives = (fresh("several values"),)
            else:
                place = index - count if starred and index > starred[0] else index
                chosen = unite(item(value, place) for value in values)
            self.store(part, chosen, frame, line)
