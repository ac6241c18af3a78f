"""From the folders of an import path to a ``Discovery``, in the order in which ``import`` would look.

Python asks the path first, in order: a folder with ``__init__`` or a module wins at once; a folder without one only
counts (as a namespace portion) when the whole path has nothing better. The finders of editable installs are appended
to ``sys.meta_path``, so they are asked last, and even a left-over ``aiter/`` without ``__init__`` outdoes them.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from aiterfix.installation.editable import (
    MENTIONS_AITER,
    PathFile,
    Redirections,
    parse_finder,
    parse_pth,
    parse_start,
)
from aiterfix.installation.gitcommit import head_commit
from aiterfix.installation.listing import Listing, list_folder
from aiterfix.installation.metadata import (
    Metadata,
    commit_of_version,
    owns_package,
    parse_version_file,
    read_bytes,
    read_origin,
)
from aiterfix.installation.recognise import Nature, recognise
from aiterfix.installation.target import Discovery, Installation, Kind, Skipped
from aiterfix.installation.view import View, exists, is_file, is_folder

_OWN_MODULES = ("aiterfix",)  # our own start-up hook names aiter and redirects nothing


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


class _Pointer(NamedTuple):
    site: Listing
    text: str


class PathEntry(NamedTuple):
    """One folder (or archive) of an import path and, for people, where it comes from."""

    path: Path
    origin: str


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
            view: how paths written in the environment are to be read.
            expand: whether path lines of ``.pth`` files are to be added (a folder on disk), or have been by ``site``
                (a live interpreter).
            active: names of loaded modules, where an interpreter was asked: a finder that is not loaded is not at work.
            site_folders: the folders whose ``.pth`` files the interpreter reads; None: every folder searched.
        """
        self._view = view
        self._expand = expand
        self._active = active
        self._site_folders = None if site_folders is None else {os.path.realpath(path) for path in site_folders}
        self._candidates: list[_Candidate] = []
        self._skipped: list[Skipped] = []
        self._searched: list[Path] = []
        self._seen: set[tuple[int, int]] = set()
        self._pointers: dict[str, _Pointer] = {}
        self._finders: list[_Candidate] = []
        self._loose_metadata: list[tuple[Listing, Metadata]] = []

    def run(self, entries: Iterable[PathEntry]) -> Discovery:
        """Search the entries in order."""
        listings: list[tuple[PathEntry, Listing]] = []
        for entry in entries:
            listing = self._list(entry)
            if listing is None:
                continue
            listings.append((entry, listing))
            if self._is_site(listing):
                for extra in self._path_lines(listing):
                    added = self._list(extra) if self._expand else None
                    if added is not None:
                        listings.append((extra, added))
        for entry, listing in listings:
            self._collect(entry, listing)
        installations = self._judge()
        self._report_loose_metadata(installations)
        return Discovery(installations, tuple(dict.fromkeys(self._skipped)), tuple(self._searched))

    def _skip(self, path: Path, reason: str, *, doubt: bool) -> None:
        self._skipped.append(Skipped(path, reason, doubt))

    def _is_site(self, listing: Listing) -> bool:
        if not (listing.path_files or listing.egg_links):
            return False
        return self._site_folders is None or os.path.realpath(listing.path) in self._site_folders

    def _list(self, entry: PathEntry) -> Listing | None:
        place = self._view.settle(entry.path)
        try:
            status = place.stat()
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        except OSError as error:
            self._skip(place, f"cannot be looked at ({entry.origin}): {error.strerror or error}", doubt=True)
            return None
        identity = (status.st_dev, status.st_ino)
        if identity in self._seen:
            return None
        self._seen.add(identity)
        if is_file(place):
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
            with ZipFile(place) as archive:
                inside = [name for name in archive.namelist() if name.startswith("aiter/") or name == "aiter.py"]
        except (BadZipFile, OSError, ValueError, NotImplementedError):
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

    # .pth files, egg-links, finders

    def _path_lines(self, site: Listing) -> list[PathEntry]:
        found: list[PathEntry] = []
        for file in site.path_files:
            data = read_bytes(file)
            if data is None:
                self._skip(file, "cannot be read: it may lead to an editable install", doubt=True)
                continue
            parsed = parse_start(data) if file.name.endswith(".start") else parse_pth(data)
            for number, line in enumerate(parsed.paths, 1):
                target = self._target(site.path, line)
                self._points(site, target, f"path line of {file.name}")
                if exists(target):
                    found.append(PathEntry(target, f"{file.name}, path line {number}"))
                elif MENTIONS_AITER.search(line.encode("utf-8", "replace")) or b"aiter" in file.name.encode():
                    self._skip(file, f"leads to {target}, which is not there (a mount that is missing?)", doubt=True)
            self._code_lines(site, file, parsed)
        for file in site.egg_links:
            if file.name.lower().replace("_", "-") not in ("amd-aiter.egg-link", "aiter.egg-link"):
                continue
            lines = (read_bytes(file) or b"").decode("utf-8", "surrogateescape").splitlines()
            target = self._target(site.path, lines[0].strip()) if lines and "\0" not in lines[0] else file / "nowhere"
            if not exists(target):
                self._skip(file, "an egg-link that leads nowhere (a mount that is missing?)", doubt=True)
            else:
                # easy-install.pth is what puts the folder on the path; the link alone only names it.
                self._points(site, target, file.name)
        return found

    def _target(self, site: Path, line: str) -> Path:
        return self._view.enter(line) if line.startswith("/") else self._view.settle(site / line)

    def _points(self, site: Listing, target: Path, text: str) -> None:
        self._pointers.setdefault(os.path.realpath(target), _Pointer(site, f"{text} in {site.path}"))

    def _code_lines(self, site: Listing, file: Path, parsed: PathFile) -> None:
        understood = False
        for module in parsed.modules:
            top = module.partition(".")[0]
            if top.startswith(_OWN_MODULES):
                understood = True
                continue
            source = site.path / f"{top}.py"
            data = read_bytes(source)
            if data is None:
                if MENTIONS_AITER.search(top.replace("_", "-").encode()) and not is_folder(site.path / top):
                    self._skip(file, f"starts {top}, which is not there", doubt=True)
                    understood = True
                continue
            redirections = parse_finder(data)
            if redirections is not None:
                understood = True
                if redirections.concerns("aiter"):
                    self._redirected(site, source, top, redirections)
            elif (b"meta_path" in data or b"editable" in data or "editable" in top) and (
                MENTIONS_AITER.search(data) or MENTIONS_AITER.search(top.replace("_", "-").encode())
            ):
                understood = True
                self._skip(source, "an import finder of a kind that is not understood; it mentions aiter", doubt=True)
        if not understood and MENTIONS_AITER.search(parsed.inline):
            self._skip(file, "runs code at interpreter start that mentions aiter", doubt=True)

    def _redirected(self, site: Listing, source: Path, module: str, redirections: Redirections) -> None:
        if self._active is not None and module not in self._active:
            self._skip(source, "an editable finder for aiter that this interpreter has not loaded", doubt=True)
            return
        found_by = f"editable finder {source.name} in {site.path}"
        stated = redirections.packages.get("aiter")
        targets = [stated] if stated is not None else list(redirections.namespaces.get("aiter", ()))
        if not targets:
            self._skip(source, "redirects parts of aiter only; which files that makes is not understood", doubt=True)
            return
        for text in targets:
            target = self._target(site.path, text)
            if target.name == "__init__.py":
                target = target.parent
            if is_folder(target):
                self._finders.append(_Candidate(target, _Form.FINDER, found_by, None, site))
            elif exists(target) or exists(target.with_name(target.name + ".py")):
                self._finders.append(_Candidate(target, _Form.MODULE, found_by))
                self._skip(source, f"maps aiter to {target}, a module, not a package", doubt=True)
            else:
                self._skip(source, f"maps aiter to {target}, which is not there (a mount that is missing?)", doubt=True)
        parts = sorted(key for key in redirections.packages if key.startswith("aiter."))
        if parts:
            self._skip(source, f"also redirects {', '.join(parts)}: those are not searched", doubt=True)

    # candidates and their judgement

    def _collect(self, entry: PathEntry, listing: Listing) -> None:
        pointer = self._pointers.get(os.path.realpath(listing.path))
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
        data = read_bytes(path)
        doubt = data is None or path.suffix != ".py" or b"triton" in data
        self._skip(
            path,
            "a single module called aiter, not a package" + (", which cannot be judged" if doubt else ""),
            doubt=doubt,
        )

    def _judge(self) -> tuple[Installation, ...]:
        direct = [item for item in self._candidates if item.form in (_Form.REGULAR, _Form.MODULE)]
        spaces = [item for item in self._candidates if item.form is _Form.NAMESPACE]
        ordered = [*direct, *spaces, *self._finders]
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
            unique.setdefault(os.path.realpath(installation.package), installation)
        return tuple(sorted(unique.values(), key=lambda item: item.shadowed))

    def _installation(self, item: _Candidate, *, shadowed: bool) -> Installation | None:
        judged = recognise(item.path, self._view)
        listing, pointer, found_by = item.listing, item.pointer, item.found_by
        if listing is None or item.path.parent != listing.path:
            if listing is not None:
                pointer = pointer or listing
                found_by += f", through the link {listing.path / 'aiter'}"
            listing = list_folder(item.path.parent, self._view)
        mine = [metadata for metadata in listing.metadata if owns_package(metadata, item.path.name)]
        if judged.nature is not Nature.AMD:
            claimed = judged.nature is not Nature.REMNANT and any(metadata.amd for metadata in mine)
            reason = judged.reason + ("; the metadata beside it says amd-aiter" if claimed else "")
            self._skip(item.path, reason, doubt=claimed or judged.nature is Nature.DOUBTFUL)
            return None
        return describe(item.path, listing, pointer, self._view, found_by=found_by, shadowed=shadowed)

    def _report_loose_metadata(self, installations: Sequence[Installation]) -> None:
        """Metadata of amd-aiter with no package to it: something is laid out in a way not foreseen."""
        explained = {os.path.realpath(item.root) for item in installations}
        used = {item.dist_info for item in installations}
        for listing, metadata in self._loose_metadata:
            if metadata.path in used:
                continue
            if metadata.amd and os.path.realpath(listing.path) not in explained:
                self._skip(
                    metadata.path, "metadata of amd-aiter, but no package was found that belongs to it", doubt=True
                )
            elif metadata.dist_info and os.path.realpath(listing.path) in explained:
                self._skip(
                    metadata.path,
                    "further metadata beside the package: left over, or of the unrelated aiter",
                    doubt=False,
                )


def describe(
    package: Path, listing: Listing, pointer: Listing | None, view: View, *, found_by: str, shadowed: bool
) -> Installation:
    """State kind, distribution, version and commit of a package folder that is AMD's.

    Args:
        package: the package folder.
        listing: its parent.
        pointer: the site folder that leads to it, for an editable install.
        view: how the inspected system's paths are read.
        found_by: for people.
        shadowed: see ``Installation``.
    """
    root = package.parent
    stated = parse_version_file(read_bytes(view.settle(package / "_version.py")) or b"")
    metadata = _best([item for item in listing.metadata if owns_package(item, package.name)], stated.version)
    in_place = metadata is not None and (metadata.dist_info or not listing.source_tree)
    if not in_place and pointer is not None:
        # Without RECORD nothing says what the metadata owns; a site folder with no package of its own owns none.
        theirs = [item for item in pointer.metadata if pointer.folder is None or not owns_package(item)]
        metadata = _best(theirs, None) or metadata
        kind = Kind.EDITABLE
    elif in_place:
        kind = Kind.WHEEL
    else:
        kind = Kind.CHECKOUT if listing.source_tree or _source_layout(root) else Kind.TREE
    version = metadata.version if metadata is not None and metadata.version else stated.version
    commit = read_origin(metadata).commit if metadata is not None else None
    if kind in (Kind.EDITABLE, Kind.CHECKOUT):
        # The tree moves on after it was installed: what is checked out now comes before what was recorded then.
        commit = head_commit(root) or (head_commit(root.parent) if root.name == "src" else None) or commit
    commit = commit or stated.commit or (commit_of_version(version) if version else None)
    return Installation(
        package=package,
        root=root,
        kind=kind,
        distribution=None if metadata is None else metadata.name,
        version=version,
        commit=commit,
        dist_info=metadata.path if metadata is not None and metadata.dist_info else None,
        found_by=found_by,
        shadowed=shadowed,
        image_root=view.image_root,
    )


def _source_layout(root: Path) -> bool:
    return root.name == "src" and any(exists(root.parent / name) for name in ("pyproject.toml", "setup.py"))


def _best(candidates: Sequence[Metadata], version: str | None) -> Metadata | None:
    """The metadata that most likely describes the package: AMD's name, the package's own version, the newest."""

    def rank(item: Metadata) -> tuple[bool, bool, bool, int]:
        try:
            changed = item.path.stat().st_mtime_ns
        except OSError:
            changed = 0
        return item.amd, version is not None and item.version == version, item.dist_info, changed

    return max(candidates, key=rank, default=None)


def merge(discoveries: Sequence[Discovery]) -> Discovery:
    """Several environments as one answer; a package reached from several is live if it is in any of them."""
    found: dict[str, Installation] = {}
    for item in (installation for discovery in discoveries for installation in discovery.installations):
        key = os.path.realpath(item.package)
        known = found.get(key)
        if known is None:
            found[key] = item
        elif known.shadowed and not item.shadowed:
            found[key] = replace(item, shadowed=False)
    return Discovery(
        tuple(sorted(found.values(), key=lambda item: item.shadowed)),
        tuple(dict.fromkeys(item for discovery in discoveries for item in discovery.skipped)),
        tuple(dict.fromkeys(path for discovery in discoveries for path in discovery.searched)),
    )
