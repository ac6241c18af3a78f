"""What apply and revert do, and what they refuse; without faults of the system."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aiterfix.errors import AiterfixError, ExitCode
from aiterfix.patching.disk import apply, recover, revert
from aiterfix.patching.failures import (
    BackupError,
    ChangedMeanwhileError,
    ChangedSinceError,
    JournalError,
    NotARegularFileError,
    OutsideTreeError,
    PathError,
)
from aiterfix.patching.journal import NAME
from aiterfix.patching.status import Content, PatchState, read_status
from aiterfix.patching.tree import FileChange, PackageTree

if TYPE_CHECKING:
    from tests.patching.conftest import Picture, Tree

NOTES = {"fix": "some-fix"}


def refused(tree: Tree, kind: type[AiterfixError], *changes: FileChange, match: str | None = None) -> None:
    """Refused with and without ``dry_run``, with a remedy, and nothing written."""
    before = tree.picture()
    for dry_run in (True, False):
        with pytest.raises(kind, match=match) as caught:
            apply(tree.package_tree, changes, annotations={}, dry_run=dry_run)
        assert caught.value.remedy
        assert tree.picture() == before


def not_reverted(tree: Tree, kind: type[AiterfixError], match: str) -> None:
    before = tree.picture()
    with pytest.raises(kind, match=match) as caught:
        revert(tree.package_tree)
    assert caught.value.remedy
    assert tree.picture() == before


def test_apply_and_revert(either: Tree) -> None:
    before = either.picture()
    assert read_status(either.package_tree).kind is PatchState.NONE
    done = apply(either.package_tree, either.first(), annotations=NOTES)
    assert [path.name for path in done.changed] == ["one.py", "three.py"]
    assert either.path("ops/one.py").read_bytes() == b"one = 'first'\r\n"
    assert either.path("ops/one.py").stat().st_mode & 0o777 == 0o640
    found = read_status(either.package_tree)
    assert (found.kind, found.annotations, found.version) == (PatchState.APPLIED, NOTES, "1.0")
    either.run_it()
    reverted = revert(either.package_tree)
    assert [path.name for path in reverted.restored] == ["three.py", "one.py"]
    assert either.picture() == before
    assert revert(either.package_tree).restored == ()


def test_applying_the_same_again_does_nothing(either: Tree) -> None:
    changes = either.first()
    apply(either.package_tree, changes, annotations=NOTES)
    before = either.picture()
    # As a second process would that analysed before the first was done, and as one that came later.
    assert apply(either.package_tree, changes, annotations={}).changed == ()
    settled = [FileChange(change.path, change.new, change.new) for change in changes]
    assert apply(either.package_tree, settled, annotations={}).changed == ()
    assert apply(either.package_tree, [], annotations={}).changed == ()
    assert either.picture() == before


def test_nothing_to_do_touches_nothing(either: Tree) -> None:
    before = either.picture()
    assert apply(either.package_tree, [], annotations={}).state_dir is None
    assert apply(either.package_tree, [either.change("ops/two.py", "two = 'ä'".encode())], annotations={}).changed == ()
    assert recover(either.package_tree) is None
    assert either.picture() == before


def test_a_second_fix_keeps_the_first_original(either: Tree) -> None:
    before = either.picture()
    apply(either.package_tree, either.first(), annotations={"one": "1"})
    either.run_it()
    apply(either.package_tree, either.second(), annotations={"two": "2"})
    assert dict(read_status(either.package_tree).annotations) == {"one": "1", "two": "2"}
    assert len(read_status(either.package_tree).files) == 3
    revert(either.package_tree)
    assert either.picture() == before


def test_dry_run_touches_nothing(either: Tree) -> None:
    before = either.picture()
    planned = apply(either.package_tree, either.first(), annotations=NOTES, dry_run=True)
    assert planned.dry_run
    assert [path.name for path in planned.changed] == ["one.py", "three.py"]
    assert either.picture() == before


def test_a_checkout_stays_clean_for_git(make: Callable[..., Tree]) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    tree = make(checkout=True)
    apply(tree.package_tree, tree.first(), annotations=NOTES)
    subprocess.run(["git", "init", "-q", str(tree.root)], check=True)
    listed = subprocess.run(
        ["git", "status", "--porcelain", "-uall"], cwd=tree.root, check=True, capture_output=True, text=True
    ).stdout
    assert "one.py" in listed
    assert ".aiterfix" not in listed


def test_record_lists_what_is_there(tree: Tree) -> None:
    apply(tree.package_tree, tree.first(), annotations=NOTES)
    text = tree.record.read_bytes().decode()
    listed = {line.split(",")[0] for line in text.split("\r\n")}
    ours = {str(path.relative_to(tree.root)) for path in tree.state_dir.iterdir()}
    assert ours <= listed
    assert tree.row("aiter/ops/one.py") in text


def test_other_links_to_the_file_keep_their_bytes(either: Tree, tmp_path: Path) -> None:
    # uv links files from its cache; RECORD too.
    cache = tmp_path / "cache.py"
    os.link(either.path("ops/one.py"), cache)
    apply(either.package_tree, either.first(), annotations={})
    assert cache.read_bytes() == b"one = 'original'\r\n"
    revert(either.package_tree)
    assert cache.read_bytes() == b"one = 'original'\r\n"
    assert cache.stat().st_nlink == 1


def test_stale_bytecode_is_never_run(either: Tree) -> None:
    import py_compile

    path = either.path("late/three.py")
    # The worst kind: never compared with its source.
    py_compile.compile(str(path), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH, doraise=True)
    ask = [sys.executable, "-B", "-c", "import aiter.late.three as m; print(m.three)"]

    def answer() -> str:
        done = subprocess.run(ask, cwd=either.root, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    before = either.picture()
    assert answer() == "original"
    apply(either.package_tree, either.first(), annotations={})
    assert answer() == "first"
    revert(either.package_tree)
    assert either.picture() == before
    assert answer() == "original"


def test_a_link_that_leaves_the_tree_is_refused(either: Tree, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "k.py").write_bytes(b"k\n")
    either.path("ops/link.py").symlink_to(outside / "k.py")
    either.path("linked").symlink_to(outside)
    for name in ("ops/link.py", "linked/k.py"):
        refused(either, OutsideTreeError, either.change(name, b"new\n"), match="outside/k.py")
    assert (outside / "k.py").read_bytes() == b"k\n"


def test_a_bytecode_cache_that_leaves_the_tree_is_refused(either: Tree, tmp_path: Path) -> None:
    shutil.rmtree(either.path("ops/__pycache__"))
    either.path("ops/__pycache__").symlink_to(tmp_path)
    refused(either, OutsideTreeError, either.change("ops/one.py", b"new\n"))


def test_a_link_within_the_tree_is_followed(tree: Tree) -> None:
    tree.path("ops/alias.py").symlink_to("one.py")
    before = tree.picture()
    apply(tree.package_tree, [tree.change("ops/alias.py", b"new\n")], annotations={})
    assert tree.path("ops/alias.py").is_symlink()
    assert tree.path("ops/one.py").read_bytes() == b"new\n"
    revert(tree.package_tree)
    assert tree.picture() == before


def test_a_package_behind_a_link(tree: Tree) -> None:
    tree.path("").rename(tree.root / "elsewhere")
    (tree.root / "aiter").symlink_to("elsewhere")
    before = tree.picture()
    apply(tree.package_tree, tree.first(), annotations={})
    assert read_status(tree.package_tree).kind is PatchState.APPLIED
    revert(tree.package_tree)
    assert tree.picture() == before


@pytest.mark.parametrize("name", ["../METADATA", "../amd_aiter-1.0.dist-info/METADATA", "ops/../../other.py"])
def test_a_path_outside_is_refused(tree: Tree, name: str) -> None:
    refused(tree, PathError, FileChange(tree.path(name), b"", b"new"), match="not a file of")


def test_two_changes_of_one_file_are_refused(tree: Tree) -> None:
    tree.path("ops/alias.py").symlink_to("one.py")
    refused(tree, PathError, tree.change("ops/one.py", b"a"), tree.change("ops/alias.py", b"b"), match="twice")


def test_other_than_a_plain_file_is_refused(tree: Tree) -> None:
    os.mkfifo(tree.path("pipe.py"))
    refused(tree, NotARegularFileError, FileChange(tree.path("pipe.py"), b"", b"new"))
    refused(tree, NotARegularFileError, FileChange(tree.path("ops"), b"", b"new"))


def test_a_missing_file_is_an_error(tree: Tree) -> None:
    refused(tree, AiterfixError, FileChange(tree.path("ops/none.py"), b"", b"new"), match="none.py")


def test_a_file_that_is_not_what_was_analysed_is_refused(either: Tree) -> None:
    changes = either.first()
    either.path("late/three.py").write_bytes(b"edited meanwhile\n")
    refused(either, ChangedMeanwhileError, *changes, match="three.py")


def test_a_file_in_the_way_is_refused(either: Tree) -> None:
    either.path("ops/.one.py.aiterfix-new").write_bytes(b"whose?")
    refused(either, ChangedMeanwhileError, *either.first(), match="in the way")


def test_revert_refuses_where_a_file_changed_since(either: Tree) -> None:
    apply(either.package_tree, either.first(), annotations={})
    either.path("ops/one.py").write_bytes(b"one = 'mine'\n")
    found = read_status(either.package_tree)
    assert found.kind is PatchState.FOREIGN
    assert "one.py was changed by others" in found.detail
    assert [file.content for file in found.files] == [Content.PATCHED, Content.CHANGED]
    not_reverted(either, ChangedSinceError, "one.py")
    # Nor is the original forgotten by applying something else.
    refused(either, ChangedSinceError, either.change("ops/two.py", b"new"), match="one.py")
    either.path("ops/one.py").write_bytes(b"one = 'original'\r\n")
    revert(either.package_tree)
    assert read_status(either.package_tree).kind is PatchState.NONE


def test_revert_refuses_where_a_file_is_missing(either: Tree) -> None:
    apply(either.package_tree, either.first(), annotations={})
    either.path("ops/one.py").unlink()
    assert "one.py is missing" in read_status(either.package_tree).detail
    not_reverted(either, ChangedSinceError, "missing")


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, -1, -3])
def test_a_truncated_journal(either: Tree, kept: float) -> None:
    apply(either.package_tree, either.first(), annotations={})
    journal = either.state_dir / NAME
    data = journal.read_bytes()
    journal.write_bytes(data[: int(len(data) * kept)] if isinstance(kept, float) else data[:kept])
    if kept == -1:
        assert revert(either.package_tree).restored  # Only the line ending is gone.
        return
    assert read_status(either.package_tree).kind is PatchState.UNREADABLE
    not_reverted(either, JournalError, "journal")
    refused(either, JournalError, either.change("ops/two.py", b"new"))


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (b'"format": 1', b'"format": 2', "format 2"),
        (b'"phase": "applied"', b'"phase": "reverting"', "can't be used"),
        (b"ops/one.py", b"../one.py", "can't be used"),
        (b'"format": 1', b'"form": 1', "can't be used"),
    ],
)
def test_an_altered_journal(either: Tree, old: bytes, new: bytes, match: str) -> None:
    apply(either.package_tree, either.first(), annotations={})
    journal = either.state_dir / NAME
    assert old in journal.read_bytes()
    journal.write_bytes(journal.read_bytes().replace(old, new))
    assert read_status(either.package_tree).kind is PatchState.UNREADABLE
    not_reverted(either, JournalError, match)


def test_a_lost_journal_is_not_taken_for_an_unpatched_tree(either: Tree) -> None:
    apply(either.package_tree, either.first(), annotations={})
    (either.state_dir / NAME).unlink()
    assert read_status(either.package_tree).kind is PatchState.UNREADABLE
    not_reverted(either, JournalError, "missing")


@pytest.mark.parametrize("damage", ["alter", "remove"])
def test_a_damaged_backup(either: Tree, damage: str) -> None:
    apply(either.package_tree, either.first(), annotations={})
    copy = sorted(either.state_dir.glob("*.saved"))[0]
    if damage == "alter":
        copy.write_bytes(b"something else")
    else:
        copy.unlink()
    not_reverted(either, BackupError, copy.name)


def test_a_strange_file_in_our_directory_is_not_deleted(either: Tree) -> None:
    apply(either.package_tree, either.first(), annotations={})
    (either.state_dir / "diary.txt").write_text("mine")
    not_reverted(either, JournalError, "diary.txt")


def test_a_record_that_others_changed_keeps_their_rows(tree: Tree) -> None:
    before = tree.record.read_bytes()
    apply(tree.package_tree, tree.first(), annotations={})
    tree.record.write_bytes(tree.record.read_bytes() + b"aiter/later.py,,\r\n")
    revert(tree.package_tree)
    assert tree.record.read_bytes() == before + b"aiter/later.py,,\r\n"


def reinstall(tree: Tree, before: Picture) -> None:
    """As an installer that unpacks over what is there, leaving files that it does not know."""
    for name, seen in before.items():
        if len(seen) == 5:
            (tree.root / name).parent.mkdir(exist_ok=True)
            assert isinstance(seen[3], bytes)
            (tree.root / name).write_bytes(seen[3])


def test_reinstalling_the_same_version_is_seen_as_unpatched(either: Tree) -> None:
    before = either.picture()
    apply(either.package_tree, either.first(), annotations={})
    reinstall(either, before)
    found = read_status(either.package_tree)
    assert found.kind is PatchState.FOREIGN
    assert "holds its original content" in found.detail
    apply(either.package_tree, either.first(), annotations={})
    assert read_status(either.package_tree).kind is PatchState.APPLIED
    revert(either.package_tree)
    contents = {name: seen[3] for name, seen in either.picture().items() if len(seen) == 5}
    assert contents == {name: seen[3] for name, seen in before.items() if len(seen) == 5}


def test_a_new_version_in_a_checkout_starts_afresh(make: Callable[..., Tree]) -> None:
    tree = make(checkout=True)
    apply(tree.package_tree, tree.first(), annotations={})
    newer = PackageTree(tree.root, tree.root / "aiter", None, "2.0")
    for name in ("ops/one.py", "late/three.py"):
        tree.path(name).write_bytes(b"newer\n")
    assert read_status(newer).kind is PatchState.FOREIGN
    assert "version 1.0; installed is 2.0" in read_status(newer).detail
    apply(newer, [tree.change("ops/one.py", b"newer, patched\n")], annotations={})
    assert read_status(newer).kind is PatchState.APPLIED
    revert(newer)
    assert tree.path("ops/one.py").read_bytes() == b"newer\n"
    assert read_status(newer).kind is PatchState.NONE


def test_reverting_after_a_new_version_only_tidies_up(make: Callable[..., Tree]) -> None:
    tree = make(checkout=True)
    apply(tree.package_tree, tree.first(), annotations={})
    for name in ("ops/one.py", "late/three.py"):
        tree.path(name).write_bytes(b"newer\n")
    done = revert(PackageTree(tree.root, tree.root / "aiter", None, "2.0"))
    assert done.restored == ()
    assert len(done.skipped) == 2
    assert not tree.state_dir.exists()


def test_the_state_of_an_editable_install_goes_with_the_tree(tree: Tree, tmp_path: Path) -> None:
    elsewhere = tmp_path / "venv" / "amd_aiter-1.0.dist-info"
    elsewhere.mkdir(parents=True)
    (elsewhere / "RECORD").write_bytes(b"__editable__.pth,,\n")
    package = PackageTree(tree.root, tree.root / "aiter", elsewhere, "1.0")
    apply(package, tree.first(), annotations={})
    assert read_status(package).state_dir == tree.root / ".aiterfix-aiter"
    assert (elsewhere / "RECORD").read_bytes() == b"__editable__.pth,,\n"
    revert(package)
    assert not (tree.root / ".aiterfix-aiter").exists()


def test_a_distribution_without_record(tree: Tree) -> None:
    # As system package managers leave it.
    tree.record.unlink()
    before = tree.picture()
    apply(tree.package_tree, tree.first(), annotations={})
    assert read_status(tree.package_tree).kind is PatchState.APPLIED
    revert(tree.package_tree)
    assert tree.picture() == before


def test_exit_codes() -> None:
    assert ChangedSinceError.exit_code is ExitCode.ACTION
    assert JournalError.exit_code is ExitCode.NOT_UNDERSTOOD
    assert BackupError.exit_code is ExitCode.NOT_UNDERSTOOD
    assert PathError.exit_code is ExitCode.USAGE
    assert ChangedMeanwhileError.exit_code is ExitCode.ENVIRONMENT
    assert OutsideTreeError.exit_code is ExitCode.ENVIRONMENT
