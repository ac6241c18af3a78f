"""Decoding: round trips through the assembler, and what the decoder library gets wrong."""

from __future__ import annotations

import sys

import pytest

from tests.emulator import RUNS_HERE, WHY_NOT

if not RUNS_HERE:
    pytest.skip(WHY_NOT, allow_module_level=True)

from tinygrad.renderer.amd.dsl import SDWA, s, v
from tinygrad.runtime.autogen.amd.cdna import ins
from tinygrad.runtime.autogen.amd.cdna.enum import SOP1Op, SOPPOp, VOP1Op, VOP2Op, VOP3POp

from aiterfix.errors import EnvironmentProblem, NotUnderstoodError
from aiterfix.gfx950.decode import decode
from aiterfix.gfx950.instruction import Encoding

NOP = ins.SOPP(SOPPOp.S_NOP, 0)
WAIT = ins.SOPP(SOPPOp.S_WAITCNT, 0xC07F)


def test_fields_and_literals() -> None:
    program = [
        ins.SOP1(SOP1Op.S_MOV_B32, s[3], 0x12345678),
        ins.VOP2(VOP2Op.V_ADD_U32_E32, v[7], s[2], v[9]),
        ins.VOP1_SDWA(VOP1Op.V_MOV_B32_E32, v[1], SDWA, vsrc0=v[4], dst_sel=6, src0_sel=2),
    ]
    first, second, third = decode(b"".join(i.to_bytes() for i in program))
    assert (first.mnemonic, first.literal, first.size, first["sdst"]) == ("s_mov_b32", 0x12345678, 8, 3)
    assert (second.pc, second["vdst"], second["src0"], second["vsrc1"]) == (8, 256 + 7, 2, 256 + 9)
    assert (third.encoding, third.base, third["vsrc0"]) == (Encoding.SDWA, Encoding.VOP1, 256 + 4)


def test_what_stands_before_a_matrix_instruction_is_not_swallowed() -> None:
    """The library takes any two dwords before an f8f6f4 instruction for its scale prefix."""
    matrix = ins.VOP3P_MFMA(VOP3POp.V_MFMA_F32_16X16X128_F8F6F4, v[0:3], v[8:15], v[16:23], 0)
    found = decode(b"".join(i.to_bytes() for i in (WAIT, NOP, matrix, NOP)))
    assert [i.mnemonic for i in found] == ["s_waitcnt", "s_nop", "v_mfma_f32_16x16x128_f8f6f4", "s_nop"]


@pytest.mark.parametrize("code", [b"\xff\xff\xff\xff", b"\x00\x00", NOP.to_bytes() + b"\xff\x02\x80\xbe"])
def test_undecodable(code: bytes) -> None:
    with pytest.raises(NotUnderstoodError, match="no instruction of gfx950"):
        decode(code)


def test_too_old_python_and_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    with pytest.raises(EnvironmentProblem, match=r"Python 3\.11"):
        decode(NOP.to_bytes())
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "tinygrad.renderer", None)
    with pytest.raises(EnvironmentProblem, match="could not be imported") as caught:
        decode(NOP.to_bytes())
    assert "[validate]" in str(caught.value)
