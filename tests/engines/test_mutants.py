"""A vLLM-like engine that is safe, and what a small change makes of it: no mutant may be called safe."""

from __future__ import annotations

import pytest

from tests.engines.conftest import Judge
from tests.engines.frames import LIMIT, verdict

OPS = """\
import importlib

import torch

from vllm.workspace import manager


def paged_module():
    return importlib.import_module("aiter.ops.triton.attention.pa_mqa_logits")


def paged_logits(q, cache, weights, lengths, tables, max_model_len, *, ratio=1):
    block = cache.shape[1]
    rows, next_n, heads, _ = q.shape
    module = paged_module()
    deepgemm_fp8_paged_mqa_logits = module.deepgemm_fp8_paged_mqa_logits
    (out,) = manager().get_simultaneous(((rows * next_n, max_model_len), torch.float32))
    deepgemm_fp8_paged_mqa_logits(
        q, cache, weights, out, lengths, tables, max_model_len,
        ChunkK=256, Preshuffle=block > 1, KVBlockSize=block, WavePerEU=2,
    )
    return out


def indexer(q, cache, weights, lengths, tables, max_model_len):
    return paged_logits(q, cache, weights, lengths, tables, max_model_len=max_model_len)
"""
OPERATORS = """\
from vllm.ops import indexer
from vllm.registry import direct_register_custom_op


def register():
    direct_register_custom_op(op_name="rocm_indexer", op_func=indexer)
"""
MODEL = """\
import torch


class Indexer(torch.nn.Module):
    def __init__(self, vllm_config):
        super().__init__()
        self.limit = vllm_config.model_config.max_model_len
        self.op = SparseOp(self.limit)


class SparseOp(torch.nn.Module):
    def __init__(self, max_model_len):
        self.max_model_len = max_model_len

    def forward(self, q, cache, weights, lengths, tables):
        return torch.ops.vllm.rocm_indexer(q, cache, weights, lengths, tables, self.max_model_len)
"""
FILES = {"ops": OPS, "operators": OPERATORS, "model": MODEL}
MUTANTS: dict[str, dict[str, tuple[str, str]]] = {
    "width plus one": {"ops": ("tables, max_model_len,\n", "tables, max_model_len + 1,\n")},
    "wider by one at the caller": {"model": ("tables, self.max_model_len)", "tables, self.max_model_len + 1)")},
    "narrower by one at the caller": {"model": ("tables, self.max_model_len)", "tables, self.max_model_len - 1)")},
    "buffer one narrower": {"ops": ("next_n, max_model_len)", "next_n, max_model_len - 1)")},
    "another buffer": {"ops": ("weights, out,", "weights, weights.scratch,")},
    "a narrower view": {"ops": ("weights, out,", "weights, out.view(-1, 7),")},
    "a view of later columns": {"ops": ("weights, out,", "weights, out[:, 1:],")},
    "every second row": {"ops": ("weights, out,", "weights, out[::2],")},
    "resized between": {
        "ops": ("    deepgemm_fp8_paged_mqa_logits(\n", "    out.resize_(1, 7)\n    deepgemm_fp8_paged_mqa_logits(\n")
    },
    "ratio": {"model": (LIMIT, f"{LIMIT} // vllm_config.ratio")},
    "ratio of four": {"model": (LIMIT, f"{LIMIT} // 4")},
    "ranks": {"model": (LIMIT, f"({LIMIT} + vllm_config.ranks - 1) // vllm_config.ranks")},
    "the draft's config": {"model": (LIMIT, "vllm_config.speculative_config.draft_model_config.max_model_len")},
    "another object's number": {"model": (LIMIT, "vllm_config.widths.max_len")},
    "changed by a property": {
        "model": (
            "    def forward",
            "    @property\n    def max_model_len(self):\n        return self.n + 1\n\n    def forward",
        )
    },
    "changed in place": {
        "model": ("    def forward", "    def grow(self):\n        self.max_model_len += 1\n\n    def forward")
    },
    "changed by a subclass": {"model": ("class SparseOp", "class Wide(Indexer):\n    limit = 7\n\n\nclass SparseOp")},
    "kept in a table": {"operators": ("def register", "TABLE = {'op': indexer}\n\n\ndef register")},
    "registered as something else": {"operators": ("op_func=indexer", "op_func=wrap(indexer)")},
    "made elsewhere too": {"model": ("class SparseOp", "def make(n):\n    return SparseOp(n.odd)\n\n\nclass SparseOp")},
    "partial": {
        "operators": (
            "def register",
            "import functools\n\nODD = functools.partial(indexer, 1)\nODD(2, 3, 4, 5, 7)\n\n\ndef register",
        )
    },
    "blocks of another size": {"ops": ("KVBlockSize=block", "KVBlockSize=block * 4")},
    "a small chunk": {"ops": ("ChunkK=256", "ChunkK=heads")},
    "decorated": {"ops": ("def indexer", "@widened\ndef indexer")},
    "name worked out": {
        "ops": ("module.deepgemm_fp8_paged_mqa_logits\n", "getattr(module, f'deepgemm_fp8_{heads}')\n")
    },
    "a class kept by its decorator": {
        "model": ("class SparseOp", "from vllm.registry import kept\n\n\n@kept\nclass SparseOp")
    },
    "a name put together": {
        "operators": (
            "def register",
            "from vllm import ops\n\ngetattr(ops, 'index' + 'er')(1, 2, 3, 4, 5, 7)\n\n\ndef register",
        )
    },
    "an environment's number": {"model": (LIMIT, "int(__import__('os').environ.get('W', 7))")},
}
ADDED = {
    "post_init": "class ModelConfig:\n    def __post_init__(self):\n        self.max_model_len = self.max_model_len + 1\n",
    "property of the configuration": "class ModelConfig:\n    @property\n    def max_model_len(self):\n        return 7\n",
    "getattr of the configuration": "class ModelConfig:\n    # max_model_len is here\n    def __getattr__(self, name):\n        return 7\n",
    "mixin": "from vllm.model import SparseOp\n\n\nclass Mixin:\n    def widen(self):\n        self.max_model_len = 10001\n\n\n"
    "class Both(Mixin, SparseOp):\n    pass\n",
    "module in an attribute": "from vllm import ops\n\n\nclass Backend:\n    def __init__(self):\n        self.ops = ops\n\n"
    "    def run(self, q, odd):\n        return self.ops.paged_logits(q, q, q, q, q, odd)\n",
    "module in a dict": "from vllm import ops\n\nMODULES = {'rocm': ops}\n\n\ndef run(q, odd):\n"
    "    return MODULES['rocm'].paged_logits(q, q, q, q, q, odd)\n",
    "getattr": "from vllm import ops\n\n\ndef run(q, odd):\n    return getattr(ops, 'paged_logits')(q, q, q, q, q, odd)\n",
    "star import": "from vllm.ops import *\n\n\ndef run(q, odd):\n    return paged_logits(q, q, q, q, q, odd)\n",
    "setattr": "def widen(op):\n    setattr(op, 'max_model_len', 10001)\n",
    "replace": "from dataclasses import replace\n\n\ndef build(c):\n    return replace(\n        c.model_config,\n        max_model_len=10001,\n    )\n",
    "assignment": "def widen(config):\n    config.model_config.max_model_len = 10001\n",
    "tuple assignment": "def widen(op):\n    op.max_model_len, op.other = 10001, 2\n",
    "loop": "def widen(op, few):\n    for op.max_model_len in few:\n        pass\n",
    "vars": "def widen(op):\n    vars(op)['max_model_len'] = 10001\n",
    "operator called": "import torch\n\n\ndef run(q, odd):\n    return torch.ops.vllm.rocm_indexer.default(q, q, q, q, q, odd)\n",
    "another kernel": "from aiter.ops.triton.gluon.pa_mqa_logits import _gluon_deepgemm_fp8_paged_mqa_logits as k\n\n\n"
    "def run(q, odd):\n    k[(1,)](q, odd)\n",
    "ragged": "from aiter.ops.triton.pa_mqa_logits import deepgemm_fp8_paged_mqa_logits_ragged_k\n\n\ndef run(q):\n"
    "    deepgemm_fp8_paged_mqa_logits_ragged_k(q)\n",
    "unjudged": "from aiter.ops.flydsl import flydsl_pa_mqa_logits_fp4\n\n\ndef run(q):\n    flydsl_pa_mqa_logits_fp4(q)\n",
    "star import of the wrapper": "from aiter.ops.triton.pa_mqa_logits import *\n\nkernels = [deepgemm_fp8_paged_mqa_logits]\n",
    "text that is run": "exec('from vllm.ops import paged_logits\\npaged_logits(1, 2, 3, 4, 5, 7)')\n",
}


@pytest.fixture(autouse=True)
def unjudged_kernels(judge: Judge) -> None:
    """The installed aiter has kernels that are not judged."""
    (judge.site / "aiter" / "ops" / "flydsl").mkdir()
    (judge.site / "aiter" / "ops" / "flydsl" / "pa_mqa_logits_fp4.py").write_text("")


def test_the_engine_itself_is_safe(judge: Judge) -> None:
    assert verdict(judge, FILES) == 0


@pytest.mark.parametrize("name", MUTANTS)
def test_no_mutant_is_safe(judge: Judge, name: str) -> None:
    files = dict(FILES)
    for file, (old, new) in MUTANTS[name].items():
        assert files[file].count(old) == 1
        files[file] = files[file].replace(old, new)
    assert verdict(judge, files) != 0


@pytest.mark.parametrize("name", ADDED)
def test_no_addition_is_safe(judge: Judge, name: str) -> None:
    assert verdict(judge, {**FILES, "odd": ADDED[name]}) != 0


@pytest.mark.parametrize(
    "width", ["round_up({}, 64)", "cdiv({}, 64) * 64", "({} + 63) // 64 * 64", "max({}, 64)", "{} - {} % 64"]
)
def test_widths_that_are_rounded_are_understood(judge: Judge, width: str) -> None:
    helpers = "def cdiv(a, b):\n    return -(a // -b)\n\n\ndef round_up(a, b):\n    return (a + b - 1) // b * b\n"
    model = "from vllm.helpers import cdiv, round_up\n" + MODEL.replace(LIMIT, width.replace("{}", LIMIT))
    assert verdict(judge, {**FILES, "helpers": helpers, "model": model}) == 0
