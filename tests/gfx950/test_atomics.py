"""Atomic operations, against AMD's pseudocode done one lane after the other; and LDS accesses of half a register."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from tests.emulator import RUNS_HERE, WHY_NOT

if not RUNS_HERE:
    pytest.skip(WHY_NOT, allow_module_level=True)

from tinygrad.renderer.amd.dsl import s, v
from tinygrad.runtime.autogen.amd.cdna import ins
from tinygrad.runtime.autogen.amd.cdna.enum import DSOp, FLATOp, GLOBALOp, MUBUFOp
from tinygrad.runtime.autogen.amd.cdna.str_pcode import PCODE

from aiterfix.gfx950 import atomics
from aiterfix.gfx950.findings import Access, FindingKind
from aiterfix.gfx950.instruction import UnmodelledInstructionError
from aiterfix.gfx950.memory import DeviceMemory
from tests.gfx950.pseudocode import Interpreter, Value
from tests.gfx950.single import code_of, execute, new_waves, set_exec

OFF = s[0:1].__class__(127, 2)
CELLS = 8
MASK = 0xFF7F_FFFF_0F0F_FFFF
RNG = np.random.default_rng(17)


def _text(op: Any) -> str:
    """The pseudocode with the cell as a variable."""
    return str(PCODE[op]).replace("MEM[addr]", "M").replace("MEM[ADDR]", "M")


def _expected(op: Any, cells: list[int], width: int, data: list[list[int]]) -> tuple[list[int], list[int]]:
    """Cells afterwards and what each lane found; ``data`` holds what each lane brings, the first in DATA."""
    name, found, cells = op.name, [], list(cells)
    for lane, values in enumerate(data):
        place = lane * 5 % CELLS
        old = cells[place]
        if not MASK >> lane & 1:
            found.append(0)
            continue
        found.append(old)
        if "PK_ADD" in name:
            dtype = "e" if "F16" in name and "BF16" not in name else "bf"
            halves = [_halves(x, dtype) for x in (old, values[0])]
            cells[place] = _packed([a + b for a, b in zip(*halves, strict=True)], dtype)
            continue
        variables = {"M": Value("u", width, old), "DATA": Value("u", width, values[0])}
        if len(values) > 1:
            variables["DATA2"] = Value("u", width, values[1])
            if "CMPSWAP" in name:
                variables["DATA"] = Value("u", 2 * width, values[0] | values[1] << width)
        text = "\n".join(line for line in _text(op).splitlines() if "RETURN_DATA" not in line and "Calc" not in line)
        Interpreter(text, variables).run()
        cells[place] = variables["M"].bits & (1 << width) - 1
    return cells, found


def _halves(bits: int, dtype: str) -> list[float]:
    parts = [bits & 0xFFFF, bits >> 16]
    if dtype == "e":
        return [float(struct.unpack("<e", struct.pack("<H", x))[0]) for x in parts]
    return [float(struct.unpack("<f", struct.pack("<I", x << 16))[0]) for x in parts]


def _packed(numbers: list[float], dtype: str) -> int:
    low, high = (
        struct.unpack("<H", struct.pack("<e", x))[0]
        if dtype == "e"
        else (lambda b: (b + 0x7FFF + (b >> 16 & 1)) >> 16)(struct.unpack("<I", struct.pack("<f", x))[0])
        for x in numbers
    )
    return int(low | high << 16)


def _values(op: atomics.AtomicOperation, name: str, count: int) -> Any:
    """Bits: small integers where they count, floats where they add."""
    size = op.size
    if "pk_add" in name:
        singles = RNG.integers(-8, 8, (count, 2)).astype(np.float16 if "bf16" not in name else np.float32)
        raw = singles.view(np.uint16) if "bf16" not in name else (singles.view(np.uint32) >> 16).astype(np.uint16)
        return np.ascontiguousarray(raw).view(np.uint32)[:, 0]
    if np.dtype(op.dtype).kind == "f":
        return RNG.standard_normal(count).astype(op.dtype).view(f"u{size}")
    few = RNG.integers(0, 4, count).astype(f"u{size}")
    many = RNG.integers(0, 1 << 63, count, dtype=np.uint64).astype(f"u{size}")
    return np.where(RNG.random(count) < 0.5, few, many | np.array(1 << 8 * size - 1, f"u{size}"))


def _put(waves: Any, row: int, bits: Any) -> None:
    waves.vector[row, 0] = bits.astype(np.uint32)
    if bits.dtype == np.uint64:
        waves.vector[row + 1, 0] = (bits >> np.uint64(32)).astype(np.uint32)


def _registers(first: int, dwords: int) -> Any:
    return v[first] if dwords == 1 else v[first : first + dwords - 1]


@pytest.mark.parametrize("unit", ["BUFFER", "GLOBAL", "FLAT"])
@pytest.mark.parametrize("name", sorted(atomics.MEMORY))
def test_memory(name: str, unit: str) -> None:
    op = atomics.MEMORY[name]
    member = {"BUFFER": MUBUFOp, "GLOBAL": GLOBALOp, "FLAT": FLATOp}[unit][f"{unit}_{name}".upper()]
    dwords = op.size // 4
    start = _values(op, name, CELLS)
    brought = [_values(op, name, 64) for _ in range(op.operands)]
    if op.operands == 2:
        brought[1] = np.where(np.arange(64) % 3, start[np.arange(64) * 5 % CELLS], brought[1])
    cells, found = _expected(member, start.tolist(), 8 * op.size, [[int(x[k]) for x in brought] for k in range(64)])
    for asks in (0, 1):
        memory = DeviceMemory()
        allocation = memory.allocate("data", start)
        waves = new_waves(code_of(b""), 1, memory=memory)
        places = np.arange(64) * 5 % CELLS * op.size
        set_exec(waves, MASK)
        for k, values in enumerate(brought):
            _put(waves, 8 + k * dwords, values)
        waves.vector[16:18] = 0xDEAD
        data = _registers(8, dwords * op.operands)
        target = 8 if unit == "BUFFER" else 16
        if unit == "BUFFER":
            waves.vector[0] = places
            waves.scalar[8][:], waves.scalar[9][:] = allocation.address & 0xFFFF_FFFF, allocation.address >> 32
            waves.scalar[10][:], waves.scalar[11][:] = CELLS * op.size, 0x27000
            instruction = ins.MUBUF(member, data, v[0], s[8:11], s[12], 0, offen=1, sc0=asks)
        else:
            address = places.astype(np.uint64) + np.uint64(allocation.address)
            _put(waves, 0, address)
            form = ins.GLOBAL if unit == "GLOBAL" else ins.FLAT
            instruction = form(member, _registers(16, dwords), v[0], data, saddr=OFF, sc0=asks)
        execute(instruction, waves)
        assert allocation.array(f"u{op.size}").tolist() == cells
        assert waves.batch.recorder.violations() == ()
        got = waves.vector[target, 0].astype(np.uint64)
        if dwords == 2:
            got = got | waves.vector[target + 1, 0].astype(np.uint64) << np.uint64(32)
        for lane in range(64):
            if MASK >> lane & 1 and asks:
                assert int(got[lane]) == found[lane]
            elif unit != "BUFFER":
                assert int(waves.vector[16, 0, lane]) == 0xDEAD


@pytest.mark.parametrize("name", sorted(atomics.LDS))
def test_lds(name: str) -> None:
    op, member = atomics.LDS[name], DSOp[name.upper()]
    dwords = op.size // 4
    plain = name.replace("_rtn", "")
    text = DSOp.__members__.get(plain.upper(), member)
    start = _values(op, name, CELLS)
    brought = [_values(op, name, 64) for _ in range(op.operands)]
    if op.operands == 2:
        brought[0] = np.where(np.arange(64) % 3, start[np.arange(64) * 5 % CELLS], brought[0])
    cells, found = _expected(text, start.tolist(), 8 * op.size, [[int(x[k]) for x in brought] for k in range(64)])
    code = code_of(b"", lds=512)
    waves = new_waves(code, 1)
    waves.batch.lds[: start.nbytes] = start.view(np.uint8)
    assert waves.batch.lds_written is not None
    waves.batch.lds_written[:] = 1
    # Register and constant wrap here too.
    waves.vector[0] = (np.arange(64) * 5 % CELLS * op.size - 64).astype(np.uint32)
    for k, values in enumerate(brought):
        _put(waves, 8 + k * dwords, values)
    waves.vector[16:18] = 0xDEAD
    set_exec(waves, MASK)
    data = [_registers(8 + k * dwords, dwords) for k in range(op.operands)]
    execute(ins.DS(member, _registers(16, dwords), v[0], *data, offset0=64), waves, code)
    assert waves.batch.lds[: start.nbytes].view(f"u{op.size}").tolist() == cells
    for lane in range(64):
        want = 0xDEAD
        if "_rtn" in name and MASK >> lane & 1:
            want = found[lane] & 0xFFFF_FFFF
        assert int(waves.vector[16, 0, lane]) == want


def test_outside_and_unaligned() -> None:
    memory = DeviceMemory()
    allocation = memory.allocate("data", np.zeros(4, np.uint32))
    waves = new_waves(code_of(b"", lds=64), 1, memory=memory)
    _put(waves, 0, np.arange(64, dtype=np.uint64) * np.uint64(4) + np.uint64(allocation.address))
    waves.vector[8] = 1
    add = ins.GLOBAL(GLOBALOp.GLOBAL_ATOMIC_ADD, v[16], v[0], v[8], saddr=OFF, sc0=1)
    execute(add, waves)
    assert allocation.array(np.uint32).tolist() == [1] * 4
    (violation,) = waves.batch.recorder.violations()
    assert (violation.access, violation.argument, violation.count) == (Access.STORE, "data", 60)
    waves.vector[0] += np.uint32(2)
    with pytest.raises(UnmodelledInstructionError, match="not aligned"):
        execute(add, waves)
    waves.vector[0] = 2
    with pytest.raises(UnmodelledInstructionError, match="not aligned"):
        execute(ins.DS(DSOp.DS_ADD_U32, v[0], v[0], v[8]), waves, code_of(b"", lds=64))


@pytest.mark.parametrize(("suffix", "size", "signed"), [("U8", 1, False), ("I8", 1, True), ("U16", 2, False)])
@pytest.mark.parametrize("high", [False, True])
def test_half_reads_from_lds(suffix: str, size: int, signed: bool, high: bool) -> None:
    code = code_of(b"", lds=256)
    waves = new_waves(code, 1)
    waves.batch.lds[:256] = np.arange(256, dtype=np.uint8) ^ 0x85
    waves.vector[0] = np.arange(64) * 3 % 200
    waves.vector[1] = 0xAAAA_BBBB
    execute(ins.DS(DSOp[f"DS_READ_{suffix}_D16{'_HI' if high else ''}"], v[1], v[0], offset0=4), waves, code)
    for lane in range(64):
        start = lane * 3 % 200 + 4
        raw = waves.batch.lds[start : start + size].tobytes()
        value = int.from_bytes(raw, "little", signed=signed) & 0xFFFF
        want = value << 16 | 0xBBBB if high else 0xAAAA_0000 | value
        assert int(waves.vector[1][0, lane]) == want


@pytest.mark.parametrize(("suffix", "size"), [("B8", 1), ("B16", 2)])
def test_high_half_writes_to_lds(suffix: str, size: int) -> None:
    code = code_of(b"", lds=256)
    waves = new_waves(code, 1)
    waves.vector[0] = np.arange(64) * size
    waves.vector[1] = np.arange(64) * 0x0102_0000 + 0x1234
    execute(ins.DS(DSOp[f"DS_WRITE_{suffix}_D16_HI"], v[0], v[0], v[1]), waves, code)
    want = (waves.vector[1, 0] >> np.uint32(16)).astype(f"u{size}")
    assert (waves.batch.lds[: 64 * size].view(f"u{size}") == want).all()
    assert not waves.batch.lds[64 * size :].any()


@pytest.mark.parametrize(("suffix", "size"), [("B8", 1), ("B16", 2)])
def test_transposing_read(suffix: str, size: int) -> None:
    """16 lanes point at the rows of a matrix, 8 bytes each; a lane gets a column's elements, one from every row or two."""
    code = code_of(b"", lds=512)
    waves = new_waves(code, 1)
    waves.batch.lds[:512] = RNG.integers(0, 256, 512, dtype=np.uint8)
    assert waves.batch.lds_written is not None
    waves.batch.lds_written[:] = 1
    order = RNG.permutation(64)
    waves.vector[0] = order * 8
    count = 8 // size
    execute(ins.DS(DSOp[f"DS_READ_B64_TR_{suffix}"], v[2:3], v[0]), waves, code)
    rows = waves.batch.lds[:512].view(f"u{size}").reshape(64, count)[order]
    got = np.ascontiguousarray(waves.vector[2:4, 0].T).view(f"u{size}")
    for lane in range(64):
        block = rows[lane // 16 * 16 : lane // 16 * 16 + 16].reshape(-1, 16)  # each row of the matrix: 16 elements
        assert got[lane].tolist() == block[:, lane % 16].tolist()
    set_exec(waves, 1)
    with pytest.raises(UnmodelledInstructionError, match="lanes that are off"):
        execute(ins.DS(DSOp[f"DS_READ_B64_TR_{suffix}"], v[2:3], v[0]), waves, code)
    assert {f.kind for f in waves.batch.recorder.findings()} <= {FindingKind.LDS_NEVER_WRITTEN}
