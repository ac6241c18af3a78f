"""What is kept of a kernel."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from aiterfix.family.signature import Kernel, KernelConfig
from aiterfix.gfx950.blocks import Block
from aiterfix.gfx950.instruction import EXEC, Encoding, Instruction
from aiterfix.gfx950.operands import Bound
from aiterfix.gfx950.program import Program
from aiterfix.overshoot import moves, slicing
from aiterfix.overshoot.slicing import Slice, is_store
from tests.emulator import needs_emulator
from tests.overshoot.kernels import FAULTY, integer_part

pytest.importorskip("triton")
pytestmark = needs_emulator


def test_stores_stay_and_matrix_products_go() -> None:
    part = integer_part(FAULTY, Kernel.PRESHUFFLE, KernelConfig(heads=32)).part
    stores = [i for i in part.instructions if is_store(i)]
    kept = [item for items in part.kept for item in items]
    assert stores
    assert [item.instruction for item in kept if item.is_store] == stores
    assert not [item for item in kept if "mfma" in item.instruction.mnemonic]
    assert len(kept) < len(part.instructions) / 2


def test_programs_are_compared_before_they_store() -> None:
    part = integer_part(FAULTY, Kernel.PRESHUFFLE, KernelConfig(heads=32)).part
    assert part.merges
    # No block that may be entered after a store is one: what was stored before would be lost.
    work = [
        n for number, items in enumerate(part.kept) if any(i.is_store for i in items) for n in following(part, number)
    ]
    behind: set[int] = set()
    while work:
        number = work.pop()
        if number not in behind:
            behind.add(number)
            work.extend(following(part, number))
    assert behind
    assert not behind & part.merges


def following(part: Slice, number: int) -> tuple[int, ...]:
    return part.successors(part.blocks[number])


def test_branches_around_loads_of_data_are_no_matter() -> None:
    whole = integer_part(FAULTY, Kernel.PRESHUFFLE, KernelConfig(heads=32)).part
    branching = {b.number for b in Program(whole.code).blocks if b.last.mnemonic.startswith("s_cbranch")}
    # The branch over the whole program, where there is no work, is not one of them.
    assert whole.skips and whole.skips < branching
    assert all(len(following(whole, number)) == 1 for number in whole.skips)


def test_atomic_operations_store() -> None:
    """They write memory: a measurement that left them out would bound what it did not look at."""
    from tinygrad.renderer.amd.dsl import s, v
    from tinygrad.runtime.autogen.amd.cdna import ins
    from tinygrad.runtime.autogen.amd.cdna.enum import GLOBALOp, MUBUFOp

    from aiterfix.gfx950.decode import decode

    atomics = (
        ins.MUBUF(MUBUFOp.BUFFER_ATOMIC_ADD_F32, v[1], v[0], s[8:11], s[12], 0, offen=1),
        ins.GLOBAL(GLOBALOp.GLOBAL_ATOMIC_SWAP, v[0], v[0], v[1], saddr=s[4:5]),
    )
    assert all(is_store(instruction) for instruction in decode(b"".join(i.to_bytes() for i in atomics)))


def test_a_branch_on_exec_keeps_it_live() -> None:
    """Programs with other lanes on are not equal there, though no store reads EXEC before it is written anew."""
    branch = Instruction(0, 4, b"\0" * 4, "s_cbranch_execz", Encoding.SOPP, Encoding.SOPP, {"simm16": 0})
    nothing = Bound(lambda g: None, frozenset(), frozenset(), frozenset())
    assert slicing._of_branch(branch, nothing) == {EXEC, EXEC + 1}


def test_all_lanes_on_again_whatever_was_before() -> None:
    """A mask that EXEC was saved from, as all ones, is not read; where it is not known to have been, it is."""
    fields = {"sdst": EXEC, "ssrc0": EXEC, "ssrc1": 4}
    restored = Instruction(0, 4, b"\0" * 4, "s_or_b64", Encoding.SOP2, Encoding.SOP2, fields)
    reads, writes = frozenset({4, 5, EXEC, EXEC + 1}), frozenset({EXEC, EXEC + 1, -1})
    item, places = Bound(lambda g: None, reads, writes, reads), SimpleNamespace(followed=lambda _, item, __: item)
    other: Any = places
    for known, read in ((frozenset({(4, slicing._ONES)}), frozenset()), (frozenset(), reads)):
        bound = slicing._followed(restored, item, known, other)
        assert bound.reads == read and bound.writes == writes
        if not read:
            group: Any = SimpleNamespace(
                pairs64=np.zeros((64, 2), np.uint64), scc=np.zeros(2, np.bool_), exec_changed=lambda: None
            )
            bound.execute(group)
            assert group.scc.all() and (group.pairs64[EXEC >> 1] == (1 << 64) - 1).all()


def test_scalars_spilled_to_lanes_are_moves() -> None:
    """Each lane is a place of its own; a register that anything else touches is not followed."""
    spill = Instruction(
        0, 8, b"\0" * 8, "v_writelane_b32", Encoding.VOP3, Encoding.VOP3, {"src0": 7, "src1": 131, "vdst": 261}
    )
    back = Instruction(
        8, 8, b"\0" * 8, "v_readlane_b32", Encoding.VOP3, Encoding.VOP3, {"src0": 261, "src1": 131, "vdst": 9}
    )
    assert moves.lane_of(spill) == moves.lane_of(back) == 3
    by_register = {**back.fields, "src1": 4}
    assert moves.lane_of(Instruction(8, 8, back.raw, back.mnemonic, back.encoding, back.base, by_register)) is None
    numbers = {7: np.arange(3), 129: np.zeros(3), 9: np.zeros(3)}
    group: Any = SimpleNamespace(number=numbers.__getitem__)
    moves.moves_of(((7, 129),), masked=False).execute(group)
    moves.moves_of(((129, 9),), masked=False).execute(group)
    assert numbers[9].tolist() == numbers[129].tolist() == [0, 1, 2]


def test_of_several_moves_those_that_are_needed() -> None:
    """What is spilled together need not be needed together."""
    spill = Instruction(0, 8, b"\0" * 8, "scratch_store_dwordx2", Encoding.SCRATCH, Encoding.SCRATCH, {})
    both = moves.moves_of(((130, 400), (131, 401)), masked=True)
    for known, left in ((frozenset({(EXEC, slicing._ONES)}), set()), (frozenset(), {401})):
        live, kept = slicing._walk(Block(0, 0, (spill,)), [both], [known], frozenset({401}))
        assert live == {131, EXEC, EXEC + 1} | left
        assert [item.bound for item in kept] == [moves.moves_of(((131, 401),), masked=True)]
