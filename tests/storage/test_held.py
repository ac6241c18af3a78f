"""Files and folders by descriptor: where links lead, what is not read, whom folders may belong to."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiterfix.storage.held import (
    Folder,
    LeavesRootError,
    NotRegularError,
    Place,
    RefusedFileError,
    TooLongError,
    UntrustedError,
    open_file,
    read_file,
    require_trusted,
)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files away")


def write(path: Path, data: bytes = b"data") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A root with files, beside a file of the host that has the same name as one inside."""
    root = tmp_path / "image"
    write(root / "etc" / "name", b"image's")
    write(root / "usr" / "lib" / "one.py", b"one")
    write(tmp_path / "etc" / "name", b"host's")
    return root


# Links on the way.


@pytest.mark.parametrize(
    "target", ["/etc/name", "../etc/name", "../usr/../etc/name", "./../etc/./name", "//etc//name", "../lib/name"]
)
def test_a_link_resolves_inside_the_root(image: Path, target: str) -> None:
    (image / "lib").symlink_to("/etc")
    (image / "usr" / "link").symlink_to(target)
    assert read_file(image / "usr" / "link", image) == b"image's"
    assert read_file(image / "lib" / "name", image) == b"image's"


@pytest.mark.parametrize("target", ["../../etc/name", "../../../../../../etc/passwd", "/..", "/usr/../../etc/name"])
def test_a_link_that_leaves_the_root_is_refused_by_name(image: Path, target: str) -> None:
    link = image / "usr" / "link"
    link.symlink_to(target)
    with pytest.raises(LeavesRootError) as caught:
        read_file(link, image)
    assert caught.value.filename == str(link)
    with pytest.raises(LeavesRootError):
        Folder.open(link, image)
    with pytest.raises(LeavesRootError):
        read_file(link / "below", image)


def test_a_path_that_is_not_in_the_root(image: Path, tmp_path: Path) -> None:
    with pytest.raises(LeavesRootError, match="is not in"):
        read_file(tmp_path / "etc" / "name", image)


def test_a_link_whose_target_is_only_on_the_host(image: Path, tmp_path: Path) -> None:
    (image / "usr" / "link").symlink_to(tmp_path / "etc" / "name")
    with pytest.raises(FileNotFoundError):
        read_file(image / "usr" / "link", image)
    assert read_file(image / "usr" / "link") == b"host's"


@pytest.mark.parametrize("root", [False, True])
def test_loops_end(image: Path, root: bool) -> None:
    (image / "a").symlink_to("b")
    (image / "b").symlink_to("a")
    (image / "deep").symlink_to("deep/deep")
    for name in ("a", "b", "deep", "a/x"):
        with pytest.raises(OSError) as caught:
            read_file(image / name, image if root else None)
        assert caught.value.errno == errno.ELOOP
        assert caught.value.filename
        with pytest.raises(OSError, match="Too many levels"):
            Folder.open(image / name, image if root else None)


@pytest.mark.parametrize("links", [1, 39, 40, 41, 60])
def test_as_many_links_as_the_system_follows(tmp_path: Path, links: int) -> None:
    (tmp_path / "0").mkdir()
    for number in range(links):
        (tmp_path / str(number + 1)).symlink_to(str(number))
    last = tmp_path / str(links)
    try:
        last.stat()
    except OSError:
        with pytest.raises(OSError, match="Too many levels"):
            Folder.open(last)
        return
    with Folder.open(last) as folder:
        assert folder.path == Path(os.path.realpath(tmp_path)) / "0"


def test_what_was_passed_on_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "real" / "in").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    with Folder.open(tmp_path / "link" / "in") as folder:
        passed = {step.path: stat.S_IFMT(step.status.st_mode) for step in folder.way}
    here = Path(os.path.realpath(tmp_path))
    assert passed[here / "link"] == stat.S_IFLNK
    assert passed[here / "real"] == passed[here / "real" / "in"] == passed[here] == stat.S_IFDIR
    assert folder.path == here / "real" / "in"


_names = st.sampled_from(["a", "b", "c", "..", ".", ""])
_paths = st.lists(_names, min_size=1, max_size=5).map("/".join)


@settings(max_examples=80)
@given(
    folders=st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=3), max_size=6),
    links=st.lists(
        st.tuples(st.lists(st.sampled_from("abc"), min_size=1, max_size=3), st.booleans(), _paths), max_size=6
    ),
    asked=_paths,
)
def test_as_the_system_does(folders: list[list[str]], links: list[tuple[list[str], bool, str]], asked: str) -> None:
    """Without a root: the folder that the system opens. With one: never anything outside."""
    base = Path(os.path.realpath(tempfile.mkdtemp()))
    try:
        root = base / "a"  # so that names outside are like those inside
        (base / "b" / "c").mkdir(parents=True)
        root.mkdir()
        for parts in folders:
            try:
                root.joinpath(*parts).mkdir(parents=True, exist_ok=True)
            except OSError:
                continue
        for parts, absolute, target in links:
            place = root.joinpath(*parts)
            if os.path.lexists(place) or not place.parent.is_dir():
                continue
            place.symlink_to(f"{root}/{target}" if absolute else target or ".")
        path = Path(f"{root}/{asked}")
        try:
            expected = path.stat()
            if not stat.S_ISDIR(expected.st_mode):
                return
        except OSError as failure:
            with pytest.raises(OSError) as caught:
                Folder.open(path)
            assert caught.value.errno == failure.errno
        else:
            with Folder.open(path) as folder:
                assert os.path.samestat(folder.status, expected)
                assert folder.path == Path(os.path.realpath(path))
        try:
            with Folder.open(path, root) as folder:
                assert folder.path.is_relative_to(root)
                assert os.path.samestat(folder.path.lstat(), folder.status)
                assert all(step.path.is_relative_to(root) for step in folder.way)
        except OSError:
            pass
    finally:
        shutil.rmtree(base)


# What is not read.


def fifo(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("no devices may be made here")


def folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "word"), [(fifo, "FIFO"), (a_socket, "socket"), (device, "device"), (folder, "folder")]
)
@pytest.mark.timeout(10)
def test_special_files_are_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], word: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make(Path("strange"))
    path = tmp_path / "strange"
    (tmp_path / "link").symlink_to("strange")
    for root in (None, tmp_path):
        for name in ("strange", "link"):
            with pytest.raises(NotRegularError, match=f"a {word}, not a regular file") as caught:
                open_file(tmp_path / name, root)
            assert caught.value.filename == str(tmp_path / name)
    with Folder.open(tmp_path) as here, pytest.raises(NotRegularError, match=word):
        here.at("strange").read()
    assert path.exists()


def test_a_device_of_the_system_is_not_read() -> None:
    with pytest.raises(NotRegularError, match="a device"):
        read_file(Path("/dev/zero"))


def test_a_sparse_file_of_40_gigabytes_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(40 << 30)
    with pytest.raises(TooLongError, match="more than 67108864 bytes"):
        read_file(path)
    with Folder.open(tmp_path) as here, pytest.raises(TooLongError) as caught:
        here.at("sparse").read()
    assert caught.value.filename == str(Path(os.path.realpath(path)))


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 12])
def test_as_many_bytes_as_allowed(tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "file", b"x" * size)
    if size > 10:
        with pytest.raises(TooLongError):
            read_file(path, most=10)
    else:
        assert read_file(path, most=10) == b"x" * size


def test_a_file_that_says_it_is_empty_and_is_not() -> None:
    assert read_file(Path("/proc/self/status")).startswith(b"Name:")
    with pytest.raises(TooLongError):
        read_file(Path("/proc/self/status"), most=10)


# Below a held folder.


def test_no_link_is_followed_below(tmp_path: Path) -> None:
    write(tmp_path / "real" / "file")
    (tmp_path / "linked").symlink_to("real")
    (tmp_path / "real" / "link").symlink_to("file")
    with Folder.open(tmp_path) as here:
        for act in (Place.read, Place.status, Place.link, Place.names, Place.exists, Place.is_folder):
            with pytest.raises(NotRegularError, match="is a link, to real") as caught:
                act(here.at("linked", "file"))
            assert caught.value.filename == str(here.path / "linked")
        with pytest.raises(NotRegularError, match="a link"):
            here.at("real/link").read()
        with pytest.raises(NotRegularError, match="a link"):
            here.at("linked").names()
        assert here.at("real/link").link() == "file"
        assert here.at("real/link").exists()
        assert not here.at("linked").is_folder()
        assert here.at("real", "file").read()[0] == b"data"
        assert here.at("real").names() == ["file", "link"]
        assert here.at("none/none").status_if_there() is None


@pytest.mark.parametrize("parts", [("..",), ("a", "..", "b"), ("a/../b",), ("/etc",), ("a", "/etc"), ("a\0b",)])
def test_a_name_that_would_lead_elsewhere(tmp_path: Path, parts: tuple[str, ...]) -> None:
    with Folder.open(tmp_path) as here, pytest.raises(ValueError, match="not a path below"):
        here.at(*parts)


def test_places_know_their_names(tmp_path: Path) -> None:
    with Folder.open(tmp_path) as here:
        place = here.at("a/./b//c.py")
        assert (place.relative, place.name, place.parent.relative) == ("a/b/c.py", "c.py", "a/b")
        assert place == here.at("a", "b", "c.py") == here.at("a") / "b/c.py"
        assert len({place, here.at("a/b/c.py"), here.at("a/b/d.py")}) == 2
        assert place.with_name("x").relative == "a/b/x"
        assert PurePosixPath(str(place)) == PurePosixPath(here.path) / "a/b/c.py"
        assert sorted([here.at("b"), here.at("a")]) == [here.at("a"), here.at("b")]
        assert here.at().name == "." and here.at().is_folder()
        with pytest.raises(ValueError, match="itself"):
            _ = here.at().parent


def test_a_folder_that_is_exchanged_for_a_link_between_two_calls(tmp_path: Path) -> None:
    write(tmp_path / "sub" / "file", b"ours")
    write(tmp_path / "victim" / "file", b"theirs")
    with Folder.open(tmp_path) as here:
        place = here.at("sub", "file")
        assert place.read()[0] == b"ours"
        (tmp_path / "sub").rename(tmp_path / "aside")
        (tmp_path / "sub").symlink_to("victim")
        with pytest.raises(NotRegularError):
            place.read()


def test_a_held_folder_is_the_one_that_was_opened(tmp_path: Path) -> None:
    write(tmp_path / "sub" / "file", b"ours")
    write(tmp_path / "victim" / "file", b"theirs")
    with Folder.open(tmp_path / "sub") as here:
        (tmp_path / "sub").rename(tmp_path / "aside")
        (tmp_path / "sub").symlink_to("victim")
        assert here.at("file").read()[0] == b"ours"
        assert here.at().names() == ["file"]


def test_an_exchange_while_a_place_is_reached(tmp_path: Path) -> None:
    write(tmp_path / "sub" / "file", b"ours")
    write(tmp_path / "victim" / "file", b"theirs")
    with Folder.open(tmp_path) as here, here.at("sub", "file").folder() as descriptor:
        (tmp_path / "sub").rename(tmp_path / "aside")
        (tmp_path / "sub").symlink_to("victim")
        with os.fdopen(os.open("file", os.O_RDONLY, dir_fd=descriptor), "rb") as file:
            assert file.read() == b"ours"


def test_descriptors_are_let_go(tmp_path: Path, image: Path) -> None:
    (image / "loop").symlink_to("loop")
    (image / "usr" / "out").symlink_to("../../x")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        for path in ("loop", "usr/out", "none/x", "etc/name/x", "usr/lib"):
            for root in (None, image):
                with suppress(OSError):
                    Folder.open(image / path, root).close()
                with suppress(OSError):
                    read_file(image / path, root)
        with Folder.open(image) as here:
            for act in (Place.read, Place.names, Place.status_if_there):
                for path in ("etc/name", "loop/x", "etc/name/x/y", "usr/lib", "none/x/y"):
                    with suppress(OSError):
                        act(here.at(path))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_failure_names_the_place(tmp_path: Path) -> None:
    write(tmp_path / "file")
    with Folder.open(tmp_path) as here:
        for path, kind in (
            ("none", FileNotFoundError),
            ("file/x/y", NotADirectoryError),
            ("none/x", FileNotFoundError),
        ):
            with pytest.raises(kind) as caught:
                here.at(path).read()
            assert str(here.path) in str(caught.value.filename)


# Whom they may belong to.


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755, 0o664, 0o646, 0o777, 0o1777])
def test_who_else_may_write(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "file")
    path.chmod(mode)
    owners = frozenset({os.geteuid()})
    if mode & 0o022:
        with pytest.raises(UntrustedError, match="written by others") as caught:
            require_trusted(path.stat(), path, owners)
        assert f"{mode:04o}" in str(caught.value)
    else:
        require_trusted(path.stat(), path, owners)
    with pytest.raises(UntrustedError, match="belongs to user"):
        require_trusted(path.stat(), path, frozenset({os.geteuid() + 1}))


@as_root
def test_folders_of_others_are_not_entered(tmp_path: Path) -> None:
    write(tmp_path / "theirs" / "deep" / "file")
    os.chown(tmp_path / "theirs", 4242, 4242)
    with Folder.open(tmp_path) as here:
        assert here.at("theirs/deep/file").read()[0] == b"data"  # anybody's
        here.owners = frozenset({0})
        for path, act in (("theirs/deep/file", Place.read), ("theirs/deep", Place.exists), ("theirs", Place.names)):
            with pytest.raises(UntrustedError, match="belongs to user 4242") as caught:
                act(here.at(path))
            assert caught.value.filename == str(here.path / "theirs")
        assert issubclass(UntrustedError, RefusedFileError)
        here.owners = frozenset({0, 4242})
        assert here.at("theirs/deep/file").read()[0] == b"data"
