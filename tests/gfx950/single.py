"""Runs single instructions on the emulator, with registers that a test chooses."""

from __future__ import annotations

from typing import Any

import numpy as np

from aiterfix.gfx950.batch import Batch
from aiterfix.gfx950.code_object import CodeObject, KernelArgument
from aiterfix.gfx950.decode import decode
from aiterfix.gfx950.kernel_descriptor import Denormals, FloatMode, KernelDescriptor
from aiterfix.gfx950.memory import DeviceMemory
from aiterfix.gfx950.operands import Binder
from aiterfix.gfx950.recorder import Recorder
from aiterfix.gfx950.semantics import bind
from aiterfix.gfx950.waves import Waves

VGPRS, AGPRS = 64, 32


def code_of(
    text: bytes,
    *,
    denormals: Denormals = Denormals.KEEP,
    scratch: int = 0,
    lds: int = 0,
    vgprs: int = VGPRS,
    kernarg: tuple[KernelArgument, ...] = (),
) -> CodeObject:
    """A code object around machine code, without an ELF file.

    With arguments, their address is in s[0:1] and the workgroup id in s2; else the workgroup id is in s0.
    """
    descriptor = KernelDescriptor(
        lds_bytes=lds,
        scratch_bytes=scratch,
        kernarg_bytes=max((a.offset + a.size for a in kernarg), default=0),
        entry_offset=0,
        vgprs=vgprs,
        agprs=AGPRS,
        user_sgprs=2 if kernarg else 0,
        preload_length=0,
        preload_offset=0,
        dispatch_pointer=False,
        queue_pointer=False,
        dispatch_id=False,
        kernarg_pointer=bool(kernarg),
        workgroup_ids=(True, False, False),
        workitem_dimensions=0,
        mode=FloatMode(denormals, denormals, True),
    )
    code = CodeObject("kernel", ("kernel",), descriptor, kernarg, text, 256, 0, 0, 0, "0", 0, b"")
    code.__dict__["_lines"] = ([], [])
    return code


def new_waves(
    code: CodeObject, waves: int = 1, *, memory: DeviceMemory | None = None, waves_per_workgroup: int = 1
) -> Waves:
    """Waves with all registers 0 and all lanes on."""
    memory = memory or DeviceMemory()
    batch = Batch(
        memory,
        Recorder(code, memory, {}),
        0,
        waves // waves_per_workgroup,
        waves_per_workgroup,
        code.lds_bytes,
        code.scratch_bytes,
    )
    pairs = np.zeros((64, waves, 2), np.uint32)
    pairs[63] = 0xFFFF_FFFF
    return Waves(
        batch,
        np.arange(waves, dtype=np.int64),
        np.zeros((code.vgprs + code.agprs, waves, 64), np.uint32),
        pairs,
        np.zeros(waves, np.bool_),
        np.ones((waves, 128 + code.vgprs + code.agprs), np.bool_),
        0,
        0,
    )


def execute(instruction: Any, waves: Waves, code: CodeObject | None = None) -> None:
    """Execute one instruction (the decoder's own object, or bytes)."""
    raw = instruction if isinstance(instruction, bytes) else instruction.to_bytes()
    (decoded,) = decode(raw)
    bound = bind(Binder(decoded, code or code_of(raw)))
    with np.errstate(all="ignore"):
        bound.execute(waves)


def set_exec(waves: Waves, masks: Any) -> None:
    """Set EXEC of every wave."""
    waves.pairs64[63] = np.asarray(masks, np.uint64)
    waves.exec_changed()
