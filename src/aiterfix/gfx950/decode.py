"""Machine code to ``Instruction`` records: the one module that touches tinygrad's decoder.

The decoder is generated from AMD's machine-readable ISA; its API carries no promise, hence the exact pin in
``pyproject.toml`` and this single place of contact.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
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
_VARIANTS = {249: "_SDWA", 250: "_DPP16", 255: "_LIT"}
"""Codes of a source that make another format of the instruction; of the first source alone they are in the format."""


@dataclass(frozen=True)
class _Format:
    """One of the decoder's formats as plain numbers: its own matching takes ten times as long.

    Attributes:
        form: the decoder's class.
        needed: bytes that its fields reach over.
        mask, fixed: bits that are the same in all its instructions, and those bits.
        variant: what the nine lowest bits must be; None where they are free.
        op: shift, mask, and mnemonics by operation.
        allowed: operations that instructions of the format have in it.
        sources: shift, mask, and first operand code of each source that may ask for another format.
        fields: name, shift, mask, first operand code and step of every other field.
        literal: shift of the literal, where the format has one.
    """

    form: Any
    needed: int
    mask: int
    fixed: int
    variant: int | None
    op: tuple[int, int, dict[int, str]]
    allowed: frozenset[int]
    sources: tuple[tuple[int, int, int], ...]
    fields: tuple[tuple[str, int, int, int, int], ...]
    literal: int | None

    def fits(self, bits: int, available: int) -> bool:
        """Are these an instruction of the format? It takes any 8 bytes in front of an f8f6f4 matrix instruction for the
        scale prefix of one (its VOP3PX2 format does not fix the prefix's own encoding), and so swallows a wait."""
        shift, mask, _ = self.op
        return (
            bits & self.mask == self.fixed
            and (self.variant is None or bits & 0x1FF == self.variant)
            and (bits >> shift & mask) in self.allowed
            and available >= self.needed
            and (self.form.__name__ != "VOP3PX2" or bits >> 16 & 0xFFFF == _SCALE_PREFIX)
        )


@cache
def _format(form: Any) -> _Format:
    mask = fixed = 0
    needed = 4
    op: tuple[int, int, dict[int, str]] = (0, 0, {})
    allowed: frozenset[int] = frozenset()
    sources, fields, literal = [], [], None
    is_variant = form.__name__.endswith(("_LIT", "_SDWA", "_SDWA_SDST", "_DPP16"))
    for name, field in form._fields:
        needed = max(needed, field.lo // 32 * 4 + 4)
        kind = type(field).__name__
        if kind == "FixedBitField":
            mask |= field.mask << field.lo
            fixed |= field.default << field.lo
        if name == "op":
            members = {member.value: member for member in field._enum}
            op = field.lo, field.mask, {value: _normalised(member.name) for value, member in members.items()}
            allowed = frozenset(v for v, member in members.items() if not field.allowed or member in field.allowed)
        elif name == "literal":
            literal = field.lo
        elif name != "encoding":
            # Registers decode to operand codes, some in steps of 2 or 4.
            first, second = (getattr(value := field.decode(bits), "offset", value) for bits in (0, 1))
            fields.append((name, field.lo, field.mask, first, second - first))
            if hasattr(field, "_valid_range") and not is_variant:
                sources.append((field.lo, field.mask, first))
    variant = next((code for code, suffix in _VARIANTS.items() if code != 255 and suffix in form.__name__), None)
    return _Format(form, needed, mask, fixed, variant, op, allowed, tuple(sources), tuple(fields), literal)


@cache
def _formats(top: int) -> tuple[_Format, ...]:
    """The formats that may have these six highest bits of the first dword, in the decoder's order."""
    every = [_format(form) for form in _decoder()._load_formats()["cdna"]]
    return tuple(f for f in every if (f.fixed ^ top << 26) & f.mask & 0x3F << 26 == 0 or f.needed > 8)


def _decode_one(word: bytes) -> tuple[_Format, int]:
    """The format of an instruction, and its bits."""
    bits = int.from_bytes(word, "little")
    for found in _formats(bits >> 26 & 0x3F):
        if found.fits(bits, len(word)):
            break
    else:
        raise ValueError(f"no format of the architecture fits {bits & 0xFFFF_FFFF:#010x}")
    for shift, mask, first in found.sources:
        suffix = _VARIANTS.get((bits >> shift & mask) + first)
        if suffix is not None:
            module = sys.modules[found.form.__module__]
            form = getattr(module, f"{found.form.__name__}{suffix}", None)
            return (found if form is None else _format(form)), bits
    return found, bits


def _normalised(name: str) -> str:
    return name.lower().removesuffix("_e32").removesuffix("_e64")


def decode(code: bytes) -> tuple[Instruction, ...]:
    """Decode straight-line machine code, in order, with nothing left over.

    Args:
        code: the kernel's instructions, from its first byte.

    Raises:
        EnvironmentProblem: the decoder is missing, or this Python is too old for it.
        NotUnderstoodError: bytes that are no CDNA instruction; names the pc and the bytes.
    """
    _decoder()
    found: list[Instruction] = []
    pc = 0
    while pc < len(code):
        word = code[pc : pc + 16]
        template = _decoded.get(word[:4]) or _decoded.get(word[:8])
        if template is None:
            template = _decode_at(word, pc)
            if template.size <= _DECIDING:
                _decoded[template.raw] = template
        found.append(template if template.pc == pc else template.at(pc))
        pc += template.size
    return tuple(found)


def mnemonics() -> dict[str, frozenset[str]]:
    """Every instruction that the decoder knows, by format."""
    from enum import EnumMeta
    from importlib import import_module

    _decoder()
    members = vars(import_module("tinygrad.runtime.autogen.amd.cdna.enum"))
    return {
        name.removesuffix("Op"): frozenset(_normalised(member) for member in kind.__members__)
        for name, kind in members.items()
        if name.endswith("Op") and isinstance(kind, EnumMeta)
    }


_DECIDING = 8
"""Bytes of the longest instruction that is kept: the first dword decides how many follow, but for scaled products."""
_decoded: dict[bytes, Instruction] = {}
"""Instructions that were met before, by their bytes: kernels share most of theirs."""


def _decode_at(word: bytes, pc: int) -> Instruction:
    try:
        form, bits = _decode_one(word)
        mnemonic = form.op[2][bits >> form.op[0] & form.op[1]]
    except (ValueError, KeyError) as error:
        raise _undecodable(pc, word, str(error)) from error
    size = form.form._base_size
    if len(word) < size:
        raise _undecodable(pc, word, f"the code ends inside an instruction of {size} bytes")
    return _record(form, bits, mnemonic, pc, bytes(word[:size]))


def _undecodable(pc: int, word: bytes, why: str) -> NotUnderstoodError:
    return NotUnderstoodError(
        f"The bytes at pc {pc:#x} ({word[:8].hex(' ', 4)}) are no instruction of gfx950.",
        why=why,
        remedy="Check that the code object is for gfx950 and is complete.",
    )


def _record(form: _Format, bits: int, mnemonic: str, pc: int, raw: bytes) -> Instruction:
    name = form.form.__name__.removesuffix("_LIT")
    known = _ENCODINGS.get(name)
    if known is None:
        raise NotUnderstoodError(
            f"{mnemonic} at pc {pc:#x} ({raw.hex(' ', 4)}) uses the format {name}.",
            why="That instruction format is not modelled.",
            remedy="Run on a gfx950 GPU instead.",
        )
    fields = {name: (bits >> shift & mask) * step + first for name, shift, mask, first, step in form.fields}
    literal = None if form.literal is None else bits >> form.literal & 0xFFFF_FFFF
    encoding, base = known
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
