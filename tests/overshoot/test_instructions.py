"""Instructions on one element a program, against the emulator on every lane of every program: the same, or refused."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

np = pytest.importorskip("numpy")

from aiterfix.errors import NotUnderstoodError  # noqa: E402 - after importorskip
from aiterfix.gfx950 import semantics, sop, vop  # noqa: E402
from aiterfix.gfx950.instruction import EXEC, EXECZ, SCC, VCC, VCCZ, VGPR, Encoding, Instruction  # noqa: E402
from aiterfix.gfx950.kernel_descriptor import Denormals  # noqa: E402
from aiterfix.gfx950.operands import SCC_REGISTER, VECTOR_BASE, Binder  # noqa: E402
from aiterfix.gfx950.waves import Waves, bools_from_bits  # noqa: E402
from aiterfix.overshoot.instructions import BITWISE, COMPARED, LINEAR, step_of  # noqa: E402
from aiterfix.overshoot.lanes import Lost, Mask, Offset, Table  # noqa: E402
from aiterfix.overshoot.programs import Programs, Sample  # noqa: E402
from aiterfix.overshoot.slicing import Kept  # noqa: E402

LANES, PROGRAMS, ROWS = 128, 5, 8
MASK = (1 << 32) - 1
_MODE = SimpleNamespace(denormals_32=Denormals.KEEP, denormals_16_64=Denormals.KEEP)
CODE: Any = SimpleNamespace(
    vgprs=ROWS, agprs=0, instructions=(), source_line=lambda pc: None, descriptor=SimpleNamespace(mode=_MODE)
)
BATCH: Any = SimpleNamespace(
    lanes=LANES, no_difference=Table.of(np.zeros(LANES)), part=SimpleNamespace(highest=ROWS), waves_per_workgroup=2
)
BATCH.sample = Sample(BATCH)
VECTORS, SCALARS, TARGET, SCALAR_TARGET = (0, 1, 2), (4, 5, 6), 4, 10


def numbers(generator: random.Random) -> Any:
    """Those of the programs."""
    low = generator.choice((0, 1, 5, 256, 1 << 31, MASK - 3))
    step = generator.choice((0, 0, 1, 256, 1 << 20))
    return np.array([low + step * generator.randrange(4) & MASK for _ in range(PROGRAMS)], np.uint32)


def table(generator: random.Random) -> Table:
    factor, start = generator.choice((1, 2, 4, 1 << 26)), generator.choice((0, 0, 3, MASK - 10))
    return Table.of(np.array([start + lane % 16 * factor & MASK for lane in range(LANES)]))


def programs(generator: random.Random) -> Programs:
    vector, pairs = np.zeros((ROWS, PROGRAMS, 1), np.uint32), np.zeros((64, PROGRAMS, 2), np.uint32)
    pairs[EXEC >> 1] = MASK
    g = Programs(BATCH, np.arange(PROGRAMS), vector, pairs, np.zeros(PROGRAMS, np.bool_), {}, 0, 0)
    for number in (*SCALARS, *(VECTOR_BASE + row for row in VECTORS)):
        g.number(number)[...] = numbers(generator)
        if generator.random() < 0.6:
            of_lanes = table(generator)
            if number < VECTOR_BASE:  # the same in all lanes of a wave
                of_lanes = Table.of(of_lanes.words[1:3].repeat(64))
            g.varying[number] = Offset(of_lanes)
    return g


def words_of(g: Programs, number: int) -> Any:
    """``(programs, lanes)``: what stands in a register."""
    varying = g.varying.get(number, Offset(BATCH.no_difference))
    assert isinstance(varying, Offset)
    words = g.number(number)[:, np.newaxis] + varying.table.words
    if varying.elsewhere is not None:
        words = np.where(chosen(varying.mask), words, varying.elsewhere[:, np.newaxis])
    return words


def chosen(mask: Mask) -> Any:
    return mask.lanes(np.arange(PROGRAMS), LANES)


def every_lane(g: Programs) -> Waves:
    """The same programs as whole waves."""
    count = PROGRAMS * 2
    pairs = g.pairs.repeat(2, axis=1)
    waves = Waves(
        BATCH, np.arange(count), np.zeros((ROWS, count, 64), np.uint32), pairs, g.scc.repeat(2),
        np.zeros((count, 0), np.bool_), 0, 0,
    )  # fmt: skip
    for number in SCALARS:
        waves.scalar[number][...] = words_of(g, number).reshape(count, 64)[:, 0]
    for row in VECTORS:
        waves.vector[row] = words_of(g, VECTOR_BASE + row).reshape(count, 64)
    for number, varying in g.varying.items():
        if isinstance(varying, Mask):
            bits = np.packbits(chosen(varying).reshape(count, 64), axis=1, bitorder="little")
            waves.pairs64[number >> 1] = bits.view(np.uint64)[:, 0]
    return waves


def instruction_of(name: str, generator: random.Random) -> Instruction:
    operands = [*(VGPR + row for row in VECTORS), *SCALARS, *(128 + k for k in (0, 1, 3, 8)), 193]
    scalars = [code for code in operands if code < VGPR]
    fields: dict[str, int] = {}
    if name in sop.IMMEDIATE_OPERATIONS:
        encoding, fields = Encoding.SOPK, {"sdst": generator.choice(SCALARS), "simm16": generator.randrange(1 << 16)}
    elif name.startswith("s_"):
        count = len(sop.OPERATIONS[name].sources)
        encoding = Encoding.SOP1 if count == 1 else Encoding.SOP2
        fields = {f"ssrc{k}": generator.choice(scalars) for k in range(count)} | {"sdst": SCALAR_TARGET}
    else:
        encoding = Encoding.VOP3SD if name == "v_mad_u64_u32" else Encoding.VOP3
        # More vectors than one instruction may name scalars of: which of them it may is the assembler's affair.
        fields = {f"src{k}": generator.choice(operands) for k in range(3)}
        fields |= {"vdst": VGPR + TARGET, "sdst": SCALAR_TARGET, "omod": 0, "abs": 0, "neg": 0}
        if name == "v_bitop3_b32":
            fields |= {"omod": generator.randrange(4), "abs": generator.randrange(8), "neg": generator.randrange(8)}
        elif name == "v_cndmask_b32":
            fields["src2"] = VCC
        elif name == "v_mad_u64_u32":
            fields["src2"] = generator.choice((VGPR, VGPR + 1, 4, 128))
        elif name == "v_readfirstlane_b32" or name.startswith("v_cmp"):
            fields["vdst"] = SCALAR_TARGET
    return Instruction(0, 8, b"\0" * 8, name, encoding, encoding, fields)


ANY = {
    "v_lshrrev_b32", "v_ashrrev_i32", "v_bfe_u32", "v_bfe_i32", "v_mul_hi_u32", "v_min_i32", "v_xad_u32", "v_bfi_b32",
    "v_mul_u32_u24", "v_cmp_eq_u32", "v_cmp_ne_i32", "s_lshr_b32", "s_bfe_u32", "s_bfe_i32", "s_andn2_b32",
}  # fmt: skip
"""Some of those that no table has: all programs must have the same."""


@pytest.mark.parametrize("name", sorted({*LINEAR, *BITWISE, *COMPARED, *ANY, "v_cndmask_b32"}))
def test_as_every_lane(name: str) -> None:
    generator, kept = random.Random(name), 0
    for _ in range(400):
        g, instruction = programs(generator), instruction_of(name, generator)
        if name == "v_cndmask_b32":
            g.varying[VCC] = Mask(
                (
                    (table(generator), numbers(generator).astype(np.int64)),
                    *Mask.of(table(generator).words > 2).conditions,
                )
            )
            g.varying[VCC + 1] = Lost()
        bound = semantics.bind(Binder(instruction, CODE))
        differing, waves = not bound.reads.isdisjoint(g.varying), every_lane(g)
        try:
            step_of(Kept(instruction, bound, is_store=False), CODE)(g)
        except NotUnderstoodError:
            continue
        bound.execute(waves)
        kept += differing
        for number in bound.writes:
            varying = g.varying.get(number)
            if isinstance(varying, Mask):
                on = bools_from_bits(waves.pairs64[number >> 1]).reshape(PROGRAMS, LANES)
                assert (chosen(varying) == on).all()
            elif number >= VECTOR_BASE and not isinstance(varying, Lost):
                assert (words_of(g, number) == waves.vector[number - VECTOR_BASE].reshape(PROGRAMS, LANES)).all()
            elif number >= 0 and not isinstance(varying, Lost):
                assert (words_of(g, number)[:, ::64].reshape(-1) == waves.scalar[number]).all()
            elif number == SCC_REGISTER:
                assert differing or varying is None
                assert isinstance(varying, Lost) or (words_of(g, number)[:, ::64].reshape(-1) == waves.scc).all()
        if kept == 30:
            return
    raise AssertionError(kept)


def test_every_table_is_of_instructions_that_do_each_lane_alone() -> None:
    others = {"v_readfirstlane_b32", "v_mad_u64_u32", "v_bitop3_b32"}
    vectors = {name for name in {*LINEAR, *BITWISE} if name.startswith("v_")}
    assert vectors - others <= vop.INTEGER.keys()
    assert {*LINEAR, *BITWISE} - vectors <= sop.OPERATIONS.keys() | sop.IMMEDIATE_OPERATIONS.keys()


def two(name: str, operands: tuple[int, ...], bases: dict[int, list[int]], lanes: dict[int, Table]) -> Programs:
    """Programs, after an instruction."""
    g = programs(random.Random(1))
    g.varying = {VECTOR_BASE + row: Offset(of_lanes) for row, of_lanes in lanes.items()}
    for row, base in bases.items():
        g.number(VECTOR_BASE + row)[...] = np.resize(base, PROGRAMS)
    fields = {f"src{k}": code for k, code in enumerate(operands)} | {"vdst": VGPR + TARGET, "sdst": SCALAR_TARGET}
    instruction = Instruction(0, 8, b"\0" * 8, name, Encoding.VOP3, Encoding.VOP3, fields)
    bound = semantics.bind(Binder(instruction, CODE))
    step_of(Kept(instruction, bound, is_store=False), CODE)(g)
    return g


def test_bits_of_lanes_and_of_programs() -> None:
    """Apart they go together; where a program's own number meets what lanes decide it is refused."""
    lanes = {0: Table.of(np.arange(LANES))}
    for name, apart in (("v_or_b32", [1 << 8, 3 << 8]), ("v_xor_b32", [5 | 1 << 8, 5 | 3 << 8])):
        found = words_of(two(name, (VGPR, VGPR + 1), {0: [1 << 20], 1: apart}, lanes), VECTOR_BASE + TARGET)
        for program, base in enumerate(np.resize(apart, PROGRAMS).tolist()):
            assert found[program].tolist() == [
                1 << 20 | (k ^ base if "xor" in name else k | base) for k in range(LANES)
            ]
    for name in ("v_or_b32", "v_and_b32", "v_xor_b32"):
        with pytest.raises(NotUnderstoodError, match="differ between lanes"):
            two(name, (VGPR, VGPR + 1), {0: [1 << 20], 1: [1, 2]}, lanes)
        with pytest.raises(
            NotUnderstoodError, match="differ between lanes"
        ):  # the lanes' bits carry into the program's
            two(name, (VGPR, 129), {0: [1, 2]}, lanes)


def test_what_lanes_agree_on_is_a_number_of_the_program() -> None:
    even = Table.of(np.arange(LANES) * 2)
    g = two("v_and_b32", (VGPR, 129), {0: [8]}, {0: even})
    assert VECTOR_BASE + TARGET not in g.varying
    assert not g.number(VECTOR_BASE + TARGET).any()


def test_high_half_of_a_product_is_lost() -> None:
    """Whether the low half wraps differs between programs."""
    generator = random.Random(3)
    g = programs(generator)
    g.varying = {VECTOR_BASE: Offset(Table.of(np.arange(LANES)))}
    g.number(VECTOR_BASE)[...] = [0, 1 << 31, 5, MASK, 7]
    fields = {"src0": VGPR, "src1": 131, "src2": 128, "vdst": VGPR + TARGET, "sdst": SCALAR_TARGET}
    instruction = Instruction(0, 8, b"\0" * 8, "v_mad_u64_u32", Encoding.VOP3SD, Encoding.VOP3SD, fields)
    item = Kept(instruction, semantics.bind(Binder(instruction, CODE)), is_store=False)
    step_of(item, CODE)(g)
    assert {number for number, varying in g.varying.items() if isinstance(varying, Lost)} == {
        VECTOR_BASE + TARGET + 1, SCALAR_TARGET, SCALAR_TARGET + 1
    }  # fmt: skip
    moved = Instruction(
        0, 4, b"\0" * 4, "v_mov_b32", Encoding.VOP1, Encoding.VOP1, {"src0": VGPR + TARGET + 1, "vdst": VGPR}
    )
    with pytest.raises(NotUnderstoodError, match="differ between lanes"):
        step_of(Kept(moved, semantics.bind(Binder(moved, CODE)), is_store=False), CODE)(g)


@pytest.mark.parametrize("relation", ["eq", "lg", "lt", "ge"])
@pytest.mark.parametrize("chosen_by", ["s_cselect_b64", "s_cselect_b32", "s_addc_u32"])
def test_what_a_wave_compares_with_is_known_of_each_wave(relation: str, chosen_by: str) -> None:
    """Where all programs have the same; else it is refused as soon as it is read."""
    compared = Instruction(
        0, 4, b"\0" * 4, f"s_cmp_{relation}_u32", Encoding.SOPC, Encoding.SOPC, {"ssrc0": 4, "ssrc1": 129}
    )
    fields = {"ssrc0": 193, "ssrc1": 128, "sdst": SCALAR_TARGET}
    chose = Instruction(0, 4, b"\0" * 4, chosen_by, Encoding.SOP2, Encoding.SOP2, fields)
    for alike, of_waves in ((True, [0, 1]), (True, [1, 2]), (False, [0, 1])):
        g = programs(random.Random(1))
        g.varying = {4: Offset(Table.of(np.array(of_waves).repeat(64)))}
        g.number(4)[...] = 0 if alike else np.arange(PROGRAMS)
        waves = every_lane(g)
        try:
            for one in (compared, chose):
                bound = semantics.bind(Binder(one, CODE))
                step_of(Kept(one, bound, is_store=False), CODE)(g)
                bound.execute(waves)
        except NotUnderstoodError:
            assert not alike
            continue
        assert alike
        mask = g.varying.get(SCALAR_TARGET)
        if isinstance(mask, Mask):
            on = bools_from_bits(waves.pairs64[SCALAR_TARGET >> 1]).reshape(PROGRAMS, LANES)
            assert (chosen(mask) == on).all()
        else:
            words = words_of(g, SCALAR_TARGET)[:, ::64].reshape(-1)
            assert (words == waves.scalar[SCALAR_TARGET]).all()


@pytest.mark.parametrize("target", [EXEC, EXEC + 1])
def test_lanes_that_are_on_are_no_number(target: int) -> None:
    g = programs(random.Random(1))
    g.varying = {4: Offset(Table.of(np.arange(2).repeat(64)))}
    moved = Instruction(0, 4, b"\0" * 4, "s_mov_b32", Encoding.SOP1, Encoding.SOP1, {"ssrc0": 4, "sdst": target})
    with pytest.raises(NotUnderstoodError, match="differ between lanes"):
        step_of(Kept(moved, semantics.bind(Binder(moved, CODE)), is_store=False), CODE)(g)


@pytest.mark.parametrize("code", [VCCZ, EXECZ, SCC])
def test_conditions_are_no_numbers(code: int) -> None:
    """Whether VCC is 0 is no sum of what lanes add to it."""
    g = programs(random.Random(1))
    g.varying = {VCC: Offset(Table.of(np.arange(2).repeat(64))), VECTOR_BASE: Offset(Table.of(np.arange(LANES)))}
    fields = {"src0": code, "src1": VGPR, "vdst": VGPR + TARGET}
    added = Instruction(0, 8, b"\0" * 8, "v_add_u32", Encoding.VOP3, Encoding.VOP3, fields)
    with pytest.raises(NotUnderstoodError, match="differ between lanes"):
        step_of(Kept(added, semantics.bind(Binder(added, CODE)), is_store=False), CODE)(g)
