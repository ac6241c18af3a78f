"""Measured overshoots, kept by source digest, kernel, configuration, width and Triton release.

One JSON file each, written whole or not at all. A file that does not say what its place says is not believed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from aiterfix.storage import codec
from aiterfix.storage.believed import believed, keep
from aiterfix.storage.codec import StoredError
from aiterfix.storage.files import cache_directory
from aiterfix.storage.readers import Count

FORMAT = 1
_MOST_BYTES = 1 << 16  # a result has some 500


@dataclass(frozen=True)
class Key:
    """What a result is kept by.

    Attributes:
        source_sha256: digest of the kernel file.
        kernel: ``base``, ``preshuffle`` or ``preshuffle_varctx``, or a plain-Triton kernel.
        heads, kv_block_size, chunk_k: the configuration.
        next_n: rows of a sequence.
        max_model_len: width of a row, columns.
        triton: release that compiled it.
    """

    source_sha256: str
    kernel: str
    heads: int
    kv_block_size: int
    chunk_k: int
    next_n: int
    max_model_len: int
    triton: str

    @property
    def path(self) -> Path:
        """Its place in the cache."""
        numbers = (self.heads, self.kv_block_size, self.chunk_k, self.next_n, self.max_model_len)
        release = "".join(c if c.isalnum() or c in ".-" else "_" for c in self.triton)
        return directory(self.source_sha256) / f"{'_'.join((self.kernel, *map(str, numbers), release))}.json"


@dataclass(frozen=True)
class Measured(Key):
    """What was established for one kernel, configuration and width, for every context length up to the width.

    Attributes:
        code_sha256: digest of the code object that was run.
        columns: columns stored to at or past ``max_model_len``.
        context_length: a context length that gets furthest.
        programs: how many programs were run.
    """

    code_sha256: str
    columns: Count
    context_length: int
    programs: int


def directory(digest: str) -> Path:
    """Where the results for one kernel file are."""
    return cache_directory() / "overshoot" / digest


def store(measured: Measured) -> Path:
    """Keep a result.

    Raises:
        OSError: the cache cannot be written.
    """
    keep(measured.path, codec.encode({"format": FORMAT, **codec.plain(measured)}))
    return measured.path


def find(key: Key) -> Measured | None:
    """The result that is kept by this; None where there is none that can be believed."""
    data = believed(key.path)
    if data is None:
        return None
    try:
        said = codec.parse(data, key.path)
        if not isinstance(said, dict) or said.pop("format", None) != FORMAT:
            return None
        measured = codec.build(said, Measured, key.path)
    except StoredError:
        return None
    # Two releases may share a file name; they do not share results.
    return measured if all(getattr(measured, f.name) == getattr(key, f.name) for f in fields(Key)) else None
