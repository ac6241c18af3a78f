"""What an attacker may put where this project reads and writes, and pictures that show whether it reached further."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aiterfix.errors import AiterfixError
from aiterfix.patching import fsops
from aiterfix.patching.disk import apply, recover, revert
from aiterfix.patching.status import PatchState, read_status
from aiterfix.patching.tree import FileChange
from aiterfix.storage.held import Place
from tests.patching.conftest import PRIMITIVES, Picture, PowerOff, Tree

STRANGER = 4242
"""A user who is neither root, nor the caller, nor the owner of anything."""
Act = Callable[[Tree], object]
SECONDS = 5.0
"""No call takes longer than this, whatever stands there; a hundredth of it would be plenty."""
View = dict[str, tuple[object, ...]]


def view(top: Path) -> View:
    """Everything below a folder, itself included: kind, mode, owner, time, content or target."""
    seen: View = {}
    for path in [top, *sorted(top.rglob("*"))]:
        status = path.lstat()
        what: tuple[object, ...] = (stat.filemode(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns)
        if stat.S_ISREG(status.st_mode):
            what += (status.st_nlink, path.read_bytes())
        elif stat.S_ISLNK(status.st_mode):
            what += (str(path.readlink()),)
        seen[str(path.relative_to(top))] = what
    return seen


def make_victim(at: Path) -> Path:
    """A folder that has nothing to do with the package, with names that ours have too."""
    at.mkdir()
    for name in ("secret.txt", "journal.json", "one.py", "RECORD", "one.cpython-311.pyc", "0" * 64 + ".saved"):
        (at / name).write_bytes(b"victim's " + name.encode())
        (at / name).chmod(0o600)
    (at / "empty").mkdir()
    (at / "__pycache__").mkdir()
    return at


def apply_first(tree: Tree) -> object:
    return applying(tree, tree.first())(tree)


def applying(tree: Tree, changes: Sequence[FileChange]) -> Act:
    """An `apply` of changes that were worked out before."""
    return lambda _: apply(tree.package_tree, changes, annotations={"fix": "some"})


def take_back(tree: Tree) -> object:
    return revert(tree.package_tree)


def mend(tree: Tree) -> object:
    return recover(tree.package_tree)


@contextmanager
def watched(before: Callable[[str], None]) -> Iterator[None]:
    """Call ``before`` with its name before every call that changes the file system."""
    real = {name: getattr(fsops, name) for name in PRIMITIVES}

    def wrap(name: str) -> Callable[..., object]:
        def call(*arguments: object, **more: object) -> object:
            before(name)
            return None if name == "fsync" else real[name](*arguments, **more)

        return call

    for name in real:
        setattr(fsops, name, wrap(name))
    try:
        yield
    finally:
        for name, function in real.items():
            setattr(fsops, name, function)


def cut_off(tree: Tree, act: Act, at: int) -> bool:
    """Have ``act`` die before a call; whether there was such a call."""
    left = [at]

    def before(_: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise PowerOff

    with watched(before):
        try:
            act(tree)
        except PowerOff:
            return True
    return False


def ready(tree: Tree, act: str) -> Act:
    """Bring a tree where an act has something to do; give that act."""
    if act == "apply":
        return applying(tree, tree.first())
    if act.startswith("recover"):
        # Every new file is beside its target; or in its place, while the journal still says `applying`.
        assert cut_off(tree, apply_first, 46 if act == "recover-early" else 60)
        return mend
    apply_first(tree)
    tree.run_it()
    return applying(tree, tree.second()) if act == "apply-on-top" else take_back


ACTS = ("apply", "apply-on-top", "revert", "recover-early", "recover")


# What to put somewhere. Each is given the place, which is free, and the victim folder.
def link_to_file(place: Path, victim: Path) -> None:
    place.symlink_to(victim / "secret.txt")


def link_to_folder(place: Path, victim: Path) -> None:
    place.symlink_to(victim)


def link_by_relative_path(place: Path, victim: Path) -> None:
    place.symlink_to(os.path.relpath(victim / "one.py", place.parent))


def dangling_link(place: Path, victim: Path) -> None:
    place.symlink_to(victim / "not-there")


def loop(place: Path, victim: Path) -> None:
    place.symlink_to(place.name)


def fifo(place: Path, victim: Path) -> None:
    os.mkfifo(place)


def a_socket(place: Path, victim: Path) -> None:
    here = os.open(".", os.O_RDONLY)
    os.chdir(place.parent)  # A socket's path is bounded.
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(place.name)
    finally:
        os.fchdir(here)
        os.close(here)


def folder(place: Path, victim: Path) -> None:
    place.mkdir()
    (place / "stranger's").write_bytes(b"diary")


def plain_file(place: Path, victim: Path) -> None:
    place.write_bytes(b"not what is expected\n")


def sparse(place: Path, victim: Path) -> None:
    with place.open("wb") as file:
        file.truncate(40 << 30)


def device(place: Path, victim: Path) -> None:
    os.mknod(place, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # zeros without end


PLANTS: dict[str, Callable[[Path, Path], None]] = {
    function.__name__: function
    for function in (
        *(link_to_file, link_to_folder, link_by_relative_path, dangling_link, loop, fifo, a_socket, folder),
        *(plain_file, sparse, device),
    )
}


def places(tree: Tree) -> list[Path]:
    """Every path that the transaction touches, whether anything stands there now or not, from the root down."""
    state = tree.state_dir
    saved = sorted(state.glob("*.saved"))[:1] if state.is_dir() else []
    found = [
        tree.root,
        tree.path(""),
        tree.path("ops"),
        tree.path("late"),
        tree.path("ops/one.py"),
        tree.path("ops/one.pyc"),
        tree.path("ops/.one.py.aiterfix-new"),
        tree.path("ops/__pycache__"),
        tree.path("ops/__pycache__/one.cpython-311.pyc"),
        tree.path("ops/__pycache__/.one.cpython-311.pyc.aiterfix-new"),
        tree.path("late/__pycache__"),
        tree.path("late/__pycache__/three.cpython-311.pyc"),
        state,
        state.with_name(state.name + ".tmp"),
        state / "journal.json",
        state / ".journal.json.aiterfix-new",
        *saved,
    ]
    if tree.dist_info is None:
        return [*found, state / ".gitignore"]
    return [*found, tree.dist_info, tree.record, tree.dist_info / ".RECORD.aiterfix-new"]


@contextmanager
def planted(place: Path, plant: Callable[[Path, Path], None], victim: Path) -> Iterator[None]:
    """Put something in a place; what was there is aside meanwhile, and comes back."""
    aside = victim.parent / "aside"
    was = os.path.lexists(place)
    if was:
        place.rename(aside)
    plant(place, victim)
    try:
        yield
    finally:
        remove(place)
        if was and place.parent.is_dir():
            aside.rename(place)
        elif was:
            remove(aside)  # a `revert` went through, and took the folder away


def remove(place: Path) -> None:
    """Whatever stands there, links not followed."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    elif os.path.lexists(place):
        place.unlink()


def apart(picture: Picture, *places: str) -> Picture:
    """A picture without some names and all below them."""
    return {
        name: seen
        for name, seen in picture.items()
        if not any(place == "." or name == place or name.startswith(f"{place}/") for place in places)
    }


def ends(tree: Tree, act: Act) -> AiterfixError | None:
    """How an act ends: soon, and by no other exception than those that say what to do."""
    start = time.monotonic()
    error = None
    try:
        assert read_status(tree.package_tree).kind in PatchState
    except OSError as failure:
        assert failure.filename, repr(failure)
    try:
        act(tree)
    except AiterfixError as failure:
        assert failure.remedy
        error = failure
    assert time.monotonic() - start < SECONDS
    return error


def stands_there(tree: Tree, act: str, plant: str, index: int) -> bool:
    """One act with something strange in one place; False where there is no such place.

    Whatever comes of it, the victim is as it was, the error names the place, and when the strange thing is gone
    the old tree can be had.
    """
    victim = make_victim(tree.root.parent / "victim")
    pristine, untouched = tree.picture(), view(victim)
    run = ready(tree, act)
    if index >= len(places(tree)) or not (place := places(tree)[index]).parent.is_dir():
        return False
    gone = False
    with planted(place, PLANTS[plant], victim):
        error = ends(tree, run)
        assert view(victim) == untouched, f"{place}: {error}"
        if error is not None:
            assert place.name in str(error) or "victim" in str(error), f"{place}: {error}"
        else:
            gone = ends(tree, take_back) is None
            assert view(victim) == untouched, place
    recover(tree.package_tree)
    revert(tree.package_tree)
    assert view(victim) == untouched, f"{place}: {error}"
    # What had its place taken was not there to be given back; nor bytecode whose saved copy was damaged.
    left = os.path.relpath(place, tree.root) if gone else "none"
    without = [left, *(name for name in pristine if place.suffix == ".saved" and name.endswith(".pyc"))]
    assert apart(tree.picture(), *without) == apart(pristine, *without), f"{place}: {error}"
    return True


@contextmanager
def watched_access(before: Callable[[], None], after: Callable[[], None]) -> Iterator[None]:
    """Call something before and after every access below a held folder: reads, looks and writes alike."""
    real = Place.folder

    @contextmanager
    def folder(self: Place) -> Iterator[int]:
        before()
        try:
            with real(self) as descriptor:
                yield descriptor
        finally:
            after()

    setattr(Place, "folder", folder)  # noqa: B010 - a method, which mypy does not let anybody replace
    try:
        yield
    finally:
        setattr(Place, "folder", real)  # noqa: B010


def exchangeable(tree: Tree) -> list[Path]:
    """What somebody would exchange: folders, and files that are read and replaced; not below our own directory."""
    found = [tree.path("ops"), tree.path("late"), tree.path("ops/one.py"), tree.path("late/three.py")]
    found += [tree.path("ops/__pycache__"), tree.path("late/__pycache__")]
    found += [tree.path("ops/__pycache__/one.cpython-311.pyc"), tree.state_dir]
    found += [tree.state_dir.with_name(tree.state_dir.name + ".tmp")]
    if os.geteuid() == 0:
        # A link that belongs to a stranger, which is what keeps root from following it.
        found.append(tree.path(""))
    return found if tree.dist_info is None else [*found, tree.record, tree.dist_info]


class Exchange:
    """A place whose content is swapped for a link to a copy of it, and back."""

    def __init__(self, place: Path, copy: Path, aside: Path) -> None:
        self.place, self.copy, self.aside = place, copy, aside
        self.done = False

    def there(self) -> None:
        """The link takes the place."""
        if self.done or not os.path.lexists(self.place):
            return
        if not self.copy.exists():
            (shutil.copytree if self.place.is_dir() else shutil.copy2)(self.place, self.copy)
            self.untouched = view(self.copy)
        link = self.aside.with_name("link")
        link.symlink_to(self.copy)
        if os.geteuid() == 0:
            os.chown(link, STRANGER, STRANGER, follow_symlinks=False)
        self.place.rename(self.aside)
        self.done = True
        link.rename(self.place)

    def back(self) -> None:
        """The place is as it was; what was put there meanwhile goes."""
        if not self.done:
            return
        if self.place.is_symlink():
            self.place.unlink()
            self.aside.rename(self.place)
        else:
            remove(self.aside)  # the link was replaced, or a `revert` took its folder away
        self.done = False

    def require_untouched(self) -> None:
        """Nothing has happened to what the link leads to."""
        if self.copy.exists():
            assert view(self.copy) == self.untouched, f"{self.place} led out"


def exchanged(tree: Tree, act: str, index: int, at: int, *, once: bool) -> bool:
    """One act during which a place is exchanged before an access; False where there is no such place or access.

    Args:
        tree: a fresh one.
        act: what is done.
        index: of the place.
        at: number of the access.
        once: whether the place is as it was after that access, so that no later look can notice.
    """
    pristine = tree.picture()
    run = ready(tree, act)
    if index >= len(exchangeable(tree)):
        return False
    place = exchangeable(tree)[index]
    swap = Exchange(place, tree.root.parent / "copy", tree.root.parent / "aside")
    count = [0]

    def before() -> None:
        if count[0] == at:
            swap.there()
        count[0] += 1

    def after() -> None:
        if once and count[0] == at + 1:
            swap.back()

    error = None
    with watched_access(before, after):
        try:
            run(tree)
        except AiterfixError as failure:
            error = failure
    if count[0] <= at:
        return False
    swap.require_untouched()
    swap.back()
    recover(tree.package_tree)
    revert(tree.package_tree)
    swap.require_untouched()
    # Who puts a file back himself has its bytecode made anew.
    now, then = (
        {n: s for n, s in p.items() if not n.endswith((".pyc", "/__pycache__"))} for p in (tree.picture(), pristine)
    )
    assert now == then, f"{place}, access {at}, {act}: {error}"
    return True
