"""`apply`, `revert` and `recover`: the order of steps. docs/internals/on-disk.md says why each stop is safe."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from aiterfix.errors import AiterfixError
from aiterfix.patching import fsops, moves, state_dir
from aiterfix.patching import journal as journals
from aiterfix.patching.failures import ChangedMeanwhileError, from_os_error
from aiterfix.patching.journal import Journal, Phase
from aiterfix.patching.locking import locked
from aiterfix.patching.outcome import Applied, Recovery, Reverted
from aiterfix.patching.plan import ApplyPlan, ReturnPlan, plan_apply, plan_revert, plan_undo
from aiterfix.patching.status import PatchState, read_status, status_of
from aiterfix.patching.tree import FileChange, HeldTree, PackageTree, held, owners_rights

LOCK_TIMEOUT_SECONDS = 10.0


def apply(
    tree: PackageTree,
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
        changes: what to change. Where ``old`` equals ``new`` the file stays, and must still be what it was: the other
            changes rest on it.
        annotations: noted in the journal for `read_status` to give back; joined with those of earlier runs.
        dry_run: make every check, change nothing, not even to recover.
        lock_timeout: seconds to wait for another process.

    Raises:
        AiterfixError: a refusal or failure; its text says what state that leaves. See
            `aiterfix.patching.failures`.
    """
    if dry_run:
        return _dry_run(tree, changes, annotations)
    with _reported():
        if all(c.old == c.new for c in changes) and read_status(tree).kind is PatchState.NONE:
            return Applied()
    with _transaction(tree, lock_timeout) as at:
        recovered = _recover(at)
        plan = plan_apply(at, changes, journals.load(at), annotations)
        if plan is None:
            return Applied(recovered=recovered)
        notes = _carry_out(at, plan)
        return _applied(at, plan, recovered=recovered, notes=notes)


def revert(tree: PackageTree, *, lock_timeout: float = LOCK_TIMEOUT_SECONDS) -> Reverted:
    """Give back the original files, RECORD and bytecode, and leave nothing of ours behind.

    Args:
        lock_timeout: seconds to wait for another process.

    Raises:
        AiterfixError: a refusal or failure; its text says what state that leaves.
    """
    with _reported():
        if read_status(tree).kind is PatchState.NONE:
            return Reverted()
    with _transaction(tree, lock_timeout) as at:
        recovered = _recover(at)
        journal = journals.load(at)
        if journal is None:
            return Reverted(recovered=recovered)
        state_dir.require_ours(at.state)
        plan = plan_revert(at, journal)
        _go_back(at, journal, plan)
        return Reverted(plan.inverse.files(at), plan.skipped, recovered)


def recover(tree: PackageTree, *, lock_timeout: float = LOCK_TIMEOUT_SECONDS) -> Recovery | None:
    """Deal with what a killed run left: an `apply` is taken back, a `revert` completed.

    Returns:
        What was done, or None where there was nothing to do.

    Raises:
        AiterfixError: it can't be done; its text says why.
    """
    with _reported():
        if read_status(tree).kind is PatchState.NONE:
            return None
    with _transaction(tree, lock_timeout) as at:
        return _recover(at)


@contextmanager
def _transaction(tree: PackageTree, timeout: float) -> Iterator[HeldTree]:
    """Hold a package and its lock, with its owner's rights where root was called for another user's."""
    deadline = time.monotonic() + timeout
    with _reported():
        while True:
            with held(tree, writing=True) as at, locked(at.home, max(0.0, deadline - time.monotonic())):
                if not at.still_there():
                    if time.monotonic() < deadline:
                        continue  # an installer put another in its place while we waited
                    raise _exchanged(tree, "was exchanged, again and again, before it could be changed")
                with owners_rights(at):
                    yield at
                if not at.still_there():
                    raise _exchanged(tree, "was exchanged while it was being changed")
                return


def _exchanged(tree: PackageTree, what: str) -> ChangedMeanwhileError:
    return ChangedMeanwhileError(
        f"{tree.package} {what}",
        why="An installer is at work at the same time. What is there now was not patched.",
        remedy="Run the command again when it has ended.",
    )


@contextmanager
def _reported() -> Iterator[None]:
    """Turn what the system says into an error for people."""
    try:
        yield
    except OSError as failure:
        raise from_os_error(failure, "Nothing was changed.") from failure


def _dry_run(tree: PackageTree, changes: Sequence[FileChange], annotations: Mapping[str, str]) -> Applied:
    with _reported(), held(tree, writing=True) as at, owners_rights(at):
        now = status_of(at)
        if now.kind in (PatchState.INTERRUPTED, PatchState.BUSY):
            return Applied(dry_run=True, notes=(now.detail,))
        plan = plan_apply(at, changes, journals.load(at), annotations)
        return Applied(dry_run=True) if plan is None else _applied(at, plan, dry_run=True)


def _applied(
    tree: HeldTree,
    plan: ApplyPlan,
    *,
    recovered: Recovery | None = None,
    dry_run: bool = False,
    notes: tuple[str, ...] = (),
) -> Applied:
    return Applied(
        changed=plan.move.files(tree),
        state_dir=tree.state.path,
        recovered=recovered,
        dry_run=dry_run,
        notes=notes,
    )


def _carry_out(tree: HeldTree, plan: ApplyPlan) -> tuple[str, ...]:
    """The steps of `apply`. Any failure before the last journal is in place takes everything back."""
    goal = plan.intent.settled()
    try:
        if plan.intent.previous is None:
            state_dir.create(tree, plan.intent, plan.copies)
        else:
            state_dir.save(tree, tree.state, plan.copies)
            state_dir.store(tree, plan.intent)
        moves.stage(plan.move)
        moves.publish(plan.move)
        state_dir.store(tree, goal)
    except BaseException as failure:  # Ctrl-C too must leave all or nothing.
        outcome = _take_back(tree, goal)
        if outcome is None and isinstance(failure, OSError):
            return (f"The change is complete, but it may not outlive a loss of power: {failure}.",)
        raise _with_outcome(failure, outcome or "The change is complete.") from failure
    try:
        state_dir.tidy(tree, goal)
    except OSError as failure:
        return (f"A copy that is no longer needed could not be removed ({failure}); `revert` does it.",)
    return ()


def _take_back(tree: HeldTree, goal: Journal) -> str | None:
    """After a failed `apply`: undo it by what is on the disk; None if it turns out to be complete."""
    try:
        _recover(tree)
        if journals.load(tree) == goal:
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


def _go_back(tree: HeldTree, journal: Journal, plan: ReturnPlan) -> None:
    """The steps of `revert`."""
    try:
        # Whatever needs room comes first, while the journal still says that the patch is applied.
        moves.stage(plan.move)
        state_dir.store(tree, replace(journal, phase=Phase.REVERTING))
        moves.publish(plan.move)
    except BaseException as failure:  # Ctrl-C too must leave all or nothing.
        raise _with_outcome(failure, _reapply(tree, journal, plan)) from failure
    try:
        _finish(tree, journal)
    except OSError as failure:
        raise from_os_error(
            failure,
            "Every file holds its original again; run `revert` once more to remove the rest.",
        ) from failure


def _reapply(tree: HeldTree, journal: Journal, plan: ReturnPlan) -> str:
    """After a failed `revert`: put back what it had changed, so that the patch is applied as before."""
    try:
        moves.remove_temporaries(tree, journal)
        moves.undo_published(plan.move, plan.inverse)
        if journals.load(tree) != journal:
            state_dir.store(tree, journal)
    except (OSError, AiterfixError) as failure:
        return f"It could not be taken back at once either ({failure}); the next `revert` completes it."
    return "Nothing was changed: the patch is still applied."


def _recover(tree: HeldTree) -> Recovery | None:
    """`recover`, with the lock held. Goes by what is on the disk only, and may be cut short itself."""
    cleaned = state_dir.discard_staging(tree)
    journal = journals.load(tree)
    if journal is None:
        if tree.state.exists():
            fsops.rmdir(tree.state)
            fsops.sync_directory(tree.home.at())
            cleaned = True
        return Recovery.CLEANED if cleaned else None
    cleaned |= moves.remove_temporaries(tree, journal)
    if journal.phase is Phase.APPLIED:
        cleaned |= state_dir.tidy(tree, journal)
        return Recovery.CLEANED if cleaned else None
    if journal.phase is Phase.APPLYING:
        plan = plan_undo(tree, journal)
    else:
        state_dir.require_ours(tree.state)
        plan = plan_revert(tree, journal)
    moves.stage(plan.move)
    moves.publish(plan.move)
    if journal.phase is Phase.APPLYING and journal.previous is not None:
        state_dir.store(tree, journal.previous)
        state_dir.tidy(tree, journal.previous)
    else:
        _finish(tree, journal)
    return Recovery.UNDONE if journal.phase is Phase.APPLYING else Recovery.COMPLETED


def _finish(tree: HeldTree, journal: Journal) -> None:
    """Back at the originals: remove cache directories that were not there, then the state directory."""
    for name in journal.absent_caches:
        cache = tree.package.at(name)
        if cache.is_folder() and not cache.names():
            fsops.rmdir(cache)
            fsops.sync_directory(cache.parent)
    state_dir.remove(tree)
