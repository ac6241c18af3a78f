"""A bounded part of the random tester, and that it finds what is put in its way."""

from __future__ import annotations

import importlib.util
import random
from typing import Any

import numpy as np
import pytest

from tests.emulator import RUNS_HERE, WHY_NOT

if not RUNS_HERE:
    pytest.skip(WHY_NOT, allow_module_level=True)
if importlib.util.find_spec("triton") is None:
    pytest.skip("triton's assembler makes the machine code", allow_module_level=True)

from aiterfix.gfx950 import ds, vop
from aiterfix.gfx950.vector_operation import operation
from tests.gfx950 import random_programs
from tests.gfx950.lane_machine import Wave, alu, assemble

SEED = 1807


def test_single_instructions() -> None:
    tally = random_programs.test(SEED, singles=100, programs=0)
    assert tally.differences == []
    assert len(tally.mnemonics) > 60
    assert len(tally.refused) + len(tally.not_taken) < 5


@pytest.mark.parametrize("number", range(3))
def test_programs(number: int) -> None:
    tally = random_programs.Tally()
    random_programs.check_program(random.Random(f"{SEED} {number}"), tally)
    assert tally.differences == []
    assert tally.lanes > 1000


def test_a_wrong_instruction_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two results exchanged in one instruction of the program."""
    monkeypatch.setitem(vop.INTEGER, "v_xor_b32", operation(np.bitwise_or, "U32 <- U32 U32"))
    tally = random_programs.Tally()
    random_programs.check_program(random.Random(f"{SEED} 0"), tally)  # its prologue has one
    assert len(tally.differences) == 1
    assert "v_xor_b32" in tally.differences[0]


def test_addresses_that_do_not_wrap_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def unwrapped(g: Any, row: int, offset: int) -> Any:
        return g.vector[row].astype(np.int64) + offset

    monkeypatch.setattr(ds, "_address", unwrapped)
    found = random_programs.Tally()
    for number in range(40):
        lines = random_programs.Program(random.Random(f"wrap {number}")).lines
        if any("ds_write_b32 v10" in line and "offset:8192" in line for line in lines):
            random_programs.check_program(random.Random(f"wrap {number}"), found)
            break
    assert len(found.differences) == 1


def test_the_oracle_by_hand() -> None:
    """What it says of a few instructions, known without it."""
    wave = Wave(8)
    wave.v[1] = [lane * 3 for lane in range(64)]
    wave.set_pair(126, 0b101)
    alu(wave, "v_add_u32_e32", ["v2", "-1", "v1"])
    assert wave.v[2][:4] == [0xFFFF_FFFF, 0, 5, 0]
    alu(wave, "v_cmp_gt_u32_e32", ["vcc", "5", "v1"])
    assert wave.pair(106) == 0b001
    wave.scc = 1
    alu(wave, "v_add_f32_e64", ["v3", "-src_scc", "0.5"])
    assert wave.v[3][0] == 0x3F00_0000
    alu(wave, "s_and_saveexec_b64", ["s[4:5]", "vcc"])
    assert (wave.pair(4), wave.exec, wave.scc) == (0b101, 0b001, 1)
    assert assemble(["s_nop 0"]) == b"\x00\x00\x80\xbf"
