"""A wheel beside a wheel: a few files exchanged, RECORD right, every other byte of every file as it was.

What is not exchanged is copied as it is compressed, in its order and with its times, and what is exchanged is stored
without compression: the same wheel comes out wherever it is made.
"""

from __future__ import annotations

import csv
import io
import os
import re
import struct
import zipfile
import zlib
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from aiterfix.errors import NotUnderstoodError, UsageError
from aiterfix.installation.forms import opened
from aiterfix.installation.streams import ArchiveError, Budget, Held
from aiterfix.installation.wheels import Wheel
from aiterfix.patching import fsops
from aiterfix.patching.failures import ChangedMeanwhileError, from_os_error
from aiterfix.patching.record import Listed, edit
from aiterfix.storage.held import Folder

LABEL = "aiterfix"
"""What a mended wheel's version has behind its ``+``, or after the label that stands there."""
_FILE_NAME = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)(?P<tags>(?:-\d[^-]*)?-[^-]+-[^-]+-[^-]+\.whl)")
_VERSION = re.compile(rb"(?m)^(Version:[ \t]*)([^\r\n]*?)([ \t]*\r?)$")
_SIGNATURES = ("RECORD.jws", "RECORD.p7s")
_MOST = 64 << 20  # bytes of RECORD and METADATA
_MOST_ZIP, _MOST_ENTRIES = 0xFFFFFFFF, 0xFFFF  # without the 64-bit form of the format
_STREAMED, _UTF8 = 0x8, 0x800
_ZIP64 = 1  # id of the extra field
_AT_ONCE = 1 << 20


class Written(NamedTuple):
    """A wheel that was written."""

    path: Path
    notes: tuple[str, ...]


class Output(NamedTuple):
    """Where a mended wheel goes, and under which version.

    Attributes:
        path: of the new wheel.
        label: whether its version says that it was mended.
    """

    path: Path
    label: bool


def output_of(source: Path, wanted: Path | None) -> Output:
    """Where a mended wheel goes: beside its source under a version of its own, or where it is wanted.

    Installers go by the version: one that is installed already is not exchanged for a wheel of the same version. A
    label behind ``+`` makes it another one, which requirements of the old one take.

    Args:
        wanted: a folder, or a file of the old name (its version stays) or of the new one; None for beside it.

    Raises:
        UsageError: neither is, or something stands in the way.
    """
    match = _FILE_NAME.fullmatch(source.name)
    if match is None:
        raise UsageError(
            f"{source.name} is not the name of a wheel: NAME-VERSION-PYTHON-ABI-PLATFORM.whl",
            remedy="Give the wheel its name back: installers go by it.",
        )
    labelled = f"{match['name']}-{_labelled(match['version'])}{match['tags']}"
    if wanted is None or wanted.is_dir():
        path = (wanted or source.parent) / labelled
    else:
        path = wanted
        if path.name not in (source.name, labelled):
            raise UsageError(
                f"--output {wanted}: a wheel of this name would not be installed",
                remedy=f"Name it {labelled}, or {source.name} for one that keeps its version, or give a folder.",
            )
    if not path.parent.is_dir():
        raise UsageError(f"--output {wanted}: there is no folder {path.parent}", remedy="Make it first.")
    if wanted is None and path == source:
        raise UsageError(f"{source.name} has been mended before", remedy="Give --output, which may name it itself.")
    return Output(path, path.name != source.name)


def _labelled(version: str) -> str:
    public, plus, local = version.partition("+")
    if local.split(".")[-1] == LABEL:
        return version
    return f"{public}+{local}.{LABEL}" if plus else f"{public}+{LABEL}"


def write_wheel(source: Path, output: Output, changed: Mapping[str, tuple[bytes, bytes]]) -> Written:
    """Write a wheel with other contents of a few files.

    Args:
        output: from `output_of`.
        changed: old and new contents by where the files are installed.

    Raises:
        ChangedMeanwhileError: a file has other contents than the old ones.
        NotUnderstoodError: RECORD does not list the files as they are, or the wheel is damaged.
        UsageError: another wheel stands there.
        EnvironmentProblem: it cannot be written.
    """
    try:
        return _Writer(source, output, changed).write()
    except ArchiveError as error:
        raise NotUnderstoodError(f"{source}: {error.strerror}") from error
    except OSError as error:
        error.filename = error.filename or str(output.path)
        raise from_os_error(error, "No wheel was written.") from error


class _Writer:
    def __init__(self, source: Path, output: Output, changed: Mapping[str, tuple[bytes, bytes]]) -> None:
        self.wheel = Wheel(Held(opened(source), source.name))
        self.wheel.tree(Budget())
        self.source, self.output = source, output
        self.notes: list[str] = []
        self.new: dict[str, bytes] = {}
        for place, (old, new) in changed.items():
            entry = self.wheel.installed[place]
            if self.wheel.contents(entry, _MOST) != old:
                raise ChangedMeanwhileError(f"{source}: {place} is not what was judged", remedy="Run it again.")
            self.new[entry.filename] = new
        self.old_name = self.wheel.info.removesuffix(".dist-info")
        self.new_name = self.old_name
        if output.label:
            name, _, version = self.old_name.rpartition("-")
            self.new_name = f"{name}-{_labelled(version)}"
            self._metadata()
        self._record()

    def _inner(self, name: str) -> bytes:
        name = f"{self.wheel.info}/{name}"
        entry = self.wheel.installed.get(name)
        if entry is None:
            raise NotUnderstoodError(f"{self.source} has no {name}", why="No installer takes a wheel without it.")
        return self.wheel.contents(entry, _MOST)

    def _metadata(self) -> None:
        data = self._inner("METADATA")
        head, gap, rest = data.partition(b"\r\n\r\n" if b"\r\n\r\n" in data else b"\n\n")
        found = _VERSION.findall(head)
        if len(found) != 1:
            raise NotUnderstoodError(f"{self.source}: METADATA states {len(found)} versions")
        stated = found[0][1].decode("utf-8", "replace")
        labelled = _labelled(stated).encode()
        self.new[f"{self.wheel.info}/METADATA"] = _VERSION.sub(rb"\g<1>" + labelled + rb"\g<3>", head) + gap + rest
        self.notes.append(
            f"its version is {labelled.decode()}, so that installers put it over {stated}; requirements "
            + (f"=={stated.partition('+')[0]}" if "+" not in stated else f">={stated}")
            + " take it"
        )

    def _record(self) -> None:
        name = f"{self.wheel.info}/RECORD"
        data = self._inner("RECORD")
        rows = {row[0]: row for row in csv.reader(io.StringIO(data.decode("utf-8", "surrogateescape"))) if row}
        listed = []
        for file, new in self.new.items():
            row = rows.get(file, [])
            stated = row[1].removeprefix("sha256=") if len(row) > 2 and row[1].startswith("sha256=") else None
            entry = next(e for e in self.wheel.entries if e.filename == file)
            found = sha256(self.wheel.contents(entry, _MOST)).digest()
            if stated is None or urlsafe_b64decode(stated + "=" * (-len(stated) % 4)) != found:
                raise NotUnderstoodError(
                    f"{self.source}: RECORD {'has another digest of' if stated else 'states no digest of'} {file}",
                    why="The wheel was changed without it, or was not made as wheels are.",
                    remedy="Take the wheel from where it was built.",
                )
            listed.append(Listed(file, sha256(new).hexdigest(), len(new)))
        data, _ = edit(data, listed, ())
        if self.new_name != self.old_name:
            for suffix in (".dist-info/", ".data/"):
                old, new = (f"{n}{suffix}".encode() for n in (self.old_name, self.new_name))
                data = re.sub(rb'(?m)^("?)' + re.escape(old), lambda m, new=new: m[1] + new, data)  # type: ignore[misc]
        self.new[name] = data

    def write(self) -> Written:
        """Write it: whole, or not at all."""
        path = self.output.path
        with Folder.open(path.parent) as home:
            place, beside = home.at(path.name), home.at(f".{path.name[:200]}.{os.urandom(6).hex()}")
            descriptor = fsops.create(beside)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    self._zip(file)
                    file.flush()
                    fsops.chmod(descriptor, os.fstat(self.wheel.held.descriptor).st_mode & 0o777)
                    fsops.fsync(descriptor)
                    there = place.status_if_there()
                    if there is not None and path != self.source:
                        if not _same(beside.path, path):
                            raise UsageError(f"{path} is there, and is another wheel", remedy="Remove it first.")
                        fsops.unlink(beside)
                        return Written(path, (*self.notes, "it was there already, byte for byte"))
                fsops.rename(beside, place)
                fsops.sync_directory(home.at())
            except BaseException:
                fsops.unlink_if_there(beside)
                raise
        if not self.output.label:
            self.notes.append(
                "its version is the old one: where that is installed, pip leaves it as it is without --force-reinstall"
            )
        return Written(path, tuple(self.notes))

    def _zip(self, file: io.BufferedWriter) -> None:
        directory = bytearray()
        written = 0
        for entry in self.wheel.entries:
            home, slash, inner = entry.filename.partition("/")
            if home == self.wheel.info and inner in _SIGNATURES:
                self.notes.append(f"{inner} is left out: it signs a RECORD that is another now")
                continue
            name = f"{self.new_name}{home.removeprefix(self.old_name)}" if self._named(home) else home
            directory += self._copied(entry, f"{name}{slash}{inner}", file)
            written += 1
        start = file.tell()
        if start + len(directory) > _MOST_ZIP or written >= _MOST_ENTRIES:
            raise NotUnderstoodError(f"{self.source} is too large: 4 GiB, or {_MOST_ENTRIES} entries")
        file.write(directory)
        comment = self.wheel.comment
        file.write(
            struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, written, written, len(directory), start, len(comment)) + comment
        )

    def _named(self, home: str) -> bool:
        return home in (f"{self.old_name}.dist-info", f"{self.old_name}.data")

    def _copied(self, entry: zipfile.ZipInfo, name: str, file: io.BufferedWriter) -> bytes:
        """Write an entry; returns its part of the table of contents."""
        held, place = self.wheel.held, file.tell()
        local = held.read(entry.header_offset, 30)
        if len(local) != 30 or not local.startswith(b"PK\3\4"):
            raise ArchiveError(entry.filename, "no entry where the table of contents says")
        named, extra = struct.unpack("<2H", local[26:30])
        start = entry.header_offset + 30 + named
        local_extra = _without_zip64(held.read(start, extra))
        start += extra
        new = self.new.get(entry.filename)
        method, crc, packed, size = entry.compress_type, entry.CRC, entry.compress_size, entry.file_size
        if new is not None:
            method, crc, packed, size = zipfile.ZIP_STORED, zlib.crc32(new), len(new), len(new)
        try:
            encoded, flags = name.encode("ascii"), entry.flag_bits & ~(_STREAMED | _UTF8)
        except UnicodeEncodeError:
            encoded, flags = name.encode(), entry.flag_bits & ~_STREAMED | _UTF8
        year, month, day, hour, minute, second = entry.date_time
        date, clock = (year - 1980) << 9 | month << 5 | day, hour << 11 | minute << 5 | second // 2
        common = struct.pack("<5H3L", 20, flags, method, clock, date, crc, packed, size)
        file.write(b"PK\3\4" + common + struct.pack("<2H", len(encoded), len(local_extra)) + encoded + local_extra)
        if new is not None:
            file.write(new)
        else:
            for at in range(start, start + packed, _AT_ONCE):
                length = min(_AT_ONCE, start + packed - at)
                data = held.read(at, length)
                if len(data) != length:
                    raise ArchiveError(entry.filename, "is cut off")
                file.write(data)
        extra_field = _without_zip64(entry.extra)
        return (
            struct.pack("<4s2B", b"PK\1\2", entry.create_version, entry.create_system)
            + common
            + struct.pack("<5H", len(encoded), len(extra_field), len(entry.comment), 0, entry.internal_attr)
            + struct.pack("<2L", entry.external_attr, place)
            + encoded
            + extra_field
            + entry.comment
        )


def _without_zip64(extra: bytes) -> bytes:
    """Extra fields without the one that has long sizes and offsets, which are other ones now, and short."""
    kept, place = b"", 0
    while place + 4 <= len(extra):
        number, length = struct.unpack("<2H", extra[place : place + 4])
        if number != _ZIP64:
            kept += extra[place : place + 4 + length]
        place += 4 + length
    return kept + extra[place:]


def _same(path: Path, other: Path) -> bool:
    one, two = Held(opened(path), path.name), Held(opened(other), other.name)
    places = range(0, one.size, _AT_ONCE)
    return one.size == two.size and all(one.read(at, _AT_ONCE) == two.read(at, _AT_ONCE) for at in places)
