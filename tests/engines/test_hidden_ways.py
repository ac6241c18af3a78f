"""Small engines that reach a function, an attribute or a module by ways that no search for its name finds. None of the
unsafe ones is called safe, or without calls."""

from __future__ import annotations

import pytest

from tests.engines import frames
from tests.engines.conftest import Judge
from tests.engines.frames import CALL, METHOD, MODEL, OUT, ops

SEVEN = "q, q, q, q, q, 7"
SIZES = "def size(n):\n    return n\n"
OTHER_SIZES = SIZES.replace("return n", "return n + 1")
SIZED = ops(f"width = size(max_model_len)\n{OUT}\n{CALL}", "from vllm.sizes import size\n")
OF_MODULE = SIZED.replace("from vllm.sizes import size", "from vllm.sub import sizes").replace("size(m", "sizes.size(m")
GO = f"def go(module, name, q):\n    return getattr(module, name)({SEVEN})\n"
GIVEN = "from vllm.go import go\n{}\n\ndef run(kind, q):\n    return go({}, 'paged_' + kind, q)\n"
KERNEL = """\
from aiter.ops.triton import pa_mqa_logits as m
import torch


def score(q, n):
    out = torch.empty((4, q.odd))
    return getattr(m, {})(q, q, q, out, q, q, n, Preshuffle=True, KVBlockSize=64)
"""
TOLD = {
    "ops": METHOD.replace("tables, rows):", "tables, rows, width):")
    .replace("self.make(rows)", "torch.empty((rows, width))")
    .replace("tables, self.width", "tables, width"),
    "model": MODEL.replace("paged_logits(", "self.indexer.score(")
    .replace("tables, self.max", "tables, 4, self.max")
    .replace("from vllm.ops import paged_logits", "from vllm.ops import Indexer as Scorer"),
}
KEPT = {"ops": METHOD, "model": ""}
SAFE = {
    "a helper": {"ops": SIZED, "sizes": SIZES},
    "a helper of a module in a folder": {"ops": OF_MODULE, "sub__sizes": SIZES, "sub____init__": ""},
    "the folder imports it": {"ops": OF_MODULE, "sub__sizes": SIZES, "sub____init__": "from vllm.sub import sizes\n"},
    "a method called with more arguments than it has": TOLD
    | {"odd": "def run(it, name, q):\n    return getattr(it, name)(q, q, q, q, q, q, q, q, q, 7)\n"},
    "a method called with arguments of other names": TOLD
    | {"odd": "def run(it, name, q):\n    return getattr(it, name)(q, q, q, q, q, q, other=7)\n"},
    "its dict copied": KEPT | {"odd": "def show(it):\n    return it.__dict__.copy()\n"},
    "a function of torch handed on": {
        "odd": "import functools\nimport torch\n\nmake = functools.partial(torch.empty, device='cuda')\n"
    },
    "another function of torch": {"odd": "import torch\n\ntorch.tensor = torch.odd\n"},
}
UNSAFE = {
    "module handed on by another": {"go": GO, "shim": "from vllm import ops\n", "odd": GIVEN.format("from vllm.shim import ops", "ops")},
    "module handed on as of another": {"go": GO, "shim": "from vllm import ops\n", "odd": GIVEN.format("import vllm.shim as z", "z.ops")},
    "module handed on by another name": {
        "go": GO,
        "shim": "from vllm import ops as kernels\n",
        "odd": GIVEN.format("from vllm.shim import kernels", "kernels"),
    },
    "every module of the package": {
        "go": f"def go(package, q):\n    for name, m in vars(package).items():\n        getattr(m, name)({SEVEN})\n",
        "odd": "import vllm\nfrom vllm.go import go\n\n\ndef run(q):\n    return go(vllm, q)\n",
    },
    "kernel by an escape": {"odd": KERNEL.format("'deepgemm\\x5ffp8_paged_mqa_logits'")},
    "kernel by two strings": {"odd": KERNEL.format("'deepgemm_fp8_pag' 'ed_mqa_logits'")},
    "function in other characters": {
        "odd": f"from vllm.ops import \uff50aged_logits as f\n\n\ndef run(q):\n    return f({SEVEN})\n"
    },
    "function in another encoding": {
        "odd": f"# coding: utf-7\nfrom vllm.ops import paged+AF8-logits as f\n\n\ndef run(q):\n    return f({SEVEN})\n"
    },
    "method by a name": TOLD | {"odd": "def run(it, name, q):\n    return getattr(it, name)(q, q, q, q, q, 4, 7)\n"},
    "method by a name, kept": TOLD
    | {
        "odd": "def run(it, kind, q, n):\n    score = getattr(it, f'score{kind}')\n"
        "    return score(q, q.view(-1, 2), q, q, q, 4, n * 3 + 1)\n"
    },
    "method by a name, some by keyword": TOLD
    | {"odd": "def run(it, name, q):\n    return getattr(it, name)(q, q, q, q, q, rows=4, width=7)\n"},
    "method by a caller of methods": TOLD
    | {"odd": "import operator\n\n\ndef run(it, name, q):\n    operator.methodcaller(name, q, q, q, q, q, 4, 7)(it)\n"},
    "attribute by two strings": KEPT | {"odd": "def run(it):\n    setattr(it, 'wid' 'th', 7)\n"},
    "attribute by an escape": KEPT | {"odd": "def run(it):\n    setattr(it, 'wid\\x74h', 7)\n"},
    "attribute of the class alone": {
        "ops": METHOD.replace("self.width", "self.__width"),
        "model": "",
        "odd": "def run(it):\n    it._Indexer__width = 7\n",
    },
    "method of the class alone": {
        "ops": METHOD.replace("self.make", "self.__make").replace("def make", "def __make"),
        "model": "",
        "odd": "def run(it, make):\n    it._Indexer__make = make\n",
    },
    "dict of the object given": KEPT
    | {"odd": "import operator\n\n\ndef run(it, name):\n    operator.setitem(it.__dict__, name, 7)\n"},
    "dict of the object kept": KEPT | {"odd": "def run(it, name):\n    held = it.__dict__\n    held[name] = 7\n"},
    "variables of the object kept": KEPT | {"odd": "def run(it, name):\n    held = vars(it)\n    held[name] = 7\n"},
    "torch in a tuple": {"odd": "import torch\n\ntorch.empty, torch.full = torch.odd, torch.odd\n"},
    "torch second in a tuple": {"odd": "import torch\n\ntorch.full, torch.empty = torch.odd, torch.odd\n"},
    "torch in a tuple in brackets": {"odd": "import torch\n\n(torch.empty, torch.full) = torch.odd\n"},
    "torch annotated": {"odd": "import torch\n\ntorch.empty: object = torch.odd\n"},
    "torch in a loop": {"odd": "import torch\n\nfor torch.empty in [torch.odd]:\n    pass\n"},
    "torch in a with": {"odd": "import torch\n\nwith torch.odd() as torch.empty:\n    pass\n"},
    "torch on lines": {"odd": "import torch\n\nsetattr(\n    torch,\n    'empty',\n    torch.odd,\n)\n"},
    "Python's own function": {
        "ops": ops(f"width = max(max_model_len, 64)\n{OUT}\n{CALL}"),
        "odd": "import builtins\n\nbuiltins.max = lambda a, b: a + 1\n",
    },
    "module replaces itself": {
        "ops": SIZED,
        "sizes": f"import sys\n\n\n{SIZES}\n\nsys.modules[__name__] = sys.modules['vllm.other']\n",
        "other": OTHER_SIZES,
    },
    "module replaced among others": {
        "ops": SIZED,
        "sizes": SIZES,
        "odd": "import sys\nfrom vllm import other\n\nsys.modules.update({'vllm.sizes': other})\n",
        "other": OTHER_SIZES,
    },
    "folder gives the name to another": {
        "ops": OF_MODULE,
        "sub__sizes": SIZES,
        "sub____init__": "from vllm import other as sizes\n",
        "other": OTHER_SIZES,
    },
    "folder is given another": {
        "ops": OF_MODULE,
        "sub__sizes": SIZES,
        "sub____init__": "",
        "odd": "import vllm.sub\n\n\nclass Sizes:\n    size = staticmethod(lambda n: n + 1)\n\n\nvllm.sub.sizes = Sizes\n",
    },
    "folder hides the module": {"ops": SIZED, "sizes": SIZES, "sizes____init__": OTHER_SIZES},
}  # fmt: skip


@pytest.mark.parametrize("name", UNSAFE)
def test_what_is_not_named_is_not_safe(name: str, judge: Judge) -> None:
    assert frames.verdict(judge, UNSAFE[name], parses="encoding" not in name) != 0


@pytest.mark.parametrize("name", SAFE)
def test_what_leads_nowhere_else_is_safe(name: str, judge: Judge) -> None:
    assert frames.verdict(judge, SAFE[name]) == 0
