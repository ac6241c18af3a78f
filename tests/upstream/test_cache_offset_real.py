"""cache-offset-32 over every released kernel: where it is, and that its mend takes it out everywhere."""

from __future__ import annotations

from itertools import combinations

import pytest

from aiterfix.faults.base import Diagnosis, Presence
from aiterfix.faults.diagnosis import TextDiagnosis, diagnose
from aiterfix.faults.mend import mend
from aiterfix.faults.registry import load_faults
from tests.upstream.conftest import Clone

FAULTS = load_faults().judged
FAULT = "cache-offset-32"
ADDRESSES = ("cache-offset-32", "column-bound", "row-offset-32")
_ENTRY = "deepgemm_fp8_paged_mqa_logits"
GLUON = "aiter/ops/triton/gluon/pa_mqa_logits.py"
PLAIN = "aiter/ops/triton/_triton_kernels/attention/pa_mqa_logits.py"

# Block sizes at which each kernel has the fault, by release. `any`: whatever they are.
BASE = {f"_gluon_{_ENTRY}": {"any"}}
BOTH = {"16, 32, 64, 128", "256"}
VARCTX = {f"_gluon_{_ENTRY}_preshuffle_varctx": BOTH}
ALL = {**BASE, **VARCTX, f"_gluon_{_ENTRY}_preshuffle": BOTH}
PLAIN_KERNELS = {
    f"_{_ENTRY}_stage1": set[str](),
    f"_{_ENTRY}_stage1_ragged_k": {"any"},
    f"_{_ENTRY}_ragged_k": {"any"},
    f"_{_ENTRY}": {"any"},
}
TABLE = {
    "v0.1.12.post2": (ALL, 36),
    "v0.1.13.post1": (ALL, 36),
    "v0.1.15.post3": (ALL, 36),
    "v0.1.18": (ALL, 36),
    "v0.1.20.post1": ({**ALL, f"_gluon_{_ENTRY}_preshuffle": {"256"}}, 25),
    "HEAD": ({**ALL, f"_gluon_{_ENTRY}_preshuffle": {"256"}}, 25),
}


def _of(diagnosis: TextDiagnosis, fault: str = FAULT) -> dict[str, Diagnosis]:
    return {u.name: d for u in diagnosis.units for d in u.diagnoses if d.fault == fault}


def _sizes(diagnosis: Diagnosis) -> set[str]:
    return {dict(f.details)["block-sizes"] for f in diagnosis.findings if f.presence is Presence.PRESENT}


@pytest.mark.parametrize("release", TABLE)
def test_presence_by_release(clone: Clone, release: str) -> None:
    expected, loads = TABLE[release]
    gluon = _of(diagnose(clone.blob(clone.kernel_files()[release, GLUON]), FAULTS))
    assert {name: _sizes(d) for name, d in gluon.items()} == expected
    assert sum(f.presence is Presence.PRESENT for d in gluon.values() for f in d.findings) == loads
    assert all(d.presence is Presence.PRESENT for d in gluon.values())
    plain = _of(diagnose(clone.blob(clone.kernel_files()[release, PLAIN]), FAULTS))
    assert {name: _sizes(d) for name, d in plain.items() if name in PLAIN_KERNELS} == PLAIN_KERNELS
    assert plain[f"_{_ENTRY}_stage1"].presence is Presence.ABSENT


def test_every_distinct_text_is_mended_alone_in_pairs_and_together(clone: Clone) -> None:
    """Every tag and the newest commit: nothing is refused, nothing is left, a second run changes nothing."""
    texts = list(clone.distinct())
    assert len(texts) >= 16
    for path, text in texts:
        before = diagnose(text, FAULTS)
        there = [f for f in ADDRESSES if any(d.presence is Presence.PRESENT for d in _of(before, f).values())]
        assert FAULT in there, path
        for wanted in (c for n in range(1, len(there) + 1) for c in combinations(there, n)):
            result = mend(text, FAULTS, filename=path, wanted=wanted)
            assert [step.fault for step in result.steps] == list(wanted), path
            assert not result.left(wanted), path
            if len(wanted) == len(there):
                assert not mend(result.new, FAULTS, filename=path, wanted=wanted).changed, path
            for fault in there:
                presence = {d.presence for d in _of(result.after, fault).values()}
                assert (Presence.PRESENT in presence) is (fault not in wanted), (path, fault)


def test_lines_that_are_not_the_loads_stay(clone: Clone) -> None:
    for path, text in clone.distinct():
        result = mend(text, FAULTS, filename=path, wanted=(FAULT,))
        old, new = text.splitlines(), result.new.splitlines()
        touched = {
            line
            for d in _of(result.before).values()
            for f in d.findings
            if f.presence is Presence.PRESENT
            for line in range(f.line, f.end_line + 1)
        }
        kept = [line for i, line in enumerate(old, 1) if i not in touched]
        remaining = iter(new)
        assert all(line in remaining for line in kept), path  # as a subsequence
