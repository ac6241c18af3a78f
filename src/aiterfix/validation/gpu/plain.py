"""A plain-Triton kernel file of ``aiter``, launched as the wrapper of its release launches it.

The file is imported alone, with stand-ins for what it imports from ``aiter``. Arguments go by parameter name, from
what the wrappers of all releases pass; a parameter that is in no table ends in an error, since a guess would run
something else than production does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiterfix.errors import NotUnderstoodError
from aiterfix.family import standins
from aiterfix.family.portable import Portable, find_portable
from aiterfix.validation.execution import scalar_arguments
from aiterfix.validation.gpu.buffers import Buffers
from aiterfix.validation.gpu.subjects import Loaded, load_file, processors

_RAGGED_SPLITS = 5
"""``SplitKV`` of the ragged wrappers, in every release."""


@dataclass(frozen=True)
class PlainKernels:
    """The plain-Triton kernels of one file.

    Attributes:
        text: the file.
        filename: its name.
        shown: what reports call it.
    """

    text: bytes
    filename: str
    shown: str
    configs = None

    @property
    def kernels(self) -> tuple[Portable, ...]:
        """See :class:`aiterfix.validation.interface.Subject`."""
        found = find_portable(self.text, self.shown)
        if not found:
            raise NotUnderstoodError(f"{self.shown} defines no plain-Triton kernel that is known")
        return found

    def load(self) -> Loaded:
        """See :class:`aiterfix.validation.gpu.subjects.GpuSubject`."""
        standins.install()
        module = load_file(self.text, self.filename)

        def launch(buffers: Buffers) -> None:
            kernel = getattr(module, str(getattr(buffers.scenario.kernel, "function", "")), None)
            if kernel is None:
                raise NotUnderstoodError(f"{self.shown} has no kernel for {buffers.scenario.kernel.value}")
            launch_plain(kernel, buffers)

        return Loaded(launch, "plain-Triton kernels of aiter", self.shown, hashlib.sha256(self.text).hexdigest())


def launch_plain(kernel: Any, buffers: Buffers) -> None:
    """Launch a ``@triton.jit`` kernel as its wrapper does.

    Raises:
        NotUnderstoodError: a parameter is not known, or the kernel does not take this block size.
    """
    scenario = buffers.scenario
    names = list(kernel.arg_names)
    if scenario.config.kv_block_size != 1 and "KVBlockSize" not in names:
        raise NotUnderstoodError(
            f"{scenario.kernel.value} of this release works on block size 1, not {scenario.config.kv_block_size}"
        )
    values, grid = arguments(buffers)
    # Triton takes what is a kernel's own parameter by name, and `waves_per_eu` as an option, which ROCm alone knows.
    unknown = [name for name in names if name not in values]
    if unknown:
        raise NotUnderstoodError(
            f"{scenario.kernel.function} has parameters that are not known: {', '.join(unknown)}",
            remedy="validate it on gfx950, through aiter's own function",
        )
    options = {"waves_per_eu": scenario.config.waves_per_eu} if buffers.torch.version.hip else {}
    kernel[(grid,)](**{name: values[name] for name in names}, **options)


def arguments(buffers: Buffers) -> tuple[dict[str, Any], int]:
    """Every argument of every release by name, and the number of programs."""
    scenario, config, torch = buffers.scenario, buffers.scenario.config, buffers.torch
    kernel = scenario.kernel
    if not isinstance(kernel, Portable):
        raise NotUnderstoodError(f"{kernel.value} is no plain-Triton kernel")
    heads, hidden, blocks, width = config.heads, config.hidden, len(buffers.cache), buffers.table.shape[1]
    chunk_q = {Portable.STAGE1: 64, Portable.STAGE1_RAGGED: 32}.get(kernel, heads)
    tiles = scenario.rows * (heads // chunk_q)
    splits = _RAGGED_SPLITS if kernel.ragged else _splits(buffers, tiles)
    packed = buffers.cache.view(blocks, -1)
    keys = packed[:, : config.kv_block_size * hidden].view(buffers.fp8)
    scales = packed[:, config.kv_block_size * hidden :].view(torch.float32)
    values = scalar_arguments(scenario, blocks, width) | {
        "Q_buffer": buffers.q,
        "KV_buffer": keys,
        "stride_k_block": keys.stride(0),
        "stride_k_token": hidden,
        "scale_buffer": scales,
        "stride_scale_block": scales.stride(0),
        "stride_scale_token": 1,
        "context_len_ptr": buffers.lengths,
        "kv_indices": buffers.table,
        "weights": buffers.weights,
        "Out_buffer": buffers.output,
        "OutLogits_buffer": buffers.output,
        "stride_out_heads": scenario.rows * scenario.row_stride,
        "max_blk_len": width,
        "ChunkQ": chunk_q,
        "ChunkK": config.chunk_k,
        "HiddenDim": hidden,
        "KVBlockSize": config.kv_block_size,
        "SplitKV": splits,
    }
    if kernel.ragged:
        values |= _ragged(buffers)
    return values, tiles * splits


def _splits(buffers: Buffers, tiles: int) -> int:
    """``SplitKV`` as the wrappers compute it."""
    told = processors(buffers, None)
    if told is None:
        told = 80 if buffers.device == "cpu" else buffers.torch.cuda.get_device_properties(0).multi_processor_count
    return (max(1, told // tiles) + 4) // 5 * 5 * buffers.scenario.config.waves_per_eu


def _ragged(buffers: Buffers) -> dict[str, Any]:
    """Prefix sums of the lengths, and the tokens of all sequences one after another."""
    lengths: Iterable[int] = buffers.scenario.context_lengths
    table = buffers.table.cpu().numpy()
    tokens = [table[row, :length] for row, length in enumerate(lengths)]
    return {
        "prefix_sum_context_lens": buffers.add("prefix_sum_context_lens", np.cumsum([0, *lengths], dtype=np.int32)),
        "kv_indices": buffers.add("kv_indices (ragged)", np.concatenate(tokens).astype(np.int32)),
    }
