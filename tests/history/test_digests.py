"""The quick look-ups say what the whole history says."""

from __future__ import annotations

from aiterfix.history.digests import kernels_of_release, releases_of
from aiterfix.history.store import load_history


def test_quick_look_up_agrees_with_the_history() -> None:
    refs = load_history().refs
    files = {f.sha256: f for r in refs for f in r.shipped}
    assert len(files) > 15
    found = releases_of(frozenset(files) | {"0" * 64})
    assert found == {d: tuple(r.ref for r in refs if any(f.sha256 == d for f in r.shipped)) for d in files}
    for digest, file in files.items():
        assert kernels_of_release(digest) == tuple(k.kernel for k in file.kernels) != ()
    assert kernels_of_release("0" * 64) == ()
