"""Small engines as refactorings leave them: none of the unsafe ones is called safe, the safe ones are seen as safe."""

from __future__ import annotations

import textwrap

import pytest

from tests.engines import frames
from tests.engines.conftest import Judge
from tests.engines.frames import CALL, METHOD, MODEL, OUT, ops


def body(text: str, before: str = "") -> dict[str, str]:
    """An engine whose function around the kernel has this body."""
    return {"ops": ops(text, before)}


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


UNSAFE: dict[str, dict[str, str]] = {
    "a cached property": {
        "model": model(
            more="\n@cached_property\ndef width(self):\n    return self.max_model_len + 1\n",
            arg="self.width",
            before="from functools import cached_property\n",
        )
    },
    "a cached helper": body(
        f"width = width_of(max_model_len)\n{OUT}\n{CALL}",
        "from functools import lru_cache\n\n@lru_cache\ndef width_of(n):\n    return n + 8\n",
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
    "an environment's module": body(f"width = envs.VLLM_W or max_model_len\n{OUT}\n{CALL}", "from vllm import envs\n")
    | {"envs": "import os\n\nVLLM_W = int(os.getenv('VLLM_W', '0'))\n"},
    "length validated": {
        "config": "from pydantic import field_validator\n\n\nclass ModelConfig:\n    max_model_len: int\n\n    @field_validator('max_model_len')\n    def check(cls, v):\n        return v + 1\n"
    },
    "rounded up to 63": body(f"width = math.ceil(max_model_len / 63) * 63\n{OUT}\n{CALL}", "import math\n"),
    "bits cleared": body(f"width = (max_model_len + 31) & ~31\nwidth = width | 1\n{OUT}\n{CALL}"),
    "bits turned": body(f"width = max_model_len ^ 1\n{OUT}\n{CALL}"),
    "least of the length and what is on the device": body(
        f"width = min(max_model_len, int(lengths.max()))\n{OUT}\n{CALL}"
    ),
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
    "a helper replaced on a condition": body(
        f"width = round_up(max_model_len, 64)\n{OUT}\n{CALL}",
        "def round_up(a, b):\n    return (a + b - 1) // b * b\n\nif torch.version.hip:\n    from vllm.fast import round_up\n",
    )
    | {"fast": "def round_up(a, b):\n    return a + 1\n"},
    "imports for types alone": body(
        f"width = size(max_model_len)\n{OUT}\n{CALL}",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from vllm.a import size\nelse:\n    from vllm.b import size\n",
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
    "a mask that is none": body(f"width = max_model_len & ~62\n{OUT}\n{CALL}"),
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
}
SAFE: dict[str, dict[str, str]] = {
    "keywords of a dict": body(
        f"width = max_model_len\n{OUT}\nkeys = dict(Preshuffle=True, KVBlockSize=64)\n"
        + CALL.replace("Preshuffle=True, KVBlockSize=64", "**keys")
    ),
    "keywords of a dict by strings": body(
        f"width = max_model_len\n{OUT}\nkeys = {{'Preshuffle': True, 'KVBlockSize': 64}}\n"
        + CALL.replace("Preshuffle=True, KVBlockSize=64", "**keys")
    ),
    "width made where it is used": body(f"out = torch.empty((rows, (width := max_model_len)))\n{CALL}"),
    "bits cleared": body(f"width = (max_model_len + 63) & ~63\n{OUT}\n{CALL}"),
    "buffer made where none is given": {
        "ops": ops(f"width = max_model_len\nif out is None:\n    {OUT}\n{CALL}", signature="max_model_len, out=None")
    },
    "length by getattr": {
        "model": model(init="self.max_model_len = getattr(vllm_config.model_config, 'max_model_len')")
    },
    "divided with rest": body(f"blocks, rest = divmod(max_model_len + 63, 64)\nwidth = blocks * 64\n{OUT}\n{CALL}"),
    "a helper of two": body(
        f"width, extra = sizes(max_model_len)\n{OUT}\n{CALL}", "def sizes(n):\n    return n, n + 1\n"
    ),
    "a cached property": {
        "model": model(
            more="\n@cached_property\ndef width(self):\n    return self.max_model_len\n",
            arg="self.width",
            before="from functools import cached_property\n",
        )
    },
    "a cached helper": body(
        f"width = width_of(max_model_len)\n{OUT}\n{CALL}",
        "from functools import lru_cache\n\n@lru_cache\ndef width_of(n):\n    return (n + 63) // 64 * 64\n",
    ),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe(judge: Judge, name: str) -> None:
    assert frames.verdict(judge, UNSAFE[name]) != 0


@pytest.mark.parametrize("name", SAFE)
def test_safe(judge: Judge, name: str) -> None:
    assert frames.verdict(judge, SAFE[name]) == 0
