"""Packages named like engines, with callers of our own in the shapes that real ones have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

OPERATOR = """
    from {name}.ops import paged_logits


    class Indexer:
        def __init__(self, vllm_config):
            self.max_model_len = vllm_config.model_config.max_model_len

        def score(self, q, cache, weights, lengths, tables):
            return paged_logits(q, cache, weights, lengths, tables, self.max_model_len)
"""

WORKSPACE = """
    import torch

    from vllm.workspace import manager


    def wrapper():
        import aiter.ops.triton.attention.pa_mqa_logits as found
        return found


    def paged_logits(q, cache, weights, lengths, tables, max_model_len):
        block = cache.shape[1]
        rows, next_n, heads, _ = q.shape
        (out,) = manager().get_simultaneous(((rows * next_n, max_model_len), torch.float32))
        wrapper().deepgemm_fp8_paged_mqa_logits(
            q, cache, weights, out, lengths, tables, max_model_len,
            ChunkK=256, Preshuffle=block > 1, KVBlockSize=block, WavePerEU=2,
        )
        return out
"""

PADDED = """
    import torch
    from aiter.ops.triton.pa_mqa_logits import deepgemm_fp8_paged_mqa_logits

    PADDING = {padding}


    def _get_paged_logits_buffer(rows, columns, device):
        return torch.empty((rows, columns + PADDING), dtype=torch.float32, device=device)[:rows, :columns]


    def paged_logits(q, cache, weights, lengths, tables, max_model_len):
        rows, next_n, heads, _ = q.shape
        out = _get_paged_logits_buffer(rows * next_n, max_model_len, q.device)
        deepgemm_fp8_paged_mqa_logits(
            q, cache, weights, out, lengths, tables, max_model_len, KVBlockSize={block}, Preshuffle=True
        )
        return out
"""

BLOCKS = """
    import torch
    from aiter.ops.triton.attention.pa_mqa_logits import deepgemm_fp8_paged_mqa_logits


    def paged_logits(q, cache, weights, lengths, tables, max_seq_len, page_size):
        rows = q.shape[0] * q.shape[1]
        out = torch.empty((rows, max_seq_len), dtype=torch.float32, device=q.device)
        deepgemm_fp8_paged_mqa_logits(
            q, cache, weights, out, lengths, tables, max_seq_len, Preshuffle=page_size > 1, KVBlockSize=page_size
        )
        return out
"""

BLOCKS_CALLER = """
    from sglang.ops import paged_logits


    class Indexer:
        def score(self, q, cache, weights, lengths, metadata, pool):
            page_size = pool.page_size
            tables = metadata.block_tables
            max_seq_len = tables.shape[1] * page_size
            return paged_logits(q, cache, weights, lengths, tables, max_seq_len, page_size)
"""

TWO_PAGES = """
    from sglang.ops import paged_logits


    def score(q, cache, weights, lengths, metadata, plain):
        if plain:
            tables = metadata.tokens
            return paged_logits(q, cache, weights, lengths, tables, tables.shape[1], 1)
        tables = metadata.blocks
        return paged_logits(q, cache, weights, lengths, tables, tables.shape[1] * 64, 64)
"""

METADATA = """
    from dataclasses import dataclass


    @dataclass
    class Pages:
        page_size: int
        table: object

        def __post_init__(self):
            assert self.page_size == 256, "the system has one page size"

        @property
        def indexed(self):
            return self.page_size // 4

        @property
        def longest(self):
            return self.table.shape[1] * self.indexed
"""

METADATA_CALLER = """
    from sglang.metadata import Pages
    from sglang.ops import paged_logits


    class Backend:
        def score(self, q, cache, weights, lengths):
            pages = self.forward_metadata.pages
            assert isinstance(pages, Pages)
            return paged_logits(q, cache, weights, lengths, pages.table, pages.longest, 64)
"""


def dedent(text: str) -> str:
    """Without the indentation that it has above."""
    return "\n".join(line[4:] for line in text.splitlines()) + "\n"


def write_engine(site: Path, name: str, files: Mapping[str, str], version: str = "1.2.3") -> Path:
    """Install a package of that name; texts are as above."""
    package = site / name
    for relative, text in {"__init__.py": "", **files}.items():
        path = package / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    return package


def workspace(site: Path) -> Path:
    """Rows of exactly ``max_model_len`` columns, as in vLLM 0.33.0."""
    return write_engine(site, "vllm", {"ops.py": WORKSPACE, "model.py": OPERATOR.format(name="vllm")})


def padded(site: Path, padding: int = 256, block: int = 64) -> Path:
    """A buffer with padding columns, and a view of it, as in the images that carry the patch."""
    ops = PADDED.format(padding=padding, block=block)
    return write_engine(site, "vllm", {"ops.py": ops, "model.py": OPERATOR.format(name="vllm")})


def blocks(site: Path, caller: str = BLOCKS_CALLER) -> Path:
    """Rows of whole blocks, as in SGLang."""
    return write_engine(site, "sglang", {"ops.py": BLOCKS, "model.py": caller})


def metadata(site: Path, caller: str = METADATA_CALLER, pages: str = METADATA) -> Path:
    """Rows as wide as a property of an object says, whose class the caller asserts."""
    return write_engine(site, "sglang", {"ops.py": BLOCKS, "metadata.py": pages, "model.py": caller})
