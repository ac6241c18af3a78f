"""Matrix instructions: MFMA (ISA manual, chapter 7).

Operand layout. ``A`` is M x K, ``B`` is K x N, of one block or of several that are multiplied apart. Lane ``l`` holds
row ``l % M`` of ``A`` (column ``l % N`` of ``B``) of block ``l // M % blocks`` and ``K * M * blocks / 64`` values of k.
Which ones plays no part where ``A`` and ``B`` are laid out alike: the order in which k is summed is free. Else, and
where they are scaled, ``matrix_formats`` has it. ``D`` and ``C``: lane ``l`` holds column ``l % N``. Four rows at a
time, all blocks' one after the other, lie in four registers, of as many groups of N lanes as there are, then in the
next four: row ``4 * (l // 16) + r`` of a 16 x 16 result is in register ``r``. Doubles lie row by row, the same row of
all blocks first (AMD's matrix instruction calculator has every layout). Of several blocks, one of A may stand for its
neighbours, and B's lanes for each other.

Products of 8- and 16-bit floats are exact in single precision; sums are taken by BLAS in single precision, in an
order that may differ from the hardware's (ISA manual: the order is not specified). Scaled and mixed products and those
of several blocks are summed in double precision and rounded once, those of doubles by BLAS in double precision; integer
ones are exact and wrap. NaN and infinity propagate as in IEEE arithmetic. EXEC plays no part.

Converted operands are kept until a register under them is written (``Waves.versions`` tells): a kernel multiplies
the same registers many times.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950 import matrix_formats
from aiterfix.gfx950.instruction import AGPR, VGPR
from aiterfix.gfx950.numerics import fp8_pair_table
from aiterfix.gfx950.operands import Binder, Bound, Execute, Fetch, Kind, constant_bits
from aiterfix.gfx950.workspace import borrow, temporary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiterfix.gfx950.waves import Waves

NAME = "matrix"


@dataclass(frozen=True)
class MatrixOperation:
    """Shape and element formats of one instruction.

    Attributes:
        size: M and N.
        depth: K.
        a, b: element format, a key of ``matrix_formats.BITS``.
        scaled: each has scales.
        blocks: products of that size done at once.
    """

    size: int
    depth: int
    a: str
    b: str
    scaled: bool = False
    blocks: int = 1

    @property
    def elements_per_lane(self) -> int:
        """Values of k that a lane holds."""
        return self.depth * self.size * self.blocks // 64

    def registers(self, fmt: str) -> int:
        """Registers of an operand."""
        return self.elements_per_lane * matrix_formats.BITS[fmt] // 32

    @property
    def result(self) -> Kind:
        """What each number of C and D is."""
        return {"i8": Kind.I32, "f64": Kind.F64}.get(self.a, Kind.F32)

    @property
    def results(self) -> int:
        """Registers of C and D."""
        return self.size * self.size * self.blocks // 64 * (self.result.bits // 32)

    @property
    def any_order(self) -> bool:
        """Is the order of k free, so that operands may stay as they lie?"""
        return not self.scaled and self.blocks == 1 and self.a not in _ORDERED and self.b not in _ORDERED


_ORDERED = ("i8", "fp6", "bf6", "fp4", "f64")


_EIGHT_BIT = [("fp8", "fp8"), ("fp8", "bf8"), ("bf8", "fp8"), ("bf8", "bf8")]
OPERATIONS: dict[str, MatrixOperation] = {
    **{f"v_mfma_f32_16x16x32_{a}_{b}": MatrixOperation(16, 32, a, b) for a, b in _EIGHT_BIT},
    **{f"v_mfma_f32_32x32x16_{a}_{b}": MatrixOperation(32, 16, a, b) for a, b in _EIGHT_BIT},
    **{
        f"v_mfma_f32_{size}x{size}x{depth}_{fmt}": MatrixOperation(size, depth, fmt, fmt)
        for size, depth in ((16, 16), (16, 32), (32, 8), (32, 16))
        for fmt in ("f16", "bf16")
    },
    **{f"v_mfma_f32_{n}x{n}x{k}_f32": MatrixOperation(n, k, "f32", "f32") for n, k in ((16, 4), (32, 2))},
    **{
        f"v_mfma_i32_{n}x{n}x{k}_i8": MatrixOperation(n, k, "i8", "i8")
        for n, k in ((16, 32), (16, 64), (32, 16), (32, 32))
    },
    **{
        f"v_mfma_{'i' if fmt == 'i8' else 'f'}32_{n}x{n}x{k}_{blocks}b_{fmt}": MatrixOperation(
            n, k, fmt, fmt, blocks=blocks
        )
        for n, blocks in ((4, 16), (16, 4), (32, 2))
        for fmt, k in (("f32", 1), ("f16", 4), ("bf16", 4), ("i8", 4))
    },
    "v_mfma_f64_16x16x4_f64": MatrixOperation(16, 4, "f64", "f64"),
    "v_mfma_f64_4x4x4_4b_f64": MatrixOperation(4, 4, "f64", "f64", blocks=4),
}
_F8F6F4 = {
    f"v_mfma_{scale}f32_{shape}_f8f6f4": MatrixOperation(size, depth, "", "", bool(scale))
    for scale in ("", "scale_")
    for shape, size, depth in (("16x16x128", 16, 128), ("32x32x64", 32, 64))
}
_FORMATS = {0: "fp8", 1: "bf8", 2: "fp6", 3: "bf6", 4: "fp4"}
"""Formats that these instructions have in a field each."""
NAMES = frozenset({*OPERATIONS, *_F8F6F4})


def operation_of(binder: Binder) -> MatrixOperation:
    """Shape and formats of a matrix instruction."""
    instruction = binder.instruction
    if instruction.mnemonic in _F8F6F4:
        if instruction["cbsz"] not in _FORMATS or instruction["blgp"] not in _FORMATS:
            binder.refuse("a format that is none")
        op = replace(_F8F6F4[instruction.mnemonic], a=_FORMATS[instruction["cbsz"]], b=_FORMATS[instruction["blgp"]])
        if not op.scaled:
            binder.only_zero("abid")
        return op
    op = OPERATIONS[instruction.mnemonic]
    if op.result is Kind.F64:
        binder.only_zero("cbsz", "abid")  # the third field holds signs here
    elif op.blocks == 1:
        binder.only_zero("cbsz", "abid", "blgp")
    elif 1 << instruction["cbsz"] > op.blocks or instruction["abid"] >> instruction["cbsz"]:
        binder.refuse("a block to broadcast that there is not")
    return op


@dataclass(frozen=True)
class Matrices:
    """Where one matrix instruction finds its operands.

    Attributes:
        op: shape and formats.
        a, b: rows of the operands' registers, in order.
        addend: first row of C, or None.
        constant: C where it is the same everywhere.
        target: first row of D.
    """

    op: MatrixOperation
    a: tuple[int, ...]
    b: tuple[int, ...]
    addend: int | None
    constant: float
    target: int


def matrices(binder: Binder) -> Matrices:
    """The operands of a matrix instruction; notes what it reads and writes."""
    instruction = binder.instruction
    op = operation_of(binder)
    rows = []
    for field, fmt, bit in (("src0", op.a, 0), ("src1", op.b, 1)):
        code = instruction[field]
        if code < VGPR or code >= AGPR:
            binder.refuse("a matrix operand that is no vector register")
        first, count = binder.row(code, bool(instruction["acc"] >> bit & 1)), op.registers(fmt)
        binder.note_vector(first, count, binder.reads)
        rows.append(tuple(range(first, first + count)))
    code = instruction["src2"]
    accumulation = bool(instruction["acc_cd"])
    addend, constant = None, 0.0
    if code >= VGPR:
        addend = binder.row(code, accumulation)
        binder.note_vector(addend, op.results, binder.reads)
    else:
        bits = constant_bits(code, op.result, None)
        if bits is None:
            binder.refuse("a scalar register as addend")
        constant = float(np.array(bits, f"u{op.result.bits // 8}").view(op.result.dtype))
    target = binder.row(instruction["vdst"], accumulation)
    binder.note_vector(target, op.results, binder.writes)
    return Matrices(op, rows[0], rows[1], addend, constant, target)


def bind(binder: Binder) -> Bound:
    """Bind a matrix instruction."""
    operands = matrices(binder)
    return binder.bound(executor([operands]) if operands.op.any_order else _ordered(binder, operands))


_LANES = np.arange(64)
_LANE_GROUPS = [_LANES, _LANES % 32, _LANES % 32 + 32, (_LANES + 16) % 64, *(_LANES % 16 + 16 * k for k in range(4))]
"""The lane that stands for each lane of B, by the field (AMD's matrix instruction calculator)."""


def _ordered(binder: Binder, operands: Matrices) -> Execute:
    """A product whose operands must be brought into the order of k: scaled, mixed, of blocks, integers or doubles."""
    op, instruction = operands.op, binder.instruction
    size, depth, blocks, dtype = op.size, op.depth, op.blocks, op.result.dtype
    exponents: list[Fetch | None] = [None, None]
    if op.scaled:
        for number in range(2):
            fetch = binder.vector_source(instruction[f"scale_src{number}"], Kind.U32)
            byte = (instruction["opsel"] >> number & 1) + 2 * (instruction["opsel_hi"] >> number & 1)
            exponents[number] = _byte(fetch, byte)
    doubles = op.result is Kind.F64
    negative = instruction["blgp"] if doubles else 0  # A's, B's and C's sign (AMD's matrix instruction calculator)
    together = 1 if doubles else 4  # rows that lie in registers side by side
    lanes = slice(None) if blocks == 1 or doubles else _LANE_GROUPS[instruction["blgp"]]
    spread = instruction["cbsz"] if blocks > 1 else 0
    source = (np.arange(blocks) >> spread << spread) + (instruction["abid"] if spread else 0)

    def operand(g: Waves, rows: tuple[int, ...], fmt: str, exponent: Fetch | None, lanes: Any = slice(None)) -> Any:
        packed = np.stack([g.vector[row][:, lanes] for row in rows], axis=-1)
        values = matrix_formats.values(packed, fmt, size, depth, blocks)
        return values if exponent is None else values * matrix_formats.scales(exponent(g), size)

    def execute(g: Waves) -> None:
        left = operand(g, operands.a, op.a, exponents[0])
        right = operand(g, operands.b, op.b, exponents[1], lanes)
        if spread:
            left = left[:, source]
        product = np.matmul(-left if negative & 1 else left, (-right if negative & 2 else right).swapaxes(2, 3))
        if doubles:
            product = product.swapaxes(1, 2)
        # To (chunk of rows, row in it, wave, lane group, column): see the docstring above.
        split = product.reshape(g.count, -1, 64 // size, together, size).transpose(1, 3, 0, 2, 4)
        total = split.reshape(-1, g.count, 64)
        out = g.vector[operands.target : operands.target + op.results]
        addend: Any = operands.constant
        if operands.addend is not None:
            addend = g.vector[operands.addend : operands.addend + op.results]
            addend = _doubles(addend) if doubles else addend.view(dtype).astype(np.float64)
        wide = total - addend if negative & 4 else total + addend
        if doubles:
            out[0::2], out[1::2] = np.moveaxis(wide.view(np.uint32).reshape(*wide.shape, 2), -1, 0)
            return
        # Integer sums stay far below 2^53, so that they are exact before they wrap.
        out.view(dtype)[...] = wide.astype(np.int64).astype(np.int32) if dtype.kind == "i" else wide

    return execute


def _doubles(registers: Any) -> Any:
    """``(2 n, waves, 64)`` registers as ``(n, waves, 64)`` doubles."""
    return np.ascontiguousarray(np.stack([registers[0::2], registers[1::2]], axis=-1)).view(np.float64)[..., 0]


def _byte(fetch: Fetch, number: int) -> Fetch:
    return lambda g: np.broadcast_to(fetch(g), (g.count, 64)) >> np.uint32(8 * number) & np.uint32(0xFF)


def executor(chain: Sequence[Matrices]) -> Execute:
    """The effect of instructions each of which adds to the result of the one before: the last one's result.

    One product over all their k together takes half the time of a product each.
    """
    op, first, results = chain[0].op, chain[0], chain[0].op.results
    target = chain[-1].target
    size, depth = op.size, op.depth * len(chain)
    a = _operand(tuple(row for link in chain for row in link.a), op.a, size, depth)
    b = _operand(tuple(row for link in chain for row in link.b), op.b, size, depth)
    addend, constant = first.addend, np.float32(first.constant)
    groups, per_wave = 64 // size, (results // 4, 4)

    def execute(g: Waves) -> None:
        left, right = a(g), b(g)
        team = g.team
        # Where all waves of a workgroup multiply by the same matrix, one wider product does for all of them.
        wide = len(right) // len(left)
        tall = len(left) // len(right)
        right = right.reshape(len(left), wide * size, depth) if wide > 1 else right
        left = left.reshape(len(right), tall * size, depth) if tall > 1 else left
        product = temporary("matrix product", (len(left), max(tall, 1) * size, max(wide, 1) * size), np.float32)
        np.matmul(left, right.swapaxes(1, 2), out=product)
        # To (r // 4, r % 4, workgroup, wave, l // N, column): the split of the row in the docstring above.
        teams = g.count // team
        if wide > 1:
            split = product.reshape(teams, results // 4, groups, 4, team, size).transpose(1, 3, 0, 4, 2, 5)
        else:
            waves = len(product) * max(tall, 1) // teams
            split = product.reshape(teams, waves, results // 4, groups, 4, size).transpose(2, 4, 0, 1, 3, 5)
        out = g.vector_f32[target : target + results].reshape(*per_wave, teams, team, groups, size)
        if addend is not None:
            np.add(split, g.vector_f32[addend : addend + results].reshape(out.shape), out=out)
        else:
            np.add(split, constant, out=out)  # adding 0 turns -0 into 0, as the hardware's sum with C = 0 does

    return execute


def _operand(rows: tuple[int, ...], fmt: str, size: int, depth: int) -> Fetch:
    """Fetches ``(waves, size, K)``, or ``(workgroups, size, K)`` where the waves of each workgroup hold the same."""
    key = (rows, fmt, size)

    def fetch(g: Waves) -> Any:
        versions = [g.versions[row] for row in rows]
        kept = g.conversions.get(key)
        if kept is not None and kept[0] == versions:
            return kept[1]
        step = g.team if _shared_by_workgroups(g, rows) else 1
        shape = (g.count // step, size, depth)
        if kept is None or kept[1].shape != shape:
            kept = g.conversions[key] = [versions, borrow(shape, np.float32)]
        kept[0] = versions
        _convert(g, rows, fmt, kept[1], step)
        return kept[1]

    return fetch


def _shared_by_workgroups(g: Waves, rows: tuple[int, ...]) -> bool:
    """Do all waves of each workgroup hold the same in these registers?"""
    team = g.team
    few = g.vector[rows[0], :team]
    if team == 1 or not (few == few[0]).all():  # most that do not, do not in the first workgroup
        return False
    for row in rows:
        values = g.vector[row].reshape(-1, team, 64)
        if not (values[:, 1:] == values[:, :1]).all():
            return False
    return True


@lru_cache(64)
def _by_rows(count: int, size: int) -> Any:
    """Number of the lane, counted through, that holds each k group of each row of each matrix."""
    lanes = np.arange(count * 64).reshape(count, 64 // size, size)
    return np.ascontiguousarray(lanes.swapaxes(1, 2)).reshape(-1)


def _convert(g: Waves, rows: tuple[int, ...], fmt: str, out: Any, step: int) -> None:
    """Every ``step``-th wave's operand as singles; k in any order, the same one for every format of one width."""
    count, size, depth = out.shape
    # (register, wave, k group, row) to (wave, k group, row, register), and that to (wave, row, k group, register): two
    # moves that NumPy does well take half the time of one.
    together = temporary("matrix lanes", (count * 64, len(rows)), np.uint32)
    for number, row in enumerate(rows):
        together[:, number].reshape(count, 64)[...] = g.vector[row, ::step]
    packed = temporary("matrix operand", together.shape, np.uint32)
    whole = np.dtype(("V", 4 * len(rows)))
    together.view(whole)[:, 0].take(_by_rows(count, size), out=packed.view(whole)[:, 0], mode="clip")
    if fmt in ("fp8", "bf8"):
        table = fp8_pair_table("e4m3fn" if fmt == "fp8" else "e5m2")
        pairs = packed.view(np.uint16).reshape(count, size, depth // 2)
        table.take(pairs, mode="clip", out=out.view(np.complex64))
        return
    if fmt == "f32":
        out[...] = packed.view(np.float32).reshape(count, size, depth)
        return
    halves = packed.view(np.uint16).reshape(count, size, depth)
    if fmt == "f16":
        out[...] = halves.view(np.float16)
    else:
        np.left_shift(halves, np.uint32(16), out=out.view(np.uint32), dtype=np.uint32)
