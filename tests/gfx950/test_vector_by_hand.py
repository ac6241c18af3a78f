"""Vector instructions whose pseudocode says too little, against expectations computed another way, lane by lane."""

from __future__ import annotations

import math
import struct
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.emulator import RUNS_HERE, WHY_NOT

if not RUNS_HERE:
    pytest.skip(WHY_NOT, allow_module_level=True)

from tinygrad.renderer.amd.dsl import LIT, SDWA, s, v
from tinygrad.runtime.autogen.amd.cdna import ins
from tinygrad.runtime.autogen.amd.cdna.enum import DSOp, SOP1Op, SOP2Op, VOP1Op, VOP2Op, VOP3Op, VOP3POp, VOPCOp

from aiterfix.gfx950.instruction import UnmodelledInstructionError
from aiterfix.gfx950.kernel_descriptor import Denormals
from tests.gfx950.lane_machine import assemble
from tests.gfx950.single import code_of, execute, new_waves, set_exec

RNG = np.random.default_rng(7)
HALF_OFF = 0x0F0F_F0F0_3333_5555


def _waves(count: int = 2, **kwargs: Any) -> Any:
    waves = new_waves(code_of(b"", **kwargs), count)
    waves.vector[:] = RNG.integers(0, 1 << 32, waves.vector.shape, dtype=np.uint32)
    return waves


def test_perm() -> None:
    waves = _waves()
    selector = RNG.integers(0, 16, (2, 64, 4), dtype=np.uint8)
    selector[:, ::7, 0] = 0xFE
    waves.vector[2] = selector.view(np.uint32)[:, :, 0]
    first, second = waves.vector[0].copy(), waves.vector[1].copy()
    execute(ins.VOP3(VOP3Op.V_PERM_B32_E64, v[3], v[0], v[1], v[2]), waves)
    for wave in range(2):
        for lane in range(64):
            data = struct.pack("<II", second[wave, lane], first[wave, lane])
            want = []
            for pick in selector[wave, lane].tolist():
                if pick < 8:
                    want.append(data[pick])
                elif pick < 12:
                    want.append(0xFF if data[2 * (pick - 8) + 1] & 0x80 else 0)
                else:
                    want.append(0 if pick == 12 else 0xFF)
            assert struct.pack("<I", waves.vector[3][wave, lane]) == bytes(want)


def test_round_fract_ldexp() -> None:
    values = np.array([0.5, 1.5, 2.5, -0.5, -0.0, -0.3, 1e10, -1e-30, np.inf, -2.5, 8388607.5, 0.99999994], np.float32)
    values = np.resize(values, 64)
    waves = _waves(1)
    waves.vector_f32[0] = values
    execute(ins.VOP1(VOP1Op.V_RNDNE_F32_E32, v[1], v[0]), waves)
    execute(ins.VOP1(VOP1Op.V_FRACT_F32_E32, v[2], v[0]), waves)
    waves.vector_i32[4] = np.resize([-149, 3, 200, -300, 0], 64)
    execute(ins.VOP3(VOP3Op.V_LDEXP_F32, v[3], v[0], v[4]), waves)
    for lane, value in enumerate(values.tolist()):
        rounded = float(round(value)) if math.isfinite(value) else value
        assert waves.vector_f32[1][0, lane] == rounded
        assert np.signbit(waves.vector_f32[1][0, lane]) == (math.copysign(1, value) < 0)
        fraction = waves.vector_f32[2][0, lane]
        if math.isfinite(value):
            assert 0 <= fraction < 1
            assert abs(fraction - (value - math.floor(value))) < 1e-7
        else:
            assert np.isnan(fraction)
        with np.errstate(over="ignore"):
            exact = np.float32(math.ldexp(value, int(waves.vector_i32[4][0, lane])))
        assert waves.vector_f32[3][0, lane] == exact


def test_pack_to_half_towards_zero() -> None:
    values = np.array([1.0, 1.0009, -1.0009, 65519.0, 65536.0, 1e-8, -1e-8, np.inf, 0.1], np.float32)
    waves = _waves(1)
    waves.vector_f32[0] = np.resize(values, 64)
    waves.vector_f32[1] = -np.resize(values, 64)
    execute(ins.VOP3(VOP3Op.V_CVT_PKRTZ_F16_F32, v[2], v[0], v[1]), waves)
    for lane in range(len(values)):
        low, high = np.array([waves.vector[2][0, lane]], np.uint32).view(np.float16).astype(np.float64)
        value = float(values[lane])
        for got, exact in ((low, value), (high, -value)):
            assert np.sign(got) in (np.sign(exact), 0)
            assert abs(got) <= abs(exact)
            if np.isfinite(got) and abs(exact) < 65504:
                following = float(np.nextafter(np.float16(abs(got)), np.float16(np.inf)))
                assert following > abs(exact)


def test_fused_multiply_add_is_rounded_once() -> None:
    """Sums that lie at the middle between two singles, and denormal ones, against exact integer arithmetic."""
    from tests.gfx950.pseudocode import Value, _fma

    bits = RNG.integers(0, 1 << 32, (3, 4, 64), dtype=np.uint32)
    # Products and addends of close magnitude, so that rounding matters; and some that end up denormal.
    bits[:2, :2] = bits[:2, :2] & 0x007F_FFFF | 0x3F80_0000
    bits[2, 0] = (bits[2, 0] & 7) << 21 | 0x3300_0000
    bits[0, 2] = bits[0, 2] & 0x007F_FFFF | 0x2000_0000
    bits[1, 2] = bits[1, 2] & 0x007F_FFFF | 0x1F80_0000
    bits[2, 2] &= 0x800F_FFFF
    # (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24 is a tie; a tiny addend decides it.
    bits[0, 3, :32] = bits[1, 3, :32] = 0x3F80_0800
    bits[2, 3, :16], bits[2, 3, 16:32] = 0x0000_0001, 0x8000_0001
    waves = _waves(4)
    waves.vector[0:3] = bits
    execute(ins.VOP3(VOP3Op.V_FMA_F32_E64, v[3], v[0], v[1], v[2]), waves)
    for wave in range(4):
        for lane in range(64):
            a, b, c = (Value("f", 32, int(bits[k, wave, lane])) for k in range(3))
            want, got = _fma(a, b, c), int(waves.vector[3][wave, lane])
            if want.number == want.number:
                assert got == want.bits, (hex(a.bits), hex(b.bits), hex(c.bits))
    assert waves.vector[3][3, 0] != waves.vector[3][3, 16], "the addend must break the tie"


@pytest.mark.parametrize("width", [16, 32])
def test_permlane_swap(width: int) -> None:
    waves = _waves()
    first, second = waves.vector[0].copy(), waves.vector[1].copy()
    op = VOP1Op.V_PERMLANE16_SWAP_B32_E32 if width == 16 else VOP1Op.V_PERMLANE32_SWAP_B32_E32
    execute(ins.VOP1(op, v[0], v[1]), waves)
    for lane in range(64):
        odd = lane // width % 2
        assert (waves.vector[0][:, lane] == (second[:, lane - width] if odd else first[:, lane])).all()
        assert (waves.vector[1][:, lane] == (second[:, lane] if odd else first[:, lane + width])).all()


def test_lane_reads_and_writes() -> None:
    waves = _waves()
    set_exec(waves, [0xFF00, 0])
    execute(ins.VOP1(VOP1Op.V_READFIRSTLANE_B32_E32, v[5], v[0]), waves)
    assert waves.scalar[5][0] == waves.vector[0][0, 8]
    assert waves.scalar[5][1] == waves.vector[0][1, 0], "lane 0 where all are off"
    waves.scalar[7][:] = [67, 5]
    execute(ins.VOP3(VOP3Op.V_READLANE_B32, v[6], v[0], s[7]), waves)
    assert waves.scalar[6].tolist() == [waves.vector[0][0, 3], waves.vector[0][1, 5]]
    waves.scalar[8][:] = 99
    before = waves.vector[1].copy()
    execute(ins.VOP3(VOP3Op.V_WRITELANE_B32, v[1], s[8], s[7]), waves)
    before[0, 3] = before[1, 5] = 99
    assert (waves.vector[1] == before).all()


@pytest.mark.parametrize("dst_sel", range(7))
@pytest.mark.parametrize("dst_unused", range(3))
def test_sdwa_or(dst_sel: int, dst_unused: int) -> None:
    places = {0: (0, 8), 1: (8, 8), 2: (16, 8), 3: (24, 8), 4: (0, 16), 5: (16, 16), 6: (0, 32)}
    for src0_sel, src1_sel, sext in ((4, 6, 0), (5, 1, 1), (3, 2, 0), (6, 0, 1)):
        waves = _waves()
        before, first, second = (waves.vector[k].copy() for k in (3, 0, 1))
        set_exec(waves, HALF_OFF)
        instruction = ins.VOP2_SDWA(
            VOP2Op.V_OR_B32_E32, v[3], SDWA, v[1], vsrc0=v[0], dst_sel=dst_sel, dst_unused=dst_unused,
            src0_sel=src0_sel, src1_sel=src1_sel, src0_sext=sext,
        )  # fmt: skip
        execute(instruction, waves)
        for lane in range(64):
            if not HALF_OFF >> lane & 1:
                assert waves.vector[3][0, lane] == before[0, lane]
                continue

            def pick(value: int, select: int, signed: int) -> int:
                start, width = places[select]
                field = value >> start & (1 << width) - 1
                return field - (1 << width) if signed and field >> (width - 1) else field

            result = pick(int(first[0, lane]), src0_sel, sext) | pick(int(second[0, lane]), src1_sel, 0)
            start, width = places[dst_sel]
            field = result & (1 << width) - 1
            want = field << start
            if dst_unused == 1 and field >> (width - 1):
                want = (want | -1 << (start + width)) & 0xFFFF_FFFF
            if dst_unused == 2:
                want |= int(before[0, lane]) & ~(((1 << width) - 1) << start)
            assert int(waves.vector[3][0, lane]) == want & 0xFFFF_FFFF


@pytest.mark.parametrize(
    ("control", "source"),
    [
        (0x1B, lambda lane: lane ^ 3),
        (0x101, lambda lane: lane + 1 if lane % 16 < 15 else None),
        (0x118, lambda lane: lane - 8 if lane % 16 >= 8 else None),
        (0x12F, lambda lane: lane // 16 * 16 + (lane + 1) % 16),
        (0x138, lambda lane: lane - 1 if lane else None),
        (0x140, lambda lane: lane // 16 * 16 + 15 - lane % 16),
        (0x141, lambda lane: lane // 8 * 8 + 7 - lane % 8),
        (0x142, lambda lane: lane // 16 * 16 - 1 if lane >= 16 else None),
        (0x143, lambda lane: 31 if lane >= 32 else None),
        (0x153, lambda lane: lane // 16 * 16 + 3),
    ],
)
@pytest.mark.parametrize("bound_control", [0, 1])
def test_dpp_move(control: int, source: Any, bound_control: int) -> None:
    waves = _waves()
    before, values = waves.vector[1].copy(), waves.vector[0].copy()
    set_exec(waves, HALF_OFF)
    execute(
        ins.VOP1_DPP16(VOP1Op.V_MOV_B32_E32, v[1], vsrc0=v[0], dpp=control, bc=bound_control, row_mask=0b1011,
                       bank_mask=0b0111, src0=_dpp()),
        waves,
    )  # fmt: skip
    for lane in range(64):
        enabled = HALF_OFF >> lane & 1 and 0b1011 >> lane // 16 & 1 and 0b0111 >> lane % 16 // 4 & 1
        other = source(lane)
        valid = other is not None and HALF_OFF >> other & 1
        want = before[0, lane]
        if enabled and valid:
            want = values[0, other]
        elif enabled and bound_control:
            want = 0
        assert waves.vector[1][0, lane] == want, lane


def _dpp() -> Any:
    from tinygrad.renderer.amd.dsl import DPP

    return DPP


@pytest.mark.parametrize("op", ["ADD", "MUL", "FMA"])
@pytest.mark.parametrize("selectors", [(0, 3, 1, 0, 0), (1, 2, 1, 2, 1), (2, 1, 0, 1, 2), (7, 0, 0, 0, 0)])
def test_packed_single(op: str, selectors: tuple[int, int, int, int, int]) -> None:
    low, high, high2, negative_low, negative_high = selectors
    waves = _waves()
    waves.vector_f32[0:10] = RNG.standard_normal((10, 2, 64)).astype(np.float32)
    sources = waves.vector_f32[0:6].copy().reshape(3, 2, 2, 64)
    set_exec(waves, HALF_OFF)
    before = waves.vector_f32[8:10].copy()
    instruction = ins.VOP3P(
        VOP3POp[f"V_PK_{op}_F32"], v[8:9], v[0:1], v[2:3], v[4:5], opsel=low, opsel_hi=high, opsel_hi2=high2,
        neg=negative_low, neg_hi=negative_high,
    )  # fmt: skip
    execute(instruction, waves)
    for half, (select, negative) in enumerate(((low, negative_low), (high | high2 << 2, negative_high))):
        a, b, c = (sources[k, select >> k & 1].astype(np.float64) * (-1 if negative >> k & 1 else 1) for k in range(3))
        want = {"ADD": a + b, "MUL": a * b, "FMA": a * b + c}[op].astype(np.float32)
        active = (np.uint64(HALF_OFF) >> np.arange(64, dtype=np.uint64) & np.uint64(1)).astype(bool)
        assert (waves.vector_f32[8 + half] == np.where(active, want, before[half])).all()


def test_packed_half_and_accumulation_moves() -> None:
    waves = _waves(1)
    halves = RNG.standard_normal((2, 64, 2)).astype(np.float16)
    waves.vector[0], waves.vector[1] = (h.view(np.uint32)[:, 0] for h in halves)
    execute(ins.VOP3P(VOP3POp.V_PK_ADD_F16, v[2], v[0], v[1], opsel=1, opsel_hi=2, opsel_hi2=1), waves)
    got = waves.vector[2].view(np.float16).reshape(64, 2)
    assert (got[:, 0] == halves[0, :, 1] + halves[1, :, 0]).all()
    assert (got[:, 1] == halves[0, :, 0] + halves[1, :, 1]).all()
    execute(ins.VOP3P(VOP3POp.V_ACCVGPR_WRITE, v[5], v[2]), waves)
    execute(ins.VOP3P(VOP3POp.V_ACCVGPR_READ, v[9], v[5]), waves)
    assert (waves.vector[9] == waves.vector[2]).all()
    assert (waves.vector[64 + 5] == waves.vector[2]).all(), "a5 lies behind the architectural registers"


def test_clamp_and_denormal_mode() -> None:
    waves = _waves(1)
    waves.vector_f32[0] = np.resize(np.array([np.nan, -1, -0.0, 0.25, 7, np.inf], np.float32), 64)
    execute(ins.VOP3(VOP3Op.V_ADD_F32_E64, v[1], v[0], 0, clmp=1), waves)
    assert waves.vector_f32[1][0, :6].tolist() == [0, 0, 0, 0.25, 1, 1]
    tiny = np.float32(1e-39)
    for mode, want in ((Denormals.KEEP, tiny), (Denormals.FLUSH_ALL, np.float32(0)), (Denormals.FLUSH_SOURCES, 0)):
        code = code_of(b"", denormals=mode)
        waves.vector_f32[0] = tiny
        execute(ins.VOP2(VOP2Op.V_ADD_F32_E32, v[1], 0, v[0]), waves, code)
        assert (waves.vector_f32[1] == want).all()


def test_what_is_not_modelled_is_refused() -> None:
    waves = _waves(1)
    for instruction, reason in (
        (ins.VOP3(VOP3Op.V_ADD_F32_E64, v[1], v[0], v[2], omod=1), "omod"),
        (ins.VOP3(VOP3Op.V_MUL_LO_U32, v[1], v[0], v[2], clmp=1), "clamp"),
        (ins.VOP3(VOP3Op.V_MSAD_U8, v[1], v[0], v[2], v[3]), "no semantics"),
        (ins.VOP2(VOP2Op.V_ADD_U32_E32, v[1], v[0], v[200]), "vector register v200"),
    ):
        with pytest.raises(UnmodelledInstructionError, match=reason) as caught:
            execute(instruction, waves)
        assert "at pc 0x0" in str(caught.value)
        assert instruction.to_bytes().hex(" ", 4) in str(caught.value)


def test_multiply_add_with_a_literal() -> None:
    waves = _waves(1)
    waves.vector_f32[0:2] = RNG.standard_normal((2, 1, 64)).astype(np.float32)
    a, b = waves.vector_f32[0].astype(np.float64), waves.vector_f32[1].astype(np.float64)
    literal = float(np.float32(3.1))
    execute(ins.VOP2_LIT(VOP2Op.V_FMAMK_F32_E32, v[2], v[0], v[1], literal=0x40466666), waves)
    execute(ins.VOP2_LIT(VOP2Op.V_FMAAK_F32_E32, v[3], v[0], v[1], literal=0x40466666), waves)
    assert (waves.vector_f32[2] == (a * literal + b).astype(np.float32)).all()
    assert (waves.vector_f32[3] == (a * b + literal).astype(np.float32)).all()


def test_float_classes() -> None:
    """Each value is in exactly one of the ten classes, in the order of the mask's bits."""
    values = [0x7F800001, 0x7FC00000, 0xFF800000, 0xC0000000, 0x80000001, 0x80000000, 0, 1, 0x3F800000, 0x7F800000]
    for bit in range(10):
        waves = _waves(1)
        waves.vector[0] = np.resize(np.array(values, np.uint32), 64)
        waves.vector[1] = 1 << bit
        execute(ins.VOPC(VOPCOp.V_CMP_CLASS_F32_E32, v[0], v[1]), waves)
        want = sum(1 << lane for lane in range(64) if lane % 10 == bit)
        assert int(waves.pairs64[53][0]) == want


def test_dpp_feeds_arithmetic() -> None:
    """A sum over each row of 16 lanes by shifts, as reductions are compiled."""
    waves = _waves(1)
    waves.vector_f32[0] = np.arange(64, dtype=np.float32)
    for shift in (8, 4, 2, 1):
        execute(
            ins.VOP2_DPP16(VOP2Op.V_ADD_F32_E32, v[0], _dpp(), v[0], vsrc0=v[0], dpp=0x110 | shift, bc=1, row_mask=15,
                           bank_mask=15),
            waves,
        )  # fmt: skip
    assert waves.vector_f32[0][0, 15::16].tolist() == [sum(range(k, k + 16)) for k in range(0, 64, 16)]


@pytest.mark.parametrize(("code", "name"), [(253, "scc"), (251, "vccz"), (252, "execz")])
def test_flags_as_operands_are_bits(code: int, name: str) -> None:
    """``src_scc``, ``src_vccz`` and ``src_execz`` are the integers 0 and 1, whatever the operand's type."""
    from tinygrad.renderer.amd.dsl import Reg

    flag = Reg(code, 1)
    waves = _waves(2)
    waves.scc[...] = [True, False]
    waves.pairs64[53] = [0, 1]  # VCC
    waves.vector[1:3] = 0
    if name == "execz":
        execute(ins.SOP1(SOP1Op.S_MOV_B32, s[4], flag), waves)
        assert waves.scalar[4].tolist() == [0, 0]
        set_exec(waves, [0, 1])
        execute(ins.SOP1(SOP1Op.S_MOV_B32, s[4], flag), waves)
        assert waves.scalar[4].tolist() == [1, 0]
        return
    execute(ins.VOP3(VOP3Op.V_ADD_F32_E64, v[3], flag, v[1]), waves)
    assert waves.vector[3][:, 0].tolist() == [1, 0]
    execute(ins.VOP3(VOP3Op.V_ADD_F32_E64, v[3], flag, v[1], neg=1), waves)
    assert waves.vector[3][:, 0].tolist() == [0x8000_0001, 0]
    execute(ins.VOP3(VOP3Op.V_ADD_F64, v[4:5], flag, v[1:2]), waves)
    assert waves.vector[4:6, :, 0].tolist() == [[1, 0], [0, 0]]
    execute(ins.VOP3(VOP3Op.V_ADD_F16_E64, v[3], flag, v[1]), waves)
    assert waves.vector[3][:, 0].tolist() == [1, 0]
    execute(ins.VOP3(VOP3Op.V_ADD_U32_E64, v[3], flag, v[1]), waves)
    assert waves.vector[3][:, 0].tolist() == [1, 0]
    execute(ins.VOP3P(VOP3POp.V_PK_ADD_F32, v[4:5], flag, v[1:2], opsel_hi=2), waves)
    assert waves.vector[4:6, :, 0].tolist() == [[1, 0], [1, 0]]


@pytest.mark.parametrize("mode", [Denormals.FLUSH_ALL, Denormals.FLUSH_SOURCES, Denormals.KEEP])
def test_moves_with_sign_modifiers_keep_every_bit(mode: Denormals) -> None:
    """A select is no arithmetic: neither its sources nor its result are flushed, and a signalling NaN stays one."""
    code = code_of(b"", denormals=mode)
    waves = _waves(1)
    values = np.resize(np.array([1, 0x8000_0001, 0x7F80_0001, 0xFFA0_0000, 0x3F80_0000, 0], np.uint32), 64)
    waves.vector[0] = waves.vector[1] = values
    waves.vector[1] ^= np.uint32(0x8000_0000)
    waves.pairs64[4] = 0xAAAA_AAAA_AAAA_AAAA
    chosen = np.where(np.arange(64) % 2, waves.vector[1], waves.vector[0])
    for absolute, negative in ((3, 0), (0, 3), (3, 3)):
        execute(ins.VOP3(VOP3Op.V_CNDMASK_B32_E64, v[2], v[0], v[1], s[8:9], abs=absolute, neg=negative), waves, code)
        want = chosen & np.uint32(0x7FFF_FFFF) if absolute else chosen
        want = want ^ np.uint32(0x8000_0000) if negative else want
        assert (waves.vector[2] == want).all()


def test_classes_see_denormals_that_arithmetic_flushes() -> None:
    waves = _waves(1)
    waves.vector[0] = np.resize(np.array([1, 0x8000_0001, 0], np.uint32), 64)
    waves.vector[1] = 1 << 4 | 1 << 7
    execute(ins.VOPC(VOPCOp.V_CMP_CLASS_F32_E32, v[0], v[1]), waves, code_of(b"", denormals=Denormals.FLUSH_ALL))
    assert int(waves.pairs64[53][0]) == sum(1 << lane for lane in range(64) if lane % 3 != 2)


def test_conversions_quiet_a_signalling_nan() -> None:
    """The payload's upper bits are kept, and the quiet bit is set."""
    waves = _waves(1)
    waves.vector[0] = np.resize(
        np.array([0x7F80_0001, 0xFF80_0001, 0x7FA0_2000, 0x7FC0_0000, 0x7F80_2000], np.uint32), 64
    )
    halves = [0x7E00, 0xFE00, 0x7F01, 0x7E00, 0x7E01]
    execute(ins.VOP1(VOP1Op.V_CVT_F16_F32_E32, v[1], v[0]), waves)
    assert waves.vector[1][0, :5].tolist() == halves
    execute(ins.VOP3(VOP3Op.V_CVT_PKRTZ_F16_F32, v[1], v[0], v[0]), waves)
    assert waves.vector[1][0, :5].tolist() == [half << 16 | half for half in halves]
    execute(ins.VOP3(VOP3Op.V_CVT_PK_BF16_F32, v[1], v[0], v[0]), waves)
    assert (waves.vector[1][0, :5] & 0xFFFF).tolist() == [0x7FC0, 0xFFC0, 0x7FE0, 0x7FC0, 0x7FC0]
    waves.vector[0] = np.resize(np.array([0x7C01, 0xFC01, 0x7D80, 0x7E00], np.uint32), 64)
    execute(ins.VOP1(VOP1Op.V_CVT_F32_F16_E32, v[1], v[0]), waves)
    assert waves.vector[1][0, :4].tolist() == [0x7FC0_2000, 0xFFC0_2000, 0x7FF0_0000, 0x7FC0_0000]
    waves.vector[0] = np.resize(np.array([0x7F80_0001, 0xFF80_0001], np.uint32), 64)
    execute(ins.VOP1(VOP1Op.V_CVT_F64_F32_E32, v[2:3], v[0]), waves)
    assert waves.vector[3][0, :2].tolist() == [0x7FF8_0000, 0xFFF8_0000]
    assert (waves.vector[2][0] == 0x2000_0000).all()
    waves.vector[2], waves.vector[3] = 1, 0x7FF0_0000
    execute(ins.VOP1(VOP1Op.V_CVT_F32_F64_E32, v[1], v[2:3]), waves)
    assert (waves.vector[1] == 0x7FC0_0000).all()


@pytest.mark.parametrize("op", ["RCP", "RCP_IFLAG", "RSQ", "EXP", "LOG"])
def test_transcendentals_know_no_denormals(op: str) -> None:
    """LLVM scales around them for that reason: a denormal source counts as 0, a denormal result becomes 0."""
    waves = _waves(1)
    sources = {
        "EXP": [-126.0, -126.5, -140.0, 1e-40, -np.inf],
        "LOG": [1e-40, -1e-40, 1.2e-38, 0.0, 1.0],
        "RCP": [1e-39, -1e-39, 2.0**127, -(2.0**127), 2.0**126],
        "RSQ": [1e-39, -1e-39, 2.0**-126, 4.0, 0.0],
    }
    sources["RCP_IFLAG"] = sources["RCP"]
    results = {
        "EXP": [2.0**-126, 0.0, 0.0, 1.0, 0.0],
        "LOG": [-np.inf, -np.inf, float(np.log2(np.float64(np.float32(1.2e-38)))), -np.inf, 0.0],
        "RCP": [np.inf, -np.inf, 0.0, -0.0, 2.0**-126],
        "RSQ": [np.inf, -np.inf, 2.0**63, 0.5, np.inf],
    }
    waves.vector_f32[0] = np.resize(np.array(sources[op], np.float32), 64)
    execute(ins.VOP1(VOP1Op[f"V_{op}_F32_E32"], v[1], v[0]), waves)
    want = np.array(results["RCP" if op == "RCP_IFLAG" else op], np.float32)
    assert waves.vector[1][0, :5].tolist() == want.view(np.uint32).tolist()


@pytest.mark.parametrize("op", ["V_PERMLANE16_SWAP_B32_E32", "V_PERMLANE32_SWAP_B32_E32"])
def test_swap_with_lanes_off_is_refused(op: str) -> None:
    """No text says what becomes of lanes that are off."""
    waves = _waves()
    set_exec(waves, [(1 << 64) - 1, (1 << 64) - 2])
    before = waves.vector[:2].copy()
    with pytest.raises(UnmodelledInstructionError, match="lanes that are off"):
        execute(ins.VOP1(VOP1Op[op], v[0], v[1]), waves)
    assert (waves.vector[:2] == before).all()


@pytest.mark.parametrize("op", ["S_LSHL_B64", "S_LSHR_B64", "S_ASHR_I64", "S_BFE_U64", "S_BFE_I64"])
def test_negative_literal_in_a_64_bit_shift_is_refused(op: str) -> None:
    """Whether it is extended by zeros or by its sign is told nowhere for shifts; where both agree it is taken."""
    waves = _waves(1)
    waves.scalar[8][:] = 4 if "BFE" not in op else 4 | 32 << 16
    with pytest.raises(UnmodelledInstructionError, match="literal"):
        execute(ins.SOP2_LIT(SOP2Op[op], s[4:5], LIT, s[8], literal=0x8000_0000), waves)
    execute(ins.SOP2_LIT(SOP2Op[op], s[4:5], LIT, s[8], literal=0x1234_5678), waves)
    assert int(waves.pairs64[2][0]) == (0x1_2345_6780 if "LSHL" in op else 0x123_4567)
    execute(ins.SOP2_LIT(SOP2Op.S_OR_B64, s[4:5], LIT, 0, literal=0x8000_0000), waves)
    assert int(waves.pairs64[2][0]) == 0x8000_0000


@pytest.mark.parametrize("offset", [0xC000, 0xC020, 0xE000, 0xFFFF])
def test_swizzle_modes_that_are_not_modelled_are_refused(offset: int) -> None:
    """Rotation and FFT modes begin at 0xC000: no quad permutation."""
    with pytest.raises(UnmodelledInstructionError, match="swizzle mode"):
        execute(ins.DS(DSOp.DS_SWIZZLE_B32, v[4], v[1], offset0=offset & 255, offset1=offset >> 8), _waves(1))


@pytest.mark.parametrize(
    ("name", "signed", "bits"), [("U32", False, 32), ("I32", True, 32), ("U16", False, 16), ("I16", True, 16)]
)
def test_integer_clamp(name: str, signed: bool, bits: int) -> None:
    """The exact sum or difference, limited to what the type holds."""
    waves = _waves(1)
    edges = np.array([0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF], np.uint32)
    waves.vector[0], waves.vector[1] = np.repeat(edges, 8), np.tile(edges, 8)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    mask = (1 << bits) - 1
    for verb, sign in (("ADD", 1), ("SUB", -1), ("SUBREV", -1)):
        op = VOP3Op.__members__.get(f"V_{verb}_{name}_E64") or VOP3Op.__members__.get(f"V_{verb}_{name}")
        if op is None:
            continue
        execute(ins.VOP3(op, v[2], v[0], v[1], clmp=1), waves)
        for lane in range(64):
            a, b = (int(waves.vector[k][0, lane]) & mask for k in (0, 1))
            a, b = (x - (1 << bits) if signed and x >> (bits - 1) else x for x in (a, b))
            first, second = (b, a) if verb == "SUBREV" else (a, b)
            want = min(max(first + sign * second, low), high) & mask
            assert int(waves.vector[2][0, lane]) & mask == want, (verb, a, b)


@pytest.mark.parametrize("place", [4, 5, 6])
def test_select_in_sdwa_form(place: int) -> None:
    waves = _waves(1)
    waves.vector[2] = 0xAAAA_BBBB
    first, second = waves.vector[0].copy(), waves.vector[1].copy()
    waves.pairs64[53] = HALF_OFF
    execute(
        ins.VOP2_SDWA(VOP2Op.V_CNDMASK_B32_E32, v[2], SDWA, v[1], vsrc0=v[0], dst_sel=place, dst_unused=2, src0_sel=5,
                      src1_sel=4),
        waves,
    )  # fmt: skip
    chosen = np.array([HALF_OFF >> lane & 1 for lane in range(64)], bool)
    value = np.where(chosen, second[0] & 0xFFFF, first[0] >> 16)
    want = {4: 0xAAAA_0000 | value, 5: 0xBBBB | value << 16, 6: value}[place]
    assert (waves.vector[2][0] == want).all()


def test_sine_and_cosine_of_revolutions() -> None:
    waves = _waves(1)
    turns = np.linspace(-3, 3, 64).astype(np.float32)
    turns[:3] = 0, 0.25, 1000.5
    waves.vector_f32[0] = turns
    for op, function in (("SIN", math.sin), ("COS", math.cos)):
        execute(ins.VOP1(VOP1Op[f"V_{op}_F32_E32"], v[1], v[0]), waves)
        for lane in range(64):
            assert abs(float(waves.vector_f32[1][0, lane]) - function(2 * math.pi * float(turns[lane]))) < 1e-6


@pytest.mark.filterwarnings("ignore:overflow encountered in ldexp")
def test_doubles_and_bfloat16() -> None:
    waves = _waves(1)
    values = np.resize(np.array([-0.0, 0.5, 1.5, -2.5, 1e300, 5e-324, np.inf]), 64)
    waves.vector[0], waves.vector[1] = values.view(np.uint32).reshape(64, 2).T
    waves.vector_i32[4] = np.resize([-1074, 3, 2000, -3000, 0], 64)
    execute(ins.VOP1(VOP1Op.V_RNDNE_F64_E32, v[2:3], v[0:1]), waves)
    execute(ins.VOP3(VOP3Op.V_LDEXP_F64, v[6:7], v[0:1], v[4]), waves)
    for first, want in (
        (2, np.rint(values)),
        (6, [float(np.ldexp(x, n)) for x, n in zip(values, waves.vector_i32[4][0], strict=True)]),
    ):
        got = np.stack([waves.vector[first][0], waves.vector[first + 1][0]], axis=1).copy().view(np.float64)[:, 0]
        assert got.tobytes() == np.asarray(want).tobytes()
    waves.vector[0] = 0xFFFF_3F80
    execute(ins.VOP1(VOP1Op.V_CVT_F32_BF16_E32, v[1], v[0]), waves)
    assert (waves.vector_f32[1] == 1).all()
    waves.vector_f32[0], waves.vector_f32[1] = 65520.0, -(2.0**-25)
    execute(ins.VOP3(VOP3Op.V_CVT_PK_F16_F32, v[2], v[0], v[1]), waves)
    assert (waves.vector[2] == 0x8000_7C00).all()


@pytest.mark.parametrize(
    "mode", [Denormals.FLUSH_ALL, Denormals.FLUSH_SOURCES, Denormals.FLUSH_RESULTS, Denormals.KEEP]
)
def test_denormals_in_sdwa_and_dpp_form(mode: Denormals) -> None:
    """A part of a register is flushed as a whole one is: as the number that it is read as, signs applied after."""
    code = code_of(b"", denormals=mode)
    waves = _waves(1)
    waves.vector[0], waves.vector[1] = 0x8000_0001, 0
    flushes = mode in (Denormals.FLUSH_ALL, Denormals.FLUSH_SOURCES)
    whole = {"src0_sel": 6, "src1_sel": 6, "dst_sel": 6}
    sdwa = ins.VOP2_SDWA(VOP2Op.V_MUL_F32_E32, v[2], SDWA, v[3], vsrc0=v[0], **whole, src0_neg=1)
    waves.vector_f32[3] = 2.0**100
    execute(sdwa, waves, code)
    assert (waves.vector_f32[2] == (0 if flushes else 2.0**-49)).all() and not (waves.vector[2] >> 31).any()
    execute(ins.VOP2_DPP16(VOP2Op.V_MUL_F32_E32, v[2], _dpp(), v[3], vsrc0=v[0], dpp=0xE4, row_mask=15, bank_mask=15,
                           src0_abs=1), waves, code)  # fmt: skip
    assert (waves.vector_f32[2] == (0 if flushes else 2.0**-49)).all()
    execute(
        ins.VOPC_SDWA_SDST(VOPCOp.V_CMP_LT_F32_E32, src0=SDWA, vsrc0=v[0], vsrc1=v[1], src0_sel=6, src1_sel=6),
        waves,
        code,
    )
    assert bool(waves.pairs64[53][0]) != flushes
    waves.vector[0], waves.vector[3] = 0x0001_7777, 0x3C00
    half = ins.VOP2_SDWA(VOP2Op.V_ADD_F16_E32, v[2], SDWA, v[1], vsrc0=v[0], **{**whole, "src0_sel": 5, "src1_sel": 4})
    execute(half, waves, code)
    assert (waves.vector[2] == (1 if mode is Denormals.KEEP else 0)).all()


def test_constants_of_16_bits() -> None:
    """LLVM: as integers of 16 bits the floating-point ones "appear to not work"; in SDWA form no text says what a part
    of one is."""
    waves = _waves(1)
    waves.vector[1] = 0x1_0002
    for refused in (
        ins.VOP3(VOP3Op.V_ADD_U16_E64, v[2], 1.0, v[1]),
        ins.VOP3(VOP3Op.V_MAX_I16_E64, v[2], v[1], -4.0),
        ins.VOP1(VOP1Op.V_CVT_F32_BF16_E32, v[2], 1.0),
        ins.VOP3P(VOP3POp.V_PK_ADD_U16, v[2], 1.0, v[1]),
        ins.VOPC(VOPCOp.V_CMP_EQ_U16_E32, 0.5, v[1]),
        ins.VOP2_SDWA(VOP2Op.V_ADD_F16_E32, v[2], SDWA, v[1], vsrc0=v[242], s0=1, src0_sel=6, src1_sel=6, dst_sel=6),
        ins.VOP2_SDWA(VOP2Op.V_ADD_U32_E32, v[2], SDWA, v[1], vsrc0=v[242], s0=1, src0_sel=5, src1_sel=6, dst_sel=6),
    ):  # fmt: skip
        with pytest.raises(UnmodelledInstructionError, match="constant"):
            execute(refused, waves)
    execute(ins.VOP3(VOP3Op.V_ADD_U16_E64, v[2], -1, v[1]), waves)
    assert (waves.vector[2] == 1).all()
    execute(ins.VOP3(VOP3Op.V_ADD_F16_E64, v[2], 1.0, 0), waves)
    assert (waves.vector[2] == 0x3C00).all()
    execute(ins.VOP3(VOP3Op.V_PACK_B32_F16, v[2], 1.0, v[1], opsel=2, neg=3, abs=2), waves)
    assert (waves.vector[2] == 0x8001_BC00).all()


@pytest.mark.parametrize("name", ["v_fma_f16", "v_div_fixup_f16", "v_add_i16", "v_sub_i16", "v_bitop3_b16"])
@pytest.mark.parametrize("select", [0, 1, 2, 6, 8, 13, 15])
def test_halves_that_op_sel_chooses(name: str, select: int) -> None:
    """Its bits choose the half of each source and of the result; the other half stays, whatever they are (manual of
    Vega, V_MAD_U16: "hi 16 bits are preserved"). The same sources, moved to the low halves, tell the result."""
    count = 2 if name[-3:] == "i16" else 3
    halves = RNG.integers(0, 1 << 16, (4, 2, 2, 64), dtype=np.uint32)  # register, wave, half, lane
    table = " bitop3:0x36" if "bitop3" in name else ""

    def run(sources: Any, chosen: int) -> Any:
        waves = new_waves(code_of(b""), 2)
        waves.vector[:4] = sources[:, :, 0] | sources[:, :, 1] << np.uint32(16)
        bits = ",".join(str(chosen >> k & 1) for k in (*range(count), 3))
        operands = ", ".join(f"v{k}" for k in (3, *range(count)))
        execute(assemble([f"{name} {operands}{table} op_sel:[{bits}]"]), waves)
        return waves.vector[3]

    lowered = halves.copy()
    for k in range(3):
        lowered[k, :, 0] = halves[k, :, select >> k & 1]
    low = run(lowered, 0)
    assert (low >> 16 == halves[3, :, 1]).all()
    want = [low & 0xFFFF, halves[3, :, 1]] if not select & 8 else [halves[3, :, 0], low & 0xFFFF]
    assert (run(halves, select) == want[0] | want[1] << 16).all()


@pytest.mark.parametrize(
    "instruction",
    [
        ins.VOP3(VOP3Op.V_ADD_F16_E64, v[2], v[0], v[1], opsel=8),
        ins.VOP3(VOP3Op.V_MAX_U16_E64, v[2], v[0], v[1], opsel=2),
        ins.VOP3(VOP3Op.V_CVT_F16_F32_E64, v[2], v[0], opsel=8),
        ins.VOP3(VOP3Op.V_ADD_F32_E64, v[2], v[0], v[1], opsel=1),
        ins.VOP3(VOP3Op.V_PACK_B32_F16, v[2], v[0], v[1], opsel=8),
        ins.VOP3_SDST(VOP3Op.V_CMP_EQ_F16_E64, s[4:5], v[0], v[1], opsel=1),
    ],
)
def test_halves_where_llvm_has_no_op_sel_are_refused(instruction: Any) -> None:
    with pytest.raises(UnmodelledInstructionError, match="opsel"):
        execute(instruction, _waves(1))


@pytest.mark.parametrize("op", ["V_ADD_CO_U32_E32", "V_SUBREV_CO_U32_E32", "V_ADDC_CO_U32_E32", "V_SUBBREV_CO_U32_E32"])
def test_carry_of_lanes_that_a_permutation_leaves_alone_is_refused(op: str) -> None:
    """Whether the carry of a lane that DPP does not write is kept or 0 is told nowhere."""
    dpp = ins.VOP2_DPP16(VOP2Op[op], v[2], _dpp(), v[1], vsrc0=v[0], dpp=0x111, row_mask=15, bank_mask=15)
    with pytest.raises(UnmodelledInstructionError, match="carry"):
        execute(dpp, _waves(1))


@pytest.mark.parametrize("scale", [0x7F80_0000, 0xFF80_0000, 0x7FC0_0000])
def test_scale_that_is_no_power_of_two_is_refused(scale: int) -> None:
    """Of lanes that are on; its exponent is 255, which is no number in the format that the manual names."""
    waves = _waves(1)
    waves.vector_f32[0:2] = 1
    waves.vector[2] = 0x3F80_0000
    waves.vector[2][0, 63] = scale
    for op in ("V_CVT_SCALEF32_PK_FP8_F32", "V_CVT_SCALEF32_PK_BF8_F32"):
        with pytest.raises(UnmodelledInstructionError, match="scale"):
            execute(ins.VOP3(VOP3Op[op], v[3], v[0], v[1], v[2]), waves)
    for op in ("V_CVT_SCALEF32_PK_F32_FP8", "V_CVT_SCALEF32_PK_F32_FP4"):
        with pytest.raises(UnmodelledInstructionError, match="scale"):
            execute(ins.VOP3(VOP3Op[op], v[4:5], v[0], v[2]), waves)
    set_exec(waves, [(1 << 63) - 1])
    execute(ins.VOP3(VOP3Op.V_CVT_SCALEF32_PK_FP8_F32, v[3], v[0], v[1], v[2]), waves)
    assert (waves.vector[3][0, :63] & 0xFFFF == 0x3838).all()


@pytest.mark.parametrize("bits", [16, 32, 64])
@pytest.mark.parametrize("signalling", [False, True])
def test_larger_than_zero(bits: int, signalling: bool) -> None:
    """A quiet NaN loses against 0, a signalling one comes out quiet, and -0 gives +0; in place too."""
    tops = {16: (0x7E01, 0x7C01, 0x7C00, 0x3C00), 32: (0x7FC0_0001, 0x7F80_0001, 0x7F80_0000, 0x3F80_0000)}
    quiet, loud, infinite, one = tops.get(
        bits, tuple(x << 32 for x in (0x7FF8_0001, 0x7FF0_0001, 0x7FF0_0000, 0x3FF0_0000))
    )
    sign, mark = 1 << bits - 1, {16: 0x200, 32: 0x40_0000, 64: 0x8_0000 << 32}[bits]
    pairs = [(quiet, 0), (quiet | sign, 0), (sign, 0), (0, 0), (one, one), (one | sign, 0), (infinite, infinite),
             (infinite | sign, 0), (1, 1), (1 | sign, 0)]  # fmt: skip
    pairs += [(loud, loud | mark), (loud | sign, loud | sign | mark)] * signalling
    values, wanted = (np.resize(np.array(column, f"u{bits // 8}"), 64) for column in zip(*pairs, strict=True))
    name = f"V_MAX_F{bits}"
    op = VOP3Op.__members__.get(f"{name}_E64") or VOP3Op[name]
    waves = _waves(1)
    words = values.view(np.uint32).reshape(64, 2).T if bits == 64 else values.astype(np.uint32)[np.newaxis]
    waves.vector[: len(words), 0] = words
    register = v[0:1] if bits == 64 else v[0]
    for order in ((0, register), (register, 0)):
        waves.vector[: len(words), 0] = words
        execute(ins.VOP3(op, register, *order), waves)
        got = waves.vector[: len(words), 0].T.copy().view(f"u{bits // 8}")[:, 0]
        assert got.tolist() == wanted.tolist()


def _set_doubles(waves: Any, row: int, values: Any) -> None:
    pairs = np.asarray(values, np.float64).view(np.uint32).reshape(-1, 64, 2)
    waves.vector[row], waves.vector[row + 1] = pairs[..., 0], pairs[..., 1]


def _doubles(waves: Any, row: int) -> Any:
    return np.stack([waves.vector[row], waves.vector[row + 1]], axis=-1).view(np.float64)[..., 0]


def _exact_or(value: float, function: Any, otherwise: float) -> float:
    """The function where it has a value."""
    try:
        return float(function(value))
    except (ValueError, OverflowError, ZeroDivisionError):
        return otherwise


def _quotient(value: float) -> float:
    return math.copysign(math.inf, value) if value == 0 else 1 / value


def _root(value: float) -> float:
    return value if value == 0 or math.isnan(value) else math.sqrt(value) if value > 0 else math.nan


def _logarithm(value: float) -> float:
    return -math.inf if value == 0 else math.log2(value) if value > 0 else math.nan


HALVES: dict[str, Any] = {
    "v_floor_f16": lambda x: math.copysign(math.floor(x), x),
    "v_ceil_f16": lambda x: math.copysign(math.ceil(x), x),
    "v_trunc_f16": lambda x: math.copysign(math.trunc(x), x),
    "v_rndne_f16": lambda x: math.copysign(round(x), x),
    "v_fract_f16": lambda x: math.nan if math.isinf(x) else min(x + -math.floor(x), 1 - 2**-11),
    "v_frexp_mant_f16": lambda x: math.frexp(x)[0],
    "v_sqrt_f16": _root,
    "v_rcp_f16": _quotient,
    "v_rsq_f16": lambda x: _quotient(_root(x)),
    "v_exp_f16": lambda x: math.inf if x > 100 else 2.0**x,
    "v_log_f16": _logarithm,
    "v_sin_f16": lambda x: math.nan if math.isinf(x) else math.sin(2 * math.pi * math.fmod(x, 1)),
    "v_cos_f16": lambda x: math.nan if math.isinf(x) else math.cos(2 * math.pi * math.fmod(x, 1)),
}


@pytest.mark.parametrize("name", sorted(HALVES))
def test_every_half(name: str) -> None:
    """All 65,536 of them: exact, transcendentals within the last place."""
    waves = new_waves(code_of(b""), 1024)
    bits = np.arange(1 << 16, dtype=np.uint32)
    waves.vector[0] = bits.reshape(1024, 64) | 0xABCD_0000
    waves.vector[1] = 0xFFFF_FFFF
    execute(assemble([f"{name}_e32 v1, v0"]), waves)
    assert not (waves.vector[1] >> 16).any()
    got = waves.vector[1].ravel().astype(np.uint16)
    with np.errstate(over="ignore", invalid="ignore"):
        sources = bits.astype(np.uint16).view(np.float16).astype(np.float64).tolist()
        want = np.array([_exact_or(x, HALVES[name], x) for x in sources]).astype(np.float16)
    numbers = ~np.isnan(want)
    assert (np.isnan(got.view(np.float16)) == ~numbers).all()
    apart = np.abs(got.astype(np.int64) - want.view(np.uint16).astype(np.int64))[numbers]
    if name in ("v_sin_f16", "v_cos_f16"):
        # Around 0 the reference itself is off by the rounding of pi.
        assert np.abs(got.view(np.float16).astype(float) - want.astype(float))[numbers].max() <= 2**-11
    elif name in ("v_exp_f16", "v_log_f16", "v_rsq_f16", "v_sqrt_f16", "v_rcp_f16"):
        assert apart.max() <= 1
    else:
        assert not apart.any()


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_fraction_and_exponent(bits: int) -> None:
    dtype: Any = np.dtype(f"f{bits // 8}")
    info = np.finfo(dtype)
    values = np.resize(
        np.array([0.0, -0.0, 1, -1, 0.75, -3, info.max, info.tiny, info.smallest_subnormal, -5 * info.smallest_subnormal,
                  np.inf, -np.inf, np.nan, info.tiny * 0.75], dtype), 64
    )  # fmt: skip
    waves = _waves(1)
    if bits == 64:
        _set_doubles(waves, 0, values)
        source, target = "v[0:1]", "v[2:3]"
    else:
        waves.vector[0] = values.view(f"u{bits // 8}")
        source, target = "v0", "v2"
    execute(assemble([f"v_frexp_mant_f{bits}_e32 {target}, {source}"]), waves)
    execute(assemble([f"v_frexp_exp_i{min(bits, 32)}_f{bits}_e32 v4, {source}"]), waves)
    mantissas = _doubles(waves, 2)[0] if bits == 64 else waves.vector[2][0].astype(f"u{bits // 8}").view(dtype)
    for lane, value in enumerate(values.tolist()):
        mantissa, exponent = math.frexp(value)
        exponent = exponent if math.isfinite(value) else 0
        assert struct.pack("d", mantissas[lane]) == struct.pack("d", mantissa) or math.isnan(value)
        assert int(waves.vector[4][0, lane]) == exponent & (0xFFFF if bits == 16 else 0xFFFF_FFFF)


def test_fraction_of_doubles() -> None:
    waves = _waves(1)
    values = np.resize([0.25, -0.25, -1e-30, 3.0, -0.0, 1e300, np.inf, np.nan, -2.5], 64)
    _set_doubles(waves, 0, values)
    execute(assemble(["v_fract_f64_e32 v[2:3], v[0:1]"]), waves)
    for got, value in zip(_doubles(waves, 2)[0].tolist(), values.tolist(), strict=True):
        if math.isfinite(value):
            assert got == min(value - math.floor(value), 1 - 2**-53)
        else:
            assert math.isnan(got)


def test_parts_of_two_over_pi() -> None:
    """Against the first 256 bits of 2 / pi, as tables for the reduction of angles have them."""
    table = 0xA2F9836E_4E441529_FC2757D1_F534DDC0_DB629599_3C439041_FE5163AB_DEBBC561
    waves = _waves(1)
    exponents = np.resize([0, 30, 60, 100], 64)
    _set_doubles(waves, 0, np.ldexp(1.5, np.where(exponents == 0, 5, 1077 - 1023 + exponents)))
    waves.vector[2] = np.resize([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 33], 64)
    execute(assemble(["v_trig_preop_f64 v[4:5], v[0:1], v2"]), waves)
    for lane, got in enumerate(_doubles(waves, 4)[0].tolist()):
        shift = (int(waves.vector[2][0, lane]) & 31) * 53 + int(exponents[lane])
        assert got == math.ldexp((table >> 256 - 53 - shift) & (1 << 53) - 1, -53 - shift)
    # So large an angle that its parts would be denormal: they come scaled.
    _set_doubles(waves, 0, np.full(64, math.ldexp(1, 1968 - 1023)))
    waves.vector[2] = 0
    execute(assemble(["v_trig_preop_f64 v[4:5], v[0:1], v2"]), waves)
    assert 0 < _doubles(waves, 4)[0, 0] < math.ldexp(1, 128 - (1968 - 1077))


def _middle(a: float, b: float, c: float) -> float:
    return sorted((a, b, c))[1]


@pytest.mark.parametrize("name", ["max3", "min3", "med3"])
def test_three_halves(name: str) -> None:
    """The other half of the register stays; NaNs lose."""
    waves = _waves(2)
    before = waves.vector[3].copy()
    values = RNG.choice(np.array([0, 1, -1, 65504, -np.inf, np.inf, 2**-24, -(2**-20), 3.5], np.float16), (3, 2, 64))
    values[0, :, ::9] = np.nan
    for row in range(3):
        waves.vector[row] = values[row].view(np.uint16)
    execute(assemble([f"v_{name}_f16 v3, v0, v1, v2"]), waves)
    functions: dict[str, Any] = {"max3": max, "min3": min, "med3": _middle}
    function = functions[name]
    for wave, lane in np.ndindex(2, 64):
        numbers = [x for x in values[:, wave, lane].tolist() if x == x]
        # ISA manual, V_MED3_F16: the least where one is NaN.
        want = function(*numbers) if len(numbers) == 3 or name != "med3" else min(numbers)
        assert waves.vector[3][wave, lane] >> 16 == before[wave, lane] >> 16
        assert waves.vector[3][wave, lane].astype(np.uint16).view(np.float16) == want


def test_halves_and_integers() -> None:
    waves = _waves(1)
    numbers = np.resize(np.array([0, 1, -1, 2049, 2051, -2049, 32767, -32768, 65535, 65519], np.int64), 64)
    waves.vector[0] = numbers & 0xFFFF
    execute(assemble(["v_cvt_f16_i16_e32 v1, v0"]), waves)
    execute(assemble(["v_cvt_f16_u16_e32 v2, v0"]), waves)
    halves = np.resize(np.array([0.9, -0.9, 3.5, -3.5, 65504, -65504, np.inf, -np.inf, np.nan, 32768], np.float16), 64)
    waves.vector[3] = halves.view(np.uint16)
    execute(assemble(["v_cvt_i16_f16_e32 v4, v3"]), waves)
    execute(assemble(["v_cvt_u16_f16_e32 v5, v3"]), waves)
    for lane in range(64):
        low = int(waves.vector[0][0, lane])
        for row, number in ((1, low - (low >> 15 << 16)), (2, low)):
            with np.errstate(over="ignore"):
                assert int(waves.vector[row][0, lane]) == np.float16(float(number)).view(np.uint16)
        value = float(halves[lane])
        for row, (least, most) in ((4, (-32768, 32767)), (5, (0, 65535))):
            want = 0 if math.isnan(value) else int(max(least, min(most, value)))
            assert int(waves.vector[row][0, lane]) == want & 0xFFFF


@pytest.mark.parametrize(("name", "bits", "shift"), [("u8", 8, 0), ("hi_u8", 8, 16), ("u16", 16, 0), ("u32", 32, 0)])
def test_sums_of_differences(name: str, bits: int, shift: int) -> None:
    waves = _waves(2)
    a, b, c = (waves.vector[row].copy() for row in range(3))
    execute(assemble([f"v_sad_{name} v3, v0, v1, v2"]), waves)
    for wave, lane in np.ndindex(2, 64):
        x, y = int(a[wave, lane]), int(b[wave, lane])
        total = sum(abs((x >> k & (1 << bits) - 1) - (y >> k & (1 << bits) - 1)) for k in range(0, 32, bits))
        assert int(waves.vector[3][wave, lane]) == ((total << shift) + int(c[wave, lane])) & 0xFFFF_FFFF


@pytest.mark.parametrize("bits", [16, 32, 64])
@pytest.mark.parametrize("form", ["v_cmp_class", "v_cmpx_class"])
def test_classes(bits: int, form: str) -> None:
    exponent_bits, mantissa_bits = {16: (5, 10), 32: (8, 23), 64: (11, 52)}[bits]
    top, sign, quiet = ((1 << exponent_bits) - 1) << mantissa_bits, 1 << bits - 1, 1 << mantissa_bits - 1
    one = (top >> 1) & ~((1 << mantissa_bits) - 1)
    members = [top | 1, top | quiet, sign | top, sign | one, sign | 5, sign, 0, 5, one, top]
    numbers = [members[lane % 10] for lane in range(64)]
    waves = _waves(1)
    waves.vector[0] = [number & 0xFFFF_FFFF for number in numbers]
    waves.vector[1] = [number >> 32 for number in numbers] if bits == 64 else 0
    masks = RNG.integers(0, 1 << 10, 64)
    waves.vector[2] = masks
    execute(assemble([f"{form}_f{bits}_e64 s[4:5], {'v[0:1]' if bits == 64 else 'v0'}, v2"]), waves)
    want = sum(1 << lane for lane in range(64) if masks[lane] >> lane % 10 & 1)
    assert int(waves.pairs64[2][0]) == want
    assert form == "v_cmp_class" or int(waves.pairs64[63][0]) == want


PACKED_OF_THREE: dict[str, Any] = {
    "v_pk_fma_f16": lambda a, b, c: _fused(a, b, c),
    "v_pk_mad_u16": lambda a, b, c: a * b + c,
    "v_pk_mad_i16": lambda a, b, c: a * b + c,
    "v_pk_maximum3_f16": lambda *x: math.nan if any(map(math.isnan, x)) else max(x),
    "v_pk_minimum3_f16": lambda *x: math.nan if any(map(math.isnan, x)) else min(x),
}


def _fused(a: float, b: float, c: float) -> float:
    """Exact before its last rounding, which is the caller's."""
    if not all(map(math.isfinite, (a, b, c))):
        return a * b + c
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    return float(exact) if exact else a * b + c


@pytest.mark.parametrize("name", sorted(PACKED_OF_THREE))
def test_packed_of_three(name: str) -> None:
    """Halves chosen crosswise: of the first source swapped, of the second the low one twice."""
    waves = _waves(2)
    floats = name.endswith("f16")
    if floats:
        numbers = np.array([0, 1, -1.5, 0.1, 100, -3000, np.inf, np.nan, 2**-24, 2049], np.float16)
        for row in range(3):
            waves.vector[row] = RNG.choice(numbers, (2, 64, 2)).view(np.uint32)[..., 0]
    execute(assemble([f"{name} v3, v0, v1, v2 op_sel:[1,0,0] op_sel_hi:[0,0,1]"]), waves)
    halves = [waves.vector[row].copy().view(np.float16 if floats else np.uint16).reshape(2, 64, 2) for row in range(4)]
    for wave, lane, half in np.ndindex(2, 64, 2):
        picks = (1 - half, 0, half)
        sources = [halves[k][wave, lane, pick].item() for k, pick in enumerate(picks)]
        got, want = halves[3][wave, lane, half].item(), PACKED_OF_THREE[name](*sources)
        if floats:
            with np.errstate(over="ignore"):
                want = float(np.float16(want))
            assert got == want or (math.isnan(got) and math.isnan(want))
        else:
            assert got == want & 0xFFFF


@pytest.mark.parametrize("name", ["v_mad_mix_f32", "v_mad_mixlo_f16", "v_mad_mixhi_f16"])
def test_multiply_add_of_singles_and_halves(name: str) -> None:
    """The first is a single, the second a high half negated, the third the size of a low one; one rounding."""
    waves = _waves(2)
    waves.vector_f32[0] = RNG.standard_normal((2, 64)) * 1000
    waves.vector_f32[0][:, :4] = [np.inf, 0, np.nan, 3e38]
    numbers = np.array([1, -1.5, 0.1, 100, -3000, 2**-24, 2049, -0.0], np.float16)
    for row in (1, 2):
        waves.vector[row] = RNG.choice(numbers, (2, 64, 2)).view(np.uint32)[..., 0]
    before = waves.vector[3].copy()
    fused = name.replace("mad", "fma")
    execute(assemble([f"{fused} v3, v0, -v1, |v2| op_sel:[0,1,0] op_sel_hi:[0,1,1]"]), waves)
    halves = waves.vector.copy().view(np.float16).reshape(*waves.vector.shape, 2)
    for wave, lane in np.ndindex(2, 64):
        a, b, c = waves.vector_f32[0][wave, lane], -halves[1, wave, lane, 1], abs(halves[2, wave, lane, 0])
        with np.errstate(over="ignore"):
            want = np.float32(_fused(float(a), float(b), float(c)))
            half = np.float16(want)
        if name.endswith("f32"):
            got: Any = waves.vector_f32[3][wave, lane]
        else:
            high = int(name.endswith("hi_f16"))
            got, want = halves[3, wave, lane, high], half
            assert (waves.vector[3] ^ before)[wave, lane] & (0xFFFF if high else 0xFFFF_0000) == 0
        assert got == want or (np.isnan(got) and np.isnan(want))


@pytest.mark.parametrize("constant", ["1.0", "-0.5", "0", "0.15915494"])
def test_constants_as_halves_among_singles(constant: str) -> None:
    """A sum of two halves, as LLVM makes it of their product with 1: the constant has the source's format."""
    waves = _waves(1)
    halves = RNG.standard_normal((2, 64)).astype(np.float16)
    waves.vector[0:2] = halves.view(np.uint16)[:, np.newaxis]
    execute(assemble([f"v_fma_mix_f32 v3, v0, {constant}, v1 op_sel_hi:[1,1,1]"]), waves)
    factor = float(np.float16(float(constant)))
    assert (waves.vector_f32[3][0] == (halves[0] * np.float64(factor) + halves[1]).astype(np.float32)).all()


@pytest.mark.parametrize(("count", "bits"), [(2, 16), (4, 8), (8, 4)])
@pytest.mark.parametrize("kind", ["i", "u"])
def test_dot_products_of_integers(count: int, bits: int, kind: str) -> None:
    waves = _waves(2)
    a, b, c = (waves.vector[row].copy() for row in range(3))
    execute(assemble([f"v_dot{count}_{kind}32_{kind}{bits} v3, v0, v1, v2"]), waves)
    if kind == "i":
        # The form that adds to its result.
        execute(assemble([f"v_dot{count}c_i32_i{bits} v2, v0, v1"]), waves)
        assert (waves.vector[2] == waves.vector[3]).all()
    for wave, lane in np.ndindex(2, 64):
        total = int(c[wave, lane])
        for first in range(0, 32, bits):
            parts = [int(x[wave, lane]) >> first & (1 << bits) - 1 for x in (a, b)]
            if kind == "i":
                parts = [x - (x >> bits - 1 << bits) for x in parts]
            total += parts[0] * parts[1]
        assert int(waves.vector[3][wave, lane]) == total & 0xFFFF_FFFF


@pytest.mark.parametrize("kind", ["f16", "bf16"])
@pytest.mark.parametrize("form", ["three sources", "adds to its result", "DPP", "clamp"])
def test_dot_products_of_halves(kind: str, form: str) -> None:
    """Every step rounded to single precision, in the order of AMD's text: the addend comes last in one of them."""
    waves = _waves(2)
    numbers = (RNG.standard_normal((2, 2, 64, 2)) * np.exp2(RNG.integers(-6, 7, (2, 2, 64, 2)))).astype(np.float32)
    numbers[0, 0, :4, 0] = [np.inf, np.nan, 1e-6, -0.0]
    raw = numbers.astype(np.float16).view(np.uint16) if kind == "f16" else (numbers.view(np.uint32) >> 16)
    raw = raw.astype(np.uint16)
    numbers = raw.view(np.float16) if kind == "f16" else (raw.astype(np.uint32) << 16).view(np.float32)
    waves.vector[0:2] = raw.view(np.uint32)[..., 0]
    waves.vector_f32[2] = RNG.standard_normal((2, 64))
    c = waves.vector_f32[2].copy()
    line = {
        "three sources": f"v_dot2_f32_{kind} v2, v0, v1, v2",
        "adds to its result": f"v_dot2c_f32_{kind} v2, v0, v1",
        "DPP": f"v_dot2c_f32_{kind}_dpp v2, v0, v1 quad_perm:[1,0,3,2] row_mask:0xf bank_mask:0xf",
        "clamp": f"v_dot2c_f32_{kind}_e64 v2, v0, v1 clamp",
    }[form]
    execute(assemble([line]), waves)
    for wave, lane in np.ndindex(2, 64):
        a = [np.float32(x) for x in numbers[0, wave, lane ^ 1 if form == "DPP" else lane]]
        b = [np.float32(x) for x in numbers[1, wave, lane]]
        with np.errstate(all="ignore"):
            if (form, kind) == ("three sources", "bf16"):
                want = a[0] * b[0] + a[1] * b[1] + c[wave, lane]
            else:
                want = c[wave, lane] + a[0] * b[0] + a[1] * b[1]
        if form == "clamp":
            want = np.float32(0) if want != want else np.clip(want, np.float32(0), np.float32(1))
        got = waves.vector_f32[2][wave, lane]
        assert got == want or (np.isnan(got) and np.isnan(want)), (wave, lane)


def test_registers_change_places_where_lanes_are_on() -> None:
    waves = _waves(2)
    set_exec(waves, HALF_OFF)
    first, second = waves.vector[3].copy(), waves.vector[7].copy()
    execute(assemble(["v_swap_b32 v3, v7"]), waves)
    on = np.array([HALF_OFF >> lane & 1 for lane in range(64)], bool)
    assert (waves.vector[3] == np.where(on, second, first)).all()
    assert (waves.vector[7] == np.where(on, first, second)).all()


@pytest.mark.parametrize("line", [
    "v_dot4_i32_i8 v3, v0, v1, v2 clamp", "v_dot2_f32_f16 v3, v0, 1.0, v2", "v_dot2c_f32_bf16 v3, 1.0, v2",
    "v_dot2_f32_bf16 v3, v0, v1, v2 neg_lo:[1,0,0]", "v_fma_mix_f32 v3, v0, 3, v2 op_sel_hi:[0,1,0]", "v_fma_mix_f32 v3, v0, 1.0, v2 op_sel:[0,1,0] op_sel_hi:[0,1,0]",
    "v_cvt_scalef32_pk_fp8_f16 v3, 1.0, v1",
])  # fmt: skip
def test_forms_that_are_refused(line: str) -> None:
    with pytest.raises(UnmodelledInstructionError):
        execute(assemble([line]), _waves(1))


def test_dpp_on_halves() -> None:
    """The lane's register moves whole; a result of 16 bits clears the other half where it is written."""
    waves = _waves(2)
    numbers = RNG.standard_normal((2, 2, 64)).astype(np.float16)
    for row in range(2):
        waves.vector[row] = numbers[row].view(np.uint16).astype(np.uint32) | 0xBEEF_0000
    before = waves.vector[2].copy()
    execute(assemble(["v_mul_f16_dpp v2, -v0, v1 row_shr:3 row_mask:0xf bank_mask:0xf"]), waves)
    for wave, lane in np.ndindex(2, 64):
        want = int(before[wave, lane])
        if lane % 16 >= 3:
            want = int((-numbers[0, wave, lane - 3] * numbers[1, wave, lane]).view(np.uint16))
        assert int(waves.vector[2][wave, lane]) == want
