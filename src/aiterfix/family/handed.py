"""What a call hands to the wrapper's public functions, as the launch facts that faults hang on.

Read from shapes, strides, types and plain arguments, which the host knows: no memory of a device is looked at. Which
kernel a call comes to follows from the same facts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from aiterfix.family.cases import CHUNK
from aiterfix.family.entries import OTHER_GPU, OUTPUT, SHUFFLED
from aiterfix.family.kernels import ARCHITECTURES, ENTRY
from aiterfix.family.paging import CACHES

_QUERY, _WIDTH, _BLOCK, _SCHEDULE, _BY_HEAD = "q_fp8", "max_model_len", "KVBlockSize", "VarCtxSchedule", "out_qk"
_GLUON_FROM = 30500
"""The release of Triton from which on the wrappers of all releases take their Gluon kernels; below, the plain one."""
_FIXED_CHUNK = {f"{ENTRY}_stage1_ragged_k": 64}
"""``ChunkK`` of entries that take none."""
_FLOAT32 = 4


def key_of(parameter: str) -> tuple[str, ...]:
    """Expressions over a parameter whose values decide the facts: two calls that agree in all of them are one.

    Args:
        parameter: what the function calls it.
    """
    if parameter == _QUERY:
        return (f"{parameter}.shape",)
    if parameter in CACHES:
        return f"{parameter}.shape", f"{parameter}.stride()", f"{parameter}.dtype"
    if parameter in (OUTPUT, _BY_HEAD):
        size, offset = f"{parameter}.untyped_storage().nbytes()", f"{parameter}.storage_offset()"
        return f"{parameter}.shape", f"{parameter}.stride()", f"{parameter}.dtype", size, offset
    if parameter == _SCHEDULE:
        return (f"{parameter} is None",)
    return (parameter,) if parameter in (_WIDTH, SHUFFLED, _BLOCK, CHUNK) else ()


def facts_of(entry: str, handed: Mapping[str, Any]) -> dict[str, int]:
    """The facts of a call, by the names that triggers go by; those that cannot be read are left out.

    Args:
        handed: its arguments by parameter, defaults included.
    """
    facts = _plain_arguments(entry, handed)
    query = _whole(getattr(handed.get(_QUERY), "shape", ()))
    if len(query) == 4:
        facts |= {"rows": query[0] * query[1], "next_n": query[1]}
        if _BY_HEAD not in handed:
            facts["heads"] = query[2]
    for name in CACHES:
        if name in handed:
            facts |= _cache(handed[name], facts)
    if OUTPUT in handed:
        facts |= _output(handed[OUTPUT], facts)
    elif _BY_HEAD in handed:
        facts |= _output_by_head(handed[_BY_HEAD], facts)
    return facts


def _plain_arguments(entry: str, handed: Mapping[str, Any]) -> dict[str, int]:
    numbers = {"width": _WIDTH, "kv_block_size": _BLOCK, "chunk_k": CHUNK}
    facts = {name: handed[p] for name, p in numbers.items() if type(handed.get(p)) is int}
    if CHUNK not in handed and entry in _FIXED_CHUNK:
        facts["chunk_k"] = _FIXED_CHUNK[entry]
    shuffled = handed.get(SHUFFLED, False)
    if isinstance(shuffled, (bool, int)):
        facts["preshuffle"] = int(bool(shuffled))
    facts["schedule"] = int(handed.get(_SCHEDULE) is not None)
    return facts


def _cache(cache: Any, facts: Mapping[str, int]) -> dict[str, int]:
    shape, strides = _laid_out(cache)
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
    shape, strides = _laid_out(output)
    if not shape:
        return {}
    # What stands between rows and columns; one axis alone has neither.
    found = {"output_rank": len(shape), "output_inner": math.prod(shape[1:-1]) if len(shape) > 1 else 0}
    if found["output_inner"] == 1:
        found["row_stride"] = strides[0]
        found |= _padding(output, facts, strides[0], 0)
    return found


def _output_by_head(output: Any, facts: Mapping[str, int]) -> dict[str, int]:
    shape, strides = _laid_out(output)
    if len(shape) != 3:
        return {"output_rank": len(shape)} if shape else {}
    heads, row_stride = shape[0], strides[1]
    found = {"output_rank": 3, "output_inner": shape[1], "row_stride": row_stride}
    # Triggers take heads to follow one another; of another layout it is not said how far they reach.
    if strides[0] == facts.get("rows", -1) * row_stride:
        found["heads"] = heads
    return found | _padding(output, facts, row_stride, (heads - 1) * strides[0])


def _padding(output: Any, facts: Mapping[str, int], row_stride: int, before: int) -> dict[str, int]:
    """Columns behind every row that are the output's own memory, the last row's included."""
    if not {"rows", "width"} <= facts.keys() or not hasattr(output, "untyped_storage"):
        return {}
    elements = int(output.untyped_storage().nbytes()) // _FLOAT32 - int(output.storage_offset())
    last = elements - before - (facts["rows"] - 1) * row_stride - facts["width"]
    return {"padding": max(min(row_stride - facts["width"], last), 0)}


def _laid_out(tensor: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shape and strides; empty where they are not whole numbers, as while something is traced."""
    shape = _whole(getattr(tensor, "shape", ()))
    strides = _whole(tensor.stride() if hasattr(tensor, "stride") else ())
    return (shape, strides) if len(shape) == len(strides) else ((), ())


def _whole(numbers: Iterable[Any]) -> tuple[int, ...]:
    found = tuple(numbers)
    return found if all(type(n) is int for n in found) else ()


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
