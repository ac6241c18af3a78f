"""Whether this package is whole; asked at every start under ``AITERFIX=require``, so it imports next to nothing."""

from __future__ import annotations

import os
import stat

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - pathlib is slow

_NEEDED = (
    "faults.mend",
    "faults.verbs",
    "history.known",
    "importing.guard",
    "importing.late",
    "importing.log",
    "importing.substitute",
    "importing.watching",
    "judge.verdict",
    "source.sites",
)
"""Modules that import all that the hook may need."""

_FACTS = ("history/", "family/", "_data/patches/")
"""Folders whose data decide what is patched. A module with an error in it stops its own import; wrong data need not."""

_MOST_BYTES = 16 << 20


def damage(package: str = _PACKAGE) -> str:
    """What is wrong with the package's files, as a clause; empty where nothing was found.

    An installed one is held to its RECORD: every file to its size, and the facts to their digests, which takes some
    three milliseconds. A module that was changed in place and kept its size is found when it is imported. A package
    without RECORD, such as an editable install, is imported whole and its facts are read.
    """
    rows = _rows(package)
    if not rows:
        return _damage_in_use()
    site, own = os.path.split(package)
    facts = tuple(f"{own}/{folder}" for folder in _FACTS)
    for name, digest, size in rows:
        path = os.path.join(site, name)  # noqa: PTH118
        try:
            found = os.stat(path).st_size  # noqa: PTH116
            if found != size:
                return f"aiterfix is damaged: {name} has {found} bytes instead of {size}"
            if name.startswith(facts) and not name.endswith(".py") and _digest(_content(path)) != digest:
                return f"aiterfix is damaged: {name} does not hold what was installed"
        except OSError as error:
            return f"aiterfix is damaged: {name}: {error.strerror}"
    return ""


def _damage_in_use() -> str:
    from importlib import import_module

    for name in _NEEDED:
        import_module(f"aiterfix.{name}")
    from aiterfix.family.kernels import KNOWN_COLUMNS, known_columns
    from aiterfix.history.known import FILE, texts
    from aiterfix.importing.targets import targets

    # Each raises where its file is damaged, which then is the reason.
    targets()
    if not texts("")["texts"]:
        return f"aiterfix is damaged: {FILE} lists no release"
    digests = known_columns()
    if not digests or any(len(d) != 20 or not set(d) <= set("0123456789abcdef") for d in digests):
        return f"aiterfix is damaged: {KNOWN_COLUMNS} holds other things than digests"
    return ""


def _rows(package: str) -> list[tuple[str, str, int]]:
    """Name, digest and size of every file of the package that the RECORD beside it lists."""
    site, name = os.path.split(package)
    for entry in os.listdir(site):  # noqa: PTH208
        if entry.startswith("aiterfix-") and entry.endswith(".dist-info"):
            try:
                lines = _content(os.path.join(site, entry, "RECORD")).decode().splitlines()  # noqa: PTH118
            except (OSError, ValueError):
                continue
            parts = [line.rsplit(",", 2) for line in lines if line.startswith(f"{name}/")]
            rows = [(part[0], part[1], int(part[2])) for part in parts if len(part) == 3 and part[2].isdecimal()]
            if rows:
                return rows
    return []


def _content(path: str) -> bytes:
    """The bytes of a plain file: never waits for a FIFO or reads a device.

    Raises:
        OSError: it is none, too long, or cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
            raise OSError(0, "is no plain file of a size that it can have", path)
        return file.read(_MOST_BYTES)


def _digest(content: bytes) -> str:
    """As RECORD writes it."""
    from binascii import b2a_base64

    from aiterfix.storage.digest import sha256

    return "sha256=" + b2a_base64(sha256(content).digest(), newline=False).decode().rstrip("=").translate(_URL_SAFE)


_URL_SAFE = {ord("+"): "-", ord("/"): "_"}
