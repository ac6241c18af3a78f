"""A plain-Triton kernel file of ``aiter``, launched as the wrapper of its release launches it.

The file is imported alone, with stand-ins for what it imports from ``aiter``. Arguments go by parameter name, from
what the wrappers of all releases pass; a parameter that is in no table ends in an error, since a guess would run
something else than production does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiterfix.errors import NotUnderstoodError
from aiterfix.family import standins
from aiterfix.family.portable import Portable, find_portable
from aiterfix.validation.execution import scalar_arguments, scale_offset
from aiterfix.validation.gpu.buffers import Buffers
from aiterfix.validation.gpu.subjects import Loaded, load_file, processors
from aiterfix.validation.interface import RefusedLaunchError
from aiterfix.validation.kernel_file import KernelFile


@dataclass(frozen=True)
class PlainKernels:
    """The plain-Triton kernels of one file."""

    file: KernelFile
    configs = None
    calls = ()

    @property
    def kernels(self) -> tuple[Portable, ...]:
        """See :class:`aiterfix.validation.interface.Subject`."""
        found = find_portable(self.file.text, self.file.filename)
        if not found:
            raise NotUnderstoodError(f"{self.file.shown or self.file.filename} defines no plain-Triton kernel")
        return found

    def load(self) -> Loaded:
        """See :class:`aiterfix.validation.gpu.subjects.GpuSubject`."""
        standins.install()
        module = load_file(self.file.text, self.file.filename.rpartition("/")[2])

        def launch(buffers: Buffers) -> None:
            kernel = getattr(module, str(getattr(buffers.scenario.kernel, "function", "")), None)
            if kernel is None:
                raise NotUnderstoodError(f"{self.file.shown} has no kernel for {buffers.scenario.kernel.value}")
            launch_plain(kernel, buffers)

        return Loaded(launch, "plain-Triton kernels of aiter", self.file.facts)


def launch_plain(kernel: Any, buffers: Buffers) -> None:
    """Launch a ``@triton.jit`` kernel as its wrapper does.

    Raises:
        NotUnderstoodError: a parameter is not known.
        RefusedLaunchError: the wrapper refuses this block size.
    """
    scenario = buffers.scenario
    names = list(kernel.arg_names)
    blocks_known = "KVBlockSize" in names
    size = scenario.config.kv_block_size
    if not blocks_known and size != 1 and scenario.kernel is Portable.REDUCING:
        raise RefusedLaunchError(f"the wrapper of this release refuses blocks of {size} tokens for reducing")
    values, grid = arguments(buffers, scale_offset(scenario, blocks_known=blocks_known))
    # Triton takes what is a kernel's own parameter by name, and `waves_per_eu` as an option, which ROCm alone knows.
    unknown = [name for name in names if name not in values]
    if unknown:
        raise NotUnderstoodError(
            f"{scenario.kernel.function} has parameters that are not known: {', '.join(unknown)}",
            remedy="validate it on gfx950, through aiter's own function",
        )
    options = {"waves_per_eu": scenario.config.waves_per_eu} if buffers.torch.version.hip else {}
    kernel[(grid,)](**{name: values[name] for name in names}, **options)


def arguments(buffers: Buffers, offset: int) -> tuple[dict[str, Any], int]:
    """Every argument of every release by name, and the number of programs.

    Args:
        offset: bytes from a block to its scales.
    """
    scenario, config, torch = buffers.scenario, buffers.scenario.config, buffers.torch
    kernel = scenario.kernel
    if not isinstance(kernel, Portable):
        raise NotUnderstoodError(f"{kernel.value} is no plain-Triton kernel")
    blocks, width = len(buffers.cache), buffers.table.shape[1]
    told = processors(buffers, None)
    if told is None:
        told = 80 if buffers.device == "cpu" else torch.cuda.get_device_properties(0).multi_processor_count
    splits = scenario.split_constant(told)
    packed = buffers.cache.view(blocks, -1)
    values = scalar_arguments(scenario, blocks, width) | {
        "Q_buffer": buffers.q,
        "KV_buffer": packed.view(buffers.fp8),
        "scale_buffer": packed[:, offset:].view(torch.float32),
        "context_len_ptr": buffers.lengths,
        "kv_indices": buffers.table,
        "weights": buffers.weights,
        "Out_buffer": buffers.output,
        "OutLogits_buffer": buffers.output,
        "ChunkQ": kernel.head_tile or config.heads,
        "ChunkK": config.chunk_k,
        "HiddenDim": config.hidden,
        "KVBlockSize": config.kv_block_size,
        "SplitKV": splits,
    }
    if kernel.ragged:
        values |= {
            "prefix_sum_context_lens": buffers.add("prefix_sum_context_lens", buffers.inputs.prefix_sums()),
            "kv_indices": buffers.add("kv_indices (ragged)", buffers.inputs.ragged_tokens()),
        }
    return values, scenario.rows * scenario.head_tiles * splits
