"""What is kept of a kernel."""

from __future__ import annotations

import sys

import pytest

from aiterfix.family.signature import Kernel, KernelConfig
from aiterfix.overshoot.slicing import is_store
from tests.overshoot.kernels import FAULTY, integer_part

pytest.importorskip("triton")
pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="the decoder needs Python 3.11")


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
