"""Every call that changes the file system, killed or failed, over the whole of apply, revert and recovery."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import pytest

from aiterfix.errors import AiterfixError, ExitCode
from aiterfix.patching.disk import apply, recover, revert
from aiterfix.patching.failures import DiskFullError, FileSystemError, NotWritableError, from_os_error
from aiterfix.patching.status import Content, PatchState, read_status

if TYPE_CHECKING:
    from tests.patching.conftest import Faults, Picture, Tree

Make = Callable[..., "Tree"]
Keep = Callable[["Tree"], Callable[[], None]]
Faulty = Callable[["Faults"], AbstractContextManager["Faults"]]
Stops = Callable[..., Iterator[tuple["Faults", BaseException | None]]]

NOTES = {"fix": "some-fix"}


def apply_first(tree: Tree) -> None:
    apply(tree.package_tree, tree.first(), annotations=NOTES)


def apply_second(tree: Tree) -> None:
    apply(tree.package_tree, tree.second(), annotations=NOTES)


def take_back(tree: Tree) -> None:
    revert(tree.package_tree)


def nothing(tree: Tree) -> None:
    pass


def once(tree: Tree) -> None:
    apply_first(tree)
    tree.run_it()


def twice(tree: Tree) -> None:
    once(tree)
    apply_second(tree)
    tree.run_it()


SCENARIOS = {
    "apply": (nothing, apply_first),
    "apply-on-top": (once, apply_second),
    "revert": (once, take_back),
    "revert-two": (twice, take_back),
}
scenarios = pytest.mark.parametrize("scenario", SCENARIOS)

TEXTS = {
    "ops/one.py": [b"one = 'original'\r\n", b"one = 'first'\r\n", b"one = 'second'\r\n"],
    "ops/two.py": ["two = 'ä'".encode(), b"two = 'second'\n"],
    "late/three.py": [b"three = 'original'\n", b"three = 'first'\n"],
}


def check_truth(tree: Tree, pristine: Picture) -> PatchState:
    """Every file is whole, and `read_status` says what is there."""
    for name, texts in TEXTS.items():
        assert tree.path(name).read_bytes() in texts
    found = read_status(tree.package_tree)
    assert found.kind in (PatchState.NONE, PatchState.APPLIED, PatchState.INTERRUPTED), found.detail
    if found.kind is PatchState.NONE:
        assert tree.picture() == pristine
    if found.kind is PatchState.APPLIED:
        assert {file.content for file in found.files} == {Content.PATCHED}
    listed = {str(file.path.relative_to(tree.root / "aiter")): file.content for file in found.files}
    for name, texts in TEXTS.items():
        patched = tree.path(name).read_bytes() != texts[0]
        # A file that differs from its original is never passed over, and never called the original.
        assert not patched or listed[name] in (Content.PATCHED, Content.BEFORE)
        assert patched or listed.get(name, Content.ORIGINAL) in (Content.ORIGINAL, Content.BEFORE)
    return found.kind


def by_revert(tree: Tree) -> None:
    revert(tree.package_tree)


def by_apply(tree: Tree) -> None:
    recover(tree.package_tree)
    assert recover(tree.package_tree) is None
    assert read_status(tree.package_tree).kind in (PatchState.NONE, PatchState.APPLIED)
    apply(tree.package_tree, [*tree.first()], annotations=NOTES)
    assert read_status(tree.package_tree).kind is PatchState.APPLIED
    assert tree.path("ops/one.py").read_bytes() == TEXTS["ops/one.py"][1]
    revert(tree.package_tree)


def by_recover(tree: Tree) -> None:
    recover(tree.package_tree)
    revert(tree.package_tree)


@pytest.fixture
def stops(faulty: Faulty) -> Stops:
    """Does something again and again, each time with a fault at a later call, until it ends before that call."""

    def each(
        tree: Tree, start: Callable[[], None], act: Callable[[Tree], object], fault: Callable[[int], Faults],
        raised: type[BaseException], step: int = 1,
    ) -> Iterator[tuple[Faults, BaseException | None]]:  # fmt: skip
        for index in range(0, 1000, step):
            start()
            failure: BaseException | None = None
            with faulty(fault(index)) as seen:
                try:
                    act(tree)
                except raised as error:
                    failure = error
            if not seen.hit:
                assert failure is None
                return
            yield seen, failure
        raise AssertionError("a thousand calls are no end")

    return each


@pytest.mark.parametrize(
    ("checkout", "finishes"),
    [(False, (by_revert, by_apply)), (True, (by_recover,))],
    ids=["installed", "checkout"],
)
@scenarios
def test_killed_at_every_call(
    make: Make, keep: Keep, stops: Stops, faults: type[Faults], power_off: type[BaseException], scenario: str,
    checkout: bool, finishes: tuple[Callable[[Tree], None], ...],
) -> None:  # fmt: skip
    prepare, act = SCENARIOS[scenario]
    kinds = set()
    tree = make(checkout=checkout)
    pristine = tree.picture()
    prepare(tree)
    for seen, _ in stops(tree, keep(tree), act, lambda at: faults(at=at), power_off):
        kinds.add(check_truth(tree, pristine))
        killed = keep(tree)
        for finish in finishes:
            killed()
            finish(tree)
            assert tree.picture() == pristine, f"{seen.place}, {finish.__name__}"
    assert (seen.at or 0) > 30  # The loop ran through the calls of a whole transaction.
    assert PatchState.INTERRUPTED in kinds


@scenarios
def test_killed_again_during_recovery(
    make: Make, keep: Keep, stops: Stops, faults: type[Faults], power_off: type[BaseException], scenario: str
) -> None:
    prepare, act = SCENARIOS[scenario]
    combinations = 0
    tree = make()
    pristine = tree.picture()
    prepare(tree)

    def recover_it(tree: Tree) -> None:
        recover(tree.package_tree)

    def fault(at: int) -> Faults:
        return faults(at=at)

    for seen, _ in stops(tree, keep(tree), act, fault, power_off, step=5):
        for again, _ in stops(tree, keep(tree), recover_it, fault, power_off, step=3):
            check_truth(tree, pristine)
            revert(tree.package_tree)
            assert tree.picture() == pristine, f"{seen.place}, then {again.place}"
            combinations += 1
    assert combinations > 50


EXPECTED = {
    errno.ENOSPC: DiskFullError,
    errno.EACCES: NotWritableError,
    errno.EROFS: NotWritableError,
    errno.EIO: FileSystemError,
}


@pytest.mark.parametrize(
    ("number", "kind", "remedy"),
    [
        (errno.EROFS, NotWritableError, "aiterfix run -- COMMAND"),
        (errno.EACCES, NotWritableError, "as the owner of the installation"),
        (errno.EBUSY, FileSystemError, "Where it is mounted by itself"),
        (errno.ENOENT, FileSystemError, "install again the package"),
        (errno.ENOSPC, DiskFullError, "Free some space"),
        (errno.EIO, FileSystemError, "dmesg"),
    ],
)
def test_what_to_do_about_an_error_is_what_helps_against_it(number: int, kind: type, remedy: str) -> None:
    error = from_os_error(OSError(number, os.strerror(number), "/x/file"), "Nothing was changed.")
    assert type(error) is kind and remedy in error.remedy and "/x/file" in error.what
    assert ("dmesg" in error.remedy) == (number == errno.EIO)


# Which number it is decides what is said alone, in `from_os_error`: three of them take turns.
@pytest.mark.parametrize(
    ("checkout", "numbers"),
    [(False, (errno.EIO,)), (False, (errno.ENOSPC, errno.EACCES, errno.EROFS)), (True, (errno.EIO,))],
    ids=["EIO", "others", "checkout-EIO"],
)
@scenarios
def test_one_failing_call(
    make: Make, keep: Keep, stops: Stops, faults: type[Faults], scenario: str, checkout: bool,
    numbers: tuple[int, ...],
) -> None:  # fmt: skip
    prepare, act = SCENARIOS[scenario]
    refused = 0
    tree = make(checkout=checkout)
    pristine = tree.picture()
    prepare(tree)
    before = tree.picture()

    def fault(at: int) -> Faults:
        return faults(at=at, number=numbers[at % len(numbers)])

    for seen, failure in stops(tree, keep(tree), act, fault, AiterfixError):
        where = seen.place
        kind = check_truth(tree, pristine)
        if failure is None:
            # The call was one that the transaction can do without at the very end.
            assert kind is (PatchState.NONE if act is take_back else PatchState.APPLIED), where
        else:
            refused += 1
            assert seen.number is not None and type(failure) is EXPECTED[seen.number], where
            assert failure.exit_code is ExitCode.ENVIRONMENT
            assert errno.errorcode[seen.number] in failure.why
            assert failure.remedy
            if "Nothing was changed" in failure.what:
                without_bytecode = act is take_back
                assert differences(tree.picture(), before, without_bytecode) == [], where
            else:
                assert "holds its original again" in failure.what, where
                assert all(tree.path(name).read_bytes() == texts[0] for name, texts in TEXTS.items())
        revert(tree.package_tree)
        assert tree.picture() == pristine, where
    assert refused > 20


def differences(now: Picture, before: Picture, without_bytecode: bool) -> list[object]:
    """Names that are not the same in both pictures, and what they were and are."""
    return [
        (name, before.get(name), now.get(name))
        for name in sorted(now.keys() | before.keys())
        # A revert that fails halfway leaves the patch applied; its bytecode the interpreter makes anew.
        if now.get(name) != before.get(name) and not (without_bytecode and name.endswith(".pyc"))
    ]


@pytest.mark.parametrize(
    ("checkout", "number"), [(False, errno.EIO), (True, errno.EROFS)], ids=["installed-EIO", "checkout-EROFS"]
)
@scenarios
def test_a_disk_that_stays_broken(
    make: Make, keep: Keep, stops: Stops, faults: type[Faults], scenario: str, checkout: bool, number: int
) -> None:
    prepare, act = SCENARIOS[scenario]
    tree = make(checkout=checkout)
    pristine = tree.picture()
    prepare(tree)

    def broken(at: int) -> Faults:
        return faults(at=at, number=number, lasting=True)

    for seen, failure in stops(tree, keep(tree), act, broken, AiterfixError):
        if failure is not None:
            assert type(failure) is EXPECTED[number]
            assert failure.exit_code is ExitCode.ENVIRONMENT
        check_truth(tree, pristine)
        revert(tree.package_tree)
        assert tree.picture() == pristine, seen.place
    assert (seen.at or 0) > 30


@scenarios
def test_a_full_disk_refuses_only_what_needs_room(
    make: Make, keep: Keep, stops: Stops, faults: type[Faults], scenario: str
) -> None:
    # Creating and writing fail from some call on; unlink, rename and the rest go on working.
    prepare, act = SCENARIOS[scenario]
    tree = make()
    pristine = tree.picture()
    prepare(tree)
    before = tree.picture()

    def full(at: int) -> Faults:
        return faults(at=at, number=errno.ENOSPC, lasting=True, only=("mkdir", "create", "write"))

    for seen, failure in stops(tree, keep(tree), act, full, DiskFullError):
        kind = check_truth(tree, pristine)
        if isinstance(failure, DiskFullError) and "Nothing was changed" in failure.what:
            assert differences(tree.picture(), before, act is take_back) == [], seen.place
            assert kind is not PatchState.INTERRUPTED
        revert(tree.package_tree)
        assert tree.picture() == pristine, seen.place
    assert (seen.at or 0) > 5


def test_interrupt_by_keyboard_leaves_nothing(make: Make, keep: Keep, stops: Stops, faults: type[Faults]) -> None:
    tree = make()
    pristine = tree.picture()

    def interrupted(at: int) -> Faults:
        return faults(at=at, number=0, exception=KeyboardInterrupt)

    for seen, failure in stops(tree, keep(tree), apply_first, interrupted, KeyboardInterrupt):
        if failure is not None and read_status(tree.package_tree).kind is not PatchState.APPLIED:
            assert tree.picture() == pristine, seen.place
        revert(tree.package_tree)
        assert tree.picture() == pristine, seen.place
    assert (seen.at or 0) > 30


def test_every_primitive_is_among_the_calls(make: Make, faulty: Faulty, faults: type[Faults], names: Any) -> None:
    tree = make()
    with faulty(faults()) as seen:
        twice(tree)
        revert(tree.package_tree)
    # chown is called only where the owner differs; it has its own tests.
    assert set(seen.calls) | {"chown"} == set(names)
