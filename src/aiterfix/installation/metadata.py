"""What metadata says about a package: distribution, version, commit.

``importlib.metadata`` would do, at 15 to 30 ms for the import alone (it pulls ``email``, ``csv`` and ``zipfile``);
two header lines of ``METADATA`` and one JSON file that is usually absent are all that is needed.
Every parser takes bytes and answers None where they mean nothing: a broken file is no error here.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

from aiterfix.installation.view import View

_MOST_BYTES = 8 << 20  # of METADATA, for long descriptions
_MOST_BYTES_OF_RECORD = 64 << 20
_INFO_NAME = re.compile(
    r"(?P<name>amd[-_.]+aiter|aiter)(?:-(?P<version>[^-]+)(?:-py.*)?)?\.(?P<form>dist|egg)-info",
    re.IGNORECASE,
)
_LOCAL_COMMIT = re.compile(r"(?:^|[+.])g([0-9a-f]{7,64})(?:\.|$)")
_COMMIT = re.compile(r"g?([0-9a-f]{7,64})")


class Metadata(NamedTuple):
    """One ``.dist-info`` folder, ``.egg-info`` folder or file, or ``EGG-INFO`` of AMD's or the unrelated ``aiter``."""

    path: Path
    name: str
    version: str | None
    dist_info: bool

    @property
    def amd(self) -> bool:
        """Whether the name is AMD's (the contents of the package decide, not this)."""
        return normalised(self.name) == "amd-aiter"


class Origin(NamedTuple):
    """PEP 610: where an installed distribution came from."""

    commit: str | None = None
    editable: bool = False
    folder: str | None = None
    """Path of a ``file:`` URL."""


class VersionFile(NamedTuple):
    """What a generated ``_version.py`` states."""

    version: str | None = None
    commit: str | None = None


def normalised(name: str) -> str:
    """A distribution name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def is_metadata_name(name: str) -> bool:
    """Whether a file or folder name is that of metadata of ``amd-aiter`` or ``aiter``."""
    return _INFO_NAME.fullmatch(name) is not None


def read_metadata(path: Path, view: View) -> Metadata | None:
    """Metadata at ``path``; name and version fall back to those in its file name. None: another distribution's."""
    match = _INFO_NAME.fullmatch(path.name)
    dist_info = path.name.lower().endswith(".dist-info")
    name, version = parse_headers(_header_bytes(path, view, dist_info=dist_info))
    if match is not None:
        name = name or match["name"].replace("_", "-")
        version = version or match["version"]
    if name is None or normalised(name) not in ("amd-aiter", "aiter"):
        return None
    return Metadata(path, name, version, dist_info)


def _header_bytes(path: Path, view: View, *, dist_info: bool) -> bytes:
    if dist_info or view.is_folder(path):
        path = path / ("METADATA" if dist_info else "PKG-INFO")
    return view.text(path, _MOST_BYTES) or b""


def parse_headers(data: bytes) -> tuple[str | None, str | None]:
    """``Name`` and ``Version`` of a METADATA or PKG-INFO file."""
    found: dict[bytes, str] = {}
    for line in data.splitlines():
        if not line.strip():
            break  # the description follows: it may quote anything
        key, colon, value = line.partition(b":")
        if colon and line[:1] not in b" \t":
            text = value.strip().decode("utf-8", "replace")
            if text:
                found.setdefault(key.lower(), text)
    return found.get(b"name"), found.get(b"version")


def owns_package(metadata: Metadata, view: View, package: str = "aiter") -> bool:
    """Whether the distribution installed the package folder beside its metadata.

    RECORD decides where there is one (an editable install records a ``.pth`` file, no package). Installers may
    leave RECORD out (Debian, conda): then PEP 610's ``editable`` mark, and otherwise the place, are all there is.
    """
    if not metadata.dist_info:
        return True
    record = view.text(metadata.path / "RECORD", _MOST_BYTES_OF_RECORD)
    if record:
        return re.search(rb'(?m)^"?(?:\./)?' + re.escape(package.encode()) + rb"/[^\r\n]", record) is not None
    return not read_origin(metadata, view).editable


def read_origin(metadata: Metadata, view: View) -> Origin:
    """PEP 610 of a distribution."""
    if not metadata.dist_info:
        return Origin()
    data = view.text(metadata.path / "direct_url.json")
    return Origin() if data is None else parse_direct_url(data)


def parse_direct_url(data: bytes) -> Origin:
    """Contents of ``direct_url.json``."""
    import json  # only distributions that were installed from a URL or folder have the file

    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        return Origin()
    if not isinstance(record, dict):
        return Origin()
    vcs, folder, url = record.get("vcs_info"), record.get("dir_info"), record.get("url")
    commit = vcs.get("commit_id") if isinstance(vcs, dict) else None
    editable = isinstance(folder, dict) and folder.get("editable") is True
    place = None
    if isinstance(url, str) and url.startswith("file://"):
        from urllib.parse import unquote

        place = unquote("/" + url[len("file://") :].partition("/")[2])
    return Origin(commit_in(commit) if isinstance(commit, str) else None, editable, place)


def commit_in(text: str) -> str | None:
    """A hexadecimal commit, with or without git-describe's ``g``."""
    match = _COMMIT.fullmatch(text.strip().lower())
    return match[1] if match else None


def commit_of_version(version: str) -> str | None:
    """The commit in a local version label such as ``0.1.20.dev3+g1234abcd.d20260101``."""
    match = _LOCAL_COMMIT.search(version.lower())
    return match[1] if match else None


def parse_version_file(data: bytes) -> VersionFile:
    """Constants that a ``_version.py`` assigns, read without running it."""
    try:
        module = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return VersionFile()
    constants: dict[str, str] = {}
    for node in module.body:
        targets: list[ast.expr]
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value = [node.target], node.value
        else:
            continue
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            for target in targets:
                if isinstance(target, ast.Name):
                    constants[target.id] = value.value
    version = constants.get("__version__") or constants.get("version")
    stated = constants.get("__commit_id__") or constants.get("commit_id")
    commit = (commit_in(stated) if stated else None) or (commit_of_version(version) if version else None)
    return VersionFile(version or None, commit)
