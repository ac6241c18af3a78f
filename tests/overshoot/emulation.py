"""Random launches, run in full and by their integer part: the columns stored to must be the same in every row."""

from __future__ import annotations

import random

import numpy as np

from aiterfix.family.inputs import make_inputs
from aiterfix.family.signature import Kernel, KernelConfig
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.overshoot.launches import whole_launch
from aiterfix.overshoot.measure import IntegerPart
from aiterfix.validation.comparison import SENTINEL
from aiterfix.validation.emulator import EmulatorLauncher
from aiterfix.validation.scenarios import Scenario

GAP = 1100
"""More than any of these kernels stores past its row."""


def random_config(kernel: Kernel, generator: random.Random) -> KernelConfig:
    block = generator.choice((16, 32, 64, 128, 256, 512)) if kernel.preshuffled else 1
    return KernelConfig(
        heads=generator.choice((32, 64)),
        kv_block_size=block,
        chunk_k=256,
        aligned_cache=kernel.preshuffled,
        out_stride=generator.choice(("auto", "i32")),
    )


def row_ends_agree(kernel: Kernel, compiled: CompiledKernel, config: KernelConfig, generator: random.Random) -> None:
    """One launch of two sequences: for each row, one past the last column stored to."""
    next_n = generator.randint(1, 4)
    width = generator.randint(2 * next_n, 1500)
    lengths = tuple(generator.choice((width, generator.randint(next_n, width))) for _ in range(2))
    splits = generator.choice((1, 2, 3, 5, 10))
    if kernel is Kernel.PRESHUFFLE_VARCTX:
        splits = next_n * max(splits, len(lengths) + 1)
    scenario = Scenario(kernel, config, "random", lengths, next_n, width, GAP, splits)
    inputs = make_inputs(
        context_lengths=lengths,
        next_n=next_n,
        heads=config.heads,
        hidden=config.hidden,
        kv_block_size=config.kv_block_size,
        max_model_len=width,
        row_stride=scenario.row_stride,
        seed=generator.randint(0, 1 << 30),
    )
    output = EmulatorLauncher().launch(compiled, scenario, inputs).output
    written = output != SENTINEL
    full = np.where(written.any(axis=1), written.shape[1] - written[:, ::-1].argmax(axis=1), 0)
    part = IntegerPart(compiled, kernel, config)
    share = scenario.safe_chunks() if kernel is Kernel.PRESHUFFLE_VARCTX else splits
    expected = []
    for length in lengths:
        ends = part.ends([whole_launch(kernel, config, length, width, next_n, share)])[0]
        # Programs of one row, whichever of the row numbers and splits runs faster, reach the same furthest column.
        expected += [max(ends)] * next_n
    assert full.tolist() == expected, scenario
