"""Kernels are found by name anywhere in the package."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from aiterfix.installation import kernelfiles
from aiterfix.installation.kernelfiles import KernelSearch, PackageText
from tests.closing import close
from tests.trees import GLUON_KERNEL, GLUON_MODULE, KERNEL_SOURCE, amd_package, write

NEEDLES = ("_deepgemm_fp8_paged_mqa_logits", GLUON_KERNEL, "_another_kernel")


def test_found_wherever_they_stand(tmp_path: Path) -> None:
    package = amd_package(tmp_path, kernels={})
    places = ["new_place.py", "ops/triton/_gluon_kernels/gfx950/attention/mqa.py", "ops/triton/odd/inside.py"]
    for place in places:
        write(package / place, KERNEL_SOURCE)
    write(package / "ops/other.py", "def _another_kernel_of_a_kind(): ...\n")
    write(package / "ops/__pycache__/mqa.py", KERNEL_SOURCE)
    write(package / "ops/mqa.txt", KERNEL_SOURCE)
    found = PackageText(package).naming(NEEDLES)
    assert [path.relative_to(package).as_posix() for path in found.files] == sorted([*places, "ops/other.py"])
    assert found.unreadable == ()


def test_a_folder_called_like_a_source_is_searched_and_a_doubt(tmp_path: Path) -> None:
    package = amd_package(tmp_path, kernels={"ops/triton/odd.py/inside.py": KERNEL_SOURCE})
    found = PackageText(package).naming(NEEDLES)
    assert found.files == (package / "ops/triton/odd.py/inside.py",)
    assert [(i.path.name, i.reason, i.doubt) for i in found.unreadable] == [
        ("odd.py", "is a folder, not a regular file", True)
    ]


def test_none(tmp_path: Path) -> None:
    assert PackageText(amd_package(tmp_path)).naming(["_no_such_kernel"]) == KernelSearch((), ())


def test_files_of_other_kinds_are_kept_where_they_are_asked_for(tmp_path: Path) -> None:
    package = amd_package(tmp_path / "site", kernels={})
    places = [write(package / "ops" / name, "{}") for name in ("a.json", "b.txt", "folder.json/c.json")]
    (package / "linked.json").symlink_to(write(tmp_path / "cache/1234", "{}"))
    (package / "broken.json").symlink_to(tmp_path / "nowhere")
    found = PackageText(package, None, (".json",))
    kept = {Path(path).relative_to(package).as_posix() for path in found.contents if not path.endswith(".py")}
    assert kept == {"ops/a.json", "ops/folder.json/c.json", "linked.json"}
    assert found.unreadable == ()
    assert not {*map(str, places)} & {*PackageText(package).contents}


@pytest.mark.parametrize("needles", [[], [""], ["a", ""]])
def test_needles_must_mean_something(tmp_path: Path, needles: list[str]) -> None:
    with pytest.raises(ValueError, match="kernel names"):
        PackageText(tmp_path).naming(needles)


def test_source_is_bytes(tmp_path: Path) -> None:
    package = amd_package(tmp_path, kernels={})
    write(package / "latin.py", b"# \xe9\xff\r\n" + KERNEL_SOURCE.encode())
    assert [path.name for path in PackageText(package).naming(NEEDLES).files] == ["latin.py"]


def test_link_to_a_file_outside_is_read_where_it_stands(tmp_path: Path) -> None:
    package = amd_package(tmp_path / "site", kernels={})
    cached = write(tmp_path / "cache/1234", KERNEL_SOURCE)
    (package / GLUON_MODULE).symlink_to(cached)
    found = PackageText(package).naming(NEEDLES)
    assert found.files == (package / GLUON_MODULE,)
    assert found.unreadable == ()


def test_links_inside_the_package_are_not_counted_twice(tmp_path: Path) -> None:
    package = amd_package(tmp_path)
    (package / "alias.py").symlink_to(GLUON_MODULE)
    (package / "again").symlink_to("ops")
    (package / "ops/up").symlink_to("..")
    (package / "ops/out").symlink_to(tmp_path)
    found = PackageText(package).naming(NEEDLES)
    assert found.files == (package / GLUON_MODULE,)
    assert found.unreadable == ()


def test_link_inside_to_another_suffix_is_read(tmp_path: Path) -> None:
    package = amd_package(tmp_path, kernels={"ops/kernel.txt": KERNEL_SOURCE})
    (package / "ops/kernel.py").symlink_to("kernel.txt")
    assert PackageText(package).naming(NEEDLES).files == (package / "ops/kernel.py",)


def test_link_to_a_folder_outside_is_a_doubt(tmp_path: Path) -> None:
    package = amd_package(tmp_path / "site", kernels={})
    write(tmp_path / "elsewhere/pa_mqa_logits.py", KERNEL_SOURCE)
    (package / "ops/more").symlink_to(tmp_path / "elsewhere")
    found = PackageText(package).naming(NEEDLES)
    assert found.files == ()
    assert [(item.path, item.doubt) for item in found.unreadable] == [(package / "ops/more", True)]


@pytest.mark.parametrize("target", ["gone", "loop.py"])
def test_dangling_link_is_a_doubt(tmp_path: Path, target: str) -> None:
    package = amd_package(tmp_path)
    (package / "loop.py").symlink_to(target)
    (package / "data.json").symlink_to("gone")
    found = PackageText(package).naming(NEEDLES)
    assert [item.path.name for item in found.unreadable] == ["loop.py"]


@pytest.mark.parametrize("name", ["gluon", "kernels.py", "kernels.so", "kernels.pyc"])
def test_dangling_link_to_what_import_could_take_is_a_doubt(tmp_path: Path, name: str) -> None:
    package = amd_package(tmp_path)
    (package / "ops" / name).symlink_to("/gone/away")
    (item,) = PackageText(package).naming(NEEDLES).unreadable
    assert item.path == package / "ops" / name
    assert item.doubt
    assert "leads nowhere" in item.reason


@pytest.mark.parametrize(("name", "target"), [("kernel.py", "__pycache__/kernel.py"), ("more", "__pycache__")])
def test_links_into_folders_that_are_not_searched(tmp_path: Path, name: str, target: str) -> None:
    package = amd_package(tmp_path, kernels={"ops/__pycache__/kernel.py": KERNEL_SOURCE})
    (package / "ops" / name).symlink_to(target)
    found = PackageText(package).naming(NEEDLES)
    if name == "more":
        assert [item.path.name for item in found.unreadable] == ["more"]
    else:
        assert found.files == (package / "ops/kernel.py",)


def test_a_tree_too_deep_or_too_long_is_a_doubt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = amd_package(tmp_path)
    write(package.joinpath("ops", *["deep"] * 200, "x.py"))
    with (package / "ops/long.py").open("wb") as file:
        file.truncate(40 << 30)
    found = PackageText(package).naming(NEEDLES)
    assert sorted(item.reason for item in found.unreadable) == [
        "has more than 4194304 bytes",
        "more than 128 folders deep",
    ]
    monkeypatch.setattr(kernelfiles, "_MOST_IN_ALL", 100)
    assert any("MiB of source" in item.reason for item in PackageText(package).naming(NEEDLES).unreadable)


def test_linked_package_folder(tmp_path: Path) -> None:
    package = amd_package(tmp_path / "real")
    (tmp_path / "aiter").symlink_to(package)
    assert PackageText(tmp_path / "aiter").naming(NEEDLES).files == (tmp_path / "aiter" / GLUON_MODULE,)


def test_absolute_links_of_an_image_stay_inside_it(tmp_path: Path) -> None:
    write(tmp_path / "cache/kernel", "# the host's\n")
    package = amd_package(tmp_path / "image/site", kernels={})
    write(tmp_path / "image" / str(tmp_path / "cache/kernel").lstrip("/"), KERNEL_SOURCE)
    (package / GLUON_MODULE).symlink_to(tmp_path / "cache/kernel")
    assert PackageText(package).naming(NEEDLES).files == ()
    assert PackageText(package, tmp_path / "image").naming(NEEDLES).files == (package / GLUON_MODULE,)


def test_special_files_do_not_hold_it_up(tmp_path: Path) -> None:
    package = amd_package(tmp_path)
    os.mkfifo(package / "fifo.py")
    with socket.socket(socket.AF_UNIX) as server:
        before = Path.cwd()
        os.chdir(package)  # a socket's path may be 107 bytes long
        try:
            server.bind("socket.py")
        finally:
            os.chdir(before)
        found = PackageText(package).naming(NEEDLES)
    assert found.files == (package / GLUON_MODULE,)
    assert [item.path.name for item in found.unreadable] == ["fifo.py", "socket.py"]


def test_unreadable_folder_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = amd_package(tmp_path)
    closed = {package / "jit", package / GLUON_MODULE}
    close(monkeypatch, *closed)
    found = PackageText(package).naming(NEEDLES)
    assert found.files == ()
    assert {item.path for item in found.unreadable} == closed
    assert all(item.doubt for item in found.unreadable)


def test_file_that_grows_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = amd_package(tmp_path, kernels={"grown.py": "#" * 10_000 + KERNEL_SOURCE})
    real = os.fstat

    class Shorter:
        def __init__(self, status: os.stat_result) -> None:
            self.st_mode, self.st_size = status.st_mode, min(status.st_size, 100)

    monkeypatch.setattr(os, "fstat", lambda descriptor: Shorter(real(descriptor)))
    assert PackageText(package).naming(NEEDLES).files == (package / "grown.py",)
