"""From the text of a kernel module to the text that is to be imported, or to the reason why not."""

from __future__ import annotations

import gc
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from aiterfix.errors import AiterfixError
from aiterfix.fixes import Fix

PROVEN = Path(__file__).with_name("proven.tsv")

KEEP_PADDING = (
    "Keep padding columns behind every row (`aiterfix padding` says how many), or give vLLM a --max-model-len "
    "that is a multiple of 256"
)


class State(str, Enum):
    """What became of a module."""

    PATCHED = "patched"
    """Its stores were bounded while it was imported, or after it."""
    GUARDED = "guarded"
    """Its own source bounds every store; the import was left alone."""
    NOT_AFFECTED = "not-affected"
    """It holds no store of a declared kernel; the import was left alone."""
    UNPATCHED = "unpatched"
    """What runs can store past its row, or could not be understood."""


@dataclass(frozen=True)
class Decision:
    """What to do with one module.

    Attributes:
        state: what will be true of the module when the decision has been carried out.
        before: sha256 of the text found, hexadecimal; empty where there was none to read.
        after: sha256 of the patched text; empty where nothing is patched.
        text: the patched text, where ``state`` is PATCHED.
        sites: how many stores get a bound.
        reason: why nothing is patched; empty where it is.
        remedy: what people can do about that.
    """

    state: State
    before: str = ""
    after: str = ""
    text: bytes | None = None
    sites: int = 0
    reason: str = ""
    remedy: str = ""


def decide(text: bytes, fixes: Sequence[Fix], filename: str) -> Decision:
    """Judge a module's text and patch it if it needs that and can be.

    Args:
        text: the bytes that the import would compile.
        fixes: the fixes whose kernels the module may hold.
        filename: for messages.
    """
    with _no_collection():
        return _decide(text, fixes, filename)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Syntax trees are many objects and no garbage. In a process that has torch, each collection that they set off
    walks a million others."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _decide(text: bytes, fixes: Sequence[Fix], filename: str) -> Decision:
    from aiterfix.source.rewrite import rewrite, rewrite_as_recorded
    from aiterfix.source.sites import analyse
    from aiterfix.verdict import Verdict

    analysis = analyse(text, fixes)
    digest = analysis.sha256
    prebuilt = aot_enabled(fixes)
    if prebuilt and analysis.verdict is not Verdict.NOT_AFFECTED:
        return Decision(
            State.UNPATCHED,
            digest,
            reason=f"prebuilt code objects run instead of this source ({prebuilt}=1), and no patch of the source "
            "reaches them",
            remedy=f"Unset {prebuilt}, or judge the code objects with `aiterfix validate`. {KEEP_PADDING}.",
        )
    if analysis.verdict is Verdict.GUARDED:
        return Decision(State.GUARDED, digest)
    if analysis.verdict is Verdict.NOT_AFFECTED:
        return Decision(State.NOT_AFFECTED, digest)
    if unlike_linecache(text):
        return Decision(
            State.UNPATCHED,
            digest,
            reason="it has line separators that Python and `linecache` count differently (a form feed or the like), "
            "so a compiler that asks for a kernel's source would be given the wrong lines",
            remedy=f"Patch the file with `aiterfix apply`. {KEEP_PADDING}.",
        )
    recorded = proven_results().get(digest)
    try:
        if recorded is not None:
            new = rewrite_as_recorded(text, analysis, recorded, filename=filename)
            if new is not None:
                sites = sum(not s.guard.bounded for s in analysis.sites)
                return Decision(State.PATCHED, digest, recorded, new, sites=sites)
        result = rewrite(text, fixes, filename=filename, analysis=analysis)
    except AiterfixError as error:
        reason = error.what + (f" ({error.why})" if error.why else "")
        return Decision(State.UNPATCHED, digest, reason=reason, remedy=f"{error.remedy} {KEEP_PADDING}.")
    return Decision(State.PATCHED, digest, hashlib.sha256(result.new).hexdigest(), result.new, sites=len(result.edited))


def proven_results() -> dict[str, str]:
    """Digests of released kernel files and of their patched texts, whose proof was done when they were recorded.

    The proof analyses the new text once more and compares two syntax trees: half the time of a patched import. A
    result that is not the recorded one, byte for byte, is proven as any other. A test over the real releases holds
    the table to what the full proof gives.
    """
    try:
        lines = PROVEN.read_text().splitlines()
    except OSError:
        return {}  # only a saving of time is lost
    return dict(line.split("\t")[:2] for line in lines if line and not line.startswith("#"))


def aot_enabled(fixes: Sequence[Fix]) -> str:
    """The environment variable that has switched prebuilt code objects on, or an empty string."""
    for fix in fixes:
        if fix.aot is not None and os.environ.get(fix.aot.enabled_by) == "1":
            return fix.aot.enabled_by
    return ""


def unlike_linecache(text: bytes) -> bool:
    r"""Whether `linecache` would number the lines of a loader's text in another way than the compiler does.

    It breaks them with `str.splitlines`, which also breaks at ``\f``, ``\v``, U+0085, U+2028 and others.
    """
    lines = text.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    return lines.splitlines() != (lines.removesuffix("\n").split("\n") if lines else [])
