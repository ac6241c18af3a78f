"""From a package folder that was found to the facts about it: kind, distribution, version, commit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aiterfix.installation.gitcommit import head_commit
from aiterfix.installation.listing import Listing
from aiterfix.installation.metadata import (
    Metadata,
    commit_of_version,
    owns_package,
    parse_version_file,
    read_origin,
)
from aiterfix.installation.recognise import Nature, Recognised
from aiterfix.installation.target import Installation, Kind, Skipped
from aiterfix.installation.view import View


def not_amd(package: Path, judged: Recognised, listing: Listing, view: View) -> Skipped:
    """A folder whose contents are not AMD's; metadata of AMD's that owns it makes that a doubt."""
    claimed = judged.nature is not Nature.REMNANT and any(
        metadata.amd and owns_package(metadata, view, package.name) for metadata in listing.metadata
    )
    reason = judged.reason + ("; the metadata beside it says amd-aiter" if claimed else "")
    return Skipped(package, reason, claimed or judged.nature is Nature.DOUBTFUL)


def describe(
    package: Path, listing: Listing, pointer: Listing | None, view: View, *, found_by: str, shadowed: bool
) -> Installation:
    """State kind, distribution, version and commit of a package folder that is AMD's.

    Args:
        listing: its parent.
        pointer: the site folder that leads to it, for an editable install.
        found_by: for people.
        shadowed: see ``Installation``.
    """
    root = package.parent
    stated = parse_version_file(view.text(package / "_version.py") or b"")
    owners = [item for item in listing.metadata if owns_package(item, view, package.name)]
    metadata = _best(owners, stated.version, view)
    in_place = metadata is not None and (metadata.dist_info or not listing.source_tree)
    if not in_place and pointer is not None:
        # Without RECORD nothing says what the metadata owns; a site folder with no package of its own owns none.
        theirs = [item for item in pointer.metadata if pointer.folder is None or not owns_package(item, view)]
        metadata = _best(theirs, None, view) or metadata
        kind = Kind.EDITABLE
    elif in_place:
        kind = Kind.WHEEL
    else:
        kind = Kind.CHECKOUT if listing.source_tree or _source_layout(root, view) else Kind.TREE
    version = metadata.version if metadata is not None and metadata.version else stated.version
    commit = read_origin(metadata, view).commit if metadata is not None else None
    if kind in (Kind.EDITABLE, Kind.CHECKOUT):
        # The tree moves on after it was installed: what is checked out now comes before what was recorded then.
        commit = head_commit(root, view) or (head_commit(root.parent, view) if root.name == "src" else None) or commit
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


def _source_layout(root: Path, view: View) -> bool:
    return root.name == "src" and any(view.exists(root.parent / name) for name in ("pyproject.toml", "setup.py"))


def _best(candidates: Sequence[Metadata], version: str | None, view: View) -> Metadata | None:
    """The metadata that most likely describes the package: AMD's name, the package's own version, the newest."""

    def rank(item: Metadata) -> tuple[bool, bool, bool, int]:
        status = view.look(item.path) if len(candidates) > 1 else None
        changed = 0 if status is None else status.st_mtime_ns
        return item.amd, version is not None and item.version == version, item.dist_info, changed

    return max(candidates, key=rank, default=None)
