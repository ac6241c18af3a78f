"""What is kept of a kernel."""

from __future__ import annotations

import pytest

from aiterfix.family.signature import Kernel, KernelConfig
from aiterfix.overshoot.slicing import is_store
from tests.emulator import needs_emulator
from tests.overshoot.kernels import FAULTY, integer_part

pytest.importorskip("triton")
pytestmark = needs_emulator


def test_stores_stay_and_matrix_products_go() -> None:
    part = integer_part(FAULTY, Kernel.PRESHUFFLE, KernelConfig(heads=32)).part
    stores = [i for i in part.program.instructions if is_store(i)]
    kept = [item for block in part.blocks for item in block.kept]
    assert stores
    assert [item.instruction for item in kept if item.is_store] == stores
    assert not [item for item in kept if "mfma" in item.instruction.mnemonic]
    assert part.kept < part.total / 2


def test_programs_are_compared_before_they_store() -> None:
    blocks = integer_part(FAULTY, Kernel.PRESHUFFLE, KernelConfig(heads=32)).part.blocks
    merging = [number for number, block in enumerate(blocks) if block.merges]
    assert merging
    # No block that may be entered after a store is one: what was stored before would be lost.
    work = [n for block in blocks for n in block.successors if any(item.is_store for item in block.kept)]
    behind: set[int] = set()
    while work:
        number = work.pop()
        if number not in behind:
            behind.add(number)
            work.extend(blocks[number].successors)
    assert behind
    assert not behind & set(merging)


def test_branches_around_loads_of_data_are_no_matter() -> None:
    blocks = integer_part(FAULTY, Kernel.PRESHUFFLE, KernelConfig(heads=32)).part.blocks
    skipping = [block for block in blocks if block.skips]
    assert skipping
    assert all(len(block.successors) == 2 for block in skipping)
    # The branch over the whole program, where there is no work, is not one of them.
    assert not all(block.skips for block in blocks if len(block.successors) == 2)


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
