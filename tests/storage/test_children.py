"""How other Pythons are started: never with what lies in the current folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aiterfix.storage import children
from aiterfix.storage.children import NOT_FROM_HERE, Owner


def interpreters() -> list[str]:
    """This one, and the oldest and a newer one that pyenv has beside it."""
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    others = [str(p / "bin/python") for minor in (10, 12) for p in sorted(versions.glob(f"3.{minor}.*"))[-1:]]
    return [sys.executable, *others]


PYTHONS = interpreters()
MODULES = ("json", "ast", "encodings", "aiterfix", "triton", "sitecustomize", "usercustomize", "site", "torch", "numpy")


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, full of modules that leave a mark; gives the mark."""
    mark = tmp_path / "executed"
    here = tmp_path / "here"
    here.mkdir()
    said = f"import sys; open({str(mark)!r}, 'a').write(__name__ + chr(10))\n"
    for name in MODULES:
        if name in ("encodings", "aiterfix", "triton", "torch"):
            (here / name).mkdir()
            (here / name / "__init__.py").write_text(said)
        else:
            (here / f"{name}.py").write_text(said)
    monkeypatch.chdir(here)
    return mark


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    "said", [None, "", ":", ":/nowhere", "/nowhere:", "/nowhere::/nowhere", ".", "./", "/nowhere:./."]
)
def test_nothing_of_the_current_folder_is_executed(
    python: str, said: str | None, planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if said is not None:
        monkeypatch.setenv("PYTHONPATH", said)
    program = (
        NOT_FROM_HERE + "import json, ast\ntry:\n    import triton\nexcept ImportError:\n    pass\nprint(sys.path)"
    )
    done = subprocess.run(
        [python, "-c", program], env=children.environment({}), capture_output=True, text=True, check=True
    )
    assert not planted.exists(), planted.read_text()
    assert str(Path.cwd()) not in done.stdout and "''" not in done.stdout
    assert ("/nowhere" in done.stdout) is ("/nowhere" in (said or "")), "what was named is still there"


def test_the_mark_would_be_left(planted: Path) -> None:
    """The same without the care taken: the test above can fail."""
    subprocess.run([sys.executable, "-c", "import triton"], check=True)
    assert "triton" in planted.read_text()


def test_an_owner_sees_little_of_roots_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    given = children.environment({"TMPDIR": "/t"}, Owner(1000, 1000, (), "/home/u", "user u"))
    assert "SECRET_TOKEN" not in given
    assert (given["HOME"], given["TMPDIR"], given["LC_ALL"]) == ("/home/u", "/t", "C.UTF-8")
    assert children.environment({})["SECRET_TOKEN"] == "x"


def test_nobody_but_root_takes_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert children.owner_of(tmp_path) is None
    assert children.rights(None) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away and take another's rights")
def test_root_takes_the_rights_of_whom_the_place_belongs_to(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "file"
    file.parent.mkdir()
    file.touch()
    assert children.owner_of(file) is None
    os.chown(file, 12345, 54321)
    owner = children.owner_of(file)
    assert owner is not None and (owner.uid, owner.gid, owner.groups) == (12345, 54321, ())
    os.chown(file, 0, 0)
    os.chown(file.parent, 12345, 0)
    owner = children.owner_of(file)
    assert owner is not None and (owner.uid, owner.gid) == (12345, 65534), "the group of root is nobody's"
    link = tmp_path / "link"
    link.symlink_to(file)
    os.chown(file.parent, 0, 0)
    os.lchown(link, 12345, 54321)
    assert children.owner_of(link) is not None
    shell = shutil.which("sh")
    assert shell is not None
    done = subprocess.run(
        [shell, "-c", "id -u; id -g; id -G; ps -o sid= -p $$ 2>/dev/null || true"],
        capture_output=True, text=True, check=True, cwd="/", **children.rights(owner),
    )  # fmt: skip
    assert done.stdout.split()[:3] == ["12345", "65534", "65534"]
