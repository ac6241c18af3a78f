"""The commit a checkout stands at, read from its ``.git`` without running git.

git may be missing in a production image, refuses a folder of another owner, and costs a process.
"""

from __future__ import annotations

import re
from pathlib import Path

from aiterfix.installation.view import View

_OBJECT = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_MOST_SYMBOLIC = 5  # git's own limit on symbolic references


def head_commit(checkout: Path, view: View) -> str | None:
    """The commit that HEAD of ``checkout/.git`` names; None where there is none, or it is not stored in files."""
    git = _git_folder(checkout / ".git", view)
    if git is None:
        return None
    shared = _common_folder(git, view)
    content = view.text(git / "HEAD")
    for _ in range(_MOST_SYMBOLIC):
        if content is None:
            return None
        text = content.strip()
        if _OBJECT.fullmatch(text):
            return text.decode("ascii")
        name = reference_name(text)
        if name is None:
            return None
        content = view.text(git / name) or view.text(shared / name) or _packed(shared, name, view)
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


def _packed(shared: Path, name: str, view: View) -> bytes | None:
    data = view.text(shared / "packed-refs", 64 << 20)
    return None if data is None else packed_reference(data, name)


def _git_folder(place: Path, view: View) -> Path | None:
    """``.git`` itself, or the folder that a worktree's or submodule's ``.git`` file points to."""
    if view.is_folder(place):
        return place
    data = view.text(place)
    if data is None or not data.startswith(b"gitdir:"):
        return None
    target = data[len(b"gitdir:") :].strip().decode("utf-8", "surrogateescape")
    return None if "\0" in target or not target else _place(place.parent, target, view)


def _common_folder(git: Path, view: View) -> Path:
    data = view.text(git / "commondir")
    target = (data or b"").strip().decode("utf-8", "surrogateescape")
    return _place(git, target, view) if target and "\0" not in target else git


def _place(folder: Path, target: str, view: View) -> Path:
    return view.enter(target) if target.startswith("/") else folder / target
