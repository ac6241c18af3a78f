"""How a kernel finds its sequence by walking through the lengths of all: whether an empty one stops the walk.

Such a kernel is handed the number of a work item. It takes off, sequence by sequence, the items that each of them has,
until the number falls within one. A sequence of length 0 has no items and must be passed by.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from aiterfix.source.loads import LOAD_PARAMETERS
from aiterfix.source.names import kept_parameters
from aiterfix.source.positions import NotFollowedError
from aiterfix.source.sites import KernelAnalysis
from aiterfix.source.syntax import arguments, conjuncts
from aiterfix.source.tree import descend
from aiterfix.source.values import Rank
from aiterfix.source.walk import KernelWalk


@dataclass(frozen=True)
class SequenceWalk:
    """A loop that looks for a kernel's sequence.

    Attributes:
        line: 1-based.
        test: what keeps it going, on one line.
        passes_empty: whether it goes on behind a sequence of length 0; None where that is not known.
        reason: why it is not known.
        stops: the part of the test that an empty sequence fails.
        until: the comparison that should stand there: sequence below their number.
    """

    line: int
    test: str
    passes_empty: bool | None
    reason: str = ""
    stops: tuple[ast.expr, ...] = field(default=(), repr=False, compare=False)
    until: ast.Compare | None = field(default=None, repr=False, compare=False)


def sequence_walks(kernel: KernelAnalysis, lengths: Collection[str]) -> tuple[SequenceWalk, ...]:
    """The loops of a kernel that look for its sequence; none where it goes by the number of its program alone.

    Args:
        kernel: as analysed.
        lengths: the parameters that point to lengths.
    """
    if not kernel.syntax:
        return ()
    walk = kernel.syntax[0].walk
    try:
        loops = _loops(walk, lengths)
    except NotFollowedError as error:
        return (SequenceWalk(error.line, "", None, str(error)),)
    found = []
    for loop in loops:
        text = ast.unparse(loop.test) if isinstance(loop, ast.While) else ""
        try:
            found.append(_judged(loop, walk, lengths))
        except NotFollowedError as error:
            found.append(SequenceWalk(loop.lineno, text, None, str(error)))
    return tuple(found)


def _loops(walk: KernelWalk, lengths: Collection[str]) -> list[ast.For | ast.While]:
    """Loops, outermost ones, in which a length is loaded."""
    loading = {id(n) for call in _loads(walk) for a in (*call.args, *call.keywords) for n in descend(a)}
    for node in walk.nodes:
        if isinstance(node, ast.Name) and node.id in lengths and id(node) not in loading:
            raise NotFollowedError(f"what is done with {node.id} is not followed", node)
    found: list[ast.For | ast.While] = []
    for loop in _outermost(walk.function.body):
        if any(isinstance(n, ast.Name) and n.id in lengths for n in descend(loop)):
            found.append(loop)
    for call in _loads(walk):
        pointer = call.args[0] if call.args else None
        pointers = [pointer, *(k.value for k in call.keywords if k.arg in ("pointer", "ptr", "offsets"))]
        about = [p for p in pointers if p is not None]
        of_lengths = any(isinstance(n, ast.Name) and n.id in lengths for p in about for n in descend(p))
        if of_lengths and any(p not in walk.values or walk.values[p].rank is not Rank.SCALAR for p in about):
            raise NotFollowedError("the lengths of many sequences are loaded at once", call)
    return found


def _outermost(body: list[ast.stmt]) -> Iterator[ast.For | ast.While]:
    for s in body:
        if isinstance(s, (ast.For, ast.While)):
            yield s
        else:
            for part in ("body", "orelse", "finalbody"):
                yield from _outermost(getattr(s, part, []))


def _loads(walk: KernelWalk) -> Iterator[ast.Call]:
    for node in walk.nodes:
        if isinstance(node, ast.Call) and walk.scope.triton(node.func) in LOAD_PARAMETERS:
            yield node


# ---- one loop ------------------------------------------------------------------------------------


def _judged(loop: ast.For | ast.While, walk: KernelWalk, lengths: Collection[str]) -> SequenceWalk:
    text = ast.unparse(loop.test) if isinstance(loop, ast.While) else ""
    if not isinstance(loop, ast.While) or loop.orelse:
        raise NotFollowedError("lengths are loaded in a loop that is not followed", loop)
    steps = _Steps(loop, walk, lengths)
    stops: list[ast.expr] = []
    ends = False
    for part in conjuncts(loop.test):
        if steps.is_taken_off(part):
            continue
        if steps.is_in_range(part):
            ends = True
        elif steps.wants_items(part):
            stops.append(part)
        else:
            raise NotFollowedError(f"`{ast.unparse(part)}` in a loop over sequences is not understood", part)
    if stops:
        return SequenceWalk(loop.lineno, text, False, "", tuple(stops), steps.until)
    if not ends:
        raise NotFollowedError("it is not seen that a loop over sequences ends", loop)
    return SequenceWalk(loop.lineno, text, True)


class _Steps:
    """The body of a loop: takes off a sequence's items, goes to the next one, and counts what that has."""

    def __init__(self, loop: ast.While, walk: KernelWalk, lengths: Collection[str]) -> None:
        self.walk = walk
        self.parameters = walk.once("kept", lambda: frozenset(kept_parameters(walk.function)))
        self.taken: list[tuple[str, str]] = []
        self.sequence = self.count = ""
        held: dict[str, ast.expr] = {}
        for s in loop.body:
            if isinstance(s, ast.AugAssign) and isinstance(s.target, ast.Name) and not held:
                self._step(s)
            elif isinstance(s, ast.Assign) and len(s.targets) == 1 and isinstance(s.targets[0], ast.Name):
                if s.targets[0].id in held or s.targets[0].id == self.sequence:
                    raise NotFollowedError("a name is bound twice in a loop over sequences", s)
                held[s.targets[0].id] = s.value
            else:
                raise NotFollowedError("a statement in a loop over sequences is not understood", s)
        if not self.sequence or len(self.taken) != 1:
            raise NotFollowedError("a loop over sequences does not go from each to the next", loop)
        self.work, self.items = self.taken[0]
        if self.work in held:
            raise NotFollowedError("what is left of a program's number is bound anew", loop)
        self.nonzero = self._counts(held, lengths, loop)

    def _step(self, s: ast.AugAssign) -> None:
        assert isinstance(s.target, ast.Name)
        if isinstance(s.op, ast.Sub):
            self.taken.append((s.target.id, _key(s.value)))
        elif (
            isinstance(s.op, ast.Add) and isinstance(s.value, ast.Constant) and s.value.value == 1 and not self.sequence
        ):
            self.sequence = s.target.id
        else:
            raise NotFollowedError("a statement in a loop over sequences is not understood", s)

    def _counts(self, held: Mapping[str, ast.expr], lengths: Collection[str], loop: ast.While) -> set[str]:
        """Names that are 0 where the sequence is empty, and are not where it is not: its length, and its shares of it.

        They are chunks and items, rounded up: ``cdiv`` of the length, or of what was counted so before.
        """
        found: set[str] = set()
        self.number = ""
        for name, counted_of in held.items():
            value = self._unscaled(counted_of)
            if isinstance(value, ast.Call) and not found and self._loads_length(value, lengths):
                found.add(name)
            elif isinstance(value, ast.Call) and len(value.args) == 2 and not value.keywords:
                counted = value.args[0]
                if self.walk.scope.triton(value.func) != "cdiv":
                    raise NotFollowedError(f"what {ast.unparse(value.func)}() gives is not understood", value)
                if not (isinstance(counted, ast.Name) and counted.id in found):
                    raise NotFollowedError("what a loop over sequences counts is not understood", value)
                found.add(name)
            else:
                raise NotFollowedError("what a loop over sequences counts is not understood", value)
        if not found:
            raise NotFollowedError("a loop over sequences loads no length", loop)
        return found

    def _unscaled(self, e: ast.expr) -> ast.expr:
        """What a product with a parameter, which counts rows, is a product of."""
        if isinstance(e, ast.BinOp) and isinstance(e.op, ast.Mult):
            for value, factor in ((e.left, e.right), (e.right, e.left)):
                if isinstance(value, ast.Call) and isinstance(factor, ast.Name) and factor.id in self.parameters:
                    return value
        return e

    def _loads_length(self, call: ast.Call, lengths: Collection[str]) -> bool:
        if self.walk.scope.triton(call.func) != "load":
            return False
        given = arguments(call, LOAD_PARAMETERS["load"])
        pointer, mask, other = (given.get(p) for p in LOAD_PARAMETERS["load"])
        places = {f"{pointer} + {self.sequence}" for pointer in lengths}
        places |= {f"{self.sequence} + {pointer}" for pointer in lengths}
        if pointer is None or ast.unparse(pointer) not in places or set(given) - set(LOAD_PARAMETERS["load"]):
            return False
        below = _ordered(mask) if mask is not None else None
        if below is None or below[1] != "<" or below[0] != self.sequence or below[2] not in self.parameters:
            raise NotFollowedError("lengths are loaded without a mask that ends at the number of sequences", call)
        if not (isinstance(other, ast.Constant) and other.value == 0):
            raise NotFollowedError("the length behind the last sequence need not be 0", call)
        self.number = below[2]
        return True

    @property
    def until(self) -> ast.Compare:
        """Sequence below their number."""
        return ast.Compare(ast.Name(self.sequence, ast.Load()), [ast.Lt()], [ast.Name(self.number, ast.Load())])

    def is_taken_off(self, part: ast.expr) -> bool:
        """Whether a part of the test asks if the program's number is past the sequence's items: 0 of an empty one."""
        below = _ordered(part)
        # `items <= number`, and items are the count times something: none where the count is 0.
        return below == (self.items, "<=", self.work) and any(f in self.nonzero for f in self.items.split(" * "))

    def is_in_range(self, part: ast.expr) -> bool:
        """Whether a part of the test asks if there is such a sequence."""
        return _ordered(part) == (self.sequence, "<", self.number)

    def wants_items(self, part: ast.expr) -> bool:
        """Whether a part of the test fails where the sequence is empty."""
        if isinstance(part, ast.Name):
            return part.id in self.nonzero
        if isinstance(part, ast.Compare) and len(part.ops) == 1 and isinstance(part.ops[0], ast.NotEq):
            sides = {ast.unparse(part.left), ast.unparse(part.comparators[0])}
            return "0" in sides and not sides.isdisjoint(self.nonzero)
        below = _ordered(part)
        return below is not None and (below[0], below[1]) in (("0", "<"), ("1", "<=")) and below[2] in self.nonzero


def _key(node: ast.expr) -> str:
    """An expression as text; the factors of a product in order."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return " * ".join(sorted(f for side in (node.left, node.right) for f in _key(side).split(" * ")))
    return ast.unparse(node)


def _ordered(node: ast.expr) -> tuple[str, str, str] | None:
    """A comparison of two numbers as (smaller, ``<`` or ``<=``, larger)."""
    if not isinstance(node, ast.Compare) or len(node.ops) != 1:
        return None
    left, right = _key(node.left), _key(node.comparators[0])
    operator = type(node.ops[0])
    if operator in (ast.Gt, ast.GtE):
        left, right = right, left
    if operator in (ast.Lt, ast.Gt):
        return left, "<", right
    return (left, "<=", right) if operator in (ast.LtE, ast.GtE) else None
