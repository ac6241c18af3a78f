"""A passed run, kept so that others can rely on it: keyed by source digest, configuration and Triton release.

Readable by the core: standard library only. A certificate is one JSON file that was written whole or not at all. One
that cannot be read, was written by another format, or does not say what its place says is not believed; the reason is
given beside the others that are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiterfix.storage import cache_directory, write_atomically

FORMAT = 1


@dataclass(frozen=True)
class Certificate:
    """One kernel in one configuration that passed.

    Attributes:
        source_sha256: digest of the kernel file.
        kernel: ``base``, ``preshuffle`` or ``preshuffle_varctx``.
        config: name of the configuration.
        heads, kv_block_size, chunk_k: the same in numbers.
        out_stride: type of the row stride it was compiled with.
        triton: release that compiled it.
        device: what executed it.
        code_sha256: digest of the code object.
        suite: ``quick`` or ``full``.
        scenarios: names of what was run and passed.
        findings: names of what was found without failing.
        overshoot_columns: 0, since it passed; kept so that a reader need not know.
        version: of this package.
        created: seconds since the epoch.
    """

    source_sha256: str
    kernel: str
    config: str
    heads: int
    kv_block_size: int
    chunk_k: int
    out_stride: str
    triton: str
    device: str
    code_sha256: str
    suite: str
    scenarios: tuple[str, ...]
    findings: tuple[str, ...]
    overshoot_columns: int
    version: str
    created: float

    @property
    def filename(self) -> str:
        """Its place below the directory of its source."""
        release = "".join(c if c.isalnum() or c in ".-" else "_" for c in self.triton)
        return f"{self.kernel}_{self.config}_{self.out_stride}_{release}.json"


@dataclass(frozen=True)
class Ignored:
    """A certificate that is not believed, and why."""

    path: Path
    reason: str


def certificate_directory() -> Path:
    """Where certificates are kept: beside the compiled kernels."""
    return cache_directory() / "certificates"


def store(certificate: Certificate, directory: Path | None = None) -> Path:
    """Keep a certificate; one for the same source, configuration and Triton is replaced, unless it says more.

    A full set is never replaced by a quick one.

    Raises:
        OSError: the directory cannot be written.
    """
    path = (directory or certificate_directory()) / certificate.source_sha256 / certificate.filename
    present = _read(path, certificate.source_sha256)
    says_more = isinstance(present, Certificate) and (present.suite, certificate.suite) == ("full", "quick")
    if says_more and isinstance(present, Certificate) and present.code_sha256 == certificate.code_sha256:
        return path
    said = {"format": FORMAT, **certificate.__dict__}
    write_atomically(path, json.dumps(said, indent=1).encode() + b"\n")
    return path


def find(source_sha256: str, directory: Path | None = None) -> tuple[tuple[Certificate, ...], tuple[Ignored, ...]]:
    """Certificates for a kernel file, newest first, and those that are not believed.

    Never raises for what it finds on disk: no directory is no certificates.
    """
    certificates: list[Certificate] = []
    ignored: list[Ignored] = []
    for path in _files((directory or certificate_directory()) / source_sha256):
        read = _read(path, source_sha256)
        if isinstance(read, Certificate):
            certificates.append(read)
        else:
            ignored.append(read)
    return tuple(sorted(certificates, key=lambda c: -c.created)), tuple(ignored)


def _files(directory: Path) -> Iterator[Path]:
    try:
        yield from sorted(path for path in directory.iterdir() if path.suffix == ".json")
    except OSError:
        return


def _read(path: Path, source_sha256: str) -> Certificate | Ignored:
    try:
        said: Any = json.loads(path.read_bytes())
    except OSError as error:
        return Ignored(path, f"cannot be read: {error}")
    except ValueError:
        return Ignored(path, "is not JSON")
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        return Ignored(path, f"is not of format {FORMAT}")
    try:
        certificate = _build(said)
    except (KeyError, TypeError) as error:
        return Ignored(path, f"lacks or misstates a field: {error}")
    if certificate.source_sha256 != source_sha256 or certificate.filename != path.name:
        return Ignored(path, "says it is for something else than its place does")
    if certificate.overshoot_columns != 0 or not certificate.scenarios:
        return Ignored(path, "records no passed run")
    return certificate


_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(
        ("source_sha256", "kernel", "config", "out_stride", "triton", "device", "code_sha256", "suite", "version"),
        (str,),
    ),
    **dict.fromkeys(("heads", "kv_block_size", "chunk_k", "overshoot_columns"), (int,)),
    **dict.fromkeys(("scenarios", "findings"), (list,)),
    "created": (int, float),
}


def _build(said: dict[str, Any]) -> Certificate:
    fields: dict[str, Any] = {}
    for name, kinds in _KINDS.items():
        value = said[name]
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise TypeError(f"{name} is {value!r}")
        if isinstance(value, list):
            if not all(isinstance(item, str) for item in value):
                raise TypeError(f"{name} holds something other than names")
            value = tuple(value)
        fields[name] = value
    return Certificate(**fields)


def now() -> float:
    """Seconds since the epoch, to stamp a certificate with."""
    return time.time()
