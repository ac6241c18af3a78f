"""Scores of columns that a row may not see: stores that leave them as they are, and -inf put in their place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from aiterfix.source.address import int64_name
from aiterfix.source.causal import NO_CHOICE, causal_bound
from aiterfix.source.columns import NotExpressible
from aiterfix.source.layout import WIDTH, lay_out
from aiterfix.source.loads import KernelView, view_of
from aiterfix.source.locate import Edit, Lines
from aiterfix.source.positions import NotFollowedError, length_name, row_of
from aiterfix.source.roles import PagingRoles
from aiterfix.source.sites import KernelAnalysis, SiteSyntax, StoreSite
from aiterfix.source.syntax import last_name
from aiterfix.source.values import Atom
from aiterfix.source.walk import KernelWalk

_HANDED_ON = {"maximum": 2, "minimum": 2, "fma": 3, "reduce": 1, "sum": 1, "convert_layout": 1, "trans": 1}
"""Functions of Triton that hand a choice between scores and -inf on, and how many of their arguments may be one."""


@dataclass(frozen=True)
class UnseenScores:
    """What a store leaves in columns that its row may not see.

    Attributes:
        site: the store.
        hidden: whether they are -inf, or kept by a bound (which one it must be is another fault's question); None
            where that is not known.
        reason: why it is not known.
    """

    site: StoreSite
    hidden: bool | None
    reason: str = ""


def unseen_scores(kernel: KernelAnalysis, roles: PagingRoles) -> tuple[UnseenScores, ...]:
    """One a store, in source order."""
    view = view_of(kernel.syntax[0].walk) if kernel.syntax else None
    pairs = zip(kernel.sites, kernel.syntax, strict=True)
    return tuple(_judged(site, syntax, roles, view) for site, syntax in pairs if view is not None)


def _judged(site: StoreSite, syntax: SiteSyntax, roles: PagingRoles, view: KernelView) -> UnseenScores:
    bound = causal_bound(site, syntax, roles, view)
    if bound.right is None and bound.reason == NO_CHOICE:
        doubt = _doubt(syntax, view)
        return UnseenScores(site, None if doubt else False, doubt)
    if bound.right is None:
        return UnseenScores(site, None, bound.reason)
    return UnseenScores(site, True)


def _doubt(syntax: SiteSyntax, view: KernelView) -> str:
    """Why stored scores, which are no choice themselves, may yet be made of one; empty where they are not."""
    node = syntax.store.stored
    value = syntax.walk.values.get(node) if node is not None else None
    if value is None:
        return "what it stores is not followed"
    pending, seen = [(value, True)], set[Atom]()
    while pending:
        value, whole = pending.pop()
        whole = whole and value.atom is not None
        for atom in {a for m in value.terms for a in m} - seen:
            seen.add(atom)
            if atom.op == "select":
                return "it stores something made of a choice, which is not followed"
            pending += [(operand, False) for operand in atom.operands]
            if atom.op != "symbol":
                continue
            calls = list(view.calls_giving(atom))
            if whole and not calls:
                return "what it stores comes about in a way that is not followed"
            for call in calls:
                if not syntax.walk.scope.triton(call.func):
                    return f"what {ast.unparse(call.func)}() gives is not followed"
                given = [syntax.walk.values.get(a) for a in call.args[: _HANDED_ON.get(last_name(call.func), 0)]]
                if None in given:
                    return f"what {ast.unparse(call.func)}() is given is not followed"
                pending += [(v, whole and i == 0) for i, v in enumerate(given) if v is not None]
    return ""


# ---- the mend ------------------------------------------------------------------------------------


def hidden_value(syntax: SiteSyntax, roles: PagingRoles) -> ast.Call:
    """What a store should store: its scores up to the row's end, -inf behind.

    Raises:
        NotExpressible: a part of it has no name at the store.
    """
    view, environment = view_of(syntax.walk), syntax.store.environment
    node, column = syntax.store.stored, syntax.column
    try:
        position = row_of(syntax.store, roles, view).position
    except NotFollowedError:
        node = None
    if node is None or column is None:
        raise NotExpressible("its column, or its row's position in the sequence, cannot be written there")
    places = (n for n, held in environment.items() if view.plain(held) == position)
    place, length = next(places, ""), length_name(syntax.walk, roles)
    if not place or not length or length not in environment:
        raise NotExpressible("the length of its sequence, or its row's position in it, has no name there")
    end: ast.expr = ast.BinOp(_name(length), ast.Sub(), _name(roles.next_n))
    end = ast.BinOp(end, ast.Add(), _name(place))
    minus_infinity = ast.Call(_name("float"), [ast.Constant("-inf")], [])
    return ast.Call(_where(syntax.walk), [ast.Compare(column, [ast.LtE()], [end]), node, minus_infinity], [])


def _name(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _where(walk: KernelWalk) -> ast.expr:
    """How the kernel calls Triton's ``where``."""
    if (spelled := view_of(walk).spelled("where")) is not None:
        return spelled
    language = ast.parse(int64_name(walk.scope, walk.function), mode="eval").body
    if not isinstance(language, ast.Attribute):
        raise NotExpressible("the module has no name for Triton's where")
    return ast.Attribute(language.value, "where", ast.Load())


def hiding_edit(lines: Lines, syntax: SiteSyntax, value: ast.Call) -> Edit:
    """That value in the place of the scores."""
    node = syntax.store.stored
    assert node is not None
    span = lines.span(node)
    start = lines.line_start(span.start)
    indent = lines.indentation(span.start).decode()
    unit = "\t" if indent.endswith("\t") else "    "
    flat = ast.unparse(value)
    if syntax.node.lineno == syntax.node.end_lineno or span.start - start + len(flat) + 1 <= WIDTH:
        return Edit(span, flat.encode())
    return Edit(span, lines.newline().join(line.encode() for line in _laid_out(value, indent, unit)))


def _laid_out(value: ast.Call, indent: str, unit: str) -> Iterator[str]:
    inner = indent + unit
    yield f"{ast.unparse(value.func)}("
    for argument in value.args:
        lines = lay_out(argument, indent=inner, unit=unit, room=WIDTH - len(inner) - 1, width=WIDTH)
        lines[-1] += ","
        yield inner + lines[0]
        yield from lines[1:]
    yield f"{indent})"
