"""Programs run in lockstep: what each stores, and what cannot be run so."""

from __future__ import annotations

import random

import pytest

from aiterfix.errors import NotUnderstoodError
from aiterfix.family.signature import Kernel, KernelConfig
from aiterfix.overshoot.launches import whole_launch
from tests.emulator import needs_emulator
from tests.overshoot.emulation import row_ends_agree
from tests.overshoot.kernels import TWICE, asking_each_wave, by_parts, integer_part

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


REVERSED = asking_each_wave("s_brev_b32 $0, $0\ns_brev_b32 $0, $0")
SELECTING = asking_each_wave("s_and_b32 $0, $0, -1\ns_cselect_b32 vcc_lo, 0x1000, 0\ns_add_u32 $0, $0, vcc_lo")
"""Only the wave with the first columns of a row stores: the others find that their number is not 0. This and the one
above are followed where all programs have the same, as those of the schedule kernel have."""
BRANCHING = asking_each_wave("s_and_b32 vcc_lo, $0, 32\ns_cbranch_scc0 1\ns_addk_i32 $0, 0x1000")
ON_VCC = asking_each_wave("s_and_b32 vcc_lo, $0, 32\ns_mov_b32 vcc_hi, 0\ns_cbranch_vccz 1\ns_addk_i32 $0, 0x1000")
"""Every other wave stores nothing, by a branch that it does not take."""


BY_PARTS = by_parts()


@pytest.mark.parametrize("kernel", list(Kernel))
@pytest.mark.parametrize(
    ("text", "what"),
    [
        (REVERSED, "s_"),
        (SELECTING, "s_cselect_b32"),
        (BRANCHING, "s_cbranch_scc0"),
        (ON_VCC, "s_cbranch_vccz"),
        (BY_PARTS, "v_mov_b32"),
    ],
    ids=["reversed", "selecting", "branching", "on-vcc", "by-parts"],
)
def test_what_is_not_followed_is_refused(kernel: Kernel, text: bytes, what: str) -> None:
    """Some instruction makes of lanes that differ what one element cannot stand for."""
    part = integer_part(text, kernel, KernelConfig(heads=32, kv_block_size=64 if kernel.preshuffled else 1))
    if text in (REVERSED, SELECTING) and kernel is Kernel.PRESHUFFLE_VARCTX:
        row_ends_agree(kernel, part.kernel, part.config, random.Random(7))
        return
    with pytest.raises(NotUnderstoodError, match=f"{what}.* makes of numbers that differ between lanes"):
        part.ends([whole_launch(kernel, part.config, 257, 600, 1, 2)])
