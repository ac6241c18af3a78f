"""Root compiles another user's kernel file with that user's rights, and trusts nothing that comes back.

The compiler is a stand-in: what is tested is who runs it, and what is made of its answers.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aiterfix.family.signature import Kernel, KernelConfig, make_request
from aiterfix.gfx950.cache import CodeObjectCache
from aiterfix.gfx950.compile import CompileError, Compiler
from aiterfix.gfx950.request import CompileRequest
from aiterfix.storage.children import Owner, owner_of
from tests.gfx950.test_compile import GLUON, NAME, SOURCE

OTHER = 12345
TRITON = """
from types import SimpleNamespace
__version__ = "9.9"
def compile(source, target, options):
    metadata = SimpleNamespace(name="k", shared=0, num_warps=4, warp_size=64)
    return SimpleNamespace(asm={"hsaco": b"\\x7fELF", "ttgir": "module"}, metadata=metadata)
"""
TELL = """
import json, os
said = dict(ids=[os.getresuid(), os.getresgid(), os.getgroups()], environment=dict(os.environ), session=os.getsid(0))
try:
    open({closed!r}, "w")
    said["wrote"] = {closed!r}
except OSError:
    pass
open(os.path.join(os.environ["TMPDIR"], "ours"), "w").write("x")
open({place!r}, "w").write(json.dumps(said))
"""


def request(top: str) -> CompileRequest:
    made = make_request(SOURCE, NAME, Kernel.PRESHUFFLE, KernelConfig())
    return replace(made, source=f"{top}\ndef {made.function}(): pass\n".encode(), stand_ins=None)


def readable_python() -> str | None:
    """An interpreter that other users may run."""
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            done = subprocess.run(
                [python, "-c", "0"], user=OTHER, group=OTHER, capture_output=True, cwd="/", check=False
            )
        except (OSError, subprocess.SubprocessError, ValueError):
            continue
        child = Path(sys.modules["aiterfix.gfx950.compile"].__file__ or "").with_name("_compile_child.py")
        seen = subprocess.run(["cat", str(child)], user=OTHER, capture_output=True, cwd="/", check=False)
        if done.returncode == seen.returncode == 0:
            return python
    return None


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody can reach, unlike pytest's."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def theirs(place: Path) -> Owner:
    if os.geteuid() != 0:
        pytest.skip("only root can take another user's rights")
    file = place / "theirs" / "kernel.py"
    file.parent.mkdir()
    file.write_bytes(b"")
    os.chown(file.parent, OTHER, OTHER)
    owner = owner_of(file)
    assert owner is not None and owner.uid == OTHER
    return owner


@pytest.fixture
def compiler(place: Path, theirs: Owner, monkeypatch: pytest.MonkeyPatch) -> Iterator[Compiler]:
    python = readable_python()
    if python is None:
        pytest.skip("no Python that another user can run, or this checkout cannot be read by others")
    for name, text in {"triton/__init__.py": TRITON, **GLUON}.items():
        (place / "modules" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "modules" / name).write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(place / "modules"))
    monkeypatch.setenv("SECRET_TOKEN", "x")
    with Compiler(python, CodeObjectCache(place / "cache"), owner=theirs) as made:
        yield made


def test_the_top_level_runs_with_the_owners_rights(compiler: Compiler, place: Path) -> None:
    told, closed = place / "theirs" / "told", place / "closed"
    closed.mkdir(0o755)  # root's: it alone may write there
    kernel = compiler.compile(request(TELL.format(place=str(told), closed=str(closed / "file"))))
    assert (kernel.code, kernel.ttgir, kernel.triton) == (b"\x7fELF", "module", "9.9")
    said = json.loads(told.read_text())
    assert said["ids"] == [[OTHER] * 3, [OTHER] * 3, []] and told.stat().st_uid == OTHER
    assert "wrote" not in said and "SECRET_TOKEN" not in said["environment"]
    assert said["session"] != os.getsid(0)
    entry = compiler.cache.path(compiler.key(request(TELL.format(place=str(told), closed=str(closed / "file")))))
    assert entry.stat().st_uid == 0, "the cache is ours"
    with Compiler(compiler.python, compiler.cache) as ours:
        assert ours.key(request("")) != compiler.key(request("")), "and what they made counts for their files alone"


@pytest.mark.parametrize(
    "swap",
    [
        "os.unlink(path); os.symlink('/etc/passwd', path)",
        "os.unlink(path); os.mkfifo(path)",
        "os.unlink(path); os.mkdir(path)",
        "os.truncate(path, 1 << 40)",
        "os.unlink(path)",
    ],
)
def test_what_they_leave_in_the_outputs_place_is_refused_at_once(compiler: Compiler, swap: str) -> None:
    top = (
        "import builtins, os\nreal = builtins.open\n"
        "def open(path, *more, **others):\n"
        "    if str(path).endswith('.ttgir'):\n"
        f"        other, path = path, path[:-6]\n        {swap}\n        path = other\n"
        "    return real(path, *more, **others)\n"
        "builtins.open = open\n"
    )
    with pytest.raises(CompileError, match="cannot be read"):
        compiler.compile(request(top))
    assert not list((compiler.cache.directory).rglob("*.kernel"))


@pytest.mark.parametrize(
    "answer", ["[" * 100_000, "x" * (2 << 20), "{}", '{"ok": true}', '{"ok": true, "metadata": 3}']
)
def test_answers_that_are_none(compiler: Compiler, answer: str) -> None:
    top = f"import os\nfor n in range(3, 20):\n    try: os.write(n, {answer!r}.encode() + b'\\n')\n    except OSError: pass\n"
    with pytest.raises(CompileError):
        compiler.compile(request(top))
