"""The integer part against the whole machine, on random launches of the sample kernels."""

from __future__ import annotations

import random

import pytest

from aiterfix.family.signature import Kernel
from tests.emulator import needs_emulator
from tests.overshoot.emulation import random_config, row_ends_agree
from tests.overshoot.kernels import COUNTED, FAULTY, SOUND, WAVES, compiled, ending

pytest.importorskip("triton")
pytestmark = needs_emulator
ODD = ending("gl.cdiv(context_length, 192) * 192")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kernel", list(Kernel))
def test_rows_end_alike(kernel: Kernel, seed: int) -> None:
    generator = random.Random(f"{kernel.value} {seed}")
    config = random_config(kernel, generator)
    text = COUNTED if seed == 0 else generator.choice((FAULTY, SOUND, ODD, WAVES))
    row_ends_agree(kernel, compiled(text, kernel, config), config, generator)
