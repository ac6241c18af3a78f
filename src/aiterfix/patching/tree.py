"""What is patched and where its state lives; and the refusals that need only a look.

A `PackageTree` names an installation by paths. Whoever reads or writes it holds it (`held`): from then on the package
and the folder of our state are open descriptors, and every file of them is a `Place` below one of the two.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from aiterfix.patching import traces
from aiterfix.patching.failures import (
    WRITES_NOTHING,
    ChangedMeanwhileError,
    ForeignOwnerError,
    NotWritableError,
    OutsideTreeError,
    PathError,
    TooLongNameError,
)
from aiterfix.storage.digest import sha256_hex
from aiterfix.storage.held import Folder, Place, UntrustedError

TEMPORARY_SUFFIX = ".aiterfix-new"
_MOST_LINKS = 40
_LONGEST_NAME = 255  # bytes, on every usual file system


@dataclass(frozen=True)
class FileChange:
    """New content for one file.

    Attributes:
        path: absolute, inside the package.
        old: what was analysed; the change is refused where the file holds anything else.
        new: what it shall hold; the same as ``old`` for a file that the analysis rests on and that stays.
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
        image_root: root file system of the image that all of this lies in; links are resolved inside it.
    """

    root: Path
    package: Path
    dist_info: Path | None = None
    version: str | None = None
    image_root: Path | None = None


@dataclass(frozen=True)
class HeldTree:
    """An installed package that is held open.

    Attributes:
        tree: how it was named.
        home: the folder that holds our state, and whose lock is taken.
        in_dist_info: whether that is the distribution's, so that the state is listed in RECORD.
    """

    tree: PackageTree
    package: Folder
    home: Folder
    in_dist_info: bool

    @property
    def version(self) -> str | None:
        """The distribution's, where known."""
        return self.tree.version

    @property
    def owners(self) -> frozenset[int]:
        """Users whose state is believed: root, the caller, and the owner of the package folder."""
        assert self.package.owners is not None
        return self.package.owners

    @cached_property
    def state(self) -> Place:
        """The state directory: holds journal and originals while a patch is applied; absent otherwise."""
        return self.home.at(traces.IN_DIST_INFO if self.in_dist_info else traces.beside_tree(self.tree.package.name))

    @cached_property
    def staging(self) -> Place:
        """The state directory while it is being made; never holds anything that matters."""
        return self.state.with_name(self.state.name + traces.STAGING_SUFFIX)

    @cached_property
    def record(self) -> Place | None:
        """RECORD, where the distribution has one (a system package manager's has not)."""
        place = self.home.at("RECORD")
        return place if self.in_dist_info and place.exists() else None

    def listed_name(self, place: Place) -> str:
        """How RECORD names a file of our state."""
        assert self.tree.dist_info is not None
        return f"{self.tree.dist_info.name}/{place.relative}"

    def still_there(self) -> bool:
        """Whether the paths that name it still lead to what is held."""
        try:
            with (
                Folder.open(self.tree.package, self.tree.image_root) as package,
                Folder.open(self.home_path, self.tree.image_root) as home,
            ):
                return os.path.samestat(package.status, self.package.status) and os.path.samestat(
                    home.status, self.home.status
                )
        except OSError:
            return False

    @property
    def home_path(self) -> Path:
        """The path by which ``home`` was found."""
        return self.tree.dist_info if self.in_dist_info and self.tree.dist_info is not None else self.tree.root


@contextmanager
def held(tree: PackageTree, *, writing: bool) -> Iterator[HeldTree]:
    """Hold a package while it is looked at or changed.

    Args:
        writing: whether it is going to be changed. As root every folder and link on the way to it must then belong to
            root or to the package's owner: others could exchange it.

    Raises:
        UntrustedError, OutsideTreeError: it is not to be changed by that way.
        OSError: a folder is missing or can't be listed.
    """
    with ExitStack() as stack:
        package = stack.enter_context(Folder.open(tree.package, tree.image_root))
        root = stack.enter_context(Folder.open(tree.root, tree.image_root))
        home, in_dist_info = root, False
        # An editable install's dist-info stands elsewhere than its tree. The state goes with the tree then:
        # uninstalling removes the dist-info, and would take the way back with it.
        if tree.dist_info is not None:
            with Folder.open(tree.dist_info.parent, tree.image_root) as parent:
                in_dist_info = os.path.samestat(parent.status, root.status)
        if in_dist_info and tree.dist_info is not None:
            home = stack.enter_context(Folder.open(tree.dist_info, tree.image_root))
            if writing and tree.image_root is None and not home.path.is_relative_to(root.path):
                raise OutsideTreeError(
                    f"{tree.dist_info} leads out of {root.path}, to {home.path}",
                    why="A symbolic link on the way points elsewhere; the folder there may serve other installations.",
                    remedy="Replace the link by a copy of what it points to.",
                )
        owners = frozenset({0, os.geteuid(), package.status.st_uid})
        package.owners = home.owners = owners
        if writing and os.geteuid() == 0:
            _require_own_way((package, home), owners)
        yield HeldTree(tree, package, home, in_dist_info)


def _require_own_way(folders: Iterable[Folder], owners: frozenset[int]) -> None:
    trusted = owners if _whole_world() else owners | {_overflow_user()}
    for folder in folders:
        for path, status in folder.way:
            if status.st_uid not in trusted:
                raise UntrustedError(
                    errno.EPERM, f"belongs to user {status.st_uid}, who is not trusted here", str(path)
                )


def _whole_world() -> bool:
    """Whether every user of the machine has a number here. In a user namespace those without share one."""
    try:
        return Path("/proc/self/uid_map").read_text(encoding="ascii").split() == ["0", "0", "4294967295"]
    except OSError:
        return True


def _overflow_user() -> int:
    try:
        return int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 65534


@contextmanager
def owners_rights(tree: HeldTree) -> Iterator[None]:
    """Go on with the rights of the package's owner, where root works on another user's package.

    The ids of the whole process change, so no other thread may count on root's meanwhile.

    Raises:
        OSError: the system does not let root become that user (a user namespace without him).
    """
    status = tree.package.status
    if os.geteuid() != 0 or status.st_uid == 0:
        yield
        return
    groups, group = os.getgroups(), os.getegid()
    try:
        try:
            os.setgroups([status.st_gid])
            os.setegid(status.st_gid)
            os.seteuid(status.st_uid)
        except OSError as failure:
            failure.filename = str(tree.package.path)
            raise
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        if os.getgroups() != groups:
            os.setgroups(groups)


@dataclass(frozen=True)
class TargetFile:
    """A file of the package, links resolved, and what it is now.

    Attributes:
        names: relative to the package folder: first its own path, then the one it was asked for under,
            where that leads through a link.
        status: of the very file that was read.
    """

    place: Place
    names: tuple[str, ...]
    status: os.stat_result
    data: bytes

    @cached_property
    def sha256(self) -> str:
        """Digest of the content, hexadecimal."""
        return sha256_hex(self.data)


def temporary(place: Place) -> Place:
    """The name under which a new version of a file is written before it takes its place.

    It follows from the file's name, so that what a killed run left can be found again.
    """
    return place.with_name(f".{place.name}{TEMPORARY_SUFFIX}")


def nameable(place: Place) -> bool:
    """Whether a file system takes the temporary name of this file."""
    return len(os.fsencode(temporary(place).name)) <= _LONGEST_NAME


def settled(tree: HeldTree, name: str) -> Place:
    """A name below the package folder with links resolved; missing pieces stay as they are.

    Raises:
        OutsideTreeError: a link leads out of the package.
    """
    base = list(tree.package.path.parts)
    here, pending, links = list(base), [piece for piece in name.split("/") if piece not in ("", ".")], 0
    while pending:
        piece = pending.pop(0)
        if piece == "..":
            here = here[:-1] or here
            continue
        here.append(piece)
        if here[: len(base)] != base or len(here) == len(base):
            continue  # a link went above the package; it may come back
        place = tree.package.at(*here[len(base) :])
        try:
            status = place.status_if_there()
        except NotADirectoryError:
            status = None
        if status is None or not stat.S_ISLNK(status.st_mode):
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(place))
        target = place.link()
        if target.startswith("/"):
            here = list((tree.tree.image_root or Path("/")).parts)
        else:
            here.pop()
        pending = [part for part in target.split("/") if part not in ("", ".")] + pending
    if here[: len(base)] != base:
        raise OutsideTreeError(
            f"{tree.package.path / name} leads out of the package, to {Path(*here)}",
            why="A symbolic link on the way points elsewhere; the file there may serve other installations.",
            remedy="Replace the link by a copy of what it points to, or patch the installation that owns the file.",
        )
    return tree.package.at(*here[len(base) :])


def look(tree: HeldTree, path: Path) -> TargetFile:
    """Read a file of the package.

    Args:
        path: absolute, as the analysis named it.

    Raises:
        PathError: it is not in the package.
        OutsideTreeError: it is, but a link leads out.
        RefusedFileError: something else than a plain file stands there.
        OSError: it is missing or can't be read.
    """
    spelled = Path(os.path.normpath(path))
    package = next((p for p in (tree.tree.package, tree.package.path) if spelled.is_relative_to(p)), None)
    if package is None or spelled == package:
        raise PathError(
            f"{path} is not a file of {tree.tree.package}",
            why="Only files inside the package folder are changed.",
            remedy="Name the installation that holds the file.",
        )
    name = spelled.relative_to(package).as_posix()
    return read_target(tree, name)


def read_target(tree: HeldTree, name: str) -> TargetFile:
    """Read a file by its name below the package folder.

    Raises:
        OutsideTreeError, RefusedFileError, OSError: as in `look`.
    """
    place = settled(tree, name)
    data, status = place.read()
    return TargetFile(place, tuple(dict.fromkeys((place.relative, name))), status, data)


def require_owner(place: Place, status: os.stat_result) -> None:
    """Refuse where replacing a file would change its owner."""
    user = os.geteuid()
    if user not in (0, status.st_uid):
        raise ForeignOwnerError(
            f"{place} belongs to user {status.st_uid}, and this process works as user {user}. Nothing was changed.",
            why="The new file would belong to someone else than the old one; root works with the rights of the user "
            "to whom the package folder belongs.",
            remedy="Run the command as the owner of the file, give it to the owner of the package, "
            f"or {WRITES_NOTHING}",
        )


def require_replaceable(place: Place, status: os.stat_result) -> None:
    """Refuse where replacing a file would change its owner or is not permitted.

    Raises:
        ForeignOwnerError, NotWritableError, ChangedMeanwhileError, TooLongNameError: the reason.
    """
    require_owner(place, status)
    require_nameable(place)
    require_writable(place.parent)
    left = temporary(place)
    if left.exists():
        raise ChangedMeanwhileError(
            f"{left} is in the way. Nothing was changed.",
            why="The new file is written under that name first; no journal says where this one comes from.",
            remedy="Remove it and run the command again.",
        )


def require_nameable(place: Place) -> None:
    """Refuse a file whose temporary name would be too long.

    Raises:
        TooLongNameError: naming it.
    """
    if not nameable(place):
        raise TooLongNameError(
            f"The name of {place} is too long to replace the file. Nothing was changed.",
            why=f"Its new version is written beside it first, under a name that is "
            f"{len(TEMPORARY_SUFFIX) + 1} bytes longer; a name has at most {_LONGEST_NAME}.",
            remedy=f"Give the file a shorter name, or {WRITES_NOTHING}",
        )


def require_writable(directory: Place) -> None:
    """Refuse where names in ``directory`` can't be changed; knows read-only file systems, for root too."""
    with (directory / "any").folder() as folder:
        if os.access(".", os.W_OK | os.X_OK, dir_fd=folder, effective_ids=True):
            return
        read_only = bool(os.fstatvfs(folder).f_flag & os.ST_RDONLY)
    raise NotWritableError(
        f"{directory} is {'on a read-only file system' if read_only else 'not writable'}. Nothing was changed.",
        why="Files are replaced by renaming, which needs the right to write in their directory.",
        remedy=f"Run the command as the owner of the installation, or where the image is built, or {WRITES_NOTHING}",
    )


def require_distinct(targets: Iterable[TargetFile]) -> None:
    """Refuse two changes of one file."""
    seen: set[Place] = set()
    for target in targets:
        if target.place in seen:
            raise PathError(
                f"{target.place} was given twice",
                why="Two changes of one file contradict each other, under different names too.",
                remedy="Join them into one.",
            )
        seen.add(target.place)
