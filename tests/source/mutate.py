"""Random mutants of kernel source: seeded edits of the syntax tree near the stores, and what becomes of them.

A mutant is HARMFUL where the model (`tests.source.model`) sees a store outside its row in any launch tried, and MISSED
where it is harmful and the analysis calls the kernel, or the very store, bounded.
"""

from __future__ import annotations

import ast
import copy
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from aiterfix.source.roles import KernelRoles
from aiterfix.source.sites import analyse
from tests.kernels import Seen, seen
from tests.source import model

_STORES = ("store", "buffer_store")
_NO_INTEGERS = ("kv_indices", "weights", "prefix_sum_context_lens", "ARCH", "warp_bases")
_NodeT = TypeVar("_NodeT", bound=ast.AST)
Block = list[ast.stmt]


class InapplicableError(Exception):
    """This mutator finds nothing to change here."""


@dataclass
class Draft:
    """A function that is being mutated.

    Attributes:
        function: the copy that mutators change.
        random: where choices come from.
        bound: the parameter that columns must stay below.
        helpers: source of functions to put in front of it.
    """

    function: ast.FunctionDef
    random: random.Random
    bound: str
    language: str
    decorator: str
    helpers: list[str] = field(default_factory=list)
    fresh: int = 0

    # ---- looking around ----

    def stores(self) -> list[ast.Call]:
        """Every store call."""
        calls = [n for n in ast.walk(self.function) if isinstance(n, ast.Call)]
        return [c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr in _STORES]

    def store(self) -> ast.Call:
        """One of them."""
        return self.pick(self.stores())

    def pick(self, among: Sequence[_NodeT]) -> _NodeT:
        """One of these nodes."""
        if not among:
            raise InapplicableError
        return self.random.choice(among)

    def parts(self, store: ast.Call) -> dict[str, ast.expr]:
        """Its arguments by what they are: ``pointer``, ``offsets``, ``mask`` (those that are there)."""
        found = {k.arg: k.value for k in store.keywords if k.arg}
        buffered = isinstance(store.func, ast.Attribute) and store.func.attr == "buffer_store"
        for name, value in zip(
            ("value", "ptr", "offsets", "mask") if buffered else ("ptr", "value", "mask"), store.args, strict=False
        ):
            found[name] = value
        return {("pointer" if n in ("ptr", "pointer") else n): v for n, v in found.items() if n != "value"}

    def mask(self, store: ast.Call) -> ast.keyword:
        """The mask as a keyword."""
        for keyword in store.keywords:
            if keyword.arg == "mask":
                return keyword
        raise InapplicableError

    def column(self, store: ast.Call) -> ast.expr:
        """The argument that holds the column; of a pointer with everything in it, the last term."""
        parts = self.parts(store)
        pointer = parts["pointer"]
        if "offsets" in parts:
            return parts["offsets"]
        return pointer.right if isinstance(pointer, ast.BinOp) else pointer

    def relevant(self) -> set[str]:
        """Names on which a store's address or mask hangs."""
        wanted = {n.id for s in self.stores() for p in self.parts(s).values() for n in _names(p)}
        changed = True
        assignments = [(_targets(s), {n.id for n in _names(s)}) for s in self.statements() if _targets(s)]
        while changed:
            changed = False
            for targets, used in assignments:
                if targets & wanted and not used <= wanted:
                    wanted |= used
                    changed = True
        return wanted

    def statements(self) -> list[ast.stmt]:
        """Every statement of the body, at any depth."""
        return [s for b in self.blocks() for s in b]

    def blocks(self) -> list[Block]:
        """Every list of statements."""
        return list(_blocks(self.function))

    def place(self, node: ast.AST) -> tuple[Block, int]:
        """The innermost block and position of the statement that holds a node."""
        found = None
        for block in self.blocks():
            for i, statement in enumerate(block):
                if any(n is node for n in ast.walk(statement)):
                    found = block, i
        if found is None:
            raise InapplicableError
        return found

    def focus(self) -> list[ast.expr]:
        """The expressions worth changing: stores' addresses and masks, and what defines the names in them."""
        if self.random.random() < 0.6:
            roots: list[ast.expr] = list(self.parts(self.store()).values())
        else:
            names = self.relevant()
            defined = [s for s in self.statements() if _targets(s) & names]
            if not defined:
                raise InapplicableError
            statement = self.random.choice(defined)
            roots = (
                [statement.iter]
                if isinstance(statement, ast.For)
                else [v for v in (getattr(statement, "value", None),) if v is not None]
            )
        return [n for r in roots for n in ast.walk(r) if isinstance(n, ast.expr)]

    # ---- changing ----

    def replace(self, old: ast.expr, new: ast.expr) -> None:
        """Put an expression in another's place."""
        for parent in ast.walk(self.function):
            for name, value in ast.iter_fields(parent):
                if value is old:
                    setattr(parent, name, new)
                    return
                if isinstance(value, list):
                    for i, item in enumerate(value):
                        if item is old:
                            value[i] = new
                            return
        raise InapplicableError

    def name(self, stem: str = "extra") -> str:
        """A name that nothing else has."""
        self.fresh += 1
        return f"{stem}_{self.fresh}"

    def others(self) -> list[str]:
        """Names of integers: parameters that are none of pointers, and locals that addresses hang on."""
        parameters = {a.arg for a in self.function.args.args if not a.arg.endswith(("_buffer", "_ptr"))}
        assigned = {n for s in self.statements() for n in _targets(s)}
        names = parameters | (assigned & self.relevant())
        return sorted(n for n in names if "layout" not in n and n not in _NO_INTEGERS)


def _blocks(node: ast.AST) -> Iterator[Block]:
    for name in ("body", "orelse"):
        block = getattr(node, name, None)
        if isinstance(block, list) and block:
            yield block
            for statement in block:
                yield from _blocks(statement)


def _names(node: ast.AST) -> Iterator[ast.Name]:
    return (n for n in ast.walk(node) if isinstance(n, ast.Name))


def _targets(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.Assign):
        return {n.id for t in statement.targets for n in _names(t)}
    if isinstance(statement, (ast.AugAssign, ast.AnnAssign, ast.For)):
        return {n.id for n in _names(statement.target)}
    return set()


def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _statement(text: str) -> ast.stmt:
    return ast.parse(text).body[0]


def _is_store(statement: ast.stmt) -> bool:
    call = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in _STORES


# ---- the mutators ---------------------------------------------------------------------------------

MUTATORS: dict[str, Callable[[Draft], None]] = {}


def _mutator(function: Callable[[Draft], None]) -> Callable[[Draft], None]:
    MUTATORS[function.__name__.strip("_").replace("_", "-")] = function
    return function


@_mutator
def _drop_term(d: Draft) -> None:
    node = d.pick([n for n in d.focus() if isinstance(n, ast.BinOp)])
    d.replace(node, d.random.choice((node.left, node.right)))


@_mutator
def _add_term(d: Draft) -> None:
    node = d.pick([n for n in d.focus() if isinstance(n, (ast.BinOp, ast.Name, ast.Compare))])
    target = node.left if isinstance(node, ast.Compare) else node
    term = d.random.choice((d.random.choice(d.others()), str(d.random.choice((1, 3, 64, -1, 4096)))))
    sign = d.random.choice("+-*")
    d.replace(target, _expression(f"({ast.unparse(target)}) {sign} {term}"))


@_mutator
def _swap_operands(d: Draft) -> None:
    node = d.pick([n for n in d.focus() if isinstance(n, (ast.BinOp, ast.Compare))])
    if isinstance(node, ast.BinOp):
        node.left, node.right = node.right, node.left
    else:
        assert isinstance(node, ast.Compare)
        node.left, node.comparators[0] = node.comparators[0], node.left


@_mutator
def _swap_terms(d: Draft) -> None:
    nodes = [n for n in d.focus() if isinstance(n, (ast.Name, ast.Call, ast.BinOp))]
    a, b = d.pick(nodes), d.pick(nodes)
    if any(n is b for n in ast.walk(a)) or any(n is a for n in ast.walk(b)):
        raise InapplicableError
    a_copy, b_copy = copy.deepcopy(a), copy.deepcopy(b)
    d.replace(a, b_copy)
    d.replace(b, a_copy)


@_mutator
def _compare_otherwise(d: Draft) -> None:
    node = d.pick([n for n in d.focus() if isinstance(n, ast.Compare)])
    choices = [o for o in (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.NotEq, ast.Eq) if not isinstance(node.ops[0], o)]
    node.ops[0] = d.random.choice(choices)()


@_mutator
def _other_operator(d: Draft) -> None:
    node = d.pick([n for n in d.focus() if isinstance(n, ast.BinOp)])
    node.op = d.random.choice((ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod, ast.BitAnd, ast.BitOr, ast.BitXor))()


@_mutator
def _constant(d: Draft) -> None:
    node = d.pick([n for n in d.focus() if isinstance(n, ast.Constant) and isinstance(n.value, int)])
    value = node.value
    assert isinstance(value, int)
    d.replace(node, _expression(str(d.random.choice((value + 1, value - 1, value * 2, -value, value + 1000)))))


@_mutator
def _rename(d: Draft) -> None:
    node = d.pick([n for n in d.focus() if isinstance(n, ast.Name)])
    node.id = d.random.choice([n for n in d.others() if n != node.id])


@_mutator
def _rename_target(d: Draft) -> None:
    names = d.relevant()
    statement = d.pick([s for s in d.statements() if isinstance(s, ast.Assign) and _targets(s) & names])
    node = d.pick([n for t in statement.targets for n in _names(t)])
    node.id = d.random.choice([n for n in d.others() if n != node.id])


@_mutator
def _move(d: Draft) -> None:
    """A statement some places up or down its block."""
    names = d.relevant()
    statement = d.pick([s for s in d.statements() if _targets(s) & names or _is_store(s)])
    block, i = d.place(statement)
    j = max(0, min(len(block) - 1, i + d.random.choice((-12, -5, -2, -1, 1, 2, 5, 12))))
    block.insert(j, block.pop(i))


@_mutator
def _reverse(d: Draft) -> None:
    """A run of neighbours in reverse order."""
    blocks = [b for b in d.blocks() if len(b) > 1]
    if not blocks:
        raise InapplicableError
    block = d.random.choice(blocks)
    i = d.random.randrange(len(block) - 1)
    j = i + d.random.randrange(2, 5)
    block[i:j] = block[i:j][::-1]


@_mutator
def _hoist(d: Draft) -> None:
    """A statement out of its loop or branch, before or after it."""
    owners = [s for s in d.statements() if isinstance(s, (ast.For, ast.If, ast.While)) and len(s.body) > 1]
    owner = d.pick(owners)
    names = d.relevant()
    inside = [s for s in owner.body if _targets(s) & names or isinstance(s, ast.Expr)]
    statement = d.pick(inside)
    owner.body.remove(statement)
    block, i = d.place(owner)
    block.insert(i + d.random.choice((0, 1)), statement)


@_mutator
def _sink(d: Draft) -> None:
    """An assignment into the loop or branch after it."""
    names = d.relevant()
    block, i = d.place(d.pick([s for s in d.statements() if isinstance(s, ast.Assign) and _targets(s) & names]))
    later = [s for s in block[i + 1 :] if isinstance(s, (ast.For, ast.If, ast.While))]
    owner = d.pick(later)
    statement = block.pop(i)
    assert isinstance(owner, (ast.For, ast.If, ast.While))
    owner.body.insert(d.random.randrange(len(owner.body) + 1), statement)


@_mutator
def _delete(d: Draft) -> None:
    names = d.relevant()
    statement = d.pick(
        [s for s in d.statements() if isinstance(s, (ast.Assign, ast.AugAssign)) and _targets(s) & names]
    )
    block, i = d.place(statement)
    block[i] = ast.Pass()


@_mutator
def _early_mask(d: Draft) -> None:
    """The mask, or the column, computed before its time."""
    _early(d, d.mask(d.store()).value)


@_mutator
def _early_column(d: Draft) -> None:
    _early(d, d.column(d.store()))


def _early(d: Draft, value: ast.expr) -> None:
    block, i = d.place(value)
    name = d.name("early")
    assignment = _statement(f"{name} = {ast.unparse(value)}")
    d.replace(value, _expression(name))
    if d.random.random() < 0.3:
        outer = [s for s in d.statements() if block is getattr(s, "body", None)]
        if outer:
            block, i = d.place(outer[0])
    block.insert(max(0, i - d.random.choice((0, 1, 3, 8, 20))), assignment)


@_mutator
def _late_mask(d: Draft) -> None:
    """The mask of the turn before: computed after the store, and once before the loop."""
    keyword = d.mask(d.store())
    loops = [s for s in d.statements() if isinstance(s, ast.For) and any(n is keyword for n in ast.walk(s))]
    if not loops:
        raise InapplicableError
    loop, name = loops[-1], d.name("late")
    assignment = f"{name} = {ast.unparse(keyword.value)}"
    keyword.value = _expression(name)
    loop.body.append(_statement(assignment))
    block, i = d.place(loop)
    block.insert(i, _statement(assignment))
    if isinstance(loop.target, ast.Name) and d.random.random() < 0.8:
        assert isinstance(loop.iter, ast.Call)
        block.insert(i, _statement(f"{loop.target.id} = {ast.unparse(loop.iter.args[0])}"))


@_mutator
def _drop_conjunct(d: Draft) -> None:
    nodes = [
        n
        for s in d.stores()
        for k in s.keywords
        if k.arg == "mask"
        for n in ast.walk(k.value)
        if isinstance(n, ast.BinOp) and isinstance(n.op, ast.BitAnd)
    ]
    node = d.pick(nodes)
    d.replace(node, d.random.choice((node.left, node.right)))


@_mutator
def _and_or(d: Draft) -> None:
    masks = [n for s in d.stores() for k in s.keywords if k.arg == "mask" for n in ast.walk(k.value)]
    node = d.pick([n for n in masks if isinstance(n, ast.BinOp) and isinstance(n.op, (ast.BitAnd, ast.BitOr))])
    node.op = d.random.choice((ast.BitOr(), ast.BitXor(), ast.Add(), ast.Mult()))


@_mutator
def _other_bound(d: Draft) -> None:
    node = d.pick([n for n in _names(d.function) if n.id == d.bound])
    other = d.random.choice(d.others())
    k = d.random.choice((1, 2, 64, 255))
    text = (
        f"({d.bound} + {k})",
        f"({d.bound} * 2)",
        f"{d.language}.cdiv({d.bound}, ChunkK) * ChunkK",
        f"({d.bound} - {k})",
        f"({d.bound} // 2)",
        f"min({d.bound}, {other})",
        f"max({d.bound}, {other})",
        other,
        other,
    )
    d.replace(node, _expression(d.random.choice(text)))


@_mutator
def _rebind_bound(d: Draft) -> None:
    block, i = d.place(d.store())
    value = d.random.choice((f"{d.bound} + 1", "context_length", f"{d.bound} - 1", d.random.choice(d.others())))
    block.insert(i, _statement(f"{d.bound} = {value}"))


@_mutator
def _negate(d: Draft) -> None:
    nodes = [n for n in d.focus() if isinstance(n, ast.Compare)]
    node = d.pick(nodes)
    d.replace(node, _expression(f"~({ast.unparse(node)})"))


@_mutator
def _de_morgan(d: Draft) -> None:
    """The same condition in other words."""
    opposite = {ast.Lt: ">=", ast.LtE: ">", ast.Gt: "<=", ast.GtE: "<"}
    node = d.pick([n for n in d.focus() if isinstance(n, ast.Compare) and type(n.ops[0]) in opposite])
    assert isinstance(node, ast.Compare)
    sign = opposite[type(node.ops[0])]
    d.replace(node, _expression(f"~(({ast.unparse(node.left)}) {sign} ({ast.unparse(node.comparators[0])}))"))


@_mutator
def _tuple_alias(d: Draft) -> None:
    store = d.store()
    value = d.random.choice([d.mask(store).value, d.column(store)])
    block, i = d.place(value)
    a, b = d.name("alias"), d.name("alias")
    text = ast.unparse(value)
    other = d.random.choice((text, d.random.choice(d.others()), f"({text}) + 1", d.bound))
    first, second = d.random.choice(((text, other), (other, text)))
    d.replace(value, _expression(a))
    block.insert(i, _statement(f"{a}, {b} = {first}, {second}"))
    if d.random.random() < 0.3:
        block.insert(i + 1, _statement(f"{a}, {b} = {b}, {a}"))


@_mutator
def _range_bounds(d: Draft) -> None:
    loop = d.pick([s for s in d.statements() if isinstance(s, ast.For) and isinstance(s.iter, ast.Call)])
    assert isinstance(loop, ast.For) and isinstance(loop.iter, ast.Call)
    i = d.random.randrange(len(loop.iter.args))
    text = ast.unparse(loop.iter.args[i])
    choices = (f"({text}) + ChunkK", f"({text}) - ChunkK", f"({text}) + 1", d.bound, d.random.choice(d.others()), "0")
    loop.iter.args[i] = _expression(d.random.choice(choices))


@_mutator
def _no_mask(d: Draft) -> None:
    keyword = d.mask(d.store())
    keyword.value = _expression(d.random.choice(("None", "True")))


@_mutator
def _transplant(d: Draft) -> None:
    """One store's mask or column in another's place."""
    a, b = d.store(), d.store()
    if a is b:
        raise InapplicableError
    if d.random.random() < 0.5:
        d.mask(a).value = copy.deepcopy(d.mask(b).value)
    else:
        d.replace(d.column(a), copy.deepcopy(d.column(b)))


def _arguments(value: ast.expr, d: Draft) -> list[str]:
    return sorted({n.id for n in _names(value)} - {d.language, "gl", "tl", "min", "max"})


@_mutator
def _helper(d: Draft) -> None:
    """The mask or the column from a function, sometimes with its arguments in another order."""
    store = d.store()
    value = d.random.choice([d.mask(store).value, d.column(store)])
    names, name = _arguments(value, d), d.name("_helper")
    if not names:
        raise InapplicableError
    given = list(names)
    if d.random.random() < 0.4:
        given[d.random.randrange(len(given))] = d.random.choice(d.others())
    block, i = d.place(value)
    result = d.name("helped")
    body = f"return {ast.unparse(value)}"
    d.helpers.append(f"@{d.decorator}\ndef {name}({', '.join(_constant_layouts(names))}):\n    {body}\n")
    d.replace(value, _expression(result))
    block.insert(i, _statement(f"{result} = {name}({', '.join(given)})"))


def _constant_layouts(names: Sequence[str]) -> list[str]:
    return [
        f"{n}: tl.constexpr" if (n[0].isupper() and not n.endswith("buffer")) or "layout" in n else n for n in names
    ]


@_mutator
def _store_helper(d: Draft) -> None:
    """The store in a function, with its mask, with half of it, or without."""
    store = d.store()
    parts = d.parts(store)
    names = {"value": "logits", "pointer": ast.unparse(parts["pointer"])}
    name = d.name("_put")
    mask = ast.unparse(parts["mask"]) if "mask" in parts else "True"
    passed = d.random.choice(("mask", "mask", "None", "mask | True", "offsets >= 0"))
    if "offsets" not in parts:
        raise InapplicableError
    call = f"{ast.unparse(store.func)}(value, ptr=pointer, offsets=offsets, mask={passed})"
    d.helpers.append(f"@{d.decorator}\ndef {name}(value, pointer, offsets, mask):\n    {call}\n")
    value = ast.unparse(store.args[0]) if store.args else names["value"]
    d.replace(store, _expression(f"{name}({value}, {names['pointer']}, {ast.unparse(parts['offsets'])}, {mask})"))


@_mutator
def _narrow(d: Draft) -> None:
    node = d.pick([n for n in d.focus() if isinstance(n, (ast.BinOp, ast.Call))])
    kind = d.random.choice(("int16", "int16", "int8", "uint16", "int64", "int32", "uint32", "float16", "float32"))
    d.replace(node, _expression(f"({ast.unparse(node)}).to({d.language}.{kind})"))


@_mutator
def _where(d: Draft) -> None:
    keyword = d.mask(d.store())
    text = ast.unparse(keyword.value)
    condition = f"{d.random.choice(d.others())} {d.random.choice(('<', '>', '=='))} {d.random.choice(d.others())}"
    whole = f"({ast.unparse(d.column(d.store()))}) >= 0"
    choices = (
        f"{d.language}.where({condition}, {text}, {text})",
        f"{d.language}.where({text}, {text}, {whole})",
        f"{d.language}.where({condition}, {text}, {whole})",
    )
    keyword.value = _expression(d.random.choice(choices))


@_mutator
def _assign_between(d: Draft) -> None:
    """A name of the address gets another value somewhere before the store."""
    store = d.store()
    wanted = set(d.others()) - {d.bound}
    names = [n.id for p in d.parts(store).values() for n in _names(p) if n.id in wanted]
    if not names:
        raise InapplicableError
    name = d.random.choice(names)
    block, i = d.place(store)
    value = d.random.choice(("ChunkK", "1", "64", d.random.choice(d.others())))
    text = d.random.choice((f"{name} += {value}", f"{name} = {value}", f"{name} = {name} - {value}"))
    statement = _statement(text)
    if d.random.random() < 0.3:
        statement = _statement(f"if {d.random.choice(d.others())} > {d.random.choice(d.others())}:\n    {text}")
    block.insert(max(0, i - d.random.choice((0, 0, 1, 4))), statement)


@_mutator
def _conditional(d: Draft) -> None:
    """An assignment that happens on a branch only."""
    names = d.relevant()
    block, i = d.place(d.pick([s for s in d.statements() if isinstance(s, ast.Assign) and _targets(s) & names]))
    condition = f"{d.random.choice(d.others())} {d.random.choice(('<', '>', '=='))} {d.random.choice(d.others())}"
    branch = _statement(f"if {condition}:\n    {ast.unparse(block[i])}")
    if d.random.random() < 0.7:
        assert isinstance(branch, ast.If)
        otherwise = copy.deepcopy(block[i])
        if isinstance(otherwise, ast.Assign) and d.random.random() < 0.5:
            otherwise.value = _expression(f"{ast.unparse(otherwise.value)} + {d.random.choice((1, 64, -64))}")
        branch.orelse = [otherwise]
    block[i] = branch


@_mutator
def _narrowed_mask(d: Draft) -> None:
    """The mask built in steps, one of them on a branch."""
    keyword = d.mask(d.store())
    block, i = d.place(keyword)
    name, column = d.name("stepwise"), ast.unparse(d.column(d.store()))
    text = ast.unparse(keyword.value)
    condition = f"{d.random.choice(d.others())} > {d.random.choice(d.others())}"
    first, second = d.random.choice(
        (
            (text, f"{name} &= ({column}) >= 0"),
            (text, f"{name} |= ({column}) >= 0"),
            (f"({column}) >= 0", f"{name} &= {text}"),
            (f"({column}) >= 0", f"{name} = {text}"),
        )
    )
    keyword.value = _expression(name)
    step = second if d.random.random() < 0.4 else f"if {condition}:\n    {second}"
    block[i:i] = [_statement(f"{name} = {first}"), _statement(step)]


@_mutator
def _clamp(d: Draft) -> None:
    """The column held back in place of a mask, rightly or nearly."""
    store = d.store()
    column = d.column(store)
    text = ast.unparse(column)
    bound = d.random.choice((f"{d.bound} - 1", d.bound, "context_length", f"{d.bound} - ChunkK"))
    call = d.random.choice((f"{d.language}.minimum({text}, {bound})", f"{d.language}.maximum({text}, {bound})"))
    d.replace(column, _expression(call))
    if d.random.random() < 0.5:
        store.keywords = [k for k in store.keywords if k.arg != "mask"]


@_mutator
def _inline(d: Draft) -> None:
    """A name's last definition in its place, where it may no longer hold."""
    node = d.pick([n for n in d.focus() if isinstance(n, ast.Name)])
    values = [s.value for s in d.statements() if isinstance(s, ast.Assign) and _targets(s) == {node.id}]
    d.replace(node, copy.deepcopy(d.pick(values)))


@_mutator
def _move_term(d: Draft) -> None:
    """A term of the offsets to the pointer, or on one side only."""
    store = d.store()
    parts = d.parts(store)
    if "offsets" not in parts:
        raise InapplicableError
    column, pointer = parts["offsets"], parts["pointer"]
    term = d.random.choice(("ChunkK", "context_idx", "ChunkKPerStage", d.random.choice(d.others())))
    d.replace(pointer, _expression(f"{ast.unparse(pointer)} + {term}"))
    if d.random.random() < 0.5:
        d.replace(column, _expression(f"({ast.unparse(column)}) - {term}"))


@_mutator
def _walrus(d: Draft) -> None:
    store = d.store()
    value = d.random.choice([d.mask(store).value, d.column(store)])
    wanted = d.others()
    names = [n for n in d.focus() if isinstance(n, ast.Name) and n.id in wanted]
    name = d.pick(names).id if d.random.random() < 0.6 else d.name("walrus")
    d.replace(value, _expression(f"({name} := {ast.unparse(value)})"))


@_mutator
def _nothing_changed(d: Draft) -> None:
    """The mask under a name: harmless alone, a cover for what else is done to it."""
    keyword = d.mask(d.store())
    block, i = d.place(keyword)
    name = d.name("inside")
    block.insert(i, _statement(f"{name} = {ast.unparse(keyword.value)}"))
    keyword.value = _expression(name)


# ---- mutants --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutant:
    """One changed function of a file.

    Attributes:
        number: its seed.
        kinds: the mutators used.
        function: the function's name.
        index: of its statement in the module.
        source: what stands in that statement's place.
        text: the whole file.
    """

    number: int
    kinds: tuple[str, ...]
    function: str
    index: int
    source: str
    text: bytes


def mutate(file: model.File, number: int, functions: Sequence[str], bound: str = "max_model_len") -> Mutant | None:
    """One mutant; None where the mutators drawn find nothing to change.

    Args:
        file: what to mutate.
        number: the seed.
        functions: which of its functions.
        bound: the parameter that columns must stay below.
    """
    rng = random.Random(number)
    choices = [(i, s) for i, s in enumerate(file.tree.body) if isinstance(s, ast.FunctionDef) and s.name in functions]
    index, original = rng.choice(choices)
    function = file.function(index)
    decorator = ast.unparse(original.decorator_list[0])
    draft = Draft(function, rng, bound, "gl" if "gluon" in decorator else "tl", decorator)
    kinds = tuple(rng.choice(sorted(MUTATORS)) for _ in range(rng.choice((1, 1, 1, 2, 2, 3))))
    try:
        for kind in kinds:
            MUTATORS[kind](draft)
    except InapplicableError:
        return None
    source = "\n\n".join([*draft.helpers, ast.unparse(function)]) + "\n"
    lines = file.text.decode().split("\n")
    assert original.end_lineno is not None
    lines[model.first_line(original) - 1 : original.end_lineno] = source.rstrip("\n").split("\n")
    return Mutant(number, kinds, original.name, index, source, "\n".join(lines).encode())


def mutants(file: model.File, functions: Sequence[str], count: int, *, start: int = 0) -> Iterator[Mutant]:
    """Distinct mutants, by ascending seed."""
    seen = {ast.unparse(s) + "\n" for s in file.tree.body}
    number = start
    while count:
        mutant = mutate(file, number, functions)
        number += 1
        if mutant is not None and mutant.source not in seen:
            seen.add(mutant.source)
            count -= 1
            yield mutant


# ---- what becomes of them -------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What the model and the analysis say of one kernel of a mutant.

    Attributes:
        mutant: which.
        kernel: which kernel ran (the mutant's function, or one that calls it).
        harm: ``""``, ``end`` (a column at or past the width), ``before`` (a negative column), ``huge`` (only with
            columns near 2^31).
        crashed: the model does not know what it does: no harm is known.
        trusted: the analysis calls the kernel bounded.
        trusted_site: it calls the very store bounded that went outside, whatever it says of the kernel.
    """

    mutant: Mutant
    kernel: str
    harm: str
    crashed: str
    trusted: bool
    trusted_site: bool
    outside: tuple[model.Outside, ...]
    launch: model.Launch | None

    @property
    def missed(self) -> bool:
        """Whether the analysis trusts what is harmful."""
        return bool(self.harm) and (self.trusted or self.trusted_site)

    @property
    def alarm(self) -> bool:
        """Whether it does not trust what showed no harm."""
        return not (self.harm or self.crashed or self.trusted)


def _truth(
    kernel: Callable[..., None], name: str, tries: int | None
) -> tuple[str, tuple[model.Outside, ...], model.Launch | None]:
    launches = model.launches(name)[:tries]
    for launch in launches if tries else (*launches, model.huge(name)):
        run = model.launch(kernel, launch, stop=True)
        if run.outside:
            past = any(o.column >= 0 for o in run.outside)
            harm = "huge" if launch.kind == "huge" else "end" if past else "before"
            if harm != "before":
                return harm, tuple(run.outside), launch
            before = harm, tuple(run.outside), launch
            # A negative column is no fault of the upper bound: go on, there may be one of that too.
            for other in launches:
                run = model.launch(kernel, other)
                found = tuple(o for o in run.outside if o.column >= 0)
                if found:
                    return "end", found, other
            return before
    return "", (), None


def judge(
    file: model.File,
    mutant: Mutant,
    declared: Sequence[KernelRoles],
    kernels: Sequence[str],
    *,
    text: bytes | None = None,
    tries: int | None = None,
) -> Iterator[Outcome]:
    """Ask the model and the analysis about every kernel that a mutant changes.

    Args:
        file: the file mutated.
        mutant: the mutant.
        declared: what the analysis looks for.
        kernels: the file's kernels; where the mutant's function is none of them, all are asked about.
        text: what the analysis reads; by default the mutant's text.
        tries: how many launches to try; by default all.
    """
    analysis = None
    for name in [mutant.function] if mutant.function in kernels else kernels:
        try:
            names = file.execute({mutant.index: mutant.source})
            harm, outside, launch = _truth(names[name], name, tries)
        except Exception as error:  # noqa: BLE001 - a mutant may do anything
            yield Outcome(mutant, name, "", f"{type(error).__name__}: {error}", False, False, (), None)
            continue
        analysis = analysis or analyse(mutant.text if text is None else text, declared)
        judged = {k.name: k for k in analysis.kernels}.get(name)
        trusted = not analysis.problems and (judged is None or seen(judged) in (Seen.BOUNDED, Seen.NO_STORES))
        lines = {o.line for o in outside}
        trusted_site = (
            judged is not None
            and not (analysis.problems or judged.problems)
            and any(s.guard.bounded and any(s.line <= n <= s.end_line for n in lines) for s in judged.sites)
        )
        yield Outcome(mutant, name, harm, "", trusted, trusted_site, outside, launch)


@dataclass
class Tally:
    """Counts over many mutants."""

    mutants: int = 0
    outcomes: list[Outcome] = field(default_factory=list)

    def add(self, outcomes: Iterator[Outcome]) -> None:
        """One mutant's outcomes."""
        self.mutants += 1
        self.outcomes += outcomes

    @property
    def missed(self) -> list[Outcome]:
        """Harmful ones that the analysis trusts."""
        return [o for o in self.outcomes if o.missed]

    def summary(self) -> str:
        """One line, and one for each kind of mutator."""
        harms = Counter(o.harm for o in self.outcomes if not o.crashed)
        alarms = sum(o.alarm for o in self.outcomes)
        crashed = sum(bool(o.crashed) for o in self.outcomes)
        missed = Counter(o.harm for o in self.missed)
        return (
            f"{self.mutants} mutants: {crashed} not run, {harms['']} harmless ({alarms} of them not trusted), "
            f"{harms['end']} past the end, {harms['before']} before the row, {harms['huge']} near 2^31; "
            f"missed: {missed['end']}, {missed['before']}, {missed['huge']}"
        )
