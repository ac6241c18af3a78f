"""The commit a checkout stands at, read from its ``.git`` without running git.

git may be missing in a production image, refuses a folder of another owner, and costs a process.
"""

from __future__ import annotations

import re
from pathlib import Path

from aiterfix.installation.metadata import read_bytes

_OBJECT = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_MOST_SYMBOLIC = 5  # git's own limit on symbolic references


def head_commit(checkout: Path) -> str | None:
    """The commit that HEAD of ``checkout/.git`` names; None where there is none, or it is not stored in files."""
    git = _git_folder(checkout / ".git")
    if git is None:
        return None
    shared = _common_folder(git)
    content = read_bytes(git / "HEAD")
    for _ in range(_MOST_SYMBOLIC):
        if content is None:
            return None
        text = content.strip()
        if _OBJECT.fullmatch(text):
            return text.decode("ascii")
        name = reference_name(text)
        if name is None:
            return None
        content = read_bytes(git / name) or read_bytes(shared / name) or _packed(shared, name)
    return None


def reference_name(text: bytes) -> str | None:
    """``refs/heads/main`` of ``ref: refs/heads/main``; None for anything else or a name that leaves the folder."""
    if not text.startswith(b"ref:"):
        return None
    name = text[4:].strip().decode("utf-8", "surrogateescape")
    if not name.startswith("refs/") or ".." in name.split("/") or "\0" in name:
        return None
    return name


def packed_reference(data: bytes, name: str) -> bytes | None:
    """The object that ``packed-refs`` gives for a reference."""
    wanted = name.encode("utf-8", "surrogateescape")
    for line in data.splitlines():
        if line[:1] in (b"#", b"^"):
            continue
        value, _, key = line.partition(b" ")
        if key.strip() == wanted and _OBJECT.fullmatch(value):
            return value
    return None


def _packed(shared: Path, name: str) -> bytes | None:
    data = read_bytes(shared / "packed-refs", most=64 << 20)
    return None if data is None else packed_reference(data, name)


def _git_folder(place: Path) -> Path | None:
    """``.git`` itself, or the folder that a worktree's or submodule's ``.git`` file points to."""
    try:
        if place.is_dir():
            return place
    except OSError:
        return None
    data = read_bytes(place)
    if data is None or not data.startswith(b"gitdir:"):
        return None
    target = data[len(b"gitdir:") :].strip().decode("utf-8", "surrogateescape")
    return None if "\0" in target or not target else place.parent / target


def _common_folder(git: Path) -> Path:
    data = read_bytes(git / "commondir")
    target = (data or b"").strip().decode("utf-8", "surrogateescape")
    return git / target if target and "\0" not in target else git
