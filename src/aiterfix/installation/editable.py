"""What ``.pth`` files and editable finders say about ``aiter``, read and never run.

Understood are path lines (setuptools' simple layouts and strict link trees, hatchling, flit, ``easy-install.pth``),
setuptools' finder modules (``MAPPING = {...}``), and hatchling's exact mode, which calls ``map_module(name, file)``
of the ``editables`` package. Anything else that mentions ``aiter`` is named as not understood.
"""

from __future__ import annotations

import ast
import re
from dataclasses import field
from typing import NamedTuple

from aiterfix.storage.record import record

MENTIONS_AITER = re.compile(rb"(?<![\w.])(?:amd[-_.])?aiter(?!\w)")
_NAMED_AITER = re.compile(r"(?<![a-z])aiter(?![a-z])")
_IMPORTED = re.compile(r"\bimport\s+([\w.]+(?:\s*,\s*[\w.]+)*)")
_MODULE = re.compile(r"\w+(?:\.\w+)*")


class PathFile(NamedTuple):
    """A ``.pth`` (or PEP 829 ``.start``) file taken apart."""

    paths: tuple[str, ...] = ()
    """Path lines as written; relative ones are relative to the site folder."""
    modules: tuple[str, ...] = ()
    """Modules that its lines import at interpreter start."""
    inline: bytes = b""
    """The code lines, joined."""


@record(frozen=True)
class Redirections:
    """Where an editable finder sends imports."""

    packages: dict[str, str] = field(default_factory=dict)
    """Module name to a package folder (or a module's path without suffix, or an ``__init__.py``)."""
    namespaces: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def concerns(self, name: str) -> bool:
        """Whether ``name`` or a part of it is redirected."""
        return any(key == name or key.startswith(name + ".") for key in (*self.packages, *self.namespaces))


def named_aiter(name: str) -> bool:
    """Whether a file or module name has the word: ``__editable___amd_aiter_0_1_finder``, not ``aiterfix``."""
    return _NAMED_AITER.search(name.lower()) is not None


def parse_pth(data: bytes) -> PathFile:
    """Take a ``.pth`` file apart as ``site.addpackage`` does."""
    paths: list[str] = []
    modules: list[str] = []
    code: list[bytes] = []
    for raw in data.removeprefix(b"\xef\xbb\xbf").splitlines():
        if raw.startswith(b"#") or not raw.strip():
            continue
        # File names round-trip whatever encoding the file has.
        line = raw.rstrip().decode("utf-8", "surrogateescape")
        if line.startswith(("import ", "import\t")):
            code.append(raw)
            for group in _IMPORTED.findall(line):
                modules.extend(name.strip() for name in group.split(","))
        elif "\0" not in line:
            paths.append(line)
    return PathFile(tuple(paths), tuple(modules), b"\n".join(code))


def parse_start(data: bytes) -> PathFile:
    """Take a PEP 829 ``.start`` file apart: one ``module:callable`` a line."""
    modules: list[str] = []
    for raw in data.removeprefix(b"\xef\xbb\xbf").splitlines():
        name = raw.partition(b":")[0].strip().decode("utf-8", "replace")
        if not raw.startswith(b"#") and _MODULE.fullmatch(name):
            modules.append(name)
    return PathFile(modules=tuple(modules), inline=data)


def parse_finder(data: bytes) -> Redirections | None:
    """Read the redirections out of a finder module's source. None: not a finder of a known form."""
    try:
        module = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    tables: dict[str, object] = {}
    packages: dict[str, str] = {}
    for node in module.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and target.id in ("MAPPING", "NAMESPACES") and node.value is not None:
                    tables[target.id] = _literal(node.value)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            packages.update(_map_module(node.value))
    if "MAPPING" in tables:
        mapping = tables["MAPPING"]
        if not isinstance(mapping, dict):
            return None
        for key, value in mapping.items():
            if not isinstance(key, str) or not isinstance(value, str) or "\0" in value:
                return None
            packages[key] = value
    elif not packages:
        return None
    namespaces = _namespaces(tables.get("NAMESPACES", {}))
    return None if namespaces is None else Redirections(packages, namespaces)


def _namespaces(table: object) -> dict[str, tuple[str, ...]] | None:
    if not isinstance(table, dict):
        return None
    result: dict[str, tuple[str, ...]] = {}
    for key, value in table.items():
        if not isinstance(key, str) or not isinstance(value, (list, tuple)):
            return None
        if not all(isinstance(item, str) and "\0" not in item for item in value):
            return None
        result[key] = tuple(value)
    return result


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


def _map_module(call: ast.Call) -> dict[str, str]:
    if not (isinstance(call.func, ast.Attribute) and call.func.attr == "map_module" and len(call.args) == 2):
        return {}
    name, file = (_literal(argument) for argument in call.args)
    if isinstance(name, str) and isinstance(file, str) and "\0" not in file:
        return {name: file}
    return {}
