"""What is not an installation is named, with a reason, and leaves a doubt exactly where it may be AMD's."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from aiterfix.installation.given_path import find_path
from tests.closing import close
from tests.trees import (
    amd_package,
    checkout,
    dist_info,
    editable_finder,
    editable_path_line,
    egg_link,
    finder_source,
    unrelated_package,
    wheel_install,
    write,
)


def _dangling_path_line(site: Path) -> None:
    editable_path_line(site, site.parent / "gone/aiter")


def _dangling_line_of_another_name(site: Path) -> None:
    write(site / "_editable_impl_amd_aiter.pth", "/nowhere/src\n")


def _dangling_finder(site: Path) -> None:
    editable_finder(site, site.parent / "gone/aiter")


def _dangling_egg_link(site: Path) -> None:
    egg_link(site, site.parent / "gone")
    (site.parent / "gone").rename(site.parent / "moved")


def _empty_egg_link(site: Path) -> None:
    write(site / "amd-aiter.egg-link")


def _missing_finder(site: Path) -> None:
    write(site / "x.pth", "import __editable___amd_aiter_finder; __editable___amd_aiter_finder.install()\n")


def _redirecting_loader(site: Path) -> None:
    write(site / "_amd_aiter_editable.pth", "import _amd_aiter_editable\n")
    write(site / "_amd_aiter_editable.py", "import sys\nsys.meta_path.insert(0, Finder({'aiter': build()}))\n")


def _computed_mapping(site: Path) -> None:
    write(site / "x.pth", "import __editable___x_finder; __editable___x_finder.install()\n")
    write(site / "__editable___x_finder.py", "import sys\nMAPPING = {'aiter': place()}\nsys.meta_path.append(None)\n")


def _partial_mapping(site: Path) -> None:
    package = amd_package(site.parent / "clone")
    write(site / "x.pth", "import __editable___x_finder; __editable___x_finder.install()\n")
    write(site / "__editable___x_finder.py", finder_source({"aiter.ops": str(package / "ops")}))


def _mapped_module(site: Path) -> None:
    write(site.parent / "clone/aiter.py")
    editable_finder(site, site.parent / "clone/aiter")


def _inline_code(site: Path) -> None:
    write(site / "x.pth", "import sys; sys.modules.setdefault('aiter', None)\n")


def _start_file(site: Path) -> None:
    write(site / "x.start", "__editable___amd_aiter_finder:install\n")


def _archive(site: Path) -> None:
    with zipfile.ZipFile(site / "all.zip", "w") as archive:
        archive.writestr("aiter/__init__.py", "")
        archive.writestr("aiter/ops/triton/__init__.py", "")
    write(site / "x.pth", "all.zip\n")


def _orphan_metadata(site: Path) -> None:
    dist_info(site)


def _broken_link(site: Path) -> None:
    (site / "aiter").symlink_to(site.parent / "gone")


def _broken_ops_link(site: Path) -> None:
    write(site / "aiter/__init__.py")
    (site / "aiter/ops").symlink_to(site.parent / "gone")


def _unforeseen_layout(site: Path) -> None:
    write(site / "aiter/__init__.py")
    write(site / "aiter/kernels/mqa.py", "import triton\n")


def _claimed_by_metadata(site: Path) -> None:
    write(site / "aiter/__init__.py")
    write(site / "aiter/core.py", "x = 1\n")
    dist_info(site, files=[site / "aiter"])


def _compiled_only(site: Path) -> None:
    write(site / "aiter/__init__.pyc", b"\0")
    write(site / "aiter/core.pyc", b"\0")


def _extension_module(site: Path) -> None:
    write(site / "aiter.cpython-311-x86_64-linux-gnu.so", b"\x7fELF")


def _module_with_kernels(site: Path) -> None:
    write(site / "aiter.py", "import triton\n")


def _very_many_files(site: Path) -> None:
    for number in range(450):
        write(site / f"aiter/m{number}.py")


def _very_many_path_lines(site: Path) -> None:
    write(site / "x.pth", "".join(f"/nowhere/{number}\n" for number in range(2000)))


def _very_long_path_file(site: Path) -> None:
    write(site / "x.pth", "#" * (2 << 20) + "\n/nowhere/aiter\n")


def _dangling_finder_module(site: Path) -> None:
    write(site / "x.pth", "import something; something.install()\n")
    (site / "something.py").symlink_to("/gone/something.py")


DOUBTFUL: list[Callable[[Path], None]] = [
    _dangling_path_line,
    _dangling_line_of_another_name,
    _dangling_finder,
    _dangling_egg_link,
    _empty_egg_link,
    _missing_finder,
    _redirecting_loader,
    _computed_mapping,
    _partial_mapping,
    _mapped_module,
    _inline_code,
    _start_file,
    _archive,
    _orphan_metadata,
    _broken_link,
    _broken_ops_link,
    _unforeseen_layout,
    _claimed_by_metadata,
    _compiled_only,
    _extension_module,
    _module_with_kernels,
    _very_many_files,
    _very_many_path_lines,
    _very_long_path_file,
    _dangling_finder_module,
]


def _unrelated(site: Path) -> None:
    unrelated_package(site)
    dist_info(site, name="aiter", version="0.13", files=[site / "aiter"])


def _remnant(site: Path) -> None:
    write(site / "aiter/jit/build/module_x/module.so", b"\x7fELF")
    write(site / "aiter/ops/triton/__pycache__/a.cpython-311.pyc", b"\0")


def _empty_folder(site: Path) -> None:
    (site / "aiter").mkdir()


def _interrupted_pip(site: Path) -> None:
    amd_package(site, name="~iter")


def _unrelated_archive(site: Path) -> None:
    with zipfile.ZipFile(site / "all.zip", "w") as archive:
        archive.writestr("aiter/__init__.py", "")
    write(site / "x.pth", "all.zip\n")


def _plain_module(site: Path) -> None:
    write(site / "aiter.py", "def aiter(): pass\n")


CERTAIN: list[Callable[[Path], None]] = [
    _unrelated,
    _remnant,
    _empty_folder,
    _interrupted_pip,
    _unrelated_archive,
    _plain_module,
]


def _other_projects(site: Path) -> None:
    write(site / "x.pth", "import other_finder; other_finder.install()\n")
    write(site / "other_finder.py", finder_source({"other": "/other"}))
    write(site / "y.pth", "/nowhere/other\nimport sys; sys.dont_write_bytecode\nimport _virtualenv\n")
    write(site / "_virtualenv.py", "import sys\nsys.meta_path.insert(0, None)\n")
    write(site / "caiter/__init__.py")
    write(site / "other.egg-link", "/nowhere\n.")
    write(site / "other-1.dist-info/METADATA", "Name: other\n")


def _own_start_up_hook(site: Path) -> None:
    write(site / "aiterfix.pth", "import aiterfix.patching.startup\n")
    write(site / "__editable__.aiterfix-0.1.0.pth", "/nowhere/src\n")
    write(site / "aiterfix_hook.pth", "import aiterfix_hook; aiterfix_hook.before('aiter')\n")


def _broken_archive(site: Path) -> None:
    write(site / "all.zip", b"PK\x03\x04 nothing")
    write(site / "x.pth", "all.zip\n")


NOTHING: list[Callable[[Path], None]] = [_other_projects, _own_start_up_hook, _broken_archive, lambda site: None]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("layout", DOUBTFUL)
def test_doubtful(site: Path, layout: Callable[[Path], None]) -> None:
    layout(site)
    found = find_path(site)
    assert found.installations == ()
    assert found.doubts, "an unforeseen layout must never be silently not installed"
    assert all(item.reason and item.path.is_absolute() for item in found.skipped)


@pytest.mark.parametrize("layout", [_claimed_by_metadata, _unforeseen_layout])
def test_doubtful_package_named_directly(site: Path, layout: Callable[[Path], None]) -> None:
    layout(site)
    (doubt,) = find_path(site / "aiter").doubts
    assert doubt in find_path(site).doubts


@pytest.mark.parametrize("layout", CERTAIN)
def test_certainly_not_ours(site: Path, layout: Callable[[Path], None]) -> None:
    layout(site)
    found = find_path(site)
    assert found.installations == ()
    assert found.skipped
    assert found.doubts == ()


@pytest.mark.parametrize("layout", NOTHING)
def test_nothing_to_say(site: Path, layout: Callable[[Path], None]) -> None:
    layout(site)
    found = find_path(site)
    assert (found.installations, found.skipped) == ((), ())
    assert site in found.searched


def test_doubt_beside_an_installation_is_kept(site: Path) -> None:
    package = wheel_install(site)
    _redirecting_loader(site)
    found = find_path(site)
    assert [item.package for item in found.installations] == [package]
    assert len(found.doubts) == 1


@pytest.mark.parametrize("unreadable", ["site-packages", "site-packages/aiter", "site-packages/x.pth"])
def test_what_cannot_be_read_is_a_doubt(
    site: Path, unreadable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    amd_package(site)
    checkout(tmp_path / "clone")
    write(site / "x.pth", f"{tmp_path / 'clone'}\n")
    closed = tmp_path / unreadable
    close(monkeypatch, closed)
    found = find_path(site)
    assert [item.path for item in found.doubts] == [closed]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_closed_folder_for_an_ordinary_user(site: Path) -> None:
    amd_package(site)
    site.chmod(0)
    try:
        assert find_path(site).doubts
    finally:
        site.chmod(0o755)
