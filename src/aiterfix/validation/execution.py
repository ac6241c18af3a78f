"""What a launch is given and leaves behind, whatever launches it: the emulator, a GPU, or a model kernel in a test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from aiterfix.family.inputs import LaunchInputs, pack_cache
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.gfx950.request import CompileRequest
from aiterfix.storage.children import Owner
from aiterfix.validation.report import AccessOutside, Anomaly
from aiterfix.validation.scenarios import Scenario


@dataclass(frozen=True)
class Execution:
    """What a launch left behind.

    Attributes:
        output: bits of the output, uint32, (rows, the scenario's window).
        findings: what the executor noticed itself.
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


class KernelCompiler(Protocol):
    """Something that compiles; see :class:`aiterfix.gfx950.compile.Compiler`."""

    @property
    def python(self) -> str:
        """The interpreter whose Triton it is."""

    @property
    def owner(self) -> Owner | None:
        """Whose rights the compiling process has."""

    @property
    def triton(self) -> str:
        """The release that compiles."""

    @property
    def fp_fusion(self) -> bool | None:
        """Whether it makes one instruction of a multiplication and an addition of its own accord."""

    def compile(self, request: CompileRequest) -> CompiledKernel:
        """The code object for a request."""


class Launcher(Protocol):
    """Something that launches code objects."""

    @property
    def device(self) -> str:
        """What reports call it."""

    def launch(
        self,
        kernel: CompiledKernel,
        scenario: Scenario,
        inputs: LaunchInputs,
        *,
        scale_offset: int | None = None,
        schedule: CompiledKernel | None = None,
    ) -> Execution:
        """Launch once, on output memory that holds the sentinel.

        Args:
            scale_offset: see :func:`scale_offset`; by default behind all keys of a block.
            schedule: the kernel that is launched before, to share out the work of the schedule kernel; None where the
                number that it stores is to be computed here.
        """


def scalar_arguments(scenario: Scenario, blocks: int, table_width: int) -> dict[str, int]:
    """Integer arguments by parameter name, as the wrapper computes them from its tensors.

    Args:
        blocks: of the cache.
        table_width: columns of the block table.
    """
    heads, hidden, row_bytes = scenario.config.heads, scenario.config.hidden, cache_row_bytes(scenario)
    return {
        "batch_size": len(scenario.context_lengths),
        "next_n": scenario.next_n,
        "heads_num": heads,
        "stride_q_batch": scenario.next_n * heads * hidden,
        "stride_q_next_n": heads * hidden,
        "stride_q_heads": hidden,
        "stride_k_seq": row_bytes,
        "stride_k_block": row_bytes,
        "stride_k_token": hidden,
        "stride_scale_seq": row_bytes // 4,
        "stride_scale_block": row_bytes // 4,
        "stride_scale_token": 1,
        "stride_w_batch": heads,
        "stride_out_heads": scenario.rows * scenario.row_stride,
        "stride_out_batch": scenario.row_stride,
        "max_model_len": scenario.max_model_len,
        "max_block_len": table_width,
        "max_blk_len": table_width,
        "num_block": blocks,
        "SplitKV": scenario.splits,
    }


def schedule_arguments(scenario: Scenario) -> tuple[dict[str, int], int]:
    """Integer arguments of the kernel that shares out the work, and the number of its programs."""
    config, batch = scenario.config, len(scenario.context_lengths)
    programs = scenario.splits // config.waves_per_eu * 4
    chunks = -(-scenario.max_model_len // config.chunk_k)
    return {
        "batch_size": batch,
        "parallel_unit_num": scenario.splits // scenario.next_n,
        "ChunkK": config.chunk_k,
        "AlignedBatchSize": 1 << (batch - 1).bit_length(),
        "TryCount": -(-chunks // programs),
    }, programs


def scale_offset(scenario: Scenario, *, blocks_known: bool) -> int:
    """Bytes from a block to its scales, as the wrapper's slices have it.

    Args:
        blocks_known: whether the kernel is told of blocks of several tokens. The wrapper of one that is not slices the
            cache as tokens, each with its scale behind it.
    """
    return scenario.config.hidden * (scenario.config.kv_block_size if blocks_known else 1)


def cache_row_bytes(scenario: Scenario) -> int:
    """Bytes from one cache block to the next."""
    return scenario.block_stride or scenario.config.block_bytes


def cache_of(scenario: Scenario, inputs: LaunchInputs) -> npt.NDArray[np.uint8]:
    """The used part of the cache as a scenario's kernel reads it, (blocks, bytes of a block)."""
    row_bytes = cache_row_bytes(scenario)
    return pack_cache(inputs.keys, inputs.scales, preshuffle=scenario.kernel.preshuffled, row_bytes=row_bytes)
