"""The engine that small cases differ from in one thing: a function around the kernel, and a class that calls it.

It is safe at the length and block size that are asked about: 10048 is a multiple of 64, and neither of 128 nor of 256.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from tests.engines import callers
from tests.engines.conftest import Judge

LENGTH = ("--max-model-len", "10048", "--block-size", "64")
LIMIT = "vllm_config.model_config.max_model_len"
ARGS = "q, cache, weights, lengths, tables"
HEAD = "import torch\nfrom aiter.ops.triton.pa_mqa_logits import deepgemm_fp8_paged_mqa_logits\n\n"
CALL = "deepgemm_fp8_paged_mqa_logits(q, cache, weights, out, lengths, tables, width, Preshuffle=True, KVBlockSize=64)"
OUT = "out = torch.empty((rows, width), dtype=torch.float32)"
SAFE = f"width = max_model_len\n{OUT}\n{CALL}"
MODEL = """\
from vllm.ops import paged_logits


class Indexer:
    def __init__(self, vllm_config):
        self.max_model_len = vllm_config.model_config.max_model_len

    def score(self, q, cache, weights, lengths, tables):
        return paged_logits(q, cache, weights, lengths, tables, self.max_model_len)
"""
METHOD = f"""\
{HEAD}
class Indexer:
    def __init__(self, vllm_config):
        self.width = vllm_config.model_config.max_model_len
        self.arguments = dict(Preshuffle=True, KVBlockSize=64)

    def make(self, rows):
        return torch.empty((rows, self.width))

    def score(self, q, cache, weights, lengths, tables, rows):
        out = self.make(rows)
        deepgemm_fp8_paged_mqa_logits(
            q, cache, weights, out, lengths, tables, self.width, Preshuffle=True, KVBlockSize=64
        )
"""


def ops(body: str = SAFE, before: str = "", signature: str = "max_model_len", decorator: str = "") -> str:
    """A module with one function that has this body."""
    start = f"{decorator}def paged_logits({ARGS}, {signature}):\n    rows = q.shape[0] * q.shape[1]\n"
    return f"{HEAD}{before}\n\n{start}{textwrap.indent(body, '    ')}\n    return out\n"


def launches(call: str, before: str = "", more: str = "") -> str:
    """A module that launches a kernel, got hold of by ways of its own, with rows of a width that nobody knows."""
    return (
        f"{before}import torch\n\n\ndef score({ARGS}, width{more}):\n    out = torch.empty((4, tables.odd))\n"
        + textwrap.indent(call, "    ")
        + "\n"
    )


def verdict(judge: Judge, files: Mapping[str, str], words: tuple[str, ...] = LENGTH, *, parses: bool = True) -> int:
    """The exit status for the pair with the engine whose modules differ in these (``__`` stands for a folder), and that
    has these files of other kinds."""
    texts = {"ops": ops(), "model": MODEL, **files}
    package = callers.write_engine(judge.site, "vllm", {})
    for module, text in texts.items():
        assert "." in module or not parses or compile(text, module, "exec")
        file = package / (module if "." in module else module.replace("__", "/", 1) + ".py")
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    status, said = judge.run("check", "--path", judge.site, "--for", "vllm", *words)
    assert "verdict on the pair" in said
    return status
