"""The random tester: single instructions and small programs, on the emulator and on ``lane_machine``'s oracle.

    python -m tests.gfx950.random_programs --seed 1 --singles 5000 --programs 200

Everything follows from the seed. What differs is shown as assembler text and state, and the command exits with 1.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from aiterfix.gfx950 import DeviceMemory, KernelArgument, Launch, run, semantics
from aiterfix.gfx950.findings import FindingKind
from aiterfix.gfx950.instruction import UnmodelledInstructionError
from tests.gfx950.lane_machine import M32, Wave, Workgroup, alu, assemble, pseudocode, widths
from tests.gfx950.single import code_of, execute, new_waves

APPROXIMATE = {"v_rcp_f32", "v_rcp_iflag_f32", "v_rsq_f32", "v_sqrt_f32", "v_exp_f32", "v_log_f32"}
_TEXT_IS_WRONG = {
    "v_rndne_f32", "v_rndne_f64", "v_fract_f32", "v_ldexp_f32", "v_ldexp_f64", "v_cvt_f32_bf16", "v_lshl_add_u64",
    "v_rcp_f64", "v_rsq_f64", "v_sqrt_f64",
}  # fmt: skip
"""Held to something else elsewhere: see ``test_pseudocode_agreement``."""
_NOT_READ = re.compile(
    r"v_(floor|ceil|trunc|rndne|sqrt|rcp|rsq|exp|log|fract|ldexp)_f16|v_fract_f64|v_frexp|v_trig|v_sad_|v_dot|"
    r"v_cvt_[iu]16_f16|v_cvt_f16_[iu]16|v_(max3|min3|med3)_[fiu]16|v_mad_[iu]16"
)
"""Texts with constants of halves, functions that are named and not defined, or another half that stays: likewise."""
_EDGES = [0, 1, 2, 31, 32, 63, 64, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0001, M32,
          0x3F80_0000, 0xBF80_0000, 0x7F80_0000, 0xFF80_0000, 0x7FC0_0000, 0x0080_0000, 0x007F_FFFF, 0x3C00_3C00,
          0x7C00_FC00, 0x4F00_0000, 0x477F_E000]  # fmt: skip
_HALVES = {"v_fma_f16", "v_add_i16", "v_sub_i16"}
"""With ``op_sel``: results of 16 bits that leave the other half alone."""
_FLOATS = ["0.5", "-0.5", "1.0", "-1.0", "2.0", "-2.0", "4.0", "-4.0"]


@cache
def _encodings() -> dict[str, list[str]]:
    """Mnemonic to the forms that LLVM takes it in, of the instructions that the oracle can do."""
    from tinygrad.runtime.autogen.amd.cdna import enum

    found: dict[str, list[str]] = {}
    for form in ("VOP1", "VOP2", "VOPC", "VOP3", "SOP1", "SOP2", "SOPC"):
        for member in getattr(enum, f"{form}Op").__members__:
            name = member.lower().removesuffix("_e32").removesuffix("_e64")
            forms = found.setdefault(name, [])
            if form not in forms:
                forms.append(form)
    return {name: forms for name, forms in sorted(found.items()) if _known(name)}


def _known(name: str) -> bool:
    text = pseudocode().get(name, "")
    beyond = ("VGPR[", "lambda", "declare", "SDWA", "HW_REG", "PC", "M0", "ROUND_MODE", "fp8", "bf8", "sin(", "cos(",
              "MEM", "OPSEL", "DENORM", "UNDERFLOW", "SGPR[", "D1", "INST")  # fmt: skip
    return (
        bool(text)
        and semantics.group_of(name) in ("vector integer", "vector float", "vector compare and select", "scalar")
        and name not in _TEXT_IS_WRONG
        and not _NOT_READ.match(name)
        and not any(word in text for word in beyond)
        and not re.search(r"_co_|saveexec|mad_[ui]64|fmamk|fmaak|cmp_class|s_mov|cvt_pk|perm|bitop3|v_div_", name)
    )


@dataclass
class Tally:
    """What a run did, and what differed."""

    singles: int = 0
    programs: int = 0
    lanes: int = 0
    mnemonics: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    not_taken: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


def _bits(rng: random.Random) -> int:
    return rng.choice(_EDGES) if rng.random() < 0.6 else rng.getrandbits(32)


def _scalar_operand(rng: random.Random, width: int) -> str:
    if width == 64:
        return rng.choice([f"s[{k}:{k + 1}]" for k in range(0, 16, 2)] + ["vcc", "exec"])
    return rng.choice(
        [f"s{rng.randrange(16)}"] * 4 + ["vcc_lo", "vcc_hi", "exec_lo", "m0", "src_scc", "src_vccz", "src_execz"]
    )


def _constant(rng: random.Random, kind: str) -> str:
    if kind == "f" and rng.random() < 0.6:
        return rng.choice(_FLOATS)
    return str(rng.randint(-16, 64))


def single(rng: random.Random) -> tuple[str, list[str], bool]:
    """A random instruction: the name with its form, operands, and whether it clamps."""
    name = rng.choice(list(_encodings()))
    form = rng.choice(_encodings()[name])
    sources, result = widths(name)
    if form.startswith("SOP"):
        operands = [] if form == "SOPC" else [f"s[{20}:{21}]" if result == 64 else "s20"]
        literal = rng.random() < 0.2
        for kind, width in sources:
            if width == 32 and literal:
                operands.append(hex(rng.getrandbits(31) | 0x1000))
                literal = False
            else:
                operands.append(_constant(rng, kind) if rng.random() < 0.25 else _scalar_operand(rng, width))
        return name, operands, False
    compares = name.startswith("v_cmp")
    long = form == "VOP3"
    target = ("s[20:21]" if long else "vcc") if compares else ("v[20:21]" if result == 64 else "v20")
    operands, scalar = [target], ""
    for number, (kind, width) in enumerate(sources):
        vector = f"v[{4 * number}:{4 * number + 1}]" if width == 64 else f"v{4 * number + rng.randrange(2)}"
        choice = rng.random()
        if (not long and number > 0) or choice < 0.5:
            operand = vector
        elif choice < 0.75:
            operand = _constant(rng, kind)
        elif not long and width == 32 and choice < 0.85 and not name.endswith("16"):
            operand = hex(rng.getrandbits(31) | 0x1000)
        else:
            # One scalar register an instruction: that is all the bus gives.
            operand = scalar = (
                scalar if scalar and width == 32 else _scalar_operand(rng, width) if not scalar else vector
            )
        if long and kind == "f" and rng.random() < 0.3 and not re.match(r"[-\d]", operand):
            operand = rng.choice(["-{}", "|{}|", "-|{}|"]).format(operand)
        operands.append(operand)
    if name == "v_cndmask_b32":
        # The mask takes the bus.
        plain = [re.sub(r"s\d+|src_\w+|vcc_\w+|exec_\w+|m0", "v1", operand) for operand in operands[1:3]]
        operands = [operands[0], *plain, "s[22:23]" if long else "vcc"]
    clamp = long and not compares and bool(re.search(r"D0\.f", pseudocode()[name])) and rng.random() < 0.15
    suffix = "_e64" if long else "_e32"
    both = len(_encodings()[name]) > 1 or form != "VOP3"
    return name + (suffix if both else ""), operands, clamp


def check_single(rng: random.Random, tally: Tally, exec_kind: int) -> None:
    """One instruction over one wave: every register must be what the oracle says."""
    name, operands, clamp = single(rng)
    plain = name.removesuffix("_e32").removesuffix("_e64")
    halves = None
    line = f"{name} {', '.join(operands)}"
    if plain in _HALVES:
        halves = [int(o.strip("-|")[0] == "v" and "_" not in o) * rng.getrandbits(1) for o in operands[1:]]
        halves.append(rng.getrandbits(1))
        line += f" op_sel:[{','.join(map(str, halves))}]"
    line += " clamp" if clamp else ""
    tally.singles += 1
    try:
        raw = assemble([line])
    except SyntaxError:
        tally.not_taken.append(line)
        return
    code = code_of(raw)
    waves = new_waves(code)
    wave = Wave(code.vgprs)
    for number in range(24):
        row = [_bits(rng) for _ in range(64)]
        wave.v[number] = row
        waves.vector[number, 0] = row
    for number in [*range(24), 106, 107, 124]:
        wave.s[number] = _bits(rng)
    if rng.random() < 0.2:
        wave.set_pair(106, 0)
    wave.set_pair(126, (0xFFFF_FFFF_FFFF_FFFF, rng.getrandbits(64), 0)[exec_kind])
    wave.scc = rng.getrandbits(1)
    for number in range(128):
        waves.scalar[number][:] = wave.s[number]
    waves.scc[:] = wave.scc
    waves.exec_changed()
    before = [row.copy() for row in wave.v]
    try:
        execute(raw, waves, code)
    except UnmodelledInstructionError as error:
        tally.refused.append(f"{line}: {error.reason}")
        return
    alu(wave, name, operands, clamp, halves)
    tally.lanes += 64
    tally.mnemonics.add(plain)
    state = f"{line} with EXEC {wave.exec:#x}"
    for number in range(24):
        for lane in range(64):
            got, want = int(waves.vector[number, 0, lane]), wave.v[number][lane]
            if halves is not None and number == 20:
                other, kept = (0xFFFF, 16) if halves[-1] else (0xFFFF_0000, 0)
                if not (got ^ want) & other:
                    got, want = got >> kept, want >> kept
            if got != want and not _alike(plain, got, want, wave, before, lane, operands):
                sources = [hex(before[k][lane]) for k in (0, 1, 4, 5, 8, 9)]
                tally.differences.append(
                    f"{state}: v{number} lane {lane}: {got:#x}, not {want:#x}; v0,1,4,5,8,9 {sources}"
                )
                return
    scalars = {f"s{k}": (int(waves.scalar[k][0]), wave.s[k]) for k in range(128)} | {
        "scc": (int(waves.scc[0]), wave.scc)
    }
    for register, (got, want) in scalars.items():
        if got != want:
            tally.differences.append(f"{state}: {register}: {got:#x}, not {want:#x}")
            return


def _alike(name: str, got: int, want: int, wave: Wave, before: Any, lane: int, operands: list[str]) -> bool:
    """NaNs of arithmetic are alike whatever their bits, transcendentals within 1 ulp and without denormals."""
    _, result = widths(name)
    if not re.search(r"_f(16|32|64)", name):
        return False
    if result == 64:  # half of a double: a NaN's
        row = [wave.v[20][lane] | wave.v[21][lane] << 32]
        return bool(np.isnan(np.array(row, np.uint64).view(np.float64)[0])) and "max" not in name and "min" not in name
    dtype, bits = (np.float16, np.uint16) if result == 16 else (np.float32, np.uint32)
    one, two = (np.array([x], np.uint32).astype(bits).view(dtype)[0] for x in (got, want))
    if np.isnan(one) and np.isnan(two):
        return not re.search(r"_(max|min|max3|min3|med3)_", name)
    if name not in APPROXIMATE:
        return False
    if abs(got - want) <= 1:
        return True
    # Denormals are zeros to these: what the pseudocode makes of them is not asked for.
    vector = re.fullmatch(r"v(\d+)", operands[1])
    source = before[int(vector[1])][lane] if vector else wave.source(operands[1], "f", 32, lane)
    return not source & 0x7F80_0000 or not want & 0x7F80_0000


_STEPS = [
    "v_add_u32_e32 {d}, {a}, {b}", "v_sub_u32_e32 {d}, {a}, {b}", "v_xor_b32_e32 {d}, {a}, {b}", "v_and_b32_e32 {d}, {a}, {b}",
    "v_or_b32_e32 {d}, {a}, {b}", "v_mul_lo_u32 {d}, {a}, {b}", "v_mul_hi_u32 {d}, {a}, {b}", "v_lshlrev_b32_e32 {d}, {k}, {b}",
    "v_lshrrev_b32_e32 {d}, {k}, {b}", "v_ashrrev_i32_e32 {d}, {k}, {b}", "v_min_u32_e32 {d}, {a}, {b}",
    "v_max_i32_e32 {d}, {a}, {b}", "v_add3_u32 {d}, {a}, {b}, {c}", "v_xad_u32 {d}, {a}, {b}, {c}", "v_bfe_u32 {d}, {a}, {k}, 9",
    "v_lshl_or_b32 {d}, {a}, {k}, {b}", "v_not_b32_e32 {d}, {a}", "v_bfrev_b32_e32 {d}, {a}", "v_add_u32_e32 {d}, s8, {b}",
    "v_cvt_f32_u32_e32 {d}, {a}", "v_and_or_b32 {d}, {a}, {b}, {c}", "s_add_u32 s9, s9, s8", "s_xor_b32 s8, s8, s9",
    "v_add_u32_e32 {d}, s9, {b}", "v_cndmask_b32_e64 {d}, {a}, {b}, s[20:21]",
]  # fmt: skip


class Program:
    """A random program: a work-item's registers go through arithmetic, branches, loops, LDS and barriers."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.labels = 0
        self.depth = 0
        self.lines = [
            "s_load_dwordx2 s[4:5], s[0:1], 0x0", "s_waitcnt lgkmcnt(0)", "v_lshlrev_b32_e32 v1, 2, v0",
            "v_lshrrev_b32_e32 v2, 6, v0", "v_readfirstlane_b32 s8, v2", "v_mov_b32_e32 v3, v0",
            "s_mov_b32 s9, 0x1234567", "s_mov_b64 s[20:21], exec", "v_mul_lo_u32 v4, v0, 0x9e3779b1".replace("0x9e3779b1", "s9"),
            "v_xor_b32_e32 v5, v4, v0", "v_mov_b32_e32 v6, 7", "v_add_u32_e32 v7, v5, v4", "v_mov_b32_e32 v8, 0",
        ]  # fmt: skip
        for _ in range(rng.randint(3, 5)):
            self._block()
        self.lines += [
            line for k in range(3, 9) for line in (f"global_store_dword v1, v{k}, s[4:5] offset:{512 * (k - 3)}",)
        ]
        self.lines.append("s_endpgm")

    def _label(self) -> str:
        self.labels += 1
        return f"L{self.labels}"

    def _steps(self, count: int) -> None:
        for _ in range(count):
            step = self.rng.choice(_STEPS)
            names = {k: f"v{self.rng.randint(3, 8)}" for k in "dabc"}
            self.lines.append(step.format(**names, k=self.rng.randint(0, 31)))

    def _block(self) -> None:
        kinds = [self._branch, self._loop] if self.depth < 2 else []
        # A barrier only where every wave comes by.
        kinds += [self._exchange, self._sum] if self.depth == 0 else []
        self._steps(self.rng.randint(1, 4))
        if kinds:
            self.depth += 1
            self.rng.choice(kinds)()
            self.depth -= 1

    def _branch(self) -> None:
        """Lanes part by a comparison, the others wait."""
        saved = 10 + 2 * self.depth
        compare = self.rng.choice(["lt_u32", "gt_i32", "eq_u32", "ne_u32", "ge_u32"])
        other, end = self._label(), self._label()
        self.lines += [f"v_cmp_{compare}_e32 vcc, v{self.rng.randint(3, 8)}, v{self.rng.randint(3, 8)}",
                       f"s_and_saveexec_b64 s[{saved}:{saved + 1}], vcc", f"s_cbranch_execz {other}"]  # fmt: skip
        self._block()
        self.lines += [f"{other}:", f"s_andn2_b64 exec, s[{saved}:{saved + 1}], exec", f"s_cbranch_execz {end}"]
        self._block()
        self.lines += [f"{end}:", f"s_mov_b64 exec, s[{saved}:{saved + 1}]"]

    def _loop(self) -> None:
        """As many turns as the wave's number says, and some."""
        counter, top = f"s{16 + self.depth}", self._label()
        self.lines += [
            f"v_readfirstlane_b32 {counter}, v2",
            f"s_add_u32 {counter}, {counter}, {self.rng.randint(1, 3)}",
            f"{top}:",
        ]
        self._steps(self.rng.randint(1, 3))
        self.lines += [f"s_sub_u32 {counter}, {counter}, 1", f"s_cmp_lg_u32 {counter}, 0", f"s_cbranch_scc1 {top}"]

    def _exchange(self) -> None:
        """Through LDS to another wave's lane, at addresses whose register alone is negative."""
        back = self.rng.choice([0, 8192, 4096])
        self.lines += ["s_barrier", f"v_subrev_u32_e32 v10, {back if back <= 64 else hex(back)}, v1",
                       f"ds_write_b32 v10, v{self.rng.randint(3, 8)} offset:{back}", "s_waitcnt lgkmcnt(0)", "s_barrier",
                       f"v_xor_b32_e32 v11, {hex(self.rng.choice([0x100, 0x104, 0x1fc]))}, v1",
                       f"ds_read_b32 v{self.rng.randint(3, 8)}, v11", "s_waitcnt lgkmcnt(0)"]  # fmt: skip

    def _sum(self) -> None:
        """All lanes add to a few cells."""
        self.lines += ["s_barrier", "v_mov_b32_e32 v10, 0", "v_and_b32_e32 v11, 60, v1", "ds_write_b32 v1, v10", "s_waitcnt lgkmcnt(0)",
                       "s_barrier", f"ds_add_u32 v11, v{self.rng.randint(3, 8)}", "s_waitcnt lgkmcnt(0)", "s_barrier",
                       f"ds_read_b32 v{self.rng.randint(3, 8)}, v11", "s_waitcnt lgkmcnt(0)"]  # fmt: skip


def check_program(rng: random.Random, tally: Tally) -> None:
    """One program over two workgroups of two waves: every word that it stores must be what the oracle says."""
    lines = Program(rng).lines
    lines = [line for line in lines if line]
    items, size = 128, 8192
    argument = KernelArgument("out", 0, 8, "global_buffer")
    code = code_of(assemble(lines), lds=1024, kernarg=(argument,))
    memory = DeviceMemory()
    out = memory.allocate("out", np.zeros(size // 4, np.uint32))
    result = run(code, memory, Launch((2, 1, 1), (items, 1, 1), [out]))
    wanted = bytearray(size)
    waves = []
    for number in range(items // 64):
        wave = Wave(code.vgprs)
        wave.v[0] = [number * 64 + lane for lane in range(64)]
        waves.append(wave)
    Workgroup([line for line in lines if not line.startswith("s_load")], waves, 1024, wanted).run()
    tally.programs += 1
    tally.lanes += result.wave_instructions * 64
    got = out.array(np.uint8).tobytes()
    found = [f for f in result.findings if f.kind is not FindingKind.REGISTER_NEVER_WRITTEN]
    if got != bytes(wanted) or found or result.violations:
        words = np.flatnonzero(np.frombuffer(got, np.uint32) != np.frombuffer(bytes(wanted), np.uint32))
        tally.differences.append(f"words {words[:8].tolist()}, findings {found}:\n  " + "\n  ".join(lines))


def test(seed: int, singles: int, programs: int) -> Tally:
    """Run so many of each."""
    tally = Tally()
    for number in range(singles):
        check_single(random.Random(f"{seed} single {number}"), tally, number % 3)
    for number in range(programs):
        check_program(random.Random(f"{seed} program {number}"), tally)
    return tally


def main() -> int:
    """The long run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--singles", type=int, default=3000)
    parser.add_argument("--programs", type=int, default=100)
    args = parser.parse_args()
    started = time.perf_counter()
    tally = test(args.seed, args.singles, args.programs)
    for line in [*(f"refused: {line}" for line in tally.refused), *tally.differences[:20]]:
        sys.stdout.write(line + "\n")
    sys.stdout.write(
        f"seed {args.seed}: {tally.singles} single instructions of {len(tally.mnemonics)} mnemonics, {tally.programs} "
        f"programs, {tally.lanes} lane instructions, {len(tally.not_taken)} that LLVM does not take, {len(tally.refused)} refused, {len(tally.differences)} differences, "
        f"{time.perf_counter() - started:.0f} s\n"
    )
    return int(bool(tally.differences))


if __name__ == "__main__":
    sys.exit(main())
