"""Callers whose rows are overshot on some path: whatever else is said of them, it is never that they are safe."""

from __future__ import annotations

import textwrap

import pytest

from tests.engines.conftest import Judge
from tests.engines.frames import CALL, HEAD, METHOD, MODEL, OUT, SAFE, ops, verdict


def test_the_caller_that_they_differ_from_is_safe(judge: Judge) -> None:
    assert verdict(judge, {}) == 0
    assert verdict(judge, {"ops": METHOD, "model": ""}) == 0


REST = OUT + "\n" + CALL
MADE_FROM = "width = max_model_len\n"
LATER = """\
width = max_model_len
for table in tables:
    if table.odd:
        width = max_model_len + 1
        break
    width = max_model_len
"""
BODIES = {
    "width before a break": LATER + REST,
    "no break, no else": LATER.replace("\n    width = max_model_len\n", "\nelse:\n    width = max_model_len\n") + REST,
    "before a continue": LATER.replace("break", "continue") + REST,
    "three turns of a loop": "first = second = width = max_model_len\nfor _ in tables:\n"
    "    width = first\n    first = second\n    second = max_model_len + 1\n" + REST,
    "width before an exception": "try:\n    width = max_model_len + 1\n    tables.load()\n    width = max_model_len\n"
    "except ValueError:\n    pass\n" + REST,
    "call as an exception passes": "width = max_model_len\ntry:\n    width = max_model_len + 1\n    tables.load()\n"
    "    width = max_model_len\nfinally:\n" + textwrap.indent(REST, "    "),
    "exception suppressed": "width = max_model_len\nwith contextlib.suppress(ValueError):\n"
    "    width = max_model_len + 1\n    tables.load()\n    width = max_model_len\n" + REST,
    "name of a comprehension": MADE_FROM
    + f"outs = [{CALL.replace('out,', 'torch.empty((rows, width)),')} for width in tables.widths]\nout = None",
    "parameter of a lambda": MADE_FROM
    + f"run = lambda width, out: {CALL}\nout = torch.empty((rows, tables.odd))\nrun(tables.odd, out)",
    "lambda called later": MADE_FROM
    + OUT
    + f"\nrun = lambda: {CALL}\nwidth = max_model_len + 1\nout = torch.empty((rows, width))\nrun()",
    "nonlocal": "width = max_model_len\ndef widen():\n    nonlocal width\n    width = max_model_len + 1\nwiden()\n"
    + REST,
    "walrus in a comprehension": MADE_FROM + "[width := table.width for table in tables]\n" + REST,
    "chunks of two sizes": "chunk = 512\nif fast:\n    chunk = 64\nif fast:\n    print(1)\n"
    + SAFE.replace("Preshuffle=True, ", "ChunkK=chunk, "),
    "half a block": "width = int(tables.shape[1] * 64 * 1.5 / 2)\n" + REST,
    "int of a fraction": "width = int(64 * (max_model_len / 128))\n" + REST,
    "blocks twice the cache's": SAFE.replace("KVBlockSize=64", "KVBlockSize=cache.shape[1] * 2"),
    "blocks of a size of their own": SAFE.replace("KVBlockSize=64", "KVBlockSize=256 if fast else cache.shape[1]"),
    "positional block": SAFE.replace("Preshuffle=True, KVBlockSize=64", "True, 256"),
    "clipped by a slice": "width = max_model_len\nout = torch.empty((rows, 4096))[:, :width].contiguous()\n" + CALL,
    "padding removed by a view": "width = 1000\nout = torch.empty((rows, 1256)).view(-1, 1000)\n" + CALL,
    "padding removed by contiguous": "width = 1000\nout = torch.empty((rows, 1256))[:, :1000].contiguous()\n" + CALL,
    "like a view": "width = 1000\nout = torch.empty_like(torch.empty((rows, 1256))[:, :1000].contiguous())\n" + CALL,
    "resized": SAFE.replace("\ndeep", "\nwide = out.resize_(rows, tables.odd)\ndeep"),
    "keywords popped": "width = max_model_len\n"
    + OUT
    + "\nkeywords = dict(Preshuffle=True, KVBlockSize=64)\nold = keywords.pop('Preshuffle')\n"
    + CALL.replace("Preshuffle=True, KVBlockSize=64", "**keywords"),
    "list grown under another name": OUT.replace("width", "max_model_len")
    + "\nfew = [q, cache, weights, out, lengths, tables]\nsame = few\nsame += [max_model_len + 1]\n"
    + "deepgemm_fp8_paged_mqa_logits(*few, max_model_len, Preshuffle=True, KVBlockSize=64)",
    "two calls, the second one unsafe": SAFE + "\nwidth = width + 1\n" + REST,
    "two calls on one line": MADE_FROM
    + OUT
    + f"\nfirst = {CALL} if fast else {CALL.replace('KVBlockSize=64', 'KVBlockSize=256')}",
    "under an if at run time": MADE_FROM + "if tables.odd:\n    width = width - 1\n" + REST,
    "least of two": "width = min(max_model_len, tables.odd)\n" + REST,
    "most of two": "width = max(max_model_len, tables.odd)\n" + REST,
    "rounded up to half a block": "width = round_up(max_model_len + 1, 32)\n" + REST,
    "matched": MADE_FROM + "match tables:\n    case [width]:\n        pass\n" + REST,
    "loop's name": MADE_FROM + "for width in tables:\n    pass\n" + REST,
    "deleted and imported": MADE_FROM + "from engine.sizes import width\n" + REST,
    "star-args": "arguments = [q, cache, weights, tables.out, lengths, tables, max_model_len]\n"
    "out = None\narguments.append(True)\ndeepgemm_fp8_paged_mqa_logits(*arguments, KVBlockSize=64)",
    "kept under another key": "width = max_model_len\nout = _kept.get(q.device)\nif out is None:\n"
    "    out = torch.empty((rows, width))\n    _kept[q.device] = out\n" + CALL,
    "kept by a coarse key": "width = max_model_len\nout = _kept.get(width // 64)\nif out is None:\n"
    "    out = torch.empty((rows, width))\n    _kept[width // 64] = out\n" + CALL,
    "kept as a global": "global _buffer\nwidth = max_model_len\nif _buffer is None:\n"
    "    _buffer = torch.empty((rows, width))\nout = _buffer\n" + CALL,
    "module's keywords changed elsewhere": SAFE.replace("Preshuffle=True, KVBlockSize=64", "**KEYWORDS"),
    "caught by name": SAFE.replace("max_model_len\n", "max_model_len\ndel width\n", 1).replace(
        "del width", "[width] = tables.widths"
    ),
}
BEFORE = """\
import contextlib

_kept = {}
_buffer = None
KEYWORDS = {"Preshuffle": True, "KVBlockSize": 64}


def tune(big):
    KEYWORDS["KVBlockSize"] = 256
    KEYWORDS.pop("Preshuffle")
"""


@pytest.mark.parametrize("name", BODIES)
def test_body(judge: Judge, name: str) -> None:
    assert verdict(judge, {"ops": ops(BODIES[name], BEFORE, "max_model_len, block=64, fast=False")}) != 0


@pytest.mark.parametrize("said", ["Preshuffle=q.shape[1] > 1, ", "Preshuffle=q.flag, ", ""])
def test_either_layout_counts_where_the_source_does_not_say_which(judge: Judge, said: str) -> None:
    """The base kernel needs no padding at any block, the others at whole blocks only."""
    verdict(judge, {"ops": ops(SAFE.replace("Preshuffle=True, ", said))})
    assert judge("vllm", "--max-model-len", 10048, "--block-size", 64, status=0)["pair_verdict"] == "safe"
    words = ("vllm", "--max-model-len", 10050, "--block-size", 64)
    if said:
        assert judge(*words, status=1)["pair_verdict"] == "unsafe-until-apply"
    else:
        assert judge(*words, status=0)["pair_verdict"] == "safe"


def test_a_block_that_is_tested_is_no_block_of_one_token(judge: Judge) -> None:
    body = "if not block:\n    raise ValueError\nif block:\n    print(1)\n" + SAFE.replace("=64", "=block")
    verdict(judge, {"ops": ops(body, signature="max_model_len, block=64")})
    words = ("vllm", "--block-size", 64)
    assert judge(*words, "--max-model-len", 10050, status=1)["pair_verdict"] == "unsafe-until-apply"
    assert judge(*words, "--max-model-len", 10048, status=0)["pair_verdict"] == "safe"


ODD_CALLER = """\
import functools

from vllm.ops import paged_logits


def score(q, cache, weights, lengths, tables):
"""
PACKAGES: dict[str, dict[str, str]] = {
    "partial around the caller": {
        "odd": ODD_CALLER + "    return functools.partial(paged_logits, max_model_len=tables.odd)(q, cache)\n",
    },
    "caller handed on": {
        "odd": ODD_CALLER + "    return tables.launch(paged_logits, q, cache, weights, lengths, tables, tables.odd)\n",
    },
    "caller under another name": {
        "names": "from vllm.ops import paged_logits as scores\n",
        "odd": "from vllm.names import scores\n\n\ndef score(q, cache, weights, lengths, tables):\n"
        "    return scores(q, cache, weights, lengths, tables, tables.odd)\n",
    },
    "caller kept in a table": {
        "odd": "from vllm import ops\n\nTABLE = {'logits': ops.paged_logits}\n",
    },
    "caller at a module's own level": {
        "odd": "from vllm.ops import paged_logits\n\npaged_logits(1, 2, 3, 4, 5, 1001)\n",
    },
    "decorated": {
        "ops": ops(SAFE, "from vllm.deco import widened\n").replace("def paged", "@widened\ndef paged"),
    }
    | {"deco": "def widened(f):\n    return lambda *a: f(*a[:-1], a[-1] + 1)\n"},
    "kernel under another name": {
        "ops": ops(SAFE, "kernel = deepgemm_fp8_paged_mqa_logits\n"),
        "odd": "import torch\nfrom vllm.ops import kernel\n\n\ndef score(q, cache, weights, lengths, tables, width):\n"
        "    out = torch.empty((4, width))\n    kernel(q, cache, weights, out, lengths, tables, width, True, 64)\n",
    },
    "kernel given to another module": {
        "ops": ops(SAFE, "\ndef find():\n    return deepgemm_fp8_paged_mqa_logits\n"),
        "odd": "import torch\nfrom vllm.ops import find\n\n\ndef score(q, cache, weights, lengths, tables, width):\n"
        "    out = torch.empty((4, width))\n    find()(q, cache, weights, out, lengths, tables, width, True, 64)\n",
    },
    "closure with a width of its own": {
        "ops": HEAD
        + "\ndef make(width):\n    def run(q, cache, weights, out, lengths, tables):\n"
        + textwrap.indent(CALL, "        ")
        + "\n    return run\n\n\ndef score(q, cache, weights, lengths, tables):\n    width = 64\n"
        + "    out = torch.empty((4, width))\n    make(tables.odd)(q, cache, weights, out, lengths, tables)\n",
    },
    "one caller in the module, another elsewhere": {
        "ops": HEAD
        + "\ndef inner(q, cache, weights, out, lengths, tables, width):\n"
        + textwrap.indent(CALL, "    ")
        + "\n\n\ndef outer(q, cache, weights, lengths, tables):\n    out = torch.empty((4, 64))\n"
        + "    inner(q, cache, weights, out, lengths, tables, 64)\n",
        "odd": "import torch\nfrom vllm.ops import inner\n\n\ndef score(q, cache, weights, lengths, tables):\n"
        "    out = torch.empty((4, 65))\n    inner(q, cache, weights, out, lengths, tables, 65)\n",
    },
    "too large a caller": {
        "odd": ODD_CALLER
        + "    x = 1\n"
        + "    x = x + 1 - 1 + 1 - 1\n" * 200
        + "    return paged_logits(q, cache, weights, lengths, tables, tables.odd)\n",
    },
    "the draft's length": {
        "model": MODEL.replace("model_config", "speculative_config.draft_model_config"),
    },
    "length changed in a subclass": {
        "odd": "from vllm.model import Indexer\n\n\nclass Wide(Indexer):\n    def __init__(self, vllm_config):\n"
        "        super().__init__(vllm_config)\n        self.max_model_len = 10001\n",
    },
    "length changed in a subclass's subclass": {
        "odd": "from vllm import model\n\n\nclass Same(model.Indexer):\n    pass\n\n\nclass Wide(Same):\n"
        "    def widen(self):\n        self.max_model_len += 1\n",
    },
    "length changed from outside": {
        "odd": "def prepare(indexer):\n    indexer.max_model_len = 10001\n",
    },
    "length set by name": {
        "odd": "def prepare(indexer):\n    setattr(indexer, 'max_model_len', 10001)\n",
    },
    "length changed in place by a method": {
        "model": MODEL + "\n    def widen(self):\n        self.max_model_len += 1\n",
    },
    "length unpacked by a method": {
        "model": MODEL + "\n    def widen(self):\n        self.max_model_len, self.other = 10001, 2\n",
    },
    "method of a subclass": {
        "ops": METHOD.replace("        deep", "        out = out[:, :]\n        deep"),
        "odd": "import torch\nfrom vllm.ops import Indexer\n\n\nclass Narrow(Indexer):\n    def make(self, rows):\n"
        "        return torch.empty((rows, 7))\n",
    },
    "width changed between allocation and call": {
        "ops": METHOD.replace("        deep", "        self.grow()\n        deep")
        + "\n    def grow(self):\n        self.width = self.width + 64\n",
    },
    "keywords of the object changed": {
        "ops": METHOD.replace("Preshuffle=True, KVBlockSize=64\n", "**self.arguments\n").replace(
            "        out =",
            "        self.arguments = dict(Preshuffle=True, KVBlockSize=64)\n"
            "        self.arguments['KVBlockSize'] = 256\n        out =",
        ),
    },
    "class constant changed in a subclass": {
        "ops": METHOD.replace("self.width = vllm_config.model_config.max_model_len", "pass").replace(
            "class Indexer:", "class Indexer:\n    width = 640\n"
        ),
        "odd": "from vllm.ops import Indexer\n\n\nclass Wide(Indexer):\n    width = 641\n",
    },
    "default of a dataclass": {
        "ops": METHOD[: METHOD.index("    def __init__")].replace(
            "class Indexer:", "import dataclasses\n\n\n@dataclasses.dataclass\nclass Indexer:\n    width: int = 640"
        )
        + METHOD[METHOD.index("    def make") :],
    },
    "called through the class": {
        "ops": METHOD.replace("def make(self, rows)", "def make(self, rows, width)")
        .replace("self.make(rows)", "torch.empty((rows, width))")
        .replace("tables, rows):", "tables, length, width):\n        rows = 4")
        .replace("tables, self.width", "tables, width"),
        "odd": "from vllm.ops import Indexer\n\n\ndef score(it, q, cache, weights, lengths, tables):\n"
        "    Indexer.score(it, q, cache, weights, lengths, tables, 64, tables.odd)\n",
    },
    "one of two objects": {
        "sizes": "class Sizes:\n    def __init__(self, vllm_config):\n"
        "        self.max_model_len = vllm_config.model_config.max_model_len\n",
        "model": "from vllm.ops import paged_logits\nfrom vllm.sizes import Sizes\n\n\nclass Indexer:\n"
        "    def __init__(self, vllm_config, other):\n        self.sizes = Sizes(vllm_config) if other is None else other\n\n"
        "    def score(self, q, cache, weights, lengths, tables):\n"
        "        return paged_logits(q, cache, weights, lengths, tables, self.sizes.max_model_len)\n",
    },
}


@pytest.mark.parametrize("name", PACKAGES)
def test_package(judge: Judge, name: str) -> None:
    assert verdict(judge, PACKAGES[name]) != 0


def test_a_caller_that_does_not_parse(judge: Judge) -> None:
    assert verdict(judge, {"odd": ODD_CALLER + "    return paged_logits(\n"}, parses=False) != 0


def test_a_caller_behind_a_nul(judge: Judge) -> None:
    assert verdict(judge, {"odd": "\0\n" + ODD_CALLER}, parses=False) != 0
