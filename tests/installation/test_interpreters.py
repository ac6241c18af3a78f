"""The running interpreter, and another one that may misbehave."""

from __future__ import annotations

import os
import site as site_module
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from aiterfix.errors import EnvironmentProblem, ExitCode, UsageError
from aiterfix.installation.given_path import find_path
from aiterfix.installation.interpreters import find_python, find_running
from tests.trees import (
    GLUON_KERNEL,
    amd_package,
    checkout,
    editable_finder,
    real_venv,
    unrelated_package,
    wheel_install,
    write,
)


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A ``sys.path`` of nothing but the standard library."""
    library = str(Path(os.__file__).parent)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry == library])
    monkeypatch.delitem(sys.modules, "aiter", raising=False)
    return sys.path


def test_order_of_the_path(path: list[str], tmp_path: Path) -> None:
    unrelated_package(tmp_path / "unrelated")
    packages = [wheel_install(tmp_path / name) for name in ("a", "b")]
    path += [str(tmp_path / "a"), str(tmp_path / "unrelated"), str(tmp_path / "b")]
    found = find_running()
    assert [(item.package, item.shadowed) for item in found.installations] == [
        (packages[0], False),
        (packages[1], True),
    ]
    assert [item.path for item in found.skipped] == [tmp_path / "unrelated/aiter"]
    assert "aiter" not in sys.modules


def test_unrelated_first_shadows(path: list[str], tmp_path: Path) -> None:
    unrelated_package(tmp_path / "unrelated")
    wheel_install(tmp_path / "a")
    path += [str(tmp_path / "unrelated"), str(tmp_path / "a")]
    assert [item.shadowed for item in find_running().installations] == [True]


def test_odd_path_entries(path: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = wheel_install(tmp_path)
    monkeypatch.chdir(tmp_path)
    odd: list[object] = ["", "", "\0", tmp_path, b"x", None, "/no/such/place", "__editable__.x.finder.__path_hook__"]
    path += odd  # type: ignore[arg-type]
    assert [item.package for item in find_running().installations] == [package]


def test_finder_counts_once_it_is_loaded(path: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = checkout(tmp_path / "clone")
    site = tmp_path / "site"
    finder = editable_finder(site, package)
    path.append(str(site))
    monkeypatch.setattr(site_module, "getsitepackages", lambda: [str(site)])
    found = find_running()
    assert (found.installations, [item.path for item in found.doubts]) == (
        (),
        [finder, site / "amd_aiter-0.1.20.dist-info"],
    )
    monkeypatch.setitem(sys.modules, finder.stem, ModuleType(finder.stem))
    assert [item.package for item in find_running().installations] == [package]


def test_loaded_finder_counts_wherever_it_stands(
    path: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # sitecustomize may have called site.addsitedir for a folder that `site` itself does not name.
    package = checkout(tmp_path / "clone")
    finder = editable_finder(tmp_path / "plain", package)
    path.append(str(tmp_path / "plain"))
    monkeypatch.setattr(site_module, "getsitepackages", lambda: [str(tmp_path / "other")])
    monkeypatch.setitem(sys.modules, finder.stem, ModuleType(finder.stem))
    found = find_running()
    assert [(item.package, item.version) for item in found.installations] == [(package, "0.1.20")]
    assert found.doubts == ()


def test_current_folder_that_is_gone(path: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = wheel_install(tmp_path / "site")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    path += ["", "relative", str(tmp_path / "site")]
    assert [item.package for item in find_running().installations] == [package]
    with pytest.raises(UsageError):
        find_path(Path("x"))
    with pytest.raises(UsageError):
        find_python(Path("x"))


@pytest.mark.parametrize("on_path", [True, False])
def test_what_this_process_has_imported_comes_first(
    path: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_path: bool
) -> None:
    first, loaded = wheel_install(tmp_path / "a"), wheel_install(tmp_path / "b")
    path += [str(tmp_path / "a")] + ([str(tmp_path / "b")] if on_path else [])
    module = ModuleType("aiter")
    module.__path__ = [str(loaded)]
    monkeypatch.setitem(sys.modules, "aiter", module)
    found = find_running().installations
    assert [(item.package, item.shadowed) for item in found] == [(loaded, False), (first, True)]
    assert "imported by this process" in found[0].found_by


@pytest.mark.parametrize("stand_in", [ModuleType("aiter"), None])
def test_stand_ins_for_the_module_are_ignored(
    path: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: ModuleType | None
) -> None:
    package = wheel_install(tmp_path)
    path.append(str(tmp_path))
    monkeypatch.setitem(sys.modules, "aiter", stand_in)
    assert [item.package for item in find_running().installations] == [package]


def test_other_interpreter_writes_nothing_and_may_chatter(tmp_path: Path) -> None:
    environment = real_venv(tmp_path / "venv")
    package = wheel_install(environment.site)
    write(environment.site / "sitecustomize.py", "print('aiterfix-answer: hello')\n")
    before = sorted(tmp_path.rglob("*"))
    found = find_python(environment.python)
    assert [item.package for item in found.installations] == [package]
    assert sorted(tmp_path.rglob("*")) == before


def test_folder_names_that_are_not_utf_8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = real_venv(tmp_path / "venv")
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xe9 'x'"))
    package = amd_package(odd)
    monkeypatch.setenv("PYTHONPATH", str(odd))
    assert [item.package for item in find_python(environment.python).installations] == [package]


def script(tmp_path: Path, text: str) -> Path:
    path = write(tmp_path / "python", "#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "exit 0",
        "echo broken >&2; exit 3",
        "echo 'aiterfix-answer:{'",
        "echo 'aiterfix-answer:[]'",
        "echo 'aiterfix-answer:'",
        "echo \"aiterfix-answer:{'path': 1, 'folders': [], 'modules': []}\"",
        "printf '\\377'",
        "kill -9 $$",
    ],
)
def test_interpreter_that_does_not_answer(tmp_path: Path, text: str) -> None:
    with pytest.raises(EnvironmentProblem, match="could not be asked") as caught:
        find_python(script(tmp_path, text))
    assert caught.value.exit_code is ExitCode.ENVIRONMENT
    assert caught.value.remedy


def test_interpreter_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(EnvironmentProblem, match=r"within 2 s"):
        find_python(script(tmp_path, f"sleep 50 & echo $! > {tmp_path}/child; wait"), timeout=2)
    assert time.monotonic() - started < 20
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(child)


def _alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_interpreter_that_cannot_be_started(tmp_path: Path) -> None:
    path = write(tmp_path / "python", b"\x7fELF nothing")
    path.chmod(0o755)
    with pytest.raises(EnvironmentProblem, match="cannot be started"):
        find_python(path)


def test_what_is_no_interpreter_is_a_usage_error(tmp_path: Path) -> None:
    plain = write(tmp_path / "plain")
    for path in (tmp_path, tmp_path / "nothing", plain):
        with pytest.raises(UsageError):
            find_python(path)


def test_search_of_the_running_interpreter_stays_light(tmp_path: Path) -> None:
    """Start-up cost is in the imports: what the search does itself takes a few milliseconds."""
    package = amd_package(tmp_path)
    heavy = ("torch", "triton", "numpy", "aiter", "json", "email", "csv", "zipfile", "subprocess", "importlib.metadata")
    code = (
        "import sys; before = set(sys.modules)\n"
        "from aiterfix.installation.interpreters import find_running\n"
        "from aiterfix.installation.kernelfiles import PackageText\n"
        "first = find_running().installations[0]\n"
        f"assert PackageText(first.package).naming([{GLUON_KERNEL!r}]).files\n"
        f"print(first.package, sorted((set(sys.modules) - before) & set({heavy!r})))\n"
    )
    source = Path(find_running.__code__.co_filename).parents[2]
    path = os.pathsep.join([str(source), str(tmp_path)])
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.stdout == f"{package} []\n"
