"""Whatever stands where reading comes by: named or passed over at once, never followed out of an image, never clean.

Each case takes an installation whose kernels are clean, puts something in the place of one file or folder, and runs
`check`. The test ids are the table; their number is the figure.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import pytest

import aiterfix
from aiterfix.cli.main import main
from aiterfix.demo import write_sample
from tests.closing import close
from tests.trees import KERNEL_SOURCE, checkout, finder_source, write

SITE = "opt/venv/lib/python3.12/site-packages"
_PACKAGE = f"{SITE}/aiter"
_INFO = f"{SITE}/amd_aiter-0.0.1+sample.dist-info"
DECIDING = (
    SITE,
    _PACKAGE,
    f"{_PACKAGE}/__init__.py",
    f"{_PACKAGE}/another_kernel.py",
    f"{_PACKAGE}/ops",
    f"{_PACKAGE}/ops/triton",
    f"{_PACKAGE}/ops/triton/__init__.py",
    f"{_PACKAGE}/ops/triton/gluon",
    f"{_PACKAGE}/ops/triton/gluon/pa_mqa_logits.py",
    f"{_PACKAGE}/ops/triton/attention/pa_mqa_logits.py",
    f"{_PACKAGE}/ops/triton/_triton_kernels/attention/pa_mqa_logits.py",
    f"{SITE}/other.pth",
    f"{SITE}/__editable___amd_aiter_9_finder.py",
    f"{SITE}/amd-aiter.egg-link",
    f"{SITE}/aiter.py",
    "opt/venv/pyvenv.cfg",
)
"""In whose place something is put that may hide kernels: such an installation is not clean."""
OTHER = (
    f"{_PACKAGE}/ops/triton/attention",
    _INFO,
    f"{_INFO}/METADATA",
    f"{_INFO}/RECORD",
    f"{_INFO}/direct_url.json",
    f"{_PACKAGE}/_version.py",
    f"{_PACKAGE}/ops/triton/configs",
    f"{_PACKAGE}/ops/triton/configs/paged_mqa_logits/aot",
    f"{_PACKAGE}/ops/triton/configs/paged_mqa_logits/aot/one/kernel.hsaco",
    f"{_PACKAGE}/ops/triton/configs/tuned.json",
    "srv/clone/.git",
    "srv/clone/.git/HEAD",
    "srv/clone/.git/refs/heads/main",
    "srv/clone/aiter/_version.py",
    f"{SITE}/vllm",
    f"{SITE}/vllm/__init__.py",
    f"{SITE}/vllm/_version.py",
)
MOST = (64 << 20) + 1
"""Bytes that one call may ask for."""


@dataclass
class World:
    """An image (or, without its top-level folders, a prefix), and beside it what it must not lead to."""

    image: Path
    host: Path


def _out(place: Path, world: World) -> None:
    below = len(place.parts) - 1
    place.symlink_to("../" * (below + 9) + str(world.host / place.name).lstrip("/"))


def _host_path(place: Path, world: World) -> None:
    place.symlink_to(world.host / place.name)


def _loop(place: Path, world: World) -> None:
    place.symlink_to(place.name)


def _fifo(place: Path, world: World) -> None:
    os.mkfifo(place)


def _folder(place: Path, world: World) -> None:
    place.mkdir()


def _socket(place: Path, world: World) -> None:
    before = Path.cwd()
    os.chdir(place.parent)  # a socket's path may be 107 bytes long
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(place.name)
    finally:
        os.chdir(before)


def _sparse(place: Path, world: World) -> None:
    with place.open("wb") as file:
        file.truncate(40 << 30)


def _device(place: Path, world: World) -> None:
    """What layers hold where a file was removed."""
    try:
        os.mknod(place, stat.S_IFCHR, os.makedev(0, 0))
    except PermissionError:
        pytest.skip("devices cannot be made here")


KINDS: dict[str, Callable[[Path, World], None]] = {
    "out": _out,
    "host-path": _host_path,
    "loop": _loop,
    "fifo": _fifo,
    "folder": _folder,
    "socket": _socket,
    "sparse": _sparse,
    "device": _device,
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A clean installation with everything beside it that reading comes by, and what a link out would lead to."""
    folder, host = tmp_path_factory.mktemp("template"), tmp_path_factory.mktemp("host")
    site = folder / SITE
    site.mkdir(parents=True)
    write_sample(site)
    write(folder / "opt/venv/pyvenv.cfg", "home = /usr/bin\n")
    assert main(["apply", "--path", str(site), "--require"]) == 0
    write(site / "aiter/_version.py", "__version__ = '0.0.1'\n")
    write(site / "aiter/ops/triton/configs/tuned.json", "{}")
    write(site / "aiter/ops/triton/configs/paged_mqa_logits/aot/one/kernel.hsaco")
    write(folder / f"{_INFO}/direct_url.json", "{}")
    write(site / "vllm/__init__.py")
    write(site / "vllm/_version.py", "__version__ = '1'\n")
    write(site / "other.pth", "/srv/none\n")
    write(site / "__editable__.amd_aiter.pth", "import __editable___amd_aiter_9_finder\n")
    write(site / "__editable___amd_aiter_9_finder.py", finder_source({"another": "/srv/another"}))
    for name in {Path(p).name for p in (*DECIDING, *OTHER)}:
        place = host / name
        if "." in name.lstrip(".") and not name.endswith(".dist-info"):
            write(place, KERNEL_SOURCE)
        else:
            shutil.copytree(site / "aiter", place / "aiter" if name == "site-packages" else place)
    return World(folder, host)


@pytest.fixture
def world(template: World, tmp_path: Path, remembered: None) -> Iterator[World]:
    image = tmp_path / "image"
    shutil.copytree(template.image, image, symlinks=True)

    def too_late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("check hangs")

    before = signal.signal(signal.SIGALRM, too_late)
    signal.setitimer(signal.ITIMER_REAL, 30)
    yield World(image, template.host)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where every descriptor led that was opened; and no call asks for more bytes than it may."""
    places: list[Path] = []
    real_open, real_read = os.open, os.read

    def open_(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        descriptor = real_open(path, flags, mode, dir_fd=dir_fd)
        places.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        return descriptor

    def read(descriptor: int, length: int) -> bytes:
        assert length <= MOST
        return real_read(descriptor, length)

    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(os, "read", read)
    return places


def _as_image(world: World) -> list[str]:
    for name in ("usr/bin", "etc", "var"):
        (world.image / name).mkdir(parents=True)
    return ["check", "--root", str(world.image)]


def _put(world: World, path: str, kind: str) -> Path:
    place = world.image / path
    if path.startswith("srv"):  # a second installation, which would outlive the first
        shutil.rmtree(checkout(world.image / "srv/clone", git="branch", version="0.0.1") / "ops/triton/gluon")
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
    KINDS[kind](place, world)
    return place


def _expected(path: str, kind: str) -> tuple[int, ...]:
    """Exit codes. An empty folder in the place of one is no more than a deletion: what is left is judged."""
    emptied = kind == "folder" and "." not in Path(path).name
    return (3, 4) if path in DECIDING and not emptied else (0, 3, 4) if emptied else (0, 3)


def test_what_the_cases_start_from_is_clean(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--path", str(world.image / SITE)]) == 0
    assert main(_as_image(world)) == 0
    assert "clean" in capsys.readouterr().out


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", [*DECIDING, *OTHER])
def test_in_an_image(
    world: World, opened: list[Path], path: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = _as_image(world)
    place = _put(world, path, kind)
    status = main(words)
    said = capsys.readouterr()
    ours = Path(aiterfix.__file__).parents[2]
    settings = (ours, *Path.cwd().parents)  # may stand in any of them
    elsewhere = [p for p in opened if not p.is_relative_to(world.image) and not p.is_relative_to(ours)]
    assert [p for p in elsewhere if p not in settings] == []
    assert status in _expected(path, kind)
    if kind == "out" and status == 3:
        assert str(place) in said.out
    assert "unexpected" not in said.err


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("out", "host-path")])
@pytest.mark.parametrize("path", [p for p in (*DECIDING, *OTHER) if p.startswith("opt")])
def test_on_this_machine(
    world: World, opened: list[Path], path: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _put(world, path, kind)
    status = main(["check", "--path", str(world.image / "opt/venv")])
    assert status in _expected(path, kind)
    assert "unexpected" not in capsys.readouterr().err


@pytest.mark.parametrize("path", [p for p in DECIDING if p != f"{SITE}/aiter.py"])
def test_what_cannot_be_read_is_not_clean(
    world: World, path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = _as_image(world)
    place = world.image / path
    if not place.exists():
        write(place)
    close(monkeypatch, place)
    # A kernel file that was changed by us is compared with what is recorded of it before anything is judged.
    assert main(words) in ((3, 4) if place.name == "pa_mqa_logits.py" else (3,))
    said = capsys.readouterr()
    assert str(place) in said.out + said.err


def test_memory_stays_bounded(world: World) -> None:
    # Files, each as long as a source may be, and sparse: together more than a package may have.
    for number in range(200):
        with (world.image / _PACKAGE / f"m{number}.py").open("wb") as file:
            file.truncate(4 << 20)
    words = [sys.executable, "-c", _MEASURED, *_as_image(world)]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 3, ran.stderr
    assert "MiB of source" in ran.stdout
    assert int(ran.stderr.split()[-1]) < 700_000, "KiB"


# Not `ru_maxrss`: it keeps what the process that started this one had.
_MEASURED = """
import sys
from aiterfix.cli.main import main
status = main(sys.argv[1:])
with open("/proc/self/status") as said:
    sys.stderr.write(next(line.split()[1] for line in said if line.startswith("VmHWM:")) + "\\n")
sys.exit(status)
"""
