"""A short run of each kind of trial; the long one is a script, `tests/patching/endurance.py`."""

from __future__ import annotations

import pytest

from tests.patching import endurance
from tests.patching.powerloss import Call, Disk

TRIALS = {"kill": 12, "fail": 25, "power": 30, "replay": 20, "race": 6, "processes": 2, "fuzz": 300}


@pytest.mark.parametrize("kind", TRIALS)
def test_all_survive(kind: str) -> None:
    survived, total = endurance.trials(kind, 60, 1000, TRIALS[kind])
    assert survived == total
    assert total > 1


def test_a_loss_of_power_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk that flushes nothing when it is asked to, much is lost: the trial can fail."""
    real = Disk.do

    def do(disk: Disk, call: Call) -> None:
        if call.name != "fsync":
            real(disk, call)

    monkeypatch.setattr(Disk, "do", do)
    survived, total = endurance.trials("power", 60, 0, 12)
    assert survived < total
