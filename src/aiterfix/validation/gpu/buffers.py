"""Tensors between redzones, and a launch's inputs as the tensors that ``aiter``'s wrapper takes.

Redzones around the output hold the sentinel; those around inputs are NaN as fp8 and as float32, and -1 as an index,
so that a value read there spoils what is computed from it. After a launch every redzone and every input must be as
it was: a store outside an allocation is seen where it lands in one. What is read outside and not used is not seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from aiterfix.family.inputs import LaunchInputs, pack_cache
from aiterfix.family.signature import OUTPUT
from aiterfix.validation.comparison import SENTINEL
from aiterfix.validation.execution import cache_row_bytes
from aiterfix.validation.report import AccessOutside
from aiterfix.validation.scenarios import Scenario

_FILL = 0xFF
"""Byte that redzones of inputs hold."""
REDZONE = 1 << 16
"""Bytes before and behind each buffer, at least; a multiple of what torch aligns to."""


@dataclass
class Buffer:
    """One tensor and the memory around it.

    Attributes:
        name: the kernel argument.
        memory: the whole allocation as int32 words.
        tensor: the part that the kernel is given.
        before: bytes of redzone in front.
        element: bytes of an element.
        fill: word that redzones hold.
        original: what the tensor held, for inputs.
    """

    name: str
    memory: Any
    tensor: Any
    before: int
    element: int
    fill: int
    original: Any = None

    def stores(self, torch: Any) -> Iterator[AccessOutside]:
        """Stores outside the tensor, and for an input, into it."""
        first_word = self.before // 4
        size = self.tensor.numel() * self.tensor.element_size()
        last_word = first_word + -(-size // 4)
        ends = ((0, self.memory[:first_word]), (last_word, self.memory[last_word:]))
        for start, zone in ends:
            changed = torch.nonzero(zone != self.fill)[:, 0]
            if len(changed):
                low, high = (int(changed[i]) + start - first_word for i in (0, -1))
                yield self._store(len(changed), low * 4 // self.element, (high * 4 + 3) // self.element)
        if self.original is not None:
            row = self.original[:1].nbytes
            unused = len(self.tensor) - len(self.original)
            changed = torch.nonzero(_bytes(self.tensor[unused:], torch) != _bytes(self.original, torch))[:, 0]
            if len(changed):
                low, high = (unused * row + int(changed[i]) for i in (0, -1))
                yield self._store(len(changed), low // self.element, high // self.element)
            others = int(torch.count_nonzero(_bytes(self.tensor[:unused], torch) != _FILL)) if unused else 0
            if others:
                yield self._store(others, 0, unused * row // self.element - 1)

    def _store(self, count: int, first: int, last: int) -> AccessOutside:
        return AccessOutside("store", self.name, "", 0, count, first, last, None)


@dataclass
class Buffers:
    """All buffers of a launch, and the values that go with them.

    Attributes:
        q: fp8, (batch, next_n, heads, hidden).
        cache: uint8, (blocks, block size, 1, bytes of a token with its scale and padding).
        weights: float32, (rows, heads).
        lengths: int32, (batch,).
        table: int32, (batch, blocks of a sequence).
        output: float32 that holds the sentinel, (rows, row_stride), or (heads, rows, row_stride) by head.
    """

    scenario: Scenario
    inputs: LaunchInputs
    torch: Any
    device: str
    fp8: Any
    all: list[Buffer] = field(default_factory=list)
    q: Any = None
    cache: Any = None
    weights: Any = None
    lengths: Any = None
    table: Any = None
    output: Any = None

    def add(self, name: str, array: npt.NDArray[Any], before: int = 0) -> Any:
        """A copy of an input on the device, between redzones.

        Args:
            before: first elements of the tensor's first axis that the input leaves out. Nobody is to use them: they are
                as the redzone in front.
        """
        torch = self.torch
        source = torch.from_numpy(np.ascontiguousarray(array)).to(self.device)
        redzone = -(-max(REDZONE, 8 * source[:1].nbytes) // 512) * 512
        unused = before * source[:1].nbytes
        size = -(-(unused + source.nbytes) // 4) * 4
        memory = torch.full(((redzone + size + redzone) // 4,), -1, dtype=torch.int32, device=self.device)
        flat = memory.view(torch.uint8)[redzone : redzone + unused + source.nbytes]
        flat[unused:].copy_(_bytes(source, torch))
        tensor = flat.view(source.dtype).view((before + source.shape[0], *source.shape[1:]))
        self.all.append(Buffer(name, memory, tensor, redzone, source.element_size(), -1, source))
        return tensor

    def add_output(self, shape: tuple[int, ...]) -> Any:
        """Float32 of this shape, all of it and what surrounds it holding the sentinel."""
        torch = self.torch
        memory = torch.full((2 * REDZONE // 4 + math.prod(shape),), SENTINEL, dtype=torch.int32, device=self.device)
        words = memory[REDZONE // 4 : REDZONE // 4 + math.prod(shape)]
        tensor = words.view(torch.float32).view(shape)
        self.all.append(Buffer(OUTPUT, memory, tensor, REDZONE, 4, SENTINEL))
        return tensor

    def stores_outside(self) -> tuple[AccessOutside, ...]:
        """Stores outside every tensor, or into an input."""
        return tuple(access for buffer in self.all for access in buffer.stores(self.torch))


def make_buffers(scenario: Scenario, inputs: LaunchInputs, torch: Any, device: str, *, fnuz: bool) -> Buffers:
    """The inputs on the device.

    Args:
        fnuz: whether the device's fp8 is e4m3fnuz (gfx942), whose values are half those of e4m3fn for the same bits:
            the scales make up for it, exactly, and the logits are the same.
    """
    row_bytes = cache_row_bytes(scenario)
    size = scenario.config.kv_block_size
    q, keys, scales = inputs.q, inputs.keys, inputs.scales
    if fnuz:
        q, keys, scales = _as_fnuz(q), _as_fnuz(keys), scales * np.float32(4)
    packed = pack_cache(keys, scales, preshuffle=scenario.kernel.preshuffled, row_bytes=row_bytes)
    made = Buffers(scenario, inputs, torch, device, torch.float8_e4m3fnuz if fnuz else torch.float8_e4m3fn)
    made.q = made.add("Q_buffer", q).view(made.fp8)
    cache = made.add("KV_buffer", packed, before=inputs.first_block)
    made.cache = cache.view(inputs.cache_blocks, size, 1, row_bytes // size)
    made.weights = made.add("weights", inputs.weights)
    made.lengths = made.add("context_len_ptr", inputs.context_lengths)
    made.table = made.add("kv_indices", inputs.physical_table())
    made.output = made.add_output(
        (*((scenario.outputs,) if scenario.outputs > 1 else ()), inputs.rows, inputs.row_stride)
    )
    return made


def _as_fnuz(bits: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The e4m3fnuz bits of half these e4m3fn values; NaN stays NaN, and minus zero (NaN there) becomes zero."""
    changed: npt.NDArray[np.uint8] = bits.copy()
    changed[bits == 0x80] = 0
    changed[bits & 0x7F == 0x7F] = 0x80
    return changed


def _bytes(tensor: Any, torch: Any) -> Any:
    return tensor.reshape(-1).view(torch.uint8)
