"""Attributes and items: of modules and objects, of sequences, dicts and caches, of tensors."""

# Visitors are named after the classes of `ast`.
# ruff: noqa: N802

from __future__ import annotations

import ast

from aiterfix.consumers import tensors
from aiterfix.consumers.core import ENTRIES, Core
from aiterfix.consumers.state import Alternatives, Frame, one, unite
from aiterfix.consumers.trees import text_of
from aiterfix.consumers.values import (
    Cache,
    EntryPoint,
    Imported,
    Module,
    Nothing,
    Row,
    Sum,
    Table,
    Tensor,
    Text,
    Value,
    attribute,
    fresh,
    item,
)


class Subscripts(Core):
    """``a.b`` and ``a[b]``."""

    def _Attribute(self, node: ast.Attribute, frame: Frame) -> Alternatives:
        return self.access(self.evaluate(node.value, frame), node, frame)

    def access(self, bases: Alternatives, node: ast.Attribute, frame: Frame) -> Alternatives:
        """``base.name`` for every base."""
        if node.attr in ENTRIES and not any(isinstance(base, Module) and self.own(base.name) for base in bases):
            return (EntryPoint(node.attr),)
        return unite(*(self._attribute(base, node, frame) for base in bases))

    def _attribute(self, base: Value, node: ast.Attribute, frame: Frame) -> Alternatives:
        if isinstance(base, Module):
            source = self.program.module(base.name)
            if source is not None:
                inner = f"{base.name}.{node.attr}"
                return (Module(inner),) if self.program.place_of(inner) else self.global_name(node.attr, source)
            return (Imported(base.name, node.attr),)
        if isinstance(base, Imported):
            return (Imported(f"{base.module}.{base.name}", node.attr),)
        if isinstance(base, Sum):
            known = self.member(base, node.attr, frame)
            if known is not None:
                return known
        found = attribute(base, node.attr)
        return (fresh(text_of(node)) if found is None else found,)

    def _Subscript(self, node: ast.Subscript, frame: Frame) -> Alternatives:
        bases = self.forced(self.evaluate(node.value, frame))
        return unite(*(self._subscript(base, node, frame) for base in bases))

    def _subscript(self, base: Value, node: ast.Subscript, frame: Frame) -> Alternatives:
        if isinstance(base, Cache):
            return self.stored(base, one(self.evaluate(node.slice, frame))) or (fresh(text_of(node)),)
        if isinstance(base, Tensor):
            return (self._sliced(base, node.slice, frame) or Tensor(base.shape, None, f"{text_of(node)}"),)
        if isinstance(node.slice, ast.Slice):
            return (self._part(base, node.slice, frame) or fresh(text_of(node)),)
        results: list[Value] = []
        for index in self.evaluate(node.slice, frame):
            if isinstance(index, Text) and index.value in ENTRIES:
                results.append(EntryPoint(index.value))
            elif isinstance(index, Text) and isinstance(base, Table):
                results.append(dict(base.items).get(index.value, fresh(text_of(node))))
            elif isinstance(index, Sum) and index.constant is not None and isinstance(base, (Row, Sum)):
                results.append(item(base, index.constant))
            else:
                results.append(fresh(text_of(node)))
        return unite(results)

    def _part(self, base: Value, node: ast.Slice, frame: Frame) -> Value | None:
        limits = [one(self.evaluate(n, frame)) if n is not None else None for n in (node.lower, node.upper)]
        ends = [limit.constant if isinstance(limit, Sum) else None for limit in limits]
        if node.step is not None or any(x is not None and e is None for x, e in zip(limits, ends, strict=True)):
            return None
        if isinstance(base, Row):
            return Row(base.items[ends[0] : ends[1]])
        # The start of a shape that is not known: its items are the shape's own.
        return base if isinstance(base, Sum) and not ends[0] else None

    def _sliced(self, base: Tensor, node: ast.expr, frame: Frame) -> Tensor | None:
        indices: list[tensors.Index | None] = []
        for part in node.elts if isinstance(node, ast.Tuple) else [node]:
            if isinstance(part, ast.Constant) and part.value is Ellipsis:
                indices.append(None)
            elif isinstance(part, ast.Slice):
                if part.step is not None:
                    return None
                limits = [one(self.evaluate(n, frame)) if n is not None else None for n in (part.lower, part.upper)]
                if any(limit is not None and not isinstance(limit, (Sum, Nothing)) for limit in limits):
                    return None
                start, stop = (limit if isinstance(limit, Sum) else None for limit in limits)
                indices.append(("slice", start, stop))
            else:
                value = one(self.evaluate(part, frame))
                if not isinstance(value, Sum) or value.constant is None:
                    return None  # a mask or a tensor of indices makes a copy
                indices.append(("one", value, None))
        return tensors.slices(base, indices)
