"""What a refactoring makes of a small engine, as an engineer would write it. None of the unsafe ones is called safe, or
without calls; the safe ones are in the same styles."""

from __future__ import annotations

import pytest

from tests.engines import frames
from tests.engines.conftest import Judge
from tests.engines.frames import ARGS, CALL, HEAD, LENGTH, LIMIT, MODEL, OUT, ops

KERNEL = "deepgemm_fp8_paged_mqa_logits"
ODD = MODEL.replace("model_config.max_model_len", "odd")
PADDED = "out = torch.empty((rows, width + 256))[:, :width]"


def sized(width: str, before: str = "", out: str = OUT, call: str = CALL) -> str:
    """A module whose function finds its width so."""
    return ops(f"width = {width}\n{out}\n{call}", before)


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
UNSAFE: dict[str, dict[str, str]] = {
    'model copied with overrides of a file': {
        "model": f"import json\nfrom dataclasses import dataclass\nfrom vllm.ops import paged_logits\n\n\n@dataclass\nclass Sizes:\n    width: int\n\n\nclass Indexer:\n    def __init__(self, vllm_config, path):\n        sizes = Sizes({LIMIT})\n        with open(path) as file:\n            for key, value in json.load(file).items():\n                setattr(sizes, 'wi' + key, value)\n        self.sizes = sizes\n\n    def score(self, {ARGS}):\n        sizes: Sizes = self.sizes\n        return paged_logits({ARGS}, sizes.width)\n"
    },
    'attribute set under a prefix': classes(
        indexer(SET),
        tune="def tune(it, overrides):\n    for key, value in overrides.items():\n        setattr(it, 'wi' + key, value)\n",
    ),
    'attribute set under a suffix': classes(
        indexer(SET), tune="def tune(it, kind, value):\n    setattr(it, '%sdth' % kind, value)\n"
    ),
    'attribute set by a pair': classes(
        indexer(SET), tune="def tune(it, pairs):\n    for pair in pairs:\n        setattr(it, *pair)\n"
    ),
    'attribute set of what two calls give': classes(
        indexer(SET), tune="def tune(it, name, value):\n    setattr(it.get(it.find(name)), name, value)\n"
    ),
    'attribute set by map': classes(
        indexer(SET),
        tune="from itertools import repeat\n\n\ndef tune(it, new):\n    list(map(setattr, repeat(it), new.keys(), new.values()))\n",
    ),
    'buffer of a cache that another grows': {
        "ops": ops(
            f"width = max_model_len\nout = buffer(rows, width)\n{CALL}",
            "from functools import lru_cache\n\n\n@lru_cache\ndef buffer(rows, width):\n    return torch.empty((rows, width))\n\n\ndef shrink(rows, width):\n    buffer(rows, width).resize_(rows, width - 7)\n",
        )
    },
    'pad of an object taken away': classes(
        indexer(
            "self.width = vllm_config.odd\nself.pad = 256", out="out = torch.empty((rows, width + self.pad))[:, :width]"
        ),
        tune="def tune(it):\n    it.pad = 0\n",
    ),
    'pad of a class taken away': classes(
        indexer(
            "self.width = vllm_config.odd",
            more="\n    pad = 256\n",
            out="out = torch.empty((rows, width + self.pad))[:, :width]",
        ),
        tune="from vllm.ops import Indexer\n\n\ndef tune():\n    Indexer.pad = 0\n",
    ),
    'pad of an heir': classes(
        indexer(
            "self.width = vllm_config.odd",
            more="\n    pad = 256\n\n\nclass Lean(Indexer):\n    pad = 0\n",
            out="out = torch.empty((rows, width + self.pad))[:, :width]",
        )
    ),
    'buffer made by an heir': classes(
        indexer(
            "self.width = vllm_config.odd",
            more="\n    def make(self, rows, width):\n        return torch.empty((rows, width + 256))[:, :width]\n\n\nclass Lean(Indexer):\n    def make(self, rows, width):\n        return torch.empty((rows, width))\n",
            out="out = self.make(rows, width)",
        )
    ),
    'chunk of an object set from afar': classes(
        indexer("self.width = vllm_config.odd\nself.chunk = 64", out=PADDED.replace("256", "64")).replace(
            "=64)", "=64, ChunkK=self.chunk)"
        ),
        tune="def tune(it):\n    it.chunk = 256\n",
    ),
    'padded by an option set by name': classes(
        indexer(
            "self.width = vllm_config.odd\nself.pad = 256", out="out = torch.empty((rows, width + self.pad))[:, :width]"
        ),
        tune="def tune(it, options):\n    for name, value in options.items():\n        setattr(it, name, value)\n",
    ),
    'two calls, the second of a draft': {
        "ops": f"{HEAD}\ndef first({ARGS}, max_model_len):\n    width = max_model_len\n    rows = 4\n    {PADDED}\n    {CALL}\n\n\ndef second({ARGS}, max_model_len):\n    width = max_model_len\n    rows = 4\n    {OUT}\n    {CALL}\n",
        "model": "from vllm.ops import first, second\n\n\nclass Indexer:\n    def __init__(self, vllm_config):\n        self.limit = vllm_config.model_config.max_model_len\n\n"
        f"    def score(self, {ARGS}):\n        first({ARGS}, self.limit)\n        second({ARGS}, self.limit)\n\n\ndef build(draft_config):\n    return Indexer(draft_config)\n",
    },
    'closure, and then resized': {
        "ops": ops(
            f"width = max_model_len\n{OUT}\n\ndef launch():\n    {CALL}\n\nout.resize_(rows, width + 7)\nlaunch()"
        )
    },
    'resized by the function that is given it': {
        "ops": f"{HEAD}\ndef launch({ARGS}, out, width):\n    out.resize_(4, width + 7)\n    {CALL}\n",
        "model": f"import torch\nfrom vllm.ops import launch\n\n\nclass Indexer:\n    def __init__(self, vllm_config):\n        self.width = {LIMIT}\n\n    def score(self, {ARGS}):\n        out = torch.empty((4, self.width))\n        return launch({ARGS}, out, self.width)\n",
    },
    'given away by the function that is given it': {
        "ops": f"{HEAD}from vllm.grow import grow\n\n\ndef launch({ARGS}, out, width):\n    grow(out, width)\n    {CALL}\n",
        "grow": "def grow(t, width):\n    t.resize_(t.shape[0], width + 7)\n",
        "model": f"import torch\nfrom vllm.ops import launch\n\n\nclass Indexer:\n    def __init__(self, vllm_config):\n        self.width = {LIMIT}\n\n    def score(self, {ARGS}):\n        out = torch.empty((4, self.width))\n        return launch({ARGS}, out, self.width)\n",
    },
    'transposed in place by the function that is given it': {
        "ops": f"{HEAD}\ndef launch({ARGS}, out, width):\n    logits = out\n    logits.t_()\n    {CALL}\n",
        "model": f"import torch\nfrom vllm.ops import launch\n\n\nclass Indexer:\n    def __init__(self, vllm_config):\n        self.width = {LIMIT}\n\n    def score(self, {ARGS}):\n        return launch({ARGS}, torch.empty((4, self.width)), self.width)\n",
    },
    'rows of a workspace of its own': {
        "ops": ops(
            f"width = max_model_len\n(out,) = manager().get_simultaneous(((rows, width), torch.float32))\n{CALL}",
            "from vllm.workspace import manager\n",
        ),
        "workspace": "import torch\n\n\nclass Workspace:\n    def __init__(self, columns):\n        self._buffer = torch.empty((64, columns))\n\n    def get_simultaneous(self, *wanted):\n        return [self._buffer[: rows, : columns] for (rows, columns), _ in wanted]\n\n\ndef manager():\n    return Workspace(8000)\n",
    },
    'remainder that is not one': {"ops": sized("max_model_len + (max_model_len % 64 != 1)")},
    'quotient that is not one': {
        "ops": sized("max_model_len + (max_model_len // 10048 != 1) + (max_model_len // 20000 != 1)")
    },
    'star of sizes': {
        "ops": ops(f"out = torch.empty((rows, sizes[0]))\nwidth = sizes[0]\n{CALL}", "sizes = (640, 1)\n", "*sizes"),
        "model": ODD,
    },
    'double star of options': {
        "ops": ops(f"width = options.width\n{OUT}\n{CALL}", "from vllm import options\n\n\n", "**options"),
        "options": "width = 640\n",
        "model": ODD,
    },
    'block of another group': {
        "ops": ops(
            f"width = max_model_len\n{OUT}\n{CALL.replace('=64', '=groups[1].kv_cache_spec.block_size')}",
            signature="max_model_len, groups=None",
        )
    },
    'block of a mamba cache': {
        "ops": ops(
            f"width = max_model_len\n{OUT}\n{CALL.replace('=64', '=mamba_spec.block_size')}",
            signature="max_model_len, mamba_spec=None",
        )
    },
    'block of a draft': {
        "ops": ops(
            f"width = max_model_len\n{OUT}\n{CALL.replace('=64', '=draft_config.block_size')}",
            signature="max_model_len, draft_config=None",
        )
    },
    'block of a host pool': {
        "ops": ops(
            f"width = max_model_len\n{OUT}\n{CALL.replace('=64', '=host_pool.page_size')}",
            signature="max_model_len, host_pool=None",
        )
    },
    'indexer of a registry of heirs': {
        "model": MODEL.replace(
            "class Indexer:", "from vllm.registry import Scorer\n\n\nclass Indexer(Scorer):\n    kind = 'dsa'\n"
        ),
        "registry": "KINDS = {}\n\n\nclass Scorer:\n    kind = ''\n\n    def __init_subclass__(cls):\n        KINDS[cls.kind] = cls\n",
        "draft": "from vllm.registry import KINDS\n\n\ndef build(vllm_config):\n    draft = vllm_config.speculative_config.draft_vllm_config\n    return KINDS['dsa'](draft)\n",
    },
    'functions of a module by their names': {
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
    'imported name replaced under its other name': {
    "ops": ops(
        f"width = size(max_model_len)\n{OUT}\n{CALL}".replace("size(m", "_size(m"),
        "from vllm.sizes import size as _size\n",
    ),
    "sizes": "def size(n):\n    return n\n",
    "a": "from vllm import ops\n\nops._size = lambda n: n + 1\n",
},
    'imported pad replaced under its other name': {
    "ops": ops(
        f"width = max_model_len\nout = torch.empty((rows, width + _PAD))[:, :width]\n{CALL}",
        "from vllm.sizes import PAD as _PAD\n",
    ),
    "sizes": "PAD = 256\n",
    "a": "from vllm import ops\n\nops._PAD = 0\n",
    "model": ODD,
},
    'tuple of buffers, one resized': {
    "ops": ops(
        f"width = max_model_len\nbuffers = (torch.empty((rows, width)), lengths)\nbuffers[0].resize_(rows, width + 7)\n{CALL.replace('out', 'buffers[0]')}\nout = 0"
    )
},
    'list of buffers, one exchanged': {
    "ops": ops(
        f"width = max_model_len\nbuffers = manager().get_simultaneous(((rows, width), torch.float32))\nbuffers[0] = buffers[0][:, 1:]\n{CALL.replace('out', 'buffers[0]')}\nout = 0",
        "from vllm.workspace import manager\n",
    )
},
    'tuple of buffers held, one resized': classes(
    indexer(
        f"{SET}\nself.buffers = (torch.empty((64, {LIMIT})), None)",
        out="out = self.buffers[0]",
        more="\n    def grow(self):\n        self.buffers[0].resize_(128, self.width + 7)\n",
    )
),
    "ranks' extra columns": {"ops": ops(f"width = max_model_len + tables.dcp_extra\n{OUT}\n{CALL}")},
    "pool's offset": {"ops": ops(f"width = max_model_len + tables.kpool_offset\n{OUT}\n{CALL}")},
    'method by a prefix': classes(
    BY_NAME,
    a="def run(it, kind, q):\n    return getattr(it, 'score_' + kind)(q, q, q, q, q, 4, q.odd)\n",
    b=GOOD,
),
    'method by a prefix with star': classes(
    BY_NAME,
    a="def run(it, kind, *given):\n    return getattr(it, f'score_{kind}')(*given)\n",
    b=GOOD,
),
    'method by a format': classes(
    BY_NAME,
    a="def run(it, kind, q):\n    return getattr(it, 'score_{}'.format(kind))(q, q, q, q, q, 4, q.odd)\n",
    b=GOOD,
),
    'method by a prefix, kept': classes(
    BY_NAME,
    a="def run(it, kind, q):\n    score = getattr(it, 'score_' + kind, None)\n    return score(q, q, q, q, q, 4, q.odd)\n",
    b=GOOD,
),
    'module of a backend, function by prefix': {
    "a": "import importlib\n\n\ndef run(backend, kind, q):\n    module = importlib.import_module('vllm.' + backend)\n    return getattr(module, 'paged_' + kind)(q, q, q, q, q, q.odd)\n"
},
}  # fmt: skip
SAFE: dict[str, dict[str, str]] = {
    'dataclass': {"model": f"from dataclasses import dataclass\nfrom vllm.ops import paged_logits\n\n\n@dataclass(frozen=True)\nclass Sizes:\n    width: int\n    rows: int = 8\n\n\ndef score(vllm_config, {ARGS}):\n    sizes = Sizes(width={LIMIT})\n    return paged_logits({ARGS}, sizes.width)\n"},
    'named tuple': {"model": f"from typing import NamedTuple\nfrom vllm.ops import paged_logits\n\n\nclass Sizes(NamedTuple):\n    rows: int\n    width: int\n\n\ndef score(vllm_config, {ARGS}):\n    sizes = Sizes(4, {LIMIT})\n    return paged_logits({ARGS}, sizes.width)\n"},
    'cached property': classes(indexer(SET.replace("width", "_n"), more="\n    @cached_property\n    def width(self):\n        return self._n\n", before="from functools import cached_property\n")),
    'pad of a class': classes(indexer("self.width = vllm_config.odd", more="\n    pad = 256\n", out="out = torch.empty((rows, width + self.pad))[:, :width]")),
    'pad of an object': classes(indexer("self.width = vllm_config.odd\nself.pad = 256", out="out = torch.empty((rows, width + self.pad))[:, :width]")),
    'padded method': classes(indexer("self.width = vllm_config.odd", more="\n    def make(self, rows, width):\n        return torch.empty((rows, width + 256))[:, :width]\n", out="out = self.make(rows, width)")),
    'padded, and the length set elsewhere': {"ops": ops(f"width = max_model_len\n{PADDED}\n{CALL}"), "a": "def fit(config, n):\n    config.max_model_len = n\n"},
    'padded, of a draft too': {"ops": ops(f"width = max_model_len\n{PADDED}\n{CALL}"), "a": "from vllm.model import Indexer\n\n\ndef build(draft_config):\n    return Indexer(draft_config)\n"},
    'closure': {"ops": ops(f"width = max_model_len\n{OUT}\n\ndef launch():\n    {CALL}\n\nlaunch()")},
    'given a buffer': {
        "ops": f"{HEAD}\ndef launch({ARGS}, out, width):\n    assert out.shape[1] == width\n    {CALL}\n    return out\n",
        "model": f"import torch\nfrom vllm.ops import launch\n\n\nclass Indexer:\n    def __init__(self, vllm_config):\n        self.width = {LIMIT}\n\n    def score(self, {ARGS}):\n        out = torch.empty((4, self.width))\n        return launch({ARGS}, out, self.width)\n",
    },
    'given a buffer twice': {
        "ops": f"{HEAD}\ndef launch({ARGS}, out, width):\n    {CALL}\n    return out\n\n\ndef run({ARGS}, out, width):\n    return launch({ARGS}, out, width)\n",
        "model": f"import torch\nfrom vllm.ops import run\n\n\nclass Indexer:\n    def __init__(self, vllm_config):\n        self.width = {LIMIT}\n\n    def score(self, {ARGS}):\n        out = torch.empty((4, self.width))\n        return run({ARGS}, out, self.width)\n",
    },
    'walrus': {"ops": ops(f"if (width := max_model_len) > 0:\n    {OUT}\n    {CALL}")},
    'try and finally': {"ops": ops(f"width = max_model_len\ntry:\n    {OUT}\n    {CALL}\nfinally:\n    print(width)")},
    'ceil': {"ops": sized("math.ceil(max_model_len / 64) * 64", "import math\n"), "model": ODD},
    'pages': {"ops": sized("tables.shape[1] * 64"), "model": ODD},
    'rounded by a method': classes(indexer("self.width = self.up(vllm_config.odd)", more="\n    @staticmethod\n    def up(n, step=64):\n        return (n + step - 1) // step * step\n")),
    'inherited': classes(indexer(SET, more="\n\nclass Draft(Indexer):\n    def describe(self):\n        return self.width\n")),
    'super': classes(indexer(SET, more="\n\nclass Draft(Indexer):\n    def __init__(self, vllm_config):\n        super().__init__(vllm_config)\n        self.name = 'draft'\n")),
    'setattr of a stated name': classes(indexer(SET), a="def tune(it):\n    setattr(it, 'name', 7)\n"),
    'setattr of a stated name, of what calls give': classes(indexer(SET), a="def tune(it):\n    setattr(it.get(it.find(it)), 'name', 7)\n"),
    'block of the cache': {"ops": ops(f"width = max_model_len\n{OUT}\n{CALL.replace('=64', '=cache.shape[1]')}")},
    "block of the cache's config": {"ops": ops(f"width = max_model_len\n{OUT}\n{CALL.replace('=64', '=vllm_config.cache_config.block_size')}", signature="max_model_len, vllm_config=None")},
    'globals looked at': {"ops": ops() + "\n\ndef has(name):\n    return name in globals()\n"},
    'enclosing constant': {"ops": sized("max(max_model_len, WIDTH)", "WIDTH = 64\n")},
    'tuple of a helper': {"ops": ops(f"width, _ = sizes(max_model_len)\n{OUT}\n{CALL}", "def sizes(n):\n    return n, n + 1\n")},
    'guarded by types alone': {"ops": sized("size(max_model_len)", "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from vllm.odd import Odd\n\n\ndef size(n: 'Odd') -> int:\n    return n\n")},
    'two calls': {
        "ops": f"{HEAD}\ndef first({ARGS}, max_model_len):\n    width = max_model_len\n    rows = 4\n    {PADDED}\n    {CALL}\n\n\ndef second({ARGS}, max_model_len):\n    width = max_model_len\n    rows = 4\n    {OUT}\n    {CALL}\n",
        "model": "from vllm.ops import first, second\n\n\nclass Indexer:\n    def __init__(self, vllm_config):\n        self.limit = vllm_config.model_config.max_model_len\n\n"
        f"    def score(self, {ARGS}):\n        first({ARGS}, self.limit)\n        second({ARGS}, self.limit)\n",
    },
    "module's tuple": {"ops": ops(f"width = max(max_model_len, SIZES[0])\n{OUT}\n{CALL}", "SIZES = (64, 128)\n")},
    'buffers in a tuple': {
    "ops": ops(
        f"width = max_model_len\nbuffers = (torch.empty((rows, width)), lengths)\n{CALL.replace('out', 'buffers[0]')}\nout = 0"
    )
},
    'ranks': {"ops": ops(f"width = max_model_len * tables.dcp_size\n{OUT}\n{CALL}")},
    'method by name elsewhere': classes(
    BY_NAME,
    a="def run(it, kind, q):\n    return getattr(it, 'draw_' + kind)(q, q)\n",
    b=GOOD,
),
    'renamed import': {
    "ops": ops(f"width = _size(max_model_len)\n{OUT}\n{CALL}", "from vllm.sizes import size as _size\n"),
    "sizes": "def size(n):\n    return n\n",
},
}  # fmt: skip
WORDS = (*LENGTH, "--ranks", "64", "--compress-ratio", "64")


@pytest.mark.parametrize("name", UNSAFE)
def test_what_may_be_otherwise_is_not_safe(name: str, judge: Judge) -> None:
    assert frames.verdict(judge, UNSAFE[name], WORDS) != 0


@pytest.mark.parametrize("name", SAFE)
def test_what_stays_as_it_is_is_safe(name: str, judge: Judge) -> None:
    assert frames.verdict(judge, SAFE[name], WORDS) == 0
