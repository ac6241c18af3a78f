"""Programs run in lockstep, against each alone and lane by lane."""

from __future__ import annotations

import pytest

from aiterfix.family.signature import Kernel, KernelConfig
from aiterfix.overshoot import elements
from aiterfix.overshoot.lane_values import NotInForm
from aiterfix.overshoot.launches import Launches, joined, whole_launch
from aiterfix.overshoot.measure import IntegerPart
from tests.emulator import needs_emulator
from tests.overshoot.kernels import FAULTY, SOUND, TWICE, asking_each_wave, by_parts, integer_part

pytest.importorskip("triton")
pytestmark = needs_emulator


def test_what_was_stored_early_counts() -> None:
    """The first loop of a program reaches further than its second; programs that end alike keep what they began with."""
    part = integer_part(TWICE, Kernel.PRESHUFFLE, KernelConfig(heads=32, waves_per_eu=1))
    shapes = [
        whole_launch(part.which, part.config, length, 700, 1, splits)
        for length in (299, 300, 600)
        for splits in (1, 2, 3)
    ]
    for shape, ends in zip(shapes, part.ends(shapes), strict=True):
        length, splits = int(shape.context_length[0]), int(shape.splits[0])
        chunks = -(-length // 256)
        steps = -(-chunks // splits) * 256
        rounded = -(-length // 64) * 64
        expected = []
        for share in range(splits):
            end = min(share * steps + steps, rounded)
            far = 2048 * (share == 1) + 512 * (length % 2)
            expected.append(end + far if share * steps < end else 0)
        assert ends == expected


WAVES = asking_each_wave()
COUNTED = asking_each_wave(
    """s_mov_b32 $0, $0
    s_lshl_b32 $0, $0, 6
    s_bfe_u32 $0, $0, 0x1a0006
    s_add_u32 $0, $0, 3
    s_sub_u32 $0, $0, 3
    s_xor_b32 $0, $0, 0
    s_and_b32 $0, $0, 0xffffff
    s_or_b32 $0, $0, 0"""
)
REVERSED = asking_each_wave("s_brev_b32 $0, $0\ns_brev_b32 $0, $0")
"""Reversed and back: not modelled on numbers that programs differ in too."""
SELECTING = asking_each_wave("s_and_b32 $0, $0, -1\ns_cselect_b32 vcc_lo, 0x1000, 0\ns_add_u32 $0, $0, vcc_lo")
"""Only the wave with the first columns of a row stores: the others find that their number is not 0."""
BRANCHING = asking_each_wave("s_and_b32 vcc_lo, $0, 32\ns_cbranch_scc0 1\ns_addk_i32 $0, 0x1000")
ON_VCC = asking_each_wave("s_and_b32 vcc_lo, $0, 32\ns_mov_b32 vcc_hi, 0\ns_cbranch_vccz 1\ns_addk_i32 $0, 0x1000")
"""Every other wave stores nothing, by a branch that it does not take."""


BY_PARTS = by_parts()


@pytest.mark.parametrize("kernel", list(Kernel))
@pytest.mark.parametrize(
    ("text", "in_form"),
    [
        (FAULTY, True),
        (SOUND, True),
        (TWICE, True),
        (WAVES, True),
        (COUNTED, True),
        (REVERSED, False),
        (SELECTING, False),
        (BRANCHING, False),
        (ON_VCC, False),
        (BY_PARTS, False),
    ],
    ids=[
        "unbounded",
        "bounded",
        "twice",
        "waves",
        "counted",
        "reversed",
        "selecting",
        "branching",
        "on-vcc",
        "by-parts",
    ],
)
def test_lane_by_lane_comes_to_the_same(
    kernel: Kernel, text: bytes, in_form: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = integer_part(text, kernel, KernelConfig(heads=32, kv_block_size=64 if kernel.preshuffled else 1))
    if text not in (FAULTY, SOUND, TWICE):
        kept = {item.instruction.mnemonic for items in part.part.kept for item in items}
        assert ("v_mov_b32" if text is BY_PARTS else "v_readfirstlane_b32") in kept
        assert text is not COUNTED or {"s_bfe_u32", "s_xor_b32"} <= kept
    table = joined(
        [
            whole_launch(kernel, part.config, length, 600, next_n, splits)
            for length in (1, 64, 65, 257, 600)
            for next_n, splits in ((1, 1), (1, 2), (3, 3), (1, 10))
        ]
    )
    together, by_lane = all_ends(part, table)
    # Programs that find no work end before they come to it.
    assert (by_lane == 0) == in_form
    if text in (SELECTING, BRANCHING, ON_VCC):
        assert sum(together) < sum(all_ends(integer_part(FAULTY, kernel, part.config), table)[0])

    def never(*arguments: object) -> object:
        def step(*arguments: object) -> None:
            raise NotInForm

        return step

    monkeypatch.setattr(elements, "step_of", never)
    alone, by_lane = all_ends(part, table)
    assert by_lane == len(alone)
    assert together == alone
    assert any(together)


def all_ends(part: IntegerPart, table: Launches) -> tuple[list[int], int]:
    """The end of every program, and how many were run lane by lane."""
    runner = part.runner(600)
    return runner.run(table).ends.tolist(), runner.lane_by_lane
