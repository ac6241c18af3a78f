"""An oracle that shares no code with the emulator: assembler text, executed one lane at a time.

It knows the text, not the machine code: LLVM, inside Triton, makes the one from the other, so that decoding is tested
too. Vector and scalar arithmetic is AMD's pseudocode (``pseudocode.py``); memory, LDS, branches and barriers are written
out here, as plainly as they can be.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from functools import cache
from typing import Any

from tests.gfx950.pseudocode import Interpreter, Value

M32, M64 = 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF
_INLINE = {"0.5": 0.5, "-0.5": -0.5, "1.0": 1.0, "-1.0": -1.0, "2.0": 2.0, "-2.0": -2.0, "4.0": 4.0, "-4.0": -4.0}
_SPECIAL = {"vcc": 106, "vcc_lo": 106, "vcc_hi": 107, "m0": 124, "exec": 126, "exec_lo": 126, "exec_hi": 127}


def assemble(lines: list[str]) -> bytes:
    """Machine code of assembler lines for gfx950, by the LLVM inside Triton."""
    from elftools.elf.elffile import ELFFile
    from triton._C.libtriton import amd, llvm
    from triton.backends.amd import compiler

    llvm.init_targets()
    # Of the backend's own since Triton 3.9.
    assembler = getattr(compiler, "assemble_amdgcn", amd.assemble_amdgcn)
    blob = assembler(".text\n" + "\n".join(lines) + "\n", "gfx950", "")
    if not blob.startswith(b"\x7fELF"):
        raise SyntaxError("LLVM does not take " + "; ".join(lines))
    text: bytes = ELFFile(io.BytesIO(blob)).get_section_by_name(".text").data()
    return text


@cache
def pseudocode() -> dict[str, str]:
    """Mnemonic to AMD's pseudocode."""
    from tinygrad.runtime.autogen.amd.cdna.str_pcode import PCODE

    found: dict[str, str] = {}
    for op, text in PCODE.items():
        name = op.name.lower()
        found.setdefault(name, text)
        found.setdefault(name.removesuffix("_e32").removesuffix("_e64"), text)
    return found


@cache
def widths(name: str) -> tuple[list[tuple[str, int]], int]:
    """Type and bits of each source, and bits of the result, as the pseudocode names them."""
    text = pseudocode()[name]
    sources: list[tuple[str, int]] = []
    for number in range(3):
        kinds = re.findall(rf"\bS{number}(?:\[[^]]*\])?\.([a-z]+)(\d+)", text)
        if not kinds and not re.search(rf"\bS{number}\b", text):
            break
        whole = re.findall(rf"\bS{number}\.([a-z]+)(\d+)", text) or [("u", "32")]
        sources.append((whole[0][0], max(int(bits) for _, bits in whole)))
    written = re.findall(r"\bD0\.[a-z]+(\d+) *=(?!=)", text) or re.findall(r"\bD0\.[a-z]+(\d+)", text)
    return sources, max(map(int, written), default=64 if "D0[63" in text else 32)


class Wave:
    """Registers of one wave."""

    def __init__(self, vgprs: int) -> None:
        self.v = [[0] * 64 for _ in range(vgprs)]
        self.s = [0] * 128
        self.scc = 0
        self.s[126] = self.s[127] = M32

    @property
    def exec(self) -> int:
        """The 64 bits of EXEC."""
        return self.pair(126)

    def pair(self, register: int) -> int:
        """Two scalar registers."""
        return self.s[register] | self.s[register + 1] << 32

    def set_pair(self, register: int, value: int) -> None:
        """Write two scalar registers."""
        self.s[register], self.s[register + 1] = value & M32, value >> 32 & M32

    def source(self, operand: str, kind: str, width: int, lane: int) -> int:
        """The bits of an operand, its signs applied."""
        negative = operand.startswith("-") and not re.match(r"-\d", operand)
        operand = operand[1:] if negative else operand
        absolute = operand.startswith("|")
        operand = operand.strip("|")
        bits = self._plain(operand, width, lane)
        top = 1 << (width - 1)
        if kind == "b" or kind == "f" or absolute or negative:
            bits = bits & ~top if absolute else bits
            bits = bits ^ top if negative else bits
        return bits

    def _plain(self, operand: str, width: int, lane: int) -> int:
        mask = (1 << width) - 1
        if operand in _INLINE:
            pack, unpack = {16: ("<e", "<H"), 32: ("<f", "<I"), 64: ("<d", "<Q")}[width]
            return int(struct.unpack(unpack, struct.pack(pack, _INLINE[operand]))[0])
        if re.fullmatch(r"-?\d+|0x[0-9a-f]+", operand):
            return int(operand, 0) & mask
        flags = {"src_scc": self.scc, "src_vccz": int(self.pair(106) == 0), "src_execz": int(self.exec == 0)}
        if operand in flags:
            return flags[operand]
        first = register(operand)
        if operand[0] == "v" and operand not in _SPECIAL:
            low, high = self.v[first][lane], self.v[first + 1][lane] if width == 64 else 0
        else:
            low, high = self.s[first], self.s[first + 1] if width == 64 else 0
        return (low | high << 32) & mask

    def set_lane(self, operand: str, width: int, lane: int, bits: int) -> None:
        """Write a vector register of a lane; 16-bit results clear the upper half."""
        first = register(operand)
        self.v[first][lane] = bits & M32 if width >= 32 else bits & 0xFFFF
        if width == 64:
            self.v[first + 1][lane] = bits >> 32 & M32


def register(operand: str) -> int:
    """Number of the (first) register of an operand."""
    if operand in _SPECIAL:
        return _SPECIAL[operand]
    found = re.fullmatch(r"[vs]\[?(\d+)(?::\d+)?\]?", operand)
    if found is None:
        raise SyntaxError(operand)
    return int(found[1])


def alu(wave: Wave, name: str, operands: list[str], clamp: bool = False, halves: list[int] | None = None) -> None:
    """Execute a vector or scalar arithmetic instruction.

    Args:
        halves: of a form with ``op_sel``, the half of each source and of the result.
    """
    plain = name.removesuffix("_e32").removesuffix("_e64")
    if plain.startswith("s_"):
        _scalar(wave, plain, operands)
        return
    text = pseudocode()[plain]
    sources, result = widths(plain)
    compares = plain.startswith("v_cmp")
    chosen = register(operands[3]) if plain == "v_cndmask_b32" and len(operands) == 4 else 106
    mask = 0
    for lane in range(64):
        if not wave.exec >> lane & 1:
            continue
        variables = {"laneId": Value("u", 32, lane), "VCC": Value("u", 64, wave.pair(chosen))}
        for number, (kind, width) in enumerate(sources):
            if halves is not None and halves[number]:
                # Its signs are those of the upper half.
                bits = wave.source(operands[number + 1], kind, 32, lane) >> 16
            else:
                bits = wave.source(operands[number + 1], kind, width, lane)
            variables[f"S{number}"] = Value("u", max(width, 32), bits)
        old = (
            wave.source(operands[0], "u", 64 if result == 64 else 32, lane)
            if operands[0][0] == "v" and not compares
            else 0
        )
        variables["D0"] = Value("u", 64 if compares else max(result, 32), 0 if result == 16 else old)
        variables["EXEC"] = Value("u", 64, 0)
        Interpreter(text, variables).run()
        if compares:
            mask |= (variables["D0"].bits | variables["EXEC"].bits) & 1 << lane
            continue
        bits = _clamped(variables["D0"].bits, result) if clamp else variables["D0"].bits
        if halves is None:
            wave.set_lane(operands[0], result, lane, bits)
        else:
            both = old & 0xFFFF | bits << 16 if halves[-1] else old & 0xFFFF_0000 | bits & 0xFFFF
            wave.set_lane(operands[0], 32, lane, both)
    if compares:
        wave.set_pair(register(operands[0]), mask)
        if plain.startswith("v_cmpx"):
            wave.set_pair(126, mask)


def _clamped(bits: int, width: int) -> int:
    pack, unpack = {16: ("<e", "<H"), 32: ("<f", "<I"), 64: ("<d", "<Q")}[width]
    value = struct.unpack(pack, struct.pack(unpack, bits & (1 << width) - 1))[0]
    value = 0.0 if value != value or value <= 0 else min(value, 1.0)
    return int(struct.unpack(unpack, struct.pack(pack, value))[0])


def _scalar(wave: Wave, name: str, operands: list[str]) -> None:
    text = pseudocode()[name]
    sources, result = widths(name)
    compares = name.startswith(("s_cmp", "s_bitcmp"))
    wide = result == 64
    variables = {"SCC": Value("u", 1, wave.scc), "EXEC": Value("u", 64, wave.exec)}
    target = None if compares else register(operands[0])
    if target is not None:
        variables["D0"] = Value("u", 64 if wide else 32, wave.pair(target) if wide else wave.s[target])
    given = operands if target is None else operands[1:]
    for number, (kind, width) in enumerate(sources):
        variables[f"S{number}"] = Value("u", width, wave.source(given[number], kind, width, 0))
    Interpreter(text, variables).run()
    wave.scc = variables["SCC"].bits & 1
    if "saveexec" in name:
        wave.set_pair(126, variables["EXEC"].bits)
    if target is not None and not compares:
        if wide:
            wave.set_pair(target, variables["D0"].bits)
        else:
            wave.s[target] = variables["D0"].bits & M32


class Workgroup:
    """Waves that share LDS, running a program of lines; labels end with a colon."""

    def __init__(self, lines: list[str], waves: list[Wave], lds: int, memory: bytearray) -> None:
        self.lines = [line for line in lines if not line.endswith(":")]
        self.labels: dict[str, int] = {}
        at = 0
        for line in lines:
            if line.endswith(":"):
                self.labels[line[:-1]] = at
            else:
                at += 1
        self.waves = waves
        self.lds = bytearray(lds)
        self.memory = memory

    def run(self) -> None:
        """Execute to the end: each wave up to the next barrier, then the next wave."""
        running = [self._wave(wave) for wave in self.waves]
        while running:
            running = [each for each in running if next(each, None) is not None]

    def _wave(self, wave: Wave) -> Iterator[str]:
        at = 0
        while True:
            name, *operands = re.split(r"[ ,]+(?![^\[]*\])", self.lines[at].strip())
            at += 1
            if name == "s_endpgm":
                return
            if name == "s_barrier":
                yield name
            elif name == "s_branch" or (name in _BRANCHES and _BRANCHES[name](wave)):
                at = self.labels[operands[0]]
            elif name in ("s_waitcnt", "s_nop") or name in _BRANCHES:
                continue
            elif name.startswith(("ds_", "global_")):
                self._access(wave, name, operands)
            elif name == "v_readfirstlane_b32":
                lane = (wave.exec & -wave.exec).bit_length() - 1 if wave.exec else 0
                wave.s[register(operands[0])] = wave.v[register(operands[1])][lane]
            else:
                alu(wave, name, operands)

    def _access(self, wave: Wave, name: str, operands: list[str]) -> None:
        offsets = {k: int(x) for k, x in (o.split(":") for o in operands if re.match(r"offset\d?:", o))}
        plain = [o for o in operands if not o.startswith("offset")]
        space = self.lds if name.startswith("ds_") else self.memory
        lanes = [lane for lane in range(64) if wave.exec >> lane & 1]
        if name.startswith("global_"):
            # Addresses count from the memory's first byte, which stands in the scalar operand.
            data, where = (plain[1], plain[0]) if "store" in name else (plain[0], plain[1])
            for lane in lanes:
                at = wave.v[register(where)][lane] + offsets.get("offset", 0)
                self._move(wave, data, lane, space, [at], 4, "load" in name)
            return
        pair = re.match(r"ds_(?:read|write)2(st64)?_b(\d+)", name)
        reads = name.startswith("ds_read")
        size = int(pair[2]) // 8 if pair else int(re.findall(r"\d+", name)[-1]) // 8
        unit = size * (64 if pair and pair[1] else 1)
        found = [offsets.get(f"offset{k}", 0) * unit for k in (0, 1)] if pair else [offsets.get("offset", 0)]
        address, brought = (plain[1], plain[:1]) if reads else (plain[0], plain[1:])
        for lane in lanes:
            places = [(wave.v[register(address)][lane] + offset) & M32 for offset in found]
            if name == "ds_add_u32":
                old = int.from_bytes(space[places[0] : places[0] + 4], "little")
                total = (old + wave.v[register(brought[0])][lane]) & M32
                space[places[0] : places[0] + 4] = total.to_bytes(4, "little")
            elif reads:
                self._move(wave, brought[0], lane, space, places, size, True)
            else:
                for place, operand in zip(places, brought, strict=True):
                    self._move(wave, operand, lane, space, [place], size, False)

    @staticmethod
    def _move(wave: Wave, operand: str, lane: int, space: bytearray, places: list[int], size: int, reads: bool) -> None:
        first = register(operand)
        for place in places:
            for _ in range(size // 4):
                if reads:
                    wave.v[first][lane] = int.from_bytes(space[place : place + 4], "little")
                else:
                    space[place : place + 4] = wave.v[first][lane].to_bytes(4, "little")
                first, place = first + 1, place + 4


_BRANCHES: dict[str, Any] = {
    "s_cbranch_scc0": lambda wave: not wave.scc,
    "s_cbranch_scc1": lambda wave: wave.scc,
    "s_cbranch_vccz": lambda wave: not wave.pair(106),
    "s_cbranch_vccnz": lambda wave: wave.pair(106),
    "s_cbranch_execz": lambda wave: not wave.exec,
    "s_cbranch_execnz": lambda wave: wave.exec,
}
