"""Machine code to ``Instruction`` records: the one module that touches tinygrad's decoder.

The decoder is generated from AMD's machine-readable ISA; its API carries no promise, hence the exact pin in
``pyproject.toml`` and this single place of contact.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from aiterfix.errors import EnvironmentProblem, NotUnderstoodError, install_line
from aiterfix.gfx950.instruction import VGPR, Encoding, Instruction

_ENCODINGS: dict[str, tuple[Encoding, Encoding]] = {
    **{name: (Encoding[name],) * 2 for name in ("SOP1", "SOP2", "SOPC", "SOPK", "SOPP", "SMEM", "DS", "MUBUF")},
    **{name: (Encoding[name],) * 2 for name in ("VOP1", "VOP2", "VOPC", "VOP3", "VOP3SD", "VOP3P")},
    **{name: (Encoding[name],) * 2 for name in ("FLAT", "GLOBAL", "SCRATCH")},
    "VOP3_SDST": (Encoding.VOP3, Encoding.VOP3),
    "VOP3P_MFMA": (Encoding.MFMA, Encoding.MFMA),
    "VOP3PX2": (Encoding.MFMA_SCALED, Encoding.MFMA_SCALED),
    "VOP1_SDWA": (Encoding.SDWA, Encoding.VOP1),
    "VOP2_SDWA": (Encoding.SDWA, Encoding.VOP2),
    "VOP2_SDWA_SDST": (Encoding.SDWA, Encoding.VOP2),
    "VOPC_SDWA_SDST": (Encoding.SDWA, Encoding.VOPC),
    "VOP1_DPP16": (Encoding.DPP, Encoding.VOP1),
    "VOP2_DPP16": (Encoding.DPP, Encoding.VOP2),
}
"""Decoder's class name (without ``_LIT``) to our encoding and the format it is a variant of."""


def _decoder() -> Any:
    if sys.version_info < (3, 11):
        raise EnvironmentProblem(
            f"The gfx950 emulator needs Python 3.11 or later; this is {sys.version.split()[0]}.",
            why="The instruction decoder it uses (tinygrad) needs it.",
            remedy="Run this command under Python 3.11 or later, or on a machine with a gfx950 GPU.",
        )
    try:
        from tinygrad.renderer import amd
    except ImportError as error:
        raise EnvironmentProblem(
            "The gfx950 emulator's instruction decoder could not be imported.",
            why=f"{type(error).__name__}: {error}",
            remedy=f"{install_line('validate')} brings tinygrad==0.14.0.",
        ) from error
    return amd


_SCALE_PREFIX = 0xD3AC
"""Upper half of the first dword of a scaled matrix instruction (``v_mfma_ld_scale_b32``)."""


def _decode_one(amd: Any, word: bytes, arch: str) -> Any:
    """Decode one instruction, mending what the decoder gets wrong.

    It takes any 8 bytes in front of an f8f6f4 matrix instruction for the scale prefix of one (its VOP3PX2 format does
    not fix the prefix's own encoding), and so swallows, for example, a wait.
    """
    decoded = amd.decode_inst(word, arch)
    if type(decoded).__name__ != "VOP3PX2" or decoded._raw >> 16 & 0xFFFF == _SCALE_PREFIX:
        return decoded
    for form in amd._load_formats()[arch]:
        if form.__name__ != "VOP3PX2" and amd._matches(word, form):
            return form.from_bytes(word)
    raise ValueError("no format of the architecture fits")


def _normalised(name: str) -> str:
    return name.lower().removesuffix("_e32").removesuffix("_e64")


def decode(code: bytes, arch: str = "cdna") -> tuple[Instruction, ...]:
    """Decode straight-line machine code, in order, with nothing left over.

    Args:
        code: the kernel's instructions, from its first byte.

    Raises:
        EnvironmentProblem: the decoder is missing, or this Python is too old for it.
        NotUnderstoodError: bytes that are no CDNA instruction; names the pc and the bytes.
    """
    amd = _decoder()
    known = _decoded.setdefault(arch, {})
    found: list[Instruction] = []
    pc = 0
    while pc < len(code):
        word = code[pc : pc + 16]
        template = known.get(word[:4]) or known.get(word[:8])
        if template is None:
            template = _decode_at(amd, word, pc, arch)
            if template.size <= _DECIDING:
                known[template.raw] = template
        found.append(replace(template, pc=pc) if template.pc != pc else template)
        pc += template.size
    return tuple(found)


def mnemonics(arch: str = "cdna") -> dict[str, frozenset[str]]:
    """Every instruction that the decoder knows, by format."""
    from enum import EnumMeta
    from importlib import import_module

    _decoder()
    members = vars(import_module(f"tinygrad.runtime.autogen.amd.{arch}.enum"))
    return {
        name.removesuffix("Op"): frozenset(_normalised(member) for member in kind.__members__)
        for name, kind in members.items()
        if name.endswith("Op") and isinstance(kind, EnumMeta)
    }


_DECIDING = 8
"""Bytes of the longest instruction that is kept: the first dword decides how many follow, but for scaled products."""
_decoded: dict[str, dict[bytes, Instruction]] = {}
"""Architecture to instructions that were met before, by their bytes: kernels share most of theirs."""


def _decode_at(amd: Any, word: bytes, pc: int, arch: str) -> Instruction:
    try:
        decoded = _decode_one(amd, word, arch)
    except (ValueError, AssertionError, KeyError) as error:
        raise _undecodable(pc, word, str(error)) from error
    size = decoded.size()
    if len(word) < size:
        raise _undecodable(pc, word, f"the code ends inside an instruction of {size} bytes")
    return _record(decoded, pc, bytes(word[:size]))


def _undecodable(pc: int, word: bytes, why: str) -> NotUnderstoodError:
    return NotUnderstoodError(
        f"The bytes at pc {pc:#x} ({word[:8].hex(' ', 4)}) are no instruction of gfx950.",
        why=why,
        remedy="Check that the code object is for gfx950 and is complete.",
    )


def _record(decoded: Any, pc: int, raw: bytes) -> Instruction:
    name = type(decoded).__name__.removesuffix("_LIT")
    known = _ENCODINGS.get(name)
    if known is None:
        raise NotUnderstoodError(
            f"{decoded.op.name.lower()} at pc {pc:#x} ({raw.hex(' ', 4)}) uses the format {name}.",
            why="That instruction format is not modelled.",
            remedy="Run on a gfx950 GPU instead.",
        )
    fields: dict[str, int] = {}
    for field_name, field in decoded._fields:
        if field_name in ("op", "encoding", "literal"):
            continue
        bits = (decoded._raw >> field.lo) & field.mask
        value = field.decode(bits)
        fields[field_name] = value.offset if hasattr(value, "offset") else bits
    literal = decoded._literal
    encoding, base = known
    mnemonic = _normalised(decoded.op.name)
    if encoding is Encoding.MFMA and not mnemonic.startswith(("v_mfma", "v_smfmac")):
        # The accumulation-register moves share the bits of VOP3P and of the matrix format.
        encoding = base = Encoding.MFMA
    if encoding is Encoding.SDWA and not fields.get("s0", 0):
        fields["vsrc0"] |= VGPR
    elif encoding is Encoding.SDWA:
        fields["vsrc0"] &= VGPR - 1
    if encoding is Encoding.SDWA and fields.get("s1", 0) and "vsrc1" in fields:
        fields["vsrc1"] &= VGPR - 1
    return Instruction(pc, len(raw), raw, mnemonic, encoding, base, fields, literal)
