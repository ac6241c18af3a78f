"""On a tree that others can write to: nothing outside of it is read into it, written, removed or waited for."""

from __future__ import annotations

import hashlib
import json
import os
import random
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aiterfix.errors import AiterfixError
from aiterfix.patching.disk import apply, recover, revert
from aiterfix.patching.failures import (
    ChangedMeanwhileError,
    JournalError,
    TooLongNameError,
    UntrustedStateError,
    UntrustedTreeError,
)
from aiterfix.patching.status import PatchState, read_status
from aiterfix.patching.tree import HeldTree
from tests.patching import hostile
from tests.patching.conftest import Tree
from tests.patching.hostile import ACTS, PLANTS, exchangeable, exchanged, make_victim, places, ready, stands_there, view

Make = Callable[..., "Tree"]

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files away")


def devices() -> bool:
    """Whether this process may make one."""
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            hostile.device(Path(folder, "device"), Path())
        except PermissionError:
            return False
    return True


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("plant", [name for name in PLANTS if name != "device" or devices()])
def test_something_else_stands_there(make: Make, plant: str, act: str) -> None:
    # All of them: python -m tests.patching.endurance --only plant
    tried = 0
    for index in range(30):
        if (index + len(plant) + len(act)) % 4 == 0:
            tried += stands_there(make(), act, plant, index)
    for index in range(12 + len(plant) % 2, 18, 2):
        tried += stands_there(make(checkout=True), act, plant, index)
    assert tried > 1


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("checkout", [False, True], ids=["installed", "checkout"])
def test_exchanged_for_a_link_before_an_access(make: Make, act: str, checkout: bool) -> None:
    # Some of them: python -m tests.patching.endurance --only exchange
    chance = random.Random(f"{act} {checkout}")
    done = 0
    for _ in range(24):
        once = chance.random() < 0.7
        done += exchanged(make(checkout=checkout), act, chance.randrange(12), chance.randrange(250), once=once)
    assert done > 0


def test_what_a_killed_run_left_is_not_forgotten_in_a_folder_that_is_exchanged_for_a_moment(make: Make) -> None:
    tree = make()
    index = exchangeable(tree).index(tree.path("late"))
    done = sum(exchanged(make(), "recover-early", index, at, once=True) for at in range(30))
    assert done > 10


def seal(tree: Tree, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the journal and give it the right digest again."""
    path = tree.state_dir / "journal.json"
    body = json.loads(path.read_bytes())["journal"]
    change(body)
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    path.write_bytes(
        json.dumps({"format": 1, "sha256": hashlib.sha256(text.encode()).hexdigest(), "journal": body}).encode()
    )


EVIL = b"evil"
EVIL_SHA = hashlib.sha256(EVIL).hexdigest()


def bytecode(path: str, **more: int) -> dict[str, Any]:
    return {"path": path, "sha256": EVIL_SHA, "size": 4, "mode": 0o4755, "uid": 0, "gid": 0, "mtime_ns": 0, **more}


def in_bytecode(path: str) -> Callable[[dict[str, Any]], None]:
    return lambda body: body["files"][0]["bytecode"].append(bytecode(path))


def in_removed(path: str) -> Callable[[dict[str, Any]], None]:
    def change(body: dict[str, Any]) -> None:
        body["phase"] = "applying"
        body["removed"].append(bytecode(path))

    return change


def as_name(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda body: body["files"][0].update(names=[name])


def as_other_name(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda body: body["files"][0]["names"].append(name)


def as_cache(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda body: body["absent_caches"].append(name)


def as_copy(sha256: str) -> Callable[[dict[str, Any]], None]:
    return lambda body: body["files"][0]["original"].update(sha256=sha256)


ELSEWHERE = ("linked/__pycache__/three.x.pyc", "linked/three.pyc", "../three.pyc", "ops/../../three.pyc", "/three.pyc",
             "linked/secret.txt", "linked", ".", "", "three.pyc/", "linked/three." + "x" * 240 + ".pyc",
             "l\u0000/three.pyc", "l\udc80/three.pyc", "l\ud800/three.pyc")  # fmt: skip


@pytest.mark.parametrize("where", [in_bytecode, in_removed, as_name, as_other_name, as_cache, as_copy])
@pytest.mark.parametrize("phase", ["applied", "applying", "reverting"])
def test_a_planted_journal_reaches_nothing_else(
    make: Make, where: Callable[[str], Callable[[dict[str, Any]], None]], phase: str
) -> None:
    for name in (*ELSEWHERE, "linked/__pycache__", "linked/empty", "linked/one.py"):
        tree = make()
        victim = make_victim(tree.root.parent / "victim")
        untouched = view(victim)
        ready(tree, "revert")
        tree.path("linked").symlink_to(victim)
        (tree.state_dir / f"{EVIL_SHA}.saved").write_bytes(EVIL)
        seal(tree, lambda body: body.update(phase=phase))
        seal(tree, where(name))
        first = tree.first()
        for act in (hostile.mend, hostile.take_back, hostile.applying(tree, first)):
            hostile.ends(tree, act)
            assert view(victim) == untouched, (name, act)
        outside = {p.name for p in tree.root.parent.iterdir()}
        assert outside == {"site-packages", "victim"}
        assert {p.name for p in tree.root.iterdir()} == {"aiter", "amd_aiter-1.0.dist-info"}


def test_bytecode_that_a_journal_names_gets_no_other_rights(make: Make) -> None:
    tree = make()
    ready(tree, "revert")
    (tree.state_dir / f"{EVIL_SHA}.saved").write_bytes(EVIL)
    seal(tree, in_bytecode("late/__pycache__/three.x.pyc"))
    name = "late/__pycache__/three.x.pyc"
    seal(tree, lambda body: body.update(absent_caches=[]))
    revert(tree.package_tree)
    assert tree.path(name).read_bytes() == EVIL
    assert tree.path(name).stat().st_mode & 0o7777 == 0o755


def test_a_saved_copy_is_no_more_readable_than_what_it_was_made_of(make: Make) -> None:
    # In a folder that others can write to, compiled files may be hard links to anything.
    tree = make()
    secret = tree.path("ops/__pycache__/one.secret.pyc")
    secret.write_bytes(b"secret")
    secret.chmod(0o600)
    apply(tree.package_tree, tree.first(), annotations={})
    modes = {p.read_bytes(): p.stat().st_mode & 0o777 for p in tree.state_dir.glob("*.saved")}
    assert modes[b"secret"] == 0o600
    assert modes[b"one = 'original'\r\n"] == 0o640
    assert modes[b"three = 'original'\n"] == 0o644


def test_only_what_is_ours_is_emptied(make: Make) -> None:
    # In a folder that everybody may write to, root's other folders can be renamed to our names.
    tree = make()
    staging = tree.state_dir.with_name("aiterfix.tmp")
    staging.mkdir()
    (staging / "accounts.db").write_bytes(b"root's")
    (staging / ("0" * 64 + ".saved")).write_bytes(b"ours")
    before = tree.picture()
    for act in (hostile.mend, hostile.take_back, hostile.applying(tree, tree.first())):
        with pytest.raises(JournalError, match=r"accounts\.db"):
            act(tree)
        assert tree.picture() == before


@pytest.mark.parametrize("plant", ["link_to_folder", "fifo", "plain_file"])
def test_status_does_not_take_another_thing_for_a_killed_run(make: Make, plant: str) -> None:
    tree = make()
    PLANTS[plant](tree.state_dir.with_name("aiterfix.tmp"), make_victim(tree.root.parent / "victim"))
    found = read_status(tree.package_tree)
    assert found.kind is PatchState.UNREADABLE
    assert "aiterfix.tmp" in found.detail


def test_a_package_that_is_exchanged_all_the_time_ends_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = make()
    before = tree.picture()
    monkeypatch.setattr(HeldTree, "still_there", lambda _: False)
    with pytest.raises(ChangedMeanwhileError, match="exchanged"):
        apply(tree.package_tree, tree.first(), annotations={}, lock_timeout=0.2)
    assert tree.picture() == before


def test_a_package_that_is_gone_at_the_end_is_not_called_unchanged(make: Make) -> None:
    tree = make()
    changes = tree.first()
    gone: list[str] = []

    def before(name: str) -> None:
        if name == "rename" and not gone:
            tree.path("").rename(tree.root / "away")
            tree.path("").write_bytes(b"a file where the package was")
            gone.append(name)

    with hostile.watched(before), pytest.raises(ChangedMeanwhileError, match="was exchanged"):
        apply(tree.package_tree, changes, annotations={})
    assert gone


# As root, on what belongs to others.


def give(owner: int, *paths: Path) -> None:
    for path in paths:
        os.chown(path, owner, owner, follow_symlinks=False)


OWNER = 12345


@pytest.fixture
def owned(make: Make) -> Tree:
    """A tree of another user, in a folder of root's that he can reach."""
    tree = make()
    tree.root.parent.chmod(0o755)
    give(OWNER, tree.root, *tree.root.rglob("*"))
    return tree


@as_root
def test_root_works_with_the_owners_rights_and_for_him(owned: Tree) -> None:
    pristine = owned.picture()
    apply(owned.package_tree, owned.first(), annotations={})
    assert {p.lstat().st_uid for p in owned.root.rglob("*")} == {OWNER}
    revert(owned.package_tree)
    assert owned.picture() == pristine
    assert (os.geteuid(), os.getegid()) == (0, 0)
    # A folder in which only root could write.
    owned.path("ops").chmod(0o755)
    give(0, owned.path("ops"))
    with pytest.raises(AiterfixError, match="ops is not writable"):
        apply(owned.package_tree, owned.first(), annotations={})
    assert os.geteuid() == 0


@as_root
@pytest.mark.parametrize("act", ACTS)
def test_a_stranger_owns_a_place(make: Make, act: str) -> None:
    for index in range(len(act) % 2, 30, 1 if act == "apply" else 2):
        for change in ("owner", "mode"):
            tree = make()
            pristine = tree.picture()
            run = ready(tree, act)
            if index >= len(places(tree)) or not os.path.lexists(place := places(tree)[index]):
                continue
            status = place.lstat()
            if change == "owner":
                give(hostile.STRANGER, place)
            else:
                place.chmod(0o777)
            error = hostile.ends(tree, run)
            if error is None:
                error = hostile.ends(tree, hostile.take_back)
            if change == "owner" and place.is_dir():
                assert error is not None, place
            if error is not None:
                assert place.name in str(error), f"{place}: {error}"
            if place.exists():
                give(0, place)
                place.chmod(status.st_mode & 0o7777)
            recover(tree.package_tree)
            revert(tree.package_tree)
            assert tree.picture() == pristine, f"{place}: {error}"


@as_root
@pytest.mark.parametrize("above", ["link", "folder"])
def test_what_a_stranger_has_above_the_package(make: Make, above: str) -> None:
    tree = make()
    theirs = tree.root.parent / "theirs"
    if above == "link":
        theirs.symlink_to(".")
        give(hostile.STRANGER, theirs)
    else:
        theirs.mkdir()
        tree.root.rename(theirs / tree.root.name)
        give(hostile.STRANGER, theirs)
    here = Tree(theirs / tree.root.name, theirs / tree.root.name / "amd_aiter-1.0.dist-info")
    before = here.picture()
    with pytest.raises(UntrustedTreeError, match="theirs belongs to user 4242"):
        apply(here.package_tree, here.first(), annotations={})
    assert here.picture() == before
    # An image may lie in anybody's home: which folder it is, the caller says.
    apply(replace(here.package_tree, image_root=here.root), here.first(), annotations={})
    assert here.picture() != before


@as_root
def test_a_strangers_state_beside_a_checkout_in_a_shared_folder(make: Make) -> None:
    tree = make(checkout=True)
    pristine = tree.picture()
    apply(tree.package_tree, [tree.change("ops/one.py", b"evil\n")], annotations={})
    tree.path("ops/one.py").write_bytes(b"one = 'original'\r\n")
    tree.root.chmod(0o1777)
    give(hostile.STRANGER, tree.state_dir, *tree.state_dir.iterdir())
    before = tree.picture()
    for act in (hostile.applying(tree, tree.first()), hostile.take_back, hostile.mend):
        with pytest.raises(UntrustedStateError, match=r"\.aiterfix-aiter belongs to user 4242"):
            act(tree)
        assert tree.picture() == before
    assert read_status(tree.package_tree).kind is PatchState.UNREADABLE
    assert pristine["aiter/ops/two.py"] == before["aiter/ops/two.py"]


@pytest.mark.parametrize("length", range(236, 256))
def test_long_names_are_refused_before_anything_is_written_or_can_be_left_again(make: Make, length: int) -> None:
    done = []
    for shorter in (0, len(".cpython-311.pyc") - len(".py")):  # the file, its compiled copy
        tree = make()
        name = "k" * (length - shorter - 3) + ".py"
        path = tree.path(f"ops/{name}")
        path.write_bytes(b"old\n")
        if shorter:
            tree.path(f"ops/__pycache__/{path.stem}.cpython-311.pyc").write_bytes(b"code")
        pristine = tree.picture()
        try:
            apply(tree.package_tree, [tree.change(f"ops/{name}", b"new\n")], annotations={})
        except TooLongNameError as failure:
            assert "kkk" in str(failure)
            assert tree.picture() == pristine
            done.append(False)
            continue
        assert path.read_bytes() == b"new\n"
        revert(tree.package_tree)
        assert tree.picture() == pristine
        done.append(True)
    assert done == [length <= 241, length <= 241]
