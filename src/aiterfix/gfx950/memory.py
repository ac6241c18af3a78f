"""Device memory: allocations in an address space of their own, never host addresses.

An allocation is a numpy byte array; the space between allocations is nothing at all. Allocations lie so far apart
that a 32-bit offset from one never reaches another, so a redzone costs no host memory. An access that is not wholly
inside one allocation is reported to the caller and not performed: loads give 0, stores are dropped.
"""

from __future__ import annotations

import bisect
import contextlib
import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

_FIRST_ADDRESS = 0x1000_0000_0000
_ALIGNMENT = 4096
_BACKING_ALIGNMENT = 16


@dataclass(eq=False)
class Allocation:
    """A region of device memory.

    Attributes:
        name: what reports call it.
        address: device address of its first byte.
        size: bytes.
        element_size: bytes of an element, for reports that count in elements.
        data: its bytes; longer than ``size`` by padding that no access reaches.
        sparse: whether it takes host memory only where it was touched.
    """

    name: str
    address: int
    size: int
    element_size: int
    data: NDArray[np.uint8] = field(repr=False)
    sparse: bool = False

    def array(self, dtype: DTypeLike = np.uint8, shape: tuple[int, ...] | int = -1) -> NDArray[Any]:
        """The contents as a numpy view (writing to it writes device memory)."""
        return self.data[: self.size].view(dtype).reshape(shape)

    def touched(self) -> Iterator[slice]:
        """Byte ranges that may hold something other than what the allocation began as, in order.

        Of a sparse allocation these are the pages that the host has made for it, where the host tells (Linux);
        elsewhere, and of any other allocation, it is the whole.
        """
        pages = _pages_made(self.data) if self.sparse else None
        if pages is None:
            yield slice(0, self.size)
            return
        edges = np.flatnonzero(np.diff(np.concatenate([[False], pages, [False]])))
        for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            yield slice(first * mmap.PAGESIZE, min(last * mmap.PAGESIZE, self.size))

    @property
    def end(self) -> int:
        """Address of the first byte behind it."""
        return self.address + self.size


class DeviceMemory:
    """The allocations that a kernel may touch.

    Args:
        redzone: least number of bytes between two allocations, before the first and behind the last that belong to
            none. The default, 8 GiB, is more than a 32-bit byte offset can cross; it takes no host memory.
    """

    def __init__(self, redzone: int = 1 << 33) -> None:
        if redzone < 0:
            raise UsageError(f"A redzone of {redzone} bytes makes no sense.", remedy="Pass 0 or more.")
        self.redzone = redzone
        self._next = _FIRST_ADDRESS
        self._starts: list[int] = []
        self._allocations: list[Allocation] = []

    def __iter__(self) -> Any:
        return iter(self._allocations)

    def allocate(
        self, name: str, array: NDArray[Any], *, element_size: int | None = None, align: int = 256
    ) -> Allocation:
        """Copy an array into device memory.

        Args:
            name: what reports call it; best the kernel parameter that will point to it.
            array: contents, any dtype, copied in C order.
            element_size: bytes of an element for reports; the array's own by default.
            align: the address is a multiple of this and of no larger power of two up to 4096, so that a kernel that
                wrongly assumes more alignment is found out.
        """
        contents = np.ascontiguousarray(array)
        data = aligned_bytes(contents.nbytes + _BACKING_ALIGNMENT)
        data[: contents.nbytes] = contents.reshape(-1).view(np.uint8)
        return self._place(name, data, contents.nbytes, element_size or contents.dtype.itemsize, align)

    def allocate_sparse(self, name: str, size: int, *, element_size: int, align: int = 256) -> Allocation:
        """Zeros that take host memory only where they are touched, so that an allocation may be larger than the host's.

        Args:
            name, align: as for :meth:`allocate`.
            size: bytes.
            element_size: bytes of an element for reports.
        """
        allocation = self._place(name, _untouched_bytes(size + _BACKING_ALIGNMENT), size, element_size, align)
        allocation.sparse = True
        return allocation

    def _place(self, name: str, data: NDArray[np.uint8], size: int, element_size: int, align: int) -> Allocation:
        address = -(-(self._next + self.redzone) // (2 * _ALIGNMENT)) * 2 * _ALIGNMENT + align
        self._next = address + size
        allocation = Allocation(name, address, size, element_size, data)
        self._starts.append(address)
        self._allocations.append(allocation)
        return allocation

    def extended(self, allocation: Allocation) -> DeviceMemory:
        """A memory with the same allocations and one more, which this one does not get. The bytes are shared."""
        other = DeviceMemory(self.redzone)
        address = -(-(self._next + self.redzone) // _ALIGNMENT) * _ALIGNMENT
        placed = Allocation(allocation.name, address, allocation.size, allocation.element_size, allocation.data)
        other._next = placed.end
        other._allocations = [*self._allocations, placed]
        other._starts = [*self._starts, address]
        return other

    def containing(self, first: int, last: int) -> Allocation | None:
        """The allocation that holds every byte from ``first`` to ``last``, both included."""
        at = bisect.bisect_right(self._starts, first) - 1
        if at >= 0 and last < (allocation := self._allocations[at]).end:
            return allocation
        return None

    def nearest(self, addresses: NDArray[np.int64]) -> NDArray[np.int64]:
        """For each address the number of the allocation with the least distance from it; -1 where there is none."""
        if not self._allocations:
            return np.full(len(addresses), -1)
        starts, ends = np.array(self._starts), np.array([a.end for a in self._allocations])
        behind = np.searchsorted(starts, addresses, "right")
        before, after = np.maximum(behind - 1, 0), np.minimum(behind, len(starts) - 1)
        return np.where(starts[after] - addresses < addresses - ends[before] + 1, after, before)


def aligned_bytes(size: int) -> NDArray[np.uint8]:
    """A zeroed byte array on a 16-byte boundary, a multiple of 16 long, so that wide elements can view it."""
    rounded = -(-size // _BACKING_ALIGNMENT) * _BACKING_ALIGNMENT
    return np.zeros(max(rounded // 16, 1), np.complex128).view(np.uint8)


def _untouched_bytes(size: int) -> NDArray[np.uint8]:
    """The same, of pages that the host makes when they are touched, small ones: NumPy asks for huge pages, and a row's
    first bytes would take 2 MiB."""
    rounded = max(-(-size // _BACKING_ALIGNMENT), 1) * _BACKING_ALIGNMENT
    # Without a reservation: a host may refuse one that is larger than its memory.
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    pages = mmap.mmap(-1, rounded, flags=flags)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without huge pages refuses to be told not to use them
            pages.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(pages, np.uint8)


def _pages_made(data: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """Which pages of a mapping the host has made, as Linux says; None where it does not say."""
    first, count = data.ctypes.data // mmap.PAGESIZE, -(-data.nbytes // mmap.PAGESIZE)
    try:
        with Path("/proc/self/pagemap").open("rb", buffering=0) as file:
            file.seek(8 * first)
            said = file.read(8 * count)
            while len(said) < 8 * count and (more := file.read(8 * count - len(said))):
                said += more
    except OSError:
        return None
    if len(said) != 8 * count:
        return None
    made: NDArray[np.bool_] = (np.frombuffer(said, np.uint64) >> np.uint64(62)) != 0  # in memory, or swapped out
    return made


ELEMENTS: dict[int, Any] = {
    1: np.dtype("u1"),
    2: np.dtype("u2"),
    4: np.dtype("u4"),
    8: np.dtype("u8"),
    16: np.dtype("c16"),
}
"""Bytes to what they are moved as, where they are aligned to themselves."""


def gather(data: NDArray[np.uint8], index: NDArray[Any], size: int) -> NDArray[np.uint32]:
    """Read ``size`` bytes (1, 2 or a multiple of 4) at each byte index.

    Args:
        data: bytes, backed as ``aligned_bytes`` backs them; every index must be in range.
        index: byte offsets, any shape and any alignment.

    Returns:
        ``index.shape + (dwords,)``; bytes and halves zero-extended.
    """
    alignment = int(np.bitwise_or.reduce(index, axis=None)) if size > 1 and index.size else 0
    if size in ELEMENTS and not alignment & (size - 1):
        return take(data, index.astype(np.int64, copy=False) >> (size.bit_length() - 1), size)
    unit = 4 if size > 4 and not alignment & 3 else 1
    steps = np.arange(size // unit)
    first = (index.astype(np.int64, copy=False) >> (unit.bit_length() - 1))[..., np.newaxis]
    parts: NDArray[Any] = data.view(ELEMENTS[unit]).take(first + steps, mode="clip")
    return parts.view(np.uint16).astype(np.uint32) if size == 2 else parts.view(np.uint32)


def take(data: NDArray[np.uint8], cells: NDArray[np.int64], size: int, first: int = 0) -> NDArray[np.uint32]:
    """Read elements of ``size`` bytes by number, counted from element ``first``; see ``gather``."""
    found: NDArray[Any] = data.view(ELEMENTS[size])[first:].take(cells, mode="clip")
    return found.astype(np.uint32)[..., np.newaxis] if size < 4 else found[..., np.newaxis].view(np.uint32)


def put(
    data: NDArray[np.uint8], cells: NDArray[np.int64], values: NDArray[np.uint32], size: int, first: int = 0
) -> None:
    """Write elements by number; see ``scatter``."""
    dtype = ELEMENTS[size]
    wide: Any = values[..., 0].astype(dtype) if size <= 4 else np.ascontiguousarray(values).view(dtype)[..., 0]
    data.view(dtype)[first:][cells] = wide


def scatter(data: NDArray[np.uint8], index: NDArray[Any], values: NDArray[np.uint32], size: int) -> None:
    """Write ``size`` bytes at byte indexes; where two lanes write one place, the higher lane of the later wave wins.

    Args:
        index: ``(n,)`` byte offsets, all in range.
        values: ``(n, dwords)``.
    """
    alignment = int(np.bitwise_or.reduce(index, axis=None)) if size > 1 and index.size else 0
    index = index.astype(np.int64, copy=False)
    if size in ELEMENTS and not alignment & (size - 1):
        put(data, index >> (size.bit_length() - 1), values, size)
    elif size > 4 and not alignment & 3:
        for k in range(size // 4):
            data.view(np.uint32)[(index >> 2) + k] = values[:, k]
    else:
        bytewise = np.ascontiguousarray(values).view(np.uint8)
        data[index[:, np.newaxis] + np.arange(size)] = bytewise[:, :size]
