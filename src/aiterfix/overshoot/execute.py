"""Run a slice for many programs at once, and note the columns that each stores to.

Every program is a workgroup of a launch of its own: its kernel arguments are its own, so that programs of thousands of
launches (context lengths, widths, splits) run in lockstep. What is equal is run once:

- One element of an array stands for a program, what differs between its lanes being kept apart
  (:mod:`~aiterfix.overshoot.lanes`). Programs for which that does not work out are run again from their start, lane by
  lane; what they were seen to store until then they do store, so it counts.
- Programs that come to the block of their first stores with equal live registers do the same from there on: one of
  them is run, the others are given its result. That is exact, since liveness says that nothing else is read; and most
  of millions of programs come down to the same few thousand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aiterfix.errors import NotUnderstoodError
from aiterfix.overshoot.groups import NumberedBatch
from aiterfix.overshoot.launch import check_arguments, lay_out, start
from aiterfix.overshoot.run import PROGRAMS, Run
from aiterfix.overshoot.watch import Stored, Watch

if TYPE_CHECKING:
    from aiterfix.family.signature import KernelConfig
    from aiterfix.gfx950.cache import CompiledKernel
    from aiterfix.overshoot.programs import Launches
    from aiterfix.overshoot.slicing import Slice

_WAVES = 8192
"""Waves that are run together lane by lane."""


def stored_ends(part: Slice, kernel: CompiledKernel, config: KernelConfig, table: Launches) -> Stored:
    """Run the programs of these launches.

    Args:
        part: the kernel's slice.
        kernel: for the names and types of its arguments.
        config: what it is compiled for.
        table: launches.

    Returns:
        what their programs stored.

    Raises:
        NotUnderstoodError: what is stored where depends on more than integers, or an instruction is not modelled.
    """
    code = part.program.code
    check_arguments(part, kernel)
    total = int(table.count.sum())
    launch_of = np.repeat(np.arange(len(table.count)), table.count)
    identity = np.arange(total) - np.repeat(np.cumsum(table.count) - table.count - table.first, table.count)
    memory, segments, words = lay_out(code, kernel, config, table)
    if kernel.threads % 64:
        raise NotUnderstoodError(f"{kernel.function} has {kernel.threads} threads, which are no whole waves")
    waves = kernel.threads // 64
    watch = Watch(code, total)
    run = Run(part, watch, words, launch_of, waves)
    for first in range(0, total, PROGRAMS):
        numbers = np.arange(first, min(first + PROGRAMS, total))
        batch = NumberedBatch(memory, watch, numbers, 1, 0)
        launches = launch_of[numbers]
        run.begin(start(part, batch, segments[launches], words, launches, identity[numbers], 1))
    run.finish(memory)
    left = np.sort(np.concatenate(run.left)) if run.left else np.zeros(0, np.int64)
    size = max(1, _WAVES // waves)
    for first in range(0, len(left), size):
        of_waves = np.repeat(left[first : first + size], waves)
        batch = NumberedBatch(memory, watch, of_waves, waves, code.scratch_bytes)
        launches = launch_of[of_waves]
        run.lane_by_lane(start(part, batch, segments[launches], words, launches, identity[of_waves], waves))
    return watch.resolve(len(left))
