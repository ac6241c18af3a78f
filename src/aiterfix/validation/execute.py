"""The seam between scenarios and what runs them: the emulator, a GPU, or a model kernel in a test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.validation.problem import Problem
from aiterfix.validation.report import AccessOutside, Finding
from aiterfix.validation.scenarios import Scenario


@dataclass(frozen=True)
class Execution:
    """What a launch left behind.

    Attributes:
        output: bits of the output, uint32, (rows, row_stride).
        outside: accesses outside allocations.
        findings: what the executor noticed itself.
        seconds: time that the launch took.
        wave_instructions: instructions executed, counted once a wave; 0 where it is not known.
        by_group: the same by group of instructions; empty where it is not known.
    """

    output: npt.NDArray[np.uint32]
    outside: tuple[AccessOutside, ...]
    findings: tuple[Finding, ...]
    seconds: float
    wave_instructions: int
    by_group: Mapping[str, int] = field(default_factory=dict)


class Executor(Protocol):
    """Something that runs a code object."""

    @property
    def device(self) -> str:
        """What reports call it."""

    def execute(self, kernel: CompiledKernel, scenario: Scenario, problem: Problem) -> Execution:
        """Run one launch on output memory that holds the sentinel."""


def scalar_arguments(scenario: Scenario, problem: Problem, cache_row_bytes: int) -> dict[str, int]:
    """Integer arguments by parameter name, as the wrapper computes them from its tensors."""
    heads, hidden = scenario.config.heads, scenario.config.hidden
    return {
        "batch_size": problem.batch,
        "next_n": problem.next_n,
        "heads_num": heads,
        "stride_q_batch": problem.next_n * heads * hidden,
        "stride_q_next_n": heads * hidden,
        "stride_q_heads": hidden,
        "stride_k_seq": cache_row_bytes,
        "stride_scale_seq": cache_row_bytes // 4,
        "stride_w_batch": heads,
        "stride_out_batch": scenario.row_stride,
        "max_model_len": scenario.max_model_len,
        "max_block_len": int(problem.block_table.shape[1]),
        "num_block": int(problem.keys.shape[0]),
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
