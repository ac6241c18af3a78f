"""Loads and stores of every kind: data, extension, bounds, EXEC, and what is reported."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.emulator import RUNS_HERE, WHY_NOT

if not RUNS_HERE:
    pytest.skip(WHY_NOT, allow_module_level=True)

from tinygrad.renderer.amd.dsl import NULL, s, v
from tinygrad.runtime.autogen.amd.cdna import ins
from tinygrad.runtime.autogen.amd.cdna.enum import DSOp, FLATOp, GLOBALOp, MUBUFOp, SCRATCHOp, SMEMOp

from aiterfix.gfx950.findings import Access, FindingKind
from aiterfix.gfx950.instruction import UnmodelledInstructionError
from aiterfix.gfx950.memory import DeviceMemory
from tests.gfx950.lane_machine import assemble
from tests.gfx950.single import code_of, execute, new_waves, set_exec

OFF = s[0:1].__class__(127, 2)
"""The saddr encoding for "no scalar base"."""
CODE = code_of(b"", lds=256, scratch=32)
DATA = np.random.default_rng(3).integers(0, 256, 4096, dtype=np.uint8)


def _memory() -> tuple[DeviceMemory, Any]:
    memory = DeviceMemory()
    memory.allocate("before", np.zeros(16, np.uint32))
    allocation = memory.allocate("data", DATA.view(np.float32), element_size=4)
    return memory, allocation


def _waves(memory: DeviceMemory, count: int = 2) -> Any:
    return new_waves(CODE, count, memory=memory)


def _set64(waves: Any, row: int, values: Any) -> None:
    wide = np.broadcast_to(np.asarray(values, np.uint64), (waves.count, 64))
    waves.vector[row] = wide.astype(np.uint32)
    waves.vector[row + 1] = (wide >> np.uint64(32)).astype(np.uint32)


def _expected(start: Any, size: int, signed: bool) -> int:
    return int.from_bytes(DATA[start : start + size].tobytes(), "little", signed=signed) & 0xFFFF_FFFF


@pytest.mark.parametrize(
    ("suffix", "size", "signed"),
    [("UBYTE", 1, False), ("SBYTE", 1, True), ("USHORT", 2, False), ("SSHORT", 2, True), ("DWORD", 4, False),
     ("DWORDX2", 8, False), ("DWORDX3", 12, False), ("DWORDX4", 16, False)],
)  # fmt: skip
@pytest.mark.parametrize("unit", ["GLOBAL", "GLOBAL_SADDR", "FLAT", "BUFFER"])
@pytest.mark.parametrize("alignment", [16, 8, 4, 1])
def test_vector_load(suffix: str, size: int, signed: bool, unit: str, alignment: int) -> None:
    memory, allocation = _memory()
    waves = _waves(memory)
    offsets = np.random.default_rng(5).integers(16, 200, (2, 64)) * alignment
    mask = 0x0F0F_FFFF_1234_8001
    set_exec(waves, mask)
    waves.vector[4:8] = 0xDEAD
    width = max(size // 4, 1)
    target = v[4 : 4 + width - 1] if width > 1 else v[4]
    if unit == "BUFFER":
        waves.vector[0] = offsets
        _set_descriptor(waves, allocation.address, 4096)
        instruction = ins.MUBUF(MUBUFOp[f"BUFFER_LOAD_{suffix}"], target, v[0], s[8:11], s[12], 8, offen=1)
        waves.scalar[12][:] = 4
        shift = 12
    elif unit == "GLOBAL_SADDR":
        waves.vector[0] = offsets
        waves.pairs64[4] = allocation.address
        instruction = ins.GLOBAL(GLOBALOp[f"GLOBAL_LOAD_{suffix}"], target, v[0], saddr=s[8:9], offset=(-12) & 0x1FFF)
        shift = -12
    elif unit == "GLOBAL":
        _set64(waves, 0, offsets + allocation.address)
        instruction = ins.GLOBAL(GLOBALOp[f"GLOBAL_LOAD_{suffix}"], target, v[0], saddr=OFF, offset=12)
        shift = 12
    else:
        _set64(waves, 0, offsets + allocation.address)
        instruction = ins.FLAT(FLATOp[f"FLAT_LOAD_{suffix}"], target, v[0], saddr=OFF, offset=20)
        shift = 20
    execute(instruction, waves, CODE)
    for wave in range(2):
        for lane in range(64):
            for k in range(width):
                want = 0xDEAD
                if mask >> lane & 1:
                    want = _expected(offsets[wave, lane] + shift + 4 * k, min(size, 4), signed)
                assert waves.vector[4 + k][wave, lane] == want
    assert waves.batch.recorder.violations() == ()


def _set_descriptor(waves: Any, base: int, records: int, word3: int = 0x27000) -> None:
    waves.scalar[8][:] = base & 0xFFFF_FFFF
    waves.scalar[9][:] = base >> 32
    waves.scalar[10][:] = records
    waves.scalar[11][:] = word3


@pytest.mark.parametrize(
    ("suffix", "size", "shift"),
    [("BYTE", 1, 0), ("SHORT", 2, 0), ("BYTE_D16_HI", 1, 16), ("SHORT_D16_HI", 2, 16), ("DWORD", 4, 0),
     ("DWORDX2", 8, 0), ("DWORDX3", 12, 0), ("DWORDX4", 16, 0)],
)  # fmt: skip
@pytest.mark.parametrize("unit", ["GLOBAL", "FLAT", "BUFFER"])
@pytest.mark.parametrize("spacing", [16, 20, 17])
def test_vector_store(suffix: str, size: int, shift: int, unit: str, spacing: int) -> None:
    memory, allocation = _memory()
    waves = _waves(memory, 1)
    rng = np.random.default_rng(9)
    places = rng.permutation(64)[np.newaxis] * spacing
    waves.vector[4:8] = rng.integers(0, 1 << 32, (4, 1, 64), dtype=np.uint32)
    mask = 0x7777_1111_FF00_0001
    set_exec(waves, mask)
    width = max(size // 4, 1)
    source = v[4 : 4 + width - 1] if width > 1 else v[4]
    if unit == "BUFFER":
        waves.vector[0] = places
        _set_descriptor(waves, allocation.address, 4096)
        instruction = ins.MUBUF(MUBUFOp[f"BUFFER_STORE_{suffix}"], source, v[0], s[8:11], s[12], 0, offen=1)
    else:
        _set64(waves, 0, places + allocation.address)
        cls, ops = (ins.GLOBAL, GLOBALOp) if unit == "GLOBAL" else (ins.FLAT, FLATOp)
        instruction = cls(ops[f"{unit}_STORE_{suffix}"], v[0], v[0], source, saddr=OFF)
    execute(instruction, waves, CODE)
    want = DATA.copy()
    for lane in range(64):
        if mask >> lane & 1:
            raw = np.ascontiguousarray(waves.vector[4:8, 0, lane]).tobytes()[shift // 8 :][:size]
            want[places[0, lane] : places[0, lane] + size] = np.frombuffer(raw, np.uint8)
    assert (allocation.array() == want).all()


def test_half_loads_keep_the_other_half() -> None:
    memory, allocation = _memory()
    waves = _waves(memory, 1)
    _set64(waves, 0, allocation.address + 6)
    waves.vector[4] = waves.vector[5] = 0x12345678
    execute(ins.GLOBAL(GLOBALOp.GLOBAL_LOAD_SHORT_D16_HI, v[4], v[0], saddr=OFF), waves, CODE)
    execute(ins.GLOBAL(GLOBALOp.GLOBAL_LOAD_SBYTE_D16, v[5], v[0], saddr=OFF), waves, CODE)
    assert (waves.vector[4] == (int(DATA[6]) | int(DATA[7]) << 8) << 16 | 0x5678).all()
    assert (waves.vector[5] == (0x12340000 | int(np.int8(DATA[6].view(np.int8))) & 0xFFFF)).all()


def test_accesses_outside_are_reported_and_not_performed() -> None:
    """A load and a store of four dwords that straddle the end: the part inside happens, the rest is reported."""
    memory, allocation = _memory()
    waves = _waves(memory)
    end = allocation.end
    _set64(waves, 0, np.where(np.arange(64) == 9, end - 8, end - 16))
    execute(ins.GLOBAL(GLOBALOp.GLOBAL_LOAD_DWORDX4, v[4:7], v[0], saddr=OFF), waves, CODE)
    inside = DATA[-8:].view(np.uint32)
    assert waves.vector[4:8][:, 0, 9].tolist() == [*inside.tolist(), 0, 0]
    assert waves.vector[4:8][:, 0, 10].tolist() == DATA[-16:].view(np.uint32).tolist()
    waves.vector[4:8] = 0x01020304
    set_exec(waves, [1 << 9, 0])
    execute(ins.GLOBAL(GLOBALOp.GLOBAL_STORE_DWORDX4, v[0], v[0], v[4:7], saddr=OFF), waves, CODE)
    assert allocation.array(np.uint32)[-2:].tolist() == [0x01020304] * 2
    assert (allocation.array()[:-8] == DATA[:-8]).all()
    loads, stores = waves.batch.recorder.violations()
    assert (loads.access, stores.access) == (Access.LOAD, Access.STORE)
    assert (loads.argument, loads.first_element, loads.last_element) == ("data", 1024, 1025)
    assert (loads.count, stores.count) == (4, 2)
    assert loads.lanes == stores.lanes == 1 << 9
    assert (loads.workgroups, stores.workgroups) == ((0, 1), (0,))


def test_violation_before_an_allocation_and_far_away() -> None:
    memory, allocation = _memory()
    waves = _waves(memory, 1)
    set_exec(waves, 1)
    for address in (allocation.address - 8, 0x10):
        _set64(waves, 0, address)
        execute(ins.GLOBAL(GLOBALOp.GLOBAL_LOAD_DWORD, v[4], v[0], saddr=OFF), waves, CODE)
    near, far = sorted(waves.batch.recorder.violations(), key=lambda x: x.argument, reverse=True)
    assert (near.argument, near.first_element) == ("data", -2)
    assert far.argument == "before"


def test_buffer_bounds() -> None:
    """Offsets at and past num_records: loads 0, stores dropped, dword by dword, and nobody is told."""
    memory, allocation = _memory()
    waves = _waves(memory, 1)
    _set_descriptor(waves, allocation.address, 72)
    waves.scalar[12][:] = 8  # soffset: shrinks what is in range to 64
    waves.vector[0] = np.arange(64)[np.newaxis] * 4
    waves.vector[0][0, 60] = 0x8000_0000  # the masked lane of a Triton store
    execute(ins.MUBUF(MUBUFOp.BUFFER_LOAD_DWORDX2, v[4:5], v[0], s[8:11], s[12], 0, offen=1), waves, CODE)
    cells = DATA.view(np.uint32)
    for lane in range(64):
        for k in range(2):
            offset = 4 * (lane + k)
            want = cells[(offset + 8) // 4] if offset < 64 and lane != 60 else 0
            assert waves.vector[4 + k][0, lane] == want
    waves.vector[4] = 77
    execute(ins.MUBUF(MUBUFOp.BUFFER_STORE_DWORD, v[4], v[0], s[8:11], s[12], 0, offen=1), waves, CODE)
    want_cells = cells.copy()
    want_cells[2:18] = 77
    assert (allocation.array(np.uint32) == want_cells).all()
    assert waves.batch.recorder.violations() == ()


@pytest.mark.parametrize(("suffix", "dwords"), [("DWORD", 1), ("DWORDX3", 3), ("DWORDX4", 4)])
def test_buffer_load_to_lds(suffix: str, dwords: int) -> None:
    """Lane after lane from M0 and the constant on, whatever the lanes' offsets; 0 for what is out of range."""
    memory, allocation = _memory()
    code = code_of(b"", lds=2048)
    waves = new_waves(code, 2, memory=memory)
    assert waves.batch.lds_written is not None
    waves.batch.lds_written[:] = 0
    _set_descriptor(waves, allocation.address, 1024)
    waves.scalar[12][:] = 0
    waves.scalar[124][:] = [32, 64]  # M0
    order = np.random.default_rng(7).permutation(64)
    waves.vector[0] = (order * 16)[np.newaxis].astype(np.uint32)
    waves.vector[0][:, 5] = 0x8000_0000
    waves.vector[4:8] = 9
    set_exec(waves, [(1 << 64) - 1, (1 << 64) - 1 - (1 << 3)])
    unused = v[4] if dwords == 1 else v[4 : 3 + dwords]
    load = ins.MUBUF(MUBUFOp[f"BUFFER_LOAD_{suffix}"], unused, v[0], s[8:11], s[12], 16, offen=1, lds=1)
    execute(load, waves, code)
    for wave, place in enumerate((48, 80)):
        lds = waves.batch.lds[2048 * wave : 2048 * (wave + 1)].view(np.uint32)
        want = np.zeros(512, np.uint32)
        for lane in range(64):
            start = order[lane] * 16 + 16
            for k in range(dwords):
                inside = lane != 5 and start + 4 * k < 1024 and not (wave == 1 and lane == 3)
                want[place // 4 + lane * dwords + k] = DATA.view(np.uint32)[start // 4 + k] if inside else 0
        assert (lds == want).all()
    assert (waves.vector[4:8] == 9).all()
    assert waves.batch.recorder.violations() == ()
    with pytest.raises(UnmodelledInstructionError, match="LDS of this kind"):
        execute(ins.MUBUF(MUBUFOp.BUFFER_LOAD_DWORDX2, v[4:5], v[0], s[8:11], s[12], 0, offen=1, lds=1), waves, code)


@pytest.mark.parametrize(("suffix", "dwords"), [("DWORD", 1), ("DWORDX3", 3), ("DWORDX4", 4)])
def test_global_load_to_lds(suffix: str, dwords: int) -> None:
    """The constant counts in the address and in LDS."""
    memory, allocation = _memory()
    code = code_of(b"", lds=1200)
    waves = new_waves(code, 1, memory=memory)
    assert waves.batch.lds_written is not None
    waves.batch.lds_written[:] = 0
    waves.scalar[124][:] = 64  # M0
    order = np.random.default_rng(8).permutation(64)
    _set64(waves, 0, allocation.address + order * 16)
    set_exec(waves, (1 << 64) - 1 - (1 << 3))
    unused = v[4] if dwords == 1 else v[4 : 3 + dwords]
    load = ins.GLOBAL(GLOBALOp[f"GLOBAL_LOAD_LDS_{suffix}"], unused, v[0], saddr=OFF, offset=16)
    execute(load, waves, code)
    want = np.zeros(300, np.uint32)
    for lane in set(range(64)) - {3}:
        for k in range(dwords):
            want[20 + lane * dwords + k] = DATA.view(np.uint32)[order[lane] * 4 + 4 + k]
    assert (waves.batch.lds[:1200].view(np.uint32) == want).all()
    assert waves.batch.recorder.violations() == ()


def test_register_and_constant_offset_wrap_before_the_bounds() -> None:
    """A negative register and a constant that makes up for it: what LLVM folds `start - 16 + lane + 16` into."""
    memory, allocation = _memory()
    waves = _waves(memory, 1)
    _set_descriptor(waves, allocation.address, 0x7FFF_FFFE)
    waves.scalar[12][:] = 0
    waves.vector[0] = (np.arange(64, dtype=np.int64)[np.newaxis] * 4 - 16).astype(np.uint32)
    execute(ins.MUBUF(MUBUFOp.BUFFER_LOAD_DWORD, v[4], v[0], s[8:11], s[12], 16, offen=1), waves, CODE)
    assert (waves.vector[4][0] == DATA.view(np.uint32)[:64]).all()
    assert waves.batch.recorder.violations() == ()


def test_buffer_violation_belongs_to_the_descriptor() -> None:
    """Past the allocation but within num_records: reported against the buffer that was meant, however far."""
    memory, allocation = _memory()
    waves = _waves(memory, 1)
    _set_descriptor(waves, allocation.address, 0x7FFF_FFFE)
    waves.vector[0] = 0x7000_0000
    set_exec(waves, 2)
    execute(ins.MUBUF(MUBUFOp.BUFFER_STORE_DWORD, v[4], v[0], s[8:11], s[12], 0, offen=1), waves, CODE)
    (violation,) = waves.batch.recorder.violations()
    assert (violation.argument, violation.first_element) == ("data", 0x7000_0000 // 4)


@pytest.mark.parametrize(("word1", "word3"), [(0x0004_0000, 0x27000), (0x8000_0000, 0x27000), (0, 0x0080_0000)])
def test_structured_descriptors_are_refused(word1: int, word3: int) -> None:
    memory, allocation = _memory()
    waves = _waves(memory, 1)
    _set_descriptor(waves, allocation.address, 64, word3)
    waves.scalar[9][:] |= word1
    with pytest.raises(UnmodelledInstructionError, match="buffer descriptor"):
        execute(ins.MUBUF(MUBUFOp.BUFFER_LOAD_DWORD, v[4], v[0], s[8:11], s[12], 0, offen=1), waves, CODE)


def test_scalar_loads() -> None:
    memory, allocation = _memory()
    waves = _waves(memory)
    waves.pairs64[2] = allocation.address
    waves.scalar[20][:] = [4, 64]
    cells = DATA.view(np.uint32)
    execute(ins.SMEM(SMEMOp.S_LOAD_DWORDX8, s[8:15], s[4:5], offset=32, imm=1), waves, CODE)
    assert [waves.scalar[8 + k][1] for k in range(8)] == cells[8:16].tolist()
    execute(ins.SMEM(SMEMOp.S_LOAD_DWORD, s[16], s[4:5], s[20], offset=8, imm=1, soffset_en=1), waves, CODE)
    assert waves.scalar[16].tolist() == [cells[3], cells[18]]
    execute(ins.SMEM(SMEMOp.S_LOAD_DWORDX2, s[16:17], s[4:5], offset=(-8) & 0x1FFFFF, imm=1), waves, CODE)
    assert waves.scalar[16].tolist() == [0, 0]
    (violation,) = waves.batch.recorder.violations()
    assert (violation.argument, violation.first_element, violation.last_element) == ("data", -2, -1)


@pytest.mark.parametrize("suffix", ["B8", "B16", "B32", "B64", "B96", "B128"])
def test_lds_round_trip(suffix: str) -> None:
    size = int(suffix[1:]) // 8
    lds = code_of(b"", lds=64 * 16)
    waves = new_waves(lds, 2)
    waves.vector[4:8] = np.random.default_rng(1).integers(0, 1 << 32, (4, 2, 64), dtype=np.uint32)
    waves.vector[0] = np.random.default_rng(2).permutation(64)[np.newaxis] * 16
    width = max(size // 4, 1)
    data = v[4 : 4 + width - 1] if width > 1 else v[4]
    back = v[12 : 12 + width - 1] if width > 1 else v[12]
    execute(ins.DS(DSOp[f"DS_WRITE_{suffix}"], v[0], v[0], data), waves, lds)
    reads = {1: ("DS_READ_I8", np.int8), 2: ("DS_READ_I16", np.int16)}
    name, narrow = reads.get(size, (f"DS_READ_{suffix}", None))
    execute(ins.DS(DSOp[name], back, v[0]), waves, lds)
    for k in range(width):
        want = (
            waves.vector[4 + k] if narrow is None else waves.vector[4].astype(narrow).astype(np.int32).view(np.uint32)
        )
        assert (waves.vector[12 + k] == want).all()
    assert waves.batch.recorder.findings() == ()


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_transposing_reads(bits: int) -> None:
    """Sixteen lanes read a matrix of rows of 16 elements in order and get a column each."""
    waves = new_waves(code_of(b"", lds=512), 1)
    content = np.random.default_rng(bits).integers(0, 256, 512, dtype=np.uint8)
    waves.batch.lds[:512] = content
    waves.vector[0] = 8 * np.arange(64)
    execute(assemble([f"ds_read_b64_tr_b{bits} v[2:3], v0"]), waves)
    count = 64 // bits
    for lane in range(64):
        got = int(waves.vector[2][0, lane]) | int(waves.vector[3][0, lane]) << 32
        block = int.from_bytes(content[lane // 16 * 128 : lane // 16 * 128 + 128].tobytes(), "little")
        for row in range(count):
            place = 16 * row + lane % 16
            assert got >> bits * row & (1 << bits) - 1 == block >> bits * place & (1 << bits) - 1


def test_lds_pairs_and_workgroups_apart() -> None:
    lds = code_of(b"", lds=2048)
    waves = new_waves(lds, 4, waves_per_workgroup=2)
    waves.vector[0] = np.arange(64)[np.newaxis] * 8 + (waves.ids % 2)[:, np.newaxis] * 1024
    waves.vector[1] = waves.ids[:, np.newaxis] * 1000 + np.arange(64)
    waves.vector[2] = ~waves.vector[1]
    execute(ins.DS(DSOp.DS_WRITE2_B32, v[0], v[0], v[1], v[2], offset0=0, offset1=1), waves, lds)
    waves.vector[0] = np.arange(64)[np.newaxis] * 4
    execute(ins.DS(DSOp.DS_READ2ST64_B32, v[8:9], v[0], offset0=0, offset1=4), waves, lds)
    for wave in range(4):
        for half, source in ((0, wave // 2 * 2), (1, wave // 2 * 2 + 1)):
            row = waves.vector[1][source]
            both = np.stack([row, ~row], axis=1).reshape(-1)[:64]
            assert (waves.vector[8 + half][wave] == both).all()
    assert waves.batch.recorder.findings() == ()


@pytest.mark.parametrize(
    "suffix", ["B8", "B16", "B32", "B64", "B96", "B128", "2_B32", "2_B64", "2ST64_B32", "2ST64_B64"]
)
def test_lds_addresses_wrap_at_32_bits(suffix: str) -> None:
    """A negative register and a constant that makes up for it, as LLVM folds them: ``0xffffe000 + 16 * lane + 8192``."""
    element, unit = {
        "2_B32": (4, 4), "2_B64": (8, 8), "2ST64_B32": (4, 256), "2ST64_B64": (8, 512),
    }.get(suffix, (int(suffix.rsplit("B", 1)[1]) // 8, 1))  # fmt: skip
    pair = suffix.startswith("2")
    offsets: tuple[int, ...] = (254, 252) if pair else (0x2000,)
    lds = code_of(b"", lds=4096)
    waves = new_waves(lds, 1)
    waves.vector[0] = (np.arange(64)[np.newaxis] * element + 1024 - offsets[0] * unit).astype(np.uint32)
    waves.vector[2:6] = np.random.default_rng(1).integers(0, 1 << 32, (4, 1, 64), dtype=np.uint32)
    waves.vector[6:8] = ~waves.vector[2:4]
    width = max(element // 4, 1)
    fields = (
        {"offset0": offsets[0], "offset1": offsets[1]}
        if pair
        else {"offset0": offsets[0] & 255, "offset1": offsets[0] >> 8}
    )
    data = [v[2 : 1 + width] if width > 1 else v[2], v[6 : 5 + width] if width > 1 else v[6]][: len(offsets)]
    execute(ins.DS(DSOp[f"DS_WRITE{'' if pair else '_'}{suffix}"], v[0], v[0], *data, **fields), waves, lds)
    for place, offset in enumerate(offsets):
        start = 1024 + (offset - offsets[0]) * unit
        raw = waves.vector[(2, 6)[place] : (2, 6)[place] + width, 0].T.copy().view(np.uint8)[:, :element]
        # The second of two ranges that overlap wins where they do.
        if place == len(offsets) - 1:
            assert (waves.batch.lds[start : start + 64 * element] == raw.reshape(-1)).all()
    reads = {1: "_U8", 2: "_U16"}.get(element, f"{'' if pair else '_'}{suffix}")
    words = width * len(offsets)
    back = v[12 : 11 + words] if words > 1 else v[12]
    execute(ins.DS(DSOp[f"DS_READ{reads}"], back, v[0], **fields), waves, lds)
    for place, offset in enumerate(offsets):
        start = 1024 + (offset - offsets[0]) * unit
        want = np.zeros((64, max(element, 4)), np.uint8)
        want[:, :element] = waves.batch.lds[start : start + 64 * element].reshape(64, element)
        got = waves.vector[12 + place * width : 12 + (place + 1) * width, 0].T
        assert (got == want.view(np.uint32)).all()
    assert waves.vector[12 : 12 + words].any()
    assert waves.batch.recorder.findings() == ()


def test_lds_addresses_below_zero_stay_out_of_range() -> None:
    waves = _waves(DeviceMemory(), 1)
    waves.vector[0] = 0xFFFF_FFFC  # its last byte is the last of 32 bits: nothing wraps inside an access
    execute(ins.DS(DSOp.DS_READ_B64, v[6:7], v[0]), waves, CODE)
    assert {f.kind for f in waves.batch.recorder.findings()} == {FindingKind.LDS_OUT_OF_RANGE}
    assert not waves.vector[6:8].any()


def test_load_to_lds_below_its_first_byte() -> None:
    """A negative constant counts in LDS too; what lies before its start is out of range, and nothing is written."""
    memory, allocation = _memory()
    code = code_of(b"", lds=1024)
    waves = new_waves(code, 2, memory=memory)
    waves.scalar[124][:] = 8  # M0
    _set64(waves, 0, allocation.address + 16)
    load = ins.GLOBAL(GLOBALOp.GLOBAL_LOAD_LDS_DWORD, v[4], v[0], saddr=OFF, offset=(-16) & 0x1FFF)
    execute(load, waves, code)
    lds = waves.batch.lds.view(np.uint32).reshape(2, 256)
    assert (lds[:, :62] == DATA.view(np.uint32)[0]).all()
    assert not lds[:, 62:].any()
    assert {f.kind: f.count for f in waves.batch.recorder.findings()} == {FindingKind.LDS_OUT_OF_RANGE: 4}


def test_lds_faults() -> None:
    waves = _waves(DeviceMemory(), 1)
    set_exec(waves, 0b111)
    waves.vector[0] = 0
    waves.vector[0][0, :3] = [0, 252, 256]
    waves.vector[4:6] = 5
    execute(ins.DS(DSOp.DS_WRITE_B64, v[0], v[0], v[4:5]), waves, CODE)
    waves.vector[0][0, :3] = [0, 8, 300]
    execute(ins.DS(DSOp.DS_READ_B64, v[6:7], v[0]), waves, CODE)
    assert waves.vector[6][0, :3].tolist() == [5, 0, 0]
    # Both instructions stand at pc 0 here, so their findings of one kind add up.
    kinds = {f.kind: f.count for f in waves.batch.recorder.findings()}
    assert kinds == {FindingKind.LDS_OUT_OF_RANGE: 2 + 1, FindingKind.LDS_NEVER_WRITTEN: 1}


def test_lane_permutations() -> None:
    waves = _waves(DeviceMemory(), 1)
    rng = np.random.default_rng(4)
    waves.vector[1] = rng.integers(0, 1 << 32, (1, 64), dtype=np.uint32)
    order = rng.permutation(64)
    waves.vector[0] = order[np.newaxis] * 4 + 256
    execute(ins.DS(DSOp.DS_BPERMUTE_B32, v[2], v[0], v[1]), waves, CODE)
    assert (waves.vector[2][0] == waves.vector[1][0, order]).all()
    execute(ins.DS(DSOp.DS_PERMUTE_B32, v[3], v[0], v[1]), waves, CODE)
    assert (waves.vector[3][0, order] == waves.vector[1][0]).all()
    execute(ins.DS(DSOp.DS_SWIZZLE_B32, v[4], v[1], offset0=0x1F, offset1=0x40), waves, CODE)
    lanes = np.arange(64)
    assert (waves.vector[4][0] == waves.vector[1][0, lanes ^ 16]).all()
    execute(ins.DS(DSOp.DS_SWIZZLE_B32, v[4], v[1], offset0=0x1B, offset1=0x80), waves, CODE)
    assert (waves.vector[4][0] == waves.vector[1][0, lanes ^ 3]).all()


def test_scratch() -> None:
    waves = _waves(DeviceMemory(), 2)
    rng = np.random.default_rng(6)
    waves.vector[1:5] = rng.integers(0, 1 << 32, (4, 2, 64), dtype=np.uint32)
    waves.scalar[30][:] = 4
    execute(ins.SCRATCH(SCRATCHOp.SCRATCH_STORE_DWORDX4, v[0], v[0], v[1:4], saddr=s[30], offset=12), waves, CODE)
    execute(ins.SCRATCH(SCRATCHOp.SCRATCH_LOAD_DWORDX2, v[8:9], v[0], saddr=OFF, offset=20), waves, CODE)
    assert (waves.vector[8:10] == waves.vector[2:4]).all()
    waves.vector[0] = 24
    execute(ins.SCRATCH(SCRATCHOp.SCRATCH_LOAD_DWORD, v[10], v[0], saddr=OFF, offset=4, sve=1), waves, CODE)
    assert (waves.vector[10] == waves.vector[4]).all()
    assert waves.batch.recorder.findings() == ()
    execute(ins.SCRATCH(SCRATCHOp.SCRATCH_LOAD_DWORD, v[11], v[0], saddr=OFF, offset=32), waves, CODE)
    (finding,) = waves.batch.recorder.findings()
    assert (finding.kind, finding.count) == (FindingKind.SCRATCH_OUT_OF_RANGE, 128)
    assert not waves.vector[11].any()
    assert NULL.offset == 124


@pytest.mark.parametrize(
    ("vector", "scalar", "offset", "inside"),
    [(24, None, -8, True), (0xFFFF_FFFC, None, 8, False), (4, None, -8, False), (None, 0xFFFF_FFFC, 8, False),
     (0xFFFF_FFF0, 16, 16, False), (8, 8, 0, True)],
)  # fmt: skip
def test_scratch_registers_are_unsigned(vector: int | None, scalar: int | None, offset: int, inside: bool) -> None:
    """A register below zero reaches past the segment, where its sum with the constant would not."""
    waves = _waves(DeviceMemory(), 1)
    waves.vector[3] = 7
    execute(ins.SCRATCH(SCRATCHOp.SCRATCH_STORE_DWORD, v[0], v[0], v[3], saddr=OFF, offset=16), waves, CODE)
    waves.vector[1], waves.scalar[30][:] = vector or 0, scalar or 0
    where: Any = OFF if scalar is None else s[30]
    load = ins.SCRATCH(
        SCRATCHOp.SCRATCH_LOAD_DWORD, v[8], v[1], saddr=where, offset=offset & 0x1FFF, sve=vector is not None
    )
    execute(load, waves, CODE)
    assert (waves.vector[8] == (7 if inside else 0)).all()
    found = [f.kind for f in waves.batch.recorder.findings()]
    assert found == ([] if inside else [FindingKind.SCRATCH_OUT_OF_RANGE])


@pytest.mark.parametrize("op", ["SCRATCH_LOAD_DWORD", "SCRATCH_STORE_DWORD"])
@pytest.mark.parametrize("vector", [0, 1])
def test_negative_constant_beside_a_scalar_register_is_refused(op: str, vector: int) -> None:
    """LLVM: it makes a page fault on gfx9."""
    instruction = ins.SCRATCH(SCRATCHOp[op], v[8], v[1], v[3], saddr=s[30], offset=-4 & 0x1FFF, sve=vector)
    with pytest.raises(UnmodelledInstructionError, match="negative constant"):
        execute(instruction, _waves(DeviceMemory(), 1), CODE)


def test_data_in_accumulation_registers() -> None:
    memory, allocation = _memory()
    waves = _waves(memory, 1)
    waves.vector[0] = np.arange(64) * 4
    waves.vector[10] = np.arange(64) * 4
    waves.pairs64[4] = allocation.address
    _set_descriptor(waves, allocation.address, 4096)
    waves.scalar[12][:] = 0
    accumulation = waves.vector[64:]
    execute(ins.MUBUF(MUBUFOp.BUFFER_LOAD_DWORD, v[3], v[0], s[8:11], s[12], 4, offen=1, acc=1), waves, CODE)
    cells = DATA.view(np.uint32)
    assert accumulation[3][0].tolist() == cells[1:65].tolist()
    assert not waves.vector[3].any()
    execute(ins.DS(DSOp.DS_WRITE_B32, v[0], v[10], v[3], acc=1), waves, CODE)
    execute(ins.DS(DSOp.DS_READ_B32, v[5], v[10], acc=1), waves, CODE)
    assert (accumulation[5] == accumulation[3]).all()
    waves.pairs64[20] = allocation.address + 1024
    execute(ins.GLOBAL(GLOBALOp.GLOBAL_STORE_DWORD, v[0], v[0], v[5], saddr=s[40:41], acc=1), waves, CODE)
    assert allocation.array(np.uint32)[256 : 256 + 64].tolist() == cells[1:65].tolist()
    execute(ins.SCRATCH(SCRATCHOp.SCRATCH_STORE_DWORD, v[0], v[0], v[5], saddr=OFF, acc=1), waves, CODE)
    execute(ins.SCRATCH(SCRATCHOp.SCRATCH_LOAD_DWORD, v[6], v[0], saddr=OFF), waves, CODE)
    assert (waves.vector[6] == accumulation[5]).all()
