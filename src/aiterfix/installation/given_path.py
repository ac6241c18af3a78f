"""``--path`` and ``--root``: an environment, a checkout, the package itself, or the root file system of an image."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import replace
from pathlib import Path

from aiterfix.errors import UsageError
from aiterfix.installation.describe import describe, not_amd
from aiterfix.installation.forms import Form, form_of
from aiterfix.installation.listing import list_folder
from aiterfix.installation.pointers import PathEntry
from aiterfix.installation.recognise import Nature, recognise
from aiterfix.installation.search import Search, merge
from aiterfix.installation.survey import survey
from aiterfix.installation.target import Discovery, Skipped
from aiterfix.installation.view import View, absolute, image_root_above

_SITE_NAMES = ("site-packages", "dist-packages")
_LIBRARY = re.compile(r"(?:python|pypy)3(?:\.\d+t?)?")


def find_path(path: Path) -> Discovery:
    """Find ``aiter`` in a folder of this machine.

    Args:
        path: a site-packages folder, a virtual environment or other prefix, a checkout, the package folder itself, or
            any folder that holds some of these. A wheel, or an image that is a file or an OCI layout, is read where
            it is.

    Raises:
        UsageError: nothing is there, it seems to lie in an image, whose links mean other places than here, or it is
            an archive of another kind.
        EnvironmentProblem: an archive cannot be read or decompressed here.
    """
    given = path
    path = absolute(given) or given
    if not os.path.lexists(path):
        raise UsageError(
            f"{given} does not exist", remedy="give a site-packages, a prefix, a checkout or the package folder"
        )
    form = form_of(path)
    if form is not None:
        return _find_in_archive(path, form, None)
    image = image_root_above(path)
    if image is not None:
        raise UsageError(
            f"{given} {'looks like' if image == path else 'seems to lie in'} the root file system of an image",
            why="Absolute links in an image mean places inside it. Its root has to be said.",
            remedy=f"Give {_in_image(path, image)} instead. If {image} is no image: "
            f"--root / --path {shlex.quote(os.fspath(path))}",
        )
    return _find(path, View())


def find_image(root: Path, path: Path | None = None) -> Discovery:
    """Find ``aiter`` in the root file system of an image, or in one of its layers.

    Args:
        root: where it is unpacked or mounted, or the file that holds it; ``/`` for this machine.
        path: a folder in it, absolute as the image sees it; one that begins with ``root`` is understood too, where the
            image has nothing of that name. None for all of the image.

    Raises:
        UsageError: nothing is there, or an archive that holds no image.
        EnvironmentProblem: an archive cannot be read or decompressed here.
    """
    top = absolute(root) or root
    form = form_of(top)
    if form is not None:
        return _find_in_archive(top, form, path)
    if not os.path.isdir(top):  # noqa: PTH112 - no exception for a name that is too long
        raise UsageError(f"--root {root} is no folder", remedy="Give where the image is unpacked or mounted.")
    image = None if top == Path(top.anchor) else top
    view = View(image)
    place = top if path is None else _place(path, top, view)
    return replace(_find(place, view), image_root=image)


def _find_in_archive(top: Path, form: Form, path: Path | None) -> Discovery:
    """Find ``aiter`` in a wheel, or in an image that is a file, which is not unpacked for it."""
    from aiterfix.installation.archives import mount  # few look at archives
    from aiterfix.installation.streams import ArchiveError

    try:
        mount(top, form)
    except ArchiveError as error:
        return Discovery((), (Skipped(top, str(error.strerror), True),), (top,))
    view = View(top)
    if form is Form.WHEEL and path is None:
        return replace(_environment([top], view, "the wheel"), image_root=top)
    return replace(_find(top if path is None else _place(path, top, view), view), image_root=top)


def _place(path: Path, root: Path, view: View) -> Path:
    """Where a folder of the image is on this machine."""
    if not path.is_absolute():
        raise UsageError(
            f"--path {path} is relative", remedy="With --root, give --path as the image sees it: --path /opt/venv"
        )
    inside = root.joinpath(*path.parts[1:])
    if view.exists(inside) or view.is_link(inside):
        if path.is_relative_to(root) and view.image_root is not None and view.exists(path):
            raise UsageError(
                f"--path {path} may be meant as this machine sees it, or as {root} does, and is there for both",
                remedy=f"Give it as the image sees it: --path {Path('/', *path.relative_to(root).parts)}",
            )
        return inside
    if view.refused:
        return inside  # the search says so
    if path.is_relative_to(root) and (view.exists(path) or view.is_link(path)):
        return path
    raise UsageError(
        f"{path} does not exist in {root}", remedy="With --root, give --path as the image sees it: --path /opt/venv"
    )


def _in_image(path: Path, root: Path) -> str:
    """The arguments that name a folder of an image."""
    words = ["--root", os.fspath(root)]
    for start in (path, Path(os.path.realpath(path))):
        if start.is_relative_to(root) and start != root:
            words += ["--path", os.fspath(Path("/", *start.relative_to(root).parts))]
            break
    return shlex.join(words)


def _find(path: Path, view: View) -> Discovery:
    found = _looked_at(path, view)
    return replace(found, skipped=tuple(dict.fromkeys((*found.skipped, *view.refused))))


def _looked_at(path: Path, view: View) -> Discovery:
    if not view.is_folder(path):
        return _not_a_folder(path, view)
    path = view.settle(path)
    if path in (view.image_root, Path(path.anchor)):
        return _everywhere(path, view)
    if _is_package(path, view):
        return _package(path, view)
    folders = [path] if _is_path_entry(path, view) else []
    source = path / "src"
    if not folders and view.is_folder(source / "aiter"):
        folders = [source]
    if folders:
        return _environment(folders, view, f"--path {path}")
    prefix = prefix_folders(path, view)
    if prefix:
        return merge([_environment(group, view, f"prefix {path}") for group in prefix])
    return _everywhere(path, view)


def prefix_folders(prefix: Path, view: View) -> list[list[Path]]:
    """The site folders of a prefix, one group for each Python version, in that interpreter's order.

    A virtual environment that includes its base's site folders gets those of its version after its own.
    """
    groups: dict[str, list[Path]] = {}
    for library in ("lib", "lib64"):
        base = view.settle(prefix / library)
        for name in _names(base, view):
            if _LIBRARY.fullmatch(name):
                for site in _SITE_NAMES:
                    folder = view.settle(base / name / site)
                    if view.is_folder(folder) or view.is_link(folder):
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
            for name in _names(place, view):
                if _LIBRARY.fullmatch(name) and name != "python3":
                    folders = [view.settle(place / name / site) for site in _SITE_NAMES]
                    groups.setdefault(name, []).extend(folder for folder in folders if view.is_folder(folder))
    for folders in groups.values():
        folders.extend(folder for folder in shared if view.is_folder(folder))
    return groups


def _base_of_environment(prefix: Path, view: View) -> Path | None:
    settings: dict[str, str] = {}
    for line in (view.text(prefix / "pyvenv.cfg", doubt=True) or b"").decode("utf-8", "surrogateescape").splitlines():
        key, equals, value = line.partition("=")
        if equals and "\0" not in value:
            settings[key.strip().lower()] = value.strip()
    if settings.get("include-system-site-packages", "").lower() != "true" or "home" not in settings:
        return None
    return view.enter(settings["home"]).parent


def _names(folder: Path, view: View) -> list[str]:
    try:
        return sorted(view.names(folder)) if view.is_folder(folder) else []
    except OSError as error:
        view.refuse(folder, error, doubt=True)
        return []


def _not_a_folder(path: Path, view: View) -> Discovery:
    if view.refused:
        return Discovery((), (), ())
    if view.is_link(path) and not view.exists(path):
        reason = "a link that leads nowhere"
    else:
        reason = (
            "a file: name the package folder, a site-packages, a prefix or a checkout (an archive is not installed)"
        )
    return Discovery((), (Skipped(path, reason, True),), ())


def _is_package(path: Path, view: View) -> bool:
    """Whether the folder is the package itself, not a checkout that is called like it."""
    if view.is_folder(path / "aiter"):
        return False
    if view.is_folder(path / "ops" / "triton"):
        return True
    return path.name == "aiter" and view.is_file(path / "__init__.py")


def _is_path_entry(path: Path, view: View) -> bool:
    if path.name in _SITE_NAMES:
        return True
    listing = list_folder(path, view)
    if listing.error is not None:
        return True  # the search says why it cannot be listed
    if listing.folder is not None:
        # A folder `aiter` that holds a checkout is not the package: what is below must be surveyed.
        folder = listing.folder
        return listing.regular or view.is_folder(folder / "ops") or not view.is_folder(folder / "aiter")
    # .pth files alone say nothing: trained weights have the same suffix.
    return bool(listing.metadata or listing.egg_links or listing.broken_link)


def _package(path: Path, view: View) -> Discovery:
    judged = recognise(path, view)
    listing = list_folder(path.parent, view)
    if judged.nature is not Nature.AMD:
        return Discovery((), (not_amd(path, judged, listing, view),), (path,))
    found = describe(path, listing, None, view, found_by=f"--path {path}", shadowed=False)
    return Discovery((found,), (), (path.parent,))


def _environment(folders: list[Path], view: View, origin: str) -> Discovery:
    return Search(view, expand=True).run(PathEntry(folder, origin) for folder in folders)


def _everywhere(path: Path, view: View) -> Discovery:
    """Search an image, or a folder of unknown make: every environment and every source tree in it."""
    found = survey(path, view)
    groups: list[list[Path]] = []
    grouped: set[Path] = set()
    if path in (view.image_root, Path(path.anchor)):
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
    known = {view.real(item.package) for discovery in discoveries for item in discovery.installations}
    for tree in found.source_trees:
        if view.real(tree / "aiter") not in known:
            discoveries.append(_environment([tree], view, "a source tree that no site folder points to"))
    discoveries.append(Discovery((), (*found.skipped, *_inside_a_package(path, view)), (path,), view.image_root))
    return merge(discoveries)


def _inside_a_package(path: Path, view: View) -> tuple[Skipped, ...]:
    for folder in path.parents:
        if folder == view.image_root:
            break
        if folder.name == "aiter" and view.is_folder(folder / "ops"):
            return (Skipped(path, f"lies inside the package {folder}: name that instead", True),)
    return ()
