"""From the folders of an import path to a ``Discovery``, in the order in which ``import`` would look.

Python asks the path first, in order: a folder with ``__init__`` or a module wins at once; a folder without one only
counts (as a namespace portion) when the whole path has nothing better. The finders of editable installs are appended
to ``sys.meta_path``, so they are asked last, and even a left-over ``aiter/`` without ``__init__`` outdoes them.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from aiterfix.installation.describe import describe, not_amd
from aiterfix.installation.listing import Listing, list_folder
from aiterfix.installation.metadata import Metadata, read_origin
from aiterfix.installation.pointers import PathEntry, Pointers
from aiterfix.installation.recognise import Nature, recognise
from aiterfix.installation.target import Discovery, Installation, Skipped
from aiterfix.installation.view import View, why
from aiterfix.storage.held import TooLongError

_MOST_AT_ONCE = 8 << 20  # bytes of an archive's table of contents: some 80,000 files


class _Form(Enum):
    REGULAR = 1
    MODULE = 2
    NAMESPACE = 3
    FINDER = 4


class _Candidate(NamedTuple):
    """Something that could answer ``import aiter``."""

    path: Path
    form: _Form
    found_by: str
    listing: Listing | None = None
    pointer: Listing | None = None
    """The site folder whose ``.pth``, egg-link or finder leads here."""


class Search:
    """One environment: an import path and the site folders on it."""

    def __init__(
        self,
        view: View,
        *,
        expand: bool,
        active: Collection[str] | None = None,
        site_folders: Collection[Path] | None = None,
    ) -> None:
        """Prepare.

        Args:
            expand: whether path lines of ``.pth`` files are to be added (a folder on disk), or have been by ``site``
                (a live interpreter).
            active: names of loaded modules, where an interpreter was asked: a finder that is not loaded is not at work.
            site_folders: the folders whose ``.pth`` files the interpreter reads; None: every folder searched.
        """
        self._view = view
        self._expand = expand
        self._candidates: list[_Candidate] = []
        self._skipped: list[Skipped] = []
        self._searched: list[Path] = []
        self._seen: set[tuple[int, int]] = set()
        self._pointers = Pointers(view, active, site_folders)
        self._loose_metadata: list[tuple[Listing, Metadata]] = []

    def run(self, entries: Iterable[PathEntry]) -> Discovery:
        """Search the entries in order."""
        listings: list[tuple[PathEntry, Listing]] = []
        for entry in entries:
            listing = self._list(entry)
            if listing is None:
                continue
            listings.append((entry, listing))
            for extra in self._pointers.read(listing):
                added = self._list(extra) if self._expand else None
                if added is not None:
                    listings.append((extra, added))
        for entry, listing in listings:
            self._collect(entry, listing)
        installations = self._judge()
        self._report_loose_metadata(installations)
        skipped = dict.fromkeys((*self._pointers.skipped, *self._skipped, *self._view.refused))
        return Discovery(installations, tuple(skipped), tuple(self._searched), self._view.image_root)

    def _skip(self, path: Path, reason: str, *, doubt: bool) -> None:
        self._skipped.append(Skipped(path, reason, doubt))

    def _list(self, entry: PathEntry) -> Listing | None:
        place = self._view.settle(entry.path)
        try:
            status = self._view.status(entry.path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
                self._skip(place, f"{why(error, 'cannot be looked at')} ({entry.origin})", doubt=True)
            elif self._view.is_link(entry.path):
                self._skip(
                    entry.path, f"a link that leads nowhere (a mount that is missing?) ({entry.origin})", doubt=True
                )
            return None
        identity = (status.st_dev, status.st_ino)
        if identity in self._seen:
            return None
        self._seen.add(identity)
        if stat.S_ISREG(status.st_mode):
            self._archive(place, entry)
            return None
        self._searched.append(place)
        listing = list_folder(place, self._view)
        if listing.error is not None:
            self._skip(place, f"cannot be listed ({entry.origin}): {listing.error}", doubt=True)
            return None
        return listing

    def _archive(self, place: Path, entry: PathEntry) -> None:
        from zipfile import BadZipFile, ZipFile  # archives on a path are rare

        try:
            with self._view.open(place, _MOST_AT_ONCE) as file, ZipFile(file) as archive:
                inside = [name for name in archive.namelist() if name.startswith("aiter/") or name == "aiter.py"]
        except TooLongError as error:
            self._skip(place, f"an archive that {error.strerror} ({entry.origin})", doubt=True)
            return
        except (BadZipFile, OSError, ValueError, NotImplementedError, MemoryError):
            return  # Python cannot import from it either
        if not inside:
            return
        amd = any(name.startswith("aiter/ops/") for name in inside)
        self._candidates.append(_Candidate(place, _Form.MODULE, f"archive on the path ({entry.origin})"))
        if amd:
            reason = "a zip archive that holds AMD's aiter: sources in archives are neither judged nor patched"
        else:
            reason = "a zip archive that holds a package aiter without aiter/ops: not AMD's"
        self._skip(place, reason, doubt=amd)

    # candidates and their judgement

    def _collect(self, entry: PathEntry, listing: Listing) -> None:
        pointer = self._pointers.leading_to(listing.path)
        found_by = pointer.text if pointer is not None else entry.origin
        site = None if pointer is None else pointer.site
        for metadata in listing.metadata:
            self._loose_metadata.append((listing, metadata))
        for path in listing.interrupted:
            self._skip(path, "left behind by an interrupted pip; Python cannot import it", doubt=False)
        if listing.broken_link is not None:
            self._skip(
                listing.broken_link, "a link called aiter that leads nowhere (a mount that is missing?)", doubt=True
            )
        if listing.folder is not None and listing.regular:
            self._candidates.append(_Candidate(listing.folder, _Form.REGULAR, found_by, listing, site))
        for path in sorted(listing.modules):
            self._candidates.append(_Candidate(path, _Form.MODULE, found_by, listing))
            self._module(path)
        if listing.folder is not None and not listing.regular:
            self._candidates.append(_Candidate(listing.folder, _Form.NAMESPACE, found_by, listing, site))

    def _module(self, path: Path) -> None:
        data = self._view.text(path, doubt=True)
        doubt = data is None or path.suffix != ".py" or b"triton" in data
        self._skip(
            path,
            "a single module called aiter, not a package" + (", which cannot be judged" if doubt else ""),
            doubt=doubt,
        )

    def _judge(self) -> tuple[Installation, ...]:
        direct = [item for item in self._candidates if item.form in (_Form.REGULAR, _Form.MODULE)]
        spaces = [item for item in self._candidates if item.form is _Form.NAMESPACE]
        finders = [
            _Candidate(item.path, _Form.FINDER if item.is_package else _Form.MODULE, item.found_by, None, item.site)
            for item in self._pointers.redirected
        ]
        ordered = [*direct, *spaces, *finders]
        winner = ordered[0] if ordered else None
        found: list[Installation] = []
        for item in ordered:
            if item.form is _Form.MODULE:
                continue
            # All portions of a namespace package are searched for submodules, so none of them is out of reach.
            live = item is winner or (item.form is _Form.NAMESPACE and not direct)
            installation = self._installation(item, shadowed=not live)
            if installation is not None:
                found.append(installation)
        unique: dict[str, Installation] = {}
        for installation in found:
            unique.setdefault(self._view.real(installation.package), installation)
        return tuple(sorted(unique.values(), key=lambda item: item.shadowed))

    def _installation(self, item: _Candidate, *, shadowed: bool) -> Installation | None:
        judged = recognise(item.path, self._view)
        listing, pointer, found_by = item.listing, item.pointer, item.found_by
        if listing is None or item.path.parent != listing.path:
            if listing is not None:
                pointer = pointer or listing
                found_by += f", through the link {listing.path / 'aiter'}"
            listing = list_folder(item.path.parent, self._view)
        if judged.nature is not Nature.AMD:
            self._skipped.append(not_amd(item.path, judged, listing, self._view))
            return None
        return describe(item.path, listing, pointer, self._view, found_by=found_by, shadowed=shadowed)

    def _report_loose_metadata(self, installations: Sequence[Installation]) -> None:
        """Metadata of amd-aiter with no package to it: something is laid out in a way not foreseen."""
        explained = {self._view.real(item.root) for item in installations}
        used = {item.dist_info for item in installations}
        for listing, metadata in self._loose_metadata:
            if metadata.path in used:
                continue
            folder = read_origin(metadata, self._view).folder
            stated = f"; it was installed from {folder}" if folder is not None else ""
            if metadata.amd and self._view.real(listing.path) not in explained:
                self._skip(
                    metadata.path,
                    "metadata of amd-aiter, but no package was found that belongs to it" + stated,
                    doubt=True,
                )
            elif metadata.dist_info and self._view.real(listing.path) in explained:
                self._skip(
                    metadata.path,
                    "further metadata beside the package: left over, or of the unrelated aiter",
                    doubt=False,
                )


def merge(discoveries: Sequence[Discovery]) -> Discovery:
    """Several environments as one answer; a package reached from several is live if it is in any of them."""
    found: dict[str, Installation] = {}
    for item in (installation for discovery in discoveries for installation in discovery.installations):
        key = View(item.image_root).real(item.package)
        known = found.get(key)
        if known is None:
            found[key] = item
        elif known.shadowed and not item.shadowed:
            found[key] = replace(item, shadowed=False)
    roots = {discovery.image_root for discovery in discoveries}
    return Discovery(
        tuple(sorted(found.values(), key=lambda item: item.shadowed)),
        tuple(dict.fromkeys(item for discovery in discoveries for item in discovery.skipped)),
        tuple(dict.fromkeys(path for discovery in discoveries for path in discovery.searched)),
        roots.pop() if len(roots) == 1 else None,
    )
