"""Entries of a tar archive as it streams by, strictly: what two unpacking tools may take for two things is refused.

``tarfile`` stops without a word at a damaged header, and reads headers of any length into memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from aiterfix.installation.streams import ArchiveError, Budget, Unpacked

BLOCK = 512
_MOST_HEADER = 1 << 20  # bytes of a long name or of a pax header; ACLs and capabilities have some hundred
_NOTHING = bytes(BLOCK)
_PAX_USED = ("path", "linkpath", "size", "mtime")


class Kind(str, Enum):
    """What an entry is."""

    FILE = "file"
    HARD_LINK = "hard link"
    LINK = "link"
    DEVICE = "device"
    BLOCK_DEVICE = "block device"
    FOLDER = "folder"
    FIFO = "FIFO"
    SPARSE = "sparse file"


_KINDS = {
    b"0": Kind.FILE,
    b"\0": Kind.FILE,
    b"7": Kind.FILE,
    b"1": Kind.HARD_LINK,
    b"2": Kind.LINK,
    b"3": Kind.DEVICE,
    b"4": Kind.BLOCK_DEVICE,
    b"5": Kind.FOLDER,
    b"6": Kind.FIFO,
    b"S": Kind.SPARSE,
}
_WITH_DATA = (Kind.FILE, Kind.SPARSE)


class TarEntry(NamedTuple):
    """An entry.

    Attributes:
        name: as it is written, without a folder's last slash.
        size: bytes of a file.
        mtime: seconds.
        target: where a link points.
        at: where in the stream its contents begin.
    """

    name: str
    kind: Kind
    size: int
    mtime: int
    target: str
    at: int


def tar_entries(stream: Unpacked, budget: Budget) -> Iterator[TarEntry]:
    """Every entry; contents may be read from the stream before the next is asked for.

    Args:
        stream: at its beginning.

    Raises:
        ArchiveError: the archive is damaged, cut off, or of a form that is not known.
    """
    pax: dict[str, str] = {}
    names: dict[str, str] = {}
    while True:
        block = _block(stream)
        if block == _NOTHING:
            if pax or names:
                raise ArchiveError("", "ends after a header that announces an entry")
            return _end(stream)
        header = _Header(block)
        budget.enter(header.name)
        if header.type in b"xLKg":
            _announced(header, stream, pax, names)
            continue
        entry, stored = _entry(header, stream, pax, names)
        budget.name(entry.name, entry.target)
        pax, names = {}, {}
        end = stream.position + stored + -stored % BLOCK
        yield entry
        if stream.skip(end - stream.position) < 0 or stream.position != end:
            raise ArchiveError(entry.name, "is cut off: the archive ends within it")


def _block(stream: Unpacked) -> bytes:
    block = stream.read(BLOCK)
    if len(block) != BLOCK:
        raise ArchiveError("", "is cut off: it ends without the mark of its end")
    return block


def _end(stream: Unpacked) -> None:
    """Nothing but zeros may follow: tools differ in whether they read on."""
    while data := stream.read(1 << 20):
        if data.strip(b"\0"):
            raise ArchiveError("", "goes on after the mark of its end")


class _Header:
    """A header block."""

    def __init__(self, block: bytes) -> None:
        self._block = block
        self.type = block[156:157]
        stated = _number(block[148:156], "")
        total = sum(block) - sum(block[148:156]) + 8 * 32
        # Old versions summed signed bytes.
        if stated != total and stated != total - 256 * sum(byte > 127 for byte in (*block[:148], *block[156:])):
            raise ArchiveError("", "is damaged: a header whose sum is wrong")
        self._name = _until_nul(block[:100])
        if block[257:263] == b"ustar\0" and (prefix := _until_nul(block[345:500])):
            self._name = prefix + b"/" + self._name
        self.name = self._name.decode("utf-8", "backslashreplace")
        self.size = _number(block[124:136], self.name)
        self.mtime = _number(block[136:148], self.name)

    @property
    def path(self) -> str:
        """Its name, which has to be UTF-8."""
        return _text(self._name, self.name)

    @property
    def target(self) -> str:
        """Where a link points."""
        return _text(_until_nul(self._block[157:257]), self.name)

    @property
    def real_size(self) -> int:
        """Of a sparse file of GNU tar."""
        return _number(self._block[483:495], self.name)

    @property
    def extended(self) -> bool:
        """Whether a block with more of a sparse file's map follows."""
        return self._block[482] != 0


def _until_nul(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _text(data: bytes, entry: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ArchiveError(entry, "a name that is no UTF-8") from None


def _number(field: bytes, entry: str) -> int:
    """A number in octal digits, or in GNU tar's binary form; negative ones stand only for times before 1970."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    if field[0] == 0xFF:
        return 0
    digits = field.strip(b" \0")
    if digits.strip(b"01234567"):
        raise ArchiveError(entry, "is damaged: a header with a number that is none")
    return int(digits or b"0", 8)


def _announced(header: _Header, stream: Unpacked, pax: dict[str, str], names: dict[str, str]) -> None:
    """A header that says more about the entry after it, or about all of them."""
    if header.size > _MOST_HEADER:
        raise ArchiveError(header.name, f"a header of more than {_MOST_HEADER} bytes")
    data = stream.read(header.size)
    if len(data) != header.size or stream.skip(-header.size % BLOCK) != -header.size % BLOCK:
        raise ArchiveError(header.name, "is cut off: the archive ends within it")
    if header.type in b"LK":
        names["path" if header.type == b"L" else "linkpath"] = _text(_until_nul(data), header.name)
        return
    found = _pax(data, header.name)
    if header.type == b"g":
        if forbidden := sorted(key for key in found if key in _PAX_USED or key.startswith("GNU.sparse.")):
            raise ArchiveError(header.name, f"states {forbidden[0]} for all entries at once")
        return
    pax.update(found)


def _pax(data: bytes, entry: str) -> dict[str, str]:
    """Records of a pax header: ``LENGTH KEY=VALUE`` and a line feed, the length over all of it."""
    found: dict[str, str] = {}
    place = 0
    while place < len(data):
        digits, space, _ = data[place : place + 10].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        record = data[place + len(digits) + 1 : place + length]
        key, equals, value = record.partition(b"=")
        if not space or not equals or len(record) != length - len(digits) - 1 or not record.endswith(b"\n"):
            raise ArchiveError(entry, "is damaged: a pax header that does not parse")
        name = key.decode("utf-8", "backslashreplace")
        if name in _PAX_USED or name.startswith("GNU.sparse.") or name == "hdrcharset":
            found[name] = _text(value[:-1], entry)
        place += length
    if found.get("hdrcharset") == "BINARY":
        raise ArchiveError(entry, "a name that is no UTF-8")
    return found


def _entry(header: _Header, stream: Unpacked, pax: dict[str, str], names: dict[str, str]) -> tuple[TarEntry, int]:
    """An entry, and how many bytes are stored for it."""
    name = pax.get("path") or names.get("path") or header.path
    kind = _KINDS.get(header.type)
    if kind is None:
        raise ArchiveError(name, f"an entry of an unknown kind, {header.type.decode('latin-1')!a}")
    size = _pax_number(pax["size"], name) if "size" in pax else header.size
    stored = size if kind in _WITH_DATA else 0
    if kind is Kind.SPARSE:
        extended, size = header.extended, header.real_size
        while extended:
            extended = _block(stream)[504] != 0
    elif sparse := [key for key in pax if key.startswith("GNU.sparse.")]:
        kind, name = Kind.SPARSE, pax.get("GNU.sparse.name", name)
        real = next((pax[key] for key in ("GNU.sparse.realsize", "GNU.sparse.size") if key in sparse), "0")
        size = _pax_number(real, name)
    if name.endswith("/") and kind is Kind.FILE:
        kind, size = Kind.FOLDER, 0  # as old versions of tar write folders
    target = (pax.get("linkpath") or names.get("linkpath") or header.target) if kind in _LINKS else ""
    return TarEntry(name.rstrip("/") or "/"[: len(name)], kind, size, header.mtime, target, stream.position), stored


_LINKS = (Kind.LINK, Kind.HARD_LINK)


def _pax_number(text: str, entry: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 20:
        raise ArchiveError(entry, "is damaged: a header with a number that is none")
    return int(text)
