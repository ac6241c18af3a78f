"""What a call hands to the wrapper's public functions, as the launch facts that faults hang on.

Read from shapes, strides, types and plain arguments, which the host knows: no memory of a device is looked at. Which
kernel a call comes to follows from the same facts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from numbers import Integral
from typing import Any

from aiterfix.family import reads
from aiterfix.family.cases import CHUNK
from aiterfix.family.entries import OTHER_GPU, OUTPUT, SHUFFLED
from aiterfix.family.kernels import ARCHITECTURES, ENTRY
from aiterfix.family.paging import CACHES
from aiterfix.family.reads import QUERY, layout, whole

_WIDTH, _BLOCK, _SCHEDULE, _BY_HEAD = "max_model_len", "KVBlockSize", "VarCtxSchedule", "out_qk"
_GLUON_FROM = 30500
"""The release of Triton from which on the wrappers of all releases take their Gluon kernels; below, the plain one."""
_FIXED_CHUNK = {f"{ENTRY}_stage1_ragged_k": 64}
"""``ChunkK`` of entries that take none."""
_FLOAT32 = 4
_HEAD_SIZE = 128
"""Of a key, where nothing else is told."""


def key_of(parameter: str) -> tuple[str, ...]:
    """Expressions over a parameter whose values decide the facts: two calls that agree in all of them are one.

    Args:
        parameter: what the function calls it.
    """
    if parameter == QUERY:
        return f"{parameter}.shape", *reads.key_of(parameter)
    if parameter in CACHES:
        return f"{parameter}.shape", f"{parameter}.stride()", f"{parameter}.dtype"
    if parameter in (OUTPUT, _BY_HEAD):
        # Which GPU too, as a process may have several kinds.
        parts = "shape", "stride()", "dtype", "untyped_storage().nbytes()", "storage_offset()", "get_device()"
        return tuple(f"{parameter}.{part}" for part in parts)
    if parameter == _SCHEDULE:
        return (f"{parameter} is None",)
    return (parameter,) if parameter in (_WIDTH, SHUFFLED, _BLOCK, CHUNK) else reads.key_of(parameter)


def facts_of(entry: str, handed: Mapping[str, Any]) -> dict[str, int]:
    """The facts of a call, by the names that triggers go by; those that cannot be read are left out.

    Args:
        handed: its arguments by parameter, defaults included.
    """
    facts = _plain_arguments(entry, handed)
    query = whole(getattr(handed.get(QUERY), "shape", ()))
    if len(query) == 4:
        facts |= {"rows": query[0] * query[1], "next_n": query[1]}
        if _BY_HEAD not in handed:
            facts["heads"] = query[2]
        if query[3] != _HEAD_SIZE:
            facts["head_size"] = query[3]
    for name in CACHES:
        if name in handed:
            facts |= _cache(handed[name], facts)
    if OUTPUT in handed:
        facts |= _output(handed[OUTPUT], facts)
    elif _BY_HEAD in handed:
        facts |= _output_by_head(handed[_BY_HEAD], facts, query[2] if len(query) == 4 else 0)
    return facts | reads.unusual(handed, CACHES)


def _plain_arguments(entry: str, handed: Mapping[str, Any]) -> dict[str, int]:
    numbers = {"width": _WIDTH, "kv_block_size": _BLOCK, "chunk_k": CHUNK}
    facts = {name: int(handed[p]) for name, p in numbers.items() if isinstance(handed.get(p), Integral)}
    if CHUNK not in handed and entry in _FIXED_CHUNK:
        facts["chunk_k"] = _FIXED_CHUNK[entry]
    shuffled = handed.get(SHUFFLED, False)
    if not hasattr(shuffled, "stride"):  # whether a tensor is true stands on the device
        facts["preshuffle"] = int(bool(shuffled))
    facts["schedule"] = int(handed.get(_SCHEDULE) is not None)
    return facts


def _cache(cache: Any, facts: Mapping[str, int]) -> dict[str, int]:
    shape, strides = layout(cache)
    if not shape:
        return {}
    found = {"kv_blocks": shape[0]}
    size = getattr(getattr(cache, "dtype", None), "itemsize", None)
    if isinstance(size, int):
        found["block_stride"] = strides[0] * size
    if "kv_block_size" not in facts:
        found["kv_block_size"] = math.prod(shape[1:-1])
    return found


def _output(output: Any, facts: Mapping[str, int]) -> dict[str, int]:
    shape, strides = layout(output)
    if not shape:
        return {}
    # What stands between rows and columns; one axis alone has neither.
    found = {"output_rank": len(shape), "output_inner": math.prod(shape[1:-1]) if len(shape) > 1 else 0}
    size = getattr(getattr(output, "dtype", None), "itemsize", _FLOAT32)
    if size != _FLOAT32:
        found["output_bytes"] = size
    if found["output_inner"] == 1:
        found["row_stride"] = strides[0]
        found |= _padding(output, facts, strides[0])
    return found | _column_stride(shape, strides)


def _output_by_head(output: Any, facts: Mapping[str, int], query_heads: int) -> dict[str, int]:
    shape, strides = layout(output)
    if len(shape) != 3:
        return {"output_rank": len(shape)} if shape else {}
    heads, row_stride = shape[0], strides[1]
    found = {"output_rank": 3, "output_inner": shape[1], "row_stride": row_stride}
    # Triggers take heads to follow one another; of another layout it is not said how far they reach.
    if strides[0] == facts.get("rows", -1) * row_stride:
        found["heads"] = heads
    found |= _padding(output, facts, row_stride, max(heads, query_heads), strides[0])
    return found | _column_stride(shape, strides)


def _column_stride(shape: tuple[int, ...], strides: tuple[int, ...]) -> dict[str, int]:
    """Told only where columns do not follow one another, which every kernel takes for granted."""
    return {"column_stride": strides[-1]} if shape[-1] > 1 and strides[-1] != 1 else {}


def _padding(
    output: Any, facts: Mapping[str, int], row_stride: int, heads: int = 1, head_stride: int = 0
) -> dict[str, int]:
    """Columns behind every row that are the output's own memory, the last row's included; negative where a row itself
    runs into the next one or past that memory."""
    if not {"rows", "width"} <= facts.keys() or not hasattr(output, "untyped_storage"):
        return {}
    if facts["rows"] == 0:
        return {"padding": 0}
    size = getattr(getattr(output, "dtype", None), "itemsize", _FLOAT32)
    elements = int(output.untyped_storage().nbytes()) // size - int(output.storage_offset())
    last = elements - (heads - 1) * head_stride - (facts["rows"] - 1) * row_stride - facts["width"]
    between = row_stride - facts["width"]
    if facts["rows"] == 1:
        between = max(between, 0)  # there is no next row
    apart = _heads_apart(facts["rows"], row_stride, heads, head_stride)
    return {"padding": min(between, last, *(a - facts["width"] for a in apart))}


def _heads_apart(rows: int, row_stride: int, heads: int, head_stride: int) -> Iterator[int]:
    """Elements from the first row of each further head to the rows of the first one that are nearest to it."""
    for begin in (head * head_stride for head in range(1, heads)):
        before = min(begin // row_stride, rows - 1) if row_stride else 0
        yield from (abs(begin - row * row_stride) for row in {before, min(before + 1, rows - 1)})


def kernels_of(entry: str, facts: Mapping[str, int], gpu: str) -> tuple[str, ...]:
    """Names of the kernels that a call may come to; where there are several, which one it is not known.

    Args:
        facts: of the call; facts that are left out may be anything.
        gpu: the architecture; empty where it is not known.
    """
    gluon = f"_gluon_{entry}"
    if entry != ENTRY:
        return f"_{entry}", gluon  # the Gluon one stands in a few old trees only
    shuffled, schedule = facts.get("preshuffle"), facts.get("schedule")
    found = []
    if shuffled != 1:
        triton = facts.get("triton")
        if triton is None or triton >= _GLUON_FROM:
            found.append(gluon)
        if triton is None or triton < _GLUON_FROM or gpu not in (*ARCHITECTURES, OTHER_GPU):
            found.append(f"_{entry}")
    if shuffled != 0 and schedule != 1:
        found.append(f"{gluon}_preshuffle")
    if shuffled != 0 and schedule != 0:
        found.append(f"{gluon}_preshuffle_varctx")
    return tuple(found)
