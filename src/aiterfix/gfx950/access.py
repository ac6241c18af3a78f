"""Loads and stores of lanes in device memory: the common ground of scalar, buffer, flat and global instructions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950 import atomics
from aiterfix.gfx950.findings import Access
from aiterfix.gfx950.instruction import UnmodelledInstructionError
from aiterfix.gfx950.memory import gather, scatter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiterfix.gfx950.atomics import AtomicOperation
    from aiterfix.gfx950.instruction import Instruction
    from aiterfix.gfx950.memory import Allocation
    from aiterfix.gfx950.waves import Waves

Addresses = Any
"""``(n, 64)`` int64 for vector instructions, ``(n,)`` for scalar ones."""


def load(
    g: Waves, instruction: Instruction, addresses: Addresses, active: Any, size: int, base: int | None = None
) -> NDArray[np.uint32]:
    """Read ``size`` bytes (1, 2 or a multiple of 4) for every active lane.

    Args:
        active: bool of the addresses' shape, or None for all. Inactive lanes get unspecified values.
        base: an address in the object meant, for attributing what lies outside.

    Returns:
        ``addresses.shape + (dwords,)``; bytes and halves zero-extended; 0 for what lies outside every allocation.
    """
    dwords = max(size // 4, 1)
    if active is not None:
        first = np.unravel_index(active.argmax(), active.shape)
        if not active[first]:
            return np.zeros((*addresses.shape, dwords), np.uint32)
        addresses = np.where(active, addresses, addresses[first])
    allocation = g.batch.memory.containing(int(addresses.min()), int(addresses.max()) + size - 1)
    if allocation is not None:
        return gather(allocation.data, addresses - allocation.address, size)
    result = np.zeros((*addresses.shape, dwords), np.uint32)
    unit = min(size, 4)
    for k in range(dwords):
        for owner, chosen in _owners(g, instruction, Access.LOAD, addresses + 4 * k, active, unit, base):
            place = (*chosen, k)
            result[place] = gather(owner.data, addresses[chosen] + 4 * k - owner.address, unit)[:, 0]
    return result


def store(
    g: Waves,
    instruction: Instruction,
    addresses: Addresses,
    active: Any,
    values: NDArray[np.uint32],
    size: int,
    base: int | None = None,
) -> None:
    """Write ``size`` bytes for every active lane; see ``load``.

    Args:
        values: ``addresses.shape + (dwords,)``.
    """
    if active is None:
        active = np.ones(addresses.shape, np.bool_)
        flat, data = addresses.reshape(-1), values.reshape(-1, values.shape[-1])
    else:
        flat, data = addresses[active], values[active]
        if not len(flat):
            return
    allocation = g.batch.memory.containing(int(flat.min()), int(flat.max()) + size - 1)
    if allocation is not None:
        scatter(allocation.data, flat - allocation.address, data, size)
        return
    unit = min(size, 4)
    for k in range(max(size // 4, 1)):
        for owner, chosen in _owners(g, instruction, Access.STORE, addresses + 4 * k, active, unit, base):
            place = (*chosen, slice(k, k + 1))
            scatter(owner.data, addresses[chosen] + 4 * k - owner.address, values[place], unit)


def atomic(
    g: Waves,
    instruction: Instruction,
    addresses: Addresses,
    active: Any,
    op: AtomicOperation,
    values: list[Any],
    base: int | None = None,
) -> Any:
    """Do an atomic operation for every active lane; see ``store``.

    Args:
        values: arrays of the addresses' shape and the operation's type.

    Returns:
        What each lane found, of the addresses' shape; 0 for lanes that are off or outside every allocation.
    """
    result = np.zeros(addresses.shape, op.dtype)
    if active is None:
        active = np.ones(addresses.shape, np.bool_)
    if ((addresses % op.size != 0) & active).any():
        raise UnmodelledInstructionError(instruction, "an atomic access that is not aligned")
    for owner, chosen in _owners(g, instruction, Access.STORE, addresses, active, op.size, base):
        places = addresses[chosen] - owner.address
        result[chosen] = atomics.update(owner.data, places, op, [value[chosen] for value in values])
    return result


def _owners(
    g: Waves, instruction: Instruction, access: Access, addresses: Addresses, active: Any, size: int, base: int | None
) -> list[tuple[Allocation, tuple[Any, ...]]]:
    """Split active lanes by the allocation that holds all their bytes; report the rest.

    Returns:
        Allocation and index arrays into ``addresses``.
    """
    where = np.nonzero(np.ones(addresses.shape, np.bool_) if active is None else active)
    flat = addresses[where]
    found = []
    left = np.ones(len(flat), np.bool_)
    for allocation in g.batch.memory:
        inside = (flat >= allocation.address) & (flat + size <= allocation.end)
        if inside.any():
            found.append((allocation, tuple(axis[inside] for axis in where)))
            left &= ~inside
    if left.any():
        lanes = where[1][left] if len(where) > 1 else np.zeros(int(left.sum()), np.int64)
        workgroups = g.batch.workgroup_of(g.ids)[where[0][left]]
        g.batch.recorder.outside(access, instruction, flat[left], lanes, workgroups, base)
    return found
