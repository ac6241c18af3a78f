"""``--path``: a folder that is an environment, an image, a checkout, or the package itself."""

from __future__ import annotations

import os
import re
from pathlib import Path

from aiterfix.errors import UsageError
from aiterfix.installation.describe import describe, not_amd
from aiterfix.installation.listing import list_folder
from aiterfix.installation.metadata import read_bytes
from aiterfix.installation.pointers import PathEntry
from aiterfix.installation.recognise import Nature, recognise
from aiterfix.installation.search import Search, merge
from aiterfix.installation.survey import survey
from aiterfix.installation.target import Discovery, Skipped
from aiterfix.installation.view import View, absolute, image_root_above, is_file, is_folder, looks_like_root

_SITE_NAMES = ("site-packages", "dist-packages")
_LIBRARY = re.compile(r"(?:python|pypy)3(?:\.\d+t?)?")


def find_path(path: Path) -> Discovery:
    """Find ``aiter`` in a folder.

    Args:
        path: a site-packages folder, a virtual environment or other prefix, the root file system of an image,
            a checkout, the package folder itself, or any folder that holds some of these.

    Raises:
        UsageError: nothing is there.
    """
    given = path
    path = absolute(given) or given
    if not os.path.lexists(path):
        raise UsageError(
            f"{given} does not exist", remedy="give a site-packages, a prefix, a checkout or the package folder"
        )
    view = View(image_root_above(path))
    if not is_folder(view.settle(path)):
        return _not_a_folder(path)
    path = view.settle(path)
    if _is_package(path, view):
        return _package(path, view)
    folders = [path] if _is_path_entry(path) else []
    source = path / "src"
    if not folders and is_folder(source / "aiter"):
        folders = [source]
    if folders:
        return _environment(folders, view, f"--path {path}")
    prefix = prefix_folders(path, view)
    if prefix and not looks_like_root(path):
        return merge([_environment(group, view, f"prefix {path}") for group in prefix])
    return _everywhere(path, view)


def prefix_folders(prefix: Path, view: View) -> list[list[Path]]:
    """The site folders of a prefix, one group for each Python version, in that interpreter's order.

    A virtual environment that includes its base's site folders gets those of its version after its own.
    """
    groups: dict[str, list[Path]] = {}
    for library in ("lib", "lib64"):
        base = view.settle(prefix / library)
        for name in _names(base):
            if _LIBRARY.fullmatch(name):
                for site in _SITE_NAMES:
                    folder = view.settle(base / name / site)
                    if is_folder(folder):
                        groups.setdefault(name, []).append(folder)
    home = _base_of_environment(prefix, view)
    if home is not None:
        for version, folders in prefix_folders_by_version(home, view).items():
            if version in groups:
                groups[version].extend(folders)
    return [groups[version] for version in sorted(groups)]


def prefix_folders_by_version(prefix: Path, view: View) -> dict[str, list[Path]]:
    """Site folders of a base prefix by ``python3.X``; Debian's shared and local folders belong to every version."""
    groups: dict[str, list[Path]] = {}
    shared = [view.settle(prefix / "lib" / "python3" / "dist-packages")]
    for base in (prefix / "local", prefix):
        for library in ("lib", "lib64"):
            place = view.settle(base / library)
            for name in _names(place):
                if _LIBRARY.fullmatch(name) and name != "python3":
                    folders = [view.settle(place / name / site) for site in _SITE_NAMES]
                    groups.setdefault(name, []).extend(folder for folder in folders if is_folder(folder))
    for folders in groups.values():
        folders.extend(folder for folder in shared if is_folder(folder))
    return groups


def _base_of_environment(prefix: Path, view: View) -> Path | None:
    settings: dict[str, str] = {}
    for line in (read_bytes(prefix / "pyvenv.cfg") or b"").decode("utf-8", "surrogateescape").splitlines():
        key, equals, value = line.partition("=")
        if equals and "\0" not in value:
            settings[key.strip().lower()] = value.strip()
    if settings.get("include-system-site-packages", "").lower() != "true" or "home" not in settings:
        return None
    return view.enter(settings["home"]).parent


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names only
    except OSError:
        return []


def _not_a_folder(path: Path) -> Discovery:
    if path.is_symlink() and not is_file(path):
        reason = "a link that leads nowhere"
    else:
        reason = (
            "a file: name the package folder, a site-packages, a prefix or a checkout (an archive is not installed)"
        )
    return Discovery((), (Skipped(path, reason, True),), ())


def _is_package(path: Path, view: View) -> bool:
    """Whether the folder is the package itself, not a checkout that is called like it."""
    if is_folder(path / "aiter"):
        return False
    if is_folder(view.settle(path / "ops" / "triton")):
        return True
    return path.name == "aiter" and is_file(path / "__init__.py")


def _is_path_entry(path: Path) -> bool:
    if path.name in _SITE_NAMES:
        return True
    listing = list_folder(path, View())
    if listing.error is not None:
        return True  # the search says why it cannot be listed
    if listing.folder is not None:
        # A folder `aiter` that holds a checkout is not the package: what is below must be surveyed.
        return listing.regular or is_folder(listing.folder / "ops") or not is_folder(listing.folder / "aiter")
    # .pth files alone say nothing: trained weights have the same suffix.
    return bool(listing.metadata or listing.egg_links or listing.broken_link)


def _package(path: Path, view: View) -> Discovery:
    judged = recognise(path, view)
    listing = list_folder(path.parent, view)
    if judged.nature is not Nature.AMD:
        return Discovery((), (not_amd(path, judged, listing),), (path,))
    found = describe(path, listing, None, view, found_by=f"--path {path}", shadowed=False)
    return Discovery((found,), (), (path.parent,))


def _environment(folders: list[Path], view: View, origin: str) -> Discovery:
    return Search(view, expand=True).run(PathEntry(folder, origin) for folder in folders)


def _everywhere(path: Path, view: View) -> Discovery:
    """Search an image, or a folder of unknown make: every environment and every source tree in it."""
    found = survey(path, view)
    groups: list[list[Path]] = []
    grouped: set[Path] = set()
    if looks_like_root(path):
        for _, folders in sorted(prefix_folders_by_version(path / "usr", view).items()):
            groups.append(folders)
            grouped.update(folders)
    rest = [folder for folder in found.site_folders if folder not in grouped]
    by_prefix: dict[tuple[Path, str], list[Path]] = {}
    for folder in rest:
        library = folder.parent
        by_prefix.setdefault((library.parent.parent, library.name), []).append(folder)
    for (prefix, _), folders in by_prefix.items():
        home = _base_of_environment(prefix, view)
        base = {} if home is None else prefix_folders_by_version(home, view)
        groups.append(folders + base.get(folders[0].parent.name, []))
    discoveries = [_environment(group, view, f"site folder below {path}") for group in groups]
    if list_folder(path, view).path_files:
        discoveries.append(_environment([path], view, f"--path {path}"))
    # An environment that points to a tree says more about it than the tree alone does.
    known = {os.path.realpath(item.package) for discovery in discoveries for item in discovery.installations}
    for tree in found.source_trees:
        if os.path.realpath(view.settle(tree / "aiter")) not in known:
            discoveries.append(_environment([tree], view, "a source tree that no site folder points to"))
    discoveries += [_everywhere(image, View(image)) for image in found.images]
    discoveries.append(Discovery((), (*found.skipped, *_inside_a_package(path)), (path,)))
    return merge(discoveries)


def _inside_a_package(path: Path) -> tuple[Skipped, ...]:
    for folder in path.parents:
        if folder.name == "aiter" and is_folder(folder / "ops"):
            return (Skipped(path, f"lies inside the package {folder}: name that instead", True),)
    return ()
