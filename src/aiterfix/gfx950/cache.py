"""Compiled kernels kept by content, so that a second run starts in no time.

One file an entry, written beside its place and renamed over: a reader sees the old entry, the new one, or none. An
entry that does not check out is as good as none. Nothing here is trusted further than its digest, and the digest only
guards against torn or damaged files: the directory belongs to the user.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from aiterfix.storage import cache_directory, write_atomically

_MAGIC = b"aiterfix-code-object 1\n"


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
        try:
            data = self.path(key).read_bytes()
        except OSError:
            return None
        return decode(data)

    def store(self, key: str, kernel: CompiledKernel) -> bool:
        """Keep an entry. False where the directory cannot be written: the cache is a convenience."""
        try:
            write_atomically(self.path(key), encode(kernel))
        except OSError:
            return False
        return True


def encode(kernel: CompiledKernel) -> bytes:
    """An entry's bytes: a magic line, a line of JSON, the code object, the TTGIR."""
    ttgir = kernel.ttgir.encode()
    header = {
        "function": kernel.function,
        "shared_bytes": kernel.shared_bytes,
        "threads": kernel.threads,
        "triton": kernel.triton,
        "arguments": kernel.arguments,
        "code_bytes": len(kernel.code),
        "sha256": hashlib.sha256(kernel.code + ttgir).hexdigest(),
    }
    return _MAGIC + json.dumps(header).encode() + b"\n" + kernel.code + ttgir


def decode(data: bytes) -> CompiledKernel | None:
    """The entry, or None where the bytes are not a whole and undamaged one."""
    if not data.startswith(_MAGIC):
        return None
    line, separator, payload = data[len(_MAGIC) :].partition(b"\n")
    try:
        header = json.loads(line)
        if not separator or hashlib.sha256(payload).hexdigest() != header["sha256"]:
            return None
        size = int(header["code_bytes"])
        return CompiledKernel(
            code=payload[:size],
            ttgir=payload[size:].decode(),
            function=str(header["function"]),
            shared_bytes=int(header["shared_bytes"]),
            threads=int(header["threads"]),
            triton=str(header["triton"]),
            arguments=tuple((str(name), str(kind)) for name, kind in header["arguments"]),
        )
    except (ValueError, KeyError, TypeError):
        return None
