"""With real processes: SIGKILL, two at once, other users; and the proof that `fsops` does all the writing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import aiterfix
from aiterfix.patching.disk import apply, recover, revert
from aiterfix.patching.failures import BusyError
from aiterfix.patching.locking import locked
from aiterfix.patching.status import PatchState, read_status
from aiterfix.storage.held import Folder
from tests import warm_python

if TYPE_CHECKING:
    from tests.patching.conftest import Tree

Make = Callable[..., "Tree"]

# Arguments: root, dist-info or "", what to do; the code before it stands in for what the test is about.
PROGRAM = """
import sys
from pathlib import Path
from aiterfix.errors import AiterfixError
from aiterfix.patching import fsops
from aiterfix.patching.disk import apply, recover, revert
from aiterfix.patching.status import read_status
from aiterfix.patching.tree import FileChange, PackageTree
root = Path(sys.argv[1])
tree = PackageTree(root, root / "aiter", Path(sys.argv[2]) if sys.argv[2] else None, "1.0")
read_status(tree)  # Imports all that is imported late.
one = root / "aiter" / "ops" / "one.py"
three = root / "aiter" / "late" / "three.py"
changes = [FileChange(one, one.read_bytes(), b"one = 'first'\\r\\n"),
           FileChange(three, three.read_bytes(), b"three = 'first'\\n")]
import binascii, json, re
{before}
try:
    if sys.argv[3] == "apply":
        apply(tree, changes, annotations={{}}, lock_timeout=float(sys.argv[4]))
    else:
        revert(tree)
except AiterfixError as failure:
    print(json.dumps([type(failure).__name__, int(failure.exit_code), str(failure)]))
    sys.exit(int(failure.exit_code))
{after}
"""


def command(tree: Tree, act: str, before: str = "", after: str = "", timeout: float = 10) -> list[str]:
    program = PROGRAM.format(before=before, after=after)
    return [sys.executable, "-B", "-c", program, str(tree.root), str(tree.dist_info or ""), act, str(timeout)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(aiterfix.__file__).parents[1])}


def run(
    tree: Tree, act: str, before: str = "", after: str = "", python: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    words = command(tree, act, before, after)
    words = [*python, *words[2:]] if python else words
    return subprocess.run(words, capture_output=True, text=True, env=environment(), check=False)


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    """Starts processes that have imported everything already."""
    modules = "aiterfix.patching.disk", "aiterfix.patching.status"
    with warm_python.running(tmp_path_factory.mktemp("warm"), *modules) as program:
        yield (program,)


KILL = """
import os, signal
names = ("mkdir", "rmdir", "unlink", "rename", "create", "write", "chmod", "chown", "utime", "fsync")
left = [{index}]
def dying(real):
    def call(*arguments):
        if left[0] == 0:
            if real.__name__ == "write":
                real(arguments[0], arguments[1][:5])
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return real(*arguments)
    return call
for name in names:
    setattr(fsops, name, dying(getattr(fsops, name)))
"""


@pytest.mark.parametrize("act", ["apply", "revert"])
def test_killed_for_real_at_every_call(make: Make, act: str, warm: tuple[str, ...]) -> None:
    # The same loop as in test_faults, with a process that is really gone: every third call is enough to
    # show that the switched-off power there means the same.
    killed = 0
    for index in range(0, 1000, 3):
        tree = make()
        pristine = tree.picture()
        if act == "revert":
            apply(tree.package_tree, tree.first(), annotations={})
        done = run(tree, act, before=KILL.format(index=index), python=warm)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        killed += 1
        assert read_status(tree.package_tree).kind in (PatchState.NONE, PatchState.INTERRUPTED, PatchState.APPLIED)
        recover(tree.package_tree)
        assert read_status(tree.package_tree).kind in (PatchState.NONE, PatchState.APPLIED)
        revert(tree.package_tree)
        assert tree.picture() == pristine
    assert killed > 10


SYSTEM_CALLS = "mkdir,rmdir,unlink,rename,write,fchmod,fchown,utimensat,fsync"


def _strace_works() -> bool:
    strace = shutil.which("strace")
    if strace is None:
        return False
    probe = [strace, "-qq", "-e", "inject=mkdir:signal=KILL:when=99", "-e", "trace=none", "true"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not _strace_works(), reason="strace with fault injection is not available here")
@pytest.mark.slow
@pytest.mark.parametrize("act", ["apply", "revert"])
def test_killed_at_system_calls_by_strace(make: Make, act: str) -> None:
    # Below Python: the signal comes with the system call itself, whichever module made it.
    killed = 0
    for call in SYSTEM_CALLS.split(","):
        for when in (1, 2, 4, 8):
            tree = make()
            pristine = tree.picture()
            if act == "revert":
                apply(tree.package_tree, tree.first(), annotations={})
            trace = ["strace", "-qq", "-o", os.devnull, "-e", f"trace={call}"]
            trace += ["-e", f"inject={call}:signal=KILL:when={when}"]
            done = subprocess.run(
                [*trace, *command(tree, act)], capture_output=True, text=True, env=environment(), check=False
            )
            killed += done.returncode != 0
            revert(tree.package_tree)
            assert tree.picture() == pristine, f"{call} {when}"
    assert killed > 10


AUDIT = """
import os
seen = []
strangers = []
MUTATING = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.chown", "os.utime", "os.truncate",
            "os.link", "os.symlink", "shutil.rmtree", "shutil.copyfile", "shutil.move", "os.setxattr"}
def audit(event, arguments):
    if event == "open":
        if not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND):
            return
    elif event not in MUTATING:
        return
    frame = sys._getframe(1)
    files = []
    while frame is not None and len(files) < 4:
        files.append(frame.f_code.co_filename)
        frame = frame.f_back
    seen.append(event)
    if not any(name.endswith("patching/fsops.py") for name in files[:2]):
        strangers.append([event, str(arguments), files])
sys.addaudithook(audit)
"""


@pytest.mark.parametrize("act", ["apply", "revert"])
def test_only_fsops_writes(make: Make, act: str) -> None:
    tree = make()
    if act == "revert":
        apply(tree.package_tree, tree.first(), annotations={})
    done = run(tree, act, before=AUDIT, after="print(json.dumps([seen, strangers]))")
    assert done.returncode == 0, done.stderr
    seen, strangers = json.loads(done.stdout)
    assert strangers == []
    assert {"open", "os.rename", "os.remove", "os.mkdir" if act == "apply" else "os.rmdir"} <= set(seen)


def test_no_other_module_calls_the_system_to_write() -> None:
    # What the audit above can't see: calls on descriptors.
    for path in (Path(aiterfix.__file__).parent / "patching").glob("*.py"):
        if path.name == "fsops.py":
            continue
        text = path.read_text(encoding="utf-8")
        for word in ("os.write", "os.fsync", "os.fchmod", "os.fchown", "os.truncate", "write_bytes", "write_text",
                     "os.replace", "os.rename", "import shutil", "import tempfile", ".unlink(missing"):  # fmt: skip
            assert word not in text, path.name


def test_two_at_once_wait_for_each_other(make: Make) -> None:
    tree = make()
    first, second = (
        subprocess.Popen(command(tree, "apply"), stdout=subprocess.PIPE, text=True, env=environment()) for _ in "ab"
    )
    results = [first.communicate()[0], second.communicate()[0]]
    # The later one finds its change made, unless it read a file before and another after the change.
    codes = {first.returncode, second.returncode}
    assert 0 in codes
    assert codes <= {0, 4}, results
    assert read_status(tree.package_tree).kind is PatchState.APPLIED
    assert tree.path("ops/one.py").read_bytes() == b"one = 'first'\r\n"


def test_a_held_lock_is_a_clear_error_after_a_short_wait(make: Make) -> None:
    tree = make()
    before = tree.picture()
    assert tree.dist_info is not None
    with Folder.open(tree.dist_info) as home, locked(home, 1):
        start = time.monotonic()
        done = subprocess.run(
            command(tree, "apply", timeout=0.3), capture_output=True, text=True, env=environment(), check=False
        )
        assert time.monotonic() - start < 30
        name, code, text = json.loads(done.stdout)
        assert (name, code, done.returncode) == ("BusyError", 4, 4)
        assert "Another aiterfix" in text
        with pytest.raises(BusyError):
            apply(tree.package_tree, tree.first(), annotations={}, lock_timeout=0)
    assert tree.picture() == before


WAIT = """
real, renamed = fsops.rename, []
def rename(*arguments):
    real(*arguments)
    renamed.append(arguments)
    if len(renamed) == 2:
        print("waiting", flush=True)
        sys.stdin.read()
fsops.rename = rename
"""


def test_a_transaction_under_way_is_seen(make: Make) -> None:
    tree = make()
    with subprocess.Popen(
        command(tree, "apply", before=WAIT), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=environment(),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "waiting\n"
        assert read_status(tree.package_tree).kind is PatchState.BUSY
        process.stdin.close()
        assert process.wait() == 0
    assert read_status(tree.package_tree).kind is PatchState.APPLIED


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
NOBODY = 65534


def as_nobody(tree: Tree, act: str = "apply") -> tuple[str, int, str]:
    done = run(tree, act, before=f"import os; os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})")
    if done.returncode == 0:
        return ("", 0, "")
    assert done.stdout, done.stderr
    name, code, text = json.loads(done.stdout)
    return name, code, text


def give(tree: Tree, *paths: Path) -> None:
    for path in paths:
        os.chown(path, NOBODY, NOBODY)


@pytest.fixture
def open_to_all(make: Make) -> Tree:
    tree = make()
    for folder in (tree.root.parent, tree.root):
        folder.chmod(0o755)
    tree.path("ops/one.py").chmod(0o644)
    return tree


@as_root
def test_a_foreign_owner_is_refused(open_to_all: Tree) -> None:
    tree = open_to_all
    for path in [tree.root, *tree.root.rglob("*")]:
        if path.is_dir():
            path.chmod(0o777)
    before = tree.picture()
    name, code, text = as_nobody(tree)
    assert (name, code) == ("ForeignOwnerError", 4)
    assert "belongs to user 0" in text
    assert tree.picture() == before


@as_root
def test_a_read_only_directory_is_refused(open_to_all: Tree) -> None:
    tree = open_to_all
    give(tree, tree.path("ops/one.py"), tree.path("late/three.py"), tree.record)
    before = tree.picture()
    name, code, text = as_nobody(tree)
    assert (name, code) == ("NotWritableError", 4)
    assert "Nothing was changed" in text
    assert tree.picture() == before


@as_root
def test_the_owner_may_patch_without_root_and_root_for_the_owner(open_to_all: Tree) -> None:
    tree = open_to_all
    give(tree, tree.root, *tree.root.rglob("*"))
    before = tree.picture()
    assert as_nobody(tree)[1] == 0
    assert as_nobody(tree, "revert")[1] == 0
    assert tree.picture() == before
    # What root leaves behind belongs to the owner, who can revert and uninstall it.
    apply(tree.package_tree, tree.first(), annotations={})
    assert {path.stat().st_uid for path in tree.root.rglob("*")} == {NOBODY}
    assert as_nobody(tree, "revert")[1] == 0
    assert tree.picture() == before
