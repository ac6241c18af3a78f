"""Whole programs, assembled by hand: divergence, barriers, limits, and faults that hardware would hide."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.emulator import RUNS_HERE, WHY_NOT

if not RUNS_HERE:
    pytest.skip(WHY_NOT, allow_module_level=True)

from tinygrad.renderer.amd.dsl import EXEC, VCC, Reg, s, v
from tinygrad.runtime.autogen.amd.cdna import ins
from tinygrad.runtime.autogen.amd.cdna.enum import (
    DSOp,
    FLATOp,
    GLOBALOp,
    MUBUFOp,
    SMEMOp,
    SOP1Op,
    SOP2Op,
    SOPCOp,
    SOPPOp,
    VOP1Op,
    VOP2Op,
    VOP3Op,
    VOPCOp,
)

from aiterfix.errors import NotUnderstoodError, UsageError
from aiterfix.gfx950 import Allocation, DeviceMemory, KernelArgument, Launch, RunResult, run
from aiterfix.gfx950.findings import FindingKind
from aiterfix.gfx950.instruction import UnmodelledInstructionError
from aiterfix.gfx950.machine import StepLimitError
from tests.gfx950.lane_machine import assemble as assembled
from tests.gfx950.single import code_of

OUT = KernelArgument("out", 0, 8, "global_buffer")
COUNT = KernelArgument("count", 8, 4, "by_value")
M0 = Reg(124, 1)
END = ins.SOPP(SOPPOp.S_ENDPGM, 0)
BARRIER = ins.SOPP(SOPPOp.S_BARRIER, 0)


def wait(vector: int = 63, lgkm: int = 15) -> Any:
    """An s_waitcnt for these counters."""
    return ins.SOPP(SOPPOp.S_WAITCNT, (vector & 15) | 7 << 4 | lgkm << 8 | vector >> 4 << 14)


def branch(op: str, dwords: int) -> Any:
    """A branch over this many dwords, counted from the next instruction."""
    return ins.SOPP(SOPPOp[op], dwords & 0xFFFF)


def assemble(*program: Any) -> bytes:
    """The machine code of instructions in order."""
    return b"".join(i.to_bytes() for i in program)


PROLOGUE = (
    ins.SMEM(SMEMOp.S_LOAD_DWORDX2, s[4:5], s[0:1], offset=0, imm=1),
    wait(lgkm=0),
    ins.VOP2(VOP2Op.V_LSHLREV_B32_E32, v[1], 2, v[0]),
)
"""s[4:5]: the output; v1: four times the work-item."""


def store(register: int) -> Any:
    """Store a register to the output, a dword for every work-item."""
    return ins.GLOBAL(GLOBALOp.GLOBAL_STORE_DWORD, v[0], v[1], v[register], saddr=s[4:5])


def launch(
    program: tuple[Any, ...], *, items: int = 64, workgroups: int = 1, words: int = 256, lds: int = 0, **kwargs: Any
) -> tuple[RunResult, Allocation]:
    """Run a program with an output of zeros."""
    memory = DeviceMemory()
    out = memory.allocate("out", np.zeros(words, np.uint32))
    code = kwargs.pop("code", None) or code_of(assemble(*program), kernarg=(OUT, COUNT))
    grid = Launch((workgroups, 1, 1), (items, 1, 1), {"out": out, "count": 7}, lds_bytes=lds)
    return run(code, memory, grid, **kwargs), out


LOAD, LOAD_OTHER = (ins.GLOBAL(GLOBALOp.GLOBAL_LOAD_DWORD, v[k], v[1], saddr=s[4:5]) for k in (3, 9))
OTHER_SCALAR = ins.SMEM(SMEMOp.S_LOAD_DWORD, s[8], s[0:1], offset=8, imm=1)
FLAT_PROLOGUE = (
    *PROLOGUE,
    ins.VOP1(VOP1Op.V_MOV_B32_E32, v[10], s[4]),
    ins.VOP1(VOP1Op.V_MOV_B32_E32, v[11], s[5]),
)
FLAT, FLAT_OTHER = (ins.FLAT(FLATOp.FLAT_LOAD_DWORD, v[k], v[10:11]) for k in (3, 9))


def test_store_of_the_work_item() -> None:
    result, out = launch((*PROLOGUE, store(0), END), items=256)
    assert out.array(np.uint32).tolist() == list(range(256))
    assert result.violations == ()
    assert result.findings == ()
    assert result.wave_instructions == 4 * 5
    assert sum(count for count, _ in result.by_group.values()) == 20
    assert result.by_opcode["global_store_dword"][0] == 4


def _countdown() -> tuple[Any, ...]:
    """Each wave loops as often as its number says (v0 of its first lane, divided by 64), adding 10 each time."""
    return (
        *PROLOGUE,
        ins.VOP2(VOP2Op.V_LSHRREV_B32_E32, v[2], 6, v[0]),
        ins.VOP1(VOP1Op.V_READFIRSTLANE_B32_E32, v[8], v[2]),
        ins.VOP1(VOP1Op.V_MOV_B32_E32, v[3], 0),
        ins.SOPC(SOPCOp.S_CMP_EQ_U32, s[8], 0),
        branch("S_CBRANCH_SCC1", 3),
        ins.VOP2(VOP2Op.V_ADD_U32_E32, v[3], 10, v[3]),
        ins.SOP2(SOP2Op.S_SUB_U32, s[8], s[8], 1),
        branch("S_BRANCH", -5),
        store(3),
        END,
    )


def test_waves_part_and_meet_again() -> None:
    result, out = launch(_countdown(), items=256)
    assert out.array(np.uint32).reshape(4, 64).tolist() == [[10 * wave] * 64 for wave in range(4)]
    # 8 instructions before the loop's test is first done, 5 a turn, 2 to leave.
    assert result.wave_instructions == sum(8 + 5 * turns + 2 for turns in range(4))
    assert result.findings == ()


@pytest.mark.parametrize(("batch", "threads"), [(1, 1), (3, 2), (16, 1)])
def test_batches_and_threads_change_nothing(batch: int, threads: int) -> None:
    program = (
        *PROLOGUE,
        ins.SOP2(SOP2Op.S_LSHL_B32, s[9], s[2], 9),
        ins.VOP2(VOP2Op.V_ADD_U32_E32, v[1], s[9], v[1]),
        ins.VOP2(VOP2Op.V_ADD_U32_E32, v[4], s[2], v[0]),
        store(4),
        END,
    )
    result, out = launch(program, items=128, workgroups=10, words=1280, batch_workgroups=batch, threads=threads)
    want = np.arange(10)[:, np.newaxis] + np.arange(128)
    assert (out.array(np.uint32, (10, 128)) == want).all()
    assert result.wave_instructions == 10 * 2 * 8


def test_exec_masks_lanes() -> None:
    program = (
        *PROLOGUE,
        ins.VOPC(VOPCOp.V_CMP_GT_U32_E32, 10, v[0]),
        ins.SOP1(SOP1Op.S_AND_SAVEEXEC_B64, s[10:11], VCC),
        branch("S_CBRANCH_EXECZ", 4),
        ins.VOP2(VOP2Op.V_ADD_U32_E32, v[3], 0x1000, v[0]),
        store(3),
        ins.SOP1(SOP1Op.S_MOV_B64, EXEC, s[10:11]),
        END,
    )
    result, out = launch(program, items=256)
    assert out.array(np.uint32).tolist() == [0x1000 + k if k < 10 else 0 for k in range(256)]
    assert result.findings == ()


def test_barrier_orders_waves_of_a_workgroup() -> None:
    """The first wave writes LDS late (after a long loop); the others read it behind the barrier."""
    program = (
        *PROLOGUE,
        ins.VOP2(VOP2Op.V_LSHRREV_B32_E32, v[2], 6, v[0]),
        ins.VOP1(VOP1Op.V_READFIRSTLANE_B32_E32, v[8], v[2]),
        ins.VOP2(VOP2Op.V_AND_B32_E32, v[5], 63, v[0]),
        ins.VOP2(VOP2Op.V_LSHLREV_B32_E32, v[5], 2, v[5]),
        ins.SOPC(SOPCOp.S_CMP_EQ_U32, s[8], 0),
        branch("S_CBRANCH_SCC0", 3),
        ins.VOP2(VOP2Op.V_ADD_U32_E32, v[6], 5, v[0]),
        ins.DS(DSOp.DS_WRITE_B32, v[0], v[5], v[6]),
        wait(lgkm=0),
        BARRIER,
        ins.DS(DSOp.DS_READ_B32, v[7], v[5]),
        wait(lgkm=0),
        store(7),
        END,
    )
    result, out = launch(program, items=256, workgroups=3, lds=256)
    assert out.array(np.uint32).reshape(4, 64).tolist() == [[5 + k for k in range(64)]] * 4
    assert result.findings == ()


def test_ending_before_the_barrier_is_reported() -> None:
    program = (
        *PROLOGUE,
        ins.VOP1(VOP1Op.V_READFIRSTLANE_B32_E32, v[8], v[0]),
        ins.SOPC(SOPCOp.S_CMP_EQ_U32, s[8], 0),
        branch("S_CBRANCH_SCC1", 3),
        BARRIER,
        store(0),
        END,
    )
    result, out = launch(program, items=128)
    assert out.array(np.uint32)[64:128].tolist() == list(range(64, 128))
    assert [f.kind for f in result.findings] == [FindingKind.MISSING_BARRIER_PARTNER]


def test_who_waits_for_another_wave_lets_it_go_on() -> None:
    """One asks for a flag and stands before the one that is to set it: a lock, or a semaphore between workgroups."""
    ask = (ins.GLOBAL(GLOBALOp.GLOBAL_LOAD_DWORD, v[4], v[1], saddr=s[4:5], offset=4), wait(vector=0))
    program = (
        *PROLOGUE,
        ins.VOP2(VOP2Op.V_LSHRREV_B32_E32, v[2], 6, v[0]),
        ins.VOP1(VOP1Op.V_READFIRSTLANE_B32_E32, v[8], v[2]),
        ins.VOP1(VOP1Op.V_MOV_B32_E32, v[1], 0),
        ins.SOPC(SOPCOp.S_CMP_EQ_U32, s[8], 1),
        branch("S_CBRANCH_SCC1", 7),
        *ask,
        ins.VOP1(VOP1Op.V_READFIRSTLANE_B32_E32, v[9], v[4]),
        ins.SOPC(SOPCOp.S_CMP_EQ_U32, s[9], 0),
        branch("S_CBRANCH_SCC1", -6),
        END,
        ins.VOP1(VOP1Op.V_MOV_B32_E32, v[3], 7),
        ins.GLOBAL(GLOBALOp.GLOBAL_STORE_DWORD, addr=v[1], data=v[3], saddr=s[4:5], offset=4),
        END,
    )
    result, out = launch(program, items=128, step_limit=1_000_000)
    assert out.array(np.uint32)[1] == 7
    assert result.findings == ()


def test_calls_go_where_registers_say_and_come_back() -> None:
    """Two waves call different functions, then both a third by a constant; each returns to where it came from."""
    lines = [
        "s_load_dwordx2 s[4:5], s[0:1], 0x0", "s_waitcnt lgkmcnt(0)", "v_lshlrev_b32_e32 v1, 2, v0",
        "v_lshrrev_b32_e32 v2, 6, v0", "v_readfirstlane_b32 s8, v2", "s_mul_i32 s8, s8, 8",
        "s_getpc_b64 s[10:11]", "s_add_u32 s10, s10, s8", "s_addc_u32 s11, s11, 0", "s_add_u32 s10, s10, 44",
        "s_addc_u32 s11, s11, 0", "s_swappc_b64 s[30:31], s[10:11]", "v_mov_b32_e32 v4, v3",
        "s_call_b64 s[30:31], 8", "v_add_u32_e32 v3, v3, v4", "global_store_dword v1, v3, s[4:5]", "s_endpgm",
        # The two functions, 8 bytes each.
        "v_add_u32_e32 v3, 7, v0", "s_setpc_b64 s[30:31]", "v_sub_u32_e32 v3, 60, v0", "s_setpc_b64 s[30:31]",
        "v_mov_b32_e32 v3, 1", "s_setpc_b64 s[30:31]",
    ]  # fmt: skip
    result, out = launch((), code=code_of(assembled(lines), kernarg=(OUT, COUNT)), items=128)
    item = np.arange(128, dtype=np.uint32)
    assert (out.array(np.uint32)[:128] == 1 + np.where(item < 64, item + 7, 60 - item)).all()
    assert (result.findings, result.violations) == ((), ())


def test_a_call_to_somewhere_else_is_an_error() -> None:
    lines = ["s_getpc_b64 s[10:11]", "s_add_u32 s10, s10, 4000", "s_addc_u32 s11, s11, 0", "s_setpc_b64 s[10:11]"]
    with pytest.raises(NotUnderstoodError, match="leaves kernel"):
        launch((), code=code_of(assembled(lines), kernarg=(OUT, COUNT)))


def test_endless_loop() -> None:
    with pytest.raises(StepLimitError, match=r"more than 1000 instructions.*pc 0x4"):
        launch((ins.SOPP(SOPPOp.S_NOP, 0), branch("S_BRANCH", -1)), step_limit=1000)


def test_unknown_instruction_only_where_it_is_reached() -> None:
    unknown = ins.VOP3(VOP3Op.V_QSAD_PK_U16_U8, v[2:3], v[0:1], v[0], v[0:1])
    launch((branch("S_BRANCH", 2), unknown, END))
    with pytest.raises(UnmodelledInstructionError, match="v_qsad_pk_u16_u8 at pc 0x4") as caught:
        launch((ins.SOPP(SOPPOp.S_NOP, 0), unknown, END))
    assert unknown.to_bytes().hex(" ", 4) in str(caught.value)


def test_undecodable_bytes() -> None:
    with pytest.raises(NotUnderstoodError, match="pc 0x4"):
        launch((END,), code=code_of(END.to_bytes() + b"\xff\xff\xff\xff", kernarg=(OUT, COUNT)))


def test_leaving_the_kernel() -> None:
    with pytest.raises(NotUnderstoodError, match="leaves kernel"):
        launch((ins.SOPP(SOPPOp.S_NOP, 0),))
    with pytest.raises(NotUnderstoodError, match="branches to"):
        launch((branch("S_BRANCH", 100), END))


def test_registers_never_written() -> None:
    program = (*PROLOGUE, ins.VOP2(VOP2Op.V_ADD_U32_E32, v[3], s[20], v[9]), store(3), END)
    result, _ = launch(program, items=128, workgroups=2)
    assert [(f.kind, f.detail.split(",")[0], f.count, f.workgroups) for f in result.findings] == [
        (FindingKind.REGISTER_NEVER_WRITTEN, "reads s20", 4, (0, 1)),
        (FindingKind.REGISTER_NEVER_WRITTEN, "reads v9", 4, (0, 1)),
    ]


def test_register_written_on_one_path_only() -> None:
    """Waves that took the path that writes are not blamed for the others, also after they met."""
    program = (
        *PROLOGUE,
        ins.VOP1(VOP1Op.V_READFIRSTLANE_B32_E32, v[8], v[0]),
        ins.SOPC(SOPCOp.S_CMP_EQ_U32, s[8], 0),
        branch("S_CBRANCH_SCC1", 1),
        ins.VOP1(VOP1Op.V_MOV_B32_E32, v[9], 1),
        store(9),
        END,
    )
    result, _ = launch(program, items=256)
    (finding,) = result.findings
    assert (finding.kind, finding.count) == (FindingKind.REGISTER_NEVER_WRITTEN, 1)


@pytest.mark.parametrize(
    ("program", "register"),
    [
        ((PROLOGUE[0], PROLOGUE[2], store(0), END), "s4"),
        ((*PROLOGUE, ins.GLOBAL(GLOBALOp.GLOBAL_LOAD_DWORD, v[3], v[1], saddr=s[4:5]), wait(vector=1), store(3), END), "v3"),
        (
            (*PROLOGUE, ins.GLOBAL(GLOBALOp.GLOBAL_LOAD_DWORD, v[3], v[1], saddr=s[4:5]),
             ins.VOP1(VOP1Op.V_MOV_B32_E32, v[3], 0), END),
            "v3",
        ),
        ((*PROLOGUE, ins.DS(DSOp.DS_READ_B32, v[3], v[1]), wait(lgkm=1), store(3), END), "v3"),
        # One that is not counted, as no load is; LDS may finish after a scalar load that was issued later.
        ((*PROLOGUE, LOAD, ins.MUBUF(MUBUFOp.BUFFER_INV, v[0], v[0], s[0:3], 0), wait(vector=1), store(3), END), "v3"),
        ((*PROLOGUE, ins.DS(DSOp.DS_READ_B32, v[3], v[1]), OTHER_SCALAR, wait(lgkm=1), store(3), END), "v3"),
        ((*PROLOGUE, OTHER_SCALAR, ins.DS(DSOp.DS_READ_B32, v[9], v[1]), wait(lgkm=1), ins.SOP1(SOP1Op.S_MOV_B32, s[9], s[8]), END), "s8"),
        # Flat instructions finish when they will: only 0 of both counters covers one, or what was issued before it.
        ((*FLAT_PROLOGUE, FLAT, LOAD_OTHER, wait(vector=1, lgkm=0), store(3), END), "v3"),
        ((*FLAT_PROLOGUE, LOAD, FLAT_OTHER, wait(vector=1, lgkm=0), store(3), END), "v3"),
        ((*FLAT_PROLOGUE, FLAT, FLAT_OTHER, wait(vector=1, lgkm=1), store(3), END), "v3"),
        ((*FLAT_PROLOGUE, FLAT, wait(vector=0), store(3), END), "v3"),
        ((*FLAT_PROLOGUE, FLAT, wait(lgkm=0), store(3), END), "v3"),
        ((*FLAT_PROLOGUE, ins.DS(DSOp.DS_READ_B32, v[3], v[1]), FLAT_OTHER, wait(lgkm=1), store(3), END), "v3"),
    ],
)  # fmt: skip
def test_missing_wait(program: tuple[Any, ...], register: str) -> None:
    result, _ = launch(program, lds=1024)
    waits = [f for f in result.findings if f.kind is FindingKind.MISSING_WAIT]
    assert len(waits) >= 1
    assert waits[0].detail.startswith(f"touches {register} without waiting")


@pytest.mark.parametrize(
    "middle",
    [
        (ins.GLOBAL(GLOBALOp.GLOBAL_LOAD_DWORD, v[3], v[1], saddr=s[4:5]), wait(vector=0)),
        (ins.GLOBAL(GLOBALOp.GLOBAL_LOAD_DWORD, v[3], v[1], saddr=s[4:5]),
         ins.GLOBAL(GLOBALOp.GLOBAL_LOAD_DWORD, v[4], v[1], saddr=s[4:5]), wait(vector=1)),
        (ins.GLOBAL(GLOBALOp.GLOBAL_LOAD_DWORD, v[3], v[1], saddr=s[4:5]),
         ins.GLOBAL(GLOBALOp.GLOBAL_LOAD_DWORD, v[3], v[1], saddr=s[4:5]), wait(vector=0)),
        (ins.DS(DSOp.DS_READ_B32, v[3], v[1]), ins.DS(DSOp.DS_READ_B32, v[4], v[1]), wait(lgkm=1)),
        # Of three at most one is left: the LDS read that came first is none of them.
        (ins.DS(DSOp.DS_READ_B32, v[3], v[1]), ins.DS(DSOp.DS_READ_B32, v[4], v[1]), OTHER_SCALAR, wait(lgkm=1)),
        (*FLAT_PROLOGUE[-2:], FLAT, LOAD_OTHER, wait(vector=0, lgkm=0)),
        (*FLAT_PROLOGUE[-2:], LOAD, LOAD_OTHER, ins.FLAT(FLATOp.FLAT_LOAD_DWORD, v[12], v[10:11]), wait(vector=1)),
    ],
)  # fmt: skip
def test_enough_waiting(middle: tuple[Any, ...]) -> None:
    result, _ = launch((*PROLOGUE, *middle, store(3), END), lds=1024)
    assert [f for f in result.findings if f.kind is FindingKind.MISSING_WAIT] == []


@pytest.mark.parametrize("turns", [1, 2])
def test_missing_wait_around_a_loop(turns: int) -> None:
    """A load at the end of a loop's body, used at its beginning in the next turn; where there is none, the back edge is
    not taken and says nothing."""
    program = (
        *PROLOGUE,
        ins.VOP1(VOP1Op.V_MOV_B32_E32, v[3], 0),
        ins.SOP1(SOP1Op.S_MOV_B32, s[8], turns),
        ins.VOP2(VOP2Op.V_ADD_U32_E32, v[4], 1, v[3]),
        ins.GLOBAL(GLOBALOp.GLOBAL_LOAD_DWORD, v[3], v[1], saddr=s[4:5]),
        ins.SOP2(SOP2Op.S_SUB_U32, s[8], s[8], 1),
        ins.SOPC(SOPCOp.S_CMP_EQ_U32, s[8], 0),
        branch("S_CBRANCH_SCC0", -6),
        END,
    )
    result, _ = launch(program)
    assert [(f.kind, f.mnemonic) for f in result.findings] == [(FindingKind.MISSING_WAIT, "v_add_u32")] * (turns - 1)


def test_edges_never_taken_are_not_followed() -> None:
    """The first turn uses what was loaded before the loop and waits; the way that skips the wait is never taken."""
    program = (
        *PROLOGUE,
        ins.SOP1(SOP1Op.S_MOV_B32, s[8], 0),
        ins.GLOBAL(GLOBALOp.GLOBAL_LOAD_DWORD, v[3], v[1], saddr=s[4:5]),
        ins.SOPC(SOPCOp.S_CMP_EQ_U32, s[8], 1),
        branch("S_CBRANCH_SCC1", 1),  # over the wait: never
        wait(vector=0),
        store(3),
        END,
    )
    result, _ = launch(program)
    assert [f for f in result.findings if f.kind is FindingKind.MISSING_WAIT] == []
    taken = (*program[:3], ins.SOP1(SOP1Op.S_MOV_B32, s[8], 1), *program[4:])
    result, _ = launch(taken)
    assert [f.kind for f in result.findings] == [FindingKind.MISSING_WAIT]


LDS_PROLOGUE = (
    *PROLOGUE,
    ins.VOP2(VOP2Op.V_XOR_B32_E32, v[2], 0x100, v[1]),  # where another wave of the pair stores
    ins.VOP2(VOP2Op.V_ADD_U32_E32, v[5], 7, v[0]),
)
WRITE, READ = ins.DS(DSOp.DS_WRITE_B32, v[0], v[1], v[5]), ins.DS(DSOp.DS_READ_B32, v[6], v[2])
ADD = ins.DS(DSOp.DS_ADD_U32, v[0], v[1], v[5])
WRITE_WIDE = ins.DS(DSOp.DS_WRITE2_B32, v[0], v[1], v[5], v[5], offset0=0, offset1=128)


@pytest.mark.parametrize(
    ("middle", "found"),
    [
        ((WRITE, wait(lgkm=0), BARRIER), []),
        ((WRITE, BARRIER), [(FindingKind.LDS_RACE, "ds_read_b32")]),
        ((WRITE, BARRIER, wait(lgkm=0)), [(FindingKind.LDS_RACE, "ds_read_b32")]),  # the other wave need not wait for it
        ((WRITE, BARRIER, wait(lgkm=0), BARRIER), []),  # as pipelines have it: the second barrier is the one that counts
        ((WRITE, BARRIER, BARRIER), [(FindingKind.LDS_RACE, "ds_read_b32")]),
        ((WRITE, wait(lgkm=0), BARRIER, WRITE, BARRIER), []),  # the same values once more, under way
        ((ADD, BARRIER), [(FindingKind.LDS_RACE, "ds_read_b32")]),
        ((WRITE_WIDE, wait(lgkm=0), BARRIER), []),
        ((WRITE_WIDE, ins.DS(DSOp.DS_READ_B32, v[9], v[1]), wait(lgkm=1), BARRIER), []),
        ((ins.DS(DSOp.DS_READ_B32, v[9], v[1]), WRITE_WIDE, wait(lgkm=1), BARRIER), [(FindingKind.LDS_RACE, "ds_read_b32")]),
        ((WRITE, wait(lgkm=0)), [(FindingKind.LDS_RACE, "ds_read_b32")]),
        ((BARRIER, WRITE, wait(lgkm=0)), [(FindingKind.LDS_RACE, "ds_read_b32")]),
        ((WRITE, wait(lgkm=0), BARRIER, WRITE, wait(lgkm=0)), []),  # the same values once more
    ],
)  # fmt: skip
def test_writes_to_lds_before_another_wave_reads_them(middle: tuple[Any, ...], found: list[Any]) -> None:
    program = (*LDS_PROLOGUE, *middle, READ, wait(lgkm=0), store(6), END)
    result, out = launch(program, items=128, words=128, lds=1024)
    kinds = {FindingKind.MISSING_WAIT, FindingKind.LDS_RACE}
    assert [(f.kind, f.mnemonic) for f in result.findings if f.kind in kinds] == found
    assert out.array(np.uint32).tolist() == [(k ^ 64) + 7 for k in range(128)]


def test_overwriting_what_another_wave_reads_is_a_race() -> None:
    other = ins.DS(DSOp.DS_WRITE_B32, v[0], v[1], v[0])
    program = (*LDS_PROLOGUE, WRITE, wait(lgkm=0), BARRIER, READ, wait(lgkm=0), other, wait(lgkm=0), END)
    result, _ = launch(program, items=128, lds=512)
    assert [(f.kind, f.mnemonic, f.workgroups) for f in result.findings] == [
        (FindingKind.LDS_RACE, "ds_write_b32", (0,))
    ]
    with_barrier = (*program[:-3], BARRIER, *program[-3:])
    result, _ = launch(with_barrier, items=128, lds=512)
    assert result.findings == ()


def test_overwriting_what_another_wave_is_still_writing_is_a_race() -> None:
    for waits, found in (((), ["ds_write_b32"]), ((wait(lgkm=0),), [])):
        other = ins.DS(DSOp.DS_WRITE_B32, v[0], v[2], v[0])
        result, _ = launch((*LDS_PROLOGUE, WRITE, *waits, BARRIER, other, wait(lgkm=0), END), items=128, lds=512)
        assert [f.mnemonic for f in result.findings] == found


OVERWRITE = ins.DS(DSOp.DS_WRITE_B32, v[0], v[1], v[0])
LATE = [(FindingKind.LDS_RACE, "ds_write_b32")]


@pytest.mark.parametrize(
    ("between", "change", "found"),
    [
        ((BARRIER,), OVERWRITE, LATE),
        ((wait(lgkm=0), BARRIER), OVERWRITE, []),
        ((wait(vector=0), BARRIER), OVERWRITE, LATE),
        ((BARRIER, wait(lgkm=0)), OVERWRITE, LATE),  # the other wave need not wait for that
        ((BARRIER, wait(lgkm=0), BARRIER), OVERWRITE, []),
        ((BARRIER, BARRIER), OVERWRITE, LATE),
        # Of those issued one after the other the last may be under way: that of another place, or the one itself.
        ((ins.DS(DSOp.DS_READ_B32, v[9], v[1]), wait(lgkm=1), BARRIER), OVERWRITE, []),
        ((ins.DS(DSOp.DS_SWIZZLE_B32, v[9], v[1], offset0=0x1F, offset1=0x40), wait(lgkm=1), BARRIER), OVERWRITE, []),
        ((wait(lgkm=1), BARRIER), OVERWRITE, LATE),
        ((BARRIER,), ins.DS(DSOp.DS_ADD_U32, v[0], v[1], v[0]), [(FindingKind.LDS_RACE, "ds_add_u32")]),
        ((BARRIER,), ins.DS(DSOp.DS_WRITE_B32, v[0], v[2], v[0]), []),  # each changes what it read itself
    ],
)  # fmt: skip
def test_reads_that_cross_a_barrier(between: tuple[Any, ...], change: Any, found: list[Any]) -> None:
    """Nothing makes a barrier wait for a wave's reads: what one is still reading another may not change behind it."""
    program = (*LDS_PROLOGUE, WRITE, wait(lgkm=0), BARRIER, READ, *between, change, wait(lgkm=0), END)
    result, _ = launch(program, items=128, lds=512)
    assert [(f.kind, f.mnemonic) for f in result.findings] == found


def test_loads_to_lds_behind_a_barrier_that_a_read_crosses() -> None:
    m0 = (ins.VOP1(VOP1Op.V_READFIRSTLANE_B32_E32, v[8], v[1]), ins.SOP1(SOP1Op.S_MOV_B32, M0, s[8]))
    load = ins.GLOBAL(GLOBALOp.GLOBAL_LOAD_LDS_DWORD, v[3], v[1], saddr=s[4:5])
    for waits in (False, True):
        between = (wait(lgkm=0), BARRIER) if waits else (BARRIER,)
        program = (*LDS_PROLOGUE, *m0, WRITE, wait(lgkm=0), BARRIER, READ, *between, load, wait(vector=0, lgkm=0), END)
        result, _ = launch(program, items=128, lds=512)
        assert [f.kind for f in result.findings] == ([] if waits else [FindingKind.LDS_RACE])


def test_waves_that_write_one_place() -> None:
    """The same value is no race (compilers let all waves store what they all hold); different ones are."""
    place = ins.VOP2(VOP2Op.V_AND_B32_E32, v[1], 0xFC, v[1])
    same = ins.VOP2(VOP2Op.V_AND_B32_E32, v[5], 63, v[0])
    program = (*LDS_PROLOGUE, place, same, WRITE, wait(lgkm=0), BARRIER, END)
    result, _ = launch(program, items=256, workgroups=2, lds=256)
    assert result.findings == ()
    result, _ = launch((*program[:6], *program[7:]), items=256, workgroups=2, lds=256)
    assert [(f.kind, f.workgroups) for f in result.findings] == [(FindingKind.LDS_RACE, (0, 1))]


def test_bytes_beside_each_other_are_no_race() -> None:
    program = (*LDS_PROLOGUE, ins.DS(DSOp.DS_WRITE_B8, v[0], v[0], v[5]), wait(lgkm=0), END)
    swapped = (*LDS_PROLOGUE, ins.VOP3(VOP3Op.V_BFE_U32_E64, v[7], v[0], 6, 1),
               ins.VOP2(VOP2Op.V_AND_B32_E32, v[8], 63, v[0]), ins.VOP3(VOP3Op.V_LSHL_OR_B32, v[8], v[8], 1, v[7]),
               ins.DS(DSOp.DS_WRITE_B8, v[0], v[8], v[5]), wait(lgkm=0), END)  # fmt: skip
    for which in (program, swapped):
        result, _ = launch(which, items=128, lds=128)
        assert result.findings == ()


def _to_lds(offset: int = 0) -> Any:
    return ins.GLOBAL(GLOBALOp.GLOBAL_LOAD_LDS_DWORD, v[3], v[1], saddr=s[4:5], offset=offset)


@pytest.mark.parametrize(
    ("middle", "found"),
    [
        ((wait(vector=0),), 0),
        ((), 1),
        ((_to_lds(), wait(vector=1)), 1),  # the second load writes the same place
        ((ins.GLOBAL(GLOBALOp.GLOBAL_LOAD_DWORD, v[9], v[1], saddr=s[4:5]), wait(vector=1)), 0),
        ((wait(lgkm=0),), 1),
    ],
)
def test_reading_what_a_load_brings_to_lds(middle: tuple[Any, ...], found: int) -> None:
    m0 = ins.SOP1(SOP1Op.S_MOV_B32, M0, 0)
    read = ins.DS(DSOp.DS_READ_B32, v[6], v[1])
    program = (*PROLOGUE, m0, _to_lds(), *middle, read, wait(vector=0, lgkm=0), store(6), END)
    result, _ = launch(program, lds=256)
    waits = [(f.kind, f.mnemonic) for f in result.findings]
    assert waits == [(FindingKind.MISSING_WAIT, "ds_read_b32")] * found


@pytest.mark.parametrize(
    "change", [ins.DS(DSOp.DS_WRITE_B32, v[0], v[1], v[0]), ins.DS(DSOp.DS_ADD_U32, v[0], v[1], v[0])]
)
@pytest.mark.parametrize("waits", [False, True])
def test_changing_what_a_load_is_bringing_to_lds(change: Any, waits: bool) -> None:
    """Which of the two comes last is not known before the load was waited for."""
    m0 = ins.SOP1(SOP1Op.S_MOV_B32, M0, 0)
    program = (*PROLOGUE, m0, _to_lds(), *((wait(vector=0),) if waits else ()), change, wait(vector=0, lgkm=0), END)
    result, _ = launch(program, lds=256)
    kinds = [f.kind for f in result.findings if f.kind is not FindingKind.LDS_NEVER_WRITTEN]
    assert kinds == ([] if waits else [FindingKind.MISSING_WAIT])


@pytest.mark.parametrize(("order", "found"), [(("wait", "barrier"), 0), (("barrier", "wait"), 1)])
def test_reading_what_another_wave_loads_to_lds(order: tuple[str, str], found: int) -> None:
    """A wait after the barrier says nothing about the other wave's load."""
    steps = {"wait": wait(vector=0), "barrier": BARRIER}
    program = (
        *LDS_PROLOGUE,
        ins.VOP2(VOP2Op.V_LSHRREV_B32_E32, v[7], 6, v[0]),
        ins.VOP1(VOP1Op.V_READFIRSTLANE_B32_E32, v[8], v[7]),
        ins.SOP2(SOP2Op.S_LSHL_B32, M0, s[8], 8),
        _to_lds(),
        *(steps[step] for step in order),
        READ,
        wait(lgkm=0),
        store(6),
        END,
    )
    result, _ = launch(program, items=128, lds=512)
    waits = [(f.kind, f.mnemonic) for f in result.findings]
    assert waits == [(FindingKind.MISSING_WAIT, "ds_read_b32")] * found


def test_partial_last_wave() -> None:
    result, out = launch((*PROLOGUE, store(0), END), items=100)
    assert out.array(np.uint32).tolist() == [*range(100), *[0] * 156]
    assert result.wave_instructions == 10


def test_preloaded_arguments_enter_behind_the_preamble() -> None:
    """Preloaded kernarg dwords are in SGPRs, and execution starts 256 bytes in."""
    preamble = (ins.VOP3(VOP3Op.V_SAD_U8, v[1], v[0], v[0], v[0]),) * 32
    body = (
        ins.VOP2(VOP2Op.V_LSHLREV_B32_E32, v[1], 2, v[0]),
        ins.VOP2(VOP2Op.V_ADD_U32_E32, v[3], s[4], v[0]),
        ins.GLOBAL(GLOBALOp.GLOBAL_STORE_DWORD, v[0], v[1], v[3], saddr=s[2:3]),
        END,
    )
    code = code_of(assemble(*preamble, *body), kernarg=(OUT, COUNT))
    code = replace(code, descriptor=replace(code.descriptor, user_sgprs=5, preload_length=3))
    code.__dict__["_lines"] = ([], [])
    result, out = launch((), code=code)
    assert out.array(np.uint32)[:64].tolist() == [7 + k for k in range(64)]
    assert result.findings == ()


def test_the_dispatch_packet_comes_before_the_arguments() -> None:
    """As the HSA runtime specification lays it out: sizes of workgroup and grid, LDS, address of the arguments."""
    reads = (
        ins.SMEM(SMEMOp.S_LOAD_DWORDX2, s[8:9], s[0:1], offset=4, imm=1),
        ins.SMEM(SMEMOp.S_LOAD_DWORDX4, s[12:15], s[0:1], offset=12, imm=1),
        ins.SMEM(SMEMOp.S_LOAD_DWORD, s[16], s[0:1], offset=28, imm=1),
        ins.SMEM(SMEMOp.S_LOAD_DWORDX2, s[18:19], s[0:1], offset=40, imm=1),
        wait(lgkm=0),
        ins.SMEM(SMEMOp.S_LOAD_DWORDX2, s[4:5], s[18:19], offset=0, imm=1),
        wait(lgkm=0),
        ins.SOP2(SOP2Op.S_SUB_U32, s[18], s[18], s[2]),
        ins.SOP2(SOP2Op.S_SUB_U32, s[19], s[19], s[3]),
    )
    shown = (8, 9, 12, 13, 14, 15, 16, 18, 19)
    stores = [
        part
        for place, register in enumerate(shown)
        for part in (
            ins.VOP1(VOP1Op.V_MOV_B32_E32, v[1], 4 * place),
            ins.VOP1(VOP1Op.V_MOV_B32_E32, v[3], s[register]),
            store(3),
        )
    ]
    code = code_of(assemble(*reads, *stores, END), kernarg=(OUT, COUNT))
    code = replace(code, descriptor=replace(code.descriptor, user_sgprs=4, dispatch_pointer=True))
    code.__dict__["_lines"] = ([], [])
    memory = DeviceMemory()
    out = memory.allocate("out", np.zeros(16, np.uint32))
    result = run(code, memory, Launch((3, 2, 1), (64, 2, 1), [out, 0], lds_bytes=96))
    want = [2 << 16 | 64, 1, 192, 4, 1, 0, 96, 0, 0]
    assert out.array(np.uint32)[: len(want)].tolist() == want
    assert result.violations == () and result.findings == ()


def test_queue_and_dispatch_number_take_registers_and_count_as_never_written() -> None:
    """In the order dispatch packet, queue, arguments, dispatch number."""
    program = (
        ins.SMEM(SMEMOp.S_LOAD_DWORDX2, s[14:15], s[4:5], offset=0, imm=1),
        wait(lgkm=0),
        ins.SOP1(SOP1Op.S_MOV_B64, s[4:5], s[14:15]),
        ins.VOP2(VOP2Op.V_LSHLREV_B32_E32, v[1], 2, v[0]),
        ins.VOP1(VOP1Op.V_MOV_B32_E32, v[3], s[8]),
        ins.VOP2(VOP2Op.V_ADD_U32_E32, v[3], s[2], v[3]),
        ins.VOP2(VOP2Op.V_ADD_U32_E32, v[3], s[7], v[3]),
        store(3),
        END,
    )
    code = code_of(assemble(*program), kernarg=(OUT, COUNT))
    asked = replace(code.descriptor, user_sgprs=8, dispatch_pointer=True, queue_pointer=True, dispatch_id=True)
    code = replace(code, descriptor=asked)
    code.__dict__["_lines"] = ([], [])
    result, out = launch((), code=code, workgroups=3)
    assert out.array(np.uint32)[:64].tolist() in (
        [0] * 64,
        [1] * 64,
        [2] * 64,
    )  # the workgroup's number, behind them all
    assert [f.detail.split(",")[0] for f in result.findings] == ["reads s2", "reads s7"]
    assert result.violations == ()


def test_work_item_ids_are_packed() -> None:
    code = code_of(assemble(*PROLOGUE[:2], ins.VOP2(VOP2Op.V_AND_B32_E32, v[1], 15, v[0]),
                            ins.VOP2(VOP2Op.V_LSHRREV_B32_E32, v[2], 10, v[0]),
                            ins.VOP3(VOP3Op.V_BFE_U32_E64, v[3], v[0], 20, 10),
                            ins.VOP2(VOP2Op.V_AND_B32_E32, v[2], 0x3FF, v[2]),
                            ins.VOP3(VOP3Op.V_LSHL_ADD_U32_E64, v[1], v[2], 3, v[1]),
                            ins.VOP3(VOP3Op.V_LSHL_ADD_U32_E64, v[1], v[3], 5, v[1]),
                            ins.VOP2(VOP2Op.V_LSHLREV_B32_E32, v[1], 2, v[1]),
                            store(0), END), kernarg=(OUT, COUNT))  # fmt: skip
    code = replace(code, descriptor=replace(code.descriptor, workitem_dimensions=2))
    code.__dict__["_lines"] = ([], [])
    memory = DeviceMemory()
    out = memory.allocate("out", np.zeros(64, np.uint32))
    run(code, memory, Launch((1, 1, 1), (8, 4, 2), [out, 0]))
    want = [x | y << 10 | z << 20 for z in range(2) for y in range(4) for x in range(8)]
    assert out.array(np.uint32).tolist() == want


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"out": 0}, "needs a value for its argument count"),
        ({"out": 0, "count": 1, "other": 2}, "has no argument other"),
        ([0, 1, 2], "takes 2 arguments"),
        ({"out": 1.5, "count": 1}, "takes no float"),
        ({"out": 0, "count": 1 << 32}, "does not fit"),
    ],
)
def test_wrong_arguments(args: Any, message: str) -> None:
    # A pointer among the last two arguments may be Triton's own; the one asked for here is not.
    code = code_of(assemble(END), kernarg=(OUT, COUNT))
    with pytest.raises(UsageError, match=message):
        run(code, DeviceMemory(), Launch((1, 1, 1), (64, 1, 1), args))


def test_pointers_of_triton_s_own_stand_before_hidden_arguments() -> None:
    """Triton 3.9.0 has hidden ones behind its two pointers; a third pointer is the kernel's, and has to be given."""
    own = tuple(KernelArgument(f"arg{at}", 8 * at, 8, "global_buffer") for at in (1, 2))
    hidden = KernelArgument("arg3", 24, 4, "hidden_block_count_x")
    code = code_of(assemble(END), kernarg=(OUT, *own, hidden))
    assert run(code, DeviceMemory(), Launch((1, 1, 1), (64, 1, 1), {"out": 0})).violations == ()
    with pytest.raises(UsageError, match="needs a value for its argument out"):
        run(code, DeviceMemory(), Launch((1, 1, 1), (64, 1, 1), {}))


@pytest.mark.parametrize(("grid", "block"), [((0, 1, 1), (64, 1, 1)), ((1, 1, 1), (512, 1, 1)), ((1, 1, 1), (0, 1, 1))])
def test_wrong_shapes(grid: Any, block: Any) -> None:
    with pytest.raises(UsageError):
        run(code_of(assemble(END)), DeviceMemory(), Launch(grid, block))
