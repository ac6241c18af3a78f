"""What a refactoring makes of a small engine, as an engineer would write it. None of the unsafe ones is called safe, or
without calls; the safe ones are in the same styles."""

from __future__ import annotations

import textwrap

import pytest

from tests.engines import frames
from tests.engines.conftest import Judge
from tests.engines.frames import ARGS, CALL, HEAD, LENGTH, LIMIT, METHOD, MODEL, OUT, ops

KERNEL = "deepgemm_fp8_paged_mqa_logits"
ODD = MODEL.replace("model_config.max_model_len", "odd")
PADDED = "out = torch.empty((rows, width + 256))[:, :width]"


def body(text: str, before: str = "") -> dict[str, str]:
    """An engine whose function around the kernel has this body."""
    return {"ops": ops(text, before)}


def sized(width: str, before: str = "") -> dict[str, str]:
    """One whose function finds its width so."""
    return body(f"width = {width}\n{OUT}\n{CALL}", before)


def indexer(
    init: str, width: str = "self.width", more: str = "", before: str = "", bases: str = "", out: str = ""
) -> str:
    """A class that makes the buffer and calls the kernel."""
    lines = "".join(f"        {line}\n" for line in init.splitlines())
    return (
        f"{HEAD}{before}\n\nclass Indexer{bases}:\n    def __init__(self, vllm_config):\n{lines}\n"
        f"    def score(self, {ARGS}, rows):\n        width = {width}\n"
        f"        {out or 'out = torch.empty((rows, width))'}\n        {CALL}\n        return out\n{more}"
    )


def model(
    init: str = "self.max_model_len = vllm_config.model_config.max_model_len",
    arg: str = "self.max_model_len",
    before: str = "",
    more: str = "",
) -> str:
    """A class that calls the function around the kernel."""
    return (
        f"from vllm.ops import paged_logits\n{before}\n\nclass Indexer:\n    def __init__(self, vllm_config):\n"
        + textwrap.indent(init, "        ")
        + "\n\n    def score(self, q, cache, weights, lengths, tables):\n"
        + f"        return paged_logits(q, cache, weights, lengths, tables, {arg})\n"
        + textwrap.indent(more, "    ")
    )


def classes(text: str, **files: str) -> dict[str, str]:
    return {"ops": text, "model": "", **files}


SET = f"self.width = {LIMIT}"
BY_NAME = (
    indexer(SET, "width")
    .replace("rows):", "rows, width):")
    .replace("        width = width\n", "")
    .replace("def score", "def score_rocm")
)
GOOD = f"def good(it, vllm_config, q):\n    return it.score_rocm(q, q, q, q, q, 4, {LIMIT})\n"
BRANCHES = "if rows > 9:\n    width = max_model_len\nelse:\n    width = max_model_len + 64\n"


def sized_by(text: str, before: str = "") -> dict[str, str]:
    """One whose function finds its width by these statements."""
    return body(f"{text}\n{OUT}\n{CALL}", before)


def keeper(after: str, out: str = "self.buf", more: str = "") -> dict[str, str]:
    """A class that makes its buffer once, and does this after a launch."""
    init = f"self.width = {LIMIT}\nself.buf = torch.empty((64, self.width))"
    return classes(
        indexer(init, out=f"out = {out}", before="KEPT = []", more=more).replace(
            "        return out", f"        {after}"
        )
    )


def two(part: str, first: str, second: str) -> dict[str, str]:
    """A buffer with padding as wide as one of two objects says, of the width that the other one says."""
    return classes(
        f"{HEAD}{PAIR}\n\nclass Sizes:\n    def __init__(self, n):\n        self.part = {part}\n\n\n"
        f"def paged_logits({ARGS}, a: Sizes, b: Sizes):\n    width = {first}\n    out = torch.empty((4, width + 256))[:, :width]\n"
        f"    width = {second}\n    {CALL}\n\n\ndef go({ARGS}, x, y):\n    paged_logits({ARGS}, Sizes(x), Sizes(y))\n"
    )


PARTIAL = "from functools import partial\n\n\ndef plus(n, m):\n    return n + m\n\n\n"
PAIR = "from typing import NamedTuple\n\n\nclass Pair(NamedTuple):\n    rows: int\n    width: int\n"
RECORD = "class Sizes:\n    def __init__(self, n):\n        self.n = n\n        self.width = self.n\n"
RECORDED = "sizes = Sizes(max_model_len)\nwidth = sizes.width"
DATA = (
    "from dataclasses import dataclass\n\n\n@dataclass(frozen=True)\nclass Sizes:\n    n: int\n    block: int = 64\n\n"
    "    @property\n    def width(self):\n        return (self.n + self.block - 1) // self.block * self.block\n\n"
    "    def rounded(self):\n        return self.width\n"
)
OF = "class Sizes:\n    extra = 64\n\n    @classmethod\n    def of(cls, n):\n        return n + cls.extra\n"
HOOK = (
    "class Hook:\n    def __init__(self, f):\n        self.f = f\n\n    def __set_name__(self, owner, name):\n"
    "        owner.extra = 1\n        owner.width = property(lambda s: 7, lambda s, n: None)\n\n\n"
    "override = Hook\n"
)
COMMON = {
    "others": "".join(
        f"class A{i}:\n    def of(self, n):\n        self.width = self.n = self.of = n\n\n\n" for i in range(9)
    )
}
"""Classes that store under the same names, in more places than are followed."""


def held(init: str = f"self.sizes = Sizes({LIMIT})", more: str = "", width: str = "self.sizes.width") -> dict[str, str]:
    """A class that asks an object of another one, which it has made."""
    record = f"class Sizes:\n    def __init__(self, n):\n        self.width = n\n{more}"
    return classes(indexer(init, width, before=record))


UNSAFE: dict[str, dict[str, str]] = {
    "tensor changed by a function before it": body(
        f"width = max_model_len\n\ndef grow():\n    out.resize_(rows, 7)\n\n{OUT}\ngrow()\n{CALL}"
    ),
    "partial of a kernel, whose tensor is resized": body(
        f"width = max_model_len\n{OUT}\nlaunch = partial({KERNEL}, q, cache, weights, out, Preshuffle=True, KVBlockSize=64)\n"
        "out.resize_(rows, 7)\nlaunch(lengths, tables, width)",
        PARTIAL,
    ),
    "partial of a kernel, changed": body(
        f"width = max_model_len\n{OUT}\nlaunch = partial({KERNEL}, Preshuffle=True, KVBlockSize=64)\n"
        "launch.keywords['KVBlockSize'] = 128\nlaunch(q, cache, weights, out, lengths, tables, width)",
        PARTIAL,
    ),
    "partial of a kernel, told otherwise": body(
        f"width = max_model_len\n{OUT}\nlaunch = partial({KERNEL}, Preshuffle=True, KVBlockSize=64)\n"
        "launch(q, cache, weights, out, lengths, tables, width, KVBlockSize=128)",
        PARTIAL,
    ),
    "shape that is changed": body(
        f"width = max_model_len\nshape = [rows, width]\nshape[1] = 7\nout = torch.empty(shape)\n{CALL}"
    ),
    "keywords that are changed": body(
        "width = max_model_len\nmade = dict(size=(rows, width))\nmade['size'] = (rows, 7)\n"
        f"out = torch.empty(**made)\n{CALL}"
    ),
    "tensor given another name by a helper": body(
        f"width = max_model_len\nbuf = torch.empty((rows, width))\nout = same(buf)\nbuf.resize_(rows, 7)\n{CALL}",
        "def same(t):\n    return t\n",
    ),
    "tensor of a tuple, resized there": body(
        f"width = max_model_len\nbufs = (torch.empty((rows, width)), 1)\nout = bufs[0]\nbufs[0].resize_(rows, 7)\n{CALL}"
    ),
    "tensor of a dict, resized there": body(
        f"width = max_model_len\nbufs = {{'out': torch.empty((rows, width))}}\nout = bufs['out']\n"
        f"bufs['out'].resize_(rows, 7)\n{CALL}"
    ),
    "tensor of a named tuple, resized before": body(
        f"width = max_model_len\nbuf = torch.empty((rows, width))\npair = Pair(1, buf)\nbuf.resize_(rows, 7)\n"
        f"out = pair.width\n{CALL}",
        PAIR,
    ),
    "tensor resized by what is asked first": body(
        f"width = max_model_len\n{OUT}\n{CALL.replace(' out,', ' (out if grow(out) else None),')}",
        "def grow(t):\n    t.resize_(4, 7)\n    return 1\n",
    ),
    "held buffer resized after a launch": keeper("out.resize_(3, 7)"),
    "held buffer given away after a launch": keeper("KEPT.append(out)"),
    "held buffer given out by a method": keeper("pass", "self.get()", "\n    def get(self):\n        return self.buf\n"),
    "held buffer got by its name": keeper("getattr(self, 'buf').resize_(3, 7)"),
    "held buffer resized by its giver": {
        "ops": f"{HEAD}\n\nclass Keeper:\n    def __init__(self, out):\n        self.held = out\n\n"
        f"    def go(self, {ARGS}, width):\n        out = self.held\n        {CALL}\n",
        "model": f"import torch\nfrom vllm.ops import Keeper\n\n\ndef score(vllm_config, {ARGS}):\n    width = {LIMIT}\n"
        "    buf = torch.empty((4, width))\n    keeper = Keeper(buf)\n    buf.resize_(4, width + 7)\n"
        f"    keeper.go({ARGS}, width)\n",
    },
    "tuples of two objects": two("(1, n.odd)", "a.part[1]", "b.part[1]"),
    "dicts of two objects": two("{'n': n.odd}", "a.part['n']", "b.part['n']"),
    "records of two objects": two("Pair(1, n.odd)", "a.part.width", "b.part.width"),
    **{f"partial {name}": more for name, more in {
        "that adds one": sized("partial(plus, m=1)(max_model_len)", PARTIAL),
        "that is told otherwise": sized("partial(plus, m=64)(max_model_len, m=1)", PARTIAL),
        "of a list that is changed": sized_by("m = [64]\nup = partial(plus, m=m)\nm[0] = 1\nwidth = up(max_model_len)", PARTIAL.replace("+ m", "+ m[0]")),
        "changed": sized_by("up = partial(plus, m=64)\nup.keywords['m'] = 1\nwidth = up(max_model_len)", PARTIAL),
        "of a module, changed": sized("up(max_model_len)", f"{PARTIAL}up = partial(plus, m=64)\n") | {"a": "from vllm.ops import up\n\nup.keywords['m'] = 1\n"},
        "of a module, got by its name": sized("up(max_model_len)", f"{PARTIAL}up = partial(plus, m=64)\n") | {"a": "from vllm import ops\n\ngetattr(ops, 'up').keywords['m'] = 1\n"},
        "of a function that is replaced": sized("partial(plus, m=64)(max_model_len)", PARTIAL) | {"a": "from vllm import ops\n\nops.plus = max\n"},
        "of the engine's own": sized("partial(plus, m=64)(max_model_len)", PARTIAL.replace("from functools import", "from vllm.a import")) | {"a": "def partial(f, m):\n    return lambda n: f(n, m + 1)\n"},
        "replaced": sized("functools.partial(plus, m=64)(max_model_len)", f"import functools\n{PARTIAL}") | {"a": "import functools\n\nfunctools.partial = lambda f, m: lambda n: n + 1\n"},
    }.items()},
    **{f"list {name}": sized_by(text, "def grow(s):\n    s[1] += 1\n    return 1\n\n\ndef same(s):\n    return s\n\n\ndef asked(s):\n    grow(s)\n    return s[1]\n") for name, text in {
        "set": "sizes = [rows, max_model_len]\nsizes[1] = 7\nwidth = sizes[1]",
        "appended": "sizes = [max_model_len]\nsizes.append(7)\nwidth = sizes[-1]",
        "changed by a helper": "sizes = [rows, max_model_len]\ngrow(sizes)\nwidth = sizes[1]",
        "changed within a helper": "sizes = [rows, max_model_len]\nwidth = asked(sizes)",
        "changed as it is asked for": "sizes = [rows, max_model_len]\nwidth = sizes[1] if grow(sizes) else 64",
        "of two names": "sizes = [rows, max_model_len]\nother = sizes\nother += [7]\nwidth = sizes[-1]",
        "of two names, by a helper": "sizes = [rows, max_model_len]\nother = same(sizes)\nsizes[1] = 7\nwidth = other[1]",
        "in a list, by another name": "sizes = [[rows, max_model_len]]\nrow = sizes[0]\nsizes[0][1] = 7\nwidth = row[1]",
        "in a dict": "sizes = [rows, max_model_len]\nkept = {'s': sizes}\nkept['s'][1] = 7\nwidth = sizes[1]",
        "changed in a loop": "sizes = [rows, max_model_len]\nfor i in range(2):\n    width = sizes[1]\n    sizes[1] += 1",
        "changed by a function within": "sizes = [rows, max_model_len]\n\ndef more():\n    sizes[1] += 1\n\nmore()\nwidth = sizes[1]",
    }.items()},
    "list that is a default": sized("up(max_model_len)", "def up(n, seen=[0]):\n    width = n + seen[0]\n    seen[0] += 1\n    return width\n"),
    "list of a module, changed from afar": sized("SIZES[0] + max_model_len", "SIZES = [64]\n") | {"a": "from vllm.ops import SIZES\n\n\ndef tune():\n    SIZES[0] = 1\n"},
    "list of a module, given out": sized("SIZES[0] + max_model_len", "SIZES = [64]\n\n\ndef get():\n    return SIZES\n") | {"a": "from vllm.ops import get\n\nget()[0] = 1\n"},
    "dict changed": sized_by("sizes = dict(width=max_model_len)\nsizes['width'] += 1\nwidth = sizes['width']"),
    "dict changed by another function": sized_by("sizes = {'width': max_model_len}\ntune(sizes)\nwidth = sizes['width']", "from vllm.a import tune\n") | {"a": "def tune(d):\n    d['width'] += 1\n"},
    "dict of the engine's own": sized_by("sizes = dict(width=max_model_len)\nwidth = sizes['width']", "def dict(width):\n    return {'width': width + 1}\n"),
    "dict of functions, registered": sized("UP['rocm'](max_model_len)", "def up(n):\n    return n + 64\n\n\nUP = {'rocm': up}\n\n\ndef register(kind, f):\n    UP[kind] = f\n"),
    "dict held, changed from afar": classes(indexer(f"self.sizes = {{'n': {LIMIT}}}", "self.sizes['n']"), a="def tune(it):\n    it.sizes['n'] += 1\n"),
    "dict held, and by another name": classes(indexer(f"self.sizes = {{'n': {LIMIT}}}", "self.sizes['n']"), a="def tune(it):\n    sizes = it.sizes\n    sizes['n'] += 1\n"),
    "dict held, given out": classes(indexer(f"self.sizes = {{'n': {LIMIT}}}", "self.sizes['n']", "\n    def get(self):\n        return self.sizes\n"), a="def tune(it):\n    it.get()['n'] += 1\n"),
    "sum of odd parts": sized("sum((max_model_len, 1))"),
    "sum from one on": sized("sum((max_model_len, 64), 1)"),
    "namespace changed": sized_by("sizes = SimpleNamespace(width=max_model_len)\nsizes.width += 1\nwidth = sizes.width", "from types import SimpleNamespace\n"),
    **{f"record {name}": sized_by(text, cls) | COMMON | files for name, (text, cls, files) in {
        "changed": ("sizes = Sizes(max_model_len)\nsizes.width += 1\nwidth = sizes.width", RECORD, {}),
        "changed by its method": ("sizes = Sizes(max_model_len)\nsizes.grow()\nwidth = sizes.width", f"{RECORD}\n    def grow(self):\n        self.width += 1\n", {}),
        "changed by who is given it": ("sizes = Sizes(max_model_len)\ngrow(sizes)\nwidth = sizes.width", f"{RECORD}\n\ndef grow(s):\n    s.width += 1\n", {}),
        "changed under another name": ("sizes = Sizes(max_model_len)\nother = sizes\nother.width += 1\nwidth = sizes.width", RECORD, {}),
        "that gives itself away": (RECORDED, f"{RECORD}        grow(self)\n\n\ndef grow(s):\n    s.width += 1\n", {}),
        "made on branches": (RECORDED, f"{RECORD}        if n > 9:\n            self.width = n + 1\n", {}),
        "of a metaclass": (RECORDED, "class Meta(type):\n    def __call__(cls, n):\n        return super().__call__(n + 1)\n\n\n" + RECORD.replace("Sizes:", "Sizes(metaclass=Meta):"), {}),
        "of a descriptor set from afar": (RECORDED, RECORD, {"a": "from vllm.ops import Sizes\n\nSizes.width = property(lambda s: 7, lambda s, n: None)\n"}),
        "that stores otherwise": (RECORDED, f"{RECORD}\n    def __setattr__(self, name, n):\n        object.__setattr__(self, name, n + 1)\n", {}),
        "of a cache": ("sizes = make(max_model_len)\nwidth = sizes.width", f"from functools import cache\n\n\n{RECORD}\n\n@cache\ndef make(n):\n    return Sizes(n)\n\n\ndef tune(n):\n    make(n).width += 1\n", {}),
        "whose method is kept": ("sizes = Sizes(max_model_len)\nwide = sizes.wide\nsizes.width = 7\nwidth = wide()", f"{RECORD}\n    def wide(self):\n        return self.width\n", {}),
        "whose heir says otherwise": ("sizes = Wide(max_model_len)\nwidth = sizes.width", f"{RECORD}\n\nclass Wide(Sizes):\n    width = property(lambda s: 7, lambda s, n: None)\n", {}),
        "that is frozen, and set": ("sizes = Sizes(max_model_len)\nobject.__setattr__(sizes, 'n', 7)\nwidth = sizes.n", DATA, {}),
        "worked out after": ("sizes = Sizes(max_model_len)\nwidth = sizes.n", f"{DATA}\n    def __post_init__(self):\n        object.__setattr__(self, 'n', self.n + 1)\n", {}),
        "of odd blocks": (RECORDED, DATA.replace("= 64", "= 63"), {}),
        "that is a tuple, with another width": ("pair = Pair(1, max_model_len)._replace(width=7)\nwidth = pair.width", PAIR, {}),
        "that is a tuple, in another order": ("rows, width = Pair(max_model_len, 7)", PAIR, {}),
        "that is a tuple, asked its own way": ("pair = Pair(1, max_model_len)\nwidth = pair[1]", f"{PAIR}\n    def __getitem__(self, i):\n        return 7\n", {}),
    }.items()},
    **{f"classmethod {name}": sized("Sizes.of(max_model_len)", f"{OF}{more}") | COMMON | files for name, (more, files) in {
        "of an odd constant": ("\n    extra = 1\n", {}),
        "whose constant is set": ("\n\nSizes.extra = 1\n", {}),
        "whose constant is set from afar": ("", {"a": "from vllm.ops import Sizes as S\n\nS.extra = 1\n"}),
        "whose constant is set by its name": ("", {"a": "from vllm import ops\n\nsetattr(ops.Sizes, 'extra', 1)\n"}),
        "whose constant another sets": ("\n    @classmethod\n    def tune(cls):\n        cls.extra = 1\n", {}),
        "of a class that is given away": ("", {"a": "from vllm.b import tune\nfrom vllm.ops import Sizes\n\ntune(Sizes)\n", "b": "def tune(c):\n    c.extra = 1\n"}),
        "replaced from afar": ("", {"a": "from vllm import ops\n\nops.Sizes.of = lambda n: n + 1\n"}),
        "of an heir": ("\n\nclass Wide(Sizes):\n    extra = 1\n\n\nSizes = Wide\n", {}),
    }.items()},
    **{f"tensor {name}": body(f"width = max_model_len\n{text}", "from vllm.a import len\n\n\ndef grow(t):\n    t.resize_(4, 7)\n    return t\n") | {"a": "def len(t):\n    t.resize_(4, 7)\n"} for name, text in {
        "measured by the engine's own": f"{OUT}\nlen(out)\n{CALL}",
        "filled under another name": f"{OUT}\nother = out.zero_()\nother.resize_(rows, 7)\n{CALL}",
        "filled as another": f"buf = torch.empty((rows, width))\nout = buf.zero_()\nbuf.resize_(rows, 7)\n{CALL}",
        "resized by a later argument": f"{OUT}\n{CALL.replace(' tables,', ' grow(out),')}",
        "of a shape that a later argument changes": f"shape = [rows, width]\nout = torch.empty(shape, device=q.set(shape))\n{CALL}",
        "asked anew": f"{OUT}\n{CALL.replace(' out,', ' (out if (out := q.odd) is not None else None),')}",
        "of keywords that is resized": f"keys = {{'size': [rows, width]}}\nkeys['size'][1] = 7\nout = torch.empty(**keys)\n{CALL}",
        "of keywords whose shape is changed": f"shape = [rows, width]\nkeys = dict(size=shape)\nshape[1] = 7\nout = torch.empty(**keys)\n{CALL}",
        "with keywords of a function within": f"{OUT}\n\ndef inner():\n    KEYS = dict(Preshuffle=True, KVBlockSize=64)\n    q.go(**KEYS)\n\n{CALL.replace('Preshuffle=True, KVBlockSize=64', '**KEYS')}",
        "with keywords of a dict that is none": f"{OUT}\ndict = tables.odd\nkeys = dict(Preshuffle=True, KVBlockSize=64)\n{CALL.replace('Preshuffle=True, KVBlockSize=64', '**keys')}",
    }.items()},
    "held buffer filled under another name": keeper("out.resize_(3, 7)", "self.buf.zero_()"),
    "held buffer resized among all that is held": keeper("for t in vars(self).values(): t.resize_(3, 7)"),
    "held buffer got by a name worked out": keeper("for n in q.names: getattr(self, n).resize_(3, 7)"),
    "held list of two names": classes(indexer(f"self.sizes = self.other = [{LIMIT}]\nself.other[0] = 7", "self.sizes[0]")),
    "held list of a name within": classes(indexer(f"self.sizes = (sizes := [{LIMIT}])\nsizes[0] = 7", "self.sizes[0]")),
    **{f"tensor given, {name}": {"ops": f"{HEAD}from types import SimpleNamespace\n\n\ndef same(t):\n    return t\n\n\n{RECORD}\n\ndef go({ARGS}, buf, width):\n    held = {text}\n    buf.resize_(3, 7)\n    out = {out}\n    {CALL}\n", "model": f"import torch\nfrom vllm.ops import go\n\n\ndef score(vllm_config, {ARGS}):\n    width = {LIMIT}\n    go({ARGS}, torch.empty((4, width)), width)\n"} for name, (text, out) in {
        "in a record": ("Sizes(buf)", "held.n"), "in a namespace": ("SimpleNamespace(n=buf)", "held.n"),
        "in a dict": ("dict(n=buf)", "held['n']"), "by a helper": ("same(buf)", "held"),
    }.items()},
    **{f"class {name}": sized("Sizes.of(max_model_len)", before) | COMMON | {"a": a} for name, (before, a) in {
        "whose list is changed from afar": (OF.replace("= 64", "= [64]").replace("cls.extra", "cls.extra[0]"), "from vllm.ops import Sizes\n\nSizes.extra[0] = 1\n"),
        "whose constant is set by an object's type": (OF, "def tune(s):\n    type(s).extra = 1\n"),
        "whose method is replaced by an object's type": (OF, "def tune(s):\n    type(s).of = lambda n: 7\n"),
        "whose method has other defaults": (OF.replace("n):", "n, m=64):").replace("cls.extra", "m"), "from vllm.ops import Sizes\n\nSizes.of.__func__.__defaults__ = (1,)\n"),
        "whose partial is changed": (f"{PARTIAL}class Sizes:\n    of = partial(plus, m=64)\n", "from vllm.ops import Sizes\n\nSizes.of.keywords['m'] = 1\n"),
    }.items()},
    "class of a fixed width that is set by name": sized("Sizes.of(64)", OF) | {"a": "def tune(s, k):\n    setattr(s.__class__, k, 1)\n"},
    **{f"record, {name}": sized_by(text, before) | COMMON | files for name, (text, before, files) in {
        "stored by super": (RECORDED, f"{RECORD}        super().__setattr__('width', 7)\n", {}),
        "stored by super afterwards": ("width = Sizes(max_model_len).n", DATA.replace("(frozen=True)", "") + "\n    def __post_init__(self):\n        super().__setattr__('n', 7)\n", {}),
        "stored by text": ("width = Sizes(max_model_len).n", DATA.replace("(frozen=True)", "") + "\n    def __post_init__(self):\n        exec('self.n = 7')\n", {}),
        "whose maker is decorated": (RECORDED, "def override(f):\n    return lambda self, n: f(self, n + 1)\n\n\n" + RECORD.replace("    def __i", "    @override\n    def __i"), {}),
        "of a descriptor": ("width = Sizes(max_model_len).n", "from dataclasses import dataclass\n\n\nclass Odd:\n    def __get__(self, it, cls):\n        return 7\n\n    def __set__(self, it, n):\n        pass\n\n\nODD = Odd()\n\n\n@dataclass\nclass Sizes:\n    n: int = ODD\n", {}),
        "of a variable of the class": ("width = Sizes(max_model_len).m", "from dataclasses import dataclass\nfrom typing import ClassVar as Of\n\n\n@dataclass\nclass Sizes:\n    m: Of[int] = 7\n    n: int = 0\n", {}),
        "of what it takes and does not keep": ("width = Sizes(max_model_len).n", "from dataclasses import InitVar as Of\nfrom dataclasses import dataclass\n\n\n@dataclass\nclass Sizes:\n    n: Of[int] = 7\n", {}),
        "by a dataclass that is replaced": ("width = Sizes(max_model_len).n", DATA.replace("from dataclasses import dataclass", "import dataclasses").replace("@data", "@dataclasses.data"), {"a": "import dataclasses\n\ndataclasses.dataclass = lambda **k: max\n"}),
        "of a property that its type is given": (RECORDED, RECORD, {"a": "def tune(s):\n    type(s).width = property(lambda s: 7, lambda s, n: None)\n"}),
        "whose kept property is changed": ("s = Sizes(max_model_len)\ns.kept[0] = 7\nwidth = s.kept[0]", f"from functools import cached_property\n\n\n{RECORD}\n    @cached_property\n    def kept(self):\n        return [self.n]\n", {}),
        "got back from its method": ("s = Sizes(max_model_len)\ns.up.__self__.n = 7\nwidth = s.n", f"{RECORD}\n    def up(self):\n        return 1\n", {}),
    }.items()},
    **{f"class {name}": sized("Sizes.of(max_model_len)", f"def change(c):\n    c.extra = 1\n\n\n{HOOK}\n\n{OF}{more}") | COMMON | files for name, (more, files) in {
        "that its own method gives away": ("\n    @classmethod\n    def tune(cls):\n        change(cls)\n", {}),
        "that a function gets as a method": ("    tune = classmethod(change)\n", {}),
        "that a value is told": ("    hook = Hook(None)\n", {}),
        "that a decorator is told": ("\n    @Hook\n    def odd(self):\n        return 1\n", {}),
        "of a name in a default": ("\n    def odd(self, m=(extra := 1)):\n        return m\n", {}),
        "given to a function by the name of one that looks": ("", {"a": "from vllm.b import signature\nfrom vllm.ops import Sizes\n\nsignature(Sizes)\n", "b": "def signature(c):\n    c.extra = 1\n"}),
        "given to a method by the name of one that looks": ("", {"a": "from vllm.b import Tool\nfrom vllm.ops import Sizes\n\nTool().print(Sizes)\n", "b": "class Tool:\n    def print(self, c):\n        c.extra = 1\n"}),
        "by the type of what a function gives": ("\n\ndef get():\n    return Sizes()\n", {"a": "from vllm.ops import get\n\ntype(get()).extra = 1\n"}),
        "by the type of what a function gives, kept": ("\n\ndef get():\n    return Sizes()\n", {"a": "from vllm.ops import get\n\nc = type(get())\nc.extra = 1\n"}),
        "whose method is replaced by a path": ("", {"a": "from unittest import mock\n\nmock.patch('vllm.ops.Sizes.of', lambda n: 7).start()\n"}),
        "by the types of many": ("\n\ndef tune(them):\n    for c in map(type, them):\n        c.extra = 1\n", {}),
    }.items()},
    "class whose own method sets what its name is mangled to": sized("Sizes.of(max_model_len)", OF.replace("extra", "__extra") + "\n    @classmethod\n    def tune(cls):\n        cls._Sizes__extra = 1\n") | COMMON,
    "class that type makes another of": classes(
        f"{HEAD}\nclass Sizes:\n    extra = 64\n\n    @classmethod\n    def go(cls, {ARGS}):\n        width = cls.extra\n        out = torch.empty((4, width))\n        {CALL}\n",
        a="from vllm.ops import Sizes\n\n\ndef go(q):\n    Sizes.go(q, q, q, q, q)\n    type('W', (Sizes,), {'extra': 7}).go(q, q, q, q, q)\n",
        **COMMON,
    ),
    **{f"record, {name}": sized_by(text, f"{HOOK}\n\n{RECORD}{more}") | COMMON for name, (text, more) in {
        "to which its class gives a property": (RECORDED, "\n    @classmethod\n    def tune(cls):\n        cls.width = property(lambda s: 7, lambda s, n: None)\n"),
        "to which a decorator gives a property": (RECORDED, "\n    @override\n    def odd(self):\n        return 1\n"),
        "whose class is given a method": (RECORDED, "\n\ndef tune(s):\n    s.__class__.__getattribute__ = lambda s, n: 7\n"),
        "with a decorator in its body": ("width = Sizes(max_model_len).wide()", "\n    def record_function(f):\n        return lambda self: 7\n\n    @record_function\n    def wide(self):\n        return self.width\n"),
        "with a property in its body": ("width = Sizes(max_model_len).wide", "\n    def property(f):\n        return 7\n\n    @property\n    def wide(self):\n        return self.width\n"),
    }.items()},
    **{f"{what}, {name}": sized_by(f"{text}\n{how}\nwidth = {read}", f"{RECORD}\n\nclass Odd:\n    def __eq__(self, s):\n        {change}\n        return True\n\n    def __contains__(self, s):\n        {change}\n        return True\n") | COMMON for what, (text, read, change) in {
        "record": ("s = Sizes(max_model_len)", "s.width", "s.width = 7"), "list": ("s = [max_model_len]", "s[0]", "s[0] = 7"),
    }.items() for name, how in {"changed as it is compared": "s == Odd()", "changed as it is sought": "s in Odd()"}.items()},
    "tensor resized as it is sought": body(f"width = max_model_len\n{OUT}\nout in Odd()\n{CALL}", "class Odd:\n    def __contains__(self, t):\n        t.resize_(3, 7)\n        return True\n"),
    **{f"record with a field {name}": sized_by("width = Sizes(max_model_len).m", f"from dataclasses import KW_ONLY, InitVar, dataclass\nfrom typing import ClassVar\n{before}\n\n@dataclass\nclass Sizes:\n    m: {kind} = 7\n    n: int = 0\n") | COMMON | {"kinds": "from typing import ClassVar as Of\n\nOf2 = Of[int]\n"} for name, (before, kind) in {
        "of the class, in quotes": ("from typing import ClassVar as Of\n", "'Of[int]'"),
        "of the class, by another name": ("Of = ClassVar[int]\n", "Of"),
        "of the class, by another name from afar": ("from vllm.kinds import Of2\n", "Of2"),
        "of the class, from afar": ("from vllm.kinds import Of\n", "Of[int]"),
        "of the class, if it can be imported": ("try:\n    from typing import ClassVar as Of\nexcept ImportError:\n    Of = None\n", "Of[int]"),
        "that is not kept, by another name": ("Of = InitVar[int]\n", "Of"),
    }.items()},
    **{f"held buffer resized, got by {name}": keeper(text) for name, text in {
        "attrgetter": "for n in q.names: attrgetter(n)(self).resize_(3, 7)",
        "getmembers": "for n, b in inspect.getmembers(self): b.resize_(3, 7)",
        "its own way": "for n in q.names: self.__getattribute__(n).resize_(3, 7)",
        "the way of all objects": "for n in q.names: object.__getattribute__(self, n).resize_(3, 7)",
        "what is pickled": "for b in self.__getstate__().values(): b.resize_(3, 7)",
        "getattr of another name": "get = getattr; [get(self, n).resize_(3, 7) for n in q.names]",
        "a map of getattr": "for b in map(getattr, q.its, q.names): b.resize_(3, 7)",
    }.items()},
    **{f"attribute set by setattr {name}": classes(indexer(SET), a=f"{before}\n\ndef tune(it, n{more}):\n    put(it, n, 7)\n") for name, (before, more) in {
        "of another name": ("put = setattr\n", ""), "imported": ("from builtins import setattr as put\n", ""),
        "that is a default": ("", ", put=setattr"), "of all objects": ("put = object.__setattr__\n", ""),
    }.items()},
    "list changed by its own index": sized_by("sizes = [rows, max_model_len]\nwidth = sizes[grow(sizes)]", "def grow(s):\n    s[1] = 7\n    return 1\n"),
    "list with a name within": sized_by("sizes = (other := [rows, max_model_len])\nother[1] = 7\nwidth = sizes[1]"),
    "width asked anew": sized_by("n = max_model_len\nwidth = n if (n := 7) else 64"),
    "tensor of two names": body(
        f"width = max_model_len\nout = other = torch.empty((rows, width))\nother.resize_(rows, width + 7)\n{CALL}"
    ),
    "tensor of a name and an attribute": classes(
        indexer(
            SET,
            out="out = self.out = torch.empty((rows, width))\n        self.fix()",
            more="\n    def fix(self):\n        self.out.resize_(4, 7)\n",
        )
    ),
    "tensor given another name, and then resized under the first": body(
        f"width = max_model_len\nbase = torch.empty((rows, width))\nout = base\nbase.resize_(rows, width + 7)\n{CALL}"
    ),
    "tensor named where it is given away": body(
        f"width = max_model_len\ntables.keep(out := torch.empty((rows, width)))\ntables.fix()\n{CALL}"
    ),
    "tensor named on the way to another name": body(
        f"width = max_model_len\nif (other := torch.empty((rows, width))) is not None:\n    out = other\n"
        f"other.resize_(rows, width + 7)\n{CALL}"
    ),
    "tuple of two names": body(
        f"width = max_model_len\nout, _ = pair = (torch.empty((rows, width)), 1)\n"
        f"pair[0].resize_(rows, width + 7)\n{CALL}"
    ),
    "tuple taken apart twice": body(
        f"width = max_model_len\npair = (torch.empty((rows, width)), 1)\nout, _ = pair\nother, _ = pair\n"
        f"other.resize_(rows, width + 7)\n{CALL}"
    ),
    "tensor resized as it is returned": body(
        f"width = max_model_len\n\ndef make():\n    try:\n        made = torch.empty((rows, width))\n        return made\n"
        f"    finally:\n        made.resize_(rows, width + 7)\n\nout = make()\n{CALL}"
    ),
    "tensor got at through locals": body(
        f"width = max_model_len\n{OUT}\nlocals()['out'].resize_(rows, width + 7)\n{CALL}"
    ),
    "tensor got at through its frame": body(
        f"width = max_model_len\n{OUT}\nsys._getframe().f_locals['out'].resize_(3, 7)\n{CALL}"
    ),
    "tensor got at by text": body(f"width = max_model_len\n{OUT}\neval('out').resize_(rows, width + 7)\n{CALL}"),
    "tensor given by a function within": body(
        f"width = max_model_len\n{OUT}\n\ndef held():\n    return out\n\nheld().resize_(rows, width + 7)\n{CALL}"
    ),
    "tensor given twice by a function within": body(
        f"width = max_model_len\nmade = torch.empty((rows, width))\n\ndef held():\n    return made\n\n"
        f"out = held()\nother = held()\nother.resize_(rows, width + 7)\n{CALL}"
    ),
    "cdiv replaced": sized("triton.cdiv(max_model_len, 3) * 3", "import triton\n")
    | {"a": "import triton\n\ntriton.cdiv = lambda a, b: a // b + 1\n", "model": MODEL.replace("max_model_len)", "max_model_len * 192)")},
    "function within that adds one": body(
        f"def size(n):\n    return n + 1\n\nwidth = size(max_model_len)\n{OUT}\n{CALL}"
    ),
    "function within, of branches": body(
        "if rows > 3:\n    def size(n):\n        return n\nelse:\n    def size(n):\n        return n + 1\n"
        f"width = size(max_model_len)\n{OUT}\n{CALL}"
    ),
    "function within, decorated": body(
        "def more(f):\n    return lambda n: f(n) + 1\n\n@more\ndef size(n):\n    return n\n\n"
        f"width = size(max_model_len)\n{OUT}\n{CALL}"
    ),
    "function within, of a name that changes": body(
        f"block = 64\ndef size():\n    return max_model_len + block\n\nblock = 65\nwidth = size()\n{OUT}\n{CALL}"
    ),
    "function within, made in a loop": body(
        "width = max_model_len\nfor k in range(3):\n    def size(n, k=k):\n        return n + k\n"
        f"    width = size(max_model_len)\n{OUT}\n{CALL}"
    ),
    "function within that another makes grow": body(
        "extra = 0\ndef grow():\n    nonlocal extra\n    extra = 1\n\ndef size(n):\n    return n + extra\n\n"
        f"grow()\nwidth = size(max_model_len)\n{OUT}\n{CALL}"
    ),
    "lambda that adds one": sized("size(max_model_len)", "size = lambda n: n + 1\n"),
    "lambda replaced": sized("size(max_model_len)", "size = lambda n: n\n")
    | {"a": "from vllm import ops\n\nops.size = lambda n: n + 1\n"},
    "lambda that launches": body(
        f"width = max_model_len\n{OUT}\nlaunch = lambda out, width: {CALL}\n"
        "launch(torch.empty((rows, width + 1)), width + 1)"
    ),
    "width of a held record that is odd": held(f"self.sizes = Sizes({LIMIT} + 1)"),
    "width of a held record set from afar": held() | {"a": "def tune(it, n):\n    it.sizes.width = n\n"},
    "held record exchanged": held() | {"a": "def tune(it, other):\n    it.sizes = other\n"},
    "width of a held record made by its class's method": held(
        f"self.sizes = Sizes.of({LIMIT})", more="\n    @classmethod\n    def of(cls, n):\n        return cls(n + 1)\n"
    ),
    "held record that is another": held(
        more="\n    def __new__(cls, n):\n        return Odd(n)\n\n\nclass Odd:\n    def __init__(self, n):\n        self.width = n + 1\n"
    ),
    "model copied with overrides of a file": {
        "model": f"import json\nfrom dataclasses import dataclass\nfrom vllm.ops import paged_logits\n\n\n@dataclass\nclass Sizes:\n    width: int\n\n\nclass Indexer:\n    def __init__(self, vllm_config, path):\n        sizes = Sizes({LIMIT})\n        with open(path) as file:\n            for key, value in json.load(file).items():\n                setattr(sizes, 'wi' + key, value)\n        self.sizes = sizes\n\n    def score(self, {ARGS}):\n        sizes: Sizes = self.sizes\n        return paged_logits({ARGS}, sizes.width)\n"
    },
    "attribute set under a prefix": classes(
        indexer(SET),
        tune="def tune(it, overrides):\n    for key, value in overrides.items():\n        setattr(it, 'wi' + key, value)\n",
    ),
    "attribute set under a suffix": classes(
        indexer(SET), tune="def tune(it, kind, value):\n    setattr(it, '%sdth' % kind, value)\n"
    ),
    "attribute set by a pair": classes(
        indexer(SET), tune="def tune(it, pairs):\n    for pair in pairs:\n        setattr(it, *pair)\n"
    ),
    "attribute set of what two calls give": classes(
        indexer(SET), tune="def tune(it, name, value):\n    setattr(it.get(it.find(name)), name, value)\n"
    ),
    "attribute set by map": classes(
        indexer(SET),
        tune="from itertools import repeat\n\n\ndef tune(it, new):\n    list(map(setattr, repeat(it), new.keys(), new.values()))\n",
    ),
    "buffer of a cache that another grows": {
        "ops": ops(
            f"width = max_model_len\nout = buffer(rows, width)\n{CALL}",
            "from functools import lru_cache\n\n\n@lru_cache\ndef buffer(rows, width):\n    return torch.empty((rows, width))\n\n\ndef shrink(rows, width):\n    buffer(rows, width).resize_(rows, width - 7)\n",
        )
    },
    "pad of an object taken away": classes(
        indexer(
            "self.width = vllm_config.odd\nself.pad = 256", out="out = torch.empty((rows, width + self.pad))[:, :width]"
        ),
        tune="def tune(it):\n    it.pad = 0\n",
    ),
    "pad of a class taken away": classes(
        indexer(
            "self.width = vllm_config.odd",
            more="\n    pad = 256\n",
            out="out = torch.empty((rows, width + self.pad))[:, :width]",
        ),
        tune="from vllm.ops import Indexer\n\n\ndef tune():\n    Indexer.pad = 0\n",
    ),
    "pad of an heir": classes(
        indexer(
            "self.width = vllm_config.odd",
            more="\n    pad = 256\n\n\nclass Lean(Indexer):\n    pad = 0\n",
            out="out = torch.empty((rows, width + self.pad))[:, :width]",
        )
    ),
    "buffer made by an heir": classes(
        indexer(
            "self.width = vllm_config.odd",
            more="\n    def make(self, rows, width):\n        return torch.empty((rows, width + 256))[:, :width]\n\n\nclass Lean(Indexer):\n    def make(self, rows, width):\n        return torch.empty((rows, width))\n",
            out="out = self.make(rows, width)",
        )
    ),
    "chunk of an object set from afar": classes(
        indexer("self.width = vllm_config.odd\nself.chunk = 64", out=PADDED.replace("256", "64")).replace(
            "=64)", "=64, ChunkK=self.chunk)"
        ),
        tune="def tune(it):\n    it.chunk = 256\n",
    ),
    "padded by an option set by name": classes(
        indexer(
            "self.width = vllm_config.odd\nself.pad = 256", out="out = torch.empty((rows, width + self.pad))[:, :width]"
        ),
        tune="def tune(it, options):\n    for name, value in options.items():\n        setattr(it, name, value)\n",
    ),
    "two calls, the second of a draft": {
        "ops": f"{HEAD}\ndef first({ARGS}, max_model_len):\n    width = max_model_len\n    rows = 4\n    {PADDED}\n    {CALL}\n\n\ndef second({ARGS}, max_model_len):\n    width = max_model_len\n    rows = 4\n    {OUT}\n    {CALL}\n",
        "model": "from vllm.ops import first, second\n\n\nclass Indexer:\n    def __init__(self, vllm_config):\n        self.limit = vllm_config.model_config.max_model_len\n\n"
        f"    def score(self, {ARGS}):\n        first({ARGS}, self.limit)\n        second({ARGS}, self.limit)\n\n\ndef build(draft_config):\n    return Indexer(draft_config)\n",
    },
    "closure, and then resized": {
        "ops": ops(
            f"width = max_model_len\n{OUT}\n\ndef launch():\n    {CALL}\n\nout.resize_(rows, width + 7)\nlaunch()"
        )
    },
    "resized by the function that is given it": {
        "ops": f"{HEAD}\ndef launch({ARGS}, out, width):\n    out.resize_(4, width + 7)\n    {CALL}\n",
        "model": f"import torch\nfrom vllm.ops import launch\n\n\nclass Indexer:\n    def __init__(self, vllm_config):\n        self.width = {LIMIT}\n\n    def score(self, {ARGS}):\n        out = torch.empty((4, self.width))\n        return launch({ARGS}, out, self.width)\n",
    },
    "given away by the function that is given it": {
        "ops": f"{HEAD}from vllm.grow import grow\n\n\ndef launch({ARGS}, out, width):\n    grow(out, width)\n    {CALL}\n",
        "grow": "def grow(t, width):\n    t.resize_(t.shape[0], width + 7)\n",
        "model": f"import torch\nfrom vllm.ops import launch\n\n\nclass Indexer:\n    def __init__(self, vllm_config):\n        self.width = {LIMIT}\n\n    def score(self, {ARGS}):\n        out = torch.empty((4, self.width))\n        return launch({ARGS}, out, self.width)\n",
    },
    "transposed in place by the function that is given it": {
        "ops": f"{HEAD}\ndef launch({ARGS}, out, width):\n    logits = out\n    logits.t_()\n    {CALL}\n",
        "model": f"import torch\nfrom vllm.ops import launch\n\n\nclass Indexer:\n    def __init__(self, vllm_config):\n        self.width = {LIMIT}\n\n    def score(self, {ARGS}):\n        return launch({ARGS}, torch.empty((4, self.width)), self.width)\n",
    },
    "rows of a workspace of its own": {
        "ops": ops(
            f"width = max_model_len\n(out,) = manager().get_simultaneous(((rows, width), torch.float32))\n{CALL}",
            "from vllm.workspace import manager\n",
        ),
        "workspace": "import torch\n\n\nclass Workspace:\n    def __init__(self, columns):\n        self._buffer = torch.empty((64, columns))\n\n    def get_simultaneous(self, *wanted):\n        return [self._buffer[: rows, : columns] for (rows, columns), _ in wanted]\n\n\ndef manager():\n    return Workspace(8000)\n",
    },
    "remainder that is not one": sized("max_model_len + (max_model_len % 64 != 1)"),
    "quotient that is not one": sized("max_model_len + (max_model_len // 10048 != 1) + (max_model_len // 20000 != 1)"),
    "star of sizes": {
        "ops": ops(f"out = torch.empty((rows, sizes[0]))\nwidth = sizes[0]\n{CALL}", "sizes = (640, 1)\n", "*sizes"),
        "model": ODD,
    },
    "double star of options": {
        "ops": ops(f"width = options.width\n{OUT}\n{CALL}", "from vllm import options\n\n\n", "**options"),
        "options": "width = 640\n",
        "model": ODD,
    },
    "block of another group": {
        "ops": ops(
            f"width = max_model_len\n{OUT}\n{CALL.replace('=64', '=groups[1].kv_cache_spec.block_size')}",
            signature="max_model_len, groups=None",
        )
    },
    "block of a mamba cache": {
        "ops": ops(
            f"width = max_model_len\n{OUT}\n{CALL.replace('=64', '=mamba_spec.block_size')}",
            signature="max_model_len, mamba_spec=None",
        )
    },
    "block of a draft": {
        "ops": ops(
            f"width = max_model_len\n{OUT}\n{CALL.replace('=64', '=draft_config.block_size')}",
            signature="max_model_len, draft_config=None",
        )
    },
    "block of a host pool": {
        "ops": ops(
            f"width = max_model_len\n{OUT}\n{CALL.replace('=64', '=host_pool.page_size')}",
            signature="max_model_len, host_pool=None",
        )
    },
    "indexer of a registry of heirs": {
        "model": MODEL.replace(
            "class Indexer:", "from vllm.registry import Scorer\n\n\nclass Indexer(Scorer):\n    kind = 'dsa'\n"
        ),
        "registry": "KINDS = {}\n\n\nclass Scorer:\n    kind = ''\n\n    def __init_subclass__(cls):\n        KINDS[cls.kind] = cls\n",
        "draft": "from vllm.registry import KINDS\n\n\ndef build(vllm_config):\n    draft = vllm_config.speculative_config.draft_vllm_config\n    return KINDS['dsa'](draft)\n",
    },
    "functions of a module by their names": {
        "ops": ops() + "\n\nKERNELS = {name: value for name, value in globals().items() if callable(value)}\n",
        "draft": "from vllm.ops import KERNELS\n\n\ndef run(q, kind):\n    return KERNELS['paged_' + kind](q, q, q, q, q, q.odd)\n",
    },
    "class replaced by a plugin's": {
        "ops": ops(
            f"sizes = Sizes(max_model_len)\nwidth = sizes.width\n{OUT}\n{CALL}",
            "class Sizes:\n    def __init__(self, n):\n        self.width = n\n",
        ),
        "plugin": "from plugin import WideSizes\nfrom vllm import ops\n\nops.Sizes = WideSizes\n",
    },
    "module's buffer resized": {
    "ops": ops(
        f"width = 640\nout = BUFFER\n{CALL}",
        "BUFFER = torch.empty((64, 640))\n\n\ndef grow():\n    BUFFER.resize_(128, 647)\n",
    )
},
    "imported name replaced under its other name": {
    "ops": ops(
        f"width = size(max_model_len)\n{OUT}\n{CALL}".replace("size(m", "_size(m"),
        "from vllm.sizes import size as _size\n",
    ),
    "sizes": "def size(n):\n    return n\n",
    "a": "from vllm import ops\n\nops._size = lambda n: n + 1\n",
},
    "imported pad replaced under its other name": {
    "ops": ops(
        f"width = max_model_len\nout = torch.empty((rows, width + _PAD))[:, :width]\n{CALL}",
        "from vllm.sizes import PAD as _PAD\n",
    ),
    "sizes": "PAD = 256\n",
    "a": "from vllm import ops\n\nops._PAD = 0\n",
    "model": ODD,
},
    "tuple of buffers, one resized": {
    "ops": ops(
        f"width = max_model_len\nbuffers = (torch.empty((rows, width)), lengths)\nbuffers[0].resize_(rows, width + 7)\n{CALL.replace('out', 'buffers[0]')}\nout = 0"
    )
},
    "list of buffers, one exchanged": {
    "ops": ops(
        f"width = max_model_len\nbuffers = manager().get_simultaneous(((rows, width), torch.float32))\nbuffers[0] = buffers[0][:, 1:]\n{CALL.replace('out', 'buffers[0]')}\nout = 0",
        "from vllm.workspace import manager\n",
    )
},
    "tuple of buffers held, one resized": classes(
    indexer(
        f"{SET}\nself.buffers = (torch.empty((64, {LIMIT})), None)",
        out="out = self.buffers[0]",
        more="\n    def grow(self):\n        self.buffers[0].resize_(128, self.width + 7)\n",
    )
),
    "ranks' extra columns": {"ops": ops(f"width = max_model_len + tables.dcp_extra\n{OUT}\n{CALL}")},
    "pool's offset": {"ops": ops(f"width = max_model_len + tables.kpool_offset\n{OUT}\n{CALL}")},
    "method by a prefix": classes(
    BY_NAME,
    a="def run(it, kind, q):\n    return getattr(it, 'score_' + kind)(q, q, q, q, q, 4, q.odd)\n",
    b=GOOD,
),
    "method by a prefix with star": classes(
    BY_NAME,
    a="def run(it, kind, *given):\n    return getattr(it, f'score_{kind}')(*given)\n",
    b=GOOD,
),
    "method by a format": classes(
    BY_NAME,
    a="def run(it, kind, q):\n    return getattr(it, 'score_{}'.format(kind))(q, q, q, q, q, 4, q.odd)\n",
    b=GOOD,
),
    "method by a prefix, kept": classes(
    BY_NAME,
    a="def run(it, kind, q):\n    score = getattr(it, 'score_' + kind, None)\n    return score(q, q, q, q, q, 4, q.odd)\n",
    b=GOOD,
),
    "module of a backend, function by prefix": {
    "a": "import importlib\n\n\ndef run(backend, kind, q):\n    module = importlib.import_module('vllm.' + backend)\n    return getattr(module, 'paged_' + kind)(q, q, q, q, q, q.odd)\n"
},
    "a cached property": {
        "model": model(
            more="\n@cached_property\ndef width(self):\n    return self.max_model_len + 1\n",
            arg="self.width",
            before="from functools import cached_property\n",
        )
    },
    "a cached helper": sized("width_of(max_model_len)", "from functools import lru_cache\n\n@lru_cache\ndef width_of(n):\n    return n + 8\n",
    ),
    "matched rank": body(
        f"match q.ndim:\n    case 3:\n        width = max_model_len\n    case _:\n        width = max_model_len + 1\n{OUT}\n{CALL}"
    ),
    "width made where it is used": body(f"out = torch.empty((rows, (width := max_model_len + 1)))\n{CALL}"),
    "width grown at last": body(f"width = max_model_len\ntry:\n    {OUT}\nfinally:\n    width = width + 1\n{CALL}"),
    "a global between allocation and call": body(
        f"global width\nwidth = max_model_len\nbump()\n{OUT}\n{CALL}", "def bump():\n    global width\n    width += 1\n"
    ),
    "half of a buffer": body(
        f"width = max_model_len\nbig = torch.empty((rows, 2 * width))\nout, rest = big.chunk(2, dim=1)\nwidth = width + 1\n{CALL}"
    ),
    "later columns": body(
        f"width = max_model_len\nbig = torch.empty((rows, width + 128))\nout = big.narrow(1, 64, width)\n{CALL}\nmore = 1"
    ),
    "transposed by an attribute": body(f"width = max_model_len\nout = torch.empty((width, rows)).T\n{CALL}"),
    "one row for all": body(f"width = max_model_len\nout = torch.empty((1, width)).expand(rows, width)\n{CALL}"),
    "a workspace": body(
        f"width = max_model_len\nout = workspace.get((rows, width))\n{CALL}", "from vllm.ws import workspace\n"
    )
    | {
        "ws": "import torch\n\n\nclass Workspace:\n    def __init__(self):\n        self.buf = torch.empty((1 << 24,))\n\n    def get(self, shape):\n        rows, width = shape\n        return self.buf[: rows * width].view(rows, width)\n\n\nworkspace = Workspace()\n"
    },
    "an environment's module": sized("envs.VLLM_W or max_model_len", "from vllm import envs\n")
    | {"envs": "import os\n\nVLLM_W = int(os.getenv('VLLM_W', '0'))\n"},
    "length validated": {
        "config": "from pydantic import field_validator\n\n\nclass ModelConfig:\n    max_model_len: int\n\n    @field_validator('max_model_len')\n    def check(cls, v):\n        return v + 1\n"
    },
    "rounded up to 63": sized("math.ceil(max_model_len / 63) * 63", "import math\n"),
    "bits cleared": body(f"width = (max_model_len + 31) & ~31\nwidth = width | 1\n{OUT}\n{CALL}"),
    "bits turned": sized("max_model_len ^ 1"),
    "least of the length and what is on the device": sized("min(max_model_len, int(lengths.max()))"),
    "keywords merged": body(
        f"width = max_model_len\n{OUT}\nkw = dict(Preshuffle=True) | dict(KVBlockSize=128)\n{CALL.split(', Preshuffle')[0]}, **kw)"
    ),
    "partial overridden": body(
        f"width = max_model_len\n{OUT}\nf = functools.partial(deepgemm_fp8_paged_mqa_logits, Preshuffle=True, KVBlockSize=64)\nf(q, cache, weights, out, lengths, tables, width, KVBlockSize=128)",
        "import functools\n",
    ),
    "a setter": {
        "model": model(
            init="self._n = 0\nself.max_model_len = vllm_config.model_config.max_model_len",
            more="\n@property\ndef max_model_len(self):\n    return self._n\n\n@max_model_len.setter\ndef max_model_len(self, n):\n    self._n = n + 1\n",
        )
    },
    "a config copied": {
        "model": model(
            init="cfg = copy.copy(vllm_config.model_config)\ncfg.max_model_len = cfg.max_model_len + 1\nself.max_model_len = cfg.max_model_len",
            before="import copy\n",
        )
    },
    "a helper replaced on a condition": sized("round_up(max_model_len, 64)", "def round_up(a, b):\n    return (a + b - 1) // b * b\n\nif torch.version.hip:\n    from vllm.fast import round_up\n",
    )
    | {"fast": "def round_up(a, b):\n    return a + 1\n"},
    "imports for types alone": sized("size(max_model_len)", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from vllm.a import size\nelse:\n    from vllm.b import size\n",
    )
    | {"a": "def size(n):\n    return n\n", "b": "def size(n):\n    return n + 1\n"},
    "another buffer given": {
        "ops": ops(f"width = max_model_len\nif out is None:\n    {OUT}\n{CALL}", signature="max_model_len, out=None"),
        "model": MODEL + "\n\ndef run(q, n):\n    return paged_logits(q, q, q, q, q, 64, q.odd)\n",
    },
    "an object that asks another": {
        "model": model(
            init="self.inner = Wrap(vllm_config.model_config)",
            arg="self.inner.max_model_len",
            before="\nclass Wrap:\n    def __init__(self, c):\n        self.c = c\n\n    def __getattr__(self, name):\n        return getattr(self.c, name) + 1\n",
        )
    },
    "a builder's record": {
        "model": model(
            init="self.builder = Builder(vllm_config)",
            arg="self.builder.build().max_len",
            before="from vllm.meta import Builder\n",
        ),
        "meta": "from dataclasses import dataclass\n\n\n@dataclass\nclass Meta:\n    max_len: int\n\n\nclass Builder:\n    def __init__(self, c):\n        self.n = c.model_config.max_model_len\n\n    def build(self):\n        return Meta(max_len=self.n + 1)\n",
    },
    "a field validated": {
        "model": model(
            arg="self.meta.max_len",
            init="self.meta = Meta(max_len=vllm_config.model_config.max_model_len)",
            before="from vllm.meta import Meta\n",
        ),
        "meta": "from pydantic import BaseModel, field_validator\n\n\nclass Meta(BaseModel):\n    max_len: int\n\n    @field_validator('max_len')\n    @classmethod\n    def grow(cls, v):\n        return v + 1\n",
    },
    "a context's width": body(
        f"with padded(max_model_len) as width:\n    {OUT}\n    {CALL}",
        "from contextlib import contextmanager\n\n@contextmanager\ndef padded(n):\n    yield n + 1\n",
    ),
    "rows taken out": body(
        f"width = max_model_len\nbig = torch.empty((rows, width + 1))\nout = big[lengths]\nwidth = width + 1\n{CALL}"
    ),
    "a mask of half a block": body(f"width = (max_model_len + 31) & ~31\nwidth = width + 32\n{OUT}\n{CALL}"),
    "a mask that is none": sized("max_model_len & ~62"),
    "length by getattr, with another value": {
        "model": model("self.n = getattr(vllm_config.model_config, 'max_model_len', 7)", "self.n")
    },
    "attribute by getattr of another config": {
        "model": model("self.n = getattr(vllm_config.draft_model_config, 'max_model_len')", "self.n")
    },
    "kept in a class": {
        "odd": "from vllm.ops import paged_logits\n\n\nclass Kept:\n    go = paged_logits\n\n"
        "    def run(self, q):\n        self.go(q, q, q, q, 7)\n"
    },
    "set through its descriptor": {
        "ops": METHOD,
        "model": "from vllm.ops import Indexer\n\n\ndef grow(it):\n    Indexer.width.__set__(it, 7)\n",
    },
    "keywords of a dict that is changed": body(
        f"width = max_model_len\n{OUT}\nkeys = dict(Preshuffle=True, KVBlockSize=64)\nkeys['KVBlockSize'] = 128\n"
        + CALL.replace("Preshuffle=True, KVBlockSize=64", "**keys")
    ),
    "keywords of a dict that is handed on": body(
        f"width = max_model_len\n{OUT}\nkeys = dict(Preshuffle=True, KVBlockSize=64)\ntune(keys)\n"
        + CALL.replace("Preshuffle=True, KVBlockSize=64", "**keys"),
        "from vllm.tuning import tune\n",
    ),
    "keywords of one of two dicts": body(
        f"width = max_model_len\n{OUT}\nkeys = dict(Preshuffle=True, KVBlockSize=64)\n"
        "if rows > 9:\n    keys = dict(Preshuffle=True, KVBlockSize=128)\n"
        + CALL.replace("Preshuffle=True, KVBlockSize=64", "**keys")
    ),
    "wider in a dict": body(
        f"width = max_model_len + 1\n{OUT}\nkeys = {{'max_model_len': width, 'KVBlockSize': 64}}\n"
        + CALL.replace("width, Preshuffle=True, KVBlockSize=64", "Preshuffle=True, **keys")
    ),
    "a dict and a rest of keywords": {
        "ops": ops(
            f"width = max_model_len\n{OUT}\nkeys = dict(Preshuffle=True, KVBlockSize=64)\n"
            + CALL.replace("Preshuffle=True, KVBlockSize=64", "**keys, **rest"),
            signature="max_model_len, **rest",
        )
    },
    "module and function of a backend by names": {
        "a": "import importlib\n\n\ndef run(q, kind):\n    module = importlib.import_module('.' + kind, 'vllm')\n    return getattr(module, kind)(q, q, q, q, q, q.odd)\n"
    },
    "kernel named in settings": {
        "kernels.json": '{"paged": ["aiter.ops.triton.pa_mqa_logits", "deepgemm_fp8_paged_mqa_logits"]}',
        "a": "import importlib\n\nfrom vllm.tables import TABLE\n\n\ndef run(q):\n    module, name = TABLE['paged']\n    return getattr(importlib.import_module(module), name)(q, q, q, q, q, q, q.odd)\n",
    },
    "kernel's module by its file": {
        "a": "import importlib.util as u\n\n\ndef run(q, root, name):\n    spec = u.spec_from_file_location('m', root + '/aiter/ops/triton/pa_mqa_logits.py')\n    return getattr(u.module_from_spec(spec), name)(q, q, q, q, q, q, q.odd)\n"
    },
    "function named in settings": {
        "routes.yaml": "paged: vllm.ops:paged_logits\n",
        "a": "import pkgutil\n\nfrom vllm.tables import TABLE\n\n\ndef run(q):\n    return pkgutil.resolve_name(TABLE['paged'])(q, q, q, q, q, q.odd)\n",
    },
    "class named in settings": {
        "routes.toml": "indexer = 'vllm.model.Indexer'\n",
        "a": "import pkgutil\n\nfrom vllm.tables import TABLE\n\n\ndef build(draft):\n    return pkgutil.resolve_name(TABLE['indexer'])(draft)\n",
    },
    "a field validated by the record": {
        "model": f"from pydantic import field_validator\nfrom pydantic.dataclasses import dataclass\nfrom vllm.ops import paged_logits\n\n\n@dataclass\nclass Sizes:\n    width: int\n\n    @field_validator('*')\n    def grow(cls, n):\n        return n + 1\n\n\ndef score(vllm_config, {ARGS}):\n    return paged_logits({ARGS}, Sizes(width={LIMIT}).width)\n"
    },
    "method lent in a partial": {
        "model": model(SET, "self.width"),
        "a": "import functools\nfrom vllm.model import Indexer\n\n\ndef lend(other, q):\n    return functools.partial(Indexer.score, other)(q, q, q, q, q)\n",
    },
    "method lent under another name": {
        "model": model(SET, "self.width"),
        "a": "from vllm.model import Indexer\n\n\ndef lend(other, q):\n    score = Indexer.score\n    return score(other, q, q, q, q, q)\n",
    },
    "defaults of a helper set": sized("size(max_model_len)", "def size(n, k=0):\n    return n + k\n")
    | {"a": "from vllm.ops import size\n\nsize.__defaults__ = (1,)\n"},
    "defaults of a helper set by name": sized("size(max_model_len)", "def size(n, *, k=0):\n    return n + k\n")
    | {"a": "from vllm import ops\n\nops.size.__kwdefaults__['k'] = 1\n"},
    "body of a helper set": sized("size(max_model_len)", "def size(n):\n    return n\n")
    | {"a": "from vllm.ops import size\n\nsize.__code__ = (lambda n: n + 1).__code__\n"},
    "a property asked twice": {
        "ops": f"{HEAD}\ndef launch({ARGS}, out, width):\n    {CALL}\n",
        "model": model(
            f"self.n = {LIMIT}", more="\n@property\ndef width(self):\n    return self.n if self.few() else self.n + 64\n"
        ).replace(f"paged_logits({ARGS}, self.max_model_len)", f"launch({ARGS}, torch.empty((4, self.width)), self.width)").replace("from vllm.ops import paged_logits", "import torch\nfrom vllm.ops import launch"),
    },
    "a helper of branches asked twice": body(
        f"out = torch.empty((rows, pick(max_model_len)))\nwidth = pick(max_model_len)\n{CALL}",
        "def pick(n):\n    if few():\n        width = n\n    else:\n        width = n + 64\n    return width\n",
    ),
    "width of branches, and of others": body(f"{BRANCHES}{OUT}\nif rows > 3:\n    width = max_model_len\n{CALL}"),
    "width of branches, one of them odd": body(f"{BRANCHES.replace('64', '1')}{OUT}\n{CALL}"),
    "width of branches in a loop": body(
        f"width = max_model_len\n{OUT}\nfor i in range(rows):\n    width = max_model_len + 64 if i else max_model_len\n    {CALL}"
    ),
    "keywords of a dict, or of a parameter": {
        "ops": ops(
            f"width = max_model_len\n{OUT}\nif rows > 9:\n    keys = dict(Preshuffle=True, KVBlockSize=64)\n"
            + CALL.replace("Preshuffle=True, KVBlockSize=64", "**keys"),
            signature="max_model_len, keys=None",
        )
    },
    "width and block of a dict set anew": body(
        f"width = max_model_len\n{OUT}\nkeys = dict(max_model_len=width, KVBlockSize=64)\nkeys['max_model_len'] = lengths.odd\n"
        f"keys['KVBlockSize'] = lengths.odd\n{CALL.replace('width, Preshuffle=True, KVBlockSize=64', 'Preshuffle=True, **keys')}"
    ),
    "keywords of a function that is called dict": body(
        f"width = max_model_len\n{OUT}\nkeys = dict(Preshuffle=True, KVBlockSize=64)\n"
        + CALL.replace("Preshuffle=True, KVBlockSize=64", "**keys"),
        "from vllm.tables import frozen as dict\n",
    ),
    "block of a config that is set": {
        "ops": ops(
            f"width = max_model_len\n{OUT}\n{CALL.replace('=64', '=vllm_config.cache_config.block_size')}",
            signature="max_model_len, vllm_config=None",
        ),
        "a": "def fit(cache_config):\n    cache_config.block_size = 96\n",
    },
    "another function under a builtin's name at a module's head, before a decorated class": {
        "ops": ops(
            f"width = max_model_len\n{OUT.replace('width)', 'held(width))')}\n{CALL}",
            before="from vllm.sizes import held",
        ),
        "sizes": "from vllm.tools import less as int\n\n\n@final\nclass Other:\n    pass\n\n\ndef held(n):\n    return int(n)\n",
        "tools": "def less(n):\n    return n - 1\n",
    },
    **{
        f"function within, {how}": {
            "ops": ops(
                f"def up(n, to=64):\n    return (n + to - 1) // to * to\n\n{changed}\nwidth = up(max_model_len)\n{OUT}\n{CALL}",
                before="def swap(f):\n    f.__defaults__ = (63,)\n",
            )
        }
        for how, changed in {
            "whose default is set": "up.__defaults__ = (63,)",
            "that is handed to what sets it": "swap(up)",
            "that has another name": "other = up\nother.__defaults__ = (63,)",
            "in a list": "for f in [up]:\n    f.__defaults__ = (63,)",
            "that another one replaces": "def put():\n    nonlocal up\n    up = lambda n: n - 1\n\nput()",
        }.items()
    },
}  # fmt: skip
SAFE: dict[str, dict[str, str]] = {
    "partial of a kernel": body(
        f"width = max_model_len\n{OUT}\nlaunch = partial({KERNEL}, Preshuffle=True, KVBlockSize=64)\n"
        "launch(q, cache, weights, out, lengths, tables, width)",
        PARTIAL,
    ),
    "shape of a list": body(f"width = max_model_len\nshape = [rows, width]\nout = torch.empty(shape)\n{CALL}"),
    "shape of a named tuple": body(
        f"width = max_model_len\nshape = Pair(rows, width)\nout = torch.empty(shape)\n{CALL}", PAIR
    ),
    "keywords of a buffer": body(
        f"width = max_model_len\nkeys = {{'dtype': torch.float32}}\nout = torch.empty((rows, width), **keys)\n{CALL}"
    ),
    "second buffer of a name": body(
        f"width = max_model_len\nout = lengths.odd()\nout.fix(1)\nout = make(rows, width)\n{CALL}",
        "def make(rows, n):\n    return torch.empty((rows, n))\n",
    ),
    "partial": sized("partial(plus, m=64)(max_model_len)", PARTIAL),
    "partial of a module": sized("up(max_model_len)", f"{PARTIAL}up = partial(plus, m=64)\n"),
    "list": sized_by("sizes = [rows, max_model_len]\nwidth = sizes[-1]"),
    "list taken apart": sized_by("sizes = [rows, max_model_len]\nrows, width = sizes"),
    "dict": sized_by("sizes = {'width': max_model_len}\nwidth = sizes['width']"),
    "dict called": sized_by("sizes = dict(width=max_model_len)\nwidth = sizes['width']"),
    "dict of functions": sized("UP['rocm'](max_model_len)", "def up(n):\n    return n + 64\n\n\nUP = {'rocm': up}\n"),
    "dict of a helper": sized_by("sizes = sized(max_model_len)\nwidth = sizes['n']", "def sized(n):\n    sizes = {'n': n}\n    return sizes\n"),
    "dict held": classes(indexer(f"self.sizes = {{'n': {LIMIT}}}", "self.sizes['n']")),
    "dict of buffers": body(f"width = max_model_len\nbufs = {{'out': torch.empty((rows, width))}}\nout = bufs['out']\n{CALL}"),
    "sum": sized("sum((max_model_len, 64))"),
    "most of a list": sized("max([max_model_len, 64])"),
    "namespace": sized_by("sizes = SimpleNamespace(width=max_model_len)\nwidth = sizes.width", "from types import SimpleNamespace\n"),
    **{f"record {name}": sized_by(text, cls) | COMMON for name, (text, cls) in {
        "of a class": (RECORDED, RECORD),
        "of data": (RECORDED, DATA),
        "of data, by its method": ("sizes = Sizes(max_model_len)\nwidth = sizes.rounded()", DATA),
        "that is a tuple": ("pair = Pair(1, max_model_len)\nwidth = pair.width", PAIR),
        "that is a tuple, taken apart": ("rows, width = Pair(1, max_model_len)", PAIR),
        "given to a helper": ("sizes = Sizes(max_model_len)\nwidth = wide(sizes)", f"{RECORD}\n\ndef wide(s):\n    return s.width\n"),
    }.items()},
    "record held by one that is held": classes(indexer(f"self.part = Part({LIMIT})", "self.part.sizes.width", before=f"{DATA}\n\nclass Part:\n    def __init__(self, n):\n        self.sizes = Sizes(n)\n")),
    "classmethod": sized("Sizes.of(max_model_len)", OF) | COMMON,
    "staticmethod": sized("Sizes.of(max_model_len)", "class Sizes:\n    @staticmethod\n    def of(n):\n        return n + 64\n") | COMMON,
    "buffer held": keeper("pass"),
    "lambda": sized("size(max_model_len)", "size = lambda n: (n + 63) // 64 * 64\n"),
    "lambda of the function": body(
        f"size = lambda n, block=64: (n + block - 1) // block * block\nwidth = size(max_model_len)\n{OUT}\n{CALL}"
    ),
    "function within": body(
        "block = 64\n\ndef size():\n    return (max_model_len + block - 1) // block * block\n\n"
        f"width = size()\n{OUT}\n{CALL}"
    ),
    "lambda of a class": classes(indexer(SET.replace("width", "_n"), "self.size()", "\n    size = lambda self: self._n\n")),
    "width of a held record": held(),
    "width that a held record works out": held(
        more="\n    def rounded(self):\n        return (self.width + 63) // 64 * 64\n", width="self.sizes.rounded()"
    ),
    "dataclass": {"model": f"from dataclasses import dataclass\nfrom vllm.ops import paged_logits\n\n\n@dataclass(frozen=True)\nclass Sizes:\n    width: int\n    rows: int = 8\n\n\ndef score(vllm_config, {ARGS}):\n    sizes = Sizes(width={LIMIT})\n    return paged_logits({ARGS}, sizes.width)\n"},
    "named tuple": {"model": f"from typing import NamedTuple\nfrom vllm.ops import paged_logits\n\n\nclass Sizes(NamedTuple):\n    rows: int\n    width: int\n\n\ndef score(vllm_config, {ARGS}):\n    sizes = Sizes(4, {LIMIT})\n    return paged_logits({ARGS}, sizes.width)\n"},
    "cached property": classes(indexer(SET.replace("width", "_n"), more="\n    @cached_property\n    def width(self):\n        return self._n\n", before="from functools import cached_property\n")),
    "pad of a class": classes(indexer("self.width = vllm_config.odd", more="\n    pad = 256\n", out="out = torch.empty((rows, width + self.pad))[:, :width]")),
    "pad of an object": classes(indexer("self.width = vllm_config.odd\nself.pad = 256", out="out = torch.empty((rows, width + self.pad))[:, :width]")),
    "padded method": classes(indexer("self.width = vllm_config.odd", more="\n    def make(self, rows, width):\n        return torch.empty((rows, width + 256))[:, :width]\n", out="out = self.make(rows, width)")),
    "padded, and the length set elsewhere": {"ops": ops(f"width = max_model_len\n{PADDED}\n{CALL}"), "a": "def fit(config, n):\n    config.max_model_len = n\n"},
    "padded, of a draft too": {"ops": ops(f"width = max_model_len\n{PADDED}\n{CALL}"), "a": "from vllm.model import Indexer\n\n\ndef build(draft_config):\n    return Indexer(draft_config)\n"},
    "closure": {"ops": ops(f"width = max_model_len\n{OUT}\n\ndef launch():\n    {CALL}\n\nlaunch()")},
    "given a buffer": {
        "ops": f"{HEAD}\ndef launch({ARGS}, out, width):\n    assert out.shape[1] == width\n    {CALL}\n    return out\n",
        "model": f"import torch\nfrom vllm.ops import launch\n\n\nclass Indexer:\n    def __init__(self, vllm_config):\n        self.width = {LIMIT}\n\n    def score(self, {ARGS}):\n        out = torch.empty((4, self.width))\n        return launch({ARGS}, out, self.width)\n",
    },
    "given a buffer twice": {
        "ops": f"{HEAD}\ndef launch({ARGS}, out, width):\n    {CALL}\n    return out\n\n\ndef run({ARGS}, out, width):\n    return launch({ARGS}, out, width)\n",
        "model": f"import torch\nfrom vllm.ops import run\n\n\nclass Indexer:\n    def __init__(self, vllm_config):\n        self.width = {LIMIT}\n\n    def score(self, {ARGS}):\n        out = torch.empty((4, self.width))\n        return run({ARGS}, out, self.width)\n",
    },
    "walrus": {"ops": ops(f"if (width := max_model_len) > 0:\n    {OUT}\n    {CALL}")},
    "try and finally": {"ops": ops(f"width = max_model_len\ntry:\n    {OUT}\n    {CALL}\nfinally:\n    print(width)")},
    "ceil": sized("math.ceil(max_model_len / 64) * 64", "import math\n") | {"model": ODD},
    "pages": sized("tables.shape[1] * 64") | {"model": ODD},
    "rounded by a method": classes(indexer("self.width = self.up(vllm_config.odd)", more="\n    @staticmethod\n    def up(n, step=64):\n        return (n + step - 1) // step * step\n")),
    "inherited": classes(indexer(SET, more="\n\nclass Draft(Indexer):\n    def describe(self):\n        return self.width\n")),
    "super": classes(indexer(SET, more="\n\nclass Draft(Indexer):\n    def __init__(self, vllm_config):\n        super().__init__(vllm_config)\n        self.name = 'draft'\n")),
    "setattr of a stated name": classes(indexer(SET), a="def tune(it):\n    setattr(it, 'name', 7)\n"),
    "setattr of a stated name, of what calls give": classes(indexer(SET), a="def tune(it):\n    setattr(it.get(it.find(it)), 'name', 7)\n"),
    "block of the cache": {"ops": ops(f"width = max_model_len\n{OUT}\n{CALL.replace('=64', '=cache.shape[1]')}")},
    "block of the cache's config": {"ops": ops(f"width = max_model_len\n{OUT}\n{CALL.replace('=64', '=vllm_config.cache_config.block_size')}", signature="max_model_len, vllm_config=None")},
    "globals looked at": {"ops": ops() + "\n\ndef has(name):\n    return name in globals()\n"},
    "enclosing constant": sized("max(max_model_len, WIDTH)", "WIDTH = 64\n"),
    "tuple of a helper": {"ops": ops(f"width, _ = sizes(max_model_len)\n{OUT}\n{CALL}", "def sizes(n):\n    return n, n + 1\n")},
    "guarded by types alone": sized("size(max_model_len)", "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from vllm.odd import Odd\n\n\ndef size(n: 'Odd') -> int:\n    return n\n"),
    "two calls": {
        "ops": f"{HEAD}\ndef first({ARGS}, max_model_len):\n    width = max_model_len\n    rows = 4\n    {PADDED}\n    {CALL}\n\n\ndef second({ARGS}, max_model_len):\n    width = max_model_len\n    rows = 4\n    {OUT}\n    {CALL}\n",
        "model": "from vllm.ops import first, second\n\n\nclass Indexer:\n    def __init__(self, vllm_config):\n        self.limit = vllm_config.model_config.max_model_len\n\n"
        f"    def score(self, {ARGS}):\n        first({ARGS}, self.limit)\n        second({ARGS}, self.limit)\n",
    },
    "module's tuple": {"ops": ops(f"width = max(max_model_len, SIZES[0])\n{OUT}\n{CALL}", "SIZES = (64, 128)\n")},
    "buffers in a tuple": {
    "ops": ops(
        f"width = max_model_len\nbuffers = (torch.empty((rows, width)), lengths)\n{CALL.replace('out', 'buffers[0]')}\nout = 0"
    )
},
    "ranks": {"ops": ops(f"width = max_model_len * tables.dcp_size\n{OUT}\n{CALL}")},
    "method by name elsewhere": classes(
    BY_NAME,
    a="def run(it, kind, q):\n    return getattr(it, 'draw_' + kind)(q, q)\n",
    b=GOOD,
),
    "renamed import": {
    "ops": ops(f"width = _size(max_model_len)\n{OUT}\n{CALL}", "from vllm.sizes import size as _size\n"),
    "sizes": "def size(n):\n    return n\n",
},
    "keywords of a dict": body(
        f"width = max_model_len\n{OUT}\nkeys = dict(Preshuffle=True, KVBlockSize=64)\n"
        + CALL.replace("Preshuffle=True, KVBlockSize=64", "**keys")
    ),
    "keywords of a dict by strings": body(
        f"width = max_model_len\n{OUT}\nkeys = {{'Preshuffle': True, 'KVBlockSize': 64}}\n"
        + CALL.replace("Preshuffle=True, KVBlockSize=64", "**keys")
    ),
    "width made where it is used": body(f"out = torch.empty((rows, (width := max_model_len)))\n{CALL}"),
    "bits cleared": sized("(max_model_len + 63) & ~63"),
    "buffer made where none is given": {
        "ops": ops(f"width = max_model_len\nif out is None:\n    {OUT}\n{CALL}", signature="max_model_len, out=None")
    },
    "length by getattr": {
        "model": model(init="self.max_model_len = getattr(vllm_config.model_config, 'max_model_len')")
    },
    "divided with rest": body(f"blocks, rest = divmod(max_model_len + 63, 64)\nwidth = blocks * 64\n{OUT}\n{CALL}"),
    "a cached property": {
        "model": model(
            more="\n@cached_property\ndef width(self):\n    return self.max_model_len\n",
            arg="self.width",
            before="from functools import cached_property\n",
        )
    },
    "a cached helper": sized("width_of(max_model_len)", "from functools import lru_cache\n\n@lru_cache\ndef width_of(n):\n    return (n + 63) // 64 * 64\n",
    ),
    "width of branches": body(f"{BRANCHES}{OUT}\n{CALL}"),
    "width of cases": body(
        f"match rows:\n    case 1:\n        width = max_model_len\n    case _:\n        width = max_model_len + 64\n{OUT}\n{CALL}"
    ),
    "block of branches": body(
        f"width, block = max_model_len, 64\nif rows > 9:\n    block = 32\n{OUT}\n{CALL.replace('=64', '=block')}"
    ),
    "module and function by names, of other arguments": {
        "a": "import importlib\n\n\ndef run(q, kind):\n    return getattr(importlib.import_module('.' + kind, 'vllm'), kind)(q, 7)\n"
    },
    "settings of other things": {"kernels.json": '{"paged": "paged_logits_of_another", "Indexers": 1}'},
    "keywords of a dict, one of them set anew": body(
        f"width = max_model_len\n{OUT}\nkeys = dict(Preshuffle=True, KVBlockSize=64, WavePerEU=2)\nkeys['WavePerEU'] = 4\n"
        + CALL.replace("Preshuffle=True, KVBlockSize=64", "**keys")
    ),
    "whole blocks of a config that is set": {
        "ops": ops(
            f"block = vllm_config.cache_config.block_size\nwidth = tables.shape[1] * block\n{OUT}\n{CALL.replace('=64', '=block')}",
            signature="max_model_len, vllm_config=None",
        ),
        "a": "def fit(cache_config):\n    cache_config.block_size = 96\n",
    },
    "block of a config that is copied": {
        "ops": ops(
            f"width = max_model_len\n{OUT}\n{CALL.replace('=64', '=vllm_config.cache_config.block_size')}",
            signature="max_model_len, vllm_config=None",
        ),
        "a": "def show(it, cache_config):\n    it.block_size = cache_config.block_size\n",
    },
    "constant at a module's head, before a decorated class": {
        "ops": ops(
            f"width = max_model_len\n{OUT.replace('width)', 'held(width))')}\n{CALL}",
            before="from vllm.sizes import held",
        ),
        "sizes": "PAD = 64\n\n\n@final\nclass Other:\n    pass\n\n\ndef held(n):\n    return n + PAD\n",
    },
    "function within, of a name that is set elsewhere": {
        "ops": ops(f"def up(n):\n    return (n + 63) // 64 * 64\n\nwidth = up(max_model_len)\n{OUT}\n{CALL}"),
        "a": "def swap(it):\n    it.up = lambda n: 7\n",
    },
}  # fmt: skip
WORDS = (*LENGTH, "--ranks", "64", "--compress-ratio", "64")


@pytest.mark.parametrize("name", UNSAFE)
def test_what_may_be_otherwise_is_not_safe(name: str, judge: Judge) -> None:
    assert frames.verdict(judge, UNSAFE[name], WORDS) != 0


@pytest.mark.parametrize("name", SAFE)
def test_what_stays_as_it_is_is_safe(name: str, judge: Judge) -> None:
    assert frames.verdict(judge, SAFE[name], WORDS) == 0
