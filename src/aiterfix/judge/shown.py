"""What recorded runs say of mends: whether one was shown, and which are not offered since one failed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from aiterfix.faults.base import NO_SIZE, Presence
from aiterfix.validation.stores import may_forbid

if TYPE_CHECKING:
    from aiterfix.judge.judgement import JudgedText, Judgement
    from aiterfix.validation.evidence import Evidence, Shown


def not_offered(text_sha256: str, asked: Collection[str]) -> dict[str, str]:
    """Faults of a text that a recorded run keeps from being mended, each with the reason.

    Args:
        text_sha256: digest of the text; empty where it is not known.
        asked: ids of the faults that would be mended.
    """
    left: dict[str, str] = {}
    if not text_sha256 or not may_forbid(text_sha256):
        return left  # nearly always, and then what reads records is not loaded
    from aiterfix.validation.evidence import shown

    while True:
        after, before = _runs(text_sha256, frozenset(asked) - left.keys())
        failed = {f: e for e in after for f in e.mends if shown(f, [e], before) == "failed"}
        if not failed:
            break
        for fault, run in sorted(failed.items()):
            where = f"{run.suite} set, {run.device}, Triton {run.triton}, {run.date}"
            left[fault] = f"a recorded run of the mended text failed ({where})"
    return left


def mend_shown(fault: str, text_sha256: str, asked: Collection[str], noted: str = "") -> Shown:
    """Whether runs show the mend of a fault that is in a text.

    Args:
        asked: ids of the faults that would be mended with it.
        noted: records beside the stores'.
    """
    from aiterfix.validation.evidence import shown

    return shown(fault, *_runs(text_sha256, asked, noted))


def shown_as_it_is(fault: str, text_sha256: str, noted: str = "") -> Shown | None:
    """Whether runs show that a fault was taken out of a text that is there; None where it was not there before.

    Args:
        noted: records beside the stores'.
    """
    from aiterfix.validation.evidence import evidence_of, shown

    runs = evidence_of(text_sha256, noted=noted)
    mended = [e for e in runs if fault in e.mends]
    if not mended:
        return None if runs else "not shown"
    before = [b for e in mended for b in evidence_of(e.original_sha256, noted=noted)]
    return shown(fault, mended, before)


def mended_texts(judgement: Judgement, fault: str, presence: Presence) -> Iterator[JudgedText]:
    """The texts that a mend of a fault is made in: those of kernels that have it, and for a kernel that its entries
    must keep right, the wrappers that get to it.

    Args:
        presence: `present` for what would be mended, `refused` for wrappers that refuse.
    """
    from aiterfix.family.cases import SAID
    from aiterfix.judge.refusals import launches_in

    wanted = set()
    for text in judgement.texts:
        here = [(u.name, d) for u in text.diagnosis.units for d in u.diagnoses if d.fault == fault]
        here = [(name, d) for name, d in here if d.presence is presence]
        codes = {(name, f.code) for name, d in here for f in d.findings if f.presence is presence}
        at_entries = {(name, "" if code == NO_SIZE else code) for name, code in codes if code in (NO_SIZE, *SAID)}
        if (here and not codes) or len(codes) > len(at_entries):
            yield text
        wanted |= at_entries
    for text in dict.fromkeys((*judgement.launchers, *judgement.texts)) if wanted else ():
        launches = (n.launch for n in launches_in(text.where, text.text))
        if any(
            (n.kernel, n.about) in wanted and not n.told and n.refused is (presence is Presence.REFUSED)
            for n in launches
        ):
            yield text


def _runs(
    text_sha256: str, asked: Collection[str], noted: str = ""
) -> tuple[tuple[Evidence, ...], tuple[Evidence, ...]]:
    """Runs of a text with those of these faults mended that can be in it, as records tell; and of the text itself.

    A mend may have been written in another way when a record was made: where it is known what is made today, runs of
    other texts show nothing.
    """
    from aiterfix.history.known import mended_digest
    from aiterfix.validation.evidence import read_evidence

    found = read_evidence(text_sha256, noted=noted)
    before = tuple(e for e in found if e.text_sha256 == text_sha256)
    after = [e for e in found if e.original_sha256 == text_sha256 and e.mends]
    wanted = {fault for e in after for fault in e.mends if fault in asked}
    made = mended_digest(text_sha256, wanted) if wanted else None
    return tuple(e for e in after if set(e.mends) == wanted and made in (None, e.text_sha256)), before
