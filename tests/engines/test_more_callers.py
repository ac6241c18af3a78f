"""Small engines, each with one thing of its own between the configuration and the kernel: 10048 columns at blocks of 64
are right, one column more or fewer, and any other buffer, are not. What is safe is mostly to be seen as safe."""

from __future__ import annotations

import textwrap

import pytest

from tests.engines.conftest import Judge
from tests.engines.frames import CALL, HEAD, METHOD, MODEL, OUT, SAFE, ops, verdict
from tests.engines.frames import LIMIT as LENGTH

BACK = textwrap.dedent(
    """
    def other(q, cache, weights, lengths, tables):
        return {}
    """
)
ROUND = "def round_up(x, to):\n    return (x + to - 1) // to * to\n\n\ndef cdiv(a, b):\n    return -(a // -b)\n"
ARGUMENTS = "(q, cache, weights, lengths, tables, {})"


def elsewhere(call: str, head: str = "from vllm.ops import paged_logits\n") -> dict[str, str]:
    """A second caller in a file of its own."""
    return {"odd": head + "\n" + BACK.format(call)}


def model(*changes: tuple[str, str], **files: str) -> dict[str, str]:
    """The safe engine with changes to its model."""
    text = MODEL
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return {"model": text, **files}


def body(text: str, before: str = "", signature: str = "max_model_len") -> dict[str, str]:
    """The safe engine with another function around the kernel."""
    return {"ops": ops(text, before, signature)}


KEPT = "self.max_model_len = "
PASSED = "tables, self.max_model_len)"
UNSAFE: dict[str, dict[str, str]] = {
    "default argument": elsewhere("paged_logits(q, cache, weights, lengths, tables)")
    | {"ops": ops(SAFE, signature="max_model_len=10001")},
    "default of another parameter": body("width = limit\n" + OUT + "\n" + CALL, signature="max_model_len, limit=10001"),
    "lambda": elsewhere("(lambda width: paged_logits" + ARGUMENTS.format("width") + ")(tables.odd)"),
    "dict of functions": elsewhere("{'rocm': paged_logits}['rocm']" + ARGUMENTS.format("tables.odd")),
    "list of functions": elsewhere("[f" + ARGUMENTS.format("7") + " for f in (paged_logits, len)]"),
    "star-args": elsewhere("paged_logits(*(q, cache, weights, lengths, tables, tables.odd))"),
    "star-star-args": elsewhere("paged_logits(q, cache, weights, lengths, tables, **tables.words)"),
    "getattr with a worked-out name": elsewhere(
        "getattr(ops, 'paged' + '_logits')" + ARGUMENTS.format("7"), "from vllm import ops\n"
    ),
    "getattr with a name": elsewhere("getattr(ops, tables.name)" + ARGUMENTS.format("7"), "from vllm import ops\n"),
    "vars of the module": elsewhere("vars(ops)['paged_logits']" + ARGUMENTS.format("7"), "from vllm import ops\n"),
    "import_module": elsewhere(
        "importlib.import_module('vllm.ops').paged_logits" + ARGUMENTS.format("tables.odd"), "import importlib\n"
    ),
    "wraps": {
        "ops": ops(SAFE, "from vllm.deco import wide\n").replace("def paged", "@wide\ndef paged"),
        "deco": "import functools\n\n\ndef wide(f):\n    @functools.wraps(f)\n    def run(*a):\n"
        "        return f(*a[:-1], a[-1] + 1)\n    return run\n",
    },
    "partial of the kernel with another block": body(
        "width = max_model_len\n" + OUT + "\n_logits(q, cache, weights, out, lengths, tables, width)",
        "import functools\n_logits = functools.partial(deepgemm_fp8_paged_mqa_logits, Preshuffle=True, KVBlockSize=256)\n",
    ),
    "partial in an attribute": {
        "ops": METHOD.replace(
            "        self.arguments", "        self.run = functools.partial(self.score, 1)\n        self.arguments"
        )
        .replace("import torch\n", "import functools\n\nimport torch\n", 1)
        .replace("tables, rows):", "tables, rows, width=10001):\n        self.width = width")
    },
    "setattr of the function": elsewhere("setattr(ops, 'paged_logits', tables.own)", "from vllm import ops\n")
    | {"ops": ops(SAFE.replace(OUT, "out = made(rows, width)"), "def made(r, w):\n    return torch.empty((r, w))\n")}
    | {"more": "from vllm import ops\n\nsetattr(ops, 'made', lambda r, w: ops.torch.empty((r, 7)))\n"},
    "custom operator": {
        "ops": ops(SAFE) + "\n\ndirect_register_custom_op('mqa', paged_logits)\n",
        "odd": "import torch\n" + BACK.format("torch.ops.vllm.mqa" + ARGUMENTS.format("tables.odd")),
    },
    "operator of a library": {
        "ops": ops(SAFE) + "\n\nlib = torch.library.Library('vllm', 'DEF')\nlib.impl('mqa', paged_logits)\n",
    },
    "decorator that registers": {
        "ops": ops(SAFE).replace("def paged", "@torch.library.custom_op('vllm::mqa', mutates_args=())\ndef paged"),
    },
    "module in an attribute": elsewhere(
        "tables.backend.paged_logits" + ARGUMENTS.format("tables.odd"),
        "def plug(t):\n    from vllm import ops\n    t.backend = ops\n",
    ),
    "module handed on": elsewhere(
        "run(ops, q, cache, weights, lengths, tables)",
        "from vllm import ops\n\n\ndef run(m, *few):\n    return m.paged_logits(*few, few[-1].odd)\n",
    ),
    "kernel's module handed on": {
        "ops": HEAD.replace(
            "from aiter.ops.triton.pa_mqa_logits import deepgemm_fp8_paged_mqa_logits",
            "from aiter.ops.triton import pa_mqa_logits",
        )
        + "\ndef score(name, *few):\n    return run(pa_mqa_logits, name)(*few)\n\n\ndef run(m, name):\n    return getattr(m, name)\n"
    },
    "kernel's module by a name worked out": {
        "ops": "import importlib\n\n\ndef run(name, *few):\n"
        "    m = importlib.import_module(f'aiter.ops.triton.attention.{name}')\n    return getattr(m, 'deep' + name)(*few)\n"
    },
    "kernel's module by its parts": {
        "ops": "import importlib\n\nNAMES = ('pa_mqa_logits',)\n\n\ndef run(*few):\n"
        "    m = importlib.import_module('aiter.ops.triton.' + NAMES[0])\n    return getattr(m, NAMES[1])(*few)\n"
    },
    "property": model((KEPT + LENGTH, "self.config = vllm_config"), (PASSED, "tables, self.wide)"))
    | {
        "model": MODEL.replace(KEPT + LENGTH, "self.n = " + LENGTH).replace(PASSED, "tables, self.wide)")
        + "\n    @property\n    def wide(self):\n        return self.n + 1\n"
    },
    "__post_init__": {
        "model": "from dataclasses import dataclass\nfrom vllm.ops import paged_logits\n\n\n@dataclass\nclass Sizes:\n"
        "    width: int\n\n    def __post_init__(self):\n        self.width = self.width + 1\n\n\n"
        "def score(vllm_config, q, cache, weights, lengths, tables):\n"
        f"    sizes = Sizes({LENGTH})\n    return paged_logits(q, cache, weights, lengths, tables, sizes.width)\n",
    },
    "__post_init__ by name": {
        "model": "from dataclasses import dataclass\nfrom vllm.ops import paged_logits\n\n\n@dataclass(frozen=True)\nclass Sizes:\n"
        "    width: int\n\n    def __post_init__(self):\n        object.__setattr__(self, 'width', self.width + 1)\n\n\n"
        "def score(vllm_config, q, cache, weights, lengths, tables):\n"
        f"    sizes = Sizes({LENGTH})\n    return paged_logits(q, cache, weights, lengths, tables, sizes.width)\n",
    },
    "mixin": model(
        odd="class Mixin:\n    @property\n    def max_model_len(self):\n        return 7\n\n    @max_model_len.setter\n    def max_model_len(self, n):\n        pass\n"
    )
    | {
        "both": "from vllm.odd import Mixin\nfrom vllm.model import Indexer\n\n\nclass Both(Mixin, Indexer):\n    pass\n"
    },
    "method of a mixin": {
        "ops": METHOD,
        "odd": "import torch\nfrom vllm.ops import Indexer\n\n\nclass Narrow:\n    def make(self, rows):\n"
        "        return torch.empty((rows, 7))\n\n\nclass Both(Narrow, Indexer):\n    pass\n",
    },
    "ratio": model((LENGTH, LENGTH + " // vllm_config.compress_ratio")),
    "ratio of three": model((LENGTH, LENGTH + " // 3")),
    "ratio rounded up": model((LENGTH, f"-(-{LENGTH} // 4)")),
    "the draft's model": model((LENGTH, "vllm_config.draft_model_config.max_model_len")),
    "the draft's by a local": model(
        (
            KEPT + LENGTH,
            "config = vllm_config.speculative_config.draft_model_config\n        " + KEPT + "config.max_model_len",
        )
    ),
    "text model": model((LENGTH, "vllm_config.model_config.hf_text_config.max_model_len")),
    "one wider": body(SAFE.replace("width = max_model_len", "width = max_model_len + 1")),
    "one narrower": body(SAFE.replace("width = max_model_len", "width = max_model_len - 1")),
    "buffer of the rows": body(SAFE.replace("(rows, width)", "(width, rows)")),
    "narrower view": body(SAFE.replace(OUT, "out = torch.empty((rows, width))[:, :-1].contiguous()")),
    "transposed": body(SAFE.replace(OUT, "out = torch.empty((width, rows)).t()")),
    "as_strided": body(SAFE.replace(OUT, OUT + "\nout = out.as_strided((rows, width), (width - 1, 1))")),
    "narrow": body(SAFE.replace(OUT, OUT + "\nout = out.narrow(1, 0, 7).contiguous()")),
    "set_ behind": body(SAFE.replace(OUT, OUT + "\nout.set_(tables.other)")),
    "swapped in a list": body(SAFE.replace(OUT, OUT + "\nboth = [out, tables.other]\nboth.reverse()\nout = both[0]")),
    "shape changed in a list": body(SAFE.replace(OUT, "shape = [rows, width]\nshape[1] = 7\nout = torch.empty(shape)")),
    "shape changed in a helper": body(
        SAFE.replace(OUT, "out = made([rows, width])"),
        "def made(shape):\n    shape[1] -= 1\n    return torch.empty(shape)\n",
    ),
    "kept and resized under another name": body(SAFE.replace(OUT, OUT + "\nsame = out\nsame.resize_(1, 7)")),
    "made by a helper that keeps it": body(
        SAFE.replace(OUT, "few = (torch.empty((rows, 7)), torch.empty((rows, width)))\nout = few[tables.one]")
    ),
    "rounded down to 32": body(SAFE.replace("width = max_model_len", "width = (max_model_len - 1) // 32 * 32")),
    "rounded up by own helper to 32": body(
        SAFE.replace("width = max_model_len", "width = round_up(max_model_len - 40, 32)"), ROUND
    ),
    "helper that lies": body(
        SAFE.replace("width = max_model_len", "width = round_up(max_model_len, 64)"),
        "def round_up(x, to):\n    return (x + to - 1) // to * to + 1\n",
    ),
    "helper defined twice": body(
        SAFE.replace("width = max_model_len", "width = round_up(max_model_len, 64)"),
        ROUND + "\n\ndef round_up(x, to):\n    return x + 1\n",
    ),
    "helper that may return early": body(
        SAFE.replace("width = max_model_len", "width = round_up(max_model_len, 64)"),
        "def round_up(x, to):\n    if FAST:\n        return x - 1\n    return (x + to - 1) // to * to\n",
    ),
    "length of a string": body(SAFE.replace("width = max_model_len", "width = len(tables)")),
    "environment": model((LENGTH, "int(os.getenv('LEN', " + LENGTH + "))")),
    "config changed by a function": model(
        odd="def grow(config):\n    config.max_model_len = config.max_model_len * 2 + 1\n"
    ),
    "config changed by a loop": model(
        odd="def grow(c):\n    for k, v in {'max_model_len': 7}.items():\n        setattr(c, k, v)\n"
    ),
    "config changed by update": model(odd="def grow(c):\n    c.__dict__.update(max_model_len=7)\n"),
    "subclass passes another": model(
        odd="from vllm.model import Indexer\nfrom vllm.ops import paged_logits\n\n\nclass Odd(Indexer):\n"
        "    def score(self, q, cache, weights, lengths, tables):\n"
        "        return paged_logits(q, cache, weights, lengths, tables, self.max_model_len - 1)\n"
    ),
    "super with another": {
        "ops": METHOD.replace("def make(self, rows)", "def make(self, rows, width)")
        .replace("self.make(rows)", "self.make(rows, width)")
        .replace("(rows, self.width)", "(rows, width)")
        .replace("tables, rows):", "tables, rows, width):")
        .replace("tables, self.width,", "tables, width,")
        + "\n    def run(self, *few):\n        return self.score(*few[:5], 4, width=self.width)\n\n\n"
        "class Odd(Indexer):\n    def go(self, q):\n        return super().score(q, q, q, q, q, 4, q.odd)\n"
    },
    "three axes": body(SAFE.replace("(rows, width)", "(rows, 2, width)")),
    "stage1 and no wrapper": {
        "ops": ops(SAFE)
        + "\n\ndef odd(q, width):\n    from aiter.ops.triton.pa_mqa_logits import deepgemm_fp8_paged_mqa_logits_ragged_k\n\n"
        "    deepgemm_fp8_paged_mqa_logits_ragged_k(q, width)\n",
    },
    "a compiled form": {
        "ops": ops(SAFE)
        + "\n\ncompiled = torch.compile(paged_logits)\n\n\ndef odd(q):\n    return compiled(q, q, q, q, q, q.odd)\n",
    },
    "the wrapper's compiled kernel": {
        "ops": ops(SAFE, "from aiter.ops.triton.pa_mqa_logits import _compile_deepgemm_fp8_paged_mqa_logits\n")
        + "\n\ndef odd(q):\n    return _compile_deepgemm_fp8_paged_mqa_logits(64)[1](q)\n",
    },
}
SAFE_ONES: dict[str, dict[str, str]] = {
    "helper rounds": body(SAFE.replace("width = max_model_len", "width = round_up(max_model_len, 64)"), ROUND),
    "helper of the package rounds": {
        "ops": ops(
            SAFE.replace("width = max_model_len", "width = round_up(max_model_len, 64)"),
            "from vllm.sizes import round_up\n",
        ),
        "sizes": ROUND,
    },
    "helper of a module of the package": {
        "ops": ops(
            SAFE.replace("width = max_model_len", "width = sizes.cdiv(max_model_len, 64) * 64"),
            "from vllm import sizes\n",
        ),
        "sizes": ROUND,
    },
    "rounded twice alike": body(
        "out = torch.empty((rows, round_up(max_model_len, 64)))\n"
        + CALL.replace("width", "round_up(max_model_len, 64)"),
        ROUND,
    ),
    "used twice": body(SAFE + "\nprint(width, out.shape)"),
    "constant padded": body("width = max_model_len\nout = torch.empty((rows, width + 256))[:, :width]\n" + CALL),
    "keywords": {
        "model": MODEL.replace(
            "q, cache, weights, lengths, tables, self.max_model_len",
            "max_model_len=self.max_model_len, tables=tables, lengths=lengths, weights=weights, cache=cache, q=q",
        ),
    },
    "wrapped": {
        "ops": ops(SAFE) + "\n\ndef outer(q, cache, weights, lengths, tables, n):\n"
        "    return paged_logits(q, cache, weights, lengths, tables, n)\n",
        "model": MODEL.replace("paged_logits", "outer"),
    },
    "all keywords to the kernel": body(
        SAFE.replace(
            "q, cache, weights, out, lengths, tables, width, Preshuffle",
            "q=q, kv_cache=cache, weights=weights, out_logits=out, context_lens=lengths, kv_indices=tables, "
            "max_model_len=width, Preshuffle",
        )
    ),
    "alias of the kernel": body(
        SAFE.replace("deepgemm_fp8_paged_mqa_logits(", "kernel("), "kernel = deepgemm_fp8_paged_mqa_logits\n"
    ),
    "renamed at import": {
        "ops": ops(SAFE.replace("deepgemm_fp8_paged_mqa_logits(", "kernel(")).replace(
            "import deepgemm_fp8_paged_mqa_logits", "import deepgemm_fp8_paged_mqa_logits as kernel"
        ),
    },
    "static method": {
        "ops": HEAD
        + "\nclass Ops:\n    @staticmethod\n    def paged_logits(q, cache, weights, lengths, tables, max_model_len):\n"
        "        rows = 4\n" + textwrap.indent(SAFE, "        ") + "\n        return out\n",
        "model": MODEL.replace("import paged_logits", "import Ops").replace("return paged", "return Ops.paged"),
    },
    "registered under its own name": {
        "ops": ops(SAFE) + "\n\ndirect_register_custom_op(op_name='paged_logits', op_func=paged_logits)\n",
        "model": "import torch\n" + MODEL.replace("return paged", "return torch.ops.vllm.paged"),
    },
    "length by a local": model(
        (KEPT + LENGTH, "config = vllm_config.model_config\n        " + KEPT + "config.max_model_len")
    ),
    "length handed through a constructor": {
        "model": MODEL.replace("vllm_config):", "max_model_len):").replace(LENGTH, "max_model_len")
        + f"\n\ndef build(vllm_config):\n    return Indexer({LENGTH})\n",
    },
    "buffer of a method": {"ops": METHOD},
    "width of the buffer": body(SAFE.replace("tables, width,", "tables, out.shape[1],")),
    "full": body(SAFE.replace(OUT, "out = torch.full((rows, width), float('-inf'))")),
    "new_zeros": body(SAFE.replace(OUT, "out = q.new_zeros((rows, width))")),
    "on two branches": body(
        "width = max_model_len\nif rows > 4:\n    out = torch.empty((rows, width))\nelse:\n    out = torch.zeros((rows, width))\n"
        + CALL
    ),
    "early return": body("if not rows:\n    return None\n" + SAFE),
    "least of the length and a multiple": body(SAFE.replace("width = max_model_len", "width = max(max_model_len, 64)")),
    "a table's blocks": body(SAFE.replace("width = max_model_len", "width = tables.shape[1] * 64")),
    "rows named by a starred shape": body(SAFE.replace("(rows, width)", "rows, width")),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe(judge: Judge, name: str) -> None:
    assert verdict(judge, UNSAFE[name]) != 0


@pytest.mark.parametrize("name", SAFE_ONES)
def test_safe(judge: Judge, name: str) -> None:
    assert verdict(judge, SAFE_ONES[name]) == 0
