"""Find vLLM, SGLang and ATOM where a search for ``aiter`` has looked, without importing them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from aiterfix.installation.editable import parse_finder
from aiterfix.installation.metadata import parse_headers, parse_version_file
from aiterfix.installation.target import Discovery
from aiterfix.installation.view import View
from aiterfix.storage.record import record

CONSUMERS = ("vllm", "sglang", "atom")
_INFO = re.compile(r"(?P<name>[A-Za-z0-9_.]+?)-(?P<version>[^-]+)(?:-py[^-]*)?\.(?:dist|egg)-info", re.IGNORECASE)


@record(frozen=True)
class Found:
    """A consumer's package folder.

    Attributes:
        name: ``vllm``, ``sglang`` or ``atom``.
        version: from the metadata beside it (or beside the finder that leads to it), else from ``_version.py``.
        package: the folder.
        image_root: root of the image that it lies in.
    """

    name: str
    version: str | None
    package: Path
    image_root: Path | None


def find_consumers(discovery: Discovery, *, first_only: bool) -> tuple[Found, ...]:
    """Consumers on the import path, or in the folders, that a search went through.

    Args:
        discovery: what the search for ``aiter`` yielded; its folders are in import's order.
        first_only: whether the folders are one import path, so that the first package of a name hides others.
    """
    found: dict[str, Found] = {}
    names: set[str] = set()
    view = View(discovery.image_root)
    for folder in discovery.searched:
        try:
            entries = sorted(view.names(folder))
        except OSError:
            continue  # the search has said so
        for name, package in (*_here(folder, entries, view), *_redirected(folder, entries, view)):
            if first_only and name in names:
                continue
            names.add(name)
            version = _version(name, folder, entries, package, view)
            found.setdefault(view.real(package), Found(name, version, package, view.image_root))
    return tuple(found.values())


def _here(folder: Path, entries: Iterable[str], view: View) -> Iterable[tuple[str, Path]]:
    if folder.name in CONSUMERS and view.is_file(folder / "__init__.py"):
        yield folder.name, folder
    for name in CONSUMERS:
        if name in entries:
            place = view.settle(folder / name)
            # A checkout called `vllm` holds the package of that name; SGLang's has it below `python`.
            for package in (place, place / name, place / "python" / name):
                if view.is_file(package / "__init__.py"):
                    yield name, package
                    break
            else:
                if any(refused.path.is_relative_to(place) for refused in view.refused):
                    yield name, place  # reading it says why it cannot be read


def _redirected(folder: Path, entries: Iterable[str], view: View) -> Iterable[tuple[str, Path]]:
    """Packages that an editable install's finder leads to (path lines have been followed by the search)."""
    for entry in entries:
        if entry.startswith("__editable__") and entry.endswith("_finder.py"):
            redirections = parse_finder(view.text(folder / entry) or b"")
            for name in CONSUMERS if redirections is not None else ():
                target = redirections.packages.get(name) if redirections is not None else None
                package = view.enter(target) if target is not None else None
                if package is not None and view.is_folder(package):
                    yield name, package


def _version(name: str, folder: Path, entries: Iterable[str], package: Path, view: View) -> str | None:
    for entry in entries:
        match = _INFO.fullmatch(entry)
        if match is not None and match["name"].lower().replace("_", "-") == name:
            inner = "METADATA" if entry.endswith(".dist-info") else "PKG-INFO"
            return parse_headers(view.text(folder / entry / inner) or b"")[1] or match["version"]
    for file in ("_version.py", "version.py"):
        stated = parse_version_file(view.text(package / file) or b"").version
        if stated:
            return stated
    return None
