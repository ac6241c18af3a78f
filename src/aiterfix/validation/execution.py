"""The seam between a code object and what launches it: the emulator, or a model kernel in a test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from aiterfix.family.inputs import LaunchInputs, pack_cache
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.validation.report import AccessOutside, Anomaly
from aiterfix.validation.scenarios import Scenario


@dataclass(frozen=True)
class Execution:
    """What a launch left behind.

    Attributes:
        output: bits of the output, uint32, (rows, the scenario's window).
        outside: accesses outside allocations.
        findings: what the executor noticed itself.
        seconds: time that the launch took.
        wave_instructions: instructions executed, counted once a wave; 0 where it is not known.
        by_group: the same by group of instructions; empty where it is not known.
        written_behind: elements of the output that were written to behind every window.
    """

    output: npt.NDArray[np.uint32]
    outside: tuple[AccessOutside, ...]
    findings: tuple[Anomaly, ...]
    seconds: float
    wave_instructions: int
    by_group: Mapping[str, int] = field(default_factory=dict)
    written_behind: int = 0


class Launcher(Protocol):
    """Something that launches a code object."""

    @property
    def device(self) -> str:
        """What reports call it."""

    def launch(self, kernel: CompiledKernel, scenario: Scenario, inputs: LaunchInputs) -> Execution:
        """Launch once, on output memory that holds the sentinel."""


def scalar_arguments(scenario: Scenario, blocks: int, table_width: int) -> dict[str, int]:
    """Integer arguments by parameter name, as the wrapper computes them from its tensors.

    Args:
        scenario: the launch.
        blocks: of the cache.
        table_width: columns of the block table.
    """
    heads, hidden = scenario.config.heads, scenario.config.hidden
    return {
        "batch_size": len(scenario.context_lengths),
        "next_n": scenario.next_n,
        "heads_num": heads,
        "stride_q_batch": scenario.next_n * heads * hidden,
        "stride_q_next_n": heads * hidden,
        "stride_q_heads": hidden,
        "stride_k_seq": cache_row_bytes(scenario),
        "stride_scale_seq": cache_row_bytes(scenario) // 4,
        "stride_w_batch": heads,
        "stride_out_batch": scenario.row_stride,
        "max_model_len": scenario.max_model_len,
        "max_block_len": table_width,
        "num_block": blocks,
        "SplitKV": scenario.splits,
    }


def cache_row_bytes(scenario: Scenario) -> int:
    """Bytes from one cache block to the next: keys and scales, and for an aligned single token, padding up to 64.

    A block of 16 tokens or more is a multiple of 16 bytes anyway. One token is 132 bytes; the wrapper's aligned mode
    is a cache whose rows were padded, and 64 keeps the stride of the scales, in floats, a multiple of 16 too, as the
    wrapper's attributes promise.
    """
    tight = scenario.config.kv_block_size * (scenario.config.hidden + 4)
    return -(-tight // 64) * 64 if scenario.config.kv_block_size == 1 and scenario.config.aligned_cache else tight


def cache_of(scenario: Scenario, inputs: LaunchInputs) -> npt.NDArray[np.uint8]:
    """The cache as a scenario's kernel reads it, (blocks, bytes of a block)."""
    row_bytes = cache_row_bytes(scenario)
    return pack_cache(inputs.keys, inputs.scales, preshuffle=scenario.kernel.preshuffled, row_bytes=row_bytes)
