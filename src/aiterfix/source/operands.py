"""Whether the rows that a kernel stores are scored with their own queries and weights: by where it loads these from.

The row at position p of sequence s is scored with the queries at ``s * batch + p * next_n + h * heads + e`` of heads h
and elements e, by the strides of the queries, and with the weights at ``(s * next_n + p) * batch + h``, by that of the
weights; an output with heads is stored at ``h`` times their stride.
"""

from __future__ import annotations

from collections.abc import Iterator

from aiterfix.source.loads import KernelView, product, without
from aiterfix.source.names import function_parameters
from aiterfix.source.positions import NotFollowedError, one_row
from aiterfix.source.roles import PagingRoles
from aiterfix.source.sites import KernelAnalysis
from aiterfix.source.values import ZERO, Atom, Rank, Value


def other_operands(kernel: KernelAnalysis, roles: PagingRoles, view: KernelView) -> str:
    """Why it is not known that rows are scored with their own queries and weights; empty where it is.

    Args:
        kernel: one that has stores.
        roles: what its parameters mean.
        view: of it.
    """
    names = (roles.queries, roles.weights)
    if missing := [n for n in names if n not in function_parameters(view.walk.function)]:
        return f"it has no {' or '.join(missing)}, and may load from there by another name"
    for doubt in kernel.gathers_from(names).unfollowed:
        return f"what it loads from {' or '.join(names)} is not understood: {doubt.message}"
    try:
        heads = set(_heads(kernel, roles, view))
        right = len(heads) < 2 and all(_are_heads(h, roles, view) for h in heads)
    except NotFollowedError as reason:
        return str(reason)
    return "" if right else f"that {' and '.join(names)} are of the heads that it stores is not understood"


def _heads(kernel: KernelAnalysis, roles: PagingRoles, view: KernelView) -> Iterator[Value]:
    """The heads that each load of queries and weights, and each store, is for: what is left of its address without the
    row's part.

    Raises:
        NotFollowedError: its address shows no heads, or what it leaves out is not understood.
    """
    row = one_row(kernel, roles, view)
    if row is None:
        raise NotFollowedError("which row it stores is not understood")
    by_sequence, by_position, by_head = roles.query_strides
    for address in _addresses(roles.queries, view):
        own = product(row.sequence, _own(by_sequence, view)) + product(row.position, _own(by_position, view))
        heads, rest = without(address - own - _counted(roles.key_elements, view), _parameter(by_head, view))
        if rest.terms:
            raise NotFollowedError(f"that it loads the row's own queries from {roles.queries} is not understood")
        yield heads
    row_stride, stored = _parameter(roles.row_stride, view), [view.plain(s.store.address) for s in kernel.syntax]
    lines = {product(row.sequence, row.count) + row.position, *(without(address, row_stride)[0] for address in stored)}
    for address in _addresses(roles.weights, view):
        line, heads = without(address, _parameter(roles.weight_stride, view))
        if line not in lines:
            raise NotFollowedError(f"that it loads the row's own weights from {roles.weights} is not understood")
        yield heads
    yield from (without(a, stride)[0] for a in stored for stride in view.walk.strides - {row_stride})


def _addresses(name: str, view: KernelView) -> Iterator[Value]:
    """Where a kernel loads from a parameter, without that itself; nothing where it does not use it."""
    if not view.mentioned(name):
        return
    pointer = _parameter(name, view)
    loads = [load for load in view.loads if pointer in load.address.mentions]
    if not loads or any("mask" in load.arguments for load in loads):
        raise NotFollowedError(f"what it scores with from {name}, or leaves out, is not understood")
    yield from (load.address - Value({(pointer,): 1}) for load in loads)


def _are_heads(heads: Value, roles: PagingRoles, view: KernelView) -> bool:
    """Whether numbers are those of the heads of one tile: of the first, or of some group of so many. A kernel without
    queries has no tile of heads."""
    if not (heads.terms or view.mentioned(roles.queries)):
        return True
    group, rest = without(heads - _counted(roles.head_tile, view), _parameter(roles.head_tile, view))
    if rest.terms or not group.terms:
        return not rest.terms
    operands = (_own(roles.heads, view), _own(roles.head_tile, view))
    groups = view.walk.universe.operation("cdiv", "", operands, Rank.SCALAR)
    return group.atom is not None and group.atom.op == "mod" and group.atom.operands[1] == groups


def _counted(end: str, view: KernelView) -> Value:
    return view.walk.universe.operation("arange", "", (ZERO, _own(end, view)), Rank.TENSOR)


def _own(name: str, view: KernelView) -> Value:
    return Value({(_parameter(name, view),): 1})


def _parameter(name: str, view: KernelView) -> Atom:
    """The symbol of a parameter.

    Raises:
        NotFollowedError: it is not used, or does not keep what is handed over.
    """
    if (found := view.parameter(name)) is None:
        raise NotFollowedError(f"{name} is not used, or not as it is handed over")
    return found
