"""Small engines whose rows are not as they look: names, classes, helpers and modules given another meaning by ways that
Python has. None of the unsafe ones is called safe, or without calls; the safe ones are in the same styles."""

from __future__ import annotations

import pytest

from tests.engines import frames
from tests.engines.conftest import Judge
from tests.engines.frames import ARGS, CALL, HEAD, LENGTH, LIMIT, METHOD, MODEL, OUT, launches

ODD = f"def score({ARGS}):\n    return paged_logits({ARGS}, tables.odd)\n"
KARGS = "(q, cache, weights, out, lengths, tables, width, True, 64)"
CASES: dict[str, tuple[bool, tuple[str, ...], dict[str, str]]] = {}


def ops(
    width: str = "width = max_model_len",
    before: str = "",
    out: str = OUT,
    call: str = CALL,
    sig: str = "max_model_len",
    deco: str = "",
) -> str:
    """A module with one function around the kernel."""
    return frames.ops(f"{width}\n{out}\n{call}", before, sig, deco)


def u(name: str, words: tuple[str, ...] = LENGTH, **files: str) -> None:
    """An unsafe one."""
    CASES[name] = False, words, files


def s(name: str, words: tuple[str, ...] = LENGTH, **files: str) -> None:
    """A safe one."""
    CASES["safe: " + name] = True, words, files


# configuration
u(
    "config built by the engine",
    model=f"from vllm.config import ModelConfig\nfrom vllm.ops import paged_logits\n\n\ndef score(n, {ARGS}):\n    model_config = ModelConfig(max_model_len=n + 1)\n    return paged_logits({ARGS}, model_config.max_model_len)\n",
    config="class ModelConfig:\n    def __init__(self, max_model_len):\n        self.max_model_len = max_model_len\n",
)
u(
    "config of its own kind",
    model=f"from dataclasses import dataclass\nfrom vllm.ops import paged_logits\n\n\n@dataclass\nclass IndexerConfig:\n    max_model_len: int\n\n\nclass Indexer:\n    def __init__(self, vllm_config):\n        self.indexer_config = IndexerConfig(vllm_config.model_config.max_model_len + 1)\n\n    def score(self, {ARGS}):\n        return paged_logits({ARGS}, self.indexer_config.max_model_len)\n",
)
u(
    "config kept by the engine grown",
    engine="class Engine:\n    def __init__(self, args):\n        self.model_config = ModelConfig(model=args.model, max_model_len=args.max_model_len + 1)\n",
)
# walrus
u(
    "walrus behind and",
    ops=ops("width = tables.odd\nfast and (width := max_model_len)", sig="max_model_len, fast=False"),
)
u(
    "walrus in a conditional",
    ops=ops("width = tables.odd\nn = (width := max_model_len) if tables.fast else 0"),
)
u(
    "walrus in an if",
    ops=ops("width = tables.odd\nif tables.fast and (width := max_model_len):\n    print(1)"),
)
# class scope
u(
    "class scope shadows",
    ops=HEAD
    + "WIDTH = 640\n\n\nclass Indexer:\n    WIDTH = 641\n    width = WIDTH\n\n    def score(self, q, cache, weights, lengths, tables, rows):\n        out = torch.empty((rows, self.width))\n        deepgemm_fp8_paged_mqa_logits(q, cache, weights, out, lengths, tables, self.width, Preshuffle=True, KVBlockSize=64)\n",
)
u(
    "class scope default",
    ops=HEAD
    + "WIDTH = 640\n\n\nclass Indexer:\n    WIDTH = 641\n\n    def score(self, q, cache, weights, lengths, tables, rows, width=WIDTH):\n        out = torch.empty((rows, width))\n        "
    + CALL
    + "\n",
    model="from vllm.ops import Indexer\n\n\ndef run(it: Indexer, q):\n    return it.score(q, q, q, q, q, 4)\n",
)
# stars
u(
    "star import overrides",
    ops=ops(out="out = torch.empty((rows, width + PAD))[:, :width]", before="PAD = 256\nfrom vllm.tuning import *\n"),
    tuning="PAD = 0\n",
    model=MODEL.replace("model_config.max_model_len", "odd"),
)
u(
    "star import overrides helper",
    ops=ops(
        "width = round_up(max_model_len, 64)",
        before="def round_up(x, y):\n    return (x + y - 1) // y * y\n\n\nfrom vllm.tuning import *\n",
    ),
    tuning="def round_up(x, y):\n    return x\n",
    model=MODEL.replace("model_config.max_model_len", "odd"),
)
PAD = ops(out="out = torch.empty((rows, width + PAD))[:, :width]", before="PAD = 256\n")
ODDM = MODEL.replace("model_config.max_model_len", "odd")
u("global floor-divided from afar", ops=PAD, model=ODDM, odd="from vllm import ops\n\nops.PAD //= 512\n")
u("global mod from afar", ops=PAD, model=ODDM, odd="from vllm import ops\n\nops.PAD %= 256\n")
u("global set in a tuple from afar", ops=PAD, model=ODDM, odd="from vllm import ops\n\n(ops.OTHER, ops.PAD) = 1, 0\n")
u("global annotated from afar", ops=PAD, model=ODDM, odd="from vllm import ops\n\nops.PAD: int = 0\n")
u("globals update", ops=PAD + "\n\ndef tune():\n    globals().update(PAD=0)\n", model=ODDM)
u("module dict update", ops=PAD, model=ODDM, odd="from vllm import ops\n\nops.__dict__.update(PAD=0)\n")
u("vars update", ops=PAD, model=ODDM, odd="from vllm import ops\n\nvars(ops).update({'PAD': 0})\n")
u(
    "setattr by name on a module",
    ops=PAD,
    model=ODDM,
    odd="from vllm import ops\n\nOVERRIDES = {'PAD': 0}\nfor k, v in OVERRIDES.items():\n    setattr(ops, k, v)\n",
)
u("loop target from afar", ops=PAD, model=ODDM, odd="from vllm import ops\n\nfor ops.PAD in (0,):\n    pass\n")
# classes
u(
    "heir by an alias",
    ops=METHOD,
    odd="import torch\nfrom vllm.ops import Indexer as Base\n\n\nclass Narrow(Base):\n    def make(self, rows):\n        return torch.empty((rows, 7))\n",
)
u(
    "heir by another name",
    ops=METHOD,
    odd="import torch\nfrom vllm import ops\n\nBase = ops.Indexer\n\n\nclass Narrow(Base):\n    def make(self, rows):\n        return torch.empty((rows, 7))\n",
)
u(
    "heir of a generic",
    ops=METHOD,
    odd="import torch\nfrom vllm.ops import Indexer\n\n\nclass Narrow(Indexer[int]):\n    def make(self, rows):\n        return torch.empty((rows, 7))\n",
)
u(
    "heir of a made base",
    ops=METHOD,
    odd="import torch\nfrom vllm.ops import Indexer\nfrom vllm.mix import mixed\n\n\nclass Narrow(mixed(Indexer)):\n    def make(self, rows):\n        return torch.empty((rows, 7))\n",
    mix="def mixed(c):\n    return c\n",
)
u(
    "heir by type()",
    ops=METHOD,
    odd="import torch\nfrom vllm.ops import Indexer\n\nNarrow = type('Narrow', (Indexer,), {'make': lambda self, rows: torch.empty((rows, 7))})\n",
)
u(
    "heir on several lines",
    ops=METHOD,
    odd="import torch\nfrom vllm.ops import Indexer\n\n\nclass Narrow(\n    object,\n    Indexer,\n):\n    def make(self, rows):\n        return torch.empty((rows, 7))\n",
)
u(
    "function of self at module level",
    ops=METHOD,
    odd="def widen(self):\n    self.width = self.width + 1\n\n\ndef run(indexer):\n    widen(indexer)\n",
)
u(
    "set by keywords of a base elsewhere",
    ops=METHOD.replace("class Indexer:", "from vllm.base import Configurable\n\n\nclass Indexer(Configurable):"),
    base="class Configurable:\n    def configure(self, **given):\n        for key, value in given.items():\n            setattr(self, key, value)\n",
    odd="def run(indexer):\n    indexer.configure(width=10001)\n",
)
u(
    "class of a local name",
    ops=METHOD.replace("def make(self, rows)", "def make(self, rows, width)")
    .replace("self.make(rows)", "torch.empty((rows, width))")
    .replace("tables, rows):", "tables, rows, width):")
    .replace("tables, self.width", "tables, width"),
    odd="from vllm.ops import Indexer\n\n\ndef good(it: Indexer, q):\n    return it.score(q, q, q, q, q, 4, 64)\n\n\ndef score(it, q):\n    klass = Indexer\n    klass.score(it, q, q, q, q, q, 4, q.odd)\n",
)
u(
    "object with a capital",
    ops=HEAD
    + "class Pool:\n    def get(self, width, rows=8):\n        return torch.empty((rows, width))\n\n\nPOOL = Pool()\n\n\ndef paged_logits(q, cache, weights, lengths, tables, max_model_len):\n    width = max_model_len\n    out = POOL.get(tables.odd, width)\n    "
    + CALL
    + "\n",
)
u(
    "dataclass made by a classmethod",
    model=f"from dataclasses import dataclass\nfrom vllm.ops import paged_logits\n\n\n@dataclass\nclass Sizes:\n    width: int\n\n    @classmethod\n    def build(cls, n):\n        return cls(n + 1)\n\n\ndef first(vllm_config):\n    return Sizes(vllm_config.model_config.max_model_len)\n\n\ndef score(sizes: Sizes, {ARGS}):\n    return paged_logits({ARGS}, sizes.width)\n",
)
u(
    "dataclass made by an heir",
    model=f"from dataclasses import dataclass\nfrom vllm.ops import paged_logits\n\n\n@dataclass\nclass Sizes:\n    width: int\n\n\nclass Wide(Sizes):\n    pass\n\n\ndef first(vllm_config):\n    return Sizes(vllm_config.model_config.max_model_len)\n\n\ndef second(n):\n    return Wide(n + 1)\n\n\ndef score(sizes: Sizes, {ARGS}):\n    return paged_logits({ARGS}, sizes.width)\n",
)
u(
    "named tuple made by _make",
    model=f"from typing import NamedTuple\nfrom vllm.ops import paged_logits\n\n\nclass Sizes(NamedTuple):\n    width: int\n\n\ndef first(vllm_config):\n    return Sizes(vllm_config.model_config.max_model_len)\n\n\ndef second(n):\n    return Sizes._make([n + 1])\n\n\ndef score(sizes: Sizes, {ARGS}):\n    return paged_logits({ARGS}, sizes.width)\n",
)
CONS = (
    MODEL.replace("vllm_config):", "n):").replace("vllm_config.model_config.max_model_len", "n")
    + "\n\ndef build(vllm_config):\n    return Indexer(vllm_config.model_config.max_model_len)\n"
)
u(
    "made by a mixin's classmethod",
    model=CONS.replace("class Indexer:", "from vllm.mix import Makes\n\n\nclass Indexer(Makes):"),
    mix="class Makes:\n    @classmethod\n    def make(cls, n):\n        return cls(n + 1)\n",
)
# decorators
u(
    "decorator of a harmless name",
    ops=ops(before="def override(f):\n    return lambda *a: f(*a[:-1], a[-1] + 1)\n", deco="@override\n"),
)
u(
    "decorator cache of its own",
    ops=ops(
        "width = size(max_model_len)", before="from vllm.deco import cache\n\n\n@cache\ndef size(n):\n    return n\n"
    ),
    deco="def cache(f):\n    return lambda n: f(n) + 1\n",
)
# tensors
u(
    "new_empty of its own",
    ops=ops(
        out="out = POOL.new_empty((rows, width))",
        before="class Pool:\n    def new_empty(self, shape):\n        return torch.empty((shape[0], shape[1] - 7))\n\n\nPOOL = Pool()\n",
    ),
)
u(
    "torch.empty replaced",
    patch="import torch\n\n_empty = torch.empty\ntorch.empty = lambda shape, **k: _empty((shape[0], shape[1] - 7), **k)\n",
)
u(
    "negative slice",
    ops=ops("", out="out = torch.empty((rows, 640))[:, :-1]", call="width = out.shape[1]\n" + CALL),
)
u("narrow buffer reused", ops=ops(out="out = torch.empty((rows, 4096))[:, :width]"))
u(
    "unpadded copy",
    ops=ops("width = tables.odd", out="out = torch.empty((rows, width + 256))[:, :width].clone()"),
)
u("reshape", ops=ops(out="out = torch.empty((rows, width + 1)).reshape(-1, width)"), model=ODDM)
u(
    "buffer in a default",
    ops=HEAD
    + "BUFFER = torch.empty((64, 640))\n\n\ndef paged_logits(q, cache, weights, lengths, tables, max_model_len, out=BUFFER):\n    width = max_model_len\n    "
    + CALL
    + "\n",
)
# kernels past
u(
    "property that is the kernel",
    ops="import torch\n\n\nclass Ops:\n    @property\n    def logits(self):\n        from aiter.ops.triton.pa_mqa_logits import deepgemm_fp8_paged_mqa_logits\n\n        return deepgemm_fp8_paged_mqa_logits\n\n    def score(self, q, cache, weights, lengths, tables, width):\n        out = torch.empty((4, tables.odd))\n        self.logits"
    + KARGS
    + "\n        return out\n",
)
u(
    "cached property that is the kernel",
    ops="import torch\nfrom functools import cached_property\n\n\nclass Ops:\n    @cached_property\n    def logits(self):\n        from aiter.ops.triton.pa_mqa_logits import deepgemm_fp8_paged_mqa_logits\n\n        return deepgemm_fp8_paged_mqa_logits\n\n\ndef score(it: Ops, q, cache, weights, lengths, tables, width):\n    out = torch.empty((4, tables.odd))\n    it.logits"
    + KARGS
    + "\n    return out\n",
)
u(
    "property that is the caller",
    odd="from vllm.ops import paged_logits\n\n\nclass Ops:\n    @property\n    def logits(self):\n        return paged_logits\n\n    def score(self, q):\n        self.logits(q, q, q, q, q, q.odd)\n",
)
u(
    "module's __getattr__",
    ops=launches("logits_kernel" + KARGS, "from vllm.lazy import logits_kernel\n\n\n"),
    lazy="def __getattr__(name):\n    if name == 'logits_kernel':\n        from aiter.ops.triton.pa_mqa_logits import deepgemm_fp8_paged_mqa_logits\n\n        return deepgemm_fp8_paged_mqa_logits\n    raise AttributeError(name)\n",
)
u(
    "object's __call__ gives the kernel",
    ops=launches(
        "load()" + KARGS,
        "\nclass Load:\n    def __call__(self):\n        from aiter.ops.triton.pa_mqa_logits import deepgemm_fp8_paged_mqa_logits\n\n        return deepgemm_fp8_paged_mqa_logits\n\n\nload = Load()\n\n\n",
    ),
)
u(
    "registered getter",
    ops=launches(
        "REGISTRY['rocm']()" + KARGS,
        "from vllm.registry import REGISTRY, register\n\n\n@register('rocm')\ndef get_kernel():\n    from aiter.ops.triton.pa_mqa_logits import deepgemm_fp8_paged_mqa_logits\n\n    return deepgemm_fp8_paged_mqa_logits\n\n\n",
    ),
    registry="REGISTRY = {}\n\n\ndef register(name):\n    def add(f):\n        REGISTRY[name] = f\n        return f\n    return add\n",
)
u(
    "name in two pieces",
    ops=launches(
        "getattr(pa_mqa_logits, 'deepgemm_fp8_' 'paged_mqa_logits')" + KARGS,
        "from aiter.ops.triton.attention import pa_mqa_logits\n\n\n",
    ),
)
u(
    "module in two pieces",
    ops="import importlib\nimport torch\n\n\ndef score(q, cache, weights, lengths, tables, width):\n    out = torch.empty((4, tables.odd))\n    m = importlib.import_module('aiter.ops.triton.pa_' 'mqa_logits')\n    getattr(m, 'deepgemm_fp8_' 'paged_mqa_logits')"
    + KARGS
    + "\n",
)
u(
    "module by a prefix kept",
    ops=launches(
        "m = importlib.import_module(PREFIX + kind)\ngetattr(m, 'deepgemm_' + kind)" + KARGS,
        "import importlib\nPREFIX = 'aiter.ops.triton.attention.'\n\n\n",
        more=", kind",
    ),
)
u(
    "module by package",
    ops="import importlib\nimport torch\n\n\ndef score(q, cache, weights, lengths, tables, width, kind):\n    out = torch.empty((4, tables.odd))\n    m = importlib.import_module('.' + kind, package='aiter.ops.triton.attention')\n    getattr(m, 'deepgemm_' + kind)"
    + KARGS
    + "\n",
)
u(
    "text that is run",
    ops=launches(
        "names = {}\nexec(CODE, names)\nnames['run']" + KARGS,
        "CODE = 'from aiter.ops.triton.pa_mqa_logits import deepgemm_fp8_paged_mqa_logits as run'\n\n\n",
    ),
)
# other routes to the caller
u(
    "lazy global import",
    odd="paged_logits = None\n\n\ndef load():\n    global paged_logits\n    from vllm.ops import paged_logits\n\n\n"
    + ODD,
)
u(
    "lazy global, assigned",
    odd="paged_logits = None\n\n\ndef load():\n    global paged_logits\n    from vllm import ops\n    paged_logits = ops.paged_logits\n\n\n"
    + ODD,
)
u(
    "import in a class",
    odd="class Ops:\n    from vllm.ops import paged_logits\n\n\ndef score(q):\n    return Ops.paged_logits(q, q, q, q, q, q.odd)\n",
)
u(
    "re-export by package",
    layers____init__="from vllm.ops import paged_logits as score_pages\n",
    odd="from vllm.layers import score_pages\n\n\ndef score(q):\n    return score_pages(q, q, q, q, q, q.odd)\n",
)
u(
    "re-export by star",
    layers____init__="from vllm.ops import *\n",
    odd="from vllm.layers import paged_logits\n\n\n" + ODD,
)
u(
    "import_module of own",
    odd="import importlib\n\n\ndef score(q):\n    return importlib.import_module('vllm.ops').paged_logits(q, q, q, q, q, q.odd)\n",
)
u(
    "getattr of import_module",
    odd="import importlib\n\n\ndef score(q, kind):\n    return getattr(importlib.import_module('vllm.ops'), 'paged_' + kind)(q, q, q, q, q, q.odd)\n",
)
u(
    "getattr of a module by another name",
    odd="from vllm import ops as kernels\n\n\ndef score(q, kind):\n    return getattr(kernels, 'paged_' + kind)(q, q, q, q, q, q.odd)\n",
)
u(
    "dict of a module",
    odd="from vllm import ops\n\n\ndef score(q, kind):\n    return vars(ops)['paged_' + kind](q, q, q, q, q, q.odd)\n",
)
u("globals by name", ops=ops() + "\n\ndef run(kind, *few):\n    return globals()['paged_' + kind](*few)\n")
u(
    "op by a name worked out",
    ops=ops() + "\n\ndirect_register_custom_op('rocm_logits', paged_logits)\n",
    odd="import torch\n\n\ndef score(q, kind):\n    return getattr(torch.ops.vllm, 'rocm_' + kind)(q, q, q, q, q, q.odd)\n",
)
u(
    "attrgetter",
    odd="import operator\nfrom vllm import ops\n\n\ndef score(q):\n    return operator.attrgetter('paged_logits')(ops)(q, q, q, q, q, q.odd)\n",
)
u(
    "methodcaller",
    ops=METHOD.replace("tables, rows):", "tables, rows, width):")
    .replace("self.make(rows)", "torch.empty((rows, width))")
    .replace("tables, self.width,", "tables, width,"),
    model="def run(it, q):\n    return it.score(q, q, q, q, q, 4, 64)\n",
    odd="import operator\n\n\ndef run(it, q):\n    return operator.methodcaller('score', q, q, q, q, q, 4, q.odd)(it)\n",
)
u(
    "lambda in a dict",
    odd="from vllm.ops import paged_logits\n\nTABLE = {'a': lambda *few: paged_logits(*few)}\n",
)
u(
    "partialmethod",
    odd="import functools\nfrom vllm.ops import paged_logits\n\n\nclass A:\n    run = functools.partialmethod(paged_logits, 1, 2, 3, 4)\n",
)
# blocks, chunks
u("block of the table", ops=ops("width = max_model_len", call=CALL.replace("=64", "=tables.shape[1]")))
u(
    "block of the draft",
    ops=ops("width = max_model_len", call=CALL.replace("=64", "=lengths.draft_block_size")),
)
u("block 128", ops=ops(call=CALL.replace("=64", "=128")))
u("chunk 96", ops=ops(call=CALL.replace("=64", "=32, ChunkK=96")))
u("cdiv times 63", ops=ops("width = -(-max_model_len // 64) * 63"))
u(
    "round_up rounds down",
    ops=ops("width = round_up(max_model_len, 32)", before="def round_up(x, y):\n    return x // y * y\n"),
    words=("--max-model-len", "10080", "--block-size", "64"),
)
u(
    "stage1 beside",
    ops=ops(before="from aiter.ops.triton.pa_mqa_logits import deepgemm_fp8_paged_mqa_logits_stage1\n")
    + "\n\ndef odd(q, cache, weights, lengths, tables):\n    out = torch.empty((64, 4, tables.odd))\n    deepgemm_fp8_paged_mqa_logits_stage1(q, cache, weights, out, lengths, tables, tables.odd)\n",
)
# control flow
u(
    "match statement",
    ops=ops("match tables.kind:\n    case 1:\n        width = max_model_len\n    case _:\n        width = tables.odd"),
)
u(
    "try import fallback",
    ops=ops(
        "width = round_up(max_model_len, 64)",
        before="try:\n    from vllm.sizes import round_up\nexcept ImportError:\n    def round_up(x, y):\n        return x\n",
    ),
    sizes="def round_up(x, y):\n    return (x + y - 1) // y * y\n",
    model=ODDM,
)
u(
    "conditional redefinition",
    ops=ops(
        "width = round_up(max_model_len, 64)",
        before="def round_up(x, y):\n    return (x + y - 1) // y * y\n\n\nif torch.odd:\n    def round_up(x, y):\n        return x\n",
    ),
    model=ODDM,
)
u(
    "type checking shadow",
    ops=ops(
        "width = round_up(max_model_len, 64)",
        before="from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from vllm.sizes import round_up\nelse:\n    from ext import round_up\n",
    ),
    sizes="def round_up(x, y):\n    return (x + y - 1) // y * y\n",
    model=ODDM,
)
u(
    "min of enclosing scope",
    ops=HEAD
    + "def outer(q, cache, weights, lengths, tables, max_model_len):\n    def min(a, b):\n        return a + 1\n\n    def inner():\n        width = min(max_model_len, max_model_len)\n        out = torch.empty((4, width))\n        "
    + CALL
    + "\n        return out\n\n    return inner()\n",
    model=MODEL.replace("paged_logits", "outer"),
)
u(
    "keyword overrides partial",
    ops=ops(
        before="import functools\n\nrun = functools.partial(deepgemm_fp8_paged_mqa_logits, KVBlockSize=64)\n",
        call="run(q, cache, weights, out, lengths, tables, width, Preshuffle=True, KVBlockSize=128)",
    ),
)
u(
    "setter changes",
    model=MODEL
    + "\n    @property\n    def n(self):\n        return self.max_model_len\n\n    @n.setter\n    def n(self, v):\n        self.max_model_len = v\n\n\ndef f(it):\n    it.n = 10001\n",
)

# objects of one class
BUF = f"{HEAD}class Buf:\n    def __init__(self, n):\n        self.n = n.size * 64\n\n    def width(self):\n        return self.n\n\n\n"
TWO = BUF + (
    f"def score({ARGS}, x, y):\n    a = Buf(x)\n    b = Buf(y)\n    rows = 4\n"
    f"    out = torch.empty((rows, a.n))\n    width = b.n\n    {CALL}\n"
)
u("two objects of a class", ops=TWO)
u("two objects of a class, by a method", ops=TWO.replace("a.n", "a.width()").replace("b.n", "b.width()"))
u(
    "two objects of a class, by a property",
    ops=TWO.replace("    def width(", "    @property\n    def width(")
    .replace("a.n", "a.width")
    .replace("b.n", "b.width"),
)
u(
    "an object, and another under its name",
    ops=TWO.replace("    b = Buf(y)\n", "").replace("width = b.n", "a = Buf(y)\n    width = a.n"),
)
u(
    "two objects handed in",
    ops=TWO.replace("tables, x, y):", "tables, a: Buf, b: Buf):").replace("    a = Buf(x)\n    b = Buf(y)\n", ""),
    model="from vllm.ops import Buf, score\n\n\ndef run(q, x, y):\n    return score(q, q, q, q, q, Buf(x), Buf(y))\n",
)
u(
    "two objects with one of two lengths",
    ops=TWO.replace("n.size * 64", "n.model_config.max_model_len // 2 if n.half else n.model_config.max_model_len")
    .replace("__init__(self, n)", "__init__(self, vllm_config)")
    .replace("n.model", "vllm_config.model"),
)
u(
    "object of a loop",
    ops=f"{BUF}def score({ARGS}, few):\n    for x in few:\n        a = Buf(x)\n        if x.fresh:\n"
    f"            out = torch.empty((4, a.n))\n        width = a.n\n        {CALL}\n",
)
u(
    "helper of a state called twice",
    ops=TWO.replace("a.n", "grown(x)").replace("b.n", "grown(x)") + "\n\ndef grown(p):\n    return p.grow() * 64\n",
)
u(
    "length of a base elsewhere",
    model=MODEL.replace("class Indexer:", "from elsewhere import Sized\n\n\nclass Indexer(Sized):"),
)
# methods lent, whatever the name of their class
BASE = "from elsewhere import Sized\nfrom vllm.ops import Indexer as base\n\n\n"
u("method lent by a small name", ops=METHOD, odd=BASE + "class Other(Sized):\n    score = base.score\n")
u(
    "method run through a small name",
    ops=METHOD,
    odd=BASE + "def run(other, q):\n    base.score(other, q, q, q, q, q, 4)\n",
)
u(
    "forward lent",
    ops=METHOD.replace("def score", "def forward"),
    odd=BASE + "class Other(Sized):\n    forward = base.forward\n",
)
u(
    "call lent",
    ops=METHOD.replace("def score", "def __call__"),
    odd=BASE + "class Other(Sized):\n    __call__ = base.__call__\n",
)
u("function of a method lent", ops=METHOD, odd=BASE + "def lend(it):\n    Sized.score = it.score.__func__\n")
# brackets that are none
REPLACED = "from dataclasses import replace\n\n\ndef run(indexer, f):\n    return replace(indexer, {}width=10001)\n"
u("bracket in a string", ops=METHOD, odd=REPLACED.format("note='(', "))
u("bracket in a string, closed", ops=METHOD, odd=REPLACED.format("note=f(')'), other=':)', "))
u("bracket in a comment", ops=METHOD, odd=REPLACED.format("  # :-(\n        "))
u("bracket in a long string", ops=METHOD, odd=REPLACED.format("note='''\n(\n''', "))

# modules handed on, and asked for names that are worked out
HANDED = {
    "kept": "from vllm import ops\n\n\ndef plug(t):\n    t.backend = ops\n",
    "given": "from vllm import ops\nfrom vllm.b import run\n\n\ndef go(kind, q):\n    return run(ops, kind, q)\n",
    "given by another name": "from vllm import ops as o\nfrom vllm.b import run\n\n\ndef go(kind, q):\n    return run(o, kind, q)\n",
    "given by its dotted name": "import vllm.ops\nfrom vllm.b import run\n\n\ndef go(kind, q):\n    return run(vllm.ops, kind, q)\n",
    "imported as it is given": "import importlib\nfrom vllm.b import run\n\n\ndef go(kind, q):\n    return run(importlib.import_module('vllm.ops'), kind, q)\n",
    "in a table": "from vllm import ops\n\nTABLE = {'rocm': ops}\n",
    "returned": "def find():\n    from vllm import ops\n    return ops\n",
    "asked for its members": "import inspect\nfrom vllm import ops\n\n\ndef run(q):\n    for n, f in inspect.getmembers(ops):\n        f(q, q, q, q, q, q.odd)\n",
}
for way, text in HANDED.items():
    u(f"module {way}", a=text, b="def run(t, kind, q):\n    return getattr(t, 'paged_' + kind)(q, q, q, q, q, q.odd)\n")
u(
    "module given, and set by name",
    a="from vllm import ops\nfrom vllm.b import tune\n\ntune(ops, 'PAD')\n",
    b="def tune(m, name):\n    setattr(m, name, 0)\n",
    ops=PAD,
    model=ODDM,
)
u(
    "module of sys.modules",
    a="import sys\n\n\ndef run(kind, q):\n    m = sys.modules['vllm.ops']\n    return getattr(m, 'paged_' + kind)(q, q, q, q, q, q.odd)\n",
)
u(
    "functions of a module listed",
    a="from vllm import ops\n\n\ndef run(q):\n    for n in dir(ops):\n        getattr(ops, n)(q, q, q, q, q, q.odd)\n",
)
# torch's functions replaced
FIXED = "from vllm.ops import paged_logits\n\n\ndef run(q):\n    return paged_logits(q, q, q, q, q, 640)\n"
for way, text in {
    "set": "import torch\n\nsetattr(torch, 'empty', torch.odd)\n",
    "set by a name": "import torch\n\nfor n in ('empty', 'full'):\n    setattr(torch, n, torch.odd)\n",
    "assigned": "import torch\n\ntorch.empty = torch.odd\n",
    "assigned to another name of torch": "import torch as t\n\nt.empty = t.odd\n",
    "patched": "import torch\nfrom unittest import mock\n\nmock.patch.object(torch, 'empty', torch.odd).start()\n",
    "patched by text": "from unittest import mock\n\nmock.patch('torch.empty', None).start()\n",
}.items():
    u(f"allocation {way}", a=text, model=FIXED)
SIZED = ops("width = size(max_model_len)", before="def size(n):\n    return n\n")
u("helper patched by text", ops=SIZED, a="from unittest import mock\n\nmock.patch('vllm.ops.size', None).start()\n")
u(
    "constant patched by text",
    ops=PAD,
    model=ODDM,
    a="from unittest import mock\n\nmock.patch('vllm.ops.PAD', 0).start()\n",
)
# configurations
u(
    "config that a base elsewhere gives",
    model=MODEL.replace("class Indexer:", "from elsewhere import Base\n\n\nclass Indexer(Base):").replace(
        "= vllm_config.m", "= self.get_config().m"
    ),
)
u(
    "config that an object gives",
    model=MODEL.replace("vllm_config):", "other):").replace("= vllm_config.m", "= other.get_config().m"),
)
u(
    "config of another package",
    model=MODEL.replace("vllm_config):", "config: PretrainedConfig):").replace("vllm_config.model_config", "config"),
)
u("config in a table", a="from vllm.model import Indexer\n\n\ndef build(table):\n    return Indexer(table['drafts'])\n")
u(
    "config of a loop",
    model=MODEL.replace(
        "        self.m", "        for vllm_config in vllm_config.all:\n            pass\n        self.m"
    ),
)
# classes
u(
    "classmethod that builds",
    model=MODEL.replace("vllm_config):", "n):").replace(LIMIT, "n")
    + f"\n    @classmethod\n    def build(cls, vllm_config):\n        return cls({LIMIT} + 1)\n",
)
u(
    "class kept by a factory",
    model=MODEL.replace("vllm_config):", "n):").replace(LIMIT, "n"),
    a="from vllm.model import Indexer\n\n\nclass Factory:\n    kind = Indexer\n\n    @classmethod\n    def build(cls, n):\n"
    f"        return cls.kind(n + 1)\n\n\ndef good(vllm_config):\n    return Indexer({LIMIT})\n",
)
u(
    "property of a mixin",
    ops=METHOD.replace("class Indexer:", "from vllm.a import Grown\n\n\nclass Indexer(Grown):").replace(
        "self.width = ", "self._w = "
    ),
    a="class Grown:\n    @property\n    def width(self):\n        return self._w + 1\n",
)
OP = ops() + "\n\ndirect_register_custom_op('rocm_logits', paged_logits)\n"
for way, call in {
    "kept": "op = torch.ops.vllm.rocm_logits\n    return op",
    "asked for": "return getattr(torch.ops.vllm, 'rocm_logits')",
    "found by its schema": "return torch._C._jit_get_operation('vllm::rocm_logits')[0]",
}.items():
    u(f"operator {way}", ops=OP, a=f"import torch\n\n\ndef run(q):\n    {call}(q, q, q, q, q, q.odd)\n")
# buffers
u("buffer given a shape", ops=ops(out="out = torch.empty((rows, width + 1))\nout.shape = (-1, width)"))
u("buffer given other data", ops=ops(out=f"{OUT}\nout.data = tables.buffer"))
u("buffer of one row", ops=ops(out="out = torch.empty((1, width)).expand(rows, width)"))
u("buffer or another", ops=ops(out="out = tables.buffer or torch.empty((rows, width))"))

# safe ones
s("small helper", ops=SIZED)
s("fixed width", model=FIXED)
s("asked for others by name", a="def run(q, name):\n    return getattr(q, name)\n")
s(
    "module used plainly",
    a=f"from vllm import ops\n\n\ndef run(vllm_config, q):\n    return ops.paged_logits(q, q, q, q, q, {LIMIT})\n",
)
s(
    "one object",
    ops=TWO.replace("b.n", "a.n")
    .replace("    b = Buf(y)\n", "")
    .replace("n.size * 64", LIMIT)
    .replace("self, n)", "self, vllm_config)")
    .replace("tables, x, y)", "tables, vllm_config)")
    .replace("Buf(x)", "Buf(vllm_config)"),
)
s(
    "fallback import kernel",
    ops=ops()
    .replace("from aiter.ops.triton.pa", "try:\n    from aiter.ops.triton.pa")
    .replace(
        "paged_mqa_logits\n\n", "paged_mqa_logits\nexcept ImportError:\n    deepgemm_fp8_paged_mqa_logits = None\n\n", 1
    ),
)
s(
    "current config",
    model="from vllm.ops import paged_logits\nfrom vllm.config import get_current_vllm_config\n\n\nclass Indexer:\n    def __init__(self):\n        config = get_current_vllm_config()\n        self.max_model_len = config.model_config.max_model_len\n\n    def score(self, q, cache, weights, lengths, tables):\n        return paged_logits(q, cache, weights, lengths, tables, self.max_model_len)\n",
)
s(
    "cached helper",
    ops=ops(
        "width = size(max_model_len)",
        before="import functools\n\n\n@functools.lru_cache\ndef size(n):\n    return (n + 63) // 64 * 64\n",
    ),
)
s(
    "logging between",
    ops=ops(
        before="import logging\n\nlogger = logging.getLogger(__name__)\n",
        call="logger.debug('%s %s', width, out.shape)\n" + CALL,
    ),
)
s("walrus plain", ops=ops("if (width := max_model_len) < 1:\n    raise ValueError"))
s("method helper", ops=METHOD)
s(
    "property on a class",
    ops=METHOD.replace("self.width = vllm_config", "self._n = vllm_config")
    + "\n    @property\n    def width(self):\n        return self._n\n",
)
s(
    "re-export",
    layers____init__="from vllm.ops import paged_logits\n",
    model=MODEL.replace("vllm.ops", "vllm.layers"),
)
s(
    "dataclass of sizes",
    model=f"from dataclasses import dataclass\nfrom vllm.ops import paged_logits\n\n\n@dataclass\nclass Sizes:\n    width: int\n    rows: int = 4\n\n\ndef score(vllm_config, {ARGS}):\n    sizes = Sizes(vllm_config.model_config.max_model_len)\n    return paged_logits({ARGS}, sizes.width)\n",
)
s(
    "custom op",
    ops=ops() + "\n\ndirect_register_custom_op(op_name='rocm_logits', op_func=paged_logits)\n",
    model="import torch\n"
    + MODEL.replace("return paged_logits", "return torch.ops.vllm.rocm_logits").replace(
        "from vllm.ops import paged_logits\n", ""
    ),
)
s(
    "inherits",
    model=MODEL.replace("class Indexer:", "class Base:").replace(
        "    def score", "\nclass Indexer(Base):\n    def score"
    ),
)
s(
    "getter of the kernel",
    ops=ops(
        call="kernel()" + CALL[len("deepgemm_fp8_paged_mqa_logits") :],
        before="import functools\n\n\n@functools.cache\ndef kernel():\n    return deepgemm_fp8_paged_mqa_logits\n",
    ),
)
s(
    "keyword only",
    ops=ops(sig="*, max_model_len"),
    model=MODEL.replace("tables, self.max", "tables, max_model_len=self.max"),
)
s("two lengths", ops=ops("width = min(max_model_len, 65536)"))
s(
    "padded generously",
    ops=ops("width = max_model_len", out="out = torch.empty((rows, width + 512))[:, :width]"),
    model=ODDM,
)
s("constant block", ops=ops(before="BLOCK = 64\n", call=CALL.replace("=64", "=BLOCK")))
s(
    "if else alloc",
    ops=ops(out="out = torch.empty((rows, width)) if rows > 4 else torch.zeros((rows, width))"),
)
s(
    "vllm round_up",
    ops=ops("width = round_up(max_model_len, 64)", before="from vllm.utils.math_utils import round_up\n"),
    utils____init__="",
    utils__math_utils="def cdiv(a: int, b: int) -> int:\n    return -(a // -b)\n\n\ndef round_up(x: int, y: int) -> int:\n    return ((x + y - 1) // y) * y\n",
    model=ODDM,
)
s(
    "platform branch",
    model=MODEL.replace(
        "        return paged", "        if not q.is_cuda:\n            return None\n        return paged"
    ),
)


@pytest.mark.parametrize("name", CASES)
def test_caller(judge: Judge, name: str) -> None:
    safe, words, files = CASES[name]
    assert (frames.verdict(judge, files, words) == 0) is safe
