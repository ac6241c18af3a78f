"""Operands: from an operand code to a function that fetches it as an array, and the register sets that go with it.

A ``Binder`` binds one instruction: the semantics modules ask it for sources and results, and it notes which registers
the instruction reads and writes. Those sets drive the never-written check, the wait check and slices of the program.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import numpy as np

from aiterfix.gfx950.instruction import (
    AGPR,
    EXEC,
    EXECZ,
    LITERAL,
    MODE,
    SCC,
    VCC,
    VCCZ,
    VGPR,
    Instruction,
    UnmodelledInstructionError,
)
from aiterfix.gfx950.kernel_descriptor import Denormals
from aiterfix.gfx950.numerics import flush_denormals
from aiterfix.gfx950.waves import bits_from_bools, masks_from_bits

if TYPE_CHECKING:
    from aiterfix.gfx950.code_object import CodeObject
    from aiterfix.gfx950.waves import Waves

Array: TypeAlias = Any
Fetch: TypeAlias = "Callable[[Waves], Array]"
Execute: TypeAlias = "Callable[[Waves], None]"


class Kind(Enum):
    """How an operand's bits are read: numpy type and width."""

    U16 = ("u2", 16)
    I16 = ("i2", 16)
    F16 = ("f2", 16)
    U32 = ("u4", 32)
    I32 = ("i4", 32)
    F32 = ("f4", 32)
    U64 = ("u8", 64)
    I64 = ("i8", 64)
    F64 = ("f8", 64)

    def __init__(self, code: str, bits: int) -> None:
        self.dtype: Any = np.dtype(code)
        self.bits = bits

    @property
    def is_float(self) -> bool:
        """True for floating point."""
        return bool(self.dtype.kind == "f")


_INLINE_FLOATS = {240: 0.5, 241: -0.5, 242: 1.0, 243: -1.0, 244: 2.0, 245: -2.0, 246: 4.0, 247: -4.0}
_INVERSE_CODE = 248
_INVERSE_TWO_PI = {16: 0x3118, 32: 0x3E22F983, 64: 0x3FC45F306DC9C882}
_FLOAT_FORMAT = {16: ("<e", "<H"), 32: ("<f", "<I"), 64: ("<d", "<Q")}
_SCALAR_REGISTERS = 128
_FIRST_TRAP_REGISTER = 108
VECTOR_BASE = _SCALAR_REGISTERS
"""Register numbers in ``reads`` and ``writes``: 0 to 127 scalar by operand code, then vector rows."""
SCC_REGISTER = -1
"""SCC in ``reads`` and ``writes``."""


def constant_bits(code: int, kind: Kind, literal: int | None) -> int | None:
    """The bits of an inline constant or literal read as ``kind``; None where the code names a register."""
    mask = (1 << kind.bits) - 1
    if 128 <= code <= 192:
        return code - 128
    if 193 <= code <= 208:
        return -(code - 192) & mask
    if code in _INLINE_FLOATS:
        pack, unpack = _FLOAT_FORMAT[kind.bits]
        bits: int = struct.unpack(unpack, struct.pack(pack, _INLINE_FLOATS[code]))[0]
        return bits
    if code == _INVERSE_CODE:
        return _INVERSE_TWO_PI[kind.bits]
    if code == LITERAL and literal is not None:
        if kind is Kind.F64:
            return literal << 32
        if kind is Kind.I64 and literal >> 31:
            return literal | 0xFFFF_FFFF << 32
        return literal & mask
    return None


@dataclass
class Bound:
    """An instruction ready to run.

    Attributes:
        execute: its effect on waves that all stand at it.
        reads, writes: registers (see ``VECTOR_BASE``), EXEC as a condition left out.
        steers: those of ``reads`` that decide an address, a branch or EXEC, whatever the data.
    """

    execute: Execute
    reads: frozenset[int]
    writes: frozenset[int]
    steers: frozenset[int]


class Binder:
    """Turns one instruction's operand fields into fetching functions.

    Args:
        instruction: what to bind.
        code: its kernel, for register counts, mode and source lines.
    """

    def __init__(self, instruction: Instruction, code: CodeObject) -> None:
        self.instruction = instruction
        self.code = code
        self.reads: set[int] = set()
        self.writes: set[int] = set()
        self.steers: set[int] = set()

    def refuse(self, reason: str) -> NoReturn:
        """Stop: something about this instruction is not modelled."""
        place = self.code.source_line(self.instruction.pc)
        raise UnmodelledInstructionError(self.instruction, reason, str(place) if place else "")

    def only_zero(self, *fields: str) -> None:
        """Refuse the instruction unless these modifier fields are 0."""
        for field in fields:
            if self.instruction.get(field):
                self.refuse(f"modifier {field} = {self.instruction.get(field)}")

    def bound(self, execute: Execute) -> Bound:
        """The finished record."""
        return Bound(execute, frozenset(self.reads), frozenset(self.writes), frozenset(self.steers))

    # Register numbers

    def row(self, code: int, accumulation: bool = False) -> int:
        """The row in ``Waves.vector`` of a vector operand code."""
        index = code - AGPR if code >= AGPR else code - VGPR
        if code >= AGPR or accumulation:
            if index >= self.code.agprs:
                self.refuse(f"accumulation register a{index}; the kernel has {self.code.agprs}")
            return self.code.vgprs + index
        if not 0 <= index < self.code.vgprs:
            self.refuse(f"vector register v{index}; the kernel has {self.code.vgprs}")
        return index

    def note_vector(self, row: int, count: int, into: set[int], steer: bool = False) -> None:
        """Note ``count`` vector registers from ``row`` in ``reads`` or ``writes``."""
        last = self.code.vgprs + self.code.agprs if row >= self.code.vgprs else self.code.vgprs
        if row + count > last:
            self.refuse("operand reaches past the kernel's registers")
        numbers = range(VECTOR_BASE + row, VECTOR_BASE + row + count)
        into.update(numbers)
        if steer:
            self.steers.update(numbers)

    def note_scalar(self, code: int, count: int, into: set[int], steer: bool = False) -> None:
        """Note ``count`` scalar registers from ``code`` in ``reads`` or ``writes``."""
        if code + count > _SCALAR_REGISTERS or (code <= MODE and code + count > _FIRST_TRAP_REGISTER):
            self.refuse(f"scalar operand {code} of {count} dwords")
        into.update(range(code, code + count))
        if steer:
            self.steers.update(range(code, code + count))

    # Sources

    def _constant(self, code: int, kind: Kind) -> Array | None:
        if kind in (Kind.U16, Kind.I16) and (code in _INLINE_FLOATS or code == _INVERSE_CODE):
            # LLVM (isInlineConstant): for integers of 16 bits these "appear to not work"; bfloat16 has its own.
            self.refuse("a floating-point constant as 16 bits that are no half")
        bits = constant_bits(code, kind, self.instruction.literal)
        if bits is None:
            return None
        return np.array([[bits]], f"u{kind.bits // 8}").view(kind.dtype)

    def scalar_source(self, code: int, kind: Kind, steer: bool = False) -> Fetch:
        """A scalar operand as ``(n,)`` (or ``(1,)`` for a constant)."""
        constant = self._constant(code, kind)
        if constant is not None:
            value = constant[0]
            return lambda g: value
        dtype = kind.dtype
        if code in (SCC, VCCZ, EXECZ):
            bits = f"u{kind.bits // 8}"  # the integer 0 or 1, whatever the operand's type
            if code == SCC:
                self.reads.add(SCC_REGISTER)
                return lambda g: g.scc.astype(bits).view(dtype)
            pair = VCC if code == VCCZ else EXEC
            self.note_scalar(pair, 2, self.reads, steer)
            return lambda g: (g.pairs64[pair >> 1] == 0).astype(bits).view(dtype)
        if code >= _SCALAR_REGISTERS:
            self.refuse(f"scalar operand code {code}")
        self.note_scalar(code, 2 if kind.bits == 64 else 1, self.reads, steer)
        if kind.bits == 64:
            if code & 1:
                self.refuse(f"64-bit scalar operand at odd register {code}")
            pair = code >> 1
            return (lambda g: g.pairs64[pair]) if kind is Kind.U64 else lambda g: g.pairs64[pair].view(dtype)
        if kind is Kind.U32:
            return lambda g: g.scalar[code]
        if kind.bits == 16:
            return lambda g: g.scalar[code].astype(np.uint16).view(dtype)
        return lambda g: g.scalar[code].view(dtype)

    def vector_source(self, code: int, kind: Kind, steer: bool = False, high_half: bool = False) -> Fetch:
        """A vector ALU operand as an array that broadcasts to ``(n, 64)``, denormals as the mode has them."""
        if code < VGPR:
            if high_half:
                self.refuse("the high half of a scalar or constant")
            constant = self._constant(code, kind)
            if constant is not None:
                return self.flushed(lambda g: constant, kind)
            scalar = self.scalar_source(code, kind, steer)
            return self.flushed(lambda g: scalar(g)[:, np.newaxis], kind)
        row = self.row(code)
        self.note_vector(row, 2 if kind.bits == 64 else 1, self.reads, steer)
        return self.flushed(_vector_fetch(row, kind, high_half), kind)

    def flushed(self, fetch: Fetch, kind: Kind) -> Fetch:
        """A source whose denormals are zeros where the mode says so."""
        mode = self.code.descriptor.mode
        width_mode = mode.denormals_32 if kind is Kind.F32 else mode.denormals_16_64
        if not kind.is_float or width_mode in (Denormals.KEEP, Denormals.FLUSH_RESULTS):
            return fetch
        return lambda g: flush_denormals(fetch(g))

    # Results

    def scalar_result(self, code: int, bits: int = 32) -> Callable[[Waves, Array], None]:
        """A function that writes ``(n,)`` values of ``bits`` width to a scalar register."""
        self.note_scalar(code, bits // 32, self.writes)
        touches_exec = code <= EXEC + 1 < code + 2 or code in (EXEC, EXEC + 1)
        if bits == 64:
            if code & 1:
                self.refuse(f"64-bit scalar result at odd register {code}")
            pair = code >> 1
            if touches_exec:

                def write_exec(g: Waves, value: Array) -> None:
                    g.pairs64[pair] = value.view(np.uint64)
                    g.exec_changed()

                return write_exec

            def write_pair(g: Waves, value: Array) -> None:
                g.pairs64[pair] = value.view(np.uint64)

            return write_pair
        if touches_exec:

            def write_exec_half(g: Waves, value: Array) -> None:
                g.scalar[code][...] = value.view(np.uint32)
                g.exec_changed()

            return write_exec_half

        def write(g: Waves, value: Array) -> None:
            g.scalar[code][...] = value.view(np.uint32)

        return write

    def mask_result(self, code: int) -> Callable[[Waves, Array], None]:
        """A function that writes ``(n, 64)`` bools as a lane mask, inactive lanes as 0."""
        write_bits = self.scalar_result(code, 64)

        def write(g: Waves, lanes: Array) -> None:
            value = bits_from_bools(np.broadcast_to(lanes, (g.count, 64)))
            if g.lanes is not None:
                value &= g.pairs64[EXEC >> 1]
            write_bits(g, value)

        return write

    def mask_source(self, code: int) -> Fetch:
        """A lane mask operand as ``(n, 64)`` uint32, all ones where the bit is set."""
        fetch = self.scalar_source(code, Kind.U64)
        return lambda g: masks_from_bits(fetch(g))


def _vector_fetch(row: int, kind: Kind, high_half: bool) -> Fetch:
    if kind.bits == 16:
        half, dtype = int(high_half), kind.dtype
        return lambda g: g.vector[row].view(dtype)[:, half::2]
    if kind is Kind.U32:
        return lambda g: g.vector[row]
    if kind is Kind.I32:
        return lambda g: g.vector_i32[row]
    if kind is Kind.F32:
        return lambda g: g.vector_f32[row]
    dtype = kind.dtype
    return lambda g: joined(g, row).view(dtype)


def rows_of(g: Waves, row: int, count: int) -> Array:
    """``count`` registers from ``row`` on as ``(n, 64, count)``, contiguous."""
    if count == 1:
        return g.vector[row][..., np.newaxis]
    values = np.empty((*g.vector.shape[1:], count), np.uint32)
    for k in range(count):
        values[..., k] = g.vector[row + k]
    return values


def joined(g: Waves, row: int) -> Array:
    """Registers ``row`` and ``row + 1`` as ``(n, 64)`` uint64."""
    return rows_of(g, row, 2).view(np.uint64)[:, :, 0]


def write_vector(g: Waves, row: int, values: Array) -> None:
    """Write ``(n, 64)`` uint32 to a vector register under EXEC."""
    target = g.vector[row]
    if g.lanes is None:
        target[...] = values
    else:
        target ^= (target ^ values) & g.lanes


def write_vectors(g: Waves, row: int, values: Array) -> None:
    """Write ``(n, 64, registers)`` uint32 to vector registers from ``row`` on under EXEC."""
    if g.lanes is None:
        g.vector[row : row + values.shape[2]] = values.transpose(2, 0, 1)
        return
    for k in range(values.shape[2]):
        write_vector(g, row + k, values[..., k])


def write_half(g: Waves, row: int, values: Array, sign: int, high: bool) -> None:
    """Write ``(n, 64, 1)`` to half a vector register under EXEC, extended from ``sign`` bits where that is not 0."""
    value = values[..., 0]
    if sign:
        value = value.astype(np.int8).astype(np.int16).astype(np.uint16).astype(np.uint32)
    old = g.vector[row]
    write_vector(g, row, old & 0xFFFF | value << 16 if high else old & 0xFFFF_0000 | value)


def signed(values: Array, bits: int) -> Array:
    """Dwords whose lowest bits are a signed number of that width, extended; as they are where the width is 0."""
    return values.astype(f"i{bits // 8}").astype(np.int32).view(np.uint32) if bits else values


def write_vector64(g: Waves, row: int, values: Array) -> None:
    """Write ``(n, 64)`` 64-bit values to registers ``row`` and ``row + 1`` under EXEC."""
    shape = g.vector.shape[1:]
    halves = np.ascontiguousarray(np.broadcast_to(values, shape)).view(np.uint32).reshape(*shape, 2)
    write_vector(g, row, halves[:, :, 0])
    write_vector(g, row + 1, halves[:, :, 1])
