"""The judge of launches beside an oracle of addresses: what goes wrong by the kernels' arithmetic is never called right.

By what is recorded of releases, and of what `apply` makes of them. ``AITERFIX_LAUNCHES`` asks for more launches than the
1200 of an ordinary run, and for others.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from aiterfix.cli.main import main
from aiterfix.demo import write_sample
from aiterfix.family.handed import facts_of
from aiterfix.faults.base import Presence, Reach
from aiterfix.history.record import History
from aiterfix.history.store import load_history
from aiterfix.installation.given_path import find_path
from aiterfix.judge.disk import judge_installation
from aiterfix.judge.judgement import LaunchFacts
from aiterfix.judge.launched import (
    Launch,
    Launchable,
    Launchables,
    LaunchJudgement,
    Outcome,
    judge_launch,
    launchables,
)
from tests.judge.addresses import RELEASES, Call, calls, refused, wrong
from tests.kernels import SHIPPED

COUNT = int(os.environ.get("AITERFIX_LAUNCHES", "1200"))
SEED = COUNT  # so that a longer run tries others
FAULT = {
    "row past 32 bits": "row-offset-32", "head past 32 bits": "row-offset-32", "block past 32 bits": "cache-offset-32",
    "one token a block": "block-paging", "other rows' columns": "ragged-causal-bound",
}  # fmt: skip
"""By which fault some of what goes wrong has to be told, whatever else is met."""
Tried = Iterator[tuple[str, Call, list[str], LaunchJudgement]]


@cache
def history() -> History:
    return load_history()


@cache
def recorded(release: str, *, patched: bool) -> Launchables:
    """The kernels of a release by what is recorded of them, or of their mended texts."""
    (ref,) = (r for r in history().everything if r.ref == release)
    found = []
    for file in ref.shipped:
        for k in history().mends[file.sha256].kernels if patched else file.kernels:
            presence = dict(k.presence)
            if patched and presence.get("block-paging") is Presence.PRESENT:
                presence["block-paging"] = Presence.REFUSED  # by the mended entry
            if k.counts.total:
                found.append(Launchable(k.kernel, k.group == "stage1", tuple(presence.items()), True, file.path))
    return Launchables(tuple(found), (), False, LaunchFacts(), SHIPPED, SHIPPED.deciding)


def tried(there: Mapping[str, Launchables], *, patched: bool, count: int = COUNT) -> Tried:
    """Each launch on two releases, if they have its kernel: what goes wrong, and what the judge says."""
    chance = random.Random(SEED)
    for call in calls(SEED, count):
        facts = facts_of(call.entry, call.handed())
        # Triton's release decides which of two kernels runs.
        launch = Launch(
            call.entry, LaunchFacts(**facts, triton=30400 if call.kernel == "reducing" else 30600), "gfx950"
        )
        for release in chance.sample(list(there), min(2, len(there))):
            if refused(call, patched=patched) or (call.kernel == "varctx" and release == RELEASES[0]):
                continue
            yield release, call, wrong(release, call, patched=patched), judge_launch(there[release], launch)


def compare(found: Tried) -> tuple[int, int]:
    """Every launch that goes wrong is not called right; how many there were, and how many right ones were doubted."""
    count, doubted, missed = 0, 0, []
    reasons: Counter[str] = Counter()
    for release, call, reason, judged in found:
        count += 1
        reasons.update(reason)
        right = judged.outcome is Outcome.NOT_REACHED
        told = {f.fault for f in judged.faults if f.reach is not Reach.NOT_REACHED}
        untold = {FAULT[r] for r in reason if r in FAULT} - told
        if reason and (right or (untold and not judged.reason)):
            missed.append((release, reason, call))
        open_ = {f.fault for f in judged.faults if f.decides} == {"empty-sequence-schedule"}
        doubted += not reason and not right and not (open_ and judged.outcome is Outcome.DEPENDS)
    assert not missed, (len(missed), missed[:2])
    assert len(reasons) > 8
    return count, doubted


@pytest.mark.parametrize("patched", [False, True])
def test_what_goes_wrong_is_never_called_right(patched: bool) -> None:
    there = {release: recorded(release, patched=patched) for release in RELEASES}
    count, doubted = compare(tried(there, patched=patched))
    assert count > COUNT * 1.5
    assert doubted < count / (100 if patched else 20)


@pytest.mark.parametrize("fault", sorted(SHIPPED.deciding - {"empty-sequence-schedule"}))
def test_a_judge_that_does_not_know_a_fault_is_caught(fault: str) -> None:
    """So this file can fail: each fault is met by some launches, and by nothing else."""

    def blind(kernel: Launchable) -> Launchable:
        presence = ((f, Presence.ABSENT if f == fault else p) for f, p in kernel.presence)
        return replace(kernel, presence=tuple(presence))

    releases = {r: recorded(r, patched=False) for r in ("v0.1.13.post1", "v0.1.20.post1")}
    there = {r: replace(known, kernels=tuple(map(blind, known.kernels))) for r, known in releases.items()}
    found = tried(there, patched=False, count=COUNT)
    assert any(reason and judged.outcome is Outcome.NOT_REACHED for _, _, reason, judged in found)


@pytest.mark.parametrize("patched", [False, True])
def test_kernels_of_no_release(tmp_path: Path, patched: bool) -> None:
    """What goes wrong with every kernel goes wrong with the sample's too."""
    write_sample(tmp_path)
    if patched:
        assert main(["apply", "--path", str(tmp_path)]) == 0
    (installation,) = find_path(tmp_path).installations
    there = {"main": launchables(judge_installation(installation, SHIPPED))}
    compare((r, call, wrong(r, call, patched=True), judged) for r, call, _, judged in tried(there, patched=True))
