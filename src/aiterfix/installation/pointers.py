"""What in a site folder leads elsewhere: path lines, egg-links and the finders of editable installs."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from aiterfix.installation.editable import (
    MENTIONS_AITER,
    PathFile,
    Redirections,
    named_aiter,
    parse_finder,
    parse_pth,
    parse_start,
)
from aiterfix.installation.listing import Listing
from aiterfix.installation.target import Skipped
from aiterfix.installation.view import View, why
from aiterfix.storage.held import LeavesRootError

_MOST_BYTES = 1 << 20  # of a path file or finder; the real ones have some hundred bytes
_MOST_LINES = 1_000  # of a path file; each is looked for
_OWN_MODULES = ("aiterfix",)  # our own start-up hook names aiter and redirects nothing


class PathEntry(NamedTuple):
    """One folder (or archive) of an import path and, for people, where it comes from."""

    path: Path
    origin: str


class Pointer(NamedTuple):
    """What leads to a folder of the path."""

    site: Listing
    text: str


class Redirected(NamedTuple):
    """Where a finder sends ``import aiter``."""

    path: Path
    is_package: bool
    found_by: str
    site: Listing


class Pointers:
    """The pointers of one environment. Doubts gather in ``skipped``."""

    def __init__(self, view: View, active: Collection[str] | None, site_folders: Collection[Path] | None) -> None:
        """Prepare; see ``Search``."""
        self._view = view
        self._active = active
        self._site_folders = None if site_folders is None else {view.real(path) for path in site_folders}
        self.skipped: list[Skipped] = []
        self.targets: dict[str, Pointer] = {}
        """By real path of the folder that is pointed to."""
        self.redirected: list[Redirected] = []

    def leading_to(self, folder: Path) -> Pointer | None:
        """What leads to a folder, if anything does."""
        return self.targets.get(self._view.real(folder))

    def _skip(self, path: Path, reason: str, *, doubt: bool) -> None:
        self.skipped.append(Skipped(path, reason, doubt))

    def _is_site(self, listing: Listing) -> bool:
        return self._site_folders is None or self._view.real(listing.path) in self._site_folders

    def read(self, site: Listing) -> list[PathEntry]:
        """Take in a folder's pointers; returns the folders that its path lines add to the path, in order."""
        if not (site.path_files or site.egg_links):
            return []
        if not self._is_site(site):
            self._loaded_finders(site)
            return []
        found: list[PathEntry] = []
        for file in site.path_files:
            try:
                data = self._view.read(file, _MOST_BYTES)
            except OSError as error:
                self._skip(file, f"{why(error)}; it may lead to an editable install", doubt=True)
                continue
            parsed = parse_start(data) if file.name.endswith(".start") else parse_pth(data)
            if len(parsed.paths) + len(parsed.modules) > _MOST_LINES:
                self._skip(file, f"more than {_MOST_LINES} lines: they are not followed", doubt=True)
                continue
            for number, line in enumerate(parsed.paths, 1):
                target = self._target(site.path, line)
                if self._leaves(target):
                    self._skip(file, f"path line {number} leads out of {self._view.image_root}", doubt=True)
                    continue
                self._points(site, target, f"path line of {file.name}")
                if self._view.exists(target):
                    found.append(PathEntry(target, f"{file.name}, path line {number}"))
                elif MENTIONS_AITER.search(line.encode("utf-8", "replace")) or named_aiter(file.name):
                    self._skip(file, f"leads to {target}, which is not there (a mount that is missing?)", doubt=True)
            self._code_lines(site, file, parsed)
        for file in site.egg_links:
            if file.name.lower().replace("_", "-") not in ("amd-aiter.egg-link", "aiter.egg-link"):
                continue
            data = self._view.text(file, _MOST_BYTES, doubt=True) or b""
            lines = data.decode("utf-8", "surrogateescape").splitlines()
            target = self._target(site.path, lines[0].strip()) if lines and "\0" not in lines[0] else file / "nowhere"
            if not self._view.exists(target):
                self._skip(file, "an egg-link that leads nowhere (a mount that is missing?)", doubt=True)
            else:
                # easy-install.pth is what puts the folder on the path; the link alone only names it.
                self._points(site, target, file.name)
        return found

    def _loaded_finders(self, folder: Listing) -> None:
        """``site`` does not read the ``.pth`` files here, but something else has, if a finder is loaded."""
        for file in folder.path_files:
            parsed = parse_pth(self._view.text(file, _MOST_BYTES, doubt=True) or b"")
            loaded = tuple(module for module in parsed.modules if module in (self._active or ()))
            self._code_lines(folder, file, PathFile(modules=loaded))

    def _target(self, site: Path, line: str) -> Path:
        return self._view.enter(line) if line.startswith("/") else self._view.settle(site / line)

    def _leaves(self, target: Path) -> bool:
        try:
            self._view.status(target)
        except LeavesRootError:
            return True
        except OSError:
            return False
        return False

    def _points(self, site: Listing, target: Path, text: str) -> None:
        self.targets.setdefault(self._view.real(target), Pointer(site, f"{text} in {site.path}"))

    def _code_lines(self, site: Listing, file: Path, parsed: PathFile) -> None:
        understood = False
        for module in parsed.modules:
            top = module.partition(".")[0]
            if top.startswith(_OWN_MODULES):
                understood = True
                continue
            source = site.path / f"{top}.py"
            data = self._view.text(source, _MOST_BYTES, doubt=True)
            if data is None:
                if named_aiter(top) and not self._view.is_folder(site.path / top):
                    self._skip(file, f"starts {top}, which is not there", doubt=True)
                    understood = True
                continue
            redirections = parse_finder(data)
            if redirections is not None:
                understood = True
                if redirections.concerns("aiter"):
                    self._redirected(site, source, top, redirections)
            elif (b"meta_path" in data or b"editable" in data or "editable" in top) and (
                MENTIONS_AITER.search(data) or named_aiter(top)
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
            if self._view.is_folder(target):
                self.redirected.append(Redirected(target, True, found_by, site))
            elif self._view.exists(target) or self._view.exists(target.with_name(target.name + ".py")):
                self.redirected.append(Redirected(target, False, found_by, site))
                self._skip(source, f"maps aiter to {target}, a module, not a package", doubt=True)
            else:
                self._skip(source, f"maps aiter to {target}, which is not there (a mount that is missing?)", doubt=True)
        parts = sorted(key for key in redirections.packages if key.startswith("aiter."))
        if parts:
            self._skip(source, f"also redirects {', '.join(parts)}: those are not searched", doubt=True)
