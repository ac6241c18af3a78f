"""What is recorded of releases, held to the full proof and the full judgement of the real sources."""

from __future__ import annotations

from pathlib import Path

from aiterfix.faults.diagnosis import diagnose
from aiterfix.faults.mend import mend
from aiterfix.faults.registry import load_faults
from aiterfix.history.known import diagnosis_of, mended
from tests.upstream.conftest import Clone

FAULTS = load_faults()


def test_every_recorded_mend_is_what_the_full_proof_gives(clone: Clone) -> None:
    recorded = 0
    for path, text in clone.distinct():
        before = diagnose(text, FAULTS.judged)
        short = mended(text, before, FAULTS, FAULTS.deciding)
        if short is None:
            continue  # of a newer commit than those that were recorded, or nothing to take out
        recorded += 1
        full = mend(text, FAULTS.judged, filename=path, wanted=tuple(FAULTS.deciding), diagnosis=before)
        assert (short.new, short.steps, short.before) == (full.new, full.steps, full.before)
        known = diagnosis_of(full.after.sha256, FAULTS)
        assert known is not None and known == short.after
        assert [(u.name, u.group, u.line, u.stores) for u in known.units] == [
            (u.name, u.group, u.line, u.stores) for u in full.after.units
        ]
        assert [[(d.fault, d.presence) for d in u.diagnoses] for u in known.units] == [
            [(d.fault, d.presence) for d in u.diagnoses] for u in full.after.units
        ]
        # Nothing of aiter's is in the record: what it writes out are a few characters at a time.
    assert recorded > 15


def test_the_record_holds_no_text_of_the_releases() -> None:
    from aiterfix.history.store import load_history

    own = {p for m in load_history().mends.values() for p in m.parts if isinstance(p, str)}
    assert own and max(map(len, own)) < 24 and Path(__file__).is_file()
