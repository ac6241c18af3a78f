"""The register state of waves that stand at the same pc, one array row a register.

Layout: a vector register is a contiguous ``(waves, 64)`` array, so that one array operation executes an instruction
for every wave. Scalar registers are kept as pairs, ``(64 pairs, waves, 2)``: a 64-bit operand is then a contiguous
row of the ``uint64`` view and a 32-bit one a strided row, and neither needs putting together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950.workspace import borrow, give_back

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from aiterfix.gfx950.batch import Batch

LANES = 64
_EXEC_PAIR = 63
ALL_ON = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


class Waves:
    """Waves at one pc.

    Attributes:
        batch: what they share: memory, LDS, scratch, the recorder.
        ids: ``(n,)`` wave numbers within the batch; wave ``w`` belongs to workgroup ``w // waves_per_workgroup``.
        vector: ``(registers, n, 64)`` uint32; ``vector_i32`` and ``vector_f32`` are views.
        pairs: ``(64, n, 2)`` uint32 scalar registers; ``pairs64`` is the ``(64, n)`` uint64 view.
        scalar: 128 rows ``(n,)`` by operand code.
        scc: ``(n,)`` bool.
        lanes: None while every lane of every wave is on, else ``(n, 64)`` uint32, all ones where the lane is on.
        block: number of the basic block to execute next.
        steps: instructions executed by each wave so far (the most of any, after merging).
        written: ``(n, registers)`` bool, the registers ever written, by ``Program`` register number;
            ``written_by_all`` is true where every wave has.
        versions: for each vector register that a matrix instruction reads, a number that changes when it is written.
        conversions: matrix operands converted to single precision, with the versions of their registers.
    """

    __slots__ = (
        "_team", "batch", "block", "conversions", "count", "ids", "lanes", "pairs", "pairs64", "scalar", "scc", "steps",
        "vector", "vector_f32", "vector_i32", "versions", "written", "written_by_all",
    )  # fmt: skip

    def __init__(
        self,
        batch: Batch,
        ids: NDArray[np.int64],
        vector: NDArray[np.uint32],
        pairs: NDArray[np.uint32],
        scc: NDArray[np.bool_],
        written: NDArray[np.bool_],
        block: int,
        steps: int,
    ) -> None:
        self.batch = batch
        self.ids = ids
        self.count = len(ids)
        self.vector = vector
        self.vector_i32 = vector.view(np.int32)
        self.vector_f32 = vector.view(np.float32)
        self.pairs = pairs
        self.pairs64: NDArray[np.uint64] = pairs.view(np.uint64)[:, :, 0]
        self.scalar = [pairs[code >> 1, :, code & 1] for code in range(128)]
        self.scc = scc
        self.written = written
        self.written_by_all: NDArray[np.bool_] = np.asarray(written.all(axis=0))
        self.block = block
        self.steps = steps
        self.conversions: dict[Any, Any] = {}
        self._team: int | None = None
        self.versions = [0] * len(vector)
        self.lanes: NDArray[np.uint32] | None = None
        self.exec_changed()

    @property
    def team(self) -> int:
        """Waves of a workgroup if the group consists of whole workgroups in order, else 1."""
        if self._team is None:
            size = self.batch.waves_per_workgroup
            self._team = 1
            if self.count % size == 0:
                table = self.ids.reshape(-1, size)
                if (table[:, 0] % size == 0).all() and (table == table[:, :1] + np.arange(size)).all():
                    self._team = size
        return self._team

    def dissolve(self) -> None:
        """Give the arrays back for reuse; the group must not be used any more."""
        for _, array in self.conversions.values():
            give_back(array)
        give_back(self.vector)
        self.conversions = {}

    def exec_changed(self) -> None:
        """Bring ``lanes`` up to date after a write to EXEC."""
        row = self.pairs64[_EXEC_PAIR]
        self.lanes = None if (row == ALL_ON).all() else masks_from_bits(row)

    def active(self) -> NDArray[np.bool_] | None:
        """``(n, 64)`` bool, None while all lanes are on."""
        return None if self.lanes is None else self.lanes.astype(bool)

    def select(self, rows: NDArray[np.bool_]) -> Waves:
        """A copy of the waves where ``rows`` is true."""
        ids = self.ids[rows]
        vector = borrow((len(self.vector), len(ids), LANES), np.uint32)
        np.compress(rows, self.vector, axis=1, out=vector)
        return Waves(
            self.batch,
            ids,
            vector,
            np.ascontiguousarray(self.pairs[:, rows]),
            self.scc[rows],
            self.written[rows],
            self.block,
            self.steps,
        )


def merge(groups: Sequence[Waves]) -> Waves:
    """Put waves that met at one block back together, in order of their numbers."""
    ids = np.concatenate([group.ids for group in groups])
    order = np.argsort(ids, kind="stable")
    vector = borrow((len(groups[0].vector), len(ids), LANES), np.uint32)
    np.concatenate([group.vector for group in groups], axis=1).take(order, axis=1, out=vector, mode="clip")
    return Waves(
        groups[0].batch,
        ids[order],
        vector,
        np.ascontiguousarray(np.concatenate([group.pairs for group in groups], axis=1)[:, order]),
        np.concatenate([group.scc for group in groups])[order],
        np.concatenate([group.written for group in groups])[order],
        groups[0].block,
        max(group.steps for group in groups),
    )


def bools_from_bits(row: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """``(n,)`` lane masks to ``(n, 64)`` bool."""
    bits = np.unpackbits(np.ascontiguousarray(row).view(np.uint8), bitorder="little")
    return bits.view(np.bool_).reshape(len(row), LANES)


def masks_from_bits(row: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """``(n,)`` lane masks to ``(n, 64)`` uint32, all ones where the bit is set."""
    bits = np.unpackbits(np.ascontiguousarray(row).view(np.uint8), bitorder="little")
    wide: NDArray[np.uint32] = np.negative(bits.astype(np.int32)).view(np.uint32)
    return wide.reshape(len(row), LANES)


def bits_from_bools(lanes: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """``(n, 64)`` bool to ``(n,)`` lane masks."""
    return np.packbits(np.ascontiguousarray(lanes).reshape(-1), bitorder="little").view(np.uint64)
