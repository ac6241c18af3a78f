"""Conversions to and from 8 bits, against rounding done number by number, and against the mode that they depend on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.emulator import RUNS_HERE, WHY_NOT

if not RUNS_HERE:
    pytest.skip(WHY_NOT, allow_module_level=True)

from tinygrad.renderer.amd.dsl import SDWA, v
from tinygrad.runtime.autogen.amd.cdna import ins
from tinygrad.runtime.autogen.amd.cdna.enum import SOPKOp, VOP1Op, VOP2Op, VOP3Op, VOP3POp

from aiterfix.gfx950.instruction import UnmodelledInstructionError
from tests.gfx950.lane_machine import assemble
from tests.gfx950.single import code_of, execute, new_waves, set_exec
from tests.gfx950.test_mfma import _decoded, e4m3fn, e5m2

OVERFLOW = 23 << 6 | 1
"""MODE, bit 23, one bit."""
DECODERS = {"fp8": e4m3fn, "bf8": e5m2}


def _nearest(value: float, fmt: str, clamps: bool) -> int:
    """The code of the nearest number, the even one of two; written out by search."""
    sign = 0x80 if np.signbit(value) else 0
    if value != value:
        return sign | 0x7F
    finite = [code for code in range(128) if np.isfinite(DECODERS[fmt](code))]
    largest, step = DECODERS[fmt](finite[-1]), DECODERS[fmt](finite[-1]) - DECODERS[fmt](finite[-2])
    # One code more, as if the exponents went on: what rounds there is too large.
    candidates = [(abs(DECODERS[fmt](code) - abs(value)), code & 1, code) for code in finite]
    candidates.append((abs(largest + step - abs(value)), (finite[-1] + 1) & 1, -1))
    code = -1 if abs(value) >= largest + step else min(candidates)[2]
    if code < 0:
        code = finite[-1] if clamps else {"fp8": 0x7F, "bf8": 0x7C}[fmt]
    return sign | code


def _values() -> Any:
    rng = np.random.default_rng(3)
    values = np.ldexp(1 + rng.random(128), rng.integers(-22, 18, 128)) * rng.choice([-1, 1], 128)
    values[:24] = [0.0, -0.0, 448, 464, 464.01, 479, 480, -448, 57344, 61439, 61440, 65536, np.nan, 1e30, 2.0**-10, 2.0**-9,
                   3 * 2.0**-10, 2.0**-17, 2.0**-16, 3 * 2.0**-17, 1.0625, 1.1875, 1.125, 240]  # fmt: skip
    return values.astype(np.float32)


@pytest.mark.parametrize("fmt", ["fp8", "bf8"])
@pytest.mark.parametrize("clamps", [False, True])
@pytest.mark.parametrize("form", ["V_CVT_PK_{}_F32", "V_CVT_SCALEF32_PK_{}_F32"])
@pytest.mark.parametrize("half", [0, 1])
def test_two_singles(fmt: str, clamps: bool, form: str, half: int) -> None:
    waves = new_waves(code_of(b""), 1)
    values = _values().reshape(2, 64)
    scale = 2.0**3 if "SCALE" in form else 1.0
    waves.vector_f32[0:2, 0] = values * np.float32(scale)
    waves.vector_f32[2] = 12.0  # of a scale, the exponent counts
    waves.vector[3] = 0xABCD_1234
    if clamps:
        execute(ins.SOPK_LIT(SOPKOp.S_SETREG_IMM32_B32, v[0].__class__(0, 1), OVERFLOW, literal=1), waves)
    sources = [v[0], v[1], v[2]][: 3 if "SCALE" in form else 2]
    set_exec(waves, 0xFFFF_FFFF_FFFF_FFF0)
    execute(ins.VOP3(VOP3Op[form.format(fmt.upper())], v[3], *sources, opsel=8 * half), waves)
    for lane in range(64):
        low, high = (_nearest(float(values[k, lane]), fmt, clamps) for k in range(2))
        packed = low | high << 8
        want = 0xABCD_1234 if lane < 4 else packed << 16 | 0x1234 if half else 0xABCD_0000 | packed
        assert int(waves.vector[3][0, lane]) == want, (lane, values[:, lane])


def test_infinity_while_overflow_clamps_is_refused() -> None:
    waves = new_waves(code_of(b""), 1)
    waves.vector_f32[0] = np.inf
    convert = ins.VOP3(VOP3Op.V_CVT_PK_BF8_F32, v[3], v[0], v[1])
    execute(convert, waves)
    assert (waves.vector[3] == 0x7C).all()
    execute(ins.SOPK_LIT(SOPKOp.S_SETREG_IMM32_B32, v[0].__class__(0, 1), OVERFLOW, literal=1), waves)
    with pytest.raises(UnmodelledInstructionError, match="infinite"):
        execute(convert, waves)


@pytest.mark.parametrize("place", [1, OVERFLOW | 1 << 11, 4 << 6 | 1 | 1 << 11, 23 << 6 | 2])
def test_other_hardware_registers_are_refused(place: int) -> None:
    with pytest.raises(UnmodelledInstructionError, match="FP16_OVFL"):
        execute(
            ins.SOPK_LIT(SOPKOp.S_SETREG_IMM32_B32, v[0].__class__(0, 1), place, literal=1), new_waves(code_of(b""), 1)
        )


def test_halves_where_overflow_clamps_are_refused() -> None:
    """MODE.FP16_OVFL changes them too, which is not modelled."""
    setting = ins.SOPK_LIT(SOPKOp.S_SETREG_IMM32_B32, v[0].__class__(0, 1), OVERFLOW, literal=1)
    code = replace(code_of(setting.to_bytes()))
    code.__dict__["_lines"] = ([], [])
    for halves in (
        ins.VOP2(VOP2Op.V_ADD_F16_E32, v[1], v[0], v[0]),
        ins.VOP1(VOP1Op.V_CVT_F16_F32_E32, v[1], v[0]),
        ins.VOP3(VOP3Op.V_CVT_PK_F16_F32, v[1], v[0], v[0]),
        ins.VOP3P(VOP3POp.V_PK_MUL_F16, v[1], v[0], v[0]),
    ):
        execute(halves, new_waves(code, 1))
        with pytest.raises(UnmodelledInstructionError, match="FP16_OVFL"):
            execute(halves, new_waves(code, 1), code)


@pytest.mark.parametrize("fmt", ["fp8", "bf8"])
def test_back_to_singles(fmt: str) -> None:
    waves = new_waves(code_of(b""), 1)
    waves.vector[0] = np.arange(256, dtype=np.uint8).view(np.uint32)
    raw = waves.vector[0].copy().view(np.uint8).reshape(64, 4)

    def same(got: Any, codes: Any) -> None:
        want = np.array([DECODERS[fmt](int(code)) for code in codes], np.float32)
        assert ((got == want) & (np.signbit(got) == np.signbit(want)) | (np.isnan(got) & np.isnan(want))).all()

    single, pair = VOP1Op[f"V_CVT_F32_{fmt.upper()}_E32"], VOP1Op[f"V_CVT_PK_F32_{fmt.upper()}_E32"]
    for byte in range(4):
        execute(ins.VOP1_SDWA(single, v[1], SDWA, vsrc0=v[0], dst_sel=6, src0_sel=byte), waves)
        same(waves.vector_f32[1][0], raw[:, byte])
    execute(ins.VOP1(pair, v[2:3], v[0]), waves)
    same(waves.vector_f32[2][0], raw[:, 0])
    same(waves.vector_f32[3][0], raw[:, 1])
    execute(ins.VOP1_SDWA(pair, v[2:3], SDWA, vsrc0=v[0], dst_sel=6, src0_sel=5), waves)
    same(waves.vector_f32[2][0], raw[:, 2])
    same(waves.vector_f32[3][0], raw[:, 3])


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("fmt", ["FP8", "BF8", "FP4"])
def test_scaled_back(kind: str, fmt: str) -> None:
    """A part of the register, times the power of two that the scale's exponent is."""
    waves = new_waves(code_of(b""), 1)
    waves.vector[0] = np.random.default_rng(4).integers(0, 1 << 32, (1, 64), dtype=np.uint32)
    waves.vector_f32[1] = np.where(np.arange(64) % 2, 0.3, 6.0)
    bits = 4 if fmt == "FP4" else 8
    for part in range(32 // (2 * bits)):
        waves.vector[2:4] = 0xDEAD
        execute(
            ins.VOP3(
                VOP3Op[f"V_CVT_SCALEF32_PK_{kind}_{fmt}"], v[2:3] if kind == "F32" else v[2], v[0], v[1], opsel=part
            ),
            waves,
        )
        for lane in range(64):
            codes = [int(waves.vector[0, 0, lane]) >> bits * (2 * part + k) & (1 << bits) - 1 for k in (0, 1)]
            decoded = [_decoded(bytes([code]), 0, fmt.lower()) * (0.25 if lane % 2 else 4.0) for code in codes]
            if kind == "F32":
                got = [waves.vector_f32[2 + k][0, lane] for k in (0, 1)]
            else:
                halves = [int(waves.vector[2, 0, lane]) >> 16 * k & 0xFFFF for k in (0, 1)]
                got = [
                    np.array([h << 16], np.uint32).view(np.float32)[0]
                    if kind == "BF16"
                    else np.array([h], np.uint16).view(np.float16)[0]
                    for h in halves
                ]
            for one, want in zip(got, decoded, strict=True):
                with np.errstate(over="ignore"):
                    rounded = np.float16(want) if kind == "F16" else np.float32(want)
                assert one == rounded or (one != one and want != want), (fmt, codes, got, decoded)
    with pytest.raises(UnmodelledInstructionError, match="opsel"):
        execute(
            ins.VOP3(VOP3Op[f"V_CVT_SCALEF32_PK_{kind}_{fmt}"], v[2:3] if kind == "F32" else v[2], v[0], v[1], opsel=4),
            waves,
        )


@pytest.mark.parametrize("fmt", ["fp8", "bf8"])
@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_two_halves_in_a_scalar_register(fmt: str, kind: str) -> None:
    waves = new_waves(code_of(b""), 2)
    numbers = np.array([[1.5, -3.25], [0.1, 1000.0]], np.float32)
    raw = numbers.astype(np.float16).view(np.uint16) if kind == "f16" else (numbers.view(np.uint32) >> 16)
    waves.scalar[5][:] = raw.astype(np.uint16).view(np.uint32)[:, 0]
    waves.vector[0] = raw.astype(np.uint16).view(np.uint32)
    execute(assemble([f"v_cvt_scalef32_pk_{fmt}_{kind} v2, v0, 2.0"]), waves)
    execute(assemble([f"v_cvt_scalef32_pk_{fmt}_{kind} v3, s5, 2.0"]), waves)
    assert (waves.vector[2] == waves.vector[3]).all()
    assert waves.vector[2].any()


@pytest.mark.parametrize("fmt", ["fp8", "bf8"])
@pytest.mark.parametrize("kind", ["f16", "bf16"])
@pytest.mark.parametrize("half", [0, 1])
def test_two_halves(fmt: str, kind: str, half: int) -> None:
    """Both numbers lie in one register; the other half of the result's is kept."""
    waves = new_waves(code_of(b""), 1)
    values = _values().reshape(2, 64)
    with np.errstate(over="ignore"):
        bits = values.astype(np.float16).view(np.uint16) if kind == "f16" else (values.view(np.uint32) >> 16)
    exact = bits.astype(np.uint16).view(np.float16) if kind == "f16" else (bits << 16).view(np.float32)
    waves.vector[0] = bits[0].astype(np.uint32) | bits[1].astype(np.uint32) << 16
    waves.vector_f32[1] = 2.0**3 * 1.5  # only the exponent counts
    waves.vector[2] = 0x1234_5678
    select = " op_sel:[0,0,1]" if half else ""
    execute(assemble([f"v_cvt_scalef32_pk_{fmt}_{kind} v2, v0, v1{select}"]), waves)
    for lane in range(64):
        low, high = (_nearest(float(exact[k, lane]) / 8, fmt, False) for k in range(2))
        result = int(waves.vector[2][0, lane])
        got, other = (result >> 16, result & 0xFFFF) if half else (result & 0xFFFF, result >> 16)
        assert other == (0x5678 if half else 0x1234)
        for code, want in ((got & 0xFF, low), (got >> 8, high)):
            assert code == want or (want & 0x7F == 0x7F and code & 0x7F == 0x7F)
