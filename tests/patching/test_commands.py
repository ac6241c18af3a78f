"""The commands on a patched tree that may not be written to any more, or whose state is not a file."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.patching.endurance import command, contents, environment, sample

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount or to become somebody else")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, env=environment(), timeout=60, check=False)


@pytest.fixture
def patched(tmp_path: Path) -> Path:
    folder = sample(tmp_path / "tree")
    done = run(*command("apply", folder))
    assert done.returncode == 0, done.stderr
    return folder


def may_mount() -> bool:
    return shutil.which("unshare") is not None and run("unshare", "-m", "true").returncode == 0


@as_root
def test_apply_again_on_a_read_only_file_system(patched: Path) -> None:
    if not may_mount():
        pytest.skip("no namespace for mounts here")
    before = contents(patched)
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'
    read_only = ("unshare", "-m", "sh", "-c", script, "sh", str(patched))
    done = run(*read_only, *command("apply", patched), "--require")
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing to do" in done.stdout
    refused = run(*read_only, *command("revert", patched))
    assert refused.returncode == 4
    assert "read-only file system. Nothing was changed." in refused.stderr
    assert contents(patched) == before


@as_root
def test_apply_again_as_somebody_who_may_not_write(patched: Path, tmp_path: Path) -> None:
    if shutil.which("setpriv") is None:
        pytest.skip("no setpriv")
    for folder in [*tmp_path.parents, tmp_path]:
        if not folder.stat().st_mode & 0o001:  # as pytest makes its own
            folder.chmod(0o755)
    somebody = ("setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups")
    if run(*somebody, *command("--version", patched)[:-2]).returncode != 0:
        pytest.skip("another user cannot run this interpreter")
    done = run(*somebody, *command("apply", patched))
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing to do" in done.stdout
    refused = run(*somebody, *command("revert", patched))
    assert refused.returncode == 4
    assert "Nothing was changed." in refused.stderr


@as_root
def test_root_of_a_user_namespace_that_lacks_the_owner(patched: Path) -> None:
    """It can't become that user; it says so by name, and does not go on with its own rights."""
    if run("unshare", "-Ur", "true").returncode != 0:
        pytest.skip("no user namespace here")
    for path in [patched, *patched.rglob("*")]:
        os.chown(path, 12345, 12345)
    before = contents(patched)
    done = run("unshare", "-Ur", *command("revert", patched))
    assert done.returncode == 4
    assert "Nothing was changed." in done.stderr
    assert str(patched / "aiter") in done.stderr
    assert "Traceback" not in done.stderr
    assert contents(patched) == before


@pytest.mark.parametrize("verb", ["check", "apply", "revert"])
def test_a_fifo_named_as_the_journal_is_not_waited_for(patched: Path, verb: str) -> None:
    (journal,) = patched.rglob("journal.json")
    journal.unlink()
    os.mkfifo(journal)
    start = time.monotonic()
    done = run(*command(verb, patched))
    assert time.monotonic() - start < 20
    assert "journal.json is a FIFO" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == (0 if verb == "check" else 3)
