"""Matrix instructions: MFMA (ISA manual, chapter 7).

Operand layout. ``A`` is M x K, ``B`` is K x N, one block. Lane ``l`` holds row ``l % M`` of ``A`` (column ``l % N`` of
``B``) and the ``K / (64 / M)`` consecutive values of k that start at ``(l // M) * K / (64 / M)``, lowest k in the
lowest bits. ``A`` and ``B`` are laid out alike, so the order in which k is summed is free. ``D`` and ``C``: lane ``l``
holds column ``l % N``; register ``r`` of a 16 x 16 result is row ``4 * (l // 16) + r``, of a 32 x 32 result row
``8 * (r // 4) + 4 * (l // 32) + r % 4``.

Products of 8- and 16-bit floats are exact in single precision; sums are taken by BLAS in single precision, in an
order that may differ from the hardware's (ISA manual: the order is not specified). NaN and infinity propagate as in
IEEE arithmetic. EXEC plays no part.

Converted operands are kept until a register under them is written (``Program`` drops them): a kernel multiplies the
same registers many times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950.instruction import AGPR, VGPR
from aiterfix.gfx950.numerics import fp8_pair_table
from aiterfix.gfx950.operands import Binder, Bound, Kind, constant_bits
from aiterfix.gfx950.workspace import temporary

if TYPE_CHECKING:
    from aiterfix.gfx950.waves import Waves

NAME = "matrix"


@dataclass(frozen=True)
class MatrixOperation:
    """Shape and element formats of one instruction.

    Attributes:
        size: M and N.
        depth: K.
        a, b: element format: ``fp8``, ``bf8``, ``f16``, ``bf16``.
    """

    size: int
    depth: int
    a: str
    b: str

    @property
    def elements_per_lane(self) -> int:
        """Values of k that a lane holds."""
        return self.depth * self.size // 64

    def registers(self, fmt: str) -> int:
        """Registers of an operand."""
        return self.elements_per_lane * (1 if fmt in ("fp8", "bf8") else 2) // 4


_EIGHT_BIT = [("fp8", "fp8"), ("fp8", "bf8"), ("bf8", "fp8"), ("bf8", "bf8")]
OPERATIONS: dict[str, MatrixOperation] = {
    **{f"v_mfma_f32_16x16x32_{a}_{b}": MatrixOperation(16, 32, a, b) for a, b in _EIGHT_BIT},
    **{f"v_mfma_f32_32x32x16_{a}_{b}": MatrixOperation(32, 16, a, b) for a, b in _EIGHT_BIT},
    **{
        f"v_mfma_f32_{size}x{size}x{depth}_{fmt}": MatrixOperation(size, depth, fmt, fmt)
        for size, depth in ((16, 16), (16, 32), (32, 8), (32, 16))
        for fmt in ("f16", "bf16")
    },
}
_F8F6F4 = {"v_mfma_f32_16x16x128_f8f6f4": (16, 128), "v_mfma_f32_32x32x64_f8f6f4": (32, 64)}
"""Formats are in the instruction: modelled for the two 8-bit ones."""
NAMES = frozenset({*OPERATIONS, *_F8F6F4})


def _operation(binder: Binder) -> MatrixOperation:
    instruction = binder.instruction
    if instruction.mnemonic in _F8F6F4:
        formats = {0: "fp8", 1: "bf8"}
        if instruction["cbsz"] not in formats or instruction["blgp"] not in formats:
            binder.refuse("a 6- or 4-bit format")
        size, depth = _F8F6F4[instruction.mnemonic]
        binder.only_zero("abid")
        return MatrixOperation(size, depth, formats[instruction["cbsz"]], formats[instruction["blgp"]])
    binder.only_zero("cbsz", "abid", "blgp")
    return OPERATIONS[instruction.mnemonic]


def conversion_keys(binder: Binder) -> list[tuple[int, int, str, int]]:
    """What the instruction keeps converted: first row, rows, format, rows of the matrix."""
    op, instruction = _operation(binder), binder.instruction
    return [
        (binder.row(instruction[field], bool(instruction["acc"] >> bit & 1)), op.registers(fmt), fmt, op.size)
        for field, fmt, bit in (("src0", op.a, 0), ("src1", op.b, 1))
    ]


def bind(binder: Binder) -> Bound:
    """Bind a matrix instruction."""
    instruction = binder.instruction
    op = _operation(binder)
    accumulation = instruction["acc"]
    a = _operand(binder, "src0", op, op.a, bool(accumulation & 1))
    b = _operand(binder, "src1", op, op.b, bool(accumulation & 2))
    results = op.size * op.size // 64
    target = binder.row(instruction["vdst"], bool(instruction["acc_cd"]))
    code = instruction["src2"]
    addend: Any = None
    constant: Any = None
    if code >= VGPR:
        addend = binder.row(code, bool(instruction["acc_cd"]))
        binder.note_vector(addend, results, binder.reads)
    else:
        bits = constant_bits(code, Kind.F32, None)
        if bits is None:
            binder.refuse("a scalar register as addend")
        constant = np.uint32(bits).view(np.float32) if bits else None
    binder.note_vector(target, results, binder.writes)
    size = op.size

    def execute(g: Waves) -> None:
        product = temporary("matrix product", (g.count, size, size), np.float32)
        np.matmul(a(g), b(g).swapaxes(1, 2), out=product)
        # (waves, row, column) to registers, by the split of the row that the module's docstring gives.
        split = product.reshape(g.count, results // 4, 64 // size, 4, size).transpose(1, 3, 0, 2, 4)
        out = g.vector_f32[target : target + results].reshape(results // 4, 4, g.count, 64 // size, size)
        if addend is not None:
            shape = out.shape
            np.add(split, g.vector_f32[addend : addend + results].reshape(shape), out=out)
        elif constant is not None:
            np.add(split, constant, out=out)
        else:
            out[...] = split

    return binder.bound(execute)


def _operand(binder: Binder, field: str, op: MatrixOperation, fmt: str, accumulation: bool) -> Any:
    code = binder.instruction[field]
    if code < VGPR or code >= AGPR:
        binder.refuse("a matrix operand that is no vector register")
    row, count = binder.row(code, accumulation), op.registers(fmt)
    binder.note_vector(row, count, binder.reads)
    key = (row, count, fmt, op.size)

    def fetch(g: Waves) -> Any:
        kept = g.conversions.get(key)
        if kept is None:
            kept = g.conversions[key] = np.empty((g.count, op.size, op.depth), np.float32)
        elif key not in g.stale:
            return kept
        g.stale.discard(key)
        _convert(g, row, count, fmt, kept)
        return kept

    return fetch


def _convert(g: Waves, row: int, count: int, fmt: str, out: Any) -> None:
    """An operand as ``(waves, size, K)`` singles; k in any order, the same one for every format of one width."""
    _, size, depth = out.shape
    # (register, wave, k group, row) to (wave, row, k group, register): moved as whole registers.
    raw = g.vector[row : row + count].reshape(count, g.count, 64 // size, size)
    packed = temporary("matrix operand", (g.count, size, 64 // size, count), np.uint32)
    packed[...] = raw.transpose(1, 3, 2, 0)
    if fmt in ("fp8", "bf8"):
        table = fp8_pair_table("e4m3fn" if fmt == "fp8" else "e5m2")
        pairs = packed.view(np.uint16).reshape(g.count, size, depth // 2)
        table.take(pairs, mode="clip", out=out.view(np.complex64))
        return
    halves = packed.view(np.uint16).reshape(g.count, size, depth)
    if fmt == "f16":
        out[...] = halves.view(np.float16)
    else:
        np.left_shift(halves, np.uint32(16), out=out.view(np.uint32), dtype=np.uint32)
