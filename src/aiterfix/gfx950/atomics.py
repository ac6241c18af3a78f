"""Atomic operations on device memory and LDS: one lane after the other, in order of waves and lanes (ISA manual,
sections 9.5, 10.5 and 11.3).

The order is one of many that hardware may take; sums of floats hang on it. Denormals are kept, though LLVM's guide has
modes of memory that flush them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiterfix.gfx950.numerics import to_bf16

Array = Any


@dataclass(frozen=True)
class AtomicOperation:
    """What becomes of a cell.

    Attributes:
        compute: from the cell's value and the lane's (two of them for a comparison: new value, value expected) to the
            new value.
        dtype: what cell and values are.
        operands: values a lane brings.
    """

    compute: Callable[..., Array]
    dtype: Any
    operands: int = 1

    @property
    def size(self) -> int:
        """Bytes of a cell."""
        return int(np.dtype(self.dtype).itemsize)


def _increment(old: Array, limit: Array) -> Array:
    return np.where(old >= limit, old.dtype.type(0), old + old.dtype.type(1))


def _decrement(old: Array, limit: Array) -> Array:
    return np.where((old == 0) | (old > limit), limit, old - old.dtype.type(1))


def _pack_add_f16(old: Array, value: Array) -> Array:
    halves = [np.ascontiguousarray(x).view(np.float16).reshape(-1, 2) for x in (old, value)]
    return np.ascontiguousarray(halves[0] + halves[1]).view(np.uint32)[:, 0]


def _pack_add_bf16(old: Array, value: Array) -> Array:
    wide = [np.stack([x << np.uint32(16), x & np.uint32(0xFFFF_0000)]).view(np.float32) for x in (old, value)]
    low, high = to_bf16(wide[0] + wide[1])
    return low | high << np.uint32(16)


_INTEGER: dict[str, tuple[Callable[..., Array], str]] = {
    "swap": (lambda old, value: value, "u"),
    "add": (np.add, "u"),
    "sub": (np.subtract, "u"),
    "smin": (np.minimum, "i"),
    "umin": (np.minimum, "u"),
    "smax": (np.maximum, "i"),
    "umax": (np.maximum, "u"),
    "and": (np.bitwise_and, "u"),
    "or": (np.bitwise_or, "u"),
    "xor": (np.bitwise_xor, "u"),
    "inc": (_increment, "u"),
    "dec": (_decrement, "u"),
}


def _compare_and_swap(old: Array, value: Array, expected: Array) -> Array:
    return _swap_if_equal(old, expected, value)


def _less(old: Array, value: Array) -> Array:
    return np.where(value < old, value, old)


def _greater(old: Array, value: Array) -> Array:
    return np.where(value > old, value, old)


def _swap_if_equal(old: Array, expected: Array, value: Array) -> Array:
    return np.where(old == expected, value, old)


_FLOAT = {
    "add_f32": AtomicOperation(np.add, np.float32),
    "add_f64": AtomicOperation(np.add, np.float64),
    "pk_add_f16": AtomicOperation(_pack_add_f16, np.uint32),
    "pk_add_bf16": AtomicOperation(_pack_add_bf16, np.uint32),
    "min_f64": AtomicOperation(_less, np.float64),
    "max_f64": AtomicOperation(_greater, np.float64),
}
MEMORY: dict[str, AtomicOperation] = {
    **{
        f"atomic_{name}{wide}": AtomicOperation(compute, f"{kind}{size}")
        for name, (compute, kind) in _INTEGER.items()
        for wide, size in (("", 4), ("_x2", 8))
    },
    **{
        f"atomic_cmpswap{wide}": AtomicOperation(_compare_and_swap, dtype, 2)
        for wide, dtype in (("", np.uint32), ("_x2", np.uint64))
    },
    **{f"atomic_{name}": op for name, op in _FLOAT.items()},
}
"""By the mnemonic's end, for buffer, global and flat instructions."""

_LDS_INTEGER = {
    "add_u": "add", "sub_u": "sub", "inc_u": "inc", "dec_u": "dec", "min_i": "smin", "max_i": "smax", "min_u": "umin",
    "max_u": "umax", "and_b": "and", "or_b": "or", "xor_b": "xor", "wrxchg_b": "swap", "rsub_u": "rsub",
}  # fmt: skip


def _lds() -> dict[str, AtomicOperation]:
    table: dict[str, AtomicOperation] = {}
    integer = {**_INTEGER, "rsub": (lambda old, value: value - old, "u")}
    for bits in (32, 64):
        plain = {
            f"{name}{bits}": AtomicOperation(integer[meaning][0], f"{integer[meaning][1]}{bits // 8}")
            for name, meaning in _LDS_INTEGER.items()
        }
        # The value expected comes first here.
        for kind, code in (("b", "u"), ("f", "f")):
            plain[f"cmpst_{kind}{bits}"] = AtomicOperation(_swap_if_equal, f"{code}{bits // 8}", 2)
        table |= plain
    table |= _FLOAT
    table |= {"min_f32": AtomicOperation(_less, np.float32), "max_f32": AtomicOperation(_greater, np.float32)}
    named = {}
    for name, op in table.items():
        verb, kind = name.rsplit("_", 1)
        if verb != "wrxchg":
            named[f"ds_{name}"] = op
        named[f"ds_{verb}_rtn_{kind}"] = op
    return named


LDS: dict[str, AtomicOperation] = _lds()
"""By mnemonic."""

_lock = threading.Lock()
"""Batches run in threads; one atomic instruction of one batch at a time."""


def update(data: Array, index: Array, op: AtomicOperation, values: list[Array]) -> Array:
    """Change cells, one lane after the other.

    Args:
        data: bytes, a multiple of the cell's size.
        index: ``(n,)`` byte offsets, multiples of the cell's size, all in range.
        values: arrays ``(n,)`` of the cell's type, as many as ``op.operands``.

    Returns:
        ``(n,)``: what each lane found.
    """
    cells = data[: len(data) // op.size * op.size].view(op.dtype)
    places = index // op.size
    found = np.empty(len(places), op.dtype)
    # Lanes of one place one after the other: all first ones together, then all second ones, and so on.
    order = np.argsort(places, kind="stable")
    ordered = places[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(ordered) else np.zeros(0, int)
    turn = np.empty(len(places), np.int64)
    turn[order] = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.append(starts, len(ordered))))
    with _lock:
        for number in range(int(turn.max(initial=-1)) + 1):
            now = turn == number
            here = places[now]
            found[now] = cells[here]
            cells[here] = op.compute(found[now], *(value[now] for value in values))
    return found
