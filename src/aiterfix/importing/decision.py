"""From the text of a kernel module to the text that is to be imported, or to the reason why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from importlib.util import decode_source
from typing import TYPE_CHECKING

from aiterfix.errors import AiterfixError
from aiterfix.faults.registry import Faults
from aiterfix.judge.witnesses import prebuilt_variable
from aiterfix.storage.digest import sha256_hex
from aiterfix.storage.record import record

if TYPE_CHECKING:
    from aiterfix.judge.refusals import NamedLaunch

KEEP_PADDING = (
    "Keep padding columns behind every row (`aiterfix padding` says how many), or give vLLM a --max-model-len "
    "that is a multiple of 256"
)


class Outcome(str, Enum):
    """What became of a module."""

    PATCHED = "patched"
    """Its faults were taken out while it was imported, or after it."""
    CLEAN = "clean"
    """Its own source has none of the judged faults, or none of the kernels; the import was left alone."""
    REPLACED = "replaced"
    """A wrapper: what consumers call is this project's own kernel, as ``AITERFIX_KERNEL=1`` asks."""
    BYPASSED = "bypassed"
    """A kernel module that runs unpatched, whose wrapper is replaced: nothing launches its kernels."""
    UNPATCHED = "unpatched"
    """What runs has a fault that is judged, or could not be understood."""


@record(frozen=True)
class Decision:
    """What to do with one module.

    Attributes:
        state: what will be true of the module when the decision has been carried out.
        before: sha256 of the text found, hexadecimal; empty where there was none to read.
        after: sha256 of that text; empty where there is none.
        text: the text to import instead: patched, or where ``state`` is UNPATCHED as far as it can be.
        mended: how many places of each fault get an edit, by its id.
        reason: why a fault is left; empty where none is.
    """

    state: Outcome
    before: str = ""
    after: str = ""
    text: bytes | None = None
    mended: tuple[tuple[str, int], ...] = ()
    reason: str = ""
    remedy: str = ""

    def not_carried_out(self) -> Decision:
        """The same where what was there runs after all."""
        return replace(self, after="", text=None, mended=())


def decide(text: bytes, known: Faults, filename: str, launches: Sequence[NamedLaunch] = ()) -> Decision:
    """Judge a module's text and patch it if it needs that and can be.

    Args:
        text: the bytes that the import would compile.
        launches: every launch of its kernels, as the wrappers make them that will run.
    """
    from aiterfix.source.gc_pause import no_collection  # no part of `source` before there is a text to read

    with no_collection():
        return _decide(text, known, filename, launches)


def refuse(text: bytes, known: Faults, filename: str) -> Decision:
    """Have a wrapper refuse what its kernels cannot do; a decision to leave it alone where it need not or cannot.

    What it does not refuse counts as present in its kernels, so nothing is lost by leaving it alone.

    Args:
        text, known, filename: see `decide`.
    """
    from aiterfix.faults.diagnosis import TextDiagnosis
    from aiterfix.faults.mend import mend
    from aiterfix.history.known import mended
    from aiterfix.source.gc_pause import no_collection

    with no_collection():
        digest = sha256_hex(text)
        if all(n.launch.told or n.launch.refused for n in launches_of(filename, text, known)):
            return Decision(Outcome.CLEAN, digest)
        try:
            recorded = mended(text, TextDiagnosis(digest, (), ()), known, known.deciding)
            result = recorded or mend(text, known.judged, filename=filename, wanted=tuple(known.deciding))
        except AiterfixError:
            return Decision(Outcome.CLEAN, digest)
    if not result.changed:
        return Decision(Outcome.CLEAN, digest)
    places = tuple((s.fault, len(s.places)) for s in result.steps)
    return Decision(Outcome.PATCHED, digest, result.after.sha256, result.new, places)


def launches_of(where: str, text: bytes, known: Faults) -> Sequence[NamedLaunch]:
    """The launches of a wrapper's text, so far as a deciding fault is about them: of a release from the record."""
    from aiterfix.history import known as recorded
    from aiterfix.judge.refusals import launches_in

    found = recorded.launches_of(sha256_hex(text), where, known)
    return launches_in(where, text) if found is None else found


def _decide(text: bytes, known: Faults, filename: str, launches: Sequence[NamedLaunch]) -> Decision:
    from aiterfix.faults.diagnosis import diagnose
    from aiterfix.faults.mend import mend
    from aiterfix.history.known import diagnosis_of, mended
    from aiterfix.judge.kernel_objects import remember
    from aiterfix.judge.refusals import with_refusals
    from aiterfix.judge.shown import not_offered

    diagnosis = diagnosis_of(sha256_hex(text), known) or diagnose(text, known.judged)
    remember(diagnosis, known)
    diagnosis = with_refusals(text, diagnosis, launches, known)
    digest, presence = diagnosis.sha256, diagnosis.presence(known.deciding)
    gluon = any(u.group == g.name and u.stores for u in diagnosis.units for g in known.groups if g.prebuilt is not None)
    prebuilt = prebuilt_variable()
    if prebuilt and (gluon or diagnosis.problems):
        return Decision(
            Outcome.UNPATCHED,
            digest,
            reason=f"prebuilt code objects run instead of this source ({prebuilt}=1), and no patch of the source "
            "reaches them",
            remedy=f"Unset {prebuilt}, or judge the code objects with `aiterfix validate`. {KEEP_PADDING}.",
        )
    if presence.harmless:
        return Decision(Outcome.CLEAN, digest)
    if unlike_linecache(text):
        return Decision(
            Outcome.UNPATCHED,
            digest,
            reason="it has line separators that Python and `linecache` count differently (a form feed or the like), "
            "so a compiler that asks for a kernel's source would be given the wrong lines",
            remedy=f"Patch the file with `aiterfix apply`. {KEEP_PADDING}.",
        )
    kept = not_offered(digest, known.deciding)
    wanted = known.deciding - kept.keys()
    try:
        result = mended(text, diagnosis, known, wanted) or mend(
            text, known.judged, filename=filename, wanted=tuple(wanted), diagnosis=diagnosis
        )
    except AiterfixError as error:
        reason = error.what + (f" ({error.why})" if error.why else "")
        return Decision(Outcome.UNPATCHED, digest, reason=reason, remedy=f"{error.remedy} {KEEP_PADDING}.")
    remember(result.after, known)
    result = replace(result, after=with_refusals(result.new, result.after, launches, known))
    left = [f for f in sorted(known.deciding) if not result.after.presence((f,)).harmless]
    places = tuple((s.fault, len(s.places)) for s in result.steps)
    after = result.after.sha256
    if left:
        reasons = [f"{f}: {kept[f]}" for f in left if f in kept]
        reasons += [why] if (why := result.left([f for f in left if f not in kept])) else []
        return Decision(
            Outcome.UNPATCHED,
            digest,
            after if result.changed else "",
            result.new if result.changed else None,
            places,
            f"{', '.join(left)} cannot be taken out: {'; '.join(reasons)}",
            f"Report this file's digest (sha256 {digest[:12]}) to the aiterfix project. {_avoiding(left, known)}.",
        )
    return Decision(Outcome.PATCHED, digest, after, result.new, places)


def _avoiding(left: Sequence[str], known: Faults) -> str:
    """How not to meet faults that stay."""
    from aiterfix.judge.judgement import COLUMN_BOUND  # which a process that mends everything does not keep

    others = [f"{f} bites where {known.get(f).trigger.sentence}" for f in left if f != COLUMN_BOUND]
    return ". ".join([*others, *([KEEP_PADDING] if COLUMN_BOUND in left else [])])


def unlike_linecache(text: bytes) -> bool:
    r"""Whether `linecache` would number the lines of a loader's text in another way than the compiler does.

    It breaks them with `str.splitlines`, which also breaks at ``\f``, ``\v``, U+0085, U+2028 and others.
    """
    try:
        shown = decode_source(text)
    except (SyntaxError, UnicodeDecodeError):
        shown = text.decode("utf-8", "replace")
    return any(mark in shown for mark in _BREAKS)


_BREAKS = "\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""Where `str.splitlines` breaks, beside the line ends that Python has."""
