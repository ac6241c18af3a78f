"""The register state of waves that stand at the same pc, one array row a register.

Layout: a vector register is a contiguous ``(waves, 64)`` array, so that one array operation executes an instruction
for every wave. Scalar registers are kept as pairs, ``(64 pairs, waves, 2)``: a 64-bit operand is then a contiguous
row of the ``uint64`` view and a 32-bit one a strided row, and neither needs putting together.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950.workspace import borrow, give_back

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from aiterfix.gfx950.batch import Batch
    from aiterfix.gfx950.findings import FindingKind
    from aiterfix.gfx950.instruction import Instruction

LANES = 64
_EXEC_PAIR = 63
ALL_ON = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


class _Store:
    """Vector registers that groups of waves side by side share: what parts and meets again in order is not copied.

    Attributes:
        array: ``(registers, n, 64)`` uint32.
        users: groups that use part of it.
    """

    __slots__ = ("array", "users")

    def __init__(self, array: NDArray[np.uint32]) -> None:
        self.array = array
        self.users = 0


class _Rows(dict[int, Any]):
    """Scalar registers by operand code, each ``(n,)``, a view that is made when it is first asked for."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: NDArray[np.uint32]) -> None:
        self._pairs = pairs

    def __missing__(self, code: int) -> Any:
        row = self[code] = self._pairs[code >> 1, :, code & 1]
        return row


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
        target: ``(n,)`` int64, the pc that each goes to from the call or return at the end of the block.
        steps: instructions executed by each wave so far (the most of any, after merging).
        written: ``(n, registers)`` bool, the registers ever written, by ``Program`` register number;
            ``written_by_all`` is true where every wave has.
        versions: for each vector register of ``Batch.counted_rows``, a number that changes when it is written.
        addresses: by register, constant and size, accesses to LDS made ready (``ds``).
        watched: how many of them ``LdsWatch`` watches; None before it has looked.
        conversions: matrix operands converted to single precision, with the versions of their registers.
    """

    __slots__ = (
        "_lds_start", "_store", "_team", "addresses", "batch", "block", "conversions", "count", "ids", "lanes", "pairs",
        "pairs64", "scalar", "scc", "steps", "target", "vector", "vector_f32", "vector_i32", "versions", "watched",
        "written", "written_by_all",
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
        store: _Store | None = None,
    ) -> None:
        self._store = store or _Store(vector)
        self._store.users += 1
        self.batch = batch
        self.ids = ids
        self.count = len(ids)
        self.vector = vector
        self.vector_i32 = vector.view(np.int32)
        self.vector_f32 = vector.view(np.float32)
        self.pairs = pairs
        self.pairs64: NDArray[np.uint64] = pairs.view(np.uint64)[:, :, 0]
        self.scalar = _Rows(pairs)
        self.scc = scc
        self.written = written
        self.written_by_all: NDArray[np.bool_] = np.asarray(written.all(axis=0))
        self.block = block
        self.steps = steps
        self.target: NDArray[np.int64] | None = None
        self.conversions: dict[Any, Any] = {}
        self.addresses: dict[tuple[int, int, int], Any] = {}
        self.watched: int | None = None
        self._team: int | None = None
        self._lds_start: NDArray[np.uint32] | None = None
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

    @property
    def lds_start(self) -> NDArray[np.uint32]:
        """``(n, 64)``: where each lane's workgroup has its part of the batch's LDS."""
        if self._lds_start is None:
            starts = (self.ids // self.batch.waves_per_workgroup * self.batch.lds_bytes).astype(np.uint32)
            self._lds_start = starts.repeat(LANES).reshape(-1, LANES)
        return self._lds_start

    def report(self, kind: FindingKind, instruction: Instruction, detail: str, lanes: NDArray[np.bool_]) -> None:
        """Note a fault of these lanes, ``(n, 64)`` or of the first waves."""
        waves = np.nonzero(lanes)[0]
        workgroups = self.batch.workgroup_of(self.ids)[waves]
        self.batch.recorder.finding(kind, instruction, detail, workgroups, len(waves))

    def dissolve(self) -> None:
        """Give the arrays back for reuse; the group must not be used any more."""
        for _, array in self.conversions.values():
            give_back(array)
        self.conversions = {}
        self._store.users -= 1
        if not self._store.users:
            give_back(self._store.array)

    def exec_changed(self) -> None:
        """Bring ``lanes`` up to date after a write to EXEC."""
        row = self.pairs64[_EXEC_PAIR]
        self.lanes = None if (row == ALL_ON).all() else masks_from_bits(row)

    def active(self) -> NDArray[np.bool_] | None:
        """``(n, 64)`` bool, None while all lanes are on."""
        return None if self.lanes is None else self.lanes.astype(bool)

    def select(self, rows: NDArray[np.bool_]) -> Waves:
        """The waves where ``rows`` is true; side by side with the same registers, else with copies."""
        places = np.flatnonzero(rows)
        ids = self.ids[places]
        first, end = int(places[0]), int(places[-1]) + 1
        if end - first == len(places):
            vector, store = self.vector[:, first:end], self._store
        else:
            vector, store = borrow((len(self.vector), len(ids), LANES), np.uint32), None
            self.vector.take(places, axis=1, out=vector, mode="clip")
        return Waves(
            self.batch,
            ids,
            vector,
            self.pairs.take(places, axis=1),
            self.scc[places],
            self.written[places],
            self.block,
            self.steps,
            store,
        )

    def follows(self, other: Waves) -> bool:
        """Are its registers those that stand behind the other's?"""
        begins = self.vector.ctypes.data - other.vector.ctypes.data
        return self._store is other._store and begins == other.count * 4 * LANES

    def behind(self, groups: Sequence[Waves]) -> tuple[Any, _Store | None]:
        """Registers of waves that come from these groups in order, of which this is the first."""
        if all(after.follows(before) for before, after in itertools.pairwise(groups)):
            count = sum(group.count for group in groups)
            first = (self.vector.ctypes.data - self._store.array.ctypes.data) // (4 * LANES)
            return self._store.array[:, first : first + count], self._store
        return None, None


def merge(groups: Sequence[Waves]) -> Waves:
    """Put waves that met at one block back together, in order of their numbers."""
    groups = sorted(groups, key=lambda group: int(group.ids[0]))
    ids = np.concatenate([group.ids for group in groups])
    order = np.argsort(ids, kind="stable")
    vector, store = groups[0].behind(groups) if (np.diff(order) == 1).all() else (None, None)
    if vector is None:
        vector = borrow((len(groups[0].vector), len(ids), LANES), np.uint32)
        places, done = np.argsort(order), 0
        for group in groups:
            vector[:, places[done : done + group.count]] = group.vector
            done += group.count
    return Waves(
        groups[0].batch,
        ids[order],
        vector,
        np.concatenate([group.pairs for group in groups], axis=1).take(order, axis=1),
        np.concatenate([group.scc for group in groups])[order],
        np.concatenate([group.written for group in groups])[order],
        groups[0].block,
        max(group.steps for group in groups),
        store,
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
