"""What is found is what ``import aiter`` takes: every layout is put before a real interpreter as well."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aiterfix.installation.given_path import find_path
from aiterfix.installation.interpreters import find_python
from aiterfix.installation.target import Discovery, Kind
from tests.trees import (
    RealEnvironment,
    amd_package,
    checkout,
    dist_info,
    editable_finder,
    editable_path_line,
    egg_link,
    finder_source,
    real_venv,
    unrelated_package,
    wheel_install,
    write,
)

Layout = Callable[[Path, Path], object]


def _wheel(site: Path, away: Path) -> None:
    wheel_install(site)


def _tree(site: Path, away: Path) -> None:
    amd_package(site)


def _finder(site: Path, away: Path) -> None:
    editable_finder(site, checkout(away / "clone"))


def _renamed(site: Path, away: Path) -> None:
    editable_finder(site, amd_package(away / "clone", name="source"))


def _path_line(site: Path, away: Path) -> None:
    checkout(away / "clone")
    editable_path_line(site, away / "clone")


def _develop(site: Path, away: Path) -> None:
    checkout(away / "clone")
    egg_link(site, away / "clone")


def _relative_line(site: Path, away: Path) -> None:
    amd_package(site / "deeper")
    write(site / "more.pth", "# comment\n\ndeeper\n")


def _egg(site: Path, away: Path) -> None:
    egg = site / "amd_aiter-0.1.20-py3.11.egg"
    amd_package(egg)
    write(egg / "EGG-INFO/PKG-INFO", "Name: amd-aiter\nVersion: 0.1.20\n")
    write(site / "easy-install.pth", "./amd_aiter-0.1.20-py3.11.egg\n")


def _linked_package(site: Path, away: Path) -> None:
    (site / "aiter").symlink_to(checkout(away / "clone"))


def _linked_files(site: Path, away: Path) -> None:
    source = amd_package(away / "clone")
    for file in source.rglob("*.py"):
        place = away / "links" / "aiter" / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(file)
    editable_path_line(site, away / "links")


def _namespace(site: Path, away: Path) -> None:
    amd_package(site, init=False)


def _wheel_and_path_line(site: Path, away: Path) -> None:
    wheel_install(site)
    checkout(away / "clone")
    write(site / "clone.pth", f"{away / 'clone'}\n")


def _wheel_and_finder(site: Path, away: Path) -> None:
    wheel_install(site)
    editable_finder(site, checkout(away / "clone"), version="0.1.21")


def _two_path_lines(site: Path, away: Path) -> None:
    checkout(away / "second")
    checkout(away / "first")
    write(site / "b.pth", f"{away / 'second'}\n")
    write(site / "a.pth", f"{away / 'first'}\n")


def _namespace_before_regular(site: Path, away: Path) -> None:
    amd_package(site, init=False)
    checkout(away / "clone")
    write(site / "clone.pth", f"{away / 'clone'}\n")


LIVE: list[Layout] = [
    _wheel,
    _tree,
    _finder,
    _renamed,
    _path_line,
    _develop,
    _relative_line,
    _egg,
    _linked_package,
    _linked_files,
    _namespace,
    _wheel_and_path_line,
    _wheel_and_finder,
    _two_path_lines,
    _namespace_before_regular,
]


def _remnant_before_finder(site: Path, away: Path) -> None:
    # What the run-time compiler leaves behind survives `pip uninstall`, and outdoes a finder.
    write(site / "aiter/jit/build/module.so", b"\x7fELF")
    editable_finder(site, checkout(away / "clone"))


def _unrelated_before_path_line(site: Path, away: Path) -> None:
    unrelated_package(site)
    checkout(away / "clone")
    editable_path_line(site, away / "clone")


def _module_before_path_line(site: Path, away: Path) -> None:
    write(site / "aiter.py", "NOTHING = 1\n")
    checkout(away / "clone")
    editable_path_line(site, away / "clone")


SHADOWED: list[Layout] = [_remnant_before_finder, _unrelated_before_path_line, _module_before_path_line]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> RealEnvironment:
    return real_venv(tmp_path_factory.mktemp("environment"))


def _fill(environment: RealEnvironment, layout: Layout, away: Path) -> None:
    for leftover in environment.site.iterdir():
        shutil.rmtree(leftover) if leftover.is_dir() and not leftover.is_symlink() else leftover.unlink()
    away.mkdir(exist_ok=True)
    layout(environment.site, away)


def _assert_not_imported(*folders: Path) -> None:
    assert [trace for folder in folders for trace in folder.rglob("IMPORTED")] == []


def _imported(environment: RealEnvironment) -> Path:
    done = environment.run("import aiter; print(list(aiter.__path__)[0])")
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def _both(environment: RealEnvironment) -> list[Discovery]:
    return [find_python(environment.python), find_path(environment.prefix)]


@pytest.mark.parametrize("layout", LIVE)
def test_first_is_what_import_takes(environment: RealEnvironment, layout: Layout, tmp_path: Path) -> None:
    _fill(environment, layout, tmp_path)
    found = _both(environment)
    _assert_not_imported(environment.site, tmp_path)
    taken = _imported(environment).resolve()
    for discovery in found:
        first = discovery.installations[0]
        assert first.package.resolve() == taken
        assert not first.shadowed
        assert all(other.shadowed for other in discovery.installations[1:])
        assert discovery.doubts == ()


@pytest.mark.parametrize("layout", SHADOWED)
def test_what_import_cannot_reach_is_shadowed(environment: RealEnvironment, layout: Layout, tmp_path: Path) -> None:
    _fill(environment, layout, tmp_path)
    found = _both(environment)
    assert "clone" not in environment.run("import aiter; print(getattr(aiter, '__path__', aiter))").stdout
    for discovery in found:
        assert [item.shadowed for item in discovery.installations] == [True]
        assert discovery.skipped


def test_kinds(environment: RealEnvironment, tmp_path: Path) -> None:
    kinds = {
        _wheel: Kind.WHEEL,
        _egg: Kind.WHEEL,
        _tree: Kind.TREE,
        _finder: Kind.EDITABLE,
        _path_line: Kind.EDITABLE,
        _develop: Kind.EDITABLE,
        _linked_package: Kind.EDITABLE,
        _namespace: Kind.TREE,
    }
    for number, (layout, kind) in enumerate(kinds.items()):
        away = tmp_path / str(number)
        away.mkdir()
        _fill(environment, layout, away)
        for discovery in _both(environment):
            assert (layout.__name__, discovery.installations[0].kind) == (layout.__name__, kind)


def test_pythonpath_comes_first_and_is_honoured(
    environment: RealEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(environment, _wheel, tmp_path)
    package = checkout(tmp_path / "clone")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "clone"))
    found = find_python(environment.python)
    assert [(item.package, item.shadowed) for item in found.installations] == [
        (package, False),
        (environment.site / "aiter", True),
    ]


def test_a_finder_in_a_folder_that_is_no_site_folder_is_not_at_work(
    environment: RealEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(environment, lambda site, away: None, tmp_path)
    editable_finder(tmp_path / "plain", checkout(tmp_path / "clone"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "plain"))
    found = find_python(environment.python)
    assert found.installations == ()
    assert environment.run("import aiter", PYTHONPATH=str(tmp_path / "plain")).returncode == 1


def test_modules_lying_in_the_current_folder_do_not_run(
    environment: RealEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(environment, _wheel, tmp_path)
    for name in ("json", "ast", "os", "aiter"):
        write(tmp_path / "here" / f"{name}.py", f"open({str(tmp_path / 'RAN')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path / "here")
    found = find_python(environment.python)
    assert not (tmp_path / "RAN").exists()
    assert not found.installations[0].shadowed


def test_namespaces_table_of_a_finder(environment: RealEnvironment, tmp_path: Path) -> None:
    package = amd_package(tmp_path / "clone", init=False)
    site = environment.site
    _fill(environment, lambda site, away: None, tmp_path)
    write(site / "__editable___x_finder.py", finder_source({}, {"aiter": [str(package)]}))
    write(site / "x.pth", "import __editable___x_finder; __editable___x_finder.install()\n")
    dist_info(site, files=[site / "x.pth"])
    assert [item.package for item in find_python(environment.python).installations] == [package]
