"""Compiled kernels kept by content, so that a second run starts in no time.

One file an entry, written beside its place and renamed over: a reader sees the old entry, the new one, or none. An
entry that does not check out is as good as none. The digest only guards against torn or damaged files; against others
guards that nobody else can write here (`aiterfix.storage.believed`).
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from aiterfix.storage import codec
from aiterfix.storage.believed import believed, keep
from aiterfix.storage.codec import StoredError
from aiterfix.storage.files import cache_directory
from aiterfix.storage.readers import Count

_MAGIC = b"aiterfix-code-object 1\n"
_LARGEST_REFUSAL = 1 << 16
"""Bytes."""


@dataclass(frozen=True)
class CompiledKernel:
    """A gfx950 code object and what a launch must know about it.

    Attributes:
        code: the ELF file.
        ttgir: Triton's GPU dialect as text; empty where it is not known (prebuilt code objects).
        function: the kernel's name.
        shared_bytes: LDS that the launch must add to the code object's own.
        threads: threads of a workgroup.
        triton: release that compiled it; empty where it is not known.
        arguments: (name, type) of the launch's arguments in order; empty where they are not known.
    """

    code: bytes = field(repr=False)
    ttgir: str = field(repr=False)
    function: str
    shared_bytes: int
    threads: int
    triton: str
    arguments: tuple[tuple[str, str], ...]

    @property
    def sha256(self) -> str:
        """Digest of the code object, hexadecimal."""
        return hashlib.sha256(self.code).hexdigest()


@dataclass(frozen=True)
class Refusal:
    """That a compiler gave no code object, and why: it does so again, and dying takes it seconds.

    Attributes:
        what: what happened.
        why: the compiler's words.
    """

    what: str
    why: str


@dataclass(frozen=True)
class _Header:
    """What an entry says of what follows: a `CompiledKernel` less its texts, how many bytes of them are code, and the
    digest of them all."""

    function: str
    shared_bytes: Count
    threads: Count
    triton: str
    arguments: tuple[tuple[str, str], ...]
    code_bytes: Count
    sha256: str


class CodeObjectCache:
    """Compiled kernels by key, under one directory.

    Args:
        directory: where entries live; made on the first write.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory if directory is not None else cache_directory() / "code"

    def path(self, key: str) -> Path:
        """Where the entry for ``key`` (hexadecimal) stands."""
        return self.directory / key[:2] / f"{key}.kernel"

    def load(self, key: str) -> CompiledKernel | None:
        """The entry, or None where there is none that checks out."""
        data = believed(self.path(key))
        return None if data is None else decode(data, self.path(key))

    def store(self, key: str, kernel: CompiledKernel) -> bool:
        """Keep an entry. False where the directory cannot be written: the cache is a convenience."""
        try:
            keep(self.path(key), encode(kernel))
        except OSError:
            return False
        return True

    def load_refusal(self, key: str) -> Refusal | None:
        """What is kept of a compilation that gave no code object, or None."""
        path = self.path(key).with_suffix(".refusal")
        data = believed(path, _LARGEST_REFUSAL)
        try:
            return None if data is None else codec.decode(data, Refusal, path)
        except StoredError:
            return None

    def store_refusal(self, key: str, refusal: Refusal) -> None:
        """Keep one, where the directory can be written."""
        with contextlib.suppress(OSError):
            keep(self.path(key).with_suffix(".refusal"), codec.encode(refusal))


def encode(kernel: CompiledKernel) -> bytes:
    """An entry's bytes: a magic line, a line of JSON, the code object, the TTGIR."""
    ttgir = kernel.ttgir.encode()
    header = _Header(
        function=kernel.function,
        shared_bytes=kernel.shared_bytes,
        threads=kernel.threads,
        triton=kernel.triton,
        arguments=kernel.arguments,
        code_bytes=len(kernel.code),
        sha256=hashlib.sha256(kernel.code + ttgir).hexdigest(),
    )
    return _MAGIC + codec.encode(header, indent=None) + kernel.code + ttgir


def decode(data: bytes, path: Path) -> CompiledKernel | None:
    """The entry, or None where the bytes are not a whole and undamaged one."""
    if not data.startswith(_MAGIC):
        return None
    line, separator, payload = data[len(_MAGIC) :].partition(b"\n")
    try:
        header = codec.decode(line, _Header, path)
        ttgir = payload[header.code_bytes :].decode()
    except (StoredError, UnicodeDecodeError):
        return None
    if not separator or hashlib.sha256(payload).hexdigest() != header.sha256:
        return None
    return CompiledKernel(
        code=payload[: header.code_bytes],
        ttgir=ttgir,
        function=header.function,
        shared_bytes=header.shared_bytes,
        threads=header.threads,
        triton=header.triton,
        arguments=header.arguments,
    )
