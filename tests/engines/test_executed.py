"""Random callers, run for real with stand-ins for torch and the kernel: none that stores past a row may be called safe.

``AITERFIX_RANDOM_CALLERS`` is how many; 2,500 take some four minutes.
"""

from __future__ import annotations

import os
import random
import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.engines import frames
from tests.engines.conftest import Judge
from tests.engines.frames import CALL, LENGTH, MODEL, ops

WORDS = (*LENGTH, "--ranks", "64", "--compress-ratio", "64")
COUNT = int(os.environ.get("AITERFIX_RANDOM_CALLERS", "60"))
HELPERS = """\
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import NamedTuple


class Sizes:
    extra = 64

    def __init__(self, n, more=0):
        self.n = n
        self.width = self.n + more

    def grown(self):
        return self.width + 64

    @property
    def twice(self):
        return self.n * 2

    @classmethod
    def of(cls, n):
        return n + cls.extra


@dataclass
class Data:
    n: int
    more: int = 64

    def grow(self):
        self.n += 1


class Pair(NamedTuple):
    a: int
    b: int = 64


KINDS = {"same": lambda n: n, "odd": lambda n: n + 1}


def grow(sizes):
    sizes.n += 1
    return sizes


def last(sizes):
    return sizes[-1]


def same(n):
    return n


def cdiv(a, b):
    return -(-a // b)


def up(n, to=64):
    return cdiv(n, to) * to


def pad(n, by=64):
    n += by
    return n


def wider(a, b):
    return a if a > b else b


def two(n):
    return n, n + 64, n + 1


def plus(n, m=0):
    return n + m


def make(rows, n):
    return torch.empty((rows, n))
"""
# What leaves a width a multiple of 64, as far as it is one; and what does not.
WHOLE = (
    "{}", "{} + 0", "int({})", "max({}, 1)", "({} + 63) // 64 * 64", "-(-{} // 64) * 64", "({} + 63) & ~63", "{} + 64",
    "same({})", "cdiv({}, 64) * 64", "up({})", "{} * 2", "wider({}, {} + 64)", "two({})[1]", "plus(m=0, n={})", "pad({})",
    "min({}, {} + 1)", "({}, 7)[0]", "{} - {} % 64", "({} if rows > 2 else {})", "({} or 64)", "(lambda n: n)({})",
    "{{'a': {}}}['a']", "[7, {}][1]", "sum(({}, 64))", "max([{}, 64])", "partial(plus, m=64)({})", "Sizes({}).n",
    "Sizes({}, 64).grown()", "Sizes({}).twice", "Sizes.of({})", "Data({}).n", "Pair({}).a", "Pair(7, {})[1]", "last([7, {}])",
    "dict(n={})['n']", "SimpleNamespace(n={}).n", "KINDS['same']({})",
)  # fmt: skip
ODD = (
    "{} + 1", "{} - 1", "{} // 3", "{} + rows", "min({}, rows * 64)", "{} | 1", "({} if rows != 3 else {} + 1)",
    "wider({}, {} - 1)", "two({})[2]", "plus({}, m=1)", "up({}, 63)", "pad({}, 7)", "tables.shape[1]", "{} * rows // 3",
    "sum([{}, rows])", "partial(plus, 1)({})", "Sizes({}, 1).width", "grow(Sizes({})).n", "Pair({})[1] + rows",
    "KINDS['odd']({})",
)  # fmt: skip
STATEMENTS = (
    "{v} = {w}", "{v} = {w}", "{v} = {w}", "if rows > 4:\n    {v} = {w}",
    "if rows > 1:\n    {v} = {w}\nelse:\n    {v} = {s}", "other, {v} = rows, {w}", "{v} += 64", "{v} += 7",
    "for i in range(2):\n    {v} = {w}", "for i in range(rows):\n    {v} = {w}",
    "try:\n    {v} = {s}\nfinally:\n    {v} = {w}", "kept = {v}\n{v} = {w}\n{v} = kept", "other = ({v} := {w}) + 1",
    "match rows:\n    case 3:\n        {v} = {w}\n    case _:\n        {v} = {s}", "if {v} > 10048:\n    {v} = {w}",
    "def inner(n={v}):\n    return n\n\n{v} = inner()", "def inner():\n    nonlocal {v}\n    {v} = {w}\n\ninner()",
    "sizes = [{v}, {w}]\n{v} = sizes[1]", "sizes = dict(a={v}, b={w})\n{v} = sizes['b']",
    "sizes = [{v}]\nsizes.append({w})\n{v} = sizes.pop()", "for {v} in ({v}, {w}):\n    pass",
    "while {v} % 64:\n    {v} += 1", "sizes = Sizes({v})\n{v} = sizes.width", "sizes = Sizes({v})\nsizes.n = {w}\n{v} = sizes.n",
    "data = Data({v}, {w})\n{v} = data.more", "data = Data({v})\ndata.grow()\n{v} = data.n", "a, {v} = Pair({s}, {w})",
    "data = Data({v})\nother = data\nother.n = {w}\n{v} = data.n", "sizes = [{v}]\nalso = sizes\nalso[0] = {w}\n{v} = sizes[0]",
    "pair = Pair({s}, {w})\n{v} = pair.a", "up = partial(plus, {v})\n{v} = up(m=64)", "sizes = dict(a={v})\nsizes['a'] = {w}\n{v} = sizes['a']",
    "sizes = Sizes({v})\ngrow(sizes)\n{v} = sizes.n", "up = partial(plus, m={v})\nup.keywords['m'] = {w}\n{v} = up(64)",
)  # fmt: skip
BUFFERS = (
    "torch.empty((rows, {}), dtype=torch.float32)", "torch.empty(rows, {})", "torch.full((rows, {}), 0.0)",
    "q.new_empty((rows, {}))", "make(rows, {})", "torch.empty((rows, {} + 1))[:, :width]", "torch.empty((rows + 1, {}))[1:]",
    "torch.empty((rows, {} + 64))[:, 64:]", "torch.empty((rows, {} * 2))[:, ::2]", "torch.empty((1, rows, {}))[0]",
    "[torch.empty((rows, {}))][0]", "dict(out=torch.empty((rows, {})))['out']",
    "torch.empty((rows, {})).narrow(1, 0, width)", "torch.empty(rows * {}).view(rows, -1)",
)  # fmt: skip


@dataclass
class Tensor:
    """A view of a storage: shape, strides and first element, in elements."""

    shape: tuple[int, ...]
    strides: tuple[int, ...] = ()
    first: int = 0
    storage: int = 0

    def __post_init__(self) -> None:
        if not self.strides:
            self.storage = 1
            for size in reversed(self.shape):
                self.strides = (self.storage, *self.strides)
                self.storage *= size

    def new_empty(self, shape: tuple[int, ...]) -> Tensor:
        return Tensor(shape)

    def view(self, rows: int, columns: int) -> Tensor:
        return Tensor((rows, self.storage // rows))

    def narrow(self, dimension: int, start: int, length: int) -> Tensor:
        return self[(slice(None),) * dimension + (slice(start, start + length),)]

    def __getitem__(self, index: Any) -> Tensor:
        index = index if isinstance(index, tuple) else (index,)
        index += (slice(None),) * (len(self.shape) - len(index))
        shape, strides, first = [], [], self.first
        for one, size, stride in zip(index, self.shape, self.strides, strict=True):
            places = range(size)[one]
            first += (places if isinstance(places, int) else places.start) * stride
            if not isinstance(places, int):
                shape.append(len(places))
                strides.append(stride * places.step)
        return Tensor(tuple(shape), tuple(strides), first, self.storage)


@dataclass
class World:
    """The modules that a caller sees, and whether any launch stored past a row's end."""

    past: list[bool] = field(default_factory=list)

    def kernel(self, q: Tensor, cache: Tensor, weights: Tensor, out: Tensor, *others: Any, **options: Any) -> None:
        # The last block of a row is stored whole.
        stored = -(-others[-1] // 64) * 64
        rows, (stride, step) = out.shape[0], out.strides
        beyond = out.first + (rows - 1) * stride + stored > out.storage
        self.past.append(beyond or step != 1 or (rows > 1 and stride < stored))

    def modules(self) -> dict[str, ModuleType]:
        names = (
            "torch aiter aiter.ops aiter.ops.triton aiter.ops.triton.pa_mqa_logits vllm vllm.tools vllm.ops vllm.model"
        )
        found = {name: ModuleType(name) for name in names.split()}

        def empty(*shape: Any, dtype: object = None) -> Tensor:
            return Tensor(shape[0] if isinstance(shape[0], tuple) else shape)

        found["torch"].__dict__.update(empty=empty, full=lambda shape, value: Tensor(shape), float32="float32")
        found["aiter.ops.triton.pa_mqa_logits"].__dict__["deepgemm_fp8_paged_mqa_logits"] = self.kernel
        return found


def _stores_past(files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether any of some launches does; a launch that an error prevents does not."""
    world = World()
    for rows, next_n, pages in ((1, 1, 157), (2, 1, 80), (3, 1, 157), (3, 5, 1), (64, 1, 157)):
        with monkeypatch.context() as patch:
            modules = world.modules()
            for name, module in modules.items():
                patch.setitem(sys.modules, name, module)
            for name in ("tools", "ops", "model"):
                exec(compile(files[name], name, "exec"), modules[f"vllm.{name}"].__dict__)
            indexer = modules["vllm.model"].__dict__["Indexer"]
            scorer = indexer(SimpleNamespace(model_config=SimpleNamespace(max_model_len=10048)))
            given = ((rows, next_n, 32, 128), (pages, 64, 1, 132), (rows, 32), (rows,), (rows, pages))
            try:
                scorer.score(*map(Tensor, given))
            except (ArithmeticError, IndexError, ValueError, TypeError):
                continue
    return any(world.past)


def _some(chosen: random.Random, several: tuple[str, ...]) -> str:
    """One of these; the first ones, which are understood, more often."""
    return several[int(len(several) * chosen.random() ** 2)]


def _width(chosen: random.Random, name: str, odd: float) -> str:
    text = chosen.choice(ODD) if chosen.random() < odd else _some(chosen, WHOLE)
    return text.replace("{}", name).replace("{{", "{").replace("}}", "}")


def _caller(chosen: random.Random) -> dict[str, str]:
    def statements(name: str) -> list[str]:
        return [
            _some(chosen, STATEMENTS).format(v=name, w=_width(chosen, name, 0.3), s=_width(chosen, name, 0))
            for _ in range(chosen.choice((0, 1, 1, 2)))
        ]

    width = "width" if chosen.random() < 0.8 else _width(chosen, "width", 0.3)
    late = statements("width") if chosen.random() < 0.1 else []
    body = ["width = max_model_len", *statements("width"), f"out = {_some(chosen, BUFFERS).format(width)}", *late, CALL]
    given = (
        "from functools import partial\nfrom types import SimpleNamespace\nfrom vllm.tools import "
        "KINDS, Data, Pair, Sizes, cdiv, grow, last, make, pad, plus, same, two, up, wider\n"
    )
    model = MODEL
    if chosen.random() < 0.2:
        lines = ["n = vllm_config.model_config.max_model_len", "rows = 2", *statements("n"), "self.max_model_len = n"]
        inner = "\n".join(lines).replace("tables.shape[1]", "rows").replace("\n", "\n        ")
        model = given + MODEL.replace("self.max_model_len = vllm_config.model_config.max_model_len", inner)
    return {"ops": ops("\n".join(body), before=given), "tools": f"import torch\n\n\n{HELPERS}", "model": model}


@pytest.mark.parametrize("seed", range(0, COUNT, 60))
def test_what_stores_past_a_row_is_not_safe(seed: int, judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    safe = past = 0
    for number in range(seed, seed + 60):
        files = _caller(random.Random(number))
        stores = _stores_past(files, monkeypatch)
        called_safe = frames.verdict(judge, files, WORDS) == 0
        assert not (stores and called_safe), files["ops"] + files["model"]
        safe, past = safe + called_safe, past + stores
    assert safe > 3, "where none is, none can be wrong"
    assert past > 3
