"""The 64-byte AMD HSA kernel descriptor, decoded in full for the gfx90a family (gfx942, gfx950).

Layout: LLVM's "User Guide for AMDGPU Backend", section "Kernel Descriptor". A bit whose effect the emulator does not
model is an error here, so that nothing later has to wonder.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from aiterfix.errors import NotUnderstoodError

SIZE = 64


class Denormals(IntEnum):
    """The two bits of a floating-point width's denormal mode."""

    FLUSH_ALL = 0
    FLUSH_RESULTS = 1
    FLUSH_SOURCES = 2
    KEEP = 3


@dataclass(frozen=True)
class FloatMode:
    """What the MODE register holds when a wave starts.

    Rounding is to nearest even in both widths, and IEEE mode is on; anything else is refused when the descriptor is
    read.
    """

    denormals_32: Denormals
    denormals_16_64: Denormals
    dx10_clamp: bool


@dataclass(frozen=True)
class KernelDescriptor:
    """Registers, memory and launch state that the hardware sets up for a kernel.

    Attributes:
        lds_bytes: statically allocated LDS of a workgroup; Triton asks for its LDS at launch instead.
        scratch_bytes: private memory of a lane.
        kernarg_bytes: size of the kernarg segment.
        entry_offset: bytes from the descriptor to the first instruction.
        vgprs, agprs: architectural and accumulation vector registers of a lane.
        user_sgprs: scalar registers set up before the workgroup ids.
        preload_length, preload_offset: dwords of the kernarg segment preloaded into user SGPRs.
        dispatch_pointer, queue_pointer, kernarg_pointer, dispatch_id: user SGPRs begin with those of these that are
            asked for, in this order, two each: address of the dispatch packet, of the queue, of the kernarg segment,
            and number of the dispatch.
        workgroup_ids: which of x, y and z follow the user SGPRs.
        workitem_dimensions: 0 to 2: how many ids above x are packed into v0 (10 bits each).
        mode: the MODE register's floating-point part.
    """

    lds_bytes: int
    scratch_bytes: int
    kernarg_bytes: int
    entry_offset: int
    vgprs: int
    agprs: int
    user_sgprs: int
    preload_length: int
    preload_offset: int
    dispatch_pointer: bool
    queue_pointer: bool
    kernarg_pointer: bool
    dispatch_id: bool
    workgroup_ids: tuple[bool, bool, bool]
    workitem_dimensions: int
    mode: FloatMode

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> KernelDescriptor:
        """Decode a descriptor.

        Args:
            data: exactly 64 bytes.
            name: the kernel, for messages.

        Raises:
            NotUnderstoodError: wrong length, or a bit set that is not modelled (named).
        """
        if len(data) != SIZE:
            raise NotUnderstoodError(f"The descriptor of kernel {name} has {len(data)} bytes; it must have {SIZE}.")
        lds, scratch, kernarg, reserved0, entry = struct.unpack_from("<IIIIq", data, 0)
        rsrc3, rsrc1, rsrc2, properties, preload = struct.unpack_from("<IIIHH", data, 44)

        def refuse(what: str) -> NotUnderstoodError:
            return NotUnderstoodError(
                f"The descriptor of kernel {name} asks for {what}.",
                why="The emulator does not model it, and would give results that mean nothing.",
                remedy="Run on a gfx950 GPU instead.",
            )

        if reserved0 or any(data[24:44]) or any(data[60:64]):
            raise refuse("something in bytes that are reserved")
        for word, bits, what in (
            (rsrc1, 0b11 << 10, "a wave priority"),
            (rsrc1, 0b1111 << 12, "a rounding mode other than to nearest even"),
            (rsrc1, 1 << 20, "privileged mode"),
            (rsrc1, 1 << 22, "debug mode"),
            (rsrc1, 0b11 << 24, "bulky or debug-user dispatch"),
            (rsrc1, 1 << 26, "16-bit overflow clamping (FP16_OVFL)"),
            (rsrc1, 0b11111 << 27, "bits 27 to 31 of COMPUTE_PGM_RSRC1"),
            (rsrc2, 1 << 6, "a trap handler"),
            (rsrc2, 1 << 10, "workgroup information in an SGPR"),
            (rsrc2, 0b11 << 13, "address-watch or memory-violation exceptions"),
            (rsrc2, 0x1FF << 15, "an LDS size in COMPUTE_PGM_RSRC2"),
            (rsrc2, 0x7F << 24, "floating-point or integer exceptions"),
            (rsrc2, 1 << 31, "bit 31 of COMPUTE_PGM_RSRC2"),
            (rsrc3, 1 << 16, "threadgroup split mode"),
            (rsrc3, 0xFFFE_FFC0, "reserved bits of COMPUTE_PGM_RSRC3"),
            (properties, 1 << 0, "a private segment buffer"),
            (properties, 1 << 5, "flat scratch initialisation in user SGPRs"),
            (properties, 1 << 6, "the private segment size in an SGPR"),
            (properties, 1 << 10, "wavefronts of 32 lanes"),
            (properties, 1 << 11, "a dynamic stack"),
            (properties, 0b1111_0011_1000_0000, "reserved kernel code properties"),
        ):
            if word & bits:
                raise refuse(what)
        if not rsrc1 & 1 << 23:
            raise refuse("floating point without IEEE mode")
        total = ((rsrc1 & 0x3F) + 1) * 8
        arch = ((rsrc3 & 0x3F) + 1) * 4
        if arch > total:
            raise refuse(f"{arch} architectural vector registers of {total} allocated")
        if bool(rsrc2 & 1) != bool(scratch):
            raise refuse("private memory without a size, or a size without private memory")
        user_sgprs = rsrc2 >> 1 & 0x1F
        preload_length, preload_offset = preload & 0x7F, preload >> 7
        dispatch, queue, pointer, number = (bool(properties & 1 << bit) for bit in (1, 2, 3, 4))
        if user_sgprs < 2 * (dispatch + queue + pointer + number) + preload_length:
            raise refuse(f"{preload_length} preloaded kernarg dwords in {user_sgprs} user SGPRs")
        return cls(
            lds_bytes=lds,
            scratch_bytes=scratch,
            kernarg_bytes=kernarg,
            entry_offset=entry,
            vgprs=arch,
            agprs=total - arch,
            user_sgprs=user_sgprs,
            preload_length=preload_length,
            preload_offset=preload_offset,
            dispatch_pointer=dispatch,
            queue_pointer=queue,
            kernarg_pointer=pointer,
            dispatch_id=number,
            workgroup_ids=(bool(rsrc2 & 1 << 7), bool(rsrc2 & 1 << 8), bool(rsrc2 & 1 << 9)),
            workitem_dimensions=rsrc2 >> 11 & 0b11,
            mode=FloatMode(Denormals(rsrc1 >> 16 & 3), Denormals(rsrc1 >> 18 & 3), bool(rsrc1 & 1 << 21)),
        )
