"""Matrix instructions against a plain triple loop over the layouts that the ISA manual draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.emulator import RUNS_HERE, WHY_NOT

if not RUNS_HERE:
    pytest.skip(WHY_NOT, allow_module_level=True)

from tinygrad.renderer.amd.dsl import v
from tinygrad.runtime.autogen.amd.cdna import ins
from tinygrad.runtime.autogen.amd.cdna.enum import VOP1Op, VOP3POp, VOP3PX2Op

from aiterfix.gfx950 import mfma
from aiterfix.gfx950.instruction import UnmodelledInstructionError
from aiterfix.gfx950.numerics import fp8_table
from tests.gfx950.lane_machine import assemble
from tests.gfx950.single import code_of, execute, new_waves, set_exec

RNG = np.random.default_rng(11)


def e4m3fn(code: int) -> float:
    """An OCP fp8 value, written out again from the specification."""
    sign = -1.0 if code & 0x80 else 1.0
    exponent, mantissa = code >> 3 & 15, code & 7
    if exponent == 15 and mantissa == 7:
        return float("nan")
    return sign * (mantissa / 8 * 2.0**-6 if exponent == 0 else (1 + mantissa / 8) * 2.0 ** (exponent - 7))


def e5m2(code: int) -> float:
    """An OCP bf8 value: the upper half of a half."""
    return float(np.array([code << 8], np.uint16).view(np.float16)[0])


def test_tables() -> None:
    for code in range(256):
        for table, reference in (("e4m3fn", e4m3fn), ("e5m2", e5m2)):
            got, want = float(fp8_table(table)[code]), reference(code)
            assert got == want or (got != got and want != want), (table, code)
    assert fp8_table("e4m3fn")[0x7E] == 448


def _element(data: bytes, k: int, fmt: str) -> float:
    if fmt in ("fp8", "bf8"):
        return (e4m3fn if fmt == "fp8" else e5m2)(data[k])
    if fmt == "f32":
        return float(np.frombuffer(data[4 * k : 4 * k + 4], np.float32)[0])
    half = np.frombuffer(data[2 * k : 2 * k + 2], np.uint16)
    if fmt == "f16":
        return float(half.view(np.float16)[0])
    return float((half.astype(np.uint32) << 16).view(np.float32)[0])


def _registers(name: str) -> tuple[Any, mfma.MatrixOperation]:
    return VOP3POp[name.upper()], mfma.OPERATIONS[name]


@pytest.mark.parametrize("name", sorted(n for n, op in mfma.OPERATIONS.items() if op.any_order))
@pytest.mark.parametrize("in_place", [False, True])
def test_layout(name: str, in_place: bool) -> None:
    opcode, op = _registers(name)
    size, depth, results = op.size, op.depth, op.size * op.size // 64
    groups, per_lane = 64 // size, op.elements_per_lane
    waves = new_waves(code_of(b""), 2)
    waves.vector[:] = RNG.integers(0, 1 << 32, waves.vector.shape, dtype=np.uint32)
    for first, fmt in ((0, op.a), (8, op.b)):
        count = op.registers(fmt)
        if fmt in ("f16", "bf16"):
            values = RNG.standard_normal((count, 2, 64, 2)).astype(np.float32)
            raw = values.astype(np.float16).view(np.uint16) if fmt == "f16" else (values.view(np.uint32) >> 16)
            waves.vector[first : first + count] = raw.astype(np.uint16).view(np.uint32)[..., 0]
        elif fmt == "f32":
            waves.vector_f32[first : first + count] = RNG.standard_normal((count, 2, 64))
        else:
            waves.vector[first : first + count] &= 0xBFBFBFBF if fmt == "fp8" else 0xB7B7B7B7
    waves.vector_f32[16 : 16 + results] = RNG.standard_normal((results, 2, 64)).astype(np.float32)
    addend = waves.vector_f32[16 : 16 + results].copy()
    a_count, b_count = op.registers(op.a), op.registers(op.b)
    a_raw = np.ascontiguousarray(waves.vector[0:a_count].transpose(1, 2, 0))
    b_raw = np.ascontiguousarray(waves.vector[8 : 8 + b_count].transpose(1, 2, 0))
    target = 16 if in_place else 40
    set_exec(waves, 0x1)  # plays no part
    if not in_place and results == 16:
        target = 32
    execute(
        ins.VOP3P_MFMA(
            opcode,
            v[target : target + results - 1],
            v[0 : a_count - 1] if a_count > 1 else v[0],
            v[8 : 8 + b_count - 1] if b_count > 1 else v[8],
            v[16 : 16 + results - 1],
        ),
        waves,
    )
    for wave in range(2):
        a = np.zeros((size, depth))
        b = np.zeros((depth, size))
        for lane in range(64):
            for k in range(per_lane):
                a[lane % size, lane // size * per_lane + k] = _element(a_raw[wave, lane].tobytes(), k, op.a)
                b[lane // size * per_lane + k, lane % size] = _element(b_raw[wave, lane].tobytes(), k, op.b)
        product = a @ b
        for lane in range(64):
            for register in range(results):
                row = (
                    8 * (register // 4) + 4 * (lane // size) + register % 4
                    if groups == 2
                    else 4 * (lane // 16) + register
                )
                want = product[row, lane % size] + addend[register, wave, lane]
                got = waves.vector_f32[target + register][wave, lane]
                assert abs(got - want) <= 1e-5 * max(1.0, float(np.abs(a[row]) @ np.abs(b[:, lane % size]))), (
                    lane,
                    register,
                )


FORMATS = {"fp8": 0, "bf8": 1, "fp6": 2, "bf6": 3, "fp4": 4}
_SMALL = {"fp6": (2, 3, 1), "bf6": (3, 2, 3), "fp4": (2, 1, 1)}


def _decoded(data: bytes, place: int, fmt: str) -> float:
    """The ``place``-th value of a lane's registers, bit by bit."""
    if fmt in ("fp8", "bf8"):
        return _element(data, place, fmt)
    exponent_bits, mantissa_bits, bias = _SMALL[fmt]
    width = 1 + exponent_bits + mantissa_bits
    code = int.from_bytes(data, "little") >> place * width & (1 << width) - 1
    mantissa, exponent = code % (1 << mantissa_bits), code >> mantissa_bits & (1 << exponent_bits) - 1
    size = (mantissa if exponent == 0 else mantissa + (1 << mantissa_bits)) * 2.0 ** (
        max(exponent, 1) - bias - mantissa_bits
    )
    return -size if code >> (width - 1) else size


def _k(place: int, group: int, fmt: str, depth: int) -> int:
    """8-bit operands hold k in two halves, the others 32 in a row."""
    if fmt in ("fp8", "bf8"):
        return place // 16 * (depth // 2) + 16 * group + place % 16
    return 32 * group + place


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(("size", "depth"), [(16, 128), (32, 64)])
@pytest.mark.parametrize(
    ("a_format", "b_format"),
    [("fp8", "fp8"), ("fp8", "bf8"), ("fp8", "fp4"), ("fp4", "fp8"), ("fp4", "fp4"), ("fp6", "bf8"), ("bf6", "fp4"),
     ("fp6", "bf6")],
)  # fmt: skip
def test_formats_and_scales_of_one_instruction(
    a_format: str, b_format: str, size: int, depth: int, scaled: bool
) -> None:
    """Every format of f8f6f4 with every other, and a scale for 32 values of k of a row, chosen by a byte."""
    waves = new_waves(code_of(b"", vgprs=96), 2)
    rng = np.random.default_rng(depth + scaled)
    waves.vector[:] = (
        rng.integers(0, 1 << 32, waves.vector.shape, dtype=np.uint32) & 0xBFBF_BFBF & ~np.uint32(0x04040404)
    )
    waves.vector[16:18] = rng.integers(120, 134, (2, 2, 64, 4), dtype=np.uint8).view(np.uint32)[..., 0]
    if scaled:
        waves.vector[16, 1, 5] = 0xFFFF_FFFF  # a scale that is NaN
    results = size * size // 64
    waves.vector_f32[32 : 32 + results] = rng.standard_normal((results, 2, 64))
    addend = waves.vector_f32[32 : 32 + results].copy()
    counts = [{8: 8, 6: 6, 4: 4}[int(fmt[2])] for fmt in (a_format, b_format)]
    raw = [np.ascontiguousarray(waves.vector[first : first + n].transpose(1, 2, 0))
           for first, n in zip((0, 8), counts, strict=True)]  # fmt: skip
    target, registers = v[48 : 47 + results], (v[0 : counts[0] - 1], v[8 : 7 + counts[1]])
    fields = {"cbsz": FORMATS[a_format], "blgp": FORMATS[b_format]}
    shape = f"{size}X{size}X{depth}_F8F6F4"
    source = v[32 : 31 + results]
    if scaled:
        instruction = ins.VOP3PX2(
            VOP3PX2Op[f"V_MFMA_SCALE_F32_{shape}"], target, *registers, source, x2encoding=0xD3AC, scale_src0=272,
            scale_src1=273, opsel=1, opsel_hi=2, abid=1, **fields,
        )  # fmt: skip
    else:
        instruction = ins.VOP3P_MFMA(VOP3POp[f"V_MFMA_F32_{shape}"], target, *registers, source, **fields)
    execute(instruction, waves, code_of(b"", vgprs=96))
    for wave in range(2):
        operands = []
        for number, fmt in enumerate((a_format, b_format)):
            matrix = np.zeros((size, depth))
            factor = np.ones((size, depth))
            for lane in range(64):
                row, group = lane % size, lane // size
                for place in range(32):
                    matrix[row, _k(place, group, fmt, depth)] = _decoded(raw[number][wave, lane].tobytes(), place, fmt)
                # op_sel is the low bit of the byte's number, op_sel_hi the high one; bit 0 for A, bit 1 for B.
                scale = int(waves.vector[16 + number][wave, lane]) >> (8, 16)[number] & 255
                factor[row, 32 * group : 32 * group + 32] = np.nan if scale == 255 else 2.0 ** (scale - 127)
            operands.append(matrix * factor if scaled else matrix)
        product = operands[0] @ operands[1].T
        bound = np.abs(operands[0]) @ np.abs(operands[1]).T
        for lane in range(64):
            for register in range(results):
                row = (
                    8 * (register // 4) + 4 * (lane // size) + register % 4
                    if size == 32
                    else 4 * (lane // 16) + register
                )
                want = product[row, lane % size] + addend[register, wave, lane]
                got = waves.vector_f32[48 + register][wave, lane]
                if want != want:
                    assert got != got
                else:
                    assert abs(got - want) <= 1e-5 * (1 + bound[row, lane % size])
    assert not scaled or np.isnan(waves.vector_f32[48 : 48 + results]).any()


@pytest.mark.parametrize("name", sorted(n for n, op in mfma.OPERATIONS.items() if op.a == "i8" and op.blocks == 1))
def test_integer_products_are_exact_and_wrap(name: str) -> None:
    opcode, op = _registers(name)
    size, depth, results, per_lane = op.size, op.depth, op.size * op.size // 64, op.elements_per_lane
    waves = new_waves(code_of(b""), 1)
    waves.vector[:] = RNG.integers(0, 1 << 32, waves.vector.shape, dtype=np.uint32)
    waves.vector[0:4] = waves.vector[8:12] = 0x80808080 if "16x16" in name else waves.vector[0:4]
    addend = waves.vector[16 : 16 + results].copy()
    count = per_lane // 4
    execute(
        ins.VOP3P_MFMA(opcode, v[40 : 39 + results], v[0 : count - 1], v[8 : 7 + count], v[16 : 15 + results]), waves
    )
    raw = [np.ascontiguousarray(waves.vector[k : k + count, 0].T).view(np.int8) for k in (0, 8)]
    a, b = (x.reshape(64 // size, size, per_lane).transpose(1, 0, 2).reshape(size, depth).astype(int) for x in raw)
    product = a @ b.T
    for lane in range(64):
        for register in range(results):
            row = 8 * (register // 4) + 4 * (lane // size) + register % 4 if size == 32 else 4 * (lane // 16) + register
            want = (int(product[row, lane % size]) + int(addend[register, 0, lane])) & 0xFFFF_FFFF
            assert int(waves.vector[40 + register][0, lane]) == want


def _place(kind: str, block: int, row: int, column: int) -> tuple[int, int]:
    """Number within the result, and lane, of an element of D: AMD's matrix instruction calculator."""
    if kind == "4x4_16b":
        return row, 4 * block + column
    if kind == "16x16_4b":
        return 4 * block + row % 4, 16 * (row // 4) + column
    if kind == "32x32_2b":
        return 16 * block + 4 * (row // 8) + row % 4, 32 * (row // 4) % 64 + column
    if kind == "16x16":
        return row // 4, 16 * (row % 4) + column
    return 0, 16 * row + 4 * block + column


@pytest.mark.parametrize("addend", [False, True])
@pytest.mark.parametrize(
    ("name", "kind", "size", "depth", "blocks", "negative"),
    [
        *(
            (f"v_mfma_{'i' if f == 'i8' else 'f'}32_{n}x{n}x{k}_{blocks}b_{f}", f"{n}x{n}_{blocks}b", n, k, blocks, 0)
            for n, blocks in ((4, 16), (16, 4), (32, 2))
            for f, k in (("f32", 1), ("f16", 4), ("bf16", 4), ("i8", 4))
        ),
        *(("v_mfma_f64_16x16x4_f64", "16x16", 16, 4, 1, negative) for negative in (0, 1, 2, 4, 7)),
        *(("v_mfma_f64_4x4x4_4b_f64", "4x4_4b", 4, 4, 4, negative) for negative in (0, 1, 2, 4, 7)),
    ],
)
def test_products_of_several_blocks_and_of_doubles(
    name: str, kind: str, size: int, depth: int, blocks: int, addend: bool, negative: int
) -> None:
    """Small whole numbers, so that every order of the sum gives the same."""
    fmt = name.rsplit("_", 1)[1]
    rng = np.random.default_rng(size + negative)
    a, b = (rng.integers(-8, 9, (2, blocks, size, depth)).astype(np.float64) for _ in range(2))
    c = rng.integers(-99, 99, (2, blocks, size, size)).astype(np.float64)
    waves = new_waves(code_of(b"", vgprs=128), 2)
    per_lane = depth * size * blocks // 64
    dtype: Any = {"i8": np.int8, "f16": np.float16, "bf16": np.uint16, "f32": np.float32, "f64": np.float64}[fmt]
    for first, matrix in ((0, a), (4, b)):
        raw = np.zeros((2, 64, per_lane), dtype)
        for block, row, k in np.ndindex(blocks, size, depth):
            lane, place = size * block + size * blocks * (k // per_lane) + row, k % per_lane
            number = matrix[:, block, row, k]
            raw[:, lane, place] = number.astype(np.float32).view(np.uint32) >> 16 if fmt == "bf16" else number
        words = raw.view(np.uint32)
        waves.vector[first : first + words.shape[2]] = words.transpose(2, 0, 1)
    out: Any = {"i8": np.int32, "f64": np.float64}.get(fmt, np.float32)
    wide = np.dtype(out).itemsize // 4
    count = size * size * blocks // 64 * wide
    given = np.zeros((2, 64, count // wide), out)
    for block, row, column in np.ndindex(blocks, size, size):
        register, lane = _place(kind, block, row, column)
        given[:, lane, register] = c[:, block, row, column]
    waves.vector[32 : 32 + count] = given.view(np.uint32).transpose(2, 0, 1)
    signs = f" neg:[{negative & 1},{negative >> 1 & 1},{negative >> 2}]" if negative else ""

    def span(first: int) -> str:
        return f"v[{first}:{first + count - 1}]"

    width = max(per_lane * np.dtype(dtype).itemsize // 4, 1)
    source = [f"v[{n}:{n + width - 1}]" if width > 1 else f"v{n}" for n in (0, 4)]
    line = f"{name} {span(80)}, {source[0]}, {source[1]}, {span(32) if addend else '1.0' if fmt != 'i8' else '1'}"
    execute(assemble([line + signs]), waves, code_of(b"", vgprs=128))
    left, right = -a if negative & 1 else a, -b if negative & 2 else b
    start = c if addend else np.ones_like(c)
    want = left @ right.swapaxes(2, 3) + (-start if negative & 4 else start)
    got = np.ascontiguousarray(waves.vector[80 : 80 + count].transpose(1, 2, 0)).view(out)
    for block, row, column in np.ndindex(blocks, size, size):
        register, lane = _place(kind, block, row, column)
        assert (got[:, lane, register] == want[:, block, row, column]).all(), (block, row, column)


@pytest.mark.parametrize(("modifier", "block_of", "lane_of"), [
    ("cbsz:1 abid:1", lambda b: b | 1, lambda n: n),
    ("cbsz:2 abid:2", lambda b: b & ~3 | 2, lambda n: n),
    ("cbsz:4 abid:13", lambda b: 13, lambda n: n),
    ("blgp:1", lambda b: b, lambda n: n % 32),
    ("blgp:2", lambda b: b, lambda n: n % 32 + 32),
    ("blgp:3", lambda b: b, lambda n: (n + 16) % 64),
    ("blgp:4", lambda b: b, lambda n: n % 16),
    ("blgp:6", lambda b: b, lambda n: n % 16 + 32),
    ("cbsz:1 abid:0 blgp:7", lambda b: b & ~1, lambda n: n % 16 + 48),
])  # fmt: skip
def test_blocks_and_lanes_that_stand_for_others(modifier: str, block_of: Any, lane_of: Any) -> None:
    waves = new_waves(code_of(b""), 1)
    waves.vector_f32[0:2] = np.random.default_rng(8).integers(-9, 9, (2, 1, 64))
    execute(assemble([f"v_mfma_f32_4x4x1_16b_f32 v[8:11], v0, v1, 0 {modifier}"]), waves)
    a, b = waves.vector_f32[0][0], waves.vector_f32[1][0]
    for block, row, column in np.ndindex(16, 4, 4):
        want = a[4 * block_of(block) + row] * b[lane_of(4 * block + column)]
        assert waves.vector_f32[8 + row][0, 4 * block + column] == want


def test_a_block_that_is_none_is_refused() -> None:
    for modifier in ("cbsz:3", "cbsz:1 abid:2"):
        line = f"v_mfma_f32_16x16x4_4b_f16 v[8:23], v[0:1], v[2:3], 0 {modifier}"
        with pytest.raises(UnmodelledInstructionError, match="a block to broadcast"):
            execute(assemble([line]), new_waves(code_of(b""), 1))


def test_nan_and_infinity() -> None:
    """An fp8 NaN makes its row NaN even against 0; without it infinities only come from the addend."""
    opcode, _ = _registers("v_mfma_f32_16x16x32_fp8_fp8")
    waves = new_waves(code_of(b""), 1)
    waves.vector[0:2] = 0x38383838  # 1.0
    waves.vector[0][0, 5] = 0x3838_7F38  # row 5, k 1
    waves.vector[8:10] = 0
    waves.vector_f32[16:20] = 0
    waves.vector_f32[17][0, 3] = np.inf  # row 1, column 3
    execute(ins.VOP3P_MFMA(opcode, v[20:23], v[0:1], v[8:9], v[16:19]), waves)
    result = np.zeros((16, 16), np.float32)
    for lane in range(64):
        for register in range(4):
            result[4 * (lane // 16) + register, lane % 16] = waves.vector_f32[20 + register][0, lane]
    assert np.isnan(result[5]).all()
    assert np.isinf(result[1, 3])
    result[5], result[1, 3] = 0, 0
    assert not result.any()


def test_converted_operands_follow_their_registers() -> None:
    """Converted operands are kept between instructions; what a register holds now is what counts."""
    opcode, _ = _registers("v_mfma_f32_16x16x32_fp8_fp8")
    program = [
        ins.VOP3P_MFMA(opcode, v[20:23], v[0:1], v[8:9], 0),
        ins.VOP1(VOP1Op.V_MOV_B32_E32, v[1], 0),
        ins.VOP3P_MFMA(opcode, v[24:27], v[0:1], v[8:9], 0),
    ]
    from aiterfix.gfx950.program import Program

    code = code_of(b"".join(i.to_bytes() for i in program))
    waves = new_waves(code, 1)
    waves.vector[0:2] = waves.vector[8:10] = 0x38383838
    (block,) = Program(code).blocks
    made = Program(code)
    made.bind(made.blocks[0])
    for step in made.blocks[0].executes:
        step(waves)
    assert (waves.vector_f32[20] == 32).all()
    assert (waves.vector_f32[24] == 16).all()
    assert block.pc == 0


def _chain(*links: tuple[int, int, int, int | None]) -> list[Any]:
    """Instructions from first rows: target, a, b, addend (None for 0)."""
    opcode, _ = _registers("v_mfma_f32_16x16x32_fp8_fp8")
    return [
        ins.VOP3P_MFMA(opcode, v[d : d + 3], v[a : a + 1], v[b : b + 1], 0 if c is None else v[c : c + 3])
        for d, a, b, c in links
    ]


def _executed(program: list[Any], chains: bool) -> tuple[Any, int]:
    """All registers after a program, and how many of its instructions belong to chains."""
    from aiterfix.gfx950.program import Program, chained

    code = code_of(b"".join(i.to_bytes() for i in program))
    made = Program(code)
    (block,) = made.blocks
    made.bind(block)
    waves = new_waves(code, 2)
    rng = np.random.default_rng(5)
    waves.vector[:] = (
        rng.integers(0, 1 << 32, waves.vector.shape, dtype=np.uint32) & 0xBFBFBFBF & ~np.uint32(0x40404040)
    )
    waves.vector_f32[16:48] = rng.standard_normal((32, 2, 64)).astype(np.float32)
    steps = block.executes if chains else [made._counting_versions(b.execute, b) for b in block.bound]
    with np.errstate(all="ignore"):
        for step in steps:
            step(waves)
    return waves.vector_f32.copy(), len(chained(block, block.bound, code))


@pytest.mark.parametrize(
    ("program", "fused"),
    [
        # Three links into one register, the last elsewhere, and the intermediate overwritten later.
        (_chain((20, 0, 8, None), (20, 2, 10, 20), (24, 4, 12, 20), (20, 0, 8, None)), 3),
        # The intermediate is still there at the end of the block: somebody may want it.
        (_chain((20, 0, 8, None), (24, 2, 10, 20)), 0),
        # The intermediate is read in between.
        (_chain((20, 0, 8, None), (32, 0, 8, 20), (20, 2, 10, 20), (32, 0, 8, None)), 0),
        # A factor of the first is overwritten before the second is reached.
        (
            [*_chain((20, 0, 8, None)), ins.VOP1(VOP1Op.V_MOV_B32_E32, v[1], 0), *_chain((20, 2, 10, 20))],
            0,
        ),
        # The intermediate lies on a factor of its own instruction, which is dead by then.
        (_chain((8, 0, 8, None), (8, 2, 12, 8)), 2),
        # ... and on a factor of the next one, which reads it.
        (_chain((12, 0, 8, None), (12, 2, 12, 12)), 0),
        # An addend at the start of the chain.
        (_chain((20, 0, 8, 24), (20, 2, 10, 20)), 2),
    ],
)
def test_chains_give_what_single_instructions_give(program: list[Any], fused: int) -> None:
    plain, _ = _executed(program, chains=False)
    chained_result, count = _executed(program, chains=True)
    assert count == fused
    finite = np.isfinite(plain)
    assert (np.isfinite(chained_result) == finite).all()
    scale = np.maximum(np.abs(plain[finite]), 1)
    assert (np.abs(plain[finite] - chained_result[finite]) <= 1e-4 * scale).all()


@pytest.mark.parametrize("shared", ["a", "b", "both", "neither"])
@pytest.mark.parametrize("size", [16, 32])
@pytest.mark.parametrize("addend", [False, True])
def test_waves_of_a_workgroup_that_multiply_by_the_same_matrix(shared: str, size: int, addend: bool) -> None:
    """Done as one wider product; each wave alone gives the same."""
    name = f"v_mfma_f32_{size}x{size}x{512 // size}_fp8_fp8"
    opcode, op = _registers(name)
    results = op.size * op.size // 64
    code = code_of(b"")
    waves = new_waves(code, 8, waves_per_workgroup=4)
    assert waves.team == 4
    rng = np.random.default_rng(13)
    for which, first in (("a", 0), ("b", 8)):
        values = rng.integers(0, 256, (2, 8, 64, 4), dtype=np.uint8) & 0xBF
        waves.vector[first : first + 2] = values.view(np.uint32)[..., 0]
        if shared in (which, "both"):
            rows = waves.vector[first : first + 2].reshape(2, 2, 4, 64)
            rows[:, :, 1:] = rows[:, :, :1]
    waves.vector_f32[16 : 16 + results] = rng.standard_normal((results, 8, 64)).astype(np.float32)
    alone = [waves.select(np.arange(8) == wave) for wave in range(8)]
    assert all(group.team == 1 for group in alone)
    instruction = ins.VOP3P_MFMA(
        opcode, v[40 : 40 + results - 1], v[0:1], v[8:9], v[16 : 16 + results - 1] if addend else 0
    )
    execute(instruction, waves)
    for wave, group in enumerate(alone):
        execute(instruction, group)
        got, want = (g.vector_f32[40 : 40 + results][:, k] for g, k in ((waves, wave), (group, 0)))
        assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()
        assert np.abs(want).max() > 0


def test_operands_in_accumulation_registers() -> None:
    """Factors by the ``acc`` bits, addend and result by ``acc_cd``: the same values as from ordinary registers."""
    opcode, _ = _registers("v_mfma_f32_16x16x32_fp8_fp8")
    waves = new_waves(code_of(b""), 1)
    rng = np.random.default_rng(3)
    waves.vector[0:2] = rng.integers(0, 1 << 32, (2, 1, 64), dtype=np.uint32) & 0xBFBFBFBF
    waves.vector[8:10] = rng.integers(0, 1 << 32, (2, 1, 64), dtype=np.uint32) & 0xBFBFBFBF
    waves.vector_f32[16:20] = rng.standard_normal((4, 1, 64)).astype(np.float32)
    execute(ins.VOP3P_MFMA(opcode, v[20:23], v[0:1], v[8:9], v[16:19]), waves)
    accumulation = waves.vector[64:]
    accumulation[4:6], accumulation[6:8], accumulation[12:16] = (
        waves.vector[0:2],
        waves.vector[8:10],
        waves.vector[16:20],
    )
    execute(ins.VOP3P_MFMA(opcode, v[24:27], v[4:5], v[6:7], v[12:15], acc=3, acc_cd=1), waves)
    assert (accumulation[24:28] == waves.vector[20:24]).all()
    waves.vector[4:6] = 0
    execute(ins.VOP3P_MFMA(opcode, v[28:31], v[4:5], v[6:7], 0, acc=2), waves)
    assert not waves.vector_f32[28:32].any(), "the first factor is an ordinary register again"
