"""What is patched and where its state lives; and the refusals that need only a look."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from aiterfix.patching import traces
from aiterfix.patching.failures import (
    ChangedMeanwhileError,
    ForeignOwnerError,
    NotARegularFileError,
    NotWritableError,
    OutsideTreeError,
    PathError,
)
from aiterfix.storage.digest import sha256_hex

TEMPORARY_SUFFIX = ".aiterfix-new"


@dataclass(frozen=True)
class FileChange:
    """New content for one file.

    Attributes:
        path: absolute, inside the package.
        old: what was analysed; the change is refused where the file holds anything else.
        new: what it shall hold.
    """

    path: Path
    old: bytes
    new: bytes


@dataclass(frozen=True)
class PackageTree:
    """One installed package.

    Attributes:
        root: the directory that contains the package folder: a site-packages, or the root of a checkout.
        package: the package folder; nothing outside of it is changed but RECORD.
        dist_info: the distribution's ``*.dist-info``; None for a checkout or a bare tree.
        version: the distribution's version, where known. It is noted in the journal.
    """

    root: Path
    package: Path
    dist_info: Path | None = None
    version: str | None = None

    @cached_property
    def home(self) -> Path:
        """The directory that holds the state directory, and whose lock is taken.

        An editable install's dist-info stands elsewhere than its tree. The state goes with the tree then:
        uninstalling removes the dist-info, and would take the way back with it.
        """
        if self.dist_info is not None and _same(self.dist_info.parent, self.root):
            return self.dist_info
        return self.root

    @property
    def in_dist_info(self) -> bool:
        """Whether the state is part of the distribution, and so listed in RECORD."""
        return self.home == self.dist_info

    @property
    def state_dir(self) -> Path:
        """Holds journal and originals while a patch is applied; absent otherwise."""
        return self.home / (traces.IN_DIST_INFO if self.in_dist_info else traces.beside_tree(self.package.name))

    @property
    def staging_dir(self) -> Path:
        """The state directory while it is being made; never holds anything that matters."""
        return self.state_dir.with_name(self.state_dir.name + traces.STAGING_SUFFIX)

    @cached_property
    def record(self) -> Path | None:
        """RECORD, where the distribution has one (a system package manager's has not)."""
        if not self.in_dist_info:
            return None
        path = self.home / "RECORD"
        return path if os.path.lexists(path) else None

    @cached_property
    def real_package(self) -> Path:
        """The package folder with links resolved."""
        return Path(os.path.realpath(self.package))

    def listed_name(self, path: Path) -> str:
        """How RECORD names ``path``."""
        return os.path.relpath(path, self.home.parent)


@dataclass(frozen=True)
class TargetFile:
    """A file of the package, links resolved, and what it is now.

    Attributes:
        path: absolute, without links.
        names: relative to the package folder: first its own path, then the one it was asked for under,
            where that leads through a link.
        status: from ``lstat``.
        data: its content.
    """

    path: Path
    names: tuple[str, ...]
    status: os.stat_result
    data: bytes

    @cached_property
    def sha256(self) -> str:
        """Digest of the content, hexadecimal."""
        return sha256_hex(self.data)


def temporary(path: Path) -> Path:
    """The name under which a new version of ``path`` is written before it takes its place.

    It follows from the path, so that what a killed run left can be found again.
    """
    return path.with_name(f".{path.name}{TEMPORARY_SUFFIX}")


def inside(tree: PackageTree, path: Path) -> Path:
    """``path`` with links resolved, if that is inside the package.

    Raises:
        PathError: the path is not in the package to begin with.
        OutsideTreeError: it is, but a link leads out.
    """
    real = Path(os.path.realpath(path))
    if real.is_relative_to(tree.real_package):
        return real
    spelled = Path(os.path.normpath(path))
    if spelled.is_relative_to(tree.package) or spelled.is_relative_to(tree.real_package):
        raise OutsideTreeError(
            f"{path} leads out of the package, to {real}",
            why="A symbolic link on the way points elsewhere; the file there may serve other installations.",
            remedy="Replace the link by a copy of what it points to, or patch the installation that owns the file.",
        )
    raise PathError(
        f"{path} is not a file of {tree.package}",
        why="Only files inside the package folder are changed.",
        remedy="Name the installation that holds the file.",
    )


def look(tree: PackageTree, path: Path) -> TargetFile:
    """Read a file of the package.

    Raises:
        PathError, OutsideTreeError: see `inside`.
        NotARegularFileError: something else stands there.
        OSError: it is missing or can't be read.
    """
    real = inside(tree, path)
    status = os.lstat(real)
    require_regular(real, status)
    names = [os.path.relpath(real, tree.real_package)]
    spelled = Path(os.path.normpath(path))
    if spelled.is_relative_to(tree.package):
        name = os.path.relpath(spelled, tree.package)
        if name not in names:
            names.append(name)
    return TargetFile(real, tuple(names), status, real.read_bytes())


def require_regular(path: Path, status: os.stat_result) -> None:
    """Refuse anything that is not a plain file."""
    if not stat.S_ISREG(status.st_mode):
        raise NotARegularFileError(
            f"{path} is not a regular file",
            why=f"Its type is {stat.filemode(status.st_mode)[0]!r}; only plain files are replaced.",
            remedy="Put a plain file there, or reinstall the package.",
        )


def require_owner(path: Path, status: os.stat_result) -> None:
    """Refuse where replacing ``path`` would change its owner."""
    user = os.geteuid()
    if user not in (0, status.st_uid):
        raise ForeignOwnerError(
            f"{path} belongs to user {status.st_uid}, and this process runs as user {user}. Nothing was changed.",
            why="The new file would belong to someone else than the old one.",
            remedy="Run the command as that user or as root, or use the import hook, which writes nothing.",
        )


def require_replaceable(path: Path, status: os.stat_result) -> None:
    """Refuse where replacing ``path`` would change its owner or is not permitted.

    Raises:
        ForeignOwnerError, NotWritableError, ChangedMeanwhileError: the reason.
    """
    require_owner(path, status)
    require_writable(path.parent)
    left = temporary(path)
    if os.path.lexists(left):
        raise ChangedMeanwhileError(
            f"{left} is in the way. Nothing was changed.",
            why="The new file is written under that name first; no journal says where this one comes from.",
            remedy="Remove it and run the command again.",
        )


def require_writable(directory: Path) -> None:
    """Refuse where names in ``directory`` can't be changed; knows read-only file systems, for root too."""
    if os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        return
    read_only = bool(os.statvfs(directory).f_flag & os.ST_RDONLY)
    raise NotWritableError(
        f"{directory} is {'on a read-only file system' if read_only else 'not writable'}. Nothing was changed.",
        why="Files are replaced by renaming, which needs the right to write in their directory.",
        remedy="Run the command as the owner of the installation, patch where the image is built, "
        "or use the import hook, which writes nothing.",
    )


def require_distinct(targets: Iterable[TargetFile]) -> None:
    """Refuse two changes of one file."""
    seen: set[Path] = set()
    for target in targets:
        if target.path in seen:
            raise PathError(
                f"{target.path} was given twice",
                why="Two changes of one file contradict each other, under different names too.",
                remedy="Join them into one.",
            )
        seen.add(target.path)


def _same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
