"""The quick look-up says what the whole history says."""

from __future__ import annotations

from aiterfix.digests import releases_of
from aiterfix.history import known_digest, load_history


def test_quick_look_up_agrees_with_the_history() -> None:
    digests = frozenset(f.sha256 for r in load_history().refs for f in r.shipped)
    assert len(digests) > 15
    found = releases_of(digests | {"0" * 64})
    assert found == {d: known_digest(d) for d in digests}
