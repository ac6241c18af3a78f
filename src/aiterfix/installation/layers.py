"""Layers of an image into one tree: each over those below it, as a container's runtime stacks them."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from typing import NamedTuple

from aiterfix.installation.streams import ArchiveError, Budget, Measured, Part, Unpacked, compression, shown
from aiterfix.installation.tar import Kind, TarEntry, tar_entries
from aiterfix.installation.tree import MOST_PATH, File, Folder, Link, Node, Special, folder_at, pieces_of, put
from aiterfix.installation.view import MOST_BYTES

_WHITEOUT, _OPAQUE, _META = ".wh.", ".wh..wh..opq", ".wh..wh."
_KEPT = 192 << 20
"""Bytes of contents that are held at a time, of all compressed layers; `aiter` and an engine have some 60 MB."""
_BATCH = 64 << 20  # bytes that one more reading of a layer brings
_MOST_READINGS = 24  # of one compressed layer
_SPECIAL = {Kind.FIFO: stat.S_IFIFO, Kind.DEVICE: stat.S_IFCHR, Kind.BLOCK_DEVICE: stat.S_IFBLK}
_PACKAGES = frozenset({"aiter", "vllm", "sglang", "atom"})
_METADATA = re.compile(r"(?:amd[-_.]+aiter|aiter|vllm|sglang|atom|amd_atom)[^/]*\.(?:dist|egg)-info", re.IGNORECASE)
_POINTERS = (".pth", ".start", ".egg-link")


class Digest(NamedTuple):
    """What is stated of a blob: ``sha256`` or ``sha512``, and the digest in hexadecimal."""

    algorithm: str
    value: str


class Kept:
    """Contents of files of compressed layers, the oldest given up first."""

    def __init__(self, most: int = _KEPT) -> None:
        self._most = most
        self._length = 0
        self._data: dict[tuple[int, int], bytes] = {}

    def room(self, length: int) -> bool:
        """Whether nothing has to be given up for so many bytes."""
        return self._length + length <= self._most

    def get(self, layer: int, at: int) -> bytes | None:
        """What is held of a file."""
        return self._data.get((layer, at))

    def keep(self, layer: int, at: int, data: bytes) -> None:
        """Hold it."""
        if (layer, at) in self._data:
            return
        self._data[layer, at] = data
        self._length += len(data)
        while self._length > self._most and len(self._data) > 1:
            self._length -= len(self._data.pop(next(iter(self._data))))


class Layer:
    """Contents of the files of one layer. Of one that is not compressed they are read where they stand; a compressed
    one is decompressed again for what was not kept when it passed by."""

    def __init__(self, number: int, part: Part, name: str, kept: Kept) -> None:
        self.number = number
        self.compressed = bool(compression(part))
        self._part = part
        self._name = name
        self._kept = kept
        self._readings = 0

    def read(self, file: File, most: int, beside: Iterator[File]) -> bytes:
        """A file's bytes; see `tree.Contents`."""
        if not file.size:
            return b""
        if not self.compressed:
            return self._part.held.read(self._part.start + file.at, file.size)
        data = self._kept.get(self.number, file.at)
        return data if data is not None else self._again(file, beside)

    def _again(self, file: File, beside: Iterator[File]) -> bytes:
        self._readings += 1
        if self._readings > _MOST_READINGS:
            raise ArchiveError("", f"not read: {self._name} was decompressed {_MOST_READINGS} times for others")
        wanted, length = {file.at: file.size}, file.size
        for other in beside:
            if other.source is self and other.size <= MOST_BYTES and length + other.size <= _BATCH:
                length += 0 if other.at in wanted else other.size
                wanted[other.at] = other.size
        found = b""
        stream = Unpacked(self._part.again(), self._name)
        for at, size in sorted(wanted.items()):
            stream.skip(at - stream.position)
            data = stream.read(size)
            if at == file.at:
                found = data
            self._kept.keep(self.number, at, data)
        return found

    def passing(self, file: File, pieces: list[str], stream: Unpacked) -> None:
        """Keep a file that is likely to be asked for, while it passes by."""
        if self.compressed and file.size <= MOST_BYTES and _likely(pieces) and self._kept.room(file.size):
            self._kept.keep(self.number, file.at, stream.read(file.size))


def _likely(pieces: list[str]) -> bool:
    name = pieces[-1]
    if name.endswith(".py"):
        named = pieces[-2:] == ["triton", "__init__.py"] or name.startswith("__editable__")
        return named or not _PACKAGES.isdisjoint(pieces[:-1])
    return (
        name.endswith(_POINTERS)
        or name == "pyvenv.cfg"
        or (len(pieces) > 1 and _METADATA.fullmatch(pieces[-2]) is not None)
    )


def read_layer(
    number: int,
    part: Part,
    name: str,
    budget: Budget,
    kept: Kept,
    blob: Digest | None,
    content: Digest | None,
    *,
    whiteouts: bool = True,
) -> Folder:
    """A layer as a tree of its own.

    Args:
        number: its place among the layers.
        blob: what is stated of it as it stands.
        content: what is stated of it decompressed.
        whiteouts: whether names that begin with ``.wh.`` take others away.

    Raises:
        ArchiveError: it is damaged, hostile, or not what is stated of it.
    """
    layer = Layer(number, part, name, kept)
    measured = Measured(part, blob.algorithm) if blob is not None else part.again()
    stream = Unpacked(measured, name, budget, content.algorithm if content is not None else None)
    top = Folder(stated=True)
    try:
        for entry in tar_entries(stream, budget):
            _add(top, entry, layer, stream, whiteouts=whiteouts)
    except ArchiveError as error:
        raise ArchiveError(name, str(error.strerror)) from error
    if content is not None and stream.digest() != content.value:
        raise ArchiveError(name, f"is not what the image states: its contents have not the {content.algorithm} digest")
    if isinstance(measured, Measured) and blob is not None and measured.digest() != blob.value:
        raise ArchiveError(name, f"is not what the image states: it has not the {blob.algorithm} digest")
    return top


def _add(top: Folder, entry: TarEntry, layer: Layer, stream: Unpacked, *, whiteouts: bool) -> None:
    pieces = pieces_of(entry.name)
    if whiteouts and any(piece.startswith(_WHITEOUT) for piece in pieces):
        _take_away(top, pieces, entry)
        return
    node: Node
    if entry.kind is Kind.FOLDER:
        node = Folder(entry.mtime, stated=True)
    elif entry.kind is Kind.LINK:
        if "\0" in entry.target or not 0 < len(entry.target) <= MOST_PATH:
            raise ArchiveError(entry.name, "a link without a target, with a NUL in it, or with one too long")
        node = Link(entry.target, entry.mtime)
    elif entry.kind is Kind.HARD_LINK:
        node = _linked(top, entry)
    elif entry.kind in _SPECIAL:
        node = Special(_SPECIAL[entry.kind] | 0o644, entry.mtime)
    else:
        node = File(layer if entry.kind is Kind.FILE else None, entry.at, entry.size, entry.mtime)
    put(top, pieces, node, entry.name)
    if isinstance(node, File) and entry.kind is Kind.FILE:
        layer.passing(node, pieces, stream)


def _linked(top: Folder, entry: TarEntry) -> Node:
    """What a hard link is another name of: an earlier entry of the same layer."""
    pieces = pieces_of(entry.target)
    here: Node | None = top
    for piece in pieces:
        here = here.children.get(piece) if isinstance(here, Folder) else None
    if here is None or isinstance(here, Folder):
        what = f"a hard link to {shown(entry.target)}"
        raise ArchiveError(entry.name, f"{what}, which is no file that stands before it in its own layer")
    return here


def _take_away(top: Folder, pieces: list[str], entry: TarEntry) -> None:
    name = pieces[-1]
    if any(piece.startswith(_WHITEOUT) for piece in pieces[:-1]) or entry.kind is Kind.FOLDER:
        raise ArchiveError(entry.name, f"a folder that is called as if it took another away ({_WHITEOUT})")
    if name.startswith(_META) and name != _OPAQUE:
        return  # notes of AUFS
    hidden = name[len(_WHITEOUT) :]
    if name != _OPAQUE and hidden in ("", ".", ".."):
        raise ArchiveError(entry.name, "takes away something that has no name")
    home = folder_at(top, pieces[:-1], entry.name)
    if name == _OPAQUE:
        home.opaque = True
    else:
        home.gone = home.gone or set()
        home.gone.add(hidden)


def stack(below: Folder, above: Folder, name: str, way: str = "") -> None:
    """Put a layer over what is below it.

    Args:
        below: the tree so far; it is changed.
        way: where in the tree both stand.

    Raises:
        ArchiveError: the layer has files in a folder that is a link below: tools differ in where they go.
    """
    if above.opaque:
        below.children.clear()
    for hidden in above.gone or ():
        below.children.pop(hidden, None)
    if above.stated:
        below.mtime = above.mtime
    for child, node in above.children.items():
        known = below.children.get(child)
        if isinstance(node, Folder) and isinstance(known, Folder):
            stack(known, node, name, f"{way}{child}/")
        elif isinstance(node, Folder) and known is not None and not node.stated:
            what = "a link" if isinstance(known, Link) else "no folder"
            raise ArchiveError(
                name, f"{shown(way + child)}: has files of this layer below it, and is {what} in another"
            )
        else:
            below.children[child] = node
