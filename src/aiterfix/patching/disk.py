"""`apply`, `revert` and `recover`: the order of steps. docs/on-disk.md says why each stop is safe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from aiterfix.errors import AiterfixError
from aiterfix.patching import fsops, moves, storage
from aiterfix.patching import journal as journals
from aiterfix.patching.failures import from_os_error
from aiterfix.patching.journal import Journal, Phase
from aiterfix.patching.locking import locked
from aiterfix.patching.place import FileChange, Place
from aiterfix.patching.plan import ApplyPlan, ReturnPlan, plan_apply, plan_revert, plan_undo
from aiterfix.patching.status import StateKind, state

LOCK_TIMEOUT_SECONDS = 10.0


class Recovery(str, Enum):
    """What was done about a run that had been killed."""

    UNDONE = "undone"
    """An `apply` was taken back."""
    COMPLETED = "completed"
    """A `revert` was finished."""
    CLEANED = "cleaned"
    """Only leftovers were removed; no file of the package had been half changed."""


@dataclass(frozen=True)
class Recovered:
    """What recovery did.

    Attributes:
        kind: in one word.
        files: files of the package that were put back.
    """

    kind: Recovery
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Applied:
    """What `apply` did, or with ``dry_run`` would do.

    Attributes:
        changed: files that were replaced; empty where there was nothing to do.
        bytecode_removed: compiled files that went with them.
        record: RECORD, if it was updated.
        state_dir: where journal and originals are; None if nothing was changed.
        recovered: what was done about an earlier run that had been killed.
        dry_run: whether this is only what would be done.
        notes: sentences on what went wrong without harm.
    """

    changed: tuple[Path, ...] = ()
    bytecode_removed: tuple[Path, ...] = ()
    record: Path | None = None
    state_dir: Path | None = None
    recovered: Recovered | None = None
    dry_run: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reverted:
    """What `revert` did.

    Attributes:
        restored: files that hold their originals again; empty where there was nothing to do.
        skipped: files that were left alone, since the package is of another version now.
        recovered: what was done about an earlier run that had been killed.
    """

    restored: tuple[Path, ...] = ()
    skipped: tuple[Path, ...] = ()
    recovered: Recovered | None = None


def apply(
    place: Place,
    changes: Sequence[FileChange],
    *,
    annotations: Mapping[str, str],
    dry_run: bool = False,
    lock_timeout: float = LOCK_TIMEOUT_SECONDS,
) -> Applied:
    """Replace files, all or none, so that `revert` can give back what was there before the first `apply`.

    Files that an earlier `apply` changed may be changed again. Call `recover` before analysing: what a
    killed run left is taken back first, after which ``old`` must still match.

    Args:
        place: the package.
        changes: what to change; entries whose ``old`` equals ``new`` are ignored.
        annotations: noted in the journal for `state` to give back; joined with those of earlier runs.
        dry_run: make every check, change nothing, not even to recover.
        lock_timeout: seconds to wait for another process.

    Raises:
        AiterfixError: a refusal or failure; its text says what state that leaves. See
            `aiterfix.patching.failures`.
    """
    if dry_run:
        return _dry_run(place, changes, annotations)
    if not changes and state(place).kind is StateKind.NONE:
        return Applied()
    with _reported(), locked(place.home, lock_timeout):
        recovered = _recover(place)
        plan = plan_apply(place, changes, journals.load(place), annotations)
        if plan is None:
            return Applied(recovered=recovered)
        notes = _carry_out(place, plan)
        return _applied(place, plan, recovered=recovered, notes=notes)


def revert(place: Place, *, lock_timeout: float = LOCK_TIMEOUT_SECONDS) -> Reverted:
    """Give back the original files, RECORD and bytecode, and leave nothing of ours behind.

    Args:
        place: the package.
        lock_timeout: seconds to wait for another process.

    Raises:
        AiterfixError: a refusal or failure; its text says what state that leaves.
    """
    if state(place).kind is StateKind.NONE:
        return Reverted()
    with _reported(), locked(place.home, lock_timeout):
        recovered = _recover(place)
        journal = journals.load(place)
        if journal is None:
            return Reverted(recovered=recovered)
        storage.require_ours(place)
        plan = plan_revert(place, journal)
        _go_back(place, journal, plan)
        restored = tuple(write.target for write in plan.inverse.writes if write.target != place.record)
        return Reverted(restored, plan.skipped, recovered)


def recover(place: Place, *, lock_timeout: float = LOCK_TIMEOUT_SECONDS) -> Recovered | None:
    """Deal with what a killed run left: an `apply` is taken back, a `revert` completed.

    Returns:
        What was done, or None where there was nothing to do.

    Raises:
        AiterfixError: it can't be done; its text says why.
    """
    if state(place).kind is StateKind.NONE:
        return None
    with _reported(), locked(place.home, lock_timeout):
        return _recover(place)


@contextmanager
def _reported() -> Iterator[None]:
    """Turn what the system says into an error for people."""
    try:
        yield
    except OSError as failure:
        raise from_os_error(failure, "Nothing was changed.") from failure


def _dry_run(place: Place, changes: Sequence[FileChange], annotations: Mapping[str, str]) -> Applied:
    with _reported():
        now = state(place)
        if now.kind in (StateKind.INTERRUPTED, StateKind.BUSY):
            return Applied(dry_run=True, notes=(now.detail,))
        plan = plan_apply(place, changes, journals.load(place), annotations)
    return Applied(dry_run=True) if plan is None else _applied(place, plan, dry_run=True)


def _applied(
    place: Place,
    plan: ApplyPlan,
    *,
    recovered: Recovered | None = None,
    dry_run: bool = False,
    notes: tuple[str, ...] = (),
) -> Applied:
    return Applied(
        changed=tuple(write.target for write in plan.move.writes if write.target != place.record),
        bytecode_removed=plan.move.removals,
        record=place.record,
        state_dir=place.state_dir,
        recovered=recovered,
        dry_run=dry_run,
        notes=notes,
    )


def _carry_out(place: Place, plan: ApplyPlan) -> tuple[str, ...]:
    """The steps of `apply`. Any failure before the last journal is in place takes everything back."""
    goal = plan.intent.settled()
    try:
        if plan.intent.previous is None:
            storage.create(place, plan.intent, plan.copies)
        else:
            storage.save(place, place.state_dir, plan.copies)
            storage.store(place, plan.intent)
        moves.stage(plan.move)
        moves.publish(plan.move)
        storage.store(place, goal)
    except BaseException as failure:  # Ctrl-C too must leave all or nothing.
        outcome = _take_back(place, goal)
        if outcome is None and isinstance(failure, OSError):
            return (f"The change is complete, but it may not outlive a loss of power: {failure}.",)
        raise _with_outcome(failure, outcome or "The change is complete.") from failure
    try:
        storage.tidy(place, goal)
    except OSError as failure:
        return (f"A copy that is no longer needed could not be removed ({failure}); `revert` does it.",)
    return ()


def _take_back(place: Place, goal: Journal) -> str | None:
    """After a failed `apply`: undo it by what is on the disk; None if it turns out to be complete."""
    try:
        _recover(place)
        if journals.load(place) == goal:
            return None
    except (OSError, AiterfixError) as failure:
        return f"It could not be taken back at once either ({failure}); the next `apply` or `revert` does it."
    return "Nothing was changed."


def _with_outcome(failure: BaseException, outcome: str) -> BaseException:
    """What happened, together with what it leaves behind."""
    if isinstance(failure, OSError):
        return from_os_error(failure, outcome)
    if isinstance(failure, AiterfixError):
        return type(failure)(f"{failure.what}. {outcome}", why=failure.why, remedy=failure.remedy)
    return failure


def _go_back(place: Place, journal: Journal, plan: ReturnPlan) -> None:
    """The steps of `revert`."""
    try:
        # Whatever needs room comes first, while the journal still says that the patch is applied.
        moves.stage(plan.move)
        storage.store(place, _reverting(journal))
        moves.publish(plan.move)
    except BaseException as failure:  # Ctrl-C too must leave all or nothing.
        raise _with_outcome(failure, _reapply(place, journal, plan)) from failure
    try:
        _finish(place, journal)
    except OSError as failure:
        raise from_os_error(
            failure,
            "Every file holds its original again; run `revert` once more to remove the rest.",
        ) from failure


def _reverting(journal: Journal) -> Journal:
    return replace(journal, phase=Phase.REVERTING)


def _reapply(place: Place, journal: Journal, plan: ReturnPlan) -> str:
    """After a failed `revert`: put back what it had changed, so that the patch is applied as before."""
    try:
        moves.remove_temporaries(place, journal)
        moves.undo_published(plan.move, plan.inverse)
        if journals.load(place) != journal:
            storage.store(place, journal)
    except (OSError, AiterfixError) as failure:
        return f"It could not be taken back at once either ({failure}); the next `revert` completes it."
    return "Nothing was changed: the patch is still applied."


def _recover(place: Place) -> Recovered | None:
    """`recover`, with the lock held. Goes by what is on the disk only, and may be cut short itself."""
    cleaned = storage.discard_staging(place)
    journal = journals.load(place)
    if journal is None:
        if place.state_dir.exists():
            fsops.rmdir(place.state_dir)
            fsops.sync_directory(place.home)
            cleaned = True
        return Recovered(Recovery.CLEANED) if cleaned else None
    cleaned |= moves.remove_temporaries(place, journal)
    if journal.phase is Phase.APPLIED:
        cleaned |= storage.tidy(place, journal)
        return Recovered(Recovery.CLEANED) if cleaned else None
    if journal.phase is Phase.APPLYING:
        plan = plan_undo(place, journal)
    else:
        storage.require_ours(place)
        plan = plan_revert(place, journal)
    moves.stage(plan.move)
    moves.publish(plan.move)
    if journal.phase is Phase.APPLYING and journal.previous is not None:
        storage.store(place, journal.previous)
        storage.tidy(place, journal.previous)
    else:
        _finish(place, journal)
    files = tuple(write.target for write in plan.inverse.writes if write.target != place.record)
    return Recovered(Recovery.UNDONE if journal.phase is Phase.APPLYING else Recovery.COMPLETED, files)


def _finish(place: Place, journal: Journal) -> None:
    """Back at the originals: remove cache directories that were not there, then the state directory."""
    for name in journal.absent_caches:
        cache = place.real_package / name
        if cache.is_dir() and not any(cache.iterdir()):
            fsops.rmdir(cache)
            fsops.sync_directory(cache.parent)
    storage.remove(place)
