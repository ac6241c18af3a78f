"""A wheel as the folder that it would be installed into; its files are read where they stand in it."""

from __future__ import annotations

import re
import stat
import zipfile
import zlib
from collections.abc import Iterator

from aiterfix.installation.streams import ArchiveError, Budget, Held
from aiterfix.installation.tree import File, Folder, pieces_of, put
from aiterfix.installation.view import Sparing

_DATA = re.compile(r"[^/]+\.data")
_SCHEMES = ("purelib", "platlib")  # go where the rest goes
_MOST_DIRECTORY = 32 << 20  # bytes of the table of contents; a wheel of 5,000 files has some 0.6 MB
_ENCRYPTED = 0x1


class Wheel:
    """A wheel's entries and their contents.

    Attributes:
        info: name of the ``.dist-info`` folder.
        installed: entries by where they are installed; once the `tree` has been asked for.
    """

    def __init__(self, held: Held) -> None:
        """Read the table of contents.

        Raises:
            ArchiveError: it is no wheel, damaged or hostile.
        """
        self.held = held
        self._archive = _opened(held)
        self.entries = self._archive.infolist()
        self.comment = self._archive.comment
        self.installed: dict[str, zipfile.ZipInfo] = {}
        names = {entry.filename for entry in self.entries}
        infos = {n.partition("/")[0] for n in names if n.endswith(".dist-info/WHEEL") and n.count("/") == 1}
        if len(infos) != 1:
            raise ArchiveError("", f"no wheel: {'several' if infos else 'no'} *.dist-info/WHEEL in it")
        (self.info,) = infos

    def tree(self, budget: Budget) -> Folder:
        """What is installed.

        Raises:
            ArchiveError: an entry is hostile, or installs `aiter` in an unusual way.
        """
        top = Folder(stated=True)
        for number, entry in enumerate(self.entries):
            budget.enter(entry.filename)
            pieces = checked(entry)
            if _DATA.fullmatch(pieces[0]):
                if len(pieces) > 1 and pieces[1] not in _SCHEMES:
                    if "aiter" in pieces:
                        raise ArchiveError(entry.filename, "an aiter that is installed outside site-packages")
                    continue
                pieces = pieces[2:]
            if entry.is_dir():
                put(top, pieces, Folder(stated=True), entry.filename)
            elif pieces:
                put(top, pieces, File(self, number, entry.file_size, 0), entry.filename)
                self.installed["/".join(pieces)] = entry
        return top

    def read(self, file: File, most: int, beside: Iterator[File]) -> bytes:
        """A file's bytes; see `tree.Contents`."""
        return self.contents(self.entries[file.at], most)

    def contents(self, entry: zipfile.ZipInfo, most: int) -> bytes:
        """Bytes of an entry, whose sum is checked.

        Raises:
            ArchiveError: it is damaged, or longer than it says or than ``most``.
        """
        try:
            with self._archive.open(entry) as file:
                data = file.read(min(most, entry.file_size) + 1)
        except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
            raise ArchiveError(entry.filename, f"cannot be read: {error}") from error
        except (zlib.error, MemoryError) as error:
            raise ArchiveError(entry.filename, f"cannot be decompressed: {error}") from error
        if len(data) != entry.file_size:
            raise ArchiveError(entry.filename, f"does not have the {entry.file_size} bytes that are stated of it")
        return data


def _opened(held: Held) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(Sparing(held.whole(), _MOST_DIRECTORY))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, MemoryError) as error:
        raise ArchiveError("", f"no zip archive that can be read: {error}") from error


def checked(entry: zipfile.ZipInfo) -> list[str]:
    """The components of an entry's name.

    Raises:
        ArchiveError: no installer may be given such an entry.
    """
    name = entry.orig_filename
    if "\\" in name:
        raise ArchiveError(name, "a name with a backslash")
    pieces = pieces_of(name)
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ArchiveError(name, "is a link or special file, which no wheel may hold")
    if not pieces:
        raise ArchiveError(name, "a name that is empty")
    if entry.flag_bits & _ENCRYPTED:
        raise ArchiveError(name, "is encrypted")
    return pieces
