"""Mutants of own kernels: none that the model sees storing outside its row may be called bounded."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

pytest.importorskip("numpy")

from aiterfix.source.sites import analyse
from tests.kernels import SHIPPED, Seen, bound, seen
from tests.source import model
from tests.source.mutate import MUTATORS, Tally, judge, mutants

pytestmark = pytest.mark.xdist_group("mutants")
ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "src/aiterfix/demo/sample/aiter/ops/triton"
# File, how many mutants, of which function, in how many launches (the last file's kernels ignore ChunkK: slow).
FILES = {
    "gluon": (SAMPLE / "gluon/pa_mqa_logits.py", 200, None, None),
    "triton": (SAMPLE / "_triton_kernels/attention/pa_mqa_logits.py", 100, None, None),
    "plain": (ROOT / "tests/data/sample_plain.py", 100, None, None),
    "inlined": (ROOT / "tests/data/sample_kernels.py", 60, "_score", 1),
}


@cache
def tally(name: str) -> Tally:
    """Mutants of a file's mended text, judged."""
    path, count, function, tries = FILES[name]
    text = path.read_bytes()
    if seen(analyse(text, SHIPPED.kernels)) is not Seen.UNKNOWN:
        text = bound(text, SHIPPED.judged).new
    file = model.File(text)
    kernels = [n for n in file.execute() if "deepgemm" in n]
    result = Tally()
    for mutant in mutants(file, [function] if function else kernels, count):
        result.add(judge(file, mutant, SHIPPED.kernels, kernels, tries=tries))
    return result


@pytest.mark.parametrize("name", FILES)
def test_no_harmful_mutant_is_called_bounded(name: str) -> None:
    found = tally(name)
    harmful = [o for o in found.outcomes if o.harm == "end"]
    assert [(o.mutant.number, o.mutant.kinds, o.harm) for o in found.missed] == []
    assert 10 * len(harmful) > len(found.outcomes), found.summary()  # the mutators and the model do something


def test_every_mutator_finds_something_to_change() -> None:
    used = {k for name in FILES for o in tally(name).outcomes for k in o.mutant.kinds}
    assert set(MUTATORS) - used == set()


def test_mutants_are_the_same_every_time() -> None:
    file = model.File(FILES["triton"][0].read_bytes())
    kernels = [n for n in file.execute() if "deepgemm" in n]
    once, again = ([m.text for m in mutants(file, kernels, 20)] for _ in range(2))
    assert once == again
    assert len(set(once)) == 20


def test_a_planted_miss_is_seen() -> None:
    """The measure can fail: an analysis of the text before the mutation misses what the mutation does."""
    file = model.File(bound(FILES["triton"][0].read_bytes(), SHIPPED.judged).new)
    kernels = [n for n in file.execute() if "deepgemm" in n]
    missed = 0
    for mutant in mutants(file, kernels, 40):
        (outcome,) = judge(file, mutant, SHIPPED.kernels, kernels, text=file.text)
        missed += outcome.missed
    assert missed
