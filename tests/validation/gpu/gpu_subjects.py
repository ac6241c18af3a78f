"""Subjects for tests, imported by the test and by the child alike (by this file's plain name)."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from aiterfix.family.portable import AnyKernel, Portable
from aiterfix.family.reference import reference
from aiterfix.family.signature import Kernel
from aiterfix.validation.comparison import SENTINEL
from aiterfix.validation.gpu.buffers import Buffers
from aiterfix.validation.gpu.subjects import GpuSubject, Loaded
from aiterfix.validation.report import SourceFacts
from aiterfix.validation.scenarios import inputs_of


@dataclass(frozen=True)
class Interpreted:
    """Another subject, under Triton's interpreter: it calls ``int`` on arrays of one element, which NumPy refuses from 2.4 on."""

    inner: GpuSubject
    configs = None
    calls = ()

    @property
    def kernels(self) -> tuple[AnyKernel, ...]:
        return self.inner.kernels

    def load(self) -> Loaded:
        from triton.runtime import interpreter

        original = interpreter._patch_lang_tensor

        def patch(tensor: type, scope: Any) -> None:
            original(tensor, scope)
            scope.set_attr(tensor, "__index__", lambda value: int(value.handle.data.item()))

        interpreter._patch_lang_tensor = patch
        return self.inner.load()


@dataclass(frozen=True)
class Model:
    """A kernel modelled in NumPy, written through torch, with faults to switch on.

    Attributes:
        round_to: columns that a row's end is rounded up to; 1 is a right kernel.
        faults: what to do at which scenario: by a word in its name.
        pollute: name of an input to write into.
        behind: name of a buffer to write behind.
    """

    round_to: int = 1
    faults: dict[str, str] = field(default_factory=dict)
    pollute: str = ""
    behind: str = ""
    kernels = (*Portable, *Kernel)
    configs = None
    calls = ()

    def load(self) -> Loaded:
        return Loaded(self.launch, "a model", SourceFacts(__file__, "0" * 64))

    def launch(self, buffers: Buffers) -> None:
        for word, fault in self.faults.items():
            if word in buffers.scenario.name:
                getattr(self, fault)()
        scenario, torch = buffers.scenario, buffers.torch
        expected = reference(inputs_of(scenario))
        output = next(b for b in buffers.all if b.name == "OutLogits_buffer")
        heads = scenario.config.heads if buffers.output.dim() == 3 else 1
        start = output.before // 4
        words = output.memory
        rows = scenario.rows * heads
        for row in range(rows):
            context = int(expected.contexts[row % scenario.rows])
            end = -(-context // self.round_to) * self.round_to
            line = np.full(end, -np.inf, np.float32)
            visible = int(expected.visible_counts[row % scenario.rows])
            line[:visible] = expected.logits[row % scenario.rows, :visible] / heads
            at = start + row * scenario.row_stride
            words[at : at + end] = torch.from_numpy(line.view(np.int32))
        # The damage last, as on hardware.
        for row in range(rows):
            context = int(expected.contexts[row % scenario.rows])
            end = -(-context // self.round_to) * self.round_to
            at = start + row * scenario.row_stride
            words[at + scenario.max_model_len : at + max(end, scenario.max_model_len)] = -8388608
        for buffer in buffers.all:
            if buffer.name == self.pollute:
                buffer.tensor.view(torch.uint8).reshape(-1)[5] ^= 1
            if buffer.name == self.behind:
                buffer.memory[-3:-1] = SENTINEL ^ 1

    def abort(self) -> None:
        os.write(2, b"Memory access fault by GPU node-1\n")
        os.abort()

    def hang(self) -> None:
        time.sleep(600)

    def leave(self) -> None:
        os._exit(7)

    def raise_(self) -> None:
        raise RuntimeError("HIP error: an illegal memory access was encountered")


@dataclass(frozen=True)
class Unloadable:
    """A subject whose load fails."""

    kernels = (Portable.OWN,)
    configs = None
    calls = ()

    def load(self) -> Loaded:
        raise ImportError("libamdhip64.so: not found")


def kernel_file() -> Path:
    """This project's kernel, in the checkout."""
    return Path(__file__).parents[3] / "kernels" / "paged_mqa_logits.py"
