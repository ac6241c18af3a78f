"""Device memory: where allocations lie, whom an address belongs to, unaligned access."""

from __future__ import annotations

import resource
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from aiterfix.errors import UsageError
from aiterfix.gfx950.memory import DeviceMemory, aligned_bytes, gather, scatter


def test_allocations_are_copies_far_apart() -> None:
    memory = DeviceMemory()
    source = np.arange(10, dtype=np.int32)
    first = memory.allocate("first", source)
    second = memory.allocate("second", source.reshape(2, 5), element_size=20)
    source[:] = 0
    assert first.array(np.int32).tolist() == list(range(10))
    assert second.array(np.int32, (2, 5))[1].tolist() == [5, 6, 7, 8, 9]
    assert (first.element_size, second.element_size) == (4, 20)
    assert second.address - first.end >= 1 << 32, "no 32-bit offset reaches from one to the other"
    assert second.end < 1 << 48, "a buffer descriptor's base has 48 bits"
    assert [a.name for a in memory] == ["first", "second"]
    first.array(np.int32)[3] = 77
    assert first.array(np.int32)[3] == 77


@pytest.mark.parametrize("align", [1, 4, 16, 256, 4096])
@pytest.mark.parametrize("redzone", [0, 65536])
def test_no_more_alignment_than_asked_for(align: int, redzone: int) -> None:
    memory = DeviceMemory(redzone=redzone)
    addresses = [memory.allocate("a", np.zeros(3, np.uint8), align=align).address for _ in range(3)]
    for address in addresses:
        assert address % align == 0
        assert align == 4096 or address % (2 * align) != 0
    assert all(b - a >= 3 + redzone for a, b in pairwise(addresses))


def test_whose_address() -> None:
    memory = DeviceMemory()
    assert memory.nearest(np.array([5, 7])).tolist() == [-1, -1]
    assert memory.containing(5, 5) is None
    first = memory.allocate("first", np.zeros(100, np.uint8))
    second = memory.allocate("second", np.zeros(100, np.uint8))
    assert memory.containing(first.address, first.end - 1) is first
    assert memory.containing(first.address, first.end) is None
    assert memory.containing(first.address - 1, first.address) is None
    assert memory.containing(second.address + 99, second.address + 99) is second
    addresses = [first.end + 1000, second.address - 1000, second.end + (1 << 40), 0, second.address, first.end - 1]
    assert memory.nearest(np.array(addresses)).tolist() == [0, 1, 1, 0, 1, 0]


def test_extended_memory_shares_bytes_and_leaves_the_original_alone() -> None:
    memory = DeviceMemory()
    first = memory.allocate("first", np.zeros(4, np.uint8))
    other = memory.extended(DeviceMemory().allocate("more", np.ones(8, np.uint8)))
    assert [a.name for a in other] == ["first", "more"]
    assert [a.name for a in memory] == ["first"]
    assert other.nearest(np.array([1 << 62])).tolist() == [1]
    _, more = other
    assert more.address > first.end
    assert more.array().tolist() == [1] * 8


def test_negative_redzone() -> None:
    with pytest.raises(UsageError):
        DeviceMemory(redzone=-1)


@pytest.mark.parametrize("dwords", [1, 2, 3, 4])
@pytest.mark.parametrize("unit", [16, 8, 4, 3, 1])
def test_gather_and_scatter(dwords: int, unit: int) -> None:
    rng = np.random.default_rng(dwords * 100 + unit)
    data = aligned_bytes(2000)
    data[:] = rng.integers(0, 256, len(data))
    index = rng.integers(0, 100, (3, 7)) * unit
    got = gather(data, index, 4 * dwords)
    assert got.shape == (3, 7, dwords)
    for place in np.ndindex(3, 7):
        start = int(index[place])
        assert got[place].tobytes() == data[start : start + 4 * dwords].tobytes()
    places = rng.permutation(20) * max(unit, 16) + (unit if unit < 16 else 0)
    values = rng.integers(0, 1 << 32, (20, dwords), dtype=np.uint32)
    want = data.copy()
    for place, value in zip(places.tolist(), values, strict=True):
        want[place : place + 4 * dwords] = np.frombuffer(value.tobytes(), np.uint8)
    scatter(data, places, values, 4 * dwords)
    assert (data == want).all()


def test_a_sparse_allocation_takes_what_is_touched_of_it() -> None:
    memory = DeviceMemory()
    before = resident()
    sparse = memory.allocate_sparse("out", 3 << 30, element_size=4)
    cells = sparse.array(np.uint32)
    assert cells.size == 3 << 28 and (sparse.size, sparse.element_size) == (3 << 30, 4)
    index = np.array([0, (1 << 31) + 4, sparse.size - 4], np.int64)
    scatter(sparse.data, index, np.array([[7], [8], [9]], np.uint32), 4)
    assert cells[index // 4].tolist() == [7, 8, 9]
    assert gather(sparse.data, index - index % 16, 16)[2].tolist() == [0, 0, 0, 9]
    assert not cells[1 << 20 : 1 << 24].any(), "untouched bytes are 0, and looking at them takes nothing"
    assert resident() - before < 32 << 20
    after = memory.allocate("after", np.zeros(1, np.uint8))
    assert after.address - sparse.end >= 1 << 32
    assert memory.containing(sparse.end - 4, sparse.end - 1) is sparse


def resident() -> int:
    """Bytes of host memory that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def test_a_sparse_allocation_tells_which_of_its_pages_were_touched() -> None:
    sparse = DeviceMemory().allocate_sparse("out", 3 << 30, element_size=4)
    for at in (0, 5 << 20, (3 << 30) - 1):
        sparse.data[at] = 1
    parts = list(sparse.touched())
    assert all(any(part.start <= at < part.stop for part in parts) for at in (0, 5 << 20, (3 << 30) - 1))
    assert parts[-1].stop == sparse.size
    if Path("/proc/self/pagemap").exists():
        assert sum(part.stop - part.start for part in parts) < 1 << 20
    dense = DeviceMemory().allocate("in", np.zeros(100, np.uint8))
    assert list(dense.touched()) == [slice(0, 100)]


def test_where_the_host_does_not_tell_the_whole_may_have_been_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no such file")

    sparse = DeviceMemory().allocate_sparse("out", 1 << 20, element_size=4)
    monkeypatch.setattr(Path, "open", refuse)
    assert list(sparse.touched()) == [slice(0, 1 << 20)]
