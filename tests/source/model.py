"""A small model of Triton and Gluon: runs a kernel file's own source and says which columns it stores to.

Integers are exact, with the widths and the wrap-around of the real types; floating-point data is one absorbing object
(`DATA`), since no address of these kernels depends on it. A comparison with such data counts as true: the data may be
anything. Layouts, barriers and shared memory are inert. Every program of a launch runs in turn as plain Python.

Rows are told from columns by the size of their stride: the launch passes strides of 2^40 elements and more, so the
column of an element is its offset modulo 2^40, nearest to zero. Not modelled: layout mismatches and other things that
the compiler would refuse, and 32-bit buffer offsets (a row's offset does not wrap).
"""

from __future__ import annotations

import ast
import inspect
import math
import operator
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

ROW = 1 << 40
_STEPS = 20_000


class ModelError(Exception):
    """The program does something that the model does not know, or that Triton would refuse."""


class Opaque:
    """Data, layouts, shared memory: whatever is done to it, it stays what it is."""

    def _same(self, *_: object, **__: object) -> Opaque:
        return self

    def __getattr__(self, name: str) -> Opaque:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __rand__(self, other: object) -> object:
        return other if isinstance(other, Tensor) else self

    def __ror__(self, _: object) -> Tensor:
        return Tensor(True, _BOOL)

    __and__, __or__ = __rand__, __ror__
    __call__ = __getitem__ = __invert__ = __neg__ = _same
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _same
    __mod__ = __rmod__ = __floordiv__ = __rfloordiv__ = __xor__ = __rxor__ = _same
    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _same  # type: ignore[assignment]
    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise ModelError("a branch on data")

    def __iter__(self) -> Iterator[object]:
        raise ModelError("iteration over data")


DATA = Opaque()
_BOOL, _I32, _I64, _F32 = (np.dtype(t) for t in ("bool", "int32", "int64", "float32"))


def _scalar(value: Any, dtype: np.dtype[Any]) -> Any:
    if dtype == _BOOL:
        return bool(value)
    if dtype.kind == "f":
        return float(np.asarray(value, dtype=np.float64).astype(dtype))
    bits = dtype.itemsize * 8
    value = int(value) & ((1 << bits) - 1)
    return value - (1 << bits) if dtype.kind == "i" and value >> (bits - 1) else value


def _cast(value: Any, dtype: np.dtype[Any]) -> Any:
    if isinstance(value, np.ndarray):
        return value if value.dtype == dtype else value.astype(dtype)
    return _scalar(value, dtype)


def _divide(a: Any, b: Any) -> Any:
    """Towards zero, as the hardware does."""
    if isinstance(a, int) and isinstance(b, int):
        if b == 0:
            raise ModelError("division by zero")
        quotient = abs(a) // abs(b)
        return -quotient if (a < 0) != (b < 0) else quotient
    if not np.all(b):
        raise ModelError("division by zero")
    return (a - np.fmod(a, b)) // b


def _remainder(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int):
        return a - _divide(a, b) * b
    if not np.all(b):
        raise ModelError("division by zero")
    return np.fmod(a, b)


def _promote(a: np.dtype[Any], b: np.dtype[Any]) -> np.dtype[Any]:
    if a == b:
        return a
    if (a.kind == "f") != (b.kind == "f"):
        return a if a.kind == "f" else b
    if a == _BOOL or b == _BOOL:
        return b if a == _BOOL else a
    if a.itemsize != b.itemsize:
        return a if a.itemsize > b.itemsize else b
    return a if a.kind == "u" else b


class Tensor:
    """Integers, booleans or known floats: a scalar or an array, of one type."""

    __slots__ = ("dtype", "value")

    def __init__(self, value: Any, dtype: np.dtype[Any]) -> None:
        self.value = value
        self.dtype = dtype

    @property
    def is_scalar(self) -> bool:
        return not isinstance(self.value, np.ndarray)

    def pair(self, other: Any) -> tuple[Any, Any, np.dtype[Any]] | None:
        """Both values in one type, and that type; None where the other is data."""
        if isinstance(other, Tensor):
            dtype = _promote(self.dtype, other.dtype)
            return _cast(self.value, dtype), _cast(other.value, dtype), dtype
        if isinstance(other, bool):
            return self.pair(Tensor(other, _BOOL))
        if isinstance(other, int):
            dtype = _I32 if self.dtype == _BOOL else self.dtype
            if dtype.kind != "f" and _scalar(other, dtype) != other:
                raise ModelError(f"{other} does not fit {dtype}")
            return _cast(self.value, dtype), _scalar(other, dtype), dtype
        if isinstance(other, float):
            dtype = self.dtype if self.dtype.kind == "f" else _F32
            return _cast(self.value, dtype), _scalar(other, dtype), dtype
        if isinstance(other, Opaque):
            return None
        raise ModelError(f"arithmetic with {type(other).__name__}")

    def _binary(self, other: Any, function: Callable[[Any, Any], Any], reflected: bool = False) -> Any:
        if isinstance(other, Pointer):
            return NotImplemented
        pair = self.pair(other)
        if pair is None:
            return DATA
        a, b, dtype = pair
        if reflected:
            a, b = b, a
        if dtype == _BOOL and function is operator.add:
            function = operator.xor
        try:
            value = function(a, b)
        except (TypeError, ValueError, ZeroDivisionError) as error:
            raise ModelError(str(error)) from None
        return Tensor(_cast(value, dtype), dtype)

    def _compare(self, other: Any, function: Callable[[Any, Any], Any]) -> Any:
        pair = self.pair(other)
        if pair is None:
            return DATA
        try:
            return Tensor(function(pair[0], pair[1]), _BOOL)
        except ValueError as error:
            raise ModelError(str(error)) from None

    def __add__(self, other: Any) -> Any:
        return self._binary(other, operator.add)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self._binary(other, operator.sub)

    def __rsub__(self, other: Any) -> Any:
        return self._binary(other, operator.sub, True)

    def __mul__(self, other: Any) -> Any:
        return self._binary(other, operator.mul)

    __rmul__ = __mul__

    def __floordiv__(self, other: Any) -> Any:
        return self._binary(other, _divide)

    def __rfloordiv__(self, other: Any) -> Any:
        return self._binary(other, _divide, True)

    def __mod__(self, other: Any) -> Any:
        return self._binary(other, _remainder)

    def __rmod__(self, other: Any) -> Any:
        return self._binary(other, _remainder, True)

    def __truediv__(self, _: Any) -> Opaque:
        return DATA

    __rtruediv__ = __truediv__

    def __lshift__(self, other: Any) -> Any:
        return self._binary(other, operator.lshift)

    def __rshift__(self, other: Any) -> Any:
        return self._binary(other, operator.rshift)

    def __and__(self, other: Any) -> Any:
        return self if isinstance(other, Opaque) else self._binary(other, operator.and_)

    __rand__ = __and__

    def __or__(self, other: Any) -> Any:
        return Tensor(True, _BOOL) if isinstance(other, Opaque) else self._binary(other, operator.or_)

    __ror__ = __or__

    def __xor__(self, other: Any) -> Any:
        return self._binary(other, operator.xor)

    __rxor__ = __xor__

    def __invert__(self) -> Tensor:
        if self.dtype == _BOOL:
            return Tensor(not self.value if self.is_scalar else ~self.value, _BOOL)
        return Tensor(_cast(~self.value, self.dtype), self.dtype)

    def __neg__(self) -> Any:
        return 0 - self

    def __lt__(self, other: Any) -> Any:
        return self._compare(other, operator.lt)

    def __le__(self, other: Any) -> Any:
        return self._compare(other, operator.le)

    def __gt__(self, other: Any) -> Any:
        return self._compare(other, operator.gt)

    def __ge__(self, other: Any) -> Any:
        return self._compare(other, operator.ge)

    def __eq__(self, other: object) -> Any:
        return self._compare(other, operator.eq)

    def __ne__(self, other: object) -> Any:
        return self._compare(other, operator.ne)

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        _run.step()
        if not self.is_scalar:
            raise ModelError("a branch on a block")
        return bool(self.value)

    def __iter__(self) -> Iterator[object]:
        raise ModelError("iteration over a block")

    def __getitem__(self, index: Any) -> Tensor:
        return Tensor(_indexed(self.value, index), self.dtype)

    @property
    def T(self) -> Tensor:  # noqa: N802 - Triton's name
        return Tensor(self.value if self.is_scalar else self.value.T, self.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        return () if self.is_scalar else self.value.shape

    def to(self, dtype: Any, **_: object) -> Any:
        if not isinstance(dtype, Type):
            raise ModelError("a cast to something that is no type")
        if dtype.numpy is None:
            return DATA
        with np.errstate(invalid="ignore"):
            value = self.value != 0 if dtype.numpy == _BOOL else _cast(self.value, dtype.numpy)
        return Tensor(value, dtype.numpy)

    cast = to

    def reshape(self, *shape: Any) -> Any:
        return _reshape(self, *shape)

    def permute(self, *axes: Any) -> Any:
        return _permute(self, *axes)

    trans = permute


def _indexed(value: Any, index: Any) -> Any:
    parts = index if isinstance(index, tuple) else (index,)
    if any(p is not None and p != slice(None) for p in parts) or not isinstance(value, np.ndarray):
        raise ModelError("an index other than : and None")
    if sum(p is not None for p in parts) != value.ndim:
        raise ModelError("an index of another rank")
    return value[index]


@dataclass(frozen=True)
class Type:
    """A type by name; ``numpy`` is None for the floats that nothing here counts with."""

    name: str
    numpy: np.dtype[Any] | None


class Pointer:
    """An address: a parameter, and elements from it."""

    __slots__ = ("name", "offset")

    def __init__(self, name: str, offset: Any = 0) -> None:
        self.name = name
        self.offset = offset

    def __add__(self, other: Any) -> Any:
        if isinstance(other, Opaque):
            return Pointer(self.name, other)
        if isinstance(other, Tensor) and other.dtype.kind in "iu":
            step = _cast(other.value, _I64)
        elif isinstance(other, int) and not isinstance(other, bool):
            step = other
        else:
            raise ModelError("a pointer plus something else than an integer")
        try:
            return Pointer(self.name, self.offset + step)
        except ValueError as error:
            raise ModelError(str(error)) from None

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self + (0 - other)

    def __getitem__(self, index: Any) -> Pointer:
        return Pointer(self.name, _indexed(self.offset, index))

    def to(self, *_: object, **__: object) -> Pointer:
        return self

    @property
    def type(self) -> Opaque:
        return DATA

    dtype = type


# ---- one launch -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outside:
    """A store outside its row: the line of the call in the source, and the column."""

    line: int
    column: int


@dataclass
class Run:
    """What one launch stores, and its counters."""

    output: str = ""
    width: int = 0
    integers: Mapping[str, Sequence[int]] = field(default_factory=dict)
    keep: bool = False
    program: tuple[int, int] = (0, 0)
    asked: int = 0
    steps: int = 0
    outside: list[Outside] = field(default_factory=list)
    lanes: list[np.ndarray[Any, Any]] = field(default_factory=list)
    """Element offsets of every executed lane, kept on demand."""
    lines: set[int] = field(default_factory=set)
    """Lines of calls that stored something."""

    def step(self) -> None:
        """Count a branch or an iteration, so that nothing runs for ever."""
        self.steps += 1
        if self.steps > _STEPS:
            raise ModelError("runs for too long")

    def store(self, pointer: Pointer, offsets: Any, mask: Any, line: int) -> None:
        """Record a store."""
        if not isinstance(pointer, Pointer):
            raise ModelError("a store to something that is no pointer")
        target = pointer + offsets if offsets is not None else pointer
        if target.name != self.output:
            return
        if isinstance(target.offset, Opaque):
            raise ModelError("an address from data")
        executed = target.offset
        if isinstance(mask, Tensor):
            try:
                executed, on = np.broadcast_arrays(executed, mask.value)
            except ValueError as error:
                raise ModelError(str(error)) from None
            executed = executed[on.astype(bool)]
        elif mask is False:
            return
        elif not (mask is None or mask is True or isinstance(mask, Opaque)):
            raise ModelError("a mask of another kind")
        executed = np.ravel(executed)
        if not executed.size:
            return
        self.lines.add(line)
        if self.keep:
            self.lanes.append(executed)
        columns = (executed + ROW // 2) % ROW - ROW // 2
        for column in sorted({int(columns.min()), int(columns.max())}):
            if not 0 <= column < self.width:
                self.outside.append(Outside(line, column))


_run = Run()


# ---- the language ---------------------------------------------------------------------------------


def _jit(function: Any = None, **_: object) -> Any:
    return function if function is not None else lambda f: f


class _Constexpr:
    def __new__(cls, value: Any) -> Any:
        return value


def _arange(start: Any, end: Any, layout: object = None) -> Tensor:
    if not (type(start) is int and type(end) is int) or not 0 < end - start <= 1 << 16:
        raise ModelError("arange needs two constants")
    return Tensor(np.arange(start, end, dtype=np.int32), _I32)


def _program_id(axis: Any) -> Tensor:
    _run.asked = max(_run.asked, int(axis))
    return Tensor(_run.program[axis] if axis < 2 else 0, _I32)


def _range(*bounds: Any, **_: object) -> Iterator[Tensor]:
    if any(isinstance(b, Tensor) and not (b.is_scalar and b.dtype.kind == "i") for b in bounds):
        raise ModelError("a range over something else than integers")
    dtype = next((b.dtype for b in bounds if isinstance(b, Tensor) and b.dtype == _I64), _I32)
    plain = [b.value if isinstance(b, Tensor) else b for b in bounds]
    if any(type(b) is not int for b in plain) or (len(plain) == 3 and plain[2] <= 0):
        raise ModelError("a range with other bounds or steps than expected")
    for i in range(*plain):
        _run.step()
        yield Tensor(_scalar(i, dtype), dtype)


def _static_range(*bounds: Any, **_: object) -> range:
    if any(type(b) is not int for b in bounds):
        raise ModelError("static_range needs constants")
    return range(*bounds)


def _pick(less: bool) -> Callable[..., Any]:
    def choose(*values: Any, **_: object) -> Any:
        result = values[0]
        for value in values[1:]:
            if isinstance(result, Opaque) or isinstance(value, Opaque):
                known = value if isinstance(result, Opaque) else result
                if not (less and isinstance(known, Tensor)):
                    return DATA
                result = known  # the data may be as large as it likes; the lesser of the two is not
                continue
            if isinstance(result, Tensor):
                pair = result.pair(value)
            elif isinstance(value, Tensor):
                pair = value.pair(result)
            else:
                result = min(result, value) if less else max(result, value)
                continue
            assert pair is not None
            a, b, dtype = pair
            if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
                result = Tensor((np.minimum if less else np.maximum)(a, b), dtype)
            else:
                result = Tensor(min(a, b) if less else max(a, b), dtype)
        return result

    return choose


_minimum, _maximum = _pick(True), _pick(False)


def _cdiv(a: Any, b: Any) -> Any:
    return (a + b - 1) // b


def _where(condition: Any, a: Any, b: Any) -> Any:
    if isinstance(condition, Opaque):
        return a
    if isinstance(a, (Opaque, float)) or isinstance(b, (Opaque, float)):
        return DATA
    if not isinstance(a, Tensor):
        a = Tensor(a, _BOOL if isinstance(a, bool) else b.dtype if isinstance(b, Tensor) else _I32)
    pair = a.pair(b)
    assert pair is not None
    on = condition.value if isinstance(condition, Tensor) else condition
    value = np.where(on, pair[0], pair[1])
    return Tensor(value.astype(pair[2]) if value.ndim else _scalar(value.item(), pair[2]), pair[2])


def _load(pointer: Any, mask: Any = None, other: Any = None, *_: object, **__: object) -> Any:
    if not isinstance(pointer, Pointer):
        raise ModelError("a load from something that is no pointer")
    data = _run.integers.get(pointer.name)
    if data is None or isinstance(pointer.offset, Opaque):
        return DATA
    if isinstance(mask, Opaque):
        mask = None
    offset = np.asarray(pointer.offset)
    inside = (offset >= 0) & (offset < len(data))
    value = np.asarray(data, dtype=np.int32)[np.where(inside, offset, 0)] * inside
    if mask is not None:
        on = mask.value if isinstance(mask, Tensor) else mask
        value = np.where(on, value, other.value if isinstance(other, Tensor) else int(other or 0))
    return Tensor(value.astype(np.int32) if value.ndim else int(value), _I32)


def _buffer_load(ptr: Any, offsets: Any, mask: Any = None, other: Any = None, *_: object, **__: object) -> Any:
    return _load(ptr + offsets, mask, other)


def _store(pointer: Any, value: Any, mask: Any = None, *_: object, **__: object) -> None:
    _run.store(pointer, None, mask, sys._getframe(1).f_lineno)


def _buffer_store(stored_value: Any, ptr: Any, offsets: Any, mask: Any = None, *_: object, **__: object) -> None:
    _run.store(ptr, offsets, mask, sys._getframe(1).f_lineno)


def _full(shape: Any, value: Any, dtype: Any, layout: object = None) -> Any:
    if not isinstance(dtype, Type) or dtype.numpy is None or dtype.numpy.kind == "f":
        return DATA
    plain = value.value if isinstance(value, Tensor) else value
    return Tensor(np.full(tuple(shape), _scalar(plain, dtype.numpy), dtype=dtype.numpy), dtype.numpy)


def _zeros(shape: Any, dtype: Any, layout: object = None) -> Any:
    return _full(shape, 0, dtype)


def _reduced(block: Any, axis: Any = None, *_: object, **__: object) -> Any:
    if isinstance(block, Opaque):
        return DATA
    if not isinstance(block, Tensor) or block.is_scalar:
        raise ModelError("a reduction of no block")
    value = np.sum(block.value, axis=axis)
    dtype = _I32 if block.dtype == _BOOL else block.dtype
    return Tensor(value.astype(dtype) if value.ndim else _scalar(value.item(), dtype), dtype)


def _flat(shape: tuple[Any, ...]) -> tuple[int, ...]:
    plain = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    return tuple(int(n) for n in plain)


def _reshape(block: Any, *shape: Any, **_: object) -> Any:
    if isinstance(block, Tensor):
        return Tensor(np.reshape(block.value, _flat(shape)), block.dtype)
    return block


def _permute(block: Any, *axes: Any) -> Any:
    if isinstance(block, Tensor) and not block.is_scalar:
        return Tensor(np.transpose(block.value, _flat(axes) or None), block.dtype)
    return block


def _broadcast_to(block: Any, *shape: Any) -> Any:
    if isinstance(block, Tensor):
        return Tensor(np.broadcast_to(block.value, _flat(shape)), block.dtype)
    return block


def _expand_dims(block: Any, axis: Any) -> Any:
    return Tensor(np.expand_dims(block.value, axis), block.dtype) if isinstance(block, Tensor) else block


def _same(block: Any, *_: object, **__: object) -> Any:
    return block


def _nothing(*_: object, **__: object) -> None:
    return None


def _data(*_: object, **__: object) -> Opaque:
    return DATA


def _to(block: Any, dtype: Any, **_: object) -> Any:
    return block.to(dtype)


_TYPES = {
    name: Type(name, np.dtype("bool" if name == "int1" else name))
    for name in (
        ["int1"] + [f"{u}int{b}" for u in ("", "u") for b in (8, 16, 32, 64)] + ["float16", "float32", "float64"]
    )
} | {name: Type(name, None) for name in ("bfloat16", "float8e4nv", "float8e5")}

_LANGUAGE: dict[str, Any] = {
    **_TYPES,
    "constexpr": _Constexpr,
    "tensor": Tensor,
    "arange": _arange,
    "program_id": _program_id,
    "range": _range,
    "static_range": _static_range,
    "minimum": _minimum,
    "maximum": _maximum,
    "clamp": lambda x, low, high: _minimum(_maximum(x, low), high),
    "cdiv": _cdiv,
    "where": _where,
    "load": _load,
    "store": _store,
    "full": _full,
    "zeros": _zeros,
    "cast": _to,
    "reshape": _reshape,
    "permute": _permute,
    "trans": _permute,
    "broadcast_to": _broadcast_to,
    "expand_dims": _expand_dims,
    **dict.fromkeys(("sum", "reduce"), _reduced),
    **dict.fromkeys(("convert_layout", "set_auto_layout", "multiple_of", "max_contiguous", "max_constancy"), _same),
    **dict.fromkeys(
        ("assume", "static_assert", "device_assert", "static_print", "device_print", "debug_barrier", "barrier"),
        _nothing,
    ),
    **dict.fromkeys(("dot", "exp", "inline_asm_elementwise", "allocate_shared_memory", "max", "min"), _data),
    **dict.fromkeys(
        ("BlockedLayout", "SliceLayout", "DotOperandLayout", "SwizzledSharedLayout", "PaddedSharedLayout"), _data
    ),
}
_CDNA = SimpleNamespace(
    buffer_load=_buffer_load,
    buffer_store=_buffer_store,
    mfma=_data,
    s_set_prio=_nothing,
    sched_barrier=_nothing,
    sched_group_barrier=_nothing,
)
_tl = SimpleNamespace(**_LANGUAGE)
_gl = SimpleNamespace(
    **_LANGUAGE,
    amd=SimpleNamespace(AMDMFMALayout=_data, AMDWMMALayout=_data, cdna3=_CDNA, cdna4=_CDNA, gfx1250=DATA),
)
_gluon = SimpleNamespace(jit=_jit, language=_gl)
_triton = SimpleNamespace(
    jit=_jit, language=_tl, cdiv=_cdiv, __version__="3.6.0", experimental=SimpleNamespace(gluon=_gluon)
)


def _import(name: str, _g: object = None, _l: object = None, fromlist: Any = (), level: int = 0) -> Any:
    first, *rest = name.split(".")
    if first == "triton":
        found: Any = _triton
        for part in rest if fromlist else ():
            found = getattr(found, part)
        return found
    if first == "aiter":
        return SimpleNamespace(get_cdna_version=lambda: 4, get_num_sms=lambda: 80)
    if first == "math":
        return math
    if first == "__future__":
        return SimpleNamespace(annotations=None)
    raise ImportError(name)


_BUILTINS = {
    "__import__": _import,
    "__build_class__": __build_class__,
    "range": _range,
    "min": _minimum,
    "max": _maximum,
    **{f.__name__: f for f in (float, int, bool, len, tuple, list, isinstance, abs, Exception, ImportError)},
}


# ---- files and launches ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Launch:
    """One launch: what a kernel of the family is called with.

    Attributes:
        kind: ``usual`` (contexts within the width), ``long`` (contexts past the width: nothing but the mask can hold
            a store inside the row) or ``huge`` (columns near 2^31).
        width: ``max_model_len``.
        contexts: context lengths.
        programs: which program numbers run; None: all.
    """

    kind: str
    width: int
    contexts: tuple[int, ...]
    next_n: int = 1
    block: int = 64
    split: int = 1
    chunk: int = 256
    architecture: str = "gfx950"
    query_blocks: int = 1
    programs: tuple[int, ...] | None = None

    def values(self) -> dict[str, Any]:
        """A value for every parameter name that kernels of the family have."""
        heads, hidden = 2, 128 if self.architecture == "gfx1250" else 16
        blocks = max(max(self.contexts), self.width) // self.block + 2
        pointers = ["Q_buffer", "KV_buffer", "scale_buffer", "context_len_ptr", "kv_indices", "weights"]
        pointers += ["OutLogits_buffer", "Out_buffer", "prefix_sum_context_lens", "safe_chunks_per_cta_ptr"]
        return {
            **{name: Pointer(name) for name in pointers},
            "dummyPointerArg": DATA,
            "batch_size": len(self.contexts),
            "next_n": self.next_n,
            "heads_num": heads * self.query_blocks,
            "stride_q_batch": self.next_n * heads * hidden,
            "stride_q_next_n": heads * hidden,
            "stride_q_heads": hidden,
            "stride_k_seq": self.block * (hidden + 4),
            "stride_k_block": self.block * (hidden + 4),
            "stride_k_token": hidden,
            "stride_scale_seq": self.block,
            "stride_scale_block": self.block,
            "stride_scale_token": 1,
            "stride_w_batch": heads,
            "stride_out_batch": ROW << 8,
            "stride_out_heads": ROW,
            "max_model_len": self.width,
            "max_block_len": blocks,
            "max_blk_len": blocks,
            "num_block": blocks * len(self.contexts),
            "SplitKV": self.split,
            "ChunkQ": heads,
            "ChunkK": self.chunk,
            "HiddenDim": hidden,
            "KVBlockSize": self.block,
            "CDNA_VERSION": 4,
            "ARCH": self.architecture,
        }

    def integers(self) -> dict[str, Sequence[int]]:
        """What the integer arrays hold."""
        sums = [sum(self.contexts[:i]) for i in range(len(self.contexts) + 1)]
        return {
            "context_len_ptr": self.contexts,
            "prefix_sum_context_lens": sums,
            "safe_chunks_per_cta_ptr": (self.split,),
            "kv_indices": (0,),
        }

    def grid(self, scheduled: bool) -> Sequence[int]:
        """Program numbers of axis 0."""
        if self.programs is not None:
            return self.programs
        if scheduled:
            chunks = (_cdiv(context, self.chunk) for context in self.contexts)
            return range(sum(_cdiv(n, self.split) for n in chunks) * self.next_n + 1)
        return range(len(self.contexts) * self.next_n * self.split * self.query_blocks)


def launch(kernel: Callable[..., None], launch: Launch, *, keep: bool = False, stop: bool = False) -> Run:
    """Run every program of a launch.

    Args:
        kernel: a function of an `execute`d file.
        launch: what to call it with.
        keep: keep every lane's offset.
        stop: stop after the first program that stores outside its row.

    Raises:
        ModelError: the model does not know what the kernel does; other exceptions are the kernel's own.
    """
    global _run
    values = launch.values()
    parameters = inspect.signature(kernel).parameters
    arguments = {}
    for name, parameter in parameters.items():
        if name not in values:
            raise ModelError(f"no value for the parameter {name!r}")
        value = values[name]
        if type(value) is int and parameter.annotation is not _Constexpr:
            wide = isinstance(parameter.annotation, Type) and parameter.annotation.numpy == _I64
            value = Tensor(value, _I64 if wide or value >> 31 else _I32)
        arguments[name] = value
    output = "OutLogits_buffer" if "OutLogits_buffer" in parameters else "Out_buffer"
    _run = run = Run(output, launch.width, launch.integers(), keep)
    second = range(1, _cdiv(max(launch.contexts), launch.chunk))
    for x in launch.grid("safe_chunks_per_cta_ptr" in parameters):
        run.program = (x, 0)
        with np.errstate(all="ignore"):
            kernel(**arguments)
        if run.asked:  # for the second axis too: every chunk, or the first and the last
            for y in second if launch.programs is None else second[-1:]:
                run.program = (x, y)
                with np.errstate(all="ignore"):
                    kernel(**arguments)
        if stop and run.outside:
            break
    return run


class File:
    """A kernel file, compiled a top-level statement at a time, so that a variant costs only what differs."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.tree = ast.parse(text)
        self._codes = [_compile(s) for s in self.tree.body]
        self._unparsed: dict[int, str] = {}

    def function(self, index: int) -> ast.FunctionDef:
        """A copy of a function's tree, to change (parsed anew: quicker than a deep copy)."""
        if index not in self._unparsed:
            self._unparsed[index] = ast.unparse(self.tree.body[index])
        function = ast.parse(self._unparsed[index]).body[0]
        assert isinstance(function, ast.FunctionDef)
        return function

    def execute(self, instead: Mapping[int, str] | None = None) -> dict[str, Any]:
        """The module's names.

        Args:
            instead: source to run in place of some statements, by their index. Lines count from the statement's first
                line, decorators included.
        """
        names: dict[str, Any] = {"__builtins__": _BUILTINS, "__name__": "kernels"}
        for i, code in enumerate(self._codes):
            if instead and i in instead:
                tree = ast.parse(instead[i])
                ast.increment_lineno(tree, first_line(self.tree.body[i]) - 1)
                exec(compile(tree, "<kernel>", "exec", dont_inherit=True), names)
            else:
                exec(code, names)
        return names


def first_line(statement: ast.stmt) -> int:
    """The line a statement starts on, decorators included."""
    decorators = statement.decorator_list if isinstance(statement, ast.FunctionDef) else []
    return min([statement.lineno, *(d.lineno for d in decorators)])


def _compile(statement: ast.stmt) -> Any:
    return compile(ast.Module([statement], []), "<kernel>", "exec", dont_inherit=True)


_LONG = 34_000  # past 2^15, so that a 16-bit column wraps
_HUGE = (1 << 31) - (1 << 12)


def launches(kernel: str) -> tuple[Launch, ...]:
    """Launches to try a kernel with, by its name: those that show most come first."""
    if "varctx" in kernel:
        return (
            Launch("long", 1000, (1500, 1300), next_n=2, split=2),
            Launch("long", 300, (1400,), block=256, split=3),
            Launch("usual", 1000, (1000, 37), next_n=2, split=1),
            Launch("usual", 300, (300, 40), block=256),
            Launch("usual", 1000, (1000,), next_n=3, block=256, split=4),
            Launch("usual", 1024, (1024, 1023), block=16, split=2),
            Launch("long", 40, (40, 1), block=16),
            Launch("long", 1000, (_LONG,), chunk=8192, split=8),
            Launch("long", 1000, (_LONG,), block=8192, chunk=8192, split=8),
        )
    if "preshuffle" in kernel:
        return (
            Launch("long", 1000, (1500, 1300), next_n=2),
            Launch("long", 300, (1400,), block=256, split=2),
            Launch("long", 1000, (1500,), architecture="gfx1250"),
            Launch("usual", 1000, (1000, 1000), next_n=2, split=3),
            Launch("usual", 300, (300, 40), block=256),
            Launch("usual", 1000, (1000,), next_n=3, block=256, split=2),
            Launch("usual", 300, (300,), split=1),
            Launch("usual", 1024, (1024, 1023), block=16, split=2),
            Launch("usual", 1000, (1000, 5), split=2, architecture="gfx1250"),
            Launch("long", 40, (40, 1), block=16),
            Launch("long", 1000, (_LONG,), chunk=8192),
            Launch("long", 1000, (_LONG,), block=8192, chunk=8192),
            Launch("long", 1000, (_LONG,), chunk=8192, block=1024, architecture="gfx1250"),
        )
    plain = (
        Launch("long", 1000, (1500, 1300), next_n=2, block=1, split=2),
        Launch("usual", 1000, (1000, 37), next_n=2, block=1, split=3),
        Launch("usual", 300, (300,), block=1, query_blocks=2),
        Launch("usual", 1024, (1024, 1023), block=1),
        Launch("long", 1000, (_LONG,), block=1, chunk=8192),
    )
    if "gluon" in kernel:
        return (*plain, Launch("long", 1000, (1500,), block=1, architecture="gfx1250"))
    return plain


def huge(kernel: str) -> Launch:
    """A launch whose last columns are near 2^31, of which few programs run."""
    split = _HUGE // 256
    if "varctx" in kernel:
        return Launch("huge", 1000, (_HUGE,), split=1, programs=(0, split - 1, split))
    return Launch("huge", 1000, (_HUGE,), split=split, programs=(0, split - 1, split))


def columns_outside(run: Run) -> dict[int, int]:
    """How many columns at or past the width each row got, from a run that kept its lanes."""
    lanes = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *run.lanes]))
    columns = (lanes + ROW // 2) % ROW - ROW // 2
    rows = (lanes - columns) // ROW
    found, counts = np.unique(rows[columns >= run.width], return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))
