"""The transaction tried for as long as you like. By hand: ``python -m tests.patching.endurance --seconds 600``.

Prints survived/total for each kind of trial; what was lost goes to stderr, with what it takes to try it again; exit
code 1 if anything was. Everything happens in a temporary folder, in memory where there is such a file system.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import aiterfix
from aiterfix.errors import AiterfixError
from aiterfix.patching import fsops
from aiterfix.patching.disk import recover, revert
from aiterfix.patching.status import PatchState, read_status
from tests.patching import hostile
from tests.patching.conftest import Picture, Tree, make_tree
from tests.patching.fuzzing import mutate
from tests.patching.hostile import ACTS, Exchange, exchangeable, make_victim, ready, view
from tests.patching.powerloss import Disk, Recorder, picture_of, whole

WHOLE = {
    "ops/one.py": {b"one = 'original'\r\n", b"one = 'first'\r\n", b"one = 'second'\r\n"},
    "late/three.py": {b"three = 'original'\n", b"three = 'first'\n"},
}


def fresh(base: Path, chance: random.Random) -> Tree:
    """A new tree, as a wheel or a checkout has it."""
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir()
    return make_tree(base / "site-packages", checkout=chance.random() < 0.4)


def require_way_back(tree: Tree, pristine: Picture) -> None:
    """Every file is whole, and the very first tree can be had."""
    for name, texts in WHOLE.items():
        assert tree.path(name).read_bytes() in texts, f"{name} is half written"
    assert read_status(tree.package_tree).kind in (PatchState.NONE, PatchState.APPLIED, PatchState.INTERRUPTED)
    recover(tree.package_tree)
    assert read_status(tree.package_tree).kind in (PatchState.NONE, PatchState.APPLIED)
    revert(tree.package_tree)
    now = tree.picture()
    assert now == pristine, sorted(name for name in now.keys() | pristine if now.get(name) != pristine.get(name))


def kill(base: Path, chance: random.Random) -> None:
    """SIGKILL before some call, a write half done; perhaps once more during recovery."""
    tree = fresh(base, chance)
    pristine = tree.picture()
    run = ready(tree, chance.choice(ACTS))
    for act in (run, *[hostile.mend] * chance.randrange(3)):
        _killed(tree, act, chance.randrange(90))
    require_way_back(tree, pristine)


def _killed(tree: Tree, act: hostile.Act, at: int) -> None:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    left = [at]
    real = fsops.write

    def before(name: str) -> None:
        left[0] -= 1
        if left[0] < 0 and name != "write":
            os.kill(os.getpid(), signal.SIGKILL)

    def write(descriptor: int, data: bytes | memoryview) -> int:
        if left[0] <= 0:
            real(descriptor, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return real(descriptor, data)

    try:
        with hostile.watched(before):
            fsops.write = write
            act(tree)
    finally:
        os._exit(0)


def fail(base: Path, chance: random.Random) -> None:
    """A call fails, once or from then on; what is said of it is true."""
    tree = fresh(base, chance)
    pristine = tree.picture()
    act = chance.choice(ACTS)
    run = ready(tree, act)
    before = tree.picture()
    at, number = chance.randrange(90), chance.choice([errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EDQUOT])
    lasting, count = chance.random() < 0.4, [0]

    def failing(name: str) -> None:
        count[0] += 1
        if count[0] - 1 == at or (lasting and count[0] > at):
            raise OSError(number, os.strerror(number))

    said = ""
    with hostile.watched(failing):
        try:
            run(tree)
        except AiterfixError as failure:
            said = failure.what
    if said.endswith("Nothing was changed.") and act in ("apply", "apply-on-top"):
        assert tree.picture() == before, f"not true: {said}"
    require_way_back(tree, pristine)


def power(base: Path, chance: random.Random, *, orders: tuple[bool, ...] = (True, False)) -> None:
    """The power goes before some call: what was not flushed may be on the disk or not."""
    tree = fresh(base, chance)
    pristine = tree.picture()
    run = ready(tree, chance.choice(ACTS))
    _crash(tree, run, chance, ordered=chance.choice(orders))
    if chance.random() < 0.4:
        _crash(tree, hostile.mend, chance, ordered=chance.choice(orders))
    require_way_back(tree, pristine)


def _crash(tree: Tree, act: hostile.Act, chance: random.Random, *, ordered: bool) -> None:
    disk = Disk(picture_of(tree.root))
    recorder = Recorder(tree.root)
    recorder.run(lambda: act(tree))
    for call in recorder.calls[: chance.randint(0, len(recorder.calls))]:
        disk.do(call)
    shutil.rmtree(tree.root)
    disk.crash(chance, ordered=ordered)(tree.root)


def replay(base: Path, chance: random.Random) -> None:
    """The first calls of a run, replayed on a copy of what was there: perhaps of the recovery from that as well."""
    tree = fresh(base, chance)
    pristine = tree.picture()
    run = ready(tree, chance.choice(ACTS))
    for act in (run, *[hostile.mend] * chance.randrange(3)):
        disk = Disk(picture_of(tree.root))
        recorder = Recorder(tree.root)
        recorder.run(partial(act, tree))
        for call in recorder.calls[: chance.randint(0, len(recorder.calls))]:
            disk.do(call)
        shutil.rmtree(tree.root)
        whole(disk.top, tree.root)
    require_way_back(tree, pristine)


def race(base: Path, chance: random.Random) -> None:
    """A second process exchanges a folder for a link to a copy and back, in one call, during apply and revert."""
    tree = fresh(base, chance)
    pristine = tree.picture()
    hostile.apply_first(tree)
    places = [place for place in exchangeable(tree) if place.is_dir() and place != tree.state_dir]
    place = chance.choice(places)
    swap = Exchange(place, base / "copy", base / "aside")
    swap.there()
    swap.back()
    link = base / "link"
    link.symlink_to(swap.copy)
    if os.geteuid() == 0:
        os.chown(link, hostile.STRANGER, hostile.STRANGER, follow_symlinks=False)
    stop, going = os.pipe()
    child = os.fork()
    if not child:
        os.close(going)
        try:
            _attack(place, link, stop, chance)
        finally:
            os._exit(0)
    os.close(stop)
    try:
        for act in (hostile.take_back, _again) * 4:
            with suppress(AiterfixError, OSError):
                act(tree)
    finally:
        os.close(going)
        os.waitpid(child, 0)
    swap.require_untouched()
    if place.is_symlink():
        _swap(place, link)
    assert link.is_symlink(), "the attacker stumbled"
    recover(tree.package_tree)
    revert(tree.package_tree)
    swap.require_untouched()
    now, then = (_sources(picture) for picture in (tree.picture(), pristine))
    assert now == then, sorted(name for name in now.keys() | then if now.get(name) != then.get(name))


def _attack(place: Path, link: Path, stop: int, chance: random.Random) -> None:
    """Exchange them until told to stop, each time for as long as some calls take."""
    os.set_blocking(stop, False)
    longest = chance.choice([0, 0.0005, 0.003])
    while True:
        _swap(place, link)
        time.sleep(chance.random() * longest)
        with suppress(BlockingIOError):
            if not os.read(stop, 1):
                return


def _swap(one: Path, other: Path) -> None:
    """Exchange two names in one call (Linux); nothing where one of them is gone."""
    at_here, exchange_them = -100, 2
    ctypes.CDLL(None).renameat2(at_here, os.fsencode(one), at_here, os.fsencode(other), exchange_them)


def _again(tree: Tree) -> object:
    return hostile.apply_first(tree)


def _sources(picture: Picture) -> Picture:
    return {name: seen for name, seen in picture.items() if not name.endswith((".pyc", "__pycache__"))}


def exchange(base: Path, chance: random.Random) -> None:
    """A place is exchanged for a link before one access, for that access only or for good."""
    tree = fresh(base, chance)
    once = chance.random() < 0.7
    hostile.exchanged(tree, chance.choice(ACTS), chance.randrange(12), chance.randrange(250), once=once)


def plant(base: Path, chance: random.Random) -> None:
    """Something strange stands where we read or write."""
    plants = [name for name in hostile.PLANTS if name != "device" or os.geteuid() == 0]
    hostile.stands_there(fresh(base, chance), chance.choice(ACTS), chance.choice(plants), chance.randrange(21))


def fuzz(base: Path, chance: random.Random) -> None:
    """Journal, saved copies, state and RECORD damaged: no other exception, nothing outside changed."""
    tree = fresh(base, chance)
    victim = make_victim(base / "victim")
    untouched = view(victim)
    ready(tree, chance.choice(ACTS[1:]))
    how = mutate(tree, victim, chance)
    acts = [hostile.mend, hostile.take_back, hostile.applying(tree, tree.first())]
    chance.shuffle(acts)
    for act in acts:
        hostile.ends(tree, act)
        assert view(victim) == untouched, how
    assert {path.name for path in base.iterdir()} == {"site-packages", "victim"}, how
    known = {"aiter", "amd_aiter-1.0.dist-info", ".aiterfix-aiter", ".aiterfix-aiter.tmp"}
    assert {path.name for path in tree.root.iterdir()} <= known, how


def command(verb: str, folder: Path) -> list[str]:
    """A command of ours about the installation in a folder."""
    return [sys.executable, "-m", "aiterfix", verb, "--path", str(folder)]


def environment() -> dict[str, str]:
    """With the code under test, and no state of this user's."""
    return {**os.environ, "PYTHONPATH": str(Path(aiterfix.__file__).parents[1])}


def sample(at: Path) -> Path:
    """This project's own small package, which the commands know how to mend."""
    shutil.rmtree(at, ignore_errors=True)
    shutil.copytree(Path(aiterfix.__file__).parent / "demo" / "sample", at)
    return at


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but bytecode."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    }


def processes(base: Path, chance: random.Random) -> None:
    """`aiterfix apply` against `aiterfix revert`, started at once: whole old or whole new, and both say so."""
    folder = sample(base)
    old = contents(folder)

    def run(*verbs: str) -> list[tuple[str, int, str]]:
        started = []
        for verb in verbs:
            started.append(
                subprocess.Popen(
                    command(verb, folder),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    env=environment(),
                )
            )
            time.sleep(chance.random() * 0.05)
        return [(verb, process.wait(), process.communicate()[0]) for verb, process in zip(verbs, started, strict=True)]

    said = run("apply") if chance.random() < 0.5 else []
    verbs = ["apply", "revert"]
    chance.shuffle(verbs)
    said += run(*verbs)
    after = contents(folder)
    new = {name for name in after if after[name] != old.get(name) and not name.startswith(".aiterfix-")}
    assert len(new) in (0, 2), f"half patched: {new} {said}"
    assert bool(new) is any(name.endswith("/journal.json") for name in after), said
    assert all(code == 0 and "Traceback" not in text for _, code, text in said), said
    said = run("revert")
    assert contents(folder) == old, said


KINDS: dict[str, Callable[[Path, random.Random], None]] = {
    function.__name__: function for function in (kill, fail, power, replay, exchange, race, processes, plant, fuzz)
}


def trials(kind: str, seconds: float, seed: int, most: int = 10**9) -> tuple[int, int]:
    """Survived and all, of as many trials as there is time for."""
    base = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    end = time.monotonic() + seconds
    survived = total = 0
    try:
        while time.monotonic() < end and total < most:
            total += 1
            try:
                KINDS[kind](base / "trial", random.Random(f"{kind} {seed + total}"))
                survived += 1
            except Exception:  # noqa: BLE001 - whatever it is, it is a loss
                sys.stderr.write(f"{kind} lost, --seed {seed + total - 1} --most 1:\n")
                traceback.print_exc()
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return survived, total


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="in all")
    parser.add_argument("--only", choices=sorted(KINDS), action="append")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=10**9, help="trials of a kind")
    options = parser.parse_args()
    kinds = options.only or list(KINDS)
    lost = False
    for kind in kinds:
        sys.stderr.write(f"{kind} …\n")
        survived, total = trials(kind, options.seconds / len(kinds), options.seed, options.most)
        lost |= survived < total
        sys.stdout.write(f"{kind:10}{survived}/{total}\n")
        sys.stdout.flush()
    return int(lost)


if __name__ == "__main__":
    sys.exit(main())
