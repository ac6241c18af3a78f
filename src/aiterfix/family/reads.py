"""What every kernel takes for granted of what it reads, and what of a call's inputs is otherwise.

A kernel is told three strides of the query, that of a row of weights and that of a block; and how many columns the
block table has, which it takes for the table's stride. All else must follow on. Offsets have 32 bits; in Gluon kernels
they count bytes. A wrapper compiles those for pointers to one type each, whatever is handed over; of other kernels
Triton takes the types as they are.

In v0.1.20.post1, emulated: from 2^31 bytes of block table on, the base kernel reads no block numbers (of a row of 280
that begins 512 bytes before, 128 logits are right). Nor do the preshuffle ones with blocks of 64; with blocks of 256
that is from 2^31 elements on, as in stage1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

QUERY, WEIGHTS, TABLE = "q_fp8", "weights", "kv_indices"
LENGTHS, BOUNDS = "context_lens", "prefix_sum_context_lens"
"""One length a sequence; or where each sequence begins and ends in a block table of one axis."""
INPUTS = ("query", "weights", "lengths", "block table", "cache")
"""For people. The first counts 1 in a sum that stands for several of them, each further one twice the one before."""
SHORT = 1 << 29
"""Elements that the addresses of every kernel reach, whatever the input: 2^31 bytes where one has 4."""

_Layout = tuple[tuple[int, ...], tuple[int, ...]]


def key_of(parameter: str) -> tuple[str, ...]:
    """Expressions over an input whose values, with the query's shape, decide what `unusual` says of it."""
    if parameter == QUERY:
        return f"{parameter}.is_contiguous() or {parameter}.stride()", f"{parameter}.dtype"
    if parameter == WEIGHTS:
        return f"{parameter}.ndim == 2 or {parameter}.shape", f"{parameter}.stride()", f"{parameter}.dtype"
    if parameter in (LENGTHS, BOUNDS):
        return f"{parameter}.stride()", f"{parameter}.dtype"
    if parameter == TABLE:
        # As a rule it is a whole tensor; then nothing hangs on its shape, which changes from call to call.
        whole = f"{parameter}.is_contiguous() and {parameter}.nbytes <= {4 * SHORT}"
        return f"{whole} or ({parameter}.shape, {parameter}.stride())", f"{parameter}.dtype"
    return ()


def unusual(handed: Mapping[str, Any], caches: Sequence[str]) -> dict[str, int]:
    """Launch facts about inputs: which are misread, which are of another type, how far those reach that are long.

    How many rows, lengths and columns an input has is not looked at.

    Args:
        handed: the call's arguments by parameter.
        caches: what the cache may be called.
    """
    shape, strides = layout(handed.get(QUERY))
    if len(shape) != 4:
        return {}
    batch, next_n, heads, size = shape
    given = (handed.get(QUERY), handed.get(WEIGHTS), handed.get(LENGTHS, handed.get(BOUNDS)), handed.get(TABLE))
    weights, lengths, table = (layout(tensor) for tensor in given[1:])
    # The length of one sequence is its first, whatever the stride: for torch `lengths[:, -1]` is contiguous then.
    alone = LENGTHS in handed and batch == 1 and (next_n == 1 or len(lengths[0]) == 1)
    kinds = [getattr(next((handed[c] for c in caches if c in handed), None), "dtype", None)]
    misread = (
        strides[3] != 1 < size,
        bool(weights[0]) and not _weights_follow(*weights, batch * next_n, next_n, heads),
        bool(lengths[0]) and lengths[1][0] != 1 and not alone,
        bool(table[0]) and not _packed(*table),
        not _like(kinds[0], 1),  # it is taken apart by its bytes, as if each were an element
    )
    kinds = [getattr(tensor, "dtype", None) for tensor in given]
    mistyped = (
        not _like(kinds[0], 1),
        not _like(kinds[1], 4, floating=True),
        *(not _like(kind, 4, floating=False) for kind in kinds[2:]),
    )
    reach = {"query_elements": sum((n - 1) * s for n, s in zip(shape[:3], strides, strict=False)) + size}
    if weights[0]:
        reach["weights_elements"] = (batch * next_n - 1) * weights[1][0] + heads
    if table[0]:
        reach["table_elements"] = (batch if len(table[0]) > 1 else 1) * table[0][-1]
    found = {name: count for name, count in reach.items() if count > SHORT}
    return found | {n: s for n, s in (("misread", _sum(misread)), ("mistyped", _sum(mistyped))) if s}


def named(inputs: int) -> str:
    """Names of the inputs that a sum stands for."""
    return " and ".join(name for place, name in enumerate(INPUTS) if inputs >> place & 1)


def _sum(flags: Iterable[bool]) -> int:
    return sum(flag << place for place, flag in enumerate(flags))


def _weights_follow(shape: tuple[int, ...], strides: tuple[int, ...], rows: int, next_n: int, heads: int) -> bool:
    """Whether each row of weights is its number times the first stride from the first one."""
    while heads > 1 and len(shape) > 1 and shape[-1] == 1:
        shape, strides = shape[:-1], strides[:-1]
    if heads > 1 and strides[-1] != 1:
        return False
    if len(strides) == 3:
        return next_n == 1 or strides[0] == strides[1]  # as where the axis between has one element
    return len(strides) == 2 or rows == 1


def _packed(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    step = 1
    for n, stride in zip(reversed(shape), reversed(strides), strict=True):
        if stride != step and n != 1:
            return False
        step *= n
    return True


def _like(kind: Any, size: int, *, floating: bool | None = None) -> bool:
    """Whether an element type is of a size and sort; true where it does not say."""
    is_floating = getattr(kind, "is_floating_point", floating)
    return getattr(kind, "itemsize", size) == size and (floating is None or is_floating is floating)


def layout(tensor: Any) -> _Layout:
    """Shape and strides; empty where they are not whole numbers, as while something is traced."""
    shape = whole(getattr(tensor, "shape", ()))
    strides = whole(tensor.stride() if hasattr(tensor, "stride") else ())
    return (shape, strides) if len(shape) == len(strides) else ((), ())


def whole(numbers: Iterable[Any]) -> tuple[int, ...]:
    """The same numbers; none where one of them is not whole."""
    found = tuple(numbers)
    return found if all(type(n) is int for n in found) else ()
