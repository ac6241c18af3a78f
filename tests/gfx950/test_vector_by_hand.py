"""Vector instructions whose pseudocode says too little, against expectations computed another way, lane by lane."""

from __future__ import annotations

import math
import struct
import sys
from typing import Any

import numpy as np
import pytest

if sys.version_info < (3, 11):
    pytest.skip("the decoder needs Python 3.11", allow_module_level=True)

from tinygrad.renderer.amd.dsl import SDWA, s, v
from tinygrad.runtime.autogen.amd.cdna import ins
from tinygrad.runtime.autogen.amd.cdna.enum import VOP1Op, VOP2Op, VOP3Op, VOP3POp, VOPCOp

from aiterfix.gfx950.instruction import UnmodelledInstructionError
from aiterfix.gfx950.kernel_descriptor import Denormals
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
    set_exec(waves, HALF_OFF)
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
        (ins.VOP3(VOP3Op.V_ADD_U32_E64, v[1], v[0], v[2], clmp=1), "clamp"),
        (ins.VOP3(VOP3Op.V_SAD_U8, v[1], v[0], v[2], v[3]), "no semantics"),
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
